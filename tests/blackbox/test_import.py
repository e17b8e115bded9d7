"""import-courier on the files of Debian's Courier packages, original and filled in, and logins with its result."""
import os
import pathlib
import pwd
import re
import shutil
import sqlite3
import stat
import subprocess
import tempfile

import pytest

from client import Imap, Pop3
from debian import Unpacked
from pool import GID, PREFIX, UID, Account, chown, sha

pytestmark = pytest.mark.once

PACKAGES = ["courier-imap", "courier-pop", "courier-base", "courier-authlib", "courier-authdaemon", "courier-authlib-userdb",
            "courier-authlib-ldap", "courier-authlib-mysql", "courier-authlib-postgresql", "courier-authlib-sqlite"]
FILES = ["imapd", "imapd-ssl", "pop3d", "pop3d-ssl", "authdaemonrc", "authldaprc", "authmysqlrc", "authpgsqlrc", "authsqliterc"]


@pytest.fixture(scope="module")
def debs():
    packages = Unpacked(*PACKAGES)
    yield packages
    packages.close()


@pytest.fixture
def place():
    """A folder that the nodes, which run as an ordinary user, can read."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wp-import-", dir="/tmp"))
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


def certificate(path):
    """A key and a certificate of one node only, as Debian's postinst makes them."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-keyout", path, "-out", f"{path}.crt", "-subj", "/CN=node"],
                   capture_output=True, check=True, timeout=120)
    path.write_text(path.read_text() + pathlib.Path(f"{path}.crt").read_text())
    path.chmod(0o600)


@pytest.fixture
def etc(debs, place):
    """A copy of Debian's /etc/courier, and the certificates that its packages make where they are installed."""
    shutil.copytree(debs.path("etc/courier"), place / "etc")
    for name in ("imapd", "pop3d"):
        certificate(place / f"{name}.pem")
        put(place / "etc" / f"{name}-ssl", TLS_CERTFILE=place / f"{name}.pem")
    return place / "etc"


def run(*args, status):
    r = subprocess.run([os.path.join(PREFIX, "bin/import-courier"), *map(str, args)], capture_output=True, text=True, timeout=120)
    assert r.returncode == status, r
    assert "Traceback" not in r.stderr
    return r


def put(path, **values):
    """Gives settings of a shell file other values, where the file has them or at its end; the text is the caller's."""
    text = path.read_text()
    for name, value in values.items():
        text, n = re.subn(rf"(?m)^{name}=.*$", lambda m, n=name, v=value: f"{n}={v}", text, count=1)
        if not n:
            text += f"{name}={value}\n"
    path.write_text(text)


def put_rc(path, text, *without):
    """Puts TEXT at the front, where it takes effect, and comments out the names in WITHOUT."""
    old = path.read_text()
    for name in without:
        old = re.sub(rf"(?m)^{name}\b", f"#{name}", old)
    path.write_text(text + old)


def values(text):
    """{(group, name): value} of a waypost.conf that the script wrote."""
    found, group = {}, ""
    for line in text.splitlines():
        if m := re.match(r"(\S+) = \{$", line):
            group = m.group(1)
        elif m := re.match(r'\t(\S+) = (?:([0-9]+)|"(.*)");$', line):
            found[group, m.group(1)] = m.group(2) or m.group(3).replace("$${", "${").replace('\\"', '"').replace("\\\\", "\\")
        elif m := re.match(r'POOL_SECRETFILE = "(.*)";$', line):
            found["", "POOL_SECRETFILE"] = m.group(1)
        elif line not in ("", "};"):
            assert line.startswith("#"), line
    return found


def check(path):
    """`waypost check` finds no mistake in the file; that this machine lacks the daemon's users is none of the file's."""
    r = subprocess.run([os.path.join(PREFIX, "bin/waypost"), "-c", str(path), "check"], capture_output=True, text=True, timeout=60)
    mistakes = [line for line in (r.stdout + r.stderr).splitlines() if re.match(rf"{re.escape(str(path))}:", line)]
    assert [line for line in mistakes if not re.search(r"there is no user| mistakes?( found)?$", line)] == []


