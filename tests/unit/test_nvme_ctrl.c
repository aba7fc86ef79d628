/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller of examples/nvme as a device process that was killed leaves it: enabled, with
 * queues in memory that is gone. Its registers are memory, a thread plays the drive, and whoever
 * lets it be master of the bus looks at them first.
 */
#include <pthread.h>
#include <stdatomic.h>

#include <nvme_ctrl.h>

#include "support.h"

#define BAR_LEN 8192

/* The drive takes its time: who does not wait finds it at work. */
#define DRIVE_US 20000

static _Alignas(8) unsigned char bar[BAR_LEN];

static struct {
	_Atomic bool ends;
	int turned_on, turned_off;
	uint32_t cc, csts; /* when it was turned on */
} seen;

static volatile _Atomic uint32_t *reg(unsigned off)
{
	return (volatile _Atomic uint32_t *)(void *)(bar + off);
}

/* It is asked for by nvme_ctrl.c, and nothing of it is there without a device. */

int nvme_transport_bus_master(struct nvme_transport *transport, bool on)
{
	(void)transport;
	if (!on) {
		seen.turned_off++;
		return 0;
	}
	seen.turned_on++;
	seen.cc = *reg(NVME_REG_CC);
	seen.csts = *reg(NVME_REG_CSTS);
	return -EIO; /* as far as this test goes */
}

int nvme_memory_create(const struct nvme_transport *transport, size_t page_size, uint32_t nr_pages,
		       struct nvme_memory *memory)
{
	(void)transport, (void)page_size, (void)nr_pages, (void)memory;
	return 0;
}

void nvme_memory_destroy(struct nvme_memory *memory)
{
	(void)memory;
}

int nvme_page_alloc(struct nvme_memory *memory, struct nvme_page *page)
{
	(void)memory;
	page->addr = calloc(1, NVME_PAGE_SIZE);
	return page->addr ? 0 : -ENOMEM;
}

void nvme_page_free(struct nvme_memory *memory, struct nvme_page *page)
{
	(void)memory;
	free(page->addr);
	page->addr = NULL;
}

/* Base 3.1.3.6: RDY follows EN. */
static void *be_a_drive(void *unused)
{
	(void)unused;
	while (!seen.ends) {
		const uint32_t enabled = *reg(NVME_REG_CC) & NVME_CC_EN;

		usleep(DRIVE_US);
		*reg(NVME_REG_CSTS) = enabled ? NVME_CSTS_RDY : 0;
	}
	return NULL;
}

static void leave_enabled(void)
{
	const uint64_t cap = NVME_CAP_CSS_NVM | UINT64_C(20) << 24 | 255;

	memset(&seen, 0, sizeof(seen));
	memset(bar, 0, sizeof(bar));
	memcpy(bar + NVME_REG_CAP, &cap, sizeof(cap));
	*reg(NVME_REG_CC) = NVME_CC_EN;
	*reg(NVME_REG_CSTS) = NVME_CSTS_RDY;
}

static void a_controller_is_disabled_before_it_is_master_of_the_bus(void **state)
{
	static struct nvme_ctrl ctrl;
	struct nvme_transport transport = {.bdf = "0000:41:00.0", .bar = bar, .bar_len = BAR_LEN};
	pthread_t drive;

	(void)state;
	leave_enabled();
	assert_int_equal(pthread_create(&drive, NULL, be_a_drive, NULL), 0);
	assert_int_equal(nvme_ctrl_open(&transport, 1, 4096, &ctrl), -EIO);
	seen.ends = true;
	assert_int_equal(pthread_join(drive, NULL), 0);
	assert_int_equal(seen.turned_on, 1);
	assert_int_equal(seen.cc & NVME_CC_EN, 0);
	assert_int_equal(seen.csts & NVME_CSTS_RDY, 0);
	assert_int_equal(seen.turned_off, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(a_controller_is_disabled_before_it_is_master_of_the_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
