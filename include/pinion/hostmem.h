/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_HOSTMEM_H
#define PINION_HOSTMEM_H

/*
 * Memory for devices and for several processes at once: a memfd made of hugepages.
 *
 *     the process that makes it                   a process that is given it
 *     -------------------------                   --------------------------
 *     pinion_hostmem_create("pool", len, 2 MiB, &mem)
 *     pinion_hostmem_bind(&mem, 0)               (if a node matters)
 *     pinion_hostmem_populate(&mem, 0, len)
 *     pinion_hostmem_node()      (placement is verified, not assumed)
 *     pinion_hostmem_seal(&mem, F_SEAL_SHRINK | F_SEAL_GROW)
 *     send mem.fd over a Unix socket  ---------->  pinion_hostmem_seals(fd, &seals)
 *                                                  pinion_hostmem_attach(fd, len, 2 MiB, &mem)
 *     pinion_hostmem_seal(&mem, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)   once all have attached
 *     pin (vfioctl.h), then pinion_hostmem_phys()
 *     ...
 *     pinion_hostmem_destroy(&mem)                 pinion_hostmem_destroy(&mem)
 *
 * Why this order: bind acts on pages not there yet; touching a page that cannot be had kills
 * with SIGBUS, while populate says -ENOMEM; hugepages that were reserved for the system are not
 * reserved per node, so only a populated page is had for certain; and once sealed against
 * shrinking, no holder of the descriptor can pull pages from under the others.
 *
 * Threads: calls on different objects, and all queries, may run at once; create, attach, seal and
 * destroy of one object are for one thread at a time. Processes: a mapping is shared over fork;
 * the descriptor does not survive exec.
 *
 * Death: nothing has to be cleaned. The memory is the kernel's as long as any descriptor, message
 * in flight or mapping of any process refers to it, and is given back with the last of them. No
 * name is left in any file system, but for files of create_at, which are there until unlink(2).
 *
 * Caveats, each with its remedy:
 *  - F_SEAL_SHRINK | F_SEAL_GROW does not stop hole punching: a peer with a writable mapping can
 *    free pages through MADV_REMOVE. F_SEAL_FUTURE_WRITE does; set it when all have mapped. Who
 *    comes later (or restarts) cannot map for writing any more: -EPERM from attach.
 *  - A hostile holder can add seals of its own. Set F_SEAL_SEAL before sending to strangers.
 *  - Hugepages move (compaction, soft offline, NUMA balancing) unless pinned: read physical
 *    addresses only after a VFIO map or an io_uring buffer registration. mlock does not pin.
 *  - Anyone who can open /proc/PID/fd/N can reopen a memfd for writing, whatever the mode of the
 *    descriptor: create makes the file 0600, so only the owner's uid and root can.
 *  - pagemap shows frame 0 for every page to those without CAP_SYS_ADMIN: -EPERM here, never an
 *    address. Open it before dropping privilege: what counts is who opened it.
 *  - Under -std=c99 or -std=c11 libc hides madvise() and syscall(): include this header first,
 *    or define _DEFAULT_SOURCE.
 *
 * Errors are -errno; errno itself is left undefined. A call that fails holds nothing.
 *
 * Sources: memfd_create(2), fcntl(2) "File Sealing", madvise(2), mbind(2), move_pages(2), and of
 * Linux Documentation/admin-guide/mm/{hugetlbpage,pagemap}.rst.
 * Needs Linux 5.14, libc and the kernel's UAPI headers. C99, C11, C++17; includes no other header
 * of ours.
 */

#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/magic.h>
#include <linux/memfd.h>

#ifndef MADV_NORMAL
#error "madvise() is hidden: include pinion/hostmem.h first, or define _DEFAULT_SOURCE"
#endif

/* Kernel constants that older headers lack, or that libc shows only under _GNU_SOURCE. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_SEAL
#define F_SEAL_SEAL 0x0001
#endif
#ifndef F_SEAL_SHRINK
#define F_SEAL_SHRINK 0x0002
#endif
#ifndef F_SEAL_GROW
#define F_SEAL_GROW 0x0004
#endif
#ifndef F_SEAL_WRITE
#define F_SEAL_WRITE 0x0008
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/* Most bytes populated by one system call, so that a signal never costs more work than that. */
#define PINION_HOSTMEM_STEP ((size_t)64 << 20)

