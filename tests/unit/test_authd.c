/* Parts of authd without its loop: messages, the register, peers, jobs. */
#include "tests/unit/unit.h"

#include <ctype.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authd/troubles.h"
#include "authd/peers.h"
#include "authd/register.h"
#include "authd/same_nodes.h"
#include "lib/hex.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "node/msg_auth.h"

/* The service of PROTOCOL at ADDR, in clear. Valid until the next call. */
static const struct peer_service *service(enum protocol protocol, const struct net_addr *addr)
{
	static struct peer_service s;

	s = (struct peer_service){ protocol, PEER_TLS_NONE, *addr };
	return &s;
}

static struct msgw w;

static void make_request(struct auth_request *q)
{
	memset(q, 0, sizeof(*q));
	q->request = 77;
	q->protocol = PROTOCOL_POP3;
	q->mech = AUTH_MECH_CRAM_SHA256;
	strcpy(q->user, "u@example.com");
	strcpy(q->credential, "secret");
	net_addr_parse(&q->client, "192.0.2.7", 4711);
	q->local_port = 110;
	q->forwarded.present = true;
	strcpy(q->forwarded.session_id, "abc");
	net_addr_parse(&q->forwarded.client, "2001:db8::1", 5);
	q->forwarded.tls = true;
	q->forwarded.ttl = 3;
	q->forwarded.signature = FORWARDED_SIGNATURE_MADE;
	q->forwarded.time = 1000000;
	q->ntried = 2;
	net_addr_parse(&q->tried[0].addr, "192.0.2.8", 143);
	net_addr_parse(&q->tried[1].addr, "2001:db8::8", 143);
	q->tried[1].tls = PEER_TLS_IMPLICIT;
}

static void test_request(void)
{
	static struct auth_request q, back;
	struct msgr r;

	make_request(&q);
	auth_request_write(&w, &q);
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT(auth_request_read(&r, &back));
	CU_ASSERT_EQUAL(memcmp(&q, &back, sizeof(q)), 0);
	for (size_t cut = 0; cut < w.len; cut++) {
		msgr_begin(&r, w.buf, cut);
		CU_ASSERT(!auth_request_read(&r, &back));
		CU_ASSERT_STRING_EQUAL(back.credential, "");
	}
}

/* A request of a compromised worker: no text in it may end a line sent to a directory, a log or a peer, or in what is
 * signed. */
static void test_request_controls(void)
{
	static struct auth_request q, back;
	char *const member[] = { q.user, q.credential, q.forwarded.session_id };
	struct msgr r;

	for (unsigned c = 1; c < 256; c++)
		for (size_t i = 0; i < ARRAY_LEN(member); i++) {
			bool control = c < 0x20 || c == 0x7f;
			bool id = isalnum((int)c) || (c < 0x80 && strchr("+/=._:-", (int)c) != NULL);

			make_request(&q);
			member[i][1] = (char)c;
			auth_request_write(&w, &q);
			msgr_begin(&r, w.buf, w.len);
			CU_ASSERT_EQUAL(auth_request_read(&r, &back), i == 2 ? id : !control);
			if (control)
				CU_ASSERT_STRING_EQUAL(back.user, "");
		}
	auth_text_write(&w, AUTH_RESPONSE, 9, "c=biws\r\nX");
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT(!auth_text_read(&r, &(uint32_t){ 0 }, (char[AUTH_TEXT_MAX]){ 0 }));
}

static void test_challenge(void)
{
	static char text[AUTH_TEXT_MAX];
	enum auth_mech mech;
	uint32_t request;
	struct msgr r;

	for (int m = 0; m <= AUTH_MECH_COUNT; m++) {
		auth_challenge_wanted_write(&w, 9, (enum auth_mech)m);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(auth_challenge_wanted_read(&r, &request, &mech),
		    m >= AUTH_MECH_APOP && m <= AUTH_MECH_CRAM_SHA256);
	}
	auth_challenge_wanted_write(&w, 9, AUTH_MECH_CRAM_SHA1);
	for (size_t cut = 0; cut <= w.len; cut++) {
		msgr_begin(&r, w.buf, cut);
		CU_ASSERT_EQUAL(auth_challenge_wanted_read(&r, &request, &mech), cut == w.len);
	}
	CU_ASSERT(request == 9 && mech == AUTH_MECH_CRAM_SHA1);
	auth_text_write(&w, AUTH_CHALLENGE, 10, "<1.2@n>");
	for (size_t cut = 0; cut <= w.len; cut++) {
		msgr_begin(&r, w.buf, cut);
		CU_ASSERT_EQUAL(auth_text_read(&r, &request, text), cut == w.len);
	}
	CU_ASSERT_EQUAL(request, 10);
	CU_ASSERT_STRING_EQUAL(text, "<1.2@n>");
}

/* Reads the message in W cut at every byte, and frees the reply: its memory, which the next reply gets, must hold no
 * secret. */
static void check_wiped(void)
{
	uint8_t ticket[TICKET_LEN], token[FORWARDED_MAC_LEN];
	struct auth_reply *a;
	struct msgr r;

	memset(ticket, 7, sizeof(ticket));
	memset(token, 9, sizeof(token));
	for (size_t cut = 0; cut <= w.len; cut++) {
		a = auth_reply_new();
		msgr_begin(&r, w.buf, cut);
		auth_reply_read(&r, a);
		auth_reply_free(&a);
		CU_ASSERT_PTR_NULL(a);
		a = auth_reply_new();
		CU_ASSERT_PTR_NULL(memmem(a, sizeof(*a), "secret", 6));
		CU_ASSERT_PTR_NULL(memmem(a, sizeof(*a), ticket, sizeof(ticket)));
		CU_ASSERT_PTR_NULL(memmem(a, sizeof(*a), token, sizeof(token)));
		mem_free(&a);
	}
}

/* As the worker reads it: text from a directory's account, or a session id, cannot become a command to a peer. */
static void test_reply_controls(void)
{
	static struct auth_reply a, back;
	char *const member[] = { a.name, a.peer_password, a.master_user, a.session_id, a.target[0].host, a.reason };
	struct msgr r;

	for (size_t i = 0; i <= ARRAY_LEN(member); i++) {
		memset(&a, 0, sizeof(a));
		strcpy(a.session_id, "0123456789abcdef");
		strcpy(a.name, "u");
		net_addr_parse(&a.client, "192.0.2.7", 1);
		a.ntargets = 1;
		net_addr_parse(&a.target[0].addr, "127.0.0.2", 143);
		a.peer_credentials = AUTH_PEER_TOKEN_OR_MASTER;
		if (i < ARRAY_LEN(member))
			strcpy(member[i], "x\r\nX LOGOUT");
		auth_reply_write(&w, &a);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(auth_reply_read(&r, &back), i == ARRAY_LEN(member));
	}
}

