/* Converts a message for the client: LF becomes CRLF, a line that begins with a dot gets a second one (RFC 1939 section
 * 3), TOP stops after its lines. The message may come in pieces cut anywhere. */
#ifndef POP3D_POP3_DOTS_H
#define POP3D_POP3_DOTS_H

#include "lib/base.h"

struct pop3_dots {
	uint64_t lines; /* lines of the body that may still be sent */
	bool in_body;
	bool line_begun; /* this line is not empty so far (a CR before its LF does not count) */
	bool after_cr;
	bool done; /* all lines of TOP are there: the rest of the message is not needed */
};

/* The whole message (LINES UINT64_MAX), or header and LINES lines of the body. */
void pop3_dots_init(struct pop3_dots *d, uint64_t lines);
/* Converts LEN bytes at IN into OUT, which has room for 2 * LEN bytes; returns the number of bytes to send. */
size_t pop3_dots_feed(struct pop3_dots *d, const char *in, size_t len, char *out);
/* Ends the message: completes an unfinished last line and adds the final dot. OUT has room for 8 bytes. */
size_t pop3_dots_end(struct pop3_dots *d, char *out);

#endif
