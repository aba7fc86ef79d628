/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iova.h, held against a model that has one number for each page and searches by looking at all of
 * them. Each operation is tried on every picture that six pages can show; then many of them one
 * after the other on sixty-four. The pages lie at the beginning of the 64 bits, and at their end.
 */

#include <pinion/iova.h>

#include "random_support.h"

#define PAGE UINT64_C(4096)
#define MOST 64 /* pages of a model */
#define FEW 6   /* pages of which every picture is looked at, and how many these are: */
#define PICTURES 1352
#define STEPS 50000
#define ROOM (2 * MOST)
#define SENTINEL UINT64_C(0x5e2711e1)

/* What a page is; from USED on the number of the allocation that has it. */
enum { OUTSIDE, VACANT, USED };

struct model {
	uint64_t base; /* address of the first page */
	uint64_t page_size;
	unsigned nr;
	unsigned allocations; /* ever */
	unsigned page[MOST];
};

static uint64_t start_of(const struct model *model, unsigned page)
{
	return model->base + page * model->page_size;
}

static uint64_t last_of(const struct model *model, unsigned page)
{
	return start_of(model, page) + (model->page_size - 1);
}

static bool ends_at_the_end(const struct model *model)
{
	return last_of(model, model->nr - 1) == UINT64_MAX;
}

static void paint(struct model *model, unsigned from, unsigned nr, unsigned what)
{
	for (unsigned i = from; i < from + nr; i++)
		model->page[i] = what;
}

/* Pages from there on that are alike. */
static unsigned run_of(const struct model *model, unsigned from)
{
	unsigned nr = 1;

	while (from + nr < model->nr && model->page[from + nr] == model->page[from])
		nr++;
	return nr;
}

static unsigned extents_of(const struct model *model)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < model->nr; i += run_of(model, i))
		nr += model->page[i] != OUTSIDE;
	return nr;
}

static bool are_all(const struct model *model, unsigned from, unsigned nr, unsigned what)
{
	for (unsigned i = from; i < from + nr; i++)
		if (model->page[i] != what)
			return false;
	return true;
}

static bool is_any_used(const struct model *model, unsigned from, unsigned nr)
{
	for (unsigned i = from; i < from + nr; i++)
		if (model->page[i] >= USED)
			return true;
	return false;
}

static bool is_any_outside(const struct model *model, unsigned from, unsigned nr)
{
	for (unsigned i = from; i < from + nr; i++)
		if (model->page[i] == OUTSIDE)
			return true;
	return false;
}

/* The calls, as the header describes them. */

static int model_add(struct model *model, unsigned from, unsigned nr)
{
	if (!are_all(model, from, nr, OUTSIDE))
		return -EEXIST;
	paint(model, from, nr, VACANT);
	return 0;
}

static int model_reserve(struct model *model, unsigned from, unsigned nr)
{
	if (is_any_used(model, from, nr))
		return -EBUSY;
	paint(model, from, nr, OUTSIDE);
	return 0;
}

static int model_alloc(struct model *model, unsigned nr, unsigned align, unsigned lowest,
		       unsigned highest, unsigned *at)
{
	for (unsigned i = lowest; i + nr <= highest + 1; i++) {
		if (start_of(model, i) % (align * model->page_size) ||
		    !are_all(model, i, nr, VACANT))
			continue;
		paint(model, i, nr, USED + model->allocations++);
		*at = i;
		return 0;
	}
	return -ENOSPC;
}

static int model_alloc_at(struct model *model, unsigned at, unsigned nr)
{
	if (at + nr > model->nr)
		return ends_at_the_end(model) ? -EINVAL : -ERANGE;
	if (is_any_outside(model, at, nr))
		return -ERANGE;
	if (is_any_used(model, at, nr))
		return -EEXIST;
	paint(model, at, nr, USED + model->allocations++);
	return 0;
}

static int model_free(struct model *model, unsigned at, unsigned nr)
{
	if (model->page[at] < USED || (at && model->page[at - 1] == model->page[at]) ||
	    run_of(model, at) != nr)
		return -EINVAL;
	paint(model, at, nr, VACANT);
	return 0;
}

/* Both. */

struct pair {
	struct model model;
	struct pinion_iova_space space;
	struct pinion_iova_extent extent[ROOM];
};

