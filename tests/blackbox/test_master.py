"""The master and its tool: start and refusals, deaths of roles, reload, the log, the end. test_life.py tests the effects on
sessions."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import pool as pool_module
from client import Imap
from fakeserver import FakeServer, imap_peer
from pool import PATIENCE, SANITIZED, SLOW, Account, alive, descendants, free_port, wait_for

ROLES = ("worker", "authd", "authworker", "spawn")


def daemon(node, *args, background=False, timeout=30, **more):
    """Runs waypostd by hand on this node's settings; its result."""
    argv = [os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "-c", node.pool.conf, *args]
    if not background and "-V" not in args:
        argv.append("-F")
    return subprocess.run(argv, env=node.env, preexec_fn=node.as_user(), capture_output=True, timeout=timeout * SLOW,
                          text=True, stdin=subprocess.DEVNULL, cwd="/", **more)


def is_ready(node):
    assert node.proc.poll() is None, f"the node ended:\n{node.log()}"
    return node.tool("status").returncode == 0


def up(node):
    node.start(wait=False)
    wait_for(f"{node} is ready", lambda: is_ready(node), pause=0.1)
    return node


@pytest.fixture
def one(make_pool):
    """A node that was not started yet."""
    return make_pool(nodes=1, start=False, settings={"LOGIN_WORKERS": 2, "authdaemonrc": {"daemons": 2}},
                     accounts=[Account("anna@example.com")]).nodes[0]


def roles(node):
    return {r["name"]: r for r in node.status()["roles"]}


def listens(port, address="127.0.0.1"):
    """How many sockets listen there."""
    want = ":".join(["%02X%02X%02X%02X" % tuple(reversed([int(x) for x in address.split(".")])), "%04X" % port])
    with open("/proc/net/tcp") as f:
        return sum(1 for line in f if line.split()[1] == want and line.split()[3] == "0A")


# -- start

def test_version(one):
    result = daemon(one, "-V")
    assert result.returncode == 0
    assert re.match(r"waypostd \d+\.\d+", result.stdout)


def test_usage():
    for args in (["-x"], ["surplus"]):
        result = subprocess.run([os.path.join(pool_module.PREFIX, "sbin", "waypostd"), *args], capture_output=True, text=True)
        assert result.returncode == 2 and "usage:" in result.stderr


@pytest.mark.parametrize("program", ["sbin/waypostd", "bin/waypost", "bin/userdb", "bin/userdbpw", "bin/import-courier", "libexec/waypost/imapd",
                                     "libexec/waypost/pop3d"])
