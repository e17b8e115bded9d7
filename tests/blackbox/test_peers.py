"""Peers in trouble, loops, identity, foreign peers."""
import os
import re
import signal
import threading
import time

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer, says, silent
from pool import PATIENCE, SLOW, Account, Marks, chown, free_port, wait_for

FAKES = 70
TIMEOUT = 2  # PROXY_TIMEOUT
ROOM = 3 * SLOW  # added to time limits, for a busy machine
DEAD = free_port(["127.0.2.1"])
POOL = {
    "settings": {"proxy": {"PROXY_TIMEOUT": TIMEOUT, "PROXY_TRUSTED": "127.0.0.9", "PROXY_SEND_ID": "127.0.1.0/24"}},
    "accounts": [
        Account("refused@example.com", mailhost=f"127.0.2.1:{DEAD}"),
        Account("unresolved@example.com", mailhost="no-such-host.invalid"),
        Account("alldown@example.com", mailhost=f"127.0.2.1:{DEAD} 127.0.2.2:{DEAD} no-such-host.invalid"),
        Account("loop@example.com", mailhost="localhost"),
        Account("loop2@example.com", mailhost="127.1"),
        Account("badhost@example.com", mailhost="127.0.2.1:notaport"),
    ],
}


def imap_unavailable(pool, account, within):
    """The client gets NO [UNAVAILABLE] with its own tag in time, and can continue."""
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        start = time.monotonic()
        reply = c.login(account.name, account.password)
        took = time.monotonic() - start
        assert reply.status == "NO" and reply.text.startswith(b"NO [UNAVAILABLE]"), reply
        assert took < within, f"{took:.1f} s"
    wait_for("a line about it", lambda: "TEMPORARY FAILURE" in marks.text() or account.name in marks.text())
    assert "LOGIN FAILED" not in marks.text()
    return marks


def pop3_unavailable(pool, account, within):
    marks = Marks(pool)
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        start = time.monotonic()
        answer = c.login(account.name, account.password)
        took = time.monotonic() - start
        assert answer.startswith(b"-ERR [SYS/TEMP]"), answer
        assert took < within, f"{took:.1f} s"
    wait_for("a line about it", lambda: "TEMPORARY FAILURE" in marks.text() or account.name in marks.text())
    assert "LOGIN FAILED" not in marks.text()
    return marks


@pytest.mark.parametrize("user", ["refused@example.com", "unresolved@example.com"])
def test_refused(fakes_pool, user):
    """A refused connection is answered within a second (a name that does not resolve within PROXY_TIMEOUT), and
    the log says why."""
    pool, _ = fakes_pool
    account = pool.accounts[user]
    bound = 1 * SLOW if user.startswith("refused") else TIMEOUT + ROOM
    for _ in range(3):
        marks = imap_unavailable(pool, account, bound)
        pop3_unavailable(pool, account, bound)
    host = account.mailhost.split(":")[0]
    wait_for("the log names the peer", lambda: host in marks.text())


def test_refused_does_not_keep_others_waiting(fakes_pool):
    pool, fakes = fakes_pool
    server, account = fakes.next(silent)
    waiting = [Imap("127.0.0.1", pool.imap_port) for _ in range(20)]
    for c in waiting:
        c.send(f"a LOGIN {account.name} {account.password}\r\n")
    start = time.monotonic()
    for _ in range(10):
        with Imap("127.0.0.1", pool.imap_port) as c:
            c.login_ok(pool.accounts["berta@example.com"])
    quick = time.monotonic() - start
    for c in waiting:
        assert b"[UNAVAILABLE]" in c.finish("a").text
        c.close()
    assert quick < time.monotonic() - start


def test_all_mailhosts_down(fakes_pool):
    """The log names all of them, each with its reason."""
    pool, _ = fakes_pool
    marks = imap_unavailable(pool, pool.accounts["alldown@example.com"], TIMEOUT + ROOM)
    line = wait_for("the line", lambda: next((x for x in marks.text().splitlines() if "TEMPORARY FAILURE, user=alldown@" in x), None))
    for host in "127.0.2.1", "127.0.2.2":  # in any order: one that is known to be down is tried last
        assert re.search(rf"mailhost {re.escape(host)}( cannot be reached)?: {re.escape(host)} port {DEAD}: Connection refused", line), line
    assert "mailhost no-such-host.invalid" in line, line


