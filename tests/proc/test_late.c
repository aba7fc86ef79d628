/* SPDX-License-Identifier: BSD-3-Clause */
/* A new segment's file that a member could not be sent when the pool grew, and comes late. */

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <pinion/wait.h>

#include "mail.h"
#include "proc_support.h"
#include "send_file.h"

#define SOON 10000 /* ms */
#define LARGE ((size_t)4096)
#define FILES_MAX 256u

/*
 * The kernel lets an unprivileged user have as many files under way in sockets as a process of his
 * may open (RLIMIT_NOFILE, unix(7): ETOOMANYREFS). Here are that many, in a pair of the test's own.
 */
struct crowd {
	int from, to;
};

static void crowd_open(struct crowd *crowd)
{
	const struct rlimit limit = {FILES_MAX, FILES_MAX};
	int end[2];

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end), 0);
	*crowd = (struct crowd){end[0], end[1]};
	for (uint32_t i = 0; i <= FILES_MAX; i++)
		if (send_file(end[0], STDERR_FILENO) != 1)
			break;
	assert_int_equal(send_file(end[0], STDERR_FILENO), -1);
	assert_int_equal(errno, ETOOMANYREFS);
}

/* What is closed unread is under way no more. */
static void crowd_close(const struct crowd *crowd)
{
	close(crowd->from);
	close(crowd->to);
}

/* --- the member: its loop sleeps at the session's channel, its standard input is the keeper */

static void await(int fd)
{
	struct pollfd want = {fd, POLLIN, 0};

	if (poll(&want, 1, SOON) != 1)
		_exit(100);
}

/* Asleep behind a descriptor that it cannot take: says so. */
static void fall_asleep(struct pinion_channel *channel)
{
	struct pinion_desc desc;

	while (pinion_channel_wait(channel, 0))
		continue;
	if (pinion_channel_recv(channel, &desc, 1) != -EAGAIN ||
	    pinion_channel_prepare(channel) != 0 || write(STDIN_FILENO, "z", 1) != 1)
		_exit(101);
}

static int sleep_in_a_loop(const char *path, void *arg)
{
	struct pinion_session *session;
	struct pinion_channel *channel;
	struct pinion_desc desc;
	int fd;

	(void)arg;
	if (pinion_session_open(path, &session))
		return 1;
	channel = pinion_session_channel(session);
	fd = pinion_channel_fd(channel);
	if (fd < 0 || send_file(STDIN_FILENO, pinion_channel_notify_fd(channel)) != 1)
		return 2;
	fall_asleep(channel);
	await(fd);
	if (pinion_channel_done(channel) || pinion_channel_prepare(channel) != 1 ||
	    pinion_channel_recv(channel, &desc, 1) != 1)
		return 3;
	strcpy(pinion_buffer_addr(pinion_session_pool(session), desc.buffer), "from the member");
	if (pinion_channel_send(channel, &desc, 1) != 1)
		return 4;
	return pinion_session_close(session);
}

/* --- the keeper, as nobody */

static void be_notified(struct pinion_channel *channel, int member)
{
	struct mail_sender ignored;
	unsigned nr = 1;
	int file;
	char byte;

	await(member);
	assert_int_equal(mail_recv(member, &byte, 1, &file, &nr, &ignored), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(pinion_channel_set_notify(channel, file), 0);
	close(file);
}

/* A buffer of a segment whose file cannot go out now. */
static void send_of_new(const struct keeper *keeper, struct pinion_channel *channel)
{
	struct pinion_desc desc = {.tag = 1};
	struct pinion_cache *cache;

	(void)grow(keeper->pool, 1, LARGE);
	cache = cache_make(keeper->pool, LARGE);
	take(cache, &desc.buffer, 1);
	assert_int_equal(pinion_channel_send(channel, &desc, 1), 1);
	assert_int_equal(pinion_cache_close(cache), 0);
}

static struct pinion_desc answer_of(struct pinion_channel *channel)
{
	struct pinion_desc desc;

	assert_int_equal(pinion_channel_wait(channel, SOON * UINT64_C(1000000)), 0);
	assert_int_equal(pinion_channel_recv(channel, &desc, 1), 1);
	return desc;
}

static int keep(void *arg)
{
	struct pinion_event event;
	struct pinion_desc back;
	struct keeper keeper;
	struct crowd crowd;
	int end[2];
	char byte;
	pid_t pid;

	(void)arg;
	assert_int_equal(become_nobody(), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end), 0);
	assert_int_equal(dup2(end[1], STDIN_FILENO), STDIN_FILENO);
	keeper_open(&keeper);
	pid = member_start(&keeper, sleep_in_a_loop, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	be_notified(event.channel, end[0]);
	crowd_open(&crowd);
	send_of_new(&keeper, event.channel);
	await(end[0]);
	assert_int_equal(read(end[0], &byte, 1), 1);
	crowd_close(&crowd);
	/* From here on it is as any loop: nothing is looked at but when a descriptor says so. */
	await(pinion_rendezvous_fd(keeper.rendezvous));
	assert_int_equal(pinion_rendezvous_next(keeper.rendezvous, &event), 0);
	back = answer_of(keeper.channel[event.member]);
	assert_string_equal(pinion_buffer_addr(keeper.pool, back.buffer), "from the member");
	give(keeper.cache, &back.buffer, 1);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
	return 0;
}

static void a_file_that_comes_late_wakes_a_loop_that_sleeps_behind_it(void **state)
{
	(void)state;
	assert_int_equal(support_child(keep, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_file_that_comes_late_wakes_a_loop_that_sleeps_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
