/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostheap.h with pages of the base size: needs no reservation, runs anywhere. Another process,
 * with as little privilege as there is, imports; senders lie. hw_heap has hugepages.
 */

#include <pinion/hostheap.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#include "last_words.h"
#include "random_support.h"

#define PAGE ((size_t)4096)
#define PAGES 16 /* of a segment */
#define LEN (PAGES * PAGE)
#define MUCH UINT64_MAX

static struct pinion_hostmem memory(size_t pages)
{
	struct pinion_hostmem mem = {-1, NULL, 0, 0};

	assert_int_equal(pinion_hostmem_create("test", pages * PAGE, PAGE, &mem), 0);
	assert_int_equal(pinion_hostmem_populate(&mem, 0, mem.len), 0);
	return mem;
}

static void add(struct pinion_hostheap *heap, size_t pages)
{
	const struct pinion_hostmem mem = memory(pages);
	const size_t was = heap->heap.nr;
	size_t index = SIZE_MAX;

	assert_int_equal(pinion_hostheap_add(heap, &mem, &index), 0);
	assert_int_equal(index, was);
}

/* Two segments. */
static struct pinion_hostheap *two(enum pinion_heap_place place)
{
	struct pinion_hostheap *heap = NULL;

	assert_int_equal(pinion_hostheap_create(64, place, &heap), 0);
	add(heap, PAGES);
	add(heap, PAGES);
	return heap;
}

static void *take(struct pinion_hostheap *heap, size_t len)
{
	void *addr = NULL;

	assert_int_equal(pinion_hostheap_alloc(heap, len, &addr), 0);
	assert_non_null(addr);
	return addr;
}

static void give(struct pinion_hostheap *heap, const void *addr)
{
	assert_int_equal(pinion_hostheap_free(heap, addr), 0);
}

/* What is allocated. */

#define BLOCKS 200

struct block {
	unsigned char *at;
	size_t len;
	unsigned char fill;
};

static void fill(struct block *block, uint64_t *random)
{
	block->fill = (unsigned char)test_below(random, 256);
	memset(block->at, block->fill, block->len);
}

static void check_fill(const struct block *block, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert_int_equal(block->at[i], block->fill);
}

static size_t no_more(size_t len, size_t most)
{
	return len < most ? len : most;
}

static void step(struct pinion_hostheap *heap, struct block *block, uint64_t *random)
{
	const size_t align = (size_t)1 << test_below(random, 13), was = block->len;
	const size_t len = 1 + test_below(random, test_below(random, 8) ? 500 : PAGE);
	void *at = block->at;

	if (at == NULL) {
		if (pinion_hostheap_alloc_aligned(heap, len, align, &at) < 0)
			return;
		assert_int_equal((uintptr_t)at % align, 0);
	} else if (test_below(random, 3)) {
		check_fill(block, was);
		give(heap, at);
		block->at = NULL;
		return;
	} else if (pinion_hostheap_realloc(heap, &at, len, 0) < 0) {
		assert_ptr_equal(at, block->at);
		return;
	}
	block->at = at;
	if (was)
		check_fill(block, no_more(len, was));
	/* In one page, whatever it was before. */
	assert_int_equal((uintptr_t)at / PAGE, ((uintptr_t)at + (len - 1)) / PAGE);
	block->len = len;
	fill(block, random);
}

