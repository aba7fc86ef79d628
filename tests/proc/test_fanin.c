/* SPDX-License-Identifier: BSD-3-Clause */
/* A rendezvous that was given a fan-in: producers get lanes without knowing, and leave them. */

#include <sys/epoll.h>
#include <sys/mman.h>

#include <pinion/fanin.h>

#include "proc_support.h"
#include "raw_support.h"

#define SOON 5000 /* ms: for what must happen; a loaded machine is slow */
#define SECOND_NS UINT64_C(1000000000)
#define SLOTS 16
#define PRODUCERS 4

/* A keeper that receives through a fan-in; how much came from whom. */
struct hall {
	struct keeper keeper;
	struct pinion_fanin *fanin;
	uint32_t got[KEEPER_MEMBERS]; /* of who has that number now */
	uint32_t got_before;          /* of those who had it */
	uint32_t joined, left;
};

/* What a producer does, and what it says about it. Shared with it. */
struct part {
	uint32_t nr;            /* to send */
	bool pauses;            /* now and then, so that its lane becomes cold */
	_Atomic uint32_t sent;
	_Atomic uint32_t stays; /* then */
};

static void hall_open_with(struct hall *hall, const struct pinion_rendezvous_config *wanted)
{
	struct pinion_rendezvous_config config = *wanted;
	struct pinion_pool_config pool = pool_config(512, BUFFER);

	memset(hall, 0, sizeof(*hall));
	pool.nr_members = KEEPER_MEMBERS;
	pool.nr_caches = 32;
	assert_int_equal(pinion_fanin_create(&hall->fanin), 0);
	config.slots = SLOTS;
	config.mode = 0666;
	config.fanin = hall->fanin;
	keeper_open_with(&hall->keeper, &pool, &config);
}

static void hall_open_for(struct hall *hall, uint32_t rights)
{
	hall_open_with(hall, &(struct pinion_rendezvous_config){.rights = rights});
}

static void hall_open(struct hall *hall)
{
	hall_open_for(hall, 0);
}

static void hall_close(struct hall *hall)
{
	keeper_close_whole(&hall->keeper);
	assert_int_equal(pinion_fanin_destroy(hall->fanin), 0);
}

static struct part *part_make(uint32_t nr, bool pauses, bool stays)
{
	struct part *part = mmap(NULL, sizeof(*part), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(part, MAP_FAILED);
	part->nr = nr;
	part->pauses = pauses;
	part->stays = stays;
	return part;
}

static void part_drop(struct part *part)
{
	munmap(part, sizeof(*part));
}

/* Producers. */

static int send_part(struct pinion_pool *pool, struct pinion_channel *channel, struct part *part)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	if (pinion_cache_open(pool, &any, &cache))
		return 10;
	while (part->sent < part->nr) {
		struct pinion_desc desc = {.len = 1, .tag = part->sent};

		if (part->pauses && part->sent % 16 == 0)
			usleep(2000);
		if (pinion_buffer_alloc(cache, &desc.buffer))
			return 11;
		while (pinion_channel_send(channel, &desc, 1) != 1)
			usleep(100); /* the ring is full */
		part->sent++;
	}
	return pinion_cache_close(cache) ? 12 : 0;
}

static int produce(const char *path, void *arg)
{
	struct pinion_session *session;
	struct part *part = arg;
	int err;

	if (become_nobody())
		return 1;
	if (pinion_session_open(path, &session)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 2;
	}
	/* Its session has joined the lane already. */
	if (pinion_channel_join(pinion_session_channel(session), 0, 0) != -EBUSY)
		return 3;
	err = send_part(pinion_session_pool(session), pinion_session_channel(session), part);
	if (err)
		return err;
	while (part->stays)
		usleep(1000);
	return pinion_session_close(session);
}

/* The keeper. */

static void hall_count(struct hall *hall, const struct pinion_channel *channel,
		       const struct pinion_desc *desc, int nr)
{
	uint32_t member = pinion_channel_peer(channel);

	for (int i = 0; i < nr; i++) {
		assert_int_equal(desc[i].tag, hall->got[member]++);
		give(hall->keeper.cache, &desc[i].buffer, 1);
	}
}

