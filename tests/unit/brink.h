/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_BRINK_H
#define PINION_TESTS_BRINK_H

/*
 * Bytes that end where the memory ends: who reads one more of them dies of it, in any build.
 */

#include <sys/mman.h>

#include "support.h"

#define BRINK_LEN ((size_t)4096)

/* A page, with one behind it that cannot be touched. */
static inline unsigned char *brink_open(void)
{
	void *addr = mmap(NULL, 2 * BRINK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	assert_ptr_not_equal(addr, MAP_FAILED);
	assert_int_equal(mprotect((char *)addr + BRINK_LEN, BRINK_LEN, PROT_NONE), 0);
	return addr;
}

/* Where the copy begins; it is good until the next one. */
static inline void *brink_put(unsigned char *brink, const void *bytes, size_t len)
{
	assert_true(len <= BRINK_LEN);
	return len == 0 ? brink + BRINK_LEN : memcpy(brink + BRINK_LEN - len, bytes, len);
}

static inline void brink_close(unsigned char *brink)
{
	assert_int_equal(munmap(brink, 2 * BRINK_LEN), 0);
}

#endif
