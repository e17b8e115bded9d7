"""What a session costs, counted and not timed: system calls per proxied login and per relayed MiB, memory per idle session
and per client that does not log in.

The bounds are a little above what today's build needs. A change that exceeds one has to be worth it, or is reverted."""
import os
import re
import resource
import selectors
import shutil
import socket
import subprocess
import threading

import pytest

from certificates import context, install, make_pem
from client import Imap, Pop3
from pool import Account, PATIENCE, Pool, free_port, rss_kib, wait_for

pytestmark = pytest.mark.once

PEER = "127.0.3.1"
BODY = 1 << 20
LOGINS = 100
SESSIONS = 1000

# System calls per login and logout: one client after the other, which is the most expensive way. Waits are not counted, because
# their number depends on the speed of other processes.
WORKER_PER_LOGIN = 30
AUTHD_PER_LOGIN = 4
MASTER_PER_LOGIN = 7
# The same behind TLS 1.3, with a full handshake: 40 to 42, for it depends on who is faster how many pieces are sent.
TLS_WORKER_PER_LOGIN = 45
KEY_PER_LOGIN = 4
WORKER_PER_MIB = 15
# spawn and the server that it forks, for a POP3 session here that asks nothing: about 135 today.
SPAWN_PER_LOGIN = 150
BYTES_PER_SESSION = 512
TLS_BYTES_PER_SESSION = 15 * 1024
# Of a client that has not logged in: what it has sent, and bytes of the worker's memory.
STRANGERS = {
    "nothing": (b"", 2560),
    "half a command": (b"a LOGIN " + b"x" * 7000 + b" {8000+}\r\n" + b"x" * 7900, 36 * 1024),
}


class Peer(threading.Thread):
    """An IMAP server for thousands of connections in one thread. FETCH answers with a body of BODY bytes."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.body = os.urandom(BODY // 2).hex().encode()
        self.select = selectors.DefaultSelector()
        self.listener = socket.create_server((address, 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.select.register(self.listener, selectors.EVENT_READ, None)
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.is_set():
            for key, _ in self.select.select(0.1):
                if key.data is None:
                    sock = self.listener.accept()[0]
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.sendall(b"* OK [CAPABILITY IMAP4rev1 ID SASL-IR] ready\r\n")
                    self.select.register(sock, selectors.EVENT_READ, bytearray())
                elif not self.serve(key.fileobj, key.data):
                    self.select.unregister(key.fileobj)
                    key.fileobj.close()

    def serve(self, sock, buf):
        data = sock.recv(65536)
        buf += data
        out = b""
        while b"\r\n" in buf:
            tag, verb = bytes(buf[:buf.index(b"\r\n")]).split()[:2]
            del buf[:buf.index(b"\r\n") + 2]
            if verb == b"FETCH":
                out += b"* 1 FETCH (BODY[] {%d}\r\n%s)\r\n" % (BODY, self.body)
            elif verb == b"LOGOUT":
                sock.sendall(b"* BYE\r\n" + tag + b" OK done\r\n")
                return False
            out += tag + b" OK done\r\n"
        sock.sendall(out)
        return bool(data)

    def close(self):
        self.ended.set()
        self.join()
        for key in list(self.select.get_map().values()):
            key.fileobj.close()
        self.select.close()


@pytest.fixture(scope="module")
def front(request):
    """One node with one worker that forwards everything: (node, port, account, peer)."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    peer = Peer(PEER)
    account = Account("far@example.com", mailhost=f"{PEER}:{peer.port}")
    with Pool(nodes=1, start=False, accounts=[account, Account("near@example.com")], settings={"LOGIN_WORKERS": 1},
              keep=request.config.getoption("--keep")) as pool:
        pool.tls_port = free_port(pool.addresses)
        install(pool, make_pem(pool.root, "first.example", "ec"))
        pool.write_conf({"imapd-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": pool.tls_port,
                                       "TLS_CERTFILE": os.path.join(pool.root, "pool.pem")}})
        pool.start()
        yield pool.nodes[0], pool.imap_port, account, peer
    peer.close()


def log_in(front, tls=None):
    """TLS: a context of ssl."""
    node, port, account, _ = front
    c = Imap(node.address, node.pool.tls_port if tls else port, greeting=False)
    if tls:
        c.sock = tls.wrap_socket(c.sock)
    c.greeting = c.response()
    c.login_ok(account)
    return c


def one_session(front, tls=None):
    with log_in(front, tls) as c:
        c.ok("LOGOUT")
        assert c.is_closed()


class Calls:
    """Counts the system calls of processes while in the "with" block: .by_role."""

    def __init__(self, node, *roles):
        self.pids = {role: node.pids(role)[0] for role in roles}
        self.by_role = {}

    def __enter__(self):
        self.traces = {}
        for role, pid in self.pids.items():
            trace = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-p", str(pid)], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            line = trace.stderr.readline()
            if "attached" not in line:
                trace.kill()
                trace.wait()
                pytest.skip(f"strace may not look at other processes here: {line.strip()}")
            self.traces[role] = trace
        return self

    def __exit__(self, kind, value, traceback):
        for role, trace in self.traces.items():
            trace.terminate()
            _, text = trace.communicate(timeout=PATIENCE)
            self.by_role[role] = {name: int(n) for n, name in re.findall(r"^\s*(\d+) (\w+)$", text, re.M) if name != "total"}

    def per(self, role, units):
        calls = self.by_role[role]
        each = sum(n for name, n in calls.items() if name != "epoll_wait") / units
        text = ", ".join(f"{name} {n / units:.2f}" for name, n in sorted(calls.items(), key=lambda c: -c[1]) if n >= units / 50)
        return each, f"{role}: {each:.1f} system calls each, besides waiting: {text}"


