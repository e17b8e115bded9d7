"""Accounts in PostgreSQL, MariaDB and OpenLDAP: the real servers, a pool of two nodes, and what happens when a server
goes away. No outage may ever look like a wrong password."""
import base64
import grp
import hashlib
import os
import re
import subprocess
import time

import pytest

import directories
from client import Imap, Pop3
from isolation import free_port
from pool import GID, PATIENCE, PREFIX, SANITIZED, SLOW, UID, Account, Pool, rss_kib, sha, wait_for

pytestmark = pytest.mark.once

ETC = os.path.join(os.path.dirname(__file__), "..", "..", "etc")
HERE, THERE, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
TRUSTED = "127.0.0.77"  # trusted about the client of its logins
LATE = 1.5 * SLOW  # "within a second or so"
WAIT = 2 * SLOW    # the settings' time limit for a server

# As they are stored, and as clients log in.
ODD = ["o'hara+tag@example.com", "per%cent@example.com", "st*r@example.com", "par(en)s@example.com", "back\\slash@example.com",
       'quo"te@example.com', "two  blanks@example.com", "a=b,c@example.com", "müller@example.com", "under_score@example.com", "plain"]
# Names that do not exist: each would match an account if it could break out of its quotes, or were used as a pattern.
NOBODY = ["' OR '1'='1", '" OR "1"="1', "\\' OR 1=1 -- ", "\\\\' OR 1=1 -- ", '\\" OR 1=1 # ', "x' UNION SELECT 'anna@example.com','','','1','1','/' -- ",
          "%", "anna%", "_nna@example.com", "*", "anna*", "(mail=*)", "*)(mail=*", "anna@example.com)(|(mail=*", "anna@example.com' ", ")", "(", "\\",
          "\\2a", "$(local_part)", "${HOSTNAME}", "@", "@example.com", "anna@", "'", "''", "\"", "`", "--", "x" * 500, "'" * 500, "\\" * 500,
          "(" * 500, b"\xe4nna@example.com", b"\xbf' OR 1=1 -- ", b"\xbf\x27", b"\xf0\x9f\x93\xa7@example.com", b"\xc3", b"\xff\xfe"]


def accounts():
    return [Account("anna@example.com", mailhost=HERE), Account("berta@example.com", mailhost=THERE), Account("dora@example.com"),
            Account("lena@example.com", mailhost=THERE, options="disablepop3=1"),
            Account("carla@example.com", mailhost=THIRD), Account("two@example.com", mailhost=f"127.0.0.9 {THIRD}", options="replicated=shared"),
            Account("mona@example.com", mailhost=THERE, options="disableimap=1"),
            Account("nora@example.com", mailhost=THERE, options="disableinsecureimap=1"),
            Account("olga@example.com", mailhost=THERE, options="disableinsecurepop3=1")] + \
           [Account(name, password="it's \\ \"so\"", mailhost=THERE) for name in ODD]


