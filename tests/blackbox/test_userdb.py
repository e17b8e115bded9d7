"""The account file is edited under load: never a wrong-password reply to a right password."""
import os
import signal
import threading
import time

import pytest

from client import Closed, Imap
from pool import PATIENCE, Account, chown, wait_for

pytestmark = pytest.mark.once

FILLER = "".join(f"filler{i}@example.com\tuid=65534|gid=65534|home=/nowhere/{i}|systempw={{SHA}}{'x' * 27}=\n" for i in range(500))


class Load:
    """Logs in continuously with right passwords and collects every reply."""

    def __init__(self, pool, accounts):
        self.pool, self.accounts = pool, accounts
        self.answers, self.wrong, self.stop = 0, [], False
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(4)]

    def run(self, i):
        while not self.stop:
            account = self.accounts[i % len(self.accounts)]
            i += 1
            try:
                with Imap("127.0.0.1", self.pool.imap_port) as c:
                    reply = c.login(account.name, account.password)
            except (Closed, OSError) as e:
                self.wrong.append(repr(e))
                continue
            self.answers += 1
            if not reply.ok and not reply.text.startswith(b"NO [UNAVAILABLE]"):
                self.wrong.append(f"{account.name}: {reply}")

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def some(self):
        """Waits for a round of logins."""
        target = self.answers + 40
        wait_for("logins go on", lambda: self.answers >= target or self.wrong)

    def __exit__(self, *exc):
        self.stop = True
        for t in self.threads:
            t.join(PATIENCE)
        assert not self.wrong, self.wrong[:5]
        assert self.answers > 0


@pytest.fixture
def one(make_pool):
    p = make_pool(nodes=1, accounts=[Account("anna@example.com"), Account("berta@example.com"), Account("zoe@example.com")])
    p.text = "".join(a.line() for a in p.accounts.values())
    p.write_userdb(p.text + FILLER)
    return p


def login(p, name, password):
    with Imap("127.0.0.1", p.imap_port) as c:
        return c.login(name, password)


