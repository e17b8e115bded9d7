/* The account of each session server, and what it may log. */
#include "master/log_sessions.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "master/logline.h"
#include "settings/protocol.h"

enum { SWEEP_MIN = 1024 };

struct log_session {
	int pid;
	const char *program;     /* of protocols[] */
	char *who;               /* "user=..., ip=[...], port=[...]" */
	uint32_t since;          /* clock_seconds() when the present minute began */
	unsigned taken, dropped; /* lines in it */
	UT_hash_handle hh;
};

static struct log_session *sessions;
static size_t sweep_at = SWEEP_MIN;

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
}

/* Those whose process is no more, whenever there are twice as many as were left the last time. */
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

void log_sessions_note(pid_t pid, const struct log_record *rec)
{
	static const char event[] = "LOGIN, ";
	const char *program = protocol_name(rec->program), *who = rec->text + strlen(event), *end;
	struct log_session *s;
	int key = pid;

	if (program == NULL || strncmp(rec->text, event, strlen(event)) != 0 ||
	    (end = strstr(who, ", protocol=")) == NULL)
		return;
	HASH_FIND_INT(sessions, &key, s);
	if (s != NULL)
		forget(s);
	sweep();
	s = mem_alloc(sizeof(*s));
	s->pid = key;
	s->program = program;
	s->who = mem_memdup(who, (size_t)(end - who));
	s->since = clock_seconds();
	HASH_ADD_INT(sessions, pid, s);
}

/* Every "user=" in TEXT that does not begin with what WHO (NULL: nobody) is called is spoiled. */
static void spoil_others(char *text, const char *who)
{
	static const char key[] = "user=";

	for (char *p = text; (p = strstr(p, key)) != NULL; p += strlen(key)) {
		size_t len = who != NULL ? strlen(who) : 0;

		if (len == 0 || strncmp(p, who, len) != 0 || (p[len] != ',' && p[len] != '\0'))
			p[strlen(key) - 1] = '.';
	}
}

/* One more line of S: 0 it is too much, 1 it may be written, 2 it may and others were left out before. */
static int count(struct log_session *s)
{
	bool told = false;

	if (clock_seconds() - s->since >= LOG_SESSION_SECONDS) {
		told = s->dropped != 0;
		s->since = clock_seconds();
		s->taken = 0;
	}
	if (s->taken >= LOG_SESSION_LINES) {
		s->dropped++;
		return 0;
	}
	s->taken++;
	return told ? 2 : 1;
}

bool log_sessions_allow(pid_t pid, struct log_record *rec, char buf[LOG_SESSION_TEXT])
{
	char *text = (char *)(uintptr_t)rec->text;
	struct log_session *s;
	int key = pid, may;

	HASH_FIND_INT(sessions, &key, s);
	if (s != NULL && (may = count(s)) == 0)
		return false;
	if (!logline_session_may(text)) {
		rec->level = LOG_LEVEL_ERROR;
		rec->program = "waypostd";
		rec->text =
		    "dropped a line: a session server tried to log a refused login, which only login workers may do";
		return true;
	}
	spoil_others(text, s != NULL ? s->who : NULL);
	if (s == NULL) {
		snprintf(buf, LOG_SESSION_TEXT, "a session server whose LOGIN is not known logs: %s", text);
		rec->program = "waypostd";
		rec->text = buf;
		return true;
	}
	rec->program = s->program;
	if (may == 2) {
		snprintf(buf, LOG_SESSION_TEXT, "(%u lines of this session were left out) %s", s->dropped, text);
		s->dropped = 0;
		rec->text = buf;
	}
	return true;
}
