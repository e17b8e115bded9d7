"""Dovecot: as a proxy in its high-performance mode, and with mail of its own as Debian sets it up."""
from peers import BACKEND, FILES, TLS, TLS_RSA, Peer
from peers.mail import Local

COMMON = """protocols = imap pop3
listen = {0.address}
base_dir = {0.folder}/run
state_dir = {0.folder}/state
log_path = {0.folder}/log
{1}disable_plaintext_auth = no
auth_mechanisms = plain
service stats {{
  unix_listener stats-reader {{
    mode = 0
  }}
}}
"""


class Dovecot(Peer):
    packages = ("dovecot-core", "dovecot-imapd", "dovecot-pop3d")
    users = ("dovecot", "dovenull")

    def settings(self):
        raise NotImplementedError

    def tls_settings(self):
        return f"ssl = yes\nssl_cert = <{self.certificate()}\nssl_key = <{self.certificate('key')}\n" if self.key else "ssl = no\n"

    def commands(self):
        return [["dovecot", "-F", "-c", self.file("dovecot.conf", COMMON.format(self, self.tls_settings()) + self.settings())]]


class DovecotProxy(Dovecot):
    name = "dovecot"
    about = "passdb static with proxy, no password checked; service_count=0, one login process, logs each login and logout"

    def settings(self):
        login = "".join(f"""service {protocol}-login {{
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = {FILES // 2 - 500}
  vsz_limit = 0
}}
""" for protocol in ("imap", "pop3"))
        return login + f"""default_client_limit = {FILES // 2 - 500}
mail_max_userip_connections = 0
passdb {{
  driver = static
  args = proxy=y host={BACKEND} nopassword=y
}}
"""


class DovecotSecure(DovecotProxy):
    name = "dovecot-secure"
    about = "the same with the default service_count=1: a process per session"
    points = ("login", "pop-login", "idle")
    clients = {"idle": 300}

    def settings(self):
        return f"""default_process_limit = 2000
default_client_limit = 4000
passdb {{
  driver = static
  args = proxy=y host={BACKEND} nopassword=y
}}
"""


class DovecotLocal(Local, Dovecot):
    name = "dovecot-local"
    about = "own mail, passwd-file with {SHA}, its defaults: a login process and a session process each"
    points = ("local", "pop-local")

    def settings(self):
        users = self.file("users", self.account_lines("{user}:{sha}:{uid}:{gid}::{home}\n"))
        return f"""mail_location = maildir:~/Maildir
mail_max_userip_connections = 0
first_valid_uid = 100
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = passwd-file
  args = {users}
}}
"""


class DovecotTls(DovecotProxy):
    name = "dovecot-tls"
    about = "as dovecot, with TLS towards clients, P-256"
    key = "p256"
    points = TLS


class DovecotRsa(DovecotTls):
    name = "dovecot-rsa"
    about = "the same with RSA-2048"
    key = "rsa"
    points = TLS_RSA


class DovecotLocalTls(DovecotLocal):
    name = "dovecot-local-tls"
    about = "as dovecot-local, with TLS towards clients, P-256"
    key = "p256"
    points = ("tls-local",)


PEERS = [DovecotProxy, DovecotSecure, DovecotLocal, DovecotTls, DovecotRsa, DovecotLocalTls]
