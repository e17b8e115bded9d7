/* The directory queries of the operator's tool itself: `waypost auth --enumerate` lists all accounts, `waypost check
 * --ask` finds out whether the directories answer. */
#include "master/enumerate.h"

#include <errno.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "authlib/auth.h"
#include "authlib/dirnews.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "master/report.h"
#include "node/priv.h"
#include "settings/settings.h"

/* A name that was listed, and the driver that listed it. */
struct seen {
	unsigned pos;
	char name[];
};

struct list {
	const struct enumerate_options *options;
	const char *default_options;
	const char *driver;
	unsigned pos;
	bool remember; /* there are several drivers */
	void *seen;    /* tree of struct seen */
	bool complete;
};

/* SUBJECT: a driver, and perhaps one of its accounts. */
static void complain(const char *driver, const char *name, const char *why)
{
	struct str text = STR_INIT, clean = STR_INIT;

	str_addf(&text, "%s: %s%s%.*s", driver, name, name[0] != '\0' ? " is omitted: " : "", (int)strcspn(why, "\n"),
	    why);
	report_clean(&clean, str_cstr(&text), text.len);
	fprintf(stderr, "waypost: %s\n", str_cstr(&clean));
	str_fini(&text);
	str_fini(&clean);
}

static int compare_seen(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->name, ((const struct seen *)b)->name);
}

/* An earlier driver knows the name: that driver answers at a login, too. */
static bool is_hidden(struct list *l, const char *name)
{
	size_t size = strlen(name) + 1;
	struct seen *s, **found;

	if (!l->remember || size == 1)
		return false;
	s = mem_alloc(sizeof(*s) + size);
	s->pos = l->pos;
	memcpy(s->name, name, size);
	found = tsearch(s, &l->seen, compare_seen);
	if (found == NULL) {
		fputs("waypost: out of memory\n", stderr);
		exit(1);
	}
	if (*found == s)
		return false;
	mem_free(&s);
	return (*found)->pos < l->pos;
}

static bool write_line(const struct list *l, const struct account *a, const char *options)
{
	printf("%s\t%lu\t%lu\t%s\t%s", a->name, (unsigned long)a->uid, (unsigned long)a->gid, a->home, a->maildir);
	if (l->options->with_options)
		printf("\t%s", options);
	if (l->options->with_driver)
		printf("\t%s", l->driver);
	putchar('\n');
	return ferror(stdout) == 0;
}

static bool on_account(void *arg, const struct account *a, const char *why)
{
	struct list *l = arg;
	char *options;
	bool good = true;

	if (is_hidden(l, a->name))
		return true;
	options = mem_strdup(a->options);
	account_default_options(&options, l->default_options);
	if (why == NULL &&
	    (a->name[0] == '\0' || !text_is_plain(a->name) || !text_is_plain(a->home) || !text_is_plain(a->maildir) ||
	        !text_is_plain(options)))
		why = "its record has a control character or no name";
	if (why != NULL) {
		complain(l->driver, a->name[0] != '\0' ? a->name : "an account", why);
		l->complete = false;
	} else if (!l->options->shared_only || !options_is_on(options, "disableshared")) {
		good = write_line(l, a, options);
	}
	mem_free(&options);
	return good;
}

/* Prints the problems that the driver had: servers that are down, queries that are refused. False if there were any. */
static bool tell_news(const char *driver)
{
	struct dirnews news;
	bool good = true;

	dirnews_take(&news);
	for (unsigned i = 0; i < news.n; i++) {
		struct str text = STR_INIT;

		if (news.item[i].kind == DIRNEWS_FAILED)
			str_addf(&text, "%s does not answer: %s", news.item[i].server, news.item[i].why);
		else if (news.item[i].kind == DIRNEWS_REFUSED)
			str_addf(&text, "the query is refused: %s", news.item[i].why);
		if (text.len != 0)
			complain(driver, "", str_cstr(&text));
		good = good && text.len == 0;
		str_fini(&text);
	}
	dirnews_fini(&news);
	return good;
}

/* All drivers are queried, even if one fails. */
static void list_all(struct list *l, struct auth_chain *chain)
{
	l->remember = auth_chain_name(chain, 1)[0] != '\0';
	for (l->pos = 0; (l->driver = auth_chain_name(chain, l->pos))[0] != '\0' && ferror(stdout) == 0; l->pos++) {
		struct str why = STR_INIT;

		bool whole = auth_chain_enumerate(chain, l->pos, on_account, l, &why);

		tell_news(l->driver);
		if (!whole) {
			str_adds(&why, why.len != 0 ? "" : "the list is incomplete");
			complain(l->driver, "", str_cstr(&why));
			l->complete = false;
		}
		str_fini(&why);
	}
	tdestroy(l->seen, free);
}

