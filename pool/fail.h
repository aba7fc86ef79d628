/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_FAIL_H
#define POOL_FAIL_H

/*
 * How set-up calls fail: a sentence for people, -errno for programs, errno as it was.
 */

#include <errno.h>

/* Leaves the sentence for pinion_error_text() and returns @err (which is negative). */
__attribute__((format(printf, 2, 3))) int pinion_fail(int err, const char *format, ...);

static inline void pinion_errno_restore(const int *saved)
{
	errno = *saved;
}

/* First line of a public set-up call: whatever happens below, the caller's errno stays. */
#define KEEP_ERRNO \
	__attribute__((cleanup(pinion_errno_restore), unused)) const int errno_of_caller = errno

#endif
