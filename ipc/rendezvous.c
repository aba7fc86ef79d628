/* SPDX-License-Identifier: BSD-3-Clause */
#include "rendezvous_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fail.h"
#include "ring.h"

/* Things looked at in one call of next(), so that a flood of them holds nobody up. */
#define EVENTS_PER_CALL 32

/* One thing that happened; 1 when the caller is to hear of it, -EAGAIN when that is all for now. */
static int one(struct pinion_rendezvous *rendezvous, struct pinion_event *event)
{
	struct epoll_event happened;
	uintptr_t tag;
	int nr = epoll_wait(rendezvous->epoll, &happened, 1, 0);

	if (nr <= 0)
		return nr < 0 && errno != EINTR ? -errno : -EAGAIN;
	tag = (uintptr_t)happened.data.ptr;
	if (!tag)
		return rendezvous_arrive(rendezvous);
	if (tag == (uintptr_t)rendezvous) {
		rendezvous_hear_timer(rendezvous);
		return 0;
	}
	if (tag & 1)
		return rendezvous_died(rendezvous, (struct peer *)(tag - 1), event);
	return rendezvous_hear(rendezvous, (struct peer *)tag, event);
}

int pinion_rendezvous_next(struct pinion_rendezvous *rendezvous, struct pinion_event *event)
{
	KEEP_ERRNO;
	/* Before anything is accepted or heard: it is the keeper's to answer. */
	int err = pool_check_keeper(rendezvous->pool), happened = 0;

	if (err)
		return err;
	for (int i = 0; !happened && i < EVENTS_PER_CALL; i++)
		happened = one(rendezvous, event);
	/* Whatever that was: who is not let go of may be what keeps it from working. */
	rendezvous_turn_away_the_slow(rendezvous);
	rendezvous_pay(rendezvous);
	return happened == -EAGAIN ? 0 : happened;
}

static struct pinion_rendezvous_config filled_in(const struct pinion_rendezvous_config *config)
{
	static const struct pinion_rendezvous_config none = {0};
	struct pinion_rendezvous_config full = config ? *config : none;

	if (!full.slots)
		full.slots = 1024;
	if (!full.slots_max)
		full.slots_max = full.slots;
	if (!full.rights)
		full.rights = PINION_RIGHT_BOTH;
	if (!full.mode)
		full.mode = 0600;
	if (!full.backlog)
		full.backlog = 16;
	return full;
}

static int check_config(const struct pinion_rendezvous_config *config)
{
	int err = ring_check_slots(config->slots);

	if (!err)
		err = ring_check_slots(config->slots_max);
	if (!err && config->rights & ~PINION_RIGHT_BOTH)
		err = pinion_fail(-EINVAL, "there are no rights %#x", config->rights);
	return err;
}

/* What it is woken by: who connects, and what is owed. */
static int open_epoll(struct pinion_rendezvous *rendezvous, const char *path)
{
	int err;

	rendezvous->epoll = epoll_create1(EPOLL_CLOEXEC);
	err = rendezvous->epoll < 0 ? -errno
				    : rendezvous_watch(rendezvous, rendezvous->listener.fd, NULL);
	if (!err)
		err = rendezvous_open_timer(rendezvous);
	if (!err)
		return 0;
	if (rendezvous->epoll >= 0)
		(void)close(rendezvous->epoll);
	return pinion_fail(err, "%s: cannot watch the socket: %s", path, strerror(-err));
}

int pinion_rendezvous_open(struct pinion_pool *pool, const char *path,
			   const struct pinion_rendezvous_config *config,
			   struct pinion_rendezvous **out)
{
	KEEP_ERRNO;
	struct pinion_rendezvous *rendezvous;
	int err = pool_check_keeper(pool);

	if (err)
		return err;
	rendezvous = calloc(1, sizeof(*rendezvous));
	if (!rendezvous)
		return pinion_fail(-ENOMEM, "no memory for a rendezvous");
	rendezvous->pool = pool;
	rendezvous->config = filled_in(config);
	LIST_INIT(&rendezvous->peers);
	err = check_config(&rendezvous->config);
	if (err)
		goto free_rendezvous;
	err = listener_open(&rendezvous->listener, path, rendezvous->config.mode);
	if (err)
		goto free_rendezvous;
	err = open_epoll(rendezvous, path);
	if (err)
		goto close_listener;
	rendezvous->courier.announce = rendezvous_announce;
	LIST_INSERT_HEAD(&pool->couriers, &rendezvous->courier, link);
	*out = rendezvous;
	return 0;

close_listener:
	listener_close(&rendezvous->listener);
free_rendezvous:
	free(rendezvous);
	return err;
}

int pinion_rendezvous_close(struct pinion_rendezvous *rendezvous)
{
	KEEP_ERRNO;
	struct peer *peer, *next;

	LIST_REMOVE(&rendezvous->courier, link);
	listener_close(&rendezvous->listener);
	LIST_FOREACH_SAFE(peer, &rendezvous->peers, link, next)
	rendezvous_forget(rendezvous, peer);
	(void)close(rendezvous->timer);
	(void)close(rendezvous->epoll);
	free(rendezvous);
	return 0;
}

int pinion_rendezvous_fd(const struct pinion_rendezvous *rendezvous)
{
	return rendezvous->epoll;
}
