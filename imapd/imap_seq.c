/* Sequence sets. */
#include "imapd/imap_seq.h"

#include <stdlib.h>

#include "lib/mem.h"

static void push(struct imap_set *set, uint32_t low, uint32_t high)
{
	if (set->n == set->cap) {
		set->cap = set->cap == 0 ? 8 : set->cap * 2;
		set->ranges = mem_grow(set->ranges, set->cap * sizeof(*set->ranges));
	}
	set->ranges[set->n++] = (struct imap_range){ low, high };
}

void imap_set_add(struct imap_set *set, uint32_t low, uint32_t high)
{
	struct imap_range *last = set->n > 0 ? &set->ranges[set->n - 1] : NULL;

	if (last != NULL && low <= last->high)
		last->high = MAX(last->high, high);
	else if (last != NULL && low - 1 == last->high)
		last->high = high;
	else
		push(set, low, high);
}

/* Reads a number or "*"; advances *P. False for anything else, also 0 and numbers of more than 32 bits. */
static bool take_number(const char **p, const char *end, uint32_t star, uint32_t *out, bool *is_star)
{
	uint64_t n = 0;
	const char *q = *p;

	*is_star = q < end && *q == '*';
	if (*is_star) {
		*p = q + 1;
		*out = star;
		return true;
	}
	while (q < end && *q >= '0' && *q <= '9' && n <= UINT32_MAX)
		n = n * 10 + (uint64_t)(*q++ - '0');
	if (q == *p || n == 0 || n > UINT32_MAX)
		return false;
	*p = q;
	*out = (uint32_t)n;
	return true;
}

static bool take_range(const char **p, const char *end, uint32_t star, struct imap_set *set)
{
	uint32_t a, b;
	bool star_a, star_b = false;

	if (!take_number(p, end, star, &a, &star_a))
		return false;
	b = a;
	if (*p < end && **p == ':') {
		(*p)++;
		if (!take_number(p, end, star, &b, &star_b))
			return false;
	}
	if (star == 0 && (star_a || star_b))
		return true;
	push(set, MIN(a, b), MAX(a, b));
	return true;
}

static int by_low(const void *a, const void *b)
{
	uint32_t x = ((const struct imap_range *)a)->low, y = ((const struct imap_range *)b)->low;

	return (x > y) - (x < y);
}

/* Sorts and joins the ranges. */
static void normalise(struct imap_set *set)
{
	size_t n = set->n;

	if (n == 0)
		return;
	qsort(set->ranges, n, sizeof(*set->ranges), by_low);
	set->n = 1;
	for (size_t i = 1; i < n; i++)
		imap_set_add(set, set->ranges[i].low, set->ranges[i].high);
}

bool imap_set_parse(struct imap_set *set, const char *text, size_t len, uint32_t star)
{
	const char *p = text, *end = text + len;

	for (;;) {
		if (!take_range(&p, end, star, set)) {
			imap_set_fini(set);
			return false;
		}
		if (p == end)
			break;
		if (*p++ != ',') {
			imap_set_fini(set);
			return false;
		}
	}
	normalise(set);
	return true;
}

void imap_set_copy(struct imap_set *set, const struct imap_set *from)
{
	for (size_t i = 0; i < from->n; i++)
		push(set, from->ranges[i].low, from->ranges[i].high);
}

void imap_set_fini(struct imap_set *set)
{
	mem_free(&set->ranges);
	set->n = set->cap = 0;
}

bool imap_set_has(const struct imap_set *set, uint32_t n)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->ranges[mid].high < n)
			low = mid + 1;
		else
			high = mid;
	}
	return low < set->n && set->ranges[low].low <= n;
}

uint32_t imap_set_max(const struct imap_set *set)
{
	return set->n == 0 ? 0 : set->ranges[set->n - 1].high;
}

static void print_range(struct str *out, const char *comma, uint32_t low, uint32_t high)
{
	if (low == high)
		str_addf(out, "%s%u", comma, low);
	else
		str_addf(out, "%s%u:%u", comma, low, high);
}

void imap_list_print(struct str *out, const uint32_t *list, size_t n)
{
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && list[i + run] == list[i] + run; run++)
			continue;
		print_range(out, i == 0 ? "" : ",", list[i], list[i] + (uint32_t)run - 1);
	}
}
