"""Certificates for the systems that speak TLS: an authority, and one that it has signed for each kind of key."""
import os
import subprocess

from system import Trouble

CURVE = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
KEYS = {"p256": CURVE, "rsa": ["rsa:2048"]}
NAMES = ",".join(["DNS:mail.example.com", *(f"IP:127.0.{net}.{n}" for net in (1, 2) for n in range(1, 65))])


def openssl(*argv):
    result = subprocess.run(["openssl", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise Trouble(f"openssl {argv[0]} failed: {result.stderr.strip()[-500:]}")


def make(folder):
    """ca.crt; for each kind KEY: KEY.crt, KEY.key, KEY.pem (both)."""
    os.makedirs(folder, exist_ok=True)

    def path(name):
        return os.path.join(folder, name)

    openssl("req", "-x509", "-newkey", *CURVE, "-nodes", "-days", "30", "-subj", "/CN=An authority of the bench",
            "-keyout", path("ca.key"), "-out", path("ca.crt"))
    with open(path("ext"), "w") as f:
        f.write(f"subjectAltName = {NAMES}\nbasicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth, clientAuth\n")
    for name, kind in KEYS.items():
        openssl("req", "-newkey", *kind, "-nodes", "-subj", "/CN=mail.example.com", "-keyout", path(f"{name}.key"), "-out", path("csr"))
        openssl("x509", "-req", "-in", path("csr"), "-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-days", "30",
                "-extfile", path("ext"), "-out", path(f"{name}.crt"))
        join(path(f"{name}.pem"), path(f"{name}.crt"), path(f"{name}.key"))


def join(to, *files):
    text = ""
    for name in files:
        with open(name) as f:
            text += f.read()
    with open(to, "w") as f:
        f.write(text)
