/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_TRANSPORT_H
#define NVME_TRANSPORT_H

/*
 * How the driver reaches the drive: through the kernel driver to which it is bound.
 *
 *     vfio-pci            by group or by iommufd; BAR 0; MSI-X by eventfd; the IOMMU translates
 *     uio_pci_generic     /dev/uioN, kept open; BAR 0 by sysfs; physical addresses; polling only
 *
 * Everything above this file is the same for both.
 *
 * Death: the kernel closes the device, and with its last descriptor ends bus mastering. That is
 * why the descriptor is never passed to another process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pinion/domain.h>
#include <pinion/pci.h>
#include <pinion/pool.h>
#include <pinion/uio.h>

#include "nvme_vfio.h"

enum nvme_transport_kind {
	NVME_TRANSPORT_VFIO,
	NVME_TRANSPORT_UIO,
};

struct nvme_transport {
	enum nvme_transport_kind kind;
	char bdf[PINION_PCI_BDF_LEN];
	int node;  /* NUMA node of the drive; PINION_NODE_ANY: the firmware names none */
	void *bar; /* BAR 0 */
	size_t bar_len;
	bool by_iommufd; /* VFIO: the caller's wish, before open */
	struct nvme_vfio vfio;
	struct pinion_uio uio;
	int irq_fd; /* an eventfd, readable after an interrupt; -1: polling */
};

/* Takes note of the address, "0000:41:00.0" or shorter; in ->bdf it has one spelling. */
int nvme_transport_name(const char *bdf, struct nvme_transport *transport);
/* Opens the drive of that name. It may still be doing whatever it was told. */
int nvme_transport_open(struct nvme_transport *transport);
/* Ends bus mastering, and gives the drive up. pre: no domain made by it is left. */
void nvme_transport_close(struct nvme_transport *transport);

/* Lets the drive do DMA, or not. pre, for true: the drive was reset, and knows no old queue. */
int nvme_transport_bus_master(struct nvme_transport *transport, bool on);

/* A table of bus addresses for @pool that this drive understands. */
int nvme_transport_domain(const struct nvme_transport *transport, struct pinion_pool *pool,
			  struct pinion_domain **domain);

/* MSI-X vector 0 into irq_fd. -ENOTSUP: there is none this way; poll. */
int nvme_transport_irq_enable(struct nvme_transport *transport);

#endif
