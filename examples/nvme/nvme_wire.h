/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_WIRE_H
#define NVME_WIRE_H

/*
 * What producers and the device process say to each other: one descriptor each way per command.
 *
 *     request                                    completion
 *     buffer  where the data is, or shall be     the same buffer: its id pairs the two
 *     len     bytes, from the buffer's start     bytes transferred; 0 with an error
 *     tag     opcode << 30 | LBA                 NVMe status, SCT << 8 | SC; 0: success
 *
 * The buffer is the device process's from request to completion, the producer's otherwise.
 * Completions may come in any order; a flush covers the writes that were complete before it.
 *
 *     opcode      len                                           LBA
 *     read        a multiple of the block, 1 to max_transfer    first block
 *     write       the same                                      first block
 *     flush       0                                             0
 *     identify    0; the buffer comes back with an nvme_wire_info    0
 *
 * LBAs have 30 bits: the wire reaches 2^30 blocks of a drive, which is 512 GiB of 512 bytes or 4
 * TiB of 4 KiB. That is its limit, not the drive's.
 *
 * Who refuses what:
 *  - blocks beyond the drive's end: the drive itself, "LBA Out of Range"
 *  - a length that is no multiple of the block or above max_transfer, a flush or identify with a
 *    length, a buffer too small for nvme_wire_info: the device process, as the drive would,
 *    "Invalid Field in Command"; the drive never sees it
 *  - a flush or identify with an LBA: no such request exists, and no mistake in counting makes
 *    one. It breaks the protocol, as does all that pinion_channel_recv() refuses (an id out of
 *    range, a length beyond the buffer, a buffer that is not the sender's): the device process
 *    ends this channel, and no other.
 *
 * A request whose producer is gone before it was taken up is not executed.
 */

#include <assert.h>
#include <stdint.h>

#define NVME_WIRE_LBA_BITS 30
#define NVME_WIRE_BLOCKS_MAX (UINT64_C(1) << NVME_WIRE_LBA_BITS)
#define NVME_WIRE_LBA_MASK ((uint32_t)NVME_WIRE_BLOCKS_MAX - 1)

enum nvme_wire_op {
	NVME_WIRE_READ = 0,
	NVME_WIRE_WRITE = 1,
	NVME_WIRE_FLUSH = 2,
	NVME_WIRE_IDENTIFY = 3,
};

static inline uint32_t nvme_wire_tag(enum nvme_wire_op op, uint32_t lba)
{
	return (uint32_t)op << NVME_WIRE_LBA_BITS | (lba & NVME_WIRE_LBA_MASK);
}

static inline enum nvme_wire_op nvme_wire_op(uint32_t tag)
{
	return (enum nvme_wire_op)(tag >> NVME_WIRE_LBA_BITS);
}

static inline uint32_t nvme_wire_lba(uint32_t tag)
{
	return tag & NVME_WIRE_LBA_MASK;
}

#define NVME_WIRE_VERSION 1

/* What identify leaves at the start of the buffer. */
struct nvme_wire_info {
	uint32_t version;      /* NVME_WIRE_VERSION */
	uint32_t block_size;   /* bytes */
	uint64_t blocks;       /* that the drive has */
	uint32_t max_transfer; /* bytes of one read or write */
	int32_t node;          /* NUMA node of the drive; -1: the firmware names none */
};

static_assert(sizeof(struct nvme_wire_info) == 24, "two programs agree on this");

#endif
