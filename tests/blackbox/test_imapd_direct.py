"""The IMAP session server by itself (libexec/waypost/imapd --maildir), on a socket: every command and every error."""
import datetime
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import pytest

IMAPD = os.environ.get("WAYPOST_IMAPD") or os.path.join(os.environ.get("WAYPOST_PREFIX", "/usr/local"), "libexec", "waypost", "imapd")
WRAPPER = os.environ.get("WAYPOST_WRAPPER", "").split()
if WRAPPER == ["valgrind"]:
    WRAPPER += ["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite", "--num-callers=25"]
PATIENCE = 60.0 if WRAPPER else 15.0
ROOT = os.getuid() == 0
UID = int(os.environ.get("WAYPOST_TEST_UID", "65534"))  # as root, sessions run as this ordinary user
GID = int(os.environ.get("WAYPOST_TEST_GID", "65534"))

MESSAGE = (b"From: Ada <ada@example.com>\r\nTo: bob@example.com\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n"
           b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-Id: <1@example.com>\r\n\r\nHello Bob,\r\nthe body.\r\n")


class Gone(AssertionError):
    pass


class Imap:
    """One session server and its client's side of the socket."""

    def __init__(self, maildir, *options, tag="", limit=None, uid=UID, wrapper=None):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(PATIENCE)
        self.log = open(str(maildir) + ".log", "ab+")
        args = (wrapper or WRAPPER) + [IMAPD, "--maildir", str(maildir), *options] + (["--tag", tag] if tag else [])
        more = dict(user=uid, group=GID, extra_groups=[]) if ROOT else {}
        if limit is not None:  # a file that exceeds it fails as on a full disk
            def small_files():
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            more["preexec_fn"] = small_files
        self.process = subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=self.log, restore_signals=False, **more)
        theirs.close()
        self.buf = b""
        self.serial = 0
        self.greeting = self.line()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def fill(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Gone(f"closed; unread {self.buf!r}")
        self.buf += data

    def raw_line(self):
        while b"\r\n" not in self.buf:
            self.fill()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def line(self):
        """A line with the literals in it."""
        out = b""
        while True:
            part = self.raw_line()
            out += part
            m = re.search(rb"\{(\d+)\}$", part)
            if not m:
                return out
            n = int(m.group(1))
            while len(self.buf) < n:
                self.fill()
            out += b"\r\n" + self.buf[:n]
            self.buf = self.buf[n:]

    def until(self, tag):
        """(status, text, untagged lines) up to the reply tagged TAG."""
        untagged = []
        while True:
            line = self.line()
            if line.startswith(tag + b" "):
                status, _, text = line[len(tag) + 1:].partition(b" ")
                return status.decode(), text, untagged
            untagged.append(line)

    def cmd(self, text, *literals):
        """Runs TEXT, in which each "{}" stands for one of LITERALS, sent when the server says +."""
        self.serial += 1
        tag = b"t%d" % self.serial
        parts = (text if isinstance(text, bytes) else text.encode()).split(b"{}")
        data = tag + b" " + parts[0]
        early = []
        for literal, after in zip(literals, parts[1:]):
            self.send(data + b"{%d}\r\n" % len(literal))
            line = self.line()
            while not line.startswith(b"+"):
                if line.startswith(tag + b" "):
                    status, _, rest = line[len(tag) + 1:].partition(b" ")
                    return status.decode(), rest, early
                early.append(line)
                line = self.line()
            data = literal + after
        self.send(data + b"\r\n")
        status, rest, untagged = self.until(tag)
        return status, rest, early + untagged

    def ok(self, text, *literals):
        status, rest, untagged = self.cmd(text, *literals)
        assert status == "OK", (text, status, rest)
        self.text = rest
        return untagged

    def no(self, text, *literals):
        status, rest, untagged = self.cmd(text, *literals)
        assert status == "NO", (text, status, rest)
        self.untagged = untagged
        return rest

    def bad(self, text, *literals):
        status, rest, _ = self.cmd(text, *literals)
        assert status == "BAD", (text, status, rest)
        return rest

    def append(self, message=MESSAGE, mailbox="INBOX", flags="", date=""):
        self.ok(f"APPEND {mailbox} {flags + ' ' if flags else ''}{date + ' ' if date else ''}{{}}", message)
        return int(re.match(rb"\[APPENDUID \d+ (\d+)\]", self.text).group(1))

    def rest(self):
        try:
            while True:
                self.fill()
        except Gone:
            pass
        data, self.buf = self.buf, b""
        return data

    def close(self):
        self.sock.close()
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        self.log.seek(0)
        text = self.log.read().decode("utf-8", "replace")
        self.log.close()
        assert code == 0, text
        assert not re.search(r"Sanitizer|runtime error|bug in", text), text
        return text


def make_maildir(path):
    for sub in ("", "cur", "new", "tmp"):
        os.mkdir(os.path.join(path, sub))
        if ROOT:
            os.chown(os.path.join(path, sub), UID, GID)
    return path


def deliver(maildir, name, text=MESSAGE, folder=""):
    base = os.path.join(maildir, folder)
    with open(os.path.join(base, "tmp", name), "wb") as f:
        f.write(text.replace(b"\r\n", b"\n"))
    if ROOT:
        os.chown(os.path.join(base, "tmp", name), UID, GID)
    os.rename(os.path.join(base, "tmp", name), os.path.join(base, "new", name))


@pytest.fixture
def home():
    path = tempfile.mkdtemp(prefix="waypost-imapd-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def maildir(home):
    return make_maildir(os.path.join(home, "Maildir"))


@pytest.fixture
def start(maildir):
    sessions = []

    def make(*options, **kw):
        s = Imap(kw.pop("maildir", maildir), *options, **kw)
        sessions.append(s)
        return s
    yield make
    for s in sessions:
        if s.process.poll() is None or not s.log.closed:
            s.close()


@pytest.fixture
def imap(start):
    return start()


# --- Start and end ---

def test_greeting_answers_the_login(start):
    s = start(tag="a1")
    assert s.greeting.startswith(b"a1 OK [CAPABILITY IMAP4rev1 ") and b"AUTH=" not in s.greeting
    for word in b"LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE".split():
        assert word in s.greeting


def test_preauth(imap):
    assert imap.greeting.startswith(b"* PREAUTH [CAPABILITY IMAP4rev1 ")


@pytest.mark.valgrind
def test_missing_maildir(start, home):
    s = start(tag="a1", maildir=home + "/none")
    assert s.greeting.startswith(b"a1 NO [UNAVAILABLE]")
    assert s.line().startswith(b"* BYE")
    log = s.close()
    assert home + "/none" in log and "end=server" in log and not os.path.exists(home + "/none")


def test_maildir_without_cur(start, maildir):
    os.rmdir(os.path.join(maildir, "cur"))
    s = start(tag="a1")
    assert s.greeting.startswith(b"a1 NO [UNAVAILABLE]")
    assert maildir in s.close()


@pytest.mark.skipif(not ROOT, reason="only root can give a Maildir to somebody else")
def test_maildir_of_somebody_else(start, maildir):
    os.chown(maildir, 0, 0)
    s = start(tag="a1")
    assert s.greeting.startswith(b"a1 NO [UNAVAILABLE]")
    assert "chown" in s.close()


def test_logout_and_log_line(imap):
    assert imap.ok("LOGOUT")[0].startswith(b"* BYE ")
    assert imap.rest() == b""
    log = imap.close()
    assert re.search(r"LOGOUT, user=nobody, ip=\[.*\], port=\[\d+\], headers=0, body=0, rcvd=\d+, sent=\d+, time=\d+, "
                     r"session=direct, end=logout", log)


def test_disconnect(imap):
    assert "DISCONNECTED, user=nobody" in imap.close()


def test_half_close_gets_its_answers(imap):
    imap.send("a NOOP\r\nb CAPABILITY\r\n")
    imap.sock.shutdown(socket.SHUT_WR)
    data = imap.rest()
    assert b"a OK" in data and b"b OK" in data


@pytest.mark.parametrize("sig,end", [(signal.SIGTERM, "shutdown"), (signal.SIGUSR1, "kick")])
def test_signals(imap, sig, end):
    if WRAPPER:
        pytest.skip("the signal goes to the wrapper")
    imap.ok("NOOP")
    imap.process.send_signal(sig)
    assert imap.line().startswith(b"* BYE ")
    assert f"end={end}" in imap.close()


# --- Syntax ---

@pytest.mark.parametrize("line,start_of_answer", [
    ("", b"* BAD"), ("x", b"x BAD"), ("x ", b"x BAD"), ("+ NOOP", b"* BAD"), ("a FOO", b"a BAD"), ("a UID", b"a BAD"), ("a UID NOOP", b"a BAD"),
    ("a NOOP x", b"a BAD"), ("a  NOOP", b"a BAD"), ("a FETCH 1 FLAGS", b"a BAD"), ("a SELECT", b"a BAD"), ("a SELECT INBOX x", b"a BAD"),
    ("a SELECT \"INBOX", b"a BAD"), ("a LOGIN x y", b"a BAD"), ("a AUTHENTICATE PLAIN", b"a BAD"), ("a STARTTLS", b"a BAD"),
    ("a STATUS INBOX ()", b"a BAD"), ("a STATUS INBOX (FOO)", b"a BAD"), ("a LIST \"\"", b"a BAD"), ("a CREATE", b"a BAD"),
    ("a RENAME x", b"a BAD"), ("a APPEND INBOX", b"a BAD"), ("a APPEND INBOX x", b"a BAD"), ("a ID", b"a BAD"), ("a ID (\"x\")", b"a BAD"),
    ("a ENABLE", b"a BAD"), ("a IDLE x", b"a BAD"), ("a EXPUNGE", b"a BAD"), ("a CLOSE", b"a BAD"), ("a UNSELECT", b"a BAD"), ("a CHECK", b"a BAD"),
    ("a UID EXPUNGE 1", b"a BAD"), ("a NO\0OP", b"a BAD"), ("a SELECT IN\0BOX", b"a BAD"), ("a SELECT \"IN\0BOX\"", b"a BAD"), ("\0", b"* BAD"),
    ("a NOOP\r x", b"a BAD"), ("a\x80 NOOP", b"* BAD"),
])
def test_bad_syntax(imap, line, start_of_answer):
    imap.send(line.encode("latin-1") + b"\r\n")
    assert imap.line().startswith(start_of_answer)
    imap.ok("NOOP")


@pytest.mark.parametrize("command", [
    "FETCH", "FETCH 1", "FETCH 1 ()", "FETCH 1 (FLAGS", "FETCH 1 (FLAGS ALL)", "FETCH 1 FOO", "FETCH 0 FLAGS", "FETCH 2 FLAGS", "FETCH a FLAGS",
    "FETCH 1 BODY[", "FETCH 1 BODY[FOO]", "FETCH 1 BODY[]<0>", "FETCH 1 BODY[]<0.0>", "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[0]",
    "FETCH 1 FLAGS x", "STORE 1", "STORE 1 FLAGS", "STORE 1 FOO (\\Seen)", "STORE 1 FLAGS (\\Foo)", "STORE 1 FLAGS (\\Seen", "STORE 1 FLAGS \\*",
    "STORE 1 FLAGS (\\Seen) x", "STORE 1,9 +FLAGS (\\Seen)", "COPY 1", "COPY 1 INBOX x", "MOVE 1", "SEARCH", "SEARCH FOO", "SEARCH (ALL", "SEARCH ALL)",
    "SEARCH BEFORE x", "SEARCH NOT", "SEARCH OR ALL", "SEARCH LARGER x", "SEARCH UID", "SEARCH KEYWORD", "SEARCH CHARSET UTF-8", "SEARCH HEADER x",
    "SEARCH 0", "SEARCH 1:", "EXPUNGE 1", "UID EXPUNGE", "UID EXPUNGE x", "UID FETCH 0 FLAGS", "UID STORE 1 FLAGS", "CLOSE x",
    "SEARCH " + "(" * 200 + "ALL" + ")" * 199, "SEARCH " + "(" * 200 + "ALL" + ")" * 201, "SEARCH " + "NOT " * 200, "SEARCH ()",
    "SEARCH OR ALL (ALL", "SEARCH OR ALL)", "SEARCH OR (ALL) ", "SEARCH NOT (OR ALL)", "SEARCH " + "OR ALL " * 200,
])
def test_bad_syntax_selected(imap, command):
    imap.append()
    imap.ok("SELECT INBOX")
    imap.bad(command)
    imap.ok("NOOP")


def test_ten_errors_end_the_session(imap):
    for i in range(9):
        imap.bad("FOO")
    imap.ok("NOOP")
    for i in range(10):
        imap.bad("FOO")
    assert imap.line().startswith(b"* BYE")
    assert imap.rest() == b""
    assert "end=protocol" in imap.close()


TOO_LONG = 1100 * 1024


def memory(imap):
    """The session's memory in KiB."""
    with open(f"/proc/{imap.process.pid}/status") as f:
        return int(re.search(r"^RssAnon:\s*(\d+) kB", f.read(), re.M).group(1))


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b" {7+}\r\nz NOOP\r\n", b" {7+}\r\nz NOOP {5}\r\n"])
def test_line_that_is_too_long_is_bad_and_the_session_goes_on(imap, end):
    for tag in (b"a", b"b"):
        imap.send(tag + b" NOOP " + b"x" * TOO_LONG + end)
        assert imap.line().startswith(tag + b" BAD [TOOBIG]")
    imap.ok("NOOP")


