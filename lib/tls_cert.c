/* Periods, order, use and names of certificates. */
#include "lib/tls_cert.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/net.h"

enum { SUBJECT_MAX = TLS_CERT_NAME_TEXT_MAX, TEXT_MAX = 768 };

struct check {
	X509 *const *chain;
	unsigned n;
	bool is_client;
	X509_STORE *trusted; /* NULL: not known */
	tls_cert_tell_fn *tell;
	void *arg;
};

static void PRINTF_LIKE(3, 4) tell(const struct check *c, bool mistake, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->tell(c->arg, mistake, text);
}

X509 *tls_cert_parse(const void *der, size_t len)
{
	const unsigned char *p = der;
	X509 *cert = d2i_X509(NULL, &p, (long)len);

	if (cert != NULL && p == (const unsigned char *)der + len)
		return cert;
	X509_free(cert);
	return NULL;
}

const char *tls_cert_name_text(const X509_NAME *name, char dst[SUBJECT_MAX])
{
	if (X509_NAME_get_text_by_NID((X509_NAME *)(uintptr_t)name, NID_commonName, dst, SUBJECT_MAX) <= 0)
		X509_NAME_oneline(name, dst, SUBJECT_MAX);
	return dst;
}

static bool has_issued(X509 *issuer, X509 *cert)
{
	return X509_check_issued(issuer, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
}

static bool is_its_own_issuer(X509 *cert)
{
	return X509_self_signed(cert, 0) == 1;
}

/* --- period --- */

bool tls_cert_seconds(const ASN1_TIME *t, int64_t *seconds)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*seconds = timegm(&tm);
	return true;
}

int64_t tls_cert_until(X509 *const *chain, unsigned n)
{
	int64_t first = INT64_MAX, until;

	for (unsigned i = 0; i < n; i++)
		if ((i == 0 || !is_its_own_issuer(chain[i])) && tls_cert_seconds(X509_get0_notAfter(chain[i]), &until))
			first = MIN(first, until);
	ERR_clear_error();
	return first;
}

const char *tls_cert_time(int64_t seconds, char dst[TLS_CERT_TIME_MAX])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(dst, TLS_CERT_TIME_MAX, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(dst, TLS_CERT_TIME_MAX, "an unknown time");
	return dst;
}

static void check_period(const struct check *c, unsigned i, int64_t now)
{
	char subject[SUBJECT_MAX], when[TLS_CERT_TIME_MAX], which[SUBJECT_MAX + 64] = "the certificate";
	int64_t from, until;

	if (i != 0)
		snprintf(which, sizeof(which), "certificate %u of the file (\"%s\")", i + 1,
		    tls_cert_name_text(X509_get_subject_name(c->chain[i]), subject));
	if (!tls_cert_seconds(X509_get0_notBefore(c->chain[i]), &from) ||
	    !tls_cert_seconds(X509_get0_notAfter(c->chain[i]), &until))
		tell(c, true, "%s does not say from when until when it is valid; get another one", which);
	else if (from > now)
		tell(c, true, "%s is valid from %s only; check this machine's clock, or use the one before", which,
		    tls_cert_time(from, when));
	else if (until < now)
		tell(c, true, "%s has expired on %s; renew it", which, tls_cert_time(until, when));
	else if (until - now < TLS_CERT_SOON)
		tell(c, false, "%s expires on %s; renew it", which, tls_cert_time(until, when));
}

static void check_periods(const struct check *c, int64_t now)
{
	for (unsigned i = 0; i < c->n; i++)
		if (i == 0 || !is_its_own_issuer(c->chain[i]))
			check_period(c, i, now);
}

/* --- order --- */

/* The next certificate has not issued number I. */
static void tell_order(const struct check *c, unsigned i)
{
	char issuer[SUBJECT_MAX], next[SUBJECT_MAX];

	tls_cert_name_text(X509_get_issuer_name(c->chain[i]), issuer);
	tls_cert_name_text(X509_get_subject_name(c->chain[i + 1]), next);
	for (unsigned k = 0; k < c->n; k++)
		if (k != i && has_issued(c->chain[k], c->chain[i])) {
			tell(c, true,
			    "the certificates are out of order: number %u (\"%s\") has issued number %u and must "
			    "follow it",
			    k + 1, issuer, i + 1);
			return;
		}
	if (is_its_own_issuer(c->chain[i]))
		tell(c, true, "certificate %u has issued itself, so number %u (\"%s\") leads nowhere; remove it", i + 1,
		    i + 2, next);
	else
		tell(c, true,
		    "the chain is broken: certificate %u was not issued by number %u (\"%s\"), but by \"%s\"; put "
		    "that one's certificate between them, or in its place",
		    i + 1, i + 2, next, issuer);
}

/* True: each one was issued by the next. */
static bool check_order(const struct check *c)
{
	for (unsigned i = 0; i + 1 < c->n; i++)
		if (!has_issued(c->chain[i + 1], c->chain[i])) {
			tell_order(c, i);
			return false;
		}
	return true;
}

/* --- whom clients trust --- */

static const char *from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL ? value : otherwise;
}

