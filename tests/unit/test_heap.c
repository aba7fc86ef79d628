/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * heap.h, held against a model that has one number for each granule, and for each its bus address,
 * and searches by looking at all of them. Then each promise by its name, and tables of senders that
 * lie.
 */

#include <pinion/heap.h>

#include "random_support.h"

#define GRANULE UINT64_C(64)
#define SEGMENTS 4
#define MOST 96 /* granules of a segment */
#define ROOM (2 * SEGMENTS * MOST)
#define STEPS 40000
#define SENTINEL UINT64_C(0x5e2711e1)

struct model_segment {
	uint64_t start; /* offset in the heap */
	unsigned nr, page; /* granules: all, and of a page */
	uint64_t bus[MOST];
	unsigned owner[MOST]; /* number of its allocation, or 0 */
};

struct model {
	struct model_segment segment[SEGMENTS];
	unsigned allocations; /* ever */
};

struct pair {
	struct model model;
	struct pinion_heap heap;
	struct pinion_heap_segment segment[SEGMENTS];
	struct pinion_iova_extent extent[ROOM];
	uint64_t page[SEGMENTS][MOST];
};

/* Do two granules, one behind the other, lie as place wants it? */
static bool may_follow(const struct model_segment *segment, unsigned at,
		       enum pinion_heap_place place)
{
	if (place == PINION_HEAP_ANYWHERE || at / segment->page == (at + 1) / segment->page)
		return true;
	return place == PINION_HEAP_CONTIGUOUS && segment->bus[at] != PINION_HEAP_NOWHERE &&
	       segment->bus[at] + GRANULE == segment->bus[at + 1];
}

/* Are nr granules in the segment, mine or free, and as place wants it? */
static bool model_fits(const struct model_segment *segment, unsigned at, unsigned nr,
		       enum pinion_heap_place place, unsigned mine)
{
	if (at + nr > segment->nr)
		return false;
	for (unsigned i = at; i < at + nr; i++)
		if ((segment->owner[i] && segment->owner[i] != mine) ||
		    (i + 1 < at + nr && !may_follow(segment, i, place)))
			return false;
	return true;
}

static void paint(struct model_segment *segment, unsigned at, unsigned nr, unsigned owner)
{
	for (unsigned i = at; i < at + nr; i++)
		segment->owner[i] = owner;
}

static int model_alloc(struct model *model, unsigned nr, uint64_t align,
		       enum pinion_heap_place place, uint64_t *off)
{
	for (unsigned s = 0; s < SEGMENTS; s++) {
		struct model_segment *segment = &model->segment[s];

		for (unsigned at = 0; at < segment->nr; at++) {
			*off = segment->start + at * GRANULE;
			if (align > segment->page * GRANULE || *off % align ||
			    !model_fits(segment, at, nr, place, 0))
				continue;
			paint(segment, at, nr, ++model->allocations);
			return 0;
		}
	}
	return -ENOSPC;
}

/* Length in granules of the allocation that begins there, or 0. */
static unsigned begins(const struct model_segment *segment, unsigned at)
{
	unsigned nr = 0;

	if (!segment->owner[at] || (at && segment->owner[at - 1] == segment->owner[at]))
		return 0;
	while (at + nr < segment->nr && segment->owner[at + nr] == segment->owner[at])
		nr++;
	return nr;
}

static int model_free(struct model_segment *segment, unsigned at)
{
	const unsigned nr = begins(segment, at);

	if (!nr)
		return -EINVAL;
	paint(segment, at, nr, 0);
	return 0;
}

static int model_resize(struct model_segment *segment, unsigned at, unsigned nr,
			enum pinion_heap_place place)
{
	const unsigned was = begins(segment, at), mine = segment->owner[at];

	if (!was)
		return -EINVAL;
	/* Shorter, it lies as well as before. */
	if (nr > was && !model_fits(segment, at, nr, place, mine))
		return -ENOSPC;
	paint(segment, at, was, 0);
	paint(segment, at, nr, mine);
	return 0;
}

/* Bus addresses of a segment: by pages of which about half touch, linear, or none. */
static void tell_bus(struct pair *pair, size_t s, uint64_t *random)
{
	struct model_segment *segment = &pair->model.segment[s];
	const uint64_t size = segment->page * GRANULE, base = (s + 1) << 40;
	const unsigned kind = test_below(random, 3);

	for (unsigned i = 0; i < segment->nr; i++)
		segment->bus[i] = kind == 2 ? PINION_HEAP_NOWHERE : base + i * GRANULE;
	if (kind == 1)
		assert_int_equal(pinion_heap_set_linear(&pair->heap, s, base), 0);
	if (kind)
		return;
	for (unsigned p = 0; p < segment->nr / segment->page; p++) {
		pair->page[s][p] = test_below(random, 2) && p ? pair->page[s][p - 1] + size
							       : base + (p + 1) * (size << 20);
		for (unsigned i = 0; i < segment->page; i++)
			segment->bus[p * segment->page + i] = pair->page[s][p] + i * GRANULE;
	}
	assert_int_equal(pinion_heap_set_pages(&pair->heap, s, pair->page[s]), 0);
}

