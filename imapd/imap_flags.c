/* Flags and keywords. */
#include "imapd/imap_flags.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"

static const struct {
	const char *name;
	unsigned bit;
} system_flags[] = {
	{ "\\Answered", MD_ANSWERED },
	{ "\\Flagged", MD_FLAGGED },
	{ "\\Deleted", MD_DELETED },
	{ "\\Seen", MD_SEEN },
	{ "\\Draft", MD_DRAFT },
	{ "\\Recent", 0 },
};

static void add_word(struct str *out, size_t start, const char *word)
{
	if (out->len > start)
		str_addc(out, ' ');
	str_adds(out, word);
}

void imap_flags_add(struct str *out, const struct md_box *box, size_t i)
{
	unsigned flags = md_box_flags(box, i);
	size_t start, nkw;
	const uint32_t *kw = md_box_keywords(box, i, &nkw);

	str_addc(out, '(');
	start = out->len;
	for (size_t k = 0; k < ARRAY_LEN(system_flags); k++)
		if ((flags & system_flags[k].bit) != 0)
			add_word(out, start, system_flags[k].name);
	for (size_t k = 0; k < nkw; k++)
		add_word(out, start, md_box_keyword_name(box, kw[k]));
	if (md_box_is_recent(box, i))
		add_word(out, start, "\\Recent");
	str_addc(out, ')');
}

void imap_keywords_add(struct str *out, const struct md_box *box)
{
	for (uint32_t k = 0, n = md_box_count_keywords(box); k < n; k++) {
		str_addc(out, ' ');
		str_adds(out, md_box_keyword_name(box, k));
	}
}

static const char *add_keyword(struct imap_flaglist *f, const struct str *word)
{
	if (f->words++ == IMAP_FLAGLIST_MAX)
		return "Too many keywords.";
	for (size_t i = 0; i < f->n; i++)
		if (strcasecmp(f->kw[i], str_cstr(word)) == 0)
			return NULL;
	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 8 : f->cap * 2;
		f->kw = mem_grow(f->kw, f->cap * sizeof(*f->kw));
	}
	f->kw[f->n++] = mem_strdup(str_cstr(word));
	return NULL;
}

static const char *add_flag(struct imap_flaglist *f, const struct str *word)
{
	if (word->data[0] != '\\')
		return word->len > MD_KEYWORD_LEN_MAX ? "A keyword is too long." : add_keyword(f, word);
	for (size_t i = 0; i < ARRAY_LEN(system_flags); i++)
		if (imap_word_is(word, system_flags[i].name)) {
			f->flags |= system_flags[i].bit;
			return NULL;
		}
	return "Unknown system flag.";
}

/* Reads words separated by single blanks. */
static const char *read_flags(struct imap_flaglist *f, struct imap_lex *l)
{
	struct str word = STR_INIT;
	const char *wrong;

	do {
		wrong = imap_lex_flag(l, &word) == 1 ? add_flag(f, &word) : "Expected a flag.";
	} while (wrong == NULL && imap_lex_space(l) == 1);
	str_fini(&word);
	return wrong;
}

const char *imap_flaglist_read(struct imap_flaglist *f, struct imap_lex *l, bool bare)
{
	const char *wrong;

	if (imap_lex_char(l, '(') != 1)
		return bare ? read_flags(f, l) : "Expected a list of flags in parentheses.";
	if (imap_lex_char(l, ')') == 1)
		return NULL;
	wrong = read_flags(f, l);
	if (wrong == NULL && imap_lex_char(l, ')') != 1)
		wrong = "The list of flags has no end.";
	return wrong;
}

void imap_flaglist_fini(struct imap_flaglist *f)
{
	for (size_t i = 0; i < f->n; i++)
		mem_free(&f->kw[i]);
	mem_free(&f->kw);
	f->n = f->cap = 0;
}
