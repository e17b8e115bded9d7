"""Messages between the processes of a node, and another process's sockets for them, which only root can take."""
import array
import ctypes
import os
import re
import signal
import socket
import struct

from pool import wait_for

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def source(name):
    with open(os.path.join(SOURCES, name)) as f:
        return re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)


def enum(text):
    """The members of a C enum and their values."""
    values, last = {}, -1
    for member in text.split(","):
        name, _, value = (part.strip() for part in member.partition("="))
        if name:
            last = int(value, 0) if value else last + 1
            values[name] = last
    return values


TYPES = enum(re.search(r"enum msg_type \{(.*?)\}", source("node/msg_channel.h"), re.S).group(1))
TOTALS = (re.findall(r"X\((?:WORKER|AUTHD), \w+, \"(\w+)\"\)", source("node/msg_control.h")) +
          re.findall(r"X\([A-Z_]+, \"[^\"]*\", \"(\w+)\"\)", source("node/msg_auth.h")))
SCHEMES = {name: n for n, name in enumerate(re.findall(r"^\s*X\((\w+), \"", source("lib/tls_scheme.h"), re.M))}


def descriptor_of(pid, fd):
    """A copy of another process's descriptor (pidfd_getfd)."""
    pidfd = os.pidfd_open(pid)
    try:
        got = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, fd, 0)
        if got == -1:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return got
    finally:
        os.close(pidfd)


def sockets(pid):
    """The numbers of a process's message sockets, by inode."""
    found = {}
    for fd in sorted(int(n) for n in os.listdir(f"/proc/{pid}/fd")):
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
        if link.startswith("socket:"):
            found[int(link[8:-1])] = fd
    return found


def other_end(inode):
    """The inode of the socket that this AF_UNIX socket is connected to, or None (sock_diag(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as s:
        body = struct.pack("<BBHIIIII", socket.AF_UNIX, 0, 0, 0xffffffff, inode, 4, 0xffffffff, 0xffffffff)
        s.send(struct.pack("<IHHII", 16 + len(body), 20, 1, 1, 0) + body)
        answer = s.recv(65536)
    at = 32
    while at + 8 <= len(answer):
        length, kind = struct.unpack("<HH", answer[at:at + 4])
        if kind == 2:
            return struct.unpack("<I", answer[at + 4:at + 8])[0]
        at += max(4, (length + 3) & ~3)
    return None


class Taken:
    """The message sockets of the worker PID of NODE; by default it is stopped meanwhile, so that answers come here. One that
    was just started has its channels to ROLES a moment later: they are waited for."""

    def __init__(self, node, pid, stop=True, roles=("authd", "spawn", "key", "master")):
        self.pid, self.stop, self.ours, self.others = pid, False, {}, {}
        wait_for(f"worker {pid} has its channels to {', '.join(roles)}", lambda: self.take(node, set(roles)))
        self.stop = stop
        if stop:
            os.kill(pid, signal.SIGSTOP)

    def take(self, node, roles):
        """False, and nothing is taken: it does not have all of them yet."""
        try:
            # The master keeps the key process's end, too: the last one counts.
            theirs = {inode: (role, p, fd) for role in ("master", "authd", "spawn", "key") for p in node.pids(role)
                      for inode, fd in sockets(p).items()}
            ends = {theirs[far][0]: (fd, theirs[far][1:]) for inode, fd in sockets(self.pid).items() if fd != 4  # the log
                    for far in [other_end(inode)] if far in theirs}
            if set(ends) == roles:
                for role, (fd, self.others[role]) in ends.items():
                    self.ours[role] = socket.socket(fileno=descriptor_of(self.pid, fd))
                return True
        except OSError:
            self.close()  # a process ended, or closed one, while it was looked at
        return False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.stop:
            try:
                os.kill(self.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        for s in self.ours.values():
            s.close()

    def send(self, role, message, fd=None):
        s = self.ours[role]
        s.setblocking(True)
        s.settimeout(10)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        s.sendmsg([message], control, socket.MSG_NOSIGNAL)

    def ask(self, role, message):
        """The bytes of the signature that came for it. A worker that was just started may not have read what comes first."""
        self.send(role, message)
        answer = b""
        while answer[:2] != struct.pack("<H", TYPES["KEY_SIGNED"]):
            answer = self.ours[role].recv(65536)
        return struct.unpack("<I", answer[6:10])[0]

    def take_all(self, role):
        """Reads, in the place of the stopped worker, what ROLE has for it: until nothing more comes for a second."""
        s = self.ours[role]
        s.settimeout(1)
        try:
            while s.recv(65536):
                pass
        except TimeoutError:
            pass

    def seen_by_other_end(self, role):
        """The first message that ROLE has not read yet, or None."""
        pid, fd = self.others[role]
        with socket.socket(fileno=descriptor_of(pid, fd)) as s:
            try:
                return s.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None

    def is_read(self, role):
        """ROLE has read all that was sent to it."""
        return self.seen_by_other_end(role) is None
