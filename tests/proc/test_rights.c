/* SPDX-License-Identifier: BSD-3-Clause */
/* Members that may only send, or only receive: what they are given, and what they do with it. */

#include "proc_support.h"
#include "raw_support.h"
#include "ring.h"

#define SOON 5000 /* ms: for what must happen; a loaded machine is slow */
#define SECOND_NS UINT64_C(1000000000)
#define SLOTS 16

static void keeper_open_for(struct keeper *keeper, uint32_t rights)
{
	const struct pinion_rendezvous_config config = {
		.slots = SLOTS, .mode = 0666, .rights = rights};
	struct pinion_pool_config pool = pool_config(512, BUFFER);

	pool.nr_members = KEEPER_MEMBERS;
	keeper_open_with(keeper, &pool, &config);
}

/* Who asks for what, and gets what. */

struct wish {
	uint32_t rights, got;
	int err;
};

static int wish_for(const char *path, void *arg)
{
	const struct wish *wish = arg;
	const struct pinion_session_config config = {.rights = wish->rights};
	struct pinion_session *session;
	int err = pinion_session_open_with(path, &config, &session);

	if (err != wish->err)
		return 1;
	if (err)
		return pinion_error_text()[0] ? 0 : 2;
	if (pinion_channel_rights(pinion_session_channel(session)) != wish->got)
		return 3;
	return pinion_session_close(session) ? 4 : 0;
}

/* Of one that could not send there is nothing to drain. */
static void bury(struct keeper *keeper, const struct pinion_event *left)
{
	assert_int_equal(pinion_rendezvous_bury(keeper->rendezvous, left->member, keeper->cache,
						NULL),
			 0);
}

/* The keeper's end has the rights that go with the member's. */
static void expect_rights(struct keeper *keeper, struct wish wish)
{
	const uint32_t ours = (wish.got & PINION_RIGHT_SEND ? PINION_RIGHT_RECV : 0) |
			      (wish.got & PINION_RIGHT_RECV ? PINION_RIGHT_SEND : 0);
	const pid_t pid = member_start(keeper, wish_for, &wish);
	struct pinion_event event;

	if (wish.err) {
		assert_int_equal(keeper_member_end(keeper, pid), 0);
		return;
	}
	event = keeper_expect(keeper, PINION_EVENT_JOINED, SOON);
	assert_int_equal(pinion_channel_rights(event.channel), ours);
	event = keeper_expect(keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(member_end(pid), 0);
	bury(keeper, &event);
}

static void a_member_gets_the_rights_it_asks_for_of_those_there_are(void **state)
{
	const uint32_t send = PINION_RIGHT_SEND, recv = PINION_RIGHT_RECV;
	const struct {
		uint32_t given;
		struct wish wish;
	} cases[] = {
		{0, {0, send | recv, 0}},    {0, {send, send, 0}},
		{0, {recv, recv, 0}},        {0, {send | recv, send | recv, 0}},
		{send, {0, send, 0}},        {send, {send, send, 0}},
		{send, {recv, 0, -EACCES}},  {send, {send | recv, send, 0}},
		{recv, {0, recv, 0}},        {recv, {recv, recv, 0}},
		{recv, {send, 0, -EACCES}},  {recv, {send | recv, recv, 0}},
		{send | recv, {send, send, 0}}, {send | recv, {4, 0, -EINVAL}},
	};
	struct keeper keeper;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		keeper_open_for(&keeper, cases[i].given);
		expect_rights(&keeper, cases[i].wish);
		keeper_close_whole(&keeper);
	}
}

static void a_keeper_in_a_loop_takes_members_of_either_right(void **state)
{
	const struct pinion_rendezvous_config loop = {.slots = SLOTS, .mode = 0666, .loop = 1};
	const struct pinion_pool_config pool = pool_config(512, BUFFER);
	struct keeper keeper;

	(void)state;
	keeper_open_with(&keeper, &pool, &loop);
	expect_rights(&keeper, (struct wish){PINION_RIGHT_SEND, PINION_RIGHT_SEND, 0});
	expect_rights(&keeper, (struct wish){PINION_RIGHT_RECV, PINION_RIGHT_RECV, 0});
	keeper_close_whole(&keeper);
}