def test_untouched(etc, place):
    out = place / "waypost.conf"
    r = run(etc, "-o", out, status=1)
    text = out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600  # there may be passwords in it
    check(out)
    found = values(text)
    assert ("imapd", "MAXPERIP") in found and ("pop3d", "MAXPERIP") in found
    assert ("imapd", "PORT") not in found  # this name exists here, too
    assert "authmysqlrc" not in {g for g, _ in found}  # the file exists, but is not used
    # What is enabled in Debian's files but unsupported here is reported, with place and reason.
    lost = [line for line in r.stderr.splitlines() if line.startswith("  lost: ")]
    assert any("IMAP_EMPTYTRASH (imapd:" in line and "nothing is removed" in line for line in lost)
    assert "# LOST: IMAP_EMPTYTRASH" in text
    # Every name that the files set is a setting, a comment, or as Waypost has it anyway.
    default = {(g, n) for g, n, *_, d in rows() if d}
    for name in FILES[:5]:
        for setting in re.findall(r"(?m)^([A-Za-z_0-9]+)=", (etc / name).read_text()):
            off = re.search(rf'(?m)^{setting}=(""|0|NO|NONE|"\$TLS_PROTOCOL")?$', (etc / name).read_text())
            assert (name, setting) in found or re.search(rf"(?m)^# (LOST: )?{setting}\b", text) or (name, setting) in default or off, (name, setting)
    # Standard output is the same, and no file is overwritten.
    assert run(etc, status=1).stdout == text
    assert "not overwritten" in run(etc, "-o", out, status=2).stderr


@pytest.mark.parametrize("users", [True, False])
@pytest.mark.skipif(os.getuid() != 0, reason="only root can lay other files over /etc")
def test_what_check_says_of_the_machine_is_no_loss(etc, place, users):
    """Whether the daemon's users exist or not; and the script's own copy for check is not mentioned."""
    for name in ("passwd", "group"):
        lines = [line for line in pathlib.Path("/etc", name).read_text().splitlines() if not line.startswith("waypost")]
        tail = {"passwd": "::/nonexistent:/usr/sbin/nologin", "group": ""}[name]
        more = [f"{user}:x:{number}:{number}{tail}" if name == "passwd" else f"{user}:x:{number}:"
                for user, number in (("waypost", 990), ("waypostauth", 991))] if users else []
        (place / name).write_text("\n".join(lines + more) + "\n")
    put(etc / "authdaemonrc", authmodulelist='"authmysql"')
    put_rc(etc / "authmysqlrc", "MYSQL_SERVER db.example.com\nMYSQL_USERNAME u\nMYSQL_PASSWORD secret\nMYSQL_DATABASE d\nMYSQL_USER_TABLE t\n"
           "MYSQL_CRYPT_PWFIELD c\n", "MYSQL_[A-Z_]*")
    other = ["unshare", "-m", "sh", "-c", f'for f in passwd group; do mount --bind {place}/$f /etc/$f || exit 9; done; exec "$@"', "sh"]
    if subprocess.run([*other, "true"], capture_output=True).returncode != 0:
        pytest.skip("the kernel lets us have no mounts of our own")
    r = subprocess.run([*other, os.path.join(PREFIX, "bin/import-courier"), str(etc)], capture_output=True, text=True, timeout=120)
    assert r.returncode == 1 and "[authmysql" not in r.stderr and "MYSQL_PASSWORD" in r.stdout, r
    for line in r.stderr.splitlines():
        assert not re.search(r"this node is|also called|fingerprint|limit of|descriptors|everybody on this machine|: ok", line), r.stderr
        assert not line.startswith("  lost: to be repaired"), r.stderr
    assert ("there is no user" in r.stderr) is not users