def text(value):
    """An SQL literal; both servers understand it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def insert(a, **more):
    f = {"name": a.name, "hash": sha(a.password), "uid": a.uid, "gid": a.gid, "home": a.home, "mailhost": a.mailhost, "options": a.options,
         **more}
    values = ", ".join(str(v) if isinstance(v, int) else text(v) for v in f.values())
    return f"INSERT INTO accounts ({', '.join(f)}) VALUES ({values});\n"


class Pgsql:
    module = "authpgsql"
    group = "authpgsqlrc"
    server = directories.Postgres

    def __init__(self):
        self.dir = self.server()
        self.dir.sql("CREATE DATABASE mail; CREATE ROLE waypost LOGIN PASSWORD 'se''cret';")
        with open(os.path.join(ETC, "sql", "postgresql.sql")) as f:
            self.dir.sql(f.read() + "GRANT SELECT ON accounts TO waypost;", "mail")

    def connection(self, hosts=HERE, more=""):
        return {"PGSQL_CONNECTION": f"host={hosts} port={self.dir.port} dbname=mail user=waypost password='se\\'cret' {more}"}

    def tls(self, ca):
        return self.connection(more=f"sslmode=verify-full sslrootcert={self.dir.file(ca)}"), {}

    def variants(self):
        columns = "SELECT name, hash, '', uid, gid, home, maildir, quota, fullname, 'mailhost=' || mailhost FROM accounts"
        yield "a clause", {"PGSQL_USER_TABLE": None, "DEFAULT_DOMAIN": "example.com", "PGSQL_SELECT_CLAUSE":
                           columns + " WHERE name = '$(local_part)@$(domain)' AND '$(service)' IN ('imap', 'pop3') -- it's $1"}, ["anna"]
        yield "older names, clear passwords, the README's spelling", {
            "PGSQL_CONNECTION": None, "PGSQL_HOST": HERE, "PGSQL_PORT": self.dir.port, "PGSQL_USERNAME": "waypost", "PGSQL_PASSWORD": "se'cret",
            "PGSQL_DATABASE": "mail", "PGSQL_OPT": "-c search_path=public", "PGSQL_CRYPT_PWFIELD": None, "PGSQL_CLEAR_PWFIELD": "'secret-' || name",
            "PGSQL_AUXOPTIONS_FIELD": None, "PGSQL_AUXOPTIONS": "'mailhost=' || mailhost", "PGSQL_WHERE_CLAUSE": "'a' = 'b' OR true",
            "DEFAULT_DOMAIN": "example.com", "PGSQL_LOGIN_FIELD": "lower(name)"}, ["anna"]
        yield "Latin-1", {"PGSQL_CHARACTER_SET": "LATIN1"}, []

    def settings(self, hosts=HERE):
        return {**self.connection(hosts), "PGSQL_TIMEOUT": WAIT, "PGSQL_USER_TABLE": "accounts", "PGSQL_LOGIN_FIELD": "name",
                "PGSQL_CRYPT_PWFIELD": "hash", "PGSQL_NAME_FIELD": "fullname", "PGSQL_MAILDIR_FIELD": "maildir", "PGSQL_QUOTA_FIELD": "quota",
                "PGSQL_AUXOPTIONS_FIELD": "concat_ws(',', 'mailhost=' || nullif(mailhost, ''), nullif(options, ''))",
                "PGSQL_WHERE_CLAUSE": "active"}

    def two(self):
        return self.settings("127.0.0.9," + HERE)

    def add(self, accounts):
        self.dir.sql("SET standard_conforming_strings = off; SET escape_string_warning = off; BEGIN;\n" +
                     "".join(insert(a) for a in accounts) + "COMMIT;", "mail")

    def damage(self, name, field):
        self.dir.sql({"uid": "ALTER TABLE accounts DROP CONSTRAINT IF EXISTS accounts_uid_check;",
                      "home": "ALTER TABLE accounts DROP CONSTRAINT IF EXISTS accounts_home_check;"}.get(field, ""), "mail")
        value = {"uid": "0", "home": "''", "options": r"E'x\ny'"}[field]
        self.dir.sql(f"UPDATE accounts SET {field} = {value} WHERE name = '{name}';", "mail")

    def password(self, name, hash):
        self.dir.sql(f"UPDATE accounts SET hash = '{hash}' WHERE name = '{name}';", "mail")


class Mysql:
    module = "authmysql"
    group = "authmysqlrc"
    server = directories.Mariadb

    def __init__(self):
        self.dir = self.server()
        self.dir.sql("CREATE DATABASE mail; CREATE USER waypost IDENTIFIED BY 'se\\'cret'; GRANT SELECT ON mail.* TO waypost;"
                     # The worst settings of a server.
                     "SET GLOBAL sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES';")
        with open(os.path.join(ETC, "sql", "mysql.sql")) as f:
            self.sql(f.read())

    def sql(self, query):
        return self.dir.sql("SET sql_mode = '';\n" + query, "mail")

    def settings(self, hosts=HERE):
        return {"MYSQL_SERVER": hosts, "MYSQL_PORT": self.dir.port, "MYSQL_USERNAME": "waypost", "MYSQL_PASSWORD": "se'cret",
                "MYSQL_DATABASE": "mail", "MYSQL_TIMEOUT": WAIT, "MYSQL_USER_TABLE": "accounts", "MYSQL_LOGIN_FIELD": "name",
                "MYSQL_CRYPT_PWFIELD": "hash", "MYSQL_NAME_FIELD": "fullname", "MYSQL_MAILDIR_FIELD": "maildir", "MYSQL_QUOTA_FIELD": "quota",
                "MYSQL_AUXOPTIONS_FIELD": "CONCAT_WS(',', CONCAT('mailhost=', NULLIF(mailhost, '')), NULLIF(options, ''))",
                "MYSQL_WHERE_CLAUSE": "active"}

    def two(self):
        return self.settings("127.0.0.9 " + HERE)

    def tls(self, ca):
        return {"MYSQL_SSL_CACERT": self.dir.file(ca)}, {}

    def variants(self):
        columns = "SELECT name, hash, '', uid, gid, home, maildir, quota, fullname, CONCAT(\"mailhost=\", mailhost) FROM accounts"
        for quote in ("'", '"'):
            yield f"a clause with {quote}", {"MYSQL_USER_TABLE": None, "DEFAULT_DOMAIN": "example.com", "MYSQL_SELECT_CLAUSE":
                                             columns + f" WHERE name = CONCAT({quote}$(local_part){quote}, {quote}@$(domain){quote}) # it's"}, ["anna"]
        yield "a socket, clear passwords, the README's spelling", {
            "MYSQL_SERVER": None, "MYSQL_SOCKET": self.dir.socket, "MYSQL_CRYPT_PWFIELD": None, "MYSQL_CLEAR_PWFIELD": "CONCAT('secret-', name)",
            "MYSQL_AUXOPTIONS_FIELD": None, "MYSQL_AUXOPTIONS": "CONCAT('mailhost=', mailhost)", "MYSQL_WHERE_CLAUSE": "'a' = 'b' OR true",
            "DEFAULT_DOMAIN": "example.com"}, ["anna"]
        yield "Latin-1", {"MYSQL_CHARACTER_SET": "latin1"}, []
        yield "GBK, in which a letter can end in a backslash", {"MYSQL_CHARACTER_SET": "gbk"}, []

    def add(self, accounts):
        self.sql("BEGIN;\n" + "".join(insert(a) for a in accounts) + "COMMIT;")

    def damage(self, name, field):
        value = {"uid": "0", "home": "''", "options": "'x\\ny'"}[field]
        self.sql(f"SET check_constraint_checks = 0; UPDATE accounts SET {field} = {value} WHERE name = '{name}';")

    def password(self, name, hash):
        self.sql(f"UPDATE accounts SET hash = '{hash}' WHERE name = '{name}';")


def b64(value):
    return base64.b64encode(value.encode()).decode()


class Ldap:
    module = "authldap"
    group = "authldaprc"
    server = directories.Slapd
    people = "ou=people,dc=example,dc=com"

    def __init__(self):
        # The schema as slapd.conf has it; its LDIF form and the sample accounts are loaded by test_ldap_samples.
        self.dir = self.server(["/etc/ldap/schema/misc.schema", os.path.join(ETC, "ldap", "waypost.schema")])
        with open(os.path.join(ETC, "ldap", "accounts.ldif")) as f:
            self.dir.ldif(f.read())

    def settings(self, uris=None):
        return {"LDAP_URI": uris or self.dir.uri, "LDAP_BASEDN": self.people, "LDAP_INITBIND": 1, "LDAP_BINDDN": self.dir.admin,
                "LDAP_BINDPW": "admin", "LDAP_TIMEOUT": WAIT, "LDAP_HOMEDIR": "homeDirectory", "LDAP_MAILDIR": "waypostMaildir",
                "LDAP_FULLNAME": "cn", "LDAP_CRYPTPW": "userPassword", "LDAP_UID": "uidNumber", "LDAP_GID": "gidNumber",
                "LDAP_AUXOPTIONS": "waypostMailHost=mailhost,waypostDisablePop3=disablepop3,waypostDisableImap=disableimap,"
                                  "waypostDisableInsecureImap=disableinsecureimap,waypostDisableInsecurePop3=disableinsecurepop3,waypostReplicated=replicated"}

    def two(self):
        return self.settings(f"ldap://127.0.0.9:{self.dir.port} {self.dir.uri}")

    def tls(self, ca):
        return {"LDAP_TLS": 1}, {"LDAPTLS_CACERT": self.dir.file(ca)}

    def variants(self):
        yield "bind as the account, search as nobody", {"LDAP_AUTHBIND": 1, "LDAP_INITBIND": 0, "LDAP_BINDPW": None, "LDAP_CRYPTPW": None}, []
        yield "bind as the account, search as the reader", {"LDAP_AUTHBIND": 1}, []
        yield "a domain and a filter", {"LDAP_DOMAIN": "example.com", "LDAP_FILTER": "(&(objectClass=waypostAccount)(uidNumber=*))",
                                        "LDAP_DEREF": "always", "LDAP_PROTOCOL_VERSION": 3}, ["anna"]
        yield "mapped names", {"LDAP_EMAILMAP": "(&(objectClass=inetOrgPerson)(mail=@user@@@realm@))", "LDAP_EMAILMAP_BASEDN": self.people,
                               "LDAP_EMAILMAP_ATTRIBUTE": "cn", "LDAP_EMAILMAP_MAIL": "cn"}, []
        yield "ids for all", {"LDAP_UID": None, "LDAP_GID": None, "LDAP_GLOB_UID": UID, "LDAP_GLOB_GID": grp.getgrgid(GID).gr_name}, []

    def dn(self, name):
        return f"cn={hashlib.sha1(name.encode()).hexdigest()},{self.people}"

    def add(self, accounts):
        for a in accounts:
            lines = [f"dn: {self.dn(a.name)}", "objectClass: inetOrgPerson", "objectClass: waypostAccount", "sn: x",
                     f"mail:: {b64(a.name)}", f"userPassword:: {b64(sha(a.password))}", f"uidNumber: {a.uid}", f"gidNumber: {a.gid}",
                     f"homeDirectory:: {b64(a.home)}"]
            if a.mailhost:
                lines.append(f"waypostMailHost: {a.mailhost}")
            for option in filter(None, a.options.split(",")):
                lines.append(f"waypost{option.replace('=', ': ')}")
            self.dir.ldif("\n".join(lines) + "\n")

    def add_at_once(self, accounts):
        self.dir.ldif("\n".join(f"dn: {self.dn(a.name)}\nobjectClass: inetOrgPerson\nobjectClass: waypostAccount\nsn: x\nmail: {a.name}\n"
                                f"uidNumber: {a.uid}\ngidNumber: {a.gid}\nhomeDirectory: {a.home}\n" for a in accounts))

    def change(self, name, what):
        self.dir.ldif(f"dn: {self.dn(name)}\nchangetype: modify\n{what}\n")

    def damage(self, name, field):
        self.change(name, {"uid": "replace: uidNumber\nuidNumber: 0", "home": "delete: homeDirectory",
                           "options": f"replace: waypostMailHost\nwaypostMailHost:: {b64('x' + chr(10) + 'y')}"}[field])

    def password(self, name, hash):
        self.change(name, f"replace: userPassword\nuserPassword:: {b64(hash)}")


KINDS = [Pgsql, Mysql, Ldap]


# Each login queries the directory; the cache has its own tests (test_cache.py).
NO_CACHE = {"AUTH_CACHE_TTL": 0, "AUTH_CACHE_NEGATIVE_TTL": 0, "AUTH_CACHE_STALE": 0}


def start_pool(kind, settings=None, nodes=2, group=None, start=True):
    return Pool(nodes=nodes, start=start, settings={"authdaemonrc": {"authmodulelist": kind.module, "daemons": 2, **NO_CACHE}, "proxy": {"PROXY_TRUSTED": TRUSTED},
                                       kind.group: {**(group or kind.settings()), **(settings or {})}})


@pytest.fixture(scope="module", params=KINDS, ids=lambda k: k.__name__.lower())
def site(request):
    """(directory, pool of three nodes)"""
    kind = request.param()
    try:
        with start_pool(kind, nodes=3) as p:
            for a in accounts():
                # LDAP's attribute mail is ASCII.
                if a.name.isascii() or kind.module != "authldap":
                    p.add(a, write=False)
            p.write_userdb("")
            kind.add(p.accounts.values())
            kind.pool = p
            yield kind, p
    finally:
        kind.dir.close()


def imap(p, node, name, password):
    with Imap(node, p.imap_port) as c:
        return c.login(name, password)


def pop3(p, node, name, password):
    with Pop3(node, p.pop3_port) as c:
        return c.login(name, password)


def refused(reply):
    return not reply.ok and b"[AUTHENTICATIONFAILED]" in reply.text


def not_now(reply):
    return not reply.ok and b"[UNAVAILABLE]" in reply.text


def test_logins(site):
    kind, p = site
    for a in p.accounts.values():
        for node in (HERE, THERE):
            if a.options.endswith("imap=1"):
                continue
            with Imap(node, p.imap_port) as c:
                c.login_ok(a)
                assert c.subjects() == [f"{a.name} lives on {a.mailhost or 'any node'}"] or "ü" in a.name
            assert refused(imap(p, node, a.name, "wrong")), a.name
            assert refused(imap(p, node, a.name, "")), a.name
    for name in ("anna@example.com", "berta@example.com", "dora@example.com", "o'hara+tag@example.com"):
        for node in (HERE, THERE):
            assert pop3(p, node, name, p.accounts[name].password).startswith(b"+OK")
            assert pop3(p, node, name, "wrong").startswith(b"-ERR [AUTH]")


@pytest.mark.valgrind
def test_routes(site):
    kind, p = site
    mark = [n.log_mark() for n in p.nodes]
    assert imap(p, HERE, "berta@example.com", "secret-berta@example.com").ok
    p.nodes[1].wait_log(r"imapd: LOGIN, user=berta@example.com,", mark[1])
    r = p.nodes[0].tool("auth", "berta@example.com", input="secret-berta@example.com\n")
    assert r.returncode == 0, r
    for wanted in (f"driver: {kind.module}", "account: berta@example.com", f"uid: {UID}", f"gid: {GID}", f"options: mailhost={THERE}",
                   "the password is correct"):
        assert wanted in r.stdout, r.stdout
    assert p.nodes[0].tool("auth", "berta@example.com", input="wrong\n").returncode == 1
    assert f"IMAP: to {THERE}" in p.nodes[0].tool("route", "berta@example.com").stdout
    assert "no module in authmodulelist knows" in p.nodes[0].tool("route", "nobody@example.com").stdout


def test_three_nodes(site):
    """Each account by each node and protocol: the node that has the mail serves it, and nobody else."""
    _, p = site
    for name in ("anna@example.com", "berta@example.com", "carla@example.com", "two@example.com"):
        a = p.accounts[name]
        home = a.mailhost.split()[-1]
        for node in p.nodes:
            marks = [n.log_mark() for n in p.nodes]
            with Imap(node.address, p.imap_port) as c:
                c.login_ok(a)
                assert c.subjects() == [f"{name} lives on {a.mailhost}"]
            with Pop3(node.address, p.pop3_port) as c:
                c.login_ok(a)
                assert f"Subject: {name} lives on {a.mailhost}".encode() in b"\n".join(c.multi("RETR 1"))
            for other, mark in zip(p.nodes, marks):
                if other.address == home:
                    for program in ("imapd", "pop3d"):
                        assert "mailhost=local" in other.wait_log(f"{program}: LOGIN, user={name},", mark)
                elif other is node:
                    for program in ("imapd", "pop3d"):
                        assert f"backend=[{home}]" in other.wait_log(f"{program}: LOGIN, user={name},", mark)
                else:
                    assert f" LOGIN, user={name}" not in other.log_since(mark)


def attempts(p, node, name, source=None, told=None):
    """Logs in by IMAP and POP3; returns (IMAP's reply, POP3's). TOLD: what the client says about its own client."""
    password = p.accounts[name].password
    with Imap(node, p.imap_port, source=source) as c:
        if told:
            c.ok(f'ID ("x-session-id" "from-afar" "x-originating-ip" "192.0.2.7" "x-originating-port" "1234" "x-client-transport" "{told}")')
        one = c.login(name, password)
    with Pop3(node, p.pop3_port, source=source) as c:
        if told:
            c.cmd(f"XCLIENT ADDR=192.0.2.7 PORT=1234 SESSION=from-afar CLIENT-TRANSPORT={told}")
        two = c.login(name, password)
    return one.ok, two.startswith(b"+OK")


def test_options(site):
    """What an account must not use is refused by the node that the client uses, depending on the client's own connection."""
    kind, p = site
    there = p.nodes[1]
    for name, plain, tls in (("lena@example.com", (True, False), (True, False)), ("mona@example.com", (False, True), (False, True)),
                             ("nora@example.com", (False, True), (True, True)), ("olga@example.com", (True, False), (True, True))):
        mark = there.log_mark()
        assert attempts(p, HERE, name) == plain, name
        # Refused logins never reached the other node; the others were one login each there.
        there.wait_log("LOGIN, user=" + name, mark)
        log = [line for line in there.log_since(mark).splitlines() if "user=" + name in line]
        assert len([line for line in log if " LOGIN" in line]) == 1, log
        # The node that has the mail gets the client's address from the forwarding node, or from somebody else whom it does not
        # trust.
        assert attempts(p, THERE, name) == plain, name
        assert attempts(p, THERE, name, "127.0.0.78", "TLS") == plain, name
        for node in (HERE, THERE):
            assert attempts(p, node, name, TRUSTED, "TLS") == tls, (name, node)
            assert attempts(p, node, name, TRUSTED, "none") == plain, (name, node)


