"""Raw IMAP and POP3 clients, for tests in which single bytes matter. The tests with imaplib, poplib and
real programs are elsewhere."""
import re
import socket
import time

from pool import PATIENCE


class Closed(AssertionError):
    pass


def node_id(greeting):
    """The id of the node, new after each start; for both protocols."""
    return re.search(rb" Waypost node ([0-9a-f]{32}) ready\.(?: <\S+>)?\r?$", greeting).group(1)


class Conn:
    """A socket read by lines; every wait is bounded."""

    def __init__(self, address, port, source=None, timeout=PATIENCE):
        self.sock = socket.create_connection((address, port), timeout=timeout, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""
        self.sent = self.rcvd = 0

    @property
    def local_port(self):
        return self.sock.getsockname()[1]

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")
        self.sent += len(data)
        self.sock.sendall(data)

    def send_pieces(self, data, cuts):
        """Sends DATA in segments cut at the offsets CUTS."""
        start = 0
        for cut in list(cuts) + [len(data)]:
            if cut > start:
                self.send(data[start:cut])
                start = cut
                time.sleep(0.002)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed(f"connection closed; unread: {self.buf[:200]!r}")
        self.rcvd += len(data)
        self.buf += data

    def line(self):
        while b"\n" not in self.buf:
            self.fill()
        line, self.buf = self.buf.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a line without CR: {line!r}"
        return line[:-1]

    def exactly(self, n):
        parts, have = [self.buf], len(self.buf)
        self.buf = b""
        while have < n:
            self.fill()
            parts.append(self.buf)
            have += len(self.buf)
            self.buf = b""
        data = b"".join(parts)
        self.buf = data[n:]
        return data[:n]

    def rest(self):
        """Everything until the other side closes."""
        try:
            while True:
                self.fill()
        except Closed:
            pass
        except ConnectionResetError:
            pass
        data, self.buf = self.buf, b""
        return data

    def is_closed(self, timeout=PATIENCE):
        """True if the other side closes within TIMEOUT; what comes before is kept."""
        old = self.sock.gettimeout()
        self.sock.settimeout(timeout)
        try:
            while True:
                self.fill()
        except (Closed, ConnectionResetError, BrokenPipeError):
            return True
        except (socket.timeout, TimeoutError):
            return False
        finally:
            self.sock.settimeout(old)

    def still_open(self, wait=0.2):
        return not self.is_closed(wait)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def abort(self):
        """Closes with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


LITERAL = re.compile(rb"\{(\d+)\}$")


def quoted(text):
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


class Reply:
    """A command's answer: tagged line and the untagged ones before it, literals in place."""

    def __init__(self, tag, text, untagged):
        self.tag, self.text, self.untagged = tag, text, untagged
        self.status = text.split(b" ", 1)[0].decode().upper()

    @property
    def ok(self):
        return self.status == "OK"

    def find(self, pattern):
        """The first untagged response that matches PATTERN (bytes regex, ignoring case)."""
        for one in self.untagged:
            if re.search(pattern, one, re.I | re.S):
                return one
        return None

    def __repr__(self):
        return f"<{self.tag} {self.text!r} after {self.untagged!r}>"


class Imap(Conn):
    def __init__(self, address, port, source=None, timeout=PATIENCE, greeting=True):
        super().__init__(address, port, source, timeout)
        self.n = 0
        self.greeting = None
        if greeting:
            self.greeting = self.response()
            assert self.greeting.startswith(b"* "), self.greeting

    def tag(self):
        self.n += 1
        return f"t{self.n:03d}"

    def response(self):
        """One response with its literals (CRLF and literal bytes in place), without the last CRLF."""
        whole = b""
        while True:
            line = self.line()
            whole += line
            literal = LITERAL.search(line)
            if not literal:
                return whole
            whole += b"\r\n" + self.exactly(int(literal.group(1)))

    def finish(self, tag):
        """Reads to the tagged answer of TAG."""
        tag = tag.encode() if isinstance(tag, str) else tag
        untagged = []
        while True:
            one = self.response()
            if one.startswith(tag + b" "):
                return Reply(tag.decode(), one[len(tag) + 1:], untagged)
            assert one.startswith((b"* ", b"+ ", b"+")), f"not an answer for {tag}: {one!r}"
            untagged.append(one)

    def cmd(self, text, *literals):
        """Sends a command; text may hold {n} for each of LITERALS at a line's end, which are sent when asked for."""
        tag = self.tag()
        text = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        self.send(tag.encode() + b" " + text + b"\r\n")
        untagged = []
        for literal in literals:
            data, more = literal if isinstance(literal, tuple) else (literal, b"")
            while True:
                one = self.response()
                if one.startswith(b"+"):
                    break
                if one.startswith(tag.encode() + b" "):
                    return Reply(tag, one[len(tag) + 1:], untagged)
                untagged.append(one)
            self.send(data + more + b"\r\n")
        reply = self.finish(tag)
        reply.untagged = untagged + reply.untagged
        return reply

    def ok(self, text, *literals):
        reply = self.cmd(text, *literals)
        assert reply.ok, f"{text!r}: {reply}"
        return reply

    def login(self, name, password):
        """LOGIN with quoted strings."""
        return self.cmd(b"LOGIN " + quoted(name) + b" " + quoted(password))

    def login_ok(self, account):
        reply = self.login(account.name, account.password)
        assert reply.ok, f"login of {account.name}: {reply}"
        return self

    def subjects(self, mailbox="INBOX"):
        """Subjects of all messages of MAILBOX, in order."""
        self.ok(b"SELECT " + quoted(mailbox))
        reply = self.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [re.search(rb"Subject: (.*?)\r\n", u).group(1).decode() for u in reply.untagged if b"Subject:" in u]

    def append(self, mailbox, data, flags="", date=""):
        args = " ".join(x for x in (f"({flags})" if flags else "", f'"{date}"' if date else "") if x)
        return self.cmd(b"APPEND " + quoted(mailbox) + b" " + (args + " " if args else "").encode() + b"{%d}" % len(data), data)


class Pop3(Conn):
    def __init__(self, address, port, source=None, timeout=PATIENCE, greeting=True):
        super().__init__(address, port, source, timeout)
        self.greeting = None
        if greeting:
            self.greeting = self.line()
            assert self.greeting.startswith(b"+OK"), self.greeting

    def cmd(self, text):
        self.send((text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")) + b"\r\n")
        return self.line()

    def ok(self, text):
        answer = self.cmd(text)
        assert answer.startswith(b"+OK"), f"{text!r}: {answer!r}"
        return answer

    def body(self):
        """Lines of a multi-line reply, with dots unescaped."""
        lines = []
        while True:
            line = self.line()
            if line == b".":
                return lines
            lines.append(line[1:] if line.startswith(b".") else line)

    def multi(self, text):
        self.ok(text)
        return self.body()

    def login(self, name, password):
        answer = self.cmd(b"USER " + (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")))
        if not answer.startswith(b"+OK"):
            return answer
        return self.cmd(b"PASS " + (password if isinstance(password, bytes) else password.encode("utf-8", "surrogateescape")))

    def login_ok(self, account):
        answer = self.login(account.name, account.password)
        assert answer.startswith(b"+OK"), f"login of {account.name}: {answer!r}"
        return self

    def subjects(self):
        found = []
        for line in self.multi("LIST"):
            for head in self.multi(b"TOP " + line.split()[0] + b" 0"):
                if head.startswith(b"Subject: "):
                    found.append(head[9:].decode())
        return found
