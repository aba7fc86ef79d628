/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_HEAP_H
#define TESTS_FAULT_HEAP_H

/*
 * The allocator of this program, its libraries and the C library itself: glibc's, counted, and
 * failing where it is asked to. Defining malloc() and the others in a program is how glibc lets
 * them be replaced (its manual: Replacing malloc).
 */

/* The @nr-th allocation from now on (0: the next) returns NULL with ENOMEM, once; whichever thread
 * asks. Negative: none does. */
void heap_fail_at(long nr);

/* Has it happened since? */
int heap_failed(void);

/* Blocks that were allocated and not freed. */
long heap_live(void);

#endif
