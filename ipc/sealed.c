/* SPDX-License-Identifier: BSD-3-Clause */
#include "sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fail.h"

int sealed_make(const char *name, size_t len, int seals, struct pinion_hostmem *memory)
{
	int err = pinion_hostmem_create(name, len, 4096, memory);

	if (err)
		return pinion_fail(err, "cannot make a %s of %zu bytes: %s", name, len,
				   strerror(-err));
	err = pinion_hostmem_populate(memory, 0, len);
	if (!err)
		err = pinion_hostmem_seal(memory, F_SEAL_SHRINK | F_SEAL_GROW | seals);
	if (!err)
		return 0;
	(void)pinion_hostmem_destroy(memory);
	return pinion_fail(err, "cannot populate and seal a %s of %zu bytes: %s", name, len,
			   strerror(-err));
}

int sealed_leave(const struct pinion_hostmem *memory)
{
	(void)munmap(memory->addr, memory->len);
	return memory->fd;
}

int sealed_map(int fd, const char *what, size_t least, size_t most, int protection, void **addr,
	       size_t *len)
{
	struct stat status;
	void *mapped;
	int seals;

	if (fstat(fd, &status))
		return pinion_fail(-errno, "%s: %s", what, strerror(errno));
	if (status.st_size < (off_t)least || status.st_size > (off_t)most)
		return pinion_fail(-EPROTO, "a file of %jd bytes is not of a %s",
				   (intmax_t)status.st_size, what);
	if (pinion_hostmem_seals(fd, &seals) || !(seals & F_SEAL_SHRINK))
		return pinion_fail(-EPROTO, "this file is not of a %s: it is not sealed", what);
	mapped = mmap(NULL, (size_t)status.st_size, protection, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED && errno == EPERM)
		return pinion_fail(-EPERM, "this file is sealed against writing");
	if (mapped == MAP_FAILED)
		return pinion_fail(-errno, "cannot map a file of a %s: %s", what, strerror(errno));
	*addr = mapped;
	*len = (size_t)status.st_size;
	return 0;
}
