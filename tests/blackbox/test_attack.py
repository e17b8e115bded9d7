"""Malicious clients and peers, and exhausted machines: what must not be lost, leaked or trusted then."""
import glob
import itertools
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer
from messages import TYPES, Taken, descriptor_of
from pool import SLOW, Account, Marks, events, wait_for

LIMIT = 3


@pytest.fixture(scope="module")
def far():
    server = FakeServer("127.0.4.1", imap_peer())
    yield server
    server.close()


@pytest.fixture(scope="module")
def one(request, far):
    """One node with one worker, so that tests can stop it at a moment of their choice."""
    from conftest import shared_pool
    yield from shared_pool(request, nodes=1, accounts=[Account("far@example.com", mailhost=far.host)], settings={
        "LOGIN_WORKERS": 1, "LOGIN_TIMEOUT": LIMIT, "proxy": {"PROXY_TIMEOUT": 2, "PROXY_TRUSTED": "127.0.0.9"}})


class Stopped:
    """A process that is stopped for a while."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *exc):
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def sessions(node):
    """Sessions in authd's register."""
    counts = node.status()["counts"]
    return counts["sessions_imap"] + counts["sessions_pop3"]


def logins_work(p):
    for name in ("anna@example.com", "far@example.com"):
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(p.accounts[name])


def wait_for_logins(p):
    def again():
        try:
            logins_work(p)
            return True
        except (AssertionError, OSError):
            return False
    wait_for("logins work again", again, timeout=10 * SLOW)


@pytest.mark.parametrize("last", [b"a LOGOUT\r\n", b"a FROB\r\n" * 10, b"a LOGIN {99999+}\r\n", b"x" * 9000, b"a LOGIN x y\r\n",
                                  b"a AUTHENTICATE PLAIN\r\n*\r\n"])
def test_reset_behind_the_last_command(one, last):
    """The client is gone when its command is processed, so the reply cannot be sent."""
    worker = one.nodes[0].pids("worker")[0]
    for kind, port in ((Imap, one.imap_port), (Pop3, one.pop3_port)):
        c = kind("127.0.0.1", port)
        with Stopped(worker):
            c.send(last if kind is Imap else last.replace(b"a ", b"").replace(b"LOGOUT", b"QUIT"))
            c.abort()
    logins_work(one)
    assert one.nodes[0].pids("worker") == [worker]


def test_no_descriptor_for_a_peer_is_not_the_peers_fault(one):
    """A node that has run out of descriptors does not call its peers dead."""
    node = one.nodes[0]
    worker = node.pids("worker")[0]
    with open(f"/proc/{worker}/limits") as f:
        old = re.search(r"Max open files\s+(\d+)", f.read()).group(1)

    # Descriptors of earlier sessions would become free in a moment.
    wait_for("all earlier sessions have ended", lambda: sessions(node) == 0)

    def limit(most):
        subprocess.run(["prlimit", "--pid", str(worker), f"--nofile={most}:"], preexec_fn=node.as_user(), check=True)
    with Imap("127.0.0.1", one.imap_port) as c:
        used = {int(n) for n in os.listdir(f"/proc/{worker}/fd")}
        limit(next(n for n in itertools.count() if n not in used))
        try:
            reply = c.login("far@example.com", "secret-far@example.com")
        finally:
            limit(old)
        assert reply.text.startswith(b"NO [UNAVAILABLE]"), reply
        assert node.status()["counts"]["peers_down"] == 0
    logins_work(one)


@pytest.mark.parametrize("name", ["anna@example.com", "far@example.com"])
def test_lost_hand_overs_leave_nothing_in_the_register(one, name):
    """Logins that broke off are not counted for ever."""
    node = one.nodes[0]
    wait_for("all earlier sessions have ended", lambda: sessions(node) == 0)
    role = "spawn" if name.startswith("anna") else "worker"
    victim = node.pids(role)[0]
    node.expect_dirty = True
    conns = [Imap("127.0.0.1", one.imap_port) for _ in range(4)]
    if role == "spawn":
        with Stopped(victim):
            for c in conns:
                c.send(f"a LOGIN {name} secret-{name}\r\n")
            for c in conns[:2]:
                assert c.is_closed(LIMIT + 5 * SLOW)
            os.kill(victim, signal.SIGKILL)
    else:
        for c in conns:
            c.send(f"a LOGIN {name} secret-{name}\r\n")
        os.kill(victim, signal.SIGKILL)
    for c in conns:
        c.close()
    wait_for("a new one runs", lambda: node.pids(role) not in ([], [victim]))
    wait_for("no session is left in the register", lambda: sessions(node) == 0)
    wait_for_logins(one)


def test_ok_before_it_was_asked_for(one, far):
    """A peer accepts a login before it was sent: what was to be sent there must not get lost."""
    far.script = lambda conn: (conn.send("* OK hello\r\nL OK come in\r\n"), conn.wait_gone())
    try:
        with Imap("127.0.0.1", one.imap_port) as c:
            reply = c.login("far@example.com", "secret-far@example.com")
            assert reply.text.startswith(b"NO [UNAVAILABLE]"), reply
    finally:
        far.script = imap_peer()