def test_line_that_is_too_long_ends_with_the_connection(imap):
    imap.send(b"a NOOP " + b"x" * TOO_LONG)
    imap.sock.shutdown(socket.SHUT_WR)
    assert imap.rest() == b""
    assert "end=client" in imap.close()


def test_list_of_flags_is_bounded_with_its_repetitions(imap):
    imap.append()
    imap.ok("SELECT INBOX")
    keywords = [b"k%d" % i for i in range(1000)]
    imap.ok(b"STORE 1 +FLAGS.SILENT (" + b" ".join(keywords[:900] + [b"\\Seen"] * 200) + b")")
    imap.bad(b"STORE 1 +FLAGS.SILENT (" + b" ".join(keywords + keywords[:1]) + b")")
    imap.bad(b"STORE 1 +FLAGS.SILENT (" + b"k1 " * 300000 + b"k1)")
    imap.ok("NOOP")


def test_ten_long_lines_end_the_session(imap):
    for i in range(10):
        imap.send(b"a NOOP " + b"x" * TOO_LONG + b"\r\n")
        assert imap.line().startswith(b"a BAD [TOOBIG]")
    assert imap.line().startswith(b"* BYE")
    assert "end=protocol" in imap.close()


@pytest.mark.once
def test_set_of_a_mebibyte(imap):
    """Mail programs send such sets of UIDs; their memory is released."""
    imap.append()
    imap.ok("SELECT INBOX")
    before = memory(imap)
    uids = b",".join(b"%d" % n for n in range(1, 300000, 2))
    uids = uids[:uids.rindex(b",", 0, 1024 * 1024)]
    assert imap.ok(b"UID FETCH " + uids + b" UID") == [b"* 1 FETCH (UID 1)"]
    imap.ok(b"UID STORE " + uids + b" +FLAGS.SILENT (\\Seen)")
    assert imap.ok(b"UID SEARCH UID " + uids) == [b"* SEARCH 1"]
    imap.ok("NOOP")
    assert memory(imap) < before + 600


def test_long_line_in_one_command_by_literals(imap):
    imap.append()
    imap.ok("SELECT INBOX")
    imap.send(b"a SEARCH " + b"SUBJECT {1+}\r\nx " * 80000 + b"\r\n")
    assert imap.line().startswith(b"a BAD [TOOBIG]")
    imap.ok("NOOP")


