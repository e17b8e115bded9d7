"""Hostile and broken clients before login: they get a bounded reply or a clean end, and nobody else is affected."""
import os
import random
import re
import time

import pytest

from client import Closed, Imap, Pop3
from pool import SLOW, Marks, rss_kib, wait_for

LIMIT = 3  # LOGIN_TIMEOUT
POOL = {"nodes": 2, "settings": {"LOGIN_TIMEOUT": LIMIT, "LOGIN_WORKERS": 1}}


@pytest.fixture(autouse=True)
def nobody_else_notices(pool):
    """A local and a forwarded session stay open over each test; the worker does not grow."""
    berta = pool.accounts["berta@example.com"]
    workers = {pid: rss_kib(pid) for node in pool.nodes for pid in node.pids("worker")}
    with Imap("127.0.0.1", pool.imap_port) as a, Pop3("127.0.0.2", pool.pop3_port) as b:
        a.login_ok(berta)
        b.login_ok(berta)
        yield
        a.ok("NOOP")
        b.ok("NOOP")
    for node in pool.nodes:
        for pid in node.pids("worker"):
            assert pid in workers, "a worker died"
            assert rss_kib(pid) < workers[pid] + 8192
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(berta)


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def imap(pool):
    with Imap("127.0.0.1", pool.imap_port) as c:
        yield c


@pytest.fixture
def pop3(pool):
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        yield c


def try_send(c, data):
    try:
        c.send(data)
    except OSError:
        pass


def test_imap_overlong_line(imap):
    try_send(imap, b"a LOGIN " + b"x" * (1 << 20) + b"\r\n")
    text = imap.rest() if imap.is_closed(2) else imap.buf
    assert text == b"" or b"BAD" in text or b"BYE" in text, text[:200]
    assert b" NO " not in text and b" OK " not in text


def test_imap_endless_line(imap):
    """A line without an end: its memory is limited."""
    for _ in range(64):
        try_send(imap, b"y" * (1 << 20))
    assert imap.is_closed()


def test_pop3_overlong_line(pop3):
    try_send(pop3, b"USER " + b"x" * (1 << 20) + b"\r\n")
    text = pop3.rest() if pop3.is_closed(2) else pop3.buf
    assert text == b"" or text.startswith(b"-ERR"), text[:200]


@pytest.mark.parametrize("start", [b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"AUTH LOGIN dQ==\r\n", b"XCLIENT ADDR=", b"APOP "])
def test_pop3_overlong_argument(pop3, start):
    """A line that has no end is refused at its bound, also one of an exchange, and nothing behind it is a command."""
    try_send(pop3, start + b"A" * (1 << 20) + b"\r\nCAPA\r\n")
    assert pop3.is_closed()
    assert b"-ERR" in pop3.buf or pop3.buf.strip(b"+ VXNlcm5hbWUGFzc3dvcmQ6\r\n") == b"", pop3.buf[:200]
    assert b"IMPLEMENTATION" not in pop3.buf


@pytest.mark.parametrize("kind", [Imap, Pop3])
def test_exchanges_cancelled_without_end(pool, kind):
    """Each is let go of (CVE-2017-15132): the worker does not grow, and the client may still log in (RFC 5034 section 4)."""
    with kind("127.0.0.1", pool.imap_port if kind is Imap else pool.pop3_port) as c:
        for i in range(300):
            c.send(b"a AUTHENTICATE LOGIN\r\n" if kind is Imap else b"AUTH LOGIN\r\n")
            assert c.line().startswith(b"+ ")
            if i % 2 == 0:
                c.send(b"dQ==\r\n")
                assert c.line().startswith(b"+ ")
            c.send((b"*", b"!", b"\xff\0")[i % 3] + b"\r\n")
            assert c.line().startswith(b"a BAD" if kind is Imap else b"-ERR")
        c.login_ok(pool.accounts["berta@example.com"])


def test_imap_literal_too_big(imap):
    for size in (b"70000", b"999999999", b"4294967296", b"18446744073709551616", b"9" * 100):
        tag = imap.tag()
        imap.send(tag.encode() + b" LOGIN {%s}\r\n" % size)
        reply = imap.finish(tag)
        assert reply.status == "BAD", reply
        assert not reply.untagged, "it was not asked for"


