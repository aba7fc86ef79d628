/* SPDX-License-Identifier: BSD-3-Clause */
#include "estate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/named.h>

#include "make.h"
#include "named.h"
#include "pin.h"
#include "pool_support.h"
#include "step.h"
#include "tap.h"

#define PAGE ((size_t)2 << 20)

/* Pages that a pool of this kind may have: a control area of one, segments of one each. */
#define PAGES (1 + ESTATE_SLOTS)

#define SEGMENT {PAGE, ESTATE_SIZE, PAGE, PINION_NODE_ANY}

static const struct pinion_segment_config segment = SEGMENT;

static char mount_path[] = "/tmp/pinion-crash-XXXXXX", pool_path[64];

static const struct pinion_pool_config config = {
	.path = pool_path,
	.nr_members = 6,
	.nr_caches = 5,
	.magazine_size = PINION_MAGAZINE_MIN,
	.max_segments = ESTATE_SLOTS,
	.nr_segments = 2,
	.segment = {SEGMENT, SEGMENT},
};

/* How much of the control area's one page is used, and what the dead left there. */
static size_t control_len;
static struct snapshot left;

const struct pinion_pool_config *estate_config(void)
{
	return &config;
}

const struct pinion_segment_config *estate_segment(void)
{
	return &segment;
}

const char *estate_path(void)
{
	return pool_path;
}

size_t estate_len(void)
{
	return control_len;
}

/* A mount of our own, which goes with this process however it ends; so do its pages. */
static int mount_own(void)
{
	if (!mkdtemp(mount_path))
		return -errno;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", mount_path, "hugetlbfs", 0, "pagesize=2M,size=16M"))
		return -errno;
	snprintf(pool_path, sizeof(pool_path), "%s/pool", mount_path);
	return 0;
}

static bool is_short(void)
{
	return support_read_long("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") < 16;
}

const char *estate_open(void)
{
	if (step_allowed())
		return "this process may not trace its children (ptrace)";
	if (is_short())
		return "fewer than 16 hugepages of 2 MiB are free";
	if (mount_own()) {
		(void)rmdir(mount_path);
		return "cannot mount hugetlbfs: needs root";
	}
	(void)mallopt(M_MMAP_THRESHOLD, 4096); /* as ./scene.c */
	pin_here();
	control_len = make_control_len(&config);
	if (!control_len || control_len > PAGE)
		tap_bail("a control area of %zu bytes", control_len);
	return NULL;
}

void estate_close(void)
{
	free(left.bytes);
	(void)umount(mount_path);
	(void)rmdir(mount_path);
}

/* Pages of the mount that files have. */
static uint32_t pages(void)
{
	struct statfs fs;

	if (statfs(mount_path, &fs))
		tap_bail("statfs: %s", strerror(errno));
	return (uint32_t)(fs.f_blocks - fs.f_bfree);
}

static uint32_t files(void)
{
	DIR *dir = opendir(pool_path);
	const struct dirent *entry;
	uint32_t nr = 0;

	if (!dir)
		tap_bail("opendir: %s", strerror(errno));
	while ((entry = readdir(dir)))
		nr += entry->d_name[0] != '.';
	(void)closedir(dir);
	return nr;
}

/* Takes @nr buffers and frees a quarter of them; the cache stays open. */
int estate_hold(struct pinion_pool *pool, uint32_t nr)
{
	const struct pinion_cache_config wish = {.buffer_size = segment.buffer_size,
						 .node = PINION_NODE_ANY};
	struct pinion_buffer buffer[2 * ESTATE_NR];
	struct pinion_cache *cache;
	int err = pinion_cache_open(pool, &wish, &cache);

	for (uint32_t i = 0; !err && i < nr; i++)
		err = pinion_buffer_alloc(cache, &buffer[i]);
	for (uint32_t i = 0; !err && i < nr / 4; i++)
		err = pinion_buffer_free(cache, buffer[i]);
	return err;
}

const char *estate_map(void)
{
	const int fd = open(support_path(pool_path, NAMED_CONTROL), O_RDONLY | O_CLOEXEC);
	const void *addr = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	if (addr == MAP_FAILED)
		tap_bail("no look at the control area: %s", strerror(errno));
	(void)close(fd);
	return addr;
}

void estate_unmap(const char *control)
{
	(void)munmap((void *)(uintptr_t)control, PAGE);
}

void estate_copy(struct snapshot *copy)
{
	const char *control;

	if (access(support_path(pool_path, NAMED_CONTROL), F_OK))
		return;
	control = estate_map();
	if (!copy->bytes)
		*copy = (struct snapshot){control_len, malloc(control_len)};
	if (!copy->bytes)
		tap_bail("no memory for a copy of %zu bytes", control_len);
	memcpy(copy->bytes, control, control_len);
	estate_unmap(control);
}