/* Were one in another, or one lost, a fill would not be whole, or the end not empty. */
static void each_allocation_has_its_bytes_for_itself(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_IN_PAGE);
	static struct block blocks[BLOCKS];
	uint64_t random = test_seed();

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct block *block = &blocks[test_below(&random, BLOCKS)];

		if (block->at == NULL)
			block->len = 0;
		step(heap, block, &random);
	}
	for (int i = 0; i < BLOCKS; i++) {
		if (blocks[i].at == NULL)
			continue;
		check_fill(&blocks[i], blocks[i].len);
		give(heap, blocks[i].at);
	}
	assert_int_equal(heap->heap.space.nr, 2);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void the_account_grows_with_the_allocations(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);
	void *addr[2 * LEN / 64], *more = NULL;
	const size_t nr = sizeof(addr) / sizeof(addr[0]);

	(void)state;
	for (size_t i = 0; i < nr; i++)
		addr[i] = take(heap, 1);
	assert_int_equal(pinion_hostheap_alloc(heap, 1, &more), -ENOSPC);
	for (size_t i = 0; i < nr; i += 2)
		give(heap, addr[i]);
	for (size_t i = 1; i < nr; i += 2)
		give(heap, addr[i]);
	assert_int_equal(heap->heap.space.nr, 2);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void nothing_of_the_account_is_in_the_memory(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);
	void *addr[10];

	(void)state;
	for (int i = 0; i < 10; i++)
		addr[i] = take(heap, 1000);
	/* A device that goes wild. */
	memset(heap->mem[0].addr, 0xff, LEN);
	memset(heap->mem[1].addr, 0xff, LEN);
	for (int i = 0; i < 10; i++)
		give(heap, addr[i]);
	assert_int_equal(heap->heap.space.nr, 2);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void a_wrong_or_second_free_is_einval(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);
	char *one = take(heap, 100), *next = take(heap, 100);
	int other = 0;

	(void)state;
	give(heap, next);
	assert_int_equal(pinion_hostheap_free(heap, next), -EINVAL);
	assert_int_equal(pinion_hostheap_free(heap, one + 64), -EINVAL);
	assert_int_equal(pinion_hostheap_free(heap, one + 1), -EINVAL);
	assert_int_equal(pinion_hostheap_free(heap, one - 1), -EINVAL);
	assert_int_equal(pinion_hostheap_free(heap, (char *)heap->mem[0].addr + LEN), -EINVAL);
	assert_int_equal(pinion_hostheap_free(heap, &other), -EINVAL);
	assert_int_equal(pinion_hostheap_free(heap, NULL), -EINVAL);
	give(heap, one);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void realloc_stays_or_moves_with_its_bytes(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_IN_PAGE);
	void *addr = take(heap, 100), *was = addr, *next;
	int other = 0;

	(void)state;
	strcpy(addr, "these");
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, PAGE, 0), 0);
	assert_ptr_equal(addr, was);
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 64, 0), 0);
	assert_ptr_equal(addr, was);
	next = take(heap, 64);
	assert_ptr_equal(next, (char *)was + 64);
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 65, 1024), 0);
	assert_ptr_equal(addr, (char *)was + 1024);
	assert_string_equal(addr, "these");
	/* The old place is free. */
	assert_ptr_equal(take(heap, 64), was);
	was = addr;
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, PAGE + 1, 0), -ENOSPC);
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 0, 0), -EINVAL);
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 64, 3), -EINVAL);
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 64, 2048), -EINVAL);
	assert_ptr_equal(addr, was);
	assert_string_equal(addr, "these");
	addr = (char *)was + 64;
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 64, 0), -EINVAL);
	addr = &other;
	assert_int_equal(pinion_hostheap_realloc(heap, &addr, 64, 0), -EINVAL);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void look_ups_agree_in_both_directions_and_end_at_the_bounds(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);
	struct pinion_heap_spot spot = {0};
	char *end = (char *)heap->mem[1].addr + LEN;
	uint64_t off = 0;
	void *addr;

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		for (size_t in = 0; in < LEN; in += 777) {
			char *at = (char *)heap->mem[s].addr + in;

			assert_int_equal(pinion_hostheap_offset(heap, at, &off), 0);
			assert_int_equal(pinion_hostheap_addr(heap, off, LEN - in, &addr), 0);
			assert_ptr_equal(addr, at);
			assert_int_equal(pinion_hostheap_addr(heap, off, LEN - in + 1, &addr),
					 -ERANGE);
			assert_int_equal(pinion_hostheap_locate(heap, at, 1, &spot), 0);
			assert_true(spot.segment == s && spot.off == in);
		}
	}
	assert_int_equal(pinion_hostheap_locate(heap, end - 1, 2, &spot), -ERANGE);
	assert_int_equal(pinion_hostheap_locate(heap, end - 1, 0, &spot), -EINVAL);
	assert_int_equal(pinion_hostheap_offset(heap, &spot, &off), -ERANGE);
	assert_int_equal(pinion_hostheap_offset(heap, NULL, &off), -ERANGE);
	assert_int_equal(pinion_hostheap_addr(heap, 0, 1, &addr), -ERANGE);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void what_cannot_be_made_or_added_is_said(void **state)
{
	struct pinion_hostheap *heap = NULL;
	struct pinion_hostmem mem = memory(1);
	size_t index = 7;
	void *addr = NULL;

	(void)state;
	assert_int_equal(pinion_hostheap_create(0, PINION_HEAP_ANYWHERE, &heap), -EINVAL);
	assert_int_equal(pinion_hostheap_create(65, PINION_HEAP_ANYWHERE, &heap), -EINVAL);
	assert_int_equal(pinion_hostheap_create(64, (enum pinion_heap_place)3, &heap), -EINVAL);
	assert_null(heap);
	/* Pages that are smaller than the granule. */
	assert_int_equal(pinion_hostheap_create(2 * PAGE, PINION_HEAP_ANYWHERE, &heap), 0);
	assert_int_equal(pinion_hostheap_add(heap, &mem, &index), -EINVAL);
	assert_int_equal(pinion_hostheap_alloc(heap, 1, &addr), -ENOSPC);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
	assert_int_equal(pinion_hostheap_create(1, PINION_HEAP_ANYWHERE, &heap), 0);
	for (int i = 0; i < PINION_HOSTHEAP_SEGMENTS; i++)
		add(heap, 1);
	assert_int_equal(pinion_hostheap_add(heap, &mem, &index), -ENOBUFS);
	assert_int_equal(index, 7);
	assert_int_equal(pinion_hostheap_alloc_aligned(heap, 1, 3, &addr), -EINVAL);
	assert_int_equal(pinion_hostheap_alloc_aligned(heap, 1, 2 * PAGE, &addr), -ENOSPC);
	assert_int_equal(pinion_hostheap_alloc(heap, 0, &addr), -EINVAL);
	assert_int_equal(pinion_hostheap_read_phys(heap, 64, -1), -ERANGE);
	assert_null(addr);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

static int become_nobody(void)
{
	if (geteuid() == 0 && (setgid(SUPPORT_NOBODY) < 0 || setuid(SUPPORT_NOBODY) < 0))
		return -1;
	/* A change of uid makes /proc/self root's, until the process is dumpable again. */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* A child starts without pages, even of memory it shares. */
static int read_phys_as_nobody(void *arg)
{
	struct pinion_hostheap *heap = arg;
	struct pinion_heap_spot spot = {0};
	int pagemap = -1, err;

	if (pinion_hostmem_populate(&heap->mem[0], 0, LEN) < 0 || become_nobody() < 0)
		return 99;
	err = pinion_hostmem_pagemap_open(&pagemap);
	if (err < 0)
		return -err;
	err = pinion_hostheap_read_phys(heap, 0, pagemap);
	if (pinion_hostheap_locate(heap, heap->mem[0].addr, 1, &spot) < 0 ||
	    spot.bus != PINION_HEAP_NOWHERE)
		return 98;
	return -err;
}

static void frame_0_is_eperm_and_leaves_no_address(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);

	(void)state;
	assert_int_equal(support_child(read_phys_as_nobody, heap), EPERM);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* Export and import. */

static void sockets(int pair[2], int type)
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_both(const int pair[2])
{
	close(pair[0]);
	close(pair[1]);
}

/* Look it up, read what the parent wrote, and answer; 0, or which step failed. */
static int answer(struct pinion_hostheap *heap, int sock)
{
	struct pinion_heap_spot spot = {0};
	uint64_t off[2];
	void *addr, *none = NULL;

	if (read(sock, off, sizeof(off)) != (ssize_t)sizeof(off))
		return 10;
	for (int i = 0; i < 2; i++) {
		if (pinion_hostheap_addr(heap, off[i], 100, &addr) < 0 || strcmp(addr, "ask"))
			return 11 + i;
		if (pinion_hostheap_locate(heap, addr, 100, &spot) < 0 || spot.bus != off[i] - PAGE)
			return 13 + i;
		strcpy(addr, "answer");
	}
	if (pinion_hostheap_alloc(heap, 1, &none) != -EPERM ||
	    pinion_hostheap_free(heap, addr) != -EINVAL ||
	    pinion_hostheap_realloc(heap, &addr, 1, 0) != -EINVAL ||
	    pinion_hostheap_add(heap, &heap->mem[0], NULL) != -EPERM)
		return 15;
	return 0;
}

static int import_as_nobody(void *arg)
{
	const int *pair = arg;
	struct pinion_hostheap *heap = NULL;
	int err;

	close(pair[0]);
	if (become_nobody() < 0)
		return 1;
	err = pinion_hostheap_import(pair[1], 2 * LEN, &heap);
	if (err < 0)
		return 2;
	err = answer(heap, pair[1]);
	return pinion_hostheap_destroy(heap) < 0 ? 3 : err;
}

static void a_process_without_privilege_reads_and_writes_at_the_same_offsets(void **state)
{
	const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct pinion_hostheap *heap = two(PINION_HEAP_IN_PAGE);
		char *addr[2] = {take(heap, 100), NULL};
		uint64_t off[2];
		int pair[2];

		addr[1] = heap->mem[1].addr;
		/* Bus addresses from which offsets can be told. */
		for (size_t s = 0; s < 2; s++)
			assert_int_equal(pinion_heap_set_linear(&heap->heap, s,
								heap->segment[s].start - PAGE), 0);
		sockets(pair, types[i]);
		assert_int_equal(pinion_hostheap_export(heap, pair[0], true), 0);
		for (int a = 0; a < 2; a++) {
			strcpy(addr[a], "ask");
			assert_int_equal(pinion_hostheap_offset(heap, addr[a], &off[a]), 0);
		}
		assert_int_equal(write(pair[0], off, sizeof(off)), sizeof(off));
		assert_int_equal(support_child(import_as_nobody, pair), 0);
		assert_string_equal(addr[0], "answer");
		assert_string_equal(addr[1], "answer");
		close_both(pair);
		assert_int_equal(pinion_hostheap_destroy(heap), 0);
	}
}

static int send_parcel(int socket, void *fd)
{
	return pinion_hostheap_send(socket, PAGE, fd, 1);
}

static int recv_parcel(int socket, void *ignored)
{
	struct pinion_hostheap_parcel parcel;
	int fd[PINION_HOSTHEAP_FDS], err;
	size_t nr = 0;

	(void)ignored;
	err = pinion_hostheap_recv(socket, &parcel, fd, &nr);
	pinion_hostheap_drop(fd, nr);
	return err;
}

static void who_exports_and_closes_at_once_is_heard(void **state)
{
	struct pinion_hostmem mem = memory(1);
	struct last_words words = {.say = send_parcel, .hear = recv_parcel, .context = &mem.fd};

	(void)state;
	last_words_heard_behind_an_end(&words);
	last_words_all_heard(&words);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
}

/* Export and import in one process. */
static struct pinion_hostheap *twin_of(const struct pinion_hostheap *heap, bool with_bus)
{
	struct pinion_hostheap *twin = NULL;
	int pair[2];

	sockets(pair, SOCK_SEQPACKET);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], with_bus), 0);
	assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &twin), 0);
	close_both(pair);
	return twin;
}

