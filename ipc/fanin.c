/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <pinion/fanin.h>

#include "channel.h"
#include "fail.h"
#include "ready.h"
#include "vigil.h"

static_assert(READY_LANES == PINION_FANIN_LANES, "a bit for each lane");

/* Looks in a row that find nothing, before a lane is cold. More than there are in a round trip
 * between distant cores, so that ping-pong stays hot. */
#define COOL_AFTER 256u
/* Looks that find something, before the producer is let off its fence: to make it fence again costs
 * a barrier of the kernel, as much as some dozens of fences. */
#define RELAX_AFTER 256u
/* Lanes that become cold with one barrier. */
#define TIRED_MAX 64u
/* Calls of recv for one look at a cold lane: it is likely not in the cache. */
#define PATROL_CALLS 16u
/* How long nobody looks at the cold lanes while the receiver sleeps. */
#define PATROL_NS UINT64_C(100000000)
/* Looks at rings before wait sleeps: a count and not a time, which no set_spin() reaches. */
#define SPINS 2000u

#define NONE UINT32_MAX

/*
 * States of a lane, and who moves it (the receiver, always):
 *
 *     free -> hot   add
 *     hot  -> cold  found empty COOL_AFTER times in a row, BELL_LANE stored, empty still
 *     cold -> hot   its bit, or the patrol; at first for one look only: the bit may be a lie
 *     any  -> free  remove; its channel ended
 */
struct lane {
	struct pinion_channel *channel; /* NULL: free */
	uint32_t next, prev;            /* in the circle of those hot */
	uint32_t quota;                 /* descriptors of a turn */
	uint32_t left;                  /* of this turn; 0: the next look begins one */
	uint32_t idle;                  /* looks in a row that found nothing */
	uint32_t busy;                  /* looks that found something, since the producer fences */
};

/* All private but what ready points to. */
struct pinion_fanin {
	struct ready_shared *ready;
	int fd;
	struct bell_ear ear; /* of the bell there: always fenced */
	uint32_t nr_hot;
	uint32_t at;           /* the hot lane whose turn it is; NONE */
	uint32_t calls;        /* of recv until the next step of the patrol */
	uint32_t patrol;       /* where that goes on */
	uint64_t patrolled_ns; /* when wait last looked at all */
	uint64_t pending;      /* words of the summary taken, and not looked at as yet */
	uint64_t used[READY_WORDS], hot[READY_WORDS]; /* a bit for each lane */
	struct lane lane[READY_LANES];
};

static uint64_t bit_of(uint32_t n)
{
	return UINT64_C(1) << n % 64;
}

/* --- hot and cold */

/* Last in the circle: just before the one whose turn it is. */
static void link_in(struct pinion_fanin *fanin, uint32_t n)
{
	struct lane *lane = &fanin->lane[n];

	if (fanin->at == NONE) {
		lane->next = lane->prev = n;
		fanin->at = n;
	} else {
		lane->next = fanin->at;
		lane->prev = fanin->lane[fanin->at].prev;
		fanin->lane[lane->prev].next = n;
		fanin->lane[lane->next].prev = n;
	}
	fanin->hot[n / 64] |= bit_of(n);
	fanin->nr_hot++;
}

static void link_out(struct pinion_fanin *fanin, uint32_t n)
{
	const struct lane *lane = &fanin->lane[n];

	fanin->lane[lane->prev].next = lane->next;
	fanin->lane[lane->next].prev = lane->prev;
	if (fanin->at == n)
		fanin->at = lane->next == n ? NONE : lane->next;
	fanin->hot[n / 64] &= ~bit_of(n);
	fanin->nr_hot--;
}

/* For one look. The bell may still be BELL_LANE, if it was not the producer who set the bit. */
static void heat(struct pinion_fanin *fanin, uint32_t n)
{
	struct lane *lane = &fanin->lane[n];

	bell_disarm(&channel_rx(lane->channel)->shared->bell);
	lane->idle = COOL_AFTER - 1;
	lane->busy = 0;
	lane->left = 0;
	link_in(fanin, n);
}

