"""Mail servers of Debian as foreign servers: Courier, Cyrus and GNU Mailutils, started from unpacked packages on ports of their own.
Dovecot is in test_mech.py."""
import grp
import imaplib
import os
import pwd
import shlex
import shutil
import socket
import subprocess

import pytest

import debian
from isolation import free_port
from pool import GID, SLOW, UID, chown, wait_for

# Lays the packages over /usr, FOLDER's etc over /etc and its run over /run, for this server alone.
MOUNTS = """mount --make-rprivate / &&
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr &&
{ ! [ -d "$2/etc" ] || mount -t overlay overlay -o "lowerdir=$2/etc:/etc" /etc; } &&
{ ! [ -d "$2/run" ] || mount --bind "$2/run" /run; } &&
cd "$2" && sh ./start; exit $?"""


def md5(password):
    return subprocess.run(["openssl", "passwd", "-1", "-stdin"], input=password + "\n", capture_output=True, text=True, check=True).stdout.strip()


class RealServer:
    """FOLDER is its own, and all users can reach it. ACCOUNTS: names and passwords. PEM: file with key and certificate."""
    packages = ()
    host = ""

    def __init__(self, folder, accounts, pem):
        if os.getuid() != 0:
            pytest.skip("only root can lay packages over /usr")
        self.debian = debian.Unpacked(*self.packages)
        self.folder, self.accounts, self.pem = folder, accounts, os.path.join(folder, "server.pem")
        shutil.copy(pem, self.pem)
        os.chmod(self.pem, 0o600)
        chown(self.pem)
        self.imap_port, self.pop3_port, self.imaps_port, self.pop3s_port = (free_port([self.host]) for _ in range(4))
        self.proc = None
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def owned(self, *names):
        """Folders of the user that mail belongs to."""
        for name in names:
            path = os.path.join(self.folder, name)
            os.makedirs(path, exist_ok=True)
            chown(path)

    def prepare(self):
        """Writes the settings and `start`, a script that ends when the server does."""
        raise NotImplementedError

    def start(self):
        with open(os.path.join(self.folder, "output"), "ab") as out:
            # Daemons leave their process group (couriertcpd), but not the namespace. It ends with its first process, a shell of
            # root's (the kernel kills no child with its parent that has changed its user), and that with unshare.
            command = ["unshare", "-m", "--pid", "--fork", "--kill-child", "sh", "-c", MOUNTS, "sh", self.debian.root, self.folder]
            self.proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        wait_for(f"{type(self).__name__} answers", self.ready, pause=0.1)

    def ready(self):
        assert self.proc.poll() is None, self.log()
        return all(self.answers(port) for port in (self.imap_port, self.pop3_port))

    def answers(self, port):
        try:
            with socket.create_connection((self.host, port), timeout=5 * SLOW) as c:
                return c.recv(3) in (b"* O", b"+OK")
        except OSError:
            return False

    def session(self, name):
        """One of NAME at the server itself, by no way through us."""
        c = imaplib.IMAP4(self.host, self.imap_port)
        c.authenticate("PLAIN", lambda _: f"\0{name}\0{self.accounts[name]}".encode())
        return c

    def deliver(self, name, data):
        c = self.session(name)
        assert c.append("INBOX", None, None, data)[0] == "OK"
        c.logout()

    def log(self):
        with open(os.path.join(self.folder, "output"), errors="replace") as f:
            return f.read()

    def close(self):
        if self.proc is not None:
            self.proc.kill()
            self.proc.wait()
        self.debian.close()


