"""What authd caches of directories: real servers, whose queries are counted in their own logs."""
import contextlib
import json
import os
import re
import signal
import threading

import pytest

import directories
from client import Imap, Pop3
from pool import Account, PATIENCE, Pool, sha, wait_for
from test_directories import HERE, KINDS, Pgsql, WAIT, not_now, refused

pytestmark = pytest.mark.once

# crypt(3) of "secret"
SLOW_HASH = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG."
LONG = "60s"  # the longest time limit of directories: no test waits for its end
NAMES = ["anna", "berta", "dora", "emil", "flora", "gerd"]


def name(who):
    return f"{who}@example.com"


def secret(who):
    return f"secret-{who}@example.com"


def login(p, who, password=None):
    with Imap(HERE, p.imap_port) as c:
        return c.login(name(who), secret(who) if password is None else password)


class Site:
    """A directory with some accounts, and one node that asks it."""

    def __init__(self, kind, daemon=None, group=None):
        self.kind = kind()
        try:
            self.pool = Pool(nodes=1, start=False, settings={
                "authdaemonrc": {"authmodulelist": kind.module, **(daemon or {})}, kind.group: {**self.kind.settings(), **(group or {})}})
            for who in NAMES:
                self.pool.add(Account(name(who)), write=False)
            self.pool.write_userdb("")
            self.kind.add(self.pool.accounts.values())
            self.pool.start()
        except BaseException:
            self.kind.dir.close()
            raise
        self.node = self.pool.nodes[0]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self.pool.__exit__(*error)
        finally:
            self.kind.dir.close()

    def login(self, who, password=None):
        return login(self.pool, who, password)

    def counts(self):
        return json.loads(self.node.tool("status", "--json").stdout)["counts"]

    def flush(self, *user):
        r = self.node.tool("flush", *user)
        assert r.returncode == 0, r
        return int(r.stdout.split()[0])

    def reload(self, settings):
        self.pool.write_conf(settings)
        r = self.node.tool("reload")
        assert r.returncode == 0, r


class Questions:
    """Counts PostgreSQL's queries about a name."""

    def __init__(self, kind):
        self.file = kind.dir.file("server.log")
        kind.dir.sql("ALTER SYSTEM SET log_statement = 'all';")
        kind.dir.sql("SELECT pg_reload_conf();")
        self.mark()
        wait_for("statements are logged", lambda: kind.dir.sql("SELECT 'are they?';") and "are they?" in self.text())
        self.mark()

    def mark(self):
        self.start = os.path.getsize(self.file)

    def text(self):
        with open(self.file, "rb") as f:
            f.seek(self.start)
            return f.read().decode(errors="replace")

    def of(self, who):
        return len(re.findall(rf"SELECT .* FROM accounts .*'{who}'", self.text()))


@pytest.fixture(scope="module")
def site():
    with Site(Pgsql, group={"PGSQL_TIMEOUT": LONG}) as s:
        s.asked = Questions(s.kind)
        yield s


@pytest.fixture(autouse=True)
def fresh(request):
    if "site" in request.fixturenames:
        s = request.getfixturevalue("site")
        s.flush()
        s.asked.mark()


def test_a_cached_login_asks_nothing(site):
    site.kind.password(name("anna"), SLOW_HASH)
    before = site.counts()
    assert site.login("anna", "secret").ok
    for _ in range(5):
        assert site.login("anna", "secret").ok
    assert site.asked.of(name("anna")) == 1
    after = site.counts()
    assert after["cache_hits"] - before["cache_hits"] == 5
    assert after["cache_misses"] - before["cache_misses"] == 1
    assert after["cache_entries"] == 1 and 0 < after["cache_bytes"] < 2000
    # POP3 is another service: a clause may look at it.
    for _ in range(3):
        with Pop3(HERE, site.pool.pop3_port) as c:
            assert c.login(name("anna"), "secret").startswith(b"+OK")
    assert site.asked.of(name("anna")) == 2
    # The operator gets the directory's own answer.
    assert site.node.tool("auth", name("anna"), input="secret\n").returncode == 0
    assert site.asked.of(name("anna")) == 3
    site.kind.password(name("anna"), sha(secret("anna")))


