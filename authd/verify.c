/* How the credentials of each mechanism are judged, at once or by an auth worker. */
#include "authd/verify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "authd/external.h"
#include "authd/hold.h"
#include "authd/identify.h"
#include "authd/challenge_response.h"
#include "authlib/password.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

static struct msgw out;

/* --- verify: are the credentials right --- */

/* Notes a bad signature of a login by the password of ACCOUNT; NULL: by a token. */
static void note_signature(struct request *rq, const char *account)
{
	const struct authd *a = rq->worker->a;

	if (signature_check_bad(request_signature(rq)) &&
	    signature_errors_bad(a->signature_errors, &rq->q.client, rq->signature, account, clock_now()))
		signature_errors_log_front(&rq->q.client, rq->signature,
		    (int64_t)time(NULL) - (int64_t)rq->q.forwarded.time, a->ctx.set->self[0]);
}

static enum request_state verdict(struct request *rq, enum auth_result result)
{
	rq->result = result;
	return REQUEST_VERDICT;
}

static enum request_state no_worker(struct request *rq)
{
	return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE,
	    "no auth worker was free: too many logins wait, or the workers died; see the log");
}

static void on_hash_done(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct request *rq = arg;

	if (done != NULL) {
		cache_hash_put(rq->worker->a->cache, rq->name, rq->account.hash, rq->q.credential, done->result);
		request_enter(rq, verdict(rq, done->result));
	} else {
		request_enter(rq, no_worker(rq));
	}
}

static enum request_state check_password(struct request *rq);

/* A quick refusal would reveal that the account exists: unknown names take a slow hash's time. */
static bool others_are_slow(const struct request *rq)
{
	return password_is_slow(auth_chain_dummy_hash(rq->worker->a->chain));
}

/* Checks against a dummy hash: the time must not tell that there is no account, or that it is locked. */
static enum request_state check_dummy(struct request *rq)
{
	rq->no_account = rq->result == AUTH_UNKNOWN;
	rq->dummy = true;
	account_set(&rq->account.hash, auth_chain_dummy_hash(rq->worker->a->chain));
	return check_password(rq);
}

/* The client is known already: may the account log in at all? */
static enum request_state verify_account(struct request *rq)
{
	rq->no_account = rq->result == AUTH_UNKNOWN;
	return verdict(rq, rq->result == AUTH_OK && password_is_locked(rq->account.hash) ? AUTH_DISABLED : rq->result);
}

/* The token of RQ is valid: was it used before? */
static enum request_state take_token(struct request *rq, uint64_t now)
{
	char reason[AUTH_REASON_MAX];

	switch (used_tokens_take(rq->worker->a->used_tokens, rq->q.credential, rq->q.forwarded.time, now)) {
	case USED_TOKEN_FRESH:
		return verify_account(rq);
	case USED_TOKEN_AGAIN:
		log_warn("a used token was sent again from %s", net_addr_text(&rq->q.client, reason));
		return request_refuse(rq, AUTH_VERDICT_WRONG, "");
	case USED_TOKEN_OLD:
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE,
		    "this node does not remember which tokens of other nodes were used at the time of this one: either "
		    "its memory of them was lost less than two minutes ago, or its clock was set back, which a restart "
		    "of waypostd mends");
	case USED_TOKEN_FULL:
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE,
		    "too many logins by tokens of other nodes within two minutes");
	default:
		snprintf(reason, sizeof(reason), "cannot remember the token of the forwarding node: %s",
		    strerror(errno));
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
}

/* Another node of the pool has authenticated the client: as good as a password, because it is signed. */
static enum request_state verify_token(struct request *rq)
{
	struct authd *a = rq->worker->a;
	uint64_t now = (uint64_t)time(NULL), made = rq->q.forwarded.time;
	char reason[AUTH_REASON_MAX];

