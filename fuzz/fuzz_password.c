/* Hashes as a directory may hold them. crypt(3) itself is left out: it is slow by intent, and not ours. */
#include <string.h>

#include "authlib/password.h"
#include "lib/die.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char hash[2 * ACCOUNT_HASH_MAX], dummy[ACCOUNT_HASH_MAX], scheme[16];
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
	if (!password_is_slow(hash) || !sound) {
		enum auth_result r = password_check(hash, "secret");

		DIE_IF((r == AUTH_BROKEN) != !sound);
	}
	password_dummy(dummy, hash);
	DIE_IF(!password_is_sound(dummy, &why));
	return 0;
}
