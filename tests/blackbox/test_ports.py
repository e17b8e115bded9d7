"""The port of each protocol in mailhost: where logins go, what `waypost route` and `waypost check` say of it, and what the log
says about a port with another protocol."""
import pytest

from client import Imap, Pop3
from conftest import shared_pool
from fakeserver import FakeServer, imap_peer, pop3_peer, says
from pool import Account, wait_for

HOST = "127.0.4.2"


@pytest.fixture(scope="module")
def servers():
    scripts = {"imap": imap_peer(), "pop3": pop3_peer(), "full": says("-ERR [SYS/TEMP] too many\r\n", then_close=True)}
    all_of_them = {name: FakeServer(HOST, script) for name, script in scripts.items()}
    yield all_of_them
    for server in all_of_them.values():
        server.close()


@pytest.fixture(scope="module")
def node(request, servers):
    port = {name: server.port for name, server in servers.items()}
    accounts = {"both": f"{HOST}:imap={port['imap']}:pop3={port['pop3']}", "swapped": f"{HOST}:pop3={port['imap']}:imap={port['pop3']}",
                "bare": f"{HOST}:{port['imap']}", "full": f"{HOST}:imap={port['full']}", "twice": f"{HOST}:imap=1143:imap=2143",
                "unknown": f"{HOST}:lmtp=24"}
    for pool in shared_pool(request, nodes=1, accounts=[Account(f"{n}@example.com", mailhost=m) for n, m in accounts.items()]):
        pool.add(Account("own@example.com", mailhost=f"127.0.0.9:{pool.imap_port}"))
        wait_for("the new account is known", lambda: pool.nodes[0].tool("route", "own@example.com").returncode == 0)
        yield pool.nodes[0]


def imap_login(node, name):
    account = node.pool.accounts[f"{name}@example.com"]
    with Imap("127.0.0.1", node.pool.imap_port) as c:
        return c.login(account.name, account.password).status


def pop3_login(node, name):
    account = node.pool.accounts[f"{name}@example.com"]
    with Pop3("127.0.0.1", node.pool.pop3_port) as c:
        return c.login(account.name, account.password)[:3]


def test_each_protocol_goes_to_its_own_port(node, servers):
    before = len(servers["imap"].conns), len(servers["pop3"].conns)
    assert imap_login(node, "both") == "OK"
    assert pop3_login(node, "both") == b"+OK"
    assert (len(servers["imap"].conns), len(servers["pop3"].conns)) == (before[0] + 1, before[1] + 1)
    shown = node.tool("route", "both@example.com").stdout
    assert f"IMAP: to {HOST} port {servers['imap'].port} [" in shown and f"POP3: to {HOST} port {servers['pop3'].port} [" in shown, shown


def test_a_port_without_a_name_is_called_what_it_is(node, servers):
    shown = node.tool("route", "bare@example.com").stdout
    assert shown.count(f"{HOST} port {servers['imap'].port} (port {servers['imap'].port} is used for both IMAP and POP3; write {HOST}:imap=PORT:") == 2, shown
    assert imap_login(node, "bare") == "OK"


def test_a_port_that_is_known_to_be_the_other_protocols(node):
    pool = node.pool
    shown = node.tool("route", "own@example.com").stdout
    assert f"IMAP: to 127.0.0.9 port {pool.imap_port} [" in shown, shown
    assert f"POP3: to 127.0.0.9 port {pool.pop3_port} (port {pool.imap_port} in mailhost belongs to the other protocol)" in shown, shown


@pytest.mark.parametrize("name, protocol, words", [
    ("bare", "POP3", "it sent an IMAP greeting. Set the port of POP3 in mailhost: HOST:imap=PORT:pop3=PORT"),
    ("swapped", "POP3", "it sent an IMAP greeting. Set the port of POP3"), ("swapped", "IMAP", "it sent a POP3 greeting. Set the port of IMAP"),
    ("full", "IMAP", "it sent a POP3 greeting. Set the port of IMAP"),
])
def test_a_greeting_of_the_other_protocol_is_named(node, name, protocol, words):
    mark = node.log_mark()
    assert imap_login(node, name) == "NO" if protocol == "IMAP" else pop3_login(node, name) == b"-ER"
    node.wait_log(f"TEMPORARY FAILURE, user={name}@example.com.*{words}", mark)


def test_check_names_accounts_whose_ports_matter(node):
    result = node.tool("check")
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert "warning: account twice@example.com cannot log in: mailhost has two ports for one protocol of a host\n" in said
    assert "warning: account unknown@example.com cannot log in: mailhost has a port for an unknown protocol\n" in said
    assert "warning: 1 account (first: bare@example.com) with a port in mailhost that is used for both IMAP and POP3" in said
    assert imap_login(node, "twice") == "NO" and imap_login(node, "unknown") == "NO"
