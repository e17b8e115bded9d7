"""Logins with password hashes of other programs, made by Dovecot's doveadm, OpenLDAP's slappasswd and our userdbpw."""
import os
import secrets
import shutil
import subprocess

import pytest

from client import Imap, Pop3
from debian import Unpacked
from pool import PREFIX, Account, wait_for

pytestmark = pytest.mark.once

# One depends on the user's name, two are not of passwords, one needs a digest that OpenSSL no longer has.
NOT_READ = {"DIGEST-MD5", "OTP", "PLAIN-TRUNC", "PLAIN-MD4"}
WANTED = {"PLAIN", "CLEAR", "CLEARTEXT", "PLAIN-MD5", "LDAP-MD5", "SMD5", "MD5", "SHA", "SHA1", "SSHA", "SSHA256", "SHA256", "SHA512", "SSHA512",
          "MD5-CRYPT", "DES-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "CRYPT", "ARGON2I", "ARGON2ID", "PBKDF2", "SCRAM-SHA-1",
          "SCRAM-SHA-256", "CRAM-MD5", "HMAC-MD5"}
ENCODINGS = ["", ".HEX", ".B64", ".BASE64"]
USERDBPW = ["", "-argon2id", "-scram-sha-256", "-scram-sha-1", "-ssha512", "-ssha", "-yescrypt", "-bcrypt", "-sha512", "-sha256", "-md5"]
SLAPPASSWD = {"{SSHA}": [], "{SMD5}": [], "{SHA}": [], "{MD5}": [], "{CRYPT}": [], "{SSHA256}": ["pw-sha2"], "{SSHA384}": ["pw-sha2"],
              "{SSHA512}": ["pw-sha2"], "{SHA384}": ["pw-sha2"], "{ARGON2}": ["argon2"]}


def serve(make_pool, hashes):
    """A node with an account for each of HASHES, {scheme: (hash, password)}; {scheme: account}."""
    accounts = {scheme: Account(f"a{i}@example.com", password, fields={"systempw": stored})
                for i, (scheme, (stored, password)) in enumerate(hashes.items())}
    return make_pool(nodes=1, accounts=list(accounts.values())), accounts


def check(pool, accounts):
    """Each logs in with its password by IMAP or POP3, and not with another one (DES looks at 8 characters only)."""
    wrong = {}
    for i, (scheme, account) in enumerate(accounts.items()):
        if i % 2:
            with Imap("127.0.0.1", pool.imap_port) as c:
                no, yes = c.login(account.name, "x" + account.password), c.login(account.name, account.password)
                if not yes.ok or not no.text.startswith(b"NO [AUTHENTICATIONFAILED]"):
                    wrong[scheme] = (account.fields, no, yes)
        else:
            with Pop3("127.0.0.1", pool.pop3_port) as c:
                c.cmd(f"USER {account.name}")
                no = c.cmd(f"PASS x{account.password}")
                c.cmd(f"USER {account.name}")
                yes = c.cmd(f"PASS {account.password}")
                if not yes.startswith(b"+OK") or not no.startswith(b"-ERR [AUTH]"):
                    wrong[scheme] = (account.fields, no, yes)
    assert not wrong


@pytest.fixture(scope="module")
def dovecot():
    packages = Unpacked("dovecot-core")
    yield packages
    packages.close()


def test_dovecot(make_pool, dovecot):
    listed = set(dovecot.run("usr/bin/doveadm", "-O", "pw", "-l", library="dovecot").split())
    assert WANTED <= listed
    hashes = {}
    for scheme in sorted(listed - NOT_READ):
        for encoding in ENCODINGS:
            password = secrets.token_urlsafe(9)
            stored = dovecot.run("usr/bin/doveadm", "-O", "pw", "-s", scheme + encoding, "-p", password, library="dovecot").strip()
            assert stored.startswith(f"{{{scheme}{encoding}}}")
            hashes[scheme + encoding] = stored, password
    pool, accounts = serve(make_pool, hashes)
    check(pool, accounts)
    # Processes that serve clients do not map Argon2, although it was just used.
    roles = pool.nodes[0].procs()
    assert any(maps(pid) for pid in roles["authworker"])
    assert [role for role, pids in roles.items() if role != "authworker" for pid in pids if maps(pid)] == []


def maps(pid):
    try:
        with open(f"/proc/{pid}/maps") as f:
            return "libargon2" in f.read()
    except OSError:  # a session server of a login above, whose end we need not wait for
        return False


def test_openldap(make_pool):
    slappasswd = shutil.which("slappasswd", path="/usr/sbin:/usr/bin")
    hashes = {}
    for scheme, modules in SLAPPASSWD.items():
        password = secrets.token_urlsafe(9)
        r = subprocess.run([slappasswd, "-h", scheme, "-c", "$6$%.16s", *(w for m in modules for w in ("-o", f"module-load={m}")), "-s", password],
                           capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, r
        hashes[scheme] = r.stdout.strip(), password
    check(*serve(make_pool, hashes))


def test_userdbpw(make_pool):
    hashes = {}
    for option in USERDBPW:
        password = secrets.token_urlsafe(9)
        r = subprocess.run([os.path.join(PREFIX, "bin/userdbpw"), *option.split()], input=password + "\n", capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, r
        hashes[option] = r.stdout.strip(), password
    check(*serve(make_pool, hashes))


def test_too_costly(make_pool):
    """A typo costs neither memory nor time, does not count as a wrong password, and is reported."""
    pool, accounts = serve(make_pool, {
        "memory": ("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY", "secret"),
        "rounds": ("{PBKDF2}$1$agnRjXscNZqoRDdd$1000000000$92d5f0094374fa4a24bddbfd1049325d1203bfc0", "secret"),
        "version": ("$argon2id$v=99$m=1024,t=1,p=1$c2FsdHNhbHQ$Opr6AcVo4GC9229xIEplC5QL4zRSRdWVmAbPbsVfhTY", "secret")})
    node = pool.nodes[0]
    for account, why in zip(accounts.values(), ("cost of the Argon2 hash is too high", "rounds of the PBKDF2 hash are not a number", "unknown version")):
        with Imap("127.0.0.1", pool.imap_port) as c:
            assert c.login(account.name, "secret").text.startswith(b"NO [UNAVAILABLE]")
        wait_for(f"the log tells: {why}", lambda w=why: w in node.log())