def test_badly_written_mailhost(fakes_pool):
    pool, _ = fakes_pool
    imap_unavailable(pool, pool.accounts["badhost@example.com"], TIMEOUT + ROOM)


IMAP_TROUBLE = {
    "silent": silent,
    "closes at once": lambda conn: None,
    "greets and closes": says("* OK hello\r\n", then_close=True),
    "greets and is silent": says("* OK [CAPABILITY IMAP4rev1] hello\r\n"),
    "half a greeting": says("* OK hel"),
    "http": says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "bye": says("* BYE go away\r\n"),
    "preauth": says("* PREAUTH welcome\r\n"),
    "pop3": says("+OK hello\r\n"),
    "binary": says(bytes(range(256)) * 40),
    "endless line": says(b"* OK " + b"x" * 3000000),
    "literal in the greeting": says("* OK {99999999999999999999}\r\n"),
    "tagged first": says("a1 OK hello\r\n"),
    "empty lines": says("\r\n" * 1000),
    "one byte a second": says("* OK [CAPABILITY IMAP4rev1] slow as can be\r\n", piece=1),
    "no, unavailable": imap_peer(verdict="NO", ok="[UNAVAILABLE] database is down"),
    "bad": imap_peer(verdict="BAD", ok="what do you want"),
}


def slow_greeting(conn):
    for ch in "* OK [CAPABILITY IMAP4rev1] slow as can be\r\n":
        conn.send(ch)
        time.sleep(1)


def wrong_tag(conn):
    conn.send("* OK [CAPABILITY IMAP4rev1] hello\r\n")
    conn.imap_command()
    conn.send("zzz9 OK done\r\n")
    conn.wait_gone()


def noise_for_ever(conn):
    conn.send("* OK [CAPABILITY IMAP4rev1] hello\r\n")
    conn.imap_command()
    while True:
        conn.send("* OK still here\r\n" * 100)
        time.sleep(0.01)


def plus_for_ever(conn):
    conn.send("* OK [CAPABILITY IMAP4rev1] hello\r\n")
    while True:
        conn.line()
        conn.send("+ go on\r\n" * 3)


def bye_at_login(conn):
    conn.send("* OK [CAPABILITY IMAP4rev1] hello\r\n")
    conn.imap_command()
    conn.send("* BYE too busy\r\n")


IMAP_TROUBLE.update({"one byte a second": slow_greeting, "wrong tag": wrong_tag, "noise for ever": noise_for_ever,
                     "plus for ever": plus_for_ever, "bye at login": bye_at_login})


@pytest.mark.parametrize("what", IMAP_TROUBLE)
def test_imap_peer_in_trouble(fakes_pool, what):
    """Whatever a peer does: a clear answer on the client's tag within PROXY_TIMEOUT, no LOGIN FAILED in the log."""
    pool, fakes = fakes_pool
    server, account = fakes.next(IMAP_TROUBLE[what])
    marks = imap_unavailable(pool, account, TIMEOUT + ROOM)
    assert server.conns, "the peer was asked"
    wait_for("the log names the peer", lambda: server.address in marks.text())


POP3_TROUBLE = {
    "silent": silent,
    "closes at once": lambda conn: None,
    "greets and closes": says("+OK hello\r\n", then_close=True),
    "greets and is silent": says("+OK hello\r\n"),
    "half a greeting": says("+OK hel"),
    "refuses": says("-ERR go away\r\n"),
    "imap": says("* OK hello\r\n"),
    "binary": says(bytes(range(256)) * 40),
    "endless line": says(b"+OK " + b"x" * 3000000),
    "temporary": pop3_peer(verdict="-ERR [SYS/TEMP] database is down"),
    "in use": pop3_peer(verdict="-ERR [IN-USE] mailbox is locked"),
}


@pytest.mark.parametrize("what", POP3_TROUBLE)
def test_pop3_peer_in_trouble(fakes_pool, what):
    pool, fakes = fakes_pool
    server, account = fakes.next(POP3_TROUBLE[what])
    if what == "in use":
        with Pop3("127.0.0.1", pool.pop3_port) as c:
            answer = c.login(account.name, account.password)
            assert answer.startswith((b"-ERR [IN-USE]", b"-ERR [SYS/TEMP]")), answer
        return
    marks = pop3_unavailable(pool, account, TIMEOUT + ROOM)
    assert server.conns, "the peer was asked"
    wait_for("the log names the peer", lambda: server.address in marks.text())


