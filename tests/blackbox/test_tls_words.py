"""What the operator is told about TLS: by check, status, who and the log."""
import imaplib
import json
import os
import poplib
import re
import shutil
import socket
import ssl
import stat
import subprocess

import pytest

import pool as pool_module
from certificates import Authority, context, install, openssl, read
from pool import Account, Pool, PATIENCE, chown, free_port, wait_for
from test_directories import ETC

pytestmark = pytest.mark.once

HERE, ELSEWHERE = "anna@example.com", "berta@example.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """middle, below top; what it issues can have the keys of "leaf" and "other"."""
    a = Authority(str(tmp_path_factory.mktemp("authority")), "top").below("middle")
    a.issue("leaf", None, "subjectAltName=DNS:mail.example,DNS:imap.example")
    a.issue("other")
    return a


@pytest.fixture(scope="module")
def pool(request):
    p = Pool(nodes=2, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 2},
             accounts=[Account(HERE, mailhost="127.0.0.1"), Account(ELSEWHERE, mailhost="127.0.0.2")])
    p.tls_port = {"imapd": free_port(p.addresses), "pop3d": free_port(p.addresses)}
    p.pem = os.path.join(p.root, "pool.pem")
    p.write_conf({f"{group}-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": p.pem}
                  for group, port in p.tls_port.items()})
    yield p
    p.close()


# --- check ---

def check(pool, authority):
    """Status and output, on a machine that trusts the top authority."""
    node = pool.nodes[0]
    chown(authority.folder, pool.uid, pool.gid)
    trusted = os.path.join(pool.root, "trusted.pem")
    with open(trusted, "w") as f:
        f.write(authority.text("top.crt"))
    os.chmod(trusted, 0o644)
    node.env.update(SSL_CERT_FILE=trusted, SSL_CERT_DIR="/nonexistent")
    result = node.tool("check")
    return result.returncode, result.stdout + result.stderr


BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("what,mistake,words", [
    ("good", False, r"imapd-ssl\.TLS_CERTFILE: \S+pool\.pem: for mail\.example, imap\.example, until 20\d\d-\d\d-\d\d \d\d:\d\d UTC"),
    ("missing", True, "pool.pem: No such file or directory"),
    ("empty", True, "pool.pem: there is no private key"),
    ("no key", True, "pool.pem: there is no private key"),
    ("no certificate", True, "pool.pem: there is no certificate"),
    ("broken", True, "pool.pem: a certificate cannot be read"),
    ("passphrase", True, "pool.pem: the private key needs a passphrase"),
    ("another key", True, "pool.pem: the private key is not that of the first certificate"),
    ("Ed25519", True, "pool.pem: Ed25519 and Ed448 keys are not used"),
    ("expired", True, r"pool.pem: the certificate has expired on 2020-02-01 00:00 UTC; renew it"),
    ("soon", False, r"warning: .*pool.pem: the certificate expires on .*; renew it"),
    ("no middle", False, r'warning: .*pool.pem: this machine does not know "middle"'),
    ("out of order", True, r"pool.pem: the private key is not that of the first certificate"),
    ("root before middle", True, r"pool.pem: the certificates are out of order: number 3"),
    ("no name", False, "warning: .*pool.pem: the certificate has no subjectAltName"),
    ("self-signed", False, "warning: .*pool.pem: the certificate has issued itself"),
    ("for clients", True, "pool.pem: the certificate is not for TLS servers"),
    ("readable", False, r"warning: .*pool.pem: everybody on this machine can read the private key; run: chmod o= "),
    ("short", True, "pool.pem: the RSA key has less than 2048 bits and is not safe"),
])
def test_check(pool, authority, what, mistake, words):
    """Each mistake by itself: where it stands, and what is wrong. The daemon's own reader is asked (keyd)."""
    a, key, leaf = authority, authority.text("leaf.key"), authority.text("leaf.crt", "middle.crt")
    text = key + leaf
    if what == "empty":
        text = ""
    elif what == "no key":
        text = leaf
    elif what == "no certificate":
        text = key
    elif what == "broken":
        text = key + leaf + BROKEN
    elif what == "passphrase":
        openssl("pkey", "-in", a.path("leaf.key"), "-aes256", "-passout", "pass:secret", "-out", a.path("locked.key"))
        text = a.text("locked.key") + leaf
    elif what == "another key":
        text = a.text("other.key") + leaf
    elif what == "Ed25519":
        openssl("req", "-x509", "-nodes", "-newkey", "ed25519", "-subj", "/CN=x", "-keyout", a.path("ed.key"), "-out", a.path("ed.crt"))
        text = a.text("ed.key", "ed.crt")
    elif what == "expired":
        text = read(a.issue("old", None, "subjectAltName=DNS:mail.example", days=-1, key="leaf")) + a.text("middle.crt")
    elif what == "soon":
        text = read(a.issue("soon", None, "subjectAltName=DNS:mail.example", days=13, key="leaf")) + a.text("middle.crt")
    elif what == "no middle":
        text = key + a.text("leaf.crt")
    elif what == "out of order":
        text = key + a.text("middle.crt", "leaf.crt")
    elif what == "root before middle":
        text = key + a.text("leaf.crt", "top.crt", "middle.crt")
    elif what == "no name":
        text = read(a.issue("nameless", None, "keyUsage=digitalSignature", key="leaf")) + a.text("middle.crt")
    elif what == "self-signed":
        openssl("req", "-x509", "-new", "-key", a.path("leaf.key"), "-subj", "/CN=x", "-addext", "subjectAltName=DNS:mail.example", "-days", "99",
                "-out", a.path("self.crt"))
        text = key + a.text("self.crt")
    elif what == "for clients":
        text = read(a.issue("client", None, "subjectAltName=DNS:mail.example\nextendedKeyUsage=clientAuth", key="leaf")) + a.text("middle.crt")
    elif what == "short":
        openssl("req", "-x509", "-nodes", "-newkey", "rsa:768", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:mail.example", "-days", "99",
                "-keyout", a.path("short.key"), "-out", a.path("short.crt"))
        text = a.text("short.key", "short.crt")
    install(pool, text, mode=0o644 if what == "readable" else 0o600)
    if what == "missing":
        os.unlink(pool.pem)
    status, said = check(pool, authority)
    assert re.search(words, said), said
    assert (status != 0) == mistake, said
    if mistake:
        assert re.search(r"waypost\.conf:\d+: imapd-ssl\.TLS_CERTFILE: ", said), said
    if what == "good":
        assert "pool.pem: the" not in said and "pop3d-ssl.TLS_CERTFILE" not in said, said


