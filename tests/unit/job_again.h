/* For tests and fuzzing: a job that was read is written again. */
#ifndef TESTS_UNIT_JOB_AGAIN_H
#define TESTS_UNIT_JOB_AGAIN_H

#include "authd/job.h"

/* The message of J, whatever its kind, into W. */
static inline void job_write(struct msgw *w, const struct job *j)
{
	const struct auth_question q = job_question(j);

	switch (j->kind) {
	case JOB_HASH:
		job_write_hash(w, j->id, j->password, j->hash);
		break;
	case JOB_SCRAM:
		job_write_scram(w, j->id, j->password, j->hash);
		break;
	case JOB_USERDB_LOAD:
		job_write_userdb_load(w, j->id, j->path, j->shrink_percent, j->with_image);
		break;
	case JOB_KEEP:
		job_write_keep(w, j->id);
		break;
	case JOB_LOOKUP:
		job_write_lookup(w, j->id, &q, j->from, j->avoid);
		break;
	case JOB_VERIFY:
		job_write_verify(w, j->id, &q, j->from, j->avoid, j->since, j->only_shared);
		break;
	}
}

#endif
