/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A list of buffers, as the fewest extents that a device must be told, and as NVMe's PRPs.
 *
 *     cc sg.c $(pkg-config --cflags --libs pinion) -o sg
 *     sudo hugepages reserve 0:4M && sudo ./sg
 */
#include <err.h>
#include <stdio.h>

#include <pinion/pinion.h>

#define NR 4

static void show(const struct pinion_domain *domain, const struct pinion_piece *piece)
{
	struct pinion_extent extent;
	struct pinion_prp prp;
	struct pinion_sg sg;
	uint64_t entry;

	for (pinion_sg_begin(&sg, domain, piece, NR); pinion_sg_next(&sg, &extent) > 0;)
		printf("extent %#jx, %ju bytes\n", (uintmax_t)extent.bus, (uintmax_t)extent.len);
	printf("%jd PRP entries\n", (intmax_t)pinion_prp_count(domain, piece, NR, 12));
	for (pinion_prp_begin(&prp, domain, piece, NR, 12); pinion_prp_next(&prp, &entry) > 0;)
		printf("entry %#jx\n", (uintmax_t)entry);
}

int main(void)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_piece piece[NR];
	struct pinion_domain *domain;
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	if (pinion_pool_create(&config, &pool) || pinion_cache_open(pool, &want, &cache) ||
	    pinion_domain_create_phys(pool, &domain))
		errx(1, "%s", pinion_error_text());
	/* A new cache gives the last buffer first: listed from the end, they are neighbours. */
	for (int i = NR - 1; i >= 0; i--) {
		piece[i] = (struct pinion_piece){.len = 4096};
		if (pinion_buffer_alloc(cache, &piece[i].buffer))
			errx(1, "no buffer is free");
	}
	show(domain, piece);

	for (int i = 0; i < NR; i++)
		pinion_buffer_free(cache, piece[i].buffer);
	pinion_domain_destroy(domain);
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
