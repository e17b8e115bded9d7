#!/usr/bin/env python3
"""Many sessions, deliveries and other programs on one Maildir at once, with random commands, against a model that knows what
each may be told (model_truth.py, model_actors.py).

    WAYPOST_PREFIX=/tmp/wp python3 tests/blackbox/model.py --seed 1 --seconds 60

Prints the seed, how many commands of each kind were run, and what was found; the exit status is 1 if something was. A
finding comes with the list of commands that led to it, in a file; --replay FILE runs that again (an order of events that
needs luck may need --times N), --shrink FILE looks for a shorter list with the same finding. Lists that were understood
are kept in tests/blackbox/model/. Against a build with --enable-race-points, --race MICROSECONDS[:PERCENT] makes processes
sleep where others may interfere (lib/race.h)."""
import argparse
import collections
import os
import random
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from model_actors import BAD_LOG, GID, OLD, PREFIX, ROOT, UID, Deleter, Deliverer, Imap, Mover, Pop3, split_name, uid_list
from model_truth import FLAGS, KEYWORDS, LETTERS, SYSTEM, Finding, Folder, Register, Truth

PATIENCE = 60        # for one reply
TRAIL = 20000        # lines of talk that are kept for the report
ROUND = 1500         # commands in one round, on one Maildir
ITEMS = ["(UID_FLAGS)", "(UID_FLAGS)", "(FLAGS)", "(UID_FLAGS_INTERNALDATE_RFC822.SIZE)", "(UID_BODY.PEEK[])", "(UID_RFC822.SIZE_BODY.PEEK[])",
         "(UID_FLAGS_BODY.PEEK[HEADER.FIELDS_(X-MODEL)])"]


class Op:
    """One line of a list: ACTOR COMMAND NAME=VALUE..."""

    def __init__(self, actor, name, **args):
        self.actor, self.name, self.args = actor, name, {k: str(v) for k, v in args.items() if v is not None and v is not False and v != ""}

    def __str__(self):
        return " ".join([self.actor, self.name] + [f"{k}={v}" for k, v in self.args.items()])

    @classmethod
    def read(cls, line):
        actor, name, *rest = line.split()
        return cls(actor, name, **dict(part.split("=", 1) for part in rest))


def write_list(path, header, ops):
    with open(path, "w") as f:
        f.write("".join(f"# {line}\n" for line in header.splitlines()) + "".join(f"{op}\n" for op in ops))


def read_list(path):
    with open(path) as f:
        return [Op.read(line) for line in f if line.strip() and not line.startswith("#")]


# --- what the actors would like to do ---

def some(r, most=4):
    """Some messages."""
    if r.random() < 0.06:
        return "all"
    return ",".join(str(r.randrange(1000)) for _ in range(r.choice((1, 1, 1, 2, most))))


def flag_list(r):
    return ",".join(r.sample(FLAGS, r.choice((1, 1, 1, 2, 3))))


def search_key(r, depth=2):
    if depth and r.random() < 0.35:
        kind = r.choice("+|!")
        if kind == "!":
            return "!" + search_key(r, 0)
        return search_key(r, 0) + kind + search_key(r, 0)
    return r.choice([f"flag={r.choice(FLAGS)}", f"flag={r.choice(FLAGS)}", "old", f"larger={r.choice((250, 400, 3000))}", f"text={r.randrange(10)}",
                     "uid=" + ",".join(str(r.randrange(1000)) for _ in range(3)), "all"])


def folder(r):
    return "main" if r.random() < 0.75 else "side"


def old_date(r, actor, chance):
    date = r.choice(OLD)
    return date if r.random() < chance and actor.world.options.old else None


