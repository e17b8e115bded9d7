#!/usr/bin/python3
"""Measures Waypost beside other proxies in one run; started by scripts/bench. See bench/README.

Rounds are interleaved: each round measures every system at a point before the next round begins, so that what
disturbs the machine disturbs all of them; ratios are taken within a round, and their median is reported."""
import argparse
import fcntl
import json
import os
import platform
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import certificates  # noqa: E402
import packages  # noqa: E402
import report  # noqa: E402
from peers import BACKEND, all_peers, drivers  # noqa: E402
import directories  # noqa: E402
from system import System, Trouble, adopt_orphans, kernel_memory, read  # noqa: E402

LOAD_CPU, PROXY_CPU = 0, 1
PORTS = {"imap": 143, "pop3": 110}
TLS_PORTS = {"imap": 993, "pop3": 995}
AES128 = "suites=TLS_AES_128_GCM_SHA256"
REST = 0.05  # seconds for what comes after the last answer: log lines, processes that end

# name: (mode of bench/load, protocol, clients, further options)
POINTS = {
    "login": ("login", "imap", 32, []),
    "pop-login": ("login", "pop3", 32, []),
    "bulk": ("bulk", "imap", 4, ["size=1048576"]),
    "bulk16k": ("bulk", "imap", 4, ["size=16384"]),
    "ping": ("ping", "imap", 32, []),
    "ping1": ("ping", "imap", 1, []),
    "local": ("local", "imap", 4, ["users=32"]),
    "pop-local": ("local", "pop3", 4, ["users=32"]),
    "pool": ("local", "imap", 4, ["users=32"]),
    # What OpenSSL's clients offer, in their order; "-aes128": all systems use the same suite.
    "tls-login": ("login", "imap", 32, ["tls=1"]),
    "tls-login-aes128": ("login", "imap", 32, ["tls=1", AES128]),
    "tls-pop-login": ("login", "pop3", 32, ["tls=1"]),
    "tls-resume": ("login", "imap", 32, ["tls=1", "resume=1"]),
    "tls-bulk": ("bulk", "imap", 4, ["tls=1", "size=1048576"]),
    "tls-bulk-aes128": ("bulk", "imap", 4, ["tls=1", "size=1048576", AES128]),
    "tls-ping": ("ping", "imap", 32, ["tls=1"]),
    "tls-ping1": ("ping", "imap", 1, ["tls=1"]),
    "tls-local": ("local", "imap", 4, ["tls=1", "users=32"]),
    # 104,729 is prime: all accounts have their turn, each far from the one before.
    "drivers": ("login", "imap", 32, ["users=250000", "stride=104729"]),
    "drivers-cached": ("login", "imap", 32, ["users=1000"]),
}
DRIVERS = ("drivers", "drivers-cached")
IDLE = {"idle": [], "tls-idle": ["tls=1"]}
MORE = (*IDLE, "growth")
TLS = [p for p in (*POINTS, *MORE) if p.startswith("tls-") or p == "pool"]
PROXIED = (100, 1000, 9000), ("login", "bulk"), []
# By peer: how many sessions are open, what is measured beside them, options of their making.
GROWTH = {"relay-copy": PROXIED, "waypost": PROXIED, "waypost-local": ((100, 1000, 3000), ("local",), ["users=32"])}


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ports(options):
    return TLS_PORTS if "tls=1" in options else PORTS


