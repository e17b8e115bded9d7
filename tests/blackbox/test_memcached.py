"""Verified passwords that nodes share in memcached: a real memcached, an SQLite file as the directory, and an attacker who can
read and write everything in that memcached. Node 1 verifies, node 2 is tested."""
import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess

import pytest

from client import Imap
from pool import GID, PATIENCE, PREFIX, UID, Account, Pool, free_port, sha, wait_for

ETC = os.path.join(os.path.dirname(__file__), "..", "..", "etc")
TIMEOUT = 1500  # ms: a busy test machine must not count as a dead memcached
UNAVAILABLE = "UNAVAILABLE"
WRONG = "AUTHENTICATIONFAILED"


class Memcached:
    """A server process, and a client of its text protocol."""

    def __init__(self):
        self.port = free_port(["127.0.0.1"])
        self.start()

    def start(self):
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.proc = subprocess.Popen(["memcached", *user, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "16", "-t", "1"],
                                     stdin=subprocess.DEVNULL)
        wait_for("memcached answers", self.answers)
        # It logs what its clients do.
        self.watch = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.lines = self.watch.makefile("rb")
        self.watch.sendall(b"watch fetchers mutations\r\n")
        assert self.lines.readline() == b"OK\r\n"
        self.marks = 0

    def answers(self):
        try:
            return self.talk(b"version\r\n", b"\r\n").startswith(b"VERSION")
        except OSError:
            return False

    def talk(self, question, end):
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as s:
            s.sendall(question)
            answer = b""
            while not answer.endswith(end):
                more = s.recv(65536)
                assert more, answer
                answer += more
            return answer

    def next_key(self):
        """The key of the next value that is stored; all keys up to there are of our kind."""
        while True:
            line = self.lines.readline().decode()
            key = re.search(r" key=(\S+)", line)[1]
            assert re.fullmatch("[0-9a-f]{64}", key), line
            if "type=item_store" in line:
                return key

    def look_from_here(self):
        """Makes next_key() ignore what was stored so far."""
        self.marks += 1
        mark = f"{self.marks:064x}"
        self.set(mark, b"x")
        while self.next_key() != mark:
            pass

    def get(self, key):
        head, _, rest = self.talk(b"get " + key.encode() + b"\r\n", b"END\r\n").partition(b"\r\n")
        return rest[:int(head.split()[3])]

    def set(self, key, value):
        assert self.talk(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value), b"\r\n") == b"STORED\r\n"

    def stop(self):
        if self.proc is not None:
            self.lines.close()
            self.watch.close()
            self.proc.send_signal(signal.SIGCONT)
            self.proc.terminate()
            self.proc.wait(30)
        self.proc = None


class Site:
    """A pool of two nodes, its accounts in an SQLite file."""

    def __init__(self, memcached, keep, more=None):
        self.memcached = memcached
        self.n = 0
        settings = {"authdaemonrc": {"authmodulelist": "authsqlite", "daemons": 2, "AUTH_CACHE_TTL": 3600, "AUTH_CACHE_STALE": 0, "AUTH_CACHE_NEGATIVE_TTL": 0,
                                     "AUTH_CACHE_MEMCACHED": f"127.0.0.1:{memcached.port}", "AUTH_CACHE_MEMCACHED_TIMEOUT": TIMEOUT}}
        settings["authdaemonrc"].update(more or {})
        settings["authsqliterc"] = {"SQLITE_USER_TABLE": "accounts", "SQLITE_LOGIN_FIELD": "name", "SQLITE_CRYPT_PWFIELD": "hash",
                                    "SQLITE_AUXOPTIONS_FIELD": "iif(mailhost <> '', 'mailhost=' || mailhost, '')"}
        self.pool = Pool(nodes=2, settings=settings, keep=keep, start=False)
        self.file = os.path.join(self.pool.root, "accounts.db")
        with sqlite3.connect(self.file) as db, open(os.path.join(ETC, "sql", "sqlite.sql")) as f:
            db.executescript(f.read())
        os.chmod(self.file, 0o640)
        if os.getuid() == 0:
            os.chown(self.file, UID, GID)
        self.pool.write_conf({"authsqliterc": {"SQLITE_DATABASE": self.file}})
        self.pool.start()
        self.first, self.second = self.pool.nodes

    def account(self, mailhost=""):
        """A new account of the directory, its mail on any node."""
        self.n += 1
        a = self.pool.add(Account(f"user{self.n}@example.com", mailhost=mailhost), write=False)
        self.sql("INSERT INTO accounts (name, hash, uid, gid, home, mailhost) VALUES (?, ?, ?, ?, ?, ?)",
                 a.name, sha(a.password), a.uid, a.gid, a.home, mailhost)
        return a

    def sql(self, text, *values):
        with sqlite3.connect(self.file) as db:
            db.execute(text, values)

    @contextlib.contextmanager
    def directory_gone(self):
        """No directory; at the end the nodes have noticed that it is back."""
        os.rename(self.file, self.file + ".gone")
        try:
            yield
        finally:
            os.rename(self.file + ".gone", self.file)
            for node in self.pool.nodes:
                wait_for("the directory is asked again", lambda n=node: self.login(n, "nobody@example.com", "x") == WRONG)

    def login(self, node, name, password):
        """"OK", or the code of the refusal."""
        with Imap(node.address, self.pool.imap_port) as c:
            reply = c.login(name, password)
            return "OK" if reply.ok else re.search(rb"\[(\w+)\]", reply.text).group(1).decode()

    def prove(self, *accounts):
        """They log in at the first node, for the first time. Returns the key of each entry."""
        keys = []
        for a in accounts:
            self.memcached.look_from_here()
            assert self.login(self.first, a.name, a.password) == "OK"
            keys.append(self.memcached.next_key())
        return keys


