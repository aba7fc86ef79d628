/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments that come and go while other processes are members by a session. */

#include "proc_support.h"

#define SOON 5000 /* ms: for what must happen; a loaded machine is slow */
#define LARGE ((size_t)4096)

/* In a member: what the keeper sends next; exits when nothing comes. */
static struct pinion_desc next_of(struct pinion_session *session)
{
	struct pinion_channel *channel = pinion_session_channel(session);
	struct pinion_desc desc;

	while (pinion_channel_recv(channel, &desc, 1) != 1)
		if (pinion_channel_wait(channel, SOON * UINT64_C(1000000)))
			_exit(100);
	return desc;
}

/* Its first and only look at the pool is an id that it does not know. */
static int meet_it(const char *path, void *arg)
{
	struct pinion_session *session;
	struct pinion_desc desc;
	char *text;

	(void)arg;
	if (pinion_session_open(path, &session))
		return 1;
	for (int i = 0; i < 3; i++) {
		desc = next_of(session);
		if (pinion_buffer_size(pinion_session_pool(session), desc.buffer) != LARGE)
			return 2;
		text = pinion_buffer_addr(pinion_session_pool(session), desc.buffer);
		if (strcmp(text, "from the keeper") != 0)
			return 3;
		strcpy(text, "from the member");
		if (pinion_channel_send(pinion_session_channel(session), &desc, 1) != 1)
			return 4;
	}
	return pinion_session_close(session);
}

static struct pinion_desc answer_of(struct pinion_channel *channel)
{
	struct pinion_desc desc = {.tag = 0};

	assert_int_equal(pinion_channel_wait(channel, SOON * UINT64_C(1000000)), 0);
	assert_int_equal(pinion_channel_recv(channel, &desc, 1), 1);
	return desc;
}

static void a_member_meets_the_ids_of_new_segments(void **state)
{
	struct pinion_channel *channel;
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, meet_it, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	channel = event.channel;
	for (int i = 0; i < 3; i++) {
		const uint32_t slot = grow(keeper.pool, 16, LARGE);
		struct pinion_cache *cache = cache_make(keeper.pool, LARGE);
		struct pinion_desc desc = {.len = 16, .tag = 1};
		struct pinion_buffer skip[48];
		uint32_t nr = 0;

		/* One of the newest segment, whatever the cache begins with. */
		do
			take(cache, &skip[nr], 1);
		while (slot_of(keeper.pool, skip[nr++]) != slot);
		desc.buffer = skip[--nr];
		give(cache, skip, nr);
		strcpy(pinion_buffer_addr(keeper.pool, desc.buffer), "from the keeper");
		assert_int_equal(pinion_channel_send(channel, &desc, 1), 1);
		desc = answer_of(channel);
		assert_string_equal(pinion_buffer_addr(keeper.pool, desc.buffer),
				    "from the member");
		give(cache, &desc.buffer, 1);
		assert_int_equal(pinion_cache_close(cache), 0);
	}
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(event.killed, 0);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
}

/* Runs dry, asks, and goes on without being told anything but "done". */
static int run_dry(const char *path, void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	static struct pinion_buffer all[1024 + 512 + 1];
	struct pinion_session *session;
	struct pinion_cache *cache;
	uint32_t before, nr;

	(void)arg;
	if (pinion_session_open(path, &session) ||
	    pinion_cache_open(pinion_session_pool(session), &any, &cache))
		return 1;
	before = nr = take_all(cache, all, 1024);
	for (int i = 0; i < 2; i++) {
		struct pinion_desc desc = {.buffer = all[--nr]};

		if (pinion_channel_send(pinion_session_channel(session), &desc, 1) != 1)
			return 2;
		all[nr++] = next_of(session).buffer;
		nr += take_all(cache, &all[nr], 1537 - nr);
	}
	if (nr < before + 512 - 64)
		return 3;
	for (uint32_t i = 0; i < nr; i++)
		memset(pinion_buffer_addr(pinion_session_pool(session), all[i]), 1, BUFFER);
	if (pinion_buffer_free_bulk(cache, all, nr) != (int)nr || pinion_cache_close(cache))
		return 4;
	return pinion_session_close(session);
}

static void a_member_allocates_from_new_segments_by_itself(void **state)
{
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, run_dry, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	for (int i = 0; i < 2; i++) {
		struct pinion_desc desc = answer_of(event.channel);

		grow(keeper.pool, 256, BUFFER);
		assert_int_equal(pinion_channel_send(event.channel, &desc, 1), 1);
	}
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
}