/* Of those who joined alone, and in order. */
static int hall_recv(struct hall *hall)
{
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc[8];
	int got = pinion_fanin_recv(hall->fanin, &channel, desc, 8);

	if (got == -EAGAIN)
		return got;
	assert_ptr_equal(channel, hall->keeper.channel[pinion_channel_peer(channel)]);
	hall_count(hall, channel, desc, got);
	return got;
}

static void hall_bury(struct hall *hall, const struct pinion_event *left)
{
	struct pinion_desc desc[8];
	int got;

	assert_int_equal(pinion_fanin_remove(hall->fanin, left->channel), -ENOENT);
	while ((got = pinion_channel_recv(left->channel, desc, 8)) > 0)
		hall_count(hall, left->channel, desc, got);
	assert_int_equal(got, pinion_channel_rights(left->channel) & PINION_RIGHT_RECV ? -EPIPE
										       : -EACCES);
	assert_int_equal(pinion_rendezvous_bury(hall->keeper.rendezvous, left->member,
						hall->keeper.cache, NULL),
			 0);
}

/* One event, if there is one; it is told, and who left is buried. */
static int hall_hear(struct hall *hall, struct pinion_event *event)
{
	if (!keeper_poll(&hall->keeper, event))
		return 0;
	if (event->kind == PINION_EVENT_JOINED) {
		hall->joined++;
		hall->got_before += hall->got[event->member];
		hall->got[event->member] = 0;
	} else {
		hall->left++;
	}
	if (event->kind == PINION_EVENT_LEFT)
		hall_bury(hall, event);
	return 1;
}

/* Until so many have joined and left. */
static void hall_serve(struct hall *hall, uint32_t joined, uint32_t left)
{
	const uint64_t until = test_now_ns() + 30 * SECOND_NS;
	struct pinion_event event;

	while (hall->joined < joined || hall->left < left) {
		assert_true(test_now_ns() < until);
		(void)hall_hear(hall, &event);
		if (hall_recv(hall) == -EAGAIN)
			(void)pinion_fanin_wait(hall->fanin, 5000000);
	}
}

/* The lowest free lane: what somebody else would get. */
static uint32_t free_lane(struct hall *hall)
{
	struct pinion_channel *channel;
	uint32_t lane;
	int ring;

	assert_int_equal(pinion_ring_create(4, &ring), 0);
	assert_int_equal(pinion_channel_open(hall->keeper.pool, -1, ring, 1, &channel), 0);
	assert_int_equal(pinion_fanin_add(hall->fanin, channel, 1, &lane), 0);
	assert_int_equal(pinion_fanin_remove(hall->fanin, channel), 0);
	assert_int_equal(pinion_channel_close(channel), 0);
	close(ring);
	return lane;
}

static uint32_t hall_total(const struct hall *hall)
{
	uint32_t total = hall->got_before;

	for (int i = 0; i < KEEPER_MEMBERS; i++)
		total += hall->got[i];
	return total;
}

/* Claims. */

static void all_that_producers_send_comes_out_of_the_fan_in(void **state)
{
	struct part *part[PRODUCERS];
	pid_t pid[PRODUCERS];
	struct hall hall;

	(void)state;
	hall_open(&hall);
	for (int i = 0; i < PRODUCERS; i++) {
		part[i] = part_make(1000, i % 2, false);
		pid[i] = member_start(&hall.keeper, produce, part[i]);
	}
	hall_serve(&hall, PRODUCERS, PRODUCERS);
	assert_int_equal(hall_total(&hall), PRODUCERS * 1000);
	for (int i = 0; i < PRODUCERS; i++) {
		assert_int_equal(member_end(pid[i]), 0);
		part_drop(part[i]);
	}
	assert_int_equal(free_lane(&hall), 0);
	hall_close(&hall);
}

