/* SPDX-License-Identifier: BSD-3-Clause */
#include "mapping.h"

#include <sys/mman.h>
#include <sys/types.h>

#include "watch.h"

#define FILES_MAX 4

static struct {
	int fd;
	void *alias;
} files[FILES_MAX];
static int nr_files;

void mapping_clear(void)
{
	nr_files = 0;
}

void mapping_follow(int fd, void *alias)
{
	files[nr_files].fd = fd;
	files[nr_files++].alias = alias;
}

/* The linker's names. With offsets of 64 bits mmap() is called by its other one. */
void *__real_mmap64(void *addr, size_t len, int protection, int flags, int fd, off_t off);
void *__wrap_mmap64(void *addr, size_t len, int protection, int flags, int fd, off_t off);
int __real_munmap(void *addr, size_t len);
int __wrap_munmap(void *addr, size_t len);

void *__wrap_mmap64(void *addr, size_t len, int protection, int flags, int fd, off_t off)
{
	void *got = __real_mmap64(addr, len, protection, flags, fd, off);

	for (int i = 0; i < nr_files && got != MAP_FAILED; i++)
		if (files[i].fd == fd)
			watch_add(got, len, protection, files[i].alias);
	return got;
}

int __wrap_munmap(void *addr, size_t len)
{
	watch_forget(addr);
	return __real_munmap(addr, len);
}
