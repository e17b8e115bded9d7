"""Strangers at a port for TLS: handshakes that are begun and not finished, beside logins that go on; and that the bounds of
logins and sessions hold under TLS, too."""
import contextlib
import os
import re
import resource
import socket
import ssl
import subprocess

import pytest

from certificates import VERSIONS, context, hello, install, make_pem
from client import Imap
from isolation import free_port
from pool import PATIENCE, SLOW, Account, Pool, wait_for
from test_queue import HASH, jobs_waiting, workers_stopped
from test_shortage import fill, limited, old_limit

QUICK = 2.5 * SLOW  # seconds: "at once", on a busy machine
MANY = 2000
HELD_MAX = 64 * 1024  # KiB that strangers of one worker may hold: STRANGERS_HELD_MAX
LIGHT = 4  # KiB: what nobody counts of each


class Site:
    def __init__(self, keep):
        self.anna = Account("anna@example.com", mailhost="127.0.0.1")
        # One for each test: an account that was guessed at is slow.
        self.slow = {name: Account(f"{name.replace(' ', '-')}@example.com", password="secret", mailhost="127.0.0.1", fields={"systempw": HASH})
                     for name in ("keys", *WAYS_TO_LEAVE)}
        self.pool = Pool(nodes=1, start=False, keep=keep, accounts=[self.anna, *self.slow.values()],
                         settings={"LOGIN_WORKERS": 1, "authdaemonrc": {"daemons": 2}})
        self.plain, self.tls = self.pool.imap_port, free_port(self.pool.addresses)
        install(self.pool, make_pem(self.pool.root, "first.example", "ec"))
        self.pool.write_conf({"imapd-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": self.tls,
                                            "TLS_CERTFILE": os.path.join(self.pool.root, "pool.pem")}})
        self.pool.start()
        self.node = self.pool.nodes[0]

    def connect(self, source="127.0.0.1", port=None):
        return socket.create_connection(("127.0.0.1", port or self.tls), timeout=QUICK, source_address=(source, 0))

    def imap(self, port, source="127.0.0.1"):
        c = Imap("127.0.0.1", port, source=source, timeout=QUICK, greeting=False)
        if port == self.tls:
            c.sock = context().wrap_socket(c.sock)
        assert c.response().startswith(b"* OK")
        return c

    def logs_in(self, source):
        """At both ports, at once."""
        for port in (self.plain, self.tls):
            with self.imap(port, source) as c:
                c.login_ok(self.anna)

    def fresh_worker(self):
        """One that has nothing to reuse; the test does not count a checked build's memory."""
        old, mark = self.node.pids("worker"), self.node.log_mark()
        assert self.node.tool("reload").returncode == 0
        self.node.wait_userdb(mark)  # a job of the node's own is no longer on its way
        wait_for("the old worker has ended", lambda: not set(old) & set(self.node.pids("worker")))
        assert "cannot read the new settings" not in self.node.log()
        return self.node.pids("worker")[0]

    def counts(self):
        return self.node.status()["counts"]


@pytest.fixture(scope="module")
def site(request):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    s = Site(request.config.getoption("--keep"))
    with s.pool:
        yield s


def rss_kib(pid):
    """None: memory of a checked build tells nothing."""
    with open(f"/proc/{pid}/maps") as f:
        if re.search("libasan|valgrind|vgpreload", f.read()):
            return None
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))


def grew_at_most(worker, before, kib):
    after = rss_kib(worker)
    if before is not None:
        print(f"the worker grew by {after - before} KiB")
        assert after - before <= kib


SOURCES = {"one": lambda i: "127.0.0.1", "many": lambda i: f"127.1.{i // 250}.{1 + i % 250}"}


PART = b"\x17\x03\x03\x40\x00" + b"x" * 16000  # of a record, for which libssl has to have room


