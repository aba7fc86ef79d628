/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc_cross_32, written once for every implementation: buffers allocated on one core, passed
 * through a ring, freed on the other; nanoseconds a buffer. (A header as stream.h is one.)
 *
 * The program defines:
 *
 *     CROSS_BURST                            32: the most that is moved at once
 *     typedef ... item;                      what names a buffer
 *     cross_open(void *, leads)              in each process, after the fork
 *     cross_take(void *, item *, nr)         allocates up to nr; how many
 *     cross_send(void *, const item *, nr)   how many were sent; 0: the ring is full
 *     cross_recv(void *, item *, nr)         how many came; 0: none there
 *     cross_give(void *, const item *, nr)   frees all
 *
 * Ring and pool are finite, so the leader goes as fast as the slower of the two sides: a block's
 * time divided by its buffers is what one buffer costs on its whole way. CROSS_BUFFERS is eight
 * times the ring, so that what lies in rings and caches never empties the pool for long.
 */

#include "pair.h"

#define CROSS_SLOTS 4096u
#define CROSS_BUFFERS 32768u
#define CROSS_BUFFER_SIZE 64u /* bytes, never touched; together one page of 2 MiB */
#define CROSS_TIMES 16384u     /* buffers of a block: four times the ring */

/* Allocates and sends one burst. An empty pool and a full ring wait for the follower. */
static inline void cross_burst(void *arg)
{
	item out[CROSS_BURST];
	uint32_t nr, sent = 0;

	for (nr = 0; nr < CROSS_BURST;)
		nr += cross_take(arg, out + nr, CROSS_BURST - nr);
	while (sent < nr)
		sent += cross_send(arg, out + sent, nr - sent);
}

static void cross_lead(struct bench *b, void *arg)
{
	cross_open(arg, true);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < CROSS_TIMES; i += CROSS_BURST)
			cross_burst(arg);
		bench_sample(b, (double)(bench_now_ns() - start) / CROSS_TIMES);
	}
}

/* Bursts as they come: what is there, up to 32. */
static void cross_follow(void *arg)
{
	item in[CROSS_BURST];

	cross_open(arg, false);
	for (;;) {
		uint32_t got = cross_recv(arg, in, CROSS_BURST);

		if (got)
			cross_give(arg, in, got);
		else if (pair_stopped())
			return;
	}
}
