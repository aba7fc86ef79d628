/* SPDX-License-Identifier: BSD-3-Clause */
#include <bsd/sys/queue.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <pinion/rendezvous.h>
#include <pinion/wait.h>

#include "bell.h"
#include "fail.h"
#include "fanin.h"
#include "listener.h"
#include "message.h"
#include "peer.h"
#include "pool.h"
#include "ring.h"

/* A peer has this long from its connection to its CONFIRM. */
#define PATIENCE_NS UINT64_C(2000000000)

/* Things looked at in one call of next(), so that a flood of them holds nobody up. */
#define EVENTS_PER_CALL 32

/*
 * A peer's life.
 *
 *     ARRIVED   -> WELCOMED         its HELLO came: admitted, files sent
 *     WELCOMED  -> JOINED           its CONFIRM came, with the cookie, from the right pid
 *     ARRIVED   -> (gone)           it stalled, lied or died
 *     WELCOMED  -> SHUNNED          the same; but it may have the pool mapped, so that its slot
 *                                   cannot be given to anyone before it is dead
 *     JOINED    -> LEFT             BYE, or the pidfd
 *     SHUNNED   -> (gone)           the pidfd; or BYE when it was WELCOMED: it let go of the pool
 *     LEFT      -> (gone)           pinion_rendezvous_bury()
 */
enum peer_state { ARRIVED, WELCOMED, JOINED, SHUNNED, LEFT };

struct peer {
	LIST_ENTRY(peer) link;
	enum peer_state state;
	struct peer_identity identity;
	int socket;
	uint32_t member;
	uint64_t cookie, deadline_ns;
	uint64_t owed; /* bit by slot: a new segment's file that its socket had no room for */
	uint32_t slots, rights; /* of the rings it gets; and which */
	uint32_t lane;          /* see has_lane() */
	struct pinion_channel *channel;
};

struct pinion_rendezvous {
	struct pinion_pool *pool;
	struct pinion_rendezvous_config config;
	struct listener listener;
	int epoll;
	struct courier courier; /* hears of new segments */
	uint32_t nr_joining;    /* ARRIVED or WELCOMED */
	bool owes;              /* some peer is owed something */
	LIST_HEAD(, peer) peers;
};

