/* Writes log lines to a file, syslog or stderr; counts those that cannot be written. */
#include "master/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "master/log_sessions.h"
#include "master/logline.h"

enum { DATAGRAM_MAX = 64 * 1024, SOCKET_BUFFER = 1024 * 1024, BURST = 32 };
/* Of a role in a minute, and again of all its children that are no session servers: a sanitizer's report has some
 * hundred lines. */
enum { STDERR_LINES = 300, STDERR_LINE_MAX = 900, STDERR_BYTES = STDERR_LINES * STDERR_LINE_MAX };
/* Of one of those children: programs, and what they start. */
enum { CHILD_LINES = 60, CHILD_BYTES = CHILD_LINES * STDERR_LINE_MAX, CHILDREN_KNOWN = 64 };
/* Of a role's log in a minute: far more than a busy login worker has to say, and not all that one can write. */
enum { ROLE_LINES = 1000 * 1000, ROLE_BYTES = 256 << 20 };
enum { SESSIONS_BURST = 256 };
/* More than a socket can hold: the kernel grants twice SOCKET_BUFFER, and takes 700 bytes for a datagram at least. */
enum { DRAIN_MAX = 4096, DRAIN_BYTES = 4 * SOCKET_BUFFER };

enum target_kind { TARGET_STDERR, TARGET_FILE, TARGET_SYSLOG };

struct source {
	ev_io io;
	struct source *next;
	enum logfile_source kind;
	char name[32];
	struct log_allowance allowance; /* of a role's log, or its stderr; session servers have their own */
	pid_t role;                     /* whose stderr it is */
	struct log_allowance children;  /* that write to the same stderr: all of them */
};

/* Those that wrote to a stderr last. */
static struct stderr_child {
	pid_t pid;
	struct log_allowance allowance;
} stderr_children[CHILDREN_KNOWN];

static enum target_kind kind = TARGET_STDERR;
static char *path;
static int fd_out = STDERR_FILENO; /* file or stderr; -1 for the system's log while it is not connected */
static char host[256];
static bool mirror, complained;
static enum log_level most = LOG_LEVEL_INFO;
static unsigned long lost;
static struct source *sources;
static struct str text;

static const char *host_name(void)
{
	if (host[0] == '\0') {
		if (gethostname(host, sizeof(host) - 1) != 0)
			memcpy(host, "localhost", sizeof("localhost"));
		host[strcspn(host, ".")] = '\0';
	}
	return host;
}

/* Reported once per outage, on stderr, because the log itself fails. */
static void complain(int err, unsigned lines)
{
	lost += lines;
	if (complained)
		return;
	complained = true;
	dprintf(STDERR_FILENO, "waypostd: cannot write the log %s: %s; lines are lost until it works\n",
	    kind == TARGET_FILE       ? path :
	        kind == TARGET_SYSLOG ? "/dev/log" :
	                                "stderr",
	    strerror(err));
}

static void add_lost_line(struct str *out, const struct tm *when, bool syslog_form)
{
	char said[96];
	struct log_record rec = { LOG_LEVEL_WARN, "waypostd", said };

	snprintf(said, sizeof(said), "lost %lu log lines", lost);
	if (syslog_form)
		logline_syslog(out, when, &rec, getpid());
	else
		logline_file(out, when, host_name(), &rec, getpid());
}

/* Writes the LINES lines in `text` with one write(). */
static void flush_text(const struct tm *when, unsigned lines)
{
	if (text.len == 0)
		return;
	if (lost != 0)
		add_lost_line(&text, when, false);
	if (fd_out == -1 || !fd_write_all(fd_out, text.data, text.len)) {
		complain(errno, lines);
	} else {
		lost = 0;
		complained = false;
	}
	str_clear(&text);
}

