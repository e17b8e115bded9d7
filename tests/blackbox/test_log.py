"""The log: Courier's format, with more keys at the end, and how fail2ban reads it."""
import base64
import os
import re
import subprocess

import pytest

from client import Imap, Pop3
from fakeserver import FakeServer, silent
from pool import Account, Marks, events, free_port, wait_for

IP = r"\[::ffff:127\.0\.0\.\d+\]"
DEAD = free_port(["127.0.2.2"])
POOL = {"nodes": 2, "settings": {"proxy": {"PROXY_TIMEOUT": 1}},
        "accounts": [Account("down@example.com", mailhost=f"127.0.2.2:{DEAD}"), Account("loop@example.com", mailhost="localhost")]}


def test_shape_of_the_lines(pool):
    """Courier's keys in Courier's order, followed by ours."""
    node = pool.node("127.0.0.1")
    marks = Marks(pool)
    ports = []
    with Imap("127.0.0.1", pool.imap_port) as c:
        ports.append(c.local_port)
        c.login_ok(pool.accounts["anna@example.com"])
        c.ok("SELECT INBOX")
        c.ok("FETCH 1 (BODY.PEEK[])")
        c.ok("LOGOUT")
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        ports.append(c.local_port)
        c.login_ok(pool.accounts["anna@example.com"])
        c.multi("RETR 1")
        c.multi("TOP 1 1")
        c.ok("QUIT")
    for program, port in zip(("imapd", "pop3d"), ports):
        marks.event(node, "LOGOUT", "anna@example.com", program, port)
    text = "\n".join(line for line in marks.text(node).splitlines() if any(f"port=[{port}]" in line for port in ports))
    user = r"user=anna@example\.com, ip=%s, port=\[\d+\]" % IP
    assert re.search(r"imapd: LOGIN, %s, protocol=IMAP(, |$)" % user, text, re.M), text
    assert re.search(r"imapd: LOGOUT, %s, headers=\d+, body=\d+, rcvd=\d+, sent=\d+, time=\d+(, |$)" % user, text, re.M), text
    assert re.search(r"pop3d: LOGIN, %s(, |$)" % user, text, re.M), text
    assert re.search(r"pop3d: LOGOUT, %s, top=\d+, retr=\d+, rcvd=\d+, sent=\d+, time=\d+(, |$)" % user, text, re.M), text
    for event in events(text, user="anna@example.com"):
        assert event.get("session"), event
        if event["event"] == "LOGOUT":
            assert event["end"] == "logout"
            assert int(event["sent"]) > 0 and int(event["rcvd"]) > 0
    pop = events(text, "LOGOUT", program="pop3d")[0]
    assert int(pop["retr"]) > 0 and int(pop["top"]) > 0
    sessions = {e["session"] for e in events(text)}
    assert len(sessions) == 2


def test_forwarded_session(pool):
    node = pool.node("127.0.0.1")
    for kind, port, program in ((Imap, pool.imap_port, "imapd"), (Pop3, pool.pop3_port, "pop3d")):
        marks = Marks(pool)
        with kind("127.0.0.1", port) as c:
            client = c.local_port
            c.login_ok(pool.accounts["berta@example.com"])
            c.ok("LOGOUT" if kind is Imap else "QUIT")
        login = marks.event(node, "LOGIN", "berta@example.com", program, client)
        assert login["mailhost"] == "127.0.0.2"
        assert f"127.0.0.2" in login["backend"] and str(port) in login["backend"]

        def end():
            return [e for e in events(marks.text(node), user="berta@example.com", program=program, port=client) if e["event"] in ("LOGOUT", "DISCONNECTED")]
        line = wait_for("the end of the forwarded session", end)[0]
        assert int(line["sent"]) > 0 and int(line["rcvd"]) > 0 and line["end"] and line["session"] == login["session"]
        assert line["keys"].index("ip") == 1 and line["keys"].index("port") == 2


