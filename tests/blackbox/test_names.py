"""A name server that answers late or never: it delays only the logins that need it, for a limited time. The nodes use a shim for
getaddrinfo() instead of libc's."""
import os
import signal
import subprocess
import time

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, imap_peer
from pool import PATIENCE, SLOW, Account, wait_for

pytestmark = pytest.mark.once

TIMEOUT = 4  # PROXY_TIMEOUT
ROOM = 2 * SLOW
QUICK = 1 * SLOW
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int known(const char *ip, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(ip, service, hints, list);
}

/* silent*: no answer while the file is there. late-N*: after N seconds. fails*: the name server says so. gone*: no such name.
 * All names have the address of a server that is none of the nodes. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	if (node != NULL && strstr(node, ".test") != NULL) {
		int fd = strncmp(node, "silent", 6) == 0 ? access(SILENCE, F_OK) : -1;

		while (fd == 0)
			pause();
		if (strncmp(node, "late-", 5) == 0)
			sleep((unsigned)atoi(node + 5));
		if (strncmp(node, "fails", 5) == 0)
			return EAI_AGAIN;
		if (strncmp(node, "gone", 4) == 0)
			return EAI_NONAME;
		node = "127.0.0.9";
	}
	return known(node, service, hints, list);
}
"""


def bcrypt(password):
    """A hash that needs an auth worker."""
    import crypt  # pylint: disable=import-outside-toplevel,deprecated-module
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_SHA512, rounds=20000))


class Names:
    def __init__(self, p):
        self.p = p
        self.silence = f"{p.root}/silence"
        shim = f"{p.root}/shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", f'-DSILENCE="{self.silence}"', "-x", "c", "-", "-o", shim, "-ldl"], input=SHIM, text=True,
                       check=True, timeout=60)
        os.chmod(shim, 0o755)
        for node in p.nodes:
            node.more_env = {"LD_PRELOAD": shim, "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:intercept_tls_get_addr=0:verify_asan_link_order=0"}

    def fall_silent(self):
        open(self.silence, "w").close()
        return self

    def answer(self):
        os.unlink(self.silence)


@pytest.fixture
def names(make_pool):
    """Nodes 1 and 2, 2 auth workers, a silent name server."""
    p = make_pool(nodes=2, start=False, settings={"authdaemonrc": {"daemons": 2}, "proxy": {"PROXY_TIMEOUT": TIMEOUT, "DNS_TTL": 1}}, accounts=[
        Account("here@example.com", mailhost="127.0.0.1"), Account("there@example.com", mailhost="127.0.0.2"),
        *[Account(f"silent{i}@example.com", mailhost=f"silent{i}.test") for i in range(150)],
        Account("other@example.com", mailhost="other.test"),
        *[Account(f"hash{i}@example.com", "secret", mailhost="127.0.0.1", fields={"systempw": bcrypt("secret")}) for i in range(3)],
        Account("self-first@example.com", mailhost="127.0.0.1 silent-a.test"),
        Account("known-first@example.com", mailhost="127.0.0.2 silent-b.test"),
        Account("self-last@example.com", mailhost="silent-c.test 127.0.0.1", options="replicated=shared"),
        Account("known-last@example.com", mailhost="silent-d.test 127.0.0.2", options="replicated=shared"),
        Account("dead-first@example.com", mailhost="127.0.3.1 silent-e.test"),
        Account("two-silent@example.com", mailhost="silent-f.test silent-g.test 127.0.0.2", options="replicated=shared"),
        Account("late@example.com", mailhost="late-2.test"), Account("very-late@example.com", mailhost="late-8.test"),
        Account("fails@example.com", mailhost="fails.test"), Account("gone@example.com", mailhost="gone.test"),
        Account("fails-first@example.com", mailhost="fails-b.test late-1.test"),
    ])
    n = Names(p).fall_silent()
    p.start()
    server = FakeServer("127.0.0.9", imap_peer(), port=p.imap_port)
    yield n
    server.close()


def login(p, name, kind=Imap):
    """(answer, seconds)"""
    account = p.accounts[name]
    with kind("127.0.0.1", p.imap_port if kind is Imap else p.pop3_port) as c:
        start = time.monotonic()
        answer = c.login(account.name, account.password)
        return answer.text if kind is Imap else answer, time.monotonic() - start


def ok(answer):
    return answer.startswith((b"OK", b"+OK"))


def start_silent(p, count):
    """Starts logins that wait for names without an answer."""
    waiting = [Imap("127.0.0.1", p.imap_port) for _ in range(count)]
    for i, c in enumerate(waiting):
        a = p.accounts[f"silent{i}@example.com"]
        c.send(f"a LOGIN {a.name} {a.password}\r\n")
    return waiting


def test_logins_without_names_do_not_wait(names):
    """First logins that need a hash, those of known hosts, and of this node: at once, while 20 names are looked up by 2 auth
    workers; and logins that wait for a name get a reply within PROXY_TIMEOUT that says what is wrong."""
    p = names.p
    mark = p.nodes[0].log_mark()
    start = time.monotonic()
    waiting = start_silent(p, 20)
    time.sleep(0.3)
    for name in ("hash0@example.com", "here@example.com", "there@example.com", "hash1@example.com"):
        for kind in (Imap, Pop3):
            answer, took = login(p, name, kind)
            assert ok(answer) and took < QUICK, (name, answer, took)
    for c in waiting:
        assert c.finish("a").text.startswith(b"NO [UNAVAILABLE]")
        assert time.monotonic() - start < TIMEOUT + ROOM
        c.close()
    p.nodes[0].wait_log(r"TEMPORARY FAILURE, user=silent7@.*the name server does not answer for mailhost silent7\.test", mark)
    p.nodes[0].wait_log(r"the name server does not answer for mailhost silent0\.test", mark, timeout=PATIENCE + 20)
    assert "LOGIN FAILED" not in p.nodes[0].log_since(mark)


def test_a_name_is_not_behind_all_that_nobody_answers_for(names):
    """More silent names than are looked up at a time."""
    p = names.p
    waiting = start_silent(p, 150)
    wait_for("all are asked for", lambda: p.nodes[0].status()["counts"]["names_waiting"] >= 64)
    answer, took = login(p, "other@example.com")
    assert ok(answer) and took < TIMEOUT, (answer, took)
    for c in waiting:
        c.close()


def test_only_the_host_that_is_tried_next_is_waited_for(names):
    p = names.p
    for kind in (Imap, Pop3):
        for name in ("self-first@example.com", "known-first@example.com"):
            answer, took = login(p, name, kind)
            assert ok(answer) and took < QUICK, (name, answer, took)
    for name in ("self-last@example.com", "known-last@example.com", "two-silent@example.com"):
        answer, took = login(p, name)
        assert ok(answer) and took < TIMEOUT + ROOM, (name, answer, took)
    answer, took = login(p, "dead-first@example.com")
    assert answer.startswith(b"NO [UNAVAILABLE]") and took < TIMEOUT + ROOM, (answer, took)
    status = p.nodes[0].status()
    assert status["counts"]["names_waiting"] > 0
    # Names after this node in the list are not looked up.
    route = p.nodes[0].tool("route", "self-first@example.com").stdout
    assert "which is this node" in route


def test_a_login_after_others_waited_in_vain_does_not_wait(names):
    p = names.p
    assert login(p, "silent1@example.com")[1] > TIMEOUT / 4
    answer, took = login(p, "silent1@example.com")
    assert answer.startswith(b"NO [UNAVAILABLE]") and took < QUICK, (answer, took)
    assert "the name server does not answer for it" in p.nodes[0].tool("route", "silent1@example.com").stdout


def test_a_known_name_is_used_while_the_name_server_is_silent(names):
    p = names.p
    names.answer()
    assert ok(login(p, "silent3@example.com")[0])
    names.fall_silent()
    time.sleep(1.2)  # DNS_TTL
    for _ in range(3):
        answer, took = login(p, "silent3@example.com")
        assert ok(answer) and took < QUICK, (answer, took)


def test_answers_that_come_late_or_are_failures(names):
    p = names.p
    answer, took = login(p, "late@example.com")
    assert ok(answer) and took < TIMEOUT + ROOM, (answer, took)
    answer, took = login(p, "very-late@example.com")
    assert answer.startswith(b"NO [UNAVAILABLE]") and took < TIMEOUT + ROOM, (answer, took)
    wait_for("its address is there in the end", lambda: ok(login(p, "very-late@example.com")[0]))
    mark = p.nodes[0].log_mark()
    for name, reason in (("fails@example.com", "the name server does not answer for mailhost fails.test"),
                         ("gone@example.com", "mailhost gone.test has no address")):
        answer, took = login(p, name)
        assert answer.startswith(b"NO [UNAVAILABLE]") and took < QUICK, (name, answer, took)
        p.nodes[0].wait_log(f"user={name}.*{reason}", mark)
    answer, took = login(p, "fails-first@example.com")
    assert ok(answer) and took < TIMEOUT + ROOM, (answer, took)


def test_a_new_userdb_is_taken_while_names_are_looked_up(names):
    p = names.p
    waiting = start_silent(p, 20)
    p.add(Account("new@example.com", mailhost="127.0.0.1"))
    start = time.monotonic()
    wait_for("the new account", lambda: ok(login(p, "new@example.com")[0]))
    assert time.monotonic() - start < 5 * SLOW
    for c in waiting:
        c.close()


def test_a_killed_authd_serves_at_once(names):
    p = names.p
    waiting = start_silent(p, 20)
    time.sleep(0.3)
    node = p.nodes[0]
    node.expect_dirty = True
    authd = min(node.pids("authd"))
    os.kill(authd, signal.SIGKILL)
    start = time.monotonic()
    for name in ("hash2@example.com", "there@example.com"):
        assert ok(login(p, name)[0])
    assert time.monotonic() - start < 3 * SLOW
    wait_for("look-ups end with the authd that began them", lambda: len(node.pids("authd")) <= 1 + len(waiting))
    for c in waiting:
        c.close()
