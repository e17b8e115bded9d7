/* Checks certificates and keys for `waypost check`. */
#include "master/check_certs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "keyd/keyring.h"
#include "lib/mem.h"
#include "lib/tls_cert.h"
#include "master/authority_file.h"
#include "master/cert_files.h"
#include "node/key_use.h"
#include "settings/peer_tls.h"
#include "settings/settings_load.h"

enum { LABEL_MAX = 320, NUMBER = 1 };

/* A certificate of the settings. */
struct subject {
	struct settings_load *l;
	unsigned line;
	char label[LABEL_MAX];  /* the setting, for people */
	const char *file, *key; /* KEY "": the certificate's file has it */
	const char *ocsp;       /* "": there is no OCSP response */
	bool is_client;         /* peers look at it */
	const char *name;       /* that it has to be for; NULL: not said */
	X509_STORE *trusted;    /* whom those who see it believe; NULL: not known */
	X509 *chain[KEY_CHAIN_CERTS];
	unsigned n;
	bool names_node; /* it is for this node's name */
};

static void mistake(const struct subject *s, const char *file, const char *what)
{
	settings_report(s->l->errors, &s->l->text, s->line, "%s: %s: %s", s->label, file, what);
}

static void warning(const struct subject *s, const char *file, const char *what)
{
	settings_report(s->l->warnings, &s->l->text, s->line, "%s: %s: %s", s->label, file, what);
}

static void on_finding(void *arg, bool is_mistake, const char *text)
{
	const struct subject *s = arg;

	(is_mistake ? mistake : warning)(s, s->file, text);
}

/* --- files --- */

/* Opens FILE as the master does. -1: it cannot be, which was reported. */
static int open_file(const struct subject *s, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char what[256];

	if (fd != -1)
		return fd;
	snprintf(what, sizeof(what), "%s%s", strerror(errno),
	    errno == EACCES && geteuid() != 0 ? " (run waypost as the user who starts the daemon, mostly root)" : "");
	mistake(s, file, what);
	return -1;
}

static void check_mode(const struct subject *s, const char *file, int fd)
{
	struct stat st;
	char what[512];

	if (fstat(fd, &st) != 0 || (st.st_mode & 007) == 0)
		return;
	snprintf(what, sizeof(what), "everybody on this machine can %s the private key; run: chmod o= %s",
	    (st.st_mode & 002) != 0 ? "replace" : "read", file);
	warning(s, file, what);
}

/* Root may read every file, the daemon of our systemd unit only what permits it: it has not all of root's rights. */
static void check_owner(const struct subject *s, const char *file, int fd)
{
	struct stat st;
	char what[512];

	if (geteuid() != 0 || fstat(fd, &st) != 0 || st.st_uid == 0 || (st.st_mode & 004) != 0 ||
	    (st.st_gid == 0 && (st.st_mode & 040) != 0))
		return;
	snprintf(what, sizeof(what),
	    "belongs to uid %u, and root cannot read it under waypost.service, where it has no right to read all "
	    "files; run: chown root %s",
	    (unsigned)st.st_uid, file);
	warning(s, file, what);
}

/* Adds FILE to PEM. */
static bool take_file(const struct subject *s, const char *file, bool has_key, struct str *pem)
{
	int fd = open_file(s, file);
	const char *why;

	if (fd == -1)
		return false;
	if (has_key)
		check_mode(s, file, fd);
	check_owner(s, file, fd);
	if ((why = keyring_read_file(fd, pem)) != NULL)
		mistake(s, file, why);
	close(fd);
	return why == NULL;
}

/* --- what they have --- */

static void add_facts(const struct subject *s, struct str *facts)
{
	int64_t until = tls_cert_until(s->chain, s->n);
	struct str names = STR_INIT;
	char when[TLS_CERT_TIME_MAX];

	if (tls_cert_names(s->chain[0], &names) == 0)
		str_adds(&names, "no name");
	str_addf(facts, "%s: %s: for %s, until %s\n", s->label, s->file, str_cstr(&names), tls_cert_time(until, when));
	str_fini(&names);
}