static void pair_begin(struct pair *pair, uint64_t *random)
{
	memset(pair, 0, sizeof(*pair));
	assert_int_equal(pinion_heap_init(&pair->heap, GRANULE, pair->segment, SEGMENTS,
					  pair->extent, ROOM), 0);
	for (size_t s = 0; s < SEGMENTS; s++) {
		struct model_segment *segment = &pair->model.segment[s];
		size_t index = SIZE_MAX;

		segment->page = 1u << test_below(random, 5);
		segment->nr = segment->page * (1 + test_below(random, MOST / 16));
		assert_int_equal(pinion_heap_add(&pair->heap, segment->nr * GRANULE,
						 segment->page * GRANULE, &index), 0);
		assert_int_equal(index, s);
		segment->start = pair->segment[s].start;
		assert_true(segment->start && segment->start % (segment->page * GRANULE) == 0);
		tell_bus(pair, s, random);
	}
}

static void step_alloc(struct pair *pair, uint64_t *random)
{
	/* Mostly small; a few bytes less than granules. */
	const unsigned nr = 1 + test_below(random, test_below(random, 4) ? 6 : 40);
	const uint64_t len = nr * GRANULE - test_below(random, (uint32_t)GRANULE);
	const uint64_t align = test_below(random, 2) ? 0 : UINT64_C(1) << test_below(random, 12);
	const enum pinion_heap_place place = (enum pinion_heap_place)test_below(random, 3);
	uint64_t off = SENTINEL, want = SENTINEL;
	const int err = pinion_heap_alloc(&pair->heap, len, align, place, &off);

	assert_int_equal(err, model_alloc(&pair->model, nr, align < GRANULE ? GRANULE : align,
					  place, &want));
	assert_true(off == (err ? SENTINEL : want));
}

/* Where an allocation begins, mostly. */
static unsigned some_granule(const struct model_segment *segment, uint64_t *random)
{
	unsigned at = test_below(random, segment->nr);

	while (test_below(random, 8) && at && segment->owner[at] == segment->owner[at - 1])
		at--;
	return at;
}

static void step_free(struct pair *pair, uint64_t *random)
{
	struct model_segment *segment = &pair->model.segment[test_below(random, SEGMENTS)];
	const unsigned at = some_granule(segment, random);
	const unsigned byte = test_below(random, 16) ? 0 : 1;
	const int want = byte ? -EINVAL : model_free(segment, at);

	assert_int_equal(pinion_heap_free(&pair->heap, segment->start + at * GRANULE + byte), want);
}

static void step_resize(struct pair *pair, uint64_t *random)
{
	struct model_segment *segment = &pair->model.segment[test_below(random, SEGMENTS)];
	const unsigned at = some_granule(segment, random), nr = 1 + test_below(random, 12);
	const enum pinion_heap_place place = (enum pinion_heap_place)test_below(random, 3);

	assert_int_equal(pinion_heap_resize(&pair->heap, segment->start + at * GRANULE,
					    nr * GRANULE, place),
			 model_resize(segment, at, nr, place));
}

/* Bytes from one granule on that are at the following bus addresses, at most len. */
static uint64_t run_of(const struct model_segment *segment, unsigned at, uint64_t in, uint64_t len)
{
	uint64_t run = GRANULE - in;

	while (run < len && may_follow(segment, at, PINION_HEAP_CONTIGUOUS)) {
		run += GRANULE;
		at++;
	}
	return run < len ? run : len;
}

static void step_look(const struct pair *pair, uint64_t *random)
{
	const unsigned s = test_below(random, SEGMENTS);
	const struct model_segment *segment = &pair->model.segment[s];
	const unsigned at = test_below(random, segment->nr);
	const uint64_t in = test_below(random, (uint32_t)GRANULE), off = at * GRANULE + in;
	const uint64_t len = 1 + test_below(random, 2 * MOST * (uint32_t)GRANULE);
	const bool inside = off + len <= segment->nr * GRANULE;
	struct pinion_heap_spot spot = {.run = SENTINEL};
	uint64_t back = SENTINEL;

	assert_int_equal(pinion_heap_locate(&pair->heap, segment->start + off, len, &spot),
			 inside ? 0 : -ERANGE);
	assert_int_equal(pinion_heap_offset(&pair->heap, s, off, &back), 0);
	assert_true(back == segment->start + off);
	if (!inside) {
		assert_true(spot.run == SENTINEL);
		return;
	}
	assert_true(spot.segment == s && spot.off == off);
	assert_true(spot.run == run_of(segment, at, in, len));
	if (segment->bus[at] == PINION_HEAP_NOWHERE) {
		assert_true(spot.bus == PINION_HEAP_NOWHERE);
		return;
	}
	assert_true(spot.bus == segment->bus[at] + in);
	assert_int_equal(pinion_heap_from_bus(&pair->heap, spot.bus, &back), 0);
	assert_true(back == segment->start + off);
}

