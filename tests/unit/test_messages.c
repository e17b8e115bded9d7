/* The messages between the processes of a node: each is read as it was written, and refused if a byte is missing. */
#include "tests/unit/unit.h"

#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "node/msg_control.h"
#include "node/msg_key.h"
#include "node/msg_session.h"
#include "node/msg_ticket.h"

static struct msgw w;

/* Names the message at which it failed. */
#define ASSERT_AT(condition, what) CU_assertImplementation(condition, __LINE__, what, __FILE__, "", CU_FALSE)

static void *spare; /* as large as the largest structure */

/* One function a line. */
/* clang-format off */
static bool read_end(struct msgr *r) { return session_end_read(r, spare); }
static bool read_have(struct msgr *r) { return session_have_read(r, spare); }
static bool read_adopt(struct msgr *r) { return session_adopt_read(r, spare); }
static bool read_arrived(struct msgr *r) { return session_arrived_read(r, spare); }
static bool read_result(struct msgr *r) { return peer_result_read(r, spare); }
static bool read_trouble(struct msgr *r) { return peer_trouble_read(r, spare); }
static bool read_signature(struct msgr *r) { return peer_signature_read(r, spare); }
static bool read_list(struct msgr *r) { return peer_list_read(r, spare); }
static bool read_common(struct msgr *r) { return auth_common_read(r, spare); }
static bool read_void(struct msgr *r) { return ticket_void_read(r, spare); }
static bool read_handoff(struct msgr *r) { return handoff_read(r, spare); }
static bool read_channel(struct msgr *r) { return control_channel_read(r, spare); }
static bool read_listen(struct msgr *r) { return control_listen_read(r, spare); }
static bool read_unlisten(struct msgr *r) { return control_unlisten_read(r, spare); }
static bool read_switch(struct msgr *r) { return control_switch_read(r, spare); }
static bool read_totals(struct msgr *r) { return control_totals_read(r, spare); }
static bool read_missed(struct msgr *r) { return control_missed_read(r, spare); }
static bool read_query(struct msgr *r) { return control_query_read(r, spare); }
static bool read_command(struct msgr *r) { return tool_command_read(r, spare); }
static bool read_chain(struct msgr *r) { return key_chain_read(r, spare); }
static bool read_sign(struct msgr *r) { return key_sign_read(r, spare); }
static bool read_signed(struct msgr *r) { return key_signed_read(r, spare); }
static bool read_news(struct msgr *r) { return control_key_news_read(r, spare); }
static bool read_key(struct msgr *r) { return control_key_read(r, spare); }
static bool read_keys(struct msgr *r) { return control_keys_read(r, spare); }
static bool read_control_gone(struct msgr *r) { return control_key_gone_read(r, spare); }
/* clang-format on */

static bool read_ticket(struct msgr *r)
{
	struct ticket_grant g;
	bool good;

	memset(&g, 0, sizeof(g));
	account_init(&g.account);
	good = ticket_read(r, &g);
	account_fini(&g.account);
	return good;
}

static bool read_reply(struct msgr *r)
{
	uint32_t request;
	bool started;

	return handoff_reply_read(r, &request, &started);
}

static bool read_unfit(struct msgr *r)
{
	uint32_t slot;
	uint64_t generation;

	return control_unfit_read(r, &slot, &generation);
}

static bool read_rows(struct msgr *r)
{
	uint32_t query;
	const char *text;
	size_t len;

	return control_rows_read(r, &query, &text, &len) && query == 9 && len == 4;
}

static bool read_tool_rows(struct msgr *r)
{
	const char *text;
	size_t len;

	return tool_rows_read(r, &text, &len) && len == 4;
}

static bool read_done(struct msgr *r)
{
	uint32_t query, result;

	return control_done_read(r, &query, &result) && query == 9 && result == 3;
}

static bool read_tool_done(struct msgr *r)
{
	uint32_t status;
	char *message;
	bool good = tool_done_read(r, &status, &message);

	good = good && status == 3 && strcmp(message, "all\n") == 0;
	mem_free(&message);
	return good;
}

/* W has TYPE; READ accepts it whole, but not cut or with bytes added. */
static void check(uint16_t type, bool (*read)(struct msgr *r), const char *what)
{
	struct msgr r;

	for (size_t len = 2; len <= w.len + 1; len++) {
		uint8_t *copy = mem_alloc(len); /* of exact size, so that a sanitizer sees a read beyond it */

		memcpy(copy, w.buf, MIN(len, w.len));
		if (len > w.len)
			copy[w.len] = 0;
		msgr_begin(&r, copy, len);
		ASSERT_AT(r.type == type, what);
		ASSERT_AT(read(&r) == (len == w.len), what);
		mem_free(&copy);
	}
}

