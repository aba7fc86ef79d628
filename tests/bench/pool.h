/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H

/* Pools as the benchmarks want them: one segment, pages as the command line says. */

#include <pinion/cache.h>
#include <pinion/pool.h>

#include "bench.h"

/* A pool of @len bytes (a multiple of 2 MiB). It ends with the process. */
struct pinion_pool *bench_pool(const struct bench *b, size_t len, size_t buffer_size);

/* The same with magazines as the library makes them if nobody says how large. */
struct pinion_pool *bench_pool_by_default(const struct bench *b, size_t len, size_t buffer_size);

struct pinion_cache *bench_cache(struct pinion_pool *pool, size_t buffer_size);

/* Dies with the library's sentence when @err is one. */
void bench_check(int err);

#endif
