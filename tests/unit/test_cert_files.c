/* Which files are certificates, by their names. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/str.h"
#include "master/cert_files.h"

static char root[64];
static struct str found;
static struct cert_files_gaps gaps;

static void make(const char *name)
{
	char *path = mem_printf("%s/%s", root, name);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	CU_ASSERT_FATAL(fd != -1);
	close(fd);
	mem_free(&path);
}

static void make_folder(const char *name)
{
	char *path = mem_printf("%s/%s", root, name);

	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	mem_free(&path);
}

static const char *inside(const char *path)
{
	return strncmp(path, root, strlen(root)) == 0 ? path + strlen(root) + 1 : path;
}

static void on_file(void *arg UNUSED, const char *use, const char *file, const char *key, const char *ocsp)
{
	str_addf(&found, "%s|%s|%s|%s\n", use, inside(file), inside(key), inside(ocsp));
}

static void set_path(char **text, const char *name)
{
	char *path = mem_printf("%s/%s", root, name);

	unit_set(text, path);
	mem_free(&path);
}

static void expect(const struct settings *set, const char *const *lines)
{
	size_t n = 0;

	str_clear(&found);
	cert_files_each(set, on_file, NULL, &gaps);
	for (size_t i = 0; i < found.len; i++)
		n += found.data[i] == '\n';
	for (; *lines != NULL; lines++, n--) {
		if (strstr(str_cstr(&found), *lines) == NULL)
			printf("\nnot there: %s in\n%s", *lines, str_cstr(&found));
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&found), *lines));
	}
	if (n != 0)
		printf("\nmore than expected:\n%s", str_cstr(&found));
	CU_ASSERT_EQUAL(n, 0);
}

static void begin(void)
{
	str_copy(root, sizeof(root), "/tmp/waypost-test-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
}

static void end(struct settings **set)
{
	char *command = mem_printf("rm -r %s", root);

	CU_ASSERT_EQUAL(system(command), 0);
	mem_free(&command);
	settings_free(set);
	str_fini(&found);
}

static void test_beside(void)
{
	static const char *const names[] = { "x.pem.Mail.Example.com", "x.pem.mail.example.com.ocsp",
		"x.pem.*.example.com.rsa", "x.pem.192.0.2.1", "x.pem.2001:DB8::1.ecdsa", "x.pem.rsa", "x.pem.rsa.ocsp",
		/* none of them is one */
		"x.pem.ocsp.old", "x.pem.new", "x.pem.bak", "x.pem.mail.example.com.new", "x.pem.mail.example.com.bak",
		"x.pem.mail.example.com.key", "x.pem.", "x.pem..", "x.pem~", "x.pem.a b.c", "x.pem.300.1.1.1",
		"y.pem.a.b", "x.pemx.a.b", "x.pem.localhost", ".x.pem.a.b", "x.pem.a\nb.c" };
	static const char *const want[] = { "imapd_ssl|x.pem||\n",
		"imapd_ssl name mail.example.com |x.pem.Mail.Example.com||\n",
		"imapd_ssl name *.example.com rsa|x.pem.*.example.com.rsa||\n",
		"imapd_ssl address 192.0.2.1 |x.pem.192.0.2.1||\n",
		"imapd_ssl address 2001:db8::1 ecdsa|x.pem.2001:DB8::1.ecdsa||\n",
		"imapd_ssl all rsa|x.pem.rsa||x.pem.rsa.ocsp\n", NULL };
	static const char *const without[] = { "imapd_ssl all rsa|x.pem.rsa||x.pem.rsa.ocsp\n", NULL };
	struct settings *set = settings_defaults();

	begin();
	set->has_tls[PROTOCOL_IMAP] = true;
	set->has_tls[PROTOCOL_POP3] = true; /* without a certificate */
	expect(set, (const char *const[]){ NULL });
	set_path(&set->imapd_ssl_TLS_CERTFILE, "x.pem");
	expect(set,
	    (const char *const[]){ "imapd_ssl|x.pem||\n", NULL }); /* somebody has to say that it is not there */
	make("x.pem.rsa");
	make("x.pem.rsa.ocsp");
	expect(set, without);
	make("x.pem");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		make(names[i]);
	expect(set, want);
	end(&set);
}

static void test_keys(void)
{
	static const char *const want[] = { "pop3d_ssl|c.pem|k.pem|c.pem.ocsp\n",
		"pop3d_ssl name a.example |c.pem.a.example|k.pem.a.example|\n",
		"pop3d_ssl name b.example |c.pem.b.example|k.pem|\n", NULL };
	struct settings *set = settings_defaults();

	begin();
	set->has_tls[PROTOCOL_POP3] = true;
	set_path(&set->pop3d_ssl_TLS_CERTFILE, "c.pem");
	set_path(&set->pop3d_ssl_TLS_PRIVATE_KEYFILE, "k.pem");
	make("c.pem");
	make("c.pem.ocsp");
	make("c.pem.a.example");
	make("k.pem.a.example");
	make("c.pem.b.example");
	expect(set, want);
	end(&set);
}