def test_help_is_an_answer_not_a_mistake(program):
    r = subprocess.run([os.path.join(pool_module.PREFIX, program), "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30 * SLOW)
    assert r.returncode == 0 and r.stdout.startswith("usage: ") and not r.stderr, r


def test_readmes_are_installed():
    """Files that messages and manuals refer to are installed."""
    for name in ("README.md", "README.proxy"):
        with open(os.path.join(pool_module.PREFIX, "share", "doc", "waypost", name)) as f:
            assert len(f.read()) > 1000


def test_bad_configuration(one):
    """All mistakes are listed at once, nothing is started, nothing is left."""
    one.pool.write_conf({"NO_SUCH_THING": 1, "LOGIN_WORKERS": -3, "imapd": {"PORT": "99999"}})
    for background in (False, True):
        result = daemon(one, background=background)
        assert result.returncode == 1
        for name in ("NO_SUCH_THING", "LOGIN_WORKERS", "PORT"):
            assert name in result.stderr, result.stderr
    assert not os.path.exists(os.path.join(one.pool.run, "127.0.0.1", "control"))


def test_nothing_to_serve(one):
    one.pool.write_conf({"imapd": None, "pop3d": None})
    result = daemon(one)
    assert result.returncode == 1
    assert "imapd" in result.stderr and "pop3d" in result.stderr


def test_port_is_taken(one):
    """By another program, and by another daemon of the same user, with which the kernel would share the port."""
    for option in (None, socket.SO_REUSEPORT):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if option:
                other.setsockopt(socket.SOL_SOCKET, option, 1)
            other.bind(("127.0.0.1", one.pool.imap_port))
            other.listen()
            result = daemon(one, background=True)
            assert result.returncode == 1
            assert str(one.pool.imap_port) in result.stderr and "in use" in result.stderr, result.stderr


def test_rundir_is_not_ours(one):
    folder = os.path.join(one.pool.run, "127.0.0.1")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    pool_module.chown(folder)
    result = daemon(one)
    assert result.returncode == 1
    assert folder in result.stderr and "chmod" in result.stderr, result.stderr


def test_second_daemon_names_the_first(one):
    up(one)
    for background in (False, True):
        result = daemon(one, background=background)
        assert result.returncode == 1
        assert str(one.proc.pid) in result.stderr and "127.0.0.1" in result.stderr, result.stderr
    assert is_ready(one)
    assert one.stop() == 0


def test_files_of_rundir(one):
    up(one)
    folder = os.path.join(one.pool.run, "127.0.0.1")
    assert os.stat(folder).st_mode & 0o077 == 0
    assert os.stat(os.path.join(folder, "control")).st_mode & 0o777 == 0o600
    with open(os.path.join(folder, "waypostd.lock")) as f:
        assert int(f.read()) == one.proc.pid
    assert one.stop() == 0
    assert not os.path.exists(os.path.join(folder, "control"))


def test_descriptors_do_not_leak(one):
    """A role has only its own descriptors: standard ones, the loop, control, log and its channels; no sockets of others."""
    up(one)
    master = os.readlink(f"/proc/{one.proc.pid}/fd/0")
    assert master
    for role in ("authd", "authworker", "spawn"):
        for pid in one.pids(role):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                assert "waypostd.lock" not in os.readlink(f"/proc/{pid}/fd/{fd}")
    with open("/proc/net/tcp") as f:
        inodes = {line.split()[9] for line in f if f":{one.pool.imap_port:04X} " in line}
    for role in ("authd", "authworker", "spawn"):
        for pid in one.pids(role):
            links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            assert not links & {f"socket:[{i}]" for i in inodes}
    assert one.stop() == 0


def test_systemd_is_told(one, tmp_path):
    path = os.path.join(one.pool.root, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        os.chmod(path, 0o666)
        s.settimeout(PATIENCE)

        def told(word):
            while True:
                if word in s.recv(4096).decode().splitlines():
                    return
        argv = [os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "-c", one.pool.conf, "-F"]
        proc = subprocess.Popen(argv, env={**one.env, "NOTIFY_SOCKET": path}, preexec_fn=one.as_user(), cwd="/",
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            told("READY=1")
            assert one.tool("status").returncode == 0
            proc.send_signal(signal.SIGHUP)
            told("RELOADING=1")
            told("READY=1")
            proc.send_signal(signal.SIGTERM)
            told("STOPPING=1")
            assert proc.wait(PATIENCE) == 0
        finally:
            proc.kill()
            proc.wait()


# -- deaths

@pytest.mark.parametrize("role", ROLES)
def test_a_killed_role_is_back_within_a_second(one, role):
    up(one)
    one.expect_dirty = True
    mark = one.log_mark()
    pid = one.pids(role)[0]
    count = len(one.pids(role))
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_for(f"{role} is back", lambda: len(one.pids(role)) == count and pid not in one.pids(role))
    wait_for("the node is well", lambda: is_ready(one))
    assert time.monotonic() - killed < (30 if SLOW != 1 else 10 if SANITIZED else 2)
    one.wait_log(rf"waypostd\[{one.proc.pid}\]: .*pid {pid}.* signal 9", mark)
    assert sum(r["restarts"] for r in one.status()["roles"]) == 1
    assert one.stop() == 0


def test_a_role_that_keeps_dying_is_slowed_down(one):
    up(one)
    one.expect_dirty = True
    starts = 0
    end = time.monotonic() + 2.5
    seen = set()
    while time.monotonic() < end:
        for pid in one.pids("authd"):
            if pid not in seen:
                seen.add(pid)
                starts += 1
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.02)
    # The first, its successor at once, and those after 1 s and (not yet) 2 s more.
    assert 2 <= starts <= 4
    one.wait_log("restarting it in 1 s")
    result = one.tool("status")
    assert result.returncode == 1 and "authd" in result.stdout
    wait_for("it is let live again", lambda: is_ready(one))
    assert one.stop() == 0


def test_a_hung_role_is_named_not_waited_for(one):
    up(one)
    pid = one.pids("worker")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = time.monotonic()
        result = one.tool("status")
        assert result.returncode == 1
        assert time.monotonic() - asked < 8 * SLOW
        assert f"pid {pid}" in result.stdout and "does not answer" in result.stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for("it is well again", lambda: is_ready(one))
    assert one.stop() == 0


@pytest.mark.once
def test_roles_that_do_not_answer_are_replaced(make_pool):
    """Stopped ones of each kind. authd and spawn are killed within seconds; a login worker gets a successor, and its sessions wait for it.
    Auth workers and session servers may take as long as they like. A login that waits meanwhile is served by the new authd."""
    with contextlib.closing(FakeServer("127.0.4.1", imap_peer())) as far:
        accounts = [Account("anna@example.com"), Account("far@example.com", mailhost=far.host)]
        p = make_pool(nodes=1, settings={"LOGIN_WORKERS": 2, "authdaemonrc": {"daemons": 2}}, accounts=accounts)
        node, mark = p.nodes[0], p.nodes[0].log_mark()
        node.expect_dirty = True
        here, there = (Imap("127.0.0.1", p.imap_port).login_ok(a) for a in p.accounts.values())
        old = {role: node.pids(role)[0] for role in ("authd", "spawn", "authworker", "imapd")}
        old["worker"] = max(node.pids("worker"), key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))  # it relays
        for pid in old.values():
            os.kill(pid, signal.SIGSTOP)
        node.wait_log(rf"worker \d \(pid {old['worker']}\) is stopped by a signal", mark)
        time.sleep(4)  # a login waits ten seconds for an authd, and one is replaced after nine, or later where the machine is busy
        waiting = Imap("127.0.0.1", p.imap_port)
        waiting.send("w LOGIN far@example.com secret-far@example.com\r\n")
        for role in ("authd", "spawn"):
            node.wait_log(rf"{role} \(pid {old[role]}\) is stopped by a signal and has not answered for 9 s; killing it and starting", mark)
        node.wait_log(rf"worker \d \(pid {old['worker']}\) is stopped by a signal and has not answered for 9 s; starting another one", mark)
        assert all(alive(old[role]) for role in ("worker", "authworker", "imapd"))
        os.kill(old["authworker"], signal.SIGCONT)  # the new authd may have asked it for the userdb
        for account in p.accounts.values():
            with Imap("127.0.0.1", p.imap_port) as c:
                c.login_ok(account)
                c.ok("NOOP")
        assert waiting.line().startswith(b"w OK")
        waiting.close()
        assert not alive(old["authd"]) and not alive(old["spawn"])
        counts = node.status()
        assert counts["counts"]["silent_replaced"] == 3 and any(n["name"] == "silent_replaced_last" for n in counts["notes"])
        for role in ("worker", "imapd"):
            os.kill(old[role], signal.SIGCONT)
        for c in (here, there):
            c.ok("NOOP")
            c.ok("LOGOUT")
            c.close()
        node.wait_log(rf"worker \d \(pid {old['worker']}\) answers again; it finishes its sessions", mark)
        wait_for("the old worker has finished", lambda: not alive(old["worker"]))
        assert old["authworker"] in node.pids("authworker")
        wait_for("the node is well", lambda: is_ready(node))
        assert node.stop() == 0


def turn_in_a_circle(pid):
    """The next thing that the process does is a jump to itself, for ever."""
    with open(f"/proc/{pid}/syscall") as f:
        pc = int(f.read().split()[-1], 16)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as f:
        f.seek(pc)
        f.write(b"\xeb\xfe")


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0 or os.uname().machine != "x86_64", reason="only root may change another process, and this knows one processor")
def test_roles_that_turn_in_a_circle_are_replaced(make_pool):
    """On a machine with other work they have half a minute."""
    p = make_pool(nodes=1, settings={"LOGIN_WORKERS": 2}, accounts=[Account("anna@example.com")])
    node, mark, patience = p.nodes[0], p.nodes[0].log_mark(), 3 * PATIENCE
    node.expect_dirty = True
    old = {role: node.pids(role)[0] for role in ("worker", "authd")}
    for pid in old.values():
        turn_in_a_circle(pid)
    node.wait_log(rf"authd \(pid {old['authd']}\) is busy and has not answered for \d+ s; killing it and starting", mark, patience)
    node.wait_log(rf"worker \d \(pid {old['worker']}\) is busy and has not answered for \d+ s; starting another one", mark, patience)
    wait_for("it has a successor", lambda: len(node.pids("worker")) == 3)
    for _ in range(20):
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(p.accounts["anna@example.com"])
    assert any("worker" in x and "silent" in x for x in node.status()["problems"])
    os.kill(old["worker"], signal.SIGKILL)
    wait_for("the node is well", lambda: is_ready(node))
    assert node.stop() == 0


@pytest.mark.long
def test_who_was_stopped_together_with_the_master_is_left_alone(one):
    """The machine slept, or was frozen: nobody has been silent while the master could not ask either."""
    up(one)
    before, mark = one.procs(), one.log_mark()
    roles_of = [pid for role in ROLES for pid in before[role]]
    for pid in roles_of:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)  # they are asked, once
    one.proc.send_signal(signal.SIGSTOP)
    time.sleep(15)
    one.proc.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    for pid in roles_of:
        os.kill(pid, signal.SIGCONT)
    time.sleep(10)  # enough to be killed for what is still missing
    assert one.procs() == before
    assert "has not answered" not in one.log_since(mark)
    wait_for("the node is well", lambda: is_ready(one))
    assert all(r["restarts"] == 0 for r in one.status()["roles"])
    assert one.stop() == 0