@pytest.fixture(scope="module")
def memcached():
    m = Memcached()
    yield m
    m.stop()


@pytest.fixture(scope="module")
def site(memcached, request):
    s = Site(memcached, request.config.getoption("--keep"))
    yield s
    s.pool.close()


def test_one_proves_the_other_believes(site):
    a, b, c = [site.account() for _ in range(3)]
    site.prove(a, c)
    with site.directory_gone():
        # Verified accounts can log in, and nobody gets a wrong-password reply.
        assert site.login(site.second, a.name, a.password) == "OK"
        assert site.login(site.second, a.name, a.password + "x") == UNAVAILABLE
        assert site.login(site.second, b.name, b.password) == UNAVAILABLE
        assert site.login(site.second, "nobody@example.com", "x") == UNAVAILABLE
        # It is known to be down now, and gets no queries.
        assert site.login(site.second, c.name, c.password) == "OK"
        assert site.login(site.second, c.name, c.password + "x") == UNAVAILABLE
    assert site.login(site.second, a.name, a.password + "x") == WRONG
    assert site.login(site.second, b.name, b.password) == "OK"


def test_a_new_password_enters_at_once(site):
    a = site.account()
    site.prove(a)
    site.sql("UPDATE accounts SET hash = ? WHERE name = ?", sha("new"), a.name)
    assert site.login(site.second, a.name, "new") == "OK"
    # and it is the one that is shared now
    with site.directory_gone():
        assert site.login(site.first, a.name, "new") == "OK"


def test_nothing_can_be_read_there(site):
    a, b = site.account(), site.account(mailhost="127.0.0.1 127.0.0.2")
    keys = site.prove(a, b)
    values = [site.memcached.get(k) for k in keys]
    for key, value in zip(keys, values):
        assert re.fullmatch("[0-9a-f]{64}", key)
        for word in (b"user", b"example", b"secret", sha(a.password).encode(), b"127.0.0", b"Maildir", a.home.encode()):
            assert word not in value and word not in bytes.fromhex(key)
    assert len(values[0]) == len(values[1])


def test_names_do_not_reach_the_wire(site):
    """CVE-2022-27924: a line break in a name must not become a command."""
    for name in (b"x\r\nset injected 0 0 1\r\ny", b"x set injected 0 0 1", "müller", b"\xff\xfe"):
        with Imap(site.second.address, site.pool.imap_port) as c:
            name = name if isinstance(name, bytes) else name.encode()
            assert not c.cmd(b"LOGIN {%d}" % len(name), (name, b" secret")).ok
    site.prove(site.account())  # which looks at all keys up to there


def test_values_of_a_stranger(site):
    """Swapped between names, changed, garbage, expired: they let nobody in, and keep nobody out."""
    a, b, c, d = [site.account() for _ in range(4)]
    keys = site.prove(a, b, c, d)
    values = [site.memcached.get(k) for k in keys]
    mark = site.second.log_mark()
    site.memcached.set(keys[0], values[1])
    site.memcached.set(keys[1], values[0])
    site.memcached.set(keys[2], b"garbage")
    site.memcached.set(keys[3], values[3][:-1] + bytes([values[3][-1] ^ 1]))
    assert site.login(site.second, a.name, b.password) == WRONG
    with site.directory_gone():
        for account in (a, b, c, d):
            assert site.login(site.second, account.name, account.password) == UNAVAILABLE
    for account in (a, b, c, d):
        assert site.login(site.second, account.name, account.password) == "OK"
    assert "no node of this pool stored" in site.second.wait_log("memcached: ", mark)
    # logged once by each auth worker
    assert site.second.log_since(mark).count("memcached: ") <= 2


def test_another_secret_is_another_pool(site, memcached, request):
    a = site.account()
    site.prove(a)
    other = Site(memcached, request.config.getoption("--keep"))
    try:
        other.sql("INSERT INTO accounts (name, hash, uid, gid, home) VALUES (?, ?, ?, ?, ?)", a.name, sha("other"), a.uid, a.gid, a.home)
        assert other.login(other.second, a.name, a.password) == WRONG
        assert other.login(other.second, a.name, "other") == "OK"
        # Neither has replaced the other.
        with site.directory_gone():
            assert site.login(site.second, a.name, a.password) == "OK"
    finally:
        other.pool.close()


