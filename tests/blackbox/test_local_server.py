"""LOCAL_IMAP and LOCAL_POP3: another server of this machine serves the accounts whose mail is here."""
import os
import pwd
import re
import signal
import socket
import stat

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import SANITIZED, UID, Account, Marks, chown, cmdline, free_port, sha, wait_for
from test_courier import courier  # pylint: disable=unused-import
from test_mech import CAPS, Dovecot, imap_cram, open_folder, pop3_cram, states  # pylint: disable=unused-import

HERE = "127.0.0.1"
USER = "lena@example.com"


class SocketServer(FakeServer):
    """The same, at a path."""

    def __init__(self, path, script=None):  # pylint: disable=super-init-not-called
        self.listen_at(path)
        self.run(script)

    def listen_at(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen(50)
        chown(path)


@pytest.fixture(params=["inet", "unix"])
def server(request, open_folder):
    """(the server, the setting that names it)"""
    if request.param == "inet":
        s = FakeServer("127.0.2.7")
        text = f"inet:{s.host}"
    else:
        path = os.path.join(open_folder, "socket")
        s = SocketServer(path)
        text = f"unix:{path}"
    yield s, text
    s.close()
    assert not s.errors


def backend_of(text):
    if text.startswith("unix:"):
        return text
    address, _, port = text[5:].rpartition(":")
    return f"[{address}]:{port}"


@pytest.mark.parametrize("mailhost", ["", HERE])
def test_imap(make_pool, server, mailhost):
    """The login is done there, what was pipelined and what comes behind the reply arrive, and `who`, `route`, `status`, the log say
    who serves it."""
    s, text = server
    s.script = imap_peer(behind_ok="* OK behind\r\n", ok="[CAPABILITY IMAP4rev1 XLOCAL] in")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}}, accounts=[Account(USER, password="a b\"\\", mailhost=mailhost)])
    node, mark = p.nodes[0], p.nodes[0].log_mark()
    with Imap(HERE, p.imap_port) as c:
        c.send(f'a LOGIN {USER} "a b\\"\\\\"\r\nb ONE\r\nc TWO\r\n'.encode())
        got = [c.line() for _ in range(7)]
        assert got[1].startswith(b"a OK [CAPABILITY IMAP4rev1 XLOCAL]"), got
        assert got == [b"* CAPABILITY IMAP4rev1 XLOCAL", got[1], b"* OK behind", b"* ECHO ONE", b"b OK done", b"* ECHO TWO", b"c OK done"]
        assert s.last.user == USER.encode() and s.last.password == b'a b"\\'
        backend = backend_of(text)
        assert re.search(rf"\blocal\s+{re.escape(backend)}\s", node.tool("who").stdout)
        assert f"by the local server {text}" in node.tool("route", USER).stdout
        assert re.search(rf"^local_server_imap\s+{re.escape(text)}$", node.tool("status").stdout, re.M)
    line = node.wait_log(rf"imapd: (LOGOUT|DISCONNECTED), user={USER}", mark)
    assert f"mailhost=local, backend={backend}" in line and "rcvd=" in line and "time=" in line
    assert f"mailhost=local, backend={backend}" in node.wait_log(rf"imapd: LOGIN, user={USER}", mark)


def test_words_behind_its_reply(make_pool, server):
    """They come before its list of capabilities, for which we ask: they are for the client, behind its reply."""
    s, text = server
    s.script = imap_peer(behind_ok="* OK [ALERT] nearly full\r\n* 3 EXISTS\r\n")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}}, accounts=[Account(USER)])
    with Imap(HERE, p.imap_port) as c:
        c.send(f"a LOGIN {USER} secret-{USER}\r\nb ONE\r\n".encode())
        got = [c.line() for _ in range(5)]
        assert got[0].startswith(b"a OK ") and got[1:] == [b"* OK [ALERT] nearly full", b"* 3 EXISTS", b"* ECHO ONE", b"b OK done"], got


