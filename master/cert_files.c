/* Finds the files of certificates. */
#include "master/cert_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/net.h"
#include "lib/text.h"
#include "node/key_use.h"

static const char *const kinds[] = { ".rsa", ".ecdsa" };
/* What stands beside certificates without being one. */
static const char *const others[] = { ".ocsp", ".key", ".issuer", ".sctl", ".new", ".old", ".bak", ".tmp", ".orig",
	".dpkg-old", ".dpkg-new", ".dpkg-dist" };

/* What one walk is about. */
struct walk {
	enum protocol protocol;
	const char *file, *key; /* the settings' */
	cert_files_fn *fn;
	cert_files_odd_fn *odd; /* in place of FN */
	void *arg;
	const char *folder;  /* that it looks into */
	const char *setting; /* ... for which it does; of ODD */
	unsigned left;       /* that may still be told */
	struct cert_files_gaps *gaps;
};

static bool is_there(const char *file)
{
	return access(file, F_OK) == 0;
}

bool cert_files_gaps_are_blind(const struct cert_files_gaps *gaps)
{
	for (unsigned i = 0; i < gaps->n; i++)
		if (gaps->gap[i].error != 0)
			return true;
	return false;
}

void cert_files_gap_text(const struct cert_files_gap *gap, struct str *out)
{
	if (gap->error == 0)
		str_addf(out, "there are more than %d certificates in %s; some are not used", CERT_FILES_MAX,
		    gap->folder);
	else
		str_addf(out,
		    "cannot read %s, where certificates are: %s; those that are in use stay, also if their files have "
		    "been removed",
		    gap->folder, strerror(gap->error));
}

/* Protocols may share a folder. */
static void note_gap(struct walk *w, int error)
{
	struct cert_files_gaps *gaps = w->gaps;

	for (unsigned i = 0; i < gaps->n; i++)
		if (strcmp(gaps->gap[i].folder, w->folder) == 0 && (gaps->gap[i].error != 0) == (error != 0))
			return;
	DIE_IF(gaps->n == ARRAY_LEN(gaps->gap));
	gaps->gap[gaps->n].error = error;
	snprintf(gaps->gap[gaps->n].folder, sizeof(gaps->gap[0].folder), "%s", w->folder);
	gaps->n++;
}

static bool ends_in(const char *name, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && memcmp(name + len - n, end, n) == 0;
}

static void tell(struct walk *w, const struct key_use *use, const char *variant, const char *file, const char *key)
{
	char *ocsp = mem_printf("%s.ocsp", file);
	char text[KEY_USE_MAX];

	if (w->left == 0) {
		note_gap(w, 0);
	} else if (key_use_write(text, use, variant)) {
		w->left--;
		w->fn(w->arg, text, file, key, is_there(ocsp) ? ocsp : "");
	}
	mem_free(&ocsp);
}

/* --- beside TLS_CERTFILE --- */

static bool is_other(const char *name, size_t len)
{
	bool other = len == 0 || name[len - 1] == '~';

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		other = other || ends_in(name, len, others[i]);
	return other;
}

/* The LEN bytes at NAME are a host name or address. A name needs a dot, for a file's last part could be any word. */
static bool read_name(const char *name, size_t len, struct key_use *use)
{
	char text[NET_IP_TEXT_MAX];
	struct net_addr a;

	if (len < sizeof(text)) {
		memcpy(text, name, len);
		text[len] = '\0';
		if (net_addr_parse(&a, text, 0)) {
			use->what = KEY_FOR_ADDRESS;
			net_addr_text(&a, use->name);
			return true;
		}
	}
	use->what = KEY_FOR_NAME;
	return !is_other(name, len) && memchr(name, '.', len) != NULL && tls_choice_pattern(name, len, use->name);
}

/* What the LEN bytes of SUFFIX, which stand behind TLS_CERTFILE, make of USE and VARIANT. False: that is no
 * certificate. */
static bool read_suffix(const char *suffix, size_t len, struct key_use *use, const char **variant)
{
	*variant = "";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (ends_in(suffix, len, kinds[i])) {
			*variant = kinds[i] + 1;
			len -= strlen(kinds[i]);
			break;
		}
	return len == 0 || read_name(suffix + 1, len - 1, use);
}

