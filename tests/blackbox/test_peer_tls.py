"""TLS towards peers: PROXY_TLS, whom a node believes, what it does with those that it does not."""
import imaplib
import os
import poplib
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from certificates import Authority, TlsEnd, context, install
from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import Account, Pool, PATIENCE, PREFIX, free_port, wait_for
from test_mech import CAPS, Dovecot, imap_cram, open_folder, pop3_cram, states  # pylint: disable=unused-import

HERE, ELSEWHERE, PLAIN, START = "anna@example.com", "berta@example.com", "paul@example.com", "stella@example.com"
HASHED = {ELSEWHERE: "hans@example.com", START: "hilda@example.com"}  # whose password only a hash is known of
PEER = "127.0.0.9"  # of peers that a test makes, and ports of some, so that an account can stay what it is
PORT = {name: free_port([PEER]) for name in ("hostile", "busy", "skipped")}
GROUPS = ("imapd", "pop3d")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("authority")))


def give(pool, path, name):
    """A copy of the file at PATH that the pool's nodes can read, renamed into place."""
    with open(path) as f:
        return install(pool, f.read(), name)


# --- two nodes of a pool ---

@pytest.fixture(scope="module")
def pool(request, authority):
    p = Pool(nodes=2, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 1},
             accounts=[Account(HERE, mailhost="127.0.0.1"), Account(ELSEWHERE, mailhost="127.0.0.2"),
                       Account(PLAIN, mailhost="127.0.0.2", options="proxytls=none"),
                       Account(START, mailhost="127.0.0.2", options="proxytls=starttls"),
                       Account(HASHED[ELSEWHERE], password="x", mailhost="127.0.0.2", fields=states("x")),
                       Account(HASHED[START], password="x", mailhost="127.0.0.2", options="proxytls=starttls", fields=states("x"))])
    p.tls_port = {group: free_port(p.addresses) for group in GROUPS}
    pem = give(p, authority.pem("pool", "IP:127.0.0.1,IP:127.0.0.2"), "pool.pem")
    p.write_conf({"proxy": {"PROXY_TLS": "implicit", "PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt")},
                  "imapd": {"IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"}, "pop3d": {"POP3AUTH": "PLAIN CRAM-MD5"},
                  **{f"{group}-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": pem}
                     for group, port in p.tls_port.items()}})
    p.start()
    yield p
    p.close()


def imap(pool, tls):
    if tls:
        return imaplib.IMAP4_SSL("127.0.0.1", pool.tls_port["imapd"], ssl_context=context(), timeout=PATIENCE)
    return imaplib.IMAP4("127.0.0.1", pool.imap_port, timeout=PATIENCE)


def pop3(pool, tls):
    if tls:
        return poplib.POP3_SSL("127.0.0.1", pool.tls_port["pop3d"], context=context(), timeout=PATIENCE)
    return poplib.POP3("127.0.0.1", pool.pop3_port, timeout=PATIENCE)


@pytest.mark.parametrize("user", [HERE, ELSEWHERE, PLAIN, START])
@pytest.mark.parametrize("tls", [False, True])
def test_all_bridges(pool, tls, user):
    """A client with TLS or without, a peer with TLS or without: much in both directions, and both ends of the session."""
    node = pool.nodes[0]
    mark = node.log_mark()
    body = b"Subject: much\r\n\r\n" + b"0123456789\r\n" * 100000
    with imap(pool, tls) as c:
        c.login(user, pool.accounts[user].password)
        assert c.append("INBOX", None, None, body)[0] == "OK"
        n = int(c.select("INBOX")[1][0])
        assert c.fetch(str(n), "BODY.PEEK[]")[1][0][1] == body
        c.store(str(n), "+FLAGS", "\\Deleted")
        assert c.expunge()[0] == "OK"
        assert c.logout()[0] == "BYE"
    p = pop3(pool, tls)
    p.user(user)
    p.pass_(pool.accounts[user].password)
    assert p.stat()[0] >= 1
    assert p.quit().startswith(b"+OK")
    ports = {HERE: {}, ELSEWHERE: pool.tls_port}.get(user, {"imapd": pool.imap_port, "pop3d": pool.pop3_port})
    for group, port in ports.items():
        node.wait_log(rf"{group}: (LOGOUT|DISCONNECTED), user={user}.* backend=\[127\.0\.0\.2\]:{port},", mark)


@pytest.mark.parametrize("user", [ELSEWHERE, START])
def test_identity_is_forwarded(pool, user):
    """The peer counts and logs the client, not the node before it."""
    mark = pool.nodes[1].log_mark()
    with imap(pool, False) as c:
        port = c.sock.getsockname()[1]
        c.login(user, pool.accounts[user].password)
    pool.nodes[1].wait_log(rf"imapd: LOGIN, user={user}, ip=\[::ffff:127\.0\.0\.1\], port=\[{port}\]", mark)
    p = pop3(pool, False)
    port = p.sock.getsockname()[1]
    p.user(user)
    p.pass_(pool.accounts[user].password)
    pool.nodes[1].wait_log(rf"pop3d: LOGIN, user={user}, ip=\[::ffff:127\.0\.0\.1\], port=\[{port}\]", mark)
    p.quit()


@pytest.mark.parametrize("user", HASHED.values())
def test_token(pool, user):
    """A login whose password nobody knows: the node behind TLS is recognized, and takes the token."""
    c, _, reply = imap_cram(pool, "127.0.0.1", user, "x")
    assert reply.startswith(b"a OK"), reply
    assert c.subjects() == [f"{user} lives on 127.0.0.2"]
    c.cmd("LOGOUT")
    c, _, reply = pop3_cram(pool, "127.0.0.1", user, "x")
    assert reply.startswith(b"+OK"), reply
    c.cmd("QUIT")


def test_route_tells_tls(pool):
    text = pool.nodes[0].tool("route", ELSEWHERE).stdout
    assert f"IMAP: to 127.0.0.2 port {pool.tls_port['imapd']} by TLS (implicit)" in text
    assert f"POP3: to 127.0.0.2 port {pool.tls_port['pop3d']} by TLS (implicit)" in text
    assert f"IMAP: to 127.0.0.2 port {pool.imap_port} [" in pool.nodes[0].tool("route", PLAIN).stdout


# --- a node, and peers that a test makes ---

