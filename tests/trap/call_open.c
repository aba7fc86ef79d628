/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that are given a file, and map it. Its head says how large what follows is, and where it
 * begins: each of these is looked at once, and what is private from then on is what that look
 * found. A file that is refused leaves nothing mapped, and is not written.
 */
#include "call.h"
#include "channel_inside.h"
#include "judge.h"
#include "ring_end.h"

/* --- heads */

static uint64_t head(const struct scene *scene, enum where place, enum file file)
{
	const struct fetch *fetch = scene_load(scene, place, file, 0);

	return fetch ? fetch->value[0] : 0;
}

/* Two that must be equal to constants are compared as one by some compilers. */
static uint32_t size_of(const struct scene *scene, enum file file)
{
	return (uint32_t)(scene_load(scene, PLACE_SIZE, file, 0)
				  ? head(scene, PLACE_SIZE, file)
				  : head(scene, PLACE_VERSION, file) >> 32);
}

/* What follows from a head: 0, or -EPROTO if something that was found is not that of such a file.
 * Neither, if nothing was, but not all was looked at. */
static int is_headed(const struct scene *scene, enum file file, uint64_t magic, uint32_t version)
{
	const struct fetch *first = scene_load(scene, PLACE_MAGIC, file, 0);
	const struct fetch *second = scene_load(scene, PLACE_VERSION, file, 0);

	if ((first && first->value[0] != magic) ||
	    (second && (uint32_t)second->value[0] != version))
		return -EPROTO;
	return first && second ? 0 : -ENOTRECOVERABLE;
}

/* Such a ring has to fill the file, which has one page. */
static int is_ring(const struct scene *scene, enum file file, uint64_t magic)
{
	const uint32_t slots = size_of(scene, file);
	const int err = is_headed(scene, file, magic, RING_VERSION);

	if (!scene_load(scene, PLACE_SIZE, file, 0))
		return err ? err : -ENOTRECOVERABLE;
	return ring_slots_valid(slots) && ring_len(slots) == scene->ba.len ? err : -EPROTO;
}

static int is_seat(const struct scene *scene)
{
	return is_headed(scene, FILE_SEAT, SEAT_MAGIC, SEAT_VERSION);
}

/* Is the private part of an end what was found in the head? */
static bool agrees(const struct scene *scene, enum file file, const struct ring *ring)
{
	const uint32_t slots = size_of(scene, file);

	return ring->slots == slots && UINT64_C(1) << ring->shift == slots &&
	       ring->len == scene->ba.len;
}

static bool agrees_from_start(const struct scene *scene, enum file file, const struct ring *ring)
{
	const uint64_t start = head(scene, PLACE_START, file);

	return agrees(scene, file, ring) && ring->at == start && ring->credit == start;
}

/* @want: what it must return. @maps: so many mappings are there, if it went well. */
static const char *judge_result(const struct scene *scene, int result, int want, int maps)
{
	if (result != want)
		return "not what follows from the head";
	return scene->kept == (result < 0 ? 0 : maps) ? NULL : "not the mappings that it needs";
}

/* --- rings */

static void nothing(struct scene *scene)
{
	(void)scene;
}

static int open_ring(struct scene *scene)
{
	return pinion_ring_open(scene->file[FILE_BA], PINION_RING_RECV, &scene->recv);
}

static const char *judge_ring(struct scene *scene, int result)
{
	const char *problem =
		judge_result(scene, result, is_ring(scene, FILE_BA, RING_MAGIC), 1);

	if (problem || result)
		return problem;
	return agrees_from_start(scene, FILE_BA, ring_end_of(scene->recv, PINION_RING_RECV))
		       ? NULL
		       : "an end that does not follow from the head";
}

static int open_channel(struct scene *scene)
{
	return pinion_channel_open(scene->a.pool, scene->file[FILE_AB], scene->file[FILE_BA],
				   pinion_pool_member(scene->b.pool), &scene->a.channel);
}

static const char *judge_channel(struct scene *scene, int result)
{
	const char *problem;
	int want = is_ring(scene, FILE_AB, RING_MAGIC);

	if (!want)
		want = is_ring(scene, FILE_BA, RING_MAGIC);
	problem = judge_result(scene, result, want, 2);
	if (problem || result)
		return problem;
	return agrees_from_start(scene, FILE_AB, &scene->a.channel->tx) &&
			       agrees_from_start(scene, FILE_BA, &scene->a.channel->rx)
		       ? NULL
		       : "a channel that does not follow from the heads";
}

/* --- fan-ins */

#define LANE 70u /* bit 6 of word 1 */
#define LANE_WORD (LANE / 64)
#define LANE_BIT (UINT64_C(1) << LANE % 64)

static int join_fanin(struct scene *scene)
{
	return pinion_channel_join(scene->a.channel, scene->file[FILE_READY], LANE);
}

