/* authldap: accounts in an LDAP directory, with the settings of Courier's authldaprc. May block: for auth workers. */
#include "authlib/module.h"

#include <grp.h>
#include <lber.h>
#include <ldap.h>
#include <pwd.h>
#include <string.h>

#include "authlib/directory.h"
#include "authlib/ldapquery.h"
#include "authlib/record.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "settings/settings.h"

enum { ENTRIES_MAX = 100 };

struct ldap_conn {
	LDAP *ld; /* NULL: not open */
	unsigned server;
	bool fresh; /* not used yet */
};

struct ldap_dir {
	const struct settings *set;
	struct ldap_fields fields;
	struct directory servers;
	char *attrs[LDAP_ATTRS_MAX + 1];
	struct ldap_conn reader; /* searches */
	struct ldap_conn binder; /* checks passwords: each check binds it as another account */
	bool tls_ready;
	int64_t tls_retry_at; /* setting it up failed: not retried before this time */
};

/* The result of one exchange. */
enum outcome {
	DONE,    /* there is a result */
	REFUSED, /* the server is up but refuses: WHY */
	LOST     /* no answer, or none in time: WHY */
};

/* --- one exchange --- */

static void add_reason(struct str *why, LDAP *ld, int err)
{
	char *text = NULL;

	if (ld != NULL)
		ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
	str_addf(why, "%s%s%s%s", ldap_err2string(err), text != NULL && text[0] != '\0' ? " (" : "",
	    text != NULL ? text : "", text != NULL && text[0] != '\0' ? ")" : "");
	ldap_memfree(text);
}

static bool is_lost(int err)
{
	/* Below 0: errors of the library; those of the filter are our fault. */
	return (err < 0 && err != LDAP_FILTER_ERROR && err != LDAP_PARAM_ERROR) || err == LDAP_BUSY ||
	    err == LDAP_UNAVAILABLE || err == LDAP_TIMELIMIT_EXCEEDED;
}

static struct timeval time_limit(const struct ldap_dir *d)
{
	return (struct timeval){ .tv_sec = (time_t)d->set->authldaprc_LDAP_TIMEOUT };
}

/* Waits for all of the answer to MSGID. *ERR is the server's code, or the library's. *RES is the caller's in any
 * case. */
static void wait_for(const struct ldap_dir *d, LDAP *ld, int msgid, LDAPMessage **res, int *err)
{
	struct timeval tv = time_limit(d);
	int n = ldap_result(ld, msgid, LDAP_MSG_ALL, &tv, res);

	if (n == 0) {
		*err = LDAP_TIMEOUT;
		ldap_abandon_ext(ld, msgid, NULL, NULL);
	} else if (n < 0) {
		ldap_get_option(ld, LDAP_OPT_RESULT_CODE, err);
		if (*err == LDAP_SUCCESS)
			*err = LDAP_SERVER_DOWN;
	} else if ((n = ldap_parse_result(ld, *res, err, NULL, NULL, NULL, NULL, 0)) != LDAP_SUCCESS) {
		*err = n;
	}
}

/* Binds; the server's code, or the library's. */
static int bind_as(const struct ldap_dir *d, LDAP *ld, const char *dn, const char *password)
{
	struct berval cred = { .bv_len = strlen(password), .bv_val = mem_strdup(password) };
	LDAPMessage *res = NULL;
	int msgid, err = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &cred, NULL, NULL, &msgid);

	mem_free_secret(&cred.bv_val);
	if (err == LDAP_SUCCESS)
		wait_for(d, ld, msgid, &res, &err);
	ldap_msgfree(res);
	return err;
}

/* --- connections --- */

static void close_connection(struct ldap_conn *c)
{
	if (c->ld != NULL)
		ldap_unbind_ext(c->ld, NULL, NULL);
	c->ld = NULL;
}

static int deref_of(const char *word)
{
	return strcmp(word, "always") == 0 ? LDAP_DEREF_ALWAYS :
	    strcmp(word, "finding") == 0   ? LDAP_DEREF_FINDING :
	    strcmp(word, "searching") == 0 ? LDAP_DEREF_SEARCHING :
	                                     LDAP_DEREF_NEVER;
}

