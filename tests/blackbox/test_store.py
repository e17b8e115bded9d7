"""Mail on disk: several sessions, deliveries, IDLE; a Maildir that is missing, read-only or on a full disk."""
import concurrent.futures
import email
import imaplib
import os
import re
import resource
import shutil
import stat
import subprocess
import threading

import pytest

from client import Imap, Pop3
from pool import Account, Marks, chown, make_maildir, message, wait_for

POOL = {"nodes": 2, "accounts": [Account(f"u{i}@example.com", mailhost="127.0.0.2") for i in range(12)] + [
    Account("nomaildir@example.com", mailhost="127.0.0.2"),
    Account("nohome@example.com", mailhost="127.0.0.2"),
    Account("readonly@example.com", mailhost="127.0.0.2"),
    Account("notmaildir@example.com", mailhost="127.0.0.2"),
    Account("named@example.com", mailhost="127.0.0.2", fields={"mail": "Other/Mail.dir"}),
]}


@pytest.fixture
def account(pool, request):
    """An account not used by another test of this module."""
    used = pool.__dict__.setdefault("used", [])
    a = pool.accounts[f"u{len(used)}@example.com"]
    used.append(a)
    return a


def imap(pool, account, node="127.0.0.1"):
    return Imap(node, pool.imap_port).login_ok(account)


def exists(reply_or_lines):
    lines = getattr(reply_or_lines, "untagged", reply_or_lines)
    found = [re.match(rb"\* (\d+) EXISTS", u) for u in lines]
    return [int(m.group(1)) for m in found if m]


@pytest.mark.valgrind
def test_two_sessions_and_deliveries(pool, account):
    """Two imaplib sessions on one mailbox through different nodes, and mail from outside."""
    a, b = imaplib.IMAP4("127.0.0.1", pool.imap_port), imaplib.IMAP4("127.0.0.2", pool.imap_port)
    for c in (a, b):
        c.login(account.name, account.password)
        assert c.select("INBOX") == ("OK", [b"1"])
    pool.deliver(account, message("second"))
    pool.deliver(account, message("third"))
    for c in (a, b):
        c.untagged_responses.clear()
        c.noop()
        assert c.response("EXISTS")[1][-1] == b"3"
    # A flag that one sets, the other sees.
    assert a.store("2", "+FLAGS", "(\\Flagged work)")[0] == "OK"
    b.untagged_responses.clear()
    b.noop()
    assert any(b"2 (" in f and b"\\Flagged" in f and b"work" in f for f in b.response("FETCH")[1]), b.untagged_responses
    # A message that one expunges keeps its number for the other until that is told.
    a.store("1", "+FLAGS.SILENT", "(\\Deleted)")
    assert a.expunge() == ("OK", [b"1"])
    assert b"Subject: third" in b.fetch("3", "(BODY.PEEK[])")[1][0][1]
    b.untagged_responses.clear()
    b.noop()
    assert b.response("EXPUNGE")[1] == [b"1"]
    assert b"Subject: third" in b.fetch("2", "(BODY.PEEK[])")[1][0][1]
    # UIDs are the same in both and in a new one.
    uids = a.uid("SEARCH", "ALL")[1][0].split()
    assert b.uid("SEARCH", "ALL")[1][0].split() == uids and len(uids) == 2
    with imap(pool, account) as c:
        c.ok("SELECT INBOX")
        assert c.ok("UID SEARCH ALL").find(rb"^\* SEARCH").split()[2:] == uids
    a.logout()
    b.logout()


def test_both_move_and_expunge_at_once(pool, account):
    """Interleaved expunges of two sessions end with the same mailbox for both, nothing lost, nothing doubled."""
    for i in range(20):
        pool.deliver(account, message(f"m{i}"))
    with imap(pool, account) as a, imap(pool, account, "127.0.0.2") as b:
        a.ok("CREATE INBOX.Away")
        a.ok("SELECT INBOX")
        b.ok("SELECT INBOX")
        uids = [int(x) for x in a.ok("UID SEARCH ALL").find(rb"^\* SEARCH").split()[2:]]
        assert len(uids) == 21
        for i in range(10):
            a.ok(f"UID MOVE {uids[2 * i]} INBOX.Away")
            b.ok(f"UID STORE {uids[2 * i + 1]} +FLAGS.SILENT (\\Deleted)")
            b.ok(f"UID EXPUNGE {uids[2 * i + 1]}")
        for c in (a, b):
            c.ok("NOOP")
            assert c.ok("UID SEARCH ALL").find(rb"^\* SEARCH").split()[2:] == [str(uids[20]).encode()]
        assert b"MESSAGES 10" in a.ok("STATUS INBOX.Away (MESSAGES)").find(rb"^\* STATUS")