def test_shown_account(site):
    """waypost auth shows who answered, the record, the options, the route, and no secret."""
    kind, p = site
    node = p.nodes[0]
    for password, status, word in (("secret-lena@example.com", 0, "correct"), ("wrong", 1, "wrong")):
        r = node.tool("auth", "lena@example.com", input=password + "\n")
        a = p.accounts["lena@example.com"]
        assert r.returncode == status, r
        lines = r.stdout.splitlines()
        for wanted in (f"driver: {kind.module}", "account: lena@example.com", f"uid: {UID}", f"gid: {GID}", f"home: {a.home}",
                       "maildir: (MAILDIRPATH)", f"options: mailhost={THERE},disablepop3=1", "password: {SHA}", f"result: the password is {word}",
                       "POP3: refused, the account has the option disablepop3"):
            assert wanted in lines, (wanted, r.stdout)
        assert f"IMAP: to {THERE} port {p.imap_port}" in r.stdout
        assert a.password not in r.stdout + r.stderr and sha(a.password)[6:] not in r.stdout + r.stderr
    assert f"options: mailhost={THERE},disableinsecureimap=1\n" in node.tool("route", "nora@example.com").stdout
    assert "IMAP: refused for clients without TLS: the account has the option disableinsecureimap" in node.tool("route", "nora@example.com").stdout