def test_pop3(make_pool, server):
    s, text = server
    s.script = pop3_peer()
    p = make_pool(nodes=1, settings={"pop3d": {"LOCAL_POP3": text}}, accounts=[Account(USER)])
    mark = p.nodes[0].log_mark()
    with Pop3(HERE, p.pop3_port) as c:
        assert c.login(USER, f"secret-{USER}").startswith(b"+OK")
    assert f"mailhost=local, backend={backend_of(text)}" in p.nodes[0].wait_log(rf"pop3d: LOGIN, user={USER}", mark)
    with Imap(HERE, p.imap_port) as c:  # the other protocol is served by us
        c.login_ok(p.accounts[USER])
        assert c.subjects() == [f"{USER} lives on any node"]


def test_not_there(make_pool, server):
    """Closed, or never there: a temporary failure with its reason, never a wrong password."""
    s, text = server
    s.script = imap_peer()
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}}, accounts=[Account(USER)])
    s.close()
    marks = Marks(p)
    with Imap(HERE, p.imap_port) as c:
        for _ in range(2):
            reply = c.login(USER, f"secret-{USER}")
            assert reply.text.startswith(b"NO [UNAVAILABLE]"), reply
    line = p.nodes[0].wait_log(rf"TEMPORARY FAILURE, user={USER}")
    assert "Connection refused" in line and ("LOCAL_IMAP" in line or "mailhost local" in line), line
    assert "LOGIN FAILED" not in marks.text()


def test_status(make_pool, server):
    """`status` says that it is dead, and no longer when it has served somebody again."""
    s, text = server
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}}, accounts=[Account(USER)])
    node, mark = p.nodes[0], p.nodes[0].log_mark()
    s.close()
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    name = text[5:] if text.startswith("inet:") else "LOCAL_IMAP"

    def down():
        return re.findall(r"^peers_down_list\s+(\S+)", node.tool("status").stdout, re.M)
    wait_for("it is down", lambda: down() == [name])
    assert "peer cannot be reached" in node.tool("status").stdout
    node.wait_log(f"peer {name.replace(':', ' port ')} does not answer", mark)
    if name == "LOCAL_IMAP":
        os.unlink(text[5:])
        again = SocketServer(text[5:], imap_peer())
    else:
        again = FakeServer(s.address, imap_peer(), s.port)
    try:
        with Imap(HERE, p.imap_port) as c:
            assert c.login(USER, f"secret-{USER}").ok
            wait_for("it is up", lambda: down() == [])
    finally:
        again.close()
    assert not again.errors


def test_it_refuses(make_pool, server):
    """A password that is right here and wrong there is a difference of two directories, not the client's fault."""
    s, text = server
    s.script = imap_peer(verdict="NO", ok="[AUTHENTICATIONFAILED] no")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}}, accounts=[Account(USER)])
    marks = Marks(p)
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, "wrong").text.startswith(b"NO [AUTHENTICATIONFAILED]")
        assert not s.conns  # it is not asked
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    assert marks.text().count("LOGIN FAILED") == 1
    assert f"at {text} refused a login" in p.nodes[0].wait_log(rf"TEMPORARY FAILURE, user={USER}")