def imap_op(r, actor, serial):
    a, n = actor.name, len(actor.view)
    if actor.folder is None:
        kind = r.choices(["select", "append", "status", "noop", "logout", "folder"], [60, 12, 10, 3, 2, 3])[0]
    else:
        kind = r.choices(["store", "fetch", "append", "copy", "move", "expunge", "search", "status", "noop", "check", "idle", "close", "unselect", "select",
                          "logout", "folder"],
                         [24, 14, 10 if n < 60 else 1, 6 if n < 60 else 1, 6, 9 if n < 60 else 20, 8, 3, 9, 2, 5, 1, 1, 3, 1, 1])[0]
    by = r.choice(("seq", "uid"))
    if kind == "select":
        return Op(a, "select", f=folder(r), ro=r.random() < 0.15 and 1)
    if kind == "store":
        flags = flag_list(r) if r.random() < 0.7 else "\\Deleted"
        return Op(a, "store", k=some(r), by=by, how=r.choices("+-=", [5, 3, 1])[0], flags=flags, silent=r.random() < 0.3 and 1)
    if kind == "fetch":
        return Op(a, "fetch", k=some(r, 12), by=by, items=r.choice(ITEMS))
    if kind == "append":
        return Op(a, "append", f=folder(r), n=serial(), flags=flag_list(r) if r.random() < 0.5 else "", date=old_date(r, actor, 0.5))
    if kind in ("copy", "move"):
        return Op(a, kind, k=some(r), by=by, to=folder(r))
    if kind == "expunge":
        return Op(a, "expunge", by="uid", k=some(r, 20)) if r.random() < 0.35 else Op(a, "expunge")
    if kind == "search":
        return Op(a, "search", by=by, key=search_key(r))
    if kind == "status":
        return Op(a, "status", f=folder(r))
    if kind == "folder":
        return Op(a, "folder", what=r.choice(("CREATE", "DELETE", "RENAME")), a=r.randrange(3))
    return Op(a, kind)


def pop3_op(r, actor, serial):
    kind = r.choices(["retr", "top", "list", "dele", "rset", "quit"], [8, 4, 2, 6, 1, 4])[0]
    return Op(actor.name, kind, k=r.randrange(1000)) if kind in ("retr", "top", "dele") else Op(actor.name, kind)


def deliverer_op(r, actor, serial):
    if r.random() < 0.5:
        return Op(actor.name, "deliver")
    return Op(actor.name, "write", f=folder(r), n=serial(), size=r.random() < 0.7 and 1, date=old_date(r, actor, 0.4))


def mover_op(r, actor, serial):
    if r.random() < 0.3:
        return Op(actor.name, "take", f=folder(r), k=r.randrange(1000), to="".join(sorted(r.sample("DFRST", r.choice((0, 1, 2))))))
    return Op(actor.name, "rename", f=folder(r), k=r.randrange(1000), flag=r.choice(SYSTEM), how=r.choice("+-"))


def deleter_op(r, actor, serial):
    return Op(actor.name, "unlink", f=folder(r), k=r.randrange(1000))


KINDS = {  # first letter of an actor's name: class, what it does, how often it is asked
    "i": (Imap, imap_op, 10), "p": (Pop3, pop3_op, 6), "d": (Deliverer, deliverer_op, 3), "m": (Mover, mover_op, 3), "x": (Deleter, deleter_op, 0.7),
}