def test_what_is_kept_without_its_effect_is_lost_too(etc, place):
    """Settings that are accepted here but do not do what they do in Courier: each is reported, and stays in the file."""
    put(etc / "authdaemonrc", authmodulelist='"authmysql authpgsql authldap authsqlite"', DEFAULTOPTIONS='"disableinsecureimap=1,disablepop3=1,sharedgroup=a"')
    put(etc / "imapd", TCPDOPTS='"-nodnslookup -noidentlookup -haproxy -block=zen.example.com"', ADDRESS="198.51.100.77",
        IMAP_CAPABILITY='"IMAP4rev1 UIDPLUS CHILDREN NAMESPACE QUOTA IDLE"', MAILDIR_SKIP_SYMLINK_CHECKS="1")
    put(etc / "pop3d", TCPDOPTS='"-nodnslookup -noidentlookup"')
    put(etc / "imapd-ssl", TLS_CERTFILE='""')
    for name, quota in ("authmysqlrc", "MYSQL_QUOTA_FIELD"), ("authpgsqlrc", "PGSQL_QUOTA_FIELD"), ("authsqliterc", "SQLITE_QUOTA_FIELD"), \
            ("authldaprc", "LDAP_MAILDIRQUOTA"):
        put_rc(etc / name, f"{quota} quota\n", "MYSQL_SELECT_CLAUSE", "PGSQL_SELECT_CLAUSE", "SQLITE_SELECT_CLAUSE")
    r = run(etc, "-o", place / "waypost.conf", status=1)
    lost = "\n".join(line for line in r.stderr.splitlines() if line.startswith("  lost: "))
    for name in ("MYSQL_QUOTA_FIELD (authmysqlrc:", "PGSQL_QUOTA_FIELD (authpgsqlrc:", "SQLITE_QUOTA_FIELD (authsqliterc:", "LDAP_MAILDIRQUOTA (authldaprc:"):
        assert re.search(rf"lost: .*{re.escape(name)}.*: not in this version: quotas", lost), r.stderr
    for words in ("IMAP logins of all accounts are refused, because there is no TLS_CERTFILE", "POP3 logins of all accounts are refused, except",
                  "not in this version: shared folders", "TCPDOPTS (imapd:", "-haproxy -block=zen.example.com: ", "symbolic links"):
        assert words in lost, (words, r.stderr)
    assert "TCPDOPTS (pop3d" not in r.stderr
    note = next(line for line in r.stderr.splitlines() if line.startswith("  note: IMAP_CAPABILITY"))
    assert "not offered LITERAL+ SASL-IR ID ENABLE UNSELECT MOVE" in note and "remove the line" in note
    assert "  note: imapd.ADDRESS: this machine does not have the address 198.51.100.77" in r.stderr and "ADDRESS (imapd" not in lost
    found = values((place / "waypost.conf").read_text())
    assert found["authmysqlrc", "MYSQL_QUOTA_FIELD"] == found["authldaprc", "LDAP_MAILDIRQUOTA"] == "quota"
    assert found["imapd", "ADDRESS"] == "198.51.100.77" and found["authdaemonrc", "DEFAULTOPTIONS"].startswith("disableinsecureimap=1")
    assert "# LOST: MYSQL_QUOTA_FIELD" in (place / "waypost.conf").read_text()


def rows():
    with open(os.path.join(PREFIX, "share/waypost/courier-settings.tsv")) as f:
        return [line.rstrip("\n").split("\t") for line in f][1:]


