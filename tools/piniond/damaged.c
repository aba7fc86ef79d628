/* SPDX-License-Identifier: BSD-3-Clause */
#include "damaged.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "attach.h"
#include "layout.h"
#include "named.h"

/* How a control area begins. */
struct head {
	uint64_t magic, stamp;
};

_Static_assert(offsetof(struct control, magic) == offsetof(struct head, magic) &&
		       offsetof(struct control, stamp) == offsetof(struct head, stamp),
	       "as it is written");

/* All 0 where nothing is in it. False: there is no such directory, or no such file in it. */
static bool read_head(const char *path, struct head *head)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd;

	if (dir < 0)
		return false;
	fd = openat(dir, NAMED_CONTROL, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	(void)close(dir);
	if (fd < 0)
		return false;
	if (pread(fd, head, sizeof(*head), 0) != sizeof(*head))
		*head = (struct head){0};
	(void)close(fd);
	return true;
}

bool damaged_is(const char *path, int err)
{
	struct head head;
	bool ours;

	if (!read_head(path, &head))
		return false;
	ours = head.magic == CONTROL_MAGIC;
	if (ours && attach_is_foreign(head.stamp))
		return false;
	/* -EINVAL: a segment is not what the control area says; or the directory is no pool's. */
	return err == -EPROTO || (err == -EINVAL && ours);
}
