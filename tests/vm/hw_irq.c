/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of uio.h, with a device that raises its line when told (hw_edu.h), which stands on the
 * root bus of the virtual machine.
 */

#include <pinion/uio.h>

#include "hw_edu.h"

static struct pinion_uio uio;
static void *regs;
static size_t len;

static int open_edu(void **state)
{
	if (support_fds_before(state) != 0 || pinion_uio_open(hw_bdf, &uio) < 0)
		return -1;
	return pinion_uio_bar_map(&uio, 0, &regs, &len);
}

static int close_edu(void **state)
{
	int err = pinion_uio_bar_unmap(regs, len);

	if (err == 0)
		err = pinion_uio_close(&uio);
	return err == 0 ? support_fds_after(state) : err;
}

static void this_is_edu(void **state)
{
	(void)state;
	assert_int_equal(pinion_mmio_read32(hw_reg(regs, EDU_ID)) & 0xffff, 0x00ed);
}

static void each_interrupt_ends_one_wait(void **state)
{
	uint32_t before = 0, count = 0, i;

	(void)state;
	for (i = 1; i <= 3; i++) {
		assert_int_equal(pinion_uio_irq_enable(&uio), 0);
		edu_raise(regs, i);
		assert_int_equal(pinion_uio_irq_wait(&uio, 10000 * HW_MS, &count), 0);
		edu_acknowledge(regs, i);
		if (i > 1)
			assert_int_equal(count, before + 1);
		before = count;
	}
	assert_int_equal(pinion_uio_irq_wait(&uio, 0, &count), -ETIMEDOUT);
}

static void a_blocked_line_waits_until_it_is_let_through(void **state)
{
	uint32_t count = 0;

	(void)state;
	assert_int_equal(pinion_uio_irq_enable(&uio), 0);
	edu_raise(regs, 1);
	assert_int_equal(pinion_uio_irq_wait(&uio, 10000 * HW_MS, &count), 0);
	edu_acknowledge(regs, 1);
	/* The kernel has blocked the line: the next one stays pending in the device. */
	edu_raise(regs, 2);
	assert_int_equal(pinion_uio_irq_wait(&uio, 50 * HW_MS, &count), -ETIMEDOUT);
	assert_int_equal(pinion_uio_irq_enable(&uio), 0);
	assert_int_equal(pinion_uio_irq_wait(&uio, 10000 * HW_MS, &count), 0);
	edu_acknowledge(regs, 2);
}

#define device_test(f) cmocka_unit_test_setup_teardown(f, open_edu, close_edu)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(this_is_edu),
		device_test(each_interrupt_ends_one_wait),
		device_test(a_blocked_line_waits_until_it_is_let_through),
	};
	int status = 0;

	if (hw_begin(argc, argv, "uio_pci_generic", &status) < 0)
		return status;
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
