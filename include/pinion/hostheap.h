/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_HOSTHEAP_H
#define PINION_HOSTHEAP_H

/*
 * A heap of hugepages: malloc and free for what devices and other processes work on. The memory is
 * hostmem.h's, the account heap.h's; this puts one over the other.
 *
 *     the process that allocates                  a process that is given it
 *     --------------------------                  --------------------------
 *     pinion_hostmem_create, populate (&mem)
 *     pinion_hostheap_create(64, PINION_HEAP_IN_PAGE, &heap)
 *     pinion_hostheap_add(heap, &mem, &s)         (mem is the heap's now)
 *     pin the pages, then
 *     pinion_hostheap_read_phys(heap, s, pagemap)
 *        or, behind an IOMMU,
 *     pinion_heap_set_linear(&heap->heap, s, iova)
 *     pinion_hostheap_export(heap, sock, false) -->  pinion_hostheap_import(sock, most, &heap)
 *     pinion_hostheap_alloc(heap, 4096, &queue)
 *     pinion_hostheap_locate(heap, queue, 4096, &spot)      spot.bus is for the device
 *     pinion_hostheap_offset(heap, queue, &off)
 *     send off                                  -->  pinion_hostheap_addr(heap, off, 4096, &addr)
 *     pinion_hostheap_free(heap, queue)
 *     pinion_hostheap_destroy(heap)               pinion_hostheap_destroy(heap)
 *
 * An allocation has an address in each process, which differ; an offset, which is the same for all;
 * and a bus address for the device. Each look-up is checked against the bounds of the memory.
 * heap.h says where allocations may lie: in one page, or across pages that touch. What of its calls
 * only look (find, from_bus, next to walk the segments) take &heap->heap.
 *
 * Threads: callers serialise the calls on one heap; any number may look (addr, offset, locate)
 * while none changes it. Processes: over fork both have the memory, and each its copy of the
 * account; one of them may go on to allocate. Who imported a heap looks and allocates nothing.
 *
 * Death: of an importer nothing is left behind, and the exporter does not hear of it: what was lent
 * to it is known to the program alone. When the exporter dies, importers keep the memory and its
 * offsets, and nobody allocates any more. For members that come, crash and are cleaned up after
 * there is pool.h.
 *
 * Caveats, each with its remedy:
 *  - Importers may write all of the memory. The account is out of their reach, what lies in the
 *    memory is not: read it once, check the copy. Give strangers a heap each.
 *  - export seals the files against resizing. A hole can be punched still (hostmem.h, "Caveats"):
 *    who touches it then, and no page is free, is killed by SIGBUS. The exporter of a heap that all
 *    have imported seals it: pinion_hostmem_seal(&heap->mem[s], F_SEAL_FUTURE_WRITE). Who imports
 *    a stranger's does so itself, then populates again; and refuses it when that says -EPERM.
 *  - Bus addresses in a heap that was imported are the exporter's word. Before a device is told
 *    one, pinion_hostheap_read_phys() or pinion_heap_set_linear() of one's own.
 *  - import closes what it refuses, and close(2) of a stranger's descriptor can take as long as the
 *    stranger likes (a socket that lingers, fuse(4)). Who must not wait imports in a thread.
 *  - Files of hugetlbfs take no seals and are not exported: open them by name on both sides.
 *  - Physical addresses are read once and hold as long as the pages are pinned; read them again
 *    after that has ended. with_bus only to those who may know them.
 *  - A device that is still working on what was freed, or on a heap that was destroyed, writes into
 *    other people's memory. Stop it first, and unmap.
 *
 * Calls return 0 or -errno, and change nothing when they fail; errno itself is left undefined.
 *
 * Sources: unix(7) SCM_RIGHTS and SCM_MAX_FD (253), cmsg(3), recv(2) MSG_CTRUNC,
 * memfd_create(2), fcntl(2) "File Sealing".
 * Needs Linux 5.14 and libc. C99, C11, C++17; includes hostmem.h, heap.h and through it iova.h.
 */

