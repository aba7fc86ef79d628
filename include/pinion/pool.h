/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_POOL_H
#define PINION_POOL_H

/*
 * A pool: buffers in pinned hugepages, shared by many processes.
 *
 * A pool is one trust domain. It consists of segments (each a sealed hugepage file on one NUMA
 * node, cut into buffers of one size) and one control area, a sealed file with the owner words,
 * the magazines and the members. Segments come and go while the pool is in use. Buffers of one
 * size, in pages of one size, on one node form a zone, whatever the number of its segments.
 *
 *     the process that makes it               a process that joins
 *     -------------------------               --------------------
 *     pinion_pool_create()                    (gets file descriptors and a member number:
 *     pinion_pool_admit()      ------------->  by pinion_session_open(), by fork, by SCM_RIGHTS)
 *     pinion_pool_export()                    pinion_pool_attach()
 *       ...                                     pinion_cache_open(), pinion_buffer_alloc(), ...
 *     pinion_pool_grow()       ------------->  pinion_pool_extend()   (a session does it by itself)
 *     pinion_pool_retire()
 *     pinion_pool_recover()    <- it died ->
 *     pinion_pool_release()                   pinion_pool_detach()
 *     pinion_pool_destroy()
 *
 * Threads: create, attach, become, detach and destroy are for one thread; the rest of this header
 * may be called from any thread, except that admit, quota, grow, retire, recover and release are
 * for one thread of one process, the keeper, at a time. Allocation goes through a cache (cache.h),
 * one for each thread.
 *
 * Processes: a handle (buffer.h) means the same buffer in all of them; addresses differ. The
 * child of a fork() is another process, and no member: its parent's caches refuse to work in it
 * (-ECHILD), and the mappings it inherited are its own as soon as it calls pinion_pool_become()
 * with a member number that the keeper admitted it under. (A bare clone(2) is not noticed.)
 * The keeper is the process that made the pool or took it over (named.h, resume.h), and no child of
 * it, before that call or after: one that is to run in the background forks first, then makes it.
 *
 * Death: a killed member loses nothing. Whatever it held stays HELD by it in the owner words
 * until the keeper, told of the death by a pidfd, calls pinion_pool_recover(). A killed keeper
 * does not stop the members: data paths never need it.
 *
 * Trust: members of one pool trust each other with allocation (they share writable owner words, and
 * one that scribbles on the slots of segments can make other members unmap some; never the keeper)
 * and with the memory itself: the seals keep anyone from shortening a file, but a member could
 * punch holes into it (madvise(2), MADV_REMOVE). The seal against that, F_SEAL_FUTURE_WRITE, would
 * shut out whoever joins later. Those that do not trust each other so far, get a pool each.
 *
 * Errors: 0, or -errno with a sentence in pinion_error_text(); a call that fails changes nothing,
 * where nothing else is said. Listed are those that say something of the call. Any that makes,
 * opens or maps something can also meet a limit of the process: -ENOMEM (private memory, address
 * space), -EMFILE and -ENFILE (descriptors).
 *
 * Order of the end: caches, channels, domains and rendezvous of a pool before the pool.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <pinion/buffer.h>

struct pinion_pool;

#define PINION_SEGMENT_MAX 64
#define PINION_MEMBER_MAX 4096
#define PINION_CACHE_MAX 65536
#define PINION_NODE_ANY (-1)

/* One segment as asked for. All sizes in bytes. */
struct pinion_segment_config {
	size_t len;         /* a multiple of page_size and of buffer_size, of two of these with
	                     * PINION_POOL_DEBUG */
	size_t buffer_size; /* a power of two, 64 to 2^30, to which each is aligned: up to a page
	                     * none straddles one; above, a run of whole pages, which follow each
	                     * other for an IOMMU, but not in physical memory */
	size_t page_size;   /* 2 MiB, 1 GiB, ... as the kernel has; 4096 only when really meant */
	int node;           /* NUMA node, or PINION_NODE_ANY: wherever the kernel puts it */
};

/* Zero what a buffer holds before a member gets it that is not the one who freed it. Costs the
 * time of writing each such buffer once. Without it a member sees what the last one left. */
#define PINION_POOL_SCRUB 1u
/* For finding bugs: freed buffers are filled with a pattern, and behind each one lies a red zone as
 * large as itself, so that a segment has half as many. Writing to a freed buffer, or over the end
 * of one, ends the process that finds it (abort(3)) with a line that names buffer and offset. */
