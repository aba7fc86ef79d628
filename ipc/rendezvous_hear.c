/* SPDX-License-Identifier: BSD-3-Clause */
/* What the peers of a rendezvous say, and how they end. */
#include <errno.h>
#include <string.h>

#include "fail.h"
#include "fanin.h"
#include "rendezvous_inside.h"

static void fill(struct pinion_event *event, enum pinion_event_kind kind,
		 const struct pinion_rendezvous *rendezvous, const struct peer *peer)
{
	*event = (struct pinion_event){
		.kind = kind,
		.member = peer->member,
		.pid = peer->identity.pid,
		.uid = peer->identity.uid,
		.gid = peer->identity.gid,
		.channel = peer->channel,
		.pool = rendezvous->pool,
	};
}

static int confirm(struct pinion_rendezvous *rendezvous, struct peer *peer,
		   const struct message *message, const struct mail_sender *sender,
		   struct pinion_event *event)
{
	/* The cookie shows that this was sent after the pidfd was opened. */
	if (message->cookie != peer->cookie || !peer_is_sender(&peer->identity, sender->pid)) {
		rendezvous_turn_away(rendezvous, peer);
		return 0;
	}
	rendezvous->nr_joining--;
	peer->state = JOINED;
	if (rendezvous_has_lane(rendezvous, peer))
		fanin_start(rendezvous->config.fanin, peer->lane);
	fill(event, PINION_EVENT_JOINED, rendezvous, peer);
	return 1;
}

static int leave(struct pinion_rendezvous *rendezvous, struct peer *peer, bool killed,
		 struct pinion_event *event)
{
	peer->state = LEFT;
	rendezvous_close_socket(rendezvous, peer);
	rendezvous_close_pidfd(rendezvous, peer);
	rendezvous_free_lane(rendezvous, peer);
	pinion_channel_sever(peer->channel);
	fill(event, PINION_EVENT_LEFT, rendezvous, peer);
	event->killed = killed;
	return 1;
}

/* A slot that was never joined, of a process that is gone or let go of it. It costs a pass over the
 * owner words, so that one is enough for a call of next(). If it fails the pidfd, readable in the
 * end, leads here again. */
static int release_shunned(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (!pinion_pool_release(rendezvous->pool, peer->member, NULL))
		rendezvous_forget(rendezvous, peer);
	return -EAGAIN;
}

/* The socket's end is not the process's: its pidfd will tell. Nothing more is heard, though. */
static void hang_up(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (peer->state == JOINED)
		rendezvous_close_socket(rendezvous, peer);
	else
		rendezvous_turn_away(rendezvous, peer);
}

int rendezvous_hear(struct pinion_rendezvous *rendezvous, struct peer *peer,
		    struct pinion_event *event)
{
	struct mail_sender sender;
	struct message message;
	unsigned nr_files = 0;
	int err = message_recv(peer->socket, &message, NULL, &nr_files, &sender);

	if (err == -EAGAIN)
		return 0;
	if (!err && peer->state == ARRIVED && message.kind == MESSAGE_HELLO) {
		err = rendezvous_welcome(rendezvous, peer, &message);
		if (err) {
			rendezvous_refuse(peer->socket, err);
			rendezvous_turn_away(rendezvous, peer);
		}
		return 0;
	}
	if (!err && peer->state == WELCOMED && message.kind == MESSAGE_CONFIRM)
		return confirm(rendezvous, peer, &message, &sender, event);
	/* It could not open what it was sent, and has none of it. */
	if (!err && peer->state == WELCOMED && message.kind == MESSAGE_BYE &&
	    peer_is_sender(&peer->identity, sender.pid)) {
		rendezvous_turn_away(rendezvous, peer);
		return release_shunned(rendezvous, peer);
	}
	/* Not from a child that inherited the socket: the member itself would live on. */
	if (!err && peer->state == JOINED && message.kind == MESSAGE_BYE &&
	    peer_is_sender(&peer->identity, sender.pid))
		return leave(rendezvous, peer, false, event);
	hang_up(rendezvous, peer);
	return 0;
}

int rendezvous_died(struct pinion_rendezvous *rendezvous, struct peer *peer,
		    struct pinion_event *event)
{
	int heard;

	switch (peer->state) {
	case ARRIVED:
		rendezvous_turn_away(rendezvous, peer);
		return 0;
	case WELCOMED:
		/* It may have confirmed, sent and gone: then it did join. */
		heard = rendezvous_hear(rendezvous, peer, event);
		if (heard)
			return heard;
		if (peer->state == WELCOMED)
			rendezvous_turn_away(rendezvous, peer);
		return release_shunned(rendezvous, peer);
	case SHUNNED:
		return release_shunned(rendezvous, peer);
	case JOINED:
		/* It may have said goodbye just before: then that is what counts. */
		if (peer->socket >= 0 && rendezvous_hear(rendezvous, peer, event))
			return 1;
		return leave(rendezvous, peer, true, event);
	case LEFT:
		break;
	}
	return 0;
}

static struct peer *find(const struct pinion_rendezvous *rendezvous, uint32_t member)
{
	struct peer *peer;

	LIST_FOREACH(peer, &rendezvous->peers, link)
	if (peer->state == LEFT && peer->member == member)
		return peer;
	return NULL;
}

int pinion_rendezvous_bury(struct pinion_rendezvous *rendezvous, uint32_t member,
			   struct pinion_cache *cache, struct pinion_recovery *report)
{
	KEEP_ERRNO;
	struct peer *peer = find(rendezvous, member);
	int err = pool_check_keeper(rendezvous->pool); /* before what it was sent is freed */

	if (err)
		return err;
	if (!peer)
		return pinion_fail(-EINVAL, "member %u has not left", member);
	err = pinion_channel_reclaim(peer->channel, cache);
	if (err < 0)
		return pinion_fail(err, "what was sent to member %u cannot be freed: %s", member,
				   strerror(-err));
	/* The only consumer of its rings is this process, which has drained them: nothing is in
	 * transit, and recovery and release are one. */
	err = pinion_pool_release(rendezvous->pool, member, report);
	if (!err)
		rendezvous_forget(rendezvous, peer);
	return err;
}
