/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools on two nodes and the domains of a real device: with the IOMMU translating, and by
 * physical address. Which of the two is the driver named in argv[2]; with the IOMMU a third
 * argument, "iommufd", has it opened that way, not by its group. See hw_support.h.
 */

#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>

#include <pinion/iommufd.h>
#include <pinion/pci.h>
#include <pinion/pinion.h>
#include <pinion/vfio_config.h>

#include "hw_vfio.h"
#include "pool.h"

#define NODE_PAGES 8
/* Of <linux/mman.h>, which libc's header hides and repeats in part. */
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#define ENTRY_LIMIT "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

static struct pinion_pci_bdf bdf;
static bool by_vfio, by_iommufd;
static int c = -1, g = -1, d = -1; /* c: or the iommufd, and in it... */
static uint32_t ioas;
static void *regs;
static size_t regs_len;

/* Two zones, one on each node, of 64 KiB buffers. */
static struct pinion_pool_config two_nodes(void)
{
	struct pinion_pool_config config = {
		.nr_segments = 2,
		.segment = {
			{.len = 4 << 20, .buffer_size = 65536, .page_size = HW_HUGE, .node = 0},
			{.len = 6 << 20, .buffer_size = 65536, .page_size = HW_HUGE, .node = 1},
		},
	};

	return config;
}

static struct pinion_pool *make_pool(void)
{
	struct pinion_pool_config config = two_nodes();
	struct pinion_pool *pool = NULL;
	int err = pinion_pool_create(&config, &pool);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return pool;
}

static struct pinion_cache *open_cache(struct pinion_pool *pool, int node)
{
	struct pinion_cache_config want = {.buffer_size = 65536, .node = node};
	struct pinion_cache *cache = NULL;

	assert_int_equal(pinion_cache_open(pool, &want, &cache), 0);
	assert_int_equal(cache->node, node);
	return cache;
}

/* The device's address space, and how it is to be used. */
static struct pinion_domain_config in_space(enum pinion_iova_policy policy, uint64_t base)
{
	return (struct pinion_domain_config){
		.container = c, .policy = policy, .base = base, .ioas = ioas};
}

static int make_domain(struct pinion_pool *pool, struct pinion_domain **domain)
{
	const struct pinion_domain_config config = in_space(PINION_IOVA_LINEAR, 0);

	return by_vfio ? pinion_domain_create_iova(pool, &config, domain)
		       : pinion_domain_create_phys(pool, domain);
}

static int map_beside(void *addr, uint64_t iova, uint64_t len)
{
	return by_iommufd ? pinion_iommufd_dma_map(c, ioas, addr, iova, len)
			  : pinion_vfio_dma_map(c, addr, iova, len);
}

static int unmap_beside(uint64_t iova, uint64_t len)
{
	return by_iommufd ? pinion_iommufd_dma_unmap(c, ioas, iova, len)
			  : pinion_vfio_dma_unmap(c, iova, len);
}

static uint64_t last_address(void)
{
	struct pinion_iommufd_ioas space = {0};
	struct pinion_vfio_iommu iommu = {0};

	if (by_iommufd) {
		assert_int_equal(pinion_iommufd_ioas_ranges(c, ioas, &space), 0);
		return space.range[space.nr_ranges - 1].last;
	}
	assert_int_equal(pinion_vfio_iommu_info(c, &iommu), 0);
	return iommu.range[iommu.nr_ranges - 1].last;
}

static int node_reserve(int node, long nr)
{
	char path[128], text[32];

	snprintf(path, sizeof(path),
		 "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages", node);
	snprintf(text, sizeof(text), "%ld\n", nr);
	return hw_put(path, text);
}

static int open_iommufd(void)
{
	uint32_t id;

	if (pinion_iommufd_open(&c) || pinion_iommufd_ioas_alloc(c, &ioas) ||
	    pinion_iommufd_device_open(hw_bdf, c, &d, &id) ||
	    pinion_iommufd_device_attach(d, ioas) || pinion_vfio_bus_master_set(d, true))
		return -1;
	return pinion_vfio_region_map(d, 0, &regs, &regs_len);
}

static int open_vfio(void)
{
	unsigned group;

	if (by_iommufd)
		return open_iommufd();
	if (pinion_pci_iommu_group(&bdf, &group) || hw_vfio_open(group, &c, &g, &d) ||
	    pinion_vfio_bus_master_set(d, true))
		return -1;
	return pinion_vfio_region_map(d, 0, &regs, &regs_len);
}

static int open_device(void **state)
{
	struct pinion_pci_bar bar;

	(void)state;
	if (node_reserve(0, NODE_PAGES) || node_reserve(1, NODE_PAGES))
		return -1;
	if (by_vfio)
		return open_vfio();
	if (pinion_pci_bar_map(&bdf, 0, &bar))
		return -1;
	regs = bar.addr;
	return pinion_pci_bus_master_set(&bdf, true);
}

