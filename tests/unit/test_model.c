/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any sequence of operations, held against a model that knows nothing of magazines: per buffer,
 * who holds it under which handle; per slot, what segment is there. After every step the sums must
 * agree, and the whole control area must be sound. Members here are attachments of this process;
 * one that "dies" leaves its caches as they are. Quotas are of what a member holds and has in its
 * caches: that is counted anew at each allocation, from the words.
 *
 * PINION_SEED repeats a run; a step that goes wrong says its number.
 */

#include "pool_support.h"

#define SLOTS 4
#define MOST 64 /* buffers in a segment */
#define IDS (SLOTS * MOST)
#define MEMBERS 4
#define CACHES 2 /* of each member */
#define SIZE 8   /* of magazines: many exchanges */
#define STEPS 100000
#define MOST_NS UINT64_C(1200000000) /* for each of the four modes */

enum life { ABSENT, LIVING, DEAD, RECOVERED };

struct model_buffer {
	struct pinion_buffer handle; /* the last one seen; 0: none yet */
	int holder;                  /* -1: free */
	bool transit;                /* of a dead member, published to somebody living */
	uint64_t freer;              /* incarnation that alone has seen the bytes; 0: none */
};

struct model_slot {
	uint32_t nr; /* 0: no segment */
	size_t size;
	bool used;         /* ever */
	uint64_t retiring; /* step of the first call; 0: not retiring */
};

struct model_member {
	enum life life;
	uint64_t incarnation;
	struct pinion_pool *pool;
	struct pinion_cache *cache[CACHES];
	size_t wish[CACHES];
	uint64_t looked[CACHES]; /* step of the last flush */
	bool mapped[SLOTS];
	uint64_t quota;  /* bytes; 0: no limit */
	uint64_t unseen; /* bytes that it received since it last learned how much it has, at most */
};

struct model {
	uint32_t flags;
	uint64_t random, step, incarnations;
	struct pinion_pool *pool; /* the keeper's: member 0 */
	struct model_member member[MEMBERS];
	struct model_slot slot[SLOTS];
	struct model_buffer buffer[IDS];
	uint64_t refused, bounded; /* allocations by members that had their quota, and below it */
};

static uint32_t below(struct model *model, uint32_t bound)
{
	return test_below(&model->random, bound);
}

static struct model_buffer *model_of(struct model *model, struct pinion_buffer buffer)
{
	assert_true(pinion_buffer_id(buffer) < IDS);
	return &model->buffer[pinion_buffer_id(buffer)];
}

static uint32_t held_in(const struct model *model, uint32_t slot)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < model->slot[slot].nr; i++)
		held += model->buffer[slot * MOST + i].holder >= 0;
	return held;
}

static uint32_t held_by(const struct model *model, int member, bool transit_too)
{
	uint32_t held = 0;

	for (uint32_t id = 0; id < IDS; id++)
		held += model->buffer[id].holder == member &&
			(transit_too || !model->buffer[id].transit);
	return held;
}

/* Who has it writes its name into it; nobody else's may ever be found there. */
static void sign(const struct model_member *member, struct pinion_buffer buffer)
{
	uint64_t *bytes = pinion_buffer_addr(member->pool, buffer);

	*bytes = member->incarnation << 32 | pinion_buffer_id(buffer);
}

static void check_signature(const struct model_member *reader, uint64_t incarnation,
			    struct pinion_buffer buffer)
{
	const uint64_t *bytes = pinion_buffer_addr(reader->pool, buffer);

	assert_int_equal(*bytes, incarnation << 32 | pinion_buffer_id(buffer));
}

/* A new hold of a buffer that the model has as free, by a cache that may take it from there. */
static void check_fresh(struct model *model, uint32_t m, uint32_t c, struct pinion_buffer buffer)
{
	const struct model_member *member = &model->member[m];
	const uint32_t slot = pinion_buffer_id(buffer) / MOST;
	const struct model_buffer *was = model_of(model, buffer);
	const uint64_t *bytes = pinion_buffer_addr(member->pool, buffer);

	assert_int_equal(was->holder, -1);
	assert_true(pinion_buffer_id(buffer) % MOST < model->slot[slot].nr);
	assert_true(member->mapped[slot]);
	assert_true(model->slot[slot].size >= member->wish[c]);
	assert_int_equal(pinion_buffer_size(member->pool, buffer), model->slot[slot].size);
	assert_true(!model->slot[slot].retiring ||
		    model->slot[slot].retiring > member->looked[c]);
	assert_true(!was->handle.bits || generation_rose(buffer, was->handle));
	if (model->flags == PINION_POOL_SCRUB)
		assert_true(*bytes == 0 || was->freer == member->incarnation);
	if (model->flags == PINION_POOL_FLAGS)
		assert_true(*bytes == 0);
}

