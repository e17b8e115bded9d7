/* A file of authorities: what is believed after whatever happens to it, and what is said about it. */
#include "tests/unit/unit.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "master/authority_file.h"
#include "tests/unit/logged.h"
#include "tests/unit/tls_test.h"

static char folder[] = "/tmp/authorities-XXXXXX", path[64], other_path[64];
static struct authority_file *file;
static EVP_PKEY *key;
static X509 *ca, *other;
static struct str ca_pem, other_pem;

static void setup(void)
{
	strcpy(folder, "/tmp/authorities-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.pem", folder);
	snprintf(other_path, sizeof(other_path), "%s/b.pem", folder);
	key = tls_test_key("P-256");
	ca = tls_test_authority(key, "ca", NULL, key);
	other = tls_test_authority(key, "other", NULL, key);
	tls_test_add_pem(&ca_pem, ca);
	tls_test_add_pem(&other_pem, other);
}

static void teardown(void)
{
	if (file != NULL)
		authority_file_free(&file);
	X509_free(ca);
	X509_free(other);
	EVP_PKEY_free(key);
	str_fini(&ca_pem);
	str_fini(&other_pem);
	str_fini(&logged);
	unlink(path);
	unlink(other_path);
	rmdir(folder);
}

static void put(const char *name, const char *text)
{
	char new[80];
	FILE *f;

	snprintf(new, sizeof(new), "%s.~", name);
	f = fopen(new, "w");
	CU_ASSERT_FATAL(f != NULL);
	fputs(text, f);
	fclose(f);
	rename(new, name);
}

static void begin(const char *name)
{
	if (file != NULL)
		authority_file_free(&file);
	file = authority_file_new("SETTING", "client", name, true);
}

static bool has(const char *what)
{
	return strstr(str_cstr(&logged), what) != NULL;
}

/* Looks until the file is at rest. True: others are believed. */
static bool look(void)
{
	int64_t now = (int64_t)time(NULL);
	bool changed;

	str_clear(&logged);
	CU_ASSERT_FALSE(authority_file_look(file, now)); /* it may be being written */
	changed = authority_file_look(file, now);
	CU_ASSERT_FALSE(authority_file_look(file, now));
	return changed;
}

static void expect_status(const char *want)
{
	struct str out = STR_INIT;

	authority_files_describe(&file, 1, &out, (int64_t)time(NULL));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&out), want));
	str_fini(&out);
}

/* What is allocated next has blanks in it. */
static void spread_blanks(void)
{
	void *all[64];

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const size_t size = 8 + 16 * i;

		all[i] = mem_alloc(size);
		memset(all[i], ' ', size);
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		mem_free(&all[i]);
}

/* Nothing but blanks is nothing, whatever stands behind it in memory. */
static void test_blanks(void)
{
	char blanks[100] = "";

	setup();
	for (size_t n = 1; n < sizeof(blanks); n++) {
		put(path, str_cstr(&ca_pem));
		begin(path);
		blanks[n - 1] = ' ';
		put(path, blanks);
		CU_ASSERT_FALSE(authority_file_look(file, (int64_t)time(NULL)));
		spread_blanks();
		CU_ASSERT(authority_file_look(file, (int64_t)time(NULL)));
		CU_ASSERT(has("it is empty; no client's certificate is believed\n"));
		str_clear(&logged);
	}
	teardown();
}

static void test_changes(void)
{
	setup();
	put(path, str_cstr(&ca_pem));
	begin(path);
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&ca_pem));
	CU_ASSERT_FALSE(look());
	CU_ASSERT_EQUAL(logged.len, 0);
	/* Half a copy changes nothing, and is told of once. */
	for (size_t cut = 1; cut < ca_pem.len - 1; cut += 97) {
		char *half = strndup(str_cstr(&ca_pem), cut);

		put(path, half);
		CU_ASSERT_FALSE(look());
		CU_ASSERT(has("E: SETTING: ") && has("; what it was before stays\n"));
		CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&ca_pem));
		free(half);
		put(path, str_cstr(&ca_pem));
		look();
	}
	put(path, str_cstr(&other_pem));
	CU_ASSERT(look());
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&other_pem));
	expect_status("authorities_refused\t0\n");
	/* Removed, or emptied: nobody. */
	unlink(path);
	CU_ASSERT(look());
	CU_ASSERT(has("No such file or directory; no client's certificate is believed\n"));
	CU_ASSERT_EQUAL(file->pem.len, 0);
	expect_status("authorities_refused\t1\n");
	put(path, str_cstr(&ca_pem));
	CU_ASSERT(look());
	put(path, " \n");
	CU_ASSERT(look());
	CU_ASSERT(has("it is empty; no client's certificate is believed\n"));
	put(path, str_cstr(&ca_pem));
	CU_ASSERT(look());
	/* Another file: what is not in that is not believed, even if that is broken. */
	put(other_path, "half a file");
	begin(other_path);
	CU_ASSERT_EQUAL(file->pem.len, 0);
	teardown();
}