def over_tls(pem, script, version=None, seen=None):
    """A script for FakeServer: SCRIPT over TLS with the certificate of PEM. SEEN gets, of each connection, what the client told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version is not None:
        context.maximum_version = version
    context.load_cert_chain(pem)
    names = {}
    context.sni_callback = lambda sock, name, _: names.update({sock: name})

    def serve(conn):
        conn.sock = context.wrap_socket(conn.sock, server_side=True)
        if seen is not None:
            seen.append({"name": names.get(conn.sock), "reused": conn.sock.session_reused})
        script(conn)
    return serve


@pytest.fixture(scope="module")
def node(request, authority):
    p = Pool(nodes=1, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 1})
    p.write_conf({"proxy": {"PROXY_TLS": "implicit", "PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt"), "PROXY_TIMEOUT": 3,
                            "PROXY_TLS_PEERS": "plain.example.com=none .example.org=none 127.0.0.9=implicit 127.0.0.8=none", "PROXY_SEND_ID": "127.0.0.9"}})
    p.start()
    yield p
    p.close()


def route(node, user, mailhost, options=""):
    if user in node.accounts and (node.accounts[user].mailhost, node.accounts[user].options) == (mailhost, options):
        return
    mark = node.nodes[0].log_mark()
    if user in node.accounts:
        node.accounts[user].mailhost, node.accounts[user].options = mailhost, options
        node.write_userdb()
    else:
        node.add(Account(user, mailhost=mailhost, options=options), mail=False)
    node.nodes[0].wait_userdb(mark)


def log_in(node, user):
    """The answer to a login by IMAP."""
    with imap(node, False) as c:
        try:
            c.login(user, node.accounts[user].password)
        except imaplib.IMAP4.error as e:
            return str(e)
    return "OK"


def notes(node):
    return {n["name"]: n["text"] for n in node.nodes[0].status()["notes"]}


REFUSED = {
    "expired": (dict(alt="IP:127.0.0.9", days=-1), "certificate has expired", "renew it there"),
    "self-signed": (dict(alt="IP:127.0.0.9", own=True), "self-signed certificate", "PROXY_TLS_CAFILE"),
    "another address": (dict(alt="IP:127.0.0.8"), "IP address mismatch", "mailhost"),
    "a name": (dict(alt="DNS:peer.example.com"), "IP address mismatch", "mailhost"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_certificate_refused(node, authority, kind):
    """Nothing is sent to a peer that is not believed; client, log, `status` and `route` say so, until it is mended."""
    how, reason, remedy = REFUSED[kind]
    user = re.sub("[^a-z]", "", kind) + "@example.com"
    peer = FakeServer(PEER, over_tls(authority.pem(user, **how), imap_peer()))
    try:
        route(node, user, peer.host)
        mark = node.nodes[0].log_mark()
        assert "[UNAVAILABLE]" in log_in(node, user)
        line = node.nodes[0].wait_log(rf"imapd: TEMPORARY FAILURE, user={user}.*", mark)
        text = node.nodes[0].log_since(mark)
        assert re.search(rf"TEMPORARY FAILURE, user={user}.* 127\.0\.0\.9 port {peer.port}: TLS: {reason} \(.*{remedy}", text), (line, text)
        assert peer.conns and not any(conn.raw for conn in peer.conns)
        status = node.nodes[0].status()
        assert status["counts"]["peers_untrusted"] >= 1 and status["state"] == "degraded"
        names = {n["name"]: n["text"] for n in status["notes"]}
        assert peer.host in names["peers_untrusted_list"].split() and peer.host not in names["peers_down_list"].split()
        assert re.search(rf"TLS with it fails: .*{reason} \(.*{remedy}", node.nodes[0].tool("route", user).stdout)
        # What it does by TLS is nothing to an account that does not use it; and a reload is another try.
        route(node, user, peer.host, "proxytls=none")
        assert "TLS with it fails" not in node.nodes[0].tool("route", user).stdout
        route(node, user, peer.host)
        assert "TLS with it fails" in node.nodes[0].tool("route", user).stdout
        assert node.nodes[0].tool("reload").returncode == 0
        wait_for("it is forgotten", lambda: node.nodes[0].status()["counts"]["peers_untrusted"] == 0)
        assert "TLS with it fails" not in node.nodes[0].tool("route", user).stdout
        assert "[UNAVAILABLE]" in log_in(node, user)
        assert "TLS with it fails" in node.nodes[0].tool("route", user).stdout
        peer.script = over_tls(authority.pem(user, alt="IP:127.0.0.9"), imap_peer())
        assert log_in(node, user) == "OK"
        wait_for("nothing is wrong with it any more", lambda: "TLS with it fails" not in node.nodes[0].tool("route", user).stdout)
    finally:
        peer.close()


def test_next_host_is_tried(node, authority):
    """A peer that is not believed is passed over, and somebody is told."""
    bad = FakeServer(PEER, over_tls(authority.pem("bad", alt="IP:127.0.0.8"), imap_peer()))
    good = FakeServer(PEER, over_tls(authority.pem("good", alt="IP:127.0.0.9"), imap_peer()))
    try:
        route(node, "two@example.com", f"{bad.host} {good.host}")
        mark = node.nodes[0].log_mark()
        assert log_in(node, "two@example.com") == "OK"
        node.nodes[0].wait_log(rf"mailhost 127\.0\.0\.9 is passed over: 127\.0\.0\.9 port {bad.port}: TLS: IP address mismatch", mark)
        assert not bad.last.raw
        assert node.nodes[0].status()["counts"]["peers_untrusted"] >= 1
    finally:
        bad.close()
        good.close()


@pytest.mark.parametrize("says,reason", [(b"* OK ready\r\n", "wrong version number"), (b"+OK ready\r\n", "wrong version number")])
def test_peer_without_tls(node, says, reason):
    """No byte is sent to it but the first of TLS, and the log says what to look at."""
    peer = FakeServer(PEER, lambda conn: (conn.send(says), conn.wait_gone()))
    try:
        route(node, "clear@example.com", peer.host)
        mark = node.nodes[0].log_mark()
        assert "[UNAVAILABLE]" in log_in(node, "clear@example.com")
        node.nodes[0].wait_log(rf"user=clear@example\.com.*TLS: {reason} \(see PROXY_TLS", mark)
        wait_for("the peer has seen the end", lambda: peer.last.raw)
        assert peer.last.raw[0] == 22 and b"LOGIN" not in peer.last.raw
    finally:
        peer.close()


def test_handshake_that_never_ends(node):
    """A peer that is silent, or drips, within the handshake: PROXY_TIMEOUT, and it is down."""
    peer = FakeServer(PEER, lambda conn: (conn.send(b"\x16\x03\x03\x40\x00" + b"\x02" * 50, piece=1, pause=0.05), conn.wait_gone()))
    try:
        route(node, "slow@example.com", peer.host)
        mark = node.nodes[0].log_mark()
        assert "[UNAVAILABLE]" in log_in(node, "slow@example.com")
        node.nodes[0].wait_log(r"user=slow@example\.com.*no end of the TLS handshake in time", mark)
        names = {n["name"]: n["text"] for n in node.nodes[0].status()["notes"]}
        assert peer.host + "(implicit)" in names["peers_down_list"].split()
    finally:
        peer.close()


def test_health_belongs_to_a_mode(node, authority):
    """Logins of an account that is to use no TLS have no answer where all others use it: no other is sent to the next host."""
    first = FakeServer(PEER, over_tls(authority.pem("mode1", alt="IP:127.0.0.9"), imap_peer()))
    second = FakeServer(PEER, over_tls(authority.pem("mode2", alt="IP:127.0.0.9"), imap_peer()))
    try:
        route(node, "odd@example.com", first.host, "proxytls=none")
        route(node, "even@example.com", f"{first.host} {second.host}")
        assert "[UNAVAILABLE]" in log_in(node, "odd@example.com")
        wait_for("it is down without TLS", lambda: first.host in notes(node)["peers_down_list"].split())
        assert log_in(node, "even@example.com") == "OK"
        assert not second.conns and first.host + "(implicit)" not in notes(node)["peers_down_list"].split()
        assert "[127.0.0.9] down" in node.nodes[0].tool("route", "odd@example.com").stdout
        assert "[127.0.0.9] down" not in node.nodes[0].tool("route", "even@example.com").stdout
    finally:
        first.close()
        second.close()


def test_name_of_the_peer(node, authority):
    """It is told to the peer (SNI), without a dot at its end, and its certificate has to be for it."""
    seen = []
    peer = FakeServer("127.0.0.1", over_tls(authority.pem("named", alt="DNS:localhost"), imap_peer(), seen=seen))
    try:
        route(node, "named@example.com", f"localhost.:{peer.port}")
        assert log_in(node, "named@example.com") == "OK"
        assert seen[-1]["name"] == "localhost"
    finally:
        peer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(node, authority, version):
    """All logins at a peer after the first; by POP3, whose greeting comes without waiting."""
    seen = []
    user = version.name.lower() + "@example.com"
    peer = FakeServer(PEER, over_tls(authority.pem("resumed", alt="IP:127.0.0.9"), pop3_peer(), version, seen))
    try:
        route(node, user, peer.host)
        for _ in range(4):
            p = pop3(node, False)
            p.user(user)
            p.pass_(node.accounts[user].password)
            assert p.quit().startswith(b"+OK")
        assert [s["reused"] for s in seen] == [False, True, True, True]
    finally:
        peer.close()


@pytest.mark.parametrize("options,greets", [("proxytls=none", True), ("", False)])
def test_option_of_an_account(node, options, greets):
    """proxytls goes before the settings."""
    peer = FakeServer(PEER, imap_peer())
    try:
        route(node, "option@example.com", peer.host, options)
        assert (log_in(node, "option@example.com") == "OK") == greets
        assert (peer.last.raw[0] == 22) != greets  # the first byte of TLS
    finally:
        peer.close()


def test_option_that_is_no_word(node):
    """Never without TLS by mistake."""
    peer = FakeServer(PEER, imap_peer())
    try:
        route(node, "typo@example.com", peer.host, "proxytls=implict")
        mark = node.nodes[0].log_mark()
        assert "[UNAVAILABLE]" in log_in(node, "typo@example.com")
        node.nodes[0].wait_log(r"user=typo@example\.com.*proxytls", mark)
        for command in ("route", "typo@example.com"), ("check",):
            assert 'proxytls is "implict", which is none of the words none, starttls and implicit' in node.nodes[0].tool(*command).stdout
        assert not peer.conns
    finally:
        peer.close()


@pytest.mark.once
def test_authorities_change(node, authority, tmp_path):
    """A file of another authority is believed soon, without a command; sessions that the old one led to are not resumed."""
    other = Authority(str(tmp_path))
    peer = FakeServer(PEER, over_tls(other.pem("other", alt="IP:127.0.0.9"), imap_peer()))
    old = FakeServer(PEER, over_tls(authority.pem("old", alt="IP:127.0.0.9"), imap_peer()))
    try:
        route(node, "change@example.com", peer.host)
        route(node, "old@example.com", old.host)
        assert log_in(node, "old@example.com") == "OK"
        assert "[UNAVAILABLE]" in log_in(node, "change@example.com")
        give(node, other.crt, "ca.crt")
        wait_for("the new authority is believed", lambda: log_in(node, "change@example.com") == "OK", pause=0.3)
        assert "[UNAVAILABLE]" in log_in(node, "old@example.com")
    finally:
        give(node, authority.crt, "ca.crt")
        wait_for("the authority is believed again", lambda: log_in(node, "old@example.com") == "OK", pause=0.3)
        peer.close()
        old.close()


@pytest.mark.once
@pytest.mark.parametrize("how", ["removed", "another in the settings"])
def test_authorities_that_are_not_there(node, authority, how):
    """Without the file nobody is believed: not those, either, to whom the one before led."""
    peer = FakeServer(PEER, over_tls(authority.pem("there", alt="IP:127.0.0.9"), imap_peer()))
    cafile = os.path.join(node.root, "ca.crt")
    try:
        route(node, "there@example.com", peer.host)
        assert log_in(node, "there@example.com") == "OK"
        mark = node.nodes[0].log_mark()
        if how == "removed":
            os.unlink(cafile)
        else:
            node.write_conf({"proxy": {"PROXY_TLS_CAFILE": cafile + ".typo"}})
            assert node.nodes[0].tool("reload").returncode == 0
        node.nodes[0].wait_log("PROXY_TLS_CAFILE: .*No such file.*; no peer's certificate is believed", mark)
        assert node.nodes[0].tool("check").returncode != 0
        wait_for("nobody is believed", lambda: "[UNAVAILABLE]" in log_in(node, "there@example.com"), pause=0.3)
    finally:
        give(node, authority.crt, "ca.crt")
        if how != "removed":
            node.write_conf({"proxy": {"PROXY_TLS_CAFILE": cafile}})
            assert node.nodes[0].tool("reload").returncode == 0
        wait_for("the authority is believed again", lambda: log_in(node, "there@example.com") == "OK", pause=0.3)
        peer.close()


def test_authorities_that_cannot_be_used(node, authority, tmp_path):
    """Half a copy replaces nothing: the peer is believed, check, status and one line of the log say what is wrong."""
    peer = FakeServer(PEER, over_tls(authority.pem("half", alt="IP:127.0.0.9"), imap_peer()))
    half = str(tmp_path / "half.crt")
    with open(authority.crt) as f, open(half, "w") as out:
        out.write(f.read()[:-60])
    try:
        route(node, "half@example.com", peer.host)
        mark = node.nodes[0].log_mark()
        give(node, half, "ca.crt")
        node.nodes[0].wait_log("PROXY_TLS_CAFILE: .*cannot be read; what it was before stays", mark)
        assert node.nodes[0].tool("reload").returncode == 0
        assert log_in(node, "half@example.com") == "OK"
        said = node.nodes[0].tool("status").stdout
        assert "PROBLEM     1 file of authorities (TLS_TRUSTCERTS, PROXY_TLS_CAFILE) cannot be used" in said and re.search("authorities .*ca.crt.*before stays", said), said
        assert len(re.findall("PROXY_TLS_CAFILE", node.nodes[0].log_since(mark))) == 1
        found = node.nodes[0].tool("check")
        assert found.returncode != 0 and re.search(r"conf:\d+: proxy\.PROXY_TLS_CAFILE: \S+ca\.crt: ", found.stderr + found.stdout)
    finally:
        give(node, authority.crt, "ca.crt")
        wait_for("the file is taken", lambda: "authorities " not in node.nodes[0].tool("status").stdout, pause=0.3)
        peer.close()


@pytest.mark.once
def test_not_verified(authority):
    """PROXY_TLS_VERIFY off: any certificate will do, and `check` warns."""
    peer = FakeServer(PEER, over_tls(authority.pem("any", alt="DNS:any.example", days=-1, own=True), imap_peer()))
    p = Pool(nodes=1, start=False, settings={"LOGIN_WORKERS": 1, "proxy": {"PROXY_TLS": "implicit", "PROXY_TLS_VERIFY": 0}})
    try:
        p.add(Account("any@example.com", mailhost=peer.host), mail=False)
        p.start()
        assert log_in(p, "any@example.com") == "OK"
        assert "PROXY_TLS_VERIFY is off" in p.nodes[0].tool("check").stdout
    finally:
        p.close()
        peer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificate(authority, version):
    """Mutual TLS: a peer that wants one is shown PROXY_TLS_CERTFILE, whose key no worker has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(authority.pem("mutual", alt="IP:127.0.0.9"))
    context.load_verify_locations(authority.crt)
    context.verify_mode = ssl.CERT_REQUIRED
    shown = []

    def script(conn):
        conn.sock = context.wrap_socket(conn.sock, server_side=True)
        shown.append(conn.sock.getpeercert()["subjectAltName"])
        imap_peer()(conn)

    peer = FakeServer(PEER, script)
    p = Pool(nodes=1, start=False, settings={"LOGIN_WORKERS": 1, "proxy": {"PROXY_TLS": "implicit"}})
    try:
        p.write_conf({"proxy": {"PROXY_TLS_CAFILE": give(p, authority.crt, "ca.crt"),
                                "PROXY_TLS_CERTFILE": give(p, authority.pem("us", alt="DNS:us.example.com"), "us.pem")}})
        p.add(Account("mutual@example.com", mailhost=peer.host), mail=False)
        p.start()
        wait_for("the certificate is there", lambda: log_in(p, "mutual@example.com") == "OK", pause=0.2)
        assert log_in(p, "mutual@example.com") == "OK"
        assert shown[-1] == (("DNS", "us.example.com"),)
    finally:
        p.close()
        peer.close()


