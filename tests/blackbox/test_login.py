"""All forms of a login, on the node that owns the account and through another one."""
import base64
import itertools

import pytest

from client import Imap, Pop3, quoted
from pool import Account

PASSWORDS = {
    "simple": "secret",
    "quotes": 'with "quotes" and \\backslashes\\',
    "blanks": "two  words and ",
    "specials": "100%{5}(x)*]%[",
    "literal-like": "abc{5}",
    "literal-plus-like": "abc{5+}",
    "utf8": "pässwörd",
    "latin1": "p\xe4ss".encode("latin-1"),
    "long": "x" * 200,
    "only-star": "*",
    "colon": "a:b|c,d",
}
USERS = {key: Account(f"{key}@example.com", password=pw, mailhost="127.0.0.2") for key, pw in PASSWORDS.items()}
ODD_NAMES = ["o'hara+tag@example.com", "per%cent@example.com", "back\\slash@example.com", 'quo"te@example.com', "plain", "Upper@Example.COM",
             "müller@example.com", "a{3}@example.com"]
for name in ODD_NAMES:
    USERS[name] = Account(name, mailhost="127.0.0.2")

POOL = {"nodes": 2, "accounts": list(USERS.values())}
NODES = {"local": "127.0.0.2", "proxied": "127.0.0.1"}


def b(x):
    return x if isinstance(x, bytes) else x.encode()


def b64(*parts):
    return base64.b64encode(b"\0".join(b(p) for p in parts))


def imap_atoms(c, u, p):
    return c.cmd(b"LOGIN " + u + b" " + p)


def imap_quoted(c, u, p):
    return c.cmd(b"login " + quoted(u) + b" " + quoted(p))


def imap_literals(c, u, p):
    return c.cmd(b"LOGIN {%d}" % len(u), (u, b" {%d}" % len(p)), p)


def imap_atom_and_literal(c, u, p):
    return c.cmd(b"LOGIN " + quoted(u) + b" {%d}" % len(p), p)


def imap_nonsync_literals(c, u, p):
    return c.cmd(b"LOGIN {%d+}\r\n%s {%d+}\r\n%s" % (len(u), u, len(p), p))


def imap_plain(c, u, p):
    tag = c.tag()
    c.send(tag + " AUTHENTICATE PLAIN\r\n")
    first = c.line()
    if not first.startswith(b"+"):
        raise AssertionError(first)
    c.send(b64("", u, p) + b"\r\n")
    return c.finish(tag)


def imap_plain_ir(c, u, p):
    return c.cmd(b"AUTHENTICATE PLAIN " + b64("", u, p))


def imap_plain_authzid(c, u, p):
    return c.cmd(b"authenticate plain " + b64(u, u, p))


def imap_sasl_login(c, u, p):
    tag = c.tag()
    c.send(tag + " AUTHENTICATE LOGIN\r\n")
    assert base64.b64decode(c.line()[2:]).lower().startswith(b"user")
    c.send(base64.b64encode(u) + b"\r\n")
    assert base64.b64decode(c.line()[2:]).lower().startswith(b"pass")
    c.send(base64.b64encode(p) + b"\r\n")
    return c.finish(tag)


def imap_sasl_login_ir(c, u, p):
    tag = c.tag()
    c.send(tag.encode() + b" AUTHENTICATE LOGIN " + base64.b64encode(u) + b"\r\n")
    assert base64.b64decode(c.line()[2:]).lower().startswith(b"pass")
    c.send(base64.b64encode(p) + b"\r\n")
    return c.finish(tag)


IMAP_FORMS = [imap_quoted, imap_literals, imap_atom_and_literal, imap_nonsync_literals, imap_plain, imap_plain_ir,
              imap_plain_authzid, imap_sasl_login, imap_sasl_login_ir]


def pop3_user_pass(c, u, p):
    return c.login(u, p)


def pop3_lower(c, u, p):
    c.ok(b"user " + u)
    return c.cmd(b"pass " + p)


