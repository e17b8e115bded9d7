"""No byte is lost or doubled at the hand-over, in either direction; ends, back-pressure, sudden deaths."""
import hashlib
import os
import signal
import time

import pytest

from client import Closed, Imap, Pop3
from fakeserver import imap_peer, pop3_peer
from pool import Marks, PATIENCE, events, message, rss_kib, wait_for

NODES = {"local": "127.0.0.2", "proxied": "127.0.0.1"}
FAKES = 40


def imap_script(account):
    return (f"a LOGIN {account.name} {account.password}\r\nb NOOP\r\nc SELECT INBOX\r\n"
            f"d FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\ne LOGOUT\r\n").encode()


def check_imap(c):
    for tag in ("a", "b", "c", "d", "e"):
        reply = c.finish(tag)
        assert reply.ok, reply
        if tag == "d":
            assert reply.find(rb"Subject: berta@example.com lives on 127.0.0.2")
    assert c.is_closed() and not c.buf


def pop3_script(account):
    return f"USER {account.name}\r\nPASS {account.password}\r\nSTAT\r\nTOP 1 0\r\nQUIT\r\n".encode()


def check_pop3(c):
    for _ in range(3):
        line = c.line()
        assert line.startswith(b"+OK"), line
    assert c.line().startswith(b"+OK")
    assert b"Subject: berta@example.com lives on 127.0.0.2" in c.body()
    assert c.line().startswith(b"+OK")
    assert c.is_closed() and not c.buf


KINDS = {"imap": (Imap, imap_script, check_imap), "pop3": (Pop3, pop3_script, check_pop3)}


def connect(pool, kind, where):
    cls = KINDS[kind][0]
    return cls(NODES[where], pool.imap_port if kind == "imap" else pool.pop3_port)


@pytest.mark.valgrind
@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("kind", KINDS)
def test_pipelined_in_one_segment(pool, kind, where):
    _, script, check = KINDS[kind]
    with connect(pool, kind, where) as c:
        c.send(script(pool.accounts["berta@example.com"]))
        check(c)


@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("kind", KINDS)
def test_pipelined_before_the_greeting(pool, kind, where):
    cls, script, check = KINDS[kind]
    c = cls(NODES[where], pool.imap_port if kind == "imap" else pool.pop3_port, greeting=False)
    c.send(script(pool.accounts["berta@example.com"]))
    assert c.line()[:1] in (b"*", b"+")
    check(c)
    c.close()


@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("kind", KINDS)
def test_pipelined_cut_at_every_byte(pool, kind, where):
    _, script, check = KINDS[kind]
    data = script(pool.accounts["berta@example.com"])
    for cut in range(1, len(data)):
        with connect(pool, kind, where) as c:
            c.send_pieces(data, [cut])
            check(c)


@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_at_a_time(pool, kind, where):
    _, script, check = KINDS[kind]
    data = script(pool.accounts["berta@example.com"])
    with connect(pool, kind, where) as c:
        c.send_pieces(data, range(1, len(data)))
        check(c)


@pytest.mark.parametrize("where", NODES)
def test_pipelined_literals(pool, where):
    """A big APPEND with a non-synchronising literal right after the login, all at once."""
    account = pool.accounts["berta@example.com"]
    body = message("pipelined", "line of text\r\n" * 3000)
    data = (b"a LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n" % (len(account.name), account.name.encode(), len(account.password), account.password.encode()) +
            b"b CREATE INBOX.Pipe-%s\r\n" % where.encode() +
            b"c APPEND INBOX.Pipe-%s {%d+}\r\n%s\r\n" % (where.encode(), len(body), body) +
            b"d SELECT INBOX.Pipe-%s\r\ne FETCH 1 (RFC822.SIZE BODY.PEEK[])\r\n" % where.encode())
    with connect(pool, "imap", where) as c:
        c.send(data)
        for tag in ("a", "b", "c", "d"):
            assert c.finish(tag).ok
        reply = c.finish("e")
        assert body in reply.untagged[0]
        c.ok("UNSELECT")
        c.ok(f"DELETE INBOX.Pipe-{where}")


