/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SCRIBBLE_H
#define PINION_TESTS_SCRIBBLE_H

/*
 * Every byte of an area that a peer can write, each at some values: near the one it has, far from
 * it, and none. Then each of its words of 64 bits as a whole. All begins anew for each of them:
 *
 *     reset()     everything is as at first; returns the area
 *                 one byte or word of it changes
 *     outcome()   our calls run: NULL, or what is wrong with what they gave
 *
 * A call that does not end is told with its place, too.
 */

#include <signal.h>

#include "support.h"

struct scribble {
	const char *area;
	size_t used, len; /* behind the first nothing is kept: one value has to do there */
	uint8_t *(*reset)(void *world);
	const char *(*outcome)(void *world);
};

#define SCRIBBLE_VALUES 12
#define SCRIBBLE_WORDS 3
#define SCRIBBLE_HANG_S 60 /* what a byte has time for, on a machine that does other work */

static struct {
	const char *area;
	const char *unit;
	size_t off;
	uint64_t value;
} scribble_now;

static inline void scribble_say(const char *problem)
{
	dprintf(STDOUT_FILENO, "# %s, %s %zu = %#jx: %s\n", scribble_now.area, scribble_now.unit,
		scribble_now.off, (uintmax_t)scribble_now.value, problem);
}

static inline void scribble_hangs(int signal)
{
	(void)signal;
	scribble_say("a call does not end");
	_exit(1);
}

static inline uint8_t scribble_value(uint8_t was, int i)
{
	const uint8_t values[SCRIBBLE_VALUES] = {
		0,
		(uint8_t)(was + 1),
		(uint8_t)(was + 2),
		(uint8_t)(was + 3),
		(uint8_t)(was - 1),
		(uint8_t)(was - 2),
		(uint8_t)(was - 3),
		(uint8_t)(was << 1),
		was ^ 0x80,
		was ^ 0x10,
		was ^ 0x7f,
		was ^ 0xff,
	};

	return values[i];
}

/* What was changed is what scribble_now says; true: its outcome is as it must be. */
static inline bool scribble_good(const struct scribble *scribble, void *world)
{
	const char *problem = scribble->outcome(world);

	if (problem)
		scribble_say(problem);
	return !problem;
}

/* The @i-th value of a byte. */
static inline bool scribble_byte(const struct scribble *scribble, void *world, size_t off, int i)
{
	uint8_t *area = scribble->reset(world);
	const uint8_t value = scribble_value(area[off], i);

	scribble_now.off = off;
	scribble_now.value = area[off] = value;
	return scribble_good(scribble, world);
}

/* ... and of a word. */
static inline bool scribble_word(const struct scribble *scribble, void *world, size_t off, int i)
{
	const uint64_t values[SCRIBBLE_WORDS] = {0, 1, UINT64_MAX};
	uint8_t *area = scribble->reset(world);

	scribble_now.off = off;
	scribble_now.value = values[i];
	memcpy(area + off, &values[i], sizeof(values[i]));
	return scribble_good(scribble, world);
}

static inline void scribble_everywhere(const struct scribble *scribble, void *world)
{
	void (*before)(int) = signal(SIGALRM, scribble_hangs);
	int wrong = 0;

	scribble_now.area = scribble->area;
	scribble_now.unit = "byte";
	for (size_t off = 0; off < scribble->len; off++) {
		const int nr = off < scribble->used ? SCRIBBLE_VALUES : 1;

		(void)alarm(SCRIBBLE_HANG_S);
		for (int i = 0; i < nr && wrong < 20; i++)
			wrong += !scribble_byte(scribble, world, off, i);
	}
	scribble_now.unit = "word at";
	for (size_t off = 0; off + sizeof(uint64_t) <= scribble->used; off += sizeof(uint64_t)) {
		(void)alarm(SCRIBBLE_HANG_S);
		for (int i = 0; i < SCRIBBLE_WORDS && wrong < 20; i++)
			wrong += !scribble_word(scribble, world, off, i);
	}
	(void)alarm(0);
	(void)signal(SIGALRM, before);
	assert_int_equal(wrong, 0);
}

#endif