#include <pinion/hostmem.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <pinion/heap.h>

/* Most segments of one heap: each is a descriptor in the message of export. */
#define PINION_HOSTHEAP_SEGMENTS 64

/* Most bytes of a table that import takes: 2^21 pages with their addresses. */
#define PINION_HOSTHEAP_TABLE_MAX ((size_t)16 << 20)

struct pinion_hostheap {
	struct pinion_heap heap; /* may be looked into */
	enum pinion_heap_place place;
	bool imported;
	void *table; /* what was imported: the account reads its pages */
	struct pinion_hostmem mem[PINION_HOSTHEAP_SEGMENTS];
	uint64_t *page[PINION_HOSTHEAP_SEGMENTS];
	struct pinion_heap_segment segment[PINION_HOSTHEAP_SEGMENTS];
};

/* What export sends beside its descriptors: of the table, then of each segment. */
struct pinion_hostheap_parcel {
	uint64_t magic; /* PINION_HEAP_MAGIC */
	uint64_t table_len;
	uint64_t nr_fds;
};

/* Most descriptors of a parcel. */
#define PINION_HOSTHEAP_FDS (PINION_HOSTHEAP_SEGMENTS + 1)

/*
 * Begin a heap without memory; see pinion_heap_init() for the granule, and heap.h for the place
 * that all of its allocations keep to.
 *
 * -EINVAL  the granule is no power of two; no such place
 * -ENOMEM
 */
static inline int pinion_hostheap_create(size_t granule, enum pinion_heap_place place,
					 struct pinion_hostheap **heap)
{
	struct pinion_hostheap *made;
	int err;

	if ((unsigned)place > PINION_HEAP_CONTIGUOUS)
		return -EINVAL;
	made = (struct pinion_hostheap *)calloc(1, sizeof(*made));
	if (made == NULL)
		return -ENOMEM;
	err = pinion_heap_init(&made->heap, granule, made->segment, PINION_HOSTHEAP_SEGMENTS, NULL,
			       0);
	if (err < 0) {
		free(made);
		return err;
	}
	made->place = place;
	*heap = made;
	return 0;
}

/*
 * Give all memory back to the kernel, and end the heap; what is still allocated goes with it. The
 * first error of munmap or close, and all is gone nonetheless. pre: no device and no thread uses
 * it.
 */
static inline int pinion_hostheap_destroy(struct pinion_hostheap *heap)
{
	size_t i;
	int err = 0;

	for (i = 0; i < heap->heap.nr; i++) {
		const int one = pinion_hostmem_destroy(&heap->mem[i]);

		err = err < 0 ? err : one;
		free(heap->page[i]);
	}
	free(heap->heap.space.extent);
	free(heap->table);
	free(heap);
	return err;
}

/* Go on with twice as many extents. */
static inline int pinion_hostheap_widen(struct pinion_hostheap *heap)
{
	struct pinion_iova_extent *was = heap->heap.space.extent, *now;
	const size_t room = heap->heap.space.room > 0 ? 2 * heap->heap.space.room : 64;
	int err;

	if (room > SIZE_MAX / 2 / sizeof(*now))
		return -ENOMEM;
	now = (struct pinion_iova_extent *)malloc(room * sizeof(*now));
	if (now == NULL)
		return -ENOMEM;
	err = pinion_iova_move(&heap->heap.space, now, room);
	free(was);
	return err;
}

/*
 * Put memory into a heap, as its next segment; on success mem belongs to the heap (destroy gives it
 * back), on failure it stays the caller's. pre: populated, or the first touch may kill with SIGBUS.
 *
 * -EPERM    the heap was imported
 * -EINVAL   pages smaller than the granule
 * -ENOBUFS  PINION_HOSTHEAP_SEGMENTS are there
 * -ENOMEM
 */
