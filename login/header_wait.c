/* Connections of proxies in front whose header has not come yet. */
#include "login/header_wait.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"

struct header_client {
	struct header_client *next, **prev;
	struct header_wait *all;
	ev_io io;
	ev_timer timer;
	double until; /* of loop_timer_start() */
	enum protocol protocol;
	bool tls;
	uint16_t port;
	struct net_addr proxy;
	struct proxy_header header;
};

static void log_trouble(struct header_wait *w, enum header_trouble t, const struct net_addr *from, uint16_t port)
{
	static const char *const words[] = {
		[HEADER_TROUBLE_SENDER] =
		    "is not in PROXY_PROTOCOL_FROM: add it if it is a proxy of yours; clients go to another "
		    "port",
		[HEADER_TROUBLE_LATE] =
		    "has sent no PROXY protocol header in time: switch it on there, or take the port out of "
		    "PROXY_PROTOCOL_PORT",
		[HEADER_TROUBLE_NONSENSE] =
		    "has not begun with a PROXY protocol header: switch it on there, or take the port out of "
		    "PROXY_PROTOCOL_PORT",
		[HEADER_TROUBLE_STRAY] =
		    "has begun with a PROXY protocol header, and is none of those who may: if it is a proxy of yours, "
		    "add the port to PROXY_PROTOCOL_PORT, and its address to PROXY_PROTOCOL_FROM",
	};
	char ip[NET_IP_TEXT_MAX];

	w->refused++;
	if (!log_due(&w->quiet_until[t], HEADER_WAIT_QUIET))
		return;
	log_warn("a connection at port %u is closed: [%s] %s", port, net_addr_text(from, ip), words[t]);
}

/* Forgets C; returns its descriptor, still open. */
static int release(struct header_client *c)
{
	struct header_wait *w = c->all;
	int fd = c->io.fd;

	ev_io_stop(w->loop, &c->io);
	ev_timer_stop(w->loop, &c->timer);
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	w->count--;
	mem_free(&c);
	return fd;
}

static void give_up(struct header_client *c, enum header_trouble t)
{
	log_trouble(c->all, t, &c->proxy, c->port);
	close(release(c));
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct header_client *c = timer->data;

	if (!loop_timer_early(loop, timer, c->until))
		give_up(c, HEADER_TROUBLE_LATE);
}

/* Without a client in the header (the proxy's own check, or an unknown address) the client is the proxy. */
static void fill_in(const struct header_client *c, struct proxy_header_facts *f)
{
	if (f->client.family == 0)
		f->client = c->proxy;
}

static void log_facts(const struct header_client *c, const struct proxy_header_facts *f)
{
	char ip[NET_IP_TEXT_MAX], proxy[NET_IP_TEXT_MAX];

	if (f->unique_id[0] == '\0' && f->tls_version[0] == '\0')
		return;
	log_as(protocols[c->protocol].group, LOG_LEVEL_INFO, "Connection, ip=[%s], port=[%u], proxy=[%s]%s%s%s%s%s%s",
	    net_addr_log(&f->client, ip), f->client.port, net_addr_log(&c->proxy, proxy),
	    f->unique_id[0] != '\0' ? ", id=" : "", f->unique_id, f->tls_version[0] != '\0' ? ", tls=" : "",
	    f->tls_version, f->tls_cipher[0] != '\0' ? "," : "", f->tls_cipher);
}

static void deliver(struct header_client *c, struct proxy_header_facts *f)
{
	struct header_wait *w = c->all;
	enum protocol protocol = c->protocol;
	bool tls = c->tls;
	uint16_t port = c->port;

	fill_in(c, f);
	log_facts(c, f);
	w->on_client(w->arg, protocol, tls, release(c), f, port);
}

/* Peeks, then reads just the header: what follows belongs to the client, and may be TLS. */
static void on_readable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	struct header_client *c = io->data;
	struct proxy_header_facts f;
	char buf[PROXY_HEADER_MAX];
	ssize_t n = recv(io->fd, buf, sizeof(buf), MSG_PEEK);
	enum proxy_header_state state;
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		close(release(c)); /* gone, for example a check whether the port is open */
		return;
	}
	state = proxy_header_take(&c->header, buf, (size_t)n, &used, &f);
	if (state != PROXY_HEADER_BAD && recv(io->fd, buf, used, 0) != (ssize_t)used)
		state = PROXY_HEADER_BAD;
	if (state == PROXY_HEADER_BAD)
		give_up(c, HEADER_TROUBLE_NONSENSE);
	else if (state == PROXY_HEADER_DONE)
		deliver(c, &f);
}

void header_wait_init(struct header_wait *w, struct ev_loop *loop, header_wait_fn *on_client, void *arg)
{
	memset(w, 0, sizeof(*w));
	w->loop = loop;
	w->on_client = on_client;
	w->arg = arg;
	w->seconds = HEADER_WAIT_SECONDS;
}

void header_wait_add(struct header_wait *w, enum protocol protocol, bool tls, int fd, const struct net_addr *proxy,
    uint16_t port)
{
	struct header_client *c = mem_alloc(sizeof(*c));

	c->all = w;
	c->protocol = protocol;
	c->tls = tls;
	c->proxy = *proxy;
	c->port = port;
	c->next = w->first;
	c->prev = &w->first;
	if (c->next != NULL)
		c->next->prev = &c->next;
	w->first = c;
	w->count++;
	ev_io_init(&c->io, on_readable, fd, EV_READ);
	c->io.data = c;
	ev_io_start(w->loop, &c->io);
	ev_timer_init(&c->timer, on_late, 0, 0);
	c->timer.data = c;
	loop_timer_start(w->loop, &c->timer, w->seconds, &c->until);
}

void header_wait_refuse(struct header_wait *w, const struct net_addr *sender, uint16_t port)
{
	log_trouble(w, HEADER_TROUBLE_SENDER, sender, port);
}

void header_wait_stray(struct header_wait *w, const struct net_addr *sender, uint16_t port)
{
	log_trouble(w, HEADER_TROUBLE_STRAY, sender, port);
}

void header_wait_shut(struct header_wait *w)
{
	while (w->first != NULL)
		close(release(w->first));
}
