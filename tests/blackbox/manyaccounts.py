"""A very large number of accounts in each kind of directory, loaded as operators would: for the long tests and the bench."""
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time

import directories
from pool import GID, UID

ETC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "etc")
COLUMNS = "name, hash, uid, gid, home, mailhost"


class Many:
    """ACCOUNTS is an iterable of (name, hash, home, mailhost). Afterwards: .module, .settings() for a node, .seconds of loading
    (without generating the data), .server (None: it is a file)."""
    server = None

    def __init__(self, accounts, gid=GID):
        self.gid = gid  # of the group that may read files
        self.root = tempfile.mkdtemp(prefix="wpmany-", dir="/tmp")
        try:
            os.chmod(self.root, 0o755)
            self.make()
            text = os.path.join(self.root, "accounts")
            with open(text, "w") as f:
                f.writelines(self.line(*a) for a in accounts)
            os.chmod(text, 0o644)
            start = time.monotonic()
            self.load(text)
            self.seconds = time.monotonic() - start
        except BaseException:
            self.close()
            raise

    def make(self):
        """The empty directory."""

    def line(self, name, hash, home, mailhost):
        return f"{name}\t{hash}\t{UID}\t{GID}\t{home}\t{mailhost}\n"

    def schema(self, name):
        with open(os.path.join(ETC, "sql", name)) as f:
            return f.read()

    def sql_settings(self, prefix, options):
        return {f"{prefix}_USER_TABLE": "accounts", f"{prefix}_LOGIN_FIELD": "name", f"{prefix}_CRYPT_PWFIELD": "hash",
                f"{prefix}_AUXOPTIONS_FIELD": options, f"{prefix}_WHERE_CLAUSE": "active"}

    def readable(self, path):
        os.chmod(path, 0o640)
        if os.getuid() == 0:
            os.chown(path, 0, self.gid)
        return path

    def close(self):
        if self.server:
            self.server.close()
        shutil.rmtree(self.root, ignore_errors=True)


class Userdb(Many):
    """The file, which the node reads itself."""
    module = "authuserdb"

    def line(self, name, hash, home, mailhost):
        options = f"|options=mailhost={mailhost}" if mailhost else ""
        return f"{name}\tuid={UID}|gid={GID}|home={home}|systempw={hash}{options}\n"

    def load(self, text):
        self.path = self.readable(text)

    def settings(self):
        return {"authuserdb": {"USERDB": self.path}}


class Sqlite(Many):
    module = "authsqlite"

    def load(self, text):
        path = os.path.join(self.root, "accounts.db")
        with sqlite3.connect(path) as db, open(text) as f:
            db.executescript(self.schema("sqlite.sql"))
            db.executemany(f"INSERT INTO accounts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", (line[:-1].split("\t") for line in f))
        self.path = self.readable(path)

    def settings(self):
        return {"authsqliterc": {"SQLITE_DATABASE": self.path,
                                 **self.sql_settings("SQLITE", "iif(mailhost <> '', 'mailhost=' || mailhost, '')")}}


class Pgsql(Many):
    module = "authpgsql"

    def make(self):
        self.server = directories.Postgres()
        self.server.sql("CREATE DATABASE mail; CREATE ROLE waypost LOGIN;")
        self.server.sql(self.schema("postgresql.sql") + "GRANT SELECT ON accounts TO waypost;", "mail")

    def load(self, text):
        self.server.sql(f"COPY accounts ({COLUMNS}) FROM '{text}'; ANALYZE accounts;", "mail")

    def settings(self):
        return {"authpgsqlrc": {"PGSQL_CONNECTION": f"host={self.server.host} port={self.server.port} dbname=mail user=waypost sslmode=disable",
                                **self.sql_settings("PGSQL", "'mailhost=' || nullif(mailhost, '')")}}


class Mysql(Many):
    module = "authmysql"

    class Server(directories.Mariadb):
        buffer = "256M"

    def make(self):
        self.server = self.Server()
        self.server.sql("CREATE DATABASE mail; CREATE USER waypost IDENTIFIED BY 'secret'; GRANT SELECT ON mail.* TO waypost;")
        self.server.sql("SET sql_mode = '';\n" + self.schema("mysql.sql"), "mail")

    def load(self, text):
        self.server.sql(f"LOAD DATA INFILE '{text}' INTO TABLE accounts ({COLUMNS}); ANALYZE TABLE accounts;", "mail")

    def settings(self):
        return {"authmysqlrc": {"MYSQL_SERVER": self.server.host, "MYSQL_PORT": self.server.port, "MYSQL_USERNAME": "waypost",
                                "MYSQL_PASSWORD": "secret", "MYSQL_DATABASE": "mail",
                                **self.sql_settings("MYSQL", "CONCAT('mailhost=', NULLIF(mailhost, ''))")}}


class Ldap(Many):
    module = "authldap"
    people = "ou=people,dc=example,dc=com"

    class Server(directories.Slapd):
        size = 4 << 30

    def make(self):
        self.server = self.Server(["/etc/ldap/schema/misc.schema", os.path.join(ETC, "ldap", "waypost.schema")])
        self.first = True

    def line(self, name, hash, home, mailhost):
        base = ""
        if self.first:
            base = (f"dn: {self.server.suffix}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n"
                    f"dn: {self.people}\nobjectClass: organizationalUnit\nou: people\n\n")
            self.first = False
        host = f"waypostMailHost: {mailhost}\n" if mailhost else ""
        cn = hashlib.sha1(name.encode()).hexdigest()
        return (f"{base}dn: cn={cn},{self.people}\nobjectClass: inetOrgPerson\nobjectClass: waypostAccount\ncn: {cn}\nsn: x\nmail: {name}\n"
                f"userPassword: {hash}\nuidNumber: {UID}\ngidNumber: {GID}\nhomeDirectory: {home}\n{host}\n")

    def load(self, text):
        self.server.stop()
        self.server.run("slapadd", "-q", "-f", self.server.conf, "-l", text, timeout=1200)
        self.server.start()

    def settings(self):
        return {"authldaprc": {"LDAP_URI": self.server.uri, "LDAP_BASEDN": self.people, "LDAP_INITBIND": 1, "LDAP_BINDDN": self.server.admin,
                               "LDAP_BINDPW": "admin", "LDAP_HOMEDIR": "homeDirectory", "LDAP_CRYPTPW": "userPassword", "LDAP_UID": "uidNumber",
                               "LDAP_GID": "gidNumber", "LDAP_AUXOPTIONS": "waypostMailHost=mailhost"}}


KINDS = [Userdb, Sqlite, Pgsql, Mysql, Ldap]