class World:
    """One Maildir and all who act on it."""

    def __init__(self, seed, options, directory):
        self.seed, self.options, self.directory = seed, options, directory
        self.truth = Truth()
        self.selector = selectors.DefaultSelector()
        self.done = []
        self.counts = collections.Counter()
        self.actors = {}
        self.pop_greets = options.pop_greets
        self.maildir = os.path.join(directory, "Maildir")
        self.spawned = 0
        self.log_read = {}
        self.trail = collections.deque(maxlen=TRAIL)  # what was said

    def make(self):
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o755)
        for name, sub in (("INBOX", ""), ("INBOX.side", ".side")):
            path = os.path.join(self.maildir, sub) if sub else self.maildir
            for d in ("", "cur", "new", "tmp"):
                os.makedirs(os.path.join(path, d), exist_ok=True)
                os.chmod(os.path.join(path, d), 0o700)
                if ROOT:
                    os.chown(os.path.join(path, d), UID, GID)
            if sub:
                with open(os.path.join(path, "maildirfolder"), "w"):
                    pass
            self.truth.folders[{"INBOX": "main", "INBOX.side": "side"}[name]] = Folder(self.truth, name, path)

    def actor(self, name):
        if name not in self.actors:
            self.actors[name] = KINDS[name[0]][0](self, name)
        return self.actors[name]

    # --- servers ---
    def connect(self, actor):
        """(socket, process) of a new session for ACTOR."""
        ours, theirs = socket.socketpair()
        program = "imapd" if isinstance(actor, Imap) else "pop3d"
        env = dict(os.environ)
        self.spawned += 1
        if self.options.race:
            env["WAYPOST_RACE"] = f"{random.Random(f'{self.seed} {self.spawned}').randrange(1 << 31)}:{self.options.race}"
        more = dict(user=UID, group=GID, extra_groups=[]) if ROOT else {}
        with open(self.log_path(actor), "ab") as log:
            process = subprocess.Popen([os.path.join(PREFIX, "libexec", "waypost", program), "--maildir", self.maildir], stdin=theirs, stdout=theirs,
                                       stderr=log, env=env, cwd="/", **more)
        theirs.close()
        return ours, process

    def log_path(self, actor):
        return os.path.join(self.directory, f"log.{actor.name}")

    def log_tail(self, actor):
        try:
            with open(self.log_path(actor), errors="replace") as f:
                return "".join("    " + line for line in f.readlines()[-6:])
        except FileNotFoundError:
            return ""

    def read_logs(self):
        for actor in self.actors.values():
            try:
                with open(self.log_path(actor), errors="replace") as f:
                    f.seek(self.log_read.get(actor.name, 0))
                    text = f.read()
                    self.log_read[actor.name] = f.tell()
            except FileNotFoundError:
                continue
            for line in text.splitlines():
                if BAD_LOG.search(line):
                    raise Finding("log", f"{actor.name}: {line}")

    # --- the loop ---
    def watch(self, actor):
        self.selector.register(actor.sock, selectors.EVENT_READ, actor)

    def unwatch(self, actor):
        self.selector.unregister(actor.sock)

    def poll(self, timeout):
        for key, _ in self.selector.select(timeout):
            if key.data.sock is key.fileobj:
                key.data.readable()
        now = time.monotonic()
        for actor in self.actors.values():
            since = getattr(actor, "waiting_since", None)
            if since is not None and actor.task is not None and now - since > PATIENCE:
                raise Finding("hang", f"{actor.name} has had no answer for {PATIENCE} s: {actor.doing() if isinstance(actor, Imap) else ''}")

    def wait_for(self, actors):
        while any(a.task is not None for a in actors):
            self.poll(1)

    def start(self, op):
        actor = self.actor(op.actor)
        if op.name != "kill":
            self.wait_for([actor])
        self.done.append(op)
        self.counts[op.name] += 1
        actor.note(f"== {op}")
        actor.begin(op.name, op.args)

    def checkpoint(self):
        """All become quiet; then all must know the same, and it must be what is on disk."""
        actors = list(self.actors.values())
        self.wait_for(actors)
        self.truth.tick()
        for actor in actors:
            task = actor.finish()
            if task is not None:
                actor.task = task
                actor.step(None)
        self.wait_for(actors)
        checker = self.actor("i-checker")
        present = {}
        for alias, f in self.truth.folders.items():
            checker.begin("inspect", {"f": alias})
            self.wait_for([checker])
            told = {u: frozenset(checker.told[u]) for u in checker.view if u}
            f.settle(told, "all are quiet")
            present[f] = told
            self.compare_disk(f, told)
        for actor in actors:
            if isinstance(actor, Imap) and actor.folder is not None and actor is not checker:
                view = {u: frozenset(actor.told[u]) for u in actor.view if u}
                if view != present[actor.folder] or 0 in actor.view:
                    raise Finding("views-differ", f"{actor.name} in {actor.folder} knows {describe(view, present[actor.folder])} than a new session")
                if not actor.readonly:
                    actor.folder.check_recent(view)
        self.read_logs()
        self.counts["checkpoint"] += 1

    def compare_disk(self, f, told):
        names = os.listdir(os.path.join(f.path, "cur").encode()) + os.listdir(os.path.join(f.path, "new").encode())
        head, uids = uid_list(f)
        if not names and head is None:
            return
        if head is None or head[0] != f.uidvalidity or head[1] <= max(told, default=0):
            raise Finding("disk", f"courierimapuiddb of {f} begins with {head}; UIDVALIDITY {f.uidvalidity}, highest UID {max(told, default=0)}")
        disk = {}
        for name in names:
            base, letters = split_name(name)
            if base not in uids or uids[base] in disk:
                raise Finding("disk", f"{f}: {name} has no UID in courierimapuiddb, or one that another file has too ({uids.get(base)})")
            disk[uids[base]] = frozenset([flag for flag, letter in LETTERS.items() if letter in letters] + self.keywords(f, base))
        if disk != told:
            raise Finding("disk", f"on disk {f} has {describe(disk, told)} than a new session is told")

    def keywords(self, f, base):
        """Of one file, out of courierimapkeywords: its own file, the last aged one, or :list."""
        d = os.path.join(f.path, "courierimapkeywords").encode()
        try:
            files = os.listdir(d)
        except FileNotFoundError:
            return []
        aged = sorted((int(n.split(b".")[1]), n) for n in files if n.startswith(b".") and n.split(b".")[1].isdigit() and n.split(b".", 2)[2] == base)
        lines = None
        if base in files:
            lines = open(os.path.join(d, base), "rb").read().split(b"\n")
        elif aged:
            lines = open(os.path.join(d, aged[-1][1]), "rb").read().split(b"\n")
        elif b":list" in files:
            names, _, rest = open(os.path.join(d, b":list"), "rb").read().partition(b"\n\n")
            names = names.split(b"\n")
            for line in rest.split(b"\n"):
                if line.rpartition(b":")[0] == base:
                    lines = [names[int(i)] for i in line.rpartition(b":")[2].split()]
        by_lower = {k.lower(): k for k in KEYWORDS}
        return [by_lower.get(x.decode().lower(), x.decode()) for x in lines or [] if x]

    def close(self):
        for actor in self.actors.values():
            actor.stop()
        self.selector.close()



