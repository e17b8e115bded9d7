/* TLS towards peers: whom a worker believes, and which sessions it resumes. */
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib/tls_ctx.h"
#include "login/tls_peers.h"
#include "tests/unit/clock_ahead.h"
#include "tests/unit/tls_test.h"
#include "tests/unit/unit.h"

static EVP_PKEY *ca_key, *key;
static X509 *ca, *cert;
static SSL_CTX *server;
static struct tls_peers *peers;
static bool reused;

int gettimeofday(struct timeval *t, void *zone UNUSED)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec + ahead;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}

static struct net_addr at(const char *ip, uint16_t port)
{
	struct net_addr a;

	CU_ASSERT_FATAL(net_addr_parse(&a, ip, port));
	return a;
}

/* A file with the certificate of X (NULL: with TEXT). */
static int file_of(X509 *x, const char *text)
{
	int fd = memfd_create("trust", 0);
	FILE *f = fdopen(dup(fd), "w");

	CU_ASSERT_FATAL(f != NULL);
	if (x != NULL)
		PEM_write_X509(f, x);
	fputs(text, f);
	fclose(f);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* A server that shows a certificate for ALT, by the authority. */
static void begin(const char *alt, int version)
{
	ca_key = tls_test_key("P-256");
	key = tls_test_key("P-256");
	ca = tls_test_signed(ca_key, NULL, NULL, ca_key, -60, 3600, true);
	cert = tls_test_signed(key, alt, ca, ca_key, -60, 3600, false);
	server = tls_ctx_new(true);
	SSL_CTX_set_max_proto_version(server, version);
	SSL_CTX_use_certificate(server, cert);
	SSL_CTX_use_PrivateKey(server, key);
	peers = tls_peers_new(true);
}

static void end(void)
{
	tls_peers_free(&peers);
	SSL_CTX_free(server);
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

/* A connection to HOST at ADDR, up to the first byte of the server. The verdict on the certificate; -1: all is well. */
static int visit_at(const char *host, const struct net_addr *addr)
{
	SSL *c = tls_peers_connect(peers, host, addr), *s = SSL_new(server);
	int verdict = -1;
	BIO *a, *b;
	char byte;

	CU_ASSERT_EQUAL_FATAL(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(c, a, a);
	SSL_set_bio(s, b, b);
	SSL_set_connect_state(c);
	SSL_set_accept_state(s);
	if (!tls_test_shake(c, s))
		verdict = (int)SSL_get_verify_result(c);
	else if (SSL_write(s, "x", 1) != 1 || SSL_read(c, &byte, 1) != 1) /* tickets come before it */
		CU_FAIL("no byte passes");
	reused = SSL_session_reused(c) == 1;
	SSL_shutdown(c);
	SSL_free(c);
	SSL_free(s);
	return verdict;
}

static int visit(const char *host)
{
	struct net_addr a = at("192.0.2.7", 993);

	return visit_at(host, &a);
}

static void test_trust(void)
{
	begin("DNS:a.example,IP:192.0.2.7,IP:fe80::1", TLS1_3_VERSION);
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	tls_peers_trust(peers, file_of(ca, ""));
	CU_ASSERT_EQUAL(visit("a.example"), -1);
	CU_ASSERT_EQUAL(visit("A.EXAMPLE"), -1);
	CU_ASSERT_EQUAL(visit("192.0.2.7"), -1);
	CU_ASSERT_EQUAL(visit("fe80::1%eth0"), -1);
	CU_ASSERT_EQUAL(visit("b.example"), X509_V_ERR_HOSTNAME_MISMATCH);
	CU_ASSERT_EQUAL(visit("192.0.2.8"), X509_V_ERR_IP_ADDRESS_MISMATCH);
	tls_peers_trust(peers, file_of(cert, "")); /* itself, without its authority */
	CU_ASSERT_EQUAL(visit("a.example"), -1);
	CU_ASSERT_EQUAL(visit("b.example"), X509_V_ERR_HOSTNAME_MISMATCH);
	/* What cannot be read is no reason to believe anybody. */
	tls_peers_trust(peers, file_of(NULL, ""));
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	tls_peers_trust(peers, file_of(NULL, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	tls_peers_trust(peers, file_of(ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	tls_peers_trust(peers, open("/", O_RDONLY));
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	/* Nor to forget whom we believe. */
	tls_peers_trust(peers, file_of(ca, ""));
	CU_ASSERT_EQUAL(visit("a.example"), -1);
	tls_peers_trust(peers, open("/", O_RDONLY));
	CU_ASSERT_EQUAL(visit("a.example"), -1);
	CU_ASSERT_FALSE(reused);
	tls_peers_free(&peers);
	peers = tls_peers_new(false);
	CU_ASSERT_EQUAL(visit("b.example"), -1);
	tls_peers_trust(peers, file_of(ca, "")); /* never read */
	end();
}

static void resumed(int version)
{
	struct net_addr other = at("192.0.2.8", 993), port = at("192.0.2.7", 994);

	begin("DNS:a.example,DNS:b.example", version);
	tls_peers_trust(peers, file_of(ca, ""));
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(visit("a.example"), -1);
		CU_ASSERT_EQUAL(reused, i != 0);
	}
	/* The same server by another name, at another address, at another port. */
	CU_ASSERT(visit("b.example") == -1 && !reused);
	CU_ASSERT(visit_at("a.example", &other) == -1 && !reused);
	CU_ASSERT(visit_at("a.example", &port) == -1 && !reused);
	CU_ASSERT(visit("a.example") == -1 && reused);
	/* Others are believed: what was shown before does not count. */
	tls_peers_trust(peers, file_of(NULL, ""));
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	end();
}

static void test_resumed(void)
{
	resumed(TLS1_3_VERSION);
	resumed(TLS1_2_VERSION);
}

/* A peer gives a new session with each that is resumed: what the certificate was once does not count for ever. */
static void aged(int version)
{
	begin("DNS:a.example", version);
	tls_peers_trust(peers, file_of(ca, ""));
	CU_ASSERT(visit("a.example") == -1 && !reused);
	ahead = TLS_PEERS_SESSION_AGE * 2 / 3;
	CU_ASSERT(visit("a.example") == -1 && reused);
	ahead = TLS_PEERS_SESSION_AGE * 4 / 3; /* the certificate has expired */
	CU_ASSERT_EQUAL(visit("a.example"), X509_V_ERR_CERT_HAS_EXPIRED);
	ahead = 0;
	end();
}

static void test_aged(void)
{
	aged(TLS1_3_VERSION);
	aged(TLS1_2_VERSION);
}

/* The peer that was used longest ago gives way. */
static void test_many_peers(void)
{
	struct net_addr a;

	begin("DNS:a.example", TLS1_3_VERSION);
	tls_peers_trust(peers, file_of(ca, ""));
	for (uint16_t i = 0; i < TLS_PEERS_MAX; i++) {
		a = at("192.0.2.7", (uint16_t)(1000 + i));
		CU_ASSERT(visit_at("a.example", &a) == -1 && !reused);
	}
	a.port = 1000;
	CU_ASSERT(visit_at("a.example", &a) == -1 && reused);
	a.port = 2000;
	CU_ASSERT(visit_at("a.example", &a) == -1 && !reused);
	a.port = 1000;
	CU_ASSERT(visit_at("a.example", &a) == -1 && reused);
	a.port = 1001; /* the one that gave way */
	CU_ASSERT(visit_at("a.example", &a) == -1 && !reused);
	end();
}

static void test_remedies(void)
{
	for (int v = X509_V_OK; v < 110; v++)
		CU_ASSERT(strlen(tls_peers_remedy(v)) > 10);
	CU_ASSERT_PTR_NOT_NULL(strstr(tls_peers_remedy(X509_V_ERR_HOSTNAME_MISMATCH), "mailhost"));
}

static const struct unit_case cases[] = {
	{ "whom to believe", test_trust },
	{ "sessions are resumed", test_resumed },
	{ "sessions that were resumed again and again", test_aged },
	{ "many peers", test_many_peers },
	{ "remedies", test_remedies },
	{ NULL, NULL },
};
UNIT_MAIN("tls_peers", cases)
