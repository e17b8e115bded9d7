/* A folder for a fuzz target that needs files. */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

/* A new, empty folder below $TMPDIR (/tmp), which is removed when the process exits. The caller must not free its path.
 * A second call returns the same folder. */
const char *scratch_dir(void);
/* Removes what is in it. */
void scratch_clear(void);
/* The empty Maildir NAME in it; the path is the caller's (mem_free). */
char *scratch_maildir(const char *name);
/* Writes TEXT into the new file NAME of the folder BELOW. */
void scratch_file(const char *below, const char *name, const char *text);

#endif