	if (signature_check_bad(rq->signature) &&
	    (rq->believed || rq->signature == SIGNATURE_CLOCK ||
	        signature_errors_known(a->signature_errors, &rq->q.client))) {
		note_signature(rq, NULL);
		snprintf(reason, sizeof(reason),
		    "the token of the forwarding node is not valid here (%s): do both have the same pool secret, and "
		    "do their clocks agree?",
		    signature_check_word(rq->signature));
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
	if (rq->signed_for == NULL ||
	    !forwarded_token_verify(&rq->q.forwarded, a->pool, rq->signed_for, rq->q.user, a->ctx.set->node_id,
	        rq->q.credential))
		return request_refuse(rq, AUTH_VERDICT_WRONG, "");
	if (made > now + TOKEN_AGE_MAX || made + TOKEN_AGE_MAX < now) {
		snprintf(reason, sizeof(reason),
		    "the token of the forwarding node was made %llu seconds %s; do the clocks of the nodes agree?",
		    (unsigned long long)(made > now ? made - now : now - made), made > now ? "from now" : "ago");
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
	return take_token(rq, now);
}

/* Explains in the log why a correct password may be refused. */
static void log_cannot(const struct request *rq, const char *why)
{
	char name[ACCOUNT_NAME_MAX];

	if (!rq->no_account && why[0] != '\0')
		log_info("account %s cannot log in by %s: %s", log_value(name, sizeof(name), rq->account.name),
		    auth_mech_name(rq->q.mech), why);
}

static void on_computed(const struct job_done *done, int fd UNUSED, void *arg);

enum request_state step_say(struct request *rq)
{
	auth_text_write(&out, AUTH_CHALLENGE, rq->q.request, rq->next_challenge);
	mem_free(&rq->next_challenge);
	worker_send(rq->worker, &out);
	return REQUEST_CLIENT;
}

/* Continues a multi-step login: sends CHALLENGE to the client, if that is next. */
static enum request_state scram_go_on(struct request *rq, enum scram_next next, const struct str *challenge)
{
	struct authd *a = rq->worker->a;
	const char *password, *secret;
	uint32_t id;

	if ((next == SCRAM_CHALLENGE || next == SCRAM_PROVED) && challenge->len < AUTH_TEXT_MAX) {
		rq->next_challenge = mem_strdup(str_cstr(challenge));
		return next == SCRAM_PROVED ? hold_right(rq, REQUEST_SAY) : REQUEST_SAY;
	}
	if (next == SCRAM_COMPUTE) {
		scram_question(rq->scram, &password, &secret);
		id = jobs_next_id(a->jobs);
		job_write_scram(&out, id, password, secret);
		jobs_submit(a->jobs, id, &out, -1, &rq->client, on_computed, rq);
		mem_wipe(out.buf, out.len);
		return REQUEST_KEYS;
	}
	return verdict(rq, next == SCRAM_RIGHT ? AUTH_OK : AUTH_MISMATCH);
}

static void on_computed(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct request *rq = arg;
	struct str challenge = STR_INIT;

	if (done == NULL)
		request_enter(rq, no_worker(rq));
	else
		request_enter(rq, scram_go_on(rq, scram_computed(rq->scram, done->text, &challenge), &challenge));
	str_fini(&challenge);
}

enum request_state step_message(struct request *rq, const char *text)
{
	struct str challenge = STR_INIT;
	enum request_state next = scram_go_on(rq, scram_step(rq->scram, text, &challenge), &challenge);

	str_fini(&challenge);
	return next;
}

/* SCRAM's first message, of an account whose record is there (or certainly is not). */
static enum request_state verify_scram(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct str text = STR_INIT;
	const struct scram_module *module;
	enum request_state next;
	const char *why = "";

	if (rq->result != AUTH_OK && rq->result != AUTH_UNKNOWN && rq->result != AUTH_DISABLED)
		return REQUEST_VERDICT;
	rq->no_account = rq->result == AUTH_UNKNOWN;
	if (!request_keep(rq))
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, "too many pending SCRAM logins");
	if ((module = scram_module_load(&text)) != NULL)
		rq->scram = scram_new(module, challenge_response_scram_hash(rq->q.mech), rq->q.user, rq->name,
		    rq->result == AUTH_OK ? &rq->account : NULL,
		    a->pool != NULL ? pool_keys_first(a->pool) : a->own_secret,
		    (unsigned)a->ctx.set->authdaemonrc_SCRAM_ITERATIONS, &why);
	if (rq->scram == NULL) {
		next = request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, text.len != 0 ? text.data : "GNU SASL failed");
	} else {
		log_cannot(rq, why);
		next = step_message(rq, rq->q.credential);
	}
	str_fini(&text);
	return next;
}

/* Checks the response to a challenge. */
static enum request_state verify_answer(struct request *rq)
{
	const char *why = "";

