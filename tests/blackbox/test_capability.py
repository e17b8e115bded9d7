"""IMAP_CAPABILITY = "auto", POP3_CAPABILITY = "auto": what all servers of the pool can do is announced before login."""
import os
import re

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import Account, wait_for

HERE = "127.0.0.1"
AUTO = {"imapd": {"IMAP_CAPABILITY": "auto AUTH=PLAIN AUTH=CRAM-MD5"}, "pop3d": {"POP3_CAPABILITY": "auto"}}
OWN = "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=CRAM-MD5 AUTH=X-WAYPOST-TOKEN"
THREADSORT = "SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES"
OURS = "LITERAL+ ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE ESEARCH SEARCHRES WITHIN PARTIAL " + THREADSORT
HI = "* OK [CAPABILITY IMAP4rev1 X-BEFORE] x\r\n"


def lists(*words):
    """A script: a peer that has these capabilities after login, told with its answer to it."""
    return imap_peer(greeting=HI, ok=f"[CAPABILITY IMAP4rev1 {' '.join(words)} AUTH=PLAIN STARTTLS] in")


def will_announce(p, words, address=HERE):
    """In the greeting and on request."""
    want = sorted((OWN + " " + words).split())

    def told():
        with Imap(address, p.imap_port) as c:
            greeting = re.search(rb"\[CAPABILITY (.*?)\]", c.greeting).group(1)
            asked = c.ok("CAPABILITY").find(rb"^\* CAPABILITY ")[len("* CAPABILITY "):]
            return sorted(greeting.decode().split()) == sorted(asked.decode().split()) == want
    wait_for(f"{want} is announced", told)


def capa(p):
    with Pop3(HERE, p.pop3_port) as c:
        return [line.decode() for line in c.multi("CAPA")]


def log_in(p, user, kind=Imap):
    with kind(HERE, p.imap_port if kind is Imap else p.pop3_port) as c:
        c.login_ok(p.accounts[user])


@pytest.fixture
def servers():
    made = [FakeServer(f"127.0.4.{i + 1}") for i in range(3)]
    yield made
    for s in made:
        s.close()
        assert not s.errors


def test_imap(make_pool, servers):
    """What all have in common, as far as it is known; also while one is down, and after a restart. A list that changes, changes it."""
    a, b, c = servers
    p = make_pool(nodes=1, settings=AUTO, accounts=[Account("a@example.com", mailhost=a.host), Account("b@example.com", mailhost=b.host),
                                                    Account("c@example.com", mailhost=c.host), Account("here@example.com"),
                                                    Account("typo@example.com", mailhost="no-such-host.invalid")])
    will_announce(p, "")
    a.script = lists("IDLE", "MOVE", "LITERAL+", "XA")
    log_in(p, "a@example.com")
    will_announce(p, "IDLE MOVE LITERAL+ XA")
    b.script = lists("IDLE", "MOVE", "LITERAL-", "XB")
    log_in(p, "b@example.com")
    will_announce(p, "IDLE MOVE LITERAL-")
    log_in(p, "here@example.com")  # our own list
    will_announce(p, "IDLE MOVE LITERAL-")
    # One that has no address is none; one that is down and was never known may lack everything.
    with Imap(HERE, p.imap_port) as client:
        assert not client.login("typo@example.com", p.accounts["typo@example.com"].password).ok
    c.close()
    with Imap(HERE, p.imap_port) as client:
        assert not client.login("c@example.com", p.accounts["c@example.com"].password).ok
    will_announce(p, "")
    notes = {note["name"]: note["text"] for note in p.nodes[0].status()["notes"]}
    assert notes["capability_unknown_list"] == f"imap:{c.host}" and notes["pool_capability_imap"] == "IMAP4rev1"
    c.__init__(c.address, lists("IDLE"), port=c.port)
    log_in(p, "c@example.com")
    will_announce(p, "IDLE")
    assert p.nodes[0].status()["counts"]["capability_unknown"] == 0
    c.script = lists("IDLE", "MOVE")  # it was upgraded
    log_in(p, "c@example.com")
    will_announce(p, "IDLE MOVE")
    path = f"{p.run}/{HERE}/state/capabilities"
    wait_for("it is written", lambda: os.path.exists(path) and open(path, encoding="ascii").read().count("\nimap ") == 4)
    wait_for("... as it is now", lambda: "IMAP4rev1 IDLE MOVE\n" in open(path, encoding="ascii").read())
    for s in servers:
        s.close()
    p.nodes[0].stop()
    p.nodes[0].start()
    will_announce(p, "IDLE MOVE")