/* The account is the model's, granule for granule, with no extent more than there are runs. */
static void check_account(const struct pair *pair)
{
	size_t runs = 0;

	for (unsigned s = 0; s < SEGMENTS; s++) {
		const struct model_segment *segment = &pair->model.segment[s];

		for (unsigned i = 0; i < segment->nr; i++) {
			const uint64_t off = segment->start + i * GRANULE;
			uint64_t start = 0, len = 0;
			const int err = pinion_heap_find(&pair->heap, off + 1, &start, &len);
			const unsigned nr = begins(segment, i);

			runs += !i || segment->owner[i] != segment->owner[i - 1];
			assert_int_equal(err, segment->owner[i] ? 0 : -ENOENT);
			assert_true(!nr || (start == off && len == nr * GRANULE));
		}
	}
	assert_true(runs == pair->heap.space.nr);
}

static void any_sequence_of_calls_does_what_the_model_does(void **state)
{
	uint64_t random = test_seed();
	static struct pair pair;

	(void)state;
	for (unsigned i = 0; i < STEPS; i++) {
		if (i % 500 == 0)
			pair_begin(&pair, &random);
		switch (test_below(&random, 8)) {
		case 0:
		case 1:
		case 2:
			step_alloc(&pair, &random);
			break;
		case 3:
		case 4:
			step_free(&pair, &random);
			break;
		case 5:
			step_resize(&pair, &random);
			break;
		default:
			step_look(&pair, &random);
		}
		if (i % 16 == 0)
			check_account(&pair);
	}
}

/* Each promise by its name. */

#define PAGE UINT64_C(4096)

static struct pinion_heap_segment segments[SEGMENTS];
static struct pinion_iova_extent extents[64];

/* Two segments: four pages of 4 KiB, two of 64 KiB. */
static struct pinion_heap two(void)
{
	struct pinion_heap heap;
	size_t index = SIZE_MAX;

	assert_int_equal(pinion_heap_init(&heap, GRANULE, segments, SEGMENTS, extents, 64), 0);
	assert_int_equal(pinion_heap_add(&heap, 4 * PAGE, PAGE, &index), 0);
	assert_int_equal(index, 0);
	assert_int_equal(pinion_heap_add(&heap, 32 * PAGE, 16 * PAGE, &index), 0);
	assert_int_equal(index, 1);
	return heap;
}

static uint64_t alloc(struct pinion_heap *heap, uint64_t len, enum pinion_heap_place place)
{
	uint64_t off = 0;

	assert_int_equal(pinion_heap_alloc(heap, len, 0, place, &off), 0);
	return off;
}

static void offset_0_is_nobodys(void **state)
{
	struct pinion_heap heap = two();
	struct pinion_heap_spot spot = {0};
	uint64_t start = 0, len = 0;

	(void)state;
	assert_true(alloc(&heap, 1, PINION_HEAP_ANYWHERE) > 0);
	assert_int_equal(pinion_heap_locate(&heap, 0, 1, &spot), -ERANGE);
	assert_int_equal(pinion_heap_find(&heap, 0, &start, &len), -ENOENT);
	assert_int_equal(pinion_heap_free(&heap, 0), -EINVAL);
}

static void nothing_lies_in_two_segments(void **state)
{
	struct pinion_heap heap = two();
	struct pinion_heap_spot spot = {0};
	uint64_t off;

	(void)state;
	assert_int_equal(pinion_heap_alloc(&heap, 32 * PAGE + 1, 0, PINION_HEAP_ANYWHERE, &off),
			 -ENOSPC);
	off = alloc(&heap, 32 * PAGE, PINION_HEAP_ANYWHERE);
	assert_true(off == segments[1].start);
	/* Between them there is a gap that no offset leads into, nor across. */
	assert_int_equal(pinion_heap_locate(&heap, segments[0].start + 4 * PAGE - 1, 1, &spot), 0);
	assert_int_equal(pinion_heap_locate(&heap, segments[0].start + 4 * PAGE - 1, 2, &spot),
			 -ERANGE);
	assert_int_equal(pinion_heap_locate(&heap, segments[0].start + 4 * PAGE, 1, &spot),
			 -ERANGE);
	assert_int_equal(pinion_heap_locate(&heap, segments[1].start - 1, 1, &spot), -ERANGE);
	assert_int_equal(pinion_heap_locate(&heap, off + 32 * PAGE, 1, &spot), -ERANGE);
	assert_int_equal(pinion_heap_locate(&heap, UINT64_MAX, 1, &spot), -ERANGE);
	assert_int_equal(pinion_heap_locate(&heap, off, UINT64_MAX, &spot), -ERANGE);
	assert_int_equal(pinion_heap_locate(&heap, off, 0, &spot), -EINVAL);
	assert_int_equal(pinion_heap_offset(&heap, 0, 4 * PAGE, &off), -ERANGE);
	assert_int_equal(pinion_heap_offset(&heap, 2, 0, &off), -ERANGE);
}