@pytest.mark.once
@pytest.mark.parametrize("sources,starttls,behind", [("one", False, b""), ("many", False, PART), ("one", True, b""), ("many", True, b"")])
def test_half_open_handshakes_harm_nobody(site, sources, starttls, behind):
    """Their memory is bounded, wherever they come from, and what they add to the first message; who logs in does not notice."""
    worker, first, conns = site.fresh_worker(), hello() + behind, []
    site.logs_in("127.0.0.1")
    before, then = rss_kib(worker), site.counts()
    for i in range(MANY):
        conns.append(site.connect(SOURCES[sources](i), site.plain if starttls else site.tls))
        if starttls:
            conns[-1].sendall(b"a STARTTLS\r\n")
            said = b""
            while b"a OK" not in said or not said.endswith(b"\n"):
                said += conns[-1].recv(1000)
        conns[-1].sendall(first)
        if i % 400 == 399:
            site.logs_in("127.0.0.1")
            site.logs_in("127.0.0.77")
    now = site.counts()
    assert now["clients_refused"] == now["workers_full"] == 0
    assert now["strangers_closed"] - then["strangers_closed"] >= MANY // 4
    grew_at_most(worker, before, HELD_MAX + MANY * LIGHT)
    assert conns[-1].recv(3) == b"\x16\x03\x03"  # the last one has its answer
    for c in conns:
        c.close()
    wait_for("they are forgotten", lambda: site.counts()["logging_in"] == 0)


@pytest.mark.once
def test_dripped_first_messages_harm_nobody(site):
    """Byte by byte they cost what they have sent; each goes on when the rest comes."""
    worker, first = site.fresh_worker(), hello()
    site.logs_in("127.0.0.1")
    before, then = rss_kib(worker), site.counts()
    conns = [site.connect(SOURCES["many"](i)) for i in range(MANY)]
    for k in range(30):
        for c in conns:
            c.sendall(first[k:k + 1])
        if k % 10 == 9:
            site.logs_in("127.0.0.1")
    grew_at_most(worker, before, MANY * LIGHT)
    assert site.counts()["strangers_closed"] == then["strangers_closed"]
    for c in conns[::100]:
        c.sendall(first[30:])
        assert c.recv(3) == b"\x16\x03\x03"
    for c in conns:
        c.close()
    wait_for("they are forgotten", lambda: site.counts()["logging_in"] == 0)


CONTEXT = context()


def read_greeting(c):
    t = CONTEXT.wrap_socket(c)
    assert t.recv(100).startswith(b"* OK")
    return t


FIRST = hello()
STAGES = {  # what is done with a connection, bytes that it may cost then
    "plain": (lambda site, source: site.connect(source, site.plain), 2400),
    "silent": (lambda site, source: site.connect(source), 2800),
    "begun": (lambda site, source: begin(site.connect(source), FIRST[:-1]), 3800),
    "half-open": (lambda site, source: begin(site.connect(source), FIRST), 47000),
    "finished": (lambda site, source: read_greeting(site.connect(source)), 18500)}


def begin(c, first):
    c.sendall(first)
    return c


@pytest.mark.once
@pytest.mark.parametrize("stage", STAGES)
def test_memory_of_a_connection(site, stage):
    """Each from an address of its own, which costs most; in a worker that has nothing to reuse."""
    make, most = STAGES[stage]
    worker = site.fresh_worker()
    if rss_kib(worker) is None:
        pytest.skip("a checked build needs memory of its own")
    conns = []

    def come(sources):
        """The memory with them."""
        conns.extend(make(site, source) for source in sources)
        wait_for("all are accepted", lambda: site.counts()["logging_in"] == len(conns))
        site.logs_in("127.0.0.1")  # behind all that they have sent
        return rss_kib(worker)
    before = come([f"127.2.0.{1 + i}" for i in range(50)])
    each = (come([SOURCES["many"](i) for i in range(1000)]) - before) * 1024 / 1000
    for c in conns:
        c.close()
    print(f"{stage}: {each:.0f} bytes each")
    assert each <= most