static int reqcert_of(const char *word)
{
	return strcmp(word, "never") == 0 ? LDAP_OPT_X_TLS_NEVER :
	    strcmp(word, "allow") == 0    ? LDAP_OPT_X_TLS_ALLOW :
	    strcmp(word, "try") == 0      ? LDAP_OPT_X_TLS_TRY :
	    strcmp(word, "hard") == 0     ? LDAP_OPT_X_TLS_HARD :
	                                    LDAP_OPT_X_TLS_DEMAND;
}

enum { TLS_RETRY_MS = 10 * 1000 };

/* The process's own context, not one for each connection: with LDAPTLS_CIPHER_SUITE libldap 2.5 on GnuTLS leaks 8 KB
 * per context, and the TLS settings of ldap.conf apply only to this one. Files are read again after a reload. */
static bool make_tls_context(const struct settings *set, struct str *why)
{
	const struct {
		int option;
		const char *name, *value;
	} files[] = {
		{ LDAP_OPT_X_TLS_CACERTFILE, "LDAPTLS_CACERT", set->authdaemonrc_LDAPTLS_CACERT },
		{ LDAP_OPT_X_TLS_CACERTDIR, "LDAPTLS_CACERTDIR", set->authdaemonrc_LDAPTLS_CACERTDIR },
		{ LDAP_OPT_X_TLS_CERTFILE, "LDAPTLS_CERT", set->authdaemonrc_LDAPTLS_CERT },
		{ LDAP_OPT_X_TLS_KEYFILE, "LDAPTLS_KEY", set->authdaemonrc_LDAPTLS_KEY },
		{ LDAP_OPT_X_TLS_CIPHER_SUITE, "LDAPTLS_CIPHER_SUITE", set->authdaemonrc_LDAPTLS_CIPHER_SUITE },
		{ LDAP_OPT_X_TLS_CRLFILE, "LDAPTLS_CRLFILE", set->authdaemonrc_LDAPTLS_CRLFILE },
	};
	int require = reqcert_of(set->authdaemonrc_LDAPTLS_REQCERT), client = 0;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (files[i].value[0] != '\0' &&
		    ldap_set_option(NULL, files[i].option, files[i].value) != LDAP_OPT_SUCCESS) {
			str_addf(why, "libldap refuses %s = \"%s\"", files[i].name, files[i].value);
			return false;
		}
	ldap_set_option(NULL, LDAP_OPT_X_TLS_REQUIRE_CERT, &require);
	if (ldap_set_option(NULL, LDAP_OPT_X_TLS_NEWCTX, &client) != LDAP_OPT_SUCCESS) {
		str_adds(why,
		    "cannot set up TLS; check that the files of the LDAPTLS_ settings are readable, and that libldap's "
		    "TLS library knows LDAPTLS_CIPHER_SUITE");
		return false;
	}
	return true;
}

static bool prepare_tls(struct ldap_dir *d, struct str *why)
{
	if (d->tls_ready)
		return true;
	if (clock_ms() < d->tls_retry_at) {
		str_adds(why, "TLS setup failed a moment ago");
		return false;
	}
	d->tls_ready = make_tls_context(d->set, why);
	d->tls_retry_at = clock_ms() + TLS_RETRY_MS;
	return d->tls_ready;
}

static void set_options(const struct ldap_dir *d, LDAP *ld)
{
	struct timeval tv = time_limit(d);
	int version = (int)d->set->authldaprc_LDAP_PROTOCOL_VERSION, deref = deref_of(d->set->authldaprc_LDAP_DEREF),
	    idle = 60;

	ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(ld, LDAP_OPT_DEREF, &deref);
	ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &tv);
	ldap_set_option(ld, LDAP_OPT_TIMEOUT, &tv);
	ldap_set_option(ld, LDAP_OPT_X_KEEPALIVE_IDLE, &idle);
	/* Referrals would be followed anonymously and without a time limit. */
	ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
}

static int start_tls(const struct ldap_dir *d, LDAP *ld)
{
	LDAPMessage *res = NULL;
	int msgid, err = ldap_start_tls(ld, NULL, NULL, &msgid);

	if (err == LDAP_SUCCESS)
		wait_for(d, ld, msgid, &res, &err);
	ldap_msgfree(res);
	return err == LDAP_SUCCESS ? ldap_install_tls(ld) : err;
}

