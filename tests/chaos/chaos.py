"""A pool under load while one thing after another goes wrong; run by scripts/chaos, explained in doc/chaos.md.

Three nodes, a foreign server, and accounts of a PostgreSQL database. Each fault says which routes (front, home of the mail) it may
touch; on all others every login has to succeed and no session may notice."""
import argparse
import asyncio
import contextlib
import ctypes
import dataclasses
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "blackbox"))
# pylint: disable=wrong-import-position
import load
from directories import Postgres
from isolation import own_network
from pool import GID, PREFIX, SANITIZED, UID, Account, Pool, alive, chown, deliver, descendants, make_maildir, rss_kib, wait_for

FULL = 2000      # logins under each fault
SESSIONS = 200   # open during each fault
CLIENTS = 24     # logins at a time
LIMIT = 150      # seconds for one fault's logins, at most
NODE = "127.0.0.%d"
FOREIGN = "127.0.1.1"
NAMED = "chaos.test"  # a mailhost whose address the shim below gives
SECONDS = {"PROXY_TIMEOUT": 4, "PROXY_DOWN_TIME": 3, "PROXY_DISCONNECT_SPREAD": 2}
CLONE_NEWNS = 0x00020000
GROWN = 4096     # KiB of private memory that one process may have more than before

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

/* The file ANSWER has the address of all names in .test; if it is empty, the name server does not answer. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	char text[64];

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	while (node != NULL && strstr(node, ".test") != NULL) {
		int fd = open(ANSWER, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd != -1)
			close(fd);
		if (n > 0) {
			text[n] = 0;
			return real(text, service, hints, list);
		}
		usleep(100000);
	}
	return real(node, service, hints, list);
}
"""


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


class Site:
    """What is tried: pool, foreign server, directory, their users, and the load's event loop in a thread of its own."""

    def __init__(self, per_home, seed):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.random = random.Random(seed)
        self.directory = Postgres()
        self.pool = Pool(nodes=3, start=False, settings={
            "authdaemonrc": {"authmodulelist": "authuserdb authpgsql", "daemons": 4},
            "authpgsqlrc": {"PGSQL_CONNECTION": f"host=127.0.0.1 port={self.directory.port} dbname=postgres user=admin", "PGSQL_TIMEOUT": 3,
                          "PGSQL_USER_TABLE": "accounts", "PGSQL_LOGIN_FIELD": "name", "PGSQL_CLEAR_PWFIELD": "password",
                          "PGSQL_UID_FIELD": "uid", "PGSQL_GID_FIELD": "gid", "PGSQL_HOME_FIELD": "home",
                          "PGSQL_AUXOPTIONS_FIELD": "'mailhost=' || mailhost"},
            "proxy": {**SECONDS, "DNS_TTL": 1},
            # Thousands of logins from one address, by intent.
            "imapd": {"MAXPERIP": 5000, "MAXDAEMONS": 5000}, "pop3d": {"MAXPERIP": 5000, "MAXDAEMONS": 5000},
        })
        self.fronts = {f"node{n}": (NODE % n, {"imap": self.pool.imap_port, "pop3": self.pool.pop3_port}) for n in (1, 2, 3)}
        self.users = []
        self.disk = None
        self.last_trouble = ""
        self.make_users(per_home)
        self.make_names()
        self.load = load.Load(self.fronts, self.users, seed)
        self.pool.start()

    def do(self, coroutine, timeout=600):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def node(self, name):
        return self.pool.nodes[int(name[4:]) - 1]

    def body(self):
        """A message of some KiB with dots, long lines, and no two alike."""
        lines = [f"Subject: chaos {self.random.getrandbits(64):x}", ""]
        for _ in range(self.random.randrange(20, 400)):
            lines.append(self.random.choice(("", ".", "..")) + f"{self.random.getrandbits(400):x}")
        return ("\r\n".join(lines) + "\r\n").encode()

    def make_users(self, per_home):
        """Homes: node1 to node3; foreign; name (the foreign server, by a name); directory (on node 1, known to PostgreSQL only)."""
        mails = os.path.join(self.pool.root, "mail")
        self.disk = os.path.join(mails, "node3")
        for folder in (mails, *(os.path.join(mails, h) for h in ("node1", "node2", "node3", "directory"))):
            os.mkdir(folder, 0o755)
            chown(folder)
        self.in_tmpfs = os.getuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=256m,mode=755,uid={UID},gid={GID}", "chaos",
                                                            self.disk], capture_output=True).returncode == 0
        rows, foreign = [], []
        for home in ("node1", "node2", "node3", "name", "directory", "foreign"):
            for n in range(per_home):
                name = f"{home}-{n}@example.com"
                text = self.body()
                folder = os.path.join(mails, home, str(n))
                maildir = os.path.join(folder, "Maildir")
                user = load.User(name, "pw-" + name, home, text, "" if home in ("foreign", "name") else maildir)
                self.users.append(user)
                if home in ("foreign", "name"):
                    foreign.append(user)
                    host = FOREIGN if home == "foreign" else NAMED
                    self.pool.accounts[name] = Account(name, user.password, mailhost=host, home="/nonexistent")
                    continue
                os.mkdir(folder, 0o700)
                chown(folder)
                make_maildir(maildir)
                deliver(maildir, text, where="cur")
                if home == "directory":
                    rows.append(f"('{name}', '{user.password}', {UID}, {GID}, '{folder}', '{NODE % 1}')")
                else:
                    self.pool.accounts[name] = Account(name, user.password, mailhost=NODE % int(home[4:]), home=folder)
        self.foreign = load.Foreign(foreign)
        self.do(self.foreign.start(FOREIGN, self.fronts["node1"][1]))
        self.pool.write_userdb()
        self.directory.sql("CREATE TABLE accounts (name text PRIMARY KEY, password text, uid int, gid int, home text, mailhost text);"
                           "INSERT INTO accounts VALUES " + ", ".join(rows) + ";")

    def make_names(self):
        self.answer = os.path.join(self.pool.root, "answer")
        shim = os.path.join(self.pool.root, "shim.so")
        subprocess.run(["cc", "-shared", "-fPIC", f'-DANSWER="{self.answer}"', "-x", "c", "-", "-o", shim, "-ldl"], input=SHIM, text=True,
                       check=True, timeout=60)
        self.say(FOREIGN)
        for node in self.pool.nodes:
            node.more_env = {"LD_PRELOAD": shim}
            if SANITIZED:
                node.more_env["ASAN_OPTIONS"] = "abort_on_error=0:detect_leaks=1:intercept_tls_get_addr=0:verify_asan_link_order=0"

    def say(self, address):
        with open(self.answer + ".new", "w") as f:
            f.write(address)
        os.rename(self.answer + ".new", self.answer)

    # What is measured

    def processes(self):
        """(node, role) -> (most descriptors, most KiB of private memory) of its processes."""
        found = {}
        for name in self.fronts:
            for role, pids in self.node(name).procs().items():
                for pid in pids:
                    with contextlib.suppress(OSError):
                        fds, kib = found.get((name, role), (0, 0))
                        found[(name, role)] = max(fds, len(os.listdir(f"/proc/{pid}/fd"))), max(kib, rss_kib(pid))
        return {k: v for k, v in found.items() if k[1] in ("master", "worker", "authd", "authworker", "spawn")}

    def idle(self, seconds=30):
        """Until no session is left anywhere, as far as the nodes know."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(not self.node(n).pids("imapd") and not self.node(n).pids("pop3d") for n in self.fronts):
                return True
            time.sleep(0.2)
        return False

    def answers(self):
        """Until every home is reached through every front again: nothing of the fault is left."""
        async def all_work():
            for front in self.fronts:
                for home in {u.home for u in self.users}:
                    user = self.random.choice([u for u in self.users if u.home == home])
                    before = len(self.load.logins)
                    await self.load.one(front, user, self.random.choice(("imap", "pop3")), True, False)
                    record = self.load.logins.pop(before)
                    if record.verdict != "ok" or record.damage:
                        self.last_trouble = f"{front} to {home}: {record.verdict} {record.damage}"
                        return False
            return True
        try:
            wait_for("all is well again", lambda: self.do(all_work()), timeout=30, pause=0.3)
        except AssertionError as e:
            raise AssertionError(f"{e}; {self.last_trouble}\n{self.node('node1').log()[-1500:]}") from None

    def count_messages(self):
        """(acknowledged messages lost, messages twice)"""
        lost = twice = 0
        for maildir, marks in self.load.appended.items():
            seen = {}
            for part in ("new", "cur"):
                for name in os.listdir(os.path.join(maildir, part)):
                    with open(os.path.join(maildir, part, name), "rb") as f:
                        m = re.match(rb"Subject: (chaos-\d+)\r?\n", f.read(80))
                    if m:
                        seen[m.group(1).decode()] = seen.get(m.group(1).decode(), 0) + 1
            lost += sum(mark not in seen for mark in marks)
            twice += sum(n - 1 for n in seen.values())
        return lost, twice

    def close(self):
        with contextlib.suppress(Exception):
            self.do(self.load.close_sessions())
            self.do(self.foreign.stop())
        problems = self.pool.stop()
        self.directory.close()
        if self.in_tmpfs:
            subprocess.run(["umount", "-l", self.disk], check=False)
        shutil.rmtree(self.pool.root, ignore_errors=True)
        return [p for p in problems if "killed by signal" not in p and "ended with status" not in p]


# --- faults ---

@dataclasses.dataclass
class Fault:
    name: str
    begin: object              # called with the site
    end: object = None
    fronts: tuple = ()         # whose own logins and sessions may fail
    homes: tuple = ()          # whose mail may be out of reach
    weight: float = 0.02       # of those fronts among clients' choices: few, as each client may wait there for long
    short: bool = False        # part of the short version


def everything(site, name):
    node = site.node(name)
    return [node.proc.pid, *descendants(node.proc.pid)]


def kill_node(*names):
    def begin(site):
        for name in names:
            site.node(name).expect_dirty = True
            site.node(name).kill_all()
    return begin


def start_node(*names):
    def end(site):
        for name in names:
            site.node(name).start()
    return end


def stop_node(name):
    def begin(site):
        site.frozen = everything(site, name)
        for pid in site.frozen:
            os.kill(pid, signal.SIGSTOP)
    return begin


def go_on(site):
    for pid in reversed(site.frozen):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def kill_role(name, role, every=1.0, times=3):
    """One process of ROLE after another."""
    def begin(site):
        node = site.node(name)
        node.expect_dirty = True

        def kill():
            for n in range(times):
                pids = node.pids(role)
                if pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pids[n % len(pids)], signal.SIGKILL)
                time.sleep(every)
        site.killer = threading.Thread(target=kill)
        site.killer.start()
    return begin


def killed_all(site):
    site.killer.join()


def kill_master(name):
    def begin(site):
        node = site.node(name)
        node.expect_dirty = True
        site.left = descendants(node.proc.pid)
        os.kill(node.proc.pid, signal.SIGKILL)
        node.proc.wait()
    return begin


def restart_master(name):
    """As systemd does: what is left of the unit is killed, then it is started."""
    def end(site):
        for pid in site.left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for("nothing is left", lambda: not any(alive(pid) for pid in site.left))
        site.node(name).proc = None
        site.node(name).start()
    return end


def packets(*rule):
    """RULE for all that goes to node 3 from others, and back."""
    def chain(site, what):
        ours = [str(site.pool.imap_port), str(site.pool.pop3_port)]
        for where, port in (("-d", "--dport"), ("-s", "--sport")):
            for number in ours:
                run("iptables", "-w", what, "OUTPUT", "-p", "tcp", where, NODE % 3, port, number, *rule)
    return (lambda site: chain(site, "-A")), (lambda site: chain(site, "-D"))


def slow(site):
    """2 Mbit/s for all that goes to or from node 3; the rest is in no class, which htb lets pass as it is."""
    run("ip", "link", "set", "lo", "mtu", "1500")
    run("tc", "qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb")
    run("tc", "class", "add", "dev", "lo", "parent", "1:", "classid", "1:3", "htb", "rate", "2mbit", "burst", "5kb")
    for what in ("dst", "src"):
        run("tc", "filter", "add", "dev", "lo", "parent", "1:", "protocol", "ip", "u32", "match", "ip", what, NODE % 3, "flowid", "1:3")


def not_slow(_):
    run("tc", "qdisc", "del", "dev", "lo", "root")
    run("ip", "link", "set", "lo", "mtu", "65536")


def fill_disk(site):
    assert site.in_tmpfs, "there is no file system of its own to fill: tmpfs could not be mounted"
    path = os.path.join(site.disk, "full")
    with open(path, "wb") as f:
        with contextlib.suppress(OSError):
            while True:
                f.write(bytes(1 << 20))
                f.flush()


def empty_disk(site):
    os.remove(os.path.join(site.disk, "full"))


def foreign(mode):
    def begin(site):
        site.foreign.mode = mode
    return begin


def foreign_good(site):
    site.foreign.mode = "good"


def half_open(site):
    """1,500 clients that say nothing, and half of them are gone without a word."""
    site.silent = []
    for n in range(1500):
        s = socket.socket()
        s.settimeout(5)
        with contextlib.suppress(OSError):
            s.connect((NODE % (n % 3 + 1), site.pool.imap_port if n % 2 else site.pool.pop3_port))
            if n % 2:
                s.shutdown(socket.SHUT_WR)
        site.silent.append(s)


def half_open_end(site):
    for s in site.silent:
        s.close()


DROP_SOME = packets("-m", "statistic", "--mode", "random", "--probability", "0.1", "-j", "DROP")
DROP_ALL = packets("-j", "DROP")
REJECT = packets("-j", "REJECT", "--reject-with", "tcp-reset")
FIRST = {"fronts": ("node1",), "homes": ("node1", "directory")}
ROLE = {**FIRST, "weight": 1.0}  # its node comes back at once, and clients go on to use it
THIRD = {"fronts": ("node3",), "homes": ("node3",)}

FAULTS = [
    Fault("nothing", lambda site: None, short=True),
    Fault("peer killed", kill_node("node3"), start_node("node3"), **THIRD, short=True),
    Fault("peer stopped", stop_node("node3"), go_on, **THIRD, short=True),
    Fault("peer's disk full", fill_disk, empty_disk, homes=("node3",)),
    Fault("packets dropped", *DROP_SOME, **THIRD),
    Fault("packets rejected", *REJECT, **THIRD),
    Fault("packets black-holed", *DROP_ALL, **THIRD),
    Fault("network slow", slow, not_slow, **THIRD),
    Fault("name server silent", lambda site: site.say(""), lambda site: site.say(FOREIGN), homes=("name",)),
    Fault("name has a dead address", lambda site: site.say("127.0.3.9"), lambda site: site.say(FOREIGN), homes=("name",)),
    Fault("foreign: a byte a second", foreign("drip"), foreign_good, homes=("foreign", "name")),
    Fault("foreign: 10 MB line", foreign("long line"), foreign_good, homes=("foreign", "name")),
    Fault("foreign: no greeting", foreign("mute"), foreign_good, homes=("foreign", "name")),
    Fault("foreign: hangs up", foreign("drop"), foreign_good, homes=("foreign", "name"), short=True),
    Fault("half-open clients", half_open, half_open_end),
    Fault("directory stopped", lambda site: site.directory.freeze(), lambda site: site.directory.thaw(), homes=("directory",), short=True),
    Fault("directory gone", lambda site: site.directory.stop(signal.SIGQUIT), lambda site: site.directory.start(), homes=("directory",)),
    Fault("login workers killed", kill_role("node1", "worker"), killed_all, **ROLE),
    Fault("authd killed", kill_role("node1", "authd"), killed_all, **ROLE, short=True),
    Fault("auth workers killed", kill_role("node1", "authworker", 0.3, 8), killed_all, **ROLE),
    Fault("spawn killed", kill_role("node1", "spawn"), killed_all, **ROLE),
    Fault("master killed", kill_master("node1"), restart_master("node1"), **FIRST),
    Fault("all peers killed", kill_node("node2", "node3"), start_node("node2", "node3"), fronts=("node2", "node3"),
          homes=("node2", "node3")),
]


# --- judgement ---

COLUMNS = ("fault", "logins", "ok", "temporary", "wrong class", "sessions disturbed", "bytes wrong", "lost", "twice", "descriptors", "memory",
           "median ms", "worst s")


def judge(site, fault, records, before, after):
    """One row, and the texts of what must not be."""
    problems = []

    def hit(front, home):
        return front in fault.fronts or home in fault.homes

    wrong = 0
    for r in records:
        good = {"ok"} if r.right else {"wrong"}
        if hit(r.front, r.user.home):
            good |= {"unavailable"}
        if r.front in fault.fronts:
            good |= {"refused", "closed", "late"}  # the client's own node is gone
        if r.verdict == "cut" and r.right and hit(r.front, r.user.home):
            continue  # after the login the server went
        if r.verdict not in good:
            wrong += 1
            problems.append(f"login at {r.front}, mail at {r.user.home}, {r.protocol}, {'right' if r.right else 'wrong'} password: "
                            f"{r.verdict} after {r.took:.2f} s")
    # On a route that is hit a message may be refused; if it is there, it is right to the byte.
    damaged = [x for x in records + site.load.sessions
               if x.damage and (x.damage.startswith(load.SPOILT) or not hit(x.front, x.user.home))]
    problems += [f"at {x.front}, mail at {x.user.home}, {x.protocol}: {x.damage}" for x in damaged]
    disturbed = [s for s in site.load.sessions if s.ended and not hit(s.front, s.user.home)]
    problems += [f"session at {s.front}, mail at {s.user.home}, {s.protocol}: {s.ended} after {s.reads} reads" for s in disturbed]
    lost, twice = site.count_messages()
    problems += [f"{lost} acknowledged messages are not there"] * (lost > 0) + [f"{twice} messages are there twice"] * (twice > 0)
    fds = kib = 0
    for key, (was_fds, was_kib) in before.items():
        now_fds, now_kib = after.get(key, (0, 0))
        if now_fds > was_fds:
            fds += now_fds - was_fds
            problems.append(f"{key[1]} of {key[0]} has {now_fds} descriptors, before {was_fds}")
        if now_kib > was_kib + GROWN:
            kib += now_kib - was_kib
            problems.append(f"{key[1]} of {key[0]} has {now_kib} KiB, before {was_kib}")
    fine = [r.took for r in records if r.verdict == "ok"]
    row = (fault.name, len(records), len(fine), sum(r.verdict == "unavailable" for r in records), wrong, len(disturbed),
           len(damaged), lost, twice, fds, f"{kib} KiB", round(statistics.median(fine or [0]) * 1000),
           round(max([r.took for r in records if r.front not in fault.fronts] or [0]), 1))
    return row, problems


def show(row):
    print("{:<25}{:>7}{:>7}{:>10}{:>12}{:>19}{:>12}{:>5}{:>6}{:>12}{:>9}{:>10}{:>8}".format(*row), flush=True)


def settle(site, before, seconds=200):
    """What the processes have once nothing is under way any more, or after SECONDS: so long may TCP wait before it tries again
    to send what did not get through while a fault lasted."""
    end = time.monotonic() + seconds
    while True:
        site.idle(5)
        now = site.processes()
        if all(now.get(k, (0, 0))[0] <= fds and now.get(k, (0, 0))[1] <= kib + GROWN for k, (fds, kib) in before.items()):
            return now
        if time.monotonic() > end:
            return now
        time.sleep(1)


def try_fault(site, fault, logins, before):
    load_ = site.load
    healthy = {f: 1.0 for f in site.fronts}
    load_.logins = []
    site.do(load_.open_sessions(SESSIONS, site.fronts))
    # Under way when it happens.
    task = asyncio.run_coroutine_threadsafe(load_.steady(logins // 5, CLIENTS, healthy, LIMIT), site.loop)
    time.sleep(0.5)
    began = time.monotonic()
    fault.begin(site)
    weights = {f: fault.weight if f in fault.fronts else 1.0 for f in site.fronts}
    task.result(LIMIT + 60)
    site.do(load_.steady(logins - logins // 5, CLIENTS, weights, LIMIT))
    while time.monotonic() - began < 5:
        time.sleep(0.1)
    if fault.end:
        fault.end(site)
    # The end of the fault is part of it: logins while it is mended.
    site.do(load_.steady(max(logins // 20, CLIENTS), CLIENTS, healthy, LIMIT))
    site.answers()
    time.sleep(2)
    sessions = load_.sessions
    site.do(load_.close_sessions())
    after = settle(site, before)
    load_.sessions = sessions
    result = judge(site, fault, load_.logins, before, after)
    load_.sessions = []
    return result


def main():
    parser = argparse.ArgumentParser(prog="scripts/chaos")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", action="append", help="faults whose names begin so")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    faults = [f for f in FAULTS if (not args.short or f.short) and (not args.only or any(f.name.startswith(o) for o in args.only))]
    if args.list:
        print("\n".join(f.name for f in faults))
        return 0
    if os.getuid() != 0 or not own_network():
        print("scripts/chaos: a network namespace is needed; run it as root where the kernel allows one", file=sys.stderr)
        return 2
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:  # the full disk is ours alone
        print("scripts/chaos: a mount namespace is needed; run it where the kernel allows one", file=sys.stderr)
        return 2
    run("mount", "--make-rprivate", "/")
    # A client that went while no packet got through told nobody: keepalive finds it, which the kernel begins after two hours.
    for name, value in (("time", 20), ("intvl", 5), ("probes", 3)):
        with open(f"/proc/sys/net/ipv4/tcp_keepalive_{name}", "w", encoding="ascii") as f:
            f.write(str(value))
    logins = 400 if args.short else FULL
    print(f"seed {args.seed}, {logins} logins and {SESSIONS} sessions for each of {len(faults)} faults, build {PREFIX}", flush=True)
    site = Site(20, args.seed)
    bad = 0
    try:
        site.answers()
        # What a node keeps once it was used (caches, tables) is no leak.
        site.do(site.load.open_sessions(SESSIONS, site.fronts))
        site.do(site.load.steady(600, CLIENTS, {f: 1.0 for f in site.fronts}, LIMIT))
        site.do(site.load.close_sessions())
        site.idle()
        time.sleep(2)
        before = site.processes()
        show(COLUMNS)
        for fault in faults:
            row, problems = try_fault(site, fault, logins, before)
            show(row)
            for text in sorted(set(problems))[:12]:
                print("    " + text, flush=True)
            bad += len(problems)
            if len(site.load.logins) < logins:
                bad += 1
                print(f"    only {len(site.load.logins)} logins within {LIMIT} s", flush=True)
    finally:
        if bad and os.environ.get("CHAOS_KEEP"):
            shutil.copytree(site.pool.root, os.environ["CHAOS_KEEP"], dirs_exist_ok=True, ignore=shutil.ignore_patterns("mail", "run"))
        for text in site.close():
            bad += 1
            print("    " + text[:3000], flush=True)
    print(f"{len(faults)} faults, {bad} things that must not be", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