def pop3_plain(c, u, p):
    c.send("AUTH PLAIN\r\n")
    assert c.line().startswith(b"+ ")
    return c.cmd(b64("", u, p))


def pop3_plain_ir(c, u, p):
    return c.cmd(b"AUTH PLAIN " + b64("", u, p))


def pop3_sasl_login(c, u, p):
    c.send("AUTH LOGIN\r\n")
    assert base64.b64decode(c.line()[2:]).lower().startswith(b"user")
    c.send(base64.b64encode(u) + b"\r\n")
    assert base64.b64decode(c.line()[2:]).lower().startswith(b"pass")
    return c.cmd(base64.b64encode(p))


POP3_FORMS = [pop3_user_pass, pop3_lower, pop3_plain, pop3_plain_ir, pop3_sasl_login]


@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("form", IMAP_FORMS, ids=lambda f: f.__name__)
def test_imap(pool, form, where):
    for key, account in USERS.items():
        u, p = b(account.name), b(account.password)
        if form is imap_quoted and key == "latin1":
            continue  # not a quoted string of any standard
        with Imap(NODES[where], pool.imap_port) as c:
            reply = form(c, u, p)
            assert reply.ok, f"{key}: {reply}"
            assert c.subjects() == [f"{account.name} lives on 127.0.0.2"] or not account.name.isascii()


@pytest.mark.parametrize("where", NODES)
def test_imap_atoms(pool, where):
    account = USERS["simple"]
    with Imap(NODES[where], pool.imap_port) as c:
        assert imap_atoms(c, b(account.name), b(account.password)).ok
    with Imap(NODES[where], pool.imap_port) as c:
        assert c.cmd(b"LOGIN plain " + quoted("secret-plain")).ok


@pytest.mark.parametrize("where", NODES)
@pytest.mark.parametrize("form", POP3_FORMS, ids=lambda f: f.__name__)
def test_pop3(pool, form, where):
    for key, account in USERS.items():
        with Pop3(NODES[where], pool.pop3_port) as c:
            answer = form(c, b(account.name), b(account.password))
            assert answer.startswith(b"+OK"), f"{key}: {answer!r}"
            assert c.ok("STAT").startswith(b"+OK 1 ")


@pytest.mark.parametrize("where", NODES)
def test_imap_wrong_password_and_unknown_name_look_the_same(pool, where):
    right = USERS["simple"]
    for form in IMAP_FORMS:
        answers = []
        for name, password in ((right.name, "wrong"), ("nobody-here@example.com", "wrong"), (right.name, "secre")):
            with Imap(NODES[where], pool.imap_port) as c:
                reply = form(c, b(name), b(password))
                assert reply.status == "NO" and b"[AUTHENTICATIONFAILED]" in reply.text, reply
                answers.append(reply.text)
                assert form(c, b(right.name), b(right.password)).ok, "a second try on the same connection"
        assert len(set(answers)) == 1


@pytest.mark.parametrize("where", NODES)
def test_pop3_wrong_password_and_unknown_name_look_the_same(pool, where):
    right = USERS["simple"]
    for form in POP3_FORMS:
        answers = []
        for name, password in ((right.name, "wrong"), ("nobody-here@example.com", "wrong"), (right.name, "secre")):
            with Pop3(NODES[where], pool.pop3_port) as c:
                answer = form(c, b(name), b(password))
                assert answer.startswith(b"-ERR [AUTH]"), answer
                answers.append(answer)
                assert form(c, b(right.name), b(right.password)).startswith(b"+OK"), "a second try on the same connection"
        assert len(set(answers)) == 1


def test_imap_cancel(pool):
    with Imap("127.0.0.1", pool.imap_port) as c:
        for start in ("AUTHENTICATE PLAIN", "AUTHENTICATE LOGIN"):
            tag = c.tag()
            c.send(f"{tag} {start}\r\n")
            assert c.line().startswith(b"+")
            c.send("*\r\n")
            reply = c.finish(tag)
            assert reply.status == "BAD" and b"AUTHENTICATIONFAILED" not in reply.text, reply
        assert c.ok("NOOP")
        c.login_ok(USERS["simple"])