#define PINION_POOL_DEBUG 2u
#define PINION_POOL_FLAGS (PINION_POOL_SCRUB | PINION_POOL_DEBUG)

#define PINION_MAGAZINE_MIN 8
#define PINION_MAGAZINE_MAX 512

struct pinion_pool_config {
	const char *name;       /* seen in /proc/PID/maps as memfd:NAME, at most 249 characters;
	                         * NULL: "pinion" */
	const char *path;       /* a new directory on a hugetlbfs mount: a pool that outlives its
	                         * processes, see named.h; NULL: sealed memfds */
	mode_t mode;            /* of files there: 0 or 0600 for the user alone, 0660 for its
	                         * group as well */
	uint32_t flags;         /* PINION_POOL_SCRUB, PINION_POOL_DEBUG */
	uint32_t nr_members;    /* 1 to PINION_MEMBER_MAX, the maker included; 0: 64 */
	uint32_t nr_caches;     /* caches open at once, in all processes; 0: one for each 16,384
	                         * buffers, from 16 to 256 */
	uint32_t magazine_size; /* buffers in a magazine (cache.h), PINION_MAGAZINE_MIN to _MAX; a
	                         * cache keeps up to two of each segment from others; 0: a 16th of
	                         * the largest segment's, from 16 to 128. It holds for all segments,
	                         * and a cache takes whole magazines: of 64 buffers of 1 MiB beside
	                         * many of 4 KiB one cache may have all, and others -ENOMEM. Give a
	                         * smaller number, or few large buffers a pool of their own */
	uint32_t max_segments;  /* with those that grow may add; 0: as many as there is room for,
	                         * or, with path, one more than nr_segments (each takes pages).
	                         * No later segment can have more buffers than the largest of
	                         * these (rounded up to a power of two) */
	uint32_t nr_segments;
	struct pinion_segment_config segment[PINION_SEGMENT_MAX];

	/* Bytes populated so far. Called by the creating thread while pages are populated, at most
	 * twenty times a second, and once at the end. It must return. NULL: not told. */
	void (*progress)(void *context, uint64_t done, uint64_t total);
	void *progress_context;
};

/*
 * pinion_pool_create() - make a pool, and be its member 0.
 *
 * Binds each segment to its node, populates it, and verifies node and size of every page before
 * anything is shared.
 *
 * -EINVAL  a size, count, name, flag or mode of @config; the sentence says which
 * -ENOMEM  not enough free hugepages (system-wide or on that node), for a segment or for a named
 *          pool's control area: the sentence ends with the command that reserves them. Of 4 KiB
 *          pages, such as another pool's control area has, more than there is memory (a cgroup's
 *          memory.max is not looked at, and its OOM killer not averted); or none for the library's
 *          own part
 * -ENODEV  no such NUMA node, or not for this process (cpuset); or the kernel has no pages of that
 *          size: /sys/kernel/mm/hugepages has those that it knows
 * -EXDEV   a page landed on another node, or has another size: nothing is kept
 * -EAGAIN  no thread can be started to populate with
 * Of a named pool also what mkdir(2) says of its path, and
 * -EINVAL  the path is not on a hugetlbfs mount, or on one of other pages
 * -EPERM   others may write to that directory, or it is another user's
 * -EEXIST  adopt or unlink what is there
 * -EBUSY   somebody was faster
 */
int pinion_pool_create(const struct pinion_pool_config *config, struct pinion_pool **pool);

/* Unmaps and closes. The memory itself lives until the last process that has it lets go. Does not
 * fail. */
int pinion_pool_destroy(struct pinion_pool *pool);

/* The files of a pool, for SCM_RIGHTS or fork. They belong to the pool: pass, do not close. */
struct pinion_pool_fds {
	uint32_t nr_segments; /* slots looked at below; at most PINION_SEGMENT_MAX */
	int control;
	int segment[PINION_SEGMENT_MAX]; /* by slot; -1: no segment there */
};

/* Does not fail. A segment that comes later is not among them: see pinion_pool_grow(). */
void pinion_pool_export(const struct pinion_pool *pool, struct pinion_pool_fds *fds);

