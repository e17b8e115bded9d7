/* Reads authorities, and judges what became of them. */
#include "master/authority_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "authlib/userdb_image.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "lib/tls_cert.h"

enum { DAY = 24 * 3600, LINES_MAX = 10 };

/* --- reading --- */

static bool is_blank(const struct str *s)
{
	return strspn(str_cstr(s), " \t\r\n") == s->len;
}

/* In DER, as authorities publish lists. */
static bool is_der(const struct str *s)
{
	return s->len > 2 && s->data[0] == 0x30 && (s->data[1] & 0x80) != 0;
}

/* Adds what is of use in the file NAME of FOLDER. False with errno: it cannot be read; 0: C->why says why. */
static bool add_file(int folder, const char *name, bool *blank, struct authority_content *c)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct str text = STR_INIT;
	bool good = fd != -1 && fd_read_file(fd, TLS_TRUST_MAX - 1 - MIN(c->pem.len, TLS_TRUST_MAX - 1), &text);
	int error = errno;

	if (fd != -1)
		close(fd);
	if (!good) {
		str_fini_secret(&text);
		errno = error;
		return false;
	}
	errno = 0;
	*blank = is_blank(&text);
	if (is_der(&text))
		str_adds(&c->why,
		    "it is DER, and has to be PEM; for a revocation list: openssl crl -inform DER -in OLD -out NEW");
	good = c->why.len == 0 && tls_trust_blocks(str_cstr(&text), text.len, &c->pem, &c->has_key, &c->why);
	str_fini_secret(&text);
	return good;
}

static int is_listed(const struct dirent *e)
{
	return e->d_name[0] != '.' && e->d_name[0] != '#' && e->d_name[strlen(e->d_name) - 1] != '~';
}

static bool is_folder(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static bool add_named(int folder, const char *name, struct authority_content *c)
{
	struct str why = STR_INIT;
	bool blank;

	if (is_folder(folder, name) || add_file(folder, name, &blank, c))
		return true;
	str_addf(&why, "%s: %s", name, errno != 0 ? strerror(errno) : str_cstr(&c->why));
	str_fini(&c->why);
	c->why = why;
	return false;
}

/* In the order of names, so that what has not changed is the same. */
static bool add_folder(const char *path, struct authority_content *c)
{
	struct dirent **all = NULL;
	int folder = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY), n = scandir(path, &all, is_listed, alphasort);
	bool good = folder != -1 && n >= 0;

	for (int i = 0; i < n; i++) {
		good = good && add_named(folder, all[i]->d_name, c);
		free(all[i]);
	}
	free(all);
	if (folder != -1)
		close(folder);
	return good;
}

static bool has_certificate(const struct str *pem)
{
	return strstr(str_cstr(pem), "CERTIFICATE-----") != NULL;
}

static enum authority_state judge(bool folder, bool blank, struct authority_content *c)
{
	if ((folder && !has_certificate(&c->pem)) || blank) {
		str_adds(&c->why, blank ? "it is empty" : "there is no certificate");
		str_clear(&c->pem);
		return AUTHORITIES_GONE;
	}
	c->trust = tls_trust_new(str_cstr(&c->pem), c->pem.len, &c->why);
	return c->trust != NULL ? AUTHORITIES_BELIEVED : AUTHORITIES_REFUSED;
}

enum authority_state authority_read(const char *path, struct authority_content *c)
{
	bool folder = is_folder(AT_FDCWD, path), blank = false;

	*c = (struct authority_content){ .pem = STR_INIT };
	errno = 0;
	if (folder ? add_folder(path, c) : add_file(AT_FDCWD, path, &blank, c))
		return judge(folder, blank, c);
	c->short_of = errno == EMFILE || errno == ENFILE;
	if (c->why.len == 0)
		str_adds(&c->why, strerror(errno));
	str_clear(&c->pem);
	/* What is missing in a folder that is there is a link to nowhere, or has just been renamed. */
	return !folder && (errno == ENOENT || errno == ENOTDIR) ? AUTHORITIES_GONE : AUTHORITIES_REFUSED;
}

void authority_content_fini(struct authority_content *c)
{
	str_fini(&c->pem);
	str_fini(&c->why);
	tls_trust_free(&c->trust);
}

/* --- what becomes of it --- */

