"""Who acts on the mailboxes of model.py: IMAP and POP3 sessions, a deliverer, programs that rename and delete files.

Each has the commands do_NAME(arguments); one that must wait for replies is a generator that yields while it waits. The
arguments name messages by "the k-th that this session knows", so that a shortened list of commands keeps its meaning."""
import os
import re
import signal
import socket
import subprocess
import time

from model_truth import FLAGS, KEYWORDS, LETTERS, SYSTEM, Expunge, Finding, text_of

PREFIX = os.environ.get("WAYPOST_PREFIX", "/usr/local")
ROOT = os.getuid() == 0
UID = int(os.environ.get("WAYPOST_TEST_UID", "65534"))
GID = int(os.environ.get("WAYPOST_TEST_GID", "65534"))
DELETED = "\\Deleted"
OLD = [1199959200, 1104573600, 978343200]  # 2008, 2005, 2001
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
BAD_LOG = re.compile(r"given anew|removed or replaced|not in order|used up|\bbug\b|Sanitizer|runtime error|assert|corrupt|contradict|cannot|is not safe", re.I)


class Reply:
    def __init__(self, status, code, text):
        self.status, self.code, self.text = status, code, text  # KILLED: the session ended without an answer


class Command:
    def __init__(self, name, tag, start, uid=False):
        self.name, self.tag, self.start, self.uid = name, tag, start, uid
        self.search, self.status, self.copyuid, self.seen = None, {}, None, set()
        self.shown = {}  # what FETCH showed: uid -> items


class Actor:
    """One that acts; .task is what it is doing."""

    def __init__(self, world, name):
        self.world, self.truth, self.name = world, world.truth, name
        self.task = None
        self.sock = None

    def note(self, text):
        self.world.trail.append(f"{self.truth.now:>7} {self.name} {text}")

    def begin(self, op, args):
        task = getattr(self, "do_" + op)(args)
        if task is not None:
            self.task = task
            self.step(None)

    def step(self, value):
        try:
            self.task.send(value)
        except StopIteration:
            self.task = None

    def finish(self):
        """What must finish before everything is quiet: a generator, or None."""

    def stop(self):
        pass


