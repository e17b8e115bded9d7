/* Lookups in Courier's protocol, including the connection. */
#include "authlib/courierdir.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

enum { CHUNK = 4096 };

/* --- bytes --- */

/* write() to a pipe or socket whose reader may be gone: EPIPE, and never the signal. */
static ssize_t write_quietly(int fd, const void *p, size_t len)
{
	const struct timespec now = { 0, 0 };
	sigset_t pipe, before;
	ssize_t n;
	int err;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	n = write(fd, p, len);
	err = errno;
	if (n < 0 && err == EPIPE && sigismember(&before, SIGPIPE) == 0)
		sigtimedwait(&pipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return n;
}

static bool send_all(int to, const struct str *question, int64_t deadline, struct str *why)
{
	size_t sent = 0;

	while (sent < question->len) {
		ssize_t n = write_quietly(to, question->data + sent, question->len - sent);

		if (n > 0) {
			sent += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (!fd_wait(to, POLLOUT, deadline)) {
				str_adds(why, "it accepts no query");
				return false;
			}
		} else if (n == 0 || errno != EINTR) {
			str_addf(why, "it accepts no query: %s", strerror(errno));
			return false;
		}
	}
	return true;
}

/* Appends the bytes that arrived. */
static bool receive(int from, struct str *in, int64_t deadline, struct str *why)
{
	ssize_t n;

	for (;;) {
		if (!fd_wait(from, POLLIN, deadline)) {
			str_adds(why, "no answer in time");
			return false;
		}
		n = read(from, str_room(in, CHUNK), CHUNK);
		if (n > 0)
			break;
		if (n == 0)
			str_adds(why, "it closed the connection without an answer, which means a temporary failure");
		else if (errno == EINTR || errno == EAGAIN)
			continue;
		else
			str_addf(why, "no answer: %s", strerror(errno));
		return false;
	}
	in->len += (size_t)n;
	in->data[in->len] = '\0';
	return true;
}

/* Sends QUESTION and reads the answer; COURIER_MORE: there is none, with the reason. *SURPLUS: more than the answer
 * arrived. */
static enum courier_state talk(int to, int from, const struct str *question, int64_t deadline, struct str *answer,
    bool *surplus, struct str *why)
{
	enum courier_state state = COURIER_MORE;
	size_t used = 0;

	if (!send_all(to, question, deadline, why))
		return COURIER_MORE;
	while (state == COURIER_MORE) {
		if (!receive(from, answer, deadline, why))
			return COURIER_MORE;
		state = courier_scan(answer->data, answer->len, &used);
	}
	if (state == COURIER_NONSENSE) {
		str_adds(why, "its answer is not in Courier's format");
		return COURIER_MORE;
	}
	*surplus = used < answer->len;
	mem_wipe(answer->data + used, answer->len - used);
	answer->len = used;
	return state;
}

/* --- one question --- */

/* OPENED: the query could be sent. */
static void note_failure(struct courierdir *d, bool opened, int64_t start, const struct str *why)
{
	int64_t now = clock_ms();

	if (opened)
		directory_silent(&d->servers, 0, now, now - start, str_cstr(why));
	else
		directory_failed(&d->servers, 0, now, now - start, str_cstr(why));
}

static enum courier_state ask(struct courierdir *d, const struct str *question, struct str *answer)
{
	int64_t start = clock_ms(), deadline = start + d->timeout;
	enum courier_state state = COURIER_MORE;
	enum courier_open open = COURIER_OLD;
	bool surplus = false;
	struct str why = STR_INIT;

	if (directory_next(&d->servers, 0, start) == d->servers.count)
		return COURIER_MORE;
	while (state == COURIER_MORE && open == COURIER_OLD) {
		int to, from;

		str_clear(&why);
		answer->len = 0;
		open = d->kind->open(d->conn, &to, &from, deadline, &why);
		if (open != COURIER_CLOSED)
			state = talk(to, from, question, deadline, answer, &surplus, &why);
		/* One that sent extra data is not used again: it could be mistaken for the next answer. */
		if (state == COURIER_MORE || !d->kind->keeps || surplus)
			d->kind->close(d->conn, &why);
		/* A retry would probably wait again. */
		if (clock_ms() - start >= DIRECTORY_SLOW_MS)
			break;
	}
	if (state == COURIER_MORE)
		note_failure(d, open != COURIER_CLOSED, start, &why);
	else
		directory_answered(&d->servers, 0);
	str_fini(&why);
	return state;
}

static enum auth_result read_record(struct courierdir *d, const struct str *answer, const char *user,
    struct account *out)
{
	struct str why = STR_INIT;
	enum auth_result r = courier_record(answer->data, answer->len, user, out, &why);

	if (r != AUTH_OK)
		log_error("%s: the record of %s cannot be used: %s", d->servers.driver, user, str_cstr(&why));
	str_fini(&why);
	return r;
}

enum auth_result courierdir_lookup(void *ctx, const struct auth_question *q, struct account *out)
{
	struct courierdir *d = ctx;
	struct str question = STR_INIT, answer = STR_INIT;
	enum auth_result r = AUTH_UNKNOWN;

	if (courier_pre(&question, q->service, q->user)) {
		enum courier_state state = ask(d, &question, &answer);

		if (state == COURIER_MORE)
			r = AUTH_TRY_LATER;
		else if (state == COURIER_ACCOUNT)
			r = read_record(d, &answer, q->user, out);
	}
	str_fini(&question);
	str_fini_secret(&answer);
	return r;
}

enum auth_result courierdir_verify(void *ctx, const struct auth_question *q, struct account *out)
{
	struct courierdir *d = ctx;
	struct str question = STR_INIT, answer = STR_INIT;
	enum courier_state state = COURIER_REFUSED;
	enum auth_result r = AUTH_TRY_LATER;

	if (d->kind->takes_client && q->client.family != 0) {
		char ip[NET_IP_TEXT_MAX];

		str_addf(&question, "TCPREMOTEIP=%s\n", net_addr_log(&q->client, ip));
	}
	if (courier_auth(&question, q->service, q->user, q->password))
		state = ask(d, &question, &answer);
	if (state == COURIER_ACCOUNT) {
		r = read_record(d, &answer, q->user, out);
	} else if (state == COURIER_REFUSED) {
		/* FAIL says both "wrong password" and "no such account". Only the latter may go on to the next
		 * driver. */
		r = courierdir_lookup(d, q, out);
		if (r == AUTH_OK)
			r = AUTH_MISMATCH;
	}
	str_fini_secret(&question);
	str_fini_secret(&answer);
	return r;
}

/* --- all accounts --- */

/* Takes the complete lines of IN; the rest is the start of the next one. */
static bool take_lines(struct str *in, auth_account_fn *fn, void *arg, bool *all)
{
	size_t at = 0;
	const char *end;
	bool more = true;

	while (more && !*all && (end = memchr(in->data + at, '\n', in->len - at)) != NULL) {
		const char *line = in->data + at;
		size_t len = (size_t)(end - line);
		enum auth_result r;
		struct account a;
		struct str why = STR_INIT;

		at += len + 1;
		account_init(&a);
		if (len == 1 && *line == '.')
			*all = true;
		else if (courier_list_line(line, len, &r, &a, &why))
			more = fn(arg, &a, r == AUTH_OK ? NULL : str_cstr(&why));
		account_fini(&a);
		str_fini(&why);
	}
	str_drop(in, at);
	return more;
}

static bool list(int to, int from, auth_account_fn *fn, void *arg, struct str *why)
{
	static const char text[] = "ENUMERATE\n";
	struct str question = STR_INIT, in = STR_INIT;
	bool all = false;

	str_adds(&question, text);
	if (send_all(to, &question, clock_ms() + AUTH_LIST_SILENCE_MS, why))
		while (!all && receive(from, &in, clock_ms() + AUTH_LIST_SILENCE_MS, why) &&
		    take_lines(&in, fn, arg, &all))
			if (in.len >= COURIER_ANSWER_MAX) {
				str_adds(why, "a line of its list is too long");
				break;
			}
	str_fini(&question);
	str_fini(&in);
	return all;
}

bool courierdir_enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why)
{
	struct courierdir *d = ctx;
	int to, from;
	bool all = false;

	d->kind->close(d->conn, why);
	str_clear(why);
	if (d->kind->open(d->conn, &to, &from, clock_ms() + d->timeout, why) != COURIER_CLOSED)
		all = list(to, from, fn, arg, why);
	d->kind->close(d->conn, all ? NULL : why);
	return all;
}