def test_check_of_two_files(pool, authority):
    """The key in a file of its own, and a certificate's file without a line end: as the key process reads them."""
    install(pool, authority.text("leaf.crt", "middle.crt").rstrip("\n"))
    install(pool, authority.text("leaf.key"), name="key.pem", mode=0o640)
    text = open(pool.conf).read()
    pool.write_conf(text=text.replace(f'TLS_CERTFILE = "{pool.pem}";', f'TLS_CERTFILE = "{pool.pem}"; TLS_PRIVATE_KEYFILE = "{pool.root}/key.pem";'))
    status, said = check(pool, authority)
    assert status == 0 and "for mail.example, imap.example, until" in said, said
    assert "private key; run: chmod" not in said, said
    os.chmod(os.path.join(pool.root, "key.pem"), 0o644)
    assert "key.pem: everybody on this machine can read the private key" in check(pool, authority)[1]
    install(pool, authority.text("other.key"), name="key.pem")
    status, said = check(pool, authority)
    assert status == 1 and "the private key is not that of the first certificate" in said, said
    pool.write_conf(text=text)
    install(pool, authority.text("leaf.key", "leaf.crt", "middle.crt"))
    assert check(pool, authority)[0] == 0


def test_check_of_a_pool_with_an_authority_of_its_own(pool, authority):
    """PROXY_TLS: a node without a certificate for its own name is told so; one with such a certificate hears nothing of an authority
    that PROXY_TLS_CAFILE has."""
    a, text = authority, open(pool.conf).read()
    own = Authority(a.folder, "Pool")
    install(pool, a.text("leaf.key", "leaf.crt", "middle.crt"))
    install(pool, read(own.crt), name="pool-ca.pem")
    folder = os.path.join(pool.root, "nodes")
    os.mkdir(folder)
    chown(folder, pool.uid, pool.gid)
    missing = r"warning: .*waypost\.conf:\d+: proxy\.PROXY_TLS: no certificate here is for 127\.0\.0\.1, this node's name"
    unknown = 'this machine does not know "Pool"'
    try:
        pool.write_conf(text=text.replace(f'TLS_CERTFILE = "{pool.pem}";', f'TLS_CERTFILE = "{pool.pem}"; TLS_CERTDIR = "{folder}";'))
        status, said = check(pool, authority)
        assert status == 0 and not re.search(missing, said), said
        pool.write_conf(text=open(pool.conf).read() + 'proxy = { PROXY_TLS = "implicit"; };\n')
        status, said = check(pool, authority)
        assert status == 0 and re.search(missing, said), said
        install(pool, read(own.issue("node", None, "subjectAltName=IP:127.0.0.1", key="leaf")), name="nodes/node.pem")
        status, said = check(pool, authority)
        assert status == 0 and not re.search(missing, said) and unknown in said, said
        pool.write_conf(text=open(pool.conf).read().replace('PROXY_TLS = "implicit";',
                                                            f'PROXY_TLS = "implicit"; PROXY_TLS_CAFILE = "{pool.root}/pool-ca.pem";'))
        status, said = check(pool, authority)
        assert status == 0 and not re.search(missing, said) and unknown not in said, said
    finally:
        shutil.rmtree(folder)
        pool.write_conf(text=text)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_check_warns_of_files_that_only_another_user_can_read(pool, authority):
    """Root's tool reads them; the daemon under systemd, without CAP_DAC_OVERRIDE, does not."""
    install(pool, authority.text("leaf.key", "leaf.crt", "middle.crt"))
    for uid, mode, warned in (65534, 0o600, True), (65534, 0o644, False), (0, 0o600, False), (65534, 0o640, False):
        os.chown(pool.pem, uid, 0)
        os.chmod(pool.pem, mode)
        said = subprocess.run([os.path.join(pool_module.PREFIX, "bin", "waypost"), "-c", pool.conf, "check"], env=pool.nodes[0].env, capture_output=True,
                              text=True).stdout
        assert ("pool.pem: belongs to uid 65534, and root cannot read it under waypost.service" in said) == warned, said
    install(pool, authority.text("leaf.key", "leaf.crt", "middle.crt"))


