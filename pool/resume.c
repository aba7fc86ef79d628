/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pinion/resume.h>

#include "adopt.h"
#include "attach.h"
#include "fail.h"
#include "header.h"
#include "make.h"
#include "member.h"
#include "named.h"
#include "pool.h"
#include "process.h"
#include "record.h"
#include "segment.h"
#include "slot.h"

/*
 * Taking a pool over from a keeper that was killed. First all that can fail, on private
 * copies of record and ledger and on the files; then the control area is written, and what is in it
 * was not looked at. Only owner words and magazines count as they are: recovery.c.
 */

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct resumption {
	const struct pinion_pool_fds *fds; /* NULL: of a named pool, they are in its directory */
	const struct pinion_pool_record *record;
	const struct pinion_member_record *members; /* the caller's */
	struct pinion_adoption adoption;
	uint32_t member; /* the caller's number */
};

static bool is_sealed(int fd)
{
	int seals = 0;

	return !pinion_hostmem_seals(fd, &seals) && (seals & SEALS) == SEALS;
}

static uint64_t inode_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? 0 : status.st_ino;
}

static int map_control(struct pinion_pool *pool, const struct pinion_pool_record *record, int fd,
		       size_t page_size)
{
	int err;

	if (inode_of(fd) != record->control_inode)
		return pinion_fail(-EINVAL, "this file is not the control area of the record");
	err = pinion_hostmem_attach(fd, record->control_len, page_size, &pool->control);
	if (err)
		return pinion_fail(err, "cannot map the control area: %s", strerror(-err));
	pool_open_view(pool, pool->geometry.nr_members);
	return 0;
}

static int map_sealed_control(struct pinion_pool *pool, const struct resumption *resumption)
{
	const int fd = resumption->fds->control;

	if (!is_sealed(fd))
		return pinion_fail(-EINVAL, "this file is not the control area of the record: it "
				   "is not sealed");
	return map_control(pool, resumption->record, fd, 4096);
}

static int map_named_control(struct pinion_pool *pool, const struct resumption *resumption)
{
	size_t len;
	int fd, err = named_open(pool->named, NAMED_CONTROL, &fd, &len);

	if (err == -ENOENT)
		return pinion_fail(-EINVAL, "%s/%s: the control area of the record is missing",
				   pool->named->path, NAMED_CONTROL);
	if (err)
		return err;
	err = map_control(pool, resumption->record, fd, pool->named->page_size);
	if (err)
		(void)close(fd);
	return err;
}

static int file_of(const struct pinion_pool_fds *fds, uint32_t slot)
{
	return slot < fds->nr_segments ? fds->segment[slot] : -1;
}

static int map_sealed_slot(struct pinion_pool *pool, uint32_t slot, int fd)
{
	if (fd < 0)
		return pinion_fail(-EINVAL, "segment %u: its file is missing", slot);
	if (!is_sealed(fd))
		return pinion_fail(-EINVAL, "segment %u: the file is not sealed", slot);
	return slot_map(pool, slot, fd);
}

static int map_slots(struct pinion_pool *pool, const struct pinion_pool_fds *fds)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		if (pool_has_segment(pool, i))
			err = fds ? map_sealed_slot(pool, i, file_of(fds, i))
				  : adopt_slot(pool, i);
	return err;
}

/* Who was not known to the keeper wrote down himself who he is. */
static bool lives(const struct pinion_pool *pool, const struct pinion_member_record *record,
		  uint32_t member)
{
	if (record->pid)
		return process_lives(record->pid, record->started);
	return member_lives(&pool->members[member]);
}

/* If none lives all numbers are about to be free. */
static int choose_number(const struct pinion_pool *pool, struct resumption *resumption)
{
	const uint32_t nr = pool->geometry.nr_members;
	uint32_t first = nr;

	for (uint32_t i = nr; i--;) {
		if (!resumption->members[i].admitted)
			first = i;
		else if (lives(pool, &resumption->members[i], i))
			resumption->adoption.living++;
		else
			resumption->adoption.dead++;
	}
	resumption->member = resumption->adoption.living ? first : 0;
	if (resumption->member == nr)
		return pinion_fail(-EAGAIN, "all %u member numbers of the pool are taken, %u by "
				   "processes that live: end all of those, and the dead are "
				   "recovered", nr, resumption->adoption.living);
	return 0;
}

