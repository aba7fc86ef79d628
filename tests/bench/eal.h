/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_EAL_H
#define BENCH_EAL_H

/*
 * DPDK's environment as the benchmarks want it: on our one core, alone, without devices, leaving
 * no files. Without hugepages it cannot be told --in-memory, and then --no-shconf means the same.
 */

#include <rte_eal.h>
#include <stdio.h>

#include "bench.h"

static inline void eal_start(const struct bench *b, size_t mib)
{
	char core[16], memory[16];
	char *args[] = {"bench", "-l", core, "--no-pci", "--no-telemetry", "--log-level=error",
			"--iova-mode=va", "-m", memory, b->huge ? "--in-memory" : "--no-shconf",
			"--no-huge"};
	int nr = sizeof(args) / sizeof(*args);

	(void)snprintf(core, sizeof(core), "%d", b->cpu[0]);
	(void)snprintf(memory, sizeof(memory), "%zu", mib);
	if (rte_eal_init(b->huge ? nr - 1 : nr, args) < 0)
		bench_die("DPDK's environment does not start");
}

#endif
