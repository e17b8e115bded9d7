/* The pool of random bytes. */
#include "lib/rnd.h"

#include <openssl/rand.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/die.h"
#include "lib/mem.h"

/* A page of its own, which the kernel clears in a forked child: it gets none of our bytes. */
struct pool {
	size_t left;
	uint8_t bytes[4096 - sizeof(size_t)];
};

static void fill(void *p, size_t len)
{
	if (RAND_bytes(p, (int)len) != 1)
		die_fatal("OpenSSL has no random bytes");
}

static struct pool *make_pool(void)
{
	struct pool *pool = mmap(NULL, sizeof(*pool), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pool == MAP_FAILED)
		die_errno("no memory for random bytes");
	if (madvise(pool, sizeof(*pool), MADV_WIPEONFORK) != 0)
		die_errno("the pool of random bytes cannot be kept from child processes");
	return pool;
}

void rnd_bytes(void *p, size_t len)
{
	static struct pool *pool;
	uint8_t *from;

	if (pool == NULL)
		pool = make_pool();
	if (len > sizeof(pool->bytes)) {
		fill(p, len);
		return;
	}
	if (pool->left < len) {
		fill(pool->bytes, sizeof(pool->bytes));
		pool->left = sizeof(pool->bytes);
	}
	pool->left -= len;
	from = pool->bytes + pool->left;
	memcpy(p, from, len);
	mem_wipe(from, len);
}