static const char *judge_join(struct scene *scene, int result)
{
	const int err = is_headed(scene, FILE_READY, READY_MAGIC, READY_VERSION);
	const int want = err || size_of(scene, FILE_READY) == READY_LANES ? err : -EPROTO;
	const char *problem = judge_result(scene, result, want, 1);
	const uint64_t word = scene->ready->word[LANE_WORD], summary = scene->ready->summary;

	if (problem)
		return problem;
	if (result)
		return word || summary ? "a file that is refused is written" : NULL;
	return (word & LANE_BIT) && (summary >> LANE_WORD & 1) ? NULL : "the fan-in is not told";
}

static void leave_fanin(struct scene *scene)
{
	assert_int_equal(pinion_fanin_remove(scene->fanin, scene->a.channel), 0);
}

static int add_to_fanin(struct scene *scene)
{
	uint32_t lane;

	return pinion_fanin_add(scene->fanin, scene->a.channel, 1, &lane);
}

static const char *judge_add(struct scene *scene, int result)
{
	return judge_result(scene, result, 0, 0);
}

/* --- a broadcast: its producer */

static int open_broadcast(struct scene *scene)
{
	return pinion_broadcast_open(scene->a.pool, scene->file[FILE_BA], &scene->broadcast);
}

/* Nobody else may write it from then on, and no sooner. */
static const char *judge_broadcast(struct scene *scene, int result)
{
	const char *problem =
		judge_result(scene, result, is_ring(scene, FILE_BA, BROADCAST_MAGIC), 1);
	int seals = 0;

	assert_int_equal(pinion_hostmem_seals(scene->file[FILE_BA], &seals), 0);
	if (!problem && !(seals & F_SEAL_FUTURE_WRITE) == !result)
		problem = "it is sealed when it must not be, or is not";
	if (problem || result)
		return problem;
	return agrees(scene, FILE_BA, &scene->broadcast->ring) &&
			       scene->broadcast->ring.at == head(scene, PLACE_START, FILE_BA)
		       ? NULL
		       : "a broadcast that does not follow from the head";
}

static void begin_broadcast(struct scene *scene)
{
	assert_int_equal(open_broadcast(scene), 0);
}

static int admit(struct scene *scene)
{
	uint32_t consumer;

	return pinion_broadcast_admit(scene->broadcast, scene->file[FILE_SEAT], &consumer);
}

static const char *judge_admit(struct scene *scene, int result)
{
	const uint64_t begin = head(scene, PLACE_BEGIN, FILE_SEAT);
	const int err = is_seat(scene);
	const char *problem = judge_result(scene, result, err ? err : begin ? -EEXIST : 0, 1);

	if (problem)
		return problem;
	if (scene->chair->begin != (result ? begin : 1 + scene->broadcast->ring.at))
		return "not what the seat has to say";
	return scene->broadcast->nr_places == !result ? NULL : "not the places that follow";
}

/* --- a broadcast: its consumer, and its keeper */

/* b lends two, and one has a seat, which returned one. */
static void lend_to_one(struct scene *scene)
{
	uint32_t consumer;

	assert_int_equal(pinion_broadcast_open(scene->b.pool, scene->file[FILE_BA],
					       &scene->broadcast),
			 0);
	assert_int_equal(pinion_broadcast_admit(scene->broadcast, scene->file[FILE_SEAT],
						&consumer),
			 0);
	for (uint32_t i = 0; i < 2; i++) {
		const struct pinion_desc desc = desc_for(scene->theirs[i], i);

		assert_int_equal(pinion_broadcast_send(scene->broadcast, &desc, 1), 1);
	}
	scene->chair->returned = 1;
}

static int join_broadcast(struct scene *scene)
{
	return pinion_broadcast_join(scene->a.pool, scene->file[FILE_BA], scene->file[FILE_SEAT],
				     pinion_pool_member(scene->b.pool), &scene->seat);
}

static int is_files(const struct scene *scene)
{
	const int err = is_ring(scene, FILE_BA, BROADCAST_MAGIC);

	return err ? err : is_seat(scene);
}

static const char *judge_seat(struct scene *scene, int result)
{
	const uint64_t begin = head(scene, PLACE_BEGIN, FILE_SEAT);
	const int err = is_files(scene);
	const char *problem = judge_result(scene, result, err ? err : begin ? 0 : -EAGAIN, 2);

	if (problem || result)
		return problem;
	return agrees(scene, FILE_BA, &scene->seat->ring) && scene->seat->ring.at == begin - 1
		       ? NULL
		       : "a seat that does not follow from the heads";
}

static int list_lent(struct scene *scene)
{
	return pinion_broadcast_lent(scene->file[FILE_BA], scene->file[FILE_SEAT], scene->buffer,
				     SLOTS);
}

/* What the seat says that it was lent: the heads of slots, each with the lap of its position. */
static int lent_after(const struct scene *scene, struct pinion_buffer *buffer)
{
	const uint32_t slots = size_of(scene, FILE_BA);
	uint64_t at = head(scene, PLACE_BEGIN, FILE_SEAT) - 1 + seen(scene, PLACE_RETURNED);
	uint32_t nr = 0;

	for (uint64_t end = at + slots; at != end; at++) {
		const struct fetch *slot =
			scene_load(scene, PLACE_SLOT, (uint32_t)at & (slots - 1), 0);
		const uint64_t lap = at / slots % 2 ? 0 : 1;

		if (slot && slot->value[0] >> 63 != lap)
			continue;
		if (!slot || nr == SLOTS)
			return slot ? -ENOSPC : -ENOTRECOVERABLE; /* not looked at */
		buffer[nr++].bits = slot->value[0] & ~PINION_SLOT_HEAD_LAP;
	}
	return (int)nr;
}

