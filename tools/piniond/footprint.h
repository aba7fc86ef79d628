/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_FOOTPRINT_H
#define PINIOND_FOOTPRINT_H

/*
 * What of its pools counts as this process's memory: the pages of 4 KiB that are in its table, of a
 * pool that it filled, or of owner words that somebody had it count. They are the files', and stay
 * there; out of the table they go after each such look, and at each turn of the audit.
 */

struct pool;

void footprint_let_go(const struct pool *pool);

#endif