def test_an_old_value_does_not_come_back(memcached, request):
    """After AUTH_CACHE_TTL it is ignored, whatever memcached says."""
    site = Site(memcached, request.config.getoption("--keep"), {"AUTH_CACHE_TTL": 1})
    try:
        a = site.account()
        key, = site.prove(a)
        value = site.memcached.get(key)
        site.sql("UPDATE accounts SET hash = ? WHERE name = ?", sha("new"), a.name)
        wait_for("the old password is refused", lambda: site.login(site.second, a.name, a.password) == WRONG)
        site.memcached.set(key, value)
        assert site.login(site.second, a.name, a.password) == WRONG
        wait_for("the first node forgets it, too", lambda: site.login(site.first, a.name, a.password) == WRONG)
    finally:
        site.pool.close()


def test_while_the_directory_is_down_old_ones_count(memcached, request):
    """AUTH_CACHE_STALE works across nodes and restarts."""
    site = Site(memcached, request.config.getoption("--keep"), {"AUTH_CACHE_TTL": 1, "AUTH_CACHE_STALE": 3600})
    try:
        a = site.account()
        key, = site.prove(a)
        site.sql("UPDATE accounts SET hash = ? WHERE name = ?", sha("new"), a.name)
        wait_for("it is too old to be fresh", lambda: site.login(site.second, a.name, a.password) == WRONG)
        with site.directory_gone():
            assert site.second.stop() == 0
            site.second.start()
            assert site.login(site.second, a.name, a.password) == "OK"
            assert site.login(site.second, a.name, "new") == UNAVAILABLE
            assert site.login(site.second, a.name, a.password) == "OK"
        assert site.login(site.second, a.name, a.password) == WRONG
    finally:
        site.pool.close()


def test_flush_and_an_operators_question(site):
    """Accounts flushed on a node do not come back to it from the pool; waypost auth queries the directory itself."""
    a = site.account()
    site.prove(a)
    site.sql("UPDATE accounts SET hash = ? WHERE name = ?", sha("new"), a.name)
    assert "password is wrong" in site.second.tool("auth", a.name, input=a.password + "\n").stdout
    assert site.login(site.second, a.name, a.password) == "OK"
    # Entries count by the second: one of the second in which it was flushed is gone, too.
    assert site.second.tool("flush", a.name).returncode == 0
    assert site.login(site.second, a.name, a.password) == WRONG
    assert site.login(site.first, a.name, a.password) == "OK"


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_without_memcached(site, how):
    """Down or silent: logins work, the log says so once per auth worker, and once when it is back."""
    accounts = [site.account() for _ in range(8)]
    mark = site.second.log_mark()
    if how == "stopped":
        site.memcached.stop()
    else:
        site.memcached.proc.send_signal(signal.SIGSTOP)
    try:
        for a in accounts:
            assert site.login(site.second, a.name, a.password) == "OK"
            assert site.login(site.second, a.name, "x") == WRONG
        site.second.wait_log(r"memcached: 127\.0\.0\.1:\d+ does not answer: .*; logins go on without it", mark)
        assert site.second.log_since(mark).count("does not answer") <= 2
        assert "UNAVAILABLE" not in site.second.log_since(mark) and "temporary failure" not in site.second.log_since(mark)
    finally:
        if how == "stopped":
            site.memcached.start()
        else:
            site.memcached.proc.send_signal(signal.SIGCONT)

    def back():
        a = site.account()
        assert site.login(site.second, a.name, a.password) == "OK"
        return "answers again" in site.second.log_since(mark)
    wait_for("it is asked again", back)


def check(text, tmp_path):
    conf = tmp_path / "waypost.conf"
    conf.write_text(text)
    return subprocess.run([os.path.join(PREFIX, "bin", "waypost"), "-c", str(conf), "check"], capture_output=True, text=True,
                          timeout=PATIENCE).stdout


def test_check(tmp_path):
    userdb = tmp_path / "userdb"
    userdb.write_text("")
    userdb.chmod(0o600)
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    secret.chmod(0o600)
    group = f'RUNDIR = "{tmp_path}"; authuserdb = {{ USERDB = "{userdb}"; }}; imapd = {{ PORT = 1143; }};\n'
    text = check(group + 'authdaemonrc = { AUTH_CACHE_MEMCACHED = "127.0.0.1"; };', tmp_path)
    assert "waypost.conf:2: authdaemonrc.AUTH_CACHE_MEMCACHED needs a pool secret" in text
    group += f'POOL_SECRETFILE = "{secret}";\n'
    assert "AUTH_CACHE" not in check(group + 'authdaemonrc = { AUTH_CACHE_MEMCACHED = ("127.0.0.1:11211", "/run/mc"); };', tmp_path)
    text = check(group + 'authdaemonrc = { AUTH_CACHE_MEMCACHED = "127.0.0.1 host:x"; };', tmp_path)
    assert "AUTH_CACHE_MEMCACHED: server 2 is not valid" in text
