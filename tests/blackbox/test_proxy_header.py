"""Clients through a proxy in front that says who they are: PROXY protocol, versions 1 and 2."""
import os
import re
import socket
import struct
import subprocess

import pytest

import debian
from certificates import context, install, make_pem
from client import Imap, Pop3
from isolation import free_port
from pool import PATIENCE, Account, Pool, chown, wait_for
from test_strangers import hello

A, B = "127.0.0.1", "127.0.0.2"
FRONT, STRANGER = "127.0.0.8", "127.0.0.9"  # FRONT is one of PROXY_PROTOCOL_FROM
CLIENT = "192.0.2.77"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
KINDS = {"imap": Imap, "pop3": Pop3}


def text(client=CLIENT, port=4242):
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {'2001:db8::1' if family == 'TCP6' else '10.0.0.1'} {port} 143\r\n".encode()


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def binary(client=CLIENT, port=4242, more=b"", command=0x21):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    to = "2001:db8::1" if ":" in client else "10.0.0.1"
    body = socket.inet_pton(family, client) + socket.inet_pton(family, to) + struct.pack("!HH", port, 143) + more
    return SIGNATURE + struct.pack("!BBH", command, 0x21 if ":" in client else 0x11, len(body)) + body


HEADERS = {"text": text, "binary": binary}


def through(kind, port, header, source=FRONT, address=A):
    """A client whose connection begins with HEADER."""
    c = kind(address, port, source=source, greeting=False)
    c.send(header)
    c.greeting = c.response() if kind is Imap else c.line()
    return c


def log_out(c):
    c.cmd("LOGOUT" if isinstance(c, Imap) else "QUIT")
    c.close()


class Site:
    """Two nodes: A has ports with headers, too."""

    def __init__(self, keep):
        self.jo, self.far = Account("jo@example.com"), Account("far@example.com", mailhost=B)
        self.strict = Account("strict@example.com", options="disableinsecureimap=1,disableinsecurepop3=1")
        self.pool = Pool(nodes=2, start=False, keep=keep, accounts=[self.jo, self.far, self.strict])
        self.ports = {kind: free_port(self.pool.addresses) for kind in KINDS.values()}
        self.tls_ports = {kind: free_port(self.pool.addresses) for kind in KINDS.values()}
        self.plain_tls_ports = {kind: free_port(self.pool.addresses) for kind in KINDS.values()}
        install(self.pool, make_pem(self.pool.root, "first.example", "ec"))
        access = os.path.join(self.pool.root, "access")
        with open(access, "w") as f:
            f.write("203.0.113\tdeny\n203.0.113.9\tallow\n")
        chown(access)
        self.pool.write_conf({
            "PROXY_PROTOCOL_FROM": f"{FRONT} 2001:db8::/32",
            **{f"{group}-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": f"{self.plain_tls_ports[kind]},{self.tls_ports[kind]}",
                                "TLS_CERTFILE": os.path.join(self.pool.root, "pool.pem"), required: 0}
               for group, kind, required in (("imapd", Imap, "IMAP_TLS_REQUIRED"), ("pop3d", Pop3, "POP3_TLS_REQUIRED"))},
            "imapd": {"PORT": f"{self.pool.imap_port},{self.ports[Imap]}", "MAXPERIP": 3,
                      "PROXY_PROTOCOL_PORT": f"{self.ports[Imap]},{self.tls_ports[Imap]}",
                      "IMAPACCESSFILE": access},
            "pop3d": {"PORT": f"{self.pool.pop3_port},{self.ports[Pop3]}", "MAXPERIP": 3,
                      "PROXY_PROTOCOL_PORT": f"{self.ports[Pop3]},{self.tls_ports[Pop3]}",
                      "POP3ACCESSFILE": access}})
        self.pool.start()
        self.node = self.pool.nodes[0]

    def through(self, kind, header, **more):
        return through(kind, self.ports[kind], header, **more)

    def through_tls(self, kind, header):
        """The same where TLS follows the header."""
        c = kind(A, self.tls_ports[kind], source=FRONT, greeting=False)
        c.send(header)
        c.sock = context().wrap_socket(c.sock)
        c.greeting = c.response() if kind is Imap else c.line()
        return c

    def headers_refused(self):
        return self.node.status()["counts"]["headers_refused"]


