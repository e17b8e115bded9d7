/* authpam: accounts of the system, whose passwords PAM checks. PAM modules run in a child process, one for each query:
 * they may hang, crash, change signals or start something, and nothing of that is left. May block: for auth workers. */
#include "authlib/module.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authlib/child.h"
#include "authlib/directory.h"
#include "authlib/record.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/net.h"
#include "settings/settings.h"

enum { ANSWER = 1 }; /* the child's only message: u8 result, str why, account */

struct pam {
	const struct settings *set;
	struct directory dir;
};

/* What the child works on. */
struct question {
	const struct settings *set;
	struct auth_question asked;
	bool odd; /* a module requested something other than the password */
};

/* ------------------------------------------------------------------------------------------------------------
 * In the child */

static bool may_own_mail(const struct question *q, const struct passwd *pw)
{
	return pw->pw_uid != 0 && (pw->pw_uid >= q->set->node_MIN_UID || pw->pw_uid == getuid());
}

/* The system's record of USER. */
static enum auth_result find_user(const char *user, const struct passwd **pw, struct str *why)
{
	errno = 0;
	*pw = getpwnam(user);
	if (*pw != NULL)
		return AUTH_OK;
	if (errno == 0 || errno == ENOENT || errno == ESRCH)
		return AUTH_UNKNOWN;
	str_addf(why, "cannot look up the system's users: %s", strerror(errno));
	return AUTH_TRY_LATER;
}

static enum auth_result take_user(const struct passwd *pw, struct account *out, struct str *why)
{
	if (!record_set(&out->name, pw->pw_name, strlen(pw->pw_name), ACCOUNT_NAME_MAX, "name", why))
		return AUTH_BROKEN;
	if (pw->pw_gid == 0) {
		str_adds(why, "its gid is 0, which is never allowed");
		return AUTH_BROKEN;
	}
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	if (record_set(&out->home, pw->pw_dir, strlen(pw->pw_dir), ACCOUNT_PATH_MAX, "home folder", why) &&
	    record_set(&out->fullname, pw->pw_gecos, strcspn(pw->pw_gecos, ","), ACCOUNT_PATH_MAX, "full name", why) &&
	    record_check(out, why))
		return AUTH_OK;
	return AUTH_BROKEN;
}

static void free_answers(struct pam_response *answer, int n)
{
	for (int i = 0; i < n; i++)
		if (answer[i].resp != NULL) {
			mem_wipe(answer[i].resp, strlen(answer[i].resp));
			free(answer[i].resp);
		}
	free(answer);
}

/* The password answers prompts without echo. Messages need no answer, and other prompts get none. PAM frees the answers
 * with free(). */
static int converse(int n, const struct pam_message **message, struct pam_response **out, void *arg)
{
	struct question *q = arg;
	struct pam_response *answer;

	if (n <= 0 || n > PAM_MAX_NUM_MSG || message == NULL || out == NULL)
		return PAM_CONV_ERR;
	if ((answer = calloc((size_t)n, sizeof(*answer))) == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < n; i++) {
		int style = message[i] != NULL ? message[i]->msg_style : -1;

		if (style == PAM_TEXT_INFO || style == PAM_ERROR_MSG)
			continue;
		if (style != PAM_PROMPT_ECHO_OFF || (answer[i].resp = strdup(q->asked.password)) == NULL) {
			q->odd = style != PAM_PROMPT_ECHO_OFF;
			free_answers(answer, n);
			return PAM_CONV_ERR;
		}
	}
	*out = answer;
	return PAM_SUCCESS;
}

/* LOGIN_FAIL_DELAY delays the reply, without blocking a process. */
static void no_delay(int status UNUSED, unsigned usec UNUSED, void *arg UNUSED) { }

/* Whose fault a result of PAM is; authlib/README has the same table for operators. */
enum fault {
	FAULT_NONE,
	FAULT_NAME,    /* there is no such account */
	FAULT_CLIENT,  /* a wrong password; behind a right one, an account that may not be used */
	FAULT_ACCOUNT, /* the account's: the password was right, but is too old, or the account is */
	FAULT_UNCLEAR, /* the module's, or a wrong password: AUTHPAM_SYSTEM_ERROR says which */
	FAULT_SYSTEM   /* the module's, or of what it asks: it is not known whether the password is right */
};

static enum fault fault_of(int status)
{
	switch (status) {
	case PAM_SUCCESS:
		return FAULT_NONE;
	case PAM_USER_UNKNOWN:
		return FAULT_NAME;
	case PAM_AUTH_ERR:
	case PAM_MAXTRIES:
	case PAM_PERM_DENIED:
		return FAULT_CLIENT;
	case PAM_ACCT_EXPIRED:
	case PAM_NEW_AUTHTOK_REQD:
	case PAM_CRED_EXPIRED:
	case PAM_AUTHTOK_EXPIRED:
		return FAULT_ACCOUNT;
	case PAM_SYSTEM_ERR:
	case PAM_SERVICE_ERR:
		return FAULT_UNCLEAR;
	default:
		return FAULT_SYSTEM;
	}
}

