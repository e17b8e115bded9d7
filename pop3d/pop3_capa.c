#include "pop3d/pop3_capa.h"

void pop3_capa(struct str *out, const struct settings *set, bool before_login)
{
	if (before_login) {
		if (set->pop3d_POP3AUTH[0] != '\0')
			str_addf(out, "SASL %s\r\n", set->pop3d_POP3AUTH);
		str_adds(out, "USER\r\n");
	}
	str_adds(out, "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8 USER\r\nEXPIRE NEVER\r\n"
	    "LOGIN-DELAY 0\r\nIMPLEMENTATION Waypost\r\n");
}
