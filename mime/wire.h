/* Where the bytes of a message lie on the wire, where every line ends in CRLF (RFC 5322 section 2.3): each LF
 * without a CR before it counts twice there. A client may ask for hundreds of pieces of one message: its lines are
 * counted once. */
#ifndef MIME_WIRE_H
#define MIME_WIRE_H

#include "mime/part.h"

/* Bytes that the first OFF bytes of M's text have on the wire. The first call reads the whole text, the others a
 * kilobyte at most. */
uint64_t mime_wire_at(struct mime_msg *m, size_t off);
/* The place on disk from which on to read for what is SKIP bytes on the wire behind offset FROM (the start of a line
 * or of the message): *REST bytes on the wire are still to be passed over there, two kilobytes at most unless SKIP
 * reaches behind the text. Costs as mime_wire_at(). */
size_t mime_wire_seek(struct mime_msg *m, size_t from, uint64_t skip, uint64_t *rest);
/* Bytes of M's header with its empty line (mime_hdr_len()), looked for once. */
size_t mime_wire_header(struct mime_msg *m);

#endif
