/* What the load generator and the fake back end share: bytes of bodies, sockets. */
#include "bench/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/die.h"
#include "lib/num.h"

/* The body repeats after so many bytes: no multiple of any buffer size, so that swapped or doubled blocks show. */
enum { LINE = 78, PERIOD = LINE * 1021 };

static char body[PERIOD + WIRE_CHUNK];

void wire_init(void)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t x = 2463534242u;

	for (size_t i = 0; i < sizeof(body); i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		if (i >= PERIOD)
			body[i] = body[i - PERIOD];
		else if (i % LINE >= LINE - 2)
			body[i] = i % LINE == LINE - 2 ? '\r' : '\n';
		else
			body[i] = letters[x % 64];
	}
}

const char *wire_body(uint64_t off)
{
	return body + off % PERIOD;
}

bool wire_account_ok(const char *name, size_t name_len, const char *password, size_t password_len)
{
	char want_name[64], want_password[64];
	const char *at = memchr(name, '@', name_len);
	uint64_t n;

	if (at == NULL || at - name < 4 || !num_parse(name + 4, (size_t)(at - name) - 4, WIRE_ACCOUNTS_MAX - 1, &n))
		return false;
	snprintf(want_name, sizeof(want_name), WIRE_USER, (unsigned)n);
	snprintf(want_password, sizeof(want_password), WIRE_PASSWORD, (unsigned)n);
	return name_len == strlen(want_name) && memcmp(name, want_name, name_len) == 0 &&
	    password_len == strlen(want_password) && memcmp(password, want_password, password_len) == 0;
}

double wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct net_addr wire_addr(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct net_addr a;
	uint64_t port;
	char ip[NET_IP_TEXT_MAX];

	if (colon == NULL || (size_t)(colon - text) >= sizeof(ip) || !num_parse_str(colon + 1, 65535, &port))
		die_fatal("\"%s\" is not ADDRESS:PORT", text);
	memcpy(ip, text, (size_t)(colon - text));
	ip[colon - text] = '\0';
	if (!net_addr_parse(&a, ip, (uint16_t)port))
		die_fatal("\"%s\" is no address", ip);
	return a;
}

int wire_listen(const struct net_addr *a)
{
	int fd = net_listen(a, 4096);

	if (fd == -1)
		die_errno("cannot listen at port %u", a->port);
	return fd;
}

int wire_epoll(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep == -1)
		die_errno("epoll_create1");
	return ep;
}

void wire_watch(int ep, int fd, uint32_t events, void *data)
{
	struct epoll_event e = { .events = events, .data.ptr = data };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == -1)
		die_errno("epoll_ctl");
}

void wire_raise_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}