def need_strace(pool_wrapper=os.environ.get("WAYPOST_WRAPPER")):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if pool_wrapper:
        pytest.skip("counted without a wrapper")


def test_system_calls_per_proxied_login(front):
    need_strace()
    node = front[0]
    for _ in range(20):
        one_session(front)
    with Calls(node, "worker", "authd", "master") as calls:
        for _ in range(LOGINS):
            one_session(front)
        wait_for("all sessions ended", lambda: node.log().count("LOGOUT, user=far@") >= LOGINS + 20)
    for role, bound in (("worker", WORKER_PER_LOGIN), ("authd", AUTHD_PER_LOGIN), ("master", MASTER_PER_LOGIN)):
        each, text = calls.per(role, LOGINS)
        print(text)
        assert each <= bound, text


def test_system_calls_per_login_behind_tls(front):
    need_strace()
    node, tls = front[0], context("1.3")
    for _ in range(20):
        one_session(front, tls)
    before = node.log().count("LOGOUT, user=far@")
    with Calls(node, "worker", "key") as calls:
        for _ in range(LOGINS):
            one_session(front, tls)
        wait_for("all sessions ended", lambda: node.log().count("LOGOUT, user=far@") >= LOGINS + before)
    for role, bound in (("worker", TLS_WORKER_PER_LOGIN), ("key", KEY_PER_LOGIN)):
        each, text = calls.per(role, LOGINS)
        print(text)
        assert each <= bound, text


def test_system_calls_per_local_login(front):
    need_strace()
    node = front[0]

    def session():
        with Pop3(node.address, node.pool.pop3_port) as c:
            c.login_ok(node.pool.accounts["near@example.com"])
            assert c.cmd("QUIT").startswith(b"+OK") and c.is_closed()
    for _ in range(5):
        session()
    with Calls(node, "spawn") as calls:
        for _ in range(LOGINS):
            session()
        wait_for("all sessions ended", lambda: node.log().count("LOGOUT, user=near@") >= LOGINS + 5)
    each, text = calls.per("spawn", LOGINS)
    print(text)
    assert each <= SPAWN_PER_LOGIN, text


def test_system_calls_per_relayed_mib(front):
    need_strace()
    mib = 32
    with log_in(front) as c:
        c.ok("FETCH 1 BODY[]")
        with Calls(front[0], "worker") as calls:
            for _ in range(mib):
                assert c.ok("FETCH 1 BODY[]").find(rb"BODY\[\] ")
        c.ok("LOGOUT")
    each, text = calls.per("worker", mib)
    print(text)
    assert each <= WORKER_PER_MIB, text


@pytest.mark.parametrize("tls, most", [(None, BYTES_PER_SESSION), (context("1.3"), TLS_BYTES_PER_SESSION)], ids=["plain", "tls"])
def test_memory_per_idle_proxied_session(front, tls, most):
    """After earlier sessions, because a process reuses its memory. A page more or less is not a byte per session."""
    node = front[0]
    roles = [pid for role in ("worker", "authd", "master") for pid in node.pids(role)]
    with open(f"/proc/{roles[0]}/maps") as f:
        if re.search("libasan|valgrind|vgpreload", f.read()):
            pytest.skip("a checked build needs memory of its own")
    few = [log_in(front, tls) for _ in range(50)]
    before = sum(rss_kib(pid) for pid in roles)
    many = [log_in(front, tls) for _ in range(SESSIONS)]
    each = (sum(rss_kib(pid) for pid in roles) - before) * 1024 / SESSIONS
    for c in few + many:
        c.ok("LOGOUT")
        c.close()
    print(f"{each:.0f} bytes each")
    assert each <= most


@pytest.mark.parametrize("said", STRANGERS)
def test_memory_per_client_that_does_not_log_in(front, said):
    """Each from an address of its own, which costs most; in a worker that has nothing to reuse."""
    node, port = front[:2]
    data, most = STRANGERS[said]
    old = node.pids("worker")[0]
    assert node.tool("reload").returncode == 0
    wait_for("the old worker has ended", lambda: old not in node.pids("worker") and len(node.pids("worker")) == 1)
    worker = node.pids("worker")[0]
    with open(f"/proc/{worker}/maps") as f:
        if re.search("libasan|valgrind|vgpreload", f.read()):
            pytest.skip("a checked build needs memory of its own")

    def come(net, n):
        conns = [Imap(node.address, port, source=f"127.0.{net + i // 250}.{1 + i % 250}") for i in range(n)]
        for c in conns:
            c.send(data)
        return conns

    def settled():
        """The memory, once it does not grow any more."""
        seen = [rss_kib(worker)]
        wait_for("all is read", lambda: seen.append(rss_kib(worker)) or seen[-1] == seen[-2], pause=0.2)
        return seen[-1]
    few = come(50, 50)
    before = settled()
    many = come(100, SESSIONS)
    each = (settled() - before) * 1024 / SESSIONS
    assert node.status()["counts"]["logging_in"] == 50 + SESSIONS
    for c in few + many:
        c.close()
    print(f"{said}: {each:.0f} bytes each")
    assert each <= most
