/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/*
 * What every benchmark program here shares: a table of cases, a clock, samples, one line of JSON.
 *
 *     static void alloc(struct bench *b)
 *     {
 *             (set up)
 *             while (bench_more(b)) {
 *                     uint64_t start = bench_now_ns();
 *                     (the same thing many times: one block, 0.1 to 2 ms)
 *                     bench_sample(b, (double)(bench_now_ns() - start) / times);
 *             }
 *     }
 *
 *     PROGRAM --list          "BENCH IMPL" a line: what it can measure
 *     PROGRAM BENCH IMPL      measures once and prints the median of its blocks
 *
 * A block is short, so that a preempted one is an outlier and the median does not see it. What
 * differs from one process run to the next (placement of memory, caches) is scripts/bench's to
 * see: it starts each program several times.
 *
 * C and C++: some peers are C++ templates.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_LINE 64 /* bytes of a cache line */
#define BENCH_HUGE ((size_t)2 << 20)

struct bench;

struct bench_case {
	const char *bench, *impl;
	const char *unit; /* of a sample: "ns", "us", "ms" or "%" */
	void (*run)(struct bench *b);
	unsigned arg; /* what the run makes of it: a burst, say */
};

struct bench {
	const struct bench_case *is;
	int cpu[2];     /* of the first and the second process; -1: there is no second */
	bool smoke;     /* only show that it runs */
	bool huge;      /* memory in pages of 2 MiB, else 4 KiB */
	size_t len;     /* bytes of the pool, where the benchmark is about its size */
	double *sample; /* of the blocks so far */
	uint32_t nr;
	uint64_t deadline_ns;
	double bounce_ns[2]; /* before and after, see pair.h; 0 without a second process */
};

/* Does what the command line says; returns main()'s status. 77: cannot run here. */
int bench_main(int argc, char **argv, const struct bench_case *cases, size_t nr_cases);

/* Another block? The first call starts the clock. */
bool bench_more(struct bench *b);
/* The first few samples warm up and are forgotten. */
void bench_sample(struct bench *b, double value);
/* Instead of samples: what is the same each time, as a size is. */
void bench_figure(struct bench *b, double value);

uint64_t bench_now_ns(void); /* CLOCK_MONOTONIC */
void bench_pin(int cpu);

/* Zeroed memory, shared with children, all of it there already; until the process ends. */
void *bench_shared(const struct bench *b, size_t len);

__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void bench_skip(const char *format, ...);

/* The compiler must believe that @value is used, and that memory may have changed. */
#define bench_keep(value) __asm__ volatile("" : : "r"(value) : "memory")

#ifdef __cplusplus
}
#endif

#endif
