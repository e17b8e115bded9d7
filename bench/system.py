"""Systems of processes: started pinned to a CPU, measured as a whole, stopped without a rest.

CPU is counted by a control group (version 2, no controller needed), so that children that lived for a millisecond
count too; where none can be made, by /proc (what a process and its reaped children used, in clock ticks)."""
import ctypes
import os
import re
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")


class Trouble(Exception):
    """The bench cannot go on; the text says why to the person who started it."""


def adopt_orphans():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def cgroup_mount():
    """Where control groups of version 2 are mounted, or None."""
    for line in read("/proc/mounts").splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return fields[1]
    return None


def stat_fields(pid):
    text = read(f"/proc/{pid}/stat")
    return text[text.rindex(")") + 2:].split()


def children_of(roots):
    """ROOTS and all that descend from them, as far as they are alive."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = stat_fields(entry)
                if fields[0] != "Z":
                    parents.setdefault(int(fields[1]), []).append(int(entry))
            except OSError:
                pass
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(parents.get(pid, []))
    return found


class System:
    """One or more commands and everything that they start."""

    def __init__(self, name, folder, cpu):
        self.name = name
        self.folder = folder
        self.cpu = cpu
        self.started = []
        self.log = os.path.join(folder, "output")
        mount = cgroup_mount()
        self.group = os.path.join(mount, f"waypost-bench.{os.getpid()}.{name}") if mount else None
        try:
            if self.group:
                os.mkdir(self.group)
        except OSError:
            self.group = None

    def enter(self):
        """This process becomes part of the system, and all that it starts."""
        os.sched_setaffinity(0, {self.cpu})
        if self.group:
            with open(os.path.join(self.group, "cgroup.procs"), "w") as f:
                f.write("0")

    def start(self, argv, env=None, **popen):
        with open(self.log, "ab") as log:
            process = subprocess.Popen(argv, **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": "/",
                                                "start_new_session": True, "preexec_fn": self.enter,
                                                "env": {**os.environ, **(env or {})}, **popen})
        self.started.append(process)
        return process

    def check(self):
        for process in self.started:
            if process.poll() is not None:
                raise Trouble(f"{self.name} ended with status {process.returncode}: {self.output()}")

    def output(self):
        return read(self.log)[-2000:] if os.path.exists(self.log) else ""

    def pids(self):
        if self.group:
            return [int(pid) for pid in read(os.path.join(self.group, "cgroup.procs")).split()]
        return children_of([p.pid for p in self.started if p.poll() is None])

    def cpu_seconds(self):
        """Used by all processes so far, ended ones included."""
        if self.group:
            return int(re.search(r"usage_usec (\d+)", read(os.path.join(self.group, "cpu.stat")))[1]) / 1e6
        total = 0
        for pid in self.pids():
            try:
                total += sum(int(t) for t in stat_fields(pid)[11:15])
            except OSError:
                pass
        return total / TICKS

    def pss(self, kinds=("Pss",)):
        """Bytes of memory of all processes, shared pages divided among those that share them. KINDS: lines of smaps_rollup."""
        total = 0
        for pid in self.pids():
            try:
                total += sum(int(n) * 1024 for kind, n in re.findall(r"^(\w+):\s+(\d+) kB", read(f"/proc/{pid}/smaps_rollup"), re.M)
                             if kind in kinds)
            except OSError:
                pass
        return total

    def stop(self):
        mine = set(self.pids())
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        if not self.wait_gone(mine, 5):
            for pid in self.left(mine):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.wait_gone(mine, 5)
        for process in self.started:
            process.wait()
        if self.group:
            os.rmdir(self.group)
            self.group = None

    def left(self, mine):
        """Who still runs. Without a control group orphans are no longer found, only remembered: MINE."""
        return self.pids() if self.group else [pid for pid in mine if runs(pid)]

    def wait_gone(self, mine, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for process in self.started:
                process.poll()
            reap()
            if not self.left(mine):
                return True
            time.sleep(0.02)
        return False


def runs(pid):
    try:
        return stat_fields(pid)[0] != "Z"
    except OSError:
        return False


def reap():
    """Orphans come to us and have no other parent to wait for them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kernel_memory():
    """Bytes that the kernel holds for processes and sockets, of the whole machine."""
    info = dict(re.findall(r"^(\w+):\s+(\d+)", read("/proc/meminfo"), re.M))
    return sum(int(info[k]) for k in ("Slab", "KernelStack", "PageTables")) * 1024