static int connect_syslog(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* One datagram; a daemon that was restarted has a new socket, hence the second try. */
static bool send_syslog(const struct str *s)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		if (fd_out == -1 && (fd_out = connect_syslog()) == -1)
			return false;
		if (send(fd_out, s->data, s->len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
			return false;
		close(fd_out);
		fd_out = -1;
	}
	return false;
}

static void write_syslog(const struct tm *when, const struct log_record *rec, pid_t pid)
{
	if (lost != 0) {
		str_clear(&text);
		add_lost_line(&text, when, true);
		if (send_syslog(&text))
			lost = 0;
	}
	str_clear(&text);
	logline_syslog(&text, when, rec, pid);
	if (!send_syslog(&text))
		complain(errno, 1);
	else
		complained = false;
	str_clear(&text);
}

static void write_mirror(const struct log_record *rec)
{
	if (mirror && rec->level <= LOG_LEVEL_WARN && !(kind == TARGET_STDERR))
		dprintf(STDERR_FILENO, "%s: %s\n", rec->program, rec->text);
}

static void write_line(const struct tm *when, const struct log_record *rec, pid_t pid, unsigned *lines)
{
	if (rec->level > most)
		return;
	write_mirror(rec);
	if (kind == TARGET_SYSLOG) {
		write_syslog(when, rec, pid);
	} else {
		logline_file(&text, when, host_name(), rec, pid);
		++*lines;
	}
}

/* Role S may log REC. Who was taken over fills no disk in minutes. */
static bool role_may(struct source *s, const struct tm *when, const struct log_record *rec, unsigned *lines)
{
	char said[128];
	struct log_record more = { LOG_LEVEL_ERROR, "waypostd", said };
	unsigned left_out;

	if (!log_allowance_take(&s->allowance, strlen(rec->text), &left_out))
		return false;
	if (left_out != 0) {
		snprintf(said, sizeof(said), "dropped %u lines of %s, which logs without end", left_out, s->name);
		write_line(when, &more, getpid(), lines);
	}
	return true;
}

/* REC may be written; it may be changed for that, also to be in BUF. */
static bool may_log(struct source *s, const struct tm *when, pid_t pid, struct log_record *rec,
    char buf[LOG_SESSION_TEXT], unsigned *lines)
{
	if (s->kind == LOGFILE_SPAWN)
		return !log_sessions_note(pid, rec);
	if (rec->level > most)
		return false;
	return s->kind == LOGFILE_SESSION ? log_sessions_allow(pid, rec, buf) : role_may(s, when, rec, lines);
}

/* Writes one datagram of a sender: lines in the format of lib/log.h. */
static void write_batch(struct source *s, char *p, size_t len, pid_t pid)
{
	time_t now = time(NULL);
	char other[LOG_SESSION_TEXT];
	struct log_record rec;
	struct tm when;
	unsigned lines = 0;

	localtime_r(&now, &when);
	while (log_parse(&p, &len, &rec))
		if (may_log(s, &when, pid, &rec, other, &lines))
			write_line(&when, &rec, pid, &lines);
	if (s->kind == LOGFILE_SESSION)
		log_sessions_read(pid);
	flush_text(&when, lines);
}

static void PRINTF_LIKE(5, 6)
    write_of_stderr(const struct source *s, const struct tm *when, pid_t pid, unsigned *lines, const char *fmt, ...)
{
	char said[LOG_LINE_MAX];
	struct log_record rec = { LOG_LEVEL_WARN, "waypostd", said };
	int head = snprintf(said, sizeof(said), "stderr of %s: ", s->name);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said + head, sizeof(said) - (size_t)head, fmt, ap);
	va_end(ap);
	log_sessions_spoil(said);
	write_line(when, &rec, pid, lines);
}

static struct log_allowance *child_allowance(pid_t pid)
{
	struct stderr_child *c = &stderr_children[0];

	for (size_t i = 0; i < ARRAY_LEN(stderr_children); i++) {
		if (stderr_children[i].pid == pid)
			return &stderr_children[i].allowance;
		if (stderr_children[i].allowance.since < c->allowance.since)
			c = &stderr_children[i];
	}
	c->pid = pid;
	c->allowance = (struct log_allowance){ .max_lines = CHILD_LINES, .max_bytes = CHILD_BYTES };
	return &c->allowance;
}

/* PID may write LEN bytes to the stderr of S. *LEFT_OUT: as log_allowance_take(). */
static bool may_print(struct source *s, pid_t pid, size_t len, unsigned *left_out)
{
	struct log_allowance *of_session = log_sessions_allowance(pid);
	unsigned of_all;

	if (of_session != NULL || pid == s->role)
		return log_allowance_take(of_session != NULL ? of_session : &s->allowance, len, left_out);
	if (!log_allowance_take(child_allowance(pid), len, left_out))
		return false;
	if (!log_allowance_take(&s->children, len, &of_all)) {
		s->children.left_out += *left_out; /* to be told with the others */
		return false;
	}
	*left_out += of_all;
	return true;
}

/* Logs one write of PID to the stderr of a role. */
static void write_stderr(struct source *s, const char *p, size_t len, pid_t pid)
{
	time_t now = time(NULL);
	unsigned lines = 0, left_out;
	struct tm when;

	localtime_r(&now, &when);
	while (len != 0) {
		const char *end = memchr(p, '\n', len);
		size_t n = end != NULL ? (size_t)(end - p) : len, most_of_it = MIN(n, (size_t)STDERR_LINE_MAX);

		if (n != 0 && may_print(s, pid, most_of_it, &left_out)) {
			if (left_out != 0)
				write_of_stderr(s, &when, pid, &lines, "dropped %u more lines", left_out);
			write_of_stderr(s, &when, pid, &lines, "%.*s", (int)most_of_it, p);
		}
		n += end != NULL;
		p += n;
		len -= n;
	}
	flush_text(&when, lines);
}

static pid_t sender_of(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			return cred.pid;
		}
	return 0;
}

