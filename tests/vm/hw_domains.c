/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One pool and two devices, each in a container of its own, so that each buffer has two addresses:
 * the drive of argv[1], which writes what it is asked for, and "edu", argv[2], which copies
 * (hw_edu.h).
 */

#include <pinion/pinion.h>
#include <pinion/vfio_config.h>

#include "hw_edu.h"
#include "hw_vfio.h"

#define BUFFER_SIZE 65536u
#define SEGMENT_LEN (2 * HW_HUGE)
#define BUFFERS ((uint32_t)(2 * SEGMENT_LEN / BUFFER_SIZE))
#define LEN 512u /* of what is copied */

struct device {
	const char *name;
	uint64_t base; /* of its domain */
	int c, g, d;
	void *regs;
	size_t len;
};

/* Far enough apart that no address is one of both; and "edu" has 28 bits. */
static struct device drive = {.base = 64 << 20}, edu = {.base = 16 << 20};
static uint64_t vendor;

/* The pool, each device's domain of it, and all buffers: one of either segment has a name. */
struct scene {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_domain *of_drive, *of_edu;
	struct pinion_buffer buffer[BUFFERS], from, to;
};

static int open_device(struct device *dev)
{
	struct pinion_pci_bdf bdf;
	unsigned group;

	hw_bdf = dev->name;
	if (hw_take("vfio-pci") || pinion_pci_bdf_parse(dev->name, &bdf) ||
	    pinion_pci_iommu_group(&bdf, &group) ||
	    hw_vfio_open(group, &dev->c, &dev->g, &dev->d) ||
	    pinion_vfio_bus_master_set(dev->d, true))
		return -1;
	return pinion_vfio_region_map(dev->d, VFIO_PCI_BAR0_REGION_INDEX, &dev->regs, &dev->len);
}

static int close_device(struct device *dev)
{
	hw_bdf = dev->name;
	if (pinion_vfio_region_unmap(dev->regs, dev->len) || hw_vfio_close(dev->c, dev->g, dev->d))
		return -1;
	return hw_give_back(NULL);
}

static int open_both(void **state)
{
	struct pinion_pci_bdf bdf;

	(void)state;
	if (pinion_pci_bdf_parse(drive.name, &bdf) || pinion_pci_attr_u64(&bdf, "vendor", &vendor))
		return -1;
	return open_device(&drive) || open_device(&edu) ? -1 : 0;
}

static int close_both(void **state)
{
	(void)state;
	return close_device(&drive) || close_device(&edu) ? -1 : 0;
}

static struct pinion_domain *domain_of(const struct device *dev, struct pinion_pool *pool)
{
	const struct pinion_domain_config config = {
		.container = dev->c, .policy = PINION_IOVA_LINEAR, .base = dev->base};
	struct pinion_domain *domain = NULL;

	assert_int_equal(pinion_domain_create_iova(pool, &config, &domain), 0);
	return domain;
}

static struct scene begin(void)
{
	const struct pinion_pool_config config = {
		.nr_segments = 2,
		.segment = {
			{.len = SEGMENT_LEN, .buffer_size = BUFFER_SIZE, .page_size = HW_HUGE,
			 .node = PINION_NODE_ANY},
			{.len = SEGMENT_LEN, .buffer_size = BUFFER_SIZE, .page_size = HW_HUGE,
			 .node = PINION_NODE_ANY},
		},
	};
	const struct pinion_cache_config want = {
		.buffer_size = BUFFER_SIZE, .node = PINION_NODE_ANY};
	struct scene s = {0};

	assert_int_equal(pinion_pool_create(&config, &s.pool), 0);
	assert_int_equal(pinion_cache_open(s.pool, &want, &s.cache), 0);
	s.of_drive = domain_of(&drive, s.pool);
	s.of_edu = domain_of(&edu, s.pool);
	assert_int_equal(pinion_buffer_alloc_bulk(s.cache, s.buffer, BUFFERS), BUFFERS);
	for (uint32_t i = 0; i < BUFFERS; i++)
		*(pinion_buffer_id(s.buffer[i]) < BUFFERS / 2 ? &s.from : &s.to) = s.buffer[i];
	return s;
}

/* What a test has destroyed already is NULL. */
static void end(struct scene *s)
{
	if (s->of_drive)
		assert_int_equal(pinion_domain_destroy(s->of_drive), 0);
	if (s->of_edu)
		assert_int_equal(pinion_domain_destroy(s->of_edu), 0);
	assert_int_equal(pinion_buffer_free_bulk(s->cache, s->buffer, BUFFERS), BUFFERS);
	pinion_cache_close(s->cache);
	assert_int_equal(pinion_pool_destroy(s->pool), 0);
}

static char *addr(const struct scene *s, struct pinion_buffer buffer)
{
	return pinion_buffer_addr(s->pool, buffer);
}

static void drive_writes(const struct scene *s, struct pinion_buffer buffer)
{
	hw_identify(drive.regs, addr(s, buffer), pinion_buffer_iova(s->of_drive, buffer, 0).addr,
		    (uint16_t)vendor);
}

