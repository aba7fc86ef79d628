/* SPDX-License-Identifier: BSD-3-Clause */
#include "sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

bool sysfs_read(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	do
		got = read(fd, text, room - 1);
	while (got < 0 && errno == EINTR);
	(void)close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

bool sysfs_range(const char **at, unsigned long *first, unsigned long *last)
{
	char *next;

	if (**at < '0' || **at > '9')
		return false;
	*first = *last = strtoul(*at, &next, 10);
	if (*next == '-')
		*last = strtoul(next + 1, &next, 10);
	*at = next + (*next == ',');
	return true;
}