def test_a_changed_password(site):
    assert site.login("berta").ok
    site.kind.password(name("berta"), sha("new"))
    assert site.login("berta").ok, "the old one enters until AUTH_CACHE_TTL"
    assert site.login("berta", "new").ok, "the new one enters at once"
    assert refused(site.login("berta")), "and ends the old one"
    assert site.login("berta", "new").ok
    assert site.asked.of(name("berta")) == 3
    site.kind.password(name("berta"), sha(secret("berta")))


def test_the_old_password_until_the_end_of_its_time(site):
    site.reload({"authdaemonrc": {"AUTH_CACHE_TTL": 1}})
    assert site.login("dora").ok
    site.kind.password(name("dora"), sha("new"))
    wait_for("the old password is refused", lambda: refused(site.login("dora")))
    # The cached password is gone with it: an outage does not bring it back.
    site.kind.password(name("dora"), sha(secret("dora")))
    site.reload({"authdaemonrc": {"AUTH_CACHE_TTL": "60s"}})


def test_wrong_guesses(site):
    assert site.login("emil").ok
    before = site.counts()["cache_negative"]
    for who in ("emil", "nobody"):
        for _ in range(3):
            assert refused(site.login(who, "guess"))
        assert refused(site.login(who, "another"))
    assert site.asked.of(name("emil")) == 3
    assert site.asked.of(name("nobody")) == 2
    assert site.counts()["cache_negative"] - before == 4
    assert site.login("emil").ok
    assert site.asked.of(name("emil")) == 3, "guesses took nothing away from who knows the password"


def test_a_new_account_after_a_flush(site):
    assert refused(site.login("hans"))
    site.pool.add(Account(name("hans")), write=False)
    site.kind.add([site.pool.accounts[name("hans")]])
    assert refused(site.login("hans")), "remembered for AUTH_CACHE_NEGATIVE_TTL"
    assert site.flush(name("hans")) == 1
    assert site.login("hans").ok


def test_flush(site):
    for who in ("anna", "berta"):
        assert site.login(who).ok
    site.kind.dir.sql(f"UPDATE accounts SET active = false WHERE name = '{name('anna')}';", "mail")
    try:
        assert site.login("anna").ok, "a locked account enters until AUTH_CACHE_TTL"
        assert site.flush(name("nobody")) == 0
        assert site.flush(name("anna")) == 1
        assert refused(site.login("anna"))
        assert site.login("berta").ok
        assert site.asked.of(name("berta")) == 1
        assert site.flush() == 2
        assert site.login("berta").ok
        assert site.asked.of(name("berta")) == 2
    finally:
        site.kind.dir.sql(f"UPDATE accounts SET active = true WHERE name = '{name('anna')}';", "mail")


def test_reload(site):
    assert site.login("anna").ok
    site.reload({"LOGIN_TIMEOUT": "61s", "authdaemonrc": {"daemons": 3, "DEFAULTOPTIONS": "disablepop3=1"}})
    assert site.login("anna").ok
    assert site.asked.of(name("anna")) == 1, "nothing changed what the directory says"
    with Pop3(HERE, site.pool.pop3_port) as c:
        assert not c.login(name("anna"), secret("anna")).startswith(b"+OK"), "new DEFAULTOPTIONS count for remembered accounts"
    # Now only some can log in.
    site.reload({"authdaemonrc": {"DEFAULTOPTIONS": ""}, "authpgsqlrc": {"PGSQL_WHERE_CLAUSE": f"active AND name <> '{name('anna')}'"}})
    assert refused(site.login("anna"))
    site.reload({"authpgsqlrc": {"PGSQL_WHERE_CLAUSE": "active"}})
    assert site.login("anna").ok