static void a_keeper_of_unknown_rights_is_einval(void **state)
{
	const struct pinion_rendezvous_config config = {.rights = 4};
	const struct pinion_pool_config plain = pool_config(64, BUFFER);
	struct pinion_pool *pool = pool_make_from(&plain);
	struct pinion_rendezvous *rendezvous = NULL;

	(void)state;
	assert_int_equal(pinion_rendezvous_open(pool, "/tmp/pinion-never", &config, &rendezvous),
			 -EINVAL);
	assert_sentence("rights");
	assert_null(rendezvous);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

/* Members with one right, at work. */

/* Sends @nr, and waits for room in between. */
static int send_all(struct pinion_session *session, uint32_t nr)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_channel *channel = pinion_session_channel(session);
	struct pinion_cache *cache;

	if (pinion_cache_open(pinion_session_pool(session), &any, &cache))
		return 10;
	for (uint32_t i = 0; i < nr; i++) {
		struct pinion_desc desc = {.len = 1, .tag = i};
		int sent;

		if (pinion_buffer_alloc(cache, &desc.buffer))
			return 11;
		while ((sent = pinion_channel_send(channel, &desc, 1)) == -EAGAIN)
			if (pinion_channel_wait(channel, 5 * SECOND_NS))
				return 12;
		if (sent != 1 || pinion_channel_recv(channel, &desc, 1) != -EACCES)
			return 13;
	}
	return pinion_cache_close(cache) ? 14 : 0;
}

static int open_without_privilege(const char *path, uint32_t rights,
				  struct pinion_session **session)
{
	const struct pinion_session_config config = {.rights = rights};

	return become_nobody() || pinion_session_open_with(path, &config, session);
}

static int send_and_leave(const char *path, void *arg)
{
	struct pinion_session *session;
	int err;

	(void)arg;
	if (open_without_privilege(path, PINION_RIGHT_SEND, &session))
		return 1;
	err = send_all(session, 500);
	return err ? err : pinion_session_close(session);
}

static void who_may_only_send_sends_and_all_of_it_arrives(void **state)
{
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open_for(&keeper, PINION_RIGHT_SEND);
	pid = member_start(&keeper, send_and_leave, NULL);
	(void)keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 0);
	assert_int_equal(keeper.echoed, 500);
	keeper_close_whole(&keeper);
}

static int recv_until_the_end(const char *path, void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_session *session;
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	struct pinion_desc desc;
	uint32_t next = 0;
	int got;

	(void)arg;
	if (open_without_privilege(path, PINION_RIGHT_RECV, &session) ||
	    pinion_cache_open(pinion_session_pool(session), &any, &cache))
		return 1;
	channel = pinion_session_channel(session);
	while ((got = pinion_channel_recv(channel, &desc, 1)) != -EPIPE) {
		if (got == -EAGAIN && pinion_channel_wait(channel, 5 * SECOND_NS))
			return 2;
		if (got == -EAGAIN)
			continue;
		if (got != 1 || desc.tag != next++)
			return 3;
		if (pinion_channel_send(channel, &desc, 1) != -EACCES)
			return 4;
		if (pinion_buffer_free(cache, desc.buffer))
			return 5;
	}
	if (next != 100 || pinion_cache_close(cache))
		return 6;
	return pinion_session_close(session) ? 7 : 0;
}

/* As many as @nr, or as find room; it waits so long for that. */
static uint32_t feed(struct keeper *keeper, struct pinion_channel *channel, uint32_t nr,
		     uint64_t patience_ns)
{
	for (uint32_t i = 0; i < nr;) {
		struct pinion_desc desc = {.tag = i};
		int sent;

		take(keeper->cache, &desc.buffer, 1);
		sent = pinion_channel_send(channel, &desc, 1);
		if (sent == 1) {
			i++;
			continue;
		}
		give(keeper->cache, &desc.buffer, 1);
		if (sent != -EAGAIN || pinion_channel_wait(channel, patience_ns))
			return i;
	}
	return nr;
}

