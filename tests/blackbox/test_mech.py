"""Logins that do not send the password: CRAM and APOP. Through a pool of three nodes whose accounts are in a userdb with HMAC
states, and in PostgreSQL with clear passwords."""
import base64
import glob
import hashlib
import hmac
import imaplib
import mailbox
import os
import poplib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

import debian
import directories
from client import Imap, Pop3, node_id
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import GID, PREFIX, SLOW, UID, Account, Pool, deliver, free_port, make_maildir, message, wait_for

CAPS = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE SORT SORT=DISPLAY THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL AUTH=PLAIN AUTH=LOGIN"
SCRAM = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
CRAM = ["CRAM-MD5", "CRAM-SHA1", "CRAM-SHA256"]
HASH = {"CRAM-MD5": "md5", "CRAM-SHA1": "sha1", "CRAM-SHA256": "sha256"}
HERE, THERE = "127.0.0.1", "127.0.0.2"


def states(password):
    """What userdbpw makes of PASSWORD: fields of userdb, and no other password."""
    def run(option):
        return subprocess.run([os.path.join(PREFIX, "bin", "userdbpw"), option], input=f"{password}\n{password}\n", text=True,
                              capture_output=True, check=True, timeout=30 * SLOW).stdout.strip()
    return {"systempw": None, "hmac-md5pw": run("-hmac-md5"), "hmac-sha1pw": run("-hmac-sha1"), "hmac-sha256pw": run("-hmac-sha256")}


def scram_secret(password, mechanism, iterations=4096, salt=b"the salt is kept"):
    hash_name = SCRAM[mechanism]
    salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)
    stored = hashlib.new(hash_name, hmac.new(salted, b"Client Key", hash_name).digest()).digest()
    server = hmac.new(salted, b"Server Key", hash_name).digest()
    b64 = lambda b: base64.b64encode(b).decode()
    return f"{{{mechanism}}}{iterations},{b64(salt)},{b64(stored)},{b64(server)}"


@pytest.fixture(scope="module")
def sql():
    server = directories.Postgres()
    server.sql("CREATE TABLE accounts (name text, clear text, uid int, gid int, home text, options text);")
    yield server
    server.close()


@pytest.fixture(scope="module")
def mech(request, sql):
    """Three nodes with every mechanism on. userdb: hmac-HOST; SQL: clear-HOST; and plain@, which has only a hash."""
    secret = "päss w'ord"
    accounts = [Account(f"hmac{host[-1]}@example.com", password=secret, mailhost=host, fields=states(secret)) for host in (HERE, THERE)]
    accounts += [Account(f"{m.lower()}-{host[-1]}@example.com", password=secret, mailhost=host, fields={"systempw": scram_secret(secret, m)})
                 for m in SCRAM for host in (HERE, THERE)]
    accounts += [Account("plain@example.com", mailhost=HERE), Account("locked@example.com", mailhost=HERE, fields={**states("x"), "systempw": "!x"}),
                 Account("imap@example.com", password="for imap", mailhost=HERE,
                         fields={**states("for all"), **{"imap-" + k: v for k, v in states("for imap").items() if v}})]
    p = Pool(accounts=accounts, keep=request.config.getoption("--keep"), start=False, settings={
        "authdaemonrc": {"authmodulelist": "authuserdb authpgsql"},
        "authpgsqlrc": {"PGSQL_CONNECTION": f"host={sql.host} port={sql.port} user=admin dbname=postgres sslmode=disable",
                        "PGSQL_USER_TABLE": "accounts", "PGSQL_LOGIN_FIELD": "name", "PGSQL_CLEAR_PWFIELD": "clear", "PGSQL_UID_FIELD": "uid",
                        "PGSQL_GID_FIELD": "gid", "PGSQL_HOME_FIELD": "home", "PGSQL_AUXOPTIONS_FIELD": "options"},
        "imapd": {"IMAP_CAPABILITY": CAPS + "".join(f" AUTH={m}" for m in [*CRAM, *SCRAM])},
        "pop3d": {"POP3AUTH": "PLAIN LOGIN APOP " + " ".join([*CRAM, *SCRAM])}})
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
    """The same reply for a wrong password, an unknown name, an account with only a hash, and a locked one."""
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
    assert "account plain@example.com cannot log in by CRAM-MD5: its directory has neither its clear password" in text
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
    # A timestamp is valid once; a new connection has another.
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
    # Broken off; all at once; then correct.
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
    """A challenge whose authd died does not count as a wrong password."""
    node = mech.node(HERE)
    node.expect_dirty = True
    c = Imap(HERE, mech.imap_port)
    c.send(b"a AUTHENTICATE CRAM-MD5\r\n")
    challenge = base64.b64decode(c.line()[2:])
    pop = Pop3(HERE, mech.pop3_port)
    scram = Imap(HERE, mech.imap_port)
    scram.send(b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(b"n,,n=clear1@example.com,r=abc") + b"\r\n")
    assert scram.line().startswith(b"+ ")
    mark = node.log_mark()
    os.kill(node.pids("authd")[0], 9)
    node.wait_log("authd.*killed|killed.*authd|lost authd", mark)
    c.send(answer(challenge, "hmac1@example.com", mech.secret, "CRAM-MD5") + b"\r\n")
    assert c.line().startswith(b"a NO [UNAVAILABLE]")
    scram.send(base64.b64encode(b"c=biws,r=abc,p=AAAA") + b"\r\n")
    assert scram.line().startswith(b"a NO [UNAVAILABLE]")
    stamp = pop.greeting[pop.greeting.index(b"<"):]
    right = hashlib.md5(stamp + mech.secret.encode()).hexdigest()
    assert pop.cmd(f"APOP clear1@example.com {right}").startswith(b"-ERR [SYS/TEMP]")
    c.send(b"b AUTHENTICATE CRAM-MD5\r\n")
    c.send(answer(base64.b64decode(c.line()[2:]), "hmac1@example.com", mech.secret, "CRAM-MD5") + b"\r\n")
    assert c.line().startswith(b"b OK")
    node.wait_userdb(mark)  # before, a name that is not in the userdb of the authd before is no wrong one


