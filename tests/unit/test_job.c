/* authd/job: messages to and from auth workers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/authworker.h"
#include "authlib/password.h"
#include "lib/mem.h"
#include "tests/unit/job_again.h"
#include "tests/unit/unit.h"

#define HASH "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="

static struct msgw w;

static void fill_job(struct job *j, enum job_kind kind)
{
	job_init(j, 77, kind);
	unit_set(&j->password, "secret");
	unit_set(&j->hash, HASH);
	unit_set(&j->path, "/etc/waypost/userdb");
	unit_set(&j->service, "imap");
	unit_set(&j->user, "user@example.com");
	j->shrink_percent = 50;
	j->with_image = true;
	j->from = 2;
	j->avoid = 0x8001;
	j->since = 1234567890123;
	j->only_shared = true;
	CU_ASSERT_TRUE(net_addr_parse(&j->client, "192.0.2.7", 4711));
}

static void test_questions(void)
{
	for (int kind = JOB_HASH; kind <= JOB_KEEP; kind++) {
		struct job j, back;
		struct msgr r;

		fill_job(&j, (enum job_kind)kind);
		job_write(&w, &j);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(r.type, JOB);
		CU_ASSERT_TRUE(job_read(&r, &back));
		CU_ASSERT_EQUAL(back.id, 77);
		CU_ASSERT_EQUAL(back.kind, (enum job_kind)kind);
		CU_ASSERT_STRING_EQUAL(back.password,
		    kind == JOB_HASH || kind == JOB_VERIFY || kind == JOB_SCRAM ? "secret" : "");
		CU_ASSERT_STRING_EQUAL(back.hash, kind == JOB_HASH || kind == JOB_SCRAM ? HASH : "");
		CU_ASSERT_STRING_EQUAL(back.path, kind == JOB_USERDB_LOAD ? "/etc/waypost/userdb" : "");
		CU_ASSERT_STRING_EQUAL(back.user, kind == JOB_LOOKUP || kind == JOB_VERIFY ? "user@example.com" : "");
		CU_ASSERT_EQUAL(back.from, kind == JOB_LOOKUP || kind == JOB_VERIFY ? 2 : 0);
		CU_ASSERT_EQUAL(back.avoid, kind == JOB_LOOKUP || kind == JOB_VERIFY ? 0x8001 : 0);
		CU_ASSERT_EQUAL(back.since, kind == JOB_VERIFY ? 1234567890123 : 0);
		CU_ASSERT_EQUAL(back.only_shared, kind == JOB_VERIFY);
		CU_ASSERT_EQUAL(net_addr_same_ip(&back.client, &j.client), kind == JOB_VERIFY);
		job_fini(&back);
		/* cut at every byte, and one byte too many */
		for (size_t n = 2; n <= w.len + 1; n++) {
			msgr_begin(&r, w.buf, n);
			CU_ASSERT_EQUAL(job_read(&r, &back), n == w.len);
			job_fini(&back);
		}
		job_fini(&j);
	}
}

static void fill_done(struct job_done *d, enum job_kind kind)
{
	job_done_init(d, 78, kind);
	d->result = AUTH_OK;
	unit_set(&d->text, kind == JOB_SCRAM ? "a secret" : "");
	d->report.status = USERDB_SHRUNK;
	d->report.entries = 5;
	d->report.lost = 4;
	d->report.files = 3;
	str_adds(&d->report.text, "a line\n");
	d->answered = true;
	d->pos = 1;
	d->age = 59;
	account_set(&d->account.name, "user@example.com");
	account_set(&d->account.hash, HASH);
	d->account.uid = 1000;
	memset(d->settings, 7, sizeof(d->settings));
	dirnews_add(DIRNEWS_FAILED, "authtest", "db.example.com", "no route");
	dirnews_take(&d->news);
}