def test_peer_refuses_a_password_that_is_right_here(fakes_pool):
    """A refusal is forwarded as a refusal, with the client's tag."""
    pool, fakes = fakes_pool
    server, account = fakes.next(imap_peer(verdict="NO", ok="[AUTHENTICATIONFAILED] not here"))
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.login(account.name, account.password).status == "NO"
        c.ok("NOOP")
    server, account = fakes.next(pop3_peer(verdict="-ERR [AUTH] not here"))
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.login(account.name, account.password).startswith(b"-ERR")


def test_after_trouble_the_connection_can_still_log_in(fakes_pool):
    pool, _ = fakes_pool
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login("refused@example.com", pool.accounts["refused@example.com"].password)
        assert b"[UNAVAILABLE]" in reply.text
        c.login_ok(pool.accounts["berta@example.com"])


def test_peer_comes_back(fakes_pool):
    """A peer that was down is used again as soon as it is up: it is tried last, but never skipped."""
    pool, _ = fakes_pool
    account = pool.accounts["refused@example.com"]
    imap_unavailable(pool, account, 1 * SLOW)
    server = FakeServer("127.0.2.1", imap_peer(), port=DEAD)
    try:
        with Imap("127.0.0.1", pool.imap_port) as c:
            c.login_ok(account)
    finally:
        server.close()


@pytest.mark.parametrize("user", ["loop@example.com", "loop2@example.com"])
def test_loop_is_answered_at_once(fakes_pool, user):
    """A mailhost that leads back under another name: refused at once, and the log says that it is a loop."""
    pool, _ = fakes_pool
    account = pool.accounts[user]
    for _ in range(3):
        marks = imap_unavailable(pool, account, TIMEOUT)
    wait_for("the log calls it a loop", lambda: re.search(r"(?i)\bloops?\b", marks.text()))
    marks = pop3_unavailable(pool, account, TIMEOUT)
    wait_for("the log calls it a loop", lambda: re.search(r"(?i)\bloops?\b", marks.text()))


def test_hop_count_of_a_client_is_believed_when_it_is_lower(fakes_pool):
    """Nobody can raise the number of hops; a local login needs none."""
    pool, _ = fakes_pool
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.ok('ID ("x-proxy-ttl" "0")')
        reply = c.login("berta@example.com", pool.accounts["berta@example.com"].password)
        assert b"[UNAVAILABLE]" in reply.text, reply
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.ok('ID ("x-proxy-ttl" "1")')
        c.login_ok(pool.accounts["anna@example.com"])
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.ok('ID ("x-proxy-ttl" "200")')
        assert b"[UNAVAILABLE]" in c.login("loop@example.com", pool.accounts["loop@example.com"].password).text


def id_pairs(conn):
    pairs = {}
    for words in conn.commands:
        if words[1] == b"ID":
            args = [w for w in words[2:] if w not in (b"(", b")")]
            pairs.update(zip([a.lower() for a in args[::2]], args[1::2]))
    return pairs


def test_imap_identity_at_the_peer(fakes_pool):
    """The client's address, port and session id arrive; its own ID is forwarded without the reserved keys."""
    pool, fakes = fakes_pool
    server, account = fakes.next(imap_peer())
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port, source="127.0.0.55") as c:
        port = c.local_port
        c.ok('ID ("name" "mutt" "x-originating-ip" "6.6.6.6" "X-Originating-Port" "666" "x-session-id" "forged" '
             '"x-proxy-ttl" "250" "vendor" "someone \\"quoted\\"")')
        c.login_ok(account)
        session = marks.event(pool.node("127.0.0.1"), "LOGIN", account.name)["session"]
    pairs = id_pairs(server.last)
    assert pairs.get(b"x-originating-ip") in (b"127.0.0.55", b"::ffff:127.0.0.55"), pairs
    assert pairs.get(b"x-originating-port") == str(port).encode()
    assert pairs.get(b"x-session-id") == session.encode()
    assert 0 < int(pairs[b"x-proxy-ttl"]) < 10
    assert pairs.get(b"name") == b"mutt"
    assert pairs.get(b"vendor") == b'someone "quoted"'
    assert not {b"6.6.6.6", b"666", b"forged", b"250"} & set(pairs.values())
    assert not server.errors