/* A connection to server I, the reader's bound as LDAP_INITBIND says. */
static bool open_connection(struct ldap_dir *d, struct ldap_conn *c, unsigned i, struct str *why)
{
	const struct settings *set = d->set;
	const char *uri = d->servers.server[i].name;
	bool tls = set->authldaprc_LDAP_TLS || strncasecmp(uri, "ldaps", 5) == 0;
	int err;

	if (tls && !prepare_tls(d, why))
		return false;
	err = ldap_initialize(&c->ld, uri);
	if (err != LDAP_SUCCESS) {
		add_reason(why, NULL, err);
		return false;
	}
	set_options(d, c->ld);
	err = ldap_connect(c->ld);
	if (err == LDAP_SUCCESS && set->authldaprc_LDAP_TLS && strncasecmp(uri, "ldap:", 5) == 0)
		err = start_tls(d, c->ld);
	if (err == LDAP_SUCCESS && c == &d->reader && set->authldaprc_LDAP_INITBIND)
		err = bind_as(d, c->ld, set->authldaprc_LDAP_BINDDN, set->authldaprc_LDAP_BINDPW);
	if (err != LDAP_SUCCESS) {
		if (err == LDAP_INVALID_CREDENTIALS)
			str_adds(why, "it refuses LDAP_BINDDN and LDAP_BINDPW: ");
		if (tls && err == LDAP_CONNECT_ERROR)
			str_adds(why,
			    "TLS failed; check that its certificate has this name and is signed by an authority in "
			    "LDAPTLS_CACERT: ");
		add_reason(why, c->ld, err);
	}
	return err == LDAP_SUCCESS;
}

/* Opens C to the first usable server that is not among TRIED (a bit each). */
static bool open_one(struct ldap_dir *d, struct ldap_conn *c, unsigned tried)
{
	int64_t start = clock_ms(), end;

	for (unsigned i; (i = directory_next(&d->servers, tried, start)) != d->servers.count; start = end) {
		struct str why = STR_INIT;
		bool good = open_connection(d, c, i, &why);

		tried |= 1U << i;
		end = clock_ms();
		if (!good) {
			close_connection(c);
			directory_failed(&d->servers, i, end, end - start, str_cstr(&why));
		}
		str_fini(&why);
		if (good) {
			c->server = i;
			c->fresh = true;
			return true;
		}
	}
	return false;
}

typedef enum outcome exchange_fn(struct ldap_dir *d, LDAP *ld, void *arg, struct str *why);

/* Runs FN with the first server that answers; retries if an old connection turns out to be dead. False: none
 * answered. */
static bool exchange(struct ldap_dir *d, struct ldap_conn *c, exchange_fn *fn, void *arg)
{
	unsigned tried = 0;

	while (c->ld != NULL || open_one(d, c, tried)) {
		struct str why = STR_INIT;
		int64_t start = clock_ms(), end;
		enum outcome o = fn(d, c->ld, arg, &why);

		end = clock_ms();
		if (o == LOST) {
			bool waited = end - start >= DIRECTORY_SLOW_MS;

			/* A connection that the server closed while idle is not an outage. */
			close_connection(c);
			if (c->fresh || waited) {
				directory_silent(&d->servers, c->server, end, end - start, str_cstr(&why));
				tried |= 1U << c->server;
			}
		} else {
			c->fresh = false;
			directory_answered(&d->servers, c->server);
			if (o == REFUSED)
				directory_refused(&d->servers, str_cstr(&why));
			else
				directory_served(&d->servers);
		}
		str_fini(&why);
		if (o != LOST)
			return o == DONE;
	}
	return false;
}

/* --- searching --- */

struct search {
	const char *base;
	const char *filter;
	char **attrs;
	LDAPMessage *res; /* to be freed by the caller, also without a result */
	int count;
};

static enum outcome do_search(struct ldap_dir *d, LDAP *ld, void *arg, struct str *why)
{
	struct search *s = arg;
	struct timeval tv = time_limit(d);
	int msgid, err;

	ldap_msgfree(s->res);
	s->res = NULL;
	err = ldap_search_ext(ld, s->base, LDAP_SCOPE_SUBTREE, s->filter, s->attrs, 0, NULL, NULL, &tv, ENTRIES_MAX,
	    &msgid);
	if (err == LDAP_SUCCESS)
		wait_for(d, ld, msgid, &s->res, &err);
	if (err == LDAP_SUCCESS || err == LDAP_SIZELIMIT_EXCEEDED) {
		s->count = ldap_count_entries(ld, s->res);
		if (err == LDAP_SIZELIMIT_EXCEEDED)
			s->count = ENTRIES_MAX;
		return DONE;
	}
	str_addf(why, "search below \"%s\": ", s->base);
	add_reason(why, ld, err);
	return is_lost(err) ? LOST : REFUSED;
}

