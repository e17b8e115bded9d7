"""TLS session tickets: what one node gives, every node of the pool takes, whatever was restarted meanwhile; and nobody else."""
import contextlib
import os
import signal
import socket
import ssl
import subprocess

import pytest

from pool import PATIENCE, Account, Pool, chown, free_port, wait_for

pytestmark = pytest.mark.once

A, B = "127.0.0.1", "127.0.0.2"
HERE, ELSEWHERE = "anna@example.com", "berta@example.com"
PROTOCOLS = {"imapd": b"* OK", "pop3d": b"+OK"}


def write(pool, name, text):
    """Renamed into place."""
    path = os.path.join(pool.root, name)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.chmod(path + ".new", 0o600)
    chown(path + ".new", pool.uid, pool.gid)
    os.rename(path + ".new", path)


def certificate(pool, name):
    key, cert = (os.path.join(pool.root, "made." + kind) for kind in ("key", "crt"))
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with open(key) as k, open(cert) as c:
        return k.read() + c.read()


def start(pool, settings=None):
    """Both protocols with TLS on all nodes of POOL."""
    pool.tls_port = {group: free_port(pool.addresses) for group in PROTOCOLS}
    write(pool, "pool.pem", certificate(pool, "first.example"))
    pool.write_conf({"LOGIN_WORKERS": 1, **(settings or {}), **{
        f"{group}-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": os.path.join(pool.root, "pool.pem")}
        for group, port in pool.tls_port.items()}})
    pool.start()
    return pool


@pytest.fixture(scope="module")
def pool(request):
    p = Pool(nodes=2, start=False, keep=request.config.getoption("--keep"),
             accounts=[Account(HERE, mailhost=A), Account(ELSEWHERE, mailhost=B)])
    yield start(p)
    p.close()


class Client:
    """A program that keeps its tickets, and shows each to any node."""

    def __init__(self, pool, version=ssl.TLSVersion.TLSv1_3):
        self.pool = pool
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.minimum_version = self.context.maximum_version = version

    @contextlib.contextmanager
    def connect(self, address, ticket=None, group="imapd", name=None):
        with socket.create_connection((address, self.pool.tls_port[group]), timeout=PATIENCE) as s:
            with self.context.wrap_socket(s, session=ticket, server_hostname=name) as t:
                assert t.recv(1000).startswith(PROTOCOLS[group])
                yield t

    def take(self, address, **how):
        """A new ticket, by a full handshake."""
        with self.connect(address, **how) as t:
            assert not t.session_reused
            return t.session

    def resumes(self, address, ticket, **how):
        """Whether the node takes TICKET. In any case the handshake works, and the greeting comes."""
        with self.connect(address, ticket, **how) as t:
            return t.session_reused


def log_in(pool, t, name, group):
    password = pool.accounts[name].password
    with t.makefile("rwb") as f:
        if group == "imapd":
            f.write(f"a LOGIN {name} {password}\r\nb LOGOUT\r\n".encode())
        else:
            f.write(f"USER {name}\r\nPASS {password}\r\nQUIT\r\n".encode())
        f.flush()
        return f.read()


@pytest.mark.parametrize("name", [HERE, ELSEWHERE])
@pytest.mark.parametrize("group", PROTOCOLS)
def test_ticket_of_one_node_is_taken_by_the_other(pool, group, name):
    client = Client(pool)
    ticket = client.take(A, group=group)
    for address in (B, A, B):
        with client.connect(address, ticket, group=group) as t:
            assert t.session_reused
            ticket = t.session  # a new one each time
            answer = log_in(pool, t, name, group)
        assert b"a OK" in answer if group == "imapd" else answer.count(b"+OK") == 3, answer


def test_ticket_is_for_one_protocol(pool):
    client = Client(pool)
    ticket = client.take(A, group="imapd")
    assert not client.resumes(A, ticket, group="pop3d")
    assert client.resumes(A, ticket, group="imapd")


def test_ticket_is_for_one_name(pool):
    client = Client(pool)
    ticket = client.take(A, name="mail.example.com")
    for name, taken in ((None, False), ("other.example.com", False), ("mail.example.com", True)):
        assert client.resumes(B, ticket, name=name) == taken


def test_tls_1_2_gets_none(pool):
    client = Client(pool, ssl.TLSVersion.TLSv1_2)
    ticket = client.take(A)
    assert ticket is None or not ticket.has_ticket
    assert not client.resumes(A, ticket)