def test_pop3_cancel(pool):
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        for start in ("AUTH PLAIN", "AUTH LOGIN"):
            assert c.cmd(start).startswith(b"+ ")
            answer = c.cmd("*")
            assert answer.startswith(b"-ERR") and b"[AUTH]" not in answer, answer
        c.login_ok(USERS["simple"])


def test_imap_bad_sasl(pool):
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.cmd("AUTHENTICATE NONSUCH").status in ("NO", "BAD")
        assert c.cmd("AUTHENTICATE PLAIN !!!!").status == "BAD"
        assert c.cmd(b"AUTHENTICATE PLAIN " + b64("no separators")).status in ("NO", "BAD")
        assert c.cmd("AUTHENTICATE PLAIN =").status in ("NO", "BAD")
        assert c.cmd("AUTHENTICATE").status == "BAD"
        c.login_ok(USERS["simple"])


def test_imap_words_before_login(pool):
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.ok("CAPABILITY").find(rb"^\* CAPABILITY IMAP4rev1")
        assert c.ok("noop")
        assert c.ok("ID NIL").find(rb"^\* ID ")
        assert c.ok('ID ("name" "test" "version" NIL)').find(rb"^\* ID ")
        assert c.cmd("SELECT INBOX").status in ("BAD", "NO")
        assert c.cmd("STARTTLS").status == "BAD"
        assert c.cmd("LOGIN").status == "BAD"
        assert c.cmd("LOGIN onlyname").status == "BAD"
        reply = c.ok("LOGOUT")
        assert reply.find(rb"^\* BYE")
        assert c.is_closed()


def test_imap_words_too_long_before_login_are_bad_and_the_client_goes_on(pool):
    pairs = " ".join(f'"{i:030d}" "{"v" * 1024}"' for i in range(30))
    with Imap("127.0.0.1", pool.imap_port) as c:
        assert c.cmd(f"ID ({pairs})").status == "BAD"  # legal, but more than we accept before login
        assert c.cmd('ID ("%s" NIL)' % ("k" * 31)).status == "BAD"
        assert c.cmd("NOOP " + "x" * 100000).status == "BAD"
        assert c.ok('ID ("%s" "%s")' % ("k" * 30, "v" * 1024))
        c.login_ok(USERS["simple"])
        assert c.cmd('ID ("%s" NIL)' % ("k" * 31)).status == "BAD"
        assert c.ok('ID ("%s" "%s")' % ("k" * 30, "v" * 1024))
        assert c.ok("NOOP")


def test_pop3_words_before_login(pool):
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.multi("CAPA")
        assert c.ok("UTF8")
        assert c.cmd("PASS early").startswith(b"-ERR")
        assert c.cmd("STAT").startswith(b"-ERR")
        assert c.cmd("STLS").startswith(b"-ERR")
        assert c.cmd("AUTH NONSUCH").startswith(b"-ERR")
        assert c.cmd("USER").startswith(b"-ERR")
        assert c.ok("QUIT")
        assert c.is_closed()


@pytest.mark.parametrize("where", NODES)
def test_control_characters_are_refused(pool, where):
    """They never reach the directory or a peer; the reply is a refusal with the right tag."""
    for code in (1, 9, 10, 13, 27, 127):
        name = USERS["simple"].name.encode() + bytes([code])
        with Imap(NODES[where], pool.imap_port) as c:
            reply = c.cmd(b"LOGIN {%d+}\r\n%s {6+}\r\nsecret" % (len(name), name))
            assert reply.status in ("NO", "BAD"), (code, reply)
            reply = c.cmd(b"LOGIN simple@example.com {7+}\r\nsecret" + bytes([code]))
            assert reply.status in ("NO", "BAD"), (code, reply)
            reply = c.cmd(b"AUTHENTICATE PLAIN " + b64("", name, "secret"))
            assert reply.status in ("NO", "BAD"), (code, reply)
            c.login_ok(USERS["simple"])
        with Pop3(NODES[where], pool.pop3_port) as c:
            assert c.cmd(b"AUTH PLAIN " + b64("", name, "secret")).startswith(b"-ERR")
            c.login_ok(USERS["simple"])


