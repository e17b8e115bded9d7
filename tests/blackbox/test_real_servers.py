"""Dovecot, Courier, Cyrus and GNU Mailutils of Debian behind a node: what they say differs, what a client can do with them must not."""
import imaplib
import os
import poplib
import shutil
import subprocess
import tempfile

import pytest

from client import Imap
from pool import GID, SLOW, UID, Account, Marks, Pool, chown, free_port, message
from realservers import Courier, Cyrus, Mailutils
from test_mech import CAPS, imap_cram, states
from test_peer_tls import TlsDovecot, authority, give  # pylint: disable=unused-import

pytestmark = pytest.mark.once

HERE = "127.0.0.1"
WAYS = ["none", "starttls", "implicit"]  # how the node connects
ODD = 'a "b\\c dé%41'
PASSWORD = "nobody knows"


class Dovecot(TlsDovecot):
    """With several accounts, and logins in clear too."""

    def __init__(self, folder, accounts, pem):
        self.accounts = accounts
        super().__init__(folder, next(iter(accounts)), pem)
        with open(os.path.join(folder, "users"), "w") as f:
            for i, (name, password) in enumerate(accounts.items()):
                home = os.path.join(folder, f"home{i}")
                os.mkdir(home)
                chown(home)
                f.write(f"{name}:{{PLAIN}}{password}:{UID}:{GID}::{home}\n")
        with open(os.path.join(folder, "masters"), "w") as f:
            f.write("waypost@proxy:{PLAIN}the proxy's\n")

    def configuration(self):
        return super().configuration().replace("disable_plaintext_auth = yes", "disable_plaintext_auth = no")

    session = Courier.session
    deliver = Courier.deliver


KINDS = {"dovecot": Dovecot, "courier": Courier, "cyrus": Cyrus, "mailutils": Mailutils}
# As each names a folder.
BOXES = {Dovecot: "Work.2026", Courier: "INBOX.Work.2026", Cyrus: "Work/2026", Mailutils: "Work"}
ACCOUNTS = {**{f"{way}@example.com": PASSWORD for way in WAYS}, "odd@example.com": ODD, "cram@example.com": PASSWORD}


def mailhost(server, way):
    imap, pop3 = (server.imaps_port, server.pop3s_port) if way == "implicit" else (server.imap_port, server.pop3_port)
    return f"{server.host}:imap={imap}:pop3={pop3}"


@pytest.fixture(scope="module", params=KINDS)
def server(request, authority):
    """One of them, with the accounts; each has a message."""
    with tempfile.TemporaryDirectory(prefix=f"wp-{request.param}-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        kind = KINDS[request.param]
        s = kind(folder, ACCOUNTS, authority.pem(request.param, alt=f"IP:{kind.host}"))
        try:
            for name in ACCOUNTS:
                s.deliver(name, message(f"{name} lives there"))
            yield s
        finally:
            s.close()


@pytest.fixture(scope="module")
def node(request, server, authority):
    """A node with TLS for its clients; the accounts' servers are reached in clear, by STARTTLS, or by TLS from the beginning."""
    p = Pool(nodes=1, start=False, keep=request.config.getoption("--keep"))
    p.tls_ports = {group: free_port(p.addresses) for group in ("imapd-ssl", "pop3d-ssl")}
    pem = give(p, authority.pem("pool", "IP:127.0.0.1"), "pool.pem")
    p.write_conf({"proxy": {"PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt"), "PROXY_MASTER_USER": "waypost@proxy", "PROXY_MASTER_PASSWORD": "the proxy's"},
                  "imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"},
                  **{group: {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": pem, f"{group[:4].upper()}_TLS_REQUIRED": 0}
                     for group, port in p.tls_ports.items()}})
    for name, password in ACCOUNTS.items():
        if name == "cram@example.com":
            continue
        way = name.partition("@")[0]
        way = way if way in WAYS else "none"
        p.add(Account(name, password=password, mailhost=mailhost(server, way), options=f"proxytls={way}"), mail=False, write=False)
    p.add(Account("ghost@example.com", mailhost=mailhost(server, "none"), options="proxytls=none"), mail=False, write=False)
    p.add(Account("cram@example.com", password="x", fields=states("x"), mailhost=mailhost(server, "none"), options="proxytls=none"), mail=False)
    p.start()
    yield p
    p.close()


def body(data):
    return data.partition(b"\r\n\r\n")[2]


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


