/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <pinion/hostheap.h>

#include <string.h>

/*
 * hostheap.h, with real memory and over real sockets. The account (heap.h, iova.h) makes no system
 * call; what it needs of the heap are longer arrays.
 */

static union {
	struct pinion_hostheap *heap;
	void *addr;
	size_t index;
} out;

#define LEN ((size_t)64 << 10)
#define GRANULE 64u

static struct pinion_hostheap *heap;
static struct pinion_hostmem mem; /* not the heap's yet; addr NULL: none */
static int sock[2] = {-1, -1};

/* The first allocation, and what is in it. */
static void *block;
#define CONTENT 0x5a

/* As much as a call needs. */

static void add_again(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_hostheap_create(GRANULE, PINION_HEAP_IN_PAGE, &heap), "a heap");
	scene_must(!pinion_hostmem_create("fault", LEN, 4096, &mem), "a memory");
	scene_must(!pinion_hostmem_populate(&mem, 0, LEN), "its pages");
}

static void add_one(void)
{
	size_t index;

	scene_must(!pinion_hostheap_add(heap, &mem, &index), "a segment");
	mem.addr = NULL;
}

static void allocate_block(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_hostheap_alloc(heap, GRANULE, &block), "a block");
	memset(block, CONTENT, GRANULE);
}

static void heap_again(struct scene *scene)
{
	add_again(scene);
	add_one();
	allocate_block(scene);
}

/* No extent is left: the next allocation needs a longer array. */
static void full_setup(struct scene *scene)
{
	void *addr;

	heap_again(scene);
	while (heap->heap.space.nr < heap->heap.space.room)
		scene_must(!pinion_hostheap_alloc(heap, GRANULE, &addr), "an extent");
}

static void socket_setup(struct scene *scene)
{
	heap_again(scene);
	scene_must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), "sockets");
}

/* One parcel for the call that fails, which may have received it, and one for the next. */
static void parcel_setup(struct scene *scene)
{
	socket_setup(scene);
	for (int i = 0; i < 2; i++)
		scene_must(!pinion_hostheap_export(heap, sock[0], false), "a parcel");
}

static void teardown(struct scene *scene)
{
	(void)scene;
	if (heap)
		scene_must(!pinion_hostheap_destroy(heap), "no heap");
	if (mem.addr)
		scene_must(!pinion_hostmem_destroy(&mem), "no memory");
	for (int i = 0; i < 2; i++)
		if (sock[i] >= 0)
			(void)close(sock[i]);
	heap = NULL;
	sock[0] = sock[1] = -1;
}

#define HEAP_DEED(text, before, call, good) \
	.name = (text), .setup = (before), .run = (call), .use = (good), .teardown = teardown, \
	.bare = true

#define HEAP_CALL(text, before, call, good) \
	HEAP_DEED(text, before, call, good), .out = &out, .out_len = sizeof(out)

/* Life. */

static int create(struct scene *scene)
{
	(void)scene;
	return pinion_hostheap_create(GRANULE, PINION_HEAP_IN_PAGE, &out.heap);
}

static void out_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_hostheap_destroy(out.heap), "no heap");
}

/* Gone whatever it says. */
static int destroy(struct scene *scene)
{
	struct pinion_hostheap *gone = heap;

	(void)scene;
	heap = NULL;
	return pinion_hostheap_destroy(gone);
}

static int add(struct scene *scene)
{
	(void)scene;
	return pinion_hostheap_add(heap, &mem, &out.index);
}

static const char *can_be_allocated(struct scene *scene)
{
	void *addr;

	(void)scene;
	mem.addr = NULL;
	return pinion_hostheap_alloc(heap, 4096, &addr) ? "it has no page" : NULL;
}

static const char *no_segment_came(struct scene *scene)
{
	(void)scene;
	return heap->heap.nr != 0 ? "the number of segments" : NULL;
}

static void add_undo(struct scene *scene)
{
	scene_must(!destroy(scene), "no heap");
	add_again(scene);
}

/* Addresses that are read a second time: the new ones take the place of the first. */

static uint64_t *page_before;

static int read_phys(struct scene *scene)
{
	return pinion_hostheap_read_phys(heap, 0, scene->fd);
}

static void phys_setup(struct scene *scene)
{
	heap_again(scene);
	scene_must(!pinion_hostmem_pagemap_open(&scene->fd), "a table of pages");
	scene_must(!read_phys(scene), "addresses");
	page_before = heap->page[0];
}

static void phys_teardown(struct scene *scene)
{
	(void)close(scene->fd);
	teardown(scene);
}