static void say_consequence(const struct authority_file *f, struct str *out)
{
	if (f->state == AUTHORITIES_UNLISTED)
		str_adds(out, "the list of before stays in use");
	else if (f->pem.len != 0)
		str_adds(out, "what it was before stays");
	else
		str_addf(out, "no %s's certificate is believed", f->whose);
}

static void log_state(const struct authority_file *f)
{
	struct str end = STR_INIT;

	say_consequence(f, &end);
	if (f->state != AUTHORITIES_BELIEVED)
		log_error("%s: %s: %s; %s", f->setting, f->path, str_cstr(&f->why), str_cstr(&end));
	else
		log_info("%s: %s: certificates of authorities that are believed: %u", f->setting, f->path,
		    tls_trust_count(f->trust));
	if (f->has_key)
		log_error("%s: %s: there is a private key, which has no place there; it was passed to nobody, but "
		          "remove it",
		    f->setting, f->path);
	str_fini(&end);
}

/* What F lacks of revocation lists, it has from before. */
static enum authority_state keep_lists(const struct authority_file *f, struct authority_content *c)
{
	bool older = false;
	const X509_NAME *lost = tls_trust_keep_lists(c->trust, f->trust, &c->pem, &older);
	char name[TLS_CERT_NAME_TEXT_MAX];

	if (lost == NULL)
		return AUTHORITIES_BELIEVED;
	tls_trust_free(&c->trust);
	c->trust = tls_trust_new(str_cstr(&c->pem), c->pem.len, &c->why);
	if (c->trust == NULL)
		return AUTHORITIES_REFUSED;
	str_addf(&c->why,
	    "the revocation list of \"%s\" is %s: put %s, or, if that is meant, name another file or restart",
	    tls_cert_name_text(lost, name), older ? "older than the one before" : "not there any more",
	    older ? "a new one there" : "it back");
	text_make_plain(c->why.data, '.');
	return AUTHORITIES_UNLISTED;
}

static void move(struct str *to, struct str *from)
{
	str_fini(to);
	*to = *from;
	*from = (struct str)STR_INIT;
}

/* True: others are believed than before. */
static bool take(struct authority_file *f)
{
	struct authority_content c;
	uint64_t stamp = userdb_stamp(f->path);
	enum authority_state state = authority_read(f->path, &c);
	bool changed, new;

	if (state == AUTHORITIES_BELIEVED)
		state = keep_lists(f, &c);
	changed = state != AUTHORITIES_REFUSED &&
	    (c.pem.len != f->pem.len || memcmp(str_cstr(&c.pem), str_cstr(&f->pem), c.pem.len) != 0);
	new =
	    changed || state != f->state || strcmp(str_cstr(&c.why), str_cstr(&f->why)) != 0 || c.has_key != f->has_key;
	f->taken = c.short_of ? 0 : stamp;
	f->state = state;
	f->has_key = c.has_key;
	move(&f->why, &c.why);
	if (changed) {
		move(&f->pem, &c.pem);
		f->told = 0;
	}
	if (state == AUTHORITIES_BELIEVED || state == AUTHORITIES_UNLISTED) {
		tls_trust_free(&f->trust);
		f->trust = c.trust;
		c.trust = NULL;
	}
	if (new)
		log_state(f);
	authority_content_fini(&c);
	return changed;
}

/* The first that is there. */
const char *authority_file_systems(void)
{
	static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return "";
}

struct authority_file *authority_file_new(const char *setting, const char *whose, const char *path, bool is_ours)
{
	struct authority_file *f = mem_alloc(sizeof(*f));

	f->setting = setting;
	f->whose = whose;
	f->is_ours = is_ours;
	f->path = mem_strdup(path);
	take(f);
	return f;
}

void authority_file_free(struct authority_file **f)
{
	mem_free(&(*f)->path);
	str_fini(&(*f)->pem);
	str_fini(&(*f)->why);
	tls_trust_free(&(*f)->trust);
	mem_free(f);
}

/* --- what ends --- */

enum authority_end authority_end(bool is_list, const X509_NAME *authority, int64_t from, int64_t until, int64_t now,
    struct str *text)
{
	char name[TLS_CERT_NAME_TEXT_MAX], when[TLS_CERT_TIME_MAX];
	bool ended = until <= now;

