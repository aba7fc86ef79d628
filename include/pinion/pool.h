/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_POOL_H
#define PINION_POOL_H

/*
 * A pool: buffers in pinned hugepages, shared by many processes.
 *
 * A pool is one trust domain. It consists of segments (each a sealed hugepage file on one NUMA
 * node, cut into buffers of one size) and one control area, a sealed file with the owner words,
 * the magazines and the members. Buffers of one size, in pages of one size, on one node form a
 * zone, whatever the number of its segments.
 *
 *     the process that makes it               a process that joins
 *     -------------------------               --------------------
 *     pinion_pool_create()                    (gets file descriptors and a member number:
 *     pinion_pool_admit()      ------------->  by pinion_session_open(), by fork, by SCM_RIGHTS)
 *     pinion_pool_export()                    pinion_pool_attach()
 *       ...                                     pinion_cache_open(), pinion_buffer_alloc(), ...
 *     pinion_pool_recover()    <- it died ->
 *     pinion_pool_release()                   pinion_pool_detach()
 *     pinion_pool_destroy()
 *
 * Threads: create, attach, detach and destroy are for one thread; the rest of this header may be
 * called from any thread, except that admit, recover and release are for one thread of one
 * process, the keeper, at a time. Allocation goes through a cache (cache.h), one for each thread.
 *
 * Processes: a handle (buffer.h) means the same buffer in all of them; addresses differ. The
 * child of a fork is another process: it must attach as a member of its own, and may not use
 * its parent's caches and channels.
 *
 * Death: a killed member loses nothing. Whatever it held stays HELD by it in the owner words
 * until the keeper, told of the death by a pidfd, calls pinion_pool_recover(). A killed keeper
 * does not stop the members: data paths never need it.
 *
 * Trust: members of one pool trust each other with allocation (they share writable owner words)
 * and with the memory itself: the seals keep anyone from shortening a file, but a member could
 * punch holes into it (madvise(2), MADV_REMOVE). The seal against that, F_SEAL_FUTURE_WRITE, would
 * shut out whoever joins later. Those that do not trust each other so far, get a pool each.
 *
 * Order of the end: caches, channels, domains and rendezvous of a pool before the pool.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <pinion/buffer.h>

struct pinion_pool;

#define PINION_SEGMENT_MAX 64
#define PINION_MEMBER_MAX 4096
#define PINION_NODE_ANY (-1)

/* One segment as asked for. All sizes in bytes. */
struct pinion_segment_config {
	size_t len;         /* a multiple of page_size */
	size_t buffer_size; /* a power of two, 64 to page_size */
	size_t page_size;   /* 2 MiB, 1 GiB, ... as the kernel has; 4096 only when really meant */
	int node;           /* NUMA node, or PINION_NODE_ANY: wherever the kernel puts it */
};

struct pinion_pool_config {
	const char *name;    /* seen in /proc/PID/maps as memfd:NAME; NULL: "pinion" */
	uint32_t nr_members; /* 1 to PINION_MEMBER_MAX, the maker included; 0: 64 */
	uint32_t nr_caches;  /* caches open at once in a zone, in all processes; 0: 128 */
	uint32_t nr_segments;
	struct pinion_segment_config segment[PINION_SEGMENT_MAX];
};

/*
 * pinion_pool_create() - make a pool, and be its member 0.
 *
 * Binds each segment to its node, populates it, and verifies node and size of every page before
 * anything is shared.
 *
 * Errors, each with a sentence in pinion_error_text():
 * -EINVAL  a size, node or count of @config; the sentence says which
 * -ENOMEM  not enough free hugepages (system-wide or on that node): reserve them
 * -ENODEV  no such NUMA node
 * -EXDEV   a page landed on another node, or has another size: nothing is kept
 */
int pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **pool);

/* Unmaps and closes. The memory itself lives until the last process that has it lets go. */
int pinion_pool_destroy(struct pinion_pool *pool);

/* The files of a pool, for SCM_RIGHTS or fork. They belong to the pool: pass, do not close. */
struct pinion_pool_fds {
	uint32_t nr_segments;
	int control;
	int segment[PINION_SEGMENT_MAX];
};

void pinion_pool_export(const struct pinion_pool *pool, struct pinion_pool_fds *fds);

/*
 * pinion_pool_attach() - map a pool made elsewhere, as @member.
 *
 * On success the pool owns @fds; on failure they remain the caller's.
 *
 * -EPROTO  not a pool, or one of another layout (its stamp differs): use the same release
 * -EINVAL  @member is not an admitted slot, or the files do not fit the geometry in the control
 *          area
 */
int pinion_pool_attach(const struct pinion_pool_fds *fds, uint32_t member,
		       struct pinion_pool **pool);
