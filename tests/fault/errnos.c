/* SPDX-License-Identifier: BSD-3-Clause */
#include "errnos.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>

/*
 * Values are those of the manual pages that a sound caller can meet: full tables, no memory, no
 * permission, a signal, a filter, a broken page. Not in it is what only a wrong argument gives, nor
 * what tells of the other end what is not so: EPIPE where somebody listens.
 */

#define VALUES(...) {__VA_ARGS__, ERRNOS_NOTHING}
#define NEVER {ERRNOS_NOTHING}

#define FUTEX_WAITV 449 /* <asm/unistd_64.h> from 5.16 on */

struct row {
	long number;
	struct errnos errnos;
};

static const struct row table[] = {
	/* Files. */
	{SYS_openat, {"openat", false,
		      VALUES(-EMFILE, -ENFILE, -EACCES, -ENOENT, -ENOMEM, -EINTR)}},
	{SYS_memfd_create, {"memfd_create", false,
			    VALUES(-ENOMEM, -EMFILE, -ENFILE, -ENOSYS, -EPERM)}},
	{SYS_ftruncate, {"ftruncate", false, VALUES(-EINTR, -EPERM, -EFBIG, -ENOMEM)}},
	{SYS_fchmod, {"fchmod", false, VALUES(-EPERM, -EROFS)}},
	{SYS_chmod, {"chmod", false, VALUES(-EPERM, -ENOENT)}},
	{SYS_fcntl, {"fcntl", false, VALUES(-EPERM, -EBUSY, -EMFILE)}},
	{SYS_fstatfs, {"fstatfs", false, VALUES(-EINTR, -EIO, -ENOMEM)}},
	{SYS_newfstatat, {"newfstatat", false, VALUES(-ENOMEM, -EACCES)}},
	{SYS_fstat, {"fstat", false, VALUES(-ENOMEM, -EIO)}},
	{SYS_read, {"read", false, VALUES(-EINTR, -EIO, 0)}},
	{SYS_pread64, {"pread64", false, VALUES(-EINTR, -EIO, -EPERM, 0, 4)}},
	{SYS_write, {"write", false, VALUES(-EINTR, -ENOSPC)}},
	{SYS_pwrite64, {"pwrite64", false, VALUES(-EINTR, -EIO, -EPERM, 0)}},
	{SYS_access, {"access", false, VALUES(-EACCES, -ENOMEM, -EIO)}},
	{SYS_readlink, {"readlink", false, VALUES(-EACCES, -ENOMEM, -EIO)}},
	{SYS_getdents64, {"getdents64", false, VALUES(-ENOENT, -EIO)}},
	{SYS_mkdir, {"mkdir", false, VALUES(-EACCES, -ENOSPC, -ENOMEM)}},
	{SYS_rmdir, {"rmdir", false, VALUES(-EBUSY, -EACCES)}},
	{SYS_unlink, {"unlink", false, VALUES(-EBUSY, -EACCES)}},
	{SYS_unlinkat, {"unlinkat", false, VALUES(-EBUSY, -EACCES)}},
	{SYS_fallocate, {"fallocate", false, VALUES(-EINTR, -ENOMEM, -EOPNOTSUPP)}},
	{SYS_flock, {"flock", false, VALUES(-EINTR, -ENOLCK, -EWOULDBLOCK)}},
	{SYS_close, {"close", true, VALUES(-EINTR, -EIO)}},
	/* Memory. Whole mappings always can be unmapped: this asks whether anybody relies on being
	 * told so. */
	{SYS_mmap, {"mmap", false, VALUES(-ENOMEM, -EAGAIN, -EPERM)}},
	{SYS_munmap, {"munmap", true, VALUES(-ENOMEM)}},
	{SYS_mprotect, {"mprotect", false, VALUES(-ENOMEM)}},
	{SYS_madvise, {"madvise", false, VALUES(-EFAULT, -ENOMEM, -EHWPOISON, -EINTR, -EINVAL)}},
	{SYS_mbind, {"mbind", false, VALUES(-EIO, -ENOMEM, -EPERM, -ENOSYS)}},
	{SYS_set_mempolicy, {"set_mempolicy", false, VALUES(-ENOMEM, -EPERM)}},
	{SYS_get_mempolicy, {"get_mempolicy", false, VALUES(-ENOSYS, -EPERM)}},
	{SYS_move_pages, {"move_pages", false, VALUES(-ENOMEM, -EPERM, -ENOSYS)}},
	/* Pins and devices. */
	{SYS_io_uring_setup, {"io_uring_setup", false,
			      VALUES(-EPERM, -ENOSYS, -ENOMEM, -EMFILE, -ENFILE)}},
	{SYS_io_uring_register, {"io_uring_register", false, VALUES(-ENOMEM, -EPERM, -EOPNOTSUPP)}},
	{SYS_ioctl, {"ioctl", false, VALUES(-EINTR, -ENOMEM, -EPERM, -ENOSPC)}},
	/* Sockets and those at their other end. */
	{SYS_socket, {"socket", false, VALUES(-EMFILE, -ENFILE, -ENOMEM, -EACCES)}},
	{SYS_bind, {"bind", false, VALUES(-EACCES, -EADDRINUSE, -ENOSPC)}},
	{SYS_listen, {"listen", false, VALUES(-EADDRINUSE)}},
	{SYS_connect, {"connect", false, VALUES(-ECONNREFUSED, -EACCES, -EINTR, -EAGAIN)}},
	{SYS_accept4, {"accept4", false,
		       VALUES(-EMFILE, -ENFILE, -ENOMEM, -EINTR, -ECONNABORTED)}},
	{SYS_shutdown, {"shutdown", false, VALUES(-ENOMEM, -EACCES)}},
	{SYS_setsockopt, {"setsockopt", false, VALUES(-ENOMEM, -EPERM)}},
	{SYS_getsockopt, {"getsockopt", false, VALUES(-ENOPROTOOPT, -EMFILE, -ESRCH)}},
	{SYS_sendmsg, {"sendmsg", false, VALUES(-EINTR, -ENOBUFS, -ENOMEM, -EAGAIN)}},
	{SYS_sendto, {"sendto", false, VALUES(-EINTR, -ENOBUFS, -ENOMEM)}},
	{SYS_recvmsg, {"recvmsg", false, VALUES(-EINTR, -ENOMEM, -ECONNRESET)}},
	{SYS_recvfrom, {"recvfrom", false, VALUES(-EINTR, -ENOMEM)}},
	{SYS_socketpair, {"socketpair", false, VALUES(-EMFILE, -ENFILE, -ENOMEM)}},
	{SYS_poll, {"poll", false, VALUES(-EINTR, -ENOMEM)}},
	{SYS_epoll_create1, {"epoll_create1", false, VALUES(-EMFILE, -ENFILE, -ENOMEM)}},
	{SYS_epoll_ctl, {"epoll_ctl", false, VALUES(-ENOMEM, -ENOSPC)}},
	{SYS_epoll_wait, {"epoll_wait", false, VALUES(-EINTR)}},
	{SYS_timerfd_create, {"timerfd_create", false, VALUES(-EMFILE, -ENFILE, -ENOMEM)}},
	{SYS_timerfd_settime, {"timerfd_settime", false, VALUES(-ENOMEM, -EINVAL)}},
	{SYS_kill, {"kill", false, VALUES(-EPERM, -ENOSYS)}},
	{SYS_pidfd_open, {"pidfd_open", false, VALUES(-EMFILE, -ENFILE, -ESRCH, -ENOSYS)}},
	/* Threads and the processor. */
	{FUTEX_WAITV, {"futex_waitv", false, VALUES(-ENOSYS, -EPERM, -ENOMEM, -EINTR)}},
	{SYS_clone, {"clone", false, VALUES(-EAGAIN, -ENOMEM)}},
	{SYS_clone3, {"clone3", false, VALUES(-EAGAIN, -ENOMEM, -ENOSYS)}},
	{SYS_getcpu, {"getcpu", false, VALUES(-ENOSYS)}},
	{SYS_sched_getaffinity, {"sched_getaffinity", false, VALUES(-ENOSYS, -EPERM)}},
	{SYS_sched_setaffinity, {"sched_setaffinity", false, VALUES(-EINVAL, -EPERM)}},
	{SYS_prctl, {"prctl", false, VALUES(-EINVAL, -EPERM)}},
	{SYS_membarrier, {"membarrier", false, VALUES(-ENOSYS, -EPERM)}},
	{SYS_getrandom, {"getrandom", false, VALUES(-EINTR, -ENOSYS, 4)}},
	/* What cannot fail, or what the C library does not survive failing. A failing brk() is met
	 * as a failing allocation, see heap.h. */
	{SYS_futex, {"futex", false, NEVER}}, /* but for the sleep at a bell, below */
	{SYS_exit, {"exit", false, NEVER}},
	{SYS_exit_group, {"exit_group", false, NEVER}},
	{SYS_brk, {"brk", false, NEVER}},
	{SYS_rt_sigprocmask, {"rt_sigprocmask", false, NEVER}},
	{SYS_rt_sigaction, {"rt_sigaction", false, NEVER}},
	{SYS_rt_sigreturn, {"rt_sigreturn", false, NEVER}},
	{SYS_restart_syscall, {"restart_syscall", false, NEVER}},
	{SYS_set_robust_list, {"set_robust_list", false, NEVER}},
	{SYS_rseq, {"rseq", false, NEVER}},
	{SYS_getpid, {"getpid", false, NEVER}},
	{SYS_gettid, {"gettid", false, NEVER}},
	{SYS_geteuid, {"geteuid", false, NEVER}},
	{SYS_getpriority, {"getpriority", false, NEVER}},
	{SYS_clock_gettime, {"clock_gettime", false, NEVER}},
	{SYS_sched_yield, {"sched_yield", false, NEVER}},
};

/* A bell's (ipc/bell.c). The C library's are of another kind, and do not survive failing. */
static const struct errnos bell_wait = {"futex", false, VALUES(-EINTR, -EAGAIN, -EPERM, -ENOSYS)};

const struct errnos *errnos_of(long number, unsigned long long op)
{
	static const struct errnos unknown = {"(not in the table)", false,
					      VALUES(-ENOSYS, -EPERM, -ENOMEM)};

	if (number == SYS_futex && op == FUTEX_WAIT_BITSET)
		return &bell_wait;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].number == number)
			return &table[i].errnos;
	return &unknown;
}

unsigned errnos_nr(const struct errnos *errnos)
{
	unsigned nr = 0;

	while (errnos->value[nr] != ERRNOS_NOTHING)
		nr++;
	return nr;
}
