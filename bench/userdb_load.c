/* How long a large userdb takes to load and to ask, and what it costs in memory. Not part of make check:
 *   make bench/userdb_load && bench/userdb_load [ACCOUNTS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "authlib/userdb.h"
#include "lib/mem.h"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_accounts(FILE *f, unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		fprintf(f,
		    "user%07lu@example%lu.com\tuid=%lu|gid=1000|home=/srv/mail/%lu/"
		    "user%07lu|options=mailhost=server%lu.example.com|"
		    "systempw=$6$saltsalt%08lx$%086lu\n",
		    i, i % 100, 1000 + i, i % 100, i, i % 20, i, i);
}

static struct userdb *load(const char *path, const struct userdb *old, const char *what)
{
	struct userdb_report rep;
	double start = now();
	const char *why;
	int fd;

	userdb_report_init(&rep);
	userdb_build(path, old, 50, &rep, &fd);
	printf("%-28s %6.2f s   %llu accounts, image %.1f MB (%.0f bytes each)\n", what, now() - start,
	    (unsigned long long)rep.entries, (double)rep.bytes / 1e6, (double)rep.bytes / (double)MAX(rep.entries, 1));
	fputs(str_cstr(&rep.text), stdout);
	userdb_report_fini(&rep);
	return fd != -1 ? userdb_open_fd(fd, &why) : NULL;
}

static void look_up(const struct userdb *db, unsigned long n, bool known)
{
	enum { TIMES = 500000 };
	double start = now();
	unsigned long found = 0;

	for (unsigned long i = 0; i < TIMES; i++) {
		unsigned long u = i * 2654435761UL % n;
		struct account a;
		char name[64];

		snprintf(name, sizeof(name), "%s%07lu@example%lu.com", known ? "user" : "none", u, u % 100);
		account_init(&a);
		found += userdb_lookup(db, "imap", name, &a) == AUTH_OK;
		account_fini(&a);
	}
	printf("%-28s %6.2f us each   (%lu found)\n", known ? "look-up of a known name" : "look-up of an unknown name",
	    (now() - start) / TIMES * 1e6, found);
}

int main(int argc, char **argv)
{
	unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	char path[] = "/tmp/userdb_load.XXXXXX";
	FILE *f = fdopen(mkstemp(path), "w");
	struct userdb *first, *second;
	struct rusage ru;
	struct stat st;

	write_accounts(f, n);
	fclose(f);
	stat(path, &st);
	printf("%-28s %.1f MB\n", "file", (double)st.st_size / 1e6);
	first = load(path, NULL, "first load");
	second = load(path, first, "again, compared with it");
	unlink(path);
	if (first == NULL || second == NULL)
		return 1;
	userdb_close(&first);
	look_up(second, n, true);
	look_up(second, n, false);
	getrusage(RUSAGE_SELF, &ru);
	printf("%-28s %.1f MB (two images and the table of the second build)\n", "most memory at once",
	    (double)ru.ru_maxrss / 1e3);
	userdb_close(&second);
	return 0;
}