# --- STARTTLS ---

def starttls(pem, script, greeting=None, answer=None, behind=b"", protocol="imap", ciphers=None):
    """A script for FakeServer: SCRIPT, which does not greet, after GREETING and STARTTLS; BEHIND comes with the ANSWER to that.
    CIPHERS: those of TLS 1.2, and no other version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    if ciphers is not None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)

    def serve(conn):
        conn.send(greeting or (b"* OK ready\r\n" if protocol == "imap" else b"+OK ready\r\n"))
        conn.before = conn.line()
        conn.send((answer or (b"S OK go on\r\n" if protocol == "imap" else b"+OK go on\r\n")) + behind)
        conn.sock = context.wrap_socket(conn.sock, server_side=True)
        conn.buf = conn.raw = b""
        script(conn)
    return serve


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_starttls(node, authority, protocol):
    """Nothing but the request for TLS goes before it; who the client is, and the login, within."""
    user = f"start{protocol}@example.com"
    pem = authority.pem("start", alt="IP:127.0.0.9")
    if protocol == "imap":
        peer = FakeServer(PEER, starttls(pem, imap_peer(greeting=""), b"* OK [CAPABILITY LOGINDISABLED STARTTLS] [ALERT] evil\r\n"))
    else:
        peer = FakeServer(PEER, starttls(pem, pop3_peer(greeting=""), b"+OK [XCLIENT] evil\r\n", protocol="pop3"))
    try:
        route(node, user, peer.host, "proxytls=starttls")
        assert "by TLS (starttls)" in node.nodes[0].tool("route", user).stdout
        if protocol == "imap":
            with imap(node, False) as c:
                typ, text = c.login(user, node.accounts[user].password)
                assert typ == "OK" and b"evil" not in text[0]
                assert c.xatom("ECHO")[0] == "OK"
            assert peer.last.before == b"S STARTTLS"
            assert [w[1] for w in peer.last.commands[:3]] == [b"CAPABILITY", b"ID", b"LOGIN"]
        else:
            p = pop3(node, False)
            p.user(user)
            p.pass_(node.accounts[user].password)
            assert p.noop().startswith(b"+OK echo")
            p.quit()
            assert peer.last.before == b"STLS"
            assert [w[0] for w in peer.last.commands[:4]] == [b"CAPA", b"XCLIENT", b"USER", b"PASS"]
    finally:
        peer.close()


def test_hangs_up_at_xclient(node, authority):
    """Within STLS it is tried, since nobody announces it there: a server that hangs up has seen nothing of the login, which goes on to the next one."""
    user = "hangs@example.com"
    pem = authority.pem("hangs", alt="IP:127.0.0.9")

    def hangs_up(conn):
        conn.pop3_command()
        conn.send("+OK\r\nUSER\r\n.\r\n")
        conn.words = conn.pop3_command()
        conn.close()
    bad = FakeServer(PEER, starttls(pem, hangs_up, protocol="pop3"))
    good = FakeServer(PEER, starttls(pem, pop3_peer(greeting=""), protocol="pop3"))
    try:
        route(node, user, f"{bad.host} {good.host}", "proxytls=starttls")
        p = pop3(node, False)
        p.user(user)
        p.pass_(node.accounts[user].password)
        assert p.noop().startswith(b"+OK echo")
        p.quit()
        assert bad.last.words[0] == b"XCLIENT" and good.last.user == user.encode()
    finally:
        bad.close()
        good.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can hide this machine's authorities")
def test_check_finds_no_authorities(node, tmp_path):
    """PROXY_TLS without PROXY_TLS_CAFILE needs those of the machine."""
    conf = str(tmp_path / "w.conf")
    with open(node.conf) as f:
        text = f.read()
    with open(conf, "w") as f:
        f.write(re.sub('PROXY_TLS_CAFILE = "[^"]*";', "", text))

    def check(before):
        script = f'for f in /etc/ssl/certs /etc/pki/tls/certs; do [ ! -d $f ] || mount -t tmpfs none $f; done; {before}; exec "$@" 2>&1'
        return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", os.path.join(PREFIX, "bin", "waypost"), "-c", conf, "check"], env=node.nodes[0].env,
                              capture_output=True, text=True, timeout=PATIENCE).stdout
    assert "proxy.PROXY_TLS_CAFILE is not set, and this machine has no file of authorities either" in check(":")
    assert ("/etc/ssl/certs/ca-certificates.crt, nobody is believed: it is empty" in
            check("mkdir -p /etc/ssl/certs && : >/etc/ssl/certs/ca-certificates.crt"))


def in_clear(greeting, answer=None):
    """A script: what a peer says in clear that is to begin TLS. ANSWER: to its request for that."""
    def script(conn):
        conn.send(greeting)
        if answer is not None:
            conn.line()
            conn.send(answer)
        conn.wait_gone()
    return script


# What a peer, or somebody before it, says to a node that is to begin TLS: the greeting, and the answer to STARTTLS.
HOSTILE = {
    "preauth": (b"* PREAUTH [CAPABILITY IMAP4rev1] evil\r\n", None),
    "bye": (b"* BYE [ALERT] evil\r\n", None),
    "no": (b"* NO [ALERT] evil\r\n", None),
    "bad": (b"* BAD [ALERT] evil\r\n", None),
    "tagged": (b"S OK evil\r\n", None),
    "garbage": (b"evil\r\n", None),
    "binary": (b"\x16\x03\x03\x00\x02\x02\x28\r\n", None),
    "refused": (b"* OK ready\r\n", b"S NO [ALERT] evil\r\n"),
    "unknown": (b"* OK ready\r\n", b"S BAD evil\r\n"),
    "referral": (b"* OK ready\r\n", b"S NO [REFERRAL imap://evil/] evil\r\n"),
    "capability": (b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1 EVIL\r\nS OK go on\r\n"),
    "exists": (b"* OK ready\r\n", b"* 5 EXISTS\r\nS OK evil\r\n"),
    "fetch": (b"* OK ready\r\n", b"* 1 FETCH (BODY[] {4}\r\nevil)\r\nS OK evil\r\n"),
    "alert": (b"* OK [ALERT] evil\r\n", b"* OK [ALERT] evil\r\nS OK go on\r\n"),
    "goodbye": (b"* OK ready\r\n", b"* BYE [UNAVAILABLE] evil\r\n"),
    "another tag": (b"* OK ready\r\n", b"L OK evil\r\n"),
    "in the greeting": (b"* OK ready\r\nS OK evil\r\n", b""),
    "behind": (b"* OK ready\r\n", b"S OK go on\r\n* OK [ALERT] evil\r\n"),
    "login behind": (b"* OK ready\r\n", b"S OK go on\r\nC OK evil\r\nL OK evil\r\n"),
    "referral in the greeting": (b"* BYE [REFERRAL imap://evil/] evil\r\n", None),
    "capability as the greeting": (b"* CAPABILITY IMAP4rev1 EVIL\r\n", None),
    "capability behind the greeting": (b"* OK ready\r\n* CAPABILITY IMAP4rev1 EVIL\r\n", b"S OK go on\r\n"),
    "exists behind the greeting": (b"* OK ready\r\n* 5 EXISTS\r\n", b"S OK go on\r\n"),
    "preauth as the answer": (b"* OK ready\r\n", b"* PREAUTH evil\r\nS OK go on\r\n"),
    "continuation": (b"* OK ready\r\n", b"+ evil\r\n"),
    "answer twice": (b"* OK ready\r\n", b"S OK go on\r\nS OK evil\r\n"),
    "bare line ends": (b"* OK ready\n", b"S OK go on\n* 5 EXISTS\n"),
    "a literal": (b"* OK ready\r\n", b"* 1 FETCH {100000}\r\n" + b"evil" * 25000),
    "a NUL": (b"* OK ready\r\n", b"S OK\0evil\r\n"),
    "a line without end": (b"* OK ready\r\n", b"S OK " + b"evil" * 25000),
    "a POP3 greeting": (b"+OK evil\r\n", None),
}


def told_before_tls(node, script, port, login, asked):
    """What a client that says LOGIN is told behind the greeting, if its peer behaves as SCRIPT. The peer has heard ASKED at most."""
    peer = FakeServer(PEER, in_clear(*script), PORT["hostile"])
    try:
        route(node, "hostile@example.com", peer.host, "proxytls=starttls")
        mark = node.nodes[0].log_mark()
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s, s.makefile("rb") as lines:
            lines.readline()
            s.sendall(login % node.accounts["hostile@example.com"].password.encode())
            told = lines.read()
        node.nodes[0].wait_log("TEMPORARY FAILURE, user=hostile@example.com", mark)
        wait_for("the peer has seen the end", lambda: not peer.thread.is_alive() or peer.last.sock.fileno() == -1)
        assert peer.last.raw in (b"", asked), peer.last.raw
        return told
    finally:
        peer.close()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_before_tls(node, kind):
    """The attempt ends before anything is told, and no word that came in clear reaches the client."""
    told = told_before_tls(node, HOSTILE[kind], node.imap_port, b"a LOGIN hostile@example.com %s\r\nb LOGOUT\r\n", b"S STARTTLS\r\n")
    assert told.startswith(b"a NO [UNAVAILABLE] Temporary problem, please try again later.\r\n* BYE"), told
    assert b"evil" not in told.lower() and b"EXISTS" not in told and b"FETCH" not in told


HOSTILE_POP3 = {
    "refuses": (b"-ERR [SYS/PERM] evil\r\n", None),
    "garbage": (b"evil\r\n", None),
    "an IMAP greeting": (b"* OK [ALERT] evil\r\n", None),
    "binary": (b"\x16\x03\x03\x00\x02\x02\x28\r\n", None),
    "an alert of TLS": (b"\x15\x03\x03\x00\x02\x02\x28", None),
    "a line without end": (b"+OK " + b"evil" * 25000, None),
    "refused": (b"+OK ready\r\n", b"-ERR [IN-USE] evil\r\n"),
    "unknown": (b"+OK ready\r\n", b"-ERR evil\r\n"),
    "garbage as the answer": (b"+OK ready\r\n", b"evil\r\n"),
    "continuation": (b"+OK ready\r\n", b"+ evil\r\n"),
    "a NUL": (b"+OK ready\r\n", b"+OK\0evil\r\n"),
    "in the greeting": (b"+OK ready\r\n+OK evil\r\n", b""),
    "several lines in the greeting": (b"+OK ready\r\nevil\r\n.\r\n", b"+OK go on\r\n"),
    "behind": (b"+OK ready\r\n", b"+OK go on\r\n+OK evil\r\n"),
    "login behind": (b"+OK ready\r\n", b"+OK go on\r\n+OK evil\r\n.\r\n+OK evil\r\n+OK evil\r\n"),
    "several lines": (b"+OK ready\r\n", b"+OK go on\r\nSTLS\r\nXCLIENT\r\n.\r\n"),
    "bare line ends": (b"+OK ready\n", b"+OK go on\n+OK evil\n"),
    "a byte behind": (b"+OK ready\r\n", b"+OK go on\r\n+"),
}


@pytest.mark.parametrize("kind", HOSTILE_POP3)
def test_hostile_before_tls_in_pop3(node, kind):
    """The same."""
    told = told_before_tls(node, HOSTILE_POP3[kind], node.pop3_port, b"USER hostile@example.com\r\nPASS %s\r\nQUIT\r\n", b"STLS\r\n")
    told = told.split(b"\r\n", 1)[1]
    assert told.startswith(b"-ERR [SYS/TEMP] Temporary problem, please try again later.\r\n+OK"), told
    assert b"evil" not in told and told.count(b"\r\n") == 2, told


# What was said in clear, by a peer whose TLS is as it should be.
FORGOTTEN = {
    "imap": [b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED EVIL] evil\r\n", b"* OK [ALERT] evil\r\n", b"* OK [REFERRAL imap://evil/] evil\r\n",
             b"* OK [CAPABILITY IMAP4rev1 AUTH=X-WAYPOST-TOKEN] Waypost node 0123456789abcdef0123456789abcdef ready.\r\n"],
    "pop3": [b"+OK [SYS/TEMP] evil\r\n", b"+OK <evil@evil>\r\n", b"+OK [XCLIENT] [X-WAYPOST-TOKEN] Waypost node 0123456789abcdef0123456789abcdef ready.\r\n"],
}


@pytest.mark.parametrize("protocol,greeting", [(p, g) for p, greetings in FORGOTTEN.items() for g in greetings])
def test_greeting_in_clear_is_forgotten(node, authority, protocol, greeting):
    """The client sees what it sees of any peer; the peer gets no token for a node that somebody has called it."""
    user = "forgotten@example.com"
    pem = authority.pem("forgotten", alt="IP:127.0.0.9")
    script = imap_peer(greeting="") if protocol == "imap" else pop3_peer(greeting="")
    peer = FakeServer(PEER, starttls(pem, script, greeting, protocol=protocol))
    told = []
    try:
        for host, options in (peer.host, "proxytls=starttls"), (None, "proxytls=none"):
            if host is None:
                peer.close()
                peer = FakeServer(PEER, imap_peer(greeting="* OK ready\r\n") if protocol == "imap" else pop3_peer())
                host = peer.host
            route(node, user, host, options)
            port, login, end = {"imap": (node.imap_port, b"a LOGIN %s %s\r\n", b"a OK "), "pop3": (node.pop3_port, b"USER %s\r\nPASS %s\r\n", b"+OK ")}[protocol]
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s, s.makefile("rb") as lines:
                lines.readline()
                s.sendall(login % (user.encode(), node.accounts[user].password.encode()))
                told.append([lines.readline() for _ in range(1 if protocol == "imap" else 2)])
                assert told[-1][-1].startswith(end), told
            assert not any(b"X-WAYPOST-TOKEN" in word for words in peer.last.commands for word in words)
        assert told[0] == told[1]
    finally:
        peer.close()


# --- which failures lead to the next host ---

def stalls(pem, within, protocol):
    """A peer that is silent after the request for TLS, or WITHIN it after that for its capabilities."""
    greeting = b"* OK ready\r\n" if protocol == "imap" else b"+OK ready\r\n"

    def silent_within(conn):
        conn.line()
        conn.send(b"* CAPABILITY IMAP4rev1\r\n" if protocol == "imap" else b"+OK list\r\nUSER\r\n")
        conn.wait_gone()
    return starttls(pem, silent_within, protocol=protocol) if within else in_clear(greeting, b"")


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.parametrize("within", [False, True])
def test_silence_before_the_login(node, authority, within, protocol):
    """It got nothing of the login: the next host has it, in what is left of PROXY_TIMEOUT."""
    user = "stalls@example.com"
    peer = imap_peer(greeting="") if protocol == "imap" else pop3_peer(greeting="")
    bad = FakeServer(PEER, stalls(authority.pem("stalls", alt="IP:127.0.0.9"), within, protocol))
    good = FakeServer(PEER, starttls(authority.pem("good", alt="IP:127.0.0.9"), peer, protocol=protocol))
    try:
        route(node, user, f"{bad.host} {good.host}", "proxytls=starttls")
        if protocol == "imap":
            assert log_in(node, user) == "OK"
        else:
            p = pop3(node, False)
            p.user(user)
            p.pass_(node.accounts[user].password)
            p.quit()
        wait_for("it is down", lambda: bad.host + "(starttls)" in notes(node)["peers_down_list"].split())
        assert b"stalls" not in bad.last.raw and len(bad.conns) == len(good.conns) == 1
    finally:
        bad.close()
        good.close()


# Peers that cannot take a login now, and say so before they have got it.
BUSY = {
    "draining": ("imap", b"* BYE [UNAVAILABLE] The node is being stopped.\r\n", None),
    "full": ("imap", b"* BYE [LIMIT] full\r\n", None),
    "no certificate": ("imap", b"* OK ready\r\n", b"S NO [UNAVAILABLE] later\r\n"),
    "stopped": ("imap", b"* OK ready\r\n", b"* BYE stopped\r\n"),
    "POP3: draining": ("pop3", b"-ERR [SYS/TEMP] The node is being stopped.\r\n", None),
    "POP3: full": ("pop3", b"-ERR [IN-USE] full\r\n", None),
    "POP3: no certificate": ("pop3", b"+OK ready\r\n", b"-ERR [SYS/TEMP] later\r\n"),
}


@pytest.mark.parametrize("kind", BUSY)
def test_busy_is_not_untrusted(node, kind):
    """The log has what it said; it is neither down nor a peer with which TLS fails."""
    protocol, greeting, answer = BUSY[kind]
    peer = FakeServer(PEER, in_clear(greeting, answer), PORT["busy"])
    try:
        route(node, "busy@example.com", peer.host, "proxytls=starttls")
        mark = node.nodes[0].log_mark()
        if protocol == "imap":
            assert "[UNAVAILABLE] Temporary problem" in log_in(node, "busy@example.com")
        else:
            p = pop3(node, False)
            p.user("busy@example.com")
            with pytest.raises(poplib.error_proto, match=re.escape("[SYS/TEMP] Temporary problem")):
                p.pass_(node.accounts["busy@example.com"].password)
        said = (answer or greeting).decode().strip()
        node.nodes[0].wait_log("user=busy@example.com.*has a temporary failure. It said: " + re.escape(said), mark)
        now = notes(node)
        assert peer.host not in now["peers_untrusted_list"].split() and peer.host + "(starttls)" not in now["peers_down_list"].split()
    finally:
        peer.close()


def test_garbage_is_untrusted(node):
    """Somebody between may say that: the peer is not down, and `status` tells that it does not begin TLS, until it does."""
    peer = FakeServer(PEER, in_clear(b"evil\r\n"))
    try:
        route(node, "garbage@example.com", peer.host, "proxytls=starttls")
        mark = node.nodes[0].log_mark()
        assert "[UNAVAILABLE]" in log_in(node, "garbage@example.com")
        node.nodes[0].wait_log("user=garbage@example.com.*did not begin TLS.* It said: evil", mark)
        wait_for("it is told", lambda: peer.host in notes(node)["peers_untrusted_list"].split())
        assert peer.host + "(starttls)" not in notes(node)["peers_down_list"].split()
        assert "TLS with it fails: " in node.nodes[0].tool("route", "garbage@example.com").stdout
        # That it takes logins without TLS changes nothing of that.
        peer.script = imap_peer()
        route(node, "clear2@example.com", peer.host, "proxytls=none")
        assert log_in(node, "clear2@example.com") == "OK"
        assert peer.host in notes(node)["peers_untrusted_list"].split()
    finally:
        peer.close()


SKIPPED = {
    "certificate": ("implicit", lambda bad, good: over_tls(bad, imap_peer())),
    "no TLS": ("implicit", lambda bad, good: in_clear(b"* OK ready\r\n")),
    "hangs up": ("implicit", lambda bad, good: lambda conn: conn.fill()),
    "busy": ("implicit", lambda bad, good: over_tls(good, lambda conn: conn.send(b"* BYE [UNAVAILABLE] later\r\n"))),
    "no STARTTLS": ("starttls", lambda bad, good: in_clear(b"* OK ready\r\n", b"S NO what\r\n")),
    "certificate after STARTTLS": ("starttls", lambda bad, good: starttls(bad, imap_peer(greeting=""))),
    "busy in clear": ("none", lambda bad, good: in_clear(b"* BYE [UNAVAILABLE] later\r\n")),
}


@pytest.mark.parametrize("how", ["password", "challenge"])
@pytest.mark.parametrize("kind", SKIPPED)
def test_this_node_is_the_next_host(pool, authority, kind, how):
    """It takes the login if the host before it cannot have it, every time."""
    mode, script = SKIPPED[kind]
    user = f"{how}-{mode}@example.com"
    peer = FakeServer(PEER, script(authority.pem("skipped", alt="IP:127.0.0.8"), authority.pem("seen", alt="IP:127.0.0.9")),
                      0 if kind == "hangs up" or kind.startswith("busy") else PORT["skipped"])  # these are left alone for a while
    try:
        if user not in pool.accounts:
            pool.add(Account(user, password="x", mailhost="127.0.0.1", fields=states("x") if how == "challenge" else {}), write=False)
        route(pool, user, f"{peer.host} 127.0.0.1", f"proxytls={mode},replicated=shared")
        for _ in range(2):
            if how == "password":
                with imap(pool, False) as c:
                    c.login(user, "x")
                    c.select("INBOX")
                    assert b"lives on 127.0.0.1" in c.fetch("1", "BODY.PEEK[]")[1][0][1]
            else:
                c, _, reply = imap_cram(pool, "127.0.0.1", user, "x")
                assert reply.startswith(b"a OK"), reply
                assert c.subjects() == [f"{user} lives on 127.0.0.1"]
                c.cmd("LOGOUT")
        assert peer.conns and not any(b"LOGIN" in conn.raw or b"AUTH" in conn.raw for conn in peer.conns)
    finally:
        peer.close()


def test_no_host_in_clear_after_one_with_tls(node, authority):
    """Who breaks the connection to a host with TLS, or shows a certificate of his own, gets the password nowhere in clear."""
    bad = FakeServer(PEER, over_tls(authority.pem("broken", alt="IP:127.0.0.8"), imap_peer()))
    clear = FakeServer("127.0.0.8", imap_peer())
    try:
        route(node, "weaker@example.com", f"{bad.host} {clear.host}")
        mark = node.nodes[0].log_mark()
        assert "[UNAVAILABLE]" in log_in(node, "weaker@example.com")
        node.nodes[0].wait_log(r"user=weaker@example\.com.*mailhost 127\.0\.0\.8 has no TLS, unlike one before it", mark)
        assert bad.conns and not clear.conns
        route(node, "weaker@example.com", f"{clear.host} {bad.host}")  # what the operator has put first
        assert "OK" in log_in(node, "weaker@example.com")
    finally:
        bad.close()
        clear.close()


@pytest.mark.parametrize("said", ["NO [AUTHENTICATIONFAILED] wrong", "NO [UNAVAILABLE] later", "BAD what"])
def test_answered_login_is_tried_nowhere_else(pool, authority, said):
    """Once the peer has the login it alone decides."""
    user = "answered@example.com"
    verdict, text = said.split(" ", 1)
    peer = FakeServer(PEER, over_tls(authority.pem("answers", alt="IP:127.0.0.9"), imap_peer(verdict=verdict, ok=text)))
    try:
        if user not in pool.accounts:
            pool.add(Account(user, mailhost="127.0.0.1"), write=False)
        route(pool, user, f"{peer.host} 127.0.0.1", "proxytls=implicit")
        assert "[UNAVAILABLE]" in log_in(pool, user)
        assert len(peer.conns) == 1 and peer.last.user == user.encode()
    finally:
        peer.close()


def test_hostile_in_a_packet_of_its_own(node, authority):
    """Bytes in clear that come after the answer are no TLS."""
    def script(conn):
        conn.send(b"* OK ready\r\n")
        conn.line()
        conn.send(b"S OK go on\r\n")
        conn.fill()  # the first message of TLS
        conn.send(b"* OK [ALERT] evil\r\n")
        conn.wait_gone()

    peer = FakeServer(PEER, script)
    try:
        route(node, "late@example.com", peer.host, "proxytls=starttls")
        mark = node.nodes[0].log_mark()
        assert "evil" not in log_in(node, "late@example.com")
        node.nodes[0].wait_log(r"user=late@example\.com.*TLS: ", mark)
        assert b"LOGIN" not in peer.last.raw and b"late@" not in peer.last.raw
    finally:
        peer.close()


def test_starttls_with_another_certificate(node, authority):
    """Behind STARTTLS, too, the next host is tried, which has nothing of what the first one said."""
    bad = FakeServer(PEER, starttls(authority.pem("bad", alt="IP:127.0.0.8"), imap_peer(greeting=""), b"* OK [CAPABILITY X] bad\r\n"))
    good = FakeServer(PEER, starttls(authority.pem("good", alt="IP:127.0.0.9"), imap_peer(greeting="")))
    try:
        route(node, "twostart@example.com", f"{bad.host} {good.host}", "proxytls=starttls")
        mark = node.nodes[0].log_mark()
        assert log_in(node, "twostart@example.com") == "OK"
        node.nodes[0].wait_log(rf"mailhost 127\.0\.0\.9 is passed over: .* port {bad.port}: TLS: IP address mismatch", mark)
        assert bad.last.raw == b"S STARTTLS\r\n"
    finally:
        bad.close()
        good.close()


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_peer_with_weak_ciphers(node, authority, protocol):
    """What a peer may choose is the same behind STARTTLS as without (CVE-2013-4584): one that knows only what is weak gets nothing."""
    pem, user = authority.pem("weak", alt="IP:127.0.0.9"), f"weak{protocol}@example.com"
    script = {"imap": imap_peer, "pop3": pop3_peer}[protocol](greeting="")
    for ciphers, good in (("ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", False), ("ECDHE-ECDSA-AES128-GCM-SHA256", True)):
        peer = FakeServer(PEER, starttls(pem, script, protocol=protocol, ciphers=ciphers))
        try:
            route(node, user, peer.host, "proxytls=starttls")
            mark = node.nodes[0].log_mark()
            with {"imap": Imap, "pop3": Pop3}[protocol]("127.0.0.1", getattr(node, protocol + "_port")) as c:
                reply = c.login(user, node.accounts[user].password)
            if good:
                assert reply.ok if protocol == "imap" else reply.startswith(b"+OK"), reply
            else:
                assert not (reply.ok if protocol == "imap" else reply.startswith(b"+OK")), reply
                node.nodes[0].wait_log(rf"{re.escape(user)}.*TLS: ", mark)
                assert peer.last.raw in (b"S STARTTLS\r\n", b"STLS\r\n")
        finally:
            peer.close()


# --- the end of a session ---

MUCH = b"".join(b"* %d EXISTS\r\n" % i for i in range(100000))


def rest(sock):
    """All that still comes, and whether its end was announced, or as an end without TLS."""
    got = bytearray()
    try:
        while more := sock.recv(65536):
            got += more
    except (ssl.SSLError, ConnectionResetError):
        return bytes(got), False
    return bytes(got), True


class Ending(TlsEnd):
    """A server's end of TLS that can end one direction, and hear what still comes by the other."""

    def __init__(self, context, sock):
        super().__init__(sock, context, server_side=True)
        self.do(self.ssl.do_handshake)

    def sendall(self, data):
        self.write(data)

    def recv(self, n):
        try:
            return self.read(n)
        except ssl.SSLZeroReturnError:
            return b""

    def close(self):
        self.sock.close()


