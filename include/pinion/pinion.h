/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_PINION_H
#define PINION_PINION_H

/*
 * The whole library API. Each header tells its own story; read them in this order.
 * The drop-in headers (mmio.h, pci.h, pci_scan.h, pci_cap.h, pci_bind.h, vfioctl.h,
 * vfio_region.h, vfio_config.h, vfio_reset.h, vfio_dmabuf.h, iommufd.h, uio.h, hostmem.h, iova.h,
 * heap.h, hostheap.h) stand alone and are not here.
 */

#include <pinion/error.h>
#include <pinion/buffer.h>
#include <pinion/pool.h>
#include <pinion/named.h>
#include <pinion/resume.h>
#include <pinion/cache.h>
#include <pinion/domain.h>
#include <pinion/sg.h>
#include <pinion/prp.h>
#include <pinion/ring.h>
#include <pinion/channel.h>
#include <pinion/wait.h>
#include <pinion/broadcast.h>
#include <pinion/fanin.h>
#include <pinion/request.h>
#include <pinion/rendezvous.h>
#include <pinion/session.h>
#include <pinion/client.h>
#include <pinion/device.h>

#endif
