/* Reading and deriving the pool's secret. */
#include "settings/pool_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/hex.h"
#include "lib/mac.h"
#include "lib/mem.h"

enum { PEM_FILE_MAX = 1024 * 1024 };

/* All of the file, at most MAX bytes, into OUT, which the caller wipes. */
static bool read_whole(const char *path, size_t max, struct str *out, struct str *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n;

	if (fd == -1 || fstat(fd, &st) != 0) {
		str_addf(why, "cannot read %s: %s", path, strerror(errno));
		if (fd != -1)
			close(fd);
		return false;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
		str_addf(why, "%s is not a file, or is too large", path);
		close(fd);
		return false;
	}
	/* Room at once: a string that grows leaves copies behind. */
	str_room(out, (size_t)st.st_size + 1);
	n = pread(fd, out->data, (size_t)st.st_size, 0);
	if (n < 0)
		str_addf(why, "cannot read %s: %s", path, strerror(errno));
	else
		out->len = (size_t)n;
	out->data[out->len] = '\0';
	close(fd);
	return n >= 0;
}

char *pool_secret_read(const char *path, struct str *why)
{
	struct str s = STR_INIT;
	char *secret = NULL;

	if (!read_whole(path, POOL_SECRET_MAX, &s, why)) {
		str_fini_secret(&s);
		return NULL;
	}
	while (s.len != 0 && (s.data[s.len - 1] == '\n' || s.data[s.len - 1] == '\r'))
		s.data[--s.len] = '\0';
	if (memchr(s.data, '\0', s.len) != NULL || memchr(s.data, '\n', s.len) != NULL)
		str_addf(why, "%s holds more than one line; create it with: openssl rand -hex 32", path);
	else if (s.len < POOL_SECRET_MIN)
		str_addf(why, "%s holds less than %d bytes; create it with: openssl rand -hex 32", path,
		    POOL_SECRET_MIN);
	else
		secret = mem_memdup(s.data, s.len);
	str_fini_secret(&s);
	return secret;
}

/* A daemon cannot ask for a passphrase. */
static int no_passphrase(char *buf UNUSED, int size UNUSED, int rwflag UNUSED, void *arg UNUSED)
{
	return -1;
}

static char *secret_of_key(EVP_PKEY *key)
{
	static const char label[] = "waypost pool secret";
	unsigned char *der = NULL, md[EVP_MAX_MD_SIZE];
	int len = i2d_PrivateKey(key, &der);
	unsigned mdlen = 0;
	char *secret = NULL;

	if (len > 0 && HMAC(EVP_sha256(), label, (int)sizeof(label) - 1, der, (size_t)len, md, &mdlen) != NULL)
		secret = hex_text(mem_alloc(2 * (size_t)mdlen + 1), md, mdlen);
	if (der != NULL)
		OPENSSL_clear_free(der, (size_t)MAX(len, 0));
	mem_wipe(md, sizeof(md));
	return secret;
}

char *pool_secret_derive(const char *path, struct str *why)
{
	struct str pem = STR_INIT;
	EVP_PKEY *key = NULL;
	char *secret = NULL;
	BIO *bio;

	if (!read_whole(path, PEM_FILE_MAX, &pem, why)) {
		str_fini_secret(&pem);
		return NULL;
	}
	bio = BIO_new_mem_buf(str_cstr(&pem), (int)pem.len);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (key != NULL)
		secret = secret_of_key(key);
	if (secret == NULL)
		str_addf(why, "%s has no readable private key (PEM, without a passphrase)", path);
	EVP_PKEY_free(key);
	BIO_free(bio);
	str_fini_secret(&pem);
	return secret;
}

const char *pool_secret_print(const char *secret, char dst[POOL_SECRET_PRINT_LEN + 1])
{
	static const char label[] = "waypost pool secret, to be compared";
	struct mac *m = mac_new(secret, strlen(secret));
	uint8_t md[MAC_LEN];

	mac_compute(m, label, sizeof(label) - 1, md);
	mac_free(&m);
	return hex_text(dst, md, POOL_SECRET_PRINT_LEN / 2);
}
