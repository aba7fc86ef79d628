/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_VFIO_H
#define NVME_VFIO_H

/*
 * A drive bound to vfio-pci, opened by one of the two ways that VFIO has:
 *
 *     container, group, device        every kernel
 *     iommufd, device                 Linux 6.6 with CONFIG_VFIO_DEVICE_CDEV
 *
 * Which one is for the caller to say; nothing is tried behind its back. Once open, the device is
 * the same either way.
 *
 * Death: mappings live until the last descriptor of the container or iommufd is closed, wherever;
 * bus mastering ends with the device's, which is never passed to another process.
 */

#include <stdbool.h>
#include <stdint.h>

#include <pinion/domain.h>
#include <pinion/pci.h>

struct nvme_vfio {
	int container;  /* or the iommufd */
	int group;      /* -1: by iommufd */
	int device;
	uint32_t ioas;  /* by iommufd: the drive's address space; 0: by group */
};

/* On failure nothing is left open. @bdf in full: "0000:41:00.0". */
int nvme_vfio_open(struct nvme_vfio *vfio, const char *bdf, bool by_iommufd);
void nvme_vfio_close(const struct nvme_vfio *vfio);

/* A table of bus addresses for @pool that the drive understands. */
int nvme_vfio_domain(const struct nvme_vfio *vfio, struct pinion_pool *pool,
		     struct pinion_domain **domain);

#endif
