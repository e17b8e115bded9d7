"""imapproxy: threads, IMAP only; its listen queue holds 5, so more logins at a time would measure lost packets."""
from peers import BACKEND, Peer


class ImapProxy(Peer):
    name = "imapproxy"
    about = "cache_expiration_time 0: sessions are not kept for later; four logins at a time"
    packages = ("imapproxy",)
    points = ("login", "bulk", "bulk16k", "ping", "ping1", "idle")
    clients = {"login": 4, "idle": 300}
    opening = 4

    def commands(self):
        conf = self.file("imapproxy.conf", f"""server_hostname {BACKEND}
server_port 143
listen_address {self.address}
listen_port 143
connect_retries 3
connect_delay 1
cache_size 3072
cache_expiration_time 0
proc_username nobody
proc_groupname nogroup
stat_filename {self.folder}/stats
protocol_log_filename {self.folder}/log
syslog_facility LOG_MAIL
send_tcp_keepalives yes
enable_select_cache no
foreground_mode yes
force_tls no
enable_admin_commands no
""")
        return [["imapproxyd", "-f", conf]]


PEERS = [ImapProxy]