def test_nothing_lost(etc, place):
    """A site that has disabled what is unsupported here gets no complaints."""
    for name in ("imapd-ssl", "pop3d-ssl"):
        (etc / name).unlink()
    put(etc / "imapd", IMAP_ACL="0", IMAP_ULIMITD='""', IMAP_TRASHFOLDERNAME="", IMAP_EMPTYTRASH="", HEADERFROM="''", IMAP_CAPABILITY_TLS="",
        IMAP_CAPABILITY='"IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE"', IMAPACCESSFILE="")
    put(etc / "pop3d", MIME_UNICODE_MESSAGE_TYPE="", POP3DSTART="NO")
    put(etc / "authdaemonrc", authmodulelist="'authuserdb'")
    (etc / "userdb").write_text("")
    r = run(etc, "-o", place / "waypost.conf", status=0)
    assert " 0 lost\n" in r.stderr
    text = (place / "waypost.conf").read_text()
    assert values(text)["authuserdb", "USERDB"] == str(etc / "userdb")
    assert "pop3d = {" not in text and "pop3d is not served: POP3DSTART" in text
    check(place / "waypost.conf")


def test_shell_syntax(etc, place):
    """Parsed like sh, but never executed."""
    mark = place / "mark"
    put(etc / "imapd", MAXDAEMONS="'77' # not 78", MAXPERIP="4\nMAXPERIP=5", SITE='"example"', DEFDOMAIN='"@${SITE}."com', DOMAINSEP="\\@\\%", MAILDIRPATH='"Mail dir"',
        PROXY_HOSTNAME='$UNSET"a"\'b\'c', IMAP_UMASK="077", IMAP_IDLE_TIMEOUT="60; IMAP_KEYWORDS=0",
        IMAP_ID_FIELDS=f"`touch {mark}`", IMAP_OBSOLETE_CLIENT=f"$(touch {mark})", IMAP_CHECK_ALL_FOLDERS="1 && touch x",
        IMAP_LOG_DELETIONS='"1', ADDRESS="127.0.0.1\nexport ADDRESS\nif true; then PORT=9; fi")
    r = run(etc, "-o", place / "waypost.conf", status=1)
    assert not mark.exists()
    found = {name: v for (group, name), v in values((place / "waypost.conf").read_text()).items() if group == "imapd"}
    want = {"MAXDAEMONS": "77", "MAXPERIP": "5", "DEFDOMAIN": "@example.com", "DOMAINSEP": "@%", "MAILDIRPATH": "Mail dir", "PROXY_HOSTNAME": "abc",
            "IMAP_UMASK": "077", "IMAP_KEYWORDS": "0", "ADDRESS": "127.0.0.1"}
    assert {k: found.get(k) for k in want} == want
    for name in ("IMAP_ID_FIELDS", "IMAP_OBSOLETE_CLIENT", "IMAP_LOG_DELETIONS", "if"):
        assert name not in found
        assert f"{name} (imapd:" in r.stderr
    check(place / "waypost.conf")


def test_cut_anywhere(etc):
    """A file that is cut anywhere is read to its end, and what is complete in it counts."""
    program = os.path.join(PREFIX, "bin/import-courier")
    script = {"__name__": "import_courier", "__file__": program}
    with open(program) as f:
        exec(compile(f.read(), program, "exec"), script)
    shell_file, rc_file = script["ShellFile"], script["rc_file"]
    text = "A=1\nexport A B\nC='x y'\"$A ${A} \\\" z\"\\\n w # c\nif test `x`; then D=$(y); fi\nE=\"a\n  b\"; F=${A:-1}\n"
    whole = [(name, value) for _, name, value in shell_file(text, {}).found]
    assert whole == [("A", "1"), ("C", 'x y1 1 " z'), ("E", "a\n  b")]
    for n in range(len(text)):
        found = [(name, value) for _, name, value in shell_file(text[:n], {}).found]
        assert all(pair in whole for pair in found[:-1]), n
    rc = (etc / "authmysqlrc").read_text() + "A b \\\n c \\"
    assert list(rc_file(rc))[-1][1:] == ("A", "b c")
    for n in range(0, len(rc), 7):
        list(rc_file(rc[:n]))