@pytest.mark.valgrind
def test_idle(pool, account):
    """A delivery, a flag and an expunge are reported to an idle session, also through the relay."""
    with imap(pool, account) as a, imap(pool, account, "127.0.0.2") as b:
        a.ok("SELECT INBOX")
        b.ok("SELECT INBOX")
        a.send("i IDLE\r\n")
        assert a.response().startswith(b"+")
        name = pool.deliver(account, message("while idle"))
        assert b"2 EXISTS" in next(iter([a_until(a, rb"2 EXISTS")]))
        b.ok("NOOP")
        b.ok("STORE 1 +FLAGS (\\Answered)")
        assert a_until(a, rb"1 FETCH .*\\Answered")
        b.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        b.ok("EXPUNGE")
        assert a_until(a, rb"1 EXPUNGE")
        a.send("DONE\r\n")
        assert a.finish("i").ok
        # Twice, and with the mailbox unchanged.
        a.send("j IDLE\r\n")
        assert a.response().startswith(b"+")
        a.send("DONE\r\n")
        assert a.finish("j").ok
        assert name


@pytest.mark.once
@pytest.mark.parametrize("sessions", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_all_idle_sessions_of_a_uid_are_told(pool, account, sessions):
    """However many: none has to poll because others have used up the limits of the uid."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    idle = []
    try:
        for _ in range(sessions):
            idle.append(imap(pool, account, "127.0.0.2"))
            idle[-1].ok("SELECT INBOX")
            idle[-1].send("i IDLE\r\n")
            assert idle[-1].response().startswith(b"+")
        pool.deliver(account, message("for all"))
        for c in idle:
            assert a_until(c, rb"2 EXISTS")
        assert "IDLE checks for changes" not in pool.nodes[1].log()
    finally:
        for c in idle:
            c.close()


def a_until(c, pattern):
    while True:
        one = c.response()
        if re.search(pattern, one):
            return one


def test_append_copy_and_what_is_on_disk(pool, account):
    """What was acknowledged is on disk, byte for byte, in Maildir format."""
    body = message("appended", "some text\r\n.\r\nwith a dot\r\n")
    with imap(pool, account) as c:
        reply = c.append("INBOX", body, "\\Seen \\Flagged", "01-Feb-2020 10:11:12 +0100")
        assert reply.ok and re.search(rb"\[APPENDUID \d+ \d+\]", reply.text)
        c.ok("SELECT INBOX")
        reply = c.ok("FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        one = reply.find(rb"^\* 2 FETCH")
        assert body in one and b"\\Seen" in one and b"\\Flagged" in one and b"RFC822.SIZE %d" % len(body) in one
        assert b'" 1-Feb-2020 09:11:12 +0000"' in one or b'" 1-Feb-2020 10:11:12 +0100"' in one
        c.ok("CREATE INBOX.Copies")
        assert re.search(rb"\[COPYUID \d+ [\d,:]+ [\d,:]+\]", c.ok("COPY 1:2 INBOX.Copies").text)
    names = os.listdir(os.path.join(account.maildir, "cur"))
    name = next(n for n in names if n.endswith(":2,FS"))
    assert ",S=%d" % len(body.replace(b"\r\n", b"\n")) in name
    with open(os.path.join(account.maildir, "cur", name), "rb") as f:
        assert f.read() == body.replace(b"\r\n", b"\n")
    assert len(os.listdir(os.path.join(account.maildir, ".Copies", "cur"))) == 2
    assert os.path.exists(os.path.join(account.maildir, ".Copies", "maildirfolder"))
    left = os.listdir(os.path.join(account.maildir, "tmp"))
    assert all("courier" in n or n == "uidv.Copies" for n in left), left  # the last: the UIDVALIDITY that the name had
    with Pop3("127.0.0.1", pool.pop3_port) as p:
        p.login_ok(account)
        lines = p.multi("RETR 2")
        assert b"\r\n".join(lines) + b"\r\n" == body


def test_pop3_deletes_only_at_quit(pool, account):
    pool.deliver(account, message("to be deleted"))
    with Pop3("127.0.0.1", pool.pop3_port) as p:
        p.login_ok(account)
        uidl = p.multi("UIDL")
        p.ok("DELE 1")
        p.close()
    with Pop3("127.0.0.1", pool.pop3_port) as p:
        p.login_ok(account)
        assert p.multi("UIDL") == uidl
        p.ok("DELE 1")
        assert p.multi("LIST")[0].startswith(b"2 ")
        p.ok("RSET")
        p.ok("DELE 1")
        p.ok("QUIT")
    with Pop3("127.0.0.2", pool.pop3_port) as p:
        p.login_ok(account)
        left = p.multi("UIDL")
        assert len(left) == 1 and left[0].split()[1] == uidl[1].split()[1]


def test_folders(pool, account):
    """Courier's names by default: below INBOX., UTF-8 on disk, modified UTF-7 on the wire."""
    with imap(pool, account) as c:
        assert c.ok("NAMESPACE").find(rb'\(\("INBOX\." "\."\)\)')
        c.ok('CREATE "INBOX.d&AOk-j&AOA- vu"')
        c.ok("CREATE INBOX.a.b.c")
        c.ok('SUBSCRIBE "INBOX.d&AOk-j&AOA- vu"')
        names = [u.rsplit(b'"."', 1)[1].strip().strip(b'"') for u in c.ok('LIST "" "*"').untagged if b"LIST" in u]
        assert b"INBOX.d&AOk-j&AOA- vu" in names and b"INBOX.a.b.c" in names and b"INBOX" in names
        assert c.ok('LSUB "" "*"').find(rb"d&AOk-j&AOA- vu")
        c.ok('RENAME "INBOX.d&AOk-j&AOA- vu" INBOX.seen')
        c.ok("DELETE INBOX.a.b.c")
        assert c.cmd("DELETE INBOX").status == "NO"
        assert c.cmd("SELECT INBOX.nonsuch").status == "NO"
        assert c.cmd("APPEND INBOX.nonsuch {3+}\r\nabc").text.startswith(b"NO [TRYCREATE]")
    assert os.path.isdir(os.path.join(account.maildir, ".seen"))
    assert not os.path.exists(os.path.join(account.maildir, ".déjà vu"))


@pytest.mark.once
def test_the_umask_of_imap_is_not_that_of_pop3(make_pool):
    """Courier's POP3 server has no setting of its own: its files have the default umask, 022."""
    p = make_pool(nodes=1, accounts=[Account("mode@example.com")], settings={"imapd": {"IMAP_UMASK": "077"}})
    account = p.accounts["mode@example.com"]

    def mode(*name):
        return stat.S_IMODE(os.stat(os.path.join(account.maildir, *name)).st_mode)

    with Pop3("127.0.0.1", p.pop3_port) as c:
        c.login_ok(account)
        c.multi("UIDL")
        c.ok("QUIT")
    assert mode("courierpop3dsizelist") == 0o644
    with imap(p, account) as c:
        assert c.append("INBOX", message("mine alone")).ok
        c.ok("SELECT INBOX")
    cur = os.listdir(os.path.join(account.maildir, "cur"))
    assert 0o600 in [mode("cur", name) for name in cur] and mode("courierimapuiddb") == 0o600


def test_named_maildir(pool):
    account = pool.accounts["named@example.com"]
    os.makedirs(os.path.join(account.home, "Other"))
    chown(os.path.join(account.home, "Other"))
    pool_maildir = make_maildir(os.path.join(account.home, "Other", "Mail.dir"))
    from pool import deliver
    deliver(pool_maildir, message("in the other one"))
    with imap(pool, account) as c:
        assert c.subjects() == ["in the other one"]


def refused(pool, account, words):
    """A clear error for the client by both protocols (never 'wrong password'), and a log line that says what to do."""
    for node in ("127.0.0.2", "127.0.0.1"):
        marks = Marks(pool)
        with Imap(node, pool.imap_port) as c:
            c.send(f"a LOGIN {account.name} {account.password}\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
            text = c.rest()
            assert b"AUTHENTICATIONFAILED" not in text
            assert re.search(rb"^a NO \[|^\* BYE|^b NO", text, re.M), text
        wait_for(f"{words} in the log", lambda: re.search(words, marks.text()))
        marks = Marks(pool)
        with Pop3(node, pool.pop3_port) as c:
            answer = c.login(account.name, account.password)
            if answer.startswith(b"+OK"):
                answer = c.line()
            assert answer.startswith(b"-ERR") and b"[AUTH]" not in answer, answer
        wait_for(f"{words} in the log", lambda: re.search(words, marks.text()))


def test_locked_account_is_refused_by_both_protocols(pool, account):
    """chmod +t on the home: Courier's lock while an account is moved."""
    home = account.home
    mode = os.stat(home).st_mode
    os.chmod(home, mode | stat.S_ISVTX)
    try:
        for node in ("127.0.0.1", "127.0.0.2"):
            with Imap(node, pool.imap_port) as c:
                reply = c.login(account.name, account.password)
                assert reply.status == "NO" and b"[UNAVAILABLE]" in reply.text, reply.text
            with Pop3(node, pool.pop3_port) as p:
                assert p.login(account.name, account.password).startswith(b"-ERR [SYS/TEMP]")
    finally:
        os.chmod(home, mode)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
    for program in ("imapd", "pop3d"):
        pool.node("127.0.0.2").wait_log(f"{program}: LOCKED, user={account.name}")


def test_missing_maildir(pool):
    account = pool.accounts["nomaildir@example.com"]
    shutil.rmtree(account.maildir)
    refused(pool, account, re.escape(account.maildir))


def test_missing_home(pool):
    account = pool.accounts["nohome@example.com"]
    shutil.rmtree(account.home)
    refused(pool, account, re.escape(account.home))


def test_maildir_is_a_file(pool):
    account = pool.accounts["notmaildir@example.com"]
    shutil.rmtree(account.maildir)
    with open(account.maildir, "w") as f:
        f.write("not a folder")
    refused(pool, account, re.escape(account.maildir))


def test_read_only_maildir(pool):
    """Mail can be read or is clearly refused; nothing is acknowledged that did not happen; the log says what to do."""
    account = pool.accounts["readonly@example.com"]
    with imap(pool, account) as c:
        c.ok("SELECT INBOX")
    folders = [account.maildir] + [os.path.join(account.maildir, x) for x in ("cur", "new", "tmp")]
    marks = Marks(pool)
    try:
        for folder in folders:
            os.chmod(folder, 0o500)
        with Imap("127.0.0.1", pool.imap_port) as c:
            if c.login(account.name, account.password).ok:
                if c.cmd("SELECT INBOX").ok:
                    assert c.cmd("FETCH 1 (BODY.PEEK[])").find(b"readonly@example.com lives on")
                    reply = c.cmd("STORE 1 +FLAGS (\\Flagged)")
                    assert reply.status == "NO", reply
                reply = c.append("INBOX", message("does not go in"))
                assert reply.status == "NO" and len(reply.text) > 8, reply
                assert c.cmd("CREATE INBOX.new").status == "NO"
                c.ok("NOOP")
        text = wait_for("a log line that names the place", lambda: marks.text() if account.maildir in marks.text() else None)
        assert re.search(r"(?i)read-only|permission|denied", text)
        with Pop3("127.0.0.1", pool.pop3_port) as c:
            if c.login(account.name, account.password).startswith(b"+OK"):
                c.ok("STAT")
    finally:
        for folder in folders:
            os.chmod(folder, 0o700)
    with imap(pool, account) as c:
        assert c.subjects() == ["readonly@example.com lives on 127.0.0.2"]


def small_disk(account):
    """1 MB for the account's Maildir; False where this cannot be had."""
    if os.getuid() != 0:
        return False
    shutil.rmtree(account.maildir)
    os.mkdir(account.maildir)
    options = f"size=1m,uid={account.uid},gid={account.gid},mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", account.maildir], capture_output=True).returncode:
        return False
    make_maildir(account.maildir)
    return True