static enum auth_result judge(const struct settings *set, int status, bool of_account)
{
	enum fault fault = fault_of(status);

	if (fault == FAULT_UNCLEAR)
		fault = strcmp(set->authpam_AUTHPAM_SYSTEM_ERROR, "wrong") == 0 ? FAULT_CLIENT : FAULT_SYSTEM;
	switch (fault) {
	case FAULT_NONE:
		return AUTH_OK;
	case FAULT_NAME:
		return AUTH_UNKNOWN;
	case FAULT_CLIENT:
		return of_account ? AUTH_DISABLED : AUTH_MISMATCH;
	case FAULT_ACCOUNT:
		return AUTH_DISABLED;
	default:
		return AUTH_TRY_LATER;
	}
}

static int set_items(pam_handle_t *pam, const struct question *q)
{
	int status = pam_set_item(pam, PAM_FAIL_DELAY, (const void *)&no_delay);
	char ip[NET_IP_TEXT_MAX];

	if (status == PAM_SUCCESS && q->asked.client.family != 0)
		status = pam_set_item(pam, PAM_RHOST, net_addr_text(&q->asked.client, ip));
	return status;
}

/* Is the password right, and may the account be used? *USER becomes the name that PAM maps it to. */
static enum auth_result ask_pam(struct question *q, pam_handle_t *pam, struct str *why)
{
	bool of_account = false;
	int status = set_items(pam, q);
	enum auth_result r;

	/* An account without a password must not be open to everybody. */
	if (status == PAM_SUCCESS)
		status = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (status == PAM_SUCCESS) {
		of_account = true;
		status = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	}
	r = judge(q->set, status, of_account);
	if (q->odd && r != AUTH_OK) {
		str_adds(why, "a PAM module wants more than a password");
		return AUTH_BROKEN;
	}
	if (r == AUTH_TRY_LATER)
		str_addf(why, "service %s: %s", q->asked.service, pam_strerror(pam, status));
	return r;
}

/* PAM is also called for names that the system does not know: the time must not reveal them, and a module may map the
 * name to another. */
static enum auth_result verify_in_child(struct question *q, struct account *out, struct str *why)
{
	const struct pam_conv conv = { .conv = converse, .appdata_ptr = q };
	const char *confdir = q->set->authpam_AUTHPAM_CONFDIR;
	const struct passwd *pw;
	const void *name = NULL;
	pam_handle_t *pam = NULL;
	enum auth_result r = find_user(q->asked.user, &pw, why), verdict;
	int status;

	if (r == AUTH_TRY_LATER)
		return r;
	/* Guessing passwords of system users must reveal nothing and lock no account. */
	if (r == AUTH_OK && !may_own_mail(q, pw))
		return AUTH_UNKNOWN;
	status = pam_start_confdir(q->asked.service, q->asked.user, &conv, confdir[0] != '\0' ? confdir : NULL, &pam);
	if (status != PAM_SUCCESS) {
		str_addf(why, "cannot read service %s: %s", q->asked.service, pam_strerror(pam, status));
		return AUTH_TRY_LATER;
	}
	verdict = ask_pam(q, pam, why);
	if (pam_get_item(pam, PAM_USER, &name) != PAM_SUCCESS || name == NULL)
		name = q->asked.user;
	r = find_user(name, &pw, why);
	if (r == AUTH_OK && !may_own_mail(q, pw)) {
		str_addf(why, "PAM maps it to %s, whose uid is below MIN_UID", pw->pw_name);
		r = AUTH_BROKEN;
	}
	/* Without a record there is no account, whatever PAM says about the password. */
	if (r == AUTH_OK && verdict != AUTH_UNKNOWN)
		r = take_user(pw, out, why);
	if (r == AUTH_OK)
		r = verdict;
	pam_end(pam, status);
	return r;
}

static enum auth_result lookup_in_child(const struct question *q, struct account *out, struct str *why)
{
	const struct passwd *pw;
	enum auth_result r = find_user(q->asked.user, &pw, why);

	if (r != AUTH_OK)
		return r;
	return may_own_mail(q, pw) ? take_user(pw, out, why) : AUTH_UNKNOWN;
}

/* Moves the socket away: modules may use descriptors 0 and 1. */
static int hide_socket(void)
{
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1),
	    null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (out == -1 || null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1 ||
	    chdir("/") != 0)
		return -1;
	close(null);
	return out;
}

static int run(void *arg)
{
	static struct msgw w;
	struct question *q = arg;
	struct account a;
	struct str why = STR_INIT;
	enum auth_result r;
	int out = hide_socket();

	if (out == -1)
		return 1;
	account_init(&a);
	r = q->asked.password != NULL ? verify_in_child(q, &a, &why) : lookup_in_child(q, &a, &why);
	msgw_begin(&w, ANSWER);
	msgw_u8(&w, (uint8_t)r);
	msgw_str(&w, str_cstr(&why));
	account_write(&w, &a, false);
	return msg_send(out, &w, -1) == 0 ? 0 : 1;
}

/* ------------------------------------------------------------------------------------------------------------
 * In the auth worker */

/* Reads the child's message into R, without waiting for the end of the stream: a process started by a module may keep
 * the socket open. */
