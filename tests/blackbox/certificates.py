"""Certificates for tests, clients that look at none, and ends of TLS that say themselves when something ends."""
import os
import ssl
import subprocess

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


def valid_for(days):
    """Arguments of "openssl x509" for a certificate that is valid from now on; -1: that has expired."""
    if days < 0 and "-not_after" in subprocess.run(["openssl", "x509", "-help"], capture_output=True, text=True, check=True).stderr:
        return ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]  # OpenSSL 3.4 takes no negative days any more
    return ["-days", str(days)]


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