def test_check_warns_of_ports_for_tls_in_mailhosts(make_pool):
    p = make_pool(nodes=1, start=False, accounts=[Account("a@example.com", mailhost="other.example:imap=993"), Account("b@example.com", mailhost="other.example:143"),
                                                  Account("c@example.com", mailhost="x.example y.example:995")])
    said = p.nodes[0].tool("check").stdout
    assert "warning: 2 accounts (first: a@example.com) with port 993 or 995 in mailhost" in said, said
    p.write_conf({"proxy": {"PROXY_TLS_PEERS": "other.example=implicit"}})
    said = p.nodes[0].tool("check").stdout
    assert "warning: 1 account (first: c@example.com) with port 993 or 995 in mailhost" in said, said


# --- status and the log ---

@pytest.fixture
def running(pool, authority):
    """The pool, with a good certificate."""
    install(pool, authority.text("leaf.key", "leaf.crt", "middle.crt"))
    if pool.nodes[0].proc is None:
        pool.start()
    wait_for("the certificate is in use", lambda: status(pool)["counts"].get("certificates_refused") == 0
             and all("in use, valid until" in text and "refused" not in text for text in certificates(pool)))
    return pool


def status(pool):
    return json.loads(pool.nodes[0].tool("status", "--json").stdout)


def certificates(pool):
    texts = [n["text"] for n in status(pool)["notes"] if n["name"] == "certificate"]
    assert texts
    return texts