static void check_chain(struct subject *s, const struct key_chain *m, struct str *facts)
{
	for (unsigned i = 0; i < m->n; i++) {
		s->chain[s->n] = tls_cert_parse(m->cert[i].der, m->cert[i].len);
		s->n += s->chain[s->n] != NULL;
	}
	if (s->n == 0)
		return;
	tls_cert_check(s->chain, s->n, s->is_client, s->name, s->trusted, time(NULL), on_finding, s);
	add_facts(s, facts);
	for (size_t i = 0; i < ARRAY_LEN(s->l->set->self); i++)
		s->names_node |= s->l->set->self[i][0] != '\0' && tls_cert_is_for(s->chain[0], s->l->set->self[i]);
	while (s->n != 0)
		X509_free(s->chain[--s->n]);
}

/* A certificate is good without a response that is in its place. */
static void check_ocsp(const struct subject *s, struct keyring *ring)
{
	struct str der = STR_INIT;
	int64_t until;
	int fd = s->ocsp[0] != '\0' ? open_file(s, s->ocsp) : -1;
	const char *why = fd != -1 ? keyring_read_file(fd, &der) : NULL;

	if (fd != -1 && why == NULL)
		why = keyring_staple(ring, NUMBER, der.data, der.len - 1, (int64_t)time(NULL), &until);
	if (why != NULL)
		warning(s, s->ocsp, why);
	if (fd != -1)
		close(fd);
	str_fini(&der);
}

static void check_one(struct subject *s, struct str *facts)
{
	struct keyring *ring = keyring_new();
	bool two = s->key[0] != '\0';
	struct str pem = STR_INIT;
	struct key_chain m;
	char err[256];

	if (take_file(s, s->file, !two, &pem) && (!two || take_file(s, s->key, true, &pem))) {
		if (!keyring_add(ring, NUMBER, "", pem.data, pem.len, err, sizeof(err)))
			mistake(s, s->file, err);
		else if (keyring_certificates(ring, NUMBER, &m)) {
			check_chain(s, &m, facts);
			check_ocsp(s, ring);
		}
	}
	str_fini_secret(&pem);
	keyring_free(&ring);
}

/* A file that was checked, with its key's. */
struct seen {
	UT_hash_handle hh;
	char files[];
};

/* The walk over all files. */
struct walk {
	struct settings_load *l;
	struct str *facts;
	struct seen *seen;    /* protocols may share certificates */
	X509_STORE *machine;  /* whom it trusts; NULL: not known */
	X509_STORE *ours;     /* these and PROXY_TLS_CAFILE's; NULL: not known, or no others */
	bool any, names_node; /* ANY: there are certificates for clients; NAMES_NODE: one is for this node's name */
};

/* The same was checked for an earlier protocol: what there is to say was said. */
static bool is_shared(struct walk *w, const char *file, const char *key)
{
	char *files = mem_printf("%s\n%s", file, key);
	struct seen *s;
	bool shared;

	HASH_FIND_STR(w->seen, files, s);
	shared = s != NULL;
	if (!shared) {
		s = mem_alloc(sizeof(*s) + strlen(files) + 1);
		memcpy(s->files, files, strlen(files) + 1);
		HASH_ADD_STR(w->seen, files, s);
	}
	mem_free(&files);
	return shared;
}

static void forget_seen(struct walk *w)
{
	struct seen *s, *next;

	HASH_ITER(hh, w->seen, s, next)
	{
		HASH_DEL(w->seen, s);
		mem_free(&s);
	}
}

/* Adds those of PROXY_TLS_CAFILE, a file or a folder, to STORE. That it cannot be read is reported elsewhere. */
static void add_ours(X509_STORE *store, const char *path)
{
	const STACK_OF(X509_OBJECT) * all;
	struct authority_content c;

	authority_read(path, &c);
	all = c.trust != NULL ? X509_STORE_get0_objects(tls_trust_store(c.trust)) : NULL;
	for (int i = 0; all != NULL && i < sk_X509_OBJECT_num(all); i++) {
		X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));

		if (cert != NULL)
			X509_STORE_add_cert(store, cert);
	}
	authority_content_fini(&c);
}