def test_it_wants_tls(make_pool, server):
    """PROXY_TLS is not for it, and not the remedy."""
    s, text = server
    s.script = imap_peer(greeting="* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}, "proxy": {"PROXY_TLS": "starttls"}}, accounts=[Account(USER)])
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [CONTACTADMIN]")
    line = p.nodes[0].wait_log(rf"LOGIN REFUSED, user={USER}")
    assert f"the local server at {text} accepts no logins without TLS: let it" in line and "PROXY_TLS" not in line


def test_itself(make_pool):
    """This node, by an address that `check` cannot know: refused at the first turn."""
    port = free_port([HERE, "127.0.2.8"])
    p = make_pool(nodes=1, settings={"imapd": {"PORT": f"{port},127.0.2.8.{port}", "LOCAL_IMAP": f"inet:127.0.2.9:{port}"}},
                  accounts=[Account(USER)], start=False)
    p.imap_port = port
    p.write_conf({"imapd": {"ADDRESS": "0", "PORT": f"{port}", "LOCAL_IMAP": f"inet:127.0.2.9:{port}"}})
    assert f"LOCAL_IMAP = \"inet:127.0.2.9:{port}\": this node listens there itself" in p.nodes[0].tool("check").stdout
    relay = Forwarder(HERE, port)
    try:
        p.write_conf({"imapd": {"ADDRESS": "${PROXY_HOSTNAME}", "LOCAL_IMAP": f"inet:{relay.host}"}})
        p.start()
        with Imap(HERE, port) as c:
            assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
        line = p.nodes[0].wait_log(rf"TEMPORARY FAILURE, user={USER}")
        assert f"the local server at inet:{relay.host} is Waypost, this node or another" in line
        assert relay.count == 1
    finally:
        relay.close()


class Forwarder(FakeServer):
    """Passes each connection on, as a port forwarding does."""

    def __init__(self, host, port):
        self.count = 0

        def script(conn):
            self.count += 1
            with socket.create_connection((host, port)) as out:
                conn.send(out.recv(4096))
                conn.until_eof()
        super().__init__("127.0.2.10", script)


OTHER_NODE = "Waypost node 0123456789abcdef0123456789abcdef ready.\r\n"


def test_another_node(make_pool, server):
    """Two nodes that are each other's local server would pass a login on for ever: refused before anything is sent."""
    s, text = server
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text}, "pop3d": {"LOCAL_POP3": text}}, accounts=[Account(USER)])
    s.script = imap_peer(greeting="* OK " + OTHER_NODE)
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    assert f"the local server at {text} is Waypost" in p.nodes[0].wait_log(rf"imapd: TEMPORARY FAILURE, user={USER}")
    s.script = pop3_peer(greeting="+OK " + OTHER_NODE)
    with Pop3(HERE, p.pop3_port) as c:
        assert c.login(USER, f"secret-{USER}").startswith(b"-ERR [SYS/TEMP]")
    assert f"the local server at {text} is Waypost" in p.nodes[0].wait_log(rf"pop3d: TEMPORARY FAILURE, user={USER}")


def test_port_of_tls(make_pool):
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": "inet:127.0.2.11:993"}}, accounts=[Account(USER)])
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    line = p.nodes[0].wait_log(rf"TEMPORARY FAILURE, user={USER}")
    assert "that port is for TLS: give the local server a port or socket without" in line and "PROXY_TLS" not in line


def test_worker_of_before(make_pool, open_folder):
    """A client that a worker took before a reload is served as the reload says, and the log does not name the old server."""
    path = os.path.join(open_folder, "s")
    s = SocketServer(path, imap_peer())
    p = make_pool(nodes=1, accounts=[Account(USER)])
    node, mark = p.nodes[0], p.nodes[0].log_mark()
    try:
        with Imap(HERE, p.imap_port) as c:
            p.write_conf({"imapd": {"LOCAL_IMAP": f"unix:{path}"}})
            assert node.tool("reload").returncode == 0

            def is_used():
                with Imap(HERE, p.imap_port) as new:
                    return new.login(USER, f"secret-{USER}").ok and len(s.conns) != 0
            wait_for("the new settings count", is_used)
            node.wait_log(rf"imapd: LOGIN, user={USER}.*backend=unix:", mark)
            mark = node.log_mark()
            assert c.login(USER, f"secret-{USER}").ok
            assert "backend=LOCAL_IMAP," in node.wait_log(rf"imapd: LOGIN, user={USER}.*port=\[{c.local_port}\]", mark)
    finally:
        s.close()