static void test_reply(void)
{
	static struct auth_reply a, back;
	struct msgr r;

	memset(&a, 0, sizeof(a));
	a.request = 5;
	a.verdict = AUTH_VERDICT_OK;
	a.session = 99;
	strcpy(a.session_id, "0123456789abcdef");
	strcpy(a.name, "u");
	net_addr_parse(&a.client, "192.0.2.7", 1);
	a.ntargets = 2;
	a.report_signature = true;
	a.signature = SIGNATURE_UNKNOWN;
	a.other_hosts = AUTH_OTHER_HOSTS_UNRESOLVED;
	a.peer_ms = 4711;
	a.local_server = true;
	for (int i = 0; i < 2; i++) {
		net_addr_parse(&a.target[i].addr, i == 0 ? "127.0.0.2" : "::2", 143);
		strcpy(a.target[i].host, i == 0 ? "b" : "c");
		memset(a.target[i].mac, i + 1, FORWARDED_MAC_LEN);
		memset(a.target[i].tls_mac, i + 3, FORWARDED_MAC_LEN);
	}
	a.client_tls = true;
	strcpy(a.client_tls_words, "TLSv1.3:X");
	a.ttl = 4;
	a.time = 12;
	a.target[0].list = AUTH_LIST_ASK;
	a.target[1].list = UINT32_MAX;
	for (int local = 0; local < 4; local++) {
		a.peer_credentials = (enum auth_peer_credentials)(local % 3);
		if (a.peer_credentials == AUTH_PEER_TOKEN_OR_MASTER)
			memset(a.target[1].token_key, 9, FORWARDED_MAC_LEN);
		memset(a.master_user, 0, sizeof(a.master_user));
		memset(a.peer_password, 0, sizeof(a.peer_password));
		strcpy(a.master_user, a.peer_credentials == AUTH_PEER_TOKEN_OR_MASTER ? "master" : "");
		strcpy(a.peer_password, a.peer_credentials == AUTH_PEER_CLIENT_PASSWORD ? "" : "secret");
		if (local == 3) {
			memset(a.target, 0, sizeof(a.target)); /* a.peer_credentials is CLIENT_PASSWORD again */
			a.local = true;
			a.ntargets = 0;
			a.target[0].list = 77;
			strcpy(a.target[0].host, LOCAL_SERVER_HOST);
			a.report_signature = false;
			a.other_hosts = AUTH_OTHER_HOSTS_NONE;
			a.ttl = 0;
			a.time = 0;
			memset(a.ticket, 7, sizeof(a.ticket));
		}
		auth_reply_write(&w, &a);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT(auth_reply_read(&r, &back));
		CU_ASSERT_EQUAL(memcmp(&a, &back, sizeof(a)), 0);
		for (size_t cut = 0; cut < w.len; cut++) {
			msgr_begin(&r, w.buf, cut);
			CU_ASSERT(!auth_reply_read(&r, &back));
		}
		check_wiped();
	}
	a.local = false; /* a remote route without an address */
	auth_reply_write(&w, &a);
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT(!auth_reply_read(&r, &back));
	a.local = true;
	a.signature = SIGNATURE_COUNT;
	auth_reply_write(&w, &a);
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT(!auth_reply_read(&r, &back));
}

static struct forwarded make_forwarded(void)
{
	struct forwarded h = {
		.session_id = "s1",
		.ttl = 3,
		.signature = FORWARDED_SIGNATURE_MADE,
		.time = 1000000,
	};

	net_addr_parse(&h.client, "192.0.2.7", 1234);
	return h;
}