static void model_take(struct model *model, uint32_t m, uint32_t c, struct pinion_buffer buffer)
{
	struct model_buffer *entry = model_of(model, buffer);

	check_fresh(model, m, c, buffer);
	entry->holder = (int)m;
	entry->handle = buffer;
	entry->transit = false;
	sign(&model->member[m], buffer);
}

/* The size that a strict cache is served with now; 0: none. */
static size_t served(const struct model *model, const struct model_member *member, size_t wish)
{
	size_t best = 0;

	for (uint32_t s = 0; s < SLOTS; s++)
		if (model->slot[s].nr && !model->slot[s].retiring && member->mapped[s] &&
		    model->slot[s].size >= wish && (!best || model->slot[s].size < best))
			best = model->slot[s].size;
	return best;
}

/* What is free and was not given lies in other caches, of the living and of the dead: none is in
 * the depot. */
static void check_exhausted(struct model *model, const struct model_member *member, uint32_t c)
{
	const size_t size = served(model, member, member->wish[c]);

	for (uint32_t s = 0; s < SLOTS; s++) {
		const uint32_t first = pool_magazine_first(member->pool, s);

		if (!size || model->slot[s].size != size || model->slot[s].retiring ||
		    !member->mapped[s])
			continue;
		for (uint32_t m = first; m < first + member->pool->layout.stride; m++)
			assert_int_not_equal(pinion_owner_holder(member->pool->magazine[m]),
					     MAGAZINE_DEPOT);
	}
}

/* What a member has at one moment, by words alone. */
struct stock {
	uint64_t len;              /* bytes held and in its magazines */
	uint32_t magazines[SLOTS]; /* that are its own */
};

static bool is_its_magazine(const struct pinion_pool *pool, uint32_t m, uint32_t word)
{
	return pinion_owner_holder(pool->magazine[word & PINION_HOLDER_INDEX_MASK]) ==
	       pinion_owner_held(m);
}

static struct stock stock_of(const struct model *model, uint32_t m)
{
	const struct pinion_pool *pool = model->pool;
	struct stock stock = {0};

	for (uint32_t s = 0; s < SLOTS; s++) {
		const uint32_t first = pool_magazine_first(pool, s);

		for (uint32_t i = 0; i < model->slot[s].nr; i++) {
			const uint32_t holder =
				pinion_owner_holder(pool->view.owner[s * MOST + i]);
			const bool its = holder & PINION_HOLDER_MAGAZINE
						 ? is_its_magazine(pool, m, holder)
						 : holder == pinion_owner_held(m);

			stock.len += its ? UINT64_C(1) << pool->segment[s].buffer_shift : 0;
		}
		for (uint32_t i = first; i < first + pool->layout.stride; i++)
			stock.magazines[s] += is_its_magazine(pool, m, i);
	}
	return stock;
}

/* A magazine came full, and not with a rack of its own: those that come with a rack are not asked
 * about, and hold what they happen to. */
static bool drew_only(const struct stock *before, const struct stock *after)
{
	for (uint32_t s = 0; s < SLOTS; s++)
		if (after->magazines[s] > before->magazines[s])
			return false;
	return after->len > before->len;
}

/* Who is refused has its quota; who draws had not, by what it could know, and gets one magazine. */
static void check_quota(struct model *model, uint32_t m, uint32_t c, const struct stock *before,
			int got)
{
	struct model_member *member = &model->member[m];
	const struct stock after = stock_of(model, m);
	/* Of the buffer, with what debugging adds to it. */
	const uint64_t size = member->cache[c]->buffer_size *
			      (model->flags & PINION_POOL_DEBUG ? 2 : 1);

	if (got == -EDQUOT) {
		assert_true(member->quota && after.len >= member->quota);
		member->unseen = 0;
		model->refused++;
	} else if (member->quota && drew_only(before, &after)) {
		assert_true(after.len < member->quota + member->unseen + SIZE * size);
		model->bounded++;
	}
}

