"""The account file edited under load: never a wrong-password answer for a right password."""
import os
import threading
import time

import pytest

from client import Closed, Imap
from pool import PATIENCE, Account, chown, wait_for

FILLER = "".join(f"filler{i}@example.com\tuid=65534|gid=65534|home=/nowhere/{i}|systempw={{SHA}}{'x' * 27}=\n" for i in range(500))


class Load:
    """Logs in all the time with right passwords and collects every answer."""

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
        # Cut to less than half: refused, the old one stays.
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
    # And now a change is taken.
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
    """A line that cannot be used is our trouble, not a wrong password."""
    p = one
    p.write_userdb(p.text + FILLER + "broken@example.com\tuid=nonsense|gid=65534|home=/x|systempw=" + "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    wait_for("[UNAVAILABLE] for a broken line", lambda: b"[UNAVAILABLE]" in login(p, "broken@example.com", "secret").text)


def test_no_file_at_start(make_pool):
    """The node comes up without its account file, tells everybody that it is unavailable, and recovers."""
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


@pytest.mark.long
def test_a_million_accounts(make_pool):
    """Loaded in seconds; a reload of them keeps nobody waiting."""
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
