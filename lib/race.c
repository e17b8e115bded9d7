/* The sleep at a race point, in builds that have them. */
#include "lib/race.h"

#ifdef WITH_RACE_POINTS
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/num.h"

static struct {
	bool asked;     /* the environment was read */
	uint64_t state; /* 0: no sleep anywhere */
	uint64_t max_us, percent;
	const char *only;
} race = { .max_us = 5000, .percent = 30, .only = "" };

/* The number at *S, up to the next ':' or the end; *S moves behind that. */
static uint64_t number(const char **s, uint64_t limit)
{
	size_t len = strcspn(*s, ":");
	uint64_t v;

	if (!num_parse(*s, len, limit, &v))
		die_fatal("WAYPOST_RACE is not SEED[:MICROSECONDS[:PERCENT[:NAME]]]");
	*s += len;
	*s += **s == ':';
	return v;
}

static void read_environment(void)
{
	const char *s = getenv("WAYPOST_RACE");

	race.asked = true;
	if (s == NULL || *s == '\0')
		return;
	race.state = number(&s, UINT32_MAX) * 2 + 1; /* never 0 */
	if (*s != '\0')
		race.max_us = number(&s, 1000000);
	if (*s != '\0')
		race.percent = number(&s, 100);
	race.only = s;
}

/* xorshift64*: small, and the same everywhere. */
static uint64_t next(void)
{
	race.state ^= race.state >> 12;
	race.state ^= race.state << 25;
	race.state ^= race.state >> 27;
	return (race.state * 0x2545f4914f6cdd1dull) >> 24;
}

void race_point(const char *name)
{
	int err = errno;

	if (!race.asked)
		read_environment();
	if (race.state != 0 && strncmp(name, race.only, strlen(race.only)) == 0 && next() % 100 < race.percent)
		usleep((useconds_t)(next() % (race.max_us + 1)));
	errno = err;
}
#endif
