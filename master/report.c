/* Formats answers of the daemon as text and as JSON. */
#include "master/report.h"

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/num.h"
#include "lib/utf8.h"

enum { FIELDS_MAX = 11, TEXT_MAX = 32 };

struct field {
	const char *p;
	size_t len;
};

/* -- text -- */

void report_clean(struct str *out, const char *text, size_t len)
{
	while (len > 0) {
		uint32_t c;
		size_t n = utf8_get(text, len, &c);

		if (n == 0 || utf8_is_control(c))
			str_addc(out, '.');
		else
			str_add(out, text, n);
		n = n == 0 ? 1 : n;
		text += n;
		len -= n;
	}
}

/* TEXT as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
static void report_json_string(struct str *out, const char *text, size_t len)
{
	str_addc(out, '"');
	while (len > 0) {
		uint32_t c;
		size_t n = utf8_get(text, len, &c);

		if (n == 0)
			str_adds(out, "\xef\xbf\xbd");
		else if (c == '"' || c == '\\')
			str_addf(out, "\\%c", (char)c);
		else if (c < 0x20)
			str_addf(out, "\\u%04x", (unsigned)c);
		else
			str_add(out, text, n);
		n = n == 0 ? 1 : n;
		text += n;
		len -= n;
	}
	str_addc(out, '"');
}

/* Columns that the text takes on a terminal, roughly: one for each character. */
static size_t width(const char *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)p[i] & 0xc0) != 0x80;
	return n;
}

static void human_bytes(char dst[TEXT_MAX], uint64_t n)
{
	static const char units[] = "KMGTPE";
	double v = (double)n;
	int u = -1;

	for (; v >= 1000 && u < 5; u++)
		v /= 1024;
	if (u < 0)
		snprintf(dst, TEXT_MAX, "%llu", (unsigned long long)n);
	else
		snprintf(dst, TEXT_MAX, v < 10 ? "%.1f%c" : "%.0f%c", v, units[u]);
}

static void human_age(char dst[TEXT_MAX], uint64_t s)
{
	unsigned long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;

	if (d > 0)
		snprintf(dst, TEXT_MAX, "%llud%02lluh", d, h);
	else if (h > 0)
		snprintf(dst, TEXT_MAX, "%lluh%02llum", h, m);
	else if (m > 0)
		snprintf(dst, TEXT_MAX, "%llum%02llus", m, (unsigned long long)s % 60);
	else
		snprintf(dst, TEXT_MAX, "%llus", (unsigned long long)s);
}

/* -- lines and fields -- */

/* Takes the next line from *TEXT, split into fields at tabs. Returns the number of fields, or -1 at the end. Missing
 * fields are empty, surplus ones become part of the last. */
static int next_line(const char **text, struct field f[FIELDS_MAX])
{
	const char *p = *text, *end = p + strcspn(p, "\n");
	int n = 0;

	if (*p == '\0')
		return -1;
	for (int i = 0; i < FIELDS_MAX; i++)
		f[i] = (struct field){ "", 0 };
	while (n < FIELDS_MAX) {
		const char *tab = n + 1 < FIELDS_MAX ? memchr(p, '\t', (size_t)(end - p)) : NULL;

		f[n].p = p;
		f[n++].len = (size_t)((tab != NULL ? tab : end) - p);
		if (tab == NULL)
			break;
		p = tab + 1;
	}
	*text = *end == '\n' ? end + 1 : end;
	return n;
}

static bool is(const struct field *f, const char *word)
{
	return f->len == strlen(word) && memcmp(f->p, word, f->len) == 0;
}

static uint64_t number(const struct field *f)
{
	uint64_t v = 0;

	return num_parse(f->p, f->len, UINT64_MAX, &v) ? v : 0;
}

static void add_clean(struct str *out, const struct field *f)
{
	report_clean(out, f->p, f->len);
}

/* -- status -- */

struct status {
	struct str head, roles, counts, notes, problems; /* parts of the text or of the JSON object */
	bool json, draining;
};

static void comma(struct str *s)
{
	if (s->len > 0)
		str_adds(s, ",");
}

static void json_pair(struct str *out, const char *name, const struct field *value, bool quoted)
{
	comma(out);
	str_addf(out, "\"%s\":", name);
	if (quoted)
		report_json_string(out, value->p, value->len);
	else
		str_addf(out, "%llu", (unsigned long long)number(value));
}

static void PRINTF_LIKE(2, 3) add_problem(struct status *st, const char *fmt, ...)
{
	struct str line = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&line, fmt, ap);
	va_end(ap);
	if (st->json) {
		comma(&st->problems);
		report_json_string(&st->problems, str_cstr(&line), line.len);
	} else {
		str_adds(&st->problems, "PROBLEM     ");
		report_clean(&st->problems, str_cstr(&line), line.len);
		str_addc(&st->problems, '\n');
	}
	str_fini(&line);
}

