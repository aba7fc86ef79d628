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

static void show(const char *who, const struct pinion_pool *pool,
		 const struct pinion_domain *domain)
{
	struct pinion_buffer first = pinion_buffer_make(0, 1);

	printf("%s: table %ju, buffer 0 here at %p: %#jx\n", who,
	       (uintmax_t)pinion_domain_generation(domain), pinion_buffer_addr(pool, first),
	       (uintmax_t)pinion_buffer_bus(domain, first, 0));
	fflush(stdout);
}

/* With files that it was given: here by fork, elsewhere over a Unix socket. */
static int look_up(const struct pinion_pool_fds *fds, uint32_t member, int table)
{
	struct pinion_domain *domain;
	struct pinion_pool *pool;

	if (pinion_pool_attach(fds, member, &pool) || pinion_domain_attach(pool, table, &domain))
		errx(1, "%s", pinion_error_text());
	show("attached", pool, domain);
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
	int status;

	if (pinion_pool_create(&config, &pool) || pinion_domain_create_phys(pool, &domain) ||
	    pinion_pool_admit(pool, 0, &member))
		errx(1, "%s", pinion_error_text());
	show("made", pool, domain);
	pinion_pool_export(pool, &fds);
	if (fork() == 0)
		return look_up(&fds, member, pinion_domain_fd(domain));
	wait(&status);

	pinion_domain_destroy(domain);
	pinion_pool_destroy(pool);
	return status != 0;
}
