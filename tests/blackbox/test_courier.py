"""Courier serves a Maildir, then we do, then Courier again: UIDs, UIDLs, flags, keywords, subscriptions and folders stay.
Debian's courier-imap is only unpacked: its session programs are run directly on the Maildir, as its login programs would start
them."""
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from client import Imap, Pop3
from isolation import outside
from pool import GID, UID, Account, deliver, message

pytestmark = pytest.mark.once

PACKAGES = ["courier-imap", "courier-pop", "courier-base", "courier-authlib", "libcourier-unicode4", "libgamin0",
            "libgdbm6", "libidn12"]
POOL = {"nodes": 2, "accounts": [Account("old@example.com", mailhost="127.0.0.2"), Account("quota@example.com", mailhost="127.0.0.2")]}
MIB = 1 << 20


@pytest.fixture(scope="module")
def courier():
    """Folder with the unpacked packages."""
    root = tempfile.mkdtemp(prefix="wp-courier-", dir="/tmp")
    os.chmod(root, 0o755)
    try:
        result = subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=root, capture_output=True, text=True, timeout=300,
                                preexec_fn=outside)
        if result.returncode:
            pytest.skip(f"Debian's courier-imap cannot be had: {result.stderr.strip()[-200:]}")
        for name in os.listdir(root):
            if name.endswith(".deb"):
                subprocess.run(["dpkg", "-x", name, "."], cwd=root, check=True, timeout=60)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Courier:
    def __init__(self, root, account):
        self.root, self.account = root, account

    def run(self, program, commands, status=0, **env):
        # Without locks: there is no other session, and they wait for a service (FAM) that does not run.
        lib = os.path.join(self.root, "usr/lib")
        env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": f"{lib}:{lib}/x86_64-linux-gnu:{lib}/aarch64-linux-gnu", "HOME": self.account.home,
               "AUTHENTICATED": self.account.name, "AUTHADDR": self.account.name, "MAILDIR": self.account.maildir,
               "TCPREMOTEIP": "::ffff:127.0.0.1", "TCPREMOTEPORT": "999", "PROTOCOL": "IMAP", "IMAPLOGINTAG": "a0", "IMAP_KEYWORDS": "1",
               "IMAP_USELOCKS": "0", "IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE", "IMAP_MAILBOX_SANITY_CHECK": "1", **env}

        def drop():
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(GID)
                os.setuid(UID)
        result = subprocess.run([os.path.join(self.root, program), self.account.maildir], input=commands, env=env, cwd=self.account.home,
                                capture_output=True, timeout=60, preexec_fn=drop)
        assert result.returncode == status, result
        return result.stdout.decode()

    def imap(self, *commands):
        text = "".join(f"c{i} {c}\r\n" for i, c in enumerate(commands)) + "z LOGOUT\r\n"
        out = self.run("usr/bin/imapd", text.encode())
        for i, c in enumerate(commands):
            assert f"\nc{i} OK" in out, (c, out)
        return out

    def deliver(self, text, refused=False):
        """Delivers with the agent that maintains the quota."""
        self.run("usr/bin/deliverquota.courier", text, status=75 if refused else 0)

    def pop3(self, *commands):
        return self.run("usr/lib/courier/courier/courierpop3d", "".join(c + "\r\n" for c in (*commands, "QUIT")).encode())


def picture(text):
    """What a SELECT and FETCH (UID FLAGS) of one folder show: (uidvalidity, uidnext or None, {uid: flags})."""
    validity = re.search(r"UIDVALIDITY (\d+)", text).group(1)
    mail = {}
    for line in text.splitlines():
        m = re.match(r"\* \d+ FETCH \((.*)\)", line)
        if m and "UID" in line:
            uid = re.search(r"UID (\d+)", line).group(1)
            flags = re.search(r"FLAGS \(([^)]*)\)", line).group(1)
            mail[uid] = frozenset(f for f in flags.lower().split() if f != "\\recent")
    return validity, mail


FOLDERS = ["INBOX", "INBOX.Arbeit", "INBOX.d&AOk-j&AOA- vu", "INBOX.Arbeit.2023"]


def of_courier(c):
    return {f: picture(c.imap(f'SELECT "{f}"', "UID FETCH 1:* (UID FLAGS)")) for f in FOLDERS}


def uidls(text):
    return re.findall(r"^\d+ (\S+)\r?$", text.split("+OK", 2)[2], re.M)