def ending_peer(pool, authority, serve):
    """A peer behind TLS, SERVE(conn) once it is logged in, and the account whose mail it has."""
    user = "ending@example.com"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.pem("ending", alt="IP:127.0.0.9"))

    def script(conn):
        conn.sock = Ending(context, conn.sock)
        imap_peer(serve)(conn)

    peer = FakeServer(PEER, script, PORT["skipped"])
    if user not in pool.accounts:
        pool.add(Account(user, password="x", mailhost="127.0.0.1"), write=False)
    route(pool, user, peer.host, "proxytls=implicit")
    return peer, user


def raw_client(pool, tls, user):
    """A socket, logged in. The end without close_notify is an error there."""
    sock = socket.create_connection(("127.0.0.1", pool.tls_port["imapd"] if tls else pool.imap_port), timeout=PATIENCE)
    if tls:
        ctx = context()
        ctx.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        sock = ctx.wrap_socket(sock, suppress_ragged_eofs=False)
    sock.recv(4096)
    sock.sendall(f"a LOGIN {user} x\r\n".encode())
    assert sock.recv(4096).startswith(b"a OK")
    return sock


@pytest.mark.parametrize("tls", [False, True])
def test_peer_is_cut_off(pool, authority, tls):
    """It ends without close_notify, in the middle: all that came before reaches the client, to whom that is no orderly end."""
    def serve(conn):
        conn.line()
        conn.send(MUCH + b"b O")
        conn.sock.sock.shutdown(socket.SHUT_WR)
        conn.wait_gone()

    peer, user = ending_peer(pool, authority, serve)
    try:
        with raw_client(pool, tls, user) as c:
            c.sendall(b"b NOOP\r\n")
            got, announced = rest(c)
        assert got == MUCH + b"b O" and announced == (not tls)
    finally:
        peer.close()


