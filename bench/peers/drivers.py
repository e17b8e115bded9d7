"""Waypost with 250,000 accounts in each kind of directory: every login asks it, or most are known from lately."""
import pwd

from manyaccounts import Ldap, Mysql, Pgsql, Sqlite, Userdb

from peers import BACKEND, password, user
from peers.mail import sha
from peers.waypost import READER, Waypost

MANY = 250000


def make(kind):
    """The directory, filled."""
    return kind(((user(n), sha(password(n)), "/nonexistent", BACKEND) for n in range(MANY)), gid=pwd.getpwnam(READER).pw_gid)


def quote(value):
    return str(value) if isinstance(value, int) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Driver(Waypost):
    directory = None  # class of manyaccounts
    many = None       # an instance of it, set by the runner
    cache = ""

    def auth_settings(self):
        groups = "".join(f"{name} = {{ " + " ".join(f"{k} = {quote(v)};" for k, v in group.items()) + " };\n"
                         for name, group in self.many.settings().items())
        return f'authdaemonrc = {{ authmodulelist = "{self.directory.module}"; {self.cache}}};\n' + groups


def peers_of(title, kind):
    short = kind.module.removeprefix("auth")
    asked = type(f"Asked{kind.__name__}", (Driver,), {
        "name": f"waypost-{short}", "points": ("drivers",), "directory": kind,
        "cache": "AUTH_CACHE_TTL = 0; AUTH_CACHE_NEGATIVE_TTL = 0; AUTH_CACHE_STALE = 0; ",
        "about": f"as waypost, {MANY:,} accounts in {title}, AUTH_CACHE_TTL and AUTH_CACHE_STALE 0: each login asks it"})
    known = type(f"Known{kind.__name__}", (Driver,), {
        "name": f"waypost-{short}-cached", "points": ("drivers-cached",), "directory": kind,
        "about": "the same with the default cache; 1,000 of the accounts log in again and again"})
    return [asked, known]


PEERS = [peer for title, kind in (("the userdb", Userdb), ("an SQLite file", Sqlite), ("PostgreSQL", Pgsql), ("MariaDB", Mysql),
                                  ("OpenLDAP", Ldap)) for peer in peers_of(title, kind)]
