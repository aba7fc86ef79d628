/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_CLIENT_H
#define PINION_CLIENT_H

/*
 * A client of piniond, the service that keeps pools (piniond(8)): one connection, one membership in
 * one pool, and, if a device was asked for, one channel to the process that drives it.
 *
 *     pinion_client_open("nvme:0000:41:00.0", NULL, &client)     or "pool:buffers"
 *     pool = pinion_client_pool(client);
 *     channel = pinion_client_channel(client);      NULL of "pool:..."
 *       ... pinion_cache_open(), pinion_buffer_alloc(), pinion_channel_send() ...
 *     pinion_client_close(client);
 *
 * The service makes the channel's memory and passes files; data never goes through it, and members
 * go on working while it is down. No privilege is needed beyond what its rules give.
 *
 * Events:
 *
 *     poll(pinion_client_fd(client))                or any loop
 *     while (pinion_client_next(client, &event) == 1)
 *             PINION_CLIENT_DEVICE_LEFT   the device process died or left: drain and reclaim the
 *                                         channel, then pinion_client_settle()
 *             PINION_CLIENT_ADDRESSES     it has shared bus addresses, or newer ones, and the
 *                                         rules show them: pinion_client_domain()
 *             PINION_CLIENT_SERVICE_LOST  told once; the pool and the channel go on
 *             PINION_CLIENT_SERVICE_BACK  it took everything up again, this membership included
 *             PINION_CLIENT_EXPELLED      it does not know this membership: close, and open again
 *
 * The connection is taken up again by next(), which never waits: while the service is away the fd
 * becomes readable now and then, for another attempt. A program that has no use for events need not
 * call next(); it loses nothing but the news, and what depends on the connection: segments that
 * are added while it is broken.
 *
 * Threads: one at a time for each client; pool and channel as their own headers say.
 * Fork: the child is not the client; it opens one of its own, and may close its copy of this.
 * Death: a client killed at any moment loses nothing for the others: the service knows from a
 * pidfd, and gives back what it held.
 */

#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/channel.h>
#include <pinion/domain.h>
#include <pinion/pool.h>

/* Where it listens, unless the environment has PINION_SOCKET, or the configuration says so. */
#define PINION_SOCKET_DEFAULT "/run/pinion/piniond.sock"

/* Bytes of the name of a pool or a device, with the 0 at its end. */
#define PINION_NAME_MAX 64

struct pinion_client;

struct pinion_client_config {
	const char *socket; /* NULL: PINION_SOCKET of the environment, or the default */
	uint32_t slots;     /* descriptors in each ring of the channel; 0: as the device has it */
	int loop;           /* not 0: the device process wakes this end's pinion_channel_fd(), see
	                     * wait.h */
};

enum pinion_client_event_kind {
	PINION_CLIENT_DEVICE_LEFT = 1,
	PINION_CLIENT_SERVICE_LOST = 2,
	PINION_CLIENT_SERVICE_BACK = 3,
	PINION_CLIENT_EXPELLED = 4,
	PINION_CLIENT_ADDRESSES = 5,
};

struct pinion_client_event {
	enum pinion_client_event_kind kind;
};

/*
 * pinion_client_open() - attach to @what: "pool:NAME", or the name under which a device process
 * announced a device (device.h), such as "nvme:0000:41:00.0".
 *
 * -ENOENT, -ECONNREFUSED  no service listens there; or (the sentence says which) no such pool, and
 *             no process that drives such a device: start it
 * -EACCES     the rules do not let this user in, or the socket's mode does not
 * -EDQUOT     this user has as many memberships as the rules allow; or, of a device, as many
 *             channels, each of which counts until the device process has let go of it as well
 * -EAGAIN     the pool's member slots are all taken; the service has as many connections as there
 *             may be; or the device process serves in as many pools of clients' own as it can
 * -EBUSY      before Linux 6.16: its process waits in a loop, and has not heard the service lately
 * -EIO        the pool is damaged: a member punched pages out of it (pool.h, "Trust")
 * -ENOSPC     the service keeps what a channel is made of in systemd's store, which is full
 * -EPROTO     the service is of another release
 * -ETIMEDOUT  it did not answer within two seconds: one that systemd starts for this connection
 *             makes its pools first; or it heard nothing from this process for so long. Try again
 * -ESTALE     it was killed as it answered, and the next one adopted the pool: try again
 * -ENAMETOOLONG, -EINVAL  @what, or slots, cannot be
 */
int pinion_client_open(const char *what, const struct pinion_client_config *config,
		       struct pinion_client **client);

/* Says goodbye and lets go of everything. Close caches first; what is still held is freed by the
 * service. The client is gone whatever is returned. */
int pinion_client_close(struct pinion_client *client);

/* The pool, good until the client is closed, which detaches it; and the channel, good until then or
 * until pinion_client_settle(), NULL where there is none. */
struct pinion_pool *pinion_client_pool(const struct pinion_client *client);
struct pinion_channel *pinion_client_channel(const struct pinion_client *client);

/* For poll or epoll: readable when pinion_client_next() has something to do. One fd for life. */
int pinion_client_fd(const struct pinion_client *client);

/* 1: @event is filled. 0: nothing for now. Never waits; bounded work. */
int pinion_client_next(struct pinion_client *client, struct pinion_client_event *event);

/*
 * pinion_client_settle() - after DEVICE_LEFT: receive was drained (-EPIPE), and this frees, through
 * @cache, what was sent and not taken, closes the channel, and tells the service, which can then
 * give the dead process's member number to another. pinion_client_channel() is NULL afterwards.
 *
 * -EINVAL  no device has left
 * others: see pinion_channel_reclaim(): call again, nothing is lost
 */
int pinion_client_settle(struct pinion_client *client, struct pinion_cache *cache);

/*
 * pinion_client_domain() - where the device finds the pool's buffers: the newest table of bus
 * addresses that the device process has shared, read-only, for pinion_buffer_bus() and all else
 * that domain.h has for one that was attached. The caller's, who detaches it before the client is
 * closed. After PINION_CLIENT_ADDRESSES there is a newer one (or, after SERVICE_BACK, the same once
 * more). It is true for as long as the device process lives: until PINION_CLIENT_DEVICE_LEFT.
 *
 * -EACCES  the rules do not show addresses to this user; the sentence says which rule it is
 * -EAGAIN  the device process has shared none yet: wait for PINION_CLIENT_ADDRESSES
 * -EINVAL  this client has no device, or none any more
 * others: see pinion_domain_attach()
 */
int pinion_client_domain(const struct pinion_client *client, struct pinion_domain **domain);

#endif
