"""A login worker that was taken over, in a node that root has started: the test uses the worker's own sockets to the others.

What else such a worker cannot do is shown by unit tests, each against the code that has to refuse it:
- open, fork, exec, ptrace, signals, other sockets, SO_LINGER, code in memory, namespaces: test_priv.c, for each role
- schemes, lengths, keys, messages cut at every byte, descriptors and floods to the key process; that no message asks for a
  decryption or a key, and that nothing of one is in the worker's memory: test_keyd.c, test_tls_key.c, test_tls_scheme
- tickets: of another worker, twice, too late, void, too many: test_tickets.c, test_spawn.c
- requests: bad ones of all kinds, challenges that it knows, numbers in use, a storm of anything: test_request.c, test_authd.c
- reports about peers, of one worker against another's: test_request.c"""
import concurrent.futures
import contextlib
import os
import signal
import socket
import struct
import threading
import time

import pytest

from certificates import TlsEnd, context, hello, make_pem
import pool as pool_module
from client import Imap
from messages import SCHEMES, TOTALS, TYPES, Taken
from pool import Account, free_port, wait_for

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root may take another process's descriptors")

ANNA, BERTA = "anna@example.com", "berta@example.com"
SHARE = 20  # MAXPERIP


def started(request, n):
    """A pool of one node with N login workers."""
    p = pool_module.Pool(nodes=1, uid=0, gid=0, keep=request.config.getoption("--keep"), start=False,
                         settings={"imapd": {"MAXPERIP": SHARE}, "LOGIN_USER": "nobody", "AUTH_USER": "daemon", "MIN_UID": 100, "LOGIN_WORKERS": n},
                         accounts=[Account(ANNA, uid=20001, gid=20001), Account(BERTA, uid=20002, gid=20002)])
    import grp
    os.chown(p.userdb, 0, grp.getgrnam("daemon").gr_gid)
    os.chmod(p.userdb, 0o640)
    p.tls_port = free_port(p.addresses)
    pem = os.path.join(p.root, "node.pem")
    with open(os.open(pem, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
        f.write(make_pem(p.root, "node.example", "ec"))
    p.write_conf({"imapd-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": p.tls_port, "TLS_CERTFILE": pem}})
    p.start()
    p.nodes[0].expect_dirty = True
    p.nodes[0].expected += ["bad message", "unexpected message", "killing it", "handed over a client without a valid ticket",
                            "asks for a signature", "are not counted for any limit", "does not read its messages", "asks for what no handshake needs"]
    return p


@pytest.fixture(scope="module")
def pool(request):
    p = started(request, 2)
    yield p
    p.close()


def workers(node):
    return wait_for("both workers are there", lambda: len(node.pids("worker")) == 2 and len(node.pids("key")) == 2 and node.pids("worker"))


def serves(p):
    """Logins here work, and handshakes do."""
    def works():
        try:
            with Imap(p.addresses[0], p.imap_port) as c:
                c.login_ok(p.accounts[ANNA])
            with socket.create_connection((p.addresses[0], p.tls_port), timeout=5) as s, context().wrap_socket(s) as t:
                return t.recv(100).startswith(b"* OK")
        except (OSError, AssertionError):
            return False
    wait_for("the node serves", works)


def is_ended(node, pid):
    wait_for("the worker is ended", lambda: pid not in node.pids("worker"))


def sign(request, key, scheme, digest):
    return struct.pack("<HIIB", TYPES["KEY_SIGN"], request, key, scheme) + struct.pack("<I", len(digest)) + digest


def test_signatures_and_nothing_else(pool):
    """It gets what a handshake needs, and no more. The first thing that no handshake needs ends it."""
    node = pool.nodes[0]
    serves(pool)
    for hostile in (lambda t: sign(9, 1, len(SCHEMES), b"d" * 32), lambda t: sign(9, 1, SCHEMES["ECDSA_SHA256"], b"d" * 256),
                    lambda t: struct.pack("<H", TYPES["CTL_KEY"]) + b"x" * 40):
        pid = workers(node)[0]
        with Taken(node, pid) as t:
            keys = [k for k in range(1, 10) if t.ask("key", sign(1000 + k, k, SCHEMES["ECDSA_SHA256"], b"d" * 32)) != 0]
            assert len(keys) == 1, "there is one key, and it can sign"
            assert t.ask("key", sign(2000, keys[0], SCHEMES["RSA_PKCS1_SHA256"], b"d" * 32)) == 0, "it is no RSA key"
            t.send("key", hostile(t))
        is_ended(node, pid)
    serves(pool)


def test_tickets_of_others(pool):
    """A ticket is good once, for the worker that got it: another one that presents it first has nothing from it, nor has the owner of
    the next client. Nobody sees another's mail."""
    node = pool.nodes[0]
    serves(pool)
    spawn = node.pids("spawn")[0]
    mine, other = workers(node)
    ends = {pid: Taken(node, pid, stop=False) for pid in (mine, other)}
    clients = []
    os.kill(spawn, signal.SIGSTOP)
    try:
        # Whichever worker accepts the client, it hands it to spawn, which has not looked yet.
        c = Imap(pool.addresses[0], pool.imap_port)
        clients.append(c)
        c.send(f"t LOGIN {ANNA} {pool.accounts[ANNA].password}\r\n")
        seen = wait_for("a client is handed over", lambda: [(pid, m) for pid in ends for m in [ends[pid].seen_by_other_end("spawn")]
                                                             if m is not None and m[:2] == struct.pack("<H", TYPES["HANDOFF"])])
        owner, message = seen[0]
        thief = other if owner == mine else mine
        here, there = socket.socketpair()
        ends[thief].send("spawn", message, fd=there.fileno())
        there.close()
        clients.append(here)
    finally:
        os.kill(spawn, signal.SIGCONT)
    assert c.finish("t").ok
    assert len(c.subjects()) == 1
    # Used up: a second client gets no session from the worker that owned it.
    again, end = socket.socketpair()
    ends[owner].send("spawn", message, fd=end.fileno())
    end.close()
    clients.append(again)
    for s in (here, again):
        s.settimeout(10)
        assert s.recv(100) == b"", "the descriptor was closed without a word"
    for e in ends.values():
        e.close()
    for x in clients:
        x.close()
    serves(pool)


def test_guessed_tickets(pool):
    """Many of them: no session, no descriptor that stays, no log that grows, and clients of others are served meanwhile."""
    node = pool.nodes[0]
    serves(pool)
    pid, spawn = workers(node)[0], node.pids("spawn")[0]
    before, mark = descriptors(spawn), node.log_mark()
    with Taken(node, pid, stop=False) as t:
        here, there = socket.socketpair()
        for n in range(400):
            t.send("spawn", struct.pack("<HIBI", TYPES["HANDOFF"], 10**6 + n, False, 16) + os.urandom(16) + struct.pack("<II", 0, 0), fd=there.fileno())
        there.close()
    serves(pool)
    wait_for("all are refused", lambda: descriptors(spawn) <= before + 2)
    here.settimeout(10)
    assert here.recv(1) == b""
    here.close()
    assert pid in node.pids("worker") and not node.pids("imapd")
    assert len([line for line in node.log_since(mark).splitlines() if "valid ticket" in line]) <= 3


def test_a_record_of_its_own(pool):
    """Only authd says whose mail a session server serves, and as which user it runs."""
    node = pool.nodes[0]
    pid = workers(node)[0]
    with Taken(node, pid) as t:
        t.send("spawn", struct.pack("<H", TYPES["TICKET"]) + b"\x10\0\0\0" + b"t" * 16 + b"\0" * 200)
    is_ended(node, pid)
    assert not node.pids("imapd")
    serves(pool)


def net_addr(ip):
    return struct.pack("<HHII", socket.AF_INET, 1234, 0, 16) + socket.inet_aton(ip) + b"\0" * 12


def test_sessions_and_peers_that_it_does_not_have(pool):
    """What it says of sessions that nobody has granted to it counts for no limit; nor does what it says of their peers."""
    node = pool.nodes[0]
    pid = workers(node)[0]
    mark = node.log_mark()
    with Taken(node, pid) as t:
        for n in range(500):
            user = BERTA.encode()
            t.send("authd", struct.pack("<HQB", TYPES["SESSION_HAVE"], 10**9 + n, 0) + net_addr("192.0.2.7") +
                   struct.pack("<I", len(user)) + user + struct.pack("<I", 0))
            t.send("authd", struct.pack("<HQBBI", TYPES["PEER_RESULT"], n, 0, 1, 100))
            t.send("authd", struct.pack("<HQ", TYPES["SESSION_END"], n))
    wait_for("it was heard", lambda: "nobody has granted" in node.log_since(mark))
    assert len(node.log_since(mark).splitlines()) < 5
    counts = node.status()["counts"]
    assert counts["sessions_imap"] == 0 and counts["sessions_pop3"] == 0 and counts["peers_down"] == 0
    assert pid in node.pids("worker"), "an old worker may say this in good faith"
    serves(pool)


def text(s):
    return struct.pack("<I", len(s)) + s.encode()


def login_request(number, account, ip):
    """AUTH_REQUEST for IMAP, by password, in the name of a client at IP."""
    return (struct.pack("<HIBB", TYPES["AUTH_REQUEST"], number, 0, 0) + text(account.name) + text(account.password) + net_addr(ip) +
            struct.pack("<HB", 0, False) + text("") + struct.pack("<BB", False, 0))


def test_names_of_foreign_clients(pool):
    """With a password that it knows it uses up the share of an address that has no client here: for as long as it is there, and nobody
    else's share."""
    node = pool.nodes[0]
    serves(pool)

    def greets(source):
        with Imap(pool.addresses[0], pool.imap_port, source=source) as c:
            reply = c.login(ANNA, pool.accounts[ANNA].password)
            return "in" if reply.ok else "limit" if b"[LIMIT]" in reply.text else reply.text
    assert greets("127.0.0.7") == "in"
    pid = workers(node)[0]
    with Taken(node, pid) as t:
        for n in range(2 * SHARE):
            t.send("authd", login_request(10**6 + n, pool.accounts[BERTA], "127.0.0.7"))
        t.take_all("authd")
        assert node.status()["counts"]["sessions_imap"] == SHARE, "as many as a client at that address would get"
        assert greets("127.0.0.7") == "limit"
        assert greets("127.0.0.8") == "in"
        os.kill(pid, signal.SIGKILL)
    is_ended(node, pid)
    wait_for("the share is free", lambda: greets("127.0.0.7") == "in")
    assert node.status()["counts"]["sessions_imap"] == 0


def test_messages_that_are_too_long(request):
    """Nothing of one is used, whoever gets it, and it is the last one of that worker; others go on."""
    ticket = struct.pack("<HIBI", TYPES["HANDOFF"], 1, False, 16) + b"t" * 16
    p = started(request, 5)
    try:
        node = p.nodes[0]
        pids = wait_for("all workers are there", lambda: len(node.pids("worker")) == 5 and len(node.pids("key")) == 5 and node.pids("worker"))
        for pid, role, message in zip(pids, ("authd", "spawn", "key", "master"),
                                      (login_request(1, p.accounts[BERTA], "127.0.0.7"), ticket, sign(9, 1, SCHEMES["ECDSA_SHA256"], b"d" * 32),
                                       struct.pack("<H", TYPES["CTL_PONG"]))):
            with Taken(node, pid, stop=False) as t:
                t.send(role, message + b"\0" * (64 * 1024))
            is_ended(node, pid)
        assert pids[4] in node.pids("worker")
        serves(p)
    finally:
        p.close()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("role,kind", [("authd", "AUTH_CANCEL"), ("spawn", "HANDOFF"), ("key", "KEY_SIGN"), ("master", "CTL_PONG")])
def test_floods_of_descriptors(pool, role, kind):
    """Nobody keeps what it sends; who waits for messages of others goes on."""
    node = pool.nodes[0]
    serves(pool)
    pid = workers(node)[0]
    targets = {r: {p: descriptors(p) for p in node.pids(r)} for r in ("authd", "spawn", "key", "master")}
    rd, wr = os.pipe()
    with Taken(node, pid) as t:
        try:
            for n in range(2000):
                t.send(role, struct.pack("<HI", TYPES[kind], 1), fd=rd)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was ended
    os.close(rd)
    os.close(wr)
    serves(pool)
    workers(node)
    for p, before in targets[role].items():
        if p in node.pids(role):
            wait_for("they are closed", lambda: descriptors(p) <= before + 20)


def test_questions_without_end(pool):
    """It takes no answer: these are bounded, and so is what is said about it."""
    node = pool.nodes[0]
    serves(pool)
    pid, authd = workers(node)[0], node.pids("authd")[0]
    mark = node.log_mark()
    with Taken(node, pid) as t:
        for n in range(120000):
            t.send("authd", struct.pack("<HIB", TYPES["AUTH_CHALLENGE_WANTED"], 7, 1))
        t.send("authd", struct.pack("<HQ", TYPES["SESSION_END"], 1))
        wait_for("all are read", lambda: node.status()["counts"]["sessions_imap"] >= 0 and t.is_read("authd"))
        with open(f"/proc/{authd}/statm") as f:
            assert int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") < 100 * 2**20 * pool_module.SLOW
        t.take_all("authd")  # or the answer to the next login may find the queue full, too
    assert len(node.log_since(mark).splitlines()) < 10, node.log_since(mark)[:1000]
    serves(pool)


def test_words_to_the_master(pool):
    """It is ended by the first one that no role says; neither its log nor the master's is filled."""
    node = pool.nodes[0]
    serves(pool)
    for message in (struct.pack("<H", TYPES["CTL_ROWS"]) + b"\xff" * 30, struct.pack("<H", TYPES["CTL_STOP"])):
        pid = workers(node)[0]
        mark = node.log_mark()
        with Taken(node, pid, stop=False) as t:
            try:
                for n in range(2000):
                    t.send("master", message)
            except (BrokenPipeError, ConnectionResetError):
                pass
        is_ended(node, pid)
        workers(node)
        assert len(node.log_since(mark).splitlines()) < 10, node.log_since(mark)[:2000]
    serves(pool)


def test_counts_that_it_makes_up(pool):
    """What it cannot have counted ends it; once it is ended for that, or for anything else that no worker says, what it has counted
    is not shown any more."""
    node = pool.nodes[0]
    serves(pool)

    def totals(**said):
        said = {name: 900000 for name in TOTALS[:TOTALS.index("tls_failed") + 1]} | said  # what a worker counts
        return struct.pack(f"<H{len(TOTALS)}Q", TYPES["CTL_TOTALS"], *(said.get(name, 0) for name in TOTALS))

    possible = totals()
    for last in (totals(accepted=2**64 - 1), totals(accepted=10**9), totals(accepted=900000 - 1), totals(verdicts_ok=1),
                 struct.pack("<H", TYPES["CTL_STOP"])):
        pid = workers(node)[0]
        with Taken(node, pid) as t:
            t.send("master", possible)
            wait_for("it is believed", lambda: node.status()["counts"]["accepted"] >= 900000)
            t.send("master", last)
        is_ended(node, pid)
        assert node.status()["counts"]["accepted"] < 900000
    serves(pool)


def cpu(pid):
    """Seconds that a process has used."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Shaken(TlsEnd):
    """A client that has done its handshake, and the socket under it."""

    def __init__(self, pool):
        super().__init__(socket.create_connection((pool.addresses[0], pool.tls_port), timeout=10), context())
        self.do(self.ssl.do_handshake)
        assert self.read(1000).startswith(b"* OK")

    def wire(self, data):
        """What goes over the wire for DATA."""
        self.ssl.write(data)
        return self.outside.read()

    def log_in(self, account):
        self.sock.sendall(self.wire(f"a LOGIN {account.name} {account.password}\r\n".encode()))
        text = b""
        while b"a OK" not in text:
            text += self.read(1000)


def stay(sock, data, half_close):
    sock.sendall(data)
    if half_close:
        sock.shutdown(socket.SHUT_WR)
    return sock


@pytest.mark.parametrize("half_close", [False, True], ids=["open", "half-closed"])
def test_no_odd_end_keeps_a_worker_busy(pool, half_close):
    """Clients that stop anywhere: nothing turns in a circle because of them."""
    node = pool.nodes[0]
    serves(pool)
    first = hello()
    stopped = [stay(socket.create_connection((pool.addresses[0], pool.tls_port)), data, half_close)
               for data in (b"", first[:1], first[:5], first[:100], first, first + b"\x14\x03\x03\0\1\1", first + b"\x17\x03\x03\0\5abcde", b"\x15\x03\1\0\2\1\0")]
    for logged_in in (False, True):
        for cut in (None, 1, 5, -1):
            c = Shaken(pool)
            if logged_in:
                c.log_in(pool.accounts[ANNA])
            stopped.append(stay(c.sock, b"" if cut is None else c.wire(b"b NOOP\r\n")[:cut], half_close))
        c = Shaken(pool)
        if logged_in:
            c.log_in(pool.accounts[ANNA])
        c.begin(c.ssl.unwrap)
        stopped.append(stay(c.sock, c.outside.read(), half_close))
    serves(pool)
    pids = workers(node) + node.pids("key") + node.pids("authd")
    before = [cpu(p) for p in pids]
    time.sleep(1)
    assert [cpu(p) - b < 0.3 for p, b in zip(pids, before)] == [True] * len(pids)
    for s in stopped:
        s.close()
    serves(pool)


def test_a_key_process_that_is_stopped(pool):
    """A handshake waits for it once, not each one that begins meanwhile; sessions go on, and it is made good by itself."""
    node = pool.nodes[0]
    serves(pool)
    workers(node)
    sessions = []
    for _ in range(4):
        s = Shaken(pool)
        s.log_in(pool.accounts[ANNA])
        sessions.append(s)
    keys = node.pids("key")
    clients = []
    for k in keys:
        os.kill(k, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(30):
            clients.append(stay(socket.create_connection((pool.addresses[0], pool.tls_port)), hello(), False))
        for s in sessions:
            s.sock.settimeout(30)
            s.sock.sendall(s.wire(b"c NOOP\r\n"))
            text = b""
            while b"c OK" not in text:
                text += s.read(1000)
        assert time.monotonic() - began < 15 * pool_module.SLOW, "30 clients, 2 s each, would be more"
    finally:
        for k in keys:
            with contextlib.suppress(ProcessLookupError):
                os.kill(k, signal.SIGCONT)
    for c in clients:
        c.close()
    serves(pool)


def storm(pool, seconds, stop):
    """Handshakes without pause, half of them slow; the errors that are no broken connection."""
    wrong = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.is_set():
        try:
            slow = stay(socket.create_connection((pool.addresses[0], pool.tls_port), timeout=10), hello(), False)
            Shaken(pool).sock.close()
            slow.close()
        except (OSError, AssertionError):
            time.sleep(0.02)
        except Exception as e:  # pylint: disable=broad-except
            wrong.append(e)
    return wrong


def test_keys_come_and_go_among_handshakes(pool):
    """Key processes die, and a reload takes the certificate away and brings it back: no worker falls, and nothing is left over."""
    node = pool.nodes[0]
    serves(pool)
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        running = [threads.submit(storm, pool, 30, stop) for _ in range(3)]
        try:
            old = workers(node)
            for k in node.pids("key"):
                os.kill(k, signal.SIGKILL)
            wait_for("there are others", lambda: len(node.pids("key")) == 2)
            serves(pool)
            assert node.pids("worker") == old
            plain = {name: group for name, group in pool.settings.items() if name != "imapd-ssl"}
            for settings in (plain, pool.settings):
                pool.write_conf(text=pool_module.render(settings))
                assert node.tool("reload").returncode == 0
                time.sleep(0.5)
            serves(pool)
        finally:
            stop.set()
        assert [r.result() for r in running] == [[], [], []]
    wait_for("old workers end", lambda: len(node.pids("worker")) == 2)
    assert "signal 11" not in node.log() and "signal 6" not in node.log()
    for pid in node.pids("worker") + node.pids("key"):
        wait_for("descriptors are closed", lambda p=pid: descriptors(p) < 40)
