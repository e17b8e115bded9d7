/* Courier's access files: how they are read, and whom they keep out. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "login/access.h"
#include "settings/access_file.h"

static char dir[] = "/tmp/waypost-access-XXXXXX";
static struct str mistakes, odd;

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const char *text, size_t len)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CU_ASSERT_FATAL(fd != -1);
	CU_ASSERT_EQUAL((size_t)write(fd, text, len), len);
	close(fd);
}

static char *read_at(const char *name)
{
	str_clear(&mistakes);
	str_clear(&odd);
	return access_file_read(path_of(name), &mistakes, &odd);
}

static char *read_text(const char *text)
{
	put("file", text, strlen(text));
	return read_at("file");
}

static void begin(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static void end(void)
{
	str_fini(&mistakes);
	str_fini(&odd);
	unlink(path_of("file"));
	unlink(path_of("gone.dat"));
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

/* WANT: the address's fate, 'a' or 'd', after TEXT was read. */
static void check(const char *text, const char *ip, char want)
{
	char *rules = read_text(text);
	struct access *a;
	struct net_addr client;

	CU_ASSERT_PTR_NOT_NULL_FATAL(rules);
	CU_ASSERT_EQUAL(mistakes.len, 0);
	CU_ASSERT_FATAL(net_addr_parse(&client, ip, 12345));
	a = access_new(rules);
	CU_ASSERT_EQUAL(access_denies(a, &client) ? 'd' : 'a', want);
	if ((access_denies(a, &client) ? 'd' : 'a') != want)
		printf("\n%s: not %c after\n%s\n", ip, want, text);
	access_free(&a);
	CU_ASSERT_PTR_NULL(a);
	mem_free(&rules);
}

/* What couriertcpd(8) says of its access files. */
static void test_as_courier(void)
{
	static const char block[] = "# a comment\n\n192.68.0\tdeny\n192.68.0.10\tallow\n";
	static const char turned[] = "192.68.0.10\tallow,RELAYCLIENT,SIZELIMIT=1\r\n192.68.0\tdeny\r\n";
	static const char closed[] = "*\tdeny\n127.0.0.1\tallow\n10\tallow\n10.2\tdeny\n:2001:0db8\tallow\n";
	static const char whole[] = ":0000:0000:0000:0000:0000:f643:00a2:9354\tdeny\n:3ffe\tdeny\n";

	check(block, "192.68.0.1", 'd');
	check(block, "192.68.0.10", 'a');
	check(block, "192.68.1.1", 'a');
	check(turned, "192.68.0.255", 'd');
	check(turned, "192.68.0.10", 'a');
	check(closed, "127.0.0.1", 'a');
	check(closed, "127.0.0.2", 'd');
	check(closed, "10.1.255.1", 'a');
	check(closed, "10.2.255.1", 'd');
	check(closed, "2001:db8:ffff::1", 'a');
	check(closed, "2001:db9::1", 'd');
	check(closed, "::1", 'd');
	check(whole, "::f643:a2:9354", 'd');
	check(whole, "::f643:a2:9355", 'a');
	check(whole, "3ffe:1::", 'd');
	check(whole, "1.2.3.4", 'a');
	check("", "1.2.3.4", 'a');
	check("1.2.3.4\tdeny", "::ffff:1.2.3.4", 'd'); /* no line end */
}

/* Networks as everybody else writes them; blanks; the later of two lines. */
static void test_other_forms(void)
{
	check("192.0.2.128/25 deny\n", "192.0.2.129", 'd');
	check("192.0.2.128/25 deny\n", "192.0.2.127", 'a');
	check("192.0.2.129/25\tdeny\n", "192.0.2.200", 'd');
	check("2001:db8::/33\tdeny\n", "2001:db8:7fff::1", 'd');
	check("2001:db8::/33\tdeny\n", "2001:db8:8000::1", 'a');
	check("2001:db8::1  \t allow \n2001:db8::/64\tdeny\n", "2001:db8::1", 'a');
	check("::1\tdeny\n", "::1", 'd');
	check("1.2.3.4\tdeny\n1.2.3.4/32\tallow\n", "1.2.3.4", 'a');
	check("0.0.0.0/0\tdeny\n", "255.255.255.255", 'd');
	check("0.0.0.0/0\tdeny\n", "::1", 'a');
}

static void test_nobody_known(void)
{
	struct net_addr none = { 0 };
	struct access *a = access_new("deny 0.0.0.0/0\ndeny ::/0\n");

	CU_ASSERT(!access_denies(a, &none));
	CU_ASSERT(!access_denies(NULL, &none));
	access_free(&a);
	access_free(&a);
}

