/* Every setting, one row each: group, name, type, default, least, most, unit, roles, text.
 * From here come the parser, `waypost check`, etc/waypost.conf and waypost.conf(5). */
#ifndef NODE_SETTINGS_TBL_H
#define NODE_SETTINGS_TBL_H

#define SETTINGS_TABLE(S) \
	S(node, RUNDIR, STR, "/run/waypost", 0, 0, "", M | W | SP, "runtime files") \
	S(node, LOGIN_USER, STR, "waypost", 0, 0, "", M | W, "user of the login workers") \
	S(node, AUTH_USER, STR, "waypostauth", 0, 0, "", M | A, "user of authd") \
	S(imapd, PORT, STR, "143", 0, 0, "", M | W | A, "port")

#endif
