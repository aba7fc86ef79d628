/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_FANIN_H
#define PINION_FANIN_H

/*
 * A fan-in: one receiver with up to 4,096 producers, each with a channel of its own. What a message
 * costs does not grow with the number of producers that send nothing.
 *
 *     producer                                  device process
 *     --------                                  --------------
 *                                               pinion_fanin_create()
 *                                               pinion_fanin_add(channel)    gives a lane
 *     (gets file and lane)         <---------   pinion_fanin_fd()
 *     pinion_channel_join(file, lane)           pinion_fanin_wait()
 *     pinion_channel_send(), ...   --------->   pinion_fanin_recv()          names the channel
 *     pinion_channel_recv(), ...   <---------   pinion_channel_send()
 *                                               pinion_fanin_remove(channel)
 *                                               pinion_fanin_destroy()
 *
 * In a loop that waits for descriptors of all kinds (epoll, libuv, glib), wait() has no place. The
 * receiver puts pinion_fanin_loop_fd() there, and gives pinion_fanin_notify_fd() to each producer,
 * for pinion_channel_set_notify(); then all is as wait.h tells it of a channel:
 *
 *     before the loop sleeps:
 *       while (pinion_fanin_prepare(fanin) != 0)
 *               (receive until -EAGAIN, or some, and again later)
 *     when the descriptor is readable:
 *       pinion_fanin_done(fanin)
 *       (receive until -EAGAIN, or some, and again later)
 *
 * File and lane travel as the channel's own files did: over a socket (SCM_RIGHTS), by fork. With a
 * rendezvous that was given the fan-in (rendezvous.h) there is less to do: it adds who joins and
 * removes who left, and the session of a producer calls pinion_channel_join().
 *
 * A lane is the way from one producer to here. Lanes that had something lately are hot, and the
 * receiver looks at their rings and at nothing else. A lane found empty many times in a row becomes
 * cold: its next message sets a bit in the ready set (the file of pinion_fanin_fd()), and the lane
 * is hot again. So a busy producer touches what it would touch without a fan-in, an idle one costs
 * nothing, and the first message after a rest costs three locked operations and a fence more.
 *
 * Turns. Hot lanes are served in turn, and a turn is at most weight * PINION_FANIN_QUANTUM
 * descriptors, over as many calls as it takes: who sends without end delays the others by its turn.
 *
 * Trust. Any producer can write the whole ready set. Bits set for nothing cost the receiver a look
 * at each lane, 64 in a call. Bits cleared hide the first message of somebody who was idle, and the
 * bell silenced keeps the receiver asleep; therefore every 16th recv() looks at one cold lane, all
 * in turn, and a wait() that sleeps looks at all of them every 100 ms, as a loop does, whose
 * descriptor is readable that often. So a liar can delay those who were idle: by 65,536 calls of
 * recv() while others are busy, by 100 ms when nobody is; it can starve nobody, and busy lanes it
 * cannot delay at all. Bits of lanes that do not exist mean nothing. Whoever must not have even
 * that, gets a fan-in of its own.
 *
 * Threads: a fan-in is for one thread at a time, which is the receiving thread of all its channels.
 * That thread may call pinion_channel_recv() on one of them as well, but not pinion_channel_wait():
 * both want the ring's one bell. Sending is as free as before. pinion_channel_join() comes before
 * its channel is used by two threads.
 *
 * Progress: no call waits for a producer except wait(), which is bounded by its time limit. A
 * recv() takes a number of steps in proportion to the hot lanes, and 64.
 *
 * Death: of a dead producer the fan-in gives what it had published, and then -EPIPE, once somebody
 * said that it is dead (the rendezvous, or pinion_channel_sever(); one that sleeps hears of that
 * within 100 ms). With a rendezvous the event LEFT may come first: one that knows the fan-in has
 * removed the channel then; else pinion_fanin_remove() it, before it is drained and buried. The
 * keeper has to ask for events: let wait() end at times. A dead receiver is noticed on the channel.
 */

#include <stdint.h>

#include <pinion/channel.h>

struct pinion_fanin;

#define PINION_FANIN_LANES 4096u
#define PINION_FANIN_QUANTUM 64u /* descriptors of a turn, for each unit of weight */
#define PINION_FANIN_WEIGHT_MAX 1024u

/* Makes the ready set as well: one page, in a sealed file.
 * -ENOMEM, -EMFILE, -ENFILE */
