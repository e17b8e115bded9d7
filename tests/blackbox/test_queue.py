"""The queue in front of the auth workers: an address that guesses passwords delays only itself. Nothing is timed: the auth
workers are stopped while requests arrive, then the order of the answers is checked."""
import contextlib
import itertools
import os
import resource
import signal
import socket

import pytest

from client import Imap, Pop3, quoted
from pool import Account, Pool, wait_for

pytestmark = pytest.mark.once

GUESSER = "127.0.7.1"
OTHERS = ["127.0.7.2", "127.0.7.3", "127.0.7.4"]
FLOOD = 100
# crypt("secret", "$6$rounds=20000$saltsalt"): some hundredths of a second each
HASH = "$6$rounds=20000$saltsalt$DTlRcfJNtTvF/BWW9vU5W7k2kRBXLGQarqsKQfLT9o9RvZsXouY806LgiztTpAiPHMBRKmf47Jme9L73WjljW0"

# The same with rounds=1000: counts as slow, yet a thousand of them are done soon
QUICKER = "$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/"


@pytest.fixture(scope="module")
def slow_pool(request):
    """Two nodes; the first, where all accounts live, has two auth workers. All passwords have slow hashes."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    names = ["victim@example.com"] + [f"user{i}@example.com" for i in range(10)]
    accounts = [Account(n, password="secret", mailhost="127.0.0.1", fields={"systempw": HASH}) for n in names]
    accounts.append(Account("quicker@example.com", password="secret", mailhost="127.0.0.1", fields={"systempw": QUICKER}))
    with Pool(nodes=2, accounts=accounts, settings={"authdaemonrc": {"daemons": 2}}, keep=request.config.getoption("--keep")) as pool:
        yield pool


def jobs_waiting(node):
    return node.status()["counts"]["jobs_waiting"]


@contextlib.contextmanager
def workers_stopped(node):
    pids = node.pids("authworker")
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


guesses_so_far = itertools.count()


def guess(pool, node, n, name="victim@example.com"):
    """N guesses of GUESSER that wait for an answer."""
    conns = [socket.create_connection((node.address, pool.imap_port), source_address=(GUESSER, 0)) for _ in range(n)]
    for s in conns:  # never the same, because wrong passwords are cached
        s.sendall(b"g LOGIN %s guess%d\r\n" % (name.encode(), next(guesses_so_far)))
    return conns


def close_all(node, conns):
    for s in conns:
        s.close()
    # An auth worker busy with one of them would be missing in the next test.
    wait_for("nothing waits for those who are gone", lambda: jobs_waiting(node) == 0 and node.status()["counts"]["jobs_running"] == 0)


def done_before(text, ip):
    """How many guesses had failed in the log TEXT when the first login of IP was done."""
    n = 0
    for line in text.splitlines():
        if "LOGIN, " in line and f"ip=[::ffff:{ip}]" in line:
            return n
        n += "LOGIN FAILED, " in line and f"ip=[::ffff:{GUESSER}]" in line
    raise AssertionError(f"no login of {ip}:\n{text}")


def test_others_do_not_wait_for_the_flood(slow_pool):
    node = slow_pool.nodes[0]
    mark = node.log_mark()
    with workers_stopped(node):
        guesses = guess(slow_pool, node, FLOOD)
        wait_for("the guesses wait", lambda: jobs_waiting(node) == FLOOD - 1)
        logins = []
        for i, ip in enumerate(OTHERS):
            c = Imap(node.address, slow_pool.imap_port, source=ip)
            c.send(b"t LOGIN user%d@example.com secret\r\n" % i)
            logins.append(c)
            c = Pop3(node.address, slow_pool.pop3_port, source=ip)
            c.ok(b"USER user%d@example.com" % (i + 5))
            c.send(b"PASS secret\r\n")
            logins.append(c)
        # One of them has the auth worker that no single address gets.
        wait_for("the logins wait", lambda: jobs_waiting(node) == FLOOD - 2 + len(logins))
    for c in logins[::2]:
        assert c.finish("t").ok
    for c in logins[1::2]:
        assert c.line().startswith(b"+OK")
    for c in logins:
        c.close()
    for ip in OTHERS:
        node.wait_log(rf"LOGIN, .*ip=\[::ffff:{ip}\]", mark)
    # A guess was running, and one more has its turn in each round. The rest of the slack is for log latency.
    text = node.log_since(mark)
    assert all(done_before(text, ip) < FLOOD // 2 for ip in OTHERS), text
    # Nothing is dropped: the guesses are answered, too.
    for s in guesses[::9]:
        with s.makefile("rb") as f:
            assert any(b"AUTHENTICATIONFAILED" in line for line in iter(f.readline, b"")), "no answer to a guess"
    close_all(node, guesses)


def test_a_forwarded_login_counts_as_its_client(slow_pool):
    """The attacker also uses the other node; that does not delay the other clients of that node."""
    node, front = slow_pool.nodes
    mark = node.log_mark()
    with workers_stopped(node):
        guesses = guess(slow_pool, node, FLOOD)
        wait_for("the guesses wait", lambda: jobs_waiting(node) == FLOOD - 1)
        # Both come from the front's address, with an identity that it signs.
        forwarded = []
        for ip, name in (GUESSER, "victim@example.com"), (OTHERS[1], "user8@example.com"):
            c = Imap(front.address, slow_pool.imap_port, source=ip)
            c.send(b"t LOGIN " + quoted(name) + b" secret\r\n")
            forwarded.append(c)
        wait_for("one of them waits, the other has the second auth worker", lambda: jobs_waiting(node) == FLOOD)
    for c in forwarded:
        assert c.finish("t").ok
        c.close()
    for ip in OTHERS[1], GUESSER:
        node.wait_log(rf"LOGIN, .*ip=\[::ffff:{ip}\]", mark)
    text = node.log_since(mark)
    assert done_before(text, OTHERS[1]) < FLOOD // 2 < done_before(text, GUESSER), text
    close_all(node, guesses)


def test_too_many_of_one_address(slow_pool):
    """Above the limit of an address: a temporary failure, not a wrong password, logged once. Others can log in."""
    node = slow_pool.nodes[0]
    mark = node.log_mark()
    refused = node.status()["counts"]["jobs_refused"]
    with workers_stopped(node):
        guesses = guess(slow_pool, node, 1024 + 1, "quicker@example.com")
        wait_for("the bound is reached", lambda: jobs_waiting(node) == 1024)
        more = guess(slow_pool, node, 5, "quicker@example.com")
        for s in more:
            with s.makefile("rb") as f:
                answer = next(line for line in iter(f.readline, b"") if line.startswith(b"g "))
            assert answer.startswith(b"g NO [UNAVAILABLE]"), answer
        assert node.status()["counts"]["jobs_refused"] == refused + 5
        line = node.wait_log("too many logins wait for an auth worker", mark)
        assert f"for ip=[::ffff:{GUESSER}]" in line and "daemons" in line
        c = Imap(node.address, slow_pool.imap_port, source=OTHERS[0])
        c.send(b"t LOGIN user4@example.com secret\r\n")
        wait_for("the other login has the second auth worker", lambda: node.status()["counts"]["jobs_running"] == 2)
    assert c.finish("t").ok
    c.close()
    close_all(node, guesses + more)
    wait_for("the refused ones are in the log", lambda: node.log_since(mark).count("no auth worker was free") >= 5)
    text = node.log_since(mark)
    assert text.count("too many logins wait for") == 1
    lines = [line for line in text.splitlines() if "no auth worker was free" in line]
    assert len(lines) == 5 and not any("LOGIN FAILED" in line for line in lines)
