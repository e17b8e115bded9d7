/* The dialects and the text of a forwarded login's identity. */
#include "tests/unit/unit.h"

#include <ctype.h>

#include "imapd/imap_id_list.h"
#include "imapd/imap_login.h"
#include "login/forwarded_text.h"
#include "login/node_mark.h"
#include "pop3d/pop3_login.h"
#include "tests/unit/login_stubs.h"

static struct settings *set;
static const char *const failure_names[] = {
#define X(name) #name,
	LOGIN_FAILURES(X)
#undef X
};

#define SELF "00112233445566778899aabbccddeeff"
#define OTHER "00112233445566778899aabbccddeefe"

/* The dialect's replies to the LEN bytes at IN, fed STEP at a time. */
static char *run(const struct login_dialect *d, const char *in, size_t len, size_t step)
{
	struct str log = STR_INIT;
	struct login l;

	login_stub_init(&l, d, set);
	login_stub_feed(&l, in, len, step, &log);
	login_stub_fini(&l);
	return str_steal(&log);
}

/* The reply is WANT, in whatever pieces the bytes arrive. */
static void check_len(const struct login_dialect *d, const char *in, size_t len, const char *want)
{
	char *got = run(d, in, len, len);

	CU_ASSERT_STRING_EQUAL(got, want);
	if (strcmp(got, want) != 0)
		printf("\nin:   %s\ngot:  %s\nwant: %s\n", in, got, want);
	mem_free(&got);
	for (size_t step = 1; step < len; step++) {
		got = run(d, in, len, step);
		CU_ASSERT_STRING_EQUAL(got, want);
		mem_free(&got);
	}
}

static void check(const struct login_dialect *d, const char *in, const char *want)
{
	check_len(d, in, strlen(in), want);
}

static void test_imap_login(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	check(d, "a NOOP\r\n", "a OK NOOP completed\r\n");
	check(d, "a noop\n", "a OK NOOP completed\r\n");
	check(d, "a LOGIN u p\r\n", "<LOGIN|u|p>\n");
	check(d, "a LOGIN u@x p]w[d\r\n", "<LOGIN|u@x|p]w[d>\n");
	check(d, "a LOGIN \"u\" \"p w\\\"\\\\\"\r\n", "<LOGIN|u|p w\"\\>\n");
	check(d, "a LOGIN {1}\r\nu {3}\r\npwd\r\n", "+ OK\r\n+ OK\r\n<LOGIN|u|pwd>\n");
	check(d, "a LOGIN {1+}\r\nu {3+}\r\np\"d\r\n", "<LOGIN|u|p\"d>\n");
	check(d, "a LOGIN u {3+}\r\np\344d\r\nb NOOP\r\n", "<LOGIN|u|p\344d>\nb OK NOOP completed\r\n");
	check(d, "a LOGIN \"p\xc3\xa4\" p\r\n", "<LOGIN|p\xc3\xa4|p>\n");
	check(d, "a LOGIN u\r\n", "a BAD LOGIN takes a name and a password.\r\n");
	check(d, "a LOGIN u p q\r\n", "a BAD LOGIN takes a name and a password.\r\n");
	check(d, "a LOGIN \"u p\r\n", "a BAD LOGIN takes a name and a password.\r\n");
	check_len(d, "a LOGIN u p\0q\r\n", 15, "a BAD LOGIN takes a name and a password.\r\n");
	check(d, "a LOGOUT\r\nb NOOP\r\n", "* BYE Logging out\r\na OK LOGOUT completed\r\n<quit>\n");
	check(d, "a SELECT INBOX\r\n", "a BAD Unknown command, or not before login.\r\n");
	check(d, "a XYZZY {5}\r\n", "a BAD A literal is not allowed here.\r\n");
	check(d, "a LOGIN {99999}\r\nb NOOP\r\n", "a BAD [TOOBIG] The literal is too long.\r\nb OK NOOP completed\r\n");
	check(d, "a LOGIN {9999999+}\r\nb NOOP\r\n",
	    "a BAD [TOOBIG] The literal is too long.\r\n* BYE Too much at once.\r\n<fatal>\n");
	check(d, "a NOOP {6+}\r\nx NOOP {4}\r\nb NOOP\r\n",
	    "a BAD A literal is not allowed here.\r\nb OK NOOP completed\r\n");
	check(d, "a NOOP {3+}\r\nx\r\n {9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
	    "a BAD A literal is not allowed here.\r\nb OK NOOP completed\r\n");
	check(d, "\r\n", "* BAD Expected a tag, a space and a command.\r\n");
	check(d, "a\r\n", "a BAD Expected a tag, a space and a command.\r\n");
	check(d, "+ NOOP\r\n", "* BAD Expected a tag, a space and a command.\r\n");
	check(d, "a NOOP x\r\n", "a BAD NOOP takes no arguments.\r\n");
}

/* Too long input before login gets BAD, and the next command is answered. */
static void test_imap_too_long(void)
{
	const struct login_dialect *d = &imap_login_dialect;
	static const size_t steps[] = { 1, 7, 4096, 1 << 20 };
	static const struct {
		const char *start, *end, *want;
	} rows[] = {
		{ "a NOOP ", "\r\nb NOOP\r\n", "a BAD [TOOBIG] The line is too long.\r\nb OK NOOP completed\r\n" },
		{ "a ID (\"name\" \"", "\")\nb NOOP\r\n",
		    "a BAD [TOOBIG] The line is too long.\r\nb OK NOOP completed\r\n" },
		{ "a ID (\"name\" \"", "\" {3+}\r\nb N {5}\r\nb NOOP\r\n",
		    "a BAD [TOOBIG] The line is too long.\r\nb OK NOOP completed\r\n" },
		{ "a LOGIN {10003+}\r\n", "NO {3+}\r\nx\r\n {1}\r\nb NOOP\r\n",
		    "a BAD [TOOBIG] The literal is too long.\r\nb OK NOOP completed\r\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
			struct str in = STR_INIT;
			char *got;

			str_adds(&in, rows[i].start);
			for (int n = 0; n < 10001; n++)
				str_addc(&in, 'x');
			str_adds(&in, rows[i].end);
			got = run(d, in.data, in.len, steps[k]);
			CU_ASSERT_STRING_EQUAL(got, rows[i].want);
			mem_free(&got);
			str_fini(&in);
		}
}

static void use(char **setting, const char *value)
{
	mem_free(setting);
	*setting = mem_strdup(value);
}

#define INSECURE "[PRIVACYREQUIRED] TLS is required to log in.\r\n<insecure>\n"
#define CAPABILITIES \
	"IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE SORT SORT=DISPLAY " \
	"THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL"
#define SIGNED "1893456000:00000000000000000000000000000000000000000000000000000000000000ff"

/* Before TLS a stranger can do nothing but begin it, and is told before it has sent a password. */
static void check_insecure_imap(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	check(d, "a CAPABILITY\r\n",
	    "* CAPABILITY " CAPABILITIES " STARTTLS LOGINDISABLED\r\na OK CAPABILITY completed Waypost node "
	    "00112233445566778899aabbccddeeff ready.\r\n");
	check(d, "a LOGIN u p\r\nb NOOP\r\n", "a NO " INSECURE "b OK NOOP completed\r\n");
	check(d, "a LOGIN\r\n", "a NO " INSECURE);
	check(d, "a LOGIN {1}\r\nb NOOP\r\n", "a NO " INSECURE "b OK NOOP completed\r\n");
	check(d, "a LOGIN u {3}\r\nb NOOP\r\n", "a NO " INSECURE "b OK NOOP completed\r\n");
	check(d, "a login {1+}\r\nu {9+}\r\nx NOOP\r\n \r\nb NOOP\r\n", "a NO " INSECURE "b OK NOOP completed\r\n");
	check(d, "a LOGIN u {9+}\r\nx NOOP\r\n \r\nb NOOP\r\n", "a NO " INSECURE "b OK NOOP completed\r\n");
	check(d, "a AUTHENTICATE PLAIN AHUAcA==\r\n", "a NO " INSECURE);
	check(d, "a AUTHENTICATE PLAIN\r\nb NOOP\r\n", "a NO " INSECURE "b OK NOOP completed\r\n");
	check(d, "a AUTHENTICATE X\r\n", "a NO " INSECURE);
	/* Who seems to be a node is not asked, but only its first ID tells. */
	check(d, "i ID (\"x-waypost-auth\" \"" SIGNED "\")\r\na LOGIN u p\r\n",
	    "* ID (\"name\" \"Waypost\")\r\ni OK ID completed\r\n<LOGIN|u|p>\n");
	check(d, "i ID (\"x-waypost-auth\" \"none\")\r\na LOGIN u p\r\n",
	    "* ID (\"name\" \"Waypost\")\r\ni OK ID completed\r\na NO " INSECURE);
	check(d, "a STARTTLS x\r\n", "a BAD STARTTLS takes no arguments.\r\n");
	check(d, "a NOOP\r\nb sTARTTLS\r\n", "a OK NOOP completed\r\nb OK Begin TLS negotiation now.\r\n<tls>\n");
}

static void check_insecure_pop3(void)
{
	const struct login_dialect *d = &pop3_login_dialect;
	static const char refused[] = "-ERR [SYS/PERM] TLS is required to log in.\r\n<insecure>\n";
	char *capa = run(d, "CAPA\r\n", 6, 6);

	CU_ASSERT_PTR_NOT_NULL(strstr(capa, "\nSTLS\r\n"));
	CU_ASSERT_PTR_NULL(strstr(capa, "SASL"));
	CU_ASSERT_PTR_NULL(strstr(capa, "\nUSER"));
	mem_free(&capa);
	check(d, "USER u\r\n", refused);
	check(d, "PASS p\r\n", refused);
	check(d, "AUTH PLAIN\r\n", refused);
	check(d, "auth PLAIN AHUAcA==\r\n", refused);
	check(d, "APOP u 00\r\n", refused);
	check(d, "XCLIENT WAYPOST-AUTH=" SIGNED "\r\nUSER u\r\nPASS p\r\n",
	    "+OK Noted.\r\n+OK Password required.\r\n<USER|u|p>\n");
	check(d, "STLS x\r\n", "-ERR STLS takes no argument.\r\n");
	check(d, "stls\r\n", "+OK Begin TLS negotiation now.\r\n<tls>\n");
}

/* There is no certificate at the moment; then, none is wanted. */
static void check_no_certificate(void)
{
	check(&imap_login_dialect, "a CAPABILITY\r\n",
	    "* CAPABILITY " CAPABILITIES
	    " LOGINDISABLED\r\na OK CAPABILITY completed Waypost node 00112233445566778899aabbccddeeff ready.\r\n");
	check(&imap_login_dialect, "a STARTTLS\r\n",
	    "a NO [UNAVAILABLE] TLS is not available now, please try again later.\r\n");
	check(&pop3_login_dialect, "STLS\r\n", "-ERR [SYS/TEMP] TLS is not available now, please try again later.\r\n");
	set->imapd_ssl_IMAPDSTARTTLS = set->pop3d_ssl_POP3_STARTTLS = 0;
	check(&imap_login_dialect, "a STARTTLS\r\n", "a BAD Unknown command, or not before login.\r\n");
	check(&pop3_login_dialect, "STLS\r\n", "-ERR Unknown command, or not before login.\r\n");
}

static void test_before_tls(void)
{
	static char nothing;

	set->has_tls[PROTOCOL_IMAP] = set->has_tls[PROTOCOL_POP3] = true;
	use(&set->imapd_IMAP_CAPABILITY, CAPABILITIES " AUTH=PLAIN");
	use(&set->pop3d_POP3AUTH, "PLAIN APOP");
	check(&imap_login_dialect, "a STARTTLS\r\n", "a BAD Unknown command, or not before login.\r\n");
	check(&imap_login_dialect, "a LOGIN u p\r\n", "<LOGIN|u|p>\n");
	use(&set->imapd_ssl_TLS_CERTFILE, "/cert");
	use(&set->pop3d_ssl_TLS_CERTFILE, "/cert");
	login_stub_tls = (SSL_CTX *)&nothing;
	check_insecure_imap();
	check_insecure_pop3();
	login_stub_tls = NULL;
	check_no_certificate();
	set->imapd_ssl_IMAP_TLS_REQUIRED = set->pop3d_ssl_POP3_TLS_REQUIRED = 0;
	check(&imap_login_dialect, "a LOGIN u p\r\n", "<LOGIN|u|p>\n");
	check(&pop3_login_dialect, "USER u\r\nPASS p\r\n", "+OK Password required.\r\n<USER|u|p>\n");
}

/* Whom nobody can listen to on the way to us need not use TLS. */
static void test_who_is_local(void)
{
	static const struct {
		const char *ip;
		bool tls, wants;
	} rows[] = { { "127.0.0.1", false, false }, { "127.9.8.7", false, false }, { "::1", false, false },
		{ "::ffff:127.0.0.1", false, false }, { "10.0.0.7", false, false }, { "10.0.1.7", false, true },
		{ "10.0.1.7", true, false }, { "2001:db8::1", false, true }, { "::2", false, true },
		{ "128.0.0.1", false, true } };

	set->has_tls[PROTOCOL_IMAP] = true;
	use(&set->imapd_ssl_TLS_CERTFILE, "/cert");
	use(&set->proxy_PROXY_TRUSTED, "192.0.2.1 10.0.0.0/24");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct login l = { .dialect = &imap_login_dialect, .set = set, .tls = rows[i].tls };

		CU_ASSERT_FATAL(net_addr_parse(&l.client, rows[i].ip, 1));
		CU_ASSERT_EQUAL(login_wants_tls(&l), rows[i].wants);
	}
}