static void pair_begin(struct pair *pair, unsigned nr, uint64_t page_size, bool at_the_end)
{
	pair->model = (struct model){.page_size = page_size, .nr = nr};
	if (at_the_end)
		pair->model.base = UINT64_MAX - (nr * page_size - 1);
	assert_int_equal(pinion_iova_init(&pair->space, page_size, pair->extent, ROOM), 0);
}

static void pair_copy(struct pair *to, const struct pair *from)
{
	*to = *from;
	to->space.extent = to->extent;
}

/* The array is the model's runs, no more and no less. */
static void check_extents(const struct pair *pair)
{
	const struct model *model = &pair->model;
	unsigned nr = 0;

	for (unsigned i = 0; i < model->nr; i += run_of(model, i)) {
		const struct pinion_iova_extent *extent = &pair->extent[nr];

		if (model->page[i] == OUTSIDE)
			continue;
		assert_true(nr++ < pair->space.nr);
		assert_true(extent->start == start_of(model, i));
		assert_true(extent->last == last_of(model, i + run_of(model, i) - 1));
		assert_true(extent->used == (model->page[i] >= USED));
	}
	assert_true(nr == pair->space.nr);
	assert_true(nr <= pair->space.room);
}

static void check_usage(const struct pair *pair)
{
	const struct model *model = &pair->model;
	struct pinion_iova_usage usage, want = {0};

	for (unsigned i = 0; i < model->nr; i += run_of(model, i)) {
		const uint64_t len = run_of(model, i) * model->page_size;

		want.nr_free += model->page[i] == VACANT;
		want.nr_used += model->page[i] >= USED;
		want.free_len += model->page[i] == VACANT ? len : 0;
		want.used_len += model->page[i] >= USED ? len : 0;
		if (model->page[i] == VACANT && len > want.largest_len)
			want.largest_len = len;
	}
	pinion_iova_stat(&pair->space, &usage);
	assert_memory_equal(&usage, &want, sizeof(usage));
}

static void check_find(const struct pair *pair)
{
	const struct model *model = &pair->model;

	for (unsigned i = 0; i < model->nr; i++) {
		const uint64_t byte = i % 2 ? start_of(model, i) : last_of(model, i);
		struct pinion_iova_extent found = {0};
		const int err = pinion_iova_find(&pair->space, byte, &found);

		assert_int_equal(err, model->page[i] >= USED ? 0 : -ENOENT);
		assert_true(err || (found.used && found.start <= byte && found.last >= byte));
	}
}

enum call { ADD, RESERVE, ALLOC, ALLOC_AT, ALLOC_VA, FREE, CALLS };

/* from and nr in pages; lowest and highest for ALLOC. */
struct step {
	enum call call;
	unsigned from, nr, align, lowest, highest;
};

static int step_model(struct model *model, const struct step *step, unsigned *at)
{
	switch (step->call) {
	case ADD:
		return model_add(model, step->from, step->nr);
	case RESERVE:
		return model_reserve(model, step->from, step->nr);
	case ALLOC:
		return model_alloc(model, step->nr, step->align, step->lowest, step->highest, at);
	case ALLOC_AT:
	case ALLOC_VA:
		return model_alloc_at(model, step->from, step->nr);
	default:
		return model_free(model, step->from, step->nr);
	}
}

static int step_space(struct pinion_iova_space *space, const struct model *model,
		      const struct step *step, uint64_t *iova)
{
	const uint64_t start = start_of(model, step->from), len = step->nr * model->page_size;

	switch (step->call) {
	case ADD:
		return pinion_iova_add(space, start, start + (len - 1));
	case RESERVE:
		return pinion_iova_reserve(space, start, start + (len - 1));
	case ALLOC:
		if (!step->lowest && step->highest == model->nr - 1)
			return pinion_iova_alloc(space, len, step->align * model->page_size, iova);
		return pinion_iova_alloc_within(space, len, step->align * model->page_size,
						start_of(model, step->lowest),
						last_of(model, step->highest), iova);
	case ALLOC_AT:
		return pinion_iova_alloc_at(space, start, len);
	case ALLOC_VA:
		return pinion_iova_alloc_va(space, (void *)(uintptr_t)start, len);
	default:
		return pinion_iova_free(space, start, len);
	}
}