static const char *bus_is_told(struct scene *scene)
{
	struct pinion_heap_spot spot;

	(void)scene;
	page_before = heap->page[0];
	if (pinion_hostheap_locate(heap, block, GRANULE, &spot))
		return "its block is nowhere";
	return spot.bus == PINION_HEAP_NOWHERE ? "it has no address" : NULL;
}

static const char *addresses_stayed(struct scene *scene)
{
	(void)scene;
	return heap->page[0] != page_before || heap->segment[0].page != page_before
		       ? "the addresses"
		       : NULL;
}

/* Allocations. */

static int alloc(struct scene *scene)
{
	(void)scene;
	return pinion_hostheap_alloc(heap, GRANULE, &out.addr);
}

static const char *can_be_written(struct scene *scene)
{
	(void)scene;
	memset(out.addr, CONTENT, GRANULE);
	return NULL;
}

static void alloc_undo(struct scene *scene)
{
	(void)scene;
	scene_must(!pinion_hostheap_free(heap, out.addr), "no block");
}

/* What stands behind the block is another's: it has to move. */
static void *moving;

static int move(struct scene *scene)
{
	(void)scene;
	moving = block;
	return pinion_hostheap_realloc(heap, &moving, 2 * GRANULE, 0);
}

static bool has_content(const void *addr)
{
	const unsigned char *bytes = addr;

	for (unsigned i = 0; i < GRANULE; i++)
		if (bytes[i] != CONTENT)
			return false;
	return true;
}

static const char *has_moved(struct scene *scene)
{
	(void)scene;
	if (moving == block)
		return "it is where it was";
	return has_content(moving) ? NULL : "it has other bytes";
}

static const char *block_stayed(struct scene *scene)
{
	(void)scene;
	return moving != block || !has_content(block) ? "the block" : NULL;
}

static void move_undo(struct scene *scene)
{
	const void *was = block;

	scene_must(!pinion_hostheap_free(heap, moving), "no block");
	allocate_block(scene);
	scene_must(block == was, "the block where it was");
}

/* Between processes. */

static int export(struct scene *scene)
{
	(void)scene;
	return pinion_hostheap_export(heap, sock[0], false);
}

static int import(struct scene *scene)
{
	(void)scene;
	return pinion_hostheap_import(sock[1], LEN, &out.heap);
}

/* The same bytes, at the same offset. */
static const char *is_shared(struct scene *scene)
{
	uint64_t off = 0;
	void *addr;

	(void)scene;
	if (pinion_hostheap_offset(heap, block, &off) ||
	    pinion_hostheap_addr(out.heap, off, GRANULE, &addr))
		return "the block is not in it";
	return addr != block && has_content(addr) ? NULL : "the block is another";
}

static const char *can_be_imported(struct scene *scene)
{
	scene_must(!import(scene), "the heap at the other end");
	return is_shared(scene);
}

static const char *nothing_was_sent(struct scene *scene)
{
	char byte;

	(void)scene;
	return recv(sock[1], &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ? "the queue" : NULL;
}

/* A file that takes no seals is not a memfd. */
static const int no_seals[] = {-ENOTSUP, 0};

/* What the sender answers for: seals that cannot be seen, a table that ends early. Pages that
 * cannot be had. */
static const int no_heap[] = {-EBADMSG, -ENOMEM, 0};

const struct operation hostheap_operations[] = {
	{HEAP_CALL("hostheap create", NULL, create, NULL), .undo = out_undo},
	{HEAP_DEED("hostheap destroy", heap_again, destroy, NULL), .undo = heap_again,
	 .final = true},
	{HEAP_CALL("hostheap add", add_again, add, can_be_allocated), .undo = add_undo,
	 .kept = no_segment_came},
	{.name = "hostheap read_phys", .setup = phys_setup, .run = read_phys, .use = bus_is_told,
	 .teardown = phys_teardown, .bare = true, .phys = true, .kept = addresses_stayed},
	{HEAP_CALL("hostheap alloc", full_setup, alloc, can_be_written), .undo = alloc_undo},
	{HEAP_DEED("hostheap realloc", full_setup, move, has_moved), .undo = move_undo,
	 .kept = block_stayed},
	{HEAP_DEED("hostheap export", socket_setup, export, can_be_imported), .undo = out_undo,
	 .kept = nothing_was_sent, .may = no_seals},
	{HEAP_CALL("hostheap import", parcel_setup, import, is_shared), .undo = out_undo,
	 .may = no_heap},
	{0},
};