static void test_imap_sasl(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	/* u NUL p */
	check(d, "a AUTHENTICATE PLAIN AHUAcA==\r\n", "<PLAIN|u|p>\n");
	check(d, "a authenticate plain\r\nAHUAcA==\r\n", "+ \r\n<PLAIN|u|p>\n");
	check(d, "a AUTHENTICATE PLAIN dQB1AHA=\r\n", "<PLAIN|u|p>\n"); /* authzid u */
	check(d, "a AUTHENTICATE PLAIN dgB1AHA=\r\n",
	    "a NO [AUTHORIZATIONFAILED] Logging in as somebody else is not allowed.\r\n");
	check(d, "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n",
	    "+ \r\na BAD Authentication cancelled.\r\nb OK NOOP completed\r\n");
	check(d, "a AUTHENTICATE PLAIN =\r\n", "a BAD Malformed authentication data.\r\n");
	check(d, "a AUTHENTICATE PLAIN !!!!\r\n", "a BAD Malformed authentication data.\r\n");
	check(d, "a AUTHENTICATE LOGIN\r\ndQ==\r\ncA==\r\n", "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n<LOGIN|u|p>\n");
	check(d, "a AUTHENTICATE LOGIN dQ==\r\ncA==\r\n", "+ UGFzc3dvcmQ6\r\n<LOGIN|u|p>\n");
	check(d, "a AUTHENTICATE CRAM-MD5\r\n", "a NO [CANNOT] Unsupported authentication mechanism.\r\n");
	check(d, "a AUTHENTICATE\r\n", "a BAD AUTHENTICATE takes a mechanism and, perhaps, an initial response.\r\n");
}

/* The challenge of the tests is <1.2@n>; "joe doe" and ab12 make "am9lIGRvZSBhYjEy". */
static void test_challenges(void)
{
	const struct login_dialect *d = &imap_login_dialect;
	char *caps = mem_strdup(set->imapd_IMAP_CAPABILITY), *got;
	struct str log = STR_INIT;
	struct login l;
	enum auth_mech mech;

	use(&set->imapd_IMAP_CAPABILITY, "IMAP4rev1 AUTH=PLAIN auth=cram-md5 AUTH=CRAM-SHA256");
	check(d, "a AUTHENTICATE CRAM-MD5\r\nam9lIGRvZSBhYjEy\r\n",
	    "+ PDEuMkBuPg==\r\n<CRAM-MD5|joe doe|ab12> answers\n");
	check(d, "a authenticate cram-sha256\r\nam9lIGRvZSBhYjEy\r\n",
	    "+ PDEuMkBuPg==\r\n<CRAM-SHA256|joe doe|ab12> answers\n");
	check(d, "a AUTHENTICATE CRAM-SHA1\r\n",
	    "a NO [CANNOT] Unsupported authentication mechanism.\r\n"); /* not named */
	check(d, "a AUTHENTICATE APOP\r\n", "a NO [CANNOT] Unsupported authentication mechanism.\r\n");
	check(d, "a AUTHENTICATE CRAM\r\n", "a NO [CANNOT] Unsupported authentication mechanism.\r\n");
	check(d, "a AUTHENTICATE CRAM-MD5 am9lIGRvZSBhYjEy\r\nb NOOP\r\n",
	    "a BAD Malformed authentication data.\r\nb OK NOOP completed\r\n");
	check(d, "a AUTHENTICATE CRAM-MD5\r\n*\r\nb NOOP\r\n",
	    "+ PDEuMkBuPg==\r\na BAD Authentication cancelled.\r\nb OK NOOP completed\r\n");
	/* No blank; no digest; a control character. */
	check(d, "a AUTHENTICATE CRAM-MD5\r\nam9l\r\n", "+ PDEuMkBuPg==\r\na BAD Malformed authentication data.\r\n");
	check(d, "a AUTHENTICATE CRAM-MD5\r\nam9lIA==\r\n", "+ PDEuMkBuPg==\r\n<CRAM-MD5|joe|> answers\n");
	check(d, "a AUTHENTICATE CRAM-MD5\r\nam9lIABi\r\n", "+ PDEuMkBuPg==\r\n<CRAM-MD5|joe|> answers\n");
	check(d, "a AUTHENTICATE CRAM-MD5\r\n\r\n", "+ PDEuMkBuPg==\r\na BAD Malformed authentication data.\r\n");
	/* SCRAM: "n,,n=j=2Coe=3D,r=x"; of a later message nothing is looked at here. */
	use(&set->imapd_IMAP_CAPABILITY, "IMAP4rev1 AUTH=SCRAM-SHA-1");
	check(d, "a AUTHENTICATE SCRAM-SHA-1 biwsbj1qPTJDb2U9M0Qscj14\r\n", "<SCRAM-SHA-1|j,oe=|n,,n=j=2Coe=3D,r=x>\n");
	check(d, "a AUTHENTICATE SCRAM-SHA-1\r\nbiwsbj1qPTJDb2U9M0Qscj14\r\nYWI=\r\n\r\n",
	    "+ \r\n<SCRAM-SHA-1|j,oe=|n,,n=j=2Coe=3D,r=x>\n<SCRAM-SHA-1|j,oe=|ab> answers\n<SCRAM-SHA-1|j,oe=|> "
	    "answers\n");
	check(d, "a AUTHENTICATE SCRAM-SHA-256\r\n", "a NO [CANNOT] Unsupported authentication mechanism.\r\n");
	check(d, "a AUTHENTICATE SCRAM-SHA-1-PLUS\r\n", "a NO [CANNOT] Unsupported authentication mechanism.\r\n");
	/* n,a=b,n=c,r=x   p=tls-unique,,n=u,r=x   n,,n=u=2,r=x   n,, */
	check(d, "a AUTHENTICATE SCRAM-SHA-1 bixhPWIsbj1jLHI9eA==\r\n",
	    "a NO [AUTHORIZATIONFAILED] Logging in as somebody else is not allowed.\r\n");
	check(d, "a AUTHENTICATE SCRAM-SHA-1 cD10bHMtdW5pcXVlLCxuPXUscj14\r\n",
	    "a BAD Malformed authentication data.\r\n");
	check(d, "a AUTHENTICATE SCRAM-SHA-1 biwsbj11PTIscj14\r\n", "a BAD Malformed authentication data.\r\n");
	check(d, "a AUTHENTICATE SCRAM-SHA-1 biws\r\n", "a BAD Malformed authentication data.\r\n");
	/* Another node's token: "u" NUL "ab". */
	check(d, "a AUTHENTICATE X-WAYPOST-TOKEN dQBhYg==\r\n",
	    "a NO [CANNOT] Unsupported authentication mechanism.\r\n");
	set->has_pool_secret = true;
	check(d, "a AUTHENTICATE X-WAYPOST-TOKEN dQBhYg==\r\n", "<X-WAYPOST-TOKEN|u|ab>\n");
	check(d, "a AUTHENTICATE X-WAYPOST-TOKEN\r\ndWFi\r\n", "+ \r\na BAD Malformed authentication data.\r\n");
	set->has_pool_secret = false;
	use(&set->imapd_IMAP_CAPABILITY, caps);
	mem_free(&caps);

	d = &pop3_login_dialect;
	CU_ASSERT_FALSE(d->greeting_mech(&(struct login){ .set = set }, &mech));
	check(d, "APOP u 00\r\n", "-ERR Unknown command, or not before login.\r\n");
	use(&set->pop3d_POP3AUTH, "PLAIN APOP CRAM-SHA1");
	CU_ASSERT(d->greeting_mech(&(struct login){ .set = set }, &mech) && mech == AUTH_MECH_APOP);
	check(d, "AUTH CRAM-SHA1\r\nam9lIGRvZSBhYjEy\r\n", "+ PDEuMkBuPg==\r\n<CRAM-SHA1|joe doe|ab12> answers\n");
	check(d, "AUTH CRAM-MD5\r\n", "-ERR Unsupported authentication mechanism.\r\n");
	check(d, "AUTH APOP\r\n", "-ERR Unsupported authentication mechanism.\r\n");
	check(d, "APOP u 00\r\n",
	    "-ERR [SYS/TEMP] The timestamp was used, or there is none now; please connect again.\r\n");
	got = run(d, "CAPA\r\n", 6, 6);
	CU_ASSERT_PTR_NOT_NULL(strstr(got, "SASL PLAIN CRAM-SHA1\r\n")); /* APOP is the greeting's */
	mem_free(&got);
	login_stub_init(&l, d, set);
	d->greet(&l, "<1.2@n>");
	l.exchange = EXCHANGE_GREETED;
	CU_ASSERT_STRING_EQUAL(l.out.data, "+OK [XCLIENT] Waypost node " SELF " ready. <1.2@n>\r\n");
	str_clear(&l.out);
	login_stub_feed(&l, "APOP joe doe ab12\r\nAPOP joe\r\nAPOP joe \r\nAPOP\r\n", 46, 3, &log);
	CU_ASSERT_STRING_EQUAL(log.data,
	    "<APOP|joe doe|ab12> answers\n-ERR APOP takes a name and a digest.\r\n"
	    "-ERR APOP takes a name and a digest.\r\n-ERR APOP takes a name and a digest.\r\n");
	str_fini(&log);
	login_stub_fini(&l);
	use(&set->pop3d_POP3AUTH, "PLAIN LOGIN");
}

static void test_imap_id(void)
{
	const char *in =
	    "a ID (\"name\" \"x\" \"x-originating-ip\" \"192.0.2.7\" \"x-proxy-ttl\" \"3\" \"vendor\" NIL)\r\n";
	struct str log = STR_INIT;
	struct login l;

	check(&imap_login_dialect, "a ID NIL\r\n", "* ID (\"name\" \"Waypost\")\r\na OK ID completed\r\n");
	check(&imap_login_dialect, "a ID ()\r\n", "* ID (\"name\" \"Waypost\")\r\na OK ID completed\r\n");
	check(&imap_login_dialect, "a ID (\"a\")\r\n", "a BAD " IMAP_ID_BAD "\r\n");
	check(&imap_login_dialect, "a ID (\"0123456789012345678901234567890\" NIL)\r\n", "a BAD " IMAP_ID_BAD "\r\n");
	login_stub_init(&l, &imap_login_dialect, set);
	login_stub_feed(&l, in, strlen(in), strlen(in), &log);
	CU_ASSERT_STRING_EQUAL(str_cstr(&((struct imap_login *)l.data)->id), "\"name\" \"x\"");
	CU_ASSERT(l.forwarded->present);
	CU_ASSERT_EQUAL(l.forwarded->ttl, 3);
	CU_ASSERT_EQUAL(l.forwarded->client.family, AF_INET);
	/* The first one counts. */
	in = "b ID (\"x-proxy-ttl\" \"200\")\r\n";
	login_stub_feed(&l, in, strlen(in), strlen(in), &log);
	CU_ASSERT_EQUAL(l.forwarded->ttl, 3);
	login_stub_fini(&l);
	str_fini(&log);
}

/* The same of what a node is. */
static void test_hop_config(void)
{
	struct forwarded h = { .config = "1.2~rc1/0123456789abcdef0123456789abcdef" };
	char text[FORWARDED_TEXT_CONFIG_MAX], other[FORWARDED_TEXT_CONFIG_MAX + 1];
	size_t len;

	for (size_t i = 0; i < sizeof(h.config_mac); i++)
		h.config_mac[i] = (uint8_t)(0xa5 + 37 * i);
	len = strlen(forwarded_text_config_make(&h, text));
	CU_ASSERT(len < sizeof(text));
	for (size_t cut = 0; cut <= len + 1; cut++) {
		struct forwarded is = { .time = 0 };

		snprintf(other, sizeof(other), "%.*s%s", (int)cut, text, cut > len ? "a" : "");
		forwarded_text_config(&is, other);
		CU_ASSERT_EQUAL(is.present, cut == len);
		CU_ASSERT_STRING_EQUAL(is.config, cut == len ? h.config : "");
		CU_ASSERT_EQUAL(memcmp(is.config_mac, h.config_mac, sizeof(h.config_mac)) == 0, cut == len);
	}
}

