/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pin a pool, tell the physical address of a buffer, and find the buffer by that address.
 *
 *     cc phys.c $(pkg-config --cflags --libs pinion) -o phys
 *     sudo hugepages reserve 0:4M && sudo ./phys
 */
#include <err.h>
#include <stdio.h>

#include <pinion/pinion.h>

int main(void)
{
	struct pinion_pool_config config = {
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
	pinion_domain_destroy(domain);
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