static struct settings *load(const char *file)
{
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings *set = settings_load(file, &errors, &warnings);

	if (set == NULL)
		fprintf(stderr, "%swaypost: %s cannot be used; see also: waypost check\n", str_cstr(&errors), file);
	str_fini(&errors);
	str_fini(&warnings);
	return set;
}

int enumerate_accounts(const char *file, const struct enumerate_options *options)
{
	struct settings *set = load(file);
	struct list l = { .options = options, .complete = true };
	struct str errors = STR_INIT;
	struct auth_chain *chain;

	if (set == NULL)
		return 1;
	/* Answers of directories, and their libraries, get no more privileges here than in the daemon. */
	priv_drop(ROLE_AUTHWORKER, set);
	l.default_options = set->authdaemonrc_DEFAULTOPTIONS;
	chain = auth_chain_new(set->authdaemonrc_authmodulelist, AUTH_SIDE_TOOL, set, &errors);
	if (chain == NULL) {
		fprintf(stderr, "waypost: %s", str_cstr(&errors));
		l.complete = false;
	} else {
		list_all(&l, chain);
	}
	auth_chain_free(&chain);
	str_fini(&errors);
	settings_free(&set);
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		fprintf(stderr, "waypost: cannot write the list: %s\n", strerror(errno));
		l.complete = false;
	}
	if (!l.complete)
		fputs("waypost: the list of accounts is incomplete\n", stderr);
	return l.complete ? 0 : 1;
}

/* --- whether they answer --- */

enum { ASK_TIMEOUT = 60 }; /* seconds that one directory may take */

/* A name that nobody has: the query tests server, database, table and the right to read it. */
#define ASKED_FOR "waypost-check"

static void on_alarm(int number UNUSED)
{
	static const char text[] = "waypost: the directory gave no answer within a minute\n";
	ssize_t said UNUSED = write(STDERR_FILENO, text, sizeof(text) - 1);

	_exit(1);
}

/* Queries the driver MODULE alone. True: it answered, even if there is no such account. */
static bool answers(const char *module, const struct settings *set)
{
	const struct auth_question q = { .service = "imap", .user = ASKED_FOR };
	struct str errors = STR_INIT;
	struct auth_chain *chain = auth_chain_new(module, AUTH_SIDE_TOOL, set, &errors);
	enum auth_result result = AUTH_TRY_LATER;
	struct account account;
	unsigned pos = 0;
	bool good;

	account_init(&account);
	if (chain == NULL)
		complain(module, "", str_cstr(&errors));
	else
		auth_chain_ask(chain, &pos, &q, &result, &account);
	good = tell_news(module) && result != AUTH_TRY_LATER;
	if (chain != NULL && !good)
		complain(module, "", "no answer: logins that reach it fail temporarily");
	account_fini(&account);
	auth_chain_free(&chain);
	str_fini(&errors);
	return good;
}

/* Queries in a process of its own, which becomes AUTH_USER and can be killed if a library waits for ever. */
static int ask_in_child(const char *module, const struct settings *set)
{
	bool good;

	signal(SIGALRM, on_alarm);
	alarm(ASK_TIMEOUT);
	priv_drop(ROLE_AUTHWORKER, set);
	good = answers(module, set);
	if (good)
		printf("%s answers\n", module);
	fflush(stdout);
	return good ? 0 : 1;
}

static bool ask(const char *module, const struct settings *set)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(ask_in_child(module, set));
	if (pid == -1) {
		complain(module, "", strerror(errno));
		return false;
	}
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int enumerate_ask(const char *file)
{
	struct settings *set = load(file);
	const char *p = set != NULL ? set->authdaemonrc_authmodulelist : "";
	bool good = set != NULL;

	for (size_t len; *(p += strspn(p, " ,")) != '\0'; p += len) {
		char module[64];

		len = strcspn(p, " ,");
		snprintf(module, sizeof(module), "%.*s", (int)len, p);
		if (strcmp(module, "authuserdb") != 0) /* the userdb is a file, and was read */
			good &= ask(module, set);
	}
	settings_free(&set);
	return good ? 0 : 1;
}