static void test_answers(void)
{
	for (int kind = JOB_HASH; kind <= JOB_KEEP; kind++) {
		struct job_done d, back;
		struct msgr r;

		fill_done(&d, (enum job_kind)kind);
		job_done_write(&w, &d);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(r.type, JOB_DONE);
		CU_ASSERT_TRUE(job_done_read(&r, &back));
		CU_ASSERT_EQUAL(back.id, 78);
		CU_ASSERT_EQUAL(back.result, AUTH_OK);
		if (kind == JOB_USERDB_LOAD) {
			CU_ASSERT_EQUAL(back.report.status, USERDB_SHRUNK);
			CU_ASSERT_EQUAL(back.report.entries, 5);
			CU_ASSERT_EQUAL(back.report.lost, 4);
			CU_ASSERT_EQUAL(back.report.files, 3);
			CU_ASSERT_STRING_EQUAL(back.report.text.data, "a line\n");
		} else if (kind == JOB_SCRAM) {
			CU_ASSERT_STRING_EQUAL(back.text, "a secret");
		} else if (kind == JOB_LOOKUP || kind == JOB_VERIFY) {
			CU_ASSERT_TRUE(back.answered);
			CU_ASSERT_EQUAL(back.pos, 1);
			CU_ASSERT_EQUAL(back.age, 59);
			CU_ASSERT_STRING_EQUAL(back.account.hash, HASH);
			CU_ASSERT_EQUAL(back.account.uid, 1000);
			CU_ASSERT_EQUAL(memcmp(back.settings, d.settings, sizeof(d.settings)), 0);
			CU_ASSERT_EQUAL(back.news.n, 1);
		}
		job_done_fini(&back);
		for (size_t n = 2; n <= w.len + 1; n++) {
			msgr_begin(&r, w.buf, n);
			CU_ASSERT_EQUAL(job_done_read(&r, &back), n == w.len);
			job_done_fini(&back);
		}
		job_done_fini(&d);
	}
}

