/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SCRIBBLE_H
#define PINION_TESTS_SCRIBBLE_H

/*
 * Every byte of an area that a peer can write, each at some values: near the one it has, far from
 * it, and none. All begins anew for each of them:
 *
 *     reset()     everything is as at first; returns the area
 *                 one byte of it changes
 *     outcome()   our calls run: NULL, or what is wrong with what they gave
 *
 * A call that does not end is told with its byte, too.
 */

#include <signal.h>

#include "support.h"

struct scribble {
	const char *area;
	size_t used, len; /* behind the first nothing is kept: one value has to do there */
	uint8_t *(*reset)(void *world);
	const char *(*outcome)(void *world);
};

#define SCRIBBLE_VALUES 7
#define SCRIBBLE_HANG_S 60 /* what a byte has time for, on a machine that does other work */

static struct {
	const char *area;
	size_t off;
	unsigned value;
} scribble_now;

static inline void scribble_hangs(int signal)
{
	(void)signal;
	dprintf(STDOUT_FILENO, "# %s, byte %zu = %#x: a call does not end\n", scribble_now.area,
		scribble_now.off, scribble_now.value);
	_exit(1);
}

static inline uint8_t scribble_value(uint8_t was, int i)
{
	const uint8_t values[SCRIBBLE_VALUES] = {
		(uint8_t)(was + 1), (uint8_t)(was - 1), was ^ 0x80, was ^ 0x10,
		was ^ 0x7f,         was ^ 0xff,         0};

	return values[i];
}

/* The @i-th value of a byte; true: its outcome is as it must be. */
static inline bool scribble_once(const struct scribble *scribble, void *world, size_t off, int i)
{
	uint8_t *area = scribble->reset(world);
	const uint8_t value = scribble_value(area[off], i);
	const char *problem;

	scribble_now.area = scribble->area;
	scribble_now.off = off;
	scribble_now.value = value;
	area[off] = value;
	problem = scribble->outcome(world);
	if (problem)
		print_message("# %s, byte %zu = %#x: %s\n", scribble->area, off, (unsigned)value,
			      problem);
	return !problem;
}

static inline void scribble_everywhere(const struct scribble *scribble, void *world)
{
	void (*before)(int) = signal(SIGALRM, scribble_hangs);
	int wrong = 0;

	for (size_t off = 0; off < scribble->len; off++) {
		const int nr = off < scribble->used ? SCRIBBLE_VALUES : 1;

		(void)alarm(SCRIBBLE_HANG_S);
		for (int i = 0; i < nr && wrong < 20; i++)
			wrong += !scribble_once(scribble, world, off, i);
	}
	(void)alarm(0);
	(void)signal(SIGALRM, before);
	assert_int_equal(wrong, 0);
}

#endif