@pytest.mark.parametrize("way", WAYS)
def test_imap(server, node, way):
    """A client's work with a folder, all through the node; what it is told it can do is what the server itself tells."""
    user = f"{way}@example.com"
    with imaplib.IMAP4(HERE, node.imap_port) as c:
        ok(c.login(user, PASSWORD))
        if way == "none":
            direct = server.session(user)
            assert ok(c.capability())[-1].split() == ok(direct.capability())[-1].split()
            direct.logout()
        ok(c.noop())
        assert int(ok(c.select("INBOX"))[0]) == 1
        assert f"{user} lives there".encode() in ok(c.fetch("1", "(BODY.PEEK[HEADER])"))[0][1]
        box, big = BOXES[type(server)], message("big", "".join(f"line {i} {{5}}\r\n.\r\n" for i in range(20000)))
        ok(c.create(box))
        assert any(box.encode() in line for line in ok(c.list()))
        ok(c.append(box, "(\\Flagged)", None, big))
        ok(c.copy("1", box))
        assert int(ok(c.select(box))[0]) == 2
        got = ok(c.fetch("1", "(FLAGS BODY.PEEK[])"))
        # imap4d puts headers of its own into mail.
        assert body(got[0][1]) == body(big) if isinstance(server, Mailutils) else got[0][1] == big
        assert b"\\Flagged" in b"".join(part for one in got for part in one if isinstance(part, bytes))
        assert ok(c.search(None, "SUBJECT", "lives")) == [b"2"]
        ok(c.store("1", "+FLAGS", "(\\Deleted)"))
        # imap4d does not tell.
        assert ok(c.expunge()) == ([None] if isinstance(server, Mailutils) else [b"1"])
        assert int(ok(c.select(box))[0]) == 1
        ok(c.select("INBOX"))
        ok(c.delete(box))
        assert c.logout()[0] == "BYE"


@pytest.mark.parametrize("way", WAYS)
def test_pop3(server, node, way):
    user = f"{way}@example.com"
    c = poplib.POP3(HERE, node.pop3_port)
    c.user(user)
    c.pass_(PASSWORD)
    assert c.stat()[0] == 1
    assert f"Subject: {user} lives there".encode() in c.retr(1)[1]
    assert len(c.uidl()[1]) == 1 and c.top(1, 0)
    assert c.quit().startswith(b"+OK")


def test_odd_password(server, node):
    """As the server takes it: quoted, as a literal, by SASL."""
    with Imap(HERE, node.imap_port) as c:
        reply = c.cmd(b"LOGIN odd@example.com {%d}" % len(ODD.encode()), ODD.encode())
        assert reply.ok, (reply, server.log()[-2000:])
        assert c.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1")
    c = poplib.POP3(HERE, node.pop3_port)
    c.encoding = "utf-8"
    c.user("odd@example.com")
    c.pass_(ODD)
    assert c.stat()[0] == 1
    c.quit()


def test_it_does_not_know_the_account(server, node):
    """Here the password is right: the client must not ask its user for another."""
    marks = Marks(node)
    with Imap(HERE, node.imap_port) as c:
        reply = c.login("ghost@example.com", "secret-ghost@example.com")
        assert reply.text.startswith(b"NO [UNAVAILABLE]"), reply
    line = node.nodes[0].wait_log(r"TEMPORARY FAILURE, user=ghost@example.com")
    assert "refused" in line and "LOGIN FAILED" not in marks.text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("way", WAYS)
def test_curl(server, node, authority, way):
    """With TLS to the node, and whatever is behind it."""
    user = f"{way}@example.com"

    def curl(url):
        r = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "50", "--cacert", authority.crt, "--login-options", "AUTH=PLAIN", "-u", f"{user}:{PASSWORD}", url],
                           capture_output=True, timeout=60 * SLOW, check=False)
        assert r.returncode == 0, (r.stderr, server.log()[-2000:])
        return r.stdout
    for scheme, port in ("imap", node.imap_port), ("imaps", node.tls_ports["imapd-ssl"]):
        assert b"INBOX" in curl(f"{scheme}://{HERE}:{port}/")
        assert f"{user} lives there".encode() in curl(f"{scheme}://{HERE}:{port}/INBOX;MAILINDEX=1")
    for scheme, port in ("pop3", node.pop3_port), ("pop3s", node.tls_ports["pop3d-ssl"]):
        assert curl(f"{scheme}://{HERE}:{port}/").startswith(b"1 ")
        assert f"{user} lives there".encode() in curl(f"{scheme}://{HERE}:{port}/1")


def test_without_the_password(server, node):
    """CRAM reveals none: Dovecot and Cyrus take a user who may be everybody, the others cannot."""
    if isinstance(server, (Courier, Mailutils)):
        mark = node.nodes[0].log_mark()
        c, _, reply = imap_cram(node, HERE, "cram@example.com", "x")
        assert reply.startswith(b"a NO [CONTACTADMIN]") or reply.startswith(b"a NO [UNAVAILABLE]"), reply
        node.nodes[0].wait_log(r"(LOGIN REFUSED|TEMPORARY FAILURE), user=cram@example.com", mark)
    else:
        c, _, reply = imap_cram(node, HERE, "cram@example.com", "x")
        assert reply.startswith(b"a OK"), (reply, server.log()[-2000:], node.nodes[0].log()[-2000:])
        assert c.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1")
    c.close()
