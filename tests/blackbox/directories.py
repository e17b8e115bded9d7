"""Real directories for tests: PostgreSQL, MariaDB and slapd from Debian's packages, each in a temporary folder, on its own port
of a loopback address, as an ordinary user, stopped by pid. And a server that accepts connections and never answers."""
import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from isolation import free_port, outside
from pool import GID, UID, descendants, wait_for

def drop():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(GID)
        os.setuid(UID)


def make_certificates(folder):
    """ca.pem, cert.pem and key.pem for 127.0.0.1, and other.pem, a CA that signed nothing."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, preexec_fn=drop, timeout=60)
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    openssl(*new, "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")


def stopped(pid):
    """All threads of PID stand still, which they do some time after the signal; or it is gone."""
    for path in glob.glob(f"/proc/{pid}/task/*/stat"):
        with contextlib.suppress(OSError):
            with open(path) as f:
                if f.read().rpartition(")")[2].split()[0] not in "TtZX":
                    return False
    return True


class Directory:
    """A server process that speaks TLS, too. start(), stop(), and again."""
    host = "127.0.0.1"
    port = None  # any that is free
    launch = staticmethod(subprocess.Popen)  # the bench has one of its own

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="wpdir-", dir="/tmp")
        if os.getuid() == 0:
            os.chown(self.root, UID, GID)
        self.port = self.port or free_port([self.host])
        self.proc = None
        try:
            make_certificates(self.root)
            self.make()
            self.start()
        except BaseException:
            self.close()
            raise

    def file(self, name):
        return os.path.join(self.root, name)

    def run(self, *argv, input=None, check=True, timeout=60):
        r = subprocess.run(argv, input=input, capture_output=True, preexec_fn=drop, cwd=self.root, text=True, timeout=timeout,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.root, "LC_ALL": "C"})
        assert not check or r.returncode == 0, f"{argv}: {r.stdout}{r.stderr}"
        return r

    def start(self):
        with open(os.path.join(self.root, "server.log"), "ab") as log:
            self.proc = self.launch(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=drop,
                                         cwd=self.root, start_new_session=True,
                                         env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.root, "LC_ALL": "C"})
        wait_for(f"{type(self).__name__} answers", self.ready, timeout=60, pause=0.05)

    def ready(self):
        assert self.proc.poll() is None, self.log()
        return self.ping()

    def log(self):
        with open(os.path.join(self.root, "server.log"), errors="replace") as f:
            return f.read()[-4000:]

    def stop(self, sig=signal.SIGTERM):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.send_signal(sig)
            try:
                self.proc.wait(30)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.proc = None

    def freeze(self):
        """The kernel still accepts connections, but the server does not answer."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        wait_for("the directory stands still", lambda: all(stopped(pid) for pid in self.pids()))

    def thaw(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):  # PostgreSQL starts and stops helpers
                os.kill(pid, signal.SIGCONT)

    def pids(self):
        found = [self.proc.pid]
        with os.scandir("/proc") as entries:
            for entry in entries:
                if entry.name.isdigit():
                    try:
                        with open(f"/proc/{entry.name}/stat") as f:
                            if f.read().rpartition(")")[2].split()[1] == str(self.proc.pid):
                                found.append(int(entry.name))
                    except OSError:
                        pass
        return found

    def close(self):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)