/*
 * pinion_pool_attach() - map a pool made elsewhere, as @member.
 *
 * Segments that are not among @fds are left out until pinion_pool_extend().
 *
 * On success the pool owns @fds; on failure they remain the caller's.
 *
 * -EPROTO  not a pool, or one of another layout (its stamp differs): use the same release
 * -EINVAL  @member is not an admitted slot, or the files do not fit the geometry in the control
 *          area, or are not sealed: pass them as exported, in that order
 * -EBADF   one of @fds is no descriptor
 * -EACCES  one of @fds is open for reading alone
 * -ESTALE  @member was admitted by a keeper that was killed, and the next one did not wait for it:
 *          try again, and be admitted anew
 */
int pinion_pool_attach(const struct pinion_pool_fds *fds, uint32_t member,
		       struct pinion_pool **pool);

/* Unmaps and closes. The member keeps its number, and what it holds, until the keeper calls
 * pinion_pool_release(). Does not fail. */
int pinion_pool_detach(struct pinion_pool *pool);

/* This process's member number. */
uint32_t pinion_pool_member(const struct pinion_pool *pool);

/*
 * pinion_pool_become() - in the child of a fork: be @member, over the mappings inherited.
 *
 * The caches of the parent stay unusable here: close them (that gives nothing back) and open own
 * ones. Channels of the parent must not be touched.
 *
 * -EINVAL  @member was not admitted, or this is not the child of a process that had the pool
 * -ESTALE  as of pinion_pool_attach()
 */
int pinion_pool_become(struct pinion_pool *pool, uint32_t member);

/*
 * Segments that come and go.
 *
 * pinion_pool_grow() - add a segment to a pool in use, and tell its slot.
 *
 * Nobody is waited for. A member notices when its cache next looks into the depot, or when it
 * meets an id that it does not know, and maps the segment then, if it has its file by that time:
 * a session (session.h) is sent it before anyone can meet an id in it; others pass it themselves
 * (pinion_pool_export() has it) and call pinion_pool_extend(). A member that lacks the file goes
 * on with what it has.
 *
 * Errors as of pinion_pool_create(), and
 * -EPERM   this process is not the keeper, but another member or a child: ask the keeper
 * -EINVAL  it has more buffers than the pool has ids for in a segment (max_segments): add several
 * -ENOSPC  no slot is free: all are in use, or some member has not yet noticed that a segment
 *          went. It does at its next look into the depot, when it begins to wait, and now and then
 *          while it polls; try again. One that sleeps without a time limit does when it wakes, one
 *          that is stopped when it goes on.
 * and of a keeper that records (resume.h) what its store said.
 */
int pinion_pool_grow(struct pinion_pool *pool, const struct pinion_segment_config *config,
		     uint32_t *slot);

/* Gives this process the file of a segment that was added. On success the pool owns @fd.
 * -EINVAL  no segment in that slot, another file than the one the keeper made, or not sealed
 * -EBADF   @fd is no descriptor
 * -EACCES  @fd is open for reading alone
 * -EEXIST  this process has it already
 * After an error @fd is the caller's. */
int pinion_pool_extend(struct pinion_pool *pool, uint32_t slot, int fd);

/*
 * pinion_pool_retire() - take a segment out of a pool in use, once it is empty.
 *
 * From the first call on nothing more is allocated from it; buffers still held are freed as usual.
 * When all are free its pages are given back to the system, whoever still has it mapped. (Pages
 * that a device domain pins are given back when the domain lets go: pinion_domain_update().)
 *
 * -EBUSY   buffers of it are still held, or lie in caches; the sentence says how many. Ask again
 *          later: caches give them up at their next exchange with the depot, or by
 *          pinion_cache_flush().
 * -EPERM   this process is not the keeper, but another member or a child: ask the keeper
 * -EINVAL  no segment in that slot
 * -ENOMEM, or of a keeper that records (resume.h) what its store said: ask again; the
 *          segment may be retiring by then
 */
int pinion_pool_retire(struct pinion_pool *pool, uint32_t slot);

/* One segment as it is. All sizes in bytes. */
struct pinion_segment_stat {
	size_t len, buffer_size, page_size;
	int node;           /* where every page was found to be; -1: on several */
	uint32_t nr;        /* buffers */
	uint32_t free;      /* of them, in magazines: of the depot, of caches, of the keeper */
	int retiring;       /* 1: see pinion_pool_retire() */
};

