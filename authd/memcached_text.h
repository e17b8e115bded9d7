/* Parses answers of memcached, as far as they have arrived: its text protocol (protocol.txt of its source). */
#ifndef AUTHD_MEMCACHED_TEXT_H
#define AUTHD_MEMCACHED_TEXT_H

#include "lib/base.h"

enum memcached_answer {
	MEMCACHED_MORE, /* incomplete; no answer is longer than MEMCACHED_ANSWER_MAX */
	MEMCACHED_VALUE,
	MEMCACHED_DONE,    /* get: there is none; set: it is stored, or there was no room */
	MEMCACHED_NONSENSE /* not an answer to this command: the connection is out of step, or it is not a memcached */
};

enum { MEMCACHED_VALUE_MAX = 100 * 1024, MEMCACHED_ANSWER_MAX = MEMCACHED_VALUE_MAX + 1024 };

/* The LEN bytes at P are the answer so far to "get KEY". With MEMCACHED_VALUE, *VALUE is in there. */
enum memcached_answer memcached_get_answer(const char *p, size_t len, const char *key, const char **value,
    size_t *value_len);
/* To "set". */
enum memcached_answer memcached_set_answer(const char *p, size_t len);

#endif