/* Exchanges buffers with the keeper for ever, some of whatever size there is. */
static int work(const char *path, void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	uint64_t random = *(const uint64_t *)arg;
	struct pinion_session *session;
	struct pinion_cache *cache;
	struct pinion_buffer held[64];
	uint32_t nr = 0;

	if (pinion_session_open(path, &session) ||
	    pinion_cache_open(pinion_session_pool(session), &any, &cache))
		return 1;
	for (;;) {
		struct pinion_channel *channel = pinion_session_channel(session);
		struct pinion_desc desc = {.tag = 0};
		int got;

		nr += take_all(cache, &held[nr], test_below(&random, 65 - nr));
		if (nr && test_below(&random, 2)) {
			desc.buffer = held[nr - 1];
			got = pinion_channel_send(channel, &desc, 1);
			if (got != 1 && got != -EAGAIN)
				return 3;
			nr -= got == 1;
		}
		while (nr < 64 && (got = pinion_channel_recv(channel, &desc, 1)) != -EAGAIN) {
			if (got != 1)
				return 4;
			*(char *)pinion_buffer_addr(pinion_session_pool(session), desc.buffer) = 1;
			held[nr++] = desc.buffer;
		}
		while (nr && test_below(&random, 8))
			if (pinion_buffer_free(cache, held[--nr]))
				return 5;
		if (test_below(&random, 4) == 0 && pinion_cache_flush(cache))
			return 6;
	}
}

#define MEMBERS 3

struct turmoil {
	struct keeper keeper;
	pid_t pid[MEMBERS];
	uint64_t seed[MEMBERS], random;
	int wrong, went, came, left;
};

static void turmoil_start(struct turmoil *turmoil, int i)
{
	turmoil->seed[i] = test_random(&turmoil->random) | 1;
	turmoil->pid[i] = member_start(&turmoil->keeper, work, &turmoil->seed[i]);
}

static void turmoil_reap(struct turmoil *turmoil, bool restart)
{
	for (int i = 0; i < MEMBERS; i++) {
		int status = 0;

		if (turmoil->pid[i] <= 0 || waitpid(turmoil->pid[i], &status, WNOHANG) == 0)
			continue;
		if (WIFEXITED(status)) {
			print_message("# a member ended with %d\n", WEXITSTATUS(status));
			turmoil->wrong++;
		}
		turmoil->pid[i] = 0;
		if (restart)
			turmoil_start(turmoil, i);
	}
}

static void turmoil_serve(struct turmoil *turmoil, uint64_t ns, bool restart)
{
	const uint64_t until = test_now_ns() + ns;
	struct pinion_event event;

	do {
		keeper_echo_all(&turmoil->keeper);
		while (keeper_poll(&turmoil->keeper, &event))
			if (event.kind == PINION_EVENT_LEFT) {
				keeper_bury(&turmoil->keeper, &event);
				turmoil->left++;
			}
		turmoil_reap(turmoil, restart);
	} while (test_now_ns() < until);
}

/* Now and then one more segment, now and then one less. The first one stays. */
static void turmoil_change(struct turmoil *turmoil)
{
	const struct pinion_segment_config one = segment_of(256, BUFFER);
	struct pinion_pool *pool = turmoil->keeper.pool;
	uint32_t slot = 1 + test_below(&turmoil->random, pinion_pool_slots(pool) - 1);
	int err;

	if (test_below(&turmoil->random, 2)) {
		err = pinion_pool_grow(pool, &one, &slot);
		assert_true(err == 0 || err == -ENOSPC);
		turmoil->came += !err;
		return;
	}
	assert_int_equal(pinion_cache_flush(turmoil->keeper.cache), 0);
	err = pinion_pool_retire(pool, slot);
	assert_true(err == 0 || err == -EBUSY || err == -EINVAL);
	turmoil->went += !err;
}

static bool anyone_left(const struct turmoil *turmoil)
{
	for (int i = 0; i < KEEPER_MEMBERS; i++)
		if (turmoil->keeper.channel[i] != NULL)
			return true;
	for (int i = 0; i < MEMBERS; i++)
		if (turmoil->pid[i] > 0)
			return true;
	/* One killed between HELLO and CONFIRM never joined: its slot goes a moment later. */
	for (uint32_t i = 1; i < KEEPER_MEMBERS; i++)
		if (turmoil->keeper.pool->members[i].state != MEMBER_FREE)
			return true;
	return false;
}

