"""Every row of doc/courier-settings.tsv about directories: each supported setting has a case below with another value; if only
that value is changed, the same queries to the same server get another answer. So a setting that is ignored fails its case, and a
row without a case fails the last tests here."""
import grp
import os
import pwd
import re
import socket
import sqlite3
import time

import pytest

from client import Imap
from directories import Silent, Slapd
from pool import GID, SLOW, UID, Account, Pool, chown, make_maildir, merge, message, sha, wait_for
from test_directories import ETC, HERE, Ldap, Mysql, Pgsql
from test_drivers import Sqlite

pytestmark = pytest.mark.once

TSV = os.path.join(ETC, "..", "doc", "courier-settings.tsv")
GROUPS = ("authdaemonrc", "authldaprc", "authmysqlrc", "authpgsqlrc", "authsqliterc")


def rows(*status):
    """(group, name) of the rows that have one of these states."""
    with open(TSV) as f:
        lines = [line.rstrip("\n").split("\t") for line in f][1:]
    return [(group, name) for group, name, state, *_ in lines if group in GROUPS and state in status]


def reasons():
    """(group, name) -> what the row says."""
    with open(TSV) as f:
        return {tuple(line.split("\t")[:2]): line.rstrip("\n").split("\t")[3] for line in f}


class Case:
    """With BASE (groups of settings) ASKS are answered by texts that hold all WANT. OTHER: "group.NAME" or "NAME" of the
    directory's group -> (another value, a text that is in the answer then, and only then)."""

    def __init__(self, what, base, asks, want, other):
        self.what, self.base, self.asks, self.want, self.other = what, base, asks, want, other


def answers(site, settings, asks):
    """All answers of the node with SETTINGS, as one text; a refused configuration is an answer, too."""
    node = site.pool.nodes[0]
    site.pool.settings = merge(site.plain, settings)
    site.pool.write_conf()
    r = node.tool("reload")
    if r.returncode != 0:
        return "refused: " + r.stderr
    out = []
    for ask in asks:
        if ask[0] == "auth":
            r = node.tool("auth", ask[1], input=ask[2] + "\n")
        elif ask[0] == "list":
            r = node.tool("auth", "--enumerate", "-o")
        else:
            out.append(inbox(site, *ask[1:]))
            continue
        out.append(f"{r.stdout}{r.stderr}status: {r.returncode}")
    return "\n".join(out)


def inbox(site, name, password):
    with Imap(HERE, site.pool.imap_port) as c:
        reply = c.login(name, password)
        return f"IMAP {reply.status} {c.subjects() if reply.ok else ''}"


class Site:
    """A directory with unusual names everywhere, and one node."""
    daemon_rows = ("authmodulelist", "DEFAULTOPTIONS")  # rows of authdaemonrc that are tried with it

    def __init__(self):
        self.kind = self.kind_of()
        self.dir, self.group, self.module = getattr(self.kind, "dir", self.kind), self.kind.group, self.kind.module
        try:
            self.pool = Pool(nodes=1, settings={"LOGIN_WORKERS": 1, "pop3d": None, "authdaemonrc": {"authmodulelist": self.module + " authuserdb", "daemons": 1},
                                                self.group: self.kind.settings()}, start=False,
                             accounts=[Account("other@odd.example", password="userdb")])
            self.jo = self.pool.add(Account("jo@odd.example", password="hashed"), write=False)
            make_maildir(os.path.join(self.jo.home, "Other"))
            self.pool.deliver(self.jo, message("in the other"), folder="../Other")
            self.plain = merge(self.pool.settings, {self.group: None})
            self.fill()
            self.pool.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        if hasattr(self, "pool"):
            self.pool.__exit__(None, None, None)
        self.dir.close()


# What an account of the odd table looks like: column, value.
def odd_row(site, **changed):
    row = {"login_": "jo@odd.example", "crypt_": sha("hashed"), "clear_": "", "uid_": UID, "gid_": GID, "home_": site.jo.home, "full_": "Jo Full",
           "dir_": "Maildir", "quota_": "10S", "deliver_": "Other", "opts_": "a=1", "live_": 1, "other_": "x=1", "id_": 4999, **changed}
    return row


def odd_tables(site):
    text = ""
    for table in ("odd", "even"):
        text += (f"CREATE TABLE {table} (login_ varchar(99), crypt_ varchar(99), clear_ varchar(99), uid_ integer, gid_ integer, home_ varchar(200), "
                 "full_ varchar(99), dir_ varchar(99), quota_ varchar(99), deliver_ varchar(99), opts_ varchar(99), live_ integer, "
                 "other_ varchar(99), id_ integer);\n")
        lines = [odd_row(site), odd_row(site, login_="kim@odd.example", crypt_="", clear_="cleared"),
                 odd_row(site, login_="dead@odd.example", live_=0), odd_row(site, login_="jo@b.example", full_="Jo of b")]
        if table == "even":
            lines = [odd_row(site, login_="jo@odd.example", full_="of the other table")]
        for line in lines:
            values = ", ".join(str(v) if isinstance(v, int) else f"'{v}'" for v in line.values())
            text += f"INSERT INTO {table} VALUES ({values});\n"
    return text