static void head_line(struct status *st, const struct field *f)
{
	static const struct {
		const char *word;
		bool text;
	} known[] = {
		{ "node", true },
		{ "version", true },
		{ "pid", false },
		{ "uptime", false },
		{ "rundir", true },
		{ "config", true },
		{ "secret", true },
	};
	char age[TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!is(&f[0], known[i].word))
			continue;
		if (st->json) {
			json_pair(&st->head, known[i].word, &f[1], known[i].text);
			return;
		}
		str_addf(&st->head, "%-12s", known[i].word);
		human_age(age, number(&f[1]));
		if (is(&f[0], "uptime"))
			str_adds(&st->head, age);
		else
			add_clean(&st->head, &f[1]);
		str_addc(&st->head, '\n');
		return;
	}
}

/* role TAB name TAB state TAB pid TAB restarts TAB age */
static void role_line(struct status *st, const struct field *f)
{
	char age[TEXT_MAX];

	if (!is(&f[2], "ready") && !is(&f[2], "finishing"))
		add_problem(st, "%.*s is %.*s; the log says why", (int)f[1].len, f[1].p, (int)f[2].len, f[2].p);
	if (st->json) {
		comma(&st->roles);
		str_adds(&st->roles, "{\"name\":");
		report_json_string(&st->roles, f[1].p, f[1].len);
		str_adds(&st->roles, ",\"state\":");
		report_json_string(&st->roles, f[2].p, f[2].len);
		str_addf(&st->roles, ",\"pid\":%llu,\"restarts\":%llu,\"age\":%llu}", (unsigned long long)number(&f[3]),
		    (unsigned long long)number(&f[4]), (unsigned long long)number(&f[5]));
		return;
	}
	human_age(age, number(&f[5]));
	str_addf(&st->roles, "%-16.*s%-11.*s%8llu%10llu%10s\n", (int)f[1].len, f[1].p, (int)f[2].len, f[2].p,
	    (unsigned long long)number(&f[3]), (unsigned long long)number(&f[4]), age);
}

/* What a count that is not 0 means: BEGIN, the count, and ONE or MANY, then END. Without ONE there is only BEGIN. */
static const struct {
	const char *count, *begin, *one, *many, *end;
} problems[] = {
	{ "peers_down", "", " peer", " peers", " cannot be reached" },
	{ "loops", "", " mailhost", " mailhosts",
	    " made logins loop in the last minutes (loops_list); the log says what to change" },
	{ "peers_crowded", "", " peer", " peers",
	    " reached the limit of pending logins (peers_crowded_list): slow, or a loop; see the log" },
	{ "peers_need_tls", "", " mailhost accepts", " mailhosts accept",
	    " no logins without TLS (peers_need_tls_list): set PROXY_TLS, or PROXY_TLS_PEERS for some" },
	{ "peers_untrusted", "TLS with ", " mailhost", " mailhosts",
	    " fails (peers_untrusted_list), in most cases because of the certificate; the log and `waypost route USER` "
	    "say why, and what to do" },
	{ "fronts_not_believed", "", " node forwards", " nodes forward",
	    " logins here with an invalid signature (fronts_not_believed_list): the pool secrets or the clocks differ; "
	    "the log says what to do" },
	{ "not_believed_by", "", " mailhost does", " mailhosts do",
	    " not accept this node's signature (not_believed_by_list): the pool secrets or the clocks differ; the log "
	    "says what to do" },
	{ "peers_file_bad_lines", "", " line", " lines", " of PROXY_PEERS_FILE cannot be used; the log names them" },
	{ "nodes_differing_long", "", " node of the pool has", " nodes of the pool have",
	    " had another release or settings file than this one for ten minutes (nodes_differing_list); the log says "
	    "what to do" },
	{ "workers_full", "", " login worker has", " login workers have",
	    " no descriptors for more clients; raise LimitNOFILE, or lower MAXDAEMONS" },
	{ "channels_missing", "", " channel", " channels",
	    " between processes could not be created because descriptors ran out; see the log" },
	{ "descriptors_short", "", " process is", " processes are", " short of descriptors; raise LimitNOFILE" },
	{ "directories_down", "", " directory server", " directory servers", " cannot be used; the log says why" },
	{ "userdb_refused", "the userdb was refused, the previous one (if any) stays in use; the log says why", NULL,
	    NULL, "" },
	{ "certificates_refused", "", " certificate was", " certificates were",
	    " refused, the previous one (if any) stays in use; the log and the lines \"certificate\" say why" },
	{ "certificates_not_found",
	    "certificates may be missing, since a folder cannot be read or has too many; the log and the lines "
	    "\"certificate\" say which",
	    NULL, NULL, "" },
	{ "certificates_faulty", "clients refuse ", " certificate", " certificates",
	    "; the log and the lines \"certificate\" say why" },
	{ "certificates_unstapled", "", " OCSP response is", " OCSP responses are",
	    " not sent to clients; the log and the lines \"certificate\" say why" },
	{ "certificates_ending", "", " certificate expires within 14 days; renew it",
	    " certificates expire within 14 days; renew them", "" },
	{ "certificates_ended", "", " certificate has expired; renew it", " certificates have expired; renew them",
	    "" },
	{ "authorities_refused", "", " file of authorities", " files of authorities",
	    " (TLS_TRUSTCERTS, PROXY_TLS_CAFILE) cannot be used; the log and the lines \"authorities\" say why, and "
	    "who is "
	    "believed" },
	{ "authorities_with_keys", "", " file of authorities has a private key",
	    " files of authorities have private keys",
	    ", which have no place there; the lines \"authorities\" say where" },
	{ "authorities_ending", "", " certificate of an authority expires soon; get a new one",
	    " certificates of authorities expire soon; get new ones", " (the log says which)" },
	{ "authorities_ended", "", " certificate of an authority has expired",
	    " certificates of authorities have expired", ": what they have issued is refused (the log says which)" },
	{ "lists_ending", "", " revocation list expires soon; get a new one",
	    " revocation lists expire soon; get new ones", " (the log says which)" },
	{ "lists_ended", "", " revocation list has expired", " revocation lists have expired",
	    ": certificates of these authorities are refused (the log says which)" },
	{ "log_lines_lost", "", " log line", " log lines",
	    " could not be written; is the disk full, or LOG no longer writable?" },
	{ "userdb_bad_lines", "", " line", " lines", " of the userdb cannot be used; the log names them" },
};

