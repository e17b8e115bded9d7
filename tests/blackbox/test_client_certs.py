"""Logins by the client's certificate (AUTH=EXTERNAL): whose are taken, and that nothing but the certificate of the very
connection tells who the client is."""
import base64
import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess

import pytest

from certificates import CLIENT, Authority, context, install, join, read
from pool import PATIENCE, Account, Pool, chown, free_port, wait_for
from test_proxy_header import binary, tlv

pytestmark = pytest.mark.once

A, B, FRONT = "127.0.0.1", "127.0.0.2", "127.0.0.8"
HERE, ELSEWHERE, OFF, LOCKED = "anna@example.com", "berta@example.com", "dora@example.com", "emil@example.com"


def trust(pool, text):
    """TEXT as the authorities of IMAP's clients."""
    install(pool, text, "clients.pem", 0o644)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("certs")), "clients")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("other")), "others")


@pytest.fixture(scope="module")
def pool(request, authority):
    p = Pool(nodes=2, start=False, keep=request.config.getoption("--keep"), accounts=[
        Account(HERE, mailhost=A), Account(ELSEWHERE, mailhost=B), Account(OFF, mailhost=A, options="disableimap=1"),
        Account(LOCKED, mailhost=A, fields={"systempw": "!{PLAIN}x"})])
    p.tls_port = {group: free_port(p.addresses) for group in ("imapd", "pop3d")}
    server = install(p, read(authority.issue("server", extensions="subjectAltName=DNS:mail.example")), "server.pem")
    os.mkdir(os.path.join(p.root, "clients"), 0o755)
    os.chmod(join(os.path.join(p.root, "clients", "one.pem"), authority.crt), 0o644)
    for path in (server, os.path.join(p.root, "clients")):
        chown(path, p.uid, p.gid)
    trust(p, read(authority.crt))
    common = {"SSLADDRESS": "${PROXY_HOSTNAME}", "TLS_CERTFILE": server}
    p.front_port = free_port(p.addresses)
    p.write_conf({
        "LOGIN_WORKERS": 1,
        "PROXY_PROTOCOL_FROM": FRONT,
        "pop3d": {"PORT": f"{p.pop3_port},{p.front_port}", "PROXY_PROTOCOL_PORT": p.front_port},
        "imapd-ssl": {**common, "SSLPORT": p.tls_port["imapd"], "TLS_VERIFYPEER": "PEER", "TLS_EXTERNAL": "email",
                      "TLS_TRUSTCERTS": os.path.join(p.root, "clients.pem")},
        "pop3d-ssl": {**common, "SSLPORT": p.tls_port["pop3d"], "TLS_VERIFYPEER": "REQUIREPEER", "TLS_EXTERNAL": "CN",
                      "TLS_TRUSTCERTS": os.path.join(p.root, "clients")}})
    p.start()
    yield p
    p.close()


class Client:
    def __init__(self, sock):
        self.sock = sock
        self.file = sock.makefile("rwb")
        self.greeting = self.line()

    def line(self):
        return self.file.readline().decode()

    def send(self, text):
        self.file.write(text.encode() + b"\r\n")
        self.file.flush()

    def imap(self, command):
        """The lines up to the tagged one."""
        self.send("a " + command)
        lines = [self.line()]
        while lines[-1] and not lines[-1].startswith("a "):
            lines.append(self.line())
        return "".join(lines)


@contextlib.contextmanager
def connect(pool, pem=None, group="imapd", c=None, session=None):
    with socket.create_connection((A, pool.tls_port[group]), timeout=PATIENCE) as s:
        with (c or context(pem=pem)).wrap_socket(s, session=session) as t:
            yield Client(t)


def logs_in(pool, pem):
    try:
        with connect(pool, pem) as c:
            return "a OK" in c.imap("AUTHENTICATE EXTERNAL =")
    except (ssl.SSLError, ConnectionError):
        return False


