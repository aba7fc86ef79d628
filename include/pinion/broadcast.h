/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_BROADCAST_H
#define PINION_BROADCAST_H

/*
 * A broadcast: one producer lends each buffer, as it is, to several consumers at once, who only
 * read it. When the last one has returned it, the producer has it back, and frees it or fills it
 * again.
 *
 *     keeper                    producer                        each consumer
 *     ------                    --------                        -------------
 *     pinion_broadcast_create()
 *        passes the file     -> pinion_broadcast_open()
 *     and, for each consumer,
 *     pinion_broadcast_create_seat()
 *        passes the seat     -> pinion_broadcast_admit()
 *        passes both files      ------------------------------> pinion_broadcast_join()
 *                               pinion_buffer_alloc()
 *                               (fills the buffer)
 *                               pinion_broadcast_send() ------> pinion_broadcast_recv()
 *                                                               (reads the buffer)
 *                               pinion_broadcast_collect() <--- pinion_broadcast_return()
 *                               pinion_buffer_free(), or send again
 *                               pinion_broadcast_end()
 *                               (collects what is out)          pinion_broadcast_leave()
 *                               pinion_broadcast_close()
 *
 * Keeper and producer may be one process. Who is to recover a dead producer needs both kinds of
 * file, so the keeper makes them, and keeps them until producer and consumers are gone.
 *
 * The descriptors lie in one ring that the producer alone can write: its file is sealed when the
 * producer opens it, and nobody can map it for writing after that. What a consumer has to say,
 * namely how many it returned, stands in its seat, a file of its own that no other consumer has. So
 * a consumer that lies or scribbles reaches its own seat and no more. This holds for those who get
 * the ring when it is open, through a socket say: who had it before could have mapped it for
 * writing, and who is forked by the producer after that inherits the mapping.
 *
 * No count is shared. The producer takes the least of what the living consumers say that they
 * returned. A consumer returns in the order in which it received: a buffer is back when each has
 * returned it and all before it. Who needs one for long keeps those behind it out as well, and had
 * better copy it.
 *
 * Whose a lent buffer is: the producer's, all the time. Its owner word does not change, so that
 * the handles sent, received and collected are the same. Between send and collect the producer
 * must not free it, send it again, here or in a channel, or write to it.
 *
 * Read only is a promise, not a wall: consumers are members of the pool, which have its memory
 * mapped for writing (pool.h says how far members trust each other). One that writes to what it
 * was lent is seen by the others.
 *
 * Threads: an end is for one thread at a time. The keeper's calls may be made at any time.
 *
 * Progress: no call waits for another process, but for pinion_broadcast_wait(), which is bounded by
 * its time limit. send() takes a number of steps in proportion to descriptors and consumers.
 *
 * A slow consumer is back-pressure: when it has a whole ring of loans out, send() gives -EAGAIN
 * until it returns some. pinion_broadcast_lag() tells who is behind; whether to wait, to drop or
 * to sever it is the program's choice.
 *
 * A consumer dies: its pidfd says so, somebody tells the producer, and that calls
 * pinion_broadcast_sever(). Its loans count as returned from then on. Nothing else is to be done:
 * it never held any of them.
 *
 * A consumer that lies, saying that it returned what was not sent to it, or less than before, is
 * severed by the producer as soon as it is seen to; pinion_broadcast_lag() says -EPROTO of it. One
 * that returns too early, or was severed while it lives, may read what others write by then. One
 * that never returns is a slow one.
 *
 * The producer dies with loans out. Living consumers still read them, so they must not be freed
 * with the rest of what it held. The keeper goes about it as with a channel:
 *
 *     for each living consumer:   pinion_broadcast_orphan(seat)
 *                                 nr += pinion_broadcast_lent(fd, seat, transit + nr, ...)
 *     pinion_pool_recover(pool, producer, transit, nr, ...)   frees all but those
 *     until pinion_broadcast_lent() is 0 for each consumer, or the consumer is dead: later
 *     pinion_pool_release(pool, producer, ...)                frees those too
 *
 * Orphaned consumers receive what the producer had published, and then get -EPIPE, and leave. One
 * that does not, within the time that the keeper allows, can be left alone: what it reads then may
 * be somebody else's by now, and it can do no more harm than any member.
 * A producer that was killed in the middle of a batch may have written behind the first
 * descriptor of it, which nobody receives; the buffers count as lent until the consumer leaves.
 *
 * So a broadcast is for a pool whose keeper is the program's own. piniond knows nothing of loans:
 * in a pool that it keeps, those of a dead producer would be free while consumers read them.
 */

#include <stdint.h>

#include <pinion/buffer.h>
#include <pinion/pool.h>
#include <pinion/ring.h>

struct pinion_broadcast; /* the producer's end */
struct pinion_seat;      /* a consumer's */

#define PINION_BROADCAST_CONSUMERS_MAX 64