def test_damaged_file(make_pool, servers):
    """It is no reason not to serve: what it said is learned anew."""
    p = make_pool(nodes=1, settings=AUTO, accounts=[Account("a@example.com", mailhost=servers[0].host)], start=False)
    state = os.path.join(p.root, "kept")
    os.mkdir(state)
    os.chown(state, p.uid, p.gid) if os.geteuid() == 0 else None
    path = os.path.join(state, "capabilities")
    with open(path, "w", encoding="ascii") as f:
        f.write("waypost capabilities 1\nimap a.example 143 1 1 1 AUTH=PLAIN\nend\n")
    os.chmod(path, 0o644)
    os.chown(path, p.uid, p.gid) if os.geteuid() == 0 else None
    p.write_conf({"STATEDIR": state})
    p.start()
    p.nodes[0].wait_log(r"kept/capabilities is damaged and is written anew")
    will_announce(p, "")
    servers[0].script = lists("XA")
    log_in(p, "a@example.com")
    will_announce(p, "XA")
    wait_for("the file is good", lambda: "IMAP4rev1 XA\nend\n" in open(path, encoding="ascii").read())
    p.nodes[0].stop()
    mark = p.nodes[0].log_mark()
    p.nodes[0].start()
    will_announce(p, "XA")
    assert "damaged" not in p.nodes[0].log_since(mark)


def test_asked(make_pool, servers):
    """A server that does not tell its list is asked for it, and its client is told, too; one that refuses can do nothing more."""
    def serve(conn):
        tag, verb = conn.imap_command()
        assert (tag, verb) == (b"C", b"CAPABILITY")
        conn.send("* CAPABILITY IMAP4rev1 XA\r\nC OK x\r\n" if conn.lists else "C BAD x\r\n")
        conn.until_eof()

    def script(conn):
        conn.lists = lists_it
        imap_peer(serve, greeting=HI)(conn)
    p = make_pool(nodes=1, settings=AUTO, accounts=[Account("a@example.com", mailhost=servers[0].host), Account("b@example.com", mailhost=servers[1].host)])
    lists_it = True
    servers[0].script = servers[1].script = script
    with Imap(HERE, p.imap_port) as c:
        reply = c.login("a@example.com", p.accounts["a@example.com"].password)
        assert reply.ok and b"[CAPABILITY IMAP4rev1 XA]" in reply.text
    will_announce(p, "XA")
    lists_it = False
    log_in(p, "b@example.com")
    will_announce(p, "")


def test_nodes(make_pool):
    """Nodes know what they can do themselves; they recognize each other by nothing that is announced."""
    p = make_pool(nodes=2, settings=AUTO, accounts=[Account("here@example.com", mailhost="127.0.0.1"), Account("there@example.com", mailhost="127.0.0.2")])
    for kind in (Imap, Pop3):
        log_in(p, "there@example.com", kind)
    will_announce(p, OURS)
    will_announce(p, OURS, "127.0.0.2")
    wait_for("POP3, too", lambda: {"TOP", "UIDL", "UTF8 USER", "EXPIRE NEVER", "PIPELINING"} <= set(capa(p)))
    with Imap(HERE, p.imap_port) as c:
        reply = c.login("here@example.com", p.accounts["here@example.com"].password)
        assert b"[CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID" in reply.text, reply
    will_announce(p, OURS)


def test_pop3(make_pool, servers):
    """POP3 has no message that would tell a client another list later."""
    def told(*lines):
        def serve(conn):
            assert conn.pop3_command() == [b"CAPA"]
            conn.send("+OK\r\n" + "".join(line + "\r\n" for line in lines) + ".\r\n" if lines else "-ERR what\r\n")
            conn.until_eof()
        return pop3_peer(serve)
    p = make_pool(nodes=1, settings=AUTO, accounts=[Account(f"{i}@example.com", mailhost=s.host) for i, s in enumerate(servers)])
    own = {"SASL PLAIN LOGIN", "USER", "IMPLEMENTATION Waypost"}
    assert set(capa(p)) == own
    for i, lines, common in ((0, ("TOP", "UIDL", "SASL PLAIN", "UTF8 USER", "EXPIRE 30", "XTND"), {"TOP", "UIDL", "UTF8 USER"}),
                             (1, ("UIDL", "UTF8", "TOP", "STLS"), {"TOP", "UIDL"}), (2, (), set())):
        servers[i].script = told(*lines)
        log_in(p, f"{i}@example.com", Pop3)
        wait_for(f"{common} in common", lambda: set(capa(p)) == own | common)  # pylint: disable=cell-var-from-loop
    # It was asked a moment ago, and is not now.
    servers[0].script = pop3_peer()
    with Pop3(HERE, p.pop3_port) as c:
        c.login_ok(p.accounts["0@example.com"])
        assert c.cmd("HELLO") == b"+OK echo HELLO"


def test_static_pop3_list(make_pool):
    p = make_pool(nodes=1, settings={"pop3d": {"POP3_CAPABILITY": "uidl TOP"}})
    assert set(capa(p)) == {"SASL PLAIN LOGIN", "USER", "UIDL", "TOP", "IMPLEMENTATION Waypost"}


