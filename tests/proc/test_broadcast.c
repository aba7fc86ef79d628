/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A broadcast whose consumers and producers are killed at random, each a process and a member of
 * its own. Every reader looks at what it was lent when it receives it and again before it returns
 * it, and whoever gets a buffer writes all over it: one that comes back too early is seen.
 *
 * An era is the life of one producer with its ring. Seats are made beforehand, since a child
 * inherits files and is told numbers on a board. PINION_SEED repeats the choices (not the moments),
 * PINION_KILLS sets how many; without it 2500, or as many as 30 seconds allow.
 */

#include <sys/mman.h>
#include <sys/prctl.h>

#include "broadcast_support.h"
#include "pool_support.h"

#define CONSUMERS 3
#define SEATS 32
#define SLOTS 16
#define BATCH 6
#define MOST_KILLS 2500
#define MOST_NS UINT64_C(30000000000)
#define NR_BUFFERS 256

/* Shared by all, from before the first fork on. By seat: what the keeper says, and the answer. */
struct board {
	_Atomic bool wanted[SEATS], dead[SEATS]; /* keeper */
	_Atomic bool admitted[SEATS];            /* producer */
	_Atomic uint64_t collected, returned;
};

struct child {
	pid_t pid; /* 0: none */
	uint32_t member;
	uint32_t seat;
};

struct battle {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct board *board;
	uint64_t random;
	int ring, seat[SEATS];
	uint32_t next_seat;
	struct child producer, consumer[CONSUMERS];
	int kills, eras, orderly;
	uint32_t transit; /* buffers that a dead producer had lent to the living */
};

/* --- what lies in a buffer */

static void write_on(const struct pinion_pool *pool, struct pinion_buffer buffer, uint32_t tag)
{
	uint32_t *words = pinion_buffer_addr(pool, buffer);

	for (size_t i = 0; i < BUFFER / 4; i++)
		words[i] = tag + (uint32_t)i;
}

static bool is_intact(const struct pinion_pool *pool, const struct pinion_desc *desc)
{
	const volatile uint32_t *words = pinion_buffer_addr(pool, desc->buffer);

	for (size_t i = 0; i < BUFFER / 4; i++)
		if (words[i] != desc->tag + i)
			return false;
	return true;
}

/* --- a consumer's process; each refusal that must not be is an exit status */

struct reader {
	struct battle *battle;
	struct pinion_seat *seat;
	uint64_t random;
	struct pinion_desc kept[SLOTS];
	uint32_t nr;
};

static void reader_return(struct reader *reader, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		if (!is_intact(reader->battle->pool, &reader->kept[i]))
			_exit(30);
	if (pinion_broadcast_return(reader->seat, nr))
		_exit(31);
	reader->nr -= nr;
	memmove(reader->kept, reader->kept + nr, reader->nr * sizeof(reader->kept[0]));
	atomic_fetch_add(&reader->battle->board->returned, nr);
}

/* False: nothing will come any more. */
static bool reader_recv(struct reader *reader)
{
	uint32_t room = SLOTS - reader->nr, nr = 1 + test_below(&reader->random, BATCH);
	struct pinion_desc *desc = &reader->kept[reader->nr];
	int got;

	if (!room)
		return true;
	got = pinion_broadcast_recv(reader->seat, desc, nr < room ? nr : room);
	for (int i = 0; i < got; i++)
		if (!is_intact(reader->battle->pool, &desc[i]))
			_exit(32);
	if (got > 0)
		reader->nr += (uint32_t)got;
	else if (got == -EAGAIN)
		(void)pinion_broadcast_wait(reader->seat, 200000);
	else if (got != -EPIPE)
		_exit(33);
	return got != -EPIPE;
}

static int join(struct reader *reader, const struct child *self)
{
	struct battle *battle = reader->battle;
	int err;

	do {
		usleep(20);
		err = pinion_broadcast_join(battle->pool, battle->ring, battle->seat[self->seat],
					    battle->producer.member, &reader->seat);
	} while (err == -EAGAIN);
	return err;
}

