/* Courier's words for versions of TLS; checks of ciphers and groups. */
#include "settings/settings_tls.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "lib/text.h"
#include "lib/tls_ctx.h"

/* Those of OpenSSL may have "+" or "++" behind them: "and later", "without renegotiation", which is so in any case. */
static const struct {
	const char *word;
	int version; /* 0: older than 1.2 */
} versions[] = { { "TLSv1.3", TLS1_3_VERSION }, { "TLS1_3", TLS1_3_VERSION }, { "TLSv1.2", TLS1_2_VERSION },
	{ "TLS1_2", TLS1_2_VERSION }, { "TLSv1.1", 0 }, { "TLS1_1", 0 }, { "TLSv1", 0 }, { "TLSv1.0", 0 },
	{ "TLS1", 0 }, { "SSL3", 0 }, { "SSLv3", 0 }, { "SSL23", 0 }, { "SSL2", 0 }, { "SSLv2", 0 } };

/* -1: unknown. */
static int version_of(const char *p, size_t len)
{
	while (len != 0 && p[len - 1] == '+')
		len--;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (text_is_word(p, len, versions[i].word))
			return versions[i].version;
	return -1;
}

int settings_tls_least(const char *words, bool *old)
{
	int least = TLS1_3_VERSION;

	*old = false;
	do {
		size_t len = strcspn(words, ":");
		int v = version_of(words, len);

		if (v == -1)
			return 0;
		*old = *old || v == 0;
		least = MIN(least, MAX(v, TLS1_2_VERSION));
		words += len;
	} while (*words++ == ':');
	return least;
}

/* The setting NAME of P's -ssl group as a label, and its line. */
static unsigned row_of(const struct settings_load *l, enum protocol p, const char *name,
    char label[SETTINGS_GROUP_MAX * 2])
{
	char group[SETTINGS_GROUP_MAX];

	snprintf(label, SETTINGS_GROUP_MAX * 2, "%s.%s", settings_group_name(protocols[p].ssl_group, group), name);
	return settings_load_line_of(l, protocols[p].ssl_group, name);
}

static void rules_versions(struct settings_load *l, enum protocol p, const char *name, const char *words)
{
	char label[SETTINGS_GROUP_MAX * 2];
	unsigned line = row_of(l, p, name, label);
	bool old;

	if (settings_tls_least(words, &old) == 0)
		settings_report(l->errors, &l->text, line, "%s = \"%s\": expected TLSv1.2+ or TLSv1.3+", label, words);
	else if (old)
		settings_report(l->warnings, &l->text, line,
		    "%s = \"%s\": versions before TLS 1.2 are not safe and never used; write TLSv1.2+", label, words);
}

static void rules_ciphers(struct settings_load *l, enum protocol p, const char *list)
{
	SSL_CTX *ctx = tls_ctx_new(true);
	char label[SETTINGS_GROUP_MAX * 2];
	unsigned line = row_of(l, p, "TLS_CIPHER_LIST", label);

	if (!tls_ctx_set_ciphers(ctx, list))
		settings_report(l->errors, &l->text, line,
		    "%s: OpenSSL knows no cipher in it that has forward secrecy; see openssl ciphers -v '%s', or "
		    "remove "
		    "the line",
		    label, list);
	else if (SSL_CTX_get_security_level(ctx) == 0)
		settings_report(l->warnings, &l->text, line,
		    "%s: @SECLEVEL=0 lets weak keys and signatures count (RSA with 512 bits, MD5), those of clients' "
		    "certificates, too; remove it",
		    label);
	SSL_CTX_free(ctx);
}

static void rules_groups(struct settings_load *l, enum protocol p, const char *list)
{
	struct str unknown = STR_INIT;
	SSL_CTX *ctx = tls_ctx_new(true);
	char label[SETTINGS_GROUP_MAX * 2];
	unsigned line = row_of(l, p, "TLS_GROUPS", label);

	if (!tls_ctx_set_groups(ctx, list, &unknown))
		settings_report(l->errors, &l->text, line,
		    "%s: this machine's OpenSSL (%s) knows no group of \"%s\"; X25519:P-256 is known everywhere", label,
		    OpenSSL_version(OPENSSL_VERSION_STRING), list);
	else if (unknown.len != 0)
		settings_report(l->warnings, &l->text, line,
		    "%s: this machine's OpenSSL (%s) does not know %s; the others are used", label,
		    OpenSSL_version(OPENSSL_VERSION_STRING), str_cstr(&unknown));
	SSL_CTX_free(ctx);
	str_fini(&unknown);
}

void settings_rules_tls(struct settings_load *l, enum protocol p)
{
	const struct protocol_settings s = protocol_settings(l->set, p);

	rules_versions(l, p, "TLS_PROTOCOL", s.tls_versions);
	if (s.tls_starttls_versions[0] != '\0')
		rules_versions(l, p, "TLS_STARTTLS_PROTOCOL", s.tls_starttls_versions);
	if (s.tls_ciphers[0] != '\0')
		rules_ciphers(l, p, s.tls_ciphers);
	if (s.tls_groups[0] != '\0')
		rules_groups(l, p, s.tls_groups);
}