def test_without_a_password(make_pool, server):
    """CRAM reveals none: PROXY_MASTER_USER, or the reason why not; a token is nothing for it."""
    s, text = server
    s.script = imap_peer(greeting="* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID AUTH=X-WAYPOST-TOKEN] ready\r\n")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": text, "IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"}},
                  accounts=[Account(USER, password="x", fields=states("x"))])
    _, _, reply = imap_cram(p, HERE, USER, "x")
    assert reply.startswith(b"a NO [CONTACTADMIN]"), reply
    assert "PROXY_MASTER_USER is not set" in p.nodes[0].wait_log(rf"LOGIN REFUSED, user={USER}")
    assert not s.conns
    mark = p.nodes[0].log_mark()
    p.write_conf({"proxy": {"PROXY_MASTER_USER": "master", "PROXY_MASTER_PASSWORD": "m"}})
    assert p.nodes[0].tool("reload").returncode == 0
    p.nodes[0].wait_log("reload", mark)

    def logs_in():
        c, _, reply = imap_cram(p, HERE, USER, "x")
        c.close()
        return reply.startswith(b"a OK")
    wait_for("the new settings count", logs_in)
    assert (s.last.authzid, s.last.user, s.last.password) == (USER.encode(), b"master", b"m")


@pytest.mark.parametrize("value, says", [
    ("inet:127.0.0.1", "expected inet:ADDRESS:PORT"), ("inet:::1:143", "expected inet:ADDRESS:PORT"), ("inet:localhost:143", "expected inet:"),
    ("inet:127.0.0.1:0", "expected inet:"), ("unix:run/x", "expected unix:PATH"), ("unix:/" + 110 * "x", "expected unix:PATH"),
    ("dovecot", 'expected "builtin", inet:ADDRESS:PORT, unix:PATH or exec:PROGRAM'),
    ("exec:imapd", "expected exec:PROGRAM"), ("exec:/no/such/program", "/no: No such file"), ("unix:/", "/ is no socket")])
def test_check_mistakes(make_pool, value, says):
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": value}}, start=False)
    r = p.nodes[0].tool("check")
    assert r.returncode == 1 and f"{says}" in r.stdout and "LOCAL_IMAP" in r.stdout, r


@pytest.mark.parametrize("value, says", [("inet:192.0.2.1:143", "is not a loopback address: passwords go there without TLS"),
                                         ("inet:127.0.0.1:10110", "any user of this machine can listen there"),
                                         ("unix:/run/no such socket", "there is no socket /run/no such socket")])
def test_check_warnings(make_pool, value, says):
    p = make_pool(nodes=1, settings={"pop3d": {"LOCAL_POP3": value}}, start=False)
    r = p.nodes[0].tool("check")
    assert r.returncode == 0 and says in r.stdout, r


def script(folder, text):
    """A program that only the one who runs these tests can change."""
    path = os.path.join(folder, "program")
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


# Answers with the tag of the login, then repeats what it gets, and says what it has.
ECHO = r"""printf '* OK hello\r\n%s OK in\r\n' "$IMAPLOGINTAG"
while read -r tag rest; do
  rest=${rest%?}
  case $rest in
    CAPABILITY) printf '* CAPABILITY IMAP4rev1 XPROGRAM\r\n%s OK done\r\n' "$tag";;
    ENV) open=; for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && open="$open $n"; done
         env | sort | sed 's/^/* /; s/$/\r/'; printf '* args %s\r\n* pwd %s\r\n* fds %s\r\n* id %s\r\n* group %s\r\n%s OK done\r\n' "$*" "$(pwd)" "$open" \
         "$(id -u):$(id -g)" "$(cut -d ' ' -f 1,6 /proc/$$/stat)" "$tag";;
    *) printf '* ECHO %s\r\n%s OK done\r\n' "$rest" "$tag";;
  esac
done
"""


