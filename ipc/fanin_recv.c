/* SPDX-License-Identifier: BSD-3-Clause */
/* The turns of a fan-in's hot lanes. */
#include <errno.h>

#include "fanin_inside.h"

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
	if (++fanin->lane[n].idle >= FANIN_COOL_AFTER)
		fanin_tire(fanin, tired, n);
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
	lane->idle = 0;
	if (got == -EPIPE || got == -EPROTO)
		fanin_leave(fanin, n);
	return got;
}

int pinion_fanin_recv(struct pinion_fanin *fanin, struct pinion_channel **channel,
		      struct pinion_desc *desc, uint32_t nr)
{
	struct tired tired;
	int got = -EAGAIN;

	tired.nr = 0;
	fanin_take_posts(fanin);
	if (!fanin->calls--)
		fanin_patrol(fanin);
	for (uint32_t left = fanin->nr_hot; left && got == -EAGAIN; left--)
		got = look(fanin, channel, desc, nr, &tired);
	if (tired.nr)
		fanin_cool(fanin, &tired);
	return got;
}
