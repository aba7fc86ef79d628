/* SPDX-License-Identifier: BSD-3-Clause */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <numa.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"
#include "place.h"

#ifndef MAP_FIXED_NOREPLACE /* Linux 4.17; older libc lacks the name */
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* 1 GiB, the largest page there is: more in one piece no device asks for. */
#define BUFFER_MAX ((size_t)1 << 30)

/* Another thread may map into a gap just found; so often in a row means something else. */
#define MAP_TRIES 64

static bool power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

static int check_sizes(const struct pinion_segment_config *config, uint32_t index)
{
	if (!power_of_two(config->page_size) || config->page_size < 4096)
		return pinion_fail(-EINVAL, "segment %u: a page size of %zu bytes is not a power "
				   "of two from 4096 up", index, config->page_size);
	if (!power_of_two(config->buffer_size) || config->buffer_size < 64 ||
	    config->buffer_size > BUFFER_MAX)
		return pinion_fail(-EINVAL, "segment %u: a buffer size of %zu bytes is not a power "
				   "of two from 64 to 2^30", index, config->buffer_size);
	if (!config->len || config->len % config->page_size)
		return pinion_fail(-EINVAL, "segment %u: a length of %zu bytes is not a multiple "
				   "of the page size, %zu", index, config->len, config->page_size);
	if (config->buffer_size > config->len)
		return pinion_fail(-EINVAL, "segment %u: a buffer size of %zu bytes is more than "
				   "its length, %zu", index, config->buffer_size, config->len);
	if (config->len % config->buffer_size)
		return pinion_fail(-EINVAL, "segment %u: a length of %zu bytes is not a multiple "
				   "of the buffer size, %zu", index, config->len,
				   config->buffer_size);
	/* So len is at most 2^58, and no sum or offset below overflows. */
	if (config->len / config->buffer_size > PINION_ID_MAX + UINT64_C(1))
		return pinion_fail(-EINVAL, "segment %u: more than 2^%d buffers", index,
				   PINION_ID_BITS);
	return 0;
}

int segment_config_check(const struct pinion_segment_config *config, uint32_t index)
{
	int err = check_sizes(config, index);

	if (err || config->node == PINION_NODE_ANY)
		return err;
	if (numa_available() < 0 || config->node < 0 || config->node > numa_max_node() ||
	    !numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)config->node))
		return pinion_fail(-ENODEV, "segment %u: this machine has no NUMA node %d with "
				   "memory, or this process may not use it (see: numactl "
				   "--hardware, and Mems_allowed_list in /proc/self/status)", index,
				   config->node);
	return 0;
}

/* An address that is a multiple of @align, with nothing in the @len bytes from there; by the time
 * it is used another thread may have mapped something there. */
static int find_gap(size_t len, size_t align, void **at)
{
	size_t both;
	void *gap;

	if (__builtin_add_overflow(len, align, &both))
		return -ENOMEM;
	gap = mmap(NULL, both, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (gap == MAP_FAILED)
		return pinion_hostmem_errno();
	(void)munmap(gap, both);
	*at = (void *)(((uintptr_t)gap + align - 1) & ~(uintptr_t)(align - 1));
	return 0;
}

/*
 * The gap is given back before the file goes there, and NOREPLACE says if another thread was
 * faster. Mapping over a kept gap would not: where MAP_FIXED fails, the gap is already gone, and
 * what another thread has since put there would be unmapped with the rest.
 */
static int map_aligned(int fd, size_t len, size_t align, void **addr)
{
	for (int i = 0; i < MAP_TRIES; i++) {
		void *at, *got;
		int err = find_gap(len, align, &at);

		if (err)
			return err;
		got = mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
			   0);
		if (got == at) {
			*addr = at;
			return 0;
		}
		if (errno != EEXIST)
			return pinion_hostmem_errno();
	}
	return -EEXIST;
}

int segment_map(int fd, size_t len, size_t page_size, size_t buffer_size,
		struct pinion_hostmem *memory)
{
	void *addr = NULL;
	int err;

	/* The kernel aligns to pages by itself; a smaller buffer then never straddles one. */
	if (buffer_size <= page_size)
		return pinion_hostmem_attach(fd, len, page_size, memory);
	if (!pinion_hostmem_size_ok(len, page_size) || !power_of_two(buffer_size) ||
	    len % buffer_size)
		return -EINVAL;
	err = pinion_hostmem_check(fd, len, page_size);
	if (!err)
		err = map_aligned(fd, len, buffer_size, &addr);
	if (err)
		return err;
	*memory = (struct pinion_hostmem){fd, addr, len, page_size};
	return 0;
}