def test_words(etc, place):
    """A list only loses the words that cannot stay."""
    put(etc / "imapd", IMAP_CAPABILITY='"IMAP4rev1 UIDPLUS QUOTA AUTH=DIGEST-MD5 AUTH=PLAIN IDLE"')
    put(etc / "pop3d", POP3AUTH='"PLAIN NTLM LOGIN"')
    put(etc / "authdaemonrc", authmodulelist='"authcustom authuserdb authsqlite"')
    put_rc(etc / "authsqliterc", f"SQLITE_DATABASE {place}/db\n", "SQLITE_DATABASE")
    (place / "db").write_bytes(b"")
    r = run(etc, "-o", place / "waypost.conf", status=1)
    found = values((place / "waypost.conf").read_text())
    assert found["imapd", "IMAP_CAPABILITY"] == "IMAP4rev1 UIDPLUS AUTH=PLAIN IDLE"
    assert ("pop3d", "POP3AUTH") not in found or found["pop3d", "POP3AUTH"] == "PLAIN LOGIN"
    assert found["authdaemonrc", "authmodulelist"] == "authuserdb authsqlite"
    for lost in ("IMAP_CAPABILITY QUOTA (imapd:", "IMAP_CAPABILITY AUTH=DIGEST-MD5 (imapd:", "POP3AUTH NTLM (pop3d:", "authmodulelist authcustom (authdaemonrc:"):
        assert lost in r.stderr


def test_directories(etc, place):
    """Every kind of rc file, with values that libconfig and we would read differently."""
    put(etc / "authdaemonrc", authmodulelist='"authldap authmysql authpgsql authsqlite authcustom"', daemons="9",
        DEFAULTOPTIONS='"disablepop3=1,mailhost=a"', LDAPTLS_CACERT="/etc/ssl/ca.pem", LDAPTLS_NEW="x")
    put_rc(etc / "authldaprc", 'LDAP_URI\t\tldap://a.example.com   ldap://b.example.com  \nLDAP_BASEDN o="A \\\\ B", c=DE\nLDAP_URI second\n'
           "LDAP_BINDDN cn=${admin},dc=x\nLDAP_BINDPW pa\"ss\\\\wo#rd\nLDAP_INITBIND 1\nLDAP_NONSENSE 1\nLDAP_CRYPTPW userPassword\nLDAP_GLOB_UID 1000\nLDAP_GLOB_GID 1000\n"
           "LDAP_AUXOPTIONS mailHost=mailhost,noImap=disableimap\nLDAP_TIMEOUT 7\n", "LDAP_[A-Z]*")
    put_rc(etc / "authmysqlrc", "MYSQL_SERVER db\nMYSQL_USERNAME u\nMYSQL_PASSWORD p\nMYSQL_DATABASE d\n"
           "MYSQL_SELECT_CLAUSE SELECT login,    \\\n      CONCAT('{MD5}', pw), '', uid, gid, \\\n\thome \\\n FROM t WHERE login = '$(local_part)@$(domain)'\n"
           "MYSQL_CHPASS_CLAUSE UPDATE x\n", "MYSQL_[A-Z]*", "DEFAULT_DOMAIN")
    put_rc(etc / "authpgsqlrc", "PGSQL_CONNECTION host=x user=y password='a b' dbname=z\nPGSQL_AUXOPTIONS_FIELD 'mailhost=' || mailhost\n", "PGSQL_[A-Z]*", "DEFAULT_DOMAIN")
    put_rc(etc / "authsqliterc", f"SQLITE_DATABASE {place}/db\n", "SQLITE_DATABASE")
    (place / "db").write_bytes(b"")
    r = run(etc, "-o", place / "waypost.conf", status=1)
    found = values((place / "waypost.conf").read_text())
    want = {("authdaemonrc", "authmodulelist"): "authldap authmysql authpgsql authsqlite", ("authdaemonrc", "daemons"): "9",
            ("authdaemonrc", "DEFAULTOPTIONS"): "disablepop3=1,mailhost=a", ("authdaemonrc", "LDAPTLS_CACERT"): "/etc/ssl/ca.pem",
            ("authldaprc", "LDAP_URI"): "ldap://a.example.com   ldap://b.example.com", ("authldaprc", "LDAP_BASEDN"): 'o="A \\\\ B", c=DE',
            ("authldaprc", "LDAP_BINDDN"): "cn=${admin},dc=x", ("authldaprc", "LDAP_BINDPW"): 'pa"ss\\\\wo#rd', ("authldaprc", "LDAP_INITBIND"): "1",
            ("authldaprc", "LDAP_AUXOPTIONS"): "mailHost=mailhost,noImap=disableimap", ("authldaprc", "LDAP_TIMEOUT"): "7",
            ("authmysqlrc", "MYSQL_SELECT_CLAUSE"): "SELECT login, CONCAT('{MD5}', pw), '', uid, gid, home FROM t WHERE login = '$(local_part)@$(domain)'",
            ("authpgsqlrc", "PGSQL_CONNECTION"): "host=x user=y password='a b' dbname=z", ("authpgsqlrc", "PGSQL_AUXOPTIONS_FIELD"): "'mailhost=' || mailhost"}
    assert {k: found.get(k) for k in want} == want
    for lost in ("authmodulelist authcustom (authdaemonrc:", "LDAP_NONSENSE (authldaprc:"):
        assert lost in r.stderr
    assert 'pa"ss' not in r.stderr
    check(place / "waypost.conf")


