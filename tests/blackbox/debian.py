"""Programs and files of Debian's packages, without installing them."""
import os
import shutil
import subprocess
import tempfile

import pytest

from isolation import outside


class Unpacked:
    """PACKAGES and their missing dependencies, unpacked below self.root. Skips the test if the packages cannot be downloaded."""

    def __init__(self, *packages):
        self.root = tempfile.mkdtemp(prefix="wp-debian-", dir="/tmp")
        os.chmod(self.root, 0o755)
        try:
            plan = self.apt("--no-install-recommends", "--simulate", "install", *packages)
            needed = {line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")} | set(packages)
            self.apt("-o", "APT::Sandbox::User=root", "download", *sorted(n for n in needed if not n.startswith("exim4")))
            for name in os.listdir(self.root):
                if name.endswith(".deb"):
                    subprocess.run(["dpkg-deb", "-x", name, "."], cwd=self.root, check=True, timeout=120)
                    os.unlink(self.path(name))
            if os.path.isdir(self.path("lib")):  # where Debian 12's packages still have some of their files
                shutil.copytree(self.path("lib"), self.path("usr/lib"), symlinks=True, dirs_exist_ok=True)
        except BaseException:
            self.close()
            raise

    def apt(self, *args):
        r = subprocess.run(["apt-get", "-qq", *args], cwd=self.root, capture_output=True, text=True, timeout=300, preexec_fn=outside)
        if r.returncode:
            self.close()
            pytest.skip(f"Debian's packages cannot be had: {r.stderr.strip()[-200:]}")
        return r.stdout

    def path(self, name):
        return os.path.join(self.root, name)

    def environment(self, library=""):
        """For the packages' programs: their libraries, LIBRARY being one more folder below /usr/lib."""
        lib = self.path("usr/lib")
        return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8",
               "LD_LIBRARY_PATH": ":".join([f"{lib}/{library}", f"{lib}/x86_64-linux-gnu", f"{lib}/aarch64-linux-gnu"])}

    def run(self, program, *args, library="", **more):
        """Runs a program of the packages; returns its output."""
        r = subprocess.run([self.path(program), *args], env=self.environment(library), capture_output=True, text=True, timeout=60, **more)
        assert r.returncode == 0, r
        return r.stdout

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)
