"""The systems that are measured. Each has a class: what it needs from Debian, how it is set up, how it is started.

All listen at the standard ports of an address of their own (with a key: also those that begin with TLS) and forward to the
standard ports of BACKEND."""
import importlib
import os
import sys

# The directories of accounts are those of the tests.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "blackbox"))

BACKEND = "127.0.0.9"
ACCOUNTS = 10000
FILES = 20000          # descriptors that a process may need: two per session
EVERYTHING = ("login", "pop-login", "bulk", "bulk16k", "ping", "ping1", "idle")
TLS = ("tls-login", "tls-login-aes128", "tls-pop-login", "tls-resume", "tls-bulk", "tls-bulk-aes128", "tls-ping", "tls-ping1", "tls-idle")
TLS_RSA = ("tls-login", "tls-pop-login", "tls-resume")


def user(n):
    return f"user{n:05d}@example.com"


def password(n):
    return f"pass-{n:05d}-word"


class Peer:
    """What the runner knows of a system."""
    name = ""
    about = ""               # one line for the report: version comes before it
    packages = ()            # Debian packages that are unpacked for it; their dependencies come along
    points = EVERYTHING      # what it is measured at
    clients = {}             # point -> number of clients, where the usual one is not right
    opening = 32             # sessions that are opened at a time
    users = ()               # system users that exist for it alone
    binary = ""              # program whose package gives the version
    key = ""                 # TLS: of its certificate, "p256" or "rsa"
    directory = None         # class of tests/blackbox/manyaccounts.py: where its accounts are

    def __init__(self, address, folder, place):
        self.address = address
        self.folder = folder
        self.place = place   # {"programs": FOLDER, "prefix": FOLDER of what was built here; "certificates": FOLDER}
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)

    def file(self, name, text="", mode=0o644):
        """Writes a file of the peer's own folder; returns its path."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def certificate(self, kind="crt"):
        """A PEM file: "crt" the certificate, "key" its private key, "pem" both."""
        return os.path.join(self.place["certificates"], f"{self.key}.{kind}")

    def commands(self):
        """Writes the configuration; a list of commands that stay in the foreground."""
        raise NotImplementedError

    def etc(self):
        """Files that it looks for in /etc: {path below /etc: text}."""
        return {}


def all_peers():
    """The classes of all systems, in the order of the report."""
    found = []
    for module in ("floor", "haproxy", "nginx", "dovecot", "perdition", "courier", "imapproxy", "waypost", "drivers"):
        found.extend(importlib.import_module(f"peers.{module}").PEERS)
    return found
