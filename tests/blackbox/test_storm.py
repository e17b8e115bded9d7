"""A server dies with many sessions: their clients do not all come back in the same second."""
import select
import socket
import time

import pytest

from client import Imap
from fakeserver import FakeServer, imap_peer
from pool import Account, Pool, wait_for

PEER, USER, MANY = "127.0.0.9", "many@example.com", 60


def test_server_dies(request):
    with Pool(nodes=1, start=False, keep=request.config.getoption("--keep"), settings={"LOGIN_WORKERS": 1}) as pool:
        pool.add(Account(USER, mailhost="127.0.0.1"), mail=False)
        for spread in (600, 0):
            die(pool, spread)


def die(pool, spread):
    peer = FakeServer(PEER, imap_peer())
    node = pool.nodes[0]
    pool.accounts[USER].mailhost = peer.host
    pool.write_userdb()
    pool.write_conf({"proxy": {"PROXY_DISCONNECT_SPREAD": spread}})
    pool.start()
    mark = node.log_mark()
    clients = [Imap("127.0.0.1", pool.imap_port) for _ in range(MANY)]
    for c in clients:
        c.login(USER, pool.accounts[USER].password)
    assert node.status()["counts"]["proxied_imap"] == MANY
    time.sleep(4)  # sessions with something under way end at once
    for conn in peer.conns:
        conn.sock.shutdown(socket.SHUT_RDWR)
    peer.close()

    def counts():
        return node.status()["counts"]

    def told():
        return [c for c in clients if c.sock.fileno() != -1 and select.select([c.sock], [], [], 0)[0]]

    def staying():
        """Of 52, one leaves in some twelve seconds, at random."""
        return [c for c in clients if c.sock.fileno() != -1 and c not in told()]

    # The first ones are no storm yet: they are told at once.
    wait_for("the end has reached all sessions", lambda: len(told()) + counts()["letting_go"] == MANY)
    first = told()
    assert len(first) == MANY if spread == 0 else 8 <= len(first) <= MANY // 2
    for c in first:
        assert c.is_closed()
        c.close()
    wait_for("all sessions are over", lambda: counts()["proxied_imap"] == 0)
    wait_for("and logged", lambda: node.log_since(mark).count("LOGOUT, user=") == MANY)
    wait_for("authd knows", lambda: counts()["sessions_imap"] == 0)
    assert USER not in node.tool("who").stdout
    wait_for("those that stay are counted", lambda: counts()["letting_go"] == len(staying()))
    there = staying()
    assert len(there) == 0 if spread == 0 else len(there) >= MANY // 2
    if there:
        there[0].send("a NOOP\r\n")
        assert there[0].is_closed()
        there[1].close()
        wait_for("who acts is let go", lambda: counts()["letting_go"] == len(staying()))
        assert len(staying()) >= MANY // 2 - 2
    assert not pool.stop()
    for c in there:
        assert c is there[1] or c.is_closed()
        c.close()


def test_start(request):
    """More come at once than LOGIN_START_RATE: they wait in order; what is too much is told so, and that is no wrong password."""
    with Pool(nodes=1, accounts=[Account(USER)], keep=request.config.getoption("--keep"), settings={"LOGIN_START_RATE": 2}) as pool:
        node = pool.nodes[0]
        clients = [Imap("127.0.0.1", pool.imap_port, source=f"127.0.1.{i}") for i in range(40)]
        for c in clients:
            c.send(f"a LOGIN {USER} {pool.accounts[USER].password}\r\n")
        replies = [c.finish("a") for c in clients]
        counts = node.status()["counts"]
        refused = [r for r in replies if not r.ok]
        assert all(b"[UNAVAILABLE]" in r.text for r in refused), refused
        # Ten places; on a slow machine some become free again meanwhile.
        assert refused and counts["turns_refused"] == len(refused)
        assert counts["turns_waited"] >= 10 and counts["turns_waiting"] == 0
        log = node.log()
        assert log.count("than LOGIN_START_RATE (2 a second) have come since the start") == 1
        assert "too many logins at once after the start of this node" in log and "LOGIN FAILED" not in log
        for c in clients:
            c.close()