/* The same on both sides; a step that the array has no room for changes neither. */
static int take_step(struct pair *pair, const struct step *step)
{
	struct model after = pair->model;
	uint64_t iova = SENTINEL;
	unsigned at = 0;
	int want = step_model(&after, step, &at), err;

	if (!want && extents_of(&after) > pair->space.room)
		want = -ENOBUFS;
	err = step_space(&pair->space, &pair->model, step, &iova);
	if (err != want)
		print_message("# call %d, page %u, %u pages: %d, not %d\n", step->call, step->from,
			      step->nr, err, want);
	assert_int_equal(err, want);
	if (!err)
		pair->model = after;
	if (!err && step->call == ALLOC)
		assert_true(iova == start_of(&after, at));
	else
		assert_true(iova == SENTINEL);
	check_extents(pair);
	return err;
}

/* Every picture of a few pages. */

/* What the digits of number say, to the base 4: outside, free, the first page of an allocation, a
 * further one. False: no picture, or one of another number already. */
static bool draw(struct pair *pair, unsigned number)
{
	struct model *model = &pair->model;
	unsigned nr = 0;

	for (unsigned i = 0; i < model->nr; i++, number /= 4) {
		const unsigned what = number % 4;

		if (what == 3 && (!i || model->page[i - 1] < USED))
			return false;
		model->page[i] = what == 3 ? model->page[i - 1] : what;
		if (what == 2)
			model->page[i] = USED + model->allocations++;
	}
	for (unsigned i = 0; i < model->nr; i += run_of(model, i))
		if (model->page[i] != OUTSIDE)
			pair->extent[nr++] = (struct pinion_iova_extent){
				start_of(model, i), last_of(model, i + run_of(model, i) - 1),
				model->page[i] >= USED};
	pair->space.nr = nr;
	return true;
}

static void try_step(const struct pair *picture, const struct step *step)
{
	static struct pair pair;

	/* With an array that is full, that has room for one more, and for all. */
	for (size_t room = picture->space.nr; room <= picture->space.nr + 2; room++) {
		pair_copy(&pair, picture);
		pair.space.room = room;
		(void)take_step(&pair, step);
	}
}

static void try_allocs(const struct pair *picture)
{
	struct step step = {.call = ALLOC};

	for (step.nr = 1; step.nr <= FEW; step.nr++)
		for (step.align = 1; step.align <= 8; step.align *= 2)
			for (step.lowest = 0; step.lowest < FEW; step.lowest++)
				for (step.highest = step.lowest; step.highest < FEW; step.highest++)
					try_step(picture, &step);
}

static void try_all(const struct pair *picture)
{
	struct step step = {0};

	check_usage(picture);
	check_find(picture);
	try_allocs(picture);
	for (step.from = 0; step.from < FEW; step.from++) {
		for (step.nr = 1; step.nr <= FEW; step.nr++) {
			for (step.call = ALLOC_AT; step.call < CALLS; step.call++)
				try_step(picture, &step);
			for (step.call = ADD; step.from + step.nr <= FEW && step.call < ALLOC;
			     step.call++)
				try_step(picture, &step);
		}
	}
}

static unsigned try_every_picture(uint64_t page_size, bool at_the_end)
{
	static struct pair pair;
	unsigned nr = 0;

	for (unsigned number = 0; number < 1u << 2 * FEW; number++) {
		pair_begin(&pair, FEW, page_size, at_the_end);
		if (!draw(&pair, number))
			continue;
		try_all(&pair);
		nr++;
	}
	return nr;
}

static void every_call_on_every_picture_of_six_pages_does_what_the_model_does(void **state)
{
	(void)state;
	assert_int_equal(try_every_picture(PAGE, false), PICTURES);
	assert_int_equal(try_every_picture(PAGE, true), PICTURES);
	assert_int_equal(try_every_picture(1, false), PICTURES);
	assert_int_equal(try_every_picture(1, true), PICTURES);
}

/* Any sequence. */

static struct step some_step(uint64_t *random, const struct model *model)
{
	static const enum call calls[] = {ALLOC, ALLOC, ALLOC, ALLOC, ALLOC_AT, ALLOC_VA, FREE,
					  FREE,  FREE,  FREE,  FREE,  FREE,     ADD,      RESERVE};
	struct step step = {
		.call = calls[test_below(random, sizeof(calls) / sizeof(calls[0]))],
		.from = test_below(random, model->nr),
		.align = 1u << test_below(random, 4),
		.highest = model->nr - 1,
	};

