/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h between processes: who sleeps in a loop, and senders without privilege, or killed. */

#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include <pinion/ring.h>
#include <pinion/wait.h>

#include "doomed.h"

#define SOON 10000 /* ms */
#define PRODUCERS 4
#define ITEMS 5000u

static void pause_ns(long ns)
{
	const struct timespec pause = {0, ns};

	nanosleep(&pause, NULL);
}

/* A ring whose sender is a child. */
struct line {
	struct pinion_ring *rx;
	int file, pidfd;
	pid_t pid;
};

/* The sender: as nobody, in bursts, so that the other side sleeps between them. */
static int produce(const struct line *line, int notify, uint32_t items)
{
	struct pinion_desc desc = {.len = 0};
	struct pinion_ring *tx;

	if (getuid() == 0 && become_nobody())
		return 1;
	if (pinion_ring_open(line->file, PINION_RING_SEND, &tx) ||
	    (notify >= 0 && pinion_ring_set_notify(tx, notify)))
		return 2;
	for (uint32_t i = 0; i < items; i++) {
		int sent;

		desc.tag = i;
		while ((sent = pinion_ring_send(tx, &desc, 1)) == -EAGAIN)
			sched_yield();
		if (sent != 1)
			return 3;
		if (i % 7 == 0)
			pause_ns(1000 * (i % 100));
	}
	return pinion_ring_close(tx);
}

static void line_open(struct line *line, bool notified, uint32_t items)
{
	int notify = -1;

	assert_int_equal(pinion_ring_create(64, &line->file), 0);
	assert_int_equal(pinion_ring_open(line->file, PINION_RING_RECV, &line->rx), 0);
	pinion_ring_set_spin(line->rx, 0);
	if (notified)
		notify = pinion_ring_notify_fd(line->rx);
	fflush(NULL);
	line->pid = fork();
	assert_true(line->pid >= 0);
	if (line->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(produce(line, notify, items));
	}
	line->pidfd = (int)syscall(SYS_pidfd_open, line->pid, 0);
	assert_true(line->pidfd >= 0);
	close(line->file);
}

static void line_close(struct line *line)
{
	close(line->pidfd);
	assert_int_equal(pinion_ring_close(line->rx), 0);
}

/* What came is what was sent, in order. Returns how many; -EPIPE is the end. */
static int drain(struct line *line, uint32_t *next, int *last)
{
	struct pinion_desc desc[16];
	int nr = 0, got;

	while ((got = pinion_ring_recv(line->rx, desc, 16)) > 0)
		for (int i = 0; i < got; i++, nr++)
			assert_int_equal(desc[i].tag, (*next)++);
	*last = got;
	return nr;
}

static void watch(int epoll, int fd, uint64_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = what}};

	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

static void one_loop_serves_several_producers(void **state)
{
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct line line[PRODUCERS];
	uint32_t next[PRODUCERS] = {0};
	int left = PRODUCERS;

	(void)state;
	for (uint64_t i = 0; i < PRODUCERS; i++) {
		line_open(&line[i], true, ITEMS);
		watch(epoll, pinion_ring_fd(line[i].rx), i);
		while (pinion_ring_prepare(line[i].rx) == 1)
			assert_true(drain(&line[i], &next[i], &(int){0}) >= 0);
	}
	while (left) {
		struct epoll_event event;
		struct line *told;
		int last;

		assert_int_equal(epoll_wait(epoll, &event, 1, SOON), 1);
		told = &line[event.data.u64];
		assert_int_equal(pinion_ring_done(told->rx), 0);
		do
			drain(told, &next[event.data.u64], &last);
		while (pinion_ring_prepare(told->rx) == 1);
		if (last != -EPIPE)
			continue;
		(void)epoll_ctl(epoll, EPOLL_CTL_DEL, pinion_ring_fd(told->rx), NULL);
		left--;
	}
	for (int i = 0; i < PRODUCERS; i++) {
		assert_int_equal(next[i], ITEMS);
		assert_int_equal(member_end(line[i].pid), 0);
		line_close(&line[i]);
	}
	close(epoll);
}

static void wait_any_serves_several_producers(void **state)
{
	struct pinion_ring *rx[PRODUCERS];
	struct line line[PRODUCERS];
	uint32_t next[PRODUCERS] = {0}, which = 0;
	uint32_t at[PRODUCERS], nr = PRODUCERS;

	(void)state;
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		line_open(&line[i], false, ITEMS);
		rx[i] = line[i].rx;
		at[i] = i;
	}
	while (nr) {
		int last;

		assert_int_equal(pinion_ring_wait_any(rx, nr, SOON * UINT64_C(1000000), &which), 0);
		drain(&line[at[which]], &next[at[which]], &last);
		if (last != -EPIPE)
			continue;
		nr--;
		rx[which] = rx[nr];
		at[which] = at[nr];
	}
	for (int i = 0; i < PRODUCERS; i++) {
		assert_int_equal(next[i], ITEMS);
		assert_int_equal(member_end(line[i].pid), 0);
		line_close(&line[i]);
	}
}