def test_status_tells_which_certificate_was_refused(running, authority):
    """One line for a change, though two key processes and two listeners see it; and one when it is mended."""
    pool, node = running, running.nodes[0]
    good = status(pool)
    assert good["state"] == "well" and good["counts"]["certificates_ending"] == good["counts"]["certificates_ended"] == 0
    assert len(certificates(pool)) == 1
    mark = node.log_mark()
    install(pool, authority.text("other.key", "leaf.crt", "middle.crt"))
    wait_for("it is refused", lambda: status(pool)["counts"]["certificates_refused"] == 1)
    now = status(pool)
    assert now["state"] == "degraded" and any(p.startswith("1 certificate was refused") for p in now["problems"])
    text, = certificates(pool)
    assert re.fullmatch(re.escape(pool.pem) + r": refused since \d{4}-\d\d-\d\d \d\d:\d\d UTC \(the private key is not that of the first certificate\); "
                        r"the one before stays in use, valid until \d{4}-\d\d-\d\d \d\d:\d\d UTC", text), text
    assert "PROBLEM     1 certificate was refused" in node.tool("status").stdout
    install(pool, authority.text("leaf.key", "leaf.crt", "middle.crt"))
    wait_for("it is taken", lambda: status(pool)["counts"]["certificates_refused"] == 0)
    lines = [line for line in node.log_since(mark).splitlines() if "certificate" in line]
    assert len(lines) == 2, lines
    assert f"certificate {pool.pem} is refused: the private key is not that of the first certificate; the one before stays in use" in lines[0]
    assert f"certificate {pool.pem} is in use, valid until " in lines[1]


def test_status_tells_of_a_certificate_that_is_gone_or_ends_soon(running, authority):
    pool, node = running, running.nodes[0]
    mark = node.log_mark()
    os.unlink(pool.pem)
    wait_for("it is missed", lambda: "No such file or directory" in certificates(pool)[0])
    assert status(pool)["counts"]["certificates_refused"] == 1
    leaf = authority.issue("soon", None, "subjectAltName=DNS:mail.example", days=13, key="leaf")
    install(pool, read(leaf) + authority.text("middle.crt"))
    wait_for("its end is seen", lambda: status(pool)["counts"]["certificates_ending"] == 1)
    assert "1 certificate expires within 14 days; renew it" in status(pool)["problems"]
    leaf = authority.issue("old", None, "subjectAltName=DNS:mail.example", days=-1, key="leaf")
    install(pool, read(leaf) + authority.text("middle.crt"))
    wait_for("it is refused", lambda: status(pool)["counts"]["certificates_refused"] == 1)
    assert status(pool)["counts"]["certificates_ended"] == 0 and "the certificate has expired on 2020-02-01" in certificates(pool)[0]
    node.stop()
    node.start()
    wait_for("it is used since there is none before", lambda: status(pool)["counts"]["certificates_ended"] == 1)
    clients = authority.issue("client", None, "subjectAltName=DNS:mail.example\nextendedKeyUsage=clientAuth", key="leaf")
    install(pool, read(clients) + authority.text("middle.crt"))
    wait_for("it is no better, but the last one", lambda: status(pool)["counts"]["certificates_faulty"] == 1)
    assert any(p.startswith("clients refuse 1 certificate") for p in status(pool)["problems"])
    assert "; clients refuse it: the certificate is not for TLS servers" in certificates(pool)[0]
    lines = [re.sub(r"^.*?certificate ", "", line) for line in node.log_since(mark).splitlines() if "certificate " in line]
    assert [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "T", line[len(pool.pem):]) for line in lines] == [
        f" is refused: {pool.pem}: No such file or directory; the one before stays in use",
        " is in use, valid until T", " expires on T; renew it, no reload is needed",
        " is refused: the certificate has expired on T; renew it; the one before stays in use",
        " is in use, valid until T", " has expired on T: clients refuse it; renew it, no reload is needed",
        " is in use, valid until T",
        ": clients refuse it: the certificate is not for TLS servers (its key usage says so); get one that is for \"server authentication\""], lines