/* Pages asked for by one move_pages(2). */
#define PINION_HOSTMEM_NODE_BATCH 64u

/* Nodes that a kernel can have at most: CONFIG_NODES_SHIFT ends at 10. */
#define PINION_HOSTMEM_NODES 1024u

/* MPOL_BIND and MPOL_MF_STRICT of <linux/mempolicy.h>, which cannot be included beside libnuma's
 * <numaif.h>. */
#define PINION_HOSTMEM_MPOL_BIND 2
#define PINION_HOSTMEM_MPOL_STRICT 1

/* Memory as this process has it. len is a multiple of page_size, all in bytes. */
struct pinion_hostmem {
	int fd;
	void *addr;
	size_t len;
	size_t page_size;
};

/* -errno after a failed call, and never 0: so the compiler knows as well that results which a
 * caller reads only after success have been written. */
static inline int pinion_hostmem_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* Size of the pages that are not huge, in bytes. */
static inline size_t pinion_hostmem_base_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Are these the sizes of a memory: whole pages of a size that can be, and not past an off_t? */
static inline bool pinion_hostmem_size_ok(size_t len, size_t page_size)
{
	return page_size >= pinion_hostmem_base_page() && (page_size & (page_size - 1)) == 0 &&
	       len != 0 && len % page_size == 0 && (off_t)len > 0 &&
	       (uint64_t)(off_t)len == (uint64_t)len;
}

/* munmap and close, both in any case; the first error. */
static inline int pinion_hostmem_release(void *addr, size_t len, int fd)
{
	int err = 0;

	if (addr != NULL && munmap(addr, len) < 0)
		err = pinion_hostmem_errno();
	/* After EINTR the descriptor is closed all the same: close(2), "Dealing with error". */
	if (fd >= 0 && close(fd) < 0 && err == 0 && errno != EINTR)
		err = pinion_hostmem_errno();
	return err;
}

/* Map len bytes of a file, shared, for reading and writing. */
static inline int pinion_hostmem_map(int fd, size_t len, void **addr)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return pinion_hostmem_errno();
	*addr = at;
	return 0;
}

/*
 * Size of the pages a file really has, in bytes: what its file system says, not what was asked.
 *
 * -ENOTSUP  the file is neither on hugetlbfs nor on tmpfs (a memfd is on one of the two): its
 *           pages belong to a disk's cache
 */
static inline int pinion_hostmem_page_size(int fd, size_t *page_size)
{
	struct statfs fs;
	int err;

	do
		err = fstatfs(fd, &fs);
	while (err < 0 && errno == EINTR);
	if (err < 0)
		return pinion_hostmem_errno();
	if ((unsigned long)fs.f_type == (unsigned long)HUGETLBFS_MAGIC)
		*page_size = (size_t)fs.f_bsize;
	else if ((unsigned long)fs.f_type == (unsigned long)TMPFS_MAGIC)
		*page_size = pinion_hostmem_base_page();
	else
		return -ENOTSUP;
	return 0;
}

/* A memfd that takes seals, is closed on exec and never executed; the descriptor, or -errno. */
static inline int pinion_hostmem_memfd(const char *name, size_t page_size)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	long fd;

	if (page_size != pinion_hostmem_base_page())
		flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll((unsigned long long)page_size)
					       << MFD_HUGE_SHIFT;
	/* Never executable: vm.memfd_noexec=2 insists on it, Linux before 6.3 knows no such flag.
	 */
	fd = syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_memfd_create, name, flags);
	return fd < 0 ? pinion_hostmem_errno() : (int)fd;
}

/* Give a new memfd its mode and length, and see that its pages are as asked. */
static inline int pinion_hostmem_shape(int fd, size_t len, size_t page_size)
{
	size_t has = 0;
	int err = pinion_hostmem_page_size(fd, &has);

	if (err < 0)
		return err;
	if (has != page_size)
		return -ENOTSUP;
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
		return pinion_hostmem_errno();
	do
		err = ftruncate(fd, (off_t)len);
	while (err < 0 && errno == EINTR);
	return err < 0 ? pinion_hostmem_errno() : 0;
}

