/* SPDX-License-Identifier: BSD-3-Clause */
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/error.h>

#include "depot.h"
#include "post.h"

/* Bytes that a member with a quota may have: more than one magazine full. */
#define LIMIT (2 * MAGAZINE * SMALL)

const struct pinion_segment_config operation_grown = {4096, GROWN, 4096, PINION_NODE_ANY};
static const struct pinion_segment_config quiet = {4096, QUIET, 4096, PINION_NODE_ANY};

static int copy_files(struct operation_state *state)
{
	struct pinion_pool_fds *fds = &state->fds;

	fds->control = fcntl(fds->control, F_DUPFD_CLOEXEC, 3);
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		if (fds->segment[i] >= 0)
			fds->segment[i] = fcntl(fds->segment[i], F_DUPFD_CLOEXEC, 3);
	return fds->control < 0;
}

static int attach(struct operation_state *state)
{
	return pinion_pool_attach(&state->fds, state->member, &state->pool);
}

static int join(struct operation_state *state)
{
	int err = copy_files(state) || attach(state);

	if (!err)
		state->pool->fetch = post_fetch;
	return err;
}

/* As one that has adopted the pool. */
static int join_as_keeper(struct operation_state *state)
{
	int err = join(state);

	if (err)
		return err;
	state->pool->keeper = true;
	state->courier.announce = post_announce;
	LIST_INSERT_HEAD(&state->pool->couriers, &state->courier, link);
	return 0;
}

/* For what somebody else, the keeper, does before act(): the scene's own. */
static int with_keeper(struct operation_state *state, int (*task)(struct operation_state *keeper))
{
	struct operation_state keeper = {.served = state->member, .segment = state->segment};

	pinion_pool_export(state->pool, &keeper.fds);
	return join_as_keeper(&keeper) || task(&keeper) || pinion_pool_detach(keeper.pool);
}

int operation_do_deed(const struct operation *operation, struct operation_state *state)
{
	return with_keeper(state, operation->deed);
}

static int become(struct operation_state *state)
{
	return pinion_pool_become(state->pool, state->member);
}

static int open_cache(struct operation_state *state, size_t size)
{
	const struct pinion_cache_config config = {
		.buffer_size = size,
		.node = PINION_NODE_ANY,
	};

	return pinion_cache_open(state->pool, &config, &state->cache);
}

static int open_small(struct operation_state *state)
{
	return open_cache(state, SMALL);
}

static int alloc(struct operation_state *state)
{
	return pinion_buffer_alloc(state->cache, &state->buffer);
}

static int free_buffer(struct operation_state *state)
{
	return pinion_buffer_free(state->cache, state->buffer);
}

static int close_cache(struct operation_state *state)
{
	return pinion_cache_close(state->cache);
}

static int detach(struct operation_state *state)
{
	struct pinion_pool *pool = state->pool;

	state->pool = NULL;
	return pinion_pool_detach(pool);
}

static int admit(struct operation_state *state)
{
	uint32_t member;

	return pinion_pool_admit(state->pool, getpid(), &member);
}

static int quota(struct operation_state *state)
{
	return pinion_pool_quota(state->pool, state->served, LIMIT);
}

static int quota_of_half(struct operation_state *state)
{
	return pinion_pool_quota(state->pool, state->served, LIMIT / 2);
}

static int recover(struct operation_state *state)
{
	return pinion_pool_recover(state->pool, state->victim, NULL, 0, NULL);
}

static int release(struct operation_state *state)
{
	return pinion_pool_release(state->pool, state->victim, NULL);
}

static int grow(struct operation_state *state)
{
	uint32_t slot;

	return pinion_pool_grow(state->pool, &operation_grown, &slot) || slot != state->segment;
}

static int extend(struct operation_state *state)
{
	return pinion_pool_extend(state->pool, state->segment, state->fd);
}

/* It goes, unless somebody beside us has just taken some: the table says that we then waited. */
static int retire(struct operation_state *state)
{
	int err = pinion_pool_retire(state->pool, state->segment);

	return err != -EBUSY ? err : 0;
}

/* What retire does when somebody took some at the last moment, which cannot be had in one process
 * that runs while the others stand. */
static int retire_undone(struct operation_state *state)
{
	const struct depot_range range = depot_range(state->pool, SEGMENT_GOING);

	depot_seize(state->pool, &range);
	depot_restore(state->pool, &range);
	return 0;
}

/* The dead holds some. */
static int retire_busy(struct operation_state *state)
{
	return pinion_pool_retire(state->pool, SEGMENT_SMALL) != -EBUSY;
}

/* It has as much as it may, in whatever segment it looks. */
static int alloc_denied(struct operation_state *state)
{
	return alloc(state) != -EDQUOT;
}

static int alloc_nr(struct operation_state *state, uint32_t nr)
{
	return pinion_buffer_alloc_bulk(state->cache, state->many, nr) != (int)nr;
}