static void on_file(void *arg, const char *use, const char *file, const char *key, const char *ocsp)
{
	struct walk *w = arg;
	struct subject subject = { .l = w->l, .file = file, .key = key, .ocsp = ocsp };
	struct key_use u;
	const char *name;

	if (!key_use_read(use, &u) || is_shared(w, file, key))
		return;
	subject.is_client = u.what == KEY_FOR_PEERS;
	if (u.what == KEY_FOR_PEERS) {
		subject.line = settings_load_line_of(w->l, "proxy", "PROXY_TLS_CERTFILE");
		snprintf(subject.label, sizeof(subject.label), "proxy.PROXY_TLS_CERTFILE");
	} else {
		name = u.what == KEY_FOR_ITS_OWN ? "TLS_CERTDIR" : "TLS_CERTFILE";
		subject.line = settings_load_line_of(w->l, protocols[u.protocol].ssl_group, name);
		snprintf(subject.label, sizeof(subject.label), "%s-ssl.%s", protocols[u.protocol].group, name);
	}
	if (u.what == KEY_FOR_NAME && u.name[0] != '*')
		subject.name = u.name;
	/* For names, as those of nodes are: everybody else is shown TLS_CERTFILE. */
	subject.trusted =
	    w->ours != NULL && (u.what == KEY_FOR_NAME || u.what == KEY_FOR_ITS_OWN) ? w->ours : w->machine;
	check_one(&subject, w->facts);
	w->any |= !subject.is_client;
	w->names_node |= !subject.is_client && subject.names_node;
}

static void on_odd(void *arg, enum protocol p, const char *name, const char *file, const char *why)
{
	struct walk *w = arg;

	if (!is_shared(w, file, name))
		settings_report(w->l->warnings, &w->l->text, settings_load_line_of(w->l, protocols[p].ssl_group, name),
		    "%s-ssl.%s: %s: %s", protocols[p].group, name, file, why);
}

static void check_folder(struct settings_load *l, enum protocol p)
{
	const char *folder = protocol_settings(l->set, p).tls_certdir;
	DIR *d = folder[0] != '\0' ? opendir(folder) : NULL;

	if (folder[0] != '\0' && d == NULL)
		settings_report(l->errors, &l->text, settings_load_line_of(l, protocols[p].ssl_group, "TLS_CERTDIR"),
		    "%s-ssl.TLS_CERTDIR: %s: %s", protocols[p].group, folder, strerror(errno));
	if (d != NULL)
		closedir(d);
}

/* --- authorities --- */

/* A file of them. */
struct authorities {
	struct settings_load *l;
	unsigned line;
	const char *label, *path;
};

static void PRINTF_LIKE(3, 4) tell(const struct authorities *a, bool is_mistake, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	settings_report(is_mistake ? a->l->errors : a->l->warnings, &a->l->text, a->line, "%s: %s: %s", a->label,
	    a->path, text);
}

/* Clients whose authority has ended are refused; others in that file are not. */
static void on_end(void *arg, bool is_list, const X509_NAME *authority, int64_t from, int64_t until)
{
	struct str text = STR_INIT;
	enum authority_end end = authority_end(is_list, authority, from, until, (int64_t)time(NULL), &text);

	if (end != AUTHORITY_GOOD)
		tell(arg, is_list && end == AUTHORITY_ENDED, "%s", str_cstr(&text));
	str_fini(&text);
}

static void check_set(const struct authorities *a, const struct tls_trust *t, bool of_clients)
{
	STACK_OF(X509_NAME) *names = tls_trust_names(t);
	const X509_NAME *first = NULL;
	unsigned n = tls_trust_unlisted(t, &first);
	char name[TLS_CERT_NAME_TEXT_MAX];

	if (n != 0)
		tell(a, false,
		    "%u authorities have no revocation list though others have (the first: \"%s\"): certificates that "
		    "they have issued are refused; add their lists",
		    n, tls_cert_name_text(first, name));
	if (of_clients && names == NULL)
		tell(a, false,
		    "the names of the %u authorities are too long to be told to clients: programs with several "
		    "certificates may show a wrong one",
		    tls_trust_count(t));
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	tls_trust_each_list(t, on_end, (void *)(uintptr_t)a);
	tls_trust_each_cert(t, on_end, (void *)(uintptr_t)a);
}

/* LABEL: the setting that names PATH, in LINE. */
static void check_authorities(struct settings_load *l, unsigned line, const char *label, const char *path,
    bool of_clients)
{
	struct authorities a = { l, line, label, path };
	struct authority_content c;

	if (authority_read(path, &c) != AUTHORITIES_BELIEVED)
		tell(&a, true, "%s", str_cstr(&c.why));
	if (c.has_key)
		tell(&a, true,
		    "there is a private key, which has no place among certificates that many may read; remove it");
	if (c.trust != NULL)
		check_set(&a, c.trust, of_clients);
	authority_content_fini(&c);
}

