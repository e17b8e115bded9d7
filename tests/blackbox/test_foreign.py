"""Servers of other kinds as peers: what they do that ours do not."""
import pytest

from client import Imap, Pop3
from fakeserver import imap_echo, imap_peer, pop3_echo, pop3_peer, says
from pool import Marks, wait_for

FAKES = 40
POOL = {"nodes": 1}
LISTED = "[CAPABILITY IMAP4rev1] "


def served(server, account):
    return server.last.user == account.name.encode() and server.last.password == account.password.encode() and not server.errors


def test_its_list_is_in_the_answer_to_the_login(fakes_pool):
    """Without IMAP_PROXY_FOREIGN, if it tells one with its own answer; nothing is asked for it."""
    pool, fakes = fakes_pool
    for ok, told in (("[CAPABILITY IMAP4rev1 XPEER] in", b"OK [CAPABILITY IMAP4rev1 XPEER] "), ("in", b"OK LOGIN")):
        server, account = fakes.next(imap_peer(greeting=f"* OK {LISTED}x\r\n", ok=ok))
        with Imap("127.0.0.1", pool.imap_port) as c:
            reply = c.login(account.name, account.password)
            assert reply.ok and reply.text.startswith(told) and not reply.find(rb"^\* CAPABILITY"), reply
            assert c.ok("HELLO").find(rb"ECHO HELLO")
        assert [words[1] for words in server.last.commands] == [b"LOGIN"]
        assert served(server, account)


def test_many_lines_before_its_answer(fakes_pool):
    """Whatever it tells first, the client gets its own answer, and then the session's bytes alone."""
    pool, fakes = fakes_pool
    lines = "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* LIST () \".\" {5}\r\nINBOX\r\n* NO full soon\r\n* BAD clear text\r\n" * 4
    server, account = fakes.next(imap_peer(before_ok=lines, behind_ok="* 5 EXISTS\r\n"))
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.ok and not reply.untagged, reply
        assert c.line() == b"* 5 EXISTS"
        assert c.ok("HELLO").find(rb"ECHO HELLO")
    assert served(server, account)


def test_text_that_looks_like_a_literal(fakes_pool):
    """Text of a status response may end like the size of a literal; only a code in it, and other lines, go on in one."""
    pool, fakes = fakes_pool
    lines = "* OK look at {12}\r\n* NO [ALERT] full {3}\r\n* OK [X {4}\r\nab {] y\r\n* LIST () \".\" {5}\r\na {7}\r\n* BAD {1}\r\n"
    server, account = fakes.next(imap_peer(before_ok=lines))
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.ok and [u[:11] for u in reply.untagged] == [b"* NO [ALERT"], reply
        assert c.ok("HELLO").find(rb"ECHO HELLO")
    assert served(server, account)


def test_a_literal_without_end(fakes_pool):
    """No answer to a login has as much as that."""
    pool, fakes = fakes_pool
    server, account = fakes.next(imap_peer(before_ok="* LIST () \".\" {65537}\r\n"))
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.login(account.name, account.password).text.startswith(b"NO [UNAVAILABLE]")
    assert not server.errors


def test_lines_without_cr(fakes_pool):
    """As GNU imap4d ends its answer to AUTHENTICATE."""
    pool, fakes = fakes_pool
    ends = "* OK x\n* 1 EXISTS\nL OK in\n"
    server, account = fakes.next(says_all("* OK [CAPABILITY IMAP4rev1] x\n", ends))
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.login(account.name, account.password).ok
        assert c.ok("HELLO").find(rb"ECHO HELLO")
    server, account = fakes.next(says_all("+OK x\n", "+OK in\n", "+OK in\n"))
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.login(account.name, account.password).startswith(b"+OK")
        assert c.cmd("HELLO") == b"+OK echo HELLO"


def says_all(greeting, *answers):
    """A script: the answers, one for each line; then it is a peer that echoes."""
    def script(conn):
        conn.send(greeting)
        for answer in answers:
            conn.line()
            conn.send(answer)
        (pop3_echo if greeting.startswith("+") else imap_echo)(conn)
    return script


@pytest.mark.parametrize("greeting,answers,good", [
    ("+OK x\r\n", ("+OK\r\n", "+OK\r\n"), True), ("+ok, x\r\n", ("+OK\tx\r\n", "+OK: x\r\n"), True), ("+OKAY x\r\n", (), False),
    ("+OK x\r\n", ("+OKAY\r\n",), False), ("+OK x\r\n", ("+OK\r\n", "+OK2 in\r\n"), False), ("+OK x\r\n", ("+OK\r\n", "-ERROR no\r\n"), False)])
