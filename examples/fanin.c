/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One receiver and several producers, each with a channel of its own: the fan-in says whose turn it
 * is, and costs nothing for those that are idle. First the receiver has nothing else to wait for,
 * then it sleeps in a loop. One of the producers is sent away before it has said all, and nothing
 * is lost by that.
 *
 *     cc fanin.c $(pkg-config --cflags --libs pinion) -o fanin
 *     sudo hugepages reserve 0:2M && ./fanin        or: ./fanin --page-size 4k
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define PRODUCERS 4
#define MESSAGES 1000u
#define ENOUGH 100u /* of the one that is sent away */
#define SECOND_NS UINT64_C(1000000000)

static const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};

/* 0: all was sent, and taken. -EPIPE: the receiver wants no more, or is dead. */
static int send_all(struct pinion_channel *channel, struct pinion_cache *cache)
{
	for (uint32_t i = 0; i < MESSAGES;) {
		struct pinion_desc desc = {.len = 4096, .tag = i};
		int sent;

		if (pinion_buffer_alloc(cache, &desc.buffer)) {
			usleep(100); /* all are under way */
			continue;
		}
		sent = pinion_channel_send(channel, &desc, 1);
		i += sent == 1;
		if (sent != 1)
			must(pinion_buffer_free(cache, desc.buffer));
		if (sent != 1 && sent != -EAGAIN)
			return sent;
	}
	return pinion_channel_drain(channel, 10 * SECOND_NS);
}

/* What was not taken is ours again. */
static void produce(struct pinion_pool *pool, struct pinion_channel *channel)
{
	struct pinion_cache *cache;
	int err;

	must(pinion_cache_open(pool, &want, &cache));
	err = send_all(channel, cache);
	if (err == -EPIPE)
		printf("member %u was sent away, and has %d buffers back\n",
		       pinion_pool_member(pool), pinion_channel_reclaim(channel, cache));
	else
		must(err);
	pinion_channel_close(channel);
	pinion_cache_close(cache);
	pinion_pool_detach(pool);
}

/* One producer: its files, its member number and its lane are there before it is. */
static struct pinion_channel *start(struct pinion_pool *pool, struct pinion_fanin *fanin)
{
	struct pinion_channel *channel;
	uint32_t member, lane;
	int there, back;

	must(pinion_pool_admit(pool, 0, &member));
	must(pinion_ring_create(64, &there));
	must(pinion_ring_create(64, &back));
	must(pinion_channel_open(pool, back, there, member, &channel));
	must(pinion_fanin_add(fanin, channel, 1, &lane));
	fflush(stdout);
	if (!fork()) {
		must(pinion_pool_become(pool, member));
		must(pinion_channel_open(pool, there, back, 0, &channel));
		must(pinion_channel_join(channel, pinion_fanin_fd(fanin), lane));
		must(pinion_channel_set_notify(channel, pinion_fanin_notify_fd(fanin)));
		produce(pool, channel);
		exit(0);
	}
	close(there);
	close(back);
	return channel;
}

struct receiver {
	struct pinion_fanin *fanin;
	struct pinion_cache *cache;
	struct pinion_channel *unwanted;
	int epoll; /* -1: there is nothing else to wait for */
	uint32_t left, total, of_unwanted;
};

static void await(const struct receiver *receiver)
{
	struct epoll_event event;

	if (receiver->epoll < 0) {
		(void)pinion_fanin_wait(receiver->fanin, SECOND_NS);
		return;
	}
	if (!pinion_fanin_prepare(receiver->fanin)) /* nothing came meanwhile */
		epoll_wait(receiver->epoll, &event, 1, 1000);
	must(pinion_fanin_done(receiver->fanin));
}

/* It is out of the fan-in, after -EPIPE by itself. Nothing was sent to it, or we would reclaim. */
static void part(struct receiver *receiver, struct pinion_channel *channel)
{
	printf("no more of member %u\n", pinion_channel_peer(channel));
	pinion_channel_close(channel);
	receiver->left++;
}

static void take(struct receiver *receiver, struct pinion_channel *channel,
		 const struct pinion_desc *desc, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		must(pinion_buffer_free(receiver->cache, desc[i].buffer));
	receiver->total += nr;
	if (channel != receiver->unwanted)
		return;
	receiver->of_unwanted += nr;
	if (receiver->of_unwanted < ENOUGH)
		return;
	must(pinion_fanin_remove(receiver->fanin, channel));
	receiver->unwanted = NULL;
	part(receiver, channel);
}

/* Until each producer has closed its end, or was sent away. */
static void receive_all(struct receiver *receiver)
{
	struct pinion_channel *channel;
	struct pinion_desc desc[32];

	while (receiver->left < PRODUCERS) {
		int got = pinion_fanin_recv(receiver->fanin, &channel, desc, 32);

		if (got == -EPIPE)
			part(receiver, channel);
		else if (got == -EAGAIN)
			await(receiver);
		else
			must(got);
		if (got > 0)
			take(receiver, channel, desc, (uint32_t)got);
	}
}

static int make_loop(struct pinion_fanin *fanin)
{
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC), fd = pinion_fanin_loop_fd(fanin);

	must(fd);
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll");
	return epoll;
}

static void run(struct pinion_pool *pool, int in_loop)
{
	struct receiver receiver = {.epoll = -1};
	struct pinion_zone_stat stat;

	must(pinion_fanin_create(&receiver.fanin));
	for (uint32_t i = 0; i < PRODUCERS; i++)
		receiver.unwanted = start(pool, receiver.fanin);
	must(pinion_cache_open(pool, &want, &receiver.cache));
	if (in_loop)
		receiver.epoll = make_loop(receiver.fanin);
	receive_all(&receiver);
	while (wait(NULL) > 0)
		;
	must(pinion_pool_stat(pool, 0, &stat));
	printf("%u messages from %d producers, received %s; %u of %u buffers are free\n",
	       receiver.total, PRODUCERS, in_loop ? "in a loop" : "by waiting", stat.free,
	       stat.total);
	expect(receiver.total == (PRODUCERS - 1) * MESSAGES + receiver.of_unwanted &&
	       stat.free == stat.total, "nothing is lost");
	if (in_loop)
		close(receiver.epoll); /* before its descriptor goes */
	pinion_fanin_destroy(receiver.fanin);
	pinion_cache_close(receiver.cache);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	run(pool, 0);
	run(pool, 1);
	pinion_pool_destroy(pool);
	return 0;
}
