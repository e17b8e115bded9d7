"""Which certificate a client is shown, how files of certificates are found and change, and the settings of TLS."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from certificates import context, install
from pool import Account, Pool, PATIENCE, SLOW, chown, free_port, wait_for

USER = "anna@example.com"
KEYS = {"ec": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "short": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "ed": ["-algorithm", "ED25519"],
        "k1": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        "pss": ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]}
LOADED = ("load-rsa.example", "load-ec.example")
SOON = 10  # seconds in which a new certificate has to be served


def openssl(*args, **more):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, **more).stdout


class Maker:
    """Makes keys (once for each kind: that takes time) and certificates of an authority."""

    def __init__(self, root):
        self.root = root
        self.number = 0
        self.key("ec", "ca.key")
        openssl("req", "-x509", "-new", "-key", self.path("ca.key"), "-subj", "/CN=Authority", "-days", "9", "-out", self.path("ca.crt"))

    def path(self, name):
        return os.path.join(self.root, name)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def key(self, kind, name=None):
        name = name or f"{kind}.key"
        if not os.path.exists(self.path(name)):
            openssl("genpkey", *KEYS[kind], "-out", self.path(name))
        return self.read(name)

    def cert(self, kind, *names):
        """For NAMES, of which the first one is the subject's."""
        self.key(kind)
        self.number += 1
        with open(self.path("ext"), "w") as f:
            f.write("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + "\n")
        openssl("req", "-new", "-key", self.path(f"{kind}.key"), "-subj", f"/CN={names[0]}", "-out", self.path("csr"))
        return openssl("x509", "-req", "-in", self.path("csr"), "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-days", "2",
                       "-set_serial", str(self.number), "-extfile", self.path("ext")).decode()

    def pem(self, kind, *names):
        return self.key(kind) + self.cert(kind, *names) + self.read("ca.crt")

    def ocsp(self, cert, what="V", days=1):
        """The authority's word on CERT: V valid, R revoked."""
        with open(self.path("about.crt"), "w") as f:
            f.write(cert)
        serial = openssl("x509", "-in", self.path("about.crt"), "-noout", "-serial").decode().strip().split("=")[1]
        with open(self.path("index"), "w") as f:
            f.write(f"{what}\t400101000000Z\t{'250101000000Z' if what == 'R' else ''}\t{serial}\tunknown\t/CN=x\n")
        openssl("ocsp", "-issuer", self.path("ca.crt"), "-cert", self.path("about.crt"), "-reqout", self.path("req.der"))
        openssl("ocsp", "-index", self.path("index"), "-CA", self.path("ca.crt"), "-rsigner", self.path("ca.crt"), "-rkey", self.path("ca.key"),
                "-ndays", str(days), "-reqin", self.path("req.der"), "-respout", self.path("resp.der"))
        with open(self.path("resp.der"), "rb") as f:
            return f.read()


BAD = {
    "mismatched": (lambda m: m.key("rsa") + m.cert("ec", "b.example"), "the private key is not that of the first certificate"),
    "no key": (lambda m: m.cert("ec", "b.example"), "there is no private key"),
    "empty": (lambda m: "", "there is no private key"),
    "huge": (lambda m: "#" * 300000, "the file is too long"),
    "passphrase": (lambda m: openssl("pkey", "-aes128", "-passout", "pass:x", "-in", m.path("ec.key")).decode() + m.cert("ec", "b.example"),
                   "needs a passphrase"),
    "unreadable": (lambda m: m.pem("ec", "b.example"), "Permission denied"),
    "Ed25519": (lambda m: m.pem("ed", "b.example"), "Ed25519 and Ed448 keys are not used"),
    "RSA-PSS": (lambda m: m.pem("pss", "b.example"), "restricted to RSA-PSS"),
    "short RSA": (lambda m: m.pem("short", "b.example"), "less than 2048 bits"),
    "odd curve": (lambda m: m.pem("k1", "b.example"), "none of P-256, P-384 and P-521"),
}


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Maker(str(tmp_path_factory.mktemp("authority")))


def write(pool, name, text, rename=True):
    """TEXT as a file of the pool; at once, as renewal programs do, or not."""
    os.makedirs(os.path.dirname(os.path.join(pool.root, name)), exist_ok=True)
    if rename:
        install(pool, text, name)
        return
    path = os.path.join(pool.root, name)
    with open(path, "w" if isinstance(text, str) else "wb") as f:
        f.write(text)
    os.chmod(path, 0o600)
    chown(path, pool.uid, pool.gid)


def remove(pool, name):
    path = os.path.join(pool.root, name)
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def configure(pool, **more):
    """The settings of imapd-ssl besides those that are always there."""
    pool.write_conf({"imapd-ssl": {"SSLADDRESS": "0", "SSLPORT": pool.port, "TLS_CERTFILE": os.path.join(pool.root, "pool.pem"), **more}})


def ocsp_cases(m):
    """Responses of a first certificate: what the log says of each, NAME.example as the key."""
    cert, other = m.cert("ec", "good.example"), m.cert("ec", "b.example")
    return cert, {"good": (m.ocsp(cert), None), "revoked": (m.ocsp(cert, "R"), "it says that the certificate is revoked"),
                  "other": (m.ocsp(other), "it is not for this certificate"), "nonsense": (b"nonsense", "it is no OCSP response"),
                  "none": (b"", "it is no OCSP response"), "long": (b"x" * 20000, "it is too long")}


@pytest.fixture(scope="module")
def pool(request, maker):
    p = Pool(nodes=1, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 2}, accounts=[Account(USER)])
    p.port = free_port(p.addresses)
    p.maker = maker
    write(p, "pool.pem", maker.pem("ec", "all.example"))
    write(p, "pool.pem.rsa", maker.pem("rsa", "all.example"))
    write(p, "pool.pem.a.example.rsa", maker.pem("rsa", "a.example"))
    write(p, "pool.pem.a.example.ecdsa", maker.pem("ec", "a.example"))
    write(p, "pool.pem.*.wild.example", maker.pem("ec", "wild.example"))
    write(p, "pool.pem.127.0.0.7", maker.pem("ec", "addr.example"))
    write(p, "more/x.pem", maker.pem("ec", "dir.example", "also.dir.example", "*.sub.example", "a.example"))
    write(p, "more/live.example/fullchain.pem", maker.cert("rsa", "live.example") + maker.read("ca.crt"))
    write(p, "more/live.example/privkey.pem", maker.key("rsa"))
    write(p, "more/README", "no certificate\n")
    for name in (*LOADED, "steps.example", *(f"host{i}.example" for i in range(len(BAD)))):
        write(p, f"pool.pem.{name}", maker.pem("rsa" if "rsa" in name else "ec", "a.example"))
    cert, p.ocsp = ocsp_cases(maker)
    for what, (response, _) in p.ocsp.items():
        write(p, f"pool.pem.{what}.example", maker.key("ec") + cert + maker.read("ca.crt"))
        write(p, f"pool.pem.{what}.example.ocsp", response)
    for path in ("more", "more/live.example"):
        chown(os.path.join(p.root, path), p.uid, p.gid)
    p.more = os.path.join(p.root, "more")
    configure(p, TLS_CERTDIR=p.more)
    p.start()
    yield p
    p.close()


