"""Accounts in SQLite, of a running Courier, of a program, and of the system by PAM: real files, servers and modules, and
what happens when the directory goes away. No outage may ever look like a wrong password."""
import ast
import contextlib
import json
import os
import pwd
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time

import pytest

import directories
from client import Imap
from fakeserver import FakeServer, imap_peer
from pool import GID, PATIENCE, SLOW, UID, Account, Pool, alive, chown, sha, wait_for
from test_directories import ETC, HERE, LATE, NO_CACHE, NOBODY, ODD, THERE, WAIT, check_frozen, check_outages, imap, not_now, pop3, refused, steady

pytestmark = pytest.mark.once


def accounts():
    return [Account("anna@example.com", mailhost=HERE), Account("berta@example.com", mailhost=THERE), Account("dora@example.com"),
            Account("lena@example.com", mailhost=THERE, options="disablepop3=1")] + \
           [Account(name, password="it's \\ \"so\"", mailhost=THERE) for name in ODD] + \
           [Account(f"{name}@example.com", mailhost=HERE) for name in ("nouid", "nogid", "lowuid", "lowgid")]


def folder():
    path = tempfile.mkdtemp(prefix="wpdir-", dir="/tmp")
    chown(path)
    return path


class Sqlite:
    """What a kind of directory has: its settings; write() of all accounts; stop() and start(), an outage; freeze() and thaw(), a
    directory that does not answer; id() changes the ids of an account."""
    module = "authsqlite"
    group = "authsqliterc"
    low = "its {} is 0"

    def __init__(self):
        self.root = folder()
        self.path = os.path.join(self.root, "accounts.db")
        self.locker = None

    def settings(self):
        return {"SQLITE_DATABASE": self.path, "SQLITE_TIMEOUT": WAIT, "SQLITE_USER_TABLE": "accounts", "SQLITE_LOGIN_FIELD": "name",
                "SQLITE_CRYPT_PWFIELD": "hash", "SQLITE_NAME_FIELD": "fullname", "SQLITE_MAILDIR_FIELD": "maildir",
                "SQLITE_QUOTA_FIELD": "quota", "SQLITE_WHERE_CLAUSE": "active", "SQLITE_AUXOPTIONS_FIELD":
                "trim(iif(mailhost <> '', 'mailhost=' || mailhost, '') || ',' || options, ',')"}

    def write(self, accounts):
        """A new file that is renamed into its place."""
        new = self.path + ".new"
        with open(os.path.join(ETC, "sql", "sqlite.sql")) as f, sqlite3.connect(new) as db:
            db.executescript(f.read())
            db.executemany("INSERT INTO accounts (name, hash, uid, gid, home, mailhost, options) VALUES (?, ?, ?, ?, ?, ?, ?)",
                           [(a.name, sha(a.password), a.uid, a.gid, a.home, a.mailhost, a.options) for a in accounts])
        db.close()
        chown(new)
        os.chmod(new, 0o640)
        os.rename(new, self.path)

    def sql(self, text, *args):
        with sqlite3.connect(self.path) as db:
            db.execute("PRAGMA ignore_check_constraints = 1")
            db.execute(text, args)
        db.close()

    def id(self, name, what, value):
        self.sql(f"UPDATE accounts SET {what} = ? WHERE name = ?", value, name)

    def stop(self):
        os.rename(self.path, self.path + ".gone")

    def start(self):
        os.rename(self.path + ".gone", self.path)

    def freeze(self):
        self.locker = sqlite3.connect(self.path, isolation_level=None)
        self.locker.execute("BEGIN EXCLUSIVE")

    def thaw(self):
        self.locker.close()

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


class Authdaemon:
    module = "authdaemon"
    group = "authdaemon"

    def __init__(self):
        try:
            self.dir = directories.Authdaemond()
        except directories.Authdaemond.Unavailable as e:
            pytest.skip(str(e))
        self.records = {}
        self.dir.userdb({})
        self.dir.start()

    def settings(self):
        return {"AUTHDAEMON_SOCKET": self.dir.socket, "AUTHDAEMON_TIMEOUT": WAIT}

    def write(self, accounts):
        self.records = {a.name: ({"uid": a.uid, "gid": a.gid, "home": a.home, "options": ",".join(
            o for o in (f"mailhost={a.mailhost}" if a.mailhost else "", a.options) if o)}, sha(a.password)) for a in accounts}
        self.dir.userdb(self.records)

    def id(self, name, what, value):
        self.records[name][0][what] = value
        self.dir.userdb(self.records)

    def stop(self):
        self.dir.stop()

    def start(self):
        self.dir.start()

    def freeze(self):
        self.dir.freeze()

    def thaw(self):
        self.dir.thaw()

    def close(self):
        self.dir.close()


PROGRAM = """#!/usr/bin/python3
# Answers as Courier's authpipe wants it. The file "mode" says how to misbehave.
import json, os, signal, subprocess, sys, time
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
stdin, stdout = open(0, "rb", buffering=0), open(1, "wb", buffering=0)

def note(name, text):
    with open(os.path.join(folder, name), "a") as f:
        f.write(text)

def line():
    text = b""
    while not text.endswith(b"\\n"):
        c = stdin.read(1)
        if not c:
            sys.exit(0)
        text += c
    return text

with open("/proc/self/status") as f:
    status = {k: v.strip() for k, v in (l.split(":", 1) for l in f)}
note("starts", json.dumps({"pid": os.getpid(), "fds": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1], "cwd": os.getcwd(),
                           "sigblk": status["SigBlk"], "pgid": os.getpgid(0)}) + "\\n")
while True:
    question = line()
    words = question.decode("utf-8", "surrogateescape").rstrip("\\n").split(" ", 3)
    if words[0] == "AUTH":
        rest = b""
        while len(rest) < int(words[1]):
            rest += stdin.read(int(words[1]) - len(rest))
        question += rest
    note("asked", repr(question) + "\\n")
    with open(os.path.join(folder, "accounts")) as f:
        accounts = json.load(f)
    try:
        with open(os.path.join(folder, "mode")) as f:
            mode = f.read()
    except OSError:
        mode = ""
    while mode == "hold":
        time.sleep(0.02)
        with open(os.path.join(folder, "mode")) as f:
            mode = f.read()
    if mode == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["/bin/sleep", "600"])
        note("hanging", f"{os.getpid()} {child.pid} ")
        time.sleep(600)
    if mode == "die":
        sys.exit(3)
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "garbage":
        stdout.write(b"hello\\n" + os.urandom(5000) + b"\\n")
        continue
    if mode == "deaf":
        stdin.close()
        stdout.write(b"HOME=")
        time.sleep(600)
    if words[0] == "ENUMERATE":
        answer = "".join("\\t".join([n, str(a["UID"]), str(a["GID"]), a["HOME"], "", a["OPTIONS"]]) + "\\n" for n, a in accounts.items()) + ".\\n"
    else:
        if words[0] == "PRE":
            name, password = words[3], None
        else:
            _, _, name, password, _ = rest.decode("utf-8", "surrogateescape").split("\\n")
        if name == "poison":
            sys.exit(3)
        a = accounts.get(name)
        if a is None or password not in (None, a["password"]):
            answer = "FAIL\\n"
        else:
            answer = "".join(f"{k}={v}\\n" for k, v in a.items() if k != "password") + ".\\n"
    data = answer.encode("utf-8", "surrogateescape")
    if mode == "half":
        stdout.write(data[:len(data) // 2])
        sys.exit(0)
    if mode == "bytes":
        for b in data:
            stdout.write(bytes([b]))
            time.sleep(0.001)
        data = b""
    if mode == "chatty":
        data += b"UID=0\\nby the way\\n"
    stdout.write(data)
    if mode == "once":
        sys.exit(0)
"""