/* TLS_CERTFILE with SUFFIX behind it. */
static void beside(struct walk *w, const char *suffix)
{
	struct key_use use = { .protocol = w->protocol, .what = KEY_FOR_ALL };
	const char *variant;
	char *file, *key;

	if (!read_suffix(suffix, strlen(suffix), &use, &variant))
		return;
	file = mem_printf("%s%s", w->file, suffix);
	key = w->key[0] != '\0' ? mem_printf("%s%s", w->key, suffix) : mem_strdup("");
	tell(w, &use, variant, file, key[0] != '\0' && !is_there(key) ? w->key : key);
	mem_free(&file);
	mem_free(&key);
}

/* FN for each name in the folder but hidden ones. One that is not there may be on its way, too. */
static void each_name(void (*fn)(struct walk *w, const char *name), struct walk *w)
{
	DIR *d = opendir(w->folder);
	const struct dirent *e;

	if (d == NULL) {
		note_gap(w, errno);
		return;
	}
	while (errno = 0, (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && text_is_plain(e->d_name))
			fn(w, e->d_name);
	if (errno != 0)
		note_gap(w, errno);
	closedir(d);
}

static void on_neighbour(struct walk *w, const char *name)
{
	const char *base = strrchr(w->file, '/') + 1;
	size_t len = strlen(base);

	if (strncmp(name, base, len) == 0 && name[len] == '.')
		beside(w, name + len);
}

/* TLS_CERTFILE itself need not be there if others are for all. */
static bool is_replaced(const char *file)
{
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char *other = mem_printf("%s%s", file, kinds[i]);

		found = found || is_there(other);
		mem_free(&other);
	}
	return found && !is_there(file);
}

static void each_beside(struct walk *w)
{
	char *folder = mem_strdup(w->file);

	*strrchr(folder, '/') = '\0';
	w->folder = folder[0] != '\0' ? folder : "/";
	if (!is_replaced(w->file))
		beside(w, "");
	w->left = CERT_FILES_MAX;
	each_name(on_neighbour, w);
	mem_free(&folder);
}

/* --- in TLS_CERTDIR --- */

/* NAME.pem has all; NAME/ has two files, as certbot makes them. */
static void on_entry(struct walk *w, const char *name)
{
	struct key_use use = { .protocol = w->protocol, .what = KEY_FOR_ITS_OWN };
	char *file, *key;

	if (ends_in(name, strlen(name), ".pem") || ends_in(name, strlen(name), ".pem.rsa") ||
	    ends_in(name, strlen(name), ".pem.ecdsa")) {
		file = mem_printf("%s/%s", w->file, name);
		tell(w, &use, name, file, "");
		mem_free(&file);
		return;
	}
	file = mem_printf("%s/%s/fullchain.pem", w->file, name);
	key = mem_printf("%s/%s/privkey.pem", w->file, name);
	if (is_there(file) && is_there(key))
		tell(w, &use, name, file, key);
	else if (errno != ENOENT && errno != ENOTDIR)
		note_gap(w, errno);
	mem_free(&file);
	mem_free(&key);
}

void cert_files_each(const struct settings *set, cert_files_fn *fn, void *arg, struct cert_files_gaps *gaps)
{
	char text[KEY_USE_MAX];

	gaps->n = 0;
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		struct protocol_settings s = protocol_settings(set, p);
		struct walk w = { .protocol = p,
			.file = s.tls_certfile,
			.key = s.tls_keyfile,
			.fn = fn,
			.arg = arg,
			.left = 1,
			.gaps = gaps };

		if (!s.has_certificate)
			continue;
		each_beside(&w);
		w.file = w.folder = s.tls_certdir;
		w.left = CERT_FILES_MAX;
		if (s.tls_certdir[0] != '\0')
			each_name(on_entry, &w);
	}
	if (set->proxy_PROXY_TLS_CERTFILE[0] != '\0' &&
	    key_use_write(text, &(struct key_use){ .what = KEY_FOR_PEERS }, ""))
		fn(arg, text, set->proxy_PROXY_TLS_CERTFILE, set->proxy_PROXY_TLS_KEYFILE, "");
}

/* --- what is used for nothing --- */