static void test_keys(void)
{
	struct str text = STR_INIT;
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	setup();
	PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(b, &p);
	str_add(&text, p, (size_t)n);
	str_adds(&text, "words\n");
	str_adds(&text, str_cstr(&ca_pem));
	put(path, str_cstr(&text));
	begin(path);
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&ca_pem));
	CU_ASSERT(has("there is a private key"));
	expect_status("authorities_with_keys\t1\n");
	put(path, str_cstr(&ca_pem));
	CU_ASSERT_FALSE(look());
	expect_status("authorities_with_keys\t0\n");
	BIO_free(b);
	str_fini(&text);
	teardown();
}

/* One for authorities, one for a list. */
static void test_folder(void)
{
	struct str list = STR_INIT;

	setup();
	tls_test_add_list(&list, ca, key, NULL, -60, 3600);
	put(path, str_cstr(&ca_pem));
	put(other_path, str_cstr(&list));
	begin(folder);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&file->pem), str_cstr(&list)));
	/* A list that is emptied, cut in its head, or removed stays in use. */
	for (int how = 0; how < 3; how++) {
		if (how == 2)
			unlink(other_path);
		else
			put(other_path, how == 0 ? "" : "-----BEG");
		look();
		if (how == 0)
			CU_ASSERT(has("the revocation list of \"ca\" is not there any more") &&
			    has("; the list of before stays in use\n"));
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&file->pem), str_cstr(&list)));
		expect_status("authorities_refused\t1\n");
	}
	put(other_path, "-----BEGIN X509 CRL-----\nAA");
	CU_ASSERT_FALSE(look());
	CU_ASSERT(has("b.pem: a part of it, that begins in line 1, cannot be read; what it was before stays\n"));
	unlink(other_path);
	CU_ASSERT_EQUAL_FATAL(symlink("nowhere", other_path), 0);
	CU_ASSERT_FALSE(look());
	CU_ASSERT(has("b.pem: No such file or directory; what it was before stays\n"));
	/* The authority is withdrawn, and its list may go with it. */
	unlink(other_path);
	put(path, str_cstr(&other_pem));
	CU_ASSERT(look());
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&other_pem));
	put(other_path, str_cstr(&list));
	CU_ASSERT(look());
	unlink(path);
	CU_ASSERT(look());
	CU_ASSERT(has("there is no certificate; no client's certificate is believed"));
	str_fini(&list);
	teardown();
}

/* A folder is no place for what cannot be read: it may be the list that somebody believes to be in use. */
static void test_der(void)
{
	unsigned char *der = NULL;
	int len;
	FILE *f;

	setup();
	put(path, str_cstr(&ca_pem));
	put(other_path, "what is in this folder, for people\n");
	begin(folder);
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&ca_pem));
	expect_status("authorities_refused\t0\n");
	len = i2d_X509(other, &der);
	f = fopen(other_path, "w");
	CU_ASSERT_FATAL(f != NULL && fwrite(der, 1, (size_t)len, f) == (size_t)len);
	fclose(f);
	CU_ASSERT_FALSE(look());
	CU_ASSERT(has("b.pem: it is DER, and has to be PEM; "));
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&ca_pem));
	begin(other_path);
	CU_ASSERT(has("it is DER, and has to be PEM; ") && has("no client's certificate is believed"));
	OPENSSL_free(der);
	teardown();
}

