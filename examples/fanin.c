/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One receiver and several producers, each with a channel of its own: the fan-in says whose turn it
 * is, and costs nothing for those that are idle.
 *
 *     cc fanin.c $(pkg-config --cflags --libs pinion) -o fanin
 *     sudo hugepages reserve 0:2M && ./fanin        or: ./fanin --page-size 4k
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define PRODUCERS 4
#define MESSAGES 1000

static void send_all(struct pinion_pool *pool, struct pinion_channel *channel)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_cache *cache;

	must(pinion_cache_open(pool, &want, &cache));
	for (uint32_t i = 0; i < MESSAGES;) {
		struct pinion_desc desc = {.len = 4096, .tag = i};

		if (pinion_buffer_alloc(cache, &desc.buffer)) {
			usleep(100); /* all are under way */
			continue;
		}
		if (pinion_channel_send(channel, &desc, 1) == 1)
			i++;
		else
			must(pinion_buffer_free(cache, desc.buffer));
	}
	pinion_cache_close(cache);
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
	if (!fork()) {
		must(pinion_pool_become(pool, member));
		must(pinion_channel_open(pool, there, back, 0, &channel));
		must(pinion_channel_join(channel, pinion_fanin_fd(fanin), lane));
		send_all(pool, channel);
		pinion_channel_close(channel);
		pinion_pool_detach(pool);
		_exit(0);
	}
	close(there);
	close(back);
	return channel;
}

/* Until each producer has closed its end. */
static uint32_t receive_all(struct pinion_fanin *fanin, struct pinion_cache *cache)
{
	struct pinion_channel *channel;
	struct pinion_desc desc[32];
	uint32_t total = 0;

	for (int left = PRODUCERS; left;) {
		int got = pinion_fanin_recv(fanin, &channel, desc, 32);

		for (int i = 0; i < got; i++)
			must(pinion_buffer_free(cache, desc[i].buffer));
		total += got > 0 ? (uint32_t)got : 0;
		if (got == -EPIPE) {
			printf("member %u has sent all it had\n", pinion_channel_peer(channel));
			left--;
		} else if (got == -EAGAIN) {
			(void)pinion_fanin_wait(fanin, 1000000000);
		} else {
			must(got);
		}
	}
	return total;
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_channel *channel[PRODUCERS];
	struct pinion_fanin *fanin;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	uint32_t total;

	must(pinion_pool_create(&config, &pool));
	must(pinion_fanin_create(&fanin));
	for (uint32_t i = 0; i < PRODUCERS; i++)
		channel[i] = start(pool, fanin);
	must(pinion_cache_open(pool, &want, &cache));
	total = receive_all(fanin, cache);
	printf("%u messages from %d producers\n", total, PRODUCERS);
	expect(total == PRODUCERS * MESSAGES, "nothing is lost");
	pinion_fanin_destroy(fanin);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		wait(NULL);
		pinion_channel_close(channel[i]);
	}
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
