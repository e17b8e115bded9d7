/* The file of used tokens: records of one size, found by an index in memory. */
#include "authd/used_tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <uthash.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/hex.h"
#include "lib/log.h"
#include "lib/mem.h"

#define CANNOT_WRITE "cannot write the memory of used tokens"

enum { TOKEN_LEN = FORWARDED_MAC_LEN, SWEEP_SECONDS = 10, CHUNK = 512 /* records read at a time */ };

/* No record crosses a page, so that each is written completely or not at all, however the process ends. All zero: no
 * record. */
struct record {
	uint64_t made;
	uint8_t token[TOKEN_LEN];
	uint32_t check; /* over all else and the record's place */
	uint8_t zero[20];
};
_Static_assert(sizeof(struct record) == 64, "a page has a whole number of them");

/* The token of record 0. Its time is that of the newest token that was forgotten: records that are not newer do not
 * count. */
static const uint8_t head[TOKEN_LEN] = "waypost used tokens";

enum { FILE_SIZE = (1 + USED_TOKENS_MAX) * sizeof(struct record) };

struct token {
	uint8_t token[TOKEN_LEN];
	uint64_t made;
	uint32_t place; /* number of its record */
	UT_hash_handle hh;
};

struct used_tokens {
	int fd;
	struct token *all;
	bool has_head;      /* record 0 is there; it is written before all others */
	uint64_t forgotten; /* time of the newest token that was forgotten */
	uint64_t swept;     /* when the old ones were forgotten last */
	uint32_t end;       /* from here on no record was written */
	uint32_t *unused;   /* records before it that do not count */
	uint32_t nunused;
};

/* --- records --- */

static uint32_t check_of(const struct record *r, uint32_t place)
{
	struct record whole = *r;
	unsigned sum;

	whole.check = place;
	HASH_JEN(&whole, sizeof(whole), sum);
	return sum;
}

static bool write_record(const struct used_tokens *t, uint32_t place, const uint8_t token[TOKEN_LEN], uint64_t made)
{
	struct record r = { .made = made };
	ssize_t n;

	memcpy(r.token, token, TOKEN_LEN);
	r.check = check_of(&r, place);
	n = pwrite(t->fd, &r, sizeof(r), (off_t)(place * sizeof(r)));
	if (n >= 0 && n != (ssize_t)sizeof(r))
		errno = EIO;
	return n == (ssize_t)sizeof(r);
}

static bool write_head(struct used_tokens *t, uint64_t forgotten)
{
	if (!write_record(t, 0, head, forgotten))
		return false;
	t->has_head = true;
	t->forgotten = forgotten;
	return true;
}

static bool is_empty(const struct record *r)
{
	static const struct record none;

	return memcmp(r, &none, sizeof(none)) == 0;
}

/* --- tokens --- */

static void remember(struct used_tokens *t, const uint8_t token[TOKEN_LEN], uint64_t made, uint32_t place)
{
	struct token *k = mem_alloc(sizeof(*k));

	memcpy(k->token, token, TOKEN_LEN);
	k->made = made;
	k->place = place;
	HASH_ADD(hh, t->all, token, TOKEN_LEN, k);
}

static void forget(struct used_tokens *t, struct token *k)
{
	t->unused[t->nunused++] = k->place;
	HASH_DEL(t->all, k);
	mem_free(&k);
}

static bool is_too_old(const struct token *k, uint64_t now)
{
	return k->made + TOKEN_AGE_MAX < now;
}

/* Forgets tokens that are too old to be valid. */
static void sweep(struct used_tokens *t, uint64_t now)
{
	uint64_t newest = t->forgotten;
	struct token *k, *next;

	t->swept = now;
	HASH_ITER(hh, t->all, k, next)
	if (is_too_old(k, now) && k->made > newest)
		newest = k->made;
	/* Recorded before their places are reused. */
	if (newest != t->forgotten && !write_head(t, newest))
		return;
	HASH_ITER(hh, t->all, k, next)
	if (is_too_old(k, now))
		forget(t, k);
}

/* --- the file --- */

