/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ask whether the addresses that devices were told are still those of the pool, before and after
 * something that must never happen: a member frees a page under everybody's feet. From then on
 * addresses that were kept are not current.
 *
 *     cc audit.c $(pkg-config --cflags --libs pinion) -o audit
 *     sudo hugepages reserve 0:6M && sudo ./audit
 */
#include <err.h>
#include <stdio.h>
#include <sys/mman.h>

#include <pinion/pinion.h>

static void show(const struct pinion_domain *domain, uint64_t generation)
{
	struct pinion_domain_move move;

	if (!pinion_domain_audit(domain, &move))
		printf("every page is where the table says\n");
	else
		printf("%s\n", pinion_error_text());
	printf("addresses of generation %ju are %s\n", (uintmax_t)generation,
	       pinion_domain_is_current(domain, generation) ? "current" : "not to be used");
}

int main(void)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 2 << 20, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_domain *domain;
	struct pinion_pool *pool;
	uint64_t generation;

	if (pinion_pool_create(&config, &pool) || pinion_domain_create_phys(pool, &domain))
		errx(1, "%s", pinion_error_text());
	generation = pinion_domain_generation(domain);
	show(domain, generation);
	if (madvise(pinion_buffer_addr(pool, pinion_buffer_make(1, 1)), 2 << 20, MADV_REMOVE))
		err(1, "madvise");
	show(domain, generation);

	pinion_domain_destroy(domain);
	pinion_pool_destroy(pool);
	return 0;
}