static void in_page_does_not_straddle(void **state)
{
	struct pinion_heap heap = two();
	uint64_t off;

	(void)state;
	off = alloc(&heap, 3000, PINION_HEAP_IN_PAGE);
	assert_true(off == segments[0].start);
	/* What is left of the page is too short, and not lost. */
	assert_true(alloc(&heap, 3000, PINION_HEAP_IN_PAGE) == off + PAGE);
	assert_true(alloc(&heap, 1024, PINION_HEAP_IN_PAGE) == off + 3008);
	/* More than a page of the first segment, not of the second. */
	assert_true(alloc(&heap, PAGE + 1, PINION_HEAP_IN_PAGE) == segments[1].start);
	assert_int_equal(pinion_heap_alloc(&heap, 16 * PAGE + 1, 0, PINION_HEAP_IN_PAGE, &off),
			 -ENOSPC);
}

static void contiguous_crosses_only_where_pages_touch(void **state)
{
	const uint64_t page[] = {7 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE};
	struct pinion_heap heap = two();
	struct pinion_heap_spot spot = {0};
	uint64_t off;

	(void)state;
	/* Nothing is known as yet: as in one page, and so the other segment has it. */
	off = alloc(&heap, 2 * PAGE, PINION_HEAP_CONTIGUOUS);
	assert_true(off == segments[1].start);
	assert_int_equal(pinion_heap_free(&heap, off), 0);
	assert_int_equal(pinion_heap_set_pages(&heap, 0, page), 0);
	off = alloc(&heap, 3 * PAGE, PINION_HEAP_CONTIGUOUS);
	assert_true(off == segments[0].start + PAGE);
	assert_int_equal(pinion_heap_locate(&heap, off, 3 * PAGE, &spot), 0);
	assert_true(spot.bus == 3 * PAGE && spot.run == 3 * PAGE);
	assert_int_equal(pinion_heap_locate(&heap, off - 1, 3 * PAGE, &spot), 0);
	assert_true(spot.bus == 8 * PAGE - 1 && spot.run == 1);
	assert_int_equal(pinion_heap_locate(&heap, off - PAGE, PAGE + 1, &spot), 0);
	assert_true(spot.bus == 7 * PAGE && spot.run == PAGE);
	assert_int_equal(pinion_heap_alloc(&heap, 17 * PAGE, 0, PINION_HEAP_CONTIGUOUS, &off),
			 -ENOSPC);
	/* Behind an IOMMU all of it is. */
	assert_int_equal(pinion_heap_set_linear(&heap, 1, UINT64_C(1) << 39), 0);
	off = alloc(&heap, 32 * PAGE, PINION_HEAP_CONTIGUOUS);
	assert_int_equal(pinion_heap_locate(&heap, off + 5, 20 * PAGE, &spot), 0);
	assert_true(spot.bus == (UINT64_C(1) << 39) + 5 && spot.run == 20 * PAGE);
}

static void alignment_is_of_offset_and_bus_address(void **state)
{
	struct pinion_heap heap = two();

	(void)state;
	assert_int_equal(pinion_heap_set_linear(&heap, 1, 48 * PAGE), 0);
	for (uint64_t align = 1; align <= 32 * PAGE; align *= 2) {
		struct pinion_heap_spot spot = {0};
		uint64_t one = 0, next = 0, off = SENTINEL;
		const int err = pinion_heap_alloc(&heap, 1, align, PINION_HEAP_ANYWHERE, &one);

		assert_int_equal(err, align <= 16 * PAGE ? 0 : -ENOSPC);
		if (err)
			continue;
		assert_int_equal(pinion_heap_alloc(&heap, 1, align, PINION_HEAP_ANYWHERE, &next),
				 0);
		assert_true(one % align == 0 && next % align == 0);
		assert_int_equal(pinion_heap_locate(&heap, next, 1, &spot), 0);
		assert_true(spot.bus == PINION_HEAP_NOWHERE || spot.bus % align == 0);
		assert_int_equal(pinion_heap_alloc(&heap, 1, align + 1, PINION_HEAP_ANYWHERE, &off),
				 align == 1 ? 0 : -EINVAL);
		if (align == 1)
			assert_int_equal(pinion_heap_free(&heap, off), 0);
		assert_int_equal(pinion_heap_free(&heap, one), 0);
		assert_int_equal(pinion_heap_free(&heap, next), 0);
	}
}

