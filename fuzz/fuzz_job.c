/* Messages between authd and its workers: whatever was read can be written again, with the same result. */
#include <string.h>

#include "authd/job.h"
#include "lib/die.h"
#include "node/msg_channel.h"
#include "tests/unit/job_again.h"

static struct msgw w;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msgr r;
	struct job j;
	struct job_done d;

	msgr_begin(&r, data, size);
	if (job_read(&r, &j)) {
		job_write(&w, &j);
		DIE_IF(w.len != size || memcmp(w.buf, data, size) != 0);
	}
	job_fini(&j);
	msgr_begin(&r, data, size);
	if (job_done_read(&r, &d)) {
		job_done_write(&w, &d);
		DIE_IF(w.len != size || memcmp(w.buf, data, size) != 0);
	}
	job_done_fini(&d);
	return 0;
}
