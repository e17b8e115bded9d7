/* Contexts of libssl. */
#include "lib/tls_ctx.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/die.h"
#ifdef WITH_TLS_KEYLOG
#include "lib/log.h"
#endif
#include "lib/mem.h"

/* OpenSSL's own list, in its order, without block ciphers in CBC mode. */
#define CIPHERS "DEFAULT:!SHA1:!SHA256:!SHA384"
/* A signature is all that there is of a private key (lib/tls_key.h). */
#define NEVER ":!aNULL:!eNULL:!kRSA:!PSK:!SRP"
/* For a server, who chooses: a handshake costs a tenth less without SHA-384, which processors do not help with. A
 * client whose processor does not help with AES puts ChaCha20 first, and gets it. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
enum { CERTIFICATES_MAX = 16 * 1024 }; /* bytes of a client's chain: strangers send some */

bool tls_ctx_set_ciphers(SSL_CTX *ctx, const char *list)
{
	char *all = mem_printf("%s" NEVER, list);
	bool good = SSL_CTX_set_cipher_list(ctx, all) == 1;

	mem_free(&all);
	ERR_clear_error();
	return good;
}

/* What the macros of OpenSSL's headers take as char * and do not change: clang does not like their casts. */
static char *unconst(const char *text)
{
	return (char *)(uintptr_t)text;
}

bool tls_ctx_set_groups(SSL_CTX *ctx, const char *list, struct str *unknown)
{
	SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
	struct str known = STR_INIT, name = STR_INIT;
	bool good = SSL_CTX_set1_groups_list(ctx, unconst(list)) == 1;

	for (const char *p = list; !good && *p != '\0'; p += strspn(p, ":")) {
		size_t len = strcspn(p, ":");
		bool optional = *p == '?'; /* OpenSSL 3.5's sign for what is done here for any name and version */

		str_clear(&name);
		str_add(&name, p + optional, len - optional);
		p += len;
		if (len != 0 && SSL_CTX_set1_groups_list(trial, unconst(str_cstr(&name))) == 1)
			str_addf(&known, "%s%s", known.len == 0 ? "" : ":", str_cstr(&name));
		else if (len != 0)
			str_addf(unknown, "%s%s", unknown->len == 0 ? "" : ", ", str_cstr(&name));
	}
	good = good || (known.len != 0 && SSL_CTX_set1_groups_list(ctx, unconst(str_cstr(&known))) == 1);
	SSL_CTX_free(trial);
	str_fini(&known);
	str_fini(&name);
	ERR_clear_error();
	return good;
}

#ifdef WITH_TLS_KEYLOG
/* LINE is as programs take it that decrypt recorded connections (NSS key log). */
static void on_key(const SSL *ssl UNUSED, const char *line)
{
	log_info("TLS key log: %s", line);
}
#endif

bool tls_ctx_logs_keys(void)
{
#ifdef WITH_TLS_KEYLOG
	return true;
#else
	return false;
#endif
}

SSL_CTX *tls_ctx_new(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    !tls_ctx_set_ciphers(ctx, CIPHERS))
		die_fatal("OpenSSL has no TLS as we need it: %s", ERR_reason_error_string(ERR_peek_last_error()));
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
#ifdef WITH_TLS_KEYLOG
	SSL_CTX_set_keylog_callback(ctx, on_key);
#endif
	if (!server)
		return ctx;
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	if (SSL_CTX_set_ciphersuites(ctx, SUITES) != 1)
		die_fatal("OpenSSL does not know the cipher suites of TLS 1.3");
	return ctx;
}

/* A certificate is for an address whatever its zone. */
static bool is_address(X509_VERIFY_PARAM *param, const char *name)
{
	char *ip = mem_memdup(name, strcspn(name, "%"));
	bool is = X509_VERIFY_PARAM_set1_ip_asc(param, ip) == 1;

	mem_free(&ip);
	ERR_clear_error();
	return is;
}

SSL *tls_client_new(SSL_CTX *ctx, const char *name)
{
	SSL *ssl = SSL_new(ctx);
	X509_VERIFY_PARAM *param = ssl != NULL ? SSL_get0_param(ssl) : NULL;

	if (ssl == NULL)
		die_fatal("OpenSSL has no memory");
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	X509_VERIFY_PARAM_set_hostflags(param,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (is_address(param, name))
		return ssl;
	if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1 || SSL_set_tlsext_host_name(ssl, unconst(name)) != 1)
		die_fatal("OpenSSL does not take the name of a server: %s", name);
	return ssl;
}