def test_disk_full_at_append(make_pool):
    """A clear NO, a log line, and all that was acknowledged is still there."""
    p = make_pool(nodes=1, accounts=[Account("full@example.com")], start=False)
    account = p.accounts["full@example.com"]
    mounted = small_disk(account)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        make_maildir(account.maildir)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        p.start()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        node = p.nodes[0]
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login_ok(account)
            kept = 0
            reply = None
            for i in range(40):
                reply = c.append("INBOX", message(f"m{i}", "x" * 70 + "\r\n") + b"y" * 100000 + b"\r\n")
                if not reply.ok:
                    break
                kept += 1
                if not mounted:
                    reply = c.append("INBOX", message("too big") + b"z" * (2 << 20) + b"\r\n")
                    break
            assert reply.status == "NO" and kept > 0, reply
            assert len(reply.text) > 8, "the client is told why"
            c.ok("NOOP")
            c.ok("SELECT INBOX")
            subjects = c.subjects()
            assert [s for s in subjects if s.startswith("m")] == [f"m{i}" for i in range(kept)]
            node.wait_log(r"(?i)no space|full|too large|File too large")
            c.cmd(r"STORE 1 +FLAGS.SILENT (\Deleted)")
            c.ok("EXPUNGE")
            assert c.append("INBOX", message("fits again")).ok
        assert not [n for n in os.listdir(os.path.join(account.maildir, "tmp")) if ",S=" in n or ".M" in n]
        with Pop3("127.0.0.1", p.pop3_port) as c:
            c.login_ok(account)
            assert "fits again" in c.subjects()
        assert node.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if mounted:
            subprocess.run(["umount", "-l", account.maildir], check=True)


