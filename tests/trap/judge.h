/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRAP_JUDGE_H
#define PINION_TESTS_TRAP_JUDGE_H

/* What judges share: what a call fetched, and what follows from that. Positions count from where
 * the ring starts. */

#include "scene.h"

/* Nothing loaded counts as 0: a call that did not look cannot have acted upon it. */
static inline uint64_t seen(const struct scene *scene, enum where place)
{
	const struct fetch *fetch = scene_load(scene, place, 0, 0);

	return fetch ? fetch->value[0] : 0;
}

/* The last load in this call, or NULL. */
static inline const struct fetch *seen_last(const struct scene *scene, enum where place,
					    uint32_t index)
{
	const struct fetch *last = NULL, *fetch;

	for (uint32_t i = 0; (fetch = scene_load(scene, place, index, i)) != NULL; i++)
		last = fetch;
	return last;
}

/* Of the slot of the @at-th position from the start on. */
static inline const struct fetch *seen_slot(const struct scene *scene, uint32_t at)
{
	return seen_last(scene, PLACE_SLOT, scene_index(scene, at));
}

/* Is that what is published as the @at-th descriptor? */
static inline bool reads_as(const struct scene *scene, const struct fetch *slot, uint32_t at,
			    struct pinion_desc *desc)
{
	const uint64_t odd = scene_odd(scene, at);

	if (!slot || slot->value[0] >> 63 != odd || (slot->value[1] >> 31 & 1) != odd)
		return false;
	desc->buffer.bits = slot->value[0] & ~(UINT64_C(1) << 63);
	desc->len = (uint32_t)slot->value[1] & 0x7fffffff;
	desc->tag = (uint32_t)(slot->value[1] >> 32);
	return true;
}

/* The @at-th descriptor as it was fetched last; false: not published. */
static inline bool fetched(const struct scene *scene, uint32_t at, struct pinion_desc *desc)
{
	return reads_as(scene, seen_slot(scene, at), at, desc);
}

static inline bool same(const struct pinion_desc *a, const struct pinion_desc *b)
{
	return a->buffer.bits == b->buffer.bits && a->len == b->len && a->tag == b->tag;
}

static inline struct pinion_desc desc_for(struct pinion_buffer buffer, uint32_t i)
{
	return (struct pinion_desc){buffer, BUFFER - i, 100 + i};
}

static inline struct pinion_slot slot_of_desc(const struct pinion_desc *desc, bool odd)
{
	return (struct pinion_slot){
		desc->buffer.bits | (uint64_t)odd << 63,
		(uint64_t)desc->tag << 32 | (uint64_t)odd << 31 | desc->len,
	};
}

/* Is the slot of the @at-th position, which a writes, what it must be? */
static inline bool stored(const struct scene *scene, uint32_t at, const struct pinion_desc *desc)
{
	const struct pinion_slot want = slot_of_desc(desc, scene_odd(scene, at));

	return memcmp(&scene->ab.shared->slot[scene_index(scene, at)], &want, sizeof(want)) == 0;
}

/* --- is it good? */

/* Was the word written together with its neighbours? */
static inline bool taken_in_row(const struct scene *scene, uint32_t id)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if (fetch->place == PLACE_WORD && fetch->index == id && fetch->store &&
		    fetch->vector)
			return true;
	}
	return false;
}

/* The @nth load of a word that counts: those of a row that was none in the end are followed by one
 * of each word, as far as it is good. */
static inline const struct fetch *decisive_word(const struct scene *scene, uint32_t id,
						uint32_t nth)
{
	const struct fetch *fetch;
	uint32_t alone = 0;

	for (uint32_t i = 0; (fetch = scene_load(scene, PLACE_WORD, id, i)) != NULL; i++)
		if (!fetch->vector && !taken_in_row(scene, id) && alone++ == nth)
			return fetch;
	return scene_load(scene, PLACE_WORD, id, nth);
}

/* Does what the peer sent there stand the test, by the word as fetched? @nth: of that word's. */
static inline bool may_take(const struct scene *scene, const struct pinion_desc *desc, uint32_t nth)
{
	const struct pinion_buffer buffer = desc->buffer;
	const uint32_t id = pinion_buffer_id(buffer);
	const struct fetch *word = decisive_word(scene, id, nth);

	return id < BUFFERS && desc->len <= BUFFER && word &&
	       word->value[0] == pinion_owner_word(buffer, scene->b.pool->view.self);
}

/* What the credit says, where it was looked at: room, or not, or a lie. */
static inline int room_by_credit(const struct scene *scene)
{
	const struct fetch *credit = scene_load(scene, PLACE_CREDIT, 0, 0);

	if (!credit)
		return 1;
	if (credit->value[0] - scene->start > scene->slots)
		return -EPROTO;
	return credit->value[0] != scene->start ? 1 : -EAGAIN;
}

static inline bool is_ours(const struct scene *scene, struct pinion_buffer it)
{
	const struct fetch *word = decisive_word(scene, pinion_buffer_id(it), 0);

	return word && word->value[0] == pinion_owner_word(it, scene->a.pool->view.self);
}

static inline bool it_is_ours(const struct scene *scene)
{
	return is_ours(scene, scene->desc[0].buffer);
}

#endif
