/* File names of messages: parsed and made. */
#include "maildir/md_name.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const struct {
	char letter;
	unsigned flag;
} letters[] = {
	{ 'D', MD_DRAFT },
	{ 'F', MD_FLAGGED },
	{ 'R', MD_ANSWERED },
	{ 'S', MD_SEEN },
	{ 'T', MD_DELETED },
};

static unsigned letter_flag(char c)
{
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (letters[i].letter == c)
			return letters[i].flag;
	return 0;
}

/* The flag letters of NAME, or "". */
static const char *flag_part(const char *name)
{
	const char *p = strrchr(name, ':');

	return p != NULL && p[1] == '2' && p[2] == ',' ? p + 3 : "";
}

size_t md_name_base_len(const char *name)
{
	const char *p = strrchr(name, ':');

	return p != NULL ? (size_t)(p - name) : strlen(name);
}

unsigned md_name_flags(const char *name)
{
	unsigned flags = 0;

	for (const char *p = flag_part(name); *p != '\0'; p++)
		flags |= letter_flag(*p);
	return flags;
}

/* Reads a decimal number at P; returns the first byte after it, or NULL if there is none or it is too large. */
static const char *read_num(const char *p, uint64_t *v_out)
{
	uint64_t v = 0;
	const char *start = p;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > (UINT64_MAX - 9) / 10)
			return NULL;
		v = v * 10 + (unsigned)(*p - '0');
	}
	*v_out = v;
	return p != start ? p : NULL;
}

/* The number of the ",<KEY>=" part of the base. */
static bool part_num(const char *name, char key, uint64_t *v_out)
{
	const char *end = name + md_name_base_len(name);

	for (const char *p = name; (p = memchr(p, ',', (size_t)(end - p))) != NULL; p++) {
		const char *q;

		if (end - p < 4 || p[1] != key || p[2] != '=')
			continue;
		q = read_num(p + 3, v_out);
		if (q != NULL && *v_out <= INT64_MAX && (q == end || *q == ','))
			return true;
	}
	return false;
}

bool md_name_size(const char *name, uint64_t *bytes_out)
{
	return part_num(name, 'S', bytes_out);
}

bool md_name_vsize(const char *name, uint64_t *bytes_out)
{
	return part_num(name, 'W', bytes_out);
}

uint64_t md_name_time(const char *name)
{
	uint64_t v;

	if (*name < '0' || *name > '9')
		return 0;
	return read_num(name, &v) != NULL ? v : UINT64_MAX;
}

void md_name_with_flags(struct str *out, const char *name, unsigned flags)
{
	bool have[128] = { false };

	for (const char *p = flag_part(name); *p != '\0'; p++)
		if (*p > ' ' && *p < 127 && letter_flag(*p) == 0)
			have[(unsigned char)*p] = true;
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		have[(unsigned char)letters[i].letter] = (flags & letters[i].flag) != 0;
	str_add(out, name, md_name_base_len(name));
	str_adds(out, ":2,");
	for (int c = 0; c < 128; c++)
		if (have[c])
			str_addc(out, (char)c);
}

size_t md_name_stem_len(const char *name)
{
	size_t len = md_name_base_len(name);

	for (size_t i = 0; i + 3 <= len; i++)
		if (memcmp(name + i, ",S=", 3) == 0)
			return i;
	return len;
}

/* What orders messages of the same second: microsecond, process, that process's count of deliveries, and the kernel's
 * count; 0 where a name has none. */
enum { ORDER_M, ORDER_P, ORDER_Q, ORDER_COUNT, ORDER_SERIAL, ORDER_PARTS };

/* Reads digits of base BASE (10 or 16) before END; returns the first byte after them. Too large: the maximum. */
static const char *read_part(const char *p, const char *end, unsigned base, uint64_t *v)
{
	for (*v = 0; p < end; p++) {
		unsigned digit = *p >= '0' && *p <= '9' ? (unsigned)(*p - '0') :
		    *p >= 'A' && *p <= 'F'              ? (unsigned)(*p - 'A') + 10 :
		    *p >= 'a' && *p <= 'f'              ? (unsigned)(*p - 'a') + 10 :
		                                          base;

		if (digit >= base)
			break;
		*v = *v > (UINT64_MAX - digit) / base ? UINT64_MAX : *v * base + digit;
	}
	return p;
}

