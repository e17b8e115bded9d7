/* The messages between authd and its auth workers. */
#include "authd/job.h"

#include <string.h>

#include "lib/mem.h"
#include "node/msg_channel.h"

static bool is_kind(unsigned kind)
{
	return kind >= JOB_HASH && kind <= JOB_KEEP;
}

/* --- questions --- */

void job_init(struct job *j, uint32_t id, enum job_kind kind)
{
	memset(j, 0, sizeof(*j));
	j->id = id;
	j->kind = kind;
	j->password = mem_strdup("");
	j->hash = mem_strdup("");
	j->path = mem_strdup("");
	j->service = mem_strdup("");
	j->user = mem_strdup("");
}

void job_fini(struct job *j)
{
	mem_free_secret(&j->password);
	mem_free_secret(&j->hash);
	mem_free(&j->path);
	mem_free(&j->service);
	mem_free(&j->user);
}

static void begin(struct msgw *w, uint16_t type, uint32_t id, enum job_kind kind)
{
	msgw_begin(w, type);
	msgw_u32(w, id);
	msgw_u8(w, (uint8_t)kind);
}

enum job_kind job_kind_of(const struct msgw *w)
{
	struct msgr r;

	msgr_begin(&r, w->buf, w->len);
	msgr_u32(&r); /* its number */
	return (enum job_kind)msgr_u8(&r);
}

void job_write_hash(struct msgw *w, uint32_t id, const char *password, const char *hash)
{
	begin(w, JOB, id, JOB_HASH);
	msgw_str(w, password);
	msgw_str(w, hash);
}

void job_write_scram(struct msgw *w, uint32_t id, const char *password, const char *hash)
{
	begin(w, JOB, id, JOB_SCRAM);
	msgw_str(w, password);
	msgw_str(w, hash);
}

void job_write_userdb_load(struct msgw *w, uint32_t id, const char *path, unsigned shrink_percent, bool with_image)
{
	begin(w, JOB, id, JOB_USERDB_LOAD);
	msgw_str(w, path);
	msgw_u8(w, (uint8_t)MIN(shrink_percent, 100));
	msgw_u8(w, with_image);
}

void job_write_keep(struct msgw *w, uint32_t id)
{
	begin(w, JOB, id, JOB_KEEP);
}

static void write_question(struct msgw *w, uint32_t id, enum job_kind kind, const struct auth_question *q,
    unsigned from, unsigned avoid)
{
	begin(w, JOB, id, kind);
	msgw_u8(w, (uint8_t)from);
	msgw_u16(w, (uint16_t)avoid);
	msgw_str(w, q->service);
	msgw_str(w, q->user);
}

void job_write_lookup(struct msgw *w, uint32_t id, const struct auth_question *q, unsigned from, unsigned avoid)
{
	write_question(w, id, JOB_LOOKUP, q, from, avoid);
}

void job_write_verify(struct msgw *w, uint32_t id, const struct auth_question *q, unsigned from, unsigned avoid,
    uint64_t since, bool only_shared)
{
	write_question(w, id, JOB_VERIFY, q, from, avoid);
	msgw_str(w, q->password);
	net_addr_write(w, &q->client);
	msgw_u64(w, since);
	msgw_u8(w, only_shared);
}

struct auth_question job_question(const struct job *j)
{
	return (struct auth_question){
		.service = j->service,
		.user = j->user,
		.password = j->kind == JOB_VERIFY ? j->password : NULL,
		.client = j->client,
	};
}

static void read_str(struct msgr *r, char **member, size_t size)
{
	mem_free(member);
	*member = msgr_strdup(r, size - 1);
}

bool job_read(struct msgr *r, struct job *j)
{
	uint32_t id = msgr_u32(r);
	uint8_t kind = msgr_u8(r);

	job_init(j, id, (enum job_kind)kind);
	if (r->type != JOB || !is_kind(kind))
		return false;
	switch (j->kind) {
	case JOB_HASH:
	case JOB_SCRAM:
		read_str(r, &j->password, ACCOUNT_PASSWORD_MAX);
		read_str(r, &j->hash, ACCOUNT_HASH_MAX);
		break;
	case JOB_USERDB_LOAD:
		read_str(r, &j->path, ACCOUNT_PATH_MAX);
		j->shrink_percent = msgr_below(r, 101);
		j->with_image = msgr_bool(r);
		break;
	case JOB_KEEP:
		break;
	case JOB_LOOKUP:
	case JOB_VERIFY:
		j->from = msgr_u8(r);
		j->avoid = msgr_u16(r);
		read_str(r, &j->service, JOB_SERVICE_MAX);
		read_str(r, &j->user, ACCOUNT_NAME_MAX);
		if (j->kind == JOB_VERIFY) {
			read_str(r, &j->password, ACCOUNT_PASSWORD_MAX);
			net_addr_read(r, &j->client);
			j->since = msgr_u64(r);
			j->only_shared = msgr_bool(r);
		}
		break;
	}
	return msgr_end(r);
}