NAMES = [b"all.example", b"a.example", b"b.example", b"wild.example", b"addr.example", b"dir.example", b"live.example", b"new.example"]


def shown(pool, sni=None, address="127.0.0.1", **more):
    """The subject of the certificate that a client is shown, after a whole handshake and a greeting."""
    with socket.create_connection((address, pool.port), timeout=PATIENCE) as s:
        with context(**more).wrap_socket(s, server_hostname=sni) as t:
            assert t.recv(100).startswith(b"* OK")
            der = t.getpeercert(binary_form=True)
    names = [n.decode() for n in NAMES if b"\x0c" + bytes([len(n)]) + n in der]
    assert len(names) == 1, der
    return names[0]


def shown_at_last(pool, sni):
    """None: the handshake fails, for the worker has a certificate of which its new key process has not told that it lacks it."""
    try:
        return shown(pool, sni)
    except OSError:
        return None


def until(pool, name, sni=None, seconds=SOON, **more):
    """It takes less than SECONDS until NAME is shown, and every handshake until then works."""
    end = time.monotonic() + seconds * SLOW
    while (was := shown(pool, sni, **more)) != name:
        assert time.monotonic() < end, f"{was} is still shown"
        time.sleep(0.05)


def s_client(pool, *args):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{pool.port}", *args], input=b"a LOGOUT\r\n", capture_output=True,
                          timeout=PATIENCE).stdout.decode(errors="replace").replace("CN = ", "CN=")  # OpenSSL 3.0 writes blanks