/* Make a memory of a new file, which stays the caller's on failure. */
static inline int pinion_hostmem_begin(int fd, size_t len, size_t page_size,
				       struct pinion_hostmem *mem)
{
	void *addr = NULL;
	int err = pinion_hostmem_shape(fd, len, page_size);

	if (err == 0)
		err = pinion_hostmem_map(fd, len, &addr);
	if (err < 0)
		return err;
	mem->fd = fd;
	mem->addr = addr;
	mem->len = len;
	mem->page_size = page_size;
	return 0;
}

/* Insert a size into an ascending row, as far as it has room. */
static inline void pinion_hostmem_insert(size_t *size, size_t nr, size_t room, size_t one)
{
	size_t i = nr < room ? nr : room;

	/* Of a row that is full, the largest falls out. */
	for (; i > 0 && size[i - 1] > one; i--)
		if (i < room)
			size[i] = size[i - 1];
	if (i < room)
		size[i] = one;
}

/*
 * The sizes of hugepages that this kernel has, in bytes, the smallest first; whether some are
 * reserved is another matter. Returns how many there are, also when that is more than room (x86 has
 * two, arm64 four at most); 0 for a kernel without hugepages. On failure, -errno of opendir(3) and
 * readdir(3), size is not to be read.
 */
static inline int pinion_hostmem_sizes(size_t *size, size_t room)
{
	const struct dirent *entry;
	DIR *dir;
	size_t kib = 0;
	int err = 0, nr = 0;

	do
		dir = opendir("/sys/kernel/mm/hugepages");
	while (dir == NULL && errno == EINTR);
	if (dir == NULL)
		return errno == ENOENT ? 0 : pinion_hostmem_errno();
	do {
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL && errno != 0)
			err = pinion_hostmem_errno();
		if (entry != NULL && sscanf(entry->d_name, "hugepages-%zukB", &kib) == 1)
			pinion_hostmem_insert(size, (size_t)nr++, room, kib * 1024);
	} while (entry != NULL);
	closedir(dir);
	return err < 0 ? err : nr;
}

/*
 * Make a memory of len bytes out of pages of page_size bytes, and map it. name is for people
 * (/proc/PID/maps), at most 249 characters. A page_size of the base page (4096 on x86) gives a
 * plain memfd, any other hugepages. No page is there yet: bind, then populate.
 *
 * -EINVAL   page_size is no power of two of at least a base page, or len no multiple of it, or 0
 * -ENODEV   the kernel has no hugepages of that size: see /sys/kernel/mm/hugepages
 * -ENOMEM   fewer free hugepages than len needs: raise nr_hugepages
 * -EMFILE, -ENFILE  too many descriptors
 */
static inline int pinion_hostmem_create(const char *name, size_t len, size_t page_size,
					struct pinion_hostmem *mem)
{
	int fd, err;

	if (!pinion_hostmem_size_ok(len, page_size))
		return -EINVAL;
	fd = pinion_hostmem_memfd(name, page_size);
	if (fd < 0)
		return fd;
	err = pinion_hostmem_begin(fd, len, page_size, mem);
	if (err < 0)
		close(fd);
	return err;
}

/*
 * The same as a new file at a path, on a mount of hugetlbfs (or of tmpfs, for base pages): for
 * memory that outlives its makers, and has a name. Others open(2) it and attach. It takes no seals:
 * who may open it for writing can cut it while it is mapped, and the others get SIGBUS. Without a
 * name: unlink(path) at once, or pinion_hostmem_create().
 * pre: only the caller's user can write to the directory.
 *
 * -EEXIST   the path is there: another program's, or what a dead one left behind
 * -ENOTSUP  the file system is neither of the two, or its pages have another size
 * -EINVAL, -ENOMEM, -EMFILE, -ENFILE  as pinion_hostmem_create()
 * -ENOENT, -EACCES and others of open(2)
 */
static inline int pinion_hostmem_create_at(const char *path, size_t len, size_t page_size,
					   struct pinion_hostmem *mem)
{
	int fd, err;

