"""Real mail programs against the pool, each through a node that does not have the mail."""
import fcntl
import mailbox
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

from client import Imap
from pool import PATIENCE, SLOW, Account, message, wait_for

pytestmark = pytest.mark.once

PROGRAMS = ["curl", "mbsync", "fetchmail", "mutt"]
POOL = {"nodes": 2, "accounts": [Account(f"{p}@example.com", mailhost="127.0.0.2") for p in PROGRAMS] +
        [Account("odd@example.com", password='q"u\\o te%41', mailhost="127.0.0.2"), Account("fetchmail2@example.com", mailhost="127.0.0.2")]}
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm"}


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(argv, **kw):
    env = {**ENV, **kw.pop("env", {})}
    return subprocess.run(argv, env=env, capture_output=True, timeout=60 * SLOW, **kw)


# What keeps mutt from asking, or from leaving anything behind.
MUTT = """set record=""
set postponed=""
set confirmappend=no
set confirmcreate=no
set copy=no
set delete=yes
set quit=yes
set mark_old=no
set sleep_time=0
set imap_check_subscribed=no
set header_cache=""
set mbox_type=mbox
set wait_key=no
set move=no
"""


def in_terminal(argv, home, env=ENV):
    """Runs a program that wants a terminal, until it ends; returns what it wrote there."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, {**env, "HOME": str(home), "USER": "someone", "LOGNAME": "someone"})
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    screen = b""
    end = time.monotonic() + PATIENCE
    open_there = True
    while open_there and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                screen += os.read(fd, 65536)
            except OSError:
                open_there = False
    if open_there:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(fd)
    assert not open_there, f"{argv[0]} did not end: {screen[-2000:]!r}"
    return screen


@needs("curl")
class TestCurl:
    def curl(self, *args, **kw):
        result = run(["curl", "--silent", "--show-error", "--max-time", "50", *args], **kw)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def test_imap(self, pool, tmp_path):
        base, user = f"imap://127.0.0.1:{pool.imap_port}", ["-u", "curl@example.com:secret-curl@example.com"]
        assert b"INBOX" in self.curl(*user, base + "/")
        assert b"curl@example.com lives on 127.0.0.2" in self.curl(*user, base + "/INBOX;MAILINDEX=1")
        body = message("from curl", "text\r\n" * 1000)
        (tmp_path / "mail").write_bytes(body)
        self.curl(*user, "-T", str(tmp_path / "mail"), base + "/INBOX")
        assert self.curl(*user, base + "/INBOX;MAILINDEX=2") == body
        assert b"2" in self.curl(*user, base + "/INBOX", "-X", "SEARCH SUBJECT curl")

    def test_pop3(self, pool):
        base, user = f"pop3://127.0.0.1:{pool.pop3_port}", ["-u", "curl@example.com:secret-curl@example.com"]
        assert self.curl(*user, base + "/").startswith(b"1 ")
        assert b"curl@example.com lives on 127.0.0.2" in self.curl(*user, base + "/1")

    @pytest.mark.parametrize("options", [[], ["--login-options", "AUTH=PLAIN"], ["--login-options", "AUTH=LOGIN"],
                                         ["--login-options", "AUTH=PLAIN", "--sasl-ir"]])
    def test_odd_password(self, pool, options):
        user = ["-u", "odd@example.com:" + pool.accounts["odd@example.com"].password, *options]
        assert b"odd@example.com lives" in self.curl(*user, f"imap://127.0.0.1:{pool.imap_port}/INBOX;MAILINDEX=1")
        assert b"odd@example.com lives" in self.curl(*user, f"pop3://127.0.0.1:{pool.pop3_port}/1")

    def test_wrong_password(self, pool):
        for url in (f"imap://127.0.0.1:{pool.imap_port}/", f"pop3://127.0.0.1:{pool.pop3_port}/"):
            result = run(["curl", "-s", "-u", "curl@example.com:wrong", url])
            assert result.returncode == 67  # login denied


@needs("mbsync")
def test_mbsync_two_way(pool, tmp_path):
    """New mail, flags and deletions are synchronised in both directions."""
    account = pool.accounts["mbsync@example.com"]
    local = tmp_path / "local"
    local.mkdir()
    rc = tmp_path / "mbsyncrc"
    rc.write_text(f"""
IMAPAccount pool
Host 127.0.0.1
Port {pool.imap_port}
User {account.name}
Pass {account.password}
SSLType None
AuthMechs LOGIN

IMAPStore there
Account pool