static inline int pinion_hostheap_add(struct pinion_hostheap *heap,
				      const struct pinion_hostmem *mem, size_t *index)
{
	int err;

	if (heap->imported)
		return -EPERM;
	if (heap->heap.nr == heap->heap.room)
		return -ENOBUFS;
	if (heap->heap.space.nr == heap->heap.space.room) {
		err = pinion_hostheap_widen(heap);
		if (err < 0)
			return err;
	}
	err = pinion_heap_add(&heap->heap, mem->len, mem->page_size, index);
	if (err < 0)
		return err;
	heap->mem[*index] = *mem;
	return 0;
}

/*
 * Read the physical addresses of a segment's pages: pagemap is of pinion_hostmem_pagemap_open().
 * Pin first. From here on an allocation may be longer than a page in place CONTIGUOUS.
 *
 * -ERANGE  no segment has this index
 * -EPERM   the kernel shows frame 0; -EFAULT, -EINVAL: see pinion_hostmem_phys()
 * -ENOMEM
 */
static inline int pinion_hostheap_read_phys(struct pinion_hostheap *heap, size_t index, int pagemap)
{
	const struct pinion_hostmem *mem;
	uint64_t *page;
	size_t nr;
	int err;

	/* The first says it already, but not to a compiler. */
	if (index >= heap->heap.nr || index >= PINION_HOSTHEAP_SEGMENTS)
		return -ERANGE;
	mem = &heap->mem[index];
	nr = mem->len / mem->page_size;
	page = (uint64_t *)calloc(nr, sizeof(*page));
	if (page == NULL)
		return -ENOMEM;
	err = pinion_hostmem_phys(pagemap, mem->addr, mem->page_size, page, nr);
	if (err == 0)
		err = pinion_heap_set_pages(&heap->heap, index, page);
	if (err < 0) {
		free(page);
		return err;
	}
	free(heap->page[index]);
	heap->page[index] = page;
	return 0;
}

/*
 * The address of len bytes at an offset of the heap, in this process.
 *
 * -EINVAL  len is 0
 * -ERANGE  they are not all in one segment: who sent the offset errs, or lies
 */
static inline int pinion_hostheap_addr(const struct pinion_hostheap *heap, uint64_t off,
				       uint64_t len, void **addr)
{
	struct pinion_heap_spot spot;
	const int err = pinion_heap_locate(&heap->heap, off, len, &spot);

	if (err < 0)
		return err;
	*addr = (char *)heap->mem[spot.segment].addr + spot.off;
	return 0;
}

/*
 * The way back: the heap's offset of an address of this process. Each segment is looked at.
 *
 * -ERANGE  the address is in none
 */
static inline int pinion_hostheap_offset(const struct pinion_hostheap *heap, const void *addr,
					 uint64_t *off)
{
	size_t i;

	for (i = 0; i < heap->heap.nr; i++) {
		const uintptr_t start = (uintptr_t)heap->mem[i].addr;

		if ((uintptr_t)addr >= start && (uintptr_t)addr - start < heap->mem[i].len)
			return pinion_heap_offset(&heap->heap, i, (uintptr_t)addr - start, off);
	}
	return -ERANGE;
}

/*
 * Where len bytes at an address are: segment, offset in it, bus address, and how many of them
 * follow each other there. Errors of pinion_hostheap_addr().
 */
static inline int pinion_hostheap_locate(const struct pinion_hostheap *heap, const void *addr,
					 uint64_t len, struct pinion_heap_spot *spot)
{
	uint64_t off = 0;
	const int err = pinion_hostheap_offset(heap, addr, &off);

	return err < 0 ? err : pinion_heap_locate(&heap->heap, off, len, spot);
}