class Courier(RealServer):
    """Its login programs behind couriertcpd, with authdaemond and a userdb."""
    packages = ("courier-imap", "courier-pop", "courier-authlib-userdb")
    host = "127.0.2.21"
    capability = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE"

    def prepare(self):
        self.write("etc/courier/authdaemonrc", 'authmodulelist="authuserdb"\nauthmodulelistorig="authuserdb"\ndaemons=2\nauthdaemonvar=/run/courier/authdaemon\n')
        # Its login programs' TLS runs as this user.
        for file in "passwd", "group":
            with open(f"/etc/{file}") as f:
                self.write(f"etc/{file}", f.read() + f"courier:x:{UID}:{GID}::/:/bin/false\n" if file == "passwd" else f"courier:x:{GID}:\n")
        users = "".join(f"{name}\tuid={UID}|gid={GID}|home={self.folder}/home/{name}|systempw={md5(password)}\n"
                        for name, password in self.accounts.items())
        self.write("etc/courier/userdb", users, 0o600)
        self.owned("run", *(f"home/{name}" for name in self.accounts))
        tls = f"TLS_CERTFILE={self.pem} TLS_VERIFYPEER=NONE TLS_PROTOCOL=TLSv1.2+"

        def listen(port, env, program, implicit=False):
            how = "/usr/bin/couriertls -server -tcpd" if implicit else ""
            return (f"env -i PATH=/usr/bin:/bin {env} {tls} COURIERTLS=/usr/bin/couriertls /usr/sbin/couriertcpd -address={self.host} -nodnslookup"
                    f" -noidentlookup -maxprocs=40 -maxperip=40 {port} {how} {program} Maildir &\n")
        imap = "IMAP_KEYWORDS=1 IMAP_USELOCKS=0 IMAP_ENHANCEDIDLE=0 IMAP_IDLE_TIMEOUT=60 IMAP_ULIMITD=131072 MAXDAEMONS=40 " \
               f"IMAP_CAPABILITY='{self.capability}' IMAP_CAPABILITY_TLS='{self.capability} AUTH=PLAIN'"
        imap_program, pop3_program = "/usr/lib/courier/courier/imaplogin /usr/bin/imapd", \
            "/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d"
        pop3 = "POP3AUTH='' POP3AUTH_TLS='LOGIN PLAIN'"
        self.write("start", f"""set -e
mkdir -p /run/courier/authdaemon
for d in home/*; do [ -d "$d/Maildir" ] || setpriv --reuid={UID} --regid={GID} --clear-groups maildirmake.courier "$d/Maildir"; done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
( set -a; . /etc/courier/authdaemonrc; exec /usr/lib/courier/courier-authlib/authdaemond ) &
{listen(self.imap_port, imap + " IMAP_STARTTLS=YES", imap_program)}\
{listen(self.imaps_port, imap + " IMAP_TLS=1", imap_program, True)}\
{listen(self.pop3_port, pop3 + " POP3_STARTTLS=YES", pop3_program)}\
{listen(self.pop3s_port, pop3 + " POP3_TLS=1", pop3_program, True)}\
wait
""")
        self.make_userdb()

    def make_userdb(self):
        """By Courier's makeuserdb, whose helper and files are elsewhere here."""
        with open(self.debian.path("usr/sbin/makeuserdb")) as f:
            text = f.read().replace("/usr/lib/courier/", self.debian.path("usr/lib/courier/"))
        script = self.write("makeuserdb", text.replace("/etc/courier/", f"{self.folder}/etc/courier/"))
        subprocess.run(["perl", script, "-f", f"{self.folder}/etc/courier/userdb"], env=self.debian.environment(), check=True, timeout=60)


