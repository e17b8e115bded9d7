/* Which certificates are in use, and which were refused. */
#include "master/cert_news.h"

#include <string.h>
#include <time.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "lib/tls_cert.h"

enum { DAY = 24 * 3600, SLOTS = 256 /* the most that LOGIN_WORKERS can be */ };

/* Key processes, by the slot of their login worker. */
struct slots {
	uint8_t bits[SLOTS / 8];
};

enum state { NEW, TAKEN, REFUSED };

/* A file, and what is known of it for each use. */
struct file {
	struct news *first;
	UT_hash_handle hh;
	char name[];
};

struct news {
	struct news *next; /* of the same file */
	struct file *of;
	const char *file; /* its name */
	char *use;
	bool given;                        /* in this round */
	uint32_t number;                   /* the last one */
	enum state state;                  /* TAKEN: by one of them at least */
	bool trial;                        /* refusals are not told yet */
	struct slots refusing, complained; /* of this number; those of which a refusal was logged */
	struct slots without;              /* have none, not even one from before */
	char *why;                         /* of the last refusal */
	int64_t since; /* the first of the refusals without a success in between; 0: there is none */
	int64_t until; /* when the one in use ends; 0: none is in use */
	int64_t told;  /* when that was logged last; 0: never */
	char *fault;   /* why clients refuse the one in use; "": they do not, or that was not told */
	int64_t fault_until;
	int64_t ocsp_until; /* when the OCSP response ends that is sent with it; 0: none is */
	char *ocsp_why;     /* why it is not sent; "": it is, or there is none */
	UT_hash_handle hh_use, hh_number;
};

static struct news *first; /* and the table by use: in the order in which they were given */
static struct news *by_number;
static struct file *files;

static void leave_file(struct news *n)
{
	struct file *f = n->of;
	struct news **p = &f->first;

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	if (f->first != NULL)
		return;
	HASH_DEL(files, f);
	mem_free(&f);
}

static void join_file(struct news *n, const char *name)
{
	struct file *f;
	struct news **p;

	HASH_FIND_STR(files, name, f);
	if (f == NULL) {
		f = mem_alloc(sizeof(*f) + strlen(name) + 1);
		memcpy(f->name, name, strlen(name) + 1);
		HASH_ADD_STR(files, name, f);
	}
	for (p = &f->first; *p != NULL;)
		p = &(*p)->next;
	*p = n;
	n->of = f;
	n->file = f->name;
}

/* What is in use may be of the file before, as long as this one is refused. */
static void move_to_file(struct news *n, const char *name)
{
	if (strcmp(n->file, name) == 0)
		return;
	leave_file(n);
	n->next = NULL;
	join_file(n, name);
}

static bool has(const struct slots *s, unsigned slot)
{
	return slot < SLOTS && (s->bits[slot / 8] & 1 << slot % 8) != 0;
}

static void put(struct slots *s, unsigned slot, bool in)
{
	uint8_t bit = (uint8_t)(1 << slot % 8);

	if (slot < SLOTS)
		s->bits[slot / 8] = (uint8_t)(in ? s->bits[slot / 8] | bit : s->bits[slot / 8] & ~bit);
}

static bool is_empty(const struct slots *s)
{
	static const struct slots none;

	return memcmp(s, &none, sizeof(none)) == 0;
}

/* "login worker 2", "login workers 0, 2". */
static void name_workers(const struct slots *s, struct str *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		n += has(s, i);
	str_adds(out, n == 1 ? "login worker" : "login workers");
	for (unsigned i = 0; i < SLOTS; i++)
		if (has(s, i)) {
			str_addf(out, "%s %u", n != 0 ? "" : ",", i);
			n = 0;
		}
}

static void free_news(struct news **n)
{
	HASH_DELETE(hh_use, first, *n);
	HASH_DELETE(hh_number, by_number, *n);
	leave_file(*n);
	mem_free(&(*n)->use);
	mem_free(&(*n)->why);
	mem_free(&(*n)->fault);
	mem_free(&(*n)->ocsp_why);
	mem_free(n);
}

void cert_news_begin(void)
{
	for (struct news *n = first; n != NULL; n = n->hh_use.next)
		n->given = false;
}

void cert_news_end(void)
{
	struct news *next;

	for (struct news *n = first; n != NULL; n = next) {
		next = n->hh_use.next;
		if (!n->given)
			free_news(&n);
	}
}

static struct news *find_use(const char *use)
{
	struct news *n;

	HASH_FIND(hh_use, first, use, strlen(use), n);
	return n;
}

void cert_news_keep(const char *use)
{
	struct news *n = find_use(use);

	if (n != NULL)
		n->given = true;
}

void cert_news_given(const char *use, const char *file, uint32_t number)
{
	struct news *n = find_use(use);

	if (n == NULL) {
		n = mem_alloc(sizeof(*n));
		n->use = mem_strdup(use);
		n->fault = mem_strdup("");
		n->ocsp_why = mem_strdup("");
		HASH_ADD_KEYPTR(hh_use, first, n->use, strlen(n->use), n);
		join_file(n, file);
	} else {
		HASH_DELETE(hh_number, by_number, n);
		move_to_file(n, file);
	}
	n->given = true;
	n->number = number;
	HASH_ADD(hh_number, by_number, number, sizeof(n->number), n);
	n->state = NEW;
	n->trial = false;
	memset(&n->refusing, 0, sizeof(n->refusing));
	memset(&n->complained, 0, sizeof(n->complained));
}