MaildirStore here
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel both
Far :there:
Near :here:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
""")
    rc.chmod(0o600)

    def sync():
        result = run(["mbsync", "-c", str(rc), "-a"], env={"HOME": str(tmp_path)})
        assert result.returncode == 0, result.stdout + result.stderr

    def near():
        return {m["Subject"]: m for m in mailbox.Maildir(str(local / "INBOX"), create=False)}
    for i in range(5):
        pool.deliver(account, message(f"far {i}"))
    sync()
    assert set(near()) == {f"far {i}" for i in range(5)} | {"mbsync@example.com lives on 127.0.0.2"}
    # Here: a new message, a flag, a deletion.
    box = mailbox.Maildir(str(local / "INBOX"), create=False)
    new = mailbox.MaildirMessage(message("near 0").replace(b"\r\n", b"\n"))
    new.set_subdir("cur")
    new.set_flags("S")
    box.add(new)
    for key, m in box.items():
        if m["Subject"] == "far 0":
            m.set_subdir("cur")
            m.set_flags("F")
            box[key] = m
        if m["Subject"] == "far 1":
            box.remove(key)
    # There: the same.
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        c.ok("SELECT INBOX")
        n = c.ok('SEARCH SUBJECT "far 2"').find(rb"SEARCH").split()[2].decode()
        c.ok(f"STORE {n} +FLAGS (\\Answered)")
        n = c.ok('SEARCH SUBJECT "far 3"').find(rb"SEARCH").split()[2].decode()
        c.ok(f"STORE {n} +FLAGS (\\Deleted)")
        c.ok("EXPUNGE")
        c.ok("CREATE INBOX.Sub")
        assert c.append("INBOX.Sub", message("in a folder")).ok
    sync()
    sync()
    want = {"far 0", "far 2", "far 4", "near 0", "mbsync@example.com lives on 127.0.0.2"}
    assert set(near()) == want
    assert "R" in near()["far 2"].get_flags()
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        assert set(c.subjects()) == want
        n = c.ok('SEARCH SUBJECT "far 0"').find(rb"SEARCH").split()[2]
        assert b"\\Flagged" in c.ok(b"FETCH " + n + b" (FLAGS)").untagged[0]
        n = c.ok('SEARCH SUBJECT "near 0"').find(rb"SEARCH").split()[2]
        assert b"\\Seen" in c.ok(b"FETCH " + n + b" (FLAGS)").untagged[0]
    assert any("in a folder" in open(os.path.join(d, f), errors="replace").read()
               for d, _, files in os.walk(local) for f in files if not f.startswith("."))


@needs("fetchmail")
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_fetchmail(pool, tmp_path, protocol):
    """IMAP with keep, POP3 with fetch and delete."""
    account = pool.accounts["fetchmail@example.com" if protocol == "imap" else "fetchmail2@example.com"]
    for i in range(3):
        pool.deliver(account, message(f"m{i}", "line\r\n.dot\r\n" * 50))
    inbox = tmp_path / "inbox"
    rc = tmp_path / "fetchmailrc"
    port = pool.imap_port if protocol == "imap" else pool.pop3_port
    rc.write_text(f'poll 127.0.0.1 protocol {protocol} service {port} user "{account.name}" password "{account.password}"\n'
                  f'  {"keep" if protocol == "imap" else "fetchall nokeep"} sslproto "" mda "/bin/cat >> {inbox}"\n')
    rc.chmod(0o600)

    def fetch():
        return run(["fetchmail", "-f", str(rc), "--nodetach", "--nosyslog", "-v"],
                   env={"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LOGNAME": "someone", "USER": "someone"})
    result = fetch()
    assert result.returncode == 0, result.stdout + result.stderr
    text = inbox.read_text()
    for i in range(3):
        assert f"Subject: m{i}" in text
    assert text.count("\n.dot\n") == 150
    assert fetch().returncode == 1  # nothing new
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        c.ok("SELECT INBOX")
        left = c.ok("SEARCH ALL").find(rb"SEARCH").split()[2:]
        assert len(left) == (4 if protocol == "imap" else 0)


@needs("mutt")
def test_mutt(pool, tmp_path):
    """Batch: open, tag all, copy to a folder on the server and to a file here, delete one, sync, quit."""
    account = pool.accounts["mutt@example.com"]
    for i in range(4):
        pool.deliver(account, message(f"mutt {i}"))
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        c.ok("CREATE INBOX.Copies")
    copy = tmp_path / "copy.mbox"
    rc = tmp_path / "muttrc"
    url = f"imap://127.0.0.1:{pool.imap_port}/"
    rc.write_text(f"""
set imap_user="{account.name}"
set imap_pass="{account.password}"
set ssl_starttls=no
set ssl_force_tls=no
set folder="{url}"
set spoolfile="{url}INBOX"
{MUTT}""")
    commands = (f"<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{url}INBOX.Copies<enter>"
                f"<tag-prefix><copy-message><kill-line>{copy}<enter>"
                f"<untag-pattern>~A<enter><delete-pattern>~s<quote-char>mutt\\ 2<enter><sync-mailbox><quit>").replace("<quote-char>", " ")
    commands = commands.replace("~s mutt\\ 2", "~s 2")
    screen = in_terminal(["mutt", "-n", "-F", str(rc), "-f", url + "INBOX", "-e", f'push "{commands}"'], tmp_path)
    subjects = ["mutt@example.com lives on 127.0.0.2"] + [f"mutt {i}" for i in range(4)]
    text = copy.read_text() if copy.exists() else ""
    for s in subjects:
        assert f"Subject: {s}" in text, screen[-3000:]
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        assert sorted(c.subjects("INBOX.Copies")) == sorted(subjects)
        left = c.subjects()
    assert sorted(left) == sorted(set(subjects) - {"mutt@example.com lives on 127.0.0.2", "mutt 2"}) or \
        sorted(left) == sorted(set(subjects) - {"mutt 2"}), left


def test_nothing_is_left(pool):
    for node in pool.nodes:
        wait_for("all sessions ended", lambda: "@example.com" not in node.tool("who").stdout)
    assert not re.search(r"end=protocol", "".join(node.log() for node in pool.nodes))
