/* The process of an auth worker: one job after another, each done while the process waits. */
#include "authd/authworker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "authd/lacking.h"
#include "authd/pool_file.h"
#include "authd/shared.h"
#include "authlib/password.h"
#include "authlib/scram_secret.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "node/msg_channel.h"

/* --- the work --- */

static void load(const struct job *job, int image, struct job_done *done, int *fd_out)
{
	struct userdb *old = NULL;
	const char *why;
	int copy = image != -1 ? fcntl(image, F_DUPFD_CLOEXEC, 3) : -1;

	/* Without the image, lost accounts and lines that keep their old record cannot be recognized. */
	if (copy == -1 && job->with_image) {
		str_adds(&done->report.text,
		    "the current image could not be passed to an auth worker because descriptors ran out; retrying\n");
		done->report.status = USERDB_CHANGED;
		done->result = AUTH_TRY_LATER;
		return;
	}
	if (copy != -1 && (old = userdb_open_fd(copy, &why)) == NULL)
		log_error("userdb: cannot compare with the current image: %s", why);
	userdb_build(job->path, old, job->shrink_percent, &done->report, fd_out);
	done->result = done->report.status == USERDB_BUILT ? AUTH_OK : AUTH_TRY_LATER;
	userdb_close(&old);
}

static void ask(const struct job *job, struct auth_chain *chain, struct job_done *done)
{
	const struct auth_question question = job_question(job);
	unsigned pos = job->from;

	if (chain == NULL) { /* the log says why; "unknown" would be a lie */
		done->answered = true;
		done->result = AUTH_TRY_LATER;
		return;
	}
	auth_chain_avoid(chain, job->avoid);
	done->answered = auth_chain_ask(chain, &pos, &question, &done->result, &done->account);
	done->pos = (uint8_t)pos;
	dirnews_take(&done->news);
}

static void derive(const struct job *job, struct job_done *done)
{
	struct scram_secret s;
	struct str text = STR_INIT;
	const char *why;

	if (!scram_secret_read(&s, job->hash, &why)) {
		done->result = AUTH_BROKEN;
		return;
	}
	scram_secret_derive(&s, job->password);
	str_room(&text, ACCOUNT_HASH_MAX);
	scram_secret_add(&text, &s);
	mem_free(&done->text);
	done->text = str_steal(&text);
	done->result = AUTH_OK;
	mem_wipe(&s, sizeof(s));
}

void authworker_do(const struct job *job, int image, struct auth_chain *chain, struct job_done *done, int *fd_out)
{
	*fd_out = -1;
	job_done_init(done, job->id, job->kind);
	switch (job->kind) {
	case JOB_HASH:
		done->result = password_check(job->hash, job->password);
		break;
	case JOB_SCRAM:
		derive(job, done);
		break;
	case JOB_USERDB_LOAD:
		load(job, image, done, fd_out);
		break;
	case JOB_KEEP:
		done->result = AUTH_TRY_LATER; /* see do_keep() */
		break;
	case JOB_LOOKUP:
	case JOB_VERIFY:
		done->pos = job->from;
		ask(job, chain, done);
		break;
	}
}

bool authworker_image_lasts(const struct job *job, const struct job_done *done, const char *path)
{
	return strcmp(job->path, path) == 0 && done->report.kept == 0;
}

/* --- the role: its loop waits for messages only; the work itself blocks it --- */

static struct role_ctx ctx;
static struct auth_chain *chain;
static uint8_t settings[SETTINGS_DIGEST_LEN]; /* which CHAIN was made from */
static struct shared *shared;                 /* NULL: nothing is shared */
static struct chan *authd;
static struct msgw out;

/* A password that another node of the pool may have verified already. */
static void do_shared(const struct job *job, int image, struct job_done *done, int *fd_out)
{
	uint64_t now = (uint64_t)time(NULL);
	enum shared_found found = SHARED_NONE;
	struct job_done known;

	job_done_init(&known, job->id, job->kind);
	known.answered = true;
	known.pos = job->from;
	if (shared != NULL)
		found = shared_get(shared, job, now, &known);
	if (found == SHARED_FRESH || job->only_shared) {
		*done = known;
		*fd_out = -1;
		return;
	}
	authworker_do(job, image, chain, done, fd_out);
	if (found == SHARED_OLD && done->answered && done->result == AUTH_TRY_LATER) {
		known.news = done->news;
		done->news = (struct dirnews){ 0 };
		job_done_fini(done);
		*done = known;
		return;
	}
	if (shared != NULL)
		shared_put(shared, job, now, done);
	job_done_fini(&known);
}

