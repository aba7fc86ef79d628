/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_OPERATIONS_H
#define PINION_TESTS_OPERATIONS_H

/*
 * The operations that are stepped. A new one is a line of the table and a small function for
 * each half:
 *
 *     prepare()  at full speed: brings its member to where the operation begins
 *     act()      stepped: the operation and nothing else
 *
 * Both run in a child, as one member, with a state of their own. The columns of the table are
 * claims about act(), each of which is checked when it has returned.
 */

#include <stdbool.h>
#include <stddef.h>

#include "pool.h"

/* Buffers in a magazine of the scene: the fewest, so that little has to be filled. */
#define MAGAZINE PINION_MAGAZINE_MIN

/*
 * The scene's segments, and the sizes of their buffers, by which caches select them.
 *
 *     SMALL, SMALL_TOO   what most operations are about
 *     LARGE              another zone
 *     QUIET              nobody has any of it: can be retired
 *     GOING              is being retired; the dead has some of it, the keeper the rest
 *     SPARE              none is there: can be grown
 */
enum {
	SEGMENT_SMALL,
	SEGMENT_LARGE,
	SEGMENT_SMALL_TOO,
	SEGMENT_QUIET,
	SEGMENT_GOING,
	SEGMENT_SPARE,
	SEGMENTS,
};
#define SMALL 64
#define LARGE 2048
#define QUIET 256
#define GOING 512
#define GROWN 128

/* What a growing keeper asks for. */
extern const struct pinion_segment_config operation_grown;

/* What a child works with. prepare() starts from member, victim, inherited and fds. */
struct operation_state {
	uint32_t member;               /* who we are */
	uint32_t victim;               /* who lies dead in the scene */
	uint32_t served;               /* of a keeper: for whom it does what it does */
	struct pinion_pool *inherited; /* the keeper's, mapped as it was when we were forked */
	struct pinion_pool_fds fds;    /* of it; an attach owns copies */
	int fd;                        /* of a segment that came, until extend owns it */
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_buffer buffer;
	struct pinion_buffer many[3 * MAGAZINE];
	struct courier courier; /* if it is a keeper that grows */
};

struct operation {
	const char *name;
	int (*prepare)(struct operation_state *state);
	int (*act)(struct operation_state *state);
	int held;       /* by how many buffers its member then holds more */
	bool exchanges; /* moves a magazine: if not, it was not the path that is meant */
	bool keeper;    /* act() is the keeper's: there is but one at a time. (What a keeper does in
	                 * prepare() is over when anybody is stepped) */
	bool buries;    /* the scene's dead member is its object */
	uint32_t spends; /* a bit for the segment that comes, or goes, in prepare() or act(): the
	                  * scene has one for that */
	uint32_t segment;        /* if it changes the state of one */
	enum slot_state becomes; /* and this, or what comes after, is what it is then */
};

extern const struct operation operations[];
extern const size_t nr_operations;

/* By name, or NULL. */
const struct operation *operation_find(const char *name);

#endif