static void a_wrong_or_second_free_is_einval_and_changes_nothing(void **state)
{
	struct pinion_heap heap = two();
	const uint64_t one = alloc(&heap, 100, PINION_HEAP_ANYWHERE);
	const uint64_t next = alloc(&heap, 100, PINION_HEAP_ANYWHERE);
	struct pinion_iova_extent before[64];

	(void)state;
	assert_int_equal(pinion_heap_free(&heap, next), 0);
	memcpy(before, extents, sizeof(before));
	assert_int_equal(pinion_heap_free(&heap, next), -EINVAL);
	assert_int_equal(pinion_heap_free(&heap, one + 1), -EINVAL);
	assert_int_equal(pinion_heap_free(&heap, one + GRANULE), -EINVAL);
	assert_int_equal(pinion_heap_free(&heap, one - 1), -EINVAL);
	assert_int_equal(pinion_heap_free(&heap, UINT64_MAX), -EINVAL);
	assert_memory_equal(before, extents, sizeof(before));
	assert_int_equal(pinion_heap_free(&heap, one), 0);
	assert_int_equal(heap.space.nr, 2);
}

static void what_was_freed_in_pieces_is_one_again(void **state)
{
	struct pinion_heap heap = two();
	uint64_t off[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		off[i] = alloc(&heap, PAGE / 2, PINION_HEAP_IN_PAGE);
	for (int i = 0; i < 8; i += 2)
		assert_int_equal(pinion_heap_free(&heap, off[i]), 0);
	/* Half is free, and no page of it. */
	assert_true(alloc(&heap, PAGE, PINION_HEAP_IN_PAGE) == segments[1].start);
	for (int i = 1; i < 8; i += 2)
		assert_int_equal(pinion_heap_free(&heap, off[i]), 0);
	assert_true(alloc(&heap, 4 * PAGE, PINION_HEAP_ANYWHERE) == segments[0].start);
}

static void a_resize_stays_where_it_is_or_changes_nothing(void **state)
{
	struct pinion_heap heap = two();
	const uint64_t one = alloc(&heap, PAGE / 2, PINION_HEAP_IN_PAGE);
	const uint64_t next = alloc(&heap, GRANULE, PINION_HEAP_IN_PAGE);
	uint64_t start = 0, len = 0;

	(void)state;
	assert_int_equal(pinion_heap_resize(&heap, one, PAGE / 2 + 1, PINION_HEAP_IN_PAGE),
			 -ENOSPC);
	assert_int_equal(pinion_heap_resize(&heap, one, 100, PINION_HEAP_IN_PAGE), 0);
	assert_int_equal(pinion_heap_find(&heap, one + 127, &start, &len), 0);
	assert_true(start == one && len == 128);
	assert_int_equal(pinion_heap_find(&heap, one + 128, &start, &len), -ENOENT);
	assert_int_equal(pinion_heap_free(&heap, next), 0);
	assert_int_equal(pinion_heap_resize(&heap, one, PAGE, PINION_HEAP_IN_PAGE), 0);
	assert_int_equal(pinion_heap_resize(&heap, one, PAGE + 1, PINION_HEAP_IN_PAGE), -ENOSPC);
	assert_int_equal(pinion_heap_resize(&heap, one, PAGE + 1, PINION_HEAP_CONTIGUOUS), -ENOSPC);
	assert_int_equal(pinion_heap_resize(&heap, one, 4 * PAGE, PINION_HEAP_ANYWHERE), 0);
	assert_int_equal(pinion_heap_resize(&heap, one, 4 * PAGE + 1, PINION_HEAP_ANYWHERE),
			 -ENOSPC);
	assert_int_equal(pinion_heap_resize(&heap, one, UINT64_MAX, PINION_HEAP_ANYWHERE), -ENOSPC);
	assert_int_equal(pinion_heap_resize(&heap, one, 0, PINION_HEAP_ANYWHERE), -EINVAL);
	assert_int_equal(pinion_heap_resize(&heap, one + 64, 64, PINION_HEAP_ANYWHERE), -EINVAL);
	assert_int_equal(pinion_heap_resize(&heap, 0, 64, PINION_HEAP_ANYWHERE), -EINVAL);
	assert_int_equal(pinion_heap_find(&heap, one, &start, &len), 0);
	assert_true(len == 4 * PAGE);
}

static void full_arrays_are_enobufs_and_change_nothing(void **state)
{
	struct pinion_iova_extent few[2], more[8];
	struct pinion_heap heap;
	uint64_t off = SENTINEL, one;
	size_t index = 7;

	(void)state;
	assert_int_equal(pinion_heap_init(&heap, GRANULE, segments, 1, NULL, 0), 0);
	assert_int_equal(pinion_heap_add(&heap, PAGE, PAGE, &index), -ENOBUFS);
	assert_int_equal(heap.nr, 0);
	assert_int_equal(pinion_iova_move(&heap.space, few, 2), 0);
	assert_int_equal(pinion_heap_add(&heap, PAGE, PAGE, &index), 0);
	assert_int_equal(pinion_heap_add(&heap, PAGE, PAGE, &index), -ENOBUFS);
	assert_int_equal(index, 0);
	one = alloc(&heap, 128, PINION_HEAP_ANYWHERE);
	assert_int_equal(pinion_heap_alloc(&heap, 64, 1024, PINION_HEAP_ANYWHERE, &off), -ENOBUFS);
	assert_true(off == SENTINEL);
	/* The rest is taken, so that to give some back needs an extent more. */
	off = alloc(&heap, PAGE - 128, PINION_HEAP_ANYWHERE);
	assert_int_equal(pinion_heap_resize(&heap, one, 64, PINION_HEAP_ANYWHERE), -ENOBUFS);
	assert_int_equal(pinion_iova_move(&heap.space, more, 8), 0);
	assert_int_equal(pinion_heap_resize(&heap, one, 64, PINION_HEAP_ANYWHERE), 0);
	assert_int_equal(pinion_heap_free(&heap, off), 0);
	assert_int_equal(pinion_heap_free(&heap, one), 0);
}

static void sizes_that_cannot_be_are_einval(void **state)
{
	struct pinion_heap heap;
	uint64_t off = SENTINEL;
	size_t index = 7;

	(void)state;
	assert_int_equal(pinion_heap_init(&heap, 0, segments, 1, extents, 64), -EINVAL);
	assert_int_equal(pinion_heap_init(&heap, 48, segments, 1, extents, 64), -EINVAL);
	heap = two();
	assert_int_equal(pinion_heap_add(&heap, 0, PAGE, &index), -EINVAL);
	assert_int_equal(pinion_heap_add(&heap, PAGE, 0, &index), -EINVAL);
	assert_int_equal(pinion_heap_add(&heap, PAGE + 64, PAGE, &index), -EINVAL);
	assert_int_equal(pinion_heap_add(&heap, 3 * PAGE, 3 * PAGE, &index), -EINVAL);
	assert_int_equal(pinion_heap_add(&heap, 32, 32, &index), -EINVAL);
	assert_int_equal(pinion_heap_add(&heap, UINT64_C(1) << 63, UINT64_C(1) << 63, &index),
			 -ERANGE);
	assert_int_equal(pinion_heap_add(&heap, -PAGE, PAGE, &index), -ERANGE);
	assert_int_equal(heap.nr, 2);
	assert_int_equal(pinion_heap_alloc(&heap, 0, 0, PINION_HEAP_ANYWHERE, &off), -EINVAL);
	assert_int_equal(pinion_heap_alloc(&heap, 1, 3, PINION_HEAP_ANYWHERE, &off), -EINVAL);
	assert_int_equal(pinion_heap_alloc(&heap, 1, 0, (enum pinion_heap_place)3, &off), -EINVAL);
	assert_int_equal(pinion_heap_alloc(&heap, UINT64_MAX, 0, PINION_HEAP_ANYWHERE, &off),
			 -ENOSPC);
	assert_true(off == SENTINEL && index == 7);
}

static void bus_addresses_that_cannot_be_are_refused(void **state)
{
	const uint64_t page[] = {PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE + 1};
	const uint64_t end[] = {-PAGE, PAGE, 2 * PAGE, 3 * PAGE};
	struct pinion_heap heap = two();
	uint64_t off = SENTINEL;

	(void)state;
	assert_int_equal(pinion_heap_set_pages(&heap, 2, page), -ERANGE);
	assert_int_equal(pinion_heap_set_pages(&heap, 0, page), -EINVAL);
	assert_int_equal(pinion_heap_set_pages(&heap, 0, end), -EINVAL);
	assert_int_equal(pinion_heap_set_linear(&heap, SIZE_MAX, 0), -ERANGE);
	assert_int_equal(pinion_heap_set_linear(&heap, 1, PAGE), -EINVAL);
	assert_int_equal(pinion_heap_set_linear(&heap, 1, -(16 * PAGE)), -EINVAL);
	assert_int_equal(pinion_heap_set_linear(&heap, 1, PINION_HEAP_NOWHERE), -EINVAL);
	assert_int_equal(pinion_heap_from_bus(&heap, PAGE, &off), -ENOENT);
	assert_int_equal(pinion_heap_from_bus(&heap, UINT64_MAX, &off), -ENOENT);
	assert_int_equal(pinion_heap_set_linear(&heap, 1, 0), 0);
	assert_int_equal(pinion_heap_from_bus(&heap, 32 * PAGE, &off), -ENOENT);
	assert_int_equal(pinion_heap_from_bus(&heap, 32 * PAGE - 1, &off), 0);
	assert_true(off == segments[1].start + 32 * PAGE - 1);
}

static void the_walk_meets_each_segment_once(void **state)
{
	struct pinion_heap heap = two(), none;
	const struct pinion_heap_segment *segment = NULL;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_ptr_equal(segment = pinion_heap_next(&heap, segment), &segments[i]);
	assert_null(pinion_heap_next(&heap, segment));
	assert_int_equal(pinion_heap_init(&none, 1, NULL, 0, NULL, 0), 0);
	assert_null(pinion_heap_next(&none, NULL));
}

/* Tables. */

#define WORDS 14 /* of the table of told() */

static const uint64_t told_page[] = {7 * PAGE, 3 * PAGE, 4 * PAGE, 5 * PAGE};

static struct pinion_heap told(void)
{
	struct pinion_heap heap = two();

	assert_int_equal(pinion_heap_set_pages(&heap, 0, told_page), 0);
	assert_int_equal(pinion_heap_set_linear(&heap, 1, UINT64_C(1) << 39), 0);
	return heap;
}

/* What a table makes of a heap. */
struct peer {
	struct pinion_heap heap;
	struct pinion_heap_segment segment[SEGMENTS];
};

static int unpack(struct peer *peer, const void *table, size_t len)
{
	assert_int_equal(pinion_heap_init(&peer->heap, 1, peer->segment, SEGMENTS, NULL, 0), 0);
	return pinion_heap_unpack(&peer->heap, table, len);
}

static void a_table_has_all_segments_and_bus_addresses_only_if_asked(void **state)
{
	struct pinion_heap heap = told();
	uint64_t table[WORDS], off;
	struct peer peer;

	(void)state;
	for (int with_bus = 0; with_bus < 2; with_bus++) {
		const size_t len = pinion_heap_packed_len(&heap, with_bus);

		assert_int_equal(len, (with_bus ? WORDS : WORDS - 4) * sizeof(table[0]));
		assert_int_equal(pinion_heap_pack(&heap, with_bus, table, len - 1), -ENOBUFS);
		assert_int_equal(pinion_heap_pack(&heap, with_bus, table, len), 0);
		assert_int_equal(unpack(&peer, table, len), 0);
		assert_int_equal(peer.heap.nr, 2);
		for (off = 0; off < 100 * PAGE; off += 1000) {
			struct pinion_heap_spot mine = {0}, theirs = {0};
			const int err = pinion_heap_locate(&heap, off, 5000, &mine);

			assert_int_equal(pinion_heap_locate(&peer.heap, off, 5000, &theirs), err);
			assert_true(mine.segment == theirs.segment && mine.off == theirs.off);
			if (with_bus)
				assert_true(mine.bus == theirs.bus && mine.run == theirs.run);
			else
				assert_true(err || theirs.bus == PINION_HEAP_NOWHERE);
		}
		/* To look at, and no more. */
		assert_int_equal(pinion_heap_alloc(&peer.heap, 1, 0, PINION_HEAP_ANYWHERE, &off),
				 -ENOSPC);
		assert_int_equal(pinion_heap_unpack(&peer.heap, table, len), -EEXIST);
	}
}

/* Whatever was accepted, no sum goes past the end, segments do not overlap, and each look-up stays
 * in them and comes to an end. */
static void check_sane(const struct peer *peer)
{
	const struct pinion_heap_segment *segment = NULL;
	uint64_t end = 0, off = 0;

	while ((segment = pinion_heap_next(&peer->heap, segment)) != NULL) {
		struct pinion_heap_spot spot = {0};

		assert_true(segment->start > end && segment->len > 0);
		assert_true(segment->start % segment->page_size == 0);
		end = segment->start + segment->len;
		assert_true(end > segment->start);
		assert_int_equal(pinion_heap_locate(&peer->heap, end - 1, 1, &spot), 0);
		assert_int_equal(pinion_heap_locate(&peer->heap, end - 1, 2, &spot), -ERANGE);
		assert_int_equal(
			pinion_heap_locate(&peer->heap, segment->start, segment->len, &spot), 0);
		assert_true(spot.run >= 1 && spot.run <= segment->len);
		assert_true(spot.bus == PINION_HEAP_NOWHERE ||
			    spot.bus <= UINT64_MAX - (spot.run - 1));
		(void)pinion_heap_from_bus(&peer->heap, spot.bus, &off);
	}
}

/* In a block of its own length: a sanitizer sees a read past its end. */
static int unpack_exactly(struct peer *peer, const uint64_t *table, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);
	int err;

	assert_non_null(copy);
	memcpy(copy, table, len);
	err = unpack(peer, copy, len);
	if (!err)
		check_sane(peer);
	else
		assert_int_equal(peer->heap.nr, 0);
	free(copy);
	return err;
}

