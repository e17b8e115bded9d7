"""A pool of real nodes on loopback addresses, from one configuration file, in a temporary folder.

Nothing here knows the product's code: nodes are started as an operator would (waypostd -c FILE -F), queried with the operator's
tool and by their log, and stopped by SIGTERM."""
import base64
import ctypes
import dataclasses
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from signal import SIGTERM

from isolation import free_port

PREFIX = os.environ.get("WAYPOST_PREFIX", "/usr/local")
SLOW = 6 if "valgrind" in os.environ.get("WAYPOST_WRAPPER", "") else 1
# In a healthy build waits end long before; this only limits a hanging test.
PATIENCE = 30.0 * SLOW

try:
    with open(os.path.join(PREFIX, "sbin", "waypostd"), "rb") as program:
        SANITIZED = b"__asan_init" in program.read()
except OSError:
    SANITIZED = False

# If the tests run as root, nodes run as this ordinary user: nothing here may need root.
UID = int(os.environ.get("WAYPOST_TEST_UID", "65534")) if os.getuid() == 0 else os.getuid()
GID = int(os.environ.get("WAYPOST_TEST_GID", "65534")) if os.getuid() == 0 else os.getgid()

BAD_LOG = re.compile(r"bug in waypost|AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|"
                     r"stack smashing|double free|corrupted|Segmentation fault|bad message|killed by signal")

# We inherit the children of a killed master, so that none is overlooked.
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

pools = []  # all that were started, for the report of a failed test


def wait_for(what, condition, timeout=PATIENCE, pause=0.02):
    """Polls until CONDITION() is true and returns its value; fails with WHAT after TIMEOUT seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {timeout:.0f} s: {what}"
        time.sleep(pause)


def quote(value):
    """A value as libconfig writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def render(settings):
    """{"RUNDIR": .., "imapd": {"PORT": ..}} as the text of a configuration file; None leaves one out."""
    out = []
    for name, value in settings.items():
        if value is None:
            continue
        if isinstance(value, dict):
            inner = " ".join(f"{k} = {quote(v)};" for k, v in value.items() if v is not None)
            out.append(f"{name} = {{ {inner} }};")
        else:
            out.append(f"{name} = {quote(value)};")
    return "\n".join(out) + "\n"


def merge(base, more):
    """BASE updated by MORE, groups member by member; a group given as None is removed."""
    result = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
    for name, value in (more or {}).items():
        if isinstance(value, dict):
            result[name] = {**(result.get(name) or {}), **value}
        else:
            result[name] = value
    return result


def sha(password):
    if isinstance(password, str):
        password = password.encode()
    return "{SHA}" + base64.b64encode(hashlib.sha1(password).digest()).decode()


@dataclasses.dataclass
class Account:
    name: str
    password: object = None  # str or bytes
    mailhost: str = ""       # "" = none
    options: str = ""
    home: str = ""
    uid: int = UID
    gid: int = GID
    fields: dict = dataclasses.field(default_factory=dict)  # further or changed userdb fields; None removes

    def line(self):
        options = [o for o in (f"mailhost={self.mailhost}" if self.mailhost else "", self.options) if o]
        f = {"uid": self.uid, "gid": self.gid, "home": self.home, "systempw": sha(self.password)}
        if options:
            f["options"] = ",".join(options)
        f.update(self.fields)
        return self.name + "\t" + "|".join(f"{k}={v}" for k, v in f.items() if v is not None) + "\n"

    @property
    def maildir(self):
        return os.path.join(self.home, "Maildir")


def message(subject, body="Hello.\r\n", to="someone@example.com", extra=""):
    return (f"From: Sender <sender@example.com>\r\nTo: {to}\r\nSubject: {subject}\r\n"
            f"Date: Mon, 02 Jan 2023 10:00:00 +0000\r\nMessage-ID: <{abs(hash((subject, body)))}@example.com>\r\n"
            f"{extra}\r\n{body}").encode()


_unique = itertools.count(1)