/* Lanes that are about to be cold. */
struct tired {
	uint32_t lane[TIRED_MAX];
	uint32_t nr;
};

/* One look more at each after the fence: it is what a producer that saw QUIET relies on. */
static void cool(struct pinion_fanin *fanin, struct tired *tired)
{
	bool unfenced = false, fenced;

	for (uint32_t i = 0; i < tired->nr; i++) {
		struct ring *rx = channel_rx(fanin->lane[tired->lane[i]].channel);

		bell_announce(&rx->shared->bell, &rx->ear, BELL_LANE);
		unfenced |= rx->ear.unfenced;
	}
	fenced = bell_fence(unfenced);
	for (uint32_t i = 0; i < tired->nr; i++) {
		struct lane *lane = &fanin->lane[tired->lane[i]];
		struct ring *rx = channel_rx(lane->channel);

		if (fenced)
			rx->ear.unfenced = false;
		lane->idle = lane->busy = 0;
		if (channel_ready(lane->channel))
			bell_disarm(&rx->shared->bell);
		else
			link_out(fanin, tired->lane[i]);
	}
	tired->nr = 0;
}

static void tire(struct pinion_fanin *fanin, struct tired *tired, uint32_t n)
{
	tired->lane[tired->nr++] = n;
	if (tired->nr == TIRED_MAX)
		cool(fanin, tired);
}

/* Those that have something stay hot. */
static void cool_all(struct pinion_fanin *fanin)
{
	struct tired tired = {.nr = 0};
	uint32_t n = fanin->at;

	for (uint32_t left = fanin->nr_hot; left; left--) {
		uint32_t next = fanin->lane[n].next;
		struct ring *rx = channel_rx(fanin->lane[n].channel);

		ring_give_rest(rx);
		tire(fanin, &tired, n);
		n = next;
	}
	if (tired.nr)
		cool(fanin, &tired);
}

/* What the ready set says, a word of it at a time: 64 lanes at most. */
static void take_posts(struct pinion_fanin *fanin)
{
	uint64_t bits;
	uint32_t word;

	if (!fanin->pending && ready_any(fanin->ready))
		fanin->pending = ready_take_summary(fanin->ready); /* A6 */
	if (__builtin_expect(!fanin->pending, 1))
		return;
	word = (uint32_t)__builtin_ctzll(fanin->pending);
	fanin->pending &= fanin->pending - 1;
	bits = ready_take_word(fanin->ready, word); /* A5 */
	for (bits &= fanin->used[word] & ~fanin->hot[word]; bits; bits &= bits - 1)
		heat(fanin, word * 64 + (uint32_t)__builtin_ctzll(bits));
}

/* The first cold lane from @n on, round the end; NONE. */
static uint32_t next_cold(const struct pinion_fanin *fanin, uint32_t n)
{
	uint64_t mask = UINT64_MAX << n % 64;

	for (uint32_t i = 0; i <= READY_WORDS; i++, mask = UINT64_MAX) {
		uint32_t word = (n / 64 + i) % READY_WORDS;
		uint64_t cold = fanin->used[word] & ~fanin->hot[word] & mask;

		if (cold)
			return word * 64 + (uint32_t)__builtin_ctzll(cold);
	}
	return NONE;
}

/* One cold lane, whatever the ready set says of it. */
static void patrol(struct pinion_fanin *fanin)
{
	uint32_t n = next_cold(fanin, fanin->patrol);

	fanin->calls = PATROL_CALLS - 1;
	if (n == NONE)
		return;
	fanin->patrol = (n + 1) % READY_LANES;
	if (channel_ready(fanin->lane[n].channel))
		heat(fanin, n);
}