@pytest.mark.parametrize("where", NODES)
def test_half_close_imap(pool, where):
    """The client closes its side right after its commands and still gets every reply."""
    account = pool.accounts["berta@example.com"]
    with connect(pool, "imap", where) as c:
        c.login_ok(account)
        c.send("x SELECT INBOX\r\ny FETCH 1 (BODY.PEEK[])\r\n")
        c.half_close()
        assert c.finish("x").ok
        reply = c.finish("y")
        assert reply.ok and reply.find(b"lives on 127.0.0.2")
        assert c.is_closed()
    with connect(pool, "imap", where) as c:
        c.send(imap_script(account))
        c.half_close()
        check_imap(c)


@pytest.mark.parametrize("where", NODES)
def test_half_close_pop3(pool, where):
    account = pool.accounts["berta@example.com"]
    with connect(pool, "pop3", where) as c:
        c.send(pop3_script(account))
        c.half_close()
        check_pop3(c)


def test_half_close_through_the_relay(fakes_pool):
    """The end of file arrives after the data, and the other direction continues."""
    pool, fakes = fakes_pool
    got = {}

    def serve(conn):
        got["client"] = conn.until_eof()
        conn.send(b"* " + b"z" * 1000000 + b"\r\n")
    server, account = fakes.next(imap_peer(serve))
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        c.send("x SOMETHING\r\n")
        c.half_close()
        assert c.rest() == b"* " + b"z" * 1000000 + b"\r\n"
    assert got["client"] == b"x SOMETHING\r\n"

    def serve2(conn):
        import socket
        conn.send(b"* half\r\n")
        conn.sock.shutdown(socket.SHUT_WR)
        got["late"] = conn.until_eof()
    server, account = fakes.next(imap_peer(serve2))
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        assert c.line() == b"* half"
        assert c.is_closed()
        c.send("late words\r\n")
        c.half_close()
        wait_for("the peer sees the client's end", lambda: "late" in got)
    assert got["late"] == b"late words\r\n"
    assert not server.errors


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_imap_bytes_behind_the_peers_ok(fakes_pool, piece):
    """What the peer sends in the same segment as its OK arrives, in order."""
    pool, fakes = fakes_pool
    tail = b"* 23 EXISTS\r\n* OK [ALERT] something\r\n* BYE access disabled\r\n"

    def serve(conn):
        pass
    server, account = fakes.next(imap_peer(serve, behind_ok=tail, piece=piece))
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.login(account.name, account.password).ok
        assert c.rest() == tail
    assert not server.errors


def test_imap_much_behind_the_peers_ok(fakes_pool):
    pool, fakes = fakes_pool
    tail = b"".join(b"* %d EXISTS\r\n" % i for i in range(30000))
    server, account = fakes.next(imap_peer(lambda conn: None, behind_ok=tail))
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.login(account.name, account.password).ok
        assert c.rest() == tail
    assert not server.errors


@pytest.mark.parametrize("piece", [0, 1, 7])
def test_pop3_bytes_behind_the_peers_ok(fakes_pool, piece):
    pool, fakes = fakes_pool
    tail = b"-ERR [SYS/TEMP] going down\r\n"
    server, account = fakes.next(pop3_peer(lambda conn: None, behind_ok=tail, piece=piece))
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.login(account.name, account.password).startswith(b"+OK")
        assert c.rest() == tail
    assert not server.errors


@pytest.mark.parametrize("kind", KINDS)
def test_pipelined_reaches_the_peer_once(fakes_pool, kind):
    """Commands after the login arrive at the peer after its OK, each once, with nothing else between them."""
    pool, fakes = fakes_pool
    got = {}

    def serve(conn):
        got["rest"] = conn.until_eof()
    more = b"".join(b"x%d NOOP\r\n" % i for i in range(2000))
    if kind == "imap":
        server, account = fakes.next(imap_peer(serve))
        c = Imap("127.0.0.1", pool.imap_port)
        c.send(b"a LOGIN %s %s\r\n%s" % (account.name.encode(), account.password.encode(), more))
        assert c.finish("a").ok
    else:
        server, account = fakes.next(pop3_peer(serve))
        c = Pop3("127.0.0.1", pool.pop3_port)
        c.send(b"USER %s\r\nPASS %s\r\n%s" % (account.name.encode(), account.password.encode(), more))
        assert c.line().startswith(b"+OK") and c.line().startswith(b"+OK")
    c.half_close()
    assert c.is_closed()
    c.close()
    assert got["rest"] == more
    assert not server.errors