def ports(etc, pool):
    put(etc / "imapd", ADDRESS="127.0.0.1", PORT=f'"{pool.imap_port}"', IMAP_CAPABILITY='"IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE"')
    put(etc / "pop3d", ADDRESS="127.0.0.1", PORT=f"'{pool.pop3_port}'")
    for name in ("imapd-ssl", "pop3d-ssl"):
        (etc / name).unlink()


def log_in(pool, account):
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login_ok(account)
        assert c.subjects()
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        assert c.login(account.name, account.password + "x").startswith(b"-ERR [AUTH]")
        c.login_ok(account)


def imported(make_pool, etc, account):
    """A pool whose configuration was imported; the account exists, but the pool's own userdb is not used."""
    pool = make_pool(nodes=1, start=False)
    pool.add(account, write=False)
    ports(etc, pool)
    return pool


def start(pool, conf):
    pool.write_conf(text=f'RUNDIR = "{pool.run}";\nLOG = "stderr";\nLOGIN_FAIL_DELAY = 0;\n' + conf.read_text())
    pool.start()


@pytest.mark.parametrize("kind", ["text", "gdbm"])
def test_userdb_logs_in(make_pool, debs, etc, place, kind):
    account = Account("jo@example.com", "secret")
    pool = imported(make_pool, etc, account)
    put(etc / "authdaemonrc", authmodulelist='"authuserdb"')
    (etc / "userdb").write_text("# people\n" + account.line())
    os.chmod(etc / "userdb", 0o600)
    conf = place / "waypost.conf"
    if kind == "gdbm":
        compile_userdb(debs, etc)
        (etc / "userdb").unlink()
        assert "-o" in run(etc, status=2).stderr  # where the text would go
    r = run(etc, "-o", conf, status=1)
    path = values(conf.read_text())["authuserdb", "USERDB"]
    assert path == str(etc / "userdb" if kind == "text" else place / "userdb")
    if kind == "gdbm":
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert sorted(open(path).read().split("\t")[1].strip().split("|")) == sorted(account.line().split("\t")[1].strip().split("|"))
    # Reported, or done if the daemon's user exists and the file is ours.
    assert "the daemon reads accounts as that user" in r.stderr or (kind == "gdbm" and os.stat(path).st_uid == pwd.getpwnam("waypostauth").pw_uid)
    chown(path)
    start(pool, conf)
    log_in(pool, account)


