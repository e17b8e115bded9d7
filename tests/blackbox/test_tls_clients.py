"""Real mail programs through a node that does not have the mail: the client with TLS or without, the peer with TLS or without; how
sessions end, and records that come in pieces, at both sides."""
import base64
import hashlib
import imaplib
import mailbox
import os
import poplib
import random
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from certificates import Authority, TlsEnd
from client import Imap, Pop3
from debian import Unpacked
from isolation import free_port
from pool import PATIENCE, SLOW, Account, Pool, message, wait_for
from test_peer_tls import give
from test_programs import ENV, MUTT, in_terminal

pytestmark = pytest.mark.once

A, B = "127.0.0.1", "127.0.0.2"
CLIENTS, PEERS, PROTOCOLS = ["plain", "starttls", "implicit"], ["none", "starttls", "implicit"], ["imap", "pop3"]
PACKAGES = {"openssl": "openssl", "curl": "curl", "mbsync": "isync", "fetchmail": "fetchmail", "mutt": "mutt"}
BODY = "".join(f"{'.' * (n % 3)}{base64.b64encode(hashlib.sha384(b'%d' % n).digest()).decode()}\r\n" for n in range(5000))
LARGE = message("large", BODY)
LF = BODY.replace("\r\n", "\n").encode()
RESUMED = r"TLSv1\.3:TLS_[A-Z0-9_]+:resumed"


class Wire:
    """Passes connections on from a port of HOST to ADDRESS, and cuts what comes, both ways: much of it into single bytes."""

    def __init__(self, host, address):
        self.address, self.sock = address, socket.create_server((host, 0))
        self.port = self.sock.getsockname()[1]
        self.to_server, self.to_client = [], []  # the first bytes of each connection
        self.end_after = None                    # so many bytes from the server end the connection, as an attacker does it
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client = self.sock.accept()[0]
            except OSError:
                return
            server = socket.create_connection(self.address)
            for s in client, server:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.copy, args=(client, server, self.to_server, None), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, self.to_client, self.end_after), daemon=True).start()

    def copy(self, a, b, first, end_after):
        at, chance, seen = 0, random.Random(1), bytearray()
        first.append(seen)
        try:
            while data := a.recv(65536):
                seen += data[:5000 - len(seen)] if len(seen) < 5000 else b""
                while data:
                    n = 1 if at % 80000 < 2000 else chance.randint(1, 3000)
                    b.sendall(data[:n])
                    at, data = at + n, data[n:]
                    if end_after is not None and at >= end_after:
                        raise EOFError
            b.shutdown(socket.SHUT_WR)
        except (OSError, EOFError):
            for s in a, b:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.sock.close()


class Site:
    """Two nodes of a pool, all mail at B, and a certificate that all believe."""

    def __init__(self, peer, authority, keep):
        self.peer, self.authority = peer, authority
        self.pool = p = Pool(nodes=2, start=False, keep=keep, settings={"LOGIN_WORKERS": 1})
        self.tls_port = {protocol: free_port(p.addresses) for protocol in PROTOCOLS}
        self.plain_port = {"imap": p.imap_port, "pop3": p.pop3_port}
        there = self.tls_port if peer == "implicit" else self.plain_port
        self.peer_wires = {protocol: Wire(B, (B, there[protocol])) for protocol in PROTOCOLS}
        self.wires = {(client, protocol): Wire(A, (A, self.port(client, protocol))) for client in CLIENTS for protocol in PROTOCOLS}
        for program in [*PACKAGES, "python", "ends"]:
            for client in CLIENTS:
                for protocol in PROTOCOLS:
                    self.add(f"{program}-{client}-{protocol}@example.com", B)
        for protocol in PROTOCOLS:
            self.add(f"silent-{protocol}@example.com", B)
        through = B + "".join(f":{protocol}={wire.port}" for protocol, wire in self.peer_wires.items())
        self.add("wire@example.com", through)
        p.write_userdb()
        pem = give(p, authority.pem("pool", f"IP:{A},IP:{B},DNS:localhost"), "pool.pem")
        p.write_conf({"proxy": {"PROXY_TLS": peer, "PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt")},
                      **{f"{name}d-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": pem}
                         for name, port in self.tls_port.items()}})
        p.write_conf({"pop3d-ssl": {"POP3_STARTTLS": "YES"}})
        p.start()
        wait_for("there are certificates", lambda: all(b" STARTTLS" in Imap(n.address, p.imap_port).greeting for n in p.nodes))

    def add(self, name, mailhost):
        account = self.pool.add(Account(name, mailhost=mailhost), write=False)
        self.pool.deliver(account, LARGE)

    def count(self, account):
        return sum(len(os.listdir(os.path.join(account.maildir, kind))) for kind in ("new", "cur"))

    def port(self, client, protocol):
        return (self.tls_port if client == "implicit" else self.plain_port)[protocol]

    def close(self):
        for wire in [*self.wires.values(), *self.peer_wires.values()]:
            wire.close()
        self.pool.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module", params=PEERS)