int pinion_pool_detach(struct pinion_pool *pool);

/* This process's member number. */
uint32_t pinion_pool_member(const struct pinion_pool *pool);

/*
 * Members. The keeper admits a process before it passes the files to it.
 * -EAGAIN  all nr_members slots are taken, or not yet released
 */
int pinion_pool_admit(struct pinion_pool *pool, pid_t pid, uint32_t *member);

struct pinion_recovery {
	uint32_t returned;  /* buffers that were held by the dead and are free again */
	uint32_t transit;   /* buffers left alone: published to a living consumer */
	uint32_t magazines; /* magazines of the dead, rebuilt */
};

/*
 * pinion_pool_recover() - @member is dead: bring back what it held.
 *
 * pre: the process is gone (its pidfd says so), not stopped.
 * @transit names the buffers that any dead, not yet released member has published in a ring
 * towards a living consumer (see pinion_channel_published()): they belong to that consumer as
 * soon as it takes them, and are left alone. Idempotent: it may be killed and called again.
 *
 * Afterwards each living consumer drains the rings of the dead; then the keeper calls
 * pinion_pool_release(), which frees what was in transit and never taken, and only then gives
 * the slot to somebody else.
 *
 * -EINVAL  @member is not admitted, or is the caller itself
 * -ENOMEM  no memory for working tables: nothing was changed, try again
 * -ENOSPC  more caches are open than nr_caches, so that no magazine is left: close some, and call
 *          again; what came back so far stays back
 */
int pinion_pool_recover(struct pinion_pool *pool, uint32_t member,
			const struct pinion_buffer *transit, uint32_t nr_transit,
			struct pinion_recovery *report);
int pinion_pool_release(struct pinion_pool *pool, uint32_t member, struct pinion_recovery *report);

/*
 * What a pool holds, derived from the owner words at this moment. While members work the sums
 * may be off by what moves during the count; at rest free + held == total.
 */
struct pinion_zone_stat {
	size_t buffer_size; /* bytes */
	size_t page_size;   /* bytes */
	int node;           /* where every page was found to be */
	uint32_t total, free, held;
};

/* The number of zones. */
uint32_t pinion_pool_zones(const struct pinion_pool *pool);
/* -EINVAL  no such zone */
int pinion_pool_stat(const struct pinion_pool *pool, uint32_t zone, struct pinion_zone_stat *stat);
/* Buffers held by one member, over all zones. */
uint32_t pinion_pool_held(const struct pinion_pool *pool, uint32_t member);

/*
 * What the inline paths read of a pool: private to this process and constant once attached,
 * never read back from shared memory.
 */
struct pinion_view_segment {
	uintptr_t base; /* address of the buffer with id 0, were it in this segment */
	uint32_t nr;    /* buffers in it; 0: no such segment */
	uint8_t shift;  /* log2 of the buffer size */
	uint8_t zone;
};

struct pinion_view {
	_Atomic uint64_t *owner; /* owner words, by id */
	uint32_t nr_ids;         /* length of owner[]; ids between segments have words of 0 */
	uint32_t segment_shift;  /* segment of an id: id >> segment_shift */
	uint32_t self;           /* holder bits of this member: pinion_owner_held(member) */
	struct pinion_view_segment segment[PINION_SEGMENT_MAX];
};

/* struct pinion_pool begins with its view. */
static inline const struct pinion_view *pinion_pool_view(const struct pinion_pool *pool)
{
	return (const struct pinion_view *)(const void *)pool;
}

static inline const struct pinion_view_segment *
pinion_view_segment_of(const struct pinion_view *view, uint32_t id)
{
	return &view->segment[id >> view->segment_shift];
}

/* Is there a buffer with this id, or does it lie between or behind the segments? */
static inline int pinion_view_has(const struct pinion_view *view, uint32_t id)
{
	uint32_t in_segment = id & ((1u << view->segment_shift) - 1);

	return id < view->nr_ids && in_segment < pinion_view_segment_of(view, id)->nr;
}

/*
 * The address of a buffer in this process.
 * pre: @buffer came from pinion_buffer_alloc() or pinion_channel_recv() of this pool.
 */
static inline void *pinion_buffer_addr(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	const struct pinion_view *view = pinion_pool_view(pool);
	uint32_t id = pinion_buffer_id(buffer);
	const struct pinion_view_segment *segment = pinion_view_segment_of(view, id);

	return (void *)(segment->base + ((uintptr_t)id << segment->shift));
}

/* Bytes in a buffer. Same precondition. */
static inline size_t pinion_buffer_size(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	const struct pinion_view *view = pinion_pool_view(pool);

	return (size_t)1 << pinion_view_segment_of(view, pinion_buffer_id(buffer))->shift;
}

#endif