def compile_userdb(debs, etc):
    """Courier's makeuserdb, told where its helper was unpacked; with a record from uid to name, as pw2userdb makes them."""
    with open(etc / "userdb", "a") as f:
        f.write("65534=\tjo@example.com\n")
    script = etc / "makeuserdb"
    with open(debs.path("usr/sbin/makeuserdb")) as f:
        script.write_text(f.read().replace("/usr/lib/courier/", debs.path("usr/lib/courier/")))
    env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": ":".join(debs.path(p) for p in ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"))}
    r = subprocess.run(["perl", str(script), "-f", str(etc / "userdb")], env=env, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and (etc / "userdbshadow.dat").exists(), r


def test_sqlite_logs_in(make_pool, etc, place):
    account = Account("jo@example.com", "secret")
    pool = imported(make_pool, etc, account)
    db = sqlite3.connect(os.path.join(pool.root, "db"))
    with db:
        db.execute("CREATE TABLE people (name TEXT, pw TEXT, uid INT, gid INT, home TEXT)")
        db.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?)", ("jo", sha("secret"), account.uid, account.gid, account.home))
    db.close()
    chown(os.path.join(pool.root, "db"))
    put(etc / "authdaemonrc", authmodulelist='"authsqlite"')
    put(etc / "imapd", DEFDOMAIN="@example.com")
    put_rc(etc / "authsqliterc", f"SQLITE_DATABASE {pool.root}/db\nSQLITE_SELECT_CLAUSE SELECT name || '@example.com', pw, '', \\\n\t\tuid, gid, home \\\n"
           "\tFROM people WHERE name = '$(local_part)' AND '$(domain)' = 'example.com'\n", "SQLITE_DATABASE")
    run(etc, "-o", place / "waypost.conf", status=1)
    start(pool, place / "waypost.conf")
    log_in(pool, account)


def test_incomplete(etc, place):
    """What Courier's files leave undefined is reported, not hidden by removing other settings."""
    put(etc / "authdaemonrc", authmodulelist='"authldap authuserdb"')
    (etc / "userdb").symlink_to("/dev/null")
    put_rc(etc / "authldaprc", "LDAP_URI ldap://a.example.com\nLDAP_BASEDN o=x\n", "LDAP_[A-Z]*")
    (etc / "authldaprc").write_text("".join(line for line in (etc / "authldaprc").read_text().splitlines(True) if re.match("#|LDAP_(URI|BASEDN)", line)))
    r = run(etc, "-o", place / "waypost.conf", status=1)
    assert "to be repaired (waypost check): authldaprc: no way to check passwords" in r.stderr
    assert "to be repaired (waypost check): authuserdb.USERDB: /dev/null is neither a file nor a folder" in r.stderr
    found = values((place / "waypost.conf").read_text())
    assert found["authldaprc", "LDAP_URI"] == "ldap://a.example.com"
    assert found["authuserdb", "USERDB"] == "/dev/null"


def pool_of_couriers(etc, **files):
    """Courier's files of a node of a pool, with a certificate of its own."""
    put(etc / "imapd", IMAP_CAPABILITY='"IMAP4rev1 UIDPLUS"')
    put(etc / "authdaemonrc", authmodulelist='"authuserdb"')
    (etc / "userdb").write_text("")
    for name, values_ in files.items():
        put(etc / name, **values_)


@pytest.mark.parametrize("proxy", ["IMAP_PROXY", "POP3_PROXY"])
def test_a_pool_gets_one_secret_and_not_each_nodes_own(etc, place, proxy):
    """The result must not take the secret from the node's certificate: it names a file, which is not made on each node, and says what
    to do on one of them; with that done there is nothing left to repair."""
    pool_of_couriers(etc, **{proxy.split("_")[0].lower() + "d": {proxy: "1"}})
    (place / "a b").mkdir()
    secret, out = place / "a b" / "pool.secret", place / "a b" / "waypost.conf"
    r = run(etc, "-o", out, status=1)
    assert values(out.read_text())["", "POOL_SECRETFILE"] == str(secret)
    assert not secret.exists()
    told = [line for line in r.stderr.splitlines() if "to be repaired" in line]
    assert len(told) == 1 and "copy the file to all others" in told[0], r.stderr
    command = re.search(r"run (\(umask.*?\)) and copy", told[0]).group(1)
    # Without the file the daemon would not start, whatever certificates there are.
    checked = subprocess.run([os.path.join(PREFIX, "bin/waypost"), "-c", str(out), "check"], capture_output=True, text=True, timeout=60)
    assert "POOL_SECRETFILE" in checked.stdout + checked.stderr and checked.returncode == 1
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and len(secret.read_text()) == 65
    check(out)
    # The next node, to which the file was copied: nothing to repair.
    out.unlink()
    assert "to be repaired" not in run(etc, "-o", out, status=1).stderr
    assert values(out.read_text())["", "POOL_SECRETFILE"] == str(secret)