def test_roles_end_with_a_killed_master(one):
    up(one)
    one.expect_dirty = True
    below = descendants(one.proc.pid)
    one.proc.kill()
    one.proc.wait()
    one.proc = None
    wait_for("the roles have ended", lambda: not any(alive(p) for p in below))
    up(one)
    assert one.stop() == 0


# -- reload

def test_reload_by_tool_and_by_signal(one):
    up(one)
    before = one.pids("worker")
    result = one.tool("reload")
    assert result.returncode == 0, result.stderr
    wait_for("old workers have ended", lambda: not any(alive(p) for p in before))
    before = one.pids("worker")
    assert len(before) == 2
    mark = one.log_mark()
    one.signal(signal.SIGHUP)
    one.wait_log("reloaded", mark)
    wait_for("old workers have ended", lambda: not any(alive(p) for p in before))
    assert is_ready(one)
    assert all(r["restarts"] == 0 for r in one.status()["roles"])
    assert one.stop() == 0


def test_reload_with_mistakes_changes_nothing(one):
    up(one)
    before = sorted(descendants(one.proc.pid))
    one.pool.write_conf({"NO_SUCH_THING": 1, "LOGIN_WORKERS": -1})
    mark = one.log_mark()
    one.signal(signal.SIGHUP)
    one.wait_log("LOGIN_WORKERS", mark)
    one.wait_log("NO_SUCH_THING", mark)
    one.wait_log("old settings", mark)
    assert sorted(descendants(one.proc.pid)) == before
    one.pool.write_conf({"NO_SUCH_THING": None, "LOGIN_WORKERS": 2})
    assert is_ready(one)
    assert one.stop() == 0


