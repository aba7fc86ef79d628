/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_WAIT_H
#define PINION_WAIT_H

/*
 * More ways to wait than pinion_channel_wait(): at several channels at once, in a loop that waits
 * for descriptors of all kinds (epoll, libuv, glib), and with more or less spinning before sleep.
 * Each call is there for channels and, with the same meaning, for rings that stand alone.
 *
 * Several at once:
 *
 *     uint32_t which = 0;
 *     while (!pinion_channel_wait_any(channel, nr, timeout_ns, &which))
 *             (receive from channel[which] until -EAGAIN)
 *
 * In a loop:
 *
 *     receiver                                         sender
 *     --------                                         ------
 *     fd = pinion_channel_fd(channel)
 *     to = pinion_channel_notify_fd(channel),
 *       passed by fork or SCM_RIGHTS              ->   pinion_channel_set_notify(channel, to)
 *     (puts fd into the loop, for reading)             pinion_channel_send(), as ever
 *
 *     before the loop sleeps:
 *       while ((what = pinion_channel_prepare(channel)) == 1)
 *               (receive until -EAGAIN)
 *       if (what < 0)
 *               (it has ended, and the fd will not say so: take it out of the loop)
 *     when fd is readable:
 *       pinion_channel_done(channel)
 *       (receive until -EAGAIN, or some, and again later)
 *
 * libuv has a uv_poll_t for the fd, and a uv_prepare_t, called before each sleep, for prepare().
 * glib has a GSource with g_source_add_unix_fd(), whose own prepare() says that it is ready when
 * ours does not give 0.
 *
 * A sender that finds the receiver asleep in its loop sends one byte; one that does not, sends
 * nothing. prepare() says that the receiver goes to sleep, and looks once more: without that look a
 * descriptor that came just before would wake nobody. Between done() and prepare() the fd may stay
 * silent though something came. Level or edge triggered makes no difference.
 *
 * What lies in a segment whose file has not come is not told of. When the file comes the keeper of
 * a rendezvous wakes the loop at its channel; else its coming wakes no loop but a fan-in's: call
 * prepare() anew after pinion_pool_extend(), or after what the service told. wait() looks again
 * within 100 ms.
 *
 * The kernel may have no memory for the byte. What was sent then stays sent; the sender tries again
 * with the next message, and whenever it waits, prepares, or closes. One that has nothing more to
 * send, and does not wait either, asks told() and calls that again as long as it fails:
 *
 *     pinion_channel_send(channel, ...)
 *     if (pinion_channel_told(channel) == -ENOBUFS)
 *             (call it again in a few milliseconds)
 *
 * Else a receiver may sleep on in its loop, until the next message. In wait() it looks again within
 * 100 ms.
 *
 * Where membarrier(2) is refused to a receiver that had let its sender off the fence before, by a
 * filter that came later (seccomp(2)), say, the next prepare() or sleep takes a millisecond longer,
 * once for each ring, and loses nothing; of a fan-in so does the recv() that lets lanes rest.
 *
 * The fd tells of what can be received, never of room to send: credit wakes nobody. Who finds a
 * ring full in a loop tries again when completions come, or has a timer of a millisecond, which is
 * what pinion_channel_wait_room() makes of it for those who may sleep.
 *
 * What the fd is not: a peer cannot make a call of ours block, neither on this side nor on the
 * sending one, whatever it does to its end. It can make the fd readable for nothing, as it can ring
 * for nothing, or send for nothing: a loop that has enough of that closes the channel. It can leave
 * the receiver asleep, as one who sends nothing does.
 * (Before Linux 6.16 a sender can leave files in the socket, whose last close may take long: that
 * is in the receiver's close(). So can a receiver, for the sender's, where no /proc tells of them.)
 *
 * With piniond nobody has to pass a descriptor: whoever says so when it opens a client or a device
 * (config.loop) is woken at the fd() of its channels, by sockets that the service makes. A peer
 * that shuts its end of one makes the fd readable once, and cannot make it so any more.
 *
 * A fan-in has a descriptor of its own (fanin.h), which its producers get by set_notify() too.
 *
 * Threads: wait_any(), fd(), notify_fd(), prepare(), done() and set_spin() belong to the receiving
 * thread, set_notify() to the sending one, told() to any. The first fd() and each set_notify() are
 * for a moment in which no other thread uses the channel: best right after it was opened.
 *
 * Fork: descriptors are inherited like all others; the one that fd() gives is for one process.
 *
 * Death: the fd tells of it where pinion_channel_wait() does, that is, in a session and with
 * piniond; receive says -EPIPE then. Elsewhere the loop also watches what tells of deaths there:
 * the rendezvous' fd (pinion_rendezvous_fd()) or the peer's pidfd, and says so with
 * pinion_channel_sever(). The fd says nothing by itself: others may have a copy of the sender's
 * end. A sender killed between publishing and waking leaves the receiver asleep until then.
 */

