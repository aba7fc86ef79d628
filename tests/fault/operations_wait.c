/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bell_fd.h"
#include "channel.h"
#include "fail.h"
#include "keeper.h"

/*
 * ring.h and wait.h: rings that stand alone, how their receiver sleeps, and what a session's
 * channel has beside them: the keeper's pidfd. A wait that nothing ends is right when it says so.
 */

#define SLOTS 16
#define SECOND_NS UINT64_C(1000000000)
#define SHORTLY_NS UINT64_C(1000000)
#define LOOKS 64 /* at an empty ring: the receiver lets the sender off its fences */

static void ring_file(struct scene *scene)
{
	scene_must(!pinion_ring_create(SLOTS, &scene->fd), "a ring");
}

static void ring_file_close(struct scene *scene)
{
	(void)close(scene->fd);
}

static struct pinion_ring *end_open(int fd, enum pinion_ring_end is)
{
	struct pinion_ring *ring = NULL;

	scene_must(!pinion_ring_open(fd, is, &ring), "an end of a ring");
	return ring;
}

static void ends_open(struct scene *scene)
{
	for (int i = 0; i < 2; i++) {
		ring_file(scene);
		scene->rx[i] = end_open(scene->fd, PINION_RING_RECV);
		if (i == 1)
			scene->tx = end_open(scene->fd, PINION_RING_SEND);
		ring_file_close(scene);
	}
}

static void end_close(struct pinion_ring *ring)
{
	scene_must(!ring || !pinion_ring_close(ring), "no end of a ring");
}

static void ends_close(struct scene *scene)
{
	end_close(scene->tx);
	end_close(scene->rx[0]);
	end_close(scene->rx[1]);
}

static void ends_renew(struct scene *scene)
{
	ends_close(scene);
	ends_open(scene);
}

static bool send_one(struct scene *scene)
{
	const struct pinion_desc desc = {pinion_buffer_make(1, 1), 0, 0};

	return pinion_ring_send(scene->tx, &desc, 1) == 1;
}

static bool recv_one(struct scene *scene)
{
	struct pinion_desc desc;

	return pinion_ring_recv(scene->rx[1], &desc, 1) == 1;
}

/* Life. */

static int ring_open(struct scene *scene)
{
	return pinion_ring_open(scene->fd, PINION_RING_RECV, &scene->rx[1]);
}

static const char *ring_works(struct scene *scene)
{
	const char *problem = NULL;

	scene->tx = end_open(scene->fd, PINION_RING_SEND);
	if (!send_one(scene) || !recv_one(scene))
		problem = "nothing comes out of the ring";
	end_close(scene->tx);
	return problem;
}

/* One that was used begins elsewhere. */
static void ring_open_undo(struct scene *scene)
{
	end_close(scene->rx[1]);
	ring_file_close(scene);
	ring_file(scene);
}

static int ring_close(struct scene *scene)
{
	struct pinion_ring *ring = scene->rx[1];

	scene->rx[1] = NULL;
	return pinion_ring_close(ring);
}

/* Sleep at a futex. */

static int wait_at_one(struct scene *scene)
{
	return operation_unless(pinion_ring_wait(scene->rx[1], SHORTLY_NS), -ETIMEDOUT);
}

static const char *ring_wakes(struct scene *scene)
{
	if (!send_one(scene))
		return "nothing can be sent";
	if (pinion_ring_wait(scene->rx[1], SECOND_NS) || !recv_one(scene))
		return "what was sent is not waited for";
	return NULL;
}

static int wait_at_any(struct scene *scene)
{
	uint32_t which = 0;

	return operation_unless(pinion_ring_wait_any(scene->rx, 2, SHORTLY_NS, &which), -ETIMEDOUT);
}

static const char *any_wakes(struct scene *scene)
{
	uint32_t which = 1;

	if (!send_one(scene))
		return "nothing can be sent";
	if (pinion_ring_wait_any(scene->rx, 2, SECOND_NS, &which) || which != 1 || !recv_one(scene))
		return "what was sent is not waited for";
	return NULL;
}

/* Without fences: what a receiver has to take back before it sleeps. */

static void look(struct scene *scene, int looks)
{
	struct pinion_desc desc;

	while (looks--)
		for (int i = 0; i < 2; i++)
			scene_must(pinion_ring_recv(scene->rx[i], &desc, 1) == -EAGAIN,
				   "an empty ring");
}

static void relax(struct scene *scene)
{
	look(scene, LOOKS);
}

static void relaxed_setup(struct scene *scene)
{
	ends_open(scene);
	relax(scene);
}

static void almost_setup(struct scene *scene)
{
	ends_open(scene);
	look(scene, LOOKS - 1);
}

static void almost_undo(struct scene *scene)
{
	ends_renew(scene);
	look(scene, LOOKS - 1);
}

static int recv_nothing(struct scene *scene)
{
	struct pinion_desc desc;

	return operation_unless(pinion_ring_recv(scene->rx[1], &desc, 1), -EAGAIN);
}

/* In a loop. */

