"""Two runs of these tests on one machine do not meet."""
import os
import socket
import subprocess
import sys

import pytest

import isolation

pytestmark = pytest.mark.once

HERE = os.path.dirname(os.path.abspath(__file__))
OTHER_RUN = """
import os, sys
sys.path.insert(0, sys.argv[1])
os.getpid = lambda: int(sys.argv[2])
from isolation import free_port
print(*(free_port(["127.0.0.1", "127.0.0.2"]) for _ in range(20)))
"""


def test_ports_of_two_runs_differ():
    """Even if nobody listens there yet, and the other run looks in the same order."""
    mine = {isolation.free_port(["127.0.0.1", "127.0.0.2"]) for _ in range(20)}
    r = subprocess.run([sys.executable, "-c", OTHER_RUN, HERE, str(os.getpid())], capture_output=True, text=True, timeout=60, check=True)
    other = {int(port) for port in r.stdout.split()}
    assert len(mine) == len(other) == 20 and not mine & other


def test_port_is_free_again_after_a_run_was_killed():
    r = subprocess.run([sys.executable, "-c", OTHER_RUN + "sys.stdout.flush(); import posix; os.kill(posix.getpid(), 9)", HERE, "0"],
                       capture_output=True, text=True, timeout=60)
    port = int(r.stdout.split()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", port))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_run_has_a_network_of_its_own():
    if not isolation.own_network():
        pytest.skip("the kernel does not let us have one")
    with open("/proc/thread-self/net/dev") as f:
        assert [line.split(":")[0].strip() for line in f if ":" in line] == ["lo"]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 1143))
        s.listen()
        socket.create_connection(("127.0.0.1", 1143), timeout=10).close()