def test_real_world_mail(pool, account):
    """ENVELOPE and BODYSTRUCTURE of unusual messages are well-formed; BODY[] is the message."""
    samples = [
        b"",
        b"\r\n",
        b"no header at all\r\n",
        b"Subject: only\r\n",
        b"Subject: =?utf-8?Q?caf=C3=A9?=\r\nFrom: \"a\\\"b\" <x@y>, (comment) z\r\n\r\nx",
        b"From: a@b\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\r\npart\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: inner\r\n\r\nhi\r\n--b--\r\nepilogue",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\n--x--\r\n",
        b"Content-Type: ;;;===\r\nContent-Disposition: attachment; filename*=utf-8''%e2%82%ac\r\nMIME-Version: 1.0\r\n\r\nbody",
        b"Subject: \xff\xfe 8-bit\r\nTo: undisclosed-recipients:;\r\nDate: never\r\n\r\n\x00nul\x01",
        b"To: group: a@b, c@d;, e@f\r\nReply-To: <>\r\nIn-Reply-To: \"x\" <y>\r\nSubject:\r\n folded\r\n\tagain\r\n\r\n.",
        b"X: " + b"y" * 100000 + b"\r\n\r\n" + b"z" * 100000,
        b"Content-Type: multipart/mixed; boundary=\"" + b"q" * 200 + b"\"\r\n\r\n--" + b"q" * 200 + b"\r\n" * 50,
    ]
    with imap(pool, account) as c:
        c.ok("CREATE INBOX.odd")
        for data in samples:
            if data:
                c.append("INBOX.odd", data.replace(b"\0", b"?"))
        c.ok("SELECT INBOX.odd")
        n = len([s for s in samples if s])
        for i in range(1, n + 1):
            reply = c.ok(f"FETCH {i} (UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] "
                         f"BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[]<5.10>)")
            one = reply.find(rb"^\* %d FETCH" % i)
            assert one.count(b"(") - 0 >= 2 and b"ENVELOPE (" in one and b"BODYSTRUCTURE (" in one
        parsed = email.message_from_bytes(c.ok("FETCH 4 (BODY.PEEK[])").untagged[0].split(b"}\r\n", 1)[1][:-1])
        assert parsed["Subject"]
        # The same by a library that parses strictly.
    lib = imaplib.IMAP4("127.0.0.2", pool.imap_port)
    lib.login(account.name, account.password)
    lib.select("INBOX.odd")
    status, data = lib.fetch("1:*", "(ENVELOPE BODYSTRUCTURE)")
    assert status == "OK" and len([d for d in data if d]) >= n
    lib.logout()


