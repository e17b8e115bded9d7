/* The list of CAPA. */
#include "pop3d/pop3_capa.h"

#include <string.h>
#include <strings.h>

#include "settings/capability.h"

/* Adds the mechanisms of LIST but APOP, which is not a SASL mechanism: the greeting announces it. */
static void add_sasl(struct str *out, const char *list)
{
	bool any = false;

	for (const char *p = list; *p != '\0'; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");

		if (len != 0 && !(len == 4 && strncasecmp(p, "APOP", 4) == 0)) {
			str_adds(out, any ? " " : "SASL ");
			str_add(out, p, len);
			any = true;
		}
		p += len;
	}
	if (any)
		str_adds(out, "\r\n");
}

void pop3_capa(struct str *out, const char *names, const char *mechanisms)
{
	const char *line;

	if (mechanisms != NULL) {
		add_sasl(out, mechanisms);
		str_adds(out, "USER\r\n");
	}
	for (size_t len; *names != '\0'; names += len + (names[len] != '\0')) {
		len = strcspn(names, " ");
		if ((line = capability_pop3_line(names, len)) != NULL)
			str_addf(out, "%s\r\n", line);
	}
	str_adds(out, "IMPLEMENTATION Waypost\r\n");
}