/* The same of words about TLS; and bytes that a log line or a peer must not get. */
static void test_hop_tls(void)
{
	struct forwarded h = { .signature = FORWARDED_SIGNATURE_MADE,
		.tls_words = "TLSv1.3:TLS_AES_128_GCM_SHA256:resumed" };
	char text[FORWARDED_TEXT_TLS_MAX], other[FORWARDED_TEXT_TLS_MAX + 100];
	size_t len;

	for (size_t i = 0; i < sizeof(h.tls_mac); i++)
		h.tls_mac[i] = (uint8_t)(0xa5 + 37 * i);
	for (int round = 0; round < 2; round++) {
		len = strlen(forwarded_text_tls_make(&h, text));
		CU_ASSERT(len < sizeof(text));
		for (size_t cut = 0; cut <= len + 1; cut++) {
			struct forwarded is = { .time = 0 };

			snprintf(other, sizeof(other), "%.*s%s", (int)cut, text, cut > len ? "a" : "");
			forwarded_text_tls(&is, other);
			CU_ASSERT_EQUAL(is.present, cut == len);
			CU_ASSERT_STRING_EQUAL(is.tls_words, cut == len ? h.tls_words : "");
			CU_ASSERT_EQUAL(memcmp(is.tls_mac, h.tls_mac, sizeof(h.tls_mac)) == 0,
			    cut == len && round == 0);
		}
		h.signature = FORWARDED_SIGNATURE_NO_SECRET;
	}
	for (int c = 1; c < 256; c++) {
		struct forwarded is = { .time = 0 };

		snprintf(other, sizeof(other), "TLSv1.3%cX/none", c);
		forwarded_text_tls(&is, other);
		CU_ASSERT_EQUAL(is.present, isalnum(c) || strchr("._:-", c) != NULL);
	}
	for (size_t n = 0; n < 100; n++) {
		struct forwarded is = { .time = 0 };

		snprintf(other, sizeof(other), "%.*s/none", (int)n,
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xx");
		forwarded_text_tls(&is, other);
		CU_ASSERT_EQUAL(is.present, n > 0 && n < SESSION_TLS_MAX);
	}
}

/* The signature of a forwarded identity: what is written is read; a text that is cut, longer or in capitals is
 * refused. */
static void test_hop_auth(void)
{
	struct forwarded h = { .signature = FORWARDED_SIGNATURE_MADE, .time = 1893456000 };
	char text[FORWARDED_TEXT_AUTH_MAX], other[FORWARDED_TEXT_AUTH_MAX + 1];
	size_t len;

	for (size_t i = 0; i < sizeof(h.mac); i++)
		h.mac[i] = (uint8_t)(0xa5 + 37 * i);
	len = strlen(forwarded_text_auth_make(&h, text));
	CU_ASSERT_EQUAL(len, strlen("1893456000:") + 2 * FORWARDED_MAC_LEN);
	for (size_t cut = 0; cut <= len + 1; cut++) {
		struct forwarded is = { .time = 0 };

		snprintf(other, sizeof(other), "%.*s%s", (int)cut, text, cut > len ? "a" : "");
		forwarded_text_auth(&is, other);
		CU_ASSERT_EQUAL(is.present, cut == len);
		CU_ASSERT_EQUAL(is.signature, cut == len ? FORWARDED_SIGNATURE_MADE : FORWARDED_SIGNATURE_NONE);
		CU_ASSERT_EQUAL(is.time, cut == len ? h.time : 0);
		CU_ASSERT_EQUAL(memcmp(is.mac, h.mac, sizeof(h.mac)) == 0, cut == len);
	}
	for (size_t at = strcspn(text, ":"); at < len; at++) {
		struct forwarded is = { .time = 0 };

		str_copy(other, sizeof(other), text);
		other[at] = strchr("abcdef", text[at]) != NULL ? (char)(text[at] - 0x20) : 'g';
		forwarded_text_auth(&is, other);
		CU_ASSERT_FALSE(is.present);
	}
	h.signature = FORWARDED_SIGNATURE_NO_SECRET;
	len = strlen(forwarded_text_auth_make(&h, text));
	for (size_t cut = 0; cut <= len + 1; cut++) {
		struct forwarded is = { .time = 0 };

		snprintf(other, sizeof(other), "%.*s%s", (int)cut, text, cut > len ? "e" : "");
		forwarded_text_auth(&is, other);
		CU_ASSERT_EQUAL(is.signature, cut == len ? FORWARDED_SIGNATURE_NO_SECRET : FORWARDED_SIGNATURE_NONE);
		CU_ASSERT_EQUAL(is.present, cut == len);
	}
}

static void test_imap_long(void)
{
	struct str in = STR_INIT;
	char *got;

	str_adds(&in, "a LOGIN ");
	while (in.len < IMAP_LOGIN_SKIP_MAX + 20000)
		str_addc(&in, 'x');
	got = run(&imap_login_dialect, in.data, in.len, 1000);
	CU_ASSERT_STRING_EQUAL(got, "a BAD [TOOBIG] The line is too long.\r\n* BYE Too much at once.\r\n<fatal>\n");
	mem_free(&got);
	str_fini(&in);
}

static void test_pop3(void)
{
	const struct login_dialect *d = &pop3_login_dialect;

	check(d, "USER u\r\nPASS p w \r\n", "+OK Password required.\r\n<USER|u|p w >\n");
	check(d, "user u\npass p\n", "+OK Password required.\r\n<USER|u|p>\n");
	check(d, "PASS p\r\n", "-ERR USER first.\r\n");
	check(d, "USER\r\n", "-ERR USER takes a name.\r\n");
	check(d, "USER u\x01\r\n", "-ERR Control characters are not allowed in names.\r\n");
	check_len(d, "USER u\0\r\n", 9, "-ERR A NUL byte is not allowed.\r\n");
	check(d, "AUTH PLAIN AHUAcA==\r\n", "<PLAIN|u|p>\n");
	check(d, "AUTH PLAIN\r\nAHUAcA==\r\n", "+ \r\n<PLAIN|u|p>\n");
	check(d, "AUTH LOGIN\r\ndQ==\r\n*\r\nQUIT\r\n",
	    "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n-ERR Authentication cancelled.\r\n+OK Bye.\r\n<quit>\n");
	check(d, "AUTH PLAIN dgB1AHA=\r\n", "-ERR [SYS/PERM] Logging in as somebody else is not allowed.\r\n");
	check(d, "AUTH CRAM-MD5\r\n", "-ERR Unsupported authentication mechanism.\r\n");
	check(d, "STAT\r\n", "-ERR Unknown command, or not before login.\r\n");
	check(d, "UTF8\r\n", "+OK UTF8 enabled\r\n");
	check(d, "XCLIENT ADDR=192.0.2.7 PORT=1 TTL=3 NONSENSE X=\r\n", "+OK Noted.\r\n");
}

static uint64_t signed_at;     /* time of our signature for the peer; 0: we have no secret */
static bool tell_client;       /* talk() ends with what the client is told, not with the failure's name */
static enum peer_tls peer_tls; /* of talk()'s peer */
static uint32_t peer_list;     /* what authd says of its list */
static bool client_tls;        /* talk()'s client uses TLS */
static bool without_password;  /* talk()'s login is one by a token, or the master user */
static bool local_server;      /* talk()'s peer is that of LOCAL_IMAP or LOCAL_POP3 */
static const char *send_id = "mail.example.org", *client_ip = "192.0.2.7"; /* PROXY_SEND_ID, and talk()'s client */

/* Feeds the peer's lines; returns what is sent back, and the result. */
static char *talk(const struct login_dialect *d, const char *const *lines, const char *user, const char *password,
    bool foreign, bool utf8)
{
	static struct auth_reply reply;
	const struct backend_fns fns = { .line = d->peer_line };
	struct str log = STR_INIT, out = STR_INIT;
	enum backend_step step = BACKEND_STEP_MORE;
	uint64_t skip = 0;
	struct login l;

	login_stub_init(&l, d, set);
	set->imapd_IMAP_PROXY_FOREIGN = foreign;
	memset(&reply, 0, sizeof(reply));
	strcpy(reply.name, user);
	strcpy(reply.session_id, "sid");
	net_addr_parse(&reply.client, client_ip, 99);
	reply.ttl = 3;
	reply.peer_credentials = without_password ? AUTH_PEER_TOKEN_OR_MASTER : AUTH_PEER_CLIENT_PASSWORD;
	reply.time = signed_at;
	reply.client_tls = client_tls;
	reply.ntargets = 1;
	reply.target[0].tls = peer_tls;
	reply.target[0].list = peer_list;
	strcpy(reply.target[0].host, "mail.example.org");
	net_addr_parse(&reply.target[0].addr, "192.0.2.9", 143);
	reply.local_server = local_server;
	use(&set->proxy_PROXY_SEND_ID, send_id);
	l.reply = &reply;
	l.password = mem_strdup(password);
	if (d == &imap_login_dialect)
		strcpy(((struct imap_login *)l.data)->tag, "t");
	else
		((struct pop3_login *)l.data)->utf8 = utf8;
	/* peer_login_forwarded() needs the peer in use. */
	l.backend = backend_start(EV_DEFAULT, &reply.client, 1, 1, &fns, &l);
	for (; *lines != NULL && step <= BACKEND_STEP_TLS; lines++) {
		step = d->peer_line(*lines, strlen(*lines), &out, &skip, &l);
		str_adds(&log, step == BACKEND_STEP_TLS ? "<TLS>" : "");
		str_add(&log, str_cstr(&out), out.len);
		str_clear(&out);
	}
	backend_free(&l.backend);
	if (l.peer.signature != SIGNATURE_NONE)
		str_addf(&log, "<%s>", signature_check_word(l.peer.signature));
	if (step == BACKEND_STEP_OK) {
		d->accepted(&l);
		if (peer_list != AUTH_LIST_UNWANTED)
			str_addf(&log, "<%s%s>", l.peer.has_list ? "list " : "no list", str_cstr(&l.peer.list));
		str_addf(&log, "=> %s", str_cstr(&l.out));
	} else if (tell_client) {
		d->refuse(&l, l.peer.failure);
		str_addf(&log, "=> %s", str_cstr(&l.out));
	} else {
		str_addf(&log, "=> %s %s", failure_names[l.peer.failure], l.peer.code != NULL ? l.peer.code : "");
	}
	l.reply = NULL;
	login_stub_fini(&l);
	str_fini(&out);
	return str_steal(&log);
}

/* A greeting that leaves nothing to ask. */
#define HI "* OK [CAPABILITY IMAP4rev1] hi"

/* What the client of a login is told whose peer greets with GREETING and answers it with ANSWER (NULL: nothing). */
static char *told(const struct login_dialect *d, const char *greeting, const char *answer)
{
	bool asked =
	    strncmp(greeting, "* OK", 4) == 0 && strstr(greeting, "[CAPABILITY") == NULL && peer_tls == PEER_TLS_NONE;
	const char *const lines[] = { greeting, asked ? "C OK" : answer, asked ? answer : NULL, NULL };
	char *all, *last;

	tell_client = true;
	all = talk(d, lines, "u", "p", false, false);
	tell_client = false;
	last = mem_strdup(strstr(all, "=> ") + 3);
	mem_free(&all);
	return last;
}

#define TALK(d, user, password, foreign, utf8, want, ...) \
	do { \
		const char *const peer_lines[] = { __VA_ARGS__, NULL }; \
		char *said = talk(d, peer_lines, user, password, foreign, utf8); \
		CU_ASSERT_STRING_EQUAL(said, want); \
		if (strcmp(said, want) != 0) \
			printf("\ngot:  %s\nwant: %s\n", said, want); \
		mem_free(&said); \
	} while (0)

#define ID \
	"I ID (\"x-session-id\" \"sid\" \"x-proxy-ttl\" \"3\" " \
	"\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"99\" " \
	"\"x-client-transport\" \"insecure\")\r\n"

#define XCLIENT "XCLIENT SESSION=sid TTL=3 ADDR=192.0.2.7 PORT=99 CLIENT-TRANSPORT=insecure\r\n"
#define SOME_MARK "Waypost node 0123456789abcdef0123456789abcdef ready."
#define IMAP_TLS "S STARTTLS\r\n<TLS>C CAPABILITY\r\n"
#define POP3_TLS "STLS\r\n<TLS>CAPA\r\n"

/* STARTTLS: what was said before it does not count, and capabilities are asked for again within it. */
static void test_peer_starttls(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	peer_tls = PEER_TLS_STARTTLS;
	/* Neither the mark, nor a capability, nor an alert in the greeting. */
	TALK(d, "u", "p", false, false, IMAP_TLS "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY ID SASL-IR LOGINDISABLED] " SOME_MARK, "S OK go", "* CAPABILITY IMAP4rev1", "C OK done",
	    "L OK");
	TALK(d, "u", "p", false, false, IMAP_TLS "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", "* OK [ALERT] evil",
	    "S ok go", "C BAD what", "L OK");
	TALK(d, "u", "p", false, false, IMAP_TLS "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [REFERRAL imap://evil/] x", "S OK [CAPABILITY ID] go", "C OK", "L OK");
	/* A server that knows not even its capabilities takes nobody now. */
	TALK(d, "u", "p", false, false, IMAP_TLS "=> TEMPORARY ", HI, "S OK go", "C NO");
	TALK(d, "u", "p", false, false, IMAP_TLS "=> TEMPORARY UNAVAILABLE", HI, "S OK go", "C NO [UNAVAILABLE] x");
	/* Within TLS all of it counts. */
	TALK(d, "u", "p", false, false, IMAP_TLS ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", HI, "S OK go",
	    "* CAPABILITY ID", "C OK done", "I OK", "L OK");
	TALK(d, "u", "p", false, false, IMAP_TLS ID "L LOGIN \"u\" \"p\"\r\n=> * OK [ALERT] hear\r\nt OK LOGIN Ok.\r\n",
	    HI, "S OK go", "* OK [ALERT] hear", "* CAPABILITY ID", "C OK done", "I OK", "L OK");
	TALK(d, "u", "p", false, false, IMAP_TLS "=> ADMIN ", HI, "S OK go", "* CAPABILITY LOGINDISABLED", "C OK done");
	TALK(d, "u", "p", false, false, IMAP_TLS "=> TEMPORARY UNAVAILABLE", HI, "S OK go", "* BYE [UNAVAILABLE] x");
	TALK(d, "u", "p", false, false, IMAP_TLS "=> INVALID ", HI, "S OK go", "L OK logged in");
	TALK(d, "u", "p", false, false, IMAP_TLS "=> INVALID ", HI, "S OK go", "+ go on");
	TALK(d, "u", "p", false, false, IMAP_TLS "=> INVALID ", HI, "S OK go", "S OK again");
	d = &pop3_login_dialect;
	/* XCLIENT is announced by the greeting alone, which does not count: it is tried, and its reply waited for. */
	for (int takes = 0; takes < 2; takes++) {
		TALK(d, "u", "p", false, false, POP3_TLS XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n",
		    "+OK [XCLIENT] [X-WAYPOST-TOKEN] " SOME_MARK, "+OK go", "+OK", "USER", ".", takes ? "+OK" : "-ERR",
		    "+OK", "+OK");
		TALK(d, "u", "p", false, false, POP3_TLS XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n",
		    "+OK [XCLIENT] hi", "+OK go", "-ERR what", takes ? "+OK" : "-ERR", "+OK", "+OK");
	}
	TALK(d, "u", "p", false, false, POP3_TLS XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK hi",
	    "+OK go", "-ERR what", "-ERR what", "+OK", "+OK");
	TALK(d, "u", "p", false, false, POP3_TLS XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK hi",
	    "+OK go", "+OK [XCLIENT] list", "+OK", "-ERR", ".", "+OK", "+OK", "+OK");
	TALK(d, "u", "p", false, false, POP3_TLS "=> INVALID ", "+OK hi", "+OK go", "what");
	peer_tls = PEER_TLS_NONE;
}

/* The server side of "NO STARTTLS": nothing but the request for TLS is sent, and no word of it reaches the client. */
static void test_peer_without_starttls(void)
{
	static const char later[] = "t NO [UNAVAILABLE] Temporary problem, please try again later.\r\n";
	static const char *const greetings[] = { "* PREAUTH [CAPABILITY ID] evil", "* BYE [ALERT] evil",
		"* NO [ALERT] evil", "* BAD evil", "t OK evil", "* CAPABILITY IMAP4rev1 evil", "* 5 EXISTS",
		"* 1 FETCH (BODY[] {4}", "* LIST () evil evil", "evil", "", "+ evil", "* OKAY evil", "*" };
	static const char *const answers[] = { "S NO [ALERT] evil", "S BAD [REFERRAL imap://evil/] evil", "S PREAUTH",
		"S OKAY", "S", "s OK evil", "SS OK evil", "L OK evil", "C OK evil", "* OK [ALERT] evil",
		"* CAPABILITY ID", "* 5 EXISTS", "* BYE [UNAVAILABLE] evil", "* BYE [ALERT] evil",
		"* 1 FETCH (FLAGS ())", "+ evil", "evil", "", "* NO [REFERRAL imap://evil/] evil", "+OK evil",
		"* PREAUTH evil" };
	static const char *const pop3[] = { "-ERR [ALERT] evil", "-ERR [IN-USE] evil", "-ERR [SYS/PERM] evil", "-ERR",
		"evil", "", ".", "+ evil", "+O", "* BYE evil" };
	static const char pop3_later[] = "-ERR [SYS/TEMP] Temporary problem, please try again later.\r\n";
	char *client;

	peer_tls = PEER_TLS_STARTTLS;
	for (size_t i = 0; i < ARRAY_LEN(greetings); i++) {
		client = told(&imap_login_dialect, greetings[i], NULL);
		CU_ASSERT_STRING_EQUAL(client, later);
		mem_free(&client);
	}
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		const char *want = strncmp(answers[i], "* BYE", 5) == 0 ? "S STARTTLS\r\n=> TEMPORARY " :
		                                                          "S STARTTLS\r\n=> NO_STARTTLS ";

		TALK(&imap_login_dialect, "u", "p", false, false, want, HI, answers[i]);
		client = told(&imap_login_dialect, "* OK [ALERT] evil", answers[i]);
		CU_ASSERT_STRING_EQUAL(client, later);
		mem_free(&client);
	}
	for (size_t i = 0; i < ARRAY_LEN(pop3); i++) {
		TALK(&pop3_login_dialect, "u", "p", false, false, "STLS\r\n=> NO_STARTTLS ", "+OK hi", pop3[i]);
		client = told(&pop3_login_dialect, "+OK evil", pop3[i]);
		CU_ASSERT_STRING_EQUAL(client, pop3_later);
		mem_free(&client);
		client = told(&pop3_login_dialect, pop3[i], NULL);
		CU_ASSERT_STRING_EQUAL(client, pop3_later);
		mem_free(&client);
	}
	/* One that has no time is no liar; its code, too, is for the log alone. */
	TALK(&imap_login_dialect, "u", "p", false, false, "=> TEMPORARY ", "* BYE [LIMIT] full");
	TALK(&imap_login_dialect, "u", "p", false, false, "S STARTTLS\r\n=> TEMPORARY ", HI,
	    "S NO [UNAVAILABLE] no certificate now");
	TALK(&pop3_login_dialect, "u", "p", false, false, "=> TEMPORARY ", "-ERR [SYS/PERM] closed");
	TALK(&pop3_login_dialect, "u", "p", false, false, "STLS\r\n=> TEMPORARY ", "+OK hi",
	    "-ERR [SYS/TEMP] no certificate now");
	/* Nor is one of another protocol, and it is told which. */
	TALK(&imap_login_dialect, "u", "p", false, false, "=> INVALID ", "+OK hi");
	TALK(&pop3_login_dialect, "u", "p", false, false, "=> INVALID ", HI);
	TALK(&imap_login_dialect, "u", "p", false, false, "=> NO_STARTTLS ", "evil");
	TALK(&pop3_login_dialect, "u", "p", false, false, "=> NO_STARTTLS ", "evil");
	peer_tls = PEER_TLS_NONE;
}