@pytest.fixture(scope="module")
def site(request):
    s = Site(request.config.getoption("--keep"))
    with s.pool:
        yield s


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("client", [CLIENT, "2001:db8::77"])
@pytest.mark.parametrize("version", HEADERS)
def test_the_client_is_who_the_header_says(site, kind, version, client):
    """In the log of this node and, for forwarded logins, of the one with the mail."""
    shown = "::ffff:" + client if "." in client else client
    for account, node in ((site.jo, site.node), (site.far, site.pool.nodes[1])):
        mark = node.log_mark()
        c = site.through(kind, HEADERS[version](client))
        c.login_ok(account)
        node.wait_log(rf"LOGIN, user={account.name}, ip=\[{re.escape(shown)}\], port=\[4242\]", mark)
        assert client in site.node.tool("who").stdout
        log_out(c)


def test_nothing_is_said_before_the_header_and_no_byte_behind_it_is_lost(site, kind):
    """Cut anywhere, with the client's commands right behind it."""
    for header in (text(), binary(more=tlv(4, bytes(40)))):
        words = b"a NOOP\r\nb LOGOUT\r\n" if kind is Imap else b"CAPA\r\nQUIT\r\n"
        for cut in {1, 5, 6, 12, 13, 15, 16, 17, len(header) - 1, len(header), len(header) + 3}:
            c = kind(A, site.ports[kind], source=FRONT, greeting=False)
            c.send_pieces(header + words, [cut])
            said = c.rest()
            assert said.startswith((b"* OK", b"+OK")) and (b"b OK" if kind is Imap else b"+OK Bye") in said.splitlines()[-1], said
    c = kind(A, site.ports[kind], source=FRONT, greeting=False)
    c.send(text()[:-1])
    assert c.still_open(0.3) and c.buf == b""
    c.send(b"\n")
    assert c.line().startswith((b"* OK", b"+OK"))
    c.close()


@pytest.mark.parametrize("header", [b"a LOGIN x y\r\n", b"PROXY TCP4 192.0.2.7 10.0.0.1 0 143\n", text("192.0.2.7").replace(b"192", b"392"),
                                    SIGNATURE + b"\x21\x11\xff\xff", binary(command=0x22), b"\x16\x03\x01\x02\0\x01"], ids=repr)
def test_what_is_no_header_ends_the_connection(site, kind, header):
    before = site.headers_refused()
    c = kind(A, site.ports[kind], source=FRONT, greeting=False)
    c.send(header)
    assert c.rest() == b""
    wait_for("it is counted", lambda: site.headers_refused() == before + 1)
    site.node.wait_log(rf"a connection at port {site.ports[kind]} is closed: \[{FRONT}\] has not begun with a PROXY protocol header|"
                       rf"\[{FRONT}\] has not begun")


def test_only_our_proxies_are_believed(site, kind):
    """Others are closed at once, whatever they send."""
    before = site.headers_refused()
    with kind(A, site.ports[kind], source=STRANGER, greeting=False) as c:
        assert c.is_closed() and c.buf == b""
    wait_for("it is counted", lambda: site.headers_refused() == before + 1)
    site.node.wait_log(rf"\[{STRANGER}\] is not in PROXY_PROTOCOL_FROM")


def test_a_header_where_none_is_expected_ends_the_connection(site, kind):
    """Or the session would be the proxy's, after an error that its client does not expect. The log tells what to set."""
    for port in (site.pool.imap_port if kind is Imap else site.pool.pop3_port, site.plain_tls_ports[kind]):
        for header in (text(), binary(), b"PROXY UNKNOWN\r\n"):
            before = site.headers_refused()
            with kind(A, port, source=FRONT, greeting=False) as c:
                c.send(header)
                assert b"BAD" not in c.rest()
            wait_for("it is counted", lambda: site.headers_refused() == before + 1)
    site.node.wait_log(rf"a connection at port \d+ is closed: \[{FRONT}\] has begun with a PROXY protocol header, .* "
                       r"add the port to PROXY_PROTOCOL_PORT, and its address to PROXY_PROTOCOL_FROM")


