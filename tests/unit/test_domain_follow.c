/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains of a pool that changes, the way back from addresses to buffers, the audit, and what both
 * mean for addresses that somebody kept.
 *
 * A segment that this process does not have (yet, or any more) is one whose memory it has not
 * mapped: that is what hide() makes of it, and show() undoes.
 */

#include <pthread.h>
#include <sys/mman.h>

#include "domain_support.h"
#include "domain_table.h"
#include "slot.h"

static void *hidden[PINION_SEGMENT_MAX];

static void hide(struct pinion_pool *pool, uint32_t segment)
{
	hidden[segment] = pool->memory[segment].addr;
	pool->memory[segment].addr = NULL;
}

static void show(struct pinion_pool *pool, uint32_t segment)
{
	pool->memory[segment].addr = hidden[segment];
}

static struct pinion_buffer buffer_of(const struct pinion_pool *pool, uint32_t segment, uint32_t i)
{
	return pinion_buffer_make((segment << pool->geometry.segment_shift) + i, 3);
}

static bool knows(const struct pinion_pool *pool, const struct pinion_domain *domain,
		  uint32_t segment)
{
	return !(pinion_buffer_bus(domain, buffer_of(pool, segment, 0), 1) & PINION_BUS_UNKNOWN);
}

/* Buffers of several pages, which pages of 2 MiB alone do not show: segment 0 has two of 4 MiB. */
static struct pinion_pool *run_pool(void)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	config.nr_segments = 2;
	config.segment[0] =
		(struct pinion_segment_config){4 * HUGE_PAGE, 2 * HUGE_PAGE, HUGE_PAGE, 0};
	config.segment[1] = (struct pinion_segment_config){HUGE_PAGE, 4096, HUGE_PAGE, 0};
	return pool_make_from(&config);
}

