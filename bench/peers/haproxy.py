"""HAProxy as a TCP relay: it knows no IMAP, so this is a floor, too."""
from peers import BACKEND, FILES, Peer


class HAProxy(Peer):
    name = "haproxy"
    about = "TCP mode, one thread, no log; no login"
    packages = ("haproxy",)

    def commands(self):
        both = "".join(f"""
listen {name}
    bind {self.address}:{port}
    server backend {BACKEND}:{port}
""" for name, port in (("imap", 143), ("pop3", 110)))
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


PEERS = [HAProxy]