int pinion_fanin_create(struct pinion_fanin **fanin);

/* The channels stay as they are, and are received from as before. */
int pinion_fanin_destroy(struct pinion_fanin *fanin);

/* What producers join. It belongs to the fan-in: send it, do not close it. */
int pinion_fanin_fd(const struct pinion_fanin *fanin);

/*
 * pinion_fanin_add() - receive from @channel here; @lane is its number.
 * A producer that has not joined as yet is found by the looks at cold lanes alone.
 *
 * -EINVAL  @weight is not from 1 to PINION_FANIN_WEIGHT_MAX
 * -EACCES  this end of the channel may only send
 * -EEXIST  it is in this fan-in already
 * -ENOSPC  all lanes are taken
 */
int pinion_fanin_add(struct pinion_fanin *fanin, struct pinion_channel *channel, uint32_t weight,
		     uint32_t *lane);

/* Its lane may be somebody else's next; a producer that goes on in it wakes for nothing.
 * pre: before the channel is closed.
 * -ENOENT  it is not here (any more) */
int pinion_fanin_remove(struct pinion_fanin *fanin, struct pinion_channel *channel);

/*
 * pinion_channel_join() - the producer's side: from now on the first message after a rest is told
 * to the ready set @ready, a file that is mapped and not kept, as @lane.
 *
 * -EINVAL  no such lane
 * -EPROTO  the file is not a ready set of this layout, or not sealed
 * -EBADF   no such descriptor
 * -EBUSY   the channel has joined one already
 * -EACCES  this end of the channel may only receive, or the file is open for reading only
 */
int pinion_channel_join(struct pinion_channel *channel, int ready, uint32_t lane);

/*
 * pinion_fanin_recv() - take up to @nr descriptors of the channel whose turn it is; returns how
 * many, at least 1, and tells which @channel. pre: 1 <= nr <= INT_MAX.
 *
 * What pinion_channel_recv() says of descriptors holds here too.
 *
 * -EAGAIN  nothing there that can be taken; @channel is left alone
 *
 * About one channel, which is told in @channel:
 * -EPIPE   the producer closed or died, and nothing is there that can be taken
 * -EPROTO  the producer broke a rule: its channel is closed for good
 *          After these two the channel has left the fan-in: bury it, close it.
 * -ENOMEM, ...  see pinion_channel_recv(): it stays, and so does what it sent; try again
 */
int pinion_fanin_recv(struct pinion_fanin *fanin, struct pinion_channel **channel,
		      struct pinion_desc *desc, uint32_t nr);

/*
 * pinion_fanin_wait() - until something can be received, or @timeout_ns (monotonic) is over. Spins
 * a little (2,000 looks at rings, whatever set_spin() said), then sleeps. 0 does not promise a
 * descriptor: recv says.
 *
 * -ETIMEDOUT  nothing came
 * -EINTR      a signal handler ran
 */
int pinion_fanin_wait(struct pinion_fanin *fanin, uint64_t timeout_ns);

/*
 * pinion_fanin_loop_fd() - the descriptor for a loop: readable when one that was idle sends
 * something, and every 100 ms. It is the fan-in's, which closes it: take it out of the loop before.
 * pinion_fanin_notify_fd() - what producers want for pinion_channel_set_notify(). It is the
 * fan-in's too. One that was not given it is heard of within 100 ms.
 *
 * Any producer can shut that socket for all of them, and before Linux 6.16 put files into it. Whose
 * doing it was nobody can say; the descriptor is then readable every 100 ms only, and with files
 * inside destroy() takes as long as the last close of one does.
 *
 * -EMFILE, -ENFILE, -ENOMEM  what the kernel says
 */
int pinion_fanin_loop_fd(struct pinion_fanin *fanin);
int pinion_fanin_notify_fd(struct pinion_fanin *fanin);

/*
 * pinion_fanin_prepare() - the loop is about to sleep. 0: it may. 1: something can be received: do
 * that and prepare again.
 * pinion_fanin_done() - the descriptor is readable, or the loop woke for another reason. Takes what
 * was sent, a bounded number of bytes. Harmless at any time.
 *
 * -EINVAL  pinion_fanin_loop_fd() was not called
 * -ENOMEM, ...  (prepare) what the kernel says of a timer: do not sleep, try again
 */
int pinion_fanin_prepare(struct pinion_fanin *fanin);
int pinion_fanin_done(struct pinion_fanin *fanin);

#endif
