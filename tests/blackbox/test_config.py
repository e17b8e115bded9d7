"""Good and bad configurations, and the operator's tool."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import pool as pool_module
from client import Imap, Pop3
from pool import PREFIX, SLOW, Account, Marks, alive, chown, wait_for

pytestmark = pytest.mark.once

BAD = [
    # line of the file, what must be named with its line number
    ('imapd-ssl = { SSLPROT = 993; };', "SSLPROT"),
    ('LOGIN_TIMEOUT = "soon";', "LOGIN_TIMEOUT"),
    ('LOGIN_WORKERS = -1;', "LOGIN_WORKERS"),
    ('PROXY_HOSTNAME = "${NO_SUCH_VARIABLE_HERE}";', "NO_SUCH_VARIABLE_HERE"),
    ('proxy = { PROXY_TIMEOUT = 100000; PROXY_TRUSTED = "300.1.2.3/99"; };', "PROXY_TIMEOUT"),
    ('imapd = { PORT = "http"; IMAP_PROXY = "maybe"; };', "PORT"),
    ('pop3d = { PORT = 99999; };', "PORT"),
    ('nosuchgroup = { A = 1; };', "nosuchgroup"),
    ('RUNDIR = "relative/path";', "RUNDIR"),
]


@pytest.fixture
def still(make_pool):
    """A pool that is not started."""
    return make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)


def daemon(p):
    node = p.nodes[0]
    return subprocess.run([os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "-c", p.conf, "-F"], env=node.env,
                          preexec_fn=node.as_user(), capture_output=True, timeout=30 * SLOW, text=True)


def test_every_mistake_is_listed(still):
    p = still
    p.write_conf(text="# first line\n" + "".join(line + "\n" for line, _ in BAD))
    for result in (daemon(p), p.nodes[0].tool("check")):
        assert result.returncode == 1, result
        text = result.stderr + result.stdout
        for n, (line, name) in enumerate(BAD, 2):
            found = [t for t in text.splitlines() if f"waypost.conf:{n}:" in t and name in t]
            assert found, f"line {n}: {line}\n{text}"
        assert "SSLPORT" in next(t for t in text.splitlines() if "waypost.conf:2:" in t), "the nearest known name"
        assert "PROXY_TRUSTED" in text and "IMAP_PROXY" in text
    assert not os.path.exists(os.path.join(p.run, "127.0.0.1", "control")), "nothing was started"


@pytest.mark.parametrize("line,hint", [
    ('imapd = { IMAP_UMASK = 022; };', "quotes"),          # libconfig reads it as decimal
    ('imapd = { MAXDAEMONS = 4294967297; };', "MAXDAEMONS"),  # and wraps this silently
    ('imapd = { PORT = 1143;', "waypost.conf:"),           # no end
    ('imapd = { PORT 1143; };', "waypost.conf:"),
    ('@include "no-such-file.conf"', "no-such-file.conf"),
])
def test_what_libconfig_would_misread(still, line, hint):
    still.write_conf(text=line + "\n")
    for result in (daemon(still), still.nodes[0].tool("check")):
        assert result.returncode == 1
        assert hint in result.stderr + result.stdout
        assert re.search(r"waypost\.conf:1\b", result.stderr + result.stdout)


def test_no_file(still):
    os.unlink(still.conf)
    for result in (daemon(still), still.nodes[0].tool("check")):
        assert result.returncode == 1
        assert "waypost.conf" in result.stderr + result.stdout
        assert re.search("(?i)no such file", result.stderr + result.stdout)


def test_include_and_environment(still):
    """@include is relative to the including file; $${ is a literal ${; HOSTNAME always exists."""
    p = still
    text = open(p.conf).read()
    os.mkdir(os.path.join(p.root, "conf.d"))
    with open(os.path.join(p.root, "conf.d", "more.conf"), "w") as f:
        f.write(text)
    p.write_conf(text='@include "conf.d/more.conf"\nPROXY_HOSTNAME = "${HOSTNAME}";\nauthdaemonrc = { DEFAULTOPTIONS = "wbx=$${X}"; };\n'
                 if "authdaemonrc" not in text else '@include "conf.d/more.conf"\nPROXY_HOSTNAME = "${HOSTNAME}";\n')
    result = p.nodes[0].tool("check")
    assert result.returncode == 0, result.stdout + result.stderr
    p.start()
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])


def test_values_are_taken_wherever_that_reads_naturally(still):
    p = still
    p.write_conf({"LOGIN_TIMEOUT": "1m", "LOGIN_WORKERS": "1",
                  "imapd": {"PORT": str(p.imap_port), "IMAP_PROXY": True, "IMAP_APPENDLIMIT": "5G", "MAXDAEMONS": "40"},
                  "pop3d": {"POP3_PROXY": "1"}})
    assert p.nodes[0].tool("check").returncode == 0
    p.start()
    with Pop3("127.0.0.1", p.pop3_port) as c:
        c.login_ok(p.accounts["anna@example.com"])


def test_every_courier_name_is_known(still):
    """A file with Courier's own settings is accepted; settings that are ignored or replaced are reported with the reason."""
    p = still
    p.write_conf({"imapd": {"PIDFILE": "/run/courier/imapd.pid", "TCPDOPTS": "-nodnslookup", "LOGGEROPTS": "-name=imapd",
                            "IMAP_ULIMITD": 131072, "IMAP_ENHANCEDIDLE": 0, "IMAPDSTART": "YES", "IMAP_ACL": 1,
                            "IMAP_DISABLETHREADSORT": 0, "MAXPERIP": 20},
                  "pop3d": {"POP3DSTART": "YES", "POP3AUTH_ORIG": "PLAIN", "MIME_UNICODE_MESSAGE_TYPE": "message/global"}})
    result = p.nodes[0].tool("check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "TCPDOPTS" in result.stdout + result.stderr


def test_address_in_use(make_pool):
    """The port is in use: status 1 and a line that names it."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", p.imap_port))
        other.listen()
        result = daemon(p)
    assert result.returncode == 1
    assert str(p.imap_port) in result.stderr


def test_rundir_that_cannot_be_made(still):
    still.write_conf({"RUNDIR": "/proc/no/${PROXY_HOSTNAME}"})
    result = daemon(still)
    assert result.returncode == 1
    assert "/proc/no" in result.stderr


def test_version():
    for program in ("sbin/waypostd", "bin/waypost"):
        result = subprocess.run([os.path.join(pool_module.PREFIX, program), "-V"], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0 and re.search(r"\d+\.\d+", result.stdout)
    for program in ("imapd", "pop3d"):
        result = subprocess.run([os.path.join(pool_module.PREFIX, "libexec/waypost", program), "--version"], capture_output=True, text=True,
                                timeout=60)
        assert result.returncode == 0 and re.search(r"\d+\.\d+", result.stdout)


# The operator's tool on a running pool

def test_check_prints_limits(pool):
    result = pool.nodes[0].tool("check")
    assert result.returncode == 0, result.stdout + result.stderr
    for word in ("descriptor", "notify", "port"):
        assert word in (result.stdout + result.stderr).lower(), word


def landlock_line(node, argv):
    out = subprocess.run(argv, env={**node.env, "ASAN_OPTIONS": "detect_leaks=0"}, capture_output=True, text=True, timeout=60,
                         preexec_fn=node.as_user()).stdout
    lines = [line for line in out.splitlines() if line.startswith("Landlock = ")]
    assert len(lines) == 1, out
    return lines[0]


def test_check_tells_whether_session_servers_are_kept_apart(pool):
    node = pool.nodes[0]
    tool = [os.path.join(PREFIX, "bin", "waypost"), "-c", pool.conf, "check"]
    line = landlock_line(node, tool)
    assert line.endswith(": ok") == (int(line.split()[2].rstrip(",")) >= 2), line
    if shutil.which("strace") and not os.environ.get("WAYPOST_WRAPPER"):
        # A kernel without it.
        strace = ["strace", "-f", "-o", "/dev/null", "-e", "inject=landlock_create_ruleset:error=ENOSYS"]
        if subprocess.run(strace + ["true"], capture_output=True, preexec_fn=node.as_user()).returncode == 0:
            line = landlock_line(node, strace + tool)
            assert "Landlock = 0, " in line and "missing" in line and "Linux 5.19" in line


def test_check_warns_of_a_readable_userdb(make_pool):
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)
    os.chmod(p.userdb, 0o644)
    result = p.nodes[0].tool("check")
    assert "userdb" in result.stdout + result.stderr
    assert re.search("read|mode|0640", result.stdout + result.stderr)


def test_route(pool):
    node = pool.node("127.0.0.1")
    result = node.tool("route", "berta@example.com")
    assert result.returncode == 0, result.stderr
    assert "127.0.0.2" in result.stdout and str(pool.imap_port) in result.stdout
    result = node.tool("route", "anna@example.com")
    assert result.returncode == 0 and re.search("local|here|this node", result.stdout)
    result = node.tool("route", "dora@example.com")
    assert result.returncode == 0 and re.search("local|here|this node", result.stdout)
    assert node.tool("route", "nobody@example.com").returncode != 0


def test_auth(pool):
    node = pool.node("127.0.0.1")
    account = pool.accounts["berta@example.com"]
    result = node.tool("auth", account.name, input=account.password + "\n")
    assert result.returncode == 0, result.stderr
    for word in (account.home, str(account.uid), "mailhost=127.0.0.2"):
        assert word in result.stdout
    assert account.password not in result.stdout
    assert pool_module.sha(account.password)[5:] not in result.stdout
    for name, password in ((account.name, "wrong"), ("nobody@example.com", "wrong")):
        result = node.tool("auth", name, input=password + "\n")
        assert result.returncode != 0


def test_status(pool):
    node = pool.node("127.0.0.2")
    result = node.tool("status")
    assert result.returncode == 0, result.stdout + result.stderr
    result = node.tool("status", "--json")
    assert result.returncode == 0
    assert isinstance(json.loads(result.stdout), dict)


def test_what_workers_count_outlives_them(pool):
    """Neither lost nor counted twice: while an old worker finishes its sessions after a reload, when it has ended, and after a kill."""
    node, anna, berta = pool.node("127.0.0.1"), pool.accounts["anna@example.com"], pool.accounts["berta@example.com"]

    def totals():
        return {k: node.status()["counts"][k] for k in ("accepted", "logins_ok", "logins_failed")}

    def work():
        for name, password in ((anna.name, anna.password), (anna.name, "wrong"), (anna.name, anna.password)):
            with Imap("127.0.0.1", pool.imap_port) as c:
                c.login(name, password)
    before = totals()
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(berta)
        work()
        want = {"accepted": before["accepted"] + 4, "logins_ok": before["logins_ok"] + 3, "logins_failed": before["logins_failed"] + 1}
        wait_for("all are counted", lambda: totals() == want)
        old = node.pids("worker")
        assert node.tool("reload").returncode == 0
        c.ok("NOOP")
        left = wait_for("the other old ones have ended", lambda: len(set(node.pids("worker")) & set(old)) == 1 and set(node.pids("worker")) & set(old))
        assert totals() == want
        work()
        want = {"accepted": want["accepted"] + 3, "logins_ok": want["logins_ok"] + 2, "logins_failed": want["logins_failed"] + 1}
        wait_for("these, too", lambda: totals() == want)
    wait_for("the last old one has ended", lambda: not left & set(node.pids("worker")))
    assert totals() == want
    work()  # told with their last words: nobody asks before
    old = node.pids("worker")
    assert node.tool("reload").returncode == 0
    wait_for("the old ones have ended", lambda: not set(old) & set(node.pids("worker")))
    want = {"accepted": want["accepted"] + 3, "logins_ok": want["logins_ok"] + 2, "logins_failed": want["logins_failed"] + 1}
    assert totals() == want
    node.expect_dirty = True
    new = node.pids("worker")
    os.kill(new[0], signal.SIGKILL)
    wait_for("there is another", lambda: new[0] not in node.pids("worker") and len(node.pids("worker")) == len(new))
    assert totals() == want


def is_zombie(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "Z"


def test_what_a_worker_says_last_is_counted(make_pool):
    """The master is stopped meanwhile: when it goes on, the worker has ended, and what it said last is still unread."""
    anna = Account("anna@example.com")
    pool = make_pool(nodes=1, settings={"LOGIN_WORKERS": 1}, accounts=[anna])
    node = pool.nodes[0]
    old, = node.pids("worker")
    with Imap("127.0.0.1", pool.imap_port) as c:
        before = node.status()["counts"]
        assert node.tool("reload").returncode == 0
        wait_for("there is another worker", lambda: len(node.pids("worker")) == 2)
        os.kill(node.proc.pid, signal.SIGSTOP)
        try:
            c.login(anna.name, "wrong")
            c.cmd("LOGOUT")
            wait_for("the old one has ended", lambda: is_zombie(old))
        finally:
            os.kill(node.proc.pid, signal.SIGCONT)
    wait_for("it is gone", lambda: old not in node.pids("worker"))
    after = node.status()["counts"]
    assert (after["accepted"], after["logins_failed"]) == (before["accepted"], before["logins_failed"] + 1)


def test_what_authd_counts_outlives_it(pool):
    """As that of workers; what it says of now is not added up."""
    node, anna = pool.node("127.0.0.1"), pool.accounts["anna@example.com"]
    for password in (anna.password, "wrong"):
        with Imap("127.0.0.1", pool.imap_port) as c:
            c.login(anna.name, password)
    before = node.status()["counts"]
    assert before["verdicts_ok"] > 0 and before["verdicts_wrong"] > 0
    node.expect_dirty = True
    old, = node.pids("authd")
    os.kill(old, signal.SIGKILL)
    wait_for("there is another", lambda: node.pids("authd") not in ([], [old]))
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(anna)
        after = node.status()["counts"]
    assert after["verdicts_ok"] == before["verdicts_ok"] + 1 and after["verdicts_wrong"] == before["verdicts_wrong"]
    assert after["userdb_accounts"] == before["userdb_accounts"] and after["auth_workers"] == before["auth_workers"]


def test_status_of_a_node_that_is_down(make_pool):
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)
    result = p.nodes[0].tool("status")
    assert result.returncode == 2
    assert p.nodes[0].tool("who").returncode != 0


def rows(node):
    return json.loads(node.tool("who", "--json").stdout)


def test_who(pool):
    """User, protocol, client, mailhost, backend, bytes, age; local sessions too."""
    front, back = pool.node("127.0.0.1"), pool.node("127.0.0.2")
    with Imap("127.0.0.1", pool.imap_port, source="127.0.0.61") as a, Pop3("127.0.0.1", pool.pop3_port, source="127.0.0.62") as b, \
            Imap("127.0.0.1", pool.imap_port, source="127.0.0.63") as c:
        a.login_ok(pool.accounts["anna@example.com"])
        b.login_ok(pool.accounts["anna@example.com"])
        c.login_ok(pool.accounts["berta@example.com"])
        c.ok("NOOP")
        text = wait_for("three sessions", lambda: front.tool("who").stdout if front.tool("who").stdout.count("@example.com") == 3 else None)
        lines = [line for line in text.splitlines() if "@example.com" in line]
        local = next(line for line in lines if "127.0.0.61" in line)
        assert "anna@example.com" in local and re.search("(?i)imap", local) and "local" in local
        local = next(line for line in lines if "127.0.0.62" in line)
        assert re.search("(?i)pop3", local) and "local" in local
        away = next(line for line in lines if "127.0.0.63" in line)
        assert "berta@example.com" in away and "127.0.0.2" in away and str(pool.imap_port) in away
        # Local and forwarded sessions have the same format, that of the log.
        assert sorted(r["protocol"] for r in rows(front)) == ["IMAP", "IMAP", "POP3"]
        # On the owner the same session is a local one, of the same client.
        text = wait_for("the session on its owner", lambda: back.tool("who").stdout if "berta" in back.tool("who").stdout else None)
        assert "127.0.0.63" in text
    wait_for("nobody there", lambda: not rows(front) and not rows(back))


def test_kick(pool):
    """All sessions of that user end, of both protocols, local and forwarded; others stay."""
    front = pool.node("127.0.0.1")
    with Imap("127.0.0.1", pool.imap_port) as a, Pop3("127.0.0.1", pool.pop3_port) as b, Imap("127.0.0.1", pool.imap_port) as other, \
            Imap("127.0.0.1", pool.imap_port) as away:
        marks = Marks(pool)
        for c in (a, b):
            c.login_ok(pool.accounts["anna@example.com"])
        other.login_ok(pool.accounts["dora@example.com"])
        away.login_ok(pool.accounts["berta@example.com"])
        result = front.tool("kick", "anna@example.com")
        assert result.returncode == 0 and "2" in result.stdout + result.stderr
        assert a.is_closed() and b"* BYE" in a.buf
        assert b.is_closed()
        other.ok("NOOP")
        away.ok("NOOP")
        result = front.tool("kick", "berta@example.com")
        assert result.returncode == 0
        assert away.is_closed()
        other.ok("NOOP")
        wait_for("three ends by kick", lambda: marks.text(front).count("end=kick") == 3)
    front.tool("kick", "nobody@example.com")


def test_kick_and_who_of_some(pool):
    """Of a user, an address or network, or one session by its id; here and forwarded. What a word means is said, not guessed."""
    front = pool.node("127.0.0.1")
    anna, berta = pool.accounts["anna@example.com"], pool.accounts["berta@example.com"]

    def users(*args):
        return sorted(r["user"].split("@")[0] + " " + r["protocol"] for r in json.loads(front.tool("who", "--json", *args).stdout))
    with Imap("127.0.0.1", pool.imap_port, source="127.0.0.71") as a, Pop3("127.0.0.1", pool.pop3_port, source="127.0.0.72") as b, \
            Imap("127.0.0.1", pool.imap_port, source="127.0.0.72") as c, Pop3("127.0.0.1", pool.pop3_port, source="127.0.0.80") as d:
        a.login_ok(anna)
        b.login_ok(anna)
        c.login_ok(berta)
        d.login_ok(berta)
        c.ok("NOOP")
        wait_for("four sessions", lambda: len(rows(front)) == 4)
        assert users(anna.name) == ["anna IMAP", "anna POP3"] and users("127.0.0.71") == []
        assert users("--address", "127.0.0.72") == ["anna POP3", "berta IMAP"]
        assert users("--address", "127.0.0.64/28") == ["anna IMAP", "anna POP3", "berta IMAP"]
        ids = {r["user"][:4] + r["protocol"]: r["session"] for r in rows(front)}
        assert len(set(ids.values())) == 4 and users("--session", ids["bertPOP3"]) == ["berta POP3"]
        for args in (["--address", "anna@example.com"], ["--address", ""], ["--session", ""], [""], ["--address", "127.0.0.71", "--session", ids["annaIMAP"]],
                     ["anna@example.com", "--address", "127.0.0.71"], ["anna@example.com", "berta@example.com"], []):
            result = front.tool("kick", *args)
            assert result.returncode == 2 and result.stderr, (args, result)
        for args in (["127.0.0.71"], ["--session", "127.0.0.71"], ["--session", ids["annaIMAP"][:-1]], ["--address", "127.0.0.73"]):
            result = front.tool("kick", *args)
            assert result.returncode == 1 and "0 sessions ended" in result.stdout, (args, result)
        assert len(rows(front)) == 4
        assert front.tool("kick", "--session", ids["annaIMAP"]).returncode == 0
        assert a.is_closed() and b"* BYE Disconnected by the administrator." in a.buf
        assert "2 sessions ended" in front.tool("kick", "--address", "::ffff:127.0.0.72").stdout
        assert b.is_closed() and b"-ERR [SYS/TEMP]" in b.buf
        assert c.is_closed() and not c.buf  # a relay may be in the middle of something
        assert users() == ["berta POP3"]
        assert front.tool("kick", "--session", ids["bertPOP3"]).returncode == 0
        assert d.is_closed() and d.buf == b"-ERR [SYS/TEMP] Disconnected by the administrator.\r\n"  # nothing was said yet
    assert front.tool("status", "--address", "127.0.0.1").returncode == 2


def test_kick_of_a_server_that_does_not_end(pool):
    """It is killed after a while, and the answer says so; a server that ends by itself is not, and one of another user stays."""
    node = pool.node("127.0.0.1")
    with Imap("127.0.0.1", pool.imap_port) as stuck, Imap("127.0.0.1", pool.imap_port) as fine, Imap("127.0.0.1", pool.imap_port) as other:
        marks = Marks(pool)
        stuck.login_ok(pool.accounts["anna@example.com"])
        servers = node.pids("imapd")
        assert len(servers) == 1
        fine.login_ok(pool.accounts["anna@example.com"])
        other.login_ok(pool.accounts["dora@example.com"])
        os.kill(servers[0], signal.SIGSTOP)
        try:
            result = node.tool("kick", "anna@example.com")
        finally:
            if alive(servers[0]):
                os.kill(servers[0], signal.SIGCONT)
        assert result.returncode == 0 and result.stdout.startswith("2 sessions ended, 1 of them killed because "), result
        assert not alive(servers[0]) and stuck.is_closed() and fine.is_closed()
        assert b"* BYE" in fine.buf and b"* BYE" not in stuck.buf
        other.ok("NOOP")
        wait_for("both ends", lambda: marks.text(node).count("end=kick") == 2)
        assert f"(process {servers[0]}) did not end within" in marks.text(node)


@pytest.fixture
def long_search(make_pool):
    """A pool, and a session in a SEARCH that takes a minute: a large message under many names."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")])
    account = p.accounts["anna@example.com"]
    cur = os.path.join(account.maildir, "cur")
    line = b"Some text that is converted before it is searched, with =E4=F6=FC in it.\n"
    names = [os.path.join(cur, f"{1000 + i}.kick:2,") for i in range(3000)]
    with open(names[0], "wb") as f:
        f.write(b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n" + line * (4000000 // len(line)))
    chown(names[0])
    for name in names[1:]:
        os.link(names[0], name)
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(account)
        c.ok("SELECT INBOX")
        c.send(b"s SEARCH BODY zqzqzq\r\n")
        yield p, c


def test_kick_ends_a_long_search(long_search):
    """During a command that takes minutes the server notices it, and needs no kill."""
    p, c = long_search
    result = p.nodes[0].tool("kick", "anna@example.com")
    assert result.returncode == 0 and result.stdout == "1 session ended\n", result
    assert c.is_closed() and b"* BYE" in c.buf and b"* SEARCH" not in c.buf


def test_hangup_ends_a_long_search(long_search):
    """A client closes its TCP connection, of which at first only a FIN is seen."""
    p, c = long_search
    assert len(p.nodes[0].pids("imapd")) == 1
    c.sock.close()
    wait_for("the server's end", lambda: not p.nodes[0].pids("imapd"))
    wait_for("its line", lambda: "end=client" in p.nodes[0].log())


def test_drain(pool):
    """New logins are refused with a reason; open sessions continue; off ends it."""
    node = pool.node("127.0.0.3")
    with Imap(node.address, pool.imap_port) as c:
        c.login_ok(pool.accounts["carla@example.com"])
        assert node.tool("drain").returncode == 0
        try:
            assert node.tool("status").returncode == 3

            def refused(kind, port):
                with kind(node.address, port, greeting=False) as n:
                    return n.line()
            wait_for("IMAP is refused", lambda: refused(Imap, pool.imap_port).startswith(b"* BYE"))
            wait_for("POP3 is refused", lambda: refused(Pop3, pool.pop3_port).startswith(b"-ERR"))
            c.ok("NOOP")
        finally:
            assert node.tool("drain", "off").returncode == 0
    wait_for("it takes logins again", lambda: node.answers(pool.imap_port))

    def again():
        with Imap(node.address, pool.imap_port, greeting=False) as n:
            return n.line().startswith(b"* OK")
    wait_for("it takes logins again", again)
    assert node.tool("status").returncode == 0


def test_bad_commands(pool):
    node = pool.nodes[0]
    for args in (["frob"], [], ["route"], ["kick"], ["drain", "perhaps"]):
        result = node.tool(*args)
        assert result.returncode != 0 and result.stderr


def test_access_files(make_pool):
    """Who is denied is closed without a word. A changed file counts from the next reload; a wrong one is refused with its line,
    and the old rules stay."""
    p = make_pool(nodes=1, start=False, accounts=[Account("jo@example.com", mailhost="127.0.0.1")])
    node, path = p.nodes[0], os.path.join(p.root, "imapaccess")

    def write(text):
        with open(path, "w") as f:
            f.write("127.0.0.1\tallow\n" + text)
        chown(path)

    def may(kind, source):
        with kind("127.0.0.1", p.imap_port if kind is Imap else p.pop3_port, source=source, greeting=False) as c:
            greeting = c.buf if c.is_closed(0.3) else c.line()
            assert greeting == b"" or greeting.startswith((b"* OK", b"+OK"))
            return greeting != b""
    write("127.0.0\tdeny\n127.0.0.7\tallow\n")
    p.write_conf({"imapd": {"IMAPACCESSFILE": path}})
    node.start()
    mark = node.log_mark()
    assert not may(Imap, "127.0.0.66") and may(Imap, "127.0.0.7") and may(Imap, "127.0.1.1") and may(Pop3, "127.0.0.66")
    node.wait_log(r"imapd: DENIED by the access file, ip=\[::ffff:127.0.0.66\]", mark)
    assert node.status()["counts"]["clients_denied"] == 1
    write("*\tdeny\n127.0.0.66\tallow\n")
    p.write_conf({"pop3d": {"POP3ACCESSFILE": path}})
    old = node.pids("worker")
    assert node.tool("reload").returncode == 0
    wait_for("the old workers have ended", lambda: not set(old) & set(node.pids("worker")))
    for kind in (Imap, Pop3):
        assert may(kind, "127.0.0.66") and not may(kind, "127.0.0.7")
    write("*\tdeny\n127.0.0.66 permit\n")
    for r in (node.tool("reload"), node.tool("check")):
        assert r.returncode != 0
        assert re.search(r"imapd\.IMAPACCESSFILE: line 3 of \S+imapaccess: .*allow or deny", r.stdout + r.stderr), r
    assert may(Imap, "127.0.0.66") and not may(Imap, "127.0.0.7")
    os.unlink(path)
    r = node.tool("reload")
    assert r.returncode != 0 and re.search(r"imapd\.IMAPACCESSFILE: there is no \S+imapaccess; ", r.stdout + r.stderr), r
    assert not may(Imap, "127.0.0.7")


def test_limits(make_pool):
    """MAXPERIP and MAXDAEMONS: refused with a code that is not 'wrong password'; the limit is the client's. A new authd learns
    of the sessions of login workers."""
    p = make_pool(nodes=2, settings={"imapd": {"MAXPERIP": 2}, "pop3d": {"MAXDAEMONS": 2}},
                  accounts=[Account("here@example.com", mailhost="127.0.0.1"), Account("there@example.com", mailhost="127.0.0.2")])
    for name, first in (("here@example.com", 70), ("there@example.com", 80)):
        account = p.accounts[name]
        held = [Imap("127.0.0.1", p.imap_port, source=f"127.0.0.{first}").login_ok(account) for _ in range(2)]
        with Imap("127.0.0.1", p.imap_port, source=f"127.0.0.{first}") as c:
            reply = c.login(account.name, account.password)
            assert reply.status == "NO" and b"[LIMIT]" in reply.text, reply
        front = p.nodes[0]
        old = front.pids("authd")
        front.expected.append("killed by signal 9")
        os.kill(old[0], signal.SIGKILL)
        wait_for("a new authd", lambda: [pid for pid in front.pids("authd") if pid not in old])
        mark = front.log_mark()

        def refused_here():
            with Imap("127.0.0.1", p.imap_port, source=f"127.0.0.{first}") as c:
                assert not c.login(account.name, account.password).ok
            return "reason=limit reached: MAXPERIP" in front.log_since(mark)
        wait_for("its sessions are counted again", refused_here)
        # Five clients through one front: the owner counts each client, not the front.
        more = [Imap("127.0.0.1", p.imap_port, source=f"127.0.0.{first + 1 + i}").login_ok(account) for i in range(5)]
        for c in held + more:
            c.close()

        def again():
            with Imap("127.0.0.1", p.imap_port, source=f"127.0.0.{first}") as c:
                return c.login(account.name, account.password).ok
        wait_for("the place is free again", again)
    account = p.accounts["here@example.com"]
    wait_for("all are gone", lambda: "@example.com" not in p.nodes[0].tool("who").stdout)
    held = [Pop3("127.0.0.1", p.pop3_port).login_ok(account) for _ in range(2)]
    with Pop3("127.0.0.1", p.pop3_port) as c:
        answer = c.login(account.name, account.password)
        assert answer.startswith(b"-ERR [SYS/TEMP]"), "the account itself has no trouble"
    p.nodes[0].wait_log("LOGIN REFUSED, .*reason=limit reached: MAXDAEMONS")
    for c in held:
        c.close()


def test_limit_of_an_account_at_an_address(make_pool):
    """MAXPERACCOUNTIP: through another node, too, it is the client's address that counts. Everybody is told, and so is the log."""
    p = make_pool(nodes=2, settings={"imapd": {"MAXPERACCOUNTIP": 1}, "pop3d": {"MAXPERACCOUNTIP": 1, "MAXPERIP": 2}},
                  accounts=[Account(f"{who}@example.com", mailhost="127.0.0.2") for who in ("anna", "bert", "carl")])
    anna, bert, carl = p.accounts.values()
    imap = [Imap("127.0.0.1", p.imap_port, source="127.0.0.70").login_ok(anna)]
    pop3 = [Pop3("127.0.0.1", p.pop3_port, source="127.0.0.70").login_ok(anna)]
    for node in ("127.0.0.1", "127.0.0.2"):
        with Imap(node, p.imap_port, source="127.0.0.70") as c:
            reply = c.login(anna.name, anna.password)
            assert reply.status == "NO" and b"[LIMIT]" in reply.text, reply
        with Pop3(node, p.pop3_port, source="127.0.0.70") as c:
            assert c.login(anna.name, anna.password).startswith(b"-ERR [SYS/TEMP]")
    imap += [Imap("127.0.0.1", p.imap_port, source="127.0.0.70").login_ok(bert), Imap("127.0.0.1", p.imap_port, source="127.0.0.71").login_ok(anna)]
    pop3 += [Pop3("127.0.0.1", p.pop3_port, source="127.0.0.70").login_ok(bert), Pop3("127.0.0.1", p.pop3_port, source="127.0.0.71").login_ok(anna)]
    with Pop3("127.0.0.1", p.pop3_port, source="127.0.0.70") as c:
        assert c.login(carl.name, carl.password).startswith(b"-ERR [SYS/TEMP]")
    p.nodes[1].wait_log("LOGIN REFUSED, user=anna@example.com.*reason=limit reached: MAXPERACCOUNTIP")
    wait_for("the log has the other limit", lambda: "limit reached: MAXPERIP" in "".join(n.log() for n in p.nodes))
    assert not [n for n in p.nodes if "LOGIN FAILED" in n.log()]
    for c in imap + pop3:
        c.close()


def test_sessions_of_an_account_are_limited_by_its_owner(make_pool):
    """MAXPERACCOUNT: the owner counts the sessions from all nodes; a refusal has its own code, not that of a wrong password. The
    count survives authd and spawn, and falls with the sessions."""
    p = make_pool(nodes=2, settings={"imapd": {"MAXPERACCOUNT": 3}, "pop3d": {"MAXPERACCOUNT": 2}},
                  accounts=[Account("anna@example.com", mailhost="127.0.0.2"), Account("bert@example.com", mailhost="127.0.0.2")])
    account, other = p.accounts["anna@example.com"], p.accounts["bert@example.com"]

    def imap(node, who=account):
        with Imap(node, p.imap_port) as c:
            return c.login(who.name, who.password)

    held = [Imap(node, p.imap_port).login_ok(account) for node in ("127.0.0.1", "127.0.0.1", "127.0.0.2")]
    held += [Pop3(node, p.pop3_port).login_ok(account) for node in ("127.0.0.1", "127.0.0.2")]
    for node in ("127.0.0.1", "127.0.0.2"):
        reply = imap(node)
        assert reply.status == "NO" and b"[LIMIT]" in reply.text, reply
        with Pop3(node, p.pop3_port) as c:
            assert c.login(account.name, account.password).startswith(b"-ERR [IN-USE]")
    assert imap("127.0.0.1", other).ok, "another account is not concerned"
    assert "MAXPERACCOUNT" in p.nodes[1].log()
    p.nodes[1].expected.append("killed by signal 9")
    for role in ("authd", "spawn"):
        old = p.nodes[1].pids(role)
        os.kill(old[0], signal.SIGKILL)
        wait_for(f"a new {role}", lambda: [pid for pid in p.nodes[1].pids(role) if pid not in old])
        wait_for("logins go on", lambda: imap("127.0.0.2", other).ok)
        wait_for("all are counted again", lambda: b"[LIMIT]" in imap("127.0.0.2").text)
    for c in held:
        c.close()
    wait_for("the places are free again", lambda: imap("127.0.0.1").ok)
    assert not [n for n in p.nodes if "LOGIN FAILED" in n.log()]


def test_userdb_command(still):
    """scripts/userdb and userdbpw: Courier's command line; owner and mode are kept."""
    p = still
    bindir = os.path.join(pool_module.PREFIX, "bin")
    here = os.path.join(os.path.dirname(__file__), "..", "..", "scripts")

    def program(name):
        for folder in (bindir, os.path.join(pool_module.PREFIX, "sbin"), here):
            if os.path.exists(os.path.join(folder, name)):
                return os.path.join(folder, name)
        raise AssertionError(f"{name} is not installed")
    before = os.stat(p.userdb)
    hashed = subprocess.run([program("userdbpw")], input="newsecret\n", capture_output=True, text=True, timeout=60)
    assert hashed.returncode == 0 and hashed.stdout.strip(), hashed.stderr
    home = p.accounts["anna@example.com"].home
    for args, text in ((["set", f"uid={pool_module.UID}", f"gid={pool_module.GID}", f"home={home}"], None),
                       (["set", "systempw"], hashed.stdout), (["set", "options=mailhost=127.0.0.1"], None)):
        result = subprocess.run([program("userdb"), "-f", p.userdb, "new@example.com", *args], input=text, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
    after = os.stat(p.userdb)
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    p.start()
    with Imap("127.0.0.1", p.imap_port) as c:
        assert c.login("new@example.com", "newsecret").ok
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
    shown = subprocess.run([program("userdb"), "-show", "-f", p.userdb, "new@example.com"], capture_output=True, text=True, timeout=60)
    assert "mailhost=127.0.0.1" in shown.stdout
    assert subprocess.run([program("userdb"), "-f", p.userdb, "new@example.com", "del"], timeout=60).returncode == 0
    assert "new@example.com" not in open(p.userdb).read()
    assert "anna@example.com" in open(p.userdb).read()


def test_check_finds_addresses_that_this_machine_lacks(still):
    """The daemon could not listen there, so check fails as the start would; also for a port with an address of its own, and for a name."""
    p = still
    absent = "198.51.100.77"  # TEST-NET-2
    for group in ({"ADDRESS": absent}, {"ADDRESS": "0", "PORT": f"{p.imap_port},{absent}.{p.pop3_port}"}, {"ADDRESS": "2001:db8:77::1"}):
        p.write_conf({"imapd": {"ADDRESS": "${PROXY_HOSTNAME}", "PORT": p.imap_port, **group}})
        for result in (p.nodes[0].tool("check"), daemon(p)):
            assert result.returncode == 1, (group, result)
            address = "2001:db8:77::1" if "2001" in str(group) else absent
            assert address in result.stdout + result.stderr and "does not have the address" in result.stdout + result.stderr, (group, result)
    # An unused address is not a mistake: each port has its own.
    p.write_conf({"imapd": {"ADDRESS": absent, "PORT": f"127.0.0.1.{p.imap_port}"}})
    result = p.nodes[0].tool("check")
    assert result.returncode == 0 and absent not in result.stdout, result


@pytest.mark.parametrize("address", ["300.1.1.1", "10.0.1", "1.2.3.4.5", "2001:db8::1::2"])
def test_impossible_address_is_a_mistake(still, address):
    still.write_conf({"imapd": {"ADDRESS": address}})
    for result in (daemon(still), still.nodes[0].tool("check")):
        assert result.returncode == 1 and re.search(rf"waypost\.conf:\d+: imapd.ADDRESS = .{re.escape(address)}", result.stdout + result.stderr), result


def test_logins_that_the_options_refuse_are_told(make_pool):
    """By check, for all accounts and for those of the userdb; by route, with where the login would go otherwise."""
    accounts = [Account("anna@example.com"), Account("tls@example.com", options="disableinsecureimap=1"),
                Account("free@example.com", options="disableinsecurepop3=0"), Account("full@example.com", fields={"quota": "1000S"})]
    p = make_pool(nodes=1, accounts=accounts, settings={"authdaemonrc": {"DEFAULTOPTIONS": "disableinsecurepop3=1"}})
    node = p.nodes[0]
    said = node.tool("check").stdout
    assert re.search(r"warning: .*waypost\.conf:\d+: authdaemonrc\.DEFAULTOPTIONS contains disableinsecurepop3: POP3 logins of all accounts are refused", said), said
    assert "warning: 1 account (first: tls@example.com) with disableinsecureimap: such logins are refused" in said, said
    assert "warning: 1 account (first: full@example.com) with a quota, which has no effect" in said, said
    for name, refused in ("anna@example.com", ["POP3"]), ("tls@example.com", ["IMAP", "POP3"]), ("free@example.com", []):
        shown = node.tool("route", name).stdout
        assert re.findall(r"(?m)^(\w+): refused for clients without TLS", shown) == refused, shown
        with Imap("127.0.0.1", p.imap_port) as c:
            assert (c.login(name, p.accounts[name].password).status != "OK") == ("IMAP" in refused)
        with Pop3("127.0.0.1", p.pop3_port) as c:
            assert (not c.login(name, p.accounts[name].password).startswith(b"+OK")) == ("POP3" in refused)