class Scram:
    """Our own SCRAM client, so that every step can be checked. GREETING: the first line of the login; END: how it ended."""

    def __init__(self, p, node, name, password, mechanism="SCRAM-SHA-256", pop3=False, initial=True, header="n,,", spoil=None):
        self.mechanism, self.hash = mechanism, SCRAM[mechanism]
        self.c = (Pop3 if pop3 else Imap)(node, p.pop3_port if pop3 else p.imap_port)
        command = ("AUTH " if pop3 else "a AUTHENTICATE ") + mechanism
        bare = "n=" + name.replace("=", "=3D").replace(",", "=2C") + ",r=" + base64.b64encode(os.urandom(12)).decode()
        first = self.b64((header + bare).encode())
        if initial:
            self.c.send(f"{command} {first}\r\n".encode())
        else:
            self.c.send(command.encode() + b"\r\n")
            assert self.c.line() == b"+ "
            self.c.send(first.encode() + b"\r\n")
        self.offer = self.c.line()
        self.end = self.offer
        if not self.offer.startswith(b"+ "):
            return
        self.offer = base64.b64decode(self.offer[2:]).decode()
        fields = dict(part.split("=", 1) for part in self.offer.split(","))
        self.salt, self.iterations = fields["s"], int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self.hash, password.encode(), base64.b64decode(self.salt), self.iterations)
        key = hmac.new(salted, b"Client Key", self.hash).digest()
        without = f"c={self.b64(header.encode())},r={fields['r']}"
        message = f"{bare},{self.offer},{without}".encode()
        signature = hmac.new(hashlib.new(self.hash, key).digest(), message, self.hash).digest()
        proof = self.b64(bytes(a ^ b for a, b in zip(key, signature)))
        final = f"{without},p={proof}"
        self.c.send(self.b64((spoil(final) if spoil else final).encode()).encode() + b"\r\n")
        self.end = self.c.line()
        if not self.end.startswith(b"+ "):
            return
        server = hmac.new(hmac.new(salted, b"Server Key", self.hash).digest(), message, self.hash).digest()
        assert base64.b64decode(self.end[2:]) == b"v=" + base64.b64encode(server)  # it knows us, too
        self.c.send(b"\r\n")
        self.end = self.c.line()

    @staticmethod
    def b64(data):
        return base64.b64encode(data).decode()


@pytest.mark.valgrind
@pytest.mark.parametrize("mechanism", SCRAM)
def test_scram(mech, mechanism):
    """From a stored secret and from a clear password; here and on another node; with an initial response and without."""
    for n, host in (("1", HERE), ("2", THERE)):
        for name in (f"{mechanism.lower()}-{n}@example.com", f"clear{n}@example.com"):
            s = Scram(mech, HERE, name, mech.secret, mechanism)
            assert s.end.startswith(b"a OK"), s.end
            assert s.c.subjects() == [f"{name} lives on {host}"]
            s.c.cmd("LOGOUT")
            s = Scram(mech, "127.0.0.3", name, mech.secret, mechanism, pop3=True, initial=False)
            assert s.end.startswith(b"+OK"), s.end
            assert s.c.cmd("STAT").startswith(b"+OK 1 ")
            s.c.cmd("QUIT")


def test_scram_unknown_is_as_known(mech):
    """The same number of steps and the same replies; a salt that is constant, on every node, and unique; the site's iterations."""
    salts = {}
    for name in ("nobody@example.com", "else@example.com", "clear1@example.com", "plain@example.com", "locked@example.com",
                 "scram-sha-256-1@example.com", "scram-sha-1-1@example.com", "odd,na=me"):
        seen = [Scram(mech, node, name, "wrong") for node in (HERE, THERE, HERE)]
        assert all(s.end == b"a NO [AUTHENTICATIONFAILED] Login failed." for s in seen), (name, seen[0].end)
        assert len({s.salt for s in seen}) == 1 and {s.iterations for s in seen} == {4096}
        assert len(base64.b64decode(seen[0].salt)) == 16
        salts[name] = seen[0].salt
    assert len(set(salts.values())) == len(salts)
    # Each mechanism has its own salt.
    assert Scram(mech, HERE, "nobody@example.com", "wrong", "SCRAM-SHA-1").salt != salts["nobody@example.com"]
    text = mech.node(HERE).log()
    assert "LOGIN FAILED, user=nobody@example.com" in text and "method=SCRAM-SHA-256" in text
    assert "account plain@example.com cannot log in by SCRAM-SHA-256: its directory has neither its clear password" in text