static bool take_message(int from, int64_t deadline, struct msgr *r, bool *hangs, struct str *why)
{
	static uint8_t buf[MSG_SIZE_MAX];
	int got, fd;

	do {
		if (!fd_wait(from, POLLIN, deadline)) {
			str_adds(why, "no answer in time");
			*hangs = true;
			return false;
		}
		got = msg_recv(from, buf, r, &fd);
		if (fd != -1)
			close(fd);
	} while (got < 0 && errno == EAGAIN);
	if (got != 1)
		str_adds(why, "a PAM module ended its process");
	return got == 1;
}

/* The child's answer. False, and why: there is none; *HANGS: by the deadline. */
static bool read_answer(int from, int64_t deadline, enum auth_result *result, struct account *out, struct str *report,
    bool *hangs, struct str *why)
{
	struct msgr r;
	uint8_t number;
	char *text;
	bool good;

	if (!take_message(from, deadline, &r, hangs, why))
		return false;
	number = msgr_u8(&r);
	text = msgr_linesdup(&r, MSG_SIZE_MAX);
	account_fini(out);
	account_read(&r, out);
	good = msgr_end(&r) && r.type == ANSWER && number < AUTH_RESULT_COUNT;
	if (good) {
		*result = (enum auth_result)number;
		str_adds(report, text);
	} else {
		str_adds(why, "the answer is damaged");
	}
	mem_free(&text);
	return good;
}

/* What the node learns of PAM from a question, which was asked at START and failed for the reason WHY, if any. */
static void tell(struct pam *p, const struct question *q, int64_t start, bool started, bool hangs, const char *why)
{
	int64_t now = clock_ms();

	if (why[0] != '\0' && !started)
		directory_failed(&p->dir, 0, now, now - start, why);
	else if (hangs)
		directory_silent(&p->dir, 0, now, now - start, why);
	else if (why[0] != '\0')
		directory_erred(&p->dir, 0, why);
	else if (q->asked.password != NULL) /* else PAM was not asked */
		directory_answered(&p->dir, 0);
}

static enum auth_result ask(struct pam *p, struct question *q, struct account *out)
{
	int64_t start = clock_ms(), deadline = start + p->set->authpam_AUTHPAM_TIMEOUT * 1000;
	struct child child = CHILD_INIT;
	enum auth_result r = AUTH_TRY_LATER;
	struct str report = STR_INIT, why = STR_INIT;
	bool started, hangs = false;

	if (directory_next(&p->dir, 0, start) == p->dir.count)
		return AUTH_TRY_LATER;
	started = child_start(&child, CHILD_MESSAGES, run, q, &why);
	if (started) {
		bool answered = read_answer(child.from, deadline, &r, out, &report, &hangs, &why);

		child_end(&child, answered ? NULL : &why);
		if (answered && r == AUTH_TRY_LATER)
			str_adds(&why, str_cstr(&report));
	}
	tell(p, q, start, started, hangs, str_cstr(&why));
	if (r == AUTH_BROKEN)
		log_error("authpam: the record of %s cannot be used: %s", q->asked.user, str_cstr(&report));
	str_fini(&report);
	str_fini(&why);
	return r;
}

/* With a password or without one. */
static enum auth_result look_up(void *ctx, const struct auth_question *asked, struct account *out)
{
	struct pam *p = ctx;
	struct question q = { .set = p->set, .asked = *asked };

	return ask(p, &q, out);
}

/* Lists the users that can log in: system users are not accounts. */
static bool enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why)
{
	struct pam *p = ctx;
	struct question q = { .set = p->set };
	const struct passwd *pw;
	bool more = true;

	setpwent();
	while (more && (errno = 0, pw = getpwent()) != NULL) {
		struct account a;
		struct str wrong = STR_INIT;

		if (!may_own_mail(&q, pw) || pw->pw_gid < p->set->node_MIN_UID)
			continue;
		account_init(&a);
		more = take_user(pw, &a, &wrong) == AUTH_OK ? fn(arg, &a, NULL) : fn(arg, &a, str_cstr(&wrong));
		account_fini(&a);
		str_fini(&wrong);
	}
	if (more && errno != 0 && errno != ENOENT)
		str_addf(why, "cannot list the system's users: %s", strerror(errno));
	endpwent();
	return more && why->len == 0;
}

static void fini(void *ctx)
{
	struct pam *p = ctx;

	directory_fini(&p->dir);
	mem_free(&p);
}

static bool init(const struct settings *set, void **ctx, struct str *error UNUSED)
{
	static const char name[] = "PAM";
	struct pam *p = mem_alloc(sizeof(*p));

	p->set = set;
	directory_init(&p->dir, "authpam");
	directory_add(&p->dir, name, strlen(name));
	*ctx = p;
	return true;
}

static const struct auth_driver drv_pam = {
	.name = "authpam",
	.flags = AUTH_DRIVER_CLIENT | AUTH_DRIVER_CHECKS,
	.init = init,
	.fini = fini,
	.lookup = look_up,
	.verify = look_up,
	.enumerate = enumerate,
};
AUTH_MODULE(drv_pam);