def test_pop3_identity_at_the_peer(fakes_pool):
    """By XCLIENT, if the peer's greeting announces it."""
    pool, fakes = fakes_pool
    server, account = fakes.next(pop3_peer(greeting="+OK [XCLIENT] peer ready\r\n"))
    with Pop3("127.0.0.1", pool.pop3_port, source="127.0.0.56") as c:
        port = c.local_port
        c.login_ok(account)
    words = dict(w.split(b"=", 1) for x in server.last.xclient for w in x.split())
    assert words.get(b"ADDR") == b"127.0.0.56", words
    assert words.get(b"PORT") == str(port).encode()
    assert words.get(b"SESSION")
    assert 0 < int(words[b"TTL"]) < 10
    server, account = fakes.next(pop3_peer())
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        c.login_ok(account)
    assert not server.last.xclient, "no XCLIENT to a peer that did not say that it takes it"
    assert not server.errors


@pytest.mark.parametrize("capability", ["", "[CAPABILITY IMAP4rev1] ", "[CAPABILITY IMAP4rev1 ID] ", "[CAPABILITY IMAP4rev1 SASL-IR LITERAL+] ",
                                        "[CAPABILITY IMAP4rev1 LITERAL-] "])
def test_imap_peers_of_all_kinds(fakes_pool, capability):
    """Awkward passwords reach peers by the means that they announce."""
    pool, fakes = fakes_pool
    server, account = fakes.next(imap_peer(greeting=f"* OK {capability}peer\r\n"))
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        assert c.ok("HELLO").find(rb"ECHO HELLO")
    assert server.last.user == account.name.encode() and server.last.password == account.password.encode()
    assert not server.errors


@pytest.mark.parametrize("said,code", [("LIMIT", b"LIMIT"), ("CONTACTADMIN", b"CONTACTADMIN"), ("AUTHENTICATIONFAILED", b"UNAVAILABLE"),
                                       ("", b"UNAVAILABLE")])
def test_imap_refusal_in_the_greeting(fakes_pool, said, code):
    """A code passes on from there, too; a wrong password it never is."""
    pool, fakes = fakes_pool
    _, account = fakes.next(says(f"* BYE [{said}] not now\r\n" if said else "* BYE not now\r\n", then_close=True))
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.status == "NO" and reply.text.startswith(b"NO [" + code + b"] "), reply
        assert c.ok("NOOP")


@pytest.mark.parametrize("said,code", [("[IN-USE] busy", b"IN-USE"), ("[LOGIN-DELAY] wait", b"LOGIN-DELAY"), ("[SYS/PERM] never", b"SYS/PERM"),
                                       ("[AUTH] what", b"SYS/TEMP"), ("busy", b"SYS/TEMP")])
def test_pop3_refusal_in_the_greeting(fakes_pool, said, code):
    pool, fakes = fakes_pool
    _, account = fakes.next(says(f"-ERR {said}\r\n", then_close=True))
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.login(account.name, account.password).startswith(b"-ERR [" + code + b"] ")


def test_imap_alerts_of_a_peer(fakes_pool):
    """RFC 3501 7.1: their text must be presented to the user, so it reaches the client: before the answer to its login, or in it."""
    pool, fakes = fakes_pool
    _, account = fakes.next(imap_peer(greeting="* OK [ALERT] Maintenance tonight\r\n", before_ok="* NO [ALERT] Nearly full\r\n",
                                      ok="[ALERT] Read this\x01"))
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.send(f"a LOGIN {account.name} {account.password}\r\n")
        told = [c.line() for _ in range(4)]
        assert told[:3] == [b"* OK [ALERT] Maintenance tonight", b"* NO [ALERT] Nearly full", b"* OK [ALERT] Read this."] and told[3].startswith(b"a OK "), told
        assert c.ok("HELLO").find(rb"ECHO HELLO")
    _, account = fakes.next(imap_peer(verdict="NO", ok="[ALERT] Locked, call 555"))
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.login(account.name, account.password).text == b"NO [ALERT] Locked, call 555"
    wait_for("it is in the log", lambda: "LOGIN REFUSED" in marks.text() and "Locked, call 555" in marks.text())


def test_imap_peer_that_wants_tls_first(fakes_pool):
    """LOGINDISABLED: the password is not sent."""
    pool, fakes = fakes_pool
    server, account = fakes.next(imap_peer(greeting="* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] peer\r\n"))
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.status == "NO" and reply.text.startswith(b"NO [CONTACTADMIN]"), reply
    wait_for("a line about it", lambda: "accepts no logins without TLS" in marks.text())
    assert account.password.encode() not in server.last.raw