/* FOLDER alone could not be read. */
static void expect_gap(const char *folder, int error)
{
	CU_ASSERT_EQUAL_FATAL(gaps.n, 1);
	CU_ASSERT_EQUAL(gaps.gap[0].error, error);
	CU_ASSERT_STRING_EQUAL(inside(gaps.gap[0].folder), folder);
	CU_ASSERT(cert_files_gaps_are_blind(&gaps));
}

static void test_folder(void)
{
	static const char *const want[] = { "imapd_ssl|x.pem||\n",
		"imapd_ssl its-own a.pem|more/a.pem||more/a.pem.ocsp\n",
		"imapd_ssl its-own a.pem.rsa|more/a.pem.rsa||\n",
		"imapd_ssl its-own b.example|more/b.example/fullchain.pem|more/b.example/privkey.pem|\n", NULL };
	struct settings *set = settings_defaults();

	begin();
	set->has_tls[PROTOCOL_IMAP] = true;
	set_path(&set->imapd_ssl_TLS_CERTFILE, "x.pem");
	set_path(&set->imapd_ssl_TLS_CERTDIR, "more");
	expect(set, (const char *const[]){ "imapd_ssl|x.pem||\n", NULL });
	expect_gap("more", ENOENT); /* nobody knows what is in it */
	make_folder("more");
	make_folder("more/b.example");
	make_folder("more/c.example");
	make("more/a.pem");
	make("more/a.pem.rsa");
	make("more/a.pem.ocsp");
	make("more/.hidden.pem");
	make("more/README");
	make("more/b.example/fullchain.pem");
	make("more/b.example/privkey.pem");
	make("more/c.example/fullchain.pem");
	expect(set, want);
	CU_ASSERT_EQUAL(gaps.n, 0);
	end(&set);
}

static void on_odd(void *arg UNUSED, enum protocol p UNUSED, const char *name, const char *file, const char *why)
{
	str_addf(&found, "%s|%s|%.24s\n", name, inside(file), why);
}

/* What is meant for TLS, but misplaced or left over. */
static void test_odd(void)
{
	static const char *const names[] = { "c.pem", "c.pem.ocsp", "c.pem.a.example", "c.pem.a.example.ocsp", "c.pem~",
		"c.pem.rsa", "c.pem.rsa.ocsp", "c.pem.old", "c.pem.a.example.bak", "c.pem.192.0.2.1", "k.pem",
		"k.pem.a.example", "k.pem.rsa", "k.pem.old", "other", "c.pemx", "c", "more/a.pem", "more/README",
		/* odd are */
		"c.pem.localhost", "c.pem.300.1.1.1.ocsp", "c.pem.b.example.ocsp", "k.pem.b.example", "more/b.crt",
		"more/d.example/fullchain.pem", "more/e.example/privkey.pem" };
	static const char want[] = "TLS_CERTFILE|c.pem.300.1.1.1.ocsp|it belongs to a certific\n"
	                           "TLS_CERTFILE|c.pem.b.example.ocsp|it belongs to a certific\n"
	                           "TLS_CERTFILE|c.pem.localhost|it is used for nothing: \n"
	                           "TLS_PRIVATE_KEYFILE|k.pem.b.example|it belongs to a certific\n"
	                           "TLS_CERTDIR|more/b.crt|it is used for nothing: \n"
	                           "TLS_CERTDIR|more/d.example|it is used for nothing: \n"
	                           "TLS_CERTDIR|more/e.example|it is used for nothing: \n";
	struct settings *set = settings_defaults();

	begin();
	make_folder("more");
	make_folder("more/c.example");
	make_folder("more/d.example");
	make_folder("more/e.example");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		make(names[i]);
	set->has_tls[PROTOCOL_IMAP] = true;
	set_path(&set->imapd_ssl_TLS_CERTFILE, "c.pem");
	set_path(&set->imapd_ssl_TLS_PRIVATE_KEYFILE, "k.pem");
	set_path(&set->imapd_ssl_TLS_CERTDIR, "more");
	cert_files_each_odd(set, on_odd, NULL);
	for (const char *p = want; *p != '\0'; p += strcspn(p, "\n") + 1) { /* a folder has no order */
		char line[128];

		snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n") + 1, p);
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&found), line));
	}
	CU_ASSERT_EQUAL(found.len, strlen(want));
	end(&set);
}

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);