static int free_nr(struct operation_state *state, uint32_t nr)
{
	return pinion_buffer_free_bulk(state->cache, state->many, nr) != (int)nr;
}

/* Our own cache has some. */
static int retire_cached(struct operation_state *state)
{
	return pinion_pool_retire(state->pool, state->segment) != -EBUSY;
}

/* More than is loaded, which is one magazine at most. */
static int alloc_many(struct operation_state *state)
{
	return alloc_nr(state, 3 * MAGAZINE / 2);
}

/* More than there is room for in two magazines. */
static int free_many(struct operation_state *state)
{
	return free_nr(state, 5 * MAGAZINE / 2);
}

static int flush(struct operation_state *state)
{
	return pinion_cache_flush(state->cache);
}

/* Of the segment that retire takes; then of another. */
static int come_and_go(struct operation_state *state)
{
	return alloc(state) || free_buffer(state) || flush(state);
}

static int with_quiet_cache(struct operation_state *state)
{
	return join(state) || open_cache(state, QUIET);
}

/* A cache without a rack as yet: its first call exchanges. */
static int with_cache(struct operation_state *state)
{
	return join(state) || open_small(state);
}

/* One buffer held, the rest of its magazine loaded. */
static int with_buffer(struct operation_state *state)
{
	return with_cache(state) || alloc(state);
}

/*
 * Both magazines full and one buffer more held: the next free must exchange. What was taken from
 * magazines goes back into as many, so the cache is closed while that one is still out; the one
 * opened then has two empty ones.
 */
static int with_full_cache(struct operation_state *state)
{
	return with_buffer(state) || alloc_nr(state, 2 * MAGAZINE) || close_cache(state) ||
	       open_small(state) || free_nr(state, 2 * MAGAZINE);
}

/* Many held, and the rest of the last magazine loaded. */
static int with_many(struct operation_state *state)
{
	return with_cache(state) || alloc_nr(state, 5 * MAGAZINE / 2);
}

/* One held of a segment that is then told to go; the cache has seen nothing of it. */
static int with_retiring_buffer(struct operation_state *state)
{
	return with_buffer(state) || close_cache(state) || open_small(state) ||
	       with_keeper(state, retire_busy);
}

/* As much as it may have, and all of it held. (Magazines may be partly full, beside others.) */
static int with_limit_reached(struct operation_state *state)
{
	int err = with_cache(state) || with_keeper(state, quota_of_half);

	while (!err)
		err = alloc(state);
	return err != -EDQUOT;
}

/* It has drawn more than it has any more, as one that sent some away: it must count. */
static int with_limit_in_doubt(struct operation_state *state)
{
	int err = with_cache(state) || alloc_nr(state, MAGAZINE) || with_keeper(state, quota);

	atomic_store(&state->pool->drawn, LIMIT);
	return err;
}

/* What a fork() leaves to its child: the tracer's is a bare one, which the library does not
 * notice. */
static int inherit(struct operation_state *state)
{
	state->pool = state->inherited;
	state->pool->fetch = post_fetch;
	atomic_store(&state->pool->forked, true);
	return 0;
}

/* The number was admitted before there was a process: it writes down its own. */
static int inherit_unknown(struct operation_state *state)
{
	atomic_store(&state->inherited->members[state->member].pid, 0);
	return inherit(state);
}

/* One that has to be given the file of a segment that came. */
static int get_file(struct operation_state *state)
{
	state->pool->fetch = NULL;
	return post_fetch(NULL, state->segment, &state->fd);
}

/* Served by a segment with more waste, until one that fits better has come. */
static int with_poor_cache(struct operation_state *state)
{
	return join(state) || open_cache(state, GROWN);
}

/*
 * The segment that serves a cache can go. It can since all of its buffers are back: those that
 * this cache took went through another, so that its magazines are empty.
 */
static int with_empty_cache(struct operation_state *state)
{
	struct pinion_cache *cache = NULL;
	int err = join(state) || open_cache(state, QUIET) || alloc_nr(state, MAGAZINE);

	if (err)
		return err;
	cache = state->cache;
	err = open_cache(state, QUIET) || free_nr(state, MAGAZINE) || close_cache(state);
	state->cache = cache;
	return err;
}

/* Beside one that was told of the quiet segment's end a keeper has another come in its place, which
 * the other may be served by. */
static int join_with_quiet(struct operation_state *state)
{
	int err = join_as_keeper(state);
	uint32_t slot;

	if (err || state->segment == SEGMENT_QUIET)
		return err;
	return pinion_pool_grow(state->pool, &quiet, &slot) || slot != state->segment;
}

/* A keeper with a cache of its own, in which all that it took lies. */
static int with_cache_of_its_own(struct operation_state *state)
{
	return join_with_quiet(state) || open_cache(state, QUIET) || alloc(state) ||
	       free_buffer(state);
}

