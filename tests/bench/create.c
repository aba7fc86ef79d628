/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * create: a pool of 1 GiB (--len) of 4 KiB buffers, made and populated; milliseconds.
 *
 *     pinion   pinion_pool_create()
 *     bare     the same memory and nothing else, with one call each of memfd_create(), mmap() and
 *              madvise(MADV_POPULATE_WRITE): the limit, nearly all of it the kernel's zeroing
 *
 * Giving the memory back is not in the number.
 */

#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool.h"

#define BUFFER_SIZE 4096u

/* Populating small pages is another benchmark. */
static void need_huge(const struct bench *b)
{
	if (!b->huge)
		bench_skip("create is about pages of 2 MiB: %zu of them must be free",
			   b->len / BENCH_HUGE);
}

static void run_pinion(struct bench *b)
{
	need_huge(b);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();
		struct pinion_pool *pool = bench_pool(b, b->len, BUFFER_SIZE);

		bench_sample(b, (double)(bench_now_ns() - start) / 1e6);
		bench_check(pinion_pool_destroy(pool));
	}
}

/* The file; its memory is at @addr. */
static int populate(const struct bench *b, void **addr)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | (b->huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));

	if (fd < 0 || ftruncate(fd, (off_t)b->len))
		bench_die("memfd: %s", strerror(errno));
	*addr = mmap(NULL, b->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*addr == MAP_FAILED || madvise(*addr, b->len, MADV_POPULATE_WRITE))
		bench_die("cannot populate %zu bytes: %s", b->len, strerror(errno));
	return fd;
}

static void run_bare(struct bench *b)
{
	need_huge(b);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();
		void *addr;
		int fd = populate(b, &addr);

		bench_sample(b, (double)(bench_now_ns() - start) / 1e6);
		(void)munmap(addr, b->len);
		(void)close(fd);
	}
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"create", "pinion", "ms", run_pinion, 0},
		{"create", "bare", "ms", run_bare, 0},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
