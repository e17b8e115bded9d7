/* A login worker's end of the channel to its key process. A signature is waited for, as it would be if the key were
 * here: the key process works for this worker alone. If it dies, the channel stays, and its successor answers. The
 * wait is bounded, and a key process that does not answer is waited for once. What else comes meanwhile is told in the
 * loop's next turn. */
#ifndef LOGIN_KEY_CLIENT_H
#define LOGIN_KEY_CLIENT_H

#include <ev.h>

#include "node/msg_key.h"

struct key_client;

/* What the key process tells of keys; never called from within key_client_sign(). */
struct key_client_fns {
	void (*chain)(const struct key_chain *chain, void *arg); /* points into the message */
	void (*gone)(uint32_t key, void *arg);
	void (*begins)(void *arg);   /* KEY_BEGINS */
	void (*complete)(void *arg); /* KEY_COMPLETE */
};

/* Takes over SOCK. FNS is kept. */
struct key_client *key_client_new(struct ev_loop *loop, int sock, const struct key_client_fns *fns, void *arg);
/* Closes the channel; *K may be NULL. */
void key_client_free(struct key_client **k);

/* Has the digest at DIGEST, as long as SCHEME demands, signed with KEY. The number of bytes in SIG; 0: there is no such
 * key, no answer within KEY_CLIENT_TIMEOUT ms, or still none to the request before. */
size_t key_client_sign(struct key_client *k, uint32_t key, enum tls_scheme scheme, const void *digest,
    uint8_t sig[TLS_SIGNATURE_MAX]);
enum { KEY_CLIENT_TIMEOUT = 2000 };

#endif
