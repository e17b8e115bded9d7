#include "authd/question.h"

#include "lib/mem.h"

struct questions {
	struct jobs *jobs;
	uint64_t since; /* verdicts that nodes share count if they are newer, unix seconds */
};

struct question {
	struct questions *qs;
	unsigned pos;
	struct asker *who;
};

static struct msgw out;

struct questions *questions_new(struct jobs *jobs)
{
	struct questions *qs = mem_alloc(sizeof(*qs));

	qs->jobs = jobs;
	return qs;
}

void questions_free(struct questions **qs)
{
	mem_free(qs);
}

static void on_done(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct question *q = arg;
	struct asker who = *q->who;
	struct account nobody;
	struct answer answer = { .answered = true, .result = AUTH_TRY_LATER, .pos = q->pos, .account = &nobody };

	account_init(&nobody);
	if (done != NULL) {
		answer.answered = done->answered;
		answer.result = done->result;
		answer.pos = done->pos;
		answer.age = done->age;
		answer.account = &done->account;
	}
	/* During a reload the two sides may have different chains: a question must not go to and fro. */
	if (!answer.answered && answer.pos <= q->pos) {
		answer.answered = true;
		answer.result = AUTH_TRY_LATER;
	}
	q->who->question = NULL;
	mem_free(&q);
	who.fn(&answer, who.arg);
	account_fini(&nobody);
}

void question_ask(struct questions *qs, struct asker *who, const struct ask *ask, answer_fn *fn, void *arg)
{
	static const struct net_addr nobody;
	struct question *q = mem_alloc(sizeof(*q));
	uint32_t id = jobs_next_id(qs->jobs);

	q->qs = qs;
	q->pos = ask->pos;
	q->who = who;
	*who = (struct asker){ .question = q, .fn = fn, .arg = arg };
	if (ask->password != NULL)
		job_write_verify(&out, id, ask->pos, ask->service, ask->user, ask->password,
		    ask->client != NULL ? ask->client : &nobody, ask->client != NULL ? qs->since : JOB_SINCE_NOW);
	else
		job_write_lookup(&out, id, ask->pos, ask->service, ask->user);
	jobs_submit(qs->jobs, id, &out, -1, ask->client, on_done, q);
	mem_wipe(out.buf, out.len);
}

void question_cancel(struct asker *who)
{
	struct question *q = who->question;

	if (q == NULL)
		return;
	jobs_forget(q->qs->jobs, q);
	who->question = NULL;
	mem_free(&q);
}
