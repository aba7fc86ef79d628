/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ask whether the addresses that devices were told are still those of the pool, before and after
 * something that must never happen: a member frees a page under everybody's feet.
 *
 *     cc audit.c $(pkg-config --cflags --libs pinion) -o audit
 *     sudo hugepages reserve 0:6M && sudo ./audit
 */
#include <err.h>
#include <stdio.h>
#include <sys/mman.h>

#include <pinion/pinion.h>

static void show(const struct pinion_domain *domain)
{
	struct pinion_domain_move move;

	if (!pinion_domain_audit(domain, &move))
		printf("every page is where the table says\n");
	else
		printf("%s\n", pinion_error_text());
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

	if (pinion_pool_create(&config, &pool) || pinion_domain_create_phys(pool, &domain))
		errx(1, "%s", pinion_error_text());
	show(domain);
	if (madvise(pinion_buffer_addr(pool, pinion_buffer_make(1, 1)), 2 << 20, MADV_REMOVE))
		err(1, "madvise");
	show(domain);

	pinion_domain_destroy(domain);
	pinion_pool_destroy(pool);
	return 0;
}
