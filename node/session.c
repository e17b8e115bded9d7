/* The input, signals and last log line of a session server. */
#include "node/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "settings/replicated.h"

bool session_id_ok(const char *text)
{
	size_t len = strlen(text);

	return len != 0 && len < SESSION_ID_MAX &&
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=._:-") == len;
}

bool session_tls_ok(const char *text)
{
	size_t len = strlen(text);

	return len != 0 && len < SESSION_TLS_MAX &&
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == len;
}

const char *session_tls_text(bool tls, const char *key, const char *words, char dst[SESSION_TLS_TEXT_MAX])
{
	dst[0] = '\0';
	if (tls)
		snprintf(dst, SESSION_TLS_TEXT_MAX, ", %s=1%s%s", key, words[0] != '\0' ? ", tls=" : "", words);
	return dst;
}

const char *session_tls_word(bool tls, const char *words)
{
	return !tls ? "" : words[0] != '\0' ? words : "TLS";
}

static volatile sig_atomic_t stop_flag; /* the signal that came; the first SIGTERM outranks a kick */
static sigset_t wait_mask;

static void on_signal(int sig)
{
	if (stop_flag != SIGTERM)
		stop_flag = sig;
}

void session_bio(struct bio *b, int fd, const struct session_start *start)
{
	session_bio_pair(b, fd, fd, start);
}

void session_bio_pair(struct bio *b, int in, int out, const struct session_start *start)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t ours;

	sigemptyset(&sa.sa_mask);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
	sigaction(SIGXFSZ, &sa, NULL); /* a file size limit then makes write() fail, like a full disk */
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGUSR1);
	sigprocmask(SIG_BLOCK, &ours, &wait_mask);
	sigdelset(&wait_mask, SIGTERM); /* a parent may have left them blocked */
	sigdelset(&wait_mask, SIGUSR1);
	sigaddset(&wait_mask, SIGIO); /* notifications of watched folders: the session reads them from a descriptor */
	bio_init(b, in, out);
	b->stop = &stop_flag;
	b->wait_mask = &wait_mask;
	b->rcvd = &start->counters->rcvd;
	b->sent = &start->counters->sent;
	b->figures = start->figures;
	bio_preload(b, start->leftover, start->leftover_len);
}

enum session_end session_stop(void)
{
	static const struct timespec now;
	sigset_t ours;

	/* The handlers run only during waits: also check for pending signals. */
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGUSR1);
	if (stop_flag == 0) {
		int sig = sigtimedwait(&ours, NULL, &now);

		if (sig > 0)
			stop_flag = sig;
	}
	return stop_flag == 0 ? SESSION_END_COUNT : stop_flag == SIGTERM ? SESSION_END_SHUTDOWN : SESSION_END_KICKED;
}

enum session_end session_end_of(int bio_result)
{
	switch (bio_result) {
	case BIO_TIMEOUT:
		return SESSION_END_TIMEOUT;
	case BIO_TOO_LONG:
		return SESSION_END_PROTOCOL;
	case BIO_STOP:
		return session_stop() == SESSION_END_KICKED ? SESSION_END_KICKED : SESSION_END_SHUTDOWN;
	default:
		return SESSION_END_DISCONNECTED;
	}
}

char *session_log_who(const struct session_start *start, char *dst, size_t dstsize)
{
	char user[256], ip[NET_IP_TEXT_MAX];

	log_value(user, sizeof(user), start->user);
	snprintf(dst, dstsize, "user=%s, ip=[%s], port=[%u]", user, net_addr_log(&start->client, ip),
	    start->client.port);
	return dst;
}

bool session_locked(const char *program, const struct session_start *start)
{
	struct stat st;
	char who[512];

	if (stat(start->home, &st) != 0 || (st.st_mode & S_ISVTX) == 0)
		return false;
	log_as(program, LOG_LEVEL_INFO, "LOCKED, %s", session_log_who(start, who, sizeof(who)));
	return true;
}

enum { MARKER_MAX = 512 };

/* The first line of the marker into NAME, without blanks at its ends. False: errno says why not. */
static bool read_marker(int dirfd, char name[MARKER_MAX])
{
	/* Neither waits for the writer of a pipe, nor leads out of the Maildir. */
	int fd = openat(dirfd, SESSION_MARKER, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), error;
	size_t from, len;
	ssize_t n;

	if (fd == -1)
		return false;
	n = fd_read_all(fd, name, MARKER_MAX - 1);
	error = errno;
	close(fd);
	errno = error;
	if (n < 0)
		return false;
	name[n] = '\0';
	from = strspn(name, " \t");
	len = strcspn(name + from, " \t\r\n");
	memmove(name, name + from, len);
	name[len] = '\0';
	return true;
}

bool session_may_serve(const struct session_start *start, int dirfd, char why[SESSION_WHY_MAX])
{
	const struct settings *set = start->set;
	char name[MARKER_MAX], clean[128];

	if (replicated_of(start->options) != REPLICATED_SINGLE)
		return true;
	if (read_marker(dirfd, name)) {
		for (int i = 0; i < 2; i++)
			if (name[0] != '\0' && set->self[i][0] != '\0' && net_same_host(name, set->self[i]))
				return true;
		snprintf(why, SESSION_WHY_MAX,
		    "replicated=single, and the file " SESSION_MARKER " in it names \"%s\", not this node (%s)",
		    log_clean(clean, sizeof(clean), name), set->self[0]);
		return false;
	}
	if (errno == ENOENT && !start->later)
		return true;
	if (errno == ENOENT)
		snprintf(why, SESSION_WHY_MAX,
		    "replicated=single, this node (%s) is not the first mailhost, and no file " SESSION_MARKER
		    " in it names it",
		    set->self[0]);
	else
		snprintf(why, SESSION_WHY_MAX, "replicated=single, and the file " SESSION_MARKER " cannot be read: %s",
		    strerror(errno));
	return false;
}

void session_log_end(const char *program, const struct session_start *start, const char *figures, const char *tls_key)
{
	static const struct {
		const char *word, *end;
	} ends[] = {
#define X(name, word, end) { word, end },
		SESSION_ENDS(X)
#undef X
	};
	const struct session_counters *c = start->counters;
	uint32_t end = c->end < SESSION_END_COUNT ? c->end : SESSION_END_DISCONNECTED;
	char who[512], tls[SESSION_TLS_TEXT_MAX];

	_Static_assert(ARRAY_LEN(ends) == SESSION_END_COUNT, "one row for each end");
	log_as(program, LOG_LEVEL_INFO, "%s, %s, %s, rcvd=%llu, sent=%llu, time=%lld%s, session=%s, end=%s",
	    ends[end].word, session_log_who(start, who, sizeof(who)), figures, (unsigned long long)c->rcvd,
	    (unsigned long long)c->sent, (long long)(clock_seconds() - start->began),
	    session_tls_text(start->tls, tls_key, start->tls_words, tls), start->session_id, ends[end].end);
	log_flush();
}