/* pre: a named pool is locked. */
static int prepare(struct pinion_pool *pool, struct resumption *resumption)
{
	int err = record_check(resumption->record);

	if (!err)
		err = record_apply(resumption->record, pool);
	if (!err)
		err = resumption->fds ? map_sealed_control(pool, resumption)
				      : map_named_control(pool, resumption);
	if (!err)
		err = map_slots(pool, resumption->fds);
	return err ? err : choose_number(pool, resumption);
}

/* A burial that had begun begins again: LIVE, and dead. A goodbye is the member's own. */
static void right_member(struct control_member *slot, const struct pinion_member_record *record)
{
	if (record->admitted && record->pid) {
		atomic_store_explicit(&slot->pid, record->pid, memory_order_relaxed);
		atomic_store_explicit(&slot->started, record->started, memory_order_relaxed);
	}
	atomic_store_explicit(&slot->quota, record->quota, memory_order_relaxed);
	atomic_store_explicit(&slot->state, record->admitted ? MEMBER_LIVE : MEMBER_FREE,
			      memory_order_release);
}

static int take_over(struct pinion_pool *pool, struct resumption *resumption)
{
	const uint64_t epoch = resumption->record->epoch + 1;

	pool->keeper = true;
	/* Here a change is made that was recorded, but not yet published. A new epoch: whatever
	 * members have seen there meanwhile, they look again. */
	header_right(pool, epoch);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		right_member(&pool->members[i], &resumption->members[i]);
	if (resumption->adoption.living) {
		make_forsake(pool);
	} else {
		int err = adopt_repair(pool, &resumption->adoption.recovery);

		if (err)
			return err;
	}
	member_set(pool, resumption->member, getpid());
	pool_open_view(pool, resumption->member);
	slot_acknowledge(pool, epoch);
	return 0;
}

static bool is_of_pool(const struct pinion_pool *pool, uint64_t inode)
{
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		if (pool->segment[i].inode == inode)
			return true;
	return false;
}

/* Of a segment that went, or that nobody saw. Members that do not look may have it mapped. */
static void drop(const struct pinion_pool *pool, int fd)
{
	struct stat status;

	if (!fstat(fd, &status) && !is_of_pool(pool, status.st_ino) && is_sealed(fd))
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, status.st_size);
	(void)close(fd);
}

static void drop_unused(const struct pinion_pool *pool, const struct pinion_pool_fds *fds)
{
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		if (fds->segment[i] >= 0 && !pool->memory[i].addr)
			drop(pool, fds->segment[i]);
}

static int resume(struct pinion_pool *pool, struct resumption *resumption)
{
	int err = prepare(pool, resumption);

	return err ? err : take_over(pool, resumption);
}

int pinion_pool_resume(const struct pinion_pool_fds *fds, const struct pinion_pool_record *record,
		       const struct pinion_member_record *members, struct pinion_pool **out,
		       struct pinion_adoption *report)
{
	KEEP_ERRNO;
	struct resumption resumption = {.fds = fds, .record = record, .members = members};
	struct pinion_pool *pool;
	int err;

	if (fds->nr_segments > PINION_SEGMENT_MAX)
		return pinion_fail(-EINVAL, "a pool has at most %d segments, not %u",
				   PINION_SEGMENT_MAX, fds->nr_segments);
	pool = pool_new();
	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = resume(pool, &resumption);
	if (err) {
		attach_discard(pool);
		return err;
	}
	drop_unused(pool, fds);
	if (report)
		*report = resumption.adoption;
	*out = pool;
	return 0;
}

static int resume_named(struct pinion_pool *pool, const char *path, struct resumption *resumption)
{
	int err = named_lookup(path, &pool->named);

	if (!err)
		err = named_lock(pool->named);
	if (!err)
		err = resume(pool, resumption);
	for (uint32_t i = 0; !err && i < pool->geometry.nr_segments; i++)
		if (!pool_has_segment(pool, i))
			named_drop_segment(pool->named, i);
	return err;
}

int pinion_pool_resume_named(const char *path, const struct pinion_pool_record *record,
			     const struct pinion_member_record *members, struct pinion_pool **out,
			     struct pinion_adoption *report)
{
	KEEP_ERRNO;
	struct resumption resumption = {.record = record, .members = members};
	struct pinion_pool *pool = pool_new();
	int err;

	if (!pool)
		return pinion_fail(-ENOMEM, "no memory for a pool's private part");
	err = resume_named(pool, path, &resumption);
	if (err) {
		pool_discard(pool);
		return err;
	}
	if (report)
		*report = resumption.adoption;
	*out = pool;
	return 0;
}