int used_tokens_file(void)
{
	int fd = memfd_create("used-tokens", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd == -1 ||
	    (ftruncate(fd, FILE_SIZE) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0))
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* A record was damaged. Whatever was used before, here or by a node whose clock is fast, is too old from now on. */
static void lose(struct used_tokens *t, uint64_t now)
{
	if (t->forgotten >= now + TOKEN_AGE_MAX)
		return;
	log_error("the memory of used tokens was damaged: logins by tokens of other nodes fail temporarily for %d s",
	    TOKEN_AGE_MAX);
	if (!write_head(t, now + TOKEN_AGE_MAX))
		die_errno(CANNOT_WRITE);
}

static void take_head(struct used_tokens *t, const struct record *r, uint64_t now)
{
	if (is_empty(r))
		return;
	t->has_head = r->check == check_of(r, 0) && memcmp(r->token, head, TOKEN_LEN) == 0;
	if (t->has_head)
		t->forgotten = r->made;
	else
		lose(t, now);
}

/* R stands at PLACE; the records before it were taken. */
static void take_record(struct used_tokens *t, const struct record *r, uint32_t place, uint64_t now)
{
	static const struct record none;

	if (is_empty(r))
		return;
	if (r->check != check_of(r, place)) {
		lose(t, now);
		if (pwrite(t->fd, &none, sizeof(none), (off_t)(place * sizeof(none))) != sizeof(none))
			die_errno(CANNOT_WRITE);
		return;
	}
	while (t->end < place)
		t->unused[t->nunused++] = t->end++;
	t->end = place + 1;
	if (r->made > t->forgotten)
		remember(t, r->token, r->made, place);
	else
		t->unused[t->nunused++] = place;
}

/* Loads some records from PLACE on; returns the first one not read. */
static uint32_t load_some(struct used_tokens *t, uint32_t place, uint64_t now)
{
	struct record r[CHUNK];
	ssize_t n = pread(t->fd, r, sizeof(r), (off_t)(place * sizeof(*r)));

	if (n <= 0 || (size_t)n % sizeof(*r) != 0)
		die_errno("cannot read the memory of used tokens");
	for (const struct record *p = r; p < r + (size_t)n / sizeof(*r); p++, place++) {
		if (place == 0)
			take_head(t, p, now);
		else
			take_record(t, p, place, now);
	}
	return place;
}

struct used_tokens *used_tokens_open(int fd, uint64_t now)
{
	struct used_tokens *t = mem_alloc(sizeof(*t));
	off_t at;

	t->fd = fd;
	t->swept = now;
	t->end = 1;
	t->unused = mem_alloc(USED_TOKENS_MAX * sizeof(*t->unused));
	for (uint32_t place = 0; (at = lseek(fd, (off_t)(place * sizeof(struct record)), SEEK_DATA)) != -1;)
		place = load_some(t, (uint32_t)((size_t)at / sizeof(struct record)), now);
	if (!t->has_head && t->end != 1)
		lose(t, now);
	if (!t->has_head && !write_head(t, 0))
		die_errno(CANNOT_WRITE);
	return t;
}

void used_tokens_free(struct used_tokens **t)
{
	struct token *k, *next;

	if (*t == NULL)
		return;
	HASH_ITER(hh, (*t)->all, k, next)
	forget(*t, k);
	close((*t)->fd);
	mem_free(&(*t)->unused);
	mem_free(t);
}

/* --- use --- */

/* The place of a new record; 0: there is none. */
static uint32_t free_place(const struct used_tokens *t)
{
	if (t->nunused != 0)
		return t->unused[t->nunused - 1];
	return t->end <= USED_TOKENS_MAX ? t->end : 0;
}

static void fill_place(struct used_tokens *t)
{
	if (t->nunused != 0)
		t->nunused--;
	else
		t->end++;
}

enum used_token used_tokens_take(struct used_tokens *t, const char *text, uint64_t made, uint64_t now)
{
	uint8_t token[TOKEN_LEN];
	struct token *k;
	uint32_t place;

	DIE_IF(strlen(text) != 2 * TOKEN_LEN || !hex_bytes(token, text, 2 * TOKEN_LEN));
	if (now < t->swept || now - t->swept >= SWEEP_SECONDS || (free_place(t) == 0 && now != t->swept))
		sweep(t, now);
	HASH_FIND(hh, t->all, token, TOKEN_LEN, k);
	if (k != NULL)
		return USED_TOKEN_AGAIN;
	if (made <= t->forgotten)
		return USED_TOKEN_OLD;
	if ((place = free_place(t)) == 0)
		return USED_TOKEN_FULL;
	if (!write_record(t, place, token, made))
		return USED_TOKEN_FAILED;
	fill_place(t);
	remember(t, token, made, place);
	return USED_TOKEN_FRESH;
}