def test_scram_who_it_is(mech):
    name = "scram-sha-256-1@example.com"
    assert Scram(mech, HERE, name, mech.secret, header=f"y,a={name},").end.startswith(b"a OK")
    assert Scram(mech, HERE, name, mech.secret, header="n,a=else@example.com,").end.startswith(b"a NO [AUTHORIZATIONFAILED]")
    assert Scram(mech, HERE, name, mech.secret, header="n,a=else@example.com,", pop3=True).end.startswith(b"-ERR [SYS/PERM]")
    # Channel binding is for TLS.
    assert Scram(mech, HERE, name, mech.secret, header="p=tls-unique,,").end.startswith(b"a BAD")


@pytest.mark.parametrize("spoil", [
    lambda m: m[:-4] + "AAA=", lambda m: m.replace(",r=", ",r=x"), lambda m: "c=eSws" + m[6:], lambda m: "x" * 900, lambda m: ",", lambda m: m + ",x=y",
    lambda m: m[:m.index(",p=")]])
def test_scram_spoilt(mech, spoil):
    for name in ("scram-sha-256-1@example.com", "clear1@example.com", "nobody@example.com"):
        s = Scram(mech, HERE, name, mech.secret, spoil=spoil)
        assert s.end == b"a NO [AUTHENTICATIONFAILED] Login failed.", s.end
        assert s.c.login("plain@example.com", "secret-plain@example.com").ok


def test_scram_broken_off(mech):
    first = base64.b64encode(b"n,,n=clear1@example.com,r=abc")
    c = Imap(HERE, mech.imap_port)
    c.send(b"a AUTHENTICATE SCRAM-SHA-256 " + first + b"\r\n*\r\nb NOOP\r\n")
    assert c.line().startswith(b"+ ")
    assert c.line() == b"a BAD Authentication cancelled." and c.line() == b"b OK NOOP completed"
    for bad in (b"", b"n,,", b"n,,n=,r=x", b"n,,n=a", b"n,,n=a=b,r=x", b"x,,n=a,r=x", b"n,,r=x,n=a", b"n,,n=a,r=", b"\0", b"n,,n=a\0,r=x", b"n=a,r=x"):
        c.send(b"c AUTHENTICATE SCRAM-SHA-256 " + (base64.b64encode(bad) or b"=") + b"\r\n")
        assert c.line().startswith((b"c BAD", b"c NO [AUTHENTICATIONFAILED]")), bad
        assert c.ok("NOOP")
    gone = Imap(HERE, mech.imap_port)
    gone.send(b"a AUTHENTICATE SCRAM-SHA-256 " + first + b"\r\n")
    assert gone.line().startswith(b"+ ")
    gone.sock.close()
    os.kill(mech.node(HERE).pids("authd")[0], 0)  # it is alive
    assert c.login("plain@example.com", "secret-plain@example.com").ok


# --- accounts that live elsewhere ---

class Token:
    """What a node of the pool would send, made with the pool secret."""

    def __init__(self, p, name, host=THERE, made=0, session="0123456789abcdef"):
        self.p, self.name, self.made = p, name, int(time.time()) + made
        with open(os.path.join(p.root, "secret")) as f:
            self.key = f.read().strip().encode()
        self.text = f"\n{host}\n{session}\n192.0.2.7\n1234\n0\n3\n{self.made}\n{name}\n"
        self.hop = f'"x-session-id" "{session}" "x-originating-ip" "192.0.2.7" "x-originating-port" "1234" "x-proxy-ttl" "3" ' \
                   f'"x-client-transport" "insecure" "x-waypost-auth" "{self.made}:{self.mac("hop")}"'

    def mac(self, what):
        return hmac.new(self.key, f"waypost {what} 1{self.text}".encode(), "sha256").hexdigest()

    def login(self, host=THERE, token=None, hop=None, name=None, source=None):
        c = Imap(host, self.p.imap_port, source=source)
        if hop != "":
            c.ok(f"ID ({hop or self.hop})")
        return c.cmd(self.command(c, token, name)).text

    def command(self, c, token=None, name=None):
        """The token is for the very node that has greeted; self.sent is the last one."""
        self.sent = token or hmac.new(bytes.fromhex(self.mac("token")), node_id(c.greeting), "sha256").hexdigest()
        return b"AUTHENTICATE X-WAYPOST-TOKEN " + base64.b64encode((name or self.name).encode() + b"\0" + self.sent.encode())


@pytest.mark.parametrize("mechanism", CRAM)
def test_cram_elsewhere(mech, mechanism):
    """With a token if the password is not known, else with that of the directory."""
    for name in ("hmac2@example.com", "clear2@example.com"):
        marks = mech.node(HERE).log_mark(), mech.node(THERE).log_mark()
        c, _, reply = imap_cram(mech, HERE, name, mech.secret, mechanism)
        assert reply.startswith(b"a OK"), reply
        assert c.subjects() == [f"{name} lives on 127.0.0.2"]
        c.cmd("LOGOUT")
        mech.node(HERE).wait_log(f"imapd: LOGIN, user={name}, .*mailhost=127.0.0.2", marks[0])
        # The client's address arrives, signed; and it is one session.
        host, port = c.sock.getsockname()
        assert f"ip=[::ffff:{host}], port=[{port}]" in mech.node(THERE).wait_log(f"imapd: LOGIN, user={name}", marks[1])
        c, _, reply = pop3_cram(mech, "127.0.0.3", name, mech.secret, mechanism)
        assert reply.startswith(b"+OK"), reply
        assert c.cmd("STAT").startswith(b"+OK 1 ")
        c.cmd("QUIT")
        assert imap_cram(mech, HERE, name, "wrong", mechanism)[2] == b"a NO [AUTHENTICATIONFAILED] Login failed."
    assert pop3_apop(mech, HERE, "clear2@example.com", mech.secret)[2].startswith(b"+OK")