static void step_alloc(struct model *model, uint32_t m, uint32_t c)
{
	struct model_member *member = &model->member[m];
	const struct stock before = stock_of(model, m);
	const uint32_t want = below(model, 3) ? 1 : 1 + below(model, 30);
	struct pinion_buffer got[30];
	int nr = (int)want;

	if (want == 1) {
		const int err = pinion_buffer_alloc(member->cache[c], got);

		nr = err ? err : 1;
	} else {
		nr = pinion_buffer_alloc_bulk(member->cache[c], got, want);
	}
	for (int i = 0; i < nr; i++)
		model_take(model, m, c, got[i]);
	assert_true(nr != 0 && nr <= (int)want);
	check_quota(model, m, c, &before, nr);
	if (nr == (int)want)
		return;
	assert_true(nr > 0 || nr == -ENOMEM || nr == -EDQUOT);
	if (!member->quota || nr == -ENOMEM)
		check_exhausted(model, member, c);
}

static void model_give(struct model *model, uint32_t id)
{
	struct model_buffer *entry = &model->buffer[id];

	entry->freer = model->member[entry->holder].incarnation;
	entry->holder = -1;
	entry->transit = false;
}

/* Any handle: a good one, an old one, another's. */
static void step_free(struct model *model, uint32_t m, uint32_t c)
{
	struct model_member *member = &model->member[m];
	const uint32_t id = below(model, IDS);
	const struct model_buffer *entry = &model->buffer[id];
	const bool old = below(model, 8) == 0, mine = entry->holder == (int)m;
	struct pinion_buffer buffer = entry->handle;

	if (old)
		buffer = pinion_buffer_make(id, pinion_buffer_generation(buffer) - 1);
	if (mine)
		check_signature(member, member->incarnation, entry->handle);
	if (!mine || old) {
		assert_int_equal(pinion_buffer_free(member->cache[c], buffer), -EINVAL);
		return;
	}
	assert_int_equal(pinion_buffer_free(member->cache[c], buffer), 0);
	model_give(model, id);
}

/* Many of one's own, in any order, now and then with a bad one among them. */
static void step_free_bulk(struct model *model, uint32_t m, uint32_t c)
{
	const uint32_t from = below(model, IDS), most = 1 + below(model, 40);
	struct pinion_buffer list[40];
	uint32_t nr = 0, good;

	for (uint32_t i = 0; i < IDS && nr < most; i++) {
		const struct model_buffer *entry = &model->buffer[(from + i * 37) % IDS];

		if (entry->holder == (int)m)
			list[nr++] = entry->handle;
	}
	if (!nr)
		return;
	good = nr;
	if (nr > 1 && below(model, 4) == 0) {
		good = 1 + below(model, nr - 1);
		list[good] = list[0];
	}
	assert_int_equal(pinion_buffer_free_bulk(model->member[m].cache[c], list, nr), good);
	for (uint32_t i = 0; i < good; i++)
		model_give(model, pinion_buffer_id(list[i]));
}

/* What a ring's consumer does to the word: @to has it now. */
static void hand_over(struct model *model, uint32_t id, uint32_t to)
{
	struct model_buffer *entry = &model->buffer[id];

	check_signature(&model->member[to], model->member[entry->holder].incarnation,
			entry->handle);
	entry->handle = pinion_buffer_next(entry->handle);
	entry->holder = (int)to;
	entry->transit = false;
	model->member[to].unseen += UINT64_C(1) << model->pool->segment[id / MOST].buffer_shift;
	model->pool->view.owner[id] = pinion_owner_word(entry->handle, pinion_owner_held(to));
	sign(&model->member[to], entry->handle);
}

static bool may_come_from(const struct model *model, const struct model_buffer *entry)
{
	if (entry->holder < 0)
		return false;
	if (model->member[entry->holder].life == LIVING)
		return true;
	return model->member[entry->holder].life == RECOVERED && entry->transit;
}