static void bus_addresses_are_sent_only_if_asked(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);
	uint64_t page[PAGES];

	(void)state;
	for (size_t i = 0; i < PAGES; i++)
		page[i] = (100 - i) * PAGE;
	assert_int_equal(pinion_heap_set_pages(&heap->heap, 0, page), 0);
	for (int with_bus = 0; with_bus < 2; with_bus++) {
		struct pinion_hostheap *twin = twin_of(heap, with_bus);
		struct pinion_heap_spot spot = {0};
		uint64_t off = 0;

		for (size_t i = 0; i < PAGES; i++) {
			const char *at = (char *)twin->mem[0].addr + i * PAGE + 5;

			assert_int_equal(pinion_hostheap_locate(twin, at, 1, &spot), 0);
			assert_true(spot.bus == (with_bus ? page[i] + 5 : PINION_HEAP_NOWHERE));
		}
		assert_int_equal(pinion_heap_from_bus(&twin->heap, page[3] + 5, &off),
				 with_bus ? 0 : -ENOENT);
		assert_int_equal(pinion_hostheap_destroy(twin), 0);
	}
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void the_memory_outlives_its_exporter_and_cannot_be_resized(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE), *twin = twin_of(heap, false);
	struct pinion_hostheap *third = twin_of(twin, false);
	char *addr = take(heap, 100);
	uint64_t off = 0;
	void *there = NULL;

	(void)state;
	strcpy(addr, "left behind");
	assert_int_equal(pinion_hostheap_offset(heap, addr, &off), 0);
	assert_int_equal(ftruncate(heap->mem[0].fd, 0), -1);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
	assert_int_equal(pinion_hostheap_destroy(twin), 0);
	assert_int_equal(pinion_hostheap_addr(third, off, 100, &there), 0);
	assert_string_equal(there, "left behind");
	assert_int_equal(pinion_hostheap_destroy(third), 0);
}

