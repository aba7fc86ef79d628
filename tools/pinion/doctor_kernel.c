/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel can. Version numbers say little: what was backported, left out at build time, or
 * forbidden by a container's filter, only the call itself can tell.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi: newer than the headers may be. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Probes return 0 or -errno, and leave nothing behind. */

static int probe_memfd(void)
{
	const int fd = memfd_create("doctor", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE))
		err = -errno;
	(void)close(fd);
	return err;
}

static int probe_populate(void)
{
	const size_t len = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = 0;

	if (page == MAP_FAILED)
		return -errno;
	if (madvise(page, len, MADV_POPULATE_WRITE))
		err = -errno;
	(void)munmap(page, len);
	return err;
}

static int probe_pidfd(void)
{
	const int fd = pidfd_open(getpid(), 0);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int probe_peerpidfd(void)
{
	int ends[2], pidfd, err = 0;
	socklen_t len = sizeof(pidfd);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	if (getsockopt(ends[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		err = -errno;
	else
		(void)close(pidfd);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return err;
}

static int membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0) < 0 ? -errno : 0;
}

static int probe_membarrier_private(void)
{
	const int err = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);

	return err ? err : membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static int probe_membarrier_shared(void)
{
	const int err = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);

	return err ? err : membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}

/* The word has another value than the one waited on, so it comes back at once. */
static int probe_futex_waitv(void)
{
	uint32_t word = 1;
	struct futex_waitv waiter = {.uaddr = (uintptr_t)&word, .flags = FUTEX_32, .val = 0};

	if (syscall(SYS_futex_waitv, &waiter, 1, 0, NULL, 0) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

static int probe_io_uring(void)
{
	const size_t len = (size_t)sysconf(_SC_PAGESIZE);
	struct io_uring ring;
	int err = io_uring_queue_init(1, &ring, 0);

	if (err)
		return err;
	const struct iovec page = {aligned_alloc(len, len), len};

	err = page.iov_base ? io_uring_register_buffers(&ring, &page, 1) : -ENOMEM;
	io_uring_queue_exit(&ring);
	free(page.iov_base);
	return err;
}

static int probe_openat2(void)
{
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	const int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static const struct probe {
	const char *name;
	int (*call)(void);
	enum grade grade;    /* when it cannot */
	const char *without; /* what that means */
	const char *since;   /* the kernel that brought it */
} probes[] = {
	{"memfd on hugepages, with seals", probe_memfd, GRADE_FAIL, "no pool can be made", "5.1"},
	{"MADV_POPULATE_WRITE", probe_populate, GRADE_FAIL, "no pool can be made", "5.14"},
	{"pidfd_open", probe_pidfd, GRADE_FAIL, "deaths are not noticed", "5.3"},
	{"SO_PEERPIDFD", probe_peerpidfd, GRADE_WARN,
	 "a peer is known a message later, which does as well", "6.5"},
	{"membarrier, private expedited", probe_membarrier_private, GRADE_WARN,
	 "threads of one process use fences", "4.14"},
	{"membarrier, shared expedited", probe_membarrier_shared, GRADE_WARN,
	 "each send has a fence and costs more", "4.16"},
	{"futex_waitv", probe_futex_waitv, GRADE_WARN,
	 "a wait for several channels looks at them now and then", "5.16"},
	{"registered buffers of io_uring", probe_io_uring, GRADE_WARN,
	 "physical addresses cannot be pinned: devices need an IOMMU", "5.1"},
	{"openat2", probe_openat2, GRADE_WARN, "links in the paths of named pools are followed",
	 "5.6"},
};

/* Why a call that the kernel may well have is refused, as a command. */
static const char *mend_of(const struct tree *tree, const struct probe *probe, int err, char *text,
			   size_t room)
{
	char value[16] = "0";

	if (probe->call == probe_io_uring) {
		(void)tree_read(tree, value, sizeof(value), "/proc/sys/kernel/io_uring_disabled");
		if (err == -EPERM && strcmp(value, "0") != 0)
			return "sysctl kernel.io_uring_disabled=0";
		if (err == -ENOMEM)
			return "ulimit -l unlimited";
	}
	if (err == -EPERM || err == -EACCES)
		return "let the container's seccomp profile permit it";
	snprintf(text, room,
		 "boot Linux %s or later, or let the container's seccomp profile permit it",
		 probe->since);
	return text;
}

static void probes_run(const struct tree *tree, struct findings *findings)
{
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		const struct probe *probe = &probes[i];
		const int err = probe->call();
		char text[128];

		if (err)
			findings_add(findings, probe->grade, "kernel",
				     mend_of(tree, probe, err, text, sizeof(text)), "%s: %s: %s",
				     probe->name, strerror(-err), probe->without);
		else
			findings_add(findings, GRADE_OK, "kernel", NULL, "%s", probe->name);
	}
}

static void seccomp_look(const struct tree *tree, struct findings *findings)
{
	char mode[8];

	if (tree_line(tree, "/proc/self/status", "Seccomp:", mode, sizeof(mode)) ||
	    strcmp(mode, "0") == 0)
		findings_add(findings, GRADE_OK, "seccomp", NULL, "no filter on this process");
	else
		findings_add(findings, GRADE_WARN, "seccomp",
			     "compare with a run outside the container",
			     "a filter is on this process (mode %s): it may refuse calls that were "
			     "not tried here", mode);
}

/* The file shows all levels, and the one in force in brackets. */
static void lockdown_look(const struct tree *tree, struct findings *findings)
{
	char text[128];
	const int err = tree_read(tree, text, sizeof(text), "/sys/kernel/security/lockdown");

	if (err || strstr(text, "[none]"))
		findings_add(findings, GRADE_OK, "lockdown", NULL, "%s",
			     err ? "this kernel shows none" : "none");
	else
		findings_add(findings, GRADE_WARN, "lockdown",
			     "use vfio-pci; or boot without lockdown= and secure boot",
			     "%s: registers of devices cannot be mapped through uio and sysfs",
			     text);
}

void doctor_kernel(const struct tree *tree, struct findings *findings)
{
	if (tree->root[0] == '\0')
		probes_run(tree, findings);
	seccomp_look(tree, findings);
	lockdown_look(tree, findings);
}