/* All of them. Seldom enough for a system call where a channel has a pidfd. */
static void patrol_all(struct pinion_fanin *fanin, uint64_t now)
{
	for (uint32_t word = 0; word < READY_WORDS; word++)
		for (uint64_t cold = fanin->used[word] & ~fanin->hot[word]; cold;
		     cold &= cold - 1) {
			uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(cold);

			channel_look(fanin->lane[n].channel);
			if (channel_ready(fanin->lane[n].channel))
				heat(fanin, n);
		}
	fanin->patrolled_ns = now;
}

/* --- life */

int pinion_fanin_create(struct pinion_fanin **out)
{
	KEEP_ERRNO;
	struct pinion_fanin *fanin = calloc(1, sizeof(*fanin));
	int err;

	if (!fanin)
		return pinion_fail(-ENOMEM, "no memory for a fan-in");
	fanin->at = NONE;
	err = ready_create(&fanin->fd);
	if (err)
		goto free_fanin;
	err = ready_map(fanin->fd, &fanin->ready);
	if (err)
		goto close_fd;
	*out = fanin;
	return 0;

close_fd:
	(void)close(fanin->fd);
free_fanin:
	free(fanin);
	return err;
}

/* Its bell is as it was before it came here. */
static void leave(struct pinion_fanin *fanin, uint32_t n)
{
	if (fanin->hot[n / 64] & bit_of(n))
		link_out(fanin, n);
	bell_disarm(&channel_rx(fanin->lane[n].channel)->shared->bell);
	fanin->used[n / 64] &= ~bit_of(n);
	fanin->lane[n].channel = NULL;
}

int pinion_fanin_destroy(struct pinion_fanin *fanin)
{
	KEEP_ERRNO;

	for (uint32_t n = 0; n < READY_LANES; n++)
		if (fanin->lane[n].channel)
			leave(fanin, n);
	ready_unmap(fanin->ready);
	(void)close(fanin->fd);
	free(fanin);
	return 0;
}

int pinion_fanin_fd(const struct pinion_fanin *fanin)
{
	return fanin->fd;
}

/* The lane of @channel, or with NULL the first free one; NONE. */
static uint32_t find(const struct pinion_fanin *fanin, const struct pinion_channel *channel)
{
	for (uint32_t n = 0; n < READY_LANES; n++)
		if (fanin->lane[n].channel == channel)
			return n;
	return NONE;
}

int pinion_fanin_add(struct pinion_fanin *fanin, struct pinion_channel *channel, uint32_t weight,
		     uint32_t *lane)
{
	uint32_t n;

	if (weight < 1 || weight > PINION_FANIN_WEIGHT_MAX)
		return pinion_fail(-EINVAL, "a weight is from 1 to %u, not %u",
				   PINION_FANIN_WEIGHT_MAX, weight);
	if (find(fanin, channel) != NONE)
		return pinion_fail(-EEXIST, "the channel is in this fan-in already");
	n = find(fanin, NULL);
	if (n == NONE)
		return pinion_fail(-ENOSPC, "all %u lanes of the fan-in are taken", READY_LANES);
	fanin->lane[n].channel = channel;
	fanin->lane[n].quota = weight * PINION_FANIN_QUANTUM;
	fanin->used[n / 64] |= bit_of(n);
	heat(fanin, n);
	*lane = n;
	return 0;
}

int pinion_fanin_remove(struct pinion_fanin *fanin, struct pinion_channel *channel)
{
	uint32_t n = find(fanin, channel);

	if (n == NONE)
		return -ENOENT;
	leave(fanin, n);
	return 0;
}

/* --- work */

/* At most what is left of its turn. A ring that gave less than it was asked for is empty: its turn
 * is over. */
static int serve(struct lane *lane, struct pinion_desc *desc, uint32_t nr)
{
	int got = -EAGAIN;

	if (!lane->left)
		lane->left = lane->quota;
	nr = nr < lane->left ? nr : lane->left;
	if (channel_ready(lane->channel))
		got = pinion_channel_recv(lane->channel, desc, nr);
	lane->left = got == (int)nr ? lane->left - nr : 0;
	return got;
}