static bool machine_trusts(void)
{
	const char *file = from_environment(X509_get_default_cert_file_env(), X509_get_default_cert_file());
	DIR *d = opendir(from_environment(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
	bool any = access(file, R_OK) == 0;
	const struct dirent *e;

	while (d != NULL && !any && (e = readdir(d)) != NULL)
		any = e->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return any;
}

X509_STORE *tls_cert_machine(void)
{
	X509_STORE *store = machine_trusts() ? X509_STORE_new() : NULL;

	if (store != NULL)
		X509_STORE_set_default_paths(store);
	ERR_clear_error();
	return store;
}

/* X509_V_OK, or why a client would not take the chain, whatever the time is. */
static int verdict_of(const struct check *c)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *rest = sk_X509_new_null();
	int verdict;

	if (ctx == NULL || rest == NULL)
		die_fatal("OpenSSL has no memory");
	for (unsigned i = 1; i < c->n; i++)
		sk_X509_push(rest, c->chain[i]);
	if (X509_STORE_CTX_init(ctx, c->trusted, c->chain[0], rest) != 1)
		die_fatal("OpenSSL has no memory");
	X509_STORE_CTX_set_default(ctx, c->is_client ? "ssl_client" : "ssl_server");
	X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_NO_CHECK_TIME);
	verdict = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	sk_X509_free(rest);
	ERR_clear_error();
	return verdict;
}

static void tell_unknown_issuer(const struct check *c)
{
	char issuer[SUBJECT_MAX];

	tell(c, false,
	    "this machine does not know \"%s\", which has issued the last certificate of the file: if that is an "
	    "intermediate authority, append its certificate (authorities offer a \"full chain\"); if it is an "
	    "authority "
	    "of your own, clients have to know it",
	    tls_cert_name_text(X509_get_issuer_name(c->chain[c->n - 1]), issuer));
}

static void check_trust(const struct check *c)
{
	int verdict = c->trusted != NULL ? verdict_of(c) : X509_V_OK;

	if (is_its_own_issuer(c->chain[0]))
		tell(c, false,
		    "the certificate has issued itself: good for tests; others get an error in every mail program that "
		    "was not told to trust it");
	else if (verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE || verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN)
		tell_unknown_issuer(c);
	else if (verdict != X509_V_OK)
		tell(c, false, "OpenSSL would not trust it: %s", X509_verify_cert_error_string(verdict));
}

static void check_use(const struct check *c)
{
	if (X509_check_purpose(c->chain[0], c->is_client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER, 0) == 0)
		tell(c, true,
		    "the certificate is not for TLS %ss (its key usage says so); get one that is for \"%s "
		    "authentication\"",
		    c->is_client ? "client" : "server", c->is_client ? "client" : "server");
	ERR_clear_error();
}

/* --- names --- */

/* Appends ADDRESS, of IPv4 or IPv6 by its length. */
static void add_address(struct str *out, const ASN1_OCTET_STRING *address)
{
	size_t len = (size_t)ASN1_STRING_length(address);
	struct net_addr a = { .family = len == 4 ? AF_INET : AF_INET6 };
	char text[NET_IP_TEXT_MAX];

	memcpy(a.ip, ASN1_STRING_get0_data(address), MIN(len, sizeof(a.ip)));
	str_adds(out, net_addr_text(&a, text));
}

unsigned tls_cert_names(const X509 *cert, struct str *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	unsigned n = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type != GEN_DNS && g->type != GEN_IPADD)
			continue;
		str_adds(out, n++ != 0 ? ", " : "");
		if (g->type == GEN_DNS)
			str_add(out, ASN1_STRING_get0_data(g->d.dNSName), (size_t)ASN1_STRING_length(g->d.dNSName));
		else
			add_address(out, g->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return n;
}

bool tls_cert_is_for(X509 *cert, const char *host)
{
	bool is = X509_check_host(cert, host, 0,
	              X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1 ||
	    X509_check_ip_asc(cert, host, 0) == 1;

	ERR_clear_error();
	return is;
}

static void check_names(const struct check *c, const char *name)
{
	struct str names = STR_INIT;
	unsigned n = tls_cert_names(c->chain[0], &names);

	if (n == 0)
		tell(c, name != NULL,
		    "the certificate has no subjectAltName: mail programs do not look for names anywhere else; get one "
		    "that has the names of the service there");
	else if (name != NULL && !tls_cert_is_for(c->chain[0], name))
		tell(c, true, "the certificate is not for %s, but for %s; get one for that name", name,
		    str_cstr(&names));
	str_fini(&names);
	ERR_clear_error();
}

void tls_cert_check(X509 *const *chain, unsigned n, bool is_client, const char *name, X509_STORE *trusted, int64_t now,
    tls_cert_tell_fn *fn, void *arg)
{
	const struct check c = { chain, n, is_client, trusted, fn, arg };

	check_periods(&c, now);
	check_use(&c);
	if (!is_client)
		check_names(&c, name);
	if (check_order(&c))
		check_trust(&c);
}

static void keep_first(void *arg, bool mistake, const char *text)
{
	struct str *why = arg;

	if (mistake && why->len == 0)
		str_adds(why, text);
}

/* When the last of the certificates begins that has not yet; 0: all have. */
static int64_t begins(const struct check *c, int64_t now)
{
	int64_t last = 0, from;

	for (unsigned i = 0; i < c->n; i++)
		if ((i == 0 || !is_its_own_issuer(c->chain[i])) &&
		    tls_cert_seconds(X509_get0_notBefore(c->chain[i]), &from) && from > now)
			last = MAX(last, from);
	return last;
}

bool tls_cert_fault(X509 *const *chain, unsigned n, bool is_client, int64_t now, int64_t *until, struct str *why)
{
	struct str fault = STR_INIT;
	const struct check c = { chain, n, is_client, NULL, keep_first, &fault };
	bool found;

	*until = INT64_MAX;
	check_use(&c);
	check_order(&c);
	if (fault.len == 0) {
		check_periods(&c, now);
		*until = begins(&c, now) != 0 ? begins(&c, now) : INT64_MAX;
	}
	found = fault.len != 0;
	str_adds(why, str_cstr(&fault));
	str_fini(&fault);
	ERR_clear_error();
	return found;
}
