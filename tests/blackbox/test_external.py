"""Logins by certificate from end to end: each way to TLS and to SASL, served here or by another node, and what becomes of a client
whose certificate is not believed any more while it is connected."""
import base64
import os

import pytest

from certificates import Authority, context, install, read
from client import Imap, Pop3
from pool import Account, Pool, free_port, wait_for
from test_client_certs import email

A, B = "127.0.0.1", "127.0.0.2"
HERE, PLAIN, STARTED, IMPLICIT = "anna@example.com", "paul@example.com", "stella@example.com", "ida@example.com"
WAYS = {"imap": ("imapd", Imap), "pop3": ("pop3d", Pop3)}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(str(tmp_path_factory.mktemp("certs")), "clients")


@pytest.fixture(scope="module")
def pool(request, authority):
    p = Pool(nodes=2, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 1}, accounts=[
        Account(HERE, mailhost=A), Account(PLAIN, mailhost=B), Account(STARTED, mailhost=B, options="proxytls=starttls"),
        Account(IMPLICIT, mailhost=B, options="proxytls=implicit")])
    p.tls_port = {group: free_port(p.addresses) for group, _ in WAYS.values()}
    pem = install(p, read(authority.issue("pool", "/CN=pool", f"subjectAltName=IP:{A},IP:{B}")))
    trust(p, authority)
    p.write_conf({
        "proxy": {"PROXY_TLS_CAFILE": install(p, read(authority.crt), "ca.pem", 0o644)},
        **{f"{group}-ssl": {"SSLADDRESS": "${PROXY_HOSTNAME}", "SSLPORT": port, "TLS_CERTFILE": pem, "TLS_EXTERNAL": "email",
                            "TLS_VERIFYPEER": "PEER", "TLS_TRUSTCERTS": os.path.join(p.root, "clients.pem")}
           for group, port in p.tls_port.items()}})
    p.start()
    yield p
    p.close()


def trust(pool, authority, more=""):
    install(pool, read(authority.crt) + more, "clients.pem", 0o644)


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


def connect(pool, way, pem, implicit=True):
    """A client that has done its handshake and heard what is offered."""
    group, kind = WAYS[way]
    if implicit:
        c = kind(A, pool.tls_port[group], greeting=False)
        c.sock = context(pem=pem).wrap_socket(c.sock)
        assert (c.response() if kind is Imap else c.line()).startswith((b"* OK", b"+OK"))
    else:
        c = kind(A, pool.imap_port if kind is Imap else pool.pop3_port)
        assert c.cmd("STARTTLS" if kind is Imap else "STLS").startswith(b"+OK") if kind is Pop3 else c.cmd("STARTTLS").ok
        c.sock = context(pem=pem).wrap_socket(c.sock)
    return c


def authenticate(c, wish=None, initial=True):
    """The reply, a line, to EXTERNAL for WISH."""
    word = b"a AUTHENTICATE EXTERNAL" if isinstance(c, Imap) else b"AUTH EXTERNAL"
    said = base64.b64encode((wish or "").encode())
    if initial:
        c.send(word + b" " + (said or b"=") + b"\r\n")
    else:
        c.send(word + b"\r\n")
        assert c.line() == b"+ "
        c.send(said + b"\r\n")
    return c.line()


def is_in(c, user, node):
    """C is logged in as USER, whose mail NODE has."""
    subject = f"{user} lives on {node}".encode()
    if isinstance(c, Imap):
        return c.subjects() == [subject.decode()]
    c.send(b"RETR 1\r\n")
    said = [c.line()]
    while said[-1] != b".":
        said.append(c.line())
    return b"Subject: " + subject in said


@pytest.mark.parametrize("initial", [True, False], ids=["initial response", "no initial response"])
@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "starttls"])
@pytest.mark.parametrize("user", [HERE, PLAIN, STARTED, IMPLICIT])
def test_every_way(pool, authority, way, user, implicit, initial):
    """The log of the node with the mail tells the client, not the node in front."""
    owner = pool.nodes[user != HERE]
    mark = owner.log_mark()
    with connect(pool, way, authority.issue(user, email(user)), implicit) as c:
        port = c.local_port
        said = authenticate(c, user if initial else None, initial)
        assert said.startswith((b"a OK", b"* CAPABILITY", b"+OK")), said
        if said.startswith(b"* CAPABILITY"):
            assert c.line().startswith(b"a OK")
        assert is_in(c, user, A if user == HERE else B)
    owner.wait_log(rf"{WAYS[way][0]}: LOGIN, user={user}, ip=\[::ffff:{A}\], port=\[{port}\], .*(starttls|stls)=1, tls=TLSv1", mark)


