"""Perdition: a process per session."""
from peers import BACKEND, Peer


class Perdition(Peer):
    name = "perdition"
    about = "outgoing_server, no map; logs each login and logout into a file; RLIMIT_NOFILE 1024, for each child closes them all"
    packages = ("perdition",)
    clients = {"idle": 300}

    def commands(self):
        return [["prlimit", "--nofile=1024", "perdition", "--no_daemon", "--protocol", protocol, "--bind_address", self.address,
                 "--listen_port", str(port), "--outgoing_server", BACKEND, "--outgoing_port", str(port), "--ssl_mode", "none",
                 "--log_facility", self.file(f"log.{port}", mode=0o666), "--pid_file", f"{self.folder}/pid.{port}", "--no_lookup",
                 "--config_file", self.file("perdition.conf"), "--map_library", "", "-u", "nobody", "-g", "nogroup"]
                for protocol, port in (("IMAP4", 143), ("POP3", 110))]


PEERS = [Perdition]