static int watch(const struct pinion_rendezvous *rendezvous, int fd, void *tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = tag}};

	return epoll_ctl(rendezvous->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* epoll remembers a pointer: the peer itself for its socket, one byte on for its pidfd. */
static int watch_peer(const struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	int err = watch(rendezvous, peer->socket, peer);

	return err ? err : watch(rendezvous, peer->identity.pidfd, (char *)peer + 1);
}

/* Closing alone takes an fd out of epoll only if no child of ours inherited it; an event that
 * comes later would name a peer that is long forgotten. */
static void unwatch(const struct pinion_rendezvous *rendezvous, int *fd)
{
	if (*fd < 0)
		return;
	(void)epoll_ctl(rendezvous->epoll, EPOLL_CTL_DEL, *fd, NULL);
	(void)close(*fd);
	*fd = -1;
}

/* Is it in the keeper's fan-in, or was? */
static bool has_lane(const struct pinion_rendezvous *rendezvous, const struct peer *peer)
{
	return rendezvous->config.fanin && peer->channel && peer->rights & PINION_RIGHT_SEND;
}

/* The fan-in itself may have found the end of it. */
static void free_lane(const struct pinion_rendezvous *rendezvous, const struct peer *peer)
{
	if (has_lane(rendezvous, peer))
		(void)pinion_fanin_remove(rendezvous->config.fanin, peer->channel);
}

static void close_channel(const struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	free_lane(rendezvous, peer);
	if (peer->channel)
		(void)pinion_channel_close(peer->channel);
	peer->channel = NULL;
}

static void forget(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	LIST_REMOVE(peer, link);
	unwatch(rendezvous, &peer->socket);
	unwatch(rendezvous, &peer->identity.pidfd);
	close_channel(rendezvous, peer);
	free(peer);
}

static void turn_away(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	rendezvous->nr_joining--;
	if (peer->state == ARRIVED) {
		forget(rendezvous, peer);
		return;
	}
	peer->state = SHUNNED;
	unwatch(rendezvous, &peer->socket);
	/* It may think that it joined, if it was only slow: its channel tells it. */
	close_channel(rendezvous, peer);
}

static void turn_away_the_slow(struct pinion_rendezvous *rendezvous)
{
	uint64_t now = bell_now_ns();
	struct peer *peer, *next;

	LIST_FOREACH_SAFE(peer, &rendezvous->peers, link, next)
		if (peer->state <= WELCOMED && now > peer->deadline_ns)
			turn_away(rendezvous, peer);
}

static void refuse(int socket, int err)
{
	const struct message message = {.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION,
					.kind = MESSAGE_REFUSED, .value = err};

	(void)message_send(socket, &message, NULL, 0);
}

static int new_peer(struct pinion_rendezvous *rendezvous, int socket)
{
	struct peer *peer;
	int err;

	if (rendezvous->nr_joining >= rendezvous->config.backlog)
		return -EAGAIN;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	err = peer_identify(socket, &peer->identity);
	if (err) {
		free(peer);
		return err;
	}
	peer->socket = socket;
	peer->state = ARRIVED;
	peer->deadline_ns = bell_now_ns() + PATIENCE_NS;
	LIST_INSERT_HEAD(&rendezvous->peers, peer, link);
	rendezvous->nr_joining++;
	if (watch_peer(rendezvous, peer))
		turn_away(rendezvous, peer);
	return 0;
}

/* A connection. One that cannot be served is told so. What is wrong with this process (no files
 * left, say) is for the caller of next(). */
static int arrive(struct pinion_rendezvous *rendezvous)
{
	int err, socket = listener_accept(&rendezvous->listener);

	if (socket == -EAGAIN || socket == -ECONNABORTED || socket == -EINTR)
		return 0;
	if (socket < 0)
		return pinion_fail(socket, "cannot accept a connection: %s", strerror(-socket));
	err = new_peer(rendezvous, socket);
	if (err) {
		refuse(socket, err);
		(void)close(socket);
	}
	return 0;
}

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

/* The pool's files as a message has them: those that are there, by slot. */
static unsigned list_files(const struct pinion_pool *pool, const int rings[2],
			   int files[MESSAGE_FILES_MAX], uint64_t *segments)
{
	struct pinion_pool_fds fds;
	unsigned nr = 1;

	pinion_pool_export(pool, &fds);
	*segments = 0;
	files[0] = fds.control;
	for (uint32_t i = 0; i < fds.nr_segments; i++) {
		if (fds.segment[i] < 0)
			continue;
		*segments |= UINT64_C(1) << i;
		files[nr++] = fds.segment[i];
	}
	for (int i = 0; i < 2; i++)
		if (rings[i] >= 0)
			files[nr++] = rings[i];
	return nr;
}

static int send_welcome(struct pinion_rendezvous *rendezvous, struct peer *peer,
			const int rings[2])
{
	struct message welcome = {.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION,
				  .kind = MESSAGE_WELCOME, .member = peer->member,
				  .keeper = pinion_pool_member(rendezvous->pool),
				  .rights = peer->rights};
	int files[MESSAGE_FILES_MAX];
	unsigned nr;

	if (getrandom(&peer->cookie, sizeof(peer->cookie), 0) != sizeof(peer->cookie))
		return -EIO;
	welcome.cookie = peer->cookie;
	nr = list_files(rendezvous->pool, rings, files, &welcome.segments);
	if (rendezvous->config.loop && peer->rights & PINION_RIGHT_SEND) {
		files[nr] = pinion_channel_notify_fd(peer->channel);
		if (files[nr] < 0)
			return files[nr];
		nr++;
		welcome.value = MESSAGE_LAST_NOTIFY;
	} else if (has_lane(rendezvous, peer)) {
		files[nr++] = pinion_fanin_fd(rendezvous->config.fanin);
		welcome.value = MESSAGE_LAST_READY;
		welcome.lane = peer->lane;
	}
	return message_send(peer->socket, &welcome, files, nr);
}

/* One file to one peer, or a note that it is owed. */
static void send_segment(struct pinion_rendezvous *rendezvous, struct peer *peer, uint32_t slot,
			 int fd)
{
	const struct message message = {.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION,
					.kind = MESSAGE_SEGMENT, .slot = slot};
	uint64_t bit = UINT64_C(1) << slot;

	if (peer->socket < 0 || (peer->state != WELCOMED && peer->state != JOINED))
		return;
	peer->owed &= ~bit;
	if (message_send(peer->socket, &message, &fd, 1)) {
		peer->owed |= bit;
		rendezvous->owes = true;
	}
}

/* A new segment: everyone gets its file before anyone can meet an id in it. */
static void announce(struct courier *courier, uint32_t slot, int fd)
{
	struct pinion_rendezvous *rendezvous =
		(void *)((char *)courier - offsetof(struct pinion_rendezvous, courier));
	struct peer *peer;

	LIST_FOREACH(peer, &rendezvous->peers, link)
		send_segment(rendezvous, peer, slot, fd);
}

/* Who did not read for a long time may do so by now. Segments that went are owed no more. */
static void pay(struct pinion_rendezvous *rendezvous)
{
	struct pinion_pool_fds fds;
	struct peer *peer;

	if (!rendezvous->owes)
		return;
	rendezvous->owes = false;
	pinion_pool_export(rendezvous->pool, &fds);
	LIST_FOREACH(peer, &rendezvous->peers, link)
		for (uint32_t i = 0; peer->owed && i < fds.nr_segments; i++) {
			if (!(peer->owed >> i & 1))
				continue;
			peer->owed &= ~(UINT64_C(1) << i);
			if (fds.segment[i] >= 0)
				send_segment(rendezvous, peer, i, fds.segment[i]);
		}
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

	if (has_lane(rendezvous, peer))
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

static int welcome(struct pinion_rendezvous *rendezvous, struct peer *peer,
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
		close_channel(rendezvous, peer);
		pool_dismiss(rendezvous->pool, peer->member);
		return err;
	}
	/* From here on it has a slot, which goes only when it is dead. */
	peer->state = WELCOMED;
	return 0;
}

static void fill(struct pinion_event *event, enum pinion_event_kind kind, const struct peer *peer)
{
	*event = (struct pinion_event){
		.kind = kind,
		.member = peer->member,
		.pid = peer->identity.pid,
		.uid = peer->identity.uid,
		.gid = peer->identity.gid,
		.channel = peer->channel,
	};
}

static int confirm(struct pinion_rendezvous *rendezvous, struct peer *peer,
		   const struct message *message, const struct mail_sender *sender,
		   struct pinion_event *event)
{
	/* The cookie shows that this was sent after the pidfd was opened. */
	if (message->cookie != peer->cookie || !peer_is_sender(&peer->identity, sender->pid)) {
		turn_away(rendezvous, peer);
		return 0;
	}
	rendezvous->nr_joining--;
	peer->state = JOINED;
	if (has_lane(rendezvous, peer))
		fanin_start(rendezvous->config.fanin, peer->lane);
	fill(event, PINION_EVENT_JOINED, peer);
	return 1;
}

static int leave(struct pinion_rendezvous *rendezvous, struct peer *peer, bool killed,
		 struct pinion_event *event)
{
	peer->state = LEFT;
	unwatch(rendezvous, &peer->socket);
	unwatch(rendezvous, &peer->identity.pidfd);
	free_lane(rendezvous, peer);
	pinion_channel_sever(peer->channel);
	fill(event, PINION_EVENT_LEFT, peer);
	event->killed = killed;
	return 1;
}

/* A slot that was never joined, of a process that is gone or let go of it. It costs a pass over the
 * owner words, so that one is enough for a call of next(). If it fails the pidfd, readable in the
 * end, leads here again. */
static int release_shunned(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (!pinion_pool_release(rendezvous->pool, peer->member, NULL))
		forget(rendezvous, peer);
	return -EAGAIN;
}

/* The socket's end is not the process's: its pidfd will tell. Nothing more is heard, though. */
static void hang_up(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (peer->state == JOINED)
		unwatch(rendezvous, &peer->socket);
	else
		turn_away(rendezvous, peer);
}

/* 1: @event is filled. -EAGAIN: enough for one call of next(), and the peer may be forgotten. */
static int hear(struct pinion_rendezvous *rendezvous, struct peer *peer,
		struct pinion_event *event)
{
	struct mail_sender sender;
	struct message message;
	unsigned nr_files = 0;
	int err = message_recv(peer->socket, &message, NULL, &nr_files, &sender);

	if (err == -EAGAIN)
		return 0;
	if (!err && peer->state == ARRIVED && message.kind == MESSAGE_HELLO) {
		err = welcome(rendezvous, peer, &message);
		if (err) {
			refuse(peer->socket, err);
			turn_away(rendezvous, peer);
		}
		return 0;
	}
	if (!err && peer->state == WELCOMED && message.kind == MESSAGE_CONFIRM)
		return confirm(rendezvous, peer, &message, &sender, event);
	/* It could not open what it was sent, and has none of it. */
	if (!err && peer->state == WELCOMED && message.kind == MESSAGE_BYE &&
	    peer_is_sender(&peer->identity, sender.pid)) {
		turn_away(rendezvous, peer);
		return release_shunned(rendezvous, peer);
	}
	/* Not from a child that inherited the socket: the member itself would live on. */
	if (!err && peer->state == JOINED && message.kind == MESSAGE_BYE &&
	    peer_is_sender(&peer->identity, sender.pid))
		return leave(rendezvous, peer, false, event);
	hang_up(rendezvous, peer);
	return 0;
}

static int died(struct pinion_rendezvous *rendezvous, struct peer *peer,
		struct pinion_event *event)
{
	int heard;

	switch (peer->state) {
	case ARRIVED:
		turn_away(rendezvous, peer);
		return 0;
	case WELCOMED:
		/* It may have confirmed, sent and gone: then it did join. */
		heard = hear(rendezvous, peer, event);
		if (heard)
			return heard;
		if (peer->state == WELCOMED)
			turn_away(rendezvous, peer);
		return release_shunned(rendezvous, peer);
	case SHUNNED:
		return release_shunned(rendezvous, peer);
	case JOINED:
		/* It may have said goodbye just before: then that is what counts. */
		if (peer->socket >= 0 && hear(rendezvous, peer, event))
			return 1;
		return leave(rendezvous, peer, true, event);
	case LEFT:
		break;
	}
	return 0;
}

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
		return arrive(rendezvous);
	if (tag & 1)
		return died(rendezvous, (struct peer *)(tag - 1), event);
	return hear(rendezvous, (struct peer *)tag, event);
}

