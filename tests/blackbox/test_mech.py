"""Logins that do not tell the password: CRAM and APOP. Through a pool of three nodes whose accounts are in a
userdb with HMAC states, and in PostgreSQL with clear passwords."""
import base64
import hashlib
import hmac
import imaplib
import os
import poplib
import shutil
import subprocess
import time

import pytest

import directories
from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import PATIENCE, PREFIX, SLOW, Account, Pool, events, wait_for

CAPS = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE AUTH=PLAIN AUTH=LOGIN"
CRAM = ["CRAM-MD5", "CRAM-SHA1", "CRAM-SHA256"]
HASH = {"CRAM-MD5": "md5", "CRAM-SHA1": "sha1", "CRAM-SHA256": "sha256"}
HERE, THERE = "127.0.0.1", "127.0.0.2"


def states(password):
    """What userdbpw makes of PASSWORD: fields of userdb, and no other password."""
    def run(option):
        return subprocess.run([os.path.join(PREFIX, "bin", "userdbpw"), option], input=f"{password}\n{password}\n", text=True,
                              capture_output=True, check=True, timeout=30 * SLOW).stdout.strip()
    return {"systempw": None, "hmac-md5pw": run("-hmac-md5"), "hmac-sha1pw": run("-hmac-sha1"), "hmac-sha256pw": run("-hmac-sha256")}


@pytest.fixture(scope="module")
def sql():
    server = directories.Postgres()
    server.sql("CREATE TABLE accounts (name text, clear text, uid int, gid int, home text, options text);")
    yield server
    server.close()


@pytest.fixture(scope="module")
def mech(request, sql):
    """Three nodes with every mechanism on. userdb: hmac-HOST; SQL: clear-HOST; and plain@, which has a hash alone."""
    secret = "päss w'ord"
    accounts = [Account(f"hmac{host[-1]}@example.com", password=secret, mailhost=host, fields=states(secret)) for host in (HERE, THERE)]
    accounts += [Account("plain@example.com", mailhost=HERE), Account("locked@example.com", mailhost=HERE, fields={**states("x"), "systempw": "!x"}),
                 Account("imap@example.com", password="for imap", mailhost=HERE,
                         fields={**states("for all"), **{"imap-" + k: v for k, v in states("for imap").items() if v}})]
    p = Pool(accounts=accounts, keep=request.config.getoption("--keep"), start=False, settings={
        "authdaemonrc": {"authmodulelist": "authuserdb authpgsql"},
        "authpgsqlrc": {"PGSQL_CONNECTION": f"host={sql.host} port={sql.port} user=admin dbname=postgres sslmode=disable",
                        "PGSQL_USER_TABLE": "accounts", "PGSQL_LOGIN_FIELD": "name", "PGSQL_CLEAR_PWFIELD": "clear", "PGSQL_UID_FIELD": "uid",
                        "PGSQL_GID_FIELD": "gid", "PGSQL_HOME_FIELD": "home", "PGSQL_AUXOPTIONS_FIELD": "options"},
        "imapd": {"IMAP_CAPABILITY": CAPS + "".join(f" AUTH={m}" for m in CRAM)},
        "pop3d": {"POP3AUTH": "PLAIN LOGIN APOP " + " ".join(CRAM)}})
    for host in (HERE, THERE):
        a = p.add(Account(f"clear{host[-1]}@example.com", password=secret, mailhost=host), write=False)
        del p.accounts[a.name]
        sql.sql(f"INSERT INTO accounts VALUES ('{a.name}', 'päss w''ord', {a.uid}, {a.gid}, '{a.home}', 'mailhost={host}');")
    p.write_userdb()
    p.start()
    p.secret = secret
    yield p
    p.close()


def answer(challenge, name, password, mechanism):
    name, password = (x.encode() if isinstance(x, str) else x for x in (name, password))
    return base64.b64encode(name + b" " + hmac.new(password, challenge, HASH[mechanism]).hexdigest().encode())


