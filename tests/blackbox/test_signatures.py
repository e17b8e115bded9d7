"""Nodes that differ in their pool secret or their clock notice it, on both sides, and say what to do; invented signatures of
strangers are noise. A front is the node where the client logs in, an owner is the node that has the mail."""
import base64
import hmac
import os
import re
import subprocess
import time
from contextlib import closing

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer
from pool import SANITIZED, SLOW, Account, Marks, chown, wait_for

pytestmark = pytest.mark.once

A, B = "127.0.0.1", "127.0.0.2"
STRANGER = "127.0.0.9"
KINDS = {"imap": Imap, "pop3": Pop3}
OWNER_LINE, FRONT_LINE = r"the client that they name is not trusted", r"mailhost \S+ (does not accept the signature|has (a|no) pool secret)"
CRAM = "IMAP4rev1 ID SASL-IR AUTH=PLAIN AUTH=CRAM-MD5"


def write_secret(pool, address, text):
    path = f"{pool.root}/secret.{address}"
    with open(path, "w") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    chown(path, pool.uid, pool.gid)


def secrets_pool(make_pool, secrets, settings=None, accounts=(), start=True):
    """A pool whose nodes have SECRETS: a text each, None for a node without one (the environment names its file)."""
    p = make_pool(nodes=2, start=False, settings=settings or {}, accounts=[
        Account("a@example.com", mailhost=A), Account("b@example.com", mailhost=B), Account("bb@example.com", mailhost=B), *accounts])
    p.write_conf({"POOL_SECRETFILE": "${SECRET}"})
    for node, text in zip(p.nodes, secrets):
        node.more_env["SECRET"] = f"{p.root}/secret.{node.address}" if text else ""
        if text:
            write_secret(p, node.address, text)
    if start:
        p.start()
    return p


def log_in(pool, kind, name, address=A):
    with kind(address, pool.imap_port if kind is Imap else pool.pop3_port) as c:
        c.login_ok(pool.accounts[name])
        c.cmd("LOGOUT" if kind is Imap else "QUIT")


def cram(pool, address, name, password):
    """The answer to AUTHENTICATE CRAM-MD5 as "a". The owner gets a token."""
    with Imap(address, pool.imap_port) as c:
        c.send(b"a AUTHENTICATE CRAM-MD5\r\n")
        challenge = base64.b64decode(c.line()[2:])
        proof = hmac.new(password.encode(), challenge, "md5").hexdigest()
        c.send(base64.b64encode(f"{name} {proof}".encode()) + b"\r\n")
        return c.line()


def troubles(node):
    status = node.status()
    return status["counts"]["fronts_not_believed"], status["counts"]["not_believed_by"]


def noted(node, name):
    return {n["name"]: n["text"] for n in node.status()["notes"]}.get(name)


def is_well(pool):
    return all(node.status()["state"] == "well" for node in pool.nodes)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_different_secrets_are_noticed_on_both_sides(make_pool, kind):
    p = secrets_pool(make_pool, ["the secret of node two"] * 2)
    front, owner = p.nodes
    log_in(p, kind, "a@example.com", B)  # the owner knows node A
    write_secret(p, A, "the secret of node one")
    assert front.status()["secret"] == owner.status()["secret"]  # what is in use
    assert front.tool("reload").returncode == 0
    assert front.status()["secret"] != owner.status()["secret"]
    assert is_well(p)
    log_in(p, kind, "b@example.com")
    wait_for("the owner notices", lambda: troubles(owner) == (1, 0))
    wait_for("the front notices", lambda: troubles(front) == (0, 1))
    for node, words, name, entry in ((owner, "forwards logins here", "fronts_not_believed_list", f"{A}(secret)"),
                                     (front, "not accept this node's signature", "not_believed_by_list", f"{B}(secret)")):
        status = node.status()
        assert status["state"] == "degraded" and words in " ".join(status["problems"]), status
        assert noted(node, name) == entry
        r = node.tool("status")
        assert r.returncode == 1 and words in r.stdout and entry in r.stdout, r
    assert owner.status()["counts"]["signatures_wrong"] == 1
    # Logged once, however many logins there are, with what to do; and no login failed.
    for name in ("b@example.com", "bb@example.com") * 3:
        log_in(p, kind, name)
    wait_for("all are counted", lambda: owner.status()["counts"]["signatures_wrong"] == 7)
    for node, line in ((owner, OWNER_LINE), (front, FRONT_LINE)):
        found = [text for text in node.log().splitlines() if re.search(line, text)]
        assert len(found) == 1 and "POOL_SECRETFILE" in found[0] and "secret" in found[0], found
    # Repaired: both recover, one by its reload, the other by the next login.
    write_secret(p, B, "the secret of node one")
    assert owner.tool("reload").returncode == 0
    log_in(p, kind, "b@example.com")
    wait_for("both are well again", lambda: is_well(p))
    assert owner.status()["counts"]["signatures_good"] >= 1


