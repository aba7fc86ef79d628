/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_VFIO_CHAIN_H
#define PINION_TESTS_VFIO_CHAIN_H

/* What an info ioctl of VFIO fills, by hand: a structure, and capabilities chained behind it. */

#include <linux/vfio.h>
#include <stdint.h>
#include <string.h>

/* An info buffer under construction; chain_put() appends a capability and links it to the last. */
struct chain {
	_Alignas(8) unsigned char info[1024];
	size_t len;
	size_t link; /* where the offset of the next capability belongs */
};

/* A structure of so many bytes, with the offset of the first capability at link. */
static inline void chain_start(struct chain *c, size_t fixed, size_t link)
{
	memset(c, 0, sizeof(*c));
	c->len = fixed;
	c->link = link;
}

/* Offset at which the capability now stands. */
static inline uint32_t chain_put(struct chain *c, uint16_t id, const void *body, size_t len)
{
	const struct vfio_info_cap_header cap = {id, 1, 0};
	const uint32_t at = (uint32_t)c->len;

	memcpy(c->info + c->link, &at, sizeof(at));
	memcpy(c->info + at, &cap, sizeof(cap));
	memcpy(c->info + at + sizeof(cap), body, len);
	c->link = at + offsetof(struct vfio_info_cap_header, next);
	c->len += sizeof(cap) + len;
	return at;
}

static inline void chain_point_last_at(struct chain *c, uint32_t at)
{
	memcpy(c->info + c->link, &at, sizeof(at));
}

#endif
