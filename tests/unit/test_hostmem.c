/* SPDX-License-Identifier: BSD-3-Clause */
/* hostmem.h with pages of the base size: needs no reservation, runs anywhere. */

#include <pinion/hostmem.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "support.h"

#define KIB UINT64_C(1024)
#define LEN (16 * 4096)

static struct pinion_hostmem plain(void)
{
	struct pinion_hostmem mem = { -1, NULL, 0, 0 };

	assert_int_equal(pinion_hostmem_create("test", LEN, 4096, &mem), 0);
	return mem;
}

static void sizes_that_cannot_be_are_einval(void **state)
{
	struct pinion_hostmem mem, before;

	(void)state;
	memset(&mem, 0xee, sizeof(mem));
	before = mem;
	assert_int_equal(pinion_hostmem_create("test", 0, 4096, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create("test", 4097, 4096, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create("test", 4096, 0, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create("test", 4096, 2048, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create("test", 12288, 12288, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create("test", 4096, 2048 * KIB, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create("test", SIZE_MAX - 4095, 4096, &mem), -EINVAL);
	assert_int_equal(pinion_hostmem_create(NULL, 4096, 4096, &mem), -EFAULT);
	assert_memory_equal(&mem, &before, sizeof(mem));
}

static void a_hugepage_size_the_kernel_lacks_is_refused(void **state)
{
	struct pinion_hostmem mem = { 0 };

	(void)state;
	/* 8 KiB: no processor has such a page. */
	assert_int_equal(pinion_hostmem_create("test", 8192, 8192, &mem), -ENODEV);
}

static void the_file_is_private_to_its_owner(void **state)
{
	struct pinion_hostmem mem = plain();
	struct stat st;
	int seals = -1;

	(void)state;
	assert_int_equal(fstat(mem.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, LEN);
	assert_int_equal(fcntl(mem.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pinion_hostmem_seals(mem.fd, &seals), 0);
	assert_int_equal(seals & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	assert_int_equal(mem.fd, -1);
	assert_null(mem.addr);
}

static void nothing_is_there_before_populate(void **state)
{
	struct pinion_hostmem mem = plain();
	int node[16];
	struct stat st;

	(void)state;
	assert_int_equal(pinion_hostmem_node(mem.addr, 4096, node, 16), -EFAULT);
	assert_int_equal(pinion_hostmem_populate(&mem, 4096, 8192), 0);
	assert_int_equal(fstat(mem.fd, &st), 0);
	assert_int_equal(st.st_blocks, 2 * 8);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, LEN), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, 4096, node, 16), 0);
	assert_true(node[0] >= 0 && node[15] >= 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void populate_outside_the_memory_is_einval(void **state)
{
	struct pinion_hostmem mem = plain();

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 1, 4096), -EINVAL);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, 1), -EINVAL);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, LEN + 4096), -EINVAL);
	assert_int_equal(pinion_hostmem_populate(&mem, LEN + 4096, 0), -EINVAL);
	assert_int_equal(pinion_hostmem_populate(&mem, 4096, SIZE_MAX - 4095), -EINVAL);
	assert_int_equal(pinion_hostmem_populate(&mem, LEN, 0), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* 1000 pages: more than one batch of move_pages(2), and no multiple of it. */
static void nodes_are_asked_for_in_batches(void **state)
{
	struct pinion_hostmem mem = { 0 };
	int node[1000], i;

	(void)state;
	memset(node, 0xee, sizeof(node));
	assert_int_equal(pinion_hostmem_create("test", 1000 * 4096, 4096, &mem), 0);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len - 4096), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, 4096, node, 1000), -EFAULT);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, 4096, node, 1000), 0);
	for (i = 0; i < 1000; i++)
		assert_true(node[i] >= 0 && node[i] < 1024);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void both_mappings_show_the_same_memory(void **state)
{
	struct pinion_hostmem mem = plain(), peer = { 0 };

	(void)state;
	assert_int_equal(pinion_hostmem_attach(dup(mem.fd), LEN, 4096, &peer), 0);
	assert_true(peer.addr != mem.addr);
	strcpy(mem.addr, "here");
	assert_string_equal(peer.addr, "here");
	assert_int_equal(pinion_hostmem_destroy(&peer), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void a_sender_that_lies_about_sizes_is_refused(void **state)
{
	struct pinion_hostmem mem = plain(), peer, before;

	(void)state;
	memset(&peer, 0xee, sizeof(peer));
	before = peer;
	assert_int_equal(pinion_hostmem_attach(mem.fd, LEN + 4096, 4096, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_attach(mem.fd, LEN - 4096, 4096, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_attach(mem.fd, LEN, 8192, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_attach(mem.fd, 2048 * KIB, 2048 * KIB, &peer), -EINVAL);
	assert_int_equal(pinion_hostmem_attach(-1, LEN, 4096, &peer), -EBADF);
	assert_memory_equal(&peer, &before, sizeof(peer));
	/* Refused, the descriptor is still the caller's. */
	assert_int_equal(fcntl(mem.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void what_is_no_memory_is_enotsup(void **state)
{
	struct pinion_hostmem peer = { 0 };
	int seals, pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pinion_hostmem_attach(pair[0], LEN, 4096, &peer), -ENOTSUP);
	assert_int_equal(pinion_hostmem_seals(pair[0], &seals), -EINVAL);
	close(pair[0]);
	close(pair[1]);
}

static void a_sealed_memory_keeps_its_size(void **state)
{
	struct pinion_hostmem mem = plain();
	int seals = 0;

	(void)state;
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(pinion_hostmem_seals(mem.fd, &seals), 0);
	assert_int_equal(seals & (F_SEAL_SHRINK | F_SEAL_GROW), F_SEAL_SHRINK | F_SEAL_GROW);
	assert_int_equal(ftruncate(mem.fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(mem.fd, 2 * LEN), -1);
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_WRITE), -EBUSY);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void who_comes_after_the_write_seal_is_eperm(void **state)
{
	struct pinion_hostmem mem = plain(), peer = { 0 };

	(void)state;
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 0);
	assert_int_equal(pinion_hostmem_attach(mem.fd, LEN, 4096, &peer), -EPERM);
	/* The mapping made before goes on working, and cannot be punched. */
	strcpy(mem.addr, "still");
	assert_int_equal(madvise(mem.addr, LEN, MADV_REMOVE), -1);
	assert_string_equal(mem.addr, "still");
	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_GROW), -EPERM);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* As nobody, with a pagemap of one's own: the kernel lets it be opened and shows zeroes. */
static int ask_as_nobody(void *arg)
{
	const struct pinion_hostmem *mem = arg;
	uint64_t phys = 0;
	int pagemap, err;

	/* A child starts without pages, even of memory it shares. */
	if (pinion_hostmem_populate(mem, 0, 4096) < 0)
		return 98;
	if (geteuid() == 0 && (setgid(SUPPORT_NOBODY) < 0 || setuid(SUPPORT_NOBODY) < 0))
		return 99;
	/* A change of uid makes /proc/self root's, until the process is dumpable again. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	err = pinion_hostmem_pagemap_open(&pagemap);
	if (err < 0)
		return -err;
	return -pinion_hostmem_phys(pagemap, mem->addr, 4096, &phys, 1);
}

static void frame_0_is_eperm_and_never_an_address(void **state)
{
	struct pinion_hostmem mem = plain();

	(void)state;
	assert_int_equal(pinion_hostmem_populate(&mem, 0, LEN), 0);
	assert_int_equal(support_child(ask_as_nobody, &mem), EPERM);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void phys_of_what_is_not_there_is_efault(void **state)
{
	struct pinion_hostmem mem = plain();
	uint64_t phys[16];
	int pagemap = -1;

	(void)state;
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostmem_phys(pagemap, mem.addr, 4096, phys, 16), -EFAULT);
	close(pagemap);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static void phys_of_crooked_pages_is_einval(void **state)
{
	struct pinion_hostmem mem = plain();
	const char *at = mem.addr;
	uint64_t phys[16];

	(void)state;
	assert_int_equal(pinion_hostmem_phys(-1, at + 1, 4096, phys, 1), -EINVAL);
	assert_int_equal(pinion_hostmem_phys(-1, at, 0, phys, 1), -EINVAL);
	assert_int_equal(pinion_hostmem_phys(-1, at, 12288, phys, 1), -EINVAL);
	assert_int_equal(pinion_hostmem_phys(-1, at, 4096, phys, SIZE_MAX / 4096), -EINVAL);
	assert_int_equal(pinion_hostmem_node(at, 0, (int *)phys, 1), -EINVAL);
	assert_int_equal(pinion_hostmem_node(at, 4096, (int *)phys, SIZE_MAX), -EINVAL);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Files left open down to the last one: each step of create can then fail for want of it. */
static void without_descriptors_nothing_is_held(void **state)
{
	struct rlimit was, none;
	struct pinion_hostmem mem = { 0 };
	int pagemap;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(pinion_hostmem_create("test", LEN, 4096, &mem), -EMFILE);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

/* The map fails after the memfd was made: the descriptor must be closed again. */
static void without_address_space_nothing_is_held(void **state)
{
	struct rlimit was, less;
	struct pinion_hostmem mem = { 0 };
	int err;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_AS, &was), 0);
	less = was;
	less.rlim_cur = (rlim_t)1 << 38;
	assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
	err = pinion_hostmem_create("test", (size_t)1 << 40, 4096, &mem);
	assert_int_equal(setrlimit(RLIMIT_AS, &was), 0);
	assert_int_equal(err, -ENOMEM);
}

/* Sizes as the kernel's own directory has them; a row that is too short has the smallest. */
static void every_size_of_hugepages_is_told_smallest_first(void **state)
{
	size_t size[16], one[1] = { 0 };
	DIR *dir = opendir("/sys/kernel/mm/hugepages");
	const int nr = pinion_hostmem_sizes(size, 16);
	const struct dirent *entry;
	int entries = 0;

	(void)state;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char name[64];
		int known = entry->d_name[0] == '.';

		for (int i = 0; i < nr; i++) {
			snprintf(name, sizeof(name), "hugepages-%zukB", size[i] / 1024);
			known += strcmp(name, entry->d_name) == 0;
		}
		assert_int_equal(known, 1);
		entries += entry->d_name[0] != '.';
	}
	if (dir != NULL)
		closedir(dir);
	assert_int_equal(nr, entries);
	for (int i = 1; i < nr; i++)
		assert_true(size[i - 1] < size[i]);
	assert_int_equal(pinion_hostmem_sizes(NULL, 0), nr);
	assert_int_equal(pinion_hostmem_sizes(one, 1), nr);
	assert_true(nr == 0 || one[0] == size[0]);
}

static void a_row_of_sizes_is_in_order_however_they_come(void **state)
{
	const size_t come[] = { 5, 2, 9, 1, 7 };

	(void)state;
	for (size_t room = 0; room <= 6; room++) {
		const size_t want[] = { 1, 2, 5, 7, 9 };
		size_t size[7];

		memset(size, 0xee, sizeof(size));
		for (size_t i = 0; i < 5; i++)
			pinion_hostmem_insert(size, i, room, come[i]);
		for (size_t i = 0; i < 7; i++)
			assert_int_equal(size[i], i < room && i < 5 ? want[i] : 0xeeeeeeeeeeeeeeee);
	}
}

static void a_file_with_a_name_is_made_once_and_outlives_its_maker(void **state)
{
	const char *path = "/dev/shm/pinion-test-hostmem";
	struct pinion_hostmem mem = { 0 }, other = { 0 };
	struct stat st;

	(void)state;
	unlink(path);
	assert_int_equal(pinion_hostmem_create_at(path, LEN, 4096, &mem), 0);
	strcpy(mem.addr, "kept");
	assert_int_equal(pinion_hostmem_create_at(path, LEN, 4096, &other), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fcntl(mem.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	assert_int_equal(
		pinion_hostmem_attach(open(path, O_RDWR | O_CLOEXEC), LEN, 4096, &mem), 0);
	assert_string_equal(mem.addr, "kept");
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	assert_int_equal(unlink(path), 0);
}

static void a_file_with_a_name_that_fails_leaves_none(void **state)
{
	const char *path = "/dev/shm/pinion-test-hostmem";
	struct pinion_hostmem mem = { 0 };

	(void)state;
	unlink(path);
	assert_int_equal(pinion_hostmem_create_at(path, 4097, 4096, &mem), -EINVAL);
	/* tmpfs has no hugepages, and says so. */
	assert_int_equal(pinion_hostmem_create_at(path, 2048 * KIB, 2048 * KIB, &mem), -ENOTSUP);
	assert_int_equal(pinion_hostmem_create_at("/dev/shm/none/here", LEN, 4096, &mem), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	/* A link is not followed, wherever it leads. */
	assert_int_equal(symlink("/dev/shm/pinion-test-elsewhere", path), 0);
	assert_int_equal(pinion_hostmem_create_at(path, LEN, 4096, &mem), -EEXIST);
	assert_int_equal(access("/dev/shm/pinion-test-elsewhere", F_OK), -1);
	assert_int_equal(unlink(path), 0);
}

static void a_node_that_is_not_there_cannot_be_bound_to(void **state)
{
	struct pinion_hostmem mem = plain();
	int node[16] = { 0 };

	(void)state;
	assert_int_equal(pinion_hostmem_bind(&mem, -1), -EINVAL);
	assert_int_equal(pinion_hostmem_bind(&mem, 1023), -EINVAL);
	assert_int_equal(pinion_hostmem_bind(&mem, 1024), -EINVAL);
	assert_int_equal(pinion_hostmem_bind(&mem, 0), 0);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, LEN), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, 4096, node, 16), 0);
	for (int i = 0; i < 16; i++)
		assert_int_equal(node[i], 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Small pages are read in bulk: the same numbers, or the same refusal, as one by one. */
static void many_small_pages_are_where_each_of_them_is(void **state)
{
	struct pinion_hostmem mem = { 0 };
	static uint64_t phys[5000];
	int pagemap = -1, err;

	(void)state;
	assert_int_equal(pinion_hostmem_create("test", sizeof(phys) / 8 * 4096, 4096, &mem), 0);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len - 4096), 0);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	err = pinion_hostmem_phys(pagemap, mem.addr, 4096, phys, 4999);
	for (size_t i = 0; i < 4999; i++) {
		uint64_t one = 0;

		assert_int_equal(pinion_hostmem_phys(pagemap, (char *)mem.addr + i * 4096, 4096,
						     &one, 1), err);
		assert_true(err < 0 || (one == phys[i] && one % 4096 == 0));
	}
	/* The last one is not there. */
	err = pinion_hostmem_phys(pagemap, mem.addr, 4096, phys, 5000);
	assert_true(err == -EFAULT || err == -EPERM);
	assert_int_equal(pinion_hostmem_phys(pagemap, (char *)mem.addr + 4999 * 4096, 4096, phys,
					     1), -EFAULT);
	close(pagemap);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(sizes_that_cannot_be_are_einval),
		support_test(a_hugepage_size_the_kernel_lacks_is_refused),
		support_test(the_file_is_private_to_its_owner),
		support_test(nothing_is_there_before_populate),
		support_test(populate_outside_the_memory_is_einval),
		support_test(nodes_are_asked_for_in_batches),
		support_test(both_mappings_show_the_same_memory),
		support_test(a_sender_that_lies_about_sizes_is_refused),
		support_test(what_is_no_memory_is_enotsup),
		support_test(a_sealed_memory_keeps_its_size),
		support_test(who_comes_after_the_write_seal_is_eperm),
		support_test(frame_0_is_eperm_and_never_an_address),
		support_test(phys_of_what_is_not_there_is_efault),
		support_test(phys_of_crooked_pages_is_einval),
		support_test(every_size_of_hugepages_is_told_smallest_first),
		support_test(a_row_of_sizes_is_in_order_however_they_come),
		support_test(a_file_with_a_name_is_made_once_and_outlives_its_maker),
		support_test(a_file_with_a_name_that_fails_leaves_none),
		support_test(a_node_that_is_not_there_cannot_be_bound_to),
		support_test(many_small_pages_are_where_each_of_them_is),
		support_test(without_descriptors_nothing_is_held),
		support_test(without_address_space_nothing_is_held),
	};

	/* The tests count in pages of 4 KiB. */
	if (pinion_hostmem_base_page() != 4096)
		return support_skip("base pages are not 4 KiB");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