@pytest.mark.parametrize("turn", range(3))
def test_first_host_down(make_pool, turn):
    """The first of two hosts is down: the other one serves at once, whatever the mechanism."""
    name = "both@example.com"
    fields = [states("x"), {"systempw": scram_secret("x", "SCRAM-SHA-256")}, {"systempw": "{PLAIN}x"}][turn]
    p = make_pool(nodes=2, accounts=[Account(name, password="x", mailhost=f"127.0.3.3:{free_port(['127.0.3.3'])} {HERE}", options="replicated=shared", fields=fields)],
                  settings={"imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5 AUTH=SCRAM-SHA-256"}, "pop3d": {"POP3AUTH": "APOP"}})
    login = [lambda node: imap_cram(p, node, name, "x")[2], lambda node: Scram(p, node, name, "x").end, lambda node: pop3_apop(p, node, name, "x")[2]][turn]
    for node in (HERE, THERE, HERE):  # the first one finds out
        assert login(node).startswith((b"a OK", b"+OK"))
    assert not login(HERE).startswith(b"a NO")


def test_pipelined_behind_the_answer(mech):
    """No byte is lost at the hand-over of a login with several steps."""
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
    mech.node(THERE).wait_log("a used token was sent again")
    refused = b"NO [AUTHENTICATIONFAILED]"
    assert Token(mech, name).login(hop="").startswith(refused)
    assert Token(mech, name).login(hop='"x-session-id" "0123456789abcdef"').startswith(refused)
    assert Token(mech, name).login(token=Token(mech, name).mac("hop")).startswith(refused)  # which is no secret
    stranger = "127.0.0.9"
    assert Token(mech, name).login(host="127.0.0.3", source=stranger).startswith(refused)  # it is another node's
    assert Token(mech, name).login(name="hmac1@example.com", source=stranger).startswith(refused)
    # From an address with valid signatures before, it is an error of the pool, not a wrong password.
    assert Token(mech, name).login(name="hmac1@example.com").startswith(b"NO [UNAVAILABLE]")
    assert Token(mech, name, session="s2").login(hop=Token(mech, name, session="s3").hop).startswith(refused)
    assert Token(mech, "nobody@example.com").login().startswith(refused)
    assert Token(mech, "locked@example.com").login().startswith(refused)
    # The token has expired, but its signature is valid: the clocks differ, which is not a wrong password.
    assert Token(mech, name, made=-100).login().startswith(b"NO [UNAVAILABLE]")
    assert Token(mech, name, made=100).login().startswith(b"NO [UNAVAILABLE]")
    mech.node(THERE).wait_log("the token of the forwarding node was made .* do the clocks of the nodes agree")
    assert Token(mech, name, made=-1000).login().startswith(b"NO [UNAVAILABLE]")


def restart_authd(node):
    """By a crash; the next one works when this returns."""
    pid, = node.pids("authd")
    node.expect_dirty = True
    os.kill(pid, signal.SIGKILL)
    wait_for("there is another authd", lambda: node.pids("authd") not in ([], [pid]))


@pytest.fixture
def two(make_pool):
    name = "there@example.com"
    p = make_pool(nodes=2, settings={"imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"}},
                  accounts=[Account(name, password="x", mailhost=THERE, fields=states("x"))])
    p.name = name
    return p


def test_used_token_stays_used_when_authd_dies(two):
    node, t = two.node(THERE), Token(two, two.name)
    assert t.login().startswith(b"OK")
    for _ in range(2):
        restart_authd(node)
        mark = node.log_mark()
        # The pool does not notice.
        assert imap_cram(two, HERE, two.name, "x", "CRAM-MD5")[2].startswith(b"a OK")
        assert t.login(token=t.sent).startswith(b"NO [AUTHENTICATIONFAILED]")
        node.wait_log("a used token was sent again", mark)


@pytest.mark.parametrize("how", ["in order", "by a crash"])
def test_used_token_is_for_a_node_that_is_gone_when_it_starts_again(two, how):
    """Nobody knows what was used before; nobody has to wait for that either."""
    node, t = two.node(THERE), Token(two, two.name)
    assert t.login().startswith(b"OK")
    used = t.sent
    if how == "in order":
        node.stop()
    else:
        node.kill_all()
    node.start()
    assert imap_cram(two, HERE, two.name, "x", "CRAM-MD5")[2].startswith(b"a OK")
    assert t.login(token=used).startswith(b"NO [AUTHENTICATIONFAILED]")
    assert t.login().startswith(b"OK") and t.sent != used  # the same login, meant for the node as it is now


