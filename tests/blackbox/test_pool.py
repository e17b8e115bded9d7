"""Every account through every node by both protocols, and the node that served it."""
import imaplib
import poplib
import re
import socket

import pytest

from client import Imap, Pop3
from pool import Account, Marks, events

NODES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
WHERE = {"anna@example.com": "127.0.0.1", "berta@example.com": "127.0.0.2", "carla@example.com": "127.0.0.3",
         "dora@example.com": None}

POOL = {"accounts": [
    Account("dot@example.com", mailhost="127.0.0.2."),
    Account("host@example.com", mailhost=socket.gethostname().upper() + "."),
    Account("port@example.com", mailhost="127.0.0.3"),
    Account("several@example.com", mailhost="127.0.0.2 127.0.0.3"),
    Account("noimap@example.com", mailhost="127.0.0.2", options="disableimap=1"),
    Account("nopop@example.com", mailhost="127.0.0.2", options="disablepop3=1"),
    Account("pw@example.com", mailhost="127.0.0.2", fields={"systempw": None, "imappw": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
                                                             "pop3pw": "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"}),
    Account("lowuid@example.com", mailhost="127.0.0.1", fields={"uid": 0}),
    Account("lowgid@example.com", mailhost="127.0.0.1", fields={"gid": 0}),
]}


@pytest.mark.valgrind
@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("user", WHERE)
def test_imap(pool, user, node):
    account, marks = pool.accounts[user], Marks(pool)
    c = imaplib.IMAP4(node, pool.imap_port, timeout=30)
    port = c.sock.getsockname()[1]
    c.login(account.name, account.password)
    assert c.select("INBOX")[0] == "OK"
    text = c.fetch("1", "(BODY.PEEK[])")[1][0][1]
    c.logout()
    assert f"Subject: {user} lives on".encode() in text
    served, line = marks.local_login(user, "imapd", port)
    assert served.address == (WHERE[user] or node)
    assert line["protocol"] == "IMAP"


@pytest.mark.valgrind
@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("user", WHERE)
def test_pop3(pool, user, node):
    account, marks = pool.accounts[user], Marks(pool)
    c = poplib.POP3(node, pool.pop3_port, timeout=30)
    port = c.sock.getsockname()[1]
    c.user(account.name)
    c.pass_(account.password)
    assert c.stat()[0] == 1
    text = b"\n".join(c.retr(1)[1])
    c.quit()
    assert f"Subject: {user} lives on".encode() in text
    served, _ = marks.local_login(user, "pop3d", port)
    assert served.address == (WHERE[user] or node)


@pytest.mark.parametrize("user", ["dot@example.com", "host@example.com"])
def test_names_of_self(pool, user):
    """A trailing dot and the case of a host name make no difference: no loop, no detour."""
    account = pool.accounts[user]
    home = "127.0.0.2" if user.startswith("dot") else "127.0.0.3"  # every node has the machine's own name
    marks = Marks(pool)
    with Imap(home, pool.imap_port) as c:
        c.login_ok(account)
        port = c.local_port
        assert c.subjects()
    assert marks.local_login(user, "imapd", port)[0].address == home
    assert not [e for e in events(marks.text(), user=user) if "backend" in e]


def test_first_of_several(pool):
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(pool.accounts["several@example.com"])
    assert marks.local_login("several@example.com", "imapd")[0].address == "127.0.0.2"


@pytest.mark.parametrize("kind, source", [(Imap, "127.0.0.77"), (Pop3, "127.0.0.78")])
def test_session_and_client_are_the_same_on_both_nodes(pool, kind, source):
    """The owner logs the client, not the node that forwarded it, and both lines carry one session id."""
    account, marks = pool.accounts["carla@example.com"], Marks(pool)
    front, back = pool.node("127.0.0.1"), pool.node("127.0.0.3")
    to = pool.imap_port if kind is Imap else pool.pop3_port
    with kind(front.address, to, source=source) as c:
        port = c.local_port
        c.login_ok(account)
        there = marks.event(back, "LOGIN", account.name, port=port)
        here = marks.event(front, "LOGIN", account.name, port=port)
    for line in (here, there):
        assert line["ip"] == f"[::ffff:{source}]"
        assert line["port"] == f"[{port}]"
    assert here["session"] == there["session"] != ""
    assert here["mailhost"] == "127.0.0.3"
    assert "127.0.0.3" in here["backend"] and str(to) in here["backend"]


