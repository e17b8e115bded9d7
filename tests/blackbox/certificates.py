"""Certificates for tests, clients that look at none, and ends of TLS that say themselves when something ends."""
import os
import ssl
import subprocess
import time

import pytest

from pool import chown

ALGORITHMS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def make_pem(root, name, algorithm):
    """A key and its own certificate for NAME, as text."""
    key, cert = os.path.join(root, "made.key"), os.path.join(root, "made.crt")
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", cert, "-newkey",
                    *ALGORITHMS[algorithm]], check=True, capture_output=True)
    with open(key) as k, open(cert) as c:
        return k.read() + c.read()


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def read(path):
    with open(path) as f:
        return f.read()


def join(path, *parts):
    with open(path, "w") as f:
        f.write("".join(read(p) for p in parts))
    return path


CLIENT = "extendedKeyUsage=clientAuth"
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """An authority in FOLDER, and what it issues: a key in NAME.key, its certificate in NAME.crt, and both in NAME.pem."""

    def __init__(self, folder, name="authority", days=400):
        self.folder, self.name, self.made = folder, name, {}
        self.key, self.crt = self.path(name + ".key"), self.path(name + ".crt")
        openssl("req", "-x509", *NEW_KEY, "-days", str(days), "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", self.key, "-out", self.crt)

    def path(self, name):
        return os.path.join(self.folder, name)

    def text(self, *names):
        return "".join(read(self.path(n)) for n in names)

    def below(self, name, days=300):
        """Another one, whose certificate this one has issued."""
        new = Authority(self.folder, name)
        self.issue(name, extensions="basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign", days=days, key=name)
        return new

    def issue(self, name, subject=None, extensions=CLIENT, days=100, key=None, own=False):
        """The path of NAME.pem. DAYS -1: it has expired in 2020. KEY: the name of a key that is there. OWN: by itself."""
        path, subject, request = self.path(name), subject or f"/CN={name}", self.path(name + ".csr")
        key_file = self.path((key or name) + ".key")
        openssl("req", *(NEW_KEY + ["-keyout", key_file] if key is None else ["-new", "-key", key_file]), "-subj", subject, "-out", request)
        with open(path + ".ext", "w") as f:
            f.write(extensions + "\n")
        common = ["-in", request, "-extfile", path + ".ext", "-out", path + ".crt"]
        if days < 0:  # "x509 -days" takes none below 1 in every release
            openssl(*(self.ca("-selfsign", key_file) if own else self.ca()), "-batch", "-notext", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", *common)
        else:
            by = ["-signkey", key_file] if own else ["-CA", self.crt, "-CAkey", self.key, "-CAcreateserial"]
            openssl("x509", "-req", *by, "-days", str(days), *common)
        return join(path + ".pem", key_file, path + ".crt")

    def pem(self, name, alt, days=9, own=False):
        """The same for a server called ALT; made once."""
        if self.made.get(name) != (alt, days, own):
            self.made[name] = (alt, days, own)
            self.issue(name, None, f"subjectAltName={alt}", days, own=own)
        return self.path(name + ".pem")

    def ca(self, by=None, key=None):
        """The beginning of an "openssl ca" that knows of no certificate yet; BY "-selfsign": by KEY and not by this authority."""
        index, config = self.path(self.name + ".index"), self.path(self.name + ".conf")
        open(index, "w").close()
        with open(config, "w") as f:
            f.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={index}\nnew_certs_dir={self.folder}\nrand_serial=yes\ndefault_md=sha256\n"
                    "preserve=yes\npolicy=any\n[any]\ncommonName=optional\n")
        return ["ca", "-config", config, *([by] if by else ["-cert", self.crt]), "-keyfile", key or self.key]

    def revocations(self, *revoked, since=-1, until=48):
        """A list of the certificates in these files, good from SINCE until UNTIL, hours from now."""
        out, common = self.path(self.name + ".crl"), self.ca()
        for path in revoked:
            openssl(*common, "-revoke", path)
        begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + hours * 3600)) for hours in (since, until))
        openssl(*common, "-gencrl", "-crl_lastupdate", begin, "-crl_nextupdate", end, "-out", out)
        return read(out)


def install(pool, text, name="pool.pem", mode=0o600):
    """TEXT as a file of the pool: renamed into place, as renewal programs do. Its path."""
    path = os.path.join(pool.root, name)
    with open(path + ".new", "w" if isinstance(text, str) else "wb") as f:
        f.write(text)
    os.chmod(path + ".new", mode)
    chown(path + ".new", pool.uid, pool.gid)
    os.rename(path + ".new", path)
    return path


def context(version=None, alpn=None, ciphers=None, pem=None):
    """Of a client that takes any certificate. VERSION: the only one of TLS; PEM: a file, its own certificate and key."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if version is not None:
        c.minimum_version = c.maximum_version = VERSIONS[version]
    if alpn is not None:
        c.set_alpn_protocols(alpn)
    if ciphers is not None:
        c.set_ciphers(ciphers)
    if pem is not None:
        c.load_cert_chain(pem)
    return c


class TlsEnd:
    """TLS on SOCK, in memory: what goes over SOCK, and when TLS and the connection end, is the test's affair."""

    def __init__(self, sock, ctx, **how):
        self.sock = sock
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = ctx.wrap_bio(self.inside, self.outside, **how)

    def flush(self):
        if data := self.outside.read():
            self.sock.sendall(data)

    def do(self, what, *args):
        """WHAT(*ARGS), a method of self.ssl, with all that it needs from the other side."""
        while True:
            try:
                result = what(*args)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.inside.write(data)
                else:
                    self.inside.write_eof()

    def begin(self, what):
        """WHAT(), as far as it gets without the other side, which it needs; what it has to say is left in self.outside."""
        with pytest.raises(ssl.SSLWantReadError):
            what()

    def read(self, n):
        return self.do(self.ssl.read, n)

    def write(self, data):
        self.do(self.ssl.write, data)

    def close_notify(self):
        self.begin(self.ssl.unwrap)
        self.flush()


def hello():
    """The first message of a client."""
    end = TlsEnd(None, context())
    end.begin(end.ssl.do_handshake)
    return end.outside.read()