def test_a_node_without_a_certificate_tells_who_is_turned_away(running, authority):
    pool, node = running, running.nodes[0]
    install(pool, "nonsense\n")
    node.stop()
    node.start()
    mark = node.log_mark()
    with socket.create_connection((node.address, pool.tls_port["imapd"]), timeout=PATIENCE) as s:
        assert s.recv(1) == b""
    node.wait_log(r"imapd: TLS FAILED, ip=\[\S+\], port=\[\d+\], no certificate is in use; waypost status says why", mark)
    assert status(pool)["counts"]["tls_failed"] == 1
    install(pool, authority.text("leaf.key", "leaf.crt", "middle.crt"))
    wait_for("it is taken", lambda: status(pool)["counts"]["certificates_refused"] == 0)


# --- who, the log, the identity that is forwarded ---

def sessions(node):
    return json.loads(node.tool("who", "--json").stdout)


WORDS = {"1.2": r"TLSv1\.2:ECDHE-ECDSA-[A-Z0-9-]+", "1.3": r"TLSv1\.3:TLS_[A-Z0-9_]+"}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("user", [HERE, ELSEWHERE])
def test_who_and_the_log_tell_version_and_cipher(running, user, version):
    """Of a session here, of one that is relayed, and at the node that has the mail, which the client never saw."""
    pool, words = running, WORDS[version]
    marks = [n.log_mark() for n in pool.nodes]
    c = context(version)
    nodes = pool.nodes[:1] if user == HERE else pool.nodes
    with imaplib.IMAP4_SSL("127.0.0.1", pool.tls_port["imapd"], ssl_context=c, timeout=PATIENCE) as i:
        i.login(user, pool.accounts[user].password)
        cipher = i.sock.cipher()[0]
        for node in nodes:
            row, = [r for r in sessions(node) if r["user"] == user]
            assert re.fullmatch(words, row["tls"]) and row["tls"].endswith(cipher)
            assert re.search(rf"(?m)^{re.escape(user)} .* {row['session']} +{words}$", node.tool("who").stdout)
    p = poplib.POP3_SSL("127.0.0.1", pool.tls_port["pop3d"], context=c, timeout=PATIENCE)
    p.user(user)
    p.pass_(pool.accounts[user].password)
    p.quit()
    for node, mark in zip(nodes, marks):
        for program, key in ("imapd", "starttls"), ("pop3d", "stls"):
            for line in rf"LOGIN, user={user}, .*protocol=....", rf"(LOGOUT|DISCONNECTED), user={user}, .*time=\d+":
                wait_for(f"{node}: {line}", lambda: re.search(rf"{program}: {line}, {key}=1, tls={words}, (mailhost|session)=", node.log_since(mark)))


def test_who_tells_that_a_session_was_resumed(running):
    """At both nodes: the second connection with the ticket of the first."""
    pool, c, ticket = running, context("1.3"), None
    for words in r"TLSv1\.3:TLS_[A-Z0-9_]+", r"TLSv1\.3:TLS_[A-Z0-9_]+:resumed":
        with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
            with c.wrap_socket(s, session=ticket) as t:
                t.sendall(f"a LOGIN {ELSEWHERE} {pool.accounts[ELSEWHERE].password}\r\n".encode())
                got = b""
                while not re.search(rb"(?m)^a OK", got):
                    more = t.recv(10000)
                    assert more, got
                    got += more
                ticket = t.session
                told = [r["tls"] for node in pool.nodes for r in sessions(node) if r["user"] == ELSEWHERE]
                assert len(told) == 2 and all(re.fullmatch(words, text) for text in told), told


@pytest.mark.parametrize("user", [HERE, ELSEWHERE])
def test_words_after_starttls(running, user):
    pool, words = running, WORDS["1.3"]
    nodes = pool.nodes[:1] if user == HERE else pool.nodes
    marks = [n.log_mark() for n in nodes]
    with imaplib.IMAP4("127.0.0.1", pool.imap_port, timeout=PATIENCE) as i:
        i.starttls(context("1.3"))
        i.login(user, pool.accounts[user].password)
        for node in nodes:
            assert re.fullmatch(words, [r["tls"] for r in sessions(node) if r["user"] == user][0])
    for node, mark in zip(nodes, marks):
        wait_for("the log has them", lambda: re.search(rf"LOGIN, user={user}, .*, starttls=1, tls={words}, mailhost=", node.log_since(mark)))