def test_reload_opens_and_closes_ports(one):
    up(one)
    p = one.pool
    port = free_port(["127.0.0.1"])
    assert listens(p.imap_port) == 2 and listens(port) == 0
    p.write_conf({"imapd": {"PORT": f"{p.imap_port},{port}"}, "pop3d": None})
    assert one.tool("reload").returncode == 0
    assert listens(p.imap_port) == 2 and listens(port) == 2
    wait_for("the other port is closed", lambda: listens(p.pop3_port) == 0)
    assert one.stop() == 0


def test_reload_with_a_port_that_is_taken(one):
    up(one)
    p = one.pool
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        p.write_conf({"imapd": {"PORT": f"{p.imap_port},{port}"}})
        result = one.tool("reload")
        assert result.returncode == 1
        assert str(port) in result.stderr
    assert listens(p.imap_port) == 2 and listens(port) == 0
    assert is_ready(one)
    assert one.stop() == 0


@pytest.mark.parametrize("workers", (1, 4))
def test_reload_with_another_number_of_workers(one, workers):
    """No listening socket is closed: clients may be queued on it. Each has a worker that accepts from it."""
    up(one)
    p = one.pool
    p.write_conf({"LOGIN_WORKERS": workers})
    assert one.tool("reload").returncode == 0
    wait_for("as many workers as asked for", lambda: len(one.pids("worker")) == workers)
    assert listens(p.imap_port) == max(2, workers)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", p.imap_port), timeout=5 * SLOW) as s:
            assert s.recv(16).startswith(b"* OK")
    assert one.stop() == 0


