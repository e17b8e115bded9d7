"""Processes that run out of descriptors, and worker slots without a worker: clients are answered at once, pending logins
continue, `waypost status` reports it, and afterwards all is well again."""
import contextlib
import itertools
import os
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer
from pool import SLOW, Account, chown, wait_for

pytestmark = pytest.mark.once

QUICK = 2.5 * SLOW  # seconds: "at once", on a busy machine


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def limit(node, pid, most):
    """Sets the soft limit of open files of a process; the hard one stays."""
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={most}:"], preexec_fn=node.as_user(), check=True)


def old_limit(pid):
    with open(f"/proc/{pid}/limits") as f:
        return int(re.search(r"Max open files\s+(\d+)", f.read()).group(1))


@contextlib.contextmanager
def limited(node, pid, most):
    before = old_limit(pid)
    limit(node, pid, most)
    try:
        yield
    finally:
        limit(node, pid, before)


@contextlib.contextmanager
def held(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def share_of_cpu(pid, seconds=2.5):
    """The share of one processor that a process uses while it should be idle."""
    def used():
        with open(f"/proc/{pid}/stat") as f:
            return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
    before, start = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)


def greeting(port, timeout=QUICK, **more):
    """(connection, first line): every client gets a greeting in time."""
    c = Imap("127.0.0.1", port, greeting=False, timeout=timeout, **more)
    return c, c.line()


def greetings(port, n, timeout=QUICK):
    conns = [greeting(port, timeout) for _ in range(n)]
    return [c for c, _ in conns], [line for _, line in conns]


def close_all(conns):
    for c in conns:
        c.close()


def problems(node):
    return " ".join(node.status()["problems"])


def is_well(node):
    return node.tool("status").returncode == 0


def make(make_pool, workers, **settings):
    accounts = [Account("anna@example.com", mailhost="127.0.0.1"), Account("far@example.com", mailhost="127.0.0.9")]
    p = make_pool(nodes=1, settings={"LOGIN_WORKERS": workers, **settings}, accounts=accounts)
    return p, p.nodes[0]


@pytest.fixture
def three(make_pool):
    return make(make_pool, 3)


@pytest.fixture
def single(make_pool):
    return make(make_pool, 1)


def fill(node, worker, room):
    """Leaves the worker room for about ROOM more descriptors, 16 of which are its own reserve; waits until it has noticed."""
    limit(node, worker, open_files(worker) + 16 + room)
    time.sleep(1.2)  # it checks once a second


def test_nobody_waits_at_a_full_worker(three):
    """While other workers have room, each of many clients is greeted at once and can log in."""
    p, node = three
    full = node.pids("worker")[0]
    mark = node.log_mark()
    before = old_limit(full)
    fill(node, full, 6)
    conns, lines = greetings(p.imap_port, 60)
    assert all(line.startswith(b"* OK") for line in lines), lines
    assert "descriptors" in problems(node) and not is_well(node)
    more, lines = greetings(p.imap_port, 60)
    assert all(line.startswith(b"* OK") for line in lines), lines
    assert open_files(full) < 40
    for c in (conns + more)[::10]:
        c.login_ok(p.accounts["anna@example.com"])
    node.wait_log("not accepting clients: ", mark)
    assert node.log_since(mark).count("not accepting clients: ") == 1
    limit(node, full, before)
    close_all(conns + more)
    wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)
    node.wait_log("accepting clients again after 1 pause; ", mark)


def gone_of(conns):
    """Those that were closed: refused, or displaced later. All were told."""
    gone = [c for c in conns if c.is_closed(0.02)]
    assert all(b"* BYE [UNAVAILABLE]" in c.buf or c.first.startswith(b"* BYE [UNAVAILABLE]") for c in gone)
    return gone


def crowd(port, n, **more):
    """N clients one after the other; each gets its first line at once."""
    conns = []
    for _ in range(n):
        c, line = greeting(port, **more)
        c.first = line
        conns.append(c)
    return conns


