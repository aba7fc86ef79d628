/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For LD_PRELOAD, with an NVMe driver through uio_pci_generic: just before it makes its controller
 * master of the bus, says whether the controller is enabled, "bus mastering on, CC.EN 0".
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COMMAND 4
#define MASTER 4u
#define CC 0x14

/* @config: of the device in sysfs. BAR 0 is a file beside it. */
static void say(char *config)
{
	char *end = strrchr(config, '/');
	const volatile uint32_t *regs;
	int bar;

	strcpy(end, "/resource0"); /* "config", and room */
	bar = open(config, O_RDWR | O_CLOEXEC);
	regs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, bar, 0);
	if (bar < 0 || (const void *)regs == MAP_FAILED)
		return;
	fprintf(stderr, "bus mastering on, CC.EN %u\n", regs[CC / 4] & 1);
	munmap((void *)(uintptr_t)regs, 4096);
	close(bar);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t off)
{
	char link[32], path[256] = "";
	uint16_t command = 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (len == sizeof(command) && off == COMMAND &&
	    readlink(link, path, sizeof(path) - 16) > 7 && strstr(path, "/config")) {
		memcpy(&command, data, len);
		if (command & MASTER)
			say(path);
	}
	return syscall(SYS_pwrite64, fd, data, len, off);
}
