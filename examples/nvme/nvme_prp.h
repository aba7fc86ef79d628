/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_PRP_H
#define NVME_PRP_H

/*
 * Physical Region Pages: how a command says where its data lies. Base 4.1.1.
 *
 *     bytes in            PRP1              PRP2
 *     one memory page     first byte        0
 *     two pages           first byte        second page
 *     more                first byte        list page: bus address of pages 2, 3, 4 ...
 *
 * Only the first byte may lie inside a page (on a multiple of 4 bytes); all others start one. The
 * addresses come from the domain's table alone; nothing that a producer sent is an address.
 *
 * One list page names 512 pages, which with PRP1 is a little over 2 MiB. Buffers of a pool never
 * straddle a hugepage, so lists are not chained: a transfer that would need it is refused.
 */

#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/prp.h>

#include "nvme_spec.h"

#define NVME_PRP_LIST_ENTRIES (NVME_PAGE_SIZE / sizeof(uint64_t))

/* What always fits, wherever in a page the data starts. */
#define NVME_PRP_MAX_LEN ((uint32_t)NVME_PRP_LIST_ENTRIES * NVME_PAGE_SIZE)

/* A page for a list, as the processor and as the drive see it. */
struct nvme_prp_list {
	uint64_t *entry; /* NVME_PRP_LIST_ENTRIES of them */
	uint64_t bus;
};

/*
 * nvme_prp_build() - describe @len bytes from byte @off of @buffer.
 *
 * pre: off + len is within the buffer.
 * -EINVAL  no bytes at all, a start that is not on a multiple of 4, a buffer that the domain does
 *          not know, or more pages than one list names; @prp and the list are as they were
 */
int nvme_prp_build(const struct pinion_domain *domain, struct pinion_buffer buffer, uint32_t off,
		   uint32_t len, const struct nvme_prp_list *list, uint64_t prp[2]);

#endif
