"""Reload, stop, and sudden death of each role, with open sessions of each kind."""
import ctypes
import os
import signal
import socket
import subprocess
import time

import pytest

import pool as pool_module
from client import Closed, Imap, Pop3
from pool import PATIENCE, SLOW, Account, Marks, alive, descendants, wait_for

KINDS = ("imap here", "pop3 here", "imap there", "pop3 there")


def open_session(p, kind, i):
    """A logged-in connection to node 1: of an account whose mail is there or on node 2."""
    account = p.accounts[f"{'there' if 'there' in kind else 'here'}{i % 10}@example.com"]
    if kind.startswith("imap"):
        return Imap("127.0.0.1", p.imap_port).login_ok(account)
    # A locking server would allow one POP3 session per account; ours does not lock.
    return Pop3("127.0.0.1", p.pop3_port).login_ok(account)


def works(c):
    """The session answers (True) or has ended cleanly (False)."""
    try:
        c.ok("NOOP")
        return True
    except (Closed, OSError):
        return False


def logins_work(p):
    for kind in KINDS:
        try:
            with open_session(p, kind, 0) as c:
                if not works(c):
                    return False
        except (AssertionError, OSError):
            return False
    return True


@pytest.fixture
def two(make_pool):
    return make_pool(nodes=2, settings={"LOGIN_WORKERS": 2, "proxy": {"PROXY_TIMEOUT": 3}},
                     accounts=[Account(f"here{i}@example.com", mailhost="127.0.0.1") for i in range(10)] +
                     [Account(f"there{i}@example.com", mailhost="127.0.0.2") for i in range(10)])


def fill(p, count):
    return {kind: [open_session(p, kind, i) for i in range(count)] for kind in KINDS}


def close_all(sessions):
    for conns in sessions.values():
        for c in conns:
            c.close()


def kill_one(node, role):
    pids = wait_for(f"{role} of {node} is there", lambda: node.pids(role))
    node.expect_dirty = True
    os.kill(pids[0], signal.SIGKILL)
    wait_for(f"{role} is dead", lambda: not alive(pids[0]))
    return pids


def kill_role(p, role, count):
    """Kills one process of ROLE; returns how many sessions of each kind are left; logins work again soon."""
    node = p.nodes[0]
    before = len(node.pids(role))
    sessions = fill(p, count)
    for conns in sessions.values():
        assert all(works(c) for c in conns)
    killed = time.monotonic()
    kill_one(node, role)
    wait_for("logins work again", lambda: logins_work(p), timeout=5 * SLOW)
    assert time.monotonic() - killed < 5 * SLOW
    left = {kind: sum(works(c) for c in conns) for kind, conns in sessions.items()}
    wait_for(f"as many {role} as before", lambda: len(node.pids(role)) == before)
    close_all(sessions)
    return left


def count_of(request):
    return 200 if request.config.getoption("--all") else 40


@pytest.mark.parametrize("role", ["authd", "authworker", "spawn"])
def test_kill_a_role_that_carries_no_session(two, role, request):
    """authd, its workers, spawn: neither local nor forwarded sessions notice."""
    count = count_of(request)
    left = kill_role(two, role, count)
    assert left == {kind: count for kind in KINDS}
    # Whoever runs now knows the sessions of before: who shows new ones, and stop ends all.
    with open_session(two, "imap here", 3):
        assert "here3@example.com" in two.nodes[0].tool("who").stdout


def test_kill_a_worker(two, request):
    """Sessions that run here survive; of the forwarded ones only those of that worker end."""
    count = count_of(request)
    left = kill_role(two, "worker", count)
    assert left["imap here"] == left["pop3 here"] == count
    there = left["imap there"] + left["pop3 there"]
    assert 0 < there < 2 * count, "one of two workers carried some of them, not all"


@pytest.mark.parametrize("kind", ["imapd", "pop3d"])
def test_kill_a_session_server(two, kind, request):
    """That session ends, no other."""
    count = count_of(request)
    sessions = fill(two, count)
    kill_one(two.nodes[0], kind)
    name = "imap here" if kind == "imapd" else "pop3 here"
    wait_for("one session ended", lambda: sum(works(c) for c in sessions[name]) == count - 1)
    for other in KINDS:
        assert sum(works(c) for c in sessions[other]) == count - (other == name)
    assert logins_work(two)
    close_all(sessions)


