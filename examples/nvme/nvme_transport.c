/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_transport.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <pinion/error.h>
#include <pinion/vfio_config.h>

#include "nvme_fail.h"

#define DRIVER_LEN 64

static int open_uio(struct nvme_transport *transport)
{
	int err = pinion_uio_open(transport->bdf, &transport->uio);

	if (err)
		return nvme_fail(err, "%s: cannot open its /dev/uioN: %s", transport->bdf,
				 strerror(-err));
	return 0;
}

static int open_by_driver(struct nvme_transport *transport, const struct pinion_pci_bdf *bdf)
{
	char driver[DRIVER_LEN] = "no driver";
	int err = pinion_pci_driver(bdf, driver, sizeof(driver));

	if (err && err != -ENOENT)
		return nvme_fail(err, "%s: %s", transport->bdf,
				 err == -ENODEV ? "there is no such PCI device" : strerror(-err));
	if (!strcmp(driver, "vfio-pci")) {
		transport->kind = NVME_TRANSPORT_VFIO;
		return nvme_vfio_open(&transport->vfio, transport->bdf, transport->by_iommufd);
	}
	if (transport->by_iommufd)
		return nvme_fail(-ENXIO, "%s is bound to %s, and an iommufd is for vfio-pci "
				 "(tools/devbind)", transport->bdf, driver);
	if (!strcmp(driver, "uio_pci_generic")) {
		transport->kind = NVME_TRANSPORT_UIO;
		return open_uio(transport);
	}
	return nvme_fail(-ENXIO,
			 "%s is bound to %s: give it to vfio-pci or uio_pci_generic first "
			 "(tools/devbind)", transport->bdf, driver);
}

static int map_bar(struct nvme_transport *transport)
{
	int err = transport->kind == NVME_TRANSPORT_VFIO ?
			  pinion_vfio_region_map(transport->vfio.device, VFIO_PCI_BAR0_REGION_INDEX,
						 &transport->bar, &transport->bar_len) :
			  pinion_uio_bar_map(&transport->uio, 0, &transport->bar,
					     &transport->bar_len);

	if (err)
		return nvme_fail(err, "%s: cannot map BAR 0: %s", transport->bdf, strerror(-err));
	return 0;
}

static void unmap_bar(struct nvme_transport *transport)
{
	if (transport->kind == NVME_TRANSPORT_VFIO)
		pinion_vfio_region_unmap(transport->bar, transport->bar_len);
	else
		pinion_uio_bar_unmap(transport->bar, transport->bar_len);
}

static void close_by_driver(struct nvme_transport *transport)
{
	if (transport->kind == NVME_TRANSPORT_VFIO)
		nvme_vfio_close(&transport->vfio);
	else
		pinion_uio_close(&transport->uio);
}

int nvme_transport_name(const char *text, struct nvme_transport *transport)
{
	struct pinion_pci_bdf bdf;
	int err = pinion_pci_bdf_parse(text, &bdf);

	memset(transport, 0, sizeof(*transport));
	transport->irq_fd = -1;
	if (!err)
		err = pinion_pci_bdf_format(&bdf, transport->bdf, sizeof(transport->bdf));
	if (err)
		return nvme_fail(err, "'%s' is not a PCI address like 0000:41:00.0", text);
	return 0;
}

int nvme_transport_open(struct nvme_transport *transport)
{
	struct pinion_pci_bdf bdf;
	int err = pinion_pci_bdf_parse(transport->bdf, &bdf);

	if (!err)
		err = open_by_driver(transport, &bdf);
	if (err)
		return err;
	/* A kernel without NUMA has no such attribute: any node will do. */
	if (pinion_pci_numa_node(&bdf, &transport->node))
		transport->node = PINION_NODE_ANY;
	err = map_bar(transport);
	if (err)
		close_by_driver(transport);
	return err;
}

void nvme_transport_close(struct nvme_transport *transport)
{
	nvme_transport_bus_master(transport, false);
	if (transport->irq_fd >= 0) {
		pinion_vfio_irq_disable(transport->vfio.device, VFIO_PCI_MSIX_IRQ_INDEX);
		close(transport->irq_fd);
	}
	unmap_bar(transport);
	close_by_driver(transport);
}

int nvme_transport_bus_master(struct nvme_transport *transport, bool on)
{
	int err = transport->kind == NVME_TRANSPORT_VFIO ?
			  pinion_vfio_bus_master_set(transport->vfio.device, on) :
			  pinion_uio_bus_master_set(&transport->uio, on);

	if (err)
		return nvme_fail(err, "%s: cannot turn bus mastering %s: %s", transport->bdf,
				 on ? "on" : "off", strerror(-err));
	return 0;
}

int nvme_transport_domain(const struct nvme_transport *transport, struct pinion_pool *pool,
			  struct pinion_domain **domain)
{
	int err = transport->kind == NVME_TRANSPORT_VFIO ?
			  nvme_vfio_domain(&transport->vfio, pool, domain) :
			  pinion_domain_create_phys(pool, domain);

	if (err)
		return nvme_fail(err, "%s: %s", transport->bdf, pinion_error_text());
	return 0;
}

static int route_irq(struct nvme_transport *transport)
{
	int32_t fd = transport->irq_fd;
	int err = pinion_vfio_irq_enable(transport->vfio.device, VFIO_PCI_MSIX_IRQ_INDEX, 0, &fd,
					 1);

	if (err)
		return nvme_fail(err, "%s: cannot enable MSI-X: %s: try --irq poll",
				 transport->bdf, strerror(-err));
	return 0;
}

int nvme_transport_irq_enable(struct nvme_transport *transport)
{
	int err;

	if (transport->kind != NVME_TRANSPORT_VFIO)
		return nvme_fail(-ENOTSUP, "%s: uio_pci_generic has no MSI-X: use --irq poll",
				 transport->bdf);
	transport->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (transport->irq_fd < 0)
		return nvme_fail(-errno, "eventfd: %s", strerror(errno));
	err = route_irq(transport);
	if (err) {
		close(transport->irq_fd);
		transport->irq_fd = -1;
	}
	return err;
}