/* A magazine whose contents are not what was claimed: two buffers held, and one on top that was
 * not there. Closing has to write them. */
static int with_other_contents(struct operation_state *state)
{
	struct pinion_buffer held;

	return with_buffer(state) || pinion_buffer_alloc(state->cache, &held) ||
	       pinion_buffer_alloc(state->cache, &held) || free_buffer(state);
}

/* A large buffer held, and a cache for small ones: freeing needs a second rack. */
static int with_foreign_buffer(struct operation_state *state)
{
	return join(state) || open_cache(state, LARGE) || alloc(state) || close_cache(state) ||
	       open_small(state);
}

/* The victim recovered, but for one buffer that it had sent and nobody took: release frees it. */
static int with_recovered(struct operation_state *state)
{
	struct pinion_buffer sent = {0};
	int err = join_as_keeper(state);

	for (uint32_t id = 0; !err && id < state->pool->view.nr_ids && !sent.bits; id++) {
		const uint64_t word = atomic_load(&state->pool->view.owner[id]);

		if (pinion_owner_holder(word) == pinion_owner_held(state->victim))
			sent = pinion_owner_buffer(word, id);
	}
	return err || !sent.bits || pinion_pool_recover(state->pool, state->victim, &sent, 1, NULL);
}

const struct operation operations[] = {
	{"alloc", with_buffer, alloc, .held = 1},
	{"alloc_refill", with_cache, alloc, .held = 1, .exchanges = true},
	{"alloc_many", with_buffer, alloc_many, .held = 3 * MAGAZINE / 2, .exchanges = true},
	{"alloc_grown", with_poor_cache, alloc, .held = 1, .exchanges = true, .deed = grow,
	 .segment = SEGMENT_SPARE, .becomes = SLOT_LIVE},
	{"alloc_gone", with_empty_cache, alloc, .held = 1, .exchanges = true, .deed = retire,
	 .segment = SEGMENT_QUIET, .becomes = SLOT_GONE},
	{"alloc_counted", with_limit_in_doubt, alloc, .held = 1, .exchanges = true},
	{"alloc_denied", with_limit_reached, alloc_denied, .held = 0},
	{"free", with_buffer, free_buffer, .held = -1},
	{"free_flush", with_full_cache, free_buffer, .held = -1, .exchanges = true},
	{"free_many", with_many, free_many, .held = -5 * MAGAZINE / 2, .exchanges = true},
	{"free_other_zone", with_foreign_buffer, free_buffer, .held = -1, .exchanges = true},
	{"free_retiring", with_retiring_buffer, free_buffer, .held = -1, .exchanges = true},
	{"cache_open", join, open_small, .held = 0},
	{"cache_flush", with_other_contents, flush, .exchanges = true},
	{"cache_close", with_other_contents, close_cache, .exchanges = true},
	{"come_and_go", with_quiet_cache, come_and_go, .exchanges = true},
	{"attach", copy_files, attach, .held = 0},
	{"detach", join, detach, .held = 0},
	{"become", inherit_unknown, become, .held = 0},
	{"become_grown", inherit, become, .deed = grow,
	 .segment = SEGMENT_SPARE, .becomes = SLOT_LIVE},
	{"extend", join, extend, .deed = grow, .after = get_file,
	 .segment = SEGMENT_SPARE, .becomes = SLOT_LIVE},
	{"admit", join_as_keeper, admit, .keeper = true},
	{"quota", join_as_keeper, quota, .keeper = true},
	{"recover", join_as_keeper, recover, .exchanges = true, .keeper = true, .buries = true},
	{"release", with_recovered, release, .exchanges = true, .keeper = true, .buries = true},
	{"grow", join_as_keeper, grow, .exchanges = true, .keeper = true,
	 .segment = SEGMENT_SPARE, .becomes = SLOT_LIVE},
	{"retire", join_with_quiet, retire, .exchanges = true, .keeper = true,
	 .segment = SEGMENT_QUIET, .becomes = SLOT_RETIRING},
	{"retire_undone", join_as_keeper, retire_undone, .keeper = true,
	 .segment = SEGMENT_GOING, .becomes = SLOT_RETIRING},
	{"retire_cached", with_cache_of_its_own, retire_cached, .keeper = true,
	 .segment = SEGMENT_QUIET, .becomes = SLOT_RETIRING},
	{"retire_busy", join_as_keeper, retire_busy, .keeper = true,
	 .segment = SEGMENT_SMALL, .becomes = SLOT_RETIRING},
};
const size_t nr_operations = sizeof(operations) / sizeof(operations[0]);

const struct operation *operation_find(const char *name)
{
	for (size_t i = 0; i < nr_operations; i++)
		if (!strcmp(operations[i].name, name))
			return &operations[i];
	return NULL;
}
