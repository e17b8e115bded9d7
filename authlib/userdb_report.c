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
	static const char *const names[] = { "ok", "missing", "changing", "refused", "failed" };

	_Static_assert(ARRAY_LEN(names) == USERDB_FAILED + 1, "a name for each status");
	return (unsigned)s < ARRAY_LEN(names) ? names[s] : "?";
}

bool userdb_report_bad(const struct userdb_report *rep)
{
	return (rep->status != USERDB_BUILT && rep->status != USERDB_CHANGED) || rep->broken != 0 || rep->kept != 0;
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
		log_info("userdb: %s read: %llu accounts in %u files, %llu put off, %llu kept from before, %llu gone, %llu KB", path,
		    (unsigned long long)rep->entries, rep->files, (unsigned long long)rep->broken,
		    (unsigned long long)rep->kept, (unsigned long long)rep->lost, (unsigned long long)rep->bytes / 1024);
	else if (rep->status == USERDB_CHANGED)
		log_info("userdb: %s changed while it was read; it is read again once it is at rest", path);
	else
		log_error("userdb: %s was not taken (%s); what was known before stays in use", path,
		    userdb_status_name(rep->status));
}
