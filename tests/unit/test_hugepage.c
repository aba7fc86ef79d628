/* SPDX-License-Identifier: BSD-3-Clause */
/* hostmem.h with real 2 MiB hugepages; needs four free ones, and root for physical addresses. */

#include <pinion/hostmem.h>

#include <sys/prctl.h>

#include "support.h"

#define HUGE ((size_t)2 << 20)
#define SYSFS "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long pages_free(void)
{
	return support_read_long(SYSFS "free_hugepages");
}

/* Pages that no mapping has claimed yet: free ones, less those reserved. */
static long pages_unclaimed(void)
{
	return pages_free() - support_read_long(SYSFS "resv_hugepages");
}

/* Those of a process that was killed come back a little after its end is told. */
static void await_free(long nr)
{
	for (int i = 0; pages_free() != nr && i < 5000; i++)
		usleep(1000);
	assert_int_equal(pages_free(), nr);
}

static struct pinion_hostmem two_pages(void)
{
	struct pinion_hostmem mem = { -1, NULL, 0, 0 };

	assert_int_equal(pinion_hostmem_create("test", 2 * HUGE, HUGE, &mem), 0);
	return mem;
}

static void pages_are_taken_by_populate_and_given_back_by_destroy(void **state)
{
	const long before = pages_free();
	struct pinion_hostmem mem = two_pages();

	(void)state;
	assert_int_equal(pages_free(), before);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, HUGE), 0);
	assert_int_equal(pages_free(), before - 1);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, 2 * HUGE), 0);
	assert_int_equal(pages_free(), before - 2);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	assert_int_equal(pages_free(), before);
}

