"""Clients for chaos.py: many logins, and sessions that stay open, through several nodes. Each login and each session knows what it
must see to the byte; what it saw is kept as one record, judged later, when it is known which routes the fault may touch."""
import asyncio
import dataclasses
import random
import re
import time

SPOILT = "spoilt"  # a message that came whole, but is another than the one that was stored
PATIENCE = 20.0  # seconds for one answer; a node answers long before


@dataclasses.dataclass(frozen=True)
class User:
    name: str
    password: str
    home: str        # who has the mail: a key of chaos.Homes
    text: bytes      # message 1 as it travels, CRLF
    maildir: str = ""  # "": no APPEND


@dataclasses.dataclass
class Login:
    front: str
    user: User
    protocol: str
    right: bool      # the right password was sent
    verdict: str     # ok, wrong, unavailable, closed, refused, late, cut, or what was said that is none of these
    began: float
    took: float      # seconds until the verdict
    damage: str = ""  # what was not as it was stored
    appended: str = ""  # acknowledged message


class Closed(Exception):
    pass


class Client:
    """One connection that speaks IMAP or POP3."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.reader = self.writer = None
        self.tags = 0

    async def open(self, address, port):
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(address, port, limit=1 << 20), PATIENCE)

    async def line(self):
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise Closed
        return line

    def close(self):
        if self.writer is not None:
            self.writer.transport.abort()

    def send(self, data):
        self.writer.write(data)

    # IMAP

    async def command(self, text, literal=None):
        """(tagged reply, untagged bytes)"""
        self.tags += 1
        tag = b"a%d" % self.tags
        self.send(tag + b" " + text + b"\r\n")
        untagged = b""
        while True:
            line = await self.line()
            if line.startswith(tag + b" "):
                return line[len(tag) + 1:], untagged
            if line.startswith(b"+") and literal is not None:
                self.send(literal + b"\r\n")
                literal = None
                continue
            untagged += line
            m = re.search(rb"\{(\d+)\}\r\n$", line)
            if m:
                try:
                    untagged += await self.reader.readexactly(int(m.group(1)))
                except asyncio.IncompleteReadError:
                    raise Closed from None

    # POP3

    async def multiline(self, text):
        self.send(text + b"\r\n")
        first = await self.line()
        if not first.startswith(b"+OK"):
            return first, b""
        data = b""
        while (line := await self.line()) != b".\r\n":
            data += line[1:] if line.startswith(b".") else line
        return first, data

    async def login(self, user, password):
        """The verdict."""
        greeting = await self.line()
        if greeting.startswith((b"* BYE [UNAVAILABLE]", b"-ERR [SYS/TEMP]")):
            return "unavailable"
        if self.protocol == "imap":
            if not greeting.startswith(b"* OK"):
                return "greeting: " + repr(greeting[:80])
            try:
                reply, _ = await self.command(f'LOGIN "{user.name}" "{password}"'.encode())
            except Closed:
                return "closed"
            for start, verdict in ((b"OK", "ok"), (b"NO [AUTHENTICATIONFAILED]", "wrong"), (b"NO [UNAVAILABLE]", "unavailable"),
                                   (b"NO [LIMIT]", "unavailable")):
                if reply.startswith(start):
                    return verdict
            return repr(reply[:80])
        if not greeting.startswith(b"+OK"):
            return "greeting: " + repr(greeting[:80])
        self.send(f"USER {user.name}\r\n".encode())
        reply = await self.line()
        if reply.startswith(b"+OK"):
            self.send(f"PASS {password}\r\n".encode())
            reply = await self.line()
        for start, verdict in ((b"+OK", "ok"), (b"-ERR [AUTH]", "wrong"), (b"-ERR [SYS/TEMP]", "unavailable"),
                               (b"-ERR [IN-USE]", "unavailable")):
            if reply.startswith(start):
                return verdict
        return repr(reply[:80])

    async def read_first(self, user):
        """What is wrong with message 1: "" if nothing is; it begins with SPOILT if it came, but not as it was stored."""
        if self.protocol == "pop3":
            reply, data = await self.multiline(b"RETR 1")
            good, same = reply.startswith(b"+OK"), data == user.text
        else:
            reply, data = await self.command(b"FETCH 1 BODY.PEEK[]")
            good, same = reply.startswith(b"OK"), data.count(b"{%d}\r\n" % len(user.text) + user.text) == 1
        if not good:
            return "refused: " + repr(reply[:60])
        return "" if same else f"{SPOILT}: {len(data)} bytes for {len(user.text)}"

    async def select(self):
        if self.protocol == "imap":
            reply, _ = await self.command(b"SELECT INBOX")
            return reply.startswith(b"OK")
        return True

    async def append(self, mark):
        """Whether a message with MARK was acknowledged."""
        data = f"Subject: {mark}\r\n\r\nchaos\r\n".encode()
        reply, _ = await self.command(b"APPEND INBOX {%d}" % len(data), data)
        return reply.startswith(b"OK")

    async def goodbye(self):
        self.send(b"z LOGOUT\r\n" if self.protocol == "imap" else b"QUIT\r\n")
        while await self.reader.read(4096):
            pass


class Load:
    """FRONTS: {name: (address, {"imap": port, "pop3": port})}."""

    def __init__(self, fronts, users, seed):
        self.fronts, self.users = fronts, users
        self.random = random.Random(seed)
        self.logins = []
        self.sessions = []
        self.appended = {}  # user's name -> marks that were acknowledged
        self.marks = 0

    async def one(self, front, user, protocol, right, append):
        """One login from connection to goodbye; never raises."""
        client = Client(protocol)
        address, ports = self.fronts[front]
        began = time.monotonic()
        record = Login(front, user, protocol, right, "late", began, 0)
        try:
            try:
                await client.open(address, ports[protocol])
            except OSError:
                record.verdict = "refused"
                return
            password = user.password if right else user.password + "x"
            try:
                record.verdict = await asyncio.wait_for(client.login(user, password), PATIENCE)
            except (Closed, OSError):
                record.verdict = "closed"
            record.took = time.monotonic() - began
            if record.verdict != "ok":
                return
            try:
                await asyncio.wait_for(self.work(client, user, append, record), PATIENCE)
            except (Closed, OSError, asyncio.TimeoutError):
                record.verdict = "cut"
        except asyncio.TimeoutError:
            pass
        finally:
            record.took = record.took or time.monotonic() - began
            client.close()
            self.logins.append(record)

    async def work(self, client, user, append, record):
        if not await client.select():
            record.damage = "refused: SELECT"
            return
        record.damage = await client.read_first(user)
        if append and user.maildir and client.protocol == "imap":
            self.marks += 1
            mark = f"chaos-{self.marks}"
            if await client.append(mark):
                record.appended = mark
                self.appended.setdefault(user.maildir, []).append(mark)
        await client.goodbye()

    async def steady(self, count, clients, fronts, seconds):
        """COUNT logins by CLIENTS at a time; FRONTS: {name: weight}. Ends after SECONDS at the latest."""
        left = count
        end = time.monotonic() + seconds
        names, weights = list(fronts), list(fronts.values())

        async def client():
            nonlocal left
            while left > 0 and time.monotonic() < end:
                left -= 1
                front = self.random.choices(names, weights)[0]
                await self.one(front, self.random.choice(self.users), self.random.choice(("imap", "imap", "pop3")),
                               self.random.random() > 0.1, self.random.random() < 0.1)
        await asyncio.gather(*(client() for _ in range(clients)))

    # Sessions that stay

    async def open_sessions(self, count, fronts):
        """COUNT sessions over all FRONTS and homes, each of which read its message once."""
        names = list(fronts)

        async def some(numbers):
            for n in numbers:
                session = Session(names[n % len(names)], self.users[n // len(names) % len(self.users)],
                                  "pop3" if n % 3 == 2 else "imap")
                await session.start(self.fronts[session.front])
                self.sessions.append(session)
        await asyncio.gather(*(some(range(i, count, 16)) for i in range(16)))

    async def close_sessions(self):
        await asyncio.gather(*(session.stop() for session in self.sessions))
        self.sessions = []


class Session:
    """Reads its message every second or so and compares; ENDED says why it does not any more."""

    def __init__(self, front, user, protocol):
        self.front, self.user, self.protocol = front, user, protocol
        self.client = Client(protocol)
        self.ended = self.damage = ""
        self.task = None
        self.reads = 0

    async def start(self, where):
        address, ports = where
        for _ in range(40):  # a POP3 mailbox may still be locked by the one before
            self.client = Client(self.protocol)
            await self.client.open(address, ports[self.protocol])
            try:
                verdict = await asyncio.wait_for(self.client.login(self.user, self.user.password), PATIENCE)
            except (Closed, OSError):
                verdict = "closed"
            if verdict == "ok":
                break
            self.client.close()
            await asyncio.sleep(0.5)
        else:
            raise AssertionError(f"session of {self.user.name} at {self.front}: {verdict}")
        assert await self.client.select(), self.user.name
        self.damage = await self.client.read_first(self.user)
        self.task = asyncio.create_task(self.go_on())

    async def go_on(self):
        try:
            while not self.damage:
                await asyncio.sleep(0.5 + random.random())
                self.damage = await asyncio.wait_for(self.client.read_first(self.user), PATIENCE)
                self.reads += 1
            self.ended = self.damage
        except asyncio.CancelledError:
            pass
        except asyncio.TimeoutError:
            self.ended = f"no answer for {PATIENCE:.0f} s"
        except (Closed, OSError) as e:
            self.ended = type(e).__name__

    async def stop(self):
        while not self.task.done():  # wait_for() may swallow one cancellation
            self.task.cancel()
            await asyncio.wait([self.task], timeout=1)
        self.client.close()


class Foreign:
    """A server that is none of ours, with a MODE: good, or one of the ways to be bad."""

    def __init__(self, users):
        self.users = {u.name: u for u in users}
        self.mode = "good"
        self.servers = []
        self.open = set()

    async def start(self, address, ports):
        for protocol, port in ports.items():
            self.servers.append(await asyncio.start_server(lambda r, w, p=protocol: self.serve(r, w, p), address, port, limit=1 << 20,
                                                           backlog=1000))

    async def stop(self):
        for server in self.servers:
            server.close()
        for writer in list(self.open):
            writer.transport.abort()

    async def serve(self, reader, writer, protocol):
        self.open.add(writer)
        try:
            if self.mode == "mute":
                await asyncio.sleep(3600)
            if self.mode == "drop":
                return
            out = Drip(writer) if self.mode == "drip" else writer
            if self.mode == "long line":
                for _ in range(160):  # 10 MB without an end
                    writer.write(b"x" * 65536)
                    await writer.drain()
                await asyncio.sleep(3600)
            await getattr(self, protocol)(reader, out)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open.discard(writer)
            writer.transport.abort()

    def check(self, name, password):
        user = self.users.get(name)
        return user if user and user.password == password else None

    async def imap(self, reader, out):
        out.write(b"* OK [CAPABILITY IMAP4rev1] foreign\r\n")
        user = None
        while line := await reader.readline():
            tag, _, rest = line.strip().partition(b" ")
            verb = rest.split(b" ")[0].upper()
            if verb == b"LOGIN":
                words = [w.strip('"') for w in rest.decode().split(" ")[1:]]
                user = self.check(*words)
                out.write(tag + (b" OK in\r\n" if user else b" NO [AUTHENTICATIONFAILED] no\r\n"))
            elif verb == b"FETCH" and user:
                out.write(b"* 1 FETCH (BODY[] {%d}\r\n" % len(user.text) + user.text + b")\r\n" + tag + b" OK done\r\n")
            elif verb == b"LOGOUT":
                out.write(b"* BYE\r\n" + tag + b" OK done\r\n")
                await out.drain()
                return
            else:
                out.write(tag + b" OK done\r\n")
            await out.drain()

    async def pop3(self, reader, out):
        out.write(b"+OK foreign\r\n")
        user, name = None, ""
        while line := await reader.readline():
            verb, _, rest = line.strip().decode().partition(" ")
            if verb.upper() == "USER":
                name = rest
                out.write(b"+OK\r\n")
            elif verb.upper() == "PASS":
                user = self.check(name, rest)
                out.write(b"+OK in\r\n" if user else b"-ERR [AUTH] no\r\n")
            elif verb.upper() == "RETR" and user:
                out.write(b"+OK\r\n" + user.text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            elif verb.upper() == "QUIT":
                out.write(b"+OK\r\n")
                await out.drain()
                return
            else:
                out.write(b"-ERR what?\r\n" if verb.upper() in ("CAPA", "XCLIENT") else b"+OK\r\n")
            await out.drain()


class Drip:
    """Writes one byte a second."""

    def __init__(self, writer):
        self.writer = writer
        self.waiting = b""

    def write(self, data):
        self.waiting += data

    async def drain(self):
        for byte in self.waiting:
            self.writer.write(bytes([byte]))
            await self.writer.drain()
            await asyncio.sleep(1)
        self.waiting = b""