static int make_memfd(const struct segment_order *order, const char *name, int *fd)
{
	const struct pinion_segment_config *config = order->config;
	int err, got = pinion_hostmem_memfd(name, config->page_size);

	err = got < 0 ? got : pinion_hostmem_shape(got, config->len, config->page_size);
	if (!err) {
		*fd = got;
		return 0;
	}
	if (got >= 0)
		(void)close(got);
	if (err == -ENODEV)
		return pinion_fail(err, "segment %u: this kernel has no hugepages of %zu KiB (see: "
				   "ls /sys/kernel/mm/hugepages)", order->index,
				   config->page_size / 1024);
	return pinion_fail(err, "segment %u: cannot make a file of %zu bytes in pages of %zu: %s",
			   order->index, config->len, config->page_size, strerror(-err));
}

static int make_named(const struct segment_order *order, const struct segment_options *options,
		      int *fd)
{
	const struct pinion_segment_config *config = order->config;
	char what[NAMED_WHAT_MAX];

	if (config->page_size != options->named->page_size)
		return pinion_fail(-EINVAL, "segment %u: pages of %zu KiB are on another hugetlbfs "
				   "mount than %s, which has pages of %zu KiB: take one made by "
				   "mount -t hugetlbfs -o pagesize=%zuK", order->index,
				   config->page_size / 1024, options->named->path,
				   options->named->page_size / 1024, config->page_size / 1024);
	named_segment(order->index, what);
	return named_create(options->named, what, config->len, options->mode, fd);
}

/* Works on one that is half made. */
static void unmake(const struct segment_order *order, const struct segment_options *options)
{
	char what[NAMED_WHAT_MAX];

	if (order->memory->fd < 0)
		return;
	(void)pinion_hostmem_destroy(order->memory);
	named_segment(order->index, what);
	if (options->named)
		named_drop(options->named, what);
}

/* A file of its own, mapped; no page of it is there yet, but the kernel has promised them all. */
static int make(const struct segment_order *order, const struct segment_options *options,
		bool *too_few)
{
	const struct pinion_segment_config *config = order->config;
	struct pinion_hostmem *memory = order->memory;
	int err = options->named ? make_named(order, options, &memory->fd)
				 : make_memfd(order, options->name, &memory->fd);

	if (err)
		return err;
	err = segment_map(memory->fd, config->len, config->page_size, config->buffer_size, memory);
	if (!err)
		return place_bind(order);
	*too_few = err == -ENOMEM;
	return pinion_fail(err, "segment %u: cannot map %zu bytes in pages of %zu: %s",
			   order->index, config->len, config->page_size, strerror(-err));
}

static int populate_all(const struct segment_order *order, uint32_t nr,
			const struct segment_options *options, uint32_t *failed, bool *too_few)
{
	struct populate_job job[PINION_SEGMENT_MAX] = {0};
	int err;

	for (uint32_t i = 0; i < nr; i++)
		job[i] = (struct populate_job){order[i].memory, order[i].config->node};
	err = populate_jobs(job, nr, &options->progress, failed);
	*too_few = err == -ENOMEM && *failed < nr;
	if (!err)
		return 0;
	if (*failed < nr)
		return pinion_fail(err, "segment %u: cannot populate it: %s", order[*failed].index,
				   strerror(-err));
	return pinion_fail(err, "cannot start a thread that populates segments: %s (see the limits "
			   "of the user and of the cgroup, pids.max)", strerror(-err));
}

/* Before anyone else can reach it: no truncation, no further seals. hugetlbfs files take none. */
static int seal(const struct segment_order *order, const struct segment_options *options)
{
	int err = 0;

	if (!options->named)
		err = pinion_hostmem_seal(order->memory,
					  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (err)
		return pinion_fail(err, "segment %u: cannot seal: %s", order->index,
				   strerror(-err));
	return 0;
}

int segments_create(struct segment_order *order, uint32_t nr,
		    const struct segment_options *options)
{
	bool too_few = false;
	uint32_t failed = 0;
	int err = place_fits(order, nr, options->control);

	for (uint32_t i = 0; i < nr; i++)
		*order[i].memory = (struct pinion_hostmem){-1, NULL, 0, 0};
	for (uint32_t i = 0; !err && i < nr; i++) {
		failed = i;
		err = make(&order[i], options, &too_few);
	}
	if (!err)
		err = populate_all(order, nr, options, &failed, &too_few);
	for (uint32_t i = 0; !err && i < nr; i++)
		err = place_verify(&order[i]);
	for (uint32_t i = 0; !err && i < nr; i++)
		err = seal(&order[i], options);
	for (uint32_t i = 0; err && i < nr; i++)
		unmake(&order[i], options);
	return too_few ? place_too_few(order, nr, failed, err) : err;
}