static void step_receive(struct model *model, uint32_t to)
{
	const uint32_t id = below(model, IDS);

	if (may_come_from(model, &model->buffer[id]) && model->member[to].mapped[id / MOST])
		hand_over(model, id, to);
}

static void open_cache(struct model *model, uint32_t m, uint32_t c)
{
	struct model_member *member = &model->member[m];
	const struct pinion_cache_config any = {.buffer_size = member->wish[c],
						.node = PINION_NODE_ANY};
	const int err = pinion_cache_open(member->pool, &any, &member->cache[c]);

	if (err) {
		member->cache[c] = NULL;
		assert_int_equal(err, -ENOENT);
		assert_int_equal(served(model, member, member->wish[c]), 0);
	}
	member->looked[c] = model->step;
}

static void step_cache(struct model *model, uint32_t m, uint32_t c)
{
	struct model_member *member = &model->member[m];

	if (member->cache[c] != NULL && below(model, 2)) {
		assert_int_equal(pinion_cache_flush(member->cache[c]), 0);
		member->looked[c] = model->step;
		return;
	}
	if (member->cache[c] != NULL)
		assert_int_equal(pinion_cache_close(member->cache[c]), 0);
	member->wish[c] = below(model, 3) ? BUFFER : 1024;
	open_cache(model, m, c);
}

/* Members. */

static void join(struct model *model, uint32_t m)
{
	struct model_member *member = &model->member[m];
	uint32_t number = 77;

	if (m)
		member->pool = pool_join(model->pool);
	number = pinion_pool_member(member->pool);
	assert_int_equal(number, m);
	member->life = LIVING;
	member->quota = member->unseen = 0;
	member->incarnation = ++model->incarnations;
	for (uint32_t s = 0; s < SLOTS; s++)
		member->mapped[s] = model->slot[s].nr != 0;
	for (uint32_t c = 0; c < CACHES; c++) {
		member->wish[c] = BUFFER;
		open_cache(model, m, c);
	}
}

static void die(struct model *model, uint32_t m)
{
	struct model_member *member = &model->member[m];

	for (uint32_t c = 0; c < CACHES; c++)
		if (member->cache[c] != NULL)
			abandon(member->cache[c]);
	assert_int_equal(pinion_pool_detach(member->pool), 0);
	member->life = DEAD;
}

/* Nothing is left to do, and nothing is done: not a byte of the control area changes. */
static void recover_again(const struct model *model, uint32_t m,
			  const struct pinion_buffer *transit, uint32_t nr)
{
	const struct pinion_hostmem *control = &model->pool->control;
	struct pinion_recovery report = {77, 77, 77};
	void *before = malloc(control->len);

	assert_non_null(before);
	memcpy(before, control->addr, control->len);
	assert_int_equal(pinion_pool_recover(model->pool, m, transit, nr, &report), 0);
	assert_int_equal(report.transit, nr);
	assert_int_equal(report.returned, 0);
	assert_int_equal(report.magazines, 0);
	assert_memory_equal(control->addr, before, control->len);
	free(before);
}

/* All that is in transit from the dead so far, and half of what this one held. */
static void recover(struct model *model, uint32_t m)
{
	struct pinion_recovery report = {77, 77, 77};
	struct pinion_buffer transit[IDS];
	uint32_t nr = 0, free = 0;

	for (uint32_t id = 0; id < IDS; id++) {
		struct model_buffer *entry = &model->buffer[id];

		if (entry->holder == (int)m)
			entry->transit = below(model, 2);
		if (entry->holder >= 0 && entry->transit)
			transit[nr++] = entry->handle;
	}
	free = held_by(model, (int)m, false);
	assert_int_equal(pinion_pool_recover(model->pool, m, transit, nr, &report), 0);
	assert_int_equal(report.transit, nr);
	assert_int_equal(report.returned, free);
	recover_again(model, m, transit, nr);
	model->member[m].life = RECOVERED;
	for (uint32_t id = 0; id < IDS; id++)
		if (model->buffer[id].holder == (int)m && !model->buffer[id].transit) {
			model_give(model, id);
			model->buffer[id].freer = 0;
		}
}