def is_refused(pool, pem, group="imapd", why=None, version=None):
    """The connection ends before a greeting, and the log says WHY (once a minute)."""
    mark = pool.nodes[0].log_mark()
    try:
        with connect(pool, pem, group, c=context(version, pem=pem)) as c:
            assert c.greeting == ""
    except (ssl.SSLError, ConnectionError):
        pass
    return why is None or pool.nodes[0].wait_log(why, mark)


def email(address):
    return f"/O=Example/CN={address}/emailAddress={address}"


@pytest.mark.parametrize("name", [HERE, ELSEWHERE])
def test_imap(pool, authority, name):
    pem = authority.issue(name, email(name))
    with connect(pool, pem) as c:
        assert "CAPABILITY" not in c.greeting  # it was made before the certificate came
        assert " AUTH=EXTERNAL" in c.imap("CAPABILITY")
        assert "a OK" in c.imap("AUTHENTICATE EXTERNAL =")
        assert f"{name} lives on" in c.imap("EXAMINE INBOX") + c.imap("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        assert "AUTH=" not in c.imap("CAPABILITY")
    with connect(pool, pem) as c:
        c.send("a AUTHENTICATE external")
        assert c.line() == "+ \r\n"
        c.send("")
        assert c.line().startswith(("a OK", "* CAPABILITY"))
    pool.nodes[0].wait_log(rf"imapd: LOGIN, user={name}, .*")


@pytest.mark.parametrize("name", [HERE, ELSEWHERE])
def test_pop3(pool, authority, name):
    pem = authority.issue(name, email(name))
    for initial in (True, False):
        with connect(pool, pem, "pop3d") as c:
            c.send("CAPA")
            lines = []
            while not lines or lines[-1] != ".\r\n":
                lines.append(c.line())
            assert [w for w in lines if w.startswith("SASL ")][0].split()[-1] == "EXTERNAL"
            c.send("AUTH EXTERNAL =" if initial else "AUTH EXTERNAL")
            if not initial:
                assert c.line() == "+ \r\n"
                c.send("")
            assert c.line().startswith("+OK")
            c.send("STAT")
            assert c.line().startswith("+OK 1 ")


def test_after_starttls(pool, authority):
    with socket.create_connection((A, pool.imap_port), timeout=PATIENCE) as s:
        c = Client(s)
        assert "EXTERNAL" not in c.greeting + c.imap("CAPABILITY")
        assert "a NO" in c.imap("AUTHENTICATE EXTERNAL =")
        assert "a OK" in c.imap("STARTTLS")
        with context(pem=authority.issue("anna", email(HERE))).wrap_socket(s) as t:
            c.file = t.makefile("rwb")
            assert " AUTH=EXTERNAL" in c.imap("CAPABILITY")
            assert "a OK" in c.imap("AUTHENTICATE EXTERNAL =")


def test_demanded_of_each_client(pool):
    is_refused(pool, None, "pop3d", "peer did not return a certificate; the settings demand one")


@pytest.mark.parametrize("client,verify,good", [(1, 0, False), (3, 0, True), (5, 0, True), (3, 19, False), (0, 0, True)],
                         ids=["none", "shown", "shown when the session began", "not good", "no TLS"])
def test_demanded_where_tls_ends_in_front(pool, client, verify, good):
    """The proxy says whether its client has shown one, or that it is not its affair: then the client is asked when it begins TLS."""
    mark = pool.nodes[0].log_mark()
    tls = tlv(0x20, struct.pack("!BI", client, verify) + tlv(0x21, b"TLSv1.3"))
    with socket.create_connection((A, pool.front_port), timeout=PATIENCE, source_address=(FRONT, 0)) as s:
        s.sendall(binary(more=tls))
        assert s.recv(1000).startswith(b"+OK") == good
        if client == 0:
            s.sendall(b"STLS\r\n")
            assert s.recv(1000).startswith(b"+OK")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                context(version="1.2").wrap_socket(s)
    if not good:
        pool.nodes[0].wait_log(r"pop3d: TLS FAILED, ip=\[::ffff:192\.0\.2\.77\], .*the proxy in front.*TLS_VERIFYPEER.*send-proxy-v2-ssl")
    else:
        assert "the proxy in front" not in pool.nodes[0].log_since(mark)


def test_without_certificate(pool):
    """There is no EXTERNAL, whatever the client says; passwords work."""
    mark = pool.nodes[0].log_mark()
    with connect(pool) as c:
        assert "EXTERNAL" not in c.imap("CAPABILITY")
        for initial in ("=", base64.b64encode(HERE.encode()).decode()):
            assert "a NO" in c.imap("AUTHENTICATE EXTERNAL " + initial)
        assert "a OK" in c.imap(f"LOGIN {HERE} {pool.accounts[HERE].password}")
    with socket.create_connection((A, pool.imap_port), timeout=PATIENCE) as s:
        c = Client(s)
        assert "EXTERNAL" not in c.greeting and "a NO" in c.imap("AUTHENTICATE EXTERNAL =")
    pool.nodes[0].wait_log("method=EXTERNAL, reason=the client has shown no certificate", mark)


FOREIGN = [
    (lambda a, o: o.issue("foreign", email(HERE)), "unable to get local issuer certificate"),
    (lambda a, o: join(o.crt + ".pem", o.key, o.crt), "self.signed certificate"),
]
FOREIGN_IDS = ["of another authority", "self-signed"]


@pytest.mark.parametrize("group,make,why", [
    ("imapd", lambda a, o: a.issue("late", email(HERE), days=-1), "has expired"),
    ("imapd", lambda a, o: a.issue("server", email(HERE), "extendedKeyUsage=serverAuth"), "unsuitable certificate purpose|unsupported certificate purpose"),
    ("imapd", lambda a, o: join(a.issue("long", email(HERE)) + ".pem", a.issue("long", email(HERE)), *[a.crt] * 60), "excessive message size"),
    *[("pop3d", make, why) for make, why in FOREIGN],
    ("imapd", lambda a, o: join(a.issue("many", email(HERE)) + ".pem", a.issue("many", email(HERE)), *[a.crt] * 8), "certificate chain too long; .* eight"),
    ("imapd", lambda a, o: join(o.issue("much", email(HERE)) + ".pem", o.issue("much", email(HERE)), *[o.crt] * 20), None),
], ids=["expired", "a server's", "with a huge chain", *FOREIGN_IDS, "with a long chain", "of another authority, with a long chain"])
def test_bad_certificates(pool, authority, other, group, make, why):
    is_refused(pool, make(authority, other), group, why=why)
    with connect(pool) as c:
        assert "a OK" in c.imap(f"LOGIN {HERE} {pool.accounts[HERE].password}")


def test_memory_of_chains(pool, authority):
    """What somebody adds to a good certificate counts among the memory of those who have not logged in."""
    own = authority.issue("anna", email(HERE))
    fat = authority.issue("fat", "/CN=fat", "1.2.3.4=DER:" + "00" * 14000)
    pem = join(own + ".fat", own, fat.replace(".pem", ".crt"))
    before = pool.nodes[0].status()["counts"]["strangers_closed"]
    with contextlib.ExitStack() as all_of_them:
        for _ in range(100):  # each counts for 0.8 MiB of 64
            c = all_of_them.enter_context(socket.create_connection((A, pool.tls_port["imapd"]), timeout=PATIENCE))
            all_of_them.enter_context(context(pem=pem).wrap_socket(c)).recv(1000)
        wait_for("the first ones have given way", lambda: pool.nodes[0].status()["counts"]["strangers_closed"] > before + 10)
        with connect(pool, own) as c:
            assert "a OK" in c.imap("AUTHENTICATE EXTERNAL =")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("make", [make for make, why in FOREIGN], ids=FOREIGN_IDS)
def test_what_nobody_of_ours_has_issued(pool, authority, other, make, version):
    """It counts as no certificate: programs show what they have, and their users have passwords."""
    pem = make(authority, other)
    with connect(pool, c=context(version, pem=pem)) as c:
        assert "EXTERNAL" not in c.imap("CAPABILITY")
        assert "a NO" in c.imap("AUTHENTICATE EXTERNAL =")
        assert "a OK" in c.imap(f"LOGIN {HERE} {pool.accounts[HERE].password}")
    pool.nodes[0].wait_log("a client's certificate counts as none, as no authority of TLS_TRUSTCERTS has issued it: ")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_clients_are_told_whose_certificates_count(pool, version):
    """Programs choose among several by that."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"{A}:{pool.tls_port['imapd']}", version], input="a LOGOUT\r\n",
                          capture_output=True, text=True, timeout=PATIENCE)
    assert re.search(r"Acceptable client certificate CA names\nCN ?= ?clients\n(?!CN)", done.stdout), done.stdout


@pytest.mark.parametrize("subject,extensions", [
    (f"/CN={HERE}", CLIENT),
    (f"/CN=x/emailAddress={HERE}/emailAddress={ELSEWHERE}", CLIENT),
    (f"/CN=x/emailAddress={HERE}", f"{CLIENT}\nsubjectAltName=email:{ELSEWHERE}"),
    ("/CN=x", f"{CLIENT}\nsubjectAltName=email:{HERE},email:{ELSEWHERE}"),
    (f"/CN=x/emailAddress={HERE}\nb LOGOUT", CLIENT),
    ("/CN=x", f"{CLIENT}\nsubjectAltName=DNS:{HERE}"),
], ids=["none", "two", "two, one an alternative", "two alternatives", "a line end", "another kind of name"])
def test_certificates_without_a_name(pool, authority, subject, extensions):
    """They are good, but nobody's: what the client says does not take the place of the name (CVE-2019-3814)."""
    with connect(pool, authority.issue("nameless", subject, extensions)) as c:
        assert "EXTERNAL" not in c.imap("CAPABILITY")
        mark = pool.nodes[0].log_mark()
        for name in ("", HERE, ELSEWHERE):
            assert "a NO [CANNOT]" in c.imap("AUTHENTICATE EXTERNAL " + (base64.b64encode(name.encode()).decode() or "="))
        pool.nodes[0].wait_log(r"imapd: LOGIN REFUSED, ip=\[\S+\], port=\[\d+\], method=EXTERNAL, reason=.*; TLS_EXTERNAL=email", mark)
        assert pool.nodes[0].log_since(mark).count("method=EXTERNAL") == 1  # once for each connection
        assert "a OK" in c.imap(f"LOGIN {HERE} {pool.accounts[HERE].password}")


@pytest.mark.parametrize("subject,extensions", [
    ("/CN=x", f"{CLIENT}\nsubjectAltName=email:{HERE},DNS:other.example"),
    (f"/CN=x/emailAddress={HERE}", f"{CLIENT}\nsubjectAltName=email:{HERE.upper()}"),
    (f"/CN=x/emailAddress={HERE}", "keyUsage=digitalSignature"),
], ids=["an alternative name", "twice the same", "no purpose said"])
def test_other_forms_of_the_name(pool, authority, subject, extensions):
    with connect(pool, authority.issue("alternative", subject, extensions)) as c:
        assert "a OK" in c.imap("AUTHENTICATE EXTERNAL =")


def test_wish_to_be_somebody(pool, authority):
    """Oneself, or nobody else."""
    pem = authority.issue("anna", email(HERE))
    for wish, good in ((HERE, True), (HERE.upper(), True), (ELSEWHERE, False), ("anna", False), (HERE + "\0", False), ("x" * 2000, False)):
        with connect(pool, pem) as c:
            answer = c.imap("AUTHENTICATE EXTERNAL " + base64.b64encode(wish.encode()).decode())
            assert ("a OK" in answer) == good, answer
            assert good or answer == "a NO [AUTHORIZATIONFAILED] Logging in as somebody else is not allowed.\r\n", answer
    pool.nodes[0].wait_log(rf"imapd: LOGIN REFUSED, user={HERE}, .*reason=not to be somebody else: .* It asks for: {ELSEWHERE}")
    pool.nodes[0].wait_log("It asks for: a name that nobody can have")
    with connect(pool, pem, "pop3d") as c:
        c.send("AUTH EXTERNAL " + base64.b64encode(ELSEWHERE.encode()).decode())
        assert c.line() == "-ERR [SYS/PERM] Logging in as somebody else is not allowed.\r\n"
        c.send("AUTH EXTERNAL =")
        assert c.line().startswith("+OK")


def test_wishes_have_an_end(pool, authority):
    """As wrong passwords: five of a connection."""
    with connect(pool, authority.issue("anna", email(HERE))) as c:
        said = [c.imap("AUTHENTICATE EXTERNAL " + base64.b64encode(ELSEWHERE.encode()).decode()) for _ in range(5)]
        assert all("a NO [AUTHORIZATIONFAILED]" in s for s in said) and "* BYE" in c.line() and c.line() == ""


@pytest.mark.parametrize("name,code,reason", [
    ("nobody@example.com", "AUTHENTICATIONFAILED", "the certificate is good, and no account has its name"),
    (LOCKED, "AUTHENTICATIONFAILED", "the certificate is good, and its account is locked"),  # nobody can tell it from the other
    (OFF, "CONTACTADMIN", "disableimap")])
def test_accounts_that_may_not_log_in(pool, authority, name, code, reason):
    with connect(pool, authority.issue(name, email(name))) as c:
        assert "AUTH=EXTERNAL" in c.imap("CAPABILITY")
        assert f"a NO [{code}]" in c.imap("AUTHENTICATE EXTERNAL =")
        pool.nodes[0].wait_log(rf"imapd: LOGIN (FAILED|REFUSED), user={name}, .*reason=.*{reason}")
        assert "a OK" in c.imap(f"LOGIN {HERE} {pool.accounts[HERE].password}")


def test_a_certificate_is_shown_each_time(pool, authority):
    """No tickets, with which a certificate that was believed once would be believed for hours."""
    pem = authority.issue("anna", email(HERE))
    for c, offered in ((context(pem=pem), True), (context(), False)):
        with connect(pool, c=c) as first:
            first.imap("NOOP")
            session = first.sock.session
        assert session is None or not session.has_ticket
        with connect(pool, c=c, session=session) as again:
            assert not again.sock.session_reused
            assert ("EXTERNAL" in again.imap("CAPABILITY")) == offered


def test_a_new_authd_knows_the_authorities(pool, authority):
    node = pool.nodes[0]
    node.expect_dirty = True
    pem = authority.issue("anna", email(HERE))
    dead = node.pids("authd")
    os.kill(dead[0], signal.SIGKILL)
    with connect(pool, pem) as c:  # it waits for the next one, or is told to try later: nobody was wrong
        answer = c.imap("AUTHENTICATE EXTERNAL =")
        assert "a OK" in answer or "[UNAVAILABLE]" in answer, answer
    wait_for("there is another", lambda: node.pids("authd") not in ([], dead))

    def works():
        with connect(pool, pem) as c:
            return "a OK" in c.imap("AUTHENTICATE EXTERNAL =")
    wait_for("it believes", works)


def test_authorities_change(pool, authority, other):
    """Somebody new is believed, and somebody not any more, soon and without a restart; what is broken changes nothing."""
    old, new = authority.issue("anna", email(HERE)), other.issue("anna", email(HERE))
    worker = pool.nodes[0].pids("worker")
    assert logs_in(pool, old) and not logs_in(pool, new)
    trust(pool, read(authority.crt) + read(other.crt))
    wait_for("the new one is believed", lambda: logs_in(pool, new))
    assert logs_in(pool, old)
    trust(pool, read(other.crt))
    wait_for("the old one is not believed any more", lambda: not logs_in(pool, old))
    assert logs_in(pool, new)
    mark = pool.nodes[0].log_mark()
    trust(pool, "no certificate\n")
    pool.nodes[0].wait_log("TLS_TRUSTCERTS: .*clients.pem: there is no certificate; what it was before stays", mark)
    assert logs_in(pool, new) and not logs_in(pool, old)
    trust(pool, read(authority.crt))
    wait_for("the old one is believed again", lambda: logs_in(pool, old))
    assert pool.nodes[0].pids("worker") == worker


def problems(pool):
    return "\n".join(pool.nodes[0].status()["problems"])


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_authorities_that_are_withdrawn(pool, authority, how):
    """Who takes them away wants nobody to be believed, and is told what came of it."""
    pem, path, mark = authority.issue("anna", email(HERE)), os.path.join(pool.root, "clients.pem"), pool.nodes[0].log_mark()
    assert logs_in(pool, pem)
    if how == "removed":
        os.unlink(path)
    else:
        os.truncate(path, 0)
    try:
        wait_for("nobody is believed", lambda: not logs_in(pool, pem))
        pool.nodes[0].wait_log(r"TLS_TRUSTCERTS: .*clients.pem: (No such file.*|it is empty); no client's certificate is believed", mark)
        assert "1 file of authorities (TLS_TRUSTCERTS, PROXY_TLS_CAFILE) cannot be used" in problems(pool)
        with connect(pool, pem) as c:
            assert "a OK" in c.imap(f"LOGIN {HERE} {pool.accounts[HERE].password}")
    finally:
        trust(pool, read(authority.crt))
        wait_for("they are believed again", lambda: logs_in(pool, pem))
    assert "authorities" not in problems(pool)


def test_new_processes_get_what_was_believed_last(pool, authority):
    """A file that is broken changes nothing, neither at a reload nor for an authd and workers that start later."""
    node, pem, mark = pool.nodes[0], authority.issue("anna", email(HERE)), pool.nodes[0].log_mark()
    node.expect_dirty = True
    trust(pool, read(authority.crt)[:-40])
    try:
        node.wait_log("TLS_TRUSTCERTS: .*clients.pem: a part of it, that begins in line 1, cannot be read; what it was before stays", mark)
        before = {role: node.pids(role) for role in ("worker", "authd")}
        assert node.tool("reload").returncode == 0
        wait_for("there is another worker", lambda: not set(node.pids("worker")) & set(before["worker"]) and node.pids("worker"))
        assert logs_in(pool, pem)
        os.kill(before["authd"][0], signal.SIGKILL)
        wait_for("there is another authd", lambda: node.pids("authd") not in ([], before["authd"]))
        wait_for("it believes", lambda: logs_in(pool, pem))
        assert "1 file of authorities" in problems(pool)
        assert len(re.findall("TLS_TRUSTCERTS", node.log_since(mark))) == 1
    finally:
        trust(pool, read(authority.crt))
        wait_for("it is taken", lambda: "authorities" not in problems(pool))


def test_a_private_key_among_them(pool, authority):
    """It goes nowhere (tests/unit/test_authority_file.c), and three voices say that it should not be there."""
    pem, mark = authority.issue("anna", email(HERE)), pool.nodes[0].log_mark()
    trust(pool, read(authority.key) + read(authority.crt))
    try:
        pool.nodes[0].wait_log("TLS_TRUSTCERTS: .*clients.pem: there is a private key, which has no place there", mark)
        assert logs_in(pool, pem)
        assert "1 file of authorities has a private key" in problems(pool)
        found = pool.nodes[0].tool("check")
        assert found.returncode != 0 and re.search(r"imapd-ssl.TLS_TRUSTCERTS: \S+clients.pem: there is a private key", found.stderr + found.stdout)
    finally:
        trust(pool, read(authority.crt))
        wait_for("it is taken", lambda: "private key" not in problems(pool))


@pytest.fixture
def listed(pool, authority, tmp_path):
    """An authority and one below it, whose lists are to be in the file."""
    root = Authority(str(tmp_path), "root")
    yield root, root.below("between")
    trust(pool, read(authority.crt))
    wait_for("those of the other tests are back", lambda: logs_in(pool, authority.issue("anna", email(HERE))))


def chain(authority, name):
    """The path of a file with a key, its certificate, and that of AUTHORITY."""
    return join(os.path.join(authority.folder, name + ".chain"), authority.issue(name, email(HERE)), authority.crt)


def test_revoked(pool, listed):
    """A certificate, and the authority between it and the one in the file."""
    root, between = listed
    lost, good = chain(between, "lost"), chain(between, "good")
    lists = between.revocations(os.path.join(between.folder, "lost.crt"))
    trust(pool, read(root.crt) + root.revocations() + lists)
    wait_for("they are believed", lambda: logs_in(pool, good))
    for version in ("1.2", "1.3"):
        is_refused(pool, lost, version=version)
    pool.nodes[0].wait_log("TLS FAILED, .*certificate revoked; that of the client", 0)
    trust(pool, read(root.crt) + root.revocations(between.crt) + lists)
    wait_for("the authority between is revoked", lambda: not logs_in(pool, good))
    for version in ("1.2", "1.3"):
        is_refused(pool, good, version=version)


def test_lists_that_vanish_or_end(pool, listed):
    """A list that is lost, or replaced by an older one, revokes on; each authority needs one; that one ends is told
    beforehand."""
    root, between = listed
    node, lost, good = pool.nodes[0], chain(between, "lost"), chain(between, "good")
    lists = between.revocations(os.path.join(between.folder, "lost.crt"))
    trust(pool, read(root.crt) + root.revocations(since=-50) + lists)
    wait_for("they are believed", lambda: logs_in(pool, good))
    mark = node.log_mark()
    trust(pool, read(root.crt) + root.revocations(since=-50))
    node.wait_log('clients.pem: the revocation list of "between" is not there any more: .*; the list of before stays in use', mark)
    assert node.tool("reload").returncode == 0
    is_refused(pool, lost)
    assert logs_in(pool, good) and "1 file of authorities" in problems(pool)
    mark = node.log_mark()
    trust(pool, read(root.crt) + root.revocations(since=-50) + between.revocations(since=-20))
    node.wait_log('clients.pem: the revocation list of "between" is older than the one before: .*; the list of before stays', mark)
    is_refused(pool, lost)
    assert logs_in(pool, good)
    trust(pool, read(root.crt) + lists + root.revocations(since=-40, until=9))
    wait_for("status tells", lambda: "1 revocation list expires soon; get a new one" in problems(pool))
    node.wait_log('the revocation list of "root" expires on ', mark)
    assert logs_in(pool, good) and 'the revocation list of "root" expires on' in node.tool("check").stdout
    trust(pool, read(root.crt) + lists + root.revocations(since=-30, until=-1))
    wait_for("status tells", lambda: "1 revocation list has expired" in problems(pool))
    node.wait_log('the revocation list of "root" has expired on ', mark)
    is_refused(pool, good, why="CRL has expired")
    found = node.tool("check")
    assert found.returncode != 0 and 'the revocation list of "root" has expired on' in found.stdout + found.stderr


@pytest.mark.parametrize("group,settings,text", [
    ("imapd-ssl", {"TLS_TRUSTCERTS": None}, "TLS_VERIFYPEER needs TLS_TRUSTCERTS"),
    ("imapd-ssl", {"TLS_VERIFYPEER": "NONE"}, "TLS_EXTERNAL needs TLS_VERIFYPEER"),
    ("imapd-ssl", {"TLS_TRUSTCERTS": "/dev/null"}, "/dev/null: "),
    ("imapd-ssl", {"TLS_TRUSTCERTS": "/nowhere"}, "/nowhere: No such file"),
    ("imapd-ssl", {"TLS_EXTERNAL": "shoesize"}, "certificates have no field shoesize"),
    ("pop3d-ssl", {"TLS_TRUSTCERTS": "/etc/ssl/certs"}, "list only your own"),
    ("imapd", {"IMAP_CAPABILITY": "IMAP4rev1 AUTH=EXTERNAL"}, "leave it out here"),
], ids=["whom to believe", "not asked for", "no file", "nowhere", "unknown field", "the system's authorities", "announced by hand"])
def test_check(pool, group, settings, text):
    before = pool.settings
    pool.write_conf({group: settings})
    result = pool.nodes[0].tool("check")
    pool.settings = before
    pool.write_conf({})
    assert text in result.stdout + result.stderr
