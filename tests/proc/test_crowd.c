/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fan-in over processes: 64 producers that come to rest and go on, some of them killed, one of
 * them clearing everybody's bits; and a thousand, of which one floods. Order is kept on each lane,
 * and nothing is lost but what the dead had not sent.
 */

#include <pinion/fanin.h>
#include <sys/prctl.h>

#include "pool_support.h"
#include "ready.h"

#define PRODUCERS 64u
#define THOUSAND 1000u
#define MESSAGES 300u
#define SLOTS 16u
#define SECOND_NS UINT64_C(1000000000)

struct producer {
	pid_t pid;
	uint32_t member, lane;
	int there, back; /* its rings */
	bool floods;     /* it never rests */
	struct pinion_channel *channel;
	uint32_t came; /* messages */
	bool gone;     /* -EPIPE came */
};

struct keeper {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_fanin *fanin;
	uint32_t nr;
	int gate[2]; /* a pipe: producers begin when nobody can write to it any more; or -1, -1 */
	struct producer producer[THOUSAND];
};

/* Buffers for two magazines of each, and for what is under way. */
static void keeper_make(struct keeper *keeper, uint32_t nr, uint32_t magazine_size)
{
	const uint32_t buffers = nr * 2 * magazine_size + 2048;
	struct pinion_pool_config config = pool_config(buffers, BUFFER);

	memset(keeper, 0, sizeof(*keeper));
	keeper->nr = nr;
	keeper->gate[0] = keeper->gate[1] = -1;
	config.nr_members = nr + 2;
	config.nr_caches = nr + 2;
	config.magazine_size = magazine_size;
	keeper->pool = pool_make_from(&config);
	keeper->cache = cache_make(keeper->pool, BUFFER);
	assert_int_equal(pinion_fanin_create(&keeper->fanin), 0);
}

/* In the child. Waits for room by looking again: a receiver gives it, sooner or later. */
static int send_numbers(struct pinion_pool *pool, struct pinion_channel *channel, uint32_t nr,
			bool rests)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	uint64_t random = (uint64_t)getpid() | 1;
	struct pinion_cache *cache;

	if (pinion_cache_open(pool, &any, &cache))
		return 10;
	for (uint32_t i = 0; i < nr;) {
		struct pinion_desc desc = {.len = 8, .tag = i};
		const struct timespec rest = {0, test_below(&random, 300000)};
		int sent;

		if (pinion_buffer_alloc(cache, &desc.buffer))
			return 11;
		memcpy(pinion_buffer_addr(pool, desc.buffer), &desc.tag, sizeof(desc.tag));
		while ((sent = pinion_channel_send(channel, &desc, 1)) == -EAGAIN)
			sched_yield();
		if (sent != 1)
			return 12;
		i++;
		if (rests && test_below(&random, 8) == 0)
			nanosleep(&rest, NULL);
	}
	return pinion_cache_close(cache) ? 13 : 0;
}

static void wait_at_the_gate(const int gate[2])
{
	char byte;

	if (gate[0] < 0)
		return;
	close(gate[1]);
	(void)!read(gate[0], &byte, 1);
}

static int produce(struct keeper *keeper, const struct producer *self, uint32_t nr)
{
	struct pinion_channel *channel;
	int status;

	if (pinion_pool_become(keeper->pool, self->member))
		return 1;
	if (pinion_channel_open(keeper->pool, self->there, self->back, 0, &channel))
		return 2;
	if (pinion_channel_join(channel, pinion_fanin_fd(keeper->fanin), self->lane))
		return 3;
	wait_at_the_gate(keeper->gate);
	status = send_numbers(keeper->pool, channel, nr, !self->floods);
	return pinion_channel_close(channel) ? 4 : status;
}

/* Not a producer as the others are: it has the file alone, and wipes it until it is killed. */
static pid_t start_liar(const struct keeper *keeper)
{
	const pid_t pid = fork();
	struct ready_shared *ready;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ready_map(pinion_fanin_fd(keeper->fanin), &ready))
		_exit(1);
	for (;; sched_yield()) {
		atomic_store(&ready->summary, 0);
		for (uint32_t i = 0; i < READY_WORDS; i++)
			atomic_store(&ready->word[i], 0);
		atomic_store(&ready->bell.state, BELL_QUIET);
	}
}

