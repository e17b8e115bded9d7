/* Compares the limits of the system with what the settings require. */
#include "settings/limits.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/landlock.h"
#include "lib/num.h"

enum { SESSIONS_GUESS = 10000, SPARE = 1000 };

/* One line: NAME has PRESENT; NEEDED for WHAT. FIX says what to type if that is low. */
static void line(struct str *out, const char *name, uint64_t present, uint64_t needed, const char *what,
    const char *fix)
{
	str_addf(out, "%s = %" PRIu64 ", needed %" PRIu64 " for %s: ", name, present, needed, what);
	if (present >= needed)
		str_adds(out, "ok\n");
	else
		str_addf(out, "low; %s\n", fix);
}

/* The Nth number (from 0) in the /proc file PATH. */
static bool read_number(const char *path, unsigned n, uint64_t *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[256];
	const char *p = buf;
	ssize_t len;

	if (fd == -1)
		return false;
	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (len <= 0)
		return false;
	buf[len] = '\0';
	for (;; n--) {
		size_t digits;

		p += strspn(p, " \t\n");
		digits = strcspn(p, " \t\n");
		if (n == 0)
			return num_parse(p, digits, UINT64_MAX, out);
		p += digits;
	}
}

static void sysctl_line(struct str *out, const char *name, const char *path, uint64_t needed, const char *what)
{
	char fix[256];
	uint64_t present;

	if (!read_number(path, 0, &present)) {
		str_addf(out, "%s: not known on this system\n", name);
		return;
	}
	snprintf(fix, sizeof(fix), "run: sysctl -w %s=%" PRIu64 ", and add %s=%" PRIu64 " to a file in /etc/sysctl.d",
	    name, needed, name, needed);
	line(out, name, present, needed, what, fix);
}

/* One worker may carry all SESSIONS: client and peer each, and pipes for some. */
static uint64_t descriptors_for(uint64_t sessions)
{
	return 2 * sessions + SPARE;
}

static void descriptors(struct str *out, uint64_t sessions)
{
	struct rlimit lim;
	char fix[256];
	uint64_t needed = descriptors_for(sessions);

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0) {
		str_adds(out, "open files: not known on this system\n");
		return;
	}
	snprintf(fix, sizeof(fix), "set LimitNOFILE=%" PRIu64 " in the service unit (in a shell: ulimit -Hn)", needed);
	line(out, "open files per process, hard limit of this shell", lim.rlim_max, needed,
	    "two descriptors per relayed session", fix);
	str_addf(out,
	    "open files per process, soft limit of this shell = %" PRIu64 ": the daemon raises it to the hard limit\n",
	    (uint64_t)lim.rlim_cur);
}

static void local_ports(struct str *out, uint64_t sessions)
{
	static const char path[] = "/proc/sys/net/ipv4/ip_local_port_range";
	uint64_t first, last;

	if (!read_number(path, 0, &first) || !read_number(path, 1, &last) || last < first) {
		str_adds(out, "net.ipv4.ip_local_port_range: not known on this system\n");
		return;
	}
	line(out, "net.ipv4.ip_local_port_range, ports in it", last - first + 1, MIN(sessions, 60000),
	    "one port per session relayed to the same peer",
	    "run: sysctl -w net.ipv4.ip_local_port_range=\"5000 65535\", and add it to a file in /etc/sysctl.d");
}

static uint64_t sessions_of(const struct settings *set)
{
	uint64_t n = 0;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(set, p);

		if (s.served && s.max_sessions == 0)
			return SESSIONS_GUESS;
		n += s.served ? (uint64_t)s.max_sessions : 0;
	}
	return n != 0 ? n : SESSIONS_GUESS;
}

uint64_t limits_more_descriptors(const struct settings *set)
{
	uint64_t needed = descriptors_for(sessions_of(set));
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_max == RLIM_INFINITY)
		return needed;
	return MAX(needed, 2 * (uint64_t)lim.rlim_max);
}

/* What IDLE uses to notice changes: inotify, with its limits per uid, is the second choice (maildir/md_watch.h). */
static void idle_watches(struct str *out, uint64_t sessions)
{
	static const char dnotify[] = "/proc/sys/fs/dir-notify-enable";
	uint64_t on;

	sysctl_line(out, "fs.dir-notify-enable", dnotify, 1,
	    "tells sessions in IDLE of changes; without it inotify does");
	if (read_number(dnotify, 0, &on) && on != 0)
		return;
	sysctl_line(out, "fs.inotify.max_user_instances", "/proc/sys/fs/inotify/max_user_instances", sessions,
	    "one per local session in IDLE, where all accounts have one uid");
	sysctl_line(out, "fs.inotify.max_user_watches", "/proc/sys/fs/inotify/max_user_watches", 4 * sessions,
	    "a few per local session in IDLE, where all accounts have one uid");
}

/* Most sites run all accounts under one uid, whose processes only this keeps apart. */
static void landlock(struct str *out)
{
	long abi = landlock_abi();

	str_addf(out, "Landlock = %ld, needed %d for session servers that reach their own Maildir only: ", MAX(abi, 0L),
	    LANDLOCK_ABI_MOVES);
	if (abi >= LANDLOCK_ABI_MOVES)
		str_adds(out, "ok\n");
	else
		str_adds(out,
		    "missing; where accounts share a uid, whoever takes over one session server can read the mail "
		    "of all: use Linux 5.19 or newer with \"landlock\" in /sys/kernel/security/lsm\n");
}

void limits_report(const struct settings *set, struct str *out)
{
	uint64_t sessions = sessions_of(set);

	str_addf(out, "limits of this system for %" PRIu64 " sessions:\n", sessions);
	descriptors(out, sessions);
	sysctl_line(out, "fs.file-max", "/proc/sys/fs/file-max", 3 * sessions + 10 * SPARE,
	    "the open files of all processes");
	if (set->has[PROTOCOL_IMAP])
		idle_watches(out, sessions);
	sysctl_line(out, "kernel.pid_max", "/proc/sys/kernel/pid_max", sessions + SPARE,
	    "one process per local session");
	landlock(out);
	local_ports(out, sessions);
	sysctl_line(out, "net.core.somaxconn", "/proc/sys/net/core/somaxconn", 1024,
	    "clients that connect at the same moment");
}
