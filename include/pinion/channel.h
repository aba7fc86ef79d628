/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_CHANNEL_H
#define PINION_CHANNEL_H

/*
 * A channel: two one-way rings between two members of a pool, or one. What travels are descriptors
 * of 16 bytes; with each, the buffer it names changes hands.
 *
 *     producer                                  device process
 *     --------                                  --------------
 *     pinion_buffer_alloc()
 *     (fills the buffer)
 *     pinion_channel_send()  --- request --->   pinion_channel_recv()   the buffer is its own now
 *     pinion_channel_wait()                     (DMA at pinion_buffer_bus())
 *     pinion_channel_recv()  <- completion ---  pinion_channel_send()
 *     pinion_buffer_free()
 *
 * Rights. An end sends, receives, or does both, and what says so is which rings it has: who may not
 * send was given no ring to send on, and could not if it tried. One ring works as either of two
 * does: that the other side closed, died or lied is known at both ends of it. What an end cannot do
 * for want of a ring is -EACCES:
 *
 *     may only send      recv; waiting with others or in a loop (wait.h); a place in a fan-in
 *     may only receive   send; pinion_channel_set_notify(), pinion_channel_join()
 *     either             requests
 *
 * Nothing received is believed: each slot is read once into a private copy, and id, length, owner
 * and generation are checked there. A peer that lies gets its own channel closed (-EPROTO) and
 * harms nobody else.
 *
 * Threads: of one end, one thread sends and one receives (they may differ). wait() belongs to
 * the receiving thread, or to the sending one of an end that may only send; wait_room() and drain()
 * to the sending one. Nothing else here blocks, and these are bounded by their time limits.
 *
 * Death: no call waits for the peer to move. A receiver drains what the dead had published and
 * then gets -EPIPE; a sender gets -EPIPE, and pinion_channel_reclaim() frees what the dead had
 * not taken. Who notices: in the keeper the rendezvous, from the peer's pidfd; in a session
 * pinion_channel_wait() and wait_room(), within 100 ms. A program that only polls recv() calls
 * wait() now and then, and so does one that may only send. A keeper, whom the rendezvous tells,
 * waits shortly, and calls pinion_rendezvous_next().
 */

#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/cache.h>
#include <pinion/pool.h>
#include <pinion/ring.h>

struct pinion_channel;

/* What an end may do. */
#define PINION_RIGHT_SEND 1u
#define PINION_RIGHT_RECV 2u
#define PINION_RIGHT_BOTH (PINION_RIGHT_SEND | PINION_RIGHT_RECV)

/*
 * pinion_channel_open() - one end: send on @tx, receive on @rx, with member @peer.
 * The files are mapped, not kept. The other end swaps tx and rx and names us. One of them may be
 * -1: this end does not do that, and the peer not the opposite.
 * -EPROTO  a file is not a ring of this layout
 * -EBADF, -EACCES  no such descriptor, or open for reading only
 * -EINVAL  the pool has no member @peer; or both files are -1
 */
int pinion_channel_open(struct pinion_pool *pool, int tx, int rx, uint32_t peer,
			struct pinion_channel **channel);

/*
 * Orderly end: tells the peer (which drains what was sent to it and then gets -EPIPE), wakes it,
 * and unmaps. What the peer had sent and we did not take goes back to it, see
 * pinion_channel_reclaim(). What we sent and the peer has not taken is still the peer's to take; if
 * it dies without, those buffers stay held by this member until this member is recovered itself:
 * who goes on as a member calls pinion_channel_drain() before.
 * pre: the peer has not closed or died, or pinion_channel_reclaim() was called.
 * -ENOBUFS  it is closed, but for a tenth of a second there was no memory for the byte that tells
 *           the peer's loop (wait.h)
 */
int pinion_channel_close(struct pinion_channel *channel);

/* The member at the other end, as it was opened. */
uint32_t pinion_channel_peer(const struct pinion_channel *channel);

/* PINION_RIGHT_SEND, PINION_RIGHT_RECV, or both. */
uint32_t pinion_channel_rights(const struct pinion_channel *channel);

/*
 * pinion_channel_send() - publish up to @nr descriptors; returns how many, at least 1.
 *
 * The buffers of those are the peer's from now on; the rest remain the caller's.
 * pre: @nr is at least 1, and none of the buffers was sent already: the owner word changes only
 * when the peer takes it, so that a second send is noticed by the peer alone, which ends the
 * channel.
 *
 * -EAGAIN  the ring is full: receive completions meanwhile, and try again. Where there are none,
 *          pinion_channel_wait_room() sleeps until there is room
 * -EPIPE   the peer closed or died
 * -EPROTO  the peer gave credit for what it did not take, or that cannot be: its channel is closed
 * -EINVAL  the first descriptor names a buffer that the caller does not hold, or a length beyond
 *          its size; nothing was sent (a bad one further on ends the batch before it)
 * -EACCES  this end may only receive
 */
int pinion_channel_send(struct pinion_channel *channel, const struct pinion_desc *desc,
			uint32_t nr);