static int consume(struct battle *battle, const struct child *self, uint64_t random)
{
	struct reader reader = {.battle = battle, .random = random};

	if (pinion_pool_become(battle->pool, self->member) || join(&reader, self))
		return 34;
	while (reader_recv(&reader)) {
		if (test_below(&reader.random, 4) == 0)
			reader_return(&reader, test_below(&reader.random, reader.nr + 1));
		if (test_below(&reader.random, 64) == 0)
			usleep(test_below(&reader.random, 300));
		/* Now and then one leaves by itself, with what it has. */
		if (test_below(&reader.random, 3000) == 0)
			break;
	}
	if (test_below(&reader.random, 2))
		reader_return(&reader, reader.nr);
	for (uint32_t i = 0; i < reader.nr; i++)
		if (!is_intact(battle->pool, &reader.kept[i]))
			return 35;
	return pinion_broadcast_leave(reader.seat);
}

/* --- the producer's process */

struct writer {
	struct battle *battle;
	struct pinion_cache *cache;
	struct pinion_broadcast *broadcast;
	uint32_t number[SEATS];
	bool severed[SEATS];
	uint64_t random;
	uint32_t tag;
};

static void writer_admit(struct writer *writer)
{
	struct board *board = writer->battle->board;

	for (uint32_t i = 0; i < SEATS; i++) {
		if (!atomic_load(&board->wanted[i]) || board->admitted[i])
			continue;
		if (pinion_broadcast_admit(writer->broadcast, writer->battle->seat[i],
					   &writer->number[i]))
			_exit(40);
		atomic_store(&board->admitted[i], true);
	}
}

static void writer_sever(struct writer *writer)
{
	struct board *board = writer->battle->board;

	for (uint32_t i = 0; i < SEATS; i++) {
		if (!atomic_load(&board->dead[i]) || !board->admitted[i] || writer->severed[i])
			continue;
		if (pinion_broadcast_sever(writer->broadcast, writer->number[i]))
			_exit(41);
		writer->severed[i] = true;
	}
}

static void writer_send(struct writer *writer)
{
	const uint32_t most = 1 + test_below(&writer->random, BATCH);
	struct pinion_desc desc[BATCH];
	uint32_t nr = 0;
	int sent;

	for (; nr < most; nr++) {
		if (pinion_buffer_alloc(writer->cache, &desc[nr].buffer))
			break;
		desc[nr].len = BUFFER;
		desc[nr].tag = writer->tag += BUFFER;
		write_on(writer->battle->pool, desc[nr].buffer, desc[nr].tag);
	}
	if (!nr)
		return;
	sent = pinion_broadcast_send(writer->broadcast, desc, nr);
	if (sent < 0 && sent != -EAGAIN)
		_exit(42);
	for (uint32_t i = sent > 0 ? (uint32_t)sent : 0; i < nr; i++)
		if (pinion_buffer_free(writer->cache, desc[i].buffer))
			_exit(43);
}

/* Whoever still reads sees it. What collect said. */
static int writer_collect(struct writer *writer)
{
	struct pinion_buffer buffer[SLOTS];
	const int got = pinion_broadcast_collect(writer->broadcast, buffer, SLOTS);

	for (int i = 0; i < got; i++) {
		write_on(writer->battle->pool, buffer[i], 0xdead0000);
		if (pinion_buffer_free(writer->cache, buffer[i]))
			_exit(44);
	}
	if (got > 0)
		atomic_fetch_add(&writer->battle->board->collected, (uint64_t)got);
	return got;
}

static int produce(struct battle *battle, const struct child *self, uint64_t random)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct writer writer = {.battle = battle, .random = random};

	if (pinion_pool_become(battle->pool, self->member) ||
	    pinion_cache_open(battle->pool, &any, &writer.cache) ||
	    pinion_broadcast_open(battle->pool, battle->ring, &writer.broadcast))
		return 45;
	while (test_below(&writer.random, 100000)) {
		writer_admit(&writer);
		writer_sever(&writer);
		writer_send(&writer);
		(void)writer_collect(&writer);
		if (test_below(&writer.random, 16) == 0)
			usleep(test_below(&writer.random, 200));
	}
	/* In good order: what is out comes back, from the dead by what the keeper says. */
	pinion_broadcast_end(writer.broadcast);
	while (writer_collect(&writer) != 0) {
		writer_sever(&writer);
		usleep(20);
	}
	return pinion_broadcast_close(writer.broadcast) || pinion_cache_close(writer.cache);
}

