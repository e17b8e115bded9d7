/* Folders: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS. */
#include <string.h>

#include "imapd/cmd.h"
#include "imapd/imap_names.h"
#include "imapd/imap_sync.h"
#include "maildir/md_subscribe.h"
#include "maildir/md_tree.h"

static enum imap_status folder_command(struct imap_session *s, struct imap_lex *args, const char *what,
    const char *missing, enum md_err (*act)(struct md_root *r, const char *folder))
{
	struct str folder = STR_INIT;
	enum imap_status status = imap_take_last_folder(s, args, &folder, missing);
	enum md_err e;

	if (status == IMAP_OK) {
		e = act(&s->root, str_cstr(&folder));
		status = e == MD_OK ? imap_ok(s, "%s completed.", what) : imap_md_no(s, e, what, "NONEXISTENT");
	}
	str_fini(&folder);
	return status;
}

static enum md_err create(struct md_root *r, const char *folder)
{
	return *folder == '\0' ? MD_EXISTS : md_tree_create(r, folder);
}

enum imap_status imap_cmd_create(struct imap_session *s, struct imap_lex *args)
{
	return folder_command(s, args, "CREATE", "CANNOT", create);
}

enum imap_status imap_cmd_subscribe(struct imap_session *s, struct imap_lex *args)
{
	return folder_command(s, args, "SUBSCRIBE", "CANNOT", md_subscribe);
}

enum imap_status imap_cmd_unsubscribe(struct imap_session *s, struct imap_lex *args)
{
	return folder_command(s, args, "UNSUBSCRIBE", "NONEXISTENT", md_unsubscribe);
}

enum imap_status imap_cmd_delete(struct imap_session *s, struct imap_lex *args)
{
	struct str folder = STR_INIT;
	enum imap_status status = imap_take_last_folder(s, args, &folder, "NONEXISTENT");
	enum md_err e;

	if (status == IMAP_OK) {
		e = md_tree_delete(&s->root, str_cstr(&folder));
		if (e == MD_OK && s->box != NULL && strcmp(md_box_folder(s->box), str_cstr(&folder)) == 0)
			imap_unselect(s);
		status = e == MD_OK ? imap_ok(s, "DELETE completed.") : imap_md_no(s, e, "DELETE", "NONEXISTENT");
	}
	str_fini(&folder);
	return status;
}

/* True if FOLDER is NAME or below it. */
static bool is_at_or_below(const char *folder, const char *name)
{
	size_t len = strlen(name);

	return strncmp(folder, name, len) == 0 && (folder[len] == '\0' || folder[len] == IMAP_SEPARATOR);
}

/* Keeps the renamed folder selected: TO replaces the first LEN bytes of its name. If the new name was used before, the
 * folder gets a new UIDVALIDITY, which the client learns. */
static void keep_selected(struct imap_session *s, size_t len, const char *to)
{
	struct str name = STR_INIT;

	str_adds(&name, to);
	str_adds(&name, md_box_folder(s->box) + len);
	if (md_box_renamed(s->box, name.data))
		bio_printf(&s->io, "* OK [UIDVALIDITY %u] By its new name.\r\n", md_box_uidvalidity(s->box));
	str_fini(&name);
}

enum imap_status imap_cmd_rename(struct imap_session *s, struct imap_lex *args)
{
	struct str from = STR_INIT, to = STR_INIT;
	enum imap_status status = imap_take_folder(s, args, &from, "NONEXISTENT");
	enum md_err e;

	/* A failure of the first name must not hide bad syntax after it. */
	if (status != IMAP_BAD) {
		struct str why = STR_INIT;
		enum imap_status second;

		str_add(&why, str_cstr(&s->reply), s->reply.len);
		second = imap_take_last_folder(s, args, &to, "CANNOT");
		if (second == IMAP_BAD || status == IMAP_OK)
			status = second;
		else
			imap_no(s, "%s", str_cstr(&why));
		str_fini(&why);
	}
	if (status == IMAP_OK && to.len == 0)
		status = imap_no(s, "[ALREADYEXISTS] INBOX exists already.");
	if (status == IMAP_OK) {
		s->work.finish = true; /* renaming INBOX moves its mail */
		e = md_tree_rename(&s->root, str_cstr(&from), str_cstr(&to));
		if (e == MD_OK && from.len > 0 && s->box != NULL && is_at_or_below(md_box_folder(s->box), from.data))
			keep_selected(s, from.len, to.data);
		status = e == MD_OK ? imap_ok(s, "RENAME completed.") : imap_md_no(s, e, "RENAME", "NONEXISTENT");
	}
	str_fini(&from);
	str_fini(&to);
	return status;
}

/* --- STATUS --- */

#define STATUS_ITEMS(X) \
	X(MESSAGES, messages) X(RECENT, recent) X(UIDNEXT, uidnext) X(UIDVALIDITY, uidvalidity) X(UNSEEN, unseen)
enum { STATUS_ITEMS_MAX = 32 };

static uint32_t status_item(const struct md_status *st, const char *name, bool *known)
{
	*known = true;
#define X(item, member) \
	if (strcmp(name, #item) == 0) \
		return st->member;
	STATUS_ITEMS(X)
#undef X
	*known = false;
	return 0;
}

/* Reads " (MESSAGES UNSEEN)" and the end of the command; appends the names to ITEMS, each followed by a blank. */
static bool take_items(struct imap_lex *l, struct str *items)
{
	struct str name = STR_INIT;
	const struct md_status none = { 0 };
	bool ok = imap_lex_space(l) == 1 && imap_lex_char(l, '(') == 1;

	for (int i = 0; ok && i < STATUS_ITEMS_MAX; i++) {
		ok = imap_lex_name(l, &name) == 1;
		if (ok)
			status_item(&none, name.data, &ok);
		if (!ok)
			break;
		str_addf(items, "%s ", name.data);
		if (imap_lex_char(l, ')') == 1) {
			str_fini(&name);
			return imap_lex_end(l) == 1;
		}
		ok = imap_lex_space(l) == 1;
	}
	str_fini(&name);
	return false;
}

static void put_status(struct imap_session *s, const char *folder, char *items, const struct md_status *st)
{
	struct str out = STR_INIT, wire = STR_INIT;
	char *rest = NULL;
	bool known;

	imap_name_out(s->set, folder, &wire);
	str_adds(&out, "* STATUS ");
	imap_name_quote(&out, wire.data);
	str_adds(&out, " (");
	for (char *item = strtok_r(items, " ", &rest); item != NULL; item = strtok_r(NULL, " ", &rest))
		str_addf(&out, "%s %u ", item, status_item(st, item, &known));
	out.data[out.len - 1] = ')';
	str_adds(&out, "\r\n");
	imap_put(s, &out);
	str_fini(&out);
	str_fini(&wire);
}

enum imap_status imap_cmd_status(struct imap_session *s, struct imap_lex *args)
{
	struct str folder = STR_INIT, items = STR_INIT;
	enum imap_status status = imap_take_folder(s, args, &folder, "NONEXISTENT");
	struct md_status st;
	enum md_err e;

	if (status != IMAP_BAD && !take_items(args, &items))
		status =
		    imap_bad(s, "STATUS needs a mailbox and a list of MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN.");
	if (status == IMAP_OK) {
		e = md_status(&s->root, str_cstr(&folder), &st);
		if (e == MD_OK) {
			put_status(s, str_cstr(&folder), items.data, &st);
			status = imap_ok(s, "STATUS completed.");
		} else {
			status = imap_md_no(s, e, "STATUS", "NONEXISTENT");
		}
	}
	str_fini(&folder);
	str_fini(&items);
	return status;
}