def test_old_mail_is_stored_while_others_open_the_folder(pool, account):
    """APPEND with an old date and COPY of old mail, beside mail programs that open the folder all the time."""
    stop = threading.Event()

    def open_it_again_and_again():
        c = imap(pool, account)
        while not stop.is_set():
            c.ok("SELECT INBOX")
            c.ok("SELECT INBOX.Old")
        c.ok("LOGOUT")

    def look_for_mail():
        while not stop.is_set():
            with Pop3("127.0.0.2", pool.pop3_port) as p:
                p.login_ok(account)
                p.ok("STAT")
                p.ok("QUIT")
    with imap(pool, account) as c:
        c.ok("CREATE INBOX.Old")
        with concurrent.futures.ThreadPoolExecutor() as threads:
            others = [threads.submit(f) for f in (open_it_again_and_again, open_it_again_and_again, look_for_mail)]
            try:
                for i in range(150):
                    date = "10-Jan-2008 10:00:%02d +0000" % (i % 60)
                    reply = c.append("INBOX", message(f"old {i}"), date=date)
                    assert reply.ok, reply
                c.ok("SELECT INBOX")
                uids = c.ok("UID SEARCH BEFORE 1-Jan-2009").find(rb"SEARCH").split()[2:]
                assert len(uids) == 150
                for _ in range(3):
                    c.ok(b"UID COPY " + b",".join(uids) + b" INBOX.Old")
                c.ok(b"UID MOVE " + b",".join(uids) + b" INBOX.Old")
            finally:
                stop.set()
            for one in others:
                one.result()
        c.ok("SELECT INBOX.Old")
        dates = [re.search(rb'INTERNALDATE "([^"]*)"', u).group(1) for u in c.ok("FETCH 1:* INTERNALDATE").untagged if b"INTERNALDATE" in u]
        assert len(dates) == 600 and all(d.startswith(b"10-Jan-2008 10:00:") for d in dates), set(dates)
    assert not os.listdir(os.path.join(account.maildir, ".Old", "tmp"))


