"""SORT, THREAD, and what SEARCH returns: RFC 5256, 5957, 4731, 5182, 5267, 9394, 5032. Results are compared with those of a plain
model of the RFC's text, over random mailboxes."""
import email.utils
import os
import random
import re

import pytest

from test_imapd_direct import deliver, home, imap, maildir, start  # noqa: F401 (fixtures)

SEEDS = range(4)


# --- A model ---

def base_subject(text):
    """(base subject, is a reply), RFC 5256 section 2.1."""
    text, reply = re.sub(r"[ \t\r\n]+", " ", text), False
    blob = r"\[[^\[\]]*\] *"
    while True:
        while True:  # (2)
            new = re.sub(r"\(fwd\)$", "", text.rstrip(" "), flags=re.I)
            reply = reply or new != text.rstrip(" ")
            if new == text:
                break
            text = new
        while True:  # (3) to (5)
            before = text
            text = text.lstrip(" ")
            m = re.match(rf"(?:{blob})*(?:re|fwd?) *(?:{blob})?:", text, flags=re.I)
            if m:
                text, reply = text[m.end():], True
            m = re.match(blob, text)
            if m and text[m.end():]:
                text = text[m.end():]
            if text == before:
                break
        m = re.fullmatch(r"\[fwd:(.*)\]", text, flags=re.I)  # (6)
        if not m:
            return text, reply
        text, reply = m.group(1), True


class Mail:
    def __init__(self, number, rnd, n):
        ids = [f"<{i}@x>" for i in range(n + 3)]
        self.number = number
        self.arrival = 1100000000 + rnd.randrange(5) * 1000
        self.date = 1000000000 + rnd.randrange(8) * 1000 if rnd.random() < 0.9 else None
        self.subject = random_subject(rnd) if rnd.random() < 0.9 else None
        self.mailbox = {f: rnd.choice(["ann", "Bob", "carl", "dora"]) for f in ("From", "To", "Cc") if rnd.random() < 0.8}
        self.name = {f: rnd.choice(["Zed", "ada", None]) for f in self.mailbox}
        self.size = rnd.randrange(5)
        self.id = rnd.choice(ids[:n] if rnd.random() < 0.1 else [ids[number - 1]]) if rnd.random() < 0.9 else None
        self.refs = [rnd.choice(ids) for _ in range(rnd.randrange(4))] if rnd.random() < 0.6 else []
        self.reply_to = rnd.choice(ids) if rnd.random() < 0.3 else None

    def text(self):
        lines = [f"{f}: " + (f"{self.name[f]} <{self.mailbox[f]}@x.org>" if self.name[f] else f"{self.mailbox[f]}@x.org") + ", last@x.org"
                 for f in self.mailbox]
        if self.date is not None:
            lines.append("Date: " + email.utils.formatdate(self.date))
        if self.subject is not None:
            lines.append("Subject: " + self.subject)
        if self.id:
            lines.append("Message-ID: " + self.id)
        if self.refs:
            lines.append("References: " + " ".join(self.refs))
        if self.reply_to:
            lines.append("In-Reply-To: " + self.reply_to)
        head = "\n".join(lines)
        return (head + "\n\n" + "x" * (900 + self.size - len(head) - len(lines)) + "\n").encode()

    def value(self, criterion):
        if criterion in ("FROM", "TO", "CC"):
            return self.mailbox.get(criterion.capitalize(), "").upper()
        if criterion in ("DISPLAYFROM", "DISPLAYTO"):
            field = criterion[7:].capitalize()
            return (self.name.get(field) or (self.mailbox[field] + "@x.org" if field in self.mailbox else "")).upper()
        return {"ARRIVAL": self.arrival, "DATE": self.sent(), "SIZE": self.size, "SUBJECT": base_subject(self.subject or "")[0].upper()}[criterion]

    def sent(self):
        return self.arrival if self.date is None else self.date


def random_subject(rnd):
    text = " ".join(rnd.choice(["plan", "Budget", "[x]", "re", "fwd"]) for _ in range(rnd.randrange(3)))
    for _ in range(rnd.randrange(3)):
        before, after = rnd.choice([("Re: ", ""), ("[list] re: ", ""), ("Fwd: ", ""), ("", " (fwd)"), ("[fwd: ", "]"), ("re[2]:", ""), ("[a] ", "")])
        text = before + text + after
    return text or "x"