def test_pop3_words(fakes_pool, greeting, answers, good):
    """A longer word is not +OK, and is no refusal either."""
    pool, fakes = fakes_pool
    server, account = fakes.next(says_all(greeting, *answers))
    marks = Marks(pool)
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        answer = c.login(account.name, account.password)
        assert answer.startswith(b"+OK" if good else b"-ERR [SYS/TEMP]"), answer
    assert "LOGIN FAILED" not in marks.text()
    assert not server.errors


@pytest.mark.parametrize("capability,verb", [("IMAP4rev1 LOGINDISABLED AUTH=PLAIN", b"AUTHENTICATE"),
                                             ("IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR", b"AUTHENTICATE"), ("IMAP4rev1 AUTH=PLAIN", b"LOGIN")])
@pytest.mark.parametrize("where", ["greeting", "asked"])
def test_authenticate_only(fakes_pool, where, capability, verb):
    """LOGINDISABLED forbids LOGIN, not SASL. A greeting without a list is no list."""
    pool, fakes = fakes_pool
    logs_in = imap_peer(greeting=f"* OK [CAPABILITY {capability}] x\r\n" if where == "greeting" else "")

    def script(conn):
        if where == "asked":
            conn.send("* OK x\r\n")
            tag, asked = conn.imap_command()
            assert asked == b"CAPABILITY"
            conn.send(f"* CAPABILITY {capability}\r\n{tag.decode()} OK x\r\n")
        logs_in(conn)
    server, account = fakes.next(script)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
    assert served(server, account) and server.last.login_verb == verb


def test_no_password_before_its_list(fakes_pool):
    """It says only when it is asked that it takes no login without TLS."""
    pool, fakes = fakes_pool

    def script(conn):
        conn.send("* OK x\r\n")
        tag = conn.imap_command()[0]
        conn.send(b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n" + tag + b" OK x\r\n")
        conn.wait_gone()
    server, account = fakes.next(script)
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.status == "NO" and reply.text.startswith(b"NO [CONTACTADMIN]"), reply
    assert account.password.encode() not in server.last.raw


def bye_in_the_middle(conn):
    conn.send("* OK x\r\n* BYE and away\r\n")


def refuses_literals(conn):
    conn.send(f"* OK {LISTED}x\r\n")
    tag = conn.line().split()[0]
    conn.send(tag + b" BAD no literals here\r\n")
    conn.wait_gone()


@pytest.mark.parametrize("script,word", [(says("* PREAUTH [CAPABILITY IMAP4rev1] x\r\n"), "PREAUTH"), (bye_in_the_middle, "and away"),
                                         (says("* OK x\r\n", then_close=True), "cannot be reached"), (refuses_literals, "no literals here")])
def test_no_session_there(fakes_pool, script, word):
    """One that has logged in somebody, whoever that is, gets no client; nor one that goes away, or takes no literal that is needed.
    The client hears of trouble, not of a wrong password, and the log says what it is."""
    pool, fakes = fakes_pool
    server, account = fakes.next(script)
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.status == "NO" and reply.text.startswith(b"NO [UNAVAILABLE]"), reply
    wait_for("a line about it", lambda: account.name in marks.text() and word in marks.text())
    assert "LOGIN FAILED" not in marks.text()
    assert account.password.encode() not in server.last.raw or script is refuses_literals


@pytest.mark.parametrize("sasl", ["SASL CRAM-MD5 PLAIN", "SASL CRAM-MD5"])
def test_pop3_auth_only(fakes_pool, sasl):
    """USER is refused by a server that takes names by SASL alone, as its CAPA says."""
    pool, fakes = fakes_pool
    logs_in = pop3_peer(greeting="")

    def script(conn):
        conn.send("+OK x\r\n")
        assert conn.pop3_command()[0] == b"USER"
        conn.send("-ERR unknown command\r\n")
        assert conn.pop3_command()[0] == b"CAPA"
        conn.send(f"+OK\r\nTOP\r\n{sasl}\r\n.\r\n")
        logs_in(conn)
    server, account = fakes.next(script)
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        answer = c.login(account.name, account.password)
        if "PLAIN" in sasl:
            assert answer.startswith(b"+OK") and served(server, account) and server.last.login_verb == b"AUTH"
        else:
            assert answer.startswith(b"-ERR [SYS/TEMP]")
    assert not server.errors
