/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whoever was to answer is killed in the middle of it. What it has answered still comes. Of each
 * request that nobody will answer the context is given back, and of each buffer something is done:
 * those that it had not taken are reclaimed, and those that it held are recovered.
 *
 *     cc abandon.c $(pkg-config --cflags --libs pinion) -o abandon
 *     sudo hugepages reserve 0:2M && ./abandon      or: ./abandon --page-size 4k
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define ASKED 8u
#define ANSWERED 2u
#define KEPT 3u /* taken, and not answered */
#define SECOND_NS UINT64_C(1000000000)

/* What came; waits for it. -EPIPE: the peer is gone, and all that it had sent has come. */
static int next(struct pinion_channel *channel, struct pinion_requester *requester,
		struct pinion_desc *desc, void **context)
{
	int got;

	while ((got = pinion_request_recv(requester, desc, context, 1)) == -EAGAIN)
		must(pinion_channel_wait(channel, 10 * SECOND_NS));
	return got;
}

/* The child, for as long as it lives. */
static void answer_some(struct pinion_channel *channel, int ready)
{
	struct pinion_requester *requester;
	struct pinion_desc desc;
	void *context;

	must(pinion_requester_open(channel, 0, ASKED, &requester));
	for (uint32_t i = 0; i < ANSWERED + KEPT; i++) {
		must(next(channel, requester, &desc, &context));
		if (i < ANSWERED)
			must(pinion_request_answer(requester, &desc, 1));
	}
	if (write(ready, "", 1) != 1)
		err(1, "write");
	for (;;)
		pause();
}

/* Our own record of each request, which the context leads back to. */
struct job {
	uint32_t number;
	int is_done;
};

static void ask_all(struct pinion_requester *requester, struct pinion_cache *cache, struct job *job)
{
	struct pinion_desc desc = {.len = 64};

	for (uint32_t i = 0; i < ASKED; i++) {
		void *context = &job[i];

		job[i] = (struct job){.number = i};
		must(pinion_buffer_alloc(cache, &desc.buffer));
		must(pinion_request_send(requester, &desc, &context, 1));
	}
}

static void kill_and_wait(pid_t pid, int ready)
{
	struct pollfd death = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	char byte;

	if (read(ready, &byte, 1) != 1)
		errx(1, "it ended before it was killed");
	kill(pid, SIGKILL);
	if (death.fd < 0 || poll(&death, 1, 10000) != 1)
		errx(1, "no death was told of");
	close(death.fd);
	wait(NULL);
}

/* Without a session nobody else tells the channel of the death. */
static void finish(struct pinion_channel *channel, struct pinion_requester *requester,
		   struct pinion_cache *cache)
{
	struct pinion_desc desc;
	uint32_t nr = 0;
	void *context;

	pinion_channel_sever(channel);
	while (next(channel, requester, &desc, &context) != -EPIPE) {
		struct job *job = context;

		job->is_done = 1;
		must(pinion_buffer_free(cache, desc.buffer));
	}
	for (; pinion_requester_abandon(requester, cache, &context, 1) > 0; nr++) {
		const struct job *job = context;

		expect(!job->is_done, "nothing that was answered");
		printf("nobody will answer request %u\n", job->number);
	}
	expect(nr == ASKED - ANSWERED, "all the others");
	pinion_requester_close(requester);
}

/* Nothing is in transit: its ring was drained, and nobody else had one of it. So recovery and
 * release are one. */
static void bury(struct pinion_pool *pool, struct pinion_channel *channel, uint32_t member,
		 struct pinion_cache *cache)
{
	int reclaimed = pinion_channel_reclaim(channel, cache);
	struct pinion_recovery report;

	must(reclaimed);
	must(pinion_pool_release(pool, member, &report));
	printf("reclaimed %d buffers, and recovered %u\n", reclaimed, report.returned);
	expect(reclaimed == ASKED - ANSWERED - KEPT && report.returned == KEPT, "all are back");
	pinion_channel_close(channel);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_requester *requester;
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	struct job job[ASKED];
	int there, back, ready[2];
	uint32_t member;
	pid_t pid;

	must(pinion_pool_create(&config, &pool));
	must(pinion_pool_admit(pool, 0, &member));
	must(pinion_ring_create(32, &there));
	must(pinion_ring_create(32, &back));
	if (pipe(ready))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		close(ready[0]);
		must(pinion_pool_become(pool, member));
		must(pinion_channel_open(pool, back, there, 0, &channel));
		answer_some(channel, ready[1]);
	}
	close(ready[1]);
	must(pinion_channel_open(pool, there, back, member, &channel));
	must(pinion_requester_open(channel, ASKED, 0, &requester));
	must(pinion_cache_open(pool, &want, &cache));
	ask_all(requester, cache, job);
	kill_and_wait(pid, ready[0]);
	finish(channel, requester, cache);
	bury(pool, channel, member, cache);
	close(ready[0]);
	close(there);
	close(back);
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