# --- which one ---

@pytest.mark.once
@pytest.mark.parametrize("name,sni", [
    ("a.example", "a.example"), ("a.example", "A.Example"), ("wild.example", "mail.wild.example"), ("all.example", "deep.mail.wild.example"),
    ("all.example", "wild.example"), ("all.example", None), ("all.example", "b.example"), ("all.example", "xa.example"),
    ("all.example", "a.example.com"), ("all.example", "x" * 60 + "." + "y" * 60), ("dir.example", "dir.example"),
    ("dir.example", "also.dir.example"), ("dir.example", "x.sub.example"), ("live.example", "live.example")])
def test_name(pool, name, sni):
    """TLS_CERTFILE.NAME is for who asks for NAME, whatever the case, those in TLS_CERTDIR for the names that are in them; what nobody
    knows gets TLS_CERTFILE."""
    assert shown(pool, sni) == name


def test_odd_names(pool):
    """Names that are none do not keep a client from its handshake, nor do they open files."""
    for sni in ("a..example", "..", "../../pool", "*.wild.example", "a b", "x" * 250, "127.0.0.1", "_"):
        assert "CN=all.example" in s_client(pool, "-servername", sni), sni


def test_address(pool):
    """TLS_CERTFILE.ADDRESS is for who connects to ADDRESS; a name goes first."""
    assert shown(pool, address="127.0.0.7") == "addr.example"
    assert shown(pool, "b.example", "127.0.0.7") == "addr.example"
    assert shown(pool, "a.example", "127.0.0.7") == "a.example"


def test_rsa_and_ecdsa(pool):
    """Two kinds of key for the same clients: the client's signature algorithms decide, in both versions of TLS."""
    for sni in ("a.example", "all.example"):
        for version in ("-tls1_2", "-tls1_3"):
            for algorithm, kind in (("ECDSA+SHA256", "(id-ecPublicKey|EC)"), ("RSA-PSS+SHA256", "(rsaEncryption|RSA)")):
                out = s_client(pool, "-servername", sni, version, "-sigalgs", algorithm)
                assert f"CN={sni}" in out and re.search(f"a:PKEY: {kind},", out), (version, algorithm, out)


def test_tickets(pool):
    """A session that began with one name is resumed with it, and not a failure with another."""
    ticket = os.path.join(pool.root, "ticket")
    subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{pool.port}", "-servername", "a.example", "-sess_out", ticket, "-quiet"],
                   input=b"a LOGOUT\r\n", capture_output=True, timeout=PATIENCE)
    assert "Reused, TLSv1.3" in s_client(pool, "-servername", "a.example", "-sess_in", ticket)
    assert "New, TLSv1.3" in s_client(pool, "-servername", "dir.example", "-sess_in", ticket)


# --- changes ---

