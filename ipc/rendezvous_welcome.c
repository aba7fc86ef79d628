/* SPDX-License-Identifier: BSD-3-Clause */
/* What a newcomer is given: a slot of the pool, its files, a channel, a lane. */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include <pinion/wait.h>

#include "fanin.h"
#include "membership.h"
#include "rendezvous_inside.h"
#include "ring.h"

static void close_rings(const int rings[2])
{
	for (int i = 0; i < 2; i++)
		if (rings[i] >= 0)
			(void)close(rings[i]);
}

/* The rings, our end of the channel opened; @rings: what the newcomer gets, its tx first. -1: one
 * that it has no right to, and that nobody makes. */
static int make_channel(struct pinion_rendezvous *rendezvous, struct peer *peer, int rings[2])
{
	int err = 0;

	rings[0] = rings[1] = -1;
	if (peer->rights & PINION_RIGHT_SEND)
		err = pinion_ring_create(peer->slots, &rings[0]);
	if (!err && peer->rights & PINION_RIGHT_RECV)
		err = pinion_ring_create(peer->slots, &rings[1]);
	if (!err)
		err = pinion_channel_open(rendezvous->pool, rings[1], rings[0], peer->member,
					  &peer->channel);
	if (err)
		close_rings(rings);
	return err;
}

/* The pool's files, then the rings that it gets. */
static unsigned list_files(const struct pinion_pool *pool, const int rings[2],
			   int files[MESSAGE_FILES_MAX], uint64_t *segments)
{
	unsigned nr = membership_files(pool, files, segments);

	for (int i = 0; i < 2; i++)
		if (rings[i] >= 0)
			files[nr++] = rings[i];
	return nr;
}

/* What wakes the keeper's loop: it waits for each channel, or for its fan-in. */
static int notify_fd(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (rendezvous_has_lane(rendezvous, peer))
		return pinion_fanin_notify_fd(rendezvous->config.fanin);
	return pinion_channel_notify_fd(peer->channel);
}

static int send_welcome(struct pinion_rendezvous *rendezvous, struct peer *peer, const int rings[2])
{
	struct message welcome = {.magic = MESSAGE_MAGIC,
				  .version = MESSAGE_VERSION,
				  .kind = MESSAGE_WELCOME,
				  .member = peer->member,
				  .keeper = pinion_pool_member(rendezvous->pool),
				  .rights = peer->rights};
	int files[MESSAGE_FILES_MAX];
	unsigned nr;

	if (getrandom(&peer->cookie, sizeof(peer->cookie), 0) != sizeof(peer->cookie))
		return -EIO;
	welcome.cookie = peer->cookie;
	nr = list_files(rendezvous->pool, rings, files, &welcome.segments);
	if (rendezvous->config.loop && peer->rights & PINION_RIGHT_SEND) {
		files[nr] = notify_fd(rendezvous, peer);
		if (files[nr] < 0)
			return files[nr];
		nr++;
		welcome.value |= MESSAGE_LAST_NOTIFY;
	}
	if (rendezvous_has_lane(rendezvous, peer)) {
		files[nr++] = pinion_fanin_fd(rendezvous->config.fanin);
		welcome.value |= MESSAGE_LAST_READY;
		welcome.lane = peer->lane;
	}
	return message_send(peer->socket, &welcome, files, nr);
}

/* A process that was welcomed and did not join has a slot until it dies: one is enough. */
static bool has_slot_unused(const struct pinion_rendezvous *rendezvous, pid_t pid)
{
	const struct peer *peer;

	LIST_FOREACH(peer, &rendezvous->peers, link)
		if (peer->identity.pid == pid &&
		    (peer->state == WELCOMED || peer->state == SHUNNED))
			return true;
	return false;
}

/* Of each ring, for a peer that wants @wanted. What a ring cannot have is refused before anything
 * is made for it. */
static int choose_slots(const struct pinion_rendezvous_config *config, uint32_t wanted,
			uint32_t *slots)
{
	*slots = wanted < config->slots_max ? wanted : config->slots_max;
	if (wanted)
		return ring_check_slots(wanted);
	*slots = config->slots;
	return 0;
}

/* Nothing comes out of it before the peer has joined. */
static int reserve_lane(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	int err = 0;

	if (rendezvous_has_lane(rendezvous, peer))
		err = fanin_reserve(rendezvous->config.fanin, peer->channel, 1, &peer->lane);
	return err == -ENOSPC ? -EAGAIN : err;
}

/* Of what it wants, what it may. */
static int choose_rights(const struct pinion_rendezvous_config *config, uint32_t wanted,
			 uint32_t *rights)
{
	*rights = wanted ? wanted & config->rights : config->rights;
	if (wanted & ~PINION_RIGHT_BOTH)
		return -EINVAL;
	return *rights ? 0 : -EACCES;
}

int rendezvous_welcome(struct pinion_rendezvous *rendezvous, struct peer *peer,
		       const struct message *hello)
{
	int rings[2], err;

	if (has_slot_unused(rendezvous, peer->identity.pid))
		return -EBUSY;
	err = choose_slots(&rendezvous->config, hello->slots, &peer->slots);
	if (!err)
		err = choose_rights(&rendezvous->config, hello->rights, &peer->rights);
	if (err)
		return err;
	err = pinion_pool_admit(rendezvous->pool, peer->identity.pid, &peer->member);
	if (err)
		return err;
	err = make_channel(rendezvous, peer, rings);
	if (!err) {
		err = reserve_lane(rendezvous, peer);
		if (!err)
			err = send_welcome(rendezvous, peer, rings);
		close_rings(rings);
	}
	if (err) {
		/* It never saw the pool: the message arrives whole or not at all. */
		rendezvous_close_channel(rendezvous, peer);
		pool_dismiss(rendezvous->pool, peer->member);
		return err;
	}
	/* From here on it has a slot, which goes only when it is dead. */
	peer->state = WELCOMED;
	return 0;
}