static struct news *find(uint32_t number)
{
	struct news *n;

	HASH_FIND(hh_number, by_number, &number, sizeof(number), n);
	return n;
}

bool cert_news_is_taken(uint32_t number)
{
	const struct news *n = find(number);

	return n != NULL && n->state == TAKEN && is_empty(&n->refusing);
}

void cert_news_begin_trial(uint32_t number)
{
	struct news *n = find(number);

	if (n != NULL)
		n->trial = true;
}

bool cert_news_end_trial(uint32_t number)
{
	struct news *n = find(number);

	if (n == NULL)
		return false;
	n->trial = false;
	return n->state == NEW || !is_empty(&n->refusing);
}

/* One of which the same is known: the same file for another use. From END on, nothing is looked at. NULL: none. */
static const struct news *twin_of(const struct news *n, const struct news *end)
{
	for (const struct news *x = n->of->first; x != end; x = x->next)
		if (x != n && x->state == n->state && x->until == n->until &&
		    memcmp(&x->refusing, &n->refusing, sizeof(n->refusing)) == 0 &&
		    memcmp(&x->without, &n->without, sizeof(n->without)) == 0 &&
		    (is_empty(&n->refusing) || strcmp(x->why, n->why) == 0))
			return x;
	return NULL;
}

static void tell_refusal(const struct news *n)
{
	struct str who = STR_INIT;

	if (n->state == REFUSED) {
		log_error("certificate %s is refused: %s; %s", n->file, n->why,
		    n->until != 0 ? "the one before stays in use" :
		                    "none is in use, and clients that need it are turned away");
		return;
	}
	name_workers(&n->refusing, &who);
	log_error("certificate %s is in use, but refused by the key process of %s: %s; clients there get the one "
	          "before, "
	          "or are turned away. Touch the file to have it tried again",
	    n->file, str_cstr(&who), n->why);
	str_fini(&who);
}

/* By the key process of SLOT. Of one that others use each refusal is told, else the first. */
static void refuse(struct news *n, unsigned slot, const char *why, int64_t now)
{
	put(&n->refusing, slot, true);
	if (n->state == REFUSED || has(&n->complained, slot))
		return;
	mem_free(&n->why);
	n->why = mem_strdup(why);
	text_make_plain(n->why, '.'); /* it may be a compromised process's */
	n->since = n->since != 0 ? n->since : now;
	if (n->trial)
		return;
	put(&n->complained, slot, true);
	n->state = n->state == NEW ? REFUSED : n->state;
	if (twin_of(n, NULL) == NULL)
		tell_refusal(n);
}

void cert_news_ended(unsigned slot)
{
	for (struct news *n = first; n != NULL; n = n->hh_use.next) {
		put(&n->refusing, slot, false);
		put(&n->complained, slot, false);
		put(&n->without, slot, false);
	}
}

void cert_news_begun(unsigned slot)
{
	for (struct news *n = first; n != NULL; n = n->hh_use.next) {
		if (n->state != REFUSED || n->until == 0 || has(&n->without, slot))
			continue;
		put(&n->without, slot, true);
		if (twin_of(n, NULL) == NULL)
			log_error("certificate %s: a key process begins without it, since its file is refused; clients "
			          "of login worker %u are turned away until the file is mended",
			    n->file, slot);
	}
}

/* It was logged for the same file with another use. */
static bool is_ocsp_told(const struct news *n)
{
	for (const struct news *x = n->of->first; x != NULL; x = x->next)
		if (x != n && strcmp(x->ocsp_why, n->ocsp_why) == 0)
			return true;
	return false;
}

/* The OCSP response is not sent because of WHY; "": it is, or there is none. */
static void set_ocsp_why(struct news *n, const char *why)
{
	mem_free(&n->ocsp_why);
	n->ocsp_why = mem_strdup(why);
	text_make_plain(n->ocsp_why, '.');
	if (why[0] != '\0' && !is_ocsp_told(n))
		log_warn("OCSP response %s.ocsp is not sent to clients: %s", n->file, n->ocsp_why);
}

static bool has_ended(const struct news *n, int64_t now)
{
	return n->until != 0 && n->until <= now;
}

/* That a certificate has ended is told by itself. */
static bool is_faulty(const struct news *n, int64_t now)
{
	return n->until != 0 && n->fault[0] != '\0' && now < n->fault_until && !has_ended(n, now);
}

