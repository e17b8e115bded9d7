/* Looks for accounts that cannot log in by a mechanism that is offered. */
#include "authd/lacking.h"

#include <string.h>

#include "authd/challenge_response.h"
#include "authlib/password.h"
#include "settings/options.h"

struct lacking {
	const struct userdb *db;
	enum protocol protocol;
	unsigned offered; /* a bit for each mechanism */
	struct {
		uint64_t n;
		char first[ACCOUNT_NAME_MAX];
	} found[AUTH_MECH_COUNT];
};

_Static_assert(LACKING_TEXT_MAX >= PROTOCOL_COUNT * 6 * (ACCOUNT_NAME_MAX + 400), "a line for each of the six");

static bool look(void *arg, const struct account *listed, const char *why)
{
	struct lacking *l = arg;
	struct account a;

	account_init(&a);
	if (why == NULL && !options_is_on(listed->options, protocols[l->protocol].option_off) &&
	    userdb_lookup(l->db, protocols[l->protocol].name, listed->name, &a) == AUTH_OK &&
	    !password_is_locked(a.hash) && (a.hash[0] != '\0' || a.hmac[0] != '\0'))
		for (int m = 0; m < AUTH_MECH_COUNT; m++)
			if ((l->offered & 1u << m) != 0 && !challenge_response_can((enum auth_mech)m, &a) &&
			    l->found[m].n++ == 0)
				str_copy(l->found[m].first, sizeof(l->found[m].first), a.name);
	account_fini(&a);
	return true;
}

static void tell(struct str *out, const struct lacking *l, enum auth_mech m)
{
	unsigned long long n = l->found[m].n;

	if (n != 0)
		str_addf(out,
		    "%llu account%s (first: %s) cannot log in by %s, which %s offers its clients, and most try nothing "
		    "else: %s %s, or leave %s out of the settings of %s\n",
		    n, n == 1 ? "" : "s", l->found[m].first, auth_mech_name(m), protocols[l->protocol].title,
		    n == 1 ? "it needs" : "they need", challenge_response_remedy(m), auth_mech_name(m),
		    protocols[l->protocol].group);
}

void lacking_report(struct str *out, const struct settings *set, const struct userdb *db)
{
	struct str why = STR_INIT;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		struct lacking l = { .db = db, .protocol = p };

		for (int m = 0; m < AUTH_MECH_COUNT; m++)
			if (challenge_response_remedy((enum auth_mech)m) != NULL &&
			    settings_offers(set, p, auth_mech_name((enum auth_mech)m)))
				l.offered |= 1u << m;
		if (l.offered != 0)
			userdb_each(db, look, &l, &why);
		for (int m = 0; m < AUTH_MECH_COUNT; m++)
			tell(out, &l, (enum auth_mech)m);
	}
	str_fini(&why);
}
