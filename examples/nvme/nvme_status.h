/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_STATUS_H
#define NVME_STATUS_H

/*
 * An NVMe status in words.
 *
 * A status is SCT << 8 | SC (status code type, status code), as nvme_completion_status() and the
 * wire (nvme_wire.h) give it; 0 is success.
 */

#include <stddef.h>
#include <stdint.h>

#define NVME_STATUS_INVALID_FIELD 0x0002

#define NVME_STATUS_TEXT 96 /* room for every text below */

/* The name of a status as the specification has it, or NULL when the table lacks it. */
const char *nvme_status_name(uint16_t status);

/* "Generic: LBA Out of Range (SCT 0, SC 0x80)", written into @text; returns @text. */
char *nvme_status_format(uint16_t status, char *text, size_t len);

#endif
