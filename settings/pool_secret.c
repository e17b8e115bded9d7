/* Reads the pool's secrets. */
#include "settings/pool_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/hex.h"
#include "lib/mac.h"
#include "lib/mem.h"

/* Reads the whole file into OUT, which the caller wipes. */
static bool read_whole(const char *path, struct str *out, struct str *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool good = fd != -1 && fd_read_file(fd, POOL_SECRET_FILE_MAX, out);

	if (!good && fd != -1 && (errno == EFBIG || errno == EINVAL))
		str_addf(why, "%s is not a file, or is too large", path);
	else if (!good)
		str_addf(why, "cannot read %s: %s", path, strerror(errno));
	if (fd != -1)
		close(fd);
	return good;
}

const char *pool_secret_next(const char **list, size_t *len)
{
	const char *line = *list;

	if (line[0] == '\0')
		return NULL;
	*len = strcspn(line, "\n");
	*list = line + *len + (line[*len] == '\n');
	return line;
}

/* Makes line ends single line feeds, and removes those at the end. */
static void tidy_ends(struct str *s)
{
	size_t len = 0;

	for (size_t i = 0; i < s->len; i++)
		if (s->data[i] != '\r' || (i + 1 < s->len && s->data[i + 1] != '\n'))
			s->data[len++] = s->data[i];
	while (len != 0 && s->data[len - 1] == '\n')
		len--;
	s->data[s->len = len] = '\0';
}

/* False, and why, if one of the lines of TEXT is not a secret. */
static bool check_lines(const char *path, const char *text, struct str *why)
{
	unsigned n = 0;
	size_t len;

	/* Not pool_secret_next(): an empty line at the beginning is a mistake, too. */
	do {
		len = strcspn(text, "\n");
		n++;
		if (text[0] == '#') {
			str_addf(why, "line %u of %s begins with '#': each line is a secret, and there are no comments",
			    n, path);
			return false;
		}
		if (len < POOL_SECRET_MIN) {
			str_addf(why,
			    "line %u of %s holds less than %d bytes; create it with: head -c 32 /dev/urandom | base64",
			    n, path, POOL_SECRET_MIN);
			return false;
		}
		text += len;
	} while (*text++ != '\0');
	if (n > POOL_SECRETS_MAX)
		str_addf(why, "%s holds %u lines, and %d are enough: remove secrets that no node signs with any more",
		    path, n, POOL_SECRETS_MAX);
	return n <= POOL_SECRETS_MAX;
}

char *pool_secret_read(const char *path, struct str *why)
{
	struct str s = STR_INIT;
	char *secret = NULL;

	if (read_whole(path, &s, why)) {
		if (memchr(s.data, '\0', s.len) != NULL) {
			str_addf(why, "%s holds NUL bytes; create it with: head -c 32 /dev/urandom | base64", path);
		} else {
			tidy_ends(&s);
			if (check_lines(path, s.data, why))
				secret = mem_memdup(s.data, s.len);
		}
	}
	str_fini_secret(&s);
	return secret;
}

static void add_print(const char *secret, size_t len, struct str *out)
{
	static const char label[] = "waypost pool secret, to be compared";
	enum { BYTES = 4 };
	struct mac *m = mac_new(secret, len);
	char text[2 * BYTES + 1];
	uint8_t md[MAC_LEN];

	mac_compute(m, label, sizeof(label) - 1, md);
	mac_free(&m);
	str_adds(out, hex_text(text, md, BYTES));
}

void pool_secret_prints(const char *list, struct str *out)
{
	const char *secret, *word = "";
	size_t len;

	for (unsigned n = 0; (secret = pool_secret_next(&list, &len)) != NULL; n++) {
		str_adds(out, word);
		add_print(secret, len, out);
		word = n == 0 ? "; also accepted: " : ", ";
	}
}
