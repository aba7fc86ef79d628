/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostheap.h on hugepages: what it says of physical addresses, held against what the kernel says of
 * each small page; then an NVMe drive that finds its queues there, and a process without privilege
 * that shares them. No IOMMU. See hw_support.h.
 */

#include <pinion/hostheap.h>
#include <pinion/pci.h>
#include <pinion/uio.h>

#include <sys/prctl.h>

#include "hw_support.h"
#include "random_support.h"

#define SMALL ((size_t)4096)
#define FRAME ((UINT64_C(1) << 55) - 1) /* of an entry of pagemap; bit 63: it is there */
#define SEGMENTS 2
#define PAGES 6 /* of a segment */
#define BLOCKS 64

static struct pinion_pci_bdf bdf;

static struct pinion_hostheap *heap_of(enum pinion_heap_place place)
{
	struct pinion_hostheap *heap = NULL;
	size_t index = 0;
	int pagemap = -1;

	assert_int_equal(pinion_hostheap_create(64, place, &heap), 0);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	for (size_t s = 0; s < SEGMENTS; s++) {
		const struct pinion_hostmem mem = hw_memory(PAGES);

		assert_int_equal(pinion_hostheap_add(heap, &mem, &index), 0);
		assert_int_equal(index, s);
		assert_int_equal(pinion_hostheap_read_phys(heap, s, pagemap), 0);
	}
	close(pagemap);
	return heap;
}

/* The kernel's word for where a byte is, read here and not by what is tested. */
static uint64_t kernel_phys(int pagemap, const void *addr)
{
	const uintptr_t at = (uintptr_t)addr;
	uint64_t entry = 0;

	assert_int_equal(pread(pagemap, &entry, sizeof(entry), (off_t)(at / SMALL * sizeof(entry))),
			 sizeof(entry));
	assert_true(entry >> 63 == 1);
	assert_true((entry & FRAME) != 0);
	return (entry & FRAME) * SMALL + at % SMALL;
}

/* All bytes of it follow each other, from where the heap says on, and that leads back. */
static void check_contiguous(const struct pinion_hostheap *heap, int pagemap, const char *addr,
			     size_t len)
{
	struct pinion_heap_spot spot = {0};
	uint64_t off = 0;
	void *back = NULL;

	assert_int_equal(pinion_hostheap_locate(heap, addr, len, &spot), 0);
	assert_true(spot.run == len);
	for (size_t in = 0; in < len; in += SMALL)
		assert_true(kernel_phys(pagemap, addr + in) == spot.bus + in);
	assert_true(kernel_phys(pagemap, addr + len - 1) == spot.bus + len - 1);
	assert_int_equal(pinion_heap_from_bus(&heap->heap, spot.bus + len - 1, &off), 0);
	assert_int_equal(pinion_hostheap_addr(heap, off, 1, &back), 0);
	assert_ptr_equal(back, addr + len - 1);
}

/* Allocate and free at random; how many allocations were longer than a page. */
static unsigned churn(struct pinion_hostheap *heap, size_t most)
{
	uint64_t random = test_seed();
	void *block[BLOCKS] = {NULL};
	unsigned nr = 0, longer = 0;
	int pagemap = -1;

	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	for (int i = 0; i < 3000; i++) {
		void **at = &block[test_below(&random, BLOCKS)];
		const uint32_t bound = (uint32_t)(most >> test_below(&random, 20));
		const size_t len = 1 + test_below(&random, bound);
		const size_t align = (size_t)1 << test_below(&random, 22);

		if (*at != NULL) {
			assert_int_equal(pinion_hostheap_free(heap, *at), 0);
			*at = NULL;
		} else if (pinion_hostheap_alloc_aligned(heap, len, align, at) == 0) {
			check_contiguous(heap, pagemap, *at, len);
			assert_true(kernel_phys(pagemap, *at) % align == 0);
			assert_int_equal((uintptr_t)*at % align, 0);
			nr++;
			longer += len > HW_HUGE;
		}
	}
	close(pagemap);
	assert_true(nr > 500);
	return longer;
}

