/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_PIN_H
#define POOL_PIN_H

/*
 * Pinned pages without VFIO.
 *
 * mlock() keeps pages in memory but lets the kernel move them (compaction, soft-offlining, node
 * balancing), and a device that was told the old physical address writes elsewhere. What pins
 * for good without a device driver is io_uring's buffer registration: the pages carry a long-term
 * pin (FOLL_LONGTERM) until the ring's fd is closed, which also happens when the process dies.
 *
 * A ring for each segment: what a ring has registered cannot be added to, and segments come and
 * go.
 */

#include <stdint.h>

#include <pinion/hostmem.h>

struct pins;

/*
 * Pins all of @memory; @segment is for the sentence.
 *
 * -ENOTSUP  io_uring is disabled here
 * -ENOMEM   RLIMIT_MEMLOCK, for processes without CAP_IPC_LOCK
 */
int pins_create(const struct pinion_hostmem *memory, uint32_t segment, struct pins **pins);
void pins_destroy(struct pins *pins);
/* Lets go of this process's copy, in the child of a fork: the pages stay pinned for its parent. */
void pins_discard(struct pins *pins);

#endif
