"""A quarter of a million accounts in each kind of directory: logins of accounts spread over it work, with figures."""
import random
import time

import pytest

from client import Imap, Pop3
from manyaccounts import KINDS
from pool import Account, Pool, rss_kib, sha

pytestmark = pytest.mark.once

ACCOUNTS = 250000
LOGINS = 400
NO_CACHE = {"AUTH_CACHE_TTL": 0, "AUTH_CACHE_NEGATIVE_TTL": 0, "AUTH_CACHE_STALE": 0}


def name(n):
    return f"user{n:06d}@example.com"


def password(n):
    return f"pass-{n:06d}-word"


def try_it(p, n):
    """Logs in as account N with its password, and with that of another; returns the seconds for both."""
    start = time.monotonic()
    for word, right in ((password(n), True), (password(n + 1), False)):
        if n % 2:
            with Pop3("127.0.0.1", p.pop3_port) as c:
                answer = c.login(name(n), word)
                assert answer.startswith(b"+OK" if right else b"-ERR [AUTH]"), (n, word, answer)
        else:
            with Imap("127.0.0.1", p.imap_port) as c:
                reply = c.login(name(n), word)
                assert reply.ok if right else b"[AUTHENTICATIONFAILED]" in reply.text, (n, word, reply)
    return time.monotonic() - start


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__.lower())
def test_a_quarter_of_a_million(kind, request, capsys):
    # All accounts share one Maildir, because only the directory is tested.
    p = Pool(nodes=1, accounts=[Account("shared@example.com")], start=False, keep=request.config.getoption("--keep"))
    home = p.accounts["shared@example.com"].home
    many = None
    try:
        many = kind((name(n), sha(password(n)), home, "") for n in range(ACCOUNTS))
        p.write_conf({"authdaemonrc": {"authmodulelist": kind.module, **NO_CACHE}, **many.settings()})
        start = time.monotonic()
        p.start()
        ready = time.monotonic() - start
        chosen = [0, ACCOUNTS - 1, *random.Random(1).sample(range(1, ACCOUNTS - 1), LOGINS)]
        took = sorted(try_it(p, n) / 2 for n in chosen)
        for n in (ACCOUNTS, ACCOUNTS + 77):
            with Imap("127.0.0.1", p.imap_port) as c:
                assert b"[AUTHENTICATIONFAILED]" in c.login(name(n), password(n)).text
        node = p.nodes[0]
        kib = {role: sum(rss_kib(pid) for pid in node.pids(role)) for role in ("authd", "authworker")}
        with capsys.disabled():
            print(f"\n{kind.module}: {ACCOUNTS:,} accounts loaded in {many.seconds:.1f} s, node ready in {ready:.1f} s; {2 * len(chosen)} "
                  f"logins, half of them refused: median {took[len(took) // 2] * 1000:.1f} ms, longest {took[-1] * 1000:.0f} ms; "
                  f"own memory: authd {kib['authd'] / 1024:.1f} MiB, {len(node.pids('authworker'))} auth workers "
                  f"{kib['authworker'] / 1024:.1f} MiB")
    finally:
        p.close()
        if many:
            many.close()