static int open_fd(struct scene *scene)
{
	int fd = pinion_ring_fd(scene->rx[1]);

	return fd < 0 ? fd : 0;
}

static int open_notify_fd(struct scene *scene)
{
	int fd = pinion_ring_notify_fd(scene->rx[1]);

	return fd < 0 ? fd : 0;
}

static bool is_readable(struct scene *scene)
{
	struct pollfd want = {.fd = pinion_ring_fd(scene->rx[1]), .events = POLLIN};

	return poll(&want, 1, 0) == 1;
}

/* The loop hears of a message. */
static const char *loop_wakes(struct scene *scene)
{
	if (pinion_ring_prepare(scene->rx[1]))
		return "the loop cannot be prepared for";
	if (!send_one(scene))
		return "nothing can be sent";
	if (!is_readable(scene))
		return "the loop is not told";
	if (pinion_ring_done(scene->rx[1]) || !recv_one(scene))
		return "the loop gets nothing";
	return NULL;
}

static void notify(struct scene *scene)
{
	scene_must(!pinion_ring_set_notify(scene->tx, pinion_ring_notify_fd(scene->rx[1])),
		   "a sender that tells");
}

static const char *fd_works(struct scene *scene)
{
	notify(scene);
	return loop_wakes(scene);
}

static void sleep_in_loop(struct scene *scene)
{
	scene_must(!pinion_ring_prepare(scene->rx[1]), "a loop that sleeps");
}

/* Asleep, and something is there already: its sender knew nobody to tell. */
static void untold_setup(struct scene *scene)
{
	ends_open(scene);
	scene_must(!open_fd(scene), "a descriptor for the loop");
	sleep_in_loop(scene);
	scene_must(send_one(scene), "a message");
}

static void untold_undo(struct scene *scene)
{
	ends_close(scene);
	untold_setup(scene);
}

static int set_notify(struct scene *scene)
{
	return pinion_ring_set_notify(scene->tx, pinion_ring_notify_fd(scene->rx[1]));
}

/* A byte that could not be sent is sent when it is asked for, without another message. */
static const char *loop_is_told(struct scene *scene)
{
	if (!is_readable(scene) && (pinion_ring_told(scene->tx) || !is_readable(scene)))
		return "the loop sleeps on, though it is told";
	if (pinion_ring_done(scene->rx[1]))
		return "the loop cannot be done with";
	while (recv_one(scene))
		;
	return loop_wakes(scene);
}

static void loop_setup(struct scene *scene)
{
	ends_open(scene);
	notify(scene);
	sleep_in_loop(scene);
}

static void loop_undo(struct scene *scene)
{
	ends_close(scene);
	loop_setup(scene);
}

static int send_to_loop(struct scene *scene)
{
	const struct pinion_desc desc = {pinion_buffer_make(1, 1), 0, 0};

	return operation_unless(pinion_ring_send(scene->tx, &desc, 1), 1);
}

static int prepare(struct scene *scene)
{
	return pinion_ring_prepare(scene->rx[1]);
}

static void relaxed_loop_setup(struct scene *scene)
{
	relaxed_setup(scene);
	notify(scene);
}

static void told_setup(struct scene *scene)
{
	loop_setup(scene);
	scene_must(send_one(scene), "a message");
}

static void told_undo(struct scene *scene)
{
	ends_close(scene);
	told_setup(scene);
}

static int done(struct scene *scene)
{
	return pinion_ring_done(scene->rx[1]);
}

/* A byte that could not be taken makes the descriptor readable for nothing, no more. */
static const char *done_works(struct scene *scene)
{
	if (!recv_one(scene))
		return "what came is lost";
	return loop_wakes(scene);
}

/* A session's, which knows the keeper's pidfd. */

static void session_setup(struct scene *scene)
{
	keeper_start(scene);
	scene_must(!pinion_session_open(scene->path, &scene->session), "a session");
}

static void session_close(struct scene *scene)
{
	scene_must(!pinion_session_close(scene->session), "no session");
}

static void session_renew(struct scene *scene)
{
	session_close(scene);
	scene_must(!pinion_session_open(scene->path, &scene->session), "a session");
}

static void session_teardown(struct scene *scene)
{
	session_close(scene);
	keeper_stop(scene);
}

static int session_wait(struct scene *scene)
{
	struct pinion_channel *channel = pinion_session_channel(scene->session);

	return operation_unless(pinion_channel_wait(channel, SHORTLY_NS), -ETIMEDOUT);
}

static const char *session_works(struct scene *scene)
{
	const char *problem = NULL;

	scene_cache_open(scene, pinion_session_pool(scene->session));
	scene_must(!pinion_buffer_alloc(scene->cache, &scene->buffer), "a buffer");
	if (!keeper_ask(scene, KEEPER_ECHO, &scene->buffer))
		problem = "the keeper is not heard";
	else
		scene_must(!pinion_buffer_free(scene->cache, scene->buffer), "the buffer back");
	scene_cache_close(scene);
	return problem;
}

static int session_fd(struct scene *scene)
{
	int fd = pinion_channel_fd(pinion_session_channel(scene->session));

	return fd < 0 ? fd : 0;
}

