/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alloc_N: N buffers allocated, then the same N freed; nanoseconds for one alloc and one free.
 *
 *     pinion   a cache of a shared pool
 *     bare     a private array of ids, last in first out, no owner recorded: the limit
 *
 * alloc_32_scattered: the same with ids in no order, which go word by word (row.h).
 *
 * Cache-hot: one thread, and a pool that fits the second level cache.
 */

#include <pinion/cache.h>

#include "pool.h"
#include "random.h"

#define BUFFER_SIZE 4096u
#define POOL_LEN ((size_t)4 << 20) /* 1,024 buffers */
#define BURST_MAX 768u
#define PAIRS 65536u /* of a block */

static bool scatter;

/* Once more in and out of the cache, in another order. */
static void shuffle(struct pinion_cache *cache)
{
	struct pinion_buffer buffer[BURST_MAX];

	if (pinion_buffer_alloc_bulk(cache, buffer, BURST_MAX) != BURST_MAX)
		bench_die("the pool ran empty");
	for (uint32_t i = BURST_MAX - 1; i; i--) {
		const uint32_t j = random_below(i, i + 1);
		const struct pinion_buffer other = buffer[j];

		buffer[j] = buffer[i];
		buffer[i] = other;
	}
	if (pinion_buffer_free_bulk(cache, buffer, BURST_MAX) != BURST_MAX)
		bench_die("a free was refused");
}

static void one_pinion(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t burst)
{
	for (uint32_t i = 0; i < burst; i++) {
		if (pinion_buffer_alloc(cache, &buffer[i]))
			bench_die("the pool ran empty");
		bench_keep(buffer[i].bits);
	}
	for (uint32_t i = 0; i < burst; i++)
		if (pinion_buffer_free(cache, buffer[i]))
			bench_die("a free was refused");
}

static void bulk_pinion(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t burst)
{
	if (pinion_buffer_alloc_bulk(cache, buffer, burst) != (int)burst)
		bench_die("the pool ran empty");
	bench_keep(buffer);
	if (pinion_buffer_free_bulk(cache, buffer, burst) != (int)burst)
		bench_die("a free was refused");
	bench_keep(cache);
}

/* Inlined into each: a call for a single pair would cost as much as the pair. */
__attribute__((always_inline)) static inline void
run(struct bench *b,
    void (*one)(struct pinion_cache *cache, struct pinion_buffer *buffer, uint32_t burst))
{
	struct pinion_cache *cache = bench_cache(bench_pool(b, POOL_LEN, BUFFER_SIZE), BUFFER_SIZE);
	struct pinion_buffer buffer[BURST_MAX];

	if (scatter)
		shuffle(cache);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PAIRS; i += b->is->arg)
			one(cache, buffer, b->is->arg);
		bench_sample(b, (double)(bench_now_ns() - start) / PAIRS);
	}
}

static void run_pinion(struct bench *b)
{
	run(b, one_pinion);
}

static void run_bulk(struct bench *b)
{
	run(b, bulk_pinion);
}

static void run_scattered(struct bench *b)
{
	scatter = true;
	run_bulk(b);
}

struct stack {
	uint32_t nr;
	uint32_t id[POOL_LEN / BUFFER_SIZE];
};

static void one_bare(struct stack *stack, uint32_t *id, uint32_t burst)
{
	for (uint32_t i = 0; i < burst; i++) {
		id[i] = stack->id[--stack->nr];
		bench_keep(id[i]);
	}
	for (uint32_t i = 0; i < burst; i++) {
		stack->id[stack->nr++] = id[i];
		bench_keep(stack);
	}
}

static void run_bare(struct bench *b)
{
	static struct stack stack;
	uint32_t id[BURST_MAX];

	for (stack.nr = 0; stack.nr < POOL_LEN / BUFFER_SIZE; stack.nr++)
		stack.id[stack.nr] = stack.nr;
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PAIRS; i += b->is->arg)
			one_bare(&stack, id, b->is->arg);
		bench_sample(b, (double)(bench_now_ns() - start) / PAIRS);
	}
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"alloc_1", "pinion", "ns", run_pinion, 1},
		{"alloc_1", "bare", "ns", run_bare, 1},
		{"alloc_32", "pinion", "ns", run_bulk, 32},
		{"alloc_32", "bare", "ns", run_bare, 32},
		{"alloc_32_scattered", "pinion", "ns", run_scattered, 32},
		{"alloc_256", "pinion", "ns", run_pinion, 256},
		{"alloc_768", "pinion", "ns", run_pinion, 768},
		{"alloc_256", "bare", "ns", run_bare, 256},
		{"alloc_768", "bare", "ns", run_bare, 768},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