def test_nothing_is_sent_behind_the_login_before_the_peers_answer(fakes_pool):
    """A server that executes another program at login would lose it."""
    pool, fakes = fakes_pool
    seen = {}

    def script(conn):
        conn.send("* OK [CAPABILITY IMAP4rev1] slow peer\r\n")
        while True:
            words = conn.imap_command()
            if words[1] in (b"LOGIN", b"AUTHENTICATE"):
                time.sleep(0.5)
                conn.sock.setblocking(False)
                try:
                    seen["early"] = conn.buf + conn.sock.recv(1000)
                except BlockingIOError:
                    seen["early"] = conn.buf
                conn.sock.settimeout(30)
                conn.send(words[0] + b" OK in\r\n")
                seen["late"] = conn.line()
                return
            conn.send(words[0] + b" BAD what\r\n")
    server, account = fakes.next(script)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.send(f"a LOGIN {account.name} {account.password}\r\nb NOOP\r\n")
        assert c.finish("a").ok
        c.is_closed()
    assert seen == {"early": b"", "late": b"b NOOP"}


def test_bulk_both_ways(fakes_pool):
    """20 MB in each direction at the same time, compared by digest."""
    import threading
    pool, fakes = fakes_pool
    up, down = os.urandom(1 << 20) * 20, os.urandom(1 << 20) * 20
    got = {}

    def serve(conn):
        conn.sock.settimeout(60)
        t = threading.Thread(target=lambda: conn.sock.sendall(down))
        t.start()
        digest, n = hashlib.sha256(conn.buf), len(conn.buf)
        while n < len(up):
            data = conn.sock.recv(1 << 16)
            if not data:
                break
            digest.update(data)
            n += len(data)
        got["n"], got["up"] = n, digest.hexdigest()
        t.join()
    server, account = fakes.next(imap_peer(serve))
    with Imap("127.0.0.1", pool.imap_port, timeout=60) as c:
        c.login_ok(account)
        t = threading.Thread(target=lambda: c.sock.sendall(up))
        t.start()
        data = c.exactly(len(down))
        t.join()
        assert hashlib.sha256(data).digest() == hashlib.sha256(down).digest()
        assert c.is_closed()
    assert got == {"n": len(up), "up": hashlib.sha256(up).hexdigest()}