/* The only entry that fits FILTER. AUTH_OK: it is in S->res. */
static enum auth_result find(struct ldap_dir *d, struct search *s, const char *user)
{
	if (!exchange(d, &d->reader, do_search, s))
		return AUTH_TRY_LATER;
	if (s->count == 0)
		return AUTH_UNKNOWN;
	if (s->count > 1) {
		log_error("authldap: %s has %d entries below \"%s\"; keep only one", user, s->count, s->base);
		return AUTH_BROKEN;
	}
	return AUTH_OK;
}

/* The first step for a mapped name: fills FILTER for the second. */
static enum auth_result map_name(struct ldap_dir *d, const char *user, struct str *filter)
{
	char *attrs[2] = { mem_strdup(d->set->authldaprc_LDAP_EMAILMAP_ATTRIBUTE), NULL };
	struct str first = STR_INIT;
	struct search s = { .base = d->set->authldaprc_LDAP_EMAILMAP_BASEDN, .attrs = attrs };
	enum auth_result r;

	ldapquery_map_filter(&first, &d->fields, user);
	s.filter = str_cstr(&first);
	r = find(d, &s, user);
	if (r == AUTH_OK) {
		struct berval **values =
		    ldap_get_values_len(d->reader.ld, ldap_first_entry(d->reader.ld, s.res), attrs[0]);

		if (values != NULL && values[0] != NULL && values[0]->bv_len != 0)
			ldapquery_mapped_filter(filter, &d->fields, values[0]->bv_val, values[0]->bv_len);
		else
			r = AUTH_UNKNOWN;
		ldap_value_free_len(values);
	}
	ldap_msgfree(s.res);
	mem_free(&attrs[0]);
	str_fini(&first);
	return r;
}

/* --- the entry --- */

struct reading {
	LDAP *ld;
	LDAPMessage *entry;
	const char *user;                           /* for the log; NULL: do not log */
	struct berval **values[LDAP_ATTRS_MAX + 1]; /* to be freed */
	unsigned n;
};

static bool first_value(void *arg, const char *attr, const char **p, size_t *len)
{
	struct reading *r = arg;
	struct berval **values = r->n <= LDAP_ATTRS_MAX ? ldap_get_values_len(r->ld, r->entry, attr) : NULL;

	if (values == NULL)
		return false;
	r->values[r->n++] = values;
	if (values[0] == NULL)
		return false;
	if (values[1] != NULL && r->user != NULL)
		log_warn("authldap: %s has several values of %s; the first one is used", r->user, attr);
	*p = values[0]->bv_val;
	*len = values[0]->bv_len;
	return true;
}

static void wipe_values(struct reading *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		for (struct berval **v = r->values[i]; *v != NULL; v++)
			mem_wipe((*v)->bv_val, (*v)->bv_len);
		ldap_value_free_len(r->values[i]);
	}
}

static enum auth_result read_entry(struct ldap_dir *d, LDAPMessage *res, const char *service, const char *user,
    struct account *out, char **dn_out)
{
	struct reading r = { .ld = d->reader.ld, .entry = ldap_first_entry(d->reader.ld, res), .user = user };
	struct str why = STR_INIT;
	enum auth_result result = ldapquery_record(&d->fields, first_value, &r, service, user, out, &why);
	char *dn;

	if (result == AUTH_BROKEN)
		log_error("authldap: the record of %s cannot be used: %s", user, str_cstr(&why));
	if (result == AUTH_OK && dn_out != NULL && (dn = ldap_get_dn(r.ld, r.entry)) != NULL) {
		*dn_out = mem_strdup(dn);
		ldap_memfree(dn);
	}
	wipe_values(&r);
	str_fini(&why);
	return result;
}

/* Looks Q's user up; its entry's name into *DN_OUT (owned; may be NULL). */
static enum auth_result look_up(struct ldap_dir *d, const struct auth_question *q, struct account *out, char **dn_out)
{
	struct str filter = STR_INIT;
	struct search s = { .base = d->set->authldaprc_LDAP_BASEDN, .attrs = d->attrs };
	enum auth_result r = AUTH_OK;

