"""What a run found: results.json (everything), table.md, plot.svg."""
import json
import os
import statistics
from xml.sax.saxutils import escape

TITLES = {
    "login": "IMAP login and logout", "pop-login": "POP3 login and logout", "bulk": "bodies of 1 MiB", "bulk16k": "bodies of 16 KiB",
    "ping": "NOOP, 32 sessions", "ping1": "NOOP, one session", "local": "IMAP login, SELECT, logout, own mail",
    "pop-local": "POP3 login, STAT, logout, own mail",
    "pool": "IMAP login, SELECT, logout, mail at another node: both nodes",
    "tls-login": "TLS: full handshake, IMAP login and logout", "tls-login-aes128": "TLS, AES-128 with all: full handshake, IMAP login and logout",
    "tls-pop-login": "TLS: full handshake, POP3 login and logout",
    "tls-resume": "TLS: resumption with a ticket, IMAP login and logout", "tls-bulk": "TLS: bodies of 1 MiB",
    "tls-bulk-aes128": "TLS, AES-128 with all: bodies of 1 MiB", "tls-ping": "TLS: NOOP, 32 sessions",
    "tls-ping1": "TLS: NOOP, one session", "tls-local": "TLS: full handshake, IMAP login, SELECT, logout, own mail",
}


def kin(point, peer, plain, tls):
    """PLAIN; for TLS, the system TLS with PEER's kind of key."""
    return plain if not point.startswith("tls-") else f"{tls}-rsa" if peer.endswith("-rsa") else f"{tls}-tls"


def ours(point, peer):
    return kin(point, peer, *["waypost-local" if "local" in point else "waypost"] * 2)


def reference(point, peer):
    return kin(point, peer, "relay-copy", "dovecot-local" if "local" in point else "haproxy")


def median(values):
    values = list(values)
    return statistics.median(values) if values else None


class Figures:
    """The samples of a run, asked by point and system."""

    def __init__(self, result):
        self.result = result
        self.peers = [p["name"] for p in result["peers"]]

    def of(self, point, peer, key="cpu", opened=None):
        """{round: figure}"""
        return {s["round"]: s[key] for s in self.result["samples"]
                if s["point"] == point and s["peer"] == peer and s.get("open") == opened}

    def median(self, point, peer, key="cpu"):
        return median(self.of(point, peer, key).values())

    def spread(self, point, peer, key, digits):
        return text_of(self.of(point, peer, key).values(), digits)

    def ratio(self, point, peer, others, key="cpu", less=None):
        """PEER / the best of OTHERS, taken round by round: (median, least, most, rounds), or None. The best is the one with
        the least median: the least of several in each round would be a system that does not exist, and flatter it by
        their noise. LESS is a system whose figure is subtracted from both: what they add to it."""
        mine, ratios = self.of(point, peer, key), []
        theirs = [self.of(point, o, key) for o in others]
        base = self.of(point, less, key) if less else {}
        if not all(theirs):
            return None
        best = min(theirs, key=lambda t: median(t.values()))
        for number, value in mine.items():
            if number not in best or (less and number not in base):
                continue
            other = best[number] - base.get(number, 0)
            if other > 0:
                ratios.append((value - base.get(number, 0)) / other)
        return (median(ratios), min(ratios), max(ratios), len(ratios)) if ratios else None

    def idle(self, peer, key):
        return [i[key] for i in self.result["idle"] if i["peer"] == peer]


def text_of(values, digits):
    values = list(values)
    if not values:
        return "-"
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def ratio_text(r):
    return f"{r[0]:.2f} ({r[1]:.2f}-{r[2]:.2f})" if r else "-"


