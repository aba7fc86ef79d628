/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_REQUEST_H
#define PINION_REQUEST_H

/*
 * Requests over a channel, and the answers to them: which answer belongs to which request, and how
 * many may be under way, so that nobody ever waits to answer.
 *
 *     requester                                  responder
 *     ---------                                  ---------
 *     pinion_requester_open(8, 0)                pinion_requester_open(0, 8)
 *     pinion_request_send(context) -- tag -->    pinion_request_recv()
 *     pinion_channel_wait()                      (works)
 *     pinion_request_recv()       <-- tag ---    pinion_request_answer()
 *       gives context back
 *     pinion_requester_close()                   pinion_requester_close()
 *
 * A responder can do without: it receives with pinion_channel_recv() and answers with
 * pinion_channel_send(), the request's tag in it and PINION_TAG_ANSWER set.
 *
 * Both members may ask and answer over one channel: pinion_requester_open(4, 4) on either side.
 * Requests and answers then travel in the same rings, told apart by the top bit of the tag.
 *
 * Answers come in any order. With each comes a buffer, the request's or another. What a request
 * asks for is in its buffer and its len; the tag is the library's: a slot of a private table, and a
 * generation. So an answer that is invented, comes a second time or too late is told, and ends the
 * channel of who sent it, as any lie does. (A slot's generation has the bits that its index leaves
 * of 31: at a depth of 256 it comes round after 8 million uses of the slot.)
 *
 * Why nobody waits to answer. In one ring there lie, at most: the requests of its sender that are
 * outstanding, and its answers to requests that are still outstanding at the peer; and a receiver
 * keeps up to a sixteenth of the slots back for a while, to return them together. So where
 *
 *     depth + peer_depth + slots / 16 <= slots
 *
 * a ring always has room for an answer. Both sides see to it: send() holds back what would exceed
 * our depth, recv() and answer() end the channel of a peer that exceeds its own. A member that goes
 * on calling recv() and answers what it got therefore makes progress, whatever the other sends.
 *
 * Threads: a requester is for one thread at a time, and as long as it is open nobody else sends or
 * receives on its channel. pinion_channel_wait() is for that thread. Nothing here blocks.
 *
 * Death: recv() gives what the dead had published, then -EPIPE. pinion_requester_abandon() then
 * gives back the contexts of what will never be answered. The buffers: those that the dead had not
 * taken come back by pinion_channel_reclaim(), the others when the keeper recovers it.
 */

#include <stdbool.h>
#include <stdint.h>

#include <pinion/cache.h>
#include <pinion/channel.h>
#include <pinion/ring.h>

struct pinion_requester;

/* What one call of send(), recv() or answer() moves at most. */
#define PINION_REQUEST_BATCH 32u

/* In the tag of an answer, beside the request's. */
#define PINION_TAG_ANSWER (UINT32_C(1) << 31)

/* Is it an answer, and no request of the peer's? */
static inline bool pinion_desc_is_answer(const struct pinion_desc *desc)
{
	return desc->tag & PINION_TAG_ANSWER;
}

/* How many requests may be outstanding on @channel, those of both members together: what open()
 * holds depth + peer_depth against. At least 4, and 15 of 16 slots; 0 where one ring is missing. */
uint32_t pinion_request_depth(const struct pinion_channel *channel);

/*
 * pinion_requester_open() - @depth: how many of our requests may be outstanding; @peer_depth: how
 * many of the peer's. Either may be 0: that member asks nothing. The peer opens its end with the
 * two swapped: the programs agree about them, as about what is asked.
 * pre: both ends are new, or nothing is under way on the channel.
 *
 * -EINVAL  more than pinion_request_depth(), or nothing at all
 * -EACCES  this end of the channel does not both send and receive
 * -ENOMEM
 */
int pinion_requester_open(struct pinion_channel *channel, uint32_t depth, uint32_t peer_depth,
			  struct pinion_requester **requester);

/* The channel stays open. Contexts not given back are forgotten: see pinion_requester_abandon(). */
int pinion_requester_close(struct pinion_requester *requester);

/* Requests sent whose answer was not received, at most depth. */
uint32_t pinion_requester_outstanding(const struct pinion_requester *requester);

/*
 * pinion_request_send() - ask: publish up to @nr requests; returns how many, at least 1 and at most
 * PINION_REQUEST_BATCH.
 *
 * @context: one for each, which comes back with the answer. The tags in @desc are not looked at.
 * pre: 1 <= nr, and as pinion_channel_send() has it.
 *
 * -EAGAIN  depth requests are outstanding: receive, then try again
 * -EPIPE, -EPROTO, -EINVAL  as pinion_channel_send(); -EPIPE also after pinion_requester_abandon()
 */
int pinion_request_send(struct pinion_requester *requester, const struct pinion_desc *desc,
			void *const *context, uint32_t nr);

/*
 * pinion_request_recv() - up to @nr of what came; returns how many, at least 1 and at most
 * PINION_REQUEST_BATCH.
 *
 * An answer (pinion_desc_is_answer()) has the context of its request; a request of the peer's has
 * NULL, and is the caller's to answer. The buffers are the caller's. pre: 1 <= nr.
 *
 * -EAGAIN, -EPIPE, -ENOMEM ...  as pinion_channel_recv(); -EPIPE also after abandon()
 * -EPROTO  the peer answered what nobody asked, or asked more than it may, or as
 *          pinion_channel_recv(). Its channel is closed; abandon() frees what it sent.
 */
int pinion_request_recv(struct pinion_requester *requester, struct pinion_desc *desc,
			void **context, uint32_t nr);

/*
 * pinion_request_answer() - publish up to @nr answers; returns how many, at least 1 and at most
 * PINION_REQUEST_BATCH: what one recv() gave goes in one call.
 *
 * @desc: with the tags of the requests, in any order, each one once. pre: 1 <= nr.
 *
 * -EINVAL  the first cannot be sent (see pinion_channel_send()), or its tag is that of an answer,
 *          or every request received was answered; nothing was sent (a bad one further on ends the
 *          batch before it)
 * -EPROTO  there is no room, so that the peer has exceeded its depth: its channel is closed
 * -EPIPE   the peer closed or died; also after pinion_requester_abandon()
 */
int pinion_request_answer(struct pinion_requester *requester, const struct pinion_desc *desc,
			  uint32_t nr);

/*
 * pinion_requester_abandon() - no answer is awaited any more: gives back the contexts of up to @nr
 * outstanding requests, each once and in no order; returns how many. 0: that was all.
 *
 * For the end: recv() gave -EPIPE or -EPROTO, or the caller is about to close the channel. (An
 * answer that came later would be one that nobody asked for.) What recv() had taken from the ring
 * when it met a lie is freed through @cache.
 *
 * -EAGAIN, -ENOMEM  some of that could not be freed (see pinion_buffer_free()): call again
 */
int pinion_requester_abandon(struct pinion_requester *requester, struct pinion_cache *cache,
			     void **context, uint32_t nr);

#endif
