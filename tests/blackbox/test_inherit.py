"""What the processes of a node inherit from whoever starts it: no secrets of the environment, no terminal, no foreign
descriptors."""
import os
import pty
import re
import resource
import signal
import subprocess
import termios

import pytest

from client import Imap, Pop3
from pool import PATIENCE, SANITIZED, Account, alive, descendants, role_of, wait_for

SECRETS = {"DB_PASSWORD": "geheim-4711-environ", "OTHER_TOKEN": "geheim-0815-environ"}
SETTINGS = {"authmysqlrc": {"MYSQL_PASSWORD": "${DB_PASSWORD}"}, "authldaprc": {"LDAP_BINDPW": "${DB_PASSWORD}"}, "LOGIN_WORKERS": 2}
ROLES = {"worker", "authd", "authworker", "spawn", "imapd", "pop3d"}


def read(pid, name):
    """A file of /proc/PID, or None if we must not read it: then nobody else can, either."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read()
    except PermissionError:
        return None


def links(pid):
    """descriptor -> what it is, as far as we can see."""
    try:
        return {int(n): os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    except PermissionError:
        return {}


@pytest.fixture
def one(make_pool):
    p = make_pool(nodes=1, settings=SETTINGS, accounts=[Account("anna@example.com", mailhost="127.0.0.1")], start=False)
    p.nodes[0].more_env.update(SECRETS, TZ="UTC-1", LDAPTLS_REQCERT="demand", LC_TIME="C")
    p.start()
    return p


@pytest.fixture
def sessions(one):
    """A local session of each protocol, open."""
    with Imap("127.0.0.1", one.imap_port) as c, Pop3("127.0.0.1", one.pop3_port) as d:
        c.login_ok(one.accounts["anna@example.com"])
        d.login_ok(one.accounts["anna@example.com"])
        yield one.nodes[0]


def every_process(node):
    procs = {role: pids for role, pids in node.procs().items() if role != "master"}
    assert ROLES <= set(procs), procs
    return [(role, pid) for role, pids in procs.items() for pid in pids]


def test_no_secret_in_what_proc_shows(sessions):
    """The master has expanded the environment in the settings; no role keeps it."""
    for role, pid in every_process(sessions):
        for what in ("environ", "cmdline", "maps"):
            text = read(pid, what) or b""
            for secret in SECRETS.values():
                assert secret.encode() not in text, f"{what} of {role} {pid}"
        names = {v.split(b"=")[0].decode() for v in (read(pid, "environ") or b"").split(b"\0") if v}
        allowed = {"PATH", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG", "LC_TIME",
                   "LC_ALL", "LANGUAGE"}
        if role in ("authd", "authworker"):
            allowed |= {"HOME", "LDAPTLS_REQCERT", "SSL_CERT_FILE", "SSL_CERT_DIR"}
        assert not {n for n in names - allowed if not n.startswith(("LC_", "MALLOC_", "VALGRIND", "GLIB"))}, (role, names)
        if names:
            assert {"PATH", "TZ", "LC_TIME"} <= names, (role, names)


def test_no_descriptor_that_is_not_theirs(sessions):
    pages = []
    for role, pid in every_process(sessions):
        found = links(pid)
        if not found:
            continue
        assert found[0] == found[1] == "/dev/null", (role, found)
        assert found[2].startswith("socket:"), (role, found)
        files = {n: v for n, v in found.items() if n > 2 and not re.match(r"socket:|pipe:|anon_inode:|/dev/null$", v)}
        if role == "spawn":  # where session servers show their figures; none of them has more of it than a page
            files = {n: v for n, v in files.items() if "memfd:figures" not in v}
        if role in ("worker", "authd"):  # certificates of authorities, which everybody may read
            files = {n: v for n, v in files.items() if "memfd:trust" not in v}
        if role in ("worker", "spawn") and not SANITIZED:
            assert not files, (role, files)
        # Only the roles that look accounts up have the image of the userdb; a session has its mailbox.
        assert not [v for v in files.values() if "memfd:" in v and role not in ("authd", "authworker")], (role, files)
        assert not [v for v in files.values() if v.startswith(("/dev/", "/proc/")) and not SANITIZED], (role, files)
        maps = read(pid, "maps") or b""
        mapped = [line.split() for line in maps.splitlines() if b"memfd:" in line]
        if role in ("imapd", "pop3d") and maps:
            sizes = [int(end, 16) - int(begin, 16) for begin, end in (m[0].split(b"-") for m in mapped)]
            assert sizes == [resource.getpagesize()], (role, mapped)
            pages.append(mapped[0][2])
        else:
            assert not mapped or role in ("authd", "authworker"), (role, mapped)
    assert len(set(pages)) == len(pages), "a page of figures has one session"
    for role, pid in every_process(sessions):
        found = links(pid)
        if found and role in ("imapd", "pop3d"):
            assert len([v for v in found.values() if v.startswith("socket:")]) == 3, f"client, log, stderr: {role} {found}"


def session_of(pid):
    """(session, controlling terminal) of a process."""
    with open(f"/proc/{pid}/stat") as f:
        rest = f.read().rsplit(")", 1)[1].split()
    return int(rest[3]), int(rest[4])


class Terminal:
    """A node with -F on a terminal of its own."""

    def __init__(self, node):
        self.node = node
        self.ours, theirs = pty.openpty()
        drop = node.as_user()

        def inside():
            os.setsid()
            import fcntl
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            os.tcsetpgrp(theirs, os.getpid())
            if drop:
                drop()
        node.started = node.log_mark()
        self.proc = subprocess.Popen(node.command(), stdin=theirs, stdout=theirs, stderr=open(node.log_path, "ab"), env=node.env,
                                     preexec_fn=inside, cwd="/")
        os.close(theirs)
        node.proc = self.proc
        node.wait_ready()

    def type(self, data):
        os.write(self.ours, data)


def test_no_role_has_the_terminal_and_ctrl_c_ends_all(make_pool):
    """With -F, too. The master ends the roles in order, and says goodbye to the session."""
    p = make_pool(nodes=1, settings=SETTINGS, accounts=[Account("anna@example.com", mailhost="127.0.0.1")], start=False)
    node = p.nodes[0]
    node.more_env.update(SECRETS)
    terminal = Terminal(node)
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
        below = descendants(node.proc.pid)
        assert session_of(node.proc.pid)[1] != 0
        for pid in below:
            session, tty = session_of(pid)
            assert tty == 0 and session != session_of(node.proc.pid)[0], f"{role_of(pid)} {pid}"
            assert not [v for v in links(pid).values() if v.startswith(("/dev/pts", "/dev/tty", "/dev/ptmx"))]
        terminal.type(b"\x03")
        assert c.rest().startswith(b"* BYE")
    assert terminal.proc.wait(PATIENCE) == 0
    wait_for("all have ended", lambda: not [pid for pid in below if alive(pid)])
    assert "waypost has stopped" in node.log_since(node.started)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's own handler would run")
def test_what_a_role_prints_to_stderr_is_a_line_of_the_log(make_pool):
    """What a library prints is not lost, names its process, and cannot pass for a line about a user."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], settings={"authdaemonrc": {"authmodulelist": "authuserdb authpipe"}}, start=False)
    program = os.path.join(p.root, "prints")
    with open(program, "w") as f:
        f.write("#!/bin/sh\necho 'imapd: LOGIN FAILED, user=x, ip=[::ffff:192.0.2.1]' >&2\n"
                "i=0; while [ $i -lt 1000 ]; do echo chatter $i >&2; i=$((i + 1)); done\ncat >/dev/null\n")
    os.chmod(program, 0o755)
    p.write_conf({"authpipe": {"AUTHPIPE_PROGRAM": program}})
    p.start()
    node = p.nodes[0]
    with Imap("127.0.0.1", p.imap_port) as c:
        assert c.login("nobody@example.com", "x").text.startswith(b"NO [UNAVAILABLE]")
    assert "WARN" not in node.wait_log(r"waypostd\[\d+\]: stderr of auth-worker \d: chatter 0$")
    text = node.log()
    assert "LOGIN FAILED" not in text
    assert re.search(r"stderr of auth-worker \d: imapd: LOGIN.FAILED, user.x", text), text
    assert 10 < text.count(": chatter ") <= 2 * 300, text.count(": chatter ")
