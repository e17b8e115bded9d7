/* The words of the IMAP grammar (RFC 3501 section 9), read from a buffer of bytes. Shared by the dialogue
 * before login, the dialogue with peers and the session after login; it does not know where the bytes
 * come from and never waits.
 *
 * Two steps: imap_frame_next() finds where a command ends (its lines and literals), bounded and without looking
 * at a byte twice; then the imap_lex_ functions take words from its front. Each of them returns
 *   1  parsed: pos is after the word
 *   0  the bytes end before the end of the word is certain: pos is unchanged, call again with more bytes
 *  -1  these bytes are no such word: pos is unchanged
 * so that an alternative can be tried after -1. With a complete command 0 does not occur. */
#ifndef IMAPD_IMAP_LEX_H
#define IMAPD_IMAP_LEX_H

#include "lib/str.h"

enum {
	IMAP_TAG_MAX = 128,       /* bytes of a tag */
	IMAP_WORD_MAX = 8 * 1024, /* bytes of an atom, a quoted string or a literal taken as a word */
	IMAP_NAME_MAX = 64        /* bytes of a command name or another keyword */
};

/* --- Where a command ends --- */

struct imap_frame_limits {
	size_t line;     /* bytes of all lines of one command together, line ends included */
	size_t literals; /* bytes of all literals of one command together */
};

/* All zero at the start of a command. */
struct imap_frame {
	size_t pos;       /* bytes scanned; after IMAP_FRAME_DONE the length of the command */
	size_t start;     /* where the line being read began */
	size_t text;      /* bytes of finished lines */
	size_t literals;  /* bytes of literals announced so far and not refused */
	size_t skip;      /* bytes of a literal still to skip */
	uint64_t literal; /* after IMAP_FRAME_LITERAL, _BIG: size of the literal announced */
	bool sync;        /* ... and whether the client waits for "+" before sending it */
};

enum imap_frame_result {
	IMAP_FRAME_MORE, /* more bytes are needed */
	IMAP_FRAME_DONE, /* DATA[0..pos) is one command, line end included */
	/* DATA[0..pos) ends in the announcement of a literal. Send "+" if sync, and call again: the literal is
	 * skipped. */
	IMAP_FRAME_LITERAL,
	IMAP_FRAME_LONG, /* the lines are longer than limits->line: cannot continue */
	/* As LITERAL, but with it the literals exceed limits->literals: if sync, refuse it by the tagged reply (the
	 * command ends here: start a new frame after pos); else the bytes come anyway, and nothing here skips
	 * them. */
	IMAP_FRAME_BIG
};

/* Scans the LEN bytes at DATA, which begin with the command and are the same as in the last call, followed by more.
 * A line ends with CRLF or LF. A literal (RFC 3501: "{5}", RFC 7888: "{5+}") is recognized at the end of a line, after
 * a blank or "(". */
enum imap_frame_result imap_frame_next(struct imap_frame *f, const char *data, size_t len,
    const struct imap_frame_limits *limits);

/* --- Skipping a command that is refused --- */

enum { IMAP_SKIP_TAIL = 40 }; /* bytes at a line's end that may announce a literal */

/* All zero to start anywhere in a line, after what a frame has scanned; or with the size of a coming literal. */
struct imap_skip {
	uint64_t literal; /* bytes of a literal still to come */
	uint64_t passed;  /* bytes skipped */
	size_t n;         /* bytes in tail: of the current line */
	char tail[IMAP_SKIP_TAIL];
};

/* Skips the LEN bytes at DATA, which are new in each call, including literals sent without waiting, to the end of the
 * command (also if the client waits before sending a literal: it is not asked to). Returns how many of the bytes
 * belong to the command; *OVER: it ends there. */
size_t imap_skip_next(struct imap_skip *k, const char *data, size_t len, bool *over);

/* --- Words --- */

struct imap_lex {
	const char *data;
	size_t len;
	size_t pos;
};

/* L reads the LEN bytes at DATA from their start; they must stay until the last word was taken. */
void imap_lex_init(struct imap_lex *l, const char *data, size_t len);
/* The next byte (0 to 255), or -1 at the end of the bytes. */
int imap_lex_peek(const struct imap_lex *l);

/* All OUT strings are replaced, not appended to, and hold no NUL byte. They are untouched unless 1 is returned. */

/* tag: any astring character except "+", at most IMAP_TAG_MAX. */
int imap_lex_tag(struct imap_lex *l, struct str *out);
/* The one character C. */
int imap_lex_char(struct imap_lex *l, char c);
/* One blank. */
int imap_lex_space(struct imap_lex *l);
/* The end of the command: CRLF or LF, blanks before it are allowed. */
int imap_lex_end(struct imap_lex *l);
/* atom: a word without specials; "]" ends it. */
int imap_lex_atom(struct imap_lex *l, struct str *out);
/* An atom of letters, digits, "-", "." and "_" of at most IMAP_NAME_MAX bytes, in capitals: command names, search
 * keys. */
int imap_lex_name(struct imap_lex *l, struct str *out);
/* string: "quoted" or {literal}. 8-bit characters are taken, NUL is not. */
int imap_lex_string(struct imap_lex *l, struct str *out);
/* astring: an atom (with "]") or a string. */
int imap_lex_astring(struct imap_lex *l, struct str *out);
/* list-mailbox: as astring, with "%" and "*". */
int imap_lex_pattern(struct imap_lex *l, struct str *out);
/* nstring: a string, or NIL (then *NIL is true and OUT empty). */
int imap_lex_nstring(struct imap_lex *l, struct str *out, bool *nil);
/* A flag: "\Name" or an atom. "\*" is no flag. */
int imap_lex_flag(struct imap_lex *l, struct str *out);
/* The characters of a sequence set (digits, "*", ":", ","), of any length; imap_seq.h reads them. */
int imap_lex_set(struct imap_lex *l, struct str *out);
/* number of at most LIMIT: digits only. */
int imap_lex_number(struct imap_lex *l, uint64_t limit, uint64_t *out);
/* The announcement of a literal with its line end: its size and whether the client waits for "+". Its bytes
 * are not read. */
int imap_lex_literal(struct imap_lex *l, uint64_t *size, bool *sync);

/* True if TEXT (any case) is the word WORD. */
bool imap_word_is(const struct str *text, const char *word);
/* True if the bytes of S can be written as an atom. */
bool imap_is_atom(const char *s, size_t len);

#endif
