/* SPDX-License-Identifier: BSD-3-Clause */
#include "steady.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pinion/hostmem.h>

/* A memfd lies on no mount that shows, and has no name left: only named files have a link. */
static int check_trust(int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	if (S_ISREG(status.st_mode) && status.st_nlink == 1 &&
	    (status.st_uid == geteuid() || status.st_uid == 0) && !(status.st_mode & S_IWOTH))
		return 0;
	return -EINVAL;
}

int steady_file(int fd)
{
	size_t page_size = 0;
	int seals = 0, err = pinion_hostmem_seals(fd, &seals);

	/* EINVAL is that of a file that takes no seals. */
	if (err && err != -EINVAL)
		return err;
	if (!err && seals & F_SEAL_SHRINK)
		return 0;
	err = pinion_hostmem_page_size(fd, &page_size);
	if (err == -ENOTSUP || (!err && page_size <= pinion_hostmem_base_page()))
		return -EINVAL;
	return err ? err : check_trust(fd);
}
