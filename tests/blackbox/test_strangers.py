"""Strangers at a port for TLS: handshakes that are begun and not finished, beside logins that go on."""
import os
import re
import resource
import socket
import ssl

import pytest

from client import Imap
from isolation import free_port
from pool import PATIENCE, SLOW, Account, Pool, wait_for
from test_tls import context, install, make_pem

QUICK = 2.5 * SLOW  # seconds: "at once", on a busy machine
MANY = 2000
HELD_MAX = 64 * 1024  # KiB that strangers of one worker may hold: STRANGERS_HELD_MAX
LIGHT = 4  # KiB: what nobody counts of each


class Site:
    def __init__(self, keep):
        self.anna = Account("anna@example.com", mailhost="127.0.0.1")
        self.pool = Pool(nodes=1, start=False, keep=keep, accounts=[self.anna], settings={"LOGIN_WORKERS": 1})
        self.plain, self.tls = self.pool.imap_port, free_port(self.pool.addresses)
        install(self.pool, make_pem(self.pool.root, "first.example", "ec"))
        self.pool.write_conf({"imapd-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": self.tls,
                                            "TLS_CERTFILE": os.path.join(self.pool.root, "pool.pem")}})
        self.pool.start()
        self.node = self.pool.nodes[0]

    def connect(self, source="127.0.0.1", port=None):
        return socket.create_connection(("127.0.0.1", port or self.tls), timeout=QUICK, source_address=(source, 0))

    def logs_in(self, source):
        """At both ports, at once."""
        for port in (self.plain, self.tls):
            with Imap("127.0.0.1", port, source=source, timeout=QUICK, greeting=False) as c:
                if port == self.tls:
                    c.sock = context().wrap_socket(c.sock)
                assert c.response().startswith(b"* OK")
                c.login_ok(self.anna)

    def fresh_worker(self):
        """One that has nothing to reuse; the test does not count a checked build's memory."""
        old = self.node.pids("worker")
        assert self.node.tool("reload").returncode == 0
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


def hello():
    """The first message of a client."""
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


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


@pytest.mark.once
@pytest.mark.parametrize("sources", SOURCES)
def test_half_open_handshakes_harm_nobody(site, sources):
    """Their memory is bounded, wherever they come from; who logs in does not notice."""
    worker, first, conns = site.fresh_worker(), hello(), []
    site.logs_in("127.0.0.1")
    before, then = rss_kib(worker), site.counts()
    for i in range(MANY):
        conns.append(site.connect(SOURCES[sources](i)))
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


def read_greeting(c):
    t = context().wrap_socket(c)
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