def test_the_deadline_counts_for_the_handshake(site):
    """LOGIN_TIMEOUT ends one that is not finished, and one that has not begun, without a word."""
    site.pool.write_conf({"LOGIN_TIMEOUT": 2})
    try:
        site.fresh_worker()
        for first in (b"", hello()[:9]):
            with site.connect() as c:
                c.settimeout(PATIENCE)
                c.sendall(first)
                assert c.recv(100) == b""
    finally:
        site.pool.write_conf({"LOGIN_TIMEOUT": 60})
        site.fresh_worker()


def in_records(message, size):
    """The handshake message of one record in records of SIZE bytes."""
    body = message[5:]
    return b"".join(message[:3] + len(body[i:i + size]).to_bytes(2, "big") + body[i:i + size] for i in range(0, len(body), size))


@pytest.mark.parametrize("records", [1, 3, 50, 20000])
@pytest.mark.parametrize("piece", [1, 2, 7, 100, 20000])
def test_a_first_message_in_pieces(site, records, piece):
    """Of records, and of packets: all of it ends in a greeting."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = context().wrap_bio(inward, outward)
    with site.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got, first = b"", True
        while not got:
            try:
                got = t.read(100)
            except ssl.SSLWantReadError:
                data = outward.read()
                if first:
                    data, first = in_records(data, records), False
                for i in range(0, len(data), piece):
                    s.sendall(data[i:i + piece])
                more = s.recv(10000)
                assert more
                inward.write(more)
    assert got.startswith(b"* OK")


def jobs(node):
    counts = node.status()["counts"]
    return counts["jobs_waiting"] + counts["jobs_running"]


def reset(c):
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    c.close()


WAYS_TO_LEAVE = {"close_notify": lambda c: c.sock.unwrap().close(), "no close_notify": lambda c: c.close(), "reset": reset}


@pytest.mark.once
@pytest.mark.parametrize("way", WAYS_TO_LEAVE)
def test_no_password_is_hashed_for_who_has_gone(site, way):
    """The auth workers stand still: what leaves their queue was taken out of it."""
    node = site.node
    with workers_stopped(node):
        guesses = [site.imap(site.tls, f"127.0.3.{1 + i}") for i in range(10)]
        for i, c in enumerate(guesses):
            c.send(f"a LOGIN {site.slow[way].name} guess{i}\r\n")
        wait_for("the guesses wait", lambda: jobs(node) == 10)
        for c in guesses:
            if way == "close_notify":
                c.sock.settimeout(0.01)
            with contextlib.suppress(OSError):
                WAYS_TO_LEAVE[way](c)
        wait_for("nothing waits", lambda: jobs_waiting(node) == 0)
        for c in guesses:
            c.close()
    wait_for("nothing runs", lambda: node.status()["counts"]["jobs_running"] == 0)


@pytest.mark.once
def test_new_keys_are_no_sign_of_life(site):
    """A client that has said something about its TLS while it waits is missed all the same when it goes."""
    node = site.node
    with workers_stopped(node):
        others = [site.imap(site.tls, f"127.0.3.{1 + i}") for i in range(2)]
        for i, c in enumerate(others):
            c.send(f"a LOGIN {site.slow['keys'].name} other{i}\r\n")
        wait_for("they have the auth workers", lambda: jobs(node) == 2)
        p = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{site.tls}", "-crlf"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            while b"* OK" not in p.stdout.readline():
                pass
            p.stdin.write(f"a LOGIN {site.slow['keys'].name} third\n".encode())
            p.stdin.flush()
            wait_for("it waits", lambda: jobs(node) == 3)
            p.stdin.write(b"k\n")
            p.stdin.flush()
            while b"KEYUPDATE" not in p.stdout.readline():
                pass
            site.logs_in("127.0.0.9")  # behind that
        finally:
            p.kill()
            p.wait()
            p.stdin.close()
            p.stdout.close()
        wait_for("nothing waits", lambda: jobs_waiting(node) == 0)
        for c in others:
            c.close()
    wait_for("nothing runs", lambda: node.status()["counts"]["jobs_running"] == 0)


@pytest.mark.once
def test_browsers_get_no_word_within_tls(site):
    for verb in (b"GET", b"POST"):
        with context().wrap_socket(site.connect()) as t:
            assert t.recv(1000).startswith(b"* OK")
            t.sendall(verb + b" / HTTP/1.1\r\nHost: mail\r\n\r\na NOOP\r\n")
            assert t.recv(100) == b""


@pytest.mark.once
@pytest.mark.parametrize("name", ["MAXDAEMONS", "MAXPERIP", "MAXPERACCOUNT", "MAXPERACCOUNTIP"])
def test_caps_on_sessions(site, name):
    """They count a session under TLS as any other, and forget it when it ends."""
    site.pool.write_conf({"imapd": {name: 2}})
    try:
        site.fresh_worker()
        open_now = [site.imap(port) for port in (site.tls, site.plain)]
        for c in open_now:
            c.login_ok(site.anna)
        for port in (site.plain, site.tls):
            with site.imap(port) as c:
                said = c.login(site.anna.name, site.anna.password)
                assert not said.ok and b"[LIMIT]" in said.text
        for way in WAYS_TO_LEAVE.values():
            with contextlib.suppress(OSError):
                open_now[0].sock.settimeout(0.01)
                way(open_now[0])
            open_now[0] = site.imap(site.tls)

            def may():
                return open_now[0].login(site.anna.name, site.anna.password).ok
            wait_for("its place is free", may)
        for c in open_now:
            c.close()
    finally:
        site.pool.write_conf({"imapd": {name: 40}})
        site.fresh_worker()


def abort_after(site, version, n, way, spoil):
    """A client that says N bytes, the last one of them wrong if SPOIL, and leaves in WAY; false: its handshake and login were over
    before."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    t, left, done = context(version).wrap_bio(inward, outward), n, False
    s = site.connect()
    s.settimeout(PATIENCE)
    try:
        while left > 0 and not done:
            try:
                if t.read(1000) and not done:
                    t.write(b"a LOGOUT\r\n")
                    done = True
            except ssl.SSLWantReadError:
                pass
            data = outward.read()[:left]
            left -= len(data)
            if left == 0 and spoil:
                data = data[:-1] + bytes([data[-1] ^ 0x55])
            s.sendall(data)
            if left > 0 and not done:
                more = s.recv(20000)
                assert more
                inward.write(more)
    except OSError:
        pass  # it was refused
    if way == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    elif way == "half":
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_WR)
            while s.recv(20000):
                pass
    s.close()
    return left <= 0