def odd_fields(prefix):
    return {f"{prefix}_{name}": value for name, value in {
        "USER_TABLE": "odd", "LOGIN_FIELD": "login_", "CRYPT_PWFIELD": "crypt_", "CLEAR_PWFIELD": "clear_", "UID_FIELD": "uid_",
        "GID_FIELD": "gid_", "HOME_FIELD": "home_", "NAME_FIELD": "full_", "MAILDIR_FIELD": "dir_", "QUOTA_FIELD": "quota_",
        "AUXOPTIONS_FIELD": "opts_", "WHERE_CLAUSE": "live_ = 1"}.items()}


JO, KIM, DEAD = ("auth", "jo@odd.example", "hashed"), ("auth", "kim@odd.example", "cleared"), ("auth", "dead@odd.example", "hashed")
GOOD = "result: the password is correct"
WRONG = "result: the password is wrong"
NOBODY = "result: no module in authmodulelist knows"
NOT_NOW = "result: no answer ("


def sql_cases(site, prefix, service):
    """What both databases have, with the settings' PREFIX; SERVICE: an SQL expression that puts $(service) into the options."""
    base = {**site.kind.connection(), **odd_fields(prefix)}
    group = site.group
    p = prefix + "_"
    yield Case("fields", {group: base}, [JO, KIM, DEAD],
               ["account: jo@odd.example", f"uid: {UID}", f"gid: {GID}", f"home: {site.jo.home}", "full name: Jo Full", "quota: 10S",
                "maildir: Maildir", "options: a=1", "password: {SHA}", "password: clear", GOOD, NOBODY],
               {p + "USER_TABLE": ("even", "full name: of the other table"), p + "LOGIN_FIELD": ("other_", NOBODY + " \"jo@odd.example\""),
                p + "CRYPT_PWFIELD": (None, "result: the account is locked"), p + "CLEAR_PWFIELD": (None, "result: the account is locked"),
                p + "UID_FIELD": ("id_", "uid: 4999"), p + "GID_FIELD": ("id_", "gid: 4999"), p + "HOME_FIELD": ("'/elsewhere'", "home: /elsewhere"),
                p + "NAME_FIELD": ("other_", "full name: x=1"), p + "MAILDIR_FIELD": ("deliver_", "maildir: Other"),
                p + "QUOTA_FIELD": ("other_", "quota: x=1"), p + "AUXOPTIONS_FIELD": ("other_", "options: x=1"),
                p + "WHERE_CLAUSE": ("live_ = 0", "account: dead@odd.example")})
    yield Case("defaults of the fields", {group: {**base, p + "UID_FIELD": None, p + "GID_FIELD": None, p + "HOME_FIELD": None, p + "LOGIN_FIELD": None,
                                                  p + "USER_TABLE": "(SELECT login_ AS id, uid_ AS uid, gid_ AS gid, home_ AS home, odd.* FROM odd) AS t"}},
               [JO], ["account: jo@odd.example", GOOD], {p + "USER_TABLE": ("odd", NOT_NOW)})
    yield Case("other spellings", {group: {**base, p + "AUXOPTIONS_FIELD": None, p + "AUXOPTIONS": "opts_"}}, [JO], ["options: a=1"],
               {p + "AUXOPTIONS": (None, "options: \n")})
    port = {f"AUTHSERVICE{site.pool.imap_port}": "courier"}
    for name in (p + "DEFAULTDELIVERY_FIELD", p + "DEFAULTDELIVERY"):
        yield Case(name, {group: {**base, name: "deliver_"}, "imapd": port}, [("imap", *JO[1:])], ["IMAP OK ['in the other']"],
                   {name: ("dir_", f"IMAP OK ['{site.jo.name} lives on any node']")})
    columns = "login_, crypt_, clear_, uid_, gid_, home_, dir_, quota_, full_"
    for quote in site.kind.quotes:
        where = f"WHERE login_ = {site.kind.join(f'{quote}$(local_part){quote}', f'{quote}@$(domain){quote}')}"
        yield Case(f"a clause with {quote}", {group: {**site.kind.connection(), "DEFAULT_DOMAIN": "odd.example",
                                                      p + "SELECT_CLAUSE": f"SELECT {columns}, {service(quote)} FROM odd {where}"}},
                   [("auth", "jo", "hashed"), KIM], ["account: jo@odd.example", "account: kim@odd.example", "options: by=imap"],
                   {"DEFAULT_DOMAIN": ("b.example", "full name: Jo of b"),
                    p + "SELECT_CLAUSE": (f"SELECT {columns}, 'x' FROM odd {where}", "options: x")})
    yield Case("a domain for all", {group: {**base, "DEFAULT_DOMAIN": "odd.example"}}, [("auth", "jo", "hashed")], ["account: jo@odd.example"],
               {"DEFAULT_DOMAIN": (None, NOBODY + ' "jo"')})
    yield Case("a list", {group: {**base, p + "ENUMERATE_CLAUSE": f"SELECT login_, uid_, gid_, home_, dir_, {service(site.kind.quotes[-1])} FROM odd"}},
               [("list",)], [f"dead@odd.example\t{UID}\t{GID}\t{site.jo.home}\tMaildir\tby=enumerate\n", "jo@odd.example\t", "status: 0"],
               {p + "ENUMERATE_CLAUSE": (None, f"\nkim@odd.example\t{UID}\t{GID}\t{site.jo.home}\tMaildir\ta=1\n")})
    yield Case("options for all", {group: base, "authdaemonrc": {"DEFAULTOPTIONS": "a=2,b=3"}}, [JO], ["options: a=1,b=3\n"],
               {"authdaemonrc.DEFAULTOPTIONS": ("c=4", "options: a=1,c=4\n")})
    yield modules(site, base)