/* The exporter touched none of it; the importer must not be the one that finds there are none. */
static void an_importer_has_all_pages_before_it_touches_one(void **state)
{
	struct pinion_hostmem mem = {-1, NULL, 0, 0};
	struct pinion_hostheap *heap = NULL, *twin;
	int node[PAGES];
	size_t index;

	(void)state;
	assert_int_equal(pinion_hostmem_create("test", LEN, PAGE, &mem), 0);
	assert_int_equal(pinion_hostheap_create(64, PINION_HEAP_ANYWHERE, &heap), 0);
	assert_int_equal(pinion_hostheap_add(heap, &mem, &index), 0);
	assert_int_equal(pinion_hostmem_node(mem.addr, PAGE, node, PAGES), -EFAULT);
	twin = twin_of(heap, false);
	assert_int_equal(pinion_hostmem_node(twin->mem[0].addr, PAGE, node, PAGES), 0);
	assert_int_equal(pinion_hostheap_destroy(twin), 0);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void as_many_segments_as_there_can_be_are_sent(void **state)
{
	struct pinion_hostheap *heap = NULL, *twin;

	(void)state;
	assert_int_equal(pinion_hostheap_create(64, PINION_HEAP_ANYWHERE, &heap), 0);
	for (int i = 0; i < PINION_HOSTHEAP_SEGMENTS; i++)
		add(heap, 1);
	twin = twin_of(heap, true);
	assert_int_equal(twin->heap.nr, PINION_HOSTHEAP_SEGMENTS);
	assert_int_equal(pinion_hostheap_destroy(twin), 0);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void what_takes_no_seals_is_not_exported(void **state)
{
	const int fd = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE);
	struct pinion_hostmem mem = {-1, NULL, 0, 0};
	size_t index;
	int pair[2];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, LEN), 0);
	assert_int_equal(pinion_hostmem_attach(fd, LEN, PAGE, &mem), 0);
	assert_int_equal(pinion_hostheap_add(heap, &mem, &index), 0);
	sockets(pair, SOCK_SEQPACKET);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], false), -ENOTSUP);
	close_both(pair);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

