/* SPDX-License-Identifier: BSD-3-Clause */
#include "iommu.h"

#include <errno.h>

#include <pinion/iommufd.h>

_Static_assert(PINION_IOMMUFD_RANGES <= PINION_VFIO_RANGES, "ranges of the one fit into the other");

/* Its pages: the alignment that it wants. Larger ones are the IOMMU's matter. */
static int info_of_iommufd(const struct pinion_domain_config *config,
			   struct pinion_vfio_iommu *info)
{
	struct pinion_iommufd_ioas ioas = {0};
	int err = pinion_iommufd_ioas_ranges(config->container, config->ioas, &ioas);

	if (err)
		return err;
	*info = (struct pinion_vfio_iommu){.page_sizes = ioas.alignment,
					   .nr_ranges = ioas.nr_ranges};
	for (uint32_t i = 0; i < ioas.nr_ranges; i++)
		info->range[i] = (struct pinion_vfio_range){ioas.range[i].start,
							    ioas.range[i].last};
	return 0;
}

int iommu_info(const struct pinion_domain_config *config, struct pinion_vfio_iommu *info)
{
	return config->ioas ? info_of_iommufd(config, info) :
			      pinion_vfio_iommu_info(config->container, info);
}

int iommu_map(const struct pinion_domain_config *config, void *addr, uint64_t iova, uint64_t len)
{
	return config->ioas ? pinion_iommufd_dma_map(config->container, config->ioas, addr, iova,
						     len) :
			      pinion_vfio_dma_map(config->container, addr, iova, len);
}

int iommu_unmap(const struct pinion_domain_config *config, uint64_t iova, uint64_t len)
{
	int err;

	if (!config->ioas)
		return pinion_vfio_dma_unmap(config->container, iova, len);
	err = pinion_iommufd_dma_unmap(config->container, config->ioas, iova, len);
	/* Nothing there at all is for a container less than was asked. */
	return err == -ENOENT ? -EIO : err;
}