def test_imap_nonsync_literal_too_big(pool):
    """The bytes are on their way already: the connection ends or they are skipped; none is read as a command."""
    for size in (70000, 10000000):
        with Imap("127.0.0.1", pool.imap_port) as c:
            try_send(c, b"a LOGIN {%d+}\r\n" % size + b"x NOOP\r\n" * (size // 8) + b" pw\r\nb NOOP\r\n")
            c.is_closed(2)
            assert b"x OK" not in c.buf
            assert b"a OK" not in c.buf and b"a NO" not in c.buf


def test_imap_bad_literals(imap):
    for text in ("LOGIN {-1}", "LOGIN {}", "LOGIN {5", "LOGIN {5x}", "LOGIN { 5}", "LOGIN {5}}", "LOGIN {0x10}"):
        assert imap.cmd(text).status == "BAD", text
    imap.ok("NOOP")


def test_imap_unknown_and_malformed(pool):
    for text in ("FROB", "FROB a b c", "LOGIN", "LOGIN a", "LOGIN a b c", 'LOGIN "a b', 'LOGIN "a\\', "AUTHENTICATE", "LOGIN () ()", "SELECT INBOX",
                 "CAPABILITY x", "LOGINx a b", "NOOP NOOP"):
        with Imap("127.0.0.1", pool.imap_port) as c:
            reply = c.cmd(text)
            assert reply.status == "BAD", (text, reply)
            c.ok("NOOP")


def test_imap_no_tag(imap):
    for text in (b"\r\n", b" NOOP\r\n", b"* NOOP\r\n", b"+ NOOP\r\n", b"(\r\n", b"tag\r\n"):
        imap.send(text)
        line = imap.line()
        assert line.startswith((b"* BAD", b"tag BAD")), (text, line)
    imap.ok("NOOP")


def test_pop3_unknown_and_malformed(pool):
    for text in (b"", b"FROB", b"USER", b"PASS", b"PASS x", b"STAT", b"RETR 1", b"AUTH X Y Z", b" QUIT", b"\xff\xfe"):
        with Pop3("127.0.0.1", pool.pop3_port) as c:
            answer = c.cmd(text)
            assert answer.startswith(b"-ERR"), (text, answer)
            c.multi("CAPA")


def test_imap_nul(imap):
    imap.send(b"a NOOP\0\r\n")
    text = imap.line()
    assert text.startswith((b"a BAD", b"* BAD")), text
    imap.send(b"b LOGIN \"an\0na\" x\r\n")
    text = imap.line()
    assert text.startswith((b"b BAD", b"* BAD")), text
    imap.send(b"c LOGIN {5+}\r\nan\0na x\r\n")
    text = imap.line()
    assert text.startswith((b"c BAD", b"c NO")), text


def test_pop3_nul(pop3):
    assert pop3.cmd(b"USER an\0na").startswith(b"-ERR")
    assert pop3.cmd(b"NOO\0P").startswith(b"-ERR")


@pytest.mark.parametrize("kind", [Imap, Pop3])
def test_nothing_at_all(pool, kind):
    """Ended cleanly when the time for the login is over; never with a reset."""
    c = kind("127.0.0.1", pool.imap_port if kind is Imap else pool.pop3_port)
    start = time.monotonic()
    text = c.rest()
    took = time.monotonic() - start
    assert LIMIT - 1.5 < took < LIMIT + 5 * SLOW
    assert text == b"" or text.startswith((b"* BYE", b"-ERR")), text


def outlast(c, data, each):
    """Sends DATA every EACH seconds until the deadline for the login."""
    end = time.monotonic() + LIMIT + 5 * SLOW
    while not c.is_closed(each):
        assert time.monotonic() < end, "still open"
        try_send(c, data)


@pytest.mark.parametrize("start", [b"a LOGIN {10}\r\nabc", b"a LOGIN {10+}\r\nabc", b"a AUTHENTICATE PLAIN\r\nabc", b"a LOGIN anna", b"a", b""])
def test_imap_unfinished(pool, start):
    """One deadline for the whole login, however the time is spent: here a byte now and then."""
    c = Imap("127.0.0.1", pool.imap_port)
    try_send(c, start)
    outlast(c, b"x", 0.7)
    assert b"a OK" not in c.buf and b"a NO" not in c.buf, c.buf


def test_pop3_unfinished(pool):
    outlast(Pop3("127.0.0.1", pool.pop3_port), b"U", 0.7)


def test_deadline_is_not_moved_by_commands(pool):
    outlast(Imap("127.0.0.1", pool.imap_port), b"n NOOP\r\n", 0.5)


def test_many_mistakes(pool):
    """A client that only sends bad commands is disconnected, or gets a reply each time."""
    with Imap("127.0.0.1", pool.imap_port) as c:
        try_send(c, b"a FROB\r\n" * 2000)
        c.is_closed(2)
        for line in c.buf.split(b"\r\n"):
            assert line[:5] in (b"a BAD", b"* BYE", b"* BAD", b"") or not c.buf.endswith(line + b"\r\n"), line
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        try_send(c, b"FROB\r\n" * 2000)
        c.is_closed(2)
        assert set(line[:4] for line in c.buf.split(b"\r\n")) <= {b"-ERR", b""}


@pytest.mark.parametrize("verb", [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT"])
def test_a_browsers_request_ends_the_connection(pool, verb):
    """Without a reply, and without a look at its body, in which somebody else's page logs in."""
    anna = pool.accounts["anna@example.com"]
    node = pool.node("127.0.0.1")
    head = verb + b" /x HTTP/1.1\r\nHost: mail.example.com\r\nContent-Length: 99\r\n\r\n"
    for kind, port, body in ((Imap, pool.imap_port, "a LOGIN %s %s\r\nb LOGOUT\r\n"), (Pop3, pool.pop3_port, "USER %s\r\nPASS %s\r\n")):
        mark = node.log_mark()
        with kind("127.0.0.1", port) as c:
            c.send(head + (body % (anna.name, anna.password)).encode())
            assert c.is_closed(2 * SLOW)
            assert c.buf == b"", c.buf
            node.wait_log(r"HTTP REQUEST, ip=\[::ffff:127.0.0.1\], port=\[%d\]" % c.local_port, mark)
            assert anna.name not in node.log_since(mark)


def test_last_words_to_a_client_that_is_gone(pool):
    """The last reply meets a reset: only that connection ends."""
    for i in range(100):
        kind, port = (Imap, pool.imap_port) if i % 2 else (Pop3, pool.pop3_port)
        c = kind("127.0.0.1", port)
        try_send(c, (b"a FROB\r\n" if i % 2 else b"FROB\r\n") * 30 + (b"a LOGOUT\r\n" if i % 2 else b"QUIT\r\n"))
        c.abort()


def test_noise(pool):
    """Random bytes, some of them near the grammar, on both protocols."""
    rnd = random.Random(1)
    words = [b"a ", b"LOGIN ", b"AUTHENTICATE ", b"PLAIN ", b"{5}", b"{5+}", b"\r\n", b'"', b"\\", b"(", b"ID ", b"NIL", b"\0", b"*", b"=",
             b"USER ", b"PASS ", b"AUTH ", b"XCLIENT ", b"ADDR=", b"CAPA", b"UTF8", b"anna@example.com", b"\xff"]
    for i in range(150):
        kind, port = (Imap, pool.imap_port) if i % 2 else (Pop3, pool.pop3_port)
        with kind("127.0.0.1", port) as c:
            data = b"".join(rnd.choice(words) if rnd.random() < 0.8 else bytes(rnd.randrange(256) for _ in range(rnd.randrange(40)))
                            for _ in range(rnd.randrange(1, 60)))
            try_send(c, data)
            if rnd.random() < 0.5:
                c.abort()


def test_log_is_not_forged(pool):
    """A name cannot forge lines or fields in the log."""
    marks = Marks(pool)
    name = b"x, ip=[192.0.2.66], port=[1]\nimapd: LOGIN, user=root"
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.cmd(b"LOGIN {%d+}\r\n%s {2+}\r\npw" % (len(name), name))
        c.cmd(b"LOGIN \"x y, ip=[192.0.2.66]\" pw")
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(pool.accounts["berta@example.com"])
        marks.event(pool.node("127.0.0.1"), "LOGIN", "berta@example.com", port=c.local_port)
    for line in marks.text().splitlines():
        assert not line.startswith("imapd: LOGIN, user=root")
        assert "LOGIN, user=root" not in line or "LOGIN FAILED" in line


def test_formats_of_printf(pool):
    """What a client says is no format, in a reply or in the log, where it stands as it was said (CVE-2004-0777, CVE-2007-5740)."""
    node, word = pool.node("127.0.0.1"), "%n%s%1000000d%n"
    mark = node.log_mark()
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.send(f"{word} NOOP\r\n")
        assert c.line().startswith(b"* BAD ")
        assert c.cmd(f'LOGIN "{word}@imap" "{word}"').status == "NO"
        c.ok(f'ID ("{word}" "{word}")')
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.cmd(word).startswith(b"-ERR ")
        assert c.cmd(f"AUTH {word}").startswith(b"-ERR ")
        c.ok(f"USER {word}@pop3")
        assert c.cmd(f"PASS {word}").startswith(b"-ERR [AUTH]")
    for name in "imap", "pop3":
        node.wait_log(rf"LOGIN FAILED, user={re.escape(word)}@{name}, ", mark)


def test_thousand_connections_that_say_nothing(pool):
    """They cost little and end in time; logins work meanwhile."""
    conns = []
    try:
        for i in range(400):
            conns.append(Imap("127.0.0.1", pool.imap_port, greeting=False))
        for _ in range(5):
            with Imap("127.0.0.1", pool.imap_port) as c:
                c.login_ok(pool.accounts["anna@example.com"])
        for c in conns:
            assert c.is_closed(LIMIT + 10 * SLOW)
    finally:
        for c in conns:
            c.close()


def test_connections_closed_at_once(pool):
    """All are closed, and none is counted or logged as a login attempt."""
    node = pool.nodes[0]
    worker = node.pids("worker")[0]
    before, mark = open_files(worker), node.log_mark()
    for i in range(200):
        c = (Imap if i % 2 else Pop3)("127.0.0.1", pool.imap_port if i % 2 else pool.pop3_port, greeting=False)
        (c.abort if i % 3 else c.close)()
    wait_for("their descriptors are closed", lambda: open_files(worker) <= before)
    assert "LOGIN" not in node.log_since(mark)
