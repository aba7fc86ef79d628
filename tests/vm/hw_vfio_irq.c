/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of vfioctl.h, with a device that raises one when told, by its line or by a message
 * (hw_edu.h). And the kernel's wish to have a device back.
 */

#include <pinion/vfio_config.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "hw_edu.h"
#include "hw_vfio.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI VFIO_PCI_MSI_IRQ_INDEX
#define REQ VFIO_PCI_REQ_IRQ_INDEX

#define PATIENCE_MS 10000
#define SILENCE_MS 50

static unsigned group;
static int c = -1, g = -1, d = -1;
static int event = -1;
static void *regs;
static size_t len;

static int open_all(void **state)
{
	if (support_fds_before(state) != 0 || hw_vfio_open(group, &c, &g, &d) < 0)
		return -1;
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return pinion_vfio_region_map(d, VFIO_PCI_BAR0_REGION_INDEX, &regs, &len);
}

static int close_device(void)
{
	const int err = pinion_vfio_region_unmap(regs, len);

	return err == 0 ? hw_vfio_close(c, g, d) : err;
}

static int close_all(void **state)
{
	int err = d >= 0 ? close_device() : 0;

	close(event);
	return err == 0 ? support_fds_after(state) : err;
}

/* How many times it was signalled, within so many milliseconds. */
static uint64_t signals(int ms)
{
	struct pollfd want = { event, POLLIN, 0 };
	eventfd_t value = 0;

	(void)poll(&want, 1, ms);
	return eventfd_read(event, &value) == 0 ? value : 0;
}

static void each_kind_says_what_it_is_like(void **state)
{
	struct pinion_vfio_irq irq = { 0 };

	(void)state;
	assert_int_equal(pinion_vfio_irq_info(d, INTX, &irq), 0);
	assert_true(irq.nr == 1 && irq.maskable && irq.automasked);
	assert_int_equal(pinion_vfio_irq_info(d, MSI, &irq), 0);
	assert_true(irq.nr == 1 && !irq.maskable && !irq.automasked);
	assert_int_equal(pinion_vfio_irq_info(d, VFIO_PCI_MSIX_IRQ_INDEX, &irq), 0);
	assert_int_equal(irq.nr, 0);
	assert_int_equal(pinion_vfio_irq_info(d, REQ, &irq), 0);
	assert_int_equal(irq.nr, 1);
	/* "edu" is no PCI Express device, and knows no such errors. */
	assert_int_equal(pinion_vfio_irq_info(d, VFIO_PCI_ERR_IRQ_INDEX, &irq), -EINVAL);
}

static void a_line_is_told_once_and_again_when_it_is_let_through(void **state)
{
	uint32_t cause;

	(void)state;
	assert_int_equal(pinion_vfio_irq_enable(d, INTX, 0, &event, 1), 0);
	for (cause = 1; cause <= 3; cause++) {
		edu_raise(regs, cause);
		assert_int_equal(signals(PATIENCE_MS), 1);
		edu_acknowledge(regs, cause);
		assert_int_equal(pinion_vfio_irq_unmask(d, INTX), 0);
	}
	edu_raise(regs, 4);
	assert_int_equal(signals(PATIENCE_MS), 1);
	edu_acknowledge(regs, 4);
	edu_raise(regs, 5);
	assert_int_equal(signals(SILENCE_MS), 0);
	assert_int_equal(pinion_vfio_irq_unmask(d, INTX), 0);
	assert_int_equal(signals(PATIENCE_MS), 1);
	edu_acknowledge(regs, 5);
	assert_int_equal(pinion_vfio_irq_disable(d, INTX), 0);
}

static void a_masked_line_is_told_later(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_irq_enable(d, INTX, 0, &event, 1), 0);
	assert_int_equal(pinion_vfio_irq_mask(d, INTX), 0);
	edu_raise(regs, 1);
	assert_int_equal(signals(SILENCE_MS), 0);
	assert_int_equal(pinion_vfio_irq_unmask(d, INTX), 0);
	assert_int_equal(signals(PATIENCE_MS), 1);
	edu_acknowledge(regs, 1);
	assert_int_equal(pinion_vfio_irq_disable(d, INTX), 0);
}