def test_token_under_way_when_authd_dies(two):
    """It may have been used: it is no wrong password, and it is not taken."""
    node, t = two.node(THERE), Token(two, two.name)
    pid, = node.pids("authd")
    node.expect_dirty = True
    c = Imap(THERE, two.imap_port)
    c.ok(f"ID ({t.hop})")
    mark = node.log_mark()
    os.kill(pid, signal.SIGSTOP)
    try:
        c.send(b"x NOOP\r\na " + t.command(c) + b"\r\n")
        assert c.line().startswith(b"x OK")  # it sends both answers at once, if it has both
    finally:
        os.kill(pid, signal.SIGKILL)
    assert c.finish("a").text.startswith(b"NO [UNAVAILABLE]")
    assert "LOGIN FAILED" not in node.log_since(mark)
    assert Token(two, two.name).login().startswith(b"OK")


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
    """No password, no token, no master user: reported as that, not as a wrong password."""
    node = foreign.nodes[0]
    foreign.imap.script, foreign.pop.script = imap_peer(), pop3_peer()
    mark = node.log_mark()
    assert imap_cram(foreign, HERE, "imap@example.com", foreign.secret)[2].startswith(b"a NO [CONTACTADMIN] This account can only log in")
    assert pop3_cram(foreign, HERE, "pop@example.com", foreign.secret)[2].startswith(b"-ERR [SYS/PERM] This account can only log in")
    wait_for("both are in the log", lambda: node.log_since(mark).count("PROXY_MASTER_USER is not set") == 2)
    text = node.log_since(mark)
    assert "CRAM-MD5 reveals no password, which mailhost" in text
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
    node.wait_log("it accepts neither our token nor SASL PLAIN", mark)
    foreign.imap.script = imap_peer()
    c = Imap(HERE, foreign.imap_port)
    c.send(b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0imap@example.com\0" + foreign.secret.encode()) + b"\r\n")
    assert c.line().startswith(b"a NO [AUTHENTICATIONFAILED]")  # it has only HMAC states
    assert imap_cram(foreign, HERE, "stored@example.com", foreign.secret)[2].startswith(b"a OK")
    assert foreign.imap.last.user == b"stored@example.com"


def test_many_who_never_answer(mech):
    """Clients that ask for a challenge and leave, or stay and say nothing, are nobody's trouble; all they had is let go."""
    rows = []
    for i in range(60):
        c = Imap(HERE, mech.imap_port)
        c.send([b"a AUTHENTICATE CRAM-MD5\r\n", b"a AUTHENTICATE SCRAM-SHA-1\r\nbiwsbj1ub2JvZHkscj1hYmM=\r\n",
                b"a AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(b"n,,n=clear1@example.com,r=abc") + b"\r\n"][i % 3])
        rows.append(c)
        if i % 2:
            rows.append(Pop3(HERE, mech.pop3_port))
            rows.pop(0).sock.close()
    assert imap_cram(mech, HERE, "hmac1@example.com", mech.secret)[2].startswith(b"a OK")
    assert Scram(mech, HERE, "clear1@example.com", mech.secret).end.startswith(b"a OK")
    for c in rows:
        c.sock.close()
    assert imap_cram(mech, HERE, "hmac1@example.com", mech.secret)[2].startswith(b"a OK")


def test_off_by_default(make_pool):
    pool = make_pool(nodes=1, accounts=[Account("anna@example.com")])
    c = Imap(HERE, pool.imap_port)
    assert b"CRAM" not in c.greeting
    for m in [*CRAM, *SCRAM]:
        assert c.cmd("AUTHENTICATE " + m).text.startswith(b"NO [CANNOT]")
    pop = Pop3(HERE, pool.pop3_port)
    assert b"<" not in pop.greeting
    assert "CRAM" not in str(pop.multi("CAPA"))
    assert pop.cmd("AUTH CRAM-MD5").startswith(b"-ERR Unsupported")
    assert pop.cmd("APOP anna@example.com 00").startswith(b"-ERR Unknown")


def test_advertised(mech):
    caps = Imap(HERE, mech.imap_port).greeting
    assert all(b"AUTH=" + m.encode() in caps for m in [*CRAM, *SCRAM])
    sasl = [line for line in Pop3(HERE, mech.pop3_port).multi("CAPA") if line.startswith(b"SASL")]
    assert sasl == [b"SASL PLAIN LOGIN " + " ".join([*CRAM, *SCRAM]).encode()]


def test_check_tells_who_cannot(mech):
    """Accounts of the userdb are counted; those of SQL have clear passwords."""
    text, log = mech.node(HERE).tool("check").stdout, mech.node(HERE).log()
    assert "for logins with" not in text + log
    for n, first, by in ((5, "scram-sha-1-1@example.com", "CRAM-SHA256, which IMAP"), (5, "scram-sha-1-1@example.com", "CRAM-MD5, which POP3"),
                         (8, "hmac1@example.com", "APOP, which POP3"), (6, "hmac1@example.com", "SCRAM-SHA-256, which POP3")):
        line = f"{n} accounts (first: {first}) cannot log in by {by} offers"
        assert "warning: " + line in text and "userdb: " + line in log
    assert "by APOP, which IMAP" not in text + log


def test_check_is_content_with_accounts_that_can(make_pool):
    """Nothing is said of a mechanism that all accounts can use, with states in the userdb or the password itself; of one for
    clients with TLS alone it is."""
    pool = make_pool(nodes=1, start=False, accounts=[
        Account("anna@example.com", fields=states("x")), Account("own@example.com", fields={"systempw": "{PLAIN}x"}),
        Account("off@example.com", options="disableimap=1")],
        settings={"imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"}})
    pool.start()
    node = pool.node(HERE)
    assert "CRAM" not in node.tool("check").stdout + node.log()
    pool.write_conf({"imapd": {"IMAP_CAPABILITY": CAPS, "IMAP_CAPABILITY_TLS": CAPS + " AUTH=SCRAM-SHA-256"}})
    text = node.tool("check").stdout
    assert "warning: 1 account (first: anna@example.com) cannot log in by SCRAM-SHA-256, which IMAP offers" in text
    assert "it needs a secret from userdbpw -scram-sha-256" in text


class Dovecot:
    """Debian's, from unpacked packages that are mounted over /usr for it alone: one account with its own mail, and a master
    user."""
    host = "127.0.2.9"
    overlay = 'mount --make-rprivate / && mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr && shift && exec "$@"'

    def __init__(self, folder, name):
        if os.getuid() != 0:
            pytest.skip("only root can lay packages over /usr")
        self.debian = debian.Unpacked("dovecot-core", "dovecot-imapd", "dovecot-pop3d")
        self.imap_port, self.pop3_port = free_port([self.host]), free_port([self.host])
        home = os.path.join(folder, "home")
        os.makedirs(os.path.join(home, "Maildir"))
        for path in (home, make_maildir(os.path.join(home, "Maildir"))):
            os.chown(path, UID, GID)
        deliver(os.path.join(home, "Maildir"), message(f"{name} lives with Dovecot"))
        for file, text in (("users", f"{name}:{{PLAIN}}nobody knows:{UID}:{GID}::{home}\n"), ("masters", "waypost:{PLAIN}master's secret\n")):
            with open(os.path.join(folder, file), "w") as f:
                f.write(text)
        self.launch(folder)

    def common(self):
        return f"""protocols = imap pop3
listen = {self.host}
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = {self.folder}/log
auth_mechanisms = plain
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
service stats {{
  unix_listener stats-reader {{
    mode = 0
  }}
}}
"""

    def configuration(self):
        return self.common() + f"""ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
service imap-login {{
  inet_listener imap {{
    port = {self.imap_port}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {self.pop3_port}
  }}
}}
passdb {{
  driver = passwd-file
  args = {self.folder}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
userdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
"""

    def launch(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "dovecot.conf"), "w") as f:
            f.write(self.configuration())
        self.proc = subprocess.Popen(["unshare", "-m", "sh", "-c", self.overlay, "sh", self.debian.root, "dovecot", "-F", "-c", f"{folder}/dovecot.conf"],
                                     stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_for("Dovecot answers", self.ready, pause=0.1)
        except BaseException:
            self.close()
            raise

    def log(self):
        try:
            with open(os.path.join(self.folder, "log")) as f:
                return f.read()
        except OSError:
            return ""

    def ready(self):
        assert self.proc.poll() is None, self.log()
        try:
            with socket.create_connection((self.host, self.imap_port), timeout=5 * SLOW) as c:
                return c.recv(4) == b"* OK"
        except OSError:
            return False

    def close(self):
        self.proc.terminate()
        self.proc.wait(30)
        self.debian.close()


class TlsFront(Dovecot):
    """As in README.proxy: Dovecot accepts TLS from clients and forwards the logins."""

    def __init__(self, folder, imap_back, pop3_back):
        if os.getuid() != 0:
            pytest.skip("only root can lay packages over /usr")
        self.debian = debian.Unpacked("dovecot-core", "dovecot-imapd", "dovecot-pop3d")
        self.imap_port, self.pop3_port, self.back = free_port([self.host]), free_port([self.host]), {"imap": imap_back, "pop3": pop3_back}
        directories.make_certificates(folder)
        self.launch(folder)

    def configuration(self):
        text = self.common() + f"ssl = required\nssl_cert = <{self.folder}/cert.pem\nssl_key = <{self.folder}/key.pem\n"
        for kind, port in ("imap", self.imap_port), ("pop3", self.pop3_port):
            text += f"""service {kind}-login {{
  inet_listener {kind} {{
    port = 0
  }}
  inet_listener {kind}s {{
    port = {port}
    ssl = yes
  }}
}}
"""
        # A real site has the default ports, and does not configure them.
        return text + f"""passdb {{
  driver = static
  args = proxy=y nopassword=y host={HERE} port=%{{if;%s;eq;imap;{self.back['imap']};{self.back['pop3']}}}
}}
"""

    def ready(self):
        assert self.proc.poll() is None, self.log()
        try:
            with self.connect(self.imap_port) as c:
                return c.recv(4) == b"* OK"
        except OSError:
            return False

    def connect(self, port, source="127.0.8.8"):
        context = ssl.create_default_context(cafile=os.path.join(self.folder, "ca.pem"))
        context.check_hostname = False  # the certificate is 127.0.0.1's
        return context.wrap_socket(socket.create_connection((self.host, port), timeout=10 * SLOW, source_address=(source, 0)))


def test_dovecot_as_tls_proxy_in_front(make_pool, open_folder):
    """The recipe of README.proxy: the client's own address is logged."""
    os.chown(open_folder, UID, GID)
    p = make_pool(nodes=1, accounts=[Account("tls@example.com", password="x")],
                  settings={"proxy": {"PROXY_TRUSTED": HERE}})
    front = TlsFront(open_folder, p.imap_port, p.pop3_port)
    try:
        mark = p.nodes[0].log_mark()
        with front.connect(front.imap_port) as c, c.makefile("rb") as lines:
            c.sendall(b"a LOGIN tls@example.com x\r\nb STATUS INBOX (MESSAGES)\r\nc LOGOUT\r\n")
            got = lines.read()
        assert b"\r\na OK" in got and b"(MESSAGES 1)" in got, (got, front.log(), p.nodes[0].log_since(mark))
        with front.connect(front.pop3_port) as c, c.makefile("rb") as lines:
            lines.readline()
            for command in b"USER tls@example.com", b"PASS x", b"STAT", b"QUIT":
                c.sendall(command + b"\r\n")
                answer = lines.readline()
                assert answer.startswith(b"+OK"), (command, answer, front.log(), p.nodes[0].log_since(mark))
        for program in "imapd", "pop3d":
            p.nodes[0].wait_log(rf"{program}: LOGIN, user=tls@example.com, ip=\[::ffff:127\.0\.8\.8\]", mark)
    finally:
        front.close()


@pytest.fixture
def open_folder():
    """A folder that all users can reach, as Dovecot's processes must; pytest's own are for its user only."""
    with tempfile.TemporaryDirectory(prefix="wp-dovecot-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield folder


class StrictDovecot(Dovecot):
    """Logins with plain passwords over TLS only, until trust()."""
    trusted = ""

    def configuration(self):
        return super().configuration().replace("disable_plaintext_auth = no", f"disable_plaintext_auth = yes\n{self.trusted}")

    def trust(self, address):
        self.trusted = f"login_trusted_networks = {address}"
        with open(os.path.join(self.folder, "dovecot.conf"), "w") as f:
            f.write(self.configuration())
        self.proc.send_signal(signal.SIGHUP)


def test_dovecot_that_wants_tls(make_pool, open_folder):
    """A permanent state with a remedy: client, log, `status` and `route` say so; once the remedy was applied, nothing does."""
    dovecot = StrictDovecot(open_folder, "dora@example.com")
    try:
        p = make_pool(nodes=1, accounts=[Account("dora@example.com", password="nobody knows",
                                                 mailhost=f"{dovecot.host}:imap={dovecot.imap_port}:pop3={dovecot.pop3_port}")])
        node = p.nodes[0]
        mark = node.log_mark()
        with Imap(HERE, p.imap_port) as c:
            assert c.login("dora@example.com", "nobody knows").text.startswith(b"NO [CONTACTADMIN] The server of this mailbox accepts logins over TLS only")
        with Pop3(HERE, p.pop3_port) as c:
            assert c.login("dora@example.com", "nobody knows").startswith(b"-ERR [SYS/PERM] The server of this mailbox accepts logins over TLS only")
        for protocol in "imapd", "pop3d":
            node.wait_log(rf"{protocol}: LOGIN REFUSED, user=dora@.*accepts no logins without TLS: set PROXY_TLS", mark)
        wait_for("status says so", lambda: node.status()["counts"]["peers_need_tls"] == 2)
        status = node.status()
        assert status["state"] == "degraded" and any("2 mailhosts accept no logins without TLS" in t for t in status["problems"]), status
        names = {n["name"]: n["text"] for n in status["notes"]}
        assert names["peers_need_tls_list"] == f"{dovecot.host}:{dovecot.imap_port} {dovecot.host}:{dovecot.pop3_port}"
        assert node.tool("route", "dora@example.com").stdout.count("it accepts no logins without TLS") == 2

        dovecot.trust(HERE)

        def in_again():
            with Imap(HERE, p.imap_port) as c, Pop3(HERE, p.pop3_port) as d:
                return c.login("dora@example.com", "nobody knows").status == "OK" and d.login("dora@example.com", "nobody knows").startswith(b"+OK")
        wait_for("Dovecot has read its new settings", in_again, pause=0.2)
        wait_for("nothing is wrong any more", lambda: node.status()["state"] == "well", pause=0.2)
        assert node.status()["counts"]["peers_need_tls"] == 0
        assert "without TLS" not in node.tool("route", "dora@example.com").stdout
    finally:
        dovecot.close()


def test_dovecot_master_user(make_pool, open_folder):
    """A real foreign server: the password is not known, and the login is made as the master user."""
    dovecot = Dovecot(open_folder, "dora@example.com")
    try:
        accounts = [Account("dora@example.com", password="x", mailhost=f"{dovecot.host}:{dovecot.imap_port}", fields=states("x"))]
        p = make_pool(nodes=1, accounts=accounts, settings={
            "proxy": {"PROXY_MASTER_USER": "waypost", "PROXY_MASTER_PASSWORD": "master's secret"},
            "imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"}, "pop3d": {"POP3AUTH": "PLAIN CRAM-MD5"}})
        c, _, reply = imap_cram(p, HERE, "dora@example.com", "x")
        assert reply.startswith(b"a OK"), (reply, dovecot.log())
        assert c.subjects() == ["dora@example.com lives with Dovecot"]
        c.cmd("LOGOUT")
        p.accounts["dora@example.com"].mailhost = f"{dovecot.host}:{dovecot.pop3_port}"
        mark = p.nodes[0].log_mark()
        p.write_userdb()
        p.nodes[0].wait_userdb(mark)
        c, _, reply = pop3_cram(p, HERE, "dora@example.com", "x")
        assert reply.startswith(b"+OK"), (reply, dovecot.log())
        assert c.cmd("STAT").startswith(b"+OK 1 ")
        c.cmd("QUIT")
        # If its password is wrong, that is reported, and not as the user's fault.
        p.write_conf({"proxy": {"PROXY_MASTER_PASSWORD": "changed"}})
        assert p.nodes[0].tool("reload").returncode == 0
        assert pop3_cram(p, HERE, "dora@example.com", "x")[2].startswith(b"-ERR [SYS/TEMP]")
        p.nodes[0].wait_log("refused PROXY_MASTER_USER", mark)
    finally:
        dovecot.close()


# --- programs ---

def run(*argv, **kw):
    return subprocess.run(argv, capture_output=True, timeout=60 * SLOW, check=False, **kw)


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def test_auth_shows_what_an_account_can(mech):
    node = mech.node(HERE)
    for name, password, can in (("hmac1@example.com", "x", "CRAM-MD5 CRAM-SHA1 CRAM-SHA256"), ("scram-sha-256-1@example.com", mech.secret, "SCRAM-SHA-256")):
        assert f"mechanisms that do not reveal it: {can}\n" in node.tool("auth", name, input=password + "\n").stdout
    assert "do not reveal" not in node.tool("auth", "plain@example.com", input="secret-plain@example.com\n").stdout


def test_python(mech):
    """A client limited to ASCII: it sends UTF-8 as bytes, or its passwords are ASCII."""
    c = imaplib.IMAP4(HERE, mech.imap_port)
    assert c.login_cram_md5("imap@example.com", "for imap")[0] == "OK"
    assert c.select()[0] == "OK"
    c.logout()
    pop = poplib.POP3(HERE, mech.pop3_port)
    assert pop.apop("clear1@example.com", mech.secret).startswith(b"+OK")
    assert pop.stat()[0] == 1
    pop.quit()


@needs("curl")
@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "+APOP", "*"])
def test_curl(mech, mechanism):
    user = ["-sS", "--max-time", "50", "--login-options", f"AUTH={mechanism}"]
    for name in ("clear2@example.com",) if "APOP" in mechanism else ("clear2@example.com", "hmac2@example.com"):
        user += ["-u", f"{name}:{mech.secret}"]
        if mechanism != "+APOP":
            r = run("curl", *user, f"imap://{HERE}:{mech.imap_port}/INBOX;MAILINDEX=1")
            assert r.returncode == 0 and f"{name} lives on 127.0.0.2".encode() in r.stdout, r.stderr
        r = run("curl", *user, f"pop3://{HERE}:{mech.pop3_port}/1")
        assert r.returncode == 0 and f"{name} lives on 127.0.0.2".encode() in r.stdout, r.stderr


