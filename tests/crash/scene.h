/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_SCENE_H
#define PINION_TESTS_SCENE_H

/*
 * The pool on which everything here is played, always from the same state.
 *
 *     member  who                                   in the first state
 *     KEEPER  the tracer: recovers, checks; but in  nothing held, no cache open
 *             operations of a keeper, after FIRST
 *     FIRST   the child that is stepped             admitted
 *     SECOND  another beside it (stall.c)           admitted
 *     DEAD    one killed in the middle of things    buffers of three sizes held, magazines
 *     4       a free slot                           for admit
 *
 * Its segments are told of in operations.h; a scene of two has place for one more.
 *
 * It is as small as the operations allow, because a check looks at all of it at every point.
 */

#include "operations.h"
#include "snapshot.h"
#include "step.h"

#define SCENE_FIRST 1u /* 0 is the keeper */
#define SCENE_SECOND 2u
#define SCENE_DEAD 3u
#define SCENE_MEMBERS 5u

struct scene {
	struct pinion_pool *pool;   /* the keeper's */
	struct pinion_pool *shadow; /* on which checks run */
	struct snapshot base;       /* the first state */
};

/* An operation and the child that plays it. */
struct actor {
	const struct operation *operation;
	uint32_t member;
	uint32_t held; /* buffers that the member held when the stepped part began */
	bool waits;    /* until another has had a keeper do the deed of both */
	struct operation_state state;
	struct tracee tracee;
};

void scene_open(struct scene *scene);
void scene_open_for_two(struct scene *scene);
void scene_close(struct scene *scene);

/* Back to the first state. pre: no child has the pool. */
void scene_reset(struct scene *scene);

/* A child of @member comes to the start marker of @operation. */
void scene_enter(struct scene *scene, struct actor *actor, const struct operation *operation,
		 uint32_t member);

/* Two whose operations have one deed: the first comes as far as that, the second has it done on its
 * way, and both come to their start markers. */
void scene_enter_both(struct scene *scene, struct actor *first, const struct operation *operation,
		      struct actor *second, const struct operation *other);

/* What @actor's operation should have done and did not, or NULL. pre: STEP_DONE. */
const char *scene_claim(struct scene *scene, const struct actor *actor);

/* Members that are gone when @actor is: itself, and the one that it was burying. A bit each. */
uint32_t scene_victims(const struct actor *actor);

#endif