class Authpipe:
    module = "authpipe"
    group = "authpipe"

    def __init__(self):
        self.root = folder()
        self.records = {}
        self.program = os.path.join(self.root, "authProg")
        with open(self.program, "w") as f:
            f.write(PROGRAM)
        os.chmod(self.program, 0o755)

    def settings(self):
        return {"AUTHPIPE_PROGRAM": self.program, "AUTHPIPE_TIMEOUT": WAIT}

    def write(self, accounts):
        self.records = {a.name: {"password": a.password, "UID": a.uid, "GID": a.gid, "HOME": a.home, "ADDRESS": a.name, "OPTIONS": ",".join(
            o for o in (f"mailhost={a.mailhost}" if a.mailhost else "", a.options) if o)} for a in accounts}
        self.save()

    def save(self):
        with open(os.path.join(self.root, "accounts.new"), "w") as f:
            json.dump(self.records, f)
        os.rename(f.name, os.path.join(self.root, "accounts"))

    def id(self, name, what, value):
        self.records[name][what.upper()] = value
        self.save()

    def mode(self, mode):
        with open(os.path.join(self.root, "mode.new"), "w") as f:
            f.write(mode)
        os.rename(f.name, os.path.join(self.root, "mode"))

    def said(self, name):
        try:
            with open(os.path.join(self.root, name)) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def starts(self):
        return [json.loads(line) for line in self.said("starts").splitlines()]

    def stop(self):
        self.mode("die")

    def start(self):
        self.mode("")

    def freeze(self):
        self.mode("hang")

    def thaw(self):
        self.mode("")

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


KINDS = [Sqlite, Authdaemon, Authpipe]


def start_pool(kind, settings=None, **more):
    return Pool(settings={"authdaemonrc": {"authmodulelist": kind.module, "daemons": 2, **NO_CACHE}, kind.group: {**kind.settings(), **(settings or {})}},
                **{"nodes": 2, **more})


@pytest.fixture(scope="module", params=KINDS, ids=lambda k: k.__name__.lower())
def site(request):
    """(directory, pool of two nodes)"""
    kind = request.param()
    try:
        with start_pool(kind) as p:
            for a in accounts():
                p.add(a, write=False)
            p.write_userdb("")
            kind.write(p.accounts.values())
            kind.pool = p
            yield kind, p
    finally:
        kind.close()


def test_logins(site):
    _, p = site
    for a in p.accounts.values():
        for node in (HERE, THERE):
            assert imap(p, node, a.name, a.password).ok, a.name
            assert refused(imap(p, node, a.name, "wrong")), a.name
            assert refused(imap(p, node, a.name, "")), a.name
    for name in ("anna@example.com", "berta@example.com", "dora@example.com", "o'hara+tag@example.com"):
        assert pop3(p, HERE, name, p.accounts[name].password).startswith(b"+OK")
        assert pop3(p, HERE, name, "wrong").startswith(b"-ERR [AUTH]")
    assert not pop3(p, HERE, "lena@example.com", "secret-lena@example.com").startswith(b"+OK")


def test_tool(site):
    kind, p = site
    node = p.nodes[0]
    assert node.tool("check").returncode == 0, node.tool("check").stdout
    r = node.tool("auth", "berta@example.com", input="secret-berta@example.com\n")
    assert r.returncode == 0, r
    for wanted in (f"driver: {kind.module}", "account: berta@example.com", f"uid: {UID}", f"gid: {GID}", f"options: mailhost={THERE}",
                   "the password is correct"):
        assert wanted in r.stdout, r.stdout
    wrong = node.tool("auth", "berta@example.com", input="wrong\n")
    assert wrong.returncode == 1 and "the password is wrong" in wrong.stdout, wrong
    assert f"IMAP: to {THERE}" in node.tool("route", "berta@example.com").stdout
    assert "no module in authmodulelist knows" in node.tool("auth", "nobody@example.com", input="wrong\n").stdout


def test_hostile_names(site):
    _, p = site
    mark = p.nodes[0].log_mark()
    for name in NOBODY:
        raw = name if isinstance(name, bytes) else name.encode()
        reply = imap(p, HERE, raw, "x")
        assert refused(reply), (name, reply)
    for name in ("x" * 2000, "'" * 2000, "\\" * 2000, "\u00e4" * 1000):
        assert not imap(p, HERE, name, "x").ok
    # All of them were questions that the directory understood.
    assert not re.search(r"query is refused|does not answer|cannot be used", p.nodes[0].log_since(mark))
    assert steady(p)


def test_ids_that_no_mailbox_may_have(site):
    """Never a session, and never "wrong password": the operator has to fix it."""
    kind, p = site
    node = p.nodes[0]
    mark = node.log_mark()
    for name, what, value in (("nouid", "uid", 0), ("nogid", "gid", 0), ("lowuid", "uid", 99), ("lowgid", "gid", 99)):
        kind.id(f"{name}@example.com", what, value)
    for name, what in (("nouid", "uid"), ("nogid", "gid")):
        assert not_now(imap(p, HERE, f"{name}@example.com", f"secret-{name}@example.com"))
        node.wait_log(f"record of {name}@example.com cannot be used: .*{what}", mark)
    for name in ("lowuid", "lowgid"):
        assert not_now(imap(p, HERE, f"{name}@example.com", f"secret-{name}@example.com"))
        assert "refused: " in node.tool("auth", f"{name}@example.com", input=f"secret-{name}@example.com\n").stdout


def verdict(p, name, password):
    """What the directory answers now, whatever the node knows of its health."""
    out = p.nodes[0].tool("auth", name, input=password + "\n").stdout
    return re.search("^result: (.*)$", out, re.M).group(1)


NOT_NOW = "no answer (driver "
RIGHT = "the password is correct"


def listing(node, *options):
    """(exit status, {name: fields}, stderr) of waypost auth --enumerate"""
    r = node.tool("auth", "--enumerate", *options)
    return r.returncode, {line.split("\t")[0]: line.split("\t") for line in r.stdout.splitlines()}, r.stderr


def test_enumerate(site):
    """All accounts but the forbidden ones, which make the list incomplete; so does an outage."""
    kind, p = site
    node = p.nodes[0]
    status, named, err = listing(node, "-o", "-m")
    known = [a for a in p.accounts.values() if a.name not in ("nouid@example.com", "nogid@example.com")]
    assert {a.name for a in known} == named.keys(), err
    for a in known:
        if not a.name.startswith("low"):
            assert named[a.name][:5] == [a.name, str(a.uid), str(a.gid), a.home, ""], named[a.name]
    assert named["berta@example.com"][5:] == [f"mailhost={THERE}", kind.module]
    assert status == 1 and f"{kind.module}: nouid@example.com is omitted: " in err and "nogid@example.com is omitted: " in err
    kind.stop()
    try:
        status, named, err = listing(node)
        assert status == 1 and not named and "list of accounts is incomplete" in err
    finally:
        kind.start()


def test_stop_and_start(site):
    kind, p = site
    mark = p.nodes[0].log_mark()
    check_outages(p, kind, 3, "berta@example.com", "dora@example.com")
    if kind.module == "authpipe":
        # A program that ends at a question says nothing of others: it is an outage when probes find the same.
        node, log = p.nodes[0], lambda: p.nodes[0].log_since(mark)
        kind.stop()
        wait_for("it is down", lambda: not_now(imap(p, HERE, "berta@example.com", "secret-berta@example.com")) and node.status()["counts"]["directories_down"] == 1)
        assert re.search("authpipe: .* does not answer: .*; logins fail temporarily", log()), log()
        kind.start()
        wait_for("it is up", lambda: node.status()["counts"]["directories_down"] == 0)
        wait_for("the end of the outage is in the log", lambda: "authpipe: " in log() and " answers again" in log())
        return
    # Logged once by each worker for each outage, and once when it was over.
    log = p.nodes[0].log_since(mark)
    assert 2 <= len(re.findall(rf"{kind.module}: .* does not answer", log)) <= 4, log
    wait_for("the ends of both outages are in the log", lambda: len(re.findall(" answers again", p.nodes[0].log_since(mark))) >= 2)


def test_frozen(site):
    kind, p = site
    check_frozen(p, kind, "berta@example.com", "wrong")


