"""The daemon started by root: privileges dropped per role, accounts of several uids. No system user is created: the settings
name users that every Debian has."""
import os
import re
import subprocess

import pytest

import pool as pool_module
from client import Imap, Pop3
from pool import Account, Marks, wait_for

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def root_pool(request):
    p = pool_module.Pool(nodes=2, uid=0, gid=0, keep=request.config.getoption("--keep"), start=False,
                         settings={"LOGIN_USER": "nobody", "AUTH_USER": "daemon", "MIN_UID": 100},
                         accounts=[Account("one@example.com", uid=20001, gid=20001, mailhost="127.0.0.1"),
                                   Account("two@example.com", uid=20002, gid=20002, mailhost="127.0.0.2"),
                                   Account("system@example.com", fields={"uid": 1, "gid": 1}, mailhost="127.0.0.1"),
                                   Account("liar@example.com", uid=20001, gid=20001, mailhost="127.0.0.1")])
    import grp
    os.chown(p.userdb, 0, grp.getgrnam("daemon").gr_gid)
    os.chmod(p.userdb, 0o640)
    # Its mail belongs to another account.
    liar = p.accounts["liar@example.com"]
    subprocess.run(["chown", "-R", "20002:20002", liar.home], check=True)
    p.start()
    yield p
    p.close()


def sanitized():
    with open(os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "rb") as f:
        return b"__asan_init" in f.read()


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def test_logins(root_pool):
    for name in ("one@example.com", "two@example.com"):
        for node in root_pool.addresses:
            with Imap(node, root_pool.imap_port) as c:
                assert c.login_ok(root_pool.accounts[name]).subjects() == [f"{name} lives on {root_pool.accounts[name].mailhost}"]
            with Pop3(node, root_pool.pop3_port) as c:
                assert len(c.login_ok(root_pool.accounts[name]).subjects()) == 1


def test_roles_have_the_users_they_should(root_pool):
    node = root_pool.nodes[0]
    nobody, daemon = 65534, 1
    with Imap(node.address, root_pool.imap_port) as c:
        c.login_ok(root_pool.accounts["one@example.com"])
        procs = node.procs()
        for role, uid in (("worker", nobody), ("authd", daemon), ("imapd", 20001)):
            assert procs.get(role), procs
            for pid in procs[role]:
                status = status_of(pid)
                assert set(status["Uid"].split()) == {str(uid)}, role
                assert int(status["CapEff"], 16) == 0, role
                assert status["NoNewPrivs"] == "1", role
        for pid in procs["imapd"]:
            status = status_of(pid)
            assert set(status["Gid"].split()) == {"20001"}
            assert status["Groups"].split() in ([], ["20001"])
        for pid in procs["spawn"]:
            caps = int(status_of(pid)["CapEff"], 16)
            assert caps & ~((1 << 6) | (1 << 7) | (1 << 5)) == 0, "CAP_SETGID and CAP_SETUID (and CAP_KILL) at most"
        # The leak check of a sanitizer build, and valgrind, need /proc and system calls that a worker must not use.
        if not sanitized() and pool_module.SLOW == 1:
            for pid in procs["worker"] + procs["spawn"] + procs["imapd"]:
                assert status_of(pid)["Seccomp"] == "2"
            for pid in procs["worker"]:
                assert os.listdir(f"/proc/{pid}/root/") == []


def test_ids_below_min_uid_are_refused(root_pool):
    with Imap("127.0.0.1", root_pool.imap_port) as c:
        reply = c.login("system@example.com", root_pool.accounts["system@example.com"].password)
        assert reply.status == "NO" and b"OK" not in reply.text


def test_mail_of_another_uid_stays_closed(root_pool):
    account = root_pool.accounts["liar@example.com"]
    marks = Marks(root_pool)
    with Imap("127.0.0.1", root_pool.imap_port) as c:
        c.send(f"a LOGIN {account.name} {account.password}\r\nb SELECT INBOX\r\nc FETCH 1 (BODY[])\r\nd LOGOUT\r\n")
        text = c.rest()
        assert b"lives on" not in text and b"AUTHENTICATIONFAILED" not in text
    wait_for("the log names the place", lambda: account.home in marks.text())


def test_files_keep_to_their_owner(root_pool):
    account = root_pool.accounts["two@example.com"]
    with Imap("127.0.0.1", root_pool.imap_port) as c:
        c.login_ok(account)
        assert c.append("INBOX", b"Subject: x\r\n\r\nx\r\n").ok
        c.ok("CREATE INBOX.new")
    for folder, _, files in os.walk(account.home):
        for name in files:
            st = os.stat(os.path.join(folder, name))
            assert (st.st_uid, st.st_gid) == (20002, 20002), name
            assert st.st_mode & 0o022 == 0


def test_control_socket_is_for_root_alone(root_pool):
    node = root_pool.nodes[0]
    run = os.path.join(root_pool.run, node.address)
    mode = os.stat(os.path.join(run, "control")).st_mode & 0o777
    assert mode & 0o077 == 0 or os.stat(run).st_mode & 0o077 == 0, oct(mode)
    result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.path.join(pool_module.PREFIX, "bin/waypost"),
                             "-c", root_pool.conf, "status"], capture_output=True, env=node.env, text=True, timeout=60)
    assert result.returncode != 0
    assert re.search("root|permission|denied|no daemon", result.stderr)


def test_reload_and_stop(root_pool):
    node = root_pool.nodes[1]
    with Imap(node.address, root_pool.imap_port) as c:
        c.login_ok(root_pool.accounts["two@example.com"])
        assert node.tool("reload").returncode == 0
        c.ok("NOOP")
    with Imap(node.address, root_pool.imap_port) as c:
        c.login_ok(root_pool.accounts["two@example.com"])
    assert node.stop() == 0
    node.start()
    with Imap(node.address, root_pool.imap_port) as c:
        c.login_ok(root_pool.accounts["two@example.com"])
