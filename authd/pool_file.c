/* The file of what the pool's servers can do. */
#include "authd/pool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"

enum {
	WRITE_EVERY = 3,  /* seconds: servers that tell something new all the time cost no more than this */
	RETRY_AFTER = 300 /* seconds after a failure, which was logged */
};

static char *path_of(const struct settings *set)
{
	return set->node_STATEDIR[0] != '\0' ? mem_printf("%s/capabilities", set->node_STATEDIR) :
	                                       mem_printf("%s/state/capabilities", set->node_RUNDIR);
}

void pool_file_read(struct authd *a)
{
	char *path = path_of(a->ctx.set);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct str text = STR_INIT;

	a->pool_capability = pool_capability_new();
	if ((fd == -1 && errno != ENOENT) || (fd != -1 && !fd_read_file(fd, POOL_CAPABILITY_FILE_MAX, &text)))
		log_error("cannot read %s: %s; what servers can do is learned anew from logins there", path,
		    strerror(errno));
	else if (fd != -1 && !pool_capability_read(a->pool_capability, str_cstr(&text), text.len, (uint64_t)time(NULL)))
		log_error("%s is damaged and is written anew; what servers can do is learned from logins there", path);
	pool_capability_tick(a->pool_capability, (uint64_t)time(NULL));
	if (fd != -1)
		close(fd);
	str_fini(&text);
	mem_free(&path);
}

static void on_written(const struct job_done *done, int fd, void *arg)
{
	struct authd *a = arg;

	if (fd != -1)
		close(fd);
	a->pool_file_pending = false;
	if (done == NULL || done->result != AUTH_OK) {
		pool_capability_renew(a->pool_capability);
		a->pool_file_at = clock_now() + RETRY_AFTER;
	}
}

/* Its text as a memory file; -1 with errno. */
static int text_file(struct authd *a)
{
	int fd = memfd_create("capabilities", MFD_CLOEXEC), err;
	struct str text = STR_INIT;
	bool ok;

	if (fd == -1)
		return -1;
	pool_capability_write(a->pool_capability, &text);
	ok = fd_write_all(fd, text.data, text.len);
	err = errno;
	str_fini(&text);
	if (ok)
		return fd;
	close(fd);
	errno = err;
	return -1;
}

void pool_file_tick(struct authd *a)
{
	static struct msgw out;
	uint32_t id;
	int fd;

	if (a->pool_file_pending || clock_now() < a->pool_file_at || !pool_capability_is_new(a->pool_capability))
		return;
	a->pool_file_at = clock_now() + WRITE_EVERY;
	if ((fd = text_file(a)) == -1) {
		pool_capability_renew(a->pool_capability);
		return;
	}
	a->pool_file_pending = true;
	id = jobs_next_id(a->jobs);
	job_write_keep(&out, id);
	jobs_submit(a->jobs, id, &out, fd, NULL, on_written, a);
	close(fd);
}

/* The entry of PATH is on the disk. */
static bool sync_folder(const char *path)
{
	char *folder = mem_strdup(path), *slash = strrchr(folder, '/');
	int fd = -1;
	bool ok;

	if (slash != NULL) {
		*slash = '\0';
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	ok = fd != -1 && fsync(fd) == 0;
	if (fd != -1)
		close(fd);
	mem_free(&folder);
	return ok;
}

bool pool_file_write(const struct settings *set, int content)
{
	char *path = path_of(set), *new = mem_printf("%s.new", path);
	struct str text = STR_INIT;
	int fd = -1;
	bool ok = fd_read_file(content, POOL_CAPABILITY_FILE_MAX, &text) &&
	    (fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)) != -1 &&
	    fd_write_all(fd, str_cstr(&text), text.len) && fsync(fd) == 0 && rename(new, path) == 0 &&
	    sync_folder(path);

	if (!ok)
		log_error("cannot write %s: %s; what servers can do would be forgotten at a restart. STATEDIR has to "
		          "be a folder of AUTH_USER",
		    path, strerror(errno));
	if (fd != -1)
		close(fd);
	str_fini(&text);
	mem_free(&new);
	mem_free(&path);
	return ok;
}