/* The kernel waits in unbind for as long as the device is open through vfio. */
static int close_device(void **state)
{
	if (by_iommufd && (pinion_vfio_region_unmap(regs, regs_len) ||
			   pinion_iommufd_device_close(d) || pinion_iommufd_close(c)))
		return -1;
	if (by_vfio && !by_iommufd &&
	    (pinion_vfio_region_unmap(regs, regs_len) || hw_vfio_close(c, g, d)))
		return -1;
	return hw_give_back(state);
}

static void every_page_is_on_the_node_that_was_asked_for(void **state)
{
	struct pinion_pool *pool = make_pool();

	(void)state;
	for (int node = 0; node < 2; node++) {
		struct pinion_cache *cache = open_cache(pool, node);
		struct pinion_buffer buffer = {0};
		int found = -1;

		while (!pinion_buffer_alloc(cache, &buffer)) {
			uintptr_t at = (uintptr_t)pinion_buffer_addr(pool, buffer) & ~(HW_HUGE - 1);

			assert_int_equal(pinion_hostmem_node((void *)at, HW_HUGE, &found, 1), 0);
			assert_int_equal(found, node);
		}
		pinion_cache_close(cache);
	}
	pinion_pool_destroy(pool);
}

static void too_few_pages_on_one_node_says_which(void **state)
{
	struct pinion_pool_config config = two_nodes();
	struct pinion_pool *pool = NULL;

	(void)state;
	/* Together there are enough, on node 1 there are not. */
	config.segment[1].len = (NODE_PAGES + 1) * HW_HUGE;
	assert_int_equal(pinion_pool_create(&config, &pool), -ENOMEM);
	assert_non_null(strstr(pinion_error_text(), "node 1 has 8 free"));
	assert_non_null(strstr(pinion_error_text(), "hugepages reserve"));
	assert_null(pool);
}

/*
 * The library's mbind() is this one. A kernel that takes the policy and then does not follow it
 * (as for pages that move in between) is what the verification is for.
 */
static bool mbind_is_ignored;

long mbind(void *addr, unsigned long len, int mode, const unsigned long *mask,
	   unsigned long max_node, unsigned flags);
long mbind(void *addr, unsigned long len, int mode, const unsigned long *mask,
	   unsigned long max_node, unsigned flags)
{
	if (mbind_is_ignored)
		return 0;
	return syscall(SYS_mbind, addr, len, mode, mask, max_node, flags);
}