def test_withheld(make_pool, servers):
    """What a client says it is decides what it is told from then on: before login, with the answer to it, and in a session here."""
    servers[0].script = lists("IDLE", "MOVE", "LITERAL+")
    p = make_pool(nodes=2, settings={"imapd": {"IMAP_CAPABILITY_WITHHELD": "Old?Mail*=IDLE:MOVE:AUTH=LOGIN *=ID"}},
                  accounts=[Account("a@example.com", mailhost=servers[0].host), Account("here@example.com", mailhost="127.0.0.1"),
                            Account("there@example.com", mailhost="127.0.0.2")])

    def words(text):
        return set(re.search(r"CAPABILITY ([^]]*)", text.decode()).group(1).split())
    for user in p.accounts:
        for name, gone in ((None, set()), ("old mail 3", {"IDLE", "MOVE", "AUTH=LOGIN", "ID"}), ("other", {"ID"})):
            with Imap(HERE, p.imap_port) as c:
                before = words(c.greeting)
                assert {"IDLE", "MOVE", "LITERAL+", "ID", "AUTH=LOGIN"} <= before
                if name:
                    c.ok(f'ID ("version" "9" "name" "{name}")')
                assert words(c.ok("CAPABILITY").find(rb"^\* CAPABILITY ")) == before - gone
                reply = c.login(user, p.accounts[user].password)
                told = words(reply.text)
                assert reply.ok and "LITERAL+" in told and not told & gone and {"IDLE", "MOVE"} - gone <= told, (user, name, reply)
                if user != "a@example.com":
                    assert not words(c.ok("CAPABILITY").find(rb"^\* CAPABILITY ")) & gone
                    c.ok('ID ("name" "Old Mail")')
                    assert "IDLE" not in words(c.ok("CAPABILITY").find(rb"^\* CAPABILITY "))
                    c.ok("ID NIL")
                    assert "IDLE" in words(c.ok("CAPABILITY").find(rb"^\* CAPABILITY "))


def test_withheld_from_one(make_pool, servers):
    """What a node does not tell one client does not lack for others."""
    servers[0].script = lists(*OURS.replace("UNSELECT ", "").split())
    p = make_pool(nodes=2, settings={**AUTO, "imapd": {**AUTO["imapd"], "IMAP_CAPABILITY_WITHHELD": "Old*=IDLE:MOVE"}},
                  accounts=[Account("here@example.com", mailhost="127.0.0.1"), Account("there@example.com", mailhost="127.0.0.2"),
                            Account("a@example.com", mailhost=servers[0].host)])
    for name in ("Old Mail", "New Mail", "Old Mail"):
        for user in ("here@example.com", "there@example.com"):
            with Imap(HERE, p.imap_port) as c:
                c.ok(f'ID ("name" "{name}")')
                c.login_ok(p.accounts[user])
    log_in(p, "a@example.com")  # told later than all of them
    will_announce(p, OURS.replace("UNSELECT ", ""))


@pytest.mark.parametrize("group,name,value,says", [
    ("imapd", "IMAP_CAPABILITY_WITHHELD", "Old Mail=IDLE", "Old is not PATTERN=CAPABILITY"),
    ("imapd", "IMAP_CAPABILITY", "auto IDLE", 'with "auto" only AUTH= words can be added, not IDLE'),
    ("pop3d", "POP3_CAPABILITY", "auto TOP", '"auto" stands alone'),
    ("pop3d", "POP3_CAPABILITY", "TOP SASL", "SASL is none of"),
])
def test_check(make_pool, group, name, value, says):
    p = make_pool(nodes=1, start=False, settings={group: {name: value}})
    r = p.nodes[0].tool("check")
    assert r.returncode == 1 and says in r.stdout + r.stderr, r


def test_disablethreadsort(make_pool):
    """IMAP_DISABLETHREADSORT = 1: not announced, before login and after it, and refused."""
    p = make_pool(nodes=1, settings={"imapd": {"IMAP_DISABLETHREADSORT": "1"}}, accounts=[Account("a@example.com")])
    with Imap(HERE, p.imap_port) as c:
        account = p.accounts["a@example.com"]
        for told in (c.greeting, c.login(account.name, account.password).text, c.ok("CAPABILITY").find(rb"^\* CAPABILITY ")):
            words = set(re.split(rb"[] ]", told))
            assert b"ESEARCH" in words and not words & set(THREADSORT.encode().split()), words
        c.ok("SELECT INBOX")
        for command in "SORT (DATE) UTF-8 ALL", "UID THREAD REFERENCES UTF-8 ALL":
            reply = c.cmd(command)
            assert reply.status == "NO" and b"switched off" in reply.text, reply
