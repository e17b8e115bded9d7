/* LIST and LSUB. */
#include <string.h>

#include "imapd/cmd.h"
#include "imapd/imap_match.h"
#include "imapd/imap_names.h"
#include "lib/mem.h"
#include "maildir/md_subscribe.h"
#include "maildir/md_tree.h"

struct list_args {
	struct str reference, name;
	struct imap_pattern pattern;
};

static enum imap_status take_args(struct imap_session *s, struct imap_lex *l, const char *what, struct list_args *a)
{
	memset(a, 0, sizeof(*a));
	if (imap_lex_space(l) != 1 || imap_lex_astring(l, &a->reference) != 1 || imap_lex_space(l) != 1 ||
	    imap_lex_pattern(l, &a->name) != 1 || imap_lex_end(l) != 1) {
		str_fini(&a->reference);
		str_fini(&a->name);
		return imap_bad(s, "%s needs a reference and a pattern.", what);
	}
	imap_pattern_init(&a->pattern, str_cstr(&a->reference), str_cstr(&a->name), IMAP_SEPARATOR);
	return IMAP_OK;
}

static void args_fini(struct list_args *a)
{
	str_fini(&a->reference);
	str_fini(&a->name);
	imap_pattern_fini(&a->pattern);
}

static void put_row(struct imap_session *s, const char *what, const char *attributes, const char *wire)
{
	struct str out = STR_INIT;

	str_addf(&out, "* %s (%s) \"%c\" ", what, attributes, IMAP_SEPARATOR);
	imap_name_quote(&out, wire);
	str_adds(&out, "\r\n");
	imap_put(s, &out);
	str_fini(&out);
}

/* INBOX's children on the wire: with the prefix "INBOX." all folders, else those below a folder "INBOX". */
static bool inbox_has_children(struct imap_session *s, const struct md_folders *all)
{
	if (s->set->imapd_IMAP_NAMESPACE_PREFIX[0] != '\0')
		return all->n > 1;
	return md_folders_find(all, "INBOX") != NULL;
}

static void put_folder(struct imap_session *s, const struct md_folders *all, const struct md_folder *f,
    const char *wire)
{
	bool marks = s->set->imapd_IMAP_CHECK_ALL_FOLDERS, inbox = f->name[0] == '\0';
	bool children = inbox ? inbox_has_children(s, all) : f->has_children;
	/* By default Courier's LIST checks only INBOX's new/. */
	bool has_new = marks ? f->has_new : inbox && md_tree_has_new(&s->root, "");
	struct str attributes = STR_INIT;

	if (!f->exists)
		str_adds(&attributes, "\\Noselect ");
	else if (marks || inbox)
		str_adds(&attributes, has_new ? "\\Marked " : "\\Unmarked ");
	if (children)
		str_adds(&attributes, "\\HasChildren");
	else
		str_adds(&attributes, s->set->imapd_IMAP_OBSOLETE_CLIENT ? "\\NoInferiors" : "\\HasNoChildren");
	put_row(s, "LIST", attributes.data, wire);
	str_fini(&attributes);
}

static enum imap_status list_all(struct imap_session *s, const struct imap_pattern *pattern)
{
	bool bare = s->set->imapd_IMAP_NAMESPACE_PREFIX[0] == '\0';
	struct md_folders all;
	struct str wire = STR_INIT;
	enum md_err e = md_tree_list(&s->root, s->set->imapd_IMAP_CHECK_ALL_FOLDERS, &all);

	for (size_t i = 0; e == MD_OK && i < all.n && work_do(&s->work, WORK_MESSAGE); i++) {
		if (bare && strcmp(all.f[i].name, "INBOX") == 0)
			continue; /* the parent of "INBOX.x", which is INBOX itself */
		str_clear(&wire);
		imap_name_out(s->set, all.f[i].name, &wire);
		if (imap_pattern_match(pattern, wire.data))
			put_folder(s, &all, &all.f[i], wire.data);
	}
	str_fini(&wire);
	md_folders_fini(&all);
	if (s->work.stop != WORK_GOES_ON)
		return imap_stopped(s, "LIST");
	return e == MD_OK ? imap_ok(s, "LIST completed.") : imap_md_no(s, e, "LIST", "NONEXISTENT");
}

enum imap_status imap_cmd_list(struct imap_session *s, struct imap_lex *args)
{
	struct list_args a;
	enum imap_status status = take_args(s, args, "LIST", &a);

	if (status != IMAP_OK)
		return status;
	if (a.name.len == 0) { /* requests only the separator */
		put_row(s, "LIST", "\\Noselect", "");
		status = imap_ok(s, "LIST completed.");
	} else {
		status = list_all(s, &a.pattern);
	}
	args_fini(&a);
	return status;
}

/* A subscribed name does not match, but its parent WIRE does: shows it as \Noselect unless it is subscribed too
 * (RFC 3501 section 6.3.9, for "%"). Each parent only once: SAID is the last one shown, and names are sorted. */
static void put_parent(struct imap_session *s, const struct md_names *names, const struct str *wire, struct str *said)
{
	struct str folder = STR_INIT;

	if (imap_name_in(s->set, wire, &folder) != IMAP_NAME_OK || !md_names_has(names, str_cstr(&folder))) {
		if (strcmp(str_cstr(said), wire->data) != 0)
			put_row(s, "LSUB", "\\Noselect", wire->data);
		str_clear(said);
		str_adds(said, wire->data);
	}
	str_fini(&folder);
}

/* The LSUB reply for the subscribed name WIRE. */
static void put_subscribed(struct imap_session *s, const struct imap_pattern *pattern, const struct md_names *names,
    struct str *wire, struct str *said)
{
	size_t len = imap_pattern_match_level(pattern, wire->data);

	if (len == wire->len) {
		put_row(s, "LSUB", "", wire->data);
	} else if (len > 0) {
		wire->data[wire->len = len] = '\0';
		put_parent(s, names, wire, said);
	}
}

enum imap_status imap_cmd_lsub(struct imap_session *s, struct imap_lex *args)
{
	struct str wire = STR_INIT, said = STR_INIT;
	struct md_names names;
	struct list_args a;
	enum imap_status status = take_args(s, args, "LSUB", &a);
	enum md_err e;

	if (status != IMAP_OK)
		return status;
	e = md_subscribed(&s->root, &names);
	for (size_t i = 0; e == MD_OK && i < names.n && work_do(&s->work, WORK_MESSAGE); i++) {
		str_clear(&wire);
		imap_name_out(s->set, names.name[i], &wire);
		put_subscribed(s, &a.pattern, &names, &wire, &said);
	}
	md_names_fini(&names);
	str_fini(&wire);
	str_fini(&said);
	args_fini(&a);
	if (s->work.stop != WORK_GOES_ON)
		return imap_stopped(s, "LSUB");
	return e == MD_OK ? imap_ok(s, "LSUB completed.") : imap_md_no(s, e, "LSUB", "NONEXISTENT");
}