static void whoever_writes_an_eventfd_lets_the_line_through(void **state)
{
	const int through = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	assert_int_equal(pinion_vfio_irq_enable(d, INTX, 0, &event, 1), 0);
	assert_int_equal(pinion_vfio_irq_unmask_by(d, INTX, through), 0);
	edu_raise(regs, 1);
	assert_int_equal(signals(PATIENCE_MS), 1);
	edu_acknowledge(regs, 1);
	edu_raise(regs, 2);
	assert_int_equal(signals(SILENCE_MS), 0);
	assert_int_equal(eventfd_write(through, 1), 0);
	assert_int_equal(signals(PATIENCE_MS), 1);
	edu_acknowledge(regs, 2);
	assert_int_equal(pinion_vfio_irq_unmask_by(d, INTX, -1), 0);
	assert_int_equal(pinion_vfio_irq_disable(d, INTX), 0);
	close(through);
}

static void a_message_is_told_each_time(void **state)
{
	uint32_t cause;

	(void)state;
	/* A message is a write of the device's into memory. */
	assert_int_equal(pinion_vfio_bus_master_set(d, true), 0);
	assert_int_equal(pinion_vfio_irq_enable(d, MSI, 0, &event, 1), 0);
	for (cause = 1; cause <= 3; cause++) {
		edu_raise(regs, cause);
		assert_int_equal(signals(PATIENCE_MS), 1);
		edu_acknowledge(regs, cause);
	}
	assert_int_equal(pinion_vfio_irq_disable(d, MSI), 0);
	edu_raise(regs, 4);
	assert_int_equal(signals(SILENCE_MS), 0);
	edu_acknowledge(regs, 4);
	assert_int_equal(pinion_vfio_bus_master_set(d, false), 0);
}

static void a_trigger_does_without_the_device(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_irq_trigger(d, MSI, 0, 1), -EINVAL);
	assert_int_equal(pinion_vfio_irq_enable(d, MSI, 0, &event, 1), 0);
	assert_int_equal(pinion_vfio_irq_trigger(d, MSI, 0, 0), -EINVAL);
	assert_int_equal(pinion_vfio_irq_trigger(d, MSI, 0, 1), 0);
	assert_int_equal(signals(PATIENCE_MS), 1);
	assert_int_equal(pinion_vfio_irq_disable(d, MSI), 0);
}

static void what_a_kind_cannot_is_refused(void **state)
{
	(void)state;
	assert_int_equal(pinion_vfio_irq_mask(d, INTX), -EINVAL); /* not enabled */
	assert_int_equal(pinion_vfio_irq_enable(d, MSI, 0, &event, 1), 0);
	assert_int_equal(pinion_vfio_irq_mask(d, MSI), -ENOTSUP);
	assert_int_equal(pinion_vfio_irq_unmask(d, MSI), -ENOTSUP);
	assert_int_equal(pinion_vfio_irq_unmask_by(d, MSI, event), -ENOTSUP);
	assert_int_equal(pinion_vfio_irq_enable(d, INTX, 0, &event, 1), -EINVAL);
	assert_int_equal(pinion_vfio_irq_disable(d, MSI), 0);
	/* The device has none of this kind. */
	assert_int_equal(pinion_vfio_irq_enable(d, VFIO_PCI_MSIX_IRQ_INDEX, 0, &event, 1), -EINVAL);
}

/* The kernel waits in there until whoever drives the device has closed it. */
static pid_t ask_for_it_back(void)
{
	const pid_t pid = fork();

	if (pid == 0) {
		close(d);
		close(g);
		close(c);
		munmap(regs, len);
		hw_unbind();
		_exit(hw_driver()[0] == '\0' ? 0 : 1);
	}
	return pid;
}

static void the_kernel_asks_for_the_device_and_waits(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(pinion_vfio_irq_enable(d, REQ, 0, &event, 1), 0);
	pid = ask_for_it_back();
	assert_true(signals(PATIENCE_MS) >= 1);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(close_device(), 0);
	d = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(hw_bind("vfio-pci"), 0);
}

#define device_test(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		device_test(each_kind_says_what_it_is_like),
		device_test(a_line_is_told_once_and_again_when_it_is_let_through),
		device_test(a_masked_line_is_told_later),
		device_test(whoever_writes_an_eventfd_lets_the_line_through),
		device_test(a_message_is_told_each_time),
		device_test(a_trigger_does_without_the_device),
		device_test(what_a_kind_cannot_is_refused),
		device_test(the_kernel_asks_for_the_device_and_waits),
	};
	int status = 0;

	if (hw_vfio_begin(argc, argv, &group, &status) < 0)
		return status;
	return cmocka_run_group_tests(tests, NULL, hw_give_back);
}