	if (!pinion_hostmem_size_ok(len, page_size))
		return -EINVAL;
	do
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  S_IRUSR | S_IWUSR);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return pinion_hostmem_errno();
	err = pinion_hostmem_begin(fd, len, page_size, mem);
	if (err < 0) {
		unlink(path);
		close(fd);
	}
	return err;
}

/*
 * Have the pages that are not there yet come from one node, and from no other. Others that have the
 * memory mapped may hear of it or not, so populate then, here; which node pages are on is
 * pinion_hostmem_node()'s to say.
 *
 * -EINVAL  there is no such node, or the process may not use it (cpuset)
 * -EIO     pages that this process has touched are there already, on others: bind first, populate
 *          then
 * -ENOSYS  the kernel has no NUMA: there is one node, 0
 */
static inline int pinion_hostmem_bind(const struct pinion_hostmem *mem, int node)
{
	unsigned long mask[PINION_HOSTMEM_NODES / (8 * sizeof(unsigned long))] = { 0 };
	const unsigned at = (unsigned)node, bits = 8 * sizeof(mask[0]);

	if (at >= PINION_HOSTMEM_NODES)
		return -EINVAL;
	mask[at / bits] = 1UL << at % bits;
	/* The kernel counts one bit less than it is told of. */
	if (syscall(SYS_mbind, mem->addr, (unsigned long)mem->len, PINION_HOSTMEM_MPOL_BIND, mask,
		    PINION_HOSTMEM_NODES + 1UL, PINION_HOSTMEM_MPOL_STRICT) < 0)
		return pinion_hostmem_errno();
	return 0;
}

/*
 * Have the pages of [off, off + len) there, zeroed if they are new, on the node that bind named.
 * What was populated before an error stays, until the memory is destroyed.
 *
 * -EINVAL      off or len is no multiple of the page size, or past the end; or Linux before 5.14
 * -ENOMEM      out of pages (of that node, of the system, of the cgroup): reserve more, or less
 *              elsewhere. The kernel says EFAULT for it; touching the page would be SIGBUS. Of
 *              base pages, which nobody reserves, ask for no more than MemAvailable of
 *              /proc/meminfo: the OOM killer comes, and nothing is said
 * -EHWPOISON   a page is broken: destroy, and create anew
 */
static inline int pinion_hostmem_populate(const struct pinion_hostmem *mem, size_t off, size_t len)
{
	const size_t step =
		mem->page_size > PINION_HOSTMEM_STEP ? mem->page_size : PINION_HOSTMEM_STEP;

	if (off % mem->page_size != 0 || len % mem->page_size != 0 || off > mem->len ||
	    len > mem->len - off)
		return -EINVAL;
	while (len > 0) {
		const size_t now = len < step ? len : step;

		if (madvise((char *)mem->addr + off, now, MADV_POPULATE_WRITE) == 0) {
			off += now;
			len -= now;
		} else if (errno != EINTR) {
			/* EINTR alone goes round again: pages already there cost little. */
			return errno == EFAULT ? -ENOMEM : pinion_hostmem_errno();
		}
	}
	return 0;
}

/*
 * Add F_SEAL_* to the file, for every holder and for ever.
 *
 * -EPERM  F_SEAL_SEAL is set: no more can be added
 * -EBUSY  F_SEAL_WRITE while a writable mapping exists: F_SEAL_FUTURE_WRITE is meant
 */
static inline int pinion_hostmem_seal(const struct pinion_hostmem *mem, int seals)
{
	return fcntl(mem->fd, F_ADD_SEALS, seals) < 0 ? pinion_hostmem_errno() : 0;
}

/*
 * The seals a file has; who was given it checks F_SEAL_SHRINK before touching a byte.
 * F_SEAL_EXEC is among them on Linux 6.3 and later.
 *
 * -EINVAL  the file is not in memory: neither a memfd nor of tmpfs or hugetlbfs (one of these that
 *          is no memfd has F_SEAL_SEAL, and takes no more)
 */
static inline int pinion_hostmem_seals(int fd, int *seals)
{
	const int got = fcntl(fd, F_GET_SEALS);

	if (got < 0)
		return pinion_hostmem_errno();
	*seals = got;
	return 0;
}