static void a_socket_without_peer_room_or_message_is_told_apart(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE), *twin = NULL;
	const int little = 4096;
	int pair[2], err;

	(void)state;
	sockets(pair, SOCK_SEQPACKET | SOCK_NONBLOCK);
	/* Little room: descriptors on their way are counted for the user, other tests' too. */
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
	assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &twin), -EAGAIN);
	for (int i = 0; (err = pinion_hostheap_export(heap, pair[0], false)) == 0; i++)
		assert_true(i < 1000);
	assert_int_equal(err, -EAGAIN);
	/* One that went with messages unread, and one that had none. */
	close(pair[1]);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], false), -ECONNRESET);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], false), -EPIPE);
	close(pair[0]);
	sockets(pair, SOCK_SEQPACKET);
	close(pair[0]);
	assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &twin), -ECONNRESET);
	close(pair[1]);
	assert_int_equal(pinion_hostheap_export(heap, -1, false), -EBADF);
	assert_int_equal(pinion_hostheap_import(-1, MUCH, &twin), -EBADF);
	assert_null(twin);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* Not waited behind for another one. */
static void an_empty_message_is_econnreset(void **state)
{
	const int types[] = {SOCK_SEQPACKET, SOCK_DGRAM};
	struct pinion_hostheap *twin = NULL;
	int pair[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		sockets(pair, types[i]);
		assert_int_equal(send(pair[0], "", 0, 0), 0);
		assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &twin), -ECONNRESET);
		assert_null(twin);
		close_both(pair);
	}
}