def test_imap_peer_that_knows_no_id(fakes_pool):
    pool, fakes = fakes_pool

    def script(conn):
        conn.send("* OK [CAPABILITY IMAP4rev1] old server\r\n")
        while True:
            words = conn.imap_command()
            if words[1] == b"LOGIN":
                conn.user, conn.password = words[2:4]
                conn.send(words[0] + b" OK in\r\n")
                break
            conn.send(words[0] + b" BAD unknown command\r\n")
        conn.until_eof()
    server, account = fakes.next(script)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
    assert not server.errors


def test_pop3_utf8_is_repeated_at_the_peer(fakes_pool):
    pool, fakes = fakes_pool
    for asked in (False, True):
        server, account = fakes.next(pop3_peer())
        with Pop3("127.0.0.1", pool.pop3_port) as c:
            if asked:
                c.ok("UTF8")
            c.login_ok(account)
        assert server.last.utf8 is asked
        assert not server.errors


def test_pop3_peer_that_refuses_utf8(fakes_pool):
    pool, fakes = fakes_pool

    def script(conn):
        conn.send("+OK old server\r\n")
        while True:
            words = conn.pop3_command()
            if words[0] in (b"USER", b"PASS", b"QUIT"):
                conn.send("+OK\r\n")
            else:
                conn.send("-ERR unknown\r\n")
    server, account = fakes.next(script)
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        c.ok("UTF8")
        assert c.login(account.name, account.password).startswith((b"+OK", b"-ERR [SYS/"))
    assert not server.errors


def test_forwarded_identity_from_a_trusted_network(fakes_pool):
    """PROXY_TRUSTED networks are trusted about the client; others are not."""
    pool, _ = fakes_pool
    account = pool.accounts["anna@example.com"]
    for source, believed in (("127.0.0.9", True), ("127.0.0.10", False)):
        marks = Marks(pool)
        with Imap("127.0.0.1", pool.imap_port, source=source) as c:
            c.ok('ID ("x-session-id" "from-afar" "x-originating-ip" "192.0.2.7" "x-originating-port" "1234" "x-proxy-ttl" "4")')
            c.login_ok(account)
            line = marks.event(pool.node("127.0.0.1"), "LOGIN", account.name, port=1234 if believed else c.local_port)
        assert line["ip"] == f"[::ffff:{'192.0.2.7' if believed else source}]"
        assert (line["session"] == "from-afar") is believed
        marks = Marks(pool)
        with Pop3("127.0.0.1", pool.pop3_port, source=source) as c:
            answer = c.cmd("XCLIENT ADDR=192.0.2.7 PORT=1234 SESSION=from-afar TTL=4")
            assert answer.startswith(b"+OK") or not believed
            c.login_ok(account)
            line = marks.event(pool.node("127.0.0.1"), "LOGIN", account.name, port=1234 if believed else c.local_port)
        assert line["ip"] == f"[::ffff:{'192.0.2.7' if believed else source}]"


def test_signed_identity_is_good_for_its_login_only(fakes_pool):
    """A signature for one login is not accepted for another."""
    pool, fakes = fakes_pool
    mark = "Waypost node 0123456789abcdef0123456789abcdef ready.\r\n"
    server, account = fakes.next(imap_peer(greeting=f"* OK [CAPABILITY IMAP4rev1 SASL-IR ID] {mark}"))
    with Imap("127.0.0.1", pool.imap_port, source="127.0.0.57") as c:
        c.login_ok(account)
    pairs = id_pairs(server.last)
    assert pairs[b"x-originating-ip"] == b"127.0.0.57" and b"x-waypost-auth" in pairs
    marks = Marks(pool)
    with Imap("127.0.0.2", pool.imap_port, source="127.0.0.58") as c:
        c.ok(b"ID (" + b" ".join(b'"%s" "%s"' % pair for pair in pairs.items()) + b")")
        c.login_ok(pool.accounts["berta@example.com"])
        line = marks.event(pool.node("127.0.0.2"), "LOGIN", "berta@example.com", port=c.local_port)
    assert line["ip"] == "[::ffff:127.0.0.58]", line
    server, account = fakes.next(pop3_peer(greeting=f"+OK [XCLIENT] {mark}"))
    with Pop3("127.0.0.1", pool.pop3_port, source="127.0.0.57") as c:
        c.login_ok(account)
    assert b"WAYPOST-AUTH=" in server.last.xclient[0]
    marks = Marks(pool)
    with Pop3("127.0.0.2", pool.pop3_port, source="127.0.0.58") as c:
        for words in server.last.xclient:
            c.cmd(b"XCLIENT " + words)
        c.login_ok(pool.accounts["berta@example.com"])
        line = marks.event(pool.node("127.0.0.2"), "LOGIN", "berta@example.com", port=c.local_port)
    assert line["ip"] == "[::ffff:127.0.0.58]", line