def test_one_login_that_a_peer_does_not_understand(one, far):
    """... is no sign that the peer is dead."""
    far.script = imap_peer(verdict="BAD", ok="what?")
    try:
        with Imap("127.0.0.1", one.imap_port) as c:
            reply = c.login("far@example.com", "secret-far@example.com")
            assert reply.text.startswith(b"NO [UNAVAILABLE]"), reply
        assert one.nodes[0].status()["counts"]["peers_down"] == 0
    finally:
        far.script = imap_peer()


@pytest.mark.parametrize("kind", [Imap, Pop3])
def test_failure_behind_a_trusted_proxy_is_the_clients(one, kind):
    """Nobody bans the proxy for what its clients do; a client cannot shift the blame to others, however often it tries."""
    marks = Marks(one)
    node = one.nodes[0]
    for source, expected in (("127.0.0.9", "192.0.2.77"), ("127.0.0.8", "127.0.0.8")):
        with kind("127.0.0.1", one.imap_port if kind is Imap else one.pop3_port, source=source) as c:
            if kind is Imap:
                c.ok('ID ("x-originating-ip" "192.0.2.77" "x-originating-port" "99" "x-session-id" "abc")')
                c.ok('ID ("x-originating-ip" "192.0.2.78")')
                assert c.login("anna@example.com", "wrong").text.startswith(b"NO [AUTHENTICATIONFAILED]")
            else:
                for ip in "192.0.2.77", "192.0.2.78", "IPV6:2001:db8::78":
                    c.ok(f"XCLIENT ADDR={ip} PORT=99 SESSION=abc TTL=5 CLIENT-TRANSPORT=TLS")
                assert c.login("anna@example.com", "wrong").startswith(b"-ERR [AUTH]")
        wait_for("the failure is logged", lambda: f"LOGIN FAILED, user=anna@example.com, ip=[::ffff:{expected}]" in marks.text(node))
    assert marks.text(node).count("192.0.2.77") == 1 and "::78" not in marks.text(node) and "192.0.2.78" not in marks.text(node)


def pump(sock, data, rnd):
    """Sends DATA in pieces of all sizes, with pauses, then nothing more."""
    at = 0
    while at < len(data):
        n = rnd.choice([1, 2, 3, 100, 1460, 5000, 70000, 200000])
        sock.sendall(data[at:at + n])
        at += n
        if rnd.random() < 0.1:
            time.sleep(rnd.random() * 0.01)
    sock.shutdown(socket.SHUT_WR)


def drain(sock, rnd):
    """Reads everything until the end, at an uneven pace."""
    parts = []
    while True:
        data = sock.recv(rnd.choice([1, 50, 4096, 65536, 65536]))
        if not data:
            return b"".join(parts)
        parts.append(data)
        if rnd.random() < 0.02:
            time.sleep(rnd.random() * 0.01)


@pytest.mark.parametrize("seed", range(12))
def test_every_byte_both_ways_and_every_half_close(one, far, seed):
    """Both sides send at the same time, in pieces cut anywhere; each closes its direction when it is done."""
    rnd = random.Random(seed)
    there, here = (random.Random(seed + i).randbytes(rnd.choice([0, 1, 1000, 300000, 600000])) for i in (100, 200))
    got = {}

    def serve(conn):
        sock = conn.sock
        if rnd.random() < 0.3:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender = threading.Thread(target=pump, args=(sock, here, random.Random(seed + 1)))
        sender.start()
        got["there"] = conn.buf + drain(sock, random.Random(seed + 2))
        sender.join()
    far.script = imap_peer(serve)
    marks = Marks(one)
    pipelined = there[:rnd.choice([0, 0, 1, 5000])]
    try:
        with Imap("127.0.0.1", one.imap_port) as c:
            port = c.sock.getsockname()[1]
            c.send(b"t LOGIN far@example.com secret-far@example.com\r\n" + pipelined)
            assert c.finish("t").ok
            sender = threading.Thread(target=pump, args=(c.sock, there[len(pipelined):], random.Random(seed + 3)))
            sender.start()
            assert c.buf + drain(c.sock, random.Random(seed + 4)) == here
            sender.join()
        wait_for("the peer has read all", lambda: "there" in got)
        assert got["there"] == there
        end = wait_for("the end is logged", lambda: events(marks.text(), "DISCONNECTED", "far@example.com", port=port) +
                       events(marks.text(), "LOGOUT", "far@example.com", port=port))[0]
        assert int(end["rcvd"]) == len(there)
        assert 0 <= int(end["sent"]) - len(here) < 200, "the answer to LOGIN counts too"
    finally:
        far.script = imap_peer()