def table(head, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n\n"


# --- the goals ---

def tls_goals(f, add, compare):
    for kind, name, most in (("tls", "P-256", 0.95), ("rsa", "RSA-2048", 1.0)):
        for point in ("tls-login", "tls-login-aes128", "tls-pop-login"):
            compare(f"8. CPU, {TITLES[point]}, {name}, relative to nginx", point, [f"nginx-{kind}"], most, f"waypost-{kind}")
            compare(f"8. CPU, {TITLES[point]}, {name}, relative to HAProxy, which knows no login", point, [f"haproxy-{kind}"], 1.1,
                    f"waypost-{kind}")
        resumed, full = f.of("tls-resume", f"waypost-{kind}"), f.of("tls-login", f"nginx-{kind}")
        found = [resumed[n] / full[n] for n in resumed if n in full]
        add(f"9. CPU, {TITLES['tls-resume']}, {name}, relative to nginx's full handshake", median(found), 0.4)
    for point in ("tls-bulk", "tls-bulk-aes128"):
        compare(f"10. CPU, {TITLES[point]}, relative to HAProxy", point, ["haproxy-tls"], 0.8, "waypost-tls")
    compare("10. CPU, TLS: NOOP, relative to the best", "tls-ping", ["nginx-tls", "haproxy-tls", "dovecot-tls"], 1.0, "waypost-tls")
    plain, tls = f.of("pool", "waypost-pool"), f.of("pool", "waypost-pool-tls")
    add("10. CPU us of both nodes that TLS between them, verified, adds to a login", median(tls[n] - plain[n] for n in tls if n in plain), 15, 0)
    add("11. idle proxied session, TLS towards the client, bytes PSS", median(f.idle("waypost-tls", "pss")), 16384, 0)


def goals(f):
    """Rows (what, found, goal, met) for what could be measured in this run."""
    rows = []

    def add(what, found, most, digits=2, detail=""):
        if found is not None:
            rows.append([what, f"{found:.{digits}f}{detail}", f"{most:g}", "yes" if found <= most else "NO"])

    def compare(what, point, others, most, mine="waypost", **kw):
        r = f.ratio(point, mine, others, **kw)
        if r:
            add(what, r[0], most, detail=f" ({r[1]:.2f}-{r[2]:.2f}, {r[3]} rounds)")

    for point in ("login", "pop-login"):
        compare(f"1. CPU, {TITLES[point]}, relative to nginx", point, ["nginx"], 0.6)
        compare(f"1. CPU, {TITLES[point]}, relative to the copying relay", point, ["relay-copy"], 1.3)
    compare("2. CPU, bodies of 1 MiB, relative to the splicing relay", "bulk", ["relay-splice"], 1.15)
    compare("2. CPU, bodies of 16 KiB, relative to the better relay", "bulk16k", ["relay-copy", "relay-splice"], 1.1)
    compare("3. CPU, NOOP, relative to the better of nginx and HAProxy", "ping", ["nginx", "haproxy"], 1.0)
    compare("3. added p99 of NOOP at 32 sessions, relative to the better of the two", "ping", ["nginx", "haproxy"], 1.0,
            key="p99", less="direct")
    add("4. idle proxied session, bytes PSS", median(f.idle("waypost", "pss")), 512, 0)
    base = median(f.idle("waypost-2", "base"))
    add("4. whole node with two workers, MB PSS", base and base / 1e6, 30, 1)
    for point in ("login", "bulk"):
        few = f.of(point, "waypost", opened=100)
        for opened in (1000, 9000):
            many = f.of(point, "waypost", opened=opened)
            add(f"5. CPU, {TITLES[point]}, with {opened:,} open sessions relative to 100",
                median(many[n] / few[n] for n in many if n in few), 1.15)
    few = f.of("local", "waypost-local", opened=100)
    for opened in (1000, 3000):
        many = f.of("local", "waypost-local", opened=opened)
        add(f"5. CPU, {TITLES['local']}, with {opened:,} open local sessions relative to 100",
            median(many[n] / few[n] for n in many if n in few), 1.15)
    for point in ("local", "pop-local"):
        mine, dovecot, courier = (f.of(point, n) for n in ("waypost-local", "dovecot-local", "courier-local"))
        for name, theirs, most in (("Dovecot", dovecot, 0.1), ("Courier", courier, 1 / 3)):
            add(f"6. CPU, {TITLES[point]}, relative to {name}", median(mine[n] / theirs[n] for n in mine if n in theirs), round(most, 2), 3)
    tls_goals(f, add, compare)
    r = f.ratio("drivers", "waypost-pgsql", ["nginx"])
    if r:
        add("7. CPU, IMAP login that asks PostgreSQL, relative to nginx, which asks nobody", r[0], 2, detail=f" ({r[1]:.2f}-{r[2]:.2f}, {r[3]} rounds)")
    return rows


# --- text ---

def point_table(f, point):
    samples = [s for s in f.result["samples"] if s["point"] == point and "open" not in s]
    if not samples:
        return ""
    unit = samples[0]["unit"]
    digits, per = (3, "GB/s") if unit == "s/GB" else (1, "per second")
    rows, spoken = [], {}
    for peer in f.peers:
        if f.of(point, peer):
            mine = ours(point, peer)
            rows.append([peer, f.spread(point, peer, "cpu", digits), ratio_text(f.ratio(point, peer, [reference(point, peer)])),
                         ratio_text(f.ratio(point, mine, [peer])) if peer not in (mine, "direct") else "",
                         f.spread(point, peer, "rate", 2 if unit == "s/GB" else 0), f.spread(point, peer, "p50", 0),
                         f.spread(point, peer, "p99", 0), f"{f.median(point, peer, 'share'):.2f}"])
            for how in set(f.of(point, peer, "tls").values()) - {""}:
                spoken.setdefault(how, []).append(peer)
    head = ["", f"CPU {unit}", f"relative to {reference(point, '')}", "waypost relative to it", per, "p50 us", "p99 us", "share of its CPU"]
    return f"### {TITLES[point]}\n\n" + table(head, rows) + "".join(f"{how}: {', '.join(who)}\n\n" for how, who in spoken.items())


def idle_table(f):
    direct = median(f.idle("direct", "kernel"))
    rows = []
    for peer in f.peers:
        if f.idle(peer, "pss") and peer != "direct":
            kernel = [k - direct for k in f.idle(peer, "kernel")] if direct is not None else []
            rows.append([peer, str(f.idle(peer, "sessions")[0]), text_of(f.idle(peer, "pss"), 0), text_of(kernel, 0),
                         str(f.idle(peer, "processes")[0]), text_of([b / 1e6 for b in f.idle(peer, "base")], 1)])
    head = ["", "sessions", "bytes PSS each", "bytes of the kernel each", "processes", "MB PSS before"]
    return "### Idle sessions\n\n" + table(head, rows)


def growth_table(f):
    rows = []
    for peer in f.peers:
        for opened in sorted({s["open"] for s in f.result["samples"] if "open" in s and s["peer"] == peer}):
            rows.append([peer, f"{opened:,}", text_of(f.of("login", peer, opened=opened).values(), 1),
                         text_of(f.of("bulk", peer, opened=opened).values(), 3),
                         text_of(f.of("local", peer, opened=opened).values(), 1)])
    if not rows:
        return ""
    return "### While other sessions are open\n\n" + table(["", "open sessions", "login, CPU us", "bodies of 1 MiB, CPU s/GB",
                                                              "own mail, CPU us"], rows)


def drivers_table(f):
    """A row per kind of directory: each login asks it; then most are known from lately."""
    rows = []
    for peer in f.peers:
        if not f.of("drivers", peer):
            continue
        row = [peer]
        for point, name in (("drivers", peer), ("drivers-cached", f"{peer}-cached")):
            if f.of(point, name):
                row += [f.spread(point, name, "cpu", 1), f.spread(point, name, "directory", 1), f.spread(point, name, "rate", 0)]
                row += [ratio_text(f.ratio("drivers", name, ["nginx"]))] if point == "drivers" else []
            else:
                row += ["", "", ""]
        rows.append(row)
    if not rows:
        return ""
    head = ["", "asked: CPU us", "the directory's CPU us", "per second", "relative to nginx", "known: CPU us", "the directory's CPU us", "per second"]
    return "### IMAP login and logout, 250,000 accounts in a directory\n\n" + table(head, rows)


def text(result):
    f, m = Figures(result), result["machine"]
    out = (f"{m['date']}; {m['cpu']}; Linux {m['kernel']}; {m['rounds']} interleaved rounds of {m['seconds']} s; congestion control "
           f"{m['congestion']}; load average at the end {m['load']:.1f}. Medians (least-most).\n\n")
    rows = goals(f)
    if rows:
        out += "### Goals\n\n" + table(["", "found", "at most", "met"], rows)
    out += "".join(point_table(f, point) for point in TITLES)
    out += drivers_table(f)
    if result["idle"]:
        out += idle_table(f)
    out += growth_table(f)
    out += "### Systems\n\n" + table(["", "version", "how"], [[p["name"], p["version"], p["about"]] for p in result["peers"]])
    if result["errors"]:
        out += "### What failed (left out above)\n\n" + "".join(f"- {p}, {point}: {text}\n" for p, point, text in result["errors"])
    return out


# --- plot ---

WIDTH, LABEL, ROW = 420, 110, 16
COLOURS = {"waypost": "#c2410c", "relay": "#64748b", "direct": "#64748b"}


def panel(title, unit, bars, x, y):
    """Bars {name: value} on a scale of their own."""
    most = max(bars.values()) or 1
    out = [f'<text x="{x}" y="{y}" font-weight="bold">{escape(title)}: {escape(unit)}</text>']
    for n, (name, value) in enumerate(bars.items()):
        top = y + 8 + n * ROW
        colour = COLOURS.get(name.split("-")[0], "#0369a1")
        length = (WIDTH - LABEL - 80) * value / most
        out.append(f'<text x="{x + LABEL - 6}" y="{top + 11}" text-anchor="end">{escape(name)}</text>'
                   f'<rect x="{x + LABEL}" y="{top + 2}" width="{max(length, 1):.1f}" height="{ROW - 4}" fill="{colour}"/>'
                   f'<text x="{x + LABEL + length + 4:.1f}" y="{top + 11}">{value:,.4g}</text>')
    return out, len(bars)


def plot(result):
    f = Figures(result)
    panels = []
    for point, title in TITLES.items():
        bars = {p: f.median(point, p) for p in f.peers if p != "direct" and f.of(point, p)}
        if bars:
            unit = next(s["unit"] for s in result["samples"] if s["point"] == point)
            panels.append((title, "CPU s/GB" if unit == "s/GB" else "CPU us", bars))
    bars = {p: median(f.idle(p, "pss")) for p in f.peers if p != "direct" and f.idle(p, "pss")}
    if bars:
        panels.append(("idle session", "bytes PSS", bars))
    out, y = [], 40
    for n in range(0, len(panels), 2):
        rows = 0
        for column, one in enumerate(panels[n:n + 2]):
            drawn, count = panel(*one, 10 + column * (WIDTH + 20), y)
            out += drawn
            rows = max(rows, count)
        y += rows * ROW + 40
    m = result["machine"]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH + 40}" height="{y}" font-family="sans-serif" font-size="11">'
            f'<rect width="100%" height="100%" fill="white"/><text x="10" y="18" font-size="13">CPU of the proxy, medians of {m["rounds"]} '
            f'interleaved rounds, {escape(m["date"])}, {escape(m["cpu"])}: less is better</text>' + "".join(out) + "</svg>\n")


def write(result, folder):
    os.makedirs(folder, exist_ok=True)
    for name, content in (("results.json", json.dumps(result, indent=1) + "\n"), ("table.md", text(result)), ("plot.svg", plot(result))):
        with open(os.path.join(folder, name), "w") as f:
            f.write(content)
    print(text(result))
    print(f"{folder}: results.json, table.md, plot.svg")