def test_chain(site):
    """Only unknown accounts are looked up in the next driver."""
    kind, whole = site
    anna = whole.accounts["anna@example.com"]
    for modules in (f"{kind.module} authuserdb", f"authuserdb {kind.module}"):
        with start_pool(kind, nodes=1, accounts=[Account(anna.name, password="other"), Account("only@example.com", password="only")]) as p:
            p.write_conf({"authdaemonrc": {"authmodulelist": modules}})
            p.nodes[0].stop()
            p.start()
            assert imap(p, HERE, anna.name, anna.password if modules.startswith(kind.module) else "other").ok
            assert refused(imap(p, HERE, anna.name, "other" if modules.startswith(kind.module) else anna.password))
            assert imap(p, HERE, "only@example.com", "only").ok
            assert imap(p, HERE, "dora@example.com", "secret-dora@example.com").ok
            assert refused(imap(p, HERE, "nobody@example.com", "only"))
            kind.stop()
            try:
                reply = imap(p, HERE, "only@example.com", "only")
                assert reply.ok if modules.startswith("authuserdb") else not_now(reply)
                assert not_now(imap(p, HERE, "nobody@example.com", "x"))
            finally:
                kind.start()


# --- SQLite alone

@pytest.fixture(scope="module")
def sqlite(request):
    kind = Sqlite()
    with start_pool(kind, nodes=1) as p:
        p.add(Account("anna@example.com", mailhost=HERE))
        kind.write(p.accounts.values())
        yield kind, p
    kind.close()


@pytest.mark.valgrind
def test_sqlite_new_file_counts_at_once(sqlite):
    kind, p = sqlite
    anna = p.accounts["anna@example.com"]
    for n in range(3):
        anna.password = f"number {n}"
        kind.write(p.accounts.values())
        assert imap(p, HERE, anna.name, anna.password).ok
        assert refused(imap(p, HERE, anna.name, f"number {n - 1}"))
    kind.sql("UPDATE accounts SET hash = ?", sha("written into the file"))
    assert imap(p, HERE, anna.name, "written into the file").ok
    kind.write(p.accounts.values())
    assert "does not answer" not in p.nodes[0].log()


def test_sqlite_files_that_are_none(sqlite):
    kind, p = sqlite
    anna = p.accounts["anna@example.com"]
    good = kind.path + ".good"
    os.rename(kind.path, good)
    try:
        for content in (b"", b"SQLite format 3\0", os.urandom(9000), open(good, "rb").read()[:6000]):
            with open(kind.path + ".new", "wb") as f:
                f.write(content)
            chown(kind.path + ".new")
            os.rename(kind.path + ".new", kind.path)
            assert NOT_NOW in verdict(p, anna.name, anna.password), content[:20]
        os.remove(kind.path)
        os.mkdir(kind.path)
        assert not_now(imap(p, HERE, anna.name, anna.password))
        os.rmdir(kind.path)
    finally:
        os.rename(good, kind.path)
    assert verdict(p, anna.name, anna.password) == RIGHT
    wait_for("logins work again", lambda: imap(p, HERE, anna.name, anna.password).ok)