def test_program(make_pool, open_folder):
    """It answers the login by the tag it was told, gets what was pipelined, and has Courier's environment and nothing else."""
    path = script(open_folder, ECHO)
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path} Maildir -x"}},
                  accounts=[Account(USER, password="x", options="sharedgroup=a", fields={"quota": "1000S"})])
    node, account, mark = p.nodes[0], p.accounts[USER], p.nodes[0].log_mark()
    many = b"".join(b"n%d E%d\r\n" % (i, i) for i in range(1000))
    with Imap(HERE, p.imap_port) as c:
        c.send(f"a LOGIN {USER} x\r\n".encode() + many)
        assert c.line() == b"* CAPABILITY IMAP4rev1 XPROGRAM"
        assert c.line().startswith(b"a OK [CAPABILITY IMAP4rev1 XPROGRAM]")
        for i in range(1000):
            assert (c.line(), c.line()) == (b"* ECHO E%d" % i, b"n%d OK done" % i)
        lines = [u.decode()[2:] for u in c.ok("ENV").untagged]
        env = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z0-9_]+=", line))
        for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's own
            env.pop(name, None)
        assert env == {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": account.home, "USER": USER, "AUTHENTICATED": USER, "AUTHADDR": USER,
                       "AUTHFULLNAME": "", "OPTIONS": "sharedgroup=a", "MAILDIR": account.maildir, "MAILDIRQUOTA": "1000S", "PROTOCOL": "IMAP",
                       "TCPREMOTEIP": "::ffff:127.0.0.1", "TCPREMOTEPORT": str(c.local_port), "IMAPLOGINTAG": "L"}
        assert "args Maildir -x" in lines and f"pwd {account.home}" in lines and f"id {account.uid}:{account.gid}" in lines
        me, session = next(line for line in lines if line.startswith("group ")).split()[1:]
        assert me == session  # it has not the terminal of who started the node
        fds = next(line for line in lines if line.startswith("fds ")).split()[1:]
        assert fds == ["0", "1", "2"]  # sh has its script at 10 or above
        assert re.search(rf"\blocal\s+exec:{re.escape(path)} Maildir -x\s", node.tool("who").stdout)
        assert node.tool("kick", USER).returncode == 0
        assert c.is_closed()
    line = node.wait_log(rf"imapd: DISCONNECTED, user={USER}", mark)
    assert f"mailhost=local, backend=exec:{path} Maildir -x" in line and "rcvd=" in line and "end=kick" in line
    wait_for("the program ends", lambda: not [pid for pid in node.pids("") if path in cmdline(pid)])
    wait_for("its session is gone", lambda: node.status()["counts"]["sessions_imap"] == 0)


def test_program_overlooks_its_end(make_pool, open_folder):
    """It and what it has started are ended with its session, killed if they ignore that, and never outlive spawn."""
    nap = f"sleep {100000 + os.getpid()}"
    path = script(open_folder, "trap '' TERM HUP\n" + ECHO + f"{nap} & while :; do {nap}; done\n")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path}"}}, accounts=[Account(USER)])
    node, mark = p.nodes[0], p.nodes[0].log_mark()

    def running(*texts):
        commands = [cmdline(pid) for pid in os.listdir("/proc") if pid.isdigit()]
        return [c for c in commands if any(text in c for text in texts)]
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").ok
        assert running(path)
        assert node.tool("kick", USER).returncode == 0
        assert c.is_closed()
    wait_for("it goes on", lambda: len(running(nap)) == 2)
    counted = node.status()["counts"]["sessions_imap"]
    assert counted == 1 or not running(path), "it counts as long as it runs"
    node.wait_log(rf"the program of LOCAL_IMAP that served {USER} \(process \d+\) did not end within \d+ s of its client; killing", mark)
    wait_for("all of it is gone", lambda: not running(path, nap))
    wait_for("it counts no more", lambda: node.status()["counts"]["sessions_imap"] == 0)
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").ok
        node.expect_dirty = True
        os.kill(node.pids("spawn")[0], signal.SIGKILL)
        assert c.is_closed()
    wait_for("it has not outlived spawn", lambda: not running(path))
    line = node.wait_log(r"spawn \(pid \d+\) .*signal 9")
    assert "but for those of programs (LOCAL_IMAP, LOCAL_POP3), which have ended" in line
    wait_for("none counts any more", lambda: node.status()["counts"]["sessions_imap"] == 0)