static void turmoil_end(struct turmoil *turmoil)
{
	const uint64_t until = test_now_ns() + UINT64_C(10000000000);

	for (int i = 0; i < MEMBERS; i++)
		if (turmoil->pid[i] > 0)
			kill(turmoil->pid[i], SIGKILL);
	while (anyone_left(turmoil) && test_now_ns() < until)
		turmoil_serve(turmoil, 1000000, false);
	assert_false(anyone_left(turmoil));
	assert_int_equal(turmoil->wrong, 0);
	assert_int_equal(pinion_cache_flush(turmoil->keeper.cache), 0);
	for (uint32_t slot = 1; slot < pinion_pool_slots(turmoil->keeper.pool); slot++) {
		const int err = pinion_pool_retire(turmoil->keeper.pool, slot);

		assert_true(err == 0 || err == -EINVAL);
	}
	print_message("# %d segments came, %d went, %d members left\n", turmoil->came,
		      turmoil->went, turmoil->left);
	assert_int_equal(pool_total(turmoil->keeper.pool), 256);
}

static void turmoil_run(struct turmoil *turmoil, bool killing, uint64_t ns)
{
	const struct pinion_rendezvous_config any = {.slots = 64, .mode = 0666};
	struct pinion_pool_config config = pool_config(256, BUFFER);
	const uint64_t until = test_now_ns() + ns;

	config.nr_members = KEEPER_MEMBERS;
	config.nr_caches = 16;
	config.max_segments = 5;
	config.magazine_size = 16;
	turmoil->random = test_seed();
	keeper_open_with(&turmoil->keeper, &config, &any);
	for (int i = 0; i < MEMBERS; i++)
		turmoil_start(turmoil, i);
	while (test_now_ns() < until) {
		const int victim = (int)test_below(&turmoil->random, 4 * MEMBERS);

		turmoil_serve(turmoil, test_below(&turmoil->random, 2000000), true);
		turmoil_change(turmoil);
		if (killing && victim < MEMBERS && turmoil->pid[victim] > 0)
			kill(turmoil->pid[victim], SIGKILL);
	}
	turmoil_end(turmoil);
	assert_true(turmoil->came > 0 && turmoil->went > 0);
	keeper_close_whole(&turmoil->keeper);
}

static void segments_come_and_go_under_members_at_work(void **state)
{
	static struct turmoil turmoil;

	(void)state;
	turmoil_run(&turmoil, false, UINT64_C(4000000000));
}

static void segments_come_and_go_while_members_are_killed(void **state)
{
	static struct turmoil turmoil;

	(void)state;
	turmoil_run(&turmoil, true, UINT64_C(6000000000));
	assert_true(turmoil.left > MEMBERS);
}

/* It reads nothing for as long as it is stopped; the keeper cannot be held up by that. */
static int sleep_and_work(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	if (pinion_session_open(path, &session))
		return 1;
	raise(SIGSTOP);
	for (int i = 0; i < 41; i++) {
		const struct pinion_desc desc = next_of(session);

		*(char *)pinion_buffer_addr(pinion_session_pool(session), desc.buffer) = 1;
		if (pinion_channel_send(pinion_session_channel(session), &desc, 1) != 1)
			return 2;
	}
	return pinion_session_close(session);
}

static void a_stopped_member_does_not_hold_up_the_keeper_and_catches_up(void **state)
{
	struct pinion_event event;
	struct pinion_desc last;
	struct keeper keeper;
	uint64_t took;
	int status;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, sleep_and_work, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	keeper.channel[event.member] = NULL; /* answers are for this test */
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	took = test_now_ns();
	for (uint32_t i = 1; i <= 40; i++) {
		struct pinion_cache *cache;
		struct pinion_desc desc = {.tag = i};

		/* Of growing size, so that one of the newest segment comes out first. */
		assert_int_equal(grow(keeper.pool, 1, (size_t)4096 << (i % 8)), i);
		cache = cache_make(keeper.pool, (size_t)4096 << (i % 8));
		take(cache, &desc.buffer, 1);
		assert_int_equal(pinion_channel_send(event.channel, &desc, 1), 1);
		assert_int_equal(pinion_cache_close(cache), 0);
	}
	took = test_now_ns() - took;
	assert_in_range(took, 0, UINT64_C(20000000000));
	kill(pid, SIGCONT);
	for (int i = 0; i < 40; i++) {
		struct pinion_desc desc;

		while (pinion_channel_recv(event.channel, &desc, 1) != 1)
			keeper_expect_none(&keeper, 1); /* pays what is owed */
		if (i < 39)
			give(keeper.cache, &desc.buffer, 1);
		else /* once more: not before that may it leave */
			assert_int_equal(pinion_channel_send(event.channel, &desc, 1), 1);
	}
	last = answer_of(event.channel);
	give(keeper.cache, &last.buffer, 1);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_member_meets_the_ids_of_new_segments),
		pool_test(a_member_allocates_from_new_segments_by_itself),
		pool_test(segments_come_and_go_under_members_at_work),
		pool_test(segments_come_and_go_while_members_are_killed),
		pool_test(a_stopped_member_does_not_hold_up_the_keeper_and_catches_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