class Node:
    def __init__(self, mail=None):
        self.mail, self.parent, self.children = mail, None, []

    def key(self):
        m = self.mail or self.children[0].mail
        return m.sent(), m.number

    def under(self, parent):
        if self.parent:
            self.parent.children.remove(self)
        self.parent = parent
        if parent:
            parent.children.append(self)

    def is_above(self, other):
        while other:
            if other is self:
                return True
            other = other.parent
        return False

    def subject(self):
        return base_subject((self.mail or self.children[0].mail).subject or "")

    def sort(self):
        for c in self.children:
            c.sort()
        self.children.sort(key=Node.key)


def references(mails):
    """RFC 5256 section 3, REFERENCES, step by step."""
    table, nodes = {}, []
    for m in mails:  # 1
        node = table.setdefault(m.id, Node()) if m.id else Node()
        if node.mail:
            node = Node()
        node.mail = m
        nodes.append(node)
        refs = [table.setdefault(r, Node()) for r in (m.refs or ([m.reply_to] if m.reply_to else []))]
        for a, b in zip(refs, refs[1:]):
            if not b.parent and not b.is_above(a):
                b.under(a)
        node.under(None)
        if refs and not node.is_above(refs[-1]):
            node.under(refs[-1])
    every = nodes + [n for n in table.values() if n not in nodes]
    root = Node()
    for n in every:  # 2
        if not n.parent:
            n.under(root)

    def prune(n):  # 3
        for c in list(n.children):
            prune(c)
        if n.mail or n is root:
            return
        if not n.children or n.parent is not root or len(n.children) == 1:
            for c in list(n.children):
                c.under(n.parent)
            n.under(None)
    prune(root)
    for n in root.children:  # 4
        if not n.mail:
            n.children.sort(key=Node.key)
    root.children.sort(key=Node.key)
    subjects = {}  # 5
    for n in root.children:
        subject, reply = n.subject()
        old = subjects.get(subject.upper())
        if subject and (old is None or (old.mail and (not n.mail or (old.subject()[1] and not reply)))):
            subjects[subject.upper()] = n
    for n in list(root.children):
        subject, reply = n.subject()
        old = subjects.get(subject.upper())
        if not subject or old is n:
            continue
        if not old.mail and not n.mail:
            for c in list(n.children):
                c.under(old)
            n.under(None)
        elif not old.mail or (reply and not old.subject()[1]):
            n.under(old)
        else:
            both = Node()
            both.under(root)
            n.under(both)
            old.under(both)
            subjects[subject.upper()] = both
    root.sort()  # 6
    return "".join(f"({written(n)})" for n in root.children)


def written(n):
    inner = written(n.children[0]) if len(n.children) == 1 else "".join(f"({written(c)})" for c in n.children)
    return " ".join(x for x in (str(n.mail.number) if n.mail else "", inner) if x)


def ordered_subject(mails):
    threads = {}
    for m in sorted(mails, key=lambda m: (m.sent(), m.number)):
        threads.setdefault(base_subject(m.subject or "")[0].upper(), []).append(m.number)
    return "".join(f"({t[0]}" + (f" {t[1]}" if len(t) == 2 else " " + "".join(f"({n})" for n in t[1:]) if len(t) > 2 else "") + ")"
                   for t in threads.values())


def fill(maildir, rnd, n):
    mails = [Mail(i + 1, rnd, n) for i in range(n)]
    for m in mails:
        name = f"{1700000000 + m.number}.M1P1.host"
        deliver(maildir, name, m.text())
        os.utime(os.path.join(maildir, "new", name), (m.arrival, m.arrival))
    return mails


def numbers(lines, word):
    (line,) = [x for x in lines if x.startswith(b"* " + word.encode())]
    return [int(x) for x in line.split()[2:]]


# --- SORT and THREAD ---

@pytest.mark.parametrize("seed", SEEDS)
def test_sort_as_the_model(imap, maildir, seed):
    rnd = random.Random(seed)
    mails = fill(maildir, rnd, 30)
    imap.ok("SELECT INBOX")
    criteria = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"]
    for program in [[(False, c)] for c in criteria] + [[(rnd.random() < 0.5, c) for c in rnd.sample(criteria, 3)] for _ in range(20)]:
        want = list(mails)
        for reverse, c in reversed(program):
            want.sort(key=lambda m: m.value(c), reverse=reverse)
        text = " ".join(("REVERSE " if r else "") + c for r, c in program)
        assert numbers(imap.ok(f"SORT ({text}) UTF-8 ALL"), "SORT") == [m.number for m in want], text


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_as_the_model(imap, maildir, seed):
    mails = fill(maildir, random.Random(seed), 60)
    imap.ok("SELECT INBOX")
    assert imap.ok("THREAD REFERENCES UTF-8 ALL")[0].decode() == "* THREAD " + references(mails)
    assert imap.ok("THREAD ORDEREDSUBJECT UTF-8 ALL")[0].decode() == "* THREAD " + ordered_subject(mails)
    some = [m for m in mails if m.number % 3]
    keys = ",".join(str(m.number) for m in some)
    assert imap.ok(f"THREAD REFERENCES UTF-8 {keys}")[0].decode() == "* THREAD " + references(some)


