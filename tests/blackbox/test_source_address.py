"""PROXY_SOURCE_ADDRESS: where connections to peers come from, and what `waypost check` says of it."""
import pytest

from client import Imap, Pop3
from conftest import shared_pool
from fakeserver import FakeServer, imap_peer, pop3_peer
from pool import Account

HOST = "127.0.4.3"
SOURCES = ["127.0.4.11", "127.0.4.12"]
FOREIGN = "192.0.2.77"  # not of this machine


@pytest.fixture(scope="module")
def servers():
    servers = FakeServer(HOST, imap_peer()), FakeServer(HOST, pop3_peer())
    yield servers
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def node(request, servers):
    account = Account("away@example.com", mailhost=f"{HOST}:imap={servers[0].port}:pop3={servers[1].port}")
    settings = {"LOGIN_WORKERS": 1, "proxy": {"PROXY_SOURCE_ADDRESS": " ".join([*SOURCES, FOREIGN])}}
    for pool in shared_pool(request, nodes=1, accounts=[account], settings=settings):
        yield pool.nodes[0]


@pytest.mark.parametrize("client,server", [(Imap, 0), (Pop3, 1)])
def test_addresses_in_turn(node, servers, client, server):
    account = node.pool.accounts["away@example.com"]
    port = (node.pool.imap_port, node.pool.pop3_port)[server]
    for _ in range(4):
        with client("127.0.0.1", port) as c:
            reply = c.login(account.name, account.password)
            assert reply.startswith(b"+OK") if client is Pop3 else reply.status == "OK", reply
    assert {conn.client for conn in servers[server].conns} == set(SOURCES)


def test_check_names_what_the_machine_lacks(node):
    out = node.tool("check")
    assert f"PROXY_SOURCE_ADDRESS: this machine does not have the address {FOREIGN}" in out.stdout + out.stderr
    assert SOURCES[0] not in out.stdout + out.stderr