def test_a_full_node_says_so_at_once(three):
    """All workers are full: of clients from one address the last ones are told, by IMAP and by POP3, or take the place of one that
    has had its time to log in; the others continue."""
    p, node = three
    workers = node.pids("worker")
    mark = node.log_mark()
    before = old_limit(workers[0])
    for w in workers:
        limit(node, w, open_files(w) + 16 + 12)
    time.sleep(1.2)
    conns = crowd(p.imap_port, 80)
    gone = gone_of(conns)
    assert 30 < len(gone) < 80
    with socket.create_connection(("127.0.0.1", p.pop3_port), timeout=QUICK) as s:
        assert s.recv(100).startswith((b"-ERR [SYS/TEMP]", b"+OK"))
    counts = node.status()["counts"]
    assert counts["workers_full"] == 3 and counts["clients_refused"] + counts["strangers_closed"] >= len(gone)
    gone = gone_of(conns)
    rest = [c for c in conns if c not in gone]
    assert len(rest) >= 4
    for c in rest:
        c.login_ok(p.accounts["anna@example.com"])
    assert node.log_since(mark).count("not accepting clients: ") <= 3
    for w in workers:
        limit(node, w, before)
    close_all(conns)
    time.sleep(1.2)  # a worker looks at its limit each second, as above
    wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)
    node.wait_log(r"accepting clients again after \d+ pauses?; \d+ clients", mark)
    some, lines = greetings(p.imap_port, 20)
    assert all(line.startswith(b"* OK") for line in lines)
    close_all(some)


def test_logins_that_have_begun_get_their_peers(single):
    """The last descriptors are for them: none fails with [UNAVAILABLE] because another client took one."""
    p, node = single
    peer = FakeServer("127.0.0.9", imap_peer(), p.imap_port)
    try:
        worker = node.pids("worker")[0]
        fill(node, worker, 24)
        conns = crowd(p.imap_port, 60)
        gone = gone_of(conns)
        taken = [c for c in conns if c not in gone]
        assert 4 <= len(taken) <= 14, len(taken)
        for c in taken:
            c.login_ok(p.accounts["far@example.com"])
        assert len(peer.conns) == len(taken)
        more = crowd(p.imap_port, 20)  # there is nobody who could give way to them
        assert len(gone_of(more)) >= 15
        for c in taken:
            c.ok("NOOP")
        close_all(conns + more)
    finally:
        peer.close()


def test_an_address_that_fills_the_table_keeps_nobody_out(single):
    """Its oldest connection gives way to each client of another one; those are never displaced by more of the first."""
    p, node = single
    mark = node.log_mark()
    fill(node, node.pids("worker")[0], 24)
    silent = crowd(p.imap_port, 60)
    before = len(gone_of(silent))
    others = crowd(p.imap_port, 3, source="127.0.0.77")
    assert all(c.first.startswith(b"* OK") for c in others)
    assert len(gone_of(silent)) >= before + 3
    silent += crowd(p.imap_port, 40)
    for c in others:
        c.login_ok(p.accounts["anna@example.com"])
    for _ in range(10):
        c = crowd(p.imap_port, 1, source="127.0.0.77")[0]
        c.login_ok(p.accounts["anna@example.com"])
        c.close()
    node.wait_log(r"descriptors are short: of \d+ clients that have not logged in the oldest of \[127.0.0.1\], which has \d+, is closed",
                  mark)
    assert node.status()["counts"]["strangers_closed"] >= 3
    close_all(silent + others)


def test_logins_that_are_delayed_give_way(make_pool):
    """The owner of an account that was guessed at keeps nobody out with logins whose right password has to wait."""
    p, node = make(make_pool, 1, LOGIN_FAIL_DELAY=2)
    anna = p.accounts["anna@example.com"]
    mark = node.log_mark()
    guesses = crowd(p.imap_port, 30, source="127.0.0.66")
    for i, c in enumerate(guesses):
        c.send(f"a LOGIN {anna.name} no{i}\r\n")
    wait_for("the guesses", lambda: node.log_since(mark).count("LOGIN FAILED") == 30)
    close_all(guesses)
    fill(node, node.pids("worker")[0], 24)
    delayed = []
    for _ in range(20):
        delayed += crowd(p.imap_port, 1, source="127.0.0.66")
        if delayed[-1].first.startswith(b"* OK"):
            delayed[-1].send(f"a LOGIN {anna.name} {anna.password}\r\n")
    mark = node.log_mark()

    def gets_in():
        c = crowd(p.imap_port, 1, source="127.0.0.77")[0]
        c.close()
        return c.first.startswith(b"* OK")

    wait_for("a client of another address", gets_in, timeout=8)
    assert "LOGIN, " not in node.log_since(mark)  # they wait longer
    close_all(delayed)


@pytest.mark.once
def test_two_thousand_silent_connections_harm_nobody(single):
    """From one address: it has its share, the oldest beyond it are closed, and everybody logs in, there and elsewhere."""
    p, node = single
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    silent = []
    for _ in range(10):
        silent += [socket.create_connection(("127.0.0.1", p.imap_port), timeout=QUICK) for _ in range(200)]
        for source in ("127.0.0.1", "127.0.0.77"):
            with Imap("127.0.0.1", p.imap_port, source=source, timeout=QUICK) as c:
                c.login_ok(p.accounts["anna@example.com"])
    counts = node.status()["counts"]
    assert counts["clients_refused"] == 0 and counts["logging_in"] <= 1001
    assert 1000 <= counts["strangers_closed"] <= 1010
    assert silent[0].recv(1000).startswith(b"* OK") and is_well(node)
    for s in silent:
        s.close()


