"""What an operator (waypost peer) and a monitor (PROXY_PEERS_FILE) say of peers."""
import os
import re
import time

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import Account, Marks, chown, free_port, wait_for

HOSTS = ["127.0.1.1", "127.0.1.2"]


class Rig:
    """One node, and two servers that let everybody in: all hosts of the accounts "both"; "one" has the first alone."""

    def __init__(self, make_pool, protocol="imap", options=""):
        self.protocol = protocol
        self.port = free_port(HOSTS)
        self.servers = [FakeServer(h, (imap_peer if protocol == "imap" else pop3_peer)(), self.port) for h in HOSTS]
        both = " ".join(f"{h}:{self.port}" for h in HOSTS)
        self.pool = make_pool(nodes=1, start=False, settings={"proxy": {"PROXY_TIMEOUT": 2}}, accounts=[
            Account("both@example.com", mailhost=both, options=options), Account("one@example.com", mailhost=f"{HOSTS[0]}:{self.port}")])
        self.node = self.pool.nodes[0]
        self.file = os.path.join(os.path.dirname(self.pool.conf), "peers.monitor")
        self.pool.write_conf({"proxy": {"PROXY_PEERS_FILE": self.file}})

    def login(self, name="both"):
        """Which server has it: 0, 1, or None: [UNAVAILABLE] at once."""
        a = self.pool.accounts[f"{name}@example.com"]
        before = [len(s.conns) for s in self.servers]
        if self.protocol == "imap":
            with Imap("127.0.0.1", self.pool.imap_port) as c:
                text = c.login(a.name, a.password).text
        else:
            with Pop3("127.0.0.1", self.pool.pop3_port) as c:
                text = c.login(a.name, a.password)
        asked = [len(s.conns) - n for s, n in zip(self.servers, before)]
        if text.startswith((b"OK", b"+OK")):
            assert sum(asked) == 1
            return asked.index(1)
        assert text.startswith((b"NO [UNAVAILABLE]", b"-ERR [SYS/TEMP]")) and asked == [0, 0], (text, asked)
        return None

    def say(self, *words):
        r = self.node.tool("peer", *words)
        assert r.returncode == 0, r
        return r.stdout

    def monitor(self, text):
        with open(self.file + ".new", "w") as f:
            f.write(text)
        chown(self.file + ".new")
        os.rename(self.file + ".new", self.file)

    def close(self):
        for s in self.servers:
            s.close()
            assert not s.errors


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_operator(make_pool, protocol):
    r = Rig(make_pool, protocol)
    r.pool.start()
    other = "pop3" if protocol == "imap" else "imap"
    assert "nothing is said" in r.say()
    r.say(HOSTS[0], other, "down")
    assert r.login() == 0 and r.login("one") == 0
    shown = r.say(f"{HOSTS[0]}:{r.port}", protocol, "down")
    assert re.search(rf"^{HOSTS[0]}:{r.port} {protocol}: down, the operator said so at 20\d\d-", shown, re.M), shown
    marks = Marks(r.pool)
    assert r.login() == 1 and r.login("one") is None
    wait_for("the log says why", lambda: re.search(r"TEMPORARY FAILURE, user=one@.*reason=.*mailhost 127.0.1.1 is down: the operator said so at 20", marks.text()))
    assert "LOGIN FAILED" not in marks.text()
    assert re.search(rf"{protocol.upper()}: to 127.0.1.1 .*down, gets no logins: the operator", r.node.tool("route", "one@example.com").stdout)
    status = r.node.tool("status").stdout
    assert re.search(rf"peers_told_down_list +127.0.1.1\({other},operator,.*\) 127.0.1.1:{r.port}\({protocol},operator,", status), status
    assert r.node.status()["counts"]["peers_told_down"] == 2
    # it outlives reload and restart
    assert r.node.tool("reload").returncode == 0 and r.login() == 1
    r.node.stop()
    r.node.start()
    assert r.login() == 1 and r.login("one") is None
    r.say(f"{HOSTS[0]}:{r.port}", protocol, "drain")
    assert r.login() == 1 and r.login("one") == 0
    r.say(HOSTS[1], "down")
    assert r.login() == 0
    assert "drain, other hosts" in r.node.tool("route", "both@example.com").stdout
    for words in ([f"{HOSTS[0]}:{r.port}", protocol], [HOSTS[1]], [HOSTS[0], other]):
        shown = r.say(*words, "up")
    assert "said so" not in shown and r.login() == 0
    for words in (["nodeb"], ["nodeb", "dead"], ["nodeb", "lmtp", "up"], ["nodeb:x", "up"]):
        bad = r.node.tool("peer", *words)
        assert bad.returncode == 2 and bad.stderr, (words, bad)
    assert not os.path.exists(os.path.join(r.pool.run, "127.0.0.1", "peers.new"))
    r.close()


def test_up_is_believed(make_pool):
    """What logins have found out is forgotten, by hand or by the monitor's file; a session that is open goes on."""
    r = Rig(make_pool)
    r.pool.start()
    a = r.pool.accounts["both@example.com"]
    with Imap("127.0.0.1", r.pool.imap_port) as c:
        c.login_ok(a)
        for how in "operator", "monitor":
            r.servers[0].close()
            wait_for("it is down", lambda: r.login() == 1 and r.node.status()["counts"]["peers_down"] == 1)
            r.servers[0] = FakeServer(HOSTS[0], imap_peer(), r.port)
            assert r.login() == 1
            if how == "operator":
                r.say(HOSTS[0], "up")
            else:
                r.monitor(f"{HOSTS[0]}:{r.port} up\n")
                wait_for("it is believed", lambda: r.node.status()["counts"]["peers_down"] == 0)
            assert r.login() == 0
        r.say(HOSTS[0], "down")
        assert r.login() == 1
    r.close()


def test_monitor(make_pool):
    r = Rig(make_pool)
    r.monitor(f"# monitor\n{HOSTS[0]}:{r.port} down\nthis is no line\n{HOSTS[1]}:{r.port} imap up\n")
    check = r.node.tool("check")
    assert check.returncode == 1 and "PROXY_PEERS_FILE" in check.stdout and "line 3" in check.stdout, check
    r.pool.start()
    r.node.wait_log("peers.monitor: line 3: ")
    assert r.login() == 1 and r.login("one") is None
    assert r.node.status()["counts"]["peers_file_bad_lines"] == 1 and r.node.tool("status").returncode == 1
    # the operator cannot make it less cautious
    assert "the monitor said so" in r.say(f"{HOSTS[0]}:{r.port}", "up") and r.login() == 1
    r.monitor(f"{HOSTS[1]} down\n")
    wait_for("the first is used", lambda: r.login() == 0)
    r.say(HOSTS[0], "drain")
    assert r.login() == 0
    r.monitor("")
    wait_for("the second is used", lambda: r.login() == 1)
    # written without a rename: when it has come to rest
    with open(r.file, "w") as f:
        f.write(f"{HOSTS[1]} do")
        f.flush()
        time.sleep(0.3)
        f.write("wn\n")
    wait_for("the first is used", lambda: r.login() == 0)
    os.unlink(r.file)
    wait_for("it says nothing", lambda: r.login() == 1)
    r.close()


@pytest.mark.parametrize("options,second", [("replicated=single", 0), ("replicated=shared", 1)])
def test_drain_leaves_single_alone(make_pool, options, second):
    """Nobody else would serve it."""
    r = Rig(make_pool, options=options)
    r.pool.start()
    r.say(HOSTS[0], "drain")
    assert r.login() == second
    r.say(HOSTS[0], "down")
    assert r.login() == 1
    r.close()