def test_no_pool_needs_no_secret(etc, place):
    pool_of_couriers(etc)
    r = run(etc, "-o", place / "waypost.conf", status=1)
    assert "to be repaired" not in r.stderr and "secret" not in r.stderr
    text = (place / "waypost.conf").read_text()
    assert ("", "POOL_SECRETFILE") not in values(text)
    assert '# Needed once IMAP_PROXY or POP3_PROXY is on: POOL_SECRETFILE = "/etc/waypost/pool.secret";' in text


def test_a_protocol_that_is_not_served_makes_no_pool(etc, place):
    pool_of_couriers(etc, pop3d={"POP3_PROXY": "1", "POP3DSTART": "NO"})
    run(etc, "-o", place / "waypost.conf", status=1)
    assert ("", "POOL_SECRETFILE") not in values((place / "waypost.conf").read_text())


def test_what_check_says_besides_is_not_lost(etc, place):
    """If there are no errors, `waypost check` reports the node and the system's limits: none of that needs repair."""
    for name in ("imapd-ssl", "pop3d-ssl"):
        (etc / name).unlink()
    put(etc / "authdaemonrc", authmodulelist="'authuserdb'")
    (etc / "userdb").write_text("# nobody yet\n")
    (etc / "userdb").chmod(0o600)
    ordinary = {"user": UID, "group": GID, "extra_groups": []} if os.getuid() == 0 else {}
    for path in [etc, *etc.rglob("*")]:
        chown(path)
    r = subprocess.run([os.path.join(PREFIX, "bin/import-courier"), str(etc)], capture_output=True, text=True, timeout=120, **ordinary)
    assert "settings converted" in r.stderr and "to be repaired" not in r.stderr, r.stderr


@pytest.mark.parametrize("group, start, starttls", [("imapd-ssl", "IMAPDSSLSTART", "IMAPDSTARTTLS"),
                                                    ("pop3d-ssl", "POP3DSSLSTART", "POP3_STARTTLS")])
def test_starttls_alone(etc, place, group, start, starttls):
    """A site without port 993 or 995 keeps its certificate for STARTTLS, and gets no such port; without both it has none."""
    required = group[:4].upper() + "_TLS_REQUIRED"
    for offered in ("YES", "NO"):
        put(etc / group, **{start: "NO", starttls: offered, required: "0", "SSLPORT": "1993"})
        text = run(etc, status=1).stdout
        found = text.partition(f"\n{group} = {{\n")[2].partition("\n}")[0]
        if offered == "YES":
            assert 'SSLPORT = "";' in found and "TLS_CERTFILE = " in found and f"{required} = 0;" in found
            assert f"# {required} is kept as it is" in text
        else:
            assert not found and f"# {group} is not served: {start}" in text


def test_refusals(etc, place):
    assert "is not a directory" in run(place / "nowhere", status=2).stderr
    (place / "empty").mkdir()
    assert "none of Courier's files" in run(place / "empty", status=2).stderr
    for name in ("userdb.dat", "userdbshadow.dat"):
        (etc / name).write_bytes(b"no database")
    put(etc / "authdaemonrc", authmodulelist='"authuserdb"')
    assert "userdb.dat" in run(etc, "-o", place / "x.conf", status=2).stderr
    assert not (place / "x.conf").exists() and not (place / "userdb").exists()