def test_many_logins_by_many_clients_at_once(pool):
    """60 connections are opened first, then all log in, the last one first."""
    kinds = list(itertools.product(NODES.values(), (Imap, Pop3)))
    conns = []
    for i in range(60):
        node, kind = kinds[i % len(kinds)]
        conns.append((kind, kind(node, pool.imap_port if kind is Imap else pool.pop3_port)))
    for kind, c in reversed(conns):
        c.login_ok(USERS["simple"])
    for kind, c in conns:
        c.ok("NOOP")
        c.close()


@pytest.mark.parametrize("kind", [Imap, Pop3])
def test_wrong_passwords_end_the_connection(pool, kind):
    """A connection has five passwords; what it pipelined behind the last is not answered."""
    with kind("127.0.0.1", pool.imap_port if kind is Imap else pool.pop3_port) as c:
        for i in range(5):
            c.send(f"a LOGIN nobody@example.com no{i}\r\n" if kind is Imap else
                   "AUTH PLAIN " + b64("", "nobody@example.com", f"no{i}").decode() + "\r\n")
            if i == 4:
                c.send("z NOOP\r\n" if kind is Imap else "CAPA\r\n")
            assert b"AUTH" in c.line()
        assert c.line().startswith(b"* BYE" if kind is Imap else b"-ERR")
        assert c.rest() == b""


def test_guesser_waits_for_the_right_password_too(make_pool):
    """The account's owner gets in at once where it was before, and from elsewhere after a while, which the log explains."""
    p = make_pool(nodes=1, settings={"LOGIN_FAIL_DELAY": 1}, accounts=[Account("anna@example.com")])
    anna = p.accounts["anna@example.com"]
    with Imap("127.0.0.1", p.imap_port, source="127.0.0.31") as c:
        c.login_ok(anna)
    guesses = [Pop3("127.0.0.1", p.pop3_port, source="127.0.0.66") for _ in range(6)]
    for i, c in enumerate(guesses):
        c.send("AUTH PLAIN " + b64("", "anna@example.com", f"no{i}").decode() + "\r\n")
    for c in guesses:
        assert c.line().startswith(b"-ERR [AUTH]")
        c.close()
    for kind, port in ((Imap, p.imap_port), (Pop3, p.pop3_port)):
        with kind("127.0.0.1", port, source="127.0.0.31") as c:
            c.login_ok(anna)
    assert "waits for" not in p.nodes[0].log()
    for i, kind in enumerate((Imap, Pop3)):
        with kind("127.0.0.1", p.imap_port if kind is Imap else p.pop3_port, source=f"127.0.0.{32 + i}") as c:
            c.login_ok(anna)
        p.nodes[0].wait_log(rf"a login with the right password waits for 1 seconds.*user=anna@example.com, ip=\[::ffff:127.0.0.{32 + i}\]")


def test_failed_login_waits_but_nobody_else_does(make_pool):
    """LOGIN_FAIL_DELAY delays that reply, not other clients."""
    import time
    p = make_pool(nodes=1, settings={"LOGIN_FAIL_DELAY": 3}, accounts=[Account("anna@example.com")])
    anna = p.accounts["anna@example.com"]
    slow = [Imap("127.0.0.1", p.imap_port) for _ in range(10)] + [Pop3("127.0.0.1", p.pop3_port) for _ in range(10)]
    start = time.monotonic()
    for c in slow:
        c.send("a LOGIN anna@example.com wrong\r\n" if isinstance(c, Imap) else "AUTH PLAIN " + b64("", "anna@example.com", "no").decode() + "\r\n")
    for _ in range(10):
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(anna)
        with Pop3("127.0.0.1", p.pop3_port) as c:
            c.login_ok(anna)
    quick = time.monotonic() - start
    for c in slow:
        assert b"AUTH" in c.line()
        c.close()
    waited = time.monotonic() - start
    assert waited >= 2.9
    assert quick < waited