class Load:
    """A run of bench/load: ready when made."""

    def __init__(self, bench, mode, protocol, address, options):
        argv = [bench.program("load"), mode, protocol, f"{address}:{ports(options)[protocol]}", *options]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CPU}))
        self.line()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Trouble(self.errors.read().strip())
        return line

    def say(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.line()

    def measure(self):
        self.say()
        return json.loads(self.line())

    def end(self):
        self.say()
        self.process.stdin.close()
        if self.process.wait(30):
            self.errors.seek(0)
            raise Trouble(self.errors.read().strip())

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Bench:
    def __init__(self, args):
        self.args = args
        self.systems = {}
        self.samples = []   # {"round", "point", "peer", figures}
        self.idle = []      # {"peer", "sessions", "pss", "kernel", "base", "processes"}
        self.errors = []    # (peer, point, text)
        self.versions = {}
        self.backend = None
        self.directories = {}  # class: (instance, its System)

    def program(self, name):
        return os.path.join(self.args.programs, name)

    # --- systems ---

    def folder(self, name):
        return os.path.join(self.args.work, name)

    def make(self, cls, number):
        return cls(f"127.0.1.{number + 1}", self.folder(cls.name), {"programs": self.args.programs, "prefix": self.args.prefix,
                                                                    "certificates": self.folder("certificates")})

    def start_backend(self):
        os.makedirs(self.folder("backend"), exist_ok=True)
        self.backend = System("backend", self.folder("backend"), LOAD_CPU)
        self.backend.start([self.program("backend"), f"{BACKEND}:143", f"{BACKEND}:110"])
        self.wait_ready(self.backend, BACKEND, {143, 110})

    def start(self, peer):
        if peer.directory:
            peer.many = self.start_directory(peer.directory)[0]
        system = System(peer.name, peer.folder, PROXY_CPU)
        try:
            folder = self.package_folder(peer)
            for argv in peer.commands():
                if peer.packages:
                    packages.prepare_etc(folder, peer.etc(), peer.users)
                    argv = packages.laid_over(folder, argv)
                system.start(argv)
            self.wait_ready(system, peer.address, {ports(POINTS[p][3])[POINTS[p][1]] for p in peer.points if p in POINTS} or {143})
        except Exception:
            system.stop()
            raise
        self.systems[peer.name] = system
        return system

    def start_directory(self, kind):
        """Beside the load generator: what it costs is counted for itself."""
        if kind not in self.directories:
            folder = self.folder(kind.__name__)
            os.makedirs(folder, exist_ok=True)
            system = System(kind.__name__, folder, LOAD_CPU)

            def launch(argv, preexec_fn, **popen):
                return system.start(argv, preexec_fn=lambda: (system.enter(), preexec_fn()), **popen)

            directories.Directory.launch = staticmethod(launch)
            progress(f"filling {kind.__name__}")
            try:
                self.directories[kind] = drivers.make(kind), system
            except (AssertionError, OSError, IndexError) as e:
                system.stop()
                raise Trouble(f"{kind.__name__} cannot be had (scripts/install-deps test installs what it needs): {e}") from None
        return self.directories[kind]

    def package_folder(self, peer):
        return os.path.join(self.args.cache, "-".join(sorted(peer.packages)) or "none")

    @staticmethod
    def wait_ready(system, address, wanted):
        end = time.monotonic() + 20
        for port in wanted:
            while True:
                try:
                    with socket.create_connection((address, port), timeout=5) as s:
                        if port in TLS_PORTS.values():
                            with unverified().wrap_socket(s):
                                break
                        if s.recv(1):
                            break
                except OSError:
                    pass
                system.check()
                if time.monotonic() > end:
                    raise Trouble(f"{system.name} does not answer at {address} port {port}: {system.output()}")
                time.sleep(0.05)

    def stop_all(self):
        for system in [*self.systems.values(), *([self.backend] if self.backend else [])]:
            system.stop()
        for many, system in self.directories.values():
            many.close()
            system.stop()
        self.systems, self.backend, self.directories = {}, None, {}

    def check_backend(self):
        self.backend.check()
        said = self.backend.output()
        if said:
            os.truncate(self.backend.log, 0)
            raise Trouble("the back end complains: " + said)

    # --- one measurement ---

    def sample(self, peer, point, seconds):
        """The figures of one run of LOAD at a point."""
        mode, protocol, clients, options = POINTS[point]
        clients = peer.clients.get(point, clients)
        system = self.systems.get(peer.name)
        directory = self.directories[peer.directory][1] if peer.directory else None
        load = Load(self, mode, protocol, peer.address, [f"clients={clients}", f"opening={peer.opening}",
                                                         f"seconds={seconds}", f"warm={seconds / 2}", *options])
        try:
            time.sleep(REST)
            before = system.cpu_seconds() if system else 0.0
            backend_before = self.backend.cpu_seconds()
            directory_before = directory.cpu_seconds() if directory else 0.0
            got = load.measure()
            share = (system.cpu_seconds() - before) / got["seconds"] if system else 0.0
            time.sleep(REST)
            used = system.cpu_seconds() - before if system else 0.0
            backend_used = self.backend.cpu_seconds() - backend_before
            directory_used = directory.cpu_seconds() - directory_before if directory else 0.0
            load.end()
        finally:
            load.kill()
        self.check_backend()
        if not got["ops"]:
            raise Trouble("not one operation was done")
        per, unit = (got["bytes"] / 1e9, "s/GB") if got["bytes"] else (got["ops"] / 1e6, "us")
        return {"cpu": used / per, "unit": unit, "backend": backend_used / per,
                "directory": directory_used / per, "share": share, "ops": got["ops"],
                "rate": (got["bytes"] / 1e9 if got["bytes"] else got["ops"]) / got["seconds"], "p50": got["p50_us"], "p99": got["p99_us"],
                "tls": got["tls"]}

    def try_sample(self, number, peer, point, seconds, **more):
        try:
            self.samples.append({"round": number, "peer": peer.name, "point": point, **self.sample(peer, point, seconds), **more})
        except Trouble as e:
            self.errors.append((peer.name, point, str(e)))
            progress(f"{peer.name} {point}: {e}", end="\n")

    # --- phases ---

    def rounds(self, peers, points):
        failed = {}
        for number in range(self.args.rounds):
            for point in (p for p in points if p in self.args.points):
                for peer in random.sample(peers, len(peers)):
                    if point not in peer.points or failed.get((peer.name, point), 0) >= 2:
                        continue
                    progress(f"round {number + 1} of {self.args.rounds}: {point} {peer.name}")
                    errors = len(self.errors)
                    self.try_sample(number, peer, point, self.args.seconds)
                    if len(self.errors) > errors:
                        failed[peer.name, point] = failed.get((peer.name, point), 0) + 1

    def open_idle(self, peer, sessions, options):
        """So many sessions that do nothing until end()."""
        load = Load(self, "idle", "imap", peer.address, [f"clients={sessions}", f"opening={peer.opening}", *options])
        load.measure()
        return load

    def idle_once(self, peer, options):
        sessions = peer.clients.get("idle", 2000)
        system = self.systems.get(peer.name)
        self.open_idle(peer, 64, options).end()
        # What knows the accounts has seen many of them: their records are no part of a session.
        load = Load(self, "login", "imap", peer.address, [f"clients={peer.clients.get('login', 32)}", f"opening={peer.opening}", "seconds=1",
                                                          *options])
        try:
            load.measure()
            load.end()
        finally:
            load.kill()
        time.sleep(1)
        base = system.pss() if system else 0
        # Pages of files are left out: how many share them changes with whatever else the machine runs.
        own = ("Pss_Anon", "Pss_Shmem")
        before = system.pss(own) if system else 0
        kernel = kernel_memory()
        load = self.open_idle(peer, sessions, options)
        try:
            time.sleep(1)
            self.idle.append({"peer": peer.name, "sessions": sessions, "base": base,
                              "pss": ((system.pss(own) if system else 0) - before) / sessions,
                              "kernel": (kernel_memory() - kernel) / sessions, "processes": len(system.pids()) if system else 0})
            load.end()
        finally:
            load.kill()
        self.check_backend()

    def idle_phase(self, peers):
        """Each system freshly started and alone: no memory is left from busier times, no pages are shared with another."""
        for peer in peers:
            if peer.name in self.systems:
                self.systems.pop(peer.name).stop()
        for number in range(self.args.idle_rounds):
            for peer in peers:
                point = next((p for p in IDLE if p in peer.points and p in self.args.points), None)
                if not point:
                    continue
                progress(f"idle sessions {number + 1} of {self.args.idle_rounds}: {peer.name}")
                try:
                    if peer.name != "direct":
                        self.start(peer)
                    self.idle_once(peer, IDLE[point])
                except Trouble as e:
                    self.errors.append((peer.name, point, str(e)))
                    progress(f"{peer.name} {point}: {e}", end="\n")
                if peer.name in self.systems:
                    self.systems.pop(peer.name).stop()

    def growth_phase(self, peers):
        """CPU per login and per byte while so many other sessions are open."""
        for number in range(self.args.rounds):
            for peer in peers:
                if peer.name not in GROWTH:
                    continue
                counts, points, options = GROWTH[peer.name]
                for sessions in counts:
                    progress(f"growth, round {number + 1} of {self.args.rounds}: {peer.name} with {sessions} sessions")
                    try:
                        load = self.open_idle(peer, sessions, options)
                    except Trouble as e:
                        self.errors.append((peer.name, f"growth at {sessions}", str(e)))
                        continue
                    try:
                        for point in points:
                            self.try_sample(number, peer, point, self.args.seconds, open=sessions)
                        load.end()
                    except Trouble as e:
                        self.errors.append((peer.name, f"growth at {sessions}", str(e)))
                    finally:
                        load.kill()

    def start_all(self, peers):
        """Those of PEERS that could be started."""
        started = []
        for peer in peers:
            progress(f"starting {peer.name}")
            try:
                if peer.name != "direct":
                    self.start(peer)
                started.append(peer)
            except Trouble as e:
                self.errors.append((peer.name, "start", str(e)))
                progress(f"{peer.name} is left out: {e}", end="\n")
        return started

    def drivers_phase(self, peers):
        """With directories of many accounts; nothing else runs then."""
        try:
            self.start_backend()
            started = self.start_all(p for p in peers if set(p.points) & set(DRIVERS))
            self.rounds(started, DRIVERS)
        finally:
            self.stop_all()
        return started

    def run(self, peers):
        adopt_orphans()
        started = []
        certificates.make(self.folder("certificates"))
        try:
            self.start_backend()
            wanted = set(self.args.points) - set(DRIVERS)
            started = self.start_all(p for p in peers if set(p.points) & wanted)
            self.rounds(started, [p for p in POINTS if p not in DRIVERS])
            if "growth" in self.args.points:
                self.growth_phase(started)
            if set(IDLE) & set(self.args.points):
                self.idle_phase(started)
            self.stop_all()
            if "drivers" in self.args.points:
                started += [p for p in self.drivers_phase(peers) if p not in started]
        finally:
            self.stop_all()
            progress("")
        return {"machine": machine(self.args), "peers": [{"name": p.name, "about": p.about, "version": self.versions.get(p.name, "")}
                                                         for p in started],
                "samples": self.samples, "idle": self.idle, "errors": self.errors}


# --- the machine ---

def progress(text, end="\r"):
    if end == "\n" or sys.stderr.isatty():
        print(f"\r{text[:500]:100}", end=end, file=sys.stderr, flush=True)


def network():
    """Loopback of our own: nobody else's ports, the packet size of an Ethernet, an ordinary congestion control."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for request, value in ((0x8922, struct.pack("16si12x", b"lo", 1500)), (0x8914, struct.pack("16sh14x", b"lo", 0x41))):
            fcntl.ioctl(s, request, value)
    for name in ("cubic", "reno"):
        try:
            with open("/proc/sys/net/ipv4/tcp_congestion_control", "w") as f:
                f.write(name)
            return
        except OSError:
            continue


def machine(args):
    cpu = [line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    return {"date": time.strftime("%Y-%m-%d %H:%M"), "cpu": f"{len(os.sched_getaffinity(0))} x {cpu[0] if cpu else platform.machine()}",
            "kernel": platform.release(), "rounds": args.rounds, "seconds": args.seconds,
            "congestion": read("/proc/sys/net/ipv4/tcp_congestion_control").strip(), "load": os.getloadavg()[0]}


def arguments():
    a = argparse.ArgumentParser(prog="scripts/bench", description="Measures Waypost beside other proxies; needs root.")
    a.add_argument("--quick", action="store_true", help="3 rounds instead of 7, fewer idle sessions' repeats")
    a.add_argument("--only", default="", help="these systems only, comma-separated")
    a.add_argument("--points", default="", help=f"these points only: {','.join([*POINTS, *MORE])}; tls: those of TLS")
    a.add_argument("--rounds", type=int, default=0)
    a.add_argument("--seconds", type=float, default=0.6, help="of each measurement")
    a.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    a.add_argument("--prefix", required=True, help=argparse.SUPPRESS)
    a.add_argument("--report", required=True, help=argparse.SUPPRESS)
    a.add_argument("--cache", required=True, help=argparse.SUPPRESS)
    a.add_argument("--work", default="", help=argparse.SUPPRESS)
    args = a.parse_args()
    args.rounds = args.rounds or (3 if args.quick else 7)
    args.idle_rounds = 1 if args.quick else 3
    names = [c.name for c in all_peers()]
    wanted = args.only.split(",") if args.only else names
    known = [*POINTS, *MORE]
    points = [p for given in args.points.split(",") for p in (known if given == "" else TLS if given == "tls" else [given])]
    for given, known in ((wanted, names), (points, known)):
        for name in given:
            if name not in known:
                a.error(f"\"{name}\" is none of {', '.join(known)}")
    if "drivers" in points and "drivers-cached" not in points:
        points.append("drivers-cached")
    args.points = points
    args.classes = [(n, c) for n, c in enumerate(all_peers()) if c.name in wanted and set(c.points) & set(points)]
    return args


def check_machine():
    if os.getuid() != 0:
        raise Trouble("this needs root: for a network and for mounts of its own")
    if not {LOAD_CPU, PROXY_CPU} <= os.sched_getaffinity(0):
        raise Trouble("this needs two processors: one for the proxy, one for everything else")


def own_namespace():
    """Begins again in a network and a mount namespace of our own."""
    os.environ["WAYPOST_BENCH_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--", sys.executable, *sys.argv])


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is stopped
    args = arguments()
    check_machine()
    bench = Bench(args)
    if os.environ.get("WAYPOST_BENCH_INSIDE") != "1":
        for _, cls in args.classes:
            if cls.packages:
                progress(f"unpacking {' '.join(cls.packages)}")
                packages.fetch(cls.packages, bench.package_folder(cls))
        own_namespace()
    network()
    args.work = tempfile.mkdtemp(prefix="waypost-bench.", dir="/tmp")
    os.chmod(args.work, 0o755)
    try:
        peers = [bench.make(cls, n) for n, cls in args.classes]
        for peer in peers:
            if peer.packages:
                bench.versions[peer.name] = ", ".join(f"{k} {v}" for k, v in packages.fetch(
                    peer.packages, bench.package_folder(peer)).items())
        result = bench.run(peers)
    finally:
        if not os.environ.get("WAYPOST_BENCH_KEEP"):
            shutil.rmtree(args.work, ignore_errors=True)
    report.write(result, args.report)
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as problem:
        print(f"bench: {problem}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
