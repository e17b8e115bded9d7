/* File system calls of the code under test: counted, so that the n-th fails or ends the process; and told, so that
 * what a power cut leaves can be made of them. Link with $(FILE_CALLS_WRAP) of tests/local.mk. */
#ifndef TESTS_FILE_CALLS_H
#define TESTS_FILE_CALLS_H

#include <sys/types.h>

#include "lib/base.h"

enum file_fault {
	FILE_NONE,
	FILE_ONCE, /* the n-th call fails */
	FILE_FROM, /* the n-th fails, and with EIO all after it, with EROFS all changes, else all that needs room */
	FILE_HALF, /* the n-th, if it reads or writes, does only half of it, and says so */
	FILE_KILL  /* SIGKILL before the n-th is made */
};

/* From now on calls are counted from 1, and call N has the fault, with errno ERR. A write that fails has written half
 * before, as on a disk that gets full, unless ERR is EINTR; a close() that fails has closed. */
void file_calls_begin(enum file_fault fault, unsigned n, int err);
/* No more faults. Returns the number of calls since file_calls_begin(). */
unsigned file_calls_end(void);

enum file_op_kind {
	FILE_MADE,
	FILE_DIR_MADE,
	FILE_LINKED,
	FILE_REMOVED,
	FILE_RENAMED,
	FILE_WROTE,
	FILE_CUT,
	FILE_SYNCED
};

/* A change that was made. Directories and files by inode number. */
struct file_op {
	enum file_op_kind kind;
	ino_t dir, to_dir; /* of NAME and TO_NAME */
	const char *name, *to_name;
	ino_t file;
	const void *data; /* FILE_WROTE */
	size_t len;       /* of DATA; FILE_CUT: what is left of the file */
	off_t at;
};

/* FN is told of each change from now on, if no fault is under way; NULL: nobody is. */
void file_calls_tell(void (*fn)(const struct file_op *op));

#endif
