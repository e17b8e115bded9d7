/* Settings files: any bytes are accepted, or refused with a message. libconfig must refuse only what our scan has found
 * before, because its own messages are not helpful; and what was read is the same after it was sent to a role. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "settings/settings_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_told(const char *errors)
{
	static const char *const libconfig[] = { "syntax error", "duplicate setting name", "mismatched element type" };

	for (size_t i = 0; i < ARRAY_LEN(libconfig); i++)
		if (strstr(errors, libconfig[i]) != NULL) {
			fprintf(stderr, "%s", errors);
			abort();
		}
}

static void check_copy(const struct settings *set)
{
	int fd = settings_write(set, SETTINGS_FOR_AUTHD);
	struct settings *copy = settings_read(fd);

	if (copy == NULL || strcmp(copy->authuserdb_USERDB, set->authuserdb_USERDB) != 0)
		abort();
	settings_free(&copy);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings_load l;

	settings_load_bytes(&l, "fuzz", (const char *)data, size, &errors, &warnings);
	/* Files that the input includes, and words that it quotes, may hold anything. */
	if (memmem(data, size, "@include", 8) == NULL && memmem(data, size, "mismatched", 10) == NULL &&
	    memmem(data, size, "syntax", 6) == NULL && memmem(data, size, "duplicate", 9) == NULL)
		check_told(str_cstr(&errors));
	check_copy(l.set);
	settings_load_fini(&l);
	str_fini(&errors);
	str_fini(&warnings);
	return 0;
}
