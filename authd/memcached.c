/* The store of authd/store.h in memcached, by its text protocol (its protocol.txt): two commands, one deadline for
 * all of a call, however its answer drips in. Keys are letters and digits, so nothing can be slipped into a command.
 * Each key has one server; which one is down, and for how long it is left alone, is decided here. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "authd/memcached_text.h"
#include "authd/outage.h"
#include "authd/store.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/net.h"
#include "settings/settings.h"

enum {
	DEFAULT_PORT = 11211,
	PAUSE_MS = 1000,
	PAUSE_MAX_MS = 30000,
	SECONDS_MAX = 30 * 86400, /* more would be a date for memcached */
	READ_SIZE = 4096
};

struct server {
	char *name; /* as in the settings */
	char *host; /* name, address, or path of a socket */
	uint16_t port;
	int fd;        /* -1: not connected */
	struct str in; /* the answer that is being read */
	struct outage outage;
	bool strange; /* this was logged */
	unsigned pause;
	int64_t retry_at; /* not before this time, ms */
};

struct store {
	unsigned n, timeout_ms;
	struct server server[SETTINGS_SERVERS_MAX];
};

static void hang_up(struct server *s)
{
	if (s->fd != -1)
		close(s->fd);
	s->fd = -1;
	str_clear(&s->in);
}

static void store_close(void *ctx)
{
	struct store *st = ctx;

	for (unsigned i = 0; i < st->n; i++) {
		hang_up(&st->server[i]);
		str_fini(&st->server[i].in);
		mem_free(&st->server[i].name);
		mem_free(&st->server[i].host);
	}
	mem_free(&st);
}

static void *store_open(const char *servers, unsigned timeout_ms)
{
	struct store *st = mem_alloc(sizeof(*st));
	char host[SETTINGS_HOST_MAX];
	uint16_t port;

	st->timeout_ms = timeout_ms;
	for (const char *p = servers; st->n < SETTINGS_SERVERS_MAX && settings_server_next(&p, host, &port) == 1;
	     st->n++) {
		struct server *s = &st->server[st->n];

		s->fd = -1;
		s->host = mem_strdup(host);
		s->port = port != 0 ? port : DEFAULT_PORT;
		s->name = port != 0 ? mem_printf("%s:%u", host, port) : mem_strdup(host);
	}
	return st;
}

/* The server of KEY: the one whose name and KEY together have the highest hash, so that adding or removing a server
 * moves no key between the others. */
static struct server *server_of(struct store *st, const char *key)
{
	struct server *best = NULL;
	uint64_t most = 0;

	for (unsigned i = 0; i < st->n; i++) {
		uint64_t hash = 14695981039346656037U; /* FNV-1a */

		for (const char *p = st->server[i].name; *p != '\0'; p++)
			hash = (hash ^ (uint8_t)*p) * 1099511628211U;
		for (const char *p = key; *p != '\0'; p++)
			hash = (hash ^ (uint8_t)*p) * 1099511628211U;
		if (best == NULL || hash > most) {
			best = &st->server[i];
			most = hash;
		}
	}
	return best;
}

/* The server of KEY, or NULL if it must be left alone now. */
static struct server *usable(struct store *st, const char *key)
{
	struct server *s = server_of(st, key);

	return s != NULL && clock_ms() >= s->retry_at ? s : NULL;
}

static void answered(struct server *s)
{
	if (outage_over(&s->outage, true, clock_now()))
		log_info("memcached: %s answers again", s->name);
	s->pause = 0;
}

static void failed(struct server *s, int error)
{
	if (outage_failed(&s->outage, clock_now()))
		log_warn("memcached: %s does not answer: %s; logins go on without it", s->name, strerror(error));
	s->pause = s->pause == 0 ? PAUSE_MS : MIN(s->pause * 2, PAUSE_MAX_MS);
	/* The auth workers of the pool must not all return at once. */
	s->retry_at = clock_ms() + s->pause - (int64_t)((unsigned)getpid() * 2654435761U % (s->pause / 4));
	hang_up(s); /* a late answer must not be taken for the next one */
}

/* --- one connection; END is the moment (clock_ms()) at which a call is over, errors are in errno --- */

