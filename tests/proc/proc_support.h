/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_PROC_SUPPORT_H
#define PINION_TESTS_PROC_SUPPORT_H

/*
 * A keeper in this process, and members in others.
 *
 *  - keeper_open(), keeper_close(): a pool of 4 KiB pages and a rendezvous in a directory that
 *    any user may look into.
 *  - member_start(f, arg): a child that has only its standard descriptors and runs f(path, arg);
 *    what it returns is its exit status.
 *  - keeper_next(): the next event, within a time limit; meanwhile all who joined are echoed.
 */

#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>

#include <pinion/rendezvous.h>
#include <pinion/session.h>

#include "pool_support.h"

#define KEEPER_MEMBERS 16

struct keeper {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_rendezvous *rendezvous;
	struct pinion_channel *channel[KEEPER_MEMBERS]; /* by member; NULL: not joined */
	uint64_t echoed;
	char dir[SUPPORT_PATH_LEN];
	char path[SUPPORT_PATH_LEN + 16];
};

static inline void keeper_open_with(struct keeper *keeper, const struct pinion_pool_config *config,
				    const struct pinion_rendezvous_config *rendezvous)
{
	memset(keeper, 0, sizeof(*keeper));
	support_dir_create(keeper->dir);
	assert_int_equal(chmod(keeper->dir, 0755), 0);
	snprintf(keeper->path, sizeof(keeper->path), "%s/keeper", keeper->dir);
	keeper->pool = pool_make_from(config);
	keeper->cache = cache_make(keeper->pool, BUFFER);
	assert_int_equal(pinion_rendezvous_open(keeper->pool, keeper->path, rendezvous,
						&keeper->rendezvous),
			 0);
}

static inline void keeper_open(struct keeper *keeper)
{
	const struct pinion_rendezvous_config any = {.slots = 64, .mode = 0666};
	struct pinion_pool_config config = pool_config(1024, BUFFER);

	config.nr_members = KEEPER_MEMBERS;
	config.nr_caches = 32;
	keeper_open_with(keeper, &config, &any);
}

static inline void keeper_close(struct keeper *keeper)
{
	assert_int_equal(pinion_rendezvous_close(keeper->rendezvous), 0);
	assert_int_equal(pinion_cache_close(keeper->cache), 0);
	assert_int_equal(pinion_pool_destroy(keeper->pool), 0);
	support_dir_destroy(keeper->dir);
}

/* ... with every buffer free. */
static inline void keeper_close_whole(struct keeper *keeper)
{
	assert_pool_whole(keeper->pool);
	keeper_close(keeper);
}

typedef int (*member_main)(const char *path, void *arg);

/* Inherited descriptors would keep the keeper's sockets alive: the child keeps 0 to 2 alone. */
static inline pid_t member_start(const struct keeper *keeper, member_main f, void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* A test that fails must leave nobody behind who waits. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, 0);
		support_child_asserts();
		_exit(f(keeper->path, arg));
	}
	return pid;
}

/* Its exit status, or 128 + the signal. */
static inline int member_end(pid_t pid)
{
	return support_end(pid);
}

/* In a child: no privilege at all. */
static inline int become(uid_t user)
{
	return setgroups(0, NULL) || setresgid(user, user, user) ||
	       setresuid(user, user, user) ||
	       prctl(PR_SET_PDEATHSIG, SIGKILL); /* forgotten with the uid */
}

static inline int become_nobody(void)
{
	return become(SUPPORT_NOBODY);
}

/* Whatever came is sent back, or freed when there is no room. What recv said last. */
static inline int keeper_echo(struct keeper *keeper, struct pinion_channel *channel)
{
	struct pinion_desc desc[16];
	int got;

	while ((got = pinion_channel_recv(channel, desc, 16)) > 0) {
		int sent = pinion_channel_send(channel, desc, (uint32_t)got);

		for (int i = sent > 0 ? sent : 0; i < got; i++)
			give(keeper->cache, &desc[i].buffer, 1);
		keeper->echoed += (uint64_t)got;
	}
	return got;
}

static inline void keeper_echo_all(struct keeper *keeper)
{
	for (int i = 0; i < KEEPER_MEMBERS; i++)
		if (keeper->channel[i] != NULL)
			(void)keeper_echo(keeper, keeper->channel[i]);
}

/* One event if there is any now. */
static inline int keeper_poll(struct keeper *keeper, struct pinion_event *event)
{
	const int got = pinion_rendezvous_next(keeper->rendezvous, event);

	assert_in_range(got, 0, 1);
	if (got)
		keeper->channel[event->member] =
			event->kind == PINION_EVENT_JOINED ? event->channel : NULL;
	return got;
}

/* At least: the time may be over before a busy machine let us look a second time. */
#define KEEPER_LOOKS 5

/* The next event; 0 when none came in time. Sleeps in poll, as a real keeper does, though no
 * longer than a millisecond, because the channels are polled too. */
static inline int keeper_next(struct keeper *keeper, struct pinion_event *event, int timeout_ms)
{
	const uint64_t until = test_now_ns() + (uint64_t)timeout_ms * 1000000;
	struct pollfd want = {pinion_rendezvous_fd(keeper->rendezvous), POLLIN, 0};

	for (int looks = 0; looks < KEEPER_LOOKS || test_now_ns() < until; looks++) {
		keeper_echo_all(keeper);
		if (keeper_poll(keeper, event))
			return 1;
		poll(&want, 1, 1);
	}
	return 0;
}

static inline struct pinion_event keeper_expect(struct keeper *keeper, enum pinion_event_kind kind,
						int timeout_ms)
{
	struct pinion_event event = {0};

	assert_int_equal(keeper_next(keeper, &event, timeout_ms), 1);
	assert_int_equal(event.kind, kind);
	return event;
}

/* Nothing happens for so long. */
static inline void keeper_expect_none(struct keeper *keeper, int timeout_ms)
{
	struct pinion_event event;

	assert_int_equal(keeper_next(keeper, &event, timeout_ms), 0);
}

/* The end of a process that wants an answer from the keeper first, sooner or later. */
static inline int keeper_member_end(struct keeper *keeper, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0)
		keeper_expect_none(keeper, 5);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until a process has stopped itself, to say that it has come so far. */
static inline void keeper_await_stop(struct keeper *keeper, pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, WUNTRACED | WNOHANG) == 0)
		keeper_expect_none(keeper, 5);
	assert_true(WIFSTOPPED(status));
}

/* Until this process has no more than so many descriptors: hang-ups are heard a little later. */
static inline void keeper_await_fds(struct keeper *keeper, int fds)
{
	for (int tries = 0; support_fd_count() != fds && tries < 500; tries++)
		keeper_expect_none(keeper, 20);
	assert_int_equal(support_fd_count(), fds);
}

/* Drains, as the header asks, and buries. */
static inline struct pinion_recovery keeper_bury(struct keeper *keeper,
						 const struct pinion_event *left)
{
	struct pinion_recovery report = {0};

	assert_int_equal(left->kind, PINION_EVENT_LEFT);
	assert_int_equal(keeper_echo(keeper, left->channel), -EPIPE);
	assert_int_equal(pinion_rendezvous_bury(keeper->rendezvous, left->member, keeper->cache,
						&report),
			 0);
	assert_int_equal(pinion_pool_held(keeper->pool, left->member), 0);
	return report;
}

#endif
