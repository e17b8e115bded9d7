/* What the load generator and the fake back end agree on: accounts, the bytes of a body, small socket helpers. Both
 * programs end with a message at the first thing that is not as agreed: a figure of a broken run is worth nothing. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "lib/net.h"
#include "lib/str.h"

/* Account N is WIRE_USER, its password WIRE_PASSWORD, for 0 <= N < WIRE_ACCOUNTS_MAX; the first WIRE_ACCOUNTS are
 * used where nothing else is said. */
#define WIRE_USER "user%05u@example.com"
#define WIRE_PASSWORD "pass-%05u-word"
enum { WIRE_ACCOUNTS = 10000, WIRE_ACCOUNTS_MAX = 250000 };

enum { WIRE_CHUNK = 64 * 1024 }; /* the most bytes at a time of a body */

/* Call once before the two below. */
void wire_init(void);
/* The bytes of a body from offset OFF on; at least WIRE_CHUNK of them may be read. Text lines, none begins with a
 * dot. */
const char *wire_body(uint64_t off);
/* NAME and PASSWORD belong to one account. */
bool wire_account_ok(const char *name, size_t name_len, const char *password, size_t password_len);

/* Seconds on a clock that only goes forward. */
double wire_now(void);
/* "ADDRESS:PORT"; ends the program if it is none. */
struct net_addr wire_addr(const char *text);
/* A listening socket at A; ends the program if it cannot be had. */
int wire_listen(const struct net_addr *a);
/* A new epoll instance, and FD added to it with DATA (level-triggered). */
int wire_epoll(void);
void wire_watch(int ep, int fd, uint32_t events, void *data);
/* The number of descriptors is raised to what the system allows. */
void wire_raise_files(void);

#endif
