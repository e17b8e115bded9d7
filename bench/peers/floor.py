"""What no proxy can do without: nothing at all, and the bare relays."""
import os

from peers import BACKEND, Peer


class Direct(Peer):
    name = "direct"
    about = "load generator to back end, no proxy"

    def __init__(self, address, folder, place):
        super().__init__(BACKEND, folder, place)

    def commands(self):
        return []


class Relay(Peer):
    name = "relay-copy"
    about = "bench/relay: 64 KiB recv and send; no login"
    how = ()

    def commands(self):
        return [[os.path.join(self.place["programs"], "relay"), f"{self.address}:{port}", f"{BACKEND}:{port}", *self.how]
                for port in (143, 110)]


class RelaySplice(Relay):
    name = "relay-splice"
    about = "bench/relay: splice with pipes of 64 KiB; no login"
    how = ("splice",)


class RelaySplice1m(Relay):
    name = "relay-splice1m"
    about = "bench/relay: splice with pipes of 1 MiB; no login"
    how = ("splice", "1048576")
    points = ("bulk", "bulk16k")


PEERS = [Direct, Relay, RelaySplice, RelaySplice1m]