static void test_hop(void)
{
	struct pool_keys *pool = pool_keys_new("secret"), *foreign = pool_keys_new("secret2");
	struct forwarded h = make_forwarded(), other;

	forwarded_sign(&h, pool, "NodeA.example.com.", "u");
#define IS(check, forwarded, pool, host, user, now) \
	CU_ASSERT_EQUAL(forwarded_verify(forwarded, pool, host, user, now), SIGNATURE_##check)
	IS(GOOD, &h, pool, "nodea.example.com", "u", 1000000);
	IS(GOOD, &h, pool, "nodea.example.com", "u", 1000000 + FORWARDED_AGE_MAX);
	IS(GOOD, &h, pool, "nodea.example.com", "u", 1000000 - FORWARDED_AGE_MAX);
	IS(CLOCK, &h, pool, "nodea.example.com", "u", 1000001 + FORWARDED_AGE_MAX);
	IS(CLOCK, &h, pool, "nodea.example.com", "u", 999999 - FORWARDED_AGE_MAX);
	IS(WRONG, &h, foreign, "nodea.example.com", "u", 1000000);
	IS(WRONG, &h, foreign, "nodea.example.com", "u",
	    1000001 + FORWARDED_AGE_MAX); /* without the secret nobody learns that a clock is wrong */
	IS(UNKNOWN, &h, NULL, "nodea.example.com", "u", 1000000);
	IS(WRONG, &h, pool, "nodeb.example.com", "u", 1000000);
	IS(WRONG, &h, pool, "nodea.example.com", "v", 1000000);
	other = h;
	other.signature = FORWARDED_SIGNATURE_NO_SECRET;
	IS(MISSING, &other, pool, "nodea.example.com", "u", 1000000);
	IS(NONE, &other, NULL, "nodea.example.com", "u", 1000000); /* neither has one */
	other.signature = FORWARDED_SIGNATURE_NONE;
	IS(NONE, &other, pool, "nodea.example.com", "u", 1000000); /* a server that is not a node of ours */
	IS(NONE, &other, NULL, "nodea.example.com", "u", 1000000);
#define CHANGED(change) \
	other = h; \
	change; \
	IS(WRONG, &other, pool, "nodea.example.com", "u", 1000000)
	CHANGED(other.ttl++);
	CHANGED(other.tls = true);
	CHANGED(other.client.port++);
	CHANGED(other.client.ip[3]++);
	CHANGED(other.session_id[0]++);
	CHANGED(other.mac[31] ^= 1);
	CHANGED(other.time++);
	CHANGED(other.time = 0);
	pool_keys_free(&pool);
	pool_keys_free(&foreign);
}

/* Words about the client's TLS have a signature of their own: a node that knows nothing of them verifies the other as
 * ever, and one that does takes them from nobody else. */
static void test_tls_words(void)
{
	struct pool_keys *pool = pool_keys_new("secret"), *foreign = pool_keys_new("secret2");
	struct forwarded plain = make_forwarded(), h, other;

	plain.tls = true;
	h = plain;
	strcpy(h.tls_words, "TLSv1.3:TLS_AES_128_GCM_SHA256");
	forwarded_sign(&plain, pool, "nodea", "u");
	forwarded_sign(&h, pool, "NodeA.", "u");
	CU_ASSERT_EQUAL(memcmp(h.mac, plain.mac, sizeof(h.mac)), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(h.mac, h.tls_mac, sizeof(h.mac)), 0);
	IS(GOOD, &h, pool, "nodea", "u", 1000000);
	CU_ASSERT(forwarded_verify_tls(&h, pool, "nodea", "u"));
	CU_ASSERT_FALSE(forwarded_verify_tls(&h, pool, "nodeb", "u"));
	CU_ASSERT_FALSE(forwarded_verify_tls(&h, pool, "nodea", "v"));
	CU_ASSERT_FALSE(forwarded_verify_tls(&h, foreign, "nodea", "u"));
	CU_ASSERT_FALSE(forwarded_verify_tls(&h, NULL, "nodea", "u"));
#define TLS_CHANGED(change) \
	other = h; \
	change; \
	CU_ASSERT_FALSE(forwarded_verify_tls(&other, pool, "nodea", "u"))
	TLS_CHANGED(other.tls_words[6]--);
	TLS_CHANGED(strcat(other.tls_words, ":resumed"));
	TLS_CHANGED(other.tls_words[0] = '\0');
	TLS_CHANGED(other.tls_mac[31] ^= 1);
	TLS_CHANGED(memcpy(other.tls_mac, other.mac, sizeof(other.mac)));
	TLS_CHANGED(other.time++); /* they belong to that very login */
	TLS_CHANGED(other.client.port++);
	TLS_CHANGED(other.session_id[0]++);
	IS(WRONG, &plain, pool, "nodeb", "u", 1000000);
	pool_keys_free(&pool);
	pool_keys_free(&foreign);
}

#define SAME_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SAME_B "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What a node is has a signature of its own, too. */
static void test_config_signature(void)
{
	struct pool_keys *pool = pool_keys_new("secret"), *foreign = pool_keys_new("secret2");
	struct forwarded plain = make_forwarded(), h = plain, other;

	strcpy(h.config, "1.0/0123456789abcdef0123456789abcdef");
	forwarded_sign(&plain, pool, "nodea", "u");
	forwarded_sign(&h, pool, "nodea", "u");
	CU_ASSERT_EQUAL(memcmp(h.mac, plain.mac, sizeof(h.mac)), 0);
	IS(GOOD, &h, pool, "nodea", "u", 1000000);
	CU_ASSERT(forwarded_verify_config(&h, pool, "nodea", "u"));
	CU_ASSERT_FALSE(forwarded_verify_config(&h, pool, "nodeb", "u"));
	CU_ASSERT_FALSE(forwarded_verify_config(&h, pool, "nodea", "v"));
	CU_ASSERT_FALSE(forwarded_verify_config(&h, foreign, "nodea", "u"));
	CU_ASSERT_FALSE(forwarded_verify_config(&h, NULL, "nodea", "u"));
#define CONFIG_CHANGED(change) \
	other = h; \
	change; \
	CU_ASSERT_FALSE(forwarded_verify_config(&other, pool, "nodea", "u"))
	CONFIG_CHANGED(other.config[0]++);
	CONFIG_CHANGED(other.config[0] = '\0');
	CONFIG_CHANGED(other.config_mac[31] ^= 1);
	CONFIG_CHANGED(memcpy(other.config_mac, other.mac, sizeof(other.mac)));
	CONFIG_CHANGED(other.time++);
	CONFIG_CHANGED(other.session_id[0]++);
	pool_keys_free(&pool);
	pool_keys_free(&foreign);
}

static void test_config_form(void)
{
	static const struct {
		const char *text;
		bool ok;
	} t[] = {
		{ PACKAGE_VERSION "/0123456789abcdef0123456789abcdef", true },
		{ "1.2~rc1+deb-3/0123456789abcdef0123456789abcdef", true },
		{ "", false },
		{ "1.0", false },
		{ "/0123456789abcdef0123456789abcdef", false },
		{ "1.0/0123456789abcdef0123456789abcde", false },
		{ "1.0/0123456789abcdef0123456789abcdef0", false },
		{ "1.0/0123456789ABCDEF0123456789abcdef", false },
		{ "1.0/x/0123456789abcdef0123456789abcdef", false },
		{ "1 0/0123456789abcdef0123456789abcdef", false },
		{ "1\"0/0123456789abcdef0123456789abcdef", false },
		{ "1.0000000000000000000000000000/0123456789abcdef0123456789abcdef", true },
		{ "1.00000000000000000000000000000/0123456789abcdef0123456789abcdef", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CU_ASSERT_EQUAL(node_config_ok(t[i].text), t[i].ok);
}

/* How many nodes have differed from S for long. */
static unsigned lasting(const struct same_nodes *s, double now)
{
	struct str out = STR_INIT;
	unsigned n;

	same_nodes_list(s, now, &out, &n);
	str_fini(&out);
	return n;
}

/* The nodes that differ from S, as they are listed. */
static bool lists(const struct same_nodes *s, double now, unsigned n, const char *want)
{
	struct str out = STR_INIT;
	unsigned unused;
	bool is = same_nodes_list(s, now, &out, &unused) == n && strcmp(str_cstr(&out), want) == 0;

	str_fini(&out);
	return is;
}

/* Two nodes compare what they have; the secret may be changed meanwhile. Without one there is nothing to compare. */
static void test_same_nodes(void)
{
	struct pool_keys *both = pool_keys_new("old\nnew"), *new = pool_keys_new("new\nold"),
	                 *other = pool_keys_new("x");
	struct same_nodes *mine = same_nodes_new(), *theirs = same_nodes_new();
	struct net_addr addr;
	char config[NODE_CONFIG_MAX];

	net_addr_parse(&addr, "192.0.2.1", 143);
	same_nodes_use(mine, NULL, SAME_A);
	CU_ASSERT_STRING_EQUAL(same_nodes_config(mine), "");
	CU_ASSERT_FALSE(same_nodes_tell(mine, &addr, 1));
	same_nodes_use(mine, both, "");
	CU_ASSERT_STRING_EQUAL(same_nodes_config(mine), "");
	same_nodes_use(mine, both, SAME_A);
	same_nodes_use(theirs, new, SAME_A);
	CU_ASSERT(node_config_ok(same_nodes_config(mine)) && node_config_ok(same_nodes_config(theirs)));
	CU_ASSERT_STRING_NOT_EQUAL(same_nodes_config(mine), same_nodes_config(theirs));
	CU_ASSERT_PTR_NULL(
	    strstr(same_nodes_config(mine), "0123456789abcdef")); /* it is no digest without the secret */
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 1);
	CU_ASSERT(lists(mine, 1, 0, ""));
	same_nodes_use(theirs, new, SAME_B);
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 2);
	CU_ASSERT(lists(mine, 3, 1, "192.0.2.1 (settings)"));
	CU_ASSERT(lists(mine, 2 + SAME_NODES_AGE, 0, ""));
	/* Its own change may end it. */
	same_nodes_use(mine, both, SAME_B);
	CU_ASSERT(lists(mine, 3, 0, ""));
	same_nodes_use(mine, both, SAME_A);
	CU_ASSERT(lists(mine, 3, 1, "192.0.2.1 (settings)"));
	/* With another secret nothing is known of what was told before. */
	same_nodes_use(mine, other, SAME_A);
	CU_ASSERT(lists(mine, 3, 0, ""));
	same_nodes_use(mine, both, SAME_B);
	snprintf(config, sizeof(config), "0.0.1%s", strchr(same_nodes_config(theirs), '/'));
	same_nodes_seen(mine, &addr, config, 4);
	CU_ASSERT(lists(mine, 4, 1, "192.0.2.1 (version 0.0.1)"));
	same_nodes_use(mine, both, SAME_A);
	CU_ASSERT(lists(mine, 4, 1, "192.0.2.1 (version 0.0.1, settings)"));
	/* Each peer is told once in a while, and after a change. More than the table holds only means more often. */
	CU_ASSERT(same_nodes_tell(mine, &addr, 1000));
	CU_ASSERT_FALSE(same_nodes_tell(mine, &addr, 999 + SAME_NODES_TELL));
	CU_ASSERT(same_nodes_tell(mine, &addr, 1000 + SAME_NODES_TELL));
	same_nodes_use(mine, both, SAME_B);
	CU_ASSERT(same_nodes_tell(mine, &addr, 1001 + SAME_NODES_TELL));
	for (int i = 0; i < 200; i++) {
		addr.ip[3] = (uint8_t)i;
		CU_ASSERT(same_nodes_tell(mine, &addr, 2000 + i));
		same_nodes_seen(mine, &addr, config, 2000 + i);
	}
	CU_ASSERT_FALSE(same_nodes_tell(mine, &addr, 2200));
	same_nodes_free(&mine);
	same_nodes_free(&theirs);
	pool_keys_free(&both);
	pool_keys_free(&new);
	pool_keys_free(&other);
}

/* While nodes are reloaded one after the other they differ: that is listed, but no trouble until it lasts. */
static void test_same_nodes_lasting(void)
{
	struct pool_keys *pool = pool_keys_new("secret");
	struct same_nodes *mine = same_nodes_new(), *theirs = same_nodes_new();
	struct net_addr addr;

	net_addr_parse(&addr, "192.0.2.1", 143);
	same_nodes_use(mine, pool, SAME_A);
	same_nodes_use(theirs, pool, SAME_B);
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 100);
	CU_ASSERT(lists(mine, 100, 1, "192.0.2.1 (settings)"));
	CU_ASSERT_EQUAL(lasting(mine, 99 + SAME_NODES_LONG), 0);
	CU_ASSERT_EQUAL(lasting(mine, 100 + SAME_NODES_LONG), 0); /* nor is it heard of any more */
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 99 + SAME_NODES_LONG);
	CU_ASSERT_EQUAL(lasting(mine, 99 + SAME_NODES_LONG), 0);
	CU_ASSERT_EQUAL(lasting(mine, 100 + SAME_NODES_LONG), 1);
	/* What is changed here, or there for the better, begins anew. */
	same_nodes_use(mine, pool, SAME_A);
	CU_ASSERT(lists(mine, 100 + SAME_NODES_LONG, 1, "192.0.2.1 (settings)"));
	CU_ASSERT_EQUAL(lasting(mine, 100 + SAME_NODES_LONG), 0);
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 1000);
	same_nodes_seen(mine, &addr, same_nodes_config(mine), 1100);
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 1200);
	same_nodes_seen(mine, &addr, same_nodes_config(theirs), 1199 + SAME_NODES_LONG);
	CU_ASSERT_EQUAL(lasting(mine, 1199 + SAME_NODES_LONG), 0);
	CU_ASSERT_EQUAL(lasting(mine, 1200 + SAME_NODES_LONG), 1);
	same_nodes_free(&mine);
	same_nodes_free(&theirs);
	pool_keys_free(&pool);
}

