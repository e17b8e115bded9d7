/* Reads files of authorities, and makes memory files of them. */
#include "master/trust_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/tls_ctx.h"
#include "lib/tls_trust.h"

static bool add_file(int folder, const char *name, struct str *pem, struct str *why)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = -1;

	if (fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 &&
	    pem->len + (size_t)st.st_size < TLS_TRUST_MAX) {
		str_room(pem, (size_t)st.st_size + 1);
		n = pread(fd, pem->data + pem->len, (size_t)st.st_size, 0);
		pem->len += (size_t)MAX(n, 0);
		str_addc(pem, '\n');
	} else if (fd != -1) {
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
	}
	if (n < 0)
		str_addf(why, "%s: %s", name, strerror(errno));
	if (fd != -1)
		close(fd);
	return n >= 0;
}

static int is_shown(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static bool is_folder(int folder, const char *name)
{
	struct stat st;

	return fstatat(folder, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* In the order of names, so that what has not changed is the same. */
static bool add_folder(const char *path, struct str *pem, struct str *why)
{
	struct dirent **all;
	int n = scandir(path, &all, is_shown, alphasort), folder = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	bool good = n >= 0 && folder != -1;

	if (!good)
		str_addf(why, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		good = good && (is_folder(folder, all[i]->d_name) || add_file(folder, all[i]->d_name, pem, why));
		free(all[i]);
	}
	if (n >= 0)
		free(all);
	if (folder != -1)
		close(folder);
	return good;
}

bool trust_files(const char *path, struct str *pem, struct str *why)
{
	return is_folder(AT_FDCWD, path) ? add_folder(path, pem, why) : add_file(AT_FDCWD, path, pem, why);
}

bool trust_peers_file(const char *path, struct str *pem, struct str *why)
{
	SSL_CTX *ctx;
	bool good;

	errno = 0;
	if (!add_file(AT_FDCWD, path, pem, why))
		return false;
	ctx = tls_ctx_new(false);
	good = tls_ctx_trust(ctx, pem->data, pem->len) != 0;
	SSL_CTX_free(ctx);
	if (!good)
		str_addf(why, "%s: it has no certificates, or one that cannot be read", path);
	return good;
}

int trust_sealed(const struct str *pem)
{
	int fd = memfd_create("trust", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd != -1 && write(fd, pem->data, pem->len) == (ssize_t)pem->len &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return fd;
	log_error("cannot pass certificates of authorities: %s", strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}
