/* SPDX-License-Identifier: BSD-3-Clause */
#include "sweep.h"

/* What a liar may put anywhere: small numbers, all ones, single bits, and what would be believed
 * there or in another place: handles and words that are good, stale, foreign, of no buffer. */
#define VALUES_MAX 160u

/* And in the head of a file: what is there in that of another. */
static uint32_t fill_heads(uint64_t *value)
{
	static const uint64_t heads[] = {
		RING_MAGIC,
		BROADCAST_MAGIC,
		SEAT_MAGIC,
		READY_MAGIC,
		2 * SLOTS,
		32 * SLOTS,
		64 * SLOTS,
		PINION_RING_SLOTS_MAX,
		READY_LANES,
		/* Versions, with the size behind them, and without. */
		(uint64_t)SLOTS << 32 | RING_VERSION,
		(uint64_t)READY_LANES << 32 | READY_VERSION,
		RING_VERSION,
		READY_VERSION,
	};

	memcpy(value, heads, sizeof(heads));
	return sizeof(heads) / sizeof(heads[0]);
}

/* And in a control area: either half of a word as it is, one more, and one less. */
static uint32_t fill_control(const struct scene *scene, uint64_t *value)
{
	const struct pinion_pool *pool = scene->b.pool;
	const void *const from[] = {pool->shared, &pool->shared->slot[0],
				    &pool->members[scene->member]};
	const uint32_t words[] = {offsetof(struct control, epoch) / 8,
				  sizeof(struct control_slot) / 8,
				  sizeof(struct control_member) / 8};
	uint32_t nr = 0;

	for (int i = 0; i < 3; i++)
		for (uint32_t word = 0; word < words[i]; word++) {
			const uint64_t is = ((const uint64_t *)from[i])[word];

			value[nr++] = is;
			for (int half = 0; half < 64; half += 32) {
				value[nr++] = is + (UINT64_C(1) << half);
				value[nr++] = is - (UINT64_C(1) << half);
			}
		}
	return nr;
}

static uint32_t fill_values(const struct scene *scene, uint64_t *value)
{
	const uint32_t a = scene->a.pool->view.self, b = scene->b.pool->view.self;
	const struct pinion_buffer theirs = scene->theirs[0], other = scene->theirs[HELD - 1];
	const struct pinion_buffer handles[] = {
		theirs,
		other,
		pinion_buffer_next(theirs),
		scene->ours[0],
		scene->ours[HELD - 1],
		pinion_buffer_make(BUFFERS - 1, 1),
		pinion_buffer_make(BUFFERS, 1),
		pinion_buffer_make(scene->a.pool->view.nr_ids, 1),
		pinion_buffer_make(PINION_ID_MAX, 1),
		pinion_buffer_make(pinion_buffer_id(theirs), PINION_GENERATION_MASK),
	};
	uint32_t nr = 0;

	for (uint64_t small = 0; small <= SLOTS + 1; small++)
		value[nr++] = scene->start + small;
	for (uint64_t small = 0; scene->start && small <= SLOTS + 1; small++)
		value[nr++] = small; /* counts, which begin at 0 wherever a ring begins */
	for (uint64_t all = scene->slots; scene->slots > SLOTS && all <= scene->slots + 1; all++)
		value[nr++] = scene->start + all;
	for (int bit = 31; bit < 64; bit += 32)
		value[nr++] = UINT64_C(1) << bit;
	value[nr++] = UINT64_MAX;
	value[nr++] = UINT32_MAX;
	value[nr++] = PINION_SLOT_BODY_LAP | (BUFFER + 1);
	/* Bodies: of the answer to what a asked, of one to what it asks next, of a question. */
	for (uint32_t age = 0; age < 2; age++)
		value[nr++] = (uint64_t)(PINION_TAG_ANSWER | age) << 32 | PINION_SLOT_BODY_LAP | 1;
	value[nr++] = UINT64_C(1) << 32 | PINION_SLOT_BODY_LAP | 1;
	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
		value[nr++] = handles[i].bits | PINION_SLOT_HEAD_LAP;
		value[nr++] = handles[i].bits;
		value[nr++] = pinion_owner_word(handles[i], a);
		value[nr++] = pinion_owner_word(handles[i], b);
	}
	value[nr++] = pinion_owner_word(theirs, pinion_owner_magazine(0));
	if (scene->kind == KIND_POOL)
		nr += fill_control(scene, &value[nr]);
	else if (kind_maps(scene->kind))
		nr += fill_heads(&value[nr]);
	return nr;
}

/* A file may have room for more of them than its head said to begin with. */
static uint32_t slots_there(const struct scene *scene)
{
	return kind_maps(scene->kind)
		       ? (uint32_t)((scene->ba.len - offsetof(struct ring_shared, slot)) /
				    sizeof(struct pinion_slot))
		       : scene->slots;
}

/* Did it touch what is no slot, no buffer's word, or no place of the call's? Nothing that it loads
 * there need show in its outcome, and to other tools it is memory like any. */
static bool strays(const struct call *call, const struct scene *scene)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];

		if ((fetch->place == PLACE_SLOT && fetch->index >= slots_there(scene)) ||
		    (fetch->place == PLACE_WORD && fetch->index >= BUFFERS) ||
		    (fetch->place == PLACE_OTHER && !call->loads[PLACE_OTHER]))
			return true;
	}
	return false;
}

