"""Courier: as the aggregator that Waypost takes after, and with mail of its own."""
import pwd

from peers import ACCOUNTS, BACKEND, Peer, password, user
from peers.mail import Local, sha

# In the mount namespace: a run-time folder, the accounts as Courier compiles them, the three daemons. What courierlogger
# would hand to syslog goes into our file, which costs less.
SCRIPT = """set -e
mkdir -p /run/courier/authdaemon
chown -R courier:courier /run/courier
chmod 750 /run/courier/authdaemon
cp -a /etc/courier/. {0.folder}/etc
cp {0.folder}/userdb {0.folder}/etc/userdb
chmod 600 {0.folder}/etc/userdb
mount --bind {0.folder}/etc /etc/courier
makeuserdb
sed -i "s/^authmodulelist=.*/authmodulelist=authuserdb/" /etc/courier/authdaemonrc
set -a
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &
serve() {{
	. /etc/courier/$1
	IMAP_PROXY={1} POP3_PROXY={1} PROXY_HOSTNAME={0.address}
	port=$PORT
	shift
	exec couriertcpd -address={0.address} -maxprocs=4000 -maxperip=4000 -nodnslookup -noidentlookup $port "$@" Maildir
}}
lib=/usr/lib/courier/courier
(serve imapd $lib/imaplogin /usr/bin/imapd) &
(serve pop3d $lib/courierpop3login $lib/courierpop3d) &
wait
"""


class Courier(Peer):
    name = "courier"
    about = "authdaemond (5 daemons) with userdb of 10,000 accounts ({SHA}), IMAP_PROXY; logs into a file"
    packages = ("courier-imap", "courier-pop", "courier-authlib-userdb")
    users = ("courier",)
    clients = {"idle": 300}
    proxy = 1

    def accounts(self):
        owner = pwd.getpwnam("nobody")
        return "".join(f"{user(n)}\tuid={owner.pw_uid}|gid={owner.pw_gid}|home=/nonexistent|systempw={sha(password(n))}|"
                       f"options=mailhost={BACKEND}\n" for n in range(ACCOUNTS))

    def commands(self):
        self.file("etc/here")
        self.file("userdb", self.accounts(), 0o600)
        return [["sh", self.file("start", SCRIPT.format(self, self.proxy))]]


class CourierLocal(Local, Courier):
    name = "courier-local"
    about = "own mail, the same accounts, its defaults"
    points = ("local", "pop-local")
    proxy = 0

    def accounts(self):
        return self.account_lines("{user}\tuid={uid}|gid={gid}|home={home}|systempw={sha}\n")


PEERS = [Courier, CourierLocal]