def test_reload_says_what_needs_a_restart(one):
    up(one)
    one.pool.write_conf({"AUTH_USER": "somebodyelse"})
    result = one.tool("reload")
    assert result.returncode == 0
    assert "AUTH_USER" in result.stderr and "restart" in result.stderr
    assert one.stop() == 0


# -- the tool

def test_status(one):
    up(one)
    result = one.tool("status")
    assert result.returncode == 0
    for word in ("127.0.0.1", "well", "worker 0", "worker 1", "authd", "auth-worker 0", "spawn", str(one.proc.pid)):
        assert word in result.stdout, result.stdout
    data = json.loads(one.tool("status", "--json").stdout)
    assert data["node"] == "127.0.0.1" and data["pid"] == one.proc.pid and data["state"] == "well"
    assert {r["name"] for r in data["roles"]} == {"worker 0", "worker 1", "authd", "auth-worker 0", "auth-worker 1", "spawn"}
    assert one.stop() == 0


def test_what_status_counts_is_explained(one):
    up(one)
    data = one.status()
    with open(os.path.join(pool_module.PREFIX, "share/man/man1/waypost.1")) as f:
        page = f.read()
    names = [*data["counts"], *(n["name"].removesuffix("_list") for n in data["notes"] if n["name"] != "userdb")]
    assert len(names) > 40
    assert [n for n in names if not re.search(rf"\b{n}\b", page)] == []
    assert one.stop() == 0


def test_no_daemon(one):
    for command in (["status"], ["who"], ["kick", "x"], ["reload"], ["drain"]):
        result = one.tool(*command)
        assert result.returncode == 2
        assert os.path.join(one.pool.run, "127.0.0.1", "control") in result.stderr


def test_drain(one):
    up(one)
    assert one.tool("drain").returncode == 0
    assert one.tool("status").returncode == 3
    assert one.status()["draining"] is True
    assert "on" in one.tool("drain", "status").stdout
    assert one.tool("reload").returncode == 0
    assert one.tool("status").returncode == 3
    assert one.tool("drain", "off").returncode == 0
    assert one.tool("status").returncode == 0
    assert one.stop() == 0


def test_who_and_kick_of_nobody(one):
    up(one)
    assert one.tool("who").stdout.startswith("USER")
    assert json.loads(one.tool("who", "--json").stdout) == []
    result = one.tool("kick", "nobody@example.com")
    assert result.returncode == 1 and "0 sessions" in result.stdout + result.stderr
    assert one.stop() == 0


def test_tool_usage(one):
    for args in ([], ["no-such-command"], ["kick"], ["status", "surplus"], ["drain", "perhaps"]):
        assert one.tool(*args).returncode == 2


