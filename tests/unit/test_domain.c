/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * domain.h on physical addresses, against this kernel's own page table; VFIO needs a device and
 * is tested in the virtual machine. Root and eight free hugepages of 2 MiB are needed for most.
 */

#include <grp.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "domain_table.h"
#include "domain_support.h"

static void addresses_are_those_of_the_page_table(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);

	(void)state;
	assert_int_equal(pinion_domain_head(domain)->kind, PINION_DOMAIN_PHYS);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void all_pages_and_pins_come_back(void **state)
{
	const long before = support_read_long(HUGE_FREE);

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct pinion_pool *pool = huge_pool();
		struct pinion_domain *one = domain_make(pool), *two = domain_make(pool);

		assert_int_equal(pinion_domain_destroy(one), 0);
		assert_int_equal(pinion_domain_destroy(two), 0);
		assert_int_equal(pinion_pool_destroy(pool), 0);
	}
	assert_int_equal(support_read_long(HUGE_FREE), before);
}

static void pages_of_4_kib_are_enotsup(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_domain *domain = NULL;

	(void)state;
	errno = 4711;
	assert_int_equal(pinion_domain_create_phys(pool, &domain), -ENOTSUP);
	assert_int_equal(errno, 4711);
	assert_sentence("segment 0 has pages of 4 KiB");
	assert_null(domain);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* In a child: nobody, with no capability. 0 or the line that failed. */
static int become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(SUPPORT_NOBODY, SUPPORT_NOBODY, SUPPORT_NOBODY) ||
	    setresuid(SUPPORT_NOBODY, SUPPORT_NOBODY, SUPPORT_NOBODY))
		return -1;
	/* A change of uid makes a process undumpable, and its own /proc files root's. */
	return prctl(PR_SET_DUMPABLE, 1);
}

static int create_as_nobody(void *arg)
{
	struct pinion_domain *domain = NULL;

	if (become_nobody())
		return 1;
	if (pinion_domain_create_phys(arg, &domain) != -EPERM || domain != NULL)
		return 2;
	return strstr(pinion_error_text(), "CAP_SYS_ADMIN") == NULL ? 3 : 0;
}

static void without_privilege_it_is_eperm_and_never_an_address_of_0(void **state)
{
	struct pinion_pool *pool = huge_pool();

	(void)state;
	assert_int_equal(support_child(create_as_nobody, pool), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Drops one capability from the effective ones. libc has no call for it: capset(2). */
static int drop_capability(int capability)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[capability / 32].effective &= ~(1u << capability % 32);
	return (int)syscall(SYS_capset, &header, data);
}

/* memlock counts for pins of whoever lacks CAP_IPC_LOCK: too little is an error with a remedy. */
static int create_with_memlock(size_t bytes, struct pinion_pool *pool)
{
	const struct rlimit limit = {bytes, bytes};
	struct pinion_domain *domain = NULL;

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || drop_capability(CAP_IPC_LOCK))
		return 1;
	if (pinion_domain_create_phys(pool, &domain) != -ENOMEM || domain != NULL)
		return 2;
	return strstr(pinion_error_text(), "ulimit -l") == NULL ? 3 : 0;
}

static int create_without_memlock(void *arg)
{
	return create_with_memlock(0, arg);
}

static int create_with_a_page_of_memlock(void *arg)
{
	return create_with_memlock(HUGE_PAGE, arg);
}