def test_one_odd_node_among_others(make_pool):
    """The node with another secret is found, although others have valid signatures: here all of them come from one address."""
    p = make_pool(nodes=3, start=False, accounts=[Account(f"{n}{i}@example.com", mailhost=f"127.0.0.{n + 1}") for n in range(3) for i in range(2)])
    p.write_conf({"POOL_SECRETFILE": p.root + "/secret.${PROXY_HOSTNAME}"})
    for node, text in zip(p.nodes, ("the secret of the pool", "the secret of the pool", "the secret of an odd node")):
        write_secret(p, node.address, text)
    p.start()
    for source in (2, 0, 1):  # the odd one first: valid signatures of others afterwards hide nothing
        for n in range(3):
            for kind in KINDS.values():
                log_in(p, kind, f"{n}{source % 2}@example.com", p.addresses[source])
    odd, others = "127.0.0.3(secret)", p.nodes[:2]
    wait_for("all notice", lambda: all(noted(node, "not_believed_by_list") for node in p.nodes))
    assert [noted(node, "not_believed_by_list") for node in others] == [odd, odd]
    assert set(noted(p.nodes[2], "not_believed_by_list").split()) == {f"{A}(secret)", f"{B}(secret)"}
    assert all(node.status()["state"] == "degraded" and noted(node, "fronts_not_believed_list") == f"{A}(secret)" for node in p.nodes)
    for node in p.nodes:
        node.wait_log(OWNER_LINE)
        assert len(re.findall(OWNER_LINE, node.log())) == 1


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("who", ["front", "owner"])
def test_a_node_without_a_secret_is_noticed_on_both_sides(make_pool, kind, who):
    p = secrets_pool(make_pool, [None, "the secret of the pool"] if who == "front" else ["the secret of the pool", None])
    front, owner = p.nodes
    log_in(p, kind, "b@example.com")
    wait_for("the owner notices", lambda: noted(owner, "fronts_not_believed_list"))
    wait_for("the front notices", lambda: troubles(front) == (0, 1))
    assert troubles(owner) == (0, 0)  # it does not know the front, which may be a client of this machine
    word = "unsigned" if who == "front" else "no-secret"
    assert (noted(owner, "fronts_not_believed_list"), noted(front, "not_believed_by_list")) == (f"{A}({word})", f"{B}({word})")
    for node, line in ((owner, OWNER_LINE), (front, FRONT_LINE)):
        assert "POOL_SECRETFILE" in node.wait_log(line)


@pytest.mark.parametrize("secrets", [("one", None), (None, "one"), ("one", "two"), (None, None), ("one", "one")], ids=str)
def test_nothing_is_wrong_where_networks_are_trusted_or_secrets_equal(make_pool, secrets):
    """PROXY_TRUSTED is for peers that do not know the secret; a pool without any secret has been warned by `check`."""
    equal = secrets[0] == secrets[1]
    p = secrets_pool(make_pool, [s and f"the secret number {s}" for s in secrets], settings={"proxy": {"PROXY_TRUSTED": None if equal else "127.0.0.0/8"}})
    for kind in KINDS.values():
        for name, address in (("b@example.com", A), ("a@example.com", B)):
            log_in(p, kind, name, address)
    for node in p.nodes:
        wait_for("the login was seen", lambda: node.log().count(" LOGIN, user=") >= 4)
    assert is_well(p), [node.status()["problems"] for node in p.nodes]
    assert not any(re.search(OWNER_LINE + "|" + FRONT_LINE, node.log()) for node in p.nodes)


NAMES = ["UPPER@Example.COM", 'quo"te\\back@example.com', "bl ank@example.com", "ünï@example.com", "x" * 200 + "@example.com", "plus+tag@example.com"]


