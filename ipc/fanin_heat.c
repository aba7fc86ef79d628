/* SPDX-License-Identifier: BSD-3-Clause */
/* Which lanes of a fan-in are hot, and which cold. */
#include "fanin_inside.h"

/* Calls of recv for one look at a cold lane: it is likely not in the cache. */
#define PATROL_CALLS 16u

/* Last in the circle: just before the one whose turn it is. */
static void link_in(struct pinion_fanin *fanin, uint32_t n)
{
	struct lane *lane = &fanin->lane[n];

	if (fanin->at == FANIN_NONE) {
		lane->next = lane->prev = n;
		fanin->at = n;
	} else {
		lane->next = fanin->at;
		lane->prev = fanin->lane[fanin->at].prev;
		fanin->lane[lane->prev].next = n;
		fanin->lane[lane->next].prev = n;
	}
	fanin->hot[n / 64] |= fanin_bit(n);
	fanin->nr_hot++;
}

void fanin_link_out(struct pinion_fanin *fanin, uint32_t n)
{
	const struct lane *lane = &fanin->lane[n];

	fanin->lane[lane->prev].next = lane->next;
	fanin->lane[lane->next].prev = lane->prev;
	if (fanin->at == n)
		fanin->at = lane->next == n ? FANIN_NONE : lane->next;
	fanin->hot[n / 64] &= ~fanin_bit(n);
	fanin->nr_hot--;
}

void fanin_heat(struct pinion_fanin *fanin, uint32_t n)
{
	struct lane *lane = &fanin->lane[n];

	bell_disarm(&channel_rx(lane->channel)->shared->bell);
	lane->idle = FANIN_COOL_AFTER - 1;
	lane->left = 0;
	link_in(fanin, n);
}

/* One look more at each after the fence: it is what a producer that saw QUIET relies on. */
void fanin_cool(struct pinion_fanin *fanin, struct tired *tired)
{
	bool unfenced = false;

	for (uint32_t i = 0; i < tired->nr; i++) {
		struct ring *rx = channel_rx(fanin->lane[tired->lane[i]].channel);

		bell_announce(&rx->shared->bell, &rx->ear, BELL_LANE);
		unfenced |= rx->ear.unfenced;
	}
	bell_fence(unfenced);
	for (uint32_t i = 0; i < tired->nr; i++) {
		struct lane *lane = &fanin->lane[tired->lane[i]];
		struct ring *rx = channel_rx(lane->channel);

		rx->ear.unfenced = false;
		lane->idle = 0;
		if (channel_ready(lane->channel))
			bell_disarm(&rx->shared->bell);
		else
			fanin_link_out(fanin, tired->lane[i]);
	}
	tired->nr = 0;
}

void fanin_tire(struct pinion_fanin *fanin, struct tired *tired, uint32_t n)
{
	tired->lane[tired->nr++] = n;
	if (tired->nr == FANIN_TIRED_MAX)
		fanin_cool(fanin, tired);
}

/* Those that have something stay hot. */
void fanin_cool_all(struct pinion_fanin *fanin)
{
	struct tired tired = {.nr = 0};
	uint32_t n = fanin->at;

	for (uint32_t left = fanin->nr_hot; left; left--) {
		uint32_t next = fanin->lane[n].next;
		struct ring *rx = channel_rx(fanin->lane[n].channel);

		ring_give_rest(rx);
		fanin_tire(fanin, &tired, n);
		n = next;
	}
	if (tired.nr)
		fanin_cool(fanin, &tired);
}

void fanin_take_word(struct pinion_fanin *fanin)
{
	uint32_t word = (uint32_t)__builtin_ctzll(fanin->pending);
	uint64_t bits = ready_take_word(fanin->ready, word); /* A5 */

	fanin->pending &= fanin->pending - 1;
	for (bits &= fanin->used[word] & ~fanin->hot[word]; bits; bits &= bits - 1)
		fanin_heat(fanin, word * 64 + (uint32_t)__builtin_ctzll(bits));
}

/* The first cold lane from @n on, round the end; FANIN_NONE. */
static uint32_t next_cold(const struct pinion_fanin *fanin, uint32_t n)
{
	uint64_t mask = UINT64_MAX << n % 64;

	for (uint32_t i = 0; i <= READY_WORDS; i++, mask = UINT64_MAX) {
		uint32_t word = (n / 64 + i) % READY_WORDS;
		uint64_t cold = fanin->used[word] & ~fanin->hot[word] & mask;

		if (cold)
			return word * 64 + (uint32_t)__builtin_ctzll(cold);
	}
	return FANIN_NONE;
}

void fanin_patrol(struct pinion_fanin *fanin)
{
	uint32_t n = next_cold(fanin, fanin->patrol);

	fanin->calls = PATROL_CALLS - 1;
	if (fanin->nr_hot)
		channel_follow(fanin->lane[fanin->at].channel);
	if (n == FANIN_NONE)
		return;
	channel_follow(fanin->lane[n].channel);
	fanin->patrol = (n + 1) % READY_LANES;
	if (channel_ready(fanin->lane[n].channel))
		fanin_heat(fanin, n);
}

/* Seldom enough for a system call where a channel has a pidfd. */
void fanin_patrol_all(struct pinion_fanin *fanin, uint64_t now)
{
	for (uint32_t word = 0; word < READY_WORDS; word++)
		for (uint64_t cold = fanin->used[word] & ~fanin->hot[word]; cold;
		     cold &= cold - 1) {
			uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(cold);

			channel_look(fanin->lane[n].channel);
			channel_follow(fanin->lane[n].channel);
			if (channel_ready(fanin->lane[n].channel))
				fanin_heat(fanin, n);
		}
	fanin->patrolled_ns = now;
}