@pytest.mark.parametrize("tls", [False, True])
def test_peer_ends_one_direction(pool, authority, tls):
    """The client has the end behind all bytes; the peer still hears all that the client says then."""
    heard = []

    def serve(conn):
        conn.line()
        conn.send(MUCH)
        conn.sock.close_notify()
        heard.append(conn.until_eof())

    peer, user = ending_peer(pool, authority, serve)
    try:
        with raw_client(pool, tls, user) as c:
            c.sendall(b"b NOOP\r\n")
            got, announced = rest(c)
            assert got == MUCH and announced
            c.sendall(MUCH)
            if tls:
                c.unwrap().close()
            else:
                c.shutdown(socket.SHUT_WR)
            wait_for("the peer has heard all", lambda: heard)
        assert heard == [MUCH]
    finally:
        peer.close()


# --- peers that are not ours ---

class TlsDovecot(Dovecot):
    """It takes no login without TLS."""

    def __init__(self, folder, name, pem):
        self.imaps_port, self.pop3s_port = free_port([self.host]), free_port([self.host])
        shutil.copy(pem, os.path.join(folder, "dovecot.pem"))
        super().__init__(folder, name)

    def configuration(self):
        text = super().configuration().replace("disable_plaintext_auth = no", "disable_plaintext_auth = yes")
        text = text.replace("ssl = no", f"ssl = yes\nssl_cert = <{self.folder}/dovecot.pem\nssl_key = <{self.folder}/dovecot.pem")
        for kind, port in ("imap", self.imaps_port), ("pop3", self.pop3s_port):
            text += f"service {kind}-login {{\n  inet_listener {kind}s {{\n    port = {port}\n    ssl = yes\n  }}\n}}\n"
        return text