class Postgres(Directory):
    stop_signal = signal.SIGINT

    def make(self):
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.data = os.path.join(self.root, "data")
        self.run(f"{self.bin}/initdb", "-D", self.data, "-U", "admin", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")

    def command(self):
        return [f"{self.bin}/postgres", "-D", self.data, "-h", self.host, "-p", str(self.port), "-k", self.root, "-F",
                "-c", "password_encryption=scram-sha-256", "-c", "ssl=on", "-c", f"ssl_cert_file={self.file('cert.pem')}",
                "-c", f"ssl_key_file={self.file('key.pem')}"]

    def ping(self):
        return self.run(f"{self.bin}/pg_isready", "-q", "-h", self.host, "-p", str(self.port), check=False).returncode == 0

    def sql(self, text, database="postgres"):
        return self.run("psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-h", self.root, "-p", str(self.port), "-U", "admin", "-d", database,
                        input=text).stdout

    def stop(self, sig=signal.SIGINT):
        super().stop(sig)


class Mariadb(Directory):
    buffer = "8M"

    def make(self):
        self.data = os.path.join(self.root, "data")
        self.socket = os.path.join(self.root, "sock")
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
                 "--skip-test-db", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M")

    def command(self):
        return ["mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}",
                f"--bind-address={self.host}", f"--innodb-buffer-pool-size={self.buffer}", "--innodb-log-file-size=4M", "--skip-name-resolve",
                "--innodb-flush-log-at-trx-commit=0", f"--ssl-cert={self.file('cert.pem')}", f"--ssl-key={self.file('key.pem')}",
                f"--ssl-ca={self.file('ca.pem')}"]

    def ping(self):
        return self.run("mariadb-admin", "--no-defaults", "-uroot", "-S", self.socket, "ping", check=False).returncode == 0

    def sql(self, text, database="mysql"):
        return self.run("mariadb", "--no-defaults", "-uroot", "-S", self.socket, "-N", "--default-character-set=utf8mb4", database,
                        input=text).stdout


class Slapd(Directory):
    """Below dc=example,dc=com; cn=admin with the password admin."""
    suffix = "dc=example,dc=com"
    admin = f"cn=admin,{suffix}"
    size = 64 << 20  # most bytes of the database

    def __init__(self, schemas=()):
        self.schemas = schemas
        super().__init__()

    def make(self):
        os.mkdir(os.path.join(self.root, "db"))
        if os.getuid() == 0:
            os.chown(os.path.join(self.root, "db"), UID, GID)
        includes = "".join(f"include {s}\n" for s in
                           [f"/etc/ldap/schema/{n}.schema" for n in ("core", "cosine", "inetorgperson", "nis")] +
                           [shutil.copy(s, self.root) for s in self.schemas])  # the sources may be readable by root only
        self.conf = os.path.join(self.root, "slapd.conf")
        with open(self.conf, "w") as f:
            f.write(f"{includes}modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {self.root}/pid\n"
                    f"TLSCertificateFile {self.file('cert.pem')}\nTLSCertificateKeyFile {self.file('key.pem')}\n"
                    f"database mdb\nmaxsize {self.size}\nsuffix {self.suffix}\nrootdn {self.admin}\nrootpw admin\n"
                    f"directory {self.root}/db\nindex objectClass,mail eq\ndbnosync\n"
                    "access to attrs=userPassword by anonymous auth by * none\naccess to * by * read\n")

    @property
    def uri(self):
        return f"ldap://{self.host}:{self.port}"

    def command(self):
        return ["slapd", "-d", "0", "-f", self.conf, "-h", self.uri]

    def ping(self):
        return self.run("ldapsearch", "-x", "-H", self.uri, "-b", "", "-s", "base", "-o", "nettimeout=2", check=False).returncode == 0

    def ldif(self, text):
        self.run("ldapmodify", "-a", "-c", "-x", "-H", self.uri, "-D", self.admin, "-w", "admin", input=text)


class SlapdConfig(Slapd):
    """With its configuration in the directory, below cn=config."""

    def make(self):
        super().make()
        with open(self.conf) as f:
            text = f.read()
        with open(self.conf, "w") as f:
            f.write(text.partition("database mdb")[0] + "database config\nrootpw config\n")
        self.config = self.file("slapd.d")
        os.mkdir(self.config)
        if os.getuid() == 0:
            os.chown(self.config, UID, GID)
        self.run("slaptest", "-f", self.conf, "-F", self.config)

    def command(self):
        return ["slapd", "-d", "0", "-F", self.config, "-h", self.uri]


class Authdaemond:
    """Debian's courier-authdaemon, unpacked into a folder that is its root directory, with a userdb. Unavailable if an ordinary
    user runs the test."""
    PACKAGES = ["courier-authdaemon", "courier-authlib", "courier-authlib-userdb", "courier-authlib-pipe", "libltdl7", "libgdbm6"]
    PROGRAM = "/usr/lib/courier/courier-authlib/"

    class Unavailable(Exception):
        pass

    def __init__(self, modules="authuserdb"):
        if os.getuid() != 0:
            raise self.Unavailable("needs root, for chroot")
        self.root = tempfile.mkdtemp(prefix="wpcourier-", dir="/tmp")
        self.proc = None
        try:
            self.unpack()
            for folder in ("etc/courier", "run/courier/authdaemon", "dev", "tmp"):
                os.makedirs(os.path.join(self.root, folder), exist_ok=True)
                os.chown(os.path.join(self.root, folder), UID, GID)
            os.chmod(self.root, 0o755)
            self.write("etc/courier/authdaemonrc", f'authmodulelist="{modules}"\nauthmodulelistorig="{modules}"\ndaemons=2\n'
                       'authdaemonvar=/run/courier/authdaemon\nDEBUG_LOGIN=0\nDEFAULTOPTIONS=""\nLOGGEROPTS=""\n')
            self.write("dev/null", "")
        except BaseException:
            self.close()
            raise
        self.socket = os.path.join(self.root, "run/courier/authdaemon/socket")

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.root, path)
        with open(path, "w") as f:
            f.write(text)
        os.chown(path, UID, GID)
        os.chmod(path, mode)

    def unpack(self):
        got = subprocess.run(["apt-get", "download", "-qq", *self.PACKAGES], cwd=self.root, capture_output=True, text=True, timeout=300,
                             preexec_fn=outside)
        if got.returncode:
            raise self.Unavailable(f"Debian's courier-authlib cannot be had: {got.stderr.strip()[-200:]}")
        for name in glob.glob(os.path.join(self.root, "*.deb")):
            subprocess.run(["dpkg", "-x", name, self.root], check=True, timeout=60)
            os.remove(name)
        usr = os.path.join(self.root, "usr/lib")
        for program in [self.root + self.PROGRAM + p for p in ("authdaemond", "makedatprog")] + [self.root + "/usr/sbin/authenumerate"] + glob.glob(usr + "/**/*.so.?", recursive=True):
            env = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": f"{usr}:{usr}/{os.uname().machine}-linux-gnu"}
            for path in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True, env=env).stdout):
                target = self.root + path
                if not path.startswith(self.root) and not os.path.exists(target):
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    shutil.copy(path, target)

    def inside(self):
        os.chroot(self.root)
        os.chdir("/")
        drop()

    @property
    def env(self):
        return {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": f"/usr/lib:/usr/lib/{os.uname().machine}-linux-gnu"}

    def userdb(self, records):
        """RECORDS: {name: ({field: value}, password's hash)}"""
        for name, lines in (("userdb", [f"{n}\t" + "|".join(f"{k}={v}" for k, v in {**f, "_": ""}.items()) for n, (f, _) in records.items()]),
                            ("userdbshadow", [f"{n}\tsystempw={hash}" for n, (_, hash) in records.items()])):
            subprocess.run([self.PROGRAM + "makedatprog", "-", f"/etc/courier/{name}.tmp", f"/etc/courier/{name}.dat"], check=True, timeout=60,
                           input="".join(line + "\n" for line in lines) + "\n.\n", text=True, env=self.env, preexec_fn=self.inside)

    def enumerate(self, *options):
        """The output of Courier's authenumerate."""
        return subprocess.run(["/usr/sbin/authenumerate", *options], check=True, timeout=60, capture_output=True, text=True, env=self.env,
                              preexec_fn=self.inside).stdout

    def start(self):
        with open(os.path.join(self.root, "server.log"), "ab") as log:
            self.proc = subprocess.Popen([self.PROGRAM + "authdaemond"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                         preexec_fn=self.inside, start_new_session=True)
        wait_for("Courier's authdaemond answers", self.ready, pause=0.05)

    def ready(self):
        assert self.proc.poll() is None, open(os.path.join(self.root, "server.log")).read()[-2000:]
        return self.ask(b"PRE . imap nobody at all\n") == b"FAIL\n"

    def ask(self, question):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            try:
                s.connect(self.socket)
                s.sendall(question)
                return b"".join(iter(lambda: s.recv(4096), b""))
            except OSError:
                return None

    def signal(self, number):
        """Signals all processes, the parent first, so that it starts no others meanwhile; workers may end at any time."""
        self.proc.send_signal(number)
        for pid in descendants(self.proc.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self):
        self.signal(signal.SIGSTOP)
        wait_for("the directory stands still", lambda: all(stopped(pid) for pid in (self.proc.pid, *descendants(self.proc.pid))))

    def thaw(self):
        self.signal(signal.SIGCONT)

    def stop(self):
        if self.proc is not None:
            below = descendants(self.proc.pid)
            self.proc.terminate()
            self.proc.wait(30)
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.proc = None
        # As its start script does; the file would still be there after a crash.
        if os.path.exists(self.socket):
            os.remove(self.socket)

    def close(self):
        if self.proc is not None:
            self.stop()
        shutil.rmtree(self.root, ignore_errors=True)


class Silent:
    """Accepts connections and never sends anything."""
    def __init__(self, host, port):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host, port))
        self.sock.listen(64)

    def close(self):
        self.sock.close()