def describe(a, b):
    more = [f"UID {u}: {sorted(a[u]) if u in a else 'not there'} and not {sorted(b[u]) if u in b else 'not there'}" for u in sorted(a.keys() | b.keys()) if a.get(u) != b.get(u)]
    return "otherwise (" + "; ".join(more[:8]) + ")"


class Result:
    def __init__(self, world, finding):
        self.finding, self.ops, self.counts, self.trails = finding, world.done, world.counts, list(world.trail)


def guarded(seed, options, body):
    """Runs BODY(world) on a new Maildir; the Result."""
    directory = tempfile.mkdtemp(prefix="wp-model.", dir="/tmp")
    world, finding = World(seed, options, directory), None
    try:
        world.make()
        try:
            body(world)
        except Finding as f:
            finding = f
        world.close()
        if finding is None:
            try:
                world.read_logs()
            except Finding as f:
                finding = f
        return Result(world, finding)
    finally:
        world.close()
        if options.keep:
            print("kept:", directory)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def play(seed, options, until):
    """One round of random commands."""
    def body(world):
        names = [f"i{n}" for n in range(options.sessions)] + [f"p{n}" for n in range(options.pop)] + ["d0", "m0", "x0"]
        rng = {n: random.Random(f"{seed} {n}") for n in names}
        scheduler = random.Random(f"{seed} scheduler")
        texts = iter(range(1, 1 << 30))
        weights = [KINDS[n[0]][2] for n in names]
        for n in range(scheduler.choice((0, 3, 20, 40))):
            world.start(Op("d0", "write", f="main" if n % 3 else "side", n=next(texts), size=n % 2 or None, date=(n % 3 and options.old and OLD[0]) or None))
            world.start(Op("d0", "deliver"))
        next_check = scheduler.randrange(60, 250)
        while len(world.done) < ROUND and time.monotonic() < until:
            if len(world.done) >= next_check:
                world.done.append(Op("all", "checkpoint"))
                world.checkpoint()
                next_check = len(world.done) + scheduler.randrange(60, 250)
                if scheduler.random() < options.rests:
                    rest(world, scheduler, names)
            world.poll(0)
            if scheduler.random() < options.kills:
                world.start(Op(scheduler.choice([n for n in names if n[0] in "ip"]), "kill"))
            name = scheduler.choices(names, weights)[0]
            actor = world.actor(name)
            if actor.task is not None:
                world.poll(0.002)
                continue
            world.start(KINDS[name[0]][1](rng[name], actor, lambda: next(texts)))
        world.done.append(Op("all", "checkpoint"))
        world.checkpoint()
    return guarded(seed, options, body)


def rest(world, scheduler, names):
    """Nothing changes for as long as a cache of the folder needs to be written; then, at the moment when it is written and
    read, programs change what it is of."""
    f = folder(scheduler)
    world.start(Op("m0", "rest"))
    for _ in range(4):
        sessions = [n for n in names if n[0] == "i" and world.actor(n).task is None]
        for n in scheduler.sample(sessions, min(2, len(sessions))):
            world.start(Op(n, scheduler.choice(("select", "status")), f=f))
        k = scheduler.randrange(1000)
        world.start(scheduler.choice((
            Op("m0", "rename", f=f, k=k, flag=scheduler.choice(SYSTEM), how=scheduler.choice("+-")), Op("x0", "unlink", f=f, k=k), Op("d0", "deliver"))))
        world.poll(0.001)


def replay(ops, seed, options):
    def body(world):
        for op in ops:
            world.poll(0)
            if op.name == "checkpoint":
                world.done.append(op)
                world.checkpoint()
            else:
                world.start(op)
        world.checkpoint()
    return guarded(seed, options, body)


def comes_back(ops, kind, seed, options, times):
    """Does the list lead to a finding of KIND in one of so many runs?"""
    for n in range(times):
        result = replay(ops, f"{seed} {n}", options)
        if result.finding is not None and result.finding.kind == kind:
            return result.finding
    return None