/*
 * Allocate len bytes at a multiple of align, a power of two: for the process, and for a device that
 * has the segment's bus addresses. Its first bytes are not cleared.
 *
 * -EPERM   the heap was imported: who made it allocates
 * -EINVAL  len is 0; align is no power of two
 * -ENOSPC  see pinion_heap_alloc(): add memory, or ask for less
 * -ENOMEM  the account cannot grow
 */
static inline int pinion_hostheap_alloc_aligned(struct pinion_hostheap *heap, size_t len,
						size_t align, void **addr)
{
	uint64_t off = 0;
	int err;

	if (heap->imported)
		return -EPERM;
	err = pinion_heap_alloc(&heap->heap, len, align, heap->place, &off);
	if (err == -ENOBUFS) {
		err = pinion_hostheap_widen(heap);
		if (err == 0)
			err = pinion_heap_alloc(&heap->heap, len, align, heap->place, &off);
	}
	return err < 0 ? err : pinion_hostheap_addr(heap, off, 1, addr);
}

/* The same at a multiple of the granule. */
static inline int pinion_hostheap_alloc(struct pinion_hostheap *heap, size_t len, void **addr)
{
	return pinion_hostheap_alloc_aligned(heap, len, 0, addr);
}

/*
 * Give back what alloc gave.
 *
 * -EINVAL  no allocation begins there: freed before, not of this heap, NULL, or imported
 */
static inline int pinion_hostheap_free(struct pinion_hostheap *heap, const void *addr)
{
	uint64_t off = 0;

	if (pinion_hostheap_offset(heap, addr, &off) < 0)
		return -EINVAL;
	return pinion_heap_free(&heap->heap, off);
}

/* Allocate anew, copy, free. was: how long it is. */
static inline int pinion_hostheap_move(struct pinion_hostheap *heap, void **addr, uint64_t was,
				       size_t len, size_t align)
{
	void *now = NULL;
	int err = pinion_hostheap_alloc_aligned(heap, len, align, &now);

	if (err < 0)
		return err;
	memcpy(now, *addr, was < len ? (size_t)was : len);
	err = pinion_hostheap_free(heap, *addr);
	*addr = now;
	return err;
}

/*
 * Make an allocation shorter or longer: where it is, if that can be, or else at another place, with
 * a copy of its bytes; *addr is where. pre: no device works on it.
 *
 * -EINVAL  no allocation begins at *addr; *addr is no multiple of align; and see alloc_aligned,
 *          as for -ENOSPC and -ENOMEM
 */
static inline int pinion_hostheap_realloc(struct pinion_hostheap *heap, void **addr, size_t len,
					  size_t align)
{
	uint64_t off = 0, start = 0, was = 0;
	int err;

	if ((align & (align - 1)) != 0 || (align != 0 && (uintptr_t)*addr % align != 0) ||
	    pinion_hostheap_offset(heap, *addr, &off) < 0)
		return -EINVAL;
	err = pinion_heap_resize(&heap->heap, off, len, heap->place);
	if (err == -ENOBUFS) {
		err = pinion_hostheap_widen(heap);
		if (err == 0)
			err = pinion_heap_resize(&heap->heap, off, len, heap->place);
	}
	if (err != -ENOSPC)
		return err;
	err = pinion_heap_find(&heap->heap, off, &start, &was);
	return err < 0 ? err : pinion_hostheap_move(heap, addr, was, len, align);
}

/* Seal a segment against resizing, if it is not. -ENOTSUP for a file that takes no seals. */
static inline int pinion_hostheap_seal(const struct pinion_hostmem *mem)
{
	const int want = F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = 0, err = pinion_hostmem_seals(mem->fd, &seals);

	if (err == 0 && (seals & want) != want)
		err = pinion_hostmem_seal(mem, want);
	return err == -EINVAL || err == -EPERM ? -ENOTSUP : err;
}

