/* SPDX-License-Identifier: BSD-3-Clause */
#include "pin.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"

/* Is @cpu ours? Two harnesses on one would switch between four processes. A name that is bound is
 * free again when the last of us is gone, however that ends. */
static bool claim_cpu(size_t cpu)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* A first byte of 0 makes it a name that is no file (unix(7), "abstract"). */
	snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "pinion-step-cpu-%zu", cpu);
	if (!bind(fd, (const struct sockaddr *)&name, sizeof(name)))
		return true;
	(void)close(fd);
	return false;
}

/* One that we may run on and no other harness has; the present one when all are taken. */
static size_t choose_cpu(void)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return (size_t)sched_getcpu();
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && claim_cpu(cpu))
			return cpu;
	return (size_t)sched_getcpu();
}

void pin_here(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(choose_cpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		tap_bail("cannot pin to one CPU: %s", strerror(errno));
}
