/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains of physical addresses that somebody else says: here a second member of the pool, in this
 * very process. With the service and without privilege: ../proc/test_service_frames.c.
 */

#include "domain_support.h"
#include "slot.h"

static void nothing(void)
{
}

/* Who is asked: sees @pool. */
struct teller {
	struct pinion_pool *pool;
	int open_err, ask_err;
	uint64_t segments;       /* that were asked for last */
	unsigned opened, closed; /* sessions */
	void (*before)(void), (*after)(void); /* the table is made */
};

static int teller_open(void *context, const struct pinion_pool *pool, void **session)
{
	struct teller *teller = context;

	(void)pool;
	teller->opened += !teller->open_err;
	*session = teller;
	return teller->open_err;
}

static int teller_ask(void *session, uint64_t segments, int *fd)
{
	struct teller *teller = session;
	struct pinion_hostmem table;
	int pagemap, err = teller->ask_err;

	teller->segments = segments;
	teller->before();
	if (!err)
		err = pinion_hostmem_pagemap_open(&pagemap);
	if (err)
		return err;
	err = frames_create(teller->pool, pagemap, segments, &table);
	close(pagemap);
	teller->after();
	if (err)
		return err;
	*fd = dup(table.fd);
	table_discard(&table);
	return 0;
}

static void teller_close(void *session)
{
	((struct teller *)session)->closed++;
}

static int create(struct pinion_pool *pool, struct teller *teller, struct pinion_domain **domain)
{
	const struct domain_source source = {teller_open, teller_ask, teller_close, teller};

	return domain_create_from(pool, &source, domain);
}

/* The pool, and who sees it: both are members of it. */
struct two {
	struct pinion_pool *pool;
	struct teller teller;
};

static struct two two_make(void)
{
	struct pinion_pool *pool = huge_pool(), *peer = pool_join(pool);

	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(pinion_hostmem_populate(&peer->memory[i], 0, peer->memory[i].len),
				 0);
	return (struct two){pool, {.pool = peer, .before = nothing, .after = nothing}};
}

static void two_end(struct two *two)
{
	assert_int_equal(two->teller.opened, two->teller.closed);
	assert_int_equal(pinion_pool_detach(two->teller.pool), 0);
	assert_int_equal(pinion_pool_destroy(two->pool), 0);
}

static void what_is_told_is_used(void **state)
{
	struct two two = two_make();
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(create(two.pool, &two.teller, &domain), 0);
	assert_int_equal(two.teller.segments, 7);
	each_byte(two.pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_int_equal(two.teller.opened, 1); /* there was nothing to ask */
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	two_end(&two);
}

/* Holes. */

static struct two *holed; /* whose second segment, of one page, is punched */

static void punch(void)
{
	const struct pinion_hostmem *memory = &holed->pool->memory[1];

	assert_int_equal(fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				   (off_t)memory->len), 0);
}

/* Somebody else touches it, and has another page there. */
static void punch_and_fill(void)
{
	const struct pinion_hostmem *memory = &holed->teller.pool->memory[1];

	punch();
	assert_int_equal(pinion_hostmem_populate(memory, 0, memory->len), 0);
}

/* What was pinned for the table that failed is free again. */
static void expect_stale(void (*before)(void), void (*after)(void))
{
	struct two two = two_make();
	struct pinion_domain *domain = NULL;
	const long pages = support_read_long(HUGE_FREE);

	holed = &two;
	two.teller.before = before;
	two.teller.after = after;
	assert_int_equal(create(two.pool, &two.teller, &domain), -ESTALE);
	assert_sentence("segment 1: page 0 was punched out");
	assert_int_equal(support_read_long(HUGE_FREE), before == nothing ? pages + 1 : pages);
	two_end(&two);
}

static void a_page_that_was_punched_since_it_was_seen_is_estale(void **state)
{
	(void)state;
	expect_stale(nothing, punch);
}

/* The address that is told is that of a page which nobody has pinned. */
static void a_page_in_the_place_of_the_pinned_one_is_estale(void **state)
{
	(void)state;
	expect_stale(punch_and_fill, nothing);
}

/* Fetched for the asking it would be another page, and the hole be seen by nobody. */
static void who_tells_does_not_fill_a_hole(void **state)
{
	struct two two = two_make();
	struct pinion_domain *domain = NULL;
	const long pages = support_read_long(HUGE_FREE);

	(void)state;
	holed = &two;
	punch();
	assert_int_equal(create(two.pool, &two.teller, &domain), -EAGAIN);
	assert_in_range(support_read_long(HUGE_FREE), pages, pages + 1);
	two_end(&two);
}

static void an_audit_sees_a_hole_without_privilege(void **state)
{
	struct two two = two_make();
	struct pinion_domain_move move = {0};
	struct pinion_domain *domain = NULL;

	(void)state;
	holed = &two;
	assert_int_equal(create(two.pool, &two.teller, &domain), 0);
	punch_and_fill();
	assert_int_equal(pinion_domain_audit(domain, &move), -ESTALE);
	assert_int_equal(move.segment, 1);
	assert_int_equal(move.was, pinion_buffer_bus(domain, pinion_buffer_make(
		1u << two.pool->geometry.segment_shift, 1), 0));
	assert_int_equal(pinion_domain_destroy(domain), 0);
	two_end(&two);
}

/* Failures. */

static void who_may_not_ask_has_pinned_nothing(void **state)
{
	struct two two = two_make();
	struct pinion_domain *domain = NULL;

	(void)state;
	two.teller.open_err = -EACCES;
	assert_int_equal(create(two.pool, &two.teller, &domain), -EACCES);
	assert_int_equal(two.teller.segments, 0);
	two_end(&two);
}

/* Another segment in the place of one that look-ups knew: they may still read the old addresses. */
static void an_update_without_an_answer_leaves_what_was_read_before(void **state)
{
	const struct pinion_segment_config one = {HUGE_PAGE, 4096, HUGE_PAGE, 0};
	struct two two = two_make();
	struct pinion_domain *domain = NULL;
	const uint64_t *page;
	uint32_t slot;

	(void)state;
	assert_int_equal(create(two.pool, &two.teller, &domain), 0);
	page = domain_of(domain)->segment[1].page;
	assert_int_equal(pinion_pool_retire(two.pool, 1), 0);
	(void)slot_sync(two.teller.pool);
	assert_int_equal(pinion_pool_grow(two.pool, &one, &slot), 0);
	assert_int_equal(slot, 1);
	two.teller.ask_err = -ETIMEDOUT;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pinion_domain_update(domain), -ETIMEDOUT);
		assert_ptr_equal(domain_of(domain)->segment[1].page_before, page);
	}
	two.teller.ask_err = 0;
	assert_int_equal(pinion_pool_extend(two.teller.pool, 1, dup(two.pool->memory[1].fd)), 0);
	assert_int_equal(pinion_hostmem_populate(&two.teller.pool->memory[1], 0, HUGE_PAGE), 0);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(two.teller.segments, 2);
	each_byte(two.pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	two_end(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(what_is_told_is_used),
		pool_test(a_page_that_was_punched_since_it_was_seen_is_estale),
		pool_test(a_page_in_the_place_of_the_pinned_one_is_estale),
		pool_test(who_tells_does_not_fill_a_hole),
		pool_test(an_audit_sees_a_hole_without_privilege),
		pool_test(who_may_not_ask_has_pinned_nothing),
		pool_test(an_update_without_an_answer_leaves_what_was_read_before),
	};

	if (domain_lack() != NULL)
		return support_skip(domain_lack());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