static uint32_t slots_of(const struct call *call)
{
	return call->slots ? call->slots : SLOTS;
}

/* Opens, prepares, runs and judges. pre: the scene is all zeroes; it stays open. */
static const char *run(const struct call *call, struct scene *scene, const struct flip *flip)
{
	const char *problem;
	int result;

	scene_open(scene, call->kind, slots_of(call));
	call->prepare(scene);
	if (flip)
		scene->flip = *flip;
	result = scene_watch(scene, call->act);
	problem = call->judge(scene, result);
	if (!problem && strays(call, scene))
		problem = "it reaches beyond what is there";
	return problem;
}

/* How often was the busiest place loaded? */
static uint32_t busiest(const struct scene *scene)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++) {
		const struct fetch *fetch = &scene->fetch[i];
		uint32_t nr = 0;

		if (fetch->place == PLACE_OTHER)
			continue;
		while (scene_load(scene, fetch->place, fetch->index, nr))
			nr++;
		most = nr > most ? nr : most;
	}
	return most;
}

static bool all_whole(const struct scene *scene)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++)
		if (scene->fetch[i].place == PLACE_SLOT && !scene->fetch[i].store &&
		    !scene->fetch[i].whole)
			return false;
	return true;
}

static bool all_in_vectors(const struct scene *scene)
{
	for (uint32_t i = 0; i < scene->nr_fetches && i < FETCHES_MAX; i++)
		if (scene->fetch[i].place == PLACE_WORD && !scene->fetch[i].vector)
			return false;
	return true;
}

/* So many loads are changed, one after the other. Who looks again and again, which is tried with
 * few values, may have more; of anybody else the last ones would be left out without a word. */
#define LOADS_MAX 24

static bool beyond_the_sweep(const struct call *call, const int loads[PLACES])
{
	int all = 0;

	for (int place = 0; place < PLACES; place++)
		all += loads[place];
	return !call->values && all > LOADS_MAX;
}

const char *sweep_count(const struct call *call, int loads[PLACES])
{
	struct scene scene;
	const char *problem = run(call, &scene, NULL);

	for (int place = 0; place < PLACES; place++)
		loads[place] = 0;
	for (uint32_t i = 0; i < scene.nr_fetches && i < FETCHES_MAX; i++)
		loads[scene.fetch[i].place] += scene.fetch[i].load;
	if (!problem && scene.nr_fetches > FETCHES_MAX)
		problem = "too many loads to note";
	if (!problem && beyond_the_sweep(call, loads))
		problem = "more loads than are changed";
	if (!problem && call->most && busiest(&scene) > call->most)
		problem = "a place is loaded too often";
	if (!problem && call->whole && !all_whole(&scene))
		problem = "a slot is not loaded by one instruction";
	if (!problem && call->vectors && !all_in_vectors(&scene))
		problem = "words are looked at one by one";
	for (int place = 0; place < PLACES && !problem; place++)
		if (call->loads[place] != ANY && call->loads[place] != loads[place])
			problem = "not the loads expected";
	scene_close(&scene);
	return problem;
}

const char *sweep_once(const struct call *call, struct flip *flip, struct fetch *at)
{
	struct scene scene;
	const char *problem = run(call, &scene, flip);
	uint32_t load = 0;

	for (uint32_t i = 0; i < scene.nr_fetches && i < FETCHES_MAX; i++)
		if (scene.fetch[i].load && load++ == flip->nth)
			*at = scene.fetch[i];
	*flip = scene.flip;
	scene_close(&scene);
	return problem;
}

static void flip_one(const struct call *call, struct sweep *sweep, struct flip flip)
{
	struct fetch at = {0};
	const char *problem = sweep_once(call, &flip, &at);

	sweep->flips += flip.done;
	if (!problem)
		return;
	if (!sweep->faults++) {
		sweep->problem = problem;
		sweep->first = flip;
		sweep->at = at;
	}
}

/* The @nth load; false: the call has not so many. */
static bool flip_load(const struct call *call, struct sweep *sweep, uint32_t nth,
		      const uint64_t *value, uint32_t nr)
{
	struct flip flip = {.nth = nth, .halves = 3, .value = {value[0], value[0]}};
	struct fetch at = {0};
	int halves;

	(void)sweep_once(call, &flip, &at);
	if (!flip.done)
		return false;
	halves = at.place == PLACE_SLOT ? 3 : 1;
	for (flip.halves = 1; flip.halves <= halves; flip.halves++)
		for (uint32_t i = 0; i < nr; i++) {
			flip.value[0] = flip.value[1] = value[i];
			if (flip.halves == 3) /* a body that goes with it */
				flip.value[1] =
					(value[i] >> 63 ? PINION_SLOT_BODY_LAP : 0) | BUFFER;
			flip.done = false;
			flip_one(call, sweep, flip);
		}
	return true;
}

void sweep_flip(const struct call *call, struct sweep *sweep)
{
	uint64_t value[VALUES_MAX];
	struct scene scene;
	uint32_t nr;

	*sweep = (struct sweep){0};
	scene_open(&scene, call->kind, slots_of(call));
	nr = fill_values(&scene, value);
	if (call->values)
		nr = call->values;
	scene_close(&scene);
	while (sweep->loads < LOADS_MAX && flip_load(call, sweep, sweep->loads, value, nr))
		sweep->loads++;
}
