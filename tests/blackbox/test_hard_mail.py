"""Messages that are hard to parse: what the index says of them is, byte for byte, what their files say."""
import base64
import glob
import os
import random

import pytest

import test_imapd_direct
from test_imapd_direct import deliver, home, maildir, start  # noqa: F401: fixtures

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = 32 * 1024  # what is longer is not kept (maildir/md_parsed.h)
FIRST = 300       # easy messages before all others: a command reads what is kept only after it has opened some files

WORDS = {"latin": "Grüße", "cyrillic": "Привет", "greek": "Γειά", "japanese": "日本語", "chinese": "中文", "korean": "한국어",
         "hebrew": "שלום", "arabic": "سلام", "thai": "ไทย", "plain": "hello"}
CHARSETS = """us-ascii utf-8 utf-7 utf-16 utf-16be utf-16le utf-32 iso-8859-1 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6
    iso-8859-7 iso-8859-8 iso-8859-9 iso-8859-10 iso-8859-11 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 windows-1250 windows-1251
    windows-1252 windows-1253 windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 koi8-r koi8-u koi8-t cp437 cp850 cp852 cp855
    cp857 cp862 cp864 cp866 cp869 cp874 cp932 cp949 cp1006 big5 big5hkscs gb2312 gbk gb18030 hz euc-jp euc-jisx0213 iso-2022-jp iso-2022-jp-1
    iso-2022-jp-2 iso-2022-jp-3 iso-2022-jp-ext iso-2022-kr euc-kr johab shift_jis shift_jisx0213 tis-620 ptcp154 mac-roman
    mac-cyrillic mac-greek cp037 cp500 cp1140""".split()


def head(subject=b"x", more=b""):
    return (b"From: Ada <ada@example.com>\nTo: bob@example.com\nSubject: " + subject + b"\nDate: Mon, 7 Feb 1994 21:52:25 -0800\n"
            b"Message-Id: <1@example.com>\nMIME-Version: 1.0\n" + more)


def nested(depth, kind):
    text = b"Content-Type: text/plain\n\ninnermost \xff\n"
    for i in range(depth):
        if kind == "rfc822":
            text = b"Content-Type: message/rfc822\n\n" + head(b"level %d" % i) + text
        else:
            text = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) + text + b"\n--b%d--\n" % i
    return head() + text


def encoded(charset):
    """A message in CHARSET, with as many of the words as it has; None: Python does not know it."""
    words = []
    for w in WORDS.values():
        try:
            words.append(w.encode(charset))
        except UnicodeEncodeError:
            continue
        except LookupError:
            return None
    body = "\n".encode(charset).join(words) if words else b""
    subject = b" ".join(b"=?%s?%s?%s?=" % (charset.encode(), how, text) for w in words for how, text in
                        [(b"B", base64.b64encode(w)), (b"Q", b"".join(b"=%02X" % c for c in w))])
    return [head(subject, b"Content-Type: text/plain; charset=\"%s\"\nContent-Transfer-Encoding: %s\n\n" % (charset.encode(), how)) + text
            for how, text in ((b"base64", base64.encodebytes(body)), (b"8bit", body),
                              (b"quoted-printable", b"".join(b"=%02X" % c for c in body)))]


