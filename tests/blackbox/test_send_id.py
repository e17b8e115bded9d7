"""PROXY_SEND_ID: which servers that are not Waypost get to know who logs in, and that a real one believes it."""
import re

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import Account, wait_for
from test_mech import open_folder  # pylint: disable=unused-import
from test_peer_tls import TlsDovecot, authority, give  # pylint: disable=unused-import
from test_peers import id_pairs

HERE = "127.0.0.1"
FRONT = "127.0.0.9"  # in PROXY_TRUSTED
USER = "dora@example.com"
KINDS = {"imap": Imap, "pop3": Pop3}
FORGED = {f"x-{key}": f"forged {key}" for key in (
    "session-id", "session-ext-id", "originating-ip", "originating-port", "connected-ip", "connected-port", "connected-name",
    "proxy-ttl", "client-transport", "multiplex", "forward-user", "waypost-auth", "waypost-tls")}


def told(kind, conn):
    """What a fake server was told of the client, with one set of names."""
    if kind == "imap":
        pairs = id_pairs(conn)
        names = {b"x-originating-ip": "ip", b"x-originating-port": "port", b"x-client-transport": "tls", b"x-session-id": "session", b"x-proxy-ttl": "ttl"}
    else:
        pairs = dict(w.split(b"=", 1) for x in conn.xclient for w in x.split())
        names = {b"ADDR": "ip", b"PORT": "port", b"CLIENT-TRANSPORT": "tls", b"SESSION": "session", b"TTL": "ttl"}
    return {names.get(k, k.decode()): v.decode() for k, v in pairs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_told(make_pool, kind):
    """One of the list, by its name; others get the session and its hops alone. What a client says of this kind goes to nobody."""
    script = imap_peer() if kind == "imap" else pop3_peer(greeting="+OK [XCLIENT] ready\r\n")
    listed, other = FakeServer("127.0.2.11", script), FakeServer("127.0.2.12", script)
    users = {"listed@example.com": listed, "other@example.com": other}
    try:
        p = make_pool(nodes=1, settings={"proxy": {"PROXY_SEND_ID": "127.0.2.11 mail.example.org"}},
                      accounts=[Account(name, mailhost=s.host) for name, s in users.items()])
        for name, server in users.items():
            with KINDS[kind](HERE, p.imap_port if kind == "imap" else p.pop3_port, source="127.0.0.55") as c:
                if kind == "imap":
                    c.ok("ID (" + " ".join(f'"{k.upper() if i % 2 else k}" "{v}"' for i, (k, v) in enumerate(FORGED.items())) + ' "name" "mutt")')
                else:
                    assert c.cmd("XCLIENT ADDR=6.6.6.6 PORT=666 SESSION=forged TTL=250 FORWARD=Zm9yZ2Vk CLIENT-TRANSPORT=TLS").startswith(b"+OK")
                c.login_ok(p.accounts[name])
                port = str(c.local_port)
            got = told(kind, server.last)
            assert got.pop("name", "mutt") == "mutt"
            assert got.pop("session") != "forged" and 0 < int(got.pop("ttl")) < 10
            assert got == ({"ip": "127.0.0.55", "port": port, "tls": "insecure"} if server is listed else {})
            assert not server.errors
    finally:
        listed.close()
        other.close()


@pytest.mark.parametrize("bad", ["192.0.2.0/33", "a.example.com=192.0.2.7"])
def test_check(make_pool, bad):
    p = make_pool(nodes=1, start=False, settings={"proxy": {"PROXY_SEND_ID": bad}})
    r = p.nodes[0].tool("check")
    assert r.returncode == 1 and f"PROXY_SEND_ID: {bad} is not a host, address or network" in r.stdout, r


class TrustingDovecot(TlsDovecot):
    """It believes what the node says of its clients."""

    def configuration(self):
        return super().configuration() + f"login_trusted_networks = {HERE}\n" + \
            "login_log_format_elements = user=<%u> rip=%r rport=%{rport} real=%{real_rip} session=<%{session}>\n"

    def logins(self, kind):
        return re.findall(rf"{kind}-login: (?:Info: )?Login: user=<{USER}>, rip=(\S+), rport=(\d+), real={HERE}, session=<(\S+)>", self.log())


def log_in(p, dovecot, kind, source, says):
    """Logs in; returns (what the node knows of the client, what Dovecot logs), each address, port, session."""
    before, mark = len(dovecot.logins(kind)), p.nodes[0].log_mark()
    with KINDS[kind](HERE, p.imap_port if kind == "imap" else p.pop3_port, source=source) as c:
        if says is not None and kind == "imap":
            c.ok(f'ID ("x-originating-ip" "{says}" "x-originating-port" "1234")')
        elif says is not None:
            assert c.cmd(f"XCLIENT ADDR={says} PORT=1234").startswith(b"+OK")
        c.login_ok(p.accounts[USER])
        client = (says, "1234") if says else (source, str(c.local_port))
    wait_for("Dovecot has logged it", lambda: len(dovecot.logins(kind)) > before)
    session = re.search(r"session=(\w+)", p.nodes[0].wait_log(rf"{kind[:4]}d: LOGIN, user={USER}", mark)).group(1)
    return (*client, session), dovecot.logins(kind)[-1]


@pytest.mark.once
def test_dovecot(make_pool, authority, open_folder):
    """Its log has the client's address and port, and our session, for IMAP and POP3, in clear and by STARTTLS; an address of
    IPv6, too. Without PROXY_SEND_ID it has the node's."""
    dovecot = TrustingDovecot(open_folder, USER, authority.pem("dovecot", alt="IP:127.0.2.9"))
    clients = [(kind, *who) for kind in KINDS for who in (("127.0.0.55", None), (FRONT, "2001:db8::7"))]
    try:
        p = make_pool(nodes=1, start=False)
        p.write_conf({"proxy": {"PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt"), "PROXY_TRUSTED": FRONT, "PROXY_SEND_ID": dovecot.host}})
        p.start()
        for word in "none", "starttls":
            mark = p.nodes[0].log_mark()
            p.accounts.pop(USER, None)
            p.add(Account(USER, password="nobody knows", mailhost=f"{dovecot.host}:imap={dovecot.imap_port}:pop3={dovecot.pop3_port}",
                          options=f"proxytls={word}"), mail=False)
            p.nodes[0].wait_userdb(mark)
            for client in clients:
                ours, its = log_in(p, dovecot, *client)
                assert ours == its, (word, client, dovecot.log())
        p.write_conf({"proxy": {"PROXY_SEND_ID": None}})
        assert p.nodes[0].tool("reload").returncode == 0
        for client in clients:
            ours, its = log_in(p, dovecot, *client)
            assert its[0] == HERE and its[1] != ours[1], (client, dovecot.log())
    finally:
        dovecot.close()
