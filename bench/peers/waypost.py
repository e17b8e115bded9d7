"""Waypost: one front node of a pool. It checks the password, applies limits and logs each login and logout."""
import os
import pwd

from peers import ACCOUNTS, BACKEND, TLS, TLS_RSA, Peer, password, user
from peers.mail import Local, sha

READER = "daemon"  # a system user that every machine has; a real node has two of its own


class Waypost(Peer):
    name = "waypost"
    about = "one worker; userdb of 10,000 accounts ({SHA}), limits on, signed forwarding, LOGIN and LOGOUT lines into a file"
    workers = 1

    def accounts(self):
        owner = pwd.getpwnam("nobody")
        return "".join(f"{user(n)}\tuid={owner.pw_uid}|gid={owner.pw_gid}|home=/nonexistent|systempw={sha(password(n))}|"
                       f"options=mailhost={BACKEND}\n" for n in range(ACCOUNTS))

    def auth_settings(self):
        userdb = self.file("userdb", self.accounts(), 0o640)
        os.chown(userdb, 0, pwd.getpwnam(READER).pw_gid)
        return f'authdaemonrc = {{ authmodulelist = "authuserdb"; }};\nauthuserdb = {{ USERDB = "{userdb}"; }};\n'

    def tls_settings(self, address=""):
        if not self.key:
            return ""
        here = f'SSLADDRESS = "{address or self.address}"; TLS_CERTFILE = "{self.certificate()}"; TLS_PRIVATE_KEYFILE = "{self.certificate("key")}"'
        return f"imapd-ssl = {{ {here}; SSLPORT = 993; }};\npop3d-ssl = {{ {here}; SSLPORT = 995; }};\n"

    def commands(self):
        return [self.node("waypost.conf", self.address, self.tls_settings())]

    def node(self, conf, address, more):
        """The command that starts a node at ADDRESS with the file CONF, in which MORE stands, too."""
        self.file("secret", "a secret of the bench, as long as it should be\n", 0o600)
        group = f'ADDRESS = "{address}"; MAXPERIP = 50000; MAXPERACCOUNT = 50000; MAXDAEMONS = 50000'
        path = self.file(conf, f"""RUNDIR = "{self.folder}/run.{conf}";
PROXY_HOSTNAME = "{address}";
POOL_SECRETFILE = "{self.folder}/secret";
LOGIN_USER = "nobody";
AUTH_USER = "{READER}";
LOGIN_WORKERS = {self.workers};
LOGIN_START_RATE = 0;
{self.auth_settings()}imapd = {{ {group}; PORT = 143; IMAP_PROXY = 1; }};
pop3d = {{ {group}; PORT = 110; POP3_PROXY = 1; }};
{more}""")
        return [os.path.join(self.place["prefix"], "sbin", "waypostd"), "-F", "-c", path]


class WaypostTwo(Waypost):
    name = "waypost-2"
    about = "as waypost, with two workers: the memory of a whole node"
    workers = 2
    points = ("idle",)


class WaypostLocal(Local, Waypost):
    name = "waypost-local"
    about = "own mail, userdb with {SHA}, one worker, limits on, LOGIN and LOGOUT lines into a file"
    points = ("local", "pop-local", "growth")

    def accounts(self):
        return self.account_lines("{user}\tuid={uid}|gid={gid}|home={home}|systempw={sha}\n")


class WaypostTls(Waypost):
    name = "waypost-tls"
    about = "as waypost, with TLS towards clients, P-256: a key process, which is counted"
    key = "p256"
    points = TLS


class WaypostRsa(WaypostTls):
    name = "waypost-rsa"
    about = "the same with RSA-2048"
    key = "rsa"
    points = TLS_RSA


class WaypostLocalTls(WaypostLocal):
    name = "waypost-local-tls"
    about = "as waypost-local, with TLS towards clients, P-256"
    key = "p256"
    points = ("tls-local",)


class WaypostPool(WaypostLocal):
    name = "waypost-pool"
    about = "two nodes, one worker each: clients come to the first, their mail is at the second"
    points = ("pool",)

    @property
    def second(self):
        return self.address.replace("127.0.1.", "127.0.2.")

    def accounts(self):
        return self.account_lines("{user}\tuid={uid}|gid={gid}|home={home}|systempw={sha}|" + f"options=mailhost={self.second}\n")

    def first_settings(self):
        return ""

    def commands(self):
        return [self.node("second.conf", self.second, self.tls_settings(self.second)),
                self.node("first.conf", self.address, self.first_settings())]


class WaypostPoolTls(WaypostPool):
    name = "waypost-pool-tls"
    about = "the same with TLS between the nodes, certificates (P-256) verified; clients are plain"
    key = "p256"

    def first_settings(self):
        return f'proxy = {{ PROXY_TLS = "implicit"; PROXY_TLS_CAFILE = "{self.place["certificates"]}/ca.crt"; }};\n'


PEERS = [Waypost, WaypostTwo, WaypostLocal, WaypostTls, WaypostRsa, WaypostLocalTls, WaypostPool, WaypostPoolTls]