/* Nodes replace their secret one after the other: at each stage any two accept each other's signatures, as long as each
 * knows the secret that the other signs with. */
static void test_rotation(void)
{
	static const char *const steps[] = { "old", "old\nnew", "new\nold", "new" };

	for (size_t from = 0; from < ARRAY_LEN(steps); from++)
		for (size_t to = 0; to < ARRAY_LEN(steps); to++) {
			struct pool_keys *front = pool_keys_new(steps[from]), *owner = pool_keys_new(steps[to]);
			bool believed = !(from < 2 && to == 3) && !(from >= 2 && to == 0);
			struct forwarded h = make_forwarded();
			uint8_t key[FORWARDED_MAC_LEN];
			char text[TOKEN_TEXT_MAX];

			forwarded_sign(&h, front, "a", "u");
			forwarded_token_key(&h, front, "a", "u", key);
			CU_ASSERT_EQUAL(forwarded_verify(&h, owner, "a", "u", h.time),
			    believed ? SIGNATURE_GOOD : SIGNATURE_WRONG);
			CU_ASSERT_EQUAL(forwarded_token_verify(&h, owner, "a", "u", "id",
			                    forwarded_token(key, "id", text)),
			    believed);
			pool_keys_free(&front);
			pool_keys_free(&owner);
		}
	CU_ASSERT_PTR_NULL(pool_keys_new(""));
}

static void test_token(void)
{
	static const char id[] = "00112233445566778899aabbccddeeff";
	struct pool_keys *pool = pool_keys_new("secret"), *foreign = pool_keys_new("secret2");
	uint8_t key[FORWARDED_MAC_LEN];
	char text[TOKEN_TEXT_MAX], other_text[TOKEN_TEXT_MAX];
	struct forwarded h = make_forwarded(), other;

	forwarded_sign(&h, pool, "a", "u");
	forwarded_token_key(&h, pool, "A.", "u", key);
	CU_ASSERT_EQUAL(strlen(forwarded_token(key, id, text)), TOKEN_TEXT_MAX - 1);
	CU_ASSERT(forwarded_token_verify(&h, pool, "a", "u", id, text));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, foreign, "a", "u", id, text));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, NULL, "a", "u", id, text));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "b", "u", id, text));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "v", id, text));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", id, ""));
	/* Of the same name, but started again. */
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", "00112233445566778899aabbccddeefe", text));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", "", text));
	/* What everybody sees, the signature of the identity, is neither a token nor the key of one. */
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", id, forwarded_token(h.mac, id, other_text)));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", id, hex_text(other_text, h.mac, sizeof(h.mac))));
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", id, hex_text(other_text, key, sizeof(key))));
	other = h;
	other.time++;
	CU_ASSERT_FALSE(forwarded_token_verify(&other, pool, "a", "u", id, text));
	other = h;
	other.session_id[0]++;
	CU_ASSERT_FALSE(forwarded_token_verify(&other, pool, "a", "u", id, text));
	/* A token must have only one text, or it would be valid twice. */
	snprintf(other_text, sizeof(other_text), "%s", text);
	for (char *p = other_text; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	CU_ASSERT(strcmp(other_text, text) != 0);
	CU_ASSERT_FALSE(forwarded_token_verify(&h, pool, "a", "u", id, other_text));
	pool_keys_free(&pool);
	pool_keys_free(&foreign);
}

static void count(struct reg *r UNUSED, struct reg_session *s UNUSED, void *arg)
{
	++*(int *)arg;
}

static void drop_all(struct reg *r, struct reg_session *s, void *arg UNUSED)
{
	reg_remove(r, s);
}

static void test_register(void)
{
	struct reg *r = reg_new();
	struct net_addr a, b;
	int n = 0;

	net_addr_parse(&a, "192.0.2.1", 1);
	net_addr_parse(&b, "2001:db8::1", 1);
	for (uint64_t i = 1; i <= 1000; i++)
		CU_ASSERT_PTR_NOT_NULL(
		    reg_add(r, i, i % 4 == 0 ? PROTOCOL_POP3 : PROTOCOL_IMAP, i % 2 == 0 ? &a : &b, "u", 0));
	CU_ASSERT_PTR_NULL(reg_add(r, 7, PROTOCOL_IMAP, &a, "u", 0));
	CU_ASSERT_EQUAL(reg_count(r, PROTOCOL_IMAP), 750);
	CU_ASSERT_EQUAL(reg_count(r, PROTOCOL_POP3), 250);
	a.port = 99; /* the port does not matter */
	CU_ASSERT_EQUAL(reg_count_ip(r, PROTOCOL_IMAP, &a), 250);
	CU_ASSERT_EQUAL(reg_count_ip(r, PROTOCOL_IMAP, &b), 500);
	CU_ASSERT_EQUAL(reg_count_ip(r, PROTOCOL_POP3, &b), 0);
	reg_remove(r, reg_find(r, 2));
	CU_ASSERT_PTR_NULL(reg_find(r, 2));
	CU_ASSERT_EQUAL(reg_count_ip(r, PROTOCOL_IMAP, &a), 249);
	reg_each(r, count, &n);
	CU_ASSERT_EQUAL(n, 999);
	reg_each(r, drop_all, NULL);
	CU_ASSERT_EQUAL(reg_count(r, PROTOCOL_IMAP) + reg_count(r, PROTOCOL_POP3), 0);
	CU_ASSERT_EQUAL(reg_count_ip(r, PROTOCOL_IMAP, &b), 0);
	reg_free(&r);
	CU_ASSERT_PTR_NULL(r);
}