def modules(site, base):
    return Case("modules", {site.group: base}, [("auth", "other@odd.example", "userdb")], ["driver: authuserdb"],
                {"authdaemonrc.authmodulelist": (site.module, NOBODY)})


class MysqlSite(Site):
    class kind_of(Mysql):
        class server(Mysql.server):
            def command(self):  # TLS 1.3 ignores the list of ciphers
                return [*super().command(), "--tls-version=TLSv1.2"]

    def fill(self):
        self.kind.connection = lambda: {n: v for n, v in self.kind.settings().items()
                                        if n in ("MYSQL_SERVER", "MYSQL_PORT", "MYSQL_USERNAME", "MYSQL_PASSWORD", "MYSQL_DATABASE")}
        self.kind.quotes = ("'", '"')
        self.kind.join = lambda *parts: f"CONCAT({', '.join(parts)})"
        self.kind.sql(odd_tables(self) + "CREATE DATABASE second; CREATE TABLE second.odd AS SELECT * FROM odd; UPDATE second.odd SET full_ = 'second';"
                      "CREATE USER reader IDENTIFIED BY 'pw'; CREATE USER certain IDENTIFIED BY 'pw' REQUIRE X509;"
                      "GRANT SELECT ON *.* TO waypost; GRANT SELECT ON *.* TO reader; GRANT SELECT ON *.* TO certain;")

    def cases(self):
        yield from sql_cases(self, "MYSQL", lambda quote: f"CONCAT({quote}by={quote}, {quote}$(service){quote})")
        base = {**self.kind.connection(), **odd_fields("MYSQL")}
        base["MYSQL_AUXOPTIONS_FIELD"] = ("CONCAT('user=', USER(), ',set=', @@character_set_client, ',tls=', (SELECT VARIABLE_VALUE FROM "
                                          "information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'), ',zip=', (SELECT VARIABLE_VALUE "
                                          "FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Compression'))")
        yield Case("connection", {"authmysqlrc": base}, [JO], ["options: user=waypost@127.0.0.1,set=utf8mb4,tls=,zip=OFF"],
                   {"MYSQL_SERVER": ("127.0.0.9", NOT_NOW), "MYSQL_PORT": (closed_port(), NOT_NOW), "MYSQL_USERNAME": ("reader", NOT_NOW),
                    "MYSQL_PASSWORD": ("pw", NOT_NOW), "MYSQL_DATABASE": ("second", "full name: second"),
                    "MYSQL_CHARACTER_SET": ("latin1", "set=latin1"), "MYSQL_OPT": (32, "zip=ON")})
        yield Case("another user", {"authmysqlrc": {**base, "MYSQL_USERNAME": "reader", "MYSQL_PASSWORD": "pw"}}, [JO], ["options: user=reader@"],
                   {"MYSQL_PASSWORD": (None, NOT_NOW)})
        yield Case("a socket", {"authmysqlrc": {**base, "MYSQL_SERVER": None, "MYSQL_PORT": None, "MYSQL_SOCKET": self.dir.socket}}, [JO],
                   ["options: user=waypost@localhost"], {"MYSQL_SOCKET": (self.dir.file("nothing"), NOT_NOW)})
        ca, folder = self.dir.file("ca.pem"), hashed(self.dir, "ca.pem")
        yield Case("TLS", {"authmysqlrc": {**base, "MYSQL_SSL_CACERT": ca}}, [JO], [GOOD],
                   {"MYSQL_SSL_CACERT": (self.dir.file("other.pem"), NOT_NOW)})
        yield Case("TLS is used", {"authmysqlrc": {**base, "MYSQL_SSL_CACERT": ca}}, [JO], ["tls=ECDHE-"], {"MYSQL_SSL_CACERT": (None, "tls=,")})
        yield Case("a folder of authorities", {"authmysqlrc": {**base, "MYSQL_SSL_CAPATH": folder}}, [JO], ["tls=ECDHE-"],
                   {"MYSQL_SSL_CAPATH": (hashed(self.dir, "other.pem"), NOT_NOW)})
        cert = {"MYSQL_USERNAME": "certain", "MYSQL_PASSWORD": "pw", "MYSQL_SSL_CACERT": ca, "MYSQL_SSL_CERT": self.dir.file("cert.pem"),
                "MYSQL_SSL_KEY": self.dir.file("key.pem")}
        yield Case("a certificate of our own", {"authmysqlrc": {**base, **cert}}, [JO], ["options: user=certain@"],
                   {"MYSQL_SSL_CERT": (None, NOT_NOW), "MYSQL_SSL_KEY": (self.dir.file("ca.key"), NOT_NOW)})
        for name in ("MYSQL_SSL_CIPHER", "MYSQL_SSL_CIPHERS"):
            yield Case(name, {"authmysqlrc": {**base, "MYSQL_SSL_CACERT": ca, name: "ECDHE-ECDSA-AES128-GCM-SHA256"}}, [JO],
                       ["tls=ECDHE-ECDSA-AES128-GCM-SHA256"], {name: ("ECDHE-ECDSA-AES256-GCM-SHA384", "tls=ECDHE-ECDSA-AES256-GCM-SHA384")})