def test_uid_forms_and_nothing_found(imap):
    for i in range(3):
        imap.append()
    imap.ok("SELECT INBOX")
    imap.ok("STORE 1 +FLAGS (\\Deleted)")
    imap.ok("EXPUNGE")
    assert imap.ok("UID SORT (REVERSE ARRIVAL) US-ASCII ALL")[0] in (b"* SORT 3 2", b"* SORT 2 3")
    assert imap.ok("UID THREAD ORDEREDSUBJECT US-ASCII ALL") == [b"* THREAD (2 3)"]
    assert imap.ok("SORT (DATE) UTF-8 DELETED") == [b"* SORT"]
    assert imap.ok("THREAD REFERENCES UTF-8 DELETED") == [b"* THREAD"]


@pytest.mark.parametrize("command", [
    "SORT", "SORT ALL", "SORT () UTF-8 ALL", "SORT (FOO) UTF-8 ALL", "SORT (REVERSE) UTF-8 ALL", "SORT (DATE UTF-8 ALL", "SORT (DATE) UTF-8",
    "SORT (DATE)", "SORT (DATE REVERSE) UTF-8 ALL", "SORT(DATE) UTF-8 ALL", "SORT (DATE  SIZE) UTF-8 ALL", "THREAD", "THREAD FOO UTF-8 ALL",
    "THREAD REFERENCES", "THREAD REFERENCES UTF-8", "THREAD REFERENCES UTF-8 FOO", "SEARCH RETURN", "SEARCH RETURN (", "SEARCH RETURN () ",
    "SEARCH RETURN (FOO) ALL", "SEARCH RETURN (MIN", "SEARCH RETURN (MIN) ", "SEARCH RETURN MIN ALL", "SEARCH RETURN (PARTIAL) ALL",
    "SEARCH RETURN (PARTIAL 1) ALL", "SEARCH RETURN (PARTIAL 0:1) ALL", "SEARCH RETURN (PARTIAL -1:1) ALL", "SEARCH RETURN (PARTIAL 1:2 ALL) ALL",
    "SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "SEARCH RETURN (MIN ) ALL", "SEARCH OLDER", "SEARCH OLDER 0", "SEARCH YOUNGER x", "FETCH $,1 FLAGS",
    "SEARCH $1", "UID EXPUNGE $,1", "STORE $", "SEARCH RETURN (PARTIAL 4294967296:1) ALL",
])
def test_bad_syntax(imap, command):
    imap.append()
    imap.ok("SELECT INBOX")
    imap.bad(command)
    imap.ok("NOOP")


def test_unknown_charset(imap):
    imap.append()
    imap.ok("SELECT INBOX")
    assert imap.no("SORT (DATE) KLINGON ALL").startswith(b"[BADCHARSET (")
    assert imap.no("THREAD REFERENCES KLINGON ALL").startswith(b"[BADCHARSET (")


def test_needs_a_mailbox(imap):
    imap.bad("SORT (DATE) UTF-8 ALL")
    imap.bad("THREAD REFERENCES UTF-8 ALL")


def test_announced(imap):
    for word in b"SORT SORT=DISPLAY THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL".split():
        assert word in re.split(rb"[] ]", imap.greeting)


# --- What SEARCH returns ---

def esearch(lines):
    """The ESEARCH reply's items, {} if it has none; None if there is no reply."""
    found = [x for x in lines if x.startswith(b"* ESEARCH ")]
    if not found:
        return None
    m = re.fullmatch(rb'\* ESEARCH \(TAG "t\d+"\)( UID)?((?: [A-Z]+ (?:[0-9:,]+|\([^)]*\)))*)', found[0])
    assert m, found
    items = dict(re.findall(r"([A-Z]+) ([0-9:,]+|\([^)]*\))", m.group(2).decode()))
    return dict(items, UID=True) if m.group(1) else items


