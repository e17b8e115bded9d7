/* lib/loop: descriptors that other processes hold as well. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"

static int events, others;

static void on_event(struct ev_loop *loop UNUSED, ev_io *io UNUSED, int revents UNUSED)
{
	events++;
}

static int epoll_number(void)
{
	char path[64], target[64];
	ssize_t n;

	for (int fd = 3; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (strstr(target, "eventpoll") != NULL)
			return fd;
	}
	return -1;
}

/* The number of entries in the kernel's table of the loop. */
static int registered(void)
{
	char path[64], line[256];
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", epoll_number());
	f = fopen(path, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strncmp(line, "tfd:", 4) == 0;
	fclose(f);
	return n;
}

/* A descriptor of which another process has a copy is removed from the table, and can be watched again. */
static void test_forget(void)
{
	struct ev_loop *loop = loop_new();
	int sv[2], copy, before;
	ev_io io;

	ev_run(loop, EVRUN_NOWAIT);
	before = registered();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ev_io_init(&io, on_event, sv[0], EV_READ);
	ev_io_start(loop, &io);
	CU_ASSERT_EQUAL(write(sv[1], "x", 1), 1);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(events, 1);
	CU_ASSERT_EQUAL(registered(), before + 1);
	ev_io_stop(loop, &io);
	copy = dup(sv[0]);
	loop_forget(loop, sv[0]);
	CU_ASSERT_EQUAL(registered(), before);
	close(sv[0]);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(registered(), before);
	CU_ASSERT_EQUAL(events, 1);
	CU_ASSERT_EQUAL(dup2(copy, sv[0]), sv[0]); /* the number is reused */
	ev_io_set(&io, sv[0], EV_READ);
	ev_io_start(loop, &io);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(events, 2);
	ev_io_stop(loop, &io);
	close(copy);
	close(sv[0]);
	close(sv[1]);
}

static void on_other(struct ev_loop *loop UNUSED, ev_io *io UNUSED, int revents UNUSED)
{
	others++;
}

/* A descriptor goes from one watcher to another: in the same turn, and after turns in which nobody watched it. */
static void test_take_over(void)
{
	struct ev_loop *loop = ev_default_loop(0);
	int sv[2];
	ev_io first, second;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ev_io_init(&first, on_event, sv[0], EV_READ);
	ev_io_start(loop, &first);
	CU_ASSERT_EQUAL(write(sv[1], "x", 1), 1);
	for (int pause = 0; pause < 2; pause++) {
		events = others = 0;
		ev_run(loop, EVRUN_NOWAIT);
		CU_ASSERT(events == 1 && others == 0);
		if (pause) {
			ev_io_stop(loop, &first);
			ev_run(loop, EVRUN_NOWAIT);
			ev_run(loop, EVRUN_NOWAIT);
		}
		loop_take_over(loop, &second, on_other, &first);
		CU_ASSERT(first.fd == -1 && second.fd == sv[0] && !ev_is_active(&first) && !ev_is_active(&second));
		ev_io_modify(&second, EV_READ);
		ev_io_start(loop, &second);
		ev_run(loop, EVRUN_NOWAIT);
		CU_ASSERT(events == 1 && others == 1);
		loop_take_over(loop, &first, on_event, &second);
		ev_io_modify(&first, EV_READ);
		ev_io_start(loop, &first);
	}
	ev_io_stop(loop, &first);
	close(sv[0]);
	close(sv[1]);
}

static const struct unit_case cases[] = {
	{ "a descriptor that was passed on", test_forget },
	{ "a descriptor with another watcher", test_take_over },
	{ NULL, NULL },
};
UNIT_MAIN("loop", cases)