/* Pending logins are counted for each peer and for each account there, and not one stays counted that has arrived
 * or ended. */
static void test_pending(void)
{
	struct reg *r = reg_new();
	struct net_addr a;

	net_addr_parse(&a, "192.0.2.1", 1);
	for (uint64_t i = 1; i <= 8; i++) {
		struct reg_session *s =
		    reg_add(r, i, i == 8 ? PROTOCOL_POP3 : PROTOCOL_IMAP, &a, i % 2 == 0 ? "jo" : "Jo", 0);

		a.port = i == 7 ? 1143 : 143;
		reg_add_pending(r, s, i == 1 ? "NODE" : "node", service(PROTOCOL_IMAP, &a), 1, 1000);
		a.port = 1;
	}
	CU_ASSERT_EQUAL(reg_pending_all(r), 8);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, NULL), 6);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "Node", 143, "jo"), 3);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, "Jo"), 3);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, "JO"), 0);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 1143, NULL), 1);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_POP3, "node", 143, NULL), 1);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node2", 143, NULL), 0);
	reg_arrived(r, reg_find(r, 1));
	reg_arrived(r, reg_find(r, 1)); /* a second time changes nothing */
	reg_remove(r, reg_find(r, 1));
	reg_remove(r, reg_find(r, 2));
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, NULL), 4);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, "Jo"), 2);
	reg_each(r, drop_all, NULL);
	CU_ASSERT_EQUAL(reg_pending_all(r), 0);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, NULL), 0);
	reg_free(&r);
}

/* An account is blocked at a peer for a time, or until one of its logins arrives there; other accounts, peers and
 * protocols are not. */
static void test_shut(void)
{
	struct reg *r = reg_new();
	struct net_addr a;

	net_addr_parse(&a, "192.0.2.1", 143);
	reg_expire(r, 0);
	for (uint64_t i = 1; i <= 3; i++)
		reg_add_pending(r, reg_add(r, i, PROTOCOL_IMAP, &a, "jo", 0), "node", service(PROTOCOL_IMAP, &a), 1,
		    1000);
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 100));
	reg_block(r, PROTOCOL_IMAP, "node", 143, "jo", 200);
	reg_block(r, PROTOCOL_IMAP, "node", 143, "ann", 150); /* who has none pending */
	CU_ASSERT(reg_is_blocked(r, PROTOCOL_IMAP, "Node", 143, "jo", 199));
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 200));
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_POP3, "node", 143, "jo", 100));
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 144, "jo", 100));
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "joe", 100));
	reg_remove(r, reg_find(r, 1)); /* it failed: still blocked */
	CU_ASSERT(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 100));
	reg_arrived(r, reg_find(r, 2));
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 100));
	CU_ASSERT(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "ann", 149));
	reg_block(r, PROTOCOL_IMAP, "node", 143, "jo", 200);
	reg_remove(r, reg_find(r, 3));
	CU_ASSERT(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 100)); /* with nothing pending */
	reg_expire(r, 150);
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "ann", 149));
	CU_ASSERT(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 199));
	reg_expire(r, 200);
	CU_ASSERT_FALSE(reg_is_blocked(r, PROTOCOL_IMAP, "node", 143, "jo", 100));
	reg_block(r, PROTOCOL_IMAP, "node", 143, "jo", 300); /* freed with the register */
	reg_free(&r);
}

/* If a compromised worker never reports the end of a login, or the message is lost, that blocks nobody for ever. */
static void test_never_told(void)
{
	struct reg *r = reg_new();
	struct net_addr a;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&a, "192.0.2.1", 143));
	for (uint64_t i = 1; i <= 4; i++)
		reg_add_pending(r, reg_add(r, i, PROTOCOL_IMAP, &a, "jo", 0), "node", service(PROTOCOL_IMAP, &a), 1,
		    100 + (double)i);
	reg_arrived(r, reg_find(r, 2));
	reg_expire(r, 101);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, "jo"), 2);
	reg_expire(r, 103);
	CU_ASSERT_EQUAL(reg_pending_at(r, PROTOCOL_IMAP, "node", 143, "jo"), 1);
	CU_ASSERT_PTR_NOT_NULL(reg_find(r, 1)); /* it may be served, for all we know */
	reg_arrived(r, reg_find(r, 1));
	reg_expire(r, 1000);
	CU_ASSERT_EQUAL(reg_pending_all(r), 0);
	CU_ASSERT_EQUAL(reg_count(r, PROTOCOL_IMAP), 4);
	reg_free(&r);
}

/* An address with that port. */
static const struct net_addr *at(uint16_t port)
{
	static struct net_addr addr;

	net_addr_parse(&addr, "192.0.2.7", port);
	return &addr;
}

static void test_troubles(void)
{
	struct troubles *t = troubles_new();
	struct str list = STR_INIT;
	char host[32];

	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_LOOP, 0, &list), 0);
	CU_ASSERT(troubles_seen(t, TROUBLE_LOOP, PROTOCOL_IMAP, "alias", at(143), 1000));
	CU_ASSERT_FALSE(troubles_seen(t, TROUBLE_LOOP, PROTOCOL_IMAP, "ALIAS", at(143), 1059)); /* said a moment ago */
	CU_ASSERT(troubles_seen(t, TROUBLE_CROWD, PROTOCOL_IMAP, "alias", at(143), 1059));
	CU_ASSERT(troubles_seen(t, TROUBLE_LOOP, PROTOCOL_POP3, "alias", at(110), 1059));
	CU_ASSERT(troubles_seen(t, TROUBLE_LOOP, PROTOCOL_IMAP, "alias", at(143), 1060));
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_LOOP, 1060, &list), 2);
	CU_ASSERT_STRING_EQUAL(list.data, "alias:143 alias:110");
	CU_ASSERT(troubles_has(t, TROUBLE_LOOP, PROTOCOL_IMAP, "Alias", 143, 1059 + TROUBLES_AGE));
	CU_ASSERT_FALSE(troubles_has(t, TROUBLE_LOOP, PROTOCOL_POP3, "alias", 110, 1059 + TROUBLES_AGE));
	CU_ASSERT_FALSE(troubles_has(t, TROUBLE_LOOP, PROTOCOL_POP3, "alias", 143, 1059));
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_LOOP, 1059 + TROUBLES_AGE, &list), 1);
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_LOOP, 1060 + TROUBLES_AGE, &list), 0);
	/* However many there are, the newest are kept. */
	for (int i = 0; i < 1000; i++) {
		snprintf(host, sizeof(host), "host%d", i);
		CU_ASSERT(troubles_seen(t, TROUBLE_LOOP, PROTOCOL_IMAP, host, at(143), 2000 + i));
	}
	str_clear(&list);
	CU_ASSERT(troubles_list(t, TROUBLE_LOOP, 2999, &list) >= 10);
	CU_ASSERT_PTR_NOT_NULL(strstr(list.data, "host999:143"));
	str_fini(&list);
	troubles_free(&t);
}