def shrink(ops, kind, seed, options, seconds):
    """A shorter list that leads to a finding of the same kind: without an actor, without halves, quarters, ..., single commands."""
    end = time.monotonic() + seconds
    for actor in sorted({op.actor for op in ops}):
        fewer = [op for op in ops if op.actor != actor]
        if time.monotonic() < end and comes_back(fewer, kind, seed, options, options.times):
            ops = fewer
    size = max(1, len(ops) // 2)
    while time.monotonic() < end:
        at, shorter = 0, False
        while at < len(ops) and time.monotonic() < end:
            fewer = ops[:at] + ops[at + size:]
            if fewer and comes_back(fewer, kind, seed, options, options.times):
                ops, shorter = fewer, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = max(1, size // 2)
    return ops


def default_options(**more):
    options = argparse.Namespace(sessions=4, pop=1, race="", keep=False, kills=0.004, times=3, pop_greets=True, old=True, ignore=(), rests=0.6)
    options.__dict__.update(more)
    return options


def run(seed, seconds, options, out=None):
    """Rounds until SECONDS are over or something is found: (Result of the last round, its seed, all counts)."""
    until, counts, n = time.monotonic() + seconds, collections.Counter(), 0
    while True:
        name = f"{seed}.{n}"
        result = play(name, options, until)
        counts += result.counts
        n += 1
        if result.finding is not None or time.monotonic() >= until:
            return result, name, counts


def report(result, name):
    return "\n".join(line[:300] for line in result.trails[-60:]) + f"\nseed {name}, after {len(result.ops)} commands: {result.finding}"


def keep(result, name, folder):
    """Writes the commands of a run with a finding, and all that was said, into FOLDER; returns the report with their names."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"model-{name}.txt")
    log = os.path.join(folder, f"model-{name}.log")
    write_list(path, f"{result.finding.kind}: {result.finding.text}\nseed {name}", result.ops)
    with open(log, "w") as f:
        f.write("\n".join(result.trails) + "\n")
    return f"{report(result, name)}\ncommands: {path}; all that was said: {log}"


def main():
    p = argparse.ArgumentParser(description="Random commands of many sessions against a model.")
    p.add_argument("--seed", default=None)
    p.add_argument("--seconds", type=float, default=30)
    p.add_argument("--sessions", type=int, default=4, help="IMAP sessions (4)")
    p.add_argument("--pop", type=int, default=1, help="POP3 sessions (1)")
    p.add_argument("--kills", type=float, default=0.004, help="chance of a kill -9 before each command (0.004)")
    p.add_argument("--ignore", action="append", default=[], help="pass over findings of this kind: keyword-unnamed, untold")
    p.add_argument("--no-old", dest="old", action="store_false", help="no mail with old dates")
    p.add_argument("--race", default="", help="MICROSECONDS[:PERCENT[:NAME]]: sleep at race points")
    p.add_argument("--replay", metavar="FILE")
    p.add_argument("--shrink", metavar="FILE")
    p.add_argument("--times", type=int, default=3, help="runs of a list before it counts as harmless (3)")
    p.add_argument("--out", default="/tmp", help="folder for lists that failed (/tmp)")
    p.add_argument("--keep", action="store_true", help="leave the Maildirs in /tmp")
    options = p.parse_args()
    options.pop_greets = True
    options.rests = 0.6
    seed = options.seed or str(random.SystemRandom().randrange(1 << 31))
    print(f"seed {seed}", flush=True)
    start = time.monotonic()
    if options.replay:
        ops = read_list(options.replay)
        for n in range(options.times):
            result = replay(ops, f"{seed} {n}", options)
            if result.finding:
                print(keep(result, f"{os.path.basename(options.replay)}.{n + 1}", options.out))
                return 1
        print(f"{options.times} runs of {len(ops)} commands, nothing found")
        return 0
    if options.shrink:
        with open(options.shrink) as f:
            kind = f.readline().lstrip("# ").split(":")[0].strip()
        ops = shrink(read_list(options.shrink), kind, seed, options, options.seconds)
        path = os.path.splitext(options.shrink)[0] + ".short.txt"
        finding = comes_back(ops, kind, seed, options, 10)
        write_list(path, f"{kind}: {finding.text if finding else 'did not come back'}", ops)
        print(f"{len(ops)} commands: {path}\n{finding}")
        return 1
    result, name, counts = run(seed, options.seconds, options)
    total = sum(counts.values())
    print(f"{total} commands in {time.monotonic() - start:.0f} s: " + ", ".join(f"{k} {n}" for k, n in sorted(counts.items())))
    if result.finding is None:
        print("nothing found")
        return 0
    print(keep(result, name, options.out))
    return 1


if __name__ == "__main__":
    sys.exit(main())