static void found_empty(struct pinion_fanin *fanin, uint32_t n, struct tired *tired)
{
	struct ring *rx = channel_rx(fanin->lane[n].channel);

	ring_give_rest(rx);
	if (++fanin->lane[n].idle >= COOL_AFTER)
		tire(fanin, tired, n);
}

static void found_busy(struct lane *lane)
{
	struct ring *rx = channel_rx(lane->channel);

	lane->idle = 0;
	if (++lane->busy == RELAX_AFTER && !rx->ear.unfenced)
		bell_relax(&rx->shared->bell, &rx->ear);
}

/* The lane whose turn it is. */
static int look(struct pinion_fanin *fanin, struct pinion_channel **channel,
		struct pinion_desc *desc, uint32_t nr, struct tired *tired)
{
	uint32_t n = fanin->at;
	struct lane *lane = &fanin->lane[n];
	int got = serve(lane, desc, nr);

	if (!lane->left)
		fanin->at = lane->next;
	if (got == -EAGAIN) {
		found_empty(fanin, n, tired);
		return got;
	}
	*channel = lane->channel;
	found_busy(lane);
	if (got == -EPIPE || got == -EPROTO)
		leave(fanin, n);
	return got;
}

int pinion_fanin_recv(struct pinion_fanin *fanin, struct pinion_channel **channel,
		      struct pinion_desc *desc, uint32_t nr)
{
	struct tired tired;
	int got = -EAGAIN;

	tired.nr = 0;
	take_posts(fanin);
	if (!fanin->calls--)
		patrol(fanin);
	for (uint32_t left = fanin->nr_hot; left && got == -EAGAIN; left--)
		got = look(fanin, channel, desc, nr, &tired);
	if (tired.nr)
		cool(fanin, &tired);
	return got;
}

/* Has any hot lane something? */
static bool any_ready(const struct pinion_fanin *fanin)
{
	uint32_t n = fanin->at;

	for (uint32_t left = fanin->nr_hot; left; left--, n = fanin->lane[n].next)
		if (channel_ready(fanin->lane[n].channel))
			return true;
	return false;
}

static bool find_ready(void *context)
{
	struct pinion_fanin *fanin = context;

	take_posts(fanin);
	return any_ready(fanin);
}

static bool spin(struct pinion_fanin *fanin)
{
	for (uint32_t looks = 0; looks < SPINS; looks += 1 + fanin->nr_hot)
		if (vigil_spin(find_ready, fanin, 1))
			return true;
	return false;
}

/* What has nothing is cold after this, what is hot has something. */
static bool arm(void *context)
{
	struct pinion_fanin *fanin = context;
	uint64_t now = bell_now_ns();

	cool_all(fanin);
	if (!fanin->nr_hot && now - fanin->patrolled_ns >= PATROL_NS)
		patrol_all(fanin, now);
	return fanin->nr_hot;
}

/* pre: all lanes are cold. */
static int sleep_once(void *context, uint64_t deadline)
{
	struct pinion_fanin *fanin = context;
	uint64_t patrol_ns = fanin->patrolled_ns + PATROL_NS;
	struct bell *bell = &fanin->ready->bell;
	int err = 0;

	bell_arm(bell, &fanin->ear, BELL_ARMED);
	if (!fanin->pending && !ready_any(fanin->ready))
		err = bell_wait(bell, deadline < patrol_ns ? deadline : patrol_ns);
	bell_disarm(bell);
	return err;
}

int pinion_fanin_wait(struct pinion_fanin *fanin, uint64_t timeout_ns)
{
	KEEP_ERRNO;
	static const struct vigil vigil = {find_ready, arm, sleep_once, NULL};
	uint64_t deadline = vigil_later(bell_now_ns(), timeout_ns);

	return spin(fanin) ? 0 : vigil_sleep(&vigil, fanin, deadline);
}