@pytest.mark.once
def test_files_come_and_go(pool, maker):
    """New files are noticed, in the folder of TLS_CERTFILE and in TLS_CERTDIR, and so is that they are gone."""
    write(pool, "pool.pem.new.example", maker.pem("rsa", "new.example"))
    write(pool, "more/y.pem", maker.pem("ec", "b.example"))
    until(pool, "new.example", "new.example")
    until(pool, "b.example", "b.example", seconds=2)
    remove(pool, "pool.pem.new.example")
    remove(pool, "more/y.pem")
    until(pool, "all.example", "new.example")
    until(pool, "all.example", "b.example", seconds=2)


def test_a_folder_that_is_away(pool, maker):
    """Its certificates stay in use, and status says so; a key process that begins meanwhile has them once it is back."""
    node = pool.nodes[0]
    node.expect_dirty = True
    os.rename(pool.more, pool.more + ".away")
    try:
        wait_for("it is noticed", lambda: node.status()["counts"]["certificates_not_found"] == 1)
        write(pool, "pool.pem.new.example", maker.pem("ec", "new.example"))
        until(pool, "new.example", "new.example")  # what is new elsewhere is found, and needs several looks
        assert shown(pool, "dir.example") == "dir.example"
        old = node.pids("key")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_for("there are others", lambda: len(set(node.pids("key")) - set(old)) == len(old))
        # Every worker has heard of it: one alone would be all that a single client meets.
        wait_for("they lack it", lambda: all(shown_at_last(pool, "dir.example") == "all.example" for _ in range(12)))
    finally:
        os.rename(pool.more + ".away", pool.more)
    until(pool, "dir.example", "dir.example")
    wait_for("all is found", lambda: node.status()["counts"]["certificates_not_found"] == 0)
    remove(pool, "pool.pem.new.example")
    until(pool, "all.example", "new.example")
    assert "cannot read " + pool.more in node.log()


def test_renewal_under_load(pool, maker):
    """Handshakes go on while certificates for all and for names, with both kinds of key, are replaced; none fails."""
    failed, stop, done = [], threading.Event(), []

    def load(sni):
        while not stop.is_set() and len(done) < 2000:
            try:
                shown(pool, sni)
                done.append(sni)
            except (OSError, AssertionError) as e:
                failed.append(e)
                return
    threads = [threading.Thread(target=load, args=(sni,)) for sni in (*LOADED, None)]
    for t in threads:
        t.start()
    try:
        write(pool, "pool.pem", maker.pem("ec", "new.example"))
        write(pool, "pool.pem.rsa", maker.pem("rsa", "new.example"))
        write(pool, "pool.pem.load-rsa.example", maker.pem("rsa", "b.example"))
        write(pool, "pool.pem.load-ec.example", maker.pem("ec", "b.example"))
        until(pool, "new.example")
        until(pool, "b.example", "load-rsa.example", seconds=2)
        until(pool, "b.example", "load-ec.example", seconds=2)
        write(pool, "pool.pem", maker.pem("ec", "all.example"))
        write(pool, "pool.pem.rsa", maker.pem("rsa", "all.example"))
        until(pool, "all.example")
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failed and len(done) > 20


@pytest.mark.once
def test_two_steps(pool, maker):
    """A certificate that is there before its key is no alarm, and never shown with another key."""
    node = pool.nodes[0]
    mark = node.log_mark()
    assert shown(pool, "steps.example") == "a.example"
    write(pool, "pool.pem.steps.example", maker.cert("rsa", "b.example") + maker.key("ec"))
    end = time.monotonic() + 3.5  # it is tried meanwhile, but not twice
    while time.monotonic() < end:
        assert shown(pool, "steps.example") == "a.example"
    write(pool, "pool.pem.steps.example", maker.cert("rsa", "b.example") + maker.key("rsa"))
    until(pool, "b.example", "steps.example")
    assert "refused" not in node.log_since(mark)


