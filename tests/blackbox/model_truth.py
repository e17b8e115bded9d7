"""What is true of a mailbox while many change it at once, as far as those who change it can know: the truth behind model.py.

Time is a counter that grows with every event. A change happens at some moment between its beginning and its end; one
whose outcome nobody learned (its session was killed) may have happened or not. From that follows what a reader may be
told (RFC 3501 2.3, 5.2, 7.3, 7.4; RFC 4315; RFC 6851; RFC 1939). Nothing here knows how the server works."""
import random

SYSTEM = ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"]
KEYWORDS = ["$one", "$two", "three", "Four"]
FLAGS = SYSTEM + KEYWORDS
LETTERS = {"\\Answered": "R", "\\Deleted": "T", "\\Draft": "D", "\\Flagged": "F", "\\Seen": "S"}
BOTH = frozenset((True, False))
FOREVER = float("inf")


def text_of(number):
    """Message NUMBER: always the same bytes."""
    r = random.Random(number * 7919 + 1)
    lines = [b"From: Sender <sender@example.com>", b"To: reader@example.com", b"Subject: message %d" % number,
             b"Date: Mon, 02 Jan 2023 10:00:00 +0000", b"Message-ID: <%d@model.example>" % number, b"X-Model: %d" % number, b""]
    for _ in range(r.choice((0, 1, 3, 3, 10, 60, 400))):
        lines.append(r.choice((b"", b".", b"..dots", b"a line", b"From here", b"x" * r.randrange(1, 200))))
    return b"\r\n".join(lines) + b"\r\n"


class Finding(Exception):
    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Write:
    __slots__ = ("values", "start", "end", "over")

    def __init__(self, values, start, end=None):
        self.values, self.start, self.end, self.over = values, start, end, FOREVER


class Register:
    """A flag of a message: the writes to it that somebody may still see."""
    __slots__ = ("writes",)

    def __init__(self, values=BOTH):
        self.writes = [Write(frozenset(values), 0, 0)]

    def read(self, since, until=FOREVER):
        """The values that a reader may see at some moment between SINCE and UNTIL."""
        found = set()
        for w in self.writes:
            if w.start <= until and w.over >= since:
                found |= w.values
        return found

    def begin(self, value, now):
        w = Write(frozenset((value,)), now)
        self.writes.append(w)
        return w

    def end(self, w, now, outcome):
        """OUTCOME: True: it was done; False: it was not; None: unknown."""
        w.end = now
        if outcome is False:
            self.writes.remove(w)
        elif outcome:
            for other in self.writes:
                if other.end is not None and other.end < w.start:
                    other.over = min(other.over, now)

    def __repr__(self):
        return "; ".join(f"{'/'.join(str(v) for v in sorted(w.values))} from {w.start} to {w.end}{'' if w.over == FOREVER else f', over by {w.over}'}" for w in self.writes)

    def pin(self, value):
        self.writes = [Write(frozenset((value,)), 0, 0)]


class Mail:
    """One UID of one folder."""

    def __init__(self, folder, uid):
        self.folder, self.uid = folder, uid
        self.body = None      # number of its text
        self.date = None      # INTERNALDATE as reported, or the expected time (an int)
        self.flags = {f: Register() for f in FLAGS}
        self.gone = None      # when it was certainly gone
        self.suspects = set() # commands that may have removed it
        self.settled = False  # it was there when all was quiet
        self.recent = None    # the selection (read-write) that had \Recent
        self.stored = None    # begin of the APPEND, COPY or MOVE that put it there

    def __repr__(self):
        return f"{self.folder.name}/{self.uid}(text {self.body})"

    def could_be_gone(self, until=FOREVER):
        """May somebody have removed it before UNTIL?"""
        if self.gone is not None or self.suspects:
            return True
        if self.body is None and self.folder.unknown_lost():
            return True
        deleted = self.flags["\\Deleted"]
        return any(e.may_take(self.uid) and e.start <= until and True in deleted.read(e.start, e.until()) for e in self.folder.expunges)

    def initial(self, flag, values):
        """It came with FLAG so (VALUES) if nobody knew better yet."""
        if (self.body, flag) not in self.folder.touched:
            first = self.flags[flag].writes[0]
            if first.end == 0 and first.values == BOTH:
                first.values = frozenset(values)


