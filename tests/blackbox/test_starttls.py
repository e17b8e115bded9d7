"""STARTTLS and STLS: programs that begin TLS at the plain ports, what comes with the command, and what a client that does not use
TLS may do. Strangers come through a port at which a PROXY header names them: all addresses here are local otherwise."""
import base64
import imaplib
import os
import poplib
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from certificates import context, hello, install, make_pem
from client import Imap, Pop3, quoted
from isolation import free_port
from pool import PATIENCE, PREFIX, SLOW, Account, Pool, wait_for
from test_proxy_header import FRONT, KINDS, binary, text, through, tlv

A, B = "127.0.0.1", "127.0.0.2"
HERE, FAR, MORE = "here@example.com", "far@example.com", "more@example.com"
SECRET = "not-for-everybody"
STRANGER = "192.0.2.50"
TRUSTED = "127.0.0.77"
BEGIN = {Imap: b"s STARTTLS\r\n", Pop3: b"STLS\r\n"}
BEGUN = {Imap: b"s OK ", Pop3: b"+OK "}
REFUSED = {Imap: b"NO [PRIVACYREQUIRED] TLS is required", Pop3: b"-ERR [SYS/PERM] TLS is required"}
UNDER_TLS = tlv(0x20, b"\x01" + bytes(4))  # the SSL TLV of a PROXY header