def test_openssl_shows_the_ticket_and_no_early_data(pool):
    """Another client than Python's; it says what a ticket allows."""
    path = os.path.join(pool.root, "session")
    command = ["openssl", "s_client", "-tls1_3", "-ign_eof", "-connect"]
    first = subprocess.run([*command, f"{A}:{pool.tls_port['imapd']}", "-sess_out", path], input=b"a LOGOUT\r\n", capture_output=True,
                           timeout=PATIENCE)
    second = subprocess.run([*command, f"{B}:{pool.tls_port['imapd']}", "-sess_in", path], input=b"a LOGOUT\r\n", capture_output=True,
                            timeout=PATIENCE)
    assert b"New, TLSv1.3" in first.stdout and b"Max Early Data: 0" in first.stdout
    assert b"Reused, TLSv1.3" in second.stdout and b"a OK" in second.stdout


@pytest.mark.parametrize("role", ["worker", "authd", "key"])
def test_ticket_outlives_a_process(pool, role):
    """The next one has the same keys, soon after it begins."""
    node = pool.nodes[0]
    node.expect_dirty = True
    client = Client(pool)
    ticket = client.take(A)
    dead = node.pids(role)
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_for("there is another", lambda: len(set(node.pids(role)) - set(dead)) == len(dead))

    def works(*shown):
        try:
            with client.connect(A, *shown) as t:
                return t.session_reused == bool(shown)
        except OSError:
            return False
    wait_for("the ticket is taken", lambda: works(ticket))
    wait_for("full handshakes work, too", works)


def test_ticket_outlives_its_node(pool):
    node = pool.nodes[0]
    client = Client(pool)
    tickets = [client.take(A), client.take(B)]
    assert node.stop() == 0
    assert client.resumes(B, tickets[0])
    node.start()
    wait_for("the ticket of before is taken", lambda: client.resumes(A, tickets[0]))
    assert client.resumes(A, tickets[1])


def test_ticket_outlives_a_certificate(pool):
    client = Client(pool)
    ticket = client.take(A)
    write(pool, "pool.pem", certificate(pool, "second.example"))

    def shown():
        with client.connect(A) as t:
            return b"second.example" in t.getpeercert(binary_form=True)
    wait_for("the new one is shown", shown)
    assert client.resumes(A, ticket)
    assert client.resumes(B, ticket)


def test_no_ticket_is_void_while_the_secret_is_replaced(make_pool):
    """Step by step and node by node, as README.proxy says, with `waypost reload`."""
    p = make_pool(nodes=2, start=False)
    old, new = "the old secret of the pool", "the new secret of the pool"
    client = Client(p)
    p.write_conf({"POOL_SECRETFILE": p.root + "/secret.${PROXY_HOSTNAME}"})
    for address in p.addresses:
        write(p, "secret." + address, old + "\n")
    start(p)
    oldest = client.take(A)
    for step in ([old, new], [new, old], [new]):
        tickets = [client.take(address) for address in p.addresses]
        for node in p.nodes:
            write(p, "secret." + node.address, "\n".join(step) + "\n")
            assert node.tool("reload").returncode == 0
            # The new workers may be quicker than the keys.
            wait_for("it gives tickets", lambda: client.resumes(node.address, client.take(node.address)))
            tickets.append(client.take(node.address))
            for address in p.addresses:
                for ticket in tickets:
                    assert client.resumes(address, ticket), (step, node, address)
    assert not client.resumes(A, oldest)


def test_node_by_itself_needs_no_secret(make_pool):
    """Its tickets outlive a worker, but not authd; then the handshake is a full one."""
    p = start(make_pool(nodes=1, start=False), {"POOL_SECRETFILE": None, "imapd": {"IMAP_PROXY": 0}, "pop3d": {"POP3_PROXY": 0}})
    node, client = p.nodes[0], Client(p)
    node.expect_dirty = True
    ticket = client.take(A)
    for role, taken in (("worker", True), ("authd", False)):
        dead = node.pids(role)
        os.kill(dead[0], signal.SIGKILL)
        wait_for("there is another", lambda: node.pids(role) not in ([], dead))

        def new_ticket():
            try:
                with client.connect(A) as t:
                    return t.session
            except OSError:
                return None

        def resumes_its_own():
            fresh = new_ticket()
            return fresh is not None and fresh.has_ticket and client.resumes(A, fresh)
        wait_for("it gives tickets again", resumes_its_own)
        assert client.resumes(A, ticket) == taken