static void count_line(struct status *st, const struct field *f)
{
	uint64_t n = number(&f[2]);

	for (size_t i = 0; n > 0 && i < ARRAY_LEN(problems); i++) {
		if (!is(&f[1], problems[i].count))
			continue;
		if (problems[i].one == NULL)
			add_problem(st, "%s", problems[i].begin);
		else
			add_problem(st, "%s%llu%s%s", problems[i].begin, (unsigned long long)n,
			    n == 1 ? problems[i].one : problems[i].many, problems[i].end);
	}
	if (st->json) {
		comma(&st->counts);
		report_json_string(&st->counts, f[1].p, f[1].len);
		str_addf(&st->counts, ":%llu", (unsigned long long)n);
	} else {
		str_addf(&st->counts, "%-28.*s%12llu\n", (int)f[1].len, f[1].p, (unsigned long long)n);
	}
}

static void note_line(struct status *st, const struct field *f)
{
	if (st->json) {
		comma(&st->notes);
		str_adds(&st->notes, "{\"name\":");
		report_json_string(&st->notes, f[1].p, f[1].len);
		str_adds(&st->notes, ",\"text\":");
		report_json_string(&st->notes, f[2].p, f[2].len);
		str_addc(&st->notes, '}');
	} else if (f[2].len > 0) {
		str_addf(&st->notes, "%-27.*s ", (int)f[1].len, f[1].p);
		add_clean(&st->notes, &f[2]);
		str_addc(&st->notes, '\n');
	}
}

static void status_line(struct status *st, const struct field *f)
{
	if (is(&f[0], "role"))
		role_line(st, f);
	else if (is(&f[0], "silent"))
		add_problem(st, "%.*s (pid %llu) does not answer", (int)f[1].len, f[1].p,
		    (unsigned long long)number(&f[2]));
	else if (is(&f[0], "count"))
		count_line(st, f);
	else if (is(&f[0], "note"))
		note_line(st, f);
	else if (is(&f[0], "draining"))
		st->draining = number(&f[1]) != 0;
	else
		head_line(st, f);
}

static void print_json(struct str *out, const struct status *st, const char *state)
{
	str_addf(out,
	    "{%s,\"state\":\"%s\",\"draining\":%s,\"problems\":[%s],\"roles\":[%s],\"counts\":{%s},\"notes\":[%s]}\n",
	    str_cstr(&st->head), state, st->draining ? "true" : "false", str_cstr(&st->problems), str_cstr(&st->roles),
	    str_cstr(&st->counts), str_cstr(&st->notes));
}

static void print_text(struct str *out, const struct status *st, const char *state)
{
	str_addf(out, "%s%-12s%s\n%s\n", str_cstr(&st->head), "state", state, str_cstr(&st->problems));
	str_addf(out, "%-16s%-11s%8s%10s%10s\n%s", "ROLE", "STATE", "PID", "RESTARTS", "AGE", str_cstr(&st->roles));
	if (st->counts.len + st->notes.len > 0)
		str_addf(out, "\n%s%s", str_cstr(&st->counts), str_cstr(&st->notes));
}

