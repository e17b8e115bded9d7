"""No loop can form, whatever the settings say: a login is forwarded a few times at most, and also ends at the peer when its
client has gone. Aliases of a node are addresses on which it listens besides its own."""
import base64
import concurrent.futures
import contextlib
import hmac
import itertools
import os
import poplib
import queue
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import directories
from client import Imap, Pop3, node_id
from fakeserver import FakeServer
from pool import PATIENCE, PREFIX, Account, Marks, chown, free_port, render, sha, wait_for
from test_mech import Scram, scram_secret

pytestmark = pytest.mark.once

# What Courier announces unless it is told otherwise: no ID.
COURIER = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE"
CAPABILITIES = {"default": None, "Courier's": COURIER, "the least": "IMAP4rev1", "brackets": "IMAP4rev1 ID X[Y Z AUTH=PLAIN",
                "no plain logins": "IMAP4rev1 LOGINDISABLED"}
KINDS = {"imap": Imap, "pop3": Pop3}
CROWD, PEER_CROWD = 20, 1000  # limits of pending logins at a peer: of one account, of all
STORM = 200  # more connections than this after one login are a loop


class StormGuard:
    """Counts the connections that the nodes of POOL accept in the "with" block, and stops the nodes if there are too many."""

    def __init__(self, pool):
        self.pool = pool

    def count(self):
        return sum(node.status()["counts"]["accepted"] for node in self.pool.nodes if node.proc is not None)

    def __enter__(self):
        self.before = self.count()
        return self

    def so_far(self):
        return self.count() - self.before

    def __exit__(self, kind, value, traceback):
        self.found = self.so_far()
        if self.found > STORM:
            for node in self.pool.nodes:
                node.expect_dirty = True
                node.kill_all()


def log_in(pool, kind, account, address="127.0.0.1", timeout=20):
    """Logs in at ADDRESS; returns the reply, and the number of connections that it caused."""
    with StormGuard(pool) as guard:
        c = kind(address, pool.imap_port if kind is Imap else pool.pop3_port, timeout=timeout)
        try:
            answer = c.login(account.name, account.password)
            answer = answer.text if kind is Imap else answer
        except OSError as e:
            answer = repr(e).encode()
        c.close()
    return answer, guard.found


def is_outage(answer):
    return answer.startswith((b"NO [UNAVAILABLE]", b"-ERR [SYS/TEMP]"))


def settings_with(capability, **more):
    return {"imapd": {"ADDRESS": "0", "IMAP_CAPABILITY": CAPABILITIES[capability]}, "pop3d": {"ADDRESS": "0"}, **more}


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_alias_of_the_node_makes_no_storm(make_pool, capability):
    """mailhost is another name of the node: the login is refused at once, whatever IMAP_CAPABILITY says, and the log says what
    to write."""
    p = make_pool(nodes=1, settings=settings_with(capability), accounts=[
        Account("alias@example.com", mailhost="127.0.0.77"), Account("name@example.com", mailhost="localhost")])
    for kind in KINDS.values():
        for account in p.accounts.values():
            marks = Marks(p)
            start = time.monotonic()
            answer, connections = log_in(p, kind, account)
            assert connections <= 3, f"{connections} connections: {answer}"
            assert is_outage(answer), answer
            assert time.monotonic() - start < 5
            line = wait_for("a line about it", lambda: re.search(r".*proxy loop.*", marks.text())).group(0)
            assert account.mailhost in line and "127.0.0.1" in line, line
            assert "LOGIN FAILED" not in marks.text()


@pytest.mark.parametrize("capability", ["default", "Courier's"])
def test_proxy_port_that_is_the_nodes_own(make_pool, capability):
    """PROXY_PORT leads to a second port of the same node."""
    p = make_pool(nodes=1, start=False, settings=settings_with(capability), accounts=[Account("port@example.com", mailhost="127.0.0.78")])
    second = {kind: free_port(["127.0.0.1"]) for kind in KINDS}
    p.write_conf({"imapd": {"PORT": f"{p.imap_port},{second['imap']}", "PROXY_PORT": second["imap"]},
                  "pop3d": {"PORT": f"{p.pop3_port},{second['pop3']}", "PROXY_PORT": second["pop3"]}})
    p.start()
    for kind in KINDS.values():
        answer, connections = log_in(p, kind, p.accounts["port@example.com"])
        assert is_outage(answer) and connections <= 3, (answer, connections)


