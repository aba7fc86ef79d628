/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of 1 GiB, one on each node, through the IOMMU: one map entry a segment, and the drive of
 * argv[1] reaches the first and the last buffer of each. The machine has the pages from its start.
 */

#include <pinion/pinion.h>
#include <pinion/vfio_config.h>

#include "hw_vfio.h"

#define GIB ((size_t)1 << 30)
#define FREE "/sys/devices/system/node/node%d/hugepages/hugepages-1048576kB/free_hugepages"
#define BUFFER_SIZE 65536u
#define BUFFERS ((uint32_t)(GIB / BUFFER_SIZE)) /* of a segment */

static unsigned group;
static uint64_t vendor;
static int c, g, d;
static void *regs;
static size_t len;

static long pages_free(int node)
{
	char path[128];

	snprintf(path, sizeof(path), FREE, node);
	return support_read_long(path);
}

static int open_device(void **state)
{
	struct pinion_pci_bdf bdf;

	(void)state;
	if (pinion_pci_bdf_parse(hw_bdf, &bdf) || pinion_pci_attr_u64(&bdf, "vendor", &vendor) ||
	    hw_vfio_open(group, &c, &g, &d) || pinion_vfio_bus_master_set(d, true))
		return -1;
	return pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len);
}

static int close_device(void **state)
{
	if (pinion_vfio_region_unmap(regs, len) || hw_vfio_close(c, g, d))
		return -1;
	return hw_give_back(state);
}

static uint32_t entries_left(void)
{
	struct pinion_vfio_iommu iommu = {0};

	assert_int_equal(pinion_vfio_iommu_info(c, &iommu), 0);
	return iommu.dma_avail;
}

static struct pinion_pool *make_pool(void)
{
	const struct pinion_pool_config config = {
		.nr_segments = 2,
		.segment = {
			{.len = GIB, .buffer_size = BUFFER_SIZE, .page_size = GIB, .node = 0},
			{.len = GIB, .buffer_size = BUFFER_SIZE, .page_size = GIB, .node = 1},
		},
	};
	struct pinion_pool *pool = NULL;

	assert_int_equal(pinion_pool_create(&config, &pool), 0);
	return pool;
}

/* Ids of a segment follow each other, BUFFERS is a power of two: the second's begin there. */
static void drive_writes_to(struct pinion_pool *pool, const struct pinion_domain *domain,
			    uint32_t id)
{
	const struct pinion_buffer buffer = pinion_buffer_make(id, 1);
	const uint64_t at = pinion_buffer_iova(domain, buffer, 0).addr;
	uint32_t found = 0, off = 0;

	assert_int_equal(pinion_domain_find(domain, at + BUFFER_SIZE - 1, &found, &off), 0);
	assert_int_equal(found, id);
	assert_int_equal(off, BUFFER_SIZE - 1);
	hw_identify(regs, pinion_buffer_addr(pool, buffer), at, (uint16_t)vendor);
}

static void a_drive_reaches_both_ends_of_each_page(void **state)
{
	const uint32_t left = entries_left();
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(pinion_domain_create_vfio(pool, c, &domain), 0);
	assert_int_equal(entries_left(), left - 2);
	for (uint32_t segment = 0; segment < 2; segment++) {
		drive_writes_to(pool, domain, segment * BUFFERS);
		drive_writes_to(pool, domain, segment * BUFFERS + BUFFERS - 1);
	}
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(entries_left(), left);
	assert_int_equal(pinion_pool_destroy(pool), 0);
	assert_true(pages_free(0) == 1 && pages_free(1) == 1);
}

static void an_audit_finds_them_mapped(void **state)
{
	struct pinion_pool *pool = make_pool();
	struct pinion_domain *domain = NULL;

	(void)state;
	assert_int_equal(pinion_domain_create_vfio(pool, c, &domain), 0);
	assert_int_equal(pinion_domain_audit(domain, NULL), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		support_test(a_drive_reaches_both_ends_of_each_page),
		support_test(an_audit_finds_them_mapped),
	};
	int status = 0;

	if (hw_vfio_begin(argc, argv, &group, &status) < 0)
		return status;
	if (pages_free(0) == 1 && pages_free(1) == 1)
		return cmocka_run_group_tests(tests, open_device, close_device);
	hw_give_back(NULL);
	return hw_bail_out("the machine has no page of 1 GiB on each node");
}