static void a_page_that_lands_on_another_node_is_exdev(void **state)
{
	struct pinion_pool_config config = two_nodes();
	struct pinion_pool *pool = NULL;
	cpu_set_t here, was;

	(void)state;
	/* Without a policy pages come from the node that touches them: node 0, by its processor. */
	CPU_ZERO(&here);
	CPU_SET(0, &here);
	assert_int_equal(sched_getaffinity(0, sizeof(was), &was), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
	mbind_is_ignored = true;
	assert_int_equal(pinion_pool_create(&config, &pool), -EXDEV);
	mbind_is_ignored = false;
	assert_int_equal(sched_setaffinity(0, sizeof(was), &was), 0);
	assert_non_null(strstr(pinion_error_text(), "segment 1: page 0 of 3 landed on node 0, "
						    "node 1 was asked for"));
	assert_null(pool);
}

static void a_pool_that_failed_holds_no_page(void **state)
{
	struct pinion_pool *pool;

	too_few_pages_on_one_node_says_which(state);
	pool = make_pool();
	pinion_pool_destroy(pool);
}

/* Identify through the device into a buffer of ours: the address is the device's word for it. */
static void the_device_writes_where_the_table_says(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	uint64_t vendor = 0;

	(void)state;
	assert_int_equal(pinion_pci_attr_u64(&bdf, "vendor", &vendor), 0);
	assert_int_equal(make_domain(pool, &domain), 0);
	for (int node = 0; node < 2; node++) {
		struct pinion_cache *cache = open_cache(pool, node);
		struct pinion_buffer buffer = {0};

		assert_int_equal(pinion_buffer_alloc(cache, &buffer), 0);
		hw_identify(regs, pinion_buffer_addr(pool, buffer),
			    pinion_buffer_bus(domain, buffer, 0), (uint16_t)vendor);
		assert_int_equal(pinion_buffer_free(cache, buffer), 0);
		pinion_cache_close(cache);
	}
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

static void iovas_stay_inside_the_ranges(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	struct pinion_vfio_iommu iommu = {0};

	(void)state;
	assert_int_equal(pinion_vfio_iommu_info(c, &iommu), 0);
	assert_int_equal(pinion_domain_create_vfio(pool, c, &domain), 0);
	for (int node = 0; node < 2; node++) {
		struct pinion_cache *cache = open_cache(pool, node);
		struct pinion_buffer buffer = {0};

		while (!pinion_buffer_alloc(cache, &buffer)) {
			uint64_t at = pinion_buffer_iova(domain, buffer, 0).addr;
			bool inside = false;

			assert_true(at != 0);
			for (uint32_t i = 0; i < iommu.nr_ranges; i++)
				inside |= at >= iommu.range[i].start &&
					  at + 65535 <= iommu.range[i].last;
			assert_true(inside);
		}
		pinion_cache_close(cache);
	}
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* Lowest and highest byte that a domain gives to the buffers of a pool. */
static void span(struct pinion_pool *pool, const struct pinion_domain *domain, uint64_t *lowest,
		 uint64_t *highest)
{
	*lowest = UINT64_MAX;
	*highest = 0;
	for (int node = 0; node < 2; node++) {
		struct pinion_cache *cache = open_cache(pool, node);
		struct pinion_buffer buffer = {0};

		while (!pinion_buffer_alloc(cache, &buffer)) {
			uint64_t at = pinion_buffer_iova(domain, buffer, 0).addr;

			*lowest = at < *lowest ? at : *lowest;
			*highest = at + 65535 > *highest ? at + 65535 : *highest;
		}
		pinion_cache_close(cache);
	}
}

static void two_pools_in_one_container_do_not_overlap(void **state)
{
	struct pinion_pool_config config = two_nodes();
	struct pinion_domain *first = NULL, *second = NULL;
	struct pinion_pool *one = make_pool(), *two = NULL;
	uint64_t low[2], high[2];

	(void)state;
	config.segment[0].len = config.segment[1].len = HW_HUGE;
	assert_int_equal(pinion_pool_create(&config, &two), 0);
	assert_int_equal(make_domain(one, &first), 0);
	assert_int_equal(make_domain(two, &second), 0);
	span(one, first, &low[0], &high[0]);
	span(two, second, &low[1], &high[1]);
	assert_int_equal(high[0] - low[0] + 1, 10 << 20);
	assert_int_equal(high[1] - low[1] + 1, 4 << 20);
	assert_true(low[1] > high[0] || high[1] < low[0]);
	assert_int_equal(pinion_domain_destroy(second), 0);
	assert_int_equal(pinion_domain_destroy(first), 0);
	pinion_pool_destroy(two);
	pinion_pool_destroy(one);
}

/* A map that fails half-way must leave nothing mapped: the whole pool fits again afterwards. */
static void memlock_too_small_is_enomem_with_the_limit(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	struct rlimit was, little = {5 << 20, 5 << 20};

	(void)state;
	getrlimit(RLIMIT_MEMLOCK, &was);
	little.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &little), 0);
	/* Root with CAP_IPC_LOCK is not limited: give up that capability for a moment. */
	assert_int_equal(seteuid(SUPPORT_NOBODY), 0);
	assert_int_equal(pinion_domain_create_vfio(pool, c, &domain), -ENOMEM);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(pinion_error_text(), "RLIMIT_MEMLOCK is 5120 KiB"));
	assert_null(domain);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &was), 0);
	assert_int_equal(pinion_domain_create_vfio(pool, c, &domain), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

static void a_container_without_group_is_an_error(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	int other = -1;

	(void)state;
	assert_int_equal(pinion_vfio_container_open(&other), 0);
	assert_true(pinion_domain_create_vfio(pool, other, &domain) < 0);
	assert_non_null(strstr(pinion_error_text(), "group"));
	assert_int_equal(pinion_vfio_container_close(other), 0);
	pinion_pool_destroy(pool);
}

/* memlock is out of the way, so that it is the hidden page frame numbers that stop it. */
static int unprivileged(void *arg)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	struct pinion_domain *domain = NULL;

	if (setrlimit(RLIMIT_MEMLOCK, &none))
		return 3;

	if (setgid(SUPPORT_NOBODY) || setuid(SUPPORT_NOBODY))
		return 2;
	if (pinion_domain_create_phys(arg, &domain) == -EPERM)
		return 0;
	fprintf(stderr, "# %s\n", pinion_error_text());
	return 1;
}

static void without_privilege_there_is_no_physical_address(void **state)
{
	struct pinion_pool *pool = make_pool();

	(void)state;
	assert_int_equal(support_child(unprivileged, pool), 0);
	pinion_pool_destroy(pool);
}

/* Policies. */

static struct pinion_domain *make_iova(struct pinion_pool *pool,
				       const struct pinion_domain_config *config)
{
	struct pinion_domain *domain = NULL;
	int err = pinion_domain_create_iova(pool, config, &domain);

	if (err)
		print_message("# %s\n", pinion_error_text());
	assert_int_equal(err, 0);
	return domain;
}

/* The first buffer of a segment. */
static struct pinion_buffer first_of(const struct pinion_pool *pool, uint32_t segment)
{
	return pinion_buffer_make(segment << pool->geometry.segment_shift, 1);
}