@pytest.mark.parametrize("node", ["127.0.0.1", "127.0.0.2"])
def test_service_switched_off_for_an_account(pool, node):
    """disableimap, disablepop3: refused by both kinds of node, but not as 'wrong password'."""
    account = pool.accounts["noimap@example.com"]
    with Imap(node, pool.imap_port) as c:
        reply = c.login(account.name, account.password)
        assert reply.status == "NO" and b"AUTHENTICATIONFAILED" not in reply.text, reply
    with Pop3(node, pool.pop3_port) as c:
        c.login_ok(account)
    account = pool.accounts["nopop@example.com"]
    with Pop3(node, pool.pop3_port) as c:
        assert c.login(account.name, account.password).startswith(b"-ERR")
    with Imap(node, pool.imap_port) as c:
        c.login_ok(account)


@pytest.mark.parametrize("node", ["127.0.0.1", "127.0.0.2"])
def test_passwords_of_the_service(pool, node):
    """imappw and pop3pw of userdb, in two of Courier's schemes."""
    with Imap(node, pool.imap_port) as c:
        assert c.login("pw@example.com", "secret").ok
    with Pop3(node, pool.pop3_port) as c:
        assert c.login("pw@example.com", "secret").startswith(b"+OK")


@pytest.mark.parametrize("user", ["lowuid@example.com", "lowgid@example.com"])
def test_root_is_no_account(pool, user):
    with Imap("127.0.0.1", pool.imap_port) as c:
        reply = c.login(user, pool.accounts[user].password)
        assert reply.status == "NO", reply
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.login(user, pool.accounts[user].password).startswith(b"-ERR")


def test_capabilities(pool):
    """The capabilities announced before login are supported after it."""
    with Imap("127.0.0.1", pool.imap_port) as c:
        before = c.ok("CAPABILITY").find(rb"^\* CAPABILITY").split()[2:]
        c.login_ok(pool.accounts["anna@example.com"])
        after = c.ok("CAPABILITY").find(rb"^\* CAPABILITY").split()[2:]
    for word in (b"IMAP4rev1", b"LITERAL+", b"SASL-IR", b"ID", b"ENABLE", b"UIDPLUS", b"CHILDREN", b"NAMESPACE", b"IDLE",
                 b"UNSELECT", b"MOVE"):
        assert word in before and word in after, word
    assert b"AUTH=PLAIN" in before and b"AUTH=LOGIN" in before
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        before = c.multi("CAPA")
        c.login_ok(pool.accounts["anna@example.com"])
        after = c.multi("CAPA")
    for word in (b"TOP", b"UIDL", b"PIPELINING", b"RESP-CODES", b"AUTH-RESP-CODE"):
        assert word in before and word in after, word
    for word in (b"USER", b"UTF8", b"SASL"):
        assert any(re.match(rb"%s\b" % word, line) for line in before), word


def test_proxy_off_is_local(make_pool):
    """IMAP_PROXY and POP3_PROXY off: every account is served by the node that the client uses."""
    p = make_pool(nodes=1, settings={"imapd": {"IMAP_PROXY": 0}, "pop3d": {"POP3_PROXY": 0}},
                  accounts=[Account("far@example.com", mailhost="192.0.2.99")])
    account = p.accounts["far@example.com"]
    with Imap("127.0.0.1", p.imap_port) as c:
        assert c.login_ok(account).subjects() == ["far@example.com lives on 192.0.2.99"]
    with Pop3("127.0.0.1", p.pop3_port) as c:
        assert c.login_ok(account).subjects() == ["far@example.com lives on 192.0.2.99"]


def test_absent_group_is_not_served(make_pool):
    p = make_pool(nodes=1, settings={"pop3d": None}, accounts=[Account("anna@example.com")])
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", p.pop3_port), timeout=5)
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
