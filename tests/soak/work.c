/* SPDX-License-Identifier: BSD-3-Clause */
#include "work.h"

#include <stdarg.h>
#include <unistd.h>

#include "neighbour.h"
#include "pool_support.h"

void work_problem(const struct work *work, const char *format, ...)
{
	char text[480];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	board_problem(work->board, "member %u (seat %u, life %u): %s",
		      pinion_pool_member(work->pool), work->seat_index, work->life, text);
	_exit(1);
}

/* --- tokens */

static uint64_t token(uint32_t life, struct pinion_buffer buffer)
{
	return (uint64_t)life << 32 | pinion_buffer_id(buffer);
}

static _Atomic uint64_t *first_word(const struct work *work, struct pinion_buffer buffer)
{
	return pinion_buffer_addr(work->pool, buffer);
}

static _Atomic uint64_t *last_word(const struct work *work, struct pinion_buffer buffer)
{
	return first_word(work, buffer) + pinion_buffer_size(work->pool, buffer) / 8 - 1;
}

bool work_has_token(const struct work *work, struct pinion_buffer buffer, uint32_t life)
{
	return atomic_load_explicit(first_word(work, buffer), memory_order_relaxed) ==
		       token(life, buffer) &&
	       atomic_load_explicit(last_word(work, buffer), memory_order_relaxed) ==
		       token(life, buffer);
}

void work_keep(struct work *work, struct pinion_buffer buffer)
{
	atomic_store_explicit(first_word(work, buffer), token(work->life, buffer),
			      memory_order_relaxed);
	atomic_store_explicit(last_word(work, buffer), token(work->life, buffer),
			      memory_order_relaxed);
	work->held[work->nr++] = buffer;
	atomic_store_explicit(&work->seat->shown, buffer.bits, memory_order_relaxed);
}

struct pinion_buffer work_part(struct work *work, uint32_t i)
{
	const struct pinion_buffer buffer = work->held[i];

	if (!work_has_token(work, buffer, work->life))
		work_problem(work, "buffer %u was written to by somebody else while it was held: "
			     "%#jx, %#jx", pinion_buffer_id(buffer),
			     (uintmax_t)atomic_load(first_word(work, buffer)),
			     (uintmax_t)atomic_load(last_word(work, buffer)));
	work->held[i] = work->held[--work->nr];
	return buffer;
}

/* --- operations */

static bool is_fresh_word(const struct work *work, uint64_t word)
{
	return word == 0 || word >> 32 == work->life;
}

/* With scrubbing nothing of other members is to be seen. */
static void receive_new(struct work *work, struct pinion_buffer buffer)
{
	const uint32_t flags = work->pool->geometry.flags;

	if ((flags & PINION_POOL_FLAGS) == PINION_POOL_SCRUB &&
	    (!is_fresh_word(work, *first_word(work, buffer)) ||
	     !is_fresh_word(work, *last_word(work, buffer))))
		work_problem(work, "buffer %u was not scrubbed", pinion_buffer_id(buffer));
	work_keep(work, buffer);
}

static struct pinion_cache *any_cache(struct work *work)
{
	return work->cache[test_below(&work->random, WORK_CACHES)];
}

static void check_alloc(const struct work *work, int err)
{
	if (err != -ENOMEM && err != -EDQUOT)
		work_problem(work, "alloc gave %d: %s", err, pinion_error_text());
}

static void do_alloc(struct work *work)
{
	struct pinion_buffer buffer;
	int err;

	if (work->nr == WORK_HELD)
		return;
	err = WORK_DO(work, DOING_ALLOC, pinion_buffer_alloc(any_cache(work), &buffer));
	if (err)
		check_alloc(work, err);
	else
		receive_new(work, buffer);
}

static void do_alloc_bulk(struct work *work)
{
	struct pinion_buffer buffer[WORK_HELD];
	const uint32_t room = WORK_HELD - work->nr;
	int got;

	if (room == 0)
		return;
	got = WORK_DO(work, DOING_ALLOC_BULK,
		      pinion_buffer_alloc_bulk(any_cache(work), buffer,
					       1 + test_below(&work->random, room)));
	if (got < 0)
		check_alloc(work, got);
	for (int i = 0; i < got; i++)
		receive_new(work, buffer[i]);
}

static void do_free(struct work *work)
{
	struct pinion_buffer buffer;
	int err;

	if (work->nr == 0)
		return;
	buffer = work_part(work, test_below(&work->random, work->nr));
	err = WORK_DO(work, DOING_FREE, pinion_buffer_free(any_cache(work), buffer));
	if (err)
		work_refused(work, "free", err);
	work->freed = buffer;
}

/* What the depot of each segment looks like now: a free that lacks a place says -EAGAIN. */
static void describe_depots(const struct work *work, char *text, size_t room)
{
	const struct pinion_pool *pool = work->pool;
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t s = 0; s < pool->geometry.nr_segments && at < room; s++) {
		const uint32_t first = pool_magazine_first(pool, s);
		uint32_t empty = 0, depot = 0, partly = 0, hinted = 0;

		for (uint32_t m = first; m < first + pool_magazine_nr(pool, s); m++) {
			const uint64_t word = pool->magazine[m];
			const uint32_t holder = pinion_owner_holder(word);

			empty += holder == MAGAZINE_EMPTY;
			depot += holder == MAGAZINE_DEPOT;
			partly += holder == MAGAZINE_DEPOT &&
				  magazine_word_nr(word) < pool->geometry.magazine_size;
			hinted += (uint32_t)(pool->empty[m / 64] >> (m % 64)) & 1;
		}
		at += (size_t)snprintf(text + at, room - at, " [%u: %u empty, %u hinted, %u in "
				       "depot, %u partly of %u]", s, empty, hinted, depot, partly,
				       pool_magazine_nr(pool, s));
	}
}

