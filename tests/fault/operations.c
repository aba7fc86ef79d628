/* SPDX-License-Identifier: BSD-3-Clause */
#include "operations.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

static unsigned free_hugepages(void)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned nr = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%u", &nr) != 1)
		nr = 0;
	(void)fclose(file);
	return nr;
}

/* Frame numbers are shown as 0 to those who lack the privilege (pagemap.rst). */
static bool sees_frames(void)
{
	static const char byte = 1;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	bool seen;

	if (fd < 0)
		return false;
	/* Read, and so mapped. */
	if (!*(const volatile char *)&byte)
		return false;
	seen = pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)&byte / 4096 * 8)) == 8 &&
	       (entry & ((UINT64_C(1) << 55) - 1)) != 0;
	(void)close(fd);
	return seen;
}

/* Tried in a child: this process stays where it is. */
static bool can_mount(void)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0)
		_exit(!scene_can_mount());
	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

const char *operation_missing(const struct operation *operation)
{
	static char why[96];

	if (operation->huge > free_hugepages()) {
		(void)snprintf(why, sizeof(why), "needs %u free hugepages of 2 MiB",
			       operation->huge);
		return why;
	}
	if (operation->phys && !sees_frames())
		return "needs CAP_SYS_ADMIN, for physical addresses";
	if (operation->mount && !can_mount())
		return "needs CAP_SYS_ADMIN, for a hugetlbfs of its own";
	return NULL;
}