def test_nodes_with_another_secret_do_not_believe_each_other(make_pool):
    """The login works; the owner logs and counts the forwarding node."""
    p = make_pool(nodes=2, accounts=[Account("there@example.com", mailhost="127.0.0.2")], start=False)
    for node in p.nodes:
        path = f"{p.root}/secret.{node.address}"
        with open(path, "w") as f:
            f.write(f"the secret of {node.address} alone\n")
        os.chmod(path, 0o600)
        chown(path)
    p.write_conf({"POOL_SECRETFILE": p.root + "/secret.${PROXY_HOSTNAME}"})
    p.start()
    for kind, port in ((Imap, p.imap_port), (Pop3, p.pop3_port)):
        marks = Marks(p)
        with kind("127.0.0.1", port, source="127.0.0.59") as c:
            c.login_ok(p.accounts["there@example.com"])
            program = "imapd" if kind is Imap else "pop3d"
            here = marks.event(p.nodes[0], "LOGIN", "there@example.com", program)
            there = marks.event(p.nodes[1], "LOGIN", "there@example.com", program)
        assert here["ip"] == "[::ffff:127.0.0.59]"
        assert there["ip"] != "[::ffff:127.0.0.59]"


@pytest.mark.parametrize("bad", ['"x-originating-ip" "192.0.2.7\\"x"', '"x-originating-ip" "not an address"', '"x-originating-port" "99999999"',
                                 '"x-proxy-ttl" "-5"', '"x-proxy-ttl" "99999999999999999999"', '"x-session-id" "a, user=root, ip=[1.2.3.4]"',
                                 '"x-originating-ip" NIL', '"x-originating-ip" ""'])
def test_bad_forwarded_identity(fakes_pool, bad):
    """Garbage in reserved keys does no harm, not even from a trusted peer, and forges no log line."""
    pool, _ = fakes_pool
    account = pool.accounts["anna@example.com"]
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port, source="127.0.0.9") as c:
        assert c.cmd(f"ID ({bad})").status in ("OK", "BAD")
        c.login(account.name, account.password)
        c.ok("NOOP")
    assert "user=root" not in marks.text()


def test_foreign_peers(make_pool):
    """IMAP_PROXY_FOREIGN: the peer's capabilities as an untagged line before our own tagged OK."""
    server = FakeServer("127.0.3.1")
    p = make_pool(nodes=1, settings={"imapd": {"IMAP_PROXY_FOREIGN": 1}},
                  accounts=[Account("foreign@example.com", mailhost=server.host)])
    for where in ("in the greeting", "on request", "in the ok", "refused"):
        ok = {"in the ok": "[CAPABILITY IMAP4rev1 XPEER-ONLY] in"}.get(where, "in")

        def serve(conn):
            while True:
                tag, _, rest = conn.line().partition(b" ")
                if rest.upper() == b"CAPABILITY":
                    if where == "refused":
                        conn.send(tag + b" BAD no\r\n")
                    else:
                        conn.send(b"* CAPABILITY IMAP4rev1 XPEER-ONLY\r\n" + tag + b" OK done\r\n")
                else:
                    conn.send(tag + b" OK ECHO " + rest + b"\r\n")
        server.script = imap_peer(serve, ok=ok, greeting="* OK [CAPABILITY IMAP4rev1] foreign\r\n")
        with Imap("127.0.0.1", p.imap_port) as c:
            reply = c.login("foreign@example.com", "secret-foreign@example.com")
            assert reply.ok, (where, reply)
            capability = reply.find(rb"^\* CAPABILITY ")
            if where != "refused":
                assert capability and b"XPEER-ONLY" in capability, (where, reply)
            assert b"ECHO NOOP" in c.ok("NOOP").text, where
    server.close()
    assert not server.errors


