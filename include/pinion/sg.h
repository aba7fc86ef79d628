/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SG_H
#define PINION_SG_H

/*
 * Scatter-gather: bytes of one or more buffers, as the fewest extents that a device must be told.
 *
 *     struct pinion_piece piece[] = {{header, 0, 64}, {data, 0, len}};
 *     struct pinion_extent extent;
 *     struct pinion_sg sg;
 *
 *     for (pinion_sg_begin(&sg, domain, piece, 2); pinion_sg_next(&sg, &extent) > 0;)
 *             (tell the device extent.bus and extent.len)
 *
 * An extent is maximal: it ends only where the next byte lies elsewhere on the bus. Pages that
 * follow each other are merged, and so are buffers of a list. Through an IOMMU a segment is one
 * linear stretch, physically each page counts for itself.
 *
 * Nothing is allocated, and a step costs no division. Threads: an iterator belongs to one thread,
 * any number may run over one domain. Pieces are read once, as the iterator comes to them, and must
 * stay until it ends. Processes and deaths: as of the domain's look-ups.
 */

#include <errno.h>
#include <stdint.h>

#include <pinion/domain.h>

/* @len bytes from byte @off of a buffer. pre: they lie inside it. A length of 0 is passed over. */
struct pinion_piece {
	struct pinion_buffer buffer;
	uint32_t off;
	uint32_t len;
};

/* Bytes that follow each other on the bus. */
struct pinion_extent {
	uint64_t bus;
	uint64_t len;
};

struct pinion_sg {
	const struct pinion_domain *domain;
	const struct pinion_piece *piece; /* the next to be read */
	uint32_t nr;                      /* of them, from piece on */
	struct pinion_piece rest;         /* of the one begun */
};

/* Starts over @nr pieces, which may be 0. Nothing is looked up yet: errors are told by
 * pinion_sg_next(). */
static inline void pinion_sg_begin(struct pinion_sg *sg, const struct pinion_domain *domain,
				   const struct pinion_piece *piece, uint32_t nr)
{
	sg->domain = domain;
	sg->piece = piece;
	sg->nr = nr;
	sg->rest.buffer.bits = 0;
	sg->rest.off = sg->rest.len = 0;
}

/* Some bytes are left, and rest says where; false at the end. */
static inline int pinion_sg_more(struct pinion_sg *sg)
{
	while (!sg->rest.len && sg->nr) {
		sg->rest = *sg->piece++;
		sg->nr--;
	}
	return sg->rest.len != 0;
}

/* How many of the bytes left lie behind the first for certain: at least those of its page. */
static inline uint32_t pinion_sg_linear(const struct pinion_sg *sg)
{
	const struct pinion_domain_head *head = pinion_domain_head(sg->domain);
	uint32_t segment = pinion_buffer_id(sg->rest.buffer) >> head->segment_shift;
	uint64_t page, left;

	if ((uint64_t)sg->rest.off + sg->rest.len - 1 <=
	    atomic_load_explicit(&head->linear, memory_order_relaxed))
		return sg->rest.len;
	/* A buffer of several pages begins with one; a smaller one has no byte beyond its page. */
	page = UINT64_C(1) << head->segment[segment].page_shift;
	left = page - (sg->rest.off & (page - 1));
	return sg->rest.len < left ? sg->rest.len : (uint32_t)left;
}

/*
 * pinion_sg_next() - the next extent: 1, or 0 at the end.
 *
 * -ENXIO  the domain does not know the buffer's segment: see pinion_domain_update(), and begin anew
 */
static inline int pinion_sg_next(struct pinion_sg *sg, struct pinion_extent *extent)
{
	extent->bus = extent->len = 0;
	while (pinion_sg_more(sg)) {
		uint64_t bus = pinion_buffer_bus(sg->domain, sg->rest.buffer, sg->rest.off);
		uint32_t len = pinion_sg_linear(sg);

		if (bus & PINION_BUS_UNKNOWN)
			return -ENXIO;
		if (extent->len && bus != extent->bus + extent->len)
			return 1;
		if (!extent->len)
			extent->bus = bus;
		extent->len += len;
		sg->rest.off += len;
		sg->rest.len -= len;
	}
	return extent->len != 0;
}

#endif
