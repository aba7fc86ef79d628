/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of piniond: asks for a device by its name, sends it a buffer, and waits for the answer;
 * device.c is a device that answers. If the device process dies meanwhile, the buffer comes back.
 *
 *     cc client.c $(pkg-config --cflags --libs pinion) -o client
 *     piniond --config echo.conf --socket /tmp/echo.sock &
 *     export PINION_SOCKET=/tmp/echo.sock
 *     ./device echo:0 &
 *     ./client echo:0 hello
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "example.h"

#include <pinion/client.h>

#define SECOND_NS UINT64_C(1000000000)

/* cut here for the manual */
static void send_text(struct pinion_client *client, struct pinion_cache *cache, const char *text)
{
	struct pinion_desc desc = {.len = (uint32_t)strlen(text) + 1};

	must(pinion_buffer_alloc(cache, &desc.buffer));
	memcpy(pinion_buffer_addr(pinion_client_pool(client), desc.buffer), text, desc.len);
	must(pinion_channel_send(pinion_client_channel(client), &desc, 1));
}

/* 1: an answer. -EPIPE: the device process is gone, and nothing will come. */
static int receive(struct pinion_client *client, struct pinion_desc *desc)
{
	struct pinion_channel *channel = pinion_client_channel(client);
	int got;

	while ((got = pinion_channel_recv(channel, desc, 1)) == -EAGAIN)
		if (pinion_channel_wait(channel, 10 * SECOND_NS) == -ETIMEDOUT)
			return -ETIMEDOUT;
	return got;
}

/* What was sent and not taken is freed; then the service may forget the dead one. */
static void bury(struct pinion_client *client, struct pinion_cache *cache)
{
	struct pollfd news = {pinion_client_fd(client), POLLIN, 0};
	struct pinion_client_event event = {0};

	while (event.kind != PINION_CLIENT_DEVICE_LEFT && event.kind != PINION_CLIENT_EXPELLED)
		if (!pinion_client_next(client, &event))
			poll(&news, 1, -1);
	if (event.kind == PINION_CLIENT_DEVICE_LEFT)
		must(pinion_client_settle(client, cache));
}

static int ask(const char *device, const char *text)
{
	const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_desc desc;
	int got;

	must(pinion_client_open(device, NULL, &client));
	must(pinion_cache_open(pinion_client_pool(client), &want, &cache));
	send_text(client, cache, text);
	got = receive(client, &desc);
	if (got == 1) {
		printf("%s answers: %.*s\n", device, (int)desc.len,
		       (char *)pinion_buffer_addr(pinion_client_pool(client), desc.buffer));
		must(pinion_buffer_free(cache, desc.buffer));
	} else if (got == -EPIPE) {
		bury(client, cache);
		printf("%s is gone, and what was sent to it is back\n", device);
	}
	pinion_cache_close(cache);
	pinion_client_close(client);
	return got == 1 ? 0 : 1;
}
/* cut here for the manual */

int main(int argc, char **argv)
{
	if (argc != 3 || strlen(argv[2]) >= 4096)
		errx(2, "usage: client DEVICE TEXT");
	return ask(argv[1], argv[2]);
}
