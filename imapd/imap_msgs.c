/* Messages that a command names. */
#include "imapd/imap_msgs.h"

#include "lib/mem.h"

/* Converts ranges of UIDs to ranges of index + 1. */
static void uids_to_numbers(const struct md_box *box, const struct imap_set *uids, struct imap_set *out)
{
	for (size_t i = 0; i < uids->n; i++) {
		size_t from = md_box_find(box, uids->ranges[i].low);
		size_t to =
		    uids->ranges[i].high == UINT32_MAX ? md_box_count(box) : md_box_find(box, uids->ranges[i].high + 1);

		if (to > from)
			imap_set_add(out, (uint32_t)from + 1, (uint32_t)to);
	}
}

/* As imap_take_messages(), from the text of a set. */
static bool imap_messages_of(struct imap_session *s, const char *text, size_t len, bool uids, struct imap_set *set)
{
	uint32_t n = (uint32_t)md_box_count(s->box);
	struct imap_set named = { 0 };

	if (!imap_set_parse(uids ? &named : set, text, len, uids ? md_box_last_uid(s->box) : n)) {
		imap_bad(s, "Not a set of message numbers.");
		return false;
	}
	if (uids) {
		uids_to_numbers(s->box, &named, set);
		imap_set_fini(&named);
	} else if (imap_set_max(set) > n) {
		imap_bad(s, "There are only %u messages.", n);
		imap_set_fini(set);
		return false;
	}
	return true;
}

/* Adds what "$" stands for to SET. */
static void add_saved(const struct imap_session *s, struct imap_set *set)
{
	struct imap_set found = { 0 };

	uids_to_numbers(s->box, &s->saved, &found);
	for (size_t i = 0; i < found.n; i++)
		for (uint32_t n = found.ranges[i].low; n <= found.ranges[i].high; n++)
			if (!md_box_is_gone(s->box, n - 1))
				imap_set_add(set, n, n);
	imap_set_fini(&found);
}

bool imap_take_uids(const struct imap_session *s, struct imap_lex *l, struct imap_set *set)
{
	struct str text = STR_INIT;
	bool ok = true;

	if (imap_lex_char(l, '$') == 1)
		imap_set_copy(set, &s->saved);
	else
		ok = imap_lex_set(l, &text) == 1 && imap_set_parse(set, text.data, text.len, md_box_last_uid(s->box));
	str_fini(&text);
	return ok;
}

bool imap_take_messages(struct imap_session *s, struct imap_lex *l, struct imap_set *set)
{
	struct str text = STR_INIT;
	bool ok;

	if (imap_lex_space(l) == 1 && imap_lex_char(l, '$') == 1) {
		add_saved(s, set);
		return true;
	}
	if (imap_lex_set(l, &text) != 1) {
		str_fini(&text);
		imap_bad(s, "Expected a set of message numbers.");
		return false;
	}
	ok = imap_messages_of(s, text.data, text.len, s->uid, set);
	str_fini(&text);
	return ok;
}

size_t *imap_messages_list(const struct imap_session *s, const struct imap_set *set, size_t *n_out, size_t *missed_out)
{
	size_t total = 0, n = 0, *list;

	for (size_t i = 0; i < set->n; i++)
		total += set->ranges[i].high - set->ranges[i].low + 1;
	list = mem_array(total + 1, sizeof(*list));
	for (size_t i = 0; i < set->n; i++)
		for (size_t k = set->ranges[i].low - 1; k < set->ranges[i].high; k++)
			if (!md_box_is_gone(s->box, k))
				list[n++] = k;
	*n_out = n;
	*missed_out = total - n;
	return list;
}