/*
 * pinion_channel_recv() - take up to @nr descriptors; returns how many, at least 1.
 *
 * Each was checked, and its buffer is the caller's (with a new generation: use the handle
 * received, not one kept from before).
 *
 * -EAGAIN  nothing there; or the first is in a segment whose file has not come yet: it stays there,
 *          and those who wait are not told of it before the file comes (wait.h)
 * -EPIPE   the peer closed or died, and nothing is there; or what is there is as above, and this
 *          end takes nothing more, though the file be only late: where files come by other ways
 *          than the service's, call pinion_pool_extend() first
 * -EPROTO  the peer sent something that it may not: an id out of range, a length beyond the
 *          buffer, a buffer that it does not hold. The channel is closed for good.
 * -ENOMEM, ...  the first is in a segment added a moment ago, which this process could not map:
 *          it stays there, try again
 * -EACCES  this end may only send
 */
int pinion_channel_recv(struct pinion_channel *channel, struct pinion_desc *desc, uint32_t nr);

/*
 * pinion_channel_reject() - the peer broke a rule of the program's own protocol: end its channel
 * as if it had lied to the library. The peer gets -EPIPE, wakes, and keeps its membership; our
 * calls give -EPROTO from now on. Threads: the receiving one.
 */
void pinion_channel_reject(struct pinion_channel *channel);

/* How many channels of this process have ended because their peer broke a rule. */
uint64_t pinion_channel_lies(void);

/*
 * pinion_channel_wait() - until something can be received, or @timeout_ns (monotonic) is over.
 *
 * Spins a little, then sleeps on a futex in the ring. 0 does not promise a descriptor: recv says.
 * On an end that may only send: until something can be sent, or the peer is gone: send says. Credit
 * wakes nobody, so that this one sleeps a millisecond at most at a time.
 *
 * -ETIMEDOUT  nothing came
 * -EINTR      a signal handler ran
 */
int pinion_channel_wait(struct pinion_channel *channel, uint64_t timeout_ns);

/*
 * pinion_channel_wait_room() - until something can be sent, or @timeout_ns (monotonic) is over; 0
 * only looks. 0 does not promise that all of a batch goes: send says.
 *
 * Two that send to each other, and both wait for room, wait for each other: neither receives. So
 * who has one thread for both receives what there is before it waits, and again when the time is
 * over:
 *
 *     while ((sent = pinion_channel_send(channel, desc, nr)) == -EAGAIN) {
 *             got = pinion_channel_recv(channel, in, 32);      its room for us hangs on this
 *             if (got < 0)
 *                     err = pinion_channel_wait_room(channel, 1000000);
 *     }
 *
 * What comes meanwhile does not end it, and who sleeps in pinion_channel_wait() beside it is woken
 * all the same. Nobody is woken by credit: this sleeps a millisecond at most at a time, and looks.
 * A receiver gives credit for a sixteenth of its ring at a time, or when it found the ring empty.
 * Threads: the sending one.
 *
 * -EPIPE   the peer closed or died
 * -EPROTO  its channel is closed, as send says it
 * -ETIMEDOUT  there is no room
 * -EINTR   a signal handler ran
 * -EACCES  this end may only receive
 */
int pinion_channel_wait_room(struct pinion_channel *channel, uint64_t timeout_ns);

/*
 * pinion_channel_drain() - until the peer has taken all that was sent, or @timeout_ns (monotonic)
 * is over; 0 only looks. So nothing is lost, whoever dies:
 *
 *     err = pinion_channel_drain(channel, timeout_ns);
 *     if (err == -EPIPE)
 *             pinion_channel_reclaim(channel, cache);
 *     pinion_channel_close(channel);
 *
 * Both may drain at once, but a peer that waits for room to answer takes no more: then receive, and
 * call again. Nobody is woken by what a receiver takes: this looks each millisecond at least.
 * What a liar (-EPROTO) did not take is not taken either, until it closes or dies.
 * Threads: the sending one.
 *
 * -EPIPE  the peer closed or died, and has not taken all: pinion_channel_reclaim() has the rest
 * -ETIMEDOUT  it lives, and has not taken all
 * -EINTR  a signal handler ran
 * -EACCES  this end may only receive
 */
int pinion_channel_drain(struct pinion_channel *channel, uint64_t timeout_ns);

/*
 * pinion_channel_reclaim() - take back what was sent and never taken, and free it through
 * @cache; returns how many buffers (none, on an end that may only receive).
 * Threads: the sending one.
 *
 * -EBUSY  the peer neither closed nor died: it may still take them
 * -EAGAIN, -ENOMEM  some could not be freed (see pinion_buffer_free()): call again
 *
 * For the keeper, about a peer that is dead (its pidfd says so):
 *
 * pinion_channel_sever(): mark the peer gone, so that send gives -EPIPE and recv drains what was
 * published and then gives -EPIPE.
 *
 * pinion_channel_published(): the handles of every slot that the peer ever wrote and that may
 * still be untaken, as pinion_pool_recover() wants them; returns their number (at most the
 * ring's slots; @buffer has room for pinion_channel_slots() of them; none from who may not send).
 */
int pinion_channel_reclaim(struct pinion_channel *channel, struct pinion_cache *cache);
void pinion_channel_sever(struct pinion_channel *channel);
uint32_t pinion_channel_slots(const struct pinion_channel *channel);
uint32_t pinion_channel_published(const struct pinion_channel *channel,
				  struct pinion_buffer *buffer);

#endif