int pinion_rendezvous_next(struct pinion_rendezvous *rendezvous, struct pinion_event *event)
{
	KEEP_ERRNO;
	int happened = 0;

	for (int i = 0; !happened && i < EVENTS_PER_CALL; i++)
		happened = one(rendezvous, event);
	if (happened != -EAGAIN)
		return happened;
	/* Only after all that came was heard: it may be we who were slow. */
	turn_away_the_slow(rendezvous);
	pay(rendezvous);
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
	int err;

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
		forget(rendezvous, peer);
	return err;
}

static int check_config(const struct pinion_rendezvous_config *config)
{
	int err = ring_check_slots(config->slots);

	if (!err)
		err = ring_check_slots(config->slots_max);
	if (!err && config->rights & ~PINION_RIGHT_BOTH)
		err = pinion_fail(-EINVAL, "there are no rights %#x", config->rights);
	if (!err && config->loop && config->fanin)
		err = pinion_fail(-EINVAL, "a keeper waits in its loop or at its fan-in, not both");
	return err;
}

int pinion_rendezvous_open(struct pinion_pool *pool, const char *path,
			   const struct pinion_rendezvous_config *config,
			   struct pinion_rendezvous **out)
{
	KEEP_ERRNO;
	static const struct pinion_rendezvous_config defaults = {
		.slots = 1024, .mode = 0600, .backlog = 16};
	struct pinion_rendezvous *rendezvous = calloc(1, sizeof(*rendezvous));
	int err;

