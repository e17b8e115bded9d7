"""PROXY_PROTOCOL_SEND: servers that learn by a header of the PROXY protocol whom a connection is for."""
import re
import socket
import ssl
import struct

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import Account, free_port, wait_for
from test_mech import open_folder  # pylint: disable=unused-import
from test_peer_tls import TlsDovecot, authority, give  # pylint: disable=unused-import

HERE = "127.0.0.1"
FRONT = "127.0.0.9"
USER = "dora@example.com"
KINDS = {"imap": Imap, "pop3": Pop3}
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        assert more, data
        data += more
    return data


def headed(script, context=None):
    """A script for FakeServer: a header (in conn.header), then, with CONTEXT, TLS, then SCRIPT."""
    def serve(conn):
        head = exactly(conn.sock, 16)
        if head.startswith(SIGNATURE):
            head += exactly(conn.sock, struct.unpack("!H", head[14:])[0])
        else:
            while not head.endswith(b"\r\n"):
                head += exactly(conn.sock, 1)
        conn.header = head
        if context is not None:
            conn.sock = context.wrap_socket(conn.sock, server_side=True)
        script(conn)
    return serve


def says(header):
    """(the client's address, its port, whether it uses TLS), as the header has it."""
    if header.startswith(b"PROXY TCP4 "):
        _, _, client, server, port, _ = header.decode().split()
        assert server.startswith("127.0.2.")
        return client, int(port), False
    assert header[:14] == SIGNATURE + b"\x21\x11", header
    client, _, port, _ = struct.unpack("!4s4sHH", header[16:28])
    return socket.inet_ntoa(client), port, len(header) > 28 and header[28] == 0x20 and header[31] & 1 == 1


@pytest.mark.parametrize("kind", KINDS)
def test_headers(make_pool, authority, kind):
    """Version 1 and 2, before TLS as well; servers that are not listed get none, and a row can except one."""
    script = imap_peer() if kind == "imap" else pop3_peer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.pem("headed", alt="IP:127.0.2.15"))
    servers = {"one": FakeServer("127.0.2.13", headed(script)), "two": FakeServer("127.0.2.14", headed(script)),
               "tls": FakeServer("127.0.2.15", headed(script, context)), "without": FakeServer("127.0.2.16", script)}
    try:
        p = make_pool(nodes=1, start=False, accounts=[
            Account(f"{name}@example.com", mailhost=s.host, options="proxytls=implicit" if name == "tls" else "") for name, s in servers.items()])
        p.write_conf({"proxy": {"PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt"), "PROXY_TRUSTED": FRONT,
                                "PROXY_PROTOCOL_SEND": "127.0.2.13=v1 127.0.2.16=none 127.0.2.0/24=v2"}})
        p.start()
        for name, server in servers.items():
            with KINDS[kind](HERE, p.imap_port if kind == "imap" else p.pop3_port, source="127.0.0.55") as c:
                c.login_ok(p.accounts[f"{name}@example.com"])
                if name != "without":
                    assert says(server.last.header) == ("127.0.0.55", c.local_port, False)
                    assert server.last.header.startswith(b"PROXY ") == (name == "one")
            assert not server.errors
        for name in "one", "two":  # a client with TLS; version 1 cannot say so
            with KINDS[kind](HERE, p.imap_port if kind == "imap" else p.pop3_port, source=FRONT) as c:
                c.cmd('ID ("x-originating-ip" "192.0.2.7" "x-originating-port" "1234" "x-client-transport" "TLS")' if kind == "imap" else
                      "XCLIENT ADDR=192.0.2.7 PORT=1234 CLIENT-TRANSPORT=TLS")
                c.login_ok(p.accounts[f"{name}@example.com"])
            assert says(servers[name].last.header) == ("192.0.2.7", 1234, name == "two")
        for server in servers.values():
            assert not server.errors
    finally:
        for server in servers.values():
            server.close()


class HeadedDovecot(TlsDovecot):
    """All its ports expect a header."""

    def __init__(self, *args):
        self.open_port = free_port([self.host])
        super().__init__(*args)

    def configuration(self):
        text = re.sub(r"(    port = \d+\n)", r"\1    haproxy = yes\n", super().configuration())
        # ready() asks a port without.
        text = text.replace("disable_plaintext_auth = yes", "disable_plaintext_auth = no")
        text = text.replace("  inet_listener imap {\n", f"  inet_listener open {{\n    port = {self.open_port}\n  }}\n  inet_listener imap {{\n")
        return text + f"haproxy_trusted_networks = {HERE}\nlogin_log_format_elements = user=<%u> rip=%r rport=%{{rport}} %c\n"

    def ready(self):
        port, self.imap_port = self.imap_port, self.open_port
        try:
            return super().ready()
        finally:
            self.imap_port = port

    def logins(self, kind):
        return re.findall(rf"{kind}-login: (?:Info: )?Login: user=<{USER}>, rip=(\S+), rport=(\d+)", self.log())


@pytest.mark.once
def test_dovecot(make_pool, authority, open_folder):
    """Its log has the client's address and port, by both versions, in clear, by STARTTLS, and at its ports for TLS."""
    dovecot = HeadedDovecot(open_folder, USER, authority.pem("dovecot", alt="IP:127.0.2.9"))
    try:
        p = make_pool(nodes=1, start=False)
        ca = give(p, authority.crt, "ca.crt")
        p.write_conf({"proxy": {"PROXY_TLS_CAFILE": ca, "PROXY_PROTOCOL_SEND": f"{dovecot.host}=v1"}})
        p.start()
        for version, word in (("v1", "none"), ("v2", "implicit"), ("v2", "starttls")):
            ports = (dovecot.imaps_port, dovecot.pop3s_port) if word == "implicit" else (dovecot.imap_port, dovecot.pop3_port)
            mark = p.nodes[0].log_mark()
            p.accounts.pop(USER, None)
            p.add(Account(USER, password="nobody knows", mailhost=f"{dovecot.host}:imap={ports[0]}:pop3={ports[1]}",
                          options=f"proxytls={word}"), mail=False)
            p.nodes[0].wait_userdb(mark)
            p.write_conf({"proxy": {"PROXY_PROTOCOL_SEND": f"{dovecot.host}={version}"}})
            assert p.nodes[0].tool("reload").returncode == 0
            for kind, port in (("imap", p.imap_port), ("pop3", p.pop3_port)):
                before = len(dovecot.logins(kind))
                with KINDS[kind](HERE, port, source="127.0.0.57") as c:
                    c.login_ok(p.accounts[USER])
                    wait_for("Dovecot has logged it", lambda: len(dovecot.logins(kind)) > before)  # pylint: disable=cell-var-from-loop
                    assert dovecot.logins(kind)[-1] == ("127.0.0.57", str(c.local_port)), (word, kind, dovecot.log())
    finally:
        dovecot.close()