	if (!ended && until - now >= MIN(TLS_CERT_SOON, (until - from) / 4))
		return AUTHORITY_GOOD;
	tls_cert_name_text(authority, name);
	text_make_plain(name, '.');
	str_addf(text, "the %s of \"%s\" %s on %s%s", is_list ? "revocation list" : "certificate", name,
	    ended ? "has expired" : "expires", tls_cert_time(until, when),
	    !ended      ? "; get a new one" :
	        is_list ? ": certificates that it has issued are refused; get a new list" :
	                  ": neither it nor what it has issued is believed; get a new one, or take it out");
	return ended ? AUTHORITY_ENDED : AUTHORITY_ENDS;
}

/* How many, of certificates and, behind them, lists. */
struct ends {
	const struct authority_file *f;
	int64_t now;
	unsigned n[2][AUTHORITY_ENDED + 1], lines;
	bool log;
};

static void on_end(void *arg, bool is_list, const X509_NAME *authority, int64_t from, int64_t until)
{
	struct ends *e = arg;
	struct str text = STR_INIT;
	enum authority_end end = authority_end(is_list, authority, from, until, e->now, &text);

	e->n[is_list][end]++;
	if (e->log && end != AUTHORITY_GOOD && e->lines++ < LINES_MAX)
		(end == AUTHORITY_ENDED ? log_error : log_warn)("%s: %s: %s", e->f->setting, e->f->path,
		    str_cstr(&text));
	str_fini(&text);
}

static struct ends count_ends(const struct authority_file *f, int64_t now, bool log)
{
	struct ends e = { .f = f, .now = now, .log = log };

	if (f->pem.len == 0)
		return e;
	tls_trust_each_list(f->trust, on_end, &e);
	if (f->is_ours)
		tls_trust_each_cert(f->trust, on_end, &e);
	return e;
}

static void tell_ends(struct authority_file *f, int64_t now)
{
	struct ends e = count_ends(f, now, false);
	unsigned ends =
	    (e.n[0][AUTHORITY_ENDED] + e.n[1][AUTHORITY_ENDED]) * 2 + e.n[0][AUTHORITY_ENDS] + e.n[1][AUTHORITY_ENDS];

	if (ends != 0 && (f->told == 0 || now - f->told >= DAY || ends != f->told_ends)) {
		count_ends(f, now, true);
		f->told = now;
	}
	f->told_ends = ends;
}

bool authority_file_look(struct authority_file *f, int64_t now)
{
	uint64_t stamp = userdb_stamp(f->path);
	bool at_rest = stamp == f->seen, changed = stamp != f->taken && at_rest && take(f);

	f->seen = stamp;
	tell_ends(f, now);
	return changed;
}

/* --- status --- */

static void describe(const struct authority_file *f, struct str *out)
{
	if (f->state != AUTHORITIES_BELIEVED) {
		str_addf(out, "note\tauthorities\t%s: %s: %s; ", f->setting, f->path, str_cstr(&f->why));
		say_consequence(f, out);
		str_addc(out, '\n');
	}
	if (f->has_key)
		str_addf(out, "note\tauthorities\t%s: %s: remove the private key\n", f->setting, f->path);
}

unsigned authority_file_first(struct authority_file *const *f, unsigned i)
{
	unsigned first = 0;

	while (f[first] != f[i])
		first++;
	return first;
}

void authority_files_describe(struct authority_file *const *f, unsigned n, struct str *out, int64_t now)
{
	unsigned refused = 0, keys = 0, ends[2][AUTHORITY_ENDED + 1] = { { 0 } };
	bool any = false;

	for (unsigned i = 0; i < n; i++) {
		struct ends e;

		if (f[i] == NULL || authority_file_first(f, i) != i)
			continue;
		any = true;
		e = count_ends(f[i], now, false);
		refused += f[i]->state != AUTHORITIES_BELIEVED;
		keys += f[i]->has_key;
		for (int end = 0; end <= AUTHORITY_ENDED; end++) {
			ends[0][end] += e.n[0][end];
			ends[1][end] += e.n[1][end];
		}
		describe(f[i], out);
	}
	if (any)
		str_addf(out,
		    "count\tauthorities_refused\t%u\ncount\tauthorities_with_keys\t%u\ncount\tauthorities_ending\t%u\n"
		    "count\tauthorities_ended\t%u\ncount\tlists_ending\t%u\ncount\tlists_ended\t%u\n",
		    refused, keys, ends[0][AUTHORITY_ENDS], ends[0][AUTHORITY_ENDED], ends[1][AUTHORITY_ENDS],
		    ends[1][AUTHORITY_ENDED]);
}
