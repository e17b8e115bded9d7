/* Whether to believe a forwarded identity, which challenge was answered, and the chain of drivers. */
#include "authd/identify.h"

#include <string.h>
#include <time.h>
#include <utlist.h>

#include "authd/external.h"
#include "authd/turns.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"

/* --- identify: who is the client --- */

/* Was the forwarded identity signed for one of our names? Returns that, even if the clocks differ; NULL: it was not. */
static const char *check_signature(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct settings *set = a->ctx.set;
	const char *name = NULL;

	for (int i = 0; i < 2 && rq->signed_for == NULL; i++) {
		enum signature_check check;

		if (set->self[i][0] == '\0')
			continue;
		check = forwarded_verify(&rq->q.forwarded, a->pool, set->self[i], rq->q.user, (uint64_t)time(NULL));
		if (rq->signature != SIGNATURE_CLOCK)
			rq->signature = check;
		if (check == SIGNATURE_CLOCK || check == SIGNATURE_GOOD)
			name = set->self[i];
		if (check == SIGNATURE_GOOD)
			/* The settings may change before the answer comes. */
			rq->signed_for = mem_strdup(set->self[i]);
	}
	a->signatures[rq->signature]++;
	if (rq->signature == SIGNATURE_GOOD)
		signature_errors_know(a->signature_errors, &rq->q.client);
	return name;
}

/* What the node that has signed RQ for us is. */
static void note_config(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct forwarded *f = &rq->q.forwarded;

	if (f->config[0] != '\0' && forwarded_verify_config(f, a->pool, rq->signed_for, rq->q.user))
		same_nodes_seen(a->same_nodes, &rq->q.client, f->config, loop_now());
}

/* A node of ours whose clock is off has signed the identity for our NAME. It may be an old one, so its client is not
 * believed. But what it says of TLS decides where that has to be: a client without must not get in because a clock is
 * off, and who would show an old one again betrays only its own password. */
static void take_transport(struct request *rq, const char *name)
{
	const struct authd *a = rq->worker->a;
	const struct forwarded *f = &rq->q.forwarded;
	const char *words = forwarded_verify_tls(f, a->pool, name, rq->q.user) ? f->tls_words : "";

	if (!f->tls && settings_is_local(a->ctx.set, &f->client))
		words = SESSION_TLS_FRONT;
	if (!f->tls && strcmp(words, SESSION_TLS_FRONT) != 0)
		words = "";
	rq->client_tls = f->tls;
	str_copy(rq->client_tls_words, sizeof(rq->client_tls_words), words);
	rq->late = true;
}

/* The words about the client's TLS are as good as the identity beside which they stand. */
static bool believes_tls(const struct request *rq)
{
	const struct authd *a = rq->worker->a;
	const struct forwarded *f = &rq->q.forwarded;

	return (f->tls || strcmp(f->tls_words, SESSION_TLS_FRONT) == 0) &&
	    (rq->signed_for == NULL || forwarded_verify_tls(f, a->pool, rq->signed_for, rq->q.user));
}

static void identify(struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	const struct forwarded *forwarded = &rq->q.forwarded;
	bool front = net_addr_in_any(&rq->q.client, set->proxy_PROXY_TRUSTED);
	const char *name;

	rq->client = rq->q.client;
	rq->client_tls = rq->q.tls;
	str_copy(rq->client_tls_words, sizeof(rq->client_tls_words), rq->q.tls ? rq->q.tls_words : "");
	if (!forwarded->present)
		return;
	rq->believed = front;
	name = check_signature(rq);
	if (rq->signed_for != NULL)
		note_config(rq);
	rq->believed = rq->believed || rq->signed_for != NULL;
	if (!rq->believed && name != NULL)
		take_transport(rq, name);
	if (!rq->believed || forwarded->client.family == 0)
		return;
	rq->client = forwarded->client;
	rq->client_tls = forwarded->tls;
	str_copy(rq->client_tls_words, sizeof(rq->client_tls_words),
	    believes_tls(rq)                                     ? forwarded->tls_words :
	        front && !forwarded->tls && !forwarded->insecure ? SESSION_TLS_FRONT :
	                                                           "");
}