@pytest.mark.once
@pytest.mark.parametrize("spoil", [False, True])
@pytest.mark.parametrize("way", ["close", "reset", "half"])
@pytest.mark.parametrize("version", VERSIONS)
def test_clients_that_leave_at_any_byte(site, version, way, spoil):
    """Of their handshake and of their first command: nothing of them is left, and the worker lives."""
    worker, n = site.node.pids("worker"), 1
    while abort_after(site, version, n, way, spoil):
        n += 1 if n < 12 else 7
    assert n > 250
    site.logs_in("127.0.0.1")
    wait_for("they are forgotten", lambda: site.counts()["logging_in"] == 0)
    assert site.node.pids("worker") == worker


@pytest.mark.once
def test_half_open_handshakes_give_way_when_descriptors_are_short(site):
    """The oldest of the address that has most, to each client of another one, at both ports."""
    worker = site.fresh_worker()
    with limited(site.node, worker, old_limit(worker)):
        fill(site.node, worker, 24)
        conns = [begin(site.connect(), FIRST) for _ in range(40)]
        wait_for("it is full", lambda: site.counts()["workers_full"] == 1)
        before = site.counts()["strangers_closed"]
        for port in (site.plain, site.tls) * 3:
            conns.append(site.imap(port, "127.0.0.77"))
            conns[-1].login_ok(site.anna)
        assert site.counts()["strangers_closed"] >= before + 3  # those under TLS are relayed
        for c in conns:
            c.close()
    wait_for("it takes clients again", lambda: site.counts()["workers_full"] == 0)
