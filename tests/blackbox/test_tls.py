"""Clients that begin with TLS: sessions here and elsewhere, certificates that change, the key process."""
import imaplib
import os
import poplib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import pytest

from certificates import VERSIONS, context, install, make_pem
from pool import Account, Pool, PATIENCE, SLOW, free_port, wait_for

HERE, ELSEWHERE = "anna@example.com", "berta@example.com"


@pytest.fixture(scope="module")
def pool(request):
    p = Pool(nodes=2, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 1},
             accounts=[Account(HERE, mailhost="127.0.0.1"), Account(ELSEWHERE, mailhost="127.0.0.2")])
    p.tls_port = {"imapd": free_port(p.addresses), "pop3d": free_port(p.addresses)}
    install(p, make_pem(p.root, "first.example", "ec"))
    p.write_conf({f"{group}-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": os.path.join(p.root, "pool.pem")}
                  for group, port in p.tls_port.items()})
    p.start()
    yield p
    p.close()


def imap(pool, version=None):
    return imaplib.IMAP4_SSL("127.0.0.1", pool.tls_port["imapd"], ssl_context=context(version), timeout=PATIENCE)


def shown_name(pool):
    """The name in the certificate that the node shows, and that the handshake and the greeting worked."""
    with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
        with context().wrap_socket(s) as t:
            assert t.recv(100).startswith(b"* OK")
            der = t.getpeercert(binary_form=True)
    names = [n for n in (b"first.example", b"second.example", b"third.example") if n in der]
    assert len(names) == 1
    return names[0].decode()


@pytest.mark.parametrize("user", [HERE, ELSEWHERE])
@pytest.mark.parametrize("version", VERSIONS)
def test_session(pool, version, user):
    """Much in both directions, and both ends of the session."""
    server = pool.nodes[0 if user == HERE else 1]
    mark = server.log_mark()
    body = b"Subject: much\r\n\r\n" + b"0123456789\r\n" * 100000
    with imap(pool, version) as c:
        assert c.sock.version() == "TLSv" + version
        c.login(user, pool.accounts[user].password)
        assert c.append("INBOX", None, None, body)[0] == "OK"
        n = int(c.select("INBOX")[1][0])
        assert c.fetch(str(n), "BODY.PEEK[]")[1][0][1] == body
        c.store(str(n), "+FLAGS", "\\Deleted")
        assert c.expunge()[0] == "OK"
        assert c.logout()[0] == "BYE"
    p = poplib.POP3_SSL("127.0.0.1", pool.tls_port["pop3d"], context=context(version), timeout=PATIENCE)
    p.user(user)
    p.pass_(pool.accounts[user].password)
    assert p.stat()[0] >= 1
    assert p.quit().startswith(b"+OK")
    server.wait_log(rf"LOGOUT, user={user}, .*starttls=1", mark)


def test_wrong_protocol_in_alpn(pool):
    with pytest.raises(ssl.SSLError, match="no application protocol|NO_APPLICATION_PROTOCOL"):
        with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
            context(alpn=["http/1.1"]).wrap_socket(s)
    with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
        with context(alpn=["http/1.1", "imap"]).wrap_socket(s) as t:
            assert t.selected_alpn_protocol() == "imap"


@pytest.mark.parametrize("text", [b"a LOGIN x y\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x40\x00\x01\xff\xff\xff"])
def test_no_tls(pool, text):
    """Who does not speak TLS gets no word, and the worker goes on."""
    worker = pool.nodes[0].pids("worker")
    with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
        s.sendall(text)
        got = b""
        try:
            while more := s.recv(100):
                got += more
        except ConnectionResetError:
            pass
    assert len(got) <= 7 and b"OK" not in got
    assert shown_name(pool)
    assert pool.nodes[0].pids("worker") == worker


def test_certificate_changes(pool):
    """A new certificate is shown soon, a broken one never, and no connection fails meanwhile."""
    node = pool.nodes[0]
    with imap(pool) as open_before:
        install(pool, make_pem(pool.root, "second.example", "rsa"))
        end = time.monotonic() + 10 * SLOW
        while shown_name(pool) != "second.example":
            assert time.monotonic() < end
        for n in pool.nodes:
            n.expected.append("there is no private key")
        install(pool, "broken\n")
        wait_for("the broken file is noticed", lambda: "there is no private key" in node.log())
        assert shown_name(pool) == "second.example"
        install(pool, make_pem(pool.root, "third.example", "ec"))
        end = time.monotonic() + 10 * SLOW
        while shown_name(pool) != "third.example":
            assert time.monotonic() < end
        assert open_before.noop()[0] == "OK"


