/* SPDX-License-Identifier: BSD-3-Clause */
#include "damaged.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "layout.h"
#include "named.h"

/* How its control area begins; 0 where nothing is in it. False: there is no such directory, or no
 * such file in it. */
static bool read_magic(const char *path, uint64_t *magic)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd;

	if (dir < 0)
		return false;
	fd = openat(dir, NAMED_CONTROL, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	(void)close(dir);
	if (fd < 0)
		return false;
	if (pread(fd, magic, sizeof(*magic), offsetof(struct control, magic)) != sizeof(*magic))
		*magic = 0;
	(void)close(fd);
	return true;
}

bool damaged_is(const char *path, int err)
{
	uint64_t magic;

	if (!read_magic(path, &magic))
		return false;
	switch (err) {
	case -EPROTO: /* no control area, or one that says that it is of another layout */
		return true;
	case -EINVAL: /* a segment is not what the control area says */
	case -ENOMEM: /* a file is longer than there are pages, or no memory is left for us */
	case -EAGAIN: /* all numbers are taken by who lives, or it says so */
		return magic == CONTROL_MAGIC;
	default:
		return false;
	}
}