/* A peer that takes logins again is no trouble any more: itself, and nothing else. */
static void test_trouble_over(void)
{
	struct troubles *t = troubles_new();
	struct str list = STR_INIT;
	struct net_addr other;

	net_addr_parse(&other, "192.0.2.8", 143);
	troubles_over(t, TROUBLE_TLS, PROTOCOL_IMAP, at(143));
	troubles_seen(t, TROUBLE_TLS, PROTOCOL_IMAP, "a", at(143), 1000);
	troubles_seen(t, TROUBLE_TLS, PROTOCOL_IMAP, "b", &other, 1000);
	troubles_seen(t, TROUBLE_TLS, PROTOCOL_POP3, "a", at(110), 1000);
	troubles_seen(t, TROUBLE_LOOP, PROTOCOL_IMAP, "a", at(143), 1000);
	troubles_over(t, TROUBLE_TLS, PROTOCOL_IMAP, at(110));
	troubles_over(t, TROUBLE_TLS, PROTOCOL_POP3, at(143));
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_TLS, 1001, &list), 3);
	troubles_over(t, TROUBLE_TLS, PROTOCOL_IMAP, at(143));
	str_clear(&list);
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_TLS, 1001, &list), 2);
	CU_ASSERT_STRING_EQUAL(str_cstr(&list), "b:143 a:110");
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_LOOP, 1001, &list), 1);
	troubles_over(t, TROUBLE_TLS, PROTOCOL_IMAP, &other);
	troubles_over(t, TROUBLE_TLS, PROTOCOL_POP3, at(110));
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_TLS, 1001, &list), 0);
	CU_ASSERT(troubles_seen(t, TROUBLE_TLS, PROTOCOL_IMAP, "a", at(143), 1002)); /* to be said again */
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_TLS, 1002, &list), 1);
	str_fini(&list);
	troubles_free(&t);
}

/* Why it was seen, for `waypost route`: what a worker says is made printable. Another time is another reason; and of a
 * kind all can be forgotten. */
static void test_trouble_why(void)
{
	struct troubles *t = troubles_new();
	struct str list = STR_INIT;

	troubles_set_why(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", 143, "nobody asked");
	CU_ASSERT_STRING_EQUAL(troubles_why(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", 143), "");
	troubles_seen(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", at(143), 1000);
	troubles_seen(t, TROUBLE_LOOP, PROTOCOL_IMAP, "a", at(143), 1000);
	troubles_set_why(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "A", 143, "it has\nexpired");
	CU_ASSERT_STRING_EQUAL(troubles_why(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", 143), "it has.expired");
	CU_ASSERT_STRING_EQUAL(troubles_why(t, TROUBLE_LOOP, PROTOCOL_IMAP, "a", 143), "");
	CU_ASSERT_STRING_EQUAL(troubles_why(t, TROUBLE_UNTRUSTED, PROTOCOL_POP3, "a", 143), "");
	troubles_seen(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", at(143), 1001);
	CU_ASSERT_STRING_EQUAL(troubles_why(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", 143), "");
	troubles_forget(t, TROUBLE_UNTRUSTED);
	CU_ASSERT_EQUAL(troubles_list(t, TROUBLE_UNTRUSTED, 1002, &list), 0);
	CU_ASSERT_FALSE(troubles_has(t, TROUBLE_UNTRUSTED, PROTOCOL_IMAP, "a", 143, 1002));
	CU_ASSERT(troubles_has(t, TROUBLE_LOOP, PROTOCOL_IMAP, "a", 143, 1002));
	str_fini(&list);
	troubles_free(&t);
}

static int asked;

static void on_ask(struct peers *p UNUSED, const char *host, void *arg UNUSED)
{
	CU_ASSERT_STRING_EQUAL(host, "node.example.com");
	asked++;
}

static void test_peers(void)
{
	struct peer_service starttls = { PROTOCOL_IMAP, PEER_TLS_STARTTLS, { .family = AF_UNSPEC } };
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr got[RESOLVER_ADDRS_MAX], a;
	struct str down = STR_INIT;
	unsigned n;

	peers_set(p, 60, 30, 8);
	CU_ASSERT_EQUAL(peers_lookup(p, "127.0.0.2", 143, 0, got, &n), PEERS_KNOWN); /* an address needs no lookup */
	CU_ASSERT(n == 1 && got[0].port == 143 && asked == 0);
	CU_ASSERT_EQUAL(peers_lookup(p, "node.example.com", 143, 0, got, &n), PEERS_WAIT);
	CU_ASSERT_EQUAL(peers_lookup(p, "node.example.com", 143, 0, got, &n), PEERS_WAIT);
	CU_ASSERT_EQUAL(asked, 1); /* one lookup for all that wait */
	net_addr_parse(&a, "192.0.2.5", 0);
	peers_resolved(p, "node.example.com", NAME_FOUND, &a, 1, 10);
	CU_ASSERT_EQUAL(peers_lookup(p, "node.example.com", 110, 11, got, &n), PEERS_KNOWN);
	CU_ASSERT(n == 1 && got[0].port == 110 && net_addr_same_ip(&got[0], &a));
	CU_ASSERT_EQUAL(peers_lookup(p, "node.example.com", 143, 70, got, &n),
	    PEERS_KNOWN); /* old: used, and looked up again */
	CU_ASSERT_EQUAL(asked, 2);
	peers_resolved(p, "node.example.com", NAME_NO_ANSWER, NULL, 0, 71); /* no answer: the old address stays */
	CU_ASSERT_EQUAL(peers_lookup(p, "node.example.com", 143, 72, got, &n), PEERS_KNOWN);
	CU_ASSERT_EQUAL(asked, 2); /* and it is not looked up again at once */
	peers_lookup(p, "node.example.com", 143, 77, got, &n);
	CU_ASSERT_EQUAL(asked, 3);
	peers_resolved(p, "other.example.com", NAME_FOUND, &a, 1, 0); /* it was not asked for */

	a.port = 143;
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 0));
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 99, 100);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 129));
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 130)); /* tried again, */
	CU_ASSERT(peers_suspect(p, service(PROTOCOL_IMAP, &a)));    /* but it is suspect */
	CU_ASSERT_EQUAL(peers_list_down(p, 110, &down), 1);
	CU_ASSERT_STRING_EQUAL(str_cstr(&down), "192.0.2.5:143");
	a.port = 110; /* another service of the host is separate */
	CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	a.port = 143;
	CU_ASSERT(!peers_suspect(p, service(PROTOCOL_POP3, &a))); /* as is another protocol there, */
	starttls.addr = a;
	CU_ASSERT(!peers_suspect(p, &starttls)); /* and another way to speak it */
	peers_failed(p, &starttls, 1, 99, 100);
	str_clear(&down);
	CU_ASSERT_EQUAL(peers_list_down(p, 101, &down), 2);
	CU_ASSERT_STRING_EQUAL(str_cstr(&down), "192.0.2.5:143 192.0.2.5:143(starttls)");
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 140);
	CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	memset(&a, 0, sizeof(a)); /* a socket */
	peers_failed(p, service(PROTOCOL_POP3, &a), 1, 139, 140);
	str_clear(&down);
	CU_ASSERT_EQUAL(peers_list_down(p, 141, &down), 1);
	CU_ASSERT_STRING_EQUAL(str_cstr(&down), "LOCAL_POP3");
	CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	str_fini(&down);
	peers_free(&p);

	p = peers_new(on_ask, NULL);
	asked = 0;
	peers_lookup(p, "node.example.com", 143, 0, got, &n);
	peers_resolved(p, "node.example.com", NAME_UNKNOWN, NULL, 0, 0);
	CU_ASSERT_EQUAL(peers_lookup(p, "node.example.com", 143, 1, got, &n), PEERS_NONE);
	CU_ASSERT_EQUAL(asked, 1);
	peers_free(&p);
}

/* If one account's login hangs after a good greeting, the peer may be fine; if several do and no other succeeds, it is
 * not. */
static void test_slow_peer(void)
{
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a;

	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	for (int i = 0; i < 100; i++)
		peers_slow(p, service(PROTOCOL_IMAP, &a), i % 2 == 0 ? "jo" : "al", 1, 1000 + i, i);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 100));    /* two are not several */
	peers_slow(p, service(PROTOCOL_POP3, &a), "cy", 1, 1100, 100); /* and this one is of another service */
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 100) && !peers_down(p, service(PROTOCOL_POP3, &a), 100));
	peers_slow(p, service(PROTOCOL_IMAP, &a), "di", 1, 1100, 100);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 100) && !peers_down(p, service(PROTOCOL_POP3, &a), 100));
	/* when its time is over, one account does not keep it down */
	for (int i = 0; i < 10; i++)
		peers_slow(p, service(PROTOCOL_IMAP, &a), "jo", 1, 1200 + i, 131 + i);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 131));
	CU_ASSERT(peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	/* a login succeeds: reports from before it do not count, nor logins that began before it */
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 1300);
	CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	peers_slow(p, service(PROTOCOL_IMAP, &a), "al", 1, 1300, 200);
	peers_slow(p, service(PROTOCOL_IMAP, &a), "cy", 1, 1299, 200);
	peers_slow(p, service(PROTOCOL_IMAP, &a), "di", 1, 1298, 200);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 200));
	/* nor old reports */
	peers_slow(p, service(PROTOCOL_IMAP, &a), "al", 1, 1301, 200);
	peers_slow(p, service(PROTOCOL_IMAP, &a), "cy", 1, 1301, 200 + PEERS_SLOW_SECONDS);
	peers_slow(p, service(PROTOCOL_IMAP, &a), "di", 1, 1301, 200 + PEERS_SLOW_SECONDS);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 200 + PEERS_SLOW_SECONDS));
	peers_slow(p, service(PROTOCOL_IMAP, &a), "al", 1, 1301, 201 + PEERS_SLOW_SECONDS);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 201 + PEERS_SLOW_SECONDS));
	for (int i = 0; i < 20000; i++) { /* however many peers there are */
		a.ip[2] = (uint8_t)(i >> 8);
		a.ip[3] = (uint8_t)i;
		peers_slow(p, service(PROTOCOL_IMAP, &a), "al", 1, 1, 300);
	}
	peers_free(&p);
}