def test_edits_under_load(one):
    p = one
    accounts = list(p.accounts.values())
    node = p.nodes[0]
    whole = p.text + FILLER
    with Load(p, accounts) as load:
        load.some()
        # Renamed into place, in another order, ten times.
        for i in range(10):
            lines = whole.splitlines(True)
            p.write_userdb("".join(lines[i:] + lines[:i]))
            load.some()
        # Written in place, in two halves with a pause: half a line in the middle.
        data = whole.encode()
        with open(p.userdb, "r+b") as f:
            f.truncate(0)
            f.write(data[:len(data) // 3])
            f.flush()
            time.sleep(0.5)
            load.some()
            f.write(data[len(data) // 3:])
        load.some()
        # Appended in place, a byte now and then.
        with open(p.userdb, "ab") as f:
            for byte in b"late@example.com\tuid=65534|gid=65534|home=/nowhere|systempw=x\n":
                f.write(bytes([byte]))
                f.flush()
                time.sleep(0.005)
        load.some()
        # Bad lines, also for accounts that are in use: their last good record stays.
        bad = whole.replace(f"anna@example.com\tuid={accounts[0].uid}", "anna@example.com\tuid=notanumber") + "no tab here\n\t\n|||\n=\n"
        mark = node.log_mark()
        p.write_userdb(bad)
        node.wait_log(r"userdb", mark)
        load.some()
        assert login(p, "anna@example.com", "secret-anna@example.com").ok
        # Cut to less than half: refused, the old state stays.
        mark = node.log_mark()
        p.write_userdb(whole[:len(whole) // 4])
        node.wait_log(r"userdb", mark)
        load.some()
        assert login(p, "zoe@example.com", "secret-zoe@example.com").ok
        # Empty, gone, a folder, unreadable, and good again.
        p.write_userdb("")
        load.some()
        os.unlink(p.userdb)
        load.some()
        p.write_userdb(whole)
        load.some()
    # Now a change is accepted.
    p.write_userdb(whole + p_line("new@example.com", p))
    wait_for("the new account works", lambda: login(p, "new@example.com", "secret").ok)


def p_line(name, p):
    a = Account(name, password="secret", home=p.accounts["anna@example.com"].home)
    return a.line()


def test_changed_password(one):
    """The new one works soon; from then on the old one is refused."""
    p = one
    assert login(p, "anna@example.com", "secret-anna@example.com").ok
    p.accounts["anna@example.com"].password = "changed"
    p.write_userdb("".join(a.line() for a in p.accounts.values()) + FILLER)
    wait_for("the new password works", lambda: login(p, "anna@example.com", "changed").ok)
    reply = login(p, "anna@example.com", "secret-anna@example.com")
    assert b"[AUTHENTICATIONFAILED]" in reply.text


def test_removed_account(one):
    p = one
    assert login(p, "zoe@example.com", "secret-zoe@example.com").ok
    del p.accounts["zoe@example.com"]
    p.write_userdb("".join(a.line() for a in p.accounts.values()) + FILLER)
    wait_for("the account is gone", lambda: b"[AUTHENTICATIONFAILED]" in login(p, "zoe@example.com", "secret-zoe@example.com").text)
    assert login(p, "anna@example.com", "secret-anna@example.com").ok


def test_account_that_was_always_bad_is_unavailable(one):
    """A line that cannot be used is our problem, not a wrong password."""
    p = one
    p.write_userdb(p.text + FILLER + "broken@example.com\tuid=nonsense|gid=65534|home=/x|systempw=" + "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    wait_for("[UNAVAILABLE] for a broken line", lambda: b"[UNAVAILABLE]" in login(p, "broken@example.com", "secret").text)


def test_no_file_at_start(make_pool):
    """The node starts without its account file, replies that it is unavailable, and recovers."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)
    os.unlink(p.userdb)
    p.start()
    reply = login(p, "anna@example.com", "secret-anna@example.com")
    assert b"[UNAVAILABLE]" in reply.text, reply
    p.write_userdb()
    wait_for("login works", lambda: login(p, "anna@example.com", "secret-anna@example.com").ok)


def test_folder_of_files(make_pool):
    """USERDB may be a folder of such files."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com"), Account("berta@example.com")], start=False)
    folder = os.path.join(p.root, "userdb.d")
    os.mkdir(folder, 0o750)
    for name, account in (("one", "anna@example.com"), ("two", "berta@example.com")):
        path = os.path.join(folder, name)
        with open(path, "w") as f:
            f.write("# a comment\n\n" + p.accounts[account].line())
        os.chmod(path, 0o640)
        chown(path)
    with open(os.path.join(folder, ".hidden"), "w") as f:
        f.write("no line at all")
    chown(folder)
    p.write_conf({"authuserdb": {"USERDB": folder}})
    p.start()
    for account in p.accounts.values():
        assert login(p, account.name, account.password).ok


def many(n):
    return [Account(f"u{i}@example.com") for i in range(n)]


def problems(p):
    return p.nodes[0].status()["problems"]


def cut_places(text):
    """Lengths at which to cut TEXT: within a name, a field's name and value, a hash, the options, right before a newline."""
    line = text.index("u40@example.com")
    end = text.index("\n", line)
    return [line + 3, line + len("u40@example.com"), text.index("uid=", line) + 2, text.index("uid=", line) + 6, text.index("home=", line) + 9,
            text.index("systempw=", line) + 15, text.index("options=", line) + 20, end]


def test_cut_userdb_tells_nobody_a_wrong_password(make_pool):
    """An interrupted copy: the previous state stays in use, also for accounts in the missing part."""
    p = make_pool(nodes=1, accounts=many(60), start=False)
    for a in p.accounts.values():
        a.options = "mailhost=127.0.0.1"
    text = "".join(a.line() for a in p.accounts.values())
    p.write_userdb(text)
    p.start()
    node = p.nodes[0]
    assert not problems(p)
    for left in cut_places(text):
        mark = node.log_mark()
        p.write_userdb(text[:left])
        line = text[:left].count("\n") + 1
        node.wait_log(f"userdb: {p.userdb}:{line}: the last line has no newline and may be truncated", mark)
        node.wait_log(r"was refused \(cut\)", mark)
        node.wait_log("rename it into place", mark)
        for name in ("u0@example.com", "u39@example.com", "u40@example.com", "u41@example.com", "u59@example.com"):
            assert login(p, name, "secret-" + name).ok, (left, name)
        assert b"[AUTHENTICATIONFAILED]" in login(p, "u59@example.com", "wrong").text
        # new accounts in the missing part, or in another file of the folder
        assert b"[UNAVAILABLE]" in login(p, "new@example.com", "secret").text
        assert any("userdb" in one for one in problems(p))
        check = node.tool("check")
        assert check.returncode == 1 and f"{p.userdb}:{line}: the last line has no newline" in check.stdout, check.stdout
    mark = node.log_mark()
    p.write_userdb(text)
    node.wait_log("60 accounts", mark)
    assert not problems(p)
    assert b"[AUTHENTICATIONFAILED]" in login(p, "new@example.com", "secret").text
    check = node.tool("check")
    assert check.returncode == 0 and "60 accounts" in check.stdout, check
    assert "LOGIN FAILED" not in "".join(l for l in node.log().splitlines(True) if "u59@" not in l and "new@" not in l)


def kill_authd(node):
    """The next one works when this returns."""
    node.expect_dirty = True
    pid, = node.pids("authd")
    os.kill(pid, signal.SIGKILL)
    wait_for("there is another authd", lambda: node.pids("authd") not in ([], [pid]))


@pytest.mark.parametrize("damage", ["cut", "shrunk", "gone"])
def test_userdb_that_was_refused_stays_refused_when_authd_dies(make_pool, damage):
    """A crash makes neither an outage nor wrong passwords of it."""
    p = make_pool(nodes=1, accounts=many(60))
    node = p.nodes[0]
    text = "".join(a.line() for a in p.accounts.values())
    mark = node.log_mark()
    if damage == "gone":
        os.unlink(p.userdb)
    else:
        p.write_userdb(text[:-5] if damage == "cut" else "".join(text.splitlines(True)[:5]))
    refused = {"cut": r"was refused \(cut\)", "shrunk": "accounts are gone", "gone": "cannot read"}[damage]
    node.wait_log(refused, mark)
    for _ in range(1 + (damage == "shrunk")):
        mark = node.log_mark()
        kill_authd(node)
        for name in ("u0@example.com", "u59@example.com"):
            assert login(p, name, "secret-" + name).ok, name
        assert b"[UNAVAILABLE]" in login(p, "new@example.com", "secret").text
        node.wait_log(refused, mark)
        assert login(p, "u59@example.com", "secret-u59@example.com").ok
        assert b"[UNAVAILABLE]" in login(p, "new@example.com", "secret").text
        assert any("userdb" in one for one in problems(p))
    p.add(Account("new@example.com", password="secret"))
    wait_for("the new one is known", lambda: login(p, "new@example.com", "secret").ok)
    assert not problems(p)


def test_login_waits_for_no_reading_when_authd_dies(make_pool):
    """However long that takes: here for ever, for nobody reads."""
    p = make_pool(nodes=1, accounts=many(20))
    node = p.nodes[0]
    assert login(p, "u7@example.com", "secret-u7@example.com").ok
    readers = node.pids("authworker")
    assert readers
    for pid in readers:
        os.kill(pid, signal.SIGSTOP)
    try:
        kill_authd(node)
        assert login(p, "u7@example.com", "secret-u7@example.com").ok
        assert b"[AUTHENTICATIONFAILED]" in login(p, "u7@example.com", "wrong").text
    finally:
        for pid in readers:
            os.kill(pid, signal.SIGCONT)
    mark = node.log_mark()
    p.add(Account("new@example.com", password="secret"))
    node.wait_log("21 accounts", mark)
    assert login(p, "new@example.com", "secret").ok


def test_line_that_kept_its_account_is_no_wrong_password_when_authd_dies(make_pool):
    """What only authd knew does not outlive it; what stands in the file does."""
    p = make_pool(nodes=1, accounts=many(20))
    node = p.nodes[0]
    text = "".join(a.line() for a in p.accounts.values())
    mark = node.log_mark()
    p.write_userdb(text.replace("u7@example.com\t", "u7@example.com\tuid=x|"))
    node.wait_log("u7@example.com.* its previous state stays in use", mark)
    assert login(p, "u7@example.com", "secret-u7@example.com").ok
    kill_authd(node)
    assert login(p, "u8@example.com", "secret-u8@example.com").ok
    assert b"[UNAVAILABLE]" in login(p, "u7@example.com", "secret-u7@example.com").text
    p.write_userdb(text)
    wait_for("all is well", lambda: login(p, "u7@example.com", "secret-u7@example.com").ok)


@pytest.mark.parametrize("damage", ["zeros", "zeros within", "empty", "cut", "cut within the options", "hash"])
def test_damaged_userdb_at_the_first_start_is_an_outage(make_pool, damage):
    p = make_pool(nodes=1, accounts=many(60), start=False)
    for a in p.accounts.values():
        a.options = "mailhost=127.0.0.1"
    text = "".join(a.line() for a in p.accounts.values())
    line = text.index("u40@example.com")
    bad = {"zeros": "\0" * len(text), "zeros within": text[:line] + "\0" * 512 + text[line + 512:], "empty": "", "cut": text[:line + 4],
           "cut within the options": text[:text.index("options=", line) + 20],
           "hash": text.replace(a.line(), a.line().replace("=|options", "|options"))}[damage]
    p.write_userdb(bad)
    p.start()
    for name in ("u0@example.com", "u40@example.com", "u59@example.com"):
        reply = login(p, name, "secret-" + name)
        assert b"[UNAVAILABLE]" in reply.text or damage == "hash" and name != "u59@example.com" and reply.ok, (name, reply)
    assert any("userdb" in one for one in problems(p))
    check = p.nodes[0].tool("check")
    assert p.userdb in check.stdout and check.returncode == (damage not in ("hash", "empty")), check.stdout
    assert "LOGIN FAILED" not in p.nodes[0].log()
    p.write_userdb(text)
    wait_for("login works", lambda: login(p, "u59@example.com", "secret-u59@example.com").ok)
    assert not problems(p)


def test_userdb_that_is_being_written_at_the_start_is_waited_for(make_pool):
    """Whole lines are there, and more are coming: nobody gets a wrong-password reply meanwhile."""
    p = make_pool(nodes=1, accounts=many(60), start=False)
    lines = [a.line() for a in p.accounts.values()]
    answers, done = [], threading.Event()

    def copy():
        with open(p.userdb, "w") as f:
            for one in lines:
                f.write(one)
                f.flush()
                time.sleep(0.02)
        done.set()

    def ask():
        while not (done.is_set() and answers and answers[-1].ok) and len(answers) < 2000:
            try:
                answers.append(login(p, "u59@example.com", "secret-u59@example.com"))
            except (Closed, OSError):
                pass
            time.sleep(0.02)
    threads = [threading.Thread(target=copy), threading.Thread(target=ask)]
    os.unlink(p.userdb)
    threads[0].start()
    wait_for("it is there", lambda: os.path.exists(p.userdb) and os.path.getsize(p.userdb) > 0)
    threads[1].start()
    p.start()
    for t in threads:
        t.join(PATIENCE)
    assert answers and answers[-1].ok
    assert not [a for a in answers if b"[AUTHENTICATIONFAILED]" in a.text]


def test_folder_with_a_file_that_is_cut_or_gone_is_refused(make_pool):
    p = make_pool(nodes=1, accounts=many(6), start=False)
    folder = os.path.join(p.root, "userdb.d")
    os.mkdir(folder, 0o750)
    chown(folder)
    lines = [a.line() for a in p.accounts.values()]

    def put(name, text):
        path = os.path.join(folder, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o640)
        chown(path)
    put("one", "".join(lines[:3]))
    put("two", "".join(lines[3:]))
    p.write_conf({"authuserdb": {"USERDB": folder}})
    p.start()
    node = p.nodes[0]
    for what, words in ((lambda: put("two", "".join(lines[3:])[:-20]), "/two:3: the last line has no newline"),
                        (lambda: put("two", ""), "/two: it is empty"),
                        (lambda: os.unlink(os.path.join(folder, "two")), "/two: 3 of 3 accounts are gone")):
        mark = node.log_mark()
        what()
        node.wait_log(words, mark)
        node.wait_log("was refused", mark)
        for a in p.accounts.values():
            assert login(p, a.name, a.password).ok, words
        assert any("userdb" in one for one in problems(p))
    put("two", "".join(lines[3:]))
    wait_for("well again", lambda: not problems(p))


@pytest.mark.long
def test_a_million_accounts(make_pool):
    """Loaded in seconds; reloading them delays nobody."""
    p = make_pool(nodes=1, accounts=[Account("anna@example.com")], start=False)
    digest = "{SHA}" + "x" * 27 + "="
    text = "".join(f"user{i}@example.com\tuid=65534|gid=65534|home=/srv/mail/{i % 1000}/{i}|systempw={digest}|options=mailhost=127.0.0.1\n"
                   for i in range(1000000)) + p.accounts["anna@example.com"].line()
    p.write_userdb(text)
    start = time.monotonic()
    p.start()
    with Imap("127.0.0.1", p.imap_port) as c:
        c.login_ok(p.accounts["anna@example.com"])
    assert time.monotonic() - start < 30
    with Load(p, [p.accounts["anna@example.com"]]) as load:
        p.write_userdb(text + p_line("new@example.com", p))
        wait_for("the new account works", lambda: login(p, "new@example.com", "secret").ok, 60)
        load.some()
