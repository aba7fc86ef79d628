/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One process makes the table of addresses, another one looks up in it.
 *
 *     cc table.c $(pkg-config --cflags --libs pinion) -o table
 *     sudo hugepages reserve 0:4M && sudo ./table
 */
#include <err.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/pinion.h>

/* With files that it was given: here by fork, elsewhere over a Unix socket. */
static int look_up(const struct pinion_pool_fds *fds, uint32_t member, int table)
{
	struct pinion_buffer first = pinion_buffer_make(0, 1);
	struct pinion_domain *domain;
	struct pinion_pool *pool;

	if (pinion_pool_attach(fds, member, &pool) || pinion_domain_attach(pool, table, &domain))
		errx(1, "%s", pinion_error_text());
	printf("table %ju, here at %p: %#jx\n", (uintmax_t)pinion_domain_generation(domain),
	       pinion_buffer_addr(pool, first), (uintmax_t)pinion_buffer_bus(domain, first, 0));
	pinion_domain_detach(domain);
	pinion_pool_detach(pool);
	return 0;
}

int main(void)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 4 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_domain *domain;
	struct pinion_pool_fds fds;
	struct pinion_pool *pool;
	uint32_t member;

	if (pinion_pool_create(&config, &pool) || pinion_domain_create_phys(pool, &domain) ||
	    pinion_pool_admit(pool, 0, &member))
		errx(1, "%s", pinion_error_text());
	pinion_pool_export(pool, &fds);
	if (fork() == 0)
		return look_up(&fds, member, pinion_domain_fd(domain));
	wait(NULL);

	pinion_domain_destroy(domain);
	pinion_pool_destroy(pool);
	return 0;
}