static void take(struct news *n, const struct control_key_news *m)
{
	const struct news *twin;
	char when[TLS_CERT_TIME_MAX];

	n->state = TAKEN;
	n->since = is_empty(&n->refusing) ? 0 : n->since;
	n->told = m->until == n->until ? n->told : 0;
	n->until = m->until;
	mem_free(&n->fault);
	n->fault = mem_strdup(m->fault);
	text_make_plain(n->fault, '.');
	n->fault_until = m->fault_until;
	if ((twin = twin_of(n, NULL)) != NULL) {
		n->told = twin->told;
		return;
	}
	log_info("certificate %s is in use, valid until %s", n->file, tls_cert_time(n->until, when));
	if (!is_empty(&n->refusing) && !n->trial)
		tell_refusal(n);
	if (is_faulty(n, time(NULL)))
		log_error("certificate %s: clients refuse it: %s", n->file, n->fault);
}

void cert_news_refuse(uint32_t number, unsigned slot, const char *why)
{
	struct news *n = slot < SLOTS ? find(number) : NULL;

	if (n != NULL)
		refuse(n, slot, why, time(NULL));
}

static bool ends_soon(const struct news *n, int64_t now)
{
	return n->until != 0 && n->until > now && n->until - now < TLS_CERT_SOON;
}

static void tick_ocsp(struct news *n, int64_t now)
{
	if (n->ocsp_until == 0 || n->ocsp_until > now)
		return;
	n->ocsp_until = 0;
	set_ocsp_why(n, "it has expired; get a new one");
}

static void tick(struct news *n, int64_t now)
{
	char when[TLS_CERT_TIME_MAX];

	tick_ocsp(n, now);
	if ((!has_ended(n, now) && !ends_soon(n, now)) || (n->told != 0 && now - n->told < DAY))
		return;
	n->told = now;
	if (twin_of(n, n) != NULL)
		return;
	if (has_ended(n, now))
		log_error("certificate %s has expired on %s: clients refuse it; renew it, no reload is needed", n->file,
		    tls_cert_time(n->until, when));
	else
		log_warn("certificate %s expires on %s; renew it, no reload is needed", n->file,
		    tls_cert_time(n->until, when));
}

void cert_news_tick(int64_t now)
{
	for (struct news *n = first; n != NULL; n = n->hh_use.next)
		tick(n, now);
}

void cert_news_take(unsigned slot, const struct control_key_news *m)
{
	struct news *n = slot < SLOTS ? find(m->key) : NULL;

	if (n == NULL)
		return;
	if (m->refused) {
		refuse(n, slot, m->why, time(NULL));
		return;
	}
	put(&n->refusing, slot, false);
	put(&n->without, slot, false);
	if (n->state != TAKEN) {
		take(n, m);
		n->ocsp_until = m->ocsp_until;
		set_ocsp_why(n, m->why);
	} else if (is_empty(&n->refusing)) {
		n->since = 0;
	}
	tick(n, time(NULL));
}

/* What holds for the clients of some login workers only. */
static void describe_some(const struct news *n, struct str *out)
{
	char since[TLS_CERT_TIME_MAX];

	if (n->state == TAKEN && !n->trial && !is_empty(&n->refusing)) {
		str_adds(out, "; refused by the key process of ");
		name_workers(&n->refusing, out);
		str_addf(out, " since %s (%s), where clients get the one before, or are turned away",
		    tls_cert_time(n->since, since), n->why);
	}
	if (!is_empty(&n->without)) {
		str_adds(out, "; there is none for clients of ");
		name_workers(&n->without, out);
	}
}

static void describe(const struct news *n, int64_t now, struct str *out)
{
	char until[TLS_CERT_TIME_MAX], since[TLS_CERT_TIME_MAX];

	tls_cert_time(n->until, until);
	str_addf(out, "note\tcertificate\t%s: ", n->file);
	if (n->state == REFUSED)
		str_addf(out, "refused since %s (%s); ", tls_cert_time(n->since, since), n->why);
	if (n->until != 0)
		str_addf(out, "%sin use, valid until %s", n->state == REFUSED ? "the one before stays " : "", until);
	else
		str_adds(out, n->state == REFUSED ? "none is in use" : "not read yet");
	describe_some(n, out);
	if (is_faulty(n, now))
		str_addf(out, "; clients refuse it: %s", n->fault);
	if (n->ocsp_why[0] != '\0')
		str_addf(out, "; its OCSP response is not sent to clients: %s", n->ocsp_why);
	str_addc(out, '\n');
}

void cert_news_describe(struct str *out, int64_t now)
{
	unsigned refused = 0, faulty = 0, unstapled = 0, ending = 0, ended = 0;

	for (const struct news *n = first; n != NULL; n = n->hh_use.next) {
		if (twin_of(n, n) != NULL)
			continue;
		refused += n->state == REFUSED || (!n->trial && !is_empty(&n->refusing));
		faulty += is_faulty(n, now);
		unstapled += n->ocsp_why[0] != '\0';
		ending += ends_soon(n, now);
		ended += has_ended(n, now);
		describe(n, now, out);
	}
	if (first != NULL)
		str_addf(out,
		    "count\tcertificates_refused\t%u\ncount\tcertificates_faulty\t%u\ncount\tcertificates_unstapled\t%"
		    "u\n"
		    "count\tcertificates_ending\t%u\ncount\tcertificates_ended\t%u\n",
		    refused, faulty, unstapled, ending, ended);
}