def site(request, authority):
    s = Site(request.param, authority, request.config.getoption("--keep"))
    yield s
    s.close()


class Programs:
    """Those of this machine, else those of Debian's packages."""

    def __init__(self):
        self.unpacked = {}

    def get(self, name):
        """Path and environment."""
        if shutil.which(name):
            return shutil.which(name), ENV
        if name not in self.unpacked:
            self.unpacked[name] = Unpacked(PACKAGES[name])
        packages = self.unpacked[name]
        return packages.path(f"usr/bin/{name}"), {**ENV, **packages.environment()}

    def close(self):
        for packages in self.unpacked.values():
            packages.close()


@pytest.fixture(scope="module")
def programs():
    p = Programs()
    yield p
    p.close()


class Task:
    """What one program is to do: its account, where it connects to, and how it runs."""

    def __init__(self, site, programs, program, client, protocol, home):
        self.site, self.client, self.protocol, self.home = site, client, protocol, home
        self.account = site.pool.accounts[f"{program}-{client}-{protocol}@example.com"]
        self.port = site.port(client, protocol)
        self.url = f"{protocol.rstrip('3') if program == 'mutt' else protocol}{'s' if client == 'implicit' else ''}://localhost:{self.port}/"
        self.ca = site.authority.crt
        self.path, self.env = programs.get(program) if program in PACKAGES else ("", {})

    def write(self, name, text):
        path = self.home / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    def run(self, *args, status=0, **more):
        env = {**self.env, "HOME": str(self.home), "FETCHMAILHOME": str(self.home), "LOGNAME": "someone", "USER": "someone"}
        result = subprocess.run([self.path, *args], env=env, capture_output=True, timeout=60 * SLOW, **more)
        assert result.returncode == status, (result.args, result.stdout[-1000:], result.stderr[-1000:])
        return result.stdout


def openssl(t):
    """All commands at once; TLS's own words are not mixed with ours."""
    where = ["-connect", f"localhost:{t.port}", "-quiet", "-CAfile", t.ca, "-verify_return_error", "-verify_hostname", "localhost"]
    start = ["-starttls", t.protocol] if t.client == "starttls" else []
    name, password = t.account.name, t.account.password
    if t.protocol == "imap":
        words = f'a LOGIN {name} {password}\r\nb LIST "" *\r\nc SELECT INBOX\r\nd FETCH 2 BODY[]\r\ne STORE 2 +FLAGS \\Flagged\r\nf LOGOUT\r\n'
        told = t.run("s_client", *where, *start, input=words.encode())
        assert b"BODY[] {%d}\r\n%s" % (len(LARGE), LARGE) in told and told.count(b" OK ") >= 6 and b"\r\nf OK " in told
        assert re.search(rb"\* 2 FETCH \([^\r]*\\Flagged", told)
    else:
        told = t.run("s_client", *where, *start, input=f"USER {name}\r\nPASS {password}\r\nLIST\r\nRETR 2\r\nQUIT\r\n".encode())
        assert stuffed(LARGE) + b".\r\n+OK" in told


def stuffed(text):
    """As POP3 sends it."""
    return re.sub(rb"(?m)^\.", b"..", text)


def curl(t):
    def do(*args):
        return t.run("--silent", "--show-error", "--max-time", "50", "--cacert", t.ca, *(["--ssl-reqd"] if t.client == "starttls" else []),
                     "-u", f"{t.account.name}:{t.account.password}", *args)
    if t.protocol == "imap":
        assert b"INBOX" in do(t.url)
        assert do(t.url + "INBOX;MAILINDEX=2") == LARGE
        new = message("from curl", BODY)
        (t.home / "new").write_bytes(new)
        do("-T", str(t.home / "new"), t.url + "INBOX")
        assert do(t.url + "INBOX;MAILINDEX=3") == new
        assert b"\\Flagged" in do(t.url + "INBOX", "-X", "STORE 3 +FLAGS \\Flagged")
    else:
        assert len(do(t.url).splitlines()) == 2
        assert do(t.url + "2") == LARGE


