/* SPDX-License-Identifier: BSD-3-Clause */
#include "fanin.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fail.h"
#include "fanin_inside.h"

static_assert(READY_LANES == PINION_FANIN_LANES, "a bit for each lane");

int pinion_fanin_create(struct pinion_fanin **out)
{
	KEEP_ERRNO;
	struct pinion_fanin *fanin = calloc(1, sizeof(*fanin));
	int err;

	if (!fanin)
		return pinion_fail(-ENOMEM, "no memory for a fan-in");
	fanin->at = FANIN_NONE;
	fanin->loop = BELL_FD_NONE;
	fanin->notify = fanin->timer = -1;
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

void fanin_leave(struct pinion_fanin *fanin, uint32_t n)
{
	if (fanin->hot[n / 64] & fanin_bit(n))
		fanin_link_out(fanin, n);
	bell_disarm(&channel_rx(fanin->lane[n].channel)->shared->bell);
	fanin->used[n / 64] &= ~fanin_bit(n);
	fanin->lane[n].channel = NULL;
}

int pinion_fanin_destroy(struct pinion_fanin *fanin)
{
	KEEP_ERRNO;

	for (uint32_t n = 0; n < READY_LANES; n++)
		if (fanin->lane[n].channel)
			fanin_leave(fanin, n);
	fanin_close_loop(fanin);
	ready_unmap(fanin->ready);
	(void)close(fanin->fd);
	free(fanin);
	return 0;
}

int pinion_fanin_fd(const struct pinion_fanin *fanin)
{
	return fanin->fd;
}

/* The lane of @channel, or with NULL the first free one; FANIN_NONE. */
static uint32_t find(const struct pinion_fanin *fanin, const struct pinion_channel *channel)
{
	for (uint32_t n = 0; n < READY_LANES; n++)
		if (fanin->lane[n].channel == channel)
			return n;
	return FANIN_NONE;
}

int fanin_reserve(struct pinion_fanin *fanin, struct pinion_channel *channel, uint32_t weight,
		  uint32_t *lane)
{
	uint32_t n;

	if (weight < 1 || weight > PINION_FANIN_WEIGHT_MAX)
		return pinion_fail(-EINVAL, "a weight is from 1 to %u, not %u",
				   PINION_FANIN_WEIGHT_MAX, weight);
	if (!channel_rx(channel)->shared)
		return pinion_fail(-EACCES, "this end of the channel may not receive");
	if (find(fanin, channel) != FANIN_NONE)
		return pinion_fail(-EEXIST, "the channel is in this fan-in already");
	n = find(fanin, NULL);
	if (n == FANIN_NONE)
		return pinion_fail(-ENOSPC, "all %u lanes of the fan-in are taken", READY_LANES);
	fanin->lane[n].channel = channel;
	fanin->lane[n].quota = weight * PINION_FANIN_QUANTUM;
	*lane = n;
	return 0;
}

void fanin_start(struct pinion_fanin *fanin, uint32_t lane)
{
	fanin->used[lane / 64] |= fanin_bit(lane);
	fanin_heat(fanin, lane);
}

int pinion_fanin_add(struct pinion_fanin *fanin, struct pinion_channel *channel, uint32_t weight,
		     uint32_t *lane)
{
	int err = fanin_reserve(fanin, channel, weight, lane);

	if (!err)
		fanin_start(fanin, *lane);
	return err;
}

int pinion_fanin_remove(struct pinion_fanin *fanin, struct pinion_channel *channel)
{
	uint32_t n = find(fanin, channel);

	if (n == FANIN_NONE)
		return -ENOENT;
	fanin_leave(fanin, n);
	return 0;
}