@pytest.mark.valgrind
def test_large_literals(imap):
    imap.bad("SELECT {}", b"x" * 70000)
    imap.bad("SELECT {}", b"x" * 9000)  # a word has a limit of its own
    assert b"[TOOBIG]" in imap.bad("SELECT {}", b"x" * TOO_LONG)
    half = b"%d" % (TOO_LONG // 2)
    for tag in (b"b", b"c"):
        imap.send(tag + b" SEARCH SUBJECT {" + half + b"+}\r\n" + b"x" * int(half) + b" SUBJECT {" + half + b"+}\r\n" +
                  b"\r\nz LOGOUT\r\n".ljust(int(half)) + b"\r\n")
        assert imap.line().startswith(tag + b" BAD [TOOBIG]")
    imap.ok("NOOP")


@pytest.mark.parametrize("size", [b"0", b"3"])
def test_what_follows_a_refused_literal_may_come_later(imap, size):
    imap.send(b"a APPEND INBOX.None {" + size + b"+}\r\n" + b"x" * int(size))
    time.sleep(0.3)
    imap.send(b"\r\n")
    assert imap.line().startswith(b"a NO [TRYCREATE]")
    imap.ok("NOOP")


def test_client_that_goes_on_after_bye_keeps_no_process(imap):
    imap.send(b"a LOGOUT\r\n")
    end = time.monotonic() + PATIENCE
    while imap.process.poll() is None and time.monotonic() < end:
        try:
            imap.send(b"x")
        except OSError:
            pass
        time.sleep(0.1)
    assert imap.process.poll() == 0
    assert b"a OK" in imap.rest()


@pytest.mark.long
@pytest.mark.once
def test_literals_that_drip_in_end_the_session(start):
    """8 KiB a minute is what a literal has to bring: one that is refused, a part of a command, a message."""
    texts = (b"a SELECT {%d+}" % (2 * TOO_LONG), b"a SELECT {1000+}", b"a APPEND INBOX {1000+}", b"a NOOP " + b"x" * TOO_LONG)
    drips = (b"x", b"x", b"x", b" {1+}\r\nx")
    dripping = [(start(), drip) for drip in drips]
    for (s, _), text in zip(dripping, texts):
        s.send(text + b"\r\n" * text.endswith(b"}"))
    steady, sent = start(), 0
    steady.send(b"a SELECT {102400+}\r\n")
    end = time.monotonic() + 120
    while dripping and time.monotonic() < end:
        steady.send(b"x" * 200)
        sent += 200
        for s, drip in list(dripping):
            try:
                s.send(drip)
            except OSError:
                dripping.remove((s, drip))
                assert b"* BYE Disconnected for inactivity." in s.rest() and "end=idle" in s.close()
        time.sleep(0.5)
    assert not dripping
    steady.send(b"x" * (102400 - sent) + b"\r\n")
    assert steady.line().startswith(b"a BAD")
    steady.ok("NOOP")


def test_id_has_the_bounds_of_its_rfc(start):
    """RFC 2971: 30 pairs, keys of 30 octets, values of 1,024; and only what names the program is logged, once."""
    s = start()
    s.ok("ID (" + " ".join(f'"{i:030d}" "{"v" * 1024}"' for i in range(30)) + ")")
    for text in ('("%s" NIL)' % ("k" * 31), '("k" "%s")' % ("v" * 1025), "(" + '"k" NIL ' * 30 + '"k" NIL)', '("" NIL)', '("k")'):
        s.bad("ID " + text)
    s.ok('ID ("name" "mutt, ip=[1.2.3.4]" "command" "/?_token=secret" "version" "%s")' % ("1" * 1000))
    for i in range(20):
        s.ok('ID ("name" "again")')
    log = s.close()
    assert log.count("ID, ") == 1 and "secret" not in log and "again" not in log
    assert "name=mutt. ip=[1.2.3.4], version=1" in log and "1" * 101 not in log


def test_absurd_literal_sizes(start):
    for size in (b"99999999999999999999999", b"18446744073709551615", b"4294967296"):
        s = start()
        s.send(b"a SELECT {" + size + b"}\r\n")
        assert s.line().startswith(b"a BAD")
        s.ok("NOOP")
        s.close()


def test_cut_at_every_byte(start):
    """The same dialogue, sent in two pieces cut anywhere, gets the same replies."""
    dialogue = (b"a CREATE {9+}\r\nINBOX.Foo\r\nb APPEND INBOX.Foo (\\Seen) {7+}\r\nA: b\r\n\r\n\r\nc SELECT \"INBOX.Foo\"\r\n"
                b"d FETCH 1 (UID BODY.PEEK[HEADER.FIELDS ({1+}\r\nA)])\r\ne DELETE INBOX.Foo\r\nf IDLE\r\nDONE\r\ng LOGOUT\r\n")
    want = None
    whole = start()
    whole.send(dialogue)
    want = re.sub(rb"(APPENDUID|UIDVALIDITY) \d+", b"", whole.rest())
    assert all(t + b" OK" in want for t in (b"a", b"b", b"c", b"d", b"e", b"f", b"g")), want
    step = 13 if WRAPPER else 1
    for cut in range(1, len(dialogue), step):
        s = start()
        s.send(dialogue[:cut])
        time.sleep(0.001)
        s.send(dialogue[cut:])
        got = re.sub(rb"(APPENDUID|UIDVALIDITY) \d+", b"", s.rest())
        assert got == want, cut
        s.close()


def test_byte_by_byte(imap):
    for byte in b"a APPEND INBOX {3}\r\n":
        imap.send(bytes([byte]))
    assert imap.line().startswith(b"+")
    for byte in b"x\r\n\r\n":
        imap.send(bytes([byte]))
    assert imap.line().startswith(b"a OK")


def test_pipelined(imap):
    imap.send(b"".join(b"p%d NOOP\r\n" % i for i in range(2000)))
    for i in range(2000):
        assert imap.line() == b"p%d OK NOOP completed." % i


# --- Any state ---

@pytest.mark.valgrind
def test_capability_id_enable_namespace(imap):
    assert imap.ok("CAPABILITY")[0].startswith(b"* CAPABILITY IMAP4rev1 ")
    assert imap.ok('ID ("name" "test" "version" NIL)')[0].startswith(b'* ID ("name" "Waypost"')
    assert imap.ok("ID NIL") and imap.ok("ID ()")
    assert imap.ok("ENABLE CONDSTORE X-FOO") == [b"* ENABLED"]
    assert imap.ok("NAMESPACE") == [b'* NAMESPACE (("INBOX." ".")) NIL NIL']
    assert "ID, user=nobody" in imap.close()


def test_namespace_without_prefix(start):
    s = start("--prefix", "")
    assert s.ok("NAMESPACE") == [b'* NAMESPACE (("" ".")) NIL NIL']
    s.ok("CREATE Sent")
    s.ok("CREATE INBOX.Sub")
    assert s.ok('LIST "" *') == [b'* LIST (\\Unmarked \\HasChildren) "." "INBOX"', b'* LIST (\\HasNoChildren) "." "INBOX.Sub"',
                                 b'* LIST (\\HasNoChildren) "." "Sent"']
    assert s.ok('LIST "" %') == [b'* LIST (\\Unmarked \\HasChildren) "." "INBOX"', b'* LIST (\\HasNoChildren) "." "Sent"']
    assert s.ok('LIST "" inbox.sub') == []
    assert s.ok('LIST "" inbox.Sub') == [b'* LIST (\\HasNoChildren) "." "INBOX.Sub"']


# --- Folders ---

@pytest.mark.valgrind
def test_create_delete_rename(imap, maildir):
    imap.ok("CREATE INBOX.A")
    assert os.path.isdir(os.path.join(maildir, ".A", "cur"))
    assert b"[ALREADYEXISTS]" in imap.no("CREATE INBOX.A")
    assert b"[ALREADYEXISTS]" in imap.no("CREATE inbox")
    imap.ok("CREATE inbox.A.B.")
    assert os.path.isdir(os.path.join(maildir, ".A.B"))
    assert b"INBOX." in imap.no("CREATE Sent")
    for name in ("INBOX..x", "INBOX.a/b", '"INBOX.&bad"', "INBOX." + "x" * 300):
        assert b"[CANNOT]" in imap.no(f"CREATE {name}"), name
    imap.ok("RENAME INBOX.A INBOX.C")
    assert os.path.isdir(os.path.join(maildir, ".C.B"))
    assert b"[NONEXISTENT]" in imap.no("RENAME INBOX.A INBOX.D")
    assert b"[ALREADYEXISTS]" in imap.no("RENAME INBOX.C.B INBOX.C")
    assert b"[ALREADYEXISTS]" in imap.no("RENAME INBOX.C INBOX")
    imap.ok("DELETE INBOX.C")
    assert not os.path.exists(os.path.join(maildir, ".C")) and os.path.isdir(os.path.join(maildir, ".C.B"))
    assert b"[NONEXISTENT]" in imap.no("DELETE INBOX.X")
    assert b"[CANNOT]" in imap.no("DELETE INBOX")
    imap.no("DELETE INBOX.C")


def test_rename_inbox(imap):
    imap.append()
    imap.ok("RENAME INBOX INBOX.Old")
    assert b"MESSAGES 1" in imap.ok("STATUS INBOX.Old (MESSAGES)")[0]
    assert b"MESSAGES 0" in imap.ok("STATUS INBOX (MESSAGES)")[0]


def test_utf7_names(imap, maildir):
    imap.ok("CREATE INBOX.d&AOk-j&AOA-")
    assert os.path.isdir(os.path.join(maildir, ".d\u00e9j\u00e0"))
    assert imap.ok('LIST "" INBOX.d*') == [b'* LIST (\\HasNoChildren) "." "INBOX.d&AOk-j&AOA-"']
    imap.ok('CREATE "INBOX.a \\"b\\" \\\\c"')
    assert imap.ok('LIST "" "INBOX.a*"') == [b'* LIST (\\HasNoChildren) "." "INBOX.a \\"b\\" \\\\c"']


@pytest.mark.valgrind
def test_list(imap):
    for name in ("A", "A.B", "X.Y.Z"):
        imap.ok(f"CREATE INBOX.{name}")
    assert imap.ok('LIST "" ""') == [b'* LIST (\\Noselect) "." ""']
    assert imap.ok('LIST "" %') == [b'* LIST (\\Unmarked \\HasChildren) "." "INBOX"']
    assert imap.ok('LIST "" INBOX.%') == [b'* LIST (\\HasChildren) "." "INBOX.A"', b'* LIST (\\Noselect \\HasChildren) "." "INBOX.X"']
    assert imap.ok('LIST "INBOX." %') == imap.ok('LIST "" inbox.%')
    names = [line.split(b'"')[3] for line in imap.ok('LIST "" *')]
    assert names == [b"INBOX", b"INBOX.A", b"INBOX.A.B", b"INBOX.X", b"INBOX.X.Y", b"INBOX.X.Y.Z"]
    assert imap.ok('LIST "" {}', b"INBOX.A") == [b'* LIST (\\HasChildren) "." "INBOX.A"']
    assert imap.ok('LIST "" Nothing*') == []


def test_list_marks_new_mail(imap, maildir):
    deliver(maildir, "1000000001.M1P1.host")
    assert imap.ok('LIST "" INBOX') == [b'* LIST (\\Marked \\HasNoChildren) "." "INBOX"']


def test_hostile_patterns(imap):
    imap.ok("CREATE INBOX." + "a" * 200)
    begin = time.monotonic()
    for pattern in ("*a" * 1000 + "b", "%a" * 1000 + "b", "*%" * 4000, "*" * 8000):
        imap.ok(f'LIST "" {pattern}')
        imap.ok(f'LSUB "" {pattern}')
    assert time.monotonic() - begin < 10 * (6 if WRAPPER else 1)


def test_subscriptions(imap, maildir):
    imap.ok("CREATE INBOX.A")
    imap.ok("SUBSCRIBE INBOX.A")
    imap.ok("SUBSCRIBE INBOX")
    imap.ok("SUBSCRIBE INBOX.P.Q")
    imap.ok("SUBSCRIBE INBOX.P.R")
    rows = imap.ok('LSUB "" *')
    assert sorted(rows) == sorted(b'* LSUB () "." "%s"' % n for n in (b"INBOX", b"INBOX.A", b"INBOX.P.Q", b"INBOX.P.R"))
    assert sorted(imap.ok('LSUB "" INBOX.%')) == [b'* LSUB () "." "INBOX.A"', b'* LSUB (\\Noselect) "." "INBOX.P"']
    imap.ok("UNSUBSCRIBE INBOX.A")
    assert imap.ok('LSUB "" INBOX.A') == []
    assert b"INBOX.P.Q" in open(os.path.join(maildir, "courierimapsubscribed"), "rb").read()
    assert b"[CANNOT]" in imap.no("SUBSCRIBE Foo")


def test_status(imap, maildir):
    imap.append(flags="(\\Seen)")
    imap.append()
    deliver(maildir, "1000000001.M1P1.host")
    line = imap.ok("STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)")[0]
    m = re.match(rb'\* STATUS "INBOX" \(MESSAGES 3 RECENT (\d+) UIDNEXT (\d+) UIDVALIDITY \d+ UNSEEN 2\)$', line)
    assert m and int(m.group(2)) >= 4, line
    assert b"[NONEXISTENT]" in imap.no("STATUS INBOX.None (MESSAGES)")


# --- The selected mailbox ---

def test_select(imap, maildir):
    for i in range(3):
        deliver(maildir, f"100000000{i}.M1P1.host")
    lines = imap.ok("SELECT INBOX")
    assert imap.text.startswith(b"[READ-WRITE]")
    assert b"* 3 EXISTS" in lines and b"* 3 RECENT" in lines
    assert any(line.startswith(b"* OK [UNSEEN 1]") for line in lines)
    assert any(line.startswith(b"* OK [UIDVALIDITY ") for line in lines) and any(b"[UIDNEXT 4]" in line for line in lines)
    assert any(line.startswith(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft") for line in lines)
    assert any(b"[PERMANENTFLAGS (" in line and b"\\*)]" in line for line in lines)
    assert len(os.listdir(os.path.join(maildir, "cur"))) == 3
    lines = imap.ok("SELECT INBOX")
    assert b"* 3 EXISTS" in lines and b"* 0 RECENT" in lines


def test_examine_changes_nothing(imap, maildir):
    deliver(maildir, "1000000001.M1P1.host")
    lines = imap.ok("EXAMINE INBOX")
    assert imap.text.startswith(b"[READ-ONLY]") and b"* 1 RECENT" in lines and any(b"[PERMANENTFLAGS ()]" in line for line in lines)
    assert os.listdir(os.path.join(maildir, "new"))
    assert b"FLAGS" not in imap.ok("FETCH 1 BODY[]")[0]
    for command in ("STORE 1 +FLAGS (\\Seen)", "EXPUNGE", "MOVE 1 INBOX", "UID EXPUNGE 1"):
        assert b"[READ-ONLY]" in imap.no(command)
    imap.ok("CLOSE")
    assert os.listdir(os.path.join(maildir, "new")) == ["1000000001.M1P1.host"]


def test_failed_select_deselects(imap):
    imap.append()
    imap.ok("SELECT INBOX")
    assert b"[NONEXISTENT]" in imap.no("SELECT INBOX.None")
    imap.bad("FETCH 1 FLAGS")
    assert b"[NONEXISTENT]" in imap.no("SELECT Elsewhere")


def test_close_expunges_unselect_does_not(imap):
    imap.append(flags="(\\Deleted)")
    imap.ok("SELECT INBOX")
    assert imap.ok("UNSELECT") == []
    imap.bad("CHECK")
    assert b"* 1 EXISTS" in imap.ok("SELECT INBOX")
    imap.ok("CHECK")
    assert imap.ok("CLOSE") == []
    assert b"* 0 EXISTS" in imap.ok("SELECT INBOX")


def test_append_keeps_the_last_second_before_1970(imap):
    imap.append(date='"31-Dec-1969 23:59:59 +0000"')
    imap.ok("SELECT INBOX")
    told = re.search(rb'INTERNALDATE "([^"]*)"', imap.ok("FETCH 1 INTERNALDATE")[0]).group(1).decode().strip()
    assert datetime.datetime.strptime(told, "%d-%b-%Y %H:%M:%S %z").timestamp() == -1


def test_announced_parts_are_not_nil(imap):
    """A message part with only a header is that header; a multipart whose boundary never occurs has one empty part."""
    imap.append(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n--a\r\n"
                b"Content-Type: multipart/mixed; boundary=never\r\n\r\npreamble\r\n--a--\r\n")
    imap.ok("SELECT INBOX")
    assert b'"message" "rfc822" NIL NIL NIL "7bit" 12 (' in imap.ok("FETCH 1 BODYSTRUCTURE")[0]
    reply = imap.ok("FETCH 1 (BODY.PEEK[1] BODY.PEEK[1.HEADER] BODY.PEEK[1.TEXT] BODY.PEEK[1.1] BODY.PEEK[2.1] BODY.PEEK[2.2])")[0]
    assert reply.count(b"{12}\r\nSubject: x\r\n") == 2
    assert all(b"BODY[%s] {0}" % empty in reply for empty in (b"1.TEXT", b"1.1", b"2.1")) and b"BODY[2.2] NIL" in reply


@pytest.mark.valgrind
def test_append(imap, maildir):
    assert imap.append(flags="(\\Seen \\Flagged $Label)", date='" 7-Feb-1994 21:52:25 -0800"') == 1
    assert imap.append(b"A: b\n\nbare\n") == 2
    imap.ok("SELECT INBOX")
    line = imap.ok("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")[0]
    assert b"\\Flagged \\Seen $Label" in line.replace(b"\\Seen \\Flagged", b"\\Flagged \\Seen") and b"RFC822.SIZE %d" % len(MESSAGE) in line
    assert line.endswith(b"{%d}\r\n" % len(MESSAGE) + MESSAGE + b")")
    assert re.search(rb'INTERNALDATE "[ 0-3][0-9]-Feb-1994 ', line)
    assert imap.ok("FETCH 2 BODY.PEEK[]")[0].endswith(b"{14}\r\nA: b\r\n\r\nbare\r\n)")
    assert b"* 3 EXISTS" in imap.ok("APPEND INBOX {}", MESSAGE)
    assert b"[TRYCREATE]" in imap.no("APPEND INBOX.None {}", MESSAGE)
    assert b"[TRYCREATE]" in imap.no("APPEND Elsewhere {}", MESSAGE)
    imap.send(b"n APPEND INBOX.None {4+}\r\nA:b\n\r\nm NOOP\r\n")
    assert imap.line().startswith(b"n NO [TRYCREATE]") and imap.line().startswith(b"m OK")
    imap.no("APPEND INBOX {}", b"")
    imap.bad("APPEND INBOX (\\Foo) {}", MESSAGE)
    imap.bad('APPEND INBOX "yesterday" {}', MESSAGE)
    imap.ok("APPEND {} {}", b"INBOX", MESSAGE)
    imap.send(b"o APPEND INBOX {4+}\r\nA:b\n {4+}\r\nA:b\n\r\np NOOP\r\n")  # no MULTIAPPEND
    assert imap.until(b"o")[0] == "BAD" and imap.until(b"p")[0] == "OK"
    assert len(os.listdir(os.path.join(maildir, "cur"))) == 4
    assert os.listdir(os.path.join(maildir, "tmp")) == []


def test_append_nul_and_large(imap):
    imap.ok("APPEND INBOX {}", b"A: b\r\n\r\nx\0y\r\n")
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 200000
    imap.append(big)
    imap.ok("SELECT INBOX")
    assert imap.ok("FETCH 1 BODY.PEEK[TEXT]")[0].endswith(b"x\x80y\r\n)")
    assert imap.ok("FETCH 2 BODY.PEEK[]")[0].endswith(big + b")")
    part = imap.ok("FETCH 2 BODY.PEEK[]<3000000.100>")[0]
    assert part.endswith(b"BODY[]<3000000> {100}\r\n" + big[3000000:3000100] + b")")


def test_append_interrupted(start, maildir):
    s = start()
    s.send(b"a APPEND INBOX {1000+}\r\nhalf a message")
    s.close()
    assert os.listdir(os.path.join(maildir, "cur")) == [] and os.listdir(os.path.join(maildir, "new")) == []
    assert os.listdir(os.path.join(maildir, "tmp")) == []


@pytest.mark.valgrind
def test_fetch(imap):
    imap.append()
    imap.ok("SELECT INBOX")
    line = imap.ok("FETCH 1 ALL")[0]
    assert line.startswith(b"* 1 FETCH (FLAGS (") and b'ENVELOPE ("Mon, 7 Feb 1994 21:52:25 -0800"' in line and b'(("Ada" NIL "ada" "example.com"))' in line
    assert b"BODY (" in imap.ok("FETCH 1 FULL")[0] and b"ENVELOPE" not in imap.ok("FETCH 1 FAST")[0]
    assert imap.ok("FETCH 1 (BODYSTRUCTURE)")[0].startswith(b'* 1 FETCH (BODYSTRUCTURE ("text" "plain"'.replace(b'"text" "plain"', b'"'))
    assert imap.ok("FETCH 1 RFC822.HEADER")[0].startswith(b"* 1 FETCH (RFC822.HEADER {")
    assert imap.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (subject)]")[0] == (
        b"* 1 FETCH (BODY[HEADER.FIELDS (subject)] {40}\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\n)")
    assert b"\\Seen" not in imap.ok("FETCH 1 FLAGS")[0]
    line = imap.ok("FETCH 1 BODY[TEXT]")[0]
    assert b"Hello Bob" in line and b"FLAGS (\\Seen" in line
    assert b"FLAGS" not in imap.ok("FETCH 1 BODY[TEXT]")[0]
    assert imap.ok("FETCH 1 BODY.PEEK[9]") == [b"* 1 FETCH (BODY[9] NIL)"]
    assert imap.ok("FETCH 1 (BODY.PEEK[HEADER.FIELDS (To)] BODY.PEEK[TEXT]<0.5> UID)")[0] == (
        b"* 1 FETCH (UID 1 BODY[HEADER.FIELDS (To)] {23}\r\nTo: bob@example.com\r\n\r\n BODY[TEXT]<0> {5}\r\nHello)")
    assert imap.ok("FETCH 1 BODY.PEEK[TEXT]<9999.5>")[0] in (b'* 1 FETCH (BODY[TEXT]<9999> {0}\r\n)', b'* 1 FETCH (BODY[TEXT]<9999> "")')
    assert imap.ok("UID FETCH 1:* FLAGS")[0].startswith(b"* 1 FETCH (UID 1 FLAGS")
    assert imap.ok("UID FETCH 5:* FLAGS")[0].startswith(b"* 1 FETCH (UID 1 ")
    assert imap.ok("UID FETCH 77 FLAGS") == []
    assert imap.ok("FETCH 1 (FLAGS FLAGS UID)")[0].count(b"FLAGS") == 1


def test_fetch_empty_mailbox(imap):
    imap.ok("SELECT INBOX")
    assert imap.ok("FETCH 1:* FLAGS") == [] and imap.ok("UID FETCH 1:* FLAGS") == []
    imap.bad("FETCH 1 FLAGS")
    assert imap.ok("SEARCH ALL") == [b"* SEARCH"]
    assert imap.ok("UID COPY 1:* INBOX") == []


@pytest.mark.valgrind
def test_store(imap, maildir):
    for _ in range(3):
        imap.append()
    imap.ok("SELECT INBOX")
    imap.ok("SELECT INBOX")  # \Recent no more
    assert imap.ok("STORE 1:2 FLAGS (\\Seen)") == [b"* 1 FETCH (FLAGS (\\Seen))", b"* 2 FETCH (FLAGS (\\Seen))"]
    assert imap.ok("STORE 1 +FLAGS \\Answered \\Draft") == [b"* 1 FETCH (FLAGS (\\Answered \\Seen \\Draft))"]
    assert imap.ok("STORE 1 -FLAGS (\\Seen)") == [b"* 1 FETCH (FLAGS (\\Answered \\Draft))"]
    assert imap.ok("STORE 1 +FLAGS.SILENT (\\Flagged)") == []
    lines = imap.ok("UID STORE 1 +FLAGS ($Forwarded foo)")
    assert lines[0].startswith(b"* FLAGS (") and b"$Forwarded" in lines[0]
    assert b"* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Draft $Forwarded foo))" in lines
    assert imap.ok("STORE 1 -FLAGS (FOO nosuch)")[-1] == b"* 1 FETCH (FLAGS (\\Answered \\Flagged \\Draft $Forwarded))"
    assert imap.ok("STORE 1 FLAGS ()") == [b"* 1 FETCH (FLAGS ())"]
    assert imap.ok("STORE 1 FLAGS (\\Recent \\Seen)") == [b"* 1 FETCH (FLAGS (\\Seen))"]
    assert imap.ok("UID STORE 99 +FLAGS (\\Seen)") == []
    assert sorted(n.rsplit(":2,")[1] for n in os.listdir(os.path.join(maildir, "cur"))) == ["", "S", "S"]


class KeywordTalk:
    """A session whose client notes which keywords FLAGS has named, and looks at each one in a FETCH."""

    def __init__(self, imap):
        self.imap, self.known, self.seen, self.tags = imap, set(), 0, [b"k0"]
        imap.send(b"k0 SELECT INBOX\r\n")

    def send(self, command):
        self.tags.append(b"k%d" % (int(self.tags[-1][1:]) + 1))
        self.imap.send(self.tags[-1] + b" " + command.encode() + b"\r\n")

    def read(self, upto):
        """All replies up to that of the command number UPTO."""
        while self.tags[0] != b"k%d" % upto:
            line = self.imap.line()
            flags = re.search(rb"FLAGS \(([^)]*)\)", line)
            if line.startswith(b"* FLAGS"):
                self.known = set(flags.group(1).split())
            elif flags and b" FETCH " in line:
                words = {word for word in flags.group(1).split() if word[:1] != b"\\"}
                assert words <= self.known, (line, words - self.known)
                self.seen += len(words)
            elif line.startswith(self.tags[0] + b" "):
                assert b" OK " in line, line
                del self.tags[0]
        return self


@pytest.mark.once
@pytest.mark.parametrize("seed", range(3))
def test_keyword_is_named_before_it_is_used(start, seed):
    """RFC 3501 7.2.6: whoever stores a new one, and whenever another session learns of it."""
    r = random.Random(seed)
    author = start()
    for _ in range(3):
        author.append()
    talks = [KeywordTalk(start()) for _ in range(2)]
    for i in range(200):
        for talk in talks:
            word = f"w{i - r.choice((0, 0, 1, r.randrange(i + 1)))}"
            for _ in range(r.choice((1, 1, 3))):
                talk.send(r.choice((f"STORE {r.choice(('1', '2:3', '1:*'))} {r.choice(('+', '+', '-', ''))}FLAGS{r.choice(('', '.SILENT'))} ({word})",
                                    f"UID STORE 1 +FLAGS ({word})", "FETCH 1:* FLAGS", "NOOP", "SELECT INBOX", f"SEARCH KEYWORD {word}", f"UID FETCH 2 (FLAGS BODY[])")))
        for talk in talks:
            talk.send("FETCH 1 (UID)")
            talk.read(int(talk.tags[-1][1:]) if r.random() < 0.6 else int(talk.tags[0][1:]))
    for talk in talks:
        talk.send("NOOP")
        assert talk.read(int(talk.tags[-1][1:])).seen > 100


def test_keywords_survive(start):
    s = start()
    s.append(flags="(Alpha $B)")
    s.close()
    s = start()
    lines = s.ok("SELECT INBOX")
    assert any(line.startswith(b"* FLAGS (") and b"Alpha" in line for line in lines)
    assert b"Alpha" in s.ok("FETCH 1 FLAGS")[0]
    assert s.ok("SEARCH KEYWORD alpha UNKEYWORD nosuch") == [b"* SEARCH 1"]


@pytest.mark.valgrind
def test_expunge(imap):
    for i in range(5):
        imap.append(flags="(\\Deleted)" if i % 2 == 0 else "")
    imap.ok("SELECT INBOX")
    imap.ok("SELECT INBOX")  # \Recent no more
    assert imap.ok("UID EXPUNGE 1:2,77") == [b"* 1 EXPUNGE"]
    assert imap.ok("EXPUNGE") == [b"* 2 EXPUNGE", b"* 3 EXPUNGE"]
    assert imap.ok("UID SEARCH ALL") == [b"* SEARCH 2 4"]
    assert imap.ok("EXPUNGE") == []


@pytest.mark.valgrind
def test_copy(imap):
    imap.append(flags="(\\Seen kw)")
    imap.append()
    imap.ok("CREATE INBOX.C")
    imap.ok("SELECT INBOX")
    assert b"[TRYCREATE]" in imap.no("COPY 1 INBOX.None")
    assert imap.ok("COPY 1:2 INBOX.C") == []
    assert re.match(rb"\[COPYUID \d+ 1:2 1:2\]", imap.text)
    assert imap.ok("UID COPY 2 INBOX.C") == [] and re.match(rb"\[COPYUID \d+ 2 3\]", imap.text)
    assert imap.ok("UID COPY 99 INBOX.C") == [] and b"COPYUID" not in imap.text
    assert b"* 3 EXISTS" in imap.ok("COPY 1 INBOX")
    assert b"* 3 EXISTS" in imap.ok("SELECT INBOX.C")
    line = imap.ok("FETCH 1 (FLAGS BODY.PEEK[])")[0]
    assert b"\\Seen kw" in line and line.endswith(MESSAGE + b")")


@pytest.mark.valgrind
def test_move(imap):
    for _ in range(3):
        imap.append()
    imap.ok("CREATE INBOX.M")
    imap.ok("SELECT INBOX")
    imap.ok("SELECT INBOX")  # \Recent no more
    assert b"[TRYCREATE]" in imap.no("MOVE 1,3 INBOX.None")
    lines = imap.ok("MOVE 1,3 INBOX.M")
    assert re.match(rb"\* OK \[COPYUID \d+ 1,3 1:2\]", lines[0]) and lines[1:] == [b"* 1 EXPUNGE", b"* 2 EXPUNGE"]
    lines = imap.ok("UID MOVE 2 INBOX.M")
    assert b"COPYUID" in lines[0] and lines[1:] == [b"* 1 EXPUNGE"]
    assert b"MESSAGES 3" in imap.ok("STATUS INBOX.M (MESSAGES)")[0]


def recent(imap, mailbox="INBOX"):
    return int(re.search(rb"RECENT (\d+)", imap.ok(f"STATUS {mailbox} (RECENT)")[0]).group(1))


@pytest.mark.parametrize("how", ["APPEND", "COPY", "MOVE"])
def test_what_is_stored_is_recent_for_the_first_session(start, maildir, how):
    """RFC 3501 6.3.11, 6.4.7; EXAMINE and STATUS do not consume it."""
    a, b, ro = start(), start(), start()
    a.ok("CREATE INBOX.R")
    if how != "APPEND":
        a.append(flags="(\\Seen kw)")
        a.ok("SELECT INBOX")
        a.ok(f"{how} 1 INBOX.R")
    else:
        a.append(mailbox="INBOX.R", flags="(\\Seen kw)")
    assert recent(a, "INBOX.R") == 1
    lines = ro.ok("EXAMINE INBOX.R")
    assert b"* 1 RECENT" in lines and ro.ok("SEARCH RECENT") == [b"* SEARCH 1"] and b"\\Recent" in ro.ok("FETCH 1 FLAGS")[0]
    assert os.listdir(os.path.join(maildir, ".R", "cur"))[0].endswith(":2,S")  # its UID is listed: Courier renumbers mail in new/
    assert b"* 1 RECENT" in a.ok("SELECT INBOX.R")
    assert a.ok("SEARCH RECENT") == [b"* SEARCH 1"] and a.ok("SEARCH NEW") == a.ok("SEARCH OLD") == [b"* SEARCH"]
    assert b"* 0 RECENT" in b.ok("SELECT INBOX.R") and b.ok("SEARCH OLD") == [b"* SEARCH 1"]
    assert recent(ro, "INBOX.R") == 0
    b.append(mailbox="INBOX.R")
    a.append(mailbox="INBOX.R")
    got = [b"\\Recent" in s.ok(f"FETCH {n} FLAGS")[-1] for s in (a, b) for n in (2, 3) if s.ok("NOOP") is not None]
    assert sum(got) == 2 and got[0] != got[2] and got[1] != got[3], got
    assert recent(ro, "INBOX.R") == 0
    assert b"* 0 RECENT" in a.ok("SELECT INBOX.R") and not os.path.exists(os.path.join(maildir, ".R", "waypostrecent"))


def test_two_who_select_at_once_share_what_is_recent(start):
    author, sessions = start(), [start() for _ in range(6)]
    for n in range(15):
        for _ in range(5):
            author.append()
        for s in sessions:
            s.send(b"s SELECT INBOX\r\n")
        told = []
        for s in sessions:
            _, _, lines = s.until(b"s")
            told += [int(line.split()[1]) for line in lines if line.endswith(b" RECENT")]
        assert sum(told) == 5, told
        for s in sessions:
            s.ok("UNSELECT")


@pytest.mark.valgrind
def test_search(imap):
    imap.append(flags="(\\Seen \\Answered)", date='"01-Jan-2020 12:00:00 +0000"')
    imap.append(b"From: carl@example.org\r\nTo: dora@example.org\r\nCc: ellen@example.org\r\nBcc: fred@example.org\r\nSubject: second\r\n"
                b"Date: Tue, 3 Mar 2020 10:00:00 +0100\r\nX-Thing: yes\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
                b"Content-Transfer-Encoding: quoted-printable\r\n\r\nna=EFve text " + b"x" * 2000 + b"\r\n", flags="(\\Flagged \\Draft)",
                date='"03-Mar-2020 12:00:00 +0000"')
    imap.append(flags="(\\Deleted foo)", date='"05-May-2021 12:00:00 +0000"')
    imap.ok("SELECT INBOX")

    def find(keys, *literals):
        lines = [line for line in imap.ok("SEARCH " + keys, *literals) if line.startswith(b"* SEARCH")]
        return [int(n) for n in lines[0].split()[2:]]
    assert find("ALL") == [1, 2, 3]
    assert find("ANSWERED") == [1] and find("UNANSWERED") == [2, 3]
    assert find("SEEN") == [1] and find("UNSEEN") == [2, 3] and find("FLAGGED") == [2] and find("UNFLAGGED") == [1, 3]
    assert find("DRAFT") == [2] and find("UNDRAFT") == [1, 3] and find("DELETED") == [3] and find("UNDELETED") == [1, 2]
    assert find("KEYWORD FOO") == [3] and find("UNKEYWORD foo") == [1, 2] and find("KEYWORD nosuch") == []
    assert find("FROM ada") == [1, 3] and find("TO DORA") == [2] and find("CC ellen") == [2] and find("BCC fred") == [2]
    assert find("SUBJECT second") == [2] and find('SUBJECT "GR\u00dcSSE"') == [] and find("CHARSET UTF-8 SUBJECT {}", "gr\u00fc\u00dfe".encode()) == [1, 3]
    assert find("CHARSET ISO-8859-1 BODY {}", "NA\u00cfVE".encode("latin-1")) == [2]
    assert find("BODY hello") == [1, 3] and find("TEXT second") == [2] and find("BODY second") == []
    assert find("HEADER X-Thing {}", b"") == [2] and find('HEADER x-thing "YES"') == [2] and find('HEADER Message-Id ""') == [1, 3]
    assert find("BEFORE 3-Mar-2020") == [1] and find("ON 3-Mar-2020") == [2] and find("SINCE 3-Mar-2020") == [2, 3] and find('SINCE "1-Jan-2022"') == []
    assert find("SENTBEFORE 1-Jan-2000") == [1, 3] and find("SENTON 3-Mar-2020") == [2] and find("SENTSINCE 1-Jan-2000") == [2]
    assert find("LARGER 1000") == [2] and find("SMALLER 1000") == [1, 3]
    assert find("OR SEEN DELETED") == [1, 3] and find("NOT SEEN") == [2, 3] and find("NOT (OR SEEN FLAGGED)") == [3]
    assert find("2:*") == [2, 3] and find("UID 1,3") == [1, 3] and find("1:2 UNSEEN") == [2] and find("(SEEN) (ANSWERED)") == [1]
    assert find("OLD") == find("NOT RECENT") and find("NEW") == find("RECENT UNSEEN")
    assert find("or (seen answered) (flagged not (from ada))") == [1, 2]
    assert b"[BADCHARSET (" in imap.no("SEARCH CHARSET X-NOSUCH ALL")
    imap.bad(b"SEARCH CHARSET US-ASCII SUBJECT {1+}\r\n\xff")
    assert imap.ok("UID SEARCH SEEN") == [b"* SEARCH 1"]


def test_search_for_addresses_is_in_those_of_the_envelope(imap):
    """Addresses are found despite comments, folds, quotes and blanks between their parts; names are searched decoded."""
    fields = [b"ada(at home)@(that is)example.com", b"ada@\r\n example.com", b'"Ada L. (Countess)" <ada @ example . com>', b'"ada"@example.com',
              b"=?utf-8?Q?Gr=C3=BCn,_Ada?= <ada@example.com>", b"=?utf-8?Q?Gr=C3=BC?=\r\n =?utf-8?Q?n?= <@relay.example:ada@example.com>",
              b'"=?iso-8859-1?Q?Gr=FCn?=" <ada@example.com>', b"Friends: bob@example.net, Gr\xfcn <ada@example.com>;", b"ada@example.com (Ada  \r\n Gr\xc3\xbcn)"]
    for name in (b"From", b"To", b"Cc", b"Bcc"):
        for field in fields:
            imap.append(b"Subject: x\r\n" + name + b": " + field + b"\r\n\r\nx\r\n")
    imap.append(b"From: bob@example.net\r\nSender: ada@example.com\r\nReply-To: ada@example.com\r\nX-From: ada@example.com\r\n\r\nada@example.com\r\n")
    imap.ok("SELECT INBOX")

    def find(keys, *literals):
        return [int(n) for n in imap.ok("SEARCH " + keys, *literals)[0].split()[2:]]
    for i, key in enumerate(("FROM", "TO", "CC", "BCC")):
        numbers = list(range(9 * i + 1, 9 * i + 10))
        assert find(f"{key} ADA@Example.com") == find(f'{key} "<ada@example.com>"') == numbers
        assert find(f"{key} {{}}", "gr\u00fcn".encode()) == numbers[4:]
        assert find(f"{key} {{}}", "GR\u00dcN <ada@".encode()) == numbers[5:]
        assert find(f"{key} {{}}", "GR\u00dcN, ada <ada@".encode()) == numbers[4:5]
        assert find(f'{key} "Ada L. (Countess) <ada@example.com>"') == numbers[2:3]
        assert find(f"{key} friends:") == numbers[7:8] and find(f"{key} nosuch") == find(f'{key} "at home"') == []
        assert find(f'HEADER {key} "(at home)"') == numbers[:1]  # the raw field
        assert find(f'{key} ""') == (numbers if i > 0 else numbers + [37]) and find(f"{key} example.net") == (numbers[7:8] if i > 0 else [8, 37])


# --- Others at work ---

@pytest.mark.valgrind
def test_two_sessions(start):
    a, b = start(), start()
    a.append()
    a.append()
    a.ok("SELECT INBOX")
    b.ok("SELECT INBOX")
    a.append()
    assert b"* 3 EXISTS" in b.ok("NOOP")
    a.ok("STORE 1 +FLAGS (\\Flagged kw)")
    lines = b.ok("NOOP")
    assert any(line.startswith(b"* 1 FETCH (") and b"\\Flagged" in line and b"kw" in line for line in lines), lines
    a.ok("STORE 2 +FLAGS (\\Deleted)")
    a.ok("EXPUNGE")
    # No EXPUNGE while the reply uses message numbers.
    lines = b.ok("FETCH 1:3 UID")
    assert lines[:3] == [b"* 1 FETCH (UID 1)", b"* 2 FETCH (UID 2)", b"* 3 FETCH (UID 3)"] and not any(b"EXPUNGE" in x for x in lines)
    assert b"[EXPUNGEISSUED]" in b.no("FETCH 2 BODY.PEEK[]")
    assert not any(b"EXPUNGE" in line for line in b.untagged)
    assert b"[EXPUNGEISSUED]" in b.no("STORE 2 +FLAGS (\\Seen)")
    assert not any(b"EXPUNGE" in x for x in b.ok("SEARCH ALL"))
    assert b"[EXPUNGEISSUED]" in b.no("COPY 2 INBOX")
    assert b"* 2 EXPUNGE" in b.untagged
    assert b.ok("UID SEARCH ALL") == [b"* SEARCH 1 3"]


def test_store_and_copy_of_sets_of_which_some_are_gone(start):
    """RFC 2180 4.2, 4.4: STORE.SILENT of the rest is OK, STORE reports the rest and NO, COPY by number does nothing."""
    a, b = start(), start()
    for _ in range(4):
        a.append()
    a.ok("CREATE INBOX.C")
    a.ok("SELECT INBOX")
    b.ok("SELECT INBOX")
    a.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
    a.ok("EXPUNGE")
    assert b.ok("STORE 1:4 +FLAGS.SILENT (\\Seen kw)")[-1].startswith((b"* FLAGS", b"* OK", b"* 1 FETCH", b"* 3 FETCH"))
    assert b.ok("STORE 2 +FLAGS.SILENT (\\Seen)") == [] and b.ok("STORE 2,4 -FLAGS.SILENT (\\Seen)") == []
    assert b"[EXPUNGEISSUED]" in b.no("STORE 2:3 +FLAGS (\\Draft)")
    assert len(b.untagged) == 1 and b"* 3 FETCH (FLAGS (\\Seen \\Draft kw" in b.untagged[0]
    assert b"[EXPUNGEISSUED]" in b.no("STORE 2 +FLAGS (\\Seen)") and b.untagged == []
    assert [line.split()[1] for line in b.ok("FETCH 1:4 FLAGS")] == [b"1", b"2", b"3", b"4"]
    assert b"[EXPUNGEISSUED]" in b.no("COPY 1:4 INBOX.C")
    assert b"MESSAGES 0" in b.ok("STATUS INBOX.C (MESSAGES)")[0]
    assert b.ok("UID COPY 1:4 INBOX.C") == [] and re.match(rb"\[COPYUID \d+ 1,3 1:2\]", b.text)
    assert b.ok("UID SEARCH SEEN KEYWORD kw") == [b"* SEARCH 1 3"]


def test_copy_that_finds_one_gone_leaves_nothing_behind(start, maildir):
    a = start()
    for _ in range(3):
        a.append()
    a.ok("CREATE INBOX.C")
    a.ok("SELECT INBOX")
    cur = os.path.join(maildir, "cur")
    os.unlink(os.path.join(cur, sorted(os.listdir(cur))[1]))
    assert b"[EXPUNGEISSUED]" in a.no("COPY 1:3 INBOX.C")
    assert os.listdir(os.path.join(maildir, ".C", "cur")) == [] and os.listdir(os.path.join(maildir, ".C", "tmp")) == []
    assert len(os.listdir(cur)) == 2


def test_rename_of_the_selected_mailbox_keeps_it_selected(start):
    a = start()
    for name in ("INBOX.A", "INBOX.A.Sub", "INBOX.B"):
        a.ok(f"CREATE {name}")
        a.append(mailbox=name)
    a.ok("SELECT INBOX.A")
    a.ok("RENAME INBOX.A INBOX.X")
    a.append(mailbox="INBOX.X")
    assert a.ok("NOOP") == [] and len(a.ok("FETCH 1:2 FLAGS")) == 2
    a.ok("STORE 1 +FLAGS.SILENT (kw \\Deleted)")
    assert b"* 1 EXPUNGE" in a.ok("EXPUNGE")
    a.ok("SELECT INBOX.X.Sub")
    a.ok("RENAME INBOX.X INBOX.Y")
    assert len(a.ok("FETCH 1:* FLAGS")) == 1
    a.ok("SELECT INBOX.B")
    validity = int(re.search(rb"UIDVALIDITY (\d+)", a.ok("STATUS INBOX.B (UIDVALIDITY)")[0]).group(1))
    lines = a.ok("RENAME INBOX.B INBOX.A")  # A existed before, with another UIDVALIDITY
    told = [int(m.group(1)) for m in (re.match(rb"\* OK \[UIDVALIDITY (\d+)\]", line) for line in lines) if m]
    assert int(re.search(rb"UIDVALIDITY (\d+)", a.ok("STATUS INBOX.A (UIDVALIDITY)")[0]).group(1)) == (told or [validity])[0]
    a.append(mailbox="INBOX.A")
    assert [x for x in a.ok("UID FETCH 1:* UID") if b"FETCH" in x] == [b"* 1 FETCH (UID 1)", b"* 2 FETCH (UID 2)"]
    a.ok("CLOSE")
    a.ok("SELECT INBOX.Y.Sub")
    a.ok("DELETE INBOX.Y.Sub")
    a.bad("FETCH 1 FLAGS")

def test_rename_of_a_namesake_says_nothing_of_the_selected_mailbox(start):
    a, b = start(), start()
    a.ok("CREATE INBOX.f")
    a.append(mailbox="INBOX.f")
    b.ok("SELECT INBOX.f")
    for command in ("CREATE INBOX.g", "DELETE INBOX.g", "RENAME INBOX.f INBOX.g", "CREATE INBOX.f"):
        a.ok(command)
    assert not [line for line in b.ok("RENAME INBOX.f INBOX.h") if b"UIDVALIDITY" in line]
    assert len(b.ok("FETCH 1:* FLAGS")) == 1 and b"* 0 EXISTS" in b.ok("SELECT INBOX.h")


def test_rename_by_others_throws_nobody_out(start):
    """What a client knows by the old name, UIDVALIDITY and UIDs stays valid; no other UIDVALIDITY is reported."""
    a, b = start(), start()
    a.ok("CREATE INBOX.f")
    a.append(b"Subject: old\r\n\r\n", mailbox="INBOX.f")
    b.ok("SELECT INBOX.f")
    for command in ("CREATE INBOX.g", "DELETE INBOX.g", "RENAME INBOX.f INBOX.g", "CREATE INBOX.f"):
        a.ok(command)
    a.append(b"Subject: another\r\n\r\n", mailbox="INBOX.f")
    a.append(b"Subject: new\r\n\r\n", mailbox="INBOX.g")
    assert b.ok("NOOP") == [b"* 2 EXISTS", b"* 2 RECENT"]
    assert [b"Subject: old" in b"".join(b.ok("UID FETCH 1 BODY.PEEK[HEADER]")), b"Subject: new" in b"".join(b.ok("UID FETCH 2 BODY.PEEK[HEADER]"))] == [True, True]
    b.ok("STORE 1 +FLAGS.SILENT (\\Flagged kw)")
    a.ok("SELECT INBOX.g")
    assert a.ok("UID FETCH 1 FLAGS") == [b"* 1 FETCH (UID 1 FLAGS (\\Flagged kw))"]
    a.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
    a.ok("EXPUNGE")
    assert b.ok("NOOP") == [b"* 2 EXPUNGE", b"* 1 RECENT"]
    validity = [re.search(rb"UIDVALIDITY (\d+)", b.ok(f"STATUS INBOX.{name} (UIDVALIDITY)")[0]).group(1) for name in "fg"]
    assert validity[0] == re.search(rb"UIDVALIDITY (\d+)", b"".join(b.ok("SELECT INBOX.f"))).group(1) and b"Subject: another" in b"".join(b.ok("FETCH 1 BODY.PEEK[HEADER]"))


def test_expunge_sees_what_others_did(start):
    a, b = start(), start()
    for _ in range(3):
        a.append()
    a.ok("SELECT INBOX")
    b.ok("SELECT INBOX")
    a.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    b.ok("NOOP")
    b.ok("STORE 1 -FLAGS.SILENT (\\Deleted)")
    b.ok("STORE 3 +FLAGS.SILENT (\\Flagged new)")
    lines = a.ok("EXPUNGE")
    assert [x for x in lines if b"EXPUNGE" in x] == [b"* 2 EXPUNGE"]
    assert any(x.startswith(b"* 1 FETCH") and b"Deleted" not in x for x in lines)
    assert any(x.startswith(b"* 3 FETCH") and b"\\Flagged new" in x for x in lines)
    assert b"* 2 EXPUNGE" in b.ok("NOOP")


def test_many_sessions_at_once(start):
    """Each stores, copies and expunges in the same mailbox; no session gets a wrong number."""
    sessions = [start() for _ in range(4)]
    for s in sessions:
        s.ok("SELECT INBOX")
    counts = [0] * 4
    for turn in range(12):
        for i, s in enumerate(sessions):
            command = (b"a APPEND INBOX {4+}\r\nA:b\n\r\n", b"a STORE 1:* +FLAGS (\\Flagged)\r\n", b"a UID STORE 1:%d +FLAGS.SILENT (\\Deleted)\r\n" % (turn * 3 + 1),
                       b"a EXPUNGE\r\n")[(turn + i) % 4]
            s.send(command)
        for i, s in enumerate(sessions):
            status, text, lines = s.until(b"a")
            assert status == "OK" or b"EXPUNGEISSUED" in text or b"[READ-ONLY]" in text, text
            for line in lines:
                m = re.match(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)", line)
                if not m:
                    continue
                n = int(m.group(1))
                if m.group(2) == b"EXISTS":
                    assert n >= counts[i]
                    counts[i] = n
                else:
                    assert 1 <= n <= counts[i], (line, counts[i])
                    counts[i] -= m.group(2) == b"EXPUNGE"
    views = []
    for s in sessions:
        s.ok("NOOP")
        views.append(s.ok("UID SEARCH ALL"))
    assert all(v == views[0] for v in views), views


def test_delivery_from_outside(imap, maildir):
    imap.ok("SELECT INBOX")
    deliver(maildir, "1000000001.M1P1.host")
    lines = imap.ok("NOOP")
    assert b"* 1 EXISTS" in lines and b"* 1 RECENT" in lines
    deliver(maildir, "1000000002.M1P1.host")
    assert b"* 2 EXISTS" in imap.ok("CHECK")
    assert b"\\Recent" in imap.ok("FETCH 2 FLAGS")[0]


@pytest.mark.valgrind
def test_idle(imap, maildir, start):
    other = start()
    imap.append()
    imap.ok("SELECT INBOX")
    imap.ok("SELECT INBOX")  # \Recent no more
    imap.send(b"i IDLE\r\n")
    assert imap.line().startswith(b"+ ")
    deliver(maildir, "1000000001.M1P1.host")
    assert imap.line() == b"* 2 EXISTS" and imap.line() == b"* 1 RECENT"
    other.ok("SELECT INBOX")
    other.ok("STORE 1 +FLAGS (\\Deleted)")
    assert imap.line() == b"* 1 FETCH (UID 1 FLAGS (\\Deleted))"
    other.ok("EXPUNGE")
    assert imap.line() == b"* 1 EXPUNGE"
    imap.send(b"done\r\n")
    assert imap.until(b"i")[0] == "OK"
    imap.send(b"j IDLE\r\nDONE\r\nk NOOP\r\n")
    assert imap.line().startswith(b"+ ") and imap.until(b"j")[0] == "OK" and imap.until(b"k")[0] == "OK"
    imap.send(b"l IDLE\r\nwhat\r\n")
    assert imap.line().startswith(b"+ ") and imap.until(b"l")[0] == "BAD"
    imap.send(b"m IDLE\r\n" + b"x" * 5000)
    assert imap.line().startswith(b"+ ") and b"* BYE" in imap.rest()


EAT_INOTIFY = """
import ctypes, sys
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0:
    pass
print("none left", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not ROOT, reason="takes all inotify instances of a user of its own")
def test_idle_needs_no_inotify_instance(maildir, start):
    """A uid has 128, and all accounts may share one uid: further sessions still learn of mail at once."""
    uid = 60000 + os.getpid() % 5000  # not that of another run
    for d in ("", "cur", "new", "tmp"):
        os.chown(os.path.join(maildir, d), uid, GID)
    eater = subprocess.Popen(["/usr/bin/python3", "-c", EAT_INOTIFY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=uid, extra_groups=[],
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)))
    try:
        assert eater.stdout.readline()
        s = start("--poll", "3600", uid=uid)
        s.ok("SELECT INBOX")
        for turn in range(2):
            s.send(b"i IDLE\r\n")
            assert s.line().startswith(b"+")
            deliver(maildir, f"100000000{turn}.M1P1.host")
            assert s.line() == b"* %d EXISTS" % (turn + 1)
            s.line()
            s.send(b"DONE\r\n")
            assert s.until(b"i")[0] == "OK"
        assert "IDLE checks for changes" not in s.close()
    finally:
        eater.kill()
        eater.communicate()


@pytest.mark.once
@pytest.mark.skipif(shutil.which("strace") is None or bool(WRAPPER), reason="strace makes the system calls fail")
@pytest.mark.parametrize("fails, polls", [("signalfd4:error=EINVAL", False), ("signalfd4,inotify_init1:error=EMFILE", True)])
def test_idle_falls_back(maildir, start, fails, polls):
    """Without directory notification inotify is used; without both the folder is polled, which is logged once."""
    s = start("--poll", "1" if polls else "3600", wrapper=["strace", "-o", "/dev/null", "-e", f"inject={fails}"])
    s.ok("SELECT INBOX")
    for turn in range(2):
        s.send(b"i IDLE\r\n")
        assert s.line().startswith(b"+")
        deliver(maildir, f"100000000{turn}.M1P1.host")
        assert s.line() == b"* %d EXISTS" % (turn + 1)
        s.line()
        s.send(b"DONE\r\n")
        assert s.until(b"i")[0] == "OK"
    log = s.close()
    assert log.count("IDLE checks for changes every 1 s") == (1 if polls else 0) and ("LimitNOFILE" in log) == polls


def test_idle_without_mailbox(imap):
    imap.send(b"i IDLE\r\n")
    assert imap.line().startswith(b"+ ")
    imap.send(b"DONE\r\n")
    assert imap.until(b"i")[0] == "OK"


def test_signal_in_idle(imap):
    if WRAPPER:
        pytest.skip("the signal goes to the wrapper")
    imap.send(b"i IDLE\r\n")
    imap.line()
    imap.process.send_signal(signal.SIGTERM)
    assert imap.line().startswith(b"* BYE")


def test_selected_folder_deleted(start):
    a, b = start(), start()
    a.ok("CREATE INBOX.D")
    b.ok("SELECT INBOX.D")
    a.ok("DELETE INBOX.D")
    b.send(b"x NOOP\r\n")
    assert b.line().startswith(b"* BYE")
    assert "end=server" in b.close()
    a.ok("CREATE INBOX.E")
    a.ok("SELECT INBOX.E")
    a.ok("DELETE INBOX.E")
    a.bad("CHECK")


def test_client_gone_in_fetch(start):
    s = start()
    s.append(b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 300000)
    s.ok("SELECT INBOX")
    s.send(b"a FETCH 1 BODY[]\r\n")
    s.sock.recv(1000)
    assert "DISCONNECTED" in s.close()


# --- Expensive commands ---

@pytest.fixture
def much_mail(start, maildir):
    """Mail that takes minutes to search: a large message under many names."""
    def make(names):
        line = b"Some text that is converted before it is searched, with =E4=F6=FC in it.\n"
        first = os.path.join(maildir, "cur", "1000.first:2,")
        with open(first, "wb") as f:
            f.write(b"Subject: large\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n" +
                    line * (4000000 // len(line)))
        if ROOT:
            os.chown(first, UID, GID)
        for i in range(names - 1):
            os.link(first, os.path.join(maildir, "cur", f"{1001 + i}.more:2,"))
        s = start()
        s.ok("SELECT INBOX")
        return s
    return make


@pytest.mark.parametrize("keys", [" ".join(f"NOT BODY zq{i}" for i in range(10001)), "NOT SEEN " * 25000 + "ALL", "(" * 60000 + "ALL" + ")" * 60000],
                         ids=["texts", "keys", "parentheses"])
def test_search_with_too_many_keys(imap, keys):
    """It is refused, and the session continues."""
    imap.append()
    imap.ok("SELECT INBOX")
    assert imap.bad("SEARCH " + keys).startswith(b"[TOOBIG] ")
    many = " ".join(f"NOT BODY zq{i}" for i in range(2000))
    assert imap.ok("SEARCH " + many) == [b"* SEARCH 1"]
    assert imap.ok("SEARCH " + many.replace("zq1777", "hello")) == [b"* SEARCH"]


def test_search_keys_nested_in_thousands(imap):
    """A client's list of n senders nests n deep, in any notation."""
    senders = [f"n{i}@example.net" for i in range(2000)]
    for sender in ("n7@example.net", "n1999@example.net", "other@example.net"):
        imap.append(f"From: <{sender}>\r\n\r\nx\r\n".encode())
    imap.ok("SELECT INBOX")

    def find(keys):
        return imap.ok("SEARCH " + keys)[0]
    right = "".join(f"OR FROM {s} " for s in senders[:-1]) + "FROM " + senders[-1]
    left = "OR " * (len(senders) - 1) + " ".join("FROM " + s for s in senders)
    round_brackets = "".join(f"OR (FROM {s}) (" for s in senders[:-1]) + "FROM " + senders[-1] + ")" * (len(senders) - 1)
    for keys in (right, left, round_brackets):
        assert find(keys) == b"* SEARCH 1 2" and find(f"NOT ({keys})") == b"* SEARCH 3" and find("UNSEEN NOT " + keys) == b"* SEARCH 3"
    assert find("NOT " * 10000 + "1") == b"* SEARCH 1" and find("NOT " * 10001 + "1") == b"* SEARCH 2 3"
    assert find("(" * 20000 + "2" + ")" * 20000 + " UNSEEN") == b"* SEARCH 2"
    assert find("(NOT " * 10000 + "2" + ")" * 10000) == b"* SEARCH 2"
    assert find("OR NOT (" * 5000 + "3" + ") 1" * 5000) == b"* SEARCH 1 3"
    imap.bad("SEARCH " + "OR FROM x " * 2000)


def test_search_keys_are_weighed_as_they_nest(imap):
    """Every tree of keys is evaluated correctly, whatever the order of cheap and expensive keys."""
    import itertools
    for flags in ("()", "(\\Seen)", "(\\Flagged)", "(\\Seen \\Flagged)"):
        imap.append(flags=flags)
    imap.ok("SELECT INBOX")
    leaves = [("SEEN", {2, 4}), ("SUBJECT nosuch", set()), ("FLAGGED", {3, 4}), ("FROM ada", {1, 2, 3, 4}), ("2:3", {2, 3})]
    trees = [(f"{op} {a} {b}" if op == "OR" else f"{op} {a}" if op == "NOT" else f"({a} {b})",
              x | y if op == "OR" else {1, 2, 3, 4} - x if op == "NOT" else x & y)
             for (a, x), (b, y) in itertools.permutations(leaves, 2) for op in ("OR", "NOT", "AND")]
    for (a, x), (b, y) in itertools.product(trees[::3], trees[1::4]):
        want = b"".join(b" %d" % n for n in sorted((x | y) & ({1, 2, 3, 4} - (x & y))))
        assert imap.ok(f"SEARCH OR {a} {b} NOT ({a} {b})") == [b"* SEARCH" + want]


def test_many_pieces_of_a_large_message(imap):
    """As many pieces as one FETCH may name, of a message of many lines: each equals that piece of the whole."""
    imap.append(b"Subject: pieces\r\n\r\n" + b"".join(b"%d\r\n" % i for i in range(40000)))
    imap.ok("SELECT INBOX")
    whole = imap.ok("FETCH 1 BODY.PEEK[]")[0].split(b"\r\n", 1)[1][:-1]
    body = whole.split(b"\r\n\r\n", 1)[1]
    for section, text in ((b"", whole), (b"TEXT", body), (b"1", body)):
        starts = [len(text) * i // 250 for i in range(250)] + [len(text) - 1, len(text), len(text) + 1]
        answer = imap.ok(b"FETCH 1 (" + b" ".join(b"BODY.PEEK[%s]<%d.100>" % (section, at) for at in starts) + b")")[0]
        want = b"* 1 FETCH (" + b" ".join(b"BODY[%s]<%d> {%d}\r\n%s" % (section, at, len(text[at:at + 100]), text[at:at + 100]) for at in starts) + b")"
        assert answer == want
    imap.bad(b"FETCH 1 (" + b" ".join(b"BODY.PEEK[HEADER.FIELDS (X%d)]" % i for i in range(33)) + b")")
    assert imap.ok(b"FETCH 1 (" + b" ".join(b"BODY.PEEK[HEADER.FIELDS (X%d)]" % i for i in range(32)) + b")")


def test_lsub_of_deep_names(start, maildir):
    """The nearest parent that matches, once, however many levels there are."""
    names = ["a." * 100 + f"n{i}" for i in range(300)] + ["b.c", "b", "d.e.f"]
    with open(os.path.join(maildir, "courierimapsubscribed"), "w") as f:
        f.write("".join(f"INBOX.{n}\n" for n in names))
    s = start()
    assert s.ok('LSUB "" INBOX.%') == [b'* LSUB (\\Noselect) "." "INBOX.a"', b'* LSUB () "." "INBOX.b"', b'* LSUB (\\Noselect) "." "INBOX.d"']
    assert s.ok('LSUB "" INBOX.%.%.%.%') == [b'* LSUB (\\Noselect) "." "INBOX.a.a.a.a"']
    assert s.ok('LSUB "" "' + "*a%" * 60 + 'zq"') == []
    assert len(s.ok('LSUB "" "INBOX.a.*"')) == 300


def test_hangup_ends_a_search(much_mail):
    s = much_mail(3000)
    s.send("a SEARCH BODY zqzqzq\r\n")
    s.sock.close()
    s.process.wait(PATIENCE)  # all of it would take far longer
    assert "end=client" in s.close()


@pytest.mark.parametrize("sig,end", [(signal.SIGTERM, "shutdown"), (signal.SIGUSR1, "kick")])
def test_signal_ends_a_search(much_mail, sig, end):
    if WRAPPER:
        pytest.skip("the signal goes to the wrapper")
    s = much_mail(3000)
    s.send("a SEARCH BODY zqzqzq\r\n")
    s.process.send_signal(sig)
    data = s.rest()
    assert b"* BYE" in data and b"* SEARCH" not in data
    assert f"end={end}" in s.close()


@pytest.mark.parametrize("command", ["COPY", "MOVE"])
@pytest.mark.parametrize("sig,end", [(signal.SIGTERM, "shutdown"), (signal.SIGUSR1, "kick")])
def test_signal_ends_a_copy_and_undoes_it(imap, maildir, command, sig, end):
    if WRAPPER:
        pytest.skip("the signal goes to the wrapper")
    for n in range(200):
        deliver(maildir, f"{1000 + n}.x.host")
    imap.ok("CREATE INBOX.To")
    imap.ok("SELECT INBOX")
    cur, to = os.path.join(maildir, "cur"), os.path.join(maildir, ".To")
    before = sorted(os.listdir(cur))
    lock = os.path.join(to, "tmp", "courier.lock")
    open(lock, "w").close()  # it waits for this when the signal comes
    imap.send(f"a {command} 1:* INBOX.To\r\n")
    end_at = time.monotonic() + PATIENCE
    while os.listdir(os.path.join(to, "tmp")) == ["courier.lock"] and time.monotonic() < end_at:
        time.sleep(0.01)
    imap.process.send_signal(sig)
    time.sleep(0.1)  # its next check is due then
    os.unlink(lock)
    data = imap.rest()
    assert b"* BYE" in data and b"a OK" not in data
    assert f"end={end}" in imap.close()
    assert os.listdir(os.path.join(to, "cur")) == [] and sorted(os.listdir(cur)) == before


def test_half_close_gets_the_answer_of_a_search(much_mail):
    """It looks like a hang-up at first; a client that still reads gets its reply."""
    s = much_mail(60)
    s.send("a SEARCH BODY zqzqzq\r\n")
    s.sock.shutdown(socket.SHUT_WR)
    data = s.rest()
    assert data.endswith(b"* SEARCH\r\na OK SEARCH completed.\r\n")
    assert re.fullmatch(rb"(\* OK [^\r]*\r\n)*", data[:-len(b"* SEARCH\r\na OK SEARCH completed.\r\n")])


def test_unreadable_message(imap, maildir):
    imap.append()
    imap.append()
    imap.ok("SELECT INBOX")
    name = [n for n in os.listdir(os.path.join(maildir, "cur"))][0]
    os.unlink(os.path.join(maildir, "cur", name))
    os.symlink("/etc/passwd", os.path.join(maildir, "cur", name))
    status, _, lines = imap.cmd("FETCH 1:2 BODY.PEEK[]")
    assert b"root:" not in b"".join(lines)
    assert status in ("NO", "OK") and sum(b"Hello Bob" in line for line in lines) == 1


def test_folder_that_is_deleted_while_others_use_it_does_not_exist(start):
    a, b = start(), start()
    for n in range(150):
        a.ok("CREATE INBOX.D")
        a.append(mailbox="INBOX.D")
        command, code = ((b"SELECT INBOX.D", b"[NONEXISTENT]"), (b"STATUS INBOX.D (MESSAGES)", b"[NONEXISTENT]"),
                         (b"APPEND INBOX.D {6+}\r\nA: b\r\n", b"[TRYCREATE]"))[n % 3]
        b.send(b"s " + command + b"\r\n")
        a.ok("DELETE INBOX.D")
        status, text, _ = b.until(b"s")
        assert status == "OK" or code in text, (n, command, status, text)
        b.cmd("UNSELECT")
        if n % 9 == 8:
            b.ok("NOOP")  # BADs are counted


def test_folder_removed_by_hand_and_made_again_at_once_has_another_uidvalidity(imap, maildir):
    seen = []
    for _ in range(4):
        imap.ok("CREATE INBOX.V")
        imap.append(mailbox="INBOX.V")
        seen.append(int(re.search(rb"UIDVALIDITY (\d+)", imap.ok("STATUS INBOX.V (UIDVALIDITY)")[0]).group(1)))
        shutil.rmtree(os.path.join(maildir, ".V"))
    assert seen == sorted(set(seen)), seen


def test_file_with_too_long_a_name_keeps_no_other_from_its_flags(imap, maildir):
    for name in ("1000000001.M1P1.host:2,", "1000000002.M2P1." + "h" * 239, "1000000003.M3P1.host:2,"):
        deliver(maildir, name)
        os.rename(os.path.join(maildir, "new", name), os.path.join(maildir, "cur", name))
    imap.ok("SELECT INBOX")
    assert b"[LIMIT]" in imap.no("STORE 1:* +FLAGS (\\Seen)")
    assert [x.split()[1] for x in imap.untagged] == [b"1", b"3"]
    assert imap.ok("SEARCH SEEN") == [b"* SEARCH 1 3"] and len(imap.ok("FETCH 1:3 BODY.PEEK[]")) == 3
    assert imap.close().count("too long") == 1


def test_keywords_that_have_no_place_are_no_expunged_message(imap, maildir):
    imap.append()
    os.symlink("nowhere", os.path.join(maildir, "courierimapkeywords"))
    imap.ok("SELECT INBOX")
    assert b"[CORRUPTION]" in imap.no("STORE 1 +FLAGS (kw)")
    assert "cannot write keywords" in imap.close()


def test_kick_ends_the_wait_for_a_lock(imap, maildir):
    imap.append()
    imap.ok("SELECT INBOX")
    with open(os.path.join(maildir, "tmp", "courier.lock"), "w") as f:
        f.write(f"{os.getpid()}:{socket.gethostname()}")
    start = time.monotonic()
    imap.send(b"a STORE 1 +FLAGS (kw)\r\n")
    time.sleep(0.3)
    imap.process.send_signal(signal.SIGUSR1)
    assert b"* BYE" in imap.rest()
    assert time.monotonic() - start < 10  # it would wait for 30 s
    os.unlink(os.path.join(maildir, "tmp", "courier.lock"))


def test_failures_that_a_client_repeats_do_not_fill_the_log(imap, maildir):
    imap.ok("CREATE INBOX.N")
    shutil.rmtree(os.path.join(maildir, ".N", "new"))
    for _ in range(100):
        imap.no("SELECT INBOX.N")
    assert 1 <= imap.close().count("SELECT failed") <= 40  # 20 in a minute


def test_disk_full(start, maildir):
    s = start(limit=20000)
    s.append()
    big = b"Subject: big\r\n\r\n" + b"0123456789abcde\r\n" * 20000
    status, text, _ = s.cmd("APPEND INBOX {}", big)
    assert status == "NO" and (text.startswith(b"[OVERQUOTA]") or text.startswith(b"[SERVERBUG]")), text
    s.send(b"x APPEND INBOX {%d+}\r\n" % len(big) + big + b"\r\ny NOOP\r\n")
    assert s.until(b"x")[0] == "NO" and s.until(b"y")[0] == "OK"
    s.append()
    assert len(os.listdir(os.path.join(maildir, "cur"))) == 2 and os.listdir(os.path.join(maildir, "tmp")) == []
    assert "APPEND failed, user=nobody" in s.close()


def test_inactivity(start):
    s = start("--timeout", "1")
    assert s.line() == b"* BYE Disconnected for inactivity."
    assert s.rest() == b"" and "TIMEOUT, user=nobody" in s.close()
    s = start("--timeout", "1")
    s.send(b"a NO")  # half a command does not count
    assert s.line().startswith(b"* BYE")
    s = start("--timeout", "1")
    s.send(b"a IDLE\r\n")
    assert s.line().startswith(b"+") and s.line().startswith(b"* BYE")


def test_imaplib(maildir):
    """Another implementation of IMAP."""
    import imaplib

    as_user = ["/usr/bin/setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups"] if ROOT else []
    c = imaplib.IMAP4_stream(" ".join(as_user + WRAPPER + [IMAPD, "--maildir", maildir, "2>/dev/null"]))
    assert c.state == "AUTH" and "UIDPLUS" in c.capabilities
    assert c.append("INBOX", "(\\Flagged)", imaplib.Time2Internaldate(1e9), MESSAGE)[0] == "OK"
    assert c.select("INBOX") == ("OK", [b"1"])
    assert c.search(None, "FROM", '"ada"') == ("OK", [b"1"])
    status, data = c.fetch("1", "(UID FLAGS RFC822)")
    assert data[0][1] == MESSAGE
    assert c.store("1", "+FLAGS", "\\Deleted")[0] == "OK" and c.expunge() == ("OK", [b"1"])
    assert c.create("INBOX.X")[0] == "OK" and len(c.list()[1]) == 2 and c.namespace()[0] == "OK"
    assert c.status("INBOX.X", "(MESSAGES)")[1] == [b'"INBOX.X" (MESSAGES 0)']
    c.close()
    assert c.logout()[0] == "BYE"


def test_read_only_maildir(imap, maildir):
    imap.append()
    for d in ("cur", "new", "tmp", ""):
        os.chmod(os.path.join(maildir, d), 0o500)
    try:
        imap.ok("SELECT INBOX")
        assert b"[READ-ONLY]" in imap.text
        assert b"Hello Bob" in imap.ok("FETCH 1 BODY[]")[0]
        assert b"[NOPERM]" in imap.no("APPEND INBOX {}", MESSAGE)
        assert b"[NOPERM]" in imap.no("CREATE INBOX.X")
    finally:
        for d in ("", "cur", "new", "tmp"):
            os.chmod(os.path.join(maildir, d), 0o700)


# --- what was parsed once (waypostparsed) ---

def nested(depth):
    inner = b"Content-Type: text/plain\n\nin\n"
    for i in range(depth):
        inner = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n" % (i, i, inner, i)
    return b"Subject: nested\n" + inner


HARD = [
    MESSAGE.replace(b"\r\n", b"\n"), MESSAGE, b"", b"\n", b"no header at all", b"Subject: no end", b"Subject: crs\r\r\n\r\n\rx",
    b"Subject: \xe4\xf6\xff 8bit\nFrom: \xe4 <\xfc@x>\n\n\xff\n", b"Subject: n\0ul\nTo: a\0b@c\nX\0Y: z\n\n\0\n", nested(100),
    b"Subject: " + b"long " * 40000 + b"\n\nbody\n", b"Subject: folds\n" + b"".join(b"X-%d: y\n\tz\n" % i for i in range(900)) + b"\nx",
    b"Content-Type: multipart/mixed; boundary=\"x\n\n--x\n\na\n--x--\n", b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\n",
    b"Content-Type: message/rfc822\n\nSubject: in\nFrom: \"q\\\"\" <a@b>\n\nbody", b"From mbox line\nno colon\nSubject: y\n\nbody",
    b"Content-Type: text/plain; name*=utf-8''%0d%0a; x=\"a\\\\b\"\nContent-Description: =?x?q?\xff?= (\nSubject: \"q\\\n\nz",
    b"From: " + b", ".join(b"a%d <a%d@x.org>" % (i, i) for i in range(600)) + b"\nDate: Mon, 7 Feb 1994 21:52:25 -0800\n\nx",
]
ASKED = [
    "FETCH 1:* ENVELOPE", "FETCH 1:* BODY", "FETCH 1:* BODYSTRUCTURE", "FETCH 1:* FULL", "FETCH 1:* BODY.PEEK[HEADER]",
    "FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject From X-1 Content-Type)]", "FETCH 1:* BODY.PEEK[HEADER.FIELDS.NOT (Subject)]",
    "FETCH 1:* BODY.PEEK[HEADER]<3.50>", "FETCH 1:* RFC822.HEADER", "FETCH 1:* (ENVELOPE RFC822.SIZE BODY.PEEK[] BODYSTRUCTURE)",
    "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (To)] BODY.PEEK[TEXT] BODY.PEEK[1] BODY.PEEK[1.MIME])",
    "SEARCH SUBJECT y", "SEARCH SUBJECT \"\"", "SEARCH FROM a7", "SEARCH TO bob", "SEARCH HEADER X-7 y", "SEARCH SENTON 7-Feb-1994",
    "SEARCH NOT SENTBEFORE 1-Jan-2000", "SEARCH OR SUBJECT nested BODY body", "SEARCH TEXT body", "SEARCH SUBJECT l LARGER 100",
]


def ask_all(maildir, select="SELECT"):
    c = Imap(maildir)
    c.ok(f"{select} INBOX")
    told = [c.ok(what) for what in ASKED]
    c.ok("LOGOUT")
    return told, c.close()


def hard_maildir(maildir):
    for i, text in enumerate(HARD):
        name = os.path.join(maildir, "cur", f"{1000 + i}.M1P1.host:2,S")
        with open(name, "wb") as f:
            f.write(text)
        if ROOT:
            os.chown(name, UID, GID)
    return os.path.join(maildir, "waypostparsed")


def test_parsed_once_is_the_same_bytes(maildir):
    parsed = hard_maildir(maildir)
    cold, _ = ask_all(maildir, "EXAMINE")
    assert not os.path.exists(parsed)
    assert ask_all(maildir)[0] == cold
    size = os.stat(parsed).st_size
    assert size > 10000 and os.stat(parsed).st_mode & 0o777 == 0o600
    for select in "SELECT", "EXAMINE":
        told, log = ask_all(maildir, select)
        assert told == cold and "waypostparsed" not in log
    assert os.stat(parsed).st_size == size
    good = open(parsed, "rb").read()
    said = 0  # the log of all sessions is one file
    for bad in good[:-1], good[:size // 2], b"x" + good, good[:3000] + b"\n* BYE\r\n" + good[3008:], b"":
        with open(parsed, "wb") as f:
            f.write(bad)
        told, log = ask_all(maildir)
        assert told == cold
        said += bad != b""
        assert log.count("waypostparsed of folder INBOX is damaged") == said
        assert os.stat(parsed).st_size == size
    os.unlink(parsed)
    assert ask_all(maildir)[0] == cold


def parsed_sum(h, data):
    """md_cache_sum()."""
    for at in range(0, len(data), 8):
        h = (h ^ int.from_bytes(data[at:at + 8], sys.byteorder if len(data) - at >= 8 else "little")) * 0xff51afd7ed558ccd
        h &= (1 << 64) - 1
        h ^= h >> 32
    return h


def test_parsed_forged(maildir):
    """Records with right checksums that a stranger made end no reply and say nothing in the server's name."""
    parsed = hard_maildir(maildir)
    cold, _ = ask_all(maildir)
    head = open(parsed, "rb").read()[:24]  # magic, UID 1, kind, length, base name
    for text in (b"(NIL)\r\n* BYE", b"", b"(", b")", b"((NIL)", b"(NIL))", b"(\"a\r\n* BYE\")", b"({3}\r\na)", b"({4}\r\nab\0d)",
                 b"(\"\\x\")", b"(\"\\", b"(\"\0\")", b"(BYE)", b"( NIL)", b"(NIL  1)", b"({99999999999999999999}\r\n)"):
        forged = b""
        for kind in 1, 2:
            start = head[:8] + struct.pack("=II", kind, len(text)) + head[16:24]
            forged += start + struct.pack("=Q", parsed_sum(parsed_sum(0x31725057, start), text)) + text
        with open(parsed, "wb") as f:
            f.write(forged)
        told, log = ask_all(maildir)
        assert told == cold, text
        assert "damaged" not in log, text
        with open(parsed, "rb") as f:
            assert f.read(len(forged)) == forged  # they were believed to be records


def test_parsed_once_opens_no_file(maildir):
    hard_maildir(maildir)
    quick = ["FETCH 1:2 ENVELOPE", "FETCH 1:2 BODYSTRUCTURE", "FETCH 1:2 BODY", "SEARCH FROM ada", "FETCH 1:2 RFC822.HEADER"]
    c = Imap(maildir)
    c.ok("SELECT INBOX")
    told = [c.ok(what) for what in quick]
    for name in sorted(os.listdir(os.path.join(maildir, "cur")))[:2]:
        with open(os.path.join(maildir, "cur", name), "r+b") as f:
            f.write(b"Subject: who changes a message breaks the Maildir's rule")
    assert [c.ok(what) for what in quick[:3] + quick[4:]] == told[:3] + told[4:]
    c.ok("LOGOUT")
    c.close()


def test_parsed_of_a_full_disk(maildir):
    parsed = hard_maildir(maildir)
    cold, _ = ask_all(maildir)
    os.unlink(parsed)
    c = Imap(maildir, limit=4096)
    c.ok("SELECT INBOX")
    assert [c.ok(what) for what in ASKED] == cold
    c.ok("LOGOUT")
    c.close()
    assert not os.path.exists(parsed) or os.stat(parsed).st_size <= 4096
    assert ask_all(maildir)[0] == cold