@pytest.mark.parametrize("version", HEADERS)
def test_tls_behind_the_header(site, kind, version):
    """First who the client is, then its TLS, which is with us."""
    mark = site.node.log_mark()
    c = site.through_tls(kind, HEADERS[version]())
    c.login_ok(site.strict)
    site.node.wait_log(rf"LOGIN, user={site.strict.name}, ip=\[::ffff:{CLIENT}\], port=\[4242\]", mark)
    log_out(c)
    with socket.create_connection((A, site.tls_ports[kind]), timeout=PATIENCE, source_address=(FRONT, 0)) as s:
        s.sendall(HEADERS[version]() + hello())  # in one packet
        assert s.recv(3) == b"\x16\x03\x03"


def test_tls_without_the_header(site, kind):
    """Neither from the proxy nor from others."""
    for source in (FRONT, STRANGER):
        before = site.headers_refused()
        with socket.create_connection((A, site.tls_ports[kind]), timeout=PATIENCE, source_address=(source, 0)) as s:
            with pytest.raises(OSError):
                context().wrap_socket(s)
        wait_for("it is counted", lambda: site.headers_refused() == before + 1)


@pytest.mark.once
def test_a_header_that_does_not_come_is_not_waited_for(site):
    with Imap(A, site.ports[Imap], source=FRONT, greeting=False) as c:
        c.send(b"PROXY TCP4 192")
        assert c.is_closed() and c.buf == b""
    site.node.wait_log(rf"\[{FRONT}\] has sent no PROXY protocol header in time")


def test_checks_of_the_proxy_are_its_own(site, kind):
    """LOCAL and UNKNOWN name nobody: the address is the proxy's."""
    for header in (binary(command=0x20), SIGNATURE + b"\x20\0\0\0", b"PROXY UNKNOWN\r\n"):
        mark = site.node.log_mark()
        c = site.through(kind, header)
        c.login_ok(site.jo)
        site.node.wait_log(rf"LOGIN, user=jo@example.com, ip=\[::ffff:{FRONT}\]", mark)
        log_out(c)
    # One that only looks whether the port is open.
    before = site.headers_refused()
    kind(A, site.ports[kind], source=FRONT, greeting=False).close()
    log_out(site.through(kind, text()))
    assert site.headers_refused() == before


def test_an_access_file_judges_the_client(site, kind):
    """Who is denied, says the proxy's header; not who the proxy is."""
    before = site.node.status()["counts"]["clients_denied"]
    with kind(A, site.ports[kind], source=FRONT, greeting=False) as c:
        c.send(text("203.0.113.7"))
        assert c.rest() == b""
    c = site.through(kind, text("203.0.113.9"))
    c.login_ok(site.jo)
    log_out(c)
    assert site.node.status()["counts"]["clients_denied"] == before + 1


def test_limits_count_the_client(site, kind):
    """MAXPERIP of 3 is for each client, not for the proxy that all of them come through."""
    open_now = []
    for n in range(2):
        for _ in range(3):
            open_now.append(site.through(kind, text(f"192.0.2.{n + 1}")))
            open_now[-1].login_ok(site.jo)
    with site.through(kind, text("192.0.2.2")) as c:
        said = c.login(site.jo.name, site.jo.password)
        assert b"[LIMIT]" in said.text if kind is Imap else said.startswith(b"-ERR [SYS/TEMP]"), said
    for c in open_now:
        log_out(c)


