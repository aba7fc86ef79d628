/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_ORDER_H
#define PINIOND_ORDER_H

/*
 * What an administrator may tell the service to do, while it runs.
 */

#include <jansson.h>

#include "service.h"

/* The answer, which is the caller's; NULL after the peer was refused. @file: to go along, and still
 * ours; untouched where none does. */
json_t *order_give(struct peer *peer, const char *order, const char *text, int *file);

#endif
