/* File system calls of the code under test, counted; the n-th fails, or ends the process. Link with the --wrap options
 * of test_store_safety in tests/local.mk. */
#ifndef TESTS_FILE_CALLS_H
#define TESTS_FILE_CALLS_H

#include "lib/base.h"

enum file_fault {
	FILE_NONE,
	FILE_ONCE, /* the n-th call fails */
	FILE_KILL  /* SIGKILL before the n-th is made */
};

/* From now on calls are counted from 1, and call N has the fault, with errno ERR. */
void file_calls_begin(enum file_fault fault, unsigned n, int err);
/* No more faults. Returns the number of calls since file_calls_begin(). */
unsigned file_calls_end(void);

#endif
