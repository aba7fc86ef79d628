/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers of a rendezvous that come, are turned away and forgotten. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <pinion/fanin.h>

#include "bell.h"
#include "fail.h"
#include "rendezvous_inside.h"

/* A peer has this long from its connection to its CONFIRM. */
#define PATIENCE_NS UINT64_C(2000000000)

int rendezvous_watch(const struct pinion_rendezvous *rendezvous, int fd, void *tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = tag}};

	return epoll_ctl(rendezvous->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* epoll remembers a pointer: the peer itself for its socket, one byte on for its pidfd. */
static int watch_peer(const struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	int err = rendezvous_watch(rendezvous, peer->socket, peer);

	return err ? err : rendezvous_watch(rendezvous, peer->identity.pidfd, (char *)peer + 1);
}

/* Closing alone takes an fd out of epoll only if no child of ours inherited it; an event that
 * comes later would name a peer that is long forgotten. */
static void unwatch(const struct pinion_rendezvous *rendezvous, int fd)
{
	(void)epoll_ctl(rendezvous->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void rendezvous_close_socket(const struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (peer->socket < 0)
		return;
	unwatch(rendezvous, peer->socket);
	mail_hang_up(peer->socket);
	peer->socket = -1;
}

void rendezvous_close_pidfd(const struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	if (peer->identity.pidfd < 0)
		return;
	unwatch(rendezvous, peer->identity.pidfd);
	(void)close(peer->identity.pidfd);
	peer->identity.pidfd = -1;
}

/* The fan-in itself may have found the end of it. */
void rendezvous_free_lane(const struct pinion_rendezvous *rendezvous, const struct peer *peer)
{
	if (rendezvous_has_lane(rendezvous, peer))
		(void)pinion_fanin_remove(rendezvous->config.fanin, peer->channel);
}

void rendezvous_close_channel(const struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	rendezvous_free_lane(rendezvous, peer);
	if (peer->channel)
		(void)pinion_channel_close(peer->channel);
	peer->channel = NULL;
}

void rendezvous_forget(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	LIST_REMOVE(peer, link);
	rendezvous_close_socket(rendezvous, peer);
	rendezvous_close_pidfd(rendezvous, peer);
	rendezvous_close_channel(rendezvous, peer);
	free(peer);
}

void rendezvous_turn_away(struct pinion_rendezvous *rendezvous, struct peer *peer)
{
	rendezvous->nr_joining--;
	if (peer->state == ARRIVED) {
		rendezvous_forget(rendezvous, peer);
		return;
	}
	peer->state = SHUNNED;
	rendezvous_close_socket(rendezvous, peer);
	/* It may think that it joined, if it was only slow: its channel tells it. */
	rendezvous_close_channel(rendezvous, peer);
}

/* What it said was not heard yet: it may be we who were slow. (A signal interrupts poll() even
 * though it does not wait: then it is the next look that tells.) */
static bool waits_for_us(const struct peer *peer)
{
	struct pollfd said = {.fd = peer->socket, .events = POLLIN};

	return poll(&said, 1, 0) != 0;
}

void rendezvous_turn_away_the_slow(struct pinion_rendezvous *rendezvous)
{
	uint64_t now = bell_now_ns();
	struct peer *peer, *next;

	LIST_FOREACH_SAFE(peer, &rendezvous->peers, link, next)
	if (peer->state <= WELCOMED && now > peer->deadline_ns && !waits_for_us(peer))
		rendezvous_turn_away(rendezvous, peer);
}

void rendezvous_refuse(int socket, int err)
{
	const struct message message = {.magic = MESSAGE_MAGIC,
					.version = MESSAGE_VERSION,
					.kind = MESSAGE_REFUSED,
					.value = err};

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
		rendezvous_turn_away(rendezvous, peer);
	return 0;
}

int rendezvous_arrive(struct pinion_rendezvous *rendezvous)
{
	int err, socket = listener_accept(&rendezvous->listener);

	if (socket == -EAGAIN || socket == -ECONNABORTED || socket == -EINTR)
		return 0;
	if (socket < 0)
		return pinion_fail(socket, "cannot accept a connection: %s", strerror(-socket));
	err = new_peer(rendezvous, socket);
	if (err) {
		rendezvous_refuse(socket, err);
		mail_hang_up(socket);
	}
	return 0;
}
