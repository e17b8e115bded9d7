/* Decides when a command has to stop. */
#include "node/work.h"

#include <string.h>

#include "lib/clock.h"
#include "node/session.h"

void work_init(struct work *w, struct bio *io, const char *probe)
{
	memset(w, 0, sizeof(*w));
	w->io = io;
	w->probe = probe;
	w->cpu_ms = clock_cpu_ms;
	work_begin(w);
}

void work_begin(struct work *w)
{
	w->stop = WORK_GOES_ON;
	w->finish = false;
	w->units = 0;
	w->look_at = WORK_LOOK;
	w->check_at = 0;
	w->cpu_began = -1;
}

int64_t work_cpu(const struct work *w)
{
	return w->cpu_began < 0 ? 0 : w->cpu_ms() - w->cpu_began;
}

/* A client that closed only its sending side still gets its replies. One that is gone looks the same (all we see is a
 * FIN), but resets the connection when we send the probe; the next check sees that. */
static bool client_is_gone(struct work *w, int64_t now)
{
	switch (bio_peer(w->io)) {
	case BIO_PEER_GONE:
		return true;
	case BIO_PEER_SILENT:
		if (w->probe != NULL && now >= w->probe_at) {
			w->probe_at = now + WORK_PROBE;
			return !bio_puts(w->io, w->probe) || !bio_flush(w->io);
		}
		return false;
	default:
		return w->io->out_failed;
	}
}

static enum work_stop check(struct work *w, int64_t now)
{
	if (session_stop() != SESSION_END_COUNT)
		return WORK_SIGNAL;
	if (!w->finish && client_is_gone(w, now))
		return WORK_NO_CLIENT;
	if (w->cpu_began < 0)
		w->cpu_began = w->cpu_ms();
	return work_cpu(w) > WORK_CPU_BASE + (int64_t)(w->units / WORK_PER_MS) ? WORK_TOO_MUCH : WORK_GOES_ON;
}

bool work_do(struct work *w, uint64_t units)
{
	int64_t now;

	w->units += units;
	if (w->units < w->look_at || w->stop != WORK_GOES_ON)
		return w->stop == WORK_GOES_ON;
	w->look_at = w->units + WORK_LOOK;
	now = clock_ms();
	if (now < w->check_at)
		return true;
	w->check_at = now + WORK_CHECK;
	w->stop = check(w, now);
	return w->stop == WORK_GOES_ON;
}