/* Takes the challenge that the request answers, which is good only once. False: it lacks one. */
static bool take_challenge(struct request *rq)
{
	char text[AUTH_TEXT_MAX];

	if (auth_mech_exchange(rq->q.mech) != AUTH_EXCHANGE_CHALLENGE)
		return true;
	if (!challenges_take(rq->worker->challenges, rq->q.request, rq->q.mech, text))
		return false;
	rq->challenge = mem_strdup(text);
	return true;
}

enum request_state step_identify(struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	enum auth_verdict v;
	char why[AUTH_REASON_MAX];

	service_at_port(set, rq->q.protocol, rq->q.local_port, rq->service_name, sizeof(rq->service_name));
	identify(rq);
	rq->crowd = net_addr_in_any(&rq->client, set->proxy_PROXY_TRUSTED);
	if (!take_challenge(rq))
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, "its challenge has expired");
	/* No account has an empty name or password: no driver is asked, as some take this for an anonymous login. */
	if (rq->q.user[0] == '\0' || (rq->q.credential[0] == '\0' && rq->q.mech != AUTH_MECH_EXTERNAL))
		return request_refuse(rq, AUTH_VERDICT_WRONG, "");
	if (!name_with_domain(set, rq->q.protocol, rq->q.user, rq->name))
		return request_refuse(rq, AUTH_VERDICT_WRONG, "the name is too long");
	/* Now: the certificates are in the message. */
	if (rq->q.mech == AUTH_MECH_EXTERNAL && !external_is_ready(rq))
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE,
		    "there are no authorities yet that certificates could be from");
	if (rq->q.mech == AUTH_MECH_EXTERNAL && (v = external_check(rq, why)) != AUTH_VERDICT_OK)
		return request_refuse(rq, v, why);
	rq->q.certs = NULL;
	return REQUEST_LOOKUP;
}

/* --- lookup: who is it --- */

struct auth_question request_question(const struct request *rq)
{
	return (struct auth_question){
		.service = rq->service_name,
		.user = rq->name,
		.password = auth_mech_tells_password(rq->q.mech) ? rq->q.credential : NULL,
		.client = rq->client,
	};
}

/* The state that ANSWER of a directory leads to. */
static enum request_state take_answer(struct request *rq, const struct directory_answer *answer)
{
	if (!answer->answered) {
		if (rq->pos < ARRAY_LEN(rq->passed))
			rq->passed[rq->pos] = (uint8_t)answer->pos;
		rq->pos = answer->pos;
		return REQUEST_LOOKUP;
	}
	rq->pos = answer->pos;
	account_fini(&rq->account);
	account_copy(&rq->account, answer->account);
	account_default_options(&rq->account.options, rq->worker->a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
	rq->result = answer->result;
	/* With a password the directory has checked it already; a refusal must not be quicker than others. */
	if (auth_mech_tells_password(rq->q.mech) && rq->result != AUTH_MISMATCH && rq->result != AUTH_DISABLED)
		return REQUEST_VERDICT;
	return REQUEST_VERIFY;
}

static void on_answer(const struct directory_answer *answer, void *arg)
{
	struct request *rq = arg;
	enum request_state next = take_answer(rq, answer);

	if (rq->state != REQUEST_DIRECTORY) {
		rq->after_answer = next;
		return;
	}
	DL_DELETE(rq->worker->a->asking, rq);
	request_enter(rq, next);
}

enum request_state step_lookup(struct request *rq)
{
	struct auth_question question = request_question(rq);
	struct authd *a = rq->worker->a;

	enum request_state turn;

	if (a->spawn_awaited)
		return REQUEST_FIRST_LOAD;
	if ((turn = turns_take(rq)) != REQUEST_LOOKUP)
		return turn;
	question.password = NULL; /* only the record is wanted here; see step_verify() */
	if (!auth_chain_ask(a->chain, &rq->pos, &question, &rq->result, &rq->account)) {
		struct directory_query query = { .question = request_question(rq), .pos = rq->pos };

		rq->after_answer = REQUEST_DIRECTORY;
		directory_lookup_start(a->directory_lookups, &rq->waiter, &query, on_answer, rq);
		return rq->after_answer;
	}
	switch (rq->result) {
	case AUTH_OK:
		account_default_options(&rq->account.options, a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
		return REQUEST_VERIFY;
	case AUTH_UNKNOWN:
		return REQUEST_VERIFY;
	case AUTH_TRY_LATER:
		if (!a->first_load)
			return REQUEST_VERDICT;
		return REQUEST_FIRST_LOAD;
	default:
		return REQUEST_VERDICT;
	}
}
