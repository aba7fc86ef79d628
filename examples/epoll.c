/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server that sleeps in epoll_wait(), with its channels, its socket and whatever else it has, and
 * several producers in other processes that wake it.
 *
 *     cc epoll.c $(pkg-config --cflags --libs pinion) -o epoll
 *     sudo hugepages reserve 0:2M && ./epoll        or: ./epoll --page-size 4k
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define PRODUCERS 3
#define MESSAGES 100u
#define MEMBERS 8 /* as many as the pool has room for, the server among them */

static char path[64];

/* A producer: fills buffers and hands them over. It does not know how the server sleeps. */
static int produce(uint32_t number)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_desc desc = {.len = 64, .tag = number};
	struct pinion_session *session;
	struct pinion_cache *cache;
	int sent;

	must(pinion_session_open(path, &session));
	must(pinion_cache_open(pinion_session_pool(session), &want, &cache));
	for (uint32_t i = 0; i < MESSAGES; i++) {
		must(pinion_buffer_alloc(cache, &desc.buffer));
		snprintf(pinion_buffer_addr(pinion_session_pool(session), desc.buffer), 64,
			 "message %u of producer %u", i, number);
		while ((sent = pinion_channel_send(pinion_session_channel(session), &desc, 1)) ==
		       -EAGAIN)
			usleep(100);
		must(sent);
		usleep(200);
	}
	pinion_cache_close(cache);
	return pinion_session_close(session);
}

struct server {
	struct pinion_pool *pool;
	struct pinion_cache *cache;
	struct pinion_rendezvous *rendezvous;
	struct pinion_channel *channel[MEMBERS]; /* by member; NULL: none */
	int epoll;
	uint32_t received, woken, left;
};

static void watch(struct server *server, int fd, uint32_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = what}};

	must(fd);
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll_ctl");
}

/* All that has come. */
static void take(struct server *server, struct pinion_channel *channel)
{
	struct pinion_desc desc;

	while (pinion_channel_recv(channel, &desc, 1) == 1) {
		server->received++;
		must(pinion_buffer_free(server->cache, desc.buffer));
	}
}

/* ... and then the loop may sleep: prepare() says 1 as long as more has come meanwhile. */
static void serve(struct server *server, struct pinion_channel *channel)
{
	must(pinion_channel_done(channel));
	do
		take(server, channel);
	while (pinion_channel_prepare(channel) == 1);
}

static void join(struct server *server, const struct pinion_event *event)
{
	server->channel[event->member] = event->channel;
	watch(server, pinion_channel_fd(event->channel), event->member);
	serve(server, event->channel);
}

/* It may have sent before it left, or was killed: the ring is drained, then the rest recovered. */
static void leave(struct server *server, const struct pinion_event *event)
{
	struct pinion_recovery report;

	take(server, event->channel);
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, pinion_channel_fd(event->channel), NULL);
	server->channel[event->member] = NULL;
	must(pinion_rendezvous_bury(server->rendezvous, event->member, server->cache, &report));
	server->left++;
}

static void hear(struct server *server)
{
	struct pinion_event event;

	while (pinion_rendezvous_next(server->rendezvous, &event) == 1)
		if (event.kind == PINION_EVENT_JOINED)
			join(server, &event);
		else
			leave(server, &event);
}

static void run(struct server *server)
{
	struct epoll_event event;

	watch(server, pinion_rendezvous_fd(server->rendezvous), MEMBERS);
	while (server->left < PRODUCERS) {
		/* No time limit: whatever happens makes one of the descriptors readable. */
		if (epoll_wait(server->epoll, &event, 1, -1) != 1)
			continue;
		server->woken++;
		if (event.data.u32 == MEMBERS)
			hear(server);
		else if (server->channel[event.data.u32])
			serve(server, server->channel[event.data.u32]);
	}
}

static void open_server(struct server *server, size_t pages)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_rendezvous_config loop = {.loop = 1};
	struct pinion_pool_config config = {
		.nr_members = MEMBERS,
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096, .page_size = pages,
			     .node = PINION_NODE_ANY}},
	};

	must(pinion_pool_create(&config, &server->pool));
	must(pinion_cache_open(server->pool, &want, &server->cache));
	snprintf(path, sizeof(path), "/tmp/pinion-epoll-%d", getpid());
	must(pinion_rendezvous_open(server->pool, path, &loop, &server->rendezvous));
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
}

int main(int argc, char **argv)
{
	struct server server = {.pool = NULL};
	int status, failed = 0;

	open_server(&server, page_size(argc, argv));
	for (uint32_t i = 0; i < PRODUCERS; i++)
		if (fork() == 0)
			_exit(produce(i));
	run(&server);
	printf("%u messages of %d producers; the loop woke %u times\n", server.received, PRODUCERS,
	       server.woken);
	expect(server.received == PRODUCERS * MESSAGES, "each message came once");
	while (wait(&status) > 0)
		failed |= status;
	pinion_rendezvous_close(server.rendezvous);
	pinion_cache_close(server.cache);
	pinion_pool_destroy(server.pool);
	close(server.epoll);
	return failed != 0;
}