/* The parts of NAME's unique word: "M211585P31268V000000000000FE00I0000000000A767B8_0", "#1cR5fP7Q3", or "31268_0". */
static void order_parts(const char *name, uint64_t part[ORDER_PARTS])
{
	const char *end = name + md_name_base_len(name), *p = memchr(name, '.', (size_t)(end - name)), *dot;
	uint64_t other;

	memset(part, 0, ORDER_PARTS * sizeof(*part));
	if (p == NULL)
		return;
	p++;
	dot = memchr(p, '.', (size_t)(end - p));
	if (dot != NULL)
		end = dot;
	p = read_part(p, end, 10, &part[ORDER_P]); /* the old form */
	while (p < end) {
		char c = *p++;

		switch (c) {
		case 'M':
			p = read_part(p, end, 10, &part[ORDER_M]);
			break;
		case 'P':
			p = read_part(p, end, 10, &part[ORDER_P]);
			break;
		case 'Q':
			p = read_part(p, end, 10, &part[ORDER_Q]);
			break;
		case '_':
			p = read_part(p, end, 10, &part[ORDER_SERIAL]);
			break;
		case '#':
			p = read_part(p, end, 16, &part[ORDER_COUNT]);
			break;
		case 'V':
		case 'I':
		case 'X':
		case 'R':
			p = read_part(p, end, 16, &other);
			break;
		default:
			break;
		}
	}
}

int md_name_order(const char *a, const char *b)
{
	uint64_t ta = md_name_time(a), tb = md_name_time(b), pa[ORDER_PARTS], pb[ORDER_PARTS];
	size_t la, lb;
	int c;

	if (ta != tb)
		return ta < tb ? -1 : 1;
	order_parts(a, pa);
	order_parts(b, pb);
	for (int i = 0; i < ORDER_PARTS; i++)
		if (pa[i] != pb[i])
			return pa[i] < pb[i] ? -1 : 1;
	la = md_name_base_len(a);
	lb = md_name_base_len(b);
	c = memcmp(a, b, MIN(la, lb));
	if (c != 0)
		return c;
	return la < lb ? -1 : la > lb;
}

bool md_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len != 0 && len <= MD_NAME_MAX && name[0] != '.' && name[0] != ':' && strpbrk(name, "/\n") == NULL;
}

/* Appends the host's name, escaping as Maildirs do what no file name or base may hold. */
static void add_host(struct str *out)
{
	static char host[65];

	if (host[0] == '\0' && gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	for (const char *p = host[0] != '\0' ? host : "localhost"; *p != '\0'; p++) {
		if (*p == '/')
			str_adds(out, "\\057");
		else if (*p == ':')
			str_adds(out, "\\072");
		else if (*p > ' ' && *p < 127 && *p != ',')
			str_addc(out, *p);
	}
}

void md_name_tmp(struct md_root *r, struct str *out)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	str_addf(out, "%lld.M%ldP%ld_%u.", (long long)now.tv_sec, (long)now.tv_usec, (long)getpid(), r->tmp_serial++);
	add_host(out);
}

bool md_name_in_use(const char *name)
{
	struct str host = STR_INIT;
	int at = 0, pid;
	bool ours;

	add_host(&host);
	ours = sscanf(name, "%*u.M%*uP%d_%*u.%n", &pid, &at) == 1 && at != 0 && strcmp(name + at, str_cstr(&host)) == 0;
	str_fini(&host);
	return ours && pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH);
}

void md_name_new(struct str *out, const char *tmp, uint64_t dev, uint64_t ino, uint64_t size)
{
	const char *cut = strchr(tmp, '_');

	if (cut == NULL)
		cut = tmp + strlen(tmp);
	str_add(out, tmp, (size_t)(cut - tmp));
	str_addf(out, "V%016llXI%016llX", (unsigned long long)dev, (unsigned long long)ino);
	str_addf(out, "%s,S=%llu", cut, (unsigned long long)size);
}