def imap_cram(p, node, name, password, mechanism="CRAM-MD5"):
    """(connection, challenge, answer to the tag)"""
    c = Imap(node, p.imap_port)
    c.send(b"a AUTHENTICATE " + mechanism.encode() + b"\r\n")
    line = c.line()
    assert line.startswith(b"+ "), line
    challenge = base64.b64decode(line[2:])
    c.send(answer(challenge, name, password, mechanism) + b"\r\n")
    return c, challenge, c.line()


def pop3_cram(p, node, name, password, mechanism="CRAM-MD5"):
    c = Pop3(node, p.pop3_port)
    line = c.cmd("AUTH " + mechanism)
    assert line.startswith(b"+ "), line
    challenge = base64.b64decode(line[2:])
    return c, challenge, c.cmd(answer(challenge, name, password, mechanism))


def pop3_apop(p, node, name, password):
    c = Pop3(node, p.pop3_port)
    stamp = c.greeting[c.greeting.index(b"<"):]
    return c, stamp, c.cmd(b"APOP " + name.encode() + b" " + hashlib.md5(stamp + password.encode()).hexdigest().encode())


@pytest.mark.parametrize("mechanism", CRAM)
def test_cram(mech, mechanism):
    """On the node that has the mail: states of userdb, clear passwords of SQL, IMAP and POP3."""
    for name in ("hmac1@example.com", "clear1@example.com"):
        c, challenge, reply = imap_cram(mech, HERE, name, mech.secret, mechanism)
        assert reply.startswith(b"a OK"), reply
        assert challenge.startswith(b"<") and challenge.endswith(b"@127.0.0.1>")
        assert c.subjects() == [f"{name} lives on 127.0.0.1"]
        c.cmd("LOGOUT")
        c, _, reply = pop3_cram(mech, HERE, name, mech.secret, mechanism)
        assert reply.startswith(b"+OK"), reply
        assert c.cmd("STAT").startswith(b"+OK 1 ")
        c.cmd("QUIT")


def test_wrong_unknown_and_unable_are_one(mech):
    """The same words for a wrong password, a name that nobody has, an account that has a hash alone, and a locked one."""
    node = mech.node(HERE)
    mark = node.log_mark()
    names = ("hmac1@example.com", "clear1@example.com", "nobody@example.com", "plain@example.com", "locked@example.com", "' OR 1=1 --")
    for name in names:
        assert imap_cram(mech, HERE, name, "wrong")[2] == b"a NO [AUTHENTICATIONFAILED] Login failed."
        assert pop3_cram(mech, HERE, name, "wrong")[2] == b"-ERR [AUTH] Login failed."
        assert pop3_apop(mech, HERE, name, "wrong")[2] == b"-ERR [AUTH] Login failed."
    assert imap_cram(mech, HERE, "plain@example.com", "secret-plain@example.com")[2].startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert imap_cram(mech, HERE, "locked@example.com", "x")[2].startswith(b"a NO [AUTHENTICATIONFAILED]")
    wait_for("the last failure is in the log", lambda: node.log_since(mark).count("LOGIN FAILED") == 3 * len(names) + 2)
    text = node.log_since(mark)
    assert text.count("LOGIN FAILED, user=nobody@example.com") == 3
    assert "method=CRAM-MD5" in text and "method=APOP" in text
    assert "account plain@example.com cannot log in by CRAM-MD5: its directory has neither a clear password" in text
    assert "nobody@example.com cannot" not in text


def test_service_fields(mech):
    """imap-hmac-md5pw before hmac-md5pw."""
    assert imap_cram(mech, HERE, "imap@example.com", "for imap")[2].startswith(b"a OK")
    assert imap_cram(mech, HERE, "imap@example.com", "for all")[2].startswith(b"a NO")
    assert pop3_cram(mech, HERE, "imap@example.com", "for all")[2].startswith(b"+OK")


