/* Reports of building a userdb: for the log, and for `waypost check`. */
#include <string.h>

#include "authlib/userdb.h"
#include "lib/log.h"

void userdb_report_init(struct userdb_report *rep)
{
	memset(rep, 0, sizeof(*rep));
}

void userdb_report_fini(struct userdb_report *rep)
{
	str_fini(&rep->text);
}

const char *userdb_status_name(enum userdb_status s)
{
	static const char *const names[] = { "ok", "missing", "changing", "empty", "cut", "refused", "failed" };

	_Static_assert(ARRAY_LEN(names) == USERDB_FAILED + 1, "a name for each status");
	return (unsigned)s < ARRAY_LEN(names) ? names[s] : "?";
}

static void add_lines(struct str *out, const char *p, const char *before)
{
	while (*p != '\0') {
		size_t len = strcspn(p, "\n");

		str_addf(out, "%s%.*s\n", before, (int)len, p);
		p += len + (p[len] == '\n');
	}
}

/* Calls USE for the image in FD, which it closes. */
static void show_image(int fd, userdb_use_fn *use, void *arg)
{
	const char *why;
	struct userdb *db = userdb_open_fd(fd, &why);

	if (db != NULL)
		use(arg, db);
	userdb_close(&db);
}

bool userdb_check(const char *path, struct str *out, userdb_use_fn *use, void *arg)
{
	struct userdb_report rep;
	int fd;
	bool good;

	userdb_report_init(&rep);
	userdb_build(path, NULL, 100, &rep, &fd);
	good = rep.status == USERDB_BUILT || rep.status == USERDB_EMPTY;
	add_lines(out, str_cstr(&rep.text), good ? "warning: userdb: " : "userdb: ");
	if (rep.status == USERDB_CHANGED)
		str_addf(out, "userdb: %s is being written: try again\n", path);
	else if (rep.status != USERDB_BUILT)
		str_addf(out,
		    "%suserdb: %s is refused (%s): a running node keeps the previous state, a node that starts lets "
		    "nobody log in until the file is repaired\n",
		    good ? "warning: " : "", path, userdb_status_name(rep.status));
	else
		str_addf(out, "userdb: %llu accounts\n", (unsigned long long)rep.entries);
	if (fd != -1)
		show_image(fd, use, arg);
	userdb_report_fini(&rep);
	return good;
}

void userdb_report_log(const struct userdb_report *rep, const char *path)
{
	const char *p = str_cstr(&rep->text);

	while (*p != '\0') {
		size_t len = strcspn(p, "\n");

		log_warn("userdb: %.*s", (int)len, p);
		p += len + (p[len] == '\n');
	}
	if (rep->status == USERDB_BUILT)
		log_info("userdb: %s read: %llu accounts in %u files, %llu not usable, %llu kept from before, %llu "
		         "gone, %llu KB",
		    path, (unsigned long long)rep->entries, rep->files, (unsigned long long)rep->broken,
		    (unsigned long long)rep->kept, (unsigned long long)rep->lost,
		    (unsigned long long)rep->bytes / 1024);
	else if (rep->status == USERDB_CHANGED)
		log_info("userdb: %s changed while it was read; it is read again when it no longer changes", path);
	else
		log_error("userdb: %s was refused (%s); the previous state stays in use; without one, logins fail "
		          "temporarily",
		    path, userdb_status_name(rep->status));
}