static const char *judge_lent(struct scene *scene, int result)
{
	struct pinion_buffer buffer[SLOTS];
	const char *problem;
	int want = is_files(scene);

	if (!want)
		want = !head(scene, PLACE_BEGIN, FILE_SEAT) || seen(scene, PLACE_CLOSED) ||
				       seen(scene, PLACE_ENDED) > SEAT_ENDED
			       ? 0
			       : lent_after(scene, buffer);
	problem = judge_result(scene, result, want, 0);
	for (int i = 0; i < result && !problem; i++)
		if (scene->buffer[i].bits != buffer[i].bits)
			problem = "a buffer that was not fetched";
	return problem;
}

static void lend_to_sleeper(struct scene *scene)
{
	lend_to_one(scene);
	scene->chair->bell.state = BELL_ARMED;
}

static int orphan(struct scene *scene)
{
	return pinion_broadcast_orphan(scene->file[FILE_SEAT]);
}

/* One that was severed stays so. */
static const char *judge_orphan(struct scene *scene, int result)
{
	const int want = is_seat(scene);
	const uint64_t was = seen(scene, PLACE_ENDED);
	const char *problem = judge_result(scene, result, want, 0);

	if (problem)
		return problem;
	return scene->chair->ended == (!want && was == SEAT_OPEN ? SEAT_ENDED : was)
		       ? NULL
		       : "the seat does not say what follows from what it said";
}

#define LOADS_OF_HEADS(nr) \
	.loads[PLACE_MAGIC] = (nr), .loads[PLACE_VERSION] = (nr), .most = 1

const struct call open_calls[] = {
	{.name = "ring_open",
	 .kind = KIND_RINGS,
	 .prepare = nothing,
	 .act = open_ring,
	 .judge = judge_ring,
	 LOADS_OF_HEADS(1),
	 .loads[PLACE_SIZE] = 1,
	 .loads[PLACE_START] = 1},
	{.name = "channel_open",
	 .kind = KIND_RINGS,
	 .prepare = nothing,
	 .act = open_channel,
	 .judge = judge_channel,
	 LOADS_OF_HEADS(2),
	 .loads[PLACE_SIZE] = 2,
	 .loads[PLACE_START] = 2},
	{.name = "channel_join",
	 .kind = KIND_READY,
	 .prepare = nothing,
	 .act = join_fanin,
	 .judge = judge_join,
	 LOADS_OF_HEADS(1),
	 .loads[PLACE_SIZE] = ANY,
	 .loads[PLACE_READY] = 1,
	 .loads[PLACE_SUMMARY] = 1,
	 .loads[PLACE_BELL_STATE] = 1},
	{.name = "fanin_add",
	 .kind = KIND_FANIN,
	 .prepare = leave_fanin,
	 .act = add_to_fanin,
	 .judge = judge_add},
	{.name = "broadcast_open",
	 .kind = KIND_SEAT,
	 .prepare = nothing,
	 .act = open_broadcast,
	 .judge = judge_broadcast,
	 LOADS_OF_HEADS(1),
	 .loads[PLACE_SIZE] = 1,
	 .loads[PLACE_START] = 1},
	{.name = "broadcast_admit",
	 .kind = KIND_SEAT,
	 .prepare = begin_broadcast,
	 .act = admit,
	 .judge = judge_admit,
	 LOADS_OF_HEADS(1),
	 .loads[PLACE_BEGIN] = 1},
	{.name = "broadcast_join",
	 .kind = KIND_SEAT,
	 .prepare = lend_to_one,
	 .act = join_broadcast,
	 .judge = judge_seat,
	 LOADS_OF_HEADS(2),
	 .loads[PLACE_SIZE] = 1,
	 .loads[PLACE_BEGIN] = 1},
	{.name = "broadcast_lent",
	 .kind = KIND_SEAT,
	 .prepare = lend_to_one,
	 .act = list_lent,
	 .judge = judge_lent,
	 LOADS_OF_HEADS(2),
	 .loads[PLACE_SIZE] = 1,
	 .loads[PLACE_BEGIN] = 1,
	 .loads[PLACE_ENDED] = 1,
	 .loads[PLACE_RETURNED] = 1,
	 .loads[PLACE_CLOSED] = 1,
	 .loads[PLACE_SLOT] = SLOTS},
	{.name = "broadcast_orphan",
	 .kind = KIND_SEAT,
	 .prepare = lend_to_sleeper,
	 .act = orphan,
	 .judge = judge_orphan,
	 .loads[PLACE_MAGIC] = 1,
	 .loads[PLACE_VERSION] = 1,
	 .loads[PLACE_ENDED] = 1,
	 .loads[PLACE_BELL_STATE] = ANY},
};
const size_t nr_open_calls = sizeof(open_calls) / sizeof(open_calls[0]);