def test_hostile_names(site):
    _, p = site
    mark = p.nodes[0].log_mark()
    with Imap(HERE, p.imap_port) as probe:
        probe.ok("NOOP")
    for name in NOBODY:
        raw = name if isinstance(name, bytes) else name.encode()
        reply = imap(p, HERE, raw, "x")
        assert refused(reply), (name, reply)
    for name in ("x" * 2000, "'" * 2000, "\\" * 2000, "\u00e4" * 1000):
        assert not imap(p, HERE, name, "x").ok
    for name in (b"anna@example.com\0", b"\0", b"an\0na@example.com"):
        with Imap(HERE, p.imap_port) as c:
            assert not c.cmd("LOGIN {%d}" % len(name), (name, b" {23}"), b"secret-anna@example.com").ok
        with Pop3(HERE, p.pop3_port) as c:
            c.cmd(b"USER " + name)
            assert not c.cmd("PASS secret-anna@example.com").startswith(b"+OK")
    # All of them were valid queries for the server.
    assert not re.search(r"query is refused|does not answer|cannot be used", p.nodes[0].log_since(mark))


def test_slow_hash_and_locked(site):
    kind, p = site
    # crypt(3) of "secret"
    kind.password("dora@example.com", "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.")
    assert imap(p, HERE, "dora@example.com", "secret").ok
    assert refused(imap(p, HERE, "dora@example.com", "secreT"))
    kind.password("dora@example.com", "!")
    assert refused(imap(p, HERE, "dora@example.com", "!"))
    kind.password("dora@example.com", "{NONSENSE}x")
    assert not_now(imap(p, HERE, "dora@example.com", "x"))
    # A changed password works at once.
    kind.password("dora@example.com", sha("secret-dora@example.com"))
    assert imap(p, HERE, "dora@example.com", "secret-dora@example.com").ok


