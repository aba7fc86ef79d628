/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio_reset.h where it needs no device: the list of those that a hot reset resets, and a bus that
 * changes while it is asked for.
 */

#include <stdarg.h>
#include <sys/ioctl.h>

static int bus_ioctl(int fd, unsigned long request, ...);
#define ioctl bus_ioctl
#include <pinion/vfio_reset.h>
#undef ioctl

#include "brink.h"

#define FIXED sizeof(struct vfio_pci_hot_reset_info)

/* What the kernel fills: room for four functions. */
struct answer {
	uint32_t argsz, flags, count;
	struct vfio_pci_dependent_device device[4];
};

static const struct answer two = {
	.argsz = sizeof(struct answer),
	.count = 2,
	.device = {{.group_id = 7, .bus = 0x41, .devfn = 0},
		   {.group_id = 0x10009, .segment = 0xfffe, .bus = 0xff, .devfn = 0xfb}},
};

static void functions_and_their_groups_are_named(void **state)
{
	struct pinion_vfio_affected list[4] = {{0}};

	(void)state;
	assert_int_equal(pinion_vfio_hot_reset_parse(&two, sizeof(two), list, 4), 2);
	assert_true(list[0].group == 7 && list[0].domain == 0 && list[0].bus == 0x41);
	assert_true(list[0].device == 0 && list[0].function == 0);
	assert_true(list[1].group == 0x10009 && list[1].domain == 0xfffe && list[1].bus == 0xff);
	assert_true(list[1].device == 31 && list[1].function == 3);
	assert_int_equal(list[2].group, 0);
}

static void a_list_that_is_short_gets_the_first_and_the_count_is_whole(void **state)
{
	struct pinion_vfio_affected list[2] = {{0}};

	(void)state;
	assert_int_equal(pinion_vfio_hot_reset_parse(&two, sizeof(two), list, 1), 2);
	assert_true(list[0].group == 7 && list[1].group == 0);
	assert_int_equal(pinion_vfio_hot_reset_parse(&two, sizeof(two), NULL, 0), 2);
}

static void a_count_that_the_answer_does_not_hold_is_ebadmsg(void **state)
{
	struct pinion_vfio_affected list[4] = {{0}};
	struct answer lie = two;

	(void)state;
	assert_int_equal(pinion_vfio_hot_reset_parse(&two, FIXED - 1, list, 4), -EBADMSG);
	assert_int_equal(pinion_vfio_hot_reset_parse(&two, FIXED + 15, list, 4), -EBADMSG);
	assert_int_equal(pinion_vfio_hot_reset_parse(&two, FIXED + 16, list, 4), 2);
	memset(list, 0, sizeof(list));
	lie.count = 5;
	assert_int_equal(pinion_vfio_hot_reset_parse(&lie, sizeof(lie), list, 4), -EBADMSG);
	lie.count = UINT32_MAX;
	assert_int_equal(pinion_vfio_hot_reset_parse(&lie, sizeof(lie), list, 4), -EBADMSG);
	lie.count = 0x20000001; /* times 8 it is 8, in 32 bits */
	assert_int_equal(pinion_vfio_hot_reset_parse(&lie, sizeof(lie), list, 4), -EBADMSG);
	assert_int_equal(list[0].group, 0);
}

/* Wherever it is cut, nothing is read behind it. */
static void an_answer_ends_where_the_memory_ends(void **state)
{
	const size_t all = FIXED + 2 * sizeof(two.device[0]);
	struct pinion_vfio_affected list[4] = {{0}};
	unsigned char *brink = brink_open();
	size_t len;

	(void)state;
	for (len = 0; len <= all; len++)
		assert_int_equal(pinion_vfio_hot_reset_parse(brink_put(brink, &two, len), len, list,
							     4),
				 len < all ? -EBADMSG : 2);
	brink_close(brink);
}