/* Also of one that was never recovered by itself. */
static void release(struct model *model, uint32_t m)
{
	struct pinion_recovery report = {77, 77, 77};

	assert_int_equal(pinion_pool_release(model->pool, m, &report), 0);
	assert_int_equal(report.returned, held_by(model, (int)m, true));
	for (uint32_t id = 0; id < IDS; id++)
		if (model->buffer[id].holder == (int)m) {
			model_give(model, id);
			model->buffer[id].freer = 0;
		}
	model->member[m].life = ABSENT;
}

static uint32_t lowest_absent(const struct model *model)
{
	uint32_t m = 0;

	while (m < MEMBERS && model->member[m].life != ABSENT)
		m++;
	return m;
}

static void step_life(struct model *model, uint32_t m)
{
	switch (model->member[m].life) {
	case LIVING:
		if (m && below(model, 4) == 0) /* or the living would be too few */
			die(model, m);
		break;
	case DEAD:
		if (below(model, 4))
			recover(model, m);
		else
			release(model, m);
		break;
	case RECOVERED:
		release(model, m);
		break;
	case ABSENT:
		join(model, lowest_absent(model));
		break;
	}
}

/* Segments. */

static void step_grow(struct model *model)
{
	const size_t size = below(model, 3) ? BUFFER : 1024;
	const uint32_t nr = 16 + below(model, 4) * 16;
	const size_t doubled = model->flags & PINION_POOL_DEBUG ? 2 : 1;
	const struct pinion_segment_config config = segment_of(nr * doubled, size);
	uint32_t slot = 77;
	const int err = pinion_pool_grow(model->pool, &config, &slot);

	if (err) {
		assert_int_equal(err, -ENOSPC);
		for (uint32_t s = 0; s < SLOTS; s++)
			assert_true(model->slot[s].used);
		return;
	}
	assert_true(slot < SLOTS && model->slot[slot].nr == 0);
	model->slot[slot] = (struct model_slot){nr, size, true, 0};
	for (uint32_t i = 0; i < MOST; i++)
		model->buffer[slot * MOST + i].freer = 0;
	model->member[0].mapped[slot] = true;
}

static void step_retire(struct model *model)
{
	const uint32_t slot = below(model, SLOTS), held = held_in(model, slot);
	struct model_slot *entry = &model->slot[slot];
	const int err = pinion_pool_retire(model->pool, slot);
	char part[64];

	if (!entry->nr) {
		assert_int_equal(err, -EINVAL);
		return;
	}
	if (!entry->retiring)
		entry->retiring = model->step;
	if (err) {
		assert_int_equal(err, -EBUSY);
		snprintf(part, sizeof(part), ": %u of its %u buffers are held", held, entry->nr);
		assert_sentence(part);
		return;
	}
	assert_int_equal(held, 0);
	entry->nr = 0;
	for (uint32_t m = 0; m < MEMBERS; m++)
		model->member[m].mapped[slot] = false;
}

static void step_pass(struct model *model, uint32_t m)
{
	const uint32_t slot = below(model, SLOTS);
	bool *mapped = &model->member[m].mapped[slot];

	if (!model->slot[slot].nr)
		return;
	assert_int_equal(pass(model->pool, model->member[m].pool, slot), *mapped ? -EEXIST : 0);
	*mapped = true;
}

static void step_quota(struct model *model, uint32_t m)
{
	const uint64_t quota = below(model, 2) ? BUFFER * below(model, 60) + 1 : 0;

	assert_int_equal(pinion_pool_quota(model->pool, m, quota), 0);
	model->member[m].quota = quota;
}

static void step(struct model *model)
{
	const uint32_t m = below(model, MEMBERS), c = below(model, CACHES);
	const uint32_t what = below(model, 1000);
	const bool works = model->member[m].life == LIVING, has = model->member[m].cache[c] != NULL;

	if (what < 10)
		step_life(model, m);
	else if (what < 20)
		step_grow(model);
	else if (what < 26)
		step_retire(model);
	else if (!works)
		return;
	else if (what < 60)
		step_pass(model, m);
	else if (what < 64)
		step_quota(model, m);
	else if (what < 120 || !has)
		step_cache(model, m, c);
	else if (what < 250)
		step_receive(model, m);
	else if (what < 550)
		step_alloc(model, m, c);
	else if (what < 900)
		step_free(model, m, c);
	else
		step_free_bulk(model, m, c);
}