/* The example of RFC 7677 section 3 (its salt; the keys are those of the password). */
static void test_scram(void)
{
	struct job j;
	struct job_done d;
	int fd;

	job_init(&j, 1, JOB_SCRAM);
	unit_set(&j.password, "pencil");
	unit_set(&j.hash,
	    "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	authworker_do(&j, -1, NULL, &d, &fd);
	CU_ASSERT_EQUAL(d.result, AUTH_OK);
	CU_ASSERT_EQUAL(password_check(d.text, "pencil"), AUTH_OK);
	CU_ASSERT_EQUAL(password_check(d.text, "pencils"), AUTH_MISMATCH);
	job_done_fini(&d);
	unit_set(&j.hash, "{SCRAM-SHA-256}4096");
	authworker_do(&j, -1, NULL, &d, &fd);
	CU_ASSERT_EQUAL(d.result, AUTH_BROKEN);
	job_done_fini(&d);
	job_fini(&j);
}

static void test_bad_messages(void)
{
	struct job j;
	struct job_done d;
	struct msgr r;

	/* other types, unknown kinds and results */
	msgw_begin(&w, JOB_DONE);
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT_FALSE(job_read(&r, &j));
	job_fini(&j);
	for (unsigned kind = 0; kind < 256; kind++) {
		msgw_begin(&w, JOB);
		msgw_u32(&w, 1);
		msgw_u8(&w, (uint8_t)kind);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(job_read(&r, &j), kind == JOB_KEEP);
		job_fini(&j);
		msgw_begin(&w, JOB_DONE);
		msgw_u32(&w, 1);
		msgw_u8(&w, JOB_HASH);
		msgw_u8(&w, (uint8_t)kind);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(job_done_read(&r, &d), kind < AUTH_RESULT_COUNT);
		job_done_fini(&d);
	}
	/* strings over their limits */
	job_init(&j, 1, JOB_USERDB_LOAD);
	mem_free(&j.path);
	j.path = mem_alloc(ACCOUNT_PATH_MAX + 1);
	memset(j.path, 'x', ACCOUNT_PATH_MAX);
	job_write(&w, &j);
	job_fini(&j);
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT_FALSE(job_read(&r, &j));
	job_fini(&j);
}

/* Runs job J; the caller frees DONE. */
static int work(struct job *j, int image, struct auth_chain *chain, struct job_done *done)
{
	int fd;

	authworker_do(j, image, chain, done, &fd);
	CU_ASSERT_EQUAL(done->id, j->id);
	CU_ASSERT_EQUAL(done->kind, j->kind);
	job_fini(j);
	return fd;
}

static void test_work_hash(void)
{
	struct job j;
	struct job_done d;

	fill_job(&j, JOB_HASH);
	CU_ASSERT_EQUAL(work(&j, -1, NULL, &d), -1);
	CU_ASSERT_EQUAL(d.result, AUTH_OK);
	job_done_fini(&d);
	fill_job(&j, JOB_HASH);
	unit_set(&j.password, "wrong");
	work(&j, -1, NULL, &d);
	CU_ASSERT_EQUAL(d.result, AUTH_MISMATCH);
	job_done_fini(&d);
}

static int load(const char *path, int image)
{
	struct job j;
	struct job_done d;
	int fd;

	job_init(&j, 5, JOB_USERDB_LOAD);
	unit_set(&j.path, path);
	j.shrink_percent = 50;
	j.with_image = image != -1;
	fd = work(&j, image, NULL, &d);
	CU_ASSERT_EQUAL(d.result == AUTH_OK, fd != -1);
	CU_ASSERT_EQUAL(d.report.status == USERDB_BUILT, fd != -1);
	job_done_fini(&d);
	return fd;
}

/* authd may be the reason why there is a next one: no more than what is in the file outlives it. */
static void test_image_lasts(void)
{
	struct job j;
	struct job_done d;

	job_init(&j, 5, JOB_USERDB_LOAD);
	job_done_init(&d, 5, JOB_USERDB_LOAD);
	unit_set(&j.path, "/etc/waypost/userdb");
	CU_ASSERT(authworker_image_lasts(&j, &d, "/etc/waypost/userdb"));
	CU_ASSERT_FALSE(authworker_image_lasts(&j, &d, "/etc/waypost/userdb2"));
	d.report.kept = 1;
	CU_ASSERT_FALSE(authworker_image_lasts(&j, &d, "/etc/waypost/userdb"));
	job_done_fini(&d);
	job_fini(&j);
}

/* The image to compare with did not arrive: the new one is not accepted. */
static void test_lost_image(void)
{
	struct job j;
	struct job_done d;

	job_init(&j, 5, JOB_USERDB_LOAD);
	unit_set(&j.path, "/dev/null");
	j.shrink_percent = 50;
	j.with_image = true;
	CU_ASSERT_EQUAL(work(&j, -1, NULL, &d), -1);
	CU_ASSERT_EQUAL(d.result, AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(d.report.status, USERDB_CHANGED); /* read again */
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&d.report.text), "could not be passed"));
	job_done_fini(&d);
}