def test_apop(mech):
    c, stamp, reply = pop3_apop(mech, HERE, "clear1@example.com", mech.secret)
    assert reply.startswith(b"+OK"), reply
    assert c.cmd("STAT").startswith(b"+OK 1 ")
    # userdb has no clear passwords.
    assert pop3_apop(mech, HERE, "hmac1@example.com", mech.secret)[2].startswith(b"-ERR [AUTH]")
    # A timestamp is good once; a new connection has another.
    c, other, reply = pop3_apop(mech, HERE, "clear1@example.com", "wrong")
    assert reply.startswith(b"-ERR [AUTH]") and other != stamp
    right = hashlib.md5(other + mech.secret.encode()).hexdigest()
    assert c.cmd(f"APOP clear1@example.com {right}").startswith(b"-ERR [SYS/TEMP] The timestamp was used")
    assert c.login("plain@example.com", "secret-plain@example.com").startswith(b"+OK")


def test_challenge_is_good_once(mech):
    c, challenge, reply = imap_cram(mech, HERE, "hmac1@example.com", "wrong")
    right = answer(challenge, "hmac1@example.com", mech.secret, "CRAM-MD5")
    c.send(b"b AUTHENTICATE CRAM-MD5\r\n")
    line = c.line()
    assert line.startswith(b"+ ") and base64.b64decode(line[2:]) != challenge
    c.send(right + b"\r\n")  # to the one before
    assert c.line() == b"b NO [AUTHENTICATIONFAILED] Login failed."
    # Broken off; all at once; then rightly.
    c.send(b"c AUTHENTICATE CRAM-MD5\r\n*\r\nd NOOP\r\n")
    assert c.line().startswith(b"+ ")
    assert c.line() == b"c BAD Authentication cancelled."
    assert c.line() == b"d OK NOOP completed"
    assert c.login("plain@example.com", "secret-plain@example.com").ok


def test_other_login_in_between(mech):
    c = Pop3(HERE, mech.pop3_port)
    assert c.login("nobody@example.com", "x").startswith(b"-ERR [AUTH]")
    assert c.cmd("APOP clear1@example.com 00").startswith(b"-ERR [SYS/TEMP]")
    assert c.cmd("AUTH CRAM-MD5").startswith(b"+ ")
    assert c.cmd("AAAA").startswith(b"-ERR Malformed")
    assert c.login("plain@example.com", "secret-plain@example.com").startswith(b"+OK")


def test_without_authd(mech):
    """A challenge whose authd died is nobody's wrong password."""
    node = mech.node(HERE)
    node.expect_dirty = True
    c = Imap(HERE, mech.imap_port)
    c.send(b"a AUTHENTICATE CRAM-MD5\r\n")
    challenge = base64.b64decode(c.line()[2:])
    pop = Pop3(HERE, mech.pop3_port)
    mark = node.log_mark()
    os.kill(node.pids("authd")[0], 9)
    node.wait_log("authd.*killed|killed.*authd|authd is gone", mark)
    c.send(answer(challenge, "hmac1@example.com", mech.secret, "CRAM-MD5") + b"\r\n")
    assert c.line().startswith(b"a NO [UNAVAILABLE]")
    stamp = pop.greeting[pop.greeting.index(b"<"):]
    right = hashlib.md5(stamp + mech.secret.encode()).hexdigest()
    assert pop.cmd(f"APOP clear1@example.com {right}").startswith(b"-ERR [SYS/TEMP]")
    c.send(b"b AUTHENTICATE CRAM-MD5\r\n")
    c.send(answer(base64.b64decode(c.line()[2:]), "hmac1@example.com", mech.secret, "CRAM-MD5") + b"\r\n")
    assert c.line().startswith(b"b OK")


# --- accounts that live elsewhere ---

