/* Hashes from a directory. Slow ones are computed only if they cost little; those of crypt(3), which is not our code,
 * never. */
#include <stdlib.h>
#include <string.h>

#include "authlib/password.h"
#include "lib/die.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* HASH is sound: a few Argon2 blocks, or a few rounds of PBKDF2. */
static bool is_cheap(const char *hash)
{
	const char *memory = strstr(hash, "$m="), *passes = strstr(hash, ",t="), *rounds = strchr(hash, '}');
	char scheme[16];

	password_scheme(hash, scheme);
	if (strncmp(scheme, "{ARGON2", 7) == 0)
		return memory != NULL && passes != NULL && strtoul(memory + 3, NULL, 10) <= 512 &&
		    strtoul(passes + 3, NULL, 10) <= 4;
	if (strncmp(scheme, "{SCRAM", 6) == 0 || strncmp(scheme, "{PBKDF2", 7) == 0)
		return rounds != NULL && rounds[1] != '$' && rounds[1] >= '0' && rounds[1] <= '9' &&
		    strtoul(rounds + 1, NULL, 10) <= 100;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char hash[2 * ACCOUNT_HASH_MAX], dummy[ACCOUNT_HASH_MAX], clear[ACCOUNT_PASSWORD_MAX], scheme[16];
	const char *why = NULL;
	bool sound;

	if (size >= sizeof(hash))
		return 0;
	if (size != 0)
		memcpy(hash, data, size);
	hash[size] = '\0';
	sound = password_is_sound(hash, &why);
	DIE_IF(why == NULL || sound != (why[0] == '\0'));
	DIE_IF(password_class(hash) > strlen(hash));
	DIE_IF(strlen(password_scheme(hash, scheme)) >= sizeof(scheme));
	if (!password_is_slow(hash) || !sound || is_cheap(hash)) {
		enum auth_result r = password_check(hash, "secret");

		DIE_IF((r == AUTH_BROKEN) != !sound);
	}
	if (password_clear(hash, clear))
		DIE_IF(!sound || password_check(hash, clear) != AUTH_OK);
	password_dummy(dummy, hash);
	DIE_IF(!password_is_sound(dummy, &why));
	DIE_IF(!password_is_slow(dummy) && password_check(dummy, "secret") != AUTH_MISMATCH);
	return 0;
}
