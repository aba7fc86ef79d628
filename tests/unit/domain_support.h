/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_DOMAIN_SUPPORT_H
#define PINION_TESTS_DOMAIN_SUPPORT_H

/*
 * What the tests of physical domains share: a pool of hugepages, and the kernel's own word for
 * where a byte lies.
 */

#include <pinion/domain.h>

#include "domain.h"
#include "pool_support.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_FREE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

/* Two zones, three segments, six pages. */
static inline struct pinion_pool *huge_pool(void)
{
	struct pinion_pool_config config = pool_config(64, BUFFER);

	config.nr_segments = 3;
	config.segment[0] = (struct pinion_segment_config){3 * HUGE_PAGE, 65536, HUGE_PAGE, 0};
	config.segment[1] = (struct pinion_segment_config){HUGE_PAGE, 4096, HUGE_PAGE, 0};
	config.segment[2] = (struct pinion_segment_config){2 * HUGE_PAGE, HUGE_PAGE, HUGE_PAGE, 0};
	return pool_make_from(&config);
}

static inline struct pinion_domain *domain_make(struct pinion_pool *pool)
{
	struct pinion_domain *domain = NULL;
	const int err = pinion_domain_create_phys(pool, &domain);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return domain;
}

/* What the kernel says of one byte: frame number times 4096, and the byte's place in it. Read
 * here and not with the library's own call, which is what is being tested. */
static inline uint64_t phys_by_kernel(const void *addr)
{
	const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	assert_int_equal(pread(fd, &entry, 8, (off_t)((uintptr_t)addr / 4096 * 8)), 8);
	close(fd);
	assert_true(entry >> 63);
	return (entry & ((UINT64_C(1) << 55) - 1)) * 4096 + (uintptr_t)addr % 4096;
}

/* Every buffer of the pool, at a few of its bytes. */
static inline void each_byte(const struct pinion_pool *pool,
		      void (*check)(const struct pinion_pool *, const struct pinion_domain *,
				    struct pinion_buffer, uint32_t off),
		      const struct pinion_domain *domain)
{
	for (uint32_t s = 0; s < pool->geometry.nr_segments; s++)
		for (uint32_t i = 0; i < pool->segment[s].nr; i++) {
			const struct pinion_buffer buffer =
				pinion_buffer_make((s << pool->geometry.segment_shift) + i, 3);
			const uint32_t size = (uint32_t)pinion_buffer_size(pool, buffer);

			check(pool, domain, buffer, 0);
			check(pool, domain, buffer, size / 2 + 1);
			check(pool, domain, buffer, size - 1);
		}
}

static inline void equals_kernel(const struct pinion_pool *pool, const struct pinion_domain *domain,
			  struct pinion_buffer buffer, uint32_t off)
{
	const char *addr = pinion_buffer_addr(pool, buffer);
	const uint64_t want = phys_by_kernel(addr + off);

	assert_int_not_equal(want, 0);
	assert_int_equal(pinion_buffer_phys(domain, buffer, off).addr, want);
	assert_int_equal(pinion_buffer_bus(domain, buffer, off), want);
}

/* Why these tests cannot run here; NULL if they can. */
static inline const char *domain_lack(void)
{
	if (getuid() != 0)
		return "physical addresses are for root";
	if (support_read_long(HUGE_FREE) < 8)
		return "eight free hugepages of 2 MiB are needed: echo 8 > "
		       "/proc/sys/vm/nr_hugepages";
	return NULL;
}

#endif
