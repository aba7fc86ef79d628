/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"

#include <errno.h>

static size_t align_page(size_t len)
{
	return (len + 4095) & ~(size_t)4095;
}

uint32_t layout_magazines(const struct control_geometry *geometry, uint32_t nr)
{
	return (nr + geometry->magazine_size - 1) / geometry->magazine_size +
	       3 * geometry->nr_caches + 1;
}

/* What any segment may need, see layout_magazines(). */
static uint32_t stride_of(const struct control_geometry *geometry)
{
	return (layout_magazines(geometry, 1u << geometry->segment_shift) + 63) & ~63u;
}

int control_geometry_check(const struct control_geometry *geometry)
{
	if (!geometry->nr_segments || geometry->nr_segments > PINION_SEGMENT_MAX)
		return -EINVAL;
	if (!geometry->nr_members || geometry->nr_members > PINION_MEMBER_MAX)
		return -EINVAL;
	if (!geometry->nr_caches || geometry->nr_caches > PINION_CACHE_MAX)
		return -EINVAL;
	if (geometry->magazine_size < PINION_MAGAZINE_MIN ||
	    geometry->magazine_size > PINION_MAGAZINE_MAX)
		return -EINVAL;
	if (geometry->flags & ~PINION_POOL_FLAGS)
		return -EINVAL;
	if (geometry->segment_shift > PINION_ID_BITS)
		return -EINVAL;
	if ((uint64_t)geometry->nr_segments << geometry->segment_shift >
	    PINION_ID_MAX + UINT64_C(1))
		return -EINVAL;
	/* An owner word names a magazine of any segment by 23 bits. */
	if ((uint64_t)geometry->nr_segments * stride_of(geometry) >
	    PINION_HOLDER_INDEX_MASK + UINT64_C(1))
		return -EINVAL;
	return 0;
}

void layout_compute(const struct control_geometry *geometry, struct layout *layout)
{
	size_t segments = geometry->nr_segments;
	size_t magazines, bitmap;

	layout->stride = stride_of(geometry);
	magazines = segments * layout->stride;
	bitmap = align_page(magazines / 8);

	layout->member = 4096;
	layout->seen = layout->member + geometry->nr_members * sizeof(struct control_member);
	layout->cache = layout->seen + geometry->nr_members * sizeof(uint64_t);
	layout->owner = align_page(layout->cache + geometry->nr_caches * sizeof(uint32_t));
	layout->magazine = align_page(layout->owner + (segments << geometry->segment_shift) * 8);
	layout->depot = align_page(layout->magazine + magazines * 8);
	layout->empty = layout->depot + bitmap;
	layout->content = layout->empty + bitmap;
	layout->len = align_page(layout->content + magazines * layout_content(geometry));
}
