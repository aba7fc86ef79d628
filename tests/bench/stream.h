/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_1 and ring_32, written once for every implementation.
 *
 * Not a header in the usual sense: a program defines a link and then includes this, so that
 * each implementation is inlined into the same loops. (ping.h is such a one too.)
 *
 *     typedef ... item;                          16 bytes
 *     item_make(item *, i, turn)                 the i-th item as the sender has it in @turn
 *     item_tag(const item *)                     the i that it was made with
 *     link_create(b, slots, nr)                  before the fork: memory for nr items under way
 *     link_open(link, leads)                     in each process, after the fork
 *     link_send(link, const item *, nr)          how many were sent; 0: full
 *     link_recv(link, item *, nr)                how many came; 0: none there
 *     link_room(link, nr), link_reserved(link), link_put(const link_slots *, i, const item *),
 *     link_commit(link, nr)                      if LINK_IN_PLACE is defined: items are made where
 *                                                the receiver reads them
 *
 * The stream. Items are held by one side at a time, as buffers are. In even turns the leader
 * sends all it has, LAPS times round the ring, while the follower receives; in odd turns they
 * come back. So each turn is a one-way stream, and a block's time divided by the items moved is
 * the cost of moving one item one way. A turn is long (32,768 items; 8,192 where a ring has 1,024
 * lines) beside its start and end (under a microsecond). Items are not stored between turns: what
 * would be stored is known, so the loops add almost nothing to what they measure.
 */

#include "pair.h"

#define LAPS 2u
#define BURST_MAX 256u

#ifdef LINK_IN_PLACE

static void stream_send(struct link *link, uint32_t nr, uint32_t burst, uint32_t turn)
{
	for (uint32_t i = 0; i < nr;) {
		uint32_t room = link_room(link, burst < nr - i ? burst : nr - i);
		const link_slots slots = link_reserved(link);

		for (uint32_t k = 0; k < room; k++) {
			item it;

			item_make(&it, i + k, turn);
			link_put(&slots, k, &it);
		}
		if (room)
			link_commit(link, room);
		i += room;
	}
}

#else

/* Sends items 0 to nr - 1 in bursts. */
static void stream_send(struct link *link, uint32_t nr, uint32_t burst, uint32_t turn)
{
	item out[BURST_MAX];

	for (uint32_t i = 0; i < nr; i += burst) {
		uint32_t sent = 0;

		for (uint32_t k = 0; k < burst; k++)
			item_make(&out[k], i + k, turn);
		while (sent < burst)
			sent += link_send(link, out + sent, burst - sent);
	}
}

#endif

/* Receives nr items; false: stopped before the first. Each tag arrives once, in order. */
static bool stream_recv(struct link *link, uint32_t nr, uint32_t burst)
{
	item in[BURST_MAX];
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < nr;) {
		uint32_t got = link_recv(link, in, burst);

		for (uint32_t k = 0; k < got; k++)
			wrong |= item_tag(&in[k]) ^ (i + k);
		i += got;
		if (!got && !i && pair_stopped())
			return false;
	}
	if (wrong)
		bench_die("items were lost or changed on their way");
	return true;
}

/* What both processes have to know of a run. */
struct flow {
	struct link *link;
	uint32_t nr, burst;
};

static void stream_lead(struct bench *b, void *arg)
{
	const struct flow *flow = (const struct flow *)arg;

	link_open(flow->link, true);
	for (uint32_t turn = 0; bench_more(b); turn += 2) {
		uint64_t start = bench_now_ns();

		stream_send(flow->link, flow->nr, flow->burst, turn);
		(void)stream_recv(flow->link, flow->nr, flow->burst);
		bench_sample(b, (double)(bench_now_ns() - start) / (2.0 * flow->nr));
	}
}

static void stream_follow(void *arg)
{
	const struct flow *flow = (const struct flow *)arg;

	link_open(flow->link, false);
	for (uint32_t turn = 1; stream_recv(flow->link, flow->nr, flow->burst); turn += 2)
		stream_send(flow->link, flow->nr, flow->burst, turn);
}

/* @slots to the ring; the burst is the case's argument. */
static void stream_run(struct bench *b, uint32_t slots)
{
	struct flow flow = {link_create(b, slots, LAPS * slots), LAPS * slots, b->is->arg};

	pair_run(b, stream_lead, stream_follow, &flow);
}

/* Slots of 16 bytes: 4,096 lines and 1,024 lines. */
#define SLOTS_4096_LINES 16384u
#define SLOTS_1024_LINES 4096u

static void stream_4096(struct bench *b)
{
	stream_run(b, SLOTS_4096_LINES);
}

/*
 * A shallow ring goes round as often as makes a turn of the usual length: in two laps of 64 slots
 * half the items would find an empty ring, and what it costs to turn round would show. Who only
 * wants to see it run has two laps.
 */
static inline uint32_t sweep_turn(const struct bench *b, uint32_t slots)
{
	const bool shallow = slots < SLOTS_4096_LINES && !b->smoke;

	return LAPS * (shallow ? SLOTS_4096_LINES : slots);
}

/*
 * The same at many bursts and depths, for plots: the case's argument is log2 of the burst, and,
 * from bit 8 on, log2 of the ring's slots.
 */
static inline void stream_sweep(struct bench *b)
{
	const uint32_t slots = 1u << (b->is->arg >> 8), burst = 1u << (b->is->arg & 0xff);
	const uint32_t nr = sweep_turn(b, slots);
	struct flow flow = {link_create(b, slots, nr), nr, burst};

	pair_run(b, stream_lead, stream_follow, &flow);
}

#define SWEEP_CASE(kind, name, impl, slots_log2, burst_log2)                                      \
	{"sweep_" kind "_" name, impl, "ns", stream_sweep, (slots_log2) << 8 | (burst_log2)}
/* clang-format off */
#define SWEEP_BURSTS(impl)                                                                        \
	SWEEP_CASE("burst", "1", impl, 14, 0), SWEEP_CASE("burst", "2", impl, 14, 1),             \
	SWEEP_CASE("burst", "4", impl, 14, 2), SWEEP_CASE("burst", "8", impl, 14, 3),             \
	SWEEP_CASE("burst", "16", impl, 14, 4), SWEEP_CASE("burst", "32", impl, 14, 5),           \
	SWEEP_CASE("burst", "64", impl, 14, 6), SWEEP_CASE("burst", "128", impl, 14, 7),          \
	SWEEP_CASE("burst", "256", impl, 14, 8)
#define SWEEP_DEPTHS(impl)                                                                        \
	SWEEP_CASE("depth", "64", impl, 6, 5), SWEEP_CASE("depth", "256", impl, 8, 5),            \
	SWEEP_CASE("depth", "1024", impl, 10, 5), SWEEP_CASE("depth", "4096", impl, 12, 5),       \
	SWEEP_CASE("depth", "16384", impl, 14, 5), SWEEP_CASE("depth", "65536", impl, 16, 5)
/* clang-format on */