def slow_for(name, served):
    """An IMAP peer that logs everybody in but NAME, whose login hangs; it counts who was served."""
    def script(conn):
        conn.send("* OK [CAPABILITY IMAP4rev1] ready\r\n")
        while True:
            words = conn.imap_command()
            tag, verb = words[0].decode(), words[1]
            if verb == b"LOGIN" and words[2].startswith(name):
                conn.wait_gone()
                return
            if verb == b"LOGIN":
                served.append(words[2].decode())
            conn.send(f"{tag} OK done\r\n")
    return script


def test_one_accounts_slow_mailbox_is_not_its_hosts(make_pool):
    """An account whose login hangs at the first of two hosts, as often as it likes: others are still served there. If the logins
    of several accounts hang and none succeeds, the host is down."""
    first, second = [], []
    port = free_port(["127.0.1.1", "127.0.1.2"])
    servers = [FakeServer("127.0.1.1", slow_for(b"slow", first), port), FakeServer("127.0.1.2", slow_for(b"nobody", second), port)]
    hosts = f"127.0.1.1:{port} 127.0.1.2:{port}"
    p = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": 1}, "pop3d": None}, accounts=[
        Account(f"{name}{i}@example.com", mailhost=hosts) for name in ("slow", "quick") for i in range(4)])

    def login(name):
        with Imap("127.0.0.1", p.imap_port) as c:
            a = p.accounts[f"{name}@example.com"]
            return c.login(a.name, a.password).status

    for i in range(5):
        assert login("slow0") == "NO"
        assert login("quick0") == "OK" and len(first) == i + 1 and not second
    for i in range(4): # others are served meanwhile
        assert login(f"slow{i}") == "NO" and login("quick1") == "OK"
    assert len(first) == 9 and not second and p.nodes[0].status()["counts"]["peers_down"] == 0
    time.sleep(1.1) # what began in the second of a success does not count
    for i in range(3):
        assert login(f"slow{i}") == "NO"
    wait_for("it is down", lambda: p.nodes[0].status()["counts"]["peers_down"] == 1)
    assert login("quick2") == "OK" and second == ["quick2@example.com"]
    p.nodes[0].wait_log("does not answer logins of several accounts")
    for server in servers:
        server.close()


class Busy:
    """Three hosts of some accounts, and what each says."""

    def __init__(self, make_pool, protocol="imap", names=("a", "b", "c", "d")):
        self.protocol = protocol
        hosts = [f"127.0.1.{i}" for i in (1, 2, 3)]
        port = free_port(hosts)
        self.servers = [FakeServer(host, None, port) for host in hosts]
        for i in range(3):
            self.says(i)
        accounts = [Account(f"{name}@example.com", mailhost=" ".join(s.host for s in self.servers)) for name in names]
        self.pool = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": TIMEOUT}}, accounts=accounts)
        self.node = self.pool.nodes[0]

    def says(self, i, greeting=None, verdict=None):
        """Host I refuses all with GREETING, or each login with VERDICT; else it lets everybody in."""
        peer = imap_peer if self.protocol == "imap" else pop3_peer
        good = peer()
        if verdict is not None:
            good = imap_peer(verdict="NO", ok=verdict) if self.protocol == "imap" else pop3_peer(verdict="-ERR " + verdict)
        self.servers[i].script = says(greeting, then_close=True) if greeting is not None else good

    def asked(self):
        """How often each host was connected to."""
        return [len(s.conns) for s in self.servers]

    def login(self, name):
        a = self.pool.accounts[f"{name}@example.com"]
        if self.protocol == "imap":
            with Imap("127.0.0.1", self.pool.imap_port) as c:
                return c.login(a.name, a.password).status == "OK"
        with Pop3("127.0.0.1", self.pool.pop3_port) as c:
            return c.login(a.name, a.password).startswith(b"+OK")

    def listed(self):
        return re.findall(r"^peers_busy_list\s+(\S+)$", self.node.tool("status").stdout, re.M)

    def close(self):
        for s in self.servers:
            s.close()
            assert not s.errors


