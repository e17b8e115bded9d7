/* The figures that session servers show to spawn while they run, and that are left when one crashes: a page of one
 * memory file for each. However many there are, spawn has one descriptor for them and no mapping, so that a fork
 * costs the same; a server maps its own page and has no descriptor of the file. */
#ifndef MASTER_FIGURES_H
#define MASTER_FIGURES_H

#include "lib/bio.h"

enum { FIGURES_NONE = -1 };

/* A page for a new server; its number is never used again, so that nothing that an old server left behind can reach
 * it. FIGURES_NONE: there is no memory for it; the server runs without. */
int64_t figures_new(void);
/* In the server: its figures, mapped until it ends, so that the mapping can neither grow nor move where the kernel has
 * mseal() (6.10). NULL: there are none. */
struct bio_figures *figures_map(int64_t page);
/* Copies the figures of PAGE; false if there are none. */
bool figures_read(int64_t page, struct bio_figures *out);
/* The server of PAGE has ended, or did not start: gives its memory back. */
void figures_drop(int64_t page);

#endif