static void PRINTF_LIKE(3, 4) odd(const struct walk *w, const char *file, const char *fmt, ...)
{
	char why[2 * KEY_FILE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	w->odd(w->arg, w->protocol, w->setting, file, why);
}

/* FILE is of no use without the certificate in OF. */
static void needs(const struct walk *w, const char *file, const char *of)
{
	if (!is_there(of))
		odd(w, file, "it belongs to a certificate that is not there; remove it, or get %s", of);
}

static void odd_beside(struct walk *w, const char *name)
{
	static const char ocsp[] = ".ocsp";
	const char *base = strrchr(w->file, '/') + 1, *suffix, *variant;
	struct key_use use;
	char *file, *of;
	size_t len;

	if (strncmp(name, base, strlen(base)) != 0 || name[strlen(base)] != '.')
		return;
	suffix = name + strlen(base);
	len = strlen(suffix);
	file = mem_printf("%s%s", w->file, suffix);
	if (ends_in(suffix, len, ocsp)) {
		of = mem_memdup(file, strlen(file) - strlen(ocsp));
		needs(w, file, of);
		mem_free(&of);
	} else if (!is_other(suffix, len) && !read_suffix(suffix, len, &use, &variant)) {
		odd(w, file,
		    "it is used for nothing: behind %s. stands the name of a host, with a dot, or an address; rename "
		    "it, or remove it",
		    base);
	}
	mem_free(&file);
}

/* Beside TLS_PRIVATE_KEYFILE, where certificates can stand, too. */
static void odd_key(struct walk *w, const char *name)
{
	const char *base = strrchr(w->key, '/') + 1, *suffix = name + strlen(base), *variant;
	struct key_use use;
	char *of, *file;

	if (strncmp(name, base, strlen(base)) != 0 || suffix[0] != '.' ||
	    !read_suffix(suffix, strlen(suffix), &use, &variant))
		return;
	of = mem_printf("%s%s", w->file, suffix);
	file = mem_printf("%s%s", w->key, suffix);
	if (strncmp(file, w->file, strlen(w->file)) != 0)
		needs(w, file, of);
	mem_free(&of);
	mem_free(&file);
}

static void odd_entry(struct walk *w, const char *name)
{
	static const char *const names[] = { ".crt", ".cer", ".cert" };
	char *entry = mem_printf("%s/%s", w->file, name), *file = mem_printf("%s/fullchain.pem", entry);
	char *key = mem_printf("%s/privkey.pem", entry);

	if (is_there(file) != is_there(key))
		odd(w, entry, "it is used for nothing: %s is not there", is_there(file) ? key : file);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (ends_in(name, strlen(name), names[i]))
			odd(w, entry,
			    "it is used for nothing: names end in .pem, and certificate and key stand in one file; or "
			    "make "
			    "a folder with fullchain.pem and privkey.pem");
	mem_free(&entry);
	mem_free(&file);
	mem_free(&key);
}

/* FN for what is in the folder of FILE. */
static void each_odd(struct walk *w, const char *setting, const char *file,
    void (*fn)(struct walk *w, const char *name))
{
	char *folder = mem_strdup(file);

	*strrchr(folder, '/') = '\0';
	w->folder = folder[0] != '\0' ? folder : "/";
	w->setting = setting;
	each_name(fn, w);
	mem_free(&folder);
}

void cert_files_each_odd(const struct settings *set, cert_files_odd_fn *fn, void *arg)
{
	struct cert_files_gaps gaps = { .n = 0 }; /* cert_files_each() tells of them */

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		struct protocol_settings s = protocol_settings(set, p);
		struct walk w = { .protocol = p,
			.file = s.tls_certfile,
			.key = s.tls_keyfile,
			.odd = fn,
			.arg = arg,
			.gaps = &gaps };

		if (!s.has_certificate)
			continue;
		each_odd(&w, "TLS_CERTFILE", s.tls_certfile, odd_beside);
		if (s.tls_keyfile[0] != '\0')
			each_odd(&w, "TLS_PRIVATE_KEYFILE", s.tls_keyfile, odd_key);
		w.file = w.folder = s.tls_certdir;
		w.setting = "TLS_CERTDIR";
		if (s.tls_certdir[0] != '\0')
			each_name(odd_entry, &w);
	}
}