class Token:
    """What a node of the pool would send, made with the pool's secret."""

    def __init__(self, p, name, host=THERE, made=0, session="0123456789abcdef"):
        self.p, self.name, self.made = p, name, int(time.time()) + made
        with open(os.path.join(p.root, "secret")) as f:
            self.key = f.read().strip().encode()
        self.text = f"\n{host}\n{session}\n192.0.2.7\n1234\n0\n3\n{self.made}\n{name}\n"
        self.hop = f'"x-session-id" "{session}" "x-originating-ip" "192.0.2.7" "x-originating-port" "1234" "x-proxy-ttl" "3" ' \
                   f'"x-client-transport" "insecure" "x-waypost-auth" "{self.made}:{self.mac("hop")}"'

    def mac(self, what):
        return hmac.new(self.key, f"waypost {what} 1{self.text}".encode(), "sha256").hexdigest()

    def login(self, host=THERE, token=None, hop=None, name=None):
        c = Imap(host, self.p.imap_port)
        if hop != "":
            c.ok(f"ID ({hop or self.hop})")
        raw = (name or self.name).encode() + b"\0" + (token or self.mac("token")).encode()
        return c.cmd(b"AUTHENTICATE X-WAYPOST-TOKEN " + base64.b64encode(raw)).text


@pytest.mark.parametrize("mechanism", CRAM)
def test_cram_elsewhere(mech, mechanism):
    """With a token where nobody knows the password, else with the directory's."""
    for name in ("hmac2@example.com", "clear2@example.com"):
        marks = mech.node(HERE).log_mark(), mech.node(THERE).log_mark()
        c, _, reply = imap_cram(mech, HERE, name, mech.secret, mechanism)
        assert reply.startswith(b"a OK"), reply
        assert c.subjects() == [f"{name} lives on 127.0.0.2"]
        c.cmd("LOGOUT")
        mech.node(HERE).wait_log(f"imapd: LOGIN, user={name}, .*mailhost=127.0.0.2", marks[0])
        # The client is the client, signed; and it is one session.
        host, port = c.sock.getsockname()
        assert f"ip=[::ffff:{host}], port=[{port}]" in mech.node(THERE).wait_log(f"imapd: LOGIN, user={name}", marks[1])
        c, _, reply = pop3_cram(mech, "127.0.0.3", name, mech.secret, mechanism)
        assert reply.startswith(b"+OK"), reply
        assert c.cmd("STAT").startswith(b"+OK 1 ")
        c.cmd("QUIT")
        assert imap_cram(mech, HERE, name, "wrong", mechanism)[2] == b"a NO [AUTHENTICATIONFAILED] Login failed."
    assert pop3_apop(mech, HERE, "clear2@example.com", mech.secret)[2].startswith(b"+OK")