DAMAGED = ("uid", "home", "options")  # the defect of the account with that name


def damage(kind, p):
    """Makes the damaged accounts, unless they exist."""
    broken = [Account(f"{field}@example.com") for field in DAMAGED]
    if broken[0].name in p.accounts:
        return
    for a in broken:
        p.add(a, write=False)
    kind.add(broken)
    for a in broken:
        kind.damage(a.name, a.name.partition("@")[0])


def test_damaged_records(site):
    kind, p = site
    node = p.nodes[0]
    damage(kind, p)
    mark = node.log_mark()
    assert not_now(imap(p, HERE, "uid@example.com", "secret-uid@example.com"))
    node.wait_log(r"record of uid@example.com cannot be used: its (uid|uidNumber) is 0", mark)
    assert refused(imap(p, HERE, "home@example.com", "secret-home@example.com"))
    assert not_now(imap(p, HERE, "options@example.com", "secret-options@example.com"))
    node.wait_log(r"record of options@example.com cannot be used: its options contains? a control character", mark)


def listing(node, *options):
    """(exit status, {name: line}, stderr) of waypost auth --enumerate"""
    r = node.tool("auth", "--enumerate", *options)
    lines = r.stdout.splitlines()
    named = {line.split("\t")[0]: line for line in lines}
    assert len(named) == len(lines), r.stdout
    return r.returncode, named, r.stderr


def test_enumerate(site):
    """All accounts, one per line, without a daemon; missing ones are reported."""
    kind, whole = site
    damage(kind, whole)
    with start_pool(kind, nodes=1, start=False) as p:
        node = p.nodes[0]
        status, named, err = listing(node)
        known = {a.name: a for a in whole.accounts.values() if a.name.partition("@")[0] not in DAMAGED}
        if kind.module == "authldap":  # the samples
            known.update({n: Account(n, uid=5000, gid=5000, home=f"/srv/mail/{n[:n.index('@')]}") for n in ("jo@example.com", "kim@example.com")})
        assert known.keys() <= named.keys(), err
        for name, a in known.items():
            assert named[name] == f"{name}\t{a.uid}\t{a.gid}\t{a.home}\t", named[name]
        # The damaged records: one that nobody may have, one without mail, one with a line end in it.
        assert status == 1 and "list of accounts is incomplete" in err
        assert named.keys() == known.keys()
        assert f"{kind.module}: uid@example.com is omitted: its uid" in err and "options@example.com is omitted: its options" in err
        assert "home@example.com" not in err and "secret" not in err
        _, named, _ = listing(node, "-o", "-m")
        assert named["berta@example.com"].endswith(f"\t\tmailhost={THERE}\t{kind.module}"), named
        # No server: not an empty list.
        kind.dir.stop()
        try:
            status, named, err = listing(node)
            assert status == 1 and not named and "no server answers" in err
        finally:
            kind.dir.start()


def test_enumerate_chain(site):
    """A name that two drivers know is listed for the first one, as at a login; -s is Courier's."""
    kind, whole = site
    damage(kind, whole)
    clause = {"authpgsql": ("PGSQL_ENUMERATE_CLAUSE", "SELECT name, uid, gid, home, maildir, 'by=$(service)' FROM accounts WHERE active AND uid <> 0 "
                            "AND name <> 'options@example.com' AND '$(local_part)@$(domain)' = '@'"),
              "authmysql": ("MYSQL_ENUMERATE_CLAUSE", "SELECT name, uid, gid, home, maildir, \"by=$(service)\" FROM accounts WHERE uid <> 0 AND "
                            "name <> 'options@example.com'"),
              "authldap": ("LDAP_ENUMERATE_FILTER", "&(mail=*)(!(|(mail=uid@example.com)(mail=options@example.com)))")}[kind.module]
    local = ("anna@example.com", ""), ("only@example.com", "disableshared=1"), ("shared@example.com", "")
    for modules in (f"{kind.module} authuserdb", f"authuserdb {kind.module}"):
        with Pool(nodes=1, start=False, accounts=[Account(name, options=options) for name, options in local], settings={
                "authdaemonrc": {"authmodulelist": modules, "DEFAULTOPTIONS": "disableshared=0,z=1"},
                kind.group: {**kind.settings(), clause[0]: clause[1]}}) as p:
            node = p.nodes[0]
            status, named, err = listing(node, "-o", "-m", "-s")
            assert status == 0 and err == "", err
            anna = named["anna@example.com"].split("\t")
            assert anna[6] == modules.split()[0] and (anna[3] == p.accounts["anna@example.com"].home) == modules.startswith("authuserdb"), anna
            assert "only@example.com" not in named and named["shared@example.com"].endswith("\tdisableshared=0,z=1\tauthuserdb")
            wanted = f"mailhost={THERE}" if kind.module == "authldap" else "by=enumerate"
            assert named["berta@example.com"].endswith(f"\t{wanted},disableshared=0,z=1\t{kind.module}"), named["berta@example.com"]
            assert "only@example.com" in listing(node)[1]