class PgsqlSite(Site):
    kind_of = Pgsql

    def fill(self):
        self.kind.quotes = ("'",)
        self.kind.join = lambda *parts: " || ".join(parts)
        with open(os.path.join(self.dir.data, "pg_hba.conf"), "w") as f:
            f.write("local all admin trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.dir.sql("SELECT pg_reload_conf();")
        tables = odd_tables(self)
        self.dir.sql(tables + "GRANT SELECT ON odd, even TO waypost; CREATE ROLE reader LOGIN PASSWORD 'pw'; GRANT SELECT ON odd TO reader; "
                     "CREATE SCHEMA second; CREATE TABLE second.odd AS SELECT * FROM odd; UPDATE second.odd SET full_ = 'second'; "
                     "GRANT USAGE ON SCHEMA second TO waypost; GRANT SELECT ON second.odd TO waypost;", "mail")
        self.dir.sql("CREATE DATABASE third;")
        self.dir.sql(tables + "UPDATE odd SET full_ = 'third'; GRANT SELECT ON odd TO waypost;", "third")

    def cases(self):
        yield from sql_cases(self, "PGSQL", lambda quote: "'by=' || '$(service)'")
        options = "'user=' || current_user || ',set=' || pg_client_encoding() || ',tls=' || (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
        base = {**odd_fields("PGSQL"), "PGSQL_AUXOPTIONS_FIELD": options}
        connection = self.kind.connection()["PGSQL_CONNECTION"]
        ca = self.dir.file("ca.pem")
        for mode, tls in (("disable", "false"), (f"verify-full sslrootcert={ca}", "true")):
            yield Case(f"sslmode={mode}", {"authpgsqlrc": {**base, "PGSQL_CONNECTION": f"{connection} sslmode={mode}"}}, [JO],
                       [f"options: user=waypost,set=UTF8,tls={tls}"],
                       {"PGSQL_CONNECTION": (f"{connection} sslmode=verify-full sslrootcert={self.dir.file('other.pem')}", NOT_NOW),
                        "PGSQL_CHARACTER_SET": ("LATIN1", "set=LATIN1")})
        yield Case("older names", {"authpgsqlrc": {**base, "PGSQL_HOST": HERE, "PGSQL_PORT": self.dir.port, "PGSQL_USERNAME": "waypost",
                                                   "PGSQL_PASSWORD": "se'cret", "PGSQL_DATABASE": "mail"}}, [JO], ["options: user=waypost", "full name: Jo Full"],
                   {"PGSQL_HOST": ("127.0.0.9", NOT_NOW), "PGSQL_PORT": (closed_port(), NOT_NOW), "PGSQL_USERNAME": ("reader", NOT_NOW),
                    "PGSQL_PASSWORD": ("secret", NOT_NOW), "PGSQL_DATABASE": ("third", "full name: third"),
                    "PGSQL_OPT": ("-c search_path=second", "full name: second")})


class SqliteSite(Site):
    kind_of = Sqlite

    def fill(self):
        self.kind.quotes = ("'",)
        self.kind.join = lambda *parts: " || ".join(parts)
        self.kind.connection = lambda: {"SQLITE_DATABASE": self.kind.path}
        self.second = self.kind.path + ".second"
        for path in (self.kind.path, self.second):
            with sqlite3.connect(path) as db:
                db.executescript(odd_tables(self))
                if path == self.second:
                    db.execute("UPDATE odd SET full_ = 'second'")
            db.close()
            chown(path)

    def cases(self):
        yield from sql_cases(self, "SQLITE", lambda quote: "'by=' || '$(service)'")
        yield Case("file", {"authsqliterc": {**self.kind.connection(), **odd_fields("SQLITE")}}, [JO], ["full name: Jo Full"],
                   {"SQLITE_DATABASE": (self.second, "full name: second")})


def revocations(directory):
    """Two lists of ca.pem's: one without any certificate, one with the server's."""
    with open(directory.file("ca.cnf"), "w") as f:
        f.write("[ca]\ndefault_ca = x\n[x]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 2\n")
    directory.run("touch", "index.txt")
    ca = ("openssl", "ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key")
    directory.run(*ca, "-gencrl", "-out", "none.crl")
    directory.run(*ca, "-revoke", "cert.pem")
    directory.run(*ca, "-gencrl", "-out", "revoked.crl")
    return directory.file("none.crl"), directory.file("revoked.crl")


class StrictSlapd(Slapd):
    """Only accepts TLS clients with a certificate."""

    def make(self):
        super().make()
        with open(self.conf) as f:
            text = f.read()
        with open(self.conf, "w") as f:
            f.write(text.replace("database mdb", f"TLSCACertificateFile {self.file('ca.pem')}\nTLSVerifyClient demand\ndatabase mdb", 1))


class OddLdap(Ldap):
    quotes = ()

    def connection(self):
        return {"LDAP_URI": self.dir.uri, "LDAP_BASEDN": self.people, "LDAP_INITBIND": 1, "LDAP_BINDDN": self.dir.admin, "LDAP_BINDPW": "admin"}


class LdapSite(Site):
    kind_of = OddLdap
    daemon_rows = (*Site.daemon_rows, "LDAPTLS_")
    strict = None

    def close(self):
        super().close()
        if self.strict is not None:
            self.strict.close()

    def fill(self):
        home = self.jo.home
        person = (f"objectClass: inetOrgPerson\nobjectClass: posixAccount\nobjectClass: waypostAccount\nsn: Sn\nuidNumber: {UID}\n"
                  f"gidNumber: {GID}\nhomeDirectory: {home}\n")
        self.entries = f"""
dn: ou=elsewhere,dc=example,dc=com
objectClass: organizationalUnit
ou: elsewhere

dn: ou=aliases,dc=example,dc=com
objectClass: organizationalUnit
ou: aliases

dn: ou=map,dc=example,dc=com
objectClass: organizationalUnit
ou: map

dn: cn=Jo,{self.kind.people}
{person}uid: jo
mail: jo@odd.example
userPassword: {sha("hashed")}
description: {sha("another")}
waypostMaildir: Maildir
waypostQuota: 10S
waypostMailHost: a.example.com
title: Other
carLicense: /elsewhere
employeeNumber: 4999
employeeType: handle

dn: cn=Kim,{self.kind.people}
{person}uid: kim
mail: kim@odd.example
userPassword: {sha("hashed")}
title: cleared
initials: second

dn: cn=Jo of b,{self.kind.people}
{person}uid: job
mail: jo@b.example
userPassword: {sha("hashed")}

dn: cn=Jo elsewhere,ou=elsewhere,dc=example,dc=com
{person}uid: jo2
mail: jo@odd.example
userPassword: {sha("hashed")}

dn: cn=alias,ou=aliases,dc=example,dc=com
objectClass: alias
objectClass: extensibleObject
cn: alias
aliasedObjectName: cn=Jo elsewhere,ou=elsewhere,dc=example,dc=com

dn: cn=m1,ou=map,dc=example,dc=com
objectClass: inetOrgPerson
sn: x
uid: virtual
ou: virtual.example
employeeType: handle
initials: second
employeeNumber: 1

dn: cn=reader,dc=example,dc=com
objectClass: inetOrgPerson
sn: x
userPassword: {sha("reader")}
"""
        self.kind.dir.ldif(self.entries)

    def start_strict(self):
        self.strict = StrictSlapd(["/etc/ldap/schema/misc.schema", os.path.join(ETC, "ldap", "waypost.schema")])
        with open(os.path.join(ETC, "ldap", "accounts.ldif")) as f:
            self.strict.run("slapadd", "-f", self.strict.conf, input=f.read())

    def cases(self):
        people = self.kind.people
        base = {**self.kind.connection(), "LDAP_HOMEDIR": "homeDirectory", "LDAP_MAILDIR": "waypostMaildir", "LDAP_FULLNAME": "cn",
                "LDAP_MAILDIRQUOTA": "waypostQuota", "LDAP_CRYPTPW": "userPassword", "LDAP_UID": "uidNumber", "LDAP_GID": "gidNumber",
                "LDAP_AUXOPTIONS": "waypostMailHost=mailhost"}

        def case(what, more, asks, want, other):
            return Case(what, {"authldaprc": {**base, **more}}, asks, want, other)
        yield case("fields", {"LDAP_CLEARPW": "title", "LDAP_FILTER": "(objectClass=waypostAccount)"}, [KIM, ("auth", "jo@odd.example", "Other")],
                   ["account: kim@odd.example", "password: clear", GOOD], {"LDAP_CLEARPW": (None, WRONG)})
        yield case("more fields", {}, [JO],
                   ["account: jo@odd.example", f"uid: {UID}", f"gid: {GID}", f"home: {self.jo.home}", "full name: Jo", "quota: 10S", "maildir: Maildir",
                    "options: mailhost=a.example.com", GOOD],
                   {"LDAP_URI": (f"ldap://127.0.0.9:{self.dir.port}", NOT_NOW), "LDAP_BASEDN": ("ou=map,dc=example,dc=com", NOBODY),
                    "LDAP_PROTOCOL_VERSION": (2, NOT_NOW), "LDAP_INITBIND": (0, "result: the account is locked or has no password"),
                    "LDAP_BINDDN": (f"cn=Jo,{people}", NOT_NOW), "LDAP_BINDPW": ("wrong", NOT_NOW), "LDAP_MAIL": ("uid", NOBODY),
                    "LDAP_FILTER": ("(employeeNumber=1)", NOBODY), "LDAP_HOMEDIR": ("carLicense", "home: /elsewhere"),
                    "LDAP_MAILROOT": ("/root", f"home: /root/{self.jo.home}"), "LDAP_MAILDIR": ("title", "maildir: Other"),
                    "LDAP_MAILDIRQUOTA": ("title", "quota: Other"), "LDAP_FULLNAME": ("sn", "full name: Sn"), "LDAP_CRYPTPW": ("description", WRONG),
                    "LDAP_UID": ("employeeNumber", "uid: 4999"), "LDAP_GID": ("employeeNumber", "gid: 4999"),
                    "LDAP_AUXOPTIONS": ("title=x,seeAlso=y,waypostMailHost=z", "options: x=Other,z=a.example.com\n"),
                    "authdaemonrc.DEFAULTOPTIONS": ("c=4", "options: mailhost=a.example.com,c=4\n")})
        yield case("another reader", {"LDAP_BINDDN": "cn=reader,dc=example,dc=com", "LDAP_BINDPW": "reader"}, [JO],
                   ["result: the account is locked or has no password"], {"LDAP_BINDPW": ("admin", NOT_NOW), "LDAP_AUTHBIND": (1, GOOD)})
        yield case("ids for all", {"LDAP_UID": "destinationIndicator", "LDAP_GID": "destinationIndicator", "LDAP_GLOB_UID": 4001, "LDAP_GLOB_GID": 4002}, [JO],
                   ["uid: 4001\n", "gid: 4002\n"], {"LDAP_GLOB_UID": ("mail", f"uid: {pwd.getpwnam('mail').pw_uid}\n"),
                                                    "LDAP_GLOB_GID": ("mail", f"gid: {grp.getgrnam('mail').gr_gid}\n")})
        yield case("a domain", {"LDAP_DOMAIN": "odd.example"}, [("auth", "jo", "hashed")], ["full name: Jo\n", "account: jo\n"],
                   {"LDAP_DOMAIN": ("b.example", "full name: Jo of b")})
        yield case("delivery", {"LDAP_DEFAULTDELIVERY": "title", "LDAP_AUXOPTIONS": None}, [("imap", *JO[1:])],
                   [f"IMAP OK ['{self.jo.name} lives on any node']"], {f"imapd.AUTHSERVICE{self.pool.imap_port}": ("courier", "IMAP OK ['in the other']")})
        service = {f"AUTHSERVICE{self.pool.imap_port}": "courier"}
        yield Case("LDAP_DEFAULTDELIVERY", {"authldaprc": {**base, "LDAP_DEFAULTDELIVERY": "title", "LDAP_AUXOPTIONS": None}, "imapd": service},
                   [("imap", *JO[1:])], ["IMAP OK ['in the other']"], {"LDAP_DEFAULTDELIVERY": (None, "lives on any node")})
        yield case("aliases", {"LDAP_BASEDN": "ou=aliases,dc=example,dc=com", "LDAP_DEREF": "always"}, [JO], ["full name: Jo elsewhere", GOOD],
                   {"LDAP_DEREF": ("never", NOBODY)})
        yield case("aliases below the base", {"LDAP_BASEDN": "ou=aliases,dc=example,dc=com", "LDAP_DEREF": "searching"}, [JO], [GOOD],
                   {"LDAP_DEREF": ("finding", NOBODY)})
        yield case("an alias as the base", {"LDAP_BASEDN": "cn=alias,ou=aliases,dc=example,dc=com", "LDAP_DEREF": "finding"}, [JO], [GOOD],
                   {"LDAP_DEREF": ("searching", NOBODY)})
        yield case("mapped names", {"LDAP_EMAILMAP": "(&(uid=@user@)(ou=@realm@))", "LDAP_EMAILMAP_BASEDN": "ou=map,dc=example,dc=com",
                                    "LDAP_EMAILMAP_ATTRIBUTE": "employeeType", "LDAP_EMAILMAP_MAIL": "employeeType"},
                   [("auth", "virtual@virtual.example", "hashed"), ("auth", "virtual@other.example", "hashed")], ["full name: Jo\n", GOOD, NOBODY],
                   {"LDAP_EMAILMAP": ("(&(uid=@user@)(employeeNumber=@realm@))", NOBODY + ' "virtual@virtual.example"'),
                    "LDAP_EMAILMAP_BASEDN": (people, NOBODY + ' "virtual@virtual.example"'),
                    "LDAP_EMAILMAP_ATTRIBUTE": ("employeeNumber", NOBODY + ' "virtual@virtual.example"'),
                    "LDAP_EMAILMAP_MAIL": ("uid", NOBODY + ' "virtual@virtual.example"')})
        yield case("a list", {"LDAP_ENUMERATE_FILTER": "(uid=kim)"}, [("list",)],
                   [f"kim@odd.example\t{UID}\t{GID}\t{self.jo.home}\t\t\nother@odd.example\t", "status: 0"],
                   {"LDAP_ENUMERATE_FILTER": (None, "\njo@odd.example\t")})
        yield modules(self, base)
        # TLS
        ca, other = self.dir.file("ca.pem"), self.dir.file("other.pem")
        none, revoked = revocations(self.dir)

        def tls(what, daemon, other, **more):
            return Case(what, {"authldaprc": {**base, "LDAP_TLS": 1, **more}, "authdaemonrc": {"LDAPTLS_CACERT": ca, **daemon}}, [JO], [GOOD],
                        {f"authdaemonrc.{name}": (value, NOT_NOW) for name, value in other.items()})
        yield tls("TLS", {}, {"LDAPTLS_CACERT": other, "LDAPTLS_CIPHER_SUITE": "NONE", "LDAPTLS_CRLFILE": revoked})
        yield tls("nobody is revoked", {"LDAPTLS_CRLFILE": none, "LDAPTLS_CIPHER_SUITE": "NORMAL"}, {})
        yield Case("LDAP_TLS", {"authldaprc": base, "authdaemonrc": {"LDAPTLS_CACERT": other}}, [JO], [GOOD], {"LDAP_TLS": (1, NOT_NOW)})
        yield tls("a folder of authorities", {"LDAPTLS_CACERT": None, "LDAPTLS_CACERTDIR": hashed(self.dir, "ca.pem")},
                  {"LDAPTLS_CACERTDIR": hashed(self.dir, "other.pem")})
        yield tls("any certificate will do", {"LDAPTLS_CACERT": other, "LDAPTLS_REQCERT": "never"}, {"LDAPTLS_REQCERT": "demand"})
        self.start_strict()
        yield Case("a certificate of our own", {
            "authldaprc": {**base, "LDAP_URI": self.strict.uri, "LDAP_TLS": 1},
            "authdaemonrc": {"LDAPTLS_CACERT": self.strict.file("ca.pem"), "LDAPTLS_CERT": self.strict.file("cert.pem"),
                             "LDAPTLS_KEY": self.strict.file("key.pem")}},
            [("auth", "jo@example.com", "secret")], [GOOD],
            {"authdaemonrc.LDAPTLS_CERT": (None, NOT_NOW), "authdaemonrc.LDAPTLS_KEY": (self.strict.file("ca.key"), NOT_NOW)})


def closed_port():
    with socket.socket() as s:
        s.bind((HERE, 0))
        return s.getsockname()[1]


def hashed(directory, name):
    """A folder of authorities as openssl rehash makes it."""
    folder = directory.file(name + ".d")
    if not os.path.isdir(folder):
        directory.run("mkdir", folder)
        directory.run("cp", name, os.path.join(folder, name))
        directory.run("openssl", "rehash", folder)
    return folder


SITES = {"mysql": MysqlSite, "pgsql": PgsqlSite, "ldap": LdapSite, "sqlite": SqliteSite}


@pytest.fixture(scope="module", params=SITES)
def site(request):
    with pytest.MonkeyPatch.context() as patch:
        # The libraries forget memory of the TLS settings that they refuse; with the others leaks are looked for in
        # test_directories.py.
        patch.setenv("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=0")
        one = SITES[request.param]()
        try:
            yield one
        finally:
            one.close()


def test_rows(site):
    """Each setting of each case makes the expected difference."""
    names, failed = set(), []
    for case in site.cases():
        first = answers(site, case.base, case.asks)
        failed += [f"{case.what}: {want!r} is not in {first}" for want in case.want if want not in first]
        for name, (value, want) in case.other.items():
            group, _, setting = name.rpartition(".")
            group = group or site.group
            changed = answers(site, merge(case.base, {group: {setting: value}}), case.asks)
            if want not in changed or want in first:
                what = "is there without it, too" if want in first else f"is not in\n{changed}"
                failed.append(f"{case.what}, {setting} = {value!r}: {want!r} {what}")
            names.add((group, setting))
    assert not failed, "\n\n".join(failed)
    # Every supported row was tested here, or is below.
    wanted = {row for row in rows("acted on") if row[0] == site.group or (row[0] == "authdaemonrc" and row[1].startswith(site.daemon_rows))}
    assert wanted - set(ELSEWHERE) <= names, sorted(wanted - set(ELSEWHERE) - names)


def test_ldap_timeout():
    """A silent server costs LDAP_TIMEOUT, not its default of five seconds."""
    silent = Silent(HERE, closed_port())
    try:
        with Pool(nodes=1, settings={"authdaemonrc": {"authmodulelist": "authldap", "daemons": 1}, "authldaprc": {
                "LDAP_URI": f"ldap://{HERE}:{silent.sock.getsockname()[1]}", "LDAP_BASEDN": "dc=x", "LDAP_TIMEOUT": 1, "LDAP_GLOB_UID": UID,
                "LDAP_GLOB_GID": GID, "LDAP_AUTHBIND": 1}}) as p:
            start = time.monotonic()
            assert NOT_NOW in p.nodes[0].tool("auth", "jo", input="x\n").stdout
            assert time.monotonic() - start < 4 * SLOW
    finally:
        silent.close()


def test_daemons():
    """That many auth workers run."""
    with Pool(nodes=1, settings={"authdaemonrc": {"daemons": 3}}) as p:
        assert len(p.nodes[0].pids("authworker")) == 3
        p.write_conf({"authdaemonrc": {"daemons": 1}})
        assert p.nodes[0].tool("reload").returncode == 0
        wait_for("the others are gone", lambda: len(p.nodes[0].pids("authworker")) == 1)


def test_debug_login():
    """Courier's word for LOG_LEVEL = "debug"."""
    with Pool(nodes=1, accounts=[Account("jo@example.com")]) as p:
        node = p.nodes[0]
        for level in (0, 1):
            p.write_conf({"authdaemonrc": {"DEBUG_LOGIN": level}})
            assert node.tool("reload").returncode == 0
            mark = node.log_mark()
            with Imap(HERE, p.imap_port) as c:
                c.login("jo@example.com", "wrong")  # logged by the login worker itself, after its earlier lines
            node.wait_log(r"imapd: LOGIN FAILED, user=jo@example\.com", mark)
            assert bool(re.search(r"login \d+: \S+ -> ", node.log_since(mark))) == bool(level)


# Rows that cannot be tested with one node and a directory.
ELSEWHERE = {("authldaprc", "LDAP_TIMEOUT"): test_ldap_timeout, ("authdaemonrc", "daemons"): test_daemons,
             ("authdaemonrc", "DEBUG_LOGIN"): test_debug_login}


def test_no_row_is_left_out():
    """A new row, or a new directory, needs a case above."""
    of_sites = {row for one in SITES.values() for row in rows("acted on")
                if row[0] == one.kind_of.group or (row[0] == "authdaemonrc" and row[1].startswith(one.daemon_rows))}
    more = set(rows("acted on")) - of_sites - set(ELSEWHERE)
    assert not more, f"{more} have no case; settings that Courier does not have belong into is_ours() of settings/settings_doc.c"


def test_other_rows_are_told():
    """waypost check reports unsupported settings, with the reason; the rest of the file takes effect."""
    told = rows("ignored", "replaced", "later")
    assert told
    groups = {}
    for group, name in told:
        groups.setdefault(group, {})[name.replace("LDAPTLS_*", "LDAPTLS_DH")] = "x"
    with Pool(nodes=1, settings=groups, start=False) as p:
        r = p.nodes[0].tool("check")
        assert r.returncode == 0, r.stdout
        for group, name in told:
            line = [one for one in r.stdout.splitlines() if f"{group}.{name.replace('LDAPTLS_*', 'LDAPTLS_DH')}" in one]
            assert line and reasons()[group, name] in line[0], (group, name, r.stdout)
