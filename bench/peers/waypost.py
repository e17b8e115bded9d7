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

    def tls_settings(self):
        if not self.key:
            return ""
        here = f'SSLADDRESS = "{self.address}"; TLS_CERTFILE = "{self.certificate()}"; TLS_PRIVATE_KEYFILE = "{self.certificate("key")}"'
        return f"imapd-ssl = {{ {here}; SSLPORT = 993; }};\npop3d-ssl = {{ {here}; SSLPORT = 995; }};\n"

    def commands(self):
        self.file("secret", "a secret of the bench, as long as it should be\n", 0o600)
        group = f'ADDRESS = "{self.address}"; MAXPERIP = 50000; MAXPERACCOUNT = 50000; MAXDAEMONS = 50000'
        conf = self.file("waypost.conf", f"""RUNDIR = "{self.folder}/run";
PROXY_HOSTNAME = "{self.address}";
POOL_SECRETFILE = "{self.folder}/secret";
LOGIN_USER = "nobody";
AUTH_USER = "{READER}";
LOGIN_WORKERS = {self.workers};
{self.auth_settings()}imapd = {{ {group}; PORT = 143; IMAP_PROXY = 1; }};
pop3d = {{ {group}; PORT = 110; POP3_PROXY = 1; }};
{self.tls_settings()}""")
        return [[os.path.join(self.place["prefix"], "sbin", "waypostd"), "-F", "-c", conf]]


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


PEERS = [Waypost, WaypostTwo, WaypostLocal, WaypostTls, WaypostRsa, WaypostLocalTls]