def test_enumerate_many(site):
    """A long list is printed as it arrives, and does not count as complete if it breaks off."""
    kind, _ = site
    if kind.module == "authldap":
        pytest.skip("test_ldap_enumerate_pages has it")
    number, clause, trouble = {
        "authpgsql": ("i", "PGSQL_ENUMERATE_CLAUSE", "1 / (40000 - i)"), "authmysql": ("seq", "MYSQL_ENUMERATE_CLAUSE",
                                                                              "IF(seq = 40000, (SELECT s.seq FROM seq_1_to_2 s), 1)")}[kind.module]
    rows = {"authpgsql": "generate_series(1, 50000) AS i", "authmysql": "seq_1_to_50000"}[kind.module]
    name = {"authpgsql": "'u' || i", "authmysql": "CONCAT('u', seq)"}[kind.module]
    little = [] if SANITIZED else ["prlimit", f"--data={40 << 20}"]  # the options alone are 50 MB
    for more, whole in (("1", True), (trouble, False)):
        question = f"SELECT {name}, 1000, {number}, '/home', '', repeat('x', 1000) FROM {rows} WHERE {more} IS NOT NULL"
        with start_pool(kind, {clause: question}, nodes=1, start=False) as p:
            node = p.nodes[0]
            with open(os.path.join(p.root, "list"), "wb") as out, open(os.path.join(p.root, "errors"), "wb") as err:
                tool = subprocess.run([*little, os.path.join(PREFIX, "bin", "waypost"), "-c", p.conf, "auth", "--enumerate"], env=node.env,
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=node.as_user(), timeout=60)
            with open(out.name) as f:
                lines = f.read().splitlines()
            with open(err.name) as f:
                errors = f.read()
            if whole:
                assert tool.returncode == 0 and errors == ""
                assert lines == [f"u{i}\t1000\t{i}\t/home\t" for i in range(1, 50001)]
            else:
                assert tool.returncode == 1 and 0 < len(lines) < 40000 and "is incomplete" in errors
                assert re.search(r"waypost: auth\w+: (division by zero|ERROR: +division by zero|Subquery returns more than 1 row)", errors), errors
    with start_pool(kind, {clause: question.replace(trouble, "1")}, nodes=1, start=False) as p:
        r = subprocess.run(["sh", "-c", '"$0" "$@" >/dev/full', os.path.join(PREFIX, "bin", "waypost"), "-c", p.conf, "auth", "--enumerate"],
                           env=p.nodes[0].env, capture_output=True, text=True, preexec_fn=p.nodes[0].as_user(), timeout=60)
        assert r.returncode == 1 and "cannot write the list: No space left on device" in r.stderr


def steady(p, node=HERE, name="anna@example.com"):
    return imap(p, node, name, "secret-" + name).ok


def check_outages(p, directory, tries, by_imap, by_pop3):
    """DIRECTORY is down twice: nobody gets a wrong-password reply, and nobody waits."""
    for _ in range(4):  # all workers have a connection to the directory
        assert steady(p)
    for _ in range(2):
        directory.stop()
        for _ in range(tries):
            start = time.monotonic()
            assert not_now(imap(p, HERE, by_imap, "secret-" + by_imap))
            assert not_now(imap(p, HERE, "anna@example.com", "wrong"))
            assert not_now(imap(p, HERE, "nobody@example.com", "wrong"))
            assert pop3(p, HERE, by_pop3, "secret-" + by_pop3).startswith(b"-ERR [SYS/TEMP]")
            assert time.monotonic() - start < 4 * LATE
        assert p.nodes[0].tool("auth", "anna@example.com", input="x\n").returncode == 1
        directory.start()
        wait_for("logins work again", lambda: steady(p), PATIENCE)
        for _ in range(4):
            assert steady(p)
            assert refused(imap(p, HERE, "anna@example.com", "wrong"))


def check_frozen(p, directory, name, then):
    """DIRECTORY accepts and never answers: the first logins of NAME wait for the settings' time, then none does, with
    the password THEN."""
    assert steady(p)
    directory.freeze()
    try:
        for _ in range(4):
            start = time.monotonic()
            assert not_now(imap(p, HERE, name, "secret-" + name))
            assert time.monotonic() - start < WAIT + 2 * LATE
        took = []
        for _ in range(10):
            start = time.monotonic()
            assert not_now(imap(p, HERE, name, then))
            took.append(time.monotonic() - start)
        assert sorted(took)[6] < 0.5 * SLOW, took
    finally:
        directory.thaw()
    wait_for("logins work again", lambda: steady(p), PATIENCE + 10)


def test_stop_and_start(site):
    kind, p = site
    marks = [n.log_mark() for n in p.nodes]
    check_outages(p, kind.dir, 6, "anna@example.com", "anna@example.com")
    wait_for("both outages and their ends are in the log",
             lambda: len(re.findall(r" answers again", p.nodes[0].log_since(marks[0]))) >= 2)
    log = p.nodes[0].log_since(marks[0])
    # Logged once for each outage, however many auth workers noticed it, and once when it was over.
    assert len(re.findall(rf"{kind.module}: .* does not answer", log)) == 2, log
    assert len(re.findall(rf"{kind.module}: .* answers again", log)) == 2, log


def test_restart_between_logins(site):
    """Idle connections that broke cause no failure."""
    kind, p = site
    for _ in range(4):
        assert steady(p)
    mark = p.nodes[0].log_mark()
    kind.dir.stop()
    kind.dir.start()
    for _ in range(6):
        assert steady(p)
        assert refused(imap(p, HERE, "anna@example.com", "wrong"))
    assert "does not answer" not in p.nodes[0].log_since(mark)


def test_frozen(site):
    kind, p = site
    check_frozen(p, kind.dir, "anna@example.com", "secret-anna@example.com")


def test_second_server(site):
    """The first server of the list is silent, then down."""
    kind, first = site
    silent = directories.Silent("127.0.0.9", kind.dir.port)
    try:
        with start_pool(kind, nodes=1, group=kind.two()) as p:
            for name in ("anna@example.com", "dora@example.com"):
                start = time.monotonic()
                assert imap(p, HERE, "dora@example.com", "secret-dora@example.com").ok, name
                assert time.monotonic() - start < WAIT + 2 * LATE
            p.nodes[0].wait_log(r"127\.0\.0\.9.* does not answer")
            silent.close()
            assert imap(p, HERE, "dora@example.com", "secret-dora@example.com").ok
    finally:
        silent.close()


def test_primary_and_replica(site):
    """Two real servers: one dies in mid-run, comes back, then the other one dies. One account exists only on the first, which
    shows who answers."""
    kind, whole = site
    anna, only = whole.accounts["anna@example.com"], Account("only@example.com", home="/nowhere", password="x")
    again = type("Primary", (type(kind),), {"server": type("Primary", (type(kind.dir),), {"host": "127.0.0.9", "port": kind.dir.port})})()
    try:
        again.add([anna, only])
        with start_pool(kind, nodes=1, group=kind.two()) as p:
            def asked(known):
                for _ in range(4):  # all workers
                    assert imap(p, HERE, anna.name, anna.password).ok
                    assert refused(imap(p, HERE, anna.name, "wrong"))
                    assert refused(imap(p, HERE, only.name, "wrong"))
                    assert (f'knows "{only.name}"' in p.nodes[0].tool("route", only.name).stdout) is not known
            asked(True)
            again.dir.stop()
            asked(False)
            again.dir.start()
            kind.dir.stop()
            asked(True)
            again.dir.stop()
            assert not_now(imap(p, HERE, anna.name, anna.password))
            kind.dir.start()
            wait_for("logins work again", lambda: imap(p, HERE, anna.name, anna.password).ok)
            asked(False)
    finally:
        again.dir.close()
        if kind.dir.proc is None:
            kind.dir.start()


