/* SPDX-License-Identifier: BSD-3-Clause */
#include "heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* glibc's own, under the names that it exports for this. */
extern void *__libc_malloc(size_t len);
extern void *__libc_calloc(size_t nr, size_t len);
extern void *__libc_realloc(void *block, size_t len);
extern void *__libc_memalign(size_t align, size_t len);
extern void __libc_free(void *block);

static atomic_long live;
static atomic_long left; /* allocations before the one that fails, plus one; 0 and less: none */
static atomic_bool failed;

void heap_fail_at(long nr)
{
	atomic_store_explicit(&failed, false, memory_order_relaxed);
	atomic_store_explicit(&left, nr + 1, memory_order_relaxed);
}

int heap_failed(void)
{
	return atomic_load_explicit(&failed, memory_order_relaxed);
}

long heap_live(void)
{
	return atomic_load_explicit(&live, memory_order_relaxed);
}

static bool refuse(void)
{
	if (atomic_load_explicit(&left, memory_order_relaxed) <= 0 ||
	    atomic_fetch_sub_explicit(&left, 1, memory_order_relaxed) != 1)
		return false;
	atomic_store_explicit(&failed, true, memory_order_relaxed);
	errno = ENOMEM;
	return true;
}

static void *counted(void *block)
{
	if (block)
		(void)atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
	return block;
}

void *malloc(size_t len)
{
	return refuse() ? NULL : counted(__libc_malloc(len));
}

void *calloc(size_t nr, size_t len)
{
	return refuse() ? NULL : counted(__libc_calloc(nr, len));
}

void free(void *block)
{
	if (block)
		(void)atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
	__libc_free(block);
}

/* One block before and after, unless there was none, or none is wanted (glibc frees it then). */
void *realloc(void *block, size_t len)
{
	if (!block)
		return malloc(len);
	if (len)
		return refuse() ? NULL : __libc_realloc(block, len);
	free(block);
	return NULL;
}

void *memalign(size_t align, size_t len)
{
	return refuse() ? NULL : counted(__libc_memalign(align, len));
}

void *aligned_alloc(size_t align, size_t len)
{
	return memalign(align, len);
}

int posix_memalign(void **block, size_t align, size_t len)
{
	int saved = errno;
	void *got = memalign(align, len);

	errno = saved;
	if (!got)
		return ENOMEM;
	*block = got;
	return 0;
}