class Expunge:
    """An EXPUNGE, UID EXPUNGE or CLOSE, under way or over: what has \\Deleted meanwhile may go."""

    def __init__(self, start, uids=None):
        self.start, self.end, self.uids = start, None, uids

    def __repr__(self):
        return f"{self.start} to {self.end}{'' if self.uids is None else f' of {sorted(self.uids)}'}"

    def may_take(self, uid):
        return self.uids is None or uid in self.uids

    def until(self):
        return FOREVER if self.end is None else self.end


class Adds:
    """How often a text was put into a folder."""

    def __init__(self):
        self.started = self.done = 0
        self.uids = set()
        self.lost = 0  # how many may have been removed before anybody knew their UID


class Folder:
    def __init__(self, truth, name, path):
        self.truth, self.name, self.path = truth, name, path
        self.uidvalidity = None
        self.mails = {}
        self.floor = 1      # no UIDNEXT may be told that is lower, no new message gets a UID below
        self.adds = {}
        self.expunges = []
        self.touched = set()  # (text, flag): changed by text, not by UID
        self.unseen = 0       # how many went before anybody was told their UID
        self.left = 0         # when a read-write selection ended last

    def __repr__(self):
        return self.name

    # --- putting in ---
    def adding(self, body):
        a = self.adds.setdefault(body, Adds())
        a.started += 1

    def added(self, body, outcome):
        """OUTCOME as in Register.end()."""
        a = self.adds[body]
        if outcome:
            a.done += 1
        elif outcome is False:
            a.started -= 1
            if len(a.uids) > a.started:
                raise Finding("refused-but-there", f"text {body} is in {self}, as {sorted(a.uids)}, and was refused")

    def learn(self, uid):
        """The mail with UID, which somebody has seen."""
        if uid < 1 or uid >= 2 ** 32:
            raise Finding("uid", f"{uid} is no UID")
        if uid not in self.mails:
            self.mails[uid] = Mail(self, uid)
        self.floor = max(self.floor, uid + 1)
        return self.mails[uid]

    def bind(self, mail, body):
        """MAIL was seen to have the text BODY."""
        if mail.body == body:
            return
        if mail.body is not None:
            raise Finding("uid-reused", f"UID {mail.uid} of {self} was text {mail.body} and is text {body}")
        a = self.adds.get(body)
        if a is None:
            raise Finding("stranger", f"UID {mail.uid} of {self} is text {body}, which nobody put there")
        mail.body = body
        a.uids.add(mail.uid)
        if a.lost: # one with this text was removed without knowing which
            mail.suspects.add(("unknown", self.truth.now))
        if len(a.uids) > a.started:
            raise Finding("doubled", f"text {body} was put into {self} {a.started} times and is there as UIDs {sorted(a.uids)}")

    def check_new_uid(self, uid, floor):
        """UID was given to a message whose command began when no lower one than FLOOR was free."""
        if uid < floor:
            raise Finding("uid-back", f"{self} gave UID {uid} to a new message; UID {floor - 1} or UIDNEXT {floor} had been told before")

    def told_uidnext(self, value, floor):
        if value < floor:
            raise Finding("uidnext-falls", f"UIDNEXT {value} of {self} was told; it was {floor} or more before")
        self.floor = max(self.floor, value)

    def told_uidvalidity(self, value):
        if self.uidvalidity is None:
            self.uidvalidity = value
        elif value != self.uidvalidity:
            raise Finding("uidvalidity", f"{self} had UIDVALIDITY {self.uidvalidity}, now {value}")

    # --- counting ---
    def sure(self):
        """(how many were certainly added, how many are certainly gone) up to now."""
        return sum(a.done for a in self.adds.values()), sum(m.gone is not None and bool(m.body) for m in self.mails.values())

    def check_count(self, n, then, what):
        """A command that began when sure() was THEN reported N messages."""
        most = sum(a.started for a in self.adds.values()) - then[1]
        least = then[0] - sum(m.body != 0 and m.could_be_gone() for m in self.mails.values()) - sum(a.lost for a in self.adds.values()) - self.unseen
        if not least <= n <= most:
            sure = [m.uid for m in self.mails.values() if m.gone is None and not m.could_be_gone()]
            new = {b: a.done - a.lost - len(a.uids) for b, a in self.adds.items() if a.done - a.lost > len(a.uids)}
            raise Finding("count", f"{what} says {n} messages in {self}; there are {least} to {most}: UIDs {sure} for sure, and without UID, by text, {new}")

    def lose_unknown(self, body):
        """A message with BODY may have been removed by someone who does not know its UID."""
        a = self.adds.get(body)
        if a is not None and len(a.uids) < a.started:
            a.lost = a.started - len(a.uids)

    def unknown_lost(self):
        """May somebody have removed a message without knowing its UID?"""
        return any(a.lost for a in self.adds.values())

    def of_body(self, body):
        return [self.mails[u] for u in self.adds[body].uids] if body in self.adds else []

    # --- everything is quiet ---
    def check_recent(self, present):
        """Somebody has it selected read-write and knows the flags of all, PRESENT: what was stored since anybody left is \Recent for one."""
        for uid in present:
            m = self.mails[uid]
            if m.stored is not None and m.stored > self.left and m.recent is None:
                raise Finding("recent-lost", f"{m} was stored at {m.stored}, nobody has left since, and nobody has it as \\Recent")

    def settle(self, present, where):
        """PRESENT: uid -> frozenset(flags), as read while nothing changed."""
        now = self.truth.now
        for uid in present:
            m = self.mails.get(uid)
            if m is not None and m.gone is not None:
                raise Finding("back-again", f"{m} was removed and is there again ({where})")
        for uid, m in self.mails.items():
            if m.gone is None and uid not in present:
                if not m.could_be_gone():
                    raise Finding("lost", f"{m} is gone and nobody removed it ({where})")
                m.gone = now
        for uid, flags in present.items():
            m = self.learn(uid)
            for f in FLAGS:
                allowed = m.flags[f].read(now)
                if (f in flags) not in allowed:
                    raise Finding("flag-lost", f"{m} {'has' if f in flags else 'has not'} {f}, against all that was stored: {m.flags[f]} ({where})")
                m.flags[f].pin(f in flags)
            m.suspects.clear()
            m.settled = True
        nameless = [m for m in self.mails.values() if m.body is None and m.gone is not None]
        missing = {b: a for b, a in self.adds.items() if len(a.uids) < a.done - a.lost}
        if sum(a.done - a.lost - len(a.uids) for a in missing.values()) > len(nameless) + self.unseen:
            raise Finding("not-once", f"put into {self} and never seen there: " + ", ".join(
                f"text {b} {a.done} times, as UIDs {sorted(a.uids)}" for b, a in missing.items()) + f" ({where})")
        if len(nameless) > sum(a.started - len(a.uids) for a in self.adds.values()):
            raise Finding("ghost", f"UIDs {[m.uid for m in nameless]} of {self} were told, and no message can have been behind all of them ({where})")
        for m in nameless:
            m.body = 0
        for a in self.adds.values():
            a.started = a.done = len(a.uids)
            a.lost = 0
        self.unseen = 0
        self.expunges.clear()
        self.touched.clear()


class Truth:
    def __init__(self):
        self.now = 1
        self.folders = {}
        self.uidls = {}  # of POP3: UIDL -> text

    def tick(self):
        self.now += 1
        return self.now