static void cut_keys(void)
{
	static const uint8_t bytes[TLS_DIGEST_MAX] = { 1 };
	static const struct key_chain chain = { .key = 5,
		.use = "imapd-ssl",
		.n = 2,
		.cert = { { "abc", 3 }, { "de", 2 } },
		.ocsp = "fgh",
		.ocsp_len = 3,
		.ocsp_until = 1796045100 };
	struct msgr r;

	key_chain_write(&w, &chain);
	check(KEY_CHAIN, read_chain, "KEY_CHAIN");
	key_gone_write(&w, 5);
	check(KEY_GONE, read_unlisten, "KEY_GONE");
	key_complete_write(&w);
	check(KEY_COMPLETE, key_complete_read, "KEY_COMPLETE");
	key_sign_write(&w, &(struct key_sign){ 7, 5, TLS_RSA_PSS_SHA384, bytes });
	check(KEY_SIGN, read_sign, "KEY_SIGN");
	key_signed_write(&w, &(struct key_signed){ 7, bytes, 40 });
	check(KEY_SIGNED, read_signed, "KEY_SIGNED");
	control_key_write(&w,
	    &(struct control_key){ 5, true, "imapd-ssl mail.example.com", "/etc/waypost/pool.pem", true });
	check(CTL_KEY, read_key, "CTL_KEY");
	control_key_news_write(&w,
	    &(struct control_key_news){ 5, true, 7, "there is no private key", 8, "it has expired", 9 });
	check(CTL_KEY_NEWS, read_news, "CTL_KEY_NEWS");
	control_keys_write(&w, CONTROL_KEYS_AFRESH);
	check(CTL_KEYS, read_keys, "CTL_KEYS");
	control_keys_write(&w, CONTROL_KEYS_COUNT);
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT_FALSE(read_keys(&r));
	control_key_gone_write(&w, &(struct control_key_gone){ 5, "imapd-ssl" });
	check(CTL_KEY_GONE, read_control_gone, "CTL_KEY_GONE");
}

/* What a process says that it has counted is believed within bounds. */
static void test_totals(void)
{
	const struct control_totals before = { .n = { [CONTROL_TOTAL_ACCEPTED] = 7 } };
	struct control_totals m = before;

	CU_ASSERT(control_totals_possible(&m, ROLE_WORKER, &before, 0));
	CU_ASSERT_FALSE(control_totals_possible(&m, ROLE_AUTHD, &before, 0));
	m.n[CONTROL_TOTAL_ACCEPTED]--;
	CU_ASSERT_FALSE(control_totals_possible(&m, ROLE_WORKER, &before, 0));
	m.n[CONTROL_TOTAL_ACCEPTED] = 3 * (uint64_t)CONTROL_TOTALS_MOST;
	CU_ASSERT(control_totals_possible(&m, ROLE_WORKER, &before, 2));
	m.n[CONTROL_TOTAL_ACCEPTED]++;
	CU_ASSERT_FALSE(control_totals_possible(&m, ROLE_WORKER, &before, 2));
	CU_ASSERT(control_totals_possible(&m, ROLE_WORKER, &before, 2.1));
	m.n[CONTROL_TOTAL_ACCEPTED] = UINT64_MAX;
	CU_ASSERT_FALSE(control_totals_possible(&m, ROLE_WORKER, &before, 1e9));
	for (enum control_total t = CONTROL_TOTAL_JOBS_REFUSED; t < CONTROL_TOTAL_COUNT; t++) {
		m = before;
		m.n[t] = 1;
		CU_ASSERT_FALSE(control_totals_possible(&m, ROLE_WORKER, &before, 2));
		m.n[CONTROL_TOTAL_ACCEPTED] = 0;
		CU_ASSERT(control_totals_possible(&m, ROLE_AUTHD, &(struct control_totals){ .n = { 0 } }, 2));
	}
	CU_ASSERT_STRING_EQUAL(control_total_name(CONTROL_TOTAL_VERDICT), "verdicts_ok");
	CU_ASSERT_STRING_EQUAL(control_total_name(CONTROL_TOTAL_COUNT - 1), "verdicts_account_limit");
}