/* The number of slots; some may be without a segment. */
uint32_t pinion_pool_slots(const struct pinion_pool *pool);
/* -ENOENT  no segment in that slot */
int pinion_pool_segment(struct pinion_pool *pool, uint32_t slot, struct pinion_segment_stat *stat);

/*
 * Members. The keeper admits a process before it passes the files to it. @pid 0: not known as yet
 * (before a fork, say); the process that attaches or becomes that member writes down its own.
 * -EAGAIN  all nr_members slots are taken, or not yet released: release those of who ended
 * -EINVAL  @pid is negative
 * -EPERM   this process is not the keeper, but another member or a child: ask the keeper
 */
int pinion_pool_admit(struct pinion_pool *pool, pid_t pid, uint32_t *member);

/*
 * The keeper limits what @member may have at once, in bytes, over all segments; 0: no limit, as at
 * the start. What it has is what it holds and what lies in its caches. It is looked at when a cache
 * draws a magazine from the depot: -EDQUOT to who has that much already, so that each cache may
 * overshoot by what one magazine holds; and what came through channels counts only from the first
 * time on that what the member drew by itself reaches the limit. Members of a pool trust each other
 * with allocation: this is a fence for the careless, not a wall.
 *
 * Cost: nothing until then. At the limit each try to draw counts the owner words of the whole pool,
 * once, however many segments the cache may take from: 1.4 ms for a million buffers.
 * -EINVAL  @member is not admitted
 * -EPERM   this process is not the keeper, but another member or a child: ask the keeper
 */
int pinion_pool_quota(struct pinion_pool *pool, uint32_t member, uint64_t bytes);

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
 * the slot to somebody else. For a member that left in order, or that never had a channel,
 * pinion_pool_release() alone does both.
 *
 * -EINVAL  @member is not admitted, or is the caller itself
 * -EPERM   this process is not the keeper, but another member or a child: ask the keeper
 * -ENOMEM  no memory for working tables: nothing was changed, try again
 * -ENOSPC  members broke the protocol, so that no magazine is left; what came back stays back
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

/* One more than the highest number of a zone. A number whose segments all went has a total of 0,
 * and may be another zone's later. */
uint32_t pinion_pool_zones(const struct pinion_pool *pool);
/* -EINVAL  no such zone. Leaves no sentence */
int pinion_pool_stat(const struct pinion_pool *pool, uint32_t zone, struct pinion_zone_stat *stat);
/* Buffers held by one member, over all zones; 0 for a number that no member can have. */
uint32_t pinion_pool_held(const struct pinion_pool *pool, uint32_t member);

/*
 * What the inline paths read of a pool: private to this process, never read back from shared
 * memory. An entry is constant as long as any buffer of its segment can be met.
 *
 *     R11  nr store-release    stored last: carries the rest of the entry
 *     A11  nr load-acquire     before that is read, of an id that came from elsewhere
 */
struct pinion_view_segment {
	uintptr_t base;      /* address of the buffer with id 0, were it in this segment */
	size_t size;         /* bytes of a buffer */
	_Atomic uint32_t nr; /* buffers in it; 0: no segment, or not mapped here */
	int node;
	uint8_t shift; /* log2 of the distance from one buffer to the next */
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

/* What is said of the segment that @id would be in. pre: @id < view->nr_ids. */
static inline const struct pinion_view_segment *
pinion_view_segment_of(const struct pinion_view *view, uint32_t id)
{
	return &view->segment[id >> view->segment_shift];
}

/* Is there a buffer with this id, mapped here? */
static inline int pinion_view_has(const struct pinion_view *view, uint32_t id)
{
	uint32_t in_segment = id & ((1u << view->segment_shift) - 1);

	return id < view->nr_ids &&
	       in_segment < atomic_load_explicit(&pinion_view_segment_of(view, id)->nr,
						 memory_order_acquire); /* A11 */
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

	return pinion_view_segment_of(view, pinion_buffer_id(buffer))->size;
}

/* The NUMA node of its pages; -1: its segment lies on several. Same precondition. */
static inline int pinion_buffer_node(const struct pinion_pool *pool, struct pinion_buffer buffer)
{
	const struct pinion_view *view = pinion_pool_view(pool);

	return pinion_view_segment_of(view, pinion_buffer_id(buffer))->node;
}

#endif