/* --- the keeper, and the hand that kills */

static void child_start(struct battle *battle, struct child *child,
			int (*life)(struct battle *, const struct child *, uint64_t))
{
	const uint64_t random = test_random(&battle->random) | 1;

	assert_int_equal(pinion_pool_admit(battle->pool, 0, &child->member), 0);
	fflush(NULL);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid == 0) {
		/* A test that fails must leave nobody behind who waits. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(life(battle, child, random));
	}
}

static void consumer_start(struct battle *battle, struct child *child)
{
	if (battle->next_seat == SEATS)
		return;
	child->seat = battle->next_seat++;
	atomic_store(&battle->board->wanted[child->seat], true);
	child_start(battle, child, consume);
}

/* Has it ended? Its number is given back then. It ended well, or was killed. */
static bool child_reap(struct child *child, bool wait)
{
	int status = 0;

	if (!child->pid || waitpid(child->pid, &status, wait ? 0 : WNOHANG) != child->pid)
		return false;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		print_message("# a process ended with %d\n", WEXITSTATUS(status));
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : !WEXITSTATUS(status));
	child->pid = 0;
	return true;
}

static void consumer_bury(struct battle *battle, const struct child *child)
{
	atomic_store(&battle->board->dead[child->seat], true);
	assert_int_equal(pinion_pool_release(battle->pool, child->member, NULL), 0);
}

static void child_kill(struct battle *battle, struct child *child)
{
	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	battle->kills++;
}

/* Those who ended, by a signal or by themselves, are buried. */
static bool consumers_reap(struct battle *battle)
{
	bool living = false;

	for (int i = 0; i < CONSUMERS; i++) {
		struct child *child = &battle->consumer[i];

		if (child_reap(child, false))
			consumer_bury(battle, child);
		living |= child->pid != 0;
	}
	return living;
}

static void era_begin(struct battle *battle)
{
	battle->ring = broadcast_file(SLOTS);
	for (int i = 0; i < SEATS; i++) {
		assert_int_equal(pinion_broadcast_create_seat(&battle->seat[i]), 0);
		battle->board->wanted[i] = battle->board->dead[i] = false;
		battle->board->admitted[i] = false;
	}
	battle->next_seat = 0;
	child_start(battle, &battle->producer, produce);
	for (int i = 0; i < CONSUMERS; i++)
		consumer_start(battle, &battle->consumer[i]);
	battle->eras++;
}

/* Takes all that is free, and writes on it: nothing of that may be read by anyone. */
static void use_what_is_free(struct battle *battle)
{
	static struct pinion_buffer buffer[NR_BUFFERS];
	const uint32_t nr = take_all(battle->cache, buffer, NR_BUFFERS);

	for (uint32_t i = 0; i < nr; i++)
		write_on(battle->pool, buffer[i], 0xf4ee0000);
	give(battle->cache, buffer, nr);
	assert_int_equal(pinion_cache_flush(battle->cache), 0);
}

/* Has this consumer anything more of the dead producer's? */
static uint32_t lent(struct battle *battle, const struct child *child,
		     struct pinion_buffer buffer[SLOTS])
{
	int nr;

	if (!child->pid)
		return 0;
	nr = pinion_broadcast_lent(battle->ring, battle->seat[child->seat], buffer, SLOTS);
	assert_in_range(nr, 0, SLOTS);
	return (uint32_t)nr;
}

static bool anything_lent(struct battle *battle)
{
	struct pinion_buffer buffer[SLOTS];
	uint32_t nr = 0;

	for (int i = 0; i < CONSUMERS; i++)
		nr += lent(battle, &battle->consumer[i], buffer);
	return nr != 0;
}

