"""HAProxy as a TCP relay: it knows no IMAP, so this is a floor, too."""
from peers import BACKEND, FILES, TLS, TLS_RSA, Peer


class HAProxy(Peer):
    name = "haproxy"
    about = "TCP mode, one thread, no log; no login"
    packages = ("haproxy",)

    def bind_tls(self, port):
        return f"    bind {self.address}:{port} ssl crt {self.certificate('pem')}\n" if self.key else ""

    def commands(self):
        both = "".join(f"""
listen {name}
    bind {self.address}:{port}
{self.bind_tls(tls_port)}    server backend {BACKEND}:{port}
""" for name, port, tls_port in (("imap", 143, 993), ("pop3", 110, 995)))
        conf = self.file("haproxy.cfg", f"""global
    nbthread 1
    maxconn {FILES // 2 - 100}
defaults
    mode tcp
    maxconn {FILES // 2 - 100}
    timeout connect 10s
    timeout client 1h
    timeout server 1h
{both}""")
        return [["haproxy", "-db", "-W", "-f", conf]]


class HAProxyTls(HAProxy):
    name = "haproxy-tls"
    about = "as haproxy, with TLS towards clients, P-256; still no login"
    key = "p256"
    points = TLS


class HAProxyRsa(HAProxyTls):
    name = "haproxy-rsa"
    about = "the same with RSA-2048"
    key = "rsa"
    points = TLS_RSA


PEERS = [HAProxy, HAProxyTls, HAProxyRsa]
