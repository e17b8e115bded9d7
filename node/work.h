/* When to stop a command of a session server. Every loop whose length a client or a sender of mail can choose calls
 * work_do() with the amount of work done, and ends if that returns false.
 *
 * Why to stop: the node is being stopped or the user was kicked; the client has hung up; or the command has used far
 * more CPU than the data it read explains. Reading a mailbox of 20 GB may take minutes: 1 us of CPU is granted for each
 * byte that is read (decoding, conversion and search take some 20 ns), on top of WORK_CPU_BASE. More than that means an
 * input on which one of our algorithms is slow. */
#ifndef NODE_WORK_H
#define NODE_WORK_H

#include "lib/bio.h"

enum {
	WORK_CPU_BASE = 30 * 1000, /* ms of CPU that any command may use */
	WORK_PER_MS = 1000,        /* units that grant another ms */
	WORK_MESSAGE = 1000,       /* units for opening, renaming or looking up one message or folder */
	WORK_LOOK = 32 * 1024,     /* units between two readings of the clock */
	WORK_CHECK = 50,           /* ms between two checks */
	WORK_PROBE = 5000,         /* ms between two probes of a client that may be gone */
};

enum work_stop {
	WORK_GOES_ON,
	WORK_SIGNAL,    /* session_stop() says why */
	WORK_NO_CLIENT, /* it has hung up */
	WORK_TOO_MUCH,  /* CPU out of proportion */
};

struct work {
	struct bio *io;
	/* Sent to a client that has closed its sending side, to learn whether it still reads: a whole untagged line, or
	 * NULL. With it, call work_do() only between replies. */
	const char *probe;
	/* This command changes mail, so it is completed even if the client is gone; work_begin() clears it. */
	bool finish;
	int64_t (*cpu_ms)(void); /* CPU time of this process: clock_cpu_ms() except in tests */
	/* private */
	enum work_stop stop;
	uint64_t units, look_at;
	int64_t cpu_began, check_at, probe_at; /* cpu_began: -1 until the first check */
};

/* W is for the client of IO. */
void work_init(struct work *w, struct bio *io, const char *probe);
/* A command begins. Costs no system call. */
void work_begin(struct work *w);
/* Adds UNITS of work: bytes read, WORK_MESSAGE for a message. False, also in all later calls: stop; w->stop tells
 * why. */
bool work_do(struct work *w, uint64_t units);
/* ms of CPU that this command has used since the first check. */
int64_t work_cpu(const struct work *w);

#endif
