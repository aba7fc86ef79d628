/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel_parts.h"

#include <pinion/wait.h>

#include "channel.h"

static unsigned nr_sockets(const struct wire *message)
{
	return (unsigned)__builtin_popcount((unsigned)message->value & WIRE_SOCKETS);
}

unsigned parts_nr(const struct wire *message)
{
	return PARTS_PIDFD + 1 + nr_sockets(message);
}

static int add_sockets(struct pinion_channel *channel, const struct wire *message, const int *file)
{
	int err = 0;

	if (message->value & WIRE_WAKEN)
		err = channel_add_socket(channel, *file++);
	if (!err && message->value & WIRE_NOTIFY)
		err = pinion_channel_set_notify(channel, *file);
	return err;
}

int parts_open(struct pinion_pool *pool, const struct wire *message, const int *files,
	       struct pinion_channel **channel)
{
	int err = pinion_channel_open(pool, files[0], files[1], message->peer, channel);

	if (err)
		return err;
	channel_watch(*channel, files[PARTS_PIDFD]);
	err = add_sockets(*channel, message, files + PARTS_PIDFD + 1);
	if (!err)
		return 0;
	(void)pinion_channel_close(*channel);
	*channel = NULL;
	return err;
}

void parts_close(const struct wire *message, const int *files)
{
	mail_close_files(files, PARTS_PIDFD);
	mail_close_files(files + PARTS_PIDFD + 1, nr_sockets(message));
}
