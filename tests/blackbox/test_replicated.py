"""A node that is not the first of an account's mailhost serves it only if the account says that it may: two that serve a Maildir
each would make two histories."""
import os
import re
import shutil

import pytest

from client import Imap, Pop3
from pool import Account, Marks, chown, message, wait_for

A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"
BOTH = f"{A} {B}"


def account(pool, name, options="", mailhost=BOTH):
    return pool.add(Account(f"{name}@example.com", mailhost=mailhost, options=options))


def wait_known(pool, acct):
    """All nodes have read the userdb with ACCT."""
    for node in pool.nodes:
        if node.proc is not None:
            wait_for(f"{node} knows {acct.name}", lambda n=node: n.tool("route", acct.name).returncode == 0 and acct.options in n.tool("route", acct.name).stdout)


def down(pool):
    """Node A takes no more logins; its open sessions go on."""
    node = pool.node(A)
    if node.proc is not None:
        assert node.tool("drain").returncode == 0


def up(pool):
    pool.node(A).stop()
    pool.node(A).start()


def imap_refused(pool, acct, at):
    with Imap(at, pool.imap_port) as c:
        reply = c.login(acct.name, acct.password)
        assert reply.status == "NO" and reply.text.startswith(b"NO [UNAVAILABLE]"), reply


def refused(pool, acct, at):
    imap_refused(pool, acct, at)
    with Pop3(at, pool.pop3_port) as c:
        answer = c.login(acct.name, acct.password)
        assert answer.startswith(b"-ERR [SYS/TEMP]"), answer


def served_by(pool, acct, at):
    marks = Marks(pool)
    with Imap(at, pool.imap_port) as c:
        c.login_ok(acct)
        node = marks.local_login(acct.name, "imapd")[0]
    marks = Marks(pool)
    with Pop3(at, pool.pop3_port) as c:
        c.login_ok(acct)
        assert marks.local_login(acct.name, "pop3d")[0] is node
    return node.address


@pytest.fixture
def pool(make_pool):
    return make_pool(nodes=3)


def mark(acct, text):
    path = os.path.join(acct.maildir, "waypostnode")
    with open(path + ".new", "w") as f:
        f.write(text)
    chown(path + ".new")
    os.rename(path + ".new", path)


def test_without_the_option(pool):
    """Neither the node that the client comes to, nor one to which another node has sent the login."""
    acct = account(pool, "copy")
    wait_known(pool, acct)
    assert served_by(pool, acct, B) == A and served_by(pool, acct, C) == A
    down(pool)
    marks = Marks(pool)
    refused(pool, acct, B)
    line = wait_for("the log says why", lambda: next((x for x in marks.text(pool.node(B)).splitlines() if acct.name in x and "reason=" in x), None))
    assert "is not the first mailhost" in line and "replicated=shared" in line, line
    marks = Marks(pool)
    refused(pool, acct, C)
    wait_for("the log of the second says why", lambda: "is not the first mailhost" in marks.text(pool.node(B)))
    assert "LOGIN FAILED" not in marks.text()
    shown = pool.node(B).tool("route", acct.name).stdout
    assert "refused, because it is not the first" in shown, shown
    up(pool)
    assert served_by(pool, acct, A) == A


def numbers(client, command, before):
    """The numbers behind BEFORE in the untagged answer to COMMAND."""
    answer = client.ok(command).find(before + rb"[\d ]*")
    return re.search(before + rb"([\d ]*)", answer, re.I).group(1).split()


def test_shared(pool):
    """Two nodes on one folder, both with sessions at the same time: one mailbox."""
    acct = account(pool, "shared", "replicated=shared")
    wait_known(pool, acct)
    with Imap(A, pool.imap_port) as one:
        one.login_ok(acct)
        validity = numbers(one, "SELECT INBOX", b"UIDVALIDITY ")
        down(pool)
        for node in (B, C):
            assert served_by(pool, acct, node) == B
        with Imap(B, pool.imap_port) as two:
            two.login_ok(acct)
            assert validity and numbers(two, "SELECT INBOX", b"UIDVALIDITY ") == validity
            for n in range(20):
                writer, reader = (one, two) if n % 2 else (two, one)
                pool.deliver(acct, message(f"number {n}"))
                writer.ok("NOOP")
                writer.ok(f"STORE {n + 2} +FLAGS (\\Flagged)")
                reader.ok("NOOP")
                uids = [numbers(c, "UID SEARCH ALL", b"SEARCH ?") for c in (writer, reader)]
                assert uids[0] == uids[1] and len(set(uids[0])) == n + 2, uids
                assert [numbers(c, "UID SEARCH FLAGGED", b"SEARCH ?") for c in (writer, reader)] == [uids[0][1:]] * 2


def test_single(pool):
    """The node that the marker names, wherever the login begins, and no other: not the first one either."""
    acct = account(pool, "single", "replicated=single")
    wait_known(pool, acct)
    assert served_by(pool, acct, C) == A  # no marker: the first
    down(pool)
    marks = Marks(pool)
    refused(pool, acct, B)
    wait_for("the log says why", lambda: "no file waypostnode in it names it" in marks.text(pool.node(B)))
    mark(acct, f"{B}\n")
    assert served_by(pool, acct, B) == B and served_by(pool, acct, C) == B
    up(pool)
    marks = Marks(pool)
    refused(pool, acct, A)
    wait_for("the log says why", lambda: 'names "127.0.0.2", not this node' in marks.text(pool.node(A)))
    mark(acct, f"{A}\n")
    assert served_by(pool, acct, A) == A


def test_without_proxy(make_pool):
    """Nodes that forward nothing serve what they are asked for; replicated=single counts there, too."""
    pool = make_pool(nodes=2, settings={"imapd": {"IMAP_PROXY": 0}, "pop3d": {"POP3_PROXY": 0}})
    copy, single = account(pool, "copy"), account(pool, "single", "replicated=single")
    for acct in (copy, single):
        for node in pool.nodes:
            wait_for(f"{node} knows {acct.name}", lambda n=node, a=acct: n.tool("route", a.name).returncode == 0)
    assert served_by(pool, copy, A) == A and served_by(pool, copy, B) == B
    assert served_by(pool, single, A) == A
    marks = Marks(pool)
    refused(pool, single, B)
    wait_for("the log says why", lambda: "no file waypostnode in it names it" in marks.text(pool.node(B)))
    mark(single, f"{B}\n")
    assert served_by(pool, single, B) == B
    refused(pool, single, A)


@pytest.mark.parametrize("options", ["replicated=shared", "replicated=single"])
def test_a_missing_maildir_is_not_created(pool, options):
    """As where the file system is not mounted."""
    acct = account(pool, "gone", options)
    wait_known(pool, acct)
    shutil.rmtree(acct.maildir)
    down(pool)
    refused(pool, acct, B)
    refused(pool, acct, C)
    assert not os.path.exists(acct.maildir)


def test_a_word_that_is_none(pool):
    acct = account(pool, "typo", "replicated=yes")
    wait_known(pool, acct)
    marks = Marks(pool)
    refused(pool, acct, A)
    wait_for("the log says why", lambda: "none of the words shared and single" in marks.text())
    said = pool.node(A).tool("check")
    assert "typo@example.com cannot log in: the option replicated" in said.stdout + said.stderr, said