def test_sqlite_writer_in_between(sqlite):
    """A transaction blocks nobody until it commits; a short lock is waited for."""
    kind, p = sqlite
    anna = p.accounts["anna@example.com"]
    with sqlite3.connect(kind.path, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE accounts SET hash = 'x'")
        assert imap(p, HERE, anna.name, anna.password).ok
        db.execute("ROLLBACK")
    db.close()


def test_sqlite_variants(sqlite):
    kind, whole = sqlite
    anna = whole.accounts["anna@example.com"]
    columns = "SELECT name, hash, '', uid, gid, home, maildir, quota, fullname, 'mailhost=' || mailhost FROM accounts"
    for what, settings, names in (
            ("a clause", {"SQLITE_USER_TABLE": None, "DEFAULT_DOMAIN": "example.com", "SQLITE_SELECT_CLAUSE": columns +
                          " WHERE name = '$(local_part)@$(domain)' AND '$(service)' IN ('imap', 'pop3'); -- it's \"all\""}, ["anna"]),
            ("clear passwords, the README's spelling", {
                "SQLITE_CRYPT_PWFIELD": None, "SQLITE_CLEAR_PWFIELD": "'clear-' || name", "SQLITE_AUXOPTIONS_FIELD": None,
                "SQLITE_AUXOPTIONS": "'mailhost=' || mailhost", "SQLITE_WHERE_CLAUSE": "'a' = 'b' OR 1", "DEFAULT_DOMAIN": "example.com",
                "SQLITE_LOGIN_FIELD": "lower(name)"}, ["anna"]),
            ("another delivery folder", {"SQLITE_MAILDIR_FIELD": "'/nowhere'", "SQLITE_DEFAULTDELIVERY": "maildir"}, [])):
        with start_pool(kind, settings, nodes=1) as p:
            node = p.nodes[0]
            if "delivery" in what:
                p.write_conf({"imapd": {f"AUTHSERVICE{p.imap_port}": "courier"}})
                node.stop()
                p.start()
            check = node.tool("check")
            assert check.returncode == 0, (what, check.stdout)
            password = "clear-" + anna.name if "clear" in what else anna.password
            for name in [anna.name] + names:
                assert imap(p, HERE, name, password).ok, (what, name)
                assert refused(imap(p, HERE, name, "wrong")), (what, name)
                assert refused(imap(p, HERE, name, "")), (what, name)
            mark = node.log_mark()
            for name in NOBODY + ["name", "name@example.com", "hash"]:
                assert refused(imap(p, HERE, name if isinstance(name, bytes) else name.encode(), "x")), (what, name)
            assert not re.search(r"query is refused|does not answer|cannot be used", node.log_since(mark)), (what, node.log_since(mark))


def test_sqlite_enumerate_clause(sqlite):
    kind, _ = sqlite
    clause = "SELECT name, uid, gid, home, maildir, '$(service)=' || '$(local_part)$(domain)' FROM accounts WHERE name {} 'x'"
    for settings, want in (({"SQLITE_ENUMERATE_CLAUSE": clause.format("<>"), "SQLITE_USER_TABLE": None, "SQLITE_SELECT_CLAUSE": "SELECT 1"}, 0),
                           ({"SQLITE_ENUMERATE_CLAUSE": clause.format("=")}, 0),
                           ({"SQLITE_USER_TABLE": None, "SQLITE_SELECT_CLAUSE": "SELECT 1"}, 1),
                           ({"SQLITE_ENUMERATE_CLAUSE": "SELECT 1"}, 1), ({"SQLITE_ENUMERATE_CLAUSE": "SELECT x"}, 1)):
        with start_pool(kind, settings, nodes=1, start=False) as p:
            status, named, err = listing(p.nodes[0], "-o")
            assert status == want, (settings, err)
            if "<>" in str(settings):
                assert named["anna@example.com"][5] == "enumerate=", named
            else:
                assert not named


def test_sqlite_questions_that_are_refused(sqlite):
    """By SQLite, or because they take too long: logged, and never a wrong password for clients."""
    kind, _ = sqlite
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT '', '', '', 1, 1, max(i) FROM n"
    for settings, text in (({"SQLITE_USER_TABLE": "no_such"}, "the query is refused: no such table"),
                           ({"SQLITE_WHERE_CLAUSE": "\"active\" = \"yes\""}, "the query is refused: no such column: yes"),
                           ({"SQLITE_SELECT_CLAUSE": "SELECT 1, 2; SELECT 3"}, "the query is refused: the query must be one SELECT"),
                           ({"SQLITE_SELECT_CLAUSE": "DELETE FROM accounts"}, "the query is refused"),
                           ({"SQLITE_SELECT_CLAUSE": forever, "SQLITE_TIMEOUT": 1}, "does not answer: no answer in time")):
        with start_pool(kind, settings, nodes=1) as p:
            for _ in range(3):
                assert not_now(imap(p, HERE, "anna@example.com", "x"))
            p.nodes[0].wait_log(re.escape(text))
            assert len(re.findall(re.escape(text), p.nodes[0].log())) <= 2


def test_sqlite_check(sqlite):
    kind, p = sqlite
    node = p.nodes[0]
    good = dict(p.settings["authsqliterc"])
    select = "SELECT name, hash, '', uid, gid, home FROM accounts WHERE name = "
    try:
        for settings, hint in (({"SQLITE_DATABASE": None}, "authsqliterc.SQLITE_DATABASE is missing; set it to "),
                               ({"SQLITE_USER_TABLE": None}, "authsqliterc.SQLITE_USER_TABLE is missing; set it to "),
                               ({"SQLITE_CRYPT_PWFIELD": None}, "set SQLITE_CRYPT_PWFIELD or SQLITE_CLEAR_PWFIELD"),
                               ({"SQLITE_SELECT_CLAUSE": select + '"$(local_part)"'}, "write '$(local_part)'"),
                               ({"SQLITE_SELECT_CLAUSE": select + "[$(local_part)]"}, "write '$(local_part)'"),
                               ({"SQLITE_SELECT_CLAUSE": select + "$(local_part)"}, "put $(local_part) and $(domain) in quotes"),
                               ({"SQLITE_ENUMERATE_CLAUSE": select + "$(domain)"}, "SQLITE_ENUMERATE_CLAUSE: put $(local_part)")):
            p.write_conf({"authsqliterc": {**good, **settings}})
            r = node.tool("check")
            assert r.returncode != 0 and hint in r.stdout + r.stderr, (settings, r)
    finally:
        p.settings["authsqliterc"] = good
        p.write_conf()


# --- authdaemon alone

class FakeAuthdaemond:
    """Answers each connection with what say(question) returns: bytes, or None for silence until the other side closes."""

    def __init__(self, path):
        self.asked = []
        self.say = lambda question: b"FAIL\n"
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        os.chmod(path, 0o777)
        self.sock.listen(16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with conn, contextlib.suppress(OSError):
                question = conn.recv(8192)
                self.asked.append(question)
                answer = self.say(question)
                if answer is None:
                    conn.recv(1)
                else:
                    conn.sendall(answer)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join(10)


@pytest.fixture(scope="module")
def fake_daemon():
    with Pool(nodes=1, start=False) as p:
        path = os.path.join(p.root, "socket")
        p.write_conf({"authdaemonrc": {"authmodulelist": "authdaemon", "daemons": 1, **NO_CACHE}, "authdaemon": {"AUTHDAEMON_SOCKET": path, "AUTHDAEMON_TIMEOUT": SLOW}})
        p.add(Account("jo@example.com", mailhost=HERE), write=False)
        p.start()
        fake = FakeAuthdaemond(path)
        yield fake, p
        fake.close()


def record(p, **more):
    a = p.accounts["jo@example.com"]
    fields = {"UID": UID, "GID": GID, "HOME": a.home, "ADDRESS": a.name, "NAME": "Jo, x", "PASSWD2": "pw", "OPTIONS": f"mailhost={HERE}", **more}
    return "".join(f"{k}={v}\n" for k, v in fields.items() if v is not None).encode() + b".\n"


@pytest.mark.valgrind
def test_authdaemon_questions(fake_daemon):
    """To the byte, as Courier's own programs ask."""
    fake, p = fake_daemon
    fake.asked.clear()
    fake.say = lambda question: record(p)
    assert imap(p, HERE, "jo@example.com", "pw x").ok
    assert fake.asked == [b"TCPREMOTEIP=::ffff:127.0.0.1\nAUTH 31\nimap\nlogin\njo@example.com\npw x\n"]
    assert p.nodes[0].tool("route", "jo@example.com").returncode == 0
    assert fake.asked[1:] == [b"PRE . imap jo@example.com\n"]
    fake.asked.clear()
    fake.say = lambda question: b"FAIL\n" if b"AUTH " in question else record(p)
    assert pop3(p, HERE, "jo@example.com", "x").startswith(b"-ERR [AUTH]")
    assert fake.asked == [b"TCPREMOTEIP=::ffff:127.0.0.1\nAUTH 28\npop3\nlogin\njo@example.com\nx\n", b"PRE . pop3 jo@example.com\n"]


def test_authdaemon_is_told_the_client_of_a_forwarded_login():
    """Not the node that forwarded it."""
    with Pool(nodes=2, start=False) as p:
        fake = FakeAuthdaemond(os.path.join(p.root, "socket"))
        p.write_conf({"authdaemonrc": {"authmodulelist": "authdaemon", "daemons": 1, **NO_CACHE}, "authdaemon": {"AUTHDAEMON_SOCKET": os.path.join(p.root, "socket")}})
        p.add(Account("jo@example.com", mailhost=THERE), write=False)
        fake.say = lambda question: record(p, OPTIONS=f"mailhost={THERE}")
        p.start()
        with Imap(HERE, p.imap_port, source="127.0.7.9") as c:
            assert c.login("jo@example.com", "pw").ok
        assert [question.split(b"\n")[0] for question in fake.asked] == [b"TCPREMOTEIP=::ffff:127.0.7.9"] * 2
        fake.close()


def test_authdaemon_answers(fake_daemon):
    fake, p = fake_daemon
    node = p.nodes[0]
    for answer in (b"", b"F", b"FAIL", record(p)[:-1], record(p)[:-2], b"no\n", b"OPTIONS=" + b"x" * 20000 + b"\n.\n", os.urandom(300) + b"\n"):
        fake.say = lambda question, answer=answer: answer
        assert NOT_NOW in verdict(p, "jo@example.com", "pw"), answer[:40]
    assert not_now(imap(p, HERE, "jo@example.com", "pw"))
    fake.say = lambda question: record(p)
    assert verdict(p, "jo@example.com", "pw") == RIGHT
    wait_for("logins work again", lambda: imap(p, HERE, "jo@example.com", "pw").ok)
    for change, why in ({"UID": 0}, "its uid is 0"), ({"GID": 0}, "its gid is 0"), ({"HOME": None}, "its home folder"), ({"UID": None}, "its uid is missing"), \
            ({"UID": None, "USERNAME": "root"}, "its gid|it has no uid"), ({"OPTIONS": "a\tb"}, "a control character"):
        mark = node.log_mark()
        if "USERNAME" in change:
            change["GID"] = None
        fake.say = lambda question, change=change: record(p, **change)
        assert not_now(imap(p, HERE, "jo@example.com", "pw")), change
        node.wait_log(f"authdaemon: the record of jo@example.com cannot be used: .*({why})", mark)
    for change in {"UID": 99}, {"GID": 99}:
        fake.say = lambda question, change=change: record(p, **change)
        assert not_now(imap(p, HERE, "jo@example.com", "pw")), change
    # When its database is down, Courier's daemon answers FAIL to a password, and nothing to a name.
    fake.say = lambda question: b"FAIL\n" if b"AUTH " in question else b""
    assert not_now(imap(p, HERE, "jo@example.com", "pw"))


def test_authdaemon_silence(fake_daemon):
    fake, p = fake_daemon
    fake.say = lambda question: record(p)
    wait_for("logins work again", lambda: imap(p, HERE, "jo@example.com", "pw").ok)
    fake.say = lambda question: None
    start = time.monotonic()
    assert not_now(imap(p, HERE, "jo@example.com", "pw"))
    assert time.monotonic() - start < SLOW + 2 * LATE
    p.nodes[0].wait_log("authdaemon: .*/socket does not answer: no answer in time")
    fake.say = lambda question: record(p)
    wait_for("logins work again", lambda: imap(p, HERE, "jo@example.com", "pw").ok, PATIENCE + 10)


def test_authdaemon_check(fake_daemon):
    _, p = fake_daemon
    good = dict(p.settings["authdaemon"])
    try:
        for path, status, hint in (("/nowhere/socket", 0, "/nowhere/socket: No such file or directory; logins fail temporarily"), ("/dev/null", 1, "is not a socket"),
                                   ("/" + "x" * 120, 1, "is too long for a socket path"), ("", 1, "authdaemon.AUTHDAEMON_SOCKET is missing; set it to ")):
            p.write_conf({"authdaemon": {**good, "AUTHDAEMON_SOCKET": path}})
            r = p.nodes[0].tool("check")
            assert r.returncode == status and hint in r.stdout + r.stderr, (path, r)
    finally:
        p.write_conf({"authdaemon": good})


# --- authpipe alone

@pytest.fixture
def pipe():
    kind = Authpipe()
    with start_pool(kind, nodes=1, start=False) as p:
        p.write_conf({"authdaemonrc": {"daemons": 1}})
        p.add(Account("jo@example.com", mailhost=HERE), write=False)
        kind.write(p.accounts.values())
        p.start()
        yield kind, p
    kind.close()


def test_authpipe_one_program_to_the_byte(pipe):
    kind, p = pipe
    for _ in range(3):
        assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok
    assert pop3(p, HERE, "jo@example.com", "x").startswith(b"-ERR [AUTH]")
    auth = b"AUTH 48\nimap\nlogin\njo@example.com\nsecret-jo@example.com\n"
    assert [ast.literal_eval(q) for q in kind.said("asked").splitlines()] == [auth] * 3 + [
        b"AUTH 28\npop3\nlogin\njo@example.com\nx\n", b"PRE . pop3 jo@example.com\n"]
    # A clean start: it inherits only the two pipes and stderr.
    start, = kind.starts()
    assert start["fds"] == [0, 1, 2] and start["cwd"] == "/" and int(start["sigblk"], 16) == 0 and start["pgid"] == start["pid"], start


@pytest.mark.parametrize("mode", ["once", "chatty", "bytes"])
def test_authpipe_odd_but_right(pipe, mode):
    """A program that exits after each answer, one that answers too much, one that writes slowly."""
    kind, p = pipe
    kind.mode(mode)
    for _ in range(4):
        assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok
        assert refused(imap(p, HERE, "jo@example.com", "x"))
        assert refused(imap(p, HERE, "nobody@example.com", "x"))
    assert (len(kind.starts()) > 4) == (mode != "bytes")
    assert "does not answer" not in p.nodes[0].log()


@pytest.mark.parametrize("mode, why", [("die", "it has ended with status 3"), ("crash", "it was ended by signal 9"), ("garbage", "its answer is not in Courier's format"),
                                       ("half", "it has ended with status 0"), ("deaf", "no answer in time")])
def test_authpipe_failures(pipe, mode, why):
    kind, p = pipe
    node = p.nodes[0]
    assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok
    kind.mode(mode)
    assert not_now(imap(p, HERE, "jo@example.com", "secret-jo@example.com"))
    assert NOT_NOW in verdict(p, "nobody@example.com", "x")
    # How it ended is reported if it ends soon after its output.
    node.wait_log(f"authpipe: {kind.program} does not answer: .*({why}|without an answer)")
    kind.mode("")
    wait_for("logins work again", lambda: imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok, PATIENCE + 10)
    assert verdict(p, "jo@example.com", "secret-jo@example.com") == RIGHT
    # All but the last are gone.
    pids = [s["pid"] for s in kind.starts()]
    wait_for("one program is left", lambda: sum(alive(pid) for pid in pids) == 1)


def test_authpipe_dies_of_one_name(pipe):
    """It causes no outage for others: anybody can type such a name."""
    kind, p = pipe
    assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok
    for _ in range(2):
        assert not_now(imap(p, HERE, "poison", "x"))
        wait_for("others log in", lambda: imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok)


def test_answers_for_clients_that_have_gone(pipe):
    """A login that times out gets a reply; a later result of its query is ignored."""
    kind, p = pipe
    node = p.nodes[0]
    p.write_conf({"LOGIN_TIMEOUT": 1, "LOGIN_WORKERS": 1, "authdaemonrc": {"daemons": 1}, "authpipe": {**kind.settings(), "AUTHPIPE_TIMEOUT": 60}})
    old = node.pids("worker")
    assert node.tool("reload").returncode == 0
    wait_for("no worker with the old time limit accepts a client any more", lambda: not any(alive(pid) for pid in old))
    kind.mode("hold")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Imap(HERE, p.imap_port)) for _ in range(4)]
        for i, c in enumerate(clients):
            c.send(b"a LOGIN jo@example.com guess%d\r\n" % i)
        said = [c.rest() for c in clients]
    assert all(b"a NO [UNAVAILABLE]" in text and text.splitlines()[-1].startswith(b"* BYE") for text in said), said
    kind.mode("")
    wait_for("the questions are answered", lambda: imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok)
    assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok


def test_authpipe_nobody_is_left_behind(pipe):
    """A program that hangs, ignores SIGTERM and has started others is killed with them, also when the node stops."""
    kind, p = pipe
    assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok
    kind.mode("hang")
    assert not_now(imap(p, HERE, "jo@example.com", "secret-jo@example.com"))
    hanging = [int(pid) for pid in kind.said("hanging").split()]
    assert len(hanging) >= 2
    wait_for("they are gone", lambda: not any(alive(pid) for pid in hanging))
    kind.mode("")
    wait_for("logins work again", lambda: imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok, PATIENCE + 10)
    last = kind.starts()[-1]["pid"]
    assert alive(last)
    p.nodes[0].tool("reload")
    wait_for("the settings' new program is there", lambda: imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok and kind.starts()[-1]["pid"] != last)
    wait_for("the old one is gone", lambda: not alive(last))
    assert not p.stop()
    assert not any(alive(s["pid"]) for s in kind.starts())


def test_authpipe_check(pipe):
    kind, p = pipe
    other = os.path.join(kind.root, "other")
    for mode, hint in (None, "is not an executable program"), (0o644, "is not an executable program"), (0o775, "is writable by others than its owner"), (0o755, None):
        if mode is not None:
            shutil.copy(kind.program, other)
            os.chmod(other, mode)
        p.write_conf({"authpipe": {"AUTHPIPE_PROGRAM": other}})
        r = p.nodes[0].tool("check")
        assert r.returncode == 0 and (hint is None) == ("AUTHPIPE_PROGRAM" not in r.stdout + r.stderr) and (hint or "") in r.stdout + r.stderr, r
    os.remove(other)
    p.write_conf({"authpipe": {"AUTHPIPE_PROGRAM": other}})
    p.nodes[0].stop()
    p.start()
    assert not_now(imap(p, HERE, "jo@example.com", "secret-jo@example.com"))
    p.nodes[0].wait_log("authpipe: .*/other does not answer: cannot run it: No such file or directory")


# --- PAM

