/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pinion/client.h>

#include "channel.h"
#include "channel_parts.h"
#include "fail.h"
#include "link.h"
#include "member.h"
#include "membership.h"
#include "ring.h"

struct pinion_client {
	struct link link;
	struct pinion_pool *pool;
	struct pinion_channel *channel; /* NULL: none, or settled */
	uint32_t number;                /* of the channel; 0: there never was one */
	int device;                     /* pidfd of the device process; -1: none */
	bool left;                      /* it is gone, and that was told */
	int table;                      /* of bus addresses; -1: none came */
	char hidden[WIRE_TEXT_MAX];     /* why none comes; "": it may */
};

static int check_wish(const char *what, const struct pinion_client_config *config)
{
	int err = config->slots ? ring_check_slots(config->slots) : 0;

	if (err)
		return err;
	if (strlen(what) >= PINION_NAME_MAX)
		return pinion_fail(-ENAMETOOLONG, "%s: a name has at most %u characters", what,
				   PINION_NAME_MAX - 1);
	if (!wire_name_valid(what))
		return pinion_fail(-EINVAL, "\"%s\": a name consists of letters, digits and "
				   "\":._-\", such as pool:buffers or nvme:0000:41:00.0", what);
	return 0;
}

/* Takes the files over. */
static int open_channel(struct pinion_client *client, const struct wire *answer, const int *files)
{
	int err = parts_open(client->pool, answer, files, &client->channel);

	client->number = answer->channel;
	client->device = files[PARTS_PIDFD];
	parts_close(answer, files);
	return err;
}

/* Does it have the files that it names, @nr those of the pool, and what was asked for? */
static bool makes_sense(const struct wire *answer, const struct wire *question, unsigned nr,
			unsigned nr_files)
{
	const bool loop = answer->channel && question->value & WIRE_LOOP;

	if (answer->channel)
		nr += parts_nr(answer);
	if (answer->value & WIRE_TABLE_TOO)
		nr++;
	return answer->kind == WIRE_ATTACHED && nr_files == nr &&
	       !(answer->value & WIRE_WAKEN) == !loop &&
	       !(answer->value & ~(WIRE_SOCKETS | WIRE_TABLE_TOO));
}

static int open_all(struct pinion_client *client, const struct wire *answer,
		    const struct wire *question, const int *files, unsigned nr_files)
{
	const struct membership membership = {.member = answer->member,
					      .segments = answer->segments,
					      .fetch = link_parcel, .context = &client->link.own};
	unsigned nr = membership_nr_files(&membership);
	int err;

	if (!makes_sense(answer, question, nr, nr_files))
		err = pinion_fail(-EPROTO, "the service's answer makes no sense");
	else
		err = membership_open(&membership, files, &client->pool);
	if (err) {
		mail_close_files(files, nr_files);
		return err;
	}
	if (answer->value & WIRE_TABLE_TOO)
		client->table = files[nr_files - 1];
	(void)strcpy(client->hidden, answer->text);
	return answer->channel ? open_channel(client, answer, files + nr) : 0;
}

/* @own: rather than a forked child's copy. */
static void let_go(struct pinion_client *client, bool own)
{
	if (client->channel && own)
		(void)pinion_channel_close(client->channel);
	else if (client->channel)
		channel_abandon(client->channel);
	if (client->pool && own)
		member_leave(client->pool, client->link.cookie);
	if (client->pool)
		(void)pinion_pool_detach(client->pool);
	client->channel = NULL;
	client->pool = NULL;
}

static void discard(struct pinion_client *client)
{
	if (client->device >= 0)
		(void)close(client->device);
	if (client->table >= 0)
		(void)close(client->table);
	link_close(&client->link);
	free(client);
}

static int attach(struct pinion_client *client, const char *what,
		  const struct pinion_client_config *config)
{
	struct wire question = wire_of(WIRE_ATTACH), answer;
	int files[WIRE_FILES_MAX];
	unsigned nr_files = WIRE_FILES_MAX;
	int err;

	(void)strcpy(question.name, what);
	question.slots = config->slots;
	question.value = config->loop ? WIRE_LOOP : 0;
	err = link_ask(&client->link, &question, &answer, files, &nr_files);
	if (err)
		return err;
	link_joined(&client->link, answer.cookie);
	return open_all(client, &answer, &question, files, nr_files);
}

int pinion_client_open(const char *what, const struct pinion_client_config *config,
		       struct pinion_client **out)
{
	KEEP_ERRNO;
	static const struct pinion_client_config defaults;
	struct pinion_client *client;
	int err;