	step.nr = 1 + test_below(random, step.call == ALLOC ? 12 : 6);
	if (test_below(random, 2)) {
		step.lowest = test_below(random, model->nr);
		step.highest = step.lowest + test_below(random, model->nr - step.lowest);
	}
	if (step.call <= RESERVE && step.nr > model->nr - step.from)
		step.nr = model->nr - step.from;
	/* Mostly something that can be freed. */
	if (step.call == FREE && test_below(random, 4)) {
		while (step.from && model->page[step.from - 1] == model->page[step.from])
			step.from--;
		step.nr = run_of(model, step.from);
	}
	return step;
}

static void walk(uint64_t *random, bool at_the_end, size_t room)
{
	static struct pair pair;
	unsigned done[CALLS] = {0};

	pair_begin(&pair, MOST, PAGE, at_the_end);
	pair.space.room = room;
	for (unsigned i = 0; i < STEPS; i++) {
		const struct step step = some_step(random, &pair.model);

		done[step.call] += !take_step(&pair, &step);
		if (i % 64)
			continue;
		check_usage(&pair);
		check_find(&pair);
	}
	for (int call = 0; call < CALLS; call++)
		assert_true(done[call] > STEPS / 1000);
}

static void any_sequence_of_calls_does_what_the_model_does(void **state)
{
	uint64_t random = test_seed();

	(void)state;
	walk(&random, false, ROOM);
	walk(&random, true, ROOM);
	walk(&random, true, 11);
}

static void twice_the_allocations_and_the_pieces_are_room_enough(void **state)
{
	uint64_t random = test_seed();
	static struct pair pair;

	(void)state;
	pair_begin(&pair, MOST, PAGE, false);
	for (unsigned i = 0; i < STEPS; i++) {
		const struct step step = some_step(&random, &pair.model);
		struct pinion_iova_usage usage;
		size_t pieces = 0;

		(void)take_step(&pair, &step);
		for (unsigned p = 0; p < MOST; p++)
			pieces += pair.model.page[p] != OUTSIDE &&
				  (!p || pair.model.page[p - 1] == OUTSIDE);
		pinion_iova_stat(&pair.space, &usage);
		assert_true(pair.space.nr <= 2 * usage.nr_used + pieces);
	}
}

/* Each promise by its name. */

static struct pinion_iova_extent extents[16];

/* What a machine of the x86 kind says: 39 bits, and a hole for interrupts. */
static struct pinion_iova_space machine(void)
{
	struct pinion_iova_space space;

	assert_int_equal(pinion_iova_init(&space, PAGE, extents, 16), 0);
	assert_int_equal(pinion_iova_add(&space, 0, 0xfedfffff), 0);
	assert_int_equal(pinion_iova_add(&space, 0xfef00000, 0x7fffffffff), 0);
	return space;
}

/* All of the 64 bits. */
static struct pinion_iova_space whole(void)
{
	struct pinion_iova_space space;

	assert_int_equal(pinion_iova_init(&space, PAGE, extents, 16), 0);
	assert_int_equal(pinion_iova_add(&space, 0, UINT64_MAX), 0);
	return space;
}

static uint64_t alloc(struct pinion_iova_space *space, uint64_t len, uint64_t align)
{
	uint64_t iova = SENTINEL;

	assert_int_equal(pinion_iova_alloc(space, len, align, &iova), 0);
	return iova;
}

static void an_address_that_was_freed_is_used_again(void **state)
{
	struct pinion_iova_space space = machine();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		const uint64_t one = alloc(&space, 3 * PAGE, 0), two = alloc(&space, PAGE, 0);

		assert_true(one == 0 && two == 3 * PAGE);
		assert_int_equal(pinion_iova_free(&space, one, 3 * PAGE), 0);
		assert_true(alloc(&space, 2 * PAGE, 0) == 0);
		assert_int_equal(pinion_iova_free(&space, two, PAGE), 0);
		assert_int_equal(pinion_iova_free(&space, 0, 2 * PAGE), 0);
		assert_int_equal(space.nr, 2);
	}
}

static void freed_neighbours_become_one_whatever_the_order(void **state)
{
	static const unsigned orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
					     {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		struct pinion_iova_space space;
		uint64_t iova;

		assert_int_equal(pinion_iova_init(&space, PAGE, extents, 16), 0);
		assert_int_equal(pinion_iova_add(&space, PAGE, 4 * PAGE - 1), 0);
		for (unsigned p = 0; p < 3; p++)
			assert_true(alloc(&space, PAGE, 0) == (p + 1) * PAGE);
		assert_int_equal(pinion_iova_alloc(&space, PAGE, 0, &iova), -ENOSPC);
		for (int n = 0; n < 3; n++)
			assert_int_equal(pinion_iova_free(&space, orders[i][n] * PAGE, PAGE), 0);
		assert_true(alloc(&space, 3 * PAGE, 0) == PAGE);
	}
}