/*
 * The files. Both are sealed memfds, which the caller closes when it does not need them any more.
 *
 * pinion_broadcast_create(): the ring, with nothing in it. @slots: a power of two from
 * PINION_RING_SLOTS_MIN to _MAX; so many buffers can be out at once. -EINVAL  @slots
 * pinion_broadcast_create_seat(): the seat of one consumer. It is used once: who comes later, in
 * its place too, gets a new one.
 */
int pinion_broadcast_create(uint32_t slots, int *fd);
int pinion_broadcast_create_seat(int *fd);

/* --- the producer */

/*
 * pinion_broadcast_open() - the producer's end. The file is mapped, not kept, and nobody can map it
 * for writing after this.
 * -EPROTO  not the ring of a broadcast
 * -EBADF, -EACCES  no such descriptor, or open for reading only
 * -EPERM   it has a producer, or had one: make a new one
 */
int pinion_broadcast_open(struct pinion_pool *pool, int fd, struct pinion_broadcast **broadcast);

/*
 * Ends (see below), and unmaps. Buffers that were not collected stay held by this member, and
 * consumers go on reading what they received; when this member is recovered,
 * pinion_broadcast_lent() tells of them. To have them back, end and collect first.
 * -ENOBUFS  closed, but for a tenth of a second there was no memory to tell a consumer's loop
 */
int pinion_broadcast_close(struct pinion_broadcast *broadcast);

/*
 * pinion_broadcast_admit() - a consumer is to receive what is sent from now on. Its seat is mapped,
 * not kept. @consumer: its number from now on, below PINION_BROADCAST_CONSUMERS_MAX.
 *
 * Loans to it count from this moment, not from when it joins.
 *
 * -EAGAIN  there are as many consumers as can be: sever those who left
 * -EEXIST  this seat was used before
 * -EPROTO  not a seat
 * -EBADF, -EACCES  no such descriptor, or open for reading only
 * -EPIPE   the broadcast was ended
 */
int pinion_broadcast_admit(struct pinion_broadcast *broadcast, int seat, uint32_t *consumer);

/*
 * pinion_broadcast_sever() - that consumer is dead, or left, or is to be treated so. What it was
 * lent counts as returned, it is woken, and its calls give -EPIPE; the number is free for another.
 * -EINVAL  no such consumer
 * -ENOBUFS all but the last: there was no memory to wake its loop. Call again
 */
int pinion_broadcast_sever(struct pinion_broadcast *broadcast, uint32_t consumer);

/*
 * pinion_broadcast_lag() - how many of the buffers sent to a consumer it has not returned.
 * -EPIPE   it left
 * -EPROTO  it lied, and was severed
 * -EINVAL  no such consumer
 * Neither of the first two has loans; the number is taken until pinion_broadcast_sever().
 */
int pinion_broadcast_lag(struct pinion_broadcast *broadcast, uint32_t consumer);

/*
 * pinion_broadcast_set_notify() - what that consumer's notify_fd() gave (below); a duplicate is
 * kept, the caller closes @fd. One that went to sleep before this is woken if there is something.
 * The socket is shut for reading, as wait.h tells it of a channel.
 *
 * -EINVAL  no such consumer; or not such a descriptor, or the consumer left files in it
 * -EMFILE  no room for the duplicate, or to look for such files
 */
int pinion_broadcast_set_notify(struct pinion_broadcast *broadcast, uint32_t consumer, int fd);

/*
 * pinion_broadcast_told() - 0: each consumer that had to be woken in its loop was told, of what was
 * sent or of the end. Where a byte failed it is sent now, as it is with the next message.
 * -ENOBUFS  the kernel still has no memory for one: call again, in a few milliseconds
 */
int pinion_broadcast_told(struct pinion_broadcast *broadcast);

/* How many consumers of this process's broadcasts, and producers of its seats, have broken a rule:
 * what gave -EPROTO to send(), recv() and the like, each once; a file that is none does not count.
 * From any thread. */
uint64_t pinion_broadcast_lies(void);

/*
 * pinion_broadcast_send() - lend up to @nr buffers to all consumers; returns how many, at least 1.
 * The rest remain as they were. Without any consumer they can be collected at once.
 * pre: 1 <= nr <= INT_MAX, and none is lent already: it would be collected twice.
 *
 * -EAGAIN  as many are out as there are slots: collect. If that gives none either, the slowest
 *          consumer has to return some first
 * -EPIPE   the broadcast was ended
 * -EINVAL  the first names a buffer that the caller does not hold, or a length beyond its size;
 *          nothing was sent (a bad one further on ends the batch before it)
 */
int pinion_broadcast_send(struct pinion_broadcast *broadcast, const struct pinion_desc *desc,
			  uint32_t nr);

/*
 * pinion_broadcast_collect() - up to @nr of the buffers that every consumer has returned, in the
 * order in which they were sent; returns how many. Free them or send them again. They are those of
 * the producer's own record, whatever shared memory says.
 *
 * 0        none is out
 * -EAGAIN  the oldest is still with somebody
 */
int pinion_broadcast_collect(struct pinion_broadcast *broadcast, struct pinion_buffer *buffer,
			     uint32_t nr);

