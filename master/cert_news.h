/* What became of the certificates that were passed to the key processes: which is in use and until when, which was
 * refused, since when and why. For the log and for `waypost status`.
 * There is a key process for each worker slot, and all should tell the same. Of each number that the master has given
 * the first word is logged, that one takes it after others refused, and one refusal of each process after that. So a
 * compromised one can lie, but not talk. SLOT: that of the key process, and of its login worker. */
#ifndef MASTER_CERT_NEWS_H
#define MASTER_CERT_NEWS_H

#include "lib/str.h"
#include "node/msg_key.h"

/* Between these two, cert_news_given() or cert_news_keep() is called for all certificates of the settings; what neither
 * is called for is forgotten. */
void cert_news_begin(void);
void cert_news_end(void);
/* The certificate in FILE is passed to the key processes as key NUMBER, for USE in place of the one before, which may
 * be of another file. */
void cert_news_given(const char *use, const char *file, uint32_t number);
/* There still is one for USE, unless none was ever given. */
void cert_news_keep(const char *use);
/* The key processes took NUMBER: all that have said anything. */
bool cert_news_is_taken(uint32_t number);
/* What is refused of NUMBER until the trial ends is not told: its files may be on their way. True at its end if not all
 * took it: pass it again. */
void cert_news_begin_trial(uint32_t number);
bool cert_news_end_trial(uint32_t number);
/* The master cannot pass it to a key process, because of WHY. */
void cert_news_refuse(uint32_t number, unsigned slot, const char *why);
/* A key process begins: what is refused now it does not have from before. */
void cert_news_begun(unsigned slot);
/* It has ended: what it said holds no more. */
void cert_news_ended(unsigned slot);
/* What a key process says. */
void cert_news_take(unsigned slot, const struct control_key_news *m);
/* To be called every few seconds: logs, once a day, which certificates end soon or have ended. NOW: unix seconds. */
void cert_news_tick(int64_t now);
/* Adds lines of "status", if there are certificates. */
void cert_news_describe(struct str *out, int64_t now);

#endif