def test_bad_files(pool, maker):
    """What is wrong is said once, with the file; what was there before stays in use."""
    node = pool.nodes[0]
    names = {what: f"host{i}.example" for i, what in enumerate(BAD)}
    mark = node.log_mark()
    for what, (make, words) in BAD.items():
        node.expected.append(words)
        write(pool, f"pool.pem.{names[what]}", make(maker))
        if what == "unreadable":
            os.chmod(os.path.join(pool.root, f"pool.pem.{names[what]}"), 0)
    for what, (make, words) in BAD.items():
        node.wait_log(rf"pool\.pem\.{names[what]} is refused: .*{words}", mark)
    time.sleep(4.5)  # two checks more: nothing is said again
    log = node.log_since(mark)
    for what, name in names.items():
        assert log.count(f"pool.pem.{name} is refused") == 1, what
        assert shown(pool, name) == "a.example", what


# --- OCSP ---

def stapled(pool, *args):
    return s_client(pool, "-status", *args)


def test_ocsp(pool, maker):
    """The response beside a certificate is sent with it, and with no other; a bad one is not, and log, status and check say why."""
    log = pool.nodes[0].log()
    told, checked = pool.nodes[0].tool("status").stdout, pool.nodes[0].tool("check")
    assert " not sent to clients; the log and the lines" in told
    for what, (_, words) in pool.ocsp.items():
        out = stapled(pool, "-servername", f"{what}.example")
        if words is None:
            assert "OCSP Response Status: successful" in out and "Cert Status: good" in out
            assert "Cert Status: good" in stapled(pool, "-servername", f"{what}.example", "-tls1_2")
        else:
            assert "OCSP response: no response sent" in out, what
            assert log.count(f"pool.pem.{what}.example.ocsp is not sent to clients: {words}") == 1, what
            assert f"its OCSP response is not sent to clients: {words}" in told, what
            assert f"pool.pem.{what}.example.ocsp: {words}" in checked.stdout + checked.stderr, what
        assert "CN=good.example" in out
    assert "OCSP response: no response sent" in stapled(pool)


@pytest.mark.once
def test_taken_away_while_the_key_process_dies(pool, maker):
    """What only the dead one had is forgotten: clients are shown what is for all, not a key that nobody has."""
    node = pool.nodes[0]
    node.expect_dirty = True
    write(pool, "pool.pem.lost.example", maker.pem("ec", "new.example"))
    until(pool, "new.example", "lost.example")
    dead = node.pids("key")
    remove(pool, "pool.pem.lost.example")
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_for("there is another", lambda: len(node.pids("key")) == len(dead) and not set(dead) & set(node.pids("key")))

    def shows_all():
        try:
            return shown(pool, "lost.example") == "all.example"
        except (OSError, AssertionError):
            return False
    wait_for("what is for all is shown", shows_all)


def test_taken_away_while_its_successor_is_refused(pool, maker):
    """What was shown till then, since the new file is broken, is shown no longer than that file is there."""
    node = pool.nodes[0]
    node.expected.append("there is no private key")
    write(pool, "pool.pem.lost.example", maker.pem("ec", "new.example"))
    until(pool, "new.example", "lost.example")
    mark = node.log_mark()
    write(pool, "pool.pem.lost.example", "broken\n")
    node.wait_log(r"lost\.example is refused", mark)
    assert shown(pool, "lost.example") == "new.example"
    remove(pool, "pool.pem.lost.example")
    until(pool, "all.example", "lost.example")


@pytest.mark.once
def test_ocsp_renewal(pool, maker):
    """A response that comes later is sent soon, without a command."""
    cert = maker.cert("ec", "b.example")
    write(pool, "pool.pem.later.example", maker.key("ec") + cert + maker.read("ca.crt"))
    until(pool, "b.example", "later.example")
    assert "OCSP response: no response sent" in stapled(pool, "-servername", "later.example")
    write(pool, "pool.pem.later.example.ocsp", maker.ocsp(cert))
    wait_for("it is sent", lambda: "Cert Status: good" in stapled(pool, "-servername", "later.example"), timeout=SOON * SLOW)


