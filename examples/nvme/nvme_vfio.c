/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_vfio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <pinion/iommufd.h>
#include <pinion/vfioctl.h>

#include "nvme_fail.h"

static int find_group(const char *bdf, unsigned *group)
{
	struct pinion_pci_bdf parsed;
	int err = pinion_pci_bdf_parse(bdf, &parsed);

	if (!err)
		err = pinion_pci_iommu_group(&parsed, group);
	if (err == -ENOENT)
		return nvme_fail(err,
				 "%s is in no IOMMU group: the IOMMU is off. Boot with "
				 "intel_iommu=on (or amd_iommu=on), or bind the drive to "
				 "uio_pci_generic", bdf);
	if (err)
		return nvme_fail(err, "%s: cannot read its IOMMU group: %s", bdf, strerror(-err));
	return 0;
}

/* Why a group did not open. Not viable is the usual reason, and then others are to blame. */
static int no_group_open(unsigned group, const char *what, int err)
{
	char blockers[256];

	if (err == -EBUSY && pinion_vfio_group_blockers(group, blockers, sizeof(blockers)) > 0)
		return nvme_fail(err,
				 "IOMMU group %u is not viable: %s must be bound to vfio-pci too, "
				 "or unbound", group, blockers);
	return nvme_fail(err, "%s: %s%s", what, strerror(-err),
			 err == -EBUSY ? ": another program drives this device" : "");
}

/* The same by iommufd, whose numbers for it are others. */
static int no_device_open(const char *bdf, unsigned group, int err)
{
	char blockers[256];
	const char *hint = "";

	if (err == -EPERM && pinion_vfio_group_blockers(group, blockers, sizeof(blockers)) > 0)
		return no_group_open(group, bdf, -EBUSY);
	switch (err) {
	case -EINVAL: hint = ": does another program drive it?"; break;
	case -EBUSY: hint = ": another program has its group open"; break;
	case -EPERM: hint = ": are its interrupts isolated (allow_unsafe_interrupts)?"; break;
	case -ENOENT: hint = ": this kernel makes no /dev/vfio/devices: go by group"; break;
	default: break;
	}
	return nvme_fail(err, "%s: iommufd does not open it: %s%s", bdf, strerror(-err), hint);
}

static int open_by_group(struct nvme_vfio *vfio, const char *bdf, unsigned group)
{
	char what[32];
	int err = pinion_vfio_container_open(&vfio->container);

	if (err)
		return nvme_fail(err, "/dev/vfio/vfio: %s: modprobe vfio-pci?", strerror(-err));
	(void)snprintf(what, sizeof(what), "/dev/vfio/%u", group);
	err = pinion_vfio_group_open(group, vfio->container, &vfio->group);
	if (err) {
		no_group_open(group, what, err);
		goto close_container;
	}
	err = pinion_vfio_device_open(vfio->group, bdf, &vfio->device);
	if (!err)
		return 0;
	nvme_fail(err, "%s: vfio does not open it: %s", bdf, strerror(-err));
	pinion_vfio_group_close(vfio->group);
close_container:
	pinion_vfio_container_close(vfio->container);
	return err;
}

/* The address space first: the drive joins it before anything is mapped there, and so its ranges
 * are those of the drive's IOMMU. Closing the iommufd frees it. */
static int open_by_iommufd(struct nvme_vfio *vfio, const char *bdf, unsigned group)
{
	uint32_t id;
	int err = pinion_iommufd_open(&vfio->container);

	if (err)
		return nvme_fail(err, "/dev/iommu: %s%s", strerror(-err),
				 err == -ENOENT ? ": this kernel has no iommufd: go by group" : "");
	err = pinion_iommufd_ioas_alloc(vfio->container, &vfio->ioas);
	if (err) {
		nvme_fail(err, "/dev/iommu makes no address space: %s", strerror(-err));
		goto close_iommufd;
	}
	err = pinion_iommufd_device_open(bdf, vfio->container, &vfio->device, &id);
	if (err) {
		no_device_open(bdf, group, err);
		goto close_iommufd;
	}
	err = pinion_iommufd_device_attach(vfio->device, vfio->ioas);
	if (!err)
		return 0;
	nvme_fail(err, "%s does not join an address space: %s", bdf, strerror(-err));
	pinion_iommufd_device_close(vfio->device);
close_iommufd:
	pinion_iommufd_close(vfio->container);
	return err;
}

int nvme_vfio_open(struct nvme_vfio *vfio, const char *bdf, bool by_iommufd)
{
	unsigned group = 0;
	int err = find_group(bdf, &group);

	*vfio = (struct nvme_vfio){.container = -1, .group = -1, .device = -1};
	if (err)
		return err;
	return by_iommufd ? open_by_iommufd(vfio, bdf, group) : open_by_group(vfio, bdf, group);
}

void nvme_vfio_close(const struct nvme_vfio *vfio)
{
	if (vfio->ioas) {
		pinion_iommufd_device_close(vfio->device);
		pinion_iommufd_close(vfio->container);
		return;
	}
	pinion_vfio_device_close(vfio->device);
	pinion_vfio_group_close(vfio->group);
	pinion_vfio_container_close(vfio->container);
}

int nvme_vfio_domain(const struct nvme_vfio *vfio, struct pinion_pool *pool,
		     struct pinion_domain **domain)
{
	const struct pinion_domain_config config = {.container = vfio->container,
						    .ioas = vfio->ioas};

	return pinion_domain_create_iova(pool, &config, domain);
}
