/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_CALL_H
#define PINION_TESTS_TRAP_CALL_H

/*
 * The calls that are watched, each in a situation that takes it down one path.
 *
 * judge() knows what every load of the call fetched, and works out anew what the call must make of
 * that: it returns what is wrong, or NULL. So a call that looks at a value twice, and acts upon the
 * second look, is caught by the first change in between.
 */

#include "scene.h"

#define ANY (-1)

struct call {
	const char *name;
	enum kind kind; /* of the scene */
	uint32_t slots; /* of its rings; 0: SLOTS */
	void (*prepare)(struct scene *scene);
	int (*act)(struct scene *scene);
	const char *(*judge)(struct scene *scene, int result);
	int loads[PLACES]; /* of an honest run, exactly; ANY: a matter of its path */
	uint32_t most;     /* loads of one place; 0: as often as it likes */
	bool whole;        /* slots are loaded 16 bytes at once */
	bool vectors;      /* owner words are loaded several at once */
	uint32_t values;   /* so many are tried, not all: it looks a thousand times; 0: all */
};

/* Those of rings and channels; of what is built upon them; of who sleeps in a loop; those that map
 * what they are given; and who joins a pool. */
extern const struct call calls[], more_calls[], loop_calls[], open_calls[], attach_calls[];
extern const size_t nr_calls, nr_more_calls, nr_loop_calls, nr_open_calls, nr_attach_calls;

#endif
