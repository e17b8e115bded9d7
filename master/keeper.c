/* Keeps the family of a program together. */
#include "master/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/die.h"

enum { CHILDREN_MAX = 256, AGAIN_MS = 50 };

/* The process ids of our children, those of a double fork too; at most CHILDREN_MAX, others are seen later. */
static unsigned list_children(pid_t list[CHILDREN_MAX])
{
	char path[64], text[CHILDREN_MAX * 12], *p = text, *end;
	unsigned n = 0;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len < 0 ? 0 : len] = '\0';
	for (long pid; n < CHILDREN_MAX && (pid = strtol(p, &end, 10)) > 0 && *end == ' '; p = end + 1)
		list[n++] = (pid_t)pid;
	return n;
}

/* SIG to all children and, of those that lead one, to their process groups. */
static void signal_all(pid_t program, int sig)
{
	pid_t list[CHILDREN_MAX];
	unsigned n = list_children(list);

	if (n == 0 && program != 0) { /* /proc cannot be read */
		list[0] = program;
		n = 1;
	}
	for (unsigned i = 0; i < n; i++)
		if (kill(-list[i], sig) != 0)
			kill(list[i], sig);
}

/* Ends as the program has ended. */
static void NORETURN end_as(int status)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	sigset_t none;

	if (sig == 0)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(sig);
	_exit(1);
}

/* Until the last one of the family is gone. What is reaped may leave children, which are ours then. */
static void NORETURN keep(pid_t program, const sigset_t *signals)
{
	const struct timespec soon = { 0, AGAIN_MS * 1000000L };
	int status, its_status = 0;
	bool killing = false;
	pid_t pid;

	for (;;) {
		int sig;

		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == program) {
				its_status = status;
				program = 0;
			}
		if (pid == -1 && errno == ECHILD)
			end_as(its_status);
		if (killing)
			signal_all(program, SIGKILL);
		sig = sigtimedwait(signals, NULL, killing ? &soon : NULL);
		if (sig == KEEPER_ASK)
			signal_all(program, SIGTERM);
		killing = killing || sig == KEEPER_KILL;
	}
}

/* The parent's end ends this process by SIG. A parent that is gone already is none. */
static void end_with(pid_t parent, int sig)
{
	if (prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0) != 0)
		die_errno("cannot tie a program to spawn");
	if (getppid() != parent)
		_exit(1);
}

void keeper_begin(pid_t spawn)
{
	sigset_t signals, none;
	pid_t program, self;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, KEEPER_ASK);
	sigaddset(&signals, KEEPER_KILL);
	sigprocmask(SIG_SETMASK, &signals, NULL); /* before anybody may send one */
	end_with(spawn, KEEPER_KILL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		die_errno("cannot keep the processes of a program");
	self = getpid();
	if ((program = fork()) == -1)
		die_errno("cannot start a program");
	if (program == 0) {
		end_with(self, SIGKILL);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid(); /* its group is its own: the keeper asks, and kills, the whole of it */
		return;
	}
	prctl(PR_SET_NAME, "keeper", 0, 0, 0);
	if (close_range(0, ~0U, 0) != 0)
		for (int fd = 0; fd < 65536; fd++)
			close(fd);
	keep(program, &signals);
}