@pytest.mark.parametrize("protocol,greeting", [("imap", "* BYE [UNAVAILABLE] full\r\n"), ("pop3", "-ERR [SYS/TEMP] full\r\n")])
def test_a_peer_that_is_busy_is_left_alone(make_pool, protocol, greeting):
    """It says that it takes no logins: those of other accounts go to their next host without asking it, as long as one is neither
    busy nor down; then it is asked again, before one that is down. A login that it takes makes it the first again."""
    b = Busy(make_pool, protocol)
    b.says(0, greeting)
    assert b.login("a") and b.asked() == [1, 1, 0]
    wait_for("it is busy", lambda: b.listed() == [b.servers[0].host])
    b.node.wait_log("takes no logins now: logins try others first")
    assert re.search(r"\[127\.0\.1\.1\] busy", b.node.tool("route", "b@example.com").stdout)
    assert b.login("b") and b.asked() == [1, 2, 0]
    b.says(0)
    for i in (1, 2):
        b.servers[i].close()  # nobody listens there
    asked = b.asked()
    assert b.login("c") and b.asked() == [asked[0] + 1] + asked[1:]
    wait_for("it is not busy", lambda: b.listed() == [])
    b.says(0, greeting)
    wait_for("the others are down", lambda: not b.login("d") and b.node.status()["counts"]["peers_down"] == 2)
    wait_for("the first one is busy", lambda: b.listed() == [b.servers[0].host])
    b.says(0)
    b.servers[1] = FakeServer("127.0.1.2", port=b.servers[1].port)
    b.says(1)
    asked = b.asked()
    assert b.login("d") and b.asked() == [asked[0] + 1] + asked[1:]
    b.close()


@pytest.mark.parametrize("protocol,verdict", [("imap", "[UNAVAILABLE] no"), ("pop3", "[SYS/TEMP] no")])
def test_a_peer_that_fails_several_accounts_is_busy(make_pool, protocol, verdict):
    """A temporary failure once the login was sent goes to the client, and may be about that account: the host is busy when it was
    said of several. A wrong password says nothing of the host."""
    wrong = "[AUTHENTICATIONFAILED] no" if protocol == "imap" else "[AUTH] no"
    b = Busy(make_pool, protocol)
    b.says(0, verdict=wrong)
    for name in "abcd":
        assert not b.login(name)
    b.says(0, verdict=verdict)
    for _ in range(4):
        assert not b.login("a")
    assert not b.login("b") and b.listed() == [] and b.asked() == [9, 0, 0]
    assert not b.login("c")
    wait_for("it is busy", lambda: b.listed() == [b.servers[0].host])
    b.node.wait_log("answers logins of several accounts with temporary failures")
    for name in "abcd":
        assert b.login(name)
    assert b.asked() == [10, 4, 0]
    assert b.node.status()["counts"]["peers_down"] == 0
    b.close()


@pytest.mark.once
def test_a_worker_that_was_stopped_does_not_blame_a_peer(make_pool):
    """The greeting comes while it is stopped, for longer than PROXY_TIMEOUT: the login goes on where it was."""
    asked, greet = threading.Event(), threading.Event()

    def script(conn):
        asked.set()
        assert greet.wait(PATIENCE)
        imap_peer()(conn)

    server = FakeServer("127.0.1.1", script)
    account = Account("anna@example.com", mailhost=f"127.0.1.1:{server.port}")
    p = make_pool(nodes=1, settings={"LOGIN_WORKERS": 1, "proxy": {"PROXY_TIMEOUT": 3}}, accounts=[account])
    node, replies = p.nodes[0], []
    worker = node.pids("worker")[0]
    with Imap("127.0.0.1", p.imap_port) as c:
        login = threading.Thread(target=lambda: replies.append(c.login(account.name, account.password)))
        login.start()
        assert asked.wait(PATIENCE)
        os.kill(worker, signal.SIGSTOP)
        try:
            greet.set()
            time.sleep(4)
        finally:
            os.kill(worker, signal.SIGCONT)
        login.join()
        assert replies[0].ok, replies
    assert "does not answer" not in node.log() and node.status()["counts"]["peers_down"] == 0
    server.close()


def test_health_belongs_to_a_protocol(make_pool):
    """A POP3 login to a port where IMAP is spoken sends no IMAP login to another host."""
    served, other = [], []
    port = free_port(["127.0.1.1", "127.0.1.2"])
    servers = [FakeServer("127.0.1.1", slow_for(b"nobody", served), port), FakeServer("127.0.1.2", slow_for(b"nobody", other), port)]
    account = Account("two@example.com", mailhost=f"127.0.1.1:{port} 127.0.1.2:{port}")
    p = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": 2}}, accounts=[account])
    for i in range(3):
        pop3_unavailable(p, account, 2 + ROOM)
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(account)
        assert len(served) == i + 1 and not other
    for server in servers:
        server.close()
