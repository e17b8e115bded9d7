/* Which certificates are in use, and which were refused. */
#include "master/cert_news.h"

#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "lib/tls_cert.h"

enum { DAY = 24 * 3600 };

enum state { NEW, TAKEN, REFUSED };

struct news {
	struct news *next;
	char *use, *file;
	bool given;      /* in this round */
	uint32_t number; /* the last one */
	enum state state;
	bool trial;    /* refusals are not told yet */
	char *why;     /* of REFUSED */
	int64_t since; /* the first of the refusals without a success in between; 0: there is none */
	int64_t until; /* when the one in use ends; 0: none is in use */
	int64_t told;  /* when that was logged last; 0: never */
	char *fault;   /* why clients refuse the one in use; "": they do not, or that was not told */
	int64_t fault_until;
	int64_t ocsp_until; /* when the OCSP response ends that is sent with it; 0: none is */
	char *ocsp_why;     /* why it is not sent; "": it is, or there is none */
};

static struct news *first;

static void free_news(struct news **n)
{
	mem_free(&(*n)->use);
	mem_free(&(*n)->file);
	mem_free(&(*n)->why);
	mem_free(&(*n)->fault);
	mem_free(&(*n)->ocsp_why);
	mem_free(n);
}

void cert_news_begin(void)
{
	for (struct news *n = first; n != NULL; n = n->next)
		n->given = false;
}

void cert_news_end(void)
{
	for (struct news **p = &first; *p != NULL;) {
		struct news *n = *p;

		if (n->given) {
			p = &n->next;
			continue;
		}
		*p = n->next;
		free_news(&n);
	}
}

static struct news *find_file(const char *use, const char *file)
{
	struct news *n = first;

	while (n != NULL && (strcmp(n->use, use) != 0 || strcmp(n->file, file) != 0))
		n = n->next;
	return n;
}

void cert_news_keep(const char *use, const char *file)
{
	struct news *n = find_file(use, file);

	if (n != NULL)
		n->given = true;
}

void cert_news_given(const char *use, const char *file, uint32_t number)
{
	struct news *n = find_file(use, file);

	if (n == NULL) {
		n = mem_alloc(sizeof(*n));
		n->use = mem_strdup(use);
		n->file = mem_strdup(file);
		n->fault = mem_strdup("");
		n->ocsp_why = mem_strdup("");
		n->next = first;
		first = n;
	}
	n->given = true;
	n->number = number;
	n->state = NEW;
	n->trial = false;
}

static struct news *find(uint32_t number)
{
	struct news *n = first;

	while (n != NULL && n->number != number)
		n = n->next;
	return n;
}

bool cert_news_is_taken(uint32_t number)
{
	const struct news *n = find(number);

	return n != NULL && n->state == TAKEN;
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
	return n->state == NEW;
}

/* One of which the same is known: the same file for another use. From END on, nothing is looked at. NULL: none. */
static const struct news *twin_of(const struct news *n, const struct news *end)
{
	for (const struct news *x = first; x != end; x = x->next)
		if (x != n && strcmp(x->file, n->file) == 0 && x->state == n->state && x->until == n->until &&
		    (n->state != REFUSED || strcmp(x->why, n->why) == 0))
			return x;
	return NULL;
}

static void refuse(struct news *n, const char *why, int64_t now)
{
	if (n->state == REFUSED || n->trial)
		return;
	n->state = REFUSED;
	n->since = n->since != 0 ? n->since : now;
	mem_free(&n->why);
	n->why = mem_strdup(why);
	text_make_plain(n->why, '.'); /* it may be a compromised process's */
	if (twin_of(n, NULL) == NULL)
		log_error("certificate %s is refused: %s; %s", n->file, n->why,
		    n->until != 0 ? "the one before stays in use" :
		                    "none is in use, and clients that need it are turned away");
}

void cert_news_begun(void)
{
	for (struct news *n = first; n != NULL; n = n->next) {
		if (n->state != REFUSED || n->until == 0)
			continue;
		n->until = 0;
		if (twin_of(n, NULL) == NULL)
			log_error("certificate %s: a key process begins without it, since its file is refused; clients "
			          "of one login worker, at least, are turned away until the file is mended",
			    n->file);
	}
}

/* It was logged for the same file with another use. */
static bool is_ocsp_told(const struct news *n)
{
	for (const struct news *x = first; x != NULL; x = x->next)
		if (x != n && strcmp(x->file, n->file) == 0 && strcmp(x->ocsp_why, n->ocsp_why) == 0)
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

	if (n->state != NEW)
		return;
	n->state = TAKEN;
	n->since = 0;
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
	if (is_faulty(n, time(NULL)))
		log_error("certificate %s: clients refuse it: %s", n->file, n->fault);
}

void cert_news_refuse(uint32_t number, const char *why)
{
	struct news *n = find(number);

	if (n != NULL)
		refuse(n, why, time(NULL));
}

void cert_news_take(const struct control_key_news *m)
{
	struct news *n = find(m->key);

	if (n == NULL)
		return;
	if (m->refused) {
		refuse(n, m->why, time(NULL));
	} else if (n->state == NEW) {
		take(n, m);
		n->ocsp_until = m->ocsp_until;
		set_ocsp_why(n, m->why);
	}
	cert_news_tick(time(NULL));
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

void cert_news_tick(int64_t now)
{
	char when[TLS_CERT_TIME_MAX];

	for (struct news *n = first; n != NULL; n = n->next) {
		tick_ocsp(n, now);
		if ((!has_ended(n, now) && !ends_soon(n, now)) || (n->told != 0 && now - n->told < DAY))
			continue;
		n->told = now;
		if (twin_of(n, n) != NULL)
			continue;
		if (has_ended(n, now))
			log_error("certificate %s has expired on %s: clients refuse it; renew it, no reload is needed",
			    n->file, tls_cert_time(n->until, when));
		else
			log_warn("certificate %s expires on %s; renew it, no reload is needed", n->file,
			    tls_cert_time(n->until, when));
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
	if (is_faulty(n, now))
		str_addf(out, "; clients refuse it: %s", n->fault);
	if (n->ocsp_why[0] != '\0')
		str_addf(out, "; its OCSP response is not sent to clients: %s", n->ocsp_why);
	str_addc(out, '\n');
}

void cert_news_describe(struct str *out, int64_t now)
{
	unsigned refused = 0, faulty = 0, unstapled = 0, ending = 0, ended = 0;

	for (const struct news *n = first; n != NULL; n = n->next) {
		if (twin_of(n, n) != NULL)
			continue;
		refused += n->state == REFUSED;
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