@needs("fetchmail")
@pytest.mark.parametrize("options", ["protocol apop", "protocol imap auth cram-md5"])
def test_fetchmail(mech, tmp_path, options):
    rc = tmp_path / "rc"
    port = mech.pop3_port if "apop" in options else mech.imap_port
    rc.write_text(f"poll {HERE} service {port} {options}:\n user 'clear2@example.com' password \"{mech.secret}\" keep fetchall "
                  f"sslproto '' mda 'cat'\n")
    rc.chmod(0o600)
    r = run("fetchmail", "-v", "-f", str(rc), "--pidfile", str(tmp_path / "pid"), "--idfile", str(tmp_path / "ids"),
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
    assert r.returncode == 0 and b"clear2@example.com lives on 127.0.0.2" in r.stdout, (r.stdout[-1500:], r.stderr)


@needs("mbsync")
def test_mbsync(mech, tmp_path):
    if not glob.glob("/usr/lib/*/sasl2/libcrammd5.so*"):
        pytest.skip("Cyrus SASL's CRAM-MD5 is not installed")
    (tmp_path / "local").mkdir()
    rc = tmp_path / "rc"
    rc.write_text(f"""IMAPAccount pool
Host {HERE}
Port {mech.imap_port}
User hmac2@example.com
Pass "{mech.secret}"
SSLType None
AuthMechs CRAM-MD5

IMAPStore far
Account pool

MaildirStore near
Path {tmp_path}/local/
Inbox {tmp_path}/local/INBOX

Channel all
Far :far:
Near :near:
Create Near
SyncState *
""")
    r = run("mbsync", "-c", str(rc), "-a", env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
    assert r.returncode == 0, r.stdout + r.stderr
    assert [m["Subject"] for m in mailbox.Maildir(str(tmp_path / "local" / "INBOX"), create=False)] == ["hmac2@example.com lives on 127.0.0.2"]


@needs("gsasl")
@pytest.mark.parametrize("mechanism", [*SCRAM, "CRAM-MD5"])
def test_gsasl(mech, mechanism):
    for name in ("clear2@example.com", f"{mechanism.lower()}-2@example.com" if mechanism in SCRAM else "hmac2@example.com"):
        for password, good in ((mech.secret, True), ("wrong", False)):
            r = run("gsasl", "--client", "--imap", "--no-starttls", "--no-cb", f"--mechanism={mechanism}", f"--authentication-id={name}",
                    f"--password={password}", HERE, str(mech.imap_port), input=b"", env={**os.environ, "LC_ALL": "C.UTF-8"})
            assert (b"LOGIN Ok" in r.stdout) == good, (r.stdout, r.stderr)