static void ids_of_an_iommufd_are_not_taken_for_groups(void **state)
{
	struct pinion_vfio_affected list[4] = {{0}};
	struct answer ids = two;

	(void)state;
	ids.flags = VFIO_PCI_HOT_RESET_FLAG_DEV_ID;
	assert_int_equal(pinion_vfio_hot_reset_parse(&ids, sizeof(ids), list, 4), -ENOTSUP);
	assert_int_equal(list[0].group, 0);
}

static void what_cannot_be_a_reset_is_refused(void **state)
{
	const int32_t none = -1;

	(void)state;
	assert_int_equal(pinion_vfio_hot_reset(-1, NULL, 1), -EINVAL);
	assert_int_equal(pinion_vfio_hot_reset(-1, &none, UINT32_MAX), -EINVAL);
	assert_int_equal(pinion_vfio_hot_reset(-1, &none, 1), -EBADF);
	assert_int_equal(pinion_vfio_hot_reset_info(-1, NULL, 0), -EBADF);
	assert_int_equal(pinion_vfio_device_reset(-1), -EBADF);
}

/* A bus, and how many functions it has more after each question. */
#define BUS 1000

static struct {
	uint32_t nr;
	int more;
	int err; /* what the kernel answers instead; 0: an answer */
} bus;

static int bus_info(struct vfio_pci_hot_reset_info *info)
{
	struct vfio_pci_dependent_device one = {.group_id = 7, .bus = 0x41};
	const uint32_t nr = bus.nr;

	bus.nr += (uint32_t)bus.more;
	if (bus.err != 0)
		return bus.err;
	info->count = nr;
	if ((info->argsz - sizeof(*info)) / sizeof(one) < nr)
		return ENOSPC;
	for (uint32_t i = 0; i < nr; i++) {
		one.devfn = (uint8_t)i;
		memcpy((char *)info + sizeof(*info) + i * sizeof(one), &one, sizeof(one));
	}
	return 0;
}

static int bus_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (fd != BUS)
		return ioctl(fd, request, arg);
	assert_int_equal(request, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO);
	errno = bus_info(arg);
	return errno == 0 ? 0 : -1;
}

static void a_function_that_comes_meanwhile_is_eagain(void **state)
{
	struct pinion_vfio_affected list[4] = {{0}};

	(void)state;
	bus.nr = 2;
	bus.more = 1;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, list, 4), -EAGAIN);
	assert_int_equal(list[0].group, 0);
	bus.more = 0;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, list, 4), 4);
	assert_true(list[3].group == 7 && list[3].function == 3);
}

static void functions_that_go_meanwhile_are_left_out(void **state)
{
	struct pinion_vfio_affected list[4] = {{0}};

	(void)state;
	bus.nr = 3;
	bus.more = -1;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, list, 4), 2);
	assert_true(list[1].group == 7 && list[2].group == 0);
	bus.more = 0;
}

static void a_bus_that_cannot_be_is_not_read(void **state)
{
	(void)state;
	bus.nr = PINION_VFIO_AFFECTED;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, NULL, 0), PINION_VFIO_AFFECTED);
	bus.nr = PINION_VFIO_AFFECTED + 1;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, NULL, 0), -EBADMSG);
	bus.nr = UINT32_MAX;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, NULL, 0), -EBADMSG);
}

static void a_device_on_a_root_bus_has_no_such_reset(void **state)
{
	(void)state;
	bus.err = ENODEV;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, NULL, 0), -ENOTSUP);
	bus.err = EPERM;
	assert_int_equal(pinion_vfio_hot_reset_info(BUS, NULL, 0), -EPERM);
	bus.err = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(functions_and_their_groups_are_named),
		support_test(a_list_that_is_short_gets_the_first_and_the_count_is_whole),
		support_test(a_count_that_the_answer_does_not_hold_is_ebadmsg),
		support_test(an_answer_ends_where_the_memory_ends),
		support_test(ids_of_an_iommufd_are_not_taken_for_groups),
		support_test(what_cannot_be_a_reset_is_refused),
		support_test(a_function_that_comes_meanwhile_is_eagain),
		support_test(functions_that_go_meanwhile_are_left_out),
		support_test(a_bus_that_cannot_be_is_not_read),
		support_test(a_device_on_a_root_bus_has_no_such_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