void estate_scribble(void)
{
	const int fd = open(support_path(pool_path, NAMED_CONTROL), O_RDWR | O_CLOEXEC);
	struct control *control = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct layout layout;

	if (control == MAP_FAILED)
		tap_bail("the control area cannot be written: %s", strerror(errno));
	(void)close(fd);
	layout_compute(&control->geometry, &layout);
	memset((char *)control + layout.magazine, 0, layout.stride * sizeof(uint64_t));
	(void)munmap(control, PAGE);
}

void estate_left(void)
{
	estate_copy(&left);
}

static uint32_t segments(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t s = 0; s < ESTATE_SLOTS; s++)
		nr += pool_has_segment(pool, s);
	return nr;
}

/* Buffers that can be allocated: of what is going none can. */
static uint32_t pool_live(const struct pinion_pool *pool)
{
	uint32_t nr = 0;

	for (uint32_t s = 0; s < ESTATE_SLOTS; s++)
		if (slot_state_of(pool->state[s]) == SLOT_LIVE)
			nr += pool->segment[s].nr;
	return nr;
}

int estate_grow(struct pinion_pool *pool)
{
	uint32_t slot;

	return pinion_pool_grow(pool, &segment, &slot);
}

/* Everything comes and goes once more. */
static const char *renew(struct pinion_pool *pool)
{
	for (uint32_t s = 0; s < ESTATE_SLOTS; s++)
		if (slot_state_of(pool->state[s]) == SLOT_RETIRING && pinion_pool_retire(pool, s))
			return pinion_error_text();
	while (segments(pool) < ESTATE_SLOTS)
		if (estate_grow(pool))
			return pinion_error_text();
	if (pages() != PAGES || files() != PAGES)
		return "a pool with a segment in every slot has files or pages too many or too few";
	return pool_problem(pool);
}

/* Of all that the dead were or had, nobody has anything. */
static const char *dead_wrong(const struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		if (i != pool->member && pool->members[i].state != MEMBER_FREE)
			return "a number of the dead is not free";
	for (uint32_t i = 0; i < pool->geometry.nr_caches; i++)
		if (pool->cache[i])
			return "a ticket of the dead is not free";
	return NULL;
}

static const char *handles_wrong(const struct pinion_pool *pool)
{
	for (uint32_t id = 0; id < pool->view.nr_ids; id++) {
		const struct pinion_buffer now = {pool->view.owner[id]};
		const struct pinion_buffer was = {
			snapshot_word(&left, pool, &pool->view.owner[id])};
		const uint32_t holder = pinion_owner_holder(was.bits);

		if (holder && !(holder & PINION_HOLDER_MAGAZINE) && !generation_rose(now, was))
			return "a handle of the dead is good";
	}
	return NULL;
}

/* All there is can be had at once, and given back. */
static const char *drain(struct pinion_pool *pool)
{
	static struct pinion_buffer held[ESTATE_SLOTS * ESTATE_NR + 1];
	const struct pinion_cache_config wish = {.buffer_size = segment.buffer_size,
						 .node = PINION_NODE_ANY};
	struct pinion_cache *cache;
	uint32_t nr = 0, lost = 0;

	if (pinion_cache_open(pool, &wish, &cache))
		return pinion_error_text();
	while (nr <= ESTATE_SLOTS * ESTATE_NR && !pinion_buffer_alloc(cache, &held[nr]))
		nr++;
	if (nr != pool_live(pool))
		return "not all that is free can be allocated, or some of it twice";
	while (nr)
		lost += pinion_buffer_free(cache, held[--nr]) != 0;
	(void)pinion_cache_close(cache);
	return lost ? "an allocated buffer cannot be freed" : pool_problem(pool);
}

const char *estate_wrong(struct pinion_pool *pool, bool had_left)
{
	const char *problem = pool_problem(pool);

	if (!problem && pool_free(pool) != pool_total(pool))
		problem = "a buffer is held, and by nobody";
	if (!problem)
		problem = dead_wrong(pool);
	if (!problem && had_left)
		problem = handles_wrong(pool);
	if (!problem)
		problem = drain(pool);
	if (!problem && files() != 1 + segments(pool))
		problem = "a file is left that is no segment's, or one lacks";
	if (!problem && pages() != 1 + segments(pool))
		problem = "pages are left that are no segment's, or some lack";
	return problem ? problem : renew(pool);
}

const char *estate_removed_wrong(void)
{
	int err = pinion_pool_unlink(pool_path);

	if (err && err != -ENOENT)
		return pinion_error_text();
	if (!access(pool_path, F_OK) || pages())
		return "something is left of a pool that was removed";
	return NULL;
}
