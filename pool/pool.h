/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_POOL_H
#define POOL_POOL_H

/*
 * A pool as its own library sees it: private copies of everything that shared memory says about
 * shape, and typed pointers to the arrays that are really shared.
 */

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include <pinion/hostmem.h>
#include <pinion/pool.h>
#include <pinion/resume.h>

#include "layout.h"
#include "populate.h"

struct cache;
struct named;

/* Somebody who passes new files on to members. */
struct courier {
	void (*announce)(struct courier *courier, uint32_t slot, int fd);
	LIST_ENTRY(courier) link;
};

/* Somebody who has addresses of segments: a domain. forget() is called with the pool locked, before
 * another segment (0: none) takes the place of the one that a slot had: from then on it gives none
 * of the old one. -errno if it cannot; the slot then stays as it is. */
struct watcher {
	int (*forget)(struct watcher *watcher, uint32_t slot, uint64_t inode);
	LIST_ENTRY(watcher) link;
};

struct pinion_pool {
	struct pinion_view view; /* first: pinion_pool_view() */
	uint32_t member;
	uint64_t id; /* random, the same in all processes */
	bool keeper; /* made or adopted it: slots are this process's to change, and it believes
	              * nothing that others may have written over them */

	bool dead[PINION_MEMBER_MAX]; /* of a keeper: recovered, and not yet released */

	/* Copied once from the control area and checked; never read back. */
	struct control_geometry geometry;
	struct layout layout;

	/* Guards what changes when segments come and go, and the list of caches. Held for short
	 * and bounded work (a domain that maps segments holds it longest), never while another
	 * process is waited for. */
	pthread_mutex_t lock;
	uint64_t state[PINION_SEGMENT_MAX]; /* slot words as last seen */
	struct control_segment segment[PINION_SEGMENT_MAX]; /* nr 0: none */
	struct pinion_hostmem memory[PINION_SEGMENT_MAX]; /* addr NULL: not mapped here; its fd, if
	                                                   * any, waits to be */
	_Atomic uint64_t epoch; /* of the control area, when state[] was last brought up to it */
	_Atomic uint64_t changes; /* of state[], and of what is mapped: caches follow them */
	LIST_HEAD(, cache) caches;

	/* How the files of later segments travel. A member asks for them (NULL: they are brought
	 * to it by pinion_pool_extend()); the keeper tells everyone on the list. Both are called
	 * with the pool locked. fetch: 0 and a file that is the pool's from then on; -EAGAIN: none
	 * has come; else it could not look, and is worth asking again. */
	int (*fetch)(void *context, uint32_t slot, int *fd);
	void *fetch_context;
	LIST_HEAD(, courier) couriers;
	LIST_HEAD(, watcher) watchers;

	/* Who stores what becomes of segments, before anybody sees it; see record.h. */
	int (*store)(void *context, uint32_t slot, int fd, const struct pinion_pool_record *record);
	void *store_context;

	struct populate_progress progress; /* of segments that are added; call NULL: not told */

	_Atomic uint64_t drawn; /* bytes taken from the depot less those given back; see quota.h */
	_Atomic bool forked;    /* this is a child that inherited it: see fork.h */
	LIST_ENTRY(pinion_pool) link;

	struct pinion_hostmem control;
	struct named *named; /* the directory, locked; NULL: memfds, or not the keeper */
	mode_t mode;         /* of files in there */

	/* Into the control area. */
	struct control *shared;
	struct control_member *members;
	_Atomic uint64_t *seen;
	_Atomic uint32_t *cache;
	_Atomic uint64_t *magazine;
	_Atomic uint64_t *depot; /* bitmaps of hints */
	_Atomic uint64_t *empty;
	_Atomic uint32_t *content;
};

/* An empty one, without anything mapped; NULL: no memory. */
struct pinion_pool *pool_new(void);

/* Fills pointers and view from the geometry. pre: control is mapped, layout computed. */
void pool_open_view(struct pinion_pool *pool, uint32_t member);

/* Is this process the keeper? 0, or -EPERM with a sentence. The child of a keeper's fork has but a
 * copy of what the keeper knows of slots and of the dead. */
int pool_check_keeper(const struct pinion_pool *pool);

/* Unmaps and closes all, and frees the struct. Works on one that is half made. */
void pool_discard(struct pinion_pool *pool);

/* Takes an admission back that nobody was told of. */
void pool_dismiss(struct pinion_pool *pool, uint32_t member);

/* For a keeper that knows from elsewhere that @member was admitted and is dead: whatever any member
 * may have written over its slot, recover and release do what they are for. */
void pool_insist_dead(struct pinion_pool *pool, uint32_t member);

/* Looking needs the lock as much as changing does, and changes nothing but who waits for it. */
static inline void pool_lock(const struct pinion_pool *pool)
{
	(void)pthread_mutex_lock(&((struct pinion_pool *)(uintptr_t)pool)->lock);
}

static inline void pool_unlock(const struct pinion_pool *pool)
{
	(void)pthread_mutex_unlock(&((struct pinion_pool *)(uintptr_t)pool)->lock);
}

/* Is there a segment in that slot, as last seen? pre: the pool is locked, or is one's own. */
static inline bool pool_has_segment(const struct pinion_pool *pool, uint32_t slot)
{
	return pool->segment[slot].nr != 0;
}

/* Magazines of slot @index are first .. first + nr - 1. */
static inline uint32_t pool_magazine_first(const struct pinion_pool *pool, uint32_t index)
{
	return index * pool->layout.stride;
}

static inline uint32_t pool_magazine_nr(const struct pinion_pool *pool, uint32_t index)
{
	uint32_t nr = pool->segment[index].nr;

	return nr ? layout_magazines(&pool->geometry, nr) : 0;
}

static inline _Atomic uint32_t *pool_content(const struct pinion_pool *pool, uint32_t magazine)
{
	return &pool->content[(size_t)magazine * pool->geometry.magazine_size];
}

#endif
