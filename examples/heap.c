/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A heap of hugepages without the library: allocate, learn the bus address, and have another
 * process find the same bytes by their offset.
 *
 *     cc heap.c $(pkg-config --cflags --libs pinion) -o heap    (example.h alone wants the library)
 *     sudo hugepages reserve 0:4M && ./heap         or: ./heap --page-size 4k
 */
#include <pinion/hostheap.h>

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "example.h"

#define PAGES 2
#define QUEUE 4096

/* One segment, on whichever node; pinion_hostmem_bind() would name one. */
static struct pinion_hostheap *make(size_t size)
{
	struct pinion_hostheap *heap;
	struct pinion_hostmem mem;
	size_t segment;

	must(pinion_hostmem_create("example", PAGES * size, size, &mem));
	must(pinion_hostmem_populate(&mem, 0, mem.len));
	must(pinion_hostheap_create(64, PINION_HEAP_IN_PAGE, &heap));
	must(pinion_hostheap_add(heap, &mem, &segment));
	return heap;
}

/* Root sees where the pages are; others would map the segment into an IOMMU. */
static void find_pages(struct pinion_hostheap *heap)
{
	int pagemap = -1, err;

	must(pinion_hostmem_pagemap_open(&pagemap));
	err = pinion_hostheap_read_phys(heap, 0, pagemap);
	close(pagemap);
	if (err == -EPERM)
		must(pinion_heap_set_linear(&heap->heap, 0, UINT64_C(1) << 32));
	else
		must(err);
}

static void show(const struct pinion_hostheap *heap, const void *addr)
{
	struct pinion_heap_spot spot;

	must(pinion_hostheap_locate(heap, addr, QUEUE, &spot));
	printf("a queue at %p, for a device at %#" PRIx64 ", %" PRIu64 " bytes in one piece\n",
	       addr, spot.bus, spot.run);
	expect(spot.run == QUEUE, "it straddles nothing");
}

/* The other process: memory comes by the socket, then the offset. */
static int be_peer(int sock)
{
	struct pinion_hostheap *heap;
	uint64_t off;
	void *addr;

	must(pinion_hostheap_import(sock, (uint64_t)1 << 30, &heap));
	if (read(sock, &off, sizeof(off)) != sizeof(off))
		errx(1, "no offset came");
	must(pinion_hostheap_addr(heap, off, QUEUE, &addr));
	strcpy(addr, "written by the peer");
	must(pinion_hostheap_destroy(heap));
	return 0;
}

static void tell(const struct pinion_hostheap *heap, const void *addr, int sock)
{
	uint64_t off;

	must(pinion_hostheap_export(heap, sock, false));
	must(pinion_hostheap_offset(heap, addr, &off));
	if (write(sock, &off, sizeof(off)) != sizeof(off))
		err(1, "write");
}

int main(int argc, char **argv)
{
	struct pinion_hostheap *heap;
	int end[2], status;
	size_t size = page_size(argc, argv);
	void *queue;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end))
		err(1, "socketpair");
	/* Before there is a heap: nothing of it is inherited. */
	pid = fork();
	if (!pid) {
		close(end[0]); /* or it would not see our end, should we fail */
		return be_peer(end[1]);
	}
	close(end[1]);
	heap = make(size);
	find_pages(heap);
	must(pinion_hostheap_alloc_aligned(heap, QUEUE, QUEUE, &queue));
	show(heap, queue);
	tell(heap, queue, end[0]);
	waitpid(pid, &status, 0);
	printf("the queue has: %s\n", (char *)queue);
	expect(!status && !strcmp(queue, "written by the peer"), "both have the same bytes");
	must(pinion_hostheap_free(heap, queue));
	expect(pinion_hostheap_free(heap, queue) == -EINVAL, "a second free is told");
	must(pinion_hostheap_destroy(heap));
	return 0;
}
