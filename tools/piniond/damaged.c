/* SPDX-License-Identifier: BSD-3-Clause */
#include "damaged.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "layout.h"

/* How a control area begins. */
struct head {
	uint64_t magic, stamp;
};

_Static_assert(offsetof(struct control, magic) == offsetof(struct head, magic) &&
		       offsetof(struct control, stamp) == offsetof(struct head, stamp),
	       "as it is written");

/* All 0 where there is no such file, or nothing in it. False: that is no directory. */
static bool read_head(const char *path, struct head *head)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd;

	*head = (struct head){0};
	if (dir < 0)
		return false;
	fd = openat(dir, "control", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && pread(fd, head, sizeof(*head), 0) != sizeof(*head))
		*head = (struct head){0};
	if (fd >= 0)
		(void)close(fd);
	(void)close(dir);
	return true;
}

bool damaged_is(const char *path, int err)
{
	struct head head;
	bool ours;

	if (!read_head(path, &head))
		return false;
	ours = head.magic == CONTROL_MAGIC;
	if (ours && head.stamp != CONTROL_STAMP)
		return false;
	/* -EINVAL: a segment is not what the control area says; or there is none of either. */
	return err == -EPROTO || (err == -EINVAL && ours);
}
