/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_FUSE_H
#define PINION_SOAK_FUSE_H

/*
 * A fuse: the process that lights it is killed (SIGKILL) by a timer of its own so many nanoseconds
 * later, wherever it is then. No other process has to be woken for it, so that delays of a few
 * microseconds mean something: the process is on a processor when it lights the fuse.
 */

#include <stdint.h>

/* 0, or -errno. Once lit it cannot be put out. */
int fuse_light(uint64_t ns);

/* Most within @longest; one in eight up to sixteen times as long. */
uint64_t fuse_length(uint64_t *random, uint64_t longest);

#endif
