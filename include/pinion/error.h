/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_ERROR_H
#define PINION_ERROR_H

/*
 * What went wrong, in words.
 *
 * Every call of the library returns 0 (or a count) or -errno, and leaves errno alone. A number
 * cannot say which node had too few pages, so calls that set things up also leave a sentence:
 * what was wrong, where, and what to do about it.
 *
 *     if ((err = pinion_pool_create(&config, &pool)))
 *             errx(1, "%s", pinion_error_text());
 *
 * The sentence belongs to the calling thread and stands until its next failing call. send never
 * touches it, and alloc, free and recv only where they meet a segment that they cannot map.
 */

/* The sentence of this thread's last failing set-up call; "" before the first. Never NULL. */
const char *pinion_error_text(void);

#endif