def test_status_shows_a_loop(make_pool):
    p = make_pool(nodes=1, settings=settings_with("Courier's"), accounts=[Account("alias@example.com", mailhost="127.0.0.77")])
    assert p.nodes[0].status()["state"] == "well"
    for kind in KINDS.values():
        log_in(p, kind, p.accounts["alias@example.com"])
    status = p.nodes[0].status()
    assert status["state"] == "degraded" and "made logins loop" in " ".join(status["problems"]), status["problems"]
    assert status["counts"]["loops"] == 2 and status["counts"]["verdicts_loop"] == 2
    names = {n["name"]: n["text"] for n in status["notes"]}
    assert names["loops_list"] == f"127.0.0.77:{p.imap_port} 127.0.0.77:{p.pop3_port}"
    assert status["counts"]["logins_under_way"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_hop_data_of_a_client_is_no_loop(make_pool, kind):
    """A client claims that its login was forwarded often: it is refused, and `status` stays healthy."""
    p = make_pool(nodes=2, accounts=[Account("far@example.com", mailhost="127.0.0.2")])
    say = {"imap": 'ID ("x-proxy-ttl" "1")', "pop3": "XCLIENT TTL=1"}[kind]
    with KINDS[kind]("127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port, source="127.0.0.9") as c:
        c.cmd(say)
        answer = c.login("far@example.com", p.accounts["far@example.com"].password)
        assert is_outage(answer.text if kind == "imap" else answer), answer
    status = p.nodes[0].status()
    assert status["counts"]["verdicts_loop"] == 1 and status["state"] == "well", status["problems"]


def own_userdb(pool, address, accounts):
    """Gives the node at ADDRESS accounts of its own: {name: mailhost}."""
    path = f"{pool.root}/userdb.{address}"
    with open(path, "w") as f:
        for name, mailhost in accounts.items():
            a = pool.accounts[name]
            f.write(Account(name, a.password, mailhost, home=a.home, uid=a.uid, gid=a.gid).line())
    chown(path, pool.uid, pool.gid)


@pytest.mark.parametrize("ways", [2, 3])
@pytest.mark.parametrize("secrets", ["one secret", "no secret", "different secrets"])
@pytest.mark.parametrize("capability", ["default", "Courier's"])
def test_nodes_that_disagree_make_no_storm(make_pool, capability, secrets, ways):
    """A says that the mail is on B, B says C, C says A, whatever number of hops is allowed."""
    p = make_pool(nodes=ways, start=False, accounts=[Account("round@example.com")], settings={
        "imapd": {"IMAP_CAPABILITY": CAPABILITIES[capability]}, "authuserdb": {"USERDB": "@"}, "proxy": {"PROXY_HOPS": 255, "PROXY_TIMEOUT": 20}})
    p.write_conf({"authuserdb": {"USERDB": p.root + "/userdb.${PROXY_HOSTNAME}"}})
    if secrets == "no secret":
        p.write_conf({"POOL_SECRETFILE": None})
    if secrets == "different secrets":
        for node in p.nodes:
            path = f"{p.root}/secret.{node.address}"
            with open(path, "w") as f:
                f.write(f"the secret of {node.address} alone\n")
            os.chmod(path, 0o600)
            chown(path, p.uid, p.gid)
        p.write_conf({"POOL_SECRETFILE": p.root + "/secret.${PROXY_HOSTNAME}"})
    for i, node in enumerate(p.nodes):
        own_userdb(p, node.address, {"round@example.com": p.addresses[(i + 1) % ways]})
    p.start()
    for kind in KINDS.values():
        answer, connections = log_in(p, kind, p.accounts["round@example.com"], timeout=40)
        assert is_outage(answer), answer
        # A session id that is not trusted is not recognised; the hop count and the limit per account end the loop.
        assert connections <= (ways + 1 if secrets == "one secret" else CROWD * ways + 1), connections
    assert any(n.status()["counts"]["loops"] + n.status()["counts"]["peers_crowded"] for n in p.nodes)
    assert all(wait_for("nothing is under way", lambda n=n: n.status()["counts"]["logins_under_way"] == 0) for n in p.nodes)


def test_hops_end_where_nobody_believes_a_session(make_pool):
    """With PROXY_HOPS as it is by default."""
    p = make_pool(nodes=2, start=False, accounts=[Account("round@example.com")], settings={
        "POOL_SECRETFILE": None, "imapd": {"IMAP_CAPABILITY": COURIER}, "authuserdb": {"USERDB": "@"}})
    p.write_conf({"authuserdb": {"USERDB": p.root + "/userdb.${PROXY_HOSTNAME}"}})
    own_userdb(p, "127.0.0.1", {"round@example.com": "127.0.0.2"})
    own_userdb(p, "127.0.0.2", {"round@example.com": "127.0.0.1"})
    p.start()
    for kind in KINDS.values():
        answer, connections = log_in(p, kind, p.accounts["round@example.com"])
        assert is_outage(answer) and connections <= 5, (answer, connections)


def test_nodes_with_names_that_no_mailhost_has(make_pool):
    """Every mailhost is an address, and every node has another name: nobody is served, but there is no storm."""
    p = make_pool(nodes=2, start=False, accounts=[Account("x1@example.com", mailhost="127.0.0.1"), Account("x2@example.com", mailhost="127.0.0.2")],
                  settings={"imapd": {"IMAP_CAPABILITY": COURIER}})
    for node in p.nodes:
        node.name = "node" + node.address[-1] + ".example.com"
    text = render(p.settings).replace("${PROXY_HOSTNAME}", "${NODE_ADDRESS}")
    p.write_conf(text=text)
    for node in p.nodes:
        node.more_env = {"PROXY_HOSTNAME": node.name, "NODE_ADDRESS": node.address}
    p.start()
    for kind, account, address in itertools.product(KINDS.values(), p.accounts.values(), p.addresses):
        marks = Marks(p)
        answer, connections = log_in(p, kind, account, address)
        assert is_outage(answer) and connections <= 4, (answer, connections)
        owner = p.node(account.mailhost)
        assert owner.name in wait_for("the log names the node", lambda: re.search(r".*proxy loop.*", marks.text())).group(0)


class Forwarder:
    """Passes connections on to (ADDRESS, PORT), byte for byte."""

    def __init__(self, listen, address, port):
        self.to = (address, port)
        self.server = FakeServer(listen, self.serve)
        self.host = self.server.host

    def serve(self, conn):
        with socket.create_connection(self.to, timeout=60) as out:
            pair = {conn.sock: out, out: conn.sock}
            conn.sock.settimeout(60)
            while True:
                for ready in select.select(list(pair), [], [], 60)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    pair[ready].sendall(data)

    def close(self):
        self.server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_forwarder_back_to_the_node(make_pool, kind):
    """mailhost leads to a port that is forwarded back here (DNAT, a load balancer): the greeting reveals it."""
    p = make_pool(nodes=2, start=False, settings={"imapd": {"IMAP_CAPABILITY": COURIER}})
    f = Forwarder("127.0.5.1", "127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port)
    account = p.add(Account("forwarded@example.com", mailhost=f.host))
    p.start()
    try:
        for address in p.addresses:
            answer, connections = log_in(p, KINDS[kind], account, address)
            assert is_outage(answer) and connections <= 3, (answer, connections)
    finally:
        f.close()


def relaying_imap(address, port, tries=1):
    """A script of FakeServer: an IMAP server that logs in at (ADDRESS, PORT) with the credentials it gets, up to TRIES times if
    that fails, even if its client has gone, and forwards nothing else."""
    def script(conn):
        conn.sock.settimeout(60)
        conn.send("* OK [CAPABILITY IMAP4rev1] I am somebody else.\r\n")
        words = conn.imap_command()
        for _ in range(tries):
            with Imap(address, port, timeout=60) as c:
                reply = c.login(words[2], words[3])
        conn.send(words[0] + b" " + reply.text + b"\r\n")
        conn.until_eof()
    return script


def relaying_pop3(address, port, tries=1):
    def script(conn):
        conn.sock.settimeout(60)
        conn.send("+OK I am somebody else.\r\n")
        user = conn.pop3_command()[1]
        conn.send("+OK\r\n")
        password = conn.pop3_command()[1]
        for _ in range(tries):
            with Pop3(address, port, timeout=60) as c:
                answer = c.login(user, password)
        conn.send(answer + b"\r\n")
        conn.until_eof()
    return script


RELAYING = {"imap": relaying_imap, "pop3": relaying_pop3}


@pytest.mark.parametrize("kind", KINDS)
def test_circle_that_branches_ends_with_its_client(make_pool, kind):
    """A server that tries several of our addresses, as Courier does, turns one login into two: the logins that circle up to the
    limit end. The account is not served there for a minute, all others are."""
    p = make_pool(nodes=1, start=False, settings={"proxy": {"PROXY_TIMEOUT": 3}}, accounts=[Account("other@example.com")])
    node, running = p.nodes[0], []
    relay = RELAYING[kind]("127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port, tries=3)

    def script(conn):
        running.append(conn)
        try:
            relay(conn)
        finally:
            running.remove(conn)
    server = FakeServer("127.0.6.7", script)
    account = p.add(Account("back@example.com", mailhost=server.host))
    p.start()
    try:
        answer, connections = log_in(p, KINDS[kind], account, timeout=60)
        assert is_outage(answer) and connections < STORM, (answer, connections)
        wait_for("nothing goes round", lambda: not running and node.status()["counts"]["logins_under_way"] == 0, timeout=20)
        before = len(server.conns)
        answer, connections = log_in(p, KINDS[kind], account)
        assert is_outage(answer) and connections == 1 and len(server.conns) == before, "it is shut"
        with KINDS[kind]("127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port) as c:
            c.login_ok(p.accounts["other@example.com"])
    finally:
        server.close()


def test_slow_peer_that_is_quick_again(make_pool):
    """An account that was refused because its logins were stuck at a slow peer is served as soon as one of them is."""
    go = threading.Event()

    def script(conn):
        conn.sock.settimeout(60)
        conn.send("* OK [CAPABILITY IMAP4rev1] slow today\r\n")
        words = conn.imap_command()
        go.wait(60)
        conn.send(words[0] + b" OK at last\r\n")
        conn.until_eof()
    server = FakeServer("127.0.6.8", script)
    p = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": 60}}, accounts=[Account("slow@example.com", mailhost=server.host)])
    a = p.accounts["slow@example.com"]
    try:
        clients = [Imap("127.0.0.1", p.imap_port, timeout=60) for _ in range(CROWD + 1)]
        for c in clients:
            c.send(f'a LOGIN "{a.name}" "{a.password}"\r\n')
        # One of them exceeds the limit, whichever it is.
        refused = wait_for("one is refused", lambda: select.select([c.sock for c in clients], [], [], 1)[0])
        assert len(refused) == 1
        go.set()
        assert sorted(c.finish("a").ok for c in clients) == [False] + [True] * CROWD
        wait_for("the next one is served", lambda: Imap("127.0.0.1", p.imap_port).login(a.name, a.password).ok, timeout=10)
        for c in clients:
            c.close()
    finally:
        go.set()
        server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_sends_logins_back_is_bounded(make_pool, kind):
    """A foreign server accepts the login and logs in here again, as a Courier node would: it counts no hops, but we count the
    pending logins of the account. Nobody else has to wait."""
    p = make_pool(nodes=1, start=False, settings={"LOG_LEVEL": "info", "proxy": {"PROXY_TIMEOUT": 30}}, accounts=[Account("other@example.com")])
    node = p.nodes[0]
    server = FakeServer("127.0.6.1", RELAYING[kind]("127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port))
    account = p.add(Account("back@example.com", mailhost=server.host))
    p.start()
    mark = node.log_mark()
    try:
        with concurrent.futures.ThreadPoolExecutor() as threads:
            job = threads.submit(log_in, p, KINDS[kind], account, timeout=60)
            wait_for("a login goes round", lambda: len(server.conns) > CROWD / 2)
            with KINDS[kind]("127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port) as c:
                c.login_ok(p.accounts["other@example.com"])
            answer, connections = job.result()
        assert is_outage(answer), answer
        assert CROWD / 2 < connections <= CROWD + 3, connections
        line = node.wait_log(r"logins are pending at mailhost 127\.0\.6\.1.*account back@example\.com.*more are refused", mark)
        assert "[127.0.6.1]" in line
        assert len(re.findall("more are refused", node.log_since(mark))) == 1
        status = node.status()
        assert status["state"] == "degraded" and status["counts"]["peers_crowded"] == 1
        wait_for("nothing is under way", lambda: node.status()["counts"]["logins_under_way"] == 0)
        assert "LOGIN FAILED" not in node.log_since(mark)
        # Again: the account is not forwarded there now, and that is not logged twice within a minute.
        answer, connections = log_in(p, KINDS[kind], account, timeout=60)
        assert is_outage(answer) and connections == 1
        assert len(re.findall("more are refused", node.log_since(mark))) == 1
    finally:
        server.close()


def test_logins_under_way_are_bounded_for_each_peer(make_pool):
    """A peer accepts connections and is silent: when a thousand logins wait for it, more are refused at once, and other peers
    are not affected. When the clients have gone, none is counted any more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with socket.create_server(("127.0.6.2", 0), backlog=4096) as silent:
        host = "127.0.6.2:%d" % silent.getsockname()[1]
        p = make_pool(nodes=2, settings={"proxy": {"PROXY_TIMEOUT": 200}, "LOGIN_TIMEOUT": 200}, accounts=[
            *[Account(f"many{i}@example.com", mailhost=host) for i in range(PEER_CROWD // CROWD + 1)], Account("other@example.com", mailhost="127.0.0.2")])
        node, clients = p.nodes[0], []
        for i in range(PEER_CROWD):
            c = Imap("127.0.0.1", p.imap_port, timeout=60)
            a = p.accounts[f"many{i // CROWD}@example.com"]
            c.send(f'a LOGIN "{a.name}" "{a.password}"\r\n')
            clients.append(c)
        wait_for("all are under way", lambda: node.status()["counts"]["logins_under_way"] == PEER_CROWD)
        last = p.accounts[f"many{PEER_CROWD // CROWD}@example.com"]
        start = time.monotonic()
        with Imap("127.0.0.1", p.imap_port) as c:
            assert is_outage(c.login(last.name, last.password).text)
        assert time.monotonic() - start < 20
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(p.accounts["other@example.com"])
        # One leaves, so there is room for another.
        clients.pop().close()
        wait_for("one has left", lambda: node.status()["counts"]["logins_under_way"] == PEER_CROWD - 1)
        c = Imap("127.0.0.1", p.imap_port)
        c.send(f'a LOGIN "{last.name}" "{last.password}"\r\n')
        wait_for("another one has come", lambda: node.status()["counts"]["logins_under_way"] == PEER_CROWD)
        for c in [*clients, c]:
            c.close()
        wait_for("nothing is under way", lambda: node.status()["counts"]["logins_under_way"] == 0)


def test_counters_survive_no_crash(make_pool):
    """Pending logins end with their worker; a new authd does not count them for ever."""
    with socket.create_server(("127.0.6.3", 0), backlog=100) as silent:
        host = "127.0.6.3:%d" % silent.getsockname()[1]
        p = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": 200}, "LOGIN_TIMEOUT": 200, "LOGIN_WORKERS": 1},
                      accounts=[Account("far@example.com", mailhost=host)])
        node, a = p.nodes[0], p.accounts["far@example.com"]
        node.expect_dirty = True

        def begin(n):
            clients = [Imap("127.0.0.1", p.imap_port) for _ in range(n)]
            for c in clients:
                c.send(f'a LOGIN "{a.name}" "{a.password}"\r\n')
            return clients

        def under_way(n):
            wait_for(f"{n} logins are under way", lambda: node.status()["counts"].get("logins_under_way") == n)
        clients = begin(CROWD)
        under_way(CROWD)
        os.kill(node.pids("worker")[0], signal.SIGKILL)
        under_way(0)
        clients += begin(3)
        under_way(3)
        old = node.pids("authd")
        os.kill(old[0], signal.SIGKILL)
        wait_for("another authd is there", lambda: node.pids("authd") not in ([], old) and node.answers(p.imap_port))
        for c in clients:
            c.close()
        under_way(0)
        for c in begin(2):
            clients.append(c)
        under_way(2)
        for c in clients:
            c.close()
        under_way(0)


def test_burst_of_one_account_is_served(make_pool):
    """Many more simultaneous logins of one account than may be pending, at a quick peer: all are served, because those that have
    arrived do not count."""
    p = make_pool(nodes=2, settings={"LOGIN_WORKERS": 4}, accounts=[Account("busy@example.com", mailhost="127.0.0.2")])
    a = p.accounts["busy@example.com"]
    clients = [Imap("127.0.0.1", p.imap_port) for _ in range(5 * CROWD)]
    for c in clients:
        c.send(f'a LOGIN "{a.name}" "{a.password}"\r\n')
    for c in clients:
        assert c.finish("a").ok
        c.close()


# A client that has gone

def waiting_peer(events):
    """A script: greets, takes everything, answers nothing; EVENTS get "login" and "gone"."""
    def script(conn):
        conn.sock.settimeout(60)
        conn.send("* OK [CAPABILITY IMAP4rev1] peer\r\n")
        conn.line()
        events.put("login")
        conn.until_eof()
        events.put("gone")
    return script


def reset(conn):
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.sock.close()


@pytest.mark.parametrize("how", ["close", "reset", "pipelined, then reset"])
@pytest.mark.parametrize("when", ["at the peer", "before its greeting"])
def test_client_that_has_gone_takes_its_login_along(make_pool, how, when):
    """The connection to the peer is closed at once, and nothing of the login is left."""
    events = queue.Queue()
    silent = socket.create_server(("127.0.6.4", 0), backlog=100)
    server = FakeServer("127.0.6.5", waiting_peer(events))
    p = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": 200}, "LOGIN_TIMEOUT": 200}, accounts=[
        Account("far@example.com", mailhost=server.host if when == "at the peer" else "127.0.6.4:%d" % silent.getsockname()[1])])
    node, a = p.nodes[0], p.accounts["far@example.com"]
    try:
        c = Imap("127.0.0.1", p.imap_port)
        c.send(f'a LOGIN "{a.name}" "{a.password}"\r\n')
        if when == "at the peer":
            assert events.get(timeout=PATIENCE) == "login"
        else:
            peer = silent.accept()[0]
        wait_for("it is under way", lambda: node.status()["counts"]["logging_in"] == 1)
        if how == "pipelined, then reset":
            c.send("b NOOP\r\nc LOGOUT\r\n")
            time.sleep(0.2)
        (c.close if how == "close" else lambda: reset(c))()
        if when == "at the peer":
            assert events.get(timeout=PATIENCE) == "gone"
        else:
            peer.settimeout(PATIENCE)
            assert peer.recv(100) == b""
            peer.close()
        wait_for("nothing is left of it", lambda: all(node.status()["counts"][n] == 0 for n in ("logging_in", "logins_under_way", "sessions_imap")))
    finally:
        server.close()
        silent.close()


@pytest.mark.parametrize("cut", ["in one piece", "the end later"])
def test_half_close_behind_pipelined_commands_is_no_end(make_pool, cut):
    """printf 'a LOGIN..\\r\\nb NOOP\\r\\nc LOGOUT\\r\\n' | nc -N: the replies arrive, from here and from the peer."""
    p = make_pool(nodes=2, accounts=[Account("here@example.com", mailhost="127.0.0.1"), Account("there@example.com", mailhost="127.0.0.2")])
    for a in p.accounts.values():
        with Imap("127.0.0.1", p.imap_port) as c:
            if cut == "in one piece":
                c.send(f'a LOGIN "{a.name}" "{a.password}"\r\nb NOOP\r\nc LOGOUT\r\n')
            else:
                c.send(f'a LOGIN "{a.name}" "{a.password}"\r\n')
                c.send("b NOOP\r\nc LOGOUT\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            text = c.rest()
            assert re.search(rb"a OK .*\r\nb OK .*\r\n\* BYE .*\r\nc OK ", text), text
        with Pop3("127.0.0.1", p.pop3_port) as c:
            c.send(f"USER {a.name}\r\nPASS {a.password}\r\nSTAT\r\nQUIT\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            assert re.search(rb"\+OK.*\r\n\+OK.*\r\n\+OK 1 .*\r\n\+OK", c.rest())


def test_client_that_leaves_a_slow_directory(make_pool):
    """The request to authd is not waited for either: the login's slot is free at once."""
    # Some seconds of work: five million rounds. No password has this digest.
    slow = "$6$rounds=5000000$saltsalt$" + "ab/." * 21 + "ab"
    p = make_pool(nodes=1, accounts=[Account("slow@example.com", password="x", fields={"systempw": slow})])
    node = p.nodes[0]
    c = Imap("127.0.0.1", p.imap_port)
    c.send('a LOGIN "slow@example.com" "wrong"\r\n')
    wait_for("it is asked about", lambda: node.status()["counts"]["logging_in"] == 1)
    c.close()
    wait_for("it is gone", lambda: node.status()["counts"]["logging_in"] == 0)
    assert node.status()["counts"]["verdicts_wrong"] == 0, "before the hash was computed"


# What own nodes tell each other, whatever they announce

def greetings(pool, address):
    with Imap(address, pool.imap_port) as i, Pop3(address, pool.pop3_port) as c:
        return i.greeting, c.greeting


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_node_id_stays_and_cannot_be_set_away(make_pool, capability):
    """The same in both protocols, on all workers, after a worker's death and a reload; it differs on each node and after each
    start."""
    p = make_pool(nodes=2, settings={"LOGIN_WORKERS": 3, "imapd": {"IMAP_CAPABILITY": CAPABILITIES[capability]}, "pop3d": {"POP3AUTH": "APOP"}})
    first, second = ({node_id(g) for _ in range(6) for g in greetings(p, a)} for a in p.addresses)
    assert len(first) == len(second) == 1 and first != second
    node = p.nodes[0]
    node.expect_dirty = True
    old = node.pids("worker")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for("other workers are there", lambda: len(set(node.pids("worker")) - set(old)) == 3 and node.answers(p.imap_port))
    assert {node_id(g) for _ in range(6) for g in greetings(p, node.address)} == first
    assert node.tool("reload").returncode == 0
    assert {node_id(g) for _ in range(6) for g in greetings(p, node.address)} == first
    node.stop()
    node.start()
    assert {node_id(g) for _ in range(6) for g in greetings(p, node.address)} != first


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_client_address_and_every_mechanism_with_every_capability(make_pool, capability):
    """The owner knows the real client, and logins without a password work: by a token, or with the clear password of the
    directory."""
    words = (CAPABILITIES[capability] or "IMAP4rev1 ID") + " AUTH=CRAM-MD5 AUTH=SCRAM-SHA-256"
    p = make_pool(nodes=2, settings={"imapd": {"IMAP_CAPABILITY": words}, "pop3d": {"POP3AUTH": "PLAIN APOP CRAM-MD5 SCRAM-SHA-256"}}, accounts=[
        Account("cram@example.com", password="geheim", mailhost="127.0.0.2", fields={"systempw": None, "hmac-md5pw": hmac_state("geheim")}),
        Account("scram@example.com", password="geheim", mailhost="127.0.0.2", fields={"systempw": scram_secret("geheim", "SCRAM-SHA-256")}),
        Account("clear@example.com", password="geheim", mailhost="127.0.0.2", fields={"systempw": "{PLAIN}geheim"}),
        Account("8bit@example.com", password="ünlich", mailhost="127.0.0.2")])
    ways = [("8bit@example.com", lambda kind, c, name: c.login_ok(p.accounts[name])),
            *((name, lambda kind, c, name: cram(c, kind, name, "geheim")) for name in ("cram@example.com", "clear@example.com"))]
    for kind, (name, way) in itertools.product(KINDS, ways):
        marks = Marks(p)
        with KINDS[kind]("127.0.0.1", p.imap_port if kind == "imap" else p.pop3_port, source="127.0.0.66") as c:
            way(kind, c, name)
            there = marks.event(p.nodes[1], "LOGIN", name, "imapd" if kind == "imap" else "pop3d")
            assert there["ip"] == "[::ffff:127.0.0.66]" and there["port"] == f"[{c.local_port}]", there
    for kind, name in itertools.product(KINDS, ("scram@example.com", "clear@example.com")):
        marks = Marks(p)
        s = Scram(p, "127.0.0.1", name, "geheim", pop3=kind == "pop3")
        assert s.end.startswith((b"a OK", b"+OK")), s.end
        there = marks.event(p.nodes[1], "LOGIN", name, "imapd" if kind == "imap" else "pop3d")
        assert there["port"] == f"[{s.c.local_port}]", there
        s.c.close()
    c = poplib.POP3("127.0.0.1", p.pop3_port, timeout=60)
    assert c.apop("clear@example.com", "geheim").startswith(b"+OK") and c.stat()[0] == 1
    c.quit()


def hmac_state(password):
    return subprocess.run([os.path.join(PREFIX, "bin", "userdbpw"), "-hmac-md5"], input=f"{password}\n{password}\n", text=True, capture_output=True,
                          check=True, timeout=60).stdout.strip()


def cram_answer(c, kind, name, password):
    c.send("a AUTHENTICATE CRAM-MD5\r\n" if kind == "imap" else "AUTH CRAM-MD5\r\n")
    challenge = base64.b64decode(c.line().split(b" ", 1)[1])
    digest = hmac.new(password.encode(), challenge, "md5").hexdigest()
    c.send(base64.b64encode(f"{name} {digest}".encode()) + b"\r\n")
    answer = c.line()
    while kind == "imap" and not answer.startswith(b"a "):
        answer = c.line()
    return answer


def cram(c, kind, name, password):
    answer = cram_answer(c, kind, name, password)
    assert answer.startswith(b"a OK" if kind == "imap" else b"+OK"), answer


def pretending(kind, mark, told):
    """A script that greets like a node, records in TOLD what it gets, and accepts no login."""
    def script(conn):
        if kind == "imap":
            conn.send(b"* OK [CAPABILITY IMAP4rev1 AUTH=X-WAYPOST-TOKEN] Waypost node " + mark + b" ready.\r\n")
            told.put([conn.line(), conn.line()])
            conn.send(b"I OK\r\nL NO [UNAVAILABLE] thank you\r\n")
        else:
            conn.send(b"+OK [XCLIENT] [X-WAYPOST-TOKEN] Waypost node " + mark + b" ready.\r\n")
            told.put([conn.line(), conn.line()])
            conn.send(b"+OK\r\n-ERR [SYS/TEMP] thank you\r\n")
        conn.until_eof()
    return script


@pytest.mark.parametrize("kind", KINDS)
def test_pretender_gains_nothing(make_pool, kind):
    """A server that claims to be a node, by a mark of its own or by another node's, learns the client and gets a token; neither
    opens anything at any node, however quickly it is used."""
    server = FakeServer("127.0.6.6")
    p = make_pool(nodes=2, settings={"imapd": {"IMAP_CAPABILITY": COURIER + " AUTH=CRAM-MD5"}, "pop3d": {"POP3AUTH": "PLAIN CRAM-MD5"}}, accounts=[
        Account("cram@example.com", password="geheim", mailhost=server.host, fields={"systempw": None, "hmac-md5pw": hmac_state("geheim")}),
        Account("berta@example.com", mailhost="127.0.0.2")])
    port = p.imap_port if kind == "imap" else p.pop3_port
    for mark in (b"0123456789abcdef" * 2, node_id(greetings(p, "127.0.0.2")[0])):
        told = queue.Queue()
        server.script = pretending(kind, mark, told)
        with KINDS[kind]("127.0.0.1", port, source="127.0.0.67") as c:
            assert cram_answer(c, kind, "cram@example.com", "geheim").startswith((b"a NO [UNAVAILABLE]", b"-ERR [SYS/TEMP]"))
        identity, login = told.get(timeout=PATIENCE)
        assert identity.startswith((b"I ID (", b"XCLIENT ")) and b" X-WAYPOST-TOKEN " in b" " + login.replace(b"AUTHENTICATE", b"AUTH").replace(b"AUTH", b"")
        token = base64.b64decode(login.split()[-1]).split(b"\0")[1]
        for address, name in itertools.product(p.addresses, (b"cram@example.com", b"berta@example.com")):
            with KINDS[kind](address, port, source="127.0.0.68") as c:
                c.send(identity + b"\r\n")
                assert c.finish("I").ok if kind == "imap" else c.line().startswith(b"+OK")
                reply = c.cmd((b"AUTHENTICATE" if kind == "imap" else b"AUTH") + b" X-WAYPOST-TOKEN " + base64.b64encode(name + b"\0" + token))
                assert (reply.text if kind == "imap" else reply).startswith((b"NO [AUTHENTICATIONFAILED]", b"-ERR [AUTH]")), reply
                # Nor is anybody mistaken for that client, once its own login is over: until then this looks like a loop.
                wait_for("that login is over", lambda: p.nodes[0].status()["counts"]["logins_under_way"] == 0)
                look = Marks(p)
                c.login_ok(p.accounts["berta@example.com"])
                line = look.event(p.node(address), "LOGIN", "berta@example.com", "imapd" if kind == "imap" else "pop3d", port=c.local_port)
                assert line["ip"] == "[::ffff:127.0.0.68]", line
    server.close()


# What the operator is told

def test_route_tells_a_loop_before_anybody_logs_in(make_pool):
    """mailhost resolves to an address on which this node listens; the address of another node is not a loop."""
    p = make_pool(nodes=2, accounts=[Account("alias@example.com", mailhost="localhost"), Account("far@example.com", mailhost="127.0.0.2")])
    first, second = p.nodes

    def route(node, user):
        return wait_for("the address is known", lambda: (lambda r: "looked up" not in r and r)(node.tool("route", user).stdout))
    text = route(first, "alias@example.com")
    assert text.count("the node itself, whose name is 127.0.0.1") == 2 and "PROXY_HOSTNAME to localhost" in text, text
    assert "itself" not in route(second, "alias@example.com")
    assert "itself" not in route(first, "far@example.com")
    assert "here" in route(second, "far@example.com")
    p.write_conf({"imapd": {"ADDRESS": "0"}, "pop3d": {"ADDRESS": "0"}})
    for node in p.nodes:
        node.stop()
    first.start()
    p.add(Account("any@example.com", mailhost="127.9.8.7"))
    wait_for("the account is known", lambda: "127.9.8.7" in first.tool("route", "any@example.com").stdout)
    assert first.tool("route", "any@example.com").stdout.count("the node itself") == 2
    # Another program listens at another port.
    p.add(Account("other@example.com", mailhost=f"127.9.8.7:{p.pop3_port + 1}"))
    wait_for("the account is known", lambda: "127.9.8.7" in first.tool("route", "other@example.com").stdout)
    assert "itself" not in first.tool("route", "other@example.com").stdout


def test_route_tells_what_a_login_has_found(make_pool):
    """A forwarder: no address reveals it, but a login that came back does."""
    p = make_pool(nodes=1, start=False)
    f = Forwarder("127.0.5.1", "127.0.0.1", p.imap_port)
    account = p.add(Account("forwarded@example.com", mailhost=f.host))
    p.start()
    try:
        assert "itself" not in p.nodes[0].tool("route", account.name).stdout
        log_in(p, Imap, account)
        assert re.search(r"IMAP: .*this is the node itself", wait_for("it is known", lambda: (lambda r: "itself" in r and r)(
            p.nodes[0].tool("route", account.name).stdout)))
    finally:
        f.close()


# Mixed with real Courier nodes

class Courier(directories.Authdaemond):
    """A Courier node with IMAP_PROXY=1 and POP3_PROXY=1: Debian's login programs, started for each client as its tcpd would, and its
    authdaemond. It reaches its peers at the ports that its own /etc/services names."""
    PACKAGES = [*directories.Authdaemond.PACKAGES, "courier-imap", "courier-pop", "courier-base", "libcourier-unicode4", "libgamin0", "libidn12"]
    LOGIN = {"imap": ("/usr/lib/courier/courier/imaplogin", "/usr/bin/imapd"),
             "pop3": ("/usr/lib/courier/courier/courierpop3login", "/usr/lib/courier/courier/courierpop3d")}

    def __init__(self, address, ports):
        super().__init__()
        self.clients, self.sockets, self.started = [], [], {"imap": 0, "pop3": 0}
        self.write("etc/services", "".join(f"{kind} {port}/tcp\n" for kind, port in ports.items()))
        os.makedirs(os.path.join(self.root, "home/Maildir"))
        self.log = open(os.path.join(self.root, "login.log"), "ab")
        for kind in KINDS:
            s = socket.create_server((address, ports[kind]), backlog=200)
            self.sockets.append(s)
            threading.Thread(target=self.accept, args=(kind, s), daemon=True).start()

    def accept(self, kind, listener):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            self.started[kind] += 1
            program, session = self.LOGIN[kind]
            env = {**self.env, "TCPREMOTEIP": "::ffff:" + peer[0], "TCPREMOTEPORT": str(peer[1]), "TCPLOCALIP": "::ffff:127.0.0.1", "TCPLOCALPORT": "1",
                   "IMAP_PROXY": "1", "POP3_PROXY": "1", "PROXY_HOSTNAME": "courier.example.com", "PROTOCOL": kind.upper(), "IMAP_CAPABILITY": COURIER,
                   "AUTHMODULES": "authdaemon", "MAILDIRPATH": "Maildir", "DEBUG_LOGIN": "0", "POP3AUTH": "", "IMAPLOGINTAG": ""}
            self.clients.append(subprocess.Popen([program, session, "Maildir"], stdin=sock, stdout=sock, stderr=self.log, env=env,
                                                 preexec_fn=self.inside, start_new_session=True))
            sock.close()

    def running(self):
        return sum(c.poll() is None for c in self.clients)

    def close(self):
        for s in getattr(self, "sockets", []):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        for c in getattr(self, "clients", []):
            if c.poll() is None:
                c.kill()
            c.wait()
        super().close()


@pytest.fixture
def courier_and_pool(make_pool):
    """A Waypost node that sends back@ and round@ to a Courier node, which sends them back, round@ to each of three addresses until
    one takes it; mixed@ lives on Waypost for both."""
    p = make_pool(nodes=1, start=False, settings={"imapd": {"IMAP_CAPABILITY": COURIER}, "proxy": {"PROXY_TIMEOUT": 8}}, accounts=[
        Account("mixed@example.com", mailhost="127.0.0.1")])
    try:
        c = Courier("127.0.7.1", {"imap": p.imap_port, "pop3": p.pop3_port})
    except Courier.Unavailable as e:
        pytest.skip(str(e))
    p.add(Account("back@example.com", mailhost="127.0.7.1"))
    p.add(Account("round@example.com", mailhost="127.0.7.1"))
    p.write_conf({"imapd": {"PORT": ",".join(f"{a}{p.imap_port}" for a in ("", "127.0.0.8.", "127.0.0.9."))},
                  "pop3d": {"PORT": ",".join(f"{a}{p.pop3_port}" for a in ("", "127.0.0.8.", "127.0.0.9."))}})
    c.write("etc/hosts", "".join(f"{a} round\n" for a in ("127.0.0.1", "127.0.0.8", "127.0.0.9")))
    c.write("etc/host.conf", "multi on\n")
    c.write("etc/nsswitch.conf", "hosts: files\n")
    try:
        c.userdb({a.name: ({"uid": a.uid, "gid": a.gid, "home": "/home",
                            "options": "mailhost=" + ("round" if a.name.startswith("round") else "127.0.0.1")}, sha(a.password))
                  for a in p.accounts.values()})
        c.start()
        p.start()
        yield c, p
    finally:
        c.close()


@pytest.mark.long
@pytest.mark.parametrize("first", ["Waypost", "Courier"])
@pytest.mark.parametrize("kind", KINDS)
def test_loop_through_a_courier_node_is_bounded(courier_and_pool, kind, first):
    """Courier forwards no hop count and has no limit: ours works, and the logins have ended some seconds later."""
    c, p = courier_and_pool
    node, a = p.nodes[0], p.accounts["back@example.com"]
    mark = node.log_mark()
    with StormGuard(p) as guard:
        with KINDS[kind]("127.0.0.1" if first == "Waypost" else "127.0.7.1", p.imap_port if kind == "imap" else p.pop3_port, timeout=120) as client:
            answer = client.login(a.name, a.password)
            answer = answer.text if kind == "imap" else answer
        if first == "Waypost":
            assert is_outage(answer), answer
        else:
            assert answer.startswith((b"NO", b"-ERR")), answer
    assert CROWD / 2 < guard.found <= CROWD + 3 and c.started[kind] <= CROWD + 2, (guard.found, c.started)
    node.wait_log(r"logins are pending at mailhost 127\.0\.7\.1.*more are refused", mark)
    assert node.status()["counts"]["peers_crowded"] == 1
    wait_for("nothing is under way", lambda: node.status()["counts"]["logins_under_way"] == 0)
    wait_for("Courier's programs have ended", lambda: c.running() == 0, timeout=90)
    assert "LOGIN FAILED" not in node.log_since(mark)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_circle_through_a_courier_node_with_several_addresses_ends(courier_and_pool, kind):
    """Courier logs in at the next address after a refusal, even for a client that has gone."""
    c, p = courier_and_pool
    node, a = p.nodes[0], p.accounts["round@example.com"]
    answer, _ = log_in(p, KINDS[kind], a, timeout=120)
    assert is_outage(answer), answer
    wait_for("nothing is under way, and nothing starts", lambda: c.running() == 0 and node.status()["counts"]["logins_under_way"] == 0, timeout=40)
    assert c.started[kind] <= 3 * CROWD


@pytest.mark.parametrize("kind", KINDS)
def test_courier_and_waypost_serve_each_other(courier_and_pool, kind):
    """Courier ignores the mark in the greeting: its logins arrive, and so do ours through it."""
    c, p = courier_and_pool
    a = p.accounts["mixed@example.com"]
    with KINDS[kind]("127.0.7.1", p.imap_port if kind == "imap" else p.pop3_port, timeout=60) as client:
        client.login_ok(a)
        assert client.subjects() == ["mixed@example.com lives on 127.0.0.1"]
    assert c.started[kind] == 1