static void start(struct keeper *keeper, uint32_t number, uint32_t nr)
{
	struct producer *self = &keeper->producer[number];

	assert_int_equal(pinion_pool_admit(keeper->pool, 0, &self->member), 0);
	assert_int_equal(pinion_ring_create(SLOTS, &self->there), 0);
	assert_int_equal(pinion_ring_create(SLOTS, &self->back), 0);
	assert_int_equal(pinion_channel_open(keeper->pool, self->back, self->there, self->member,
					     &self->channel),
			 0);
	assert_int_equal(pinion_fanin_add(keeper->fanin, self->channel, 1, &self->lane), 0);
	fflush(NULL);
	self->pid = fork();
	assert_true(self->pid >= 0);
	if (self->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(produce(keeper, self, nr));
	}
	close(self->there);
	close(self->back);
}

static struct producer *producer_of(struct keeper *keeper, const struct pinion_channel *channel)
{
	for (uint32_t i = 0; i < keeper->nr; i++)
		if (keeper->producer[i].channel == channel)
			return &keeper->producer[i];
	fail();
	return NULL;
}

/* What came is the next of its producer, and says so in the buffer. */
static void take_in(struct keeper *keeper, struct producer *from, const struct pinion_desc *desc)
{
	uint32_t written;

	memcpy(&written, pinion_buffer_addr(keeper->pool, desc->buffer), sizeof(written));
	assert_int_equal(desc->tag, from->came);
	assert_int_equal(written, from->came);
	from->came++;
	give(keeper->cache, &desc->buffer, 1);
}

/* One call. 1: something came, or a producer is gone. */
static int serve(struct keeper *keeper)
{
	struct pinion_channel *channel = NULL;
	struct pinion_desc desc[8];
	const int got = pinion_fanin_recv(keeper->fanin, &channel, desc, 8);
	struct producer *from;

	if (got == -EAGAIN)
		return 0;
	from = producer_of(keeper, channel);
	if (got == -EPIPE)
		from->gone = true;
	else
		assert_in_range(got, 1, 8);
	for (int i = 0; i < got; i++)
		take_in(keeper, from, &desc[i]);
	return 1;
}

static uint32_t here(const struct keeper *keeper)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < keeper->nr; i++)
		nr += !keeper->producer[i].gone;
	return nr;
}

static void serve_until_left(struct keeper *keeper, uint32_t left)
{
	const uint64_t until = test_now_ns() + 240 * SECOND_NS; /* seconds, on an idle machine */

	while (here(keeper) > left) {
		assert_true(test_now_ns() < until);
		if (!serve(keeper))
			(void)pinion_fanin_wait(keeper->fanin, SECOND_NS / 10);
	}
}

/* What the dead had not taken or held comes back. */
static void keeper_unmake(struct keeper *keeper)
{
	for (uint32_t i = 0; i < keeper->nr; i++) {
		assert_int_equal(pinion_channel_close(keeper->producer[i].channel), 0);
		assert_int_equal(
			pinion_pool_release(keeper->pool, keeper->producer[i].member, NULL), 0);
	}
	assert_pool_whole(keeper->pool);
	assert_int_equal(pinion_fanin_destroy(keeper->fanin), 0);
	assert_int_equal(pinion_cache_close(keeper->cache), 0);
	assert_int_equal(pinion_pool_destroy(keeper->pool), 0);
}

static void every_message_of_64_processes_comes_in_order(void **state)
{
	struct keeper keeper;

	(void)state;
	keeper_make(&keeper, PRODUCERS, 16);
	for (uint32_t i = 0; i < PRODUCERS; i++)
		start(&keeper, i, MESSAGES);
	serve_until_left(&keeper, 0);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		assert_int_equal(support_end(keeper.producer[i].pid), 0);
		assert_int_equal(keeper.producer[i].came, MESSAGES);
	}
	keeper_unmake(&keeper);
}

