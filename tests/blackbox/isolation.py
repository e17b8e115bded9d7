"""What keeps two runs on one machine apart: a network of its own where the kernel lets us have one, and ports that nobody
else of us takes where not."""
import ctypes
import fcntl
import itertools
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)
_outside = None  # the network namespace that this process was started in
_reserved = []   # sockets that hold our ports until this process ends
_next = itertools.count()


def own_network():
    """Puts this process, and all that it starts, into a network namespace of its own, with nothing but loopback in it: any
    address and port can be used, and no two runs meet. Only root may; returns whether it was done."""
    global _outside
    if os.getuid() != 0 or _outside is not None:
        return _outside is not None
    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if _libc.unshare(CLONE_NEWNET) != 0:
        os.close(outside)
        return False
    _outside = outside
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
    return True


def outside():
    """preexec_fn of a program that needs the machine's network, to fetch something."""
    if _outside is not None and _libc.setns(_outside, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def free_port(addresses):
    """A TCP port that is free on all ADDRESSES and stays so: no other run is given it while this process lives, and it is below
    the range that the kernel gives to outgoing connections. What tells other runs is a UDP socket of the same number, which
    the kernel closes whatever becomes of us."""
    seed = os.getpid() % 300 * 60
    for n in _next:
        port = 11000 + (seed + n) % 20000
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            for address in addresses:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, port))
        except OSError:
            mark.close()
            if n > 40000:
                raise RuntimeError("no free port") from None
            continue
        _reserved.append(mark)
        return port
