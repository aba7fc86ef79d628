/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_LOOP_H
#define PINION_TESTS_FUZZ_LOOP_H

/*
 * Somebody who sleeps in a loop, and the socket that wakes it, whose other end is the liar's: bytes
 * without end go into that, and files where the kernel lets them in.
 */

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bell.h"
#include "bell_fd.h"
#include "mail.h"
#include "script.h"

#define LOOP_DRAIN 64u /* datagrams that done() takes */

struct loop {
	bool open;
	int fd, strikes;
	bool files;     /* some lie in the socket */
	uint32_t ahead; /* datagrams before them */
};

/* How many datagrams nobody took as yet: a is one that sends there, too, to wake its own threads.
 * All are of one byte, and the kernel says how much all take. */
static inline uint32_t loop_queued(const struct loop *loop)
{
	static int unit;
	int len = 0, pair[2];

	if (!unit) {
		oracle(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) && send(pair[1], "", 1, 0) == 1 &&
			       !ioctl(pair[1], SIOCOUTQ, &unit),
		       "no pair of sockets");
		(void)close(pair[0]);
		(void)close(pair[1]);
	}
	oracle(!ioctl(loop->strikes, SIOCOUTQ, &len), "not a socket");
	return (uint32_t)(len / unit);
}

/* As on a kernel before 6.16. */
static inline void loop_age(struct bell_fd *fd)
{
	(void)mail_allow_files(fd->socket, true);
	fd->clean = false;
}

static inline void loop_open(struct loop *loop, int fd, int strikes)
{
	oracle(fd >= 0 && strikes >= 0, "no descriptors for a loop: %d, %d", fd, strikes);
	loop->open = true;
	loop->fd = fd;
	loop->strikes = strikes;
}

static inline void loop_send_file(struct loop *loop)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	char byte = 0;
	struct iovec data = {&byte, 1};
	const struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1,
				       .msg_control = &control, .msg_controllen = sizeof(control)};
	const int file = 0;

	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	if (loop->files)
		return;
	loop->ahead = loop_queued(loop);
	loop->files = sendmsg(loop->strikes, &message, MSG_DONTWAIT) > 0;
}

/* Called for nothing, once or more often than the socket takes; or something comes with it. */
static inline void loop_call(struct script *script, struct loop *loop)
{
	const uint8_t how = script_byte(script);

	if (!loop->open)
		return;
	if (how >= 240)
		return loop_send_file(loop);
	for (uint8_t i = 0; i <= how % 64; i++)
		(void)send(loop->strikes, "", 1, MSG_DONTWAIT);
}

/* What a target does with its own, besides. */
struct loop_steps {
	void (*open)(struct script *script);
	void (*prepare)(void);
	void (*finish)(void);
};

static inline void loop_turn(struct script *script, struct loop *loop,
			     const struct loop_steps *steps)
{
	switch (script_below(script, 4)) {
	case 0:
		steps->open(script);
		break;
	case 1:
		loop_call(script, loop);
		break;
	case 2:
		steps->prepare();
		break;
	default:
		steps->finish();
	}
}

static inline bool loop_is_readable(const struct loop *loop)
{
	struct pollfd want = {.fd = loop->fd, .events = POLLIN};

	return poll(&want, 1, 0) == 1;
}

/* A call of done(), which takes so many datagrams, and no more. */
struct drain {
	uint32_t queued; /* before */
	uint32_t take;
	bool met; /* what comes then are files */
};

static inline struct drain loop_drain(struct loop *loop)
{
	struct drain drain = {.queued = loop->open ? loop_queued(loop) : 0};

	drain.met = loop->files && loop->ahead < LOOP_DRAIN;
	drain.take = drain.met ? loop->ahead
			       : drain.queued < LOOP_DRAIN ? drain.queued : LOOP_DRAIN;
	if (loop->files)
		loop->ahead -= drain.take;
	return drain;
}

/* What it must say; a receiver of one peer takes files for a lie. */
static inline int loop_expect_done(const struct loop *loop, const struct drain *drain)
{
	return !loop->open ? -EINVAL : drain->met ? -EPROTO : 0;
}

/* Who closes a channel wakes its own threads: then there is more than before. */
static inline void loop_check_done(const struct loop *loop, const struct drain *drain, int result,
				   const struct bell *bell)
{
	uint32_t left;

	if (!loop->open)
		return;
	left = loop_queued(loop);
	oracle(bell->state == BELL_QUIET, "done, and the bell is %u", (unsigned)bell->state);
	oracle(result || left == drain->queued - drain->take, "done leaves %u of %u", left,
	       drain->queued);
	oracle(result || loop_is_readable(loop) == (left != 0), "readable, or not, with %u", left);
}

/* After prepare() gave @result, where the bell was @before. Who has a reason before anything is
 * armed leaves it as it is. */
static inline void loop_check_prepared(int result, const struct bell *bell, uint32_t before)
{
	oracle(bell->state == (result ? before : BELL_ARMED_FD), "prepare: %d, the bell %u", result,
	       (unsigned)bell->state);
}

#endif