# A module that does as its arguments say.
MODULE = r"""
#include <security/pam_modules.h>
#include <security/pam_appl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *value(int argc, const char **argv, const char *name)
{
	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], name, strlen(name)) == 0 && argv[i][strlen(name)] == '=')
			return argv[i] + strlen(name) + 1;
	return "";
}

/* What the application says to N messages of the kinds in STYLE; returns the password of the last one. */
static int talk(pam_handle_t *h, int n, const int *style, char *password, size_t size)
{
	const struct pam_conv *conv;
	struct pam_message m[8];
	const struct pam_message *p[8];
	struct pam_response *r = NULL;
	int status = pam_get_item(h, PAM_CONV, (const void **)&conv);
	for (int i = 0; i < 8; i++) {
		m[i].msg_style = style[i < n && n <= 8 ? i : 0];
		m[i].msg = "%s%n?";
		p[i] = &m[i];
	}
	if (status != PAM_SUCCESS || (status = conv->conv(n, p, &r, conv->appdata_ptr)) != PAM_SUCCESS)
		return status;
	password[0] = '\0';
	for (int i = 0; i < n; i++) {
		if (style[i] == PAM_PROMPT_ECHO_OFF && (r == NULL || r[i].resp == NULL))
			return PAM_ABORT;
		if (r[i].resp != NULL)
			snprintf(password, size, "%s", r[i].resp);
		free(r[i].resp);
	}
	free(r);
	return PAM_SUCCESS;
}

static void linger(const char *pids)
{
	pid_t pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	FILE *f = fopen(pids, "a");
	fprintf(f, "%d %d ", (int)getpid(), (int)pid);
	fclose(f);
}

int pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv)
{
	static const int off[] = { PAM_PROMPT_ECHO_OFF }, on[] = { PAM_PROMPT_ECHO_ON }, binary[] = { 7 },
		five[] = { PAM_TEXT_INFO, PAM_PROMPT_ECHO_OFF, PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_TEXT_INFO },
		mixed[] = { PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON };
	const char *mode = value(argc, argv, "mode"), *note = value(argc, argv, "note"), *map = value(argc, argv, "map");
	const void *rhost = NULL, *service = NULL, *user = NULL;
	char password[4096];
	int status;
	pam_get_item(h, PAM_RHOST, &rhost);
	pam_get_item(h, PAM_SERVICE, &service);
	pam_get_item(h, PAM_USER, &user);
	if (*note != '\0') {
		FILE *f = fopen(note, "a");
		fprintf(f, "%s %s %s\n", (const char *)service, (const char *)user, rhost != NULL ? (const char *)rhost : "-");
		fclose(f);
	}
	if (strcmp(mode, "on") == 0)
		return talk(h, 1, on, password, sizeof(password));
	if (strcmp(mode, "binary") == 0)
		return talk(h, 1, binary, password, sizeof(password));
	if (strcmp(mode, "mixed") == 0)
		return talk(h, 2, mixed, password, sizeof(password));
	if (strcmp(mode, "none") == 0)
		return talk(h, 0, off, password, sizeof(password));
	if (strcmp(mode, "many") == 0)
		return talk(h, 100000, off, password, sizeof(password));
	if (strcmp(mode, "exit") == 0)
		exit(0);
	if (strcmp(mode, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(mode, "hang") == 0) {
		signal(SIGTERM, SIG_IGN);
		linger(value(argc, argv, "pids"));
		for (;;)
			pause();
	}
	if (strcmp(mode, "linger") == 0)
		linger(value(argc, argv, "pids"));
	if (strcmp(mode, "close") == 0)
		for (int i = 0; i < 100; i++)
			close(i);
	if (strcmp(mode, "print") == 0) {
		for (int i = 0; i < 10000; i++)
			if (write(1, "\0\0\0\4....", 8) != 8)
				return PAM_ABORT;
		if (read(0, password, 1) != 0)
			return PAM_ABORT;
	}
	if (strcmp(mode, "signals") == 0) {
		sigset_t all;
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		signal(SIGCHLD, SIG_IGN);
		setpgid(0, getppid());
		if (chdir("/tmp") != 0)
			return PAM_ABORT;
	}
	status = strcmp(mode, "five") == 0 ? talk(h, 5, five, password, sizeof(password)) : talk(h, 1, off, password, sizeof(password));
	if (status == PAM_SUCCESS && strcmp(password, value(argc, argv, "right")) != 0) {
		pam_fail_delay(h, 20000000);
		status = PAM_AUTH_ERR;
	}
	if (status == PAM_SUCCESS && *map != '\0')
		status = pam_set_item(h, PAM_USER, map);
	return status == PAM_SUCCESS ? atoi(value(argc, argv, "ret")) : status;
}

int pam_sm_setcred(pam_handle_t *h, int flags, int argc, const char **argv)
{
	return PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *h, int flags, int argc, const char **argv)
{
	return atoi(value(argc, argv, "acct"));
}
"""
PAM_OPEN_ERR, PAM_SERVICE_ERR, PAM_SYSTEM_ERR, PAM_PERM_DENIED, PAM_AUTH_ERR, PAM_CRED_INSUFFICIENT, PAM_AUTHINFO_UNAVAIL, PAM_USER_UNKNOWN, \
    PAM_MAXTRIES, PAM_NEW_AUTHTOK_REQD, PAM_ACCT_EXPIRED = 1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13


class Pam:
    """Our own PAM services with our own module, for users that every Debian has: games (uid 5), man, www-data, nobody. Their
    mail is elsewhere."""

    def __init__(self):
        self.root = folder()
        self.pids, self.note = os.path.join(self.root, "pids"), os.path.join(self.root, "note")
        self.module = os.path.join(self.root, "pam_odd.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", self.module, "-lpam"], input=MODULE, text=True, check=True, timeout=60)
        self.peer = FakeServer("127.0.5.1", imap_peer())
        self.service()
        self.pool = Pool(nodes=1, settings={
            "MIN_UID": 6, "authdaemonrc": {"authmodulelist": "authpam", "daemons": 1, "DEFAULTOPTIONS": f"mailhost={self.peer.host}", **NO_CACHE},
            "authpam": {"AUTHPAM_CONFDIR": self.root, "AUTHPAM_TIMEOUT": SLOW}})

    def service(self, names=("imap", "pop3"), **arguments):
        text = " ".join(f"{k}={v}" for k, v in {"right": "secret", "pids": self.pids, "note": self.note, **arguments}.items())
        for name in names:
            with open(os.path.join(self.root, name + ".new"), "w") as f:
                f.write(f"auth required {self.module} {text}\naccount required {self.module} {text}\n")
            os.rename(f.name, os.path.join(self.root, name))

    def said(self):
        with open(self.note, errors="replace") as f:
            lines = f.read().splitlines()
        os.remove(self.note)
        return lines

    def close(self):
        try:
            self.pool.close()
        finally:
            self.peer.close()
            shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module")
def pam():
    kind = Pam()
    yield kind
    kind.close()


def good_again(kind):
    kind.service()
    wait_for("logins work again", lambda: imap(kind.pool, HERE, "www-data", "secret").ok, PATIENCE + 10)


@pytest.mark.valgrind
def test_pam_logins(pam):
    p = pam.pool
    for name in ("www-data", "man", "nobody"):
        assert imap(p, HERE, name, "secret").ok
        for wrong in ("", "x", "secret ", "Secret", "x" * 900):
            assert refused(imap(p, HERE, name, wrong))
    pam.said()
    r = p.nodes[0].tool("auth", "www-data", input="secret\n")
    assert r.returncode == 0 and "driver: authpam\n" in r.stdout and "account: www-data\n" in r.stdout and "uid: 33\n" in r.stdout, r
    assert imap(p, HERE, "www-data", "secret").ok
    assert pop3(p, HERE, "www-data", "x").startswith(b"-ERR [AUTH]")
    # The tool has no address. A wrong password is not answered by libpam's own long wait.
    assert pam.said() == ["imap www-data -", "imap www-data 127.0.0.1", "pop3 www-data 127.0.0.1"]


def test_pam_hostile_names(pam):
    p = pam.pool
    mark = p.nodes[0].log_mark()
    for name in NOBODY + ["..", "../imap", "/etc/passwd", "root:x", "nobody\\", "-1", "65534", "%s%n", "NOBODY", "nobody "]:
        assert refused(imap(p, HERE, name if isinstance(name, bytes) else name.encode(), "secret")), name
    assert "does not answer" not in p.nodes[0].log_since(mark)
    assert "cannot be used" not in p.nodes[0].log_since(mark)
    assert imap(p, HERE, "www-data", "secret").ok


def test_pam_users_of_the_system_are_no_accounts(pam):
    """PAM is not even called, so nobody can guess their passwords here or lock them out."""
    p = pam.pool
    assert imap(p, HERE, "man", "secret").ok
    pam.said()
    for name in ("root", "daemon", "games"):
        assert refused(imap(p, HERE, name, "secret"))
        assert "no module in authmodulelist knows" in p.nodes[0].tool("auth", name, input="secret\n").stdout
        assert "no module in authmodulelist knows" in p.nodes[0].tool("route", name).stdout
    assert not os.path.exists(pam.note)
    # Unknown names are passed to PAM: the time must not reveal them.
    assert refused(imap(p, HERE, "nobody@example.com", "secret"))
    assert pam.said() == ["imap nobody@example.com 127.0.0.1"]
    for name in ("root", "games"):
        pam.service(map=name)
        assert "is damaged" in verdict(p, "www-data", "secret")
        p.nodes[0].wait_log(f"record of www-data cannot be used: PAM maps it to {name}")
    pam.service(map="man")
    assert "account: man\n" in p.nodes[0].tool("auth", "www-data", input="secret\n").stdout
    pam.service(map="no.such.user")
    assert "no module in authmodulelist knows" in p.nodes[0].tool("auth", "www-data", input="secret\n").stdout
    good_again(pam)