def test_a_worker_without_any_descriptor_neither_spins_nor_floods(single):
    """Its limit is below what it has open: even the reserve does not help."""
    p, node = single
    worker = node.pids("worker")[0]
    mark = node.log_mark()

    with limited(node, worker, 4):
        conns = [socket.create_connection(("127.0.0.1", p.imap_port)) for _ in range(20)]
        assert share_of_cpu(worker) < 0.3
        assert node.log_since(mark).count("\n") < 20
        assert "descriptors" in problems(node)
    for s in conns:
        s.close()
    wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)
    conns, lines = greetings(p.imap_port, 5)
    assert all(line.startswith(b"* OK") for line in lines)
    close_all(conns)


def test_a_held_workers_clients_are_taken_by_another(three):
    p, node = three
    victim = node.pids("worker")[0]
    with held(victim):
        wait_for("the master has seen it", lambda: "held" in problems(node), timeout=25 * SLOW)
        conns, lines = greetings(p.imap_port, 40)
        assert all(line.startswith(b"* OK") for line in lines)
        close_all(conns)
    wait_for("the node is well", lambda: is_well(node))
    conns, lines = greetings(p.imap_port, 40)
    assert all(line.startswith(b"* OK") for line in lines)
    close_all(conns)


def test_a_slot_whose_worker_keeps_dying_is_served(three):
    """Also in the seconds before the worker is restarted; then its sockets are given back."""
    p, node = three
    node.expect_dirty = True
    mark = node.log_mark()

    def slot0():
        return next(r["pid"] for r in node.status()["roles"] if r["name"] == "worker 0")
    for _ in range(4):
        pid = wait_for("worker 0 runs", slot0)
        os.kill(pid, signal.SIGKILL)
        conns, lines = greetings(p.imap_port, 30)
        assert all(line.startswith(b"* OK") for line in lines)
        close_all(conns)
    node.wait_log(r"worker 0 keeps dying; restarting it in \d s", mark)
    back = wait_for("worker 0 is back", slot0, timeout=30 * SLOW)
    wait_for("the node is well", lambda: is_well(node))
    others = [w for w in node.pids("worker") if w != back]
    # The helpers have returned its sockets: as many as at the start.
    wait_for("nothing is lent", lambda: len({open_files(w) for w in others + [back]}) == 1, timeout=25 * SLOW)
    with held(*others):
        conns, _ = greetings(p.imap_port, 1)
        close_all(conns)


def test_reload_beside_a_full_and_a_dying_worker(three):
    """The new workers take over; lent sockets go with the old ones."""
    p, node = three
    workers = node.pids("worker")
    fill(node, workers[1], 0)
    conns, lines = greetings(p.imap_port, 30)
    p.write_conf({"LOGIN_WORKERS": 2})
    assert node.tool("reload").returncode == 0
    more, lines2 = greetings(p.imap_port, 30)
    assert all(line.startswith(b"* OK") for line in lines + lines2)
    close_all(conns + more)
    wait_for("the old ones have ended", lambda: not set(node.pids("worker")) & set(workers))
    wait_for("the node is well", lambda: is_well(node))


@pytest.mark.parametrize("role", ["worker", "authd", "spawn", "authworker"])
def test_a_channel_that_did_not_arrive_is_made_again(single, role):
    """A neighbour is restarted while ROLE has no descriptor for the channel to it. Status reports it; later all is well."""
    p, node = single
    node.expect_dirty = True
    mark = node.log_mark()
    other = "spawn" if role in ("worker", "authd") else "authd"
    pids = node.pids(role)
    before = old_limit(pids[0])
    for pid in pids:
        limit(node, pid, 4)
    os.kill(node.pids(other)[0], signal.SIGKILL)
    node.wait_log("lacks a channel", mark)
    wait_for("status tells", lambda: "channel" in problems(node), timeout=25 * SLOW)
    for pid in pids:
        limit(node, pid, before)
    wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)
    node.wait_log(r"has a channel now", mark)
    for _ in range(6):
        with Imap("127.0.0.1", p.imap_port) as c, Pop3("127.0.0.1", p.pop3_port) as d:
            c.login_ok(p.accounts["anna@example.com"])
            d.login_ok(p.accounts["anna@example.com"])
    assert node.log_since(mark).count("lacks a channel") <= 2 * len(pids)