def test_equal_questions_are_one(site):
    assert site.login("flora").ok
    site.flush()
    site.asked.mark()
    before = site.counts()
    clients = [Imap(HERE, site.pool.imap_port) for _ in range(50)]
    try:
        # They log in while the directory does not answer; three of them do not wait for it.
        site.kind.dir.freeze()
        for c in clients:
            c.send(f"a LOGIN {name('flora')} {secret('flora')}\r\n".encode())
        wait_for("all have asked", lambda: site.counts()["cache_shared"] - before["cache_shared"] == 49)
        for c in clients[:3]:
            c.abort()
        site.kind.dir.thaw()
        for c in clients[3:]:
            assert c.finish(b"a").ok
    finally:
        site.kind.dir.thaw()
        for c in clients:
            c.close()
    assert site.asked.of(name("flora")) == 1
    after = site.counts()
    assert after["cache_misses"] - before["cache_misses"] == 1


def test_an_auth_worker_dies(site):
    assert site.login("gerd").ok
    site.node.expected.append("killed by signal 9")
    for pid in site.node.pids("authworker"):
        os.kill(pid, signal.SIGKILL)
    assert site.login("gerd").ok
    assert site.asked.of(name("gerd")) == 1, "what is remembered is authd's"
    wait_for("directories are asked again", lambda: site.login("emil").ok)
    # An auth worker dies while it waits for the directory: its successor asks again.
    site.reload({"authdaemonrc": {"daemons": 1}})
    wait_for("there is one", lambda: len(site.node.pids("authworker")) == 1)
    with Imap(HERE, site.pool.imap_port) as c:
        site.kind.dir.freeze()
        try:
            c.send(f"a LOGIN {name('flora')} {secret('flora')}\r\n".encode())
            wait_for("it is asked", lambda: site.counts()["jobs_running"] == 1)
            old = site.node.pids("authworker")
            os.kill(old[0], signal.SIGKILL)
            wait_for("there is another", lambda: site.counts()["jobs_running"] == 1 and site.node.pids("authworker") not in ([], old))
        finally:
            site.kind.dir.thaw()
        assert c.finish("a").ok
    site.reload({"authdaemonrc": {"daemons": 3}})


# --- outages ---

@pytest.fixture(scope="module", params=KINDS, ids=lambda k: k.__name__.lower())
def outage(request):
    """Nothing is cached except for outages."""
    with Site(request.param, daemon={"AUTH_CACHE_TTL": 0, "AUTH_CACHE_NEGATIVE_TTL": 0}) as s:
        yield s


def all_at_once(jobs):
    """Runs the functions at the same time; their results."""
    results = [None] * len(jobs)

    def run(i):
        results[i] = jobs[i]()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def problems(s):
    return json.loads(s.node.tool("status", "--json").stdout)["problems"]


def test_a_directory_is_down(outage):
    s = outage
    module = s.kind.module
    assert s.login("anna").ok and s.login("dora").ok
    assert refused(s.login("anna", "wrong"))
    mark = s.node.log_mark()
    for _ in range(2):
        s.kind.dir.stop()
        try:
            # All auth workers notice at the same moment.
            replies = all_at_once([lambda: s.login("berta")] * 8 + [lambda: s.login("nobody", "x")] * 8 + [lambda: s.login("anna")] * 8)
            assert all(not_now(r) for r in replies[:16]), replies
            assert all(r.ok for r in replies[16:]), replies
            for _ in range(3):
                assert s.login("anna").ok and s.login("dora").ok
                assert not_now(s.login("anna", "wrong")), "an outage is never a wrong password"
                assert not_now(s.login("berta")) and not_now(s.login("nobody", "x"))
            assert s.counts()["cache_stale"] >= 14 and s.counts()["directories_down"] == 1
            assert any("directory server cannot be used" in str(p) for p in problems(s))
            assert s.node.tool("status").returncode == 1
        finally:
            s.kind.dir.start()
        # Nobody logs in: the end of the outage is noticed anyway.
        wait_for("the directory is back", lambda: s.counts()["directories_down"] == 0)
        for _ in range(6):
            assert s.login("berta").ok and s.login("anna").ok and refused(s.login("anna", "wrong"))
        s.flush()
        assert s.login("anna").ok and s.login("dora").ok
    wait_for("both ends are in the log", lambda: s.node.log_since(mark).count("answers again") == 2)
    log = s.node.log_since(mark)
    assert len(re.findall(rf"{module}: .* does not answer: .*; accounts that logged in within AUTH_CACHE_STALE still can", log)) == 2, log
    assert len(re.findall("does not answer", log)) == 2 and len(re.findall("answers again", log)) == 2, log


