/* Writes, sends, receives and reads messages, field by field. */
#include "lib/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "lib/text.h"

static uint32_t lost_at; /* see msg_lost_at() */

static void put(struct msgw *w, const void *p, size_t len)
{
	if (w->overflow || len > sizeof(w->buf) - w->len) {
		w->overflow = true;
		return;
	}
	if (len != 0)
		memcpy(w->buf + w->len, p, len);
	w->len += len;
}

void msgw_begin(struct msgw *w, uint16_t type)
{
	w->len = 0;
	w->overflow = false;
	put(w, &type, sizeof(type));
}

void msgw_u8(struct msgw *w, uint8_t v)
{
	put(w, &v, sizeof(v));
}

void msgw_u16(struct msgw *w, uint16_t v)
{
	put(w, &v, sizeof(v));
}

void msgw_u32(struct msgw *w, uint32_t v)
{
	put(w, &v, sizeof(v));
}

void msgw_u64(struct msgw *w, uint64_t v)
{
	put(w, &v, sizeof(v));
}

void msgw_bytes(struct msgw *w, const void *p, size_t len)
{
	msgw_u32(w, (uint32_t)MIN(len, UINT32_MAX));
	put(w, p, len);
}

void msgw_str(struct msgw *w, const char *s)
{
	msgw_bytes(w, s, s != NULL ? strlen(s) : 0);
}

static void take(struct msgr *r, void *dst, size_t len)
{
	if (r->bad || len > (size_t)(r->end - r->p)) {
		r->bad = true;
		memset(dst, 0, len);
		return;
	}
	memcpy(dst, r->p, len);
	r->p += len;
}

void msgr_begin(struct msgr *r, const void *p, size_t len)
{
	r->p = p;
	r->end = r->p + len;
	r->bad = false;
	r->type = msgr_u16(r);
}

#define READ_INT(name, type) \
	type name(struct msgr *r) \
	{ \
		type v; \
		take(r, &v, sizeof(v)); \
		return v; \
	}
READ_INT(msgr_u8, uint8_t)
READ_INT(msgr_u16, uint16_t)
READ_INT(msgr_u32, uint32_t)
READ_INT(msgr_u64, uint64_t)

bool msgr_bool(struct msgr *r)
{
	return msgr_below(r, 2) == 1;
}

uint8_t msgr_below(struct msgr *r, unsigned limit)
{
	uint8_t v = msgr_u8(r);

	if (v < limit)
		return v;
	r->bad = true;
	return 0;
}

const void *msgr_bytes(struct msgr *r, size_t max, size_t *len)
{
	uint32_t n = msgr_u32(r);
	const void *p = r->p;

	if (r->bad || n > (size_t)(r->end - r->p) || n > max) {
		r->bad = true;
		*len = 0;
		return p;
	}
	r->p += n;
	*len = n;
	return p;
}

void msgr_fixed(struct msgr *r, void *dst, size_t len)
{
	size_t n;
	const void *p = msgr_bytes(r, len, &n);

	if (n != len)
		r->bad = true;
	memset(dst, 0, len);
	if (!r->bad)
		memcpy(dst, p, len);
}

/* As msgr_bytes(), but refuses NUL in LINES, and any control character in other texts. */
static const char *take_text(struct msgr *r, size_t max, bool lines, size_t *len)
{
	const char *p = msgr_bytes(r, max, len);

	if (*len != 0 && (lines ? memchr(p, '\0', *len) != NULL : text_plain(p, *len) != *len))
		r->bad = true;
	if (r->bad)
		*len = 0;
	return p;
}

static void copy_text(struct msgr *r, char *dst, size_t size, bool lines)
{
	size_t len;
	const char *p = take_text(r, size - 1, lines, &len);

	if (len != 0)
		memcpy(dst, p, len);
	dst[len] = '\0';
}

static char *dup_text(struct msgr *r, size_t max, bool lines)
{
	size_t len;
	const char *p = take_text(r, max, lines, &len);

	return mem_memdup(p, len);
}

void msgr_str(struct msgr *r, char *dst, size_t size)
{
	copy_text(r, dst, size, false);
}

char *msgr_strdup(struct msgr *r, size_t max)
{
	return dup_text(r, max, false);
}

void msgr_lines(struct msgr *r, char *dst, size_t size)
{
	copy_text(r, dst, size, true);
}

char *msgr_linesdup(struct msgr *r, size_t max)
{
	return dup_text(r, max, true);
}

bool msgr_end(struct msgr *r)
{
	return !r->bad && r->p == r->end;
}

union fd_room {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

int msg_send(int sock, const struct msgw *w, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)w->buf, w->len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_room ctl;

	if (w->overflow) {
		errno = EMSGSIZE;
		return -1;
	}
	if (fd != -1) {
		memset(&ctl, 0, sizeof(ctl));
		ctl.head.cmsg_len = CMSG_LEN(sizeof(int));
		ctl.head.cmsg_level = SOL_SOCKET;
		ctl.head.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&ctl.head), &fd, sizeof(int));
		mh.msg_control = &ctl;
		mh.msg_controllen = sizeof(ctl.room);
	}
	for (;;) {
		if (sendmsg(sock, &mh, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 1 : -1;
	}
}

int msg_recv(int sock, void *buf, struct msgr *r, int *fd)
{
	struct iovec iov = { buf, MSG_SIZE_MAX };
	union fd_room ctl;
	/* Not CMSG_SPACE(), which has room for a second descriptor that would never be closed. */
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -1;
	c = CMSG_FIRSTHDR(&mh);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	if (n == 0) {
		/* An empty packet is the end, with a descriptor or without. */
		if (*fd != -1)
			close(*fd);
		*fd = -1;
		return 0;
	}
	msgr_begin(r, buf, (size_t)n);
	/* A descriptor was lost because the limit is reached; whoever needs it has to find out. */
	if ((mh.msg_flags & MSG_CTRUNC) != 0)
		lost_at = MAX(clock_seconds(), 1);
	if ((mh.msg_flags & MSG_TRUNC) != 0)
		r->bad = true;
	return 1;
}

uint32_t msg_lost_at(void)
{
	return lost_at;
}

/* Makes room for the largest message if this system's sockets have less (net.core.wmem_default): it could never be
 * sent. */
static void make_room(int sock)
{
	int room = 0, least = 2 * MSG_SIZE_MAX;
	socklen_t len = sizeof(room);

	if (getsockopt(sock, SOL_SOCKET, SO_SNDBUF, &room, &len) == 0 && room < least &&
	    setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &least, sizeof(least)) != 0)
		setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
}

int msg_pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
		return -1;
	make_room(fd[0]);
	make_room(fd[1]);
	return 0;
}
