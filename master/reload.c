/* Reload: new logins get the new settings, open sessions keep the old ones. */
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "master/logfile.h"
#include "master/master.h"
#include "master/notify.h"

enum { READY_WITHIN = 60 }; /* seconds for the new processes */

static struct {
	bool active, again; /* again: a SIGHUP came in between */
	struct master *m;
	ev_timer limit;
	struct str warnings;
	reload_done_fn *done;
	void *arg;
} run;

static void log_lines(void (*log)(const char *fmt, ...), const char *lines)
{
	while (*lines != '\0') {
		int len = (int)strcspn(lines, "\n");

		log("%.*s", len, lines);
		lines += len + (lines[len] == '\n');
	}
}

static void finish(unsigned status, const char *text)
{
	reload_done_fn *done = run.done;
	void *arg = run.arg;
	struct master *m = run.m;

	if (status == 0)
		log_info("reloaded: new logins are served with the new settings");
	else
		log_lines(log_error, text);
	notify_ready();
	ev_timer_stop(m->loop, &run.limit);
	run.active = false;
	run.done = NULL;
	if (done != NULL)
		done(arg, status, text);
	str_fini(&run.warnings);
	if (run.again) {
		run.again = false;
		reload_begin(m, NULL, NULL);
	}
}

static void on_limit(struct ev_loop *loop UNUSED, ev_timer *t UNUSED, int revents UNUSED)
{
	finish(1,
	    "the settings were loaded, but not all new processes became ready in time; see `waypost status` and the "
	    "log. Old processes continue until their successors work.\n");
}

static bool differs(const char *a, const char *b)
{
	return strcmp(a, b) != 0;
}

/* Settings that cannot change while the daemon runs keep their old value. */
static void keep_fixed(struct settings *new, const struct settings *old, struct str *warnings)
{
	const struct {
		const char *name;
		char **new;
		const char *old;
	} fixed[] = {
		{ "RUNDIR", &new->node_RUNDIR, old->node_RUNDIR },
		{ "STATEDIR", &new->node_STATEDIR, old->node_STATEDIR },
		{ "LOGIN_USER", &new->node_LOGIN_USER, old->node_LOGIN_USER },
		{ "AUTH_USER", &new->node_AUTH_USER, old->node_AUTH_USER },
	};

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (differs(*fixed[i].new, fixed[i].old)) {
			str_addf(warnings, "%s: restart the daemon to change this to \"%s\"; \"%s\" stays until then\n",
			    fixed[i].name, *fixed[i].new, fixed[i].old);
			mem_free(fixed[i].new);
			*fixed[i].new = mem_strdup(fixed[i].old);
		}
}

/* The log is switched last, so that earlier errors are still logged in the old place. */
static void take_log(struct master *m, struct settings *new, struct str *warnings)
{
	logfile_set_level(new->node_LOG_LEVEL);
	if (master_logs_to_stderr(m))
		return;
	if (!differs(new->node_LOG, m->set->node_LOG)) {
		logfile_reopen();
	} else if (!logfile_open(new->node_LOG)) {
		str_addf(warnings, "LOG: cannot open %s: %m; the log stays in its old place\n", new->node_LOG);
		mem_free(&new->node_LOG);
		new->node_LOG = mem_strdup(m->set->node_LOG);
	}
}

static bool prepare(struct master *m, struct settings **new, struct str *errors)
{
	*new = settings_load(m->file, errors, &run.warnings);
	if (*new == NULL)
		return false;
	keep_fixed(*new, m->set, &run.warnings);
	if (!listen_update(&m->listeners, *new, children_worker_slots(*new), errors))
		return false;
	master_identify(m, *new);
	return true;
}

void reload_begin(struct master *m, reload_done_fn *done, void *arg)
{
	struct str errors = STR_INIT;
	struct settings *new;

	if (run.active || m->state != MASTER_RUNNING) {
		if (done != NULL)
			done(arg, 1,
			    m->state == MASTER_RUNNING ? "a reload is already in progress\n" :
			                                 "the daemon is starting or stopping\n");
		else
			run.again = run.active;
		return;
	}
	notify_reloading();
	run.active = true;
	run.m = m;
	run.done = done;
	run.arg = arg;
	ev_timer_init(&run.limit, on_limit, READY_WITHIN, 0.);
	if (!prepare(m, &new, &errors)) {
		logfile_reopen();
		settings_free(&new);
		str_adds(&errors, "nothing was changed; the old settings stay\n");
		finish(1, str_cstr(&errors));
		str_fini(&errors);
		return;
	}
	take_log(m, new, &run.warnings);
	log_lines(log_warn, str_cstr(&run.warnings));
	settings_free(&m->set);
	m->set = new;
	ev_timer_start(m->loop, &run.limit);
	children_renew(m);
	listen_prune(&m->listeners);
	str_fini(&errors);
}

void reload_forget(void *arg)
{
	if (run.active && run.arg == arg)
		run.done = NULL;
}

bool reload_under_way(void)
{
	return run.active;
}

void reload_progress(struct master *m, const struct child *died)
{
	char name[32], text[256];

	if (!run.active || m->state != MASTER_RUNNING)
		return;
	if (died != NULL && died->post->current == died && died->post->wanted) {
		snprintf(text, sizeof(text),
		    "the settings were loaded, but the new %s does not start; see the log. It is tried again; an old "
		    "process goes on until its successor works.\n",
		    master_post_name(died->post, name));
		finish(1, text);
	} else if (children_all_ready(m)) {
		finish(0, str_cstr(&run.warnings));
	}
}