def test_what_is_no_regular_file_is_no_message(pool, account):
    """A folder, a link and a pipe among the messages: not counted, harmless, and logged once."""
    cur = os.path.join(account.maildir, "cur")
    os.mkdir(os.path.join(cur, "1.dir:2,S"))
    os.symlink("/etc/passwd", os.path.join(cur, "2.link:2,S"))
    os.mkfifo(os.path.join(account.maildir, "new", "3.pipe"))
    node = pool.node(account.mailhost)
    mark = node.log_mark()
    with imap(pool, account) as c:
        c.ok("CREATE INBOX.To")
        assert exists(c.ok("SELECT INBOX")) == [1]
        assert c.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1\b")
        c.ok("STORE 1:* +FLAGS (\\Deleted)")
        assert c.ok("COPY 1:* INBOX.To").text
        c.ok("MOVE 1:* INBOX.To")
        c.ok("EXPUNGE")
        assert exists(c.ok("SELECT INBOX.To")) == [2]
        c.ok("SELECT INBOX")
    with Pop3("127.0.0.1", pool.pop3_port) as p:
        p.login_ok(account)
        assert p.ok("STAT").split()[1] == b"0"
    node.wait_log("imapd.*is not a regular file", mark)
    assert len([line for line in node.log_since(mark).splitlines() if "is not a regular file" in line and "imapd" in line]) == 1
    assert os.path.isdir(os.path.join(cur, "1.dir:2,S")) and os.path.islink(os.path.join(cur, "2.link:2,S"))
