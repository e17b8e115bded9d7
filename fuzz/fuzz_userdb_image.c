/* An image that authd receives: a valid one in which the input overwrites bytes ({2 bytes of place, 1 byte of
 * value}...). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "authlib/userdb_image.h"
#include "lib/die.h"
#include "lib/mem.h"

static const char text[] =
    "a@example.com\tuid=1001|gid=1002|home=/srv/a|mail=Maildir|quota=1S|gecos=A|options=mailhost=b|"
    "systempw={SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=|imappw=!|pop3pw=!|hmac-md5pw=00\nb\tbroken\nc\tuid=1|gid=1|home=/"
    "c\n\tof nobody\n";

static int build(const char *path, const struct userdb *old)
{
	struct userdb_report rep;
	int fd;

	userdb_report_init(&rep);
	userdb_build(path, old, 50, &rep, &fd);
	userdb_report_fini(&rep);
	return fd;
}

static bool tell(void *arg, const struct account *a, const char *why UNUSED)
{
	DIE_IF(a->name == NULL || a->options == NULL);
	return ++*(unsigned *)arg < 1000;
}

static void use(const struct userdb *db)
{
	static const char *const names[] = { "a@example.com", "b", "c", "cutter", "" };
	struct str reason = STR_INIT;
	unsigned told = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct account a;
		char buf[64];

		account_init(&a);
		userdb_lookup(db, "pop3", names[i], &a);
		account_fini(&a);
		userdb_origin(db, names[i], buf, sizeof(buf));
	}
	userdb_each(db, tell, &told, &reason);
	str_fini(&reason);
	DIE_IF(memchr(userdb_dummy_hash(db), '\0', ACCOUNT_HASH_MAX) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[32]; /* a memory file by its name in /proc */
	static struct userdb *good;
	const char *why;
	struct userdb *db;
	uint8_t *copy;
	int fd;

	if (good == NULL) {
		fd = memfd_create("fuzz", 0);
		DIE_IF(fd == -1 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		DIE_IF((good = userdb_open_fd(build(path, NULL), &why)) == NULL);
	}
	copy = mem_alloc(good->mapped);
	memcpy(copy, good->base, good->mapped);
	for (; size >= 3; data += 3, size -= 3)
		copy[(size_t)(data[0] << 8 | data[1]) % good->mapped] = data[2];
	fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	DIE_IF(fd == -1 || write(fd, copy, good->mapped) != (ssize_t)good->mapped);
	mem_free(&copy);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	if ((db = userdb_open_fd(fd, &why)) == NULL)
		return 0;
	use(db);
	if ((fd = build(path, db)) != -1)
		close(fd);
	userdb_close(&db);
	return 0;
}