def test_pam_verdicts(pam):
    p = pam.pool
    unknown, locked, wrong = "no module in authmodulelist knows", "locked", "the password is wrong"
    for arguments, want in (
            ({"ret": PAM_AUTH_ERR}, wrong), ({"ret": PAM_PERM_DENIED}, wrong), ({"ret": PAM_MAXTRIES}, wrong), ({"ret": PAM_USER_UNKNOWN}, unknown),
            ({"acct": PAM_ACCT_EXPIRED}, locked), ({"acct": PAM_NEW_AUTHTOK_REQD}, locked), ({"acct": PAM_PERM_DENIED}, locked),
            ({"acct": PAM_USER_UNKNOWN}, unknown),
            ({"ret": PAM_AUTHINFO_UNAVAIL}, NOT_NOW), ({"ret": PAM_SERVICE_ERR}, NOT_NOW), ({"ret": PAM_SYSTEM_ERR}, NOT_NOW),
            ({"ret": PAM_OPEN_ERR}, NOT_NOW), ({"ret": PAM_CRED_INSUFFICIENT}, NOT_NOW), ({"acct": PAM_AUTHINFO_UNAVAIL}, NOT_NOW)):
        pam.service(**arguments)
        assert want in verdict(p, "www-data", "secret"), arguments
    pam.service(acct=PAM_ACCT_EXPIRED)
    wait_for("PAM answers", lambda: refused(imap(p, HERE, "www-data", "secret")))
    pam.service(ret=PAM_AUTHINFO_UNAVAIL)
    assert not_now(imap(p, HERE, "www-data", "secret"))
    p.nodes[0].wait_log("authpam: PAM does not answer: service imap: ")
    for missing in ("/nowhere/pam_nothing.so", "pam_nothing.so"):
        with open(os.path.join(pam.root, "imap"), "w") as f:
            f.write(f"auth required {missing}\naccount required {missing}\n")
        assert NOT_NOW in verdict(p, "www-data", "secret")
    os.remove(os.path.join(pam.root, "imap"))
    assert verdict(p, "www-data", "secret") != RIGHT
    good_again(pam)


@pytest.mark.parametrize("mode, want", [("five", RIGHT), ("print", RIGHT), ("signals", RIGHT), ("linger", RIGHT), ("on", "is damaged"), ("binary", "is damaged"),
                                        ("mixed", "is damaged"), ("none", NOT_NOW), ("many", NOT_NOW), ("exit", NOT_NOW), ("crash", NOT_NOW),
                                        ("close", NOT_NOW), ("hang", NOT_NOW)])
def test_pam_hostile_modules(pam, mode, want):
    p = pam.pool
    workers = p.nodes[0].pids("authworker")
    pam.service(mode=mode)
    assert want in verdict(p, "www-data", "secret")
    if mode in ("hang", "linger"):
        with open(pam.pids) as f:
            pids = [int(pid) for pid in f.read().split()]
        os.remove(pam.pids)
        assert len(pids) >= 2
        wait_for("nobody is left behind", lambda: not any(alive(pid) for pid in pids))
    if want == RIGHT:
        assert "wrong" in verdict(p, "www-data", "x")
    pam.service()
    wait_for("PAM answers", lambda: verdict(p, "www-data", "secret") == RIGHT)
    assert p.nodes[0].pids("authworker") == workers
    if mode == "hang":
        p.nodes[0].wait_log("authpam: PAM does not answer: no answer in time")


@pytest.mark.parametrize("setting", ("temporary", "wrong"))
def test_pam_module_whose_wrong_password_is_a_system_error(setting):
    """pam_exec, whose program exits with 1: AUTHPAM_SYSTEM_ERROR says what that means for a guess, and it never affects others."""
    root = folder()
    peer = FakeServer("127.0.5.1", imap_peer())
    program = os.path.join(root, "program")
    with open(program, "w") as f:
        f.write("#!/bin/sh\n[ \"$(tr -d '\\000')\" = secret ]\n")
    os.chmod(program, 0o755)
    with open(os.path.join(root, "imap"), "w") as f:
        f.write(f"auth required pam_exec.so quiet expose_authtok {program}\naccount required pam_permit.so\n")
    try:
        with Pool(nodes=1, settings={
                "MIN_UID": 6, "authdaemonrc": {"authmodulelist": "authpam", "daemons": 1, "DEFAULTOPTIONS": f"mailhost={peer.host}", **NO_CACHE},
                "authpam": {"AUTHPAM_CONFDIR": root, "AUTHPAM_SYSTEM_ERROR": setting}}) as p:
            node = p.nodes[0]
            for name in ("man", "www-data", "man", "no.such.user", "nobody"):
                reply = imap(p, HERE, name, "guess")
                assert refused(reply) if setting == "wrong" or name == "no.such.user" else not_now(reply), (name, reply)
                assert imap(p, HERE, "www-data", "secret").ok
            assert node.status()["counts"]["directories_down"] == 0
            if setting == "wrong":
                node.wait_log("LOGIN FAILED, user=man,")
                assert "TEMPORARY FAILURE" not in node.log()
            else:
                node.wait_log("TEMPORARY FAILURE, user=man,")
                node.wait_log("authpam: PAM does not answer: service imap: System error; this login fails temporarily")
                assert "LOGIN FAILED, user=man," not in node.log()
    finally:
        peer.close()
        shutil.rmtree(root, ignore_errors=True)


@pytest.mark.once
def test_pam_that_hangs_is_down():
    """pam_exec, whose program hangs, since the node started and later: logins do not queue for it, and it is back when it answers."""
    root = folder()
    peer = FakeServer("127.0.5.1", imap_peer())

    def service(program):
        with open(os.path.join(root, "imap.new"), "w") as f:
            f.write(f"auth required pam_exec.so quiet {program}\naccount required pam_permit.so\n")
        os.rename(f.name, os.path.join(root, "imap"))

    def runs():
        with open(os.path.join(root, "runs")) as f:
            return len(f.read())

    hanging = os.path.join(root, "hanging")
    with open(hanging, "w") as f:
        f.write(f"#!/bin/sh\nprintf x >>{root}/runs\nexec sleep 60\n")
    os.chmod(hanging, 0o755)
    try:
        service(hanging)
        with Pool(nodes=1, accounts=[Account("jo@example.com", mailhost=HERE)], settings={
                "MIN_UID": 6, "authdaemonrc": {"authmodulelist": "authpam authuserdb", "daemons": 2, "DEFAULTOPTIONS": f"mailhost={peer.host}", **NO_CACHE},
                "authpam": {"AUTHPAM_CONFDIR": root, "AUTHPAM_TIMEOUT": 1}}) as p:
            node = p.nodes[0]
            for _ in range(2):
                mark = node.log_mark()
                threads = [threading.Thread(target=imap, args=(p, HERE, name, "x")) for name in ("man", "www-data", "no.such.user") * 2]
                for t in threads:
                    t.start()
                wait_for("PAM is down", lambda: node.status()["counts"]["directories_down"] == 1)
                for t in threads:
                    t.join()
                before = runs()
                for i in range(20):
                    assert not_now(imap(p, HERE, "man", f"x{i}"))
                assert runs() - before < 10, "the logins still wait for PAM"
                service("/bin/true")
                wait_for("PAM answers", lambda: imap(p, HERE, "man", "x").ok, PATIENCE + 10)
                node.wait_log("authpam: PAM answers again", mark)
                assert node.status()["counts"]["directories_down"] == 0
                assert "waypost-probe" not in node.log_since(mark)
                service(hanging)
    finally:
        peer.close()
        shutil.rmtree(root, ignore_errors=True)


def test_pam_goes_on(pam):
    good_again(pam)
    assert refused(imap(pam.pool, HERE, "www-data", "x"))