/* Nothing more will be sent: consumers get what was, and then -EPIPE. Collecting goes on. */
void pinion_broadcast_end(struct pinion_broadcast *broadcast);

/* --- a consumer */

/*
 * pinion_broadcast_join() - take a seat. The files are mapped, not kept. @producer: its member.
 * pre: this seat was not joined before.
 * -EAGAIN  the producer has not opened the file yet, or not admitted this seat
 * -EPROTO  not the files of a broadcast
 * -EBADF, -EACCES  no such descriptor, or a seat open for reading only
 * -EINVAL  the pool has no member @producer
 */
int pinion_broadcast_join(struct pinion_pool *pool, int fd, int seat, uint32_t producer,
			  struct pinion_seat **joined);

/* Returns all loans, as the last act, and unmaps. */
int pinion_broadcast_leave(struct pinion_seat *seat);

/*
 * pinion_broadcast_recv() - borrow up to @nr buffers; returns how many, at least 1.
 * pre: 1 <= nr <= INT_MAX.
 *
 * Each was checked: a buffer of this pool, held by the producer under this very handle, and not
 * shorter than it says. It may be read until it is returned, and neither be freed nor sent.
 *
 * -EAGAIN  nothing there; or the first is in a segment whose file has not come yet: it stays there,
 *          and those who wait are not told of it before the file comes (wait.h)
 * -EPIPE   nothing there, or what is there is as above, and nothing more will come: the producer
 *          ended, or died (and pinion_broadcast_orphan() was called); or this consumer was severed
 * -EPROTO  the producer sent something that it may not. This end is closed, all loans returned.
 * -ENOMEM, ...  the first is in a segment added a moment ago, which this process could not map:
 *          it stays there, try again
 */
int pinion_broadcast_recv(struct pinion_seat *seat, struct pinion_desc *desc, uint32_t nr);

/*
 * pinion_broadcast_return() - the oldest @nr loans are not read any more.
 * -EPIPE   this consumer was severed: others may have written what it read meanwhile. Do not use
 *          what it made of them
 * -EPROTO  this end is closed, see above
 * -EINVAL  there are not so many
 */
int pinion_broadcast_return(struct pinion_seat *seat, uint32_t nr);

/*
 * pinion_broadcast_wait() - until something can be received, or @timeout_ns (monotonic) is over.
 * Spins a little (2,000 looks, which no set_spin() changes), then sleeps. 0 does not promise a
 * descriptor: recv says.
 *
 * -ETIMEDOUT  nothing came
 * -EINTR      a signal handler ran
 */
int pinion_broadcast_wait(struct pinion_seat *seat, uint64_t timeout_ns);

/*
 * In a loop that waits for descriptors of all kinds, as wait.h tells it of a channel: the consumer
 * puts fd() there, and passes notify_fd() to the producer (fork, SCM_RIGHTS), for set_notify().
 * prepare() comes before the loop sleeps, done() when the descriptor is readable. What those of a
 * channel promise holds here: no lost wake-up, no call that blocks, whatever the other end does.
 * (Before Linux 6.16 a producer can leave files in the socket, whose last close may take long:
 * that is in leave(). So can a consumer, for sever() and close(), where /proc is not mounted.)
 * The descriptor does not tell of the producer's death, nor does pinion_broadcast_orphan() wake the
 * loop: it watches the pidfd as well, or whatever tells it of deaths.
 *
 * pinion_broadcast_fd(), _notify_fd(): both are the seat's, which closes them.
 * -EMFILE, -ENFILE, -ENOMEM  what the kernel says
 *
 * pinion_broadcast_prepare(): 0: the loop may sleep. 1: something can be received: do that and
 * prepare again. pinion_broadcast_done(): nothing has to be sent for now. Harmless at any time.
 * -EINVAL  pinion_broadcast_fd() was not called
 * -EPIPE   (prepare) nothing will come, see recv
 * -EPROTO  the producer lied, or (done) sent files along: this end is closed
 */
int pinion_broadcast_fd(struct pinion_seat *seat);
int pinion_broadcast_notify_fd(struct pinion_seat *seat);
int pinion_broadcast_prepare(struct pinion_seat *seat);
int pinion_broadcast_done(struct pinion_seat *seat);

/* --- the keeper, about a producer that is dead (its pidfd says so) */

/* Tells a consumer, for the producer, that nothing more will be sent, and wakes it.
 * -EPROTO  not a seat
 * -EBADF, -EACCES  no such descriptor, or open for reading only */
int pinion_broadcast_orphan(int seat);

/*
 * pinion_broadcast_lent() - the handles of all that this consumer was lent and has not returned,
 * received or not, as pinion_pool_recover() wants them; returns their number. 0: it has nothing
 * any more of what the dead producer held, and will not have.
 * -EPROTO  not the files of a broadcast
 * -EBADF, -EACCES  no such descriptor, or a seat open for reading only
 * -ENOSPC  there are more than @nr: as many as the ring has slots suffice
 */
int pinion_broadcast_lent(int fd, int seat, struct pinion_buffer *buffer, uint32_t nr);

#endif
