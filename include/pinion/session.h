/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_SESSION_H
#define PINION_SESSION_H

/*
 * A session: this process's membership in a pool that another process keeps.
 *
 *     pinion_session_open("/run/nvme.sock", &session);
 *     pool = pinion_session_pool(session);
 *     channel = pinion_session_channel(session);
 *       ... pinion_cache_open(), pinion_buffer_alloc(), pinion_channel_send() ...
 *     pinion_session_close(session);
 *
 * No privilege is needed beyond the permission to connect to the socket.
 *
 * Threads: open and close are for one. Fork: the child is not a member; it opens its own. (It may
 * close its copy of the parent's: that unmaps, and says nothing to the keeper.)
 * Death: a process killed with a session open loses nothing for the others; see rendezvous.h. When
 * the keeper dies, pinion_channel_wait() and wait_room() notice, and send and recv give -EPIPE.
 */

#include <pinion/channel.h>
#include <pinion/pool.h>

struct pinion_session;

/*
 * -ENOENT, -ECONNREFUSED  nobody keeps a pool there
 * -EACCES     the socket's mode forbids it; or the keeper gives none of the rights asked for
 * -EPROTO     the keeper is of another release, or not a keeper
 * -EAGAIN     the pool's member slots are all taken, or the lanes of the keeper's fan-in, or too
 *             many are joining at the moment
 * -EBUSY      this process began to join before and the keeper has not heard that it gave up: that
 *             slot goes when it ends
 * -ETIMEDOUT  the keeper did not accept or not answer, two seconds each
 * -ESTALE     it was killed as it answered, and the next one did not wait for us: try again
 */
int pinion_session_open(const char *path, struct pinion_session **session);

struct pinion_session_config {
	uint32_t slots;  /* descriptors in each ring of the channel; 0: as the keeper has it */
	uint32_t rights; /* PINION_RIGHT_SEND, PINION_RIGHT_RECV, or both; 0: all that it gives */
};

/*
 * pinion_session_open_with() - the same, with a channel of the size that is asked for, or of the
 * largest that the keeper gives (struct pinion_rendezvous_config), if that is less: which it is,
 * pinion_channel_slots() says. So it is with the rights: a channel has those asked for that the
 * keeper gives, see pinion_channel_rights(). @config: NULL is one of zeroes.
 *
 * -EINVAL  not a number of slots that a ring may have, see pinion_ring_create(); not a right
 */
int pinion_session_open_with(const char *path, const struct pinion_session_config *config,
			     struct pinion_session **session);

/*
 * Says goodbye and lets go of everything. Close caches first; buffers still held are freed by
 * the keeper, and counted there. The session is gone whatever is returned.
 *
 * -ENOBUFS, -ENOMEM, ...  the keeper could not be told: it keeps the slot until this process ends
 */
int pinion_session_close(struct pinion_session *session);

/* Pool and channel, good until the session is closed, which lets go of them as well. */
struct pinion_pool *pinion_session_pool(const struct pinion_session *session);
struct pinion_channel *pinion_session_channel(const struct pinion_session *session);

#endif