def chown(path, uid=UID, gid=GID):
    if os.getuid() == 0:
        os.chown(path, uid, gid)


def make_maildir(path, uid=UID, gid=GID):
    for part in ("", "cur", "new", "tmp"):
        full = os.path.join(path, part) if part else path
        os.makedirs(full, exist_ok=True)
        chown(full, uid, gid)
        os.chmod(full, 0o700)
    return path


def deliver(maildir, data, uid=UID, gid=GID, where="new", flags=None):
    """Puts a message (CRLF or LF) into a Maildir as a delivery agent does; returns the file's name."""
    if isinstance(data, str):
        data = data.encode()
    data = data.replace(b"\r\n", b"\n")
    n = next(_unique)
    name = f"{int(time.time())}.M{n:06d}P{os.getpid()}.outside,S={len(data)}"
    tmp = os.path.join(maildir, "tmp", name)
    with open(tmp, "wb") as f:
        f.write(data)
    chown(tmp, uid, gid)
    os.chmod(tmp, 0o600)
    final = name if where == "new" else name + ":2," + (flags or "")
    os.rename(tmp, os.path.join(maildir, where, final))
    return final


def proc_children():
    """pid -> [pids of children], for the whole machine."""
    tree = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as f:
                stat = f.read()
        except OSError:
            continue
        rest = stat[stat.rindex(b")") + 2:].split()
        if rest[0] in (b"Z", b"X"):
            continue
        tree.setdefault(int(rest[1]), []).append(int(entry))
    return tree


def descendants(pid):
    tree = proc_children()
    found, todo = [], [pid]
    while todo:
        for child in tree.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            stat = f.read()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2:stat.rindex(b")") + 3] not in (b"Z", b"X")


def rss_kib(pid):
    """Private memory of the process, in KiB."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith(("Private_Dirty:", "Private_Clean:")):
                total += int(line.split()[1])
    return total


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def role_of(pid):
    """worker, authd, authworker, spawn, key, imapd, pop3d, master or "", from the process's name in ps."""
    name = comm(pid)
    if name in ("imapd", "pop3d"):
        return name
    words = [w.replace("-", "").replace("_", "") for w in cmdline(pid).lower().split()]
    if not any(w.endswith("waypostd") for w in words):
        return ""
    for word in words:
        if word in ("worker", "authd", "authworker", "spawn", "key"):
            return word
    return "master"