static bool bad_access, bad_readdir;

int __wrap_access(const char *path, int mode)
{
	if (!bad_access || strstr(path, "privkey.pem") == NULL)
		return __real_access(path, mode);
	errno = EIO;
	return -1;
}

/* An entry ends with its name, for the sanitizer: libc has it in a buffer with others. */
struct dirent *__wrap_readdir(DIR *d)
{
	static struct dirent *copy;
	const struct dirent *e;

	mem_free(&copy);
	if (bad_readdir) {
		errno = EIO;
		return NULL;
	}
	if ((e = __real_readdir(d)) != NULL)
		copy = (struct dirent *)mem_memdup(e, offsetof(struct dirent, d_name) + strlen(e->d_name));
	return copy;
}

/* What cannot be looked at may be there. */
static void test_unreadable(void)
{
	struct settings *set = settings_defaults();

	begin();
	set->has_tls[PROTOCOL_IMAP] = true;
	set_path(&set->imapd_ssl_TLS_CERTFILE, "x.pem");
	set_path(&set->imapd_ssl_TLS_CERTDIR, "more");
	make_folder("more");
	make_folder("more/b.example");
	make("more/b.example/fullchain.pem");
	make("more/b.example/privkey.pem");
	bad_access = true;
	expect(set, (const char *const[]){ "imapd_ssl|x.pem||\n", NULL });
	bad_access = false;
	expect_gap("more", EIO);
	bad_readdir = true;
	expect(set, (const char *const[]){ "imapd_ssl|x.pem||\n", NULL });
	bad_readdir = false;
	CU_ASSERT_EQUAL(gaps.n, 2); /* that beside x.pem, too */
	CU_ASSERT(gaps.gap[0].error == EIO && gaps.gap[1].error == EIO);
	end(&set);
}

/* Each folder is told, and one that protocols share only once. */
static void test_two_folders(void)
{
	struct settings *set = settings_defaults();
	struct str text = STR_INIT;

	begin();
	set->has_tls[PROTOCOL_IMAP] = set->has_tls[PROTOCOL_POP3] = true;
	set_path(&set->imapd_ssl_TLS_CERTFILE, "x.pem");
	set_path(&set->pop3d_ssl_TLS_CERTFILE, "x.pem");
	set_path(&set->imapd_ssl_TLS_CERTDIR, "more");
	set_path(&set->pop3d_ssl_TLS_CERTDIR, "more");
	cert_files_each(set, on_file, NULL, &gaps);
	expect_gap("more", ENOENT);
	set_path(&set->pop3d_ssl_TLS_CERTDIR, "most");
	cert_files_each(set, on_file, NULL, &gaps);
	CU_ASSERT_EQUAL_FATAL(gaps.n, 2);
	CU_ASSERT_STRING_EQUAL(inside(gaps.gap[0].folder), "more");
	CU_ASSERT_STRING_EQUAL(inside(gaps.gap[1].folder), "most");
	cert_files_gap_text(&gaps.gap[1], &text);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&text), "/most, where certificates are: No such file or directory; "));
	str_fini(&text);
	end(&set);
}

static unsigned told;

static void count(void *arg UNUSED, const char *use UNUSED, const char *file UNUSED, const char *key UNUSED,
    const char *ocsp UNUSED)
{
	told++;
}

static void test_many(void)
{
	struct settings *set = settings_defaults();
	char name[32];

	begin();
	set->has_tls[PROTOCOL_IMAP] = true;
	set_path(&set->imapd_ssl_TLS_CERTFILE, "x.pem");
	for (int i = 0; i < CERT_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "x.pem.h%d.example", i);
		make(name);
	}
	cert_files_each(set, count, NULL, &gaps);
	CU_ASSERT_EQUAL(gaps.n, 0);
	CU_ASSERT_EQUAL(told, CERT_FILES_MAX + 1);
	make("x.pem.one.more");
	told = 0;
	cert_files_each(set, count, NULL, &gaps);
	CU_ASSERT(gaps.n == 1 && gaps.gap[0].error == 0 && !cert_files_gaps_are_blind(&gaps));
	CU_ASSERT_EQUAL(told, CERT_FILES_MAX + 1);
	end(&set);
}

static const struct unit_case cases[] = {
	{ "beside", test_beside },
	{ "keys", test_keys },
	{ "folder", test_folder },
	{ "odd", test_odd },
	{ "what cannot be read", test_unreadable },
	{ "two folders that cannot be read", test_two_folders },
	{ "many", test_many },
	{ NULL, NULL },
};
UNIT_MAIN("cert_files", cases)
