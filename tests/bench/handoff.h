/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handoff, written once for every implementation: a buffer's whole way. It is allocated, a header
 * is written into it, it is sent, received on the other core, its bus address looked up, sent back
 * as a completion, received and freed; nanoseconds a buffer. (A header as stream.h is one.)
 *
 * The program defines:
 *
 *     HANDOFF_BURST                  32: the most that is moved at once
 *     handoff_open(void *, leads)    in each process, after the fork
 *     handoff_post(void *, nr)       the leader allocates, writes and sends up to nr; how many
 *     handoff_reap(void *, nr)       the leader receives up to nr completions and frees; how many
 *     handoff_serve(void *, nr)      the follower receives up to nr, looks up each bus address, and
 *                                    sends all of them back; how many
 */

#include "pair.h"

#define HANDOFF_SLOTS 4096u
#define HANDOFF_BUFFERS 16384u
#define HANDOFF_BUFFER_SIZE 128u /* bytes; together one page of 2 MiB */
#define HANDOFF_TIMES 16384u     /* buffers of a block */

/* Both rings have room for all that is under way: never more than fit the one back. */
static void handoff_lead(struct bench *b, void *arg)
{
	uint32_t under_way = 0;

	handoff_open(arg, true);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t done = 0; done < HANDOFF_TIMES;) {
			uint32_t reaped;

			if (under_way + HANDOFF_BURST <= HANDOFF_SLOTS / 2)
				under_way += handoff_post(arg, HANDOFF_BURST);
			reaped = handoff_reap(arg, HANDOFF_BURST);
			under_way -= reaped;
			done += reaped;
		}
		bench_sample(b, (double)(bench_now_ns() - start) / HANDOFF_TIMES);
	}
}

static void handoff_follow(void *arg)
{
	handoff_open(arg, false);
	while (handoff_serve(arg, HANDOFF_BURST) || !pair_stopped())
		;
}
