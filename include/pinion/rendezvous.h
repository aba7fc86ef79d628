/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_RENDEZVOUS_H
#define PINION_RENDEZVOUS_H

/*
 * A rendezvous: the socket on which a pool's maker lets other processes in, and by which it
 * learns that one of them died.
 *
 *     keeper (made the pool)                     another process
 *     ----------------------                     ---------------
 *     pinion_rendezvous_open("/run/x.sock")
 *     poll(pinion_rendezvous_fd())               pinion_session_open("/run/x.sock")
 *     pinion_rendezvous_next()  JOINED           ...
 *        serve event.channel
 *     pinion_rendezvous_next()  LEFT             exits, or is killed
 *        recv from event.channel until -EPIPE (or -EPROTO, if it lied; -EACCES: it could not send)
 *     pinion_rendezvous_bury()
 *
 * The socket is SOCK_SEQPACKET and carries fixed-size, versioned messages; files go by SCM_RIGHTS.
 * Each process that joins becomes a member and gets the pool's files and one channel to the
 * keeper. Data never goes through the socket. The channel has the rings that the member may use:
 * one that may not send is given none to send on (channel.h). Rights are about channels: who is
 * not to write to the pool that others use gets a pool of its own.
 *
 * A keeper that receives through a fan-in names it in the configuration. Who joins and may send
 * then gets a lane of it, of weight 1, and need not know: its session attaches it. The channel is
 * in the fan-in when JOINED is told, and no more when LEFT is; before and after, nothing of it
 * comes from pinion_fanin_recv(). The fan-in must outlive the rendezvous, and both are one
 * thread's.
 *
 * Death is what a pidfd says: SO_PEERPIDFD where the kernel has it (6.5), else pidfd_open() of
 * the peer's pid, confirmed by a second message with the kernel's own credentials, so that a
 * re-used pid is not taken for the peer. A closed socket alone is an orderly leave only when the
 * process said so; an inherited socket does not keep the dead alive.
 *
 * Threads: one at a time, next() also while another one sends to a member. Nothing here blocks: a
 * peer that stalls in the middle of joining holds up nobody, and the first pinion_rendezvous_next()
 * after two seconds drops it. (One that has the pool mapped by then keeps its member slot until it
 * dies; a process gets one such slot.)
 */

#include <stdint.h>
#include <sys/types.h>

#include <pinion/cache.h>
#include <pinion/channel.h>
#include <pinion/pool.h>

struct pinion_fanin;
struct pinion_rendezvous;

struct pinion_rendezvous_config {
	uint32_t slots;     /* descriptors in each ring of a channel; 0: 1024 */
	unsigned mode;      /* permissions of the socket; 0: 0600 */
	uint32_t backlog;   /* peers in the middle of joining, at most; 0: 16 */
	uint32_t slots_max; /* the most that a peer gets by asking for it; 0: as slots */
	int loop;           /* not 0: members wake the channels' pinion_channel_fd(), see wait.h;
	                     * or, where there is one, the fan-in's pinion_fanin_loop_fd() */
	uint32_t rights;    /* what members may do at most, PINION_RIGHT_SEND: send; 0: both */
	struct pinion_fanin *fanin; /* where their channels are added; NULL: nowhere */
};

enum pinion_event_kind {
	PINION_EVENT_JOINED = 1,
	PINION_EVENT_LEFT = 2,
};

struct pinion_event {
	enum pinion_event_kind kind;
	uint32_t member;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	int killed;                     /* LEFT: it died without saying goodbye */
	struct pinion_channel *channel; /* belongs to the rendezvous */
	struct pinion_pool *pool;       /* the channel's; see device.h */
};

/*
 * Makes the socket and, beside it, PATH.lock, which it holds locked for as long as it listens.
 *
 * -EINVAL      slots or slots_max is no number of slots that a ring may have (ring.h); or there are
 *              no such rights
 * -EADDRINUSE  another keeper listens there, or PATH is no socket: use another path. (A socket
 *              that a killed keeper left is replaced.)
 * -EPERM       this process is not the pool's keeper, but another member or a child: ask the keeper
 */
int pinion_rendezvous_open(struct pinion_pool *pool, const char *path,
			   const struct pinion_rendezvous_config *config,
			   struct pinion_rendezvous **rendezvous);
/*
 * Fork: a child of the keeper inherits the lock and the socket; while it lives, nobody else can
 * keep a pool at that path. Children that outlive their keeper close what they inherited. They let
 * nobody in, and bury nobody: next and bury are -EPERM there.
 */

/* Members keep what they have, but their channels are closed; nobody new gets in. Removes the
 * files. What was sent to them and not taken stays theirs to take, see pinion_channel_close(). */
int pinion_rendezvous_close(struct pinion_rendezvous *rendezvous);

/* For poll or epoll: readable when pinion_rendezvous_next() has work. */
int pinion_rendezvous_fd(const struct pinion_rendezvous *rendezvous);

/*
 * 1: @event is filled. 0: nothing for now. Bounded work per call.
 * -EMFILE, -ENFILE, -ENOMEM  a connection waits that this process cannot accept: close files, or
 *          serve those who are there for a while; others are still noticed
 * -EPERM   this is a child of the keeper: nothing was looked at, leave it to the keeper
 */
int pinion_rendezvous_next(struct pinion_rendezvous *rendezvous, struct pinion_event *event);

/*
 * pinion_rendezvous_bury() - the last act about a member that left.
 *
 * pre: its channel was drained (recv gave -EPIPE, -EPROTO or -EACCES), and nothing of its is in
 * flight to a device, or on its way to another member: this call knows of that one channel, and
 * passes no transit (pinion_pool_recover()). If it lent in a broadcast, each consumer was orphaned
 * before, and pinion_broadcast_lent() is 0 of all that live: or they would read what is free.
 * Frees what was sent to it and not taken, recovers what it held, closes the channel and releases
 * the member's slot. @cache: the caller's, for what comes back to it.
 *
 * -EINVAL  that member has not left
 * -EPERM   this is a child of the keeper: leave it to the keeper
 * others: see pinion_channel_reclaim() and pinion_pool_recover(): call again, nothing is lost
 */
int pinion_rendezvous_bury(struct pinion_rendezvous *rendezvous, uint32_t member,
			   struct pinion_cache *cache, struct pinion_recovery *report);

#endif