def test_program_finishes(make_pool, open_folder):
    """When its client is gone it reads the end, and is not ended in the middle of what it does."""
    path = script(open_folder, ECHO + "sleep 2; echo finished > done\n")  # in its home folder
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path}"}}, accounts=[Account(USER)])
    done = os.path.join(p.accounts[USER].home, "done")
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").ok
        c.send(b"a NOOP\r\n")
    wait_for("it has finished", lambda: os.path.exists(done))
    wait_for("its session is over", lambda: p.nodes[0].status()["counts"]["sessions_imap"] == 0)


def test_program_double_fork(make_pool, open_folder):
    """What leaves its family is counted with it, and ended with it, and by the end of spawn."""
    nap = f"sleep {200000 + os.getpid()}"
    path = script(open_folder, ECHO + f"setsid sh -c 'trap \"\" TERM HUP; setsid {nap} </dev/null >/dev/null 2>&1 & exec true'\n")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path}"}}, accounts=[Account(USER)])
    node = p.nodes[0]

    def running():
        return [pid for pid in os.listdir("/proc") if pid.isdigit() and cmdline(pid).rstrip().endswith(nap) and "sh -c" not in cmdline(pid)]
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").ok
    wait_for("its grandchild runs", running)
    wait_for("the login worker's session is over", lambda: node.status()["counts"]["proxied_imap"] == 0)
    counted = node.status()["counts"]["sessions_imap"]
    assert counted == 1 or not running()
    node.stop()
    wait_for("all of it is gone", lambda: not running())


def test_program_and_authd(make_pool, open_folder):
    """A new authd hears of the session from its worker and from spawn, whoever is first: it counts once, and goes on."""
    path = script(open_folder, ECHO)
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path}"}}, accounts=[Account(USER)])
    node, mark = p.nodes[0], p.nodes[0].log_mark()
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").ok
        for _ in range(3):
            node.expect_dirty = True
            old = node.pids("authd")[0]
            os.kill(old, signal.SIGKILL)
            wait_for("there is another authd", lambda: node.pids("authd") not in ([], [old]))
            with Imap(HERE, p.imap_port) as d:
                assert d.login(USER, f"secret-{USER}").ok
                wait_for("both count", lambda: node.status()["counts"]["sessions_imap"] == 2)
            wait_for("one counts", lambda: node.status()["counts"]["sessions_imap"] == 1)
            assert c.ok("NOOP")
    assert "bad message" not in node.log()[mark:]
    wait_for("none counts", lambda: node.status()["counts"]["sessions_imap"] == 0)


def test_program_pop3(make_pool, open_folder):
    path = script(open_folder, r"""printf '+OK in, UTF8 is %s\r\n' "$UTF8"
while read -r rest; do printf '+OK ECHO %s\n' "$rest"; done
""")
    p = make_pool(nodes=1, settings={"pop3d": {"LOCAL_POP3": f"exec:{path}"}}, accounts=[Account(USER)])
    with Pop3(HERE, p.pop3_port) as c:
        assert c.cmd("UTF8").startswith(b"+OK")
        c.send(f"USER {USER}\r\nPASS secret-{USER}\r\nLIST\r\nUIDL\r\n".encode())
        got = [c.line() for _ in range(4)]
        assert got[1].startswith(b"+OK") and got[2:] == [b"+OK ECHO LIST", b"+OK ECHO UIDL"], got