class Cyrus(RealServer):
    """With the accounts in a sasldb, and waypost as a proxy's user. All of it runs as the user that the mail belongs to."""
    packages = ("cyrus-imapd", "cyrus-pop3d", "sasl2-bin")
    host = "127.0.2.22"

    def prepare(self):
        self.owned("conf/socket", "conf", "spool", "proc", "lock", "sasl")
        user, group = pwd.getpwuid(UID).pw_name, grp.getgrgid(GID).gr_name
        here = self.folder
        conf = self.write("imapd.conf", f"""configdirectory: {here}/conf
proc_path: {here}/proc
mboxname_lockpath: {here}/lock
defaultpartition: default
partition-default: {here}/spool
cyrus_user: {user}
cyrus_group: {group}
unixhierarchysep: yes
virtdomains: userid
defaultdomain: internal
allowplaintext: yes
proxyservers: waypost@proxy
autocreate_quota: 0
autocreate_inbox_folders: Sent
popminpoll: 0
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {here}/sasl/db
sasl_mech_list: PLAIN LOGIN
tls_server_cert: {self.pem}
tls_server_key: {self.pem}
""")
        listen = "".join(f'  {kind} cmd="/usr/lib/cyrus/bin/{kind[:4]}d {"-s " if kind[4:] else ""}-C {conf}" listen="{self.host}:{port}" prefork=0\n'
                         for kind, port in (("imap", self.imap_port), ("imaps", self.imaps_port), ("pop3", self.pop3_port), ("pop3s", self.pop3s_port)))
        self.write("cyrus.conf", f'START {{\n  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r -C {conf}"\n}}\nSERVICES {{\n{listen}}}\nEVENTS {{\n}}\n')
        users = {**self.accounts, "waypost@proxy": "the proxy's"}
        add = "".join(f"printf %s {shlex.quote(password)} | saslpasswd2 -p -c -f sasl/db -u {name.partition('@')[2]} {name.partition('@')[0]}\n"
                      for name, password in users.items())
        self.write("start", f"""set -e
{add}chown {user} sasl/db
exec setpriv --reuid={UID} --regid={GID} --clear-groups /usr/lib/cyrus/bin/master -D -C {conf} -M {here}/cyrus.conf -p {here}/proc/pid
""")


class Mailutils(RealServer):
    """GNU imap4d and pop3d, with their virtual domains; each account has one mbox and its folders."""
    packages = ("mailutils-imap4d", "mailutils-pop3d")
    host = "127.0.2.23"

    def prepare(self):
        self.owned("homes")
        domains = {}
        for name, password in self.accounts.items():
            user, _, domain = name.partition("@")
            self.owned(f"homes/{user}")
            path = self.write(f"homes/{user}/INBOX", "", 0o600)
            chown(path)
            domains.setdefault(domain, []).append(f"{user}:{md5(password)}:{UID}:{GID}::{self.folder}/homes/{user}:/bin/sh\n")
        for domain, lines in domains.items():
            self.write(f"domains/{domain}", "".join(lines), 0o600)
        common = f"""virtdomain {{ passwd-dir {self.folder}/domains; }};
auth {{ authorization clear; authorization virtdomain; authentication clear; authentication generic; }};
logging {{ syslog no; }};
tcp-wrappers {{ enable no; }};
locking {{ type dotlock; }};
mandatory-locking {{ enable no; }};
mode daemon;
foreground yes;
tls {{ ssl-certificate-file {self.pem}; ssl-key-file {self.pem}; }};
"""
        for kind, port, tls_port in (("imap", self.imap_port, self.imaps_port), ("pop3", self.pop3_port, self.pop3s_port)):
            self.write(f"{kind}.conf", common + f"pidfile {self.folder}/{kind}.pid;\n"
                       f"server {self.host}:{port} {{ transcript yes; tls-mode ondemand; }};\nserver {self.host}:{tls_port} {{ tls-mode connection; }};\n")
        self.write("start", "imap4d --no-config --config-file=imap.conf &\npop3d --no-config --config-file=pop3.conf &\nwait\n")

    def session(self, name):
        c = imaplib.IMAP4(self.host, self.imap_port)
        c.login(name, self.accounts[name])
        return c

    def deliver(self, name, data):
        """Into the mbox: its APPEND to INBOX fails."""
        with open(os.path.join(self.folder, "homes", name.partition("@")[0], "INBOX"), "ab") as f:
            f.write(b"From sender@example.com Mon Jan  2 10:00:00 2023\n" + data.replace(b"\r\n", b"\n") + b"\n")