/* Who replays a list of before would undo what was revoked since. */
static void test_older_list(void)
{
	struct str text = STR_INIT, newer = STR_INIT, older = STR_INIT;

	setup();
	tls_test_add_list(&older, ca, key, NULL, -60, 3600);
	tls_test_add_list(&newer, ca, key, other, -30, 3600);
	str_addf(&text, "%s%s", str_cstr(&ca_pem), str_cstr(&older));
	put(path, str_cstr(&text));
	begin(path);
	str_clear(&text);
	str_addf(&text, "%s%s", str_cstr(&ca_pem), str_cstr(&newer));
	put(path, str_cstr(&text));
	CU_ASSERT(look());
	CU_ASSERT_STRING_EQUAL(str_cstr(&file->pem), str_cstr(&text));
	expect_status("authorities_refused\t0\n");
	str_clear(&text);
	str_addf(&text, "%s%s", str_cstr(&ca_pem), str_cstr(&older));
	put(path, str_cstr(&text));
	look();
	CU_ASSERT(has("the revocation list of \"ca\" is older than the one before: ") &&
	    has("; the list of before stays in use\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&file->pem), str_cstr(&newer)));
	expect_status("authorities_refused\t1\n");
	str_fini(&text);
	str_fini(&newer);
	str_fini(&older);
	teardown();
}

static bool says(bool is_list, int64_t from, int64_t until, int64_t now, enum authority_end want, const char *words)
{
	struct str text = STR_INIT;
	bool good = authority_end(is_list, X509_get_subject_name(ca), from, until, now, &text) == want &&
	    (words != NULL ? strstr(str_cstr(&text), words) != NULL : text.len == 0);

	str_fini(&text);
	return good;
}

static void test_ends(void)
{
	const int64_t day = 24 * 3600, now = (int64_t)time(NULL);
	struct str text = STR_INIT;
	X509 *ending;

	setup();
	CU_ASSERT(says(true, now - 90 * day, now + 13 * day, now, AUTHORITY_ENDS, "list of \"ca\" expires on "));
	CU_ASSERT(
	    says(false, now - 90 * day, now + 13 * day, now, AUTHORITY_ENDS, "certificate of \"ca\" expires on "));
	CU_ASSERT(says(true, now - 90 * day, now + 15 * day, now, AUTHORITY_GOOD, NULL));
	CU_ASSERT(says(true, now - 6 * day, now + day, now, AUTHORITY_ENDS, "; get a new one"));
	CU_ASSERT(says(true, now - 2 * day, now + 2 * day, now, AUTHORITY_GOOD, NULL));
	CU_ASSERT(says(true, now - 2 * day, now, now, AUTHORITY_ENDED, "list of \"ca\" has expired on "));
	CU_ASSERT(says(false, now - 2 * day, now - 1, now, AUTHORITY_ENDED, "of \"ca\" has expired on "));
	CU_ASSERT(says(true, now - 2 * day, INT64_MAX, now, AUTHORITY_GOOD, NULL));
	ending = tls_test_signed(key, NULL, NULL, key, -90 * day, 300 * day, true);
	tls_test_add_pem(&text, ending);
	tls_test_add_list(&text, ending, key, NULL, -90 * day, 20 * day);
	put(path, str_cstr(&text));
	begin(path);
	str_clear(&logged);
	authority_file_look(file, now);
	CU_ASSERT_EQUAL(logged.len, 0);
	expect_status("lists_ending\t0\n");
	authority_file_look(file, now + 7 * day);
	CU_ASSERT(has("W: ") && has("the revocation list of \"authority.example\" expires on "));
	str_clear(&logged);
	authority_file_look(file, now + 7 * day + 60);
	CU_ASSERT_EQUAL(logged.len, 0);
	authority_file_look(file, now + 8 * day);
	CU_ASSERT(has("W: "));
	str_clear(&logged);
	authority_file_look(file, now + 20 * day - 30);
	str_clear(&logged);
	authority_file_look(file, now + 20 * day + 30);
	CU_ASSERT(has("E: ") && has("the revocation list of \"authority.example\" has expired on "));
	CU_ASSERT_FALSE(has("the certificate of"));
	authority_file_look(file, now + 290 * day);
	CU_ASSERT(has("W: ") && has("the certificate of \"authority.example\" expires on "));
	authority_file_look(file, now + 301 * day);
	CU_ASSERT(has("the certificate of \"authority.example\" has expired on "));
	/* The system's certificates are others' care; lists are not. */
	file->is_ours = false;
	str_clear(&logged);
	authority_file_look(file, now + 302 * day);
	CU_ASSERT(has("the revocation list of ") && !has("the certificate of "));
	X509_free(ending);
	str_fini(&text);
	teardown();
}

static const struct unit_case cases[] = {
	{ "changes", test_changes },
	{ "blanks", test_blanks },
	{ "private keys", test_keys },
	{ "folder", test_folder },
	{ "DER", test_der },
	{ "an older list", test_older_list },
	{ "what ends", test_ends },
	{ NULL, NULL },
};
UNIT_MAIN("authority_file", cases)