static void a_table_that_is_cut_or_longer_is_ebadmsg(void **state)
{
	uint64_t table[WORDS + 1] = {0};
	struct pinion_heap heap = told();
	struct peer peer;

	(void)state;
	assert_int_equal(pinion_heap_pack(&heap, true, table, sizeof(table)), 0);
	for (size_t len = 0; len <= sizeof(table); len++)
		assert_int_equal(unpack_exactly(&peer, table, len),
				 len == WORDS * sizeof(table[0]) ? 0 : -EBADMSG);
}

static void a_table_that_lies_is_refused_or_harmless(void **state)
{
	static const uint64_t lies[] = {
		0, 1, 2, 3, 4, 5, 8, 63, 4095, 4096, 4097, UINT32_MAX, UINT64_C(1) << 32,
		UINT64_C(1) << 61, (UINT64_C(1) << 61) - 1, UINT64_C(1) << 62, INT64_MAX,
		UINT64_C(1) << 63, UINT64_MAX - 4095, UINT64_MAX - 1, UINT64_MAX,
	};
	const size_t nr = sizeof(lies) / sizeof(lies[0]);
	struct pinion_heap heap = told();
	uint64_t table[WORDS], sound[WORDS];
	unsigned refused = 0;
	struct peer peer;

	(void)state;
	assert_int_equal(pinion_heap_pack(&heap, true, sound, sizeof(sound)), 0);
	/* Each two words, each pair of lies. */
	for (size_t i = 0; i < WORDS * WORDS; i++) {
		for (size_t lie = 0; lie < nr * nr; lie++) {
			memcpy(table, sound, sizeof(table));
			table[i / WORDS] = lies[lie / nr];
			table[i % WORDS] = lies[lie % nr];
			refused += unpack_exactly(&peer, table, sizeof(table)) != 0;
		}
	}
	assert_true(refused > WORDS * WORDS * nr * nr / 2);
	for (size_t bit = 0; bit < 8 * sizeof(table); bit++) {
		memcpy(table, sound, sizeof(table));
		table[bit / 64] ^= UINT64_C(1) << bit % 64;
		(void)unpack_exactly(&peer, table, sizeof(table));
	}
}