/* Is the file as its sender says? -EINVAL when its length or its pages are not. */
static inline int pinion_hostmem_check(int fd, size_t len, size_t page_size)
{
	struct stat st;
	size_t has = 0;
	int err = pinion_hostmem_page_size(fd, &has);

	if (err < 0)
		return err;
	if (fstat(fd, &st) < 0)
		return pinion_hostmem_errno();
	return has != page_size || st.st_size != (off_t)len ? -EINVAL : 0;
}

/*
 * Map memory that someone else made, after checking that the file has this length and pages of
 * this size. On success the descriptor belongs to mem (destroy closes it); on failure it stays
 * the caller's.
 *
 * -EINVAL   the sizes are no sizes (see create), or the file has others: the sender lies, or
 *           speaks of another memory
 * -ENOTSUP  neither hugetlbfs nor tmpfs
 * -EPERM    sealed with F_SEAL_FUTURE_WRITE: too late to join, ask for a new memory
 * -EACCES   the descriptor is open for reading only
 */
static inline int pinion_hostmem_attach(int fd, size_t len, size_t page_size,
					struct pinion_hostmem *mem)
{
	void *addr = NULL;
	int err;

	if (!pinion_hostmem_size_ok(len, page_size))
		return -EINVAL;
	err = pinion_hostmem_check(fd, len, page_size);
	if (err == 0)
		err = pinion_hostmem_map(fd, len, &addr);
	if (err < 0)
		return err;
	mem->fd = fd;
	mem->addr = addr;
	mem->len = len;
	mem->page_size = page_size;
	return 0;
}

/*
 * Undo create or attach: unmap and close. pre: no thread of this process uses the memory, and no
 * device does on its behalf (unmap it from the IOMMU first).
 */
static inline int pinion_hostmem_destroy(struct pinion_hostmem *mem)
{
	const int err = pinion_hostmem_release(mem->addr, mem->len, mem->fd);

	mem->fd = -1;
	mem->addr = NULL;
	mem->len = 0;
	return err;
}

/*
 * Open this process's table of physical addresses; close(2) it in the end. Its answers depend on
 * the privilege at the time of this call.
 *
 * -EACCES  the process changed its uid and is not dumpable: open it before
 */
static inline int pinion_hostmem_pagemap_open(int *pagemap)
{
	int fd;

	do
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return pinion_hostmem_errno();
	*pagemap = fd;
	return 0;
}

/* Read the entries of nr base pages, the first at addr. Errors: see pinion_hostmem_phys(). */
static inline int pinion_hostmem_entries(int pagemap, uintptr_t addr, uint64_t *entry, size_t nr)
{
	const uint64_t index = (uint64_t)addr / pinion_hostmem_base_page();
	size_t done = 0;

	while (done < nr) {
		const ssize_t n = pread(pagemap, entry + done, (nr - done) * sizeof(*entry),
					(off_t)((index + done) * sizeof(*entry)));

		if (n < 0 && errno != EINTR)
			return pinion_hostmem_errno();
		if (n == 0 || (n > 0 && (size_t)n % sizeof(*entry) != 0))
			return -EIO;
		done += n > 0 ? (size_t)n / sizeof(*entry) : 0;
	}
	return 0;
}

/*
 * The frame number that an entry has. Of its 64 bits, 0 to 54 are the frame, 62 says swapped, 63
 * present (Documentation/admin-guide/mm/pagemap.rst). Errors: see pinion_hostmem_phys().
 */
static inline int pinion_hostmem_frame(uint64_t entry, uint64_t *frame)
{
	if ((entry >> 63) == 0)
		return -EFAULT;
	entry &= ((uint64_t)1 << 55) - 1;
	/* Frame 0 is never a user's page: it is how the kernel hides the number. */
	if (entry == 0)
		return -EPERM;
	*frame = entry;
	return 0;
}

/* Physical addresses of nr base pages, in as few reads as the kernel allows; see
 * pinion_hostmem_phys(). */
static inline int pinion_hostmem_phys_base(int pagemap, uintptr_t addr, uint64_t *phys, size_t nr)
{
	size_t i;
	int err = pinion_hostmem_entries(pagemap, addr, phys, nr);

	for (i = 0; i < nr && err == 0; i++) {
		err = pinion_hostmem_frame(phys[i], &phys[i]);
		phys[i] *= pinion_hostmem_base_page();
	}
	return err;
}

