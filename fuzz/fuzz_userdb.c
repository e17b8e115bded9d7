/* The text of a userdb in two states, as two halves of the input (cut at the first NUL byte): building, keeping
 * records, looking up. What was built must open; a name of the file is never unknown. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "authlib/userdb_image.h"
#include "lib/die.h"

static char path[32]; /* a memory file by its name in /proc */

static struct userdb *load(const void *text, size_t len, const struct userdb *old)
{
	struct userdb_report rep;
	struct userdb *db;
	const char *why;
	int fd = open(path, O_WRONLY | O_TRUNC), image;
	enum userdb_status status;

	DIE_IF(fd == -1 || write(fd, text, len) != (ssize_t)len);
	close(fd);
	userdb_report_init(&rep);
	status = userdb_build(path, old, 100, &rep, &image);
	DIE_IF(status != USERDB_BUILT && status != USERDB_CUT && status != USERDB_EMPTY);
	/* Half a file is refused, whatever it contains. */
	DIE_IF((status != USERDB_BUILT) !=
	    (len == 0 || ((const char *)text)[len - 1] != '\n' || memchr(text, '\0', len) != NULL));
	DIE_IF(rep.text.len > USERDB_REPORT_TEXT_MAX);
	if (status != USERDB_BUILT) {
		DIE_IF(image != -1 || rep.text.len == 0);
		userdb_report_fini(&rep);
		return NULL;
	}
	DIE_IF((db = userdb_open_fd(image, &why)) == NULL);
	DIE_IF(userdb_count(db) != rep.entries);
	userdb_report_fini(&rep);
	return db;
}

static void look_up(const struct userdb *db, const char *name, size_t len, bool known)
{
	char text[ACCOUNT_NAME_MAX], buf[64];
	struct account a;
	enum auth_result r;

	if (len >= sizeof(text) || memchr(name, '\0', len) != NULL)
		return;
	memcpy(text, name, len);
	text[len] = '\0';
	account_init(&a);
	r = userdb_lookup(db, "imap", text, &a);
	DIE_IF(r == AUTH_BROKEN || (known && r == AUTH_UNKNOWN));
	account_fini(&a);
	userdb_origin(db, text, buf, sizeof(buf));
}

static void look_up_all(const struct userdb *db, const char *text, size_t len)
{
	while (len != 0 && db != NULL) {
		const char *nl = memchr(text, '\n', len);
		size_t n = (size_t)(nl - text);
		struct userdb_entry e;
		const char *why;
		enum userdb_line kind = userdb_parse(text, n, &e, &why);

		if (kind != USERDB_LINE_SKIP && n < 65536)
			look_up(db, e.name.p != NULL ? e.name.p : "", e.name.len, e.name.len != 0);
		look_up(db, text, n, false);
		text += n + 1;
		len -= n + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	const uint8_t *nul = size != 0 ? memchr(data, '\0', size) : NULL;
	size_t first = nul != NULL ? (size_t)(nul - data) : size;
	struct userdb *db, *next;

	if (!ready) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd_create("fuzz", 0));
		ready = true;
	}
	db = load(data, first, NULL);
	look_up_all(db, (const char *)data, first);
	if (nul != NULL) {
		next = load(nul + 1, size - first - 1, db);
		look_up_all(next, (const char *)nul + 1, size - first - 1);
		userdb_close(&next);
	}
	userdb_close(&db);
	return 0;
}