static void a_killed_producer_frees_its_lane_and_the_others_go_on(void **state)
{
	struct part *part[PRODUCERS];
	pid_t pid[PRODUCERS];
	struct hall hall;

	(void)state;
	hall_open(&hall);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		part[i] = part_make(i ? 2000 : 100000000, i % 2, i);
		pid[i] = member_start(&hall.keeper, produce, part[i]);
		hall_serve(&hall, i + 1, 0); /* lanes are given in this order */
	}
	assert_int_equal(free_lane(&hall), PRODUCERS);
	while (part[0]->sent < 100)
		(void)hall_recv(&hall);
	kill(pid[0], SIGKILL);
	hall_serve(&hall, PRODUCERS, 1);
	assert_int_equal(member_end(pid[0]), 128 + SIGKILL);
	/* What it had published came: all that it says, and perhaps one that it could not say. */
	assert_in_range(hall.got[1], part[0]->sent, part[0]->sent + 1);
	assert_int_equal(free_lane(&hall), 0);
	for (int i = 1; i < PRODUCERS; i++)
		part[i]->stays = 0;
	hall_serve(&hall, PRODUCERS, PRODUCERS);
	for (int i = 1; i < PRODUCERS; i++)
		assert_int_equal(member_end(pid[i]), 0);
	for (int i = 0; i < PRODUCERS; i++)
		part_drop(part[i]);
	hall_close(&hall);
}

static void the_next_producer_gets_the_lane_of_the_dead(void **state)
{
	struct part *part = part_make(10, false, true);
	struct hall hall;

	(void)state;
	hall_open(&hall);
	for (uint32_t i = 0; i < 3 * KEEPER_MEMBERS; i++) {
		pid_t pid = member_start(&hall.keeper, produce, part);

		hall_serve(&hall, i + 1, i);
		assert_int_equal(free_lane(&hall), 1);
		while (part->sent < 10)
			usleep(1000);
		kill(pid, SIGKILL);
		hall_serve(&hall, i + 1, i + 1);
		assert_int_equal(member_end(pid), 128 + SIGKILL);
		assert_int_equal(free_lane(&hall), 0);
		assert_int_equal(hall_total(&hall), 10);
		memset(hall.got, 0, sizeof(hall.got));
		part->sent = 0;
	}
	part_drop(part);
	hall_close(&hall);
}

/* The keeper has let it in, and hears of no more. */
static void let_in(struct hall *hall)
{
	const uint64_t until = test_now_ns() + SOON * UINT64_C(1000000);
	struct pinion_event event;

	while (!free_lane(hall)) {
		assert_true(test_now_ns() < until);
		assert_int_equal(pinion_rendezvous_next(hall->keeper.rendezvous, &event), 0);
		usleep(1000);
	}
}

/* Has all that it needs, and keeps its CONFIRM back. */
static int send_before_joining(const char *path, void *arg)
{
	struct pinion_pool_fds fds = {.nr_segments = 1};
	int files[MESSAGE_FILES_MAX], fd = dial(path);
	struct pinion_channel *channel;
	struct pinion_pool *pool;
	struct message answer;
	struct part *part = arg;

	/* Control area, segment, two rings and the ready set. */
	if (fd < 0 || hello_by_hand(fd, 0, &answer, files) != 5 ||
	    answer.value != MESSAGE_LAST_READY || answer.lane != 0)
		return 1;
	fds.control = files[0];
	fds.segment[0] = files[1];
	if (pinion_pool_attach(&fds, answer.member, &pool) ||
	    pinion_channel_open(pool, files[2], files[3], answer.keeper, &channel) ||
	    pinion_channel_join(channel, files[4], answer.lane) || send_part(pool, channel, part))
		return 2;
	while (part->stays)
		usleep(1000);
	if (confirm_by_hand(fd, answer.cookie))
		return 3;
	for (;;)
		pause();
}

static void nothing_comes_of_a_producer_before_joined_is_told(void **state)
{
	struct pinion_channel *channel;
	struct pinion_desc desc;
	struct hall hall;
	struct part *part = part_make(5, false, true);
	pid_t pid;

	(void)state;
	hall_open(&hall);
	pid = member_start(&hall.keeper, send_before_joining, part);
	let_in(&hall);
	while (part->sent < 5)
		usleep(1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pinion_fanin_recv(hall.fanin, &channel, &desc, 1), -EAGAIN);
	assert_int_equal(pinion_fanin_wait(hall.fanin, SECOND_NS / 4), -ETIMEDOUT);
	part->stays = 0;
	hall_serve(&hall, 1, 0);
	while (hall_total(&hall) < 5)
		if (hall_recv(&hall) == -EAGAIN)
			assert_int_equal(pinion_fanin_wait(hall.fanin, SECOND_NS), 0);
	kill(pid, SIGKILL);
	hall_serve(&hall, 1, 1);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	part_drop(part);
	hall_close(&hall);
}

