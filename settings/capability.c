/* The list of capabilities. */
#include "settings/capability.h"

#include "lib/base.h"
#include "lib/text.h"

/* In the order of their RFCs. */
static const char *const ours[] = { "IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE", "UIDPLUS", "CHILDREN",
	"NAMESPACE", "IDLE", "UNSELECT", "MOVE" };

bool capability_is_ours(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (text_is_word(word, len, ours[i]))
			return true;
	return false;
}