class Talker(Actor):
    """One with a server process of its own (or a connection) and a line protocol."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.process = None
        self.buf = b""
        self.serial = 0
        self.waiting_since = None

    def spawn(self):
        self.sock, self.process = self.world.connect(self)
        self.sock.setblocking(False)
        self.buf = b""
        self.world.watch(self)

    def send(self, data):
        self.waiting_since = time.monotonic()
        self.sock.setblocking(True)
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # reading will tell
        self.sock.setblocking(False)

    def readable(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.truth.tick()
        if not data:
            self.closed()
            return
        self.buf += data
        while self.sock is not None and self.take():
            pass

    def drop(self):
        """The session is over, or we end it."""
        if self.sock is not None:
            self.world.unwatch(self)
            self.sock.close()
            self.sock = None
        if self.process is not None:
            if self.process.poll() is None:
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                    raise Finding("hang", f"{self.name}: the server does not end when its client is gone")
            self.process = None
        self.waiting_since = None

    def closed(self):
        if not self.closing:
            raise Finding("closed", f"{self.name}: the server closed the connection, {self.end_of_process()}; log:\n{self.world.log_tail(self)}")
        self.drop()
        self.gone()

    def end_of_process(self):
        try:
            return f"exit status {self.process.wait(5)}" if self.process is not None else "of a pool"
        except subprocess.TimeoutExpired:
            return "and lives on"

    def kill(self):
        if self.sock is None:
            return
        self.note("-- kill -9")
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
        self.dying = True
        self.drop()
        self.gone()

    def stop(self):
        if self.sock is not None:
            self.world.unwatch(self)
            self.sock.close()
            self.sock = None
        if self.process is not None:
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


# --- IMAP ---

TOKEN = re.compile(rb'\(|\)|"((?:[^"\\]|\\.)*)"|\{(\d+)\}\r\n|(BODY\[[^\]]*\](?:<\d+>)?|[^\s()"{]+)|\s+')


def parse(data):
    """Parses DATA into a list of bytes, None (NIL) and lists."""
    stack, at = [[]], 0
    while at < len(data):
        m = TOKEN.match(data, at)
        if not m:
            raise Finding("syntax", f"cannot read {data[at:at + 60]!r}")
        at = m.end()
        if m.group(0) == b"(":
            stack.append([])
        elif m.group(0) == b")":
            if len(stack) < 2:
                raise Finding("syntax", f"one ) too many in {data[:200]!r}")
            top = stack.pop()
            stack[-1].append(top)
        elif m.group(1) is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", m.group(1)))
        elif m.group(2) is not None:
            n = int(m.group(2))
            stack[-1].append(data[at:at + n])
            at += n
        elif m.group(3) is not None:
            stack[-1].append(None if m.group(3).upper() == b"NIL" else m.group(3))
    if len(stack) != 1:
        raise Finding("syntax", f"a ) is missing in {data[:200]!r}")
    return stack[0]


def numbers(text):
    """The numbers of a sequence set, in its order."""
    out = []
    for part in text.split(","):
        a, _, b = part.partition(":")
        a, b = int(a), int(b or a)
        out += range(a, b + 1) if a <= b else range(a, b - 1, -1)
    return out


def canonical(flag):
    """FLAG (bytes) as FLAGS spells it."""
    text = flag.decode("latin-1")
    for f in FLAGS:
        if f.lower() == text.lower():
            return f
    return text


def imap_date(t):
    g = time.gmtime(t)
    return f"{g.tm_mday:2d}-{MONTHS[g.tm_mon - 1]}-{g.tm_year} {g.tm_hour:02d}:{g.tm_min:02d}:{g.tm_sec:02d} +0000"


def read_date(text):
    m = re.fullmatch(rb"([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", text)
    if not m:
        raise Finding("syntax", f"{text!r} is no date and time")
    import calendar
    t = calendar.timegm((int(m[3]), MONTHS.index(m[2].decode()) + 1, int(m[1]), int(m[4]), int(m[5]), int(m[6])))
    offset = int(m[8]) * 3600 + int(m[9]) * 60
    return t - offset if m[7] == b"+" else t + offset


def seq_set(wanted):
    """1,2,3,7 as 1:3,7."""
    out = []
    for n in sorted(set(wanted)):
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in out)


class Imap(Talker):
    """An IMAP session and what its client knows."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.cmd = self.literal = None
        self.idling = False
        self.folder, self.readonly = None, False
        self.closing = False
        self.forget()

    def forget(self):
        if self.folder is not None and not self.readonly:
            self.folder.left = self.truth.tick()
        self.folder, self.readonly = None, False
        self.view = []         # UID of each message; None: not told yet, 0: would not be told
        self.since = []        # begin of the command in which each message was told of
        self.told = {}         # UID -> flags as this client has heard of them
        self.known = set()     # keywords that FLAGS has named
        self.own = {}          # (UID, flag) -> begin of our last STORE of it
        self.synced = 0        # begin of the last command that brought the view up to date
        self.selection = None
        self.untold = False

    # --- the stream ---
    def take(self):
        """Takes one response from the buffer, if there is a complete one."""
        at = 0
        while True:
            end = self.buf.find(b"\r\n", at)
            if end < 0:
                return False
            m = re.search(rb"\{(\d+)\}$", self.buf[at:end])
            if not m:
                break
            at = end + 2 + int(m.group(1))
            if len(self.buf) < at:
                return False
        line, self.buf = self.buf[:end], self.buf[end + 2:]
        self.note("S: " + (line if len(line) < 300 else line[:300] + b"...").decode("latin-1"))
        self.response(line)
        return True

    def response(self, line):
        if line.startswith(b"* "):
            self.untagged(line[2:])
        elif line.startswith(b"+"):
            if self.idling == "asked":
                self.idling = True
                self.step(None)
            elif self.literal is not None:
                data, self.literal = self.literal, None
                self.send(data)
            else:
                raise Finding("syntax", f"{self.name}: a continuation nobody waits for: {line!r}")
        else:
            self.tagged(line)

    def tagged(self, line):
        tag, status, text = (line.split(b" ", 2) + [b"", b""])[:3]
        if self.cmd is None or tag != self.cmd.tag:
            raise Finding("syntax", f"{self.name}: no command waits for {line!r}")
        if self.idling == "asked":
            raise Finding("no", f"{self.name}: IDLE got {line!r}")
        self.literal = None
        code = re.match(rb"\[([^\]]*)\]", text)
        code = code.group(1).decode("latin-1") if code else ""
        self.code(code)
        self.waiting_since = None
        self.reply(Reply(status.decode(), code, text.decode("latin-1")))

    def reply(self, reply):
        self.step(reply)

    def gone(self):
        """The session is gone; the pending command is told."""
        self.forget()
        self.idling, self.literal, self.closing = False, None, False
        self.cmd = None
        if self.task is not None:
            self.step(Reply("KILLED", "", ""))

    # --- what the server tells ---
    def code(self, code):
        word, _, rest = code.partition(" ")
        word = word.upper()
        if word == "UIDVALIDITY" and self.folder is not None:
            self.folder.told_uidvalidity(int(rest))
        elif word == "UIDNEXT" and self.folder is not None:
            self.folder.told_uidnext(int(rest), self.floor)
        elif word == "COPYUID" and self.cmd is not None:
            validity, source, target = rest.split()
            self.cmd.copyuid = int(validity), numbers(source), numbers(target)
        elif word in ("ALERT", "CORRUPTION", "SERVERBUG", "CONTACTADMIN", "UNAVAILABLE", "LIMIT", "OVERQUOTA", "INUSE"):
            raise Finding("code", f"{self.name}: [{code}] in answer to {self.doing()}; log:\n{self.world.log_tail(self)}")

    def doing(self):
        return "nothing" if self.cmd is None else self.cmd.text

    def untagged(self, line):
        m = re.match(rb"(\d+) (EXISTS|RECENT|EXPUNGE|FETCH)\b ?(.*)", line, re.S | re.I)
        if m:
            n, what = int(m.group(1)), m.group(2).upper()
            if self.folder is None:
                raise Finding("view", f"{self.name}: {line[:80]!r} while nothing is selected")
            if what == b"EXISTS":
                self.exists(n)
            elif what == b"RECENT":
                if n > len(self.view) and not self.opening:
                    raise Finding("view", f"{self.name}: {n} RECENT of {len(self.view)} messages")
            elif what == b"EXPUNGE":
                self.expunge(n)
            else:
                self.fetched(n, parse(m.group(3)))
            return
        word, _, rest = line.partition(b" ")
        word = word.upper()
        if word == b"BYE":
            if not self.closing:
                raise Finding("bye", f"{self.name}: * {line.decode('latin-1')} in answer to {self.doing()}; log:\n{self.world.log_tail(self)}")
        elif word in (b"OK", b"NO", b"BAD", b"PREAUTH"):
            m = re.match(rb"\[([^\]]*)\]", rest)
            if m:
                self.code(m.group(1).decode("latin-1"))
        elif word == b"FLAGS":
            self.known |= {f.lower() for f in parse(rest)[0]}
        elif word == b"SEARCH":
            if self.cmd is None or self.cmd.name != "SEARCH" or self.cmd.search is not None:
                raise Finding("syntax", f"{self.name}: SEARCH in answer to {self.doing()}")
            self.cmd.search = [int(x) for x in rest.split()]
        elif word == b"STATUS":
            items = parse(rest)[-1]
            self.cmd.status.update({items[i].decode().upper(): int(items[i + 1]) for i in range(0, len(items), 2)})
        elif word not in (b"CAPABILITY", b"LIST", b"LSUB", b"ENABLED", b"NAMESPACE"):
            raise Finding("syntax", f"{self.name}: cannot understand * {line[:100]!r}")

    @property
    def opening(self):
        return self.cmd is not None and self.cmd.name in ("SELECT", "EXAMINE")

    def exists(self, n):
        if self.cmd is None:
            raise Finding("view", f"{self.name}: EXISTS while no command runs")
        if n < len(self.view):
            raise Finding("exists-shrinks", f"{self.name}: {n} EXISTS, {len(self.view)} messages were known")
        self.view += [None] * (n - len(self.view))
        self.since += [self.cmd.start] * (n - len(self.since))

    def expunge(self, n):
        if self.cmd is None:
            raise Finding("view", f"{self.name}: EXPUNGE while no command runs")
        if self.cmd.name in ("FETCH", "STORE", "SEARCH") and not self.cmd.uid:
            raise Finding("view", f"{self.name}: EXPUNGE during {self.doing()}")
        if not 1 <= n <= len(self.view):
            raise Finding("view", f"{self.name}: {n} EXPUNGE of {len(self.view)} messages")
        uid = self.view.pop(n - 1)
        self.since.pop(n - 1)
        if not uid:
            self.folder.unseen += 1
            return
        self.told.pop(uid, None)
        m = self.folder.mails[uid]
        if not m.could_be_gone():
            raise Finding("expunge", f"{self.name}: EXPUNGE of {m}, which nobody removed; deleted: {m.flags[DELETED]}; expunges: {self.folder.expunges}")
        if m.gone is None:
            m.gone = self.truth.now

    def fetched(self, n, data):
        if not 1 <= n <= len(self.view):
            raise Finding("view", f"{self.name}: FETCH of {n}, there are {len(self.view)} messages")
        items = {data[0][i].decode("latin-1").upper(): data[0][i + 1] for i in range(0, len(data[0]), 2)}
        if "UID" in items:
            self.told_uid(n, int(items["UID"]))
        uid = self.view[n - 1]
        if not uid:
            return  # some number; its data is used when its UID is known
        m = self.folder.mails[uid]
        if self.cmd is not None:
            self.cmd.seen.add(uid)
        for name, value in items.items():
            if name == "FLAGS":
                self.told_flags(m, value)
            elif name == "RFC822.SIZE" and m.body and int(value) != len(text_of(m.body)):
                raise Finding("size", f"{self.name}: {m} has size {int(value)}, is {len(text_of(m.body))}")
            elif name == "INTERNALDATE":
                self.told_date(m, read_date(value))
            elif name == "BODY[]":
                self.told_text(m, value)
            elif name.startswith("BODY[HEADER.FIELDS"):
                self.told_header(m, value)

    def told_uid(self, n, uid):
        had = self.view[n - 1]
        if had:
            if had != uid:
                raise Finding("uid-changed", f"{self.name}: message {n} of {self.folder} had UID {had}, now {uid}")
            return
        before = next((u for u in reversed(self.view[:n - 1]) if u), 0)
        after = next((u for u in self.view[n:] if u), 1 << 32)
        if not before < uid < after:
            raise Finding("uid-order", f"{self.name}: message {n} of {self.folder} has UID {uid}, between {before} and {after}")
        m = self.folder.learn(uid)
        if m.gone is not None and m.gone < self.since[n - 1]:
            raise Finding("back-again", f"{self.name}: {m} was gone before this session could see it")
        self.view[n - 1] = uid

    def told_flags(self, m, value):
        flags = {canonical(f) for f in value}
        for f in value:
            if not f.startswith(b"\\") and f.lower() not in self.known:
                self.harmless("keyword-unnamed", f"{self.name}: {m} has keyword {f!r}, which FLAGS has not named")
        for f in FLAGS:
            allowed = m.flags[f].read(max(self.synced, self.own.get((m.uid, f), 0)))
            if f in KEYWORDS and m.could_be_gone():
                continue  # the last change to the keywords of a message goes with it, maybe before EXPUNGE may be told
            if (f in flags) not in allowed:
                raise Finding("flag", f"{self.name}: {m} is told with{'' if f in flags else 'out'} {f}, against all that was stored: {m.flags[f]}")
        strange = flags - set(FLAGS) - {"\\Recent"}
        if strange:
            raise Finding("flag", f"{self.name}: {m} has {strange}, which nobody stored")
        if "\\Recent" in flags and not self.readonly:
            if m.recent not in (None, self.selection):
                raise Finding("recent-twice", f"{self.name}: {m} is \\Recent here and was in {m.recent}")
            m.recent = self.selection
        self.told[m.uid] = flags - {"\\Recent"}

    def told_date(self, m, t):
        if m.date is None:
            m.date = t
        elif m.date != t:
            raise Finding("date", f"{self.name}: {m} has the date {imap_date(t)}, had {imap_date(m.date)}")

    def told_header(self, m, value):
        found = re.match(rb"X-Model: (\d+)\r\n", value or b"", re.I)
        if not found:
            raise Finding("text", f"{self.name}: {m} has the header {value!r}")
        self.folder.bind(m, int(found.group(1)))

    def told_text(self, m, value):
        found = re.search(rb"\r\nX-Model: (\d+)\r\n", value or b"")
        if not found:
            raise Finding("text", f"{self.name}: {m} has the text {(value or b'')[:200]!r}")
        self.folder.bind(m, int(found.group(1)))
        if value != text_of(m.body):
            raise Finding("text", f"{self.name}: {m} has {len(value)} bytes that differ from the {len(text_of(m.body))} of text {m.body}")

    def harmless(self, kind, text):
        """A finding that need not end the run: --ignore KIND."""
        if kind not in self.world.options.ignore:
            raise Finding(kind, text)

    # --- talking ---
    def run(self, name, text, uid=False, literal=None, sync=True):
        """One command; its Reply. LITERAL is sent behind the command when the server asks for it."""
        self.serial += 1
        now = self.truth.tick()
        self.cmd = Command(name, b"%s%d" % (self.name.encode(), self.serial), now, uid)
        self.cmd.text = ("UID " if uid else "") + text
        self.floor = self.folder.floor if self.folder is not None else 1
        data = self.cmd.tag + b" " + self.cmd.text.encode()
        self.note("C: " + data.decode("latin-1"))
        if literal is not None:
            data += b"{%d}" % len(literal)
            self.literal = literal + b"\r\n"
        self.send(data + b"\r\n")
        reply = yield
        cmd, self.cmd = self.cmd, None
        self.last = cmd
        if reply.status == "BAD":
            raise Finding("bad", f"{self.name}: {cmd.text} got BAD {reply.text}")
        if reply.status == "KILLED":
            return reply
        # A command that ended has brought the view up to date, as far as numbers allow.
        if sync and name in ("NOOP", "CHECK", "SELECT", "EXAMINE", "IDLE") and reply.status == "OK":
            self.synced = max(self.synced, cmd.start)
        return reply

    def refused(self, reply, mails=(), codes=()):
        """NO needs a reason: one of CODES, or a message that may have been expunged."""
        if reply.status != "NO":
            return
        if reply.code.split(" ")[0] in codes:
            return
        if any(m.could_be_gone() for m in mails):
            return
        raise Finding("no", f"{self.name}: {self.last.text} got NO {reply.text}; log:\n{self.world.log_tail(self)}")

    def ready(self):
        """Connected, not in IDLE, and knowing the UIDs of all messages. False: the session was killed meanwhile."""
        if self.idling:
            self.note("C: DONE")
            self.send(b"DONE\r\n")
            reply = yield
            cmd, self.cmd, self.idling = self.cmd, None, False
            if reply.status == "KILLED":
                return False
            if reply.status != "OK":
                raise Finding("no", f"{self.name}: IDLE got {reply.status} {reply.text}")
            self.synced = max(self.synced, cmd.start)
        if self.sock is None:
            self.spawn()
        return (yield from self.learn_uids())

    def learn_uids(self):
        """Finds the UIDs of the messages that EXISTS announced."""
        tries, asked = 0, None
        while None in self.view:
            first, last = self.view.index(None) + 1, len(self.view)
            tries, asked = tries if asked == first else 0, first
            items = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (X-MODEL)])" if tries == 0 else "(UID FLAGS)"
            reply = yield from self.run("FETCH", f"FETCH {first}:{last} {items}")
            if reply.status == "KILLED":
                return False
            self.refused(reply, codes=("EXPUNGEISSUED",))
            tries += 1
            if tries > 2:
                self.view = [0 if u is None else u for u in self.view]
        return True

    def pick(self, args, key="k"):
        """[(number, UID)] of the messages that ARGS names, each once."""
        known = [(n + 1, u) for n, u in enumerate(self.view) if u]
        if not known:
            return []
        if args[key] == "all":
            return known
        return sorted({known[int(k) % len(known)] for k in args[key].split(",")})

    def naming(self, args, wanted):
        """The set to send, and whether it is of UIDs."""
        uid = args.get("by") == "uid"
        return seq_set([u if uid else n for n, u in wanted]), uid

    def mails(self, wanted):
        return [self.folder.mails[u] for _, u in wanted]

    # --- commands ---
    def do_select(self, args):
        if not (yield from self.ready()):
            return
        name = "EXAMINE" if args.get("ro") else "SELECT"
        self.forget()
        folder = self.truth.folders[args["f"]]
        self.folder, self.readonly = folder, name == "EXAMINE"
        self.selection = (self.name, self.truth.tick())
        then = folder.sure()
        reply = yield from self.run(name, f'{name} "{folder.name}"')
        if reply.status == "KILLED":
            return
        self.refused(reply)
        count, text = len(self.view), self.last.text
        if (yield from self.learn_uids()):
            folder.check_count(count, then, f"{self.name}: {text}")

    def do_close(self, args):
        yield from self.leave("CLOSE")

    def do_unselect(self, args):
        yield from self.leave("UNSELECT")

    def leave(self, name):
        if not (yield from self.ready()) or self.folder is None:
            return
        window = Expunge(self.truth.tick()) if name == "CLOSE" and not self.readonly else None
        if window:
            self.folder.expunges.append(window)
        reply = yield from self.run(name, name)
        if window and reply.status != "KILLED":
            window.end = self.truth.now
        self.refused(reply)
        if reply.status != "KILLED":
            self.forget()

    def do_logout(self, args):
        if self.sock is None or not (yield from self.ready()):
            return
        self.closing = True
        self.send(b"zz LOGOUT\r\n")
        self.note("C: LOGOUT")
        self.cmd = Command("LOGOUT", b"zz", self.truth.now)
        self.cmd.text = "LOGOUT"
        reply = yield
        self.cmd = None
        if reply.status != "KILLED":
            yield  # until it is closed

    def do_noop(self, args):
        if (yield from self.ready()):
            self.refused((yield from self.run("NOOP", "NOOP")))

    def do_check(self, args):
        if (yield from self.ready()) and self.folder is not None:
            self.refused((yield from self.run("CHECK", "CHECK")))

    def do_idle(self, args):
        if not (yield from self.ready()) or self.folder is None:
            return
        self.serial += 1
        self.cmd = Command("IDLE", b"%s%d" % (self.name.encode(), self.serial), self.truth.tick())
        self.cmd.text = "IDLE"
        self.floor = self.folder.floor
        self.idling = "asked"
        self.note("C: " + self.cmd.tag.decode() + " IDLE")
        self.send(self.cmd.tag + b" IDLE\r\n")
        yield  # until +
        self.waiting_since = None

    def do_fetch(self, args):
        if not (yield from self.ready()):
            return
        wanted = self.pick(args)
        if not wanted:
            return
        text, uid = self.naming(args, wanted)
        reply = yield from self.run("FETCH", f"FETCH {text} {args['items'].replace('_', ' ')}", uid)
        if reply.status == "KILLED":
            return
        mails = [self.folder.mails[u] for _, u in wanted]
        self.refused(reply, mails)
        for m in mails:
            if m.uid not in self.last.seen and not m.could_be_gone():
                raise Finding("fetch", f"{self.name}: {self.last.text} says nothing of {m}")

    def do_store(self, args):
        if not (yield from self.ready()):
            return
        wanted = self.pick(args)
        if not wanted:
            return
        text, uid = self.naming(args, wanted)
        flags = [f for f in args["flags"].split(",") if f]
        how, silent, folder, mails = args["how"], bool(args.get("silent")), self.folder, self.mails(wanted)
        now = self.truth.tick()
        writes = []
        if not self.readonly:
            for m in mails:
                for f in FLAGS if how == "=" else flags:
                    writes.append((m, f, m.flags[f].begin(how != "-" and f in flags, now)))
        reply = yield from self.run("STORE", f"STORE {text} {how.replace('=', '')}FLAGS{'.SILENT' if silent else ''} ({' '.join(flags)})", uid)
        done = self.truth.tick()
        for m, f, w in writes:
            sure = reply.status == "OK" and not m.could_be_gone()
            m.flags[f].end(w, done, True if sure else None)
            if reply.status == "OK":
                self.own[m.uid, f] = max(w.start, self.own.get((m.uid, f), 0))
        if reply.status == "KILLED" or self.folder is not folder:
            return
        if self.readonly:
            if reply.status == "OK":
                raise Finding("readonly", f"{self.name}: {self.last.text} got OK after EXAMINE")
            return
        self.refused(reply, mails)
        if reply.status == "NO":  # some may have been changed: this client knows nothing about them
            for m in mails:
                self.told.pop(m.uid, None)
        if reply.status == "OK" and silent:
            for m in mails:
                if m.uid in self.told and m.uid not in self.last.seen:
                    was = self.told[m.uid]
                    self.told[m.uid] = set(flags) if how == "=" else was | set(flags) if how == "+" else was - set(flags)
        elif reply.status == "OK":
            for m in mails:
                if m.uid not in self.last.seen and not m.could_be_gone():
                    raise Finding("store", f"{self.name}: {self.last.text} does not tell the new flags of {m}")

    def do_append(self, args):
        if not (yield from self.ready()):
            return
        folder, body = self.truth.folders[args["f"]], int(args["n"])
        if body in folder.adds:
            return
        flags = [f for f in args.get("flags", "").split(",") if f]
        date = int(args.get("date", 0))
        floor = folder.floor
        folder.adding(body)
        reply = yield from self.run("APPEND", f'APPEND "{folder.name}" ({" ".join(flags)}) ' + (f'"{imap_date(date)}" ' if date else ""),
                                    literal=text_of(body))
        if reply.status == "KILLED":
            folder.added(body, None)
            return
        if reply.status == "NO":
            folder.added(body, False)
            self.refused(reply)
        folder.added(body, True)
        found = re.fullmatch(r"APPENDUID (\d+) (\d+)", reply.code)
        if not found:
            raise Finding("appenduid", f"{self.name}: {self.last.text} got OK {reply.text}")
        folder.told_uidvalidity(int(found.group(1)))
        uid = int(found.group(2))
        folder.check_new_uid(uid, floor)
        m = folder.learn(uid)
        folder.bind(m, body)
        m.stored = self.last.start
        for f in FLAGS:
            m.initial(f, {f in flags})
        if date:
            self.told_date(m, date)

    def do_copy(self, args):
        yield from self.transfer("COPY", args)

    def do_move(self, args):
        yield from self.transfer("MOVE", args)

    def transfer(self, name, args):
        if not (yield from self.ready()):
            return
        wanted = self.pick(args)
        if not wanted:
            return
        text, uid = self.naming(args, wanted)
        source, target, mails = self.folder, self.truth.folders[args["to"]], self.mails(wanted)
        move = name == "MOVE" and not self.readonly
        mails = [m for m in mails if m.body]  # for the others the target would be unknown
        if len(mails) != len(wanted):
            return
        me = (self.name, self.truth.tick())
        floor, since = target.floor, self.synced
        own = {k: v for k, v in self.own.items()}
        for m in mails:
            target.adding(m.body)
            if move:
                m.suspects.add(me)
        reply = yield from self.run(name, f'{name} {text} "{target.name}"', uid)
        if reply.status == "KILLED":
            for m in mails:
                target.added(m.body, None)
            return
        pairs = self.last.copyuid
        if reply.status == "NO" and not (move and pairs):
            for m in mails:
                target.added(m.body, False)
                m.suspects.discard(me)
            if not (name == "MOVE" and self.readonly):
                self.refused(reply, mails, codes=("EXPUNGEISSUED",))
            return
        if name == "MOVE" and self.readonly:
            raise Finding("readonly", f"{self.name}: {self.last.text} got OK after EXAMINE")
        if pairs is None:
            pairs = (target.uidvalidity, [], [])
            if any(not m.could_be_gone() for m in mails):
                raise Finding("copyuid", f"{self.name}: {self.last.text} got {reply.status} {reply.text}, no COPYUID")
        self.transferred(move, me, mails, target, pairs, floor, since, own)

    def transferred(self, move, me, mails, target, pairs, floor, since, own):
        validity, old, new = pairs
        if validity is not None:
            target.told_uidvalidity(validity)
        if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new) or not set(old) <= {m.uid for m in mails}:
            raise Finding("copyuid", f"{self.name}: {self.last.text}: COPYUID {old} {new}")
        where = dict(zip(old, new))
        for m in mails:
            if m.uid not in where:
                target.added(m.body, False)
                others = len(m.suspects) > (me in m.suspects)
                m.suspects.discard(me)
                if not others and not m.could_be_gone():
                    raise Finding("copyuid", f"{self.name}: {self.last.text} has left out {m}")
                continue
            target.check_new_uid(where[m.uid], floor)
            c = target.learn(where[m.uid])
            target.added(m.body, True)
            target.bind(c, m.body)
            c.stored = self.last.start
            for f in FLAGS:
                c.initial(f, m.flags[f].read(max(since, own.get((m.uid, f), 0))))
            if m.date is not None:
                self.told_date(c, m.date)
            if move and m.gone is None:
                m.gone = self.truth.now

    def do_expunge(self, args):
        if not (yield from self.ready()) or self.folder is None:
            return
        folder, uids = self.folder, None
        text, uid = "EXPUNGE", False
        if args.get("by") == "uid":
            wanted = self.pick(args)
            if not wanted:
                return
            uids = {u for _, u in wanted}
            text, uid = f"EXPUNGE {seq_set(uids)}", True
        now = self.truth.tick()
        # What this client knows to be \Deleted must go.
        must = [folder.mails[u] for u in self.view if u and (uids is None or u in uids) and
                folder.mails[u].flags[DELETED].read(now) == {True} and DELETED in self.told.get(u, ())]
        window = Expunge(now, uids)
        if not self.readonly:
            folder.expunges.append(window)
        reply = yield from self.run("EXPUNGE", text, uid)
        if reply.status == "KILLED":
            return
        window.end = self.truth.now
        if self.readonly:
            if reply.status == "OK":
                raise Finding("readonly", f"{self.name}: {self.last.text} got OK after EXAMINE")
            return
        self.refused(reply)
        for m in must:
            if m.uid in self.view and m.flags[DELETED].read(now) == {True}:
                raise Finding("expunge", f"{self.name}: {self.last.text} has left {m}, which is \\Deleted")

    def do_search(self, args):
        if not (yield from self.ready()) or self.folder is None:
            return
        uid = args.get("by") == "uid"
        text, test = self.key(args["key"])
        before = [u for u in self.view]
        reply = yield from self.run("SEARCH", f"SEARCH {text}", uid)
        if reply.status == "KILLED":
            return
        self.refused(reply)
        found = self.last.search or []
        if not uid:
            if any(not 1 <= n <= len(before) for n in found):
                raise Finding("search", f"{self.name}: {self.last.text} finds {found} of {len(before)}")
            found = [before[n - 1] for n in found]
        strange = [u for u in found if u not in before and u not in self.view]
        if strange and None not in self.view and 0 not in self.view:
            raise Finding("search", f"{self.name}: {self.last.text} finds UIDs {strange}, which are not in the mailbox")
        for u in before:
            if not u:
                continue
            m = self.folder.mails[u]
            can = test(m)
            if (u in found) not in can and not m.could_be_gone():  # its keywords may go before it does
                raise Finding("search", f"{self.name}: {self.last.text} {'finds' if u in found else 'does not find'} {m}")

    def key(self, text):
        """(SEARCH key, what it may say of a mail) of our short form: a+b, a|b, !a, or a word."""
        if "+" in text:
            a, b = (self.key(t) for t in text.split("+", 1))
            return f"{a[0]} {b[0]}", lambda m: {x and y for x in a[1](m) for y in b[1](m)}
        if "|" in text:
            a, b = (self.key(t) for t in text.split("|", 1))
            return f"OR {a[0]} {b[0]}", lambda m: {x or y for x in a[1](m) for y in b[1](m)}
        if text[0] == "!":
            a = self.key(text[1:])
            return f"NOT {a[0]}", lambda m: {not x for x in a[1](m)}
        word, _, value = text.partition("=")

        def flag(f):
            return lambda m: m.flags[f].read(max(self.synced, self.own.get((m.uid, f), 0)))
        if word == "flag":
            return (value[1:].upper(), flag(value)) if value[0] == "\\" else (f"KEYWORD {value}", flag(value))
        either = {True, False}
        if word == "old":
            return "BEFORE 1-Jan-2015", lambda m: either if m.date is None else {m.date < 1420070400}
        if word == "larger":
            return f"LARGER {value}", lambda m: either if not m.body else {len(text_of(m.body)) > int(value)}
        if word == "text":
            return f'HEADER X-Model "{value}"', lambda m: either if not m.body else {value in str(m.body)}
        if word == "uid":
            uids = {u for _, u in self.pick({"k": value})} or {1}
            return f"UID {seq_set(uids)}", lambda m: {m.uid in uids}
        return "ALL", lambda m: {True}

    def do_status(self, args):
        if not (yield from self.ready()):
            return
        folder = self.truth.folders[args["f"]]
        then, floor = folder.sure(), folder.floor
        reply = yield from self.run("STATUS", f'STATUS "{folder.name}" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)')
        if reply.status == "KILLED":
            return
        self.refused(reply)
        s = self.last.status
        folder.told_uidvalidity(s["UIDVALIDITY"])
        folder.told_uidnext(s["UIDNEXT"], floor)
        folder.check_count(s["MESSAGES"], then, f"{self.name}: STATUS")
        if max(s["UNSEEN"], s["RECENT"]) > s["MESSAGES"]:
            raise Finding("count", f"{self.name}: STATUS says {s}")

    def do_folder(self, args):
        """CREATE, DELETE, RENAME of folders that nobody selects."""
        if not (yield from self.ready()):
            return
        name = f"INBOX.x{args['a']}"
        text = f'{args["what"]} "{name}"' + (f' "INBOX.y{args["a"]}"' if args["what"] == "RENAME" else "")
        reply = yield from self.run(args["what"], text)
        if reply.status == "NO" and reply.code.split(" ")[0] not in ("ALREADYEXISTS", "NONEXISTENT", "CANNOT", ""):
            self.refused(reply)

    def do_kill(self, args):
        self.kill()

    def finish(self):
        """Quiet: leaves IDLE and synchronises twice, so that what the first NOOP found is reported."""
        if self.sock is None:
            return
        for _ in range(2):
            if not (yield from self.ready()):
                return
            yield from self.run("NOOP", "NOOP")
        if not (yield from self.ready()) or self.folder is None or not self.view:
            return
        heard = {u: set(f) for u, f in self.told.items()}
        yield from self.run("FETCH", "FETCH 1:* (UID FLAGS)")
        for u, flags in heard.items():
            if self.told.get(u, flags) != flags:
                self.harmless("untold", f"{self.name}: {self.folder.mails[u]} has {sorted(self.told[u])}; this client was left to think {sorted(flags)}")

    def do_inspect(self, args):
        """The session of the checker: reads all of one folder while everything is quiet."""
        if not (yield from self.ready()):
            return
        yield from self.do_select({"f": args["f"], "ro": 1})
        if self.view:
            yield from self.run("FETCH", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        if self.last.name == "FETCH":
            for u in self.view:
                if u not in self.last.seen:
                    raise Finding("fetch", f"nothing was told of UID {u} of {self.folder}")


# --- POP3 ---

class Pop3(Talker):
    """A POP3 session: what it learned at its start is valid to its end."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.multi = False
        self.closing = False
        self.gone_reset()

    def gone_reset(self):
        self.list, self.uidl, self.deleted = None, None, set()

    def take(self):
        end = self.buf.find(b"\r\n.\r\n") if self.multi and not self.buf.startswith(b"-ERR") else self.buf.find(b"\r\n")
        if end < 0:
            return False
        if self.multi and not self.buf.startswith(b"-ERR"):
            first, _, rest = self.buf[:end + 2].partition(b"\r\n")
            self.buf = self.buf[end + 5:]
            rest = re.sub(rb"(^|\r\n)\.\.", rb"\1.", rest)
        else:
            first, rest = self.buf[:end], b""
            self.buf = self.buf[end + 2:]
        self.note("S: " + first.decode("latin-1") + f" +{len(rest)}")
        self.waiting_since = None
        self.multi = False
        self.step((first.startswith(b"+OK"), first.decode("latin-1"), rest))
        return True

    def gone(self):
        self.gone_reset()
        self.multi = self.closing = False
        if self.task is not None:
            self.step((None, "", b""))

    def run(self, text, multi=False):
        self.truth.tick()
        self.note("C: " + text)
        self.multi = multi
        self.send(text.encode() + b"\r\n")
        reply = yield
        return reply

    def ready(self):
        if self.sock is not None:
            return True
        folder = self.truth.folders["main"]
        then = folder.sure()
        self.truth.tick()
        self.gone_reset()
        self.spawn()
        if self.world.pop_greets:
            ok, text, _ = yield
            if ok is None:
                return False
        ok, text, data = yield from self.run("LIST", True)
        if ok is None:
            return False
        if not ok:
            raise Finding("pop3", f"{self.name}: LIST got {text}")
        self.list = [tuple(map(int, line.split())) for line in data.splitlines()]
        ok, text, data = yield from self.run("UIDL", True)
        if ok is None:
            return False
        self.uidl = [line.split(b" ", 1)[1] for line in data.splitlines()]
        if len(self.uidl) != len(self.list) or [n for n, _ in self.list] != list(range(1, len(self.list) + 1)):
            raise Finding("pop3", f"{self.name}: LIST tells {self.list}, UIDL {len(self.uidl)} messages")
        if len(set(self.uidl)) != len(self.uidl):
            raise Finding("uidl", f"{self.name}: two messages of one UIDL: {self.uidl}")
        folder.check_count(len(self.list), then, f"{self.name}: LIST")
        for n in range(1, len(self.list) + 1):
            if self.uidl[n - 1] in self.truth.uidls:
                self.check_size(n)
            elif not (yield from self.look(n)):
                return False
        self.check_all_there(folder)
        return True

    def look(self, n):
        """Which text is message N? False: killed."""
        ok, text, data = yield from self.run(f"TOP {n} 0", True)
        if ok is None:
            return False
        if ok:
            found = re.search(rb"\r\nX-Model: (\d+)\r\n", data)
            if not found:
                raise Finding("pop3", f"{self.name}: TOP {n} gave {data[:200]!r}")
            body = int(found.group(1))
            if self.truth.uidls.setdefault(self.uidl[n - 1], body) != body:
                raise Finding("uidl", f"{self.name}: UIDL {self.uidl[n - 1]} is text {body}, was text {self.truth.uidls[self.uidl[n - 1]]}")
            self.check_size(n)
        return True

    def body(self, n):
        return self.truth.uidls.get(self.uidl[n - 1])

    def check_size(self, n):
        body = self.body(n)
        if body is not None and self.list[n - 1][1] != len(text_of(body)):
            raise Finding("pop3", f"{self.name}: message {n} (text {body}) has {self.list[n - 1][1]} bytes, is {len(text_of(body))}")

    def check_all_there(self, folder):
        """What was in INBOX before this session began and was not removed is in its list."""
        bodies = [self.body(n) for n in range(1, len(self.list) + 1)]
        if None in bodies:
            return
        for body in folder.adds:
            sure = [m for m in folder.of_body(body) if m.settled and not m.could_be_gone()]
            if not folder.adds[body].lost and bodies.count(body) < len(sure):
                raise Finding("pop3", f"{self.name}: {sure} are in INBOX, text {body} is in this list {bodies.count(body)} times")

    def may_be_gone(self, body):
        folder = self.truth.folders["main"]
        a = folder.adds.get(body)
        return body is None or a is None or a.lost or any(m.could_be_gone() for m in folder.of_body(body))

    def pick(self, args):
        if not self.list:
            return None
        n = int(args["k"]) % len(self.list) + 1
        return n if n not in self.deleted else None

    def refused(self, n, text):
        if self.uidl is not None and not self.may_be_gone(self.body(n)):
            raise Finding("pop3", f"{self.name}: message {n} (text {self.body(n)}) got {text}")

    def do_retr(self, args):
        if not (yield from self.ready()):
            return
        n = self.pick(args)
        if n is None:
            return
        folder, body = self.truth.folders["main"], self.body(n)
        writes = []
        if body is not None:
            folder.touched.add((body, "\\Seen"))
            writes = [(m, m.flags["\\Seen"].begin(True, self.truth.tick())) for m in folder.of_body(body)]
        ok, text, data = yield from self.run(f"RETR {n}", True)
        for m, w in writes:
            m.flags["\\Seen"].end(w, self.truth.now, None)
        if ok:
            found = re.search(rb"\r\nX-Model: (\d+)\r\n", data)
            is_now = int(found.group(1)) if found else None
            if body is not None and is_now != body or found is None or data != text_of(is_now):
                raise Finding("pop3", f"{self.name}: message {n} (text {body}) gave {len(data)} bytes of text {is_now}")
        elif ok is False:
            self.refused(n, text)

    def do_top(self, args):
        if not (yield from self.ready()):
            return
        n = self.pick(args)
        if n is None:
            return
        body = self.body(n)
        ok, text, data = yield from self.run(f"TOP {n} 2", True)
        if ok and body is not None:
            head, _, rest = text_of(body).partition(b"\r\n\r\n")
            want = head + b"\r\n\r\n" + b"".join(line + b"\r\n" for line in rest.split(b"\r\n")[:-1][:2])
            if data != want:
                raise Finding("pop3", f"{self.name}: TOP {n} 2 (text {body}) gave {data!r}")
        elif ok is False:
            self.refused(n, text)

    def do_list(self, args):
        if not (yield from self.ready()):
            return
        ok, text, data = yield from self.run("LIST", True)
        if ok is not None:
            got = [tuple(map(int, line.split())) for line in data.splitlines()]
            if not ok or got != [x for x in self.list if x[0] not in self.deleted]:
                raise Finding("pop3", f"{self.name}: LIST gives {got}, was {self.list}")
            ok, text, data = yield from self.run("UIDL", True)
        if ok is not None:
            got = [line.split(b" ", 1) for line in data.splitlines()]
            if not ok or got != [[b"%d" % n, u] for n, u in enumerate(self.uidl, 1) if n not in self.deleted]:
                raise Finding("pop3", f"{self.name}: UIDL gives {got}, was {self.uidl}")

    def do_dele(self, args):
        if not (yield from self.ready()):
            return
        n = self.pick(args)
        if n is None:
            return
        ok, text, _ = yield from self.run(f"DELE {n}")
        if ok:
            self.deleted.add(n)
        elif ok is False:
            self.refused(n, text)

    def do_rset(self, args):
        if (yield from self.ready()):
            ok, text, _ = yield from self.run("RSET")
            if ok:
                self.deleted.clear()
            elif ok is False:
                raise Finding("pop3", f"{self.name}: RSET got {text}")

    def do_quit(self, args):
        if self.sock is None or self.list is None:
            return
        folder = self.truth.folders["main"]
        self.closing = True
        me = (self.name, self.truth.tick())
        bodies = [self.body(n) for n in self.deleted]
        for body in bodies:
            if body is None:
                continue
            folder.lose_unknown(body)
            for m in folder.of_body(body):
                m.suspects.add(me)
        if None in bodies:  # one whose text could not be read: it was gone already
            pass
        ok, text, _ = yield from self.run("QUIT")
        if ok is None:
            return
        if not ok and not any(self.may_be_gone(b) for b in bodies):
            raise Finding("pop3", f"{self.name}: QUIT got {text}")
        if ok:
            for body in bodies:
                mails = folder.of_body(body)
                a = folder.adds.get(body)
                if len(mails) == 1 and a.started == 1 and mails[0].gone is None:
                    mails[0].gone = self.truth.now
        yield  # until it is closed

    def do_kill(self, args):
        self.kill()


# --- programs on files ---

def uid_list(folder):
    """base name -> UID, out of courierimapuiddb."""
    try:
        with open(os.path.join(folder.path, "courierimapuiddb"), "rb") as f:
            lines = f.read().split(b"\n")
    except FileNotFoundError:
        return None, {}
    head = lines[0].split()
    return (int(head[1]), int(head[2])), {base: int(uid) for uid, _, base in (line.partition(b" ") for line in lines[1:] if line)}


def split_name(name):
    """(base, flag letters) of a file name."""
    base, _, info = name.rpartition(b":")
    return (base, info[2:].decode()) if base else (name, "")


class Deliverer(Actor):
    """tmp -> new, as a delivery agent; sometimes with an old time. What it has begun it may end later."""
    count = 0

    def __init__(self, world, name):
        super().__init__(world, name)
        self.begun = []

    def do_write(self, args):
        folder, body = self.truth.folders[args["f"]], int(args["n"])
        if body in folder.adds or any(b == body for _, b, _ in self.begun):
            return
        data = text_of(body).replace(b"\r\n", b"\n")
        self.count += 1
        name = f"{int(time.time())}.M{self.count:06d}P{os.getpid()}_{self.name}.outside" + (f",S={len(data)}" if args.get("size") else "")
        tmp = os.path.join(folder.path, "tmp", name)
        with open(tmp, "wb") as f:
            f.write(data)
        if ROOT:
            os.chown(tmp, UID, GID)
        if args.get("date"):
            os.utime(tmp, (int(args["date"]), int(args["date"])))
        self.begun.append((folder, body, name))

    def do_deliver(self, args):
        if not self.begun:
            return
        folder, body, name = self.begun.pop(0)
        self.truth.tick()
        folder.adding(body)
        try:
            os.rename(os.path.join(folder.path, "tmp", name), os.path.join(folder.path, "new", name))
        except FileNotFoundError:
            raise Finding("tmp", f"tmp/{name} of {folder} was removed while it was being delivered") from None
        self.note(f"delivered {name}")
        self.truth.tick()
        folder.added(body, True)


class Mover(Actor):
    """Renames: flags of files in cur/, new/ -> cur/ with flags."""

    def do_rename(self, args):
        folder = self.truth.folders[args["f"]]
        _, uids = uid_list(folder)
        names = sorted(n for n in os.listdir(os.path.join(folder.path, "cur").encode()) if split_name(n)[0] in uids)
        if not names:
            return
        name = names[int(args["k"]) % len(names)]
        base, letters = split_name(name)
        m = folder.mails.get(uids[base])
        flag, on = args["flag"], args["how"] == "+"
        letter = LETTERS[flag]
        want = "".join(sorted((set(letters) | {letter}) if on else set(letters) - {letter}))
        if m is None or want == letters:
            return
        w = m.flags[flag].begin(on, self.truth.tick())
        d = os.path.join(folder.path, "cur").encode()
        try:
            os.rename(os.path.join(d, name), os.path.join(d, base + b":2," + want.encode()))
            done = True
        except FileNotFoundError:
            done = False
        m.flags[flag].end(w, self.truth.tick(), done)
        self.note(f"{name} -> {want}: {done}")

    def do_rest(self, args):
        """As long as md_stamp.h wants before it believes that nothing changes (SETTLE_MS), and a little more."""
        time.sleep(2.1)

    def do_take(self, args):
        folder = self.truth.folders[args["f"]]
        names = sorted(os.listdir(os.path.join(folder.path, "new").encode()))
        if not names:
            return
        name = names[int(args["k"]) % len(names)]
        _, uids = uid_list(folder)
        if name in uids:
            return  # its flags were reported already
        self.truth.tick()
        try:
            if "T" in args.get("to", ""):  # the session that expunges may not know of it
                with open(os.path.join(folder.path.encode(), b"new", name), "rb") as f:
                    folder.lose_unknown(int(re.search(rb"^X-Model: (\d+)", f.read(), re.M)[1]))
            os.rename(os.path.join(folder.path.encode(), b"new", name), os.path.join(folder.path.encode(), b"cur", name + b":2," + args.get("to", "").encode()))
            self.note(f"took {name} to cur/ with {args.get('to', '')}")
        except FileNotFoundError:
            pass
        self.truth.tick()


class Deleter(Actor):
    def do_unlink(self, args):
        folder = self.truth.folders[args["f"]]
        _, uids = uid_list(folder)
        d = os.path.join(folder.path, "cur").encode()
        names = sorted(n for n in os.listdir(d) if split_name(n)[0] in uids and uids[split_name(n)[0]] in folder.mails)
        if not names:
            return
        name = names[int(args["k"]) % len(names)]
        m = folder.mails[uids[split_name(name)[0]]]
        m.suspects.add((self.name, self.truth.tick()))
        try:
            os.unlink(os.path.join(d, name))
        except FileNotFoundError:
            m.suspects = {s for s in m.suspects if s[0] != self.name}
            return
        self.note(f"deleted {name} ({m})")
        m.gone = self.truth.tick() if m.gone is None else m.gone
