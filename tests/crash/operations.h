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
 * What a keeper does in between, for the member to come upon in act(), is its deed: when two are to
 * come upon the same, it is done when both are prepared, once.
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
 *     SPARE              none is there: can be grown. One like QUIET comes there for a keeper that
 *                        is to retire some beside one that is told of QUIET's end
 *     SPARE_TOO          likewise, for a keeper beside one that is told of a segment in the other:
 *                        only in a scene of two
 */
enum {
	SEGMENT_SMALL,
	SEGMENT_LARGE,
	SEGMENT_SMALL_TOO,
	SEGMENT_QUIET,
	SEGMENT_GOING,
	SEGMENT_SPARE,
	SEGMENTS,
	SEGMENT_SPARE_TOO = SEGMENTS,
	SEGMENTS_OF_TWO,
};
#define SMALL 64
#define LARGE 2048
#define QUIET 256
#define GOING 512
#define GROWN 128

/* What a growing keeper asks for. */
extern const struct pinion_segment_config operation_grown;

/* What a child works with. prepare() starts from what stands above pool, but for fd. */
struct operation_state {
	uint32_t member;               /* who we are */
	uint32_t victim;               /* who lies dead in the scene */
	uint32_t served;               /* of a keeper: for whom it does what it does */
	uint32_t segment;              /* that of the table, or one in its place */
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
	int (*deed)(struct operation_state *keeper); /* done before act(), see above */
	int (*after)(struct operation_state *state); /* what else is prepared then */
	uint32_t segment;        /* if it changes the state of one, or its deed did */
	enum slot_state becomes; /* and this, or what comes after, is what it is then */
};

/* Has a keeper of its own do what it is to come upon. */
int operation_do_deed(const struct operation *operation, struct operation_state *state);

extern const struct operation operations[];
extern const size_t nr_operations;

/* By name, or NULL. */
const struct operation *operation_find(const char *name);

#endif
