/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_IDENTIFY_H
#define NVME_IDENTIFY_H

/*
 * What the drive says about itself, checked before anything relies on it: names, the largest
 * transfer, and the block format and size of the namespace. Base 5.17, NVM 4.1.5.
 */

#include "nvme_ctrl.h"

/* Fills model to max_transfer of @ctrl. pre: the admin queue works. */
int nvme_identify(struct nvme_ctrl *ctrl);

#endif