def test_new_settings_that_did_not_arrive_are_sent_again(single):
    """A reload while authd has no descriptor for them: it has the old ones for so long, and then the new ones."""
    p, node = single
    mark = node.log_mark()
    authd = node.pids("authd")[0]
    other = os.path.join(p.root, "userdb2")
    with open(other, "w") as f:
        f.write(p.accounts["anna@example.com"].line().replace("anna@", "nora@", 1))
    chown(other)
    p.write_conf({"authuserdb": {"USERDB": other}})
    with limited(node, authd, 4):
        node.tool("reload")
        node.wait_log(r"authd \(pid \d+\) lacks the new settings", mark)
    node.wait_log(r"authd \(pid \d+\) has the new settings now", mark)

    def nora():
        with Imap("127.0.0.1", p.imap_port) as c:
            return c.login("nora@example.com", "secret-anna@example.com").ok
    wait_for("the new userdb is used", nora, timeout=25 * SLOW, pause=0.3)
    wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)


def test_lent_sockets_that_did_not_arrive_go_to_another(three):
    """The worker that is lent the sockets of a stopped one may have no descriptors for them."""
    p, node = three
    a, b, c = node.pids("worker")
    start = node.log_mark()
    for short in (a, c):
        mark = node.log_mark()
        with limited(node, short, 4), held(b):
            # The sockets are lent before any worker reports that it is full.
            node.wait_log(r"is stopped by a signal", mark)
            conns, lines = greetings(p.imap_port, 20, 5 * SLOW)
            assert all(line.startswith(b"* OK") for line in lines), lines
            close_all(conns)
        wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)
    node.wait_log("lacks listening sockets", start)


@pytest.mark.parametrize("role", ["spawn", "authd", "authworker"])
def test_a_shortage_elsewhere_is_told_and_passes(single, role):
    """Logins may fail meanwhile, but never as wrong passwords; status reports what affects clients."""
    p, node = single
    before = {pid: old_limit(pid) for pid in node.pids(role)}
    mark = node.log_mark()
    for pid in before:
        limit(node, pid, 4)
    for _ in range(3):
        with Imap("127.0.0.1", p.imap_port) as c:
            reply = c.login("anna@example.com", "secret-anna@example.com")
            assert reply.ok or reply.text.startswith(b"NO [UNAVAILABLE]"), reply
            if role == "spawn":
                assert not reply.ok and "descriptors" in problems(node)
    for pid, most in before.items():
        limit(node, pid, most)
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
    assert "LOGIN FAILED" not in node.log_since(mark)
    if role == "spawn":
        # Said once in a while, however many logins meet it.
        assert len(re.findall(r"lost the client that login worker \d+ handed over because descriptors ran out", node.log_since(mark))) <= 1
        assert "handed over because descriptors ran out; raise LimitNOFILE" in node.log()
    wait_for("the node is well", lambda: is_well(node), timeout=25 * SLOW)


def test_a_master_without_descriptors_neither_spins_nor_loses_a_role(single):
    """A role that cannot be started is started when there is room again."""
    p, node = single
    node.expect_dirty = True
    master = node.proc.pid
    mark = node.log_mark()
    used = {int(n) for n in os.listdir(f"/proc/{master}/fd")}
    with limited(node, master, next(n for n in itertools.count() if n not in used)):
        os.kill(node.pids("spawn")[0], signal.SIGKILL)
        node.wait_log("cannot start spawn", mark)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s2:
            s.connect(control_of(p, node))
            s2.connect(control_of(p, node))
            assert share_of_cpu(master) < 0.3
        assert "spawn is down" in problems(node)  # the tool is still accepted
    wait_for("the node is well", lambda: is_well(node), timeout=40 * SLOW)
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])


@pytest.mark.parametrize("room", [0, 6])
def test_a_reload_with_too_few_descriptors_leaves_a_node_that_serves(single, room):
    """No descriptor to read the file; or those for the sockets of a new role, but none for its settings."""
    p, node = single
    master = node.proc.pid
    used = {int(n) for n in os.listdir(f"/proc/{master}/fd")}
    free = (n for n in itertools.count() if n not in used)
    mark = node.log_mark()
    with limited(node, master, next(itertools.islice(free, room, None))):
        os.kill(master, signal.SIGHUP)
        node.wait_log("cannot start worker" if room else "Too many open files", mark)
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(p.accounts["anna@example.com"])
    wait_for("the node is well", lambda: is_well(node), timeout=40 * SLOW)
    assert node.proc.poll() is None


def control_of(p, node):
    return os.path.join(p.settings["RUNDIR"].replace("${PROXY_HOSTNAME}", node.address), "control")