def test_nonsense_on_the_control_socket(one):
    """Whoever can open it is trusted, but an error must not end the node."""
    up(one)
    path = os.path.join(one.pool.run, "127.0.0.1", "control")
    for data in (b"", b"x", b"\0" * 70, b"\xa0\0" + b"\xff" * 300, os.urandom(4000)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(path)
            s.send(data)
            s.settimeout(5 * SLOW)
            s.recv(65536)
    assert is_ready(one)
    assert one.stop() == 0


# -- the log

def test_log_lines_are_syslog_lines(one):
    up(one)
    for line in one.log().splitlines():
        assert re.match(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ ((imapd|pop3d)|\w+\[\d+\]): |/|\w+\.conf", line), line
    assert one.stop() == 0


def background(node):
    """Starts the node without -F; its master's pid, and what was said on stderr."""
    result = daemon(node, background=True)
    assert result.returncode == 0, result.stderr
    with open(os.path.join(node.pool.run, "127.0.0.1", "waypostd.lock")) as f:
        return int(f.read()), result.stderr


def end(pid):
    below = descendants(pid)
    os.kill(pid, signal.SIGTERM)
    wait_for("the daemon has ended", lambda: not alive(pid))
    assert not any(alive(p) for p in below)


def test_background_and_log_rotation(one):
    log = os.path.join(one.pool.root, "node.log")
    one.pool.write_conf({"LOG": log})
    pid, _ = background(one)
    try:
        assert one.tool("status").returncode == 0  # it worked when the terminal was let go
        with open(log) as f:
            assert "ready" in f.read()
        assert os.getpgid(pid) == pid
        for fd in (0, 1, 2):
            assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
        os.rename(log, log + ".1")
        os.kill(pid, signal.SIGUSR1)
        wait_for("a new file", lambda: os.path.exists(log))
        assert one.tool("drain", "on").returncode == 0
        wait_for("lines in the new file", lambda: "draining" in open(log).read())
    finally:
        end(pid)
    assert "stopped" in open(log).read()


def test_full_disk_does_not_stop_the_node(one):
    one.pool.write_conf({"LOG": "/dev/full"})
    pid, said = background(one)
    try:
        assert said.count("/dev/full") == 1 and "No space" in said, said
        assert one.tool("drain", "on").returncode == 0
        status = one.tool("status")
        assert status.returncode == 1 and "log_lines_lost" in status.stdout, status.stdout  # degraded, but it serves
    finally:
        end(pid)


def test_log_that_cannot_be_opened(one):
    one.pool.write_conf({"LOG": "/nonexistent/folder/log"})
    result = daemon(one, background=True)
    assert result.returncode == 1 and "/nonexistent/folder/log" in result.stderr


@pytest.mark.skipif(not shutil.which("fail2ban-regex"), reason="fail2ban is not installed")
@pytest.mark.parametrize("line, found", (
    ("{} node imapd: LOGIN FAILED, user=x, ip=[::ffff:192.0.2.4], port=[555]", True),
    ("{} node pop3d: LOGIN FAILED, user=x@example.com, ip=[2001:db8::7], port=[555]", True),
    ("{} node imapd: LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.4], port=[555]", True),
    ("{} node imapd: LOGIN, user=x, ip=[::ffff:192.0.2.4], port=[555], protocol=IMAP", False),
))
def test_fail2ban_reads_our_form(tmp_path, line, found):
    log = tmp_path / "mail.log"
    log.write_text(line.format(time.strftime("%b %e %H:%M:%S")) + "\n")
    result = subprocess.run(["fail2ban-regex", str(log), "courier-auth"], capture_output=True, text=True, timeout=60)
    assert f"{1 if found else 0} matched" in result.stdout, result.stdout


# -- end

@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_nothing_is_left(one, number):
    up(one)
    below = descendants(one.proc.pid)
    assert len(below) == 6
    began = time.monotonic()
    assert one.stop(number) == 0
    assert time.monotonic() - began < 5 * SLOW
    assert not any(alive(p) for p in below)


def test_a_role_that_hangs_is_killed_at_the_end(one):
    up(one)
    one.expect_dirty = True
    pid = one.pids("authd")[0]
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < PATIENCE
    assert not alive(pid)


def test_stop_by_the_tool(one):
    up(one)
    below = descendants(one.proc.pid)
    assert one.tool("stop").returncode == 0
    wait_for("it has ended", lambda: one.proc.poll() is not None)
    assert one.proc.returncode == 0
    assert not any(alive(p) for p in below)


@pytest.mark.long
def test_the_tool_does_not_wait_for_a_master_that_is_stopped(make_pool):
    """Monitoring would hang with it."""
    node = make_pool(nodes=1, accounts=[Account("a@example.com")]).nodes[0]
    os.kill(node.proc.pid, signal.SIGSTOP)
    try:
        r = node.tool("status")
    finally:
        os.kill(node.proc.pid, signal.SIGCONT)
    assert r.returncode == 2 and f"the daemon (pid {node.proc.pid}) has not answered for 15 s" in r.stderr and "kill -CONT" in r.stderr, r
    assert node.tool("status").returncode == 0
