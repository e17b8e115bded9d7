/* The messages of the key process: each with its writer and its reader. */
#include "node/msg_key.h"

#include "node/msg_channel.h"

void key_chain_write(struct msgw *w, const struct key_chain *m)
{
	msgw_begin(w, KEY_CHAIN);
	msgw_u32(w, m->key);
	msgw_str(w, m->use);
	msgw_u8(w, (uint8_t)m->n);
	for (unsigned i = 0; i < m->n; i++)
		msgw_bytes(w, m->cert[i].der, m->cert[i].len);
	msgw_bytes(w, m->ocsp, m->ocsp_len);
	msgw_u64(w, (uint64_t)m->ocsp_until);
}

bool key_chain_read(struct msgr *r, struct key_chain *m)
{
	size_t left = KEY_CHAIN_BYTES;

	m->key = msgr_u32(r);
	msgr_str(r, m->use, sizeof(m->use));
	m->n = msgr_below(r, KEY_CHAIN_CERTS + 1);
	for (unsigned i = 0; i < m->n; i++) {
		m->cert[i].der = msgr_bytes(r, left, &m->cert[i].len);
		left -= m->cert[i].len;
	}
	m->ocsp = msgr_bytes(r, KEY_OCSP_MAX, &m->ocsp_len);
	m->ocsp_until = (int64_t)msgr_u64(r);
	return msgr_end(r) && m->n != 0;
}

void key_begins_write(struct msgw *w)
{
	msgw_begin(w, KEY_BEGINS);
}

bool key_begins_read(struct msgr *r)
{
	return msgr_end(r);
}

void key_complete_write(struct msgw *w)
{
	msgw_begin(w, KEY_COMPLETE);
}

bool key_complete_read(struct msgr *r)
{
	return msgr_end(r);
}

void key_gone_write(struct msgw *w, uint32_t key)
{
	msgw_begin(w, KEY_GONE);
	msgw_u32(w, key);
}

bool key_gone_read(struct msgr *r, uint32_t *key)
{
	*key = msgr_u32(r);
	return msgr_end(r);
}

void key_sign_write(struct msgw *w, const struct key_sign *m)
{
	msgw_begin(w, KEY_SIGN);
	msgw_u32(w, m->request);
	msgw_u32(w, m->key);
	msgw_u8(w, (uint8_t)m->scheme);
	msgw_bytes(w, m->digest, tls_scheme_digest_len(m->scheme));
}

bool key_sign_read(struct msgr *r, struct key_sign *m)
{
	size_t len;

	m->request = msgr_u32(r);
	m->key = msgr_u32(r);
	m->scheme = (enum tls_scheme)msgr_below(r, TLS_SCHEME_COUNT);
	m->digest = msgr_bytes(r, TLS_DIGEST_MAX, &len);
	return msgr_end(r) && len == tls_scheme_digest_len(m->scheme);
}

void key_signed_write(struct msgw *w, const struct key_signed *m)
{
	msgw_begin(w, KEY_SIGNED);
	msgw_u32(w, m->request);
	msgw_bytes(w, m->sig, m->len);
}

bool key_signed_read(struct msgr *r, struct key_signed *m)
{
	m->request = msgr_u32(r);
	m->sig = msgr_bytes(r, TLS_SIGNATURE_MAX, &m->len);
	return msgr_end(r);
}

void control_key_write(struct msgw *w, const struct control_key *m)
{
	msgw_begin(w, CTL_KEY);
	msgw_u32(w, m->key);
	msgw_u8(w, m->more);
	msgw_str(w, m->use);
	msgw_str(w, m->file);
	msgw_u8(w, m->ocsp);
}

bool control_key_read(struct msgr *r, struct control_key *m)
{
	m->key = msgr_u32(r);
	m->more = msgr_bool(r);
	msgr_str(r, m->use, sizeof(m->use));
	msgr_str(r, m->file, sizeof(m->file));
	m->ocsp = msgr_bool(r);
	return msgr_end(r);
}

void control_key_news_write(struct msgw *w, const struct control_key_news *m)
{
	msgw_begin(w, CTL_KEY_NEWS);
	msgw_u32(w, m->key);
	msgw_u8(w, m->refused);
	msgw_u64(w, (uint64_t)m->until);
	msgw_str(w, m->why);
	msgw_u64(w, (uint64_t)m->ocsp_until);
	msgw_str(w, m->fault);
	msgw_u64(w, (uint64_t)m->fault_until);
}

bool control_key_news_read(struct msgr *r, struct control_key_news *m)
{
	m->key = msgr_u32(r);
	m->refused = msgr_bool(r);
	m->until = (int64_t)msgr_u64(r);
	msgr_str(r, m->why, sizeof(m->why));
	m->ocsp_until = (int64_t)msgr_u64(r);
	msgr_str(r, m->fault, sizeof(m->fault));
	m->fault_until = (int64_t)msgr_u64(r);
	return msgr_end(r);
}

void control_keys_write(struct msgw *w, enum control_keys how)
{
	msgw_begin(w, CTL_KEYS);
	msgw_u8(w, (uint8_t)how);
}

bool control_keys_read(struct msgr *r, enum control_keys *how)
{
	uint8_t n = msgr_u8(r);

	*how = (enum control_keys)n;
	return msgr_end(r) && n < CONTROL_KEYS_COUNT;
}

void control_key_gone_write(struct msgw *w, const struct control_key_gone *m)
{
	msgw_begin(w, CTL_KEY_GONE);
	msgw_u32(w, m->key);
	msgw_str(w, m->use);
}

bool control_key_gone_read(struct msgr *r, struct control_key_gone *m)
{
	m->key = msgr_u32(r);
	msgr_str(r, m->use, sizeof(m->use));
	return msgr_end(r);
}