	if (ldapquery_is_mapped(&d->fields, q->user))
		r = map_name(d, q->user, &filter);
	else
		ldapquery_filter(&filter, &d->fields, q->user);
	if (r == AUTH_OK) {
		s.filter = str_cstr(&filter);
		r = find(d, &s, q->user);
	}
	if (r == AUTH_OK)
		r = read_entry(d, s.res, q->service, q->user, out, dn_out);
	ldap_msgfree(s.res);
	str_fini(&filter);
	return r;
}

/* --- passwords --- */

struct bind_check {
	const char *dn, *password;
	enum auth_result result;
};

static enum outcome do_bind(struct ldap_dir *d, LDAP *ld, void *arg, struct str *why)
{
	struct bind_check *b = arg;
	int err = bind_as(d, ld, b->dn, b->password);

	switch (err) {
	case LDAP_SUCCESS:
		b->result = AUTH_OK;
		return DONE;
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_NO_SUCH_OBJECT:
		b->result = AUTH_MISMATCH;
		return DONE;
	case LDAP_INAPPROPRIATE_AUTH:   /* the entry has no password */
	case LDAP_CONSTRAINT_VIOLATION: /* locked, too many tries */
	case LDAP_INSUFFICIENT_ACCESS:
	case LDAP_UNWILLING_TO_PERFORM:
		b->result = AUTH_DISABLED;
		return DONE;
	default:
		str_adds(why, "bind: ");
		add_reason(why, ld, err);
		return is_lost(err) ? LOST : REFUSED;
	}
}

static enum auth_result lookup(void *ctx, const struct auth_question *q, struct account *out)
{
	return look_up(ctx, q, out, NULL);
}

static enum auth_result verify_by_bind(struct ldap_dir *d, const struct auth_question *q, struct account *out)
{
	char *dn = NULL;
	enum auth_result r = look_up(d, q, out, &dn);
	struct bind_check b = { .password = q->password, .result = AUTH_TRY_LATER };

	if (r == AUTH_OK && q->password[0] == '\0') {
		r = AUTH_MISMATCH; /* a server would treat it as an anonymous bind and accept it */
	} else if (r == AUTH_OK) {
		b.dn = dn != NULL ? dn : "";
		r = b.dn[0] != '\0' && exchange(d, &d->binder, do_bind, &b) ? b.result : AUTH_TRY_LATER;
	}
	mem_free(&dn);
	return r;
}

static enum auth_result verify(void *ctx, const struct auth_question *q, struct account *out)
{
	struct ldap_dir *d = ctx;
	enum auth_result r;

	if (d->set->authldaprc_LDAP_AUTHBIND)
		return verify_by_bind(d, q, out);
	r = look_up(d, q, out, NULL);
	return r == AUTH_OK ? auth_check(out, q->password) : r;
}

/* --- all accounts --- */

enum { PAGE = 500 }; /* entries; most servers give no more than 500 or 1,000 at once */

struct list {
	struct ldap_dir *d;
	struct ldap_fields fields;
	char *attrs[LDAP_ATTRS_MAX + 2];
	auth_account_fn *fn;
	void *arg;
	bool stopped;         /* FN stopped the list */
	struct berval cookie; /* where the next page begins */
};

static bool tell_account(const struct list *l, LDAPMessage *entry, const struct berval *name)
{
	struct reading r = { .ld = l->d->reader.ld, .entry = entry };
	struct str why = STR_INIT;
	struct account a;
	enum auth_result result = AUTH_BROKEN;
	bool more = true;

	account_init(&a);
	if (record_set(&a.name, name->bv_val, name->bv_len, ACCOUNT_NAME_MAX, l->fields.mail, &why))
		result = ldapquery_record(&l->fields, first_value, &r, "enumerate", a.name, &a, &why);
	if (result != AUTH_UNKNOWN)
		more = l->fn(l->arg, &a, result == AUTH_OK ? NULL : str_cstr(&why));
	wipe_values(&r);
	account_fini(&a);
	str_fini(&why);
	return more;
}

/* An entry is an account under each of its names. */
static void tell_entry(struct list *l, LDAPMessage *entry)
{
	struct berval **names = ldap_get_values_len(l->d->reader.ld, entry, l->fields.mail);

	for (struct berval **name = names; name != NULL && *name != NULL && !l->stopped; name++)
		l->stopped = !tell_account(l, entry, *name);
	ldap_value_free_len(names);
}

