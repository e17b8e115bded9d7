"""Isolates test runs on one machine from each other: by a network namespace if the kernel allows one, else by ports that no
other run takes."""
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
    """Moves this process, and all that it starts, into a network namespace with nothing but loopback: any address and port can
    be used without conflicts. Only root can; returns whether it was done."""
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
    """A TCP port that is free on all ADDRESSES and stays so: no other run gets it while this process lives, and it is below the
    range of ports for outgoing connections. A UDP socket of the same number marks it as taken; the kernel closes that however we
    end."""
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