static void a_double_or_foreign_free_is_einval_and_changes_nothing(void **state)
{
	struct pinion_iova_space space = machine();
	const uint64_t one = alloc(&space, 4 * PAGE, 0), two = alloc(&space, 4 * PAGE, 0);
	struct pinion_iova_extent before[16];

	(void)state;
	assert_int_equal(pinion_iova_free(&space, two, 4 * PAGE), 0);
	memcpy(before, extents, sizeof(before));
	assert_int_equal(pinion_iova_free(&space, two, 4 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one, 3 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one, 5 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one, 0), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one, UINT64_MAX), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one + PAGE, 3 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one + 1, 4 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, 0xfee00000, PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, UINT64_MAX, PAGE), -EINVAL);
	assert_memory_equal(before, extents, sizeof(before));
	assert_int_equal(pinion_iova_free(&space, one, 4 * PAGE), 0);
}

static void two_allocations_side_by_side_stay_two(void **state)
{
	struct pinion_iova_space space = machine();
	const uint64_t one = alloc(&space, PAGE, 0), two = alloc(&space, PAGE, 0);

	(void)state;
	assert_true(two == one + PAGE);
	assert_int_equal(pinion_iova_free(&space, one, 2 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_free(&space, one, PAGE), 0);
	assert_int_equal(pinion_iova_free(&space, two, PAGE), 0);
}

static void an_alignment_may_be_larger_than_the_length(void **state)
{
	struct pinion_iova_space space = machine();
	uint64_t iova = SENTINEL;

	(void)state;
	assert_int_equal(pinion_iova_reserve(&space, 0, 0), 0);
	assert_true(alloc(&space, PAGE, UINT64_C(1) << 30) == UINT64_C(1) << 30);
	/* The gap before it is not lost. */
	assert_true(alloc(&space, PAGE, 0) == PAGE);
	assert_true(alloc(&space, PAGE, UINT64_C(1) << 38) == UINT64_C(1) << 38);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, UINT64_C(1) << 39, &iova), -ENOSPC);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, UINT64_C(1) << 63, &iova), -ENOSPC);
	assert_true(iova == SENTINEL);
}

static void what_is_no_page_or_no_power_of_two_is_einval(void **state)
{
	struct pinion_iova_space space = machine(), other;
	uint64_t iova = SENTINEL;

	(void)state;
	assert_int_equal(pinion_iova_init(&other, 0, extents, 16), -EINVAL);
	assert_int_equal(pinion_iova_init(&other, 4097, extents, 16), -EINVAL);
	assert_int_equal(pinion_iova_alloc(&space, 0, 0, &iova), -EINVAL);
	assert_int_equal(pinion_iova_alloc(&space, 4095, 0, &iova), -EINVAL);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, 3 * PAGE, &iova), -EINVAL);
	assert_int_equal(pinion_iova_alloc_within(&space, PAGE, 0, 1, 0, &iova), -EINVAL);
	assert_int_equal(pinion_iova_alloc_at(&space, 1, PAGE), -EINVAL);
	assert_int_equal(pinion_iova_alloc_at(&space, PAGE, 1), -EINVAL);
	assert_int_equal(pinion_iova_alloc_at(&space, PAGE, 0), -EINVAL);
	assert_int_equal(pinion_iova_alloc_at(&space, UINT64_MAX - 4095, 2 * PAGE), -EINVAL);
	assert_int_equal(pinion_iova_add(&space, 2, 1), -EINVAL);
	assert_int_equal(pinion_iova_reserve(&space, 2, 1), -EINVAL);
	assert_true(iova == SENTINEL);
	assert_int_equal(space.nr, 2);
}

static void nothing_is_allocated_outside_the_ranges(void **state)
{
	struct pinion_iova_space space = machine();
	uint64_t iova;

	(void)state;
	/* From end to end of both ranges, and no more. */
	assert_true(alloc(&space, 0xfee00000, 0) == 0);
	assert_true(alloc(&space, 0x8000000000 - 0xfef00000, 0) == 0xfef00000);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, 0, &iova), -ENOSPC);
	assert_int_equal(pinion_iova_free(&space, 0, 0xfee00000), 0);
	/* What would fit if there were no hole does not. */
	assert_int_equal(pinion_iova_alloc(&space, 0xfee01000, 0, &iova), -ENOSPC);
}

