/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PEER_ITEM_H
#define BENCH_PEER_ITEM_H

#include <stdint.h>

/* What peers carry: as long as a descriptor of ours, and copied whole. */
struct peer_item {
	uint64_t handle;
	uint32_t len, tag;
};

#endif
