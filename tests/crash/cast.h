/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_CAST_H
#define PINION_TESTS_CAST_H

/*
 * Processes that use piniond, and do one thing when they are told to.
 *
 *     test                      actor
 *     ----                      -----
 *     actor_start()             waits for an order; serves, and hears of events meanwhile
 *     actor_tell(ORDER)  --->   does it
 *     actor_answer()     <---   0 or -errno
 *     actor_kill()              is killed
 */

#include <stdbool.h>
#include <sys/types.h>

enum order {
	ORDER_IN_APART = 1,  /* what follows is about the pool of a client's own */
	ORDER_IN_NAMED,      /* ... about the one on hugetlbfs */
	ORDER_IN_LOOP,       /* who is let in then is to be woken in a loop */
	ORDER_ATTACH_POOL,   /* become a client, without a device */
	ORDER_ATTACH_OWN,    /* ... in a pool of its own */
	ORDER_ATTACH_DEVICE, /* ... with one */
	ORDER_ATTACH_APART,  /* ... both, as nobody */
	ORDER_HOLD,          /* take some buffers, and send some */
	ORDER_HOLD_ALL,      /* take all there are */
	ORDER_WORK,          /* to the device and back */
	ORDER_REJOIN,        /* until the service is back, if it is known to be lost */
	ORDER_LOSE,          /* ... is lost, and then back */
	ORDER_LEFT,          /* until the device process has left */
	ORDER_SETTLE,        /* ... and then this */
	ORDER_CLOSE,
	ORDER_ANNOUNCE, /* become a device process */
	ORDER_READY,
	ORDER_SHARE,       /* where all lies, as a pretended IOMMU has it */
	ORDER_SHARE_APART, /* ... in the pool of a client's own */
	ORDER_PARK,        /* a container */
	ORDER_FRAMES,      /* ask where the pages of its pool lie */
	ORDER_SEE,         /* as a client, until that was told */
	ORDER_GROW, /* as an administrator */
	ORDER_RETIRE,
	ORDER_CREATE,
	ORDER_DESTROY,
	ORDER_DESTROY_SPARE, /* one that the configuration has, and the next service makes again */
	ORDER_FIND,          /* what number the client has */
	ORDER_KICK,          /* who was found: his process is dead then */
	ORDER_ADDR,          /* where a buffer lies; -ENODATA: nobody has shared that */
	ORDER_DESTROY_NAMED,
};

struct actor {
	pid_t pid; /* 0: there is none */
	int line;
};

void actor_start(struct actor *actor);
void actor_tell(const struct actor *actor, enum order order);
bool actor_has_answered(const struct actor *actor);
int actor_answer(const struct actor *actor); /* -ETIMEDOUT: not within a minute */
int actor_do(const struct actor *actor, enum order order);
/* By somebody else, and for certain. */
bool actor_was_killed(const struct actor *actor);
void actor_kill(struct actor *actor);

#define CAST_EXTRA "extra"   /* the pool that an administrator makes */
#define CAST_SPARE "spare"   /* the one that nobody is in */
#define CAST_APART "guest.1" /* the one of a client's own */
#define CAST_NAMED "named"   /* the one on hugetlbfs */

#endif