def test_variants(site):
    """Other ways to configure where the accounts are; hostile names get nowhere in each."""
    kind, whole = site
    anna = whole.accounts["anna@example.com"]
    for what, settings, names in kind.variants():
        with start_pool(kind, settings, nodes=1) as p:
            node = p.nodes[0]
            check = node.tool("check")
            assert check.returncode == 0, (what, check.stdout)
            for name in [anna.name] + names:
                assert imap(p, HERE, name, anna.password).ok, (what, name)
                assert refused(imap(p, HERE, name, "wrong")), (what, name)
                assert refused(imap(p, HERE, name, "")), (what, name)
            shown = node.tool("auth", anna.name, input=anna.password + "\n")
            assert f"options: mailhost={HERE}" in shown.stdout, (what, shown)
            mark = node.log_mark()
            for name in NOBODY:
                assert refused(imap(p, HERE, name if isinstance(name, bytes) else name.encode(), "x")), (what, name)
            assert not re.search(r"query is refused|does not answer|cannot be used", node.log_since(mark)), (what, node.log_since(mark))


def test_tls(site):
    kind, whole = site
    anna = whole.accounts["anna@example.com"]
    for ca, good in (("ca.pem", True), ("other.pem", False)):
        group, daemon = kind.tls(ca)
        with Pool(nodes=1, settings={"authdaemonrc": {"authmodulelist": kind.module, "daemons": 1, **daemon},
                                     kind.group: {**kind.settings(), **group}}) as p:
            reply = imap(p, HERE, anna.name, anna.password)
            assert reply.ok if good else not_now(reply), (ca, reply, p.nodes[0].log())
            if not good:
                p.nodes[0].wait_log(f"{kind.module}: .* does not answer: .*(certificate|TLS|SSL)")


def test_chain(site):
    """Only unknown accounts are looked up in the next driver."""
    kind, whole = site
    anna = whole.accounts["anna@example.com"]
    local = Account("anna@example.com", password="other"), Account("only@example.com", password="only")
    for modules in (f"{kind.module} authuserdb", f"authuserdb {kind.module}"):
        with Pool(nodes=1, accounts=[Account(a.name, password=a.password) for a in local], settings={
                "authdaemonrc": {"authmodulelist": modules, "DEFAULTOPTIONS": "disablepop3=1", "daemons": 1, **NO_CACHE}, kind.group: kind.settings()}) as p:
            first = anna.password if modules.startswith(kind.module) else "other"
            assert imap(p, HERE, anna.name, first).ok
            assert refused(imap(p, HERE, anna.name, "x"))
            assert imap(p, HERE, "only@example.com", "only").ok
            assert imap(p, HERE, "dora@example.com", "secret-dora@example.com").ok
            assert refused(imap(p, HERE, "nobody@example.com", "only"))
            assert not pop3(p, HERE, "anna@example.com", first).startswith(b"+OK")
            shown = p.nodes[0].tool("auth", anna.name, input=first + "\n").stdout
            assert f"driver: {modules.split()[0]}\n" in shown and "options: " in shown and "disablepop3=1\n" in shown
            assert ("/userdb:" in shown) == modules.startswith("authuserdb"), shown
            kind.dir.stop()
            try:
                assert not_now(imap(p, HERE, "nobody@example.com", "x"))
                assert not_now(imap(p, HERE, "dora@example.com", "secret-dora@example.com"))
                reply = imap(p, HERE, "only@example.com", "only")
                assert reply.ok if modules.startswith("authuserdb") else not_now(reply)
            finally:
                kind.dir.start()


def test_refused_questions(site):
    """A missing table or tree is logged once, and never looks like a wrong password to clients."""
    kind, _ = site
    wrong = {"authpgsql": {"PGSQL_USER_TABLE": "nothing"}, "authmysql": {"MYSQL_USER_TABLE": "nothing"},
             "authldap": {"LDAP_BASEDN": "ou=nothing,dc=example,dc=com"}}[kind.module]
    with start_pool(kind, wrong, nodes=1) as p:
        for _ in range(5):
            assert not_now(imap(p, HERE, "anna@example.com", "x"))
        p.nodes[0].wait_log("the query is refused")
        assert len(re.findall("the query is refused", p.nodes[0].log())) <= 2


def test_check_names_what_is_missing(site):
    kind, _ = site
    for settings, hint in {
            "authpgsql": [({"PGSQL_CONNECTION": None}, "PGSQL_CONNECTION is missing; set it to "), ({"PGSQL_CRYPT_PWFIELD": None}, "set PGSQL_CRYPT_PWFIELD or PGSQL_CLEAR_PWFIELD"),
                          ({"PGSQL_SELECT_CLAUSE": "SELECT $(local_part)"}, "put $(local_part) and $(domain) in quotes"), ({"PGSQL_USER_TABLES": "x"}, "PGSQL_USER_TABLE")],
            "authmysql": [({"MYSQL_SERVER": None}, "set MYSQL_SERVER or MYSQL_SOCKET"), ({"MYSQL_USERNAME": None}, "MYSQL_USERNAME is missing; set it to "),
                          ({"MYSQL_SELECT_CLAUSE": "SELECT '\\$(domain)'"}, "after a backslash")],
            "authldap": [({"LDAP_URI": "ldap.example.com"}, "must begin with ldap://"), ({"LDAP_BASEDN": None}, "LDAP_BASEDN is missing; set it to "),
                         ({"LDAP_BINDPW": None}, "needs LDAP_BINDDN"), ({"LDAP_AUXOPTIONS": "a = b"}, "ATTRIBUTE=OPTION"),
                         ({"LDAP_UID": None}, "no user id")]}[kind.module]:
        p = Pool(nodes=1, start=False, settings={"authdaemonrc": {"authmodulelist": kind.module}, kind.group: {**kind.settings(), **settings}})
        with p:
            r = p.nodes[0].tool("check")
            assert r.returncode == 1 and hint in r.stdout, r.stdout