static void test_work_load(void)
{
	char path[] = "/tmp/test_job.XXXXXX";
	int fd = mkstemp(path);
	struct str errors = STR_INIT;
	struct auth_chain *chain = auth_chain_new("authuserdb", AUTH_SIDE_LOOP, NULL, &errors);
	struct userdb *db;
	struct account a;
	enum auth_result result;
	const char *why;
	unsigned pos = 0;
	const struct net_addr client = { .family = 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(chain);
	dprintf(fd, "u\thome=/x|uid=1000|gid=1000|systempw=" HASH "\n");
	close(fd);
	account_init(&a);
	CU_ASSERT_TRUE(
	    auth_chain_ask(chain, &pos, &(struct auth_question){ .service = "imap", .user = "u" }, &result, &a));
	CU_ASSERT_EQUAL(result, AUTH_TRY_LATER);
	db = userdb_open_fd(load(path, -1), &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(db);
	CU_ASSERT_TRUE(auth_chain_uses_image(chain));
	auth_chain_use_image(chain, db);
	CU_ASSERT_TRUE(
	    auth_chain_ask(chain, &pos, &(struct auth_question){ .service = "imap", .user = "u" }, &result, &a));
	CU_ASSERT_EQUAL(result, AUTH_OK);
	CU_ASSERT_STRING_EQUAL(auth_chain_name(chain, pos), "authuserdb");
	CU_ASSERT_TRUE(
	    auth_chain_ask(chain, &pos, &(struct auth_question){ "imap", "u", "secret", client }, &result, &a));
	CU_ASSERT_EQUAL(result, AUTH_OK);
	CU_ASSERT_TRUE(
	    auth_chain_ask(chain, &pos, &(struct auth_question){ "imap", "u", "wrong", client }, &result, &a));
	CU_ASSERT_EQUAL(result, AUTH_MISMATCH);
	CU_ASSERT_TRUE(
	    auth_chain_ask(chain, &pos, &(struct auth_question){ "imap", "nobody", "wrong", client }, &result, &a));
	CU_ASSERT_EQUAL(result, AUTH_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(auth_chain_name(chain, pos), "");
	/* with the present image at hand the loss of all accounts is refused */
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	CU_ASSERT_EQUAL(load(path, userdb_fd(db)), -1);
	unlink(path);
	CU_ASSERT_EQUAL(load(path, userdb_fd(db)), -1);
	auth_chain_use_image(chain, NULL);
	pos = 0;
	CU_ASSERT_TRUE(
	    auth_chain_ask(chain, &pos, &(struct auth_question){ .service = "imap", .user = "u" }, &result, &a));
	CU_ASSERT_EQUAL(result, AUTH_TRY_LATER);
	account_fini(&a);
	userdb_close(&db);
	auth_chain_free(&chain);
	str_fini(&errors);
}

static void test_modules(void)
{
	CU_ASSERT(auth_modules_have("authuserdb", "authuserdb"));
	CU_ASSERT(auth_modules_have(" authldap,\tauthuserdb ", "authuserdb"));
	CU_ASSERT_FALSE(auth_modules_have("authuserdb2 xauthuserdb", "authuserdb"));
	CU_ASSERT_FALSE(auth_modules_have("", "authuserdb"));
}

static void test_chain(void)
{
	struct str errors = STR_INIT;
	struct auth_chain *chain;
	struct job j;
	struct job_done d;

	CU_ASSERT_PTR_NULL(auth_chain_new("", AUTH_SIDE_LOOP, NULL, &errors));
	CU_ASSERT_PTR_NOT_NULL(strstr(errors.data, "is empty"));
	str_clear(&errors);
	CU_ASSERT_PTR_NULL(auth_chain_new("authuserdb, authnothing", AUTH_SIDE_LOOP, NULL, &errors));
	CU_ASSERT_PTR_NOT_NULL(strstr(errors.data, "unknown module authnothing"));
	str_clear(&errors);
	CU_ASSERT_PTR_NULL(auth_chain_new("authuserdb authuserdb", AUTH_SIDE_LOOP, NULL, &errors));
	CU_ASSERT_PTR_NOT_NULL(strstr(errors.data, "twice"));
	CU_ASSERT_PTR_NOT_NULL(auth_driver_find("authuserdb"));
	/* a worker leaves inline drivers to the loop */
	chain = auth_chain_new(" authuserdb ", AUTH_SIDE_WORKER, NULL, &errors);
	CU_ASSERT_PTR_NOT_NULL_FATAL(chain);
	fill_job(&j, JOB_VERIFY);
	j.from = 0;
	work(&j, -1, chain, &d);
	CU_ASSERT_FALSE(d.answered);
	CU_ASSERT_EQUAL(d.pos, 0);
	job_done_fini(&d);
	/* after the last driver the name is unknown */
	fill_job(&j, JOB_LOOKUP);
	j.from = 1;
	work(&j, -1, chain, &d);
	CU_ASSERT_TRUE(d.answered);
	CU_ASSERT_EQUAL(d.result, AUTH_UNKNOWN);
	job_done_fini(&d);
	auth_chain_free(&chain);
	str_fini(&errors);
}

static const struct unit_case cases[] = {
	{ "questions", test_questions },
	{ "answers", test_answers },
	{ "bad messages", test_bad_messages },
	{ "keys of SCRAM", test_scram },
	{ "hash", test_work_hash },
	{ "which image outlives authd", test_image_lasts },
	{ "load the userdb", test_work_load },
	{ "an image that did not arrive", test_lost_image },
	{ "names of modules", test_modules },
	{ "chain", test_chain },
	{ NULL, NULL },
};

UNIT_MAIN("job", cases)