static void test_cut(void)
{
	static const uint8_t id[TICKET_LEN] = { 1, 2, 3 };
	struct ticket_grant grant = { .id = { 7 }, .session = 1, .protocol = PROTOCOL_POP3, .session_id = "abc" };
	struct net_addr addr;

	spare = mem_alloc(65536);
	net_addr_parse(&addr, "192.0.2.7", 4711);
	account_init(&grant.account);
	account_set(&grant.account.name, "u@example.com");
	account_set(&grant.account.home, "/home/u");
	grant.client = addr;
	session_end_write(&w, 5);
	check(SESSION_END, read_end, "SESSION_END");
	session_have_write(&w, 5, PROTOCOL_POP3, &addr, "u@example.com", 77);
	check(SESSION_HAVE, read_have, "SESSION_HAVE");
	session_program_write(&w, 5, PROTOCOL_POP3, &addr, "u@example.com", 77);
	check(SESSION_PROGRAM, read_have, "SESSION_PROGRAM");
	session_adopt_write(&w, 5, PROTOCOL_POP3, &addr, "u@example.com", 77, 1000);
	check(SESSION_ADOPT, read_adopt, "SESSION_ADOPT");
	session_arrived_write(&w, 5, 1, 700);
	check(SESSION_ARRIVED, read_arrived, "SESSION_ARRIVED");
	peer_result_write(&w, 5, 1, PEER_SLOW, 70000);
	check(PEER_RESULT, read_result, "PEER_RESULT");
	peer_trouble_write(&w,
	    &(struct peer_trouble){ PEER_TROUBLE_TLS, PROTOCOL_POP3, "node.example.com", addr, "it is so" });
	check(PEER_TROUBLE, read_trouble, "PEER_TROUBLE");
	peer_signature_write(&w, "node.example.com", SIGNATURE_CLOCK);
	check(PEER_SIGNATURE, read_signature, "PEER_SIGNATURE");
	peer_list_write(&w, PROTOCOL_POP3, "mail.example.com", 110, "TOP UIDL");
	check(PEER_LIST, read_list, "PEER_LIST");
	auth_common_write(&w, PROTOCOL_IMAP, "IMAP4rev1 IDLE");
	check(AUTH_COMMON, read_common, "AUTH_COMMON");
	ticket_write(&w, &grant);
	check(TICKET, read_ticket, "TICKET");
	ticket_void_write(&w, id);
	check(TICKET_VOID, read_void, "TICKET_VOID");
	handoff_write(&w, &(struct handoff_client){ 8, true, { 1, 2, 3 }, "a1", "NOOP\r\n", 6 });
	check(HANDOFF, read_handoff, "HANDOFF");
	handoff_reply_write(&w, 8, true);
	check(HANDOFF_REPLY, read_reply, "HANDOFF_REPLY");
	control_channel_write(&w, &(struct control_process){ ROLE_SPAWN, 2, 3 });
	check(CTL_CHANNEL, read_channel, "CTL_CHANNEL");
	control_listen_write(&w, &(struct control_listen){ 2, PROTOCOL_POP3, true });
	check(CTL_LISTEN, read_listen, "CTL_LISTEN");
	control_unlisten_write(&w, 2);
	check(CTL_UNLISTEN, read_unlisten, "CTL_UNLISTEN");
	control_switch_write(&w, CTL_DRAIN, true);
	check(CTL_DRAIN, read_switch, "CTL_DRAIN");
	control_missed_write(&w, &(struct control_missed){ CTL_LISTEN, { ROLE_WORKER, 1, 0 } });
	check(CTL_MISSED, read_missed, "CTL_MISSED");
	control_totals_write(&w, &(struct control_totals){ .n = { 1, UINT64_MAX } });
	check(CTL_TOTALS, read_totals, "CTL_TOTALS");
	control_unfit_write(&w, 2, 3);
	check(CTL_UNFIT, read_unfit, "CTL_UNFIT");
	control_query_write(&w, 9, "kick", "u@example.com");
	check(CTL_QUERY, read_query, "CTL_QUERY");
	tool_command_write(&w, "kick", "u@example.com");
	check(TOOL_COMMAND, read_command, "TOOL_COMMAND");
	control_rows_write(&w, 9, "a\nb\n", 4);
	check(CTL_ROWS, read_rows, "CTL_ROWS");
	tool_rows_write(&w, "a\nb\n", 4);
	check(TOOL_ROWS, read_tool_rows, "TOOL_ROWS");
	control_done_write(&w, 9, 3);
	check(CTL_DONE, read_done, "CTL_DONE");
	tool_done_write(&w, 3, "all\n");
	check(TOOL_DONE, read_tool_done, "TOOL_DONE");
	account_fini(&grant.account);
	cut_keys();
	mem_free(&spare);
}