def test_pipelined_behind_the_answer(mech):
    """Not a byte is lost at a hand-over of a login that took several turns."""
    c = Imap("127.0.0.3", mech.imap_port)
    c.send(b"a AUTHENTICATE CRAM-MD5\r\n")
    challenge = base64.b64decode(c.line()[2:])
    c.send(answer(challenge, "hmac2@example.com", mech.secret, "CRAM-MD5") + b"\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
    assert c.finish("a").ok and c.finish("b").ok and c.finish("c").ok


def test_token_is_good_once_and_for_its_login(mech):
    name = "hmac2@example.com"
    t = Token(mech, name)
    assert t.login().startswith(b"OK")
    assert t.login().startswith(b"NO [AUTHENTICATIONFAILED]")  # again
    mech.node(THERE).wait_log("a token that was used already has come again")
    refused = b"NO [AUTHENTICATIONFAILED]"
    assert Token(mech, name).login(hop="").startswith(refused)
    assert Token(mech, name).login(hop='"x-session-id" "0123456789abcdef"').startswith(refused)
    assert Token(mech, name).login(token=Token(mech, name).mac("hop")).startswith(refused)  # what everybody could see
    assert Token(mech, name).login(host="127.0.0.3").startswith(refused)  # it is another node's
    assert Token(mech, name).login(name="hmac1@example.com").startswith(refused)
    assert Token(mech, name, session="s2").login(hop=Token(mech, name, session="s3").hop).startswith(refused)
    assert Token(mech, "nobody@example.com").login().startswith(refused)
    assert Token(mech, "locked@example.com").login().startswith(refused)
    # Too old to be good, but not to be believed: the clocks differ, which is no wrong password.
    assert Token(mech, name, made=-100).login().startswith(b"NO [UNAVAILABLE]")
    assert Token(mech, name, made=100).login().startswith(b"NO [UNAVAILABLE]")
    mech.node(THERE).wait_log("the token of the node that forwarded it was made .* do the clocks of the nodes agree")
    assert Token(mech, name, made=-1000).login().startswith(refused)


def test_no_secret_no_token(make_pool):
    p = make_pool(nodes=1, accounts=[Account("a@example.com")], settings={"POOL_SECRETFILE": None})
    c = Imap(HERE, p.imap_port)
    assert b"X-WAYPOST" not in c.greeting
    assert c.cmd("AUTHENTICATE X-WAYPOST-TOKEN dQB1").text.startswith(b"NO [CANNOT]")
    pop = Pop3(HERE, p.pop3_port)
    assert b"X-WAYPOST" not in pop.greeting
    assert pop.cmd("AUTH X-WAYPOST-TOKEN dQB1").startswith(b"-ERR Unsupported")


@pytest.fixture(scope="module")
def foreign(request):
    """A node whose accounts' mail is at a server that is not ours, which notes what it is told."""
    servers = [FakeServer(f"127.0.2.{i}") for i in (1, 2)]
    secret = "sécret"
    p = Pool(nodes=1, keep=request.config.getoption("--keep"), settings={
        "imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"}, "pop3d": {"POP3AUTH": "PLAIN APOP CRAM-MD5"}},
        accounts=[Account("imap@example.com", password=secret, mailhost=servers[0].host, fields=states(secret)),
                  Account("pop@example.com", password=secret, mailhost=servers[1].host, fields=states(secret)),
                  Account("stored@example.com", password=secret, mailhost=servers[0].host, fields={"systempw": "{PLAIN}" + secret})])
    p.secret, p.imap, p.pop = secret, *servers
    yield p
    p.close()
    for s in servers:
        s.close()


def test_foreign_without_master(foreign):
    """No password, no token, no master user: said so, and not as a wrong password."""
    node = foreign.nodes[0]
    foreign.imap.script, foreign.pop.script = imap_peer(), pop3_peer()
    mark = node.log_mark()
    assert imap_cram(foreign, HERE, "imap@example.com", foreign.secret)[2].startswith(b"a NO [CONTACTADMIN] This account can only log in")
    assert pop3_cram(foreign, HERE, "pop@example.com", foreign.secret)[2].startswith(b"-ERR [SYS/PERM] This account can only log in")
    wait_for("both are in the log", lambda: node.log_since(mark).count("PROXY_MASTER_USER is not set") == 2)
    text = node.log_since(mark)
    assert "by CRAM-MD5 nobody tells the password that mailhost" in text
    assert "LOGIN FAILED" not in text


def test_foreign_with_stored_password(foreign):
    foreign.imap.script = imap_peer()
    assert imap_cram(foreign, HERE, "stored@example.com", foreign.secret)[2].startswith(b"a OK")
    assert (foreign.imap.last.user, foreign.imap.last.password) == (b"stored@example.com", foreign.secret.encode())
    foreign.imap.script = imap_peer(greeting="* OK Microsoft Exchange\r\n")  # literals
    assert imap_cram(foreign, HERE, "stored@example.com", foreign.secret)[2].startswith(b"a OK")
    assert foreign.imap.last.password == foreign.secret.encode()


