/* Mailbox names: on the wire (modified UTF-7, the namespace prefix, separator ".") and in the Maildir (UTF-8, "" is
 * INBOX). */
#ifndef IMAPD_IMAP_NAMES_H
#define IMAPD_IMAP_NAMES_H

#include "imapd/imap_session.h"

enum imap_name {
	IMAP_NAME_OK,
	IMAP_NAME_SYNTAX, /* not modified UTF-7, or not a valid folder name */
	IMAP_NAME_OUTSIDE /* not below the prefix */
};

enum { IMAP_SEPARATOR = '.' };

/* The folder that the wire name WIRE means, into FOLDER (emptied first). */
enum imap_name imap_name_in(const struct settings *set, const struct str *wire, struct str *folder);
/* Appends the wire name of FOLDER to OUT, not quoted. */
void imap_name_out(const struct settings *set, const char *folder, struct str *out);
/* Appends the wire name TEXT as a quoted string. */
void imap_name_quote(struct str *out, const char *text);
/* Reads " mailbox" from L into FOLDER. IMAP_OK; else the tagged reply is set: BAD for syntax, NO for a name that no
 * folder can have, with code MISSING ("CANNOT" if the folder is to be created: the text then says what names look
 * like). */
enum imap_status imap_take_folder(struct imap_session *s, struct imap_lex *l, struct str *folder, const char *missing);
/* The same where nothing may follow the name. */
enum imap_status imap_take_last_folder(struct imap_session *s, struct imap_lex *l, struct str *folder,
    const char *missing);

#endif