static struct msgr *reader(void)
{
	static struct msgr r;

	msgr_begin(&r, w.buf, w.len);
	return &r;
}

static void test_values(void)
{
	struct ticket_grant in = { .id = { 7 },
		.session = 1ULL << 40,
		.slot = 2,
		.generation = 3,
		.protocol = PROTOCOL_POP3,
		.session_id = "abc",
		.proxied = true,
		.tls = true,
		.later = true,
		.tls_words = "TLSv1.2:X:resumed",
		.signature = SIGNATURE_WRONG },
	                    out;
	struct handoff_client client;
	struct session_adopt adopt;
	struct session_target target;
	struct control_process process;
	struct net_addr addr;

	net_addr_parse(&addr, "2001:db8::7", 4711);
	account_init(&in.account);
	account_set(&in.account.name, "u@example.com");
	account_set(&in.account.clear, "secret");
	in.client = addr;
	memset(&out, 0, sizeof(out));
	account_init(&out.account);
	ticket_write(&w, &in);
	CU_ASSERT(ticket_read(reader(), &out));
	CU_ASSERT(memcmp(in.id, out.id, TICKET_LEN) == 0 && out.session == in.session && out.slot == 2 &&
	    out.generation == 3);
	CU_ASSERT(out.protocol == PROTOCOL_POP3 && out.proxied && out.signature == SIGNATURE_WRONG);
	CU_ASSERT(out.tls && out.later);
	CU_ASSERT_STRING_EQUAL(out.tls_words, "TLSv1.2:X:resumed");
	CU_ASSERT_STRING_EQUAL(out.account.name, "u@example.com");
	CU_ASSERT_STRING_EQUAL(out.account.clear, ""); /* spawn learns no secrets */
	CU_ASSERT_STRING_EQUAL(out.session_id, "abc");
	account_fini(&in.account);
	account_fini(&out.account);

	handoff_write(&w, &(struct handoff_client){ 8, true, { 7 }, "a1", "NO\0OP", 5 });
	CU_ASSERT(handoff_read(reader(), &client));
	CU_ASSERT(client.request == 8 && client.relayed && client.ticket[0] == 7 && client.leftover_len == 5 &&
	    memcmp(client.leftover, "NO\0OP", 5) == 0);
	CU_ASSERT_STRING_EQUAL(client.context, "a1");

	session_adopt_write(&w, 5, PROTOCOL_IMAP, &addr, "u", 1, 10);
	CU_ASSERT_FALSE(session_adopt_read(reader(), &adopt)); /* pid 1 cannot be a session server */
	session_adopt_write(&w, 5, PROTOCOL_IMAP, &addr, "u", UINT32_MAX, 10);
	CU_ASSERT_FALSE(session_adopt_read(reader(), &adopt));
	session_adopt_write(&w, 5, PROTOCOL_IMAP, &addr, "u", 99, 10);
	CU_ASSERT(session_adopt_read(reader(), &adopt) && adopt.start == 10 && adopt.have.pid == 99);

	/* values out of range */
	peer_result_write(&w, 5, 1, PEER_RESULTS, 0);
	CU_ASSERT_FALSE(peer_result_read(reader(), &target));
	session_have_write(&w, 5, PROTOCOL_COUNT, &addr, "u", 0);
	CU_ASSERT_FALSE(session_have_read(reader(), &adopt.have));
	control_channel_write(&w, &(struct control_process){ ROLE_COUNT, 0, 0 });
	CU_ASSERT_FALSE(control_channel_read(reader(), &process));
	session_have_write(&w, 5, PROTOCOL_IMAP, &addr, "u\r\nx", 0);
	CU_ASSERT_FALSE(session_have_read(reader(), &adopt.have));
}

