/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IPC_FANIN_INSIDE_H
#define IPC_FANIN_INSIDE_H

/*
 * A fan-in from inside, for the files that it is made of:
 *
 *     fanin.c        life, and which channels are in it
 *     fanin_heat.c   which lanes are hot, and which cold
 *     fanin_recv.c   the turns of those that are hot
 *     fanin_wait.c   sleep, when all are cold, here or in a loop
 */

#include <stdbool.h>
#include <stdint.h>

#include <pinion/fanin.h>

#include "bell_fd.h"
#include "channel.h"
#include "ready.h"

/* Looks in a row that find nothing, before a lane is cold. More than there are in a round trip
 * between distant cores, so that ping-pong stays hot. */
#define FANIN_COOL_AFTER 256u
/* Lanes that become cold with one barrier. */
#define FANIN_TIRED_MAX 64u
/* How long nobody looks at the cold lanes while the receiver sleeps. */
#define FANIN_PATROL_NS UINT64_C(100000000)

#define FANIN_NONE UINT32_MAX

/*
 * States of a lane, and who moves it (the receiver, always):
 *
 *     free -> kept  fanin_reserve(): it has a channel, and nobody looks at it
 *     kept -> hot   fanin_start()
 *     free -> hot   add, which is both
 *     hot  -> cold  found empty FANIN_COOL_AFTER times in a row, BELL_LANE stored, empty still
 *     cold -> hot   its bit, or the patrol; at first for one look only: the bit may be a lie
 *     any  -> free  remove; its channel ended
 */
struct lane {
	struct pinion_channel *channel; /* NULL: free */
	uint32_t next, prev;            /* in the circle of those hot */
	uint32_t quota;                 /* descriptors of a turn */
	uint32_t left;                  /* of this turn; 0: the next look begins one */
	uint32_t idle;                  /* looks in a row that found nothing */
};

/* All private but what ready points to. */
struct pinion_fanin {
	struct ready_shared *ready;
	int fd;
	struct bell_ear ear; /* of the bell there: always fenced */
	struct bell_fd loop; /* with the timer; none before the first loop_fd() */
	int notify;          /* what producers are given of it */
	int timer;           /* for the next look at all, while somebody else's loop sleeps */
	uint64_t timer_ns;   /* to when it is set */
	uint32_t nr_hot;
	uint32_t at;           /* the hot lane whose turn it is; FANIN_NONE */
	uint32_t calls;        /* of recv until the next step of the patrol */
	uint32_t patrol;       /* where that goes on */
	uint64_t patrolled_ns; /* when wait last looked at all */
	uint64_t pending;      /* words of the summary taken, and not looked at as yet */
	uint64_t used[READY_WORDS], hot[READY_WORDS]; /* a bit for each lane */
	struct lane lane[READY_LANES];
};

static inline uint64_t fanin_bit(uint32_t n)
{
	return UINT64_C(1) << n % 64;
}

/* Lanes that are about to be cold. */
struct tired {
	uint32_t lane[FANIN_TIRED_MAX];
	uint32_t nr;
};

void fanin_close_loop(const struct pinion_fanin *fanin);

/* Its bell is as it was before it came here. */
void fanin_leave(struct pinion_fanin *fanin, uint32_t n);

/* --- hot and cold */

/* For one look. The bell may still be BELL_LANE, if it was not the producer who set the bit. */
void fanin_heat(struct pinion_fanin *fanin, uint32_t n);
void fanin_link_out(struct pinion_fanin *fanin, uint32_t n);

/* Cold, but for those that have something after all. fanin_tire() does so when there are many. */
void fanin_cool(struct pinion_fanin *fanin, struct tired *tired);
void fanin_tire(struct pinion_fanin *fanin, struct tired *tired, uint32_t n);
void fanin_cool_all(struct pinion_fanin *fanin);

/* One cold lane, whatever the ready set says of it; or all, at @now. */
void fanin_patrol(struct pinion_fanin *fanin);
void fanin_patrol_all(struct pinion_fanin *fanin, uint64_t now);

/* pre: a word is pending. */
void fanin_take_word(struct pinion_fanin *fanin);

/* What the ready set says, a word of it at a time: 64 lanes at most. */
static inline void fanin_take_posts(struct pinion_fanin *fanin)
{
	if (!fanin->pending && ready_any(fanin->ready))
		fanin->pending = ready_take_summary(fanin->ready); /* A6 */
	if (__builtin_expect(fanin->pending != 0, 0))
		fanin_take_word(fanin);
}

#endif
