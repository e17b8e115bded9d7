/* The credentials of a login, from its dialect. */
#include "login/credentials.h"

#include "lib/mem.h"
#include "lib/text.h"
#include "login/login.h"

void credentials_forget(struct login *l)
{
	mem_free(&l->user);
	mem_free_secret(&l->password);
}

static bool text_ok(const char *p, size_t len, size_t limit)
{
	return len != 0 && len < limit && text_plain(p, len) == len;
}

/* Makes a name that nobody can have fit for messages and the log. */
static char *clean_name(const char *user, size_t len)
{
	char *name;

	len = MIN(len, ACCOUNT_NAME_MAX - 1);
	name = mem_memdup(user, len);
	for (size_t i = 0; i < len; i++)
		if (text_is_control(name[i]))
			name[i] = '?';
	return name;
}

static void set(struct login *l, const char *user, size_t user_len, const char *password, size_t password_len)
{
	bool fit = text_ok(user, user_len, ACCOUNT_NAME_MAX) && text_ok(password, password_len, ACCOUNT_PASSWORD_MAX);

	credentials_forget(l);
	l->user = clean_name(user, user_len);
	l->password = mem_memdup(password, fit ? password_len : 0);
}

void credentials_set(struct login *l, const char *user, size_t user_len, const char *password, size_t password_len,
    const char *method)
{
	l->mech = AUTH_MECH_PASSWORD;
	l->method = method;
	set(l, user, user_len, password, password_len);
}

void credentials_set_proof(struct login *l, enum auth_mech mech, const char *user, size_t user_len, const char *proof,
    size_t proof_len)
{
	l->mech = mech;
	l->method = auth_mech_name(mech);
	set(l, user, user_len, proof, proof_len);
}

bool credentials_set_step(struct login *l, const char *text, size_t len)
{
	mem_free_secret(&l->password);
	if (l->user == NULL || (len != 0 && !text_ok(text, len, AUTH_TEXT_MAX)))
		return false;
	l->password = mem_memdup(text, len);
	return true;
}