	if (!rendezvous)
		return pinion_fail(-ENOMEM, "no memory for a rendezvous");
	rendezvous->pool = pool;
	rendezvous->config = config ? *config : defaults;
	if (!rendezvous->config.slots)
		rendezvous->config.slots = defaults.slots;
	if (!rendezvous->config.slots_max)
		rendezvous->config.slots_max = rendezvous->config.slots;
	if (!rendezvous->config.rights)
		rendezvous->config.rights = PINION_RIGHT_BOTH;
	if (!rendezvous->config.mode)
		rendezvous->config.mode = defaults.mode;
	if (!rendezvous->config.backlog)
		rendezvous->config.backlog = defaults.backlog;
	LIST_INIT(&rendezvous->peers);
	err = check_config(&rendezvous->config);
	if (err)
		goto free_rendezvous;
	err = listener_open(&rendezvous->listener, path, rendezvous->config.mode);
	if (err)
		goto free_rendezvous;
	rendezvous->epoll = epoll_create1(EPOLL_CLOEXEC);
	err = rendezvous->epoll < 0 ? -errno
				    : watch(rendezvous, rendezvous->listener.fd, NULL);
	if (err) {
		(void)pinion_fail(err, "%s: cannot watch the socket: %s", path, strerror(-err));
		goto close_listener;
	}
	rendezvous->courier.announce = announce;
	LIST_INSERT_HEAD(&pool->couriers, &rendezvous->courier, link);
	*out = rendezvous;
	return 0;

close_listener:
	if (rendezvous->epoll >= 0)
		(void)close(rendezvous->epoll);
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
		forget(rendezvous, peer);
	(void)close(rendezvous->epoll);
	free(rendezvous);
	return 0;
}

int pinion_rendezvous_fd(const struct pinion_rendezvous *rendezvous)
{
	return rendezvous->epoll;
}