#include <stdint.h>

#include <pinion/channel.h>
#include <pinion/ring.h>

#define PINION_WAIT_ANY_MAX 128u

/* What it is before set_spin(). */
#define PINION_SPIN_DEFAULT_NS 50000u

/*
 * pinion_channel_wait_any() - until something can be received from one of @nr channels, or
 * @timeout_ns (monotonic) is over.
 * @which: in and out: the channel told last, then the one that is told now. The look begins behind
 * it, so that none is left out while others are busy. Any number will do at first.
 *
 * A channel that has ended is told each time: take it out. Before Linux 5.16, and where a filter
 * forbids futex_waitv(2), the first channel wakes at once and the others within a millisecond.
 *
 * -ETIMEDOUT  nothing came
 * -EINTR      a signal handler ran that was installed without SA_RESTART: after others
 *             futex_waitv(2) goes on, unlike pinion_channel_wait()
 * -EINVAL     @nr is 0 or above PINION_WAIT_ANY_MAX; of rings: one of them sends
 * -EACCES     one of the channels may only send
 */
int pinion_channel_wait_any(struct pinion_channel *const *channel, uint32_t nr,
			    uint64_t timeout_ns, uint32_t *which);
int pinion_ring_wait_any(struct pinion_ring *const *ring, uint32_t nr, uint64_t timeout_ns,
			 uint32_t *which);

/*
 * pinion_channel_set_spin() - how long wait() and wait_any() look before they sleep; 0: they sleep
 * at once. Longer than a sleep and its end take (10 to 50 us) buys nothing but latency, at the
 * price of a busy core. wait_any() takes the shortest of its channels. It does not reach a fan-in's
 * wait, nor a broadcast's: those look 2,000 times.
 */
void pinion_channel_set_spin(struct pinion_channel *channel, uint64_t ns);
void pinion_ring_set_spin(struct pinion_ring *ring, uint64_t ns);

/*
 * pinion_channel_fd() - the descriptor for the loop. It is the channel's, which closes it: take it
 * out of the loop before. Nobody else is ever given it.
 * pinion_channel_notify_fd() - what the sender wants for set_notify(). It is the channel's too.
 *
 * -EMFILE, -ENFILE, -ENOMEM  what the kernel says
 * -EINVAL  this end of a ring sends
 * -EACCES  this end of a channel may only send; the same from prepare() and done()
 */
int pinion_channel_fd(struct pinion_channel *channel);
int pinion_ring_fd(struct pinion_ring *ring);
int pinion_channel_notify_fd(struct pinion_channel *channel);
int pinion_ring_notify_fd(struct pinion_ring *ring);

/*
 * pinion_channel_set_notify() - what the receiver's notify_fd() gave; a duplicate is kept, the
 * caller closes @fd. A receiver that went to sleep before this is woken if there is something.
 * The socket is shut for reading (SHUT_RD): nothing comes there that a close would have to close.
 *
 * -EINVAL  not such a descriptor, or the receiver left files in it; or this end of a ring receives
 * -EACCES  this end of a channel may only receive
 * -EMFILE  no room for the duplicate, or to look for such files
 */
int pinion_channel_set_notify(struct pinion_channel *channel, int fd);
int pinion_ring_set_notify(struct pinion_ring *ring, int fd);

/*
 * pinion_channel_prepare() - the loop is about to sleep. 0: it may. 1: something can be received:
 * do that and prepare again.
 * pinion_channel_done() - the fd is readable, or the loop woke for another reason: nothing has to
 * be sent for now. Takes what was sent, a bounded number of bytes. Harmless at any time.
 *
 * -EINVAL  pinion_channel_fd() was not called
 * -EPIPE   (prepare) nothing there, and the peer closed or died: nothing will come
 * -EPROTO  the peer lied, or (done) sent files along: its channel is closed, and receive says so
 *          too; a ring alone is useless, close it
 */
int pinion_channel_prepare(struct pinion_channel *channel);
int pinion_ring_prepare(struct pinion_ring *ring);
int pinion_channel_done(struct pinion_channel *channel);
int pinion_ring_done(struct pinion_ring *ring);

/*
 * pinion_channel_told() - 0: whoever had to be woken in a loop was told: the receiver of what was
 * sent, and this end's own of a sever(). Where a byte failed it is sent now. From any thread; looks
 * at one word, or two, as long as none failed.
 *
 * -ENOBUFS  the kernel still has no memory for it: call again, in a few milliseconds
 */
int pinion_channel_told(struct pinion_channel *channel);
int pinion_ring_told(struct pinion_ring *ring);

#endif