static void compare(struct model *model)
{
	struct pinion_segment_stat stat;

	for (uint32_t m = 0; m < MEMBERS; m++)
		assert_int_equal(pinion_pool_held(model->pool, m), held_by(model, (int)m, true));
	for (uint32_t s = 0; s < SLOTS; s++) {
		const int err = pinion_pool_segment(model->pool, s, &stat);

		assert_int_equal(err, model->slot[s].nr ? 0 : -ENOENT);
		if (err)
			continue;
		assert_int_equal(stat.nr, model->slot[s].nr);
		assert_int_equal(stat.free, model->slot[s].nr - held_in(model, s));
		assert_int_equal(stat.retiring, model->slot[s].retiring != 0);
	}
	assert_pool_sound(model->pool);
}

/* Everybody dies; all that is left is whole, and each segment can go. */
static void finish(struct model *model)
{
	for (uint32_t m = 1; m < MEMBERS; m++) {
		if (model->member[m].life == LIVING)
			die(model, m);
		if (model->member[m].life != ABSENT)
			release(model, m);
	}
	for (uint32_t c = 0; c < CACHES; c++)
		if (model->member[0].cache[c] == NULL) {
			model->member[0].wish[c] = BUFFER;
			if (served(model, &model->member[0], BUFFER))
				open_cache(model, 0, c);
		}
	for (uint32_t id = 0; id < IDS && model->member[0].cache[0] != NULL; id++)
		if (model->buffer[id].holder == 0) {
			give(model->member[0].cache[0], &model->buffer[id].handle, 1);
			model_give(model, id);
		}
	for (uint32_t c = 0; c < CACHES; c++)
		if (model->member[0].cache[c] != NULL)
			assert_int_equal(pinion_cache_close(model->member[0].cache[c]), 0);
	compare(model);
	for (uint32_t s = 0; s < SLOTS; s++)
		if (model->slot[s].nr && !held_in(model, s))
			assert_int_equal(pinion_pool_retire(model->pool, s), 0);
	assert_int_equal(pinion_pool_destroy(model->pool), 0);
}

static void begin(struct model *model, uint32_t flags, uint64_t seed)
{
	const uint32_t nr = flags & PINION_POOL_DEBUG ? 2 * MOST : MOST;
	struct pinion_pool_config config = pool_config(nr, BUFFER);

	config.flags = flags;
	config.nr_members = MEMBERS;
	config.nr_caches = MEMBERS * CACHES;
	config.magazine_size = SIZE;
	config.max_segments = SLOTS;
	*model = (struct model){.flags = flags, .random = seed | 1};
	model->pool = pool_make_from(&config);
	model->slot[0] = (struct model_slot){MOST, BUFFER, true, 0};
	for (uint32_t id = 0; id < IDS; id++)
		model->buffer[id].holder = -1;
	model->member[0].pool = model->pool;
	for (uint32_t m = 0; m < MEMBERS; m++)
		join(model, m);
}

/* Where a failing assertion does not come back, the number of its step is still to be told. */
static struct model now;

static int tell_the_step(void **state)
{
	const int err = pool_test_after(state);

	if (err)
		print_message("# flags %u, step %ju\n", now.flags, (uintmax_t)now.step);
	return err;
}

static void any_sequence_agrees_with_the_model(void **state)
{
	const uint32_t modes[] = {0, PINION_POOL_SCRUB, PINION_POOL_DEBUG, PINION_POOL_FLAGS};
	const uint64_t seed = test_seed();

	(void)state;
	for (int i = 0; i < 4; i++) {
		const uint64_t until = test_now_ns() + MOST_NS;

		begin(&now, modes[i], seed);
		for (now.step = 1; now.step < STEPS && test_now_ns() < until; now.step++) {
			step(&now);
			compare(&now);
		}
		print_message("# flags %u: %ju steps, %ju members; %ju allocations beyond a quota, "
			      "%ju below\n", modes[i], (uintmax_t)now.step,
			      (uintmax_t)now.incarnations, (uintmax_t)now.refused,
			      (uintmax_t)now.bounded);
		assert_true(now.step < STEPS / 10 || (now.refused && now.bounded));
		finish(&now);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_sequence_agrees_with_the_model,
						pool_test_before, tell_the_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
