/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_REPORT_H
#define PINIOND_REPORT_H

/*
 * Everything that there is to see, as JSON; pinion(1) shows it. Derived at the moment it is asked
 * for: nothing is counted twice, and nothing kept for it.
 */

#include <jansson.h>

#include "service.h"

/* NULL: no memory. */
json_t *report_service(const struct service *service);

/* "client", "device", or "former": of whom nothing else is known. */
const char *report_role(const struct member *member);

/* Resident memory of this process, and the memory of a pool, in bytes. */
uint64_t report_resident(void);
uint64_t report_bytes(const struct pool *pool);

#endif