/* Killed anywhere: between publishing and waking too. The pidfd is in the loop, and says so. */
static void a_killed_sender_leaves_nobody_asleep(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		const int epoll = epoll_create1(EPOLL_CLOEXEC);
		struct epoll_event event = {.data = {.u64 = 0}};
		struct line line;
		uint32_t next = 0;
		int last;

		line_open(&line, true, UINT32_MAX);
		watch(epoll, pinion_ring_fd(line.rx), 0);
		watch(epoll, line.pidfd, 1);
		while (event.data.u64 == 0) {
			if (next > (uint32_t)round)
				kill(line.pid, SIGKILL);
			if (pinion_ring_prepare(line.rx) == 0)
				assert_int_equal(epoll_wait(epoll, &event, 1, SOON), 1);
			assert_int_equal(pinion_ring_done(line.rx), 0);
			drain(&line, &next, &last);
			assert_int_equal(last, -EAGAIN);
		}
		assert_int_equal(member_end(line.pid), 128 + SIGKILL);
		line_close(&line);
		close(epoll);
	}
}

/* A member: sends, and waits for the echo. */
static int ask(const char *path, void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_session *session;
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	struct pinion_desc desc = {.len = 0};

	(void)arg;
	if (getuid() == 0 && become_nobody())
		return 1;
	if (pinion_session_open(path, &session) ||
	    pinion_cache_open(pinion_session_pool(session), &any, &cache) ||
	    pinion_buffer_alloc(cache, &desc.buffer))
		return 2;
	channel = pinion_session_channel(session);
	for (uint32_t i = 0; i < 500; i++) {
		desc.tag = i;
		if (pinion_channel_send(channel, &desc, 1) != 1)
			return 3;
		while (pinion_channel_recv(channel, &desc, 1) == -EAGAIN)
			if (pinion_channel_wait(channel, SOON * UINT64_C(1000000)))
				return 4;
		if (desc.tag != i)
			return 5;
		if (i % 5 == 0)
			pause_ns(200000);
	}
	if (pinion_buffer_free(cache, desc.buffer) || pinion_cache_close(cache))
		return 6;
	return pinion_session_close(session);
}

/* The keeper's loop over the rendezvous and the channels of all who joined. No other timer wakes
 * it than the time limit, after which the test has failed. */
static void serve_in_loop(struct keeper *keeper, int members)
{
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct pinion_event event;
	struct epoll_event happened;
	struct pinion_channel *channel;

	watch(epoll, pinion_rendezvous_fd(keeper->rendezvous), KEEPER_MEMBERS);
	while (members) {
		assert_int_equal(epoll_wait(epoll, &happened, 1, SOON), 1);
		if (happened.data.u64 == KEEPER_MEMBERS) {
			if (!keeper_poll(keeper, &event))
				continue;
			if (event.kind == PINION_EVENT_LEFT) {
				(void)epoll_ctl(epoll, EPOLL_CTL_DEL,
						pinion_channel_fd(event.channel), NULL);
				(void)keeper_bury(keeper, &event);
				members--;
				continue;
			}
			happened.data.u64 = event.member;
			watch(epoll, pinion_channel_fd(event.channel), event.member);
		}
		channel = keeper->channel[happened.data.u64];
		if (channel == NULL)
			continue;
		assert_int_equal(pinion_channel_done(channel), 0);
		do
			(void)keeper_echo(keeper, channel);
		while (pinion_channel_prepare(channel) == 1);
	}
	close(epoll);
}

static void a_keeper_serves_its_members_in_a_loop(void **state)
{
	const struct pinion_rendezvous_config looped = {.slots = 64, .mode = 0666, .loop = 1};
	struct pinion_pool_config config = pool_config(1024, BUFFER);
	struct keeper keeper;
	pid_t pid[PRODUCERS];

	(void)state;
	config.nr_members = KEEPER_MEMBERS;
	config.nr_caches = 32;
	keeper_open_with(&keeper, &config, &looped);
	for (int i = 0; i < PRODUCERS; i++)
		pid[i] = member_start(&keeper, ask, NULL);
	serve_in_loop(&keeper, PRODUCERS);
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(member_end(pid[i]), 0);
	assert_int_equal(keeper.echoed, PRODUCERS * 500);
	keeper_close_whole(&keeper);
}

/* The keeper dies while the member sleeps. */
static void a_sessions_fd_tells_that_the_keeper_died(void **state)
{
	struct doomed doomed;
	struct pinion_session *session;
	struct pinion_channel *channel;
	struct pinion_desc desc;
	struct pollfd want = {.events = POLLIN};

	(void)state;
	doomed_open(&doomed);
	assert_int_equal(pinion_session_open(doomed.path, &session), 0);
	channel = pinion_session_channel(session);
	want.fd = pinion_channel_fd(channel);
	assert_true(want.fd >= 0);
	assert_int_equal(pinion_channel_prepare(channel), 0);
	assert_int_equal(poll(&want, 1, 50), 0);
	kill(doomed.pid, SIGKILL);
	assert_int_equal(poll(&want, 1, SOON), 1);
	assert_int_equal(pinion_channel_done(channel), 0);
	assert_int_equal(pinion_channel_recv(channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_prepare(channel), -EPIPE);
	assert_int_equal(pinion_session_close(session), 0);
	doomed_close(&doomed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(one_loop_serves_several_producers),
		pool_test(wait_any_serves_several_producers),
		pool_test(a_killed_sender_leaves_nobody_asleep),
		pool_test(a_keeper_serves_its_members_in_a_loop),
		pool_test(a_sessions_fd_tells_that_the_keeper_died),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