static void ranges_are_cut_to_whole_pages(void **state)
{
	struct pinion_iova_space space;

	(void)state;
	assert_int_equal(pinion_iova_init(&space, PAGE, extents, 16), 0);
	assert_int_equal(pinion_iova_add(&space, 1, 4095), 0);
	assert_int_equal(pinion_iova_add(&space, 1, 8190), 0);
	assert_int_equal(pinion_iova_add(&space, UINT64_MAX - 4094, UINT64_MAX), 0);
	assert_int_equal(pinion_iova_add(&space, 0, 4094), 0);
	assert_int_equal(space.nr, 0);
	assert_int_equal(pinion_iova_add(&space, 1, 12290), 0);
	assert_int_equal(space.nr, 1);
	assert_true(extents[0].start == 4096 && extents[0].last == 12287);
}

static void a_range_that_is_there_already_is_eexist(void **state)
{
	struct pinion_iova_space space = machine();

	(void)state;
	assert_int_equal(pinion_iova_add(&space, 0xfed00000, 0xfeefffff), -EEXIST);
	assert_int_equal(pinion_iova_add(&space, 0, UINT64_MAX), -EEXIST);
	assert_int_equal(space.nr, 2);
	assert_int_equal(pinion_iova_add(&space, 0xfee00000, 0xfeefffff), 0);
	assert_int_equal(space.nr, 1);
}

static void reserved_regions_may_reach_across_the_ends_of_ranges(void **state)
{
	struct pinion_iova_space space = machine();
	uint64_t iova;

	(void)state;
	/* Both ranges lose some, the hole between is no matter. */
	assert_int_equal(pinion_iova_reserve(&space, 0xfe000000, 0x1ffffffff), 0);
	/* Beyond the end of the last one, and outside of all. */
	assert_int_equal(pinion_iova_reserve(&space, 0x7ffffff000, UINT64_MAX), 0);
	assert_int_equal(pinion_iova_reserve(&space, UINT64_C(1) << 40, UINT64_C(1) << 41), 0);
	assert_int_equal(space.nr, 2);
	assert_true(extents[0].start == 0 && extents[0].last == 0xfdffffff);
	assert_true(extents[1].start == 0x200000000 && extents[1].last == 0x7fffffefff);
	/* In the middle, and of each of two pages a byte. */
	assert_int_equal(pinion_iova_reserve(&space, 0x1fff, 0x2000), 0);
	assert_int_equal(space.nr, 3);
	assert_true(extents[0].last == 0xfff && extents[1].start == 0x3000);
	/* A whole range. */
	assert_int_equal(pinion_iova_reserve(&space, 0, 0x1ffffffff), 0);
	assert_int_equal(space.nr, 1);
	assert_int_equal(pinion_iova_reserve(&space, 0, UINT64_MAX), 0);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, 0, &iova), -ENOSPC);
}

static void what_is_allocated_cannot_be_reserved(void **state)
{
	struct pinion_iova_space space = machine();

	(void)state;
	assert_int_equal(pinion_iova_alloc_at(&space, 0x10000, PAGE), 0);
	assert_int_equal(pinion_iova_reserve(&space, 0, UINT64_MAX), -EBUSY);
	assert_int_equal(pinion_iova_reserve(&space, 0x10fff, 0x10fff), -EBUSY);
	assert_int_equal(pinion_iova_free(&space, 0x10000, PAGE), 0);
	assert_int_equal(pinion_iova_reserve(&space, 0x10fff, 0x10fff), 0);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x10000, PAGE), -ERANGE);
}

static void a_fixed_address_is_refused_where_it_is_reserved_or_taken(void **state)
{
	struct pinion_iova_space space = machine();

	(void)state;
	assert_int_equal(pinion_iova_alloc_at(&space, 0xfee00000, PAGE), -ERANGE);
	assert_int_equal(pinion_iova_alloc_at(&space, 0xfedff000, 2 * PAGE), -ERANGE);
	assert_int_equal(pinion_iova_alloc_at(&space, 0xfeeff000, 2 * PAGE), -ERANGE);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x8000000000, PAGE), -ERANGE);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x7ffffff000, PAGE), 0);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x7ffffff000, PAGE), -EEXIST);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x7fffffe000, 2 * PAGE), -EEXIST);
	/* Both: what no free would help is said. */
	assert_int_equal(pinion_iova_alloc_at(&space, 0x7ffffff000, 2 * PAGE), -ERANGE);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x7fffffe000, PAGE), 0);
}