/* "edu" has read `from`, which is full of @byte, and begins to write that to @bus. */
static void edu_begins(const struct scene *s, char byte, uint64_t bus)
{
	memset(addr(s, s->from), byte, LEN);
	memset(addr(s, s->to), 0, LEN);
	edu_read(edu.regs, pinion_buffer_iova(s->of_edu, s->from, 0).addr, LEN);
	edu_wait(edu.regs);
	edu_write(edu.regs, bus, LEN);
}

static bool is_all(const char *at, char byte)
{
	return at[0] == byte && !memcmp(at, at + 1, LEN - 1);
}

static void edu_copies(const struct scene *s, char byte)
{
	edu_begins(s, byte, pinion_buffer_iova(s->of_edu, s->to, 0).addr);
	edu_wait(edu.regs);
	assert_true(is_all(addr(s, s->to), byte));
}

/* Something else can be mapped there, or not. */
static int map_at(const struct scene *s, const struct device *dev, uint64_t iova)
{
	int err = pinion_vfio_dma_map(dev->c, addr(s, s->to), iova, 4096);

	if (!err)
		assert_int_equal(pinion_vfio_dma_unmap(dev->c, iova, 4096), 0);
	return err;
}

static void check_address(const struct pinion_domain *domain, const struct device *dev,
			  struct pinion_buffer buffer)
{
	const uint64_t at = pinion_buffer_iova(domain, buffer, 0).addr;
	uint32_t id = 0, off = 0;

	assert_true(at >= dev->base && at < dev->base + BUFFERS * BUFFER_SIZE);
	assert_int_equal(pinion_domain_find(domain, at + 7, &id, &off), 0);
	assert_int_equal(id, pinion_buffer_id(buffer));
	assert_int_equal(off, 7);
}

static void every_buffer_has_an_address_in_both(void **state)
{
	struct scene s = begin();

	(void)state;
	for (uint32_t i = 0; i < BUFFERS; i++) {
		check_address(s.of_drive, &drive, s.buffer[i]);
		check_address(s.of_edu, &edu, s.buffer[i]);
	}
	end(&s);
}

static void both_devices_reach_the_same_buffers(void **state)
{
	struct scene s = begin();

	(void)state;
	drive_writes(&s, s.from);
	edu_copies(&s, 'a');
	drive_writes(&s, s.to);
	end(&s);
}

static void an_address_of_one_reaches_nothing_from_the_other(void **state)
{
	struct scene s = begin();

	(void)state;
	edu_begins(&s, 'a', pinion_buffer_iova(s.of_drive, s.to, 0).addr);
	edu_wait(edu.regs);
	assert_true(is_all(addr(&s, s.to), 0));
	edu_copies(&s, 'b');
	end(&s);
}

/* The drive's goes while "edu" writes. */
static void without_the_drives_domain_edu_works_on(void **state)
{
	struct scene s = begin();
	const uint64_t was = pinion_buffer_iova(s.of_drive, s.to, 0).addr;
	const uint64_t its = pinion_buffer_iova(s.of_edu, s.to, 0).addr;

	(void)state;
	drive_writes(&s, s.to);
	assert_int_equal(map_at(&s, &drive, was), -EEXIST);
	edu_begins(&s, 'a', its);
	assert_int_equal(pinion_domain_destroy(s.of_drive), 0);
	edu_wait(edu.regs);
	assert_true(is_all(addr(&s, s.to), 'a'));
	assert_int_equal(map_at(&s, &drive, was), 0);
	assert_int_equal(map_at(&s, &edu, its), -EEXIST);
	assert_true(pinion_buffer_iova(s.of_edu, s.to, 0).addr == its);
	edu_copies(&s, 'b');
	s.of_drive = domain_of(&drive, s.pool);
	drive_writes(&s, s.to);
	end(&s);
}

static void without_edus_domain_the_drive_works_on(void **state)
{
	struct scene s = begin();
	const uint64_t was = pinion_buffer_iova(s.of_edu, s.to, 0).addr;

	(void)state;
	edu_copies(&s, 'a');
	drive_writes(&s, s.from);
	assert_int_equal(pinion_domain_destroy(s.of_edu), 0);
	s.of_edu = NULL;
	drive_writes(&s, s.from);
	drive_writes(&s, s.to);
	assert_int_equal(map_at(&s, &edu, was), 0);
	/* And "edu", told to, writes nowhere any more. */
	memset(addr(&s, s.to), 0, LEN);
	edu_write(edu.regs, was, LEN);
	edu_wait(edu.regs);
	assert_true(is_all(addr(&s, s.to), 0));
	end(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		support_test(every_buffer_has_an_address_in_both),
		support_test(both_devices_reach_the_same_buffers),
		support_test(an_address_of_one_reaches_nothing_from_the_other),
		support_test(without_the_drives_domain_edu_works_on),
		support_test(without_edus_domain_the_drive_works_on),
	};
	int status;

	if (hw_begin(argc, argv, "vfio-pci", &status) < 0)
		return status;
	drive.name = hw_bdf;
	if (argc < 3) {
		hw_give_back(NULL);
		return hw_bail_out("no second device was named");
	}
	edu.name = argv[2];
	return cmocka_run_group_tests(tests, open_both, close_both);
}