def mbsync(t):
    """Once each way."""
    local = t.home / "local"
    local.mkdir()
    rc = t.write("mbsyncrc", f"""
FSync no

IMAPAccount pool
Host localhost
Port {t.port}
User {t.account.name}
Pass {t.account.password}
SSLType {dict(plain="None", starttls="STARTTLS", implicit="IMAPS")[t.client]}
SystemCertificates no
CertificateFile {t.ca}
AuthMechs LOGIN

IMAPStore there
Account pool

MaildirStore here
Path {local}/
Inbox {local}/INBOX

Channel both
Far :there:
Near :here:
Patterns INBOX
Create Both
Expunge Both
SyncState *
""")
    t.run("-c", rc, "-a")
    box = mailbox.Maildir(str(local / "INBOX"), create=False)
    assert sum(box.get_bytes(key).endswith(LF) for key in box.keys()) == 1 and len(box) == 2
    new = mailbox.MaildirMessage(message("from here", BODY).replace(b"\r\n", b"\n"))
    new.set_subdir("cur")
    new.set_flags("F")
    box.add(new)
    t.run("-c", rc, "-a")
    with Imap(B, t.site.plain_port["imap"]) as c:
        c.login_ok(t.account)
        assert c.subjects()[2:] == ["from here"]
        assert b"\\Flagged" in c.ok("FETCH 3 (FLAGS)").untagged[0]
        assert BODY.encode() in c.ok("FETCH 3 BODY.PEEK[TEXT]").untagged[0]


def fetchmail(t):
    """IMAP: fetch and leave it there, as seen. POP3: fetch and delete."""
    tls = {"plain": 'sslproto ""', "starttls": 'sslproto "tls1.2+"', "implicit": 'ssl sslproto "tls1.2+"'}[t.client]
    rc = t.write("fetchmailrc", f'poll localhost protocol {t.protocol} service {t.port} user "{t.account.name}" password "{t.account.password}"\n'
                 f'  {"keep" if t.protocol == "imap" else "fetchall nokeep"} {tls} sslcertck sslcertfile "{t.ca}" mda "/bin/cat >> {t.home}/inbox"\n')
    t.run("-f", rc, "--nodetach", "--nosyslog", "-v")
    assert LF in (t.home / "inbox").read_bytes()
    t.run("-f", rc, "--nodetach", "--nosyslog", status=1)  # nothing new
    with Pop3(B, t.site.plain_port["pop3"]) as c:
        c.login_ok(t.account)
        assert c.ok("STAT").split()[1] == (b"2" if t.protocol == "imap" else b"0")


def mutt(t):
    """Copies all to a file here; flags, or deletes."""
    rc = t.write("muttrc", f"""
set {t.protocol.rstrip("3")}_user="{t.account.name}"
set {t.protocol.rstrip("3")}_pass="{t.account.password}"
set ssl_starttls={"yes" if t.client == "starttls" else "no"}
set ssl_force_tls={"no" if t.client == "plain" else "yes"}
set ssl_ca_certificates_file="{t.ca}"
set pop_checkinterval=0
set pop_delete=yes
set pop_authenticators="user"
set folder="{t.home}"
set message_cachedir=""
{MUTT}""")
    last = "<flag-message>" if t.protocol == "imap" else "<delete-message>"
    commands = (f"<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{t.home}/copies<enter><untag-pattern>~A<enter>"
                f"<limit>~s large<enter>{last}<sync-mailbox><quit>")
    screen = in_terminal([t.path, "-n", "-F", rc, "-f", t.url, "-e", f'push "{commands}"'], t.home, t.env)
    copies = t.home / "copies"
    assert copies.exists() and LF in copies.read_bytes() and b" lives on " in copies.read_bytes(), screen[-3000:]
    with Imap(B, t.site.plain_port["imap"]) as c:
        c.login_ok(t.account)
        assert c.subjects()[1:] == (["large"] if t.protocol == "imap" else []), screen[-3000:]
        if t.protocol == "imap":
            assert b"\\Flagged" in c.ok("FETCH 2 (FLAGS)").untagged[0]


def trusting(ca):
    """It takes a cut for no end, which Python does otherwise."""
    context = ssl.create_default_context(cafile=ca)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def imap_session(site, client, port):
    if client == "implicit":
        return imaplib.IMAP4_SSL("localhost", port, ssl_context=trusting(site.authority.crt), timeout=PATIENCE)
    c = imaplib.IMAP4("localhost", port, timeout=PATIENCE)
    if client == "starttls":
        c.starttls(trusting(site.authority.crt))
    return c