def test_kill_the_master(two, request):
    """The roles stop accepting, finish their sessions, and exit; then the node can be started again."""
    count = count_of(request)
    p, node = two, two.nodes[0]
    sessions = fill(p, count)
    below = descendants(node.proc.pid)
    node.expect_dirty = True
    node.signal(signal.SIGKILL)
    node.proc.wait()
    time.sleep(0.3)
    for kind, conns in sessions.items():
        assert sum(works(c) for c in conns) == count, kind

    def refused():
        try:
            with Imap("127.0.0.1", p.imap_port, timeout=2):
                return False
        except (OSError, Closed):
            return True
    wait_for("no new connection is taken", refused)
    close_all(sessions)
    wait_for("all its processes ended", lambda: not any(alive(pid) for pid in below))
    pool_module.reap()
    node.proc = None
    node.start()
    assert logins_work(p)


@pytest.mark.once
def test_logins_without_a_master_are_answered(make_pool):
    """They do not wait for an authd that nobody starts: the answer comes before LOGIN_TIMEOUT ends an older connection."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], settings={"LOGIN_WORKERS": 1, "LOGIN_TIMEOUT": 8})
    node = p.nodes[0]
    below, roles = descendants(node.proc.pid), {role: node.pids(role) for role in ("authd", "worker")}
    with Imap("127.0.0.1", p.imap_port) as older, Imap("127.0.0.1", p.imap_port) as c:
        node.expect_dirty = True
        node.signal(signal.SIGKILL)
        node.proc.wait()
        wait_for("authd has ended", lambda: not any(alive(pid) for pid in roles["authd"]))
        assert alive(roles["worker"][0])
        assert c.login("anna@example.com", "x").text.startswith(b"NO [UNAVAILABLE]")
        assert older.cmd("NOOP").ok
    wait_for("all its processes ended", lambda: not any(alive(pid) for pid in below))
    pool_module.reap()
    node.proc = None


def test_kill_every_role_twice(two):
    """The node recovers each time."""
    for role in ("worker", "authd", "authworker", "spawn") * 2:
        kill_one(two.nodes[0], role)
        wait_for(f"logins work after {role}", lambda: logins_work(two))


def listeners_of(pid):
    """The listening sockets of a process, as it has them."""
    call, pidfd, found = ctypes.CDLL(None, use_errno=True).syscall, os.pidfd_open(pid), []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
            continue
        ours = call(438, pidfd, int(fd), 0)  # pidfd_getfd()
        assert ours != -1, os.strerror(ctypes.get_errno())
        s = socket.socket(fileno=ours)
        if s.family in (socket.AF_INET, socket.AF_INET6) and s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.append(s)
        else:
            s.close()
    os.close(pidfd)
    return found


@pytest.mark.once
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act as the worker")
def test_a_worker_that_was_taken_over_closes_no_port_for_its_successors(make_pool):
    """It can make its sockets listen no more, and they are the master's, kept for ever."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], settings={"LOGIN_WORKERS": 1})
    p.nodes[0].expect_dirty = True
    pid, = p.nodes[0].pids("worker")
    for s in listeners_of(pid):
        s.shutdown(socket.SHUT_RD)
        s.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", p.imap_port), 5)
    os.kill(pid, signal.SIGKILL)

    def logs_in():
        try:
            with Imap("127.0.0.1", p.imap_port) as c:
                c.login_ok(p.accounts["anna@example.com"])
            return True
        except OSError:
            return False
    wait_for("its successor has clients", logs_in)


