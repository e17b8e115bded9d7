/* Places where another process may come between two looks at the same thing. In a build with --enable-race-points the
 * process may sleep there, so that tests see races that otherwise happen once in a million times; other builds have no
 * such code.
 *
 * WAYPOST_RACE=SEED[:MICROSECONDS[:PERCENT[:NAME]]] in the environment turns them on: of the points that are passed,
 * PERCENT (30) sleep, for up to MICROSECONDS (5000); with NAME only those whose name begins with it. The choice depends
 * on SEED and on the points passed before, not on time or process number. Session servers that are started by hand
 * (imapd --maildir, pop3d --maildir) see the variable; those of a daemon do if its environment reaches them. */
#ifndef LIB_RACE_H
#define LIB_RACE_H

#ifdef WITH_RACE_POINTS
/* A point called NAME ("file: what was just checked and may change now"). Keeps errno. */
void race_point(const char *name);
#define RACE(name) race_point(name)
#else
#define RACE(name) ((void)0)
#endif

#endif
