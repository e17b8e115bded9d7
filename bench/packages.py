"""Debian packages without installing them: fetched with what they depend on, unpacked into a folder, and laid over
/usr and /etc in a mount namespace of the processes that need them. Nothing starts by itself, nothing conflicts."""
import glob
import os
import shutil
import subprocess

from system import Trouble

# Laid over the machine for one command: $1 the folder; then the command.
OVER = """set -e
mount --make-rprivate /
for d in usr etc; do
	[ -d "$1/$d" ] && mount -t overlay overlay -o "lowerdir=$1/$d:/$d" "/$d"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
shift
exec "$@"
"""


def run(*argv, **kw):
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)
    if result.returncode:
        raise Trouble(f"{' '.join(argv[:3])} failed: {result.stderr.strip()[-500:]}")
    return result.stdout


def fetch(packages, folder):
    """Unpacks PACKAGES and what they need that the machine lacks into FOLDER/root, once. Mail servers that are mere
    recommendations of policy (an MTA) are left out. Returns {package: version} of PACKAGES."""
    root = os.path.join(folder, "root")
    if not os.path.isdir(root):
        debs = os.path.join(folder, "debs")
        shutil.rmtree(debs, ignore_errors=True)
        os.makedirs(debs)
        plan = run("apt-get", "-qq", "--no-install-recommends", "--simulate", "install", *packages)
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        names = [n for n in names if not n.startswith("exim4")]
        if names:
            run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names, cwd=debs)
        partial = root + ".partial"
        os.makedirs(partial, exist_ok=True)
        for deb in sorted(glob.glob(os.path.join(debs, "*.deb"))):
            run("dpkg-deb", "-x", deb, partial)
        if os.path.isdir(os.path.join(partial, "lib")):  # Debian's /lib is /usr/lib
            shutil.copytree(os.path.join(partial, "lib"), os.path.join(partial, "usr", "lib"), symlinks=True, dirs_exist_ok=True)
        os.rename(partial, root)
    return {p: version(p, folder) for p in packages}


def version(package, folder):
    for deb in glob.glob(os.path.join(folder, "debs", package + "_*.deb")):
        return run("dpkg-deb", "-f", deb, "Version").strip()
    return run("dpkg-query", "-W", "-f", "${Version}", package)


def put(path, text):
    """Writes a file unless it is so already: what is laid over a running system must not change."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path) as f:
            if f.read() == text:
                return
    with open(path, "w") as f:
        f.write(text)


def prepare_etc(folder, files, users):
    """Adds FILES {path below /etc: text} and system users to what will be laid over /etc."""
    etc = os.path.join(folder, "root", "etc")
    for name, text in files.items():
        put(os.path.join(etc, name), text)
    if not users:
        return
    for name, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
        with open(os.path.join("/etc", name)) as f:
            text = f.read()
        have = {row.split(":")[0] for row in text.splitlines()}
        put(os.path.join(etc, name), text + "".join(line.format(u, 64000 + i) for i, u in enumerate(users) if u not in have))


def laid_over(folder, argv):
    """The command that runs ARGV with FOLDER/root laid over the machine."""
    return ["unshare", "--mount", "--", "/bin/sh", "-c", OVER, "sh", os.path.join(folder, "root"), *argv]