/* Adds to the report of IMAGE which of its accounts cannot log in by what is offered. */
static void add_lacking(struct userdb_report *report, int image)
{
	int copy = fcntl(image, F_DUPFD_CLOEXEC, 3);
	const char *why;
	struct userdb *db = copy != -1 ? userdb_open_fd(copy, &why) : NULL;

	if (db != NULL)
		lacking_report(&report->text, ctx.set, db);
	userdb_close(&db);
}

static void do_keep(const struct job *job, int content, struct job_done *done)
{
	job_done_init(done, job->id, job->kind);
	done->result = content != -1 && pool_file_write(ctx.set, content) ? AUTH_OK : AUTH_TRY_LATER;
}

/* Ends the wait for the answer to job ID: authd takes a truncated one for none. */
static void no_answer(struct chan *c, uint32_t id)
{
	msgw_begin(&out, JOB_DONE);
	msgw_u32(&out, id);
	if (chan_send(c, &out, -1) != 0)
		log_error("authd does not accept the answer to a job");
}

static void on_job(struct chan *c, struct msgr *r, int fd, void *arg UNUSED)
{
	struct job job;
	struct job_done done;
	int image = -1;

	if (r->type != JOB) {
		msg_channel_skips(c, r, "authd");
		if (fd != -1)
			close(fd);
		return;
	}
	if (!job_read(r, &job)) {
		log_error("ignored bad job %u of authd", r->type);
	} else {
		if (job.kind == JOB_VERIFY)
			do_shared(&job, fd, &done, &image);
		else if (job.kind == JOB_KEEP)
			do_keep(&job, fd, &done);
		else
			authworker_do(&job, fd, chain, &done, &image);
		if (image != -1) {
			add_lacking(&done.report, image);
			role_userdb(&ctx, authworker_image_lasts(&job, &done, ctx.set->authuserdb_USERDB) ? image : -1);
		}
		memcpy(done.settings, settings, sizeof(settings));
		job_done_write(&out, &done);
		if (chan_send(c, &out, image) != 0) {
			log_error("the answer to a job is too large");
			no_answer(c, job.id);
		}
		mem_wipe(out.buf, out.len);
		job_done_fini(&done);
	}
	job_fini(&job);
	if (image != -1)
		close(image);
	if (fd != -1)
		close(fd);
}

static void on_gone(struct chan *c UNUSED, void *arg UNUSED)
{
	chan_free(&authd); /* its successor sends us a channel */
}

static void make_chain(const struct settings *set)
{
	struct str errors = STR_INIT;

	auth_chain_free(&chain);
	settings_directories_digest(set, settings);
	chain = auth_chain_new(set->authdaemonrc_authmodulelist, AUTH_SIDE_WORKER, set, &errors);
	if (chain == NULL)
		log_error("%s", str_cstr(&errors));
	str_fini(&errors);
}

static void make_shared(const struct settings *set)
{
	shared_free(&shared);
	if (set->authdaemonrc_AUTH_CACHE_MEMCACHED[0] == '\0' || set->pool_secret[0] == '\0' || chain == NULL ||
	    (set->authdaemonrc_AUTH_CACHE_TTL == 0 && set->authdaemonrc_AUTH_CACHE_STALE == 0))
		return;
	shared = shared_new(set, &memcached_store, auth_chain_uses_client(chain));
}

static void on_channel(struct role_ctx *c, enum role other, unsigned slot UNUSED, uint64_t generation UNUSED, int sock)
{
	if (other != ROLE_AUTHD) {
		close(sock);
		return;
	}
	chan_free(&authd);
	authd = msg_channel_open(c->loop, sock, on_job, on_gone, NULL);
}

static void on_settings(struct role_ctx *c, const struct settings *old UNUSED)
{
	make_chain(c->set);
	make_shared(c->set);
}

static const struct role_hooks hooks = {
	.channel = on_channel,
	.settings = on_settings,
};

int authworker_main(const struct role_start *who)
{
	role_init(&ctx, who, "authd", &hooks, NULL);
	make_chain(ctx.set);
	make_shared(ctx.set);
	ev_run(ctx.loop, 0);
	shared_free(&shared);
	auth_chain_free(&chain);
	log_flush();
	return 0;
}