static int hello_and_no_more(const char *path, void *arg)
{
	int files[MESSAGE_FILES_MAX];
	struct message answer;
	const int fd = dial(path);

	(void)arg;
	if (fd < 0 || hello_by_hand(fd, 0, &answer, files) != 5)
		return 1;
	for (;;)
		pause();
}

static void a_producer_that_stalls_while_it_joins_loses_its_lane(void **state)
{
	struct hall hall;
	pid_t pid;

	(void)state;
	hall_open(&hall);
	pid = member_start(&hall.keeper, hello_and_no_more, NULL);
	let_in(&hall);
	keeper_expect_none(&hall.keeper, 2500);
	assert_int_equal(free_lane(&hall), 0);
	kill(pid, SIGKILL);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_expect_none(&hall.keeper, 50);
	hall_close(&hall);
}

static int receive_only(const char *path, void *arg)
{
	const struct pinion_session_config config = {.rights = PINION_RIGHT_RECV};
	struct pinion_session *session;

	(void)arg;
	return pinion_session_open_with(path, &config, &session) || pinion_session_close(session);
}

static void who_may_not_send_gets_no_lane(void **state)
{
	struct pinion_event event;
	struct hall hall;
	pid_t pid;

	(void)state;
	hall_open(&hall);
	pid = member_start(&hall.keeper, receive_only, NULL);
	event = keeper_expect(&hall.keeper, PINION_EVENT_JOINED, SOON);
	assert_int_equal(free_lane(&hall), 0);
	event = keeper_expect(&hall.keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(pinion_rendezvous_bury(hall.keeper.rendezvous, event.member,
						hall.keeper.cache, NULL),
			 0);
	assert_int_equal(member_end(pid), 0);
	hall_close(&hall);
}

static void one_way_is_enough_for_a_producer(void **state)
{
	struct part *part = part_make(1000, true, false);
	struct hall hall;
	pid_t pid;

	(void)state;
	hall_open_for(&hall, PINION_RIGHT_SEND);
	pid = member_start(&hall.keeper, produce, part);
	hall_serve(&hall, 1, 1);
	assert_int_equal(hall_total(&hall), 1000);
	assert_int_equal(member_end(pid), 0);
	part_drop(part);
	hall_close(&hall);
}

static int find_it_full(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	return pinion_session_open(path, &session) != -EAGAIN;
}

static void a_fan_in_without_a_lane_is_eagain_at_the_joiner(void **state)
{
	static struct pinion_channel *channel[PINION_FANIN_LANES];
	struct hall hall;
	uint32_t lane;
	pid_t pid;
	int ring;

	(void)state;
	hall_open(&hall);
	assert_int_equal(pinion_ring_create(4, &ring), 0);
	for (uint32_t i = 0; i < PINION_FANIN_LANES; i++) {
		assert_int_equal(pinion_channel_open(hall.keeper.pool, -1, ring, 1, &channel[i]),
				 0);
		assert_int_equal(pinion_fanin_add(hall.fanin, channel[i], 1, &lane), 0);
	}
	pid = member_start(&hall.keeper, find_it_full, NULL);
	assert_int_equal(keeper_member_end(&hall.keeper, pid), 0);
	for (uint32_t i = 0; i < PINION_FANIN_LANES; i++) {
		assert_int_equal(pinion_fanin_remove(hall.fanin, channel[i]), 0);
		assert_int_equal(pinion_channel_close(channel[i]), 0);
	}
	close(ring);
	hall_close(&hall);
}

static void a_rendezvous_that_closes_takes_its_channels_out(void **state)
{
	struct part *part = part_make(5, false, true);
	struct pinion_channel *channel;
	struct pinion_desc desc;
	struct hall hall;
	pid_t pid;

	(void)state;
	hall_open(&hall);
	pid = member_start(&hall.keeper, produce, part);
	hall_serve(&hall, 1, 0);
	while (part->sent < 5)
		usleep(1000);
	assert_int_equal(pinion_rendezvous_close(hall.keeper.rendezvous), 0);
	assert_int_equal(free_lane(&hall), 0);
	assert_int_equal(pinion_fanin_recv(hall.fanin, &channel, &desc, 1), -EAGAIN);
	kill(pid, SIGKILL);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	assert_int_equal(pinion_pool_release(hall.keeper.pool, 1, NULL), 0);
	assert_int_equal(pinion_rendezvous_open(hall.keeper.pool, hall.keeper.path, NULL,
						&hall.keeper.rendezvous),
			 0);
	part_drop(part);
	hall_close(&hall);
}

static void hall_drain(struct hall *hall)
{
	while (hall_recv(hall) != -EAGAIN)
		;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	assert_true(fd >= 0);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

/* hall_serve() in epoll: nothing is looked at unless a descriptor says so. */
static void hall_serve_in_loop(struct hall *hall, uint32_t joined, uint32_t left)
{
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct pinion_event told;
	struct epoll_event event;

	watch(epoll, pinion_rendezvous_fd(hall->keeper.rendezvous));
	watch(epoll, pinion_fanin_loop_fd(hall->fanin));
	while (hall->joined < joined || hall->left < left) {
		while (pinion_fanin_prepare(hall->fanin) == 1)
			hall_drain(hall);
		assert_int_equal(epoll_wait(epoll, &event, 1, SOON), 1);
		while (hall_hear(hall, &told))
			;
		assert_int_equal(pinion_fanin_done(hall->fanin), 0);
		hall_drain(hall);
	}
	close(epoll);
}

static void a_keeper_serves_its_fan_in_in_a_loop(void **state)
{
	struct part *part[PRODUCERS];
	pid_t pid[PRODUCERS];
	struct hall hall;

	(void)state;
	hall_open_with(&hall, &(struct pinion_rendezvous_config){.loop = 1});
	for (int i = 0; i < PRODUCERS; i++) {
		part[i] = part_make(i ? 2000 : UINT32_MAX, i % 2, false);
		pid[i] = member_start(&hall.keeper, produce, part[i]);
	}
	hall_serve_in_loop(&hall, PRODUCERS, PRODUCERS - 1);
	assert_int_equal(kill(pid[0], SIGKILL), 0);
	hall_serve_in_loop(&hall, PRODUCERS, PRODUCERS);
	assert_int_equal(member_end(pid[0]), 128 + SIGKILL);
	/* Killed, it may have sent one more than it had counted. */
	assert_in_range(hall_total(&hall), (PRODUCERS - 1) * 2000 + part[0]->sent,
			(PRODUCERS - 1) * 2000 + part[0]->sent + 1);
	for (int i = 1; i < PRODUCERS; i++)
		assert_int_equal(member_end(pid[i]), 0);
	for (int i = 0; i < PRODUCERS; i++)
		part_drop(part[i]);
	hall_close(&hall);
}

/* Who may only receive wakes nobody, and is told no place to notify. */
static void a_receiver_joins_a_keeper_with_a_loop_and_a_fan_in(void **state)
{
	struct hall hall;
	pid_t pid;

	(void)state;
	hall_open_with(&hall, &(struct pinion_rendezvous_config){.loop = 1});
	pid = member_start(&hall.keeper, receive_only, NULL);
	hall_serve_in_loop(&hall, 1, 1);
	assert_int_equal(member_end(pid), 0);
	hall_close(&hall);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(all_that_producers_send_comes_out_of_the_fan_in),
		pool_test(a_killed_producer_frees_its_lane_and_the_others_go_on),
		pool_test(the_next_producer_gets_the_lane_of_the_dead),
		pool_test(nothing_comes_of_a_producer_before_joined_is_told),
		pool_test(a_producer_that_stalls_while_it_joins_loses_its_lane),
		pool_test(who_may_not_send_gets_no_lane),
		pool_test(one_way_is_enough_for_a_producer),
		pool_test(a_fan_in_without_a_lane_is_eagain_at_the_joiner),
		pool_test(a_rendezvous_that_closes_takes_its_channels_out),
		pool_test(a_keeper_serves_its_fan_in_in_a_loop),
		pool_test(a_receiver_joins_a_keeper_with_a_loop_and_a_fan_in),
	};

	if (getuid() != 0)
		return support_skip("becoming another user is for root");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
