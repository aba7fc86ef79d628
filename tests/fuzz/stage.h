/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_STAGE_H
#define PINION_TESTS_FUZZ_STAGE_H

/*
 * Two members of a pool: a, which is under test, and b, which the fuzzer writes. The pool is made
 * once; its control area is put back as it was before each run.
 */

#include "held_support.h"
#include "lie.h"

#define OURS 12u
#define THEIRS 12u

static struct {
	struct side a, b;
	struct pinion_buffer ours[OURS], theirs[THEIRS];
	void *picture; /* of the control area */
} stage;

static inline _Atomic uint64_t *words(void)
{
	return stage.b.pool->view.owner;
}

static inline void stage_open(void)
{
	stage.a.pool = pool_make(BUFFERS);
	stage.b.pool = pool_join(stage.a.pool);
	hold(stage.a.pool, stage.ours, OURS);
	hold(stage.b.pool, stage.theirs, THEIRS);
	pool_lay_bait(stage.b.pool);
}

/* What was done since the stage was opened belongs to it. */
static inline void stage_picture(void)
{
	const struct pinion_hostmem *control = &stage.b.pool->control;

	stage.picture = malloc(control->len);
	assert_non_null(stage.picture);
	memcpy(stage.picture, control->addr, control->len);
}

static inline void stage_put_back(void)
{
	memcpy(stage.b.pool->control.addr, stage.picture, stage.b.pool->control.len);
}

static inline void words_look(uint64_t *word)
{
	for (uint32_t id = 0; id < BUFFERS; id++)
		word[id] = words()[id];
}

/* A handle as it stands, or stale, or of the future, or of no buffer. */
static inline struct pinion_buffer some_handle(struct script *script)
{
	static const uint32_t none[] = {BUFFERS + 1, 1u << 20, PINION_ID_MAX};
	const uint8_t which = script_byte(script), age = script_byte(script);
	uint32_t id = which % BUFFERS;
	struct pinion_buffer buffer;

	if (which >= 248 && which % 4)
		return pinion_buffer_make(none[which % 4 - 1], age);
	if (which >= 240 && which % 4 == 0)
		id = BUFFERS; /* the bait */
	buffer = pinion_owner_buffer(words()[id], id);
	if (age >= 224)
		buffer.bits += (uint64_t)(age - 240) << PINION_ID_BITS;
	buffer.bits &= ~PINION_SLOT_HEAD_LAP;
	return buffer;
}

/* One that b has, the first from id @from on; any, if it has none. */
static inline struct pinion_buffer find_theirs(uint32_t from)
{
	struct pinion_buffer buffer = {0};

	for (uint32_t i = 0; i < BUFFERS; i++) {
		const uint32_t id = (from + i) % BUFFERS;

		buffer = pinion_owner_buffer(words()[id], id);
		if (words()[id] == held(buffer, &stage.b))
			break;
	}
	return buffer;
}

static inline struct pinion_desc some_desc(struct script *script)
{
	static const uint32_t len[] = {0, 1, BUFFER, BUFFER, BUFFER + 1, 4096, PINION_DESC_LEN_MAX};
	struct pinion_desc desc = {.buffer = some_handle(script)};

	desc.len = len[script_below(script, 7)];
	desc.tag = script_byte(script);
	return desc;
}

/* May @side send that, by the words @word? */
static inline bool good(const struct pinion_desc *desc, const uint64_t *word,
			const struct side *side)
{
	const uint32_t id = pinion_buffer_id(desc->buffer);

	return id < BUFFERS && desc->len <= BUFFER && word[id] == held(desc->buffer, side);
}

/* How many of @nr from b a takes, up to the first that b may not send; they and the words of @word
 * are then as they must be. */
static inline uint32_t taken(struct pinion_desc *desc, uint32_t nr, uint64_t *word)
{
	uint32_t got = 0;

	for (; got < nr && good(&desc[got], word, &stage.b); got++) {
		desc[got].buffer = pinion_buffer_next(desc[got].buffer);
		word[pinion_buffer_id(desc[got].buffer)] = held(desc[got].buffer, &stage.a);
	}
	return got;
}

#endif