# --- settings ---

def test_check(pool, maker):
    """check looks at all files, and says of a name's certificate if it is not for that name."""
    node = pool.nodes[0]
    said = node.tool("check").stdout
    for setting, name in (("TLS_CERTFILE", "pool.pem"), ("TLS_CERTFILE", "pool.pem.rsa"), ("TLS_CERTFILE", "pool.pem.127.0.0.7"),
                          ("TLS_CERTDIR", "more/x.pem"), ("TLS_CERTDIR", "more/live.example/fullchain.pem")):
        assert f"imapd-ssl.{setting}: {pool.root}/{name}: this machine does not know" in said
    wrong = {line.split(":")[3].split("/")[-1].strip() for line in said.splitlines() if "the certificate is not for" in line or "is for" in line}
    assert "pool.pem.revoked.example" in wrong and not wrong & {"pool.pem.good.example", "pool.pem.a.example.rsa", "pool.pem.127.0.0.7"}, wrong
    write(pool, "cas/ca.pem", maker.read("ca.crt"))
    chown(os.path.join(pool.root, "cas"), pool.uid, pool.gid)
    pool.write_conf({"imapd-ssl": {"SSLADDRESS": "0", "SSLPORT": pool.port, "TLS_CERTFILE": os.path.join(pool.root, "pool.pem"),
                                   "TLS_CERTDIR": pool.more}, "proxy": {"PROXY_TLS_CAFILE": os.path.join(pool.root, "cas")}})
    said = node.tool("check").stdout  # a folder of authorities counts as a file of them does
    assert f"{pool.root}/more/x.pem: this machine does not know" not in said and f"{pool.root}/pool.pem: this machine does not know" in said
    write(pool, "pool.pem.misplaced", "no certificate")
    assert f"imapd-ssl.TLS_CERTFILE: {pool.root}/pool.pem.misplaced: it is used for nothing: behind pool.pem. stands" in node.tool("check").stdout
    os.remove(os.path.join(pool.root, "pool.pem.misplaced"))
    configure(pool, TLS_CERTDIR=os.path.join(pool.root, "nowhere"))
    result = node.tool("check")
    assert result.returncode == 1 and "imapd-ssl.TLS_CERTDIR: " + pool.root + "/nowhere: No such file or directory" in result.stdout
    configure(pool, TLS_CERTDIR=pool.more)


def test_settings(pool):
    """Versions, ciphers and groups of the settings, from a reload on; sessions that are there go on."""
    def reload(**more):
        configure(pool, TLS_CERTDIR=pool.more, **more)
        assert pool.nodes[0].tool("reload").returncode == 0

    with socket.create_connection(("127.0.0.1", pool.port), timeout=PATIENCE) as s, context().wrap_socket(s) as t:
        assert t.recv(1000).startswith(b"* OK")
        assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in s_client(pool, "-tls1_2", "-cipher", "ECDHE+AES128")
        reload(TLS_PROTOCOL="TLSv1.3++", TLS_GROUPS="nonsense:P-384")
        wait_for("TLS 1.2 is refused", lambda: "Cipher is (NONE)" in s_client(pool, "-tls1_2"))
        assert re.search("(Server|Peer) Temp Key: ECDH, secp384r1, 384 bits", s_client(pool))
        assert "Cipher is (NONE)" in s_client(pool, "-groups", "X25519")
        reload(TLS_PROTOCOL="TLSv1", TLS_CIPHER_LIST="ECDHE+CHACHA20:AES256-SHA")
        wait_for("only ChaCha20 is there", lambda: "Cipher is ECDHE-ECDSA-CHACHA20-POLY1305" in s_client(pool, "-tls1_2"))
        assert "Cipher is (NONE)" in s_client(pool, "-tls1_2", "-cipher", "ECDHE+AESGCM")
        t.sendall(b"a NOOP\r\n")
        assert t.recv(1000).startswith(b"a OK")
    reload()
