/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include "pool_support.h"
#include "tap.h"

static uint64_t generation_of(uint64_t word)
{
	return word >> PINION_ID_BITS;
}

static uint32_t nr_ids(const struct ledger *ledger)
{
	const uint32_t nr = ledger->pool->view.nr_ids;

	if (nr > BOARD_IDS)
		board_problem(ledger->board, "the pool has %u ids: raise BOARD_IDS", nr);
	return nr > BOARD_IDS ? BOARD_IDS : nr;
}

static uint64_t load_word(const struct ledger *ledger, uint32_t id)
{
	return atomic_load_explicit(&ledger->pool->view.owner[id], memory_order_relaxed);
}

void ledger_before(struct ledger *ledger, uint32_t member)
{
	ledger->nr_before = 0;
	for (uint32_t id = 0; id < nr_ids(ledger); id++) {
		const uint64_t word = load_word(ledger, id);
		const bool its = pinion_owner_holder(word) == pinion_owner_held(member);

		ledger->word[id] = its ? word : 0;
		ledger->nr_before += its;
	}
}

/* Words still as they were: in transit. All others must have moved on. */
static uint32_t check_words(struct ledger *ledger, uint32_t member)
{
	uint32_t unmoved = 0;

	for (uint32_t id = 0; id < nr_ids(ledger); id++) {
		const uint64_t before = ledger->word[id], now = load_word(ledger, id);

		if (!before)
			continue;
		if (now == before)
			unmoved++;
		else if (generation_of(now) <= generation_of(before))
			board_problem(ledger->board, "buffer %u of dead member %u: its word %#jx "
				      "became %#jx without a new generation", id, member,
				      (uintmax_t)before, (uintmax_t)now);
	}
	return unmoved;
}

void ledger_recovered(struct ledger *ledger, uint32_t member, const struct pinion_recovery *report,
		      uint32_t nr_transit)
{
	const uint32_t unmoved = check_words(ledger, member);

	if (unmoved > nr_transit)
		board_problem(ledger->board, "member %u was recovered and still holds %u buffers, "
			      "with %u in transit", member, unmoved, nr_transit);
	/* Others of the dead may have had some in transit to this one, which come back with it. */
	if (report->returned + report->transit + nr_transit < ledger->nr_before)
		board_problem(ledger->board, "member %u held %u; %u returned, %u in transit of %u",
			      member, ledger->nr_before, report->returned, report->transit,
			      nr_transit);
}

void ledger_released(struct ledger *ledger, uint32_t member, const struct pinion_recovery *report)
{
	const uint32_t unmoved = check_words(ledger, member);

	if (unmoved || report->returned != ledger->nr_before || report->transit)
		board_problem(ledger->board, "member %u was released with %u of its %u words "
			      "as they were; %u returned, %u in transit", member, unmoved,
			      ledger->nr_before, report->returned, report->transit);
	if (pinion_pool_held(ledger->pool, member))
		board_problem(ledger->board, "member %u is released and holds %u", member,
			      pinion_pool_held(ledger->pool, member));
}

/* --- at rest */

static void check_generations(struct ledger *ledger)
{
	for (uint32_t id = 0; id < nr_ids(ledger); id++) {
		const uint64_t now = generation_of(load_word(ledger, id));

		if (now < ledger->board->generation[id])
			board_problem(ledger->board, "buffer %u went from generation %ju to %ju",
				      id, (uintmax_t)ledger->board->generation[id],
				      (uintmax_t)now);
		ledger->board->generation[id] = now;
	}
}

static uint32_t nr_admitted(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		nr += pool->members[i].state != MEMBER_FREE;
	return nr;
}

static int nr_mapped(const struct pinion_pool *pool)
{
	int nr = 0;

	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		nr += pool->memory[i].addr != NULL;
	return nr;
}

/* The mappings of a named pool have other names; those of memfds are seen by pool_maps(). */
static void check_resources(struct ledger *ledger)
{
	const int fds = support_fd_count() - nr_mapped(ledger->pool);
	const int maps = pool_maps() - (ledger->pool->named ? 0 : nr_mapped(ledger->pool));

	if (ledger->fds < 0) {
		ledger->fds = fds;
		ledger->maps = maps;
	}
	if (fds != ledger->fds || maps != ledger->maps)
		board_problem(ledger->board, "at rest the keeper has %d descriptors and %d "
			      "mappings; it had %d and %d", fds, maps, ledger->fds, ledger->maps);
}

void ledger_rest(struct ledger *ledger)
{
	const struct pinion_pool *pool = ledger->pool;
	const char *problem = pool_problem(pool);
	struct pinion_zone_stat stat;

	if (problem)
		board_problem(ledger->board, "at rest: %s", problem);
	for (uint32_t z = 0; z < pinion_pool_zones(pool); z++)
		if (pinion_pool_stat(pool, z, &stat) || stat.free != stat.total)
			board_problem(ledger->board, "at rest, in zone %u: %u of %u are free", z,
				      stat.free, stat.total);
	if (nr_admitted(pool) != 1)
		board_problem(ledger->board, "at rest %u members are admitted",
			      nr_admitted(pool));
	check_generations(ledger);
	check_resources(ledger);
}

/* --- for the report */

static void dump_slot(const struct ledger *ledger, uint32_t slot)
{
	const struct pinion_pool *pool = ledger->pool;
	const uint32_t first = pool_magazine_first(pool, slot);

	tap_remark("slot %u: state %d, %u buffers of %u bytes", slot,
		   (int)slot_state_of(pool->state[slot]), pool->segment[slot].nr,
		   pool->segment[slot].nr ? 1u << pool->segment[slot].buffer_shift : 0);
	for (uint32_t m = first; m < first + pool_magazine_nr(pool, slot); m++) {
		const uint32_t holder = pinion_owner_holder(pool->magazine[m]);

		if (holder != MAGAZINE_DEPOT && holder != MAGAZINE_EMPTY)
			tap_remark("  magazine %u: %#jx", m, (uintmax_t)pool->magazine[m]);
	}
	for (uint32_t i = 0; i < pool->segment[slot].nr; i++) {
		const uint32_t id = (slot << pool->geometry.segment_shift) + i;

		if (!(load_word(ledger, id) & PINION_HOLDER_MAGAZINE))
			tap_remark("  buffer %u: %#jx", id, (uintmax_t)load_word(ledger, id));
	}
}

void ledger_dump(const struct ledger *ledger)
{
	for (uint32_t i = 0; i < SEATS; i++) {
		const struct seat *seat = &ledger->board->seat[i];

		tap_remark("seat %u: state %u, life %u, member %u, pid %d, doing %s", i,
			   seat->state, seat->life, seat->number, (int)seat->pid,
			   doing_name(seat->doing));
	}
	for (uint32_t s = 0; s < ledger->pool->geometry.nr_segments; s++)
		dump_slot(ledger, s);
}