def test_key_process_dies(pool):
    """Sessions go on without it, and handshakes wait for its successor: not one fails, whenever it dies."""
    node = pool.nodes[0]
    node.expect_dirty = True
    with imap(pool) as c:
        c.login(HERE, pool.accounts[HERE].password)
        for _ in range(2):
            dead = node.pids("key")
            assert len(dead) == 1
            os.kill(dead[0], signal.SIGKILL)
            while node.pids("key") in ([], dead):
                assert shown_name(pool)
            assert shown_name(pool)
        assert c.noop()[0] == "OK"


@pytest.mark.long
def test_key_process_hangs(pool):
    """It is replaced after a minute."""
    node = pool.nodes[0]
    node.expect_dirty = True
    pid, = node.pids("key")
    node.expected.append("key 0 .* does not answer|login worker .*|TLS FAILED")
    os.kill(pid, signal.SIGSTOP)
    wait_for("another key process", lambda: node.pids("key") not in ([], [pid]), timeout=150)
    assert shown_name(pool)


def test_key_process_lacks_descriptors(pool):
    """What it could not take is passed again as soon as it can, though the file does not change."""
    node = pool.nodes[0]
    pid, = node.pids("key")
    hard = subprocess.run(["prlimit", "--pid", str(pid), "--nofile", "--noheadings", "--output=HARD"], preexec_fn=node.as_user(), check=True,
                          capture_output=True, text=True).stdout.strip()
    before = shown_name(pool)
    after = "second.example" if before != "second.example" else "third.example"
    node.expected.append("because descriptors ran out")
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=3:"], preexec_fn=node.as_user(), check=True)
    mark = node.log_mark()
    install(pool, make_pem(pool.root, after, "ec"))
    node.wait_log(r"key 0 \(pid \d+\) lacks certificates because descriptors ran out", mark)
    assert int(re.search(r"retrying. Set LimitNOFILE=(\d+) in the service unit", node.log_since(mark)).group(1)) >= 2 * int(hard)
    assert shown_name(pool) == before
    time.sleep(5)  # the checks of the files are over
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={hard}:"], preexec_fn=node.as_user(), check=True)
    wait_for("the new certificate is shown", lambda: shown_name(pool) == after)
    assert node.pids("key") == [pid]


def test_key_process_holds_no_file_and_no_socket_to_others(pool):
    """What it has open are its channels, the loop and where its output goes."""
    if os.getuid() != 0:
        pytest.skip("only root can look at a process that is not dumpable")
    pids = pool.nodes[0].pids("key")
    assert pids
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        kinds = [os.readlink(os.path.join(folder, n)) for n in os.listdir(folder)]
        assert all(k.startswith(("socket:", "anon_inode:", "/dev/null", "pipe:")) or k.endswith(".log") for k in kinds), kinds
        with open(f"/proc/{pid}/net/tcp") as f:
            sockets = {line.split()[9] for line in f if line.split()[9].isdigit()}
        assert not sockets & {k[8:-1] for k in kinds if k.startswith("socket:")}


def test_openssl_s_client(pool):
    """Another library's client than Python's, with all that it checks."""
    openssl = shutil.which("openssl")
    result = subprocess.run([openssl, "s_client", "-connect", f"127.0.0.1:{pool.tls_port['imapd']}", "-quiet"],
                            input=b"a LOGOUT\r\n", capture_output=True, timeout=PATIENCE)
    assert b"* OK" in result.stdout


def test_node_stops(pool):
    """A session of this node is told, as one without TLS is."""
    node = pool.nodes[0]
    c = imap(pool)
    c.login(HERE, pool.accounts[HERE].password)
    c.select()
    assert node.stop() == 0
    last = b""
    while more := c.sock.recv(4096):
        last += more
    c.sock.close()
    assert last.startswith(b"* BYE"), last
    node.start()