static void more_than_the_importer_allows_is_efbig(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE), *twin = NULL;
	int pair[2];

	(void)state;
	sockets(pair, SOCK_SEQPACKET);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], false), 0);
	assert_int_equal(pinion_hostheap_import(pair[1], 2 * LEN - 1, &twin), -EFBIG);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], false), 0);
	assert_int_equal(pinion_hostheap_import(pair[1], 2 * LEN, &twin), 0);
	assert_int_equal(pinion_hostheap_destroy(twin), 0);
	/* Sealed when all are in: too late for another. */
	assert_int_equal(pinion_hostmem_seal(&heap->mem[1], F_SEAL_FUTURE_WRITE), 0);
	assert_int_equal(pinion_hostheap_export(heap, pair[0], false), 0);
	assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &twin), -EPERM);
	close_both(pair);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* Who sends what. */

/* A lie: a table and descriptors as they should be, and what of them is changed. */
struct lie {
	uint64_t magic, table_len, nr_fds; /* said */
	uint64_t table[6];		   /* head and an entry */
	int fd[PINION_HOSTHEAP_FDS + 1];   /* sent */
	size_t nr, len;			   /* descriptors, bytes of the parcel */
};

static int sealed(size_t pages)
{
	struct pinion_hostmem mem = memory(pages);
	const int fd = dup(mem.fd);

	assert_int_equal(pinion_hostmem_seal(&mem, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	return fd;
}

static struct lie truth(void)
{
	struct lie lie = {
		.magic = PINION_HEAP_MAGIC,
		.table_len = sizeof(lie.table),
		.nr_fds = 2,
		.table = {PINION_HEAP_MAGIC, 1, LEN, PAGE, PINION_HEAP_NOWHERE, 0},
		.nr = 2,
		.len = sizeof(struct pinion_hostheap_parcel),
	};

	lie.fd[0] = memfd_create("table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	lie.fd[1] = sealed(PAGES);
	return lie;
}

static void send_lie(int sock, const struct lie *lie)
{
	char control[CMSG_SPACE(sizeof(lie->fd))] = {0};
	uint64_t parcel[] = {lie->magic, lie->table_len, lie->nr_fds, 0};
	struct iovec iov = {parcel, lie->len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (lie->nr > 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(lie->nr * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(lie->nr * sizeof(int));
		memcpy(CMSG_DATA(cmsg), lie->fd, lie->nr * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &msg, 0), lie->len);
}

/* What import says to it; the lie's own two descriptors are closed. */
static int import_of(struct lie *lie)
{
	struct pinion_hostheap *heap = NULL;
	int pair[2], err;

	if (lie->fd[0] >= 0)
		(void)!pwrite(lie->fd[0], lie->table, sizeof(lie->table), 0);
	sockets(pair, SOCK_SEQPACKET);
	send_lie(pair[0], lie);
	err = pinion_hostheap_import(pair[1], MUCH, &heap);
	close_both(pair);
	close(lie->fd[0]);
	close(lie->fd[1]);
	assert_true((heap == NULL) == (err < 0));
	if (heap != NULL)
		assert_int_equal(pinion_hostheap_destroy(heap), 0);
	return err;
}

/* Set one field of a truth, and see what comes of it. */
#define expect(field, value, want)                                                                 \
	do {                                                                                       \
		struct lie lie_ = truth();                                                         \
                                                                                                   \
		lie_.field = (value);                                                              \
		assert_int_equal(import_of(&lie_), want);                                          \
	} while (0)

static void a_parcel_that_lies_is_ebadmsg(void **state)
{
	(void)state;
	expect(nr, 2, 0);
	expect(magic, PINION_HEAP_MAGIC + 1, -EBADMSG);
	expect(table_len, 0, -EBADMSG);
	expect(table_len, sizeof(uint64_t[6]) - 8, -EBADMSG);
	expect(table_len, sizeof(uint64_t[6]) + 8, -EBADMSG);
	expect(table_len, PINION_HOSTHEAP_TABLE_MAX + 1, -EBADMSG);
	expect(table_len, UINT64_MAX, -EBADMSG);
	expect(nr_fds, 0, -EBADMSG);
	expect(nr_fds, 3, -EBADMSG);
	expect(nr_fds, UINT64_MAX, -EBADMSG);
	expect(nr, 0, -EBADMSG);
	expect(nr, 1, -EBADMSG);
	expect(len, 1, -EBADMSG);
	expect(len, sizeof(uint64_t[4]), -EBADMSG);
}

/* And nobody waits for the other half. */
static void half_a_parcel_on_a_stream_is_ebadmsg(void **state)
{
	struct pinion_hostheap *heap = NULL;
	struct lie lie = truth();
	int pair[2];

	(void)state;
	sockets(pair, SOCK_STREAM);
	lie.len = 9;
	send_lie(pair[0], &lie);
	assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &heap), -EBADMSG);
	assert_null(heap);
	close(lie.fd[0]);
	close(lie.fd[1]);
	close_both(pair);
}

static void a_table_that_does_not_fit_its_files_is_ebadmsg(void **state)
{
	(void)state;
	expect(table[0], 0, -EBADMSG);
	expect(table[1], 0, -EBADMSG);
	expect(table[1], 2, -EBADMSG);
	expect(table[1], PINION_HOSTHEAP_SEGMENTS + 1, -EBADMSG);
	expect(table[2], 0, -EBADMSG);
	expect(table[2], LEN - PAGE, -EBADMSG);
	expect(table[2], LEN + PAGE, -EBADMSG);
	expect(table[2], UINT64_C(1) << 62, -EBADMSG);
	expect(table[3], 1, -EBADMSG);
	expect(table[3], 2 * PAGE, -EBADMSG);
	expect(table[4], 1, -EBADMSG);
	expect(table[5], PAGES, -EBADMSG);
}

/* What import says to a table of so many segments, each as that of a truth. */
static int import_of_segments(size_t nr)
{
	struct lie lie = truth();
	const size_t entry = 4 * sizeof(*lie.table);

	lie.table[1] = nr;
	lie.table_len = 2 * sizeof(*lie.table) + nr * entry;
	for (size_t i = 1; i < nr; i++)
		assert_int_equal(pwrite(lie.fd[0], &lie.table[2], entry,
					(off_t)(sizeof(lie.table) + (i - 1) * entry)), entry);
	return import_of(&lie);
}

static void a_table_of_too_many_segments_is_enobufs(void **state)
{
	(void)state;
	assert_int_equal(import_of_segments(1), 0);
	/* They could be, but their files are not there. */
	assert_int_equal(import_of_segments(PINION_HOSTHEAP_SEGMENTS), -EBADMSG);
	assert_int_equal(import_of_segments(PINION_HOSTHEAP_SEGMENTS + 1), -ENOBUFS);
}

/* Take the place of one of the two descriptors. */
static int import_with(int index, int fd)
{
	struct lie lie = truth();

	assert_true(fd >= 0);
	close(lie.fd[index]);
	lie.fd[index] = fd;
	return import_of(&lie);
}

static int a_pipe(void)
{
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	close(pipes[1]);
	return pipes[0];
}

static int reopened(int fd, int flags)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	close(fd);
	return again;
}

static int read_only(size_t pages)
{
	return reopened(sealed(pages), O_RDONLY);
}

static int unsealed(size_t pages)
{
	struct pinion_hostmem mem = memory(pages);
	const int fd = dup(mem.fd);

	assert_int_equal(pinion_hostmem_destroy(&mem), 0);
	return fd;
}

static void a_file_that_is_none_of_ours_is_ebadmsg(void **state)
{
	(void)state;
	assert_int_equal(import_with(1, sealed(PAGES)), 0);
	assert_int_equal(import_with(1, sealed(PAGES - 1)), -EBADMSG);
	/* It could be cut while it is mapped. */
	assert_int_equal(import_with(1, unsealed(PAGES)), -EBADMSG);
	assert_int_equal(import_with(1, read_only(PAGES)), -EBADMSG);
	assert_int_equal(import_with(1, a_pipe()), -EBADMSG);
	assert_int_equal(import_with(1, open("/proc/self/maps", O_RDONLY | O_CLOEXEC)), -EBADMSG);
	/* It cannot be read: no fault of the importer's descriptors, though read(2) says EBADF. */
	assert_int_equal(import_with(0, reopened(sealed(PAGES), O_WRONLY)), -EBADMSG);
	/* A read from these would not end, or not be of a file. */
	assert_int_equal(import_with(0, a_pipe()), -EBADMSG);
	assert_int_equal(import_with(0, open("/dev/zero", O_RDONLY | O_CLOEXEC)), -EBADMSG);
	assert_int_equal(import_with(0, open("/", O_RDONLY | O_CLOEXEC)), -EBADMSG);
}

/* As many as the message has room for, and one more, which padding would make room for. */
static void more_descriptors_than_there_can_be_are_closed(void **state)
{
	(void)state;
	for (size_t nr = 3; nr <= PINION_HOSTHEAP_FDS + 1; nr++) {
		struct lie lie = truth();

		for (size_t i = 2; i < nr; i++)
			lie.fd[i] = lie.fd[1];
		lie.nr = nr;
		lie.nr_fds = nr;
		assert_int_equal(import_of(&lie), -EBADMSG);
	}
}

static void what_the_sender_changes_afterwards_is_no_matter(void **state)
{
	struct pinion_hostheap *heap = NULL;
	struct pinion_heap_spot spot = {0};
	struct lie lie = truth();
	int pair[2];

	(void)state;
	lie.table[4] = 7 * PAGE;
	assert_int_equal(pwrite(lie.fd[0], lie.table, sizeof(lie.table), 0), sizeof(lie.table));
	sockets(pair, SOCK_SEQPACKET);
	send_lie(pair[0], &lie);
	assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &heap), 0);
	assert_int_equal(ftruncate(lie.fd[0], 0), 0);
	close(lie.fd[0]);
	close(lie.fd[1]);
	close_both(pair);
	assert_int_equal(pinion_hostheap_locate(heap, heap->mem[0].addr, LEN, &spot), 0);
	assert_true(spot.bus == 7 * PAGE && spot.run == LEN);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

/* With room for none, one, two descriptors: nothing leaks, whichever is the one that fails. */
static void without_descriptors_nothing_is_held(void **state)
{
	struct pinion_hostheap *heap = two(PINION_HEAP_ANYWHERE), *twin = NULL;
	struct rlimit was, less;
	int pair[2], top;

	(void)state;
	sockets(pair, SOCK_SEQPACKET);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	top = dup(pair[0]);
	close(top);
	for (int more = 0; more <= 3; more++) {
		less = was;
		less.rlim_cur = (rlim_t)(top + more);
		assert_int_equal(pinion_hostheap_export(heap, pair[0], false), 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
		assert_int_equal(pinion_hostheap_import(pair[1], MUCH, &twin),
				 more < 3 ? -EBADMSG : 0);
		if (more == 0)
			assert_int_equal(pinion_hostheap_export(heap, pair[0], false), -EMFILE);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	}
	close_both(pair);
	assert_int_equal(pinion_hostheap_destroy(twin), 0);
	assert_int_equal(pinion_hostheap_destroy(heap), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(each_allocation_has_its_bytes_for_itself),
		support_test(the_account_grows_with_the_allocations),
		support_test(nothing_of_the_account_is_in_the_memory),
		support_test(a_wrong_or_second_free_is_einval),
		support_test(realloc_stays_or_moves_with_its_bytes),
		support_test(look_ups_agree_in_both_directions_and_end_at_the_bounds),
		support_test(what_cannot_be_made_or_added_is_said),
		support_test(frame_0_is_eperm_and_leaves_no_address),
		support_test(a_process_without_privilege_reads_and_writes_at_the_same_offsets),
		support_test(who_exports_and_closes_at_once_is_heard),
		support_test(bus_addresses_are_sent_only_if_asked),
		support_test(the_memory_outlives_its_exporter_and_cannot_be_resized),
		support_test(an_importer_has_all_pages_before_it_touches_one),
		support_test(as_many_segments_as_there_can_be_are_sent),
		support_test(what_takes_no_seals_is_not_exported),
		support_test(a_socket_without_peer_room_or_message_is_told_apart),
		support_test(an_empty_message_is_econnreset),
		support_test(more_than_the_importer_allows_is_efbig),
		support_test(a_parcel_that_lies_is_ebadmsg),
		support_test(half_a_parcel_on_a_stream_is_ebadmsg),
		support_test(a_table_that_does_not_fit_its_files_is_ebadmsg),
		support_test(a_table_of_too_many_segments_is_enobufs),
		support_test(a_file_that_is_none_of_ours_is_ebadmsg),
		support_test(more_descriptors_than_there_can_be_are_closed),
		support_test(what_the_sender_changes_afterwards_is_no_matter),
		support_test(without_descriptors_nothing_is_held),
	};

	/* The tests count in pages of 4 KiB. */
	if (pinion_hostmem_base_page() != PAGE)
		return support_skip("base pages are not 4 KiB");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
