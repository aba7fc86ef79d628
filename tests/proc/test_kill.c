/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Members killed at random while they allocate, send, receive and free; the keeper echoes, buries
 * and lets new ones in. PINION_SEED repeats the choices (not the moments), PINION_KILLS sets how
 * many; without it 500, or as many as 5 seconds allow. This is about joining and leaving through
 * the rendezvous; many kills, without it, are the matter of ../soak.
 */

#include "proc_support.h"

#define MEMBERS 4
#define MOST_KILLS 500
#define MOST_NS UINT64_C(5000000000)
#define BATCH 16
#define HELD 100

/* A member's work, until it dies. What it holds and what is out are not kept apart from what the
 * library says: a refusal that must not be is its exit status. */
struct work {
	struct pinion_session *session;
	struct pinion_cache *cache;
	struct pinion_buffer held[HELD];
	uint32_t nr;
	uint64_t random;
};

static void work_alloc(struct work *work)
{
	while (work->nr < HELD && test_below(&work->random, 16))
		if (pinion_buffer_alloc(work->cache, &work->held[work->nr++])) {
			work->nr--;
			return;
		}
}

static void work_free(struct work *work)
{
	while (work->nr && test_below(&work->random, 16))
		if (pinion_buffer_free(work->cache, work->held[--work->nr]))
			_exit(20);
}

static void work_send(struct work *work)
{
	struct pinion_desc desc[BATCH];
	uint32_t nr = 0;
	int sent;

	for (; nr < BATCH && nr < work->nr; nr++) {
		desc[nr].buffer = work->held[work->nr - 1 - nr];
		desc[nr].len = BUFFER;
		desc[nr].tag = pinion_buffer_id(desc[nr].buffer);
		memset(pinion_buffer_addr(pinion_session_pool(work->session), desc[nr].buffer),
		       (int)desc[nr].tag, BUFFER);
	}
	if (!nr)
		return;
	sent = pinion_channel_send(pinion_session_channel(work->session), desc, nr);
	if (sent < 0 && sent != -EAGAIN)
		_exit(21);
	work->nr -= sent > 0 ? (uint32_t)sent : 0;
	/* Sent from the top of the stack: what was not is still below. */
	for (int i = sent; sent > 0 && i < (int)nr; i++)
		work->held[work->nr - 1 - (uint32_t)(i - sent)] = desc[i].buffer;
}

static void work_recv(struct work *work)
{
	struct pinion_channel *channel = pinion_session_channel(work->session);
	struct pinion_desc desc;

	while (work->nr < HELD) {
		const int got = pinion_channel_recv(channel, &desc, 1);
		const unsigned char *bytes;

		if (got == -EAGAIN)
			break;
		if (got != 1)
			_exit(22);
		bytes = pinion_buffer_addr(pinion_session_pool(work->session), desc.buffer);
		/* Nobody else may have had it meanwhile. */
		if (desc.tag != pinion_buffer_id(desc.buffer) ||
		    bytes[0] != (unsigned char)desc.tag ||
		    bytes[BUFFER - 1] != (unsigned char)desc.tag)
			_exit(23);
		work->held[work->nr++] = desc.buffer;
	}
	if (test_below(&work->random, 8) == 0)
		(void)pinion_channel_wait(channel, 100000);
}

static void work_reopen(struct work *work)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	if (work->cache != NULL && pinion_cache_close(work->cache))
		_exit(24);
	if (pinion_cache_open(pinion_session_pool(work->session), &any, &work->cache))
		_exit(25);
}

static int work_until_killed(const char *path, void *arg)
{
	struct work work = {.random = *(const uint64_t *)arg};

	if (pinion_session_open(path, &work.session))
		return 26;
	work_reopen(&work);
	for (;;) {
		work_alloc(&work);
		work_send(&work);
		work_recv(&work);
		work_free(&work);
		if (test_below(&work.random, 50) == 0)
			work_reopen(&work);
		/* Now and then one leaves in good order, so that death is not the only end. */
		if (test_below(&work.random, 20000) == 0) {
			pinion_cache_close(work.cache);
			return pinion_session_close(work.session);
		}
	}
}

