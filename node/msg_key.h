/* Between a login worker and its key process: certificates one way, digests to be signed the other. Each message with
 * its writer and its reader. Keys have numbers, which are never used again: a handshake that began with a certificate
 * ends with its key, or fails. */
#ifndef NODE_MSG_KEY_H
#define NODE_MSG_KEY_H

#include "lib/msg.h"
#include "lib/tls_scheme.h"

enum {
	KEY_CHAIN_CERTS = 10,        /* certificates in a chain */
	KEY_CHAIN_BYTES = 48 * 1024, /* in all of them */
	KEY_OCSP_MAX = 12 * 1024,    /* in an OCSP response */
	KEY_FILE_MAX = 4096,         /* name of a file, with its NUL */
	KEY_USE_MAX = 320            /* what a key is for, with its NUL */
};

/* KEY_CHAIN, key process -> worker: that key is there. Its certificate, and those that lead to whom clients trust. */
struct key_chain {
	uint32_t key;
	char use[KEY_USE_MAX]; /* as the master has said it */
	unsigned n;
	struct {
		const void *der; /* points into the message, or is the writer's */
		size_t len;
	} cert[KEY_CHAIN_CERTS]; /* cert[0] is the key's own */
	const void *ocsp;        /* OCSP response in DER, as cert */
	size_t ocsp_len;         /* 0: there is none */
	int64_t ocsp_until;      /* unix seconds at which it ends */
};
/* M must keep the limits above. */
void key_chain_write(struct msgw *w, const struct key_chain *m);
bool key_chain_read(struct msgr *r, struct key_chain *m);

/* KEY_BEGINS, key process -> worker: there is a new one. What it has is told next, up to KEY_COMPLETE; what only the
 * one before had is gone then, and so may be its last request. */
void key_begins_write(struct msgw *w);
bool key_begins_read(struct msgr *r);
/* KEY_COMPLETE, key process -> worker: it has told of all that there is. */
void key_complete_write(struct msgw *w);
bool key_complete_read(struct msgr *r);

/* KEY_GONE, key process -> worker: new clients get another one; it signs for a while longer. */
void key_gone_write(struct msgw *w, uint32_t key);
bool key_gone_read(struct msgr *r, uint32_t *key);

/* KEY_SIGN, worker -> key process. */
struct key_sign {
	uint32_t request, key;
	enum tls_scheme scheme;
	const void *digest; /* of exactly the length that the scheme has; points into the message, or is the writer's */
};
void key_sign_write(struct msgw *w, const struct key_sign *m);
bool key_sign_read(struct msgr *r, struct key_sign *m);

/* KEY_SIGNED, key process -> worker. */
struct key_signed {
	uint32_t request;
	const void *sig; /* points into the message, or is the writer's */
	size_t len;      /* TLS_SIGNATURE_MAX at most; 0: there is no such key, or it does not sign that */
};
void key_signed_write(struct msgw *w, const struct key_signed *m);
bool key_signed_read(struct msgr *r, struct key_signed *m);

/* CTL_KEY, master -> key process: comes with a descriptor of a PEM file. Two of them make a key if its private half
 * stands in a file of its own. */
struct control_key {
	uint32_t key;
	bool more;               /* the next message is about the same key */
	char use[KEY_USE_MAX];   /* which listener or peer, which name of a host: the workers know what it means. The
	                          * new key replaces those for the same use, if it is good */
	char file[KEY_FILE_MAX]; /* its name, for people */
	bool ocsp;               /* instead: the file is an OCSP response for the certificate */
};
void control_key_write(struct msgw *w, const struct control_key *m);
bool control_key_read(struct msgr *r, struct control_key *m);

/* CTL_KEY_NEWS, key process -> master: what has become of a key of CTL_KEY. */
enum { KEY_WHY_MAX = 512 }; /* with its NUL */
struct control_key_news {
	uint32_t key;
	bool refused;
	int64_t until;         /* not refused: unix seconds at which the first of its certificates ends */
	char why[KEY_WHY_MAX]; /* refused: the reason, for people; it can hold any byte. Else why its OCSP response is
	                        * not sent to clients, or "" */
	int64_t ocsp_until;    /* when that response ends; 0: none is sent */
	/* Not refused, since there was none that is better: why clients refuse it, or "", and until when. */
	char fault[KEY_WHY_MAX];
	int64_t fault_until;
};
void control_key_news_write(struct msgw *w, const struct control_key_news *m);
bool control_key_news_read(struct msgr *r, struct control_key_news *m);

/* CTL_KEYS, master -> key process: how much of what there is has been passed. */
enum control_keys {
	CONTROL_KEYS_ALL,    /* all of it */
	CONTROL_KEYS_MORE,   /* more comes */
	CONTROL_KEYS_AFRESH, /* all of it comes, what was passed before, too: also what was lost then */
	CONTROL_KEYS_COUNT
};
void control_keys_write(struct msgw *w, enum control_keys how);
bool control_keys_read(struct msgr *r, enum control_keys *how);

/* CTL_KEY_GONE, master -> key process: nothing more is shown for USE, neither KEY, the last that was passed for it, nor
 * one before it, which may be in use since KEY was refused. KEY_GONE follows from it. */
struct control_key_gone {
	uint32_t key;
	char use[KEY_USE_MAX];
};
void control_key_gone_write(struct msgw *w, const struct control_key_gone *m);
bool control_key_gone_read(struct msgr *r, struct control_key_gone *m);

#endif
