/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_dmabuf.h where it needs no device: what is asked, and what an answer means. */

#include <pinion/vfio_dmabuf.h>

#include "support.h"

/* <linux/vfio.h> of Linux 6.19: 8 bytes that every feature begins with, 16 of this one, and its
 * ranges. */
static void the_request_has_the_kernels_layout(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct pinion_vfio_dmabuf, region_index),
			 sizeof(struct vfio_device_feature));
	assert_int_equal(offsetof(struct pinion_vfio_dmabuf, open_flags), 12);
	assert_int_equal(offsetof(struct pinion_vfio_dmabuf, nr_ranges), 20);
	assert_int_equal(offsetof(struct pinion_vfio_dmabuf, range), 24);
	assert_int_equal(sizeof(struct pinion_vfio_area), 16);
}

static void a_kernel_that_does_not_know_it_is_enotsup(void **state)
{
	const struct pinion_vfio_area page = {0, 4096};
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd = 7;

	(void)state;
	/* The answer of old kernels to the feature: no such request. */
	assert_int_equal(pinion_vfio_dmabuf_check(null), -ENOTSUP);
	assert_int_equal(pinion_vfio_dmabuf_export(null, 0, &page, 1, &fd), -ENOTSUP);
	assert_int_equal(fd, 7);
	close(null);
}

static void other_errors_stay_what_they_are(void **state)
{
	const struct pinion_vfio_area page = {0, 4096};
	int fd = 7;

	(void)state;
	assert_int_equal(pinion_vfio_dmabuf_check(-1), -EBADF);
	assert_int_equal(pinion_vfio_dmabuf_export(-1, 0, &page, 1, &fd), -EBADF);
	assert_int_equal(pinion_vfio_dmabuf_export(-1, 0, &page, 0, &fd), -EINVAL);
	assert_int_equal(pinion_vfio_dmabuf_export(-1, 0, &page, 33, &fd), -EINVAL);
	assert_int_equal(pinion_vfio_dmabuf_export(-1, 0, &page, UINT32_MAX, &fd), -EINVAL);
	assert_int_equal(fd, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(the_request_has_the_kernels_layout),
		support_test(a_kernel_that_does_not_know_it_is_enotsup),
		support_test(other_errors_stay_what_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