static void free_source(struct source *s)
{
	for (struct source **p = &sources; *p != NULL; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	if (s->io.data != NULL)
		ev_io_stop(s->io.data, &s->io);
	close(s->io.fd);
	mem_free(&s);
}

static void take_logins(void);

/* Bytes of the datagram that was received, 1 for an empty one; 0: there was none; -1: there will be no more. */
static ssize_t receive(struct source *s)
{
	static char bufs[2][DATAGRAM_MAX];
	char *buf = bufs[s->kind == LOGFILE_SESSION]; /* the others are read while one of those is held */
	char control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { buf, DATAGRAM_MAX };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(s->io.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR ? -1 : 0;
	/* An empty datagram has a sender. If one process could end the log thus, it would end it for all. */
	if (n == 0)
		return CMSG_FIRSTHDR(&msg) != NULL ? 1 : -1;
	if (s->kind == LOGFILE_SESSION)
		take_logins();
	if (s->kind == LOGFILE_STDERR)
		write_stderr(s, buf, (size_t)n, sender_of(&msg));
	else
		write_batch(s, buf, (size_t)n, sender_of(&msg));
	return n;
}

/* A session server logs its LOGIN over the other socket before anything else: that line must be read first, because it
 * tells whose server it is. */
static void take_logins(void)
{
	for (struct source *s = sources; s != NULL; s = s->next)
		while (s->kind == LOGFILE_SPAWN && receive(s) > 0)
			continue;
}

/* Handles one datagram: its bytes, or 0 if there was none. Frees the source after its last sender is gone. */
static size_t take_one(struct source *s)
{
	ssize_t got = receive(s);

	if (got < 0)
		free_source(s);
	return got > 0 ? (size_t)got : 0;
}

/* What the servers whose end spawn has reported have said before it comes first, then they are known no more. */
static void forget_ended(void)
{
	for (struct source *s = sources; s != NULL; s = s->next)
		for (int i = 0; s->kind == LOGFILE_SESSION && i < SESSIONS_BURST && receive(s) > 0; i++)
			;
	log_sessions_forget_ended();
}

static void on_readable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	struct source *s = CONTAINER_OF(io, struct source, io);

	for (int i = 0; i < BURST && take_one(s) != 0; i++)
		;
	if (log_sessions_ended())
		forget_ended();
}

static struct source *add_source(struct ev_loop *loop, int sock, enum logfile_source from, const char *name)
{
	struct source *s = mem_alloc(sizeof(*s));

	ev_io_init(&s->io, on_readable, sock, EV_READ);
	s->io.data = loop;
	s->kind = from;
	s->allowance.max_lines = from == LOGFILE_STDERR ? STDERR_LINES : ROLE_LINES;
	s->allowance.max_bytes = from == LOGFILE_STDERR ? STDERR_BYTES : ROLE_BYTES;
	snprintf(s->name, sizeof(s->name), "%s", name != NULL ? name : "");
	s->next = sources;
	sources = s;
	ev_io_start(loop, &s->io);
	return s;
}

void logfile_listen(struct ev_loop *loop, int sock, enum logfile_source from, const char *name)
{
	add_source(loop, sock, from, name);
}

void logfile_listen_stderr(struct ev_loop *loop, int sock, const char *name, pid_t role)
{
	struct source *s = add_source(loop, sock, LOGFILE_STDERR, name);

	s->role = role;
	s->children.max_lines = STDERR_LINES;
	s->children.max_bytes = STDERR_BYTES;
}

int logfile_pair(int fd[2])
{
	int on = 1, size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
		return -1;
	setsockopt(fd[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	/* Beyond the system's limit where we may: a burst of logins should not lose its lines. */
	if (setsockopt(fd[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

/* As much as its socket held when this began. Who floods it meanwhile does not keep us at it. */
static void drain(struct source *s)
{
	size_t bytes = 0, n;

	for (int i = 0; i < DRAIN_MAX && bytes < DRAIN_BYTES && (n = take_one(s)) != 0; i++)
		bytes += n;
}

void logfile_drain(void)
{
	for (struct source *s = sources, *next; s != NULL; s = next) {
		next = s->next;
		drain(s);
	}
}

static int open_file(const char *name)
{
	return open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

static void use(enum target_kind new_kind, int fd)
{
	if (kind != TARGET_STDERR && fd_out != -1)
		close(fd_out);
	kind = new_kind;
	fd_out = fd;
	complained = false;
}

bool logfile_open(const char *target)
{
	int fd;

	if (strcmp(target, "stderr") == 0) {
		use(TARGET_STDERR, STDERR_FILENO);
		return true;
	}
	if (strcmp(target, "syslog") == 0) {
		use(TARGET_SYSLOG, connect_syslog());
		return true;
	}
	if ((fd = open_file(target)) == -1)
		return false;
	use(TARGET_FILE, fd);
	mem_free(&path);
	path = mem_strdup(target);
	return true;
}

void logfile_reopen(void)
{
	int fd;

	if (kind != TARGET_FILE)
		return;
	if ((fd = open_file(path)) == -1) {
		complain(errno, 0);
		return;
	}
	close(fd_out);
	fd_out = fd;
}

unsigned long logfile_lost(void)
{
	return lost;
}

void logfile_mirror(bool on)
{
	mirror = on;
}

void logfile_set_level(const char *level)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(level, names[i]) == 0)
			most = (enum log_level)i;
	log_set_debug(most == LOG_LEVEL_DEBUG);
}