/* The end of a page: the server's code, or the library's, and where the next one begins. */
static int end_page(struct list *l, LDAPMessage *res)
{
	LDAP *ld = l->d->reader.ld;
	LDAPControl **controls = NULL, *control;
	ber_int_t estimate;
	int code, err = ldap_parse_result(ld, res, &code, NULL, NULL, NULL, &controls, 0);

	ber_memfree(l->cookie.bv_val);
	l->cookie = (struct berval){ 0, NULL };
	if (err == LDAP_SUCCESS && code == LDAP_SUCCESS &&
	    (control = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL)) != NULL)
		err = ldap_parse_pageresponse_control(ld, control, &estimate, &l->cookie);
	ldap_controls_free(controls);
	return err != LDAP_SUCCESS ? err : code;
}

/* Entry by entry, because a server without pages sends all at once. */
static int take_page(struct list *l, int msgid)
{
	LDAP *ld = l->d->reader.ld;

	for (;;) {
		struct timeval tv = { .tv_sec = AUTH_LIST_SILENCE_MS / 1000 };
		LDAPMessage *res = NULL;
		int type = ldap_result(ld, msgid, LDAP_MSG_ONE, &tv, &res), err = LDAP_SUCCESS;

		if (type == LDAP_RES_SEARCH_ENTRY)
			tell_entry(l, res);
		else if (type == LDAP_RES_SEARCH_RESULT)
			err = end_page(l, res);
		else if (type == 0)
			err = LDAP_TIMEOUT;
		else if (type < 0 &&
		    (ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &err) != LDAP_OPT_SUCCESS || err == LDAP_SUCCESS))
			err = LDAP_SERVER_DOWN;
		ldap_msgfree(res);
		if (type == LDAP_RES_SEARCH_RESULT || err != LDAP_SUCCESS || l->stopped)
			return err;
	}
}

/* The list, page by page (RFC 2696). Requested but not required: a server without pages may send all entries at
 * once. */
static int take_pages(struct list *l, const char *filter)
{
	LDAP *ld = l->d->reader.ld;
	int err;

	do {
		LDAPControl *page = NULL, *controls[2];
		int msgid;

		if ((err = ldap_create_page_control(ld, PAGE, l->cookie.bv_val != NULL ? &l->cookie : NULL, 'F',
		         &page)) != LDAP_SUCCESS)
			return err;
		controls[0] = page;
		controls[1] = NULL;
		err = ldap_search_ext(ld, l->d->set->authldaprc_LDAP_BASEDN, LDAP_SCOPE_SUBTREE, filter, l->attrs, 0,
		    controls, NULL, NULL, LDAP_NO_LIMIT, &msgid);
		ldap_control_free(page);
		if (err == LDAP_SUCCESS)
			err = take_page(l, msgid);
	} while (err == LDAP_SUCCESS && !l->stopped && l->cookie.bv_len != 0);
	return err;
}

static void add_list_reason(struct list *l, int err, struct str *why)
{
	add_reason(why, l->d->reader.ld, err);
	if (err == LDAP_SIZELIMIT_EXCEEDED || err == LDAP_ADMINLIMIT_EXCEEDED || err == LDAP_TIMELIMIT_EXCEEDED)
		str_addf(why,
		    "; the server limits the answers to %s: raise the limit, for slapd: limits dn.exact=\"%s\" "
		    "size=unlimited time=unlimited",
		    l->d->set->authldaprc_LDAP_INITBIND ? "LDAP_BINDDN" : "anonymous clients",
		    l->d->set->authldaprc_LDAP_BINDDN);
}

static bool enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why)
{
	struct ldap_dir *d = ctx;
	struct list l = { .d = d, .fields = d->fields, .fn = fn, .arg = arg };
	struct str filter = STR_INIT;
	unsigned n;
	int err = LDAP_SERVER_DOWN;

	l.fields.clearpw = l.fields.cryptpw = "";
	n = ldapquery_attrs(&l.fields, l.attrs);
	l.attrs[n] = mem_strdup(l.fields.mail);
	ldapquery_list_filter(&filter, &l.fields, d->set->authldaprc_LDAP_ENUMERATE_FILTER);
	if (d->reader.ld == NULL && !open_one(d, &d->reader, 0))
		str_adds(why, "no server answers");
	else if ((err = take_pages(&l, str_cstr(&filter))) != LDAP_SUCCESS)
		add_list_reason(&l, err, why);
	close_connection(&d->reader);
	ber_memfree(l.cookie.bv_val);
	for (char **attr = l.attrs; *attr != NULL; attr++)
		mem_free(attr);
	str_fini(&filter);
	return err == LDAP_SUCCESS && !l.stopped;
}