/* What was logged since the last call; "" if nothing. */
static const char *logged(int sock)
{
	static char buf[8192];
	size_t len = 0;
	ssize_t n;

	log_flush();
	while ((n = recv(sock, buf + len, sizeof(buf) - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	return buf;
}

/* A login worker that was taken over calls a peer dead that is not: it can say so once. */
static void test_one_workers_word(void)
{
	enum { LIAR = 1, HONEST = 2 };
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a, other;
	double later = 104 + PEERS_DOUBT_SECONDS;

	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	net_addr_parse(&other, "192.0.2.6", 143);
	peers_failed(p, service(PROTOCOL_IMAP, &a), LIAR, 100, 101);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 102));
	peers_answered(p, service(PROTOCOL_IMAP, &a), HONEST, 103);
	for (int i = 0; i < 10; i++) {
		peers_failed(p, service(PROTOCOL_IMAP, &a), LIAR, 103.5 + i, 104 + i);
		peers_slow(p, service(PROTOCOL_IMAP, &a),
		    i % 3 == 0     ? "jo" :
		        i % 3 == 1 ? "al" :
		                     "cy",
		    LIAR, 103.5 + i, 104 + i);
		CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 104 + i));
		CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	}
	peers_failed(p, service(PROTOCOL_IMAP, &other), LIAR, 113, 114); /* nobody has seen it alive */
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &other), 114));
	peers_answered(p, service(PROTOCOL_IMAP, &other), LIAR, 115); /* its own words are no contradiction */
	peers_failed(p, service(PROTOCOL_IMAP, &other), LIAR, 116, 117);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &other), 117));
	peers_failed(p, service(PROTOCOL_IMAP, &a), HONEST, 120, 121);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 121));
	peers_answered(p, service(PROTOCOL_IMAP, &a), HONEST, 122);
	peers_failed(p, service(PROTOCOL_IMAP, &a), LIAR, later - 1, later);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), later));
	peers_free(&p);
}

/* Packets are lost for a while: some attempts come through, others time out, long after later ones had an answer. */
static void test_flapping_peer(void)
{
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a;
	int fd[2];

	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) == 0);
	log_set_socket(fd[1]);
	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 100);
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 95, 103); /* began before that answer */
	CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "");
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 101, 104);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 104));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "1waypost: peer 192.0.2.5 port 143 does not answer\n");
	for (int i = 0; i < 15; i++) { /* down or up, it is one outage for the log */
		peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 105 + i * 0.2);
		CU_ASSERT(!peers_suspect(p, service(PROTOCOL_IMAP, &a)));
		peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 105.05 + i * 0.2, 105.1 + i * 0.2);
		CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 105.1 + i * 0.2));
		peers_tick(p, 105.1 + i * 0.2);
	}
	peers_tick(p, 120); /* silence is no answer */
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "");
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 119, 122);
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 123);
	peers_tick(p, 126);
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "");
	peers_tick(p, 127);
	peers_tick(p, 128);
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "2waypost: peer 192.0.2.5 port 143 answers again\n");
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 130, 131);
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "1waypost: peer 192.0.2.5 port 143 does not answer\n");
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 140);
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "2waypost: peer 192.0.2.5 port 143 answers again\n");
	log_set_socket(-1);
	close(fd[0]);
	close(fd[1]);
	peers_free(&p);
}

static bool is_busy(struct peers *p, double now)
{
	struct str list = STR_INIT;
	struct net_addr a;
	bool busy;

	net_addr_parse(&a, "192.0.2.5", 143);
	busy = peers_busy(p, service(PROTOCOL_IMAP, &a), now);
	CU_ASSERT(
	    !busy || (peers_suspect(p, service(PROTOCOL_IMAP, &a)) && !peers_down(p, service(PROTOCOL_IMAP, &a), now)));
	CU_ASSERT_EQUAL(peers_list_busy(p, now, &list), busy ? 1 : 0);
	CU_ASSERT_STRING_EQUAL(str_cstr(&list), busy ? "192.0.2.5:143" : "");
	str_fini(&list);
	return busy;
}

