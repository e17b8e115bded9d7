import os
import shutil
import sys

import pytest

# Before pool is read: under valgrind all waits are longer.
if "--wrapper=valgrind" in sys.argv:
    os.environ["WAYPOST_WRAPPER"] = "valgrind"

import isolation
import pool as pool_module
from fakeserver import FakeServer
from pool import Account, Pool


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="the long tests too")
    parser.addoption("--wrapper", default="", help="valgrind: run the nodes under it")
    parser.addoption("--keep", action="store_true", help="leave the pools' folders in /tmp")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long; run by --all only")
    config.addinivalue_line("markers", "once: load, crashes, packages and programs of others; under the sanitizers by --all only")
    config.addinivalue_line("markers", "valgrind: part of the subset that is run under valgrind")
    if config.getoption("--wrapper") not in ("", "valgrind") or (config.getoption("--wrapper") and pool_module.SLOW == 1):
        raise pytest.UsageError("--wrapper=valgrind is the only one, written so")
    # Not in the process that only distributes tests (pytest-xdist); the workers come here, too.
    if not getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        isolation.own_network()


def pytest_collection_modifyitems(config, items):
    if config.getoption("--all"):
        return
    keep, drop = [], []
    for item in items:
        (drop if item.get_closest_marker("long") else keep).append(item)
    if drop:
        config.hook.pytest_deselected(items=drop)
        items[:] = keep


def pytest_sessionstart(session):
    daemon = os.path.join(pool_module.PREFIX, "sbin", "waypostd")
    if not session.config.option.collectonly and not os.path.exists(daemon):
        pytest.exit(f"{daemon} is not there: install a build and set WAYPOST_PREFIX", 1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.log_marks = {node: node.log_mark() for p in pool_module.pools for node in p.nodes}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    marks = getattr(item, "log_marks", {})
    for p in pool_module.pools:
        for node in p.nodes:
            try:
                text = node.log_since(marks.get(node, 0))
            except OSError:
                continue
            if text.strip():
                report.sections.append((f"log of {node}", text[-6000:]))


@pytest.fixture(scope="session", autouse=True)
def nothing_left():
    yield
    for p in list(pool_module.pools):
        p.stop()
        if not p.keep:
            shutil.rmtree(p.root, ignore_errors=True)
        pool_module.pools.remove(p)


@pytest.fixture
def make_pool(request):
    """Pool(...) for one test."""
    made = []

    def make(*args, **kw):
        kw.setdefault("keep", request.config.getoption("--keep"))
        p = Pool(*args, **kw)
        made.append(p)
        return p
    yield make
    problems = []
    for p in made:
        try:
            p.close()
        except AssertionError as e:
            problems.append(str(e))
    assert not problems, "\n".join(problems)


def standard_accounts():
    """One account per node, one without a mailhost."""
    return [
        Account("anna@example.com", mailhost="127.0.0.1"),
        Account("berta@example.com", mailhost="127.0.0.2"),
        Account("carla@example.com", mailhost="127.0.0.3"),
        Account("dora@example.com"),
    ]


def shared_pool(request, **kw):
    """For module fixtures: `yield from shared_pool(request, ...)`."""
    accounts = kw.pop("accounts", [])
    p = Pool(accounts=standard_accounts() + list(accounts), keep=request.config.getoption("--keep"), **kw)
    yield p
    p.close()


# Settings for quick tests: no delay of failed logins unless a test is about it.
QUICK = {}


@pytest.fixture(scope="module")
def pool(request):
    """Three nodes for all tests of a module. A module changes it by POOL = {...} (arguments of Pool)."""
    yield from shared_pool(request, **dict(getattr(request.module, "POOL", {})))


class Fakes:
    """Peers for a module's tests, each used once, because the nodes remember a peer that misbehaved."""

    def __init__(self, count):
        self.servers = [FakeServer(f"127.0.1.{i + 1}") for i in range(count)]
        self.accounts = [Account(f"fake{i}@example.com", mailhost=s.host) for i, s in enumerate(self.servers)]
        self.used = 0

    def next(self, script=None):
        """(server, account) not used before."""
        i = self.used
        self.used += 1
        self.servers[i].script = script
        return self.servers[i], self.accounts[i]

    def close(self):
        for server in self.servers:
            server.close()


@pytest.fixture(scope="module")
def fakes_pool(request):
    """Three nodes and many fake peers: (pool, fakes)."""
    fakes = Fakes(getattr(request.module, "FAKES", 60))
    kw = dict(getattr(request.module, "POOL", {}))
    more = list(kw.pop("accounts", [])) + fakes.accounts
    yield from ((p, fakes) for p in shared_pool(request, accounts=more, **kw))
    fakes.close()