def test_check_asks_the_directory(site):
    """A wrong password, table, column or server is found before anybody logs in, if check may ask."""
    kind, p = site
    r = p.nodes[0].tool("check", "--ask")
    assert r.returncode == 0 and f"{kind.module} answers\n" in r.stdout and not r.stderr, r
    assert f"{kind.module} answers" not in p.nodes[0].tool("check").stdout
    dead = free_port([HERE])
    for settings, what in {
            "authpgsql": [({"PGSQL_CONNECTION": kind.settings().get("PGSQL_CONNECTION", "").replace("port=", "port=1")}, "does not answer"),
                          ({"PGSQL_USER_TABLE": "nothing"}, "is refused"), ({"PGSQL_HOME_FIELD": "nothing"}, "is refused")],
            "authmysql": [({"MYSQL_PASSWORD": "wrong"}, "Access denied"), ({"MYSQL_DATABASE": "nothing"}, "nothing"), ({"MYSQL_USER_TABLE": "nothing"}, "is refused"),
                          ({"MYSQL_HOME_FIELD": "nothing"}, "is refused"), ({"MYSQL_PORT": dead}, "does not answer")],
            "authldap": [({"LDAP_BINDPW": "wrong"}, "Invalid credentials"), ({"LDAP_BASEDN": "ou=nothing,dc=example,dc=com"}, "is refused"),
                         ({"LDAP_URI": f"ldap://{HERE}:{dead}"}, "does not answer")]}[kind.module]:
        with start_pool(kind, settings, nodes=1, start=False) as other:
            r = other.nodes[0].tool("check", "--ask")
            assert r.returncode == 1 and what in r.stderr and "answers" not in r.stdout, (settings, r)
            assert other.nodes[0].tool("check").returncode == 0, "without --ask nobody is asked"


@pytest.fixture(scope="module")
def ldap_site():
    kind = Ldap()
    try:
        yield kind
    finally:
        kind.dir.close()


def test_ldap_samples(ldap_site):
    """The sample accounts, with mailHost of inetLocalMailRecipient and with our own; the schema's LDIF form loads."""
    kind = ldap_site
    options = "waypostMailHost=mailhost,mailHost=mailhost,waypostDisableImap=disableimap"
    with start_pool(kind, {"LDAP_AUXOPTIONS": options}, nodes=1) as p:
        for name, host in (("jo@example.com", "a.example.com"), ("kim@example.com", "b.example.com")):
            r = p.nodes[0].tool("auth", name, input="secret\n")
            assert r.returncode == 0 and f"options: mailhost={host}\n" in r.stdout, r.stdout
    other = directories.SlapdConfig()
    try:
        with open(os.path.join(ETC, "ldap", "waypost.ldif")) as f:
            other.run("ldapadd", "-x", "-H", other.uri, "-D", "cn=config", "-w", "config", input=f.read())
    finally:
        other.close()


def test_ldap_two_entries(ldap_site):
    """A name with two entries cannot log in."""
    kind = ldap_site
    twins = [Account("twin@example.com", password="x", home="/nowhere"), Account("twin@example.com", password="x", home="/nowhere")]
    kind.add(twins[:1])
    kind.dir.ldif(f"dn: cn=twin,{kind.people}\nobjectClass: inetOrgPerson\nsn: x\nmail: twin@example.com\n")
    with start_pool(kind, nodes=1) as p:
        assert not_now(imap(p, HERE, "twin@example.com", "x"))
        p.nodes[0].wait_log("twin@example.com has 2 entries below")


def test_ldap_conf_of_the_system(ldap_site, monkeypatch):
    """Without LDAPTLS_CACERT the authorities in ldap.conf are used."""
    kind = ldap_site
    for ca, good in (("ca.pem", True), ("other.pem", False)):
        conf = kind.dir.file("ldap.conf")
        with open(conf, "w") as f:
            f.write(f"TLS_CACERT {kind.dir.file(ca)}\n")
        monkeypatch.setenv("LDAPCONF", conf)
        with start_pool(kind, {"LDAP_TLS": 1}, nodes=1) as p:
            assert (p.nodes[0].tool("auth", "jo@example.com", input="secret\n").returncode == 0) is good


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' memory is counted, too")
def test_ldap_outage_costs_no_memory(ldap_site):
    """Each login during an outage tries to connect; TLS is set up only once."""
    kind = ldap_site
    settings = {"authdaemonrc": {"authmodulelist": "authldap", "daemons": 1, "LDAPTLS_CACERT": kind.dir.file("ca.pem"), "LDAPTLS_CIPHER_SUITE": "NORMAL"},
                "authldaprc": {**kind.settings(), "LDAP_TLS": 1}}
    with Pool(nodes=1, settings=settings) as p:
        node = p.nodes[0]
        worker, = node.pids("authworker")
        assert node.tool("route", "jo@example.com").returncode == 0
        kind.dir.stop()
        try:
            for _ in range(20):
                assert node.tool("route", "jo@example.com").returncode == 1
            before = rss_kib(worker)
            for _ in range(300):
                assert node.tool("route", "jo@example.com").returncode == 1
            assert rss_kib(worker) - before < 1000
        finally:
            kind.dir.start()
        assert node.pids("authworker") == [worker]


def test_ldap_enumerate_pages(ldap_site):
    """More accounts than slapd returns at once; if it returns no more at all, the list says that it is incomplete."""
    kind = ldap_site
    many = [Account(f"many{i}@example.com", password="x", home=f"/m/{i}") for i in range(1203)]
    kind.add_at_once(many)
    kind.dir.ldif(f"dn: {kind.dn(many[0].name)}\nchangetype: modify\nadd: mail\nmail: alias@example.com\n")
    with start_pool(kind, nodes=1) as p:
        node = p.nodes[0]
        status, named, err = listing(node)
        assert status == 0, err
        assert {a.name for a in many} <= named.keys() and named["alias@example.com"].endswith("\t/m/0\t")
    # Not as the directory's own administrator, who has no limits.
    with start_pool(kind, {"LDAP_INITBIND": 0, "LDAP_BINDPW": None, "LDAP_AUTHBIND": 1, "LDAP_CRYPTPW": None}, nodes=1) as p:
        status, named, err = listing(p.nodes[0])
        assert status == 1 and "Size limit exceeded" in err and "raise the limit" in err, err
