/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SOAK_BOARD_H
#define PINION_SOAK_BOARD_H

/*
 * The board: what the processes of a soak know of each other, in memory that all of them share and
 * that none of the library's calls touch. It outlives keepers, so that the next one goes on where
 * the last was killed.
 *
 *     supervisor        makes it, reads the results
 *     keeper            seats, links, counts
 *     member            its seat's doing and shown, its ends of links
 *
 * A seat is a place for one member at a time. Seat i and seat i + 1 (the last and the first too)
 * are neighbours: link i lies between them, see link.h.
 *
 *     EMPTY -> LIVE    a child was forked and admitted; it starts when it sees go
 *     LIVE  -> DEAD    its pidfd said so, and pinion_pool_recover() was called
 *     DEAD  -> EMPTY   its neighbours drained what it sent; pinion_pool_release() was called
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <pinion/pool.h>

#define SEATS 6
#define BOARD_IDS 16384 /* more than the pools here have */

/* What a process is doing in the library, and when keepers die. */
enum doing {
	DOING_NOTHING,
	DOING_BECOME,
	DOING_OPEN,
	DOING_CLOSE,
	DOING_FLUSH,
	DOING_ALLOC,
	DOING_FREE,
	DOING_ALLOC_BULK,
	DOING_FREE_BULK,
	DOING_BAD_FREE,
	DOING_SEND,
	DOING_RECV,
	DOING_RECLAIM,
	DOING_LINK,
	DOING_CREATE,
	DOING_ADOPT,
	DOING_ADMIT,
	DOING_RECOVER,
	DOING_RELEASE,
	DOING_GROW,
	DOING_RETIRE,
	DOING_UNLINK,
	DOING_NR,
};

enum seat_state { SEAT_EMPTY, SEAT_LIVE, SEAT_DEAD };

struct seat {
	_Atomic uint32_t state;
	_Atomic uint32_t go;    /* the life that may start */
	_Atomic uint32_t doing; /* enum doing; by its member */
	uint32_t life;          /* counts the members of all seats */
	uint32_t number;        /* its member number in the pool */
	pid_t pid;
	_Atomic uint64_t shown; /* a handle that it held a moment ago: for others to free wrongly */
};

/* One end of a link, of the member whose life it names. The serial is that of the link then. */
struct link_end {
	uint32_t life;
	_Atomic uint32_t opened, closed; /* by its member: the serial */
	_Atomic uint32_t dead;           /* by the keeper: the serial */
};

struct link {
	_Atomic uint32_t serial; /* 0: being made anew */
	int ring[2];             /* files: ring[i] is what end i sends on */
	struct link_end end[2];
};

/* What happened so far. Written by the keeper, by the supervisor where it says so. */
struct tally {
	uint64_t killed, left; /* members: by a signal; of their own will */
	uint64_t killed_in[DOING_NR];
	uint64_t keepers_in[DOING_NR]; /* killed; by the supervisor */
	uint64_t keepers;
	uint64_t returned, transit, magazines;
	uint64_t handed_over; /* by members: roughly, without a lock */
	uint64_t grown, retired, rests, adopted_living;
	uint64_t turns, crowded; /* of the keeper; those in which CROWD members lived */
};

/* Where a named pool stands, for the keeper that comes after a killed one. */
enum era { ERA_MAKING, ERA_MADE, ERA_ENDING, ERA_OVER };

struct board {
	uint64_t seed;
	int nodes;
	uint64_t fuse_ns; /* the longest of the usual ones */
	struct seat seat[SEATS];
	struct link link[SEATS];
	uint32_t next_life, next_serial;
	struct tally tally;
	_Atomic int32_t keeper; /* its pid */
	_Atomic uint32_t keeper_doing;
	_Atomic int32_t file[PINION_SEGMENT_MAX]; /* by slot: the keeper's descriptor */
	enum era era;
	uint64_t generation[BOARD_IDS]; /* by id: the last one seen */
	_Atomic uint32_t has_problem;   /* 1: being written, 2: written */
	char problem[640];
};

struct board *board_create(uint64_t seed);

/* Something is wrong. The first one counts. */
__attribute__((format(printf, 2, 3))) void board_problem(struct board *board, const char *format,
							 ...);
bool board_has_problem(const struct board *board);

const char *doing_name(enum doing doing);

/* Around calls of the library: the value of @call, with @word telling meanwhile what goes on. */
#define WHILE_DOING(word, what, call)                                       \
	({                                                                  \
		atomic_store_explicit((word), (what), memory_order_relaxed); \
		atomic_signal_fence(memory_order_seq_cst);                  \
		__auto_type while_doing_value = (call);                     \
		atomic_signal_fence(memory_order_seq_cst);                  \
		atomic_store_explicit((word), DOING_NOTHING, memory_order_relaxed); \
		while_doing_value;                                          \
	})

#endif
