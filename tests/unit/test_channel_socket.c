/* SPDX-License-Identifier: BSD-3-Clause */
/* A channel whose ends were given sockets by a third process, to wake each other by. */

#include <poll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <pinion/wait.h>

#include "bell_fd.h"
#include "channel.h"
#include "channel_support.h"
#include "send_file.h"

/* End a of a channel is in a loop, and wakes up when something comes to given[0]. */
struct given {
	struct pair pair;
	int pidfd, end[2];
};

static struct given given_open(void)
{
	struct given given = {.pair = pair_make(512, 8), .pidfd = pidfd_open(getpid(), 0)};

	assert_true(given.pidfd >= 0);
	channel_watch(given.pair.a.channel, given.pidfd);
	assert_int_equal(bell_fd_pair(given.end), 0);
	assert_int_equal(channel_add_socket(given.pair.a.channel, given.end[0]), 0);
	assert_int_equal(pinion_channel_set_notify(given.pair.b.channel, given.end[1]), 0);
	close(given.end[0]);
	return given;
}

static void given_close(struct given *given)
{
	close(given->end[1]);
	pair_close_whole(&given->pair);
	close(given->pidfd);
}

static bool readable(struct given *given)
{
	struct pollfd want = {pinion_channel_fd(given->pair.a.channel), POLLIN, 0};

	return poll(&want, 1, 0) == 1;
}

static void send_it(struct side *from)
{
	const struct pinion_desc desc = desc_new(from, 1, 7);

	assert_int_equal(pinion_channel_send(from->channel, &desc, 1), 1);
}

static void take_it(struct side *to)
{
	struct pinion_desc desc;

	assert_int_equal(pinion_channel_recv(to->channel, &desc, 1), 1);
	assert_int_equal(pinion_buffer_free(to->cache, desc.buffer), 0);
}

static void what_is_sent_makes_the_fd_readable(void **state)
{
	struct given given = given_open();

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pinion_channel_prepare(given.pair.a.channel), 0);
		assert_false(readable(&given));
		send_it(&given.pair.b);
		assert_true(readable(&given));
		assert_int_equal(pinion_channel_done(given.pair.a.channel), 0);
		assert_false(readable(&given));
		take_it(&given.pair.a);
	}
	given_close(&given);
}

/* The receiver has no end of the sender's, and yet another thread of it can wake it. */
static void sever_makes_the_fd_readable(void **state)
{
	struct given given = given_open();

	(void)state;
	assert_int_equal(pinion_channel_prepare(given.pair.a.channel), 0);
	pinion_channel_sever(given.pair.a.channel);
	assert_true(readable(&given));
	assert_int_equal(pinion_channel_done(given.pair.a.channel), 0);
	assert_int_equal(pinion_channel_prepare(given.pair.a.channel), -EPIPE);
	given_close(&given);
}

/* As a sender does that hangs up, or shuts what it has. */
static void an_end_of_file_is_told_once(void **state)
{
	struct given given = given_open();

	(void)state;
	assert_int_equal(pinion_channel_prepare(given.pair.a.channel), 0);
	assert_int_equal(shutdown(given.end[1], SHUT_RDWR), 0);
	assert_true(readable(&given));
	assert_int_equal(pinion_channel_done(given.pair.a.channel), 0);
	assert_false(readable(&given));
	assert_int_equal(pinion_channel_prepare(given.pair.a.channel), 0);
	send_it(&given.pair.b);
	assert_false(readable(&given));
	assert_int_equal(pinion_channel_prepare(given.pair.a.channel), 1);
	take_it(&given.pair.a);
	given_close(&given);
}

/* Of an end that many have: the one that the receiver has, and whom it lets in. */
static void nobody_but_the_sender_can_put_anything_there(void **state)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	int end[2];

	(void)state;
	assert_int_equal(bell_fd_pair(end), 0);
	assert_int_equal(bind(end[0], (struct sockaddr *)&any, sizeof(sa_family_t)), 0);
	assert_int_equal(connect(end[0], &nobody, sizeof(nobody)), -1);
	assert_int_equal(listen(end[0], 1), -1);
	/* ... and into the sender's nobody. */
	assert_int_equal(send(end[0], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(send_file(end[0], 0), -1);
	close(end[0]);
	close(end[1]);
}

static void a_flood_or_nothing_to_it_is_drained(void **state)
{
	struct given given = given_open();

	(void)state;
	assert_int_equal(send(given.end[1], "", 0, MSG_DONTWAIT), 0);
	while (send(given.end[1], "x", 1, MSG_DONTWAIT) == 1)
		continue;
	for (int i = 0; readable(&given); i++) {
		assert_true(i < 100);
		assert_int_equal(pinion_channel_done(given.pair.a.channel), 0);
	}
	given_close(&given);
}

/* As on a kernel before 6.16, which lets them in. */
static void files_let_in_end_the_channel(void **state)
{
	struct given given = given_open();
	struct ring *rx = channel_rx(given.pair.a.channel);
	const int on = 1;

	(void)state;
	(void)setsockopt(rx->fd.given, SOL_SOCKET, 83, &on, sizeof(on));
	rx->fd.clean = false;
	assert_int_equal(send_file(given.end[1], 0), 1);
	assert_int_equal(pinion_channel_done(given.pair.a.channel), -EPROTO);
	given_close(&given);
}

static void files_are_kept_out_where_the_kernel_can(void **state)
{
	struct given given = given_open();

	(void)state;
	if (channel_rx(given.pair.a.channel)->fd.clean)
		assert_int_equal(send_file(given.end[1], 0), -1);
	else
		print_message("# this kernel cannot: before 6.16\n");
	given_close(&given);
}

static void no_other_descriptor_is_taken(void **state)
{
	struct pair pair = pair_make(512, 8);
	const int pidfd = pidfd_open(getpid(), 0);
	int tube[2];

	(void)state;
	channel_watch(pair.a.channel, pidfd);
	assert_int_equal(pipe(tube), 0);
	assert_int_equal(channel_add_socket(pair.a.channel, tube[0]), -EINVAL);
	assert_int_equal(channel_add_socket(pair.a.channel, -1), -EINVAL);
	close(tube[0]);
	close(tube[1]);
	pair_close_whole(&pair);
	close(pidfd);
}

/* With so many left that there may be: whatever it lacks, it says so, and what it has is closed. */
static void no_room_for_descriptors_is_emfile(void **state)
{
	struct pair pair = pair_make(512, 8);
	const int pidfd = pidfd_open(getpid(), 0), used = support_fd_count();
	struct rlimit before, few;
	int end[2], err = -EMFILE;

	(void)state;
	channel_watch(pair.a.channel, pidfd);
	assert_int_equal(bell_fd_pair(end), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (int more = 0; err; more++) {
		assert_true(more < 16 && err == -EMFILE);
		few = (struct rlimit){(rlim_t)(used + 2 + more), before.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		err = channel_add_socket(pair.a.channel, end[0]);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(end[0]);
	close(end[1]);
	pair_close_whole(&pair);
	close(pidfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(what_is_sent_makes_the_fd_readable),
		pool_test(sever_makes_the_fd_readable),
		pool_test(an_end_of_file_is_told_once),
		pool_test(nobody_but_the_sender_can_put_anything_there),
		pool_test(a_flood_or_nothing_to_it_is_drained),
		pool_test(files_let_in_end_the_channel),
		pool_test(files_are_kept_out_where_the_kernel_can),
		pool_test(no_other_descriptor_is_taken),
		pool_test(no_room_for_descriptors_is_emfile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