void work_refused(const struct work *work, const char *what, int err)
{
	char depots[320];

	describe_depots(work, depots, sizeof(depots));
	work_problem(work, "%s gave %d:%s", what, err, depots);
}

/* The first that was not freed tells why, when it is freed alone. */
__attribute__((noreturn)) static void refused(struct work *work, const struct pinion_buffer *buffer,
					      uint32_t nr, int freed)
{
	const struct pinion_buffer first = buffer[freed > 0 ? freed : 0];
	const uint64_t word = atomic_load(&work->pool->view.owner[pinion_buffer_id(first)]);
	const int err = pinion_buffer_free(work->cache[0], first);

	char depots[320];

	describe_depots(work, depots, sizeof(depots));
	work_problem(work, "free_bulk of %u gave %d; handle %#jx, word %#jx, alone %d:%s", nr,
		     freed, (uintmax_t)first.bits, (uintmax_t)word, err, depots);
}

static void do_free_bulk(struct work *work)
{
	struct pinion_buffer buffer[WORK_HELD];
	const uint32_t nr = test_below(&work->random, work->nr + 1);
	int freed;

	if (nr == 0)
		return;
	for (uint32_t i = 0; i < nr; i++)
		buffer[i] = work_part(work, test_below(&work->random, work->nr));
	freed = WORK_DO(work, DOING_FREE_BULK,
			pinion_buffer_free_bulk(any_cache(work), buffer, nr));
	if (freed != (int)nr)
		refused(work, buffer, nr, freed);
	work->freed = buffer[0];
}

/* A handle of before, or one that somebody else has or had. */
static void do_bad_free(struct work *work)
{
	const uint32_t other =
		(work->seat_index + 1 + test_below(&work->random, SEATS - 1)) % SEATS;
	struct pinion_buffer buffer = work->freed;
	int err;

	if (test_below(&work->random, 2))
		buffer.bits = atomic_load_explicit(&work->board->seat[other].shown,
						   memory_order_relaxed);
	if (buffer.bits == 0)
		return;
	err = WORK_DO(work, DOING_BAD_FREE, pinion_buffer_free(any_cache(work), buffer));
	if (err != -EINVAL)
		work_problem(work, "a free of buffer %u, which it does not hold, gave %d",
			     pinion_buffer_id(buffer), err);
}

static void do_flush(struct work *work)
{
	const int err = WORK_DO(work, DOING_FLUSH, pinion_cache_flush(any_cache(work)));

	if (err)
		work_problem(work, "flush gave %d: %s", err, pinion_error_text());
}

/* --- caches */

static void open_cache(struct work *work, uint32_t i)
{
	static const uint32_t flags[] = {0, PINION_CACHE_PREFERRED, PINION_CACHE_INTERLEAVE};
	const int nodes = work->board->nodes;
	struct pinion_cache_config config = {
		.buffer_size = work->size[i],
		.node = PINION_NODE_ANY,
		.flags = flags[test_below(&work->random, 3)],
	};
	int err;

	if (nodes > 1 && config.flags != PINION_CACHE_INTERLEAVE)
		config.node = (int)test_below(&work->random, (uint32_t)nodes);
	err = WORK_DO(work, DOING_OPEN,
		      pinion_cache_open(work->pool, &config, &work->cache[i]));
	if (err)
		work_problem(work, "cache_open gave %d: %s", err, pinion_error_text());
}

static void close_cache(struct work *work, uint32_t i)
{
	const int err = WORK_DO(work, DOING_CLOSE, pinion_cache_close(work->cache[i]));

	if (err)
		work_problem(work, "cache_close gave %d: %s", err, pinion_error_text());
}

void work_open_caches(struct work *work)
{
	for (uint32_t i = 0; i < WORK_CACHES; i++)
		open_cache(work, i);
}

static void do_reopen(struct work *work)
{
	const uint32_t i = test_below(&work->random, WORK_CACHES);

	close_cache(work, i);
	open_cache(work, i);
}

/* --- the choice */

static void do_neighbours(struct work *work)
{
	neighbour_visit(work, test_below(&work->random, 2));
}

void work_step(struct work *work)
{
	/* Of 1024. Opening a cache takes a hundred times as long as the others (it reads sysfs):
	 * often enough, it would be where nearly everybody dies. */
	static const struct {
		uint32_t share;
		void (*act)(struct work *work);
	} table[] = {
		{160, do_alloc}, {160, do_free}, {150, do_alloc_bulk}, {150, do_free_bulk},
		{80, do_flush}, {2, do_reopen}, {22, do_bad_free}, {300, do_neighbours},
	};
	uint32_t at = test_below(&work->random, 1024);
	uint32_t i = 0;

	while (at >= table[i].share)
		at -= table[i++].share;
	table[i].act(work);
}

void work_leave(struct work *work)
{
	neighbour_leave(work);
	while (work->nr)
		do_free(work);
	for (uint32_t i = 0; i < WORK_CACHES; i++)
		close_cache(work, i);
}