static void check_clients(struct settings_load *l, enum protocol p)
{
	const struct protocol_settings s = protocol_settings(l->set, p);

	char label[LABEL_MAX];

	snprintf(label, sizeof(label), "%s-ssl.TLS_TRUSTCERTS", protocols[p].group);
	if (s.tls_served && strcmp(s.tls_verifypeer, "NONE") != 0 && s.tls_trustcerts[0] != '\0')
		check_authorities(l, settings_load_line_of(l, protocols[p].ssl_group, "TLS_TRUSTCERTS"), label,
		    s.tls_trustcerts, true);
}

/* Without PROXY_TLS_CAFILE peers are believed by the authorities of this machine. */
static void check_systems(struct settings_load *l)
{
	const char *path = authority_file_systems();
	struct authority_content c;

	if (!l->set->proxy_PROXY_TLS_VERIFY || protocols_forwarded(l->set) == 0 || !peer_tls_is_used(l->set))
		return;
	if (path[0] == '\0') {
		settings_report(l->errors, &l->text, settings_load_line_of(l, "proxy", "PROXY_TLS"),
		    "proxy.PROXY_TLS_CAFILE is not set, and this machine has no file of authorities either: no peer is "
		    "believed, and no login gets there by TLS; set it, or install ca-certificates");
		return;
	}
	if (authority_read(path, &c) != AUTHORITIES_BELIEVED)
		settings_report(l->errors, &l->text, settings_load_line_of(l, "proxy", "PROXY_TLS"),
		    "proxy.PROXY_TLS_CAFILE is not set, and of this machine's file of authorities, %s, nobody is "
		    "believed: %s; set it, or install ca-certificates again",
		    path, str_cstr(&c.why));
	authority_content_fini(&c);
}

/* Other nodes, which have the same settings, believe no node without such a certificate. */
static void check_node_name(const struct walk *w)
{
	const struct settings *set = w->l->set;

	if (w->any && !w->names_node && set->proxy_PROXY_TLS_VERIFY && protocols_forwarded(set) != 0 &&
	    strcmp(set->proxy_PROXY_TLS, peer_tls_word(PEER_TLS_NONE)) != 0)
		settings_report(w->l->warnings, &w->l->text, settings_load_line_of(w->l, "proxy", "PROXY_TLS"),
		    "proxy.PROXY_TLS: no certificate here is for %s, this node's name: other nodes do not accept it, "
		    "and "
		    "its accounts cannot log in through them; README.proxy, section 3.5, says how to make one",
		    set->self[0]);
}

void check_certs(struct settings_load *l, struct str *facts)
{
	struct walk w = { .l = l, .facts = facts, .machine = tls_cert_machine() };
	struct cert_files_gaps gaps;

	if (w.machine != NULL && l->set->proxy_PROXY_TLS_CAFILE[0] != '\0') {
		w.ours = tls_cert_machine();
		add_ours(w.ours, l->set->proxy_PROXY_TLS_CAFILE);
	}
	cert_files_each(l->set, on_file, &w, &gaps);
	cert_files_each_odd(l->set, on_odd, &w);
	for (unsigned i = 0; i < gaps.n; i++)
		if (gaps.gap[i].error == 0) { /* errors are told with the settings that name the folders */
			struct str text = STR_INIT;

			cert_files_gap_text(&gaps.gap[i], &text);
			settings_report(l->errors, &l->text, 0, "%s", str_cstr(&text));
			str_fini(&text);
		}
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (l->set->has_tls[p]) {
			check_folder(l, p);
			check_clients(l, p);
		}
	if (l->set->proxy_PROXY_TLS_CAFILE[0] != '\0')
		check_authorities(l, settings_load_line_of(l, "proxy", "PROXY_TLS_CAFILE"), "proxy.PROXY_TLS_CAFILE",
		    l->set->proxy_PROXY_TLS_CAFILE, false);
	else
		check_systems(l);
	check_node_name(&w);
	forget_seen(&w);
	X509_STORE_free(w.machine);
	X509_STORE_free(w.ours);
}
