/* The figures of session servers, which spawn can read while they run and after a crash: each server has a page of one
 * memory file. However many there are, spawn has one descriptor and no mapping, so that a fork always costs the same; a
 * server maps its own page and has no descriptor of the file. */
#ifndef MASTER_FIGURES_H
#define MASTER_FIGURES_H

#include "lib/bio.h"

enum { FIGURES_NONE = -1 };

/* A page for a new server; its number is never used again, so that leftovers of an old server cannot reach it.
 * FIGURES_NONE: no memory; the server runs without. */
int64_t figures_new(void);
/* In the server: its figures, mapped until it ends, so that the mapping can neither grow nor move where the kernel has
 * mseal() (6.10). NULL: there are none. */
struct bio_figures *figures_map(int64_t page);
/* Copies the figures of PAGE; false if there are none. */
bool figures_read(int64_t page, struct bio_figures *out);
/* The server of PAGE has ended, or did not start: releases its memory. */
void figures_drop(int64_t page);

#endif
