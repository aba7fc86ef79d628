/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_RING_H
#define PINION_RING_H

/*
 * A one-way ring: descriptors of 16 bytes from one process to another, through memory that both
 * map. One sends, one receives; nobody waits for the other, nothing is locked.
 *
 *     sender                                    receiver
 *     ------                                    --------
 *     pinion_ring_create(), passes the file  -> (gets the file)
 *     pinion_ring_open(PINION_RING_SEND)        pinion_ring_open(PINION_RING_RECV)
 *     pinion_ring_send()                        pinion_ring_recv()
 *     or, in place:                             or, keeping the slots for a while:
 *       pinion_ring_reserve()                     pinion_ring_peek()
 *       pinion_ring_put(), ...                    (uses what it saw)
 *       pinion_ring_commit()                      pinion_ring_release()
 *                                               pinion_ring_wait()
 *     pinion_ring_sever()  <- it died ->        pinion_ring_sever()
 *     pinion_ring_close()                       pinion_ring_close()
 *
 * A ring moves descriptors and nothing else: it does not know what they name, and does not look
 * at who holds it. Processes that hand buffers of a pool to each other use a channel (channel.h),
 * whose rings check and record every change of hands.
 *
 * Nothing shared is believed: a descriptor is read once, into the caller's memory; a peer's credit
 * is checked; size, mask and positions are private copies.
 *
 * Threads: an end is for one thread at a time, but for pinion_ring_sever().
 *
 * Each end makes the calls of its own column. Those here do not ask which end it is, since they are
 * the fast ones: their `pre:` says it, and a call on the wrong end spoils the ring for both. Of
 * wait.h, set_spin() changes nothing at an end that sends, and the others ask.
 *
 * Progress: no call waits for the peer except wait(), which is bounded by its time limit. Sending
 * and receiving nr descriptors takes a number of steps in proportion to nr.
 *
 * Death: of a dead sender the receiver gets what it had published, up to the first descriptor of a
 * batch that it was killed in. That it is dead nobody sees in the ring: who watches its pidfd says
 * so to this end (pinion_ring_sever()), or to the channel (pinion_channel_sever()).
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pinion/buffer.h>

struct pinion_ring;

/* What travels. @len: bytes of the buffer that matter, below 2^31. @tag: the sender's. */
struct pinion_desc {
	struct pinion_buffer buffer;
	uint32_t len;
	uint32_t tag;
};

_Static_assert(sizeof(struct pinion_desc) == 16, "four descriptors to a cache line");

/* Bit 31 of len and bit 63 of the handle are the ring's own. */
#define PINION_DESC_LEN_MAX 0x7fffffffu

#define PINION_RING_SLOTS_MIN 4u
#define PINION_RING_SLOTS_MAX (1u << 20)

enum pinion_ring_end {
	PINION_RING_SEND = 1,
	PINION_RING_RECV = 2,
};

/*
 * pinion_ring_create() - the memory of a ring: a sealed file with nothing published.
 * @slots: a power of two within the bounds above. The caller closes @fd once both ends are open.
 * -EINVAL  @slots
 */
int pinion_ring_create(uint32_t slots, int *fd);

/*
 * pinion_ring_open() - one end. The file is mapped, not kept.
 * pre: that end was not opened before: both begin at the same place, and a ring that was used
 * begins elsewhere. Make a new one for a new pair of processes.
 * -EPROTO  not a ring of this layout, or not sealed
 * -EBADF, -EACCES  no such descriptor, or open for reading only
 * -EINVAL  @end is neither
 */
int pinion_ring_open(int fd, enum pinion_ring_end end, struct pinion_ring **ring);

/* Tells the peer, wakes it, and unmaps. What was sent and not received is lost to a sender that
 * only has the ring; see channel.h for buffers.
 * -ENOBUFS  it is closed, but for a tenth of a second there was no memory for the byte that tells
 *           the receiver's loop (wait.h) */
int pinion_ring_close(struct pinion_ring *ring);

/* The other end's process is dead (its pidfd says so): from now on send() gives -EPIPE, and so does
 * recv() when all that was published has come. A wait() of this end's ends. From any thread. */
void pinion_ring_sever(struct pinion_ring *ring);

/* How many ends of this process were told -EPROTO, since their peer broke a rule: each counts once.
 * A file that is no ring does not count. From any thread. */
uint64_t pinion_ring_lies(void);

/* How many descriptors it holds when it is full. */
uint32_t pinion_ring_slots(const struct pinion_ring *ring);

/*
 * pinion_ring_send() - publish up to @nr descriptors; returns how many, at least 1.
 * pre: the end sends; 1 <= nr <= INT_MAX.
 *
 * A batch becomes visible at once: the receiver finds all of it, or none. A reservation (below) is
 * given up.
 *
 * -EAGAIN  the ring is full
 * -EPIPE   the receiver closed its end, or is dead
 * -EPROTO  the receiver gave credit for what was not sent: this end is useless, close it
 * -EINVAL  the first has a reserved bit set (above); a bad one further on ends the batch before it
 */
int pinion_ring_send(struct pinion_ring *ring, const struct pinion_desc *desc, uint32_t nr);

/*
 * pinion_ring_recv() - take up to @nr descriptors; returns how many, at least 1.
 * pre: the end receives; 1 <= nr <= INT_MAX.
 *
 * -EAGAIN  nothing there
 * -EPIPE   nothing there, and the sender closed its end, or is dead: nothing will come
 */
int pinion_ring_recv(struct pinion_ring *ring, struct pinion_desc *desc, uint32_t nr);