static void a_process_that_clears_all_bits_starves_nobody(void **state)
{
	struct keeper keeper;
	pid_t liar;

	(void)state;
	keeper_make(&keeper, PRODUCERS, 16);
	liar = start_liar(&keeper);
	for (uint32_t i = 0; i < PRODUCERS; i++)
		start(&keeper, i, MESSAGES / 10);
	serve_until_left(&keeper, 0);
	assert_int_equal(kill(liar, SIGKILL), 0);
	assert_int_equal(support_end(liar), 128 + SIGKILL);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		assert_int_equal(support_end(keeper.producer[i].pid), 0);
		assert_int_equal(keeper.producer[i].came, MESSAGES / 10);
	}
	keeper_unmake(&keeper);
}

/* Every second one, wherever it is, once it has sent something. */
static void kill_half(struct keeper *keeper)
{
	for (uint32_t i = 0; i < PRODUCERS; i += 2) {
		struct producer *victim = &keeper->producer[i];

		while (victim->came < 1 + i)
			if (!serve(keeper))
				(void)pinion_fanin_wait(keeper->fanin, SECOND_NS / 100);
		assert_int_equal(kill(victim->pid, SIGKILL), 0);
		assert_int_equal(support_end(victim->pid), 128 + SIGKILL);
		pinion_channel_sever(victim->channel);
	}
}

static void of_the_killed_what_was_sent_comes_and_then_epipe(void **state)
{
	struct keeper keeper;

	(void)state;
	keeper_make(&keeper, PRODUCERS, 16);
	/* Those that are killed would send for ever. */
	for (uint32_t i = 0; i < PRODUCERS; i++)
		start(&keeper, i, i % 2 ? MESSAGES : UINT32_MAX);
	kill_half(&keeper);
	serve_until_left(&keeper, 0);
	for (uint32_t i = 1; i < PRODUCERS; i += 2) {
		assert_int_equal(support_end(keeper.producer[i].pid), 0);
		assert_int_equal(keeper.producer[i].came, MESSAGES);
	}
	keeper_unmake(&keeper);
}

/*
 * All are there before any begins. The first sends without end, and is still at it when the last of
 * the others is gone: then it is killed. What those sent has come meanwhile.
 */
#define FEW 8u

static void a_thousand_processes_come_through_beside_one_that_floods(void **state)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	struct producer *flooder = &keeper->producer[0];
	uint32_t flood;

	(void)state;
	assert_non_null(keeper);
	keeper_make(keeper, THOUSAND, PINION_MAGAZINE_MIN);
	assert_int_equal(pipe(keeper->gate), 0);
	flooder->floods = true;
	for (uint32_t i = 0; i < THOUSAND; i++)
		start(keeper, i, i ? FEW : UINT32_MAX);
	close(keeper->gate[1]);
	serve_until_left(keeper, 1);
	assert_false(flooder->gone);
	flood = flooder->came;
	while (flooder->came == flood)
		(void)serve(keeper);
	assert_int_equal(kill(flooder->pid, SIGKILL), 0);
	assert_int_equal(support_end(flooder->pid), 128 + SIGKILL);
	pinion_channel_sever(flooder->channel);
	serve_until_left(keeper, 0);
	for (uint32_t i = 1; i < THOUSAND; i++) {
		assert_int_equal(support_end(keeper->producer[i].pid), 0);
		assert_int_equal(keeper->producer[i].came, FEW);
	}
	print_message("# %u messages of the flooder, %u of others\n", flooder->came,
		      (THOUSAND - 1) * FEW);
	close(keeper->gate[0]);
	keeper_unmake(keeper);
	free(keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(every_message_of_64_processes_comes_in_order),
		pool_test(a_process_that_clears_all_bits_starves_nobody),
		pool_test(of_the_killed_what_was_sent_comes_and_then_epipe),
		pool_test(a_thousand_processes_come_through_beside_one_that_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