def test_program_names_and_failures(pool):
    marks = Marks(pool)
    with Imap("127.0.0.1", pool.imap_port) as c:
        c.login("anna@example.com", "wrong")
        c.cmd(b"AUTHENTICATE PLAIN " + base64.b64encode(b"\0anna@example.com\0wrong"))
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        c.login("ghost@example.com", "wrong")
    wait_for("three failures", lambda: len(events(marks.text(), "LOGIN FAILED")) == 3)
    text = marks.text()
    assert re.search(r"imapd: LOGIN FAILED, user=anna@example\.com, ip=%s, port=\[\d+\]" % IP, text)
    assert re.search(r"imapd: LOGIN FAILED, (user=anna@example\.com|method=PLAIN), ip=%s, port=\[\d+\]" % IP, text)
    assert re.search(r"pop3d: LOGIN FAILED, user=ghost@example\.com, ip=%s, port=\[\d+\]" % IP, text)
    assert "wrong" not in text


def test_attempts_that_cannot_be_right_are_logged_as_failed(pool):
    """An empty password, a name with control characters, ...: programs that search the log for attackers (fail2ban) see each of
    them."""
    marks = Marks(pool)
    plain = lambda data: base64.b64encode(data).decode()
    imap = ['LOGIN anna@example.com ""', 'LOGIN "" guess', "LOGIN anna@example.com " + "x" * 1100, "LOGIN " + "n" * 600 + " guess",
            "AUTHENTICATE PLAIN " + plain(b"\0anna@example.com\0"), "AUTHENTICATE PLAIN " + plain(b"\0anna@example.com\0a\0b"),
            "AUTHENTICATE PLAIN " + plain(b"\0\x1b[31manna\0guess")]
    pop3 = ["PASS", "PASS ", "PASS gu\x01ess", "PASS gu\0ess", "AUTH PLAIN " + plain(b"\0anna@example.com\0")]
    for some in imap[:4], imap[4:]:  # a connection has only so many
        with Imap("127.0.0.1", pool.imap_port) as c:
            for text in some:
                assert c.cmd(text).text.startswith(b"NO [AUTHENTICATIONFAILED]"), text
            c.login_ok(pool.accounts["anna@example.com"])
    with Pop3("127.0.0.1", pool.pop3_port) as c:
        for text in pop3:
            if text.startswith("PASS"):
                c.ok("USER anna@example.com")
            assert c.cmd(text).startswith(b"-ERR [AUTH]"), text
    wait_for("all failures", lambda: len(events(marks.text(), "LOGIN FAILED")) == len(imap) + len(pop3))
    text = marks.text()
    assert "guess" not in text and "\x1b" not in text
    for line in text.splitlines():
        assert "LOGIN FAILED" not in line or re.search(r"LOGIN FAILED, (?:user|method)=.*, ip=%s" % IP, line), line


def test_passwords_are_never_logged(make_pool):
    """At no level, neither of successful nor of failed, forwarded or broken logins."""
    p = make_pool(nodes=2, settings={"DEBUG_LOGIN": 2, "LOG_LEVEL": "debug", "imapd": {"DEBUG_LOGIN": 2}, "authdaemonrc": {"DEBUG_LOGIN": 2}},
                  accounts=[Account("here@example.com", password="Sesam-0pen", mailhost="127.0.0.1"),
                            Account("there@example.com", password="Sesam-0pen", mailhost="127.0.0.2")])
    encoded = base64.b64encode(b"\0here@example.com\0Sesam-0pen")
    for name in ("here@example.com", "there@example.com"):
        with Imap("127.0.0.1", p.imap_port) as c:
            c.login(name, "Sesam-0pen-wrong")
            c.login_ok(p.accounts[name])
        with Imap("127.0.0.1", p.imap_port) as c:
            c.cmd(b"AUTHENTICATE PLAIN " + encoded)
        with Imap("127.0.0.1", p.imap_port) as c:
            c.cmd(f'LOGIN {name} "Sesam-0pen" surplus')
            c.cmd(f'LOGIN "{name} Sesam-0pen')
            c.cmd(f"LOGON {name} Sesam-0pen")
            c.send(f"x LOGIN {name} {{10}}\r\n")
            c.line()
            c.send("Sesam-0pen")
            c.abort()
        with Pop3("127.0.0.1", p.pop3_port) as c:
            c.login_ok(p.accounts[name])
        with Pop3("127.0.0.1", p.pop3_port) as c:
            c.cmd("PASS Sesam-0pen")
            c.cmd(b"AUTH PLAIN " + encoded)
        p.nodes[0].tool("auth", name, input="Sesam-0pen\n")
    assert p.nodes[0].stop() == 0 and p.nodes[1].stop() == 0
    for node in p.nodes:
        assert "LOGIN, user=" in node.log()
        assert "Sesam" not in node.log()
        assert encoded.decode() not in node.log()