@pytest.mark.parametrize("how", ["SIGHUP", "waypost reload"])
def test_reload(two, how, request):
    """Open sessions continue; new logins get the new settings; old workers exit after their last session."""
    count = count_of(request)
    p, node = two, two.nodes[0]
    sessions = fill(p, count)
    p.write_conf({"imapd": {"IMAP_CAPABILITY": "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE XNEW"}})
    if how == "SIGHUP":
        node.signal(signal.SIGHUP)
    else:
        result = node.tool("reload")
        assert result.returncode == 0, result.stderr

    def new():
        with Imap("127.0.0.1", p.imap_port) as c:
            return b"XNEW" in c.ok("CAPABILITY").find(b"CAPABILITY")
    wait_for("new connections see the new settings", new)
    for kind, conns in sessions.items():
        assert sum(works(c) for c in conns) == count, kind
    assert logins_work(p)
    for i in range(3):
        node.signal(signal.SIGHUP)
        time.sleep(0.1)
    for kind, conns in sessions.items():
        assert sum(works(c) for c in conns) == count, kind
    close_all(sessions)
    wait_for("the old workers have left", lambda: len(node.pids("worker")) == 2)
    assert logins_work(p)


def test_reload_of_bad_settings_is_refused(two):
    p, node = two, two.nodes[0]
    good = open(p.conf).read()
    p.write_conf(text=good + 'IMAP_PROXI = 1;\nLOGIN_TIMEOUT = "soon";\n')
    mark = node.log_mark()
    result = node.tool("reload")
    assert result.returncode != 0
    assert "IMAP_PROXI" in result.stderr + result.stdout + node.log_since(mark)
    mark = node.log_mark()
    node.signal(signal.SIGHUP)
    node.wait_log("IMAP_PROXI", mark)
    node.wait_log("LOGIN_TIMEOUT", mark)
    assert logins_work(p)
    p.write_conf(text=good)
    assert node.tool("reload").returncode == 0
    assert logins_work(p)


@pytest.mark.valgrind
def test_sigterm_with_open_sessions(two, request):
    """All connections end, IMAP sessions with BYE, all processes are gone, status 0."""
    p, node = two, two.nodes[0]
    sessions = fill(p, 5)
    below = descendants(node.proc.pid)
    marks = Marks(p)
    assert node.stop() == 0
    for kind, conns in sessions.items():
        for c in conns:
            assert c.is_closed()
            if kind == "imap here":
                assert b"* BYE" in c.buf
            if kind == "imap there":
                assert b"BYE" not in c.buf, "a relay adds no byte of its own"
            c.close()
    wait_for("all processes ended", lambda: not any(alive(pid) for pid in below))
    assert marks.text(node).count("end=shutdown") >= 10, marks.text(node)
    node.start()
    assert logins_work(p)


def test_start_stop_quickly(make_pool):
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")])
    for _ in range(5):
        assert p.nodes[0].stop() == 0
        p.nodes[0].start()
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])


def test_second_daemon_is_refused(two):
    """On the same RUNDIR: status 1 and a reason; the first one is not affected."""
    node = two.nodes[0]
    with open_session(two, "imap here", 1) as c:
        result = subprocess.run([os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "-c", two.conf, "-F"], env=node.env,
                                preexec_fn=node.as_user(), capture_output=True, timeout=30 * SLOW, text=True)
        assert result.returncode == 1
        assert "run/127.0.0.1" in result.stderr, result.stderr
        assert works(c)
    assert logins_work(two)
    assert node.tool("status").returncode == 0


def test_background(make_pool):
    """Without -F it leaves the terminal once it is ready; LOG is a file; SIGTERM ends it."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)
    log = os.path.join(p.root, "file.log")
    p.write_conf({"LOG": log})
    node = p.nodes[0]
    result = subprocess.run([os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "-c", p.conf], env=node.env,
                            preexec_fn=node.as_user(), capture_output=True, timeout=30 * SLOW, text=True)
    assert result.returncode == 0, result.stderr
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
    wait_for("the login is in the file", lambda: "LOGIN, user=anna@example.com" in open(log).read())
    masters = [pid for pid in descendants(os.getpid()) if pool_module.role_of(pid) == "master" and p.conf in pool_module.cmdline(pid)]
    assert len(masters) == 1
    # The log is rotated: the file is moved away, the next line opens a new one.
    os.rename(log, log + ".1")
    os.kill(masters[0], signal.SIGHUP)
    wait_for("a new log file", lambda: os.path.exists(log))
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
    wait_for("the login is in the new file", lambda: "LOGIN, user=anna@example.com" in open(log).read())
    os.kill(masters[0], signal.SIGTERM)
    wait_for("it ended", lambda: not alive(masters[0]), PATIENCE)
    pool_module.reap()
