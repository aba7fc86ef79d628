/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pin a pool, tell the physical address of a buffer, and find the buffer by that address; and the
 * same of a segment that came later.
 *
 *     cc phys.c $(pkg-config --cflags --libs pinion) -o phys
 *     sudo hugepages reserve 0:8M && sudo ./phys
 */
#include <err.h>
#include <stdio.h>

#include <pinion/pinion.h>

/* The table of addresses knows the segments that were there when it was made, or updated. */
static void follow(struct pinion_pool *pool, struct pinion_domain *domain)
{
	struct pinion_segment_config more = {.len = 2 << 20, .buffer_size = 65536,
					     .page_size = 2 << 20, .node = PINION_NODE_ANY};
	struct pinion_cache_config want = {.buffer_size = 65536, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	uint32_t slot;

	if (pinion_pool_grow(pool, &more, &slot) || pinion_cache_open(pool, &want, &cache))
		errx(1, "%s", pinion_error_text());
	if (pinion_buffer_alloc(cache, &buffer))
		errx(1, "no large buffer is free");
	if (!(pinion_buffer_phys(domain, buffer, 0).addr & PINION_BUS_UNKNOWN))
		errx(1, "an address that nobody looked up");
	if (pinion_domain_update(domain) != 1)
		errx(1, "nothing changed: %s", pinion_error_text());
	printf("buffer %u of the new segment %u: %#jx\n", pinion_buffer_id(buffer), slot,
	       (uintmax_t)pinion_buffer_phys(domain, buffer, 0).addr);
	pinion_buffer_free(cache, buffer);
	pinion_cache_close(cache);
}

int main(void)
{
	struct pinion_pool_config config = {
		.max_segments = 2,
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_domain *domain;
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	uint32_t id, off;
	pinion_phys phys;

	if (pinion_pool_create(&config, &pool) || pinion_cache_open(pool, &want, &cache) ||
	    pinion_domain_create_phys(pool, &domain))
		errx(1, "%s", pinion_error_text());
	if (pinion_buffer_alloc(cache, &buffer))
		errx(1, "no buffer is free");
	phys = pinion_buffer_phys(domain, buffer, 100);
	printf("byte 100 of buffer %u: %#jx\n", pinion_buffer_id(buffer), (uintmax_t)phys.addr);

	/* A completion that names an address: whose is it? */
	if (pinion_domain_find(domain, phys.addr, &id, &off))
		errx(1, "no buffer is there");
	printf("%#jx: byte %u of buffer %u\n", (uintmax_t)phys.addr, off, id);

	pinion_buffer_free(cache, buffer);
	follow(pool, domain);
	pinion_domain_destroy(domain);
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