/*
 * Physical address of the page of page_size bytes at addr; see pinion_hostmem_phys(). A hugepage
 * is contiguous and aligned to its size: its first and last frames must say so, or the memory
 * there has smaller pages.
 */
static inline int pinion_hostmem_phys_page(int pagemap, uintptr_t addr, size_t page_size,
					   uint64_t *phys)
{
	const size_t base = pinion_hostmem_base_page();
	const uint64_t frames = page_size / base;
	uint64_t first = 0, last = 0;
	int err = pinion_hostmem_entries(pagemap, addr, &first, 1);

	if (err == 0)
		err = pinion_hostmem_entries(pagemap, addr + (page_size - base), &last, 1);
	if (err == 0)
		err = pinion_hostmem_frame(first, &first);
	if (err == 0)
		err = pinion_hostmem_frame(last, &last);
	if (err < 0)
		return err;
	if (first % frames != 0 || last != first + frames - 1)
		return -EINVAL;
	*phys = first * base;
	return 0;
}

/*
 * Physical addresses of nr pages of page_size bytes, the first at addr. They hold as long as the
 * pages are pinned: see the caveats. On failure phys is not to be read.
 *
 * -EPERM   the kernel shows frame 0: pagemap was opened without CAP_SYS_ADMIN
 * -EFAULT  a page is not there: populate first, and again in a child after fork or in a process
 *          that attached, since each has a page table of its own
 * -EINVAL  addr is no multiple of page_size, or the pages there are smaller
 */
static inline int pinion_hostmem_phys(int pagemap, const void *addr, size_t page_size,
				      uint64_t *phys, size_t nr)
{
	const uintptr_t at = (uintptr_t)addr;
	size_t i;
	int err = 0;

	if (page_size < pinion_hostmem_base_page() || (page_size & (page_size - 1)) != 0 ||
	    at % page_size != 0 || nr > (UINTPTR_MAX - at) / page_size)
		return -EINVAL;
	if (page_size == pinion_hostmem_base_page())
		return pinion_hostmem_phys_base(pagemap, at, phys, nr);
	for (i = 0; i < nr && err == 0; i++)
		err = pinion_hostmem_phys_page(pagemap, at + i * page_size, page_size, &phys[i]);
	return err;
}

/* One move_pages(2) that only asks; nr is at most PINION_HOSTMEM_NODE_BATCH. */
static inline int pinion_hostmem_node_batch(const char *addr, size_t page_size, int *node,
					    size_t nr)
{
	const void *page[PINION_HOSTMEM_NODE_BATCH];
	size_t i;

	for (i = 0; i < nr; i++)
		page[i] = addr + i * page_size;
	/* Without nodes to move to, the status of each page is its node, or -errno. */
	if (syscall(SYS_move_pages, 0, (unsigned long)nr, page, NULL, node, 0) < 0)
		return pinion_hostmem_errno();
	for (i = 0; i < nr; i++)
		if (node[i] < 0)
			return node[i] == -ENOENT ? -EFAULT : node[i];
	return 0;
}

/*
 * NUMA nodes of nr pages of page_size bytes, the first at addr. No privilege is needed. On
 * failure node is not to be read.
 *
 * -EFAULT  a page is not there: populate first, and again in a child after fork or in a process
 *          that attached, since each has a page table of its own
 * -ENOSYS  the kernel has no NUMA: there is one node, 0
 */
static inline int pinion_hostmem_node(const void *addr, size_t page_size, int *node, size_t nr)
{
	const char *at = (const char *)addr;
	size_t i, now;
	int err = 0;

	if (page_size == 0 || nr > (UINTPTR_MAX - (uintptr_t)addr) / page_size)
		return -EINVAL;
	for (i = 0; i < nr && err == 0; i += now) {
		now = nr - i < PINION_HOSTMEM_NODE_BATCH ? nr - i : PINION_HOSTMEM_NODE_BATCH;
		err = pinion_hostmem_node_batch(at + i * page_size, page_size, node + i, now);
	}
	return err;
}

#endif
