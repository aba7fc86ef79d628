/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a device finds a buffer, in two processes that need no privilege for it: a device process,
 * which piniond tells, and its client, which has it from the device process. The rules say who may
 * know. This is for a device that no IOMMU stands before.
 *
 *     cc addresses.c $(pkg-config --cflags --libs pinion) -o addresses
 *     sudo hugepages reserve 0:8M
 *     sudo piniond --config addresses.conf --socket /tmp/echo.sock &
 *     PINION_SOCKET=/tmp/echo.sock ./addresses echo:0
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#include <pinion/client.h>
#include <pinion/device.h>

/* --- the client: a child */

/* One buffer, and in it the address that the client knows. */
static int tell(const char *name, int ready)
{
	const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_desc desc = {.len = sizeof(uint64_t)};
	struct pinion_client *client;
	struct pinion_domain *domain;
	struct pinion_cache *cache;
	uint64_t *text;
	char byte;

	if (read(ready, &byte, 1) != 1)
		return 1; /* the other one has said why */
	must(pinion_client_open(name, NULL, &client));
	must(pinion_client_domain(client, &domain)); /* shared before the device was ready */
	must(pinion_cache_open(pinion_client_pool(client), &want, &cache));
	must(pinion_buffer_alloc(cache, &desc.buffer));
	text = pinion_buffer_addr(pinion_client_pool(client), desc.buffer);
	*text = pinion_buffer_bus(domain, desc.buffer, 0);
	must(pinion_channel_send(pinion_client_channel(client), &desc, 1));
	pinion_domain_detach(domain);
	pinion_cache_close(cache);
	pinion_client_close(client); /* what was sent is still the other's to take */
	return 0;
}

/* --- the device process */

/* A device would be given the second of these, and never the first. */
static int compare(struct pinion_pool *pool, const struct pinion_domain *domain,
		   const struct pinion_desc *desc)
{
	const uint64_t told = *(uint64_t *)pinion_buffer_addr(pool, desc->buffer);
	const uint64_t bus = pinion_buffer_bus(domain, desc->buffer, 0);

	printf("buffer %u: the client says %#jx, and it is at %#jx\n",
	       pinion_buffer_id(desc->buffer), (uintmax_t)told, (uintmax_t)bus);
	return told == bus && bus != PINION_BUS_UNKNOWN;
}

/* Until a client has left. */
static struct pinion_event await(struct pinion_device *device)
{
	struct pollfd news = {pinion_device_fd(device), POLLIN, 0};
	struct pinion_event event = {.kind = PINION_EVENT_JOINED};

	while (event.kind != PINION_EVENT_LEFT) {
		if (poll(&news, 1, 10000) <= 0)
			errx(1, "nobody came, or left");
		must(pinion_device_next(device, &event));
	}
	return event;
}

static int serve(struct pinion_device *device, const struct pinion_domain *domain)
{
	const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_pool *pool = pinion_device_pool(device);
	struct pinion_event event = await(device);
	struct pinion_cache *cache;
	struct pinion_desc desc;
	int same = 0;

	must(pinion_cache_open(pool, &want, &cache));
	while (pinion_channel_recv(event.channel, &desc, 1) == 1) {
		same = compare(pool, domain, &desc);
		must(pinion_buffer_free(cache, desc.buffer));
	}
	must(pinion_device_bury(device, event.member, cache));
	pinion_cache_close(cache);
	return same;
}

static void drive(const char *name, int ready)
{
	struct pinion_domain *domain;
	struct pinion_device *device;

	must(pinion_device_open(name, NULL, &device));
	must(pinion_device_domain_create(device, pinion_device_pool(device), &domain));
	must(pinion_device_share(device, domain));
	must(pinion_device_ready(device));
	if (write(ready, "", 1) != 1)
		err(1, "write");
	expect(serve(device, domain), "one address, in both");
	pinion_domain_destroy(domain);
	must(pinion_device_close(device));
}

int main(int argc, char **argv)
{
	int ready[2], status;

	if (argc != 2)
		errx(2, "usage: addresses DEVICE");
	if (pipe(ready))
		err(1, "pipe");
	if (!fork()) {
		close(ready[1]);
		return tell(argv[1], ready[0]);
	}
	close(ready[0]);
	drive(argv[1], ready[1]);
	wait(&status);
	return status != 0;
}