struct battle {
	struct keeper keeper;
	pid_t pid[MEMBERS];
	uint64_t seed[MEMBERS], random;
	int kills, killed, left, wrong;
};

static void battle_start(struct battle *battle, int i)
{
	battle->seed[i] = test_random(&battle->random) | 1;
	battle->pid[i] = member_start(&battle->keeper, work_until_killed, &battle->seed[i]);
}

/* Collects who ended; one that ended by a status of its own found something wrong. */
static void battle_reap(struct battle *battle, bool restart)
{
	for (int i = 0; i < MEMBERS; i++) {
		int status;

		if (battle->pid[i] <= 0 || waitpid(battle->pid[i], &status, WNOHANG) == 0)
			continue;
		if (WIFEXITED(status) && WEXITSTATUS(status)) {
			print_message("# a member ended with %d\n", WEXITSTATUS(status));
			battle->wrong++;
		}
		battle->pid[i] = 0;
		if (restart)
			battle_start(battle, i);
	}
}

static void battle_event(struct battle *battle, const struct pinion_event *event)
{
	if (event->kind != PINION_EVENT_LEFT)
		return;
	keeper_bury(&battle->keeper, event);
	battle->left++;
	battle->killed += event->killed;
}

/* Echoes and buries for so long. */
static void battle_serve(struct battle *battle, uint64_t ns, bool restart)
{
	const uint64_t until = test_now_ns() + ns;
	struct pinion_event event;

	do {
		keeper_echo_all(&battle->keeper);
		while (keeper_poll(&battle->keeper, &event))
			battle_event(battle, &event);
		battle_reap(battle, restart);
	} while (test_now_ns() < until);
}

static void battle_kill(struct battle *battle, int i)
{
	if (battle->pid[i] <= 0)
		return;
	kill(battle->pid[i], SIGKILL);
	battle->kills++;
}

static bool anyone_left(const struct battle *battle)
{
	for (int i = 0; i < MEMBERS; i++)
		if (battle->pid[i] > 0)
			return true;
	for (int i = 0; i < KEEPER_MEMBERS; i++)
		if (battle->keeper.channel[i] != NULL)
			return true;
	/* One killed between HELLO and CONFIRM never joined: its slot goes a moment later. */
	for (uint32_t i = 1; i < KEEPER_MEMBERS; i++)
		if (battle->keeper.pool->members[i].state != MEMBER_FREE)
			return true;
	return false;
}

/* Everybody dies at once, is buried, and the pool must be as new. */
static void battle_rest(struct battle *battle)
{
	const uint64_t until = test_now_ns() + UINT64_C(10000000000);

	for (int i = 0; i < MEMBERS; i++)
		battle_kill(battle, i);
	while (anyone_left(battle) && test_now_ns() < until)
		battle_serve(battle, 1000000, false);
	assert_false(anyone_left(battle));
	assert_pool_whole(battle->keeper.pool);
}

static int most_kills(void)
{
	const char *given = getenv("PINION_KILLS");

	return given != NULL ? atoi(given) : MOST_KILLS;
}

static void members_killed_anywhere_lose_nothing(void **state)
{
	const uint64_t until = test_now_ns() + MOST_NS;
	const bool bounded = getenv("PINION_KILLS") == NULL;
	static struct battle battle;
	const int most = most_kills();

	(void)state;
	battle.random = test_seed();
	keeper_open(&battle.keeper);
	while (battle.kills < most && (!bounded || test_now_ns() < until)) {
		for (int i = 0; i < MEMBERS; i++)
			battle_start(&battle, i);
		for (int i = 0; i < 50; i++) {
			/* Also right at the start, while they join. */
			battle_serve(&battle, test_below(&battle.random, 8000000), true);
			battle_kill(&battle, (int)test_below(&battle.random, MEMBERS));
		}
		battle_rest(&battle);
		assert_int_equal(battle.wrong, 0);
	}
	print_message("# %d kills, %d after joining, %d left in all, %ju descriptors echoed\n",
		      battle.kills, battle.killed, battle.left, (uintmax_t)battle.keeper.echoed);
	assert_true(battle.killed > 0);
	keeper_close_whole(&battle.keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(members_killed_anywhere_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
