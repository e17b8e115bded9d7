/* The option `replicated` of an account: may a node that is not the first of its mailhost list serve its Maildir? Two
 * nodes with a Maildir each of one account, which both take logins, make two histories of it. */
#ifndef SETTINGS_REPLICATED_H
#define SETTINGS_REPLICATED_H

enum replicated {
	REPLICATED_NO,     /* there is no such option: only the first one serves it */
	REPLICATED_SHARED, /* all mount one file system, and all may write */
	REPLICATED_SINGLE, /* the marker file in the Maildir names the one node that may (session_may_serve()) */
	REPLICATED_MISTAKE /* it is none of the words "shared" and "single" */
};

/* That of an account with OPTIONS. */
enum replicated replicated_of(const char *options);

#endif
