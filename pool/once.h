/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_ONCE_H
#define POOL_ONCE_H

/*
 * Copies words out of memory that others may write meanwhile, so that each is read once.
 *
 * memcpy() does not promise that: a compiler that sees where a copy came from may go there again
 * for a part of it, and what is checked then is not what is used. (gcc 12.2 did, of the control
 * area's magic, once the copy was short.) A load that is atomic is neither repeated nor left out.
 *
 * Words of different moments may come together: what must be of one needs a second look at
 * something that says so.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint64_t once_shared __attribute__((may_alias));
typedef uint64_t once_word __attribute__((may_alias));

/* pre: both are aligned to words, and @len is a multiple of them. */
static inline void once_copy(void *to, const void *from, size_t len)
{
	const once_shared *shared = from;
	once_word *word = to;

	for (size_t i = 0; i < len / sizeof(*word); i++)
		word[i] = atomic_load_explicit(&shared[i], memory_order_relaxed);
}

#endif