def pop3_session(site, client, port):
    if client == "implicit":
        return poplib.POP3_SSL("localhost", port, context=trusting(site.authority.crt), timeout=PATIENCE)
    c = poplib.POP3("localhost", port, timeout=PATIENCE)
    if client == "starttls":
        c.stls(trusting(site.authority.crt))
    return c


def imap_work(c, account):
    c.login(account.name, account.password)
    assert any(b"INBOX" in line for line in c.list()[1])
    assert c.append("INBOX", None, None, LARGE)[0] == "OK"
    n = c.select("INBOX")[1][0].decode()
    for one in "2", n:
        assert c.fetch(one, "BODY.PEEK[]")[1][0][1] == LARGE
    assert b"\\Deleted" in c.store(n, "+FLAGS", "\\Deleted")[1][0]
    assert c.expunge()[0] == "OK"
    assert c.logout()[0] == "BYE"


def pop3_work(c, account):
    c.user(account.name)
    c.pass_(account.password)
    assert len(c.list()[1]) == 2
    assert b"\r\n".join(c.retr(2)[1]) + b"\r\n" == LARGE
    assert c.quit().startswith(b"+OK")


def python(t):
    if t.protocol == "imap":
        imap_work(imap_session(t.site, t.client, t.port), t.account)
    else:
        pop3_work(pop3_session(t.site, t.client, t.port), t.account)


WORK = {"openssl": openssl, "curl": curl, "mbsync": mbsync, "fetchmail": fetchmail, "mutt": mutt, "python": python}


@pytest.mark.parametrize("program,client,protocol", [
    (program, client, protocol) for program in WORK for client in CLIENTS for protocol in PROTOCOLS
    if (program, client) != ("openssl", "plain") and (program, protocol) != ("mbsync", "pop3")])
def test_program(site, programs, program, client, protocol, tmp_path):
    node = site.pool.nodes[0]
    mark = node.log_mark()
    task = Task(site, programs, program, client, protocol, tmp_path)
    WORK[program](task)
    port = (site.tls_port if site.peer == "implicit" else site.plain_port)[protocol]
    line = node.wait_log(rf"{protocol}d: (LOGOUT|DISCONNECTED), user={task.account.name}.* backend=\[127\.0\.0\.2\]:{port},", mark)
    assert ("tls=TLSv1." in line) == (client != "plain"), line


def test_route(site):
    """The peers are as this run of the module wants them."""
    said = site.pool.nodes[0].tool("route", "python-plain-imap@example.com").stdout
    assert ("TLS" not in said) if site.peer == "none" else said.count(f"by TLS ({site.peer})") == 2, said


# Records in pieces

@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("client", CLIENTS)
def test_cut_anywhere(site, client, protocol):
    """Between client and node, and between the nodes, all that is said comes in pieces, many of them a single byte."""
    port, account = site.wires[client, protocol].port, site.pool.accounts["wire@example.com"]
    if protocol == "imap":
        imap_work(imap_session(site, client, port), account)
    else:
        pop3_work(pop3_session(site, client, port), account)
    assert site.peer_wires[protocol].to_server


# Ends

class Client:
    """A client that says itself when TLS, and when the connection, ends."""

    def __init__(self, site, client, protocol, host="localhost"):
        self.sock = socket.create_connection((host, site.port(client, protocol)), timeout=PATIENCE)
        self.tls = None
        if client == "starttls":
            self.until(b"\r\n")
            self.send(b"s STARTTLS\r\n" if protocol == "imap" else b"STLS\r\n")
            assert self.until(b"\r\n").startswith((b"s OK", b"+OK"))
        if client != "plain":
            self.tls = TlsEnd(self.sock, trusting(site.authority.crt), server_hostname=host)
            self.tls.do(self.tls.ssl.do_handshake)
        if client != "starttls":
            self.until(b"\r\n")

    def send(self, data):
        if self.tls is None:
            self.sock.sendall(data)
        else:
            self.tls.write(data)

    def recv(self):
        return self.sock.recv(65536) if self.tls is None else self.tls.read(65536)

    def until(self, end):
        got = b""
        while not got.endswith(end):
            more = self.recv()
            assert more, got
            got += more
        return got

    def close_notify(self):
        self.tls.close_notify()

    def rest(self):
        """All that still comes, and whether its end was announced, or as an end without TLS."""
        got = bytearray()
        try:
            while more := self.recv():
                got += more
        except ssl.SSLZeroReturnError:
            return bytes(got), True
        except (ssl.SSLError, ConnectionResetError):
            return bytes(got), False
        return bytes(got), True

    def log_in(self, account, protocol):
        if protocol == "imap":
            self.send(f"a LOGIN {account.name} {account.password}\r\n".encode())
            assert b"a OK" in self.until(b"\r\n")
            self.send(b"b SELECT INBOX\r\n")
            got = b""
            while b"\r\nb OK" not in got:
                got += self.until(b"\r\n")
        else:
            for words in f"USER {account.name}", f"PASS {account.password}":
                self.send(words.encode() + b"\r\n")
                assert self.until(b"\r\n").startswith(b"+OK")


