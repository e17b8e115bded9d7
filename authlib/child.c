/* Starting, asking and ending the child of a driver that may hang. */
#include "authlib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/msg.h"

enum { TELL_MS = 200, LOOK_MS = 2 }; /* from the end of a child's output to its own; between two checks */

static void close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. */
static void run_and_exit(int in, int out, pid_t parent, int (*run)(void *arg), void *arg)
{
	default_signals();
	if (setsid() == -1 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent ||
	    dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1)
		_exit(126);
	closefrom(STDERR_FILENO + 1);
	_exit(run(arg));
}

/* FD[0] reads what is written to FD[1]. */
static int make_output(enum child_output output, int fd[2])
{
	return output == CHILD_MESSAGES ? msg_pair(fd) : pipe2(fd, O_CLOEXEC);
}

bool child_start(struct child *c, enum child_output output, int (*run)(void *arg), void *arg, struct str *why)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	pid_t parent = getpid();

	if (pipe2(in, O_CLOEXEC) == 0 && make_output(output, out) == 0 && fcntl(in[1], F_SETFL, O_NONBLOCK) == 0 &&
	    fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 && (c->pid = fork()) != -1) {
		if (c->pid == 0)
			run_and_exit(in[0], out[1], parent, run, arg);
		c->to = in[1];
		c->from = out[0];
		close_fd(&in[0]);
		close_fd(&out[1]);
		return true;
	}
	str_addf(why, "cannot start a child process: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		close_fd(&in[i]);
		close_fd(&out[i]);
	}
	c->pid = 0;
	return false;
}

static void tell_end(const siginfo_t *info, struct str *why)
{
	if (info->si_code == CLD_EXITED)
		str_addf(why, "; it has ended with status %d", info->si_status);
	else
		str_addf(why, "; it was ended by signal %d", info->si_status);
}

/* Waits up to MS for the child to end; INFO says whether it did. It stays a zombie, so that no other process or group
 * can get its number. False: it has been reaped already. */
static bool await_end(const struct child *c, int ms, siginfo_t *info)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

	for (;; ms -= LOOK_MS) {
		info->si_pid = 0;
		if (waitid(P_PID, (id_t)c->pid, info, WEXITED | WNOHANG | WNOWAIT) != 0)
			return false;
		if (info->si_pid != 0 || ms <= 0)
			return true;
		nanosleep(&pause, NULL);
	}
}

void child_end(struct child *c, struct str *why)
{
	siginfo_t info;

	if (c->pid == 0)
		return;
	close_fd(&c->to);
	close_fd(&c->from);
	/* The loop of this process may have waited for it already. */
	if (await_end(c, why != NULL ? TELL_MS : 0, &info)) {
		if (info.si_pid != 0 && why != NULL)
			tell_end(&info, why);
		kill(-c->pid, SIGKILL);
		kill(c->pid, SIGKILL); /* it may not have got to its group yet */
		while (waitid(P_PID, (id_t)c->pid, &info, WEXITED) != 0 && errno == EINTR)
			;
	}
	c->pid = 0;
}