static void too_little_memlock_is_enomem_and_names_the_limit(void **state)
{
	struct pinion_pool *pool = huge_pool();

	(void)state;
	assert_int_equal(support_child(create_without_memlock, pool), 0);
	assert_int_equal(support_child(create_with_a_page_of_memlock, pool), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Another process, with no privilege, at other addresses: the same table. */
struct attach_arg {
	struct pinion_pool_fds fds;
	uint32_t member;
	int table;
	const struct pinion_domain *domain;
};

static int attach_as_nobody(void *arg)
{
	const struct attach_arg *want = arg;
	struct pinion_domain *domain;
	struct pinion_pool *pool;

	if (become_nobody() || pinion_pool_attach(&want->fds, want->member, &pool))
		return 1;
	if (pinion_domain_attach(pool, want->table, &domain))
		return 2;
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (uint32_t i = 0; i < pool->segment[s].nr; i++) {
			const struct pinion_buffer buffer =
				pinion_buffer_make((s << pool->geometry.segment_shift) + i, 9);

			if (pinion_buffer_bus(domain, buffer, 5) !=
			    pinion_buffer_bus(want->domain, buffer, 5))
				return 3;
		}
	return pinion_domain_detach(domain) || pinion_pool_detach(pool) ? 4 : 0;
}

static void an_attached_table_gives_the_same_addresses(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	struct attach_arg arg = {.table = pinion_domain_fd(domain), .domain = domain};

	(void)state;
	pinion_pool_export(pool, &arg.fds);
	assert_int_equal(pinion_pool_admit(pool, 0, &arg.member), 0);
	assert_int_equal(support_child(attach_as_nobody, &arg), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Whoever has the table's fd can read and do nothing else, root of the maker's machine or not. */
static int change_table(void *arg)
{
	const int fd = *(int *)arg;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 1;
	if (pwrite(fd, "x", 1, 0) != -1 || ftruncate(fd, 0) != -1)
		return 2;
	if (getuid() != 0 && (open(path, O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES))
		return 3;
	if (getuid() == 0) {
		/* Root may open it, but not write: the seal is the file's. */
		const int again = open(path, O_RDWR | O_CLOEXEC);

		if (again < 0 || pwrite(again, "x", 1, 0) != -1 ||
		    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED)
			return 4;
		if (fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != -1)
			return 5;
	}
	return 0;
}

static int change_table_as_nobody(void *arg)
{
	return become_nobody() ? 99 : change_table(arg);
}

static void the_table_cannot_be_changed_by_anyone(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	int fd = pinion_domain_fd(domain);

	(void)state;
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(support_child(change_table_as_nobody, &fd), 0);
	assert_int_equal(support_child(change_table, &fd), 0);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Neither a container nor an iommufd, and no descriptor at all. */
static void what_is_no_container_is_said_and_nothing_mapped(void **state)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct {
		struct pinion_domain_config config;
		int err;
		const char *part;
	} bad[] = {
		{{.container = -1}, -EBADF, "the container does not tell"},
		{{.container = null}, -ENOTTY, "the container does not tell"},
		{{.container = null, .ioas = 5}, -ENOTTY, "the iommufd does not tell"},
		{{.container = null, .policy = 2}, -EINVAL, "policy 2"},
	};
	struct pinion_pool *pool = pool_make(64);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pinion_domain *domain = NULL;

		assert_int_equal(pinion_domain_create_iova(pool, &bad[i].config, &domain),
				 bad[i].err);
		assert_null(domain);
		assert_sentence(bad[i].part);
	}
	assert_int_equal(close(null), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void no_descriptor_is_no_table(void **state)
{
	struct pinion_pool *pool = pool_make(64);
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(pinion_domain_attach(pool, -1, &domain), -EBADF);
	assert_null(domain);
	assert_sentence("address table");
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Refused, and the file still the caller's. */
static void table_refused(const struct pinion_pool *pool, int fd)
{
	struct pinion_domain *domain = NULL;
	const int open = support_fd_count(), maps = pool_maps();

	errno = 4711;
	assert_int_equal(pinion_domain_attach(pool, fd, &domain), -EPROTO);
	assert_int_equal(errno, 4711);
	assert_null(domain);
	assert_sentence("address table");
	assert_int_equal(support_fd_count(), open);
	assert_int_equal(pool_maps(), maps);
}

static void a_table_of_another_pool_is_eproto(void **state)
{
	struct pinion_pool *pool = huge_pool(), *other = pool_make(64);
	struct pinion_domain *domain = domain_make(pool);

	(void)state;
	table_refused(other, pinion_domain_fd(domain));
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(other), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* A copy of a good table in a file of the test's own, to be spoiled. */
static int forge(const struct pinion_domain *domain, int seals, void (*spoil)(struct table *))
{
	const struct pinion_hostmem *good = &domain_of(domain)->table;
	const int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct table *copy = malloc(good->len);

	memcpy(copy, good->addr, good->len);
	if (spoil != NULL)
		spoil(copy);
	assert_int_equal(write(fd, copy, good->len), (ssize_t)good->len);
	free(copy);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void spoil_magic(struct table *table)
{
	table->magic++;
}

static void spoil_version(struct table *table)
{
	table->version++;
}

static void spoil_kind(struct table *table)
{
	table->kind = 3;
}

static void spoil_other_kind(struct table *table)
{
	table->kind = PINION_DOMAIN_IOVA;
}

static void spoil_pages(struct table *table)
{
	table->nr_pages = UINT64_MAX / 8;
}

static void spoil_start(struct table *table)
{
	table->segment[1].start = UINT64_MAX;
}

static void spoil_len(struct table *table)
{
	table->segment[0].len = UINT64_MAX - 65535;
}

static void spoil_shift(struct table *table)
{
	table->segment[0].shift = 64;
}

static void spoil_page(struct table *table)
{
	((uint64_t *)(void *)((char *)table + TABLE_PAGES))[2] += 4096;
}

static void spoil_more(struct table *table)
{
	table->segment[63] = table->segment[2];
}

static void spoil_fewer(struct table *table)
{
	table->segment[2].inode = 0;
}

/* The last segment in the fifth slot instead of the third. */
static void spoil_slot(struct table *table)
{
	table->segment[4] = table->segment[2];
	table->segment[2].inode = 0;
}

#define SHUT (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static void a_table_that_is_none_is_eproto(void **state)
{
	void (*const spoil[])(struct table *) = {spoil_magic, spoil_version, spoil_kind,
						 spoil_other_kind, spoil_pages, spoil_start,
						 spoil_len, spoil_shift, spoil_page, spoil_more,
						 spoil_fewer};
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	struct pinion_pool_fds fds;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(spoil) / sizeof(spoil[0]); i++) {
		fd = forge(domain, SHUT, spoil[i]);
		table_refused(pool, fd);
		assert_int_equal(close(fd), 0);
	}
	pinion_pool_export(pool, &fds);
	table_refused(pool, fds.control);
	fd = memfd_create("short", MFD_CLOEXEC);
	table_refused(pool, fd);
	assert_int_equal(close(fd), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Slots beyond what handles name: a pool of many small buffers has room for few segments. */
static void a_segment_beyond_all_ids_is_eproto(void **state)
{
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool);
	const uint32_t was = pool->geometry.segment_shift;
	const int good = forge(domain, SHUT, NULL), bad = forge(domain, SHUT, spoil_slot);
	struct pinion_domain *copy = NULL;

	(void)state;
	pool->geometry.segment_shift = PINION_ID_BITS - 2;
	table_refused(pool, bad);
	assert_int_equal(close(bad), 0);
	assert_int_equal(pinion_domain_attach(pool, good, &copy), 0);
	assert_int_equal(pinion_domain_detach(copy), 0);
	pool->geometry.segment_shift = was;
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Right in every byte, but its maker could still change or shorten it. */
static void a_table_that_can_still_be_written_is_eproto(void **state)
{
	const int seals[] = {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_WRITE};
	struct pinion_pool *pool = huge_pool();
	struct pinion_domain *domain = domain_make(pool), *copy;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		fd = forge(domain, seals[i], NULL);
		table_refused(pool, fd);
		assert_int_equal(close(fd), 0);
	}
	fd = forge(domain, SHUT, NULL);
	assert_int_equal(pinion_domain_attach(pool, fd, &copy), 0);
	assert_int_equal(pinion_domain_detach(copy), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(addresses_are_those_of_the_page_table),
		pool_test(all_pages_and_pins_come_back),
		pool_test(pages_of_4_kib_are_enotsup),
		pool_test(what_is_no_container_is_said_and_nothing_mapped),
		pool_test(no_descriptor_is_no_table),
		pool_test(without_privilege_it_is_eperm_and_never_an_address_of_0),
		pool_test(too_little_memlock_is_enomem_and_names_the_limit),
		pool_test(an_attached_table_gives_the_same_addresses),
		pool_test(the_table_cannot_be_changed_by_anyone),
		pool_test(a_table_of_another_pool_is_eproto),
		pool_test(a_table_that_is_none_is_eproto),
		pool_test(a_segment_beyond_all_ids_is_eproto),
		pool_test(a_table_that_can_still_be_written_is_eproto),
	};

	if (domain_lack() != NULL)
		return support_skip(domain_lack());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
