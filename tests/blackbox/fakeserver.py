"""Peers that behave as a test says: a listening socket, one thread per connection, a script function each."""
import base64
import re
import socket
import threading
import time


class FakeConn:
    """The server's end of one connection."""

    def __init__(self, sock, log):
        self.sock = sock
        self.sock.settimeout(30)
        self.buf = b""
        self.raw = b""      # all that came
        self.commands = []  # lists of words: [tag, VERB, args...] or [VERB, args...]
        self.log = log

    def send(self, data, piece=0, pause=0.0):
        """Sends DATA; with PIECE, in segments of that many bytes."""
        if isinstance(data, str):
            data = data.encode()
        if not piece:
            self.sock.sendall(data)
            return
        for i in range(0, len(data), piece):
            self.sock.sendall(data[i:i + piece])
            time.sleep(pause or 0.001)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.raw += data
        self.buf += data

    def line(self):
        while b"\r\n" not in self.buf:
            self.fill()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def exactly(self, n):
        while len(self.buf) < n:
            self.fill()
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    def until_eof(self):
        try:
            while True:
                self.fill()
        except (EOFError, OSError):
            pass
        data, self.buf = self.buf, b""
        return data

    def wait_gone(self):
        return self.until_eof()

    def imap_command(self):
        """[tag, VERB, argument...]: atoms, quoted strings and literals as bytes, parentheses as single words."""
        words = []
        while True:
            line = self.line()
            rest = line
            while rest:
                if rest[:1] == b" ":
                    rest = rest[1:]
                elif rest[:1] == b'"':
                    m = re.match(rb'"((?:[^"\\]|\\.)*)"', rest)
                    words.append(re.sub(rb"\\(.)", rb"\1", m.group(1)))
                    rest = rest[m.end():]
                elif rest[:1] in (b"(", b")"):
                    words.append(rest[:1])
                    rest = rest[1:]
                else:
                    m = re.match(rb"\{(\d+)(\+?)\}$", rest)
                    if m:
                        if not m.group(2):
                            self.send(b"+ go ahead\r\n")
                        words.append(self.exactly(int(m.group(1))))
                        break
                    m = re.match(rb"[^ ()\"]+", rest)
                    words.append(m.group(0))
                    rest = rest[m.end():]
            else:
                break
        if len(words) > 1:
            words[1] = words[1].upper()
        self.commands.append(words)
        return words

    def pop3_command(self):
        line = self.line()
        verb, _, rest = line.partition(b" ")
        words = [verb.upper()] + ([rest] if rest else [])
        self.commands.append(words)
        return words


class FakeServer:
    """Listens until closed. SCRIPT(conn) serves each connection; its exceptions are kept in ERRORS."""

    def __init__(self, address, script=None, port=0):
        self.address = address
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, port))
        self.sock.listen(50)
        self.port = self.sock.getsockname()[1]
        self.run(script)

    def run(self, script):
        self.script = script
        self.conns, self.errors = [], []
        self.closing = False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    @property
    def host(self):
        return f"{self.address}:{self.port}"

    def accept(self):
        while not self.closing:
            try:
                sock, client = self.sock.accept()
            except OSError:
                return
            conn = FakeConn(sock, None)
            conn.client = client[0] if client else ""  # at a path
            self.conns.append(conn)
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            if self.script:
                self.script(conn)
        except (EOFError, OSError):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
        finally:
            try:
                conn.sock.close()
            except OSError:
                pass

    @property
    def last(self):
        return self.conns[-1]

    def close(self):
        self.closing = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for conn in self.conns:
            try:
                conn.sock.close()
            except OSError:
                pass


def plain(text):
    """Authorisation id, name, password of a SASL PLAIN answer."""
    parts = base64.b64decode(text).split(b"\0")
    return parts[0], parts[1], parts[2]