static void who_may_only_receive_gets_all_and_hears_the_end(void **state)
{
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open_for(&keeper, PINION_RIGHT_RECV);
	pid = member_start(&keeper, recv_until_the_end, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	assert_int_equal(feed(&keeper, event.channel, 100, 20 * SECOND_NS), 100);
	pinion_channel_reject(event.channel); /* tells it that nothing more will come */
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(member_end(pid), 0);
	assert_int_equal(event.killed, 0);
	bury(&keeper, &event);
	keeper_close_whole(&keeper);
}

/* Deaths. */

static int send_and_stay(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	if (open_without_privilege(path, PINION_RIGHT_SEND, &session) || send_all(session, 10))
		return 1;
	for (;;)
		pause();
}

static int recv_nothing_and_stay(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	if (open_without_privilege(path, PINION_RIGHT_RECV, &session))
		return 1;
	for (;;)
		pause();
}

static void a_killed_sender_is_drained_and_loses_nothing(void **state)
{
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open_for(&keeper, 0);
	pid = member_start(&keeper, send_and_stay, NULL);
	(void)keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	while (keeper.echoed < 10)
		keeper_expect_none(&keeper, 10);
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(event.killed, 1);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_close_whole(&keeper);
}

static void what_a_killed_receiver_had_not_taken_comes_back(void **state)
{
	struct pinion_event event;
	struct pinion_desc desc;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open_for(&keeper, 0);
	pid = member_start(&keeper, recv_nothing_and_stay, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	assert_int_equal(feed(&keeper, event.channel, SLOTS + 1, SECOND_NS / 4), SLOTS);
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(pinion_channel_recv(event.channel, &desc, 1), -EACCES);
	assert_int_equal(pinion_channel_send(event.channel, &desc, 1), -EPIPE);
	bury(&keeper, &event);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_close_whole(&keeper);
}

/* A keeper that serves nobody, in a process of its own. */
static int keep_and_serve_nobody(const char *path, void *arg)
{
	const struct pinion_rendezvous_config config = {
		.slots = SLOTS, .rights = PINION_RIGHT_SEND};
	struct pinion_pool_config plain = pool_config(512, BUFFER);
	struct pinion_rendezvous *rendezvous;
	struct pinion_event event;
	struct pinion_pool *pool;

	(void)arg;
	if (pinion_pool_create(&plain, &pool) ||
	    pinion_rendezvous_open(pool, path, &config, &rendezvous))
		return 1;
	for (;;) {
		if (pinion_rendezvous_next(rendezvous, &event) < 0)
			return 2;
		usleep(1000);
	}
}

static void a_sender_whose_ring_is_full_hears_of_the_keepers_death(void **state)
{
	struct keeper keeper = {0};
	struct pinion_session *session;
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	struct pinion_desc desc = {.len = 0};
	uint64_t died;
	pid_t pid;

	(void)state;
	support_dir_create(keeper.dir);
	snprintf(keeper.path, sizeof(keeper.path), "%s/keeper", keeper.dir);
	pid = member_start(&keeper, keep_and_serve_nobody, NULL);
	while (pinion_session_open(keeper.path, &session))
		usleep(1000);
	channel = pinion_session_channel(session);
	cache = cache_make(pinion_session_pool(session), BUFFER);
	for (int i = 0; i < SLOTS; i++) {
		take(cache, &desc.buffer, 1);
		assert_int_equal(pinion_channel_send(channel, &desc, 1), 1);
	}
	assert_int_equal(pinion_channel_wait(channel, 10000000), -ETIMEDOUT);
	kill(pid, SIGKILL);
	died = test_now_ns();
	assert_int_equal(pinion_channel_wait(channel, 10 * SECOND_NS), 0);
	assert_in_range(test_now_ns() - died, 0, 5 * SECOND_NS);
	assert_int_equal(pinion_channel_send(channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_reclaim(channel, cache), SLOTS);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pinion_session_pool(session));
	assert_int_equal(pinion_session_close(session), 0);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	support_dir_destroy(keeper.dir);
}

/* Members that do not keep to it. */

/* Joins and asks for @rights; how many files came, or why it was refused. */
static int join_by_hand(const char *path, uint32_t rights, int *files, uint32_t *got)
{
	struct message answer;
	int nr, fd = dial(path);

	if (fd < 0)
		return -ENOTCONN;
	nr = hello_by_hand(fd, rights, &answer, files);
	if (nr < 0)
		return nr;
	*got = answer.rights;
	return confirm_by_hand(fd, answer.cookie) ? -ENOTCONN : nr;
}

static int ask_for_too_much(const char *path, void *arg)
{
	int files[MESSAGE_FILES_MAX];
	uint32_t got = 0;

	(void)arg;
	if (become_nobody() || join_by_hand(path, PINION_RIGHT_SEND, files, &got) != -EACCES)
		return 1;
	if (join_by_hand(path, 4, files, &got) != -EINVAL)
		return 2;
	return join_by_hand(path, UINT32_MAX, files, &got) != -EINVAL;
}

static void what_is_not_given_is_refused_whatever_a_member_says(void **state)
{
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open_for(&keeper, PINION_RIGHT_RECV);
	pid = member_start(&keeper, ask_for_too_much, NULL);
	assert_int_equal(keeper_member_end(&keeper, pid), 0);
	keeper_close_whole(&keeper);
}

/* Whatever it can write to of its channel: the one ring, which it should only read. */
static int write_to_what_it_has(const char *path, void *arg)
{
	int files[MESSAGE_FILES_MAX];
	uint32_t got = 0;
	struct ring ring;

	(void)arg;
	/* Control area, segment and ring: there is no other that it could send on. */
	if (become_nobody() || join_by_hand(path, PINION_RIGHT_BOTH, files, &got) != 3 ||
	    got != PINION_RIGHT_RECV || ring_map(files[2], &ring))
		return 1;
	for (uint32_t i = 0; i < ring.slots; i++) {
		const struct pinion_desc desc = {.buffer = pinion_buffer_make(i, 1), .len = 1};

		pinion_slot_store(ring_slot(&ring, i), &desc, ring_lap(&ring, i));
	}
	atomic_store(&ring.shared->credit, UINT64_MAX / 2);
	atomic_store(&ring.shared->bell.state, BELL_LANE);
	atomic_store(&ring.shared->producer_closed, 1);
	ring_strike(&ring);
	raise(SIGSTOP);
	for (;;)
		pause();
}

static void a_member_without_a_ring_to_send_on_sends_nothing_whatever_it_writes(void **state)
{
	struct pinion_desc desc = {.len = 0};
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid;
	int sent;

	(void)state;
	keeper_open_for(&keeper, PINION_RIGHT_RECV);
	pid = member_start(&keeper, write_to_what_it_has, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	keeper_await_stop(&keeper, pid);
	assert_int_equal(pinion_channel_recv(event.channel, &desc, 1), -EACCES);
	assert_int_equal(keeper.echoed, 0);
	/* Its credit is looked at when the ring would be full without. */
	do {
		take(keeper.cache, &desc.buffer, 1);
		sent = pinion_channel_send(event.channel, &desc, 1);
	} while (sent == 1);
	assert_int_equal(sent, -EPROTO);
	give(keeper.cache, &desc.buffer, 1);
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	bury(&keeper, &event);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	expect_rights(&keeper, (struct wish){0, PINION_RIGHT_RECV, 0});
	keeper_close_whole(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_member_gets_the_rights_it_asks_for_of_those_there_are),
		pool_test(a_keeper_in_a_loop_takes_members_of_either_right),
		pool_test(a_keeper_of_unknown_rights_is_einval),
		pool_test(who_may_only_send_sends_and_all_of_it_arrives),
		pool_test(who_may_only_receive_gets_all_and_hears_the_end),
		pool_test(a_killed_sender_is_drained_and_loses_nothing),
		pool_test(what_a_killed_receiver_had_not_taken_comes_back),
		pool_test(a_sender_whose_ring_is_full_hears_of_the_keepers_death),
		pool_test(what_is_not_given_is_refused_whatever_a_member_says),
		pool_test(a_member_without_a_ring_to_send_on_sends_nothing_whatever_it_writes),
	};

	if (getuid() != 0)
		return support_skip("becoming another user is for root");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
