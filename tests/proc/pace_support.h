/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PACE_SUPPORT_H
#define PINION_TESTS_PACE_SUPPORT_H

/*
 * How long others take while somebody does what he must not, beside how long they take in quiet;
 * and what the service keeps of it.
 */

#include "hostile_support.h"

/* A sanitizer keeps memory of its own, and what was freed for a while: nothing can be said then.
 * And a service that it slows down has little left for others. */
#define MEMORY_TELLS !SUPPORT_SANITIZED
#define TIMES_AS_LONG (SUPPORT_SANITIZED ? 10 : 2)

#define PACE_MAX 5000u

struct pace {
	int64_t typical, p99;
};

/* In this process, from the first word to the last. How long until it was a member, in ns. */
static inline int64_t come_and_leave(void)
{
	const uint64_t before = test_now_ns();
	struct raw raw = raw_in(RAW_CLIENT);
	const int64_t took = (int64_t)(test_now_ns() - before);

	assert_int_equal(raw_say(raw.fd, WIRE_BYE, 0), 0);
	assert_true(raw_hung_up(raw.fd));
	raw_end(&raw);
	return took;
}

/* Of @nr times @one, which says how long it took. */
static inline struct pace pace_measure(int64_t (*one)(void *context), void *context, unsigned nr)
{
	static int64_t took[PACE_MAX];

	assert_in_range(nr, 1, PACE_MAX);
	for (unsigned i = 0; i < nr; i++)
		took[i] = one(context);
	sort_ns(took, nr);
	return (struct pace){took[nr / 2], took[nr - 1 - nr / 100]};
}

static inline int64_t pace_arrival(void *context)
{
	(void)context;
	return come_and_leave();
}

static inline void pace_remark(const char *what, struct pace quiet, struct pace attacked)
{
	print_message("# %s: p50 %ju us, p99 %ju us; meanwhile %ju us, %ju us\n", what,
		      (uintmax_t)(quiet.typical / 1000), (uintmax_t)(quiet.p99 / 1000),
		      (uintmax_t)(attacked.typical / 1000), (uintmax_t)(attacked.p99 / 1000));
}

/* The service's own, when all hang-ups are heard: the least within more than two turns of what
 * takes pools' pages out of its table. */
static inline uint64_t rss_at_rest(pid_t service)
{
	uint64_t least = process_memory(service, "Rss");

	for (int i = 0; i < 12; i++) {
		const uint64_t now = process_memory(service, "Rss");

		least = now < least ? now : least;
		usleep(100000);
	}
	return least;
}

#endif
