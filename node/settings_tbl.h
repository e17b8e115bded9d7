/* Every setting, one row each: group, name, type, default, least, most, unit, roles, text.
 * From here come the parser, `waypost check`, etc/waypost.conf and waypost.conf(5). */
#ifndef NODE_SETTINGS_TBL_H
#define NODE_SETTINGS_TBL_H

#define SETTINGS_TABLE(S) \
	S(node, RUNDIR, STR, "/run/waypost", 0, 0, "", M | SP, "runtime files") \
	S(imapd, PORT, STR, "143", 0, 0, "", M | W | A, "port")

#endif
