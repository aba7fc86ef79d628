/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_IOMMU_H
#define POOL_IOMMU_H

/*
 * An address space of an IOMMU, whichever interface of the kernel has it: VFIO's container, or one
 * of an iommufd. Calls and errors are those of vfioctl.h, and -ENOENT for an address space that
 * the iommufd does not have.
 */

#include <stdint.h>

#include <pinion/domain.h>
#include <pinion/vfioctl.h>

/* The ranges, and how many map entries are left: 0 when the kernel does not say. An iommufd has no
 * limit of those. */
int iommu_info(const struct pinion_domain_config *config, struct pinion_vfio_iommu *info);
int iommu_map(const struct pinion_domain_config *config, void *addr, uint64_t iova, uint64_t len);
int iommu_unmap(const struct pinion_domain_config *config, uint64_t iova, uint64_t len);

#endif