def corpus():
    mail = {f"easy {i}": head(b"%d" % i) + b"\nbody\n" for i in range(FIRST)}
    for path in sorted(glob.glob(os.path.join(HERE, "..", "mail", "*.eml"))):
        with open(path, "rb") as f:
            mail["file " + os.path.basename(path)] = f.read()
    for depth in (2, 20, 100, 400):
        mail[f"nested {depth} parts"] = nested(depth, "multipart")
        mail[f"nested {depth} messages"] = nested(depth, "rfc822")
    for name, size in (("just kept", KEPT - 400), ("not kept", KEPT + 400), ("1 MB", 1 << 20)):
        mail[f"header {name}, one field"] = head(b"long", b"X-Long: " + b"x" * size + b"\n") + b"\nbody\n"
        mail[f"header {name}, folded"] = head(b"folded", b"X-Long:" + b" word\n" * (size // 6)) + b"\nbody\n"
        mail[f"header {name}, fields"] = head(b"many", b"X-A: b\n" * (size // 7)) + b"\nbody\n"
        mail[f"header {name}, addresses"] = head(b"to all", b"Cc: " + b"a@b.example,\n " * (size // 15) + b"z@z\n") + b"\nbody\n"
        mail[f"header {name}, subject"] = head(b"=?utf-8?q?" + b"=C3=BC" * (size // 6) + b"?=") + b"\nbody\n"
    for charset in CHARSETS:
        for i, text in enumerate(encoded(charset) or []):
            mail[f"charset {charset} {i}"] = text
    mail["charset unknown"] = head(b"=?x-unknown?Q?Gr=FC=DFe?=", b"Content-Type: text/plain; charset=x-unknown\n") + b"\nGr\xfc\xdfe\n"
    parts = b"--b\nContent-Type: text/plain\n\none\n--b\nContent-Type: text/html\n\n<b>two</b>\n--b--\nafter\n"
    for name, boundary, body in (
            ("never there", b"c", parts), ("not closed", b"b", parts.replace(b"--b--\n", b"")), ("empty", b"", parts),
            ("with blanks", b"\"b \"", parts), ("quoted badly", b"\"b", parts), ("of a parent", b"b", parts.replace(b"text/html", b"multipart/mixed; boundary=b")),
            ("prefix", b"b", parts.replace(b"--b\nContent-Type: text/html", b"--bb\n--b\nContent-Type: text/html")),
            ("long", b"\"" + b"b" * 5000 + b"\"", parts), ("8 bit", b"\xc3\xbc", parts.replace(b"--b", b"--\xc3\xbc")),
            ("at once", b"b", b"--b--\n"), ("without lines", b"b", b"--b"), ("thousands", b"b", b"--b\n\n" * 5000 + b"--b--\n")):
        mail[f"boundary {name}"] = head(b"boundary", b"Content-Type: multipart/mixed; boundary=" + boundary + b"\n") + b"\n" + body
    mail["NULs in the header"] = head(b"a\0b\0", b"X-\0: \0\n\0\0: x\n") + b"\nbody\n"
    mail["NULs in the body"] = head(b"nul") + b"\n\0\0a\0\n\0"
    mail["NUL first"] = b"\0" + head() + b"\nbody\n"
    mail["lone CRs in the header"] = head(b"a\rb\r", b"X-A: \rb\r\r\n\r: x\n") + b"\nbody\n"
    mail["lone CRs in the body"] = head(b"cr") + b"\n\ra\rb\r\r\n\r"
    mail["CR CR LF"] = head(b"crcrlf").replace(b"\n", b"\r\r\n") + b"\r\r\nbody\r\r\n"
    mail["only CR"] = head(b"only cr").replace(b"\n", b"\r") + b"\rbody\r"
    every = bytes(range(1, 256)).replace(b"\n", b"")
    mail["8 bit everywhere"] = (b"From: " + every + b" <" + every + b"@" + every + b">\nTo: " + every + b": " + every + b"@x, y@" + every + b";\n"
                                b"Subject: " + every + b"\n" + every + b": " + every + b"\nDate: " + every + b"\nMessage-Id: " + every + b"\n"
                                b"In-Reply-To: <" + every + b">\nContent-Type: text/" + every + b"; name=" + every + b"; x*0*=utf-8''" + every + b"\n"
                                b"Content-Disposition: attachment; filename=\"" + every + b"\"\nContent-Language: " + every + b"\n"
                                b"Content-Location: " + every + b"\nContent-Id: " + every + b"\nContent-Description: " + every + b"\n\n" + every * 100)
    mail["nothing but 8 bit"] = bytes(range(128, 256)) * 50
    rnd = random.Random(14)
    whole = list(mail.values())[FIRST:]
    for i in range(60):  # damaged anywhere
        text = bytearray(rnd.choice(whole)[:20000])
        for _ in range(rnd.randint(1, 30)):
            if text:
                text[rnd.randrange(len(text))] = rnd.choice(b"\0\r\n\"\\()<>@,;:=?-\xff ")
        mail[f"damaged {i}"] = bytes(text)
    return mail


MAIL = corpus()
FETCHES = ["UID", "RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "(ENVELOPE BODYSTRUCTURE)", "BODY.PEEK[HEADER]",
           "BODY.PEEK[HEADER.FIELDS (From To Subject X-A X-Long)]", "BODY.PEEK[HEADER.FIELDS.NOT (X-Long)]"]
OF_HEADERS = ['SUBJECT "level 3"', 'SUBJECT "x"', 'FROM "ada@example.com"', 'TO "bob"', 'CC "a@b.example"', 'HEADER X-A ""', 'HEADER X-Long ""',
              'HEADER X-A "b"', "SENTBEFORE 1-Jan-2000", "SENTON 7-Feb-1994", 'HEADER Message-Id "1@example"'] + \
    [("SUBJECT", w) for w in WORDS.values()]
OF_BODIES = ['BODY "innermost"', 'TEXT "body"', 'BODY "two"', 'TEXT "boundary"'] + [("BODY", w) for w in WORDS.values()] + [("TEXT", w) for w in WORDS.values()]


def search(session, keys):
    out = {}
    for key in keys:
        if isinstance(key, tuple):
            out[key] = session.ok("SEARCH CHARSET UTF-8 " + key[0] + " {}", key[1].encode())
        else:
            out[key] = session.ok("SEARCH " + key)
    return out


def fetch(session, items=FETCHES):
    return {item: session.ok(f"FETCH 1:* {item}") for item in items}


def compare(a, b, names):
    assert a.keys() == b.keys()
    for key in a:
        assert len(a[key]) == len(b[key]), key
        for i, (x, y) in enumerate(zip(a[key], b[key])):
            assert x == y, (key, names[i] if len(a[key]) == len(names) else "")


def test_index_says_what_files_say(start, maildir):
    names = list(MAIL)
    for i, name in enumerate(names):
        deliver(maildir, f"{1000 + i}.M{i}P1.host", b"")
        path = os.path.join(maildir, "new", f"{1000 + i}.M{i}P1.host")
        with open(path, "wb") as f:  # not a byte changed
            f.write(MAIL[name])
    first = start()
    first.ok("EXAMINE INBOX")  # learns nothing
    files, found = fetch(first), search(first, OF_HEADERS + OF_BODIES)
    assert not os.path.exists(os.path.join(maildir, "waypostparsed"))
    assert len(files["ENVELOPE"]) == len(names)

    learns = start()
    learns.ok("SELECT INBOX")
    compare(fetch(learns), files, names)
    assert os.path.getsize(os.path.join(maildir, "waypostparsed")) > 100_000

    # Everything that is kept comes from there: the files cannot be opened now.
    cur = os.path.join(maildir, "cur")
    kept = set()
    for file in os.listdir(cur):
        i = int(file.split(".")[0]) - 1000
        text = MAIL[names[i]]
        end = min([p for p in (text.find(b"\n\n"), text.find(b"\n\r\n")) if p >= 0] or [len(text)])
        structure = max(len(files["BODY"][i]), len(files["BODYSTRUCTURE"][i]))
        if i >= FIRST and end + 200 < KEPT and structure < KEPT:
            kept.add(i)
            os.chmod(os.path.join(cur, file), 0)
    assert len(kept) > (len(names) - FIRST) * 3 // 4
    assert os.path.getsize(os.path.join(maildir, "waypostparsed")) // (16 * 1024) < FIRST
    for again in (learns, start()):
        if again is not learns:
            again.ok("SELECT INBOX")
        some = {k: v for k, v in files.items() if k not in ("RFC822.SIZE",)}
        compare(fetch(again, some.keys()), some, names)
        compare(search(again, OF_HEADERS), {k: found[k] for k in OF_HEADERS}, names)
    for file in os.listdir(cur):
        os.chmod(os.path.join(cur, file), 0o600)
    last = start()
    last.ok("SELECT INBOX")
    compare(fetch(last), files, names)
    compare(search(last, OF_HEADERS + OF_BODIES), found, names)


def test_charsets_are_found(start, maildir):
    """Not only the same answers: the right ones."""
    names = [n for n in MAIL if n.startswith("charset") and n.split()[1] in
             ("utf-8", "utf-7", "iso-8859-1", "windows-1252", "koi8-r", "windows-1251", "iso-8859-7", "iso-2022-jp", "shift_jis", "euc-jp", "big5",
              "gb2312", "gb18030", "euc-kr", "iso-8859-8", "windows-1256", "tis-620")]
    for i, name in enumerate(names):
        deliver(maildir, f"{1000 + i}.M{i}P1.host", MAIL[name])
    for _ in range(2):  # from files, from the index
        session = start()
        session.ok("SELECT INBOX")
        for where in ("SUBJECT", "BODY"):
            for word in WORDS.values():
                line, = session.ok(f"SEARCH CHARSET UTF-8 {where} {{}}", word.encode())
                hits = {int(n) for n in line.split()[2:]}
                for i, name in enumerate(names):
                    charset = name.split()[1]
                    try:
                        word.encode(charset)
                    except UnicodeEncodeError:
                        continue
                    assert i + 1 in hits, (where, word, name)
        session.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")


@pytest.mark.parametrize("name", ["test_hard_mail"])
def test_is_run_as_an_ordinary_user(name):
    """Else no mode keeps a session from reading."""
    assert not test_imapd_direct.ROOT or test_imapd_direct.UID != 0