static bool connect_unix(struct server *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (strlen(s->host) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	str_copy(sun.sun_path, sizeof(sun.sun_path), s->host);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return s->fd != -1 && connect(s->fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0;
}

static bool connect_to(struct server *s, const struct net_addr *a, int64_t end)
{
	s->fd = net_connect(a);
	if (s->fd == -1 || !fd_wait(s->fd, POLLOUT, end))
		return false;
	errno = net_error(s->fd);
	return errno == 0;
}

static bool connect_tcp(struct server *s, int64_t end)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	bool connected = false;
	int error = EHOSTUNREACH;

	if (getaddrinfo(s->host, NULL, &hints, &list) != 0)
		list = NULL;
	for (const struct addrinfo *ai = list; ai != NULL && !connected; ai = ai->ai_next) {
		struct sockaddr_storage ss = { 0 };
		struct net_addr a;

		memcpy(&ss, ai->ai_addr, MIN(ai->ai_addrlen, sizeof(ss)));
		net_addr_from(&a, &ss);
		a.port = s->port;
		hang_up(s);
		connected = connect_to(s, &a, end);
		error = errno;
	}
	if (list != NULL)
		freeaddrinfo(list);
	errno = error;
	return connected;
}

static bool connected(struct server *s, int64_t end)
{
	return s->fd != -1 || (s->host[0] == '/' ? connect_unix(s) : connect_tcp(s, end));
}

static bool send_all(struct server *s, const char *p, size_t len, int64_t end)
{
	while (len != 0) {
		ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EINTR && (errno != EAGAIN || !fd_wait(s->fd, POLLOUT, end))) {
			return false;
		}
	}
	return true;
}

/* Reads more of the answer. */
static bool read_some(struct server *s, int64_t end)
{
	size_t most = MIN((size_t)READ_SIZE, MEMCACHED_ANSWER_MAX - s->in.len);

	for (;;) {
		ssize_t n = recv(s->fd, str_room(&s->in, most), most, 0);

		if (n > 0) {
			s->in.len += (size_t)n;
			return true;
		}
		if (n == 0)
			errno = ECONNRESET;
		if (n == 0 || (errno != EINTR && (errno != EAGAIN || !fd_wait(s->fd, POLLIN, end))))
			return false;
	}
}

/* Sends COMMAND and takes the answer to it; KEY and OUT are those of a get, else NULL. */
static bool speak(struct server *s, const struct str *command, const char *key, struct str *out, int64_t end)
{
	enum memcached_answer answer = MEMCACHED_MORE;
	const char *value = NULL;
	size_t len = 0;

	str_clear(&s->in);
	if (!send_all(s, command->data, command->len, end))
		return false;
	while (answer == MEMCACHED_MORE) {
		if (!read_some(s, end))
			return false;
		answer = key != NULL ? memcached_get_answer(s->in.data, s->in.len, key, &value, &len) :
		                       memcached_set_answer(s->in.data, s->in.len);
	}
	if (answer == MEMCACHED_VALUE)
		str_add(out, value, len);
	errno = EPROTO;
	return answer != MEMCACHED_NONSENSE;
}

/* Connects and speaks; once more on a new connection if the old one had been closed. */
static void call(const struct store *st, struct server *s, const struct str *command, const char *key, struct str *out)
{
	int64_t end = clock_ms() + st->timeout_ms;
	bool old = s->fd != -1, done;

	done = connected(s, end) && speak(s, command, key, out, end);
	if (!done && old && (errno == EPIPE || errno == ECONNRESET)) {
		hang_up(s);
		done = connected(s, end) && speak(s, command, key, out, end);
	}
	if (done)
		answered(s);
	else
		failed(s, errno);
}

static bool store_get(void *ctx, const char *key, struct str *out)
{
	struct server *s = usable(ctx, key);
	struct str command = STR_INIT;
	size_t before = out->len;

	if (s == NULL)
		return false;
	str_addf(&command, "get %s\r\n", key);
	call(ctx, s, &command, key, out);
	str_fini(&command);
	return out->len != before;
}

static void store_set(void *ctx, const char *key, const void *p, size_t len, unsigned seconds)
{
	struct server *s = usable(ctx, key);
	struct str command = STR_INIT;

	if (s == NULL || len > MEMCACHED_VALUE_MAX)
		return;
	str_addf(&command, "set %s 0 %u %zu\r\n", key, MIN(seconds, (unsigned)SECONDS_MAX), len);
	str_add(&command, p, len);
	str_adds(&command, "\r\n");
	call(ctx, s, &command, NULL, NULL);
	str_fini(&command);
}

static void store_distrust(void *ctx, const char *key)
{
	struct server *s = server_of(ctx, key);

	if (s == NULL)
		return;
	if (!s->strange)
		log_warn("memcached: %s returned values that no node of this pool stored under that key; they are "
		         "ignored. Restrict access to it",
		    s->name);
	s->strange = true;
	hang_up(s);
}

const struct store_ops memcached_store = {
	.open = store_open,
	.close = store_close,
	.get = store_get,
	.set = store_set,
	.distrust = store_distrust,
};