def ours(pool, account):
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        found = {}
        for f in FOLDERS:
            lines = c.ok(f'SELECT "{f}"').untagged + c.ok("UID FETCH 1:* (UID FLAGS)").untagged
            found[f] = picture("\n".join(line.decode() for line in lines))
        subscribed = {u.rsplit(b'"."', 1)[1].strip().strip(b'"').decode() for u in c.ok('LSUB "" "*"').untagged if b"LSUB" in u}
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        c.login_ok(account)
        uidl = [line.split()[1].decode() for line in c.multi("UIDL")]
    return found, subscribed, uidl


def test_before_and_after(pool, courier):
    account = pool.accounts["old@example.com"]
    c = Courier(courier, account)
    for i in range(6):
        deliver(account.maildir, message(f"before {i}"), account.uid, account.gid)
    c.imap("CREATE INBOX.Arbeit", 'CREATE "INBOX.d&AOk-j&AOA- vu"', "CREATE INBOX.Arbeit.2023", "SUBSCRIBE INBOX.Arbeit", 'SUBSCRIBE "INBOX.d&AOk-j&AOA- vu"',
           "SELECT INBOX", "STORE 1 +FLAGS (\\Flagged $Label1 wichtig)", "STORE 2 +FLAGS (\\Seen \\Answered)", "STORE 3 +FLAGS (\\Deleted)",
           "STORE 4 +FLAGS (\\Draft wichtig)", "COPY 1:4 INBOX.Arbeit", "COPY 5 INBOX.Arbeit.2023", "COPY 2 \"INBOX.d&AOk-j&AOA- vu\"", "EXPUNGE")
    c.pop3("UIDL", "RETR 1", "DELE 4")
    for i in range(2):
        deliver(account.maildir, message(f"later {i}"), account.uid, account.gid)
    before = of_courier(c)
    before_uidl = uidls(c.pop3("UIDL"))
    assert len(before["INBOX"][1]) == 7 and len(before_uidl) == 7
    assert any("wichtig" in flags for flags in before["INBOX"][1].values())

    found, subscribed, uidl = ours(pool, account)
    assert found == before
    assert {"INBOX.Arbeit", "INBOX.d&AOk-j&AOA- vu"} <= subscribed
    assert uidl == before_uidl
    # Again, from the files that we have written now.
    assert ours(pool, account) == (found, subscribed, uidl)

    # Now we change things.
    with Imap("127.0.0.1", pool.imap_port) as i:
        i.login_ok(account)
        i.ok("SELECT INBOX")
        uids = [u.decode() for u in i.ok("UID SEARCH ALL").find(rb"SEARCH").split()[2:]]
        i.ok(f"UID STORE {uids[1]} +FLAGS (\\Flagged neu $Label1)")
        i.ok(f"UID STORE {uids[0]} -FLAGS (wichtig)")
        i.ok(f"UID STORE {uids[2]} +FLAGS.SILENT (\\Deleted)")
        i.ok("EXPUNGE")
        assert i.append("INBOX", message("appended by us"), "\\Seen anders").ok
        i.ok("CREATE INBOX.Neu")
        i.ok("SUBSCRIBE INBOX.Neu")
        i.ok("UNSUBSCRIBE INBOX.Arbeit")
        i.ok(f"UID COPY {uids[1]} INBOX.Arbeit")
    deliver(account.maildir, message("the last one"), account.uid, account.gid)
    found, subscribed, uidl = ours(pool, account)
    assert len(found["INBOX"][1]) == 8
    assert set(found["INBOX"][1]) >= set(before["INBOX"][1]) - {uids[2]}
    assert uidl[:6] == [u for n, u in enumerate(before_uidl) if n != 2]

    # Courier again: it shows the same as we do.
    after = of_courier(c)
    assert after == found
    assert uidls(c.pop3("UIDL")) == uidl
    text = c.imap('LSUB "" "*"')
    assert "INBOX.Neu" in text and not re.search(r'LSUB .*"INBOX\.Arbeit"\r?$', text, re.M)
    # Back once more to us.
    assert ours(pool, account)[0] == after


