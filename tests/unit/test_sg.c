/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sg.h and prp.h over domains made by hand, so that pages lie where a test wants them, and against
 * a reference that looks at every byte by itself.
 */
#include <stdbool.h>

#include <pinion/prp.h>

#include "pool_support.h"

#define SEGMENT_SHIFT 4u
#define IDS 64u
#define PAGE_SHIFT 12u
#define PAGE (UINT32_C(1) << PAGE_SHIFT)
#define BASE UINT64_C(0x40000000)

static struct {
	struct pinion_domain_head head;
	_Atomic uint64_t bus[IDS];
} made;
static uint64_t page[4][64];

static const struct pinion_domain *domain = (const struct pinion_domain *)(const void *)made.bus;

static void nothing_known(enum pinion_domain_kind kind)
{
	memset(&made, 0, sizeof(made));
	made.head.kind = kind;
	made.head.segment_shift = SEGMENT_SHIFT;
	made.head.linear = UINT32_MAX;
	for (uint32_t id = 0; id < IDS; id++)
		made.bus[id] = PINION_BUS_UNKNOWN;
}

/* All 16 buffers of a segment, one behind the other from @bus. */
static void add_iova(uint32_t segment, uint8_t shift, uint64_t bus)
{
	for (uint64_t i = 0; i < 1u << SEGMENT_SHIFT; i++)
		made.bus[(segment << SEGMENT_SHIFT) + i] = bus + (i << shift);
}

/* The same by the pages of page[segment]. */
static void add_phys(uint32_t segment, uint8_t shift)
{
	struct pinion_domain_segment *to = &made.head.segment[segment];

	to->page = page[segment];
	to->shift = shift;
	to->page_shift = PAGE_SHIFT;
	if (shift > PAGE_SHIFT)
		made.head.linear = PAGE - 1;
	for (uint64_t i = 0; i < 1u << SEGMENT_SHIFT; i++) {
		uint64_t at = i << shift;

		made.bus[(segment << SEGMENT_SHIFT) + i] = page[segment][at >> PAGE_SHIFT] +
							   at % PAGE;
	}
}

static struct pinion_piece piece_of(uint32_t segment, uint32_t i, uint32_t off, uint32_t len)
{
	struct pinion_piece piece = {
		pinion_buffer_make((segment << SEGMENT_SHIFT) + i, 7), off, len};

	return piece;
}

static void extent_is(struct pinion_sg *sg, uint64_t bus, uint64_t len)
{
	struct pinion_extent extent = {0, 0};

	assert_int_equal(pinion_sg_next(sg, &extent), 1);
	assert_int_equal(extent.bus, bus);
	assert_int_equal(extent.len, len);
}

static void ends(struct pinion_sg *sg)
{
	struct pinion_extent extent;

	assert_int_equal(pinion_sg_next(sg, &extent), 0);
	assert_int_equal(pinion_sg_next(sg, &extent), 0);
}

static void through_an_iommu_neighbours_are_one_extent(void **state)
{
	struct pinion_piece piece[] = {piece_of(1, 2, 0, 65536), piece_of(1, 3, 0, 65536),
				       piece_of(1, 4, 0, 100)};
	struct pinion_sg sg;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(1, 16, BASE);
	pinion_sg_begin(&sg, domain, piece, 3);
	extent_is(&sg, BASE + 2 * 65536, 2 * 65536 + 100);
	ends(&sg);
}

/* What is merged is what follows on the bus, whatever segment it is of. */
static void segments_that_touch_are_one_extent(void **state)
{
	struct pinion_piece piece[] = {piece_of(0, 15, 0, 4096), piece_of(1, 0, 0, 4096)};
	struct pinion_sg sg;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 12, BASE);
	add_iova(1, 12, BASE + 16 * 4096);
	pinion_sg_begin(&sg, domain, piece, 2);
	extent_is(&sg, BASE + 15 * 4096, 8192);
	ends(&sg);
}

static void a_gap_ends_an_extent(void **state)
{
	struct pinion_piece piece[] = {piece_of(0, 1, 0, 4095), piece_of(0, 2, 0, 10),
				       piece_of(0, 1, 0, 10)};
	struct pinion_sg sg;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 12, BASE);
	pinion_sg_begin(&sg, domain, piece, 3);
	extent_is(&sg, BASE + 4096, 4095);
	extent_is(&sg, BASE + 2 * 4096, 10);
	extent_is(&sg, BASE + 4096, 10);
	ends(&sg);
}