class Node:
    def __init__(self, pool, address):
        self.pool = pool
        self.address = address
        self.proc = None
        self.log_path = os.path.join(pool.root, address + ".log")
        self.expect_dirty = False  # a test killed something on purpose
        self.more_env = {}         # of this node alone
        self.expected = []         # texts of bad lines that a test provoked

    def __repr__(self):
        return f"node {self.address}"

    @property
    def env(self):
        env = {k: v for k, v in os.environ.items() if k not in ("PROXY_HOSTNAME", "NOTIFY_SOCKET")}
        env["PROXY_HOSTNAME"] = self.address
        env["HOME"] = self.pool.root
        env.update(self.more_env)
        # The last: gcc's runtime misreads the thread-local memory of modules that were loaded later (those of libldap's
        # libraries), and crashes while it looks for leaks in it.
        env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1:intercept_tls_get_addr=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        return env

    def as_user(self):
        if os.getuid() == 0 and self.pool.uid != 0:
            uid, gid = self.pool.uid, self.pool.gid

            def drop():
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
            return drop
        return None

    def command(self):
        argv = [os.path.join(PREFIX, "sbin", "waypostd"), "-c", self.pool.conf, "-F"]
        if self.pool.wrapper == "valgrind":
            argv = ["valgrind", "--quiet", "--trace-children=yes", "--error-exitcode=99", "--leak-check=full",
                    "--errors-for-leak-kinds=definite", "--child-silent-after-fork=no", "--num-callers=25",
                    "--trace-children-skip=*/waypost", f"--log-file={self.pool.root}/valgrind.%p"] + argv
        return argv

    def start(self, wait=True):
        assert self.proc is None or self.proc.poll() is not None
        self.started = self.log_mark()
        log = open(self.log_path, "ab")
        self.proc = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                     preexec_fn=self.as_user(), cwd="/", start_new_session=True)
        log.close()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        if self.pool.settings.get("LOG") == "stderr":
            wait_for(f"{self} is ready", lambda: self.alive_or_fail() and " is ready as node " in self.log_since(self.started), pause=0.02)
        for group in ("imapd", "pop3d"):
            if self.pool.settings.get(group) is not None:
                port = self.pool.imap_port if group == "imapd" else self.pool.pop3_port
                wait_for(f"{group} of {self} answers", lambda: self.answers(port), pause=0.05)

    def alive_or_fail(self):
        assert self.proc.poll() is None, f"{self} ended with status {self.proc.returncode}:\n{self.log()[-3000:]}"
        return True

    def answers(self, port):
        self.alive_or_fail()
        try:
            with socket.create_connection((self.address, port), timeout=5 * SLOW) as s:
                return s.recv(64)[:1] in (b"*", b"+")
        except OSError:
            return False

    def signal(self, number):
        os.kill(self.proc.pid, number)

    def procs(self):
        """role -> [pids] of everything below the master."""
        found = {"master": [self.proc.pid]}
        for pid in descendants(self.proc.pid):
            found.setdefault(role_of(pid), []).append(pid)
        return found

    def pids(self, role):
        return self.procs().get(role, [])

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="surrogateescape") as f:
                return f.read()
        except OSError:
            return ""

    def log_mark(self):
        try:
            return os.path.getsize(self.log_path)
        except OSError:
            return 0

    def log_since(self, mark):
        with open(self.log_path, "rb") as f:
            f.seek(mark)
            return f.read().decode("utf-8", "surrogateescape")

    def wait_log(self, pattern, mark=0, timeout=PATIENCE):
        """The first line since MARK that matches PATTERN."""
        regex = re.compile(pattern)

        def look():
            for line in self.log_since(mark).splitlines():
                if regex.search(line):
                    return line
            return None
        return wait_for(f"a log line /{pattern}/ on {self}", look, timeout)

    def wait_userdb(self, mark):
        """Until the userdb has been read since MARK: to its end, not "changed while it was read"."""
        self.wait_log(r"userdb: \S+ read: ", mark)

    def tool(self, *args, input=None, timeout=60):
        """Runs waypost -c FILE ARGS... on this node."""
        return subprocess.run([os.path.join(PREFIX, "bin", "waypost"), "-c", self.pool.conf, *args], env=self.env,
                              input=input, capture_output=True, timeout=timeout * SLOW, preexec_fn=self.as_user(), text=True)

    def status(self):
        r = self.tool("status", "--json")
        return json.loads(r.stdout)

    def stop(self, sig=SIGTERM):
        """Stops the node cleanly; returns its exit status."""
        if self.proc is None:
            return None
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            status = self.proc.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"{self} did not end within {PATIENCE:.0f} s of signal {sig}") from None
        self.proc = None
        return status

    def kill_all(self):
        for pid in [self.proc.pid] + descendants(self.proc.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.proc.wait()
        self.proc = None


class Pool:
    """N nodes. ACCOUNTS are added to the userdb; SETTINGS change the configuration below."""

    def __init__(self, nodes=3, settings=None, accounts=(), wrapper=None, uid=UID, gid=GID, keep=False, start=True):
        self.root = tempfile.mkdtemp(prefix="wp-", dir="/tmp")
        os.chmod(self.root, 0o755)
        self.uid, self.gid = uid, gid
        chown(self.root, uid, gid)
        self.keep = keep
        self.wrapper = wrapper if wrapper is not None else os.environ.get("WAYPOST_WRAPPER") or None
        self.addresses = [f"127.0.0.{i + 1}" for i in range(nodes)]
        self.imap_port = free_port(self.addresses)
        self.pop3_port = free_port(self.addresses)
        self.conf = os.path.join(self.root, "waypost.conf")
        self.userdb = os.path.join(self.root, "userdb")
        self.run = os.path.join(self.root, "run")
        os.mkdir(self.run, 0o755)
        chown(self.run, uid, gid)
        self.settings = merge({
            "RUNDIR": self.run + "/${PROXY_HOSTNAME}",
            "LOG": "stderr",
            "LOGIN_FAIL_DELAY": 0, "LOGIN_START_RATE": 0,  # tests that are about them set them
            "POOL_SECRETFILE": os.path.join(self.root, "secret"),
            "authdaemonrc": {"authmodulelist": "authuserdb"},
            "authuserdb": {"USERDB": self.userdb},
            "imapd": {"ADDRESS": "${PROXY_HOSTNAME}", "PORT": self.imap_port, "IMAP_PROXY": 1, "MAXPERACCOUNT": 5000},
            "pop3d": {"ADDRESS": "${PROXY_HOSTNAME}", "PORT": self.pop3_port, "POP3_PROXY": 1, "MAXPERACCOUNT": 5000},
        }, settings)
        with open(os.path.join(self.root, "secret"), "w") as f:
            f.write(os.urandom(20).hex() + "\n")
        os.chmod(os.path.join(self.root, "secret"), 0o600)
        chown(os.path.join(self.root, "secret"), uid, gid)
        self.accounts = {}
        for account in accounts:
            self.add(account, write=False)
        self.write_userdb()
        self.write_conf()
        self.nodes = [Node(self, a) for a in self.addresses]
        pools.append(self)
        if start:
            self.start()

    # Accounts

    def add(self, account, write=True, mail=True):
        """Adds ACCOUNT with a Maildir of its own and one message that says where it is."""
        account.password = account.password if account.password is not None else "secret-" + account.name
        if not account.home:
            place = re.sub(r"[^0-9A-Za-z.]", "_", account.mailhost) or "anywhere"
            parent = os.path.join(self.root, "mail", place)
            for folder in (os.path.join(self.root, "mail"), parent):
                os.makedirs(folder, exist_ok=True)
                chown(folder, self.uid, self.gid)
            account.home = os.path.join(parent, re.sub(r"[^0-9A-Za-z@.-]", "_", account.name))
        if mail:
            os.makedirs(account.home, exist_ok=True)
            chown(account.home, account.uid, account.gid)
            make_maildir(account.maildir, account.uid, account.gid)
            self.deliver(account, message(f"{account.name} lives on {account.mailhost or 'any node'}"))
        self.accounts[account.name] = account
        if write:
            self.write_userdb()
        return account

    def deliver(self, account, data, folder="", **more):
        if isinstance(account, str):
            account = self.accounts[account]
        maildir = os.path.join(account.maildir, folder) if folder else account.maildir
        return deliver(maildir, data, account.uid, account.gid, **more)

    def write_userdb(self, text=None):
        """Writes the userdb as the userdb command does: renamed into place."""
        if text is None:
            text = "".join(a.line() for a in self.accounts.values())
        tmp = self.userdb + ".new"
        with open(tmp, "w", encoding="utf-8", errors="surrogateescape") as f:
            f.write(text)
        os.chmod(tmp, 0o640)
        chown(tmp, self.uid, self.gid)
        os.rename(tmp, self.userdb)

    # Configuration

    def write_conf(self, settings=None, text=None):
        if settings is not None:
            self.settings = merge(self.settings, settings)
        with open(self.conf + ".new", "w") as f:
            f.write(text if text is not None else render(self.settings))
        chown(self.conf + ".new", self.uid, self.gid)
        os.chmod(self.conf + ".new", 0o644)
        os.rename(self.conf + ".new", self.conf)

    # Nodes

    def node(self, address):
        return self.nodes[self.addresses.index(address)]

    def start(self):
        for node in self.nodes:
            node.start(wait=False)
        for node in self.nodes:
            node.wait_ready()

    def stop(self):
        """Stops all nodes and checks how they ended."""
        problems, leftover = [], []
        for node in self.nodes:
            if node.proc is None:
                continue
            below = descendants(node.proc.pid)
            try:
                status = node.stop()
                if status != 0 and not node.expect_dirty:
                    problems.append(f"{node} ended with status {status}")
            except AssertionError as e:
                problems.append(str(e))
            leftover += below
        end = time.monotonic() + PATIENCE
        while any(alive(p) for p in leftover) and time.monotonic() < end:
            time.sleep(0.05)
        for pid in leftover:
            if alive(pid):
                problems.append(f"process {pid} outlived its node: {cmdline(pid)}")
                os.kill(pid, signal.SIGKILL)
        reap()
        problems += self.bad_lines()
        return problems

    def bad_lines(self):
        found = []
        for node in self.nodes:
            lines = node.log().splitlines()
            for n, line in enumerate(lines):
                allowed = node.expected + ["killed by signal"] * node.expect_dirty
                if BAD_LOG.search(line) and not any(text in line for text in allowed):
                    found.append(f"{node}: " + "\n    ".join(lines[n:n + 30]))
                    break
        for name in sorted(os.listdir(self.root)):
            if name.startswith("valgrind."):
                with open(os.path.join(self.root, name), errors="replace") as f:
                    text = f.read()
                if re.search(r"^==\d+== .*(Invalid|uninitialised|definitely lost|Mismatched|Process terminating|unaddressable)",
                             text, re.M):
                    found.append(f"{name}:\n{text[:6000]}")
        return found

    def close(self):
        """Stops the pool, removes its folder, and fails if anything was wrong."""
        problems = self.stop()
        if self in pools:
            pools.remove(self)
        if not self.keep:
            shutil.rmtree(self.root, ignore_errors=True)
        else:
            print("kept:", self.root)
        assert not problems, "\n".join(problems)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            try:
                self.stop()
            finally:
                if self in pools:
                    pools.remove(self)
                if not self.keep:
                    shutil.rmtree(self.root, ignore_errors=True)


def reap():
    """Reaps orphans that we inherited."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            pass
    except ChildProcessError:
        pass


# What the log tells

def fields(line):
    """key -> value of a log line "imapd: LOGIN, user=.., ip=[..], ..."; "event" is LOGIN etc., "program" imapd etc."""
    m = re.search(r"\b(imapd|pop3d)(?:-ssl)?(?:\[\d+\])?: ([A-Z][A-Z ]*[A-Z]), (.*)$", line)
    if not m:
        return None
    found = {"program": m.group(1), "event": m.group(2), "keys": []}
    for part in m.group(3).split(", "):
        key, _, value = part.partition("=")
        found[key] = value
        found["keys"].append(key)
    return found


def events(text, event=None, user=None, program=None, port=None):
    """The lines of TEXT about clients. PORT is the client's: with it, a late line of an earlier session is not mistaken for one
    of this session."""
    found = []
    for line in text.splitlines():
        f = fields(line)
        if f and (event is None or f["event"] == event) and (user is None or f.get("user") == user) and \
                (program is None or f["program"] == program) and (port is None or f.get("port") == f"[{port}]"):
            found.append(f)
    return found


class Marks:
    """Marks the current end of all logs of a pool; gives what was logged since."""

    def __init__(self, pool):
        self.pool = pool
        self.at = {node: node.log_mark() for node in pool.nodes}

    def text(self, node=None):
        nodes = [node] if node else self.pool.nodes
        return "".join(n.log_since(self.at[n]) for n in nodes)

    def local_login(self, user, program, port=None):
        """The node that served the login of USER itself, according to its log: a LOGIN without a back end."""
        def look():
            for node in self.pool.nodes:
                for f in events(self.text(node), "LOGIN", user, program, port):
                    if not f.get("backend"):
                        return node, f
            return None
        return wait_for(f"a node logs that it serves {user}", look)

    def event(self, node, event, user=None, program=None, port=None):
        """The first EVENT of NODE since the mark, waited for."""
        return wait_for(f"{node} logs {event} of {user}", lambda: next(iter(events(self.text(node), event, user, program, port)), None))
