/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_OPERATIONS_H
#define TESTS_FAULT_OPERATIONS_H

/*
 * The operations that are made to fail. One more is one more line in a table; the rest follows.
 *
 *     setup      what has to be there before        undisturbed
 *     run        the operation itself               one fault
 *     use        does the result work?              undisturbed, when run() said 0
 *     undo       back to what setup left            undisturbed, when run() said 0
 *     teardown   undoes setup                       undisturbed
 *
 * run() is one call of the library: every system call and every allocation in it fails once.
 * What the process holds (leak.h) is the same after setup, after a run() that failed, and after
 * undo. Only run is not optional.
 *
 * The exception is what a data path does beside its work, and keeps when it fails (keeps): a
 * segment mapped on the way, a file received. The undo of a later success takes that back, too.
 *
 * An operation that ends something (destroy, close) is final: its thing is gone whatever it
 * returns. Then its undo makes the thing anew, and when run() failed, only teardown follows.
 *
 * Calls of the drop-in headers (headers.h) are bare, and held to other promises.
 */

#include <stdbool.h>
#include <stddef.h>

#include <pinion/broadcast.h>
#include <pinion/cache.h>
#include <pinion/channel.h>
#include <pinion/domain.h>
#include <pinion/fanin.h>
#include <pinion/named.h>
#include <pinion/pool.h>
#include <pinion/request.h>
#include <pinion/rendezvous.h>
#include <pinion/resume.h>
#include <pinion/session.h>
#include <pinion/wait.h>

/* What an operation works with: as much of it as it needs. */
struct scene {
	char dir[64];        /* its own; "": it needs none */
	char path[96];       /* of a socket, or of a named pool, in it */
	pid_t other;         /* a process at the other end; 0: none */
	struct pinion_pool *pool, *joined;
	struct pinion_pool_fds files;
	uint32_t member, slot;
	struct pinion_cache *cache;
	struct pinion_buffer *held; /* all that the cache had, see scene_take_all() */
	uint32_t nr_held;
	struct pinion_buffer buffer;
	struct pinion_adoption adoption;
	bool lives; /* what was said of this process */
	struct pinion_domain *domain, *attached;
	int fd, ring[2];
	struct pinion_channel *channel, *sender;
	struct pinion_ring *tx, *rx[2]; /* tx sends to the last of rx */
	struct pinion_broadcast *broadcast;
	struct pinion_seat *seat;
	struct pinion_fanin *fanin;
	uint32_t lane, consumer;
	struct pinion_requester *requester;
	struct pinion_rendezvous *rendezvous;
	struct pinion_session *session;
	void *block;         /* planted.c */
};

struct operation {
	const char *name;
	void (*setup)(struct scene *scene);
	int (*run)(struct scene *scene);
	const char *(*use)(struct scene *scene); /* what does not work, or NULL */
	void (*undo)(struct scene *scene);
	void (*teardown)(struct scene *scene);
	bool final;
	bool terse; /* of a data path: its errors have no sentence */
	bool keeps; /* what a failed run mapped or was sent may stay, for the next */
	bool mount; /* it mounts a hugetlbfs: CAP_SYS_ADMIN */
	unsigned huge; /* free hugepages of 2 MiB that it takes */
	bool phys;     /* it takes physical addresses: CAP_SYS_ADMIN */
	const char *(*kept)(struct scene *scene); /* what a failed run() changed, or NULL */
	/* Of a drop-in header: its errors have no sentence, and errno is its own. */
	bool bare;
	void *out;      /* where run() puts its results, kept by a failure; NULL: anywhere */
	size_t out_len; /* bytes */
	const int *may; /* errors beside the injected one, told in the header; 0 ends */
	const char *mistake; /* planted.c: part of what is said of it; NULL: it makes none */
};

/* Tables, each ended by an operation without a name. */
extern const struct operation pool_operations[];
extern const struct operation segment_operations[];
extern const struct operation named_operations[];
extern const struct operation resume_operations[];
extern const struct operation domain_operations[];
extern const struct operation ipc_operations[];
extern const struct operation wait_operations[];
extern const struct operation broadcast_operations[];
extern const struct operation fanin_operations[];
extern const struct operation planted_operations[]; /* planted.c: mistakes made on purpose */

/* All but the planted ones, ended by NULL: tables.c, or those of the headers in headers.c. */
extern const struct operation *const operation_tables[];

/* What a run() gives whose call is right when it says @right, and else fails as it says. */
static inline int operation_unless(int result, int right)
{
	return result == right ? 0 : result;
}

/* Why it cannot run here, or NULL. */
const char *operation_missing(const struct operation *operation);

#endif