/*
 * In place, for a sender that makes descriptors one by one: they are written where the receiver
 * reads them, and seen together.
 *
 *     int room = pinion_ring_reserve(ring, 32);
 *     const struct pinion_ring slots = *ring;
 *     for (i = 0; i < room && (more to send); i++)
 *             pinion_ring_put(&slots, i, &desc);
 *     pinion_ring_commit(ring, i);
 *
 * pinion_ring_reserve(): how many of the next @nr slots are free and lie in one piece (a ring ends
 * somewhere), at least 1; errors as send. A reservation before it is given up. pre: the end sends.
 * pinion_ring_put(): writes the @i-th of the slots reserved, in any order, any number of times. The
 * receiver does not see it. -EINVAL  a reserved bit, or slot @i was not reserved. It only reads
 * *ring: a loop may give it a copy made after reserve, which a compiler need not read again after
 * each store (1.3 ns a descriptor, not 1.6); pre: the reservation is not ended.
 * pinion_ring_commit(): publishes the first @nr of them and ends the reservation; 0 gives it up.
 * pre: each of those was put. (A receiver stops for good at one that was not.)
 * -EINVAL  more than were reserved: nothing was published
 */
int pinion_ring_reserve(struct pinion_ring *ring, uint32_t nr);
static inline int pinion_ring_put(const struct pinion_ring *ring, uint32_t i,
				  const struct pinion_desc *desc);
int pinion_ring_commit(struct pinion_ring *ring, uint32_t nr);

/*
 * For a receiver that keeps the sender from going on until it is done with what it saw. It reads
 * copies, as recv does: what lies in a slot may change under who looks twice.
 *
 * pinion_ring_peek(): copies up to @nr descriptors, each once, from the @skip-th on that is
 * published and was not released; returns how many; errors as recv, about what lies from there on.
 * Another call may see another descriptor, if the sender is a liar: act on one copy. pre, of both:
 * the end receives.
 * pinion_ring_release(): gives the first @nr slots back. -EINVAL  so many are not published
 */
int pinion_ring_peek(struct pinion_ring *ring, uint32_t skip, struct pinion_desc *desc,
		     uint32_t nr);
int pinion_ring_release(struct pinion_ring *ring, uint32_t nr);

/*
 * pinion_ring_wait() - until something can be received, or @timeout_ns (monotonic) is over. Spins
 * a little, then sleeps. 0 does not promise a descriptor: recv says. pre: the end receives.
 *
 * -ETIMEDOUT  nothing came
 * -EINTR      a signal handler ran
 */
int pinion_ring_wait(struct pinion_ring *ring, uint64_t timeout_ns);

/*
 * A slot, in memory that both map:
 *
 *     head   lap (bit 63) | generation | id      a handle, with the lap in its spare bit
 *     body   tag | lap (bit 31) | len            as struct pinion_desc has them
 *
 * The lap is 1 in the first round of the ring, 0 in the second, and so on. Both halves carry it, so
 * that it does not matter which of them arrives first, nor whether a processor moves 16 bytes at
 * once: a descriptor is there when both say so.
 */
struct pinion_slot {
	_Alignas(16) _Atomic uint64_t head;
	_Atomic uint64_t body;
};

_Static_assert(sizeof(struct pinion_slot) == 16, "four slots to a line");

#define PINION_SLOT_HEAD_LAP (UINT64_C(1) << 63)
#define PINION_SLOT_BODY_LAP (UINT64_C(1) << 31)

/* What both halves are combined with, by exclusive-or. */
struct pinion_lap {
	uint64_t head, body;
};

/* False: a reserved bit is set, and nothing may be stored. */
static inline bool pinion_desc_valid(const struct pinion_desc *desc)
{
	return !((desc->buffer.bits | (uint64_t)desc->len << 32) >> 63);
}

/*
 * Relaxed: only the head of the first slot of a batch is released, and it is written last (R2).
 * The empty assembly keeps the compiler from loading len and tag at once: the caller has just
 * written them one by one, and a load wider than the stores before it waits until those have
 * reached the cache (a burst of 32: 1.3 ns a descriptor, not 0.7).
 */
static inline void pinion_slot_store(struct pinion_slot *slot, const struct pinion_desc *desc,
				     struct pinion_lap lap)
{
	uint64_t len = desc->len, tag = desc->tag;

	__asm__("" : "+r"(len), "+r"(tag));
	atomic_store_explicit(&slot->body, (tag << 32 | len) ^ lap.body, memory_order_relaxed);
	atomic_store_explicit(&slot->head, desc->buffer.bits ^ lap.head, memory_order_relaxed);
}

/* Public for the inline call below; private to this process. A sender's reservation. */
struct pinion_ring {
	struct pinion_slot *slot; /* the first of those reserved */
	struct pinion_lap lap;    /* theirs */
	uint32_t reserved;
};

/* The first slot gets the wrong lap in its head until commit: what is behind it cannot be seen. It
 * has a store of its own, since to choose the lap costs more than to go another way once. */
static inline int pinion_ring_put(const struct pinion_ring *ring, uint32_t i,
				  const struct pinion_desc *desc)
{
	struct pinion_lap first = {ring->lap.head ^ PINION_SLOT_HEAD_LAP, ring->lap.body};

	if (__builtin_expect(i >= ring->reserved || !pinion_desc_valid(desc), 0))
		return -EINVAL;
	if (__builtin_expect(!i, 0))
		pinion_slot_store(ring->slot, desc, first);
	else
		pinion_slot_store(&ring->slot[i], desc, ring->lap);
	return 0;
}

#endif
