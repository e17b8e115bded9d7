/* Remembers the account of each session server; checks what it logs. */
#include "master/log_sessions.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "lib/mem.h"
#include "lib/num.h"
#include "master/logline.h"
#include "node/session.h"
#include "settings/protocol.h"

enum { SWEEP_MIN = 1024 };

struct log_session {
	int pid;
	const char *program; /* of protocols[] */
	char *who;           /* "user=..., ip=[...], port=[...]" */
	struct log_allowance allowance;
	bool over;  /* it has logged its end */
	bool ended; /* spawn has reported its end */
	UT_hash_handle hh;
};

static struct log_session *sessions;
static size_t sweep_at = SWEEP_MIN;
static struct log_allowance strangers = { .max_lines = LOG_STRANGER_LINES, .max_bytes = LOG_SESSION_BYTES };
static bool any_ended;

static struct log_session *find(pid_t pid)
{
	struct log_session *s;
	int key = pid;

	HASH_FIND_INT(sessions, &key, s);
	return s;
}

static void forget(struct log_session *s)
{
	HASH_DEL(sessions, s);
	mem_free(&s->who);
	mem_free(&s);
}

void log_sessions_fini(void)
{
	struct log_session *s, *next;

	HASH_ITER(hh, sessions, s, next)
	forget(s);
	strangers.since = strangers.left_out = 0;
}

/* Of some no end is told: one that was taken over need not log it. They go whenever there are twice as many as were
 * left the last time. */
static void sweep(void)
{
	struct log_session *s, *next;

	if (HASH_COUNT(sessions) < sweep_at)
		return;
	HASH_ITER(hh, sessions, s, next)
	if (kill(s->pid, 0) != 0 && errno == ESRCH)
		forget(s);
	sweep_at = MAX((size_t)SWEEP_MIN, (size_t)HASH_COUNT(sessions) * 2);
}

static const char *protocol_name(const char *program)
{
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		if (strcmp(program, protocols[p].group) == 0)
			return protocols[p].group;
	return NULL;
}

static void note_end(const char *text)
{
	struct log_session *s;
	uint64_t pid;

	if (!num_parse_str(text, INT32_MAX, &pid) || (s = find((pid_t)pid)) == NULL)
		return;
	s->ended = true;
	any_ended = true;
}

bool log_sessions_note(pid_t pid, const struct log_record *rec)
{
	static const char event[] = "LOGIN, ";
	const char *program = protocol_name(rec->program), *who = rec->text + strlen(event), *end;
	struct log_session *s;

	if (strcmp(rec->program, LOG_SESSION_ENDED) == 0) {
		note_end(rec->text);
		return true;
	}
	if (program == NULL || strncmp(rec->text, event, strlen(event)) != 0 ||
	    (end = strstr(who, ", protocol=")) == NULL)
		return false;
	if ((s = find(pid)) != NULL)
		forget(s);
	sweep();
	s = mem_alloc(sizeof(*s));
	s->pid = pid;
	s->program = program;
	s->who = mem_memdup(who, (size_t)(end - who));
	s->allowance.max_lines = LOG_SESSION_LINES;
	s->allowance.max_bytes = LOG_SESSION_BYTES;
	HASH_ADD_INT(sessions, pid, s);
	return false;
}

void log_sessions_read(pid_t pid)
{
	struct log_session *s = find(pid);

	if (s != NULL && s->over)
		forget(s);
}

bool log_sessions_ended(void)
{
	return any_ended;
}

void log_sessions_forget_ended(void)
{
	struct log_session *s, *next;

	HASH_ITER(hh, sessions, s, next)
	if (s->ended)
		forget(s);
	any_ended = false;
}

struct log_allowance *log_sessions_allowance(pid_t pid)
{
	struct log_session *s = find(pid);

	return s != NULL ? &s->allowance : NULL;
}

/* Spoils every "user=" in TEXT that is not the start of WHO (NULL: every one). */
static void spoil_others(char *text, const char *who)
{
	static const char key[] = "user=";

	for (char *p = text; (p = strstr(p, key)) != NULL; p += strlen(key)) {
		size_t len = who != NULL ? strlen(who) : 0;

		if (len == 0 || strncmp(p, who, len) != 0 || (p[len] != ',' && p[len] != '\0'))
			p[strlen(key) - 1] = '.';
	}
}

void log_sessions_spoil(char *text)
{
	logline_session_may(text);
	spoil_others(text, NULL);
}

/* TEXT is the line that a server logs at its end. */
static bool is_end(const char *text)
{
	static const char *const words[] = {
#define X(name, word, end) word ", ",
		SESSION_ENDS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strncmp(text, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

/* The line may be written, and is not one of S (NULL: of nobody) if it is not said so. */
static void name_line(struct log_record *rec, const struct log_session *s, unsigned left_out,
    char buf[LOG_SESSION_TEXT])
{
	rec->program = s != NULL ? s->program : "waypostd";
	if (s != NULL && left_out == 0)
		return;
	if (s == NULL)
		snprintf(buf, LOG_SESSION_TEXT, "a session server whose LOGIN is not known logs: %s", rec->text);
	else if (s->over)
		snprintf(buf, LOG_SESSION_TEXT, "%s, left_out=%u", rec->text, left_out);
	else
		snprintf(buf, LOG_SESSION_TEXT, "(%u lines of this session were dropped) %s", left_out, rec->text);
	rec->text = buf;
}

bool log_sessions_allow(pid_t pid, struct log_record *rec, char buf[LOG_SESSION_TEXT])
{
	char *text = (char *)(uintptr_t)rec->text;
	struct log_session *s = find(pid);
	struct log_allowance *a = s != NULL ? &s->allowance : &strangers;
	unsigned left_out = 0;

	if (s != NULL && !s->over && is_end(text)) {
		s->over = true;
		left_out = a->left_out;
	} else if (!log_allowance_take(a, strlen(text), &left_out)) {
		return false;
	}
	if (!logline_session_may(text)) {
		rec->level = LOG_LEVEL_ERROR;
		rec->program = "waypostd";
		rec->text =
		    "dropped a line: a session server tried to log a refused login, which only login workers may do";
		return true;
	}
	spoil_others(text, s != NULL ? s->who : NULL);
	name_line(rec, s, left_out, buf);
	return true;
}
