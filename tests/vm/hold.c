/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold POOL: attaches, takes every buffer of the pool, says "held", and keeps them until it is
 * killed.
 */
#include <err.h>
#include <stdio.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/client.h>
#include <pinion/error.h>

int main(int argc, char **argv)
{
	const struct pinion_cache_config config = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	unsigned nr = 0;

	if (argc != 2)
		errx(2, "usage: hold pool:NAME");
	if (pinion_client_open(argv[1], NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &config, &cache))
		errx(1, "%s", pinion_error_text());
	while (!pinion_buffer_alloc(cache, &buffer))
		++nr;
	printf("held %u\n", nr);
	fflush(stdout);
	for (;;)
		pause();
}
