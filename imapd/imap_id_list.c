/* The list of the ID command. */
#include "imapd/imap_id_list.h"

static bool take_pair(struct imap_lex *l, imap_id_pair_fn *fn, void *arg)
{
	struct str key = STR_INIT, value = STR_INIT;
	bool nil = false, ok;

	ok = imap_lex_string(l, &key) == 1 && key.len != 0 && key.len <= IMAP_ID_KEY_MAX && imap_lex_space(l) == 1 &&
	    imap_lex_nstring(l, &value, &nil) == 1 && value.len <= IMAP_ID_VALUE_MAX;
	if (ok && !nil)
		fn(arg, key.data, str_cstr(&value), value.len);
	str_fini(&key);
	str_fini(&value);
	return ok;
}

static bool take_nil(struct imap_lex *l)
{
	struct str word = STR_INIT;
	bool nil = imap_lex_atom(l, &word) == 1 && imap_word_is(&word, "NIL");

	str_fini(&word);
	return nil;
}

bool imap_id_list(struct imap_lex *l, imap_id_pair_fn *fn, void *arg)
{
	if (imap_lex_space(l) != 1)
		return false;
	if (imap_lex_char(l, '(') != 1)
		return take_nil(l) && imap_lex_end(l) == 1;
	for (unsigned n = 0; imap_lex_char(l, ')') != 1; n++)
		if (n == IMAP_ID_PAIRS_MAX || (n != 0 && imap_lex_space(l) != 1) || !take_pair(l, fn, arg))
			return false;
	return imap_lex_end(l) == 1;
}
