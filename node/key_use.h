/* What a certificate is shown for: the member use of key messages (node/msg_key.h), which the master writes, the key
 * process compares, and the workers read. As text: the -ssl group of the protocol, then, if it is not for all clients,
 * what decides, and last, if there are several files for that, which of them it is. "proxy" is what peers are shown. */
#ifndef NODE_KEY_USE_H
#define NODE_KEY_USE_H

#include "lib/tls_choice.h"
#include "node/msg_key.h"
#include "settings/protocol.h"

enum key_use_for {
	KEY_FOR_ALL,     /* who asks for nothing else */
	KEY_FOR_ADDRESS, /* who connects to the address NAME (net_addr_text()) */
	KEY_FOR_NAME,    /* who asks for the host NAME, of which the first label may be "*" */
	KEY_FOR_ITS_OWN, /* who asks for one of the names that are in the certificate */
	KEY_FOR_PEERS    /* peers, to whom this node is a client; of no protocol */
};

struct key_use {
	enum protocol protocol;
	enum key_use_for what;
	char name[TLS_NAME_MAX]; /* "" for the others; no blanks */
};

/* FILE: any text that tells files for the same apart; "" for one of them. False: it is too long. */
bool key_use_write(char text[KEY_USE_MAX], const struct key_use *use, const char *file);
/* False: it is neither for a protocol of ours nor for peers. */
bool key_use_read(const char *text, struct key_use *use);

#endif