static void a_pointer_is_a_bus_address_where_the_iommu_reaches(void **state)
{
	struct pinion_iova_space wide, narrow;
	struct pinion_iova_extent other[16];
	/* Where the kernel puts memory, and where nobody minds: below 39 bits. */
	void *there = aligned_alloc(PAGE, 2 * PAGE), *low = (void *)0x4000000000;

	(void)state;
	assert_non_null(there);
	narrow = machine();
	assert_int_equal(pinion_iova_alloc_va(&narrow, low, 2 * PAGE), 0);
	assert_int_equal(pinion_iova_alloc_va(&narrow, (char *)low + PAGE, PAGE), -EEXIST);
	assert_int_equal(pinion_iova_alloc_va(&narrow, (char *)low + 1, PAGE), -EINVAL);
	if ((uintptr_t)there >> 39)
		assert_int_equal(pinion_iova_alloc_va(&narrow, there, 2 * PAGE), -ERANGE);
	assert_int_equal(pinion_iova_init(&wide, PAGE, other, 16), 0);
	assert_int_equal(pinion_iova_add(&wide, 0, UINT64_MAX), 0);
	assert_int_equal(pinion_iova_alloc_va(&wide, there, 2 * PAGE), 0);
	assert_int_equal(pinion_iova_free(&wide, (uintptr_t)there, 2 * PAGE), 0);
	free(there);
}

static void a_limit_keeps_addresses_below_32_bits(void **state)
{
	struct pinion_iova_space space = machine();
	uint64_t iova;

	(void)state;
	/* Below the limit there are the first range and 17 MiB of the second. */
	assert_true(alloc(&space, 0xfee00000, 0) == 0);
	assert_int_equal(pinion_iova_alloc_within(&space, 0x1100000, 0, 0, UINT32_MAX, &iova), 0);
	assert_true(iova == 0xfef00000);
	assert_int_equal(pinion_iova_alloc_within(&space, PAGE, 0, 0, UINT32_MAX, &iova), -ENOSPC);
	assert_int_equal(pinion_iova_alloc_within(&space, PAGE, 0, UINT32_MAX, UINT64_MAX, &iova),
			 0);
	assert_true(iova == UINT64_C(1) << 32);
}

static void the_last_page_of_64_bits_can_be_had(void **state)
{
	struct pinion_iova_space space = whole();
	const uint64_t end = UINT64_MAX - 4095;
	struct pinion_iova_usage usage;
	uint64_t iova = SENTINEL;

	(void)state;
	assert_int_equal(pinion_iova_alloc_within(&space, PAGE, 0, end, UINT64_MAX, &iova), 0);
	assert_true(iova == end);
	assert_int_equal(pinion_iova_alloc_within(&space, PAGE, 0, end, UINT64_MAX, &iova),
			 -ENOSPC);
	/* No alignment leads past the end to an address that is small again. */
	assert_int_equal(pinion_iova_alloc_within(&space, PAGE, UINT64_C(1) << 63,
						  (UINT64_C(1) << 63) + 1, UINT64_MAX, &iova),
			 -ENOSPC);
	assert_int_equal(pinion_iova_free(&space, end, PAGE), 0);
	assert_int_equal(pinion_iova_alloc_at(&space, end, PAGE), 0);
	assert_int_equal(pinion_iova_free(&space, end, PAGE), 0);
	/* The longest that a length can say. */
	assert_true(alloc(&space, end, 0) == 0);
	assert_true(alloc(&space, PAGE, 0) == end);
	pinion_iova_stat(&space, &usage);
	assert_true(usage.used_len == UINT64_MAX && usage.free_len == 0 && usage.nr_used == 2);
	assert_int_equal(pinion_iova_free(&space, 0, end), 0);
	assert_int_equal(pinion_iova_free(&space, end, PAGE), 0);
	pinion_iova_stat(&space, &usage);
	assert_true(usage.free_len == UINT64_MAX && usage.largest_len == UINT64_MAX);
	assert_int_equal(usage.nr_free, 1);
}