def test_tls_towards_the_proxy_counts_as_tls(site, kind):
    """What the proxy says of it and the connection's id are in the log."""
    tls = b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x23, b"TLS_AES_256_GCM_SHA384")
    with site.through(kind, binary()) as c:
        said = c.login(site.strict.name, site.strict.password)
        assert not (said.ok if kind is Imap else said.startswith(b"+OK"))
    mark = site.node.log_mark()
    c = site.through(kind, binary(more=tlv(0x05, b"id\r\n=7") + tlv(0x20, tls)))
    c.login_ok(site.strict)
    site.node.wait_log(rf"Connection, ip=\[::ffff:{CLIENT}\], port=\[4242\], proxy=\[::ffff:{FRONT}\], "
                       r"id=id\?\?=7, tls=TLSv1\.3,TLS_AES_256_GCM_SHA384", mark)
    site.node.wait_log(rf"LOGIN, user={re.escape(site.strict.name)}, .*(starttls|stls)=1, tls=TLSv1\.3:TLS_AES_256_GCM_SHA384", mark)
    assert "TLSv1.3:TLS_AES_256_GCM_SHA384" in site.node.tool("who").stdout
    log_out(c)


@pytest.fixture(scope="module")
def haproxy(tmp_path_factory):
    """Starts the real one in front of the port of KIND, as README.proxy has it with "send-proxy-v2-ssl"; returns its port. TLS ends
    there with "-ssl" at the end of SEND, and here with "-tls"."""
    packages, place, running = debian.Unpacked("haproxy"), tmp_path_factory.mktemp("haproxy"), []
    pem = place / "mail.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out", place / "cert", "-subj", "/CN=mail"],
                   capture_output=True, check=True, timeout=120)
    pem.write_text(pem.read_text() + (place / "cert").read_text())

    def start(site, kind, send):
        port, conf = free_port([FRONT]), place / f"{send}.{kind.__name__}"
        conf.write_text(f"""
defaults
    mode tcp
    timeout connect 10s
    timeout client 30m
    timeout server 30m
listen mail
    bind {FRONT}:{port} {f"ssl crt {pem}" if send.endswith("-ssl") else ""}
    server a {A}:{site.tls_ports[kind] if send.endswith("-tls") else site.ports[kind]} source {FRONT} check {send.removesuffix("-tls")}
""")
        running.append(subprocess.Popen([packages.path("usr/sbin/haproxy"), "-db", "-f", conf], env=packages.environment(),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def is_up():
            with socket.socket() as s:
                return s.connect_ex((FRONT, port)) == 0
        wait_for("haproxy listens", is_up)
        return port
    yield start
    for one in running:
        one.terminate()
        one.wait(PATIENCE)
    packages.close()


@pytest.mark.once
def test_a_worker_that_retires_does_not_wait_for_ever_for_a_header(site):
    """The last connection of the old workers never becomes a client; they end all the same."""
    before, old = site.node.status()["counts"]["accepted"], site.node.pids("worker")
    with Imap(A, site.ports[Imap], source=FRONT, greeting=False) as c:
        wait_for("it is accepted", lambda: site.node.status()["counts"]["accepted"] > before)
        assert site.node.tool("reload").returncode == 0
        wait_for("the other workers have ended", lambda: len(set(old) & set(site.node.pids("worker"))) == 1)
        c.send(b"PROXY TCP4 192")
    wait_for("all have", lambda: not set(old) & set(site.node.pids("worker")))


@pytest.mark.once
@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-tls", "send-proxy-v2-tls"])
def test_haproxy(site, kind, haproxy, send):
    """With its health checks; TLS towards it is known to us."""
    before, mark = site.headers_refused(), site.node.log_mark()
    port = haproxy(site, kind, send)
    tls = send.endswith(("-ssl", "-tls"))
    account = site.strict if tls else site.jo
    with kind(FRONT, port, source=STRANGER, greeting=False) as c:
        if tls:
            c.sock = context().wrap_socket(c.sock)
        assert (c.response() if kind is Imap else c.line()).startswith((b"* OK", b"+OK"))
        c.login_ok(account)
        site.node.wait_log(rf"LOGIN, user={account.name}, ip=\[::ffff:{STRANGER}\], port=\[{c.local_port}\]", mark)
    assert site.headers_refused() == before
