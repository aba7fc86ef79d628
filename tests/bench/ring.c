/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring_1, ring_32: descriptors one way through a pinion ring, singly and in bursts of 32;
 * nanoseconds a descriptor. ring_32_1024: the same through a ring of 1,024 lines, not 4,096.
 *
 *     pinion   the loops of stream.h over a ring
 *     line     a stream of whole lines, nothing but stores and loads: the limit, for 16 bytes
 */

#include <stdatomic.h>
#include <string.h>

#include "link_ring.h"
#include "stream.h"

static void stream_1024(struct bench *b)
{
	stream_run(b, SLOTS_1024_LINES);
}

struct line {
	_Alignas(BENCH_LINE) uint64_t word[8];
};

/*
 * The bare stream: the writer fills a chunk of lines and then says so on a line of its own; the
 * reader reads the chunk and gives it back on another. CHUNKS of them make the ring's memory.
 */
#define CHUNKS 16u

struct bare {
	_Alignas(BENCH_LINE) _Atomic uint64_t written; /* chunks; by the leader */
	_Alignas(BENCH_LINE) _Atomic uint64_t taken;   /* chunks; by the follower */
	_Alignas(4096) struct line line[];
};

static struct bare *bare;
static uint32_t chunk_lines;

static struct line *chunk_at(uint64_t position)
{
	return &bare->line[(position % CHUNKS) * chunk_lines];
}

static void bare_write(uint64_t position)
{
	struct line *line = chunk_at(position);

	while (position - atomic_load_explicit(&bare->taken, memory_order_acquire) >= CHUNKS)
		;
	for (uint32_t i = 0; i < chunk_lines; i++)
		for (uint32_t k = 0; k < 8; k++)
			line[i].word[k] = position;
	atomic_store_explicit(&bare->written, position + 1, memory_order_release);
}

/* false: stopped. One word of a line fetches all of it. */
static bool bare_read(uint64_t position)
{
	const struct line *line = chunk_at(position);

	while (atomic_load_explicit(&bare->written, memory_order_acquire) <= position)
		if (pair_stopped())
			return false;
	for (uint32_t i = 0; i < chunk_lines; i++)
		bench_keep(line[i].word[0]);
	atomic_store_explicit(&bare->taken, position + 1, memory_order_release);
	return true;
}

/* A block is four times round the memory; a line stands for four descriptors. */
static void bare_lead(struct bench *b, void *arg)
{
	const double descriptors = 4.0 * CHUNKS * chunk_lines * 4;
	uint64_t position = 0;

	(void)arg;
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < 4 * CHUNKS; i++)
			bare_write(position++);
		bench_sample(b, (double)(bench_now_ns() - start) / descriptors);
	}
}

static void bare_follow(void *arg)
{
	(void)arg;
	for (uint64_t position = 0; bare_read(position); position++)
		;
}

/* The case's argument: lines of memory. */
static void run_line(struct bench *b)
{
	chunk_lines = b->is->arg / CHUNKS;
	bare = bench_shared(b, sizeof(*bare) + b->is->arg * sizeof(struct line));
	pair_run(b, bare_lead, bare_follow, NULL);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"ring_1", "pinion", "ns", stream_4096, 1},
		{"ring_32", "pinion", "ns", stream_4096, 32},
		{"ring_32", "line", "ns", run_line, 4096},
		{"ring_32_1024", "pinion", "ns", stream_1024, 32},
		{"ring_32_1024", "line", "ns", run_line, 1024},
		SWEEP_BURSTS("pinion"),
		SWEEP_DEPTHS("pinion"),
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