/* --- settings --- */

static bool find_id(const char *text, bool user, uint32_t *out)
{
	const struct passwd *pw;
	const struct group *gr;
	uint64_t v;

	*out = 0;
	if (text[0] == '\0')
		return true;
	if (num_parse_str(text, UINT32_MAX - 1, &v))
		*out = (uint32_t)v;
	else if (user && (pw = getpwnam(text)) != NULL)
		*out = pw->pw_uid;
	else if (!user && (gr = getgrnam(text)) != NULL)
		*out = gr->gr_gid;
	return *out != 0;
}

static bool read_fields(struct ldap_dir *d, struct str *error)
{
	const struct settings *set = d->set;
	struct ldap_fields *f = &d->fields;
	bool bind = set->authldaprc_LDAP_AUTHBIND;

	f->mail = set->authldaprc_LDAP_MAIL;
	f->filter = set->authldaprc_LDAP_FILTER;
	f->domain = set->authldaprc_LDAP_DOMAIN;
	f->emailmap = set->authldaprc_LDAP_EMAILMAP;
	f->emailmap_mail = set->authldaprc_LDAP_EMAILMAP_MAIL;
	f->homedir = set->authldaprc_LDAP_HOMEDIR;
	f->mailroot = set->authldaprc_LDAP_MAILROOT;
	f->maildir = set->authldaprc_LDAP_MAILDIR;
	f->delivery = set->authldaprc_LDAP_DEFAULTDELIVERY;
	f->quota = set->authldaprc_LDAP_MAILDIRQUOTA;
	f->fullname = set->authldaprc_LDAP_FULLNAME;
	/* If the server checks passwords, none is read. */
	f->clearpw = bind ? "" : set->authldaprc_LDAP_CLEARPW;
	f->cryptpw = bind ? "" : set->authldaprc_LDAP_CRYPTPW;
	f->uid = set->authldaprc_LDAP_UID;
	f->gid = set->authldaprc_LDAP_GID;
	f->auxoptions = set->authldaprc_LDAP_AUXOPTIONS;
	if (!find_id(set->authldaprc_LDAP_GLOB_UID, true, &f->glob_uid)) {
		str_addf(error, "LDAP_GLOB_UID: %s is not a user that may own mail", set->authldaprc_LDAP_GLOB_UID);
		return false;
	}
	if (!find_id(set->authldaprc_LDAP_GLOB_GID, false, &f->glob_gid)) {
		str_addf(error, "LDAP_GLOB_GID: %s is not a group that may own mail", set->authldaprc_LDAP_GLOB_GID);
		return false;
	}
	ldapquery_attrs(f, d->attrs);
	return true;
}

static bool find_servers(struct ldap_dir *d, struct str *error)
{
	for (const char *p = d->set->authldaprc_LDAP_URI; *p != '\0';) {
		size_t len = strcspn(p, " ");

		if (len != 0 && !directory_add(&d->servers, p, len)) {
			str_addf(error, "more than %d servers in LDAP_URI", DIRECTORY_SERVERS_MAX);
			return false;
		}
		p += len + (p[len] == ' ');
	}
	if (d->servers.count == 0)
		str_adds(error, "set LDAP_URI");
	return d->servers.count != 0;
}

static void fini(void *ctx)
{
	struct ldap_dir *d = ctx;

	close_connection(&d->reader);
	close_connection(&d->binder);
	directory_fini(&d->servers);
	for (char **a = d->attrs; *a != NULL; a++)
		mem_free(a);
	mem_free(&d);
}

static bool init(const struct settings *set, void **ctx, struct str *error)
{
	struct ldap_dir *d = mem_alloc(sizeof(*d));

	d->set = set;
	directory_init(&d->servers, "authldap");
	if (!find_servers(d, error) || !read_fields(d, error)) {
		fini(d);
		return false;
	}
	*ctx = d;
	return true;
}

static const struct auth_driver drv_ldap = {
	.name = "authldap",
	.init = init,
	.fini = fini,
	.lookup = lookup,
	.verify = verify,
	.enumerate = enumerate,
};
AUTH_MODULE(drv_ldap);
