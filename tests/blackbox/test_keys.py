"""The life of key processes: who begins a handshake gets its end, whatever happens to them and to the settings meanwhile."""
import concurrent.futures
import os
import signal
import socket

import pytest

from certificates import TlsEnd, context, install, make_pem
from pool import PATIENCE, Account, Pool, free_port, render, wait_for

ANNA = "anna@example.com"


@pytest.fixture
def pool(request):
    p = Pool(nodes=1, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 4, "LOGIN_TIMEOUT": 120, "imapd": {"MAXPERIP": 0}},
             accounts=[Account(ANNA)])
    p.tls_port = free_port(p.addresses)
    install(p, make_pem(p.root, "first.example", "ec"))
    p.write_conf({"imapd-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": p.tls_port, "TLS_CERTFILE": os.path.join(p.root, "pool.pem")}})
    p.start()
    yield p
    p.close()


class Half(TlsEnd):
    """A client of which the worker has got a part of the first message."""

    def __init__(self, pool):
        super().__init__(socket.create_connection((pool.addresses[0], pool.tls_port), timeout=PATIENCE), context())
        self.begin(self.ssl.do_handshake)
        first = self.outside.read()
        self.sock.sendall(first[:50])
        self.rest = first[50:]

    def finish(self):
        """The name in the certificate; the greeting has come."""
        self.sock.sendall(self.rest)
        self.do(self.ssl.do_handshake)
        assert self.read(1000).startswith(b"* OK")
        return [n for n in (b"first.example", b"second.example") if n in self.ssl.getpeercert(binary_form=True)][0].decode()

    def close(self):
        self.sock.close()


def failures(halves):
    """What became of those that did not get their handshake."""
    failed = []
    for h in halves:
        try:
            h.finish()
        except OSError as e:
            failed.append(e)
        h.close()
    return failed


def begin_handshakes(pool, n):
    """N of them, which workers have accepted."""
    halves = [Half(pool) for _ in range(n)]
    wait_for("all are accepted", lambda: pool.nodes[0].status()["counts"]["logging_in"] == n)
    return halves


def reload(pool, text):
    pool.write_conf(text=text)
    assert pool.nodes[0].tool("reload").returncode == 0


@pytest.mark.parametrize("change", [{"LOGIN_WORKERS": 1}, {"imapd-ssl": None}], ids=["fewer workers", "no TLS"])
def test_a_reload_that_wants_fewer_of_them(pool, change):
    """The workers of before end the handshakes that have begun: so their key processes stay as long as they."""
    node = pool.nodes[0]
    halves = begin_handshakes(pool, 24)
    old = node.pids("key")
    assert len(old) == 4
    reload(pool, render({**pool.settings, **change}))
    assert not failures(halves)
    left = pool.settings["LOGIN_WORKERS"] if "LOGIN_WORKERS" not in change else 1
    wait_for("the workers of before are gone", lambda: len(node.pids("worker")) == left)
    wait_for("so are their key processes", lambda: len(node.pids("key")) == (1 if "LOGIN_WORKERS" in change else 0))
    reload(pool, render(pool.settings))
    wait_for("there are others", lambda: len(node.pids("key")) == 4)
    assert not failures(begin_handshakes(pool, 8))


def test_one_that_dies_after_such_a_reload(pool):
    """Another one takes its place, for the workers of before."""
    node = pool.nodes[0]
    node.expect_dirty = True
    halves = begin_handshakes(pool, 24)
    old = node.pids("key")
    reload(pool, render({**pool.settings, "LOGIN_WORKERS": 1}))
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    assert not failures(halves)
    wait_for("those that nobody needs end", lambda: len(node.pids("worker")) == 1 and len(node.pids("key")) == 1)
    assert not failures(begin_handshakes(pool, 8))


@pytest.mark.once
def test_death_and_reload_among_many_handshakes(pool):
    """None fails, and none is left behind in a process that ends."""
    node = pool.nodes[0]
    node.expect_dirty = True
    for workers in (1, 4):
        halves = begin_handshakes(pool, 200)
        old = node.pids("key")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        with concurrent.futures.ThreadPoolExecutor(20) as threads:
            results = [threads.submit(failures, halves[n::20]) for n in range(20)]
            reload(pool, render({**pool.settings, "LOGIN_WORKERS": workers}))
            assert not sum((r.result() for r in results), [])
        wait_for("only those that are needed are left", lambda: len(node.pids("worker")) == workers and len(node.pids("key")) == workers)
        assert not set(old) & set(node.pids("key"))
