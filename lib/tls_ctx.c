/* Contexts of libssl. */
#include "lib/tls_ctx.h"

#include <openssl/err.h>

#include "lib/die.h"
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

SSL_CTX *tls_ctx_new(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    !tls_ctx_set_ciphers(ctx, CIPHERS))
		die_fatal("OpenSSL has no TLS as we need it: %s", ERR_reason_error_string(ERR_peek_last_error()));
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (!server)
		return ctx;
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	if (SSL_CTX_set_ciphersuites(ctx, SUITES) != 1)
		die_fatal("OpenSSL does not know the cipher suites of TLS 1.3");
	return ctx;
}