/* A peer that says that it takes no logins is busy for the down time, and not down; a login that it takes ends that. */
static void test_busy_peer(void)
{
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a;
	int fd[2];

	CU_ASSERT_FATAL(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) == 0);
	log_set_socket(fd[1]);
	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	CU_ASSERT(!is_busy(p, 99));
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 100);
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, 1, 99, 101); /* a login that began later was taken */
	CU_ASSERT(!is_busy(p, 101));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "");
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, 1, 101, 102);
	CU_ASSERT(is_busy(p, 102) && is_busy(p, 131) && !is_busy(p, 132));
	CU_ASSERT(!peers_busy(p, service(PROTOCOL_POP3, &a), 102)); /* another service is not */
	CU_ASSERT_STRING_EQUAL(logged(fd[0]),
	    "1waypost: peer 192.0.2.5 port 143 takes no logins now: logins try others first\n");
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, 1, 104, 105); /* that is one time for the log */
	CU_ASSERT(is_busy(p, 134) && !is_busy(p, 135));
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 140);
	CU_ASSERT(!is_busy(p, 140) && !peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "2waypost: peer 192.0.2.5 port 143 takes logins again\n");
	/* One that was down and says so is there again; one that was busy and does not answer is down. */
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 150, 151);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 151) && !is_busy(p, 151));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "1waypost: peer 192.0.2.5 port 143 does not answer\n");
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, 1, 157, 158);
	CU_ASSERT(is_busy(p, 158));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]),
	    "2waypost: peer 192.0.2.5 port 143 answers again\n"
	    "1waypost: peer 192.0.2.5 port 143 takes no logins now: logins try others first\n");
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 159, 160);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 160) && !is_busy(p, 160));
	CU_ASSERT_STRING_EQUAL(logged(fd[0]), "1waypost: peer 192.0.2.5 port 143 does not answer\n");
	log_set_socket(-1);
	close(fd[0]);
	close(fd[1]);
	peers_free(&p);
}

/* A temporary failure in answer to a login may be about that account alone. */
static void test_busy_for_several(void)
{
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a;

	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	for (int i = 0; i < 10; i++)
		peers_refused(p, service(PROTOCOL_IMAP, &a), i % 2 == 0 ? "jo" : "al", 1, 100 + i, 100.5 + i);
	CU_ASSERT(!is_busy(p, 110));
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 111); /* it takes those of others */
	peers_refused(p, service(PROTOCOL_IMAP, &a), "cy", 1, 112, 113);
	peers_refused(p, service(PROTOCOL_IMAP, &a), "jo", 1, 112, 114);
	CU_ASSERT(!is_busy(p, 114));
	peers_refused(p, service(PROTOCOL_IMAP, &a), "al", 1, 112,
	    114 + PEERS_SLOW_SECONDS); /* the others were long ago */
	CU_ASSERT(!is_busy(p, 114 + PEERS_SLOW_SECONDS));
	for (int i = 0; i < PEERS_SLOW_ACCOUNTS; i++) {
		char user[] = { (char)('a' + i), '\0' };

		CU_ASSERT(!is_busy(p, 300 + i));
		peers_refused(p, service(PROTOCOL_IMAP, &a), user, 1, 290, 300 + i);
	}
	CU_ASSERT(is_busy(p, 303));
	/* Answers of that kind do not let it be called down. */
	peers_slow(p, service(PROTOCOL_IMAP, &a), "x", 1, 399, 400);
	peers_slow(p, service(PROTOCOL_IMAP, &a), "y", 1, 399, 400);
	peers_refused(p, service(PROTOCOL_IMAP, &a), "jo", 1, 399, 401);
	peers_slow(p, service(PROTOCOL_IMAP, &a), "z", 1, 402, 403);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 403));
	peers_free(&p);
}

/* Who was wrong about a peer being down is not believed about its being busy. */
static void test_busy_by_a_liar(void)
{
	enum { HONEST = 1, LIAR = 2 };
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a;

	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	peers_failed(p, service(PROTOCOL_IMAP, &a), LIAR, 100, 101);
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, HONEST, 101, 102); /* it is there, for others */
	CU_ASSERT(is_busy(p, 102));
	peers_answered(p, service(PROTOCOL_IMAP, &a), HONEST, 103);
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, LIAR, 104, 105);
	CU_ASSERT(!is_busy(p, 105));
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, HONEST, 106, 107);
	CU_ASSERT(is_busy(p, 107));
	peers_answered(p, service(PROTOCOL_IMAP, &a), LIAR, 108);
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, HONEST, 109, 110); /* to be busy now and then is no lie */
	CU_ASSERT(is_busy(p, 110));
	peers_free(&p);
}

/* Workers may tell of a login that a peer took later than of a newer one that failed: the newer one counts. */
static void test_told_late(void)
{
	struct peers *p = peers_new(on_ask, NULL);
	struct net_addr a;

	peers_set(p, 60, 30, 8);
	net_addr_parse(&a, "192.0.2.5", 143);
	peers_refused(p, service(PROTOCOL_IMAP, &a), NULL, 1, 101, 102);
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 100);
	CU_ASSERT(is_busy(p, 103) && peers_suspect(p, service(PROTOCOL_IMAP, &a)));
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 101.5); /* after that attempt began */
	CU_ASSERT(!is_busy(p, 103));
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 104, 105);
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 103);
	CU_ASSERT(peers_down(p, service(PROTOCOL_IMAP, &a), 105));
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 104.5);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 105));
	peers_answered(p, service(PROTOCOL_IMAP, &a), 1, 100); /* the newest one counts */
	peers_failed(p, service(PROTOCOL_IMAP, &a), 1, 104, 106);
	CU_ASSERT(!peers_down(p, service(PROTOCOL_IMAP, &a), 106));
	peers_free(&p);
}

static const struct unit_case cases[] = {
	{ "control characters in a question", test_request_controls },
	{ "control characters in an answer", test_reply_controls },
	{ "login question", test_request },
	{ "login answer", test_reply },
	{ "signed identity", test_hop },
	{ "words about TLS", test_tls_words },
	{ "the signature of a configuration", test_config_signature },
	{ "what a node says of itself", test_config_form },
	{ "nodes with the same configuration", test_same_nodes },
	{ "nodes that differ for long", test_same_nodes_lasting },
	{ "tokens in place of passwords", test_token },
	{ "secrets are replaced", test_rotation },
	{ "challenges and steps", test_challenge },
	{ "register", test_register },
	{ "pending logins", test_pending },
	{ "accounts shut out of a peer", test_shut },
	{ "logins whose end is never told", test_never_told },
	{ "troubles with peers", test_troubles },
	{ "a trouble with a peer is over", test_trouble_over },
	{ "why there is trouble", test_trouble_why },
	{ "peers", test_peers },
	{ "slow peer", test_slow_peer },
	{ "a peer that answers now and then is one outage in the log", test_flapping_peer },
	{ "one worker's word about a peer", test_one_workers_word },
	{ "a peer that takes no logins now", test_busy_peer },
	{ "a peer that cannot serve several accounts", test_busy_for_several },
	{ "who lied about a peer", test_busy_by_a_liar },
	{ "a success told late", test_told_late },
	{ NULL, NULL },
};
UNIT_MAIN("authd", cases)