def test_old_formats_of_the_pop3_list(pool):
    """Version 2 of courierpop3dsizelist, and entries whose UIDL is the file's name."""
    account = pool.accounts["old@example.com"]
    for part in ("cur", "new"):
        for f in os.listdir(os.path.join(account.maildir, part)):
            os.unlink(os.path.join(account.maildir, part, f))
    names = ["1000000001.M1P1.host,S=20", "1000000002.M2P1.host,S=20", "1000000003.M3P1.host,S=20"]
    for name in names:
        path = os.path.join(account.maildir, "cur", name + ":2,S")
        with open(path, "w") as f:
            f.write("Subject: abcdefg\n\nx\n")
        if os.getuid() == 0:
            os.chown(path, account.uid, account.gid)
    path = os.path.join(account.maildir, "courierpop3dsizelist")
    with open(path, "w") as f:
        f.write(f"/2 7 12345\n{names[0]}:2,S 24 3:12345\n{names[1]}:2,S 24 4:0\n{names[2]}:2,S 24 0:0\n")
    if os.getuid() == 0:
        os.chown(path, account.uid, account.gid)
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        c.login_ok(account)
        assert [line.split()[1] for line in c.multi("UIDL")] == [b"UID3-12345", b"UID4", names[2].encode()]
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        c.login_ok(account)
        assert [line.split()[1] for line in c.multi("UIDL")] == [b"UID3-12345", b"UID4", names[2].encode()]
    assert open(path).readline().startswith("/3 ")


def quota_file(account):
    """(sum of bytes, sum of messages) as maildirsize has it; each line is whole."""
    with open(os.path.join(account.maildir, "maildirsize")) as f:
        lines = f.read().split("\n")[1:-1]
    assert all(re.fullmatch(r" *-?\d+ +-?\d+", line) for line in lines), lines
    return tuple(sum(int(line.split()[i]) for line in lines) for i in (0, 1))


def counted_anew(account):
    """The same from the files: Trash and messages marked as deleted do not count."""
    size = n = 0
    for folder in (d for d in os.listdir(account.maildir) if d.startswith(".") and d != ".Trash"):
        for part in ("cur", "new"):
            path = os.path.join(account.maildir, folder, part)
            for name in os.listdir(path) if os.path.isdir(path) else []:
                if "T" not in name.partition(":2,")[2]:
                    size, n = size + os.stat(os.path.join(path, name)).st_size, n + 1
    for part in ("cur", "new"):
        for name in os.listdir(os.path.join(account.maildir, part)):
            if "T" not in name.partition(":2,")[2]:
                size, n = size + os.stat(os.path.join(account.maildir, part, name)).st_size, n + 1
    return size, n


def test_delivery_agents_keep_a_quota_that_we_fill_and_empty(pool, courier):
    """20 MiB: what is appended through us counts, and what is deleted through us makes room."""
    account = pool.accounts["quota@example.com"]
    c = Courier(courier, account)
    path = os.path.join(account.maildir, "maildirsize")
    with open(path, "w") as f:
        f.write("%dS\n%12d %12d\n" % (20 * MIB, *counted_anew(account)))
    os.chown(path, account.uid, account.gid)
    big = message("big") + b"x" * (MIB - 4096)
    c.deliver(big)
    assert quota_file(account) == counted_anew(account)

    def agrees():
        assert quota_file(account) == counted_anew(account)
    with Imap("127.0.0.1", pool.imap_port) as i:
        i.login_ok(account)
        i.ok("CREATE INBOX.Sent")
        i.ok("CREATE INBOX.Trash")
        for n in range(10):
            assert i.append("INBOX", big).ok
        agrees()
        i.ok("SELECT INBOX")
        i.ok("COPY 1:11 INBOX.Sent")
        agrees()
        c.deliver(big, refused=True)
        i.ok("STORE 1:5 +FLAGS.SILENT (\\Deleted)")
        agrees()
        c.deliver(big)
        i.ok("STORE 1:4 -FLAGS.SILENT (\\Deleted)")
        agrees()
        c.deliver(big, refused=True)
        i.ok("MOVE 1:3 INBOX.Trash")
        agrees()
        c.deliver(big)
        i.ok("EXPUNGE")
        agrees()
        i.ok("SELECT INBOX.Sent")
        i.ok("STORE 1:6 +FLAGS (\\Deleted \\Seen)")
        i.ok("CLOSE")
        agrees()
        i.ok("RENAME INBOX.Sent INBOX.Gone")
        agrees()
        i.ok("DELETE INBOX.Gone")
        agrees()
        i.ok("DELETE INBOX.Trash")
        agrees()
    with Pop3("127.0.0.1", pool.pop3_port) as p:
        p.login_ok(account)
        for n in range(1, 4):
            p.ok(f"DELE {n}")
        p.ok("QUIT")
    agrees()
    used = counted_anew(account)[0]
    assert f"(STORAGE {(used + 1023) // 1024} {20 * 1024})" in c.imap("GETQUOTAROOT INBOX")
