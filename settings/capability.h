/* Lists of capabilities: words with blanks between. What our session servers support, and what servers have in common.
 * POP3's capabilities have words of their own behind their names (RFC 2449): in lists stand the names alone, and only
 * those of capabilities that we know with the same words. */
#ifndef SETTINGS_CAPABILITY_H
#define SETTINGS_CAPABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"
#include "settings/protocol.h"

enum { CAPABILITY_LIST_MAX = 2000 /* bytes of a list */ };

/* Our session servers support the capability of LEN bytes at WORD, in any case (RFC 3501, 7.2.1). False for AUTH=,
 * STARTTLS and LOGINDISABLED, which do not concern session servers. */
bool capability_is_ours(const char *word, size_t len);
/* All that our session servers support by P; "" for protocols without capabilities. */
const char *capability_ours(enum protocol p);

/* LIST, the value of a setting, has the word "auto": what all servers of the pool have in common is announced. */
bool capability_is_auto(const char *list);
/* What clients by P are announced depends on that, with TLS or without. */
struct settings;
bool capability_asks_pool(const struct settings *set, enum protocol p);

/* LIST has the word of LEN bytes at WORD, in any case. One with LITERAL+ has LITERAL- (RFC 7888 section 5). */
bool capability_has(const char *list, const char *word, size_t len);
/* LIST is one that capability_take() makes. */
bool capability_list_ok(const char *list);
/* Appends what a server supports after login to OUT, whose text is a list: LIST as it has sent it after its IMAP
 * command, without what only concerns logins. Words that are none, and what is beyond CAPABILITY_LIST_MAX, are left
 * out. */
void capability_take(struct str *out, const char *list);
/* Drops from LIST what OTHER does not have. */
void capability_keep_common(struct str *list, const char *other);
/* Drops from LIST the words that OTHER has. */
void capability_drop(struct str *list, const char *other);
/* A number for LIST, by which two of them differ as good as always; never 0 or 1. */
uint32_t capability_hash(const char *list);

/* The line of POP3's capability whose name is the LEN bytes at NAME, in any case; NULL: we do not support it. */
const char *capability_pop3_line(const char *name, size_t len);
/* The name of the one that LINE of the reply to CAPA is; NULL: none of ours, or with other words. */
const char *capability_pop3_name(const char *line);

#endif