def test_plain_clients_have_no_words(running):
    pool, node = running, running.nodes[0]
    mark = node.log_mark()
    with imaplib.IMAP4("127.0.0.1", pool.imap_port, timeout=PATIENCE) as i:
        i.login(ELSEWHERE, pool.accounts[ELSEWHERE].password)
        for n in pool.nodes:
            assert [r["tls"] for r in sessions(n) if r["user"] == ELSEWHERE] == [""]
    wait_for("the end is logged", lambda: re.search(r"(LOGOUT|DISCONNECTED), user=berta", node.log_since(mark)))
    assert "tls=" not in node.log_since(mark)


# --- handshakes that fail ---

def hello(version, ciphers=b"\x00\x2f\x00\x35"):
    """A ClientHello without extensions, as old clients send it; "/" and "5" are RSA key exchange with AES-CBC."""
    body = version + b"\x00" * 32 + b"\x00" + len(ciphers).to_bytes(2, "big") + ciphers + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def send(pool, data):
    with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
        s.sendall(data)
        try:
            while s.recv(1000):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.parametrize("data,words", [
    (hello(b"\x03\x01"), r"unsupported protocol, the client knows only TLS 1\.0; its version of TLS is not served here: the client has to be updated"),
    (hello(b"\x03\x03"), r"no shared cipher; client and node have no cipher in common"),
    (b"a LOGIN x y\r\n", r"wrong version number; the client does not speak TLS: it has to be set to TLS from the start"),
    (b"GET / HTTP/1.0\r\n\r\n", r"http request; a browser or a web service has taken the wrong port"),
], ids=["TLS 1.0", "no cipher", "plain", "HTTP"])
def test_failed_handshakes_are_told_once_a_minute(running, data, words):
    """One line from each worker, whatever number of them comes; and a count."""
    pool, node = running, running.nodes[0]
    mark, before = node.log_mark(), status(pool)["counts"]["tls_failed"]
    for _ in range(20):
        send(pool, data)
    wait_for("all are counted", lambda: status(pool)["counts"]["tls_failed"] == before + 20)
    lines = [line for line in node.log_since(mark).splitlines() if "TLS FAILED" in line]
    assert 1 <= len(lines) <= 2, lines
    for line in lines:
        assert re.search(r"imapd: TLS FAILED, ip=\[::ffff:127\.0\.0\.\d+\], port=\[\d+\], " + words, line), line


def test_a_client_that_does_not_trust_the_certificate_is_told(running):
    pool, node = running, running.nodes[0]
    mark = node.log_mark()
    with pytest.raises(ssl.SSLCertVerificationError):
        with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
            ssl.create_default_context().wrap_socket(s, server_hostname="mail.example")
    wait_for("the log has it", lambda: re.search(r"TLS FAILED, .*alert unknown ca; the client does not trust the certificate's authority", node.log_since(mark)))


def test_who_only_connects_is_no_failure(running):
    """Health checks connect and close: nothing is logged, nothing counted."""
    pool, node = running, running.nodes[0]
    mark, before = node.log_mark(), status(pool)["counts"]["tls_failed"]
    for data in b"", hello(b"\x03\x03")[:20]:
        with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
            s.sendall(data)
    send(pool, hello(b"\x03\x01"))
    wait_for("the last one is counted", lambda: status(pool)["counts"]["tls_failed"] == before + 1)
    assert node.log_since(mark).count("TLS FAILED") <= 2


# --- the sample hook ---

HOOK = os.path.join(ETC, "waypost-certificate")