/* --- answers --- */

void job_done_init(struct job_done *d, uint32_t id, enum job_kind kind)
{
	memset(d, 0, sizeof(*d));
	d->id = id;
	d->kind = kind;
	d->result = AUTH_TRY_LATER;
	d->text = mem_strdup("");
	userdb_report_init(&d->report);
	account_init(&d->account);
}

void job_done_fini(struct job_done *d)
{
	mem_free_secret(&d->text);
	userdb_report_fini(&d->report);
	account_fini(&d->account);
	dirnews_fini(&d->news);
}

static void write_report(struct msgw *w, const struct userdb_report *rep)
{
	msgw_u8(w, (uint8_t)rep->status);
	msgw_u64(w, rep->entries);
	msgw_u64(w, rep->broken);
	msgw_u64(w, rep->kept);
	msgw_u64(w, rep->duplicates);
	msgw_u64(w, rep->lost);
	msgw_u64(w, rep->bytes);
	msgw_u32(w, rep->files);
	msgw_bytes(w, str_cstr(&rep->text), MIN(rep->text.len, JOB_TEXT_MAX - 1));
}

void job_done_write(struct msgw *w, const struct job_done *d)
{
	begin(w, JOB_DONE, d->id, d->kind);
	msgw_u8(w, (uint8_t)d->result);
	switch (d->kind) {
	case JOB_HASH:
	case JOB_KEEP:
		break;
	case JOB_SCRAM:
		msgw_str(w, d->text);
		break;
	case JOB_USERDB_LOAD:
		write_report(w, &d->report);
		break;
	case JOB_LOOKUP:
	case JOB_VERIFY:
		msgw_u8(w, d->answered);
		msgw_u8(w, d->pos);
		msgw_u64(w, d->age);
		account_write(w, &d->account, true);
		msgw_bytes(w, d->settings, sizeof(d->settings));
		dirnews_write(w, &d->news);
		break;
	}
}

static void read_report(struct msgr *r, struct userdb_report *rep)
{
	uint8_t status = msgr_below(r, USERDB_FAILED + 1);
	char *text;

	rep->status = r->bad ? USERDB_FAILED : (enum userdb_status)status;
	rep->entries = msgr_u64(r);
	rep->broken = msgr_u64(r);
	rep->kept = msgr_u64(r);
	rep->duplicates = msgr_u64(r);
	rep->lost = msgr_u64(r);
	rep->bytes = msgr_u64(r);
	rep->files = msgr_u32(r);
	text = msgr_linesdup(r, JOB_TEXT_MAX - 1);
	str_adds(&rep->text, text);
	mem_free(&text);
}

static void read_account(struct msgr *r, struct job_done *d)
{
	d->answered = msgr_bool(r);
	d->pos = msgr_u8(r);
	d->age = msgr_u64(r);
	account_fini(&d->account);
	account_read(r, &d->account);
	msgr_fixed(r, d->settings, sizeof(d->settings));
	dirnews_read(r, &d->news);
}

bool job_done_read(struct msgr *r, struct job_done *d)
{
	uint32_t id = msgr_u32(r);
	uint8_t kind = msgr_u8(r), result = msgr_below(r, AUTH_RESULT_COUNT);

	job_done_init(d, id, (enum job_kind)kind);
	if (r->type != JOB_DONE || !is_kind(kind) || r->bad)
		return false;
	d->result = (enum auth_result)result;
	switch (d->kind) {
	case JOB_HASH:
	case JOB_KEEP:
		break;
	case JOB_SCRAM:
		read_str(r, &d->text, ACCOUNT_HASH_MAX);
		break;
	case JOB_USERDB_LOAD:
		read_report(r, &d->report);
		break;
	case JOB_LOOKUP:
	case JOB_VERIFY:
		read_account(r, d);
		break;
	}
	return msgr_end(r);
}
