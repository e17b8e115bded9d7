"""Clients and peers that mean harm, and moments at which the machine has nothing left to give: what may not
be lost, leaked or believed then."""
import os
import re
import signal
import subprocess

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer
from pool import SLOW, Account, Marks, wait_for

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
    """A process that does nothing for a while."""

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


@pytest.mark.parametrize("last", [b"a LOGOUT\r\n", b"a FROB\r\n" * 10, b"a LOGIN {99999+}\r\n", b"x" * 9000, b"a LOGIN x y\r\n",
                                  b"a AUTHENTICATE PLAIN\r\n*\r\n"])
def test_reset_behind_the_last_command(one, last):
    """The answer cannot be sent any more when the command is looked at."""
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

    def limit(most):
        subprocess.run(["prlimit", "--pid", str(worker), f"--nofile={most}:"], preexec_fn=node.as_user(), check=True)
    with Imap("127.0.0.1", one.imap_port) as c:
        used = max(int(n) for n in os.listdir(f"/proc/{worker}/fd")) + 1
        limit(used)
        try:
            reply = c.login("far@example.com", "secret-far@example.com")
        finally:
            limit(old)
        assert reply.text.startswith(b"NO [UNAVAILABLE]"), reply
        assert node.status()["counts"]["peers_down"] == 0
    logins_work(one)


@pytest.mark.parametrize("name", ["anna@example.com", "far@example.com"])
def test_lost_hand_overs_leave_nothing_in_the_register(one, name):
    """Logins that ended in the middle are not counted for ever."""
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

    def again():
        try:
            logins_work(one)
            return True
        except (AssertionError, OSError):
            return False
    wait_for("logins work again", again, timeout=10 * SLOW)


def test_ok_before_it_was_asked_for(one, far):
    """A peer that accepts a login which it was not even told: what was to be sent there must not get lost."""
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


def test_failure_behind_a_trusted_proxy_is_the_clients(one):
    """Nobody bans the proxy for what its clients do; a client cannot put the blame on others."""
    marks = Marks(one)
    node = one.nodes[0]
    for source, expected in (("127.0.0.9", "192.0.2.77"), ("127.0.0.8", "127.0.0.8")):
        with Imap("127.0.0.1", one.imap_port, source=source) as c:
            c.ok('ID ("x-originating-ip" "192.0.2.77" "x-originating-port" "99" "x-session-id" "abc")')
            assert c.login("anna@example.com", "wrong").text.startswith(b"NO [AUTHENTICATIONFAILED]")
        wait_for("the failure is logged", lambda: f"LOGIN FAILED, user=anna@example.com, ip=[::ffff:{expected}]" in marks.text(node))
    assert marks.text(node).count("192.0.2.77") == 1
