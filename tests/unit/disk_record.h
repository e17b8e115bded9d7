/* What a disk may hold after a power cut: the changes that were made to a folder are recorded, step by step, and
 * the folder is made anew as it may be if only a part of them has reached the disk. */
#ifndef TESTS_DISK_RECORD_H
#define TESTS_DISK_RECORD_H

#include <stddef.h>
#include <stdint.h>

enum disk_model {
	DISK_ALL, /* all has reached it */
	/* A journal (ext4, xfs): names change in the order of the calls, and all that came before any fsync() is
	 * there. Of a file's content what was not synced may be missing. */
	DISK_ORDERED,
	/* No more than POSIX says: names that are not covered by an fsync() of their directory in any subset; but a
	 * rename within one directory is one step, and one between two takes a name away only where the other is
	 * there, unless the directory that it leaves was synced. */
	DISK_STRICT
};

/* Records what happens below DIR from now on; all that is there is on the disk. */
void disk_record_begin(const char *dir);
void disk_record_end(void);
/* The number of steps so far. */
size_t disk_record_steps(void);
/* Makes a new folder INTO of what may be there if the power fails behind the first STEPS steps; SEED chooses. */
void disk_record_make(size_t steps, enum disk_model model, uint64_t seed, const char *into);

#endif