@pytest.fixture
def ten(imap):
    """A session with ten messages of UIDs 2 to 11, of which 3, 5 and 7 are flagged."""
    for i in range(11):
        imap.append()
    imap.ok("SELECT INBOX")
    imap.ok("STORE 1 +FLAGS (\\Deleted)")
    imap.ok("EXPUNGE")
    imap.ok("STORE 3,5,7 +FLAGS (\\Flagged)")
    return imap


@pytest.mark.parametrize("options,want", [
    ("", {"ALL": "3,5,7"}), ("ALL", {"ALL": "3,5,7"}), ("MIN", {"MIN": "3"}), ("MAX", {"MAX": "7"}), ("COUNT", {"COUNT": "3"}),
    ("MIN MAX", {"MIN": "3", "MAX": "7"}), ("all count max min", {"MIN": "3", "MAX": "7", "COUNT": "3", "ALL": "3,5,7"}),
    ("PARTIAL 1:2", {"PARTIAL": "(1:2 3,5)"}), ("PARTIAL 2:1", {"PARTIAL": "(2:1 3,5)"}), ("PARTIAL 3:9", {"PARTIAL": "(3:9 7)"}),
    ("PARTIAL 4:9", {"PARTIAL": "(4:9 NIL)"}), ("PARTIAL -1:-2", {"PARTIAL": "(-1:-2 5,7)"}), ("PARTIAL -3:-9", {"PARTIAL": "(-3:-9 3)"}),
    ("PARTIAL -4:-9", {"PARTIAL": "(-4:-9 NIL)"}), ("COUNT PARTIAL 1:1", {"COUNT": "3", "PARTIAL": "(1:1 3)"}),
])
def test_return_options(ten, options, want):
    assert esearch(ten.ok(f"SEARCH RETURN ({options}) FLAGGED")) == want
    uids = {k: re.sub(r"(?<![:\d-])\d+(?!:)", lambda m: str(int(m.group()) + 1), v) if k not in ("COUNT", "PARTIAL") else v for k, v in want.items()}
    if "PARTIAL" not in want:
        assert esearch(ten.ok(f"UID SEARCH RETURN ({options}) FLAGGED")) == dict(uids, UID=True)


def test_return_of_nothing(ten):
    assert esearch(ten.ok("SEARCH RETURN (MIN MAX ALL COUNT) ANSWERED")) == {"COUNT": "0"}
    assert esearch(ten.ok("UID SEARCH RETURN () ANSWERED")) == {"UID": True}


def test_return_of_sort_keeps_its_order(ten):
    assert esearch(ten.ok("SORT RETURN (ALL MIN MAX COUNT) (REVERSE ARRIVAL) UTF-8 1:3"))["COUNT"] == "3"
    for i in range(1, 4):
        ten.ok(f"STORE {i} +FLAGS (k{i})")
    ten.append(b"Subject: a\r\n\r\n")
    ten.append(b"Subject: A a\r\n\r\n")
    ten.append(b"Subject: z\r\n\r\n")
    ten.ok("NOOP")
    assert esearch(ten.ok("SORT RETURN (ALL MIN MAX) (REVERSE SUBJECT) UTF-8 11:13")) == {"ALL": "13,12,11", "MIN": "13", "MAX": "11"}
    assert esearch(ten.ok("SORT RETURN (PARTIAL 1:2) (SUBJECT) UTF-8 11:13")) == {"PARTIAL": "(1:2 11:12)"}
    assert esearch(ten.ok("SORT RETURN (SAVE PARTIAL 1:1) (REVERSE SUBJECT) UTF-8 11:13")) == {"PARTIAL": "(1:1 13)"}
    assert numbers(ten.ok("SEARCH $"), "SEARCH") == [13]


def saved(imap):
    return numbers(imap.ok("SEARCH $"), "SEARCH")


@pytest.mark.parametrize("options,said,want", [
    ("SAVE", None, [3, 5, 7]), ("SAVE MIN", {"MIN": "3"}, [3]), ("MAX SAVE", {"MAX": "7"}, [7]), ("SAVE MIN MAX", {"MIN": "3", "MAX": "7"}, [3, 7]),
    ("SAVE COUNT MIN", {"COUNT": "3", "MIN": "3"}, [3, 5, 7]), ("SAVE ALL MIN", {"ALL": "3,5,7", "MIN": "3"}, [3, 5, 7]),
    ("SAVE PARTIAL 2:3", {"PARTIAL": "(2:3 5,7)"}, [5, 7]),
])
def test_save(ten, options, said, want):
    assert saved(ten) == []
    assert esearch(ten.ok(f"SEARCH RETURN ({options}) FLAGGED")) == said
    assert saved(ten) == want