def imap_peer(serve=None, greeting="* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID IDLE] peer ready\r\n", ok=None,
              before_ok="", behind_ok="", piece=0, verdict="OK", id_answer='* ID ("name" "peer")\r\n'):
    """A script: an IMAP peer that logs everybody in. OK: text of the reply to the login; BEHIND_OK: bytes after it in the same
    segment; VERDICT: OK, NO or BAD; SERVE(conn) continues after the login."""

    def script(conn):
        conn.send(greeting, piece)
        while True:
            words = conn.imap_command()
            tag, verb = words[0].decode(), words[1]
            if verb == b"ID":
                conn.send(f"{id_answer}{tag} OK ID done\r\n", piece)
            elif verb == b"CAPABILITY":
                conn.send(f"* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN ID IDLE\r\n{tag} OK done\r\n", piece)
            elif verb == b"NOOP":
                conn.send(f"{tag} OK done\r\n", piece)
            elif verb == b"LOGOUT":
                conn.send(f"* BYE\r\n{tag} OK done\r\n")
                return
            elif verb in (b"LOGIN", b"AUTHENTICATE"):
                if verb == b"LOGIN":
                    conn.user, conn.password = words[2], words[3]
                else:
                    if len(words) > 3:
                        response = words[3]
                    else:
                        conn.send("+ \r\n")
                        response = conn.line()
                    conn.authzid, conn.user, conn.password = plain(response)
                conn.tag = tag
                conn.login_verb = verb
                text = ok if ok is not None else "Logged in"
                conn.send(f"{before_ok}{tag} {verdict} {text}\r\n".encode() +
                          (behind_ok if isinstance(behind_ok, bytes) else behind_ok.encode()), piece)
                if verdict == "OK":
                    break
            else:
                conn.send(f"{tag} BAD what?\r\n")
        (serve or imap_echo)(conn)
    return script


def imap_echo(conn):
    """After login: answers every command with an untagged line that repeats it."""
    while True:
        line = conn.line()
        tag, _, rest = line.partition(b" ")
        if line == b"C CAPABILITY":  # not the client's
            conn.send(b"C OK done\r\n")
        elif rest.upper() == b"LOGOUT":
            conn.send(b"* BYE peer says goodbye\r\n" + tag + b" OK LOGOUT done\r\n")
            return
        else:
            conn.send(b"* ECHO " + rest + b"\r\n" + tag + b" OK done\r\n")


def pop3_peer(serve=None, greeting="+OK peer ready\r\n", behind_ok=b"", piece=0, verdict="+OK welcome", user_verdict="+OK go on"):
    """The same for POP3. Accepts XCLIENT if its greeting announces it."""

    def script(conn):
        conn.xclient = []
        conn.utf8 = False
        conn.send(greeting, piece)
        while True:
            words = conn.pop3_command()
            verb = words[0]
            if verb == b"XCLIENT":
                conn.xclient.append(words[1] if len(words) > 1 else b"")
                conn.send("+OK updated\r\n", piece)
            elif verb == b"CAPA":
                conn.send("+OK\r\nUSER\r\nPIPELINING\r\nUTF8 USER\r\nSASL PLAIN LOGIN\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n.\r\n", piece)
            elif verb == b"UTF8":
                conn.utf8 = True
                conn.send("+OK utf8\r\n", piece)
            elif verb == b"USER":
                conn.user = words[1]
                conn.send(user_verdict + "\r\n", piece)
            elif verb == b"QUIT":
                conn.send("+OK bye\r\n")
                return
            elif verb in (b"PASS", b"AUTH"):
                if verb == b"PASS":
                    conn.password = words[1] if len(words) > 1 else b""
                else:
                    args = words[1].split()
                    if len(args) > 1:
                        response = args[1]
                    else:
                        conn.send("+ \r\n")
                        response = conn.line()
                    conn.authzid, conn.user, conn.password = plain(response)
                conn.login_verb = verb
                conn.send(verdict.encode() + b"\r\n" + behind_ok, piece)
                if verdict.startswith("+"):
                    break
            else:
                conn.send("-ERR what?\r\n")
        (serve or pop3_echo)(conn)
    return script


def pop3_echo(conn):
    while True:
        line = conn.line()
        if line.upper() == b"QUIT":
            conn.send(b"+OK peer says goodbye\r\n")
            return
        conn.send(b"+OK echo " + line + b"\r\n")


def silent(conn):
    """Accepts and sends nothing."""
    conn.wait_gone()


def says(data, then_close=False, piece=0):
    """A script: sends DATA and waits (or closes)."""
    def script(conn):
        conn.send(data, piece)
        if not then_close:
            conn.wait_gone()
    return script
