/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A progress bar while a large pool is made: each page is zeroed before the pool is there.
 *
 *     cc progress.c $(pkg-config --cflags --libs pinion) -o progress
 *     sudo hugepages reserve 0:64M && ./progress       or: ./progress --page-size 4k
 */
#include <stdio.h>

#include "example.h"

#define WIDTH 40

struct bar {
	uint32_t calls;
	uint64_t last;
};

/* In the thread that creates, at most twenty times a second. */
static void draw(void *context, uint64_t done, uint64_t total)
{
	struct bar *bar = context;
	int full = (int)(done * WIDTH / total);

	expect(done >= bar->last && done <= total, "it only grows");
	bar->calls++;
	bar->last = done;
	printf("\r[%.*s%*s] %3ju of %ju MiB", full, "########################################",
	       WIDTH - full, "", (uintmax_t)(done >> 20), (uintmax_t)(total >> 20));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct bar bar = {0};
	struct pinion_pool_config config = {
		.progress = draw,
		.progress_context = &bar,
		.nr_segments = 1,
		.segment = {{.len = 64 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	printf("\ndone, told of in %u steps\n", bar.calls);
	expect(bar.calls && bar.last == config.segment[0].len, "the last step is the whole");
	pinion_pool_destroy(pool);
	return 0;
}