static const char *session_sleeps(struct scene *scene)
{
	struct pinion_channel *channel = pinion_session_channel(scene->session);
	struct pollfd want = {.fd = pinion_channel_fd(channel), .events = POLLIN};

	if (pinion_channel_prepare(channel) || poll(&want, 1, 0))
		return "the loop does not sleep";
	if (pinion_channel_done(channel))
		return "the loop cannot be done with";
	return session_works(scene);
}

static void session_loop_setup(struct scene *scene)
{
	session_setup(scene);
	scene_must(!session_fd(scene), "a descriptor for the loop");
}

static int session_done(struct scene *scene)
{
	return pinion_channel_done(pinion_session_channel(scene->session));
}

/* That a third process gives sockets to. Those who call these keep errno. */

static int pair_open(struct scene *scene)
{
	KEEP_ERRNO;

	return bell_fd_pair(scene->ring);
}

static void pair_close(struct scene *scene)
{
	(void)close(scene->ring[0]);
	(void)close(scene->ring[1]);
}

static void given_setup(struct scene *scene)
{
	session_loop_setup(scene);
	scene_must(!pair_open(scene), "two sockets");
}

static int add_socket(struct scene *scene)
{
	KEEP_ERRNO;

	return channel_add_socket(pinion_session_channel(scene->session), scene->ring[0]);
}

static const char *given_wakes(struct scene *scene)
{
	struct pinion_channel *channel = pinion_session_channel(scene->session);
	struct pollfd want = {.fd = pinion_channel_fd(channel), .events = POLLIN};

	if (send(scene->ring[1], "x", 1, MSG_DONTWAIT) != 1 || poll(&want, 1, 0) != 1)
		return "the loop sleeps on";
	if (pinion_channel_done(channel))
		return "the loop cannot be done with";
	return session_sleeps(scene);
}

static void given_undo(struct scene *scene)
{
	session_renew(scene);
	scene_must(!session_fd(scene), "a descriptor for the loop");
}

static void given_teardown(struct scene *scene)
{
	pair_close(scene);
	session_teardown(scene);
}

const struct operation wait_operations[] = {
	{.name = "ring open", .setup = ring_file, .run = ring_open, .use = ring_works,
	 .undo = ring_open_undo, .teardown = ring_file_close},
	{.name = "ring close", .setup = ends_open, .run = ring_close, .undo = ends_renew,
	 .teardown = ends_close, .final = true},
	{.name = "ring wait", .setup = ends_open, .run = wait_at_one, .use = ring_wakes,
	 .teardown = ends_close, .terse = true},
	{.name = "ring wait, without fences", .setup = relaxed_setup, .run = wait_at_one,
	 .use = ring_wakes, .undo = relax, .teardown = ends_close, .terse = true},
	{.name = "ring wait any", .setup = ends_open, .run = wait_at_any, .use = any_wakes,
	 .teardown = ends_close, .terse = true},
	{.name = "ring wait any, without fences", .setup = relaxed_setup, .run = wait_at_any,
	 .use = any_wakes, .undo = relax, .teardown = ends_close, .terse = true},
	{.name = "ring recv, off the fences", .setup = almost_setup, .run = recv_nothing,
	 .use = ring_wakes, .undo = almost_undo, .teardown = ends_close, .terse = true},
	{.name = "ring fd", .setup = ends_open, .run = open_fd, .use = fd_works,
	 .undo = ends_renew, .teardown = ends_close},
	{.name = "ring notify fd", .setup = ends_open, .run = open_notify_fd, .use = fd_works,
	 .undo = ends_renew, .teardown = ends_close},
	{.name = "ring set notify", .setup = untold_setup, .run = set_notify,
	 .use = loop_is_told, .undo = untold_undo, .teardown = ends_close},
	{.name = "ring send, to a loop", .setup = loop_setup, .run = send_to_loop,
	 .use = loop_is_told, .undo = loop_undo, .teardown = ends_close, .terse = true},
	{.name = "ring prepare, without fences", .setup = relaxed_loop_setup, .run = prepare,
	 .use = loop_wakes, .undo = relax, .teardown = ends_close, .terse = true},
	{.name = "ring done", .setup = told_setup, .run = done, .use = done_works,
	 .undo = told_undo, .teardown = ends_close, .terse = true},
	{.name = "session, channel wait", .setup = session_setup, .run = session_wait,
	 .use = session_works, .teardown = session_teardown, .terse = true},
	{.name = "session, channel fd", .setup = session_setup, .run = session_fd,
	 .use = session_sleeps, .undo = session_renew, .teardown = session_teardown},
	{.name = "session, channel done", .setup = session_loop_setup, .run = session_done,
	 .use = session_sleeps, .teardown = session_teardown, .terse = true},
	{.name = "sockets for others", .run = pair_open, .undo = pair_close, .terse = true},
	{.name = "session, channel add socket", .setup = given_setup, .run = add_socket,
	 .use = given_wakes, .undo = given_undo, .teardown = given_teardown},
	{0},
};