/* Of keys: no certificate, too many of them, too much; a scheme that is not there, a digest of another length. */
static void test_key_values(void)
{
	static const uint8_t bytes[KEY_CHAIN_BYTES];
	struct key_chain in = { .key = 5, .n = 2, .cert = { { bytes, KEY_CHAIN_BYTES - 2 }, { bytes, 2 } } }, out;
	struct key_sign sign;
	struct key_signed answer;

	key_chain_write(&w, &in);
	CU_ASSERT(key_chain_read(reader(), &out) && out.n == 2 && out.cert[1].len == 2);
	in.ocsp = bytes;
	in.ocsp_len = KEY_OCSP_MAX;
	key_chain_write(&w, &in);
	CU_ASSERT(key_chain_read(reader(), &out) && out.ocsp_len == KEY_OCSP_MAX);
	in.ocsp_len++;
	key_chain_write(&w, &in);
	CU_ASSERT_FALSE(key_chain_read(reader(), &out));
	in.ocsp_len = 0;
	in.cert[1].len = 3;
	key_chain_write(&w, &in);
	CU_ASSERT_FALSE(key_chain_read(reader(), &out));
	in.n = 0;
	key_chain_write(&w, &in);
	CU_ASSERT_FALSE(key_chain_read(reader(), &out));
	msgw_begin(&w, KEY_CHAIN);
	msgw_u32(&w, 5);
	msgw_str(&w, "");
	msgw_u8(&w, KEY_CHAIN_CERTS + 1);
	for (int i = 0; i <= KEY_CHAIN_CERTS; i++)
		msgw_bytes(&w, bytes, 1);
	CU_ASSERT_FALSE(key_chain_read(reader(), &out));
	for (unsigned scheme = 0; scheme < 256; scheme++)
		for (size_t len = 0; len <= TLS_DIGEST_MAX + 1; len++) {
			msgw_begin(&w, KEY_SIGN);
			msgw_u32(&w, 7);
			msgw_u32(&w, 5);
			msgw_u8(&w, (uint8_t)scheme);
			msgw_bytes(&w, bytes, len);
			CU_ASSERT_EQUAL(key_sign_read(reader(), &sign),
			    scheme < TLS_SCHEME_COUNT && len == tls_scheme_digest_len((enum tls_scheme)scheme));
		}
	key_signed_write(&w, &(struct key_signed){ 7, bytes, TLS_SIGNATURE_MAX });
	CU_ASSERT(key_signed_read(reader(), &answer));
	key_signed_write(&w, &(struct key_signed){ 7, bytes, TLS_SIGNATURE_MAX + 1 });
	CU_ASSERT_FALSE(key_signed_read(reader(), &answer));
}

static unsigned skipped, refused;

static void on_unknown(struct chan *c, struct msgr *r, int fd UNUSED, void *arg UNUSED)
{
	if (msg_channel_skips(c, r, "a test"))
		skipped++;
	else
		refused++;
}

/* Unknown types are skipped if they are marked as optional; a bundle of messages never is. */
static void test_unknown(void)
{
	static const struct {
		uint16_t type;
		bool skip;
	} t[] = {
		{ 0, false },
		{ 255, false },
		{ 0x7fff, false },
		{ 0x8000, true },
		{ 0xfeff, true },
		{ 0xff00, false },
		{ 0xfffe, false },
	};
	struct ev_loop *l = ev_loop_new(0);
	struct chan *c;
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	c = msg_channel_open(l, fd[0], on_unknown, NULL, NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		skipped = refused = 0;
		msgw_begin(&w, t[i].type);
		msgw_u8(&w, 1);
		CU_ASSERT_EQUAL(msg_send(fd[1], &w, -1), 0);
		ev_run(l, EVRUN_ONCE);
		CU_ASSERT(skipped == (t[i].skip ? 1u : 0u) && refused == (t[i].skip ? 0u : 1u));
	}
	/* a bundle of bundles is bad, whatever its type's number */
	skipped = refused = 0;
	msgw_begin(&w, 0xffff);
	for (int i = 0; i < 2; i++)
		msgw_bytes(&w, "\xff\xff", 2);
	CU_ASSERT_EQUAL(msg_send(fd[1], &w, -1), 0);
	ev_run(l, EVRUN_ONCE);
	CU_ASSERT(skipped == 0 && refused == 2);
	chan_free(&c);
	close(fd[1]);
	ev_loop_destroy(l);
}

static const struct unit_case cases[] = {
	{ "cut at every byte", test_cut },
	{ "what processes have counted", test_totals },
	{ "values", test_values },
	{ "unknown types", test_unknown },
	{ "values of keys", test_key_values },
	{ NULL, NULL },
};

UNIT_MAIN("messages", cases)
