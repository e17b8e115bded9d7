"""Accounts with small Maildirs, for systems that serve mail of their own."""
import base64
import hashlib
import os
import pwd

from peers import password, user

ACCOUNTS = 32   # users= of the points "local" and "pop-local"
MESSAGES = 10


def sha(text):
    return "{SHA}" + base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()


def message(n):
    return (f"From: Sender <sender@example.com>\nTo: someone@example.com\nSubject: message {n}\n"
            f"Date: Mon, 02 Jan 2023 10:00:{n:02d} +0000\nMessage-ID: <{n}@example.com>\n\nHello.\n").encode()


class Local:
    """Mixed into a Peer: Maildirs in its folder, owned by "nobody"."""

    def home(self, n):
        return os.path.join(self.folder, "mail", user(n))

    def make_mail(self):
        owner = pwd.getpwnam("nobody")
        for n in range(ACCOUNTS):
            maildir = os.path.join(self.home(n), "Maildir")
            if os.path.isdir(maildir):
                continue
            for part in ("cur", "new", "tmp"):
                os.makedirs(os.path.join(maildir, part), 0o700)
            for i in range(MESSAGES):
                text = message(i)
                with open(os.path.join(maildir, "cur", f"{1700000000 + i}.M1P1.bench,S={len(text)}:2,S"), "wb") as f:
                    f.write(text)
            for folder, _, files in os.walk(self.home(n)):
                for name in ["", *files]:
                    os.chown(os.path.join(folder, name), owner.pw_uid, owner.pw_gid)

    def account_lines(self, form):
        """A line of text per account; FORM knows {user} {sha} {uid} {gid} {home}. The Maildirs are there afterwards."""
        self.make_mail()
        owner = pwd.getpwnam("nobody")
        return "".join(form.format(user=user(n), sha=sha(password(n)), uid=owner.pw_uid, gid=owner.pw_gid, home=self.home(n))
                       for n in range(ACCOUNTS))