@pytest.mark.parametrize("role", ["worker", "authd", "spawn"])
def test_killed_among_logins(one, role):
    """Clients connect, reset and leave at any moment while a role dies: the node recovers, and nothing is left over."""
    node = one.nodes[0]
    node.expect_dirty = True
    end = time.monotonic() + 1.5 * SLOW
    seeds = itertools.count(1)

    def come_and_go(rnd):
        while time.monotonic() < end:
            name = rnd.choice(["anna@example.com", "far@example.com"])
            data = f"a CAPABILITY\r\na LOGIN {name} secret-{name}\r\nb NOOP\r\n".encode()
            try:
                with socket.create_connection(("127.0.0.1", one.imap_port), timeout=3) as s:
                    s.sendall(data[:rnd.randrange(1, 2 * len(data))])
                    time.sleep(rnd.random() * 0.05)
                    if rnd.random() < 0.5:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass
    threads = [threading.Thread(target=come_and_go, args=(random.Random(next(seeds)),)) for _ in range(4)]
    for t in threads:
        t.start()
    time.sleep(0.4)
    victim = wait_for("it is there", lambda: node.pids(role))[0]
    os.kill(victim, signal.SIGKILL)
    for t in threads:
        t.join()
    wait_for_logins(one)
    wait_for("no session is left in the register", lambda: sessions(node) == 0)
    assert not [line for line in node.log().splitlines() if "bad message" in line or "unexpected message" in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take another process's descriptors")
def test_a_worker_that_speaks_as_none_of_ours_is_ended(make_pool):
    """An attacker does not keep its sockets; its successor serves, and the sessions of other workers stay."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], settings={"LOGIN_WORKERS": 2})
    node = p.nodes[0]
    node.expect_dirty = True
    node.expected.append("bad message")
    # Messages of unknown types; a bundle of bundles.
    for role, words in (("authd", b"\xff\x7f\0\0"), ("spawn", b"\xff\xff" + b"\x02\0\0\0\xff\xff" * 32)):
        workers = wait_for("both workers are there", lambda: len(node.pids("worker")) == 2 and node.pids("worker"))
        with Taken(node, workers[0], stop=False, roles=("authd", "spawn", "master")) as t:
            t.send(role, words)
        wait_for("it is gone", lambda: workers[0] not in node.pids("worker"))
        wait_for("there is another", lambda: len(node.pids("worker")) == 2)
        assert workers[1] in node.pids("worker")
        wait_for("it serves", lambda: Imap("127.0.0.1", p.imap_port).login_ok(p.accounts["anna@example.com"]))
    wait_for("both are told", lambda: node.log().count("bad message") >= 2)
    assert node.log().count("bad message") == 2, "nobody listens to it after the first"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take another process's descriptors")
def test_a_worker_cannot_make_the_master_wait_or_talk(make_pool):
    """It claims to have missed the sockets of slots that it must not serve: nothing of that is kept or logged."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], settings={"LOGIN_WORKERS": 2})
    node = p.nodes[0]
    node.expect_dirty = True
    worker = wait_for("a worker", lambda: node.pids("worker"))[0]
    mark = node.log_mark()
    with socket.socket(fileno=descriptor_of(worker, 3)) as control:
        control.setblocking(True)
        for slot in range(2, 2002):
            control.send(struct.pack("<HHBIQ", TYPES["CTL_MISSED"], TYPES["CTL_LISTEN"], 0, slot, 0))
    wait_for("the messages are read", lambda: node.tool("status").returncode in (0, 1))
    assert node.status()["counts"].get("channels_missing", 0) <= 2
    assert len(node.log_since(mark).splitlines()) <= 5, node.log_since(mark)[:2000]


def work_of(node):
    """CPU time of all roles so far, in nanoseconds."""
    total = 0
    for role in node.status()["roles"]:
        for path in glob.glob(f"/proc/{role['pid']}/task/*/schedstat"):
            with open(path) as f:
                total += int(f.read().split()[0])
    return total


def test_time_does_not_tell_which_names_exist(make_pool):
    """Most accounts have a slow hash, one a quick one, one none: a refusal takes equally long for all of them, and for unknown
    names. Measured as work, as other programs take time, too; a wrong password that was tried before is known to be wrong."""
    slow = "$6$rounds=60000$Hq3pTzSDvLGJLG4k$" + "x" * 86
    p = make_pool(nodes=1, accounts=[Account(f"slow{i}@example.com", fields={"systempw": slow}) for i in range(3)] +
                  [Account("quick@example.com"), Account("locked@example.com", fields={"systempw": "!x"})])
    took = {}
    for n, name in enumerate(("slow1", "quick", "locked", "nobody") * 5):
        before = work_of(p.nodes[0])
        with Imap("127.0.0.1", p.imap_port) as c:
            assert c.login(name + "@example.com", f"wrong{n}").text == b"NO [AUTHENTICATIONFAILED] Login failed."
        took[name] = min(took.get(name, 10 ** 12), work_of(p.nodes[0]) - before)
    assert min(took.values()) > max(took.values()) / 3, took