def test_a_directory_is_silent(outage):
    """It accepts and never answers."""
    s = outage
    s.flush()
    assert s.login("anna").ok
    mark = s.node.log_mark()
    s.kind.dir.freeze()
    try:
        replies = all_at_once([lambda: s.login("anna")] * 5 + [lambda: s.login("berta")] * 20 + [lambda: s.login("nobody", "x")])
        assert all(r.ok for r in replies[:5]), replies
        assert all(not_now(r) for r in replies[5:]), replies
        for _ in range(5):
            assert s.login("anna").ok
            assert not_now(s.login("anna", "wrong")) and not_now(s.login("berta"))
    finally:
        s.kind.dir.thaw()
    wait_for("the directory is back", lambda: s.counts()["directories_down"] == 0)
    assert s.login("berta").ok
    log = s.node.log_since(mark)
    # That one login got no answer, and that none does.
    assert len(re.findall("does not answer: .*; accounts that logged in within AUTH_CACHE_STALE still can", log)) == 1, log
    assert len(re.findall("does not answer", log)) <= 2, log


def test_patience(outage):
    """It is not known yet whether it is down: accounts verified recently do not wait for the directory's time limit."""
    s = outage
    setting = {"authpgsql": "PGSQL_TIMEOUT", "authmysql": "MYSQL_TIMEOUT", "authldap": "LDAP_TIMEOUT"}[s.kind.module]
    s.reload({s.kind.group: {setting: LONG}})
    try:
        assert s.login("anna").ok
        mark = s.node.log_mark()
        s.kind.dir.freeze()
        for _ in range(3):
            assert s.login("anna").ok
        assert "does not answer" not in s.node.log_since(mark)
    finally:
        s.kind.dir.thaw()
        s.reload({s.kind.group: {setting: WAIT}})


def test_a_later_directory_is_silent(site):
    """Accounts of the first can log in, and those that need the second wait for it once."""
    silent = directories.Silent("127.0.0.9", directories.free_port(["127.0.0.9"]))
    silent.sock.setblocking(False)
    settings = {"authdaemonrc": {"authmodulelist": "authpgsql authmysql", "AUTH_CACHE_TTL": 0}, "authpgsqlrc": site.kind.settings(),
                "authmysqlrc": {"MYSQL_SERVER": "127.0.0.9", "MYSQL_PORT": silent.sock.getsockname()[1], "MYSQL_USERNAME": "x", "MYSQL_DATABASE": "x",
                                "MYSQL_USER_TABLE": "x", "MYSQL_CRYPT_PWFIELD": "x", "MYSQL_TIMEOUT": WAIT}}
    try:
        with Pool(nodes=1, settings=settings) as p:
            for who in NAMES:
                p.add(Account(name(who), home=site.pool.accounts[name(who)].home), write=False, mail=False)
            assert login(p, "anna").ok
            assert not_now(login(p, "nobody", "x"))
            p.nodes[0].wait_log("authmysql: 127.0.0.9 does not answer")
            for i in range(30):
                assert not_now(login(p, "nobody", str(i)))
                assert login(p, "anna").ok
            came = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    silent.sock.accept()[0].close()
                    came += 1
            assert came < 10, "one tried for a login, the others to find out whether it is back"
    finally:
        silent.close()


