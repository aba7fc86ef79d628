/* SPDX-License-Identifier: BSD-3-Clause */
#include "recount.h"

#include <stdlib.h>

#include <pinion/error.h>

#include "layout.h"
#include "pool.h"

/* Whom a run is about, and what they have. */
struct recount {
	const struct pinion_pool *pool;
	uint32_t member;
	bool alone; /* not the other dead */
	struct pinion_recovery has;
};

static bool is_meant(const struct recount *recount, uint32_t holder)
{
	const uint32_t member = holder - 1;

	if (holder < 1 || holder > recount->pool->geometry.nr_members)
		return false;
	return member == recount->member || (!recount->alone && recount->pool->dead[member]);
}

static bool is_among(struct pinion_buffer buffer, const struct pinion_buffer *list, uint32_t nr)
{
	while (nr--)
		if (list[nr].bits == buffer.bits)
			return true;
	return false;
}

static void count_words(struct recount *recount, const struct pinion_buffer *transit, uint32_t nr)
{
	const _Atomic uint64_t *owner = recount->pool->view.owner;

	recount->has.returned = recount->has.transit = 0;
	for (uint32_t id = 0; id < recount->pool->view.nr_ids; id++) {
		const uint64_t word = owner[id];

		if (!is_meant(recount, pinion_owner_holder(word)))
			continue;
		if (is_among(pinion_owner_buffer(word, id), transit, nr))
			recount->has.transit++;
		else
			recount->has.returned++;
	}
}

/* Of segments that are there: those of others have nothing inside. */
static void count_magazines(struct recount *recount)
{
	const struct pinion_pool *pool = recount->pool;

	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const uint32_t first = pool_magazine_first(pool, s);

		for (uint32_t m = first; m < first + pool_magazine_nr(pool, s); m++) {
			const uint32_t holder = pinion_owner_holder(pool->magazine[m]);

			recount->has.magazines +=
				holder == MAGAZINE_SERVICE || is_meant(recount, holder);
		}
	}
}

static const char *compare(struct recount *recount, const struct pinion_recovery *report,
			   const struct pinion_buffer *transit, uint32_t nr)
{
	const struct pinion_recovery had = recount->has;

	if (report->returned != had.returned)
		return "recovery reports not as many returned as the dead held";
	if (report->transit != had.transit)
		return "recovery reports not as many in transit as there were";
	if (report->magazines != had.magazines)
		return "recovery reports not as many magazines as the dead had";
	count_words(recount, transit, nr);
	if (recount->has.returned || recount->has.transit != had.transit)
		return "the dead still hold more or less than what is in transit";
	return NULL;
}

const char *recount_recover(struct pinion_pool *pool, uint32_t member,
			    const struct pinion_buffer *transit, uint32_t nr)
{
	struct recount recount = {.pool = pool, .member = member};
	struct pinion_recovery report = {77, 77, 77};

	count_words(&recount, transit, nr);
	count_magazines(&recount);
	if (pinion_pool_recover(pool, member, transit, nr, &report))
		return pinion_error_text();
	return compare(&recount, &report, transit, nr);
}

const char *recount_recover_twice(struct pinion_pool *pool, uint32_t member,
				  const struct pinion_buffer *transit, uint32_t nr)
{
	const char *problem = recount_recover(pool, member, transit, nr);
	struct snapshot once = {0};

	if (problem)
		return problem;
	snapshot_take(&once, pool);
	problem = recount_recover(pool, member, transit, nr);
	if (!problem && !snapshot_same(&once, pool))
		problem = "a second recovery changed something";
	free(once.bytes);
	return problem;
}

const char *recount_release(struct pinion_pool *pool, uint32_t member)
{
	struct recount recount = {.pool = pool, .member = member, .alone = true};
	struct pinion_recovery report = {77, 77, 77};

	count_words(&recount, NULL, 0);
	count_magazines(&recount);
	if (pinion_pool_release(pool, member, &report))
		return pinion_error_text();
	return compare(&recount, &report, NULL, 0);
}

/* All that any number has is of the dead. */
static struct pinion_recovery count_all(const struct snapshot *before,
					const struct pinion_pool *pool)
{
	struct pinion_recovery has = {0};

	for (uint32_t id = 0; id < pool->view.nr_ids; id++) {
		const uint64_t word = snapshot_word(before, pool, &pool->view.owner[id]);
		const uint32_t holder = pinion_owner_holder(word);

		has.returned += holder && holder <= pool->geometry.nr_members;
	}
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++) {
		const uint32_t first = pool_magazine_first(pool, s);

		for (uint32_t m = first; m < first + pool_magazine_nr(pool, s); m++) {
			const uint64_t word = snapshot_word(before, pool, &pool->magazine[m]);
			const uint32_t holder = pinion_owner_holder(word);

			has.magazines += holder == MAGAZINE_SERVICE ||
					 (holder && holder <= pool->geometry.nr_members);
		}
	}
	return has;
}

const char *recount_buried(const struct snapshot *before, const struct pinion_pool *pool,
			   const struct pinion_recovery *report)
{
	const struct pinion_recovery had = count_all(before, pool);

	if (report->returned != had.returned)
		return "the report has not as many returned as all the dead held";
	if (report->transit)
		return "the report has some in transit where nobody lives";
	if (report->magazines != had.magazines)
		return "the report has not as many magazines as all the dead had";
	return NULL;
}
