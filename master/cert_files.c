/* Finds the files of certificates. */
#include "master/cert_files.h"

#include <dirent.h>
#include <errno.h>
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
	void *arg;
	const char *folder; /* that it looks into */
	unsigned left;      /* that may still be told */
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
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (ends_in(name, len, others[i]))
			return false;
	use->what = KEY_FOR_NAME;
	return memchr(name, '.', len) != NULL && tls_choice_pattern(name, len, use->name);
}

/* TLS_CERTFILE with SUFFIX behind it. */
static void beside(struct walk *w, const char *suffix)
{
	struct key_use use = { .protocol = w->protocol, .what = KEY_FOR_ALL };
	size_t len = strlen(suffix);
	const char *variant = "";
	char *file, *key;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (ends_in(suffix, len, kinds[i])) {
			variant = kinds[i] + 1;
			len -= strlen(kinds[i]);
			break;
		}
	if (len != 0 && !read_name(suffix + 1, len - 1, &use))
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
