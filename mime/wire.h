/* Converts between places in a message on disk and on the wire, where every line ends in CRLF (RFC 5322 section 2.3):
 * each LF without a CR before it counts twice there. A client may ask for hundreds of pieces of a message, but its
 * lines are counted once. */
#ifndef MIME_WIRE_H
#define MIME_WIRE_H

#include "mime/part.h"

/* The size on the wire of the first OFF bytes of M's text. The first call reads the whole text, the others at most a
 * kilobyte. */
uint64_t mime_wire_at(struct mime_msg *m, size_t off);
/* Where to read on disk for what is SKIP bytes on the wire after offset FROM (the start of a line or of the message):
 * from the returned offset, *REST bytes on the wire are still to be skipped, at most two kilobytes unless SKIP is
 * beyond the text. Costs as much as mime_wire_at(). */
size_t mime_wire_seek(struct mime_msg *m, size_t from, uint64_t skip, uint64_t *rest);
/* Size on disk of M's header with its empty line (mime_hdr_len()), searched for only once. */
size_t mime_wire_header(struct mime_msg *m);

#endif