static void the_file_says_which_pages_it_has(void **state)
{
	struct pinion_hostmem mem = two_pages();
	size_t page_size = 0;

	(void)state;
	assert_int_equal(pinion_hostmem_page_size(mem.fd, &page_size), 0);
	assert_int_equal(page_size, HUGE);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void attach_sees_what_was_written(void **state)
{
	struct pinion_hostmem mem = two_pages(), peer = { 0 };

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(pinion_hostmem_attach(dup(mem.fd), 2 * HUGE, HUGE, &peer), 0);
	strcpy((char *)mem.addr + HUGE, "second page");
	assert_string_equal((char *)peer.addr + HUGE, "second page");
	assert_int_equal(pinion_hostmem_destroy(&peer), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void attach_with_the_wrong_page_size_is_einval(void **state)
{
	struct pinion_hostmem mem = two_pages(), peer = { 0 };

	(void)state;
	assert_int_equal(pinion_hostmem_attach(mem.fd, 2 * HUGE, 4096, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_attach(mem.fd, 2 * HUGE, 2 * HUGE, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_attach(mem.fd, HUGE, HUGE, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_write_seal_closes_the_holes(void **state)
{
	struct pinion_hostmem mem = two_pages();

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);
	*(char *)mem.addr = 7;
	assert_int_equal(madvise(mem.addr, HUGE, MADV_REMOVE), -1);
	assert_int_equal(*(char *)mem.addr, 7);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void more_than_there_is_cannot_be_created(void **state)
{
	const long before = pages_unclaimed();
	const size_t len = ((size_t)before + 1) * HUGE;
	struct pinion_hostmem mem = { 0 };

	(void)state;
	assert_int_equal(pinion_hostmem_create("test", len, HUGE, &mem), -ENOMEM);
	assert_int_equal(pages_unclaimed(), before);
}

/*
 * A mapping without reservation is what a node that runs empty looks like: the mapping is there,
 * the page is not. In a child, since what is claimed not to happen is death by SIGBUS.
 */
static int populate_too_much(void *arg)
{
	struct pinion_hostmem mem = *(struct pinion_hostmem *)arg;

	mem.len = ((size_t)pages_free() + 1) * HUGE;
	if (ftruncate(mem.fd, (off_t)mem.len) < 0)
		return 99;
	mem.addr =
		mmap(NULL, mem.len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, mem.fd, 0);
	if (mem.addr == MAP_FAILED)
		return 98;
	return -pinion_hostmem_populate(&mem, 0, mem.len);
}

static void populate_without_pages_is_enomem_and_no_sigbus(void **state)
{
	const long before = pages_free();
	struct pinion_hostmem mem = two_pages();

	(void)state;
	assert_int_equal(support_child(populate_too_much, &mem), ENOMEM);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	await_free(before);
}

static void the_dead_leave_no_page_behind(void **state)
{
	const long before = pages_free();
	int status = 0, ready[2];
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct pinion_hostmem mem;

		if (pinion_hostmem_create("test", 2 * HUGE, HUGE, &mem) == 0 &&
		    pinion_hostmem_populate(&mem, 0, mem.len) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(pages_free(), before - 2);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	await_free(before);
}

static void pages_have_a_node(void **state)
{
	struct pinion_hostmem mem = two_pages();
	int node[2] = { -7, -7 };

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 0, HUGE), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, HUGE, node, 2), -EFAULT);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, HUGE, node, 2), 0);
	assert_true(node[0] >= 0 && node[1] >= 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void phys_is_aligned_and_the_same_in_every_mapping(void **state)
{
	struct pinion_hostmem mem = two_pages(), peer = { 0 };
	uint64_t phys[2] = { 0, 0 }, again[2] = { 0, 0 };
	int pagemap = -1;

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(pinion_hostmem_attach(dup(mem.fd), mem.len, HUGE, &peer), 0);
	assert_int_equal(pinion_hostmem_populate(&peer, 0, peer.len), 0);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostmem_phys(pagemap, mem.addr, HUGE, phys, 2), 0);
	assert_int_equal(pinion_hostmem_phys(pagemap, peer.addr, HUGE, again, 2), 0);
	assert_true(phys[0] != 0 && phys[0] % HUGE == 0 && phys[1] % HUGE == 0);
	assert_true(phys[0] != phys[1]);
	assert_memory_equal(phys, again, sizeof(phys));
	close(pagemap);
	assert_int_equal(pinion_hostmem_destroy(&peer), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* 4 KiB pages where hugepages are claimed: consecutive frames by chance would be no lie. */
static void small_pages_are_not_taken_for_huge_ones(void **state)
{
	char *area =
		mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = area + (HUGE - (uintptr_t)area % HUGE) % HUGE;
	uint64_t phys = 0;
	int pagemap = -1;
	size_t off;

	(void)state;
	assert_true(area != MAP_FAILED);
	assert_int_equal(madvise(area, 2 * HUGE, MADV_NOHUGEPAGE), 0);
	/* From the end to the start, so that rising frames are unlikely. */
	for (off = HUGE; off > 0; off -= 4096)
		at[off - 1] = 1;
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostmem_phys(pagemap, at, HUGE, &phys, 1), -EINVAL);
	assert_int_equal(phys, 0);
	close(pagemap);
	munmap(area, 2 * HUGE);
}

/*
 * Pairs of 4 KiB pages, asked for as pages of 8 KiB: right exactly when the frames are aligned
 * and follow each other.
 */
static void check_pair(int pagemap, const char *at, const uint64_t *phys)
{
	const bool is_one = phys[0] % 8192 == 0 && phys[1] == phys[0] + 4096;
	uint64_t both = 0;

	assert_int_equal(pinion_hostmem_phys(pagemap, at, 8192, &both, 1), is_one ? 0 : -EINVAL);
	assert_true(both == (is_one ? phys[0] : 0));
}

static void a_page_is_aligned_and_contiguous(void **state)
{
	struct pinion_hostmem mem = { 0 };
	uint64_t phys[2];
	int pagemap = -1;
	size_t off;

	(void)state;
	assert_int_equal(pinion_hostmem_create("test", 4 * HUGE, 4096, &mem), 0);
	/* Every third page first, so that neighbours are seldom neighbours in memory. */
	for (off = 0; off < mem.len; off += 3 * 4096)
		assert_int_equal(pinion_hostmem_populate(&mem, off, 4096), 0);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	for (off = (uintptr_t)mem.addr % 8192; off + 8192 <= mem.len; off += 8192) {
		const char *at = (const char *)mem.addr + off;

		assert_int_equal(pinion_hostmem_phys(pagemap, at, 4096, phys, 2), 0);
		check_pair(pagemap, at, phys);
	}
	close(pagemap);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* pagemap opened as root goes on answering; one of nobody's own does not. */
static int ask_after_dropping(void *arg)
{
	const struct pinion_hostmem *mem = arg;
	uint64_t phys = 0;
	int roots, own;

	/* A child starts without pages, even of memory it shares. */
	if (pinion_hostmem_populate(mem, 0, HUGE) < 0 || pinion_hostmem_pagemap_open(&roots) < 0)
		return 99;
	if (setgid(SUPPORT_NOBODY) < 0 || setuid(SUPPORT_NOBODY) < 0)
		return 98;
	if (pinion_hostmem_phys(roots, mem->addr, HUGE, &phys, 1) < 0 || phys == 0)
		return 97;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (pinion_hostmem_pagemap_open(&own) < 0)
		return 96;
	return -pinion_hostmem_phys(own, mem->addr, HUGE, &phys, 1);
}

static void what_counts_is_who_opened_pagemap(void **state)
{
	struct pinion_hostmem mem = two_pages();

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(support_child(ask_after_dropping, &mem), EPERM);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(pages_are_taken_by_populate_and_given_back_by_destroy),
		support_test(the_file_says_which_pages_it_has),
		support_test(attach_sees_what_was_written),
		support_test(attach_with_the_wrong_page_size_is_einval),
		support_test(a_write_seal_closes_the_holes),
		support_test(more_than_there_is_cannot_be_created),
		support_test(populate_without_pages_is_enomem_and_no_sigbus),
		support_test(the_dead_leave_no_page_behind),
		support_test(pages_have_a_node),
		support_test(phys_is_aligned_and_the_same_in_every_mapping),
		support_test(small_pages_are_not_taken_for_huge_ones),
		support_test(a_page_is_aligned_and_contiguous),
		support_test(what_counts_is_who_opened_pagemap),
	};

	if (support_read_long(SYSFS "nr_hugepages") <= 0)
		return support_skip("no 2 MiB hugepages: echo 64 > " SYSFS "nr_hugepages");
	if (pages_unclaimed() < 4)
		return support_skip("fewer than 4 hugepages of 2 MiB are free");
	if (geteuid() != 0)
		return support_skip("physical addresses need root");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