@pytest.mark.parametrize("user", [HERE, PLAIN])
def test_cancelled(pool, authority, way, user):
    """That is the client's right; afterwards it may log in all the same."""
    with connect(pool, way, authority.issue(user, email(user))) as c:
        c.send(b"a AUTHENTICATE EXTERNAL\r\n" if way == "imap" else b"AUTH EXTERNAL\r\n")
        assert c.line() == b"+ "
        c.send(b"*\r\n")
        assert c.line().startswith(b"a BAD" if way == "imap" else b"-ERR")
        assert authenticate(c).startswith((b"a OK", b"* CAPABILITY", b"+OK"))


@pytest.mark.parametrize("wish", [HERE, "nobody@example.com"])
def test_wish_to_be_another(pool, authority, way, wish):
    """The same answer whether there is such an account, and nothing of it reaches the node with the mail."""
    mark = pool.nodes[1].log_mark()
    with connect(pool, way, authority.issue(PLAIN, email(PLAIN))) as c:
        for initial in (True, False):
            said = authenticate(c, wish, initial)
            assert said.startswith(b"a NO [AUTHORIZATIONFAILED]" if way == "imap" else b"-ERR [SYS/PERM]"), said
        assert f"port=[{c.local_port}]" not in pool.nodes[1].log_since(mark)
        assert authenticate(c).startswith((b"a OK", b"* CAPABILITY", b"+OK"))


def connects(pool, way, pem):
    """The certificate is believed: a client whose is not has a password, perhaps, and one whose is revoked gets nowhere."""
    try:
        with connect(pool, way, pem) as c:
            c.send(b"c CAPABILITY\r\n" if way == "imap" else b"CAPA\r\n")
            said = [c.line()]
            while not said[-1].startswith((b"c OK", b".")):
                said.append(c.line())
            return b"EXTERNAL" in b" ".join(said)
    except (OSError, AssertionError):
        return False


@pytest.mark.parametrize("user", [HERE, PLAIN])
def test_revoked_while_it_is_connected(pool, authority, way, user):
    """It is the client that is not believed any more: it is told so, and the log says why."""
    pem = authority.issue("lost" + way + user, email(user))
    with connect(pool, way, pem) as c:
        mark = pool.nodes[0].log_mark()
        trust(pool, authority, authority.revocations(pem.replace(".pem", ".crt")))
        try:
            wait_for("the worker knows it", lambda: not connects(pool, way, pem))
            said = authenticate(c)
            assert said.startswith(b"a NO [AUTHENTICATIONFAILED]" if way == "imap" else b"-ERR [AUTH]"), said
            pool.nodes[0].wait_log(rf"LOGIN FAILED, user={user}, .*method=EXTERNAL, reason=the client's certificate was revoked", mark)
        finally:  # a list that is missing would stay in use
            trust(pool, authority, authority.revocations())
            wait_for("it is good again", lambda: connects(pool, way, pem))


def test_authority_taken_away_while_it_is_connected(pool, authority, tmp_path, way):
    """That is the site's affair: no client is told that it was wrong."""
    pem = authority.issue(HERE, email(HERE))
    with connect(pool, way, pem) as c:
        mark = pool.nodes[0].log_mark()
        trust(pool, Authority(str(tmp_path), "others"))
        try:
            wait_for("the worker knows it", lambda: not connects(pool, way, pem))
            said = authenticate(c)
            assert said.startswith(b"a NO [UNAVAILABLE]" if way == "imap" else b"-ERR [SYS/TEMP]"), said
            line = pool.nodes[0].wait_log(rf"TEMPORARY FAILURE, user={HERE}, .*authd does not", mark)
            assert "TLS_TRUSTCERTS" in line and "LOGIN FAILED" not in pool.nodes[0].log_since(mark)
        finally:
            trust(pool, authority)
            wait_for("it is good again", lambda: connects(pool, way, pem))