/* The last check before a peer: not one byte is sent. */
static void test_peer_controls(void)
{
	const struct login_dialect *const dialect[] = { &imap_login_dialect, &pop3_login_dialect };

	for (unsigned c = 1; c < 0x20; c++) {
		char bad[] = { 'x', (char)c, 'y', '\0' };

		for (unsigned i = 0; i < 2; i++) {
			TALK(dialect[i], bad, "p", false, false, "=> CONTROL_CHARS ",
			    i == 0 ? "* OK [CAPABILITY ID SASL-IR] hi" : "+OK [XCLIENT] hi", "L OK");
			TALK(dialect[i], "u", bad, false, false, "=> CONTROL_CHARS ", i == 0 ? HI : "+OK hi", "L OK");
		}
	}
}

static void test_imap_peer(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", HI, "L OK done");
	TALK(d, "u", "p\"\\", false, false,
	    ID "L LOGIN \"u\" \"p\\\"\\\\\"\r\n=> t OK [CAPABILITY IMAP4rev1 X] LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1 ID] hi", "* ID NIL", "I OK", "L OK [CAPABILITY IMAP4rev1 X] done");
	TALK(d, "u", "p", false, false, ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", "* OK [CAPABILITY ID] hi",
	    "I BAD what", "L OK");
	TALK(d, "u", "\xe4", false, false, "L AUTHENTICATE PLAIN AHUA5A==\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY SASL-IR AUTH=PLAIN] hi", "L OK");
	TALK(d, "u", "\xe4", false, false, "L LOGIN {1+}\r\nu {1+}\r\n\xe4\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY LITERAL+] hi", "L OK");
	TALK(d, "u", "\xe4", false, false, "L LOGIN {1}\r\nu {1}\r\n\xe4\r\n=> t OK LOGIN Ok.\r\n", HI, "+ go", "+ go",
	    "L OK");
	TALK(d, "u", "p", true, false,
	    "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n=> * CAPABILITY IMAP4rev1 X\r\nt OK [CAPABILITY IMAP4rev1 X] LOGIN "
	    "Ok.\r\n",
	    HI, "L OK", "* CAPABILITY IMAP4rev1 X", "C OK");
	TALK(d, "u", "p", true, false, "L LOGIN \"u\" \"p\"\r\n=> * CAPABILITY Y\r\nt OK [CAPABILITY Y] LOGIN Ok.\r\n",
	    HI, "* CAPABILITY Y", "L OK");
	TALK(d, "u", "p", true, false, "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n=> t OK LOGIN Ok.\r\n", HI, "L OK",
	    "C BAD");
	/* What it says behind its reply is of the session. Its list is not repeated, and a literal is not there. */
	TALK(d, "u", "p", true, false,
	    "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n=> * CAPABILITY X\r\nt OK [CAPABILITY X] LOGIN Ok.\r\n"
	    "* OK [ALERT] full\r\n* 3 EXISTS\r\n* BAD x\r\n",
	    HI, "L OK", "* OK [ALERT] full", "* 3 EXISTS", "* CAPABILITY X", "* BAD x", "* LIST () {3}", " {2}", "",
	    "C OK");
	TALK(d, "u", "p", true, false, "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n=> t OK LOGIN Ok.\r\n* LIST \ta\r\n", HI,
	    "L OK", "* 3 EXISTS\r* 4 EXISTS", "* LIST \ta", "C OK");
	TALK(d, "u", "p", true, false, "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n=> TEMPORARY ", HI, "L OK", "* 3 EXISTS",
	    "* BYE gone");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> REFUSED ", HI, "L NO [AUTHENTICATIONFAILED] no");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> REFUSED ", HI, "L NO no");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> IN_USE INUSE", HI, "L NO [INUSE] later");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> TEMPORARY ", HI, "L NO [X] later");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> TEMPORARY ", HI, "* BYE out");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> INVALID ", HI, "L BAD what");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> INVALID ", HI, "+ what");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> INVALID ", HI, "t OK what");
	TALK(d, "u", "p", false, false, "=> INVALID ", "* PREAUTH hi");
	TALK(d, "u", "p", false, false, "=> TEMPORARY ", "* BYE busy");
	TALK(d, "u", "p", false, false, "=> INVALID ", "+OK POP3");
	TALK(d, "u", "p", false, false, "=> INVALID ", "");
	TALK(d, "u", "p", false, false, "=> NEEDS_TLS ", "* OK [CAPABILITY LOGINDISABLED STARTTLS] hi");
	/* LOGIN alone is forbidden: SASL PLAIN is not, with an initial response or without. */
	TALK(d, "u", "p", false, false, "L AUTHENTICATE PLAIN AHUAcA==\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR] hi", "L OK");
	TALK(d, "u", "p", false, false, "L AUTHENTICATE PLAIN\r\nAHUAcA==\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] hi", "+ ", "L OK");
	TALK(d, "u", "p", false, false, "L AUTHENTICATE PLAIN\r\nAHUAcA==\r\n=> REFUSED ",
	    "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] hi", "+ go", "L NO who");
	TALK(d, "u", "p", false, false, "L AUTHENTICATE PLAIN\r\n=> INVALID ",
	    "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] hi", "L OK without a password");
	TALK(d, "u", "p", false, false, "=> NEEDS_TLS ", "* OK [CAPABILITY LOGINDISABLED AUTH=CRAM-MD5 SASL-IR] hi");
	/* A greeting without a list: it is asked for, and the password waits for it. */
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\n" ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", "* OK hi",
	    "* OK still", "* CAPABILITY IMAP4rev1 ID", "C OK", "I OK", "L OK");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\nL LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", "* OK [X] hi",
	    "C BAD what", "L OK");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\n=> NEEDS_TLS ", "* OK hi",
	    "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED", "C OK");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\nL AUTHENTICATE PLAIN\r\nAHUAcA==\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK", "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN", "C OK", "+", "L OK");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\n=> TEMPORARY ", "* OK hi", "* BYE out");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\n=> TEMPORARY ", "* OK hi", "C NO busy");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\n=> INVALID ", "* OK hi", "+ go on");
	TALK(d, "u", "p", false, false, "C CAPABILITY\r\n=> INVALID ", "* OK hi", "L OK in");
	/* Many lines before the reply, of which the list alone matters. */
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> t OK [CAPABILITY IMAP4rev1 X] LOGIN Ok.\r\n", HI,
	    "* 3 EXISTS", "* OK [UIDVALIDITY 1] x", "* CAPABILITY IMAP4rev1 X", "* FLAGS ()", "* NO little space",
	    "* BAD clear text", "L OK in");
	/* A capability list that would break the reply is not forwarded. */
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", HI,
	    "L OK [CAPABILITY a\x01] x");
}

static void test_pop3_peer(void)
{
	const struct login_dialect *d = &pop3_login_dialect;

	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK hi", "+OK", "+OK");
	TALK(d, "u", "p", false, true, "UTF8\r\nUSER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK hi", "+OK", "+OK",
	    "+OK");
	TALK(d, "u", "p", false, true, "UTF8\r\n=> INVALID ", "+OK hi", "-ERR no");
	TALK(d, "u", "p", false, false, XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK [XCLIENT] hi", "+OK",
	    "+OK", "+OK");
	TALK(d, "u", "p", false, false, XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK [XCLIENT] hi", "-ERR",
	    "+OK", "+OK");
	TALK(d, "u", "p ", false, true, XCLIENT "UTF8\r\nAUTH PLAIN AHUAcCA=\r\n=> +OK Logged in.\r\n",
	    "+OK [XCLIENT] hi", "+OK", "+OK", "+OK");
	/* USER refused: for the name, or is it SASL that the peer wants? */
	TALK(d, "u", "p", false, false, "USER u\r\nCAPA\r\n=> REFUSED ", "+OK hi", "-ERR who", "-ERR what");
	TALK(d, "u", "p", false, false, "USER u\r\nCAPA\r\n=> REFUSED ", "+OK hi", "-ERR who", "+OK", "USER",
	    "SASL PLAIN", ".");
	TALK(d, "u", "p", false, false, "USER u\r\nCAPA\r\n=> REFUSED ", "+OK hi", "-ERR who", "+OK",
	    "SASL CRAM-MD5 PLAINER", "SASLPLAIN", "X PLAIN", "", ".");
	TALK(d, "u", "p", false, false, "USER u\r\nCAPA\r\n=> INVALID ", "+OK hi", "-ERR who", "what");
	TALK(d, "u", "p", false, false, "USER u\r\nCAPA\r\nAUTH PLAIN AHUAcA==\r\n=> +OK Logged in.\r\n", "+OK hi",
	    "-ERR who", "+OK", "TOP", "sasl LOGIN plain", ".", "+OK in");
	TALK(d, "u", "p", false, false, "USER u\r\nCAPA\r\nAUTH PLAIN AHUAcA==\r\n=> REFUSED ", "+OK hi", "-ERR who",
	    "+OK", "SASL PLAIN", ".", "-ERR [AUTH] no");
	TALK(d, "u", "p", false, false, "USER u\r\n=> TEMPORARY SYS/TEMP", "+OK hi", "-ERR [SYS/TEMP] later");
	TALK(d, "u", "p", false, false, XCLIENT "USER u\r\nPASS p\r\n=> REFUSED ", "+OK [XCLIENT] hi", "+OK",
	    "-ERR who");
	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\n=> REFUSED ", "+OK hi", "+OK", "-ERR [AUTH] no");
	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\n=> IN_USE IN-USE", "+OK hi", "+OK",
	    "-ERR [IN-USE] locked");
	TALK(d, "u", "p", false, false, "=> TEMPORARY ", "-ERR busy");
	TALK(d, "u", "p", false, false, "=> INVALID ", "* OK IMAP");
	TALK(d, "u", "p", false, false, "USER u\r\n=> INVALID ", "+OK hi", "what");
}

/* authd wants to know what the peer can do after login: it is asked, unless it says so itself. */
static void test_peer_list(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	peer_list = AUTH_LIST_ASK;
	TALK(d, "u", "p", false, false,
	    "L LOGIN \"u\" \"p\"\r\n<list A B>=> t OK [CAPABILITY A B AUTH=X] LOGIN Ok.\r\n", HI,
	    "L OK [CAPABILITY A B AUTH=X] in");
	TALK(d, "u", "p", false, false,
	    "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n<list A>=> t OK [CAPABILITY A] LOGIN Ok.\r\n", HI, "L OK",
	    "* CAPABILITY A", "C OK");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\nC CAPABILITY\r\n<list >=> t OK LOGIN Ok.\r\n", HI,
	    "L OK", "C BAD");
	d = &pop3_login_dialect;
	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\nCAPA\r\n<list TOP UTF8>=> +OK Logged in.\r\n", "+OK hi",
	    "+OK", "+OK", "+OK list", "TOP", "SASL PLAIN", "UTF8 USER", "EXPIRE 7", "", ".");
	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\nCAPA\r\n<list >=> +OK Logged in.\r\n", "+OK hi", "+OK",
	    "+OK", "-ERR what");
	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\nCAPA\r\n=> INVALID ", "+OK hi", "+OK", "+OK", "what");
	peer_list = 77; /* it is known: what comes by itself is compared, nothing is asked */
	TALK(d, "u", "p", false, false, "USER u\r\nPASS p\r\n<no list>=> +OK Logged in.\r\n", "+OK hi", "+OK", "+OK");
	d = &imap_login_dialect;
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n<no list>=> t OK LOGIN Ok.\r\n", HI, "L OK");
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n<list A>=> t OK [CAPABILITY A] LOGIN Ok.\r\n", HI,
	    "L OK [CAPABILITY A] in");
	peer_list = AUTH_LIST_UNWANTED;
}

