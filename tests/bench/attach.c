/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * attach: join a pool of 1 GiB (--len); microseconds.
 *
 *     pinion   pinion_pool_attach()
 *     bare     mmap of the same files, nothing checked: the limit
 *
 * The pages are there already; neither touches them. Detaching is not in the number.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool.h"

#define BUFFER_SIZE 4096u

/* Another set of descriptors: attach takes over what it gets. */
static void copy_fds(const struct pinion_pool_fds *from, struct pinion_pool_fds *to)
{
	*to = *from;
	to->control = fcntl(from->control, F_DUPFD_CLOEXEC, 0);
	to->segment[0] = fcntl(from->segment[0], F_DUPFD_CLOEXEC, 0);
	if (to->control < 0 || to->segment[0] < 0)
		bench_die("dup: %s", strerror(errno));
}

static void run_pinion(struct bench *b)
{
	struct pinion_pool *pool = bench_pool(b, b->len, BUFFER_SIZE);
	struct pinion_pool_fds ours, copy;
	uint32_t member;

	pinion_pool_export(pool, &ours);
	bench_check(pinion_pool_admit(pool, getpid(), &member));
	while (bench_more(b)) {
		struct pinion_pool *joined;
		uint64_t start;

		copy_fds(&ours, &copy);
		start = bench_now_ns();
		bench_check(pinion_pool_attach(&copy, member, &joined));
		bench_sample(b, (double)(bench_now_ns() - start) / 1000);
		bench_check(pinion_pool_detach(joined));
	}
}

static size_t map(int fd, void **addr)
{
	struct stat status;

	if (fstat(fd, &status))
		bench_die("fstat: %s", strerror(errno));
	*addr = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*addr == MAP_FAILED)
		bench_die("mmap: %s", strerror(errno));
	return (size_t)status.st_size;
}

static void run_bare(struct bench *b)
{
	struct pinion_pool *pool = bench_pool(b, b->len, BUFFER_SIZE);
	struct pinion_pool_fds fds;

	pinion_pool_export(pool, &fds);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();
		void *control, *segment;
		size_t control_len = map(fds.control, &control);
		size_t segment_len = map(fds.segment[0], &segment);

		bench_sample(b, (double)(bench_now_ns() - start) / 1000);
		(void)munmap(control, control_len);
		(void)munmap(segment, segment_len);
	}
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"attach", "pinion", "us", run_pinion, 0},
		{"attach", "bare", "us", run_bare, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
