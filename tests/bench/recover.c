/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recover: pinion_pool_recover() of a member that held half of 1 Mi buffers; microseconds.
 * recover_none: of one that held none of them.
 *
 *     pinion   recovery: every owner word looked at, what was held moved, magazines rebuilt
 *     bare     every word read once, and every second one written: the limit
 *
 * The member is attached in this process, and simply not used any more: recovery looks at words,
 * not at processes. Attach, allocation and the release of the slot are not in the number.
 */

#include <fcntl.h>
#include <unistd.h>

#include "pool.h"

#define BUFFERS (UINT32_C(1) << 20)
#define BUFFER_SIZE 64u

/* One more member, in this process. */
static struct pinion_pool *join(struct pinion_pool *pool)
{
	struct pinion_pool_fds fds;
	struct pinion_pool *joined;
	uint32_t member;

	pinion_pool_export(pool, &fds);
	fds.control = fcntl(fds.control, F_DUPFD_CLOEXEC, 0);
	fds.segment[0] = fcntl(fds.segment[0], F_DUPFD_CLOEXEC, 0);
	bench_check(pinion_pool_admit(pool, getpid(), &member));
	bench_check(pinion_pool_attach(&fds, member, &joined));
	return joined;
}

/* Its cache is never closed: the magazines are the dead member's too. */
static void hold(struct pinion_pool *joined, uint32_t nr)
{
	struct pinion_cache *cache = bench_cache(joined, BUFFER_SIZE);

	for (uint32_t i = 0; i < nr; i++) {
		struct pinion_buffer buffer = {0};

		bench_check(pinion_buffer_alloc(cache, &buffer));
	}
}

static void run_pinion(struct bench *b)
{
	struct pinion_pool *pool = bench_pool(b, (size_t)BUFFERS * BUFFER_SIZE, BUFFER_SIZE);
	struct pinion_recovery report;

	while (bench_more(b)) {
		struct pinion_pool *joined = join(pool);
		uint32_t member = pinion_pool_member(joined);
		uint64_t start;

		hold(joined, b->is->arg);
		start = bench_now_ns();
		bench_check(pinion_pool_recover(pool, member, NULL, 0, &report));
		bench_sample(b, (double)(bench_now_ns() - start) / 1000);
		if (report.returned != b->is->arg)
			bench_die("%u buffers came back, not %u", report.returned, b->is->arg);
		bench_check(pinion_pool_release(pool, member, NULL));
		bench_check(pinion_pool_detach(joined));
	}
}

static void run_bare(struct bench *b)
{
	_Atomic uint64_t *word = bench_shared(&(struct bench){.huge = false}, BUFFERS * 8ul);

	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < BUFFERS; i++) {
			uint64_t was = atomic_load_explicit(&word[i], memory_order_relaxed);

			if (i < b->is->arg)
				atomic_store_explicit(&word[i], was + 1, memory_order_relaxed);
		}
		bench_sample(b, (double)(bench_now_ns() - start) / 1000);
	}
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"recover", "pinion", "us", run_pinion, BUFFERS / 2},
		{"recover", "bare", "us", run_bare, BUFFERS / 2},
		{"recover_none", "pinion", "us", run_pinion, 0},
		{"recover_none", "bare", "us", run_bare, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
