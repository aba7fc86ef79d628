/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef NVME_FAIL_H
#define NVME_FAIL_H

/*
 * Failing and saying why, in one line:
 *
 *     return nvme_fail(-ENODEV, "%s: the register file reads all ones: was it pulled?", bdf);
 *
 * The sentence goes to stderr, with the program's name before it. It is said once, where the
 * failure is understood best; callers pass the number on without a word.
 */

/* The sentence alone: something that happened, and is no failure of ours. */
__attribute__((format(printf, 1, 2))) void nvme_say(const char *format, ...);

/* Returns @err. */
__attribute__((format(printf, 2, 3))) int nvme_fail(int err, const char *format, ...);

#endif