@pytest.mark.parametrize("hops", [1, 2, 4, 255])
def test_signatures_of_equal_secrets_hold(make_pool, hops):
    """No false alarm, whatever the name, number of hops, client address and protocol."""
    accounts = [Account(name, password="pässword " + name[:4], mailhost=B) for name in NAMES]
    p = make_pool(nodes=2, settings={"proxy": {"PROXY_HOPS": hops}, "imapd": {"DEFDOMAIN": "@example.com"}}, accounts=[*accounts, Account("short@example.com", mailhost=B)])
    for kind in KINDS.values():
        for account in accounts:
            log_in(p, kind, account.name)
    with Imap(A, p.imap_port) as c:
        assert c.login("short", p.accounts["short@example.com"].password).ok
    owner = p.nodes[1]
    wait_for("all were verified", lambda: owner.status()["counts"]["signatures_good"] == 2 * len(NAMES) + 1)
    assert is_well(p), [node.status()["problems"] for node in p.nodes]


def test_a_name_that_the_owner_does_not_call_itself_is_told(make_pool):
    """A host that serves all by itself (IMAP_PROXY = 0) under an alias: signed for the alias. The log names the cause."""
    p = secrets_pool(make_pool, ["the secret of the pool"] * 2, accounts=[Account("alias@example.com", mailhost="127.0.0.22")], start=False)
    front, owner = p.nodes
    p.write_conf({"imapd": {"IMAP_PROXY": "${PROXY_ON}", "PORT": "${LISTEN}"}, "proxy": {"PROXY_TIMEOUT": 5}, "pop3d": None})
    p.write_conf({"imapd": {"PROXY_PORT": p.imap_port}})
    front.more_env.update(PROXY_ON="1", LISTEN=str(p.imap_port))
    owner.more_env.update(PROXY_ON="0", LISTEN=f"{B}.{p.imap_port},127.0.0.22.{p.imap_port}")
    p.start()
    log_in(p, Imap, "alias@example.com")
    assert f"another name than {B}" in owner.wait_log(OWNER_LINE)
    assert "does not call itself 127.0.0.22" in front.wait_log(FRONT_LINE)


CLOCK = """#include <time.h>
time_t time(time_t *t) { struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts); ts.tv_sec += AHEAD; if (t) *t = ts.tv_sec; return ts.tv_sec; }
"""


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' library must be the first one that is loaded")
@pytest.mark.parametrize("ahead", [-1000, 1000])
def test_different_clocks_are_noticed_on_both_sides(make_pool, ahead):
    """One node's clock is wrong, the secrets are equal: both report the clock."""
    secret = "the secret of the pool"
    p = secrets_pool(make_pool, [secret] * 2, start=False)
    front, owner = p.nodes
    library = os.path.join(p.root, "clock.so")
    subprocess.run(["cc", "-shared", "-fPIC", f"-DAHEAD={ahead}", "-x", "c", "-", "-o", library], input=CLOCK, text=True, check=True, timeout=60)
    owner.more_env["LD_PRELOAD"] = library
    p.start()
    for kind in KINDS.values():
        log_in(p, kind, "b@example.com")
    assert f"seconds {'ahead of' if ahead < 0 else 'behind'} ours" in owner.wait_log(OWNER_LINE)
    assert "NTP" in front.wait_log(FRONT_LINE)
    assert (noted(owner, "fronts_not_believed_list"), noted(front, "not_believed_by_list")) == (f"{A}(clock)", f"{B}(clock)")
    assert [n.status()["state"] for n in p.nodes] == ["degraded"] * 2


class Signed:
    """What a front would send, with a secret and a clock of its own."""

    def __init__(self, secret, user, host=B, made=0, session="0123456789abcdef"):
        self.user, self.secret, self.session = user, secret, session
        self.made = int(time.time()) + made
        self.text = f"\n{host}\n{session}\n192.0.2.7\n1234\n0\n3\n{self.made}\n{user}\n"

    def mac(self, what):
        return hmac.new(self.secret.encode(), f"waypost {what} 1{self.text}".encode(), "sha256").hexdigest()

    def say(self, c):
        auth = f"{self.made}:{self.mac('hop')}"
        if isinstance(c, Imap):
            c.ok(f'ID ("x-session-id" "{self.session}" "x-originating-ip" "192.0.2.7" "x-originating-port" "1234" "x-proxy-ttl" "3" '
                 f'"x-client-transport" "insecure" "x-waypost-auth" "{auth}")')
        else:
            assert c.cmd(f"XCLIENT ADDR=192.0.2.7 PORT=1234 SESSION={self.session} TTL=3 CLIENT-TRANSPORT=insecure WAYPOST-AUTH={auth}").startswith(b"+OK")