/* As the header says. Consumers may be killed at any point of it. */
static void producer_bury(struct battle *battle, bool orderly)
{
	const uint64_t until = test_now_ns() + UINT64_C(10000000000);
	struct pinion_buffer transit[CONSUMERS * SLOTS];
	struct pinion_recovery report;
	uint32_t nr = 0;

	for (int i = 0; i < CONSUMERS; i++)
		nr += lent(battle, &battle->consumer[i], transit + nr);
	assert_true(!orderly || nr == 0);
	assert_int_equal(
		pinion_pool_recover(battle->pool, battle->producer.member, transit, nr, &report),
		0);
	battle->transit += report.transit;
	use_what_is_free(battle);
	/* One that was never admitted waits for a producer that will not come. */
	for (int i = 0; i < CONSUMERS; i++) {
		struct child *child = &battle->consumer[i];

		if (child->pid && !battle->board->admitted[child->seat])
			child_kill(battle, child);
		if (child->pid)
			assert_int_equal(pinion_broadcast_orphan(battle->seat[child->seat]), 0);
	}
	if (test_below(&battle->random, 2))
		child_kill(battle, &battle->consumer[test_below(&battle->random, CONSUMERS)]);
	while (anything_lent(battle)) {
		(void)consumers_reap(battle);
		assert_true(test_now_ns() < until);
		usleep(50);
	}
	assert_int_equal(pinion_pool_release(battle->pool, battle->producer.member, &report), 0);
	use_what_is_free(battle);
}

static void era_end(struct battle *battle)
{
	const uint64_t until = test_now_ns() + UINT64_C(10000000000);

	while (consumers_reap(battle)) {
		assert_true(test_now_ns() < until);
		usleep(50);
	}
	assert_pool_whole(battle->pool);
	for (int i = 0; i < SEATS; i++)
		close(battle->seat[i]);
	close(battle->ring);
}

/* Kills, and lets others come, until it is the producer who dies or ends. */
static void era(struct battle *battle)
{
	bool orderly = true;

	era_begin(battle);
	while (!child_reap(&battle->producer, false)) {
		/* Also right at the start, while they join. */
		usleep(test_below(&battle->random, 3000));
		(void)consumers_reap(battle);
		for (int i = 0; i < CONSUMERS; i++)
			if (!battle->consumer[i].pid)
				consumer_start(battle, &battle->consumer[i]);
		child_kill(battle, &battle->consumer[test_below(&battle->random, CONSUMERS)]);
		if (battle->next_seat == SEATS || test_below(&battle->random, 8) == 0) {
			child_kill(battle, &battle->producer);
			(void)child_reap(&battle->producer, true);
			orderly = false;
			break;
		}
	}
	battle->orderly += orderly;
	producer_bury(battle, orderly);
	era_end(battle);
}

static int most_kills(void)
{
	const char *given = getenv("PINION_KILLS");

	return given != NULL ? atoi(given) : MOST_KILLS;
}

static void battle_open(struct battle *battle)
{
	struct pinion_pool_config config = pool_config(NR_BUFFERS, BUFFER);

	*battle = (struct battle){.random = test_seed()};
	config.magazine_size = 8;
	battle->pool = pool_make_from(&config);
	battle->cache = cache_make(battle->pool, BUFFER);
	battle->board = mmap(NULL, sizeof(*battle->board), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(battle->board, MAP_FAILED);
}

static void producers_and_consumers_killed_anywhere_lose_nothing(void **state)
{
	const uint64_t until = test_now_ns() + MOST_NS;
	const bool bounded = getenv("PINION_KILLS") == NULL;
	static struct battle battle;
	const int most = most_kills();

	(void)state;
	battle_open(&battle);
	while (battle.kills < most && (!bounded || test_now_ns() < until))
		era(&battle);
	print_message("# %d kills in %d eras, %d of which ended in order; %ju collected, %ju "
		      "returned, %u lent by the dead to the living\n",
		      battle.kills, battle.eras, battle.orderly, (uintmax_t)battle.board->collected,
		      (uintmax_t)battle.board->returned, battle.transit);
	assert_true(battle.board->collected > 0 && battle.transit > 0);
	munmap(battle.board, sizeof(*battle.board));
	assert_int_equal(pinion_cache_close(battle.cache), 0);
	assert_pool_whole(battle.pool);
	assert_int_equal(pinion_pool_destroy(battle.pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(producers_and_consumers_killed_anywhere_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