def test_an_account_behind_a_directory(site):
    """Accounts of the userdb need the directory's answer that it does not know them; after that they log in without it."""
    with Pool(nodes=1, accounts=[Account("otto@example.com"), Account("paul@example.com")], settings={
            "authdaemonrc": {"authmodulelist": "authpgsql authuserdb"}, "authpgsqlrc": {**site.kind.settings(), "PGSQL_TIMEOUT": LONG}}) as p:
        for _ in range(3):
            assert login(p, "otto").ok
        assert site.asked.of(name("otto")) == 1
        assert refused(login(p, "otto", "guess"))
        site.kind.dir.stop()
        try:
            p.write_conf({"authdaemonrc": {"AUTH_CACHE_TTL": 0}})
            assert p.nodes[0].tool("reload").returncode == 0
            for _ in range(3):
                assert login(p, "otto").ok
                assert not_now(login(p, "paul")) and not_now(login(p, "otto", "another"))
            assert p.nodes[0].status()["counts"]["cache_stale"] == 3
        finally:
            site.kind.dir.start()
        wait_for("the directory is back", lambda: login(p, "paul").ok)


def test_stale_can_be_off():
    with Site(Pgsql, daemon={"AUTH_CACHE_TTL": 0, "AUTH_CACHE_STALE": 0}) as s:
        assert s.login("anna").ok
        s.kind.dir.stop()
        assert not_now(s.login("anna"))
        s.node.wait_log("does not answer: .*; logins fail temporarily")


SILENT = {
    "authpgsql": lambda port, limit: ("authpgsqlrc", {
        "PGSQL_CONNECTION": f"host={HERE} port={port} dbname=x user=x", "PGSQL_USER_TABLE": "x", "PGSQL_CRYPT_PWFIELD": "x", "PGSQL_TIMEOUT": limit}),
    "authmysql": lambda port, limit: ("authmysqlrc", {
        "MYSQL_SERVER": HERE, "MYSQL_PORT": port, "MYSQL_USERNAME": "x", "MYSQL_DATABASE": "x", "MYSQL_USER_TABLE": "x", "MYSQL_CRYPT_PWFIELD": "x",
        "MYSQL_TIMEOUT": limit}),
    "authldap": lambda port, limit: ("authldaprc", {
        "LDAP_URI": f"ldap://{HERE}:{port}", "LDAP_BASEDN": "dc=x", "LDAP_CRYPTPW": "x", "LDAP_UID": "x", "LDAP_GID": "x",
        "LDAP_TIMEOUT": limit}),
}


@pytest.mark.parametrize("module", SILENT)
def test_a_directory_that_never_answered(module):
    """It accepts, and never says a word since the node has started. A login fails after AUTH_TIMEOUT, not after the driver's own
    minute, which is longer than these clients wait; with a shorter one the outage becomes known."""
    silent = directories.Silent(HERE, directories.free_port([HERE]))
    try:
        group, values = SILENT[module](silent.sock.getsockname()[1], LONG)
        with Pool(nodes=1, settings={"authdaemonrc": {"authmodulelist": module, "AUTH_TIMEOUT": 1}, group: values}) as p:
            node = p.nodes[0]
            assert all(not_now(r) for r in all_at_once([lambda: login(p, "anna")] * 3 + [lambda: login(p, "berta")] * 3))
            node.wait_log("did not answer within AUTH_TIMEOUT .1 seconds")
            with Pop3(HERE, p.pop3_port) as c:
                assert b"[SYS/TEMP]" in c.login(name("dora"), "x")
            assert node.status()["counts"]["auth_timeouts"] == 7
            assert "LOGIN FAILED" not in node.log()
            p.write_conf({group: {**values, next(k for k in values if k.endswith("_TIMEOUT")): 1}})
            assert node.tool("reload").returncode == 0

            def known():
                assert not_now(login(p, "anna"))
                return node.status()["counts"]["directories_down"] == 1
            wait_for("the outage is known", known)
            before = node.status()["counts"]["auth_timeouts"]
            for _ in range(20):
                assert not_now(login(p, "berta"))
            assert node.status()["counts"]["auth_timeouts"] == before, "they do not wait any more"
            silent.close()  # ends the queries of the auth workers that had the long time limit
    finally:
        silent.close()
