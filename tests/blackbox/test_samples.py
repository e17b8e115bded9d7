"""The samples of etc/sql and etc/ldap as an operator uses them: the settings, statements and accounts in their comments,
unchanged except for names of servers, passwords and paths."""
import os
import re
import sqlite3

import pytest

from directories import Mariadb, Postgres, Slapd
from pool import Pool, chown, render, sha
from test_directories import ETC, HERE

pytestmark = pytest.mark.once


class Sample:
    def __init__(self, *path):
        self.path = os.path.join(ETC, *path)
        with open(self.path) as f:
            self.text = f.read()
        # Without the comment signs; code keeps its lines.
        self.plain = re.sub(r"(?m)^(--|#) ?", "", self.text)

    def settings(self, **changes):
        """The groups in the comment; CHANGES: text -> replacement, each text must occur."""
        found = re.search(r"(?ms)^  authdaemonrc = .*?^  \};", self.plain).group(0)
        for old, new in changes.items():
            assert old in found, old
            found = found.replace(old, new)
        return found + "\n"

    def statement(self, begin, **changes):
        """One statement of the comment."""
        found = re.search(rf"{re.escape(begin)}.*?;", self.plain, re.S).group(0)
        for old, new in changes.items():
            assert old in found, old
            found = found.replace(old, new)
        return found + "\n"


def try_it(settings, prepare=None):
    """A node with SETTINGS (text) and nothing else of the sample's groups."""
    with Pool(nodes=1, start=False) as p:
        p.write_conf(text=render({**p.settings, "authdaemonrc": None, "pop3d": None}) + settings)
        if prepare is not None:
            prepare(p)
        node = p.nodes[0]
        check = node.tool("check")
        assert check.returncode == 0, check.stdout
        assert not re.search(r"\.(LDAP|MYSQL|PGSQL|SQLITE)_\S+ .*(ignored|later|replaced)", check.stdout), check.stdout
        node.start(wait=False)
        node.wait_log("is ready as node")
        for password, status in (("secret", 0), ("wrong", 1)):
            r = node.tool("auth", "jo@example.com", input=password + "\n")
            assert r.returncode == status, (r, node.log())
            for line in ("account: jo@example.com", "uid: 5000", "gid: 5000", "home: /srv/mail/jo", "maildir: (MAILDIRPATH)", "options: mailhost=a.example.com"):
                assert line in r.stdout.splitlines(), (line, r.stdout)
        r = node.tool("auth", "--enumerate", "-o")
        assert r.returncode == 0, r.stderr
        assert "jo@example.com\t5000\t5000\t/srv/mail/jo\t\tmailhost=a.example.com" in r.stdout.splitlines()


INSERT = {"$y$...": sha("secret")}


def test_postgresql():
    sample = Sample("sql", "postgresql.sql")
    server = Postgres()
    try:
        server.sql("CREATE DATABASE mail;" + sample.statement("CREATE ROLE waypost", **{"'...'": "'sample'"}))
        server.sql(sample.text + sample.statement("GRANT SELECT") + sample.statement("INSERT INTO", **INSERT), "mail")
        with open(os.path.join(server.data, "pg_hba.conf"), "w") as f:
            f.write("local all admin trust\nhostssl mail waypost 127.0.0.1/32 scram-sha-256\n")
        server.sql("SELECT pg_reload_conf();")

        def authority(p):
            """Where libpq looks for the certificate."""
            os.mkdir(os.path.join(p.root, ".postgresql"))
            with open(os.path.join(p.root, ".postgresql", "root.crt"), "w") as f, open(server.file("ca.pem")) as ca:
                f.write(ca.read())
            chown(os.path.join(p.root, ".postgresql"))
        try_it(sample.settings(**{"db.example.com": f"{HERE} port={server.port}", "password=...": "password=sample"}), authority)
    finally:
        server.close()


def test_mysql():
    sample = Sample("sql", "mysql.sql")
    server = Mariadb()
    try:
        server.sql("CREATE DATABASE mail;" + sample.statement("CREATE USER waypost", **{"'...'": "'sample'"}))
        server.sql(sample.text + sample.statement("GRANT SELECT") + sample.statement("INSERT INTO", **INSERT), "mail")
        try_it(sample.settings(**{'"db.example.com";': f'"{HERE}"; MYSQL_PORT = {server.port};', '"..."': '"sample"'}))
    finally:
        server.close()


def test_sqlite():
    sample = Sample("sql", "sqlite.sql")
    place = {}

    def make(p):
        place["file"] = os.path.join(p.root, "accounts.db")
        with sqlite3.connect(place["file"]) as db:
            db.executescript(sample.text + sample.statement("INSERT INTO", **INSERT))
        db.close()
        os.chmod(place["file"], 0o640)
        chown(place["file"])
        with open(p.conf) as f:
            text = f.read()
        assert "/etc/waypost/accounts.db" in text
        p.write_conf(text=text.replace("/etc/waypost/accounts.db", place["file"]))
    try_it(sample.settings(), make)


class Directory(Slapd):
    """With the reader that the sample names, and the lines that it requires in slapd.conf."""

    def make(self):
        super().make()
        sample = Sample("ldap", "accounts.ldif")
        access = re.search(r"(?m)^ +access to attrs=userPassword(\n +by .*)+", sample.plain).group(0)
        limits = re.search(r"(?m)^ +limits dn\.exact.*", sample.plain).group(0)
        with open(self.conf) as f:
            text = f.read()
        with open(self.conf, "w") as f:
            f.write(re.sub(r"access to attrs=userPassword.*", re.sub(r"(?m)^  ", "", access + "\n" + limits), text))


def test_ldap(monkeypatch):
    sample = Sample("ldap", "accounts.ldif")
    server = Directory(["/etc/ldap/schema/misc.schema", os.path.join(ETC, "ldap", "waypost.schema")])
    try:
        server.ldif(sample.text)
        server.ldif("dn: cn=waypost,dc=example,dc=com\nobjectClass: person\nsn: x\nuserPassword: sample\n")
        server.ldif("\n".join(f"dn: cn=x{i},ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nsn: x\nmail: x{i}@example.com\nhomeDirectory: /x\n"
                              f"objectClass: posixAccount\nuid: x{i}\nuidNumber: 5000\ngidNumber: 5000\n" for i in range(600)))
        with open(server.file("ldap.conf"), "w") as f:
            f.write(f"TLS_CACERT {server.file('ca.pem')}\n")
        monkeypatch.setenv("LDAPCONF", server.file("ldap.conf"))
        try_it(sample.settings(**{"ldap://ldap.example.com": server.uri, '"..."': '"sample"'}))
    finally:
        server.close()
