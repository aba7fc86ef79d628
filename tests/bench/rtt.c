/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt_poll: one descriptor there and back, both processes polling; nanoseconds for the round trip.
 *
 *     pinion   through two pinion rings
 *     line     two cache lines bounced, one each way: the limit
 */

#include <stdatomic.h>

#include "link_ring.h"
#include "ping.h"

/* Apart by more than what a prefetcher takes along with a line. */
struct bounce {
	_Alignas(512) _Atomic uint64_t there; /* leader */
	_Alignas(512) _Atomic uint64_t back;  /* follower */
};

static void bounce_lead(struct bench *b, void *arg)
{
	struct bounce *bounce = arg;
	uint64_t turn = 0;

	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PINGS; i++) {
			atomic_store_explicit(&bounce->there, ++turn, memory_order_release);
			while (atomic_load_explicit(&bounce->back, memory_order_acquire) != turn)
				;
		}
		bench_sample(b, (double)(bench_now_ns() - start) / PINGS);
	}
}

static void bounce_follow(void *arg)
{
	struct bounce *bounce = arg;

	for (uint64_t turn = 1;; turn++) {
		while (atomic_load_explicit(&bounce->there, memory_order_acquire) != turn)
			if (pair_stopped())
				return;
		atomic_store_explicit(&bounce->back, turn, memory_order_release);
	}
}

static void run_line(struct bench *b)
{
	pair_run(b, bounce_lead, bounce_follow, bench_shared(b, sizeof(struct bounce)));
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"rtt_poll", "pinion", "ns", ping_run, 1},
		{"rtt_poll", "line", "ns", run_line, 1},
		LATENCY_CASES("pinion"),
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
