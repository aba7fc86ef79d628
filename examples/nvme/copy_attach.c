/* SPDX-License-Identifier: BSD-3-Clause */
#include "copy.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <pinion/error.h>

#include "nvme_fail.h"

/* The service learns of a death at once, and tells us; without it we hear nothing. */
#define NEWS_PATIENCE_MS 2000

const char *copy_peer_name(const struct copy *copy)
{
	return copy->config->device ? copy->config->device : copy->config->socket;
}

static int attach_to_service(struct copy *copy)
{
	const struct pinion_client_config config = {.socket = copy->config->service};
	int err = pinion_client_open(copy->config->device, &config, &copy->client);

	if (err)
		return err;
	copy->pool = pinion_client_pool(copy->client);
	copy->channel = pinion_client_channel(copy->client);
	return 0;
}

static int attach_to_socket(struct copy *copy)
{
	int err = pinion_session_open(copy->config->socket, &copy->session);

	if (err)
		return err;
	copy->pool = pinion_session_pool(copy->session);
	copy->channel = pinion_session_channel(copy->session);
	return 0;
}

enum copy_status copy_attach(struct copy *copy)
{
	int err = copy->config->device ? attach_to_service(copy) : attach_to_socket(copy);

	if (!err && copy->channel)
		return COPY_DONE;
	nvme_say("%s%s", err ? pinion_error_text() : copy->config->device,
		 err ? "" : ": that is a pool, and no device");
	return COPY_LOST;
}

void copy_detach(struct copy *copy)
{
	if (copy->client)
		pinion_client_close(copy->client);
	if (copy->session)
		pinion_session_close(copy->session);
}

/* What else there is to hear is no news here. */
static bool device_left(struct copy *copy)
{
	struct pollfd news = {.fd = pinion_client_fd(copy->client), .events = POLLIN};
	struct pinion_client_event event;

	while (poll(&news, 1, NEWS_PATIENCE_MS) > 0)
		while (pinion_client_next(copy->client, &event) == 1)
			if (event.kind == PINION_CLIENT_DEVICE_LEFT)
				return true;
			else if (event.kind == PINION_CLIENT_EXPELLED)
				return false;
	return false;
}

bool copy_settle(struct copy *copy)
{
	struct pinion_desc desc;
	int err;

	if (!copy->client || !device_left(copy))
		return false;
	while (pinion_channel_recv(copy->channel, &desc, 1) == 1)
		copy_free(copy, desc.buffer);
	do
		err = pinion_client_settle(copy->client, copy->cache);
	while (err == -EAGAIN);
	if (err)
		nvme_say("%s", pinion_error_text());
	copy->channel = pinion_client_channel(copy->client);
	copy->nr_busy = 0;
	return !err;
}