def test_saved_result_in_commands(ten):
    ten.ok("UID SEARCH RETURN (SAVE) FLAGGED")
    assert numbers(ten.ok("UID SEARCH $"), "SEARCH") == [4, 6, 8]
    assert numbers(ten.ok("SEARCH UID $"), "SEARCH") == [3, 5, 7]
    assert numbers(ten.ok("SEARCH NOT $"), "SEARCH") == [1, 2, 4, 6, 8, 9, 10]
    assert numbers(ten.ok("SEARCH OR $ 1"), "SEARCH") == [1, 3, 5, 7]
    assert [x.split()[1] for x in ten.ok("FETCH $ UID")] == [b"3", b"5", b"7"]
    assert [x.split()[1] for x in ten.ok("UID FETCH $ FLAGS")] == [b"3", b"5", b"7"]
    ten.ok("STORE $ +FLAGS.SILENT (\\Answered)")
    assert numbers(ten.ok("SEARCH ANSWERED"), "SEARCH") == [3, 5, 7]
    ten.ok("CREATE INBOX.copy")
    ten.ok("COPY $ INBOX.copy")
    assert b"COPYUID" in ten.text
    ten.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")
    ten.ok("UID EXPUNGE $")  # of those only 3
    assert saved(ten) == [4, 6]  # 5 and 7 before
    ten.ok("MOVE $ INBOX.copy")
    assert saved(ten) == []
    assert ten.ok("FETCH $ UID") == []


def test_when_the_saved_result_ends(ten):
    ten.ok("SEARCH RETURN (SAVE) FLAGGED")
    ten.bad("SEARCH RETURN (SAVE) FOO")
    assert saved(ten) == [3, 5, 7]
    ten.no("SEARCH RETURN (SAVE) CHARSET KLINGON ALL")
    assert saved(ten) == []
    ten.ok("SEARCH RETURN (SAVE) FLAGGED")
    ten.ok("SEARCH RETURN (SAVE) $ 5:9")
    assert saved(ten) == [5, 7]
    ten.ok("SEARCH ALL")
    assert saved(ten) == [5, 7]
    ten.ok("SELECT INBOX")
    assert saved(ten) == []


def test_messages_of_the_saved_result_that_others_expunge(ten, start):
    ten.ok("SEARCH RETURN (SAVE) FLAGGED")
    other = start()
    other.ok("SELECT INBOX")
    other.ok("STORE 5 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    ten.ok("SEARCH ALL")  # no EXPUNGE may come with it
    assert [x.split()[1] for x in ten.ok("FETCH $ UID")] == [b"3", b"7"]
    ten.ok("NOOP")
    assert saved(ten) == [3, 6]


def test_within(imap, maildir):
    now = 1700000000
    for age in (10, 5000, 90000):
        name = f"{now - age}.M1P1.host"
        deliver(maildir, name)
        t = os.stat(os.path.join(maildir, "new", name)).st_mtime - age
        os.utime(os.path.join(maildir, "new", name), (t, t))
    imap.ok("SELECT INBOX")
    assert numbers(imap.ok("SEARCH YOUNGER 3600"), "SEARCH") == [3]
    assert numbers(imap.ok("SEARCH OLDER 3600"), "SEARCH") == [1, 2]
    assert numbers(imap.ok("SEARCH OLDER 3600 YOUNGER 80000"), "SEARCH") == [2]
    assert numbers(imap.ok("SEARCH NOT OLDER 80000"), "SEARCH") == [2, 3]
    assert numbers(imap.ok("SEARCH YOUNGER 4294967295"), "SEARCH") == [1, 2, 3]


def test_sort_of_a_message_that_is_gone(imap, start):
    for i in range(3):
        imap.append()
    imap.ok("SELECT INBOX")
    other = start()
    other.ok("SELECT INBOX")
    other.ok("STORE 2 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    lines = imap.ok("SORT (SUBJECT) UTF-8 ALL")
    assert numbers(lines, "SORT") == [1, 3]
    assert not any(b"EXPUNGE" in x for x in lines)
    assert imap.ok("THREAD ORDEREDSUBJECT UTF-8 ALL")[0] == b"* THREAD (1 3)"