static void pages_that_follow_are_merged_and_others_not(void **state)
{
	struct pinion_piece piece = piece_of(0, 0, 100, 4 * PAGE - 200);
	struct pinion_sg sg;

	(void)state;
	nothing_known(PINION_DOMAIN_PHYS);
	page[0][0] = 0x10000;
	page[0][1] = 0x11000;
	page[0][2] = 0x40000;
	page[0][3] = 0x20000;
	add_phys(0, PAGE_SHIFT + 2);
	pinion_sg_begin(&sg, domain, &piece, 1);
	extent_is(&sg, 0x10000 + 100, 2 * PAGE - 100);
	extent_is(&sg, 0x40000, PAGE);
	extent_is(&sg, 0x20000, PAGE - 100);
	ends(&sg);
}

static void empty_pieces_are_passed_over(void **state)
{
	struct pinion_piece piece[] = {piece_of(0, 9, 0, 0), piece_of(0, 1, 0, 8),
				       piece_of(0, 9, 0, 0), piece_of(0, 1, 8, 8),
				       piece_of(0, 9, 0, 0)};
	struct pinion_sg sg;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 12, BASE);
	pinion_sg_begin(&sg, domain, piece, 5);
	extent_is(&sg, BASE + 4096, 16);
	ends(&sg);
	pinion_sg_begin(&sg, domain, piece, 1);
	ends(&sg);
	pinion_sg_begin(&sg, domain, piece, 0);
	ends(&sg);
}

static void an_unknown_segment_is_enxio(void **state)
{
	struct pinion_piece piece[] = {piece_of(0, 1, 0, 8), piece_of(2, 1, 0, 8)};
	struct pinion_extent extent;
	struct pinion_sg sg;
	struct pinion_prp prp;
	uint64_t entry;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 12, BASE);
	pinion_sg_begin(&sg, domain, piece, 2);
	assert_int_equal(pinion_sg_next(&sg, &extent), -ENXIO);
	pinion_prp_begin(&prp, domain, &piece[1], 1, 12);
	assert_int_equal(pinion_prp_next(&prp, &entry), -ENXIO);
	assert_int_equal(pinion_prp_count(domain, piece, 2, 12), -ENXIO);
}

/* Random. */

/* Where byte @at of a segment lies, without any of the code under test. */
static uint64_t byte_bus(uint32_t segment, uint64_t at)
{
	return page[segment][at / PAGE] + at % PAGE;
}

struct reference {
	struct pinion_extent extent[4096];
	uint32_t nr;
};

static void reference_add(struct reference *to, const struct pinion_piece *piece, uint8_t shift)
{
	uint32_t id = pinion_buffer_id(piece->buffer), segment = id >> SEGMENT_SHIFT;
	uint64_t first = (uint64_t)(id % (1u << SEGMENT_SHIFT)) << shift;

	for (uint32_t i = 0; i < piece->len; i++) {
		uint64_t bus = byte_bus(segment, first + piece->off + i);
		struct pinion_extent *last = to->nr ? &to->extent[to->nr - 1] : NULL;

		if (last && last->bus + last->len == bus)
			last->len++;
		else
			to->extent[to->nr++] = (struct pinion_extent){bus, 1};
	}
}

/* Few frames, so that neighbours are frequent, forwards and backwards. */
static void shuffle_pages(uint64_t *random)
{
	for (uint32_t s = 0; s < 4; s++)
		for (uint32_t i = 0; i < 64; i++)
			page[s][i] = i && test_below(random, 2) ?
					     page[s][i - 1] + PAGE :
					     (uint64_t)(1 + test_below(random, 256)) * PAGE;
}

static uint32_t random_pieces(uint64_t *random, const uint8_t *shift, struct pinion_piece *piece,
			      struct reference *want)
{
	uint32_t nr = test_below(random, 6);

	want->nr = 0;
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t segment = test_below(random, 4), size = 1u << shift[segment];
		uint32_t off = test_below(random, 3) ? 0 : test_below(random, size);
		uint32_t len = test_below(random, 2) ? size - off
						     : test_below(random, size - off + 1);

		piece[i] = piece_of(segment, test_below(random, 16), off, len);
		reference_add(want, &piece[i],
			      shift[pinion_buffer_id(piece[i].buffer) >> SEGMENT_SHIFT]);
	}
	return nr;
}

/* What the controller would make of the entries: whole pages, but for the first and the last. */
static void prp_agrees(const struct pinion_piece *piece, uint32_t nr, const struct reference *want)
{
	const uint64_t mask = PAGE - 1;
	struct pinion_prp prp;
	uint64_t entry = 0;
	int64_t count = 0;
	int more = 0;

	pinion_prp_begin(&prp, domain, piece, nr, PAGE_SHIFT);
	for (uint32_t i = 0; i < want->nr; i++) {
		const struct pinion_extent *extent = &want->extent[i];
		bool fits = i ? !(extent->bus & mask) : !(extent->bus & 3);

		if (i)
			fits &= !((extent[-1].bus + extent[-1].len) & mask);
		for (uint64_t at = extent->bus, end = at + extent->len; at < end;
		     at = (at | mask) + 1) {
			more = pinion_prp_next(&prp, &entry);
			assert_int_equal(more, fits ? 1 : -EINVAL);
			if (!fits) {
				assert_int_equal(pinion_prp_count(domain, piece, nr, PAGE_SHIFT),
						 -EINVAL);
				return;
			}
			assert_int_equal(entry, at);
			count++;
		}
	}
	assert_int_equal(pinion_prp_next(&prp, &entry), 0);
	assert_int_equal(pinion_prp_count(domain, piece, nr, PAGE_SHIFT), count);
}