static void linear_addresses_start_at_the_base(void **state)
{
	struct pinion_domain_config config = in_space(PINION_IOVA_LINEAR, 0x123456789);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = make_iova(pool, &config);
	uint64_t low, high;

	(void)state;
	span(pool, domain, &low, &high);
	assert_int_equal(low, 0x123600000); /* the next multiple of 2 MiB */
	assert_int_equal(high - low + 1, 10 << 20);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* On x86 interrupts are there, and the kernel takes no mapping. */
#define WINDOW UINT64_C(0xfee00000)
#define WINDOW_LAST UINT64_C(0xfeefffff)

static void vendor_is_written_to(struct pinion_pool *pool, const struct pinion_domain *domain,
				 uint32_t segment)
{
	const struct pinion_buffer first = first_of(pool, segment);
	uint64_t vendor = 0;

	assert_int_equal(pinion_pci_attr_u64(&bdf, "vendor", &vendor), 0);
	hw_identify(regs, pinion_buffer_addr(pool, first), pinion_buffer_bus(domain, first, 0),
		    (uint16_t)vendor);
}

/* From @base on, the segments lie at these two places, and the device finds them there. */
static void lie_from(uint64_t base, uint64_t first, uint64_t second)
{
	struct pinion_domain_config config = in_space(PINION_IOVA_LINEAR, base);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = make_iova(pool, &config);

	assert_int_equal(pinion_buffer_bus(domain, first_of(pool, 0), 0), first);
	assert_int_equal(pinion_buffer_bus(domain, first_of(pool, 1), 0), second);
	vendor_is_written_to(pool, domain, 0);
	vendor_is_written_to(pool, domain, 1);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* The next multiple of 2 MiB behind it is 0xff000000; segments have 4 and 6 MiB. */
static void linear_addresses_hop_over_a_reserved_window(void **state)
{
	struct pinion_pool *pool = make_pool();

	(void)state;
	assert_true(map_beside(pool->memory[0].addr, WINDOW, WINDOW_LAST + 1 - WINDOW) < 0);
	pinion_pool_destroy(pool);
	lie_from(WINDOW - (6 << 20), WINDOW - (6 << 20), 0xff000000); /* one on each side */
	lie_from(WINDOW - (2 << 20), 0xff000000, 0xff400000);	      /* the first would reach in */
	lie_from(WINDOW + 4096, 0xff000000, 0xff400000);	      /* it would begin inside */
}

static void linear_addresses_beyond_the_last_are_enospc(void **state)
{
	struct pinion_domain_config config = in_space(PINION_IOVA_LINEAR, last_address() + 1);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;

	(void)state;
	config.base -= 4 << 20; /* room for the first, which is not to stay */
	assert_int_equal(pinion_domain_create_iova(pool, &config, &domain), -ENOSPC);
	assert_non_null(strstr(pinion_error_text(), "segment 1: no range of the IOMMU has room"));
	assert_null(domain);
	assert_int_equal(map_beside(pool->memory[0].addr, config.base, 4 << 20), 0);
	assert_int_equal(unmap_beside(config.base, 4 << 20), 0);
	pinion_pool_destroy(pool);
}

/* A buffer of several pages: its address is a multiple of its size, which the
 * start of a segment at a page alone would not give. */
static void a_segment_is_aligned_to_its_buffers(void **state)
{
	struct pinion_domain_config config = in_space(PINION_IOVA_LINEAR, 0x40200000);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain;

	(void)state;
	pool->segment[0].buffer_shift = pool->segment[0].stride_shift = 22;
	pool->view.segment[0].shift = 22;
	pool->segment[0].nr = 1;
	pool->view.segment[0].nr = 1;
	domain = make_iova(pool, &config);
	assert_int_equal(pinion_buffer_iova(domain, first_of(pool, 0), 0).addr, 0x40400000);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* Does the IOMMU reach as far as this process's addresses? 39 bits do not, 48 do. */
static bool is_wide(void)
{
	return last_address() >> 46;
}

static void identity_is_the_address_here_or_a_refusal_that_says_why(void **state)
{
	struct pinion_domain_config config = in_space(PINION_IOVA_IDENTITY, 0);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	uint64_t vendor = 0;
	char *addr = pinion_buffer_addr(pool, first_of(pool, 1));
	char where[64];

	(void)state;
	if (!is_wide()) {
		assert_int_equal(pinion_domain_create_iova(pool, &config, &domain), -ERANGE);
		(void)snprintf(where, sizeof(where), "segment 0 lies at %#jx to ",
			       (uintmax_t)(uintptr_t)pinion_buffer_addr(pool, first_of(pool, 0)));
		assert_non_null(strstr(pinion_error_text(), where));
		assert_non_null(strstr(pinion_error_text(), "end at 0x7fffffffff"));
		assert_null(domain);
		pinion_pool_destroy(pool);
		return;
	}
	domain = make_iova(pool, &config);
	assert_int_equal(pinion_buffer_iova(domain, first_of(pool, 1), 0).addr, (uintptr_t)addr);
	assert_int_equal(pinion_pci_attr_u64(&bdf, "vendor", &vendor), 0);
	hw_identify(regs, addr, (uintptr_t)addr, (uint16_t)vendor);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* The pool, mapped again where the kernel's own reserved window is in the way. */
static void identity_in_a_reserved_window_names_it(void **state)
{
	struct pinion_domain_config config = in_space(PINION_IOVA_IDENTITY, 0);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	void *was = pool->memory[0].addr;
	/* On x86 interrupts are at 0xfee00000: the segment's second page has that. */
	void *window = mmap((void *)0xfec00000, pool->memory[0].len, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED_NOREPLACE, pool->memory[0].fd, 0);

	(void)state;
	assert_ptr_equal(window, (void *)0xfec00000);
	pool->memory[0].addr = window;
	assert_int_equal(pinion_domain_create_iova(pool, &config, &domain), -ERANGE);
	assert_non_null(strstr(pinion_error_text(), "segment 0 lies at 0xfec00000 to 0xfeffffff"));
	assert_non_null(strstr(pinion_error_text(), "0xfee00000 to 0xfeefffff are reserved"));
	pool->memory[0].addr = was;
	assert_int_equal(munmap(window, pool->memory[0].len), 0);
	pinion_pool_destroy(pool);
}

static void identity_where_something_is_mapped_is_eexist(void **state)
{
	struct pinion_domain_config identity = in_space(PINION_IOVA_IDENTITY, 0);
	struct pinion_pool *pool = make_pool();
	const struct pinion_domain_config linear = in_space(PINION_IOVA_LINEAR, 1u << 30);
	struct pinion_domain *domain = NULL, *first;
	uint64_t low, high;
	void *was = pool->memory[0].addr, *there;

	(void)state;
	first = make_iova(pool, &linear);
	span(pool, first, &low, &high);
	there = mmap((void *)low, pool->memory[0].len, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED_NOREPLACE, pool->memory[0].fd, 0);
	assert_ptr_equal(there, (void *)low);
	pool->memory[0].addr = there;
	assert_int_equal(pinion_domain_create_iova(pool, &identity, &domain), -EEXIST);
	assert_non_null(strstr(pinion_error_text(), "0x40000000 to 0x403fffff is mapped in this"));
	pool->memory[0].addr = was;
	assert_int_equal(munmap(there, pool->memory[0].len), 0);
	assert_int_equal(pinion_domain_destroy(first), 0);
	pinion_pool_destroy(pool);
}

static void an_address_space_that_is_none_is_enoent(void **state)
{
	const struct pinion_domain_config config = {.container = c, .ioas = 1000};
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(pinion_domain_create_iova(pool, &config, &domain), -ENOENT);
	assert_null(domain);
	pinion_pool_destroy(pool);
}

static void a_policy_that_is_none_is_einval(void **state)
{
	struct pinion_domain_config config = in_space((enum pinion_iova_policy)7, 0);
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(pinion_domain_create_iova(pool, &config, &domain), -EINVAL);
	pinion_pool_destroy(pool);
}

/* The limit is a container's from its beginning on: the device moves into another one. */
static void reopen(const char *limit)
{
	assert_int_equal(pinion_vfio_region_unmap(regs, regs_len), 0);
	assert_int_equal(hw_vfio_close(c, g, d), 0);
	assert_int_equal(hw_put(ENTRY_LIMIT, limit), 0);
	assert_int_equal(open_vfio(), 0);
}

/* One entry serves a segment, however many pages it has. */
static void too_few_map_entries_are_enospc_before_anything_is_mapped(void **state)
{
	struct pinion_pool *pool = make_pool(), *little = NULL;
	struct pinion_pool_config config = two_nodes();
	struct pinion_domain *domain = NULL;

	(void)state;
	config.nr_segments = 1;
	config.segment[0].len = 3 * HW_HUGE;
	assert_int_equal(pinion_pool_create(&config, &little), 0);
	reopen("1\n");
	assert_int_equal(pinion_domain_create_vfio(pool, c, &domain), -ENOSPC);
	assert_non_null(strstr(pinion_error_text(), "1 map entries left and 2 segments"));
	/* The one entry was not used up; then it is, and the kernel has the last word. */
	assert_int_equal(pinion_domain_create_vfio(little, c, &domain), 0);
	assert_int_equal(pinion_domain_create_vfio(pool, c, &(struct pinion_domain *){NULL}),
			 -ENOSPC);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	reopen("65535\n");
	pinion_pool_destroy(little);
	pinion_pool_destroy(pool);
}

/* Growth, back, and the audit. */

/* A segment that this process does not have is one that it has not mapped. */
static void a_domain_follows_the_pool(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	void *addr = pool->memory[1].addr;
	uint64_t vendor = 0, of_0, of_1;

	(void)state;
	pool->memory[1].addr = NULL;
	assert_int_equal(make_domain(pool, &domain), 0);
	assert_true(pinion_buffer_bus(domain, first_of(pool, 1), 0) & PINION_BUS_UNKNOWN);
	of_0 = pinion_buffer_bus(domain, first_of(pool, 0), 0);
	pool->memory[1].addr = addr;
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(pinion_pci_attr_u64(&bdf, "vendor", &vendor), 0);
	of_1 = pinion_buffer_bus(domain, first_of(pool, 1), 0);
	hw_identify(regs, addr, of_1, (uint16_t)vendor);
	/* And gone: its address is nobody's, and through the IOMMU nothing is mapped there. */
	pool->memory[1].addr = NULL;
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_true(pinion_buffer_bus(domain, first_of(pool, 1), 0) & PINION_BUS_UNKNOWN);
	assert_int_equal(pinion_buffer_bus(domain, first_of(pool, 0), 0), of_0);
	if (by_vfio) {
		assert_int_equal(map_beside(addr, of_1, HW_HUGE), 0);
		assert_int_equal(unmap_beside(of_1, HW_HUGE), 0);
	}
	pool->memory[1].addr = addr;
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* Free pages of 2 MiB of a node. */
static long node_free(int node)
{
	char path[128];

	snprintf(path, sizeof(path),
		 "/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/free_hugepages", node);
	return support_read_long(path);
}

static uint64_t bus_of(const struct pinion_pool *pool, const struct pinion_domain *domain,
		       uint32_t segment)
{
	return pinion_buffer_bus(domain, first_of(pool, segment), 0);
}

/* Its queues there, and told of a command, the drive cannot read it: a fatal status (CSTS.CFS). (Of
 * an answer that the IOMMU lets go nowhere, QEMU's drive says that all went well.) */
static void device_faults_at(uint64_t bus)
{
	hw_enable_nvme(regs, bus);
	pinion_mmio_write32(hw_reg(regs, 0x1000), 1);
	assert_int_equal(pinion_mmio_wait32(hw_reg(regs, NVME_CSTS), 2, 2, 30000 * HW_MS), 0);
	hw_disable_nvme(regs);
}

static void an_added_segment_is_mapped_by_the_next_update(void **state)
{
	struct pinion_pool_config config = two_nodes();
	struct pinion_segment_config more = config.segment[0];
	struct pinion_domain *domain = NULL;
	struct pinion_pool *pool = NULL;
	uint32_t slot = 0;

	(void)state;
	config.nr_segments = 1;
	config.max_segments = 2;
	more.node = 1;
	assert_int_equal(pinion_pool_create(&config, &pool), 0);
	assert_int_equal(make_domain(pool, &domain), 0);
	assert_int_equal(pinion_domain_update(domain), 0);
	assert_int_equal(pinion_pool_grow(pool, &more, &slot), 0);
	assert_int_equal(slot, 1);
	assert_true(bus_of(pool, domain, 1) & PINION_BUS_UNKNOWN);
	assert_int_equal(pinion_domain_update(domain), 1);
	vendor_is_written_to(pool, domain, 0);
	vendor_is_written_to(pool, domain, 1);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* Until the update it is mapped, and its pages are not the system's. */
static void a_retired_segment_is_out_of_reach_after_the_next_update(void **state)
{
	const struct pinion_segment_config again = two_nodes().segment[1];
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	void *other = pool->memory[0].addr;
	const long left = node_free(1);
	uint32_t slot = 0;
	uint64_t was;

	(void)state;
	assert_int_equal(make_domain(pool, &domain), 0);
	was = bus_of(pool, domain, 1);
	vendor_is_written_to(pool, domain, 1);
	assert_int_equal(pinion_pool_retire(pool, 1), 0);
	assert_true(bus_of(pool, domain, 1) & PINION_BUS_UNKNOWN);
	assert_int_equal(node_free(1), left);
	if (by_vfio)
		assert_int_equal(map_beside(other, was, HW_HUGE), -EEXIST);
	assert_int_equal(pinion_domain_update(domain), 1);
	assert_int_equal(node_free(1), left + 3);
	if (by_vfio)
		device_faults_at(was);
	assert_int_equal(pinion_pool_grow(pool, &again, &slot), 0);
	assert_int_equal(slot, 1);
	assert_int_equal(pinion_domain_update(domain), 1);
	vendor_is_written_to(pool, domain, 0);
	vendor_is_written_to(pool, domain, 1);
	if (by_vfio)
		device_faults_at(was); /* the new one is elsewhere */
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

static void every_iova_leads_back_to_its_buffer(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	uint32_t id = 0, off = 0;
	uint64_t low, high;

	(void)state;
	assert_int_equal(make_domain(pool, &domain), 0);
	for (uint32_t s = 0; s < 2; s++)
		for (uint32_t i = 0; i < pool->segment[s].nr; i++) {
			struct pinion_buffer buffer = first_of(pool, s);

			buffer.bits += i;
			assert_int_equal(pinion_domain_find(domain,
							    pinion_buffer_bus(domain, buffer, 99),
							    &id, &off), 0);
			assert_int_equal(id, pinion_buffer_id(buffer));
			assert_int_equal(off, 99);
		}
	span(pool, domain, &low, &high);
	assert_int_equal(pinion_domain_find(domain, low - 1, &id, &off), -ENOENT);
	assert_int_equal(pinion_domain_find(domain, high + 1, &id, &off), -ENOENT);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

static void an_audit_sees_what_is_no_longer_mapped(void **state)
{
	struct pinion_domain_move move = {0, 0, 0, 0};
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;
	uint64_t iova;

	(void)state;
	assert_int_equal(make_domain(pool, &domain), 0);
	assert_int_equal(pinion_domain_audit(domain, &move), 0);
	iova = pinion_buffer_bus(domain, first_of(pool, 1), 0);
	assert_int_equal(unmap_beside(iova, pool->memory[1].len), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pinion_domain_audit(domain, &move), -ESTALE);
		assert_non_null(strstr(pinion_error_text(), "segment 1: nothing is mapped"));
		assert_int_equal(move.segment, 1);
		assert_int_equal(move.was, iova);
		assert_int_equal(move.is, 0);
	}
	assert_int_equal(pinion_domain_destroy(domain), -EIO);
	pinion_pool_destroy(pool);
}

static void an_audit_sees_a_punched_page(void **state)
{
	struct pinion_domain_move move = {9, 0, 0, 0};
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(make_domain(pool, &domain), 0);
	assert_int_equal(madvise((char *)pool->memory[1].addr + HW_HUGE, HW_HUGE, MADV_REMOVE), 0);
	assert_int_equal(pinion_domain_audit(domain, &move), -ESTALE);
	assert_int_equal(move.segment, 1);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* The device writes to the old page still, and the processes have another. */
static void an_audit_sees_a_punched_page_that_was_touched_again(void **state)
{
	struct pinion_domain_move move = {9, 0, 0, 0};
	struct pinion_pool *pool = make_pool();
	char *page = (char *)pool->memory[1].addr + HW_HUGE;
	struct pinion_domain *domain = NULL;
	uint64_t was;

	(void)state;
	assert_int_equal(make_domain(pool, &domain), 0);
	was = pinion_buffer_bus(domain, first_of(pool, 1), 0);
	assert_int_equal(pinion_domain_audit(domain, &move), 0);
	assert_int_equal(madvise(page, HW_HUGE, MADV_REMOVE), 0);
	*(volatile char *)page = 1;
	assert_int_equal(pinion_domain_audit(domain, &move), -ESTALE);
	assert_int_equal(move.segment, 1);
	assert_int_equal(move.page, 1);
	if (by_vfio)
		assert_int_equal(move.was, was + HW_HUGE);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

/* Pins. */

static uint64_t phys_of(void *addr)
{
	uint64_t phys = 0;
	int pagemap = -1;

	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostmem_phys(pagemap, addr, HW_HUGE, &phys, 1), 0);
	close(pagemap);
	return phys;
}

static void ask_for_move_pages(void *addr)
{
	int node = -1, to, status = 0;

	assert_int_equal(pinion_hostmem_node(addr, HW_HUGE, &node, 1), 0);
	to = !node;
	/* MPOL_MF_MOVE_ALL of <linux/mempolicy.h>. What comes of it is looked at, not believed. */
	(void)syscall(SYS_move_pages, 0, 1ul, &addr, &to, &status, 4);
}

static void ask_for_soft_offline(void *addr)
{
	(void)madvise(addr, 4096, MADV_SOFT_OFFLINE);
}

static void ask_for_compaction(void *addr)
{
	(void)addr;
	assert_int_equal(hw_put("/proc/sys/vm/compact_memory", "1\n"), 0);
}

/*
 * All that makes the kernel move pages is done to pages of two pools, one of them with a domain.
 * move_pages() and soft-offlining do move hugepages; that compaction does is not promised.
 */
static void a_pinned_page_stays_where_another_moves(void **state)
{
	static const struct {
		void (*ask)(void *addr);
		bool moves; /* what is not pinned, for certain */
	} way[] = {{ask_for_move_pages, true}, {ask_for_compaction, false},
		   {ask_for_soft_offline, true}};
	struct pinion_pool_config config = two_nodes();

	(void)state;
	config.segment[0].len = config.segment[1].len = HW_HUGE;
	for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
		struct pinion_pool *pinned = NULL, *loose = NULL;
		struct pinion_domain *domain = NULL;
		uint64_t was, loose_was;

		assert_int_equal(pinion_pool_create(&config, &pinned), 0);
		assert_int_equal(pinion_pool_create(&config, &loose), 0);
		assert_int_equal(make_domain(pinned, &domain), 0);
		was = phys_of(pinned->memory[0].addr);
		loose_was = phys_of(loose->memory[0].addr);
		way[i].ask(loose->memory[0].addr);
		way[i].ask(pinned->memory[0].addr);
		if (way[i].moves)
			assert_int_not_equal(phys_of(loose->memory[0].addr), loose_was);
		assert_int_equal(phys_of(pinned->memory[0].addr), was);
		assert_int_equal(pinion_domain_audit(domain, NULL), 0);
		assert_int_equal(pinion_domain_destroy(domain), 0);
		/* It was the pin that held it: without, the same page moves. */
		way[i].ask(pinned->memory[0].addr);
		if (way[i].moves)
			assert_int_not_equal(phys_of(pinned->memory[0].addr), was);
		pinion_pool_destroy(loose);
		pinion_pool_destroy(pinned);
	}
}

/* What came over with the fork is the device's all the same. */
static int destroy_the_parents(void *arg)
{
	struct pinion_domain *domain = arg;

	if (pinion_domain_update(domain) != -ECHILD)
		return 1;
	if (pinion_domain_audit(domain, NULL) != (by_vfio ? -ECHILD : 0))
		return 2;
	return pinion_domain_destroy(domain) ? 3 : 0;
}

static void a_childs_destroy_takes_nothing_from_the_device(void **state)
{
	struct pinion_pool *pool = make_pool();
	void *addr = pool->memory[1].addr;
	struct pinion_domain *domain = NULL;
	uint64_t vendor = 0, was;

	(void)state;
	assert_int_equal(make_domain(pool, &domain), 0);
	was = phys_of(addr);
	assert_int_equal(support_child(destroy_the_parents, domain), 0);
	ask_for_move_pages(addr);
	assert_int_equal(phys_of(addr), was);
	assert_int_equal(pinion_pci_attr_u64(&bdf, "vendor", &vendor), 0);
	hw_identify(regs, addr, pinion_buffer_bus(domain, first_of(pool, 1), 0), (uint16_t)vendor);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	pinion_pool_destroy(pool);
}

static int run_vfio(void)
{
	const struct CMUnitTest vfio[] = {
		support_test(every_page_is_on_the_node_that_was_asked_for),
		support_test(too_few_pages_on_one_node_says_which),
		support_test(a_page_that_lands_on_another_node_is_exdev),
		support_test(a_pool_that_failed_holds_no_page),
		support_test(the_device_writes_where_the_table_says),
		support_test(iovas_stay_inside_the_ranges),
		support_test(two_pools_in_one_container_do_not_overlap),
		support_test(memlock_too_small_is_enomem_with_the_limit),
		support_test(a_container_without_group_is_an_error),
		support_test(linear_addresses_start_at_the_base),
		support_test(linear_addresses_hop_over_a_reserved_window),
		support_test(linear_addresses_beyond_the_last_are_enospc),
		support_test(a_segment_is_aligned_to_its_buffers),
		support_test(identity_is_the_address_here_or_a_refusal_that_says_why),
		support_test(identity_in_a_reserved_window_names_it),
		support_test(identity_where_something_is_mapped_is_eexist),
		support_test(a_policy_that_is_none_is_einval),
		support_test(too_few_map_entries_are_enospc_before_anything_is_mapped),
		support_test(a_domain_follows_the_pool),
		support_test(an_added_segment_is_mapped_by_the_next_update),
		support_test(a_retired_segment_is_out_of_reach_after_the_next_update),
		support_test(every_iova_leads_back_to_its_buffer),
		support_test(an_audit_sees_what_is_no_longer_mapped),
		support_test(an_audit_sees_a_punched_page),
		support_test(an_audit_sees_a_punched_page_that_was_touched_again),
		support_test(a_pinned_page_stays_where_another_moves),
		support_test(a_childs_destroy_takes_nothing_from_the_device),
	};

	return cmocka_run_group_tests(vfio, open_device, close_device);
}

static int run_iommufd(void)
{
	const struct CMUnitTest iommufd[] = {
		support_test(the_device_writes_where_the_table_says),
		support_test(two_pools_in_one_container_do_not_overlap),
		support_test(linear_addresses_start_at_the_base),
		support_test(linear_addresses_hop_over_a_reserved_window),
		support_test(linear_addresses_beyond_the_last_are_enospc),
		support_test(a_segment_is_aligned_to_its_buffers),
		support_test(identity_is_the_address_here_or_a_refusal_that_says_why),
		support_test(identity_in_a_reserved_window_names_it),
		support_test(identity_where_something_is_mapped_is_eexist),
		support_test(an_address_space_that_is_none_is_enoent),
		support_test(a_domain_follows_the_pool),
		support_test(an_added_segment_is_mapped_by_the_next_update),
		support_test(a_retired_segment_is_out_of_reach_after_the_next_update),
		support_test(every_iova_leads_back_to_its_buffer),
		support_test(an_audit_sees_what_is_no_longer_mapped),
		support_test(an_audit_sees_a_punched_page),
		support_test(an_audit_sees_a_punched_page_that_was_touched_again),
		support_test(a_childs_destroy_takes_nothing_from_the_device),
	};

	return cmocka_run_group_tests(iommufd, open_device, close_device);
}

static int run_phys(void)
{
	const struct CMUnitTest phys[] = {
		support_test(the_device_writes_where_the_table_says),
		support_test(without_privilege_there_is_no_physical_address),
		support_test(a_domain_follows_the_pool),
		support_test(an_added_segment_is_mapped_by_the_next_update),
		support_test(a_retired_segment_is_out_of_reach_after_the_next_update),
		support_test(an_audit_sees_a_punched_page),
		support_test(an_audit_sees_a_punched_page_that_was_touched_again),
		support_test(a_pinned_page_stays_where_another_moves),
		support_test(a_childs_destroy_takes_nothing_from_the_device),
	};

	return cmocka_run_group_tests(phys, open_device, close_device);
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 3) {
		fprintf(stderr, "usage: hw_domain BDF vfio-pci|uio_pci_generic [iommufd]\n");
		return 2;
	}
	by_vfio = !strcmp(argv[2], "vfio-pci");
	if (hw_begin(argc, argv, argv[2], &status) < 0)
		return status;
	if (pinion_pci_bdf_parse(hw_bdf, &bdf))
		return hw_bail_out("not a device address");
	by_iommufd = argc > 3;
	if (by_iommufd)
		return run_iommufd();
	return by_vfio ? run_vfio() : run_phys();
}
