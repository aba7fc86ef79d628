/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device process of piniond whose device does nothing but send back what comes; client.c is its
 * client. It ends on SIGTERM, or on SIGINT.
 *
 *     cc device.c $(pkg-config --cflags --libs pinion) -o device
 *     piniond --config echo.conf --socket /tmp/echo.sock &
 *     export PINION_SOCKET=/tmp/echo.sock
 *     ./device echo:0 &
 *     ./client echo:0 hello
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "example.h"

#include <pinion/device.h>

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

/* cut here for the manual */
struct server {
	struct pinion_device *device;
	struct pinion_cache *cache;
	struct pinion_channel *channel[PINION_WAIT_ANY_MAX];
	uint32_t nr;
};

/* What has come goes back. A client that takes no answers gets none. */
static int echo(struct server *server, struct pinion_channel *channel)
{
	struct pinion_desc desc[16];
	int got = pinion_channel_recv(channel, desc, 16), sent = 0;

	if (got > 0)
		sent = pinion_channel_send(channel, desc, (uint32_t)got);
	for (int i = sent > 0 ? sent : 0; i < got; i++)
		must(pinion_buffer_free(server->cache, desc[i].buffer));
	return got;
}

static void join(struct server *server, const struct pinion_event *event)
{
	printf("pid %d, user %u, is member %u\n", (int)event->pid, event->uid, event->member);
	if (server->nr < PINION_WAIT_ANY_MAX)
		server->channel[server->nr++] = event->channel;
}

/* It may have sent before it left, or was killed: that is drained. The service does the rest. */
static void leave(struct server *server, const struct pinion_event *event)
{
	printf("member %u %s\n", event->member, event->killed ? "was killed" : "left");
	while (echo(server, event->channel) > 0)
		;
	for (uint32_t i = 0; i < server->nr; i++)
		if (server->channel[i] == event->channel)
			server->channel[i--] = server->channel[--server->nr];
	must(pinion_device_bury(server->device, event->member, server->cache));
}

/* -ECONNRESET: the service came back without knowing us. */
static int hear(struct server *server)
{
	struct pinion_event event;
	int got;

	while ((got = pinion_device_next(server->device, &event)) == 1)
		if (event.kind == PINION_EVENT_JOINED)
			join(server, &event);
		else
			leave(server, &event);
	return got;
}

/* Sleeps until something comes, or, as a newcomer may wait, 10 ms. */
static void serve(struct server *server)
{
	struct pollfd news = {pinion_device_fd(server->device), POLLIN, 0};
	uint32_t which = 0;

	if (!server->nr)
		poll(&news, 1, 10);
	else if (!pinion_channel_wait_any(server->channel, server->nr, 10000000, &which))
		for (uint32_t i = 0; i < server->nr; i++)
			echo(server, server->channel[i]);
}

static void drive(const char *name)
{
	const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct server server = {.nr = 0};

	must(pinion_device_open(name, NULL, &server.device));
	must(pinion_cache_open(pinion_device_pool(server.device), &want, &server.cache));
	must(pinion_device_ready(server.device));
	printf("%s is served\n", name);
	while (!ended && !hear(&server))
		serve(&server);
	pinion_cache_close(server.cache);
	must(pinion_device_close(server.device));
}
/* cut here for the manual */

int main(int argc, char **argv)
{
	if (argc != 2)
		errx(2, "usage: device NAME");
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	setvbuf(stdout, NULL, _IOLBF, 0);
	drive(argv[1]);
	return 0;
}