@pytest.mark.parametrize("text, says", [
    ("exit 3\n", "closed the connection"), ("printf '%s NO [UNAVAILABLE] later\\r\\n' \"$IMAPLOGINTAG\"\n", "temporary failure"),
    ("printf '* BYE +t bit set\\r\\n'\n", "temporary failure"), ("printf 'nonsense\\r\\n'; sleep 1\n", "invalid answer")])
def test_program_fails(make_pool, open_folder, text, says):
    path = script(open_folder, text)
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path}"}}, accounts=[Account(USER)])
    marks = Marks(p)
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    assert says in p.nodes[0].wait_log(rf"TEMPORARY FAILURE, user={USER}")
    assert "LOGIN FAILED" not in marks.text()
    wait_for("its session is gone", lambda: p.nodes[0].status()["counts"]["sessions_imap"] == 0)


def test_program_of_others(make_pool, open_folder):
    """Whoever could change it could be every account: neither `check` nor spawn takes it."""
    path = script(open_folder, ECHO)
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{path}"}}, accounts=[Account(USER)])
    os.chmod(path, 0o757)
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    p.nodes[0].wait_log(rf"LOCAL_IMAP: the program is not executed: {re.escape(path)} can be changed by others")
    r = p.nodes[0].tool("check")
    assert r.returncode == 1 and "can be changed by others" in r.stdout


@pytest.mark.skipif(SANITIZED, reason="the kernel forbids a sanitizer build nothing")
def test_program_after_a_reload(make_pool, open_folder):
    """The kernel has forbidden spawn to execute anything: the log says what to do, and that helps."""
    path = script(open_folder, ECHO)
    p = make_pool(nodes=1, accounts=[Account(USER)])
    node, mark = p.nodes[0], p.nodes[0].log_mark()
    p.write_conf({"imapd": {"LOCAL_IMAP": f"exec:{path}"}})
    assert node.tool("reload").returncode == 0

    def is_refused():
        with Imap(HERE, p.imap_port) as c:
            return c.login(USER, f"secret-{USER}").text.startswith(b"NO [UNAVAILABLE]")
    wait_for("the new settings count", is_refused)
    node.wait_log(rf"cannot execute {re.escape(path)}, the node was started without a program; restart it", mark)
    node.stop()
    node.start()
    with Imap(HERE, p.imap_port) as c:
        assert c.login(USER, f"secret-{USER}").ok


@pytest.mark.once
def test_courier(make_pool, open_folder, courier):
    """Courier's own servers, in a script that sets what its start script would: the tagged OK is its, with our tag."""
    lib = os.path.join(courier, "usr/lib")
    programs = {}
    for name, file in ("imap", "usr/bin/imapd"), ("pop3", "usr/lib/courier/courier/courierpop3d"):
        folder = os.path.join(open_folder, name)
        os.mkdir(folder, 0o755)
        programs[name] = script(folder, f"""LD_LIBRARY_PATH={lib}:{lib}/x86_64-linux-gnu:{lib}/aarch64-linux-gnu
IMAP_CAPABILITY="IMAP4rev1 UIDPLUS NAMESPACE" IMAP_USELOCKS=0 IMAP_KEYWORDS=1
export LD_LIBRARY_PATH IMAP_CAPABILITY IMAP_USELOCKS IMAP_KEYWORDS
exec {courier}/{file} "$@"
""")
    p = make_pool(nodes=1, settings={"imapd": {"LOCAL_IMAP": f"exec:{programs['imap']} Maildir"},
                                     "pop3d": {"LOCAL_POP3": f"exec:{programs['pop3']} Maildir"}}, accounts=[Account(USER)])
    with Imap(HERE, p.imap_port) as c:
        reply = c.login(USER, f"secret-{USER}")
        assert reply.ok and b"UIDPLUS" in reply.find(rb"^\* CAPABILITY "), (reply, p.nodes[0].log())
        assert c.subjects() == [f"{USER} lives on any node"]
        c.cmd("LOGOUT")
    with Imap(HERE, p.imap_port) as c:  # one packet: what stands behind the login reaches the program, once
        c.send(f"a LOGIN {USER} secret-{USER}\r\nb SELECT INBOX\r\nc NOOP\r\nd LOGOUT\r\n".encode())
        got = []
        while not got or not got[-1].startswith(b"d "):
            got.append(c.line())
        assert [line[:4] for line in got if line[1:2] == b" " and line[:1] != b"*"] == [b"a OK", b"b OK", b"c OK", b"d OK"], got
        assert b"* 1 EXISTS" in got
    with Pop3(HERE, p.pop3_port) as c:
        assert c.login(USER, f"secret-{USER}").startswith(b"+OK"), p.nodes[0].log()
        assert c.cmd("STAT").startswith(b"+OK 1 ")
        c.cmd("QUIT")
        assert c.is_closed()  # before we close it
    p.nodes[0].wait_log(rf"pop3d: LOGOUT, user={USER}.*backend=exec:")