def test_back_pressure(fakes_pool):
    """A client that does not read stops the peer; the worker's memory does not grow; nothing is lost."""
    pool, fakes = fakes_pool
    node = pool.node("127.0.0.1")
    size = 50 << 20
    block = os.urandom(1 << 20)
    progress = {"sent": 0}

    def serve(conn):
        conn.sock.settimeout(120)
        for _ in range(size // len(block)):
            conn.sock.sendall(block)
            progress["sent"] += len(block)
    server, account = fakes.next(imap_peer(serve))
    before = {pid: rss_kib(pid) for pid in node.pids("worker")}
    assert before, "no worker found"
    with Imap("127.0.0.1", pool.imap_port, timeout=60) as c:
        c.login_ok(account)
        # It stands still once all socket buffers are full.
        last = -1
        while progress["sent"] != last:
            last = progress["sent"]
            time.sleep(0.5)
        assert progress["sent"] < size
        for pid, kib in before.items():
            assert rss_kib(pid) < kib + 4096
        digest = hashlib.sha256()
        left = size
        while left:
            data = c.buf or c.sock.recv(1 << 20)
            c.buf = b""
            assert data
            digest.update(data)
            left -= len(data)
        want = hashlib.sha256()
        for _ in range(size // len(block)):
            want.update(block)
        assert digest.digest() == want.digest()


def test_peers_server_killed_in_mid_session(pool):
    """kill -9 of the session server on the owner: this client's connection ends, no other is affected."""
    back = pool.node("127.0.0.2")
    account = pool.accounts["berta@example.com"]
    with Imap("127.0.0.1", pool.imap_port) as other:
        other.login_ok(account)
        before = set(back.pids("imapd"))
        with Imap("127.0.0.1", pool.imap_port) as c:
            c.login_ok(account)
            mine = set(back.pids("imapd")) - before
            assert len(mine) == 1
            os.kill(mine.pop(), signal.SIGKILL)
            back.expect_dirty = True
            assert c.is_closed()
            assert b"BYE" not in c.buf
        other.ok("NOOP")
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)


def test_peer_resets_in_mid_session(fakes_pool):
    pool, fakes = fakes_pool
    import socket
    import struct

    def serve(conn):
        conn.line()
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server, account = fakes.next(imap_peer(serve))
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        c.send("x NOOP\r\n")
        assert c.is_closed()
        assert c.buf == b""
    line = wait_for("the end is logged", lambda: [e for e in events(marks.text(), user=account.name) if "end" in e])[0]
    assert line["end"] != "client"


@pytest.mark.parametrize("where", NODES)
def test_client_gone_in_mid_fetch(pool, where):
    """The session server ends, nothing hangs, the node keeps serving."""
    account = pool.accounts["berta@example.com"]
    back = pool.node("127.0.0.2")
    name = pool.deliver(account, message("big", "0123456789abcdef" * 4 + "\r\n") + (b"x" * 70 + b"\r\n") * 300000)
    try:
        before = set(back.pids("imapd"))
        c = connect(pool, "imap", where)
        c.login_ok(account)
        c.ok("SELECT INBOX")
        c.send("x FETCH 1:* (BODY.PEEK[])\r\n")
        c.fill()
        c.abort()
        wait_for("the session's server is gone", lambda: set(back.pids("imapd")) <= before)
        c = connect(pool, "pop3", where)
        c.login_ok(account)
        c.send("RETR 2\r\n")
        c.fill()
        c.abort()
        wait_for("the session's server is gone", lambda: not back.pids("pop3d"))
        with connect(pool, "imap", where) as c:
            c.login_ok(account)
    finally:
        for part in ("new", "cur"):
            folder = os.path.join(account.maildir, part)
            for f in os.listdir(folder):
                if f.startswith(name.split(":")[0]):
                    os.unlink(os.path.join(folder, f))


@pytest.mark.parametrize("kind", KINDS)
def test_end_of_a_relayed_session_is_logged(fakes_pool, kind):
    """Bytes, time and who ended it."""
    pool, fakes = fakes_pool
    front = pool.node("127.0.0.1")
    for who in ("client", "peer"):
        sent = b"* 12345678901234567890\r\n" if kind == "imap" else b"+OK 12345678901234567890\r\n"

        def serve(conn):
            conn.line()
            conn.send(sent)
            if who == "client":
                conn.until_eof()
        server, account = fakes.next((imap_peer if kind == "imap" else pop3_peer)(serve))
        marks = Marks(pool)
        c = (Imap if kind == "imap" else Pop3)("127.0.0.1", pool.imap_port if kind == "imap" else pool.pop3_port)
        c.login_ok(account)
        c.send(b"x NOOP\r\n")
        assert c.line() == sent[:-2]
        if who == "peer":
            assert c.is_closed()
        c.close()
        line = marks.event(front, "DISCONNECTED" if who == "client" else "LOGOUT", account.name)
        # The answer to the login counts: it is the first thing of the session.
        assert line["rcvd"] == "8" and len(sent) <= int(line["sent"]) < len(sent) + 100, line
        assert int(line["time"]) >= 0
        assert line["end"] == ("client" if who == "client" else line["end"]) and line["end"] != "" and \
            (line["end"] != "client" or who == "client"), line
        assert line["session"] == marks.event(front, "LOGIN", account.name)["session"]


def test_no_session_is_left(pool):
    """After all the above: no session server runs and `who` is empty."""
    for node in pool.nodes:
        wait_for("all servers ended", lambda: not node.pids("imapd") and not node.pids("pop3d"), PATIENCE)
        wait_for("who is empty", lambda: "@example.com" not in node.tool("who").stdout)