	rq->no_account = rq->result == AUTH_UNKNOWN;
	if (rq->result == AUTH_OK || rq->result == AUTH_UNKNOWN)
		rq->result = challenge_response_check(rq->q.mech, &rq->account, rq->challenge, rq->q.credential, &why);
	log_cannot(rq, why);
	return REQUEST_VERDICT;
}

/* Checks the password against the record: at once if that is cheap or was done before, else in an auth worker. */
static enum request_state check_password(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct account *acct = &rq->account;
	enum auth_result result;
	uint32_t id;

	if (acct->hash[0] == '\0' || !password_is_slow(acct->hash)) {
		result = auth_check(acct, rq->q.credential);
		if (!rq->dummy && (result == AUTH_DISABLED || (result == AUTH_MISMATCH && others_are_slow(rq))))
			return check_dummy(rq);
		return verdict(rq, result);
	}
	/* Wrong passwords are cached for unknown names, too: else a second try would distinguish them. */
	result = cache_hash_result(a->cache, rq->name, acct->hash, rq->q.credential);
	if (result != AUTH_TRY_LATER)
		return verdict(rq, result);
	id = jobs_next_id(a->jobs);
	job_write_hash(&out, id, rq->q.credential, acct->hash);
	jobs_submit(a->jobs, id, &out, -1, &rq->client, on_hash_done, rq);
	mem_wipe(out.buf, out.len);
	return REQUEST_HASH;
}

static enum request_state verify_password(struct request *rq)
{
	/* Refused by a directory: an unknown name, of which it was asked too, costs a slow hash more. */
	if (rq->result == AUTH_MISMATCH || rq->result == AUTH_DISABLED)
		return others_are_slow(rq) ? check_dummy(rq) : REQUEST_VERDICT;
	return rq->result == AUTH_UNKNOWN ? check_dummy(rq) : check_password(rq);
}

enum request_state step_verify(struct request *rq)
{
	static enum request_state (*const verify[])(struct request * rq) = {
		[AUTH_MECH_PASSWORD] = verify_password,
		[AUTH_MECH_APOP] = verify_answer,
		[AUTH_MECH_CRAM_MD5] = verify_answer,
		[AUTH_MECH_CRAM_SHA1] = verify_answer,
		[AUTH_MECH_CRAM_SHA256] = verify_answer,
		[AUTH_MECH_TOKEN] = verify_token,
		[AUTH_MECH_SCRAM_SHA_1] = verify_scram,
		[AUTH_MECH_SCRAM_SHA_256] = verify_scram,
		[AUTH_MECH_EXTERNAL] = verify_account, /* step_identify() has seen the certificate */
	};
	_Static_assert(ARRAY_LEN(verify) == AUTH_MECH_COUNT, "each mechanism is judged somewhere");

	return verify[rq->q.mech](rq);
}

/* --- verdict --- */

/* The password is correct: drivers that do not know the account need not be queried again soon. */
static void tell_passed(struct request *rq)
{
	for (unsigned pos = 0; pos < ARRAY_LEN(rq->passed) && auth_mech_tells_password(rq->q.mech); pos++)
		if (rq->passed[pos] != 0) {
			struct directory_query query = { .question = request_question(rq), .pos = pos };

			directory_lookup_passed(rq->worker->a->directory_lookups, &query, rq->passed[pos]);
		}
}

enum request_state step_verdict(struct request *rq)
{
	const char *why, *external = rq->q.mech == AUTH_MECH_EXTERNAL ? external_why_no_account(rq) : "";

	if ((rq->no_account || rq->dummy) && rq->result != AUTH_TRY_LATER)
		return rq->no_account && authd_userdb_refused(rq->worker->a) ?
		    request_refuse(rq, AUTH_VERDICT_UNAVAILABLE,
		        "the account is unknown, and the userdb on disk, which may have it, was refused") :
		    request_refuse(rq, AUTH_VERDICT_WRONG, external);
	switch (rq->result) {
	case AUTH_OK:
		tell_passed(rq);
		note_signature(rq, rq->account.name);
		return hold_right(rq, REQUEST_ADMIT);
	case AUTH_MISMATCH:
	case AUTH_UNKNOWN:
	case AUTH_DISABLED:
		return request_refuse(rq, AUTH_VERDICT_WRONG, external);
	case AUTH_BROKEN:
		if (password_is_sound(rq->account.hash, &why))
			why = "the account's record is not usable; see `waypost auth USER`";
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
	default:
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, "the account directory is unavailable");
	}
}