class Wire:
    """Passes connections on to B's port of headers, as those of STRANGER: so B does not take their sender for local."""

    def __init__(self, to):
        self.to, self.sock = to, socket.create_server((B, 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client = self.sock.accept()[0]
            except OSError:
                return
            server = socket.create_connection((B, self.to), source_address=(FRONT, 0))
            server.sendall(text(STRANGER))
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    def copy(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.sock.close()


class Site:
    """Two nodes with certificates, and no port for TLS alone."""

    def __init__(self, keep):
        self.pool = Pool(nodes=2, start=False, keep=keep, settings={"LOGIN_WORKERS": 1})
        self.ports = {kind: free_port(self.pool.addresses) for kind in KINDS.values()}
        self.wires = {kind: Wire(port) for kind, port in self.ports.items()}
        through_wires = f"{B}:imap={self.wires[Imap].port}:pop3={self.wires[Pop3].port}"
        cram = subprocess.run([os.path.join(PREFIX, "bin", "userdbpw"), "-hmac-md5"], input=f"{SECRET}\n" * 2, text=True,
                              capture_output=True, check=True).stdout.strip()
        cram = {"hmac-md5pw": cram}
        for account in (Account(HERE, SECRET, A, fields=cram), Account(FAR, SECRET, B, fields=cram), Account(MORE, SECRET, A, fields=cram),
                        Account("wire@example.com", SECRET, through_wires, fields=cram)):
            self.pool.add(account, write=False)
        self.pool.write_userdb()
        install(self.pool, make_pem(self.pool.root, "localhost", "ec"))
        pem = os.path.join(self.pool.root, "pool.pem")
        caps = "IMAP4rev1 LITERAL+ SASL-IR ID IDLE AUTH=PLAIN"
        self.pool.write_conf({
            "PROXY_PROTOCOL_FROM": FRONT,
            "proxy": {"PROXY_TRUSTED": TRUSTED},
            "imapd": {"PORT": f"{self.pool.imap_port},{self.ports[Imap]}", "PROXY_PROTOCOL_PORT": str(self.ports[Imap]), "IMAP_CAPABILITY": caps,
                      "IMAP_CAPABILITY_TLS": caps + " AUTH=CRAM-MD5"},
            "pop3d": {"PORT": f"{self.pool.pop3_port},{self.ports[Pop3]}", "PROXY_PROTOCOL_PORT": str(self.ports[Pop3]), "POP3AUTH": "PLAIN",
                      "POP3AUTH_TLS": "PLAIN CRAM-MD5"},
            "imapd-ssl": {"SSLPORT": "", "TLS_CERTFILE": pem},
            "pop3d-ssl": {"SSLPORT": "", "TLS_CERTFILE": pem, "POP3_STARTTLS": "YES"}})
        self.pool.start()
        self.node = self.pool.nodes[0]

    def connect(self, kind, address=A):
        return kind(address, self.pool.imap_port if kind is Imap else self.pool.pop3_port)

    def stranger(self, kind, under_tls=False, address=A):
        return through(kind, self.ports[kind], binary(STRANGER, more=UNDER_TLS if under_tls else b""), address=address)

    def account(self, name):
        return self.pool.accounts[name]


@pytest.fixture(scope="module")
def site(request):
    s = Site(request.config.getoption("--keep"))
    with s.pool:
        wait_for("there are certificates", lambda: all(offers(s.connect(Imap, n.address)) for n in s.pool.nodes))
        yield s
    for wire in s.wires.values():
        wire.close()


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


def offers(c):
    with c:
        return b" STARTTLS" in c.greeting if isinstance(c, Imap) else b"STLS" in c.multi("CAPA")


def begin(c, version=None):
    """C under TLS from now on."""
    c.send(BEGIN[type(c)])
    assert c.line().startswith(BEGUN[type(c)]) and c.buf == b""
    c.sock = context(version).wrap_socket(c.sock)
    return c


def can(c):
    return c.cmd("CAPABILITY").untagged[0].decode().split() if isinstance(c, Imap) else " ".join(map(bytes.decode, c.multi("CAPA"))).split()


# Programs

@pytest.mark.parametrize("user", [HERE, FAR])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_imaplib(site, version, user):
    mark = site.node.log_mark()
    body = b"Subject: much\r\n\r\n" + b"0123456789\r\n" * 100000
    with imaplib.IMAP4(A, site.pool.imap_port, timeout=PATIENCE) as c:
        assert c.starttls(context(version))[0] == "OK"
        assert "STARTTLS" not in c.capabilities and c.sock.version() == "TLSv" + version
        c.login(user, site.account(user).password)
        assert c.append("INBOX", None, None, body)[0] == "OK"
        n = int(c.select("INBOX")[1][0])
        assert c.fetch(str(n), "BODY.PEEK[]")[1][0][1] == body
        c.store(str(n), "+FLAGS", "\\Deleted")
        assert c.expunge()[0] == "OK"
        c.send(b"x STARTTLS\r\n")  # not after login
        assert re.match(rb"x (BAD|NO) ", c.readline())
        assert c.logout()[0] == "BYE"
    for node in {site.node, site.pool.node(B if user == FAR else A)}:
        node.wait_log(rf"LOGIN, user={user}, .*protocol=IMAP, starttls=1", mark if node is site.node else 0)
        node.wait_log(rf"(LOGOUT|DISCONNECTED), user={user}, .*starttls=1", mark if node is site.node else 0)


@pytest.mark.parametrize("user", [HERE, FAR])
def test_poplib(site, user):
    mark = site.node.log_mark()
    c = poplib.POP3(A, site.pool.pop3_port, timeout=PATIENCE)
    assert "STLS" in c.capa() and c.stls(context()).startswith(b"+OK")
    assert "STLS" not in c.capa()
    c.user(user)
    c.pass_(site.account(user).password)
    assert c.stat()[0] >= 1 and b"lives on" in b"".join(c.retr(1)[1])
    with pytest.raises(poplib.error_proto):
        c._shortcmd("STLS")
    assert c.quit().startswith(b"+OK")
    site.node.wait_log(rf"LOGIN, user={user}, .*protocol=POP3, stls=1", mark)
    site.node.wait_log(rf"(LOGOUT|DISCONNECTED), user={user}, .*stls=1", mark)


def test_mechanisms_for_tls_alone(site):
    """CRAM-MD5 is offered under TLS, and goes through; an IDLE ends as it should."""
    account = site.account(MORE)
    with site.connect(Imap) as c:
        assert "AUTH=CRAM-MD5" not in can(c)
        assert "AUTH=CRAM-MD5" in can(begin(c))
    with imaplib.IMAP4(A, site.pool.imap_port, timeout=PATIENCE) as c:
        c.starttls(context())
        assert c.login_cram_md5(account.name, account.password)[0] == "OK"
        c.select("INBOX")
        c.send(b"i IDLE\r\n")
        assert c.readline().startswith(b"+ ")
        site.pool.deliver(account, b"Subject: new\r\n\r\n")
        assert re.match(rb"\* \d+ EXISTS", c.readline())
        c.send(b"DONE\r\n")
        while not (line := c.readline()).startswith(b"i "):
            assert line.startswith(b"* ")
        assert line.startswith(b"i OK")
    with site.connect(Pop3) as c:
        assert "CRAM-MD5" not in can(c)
        assert "CRAM-MD5" in can(begin(c))


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*args, **more):
    return subprocess.run(args, capture_output=True, timeout=60 * SLOW, **more)


@pytest.mark.parametrize("user", [HERE, FAR])
def test_openssl(site, kind, user):
    name, port = ("imap", site.pool.imap_port) if kind is Imap else ("pop3", site.pool.pop3_port)
    account = site.account(user)
    words = f"a LOGIN {user} {account.password}\r\nb LOGOUT\r\n" if kind is Imap else f"USER {user}\r\nPASS {account.password}\r\nSTAT\r\nQUIT\r\n"
    r = run("openssl", "s_client", "-quiet", "-ign_eof", "-starttls", name, "-connect", f"{A}:{port}", input=words.encode())
    assert (b"a OK" in r.stdout and b"b OK" in r.stdout) if kind is Imap else re.search(rb"\+OK \d+ \d+\r\n", r.stdout), r


@needs("curl")
@pytest.mark.once
@pytest.mark.parametrize("user", [HERE, FAR])
def test_curl(site, user):
    for url in (f"imap://{A}:{site.pool.imap_port}/INBOX;MAILINDEX=1", f"pop3://{A}:{site.pool.pop3_port}/1"):
        r = run("curl", "-sS", "--ssl-reqd", "-k", "-u", f"{user}:{site.account(user).password}", url)
        assert r.returncode == 0 and b"lives on" in r.stdout, r


@needs("fetchmail")
@pytest.mark.once
def test_fetchmail(site, kind, tmp_path):
    port = site.pool.imap_port if kind is Imap else site.pool.pop3_port
    rc = tmp_path / "rc"
    rc.write_text(f'poll {A} protocol {"imap" if kind is Imap else "pop3"} service {port} user "{FAR}" password "{site.account(FAR).password}"\n'
                  f'  fetchall keep sslproto "tls1.2+" no sslcertck mda "/bin/cat"\n')
    rc.chmod(0o600)
    r = run("fetchmail", "-f", str(rc), "--nodetach", "--nosyslog", "-v",
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LC_ALL": "C.UTF-8", "USER": "someone"})
    assert r.returncode == 0 and b"lives on" in r.stdout and b"TLS" in r.stdout, r


@needs("mbsync")
@pytest.mark.once
def test_mbsync(site, tmp_path):
    (tmp_path / "local").mkdir()
    rc = tmp_path / "rc"
    rc.write_text(f"""IMAPAccount pool
Host localhost
Port {site.pool.imap_port}
User {FAR}
Pass "{site.account(FAR).password}"
SSLType STARTTLS
CertificateFile {site.pool.root}/pool.crt
AuthMechs LOGIN

IMAPStore far
Account pool

MaildirStore near
Path {tmp_path}/local/
Inbox {tmp_path}/local/INBOX

Channel all
Far :far:
Near :near:
Create Near
SyncState *
""")
    with open(os.path.join(site.pool.root, "pool.pem")) as f:
        pem = f.read()
    with open(os.path.join(site.pool.root, "pool.crt"), "w") as f:
        f.write(pem[pem.index("-----BEGIN CERTIFICATE"):])
    r = run("mbsync", "-c", str(rc), "-a", env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"})
    assert r.returncode == 0, r
    assert len(os.listdir(tmp_path / "local" / "INBOX" / "new")) + len(os.listdir(tmp_path / "local" / "INBOX" / "cur")) >= 1


# What comes with the command

INJECTED = {
    "a command": lambda kind, account: b"n NOOP\r\n" if kind is Imap else b"UTF8\r\n",
    "a login": lambda kind, account: f"n LOGIN {account.name} {account.password}\r\n".encode() if kind is Imap else
                                     f"USER {account.name}\r\nPASS {account.password}\r\n".encode(),
    "half a command": lambda kind, account: b"n NO",
    "a line end": lambda kind, account: b"\r\n",
    "a ClientHello": lambda kind, account: hello(),
}


@pytest.mark.parametrize("what", INJECTED)
def test_bytes_in_the_packet_of_the_command(site, kind, what):
    """They came before our reply, so they are not the client's words under TLS: the connection ends with no word, and a line in the
    log. That goes for a ClientHello, too: a client that does not wait for our reply cannot be told from one whose packet somebody
    has added to (RFC 9051 section 6.2.1: it MUST NOT issue another command until it has the reply)."""
    mark = site.node.log_mark()
    with site.connect(kind) as c:
        c.send(BEGIN[kind] + INJECTED[what](kind, site.account(HERE)))
        assert c.rest() == b""
    site.node.wait_log(r"STARTTLS REFUSED, ip=.*, reason=bytes behind the command came in clear", mark)
    assert "LOGIN, user" not in site.node.log_since(mark)


@pytest.mark.parametrize("what", ["a command", "a login", "half a command"])
def test_bytes_in_the_next_packet(site, kind, what):
    """Either they are refused like these, or they are taken for TLS, which they are not: never are they executed."""
    mark = site.node.log_mark()
    with site.connect(kind) as c:
        c.send_pieces(BEGIN[kind] + INJECTED[what](kind, site.account(HERE)), [len(BEGIN[kind])])
        c.half_close()
        said = c.rest()
    assert said == b"" or re.fullmatch(re.escape(BEGUN[kind]) + rb"[^\r\n]*\r\n(\x15\x03.*)?", said, re.S), said
    assert "LOGIN, user" not in site.node.log_since(mark)
    with site.connect(kind) as c:
        begin(c)


def test_what_was_said_before_does_not_count(site):
    with site.connect(Pop3) as c:
        c.ok(f"USER {HERE}")
        begin(c)
        assert c.cmd(f"PASS {site.account(HERE).password}").startswith(b"-ERR USER first")
    with site.connect(Imap) as c:
        begin(c)
        c.send(b"t STARTTLS\r\n")
        assert c.line().startswith(b"t BAD")
        c.login_ok(site.account(HERE))


# Who must use TLS

def test_a_stranger_must_use_tls(site, kind):
    """It is told so before it has sent a password, and can log in as soon as it uses TLS."""
    account, mark = site.account(HERE), site.node.log_mark()
    with site.stranger(kind) as c:
        words = can(c)
        if kind is Imap:
            assert b" LOGINDISABLED" in c.greeting and b"AUTH=" not in c.greeting
            assert "STARTTLS" in words and "LOGINDISABLED" in words and not [x for x in words if x.startswith("AUTH=")]
            c.send(f"a LOGIN {quoted(account.name)} {{{len(account.password)}}}\r\n".encode())
            assert c.line().startswith(b"a " + REFUSED[Imap])
            c.send(f"b LOGIN {account.name} {account.password}\r\nc AUTHENTICATE PLAIN\r\nd AUTHENTICATE CRAM-MD5\r\n")
            assert [c.line()[:2 + len(REFUSED[Imap])] for _ in range(3)] == [tag + REFUSED[Imap] for tag in (b"b ", b"c ", b"d ")]
        else:
            assert "STLS" in words and "SASL" not in words and "PLAIN" not in words
            plain = base64.b64encode(f"\0{account.name}\0{account.password}".encode()).decode()
            for line in (f"USER {account.name}", f"PASS {account.password}", "AUTH PLAIN", f"AUTH PLAIN {plain}", "APOP x 00"):
                assert c.cmd(line).startswith(REFUSED[Pop3])
        site.node.wait_log(rf"LOGIN REFUSED, ip=\[::ffff:{STRANGER}\], .*reason=TLS required", mark)
        begin(c)
        assert "LOGINDISABLED" not in can(c)
        c.login_ok(account)
    assert account.password not in site.node.log_since(mark)


def test_who_need_not_begin_it(site, kind):
    """Who is local, and whose TLS ends at a proxy in front that says so."""
    for c in (site.connect(kind), site.stranger(kind, under_tls=True)):
        with c:
            c.login_ok(site.account(HERE))
    with site.stranger(kind, under_tls=True) as c:
        assert "STARTTLS" not in can(c) and "STLS" not in can(c)
        c.send(BEGIN[kind])
        assert c.line().startswith((b"s BAD", b"-ERR"))
    with site.connect(kind) as c:  # that local clients may log in is announced
        assert "AUTH=PLAIN" in can(c) or "SASL" in can(c)


def test_nodes_forward_to_each_other(site, kind):
    """In clear text, by the pool's secret, though B takes their address for a stranger's; but not a stranger's login."""
    mark = site.pool.nodes[1].log_mark()
    for c in (begin(site.connect(kind)), site.stranger(kind, under_tls=True), site.connect(kind)):
        with c:
            c.login_ok(site.account("wire@example.com"))
    site.pool.nodes[1].wait_log(rf"LOGIN, user=wire@example.com, ip=\[::ffff:{STRANGER}\], .*tls=1", mark)


@pytest.mark.parametrize("user", [HERE, FAR, "wire@example.com"])
def test_a_front_that_does_not_tell_of_tls(site, kind, user):
    """It is let in by its address, wherever the account lives: the next node does not see that address."""
    with kind(A, site.pool.imap_port if kind is Imap else site.pool.pop3_port, source=TRUSTED) as c:
        c.ok(f'ID ("x-originating-ip" "{STRANGER}")' if kind is Imap else f"XCLIENT ADDR={STRANGER}")
        c.login_ok(site.account(user))


@pytest.mark.parametrize("address", [True, False])
@pytest.mark.parametrize("user", [HERE, FAR])
def test_a_front_that_tells_of_none(site, kind, user, address):
    """It is believed: its client has to use TLS, whether it says who that is or not."""
    for told in ("insecure", "TLS"):
        with kind(A, site.pool.imap_port if kind is Imap else site.pool.pop3_port, source=TRUSTED) as c:
            words = f'"x-originating-ip" "{STRANGER}" ', f"ADDR={STRANGER} "
            c.ok(f'ID ({words[0] * address}"x-client-transport" "{told}")' if kind is Imap else
                 f"XCLIENT {words[1] * address}CLIENT-TRANSPORT={told}")
            if told == "TLS":
                c.login_ok(site.account(user))
            elif kind is Imap:
                assert b"[PRIVACYREQUIRED]" in c.login(user, SECRET).text
            else:
                assert c.login(user, SECRET).startswith(REFUSED[Pop3])


def test_a_stranger_cannot_pass_for_a_node(site, kind):
    """It can claim to have the secret, but that is found out."""
    auth = f"{1893456000}:{'0' * 64}"
    account, mark = site.account(HERE), site.node.log_mark()
    with site.stranger(kind) as c:
        if kind is Imap:
            c.ok(f'ID ("x-session-id" "ABCDEFGHIJKL" "x-originating-ip" "127.0.0.1" "x-client-transport" "TLS" "x-waypost-auth" "{auth}")')
            assert b"[PRIVACYREQUIRED]" in c.login(account.name, account.password).text
            assert b"[AUTHENTICATIONFAILED]" in c.login(account.name, "wrong").text
        else:
            c.ok(f"XCLIENT SESSION=ABCDEFGHIJKL ADDR=127.0.0.1 CLIENT-TRANSPORT=TLS WAYPOST-AUTH={auth}")
            assert c.login(account.name, account.password).startswith(REFUSED[Pop3])
    site.node.wait_log(rf"LOGIN REFUSED, user={HERE}, .*reason=TLS required: the forwarding node's signature is not valid here", mark)


def test_operator_says_otherwise_and_a_broken_certificate(request):
    """IMAP_TLS_REQUIRED = 0 lets strangers log in as in Courier; without a usable certificate STARTTLS is not offered, and refused for
    now; with a good one it is there again."""
    pool = Pool(nodes=1, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 1}, accounts=[Account(HERE)])
    port = free_port(pool.addresses)
    install(pool, "broken\n")
    pool.write_conf({"PROXY_PROTOCOL_FROM": FRONT, "imapd": {"PORT": f"{pool.imap_port},{port}", "PROXY_PROTOCOL_PORT": str(port)},
                     "imapd-ssl": {"SSLPORT": "", "TLS_CERTFILE": os.path.join(pool.root, "pool.pem"), "IMAP_TLS_REQUIRED": 0}})
    with pool:
        node = pool.nodes[0]
        node.expected.append("there is no private key")
        pool.start()
        with through(Imap, port, text(STRANGER)) as c:
            assert b"LOGINDISABLED" not in c.greeting and b"STARTTLS" not in c.greeting and b"AUTH=PLAIN" in c.greeting
            assert c.cmd("STARTTLS").text.startswith(b"NO [UNAVAILABLE]")
            c.login_ok(pool.accounts[HERE])
        install(pool, make_pem(pool.root, "first.example", "ec"))
        wait_for("it is offered", lambda: offers(Imap(A, pool.imap_port)), timeout=10 * SLOW)
        with through(Imap, port, text(STRANGER)) as c:
            begin(c).login_ok(pool.accounts[HERE])


@pytest.mark.once
def test_key_process_ends_while_the_file_is_broken(request):
    """STARTTLS is not offered for a certificate that nobody can sign for, and is again once there is one."""
    s = Site(request.config.getoption("--keep"))
    with s.pool:
        wait_for("there is a certificate", lambda: offers(s.connect(Imap)))
        with open(os.path.join(s.pool.root, "pool.pem")) as f:
            good = f.read()
        install(s.pool, "nonsense\n")
        s.node.expect_dirty = True
        for pid in s.node.pids("key"):
            os.kill(pid, signal.SIGKILL)
        for kind in KINDS.values():
            wait_for("there is none", lambda: not offers(s.connect(kind)))
            with s.stranger(kind) as c:
                c.send(BEGIN[kind])
                assert c.line().startswith((b"s NO [UNAVAILABLE]", b"-ERR [SYS/TEMP]"))
        install(s.pool, good)
        for kind in KINDS.values():
            wait_for("it is back", lambda: offers(s.connect(kind)))
            with begin(s.stranger(kind)) as c:
                c.login_ok(s.account(HERE))
    for wire in s.wires.values():
        wire.close()