def matched(log):
    result = subprocess.run(["fail2ban-regex", "--print-all-matched", log, "/etc/fail2ban/filter.d/courier-auth.conf"],
                            capture_output=True, text=True, timeout=120)
    found = re.search(r"Lines: (\d+) lines, \d+ ignored, (\d+) matched", result.stdout)
    assert found, result.stdout + result.stderr
    return int(found.group(2)), result.stdout


@pytest.mark.skipif(not os.path.exists("/etc/fail2ban/filter.d/courier-auth.conf"), reason="fail2ban is not installed")
def test_fail2ban_finds_every_failure_and_no_outage(make_pool):
    quiet = FakeServer("127.0.3.2", silent)
    dead = free_port(["127.0.2.3"])
    p = make_pool(nodes=1, settings={"proxy": {"PROXY_TIMEOUT": 1}}, start=False,
                  accounts=[Account("anna@example.com", mailhost="127.0.0.1"), Account("down@example.com", mailhost=f"127.0.2.3:{dead}"),
                            Account("quiet@example.com", mailhost=quiet.host), Account("loop@example.com", mailhost="localhost"),
                            Account("gone@example.com"), Account("bad@example.com", fields={"uid": "nonsense"})])
    log = os.path.join(p.root, "mail.log")
    p.write_conf({"LOG": log})
    # Without -F, as on a real site: then the log goes where LOG says.
    node = p.nodes[0]
    import pool as pool_module
    result = subprocess.run([os.path.join(pool_module.PREFIX, "sbin", "waypostd"), "-c", p.conf], env=node.env, preexec_fn=node.as_user(),
                            capture_output=True, timeout=60, text=True)
    assert result.returncode == 0, result.stderr
    try:
        import shutil
        shutil.rmtree(p.accounts["gone@example.com"].home)
        failures = 0
        for name in ("anna@example.com", "nobody@example.com", "d'oh", "with blank@example.com", "comma,ted", "x, ip=[192.0.2.66]",
                     "x, ip=[192.0.2.66], port=[1], protocol=IMAP"):
            with Imap("127.0.0.1", p.imap_port) as c:
                c.login(name, "wrong")
                c.cmd(b"AUTHENTICATE PLAIN " + base64.b64encode(b"\0" + name.encode() + b"\0wrong"))
                failures += 2
            with Pop3("127.0.0.1", p.pop3_port) as c:
                c.login(name, "wrong")
                c.cmd(b"AUTH PLAIN " + base64.b64encode(b"\0" + name.encode() + b"\0wrong"))
                failures += 2
        for name in ("down@example.com", "quiet@example.com", "loop@example.com", "gone@example.com", "bad@example.com", "anna@example.com"):
            with Imap("127.0.0.1", p.imap_port) as c:
                c.login(name, "secret-" + name)
            with Pop3("127.0.0.1", p.pop3_port) as c:
                c.login(name, "secret-" + name)
        wait_for("all failures are logged", lambda: open(log).read().count("LOGIN FAILED") >= failures)
        wait_for("the last login is logged", lambda: "pop3d: LOGIN, user=anna@example.com" in re.sub(r"\[\d+\]:", ":", open(log).read()))
        count, text = matched(log)
        assert count == failures, text
        banned = subprocess.run(["fail2ban-regex", "-o", "ip", log, "/etc/fail2ban/filter.d/courier-auth.conf"], capture_output=True,
                                text=True, timeout=120).stdout.split()
        assert set(banned) == {"127.0.0.1"}, "a name had somebody else banned"
    finally:
        quiet.close()
        node.tool("stop")
        wait_for("it ended", lambda: node.tool("status").returncode == 2)
        pool_module.reap()