class LocalDovecot(Dovecot):
    """It listens at sockets, too, as in README.proxy."""

    def configuration(self):
        text = super().configuration()
        for kind in "imap", "pop3":
            text = text.replace(f"service {kind}-login {{\n", f"""service {kind}-login {{
  unix_listener {self.folder}/{kind} {{
    mode = 0600
    user = {pwd.getpwuid(UID).pw_name}
  }}
""")
        return text

    def ready(self):
        return super().ready() and all(os.path.exists(f"{self.folder}/{kind}") for kind in ("imap", "pop3"))


@pytest.mark.once
@pytest.mark.parametrize("way", ["inet", "unix"])
def test_dovecot(make_pool, open_folder, way):
    """A machine that runs Dovecot becomes a node; its mail stays where it is. By password, and as the master user."""
    dovecot = LocalDovecot(open_folder, USER)
    try:
        local = {"imap": f"inet:{dovecot.host}:{dovecot.imap_port}", "pop3": f"inet:{dovecot.host}:{dovecot.pop3_port}"} if way == "inet" else \
            {kind: f"unix:{open_folder}/{kind}" for kind in ("imap", "pop3")}
        if way == "unix":
            assert stat.S_ISSOCK(os.stat(f"{open_folder}/imap").st_mode)
        p = make_pool(nodes=1, accounts=[Account(USER, password="nobody knows", fields={**states("nobody knows"), "systempw": sha("nobody knows")})], settings={
            "proxy": {"PROXY_MASTER_USER": "waypost", "PROXY_MASTER_PASSWORD": "master's secret"},
            "imapd": {"LOCAL_IMAP": local["imap"], "IMAP_CAPABILITY": CAPS + " AUTH=CRAM-MD5"},
            "pop3d": {"LOCAL_POP3": local["pop3"], "POP3AUTH": "PLAIN CRAM-MD5"}})
        with Imap(HERE, p.imap_port) as c:
            reply = c.login(USER, "nobody knows")
            assert reply.ok, (reply, dovecot.log(), p.nodes[0].log())
            assert b"THREAD=REFS" in reply.find(rb"^\* CAPABILITY ")  # what only Dovecot can do
            assert c.subjects() == [f"{USER} lives with Dovecot"]
        c, _, reply = imap_cram(p, HERE, USER, "nobody knows")
        assert reply.startswith(b"* CAPABILITY ") and c.line().startswith(b"a OK"), (reply, dovecot.log())
        assert c.subjects() == [f"{USER} lives with Dovecot"]
        c.cmd("LOGOUT")
        with Pop3(HERE, p.pop3_port) as c:
            assert c.login(USER, "nobody knows").startswith(b"+OK"), (dovecot.log(), p.nodes[0].log())
            assert c.cmd("STAT").startswith(b"+OK 1 ")
    finally:
        dovecot.close()