/* Write or read all of a table; 0 or -errno. */
static inline int pinion_hostheap_copy(int fd, void *table, size_t len, bool write)
{
	size_t done = 0;

	while (done < len) {
		char *at = (char *)table + done;
		const ssize_t n = write ? pwrite(fd, at, len - done, (off_t)done)
					: pread(fd, at, len - done, (off_t)done);

		if (n < 0 && errno != EINTR)
			return pinion_hostmem_errno();
		/* A file that takes nothing is none of the sender's: export makes it itself. */
		if (n == 0)
			return write ? -EIO : -EBADMSG;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The table in a file of its own, since it may be longer than a socket takes; the descriptor, or
 * -errno. */
static inline int pinion_hostheap_table(const struct pinion_hostheap *heap, bool with_bus,
					size_t *len)
{
	void *table;
	int fd, err;

	*len = pinion_heap_packed_len(&heap->heap, with_bus);
	if (*len > PINION_HOSTHEAP_TABLE_MAX)
		return -E2BIG;
	table = malloc(*len);
	if (table == NULL)
		return -ENOMEM;
	err = pinion_heap_pack(&heap->heap, with_bus, table, *len);
	fd = err < 0 ? err : pinion_hostmem_memfd("pinion-hostheap", pinion_hostmem_base_page());
	if (fd >= 0)
		err = pinion_hostheap_copy(fd, table, *len, true);
	free(table);
	if (fd >= 0 && err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

/* The one control message of a parcel, with room for its descriptors. */
union pinion_hostheap_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(PINION_HOSTHEAP_FDS * sizeof(int))];
};

/* Point a message at a parcel and its descriptors. */
static inline void pinion_hostheap_message(struct msghdr *msg, struct iovec *iov,
					   struct pinion_hostheap_parcel *parcel,
					   union pinion_hostheap_control *control)
{
	memset(msg, 0, sizeof(*msg));
	memset(control, 0, sizeof(*control));
	iov->iov_base = parcel;
	iov->iov_len = sizeof(*parcel);
	msg->msg_iov = iov;
	msg->msg_iovlen = 1;
	msg->msg_control = control->bytes;
	/* Not CMSG_SPACE, whose padding the kernel fills with one more descriptor. */
	msg->msg_controllen = CMSG_LEN(PINION_HOSTHEAP_FDS * sizeof(int));
}

/* Send a parcel; fd[0] is the table. */
static inline int pinion_hostheap_send(int sock, size_t table_len, const int *fd, size_t nr)
{
	struct pinion_hostheap_parcel parcel = { PINION_HEAP_MAGIC, table_len, nr };
	union pinion_hostheap_control control;
	struct cmsghdr *cmsg;
	struct msghdr msg;
	struct iovec iov;
	ssize_t n;

	pinion_hostheap_message(&msg, &iov, &parcel, &control);
	msg.msg_controllen = CMSG_SPACE(nr * sizeof(*fd));
	cmsg = &control.header;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(nr * sizeof(*fd));
	memcpy(CMSG_DATA(cmsg), fd, nr * sizeof(*fd));
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return pinion_hostmem_errno();
	/* Less of a few bytes: no socket does that, and a stream would be spoilt. */
	return n == (ssize_t)sizeof(parcel) ? 0 : -EIO;
}

/*
 * Send all memory of a heap over a connected Unix socket, as one message, to who calls import at
 * the other end: it may then read and write the memory, whoever it is, as long as it likes. With
 * bus addresses if it may know them. Segments added later are not part of it. The files stay
 * sealed, even if the message could not be sent.
 *
 * -ENOTSUP  a segment takes no seals: it is on a hugetlbfs mount
 * -E2BIG    too many pages with addresses (PINION_HOSTHEAP_TABLE_MAX): send it without
 * -EAGAIN   the socket is full and does not block
 * -ETOOMANYREFS  too many descriptors of this user are on their way: wait until they are received
 * -EPIPE, -ECONNRESET  nobody is at the other end
 * -EIO     the table could not be written in full
 * -EMFILE, -ENFILE, -ENOMEM
 */
static inline int pinion_hostheap_export(const struct pinion_hostheap *heap, int sock,
					 bool with_bus)
{
	int fd[PINION_HOSTHEAP_FDS], err = 0;
	size_t i, len = 0;

	for (i = 0; i < heap->heap.nr && err == 0; i++) {
		fd[i + 1] = heap->mem[i].fd;
		err = pinion_hostheap_seal(&heap->mem[i]);
	}
	if (err < 0)
		return err;
	fd[0] = pinion_hostheap_table(heap, with_bus, &len);
	if (fd[0] < 0)
		return fd[0];
	err = pinion_hostheap_send(sock, len, fd, heap->heap.nr + 1);
	close(fd[0]);
	return err;
}

/* Close descriptors that nobody took; those taken are -1. */
static inline void pinion_hostheap_drop(const int *fd, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* The descriptors of a message, at most PINION_HOSTHEAP_FDS: the kernel closed what had no room. */
static inline size_t pinion_hostheap_fds(struct msghdr *msg, int *fd)
{
	struct cmsghdr *cmsg;
	size_t nr = 0;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		/* The kernel makes one such message of all. */
		nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(*fd);
		memcpy(fd, CMSG_DATA(cmsg), nr * sizeof(*fd));
	}
	return nr;
}

/* Receive a parcel and its descriptors, which are nr, all of them the caller's. */
static inline int pinion_hostheap_recv(int sock, struct pinion_hostheap_parcel *parcel, int *fd,
				       size_t *nr)
{
	union pinion_hostheap_control control;
	struct msghdr msg;
	struct iovec iov;
	bool ended = false;
	ssize_t n;

	/* The kernel looks for a message, then for the end, and tells the end alone of a sender who
	 * sent and closed in between: after the first end it is there, or never comes. */
	for (;;) {
		pinion_hostheap_message(&msg, &iov, parcel, &control);
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | (ended ? MSG_DONTWAIT : 0));
		if (n > 0 || (n == 0 && (ended || msg.msg_controllen != 0)))
			break;
		if (n < 0 && errno == EAGAIN && ended)
			return -ECONNRESET; /* it was an empty message */
		if (n < 0 && errno != EINTR)
			return pinion_hostmem_errno();
		ended = ended || n == 0;
	}
	*nr = pinion_hostheap_fds(&msg, fd);
	if (n == 0 && *nr == 0)
		return -ECONNRESET;
	/* export sends it at once: half of it is none, on a stream too, and not waited for. */
	if (n != (ssize_t)sizeof(*parcel) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
	    parcel->magic != PINION_HEAP_MAGIC || *nr == 0 || parcel->nr_fds != *nr ||
	    parcel->table_len > PINION_HOSTHEAP_TABLE_MAX) {
		pinion_hostheap_drop(fd, *nr);
		return -EBADMSG;
	}
	return 0;
}

/* A private copy of the table: what the sender changes from now on is no matter. Of what knows
 * seals only, a file in memory: to read from another, or even to ask for its file system, can take
 * for ever (a pipe, fuse(4)). */
static inline int pinion_hostheap_read_table(struct pinion_hostheap *heap, int fd, size_t len)
{
	int seals = 0, err = pinion_hostmem_seals(fd, &seals);

	if (err < 0)
		return -EBADMSG;
	heap->table = malloc(len + 1);
	if (heap->table == NULL)
		return -ENOMEM;
	/* Not to be read, or too short: as the sender made it. */
	if (pinion_hostheap_copy(fd, heap->table, len, false) < 0)
		return -EBADMSG;
	return pinion_heap_unpack(&heap->heap, heap->table, len);
}

/* Map a segment, whose file must be as the table says and stay so; on failure the descriptor stays
 * the caller's. All pages are had now: to touch one that cannot be had would kill. */
static inline int pinion_hostheap_take(struct pinion_hostheap *heap, size_t index, int fd)
{
	const struct pinion_heap_segment *segment = &heap->segment[index];
	struct pinion_hostmem *mem = &heap->mem[index];
	int seals = 0, err = pinion_hostmem_seals(fd, &seals);

	if (err < 0 || (seals & F_SEAL_SHRINK) == 0 || segment->len > SIZE_MAX)
		return -EBADMSG;
	err = pinion_hostmem_attach(fd, (size_t)segment->len, (size_t)segment->page_size, mem);
	if (err == -EINVAL || err == -ENOTSUP || err == -EACCES)
		return -EBADMSG;
	/* EAGAIN is mmap(2)'s word for a limit on locked memory; here it would say "not yet". */
	if (err < 0)
		return err == -EAGAIN ? -ENOMEM : err;
	err = pinion_hostmem_populate(mem, 0, mem->len);
	if (err < 0)
		pinion_hostmem_release(mem->addr, mem->len, -1);
	return err;
}

/* Make a heap of a parcel; on failure heap->heap.nr are the segments that were mapped. */
static inline int pinion_hostheap_unpack(struct pinion_hostheap *heap, size_t table_len,
					 uint64_t most, int *fd, size_t nr)
{
	int err = pinion_hostheap_read_table(heap, fd[0], table_len);
	const size_t segments = heap->heap.nr;
	uint64_t sum = 0;
	size_t i;

	if (err < 0)
		return err;
	/* Offsets end before 64 bits do, and so does the sum. */
	for (i = 0; i < segments; i++)
		sum += heap->segment[i].len;
	heap->heap.nr = 0;
	if (segments != nr - 1)
		return -EBADMSG;
	if (sum > most)
		return -EFBIG;
	for (i = 0; i < segments; i++) {
		err = pinion_hostheap_take(heap, i, fd[i + 1]);
		if (err < 0)
			return err;
		fd[i + 1] = -1;
		heap->heap.nr++;
	}
	return 0;
}

/*
 * Receive a heap from who called export, and map it for reading and writing. The sender may be
 * anybody: its table is copied once, and checked as far as it can be (see "Caveats" for bus
 * addresses); its files are of the right pages and length, sealed so that they stay it, and
 * populated, until somebody punches a hole (there as well). most: bytes that may be mapped, at the
 * most. Also what is refused has been received, and its descriptors are closed.
 * pre: the socket asks for no control messages of its own (SO_PASSPIDFD and the like).
 *
 * -EBADMSG     no heap: the sender lies, or is of another version; or this process has not as many
 *              descriptors left, which looks the same
 * -EFBIG       the memory is more than most
 * -ENOBUFS     its table has more than PINION_HOSTHEAP_SEGMENTS
 * -EPERM       it was sealed against writing: too late to join
 * -ECONNRESET  the sender is gone, or sent an empty message
 * -EAGAIN      nothing is there yet, and the socket does not block
 * -ENOMEM      also of pages: the sender did not populate, and there are too few
 */
static inline int pinion_hostheap_import(int sock, uint64_t most, struct pinion_hostheap **heap)
{
	struct pinion_hostheap_parcel parcel;
	struct pinion_hostheap *made = NULL;
	int fd[PINION_HOSTHEAP_FDS];
	size_t nr = 0;
	int err = pinion_hostheap_recv(sock, &parcel, fd, &nr);

	if (err < 0)
		return err;
	err = pinion_hostheap_create(1, PINION_HEAP_ANYWHERE, &made);
	if (err == 0) {
		made->imported = true;
		err = pinion_hostheap_unpack(made, (size_t)parcel.table_len, most, fd, nr);
		if (err < 0)
			pinion_hostheap_destroy(made);
	}
	pinion_hostheap_drop(fd, nr);
	if (err < 0)
		return err;
	*heap = made;
	return 0;
}

#endif