@pytest.mark.once
def test_dovecot(node, authority, open_folder):
    """A login by STARTTLS, STLS, and to its ports for TLS; the mail is there, and the end of the session comes through."""
    user = "dora@example.com"
    dovecot = TlsDovecot(open_folder, user, authority.pem("dovecot", alt="IP:127.0.2.9"))
    try:
        for word, ports in ("starttls", (dovecot.imap_port, dovecot.pop3_port)), ("implicit", (dovecot.imaps_port, dovecot.pop3s_port)):
            node.accounts.pop(user, None)
            mark = node.nodes[0].log_mark()
            node.add(Account(user, password="nobody knows", mailhost=f"{dovecot.host}:imap={ports[0]}:pop3={ports[1]}",
                             options=f"proxytls={word}"), mail=False)
            node.nodes[0].wait_userdb(mark)
            for _ in range(2):  # the second one with a session of TLS that it resumes
                with imap(node, False) as c:
                    c.login(user, "nobody knows")
                    c.select("INBOX")
                    assert b"lives with Dovecot" in c.fetch("1", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]")[1][0][1]
                p = pop3(node, False)
                p.user(user)
                p.pass_("nobody knows")
                assert p.stat()[0] == 1
                p.quit()
        assert node.nodes[0].status()["counts"]["peers_need_tls"] == 0
    finally:
        dovecot.close()
