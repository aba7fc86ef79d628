/* SPDX-License-Identifier: BSD-3-Clause */
#include "harden.h"

#include <errno.h>
#include <linux/vfio.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NR_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Found by watching pools made, grown, named, recovered and served, and sd-event's loop. */
static const int allowed[] = {
	/* the loop, and what it listens to */
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd4),
	SCMP_SYS(eventfd2), SCMP_SYS(pidfd_open),
	/* peers; which sockets may be made is below */
	SCMP_SYS(accept4), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
	SCMP_SYS(recvfrom), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(shutdown), SCMP_SYS(bind), SCMP_SYS(connect),
	/* memory */
	SCMP_SYS(memfd_create), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(mbind), SCMP_SYS(get_mempolicy), SCMP_SYS(set_mempolicy), SCMP_SYS(move_pages),
	SCMP_SYS(munlock), SCMP_SYS(brk),
	/* files: those of pools, and what /proc and /sys tell */
	SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(read), SCMP_SYS(readv),
	SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(lseek),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstatfs),
	SCMP_SYS(statfs), SCMP_SYS(getdents64), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(fcntl),
	SCMP_SYS(dup), SCMP_SYS(dup3), SCMP_SYS(flock), SCMP_SYS(fchmod), SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	/* threads; how they begin is below */
	SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(membarrier), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity), SCMP_SYS(getcpu), SCMP_SYS(exit), SCMP_SYS(exit_group),
	/* itself */
	SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid),
	SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrusage),
	SCMP_SYS(uname), SCMP_SYS(sysinfo),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
	/* the time, and chance */
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
};

/* Nothing here tries these for good: who does is somebody else, and -EPERM would let him go on. */
static const int deadly[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(unshare), SCMP_SYS(setns),
	SCMP_SYS(mount), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(bpf),
	SCMP_SYS(userfaultfd), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(open_by_handle_at),
};

/* ioctl(2) is a hundred calls: what stdio asks of a terminal, and what a parked container is asked;
 * not TIOCSTI, which types into the terminal of who started it. */
static const unsigned long requests[] = {
	TCGETS, FIONREAD, FIONBIO, VFIO_GET_API_VERSION, VFIO_CHECK_EXTENSION,
	VFIO_IOMMU_UNMAP_DMA,
};

/* If argument number @arg has the bits of @mask as @value has them. All 64 bits of it are compared:
 * of an int the kernel takes the lower half, so that only more is refused. */
static int allow_bits(scmp_filter_ctx filter, int call, unsigned arg, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp compare = {arg, SCMP_CMP_MASKED_EQ, mask, value};

	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, compare);
}

static int allow_if(scmp_filter_ctx filter, int call, unsigned arg, uint64_t value)
{
	return allow_bits(filter, call, arg, UINT64_MAX, value);
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t nr)
{
	int err = 0;

	for (size_t i = 0; i < nr && !err; i++)
		err = seccomp_rule_add(filter, action, calls[i], 0);
	return err;
}

static int allow_requests(scmp_filter_ctx filter)
{
	int err = 0;

	for (size_t i = 0; i < NR_OF(requests) && !err; i++)
		err = allow_if(filter, SCMP_SYS(ioctl), 1, requests[i]);
	return err;
}

/* Memory that is both written and run is how a bug becomes a program. */
static int allow_data(scmp_filter_ctx filter)
{
	int err = allow_bits(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);

	return err ? err : allow_bits(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

/* clone3(2) has its flags in memory, where no filter looks: without it libc takes clone(2). */
static int allow_threads(scmp_filter_ctx filter)
{
	int err = allow_bits(filter, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);

	if (err)
		return err;
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int allow_local_sockets(scmp_filter_ctx filter)
{
	int err = allow_if(filter, SCMP_SYS(socket), 0, AF_UNIX);

	return err ? err : allow_if(filter, SCMP_SYS(socketpair), 0, AF_UNIX);
}

/* abort(3), and the question whether a process is there: signal 0. */
static int allow_signals(scmp_filter_ctx filter)
{
	int err = allow_if(filter, SCMP_SYS(tgkill), 0, (uint64_t)getpid());

	return err ? err : allow_if(filter, SCMP_SYS(kill), 1, 0);
}

/* Limits are read and not set; threads get their names. */
static int allow_questions(scmp_filter_ctx filter)
{
	int err = allow_if(filter, SCMP_SYS(prlimit64), 2, 0);

	return err ? err : allow_if(filter, SCMP_SYS(prctl), 0, PR_SET_NAME);
}

static int fill(scmp_filter_ctx filter)
{
	int (*const parts[])(scmp_filter_ctx) = {allow_requests, allow_data, allow_threads,
						 allow_local_sockets, allow_signals,
						 allow_questions};
	int err = add_all(filter, SCMP_ACT_ALLOW, allowed, NR_OF(allowed));

	if (!err)
		err = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, NR_OF(deadly));
	for (size_t i = 0; i < NR_OF(parts) && !err; i++)
		err = parts[i](filter);
	return err;
}

int harden_seccomp(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (filter == NULL)
		return -ENOMEM;
	err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* Without it, each call would walk the whole list. */
	if (!err)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!err)
		err = fill(filter);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}