class Certbot:
    """The folders that certbot keeps: live/NAME has links to the newest of archive/NAME."""

    def __init__(self, root):
        self.root = root
        self.number = 0
        for folder in "live", "archive":
            os.makedirs(os.path.join(root, folder, "pool"), mode=0o700)
        self.lineage = os.path.join(root, "live", "pool")

    def renew(self, **texts):
        self.number += 1
        for name, text in texts.items():
            path = os.path.join(self.root, "archive", "pool", f"{name}{self.number}.pem")
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, 0o600)
            link = os.path.join(self.lineage, name + ".pem")
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(os.path.join("..", "..", "archive", "pool", f"{name}{self.number}.pem"), link)

    def hook(self, folder, *args, **env):
        env = {"PATH": os.environ["PATH"], "WAYPOST_CERTIFICATES": folder, "RENEWED_LINEAGE": self.lineage, **env}
        return subprocess.run([HOOK, *args], env=env, capture_output=True, text=True)


def serial_of(text):
    return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=text, text=True, capture_output=True, check=True).stdout


def serial(pool):
    """Of the certificate that a client is shown."""
    with socket.create_connection(("127.0.0.1", pool.tls_port["imapd"]), timeout=PATIENCE) as s:
        with context().wrap_socket(s) as t:
            return serial_of(ssl.DER_cert_to_PEM_cert(t.getpeercert(binary_form=True)))


def test_renewal_hook(running, authority, tmp_path):
    """From certbot's folders to a client, with nothing else done; a pair that does not fit changes nothing."""
    pool, folder = running, running.root
    certbot = Certbot(str(tmp_path))
    authority.issue("renewed", None, "subjectAltName=DNS:mail.example", key="leaf")
    number = serial_of(read(authority.path("renewed.crt")))
    chain = authority.text("renewed.crt", "middle.crt")
    certbot.renew(privkey=authority.text("leaf.key"), fullchain=chain, cert=authority.text("renewed.crt"))
    assert serial(pool) != number
    result = certbot.hook(folder)
    assert result.returncode == 0 and result.stderr == "", result
    st = os.stat(pool.pem)
    assert stat.S_IMODE(st.st_mode) == 0o600 and (st.st_uid, st.st_gid) == (os.stat(folder).st_uid, os.stat(folder).st_gid)
    wait_for("clients are shown the new one", lambda: serial(pool) == number)
    status_before, inode = status(pool)["counts"]["certificates_refused"], os.stat(pool.pem).st_ino
    for env, args in [({}, ()), ({}, ("pool", authority.path("leaf.key"), "/nonexistent")), ({"RENEWED_LINEAGE": ""}, ()), ({}, ("../x", "y", "z")),
                      ({"WAYPOST_CERTIFICATES": "/nonexistent"}, ())]:
        certbot.renew(privkey=authority.text("other.key"), fullchain=chain)
        result = certbot.hook(folder, *args, **env)
        assert result.returncode != 0 and result.stderr != "", (env, args)
    authority.issue("old", None, "subjectAltName=DNS:mail.example", days=-1, key="leaf")
    certbot.renew(privkey=authority.text("leaf.key"), fullchain=authority.text("old.crt", "middle.crt"))
    result = certbot.hook(folder)
    assert result.returncode != 0 and "has expired" in result.stderr, result
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("what")
    for key, certs, what in [(garbage, garbage, f"the key in {garbage}"), (authority.path("leaf.key"), garbage, f"the certificate in {garbage}"),
                             ("/nonexistent", authority.path("renewed.crt"), "the key in /nonexistent")]:
        result = certbot.hook(folder, "pool", key, certs)
        assert result.returncode == 1 and result.stderr.splitlines()[-1] == f"waypost-certificate: cannot read {what}", result
    assert status_before == 0 and os.stat(pool.pem).st_ino == inode
    assert [n for n in os.listdir(folder) if n.startswith(".")] == []
    # As acme.sh calls it.
    result = certbot.hook(folder, "pool", authority.path("leaf.key"), authority.path("renewed.crt"), RENEWED_LINEAGE="")
    assert result.returncode == 0 and os.stat(pool.pem).st_ino != inode
    wait_for("it is used", lambda: status(pool)["counts"]["certificates_refused"] == 0)


def test_renewal_hook_is_clean():
    tool = shutil.which("shellcheck")
    if tool is None:
        pytest.skip("no shellcheck")
    assert subprocess.run([tool, HOOK], capture_output=True, text=True).stdout == ""