/* All mistakes are told with their lines; none is passed over, or somebody would be let in. */
static void test_mistakes(void)
{
	static const char *const bad[] = { "1.2.3.4.25\tdeny", "*.25\tdeny", "1.2.3\trefuse", "1.2.3", "\tdeny",
		"256\tdeny", "1.2.3.\tdeny", ".1\tdeny", "1..2\tdeny", "1.2.3.4/33\tdeny", "1.2/16\tdeny",
		"example.com\tdeny", ":12345\tdeny", ":1:2:3:4:5:6:7:8:9\tdeny", ":1:\tdeny", ":\tdeny",
		"fe80::1%lo\tdeny", "1.2.3.4\tDENY", ":0:0:0:0:0:ffff:0102:0304\tdeny", ":0:0:0:0:0:ffff\tdeny",
		"::ffff:1.2.3.0/120\tdeny" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct str text = STR_INIT;

		str_addf(&text, "9.9.9.9\tdeny\n%s\n", bad[i]);
		CU_ASSERT_PTR_NULL(read_text(str_cstr(&text)));
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "line 2 of /tmp/"));
		str_fini(&text);
	}
	put("file", "1.2.3.4\tdeny\0x\n", 15);
	CU_ASSERT_PTR_NULL(read_at("file"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "a NUL byte"));
	CU_ASSERT_PTR_NULL(read_text("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "2 more lines are wrong\n"));
}

/* A list that is cut at any byte is refused, or has only what the whole one has. */
static void test_cut(void)
{
	static const char text[] = "192.68.0\tdeny\n:2001:0db8\tallow,X=1\n*\tdeny\n";
	char *whole = read_text(text);

	CU_ASSERT_PTR_NOT_NULL_FATAL(whole);
	for (size_t n = 0; n < strlen(text); n++) {
		char *rules;

		put("file", text, n);
		rules = read_at("file");
		CU_ASSERT((rules == NULL) == (mistakes.len != 0));
		CU_ASSERT(rules == NULL || strncmp(rules, whole, strlen(rules)) == 0);
		mem_free(&rules);
	}
	mem_free(&whole);
}

static void test_files(void)
{
	char *rules;

	CU_ASSERT_PTR_NULL(read_at("gone")); /* a wrong path lets nobody in who is to stay out */
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "every address may connect"));
	put("gone.dat", "", 0);
	CU_ASSERT_PTR_NULL(read_at("gone"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "but not the text"));
	rules = read_text("1.2.3.4\tallow,MAXCPERIP=100\n");
	CU_ASSERT_STRING_EQUAL(rules, "allow 1.2.3.4\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&odd), "MAXCPERIP is not supported"));
	mem_free(&rules);
	unlink(path_of("file"));

	CU_ASSERT_EQUAL(mkdir(path_of("file"), 0700), 0);
	put("file/b", "1.2.3.4\tdeny\n", 13);
	put("file/a", "1.2.3.4\tallow\n", 14);
	put("file/.hidden", "nonsense\n", 9);
	CU_ASSERT_EQUAL(mkdir(path_of("file/c"), 0700), 0);
	CU_ASSERT_EQUAL(mkfifo(path_of("file/d"), 0600), 0);
	rules = read_at("file");
	CU_ASSERT_STRING_EQUAL(rules, "allow 1.2.3.4\ndeny 1.2.3.4\n");
	mem_free(&rules);
	put("file/e", "x\n", 2);
	CU_ASSERT_PTR_NULL(read_at("file"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "file/e: "));
	CU_ASSERT_PTR_NULL(read_at("file/d"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "is not a file"));
	CU_ASSERT_PTR_NULL(read_at("file/a/below"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&mistakes), "cannot read "));
	for (const char *const *p = (const char *const[]){ "a", "b", ".hidden", "d", "e", NULL }; *p != NULL; p++) {
		char name[32];

		snprintf(name, sizeof(name), "file/%s", *p);
		unlink(path_of(name));
	}
	rmdir(path_of("file/c"));
	CU_ASSERT_EQUAL(rmdir(path_of("file")), 0);
}

/* Against a look at all rules, for random networks. */
static void test_against_all_rules(void)
{
	enum { RULES = 300, CLIENTS = 3000 };
	struct {
		char net[32];
		unsigned bits;
		bool deny;
	} rule[RULES];
	struct str text = STR_INIT;
	struct access *a;
	unsigned state = 7;

	for (int i = 0; i < RULES; i++) {
		unsigned r = (state = state * 1103515245 + 12345) >> 8;

		rule[i].bits = r % 33;
		rule[i].deny = (r >> 6 & 1) != 0;
		snprintf(rule[i].net, sizeof(rule[i].net), "10.%u.%u.%u/%u", r >> 7 & 3, r >> 9 & 3, r >> 11 & 255,
		    rule[i].bits);
		str_addf(&text, "%s %s\n", rule[i].deny ? "deny" : "allow", rule[i].net);
	}
	a = access_new(str_cstr(&text));
	for (int i = 0; i < CLIENTS; i++) {
		unsigned r = (state = state * 1103515245 + 12345) >> 8;
		struct net_addr client = { .family = AF_INET,
			.ip = { 10, (uint8_t)(r & 3), (uint8_t)(r >> 2 & 3), (uint8_t)(r >> 4) } };
		int best = -1;

		for (int k = 0; k < RULES; k++)
			if (net_addr_in(&client, rule[k].net) && (best == -1 || rule[k].bits >= rule[best].bits))
				best = k;
		CU_ASSERT_EQUAL(access_denies(a, &client), best != -1 && rule[best].deny);
	}
	access_free(&a);
	str_fini(&text);
}

static const struct unit_case cases[] = { { "a folder", begin }, { "as Courier", test_as_courier },
	{ "other forms", test_other_forms }, { "no address", test_nobody_known }, { "mistakes", test_mistakes },
	{ "cut at every byte", test_cut }, { "files and folders", test_files },
	{ "against all rules", test_against_all_rules }, { "end", end }, { NULL, NULL } };

UNIT_MAIN("access", cases)
