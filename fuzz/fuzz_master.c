/* What roles send to the master and the tool: figures, rows, log lines. A role may be compromised. */
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "master/counts.h"
#include "master/log_sessions.h"
#include "master/logline.h"
#include "master/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void log_lines(char *p, size_t len, bool session)
{
	static const struct tm when;
	char other[LOG_SESSION_TEXT];
	struct log_record rec;
	struct str out = STR_INIT;

	while (log_parse(&p, &len, &rec)) {
		if (log_sessions_note(1, &rec))
			log_sessions_forget_ended();
		if (session && !log_sessions_allow(1, &rec, other))
			continue;
		str_clear(&out);
		logline_file(&out, &when, "host", &rec, 1);
		/* One record is one line, and that of a session never reports a refused login. */
		if (memchr(out.data, '\n', out.len) != out.data + out.len - 1 ||
		    (session && strstr(rec.text, "LOGIN FAILED") != NULL))
			__builtin_trap();
		str_clear(&out);
		logline_syslog(&out, &when, &rec, 1);
	}
	log_sessions_read(1);
	str_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_memdup(data, size);
	struct counts counts = { 0 };
	struct str out = STR_INIT;

	counts_add_lines(&counts, text, size);
	counts_write(&counts, &out);
	counts_fini(&counts);
	for (int json = 0; json < 2; json++) {
		report_status(&out, text, json != 0);
		report_who(&out, text, json != 0);
	}
	str_fini(&out);
	log_lines(text, size, (size & 1) != 0);
	mem_free(&text);
	return 0;
}