static void what_is_free_in_pieces_is_told(void **state)
{
	struct pinion_iova_space space;
	struct pinion_iova_usage usage;
	uint64_t iova;

	(void)state;
	assert_int_equal(pinion_iova_init(&space, PAGE, extents, 16), 0);
	assert_int_equal(pinion_iova_add(&space, 0, 5 * PAGE - 1), 0);
	assert_int_equal(pinion_iova_alloc_at(&space, PAGE, PAGE), 0);
	assert_int_equal(pinion_iova_alloc(&space, 4 * PAGE, 0, &iova), -ENOSPC);
	pinion_iova_stat(&space, &usage);
	assert_true(usage.free_len == 4 * PAGE && usage.largest_len == 3 * PAGE);
	assert_true(alloc(&space, usage.largest_len, 0) == 2 * PAGE);
}

static void a_full_array_is_enobufs_and_a_larger_one_goes_on(void **state)
{
	struct pinion_iova_extent few[3], more[8];
	struct pinion_iova_space space;
	uint64_t iova = SENTINEL;

	(void)state;
	assert_int_equal(pinion_iova_init(&space, PAGE, NULL, 0), 0);
	assert_int_equal(pinion_iova_add(&space, 0, 0xffff), -ENOBUFS);
	assert_int_equal(pinion_iova_reserve(&space, 0, 0xffff), 0);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, 0, &iova), -ENOSPC);
	assert_int_equal(pinion_iova_move(&space, few, 3), 0);
	assert_int_equal(pinion_iova_add(&space, 0, 0xffff), 0);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x4000, PAGE), 0);
	assert_int_equal(pinion_iova_alloc_at(&space, 0x6000, PAGE), -ENOBUFS);
	assert_int_equal(pinion_iova_reserve(&space, 0x6000, 0x6000), -ENOBUFS);
	assert_int_equal(pinion_iova_alloc(&space, PAGE, 0, &iova), -ENOBUFS);
	assert_true(iova == SENTINEL);
	assert_int_equal(pinion_iova_move(&space, more, 2), -ENOBUFS);
	assert_int_equal(pinion_iova_move(&space, more, 8), 0);
	memset(few, 0xee, sizeof(few));
	assert_int_equal(pinion_iova_alloc_at(&space, 0x6000, PAGE), 0);
	assert_int_equal(pinion_iova_free(&space, 0x4000, PAGE), 0);
	assert_int_equal(pinion_iova_free(&space, 0x6000, PAGE), 0);
	assert_int_equal(space.nr, 1);
}

static void the_address_of_a_fault_leads_to_its_allocation(void **state)
{
	struct pinion_iova_space space = machine();
	struct pinion_iova_extent found = {0};

	(void)state;
	assert_int_equal(pinion_iova_alloc_at(&space, 0x10000, 4 * PAGE), 0);
	assert_int_equal(pinion_iova_find(&space, 0x12345, &found), 0);
	assert_true(found.start == 0x10000 && found.last == 0x13fff);
	assert_int_equal(pinion_iova_find(&space, 0xffff, &found), -ENOENT);
	assert_int_equal(pinion_iova_find(&space, 0x14000, &found), -ENOENT);
	assert_int_equal(pinion_iova_find(&space, 0xfee00000, &found), -ENOENT);
	assert_int_equal(pinion_iova_find(&space, UINT64_MAX, &found), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(every_call_on_every_picture_of_six_pages_does_what_the_model_does),
		support_test(any_sequence_of_calls_does_what_the_model_does),
		support_test(twice_the_allocations_and_the_pieces_are_room_enough),
		support_test(an_address_that_was_freed_is_used_again),
		support_test(freed_neighbours_become_one_whatever_the_order),
		support_test(a_double_or_foreign_free_is_einval_and_changes_nothing),
		support_test(two_allocations_side_by_side_stay_two),
		support_test(an_alignment_may_be_larger_than_the_length),
		support_test(what_is_no_page_or_no_power_of_two_is_einval),
		support_test(nothing_is_allocated_outside_the_ranges),
		support_test(ranges_are_cut_to_whole_pages),
		support_test(a_range_that_is_there_already_is_eexist),
		support_test(reserved_regions_may_reach_across_the_ends_of_ranges),
		support_test(what_is_allocated_cannot_be_reserved),
		support_test(a_fixed_address_is_refused_where_it_is_reserved_or_taken),
		support_test(a_pointer_is_a_bus_address_where_the_iommu_reaches),
		support_test(a_limit_keeps_addresses_below_32_bits),
		support_test(the_last_page_of_64_bits_can_be_had),
		support_test(what_is_free_in_pieces_is_told),
		support_test(a_full_array_is_enobufs_and_a_larger_one_goes_on),
		support_test(the_address_of_a_fault_leads_to_its_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