static void random_pieces_agree_with_every_byte(void **state)
{
	static struct reference want;
	uint8_t shift[4] = {PAGE_SHIFT + 2, PAGE_SHIFT, 8, PAGE_SHIFT + 1};
	struct pinion_piece piece[8];
	uint64_t random = test_seed();

	(void)state;
	for (int turn = 0; turn < 2000; turn++) {
		struct pinion_sg sg;
		uint32_t nr;

		nothing_known(PINION_DOMAIN_PHYS);
		shuffle_pages(&random);
		for (uint32_t s = 0; s < 4; s++)
			add_phys(s, shift[s]);
		nr = random_pieces(&random, shift, piece, &want);
		pinion_sg_begin(&sg, domain, piece, nr);
		for (uint32_t i = 0; i < want.nr; i++)
			extent_is(&sg, want.extent[i].bus, want.extent[i].len);
		ends(&sg);
		prp_agrees(piece, nr, &want);
	}
}

/* PRP. */

static void entries_are(const struct pinion_piece *piece, uint32_t nr, uint8_t shift,
			const uint64_t *want, int64_t nr_want)
{
	struct pinion_prp prp;
	uint64_t entry = 0;

	assert_int_equal(pinion_prp_count(domain, piece, nr, shift), nr_want);
	pinion_prp_begin(&prp, domain, piece, nr, shift);
	for (int64_t i = 0; i < nr_want; i++) {
		assert_int_equal(pinion_prp_next(&prp, &entry), 1);
		assert_int_equal(entry, want[i]);
	}
	assert_int_equal(pinion_prp_next(&prp, &entry), 0);
}

static void only_the_first_entry_may_have_an_offset(void **state)
{
	const struct pinion_piece piece[] = {piece_of(0, 1, 512, 65536 - 512),
					     piece_of(0, 5, 0, 16384 + 4)};
	const uint64_t want[] = {BASE + 65536 + 512,	   BASE + 65536 + 16384,
				 BASE + 65536 + 2 * 16384, BASE + 65536 + 3 * 16384,
				 BASE + 5 * 65536,	   BASE + 5 * 65536 + 16384};

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 16, BASE);
	entries_are(piece, 2, 14, want, 6); /* CC.MPS of 2: pages of 16 KiB */
}

static void gaps_are_einval(void **state)
{
	/* From within a page; after a page that is not full; a start at no multiple of 4. */
	const struct pinion_piece inside[] = {piece_of(0, 1, 0, 4096), piece_of(0, 3, 64, 100)};
	const struct pinion_piece after[] = {piece_of(0, 1, 0, 4092), piece_of(0, 3, 0, 100)};
	const struct pinion_piece odd = piece_of(0, 1, 2, 100);
	const uint64_t none = 0;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 12, BASE);
	assert_int_equal(pinion_prp_count(domain, inside, 2, 12), -EINVAL);
	assert_int_equal(pinion_prp_count(domain, after, 2, 12), -EINVAL);
	assert_int_equal(pinion_prp_count(domain, &odd, 1, 12), -EINVAL);
	entries_are(NULL, 0, 12, &none, 0);
}

/* Two halves of a page from different buffers are one entry if they are neighbours. */
static void pieces_of_one_page_are_one_entry(void **state)
{
	const struct pinion_piece piece[] = {piece_of(0, 2, 0, 2048), piece_of(0, 3, 0, 2048)};
	const uint64_t want = BASE + 4096;

	(void)state;
	nothing_known(PINION_DOMAIN_IOVA);
	add_iova(0, 11, BASE);
	entries_are(piece, 2, 12, &want, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(through_an_iommu_neighbours_are_one_extent),
		support_test(segments_that_touch_are_one_extent),
		support_test(a_gap_ends_an_extent),
		support_test(pages_that_follow_are_merged_and_others_not),
		support_test(empty_pieces_are_passed_over),
		support_test(an_unknown_segment_is_enxio),
		support_test(random_pieces_agree_with_every_byte),
		support_test(only_the_first_entry_may_have_an_offset),
		support_test(gaps_are_einval),
		support_test(pieces_of_one_page_are_one_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