	config = config ? config : &defaults;
	err = check_wish(what, config);
	if (err)
		return err;
	client = calloc(1, sizeof(*client));
	if (!client)
		return pinion_fail(-ENOMEM, "no memory for a client");
	client->device = client->table = -1;
	err = link_open(&client->link, config->socket);
	if (err) {
		free(client);
		return err;
	}
	err = attach(client, what, config);
	if (err) {
		/* It may have let us in already. Whether the word arrives changes nothing for the
		 * caller: the slot goes with this process at the latest. */
		let_go(client, true);
		(void)link_say(&client->link, WIRE_BYE, 0);
		discard(client);
		return err;
	}
	*out = client;
	return 0;
}

int pinion_client_close(struct pinion_client *client)
{
	KEEP_ERRNO;
	const bool own = client->link.pid == getpid();
	int err;

	let_go(client, own);
	if (!own) {
		discard(client);
		return 0;
	}
	/* Nothing of the pool is mapped here any more. */
	err = link_say(&client->link, WIRE_BYE, 0);
	discard(client);
	/* One that is gone itself need not be told: it learns from the pidfd when this ends. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		return 0;
	return pinion_fail(err, "cannot tell the service that this process leaves: %s (it finds "
			   "out by itself, a moment later)", strerror(-err));
}

struct pinion_pool *pinion_client_pool(const struct pinion_client *client)
{
	return client->pool;
}

struct pinion_channel *pinion_client_channel(const struct pinion_client *client)
{
	return client->channel;
}

int pinion_client_fd(const struct pinion_client *client)
{
	return client->link.epoll;
}

static int fill(struct pinion_client_event *event, enum pinion_client_event_kind kind)
{
	*event = (struct pinion_client_event){.kind = kind};
	return 1;
}

static int hear_table(struct pinion_client *client, const struct letter *letter,
		      struct pinion_client_event *event)
{
	if (letter->nr_files != 1 || !client->channel) {
		mail_close_files(letter->files, letter->nr_files);
		return 0;
	}
	if (client->table >= 0)
		(void)close(client->table);
	client->table = letter->files[0];
	return fill(event, PINION_CLIENT_ADDRESSES);
}

/* Of a channel that it no longer has, it says so. */
static int hear(struct pinion_client *client, const struct letter *letter,
		struct pinion_client_event *event)
{
	if (letter->message.kind == WIRE_TABLE)
		return hear_table(client, letter, event);
	mail_close_files(letter->files, letter->nr_files);
	if (letter->message.kind != WIRE_LEFT)
		return 0;
	if (letter->message.channel != client->number || !client->channel) {
		(void)link_say(&client->link, WIRE_SETTLED, letter->message.channel);
		return 0;
	}
	if (client->left)
		return 0;
	client->left = true;
	pinion_channel_sever(client->channel);
	return fill(event, PINION_CLIENT_DEVICE_LEFT);
}

/* Letters that are no news for the program, heard in one call. */
#define LETTERS_PER_CALL 32

int pinion_client_next(struct pinion_client *client, struct pinion_client_event *event)
{
	KEEP_ERRNO;
	struct letter letter;
	int told = 0;

	if (client->link.pid != getpid())
		return 0;
	for (int i = 0; !told && i < LETTERS_PER_CALL; i++) {
		switch (link_next(&client->link, &letter)) {
		case LINK_NOTHING: return 0;
		case LINK_LETTER: told = hear(client, &letter, event); break;
		case LINK_LOST: return fill(event, PINION_CLIENT_SERVICE_LOST);
		case LINK_BACK: return fill(event, PINION_CLIENT_SERVICE_BACK);
		case LINK_EXPELLED: return fill(event, PINION_CLIENT_EXPELLED);
		}
	}
	return told;
}

int pinion_client_settle(struct pinion_client *client, struct pinion_cache *cache)
{
	KEEP_ERRNO;
	int err;

	if (!client->left || !client->channel)
		return pinion_fail(-EINVAL, "no device process has left");
	err = pinion_channel_reclaim(client->channel, cache);
	if (err < 0)
		return pinion_fail(err, "what was sent to the device process cannot be freed: %s",
				   strerror(-err));
	(void)pinion_channel_close(client->channel);
	client->channel = NULL;
	(void)link_say(&client->link, WIRE_SETTLED, client->number);
	return 0;
}

int pinion_client_domain(const struct pinion_client *client, struct pinion_domain **domain)
{
	KEEP_ERRNO;
	int copy, err;

	if (!client->channel)
		return pinion_fail(-EINVAL, "this client has no device");
	if (*client->hidden)
		return pinion_fail(-EACCES, "%s", client->hidden);
	if (client->table < 0)
		return pinion_fail(-EAGAIN, "the device process has shared no addresses yet");
	copy = fcntl(client->table, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return pinion_fail(-errno, "cannot copy the table of addresses: %s",
				   strerror(errno));
	err = pinion_domain_attach(client->pool, copy, domain);
	if (err)
		(void)close(copy);
	return err;
}