FETCH = {"imap": b"c FETCH 2 BODY.PEEK[]\r\nd FETCH 2 BODY.PEEK[]\r\ne NOOP\r\n", "pop3": b"RETR 2\r\nRETR 2\r\nSTAT\r\n"}


def is_whole(got, protocol):
    """GOT is the answers to FETCH, and maybe a goodbye."""
    if protocol == "imap":
        return got.count(b"BODY[] {%d}\r\n%s" % (len(LARGE), LARGE)) == 2 and re.search(rb"\r\ne OK [^\r]*\r\n(\* BYE [^\r]*\r\n)?$", got[-500:])
    return got.count(b"\r\n" + stuffed(LARGE) + b".\r\n") == 2 and re.search(rb"\.\r\n\+OK 2 \d+\r\n$", got[-100:])


@pytest.fixture(params=[(client, protocol) for client in CLIENTS for protocol in PROTOCOLS], ids="-".join)
def ends(site, request):
    """(client, protocol, account, connection): logged in."""
    client, protocol = request.param
    account = site.pool.accounts[f"ends-{client}-{protocol}@example.com"]
    c = Client(site, client, protocol)
    c.log_in(account, protocol)
    yield client, protocol, account, c
    c.sock.close()
    for node in site.pool.nodes:
        wait_for("the session ended", lambda: account.name not in node.tool("who").stdout)


@pytest.mark.parametrize("and_tcp", [False, True])
def test_client_says_that_it_ends(ends, and_tcp):
    """It gets all answers to what it said before, and the end is announced to it."""
    client, protocol, _, c = ends
    c.send(FETCH[protocol])
    if client != "plain":
        c.close_notify()
    if client == "plain" or and_tcp:
        c.sock.shutdown(socket.SHUT_WR)
    got, announced = c.rest()
    assert is_whole(got, protocol), (len(got), got[-300:])
    assert announced


def test_client_ends_silently(ends):
    """The end of the stream without close_notify ends the session at both nodes, at once. The servers' own end is one."""
    _, _, _, c = ends
    c.sock.shutdown(socket.SHUT_WR)
    assert c.rest() == (b"", True)


def pipelined(account, protocol):
    """What is said at once from the login on, and how the answers to each of it but to the first ones begin."""
    if protocol == "imap":
        return [f"a LOGIN {account.name} {account.password}\r\n".encode(), b"b APPEND INBOX {8+}\r\nA: b\r\n\r\n\r\n", b"c NOOP\r\n",
                b"d APPEND INBOX {8+}\r\nA: b\r\n", b"\r\n\r\n", b"e LOGOUT\r\n"], [b"b OK", b"c OK", b"", b"d OK", b"e OK"]
    return [f"USER {account.name}\r\nPASS {account.password}\r\n".encode(), b"STAT\r\n", b"LIST 2\r\n", b"QUIT\r\n"], \
        [b"+OK 2 ", b"+OK 2 ", b"+OK"]