def test_pam_enumerate(pam):
    status, named, err = listing(pam.pool.nodes[0])
    assert status == 0, err
    want = {u.pw_name: u for u in pwd.getpwall() if u.pw_uid >= 6 and u.pw_gid >= 6}
    assert named.keys() == want.keys()
    for name, u in want.items():
        assert named[name] == [name, str(u.pw_uid), str(u.pw_gid), u.pw_dir, ""]


def test_pam_chain(pam):
    """A name that is no system user is looked up in the next driver; one with a wrong password is not."""
    with Pool(nodes=1, accounts=[Account("man", password="other"), Account("jo@example.com", mailhost=HERE)], settings={
            "MIN_UID": 6, "authdaemonrc": {"authmodulelist": "authpam authuserdb", "daemons": 1, **NO_CACHE},
            "authpam": {"AUTHPAM_CONFDIR": pam.root, "AUTHPAM_TIMEOUT": SLOW}}) as p:
        assert imap(p, HERE, "jo@example.com", "secret-jo@example.com").ok
        assert refused(imap(p, HERE, "jo@example.com", "x"))
        assert refused(imap(p, HERE, "man", "other"))
        pam.service(ret=PAM_AUTHINFO_UNAVAIL)
        assert not_now(imap(p, HERE, "man", "secret"))
    pam.service()


def test_pam_check(pam):
    p = pam.pool
    node = p.nodes[0]
    r = node.tool("check")
    assert r.returncode == 0, r
    assert ("cannot read /etc/shadow" in r.stdout + r.stderr) == (not os.access("/etc/shadow", os.R_OK) or os.getuid() == 0), r
    os.rename(os.path.join(pam.root, "pop3"), os.path.join(pam.root, "pop3.away"))
    r = node.tool("check")
    os.rename(os.path.join(pam.root, "pop3.away"), os.path.join(pam.root, "pop3"))
    assert f"authpam: {pam.root}/pop3 does not exist" in r.stdout + r.stderr and f"{pam.root}/imap" not in r.stdout + r.stderr, r


@pytest.fixture
def unix(request):
    """A node started by root in a mount namespace with two more system users, with AUTH_USER in the group shadow or not."""
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root, and mounts of its own")
    p = Pool(nodes=1, uid=0, gid=0, start=False, settings={
        "LOGIN_USER": "nobody", "AUTH_USER": "daemon", "authdaemonrc": {"authmodulelist": "authpam", "daemons": 1, **NO_CACHE},
        "authpam": {"AUTHPAM_CONFDIR": os.path.join(folder(), "pam.d")}})
    etc = os.path.dirname(p.settings["authpam"]["AUTHPAM_CONFDIR"])
    os.chmod(etc, 0o755)
    os.mkdir(p.settings["authpam"]["AUTHPAM_CONFDIR"])
    for service in ("imap", "pop3"):
        shutil.copy(os.path.join(ETC, "waypost.pam"), os.path.join(etc, "pam.d", service))
    for common in ("common-auth", "common-account"):
        shutil.copy(os.path.join("/etc/pam.d", common), os.path.join(etc, "pam.d"))
    for n, name in enumerate(("wpone", "wptwo", "wpold", "wpnone")):
        p.add(Account(name, password="secret", uid=20001 + n, gid=20001 + n), write=False)
    crypted = subprocess.run(["openssl", "passwd", "-6", "secret"], capture_output=True, text=True, check=True).stdout.strip()
    hashes = {"wpone": crypted + ":19000:0:99999:7:::", "wptwo": "!" + crypted + ":19000:0:99999:7:::", "wpold": crypted + ":19000:0:99999:7::100:",
              "wpnone": ":19000:0:99999:7:::"}
    for name in ("passwd", "shadow", "group"):
        with open(f"/etc/{name}") as f:
            lines = f.read().splitlines()
        if name == "passwd":
            lines += [f"{a.name}:x:{a.uid}:{a.gid}:{a.name.title()}, room 5:{a.home}:/bin/sh" for a in p.accounts.values()]
        elif name == "shadow":
            lines += [f"{n}:{h}" for n, h in hashes.items()]
        elif request.param:
            lines = [line + "daemon" if line.startswith("shadow:") else line for line in lines]
        with open(os.path.join(etc, name), "w") as f:
            f.write("\n".join(lines) + "\n")
        shutil.copystat(f"/etc/{name}", f.name)
        os.chown(f.name, 0, os.stat(f"/etc/{name}").st_gid)
    inside = ["unshare", "-m", "sh", "-c", f"for f in passwd shadow group; do mount --bind {etc}/$f /etc/$f || exit; done; exec \"$@\"", "sh"]
    node = p.nodes[0]
    command = node.command()
    node.command = lambda: inside + command
    p.start()
    yield p, lambda *args: subprocess.run([*inside, os.path.join(os.path.dirname(command[0]), "..", "bin", "waypost"), "-c", p.conf, *args],
                                          env=node.env, capture_output=True, text=True, timeout=60)
    try:
        p.close()
    finally:
        shutil.rmtree(etc, ignore_errors=True)


@pytest.mark.parametrize("unix", [True], indirect=True)
def test_pam_unix(unix):
    """Debian's own stack: /etc/shadow by pam_unix, sessions under the users' own ids."""
    p, tool = unix
    with Imap(HERE, p.imap_port) as c:
        c.login_ok(p.accounts["wpone"])
        assert c.subjects() == ["wpone lives on any node"]
    assert refused(imap(p, HERE, "wpone", "x"))
    assert refused(imap(p, HERE, "wpone", ""))
    assert refused(imap(p, HERE, "wptwo", "secret")), "locked"
    assert refused(imap(p, HERE, "wpold", "secret")), "expired"
    assert refused(imap(p, HERE, "wpnone", "")), "without a password"
    assert refused(imap(p, HERE, "nobody@example.com", "secret"))
    assert pop3(p, HERE, "wpone", "secret").startswith(b"+OK")
    r = tool("auth", "--enumerate")
    assert r.returncode == 0 and f"wpone\t20001\t20001\t{p.accounts['wpone'].home}\t\n" in r.stdout, r
    r = tool("check")
    assert r.returncode == 0 and "shadow" not in r.stdout + r.stderr, r


@pytest.mark.parametrize("unix", [False], indirect=True)
def test_pam_unix_without_the_group_shadow(unix):
    _, tool = unix
    r = tool("check")
    assert r.returncode == 0 and "daemon cannot read /etc/shadow" in r.stdout + r.stderr and "usermod -aG shadow daemon" in r.stdout + r.stderr, r


def test_like_courier_authenumerate():
    """waypost auth --enumerate prints the same as Courier's authenumerate, through its authdaemond and from the same userdb.
    (Only "-s" and disableshared=yes differ: Courier takes "yes" for "no" there, and for "yes" at a login.)"""
    kind = Authdaemon()
    more = {"jo": "mail=Mail|options=disableshared=1,mailhost=a.example.com", "kim": "", "lena": "options=disableshared=0", "mo": "options=disableshared",
            "nina": "mail=/var/mail/nina|quota=10S|gecos=Nina N., x"}
    records = {name: {"uid": "1001", "gid": "1002", "home": f"/h/{name}", **dict(f.split("=", 1) for f in fields.split("|") if f)}
               for name, fields in more.items()}
    try:
        kind.dir.userdb({name: (fields, sha("x")) for name, fields in records.items()})
        for module in ("authdaemon", "authuserdb"):
            with start_pool(kind, nodes=1, start=False) as p:
                p.write_conf({"authdaemonrc": {"authmodulelist": module}})
                p.write_userdb("".join(f"{name}\t" + "|".join(f"{k}={v}" for k, v in fields.items()) + "\n" for name, fields in records.items()))
                for options in ([], ["-s"], ["-o"], ["-s", "-o"]):
                    r = p.nodes[0].tool("auth", "--enumerate", *options)
                    assert r.returncode == 0, r.stderr
                    theirs = [line for line in kind.dir.enumerate(*options).splitlines() if line]
                    assert sorted(r.stdout.splitlines()) == sorted(theirs), (module, options)
                    assert len(theirs) == (5 if "-s" not in options else 4)
    finally:
        kind.close()
