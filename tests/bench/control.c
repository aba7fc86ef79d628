/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control: memory that is not data, in a pool of 1 GiB (--len) of 4 KiB buffers, all of it made as
 * by default; percent of the data.
 *
 * What is counted is what the control area occupies, not its length: its file is sparse. All that
 * is ever used is populated when the pool is made, so it does not grow later.
 */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "pool.h"

#define BUFFER_SIZE 4096u

static void run_pinion(struct bench *b)
{
	struct pinion_pool *pool = bench_pool_by_default(b, b->len, BUFFER_SIZE);
	struct pinion_pool_fds fds;
	struct stat status;

	pinion_pool_export(pool, &fds);
	if (fstat(fds.control, &status))
		bench_die("fstat: %s", strerror(errno));
	/* stat(2) counts blocks of 512 bytes, whatever the file system's are. */
	bench_figure(b, 100.0 * 512 * (double)status.st_blocks / (double)b->len);
	bench_check(pinion_pool_destroy(pool));
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"control", "pinion", "%", run_pinion, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