@pytest.mark.parametrize("host", [A, B], ids=["relayed", "here"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_silent_end_behind_commands(site, protocol, host):
    """A client that ends the connection without close_notify, behind or within the records of its commands: what came whole is
    done, and answered, and nothing else."""
    account = site.pool.accounts[f"silent-{protocol}@example.com"]
    words, answers = pipelined(account, protocol)
    appended = site.count(account)
    for at in range(1, len(words)):
        for short in 0, 1, 10:
            c = Client(site, "implicit", protocol, host)
            sizes = []
            for text in words[:at + 1]:
                c.tls.ssl.write(text)
                sizes.append(c.tls.outside.pending - sum(sizes))
            c.sock.sendall(c.tls.outside.read()[:sum(sizes) - short])
            c.sock.shutdown(socket.SHUT_WR)
            whole = at if short == 0 else at - 1
            got, announced = c.rest()
            c.sock.close()
            if whole == 0:  # a client that ends behind its credentials may get their answer
                assert announced and b" OK " not in got.partition(b"a OK")[2], got
                continue
            lines = iter(got.split(b"\r\n"))
            for expected in answers[:whole]:
                assert expected == b"" or any(line.startswith(expected) for line in lines), (at, short, expected, got)
            for other in answers[whole:]:
                assert other == b"" or not any(line.startswith(other) for line in lines), (at, short, other, got)
            assert announced
            appended += sum(answer in (b"b OK", b"d OK") for answer in answers[:whole])
    assert site.count(account) == appended


def test_server_ends(ends):
    """All that was said before comes, and the end is announced."""
    _, protocol, _, c = ends
    c.send(FETCH[protocol] + (b"f LOGOUT\r\n" if protocol == "imap" else b"QUIT\r\n"))
    got, announced = c.rest()
    bye = rb"(?s)(.*)\* BYE [^\r]*\r\nf OK [^\r]*\r\n$" if protocol == "imap" else rb"(?s)(.*)\+OK [^\r]*\r\n$"
    assert is_whole(re.match(bye, got).group(1), protocol), got[-300:]
    assert announced


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("client", CLIENTS[1:])
def test_peer_is_cut_off(site, client, protocol):
    """Who cuts TLS between the nodes cannot make a client believe that all was said."""
    if site.peer == "none":
        pytest.skip("an end without TLS is no different from a cut")
    wire, account = site.peer_wires[protocol], site.pool.accounts["wire@example.com"]
    wire.end_after = 200000
    try:
        c = Client(site, client, protocol)
        c.log_in(account, protocol)
        c.send(FETCH[protocol])
        got, announced = c.rest()
        c.sock.close()
    finally:
        wire.end_after = None
    assert 100000 < len(got) < 200000 and not announced
    for node in site.pool.nodes:
        wait_for("the session ended", lambda: account.name not in node.tool("who").stdout)


# Resumption

def resumed(to_client):
    """TO_CLIENT has a ServerHello of TLS 1.3 that takes a ticket: with the extension pre_shared_key (RFC 8446, 4.2.11)."""
    data = bytes(to_client)
    data = data[data.index(b"\x16\x03\x03"):]  # what is in clear before it is text
    assert data[0] == 22 and data[5] == 2, data[:10]
    at = 5 + 4 + 2 + 32                             # record, message, version, random
    at += 1 + data[at] + 2 + 1                      # session id, suite, compression
    end, found = at + 2 + struct.unpack_from(">H", data, at)[0], set()
    at += 2
    while at < end:
        kind, size = struct.unpack_from(">HH", data, at)
        found.add(kind)
        at += 4 + size
    assert 43 in found  # supported_versions: TLS 1.3
    return 41 in found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nodes_resume(site, protocol):
    """From the second login on, however the clients ended. The wire between the nodes sees it; the owner's log tells of the client's TLS, not of ours."""
    if site.peer == "none":
        pytest.skip("there is no TLS")
    wire, account = site.peer_wires[protocol], site.pool.accounts["wire@example.com"]
    for client in "plain", "implicit", "implicit", "plain":
        at = len(wire.to_client)
        c = Client(site, client, protocol)
        c.log_in(account, protocol)
        c.sock.close()
        assert len(wire.to_client) == at + 1
        wait_for("the session ended", lambda: account.name not in site.pool.nodes[0].tool("who").stdout)
    assert [resumed(first) for first in wire.to_client[-3:]] == [True] * 3


def test_owner_tells_that_the_client_resumed(site):
    context, account = trusting(site.authority.crt), site.pool.accounts["python-implicit-imap@example.com"]
    owner, ticket = site.pool.nodes[1], None
    for words in r"TLSv1\.3:TLS_[A-Z0-9_]+", RESUMED:
        mark = owner.log_mark()
        with socket.create_connection((A, site.tls_port["imap"]), timeout=PATIENCE) as s:
            with context.wrap_socket(s, server_hostname="localhost", session=ticket) as t:
                t.sendall(f"a LOGIN {account.name} {account.password}\r\n".encode())
                owner.wait_log(rf"imapd: LOGIN, user={account.name}, .*tls={words}(,|$)", mark)
                assert re.search(rf"{account.name}.*{words}\s", owner.tool("who").stdout + "\n")
                while b"a OK" not in t.recv(1000):
                    pass
                ticket = t.session