static void nothing_in_one_page_straddles(void **state)
{
	struct pinion_hostheap *heap = heap_of(PINION_HEAP_IN_PAGE);
	void *addr = NULL;

	(void)state;
	assert_int_equal(churn(heap, HW_HUGE), 0);
	assert_int_equal(pinion_hostheap_alloc(heap, HW_HUGE + 1, &addr), -ENOSPC);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* The longest row of pages that touch, in pages, as the kernel says. */
static size_t longest_row(const struct pinion_hostheap *heap)
{
	size_t longest = 1;
	int pagemap = -1;

	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	for (size_t s = 0; s < SEGMENTS; s++) {
		const char *at = heap->mem[s].addr;
		size_t row = 1;

		for (size_t i = 1; i < PAGES; i++) {
			row = kernel_phys(pagemap, at + i * HW_HUGE - 1) + 1 ==
					      kernel_phys(pagemap, at + i * HW_HUGE)
				      ? row + 1
				      : 1;
			longest = row > longest ? row : longest;
		}
	}
	close(pagemap);
	return longest;
}

static void contiguous_is_as_long_as_pages_touch_and_no_longer(void **state)
{
	struct pinion_hostheap *heap = heap_of(PINION_HEAP_CONTIGUOUS);
	const size_t row = longest_row(heap);
	void *addr = NULL;
	int pagemap = -1;

	(void)state;
	print_message("# %zu pages touch\n", row);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostheap_alloc(heap, row * HW_HUGE + 1, &addr), -ENOSPC);
	assert_int_equal(pinion_hostheap_alloc(heap, row * HW_HUGE, &addr), 0);
	check_contiguous(heap, pagemap, addr, row * HW_HUGE);
	assert_int_equal(pinion_hostheap_free(heap, addr), 0);
	close(pagemap);
	assert_true(row == 1 || churn(heap, PAGES * HW_HUGE) > 0);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* A page in the middle is swapped for another, far away: the row has a hole, whatever the kernel
 * gave us first. */
static void a_row_with_a_hole_is_not_crossed(void **state)
{
	struct pinion_hostheap *heap = heap_of(PINION_HEAP_CONTIGUOUS);
	char *at = heap->mem[0].addr;
	struct pinion_heap_spot spot = {0};
	struct pinion_hostmem keep;
	int pagemap = -1;

	(void)state;
	/* The next page that the kernel gives is not the one that it took back. */
	assert_int_equal(madvise(at + 2 * HW_HUGE, HW_HUGE, MADV_REMOVE), 0);
	keep = hw_memory(1);
	assert_int_equal(pinion_hostmem_populate(&heap->mem[0], 2 * HW_HUGE, HW_HUGE), 0);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	assert_int_equal(pinion_hostheap_read_phys(heap, 0, pagemap), 0);
	assert_int_equal(pinion_hostheap_locate(heap, at, PAGES * HW_HUGE, &spot), 0);
	assert_true(spot.run < PAGES * HW_HUGE);
	check_contiguous(heap, pagemap, at, spot.run);
	assert_true(kernel_phys(pagemap, at + spot.run) != spot.bus + spot.run);
	(void)churn(heap, PAGES * HW_HUGE);
	close(pagemap);
	assert_int_equal(pinion_hostmem_destroy(&keep), 0);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* A block between two others is made longer: it goes, and where it is now the kernel says, too. */
static void a_block_that_cannot_grow_where_it_is_takes_its_bytes_along(void **state)
{
	struct pinion_hostheap *heap = heap_of(PINION_HEAP_IN_PAGE);
	void *block = NULL, *behind = NULL, *was;
	int pagemap = -1;

	(void)state;
	assert_int_equal(pinion_hostheap_alloc(heap, SMALL, &block), 0);
	assert_int_equal(pinion_hostheap_alloc(heap, SMALL, &behind), 0);
	memset(block, 0x5a, SMALL);
	was = block;
	assert_int_equal(pinion_hostheap_realloc(heap, &block, HW_HUGE, SMALL), 0);
	assert_ptr_not_equal(block, was);
	for (size_t i = 0; i < SMALL; i++)
		assert_int_equal(((unsigned char *)block)[i], 0x5a);
	assert_int_equal(pinion_hostmem_pagemap_open(&pagemap), 0);
	check_contiguous(heap, pagemap, block, HW_HUGE);
	close(pagemap);
	was = block;
	assert_int_equal(pinion_hostheap_realloc(heap, &block, HW_HUGE + 1, SMALL), -ENOSPC);
	assert_ptr_equal(block, was);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* Three small pages for hw_identify(), cut from the heap behind something else. */
static void a_drive_finds_its_queues_where_the_heap_says(void **state)
{
	struct pinion_hostheap *heap = heap_of(PINION_HEAP_IN_PAGE);
	struct pinion_heap_spot spot = {0};
	struct pinion_uio uio = {0};
	void *regs = NULL, *before = NULL, *addr = NULL;
	uint16_t vendor = 0;
	size_t len = 0;

	(void)state;
	assert_int_equal(pinion_pci_config_read16(&bdf, PCI_VENDOR_ID, &vendor), 0);
	assert_int_equal(pinion_uio_open(hw_bdf, &uio), 0);
	assert_int_equal(pinion_uio_bar_map(&uio, 0, &regs, &len), 0);
	assert_int_equal(pinion_hostheap_alloc(heap, HW_HUGE - HW_PAGE, &before), 0);
	assert_int_equal(pinion_hostheap_alloc_aligned(heap, 3 * HW_PAGE, HW_PAGE, &addr), 0);
	/* The last small page of the first hugepage would have straddled. */
	assert_ptr_equal(addr, (char *)before + HW_HUGE);
	assert_int_equal(pinion_hostheap_locate(heap, addr, 3 * HW_PAGE, &spot), 0);
	assert_true(spot.run == 3 * HW_PAGE);
	hw_disable_nvme(regs);
	assert_int_equal(pinion_uio_bus_master_set(&uio, true), 0);
	hw_identify(regs, addr, spot.bus, vendor);
	assert_int_equal(pinion_uio_bus_master_set(&uio, false), 0);
	assert_int_equal(pinion_uio_bar_unmap(regs, len), 0);
	assert_int_equal(pinion_uio_close(&uio), 0);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

struct guest {
	int sock[2];
	uint64_t off, bus;
};

/* It has no privilege, the same hugepages, and the bus addresses that it was told: its own pagemap
 * shows none. */
static int share_as_nobody(void *arg)
{
	const struct guest *guest = arg;
	struct pinion_hostheap *heap = NULL;
	struct pinion_heap_spot spot = {0};
	void *addr = NULL;
	int pagemap = -1, seen;

	if (setgid(SUPPORT_NOBODY) < 0 || setuid(SUPPORT_NOBODY) < 0)
		return 1;
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (pinion_hostheap_import(guest->sock[1], SEGMENTS * PAGES * HW_HUGE, &heap) < 0)
		return 2;
	if (pinion_hostheap_addr(heap, guest->off, 100, &addr) < 0 || strcmp(addr, "ask") != 0)
		return 3;
	if (pinion_hostheap_locate(heap, addr, 100, &spot) < 0 || spot.bus != guest->bus)
		return 4;
	strcpy(addr, "answer");
	if (pinion_hostmem_pagemap_open(&pagemap) < 0)
		return 5;
	seen = pinion_hostheap_read_phys(heap, 0, pagemap);
	close(pagemap);
	return pinion_hostheap_destroy(heap) < 0 || seen != -EPERM ? 6 : 0;
}

static void a_process_without_privilege_shares_hugepages(void **state)
{
	struct pinion_hostheap *heap = heap_of(PINION_HEAP_IN_PAGE);
	struct pinion_heap_spot spot = {0};
	struct guest guest = {{-1, -1}, 0, 0};
	void *addr = NULL;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, guest.sock), 0);
	assert_int_equal(pinion_hostheap_export(heap, guest.sock[0], true), 0);
	assert_int_equal(pinion_hostheap_alloc(heap, 100, &addr), 0);
	strcpy(addr, "ask");
	assert_int_equal(pinion_hostheap_offset(heap, addr, &guest.off), 0);
	assert_int_equal(pinion_hostheap_locate(heap, addr, 100, &spot), 0);
	guest.bus = spot.bus;
	assert_int_equal(support_child(share_as_nobody, &guest), 0);
	assert_string_equal(addr, "answer");
	close(guest.sock[0]);
	close(guest.sock[1]);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		support_test(nothing_in_one_page_straddles),
		support_test(contiguous_is_as_long_as_pages_touch_and_no_longer),
		support_test(a_row_with_a_hole_is_not_crossed),
		support_test(a_block_that_cannot_grow_where_it_is_takes_its_bytes_along),
		support_test(a_drive_finds_its_queues_where_the_heap_says),
		support_test(a_process_without_privilege_shares_hugepages),
	};
	int status = 0;

	if (hw_begin(argc, argv, "uio_pci_generic", &status) < 0)
		return status;
	if (hw_hugepages(SEGMENTS * PAGES + 2) < 0 || pinion_pci_bdf_parse(hw_bdf, &bdf) < 0) {
		hw_give_back(NULL);
		return hw_bail_out("cannot reserve hugepages of 2 MiB");
	}
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