static void a_byte_beyond_the_first_page_is_found_by_its_page(void **state)
{
	struct pinion_pool *pool = run_pool();
	struct pinion_domain *domain = domain_make(pool), *copy = NULL;

	(void)state;
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &copy), 0);
	each_byte(pool, equals_kernel, copy);
	assert_int_equal(pinion_domain_detach(copy), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void an_unknown_buffer_has_an_address_that_nobody_has(void **state)
{
	struct pinion_pool *pool = huge_pool();
	const uint32_t per_segment = 1u << pool->geometry.segment_shift;
	struct pinion_domain *domain;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	show(pool, 1);
	for (uint32_t id = 0; id < per_segment * PINION_SEGMENT_MAX; id++) {
		const uint32_t s = id / per_segment;
		const bool has = (s == 0 || s == 2) && id % per_segment < pool->segment[s].nr;
		const uint64_t bus = pinion_buffer_bus(domain, pinion_buffer_make(id, 1), 17);

		assert_int_equal(!(bus & PINION_BUS_UNKNOWN), has);
	}
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The table itself is not to be written, by this very process either. */
static int scribble(void *arg)
{
	signal(SIGSEGV, SIG_DFL);
	atomic_store_explicit(&((struct pinion_domain *)arg)->bus[0], 0, memory_order_relaxed);
	return 0;
}

static void a_stray_store_to_an_address_kills(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);

	(void)state;
	assert_int_equal(support_child(scribble, domain), 128 + SIGSEGV);
	hide(pool, 2);
	assert_int_equal(pinion_domain_update(domain), 1);
	show(pool, 2);
	assert_int_equal(support_child(scribble, domain), 128 + SIGSEGV);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void update_adds_what_is_new_and_drops_what_is_gone(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain;
	uint64_t of_0;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	assert_int_equal(pinion_domain_generation(domain), 1);
	of_0 = pinion_buffer_bus(domain, buffer_of(pool, 0, 1), 2);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_int_equal(pinion_domain_generation(domain), 1);
	show(pool, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_generation(domain), 2);
	each_byte(pool, equals_kernel, domain);
	hide(pool, 2);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_false(knows(pool, domain, 2));
	assert_true(knows(pool, domain, 1));
	assert_int_equal(pinion_buffer_bus(domain, buffer_of(pool, 0, 1), 2), of_0);
	show(pool, 2);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_int_equal(pinion_domain_generation(domain), 4);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Private memory of this process that is there, in KiB. */
static long resident(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	while (fgets(line, sizeof(line), status) != NULL)
		(void)sscanf(line, "RssAnon: %ld", &kib);
	fclose(status);
	return kib;
}

static int lock_and_make(void *arg)
{
	struct pinion_domain *domain = NULL;
	long before, after;

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return 1;
	before = resident();
	if (pinion_domain_create_phys(arg, &domain))
		return 2;
	after = resident();
	return before > 0 && after - before < 8192 ? 0 : 3;
}

/* 64 slots of 32,768 ids are 16 MiB of addresses, one of them in use. */
static void a_program_that_locks_its_memory_does_not_pay_for_all_ids(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool;

	(void)state;
	config.segment[0] = (struct pinion_segment_config){HUGE_PAGE, 64, HUGE_PAGE, 0};
	pool = pool_make_from(&config);
	assert_int_equal(support_child(lock_and_make, pool), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* One slot, another file: the domain must not go on with the old addresses. */
static void a_slot_used_again_is_another_segment(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);

	(void)state;
	pool->segment[1].inode++;
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_update(domain), 0);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The pool changes while nobody updates the domain: of what has come in the slot it knows nothing,
 * in the keeper, in a member, and in who attached the table. */
static void until_the_update_a_slot_used_again_has_no_address(void **state)
{
	struct pinion_pool *pool = huge_pool(), *peer = pool_join(pool);
	const struct pinion_segment_config one = {HUGE_PAGE, 4096, HUGE_PAGE, 0};
	struct pinion_domain *domain = domain_make(pool), *theirs = domain_make(peer), *copy = NULL;
	uint32_t slot = 77;

	(void)state;
	assert_int_equal(pinion_domain_attach(peer, dup(pinion_domain_fd(domain)), &copy), 0);
	assert_true(knows(pool, domain, 1) && knows(pool, theirs, 1) && knows(pool, copy, 1));
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_true(slot_sync(peer));
	assert_int_equal(pinion_pool_grow(pool, &one, &slot), 0);
	assert_int_equal(slot, 1);
	assert_false(knows(pool, domain, 1));
	assert_false(knows(pool, theirs, 1));
	assert_false(knows(pool, copy, 1));
	assert_true(knows(pool, copy, 0) && knows(pool, theirs, 2));
	assert_int_equal(pinion_domain_update(domain), 1);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_detach(copy), 0);
	assert_int_equal(pinion_domain_destroy(theirs), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void who_attached_keeps_the_old_table_and_can_have_the_new(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain, *old = NULL, *new = NULL;

	(void)state;
	hide(pool, 2);
	domain = domain_make(pool);
	show(pool, 2);
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &old), 0);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &new), 0);
	assert_int_equal(pinion_domain_generation(old), 1);
	assert_int_equal(pinion_domain_generation(new), 2);
	assert_false(knows(pool, old, 2));
	assert_true(knows(pool, old, 1));
	each_byte(pool, equals_kernel, new);
	assert_int_equal(pinion_domain_update(old), -EINVAL);
	assert_sentence("attach");
	assert_int_equal(pinion_domain_detach(new), 0);
	assert_int_equal(pinion_domain_detach(old), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Whether the pool's or the table's segment is the newer one cannot be told. */
static void of_another_file_in_a_slot_no_address_is_taken(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool), *copy = NULL;

	(void)state;
	pool->segment[1].inode++;
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &copy), 0);
	assert_false(knows(pool, copy, 1));
	assert_true(knows(pool, copy, 0));
	assert_true(knows(pool, copy, 2));
	assert_int_equal(pinion_domain_detach(copy), 0);
	pool->segment[1].inode--;
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Nothing new is there after an error, and nothing leaks: pool_test() counts. */
static void an_update_that_fails_adds_nothing(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain;
	int fd;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	fd = pinion_domain_fd(domain);
	show(pool, 1);
	pool->segment[1].page_shift = 12;
	assert_int_equal(pinion_domain_update(domain), -ENOTSUP);
	pool->segment[1].page_shift = 21;
	assert_false(knows(pool, domain, 1));
	assert_true(knows(pool, domain, 0));
	assert_int_equal(pinion_domain_fd(domain), fd);
	assert_int_equal(pinion_domain_generation(domain), 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* What is gone is gone even if the rest fails, for look-ups in both directions; and the table, now
 * too old, is made anew by the next update, though nothing has changed since. */
static void what_is_gone_stays_gone_when_an_update_fails(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain, *copy = NULL;
	uint32_t id = 0, off = 0;
	uint64_t of_2;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	of_2 = pinion_buffer_bus(domain, buffer_of(pool, 2, 0), 0);
	hide(pool, 2);
	pool->memory[1].addr = hidden[1];
	pool->segment[1].page_shift = 12;
	assert_int_equal(pinion_domain_update(domain), -ENOTSUP);
	pool->segment[1].page_shift = 21;
	assert_false(knows(pool, domain, 2));
	assert_int_equal(pinion_domain_find(domain, of_2, &id, &off), -ENOENT);
	hide(pool, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &copy), 0);
	assert_false(knows(pool, copy, 2));
	assert_int_equal(pinion_domain_detach(copy), 0);
	show(pool, 1);
	show(pool, 2);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* find. */

static void finds_itself(const struct pinion_pool *pool, const struct pinion_domain *domain,
			 struct pinion_buffer buffer, uint32_t off)
{
	uint32_t id = 0, at = 0;

	(void)pool;
	assert_int_equal(pinion_domain_find(domain, pinion_buffer_bus(domain, buffer, off), &id,
					    &at), 0);
	assert_int_equal(id, pinion_buffer_id(buffer));
	assert_int_equal(at, off);
}

static void every_address_leads_back_to_its_buffer(void **state)
{
	struct pinion_pool *pools[] = {huge_pool(), run_pool()};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pinion_domain *domain = domain_make(pools[i]), *copy = NULL;

		each_byte(pools[i], finds_itself, domain);
		assert_int_equal(pinion_domain_attach(pools[i], dup(pinion_domain_fd(domain)),
						      &copy), 0);
		each_byte(pools[i], finds_itself, copy);
		assert_int_equal(pinion_domain_detach(copy), 0);
		assert_int_equal(pinion_domain_destroy(domain), 0);
		assert_int_equal(pinion_pool_destroy(pools[i]), 0);
	}
}

/* A device that wrote past an end did so to the buffer before. */
static void a_red_zone_leads_to_the_buffer_before_it(void **state)
{
	struct pinion_pool_config config = {.nr_segments = 1, .flags = PINION_POOL_DEBUG};
	struct pinion_domain *domain;
	struct pinion_pool *pool;
	uint32_t id = 0, off = 0;

	(void)state;
	config.segment[0] =
		(struct pinion_segment_config){2 * HUGE_PAGE, 65536, HUGE_PAGE, PINION_NODE_ANY};
	pool = pool_make_from(&config);
	domain = domain_make(pool);
	for (uint32_t i = 0; i < pool->segment[0].nr; i++) {
		const struct pinion_buffer buffer = buffer_of(pool, 0, i);

		finds_itself(pool, domain, buffer, 65535);
		assert_int_equal(pinion_domain_find(domain, pinion_buffer_bus(domain, buffer, 0) +
						    65536 + i, &id, &off), 0);
		assert_int_equal(id, pinion_buffer_id(buffer));
		assert_int_equal(off, 65536 + i);
	}
	assert_int_equal(pool->segment[0].nr, HUGE_PAGE / 65536);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Is it a page of this pool? */
static bool has_page(const struct pinion_pool *pool, uint64_t phys)
{
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (size_t off = 0; off < pool->memory[s].len; off += HUGE_PAGE)
			if (phys_by_kernel((char *)pool->memory[s].addr + off) ==
			    (phys & ~(HUGE_PAGE - 1)))
				return true;
	return false;
}

static void an_address_outside_is_enoent(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	uint32_t id = 4711, off = 4711;

	(void)state;
	/* Of all pages around the pool's own, only those that are not the pool's. */
	for (uint32_t i = 0; i < pool->segment[2].nr; i++) {
		const uint64_t bus = pinion_buffer_bus(domain, buffer_of(pool, 2, i), 0);
		const uint64_t near[] = {bus - 1, bus + HUGE_PAGE, bus ^ UINT64_C(1) << 50};

		for (int k = 0; k < 3; k++)
			if (!has_page(pool, near[k]))
				assert_int_equal(pinion_domain_find(domain, near[k], &id, &off),
						 -ENOENT);
	}
	assert_int_equal(pinion_domain_find(domain, 0, &id, &off), -ENOENT);
	assert_int_equal(pinion_domain_find(domain, UINT64_MAX, &id, &off), -ENOENT);
	assert_int_equal(pinion_domain_find(domain, PINION_BUS_UNKNOWN, &id, &off), -ENOENT);
	assert_int_equal(id, 4711);
	assert_int_equal(off, 4711);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_segment_that_is_gone_is_not_found(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	const uint64_t bus = pinion_buffer_bus(domain, buffer_of(pool, 1, 5), 0);
	uint32_t id, off;

	(void)state;
	hide(pool, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_find(domain, bus, &id, &off), -ENOENT);
	show(pool, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	each_byte(pool, finds_itself, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Look-ups of segment 0 while segments 1 and 2 come and go. */
struct looker {
	const struct pinion_domain *domain;
	struct pinion_buffer buffer;
	uint64_t bus;
	atomic_bool stop;
	uint64_t wrong, turns;
};

static void *look_on(void *arg)
{
	struct looker *looker = arg;

	while (!atomic_load_explicit(&looker->stop, memory_order_relaxed)) {
		uint32_t id = 0, off = 0;

		looker->wrong += pinion_buffer_bus(looker->domain, looker->buffer, 77) !=
				 looker->bus;
		looker->wrong += pinion_domain_find(looker->domain, looker->bus, &id, &off) != 0 ||
				 id != pinion_buffer_id(looker->buffer) || off != 77;
		looker->turns++;
	}
	return NULL;
}

static void look_ups_go_on_while_segments_come_and_go(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct looker looker = {.domain = NULL};
	struct pinion_domain *domain = domain_make(pool);
	pthread_t thread;

	(void)state;
	looker.domain = domain;
	looker.buffer = buffer_of(pool, 0, 40);
	looker.bus = pinion_buffer_bus(domain, looker.buffer, 77);
	assert_int_equal(pthread_create(&thread, NULL, look_on, &looker), 0);
	for (uint32_t i = 0; i < 300; i++) {
		hide(pool, 1 + i % 2);
		assert_int_equal(pinion_domain_update(domain), 1);
		show(pool, 1 + i % 2);
		assert_int_equal(pinion_domain_update(domain), 1);
	}
	atomic_store_explicit(&looker.stop, true, memory_order_relaxed);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(looker.wrong, 0);
	assert_true(looker.turns > 0);
	each_byte(pool, finds_itself, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* One slot, whose four pages are two buffers and one by turns; an address in the last of them. */
struct finder {
	const struct pinion_domain *domain;
	uint64_t bus;
	atomic_bool stop;
	uint64_t wrong, turns;
};

static void *find_on(void *arg)
{
	struct finder *finder = arg;

	while (!atomic_load_explicit(&finder->stop, memory_order_relaxed)) {
		uint32_t id = 0, off = 0;
		const int err = pinion_domain_find(finder->domain, finder->bus, &id, &off);
		const bool of_two = id == 1 && off == HUGE_PAGE + 5;
		const bool of_one = id == 0 && off == 3 * HUGE_PAGE + 5;

		finder->wrong += err ? err != -ENOENT : !of_two && !of_one;
		finder->turns++;
	}
	return NULL;
}

/* Whose page[] is shorter than what the one before would ask it for: this is for sanitizers. */
static void find_goes_on_while_a_slot_gets_another_segment(void **state)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct finder finder = {.domain = NULL};
	struct pinion_domain *domain;
	struct pinion_pool *pool;
	pthread_t thread;

	(void)state;
	config.segment[0] = (struct pinion_segment_config){4 * HUGE_PAGE, 2 * HUGE_PAGE, HUGE_PAGE,
							   0};
	pool = pool_make_from(&config);
	finder.domain = domain = domain_make(pool);
	finder.bus = pinion_buffer_bus(domain, pinion_buffer_make(1, 1), HUGE_PAGE + 5);
	assert_int_equal(pthread_create(&thread, NULL, find_on, &finder), 0);
	for (uint32_t i = 1; i <= 600; i++) {
		pool->segment[0].inode++;
		pool->segment[0].nr = 2 - i % 2;
		pool->segment[0].buffer_shift = pool->segment[0].stride_shift = 22 + i % 2;
		assert_int_equal(pinion_domain_update(domain), 1);
	}
	atomic_store_explicit(&finder.stop, true, memory_order_relaxed);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(finder.wrong, 0);
	assert_true(finder.turns > 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* audit. */

static void a_punched_page_is_estale_and_named(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	struct pinion_domain_move move = {0, 0, 0, 0};
	char *page = (char *)pool->memory[2].addr + HUGE_PAGE;
	const uint64_t was = pinion_buffer_bus(domain, buffer_of(pool, 2, 1), 0);

	(void)state;
	assert_int_equal(pinion_domain_audit(domain, &move), 0);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_int_equal(madvise(page, HUGE_PAGE, MADV_REMOVE), 0);
	assert_int_equal(pinion_domain_audit(domain, &move), -ESTALE);
	assert_sentence("segment 2: page 1 was at");
	assert_int_equal(move.segment, 2);
	assert_int_equal(move.page, 1);
	assert_int_equal(move.was, was);
	assert_int_equal(move.is, phys_by_kernel(page));
	assert_int_not_equal(move.is, was);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Addresses that are kept. */

/* Of no generation that has not been, either. */
static bool is_current(const struct pinion_domain *domain, uint64_t generation)
{
	assert_false(pinion_domain_is_current(domain, 0));
	assert_false(pinion_domain_is_current(domain, pinion_domain_generation(domain) + 1));
	assert_false(pinion_domain_is_current(domain, UINT64_MAX));
	return pinion_domain_is_current(domain, generation);
}

static void what_was_kept_is_current_up_to_the_update(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain, *old = NULL;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	assert_true(is_current(domain, 1));
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &old), 0);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_true(is_current(domain, 1));
	show(pool, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_false(is_current(domain, 1));
	assert_true(is_current(domain, 2));
	hide(pool, 2);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_false(is_current(domain, 2));
	assert_true(is_current(domain, 3));
	show(pool, 2);
	assert_true(is_current(old, 1)); /* it goes by its own table */
	assert_int_equal(pinion_domain_detach(old), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The maker goes on to the next generation; who attached needs its table. */
static void nothing_is_current_once_a_segment_is_gone(void **state)
{
	struct pinion_pool *pool = huge_pool(), *peer = pool_join(pool);
	struct pinion_domain *domain = domain_make(pool), *copy = NULL, *new = NULL;

	(void)state;
	assert_int_equal(pinion_domain_attach(peer, dup(pinion_domain_fd(domain)), &copy), 0);
	assert_true(is_current(domain, 1) && is_current(copy, 1));
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_false(is_current(domain, 1));
	assert_true(is_current(copy, 1)); /* that process does not know it yet */
	assert_true(slot_sync(peer));
	assert_false(is_current(copy, 1));
	assert_int_equal(pinion_domain_generation(copy), 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_true(is_current(domain, 2));
	assert_int_equal(pinion_domain_attach(peer, dup(pinion_domain_fd(domain)), &new), 0);
	assert_true(is_current(new, 2));
	assert_int_equal(pinion_domain_detach(new), 0);
	assert_int_equal(pinion_domain_detach(copy), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_detach(peer), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* The table is old then, and the next update makes one. */
static void nothing_is_current_after_an_update_that_dropped_and_failed(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	show(pool, 1);
	hide(pool, 2);
	pool->segment[1].page_shift = 12;
	assert_int_equal(pinion_domain_update(domain), -ENOTSUP);
	pool->segment[1].page_shift = 21;
	assert_int_equal(pinion_domain_generation(domain), 1);
	assert_false(is_current(domain, 1));
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_true(is_current(domain, 2));
	show(pool, 2);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Not by an update of other segments, and not by an audit of what is there now: the device may
 * still go by what was. Look-ups go by the table. */
static void nothing_is_current_after_an_audit_until_what_moved_is_dropped(void **state)
{
	struct pinion_pool *pool = huge_pool();
	char *page = (char *)pool->memory[2].addr + HUGE_PAGE;
	struct pinion_domain *domain, *copy = NULL;
	uint64_t was;

	(void)state;
	hide(pool, 1);
	domain = domain_make(pool);
	was = pinion_buffer_bus(domain, buffer_of(pool, 2, 1), 0);
	assert_int_equal(pinion_domain_attach(pool, dup(pinion_domain_fd(domain)), &copy), 0);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_true(is_current(domain, 1));
	assert_int_equal(madvise(page, HUGE_PAGE, MADV_REMOVE), 0);
	assert_int_equal(pinion_domain_audit(domain, NULL), -ESTALE);
	assert_false(is_current(domain, 1));
	assert_int_equal(pinion_buffer_bus(domain, buffer_of(pool, 2, 1), 0), was);
	assert_true(is_current(copy, 1));
	assert_int_equal(pinion_domain_audit(copy, NULL), -ESTALE);
	assert_false(is_current(copy, 1));
	show(pool, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_domain_generation(domain), 2);
	assert_false(is_current(domain, 2));
	hide(pool, 2);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_false(is_current(domain, 2));
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_true(is_current(domain, 3));
	show(pool, 2);
	assert_int_equal(pinion_domain_update(domain), 1); /* pinned and read anew */
	assert_true(is_current(domain, 4));
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_detach(copy), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* What a child is given. */
struct given {
	struct pinion_pool_fds fds;
	int table;
};

/* In a process whose page tables are still empty. */
static int audit_attached(void *arg)
{
	const struct given *given = arg;
	struct pinion_domain *domain;
	struct pinion_pool *pool;

	if (pinion_pool_attach(&given->fds, 1, &pool) ||
	    pinion_domain_attach(pool, given->table, &domain))
		return 1;
	if (pinion_domain_audit(domain, NULL))
		return 2;
	if (madvise(pool->memory[0].addr, HUGE_PAGE, MADV_REMOVE))
		return 3;
	return pinion_domain_audit(domain, NULL) == -ESTALE ? 0 : 4;
}

static void who_attached_can_audit_too(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	struct given given = {.table = pinion_domain_fd(domain)};
	uint32_t member = 0;

	(void)state;
	pinion_pool_export(pool, &given.fds);
	assert_int_equal(pinion_pool_admit(pool, 0, &member), 0);
	assert_int_equal(member, 1);
	assert_int_equal(support_child(audit_attached, &given), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_byte_beyond_the_first_page_is_found_by_its_page),
		pool_test(an_unknown_buffer_has_an_address_that_nobody_has),
		pool_test(a_stray_store_to_an_address_kills),
		pool_test(a_program_that_locks_its_memory_does_not_pay_for_all_ids),
		pool_test(update_adds_what_is_new_and_drops_what_is_gone),
		pool_test(a_slot_used_again_is_another_segment),
		pool_test(until_the_update_a_slot_used_again_has_no_address),
		pool_test(who_attached_keeps_the_old_table_and_can_have_the_new),
		pool_test(of_another_file_in_a_slot_no_address_is_taken),
		pool_test(an_update_that_fails_adds_nothing),
		pool_test(what_is_gone_stays_gone_when_an_update_fails),
		pool_test(every_address_leads_back_to_its_buffer),
		pool_test(a_red_zone_leads_to_the_buffer_before_it),
		pool_test(an_address_outside_is_enoent),
		pool_test(a_segment_that_is_gone_is_not_found),
		pool_test(look_ups_go_on_while_segments_come_and_go),
		pool_test(find_goes_on_while_a_slot_gets_another_segment),
		pool_test(a_punched_page_is_estale_and_named),
		pool_test(who_attached_can_audit_too),
		pool_test(what_was_kept_is_current_up_to_the_update),
		pool_test(nothing_is_current_once_a_segment_is_gone),
		pool_test(nothing_is_current_after_an_update_that_dropped_and_failed),
		pool_test(nothing_is_current_after_an_audit_until_what_moved_is_dropped),
	};

	if (domain_lack() != NULL)
		return support_skip(domain_lack());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