static void a_table_of_too_many_segments_is_told_apart(void **state)
{
	struct pinion_heap heap = told();
	struct pinion_heap_segment one[1];
	uint64_t table[WORDS];
	struct pinion_heap peer;

	(void)state;
	assert_int_equal(pinion_heap_pack(&heap, true, table, sizeof(table)), 0);
	assert_int_equal(pinion_heap_init(&peer, 1, one, 1, NULL, 0), 0);
	assert_int_equal(pinion_heap_unpack(&peer, table, sizeof(table)), -ENOBUFS);
	/* A linear segment that has pages as well, or pages that are not all. */
	table[4] = PAGE;
	assert_int_equal(unpack_exactly(&(struct peer){0}, table, sizeof(table)), -EBADMSG);
	assert_int_equal(pinion_heap_pack(&heap, true, table, sizeof(table)), 0);
	table[5] = 3;
	assert_int_equal(unpack_exactly(&(struct peer){0}, table, sizeof(table) - 8), -EBADMSG);
}

/* As long as 64 bits allow, in the smallest pages: a look-up does not count them. */
static void a_giant_segment_is_looked_up_at_once(void **state)
{
	const uint64_t table[] = {PINION_HEAP_MAGIC, 1, UINT64_C(1) << 62, 1, 0, 0};
	struct pinion_heap_spot spot = {0};
	struct peer peer;

	(void)state;
	assert_int_equal(unpack(&peer, table, sizeof(table)), 0);
	assert_int_equal(pinion_heap_locate(&peer.heap, 1, UINT64_C(1) << 62, &spot), 0);
	assert_true(spot.run == UINT64_C(1) << 62 && spot.bus == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(any_sequence_of_calls_does_what_the_model_does),
		support_test(offset_0_is_nobodys),
		support_test(nothing_lies_in_two_segments),
		support_test(in_page_does_not_straddle),
		support_test(contiguous_crosses_only_where_pages_touch),
		support_test(alignment_is_of_offset_and_bus_address),
		support_test(a_wrong_or_second_free_is_einval_and_changes_nothing),
		support_test(what_was_freed_in_pieces_is_one_again),
		support_test(a_resize_stays_where_it_is_or_changes_nothing),
		support_test(full_arrays_are_enobufs_and_change_nothing),
		support_test(sizes_that_cannot_be_are_einval),
		support_test(bus_addresses_that_cannot_be_are_refused),
		support_test(the_walk_meets_each_segment_once),
		support_test(a_table_has_all_segments_and_bus_addresses_only_if_asked),
		support_test(a_table_that_is_cut_or_longer_is_ebadmsg),
		support_test(a_table_that_lies_is_refused_or_harmless),
		support_test(a_table_of_too_many_segments_is_told_apart),
		support_test(a_giant_segment_is_looked_up_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