def forwarded(pool, kind, signed, password, source=None, address=B):
    """Logs in like a front would; returns the reply."""
    with kind(address, pool.imap_port if kind is Imap else pool.pop3_port, source=source) as c:
        signed.say(c)
        answer = c.login(signed.user, password)
        return answer.text if kind is Imap else answer


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("made", [-1000, 1000])
def test_the_owner_tells_clocks_from_secrets(make_pool, kind, made):
    secret = "the secret of the pool"
    p = secrets_pool(make_pool, [secret] * 2)
    owner, jo = p.nodes[1], p.accounts["b@example.com"]
    answer = forwarded(p, kind, Signed(secret, jo.name, made=made), jo.password)
    assert answer.startswith((b"OK", b"+OK")) and answer.endswith(b" Signature not accepted: clock."), answer
    line = owner.wait_log(OWNER_LINE)
    assert "NTP" in line and re.search(r"(999|1000|100[1-9]|10[1-9]\d) seconds " + ("behind" if made < 0 else "ahead of"), line), line
    assert noted(owner, "fronts_not_believed_list") == f"{A}(clock)"
    # Without the secret nobody learns about our clock.
    for when in (-1000, 0, 1000):
        answer = forwarded(p, kind, Signed("another secret, not ours", jo.name, made=when), jo.password)
        assert answer.endswith(b" Signature not accepted."), answer
    assert noted(owner, "fronts_not_believed_list") == f"{A}(secret)"
    # Within the window a signature is valid.
    assert b"Signature" not in forwarded(p, kind, Signed(secret, jo.name, made=made // 5), jo.password)
    assert owner.status()["counts"]["signatures_good"] == 1


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("note,word,cure", [(" Signature not accepted.", "secret", "POOL_SECRETFILE"), (" Signature not accepted: clock.", "clock", "NTP")])
@pytest.mark.parametrize("answer", ["OK", "NO"])
def test_the_front_tells_clocks_from_secrets(make_pool, kind, note, word, cure, answer):
    """By the note at the end of the owner's reply; such a note of a foreign server is ignored."""
    ready = "Waypost node 00112233445566778899aabbccddeeff ready."

    def serve(greeting, note):
        def imap(c):
            c.send(f"* OK [CAPABILITY IMAP4rev1 ID] {greeting}\r\n")
            while True:
                words = c.imap_command()
                c.send(f"{words[0].decode()} {'OK done' if words[1] == b'ID' else answer + ' [UNAVAILABLE] done.' + note}\r\n")

        def pop3(c):
            c.send(f"+OK [XCLIENT] {greeting}\r\n")
            while True:
                last = c.line().startswith(b"PASS")
                c.send(f"{'+OK' if answer == 'OK' or not last else '-ERR [SYS/TEMP]'} done.{note if last else ''}\r\n")
        return imap if kind is Imap else pop3
    with closing(FakeServer("127.0.0.41", serve(ready, note))) as ours, closing(FakeServer("127.0.0.42", serve("Foreign ready.", note))) as foreign:
        p = make_pool(nodes=1, accounts=[Account("ours@example.com", mailhost=ours.host),
                                         Account("foreign@example.com", mailhost=foreign.host)])
        front = p.nodes[0]
        for name in ("foreign@example.com", "ours@example.com"):
            if name.startswith("ours"):
                assert front.status()["counts"]["not_believed_by"] == 0
            with kind(A, p.imap_port if kind is Imap else p.pop3_port) as c:
                said = c.login(name, p.accounts[name].password)
                said = said.text if kind is Imap else said
                assert said.startswith((b"OK", b"+OK") if answer == "OK" else (b"NO [UNAVAILABLE]", b"-ERR [SYS/TEMP]")), said
                assert b"Signature" not in said  # that is between nodes
        assert cure in front.wait_log(FRONT_LINE)
        assert noted(front, "not_believed_by_list") == f"{ours.address}({word})"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_strangers_signatures_are_only_counted(make_pool, kind):
    """They neither fill the log nor degrade the status: neither strangers without an account, from anywhere, nor the owner of a
    single account."""
    p = secrets_pool(make_pool, ["the secret of the pool"] * 2)
    owner, jo = p.nodes[1], p.accounts["b@example.com"]
    log_in(p, kind, "a@example.com", B)  # the owner knows node A, and that address
    mark, n = owner.log_mark(), 30 // SLOW
    for i in range(n):
        user = f"nobody{i}@example.com" if i % 2 else jo.name
        answer = forwarded(p, kind, Signed(f"guess {i}", user), "wrong", source=STRANGER if i % 3 else A)
        assert answer in (b"NO [AUTHENTICATIONFAILED] Login failed. Signature not accepted.", b"-ERR [AUTH] Login failed. Signature not accepted."), answer
    for i in range(3):
        assert forwarded(p, kind, Signed(f"guess {i}", jo.name), jo.password, source=STRANGER).startswith((b"OK", b"+OK"))
    wait_for("all are counted", lambda: owner.status()["counts"]["signatures_wrong"] == n + 3)
    assert owner.status()["state"] == "well", owner.status()["problems"]
    assert not re.search(OWNER_LINE, owner.log_since(mark))
    # Their claims are not trusted: the log has their own address.
    assert "192.0.2.7" not in owner.log_since(mark)
    # Several accounts from one address: an unknown front, or a client with several accounts.
    other = p.accounts["bb@example.com"]
    assert forwarded(p, kind, Signed("guess", other.name), other.password, source=STRANGER).startswith((b"OK", b"+OK"))
    assert noted(owner, "fronts_not_believed_list") == f"{STRANGER}(secret)"
    assert STRANGER in owner.wait_log(OWNER_LINE, mark)
    assert owner.status()["state"] == "well", owner.status()["problems"]


def test_an_address_that_changes_its_story_fills_no_log(make_pool):
    """At most 20 lines an hour, whatever comes from addresses that count as nodes; `status` keeps reporting."""
    secret = "the secret of the pool"
    p = secrets_pool(make_pool, [secret] * 2)
    owner, jo = p.nodes[1], p.accounts["b@example.com"]
    log_in(p, Imap, jo.name)
    for i in range(30):
        forwarded(p, Imap, Signed(secret if i % 2 else "guess", jo.name, made=-1000), jo.password)
    wait_for("all are counted", lambda: owner.status()["counts"]["signatures_clock"] == 15)
    wait_for("all that may be told is told", lambda: len(re.findall(OWNER_LINE, owner.log())) >= 20)
    assert len(re.findall(OWNER_LINE, owner.log())) == 20
    assert owner.status()["state"] == "degraded"


def test_the_secret_is_replaced_without_a_failed_login(make_pool):
    """As README.proxy has it, node by node, with logins by password and by token after each reload."""
    old, new = "the secret that was", "the secret to come"
    p = secrets_pool(make_pool, [old] * 2, settings={"imapd": {"IMAP_CAPABILITY": CRAM}}, accounts=[
        Account(f"cram{n}@example.com", mailhost=host, password="geheim", fields={"systempw": "{PLAIN}geheim"})
        for n, host in enumerate((A, B))])
    for step in (f"{old}\n{new}", f"{new}\n{old}", new):
        for node in p.nodes:
            write_secret(p, node.address, step)
            assert node.tool("reload").returncode == 0
            for kind in KINDS.values():
                log_in(p, kind, "b@example.com", A)
                log_in(p, kind, "a@example.com", B)
            assert cram(p, A, "cram1@example.com", "geheim").startswith(b"a OK")
            assert cram(p, B, "cram0@example.com", "geheim").startswith(b"a OK")
    assert is_well(p)
    for node in p.nodes:
        counts = node.status()["counts"]
        assert counts["signatures_good"] >= 18 and not counts["signatures_wrong"], counts


def test_tokens_of_another_secret_are_no_failed_login(make_pool):
    """CRAM through nodes with different secrets: the client is told "not now", and the owner's log has no LOGIN FAILED with the address
    of a node, for which fail2ban would ban it."""
    password = "geheim"
    states = {"hmac-md5pw": None, "systempw": "{PLAIN}" + password}
    p = secrets_pool(make_pool, ["the secret of node one", "the secret of node two"], settings={"imapd": {"IMAP_CAPABILITY": CRAM}})
    front, owner = p.nodes
    log_in(p, Imap, "a@example.com", B)  # the owner knows the front
    marks = Marks(p)
    jo = p.accounts["b@example.com"]
    signed = Signed("the secret of node one", jo.name)
    with Imap(B, p.imap_port) as c:
        signed.say(c)
        raw = jo.name.encode() + b"\0" + signed.mac("token").encode()
        answer = c.cmd(b"AUTHENTICATE X-WAYPOST-TOKEN " + base64.b64encode(raw)).text
    assert answer.startswith(b"NO [UNAVAILABLE]") and answer.endswith(b" Signature not accepted."), answer
    assert noted(owner, "fronts_not_believed_list") == f"{A}(secret)"
    assert "LOGIN FAILED" not in marks.text(owner), states
    # A stranger's token counts as a guessed password.
    with Imap(B, p.imap_port, source=STRANGER) as c:
        signed.say(c)
        assert c.cmd(b"AUTHENTICATE X-WAYPOST-TOKEN " + base64.b64encode(raw)).text.startswith(b"NO [AUTHENTICATIONFAILED]")
    owner.wait_log(rf"LOGIN FAILED, .*ip=\[::ffff:{STRANGER}\]")


def test_check_shows_whether_secrets_are_the_same(make_pool):
    p = secrets_pool(make_pool, ["the secret of nodes one and two"] * 2, start=False)

    def shown():
        lines = [re.search(r"fingerprint of the pool secret: ([0-9a-f]{8})", n.tool("check").stdout) for n in p.nodes]
        return [m and m.group(1) for m in lines]
    first, second = shown()
    assert first == second and first
    write_secret(p, B, "the secret of node two alone")
    assert shown()[0] == first and shown()[1] not in (first, None)
    second = shown()[1]
    write_secret(p, A, "the secret of nodes one and two\nthe secret of node two alone")
    assert f"fingerprint of the pool secret: {first}; also accepted: {second}; it must be the same" in p.nodes[0].tool("check").stdout
    # The daemon runs without it, but `check` reports it.
    p.nodes[1].more_env["SECRET"] = ""
    assert shown() == [first, None]
    r = p.nodes[1].tool("check")
    assert r.returncode == 1 and "POOL_SECRETFILE is not set: for forwarded logins, nodes log and count each other's" in r.stdout, r


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_with_different_settings(make_pool, kind):
    """A node whose settings file is another one is noticed by those that it forwards to: told once, with what to do, and when it is
    over. The file itself does not show in what is told."""
    p = make_pool(nodes=2, accounts=[Account("a@example.com", mailhost=A), Account("b@example.com", mailhost=B)])
    a, b = p.nodes

    def log_in(front, user):
        with KINDS[kind](front, p.imap_port if kind == "imap" else p.pop3_port) as c:
            c.login_ok(p.accounts[user])

    def differing(node):
        return node.status()["counts"]["nodes_differing"]

    log_in(A, "b@example.com")
    log_in(B, "a@example.com")
    assert differing(a) == differing(b) == 0
    p.write_conf(text="# a comment\n" + open(p.conf).read().replace(" = ", "  =\n "))
    assert a.tool("reload").returncode == 0
    log_in(A, "b@example.com")
    assert differing(b) == 0, "neither comments nor blanks count"
    p.write_conf({"proxy": {"PROXY_IDLE_TIMEOUT": "32m"}})
    assert a.tool("reload").returncode == 0
    log_in(A, "b@example.com")
    log_in(B, "a@example.com")
    b.wait_log("has another settings file than this node: compare the two .* `waypost reload`")
    for node in p.nodes:
        said = node.tool("status")
        assert said.returncode == 0, "a reload of one node after the other is no trouble: {}".format(said)
        assert re.search(r"nodes_differing_list\s+127\.0\.0\.\d \(settings\)", said.stdout), said
        assert differing(node) == 1
    for node in (b, a):  # who has new settings tells them at once, not after a while
        assert node.tool("reload").returncode == 0
    assert differing(b) == 0
    log_in(A, "b@example.com")
    log_in(B, "a@example.com")
    b.wait_log("has the same release and settings file as this node again")
    for node in p.nodes:
        assert differing(node) == 0 and node.tool("status").returncode == 0
    assert b.log().count("another settings file") == 1