enum report_state report_status(struct str *out, const char *lines, bool json)
{
	struct status st = { .json = json };
	struct field f[FIELDS_MAX];
	enum report_state state;
	static const char *const names[] = { "well", "degraded", "down", "draining" };

	while (next_line(&lines, f) != -1)
		status_line(&st, f);
	state = st.problems.len > 0 ? REPORT_DEGRADED : st.draining ? REPORT_DRAINING : REPORT_WELL;
	if (json)
		print_json(out, &st, names[state]);
	else
		print_text(out, &st, names[state]);
	str_fini(&st.head);
	str_fini(&st.roles);
	str_fini(&st.counts);
	str_fini(&st.notes);
	str_fini(&st.problems);
	return state;
}

/* -- who -- */

enum {
	WHO_USER,
	WHO_PROTOCOL,
	WHO_IP,
	WHO_PORT,
	WHO_MAILHOST,
	WHO_BACKEND,
	WHO_RCVD,
	WHO_SENT,
	WHO_AGE,
	WHO_SESSION,
	WHO_TLS,
	WHO_COUNT
};

enum { COLUMNS = 10 };

static const char *const heads[COLUMNS] = { "USER", "PROTOCOL", "CLIENT", "MAILHOST", "BACKEND", "IN", "OUT", "AGE",
	"SESSION", "TLS" };

static void who_cell(struct str *out, const struct field *f, int column)
{
	static const int source[COLUMNS] = { WHO_USER, WHO_PROTOCOL, WHO_IP, WHO_MAILHOST, WHO_BACKEND, WHO_RCVD,
		WHO_SENT, WHO_AGE, WHO_SESSION, WHO_TLS };
	const struct field *v = &f[source[column]];
	char text[TEXT_MAX];

	if (source[column] == WHO_RCVD || source[column] == WHO_SENT) {
		human_bytes(text, number(v));
		str_adds(out, text);
	} else if (source[column] == WHO_AGE) {
		human_age(text, number(v));
		str_adds(out, text);
	} else if (v->len == 0) {
		str_addc(out, '-');
	} else {
		bool bare6 = column == 2 && memchr(v->p, ':', v->len) != NULL;

		if (bare6)
			str_addc(out, '[');
		add_clean(out, v);
		if (bare6)
			str_addc(out, ']');
		if (column == 2) {
			str_addc(out, ':');
			add_clean(out, &f[WHO_PORT]);
		}
	}
}

static void who_table(struct str *out, const char *rows)
{
	size_t widths[COLUMNS];
	struct field f[FIELDS_MAX];
	struct str cell = STR_INIT;
	const char *p;

	for (int i = 0; i < COLUMNS; i++)
		widths[i] = strlen(heads[i]);
	for (p = rows; next_line(&p, f) != -1;)
		for (int i = 0; i < COLUMNS; i++) {
			str_clear(&cell);
			who_cell(&cell, f, i);
			widths[i] = MAX(widths[i], width(str_cstr(&cell), cell.len));
		}
	for (int i = 0; i < COLUMNS; i++)
		str_addf(out, "%-*s%s", i + 1 < COLUMNS ? (int)widths[i] : 0, heads[i], i + 1 < COLUMNS ? "  " : "\n");
	for (p = rows; next_line(&p, f) != -1;)
		for (int i = 0; i < COLUMNS; i++) {
			str_clear(&cell);
			who_cell(&cell, f, i);
			str_add(out, cell.data, cell.len);
			if (i + 1 < COLUMNS)
				str_addf(out, "%*s", (int)(widths[i] - width(cell.data, cell.len) + 2), "");
			else
				str_addc(out, '\n');
		}
	str_fini(&cell);
}

static void who_json(struct str *out, const char *rows)
{
	static const struct {
		const char *name;
		bool text;
	} members[WHO_COUNT] = {
		{ "user", true },
		{ "protocol", true },
		{ "ip", true },
		{ "port", false },
		{ "mailhost", true },
		{ "backend", true },
		{ "rcvd", false },
		{ "sent", false },
		{ "age", false },
		{ "session", true },
		{ "tls", true },
	};
	struct field f[FIELDS_MAX];
	bool first = true;

	str_adds(out, "[");
	while (next_line(&rows, f) != -1) {
		struct str object = STR_INIT;

		for (int i = 0; i < WHO_COUNT; i++)
			json_pair(&object, members[i].name, &f[i], members[i].text);
		str_addf(out, "%s\n{%s}", first ? "" : ",", str_cstr(&object));
		str_fini(&object);
		first = false;
	}
	str_adds(out, first ? "]\n" : "\n]\n");
}

void report_who(struct str *out, const char *rows, bool json)
{
	if (json)
		who_json(out, rows);
	else
		who_table(out, rows);
}