/* Codes of a peer pass on with the failure that they mean; what only says that TLS is wanted has none. */
static void test_peer_refusals(void)
{
	static const struct {
		const char *text, *want;
	} imap[] = {
		{ "[EXPIRED] old", "=> EXPIRED EXPIRED" },
		{ "[PRIVACYREQUIRED] Plaintext authentication disallowed", "=> NEEDS_TLS PRIVACYREQUIRED" },
		{ "[AUTHORIZATIONFAILED] not you", "=> DENIED AUTHORIZATIONFAILED" },
		{ "[CONTACTADMIN] call", "=> ADMIN CONTACTADMIN" },
		{ "[OVERQUOTA] full", "=> ADMIN OVERQUOTA" },
		{ "[SERVERBUG] oops", "=> TEMPORARY SERVERBUG" },
		{ "LOGIN disabled", "=> NEEDS_TLS " },
		{ "Login only available under a layer", "=> NEEDS_TLS " },
		{ "Login disabled for this account", "=> REFUSED " },
		{ "[AUTHENTICATIONFAILED] no", "=> REFUSED " },
		{ "[EXPIRED", "=> REFUSED " },
	}, pop3[] = {
		{ "[SYS/PERM] no", "=> ADMIN SYS/PERM" },
		{ "[SYS/TEMP/LOCK] no", "=> TEMPORARY SYS/TEMP" },
		{ "[LOGIN-DELAY] wait", "=> TOO_SOON LOGIN-DELAY" },
		{ "[AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "=> NEEDS_TLS " },
	};
	char line[200], want[200];

	for (size_t i = 0; i < ARRAY_LEN(imap); i++) {
		snprintf(line, sizeof(line), "L NO %s", imap[i].text);
		snprintf(want, sizeof(want), "L LOGIN \"u\" \"p\"\r\n%s", imap[i].want);
		TALK(&imap_login_dialect, "u", "p", false, false, want, HI, line);
	}
	for (size_t i = 0; i < ARRAY_LEN(pop3); i++) {
		snprintf(line, sizeof(line), "-ERR %s", pop3[i].text);
		snprintf(want, sizeof(want), "USER u\r\n%s", pop3[i].want);
		TALK(&pop3_login_dialect, "u", "p", false, false, want, "+OK hi", line);
	}
	TALK(&pop3_login_dialect, "u", "p", false, false, "USER u\r\nCAPA\r\n=> REFUSED ", "+OK hi",
	    "-ERR [SYS/PERMANENT] no", "-ERR");
	TALK(&pop3_login_dialect, "u", "p", false, false, "USER u\r\nCAPA\r\n=> REFUSED ", "+OK hi", "-ERR [AUTH] no",
	    "-ERR");
	TALK(&imap_login_dialect, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> NEEDS_TLS ", HI,
	    "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED", "L NO no");
}

/* What servers say who want TLS: in any case of letters, cut anywhere. What others say means something else. */
static void test_wants_tls(void)
{
	static const struct {
		const char *text, *word; /* with the last byte of WORD it is clear */
	} t[] = {
		{ "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "Plaintext auth" },
		{ "[AUTH] Cleartext authentication disallowed on non-secure (SSL/TLS) connections.", "Cleartext auth" },
		{ "cleartext logins disabled", "cleartext login" },
		{ "only valid after entering TLS mode", "entering TLS mode" },
		{ "Login only available under a layer", "available under a layer" },
		{ "[AUTH] USER command only available under a layer", "available under a layer" },
		{ "TLS required to log in.", "TLS required" },
		{ "Must issue a STARTTLS command first", "STARTTLS" },
		{ "A SSL/TLS-connection is required for authentication.", "SSL/TLS" },
		{ "This server requires SSL", "requires SSL" },
		{ "LOGINDISABLED", "LOGINDISABLED" },
		{ "LOGIN disabled", "LOGIN disabled" },
		{ "Command disabled", "Command disabled" },
	};
	static const char *const none[] = { "", "LOGIN", "LOGIN disabled for this account", "LOGIN disabled, call us",
		"[AUTH] Authentication failed.", "Too many plaintext messages", "TLS", "the title is required" };

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		size_t end = (size_t)(strstr(t[i].text, t[i].word) - t[i].text) + strlen(t[i].word);

		for (size_t cut = 0; cut <= strlen(t[i].text); cut++) {
			char *text = mem_memdup(t[i].text, cut), *c;

			CU_ASSERT_EQUAL(failure_wants_tls(text), cut >= end);
			for (c = text; *c != '\0'; c++)
				*c ^= ('a' <= (*c | 0x20) && (*c | 0x20) <= 'z') << 5;
			CU_ASSERT_EQUAL(failure_wants_tls(text), cut >= end);
			mem_free(&text);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		CU_ASSERT_FALSE(failure_wants_tls(none[i]));
}

/* Codes of a peer, in its greeting as in its answer to the login, and the words that the client is told with them: none
 * that speak of another trouble, and none that are the peer's. */
static void test_refusals_told(void)
{
#define LATER "Temporary problem, please try again later.\r\n"
#define ADMIN "The server of this mailbox cannot serve this account; please contact the administrator.\r\n"
#define LIMIT "The server of this mailbox has reached a limit; close other sessions, or try later.\r\n"
#define IN_USE "The mailbox is in use by another session; please try again later.\r\n"
#define DENIED "This account may not log in at the server of its mailbox.\r\n"
#define TOO_SOON "The last login was a moment ago; please wait before the next one.\r\n"
#define EXPIRED "The password has expired; please set a new one.\r\n"
#define TLS "The server of this mailbox accepts logins over TLS only; please contact the administrator.\r\n"
	static const struct {
		const char *said, *told;
	} imap[] = {
		{ "[UNAVAILABLE] x", "[UNAVAILABLE] " LATER },
		{ "[SERVERBUG] x", "[SERVERBUG] " LATER },
		{ "[LIMIT] x", "[LIMIT] " LIMIT },
		{ "[INUSE] x", "[INUSE] " IN_USE },
		{ "[CONTACTADMIN] x", "[CONTACTADMIN] " ADMIN },
		{ "[OVERQUOTA] x", "[OVERQUOTA] " ADMIN },
		{ "[CORRUPTION] x", "[CORRUPTION] " ADMIN },
		{ "[EXPIRED] x", "[EXPIRED] " EXPIRED },
		{ "[PRIVACYREQUIRED] x", "[PRIVACYREQUIRED] " TLS },
		{ "[privacyrequired]", "[PRIVACYREQUIRED] " TLS },
		{ "[AUTHORIZATIONFAILED] x", "[AUTHORIZATIONFAILED] " DENIED },
		{ "[NOPERM] x", "[NOPERM] " DENIED },
		{ "[CONTACTADMIN] Plaintext authentication disallowed", "[CONTACTADMIN] " TLS },
		{ "[ALERT] Plaintext authentication disallowed", "[CONTACTADMIN] " TLS },
		{ "[UNAVAILABLE] no certificate for STARTTLS", "[UNAVAILABLE] " LATER },
		{ "[AUTHENTICATIONFAILED] x", "[UNAVAILABLE] " LATER },
		{ "[X-OTHER] x", "[UNAVAILABLE] " LATER },
		{ "x", "[UNAVAILABLE] " LATER },
		{ "", "[UNAVAILABLE] " LATER },
		{ "[LIMITED] x", "[UNAVAILABLE] " LATER },
		{ "[LIMIT", "[UNAVAILABLE] " LATER },
		{ "[ALERT] locked", "[ALERT] locked\r\n" },
	}, pop3[] = {
		{ " [SYS/TEMP] x", "[SYS/TEMP] " LATER },
		{ " [SYS/TEMP/QUEUE] x", "[SYS/TEMP] " LATER },
		{ " [SYS/PERM] x", "[SYS/PERM] " ADMIN },
		{ " [sys/perm]", "[SYS/PERM] " ADMIN },
		{ " [IN-USE] x", "[IN-USE] " IN_USE },
		{ " [LOGIN-DELAY] x", "[LOGIN-DELAY] " TOO_SOON },
		{ " [SYS/PERM] Plaintext authentication disallowed", "[SYS/PERM] " TLS },
		{ " [AUTH] Plaintext authentication disallowed", "[SYS/PERM] " TLS },
		{ " [SYS/TEMP] no certificate for STARTTLS", "[SYS/TEMP] " LATER },
		{ " [AUTH] x", "[SYS/TEMP] " LATER },
		{ " [ALERT] x", "[SYS/TEMP] " LATER },
		{ " [SYS] x", "[SYS/TEMP] " LATER },
		{ " [IN-USED] x", "[SYS/TEMP] " LATER },
		{ " [IN-USE", "[SYS/TEMP] " LATER },
		{ " x", "[SYS/TEMP] " LATER },
		{ "", "[SYS/TEMP] " LATER },
	};
	static const char *const imap_ways[] = { "L NO ", "L BAD ", "* BYE ", "* BYE " };
	char said[200], want[200], *got;

	for (size_t i = 0; i < 4 * ARRAY_LEN(imap); i++) {
		snprintf(said, sizeof(said), "%s%s", imap_ways[i % 4], imap[i / 4].said);
		snprintf(want, sizeof(want), "t NO %s", imap[i / 4].told);
		got = i % 4 == 3 ? told(&imap_login_dialect, said, NULL) : told(&imap_login_dialect, HI, said);
		CU_ASSERT_STRING_EQUAL(got, want);
		if (strcmp(got, want) != 0)
			printf("\n%s\ngot:  %s\nwant: %s\n", said, got, want);
		mem_free(&got);
	}
	for (size_t i = 0; i < 2 * ARRAY_LEN(pop3); i++) {
		snprintf(said, sizeof(said), "-ERR%s", pop3[i / 2].said);
		snprintf(want, sizeof(want), "-ERR %s", pop3[i / 2].told);
		got = i % 2 == 1 ? told(&pop3_login_dialect, said, NULL) : told(&pop3_login_dialect, "+OK hi", said);
		CU_ASSERT_STRING_EQUAL(got, want);
		if (strcmp(got, want) != 0)
			printf("\n%s\ngot:  %s\nwant: %s\n", said, got, want);
		mem_free(&got);
	}
}

/* PROXY_MASTER_USER's alerts are not for the account's user. */
static void test_master_alerts(void)
{
	struct login l;

	for (int master = 0; master < 2; master++) {
		login_stub_init(&l, &imap_login_dialect, set);
		l.peer.as_master = master == 1;
		str_adds(&l.peer.alerts, "* OK [ALERT] x\r\n");
		imap_login_dialect.refuse(&l, FAILURE_MASTER);
		CU_ASSERT_EQUAL(strstr(l.out.data, "ALERT") == NULL, master == 1);
		login_stub_fini(&l);
	}
}

/* An ALERT reaches the client, whatever it stands in; made printable, bounded, and with no words at its end by which a
 * node tells another what it thinks of its signature. BAD is no message for the user. */
static void test_alerts(void)
{
	const struct login_dialect *d = &imap_login_dialect;
	struct str flood = STR_INIT;
	char *got;
	static const struct {
		const char *greeting, *answer, *told;
	} t[] = {
		{ "* OK [ALERT] night", "L OK", "* OK [ALERT] night\r\nt OK LOGIN Ok.\r\n" },
		{ "* OK [ALERT] night", "L NO [LIMIT] x", "* OK [ALERT] night\r\nt NO [LIMIT] " LIMIT },
		{ HI, "L OK [ALERT] soon full", "* OK [ALERT] soon full\r\nt OK LOGIN Ok.\r\n" },
		{ HI, "L OK [alert] \xc3\xa4\x01\x7f\t", "* OK [alert] .....\r\nt OK LOGIN Ok.\r\n" },
		{ HI, "L NO [ALERT] a\x01\xe4", "t NO [ALERT] a..\r\n" },
		{ HI, "L NO [ALERT]", "t NO [ALERT] The server of this mailbox refuses this login.\r\n" },
		{ HI, "L NO [ALERT] no. Signature missing.", "t NO [ALERT] no.\r\n" },
		{ HI, "L NO [ALERT] Signature missing. Signature not accepted: clock.",
		    "t NO [ALERT] The server of this mailbox refuses this login.\r\n" },
		{ HI, "L NO [ALERT]Signature missing.",
		    "t NO [ALERT] The server of this mailbox refuses this login.\r\n" },
		{ "* BYE [ALERT] gone", NULL, "t NO [ALERT] gone\r\n" },
		/* Clients would take what we say next for the bytes of a literal. */
		{ "* OK [ALERT] eat {99}", "L OK", "* OK [ALERT] eat {99)\r\nt OK LOGIN Ok.\r\n" },
		{ "* OK [ALERT] {9+}", "L OK", "* OK [ALERT] {9+)\r\nt OK LOGIN Ok.\r\n" },
		{ HI, "L NO [ALERT] eat {99}", "t NO [ALERT] eat {99)\r\n" },
		{ HI, "L NO [ALERT] {99} Signature missing.", "t NO [ALERT] {99)\r\n" },
		{ HI, "L OK [CAPABILITY X {9}] in", "t OK LOGIN Ok.\r\n" },
		{ HI, "L OK [CAPABILITY X] [ALERT] no code", "t OK [CAPABILITY X] LOGIN Ok.\r\n" },
		{ HI, "L OK [ALERTS] none", "t OK LOGIN Ok.\r\n" },
		{ HI, "L OK [ALERT", "t OK LOGIN Ok.\r\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		got = told(d, t[i].greeting, t[i].answer);
		CU_ASSERT_STRING_EQUAL(got, t[i].told);
		if (strcmp(got, t[i].told) != 0)
			printf("\ngot:  %s\nwant: %s\n", got, t[i].told);
		mem_free(&got);
	}
	TALK(d, "u", "p", false, false,
	    "L LOGIN \"u\" \"p\"\r\n=> * OK [ALERT] a\r\n* NO [ALERT] b\r\nt OK LOGIN Ok.\r\n", HI,
	    "* BAD [ALERT] you sent a password in the clear", "* OK [ALERT] a", "* NO [ALERT] b", "* OK [X] c", "L OK");
	str_adds(&flood, "* NO [ALERT] ");
	for (int i = 0; i < 5000; i++)
		str_addc(&flood, 'x');
	const char *const lines[] = { HI, flood.data, flood.data, flood.data, flood.data, flood.data, flood.data,
		flood.data, "L OK", NULL };

	got = talk(d, lines, "u", "p", false, false);
	CU_ASSERT(strlen(got) > 1000 && strlen(got) < 1500);
	mem_free(&got);
	got = told(d, HI, memcpy(flood.data, "L NO [ALERT] ", 13));
	CU_ASSERT(strlen(got) > 200 && strlen(got) < 300);
	mem_free(&got);
	str_fini(&flood);
}

#define MARK(id) "Waypost node " id " ready."

/* A node is told that we have no secret; others not. */
#define FORWARDED_ID(auth) \
	"I ID (\"x-session-id\" \"sid\" \"x-proxy-ttl\" \"3\" " \
	"\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"99\" " \
	"\"x-client-transport\" \"insecure\" \"x-waypost-auth\" \"" auth "\")\r\n"
#define NODE_ID FORWARDED_ID("none")
#define SIGNED_ID FORWARDED_ID("5:0000000000000000000000000000000000000000000000000000000000000000")
#define NODE_XCLIENT "XCLIENT SESSION=sid TTL=3 ADDR=192.0.2.7 PORT=99 CLIENT-TRANSPORT=insecure WAYPOST-AUTH=none\r\n"

static bool sends_token_after(const struct login_dialect *d, const char *const *lines)
{
	char *all = talk(d, lines, "u", "p", false, false);
	bool sent =
	    strstr(all, d == &imap_login_dialect ? "L AUTHENTICATE X-WAYPOST-TOKEN " : "AUTH X-WAYPOST-TOKEN ") != NULL;

	CU_ASSERT(sent || strstr(all, "=> NO_MASTER") != NULL);
	mem_free(&all);
	return sent;
}

static bool sends_token(const char *greeting)
{
	const char *const lines[] = { greeting, NULL };

	return sends_token_after(&imap_login_dialect, lines);
}

static bool sends(const struct login_dialect *d, const char *what, const char *const *lines)
{
	char *all = talk(d, lines, "u", "p", false, false);
	bool sent = strstr(all, what) != NULL;

	CU_ASSERT(strstr(all, "LOGIN Ok.") != NULL || strstr(all, "+OK Logged in.") != NULL);
	mem_free(&all);
	return sent;
}

/* Who logs in is told to nodes, to the local server, and to those of PROXY_SEND_ID; to nobody else. */
static void test_send_id(void)
{
	static const struct {
		const char *list;
		bool told;
	} t[] = {
		{ "", false },
		{ "mail.example.org", true },
		{ "a.test MAIL.example.org.", true },
		{ ".example.org", true },
		{ ".org", true },
		{ ".mail.example.org", false },
		{ "ample.org example.org org mail", false },
		{ "192.0.2.9", true },
		{ "a.test 192.0.2.0/24 b.test", true },
		{ "::ffff:192.0.2.9", true },
		{ "192.0.2.7 192.0.2.10 2001:db8::/32", false },
		{ "0.0.0.0/0", true },
	};
	static const char *const imap[] = { "* OK [CAPABILITY ID] hi", "I OK", "L OK", NULL };
	static const char *const imap_local[] = { "* OK [CAPABILITY ID] hi", "I OK", "L OK [CAPABILITY X] in", NULL };
	static const char *const imap_node[] = { "* OK [CAPABILITY ID] " MARK(OTHER), "I OK", "L OK", NULL };
	static const char *const pop3[] = { "+OK [XCLIENT] hi", "+OK", "+OK", "+OK", NULL };
	static const char *const pop3_node[] = { "+OK " MARK(OTHER), "+OK", "+OK", "+OK", NULL };
	static const char *const stls[] = { "+OK [XCLIENT] hi", "+OK", "-ERR", "+OK", "+OK", "+OK", NULL };
	static const char *const stls_without[] = { "+OK [XCLIENT] hi", "+OK", "-ERR", "+OK", "+OK", NULL };
	const struct login_dialect *pop = &pop3_login_dialect;
	const char *was = send_id;

	signed_at = 5;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		send_id = t[i].list;
		CU_ASSERT_EQUAL(sends(&imap_login_dialect, "192.0.2.7", imap), t[i].told);
		CU_ASSERT_EQUAL(sends(&imap_login_dialect, "x-client-transport", imap), t[i].told);
		CU_ASSERT(sends(&imap_login_dialect, "\"x-session-id\" \"sid\" \"x-proxy-ttl\" \"3\"", imap));
		CU_ASSERT_FALSE(sends(&imap_login_dialect, "x-waypost", imap));
		CU_ASSERT_EQUAL(sends(pop, " ADDR=192.0.2.7 PORT=99 CLIENT-TRANSPORT=insecure\r\n", pop3), t[i].told);
		CU_ASSERT_EQUAL(sends(pop, "XCLIENT SESSION=sid TTL=3\r\n", pop3), !t[i].told);
		/* Within TLS a server does not say whether it takes XCLIENT: the operator does. */
		peer_tls = PEER_TLS_STARTTLS;
		CU_ASSERT_EQUAL(sends(pop, "XCLIENT", t[i].told ? stls : stls_without), t[i].told);
		peer_tls = PEER_TLS_NONE;
		CU_ASSERT(sends(&imap_login_dialect, "192.0.2.7", imap_node));
		CU_ASSERT(sends(pop, " ADDR=192.0.2.7 ", pop3_node));
		local_server = true;
		CU_ASSERT(sends(&imap_login_dialect, "\"x-originating-ip\" \"192.0.2.7\"", imap_local));
		CU_ASSERT(sends(pop, " ADDR=192.0.2.7 ", pop3));
		local_server = false;
	}
	signed_at = 0;
	send_id = was;
	/* Dovecot knows no "IPV6:" before an address, in neither protocol. */
	client_ip = "2001:db8::7";
	client_tls = true;
	CU_ASSERT(sends(&imap_login_dialect,
	    "\"x-originating-ip\" \"2001:db8::7\" \"x-originating-port\" \"99\" \"x-client-transport\" \"TLS\"", imap));
	CU_ASSERT(sends(pop, " ADDR=2001:db8::7 PORT=99 CLIENT-TRANSPORT=TLS\r\n", pop3));
	client_tls = false;
	client_ip = "::ffff:192.0.2.7";
	CU_ASSERT(sends(&imap_login_dialect, "\"192.0.2.7\"", imap));
	client_ip = "192.0.2.7";
}

/* A node whose greeting lists nothing may ask clients for certificates; tokens it takes all the same. */
static void test_token_without_a_list(void)
{
	without_password = true;
	signed_at = 5;
	CU_ASSERT(sends_token("* OK [CAPABILITY IMAP4rev1 AUTH=X-WAYPOST-TOKEN] " MARK(OTHER)));
	CU_ASSERT(sends_token("* OK " MARK(OTHER)));
	CU_ASSERT_FALSE(sends_token("* OK [CAPABILITY IMAP4rev1] " MARK(OTHER)));
	CU_ASSERT_FALSE(sends_token(HI));
	signed_at = 0;
	without_password = false;
}

/* A mark in clear counts for nothing, whatever is said within TLS: no token leaves for it. */
static void test_mark_before_starttls(void)
{
	static const char *const imap[][6] = {
		{ "* OK " MARK(OTHER), "S OK go", "* CAPABILITY IMAP4rev1 ID AUTH=X-WAYPOST-TOKEN", "C OK done", NULL },
		{ HI, "S OK go", "* CAPABILITY IMAP4rev1 ID AUTH=X-WAYPOST-TOKEN", "C OK done", NULL },
		{ "* OK [CAPABILITY ID AUTH=X-WAYPOST-TOKEN] " MARK(OTHER), "S OK go", "* CAPABILITY IMAP4rev1 ID",
		    "C OK done", NULL },
		{ "* OK " MARK(SELF), "S OK go", "* CAPABILITY IMAP4rev1 ID AUTH=X-WAYPOST-TOKEN", "C OK done", NULL },
	};
	static const char *const pop3[][7] = {
		{ "+OK [XCLIENT] [X-WAYPOST-TOKEN] " MARK(OTHER), "+OK", "+OK", "IMPLEMENTATION Waypost", ".", NULL },
		{ "+OK [XCLIENT] " MARK(OTHER), "+OK", "+OK", "IMPLEMENTATION Waypost", ".", NULL },
		{ "+OK [XCLIENT] [X-WAYPOST-TOKEN] " MARK(OTHER), "+OK", "+OK", "USER", ".", NULL },
		{ "+OK [XCLIENT] [X-WAYPOST-TOKEN] hi", "+OK", "+OK", "IMPLEMENTATION Waypost", ".", NULL },
		{ "+OK [XCLIENT] [X-WAYPOST-TOKEN] " MARK(SELF), "+OK", "+OK", "IMPLEMENTATION Waypost", ".", NULL },
	};

	without_password = true;
	signed_at = 5;
	peer_tls = PEER_TLS_STARTTLS;
	for (size_t i = 0; i < ARRAY_LEN(imap); i++)
		CU_ASSERT_FALSE(sends_token_after(&imap_login_dialect, imap[i]));
	for (size_t i = 0; i < ARRAY_LEN(pop3); i++)
		CU_ASSERT_FALSE(sends_token_after(&pop3_login_dialect, pop3[i]));
	peer_tls = PEER_TLS_NONE;
	signed_at = 0;
	without_password = false;
}

/* What a node says of our signature, at the end of its answer to the login; from others such words mean nothing. */
static void test_peer_notes(void)
{
	const struct login_dialect *imap = &imap_login_dialect, *pop3 = &pop3_login_dialect;
	TALK(imap, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1] " MARK(OTHER), "I OK", "L OK");
	TALK(imap, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n<secret>=> t OK LOGIN Ok.\r\n",
	    "* OK " MARK(OTHER), "* ID NIL", "I OK", "L OK Ok. Signature not accepted.");
	TALK(imap, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n<clock>=> REFUSED ", "* OK " MARK(OTHER),
	    "I OK", "L NO [AUTHENTICATIONFAILED] no. Signature not accepted: clock.");
	TALK(imap, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n<unsigned>=> PEER_LIMIT LIMIT",
	    "* OK " MARK(OTHER), "I OK", "L NO [LIMIT] no. Signature missing.");
	TALK(imap, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", "* OK " MARK(OTHER),
	    "I OK Signature missing.", "L OK Signature missing. ");
	TALK(imap, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", HI,
	    "L OK Ok. Signature not accepted.");
	TALK(pop3, "u", "p", false, false, NODE_XCLIENT "USER u\r\nPASS p\r\n<no-secret>=> +OK Logged in.\r\n",
	    "+OK [XCLIENT] " MARK(OTHER), "+OK", "+OK", "+OK in. Signature not known: no secret here.");
	TALK(pop3, "u", "p", false, false, NODE_XCLIENT "USER u\r\nPASS p\r\n<secret>=> REFUSED ",
	    "+OK [XCLIENT] " MARK(OTHER) " <1.2@n>", "+OK", "+OK", "-ERR [AUTH] no. Signature not accepted.");
	TALK(pop3, "u", "p", false, false, XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK [XCLIENT] hi",
	    "+OK", "+OK", "+OK Signature missing.");
}

/* A node that wants TLS: of our client, for which PROXY_TLS is no cure, nor for a signature that it does not accept. */
static void test_node_needs_tls(void)
{
#define OUR_CLIENT "CLIENT_TLS", "[PRIVACYREQUIRED] TLS is required to log in.", "[SYS/PERM] TLS is required to log in."
#define SIGNATURE "UNBELIEVED", "[UNAVAILABLE] " LATER, "[SYS/TEMP] " LATER
	static const struct {
		uint64_t time;
		bool client_tls;
		enum peer_tls peer_tls;
		const char *note, *failure, *imap, *pop3;
	} t[] = {
		{ 5, false, PEER_TLS_NONE, "", OUR_CLIENT },
		{ 5, false, PEER_TLS_IMPLICIT, "", OUR_CLIENT },
		{ 5, false, PEER_TLS_NONE, " Signature not accepted.", SIGNATURE },
		{ 5, true, PEER_TLS_NONE, " Signature not accepted.", SIGNATURE },
		{ 5, true, PEER_TLS_NONE, " Signature not known: no secret here.", SIGNATURE },
		{ 0, true, PEER_TLS_NONE, " Signature missing.", SIGNATURE },
		{ 0, true, PEER_TLS_NONE, "", "NEEDS_TLS", "[PRIVACYREQUIRED] " TLS, "[SYS/PERM] " TLS },
		{ 0, false, PEER_TLS_NONE, "", "NEEDS_TLS", "[PRIVACYREQUIRED] " TLS, "[SYS/PERM] " TLS },
		{ 0, true, PEER_TLS_IMPLICIT, "", "ADMIN", "[CONTACTADMIN] " ADMIN, "[SYS/PERM] " ADMIN },
	};

	for (size_t i = 0; i < 4 * ARRAY_LEN(t); i++) {
		const struct login_dialect *d = i % 2 == 0 ? &imap_login_dialect : &pop3_login_dialect;
		char imap[200], pop3[200], *got;
		const char *const lines[][5] = { { "* OK " MARK(OTHER), imap, NULL },
			{ "+OK [XCLIENT] " MARK(OTHER), "+OK", "+OK", pop3, NULL } };
		const char *want = i % 4 < 2 ? t[i / 4].failure : i % 2 == 0 ? t[i / 4].imap : t[i / 4].pop3;

		snprintf(imap, sizeof(imap), "L NO [PRIVACYREQUIRED] TLS is required to log in.%s", t[i / 4].note);
		snprintf(pop3, sizeof(pop3), "-ERR [SYS/PERM] TLS is required to log in.%s", t[i / 4].note);
		signed_at = t[i / 4].time;
		client_tls = t[i / 4].client_tls;
		peer_tls = t[i / 4].peer_tls;
		tell_client = i % 4 >= 2;
		got = talk(d, lines[i % 2], "u", "p", false, false);
		CU_ASSERT_PTR_NOT_NULL(strstr(got, want));
		if (strstr(got, want) == NULL)
			printf("\n%zu: got %s, not %s\n", i, got, want);
		mem_free(&got);
	}
	signed_at = 0;
	client_tls = tell_client = false;
	peer_tls = PEER_TLS_NONE;
}

/* What we say of the signature of the node before: behind every answer to a login, and in no other. */
static void test_notes(void)
{
	static const char *const words[] = { [SIGNATURE_NONE] = "\r\n",
		[SIGNATURE_GOOD] = "\r\n",
		[SIGNATURE_WRONG] = " Signature not accepted.\r\n",
		[SIGNATURE_CLOCK] = " Signature not accepted: clock.\r\n",
		[SIGNATURE_MISSING] = " Signature missing.\r\n",
		[SIGNATURE_UNKNOWN] = " Signature not known: no secret here.\r\n" };
	const struct login_dialect *const dialects[] = { &imap_login_dialect, &pop3_login_dialect };
	static struct auth_reply reply;

	for (size_t i = 0; i < 2 * SIGNATURE_COUNT * AUTH_VERDICT_COUNT; i++) {
		const struct login_dialect *d = dialects[i % 2];
		enum signature_check check = (enum signature_check)(i / 2 % SIGNATURE_COUNT);
		enum auth_verdict v = (enum auth_verdict)(i / 2 / SIGNATURE_COUNT);
		struct login l;
		char *line;

		login_stub_init(&l, d, set);
		reply.signature = check;
		l.reply = &reply;
		if (v == AUTH_VERDICT_OK)
			d->accepted(&l);
		else
			d->refuse(&l, failure_of_verdict(v));
		CU_ASSERT_FATAL(l.out.len > strlen(words[check]));
		CU_ASSERT_STRING_EQUAL(l.out.data + l.out.len - strlen(words[check]), words[check]);
		line = mem_memdup(l.out.data, l.out.len - 2);
		CU_ASSERT_PTR_NULL(strpbrk(line, "\r\n"));
		CU_ASSERT_EQUAL(signature_check_read(line), signature_check_bad(check) ? check : SIGNATURE_NONE);
		mem_free(&line);
		l.reply = NULL;
		login_stub_fini(&l);
	}
}

/* A greeting that is cut anywhere, or has a byte changed anywhere in its mark, is no node's. */
static void check_mark(const char *greeting, const char *id)
{
	size_t len = strlen(greeting), from = (size_t)(strstr(greeting, "Waypost node") - greeting),
	       to = from + strlen(MARK("")) + NODE_ID_LEN;

	CU_ASSERT_EQUAL(node_mark_read(greeting, id, NULL), NODE_MARK_SELF);
	CU_ASSERT_EQUAL(node_mark_read(greeting, OTHER, NULL), NODE_MARK_OTHER);
	CU_ASSERT_EQUAL(node_mark_read(greeting, "", NULL), NODE_MARK_OTHER);
	for (size_t cut = 0; cut < len; cut++) {
		char *part = mem_memdup(greeting, cut), *rest = mem_strdup(greeting + len - cut);

		CU_ASSERT_EQUAL(node_mark_read(part, id, NULL), cut == to ? NODE_MARK_SELF : NODE_MARK_NONE);
		CU_ASSERT_EQUAL(node_mark_read(rest, id, NULL) == NODE_MARK_SELF, cut > len - from);
		mem_free(&part);
		mem_free(&rest);
	}
	for (size_t at = from; at < to; at++) {
		char *other = mem_strdup(greeting);
		bool digit = strchr("0123456789abcdef", other[at]) != NULL && at >= from + strlen("Waypost node ") &&
		    at < to - strlen(" ready.");

		other[at] = digit ? (other[at] == '0' ? '1' : '0') : other[at] == 'X' ? 'Y' : 'X';
		CU_ASSERT_EQUAL(node_mark_read(other, id, NULL), digit ? NODE_MARK_OTHER : NODE_MARK_NONE);
		other[at] = '\n';
		CU_ASSERT_EQUAL(node_mark_read(other, id, NULL), NODE_MARK_NONE);
		mem_free(&other);
	}
}

static void test_node_mark(void)
{
	struct str out = STR_INIT;

	node_mark_add(&out, SELF);
	CU_ASSERT_STRING_EQUAL(out.data, MARK(SELF));
	str_fini(&out);
	check_mark("* OK [CAPABILITY IMAP4rev1] " MARK(SELF), SELF);
	check_mark("* OK [CAPABILITY IMAP4rev1 X]Y] " MARK(SELF), SELF);
	check_mark("* OK " MARK(SELF), SELF);
	check_mark("+OK [XCLIENT] [X-WAYPOST-TOKEN] " MARK(SELF), SELF);
	check_mark("+OK " MARK(SELF) " <1.2@" SELF ">", SELF);
	CU_ASSERT_EQUAL(node_mark_read("", SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read(">", SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read(" <>", SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read(MARK(SELF), SELF, NULL), NODE_MARK_NONE); /* nothing before it */
	CU_ASSERT_EQUAL(node_mark_read("* OK" MARK(SELF), SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("* OK " MARK("00112233445566778899AABBCCDDEEFF"), SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("* OK " MARK(""), "", NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("* OK " MARK(SELF "0"), SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("* OK " MARK(SELF) " I say", SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("+OK " MARK(SELF) " <1 2>", SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("+OK " MARK(SELF) "<1.2>", SELF, NULL), NODE_MARK_NONE);
	CU_ASSERT_EQUAL(node_mark_read("+OK " MARK(SELF) " <1> <2>", SELF, NULL), NODE_MARK_NONE);
}

/* Peers that are our own nodes: identity, tokens and everything in one flight, whatever they announce; this node
 * itself gets nothing at all. */
static void test_nodes_as_peers(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	TALK(d, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1] " MARK(OTHER), "I OK", "L OK");
	TALK(d, "u", "p", false, false, NODE_ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n", "* OK " MARK(OTHER),
	    "I OK", "L OK");
	TALK(d, "u", "\xe4", false, false, NODE_ID "L LOGIN {1+}\r\nu {1+}\r\n\xe4\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1] " MARK(OTHER), "I OK", "L OK");
	TALK(d, "u", "p", false, false, "=> SELF ", "* OK [CAPABILITY IMAP4rev1 ID] " MARK(SELF));
	TALK(d, "u", "p", false, false, "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1] " MARK(OTHER) " Not.", "L OK");
	TALK(d, "u", "p", false, false, "=> TEMPORARY ", "* BYE " MARK(OTHER));
	/* It takes clear passwords from signed logins only, and this one is not. */
	TALK(d, "u", "p", false, false, "=> NEEDS_TLS ", "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] " MARK(OTHER));
	signed_at = 5;
	TALK(d, "u", "p", false, false, SIGNED_ID "L LOGIN \"u\" \"p\"\r\n=> t OK LOGIN Ok.\r\n",
	    "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] " MARK(OTHER), "I OK", "L OK");
	signed_at = 0;
	d = &pop3_login_dialect;
	TALK(d, "u", "p", false, false, NODE_XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n", "+OK " MARK(OTHER),
	    "+OK", "+OK", "+OK");
	TALK(d, "u", "p", false, false, NODE_XCLIENT "USER u\r\nPASS p\r\n=> +OK Logged in.\r\n",
	    "+OK [XCLIENT] " MARK(OTHER) " <1.2@n>", "+OK", "+OK", "+OK");
	TALK(d, "u", "p", false, false, "=> SELF ", "+OK [XCLIENT] " MARK(SELF) " <1.2@n>");
	TALK(d, "u", "p", false, false, "=> TEMPORARY ", "-ERR " MARK(OTHER));
}

static void begin(void)
{
	set = settings_defaults();
	CU_ASSERT_PTR_NOT_NULL_FATAL(set);
	mem_free(&set->node_id);
	set->node_id = mem_strdup(SELF);
}

static void end(void)
{
	settings_free(&set);
}

/* Names and passwords that nobody can have are attempts like others: authd refuses them, and they are logged.
 * Nothing of them goes there but a name that is cut and cleaned. */
static void test_unfit(void)
{
	char in[2 * ACCOUNT_PASSWORD_MAX + 100], want[2 * ACCOUNT_PASSWORD_MAX + 100];
	const struct login_dialect *d = &imap_login_dialect;

	check(d, "a LOGIN u \"\"\r\n", "<LOGIN|u|>\n");
	check(d, "a LOGIN \"\" p\r\n", "<LOGIN||>\n");
	check(d, "a LOGIN \"\" \"\"\r\n", "<LOGIN||>\n");
	check(d, "a LOGIN u {0}\r\n\r\n", "+ OK\r\n<LOGIN|u|>\n");
	check(d, "a LOGIN {2+}\r\nu\x01 p\r\n", "<LOGIN|u?|>\n");
	check(d, "a LOGIN {2+}\r\nu\r p\r\n", "<LOGIN|u?|>\n");
	check(d, "a LOGIN u {2+}\r\np\n\r\n", "<LOGIN|u|>\n");
	snprintf(in, sizeof(in), "a LOGIN u %0*d\r\n", ACCOUNT_PASSWORD_MAX - 1, 7);
	snprintf(want, sizeof(want), "<LOGIN|u|%0*d>\n", ACCOUNT_PASSWORD_MAX - 1, 7);
	check(d, in, want);
	snprintf(in, sizeof(in), "a LOGIN u %0*d\r\n", ACCOUNT_PASSWORD_MAX, 7);
	check(d, in, "<LOGIN|u|>\n");
	snprintf(in, sizeof(in), "a LOGIN %0*d p\r\n", ACCOUNT_NAME_MAX, 7);
	snprintf(want, sizeof(want), "<LOGIN|%0*d|>\n", ACCOUNT_NAME_MAX - 1, 0);
	check(d, in, want);
	/* NUL u NUL; NUL NUL p; NUL u NUL p NUL; NUL u NUL p CR */
	check(d, "a AUTHENTICATE PLAIN AHUA\r\n", "<PLAIN|u|>\n");
	check(d, "a AUTHENTICATE PLAIN AABw\r\n", "<PLAIN||>\n");
	check(d, "a AUTHENTICATE PLAIN AHUAcAA=\r\n", "<PLAIN|u|>\n");
	check(d, "a AUTHENTICATE PLAIN AHUAcA0=\r\n", "<PLAIN|u|>\n");
	check(d, "a AUTHENTICATE LOGIN\r\ndQ==\r\n\r\n", "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n<LOGIN|u|>\n");
	check(d, "a AUTHENTICATE LOGIN\r\n\r\ncA==\r\n", "+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\n<LOGIN||>\n");
	check(d, "a AUTHENTICATE LOGIN dQA=\r\ncA==\r\n", "+ UGFzc3dvcmQ6\r\n<LOGIN|u?|>\n");
	d = &pop3_login_dialect;
	check(d, "USER u\r\nPASS\r\n", "+OK Password required.\r\n<USER|u|>\n");
	check(d, "USER u\r\nPASS \r\n", "+OK Password required.\r\n<USER|u|>\n");
	check(d, "USER u\r\nPASS p\x01\r\n", "+OK Password required.\r\n<USER|u|>\n");
	check_len(d, "USER u\r\nPASS p\0q\r\n", 18, "+OK Password required.\r\n<USER|u|>\n");
	snprintf(in, sizeof(in), "USER u\r\nPASS %0*d\r\n", ACCOUNT_PASSWORD_MAX, 7);
	check(d, in, "+OK Password required.\r\n<USER|u|>\n");
	check(d, "AUTH PLAIN AHUA\r\n", "<PLAIN|u|>\n");
	/* No password was told: no attempt. */
	check(d, "PASS p\r\n", "-ERR USER first.\r\n");
	check(d, "AUTH PLAIN\r\n*\r\n", "+ \r\n-ERR Authentication cancelled.\r\n");
}

/* The body of a browser's request is somebody else's words: its first line ends the connection. */
static void test_http(void)
{
	static const char *const lines[] = { "GET / HTTP/1.1", "POST /{12} HTTP/1.1", "HEAD /a%20LOGIN HTTP/1.0",
		"put /", "OPTIONS * HTTP/1.1", "CONNECT mail.example.com:25 HTTP/1.1", "DELETE / HTTP/1.1",
		"TRACE / HTTP/1.1", "PATCH / HTTP/1.1", "PRI * HTTP/2.0", "PROPFIND / HTTP/1.1", "GET",
		"POST http://x/ HTTP/1.1", "POST / {5+}" };
	static const char body[] = "\r\nHost: x\r\n\r\na LOGIN u p\r\nUSER u\r\nPASS p\r\n";
	struct str in = STR_INIT;
	char *got;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		str_clear(&in);
		str_adds(&in, lines[i]);
		str_adds(&in, body);
		check(&imap_login_dialect, str_cstr(&in), "<http>\n");
		check(&pop3_login_dialect, str_cstr(&in), "<http>\n");
	}
	str_clear(&in);
	str_adds(&in, "POST /");
	for (int i = 0; i < 20000; i++)
		str_addc(&in, 'x');
	str_adds(&in, " HTTP/1.1");
	str_adds(&in, body);
	got = run(&imap_login_dialect, in.data, in.len, 1000);
	CU_ASSERT_STRING_EQUAL(got, "<http>\n");
	mem_free(&got);
	str_fini(&in);
	/* A tag is a client's choice, and so is a password. */
	check(&imap_login_dialect, "GET NOOP\r\nPOST LOGIN u HTTP/1.1\r\n",
	    "GET OK NOOP completed\r\n<LOGIN|u|HTTP/1.1>\n");
	check(&imap_login_dialect, "GETS x\r\n", "GETS BAD Unknown command, or not before login.\r\n");
	check(&pop3_login_dialect, "USER u\r\nPASS x HTTP/1.1\r\n", "+OK Password required.\r\n<USER|u|x HTTP/1.1>\n");
	check(&pop3_login_dialect, "GETS x\r\n", "-ERR Unknown command, or not before login.\r\n");
	check(&pop3_login_dialect, "X HTTP\r\n", "-ERR Unknown command, or not before login.\r\n");
}

/* What clients say is no format of printf, wherever it is repeated (CVE-2007-5740: a tag, CVE-2004-0777: a name). */
static void test_formats(void)
{
	check(&imap_login_dialect, "%n%n NOOP\r\n", "* BAD Expected a tag, a space and a command.\r\n");
	check(&imap_login_dialect, "%s%s%s%n LOGIN u p\r\n", "* BAD Expected a tag, a space and a command.\r\n");
	check(&imap_login_dialect, "a%n {5+}\r\nx NOO\r\nb NOOP\r\n",
	    "a BAD A literal is not allowed here.\r\nb OK NOOP completed\r\n");
	check(&imap_login_dialect, "a %n%s\r\n", "a BAD Expected a tag, a space and a command.\r\n");
	check(&imap_login_dialect, "a LOGIN \"%n%s%d\" \"%n%s%*d\"\r\n", "<LOGIN|%n%s%d|%n%s%*d>\n");
	check(&imap_login_dialect, "a AUTHENTICATE \"%n\"\r\n",
	    "a BAD AUTHENTICATE takes a mechanism and, perhaps, an initial response.\r\n");
	check(&pop3_login_dialect, "%n%s\r\nUSER %n%s%d\r\nPASS %n%s%*d\r\n",
	    "-ERR Unknown command, or not before login.\r\n+OK Password required.\r\n<USER|%n%s%d|%n%s%*d>\n");
	check(&pop3_login_dialect, "AUTH %n%s\r\n", "-ERR Unsupported authentication mechanism.\r\n");
	TALK(&imap_login_dialect, "%n%s", "%n%d", false, false,
	    ID "L LOGIN \"%n%s\" \"%n%d\"\r\n=> * OK [ALERT] %n%s\r\nt OK [CAPABILITY %n%s] LOGIN Ok.\r\n",
	    "* OK [CAPABILITY ID] %n%s", "* OK [ALERT] %n%s", "I OK", "L OK [CAPABILITY %n%s] %n");
	TALK(&pop3_login_dialect, "%n%s", "%n%d", false, false, "USER %n%s\r\nPASS %n%d\r\n=> +OK Logged in.\r\n",
	    "+OK %n%s", "+OK %n", "+OK %n");
}

/* NUL, in each place of a string, is refused and writes nowhere (CVE-2019-11500: within quotes, behind a backslash). */
static void test_nul(void)
{
/* clang-format off */
#define NUL_ROW(text, want) { text, sizeof(text) - 1, want }
	/* clang-format on */
#define LOGIN_BAD "a BAD LOGIN takes a name and a password.\r\n"
#define NEXT_OK "b OK NOOP completed\r\n"
	static const struct {
		const char *in;
		size_t len;
		const char *want;
	} imap[] = {
		NUL_ROW("a LOGIN \"u\0\" p\r\nb NOOP\r\n", LOGIN_BAD NEXT_OK),
		NUL_ROW("a LOGIN \"u\\\0\" p\r\nb NOOP\r\n", LOGIN_BAD NEXT_OK),
		NUL_ROW("a LOGIN \"\0\\\"\\\\\" p\r\nb NOOP\r\n", LOGIN_BAD NEXT_OK),
		NUL_ROW("a LOGIN u \"\\\"\0\\\\\\\\\\\\\"\r\nb NOOP\r\n", LOGIN_BAD NEXT_OK),
		NUL_ROW("a LOGIN {3+}\r\nu\0x p\r\nb NOOP\r\n", LOGIN_BAD NEXT_OK),
		NUL_ROW("a LOGIN u {1+}\r\n\0\r\nb NOOP\r\n", LOGIN_BAD NEXT_OK),
		NUL_ROW("a\0 LOGIN u p\r\nb NOOP\r\n", "a BAD Expected a tag, a space and a command.\r\n" NEXT_OK),
		NUL_ROW("a NOOP\0\r\nb NOOP\r\n", "a BAD NOOP takes no arguments.\r\n" NEXT_OK),
		NUL_ROW("a ID (\"x\0\" \"y\")\r\nb NOOP\r\n", "a BAD " IMAP_ID_BAD "\r\n" NEXT_OK),
		NUL_ROW("a ID (\"x\" \"\\\0\")\r\nb NOOP\r\n", "a BAD " IMAP_ID_BAD "\r\n" NEXT_OK),
		NUL_ROW("a AUTHENTICATE PLAIN AHUA\0cA==\r\nb NOOP\r\n",
		    "a BAD AUTHENTICATE takes a mechanism and, perhaps, an initial response.\r\n" NEXT_OK),
		NUL_ROW("a AUTHENTICATE PLAIN\r\nAHU\0AcA==\r\nb NOOP\r\n",
		    "+ \r\na BAD Malformed authentication data.\r\n" NEXT_OK),
	}, pop3[] = {
		NUL_ROW("\0\r\nUTF8\r\n", "-ERR A NUL byte is not allowed.\r\n+OK UTF8 enabled\r\n"),
		NUL_ROW("AUTH PLAIN\0 AHUAcA==\r\nUTF8\r\n", "-ERR A NUL byte is not allowed.\r\n+OK UTF8 enabled\r\n"),
		NUL_ROW("XCLIENT ADDR=192.0.2.1\0\r\nUTF8\r\n",
		    "-ERR A NUL byte is not allowed.\r\n+OK UTF8 enabled\r\n"),
		NUL_ROW("AUTH PLAIN\r\n\0\r\nUTF8\r\n",
		    "+ \r\n-ERR Malformed authentication data.\r\n+OK UTF8 enabled\r\n"),
	};

	for (size_t i = 0; i < ARRAY_LEN(imap); i++)
		check_len(&imap_login_dialect, imap[i].in, imap[i].len, imap[i].want);
	for (size_t i = 0; i < ARRAY_LEN(pop3); i++)
		check_len(&pop3_login_dialect, pop3[i].in, pop3[i].len, pop3[i].want);
}

/* Lists do not nest before login: thousands of parentheses are one bad command, that holds nothing afterwards
 * (CVE-2026-27857). */
static void test_parentheses(void)
{
	static const char *const starts[] = { "a ID ", "a NOOP ", "a LOGIN ", "a LOGIN u ", "a AUTHENTICATE ", "a " };

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct str in = STR_INIT, log = STR_INIT;
		struct login l;

		str_adds(&in, starts[i]);
		for (int n = 0; n < 4000; n++)
			str_addc(&in, '(');
		str_adds(&in, "\r\nb NOOP\r\n");
		login_stub_init(&l, &imap_login_dialect, set);
		login_stub_feed(&l, in.data, in.len, 1000, &log);
		CU_ASSERT_EQUAL(strncmp(log.data, "a BAD ", 6), 0);
		CU_ASSERT_STRING_EQUAL(strchr(log.data, '\n') + 1, "b OK NOOP completed\r\n");
		CU_ASSERT_EQUAL(((struct imap_login *)l.data)->id.cap, 0);
		login_stub_fini(&l);
		str_fini(&in);
		str_fini(&log);
	}
}

/* literal8 is for those who know that it is taken. One that does not wait is passed over: its bytes are no commands. */
static void test_literal8(void)
{
	const struct login_dialect *d = &imap_login_dialect;

	check(d, "a LOGIN u ~{9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
	    "a BAD LOGIN takes a name and a password.\r\nb OK NOOP completed\r\n");
	check(d, "a ID (\"x\" ~{9+}\r\nx LOGOUT\n)\r\nb NOOP\r\n", "a BAD " IMAP_ID_BAD "\r\nb OK NOOP completed\r\n");
	check(d, "a NOOP ~{9+}\r\nx LOGOUT\n\r\nb NOOP\r\n",
	    "a BAD A literal is not allowed here.\r\nb OK NOOP completed\r\n");
	/* Nobody is asked to send one. */
	check(d, "a LOGIN u ~{9}\r\nb NOOP\r\n", "a BAD LOGIN takes a name and a password.\r\nb OK NOOP completed\r\n");
}

/* A client's own words are passed on with its ID, but never in a key by which proxies tell each other of clients. */
static void test_reserved_keys(void)
{
	static const char *const keys[] = { "x-session-id", "X-Session-Ext-Id", "x-originating-ip",
		"X-ORIGINATING-HOST", "x-connected-name", "x-proxy-ttl", "x-proxy-user", "x-client-transport",
		"x-multiplex", "x-forward-x", "x-waypost-auth" };
	static const char want[] = "\"name\" \"n\" \"x-other\" \"o\"";
	struct str log = STR_INIT;
	char in[200];

	for (size_t i = 0; i < 2 * ARRAY_LEN(keys); i++) {
		struct login l;

		login_stub_init(&l, &imap_login_dialect, set);
		snprintf(in, sizeof(in), "%sa ID (\"name\" \"n\" \"%s\" \"evil\" \"x-other\" \"o\")\r\n",
		    i % 2 == 0 ? "" : "b ID NIL\r\n", keys[i / 2]);
		login_stub_feed(&l, in, strlen(in), strlen(in), &log);
		CU_ASSERT_STRING_EQUAL(str_cstr(&((struct imap_login *)l.data)->id), want);
		login_stub_fini(&l);
	}
	str_fini(&log);
}

/* The first XCLIENT counts, as the first ID does: what comes later changes nothing. */
static void test_first_xclient(void)
{
	static const char in[] = "XCLIENT ADDR=192.0.2.7 TTL=3\r\nXCLIENT ADDR=192.0.2.8 TTL=200 WAYPOST-AUTH=none\r\n";
	struct str log = STR_INIT;
	struct login l;
	char ip[NET_IP_TEXT_MAX];

	login_stub_init(&l, &pop3_login_dialect, set);
	login_stub_feed(&l, in, strlen(in), strlen(in), &log);
	CU_ASSERT_STRING_EQUAL(net_addr_text(&l.forwarded->client, ip), "192.0.2.7");
	CU_ASSERT_EQUAL(l.forwarded->ttl, 3);
	CU_ASSERT_EQUAL(l.forwarded->signature, FORWARDED_SIGNATURE_NONE);
	login_stub_fini(&l);
	str_fini(&log);
}

/* One conversation, broken off after STEPS lines by END; then a login that has nothing of it. */
static void check_broken_off(const struct login_dialect *d, const char *const *lines, size_t steps, const char *end)
{
	bool imap = d == &imap_login_dialect;
	struct str in = STR_INIT, log = STR_INIT;
	struct login l;

	str_adds(&in, imap ? "a AUTHENTICATE " : "AUTH ");
	for (size_t i = 0; i < steps; i++)
		str_addf(&in, "%s\r\n", lines[i]);
	login_stub_init(&l, d, set);
	login_stub_feed(&l, in.data, in.len, in.len, &log);
	CU_ASSERT_PTR_NULL(strstr(log.data, " BAD "));
	CU_ASSERT_PTR_NULL(strstr(log.data, "-ERR "));
	str_clear(&log);
	str_clear(&in);
	if (end == NULL) { /* the client has gone */
		login_stub_fini(&l);
	} else {
		str_addf(&in, "%s\r\n%s", end, imap ? "b LOGIN v q\r\n" : "USER v\r\nPASS q\r\n");
		login_stub_feed(&l, in.data, in.len, in.len, &log);
		CU_ASSERT_EQUAL(strncmp(log.data, imap ? "a BAD " : "-ERR ", 5), 0);
		CU_ASSERT_STRING_EQUAL(strchr(log.data, '\n') + 1,
		    imap ? "<LOGIN|v|q>\n" : "+OK Password required.\r\n<USER|v|q>\n");
		CU_ASSERT_EQUAL(l.mech, AUTH_MECH_PASSWORD);
		login_stub_fini(&l);
	}
	str_fini(&in);
	str_fini(&log);
}

/* A SASL exchange that ends in each of its states in each way leaves nothing behind, neither memory (the sanitizers
 * look) nor a part of it for the next login (CVE-2017-15132, 2016-8652, 2019-11494, 2019-11499, 2025-53859,
 * 2026-27651). */
static void test_broken_off(void)
{
	static const char *const all[][3] = { { "PLAIN" }, { "LOGIN", "dQ==" }, { "LOGIN dQ==" }, { "CRAM-MD5" },
		{ "SCRAM-SHA-1" }, { "X-WAYPOST-TOKEN" } };
	static const char *const ends[] = { "*", "!", "AAA", "=", "dQ==dQ==", "\x80", NULL };
	const struct login_dialect *const dialects[] = { &imap_login_dialect, &pop3_login_dialect };

	use(&set->imapd_IMAP_CAPABILITY, "IMAP4rev1 AUTH=PLAIN AUTH=CRAM-MD5 AUTH=SCRAM-SHA-1");
	use(&set->pop3d_POP3AUTH, "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1");
	set->has_pool_secret = true;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t steps = 1; all[i][steps - 1] != NULL; steps++)
			for (size_t k = 0; k < 2 * ARRAY_LEN(ends); k++)
				check_broken_off(dialects[k % 2], all[i], steps, ends[k / 2]);
	set->has_pool_secret = false;
	use(&set->imapd_IMAP_CAPABILITY, CAPABILITIES " AUTH=PLAIN");
	use(&set->pop3d_POP3AUTH, "PLAIN LOGIN");
}

static const struct unit_case cases[] = {
	{ "settings", begin },
	{ "IMAP commands", test_imap_login },
	{ "IMAP commands that are too long", test_imap_too_long },
	{ "IMAP SASL", test_imap_sasl },
	{ "challenges", test_challenges },
	{ "IMAP ID", test_imap_id },
	{ "signatures of forwarded identities", test_hop_auth },
	{ "words about TLS of a forwarded login", test_hop_tls },
	{ "what a node tells of itself", test_hop_config },
	{ "notes of peers", test_peer_notes },
	{ "a mark before STARTTLS", test_mark_before_starttls },
	{ "who is told who the client is", test_send_id },
	{ "a token where nothing is listed", test_token_without_a_list },
	{ "nodes that want TLS", test_node_needs_tls },
	{ "notes to peers", test_notes },
	{ "IMAP long line", test_imap_long },
	{ "POP3 commands", test_pop3 },
	{ "HTTP requests", test_http },
	{ "IMAP peers", test_imap_peer },
	{ "POP3 peers", test_pop3_peer },
	{ "lists of peers", test_peer_list },
	{ "refusals of peers", test_peer_refusals },
	{ "what is told of refusals of peers", test_refusals_told },
	{ "alerts of peers", test_alerts },
	{ "alerts of the master user", test_master_alerts },
	{ "words of peers that want TLS", test_wants_tls },
	{ "a node's mark", test_node_mark },
	{ "nodes as peers", test_nodes_as_peers },
	{ "control characters for a peer", test_peer_controls },
	{ "peers with STARTTLS", test_peer_starttls },
	{ "peers without STARTTLS", test_peer_without_starttls },
	{ "credentials that nobody can have", test_unfit },
	{ "formats of printf", test_formats },
	{ "NUL in each place", test_nul },
	{ "parentheses", test_parentheses },
	{ "literal8", test_literal8 },
	{ "reserved keys of ID", test_reserved_keys },
	{ "the first XCLIENT counts", test_first_xclient },
	{ "exchanges that are broken off", test_broken_off },
	{ "before TLS", test_before_tls },
	{ "end", end },
	{ "settings", begin },
	{ "who is local", test_who_is_local },
	{ "end", end },
	{ NULL, NULL },
};

UNIT_MAIN("login", cases)