def test_foreign_with_master(foreign):
    """SASL PLAIN for somebody else: with an initial response and without, and never where the password is known."""
    node = foreign.nodes[0]
    foreign.write_conf({"proxy": {"PROXY_MASTER_USER": "waypost", "PROXY_MASTER_PASSWORD": "m\u00e4ster"}})
    assert node.tool("reload").returncode == 0
    for caps in ("[CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ", "[CAPABILITY IMAP4rev1 AUTH=PLAIN] ", ""):
        foreign.imap.script = imap_peer(greeting=f"* OK {caps}ready\r\n")
        assert imap_cram(foreign, HERE, "imap@example.com", foreign.secret)[2].startswith(b"a OK")
        last = foreign.imap.last
        assert (last.authzid, last.user, last.password) == (b"imap@example.com", b"waypost", "m\u00e4ster".encode())
    for greeting in ("+OK ready\r\n", "+OK [XCLIENT] ready\r\n"):
        foreign.pop.script = pop3_peer(greeting=greeting)
        assert pop3_cram(foreign, HERE, "pop@example.com", foreign.secret)[2].startswith(b"+OK")
        last = foreign.pop.last
        assert (last.authzid, last.user, last.password) == (b"pop@example.com", b"waypost", "m\u00e4ster".encode())
        assert len(last.xclient) == ("XCLIENT" in greeting)
    foreign.imap.script = imap_peer(greeting="* OK [CAPABILITY IMAP4rev1 AUTH=GSSAPI] ready\r\n")
    mark = node.log_mark()
    assert imap_cram(foreign, HERE, "imap@example.com", foreign.secret)[2].startswith(b"a NO [CONTACTADMIN]")
    node.wait_log("it takes neither our token nor SASL PLAIN", mark)
    foreign.imap.script = imap_peer()
    c = Imap(HERE, foreign.imap_port)
    c.send(b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0imap@example.com\0" + foreign.secret.encode()) + b"\r\n")
    assert c.line().startswith(b"a NO [AUTHENTICATIONFAILED]")  # it has HMAC states alone
    assert imap_cram(foreign, HERE, "stored@example.com", foreign.secret)[2].startswith(b"a OK")
    assert foreign.imap.last.user == b"stored@example.com"


def test_off_by_default(make_pool):
    pool = make_pool(nodes=1, accounts=[Account("anna@example.com")])
    c = Imap(HERE, pool.imap_port)
    assert b"CRAM" not in c.greeting
    for m in CRAM:
        assert c.cmd("AUTHENTICATE " + m).text.startswith(b"NO [CANNOT]")
    pop = Pop3(HERE, pool.pop3_port)
    assert b"<" not in pop.greeting
    assert "CRAM" not in str(pop.multi("CAPA"))
    assert pop.cmd("AUTH CRAM-MD5").startswith(b"-ERR Unsupported")
    assert pop.cmd("APOP anna@example.com 00").startswith(b"-ERR Unknown")


def test_advertised(mech):
    caps = Imap(HERE, mech.imap_port).greeting
    assert all(b"AUTH=" + m.encode() in caps for m in CRAM)
    sasl = [line for line in Pop3(HERE, mech.pop3_port).multi("CAPA") if line.startswith(b"SASL")]
    assert sasl == [b"SASL PLAIN LOGIN " + " ".join(CRAM).encode()]


def test_check_tells_who_cannot(mech):
    text = mech.node(HERE).tool("check").stdout
    assert "clients that choose APOP can log in to accounts of authuserdb only where" in text
    assert "CRAM-MD5" in text and "authpgsql" not in [line for line in text.splitlines() if "CRAM-MD5" in line][0]


def test_python(mech):
    c = imaplib.IMAP4(HERE, mech.imap_port)
    assert c.login_cram_md5("hmac1@example.com", mech.secret)[0] == "OK"
    assert c.select()[0] == "OK"
    c.logout()
    pop = poplib.POP3(HERE, mech.pop3_port)
    assert pop.apop("clear1@example.com", mech.secret).startswith(b"+OK")
    assert pop.stat()[0] == 1
    pop.quit()
