/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/hostmem.h>

#include "domain.h"

/* A device process has pinned the pages before it asks; they are the same ones here. */

static bool is_wanted(const struct config *config)
{
	bool wanted = false;

	for (uint32_t i = 0; i < config->nr_rules; i++)
		wanted |= config->rule[i].serve && config->rule[i].addresses;
	return wanted;
}

void frames_open(struct service *service)
{
	int err = is_wanted(service->config) ? pinion_hostmem_pagemap_open(&service->pagemap) : 0;

	if (err)
		service_log(LOG_NOTICE, "physical addresses cannot be told to device processes: "
			    "/proc/self/pagemap: %s", strerror(-err));
}

void frames_close(struct service *service)
{
	if (service->pagemap >= 0)
		(void)close(service->pagemap);
	service->pagemap = -1;
}

/* The membership that is asked for. NULL: refused. */
static struct member *find(struct peer *peer, const struct wire *message)
{
	struct member *home = admit_find_cookie(peer->service, message->cookie), *member = NULL;
	char text[WIRE_TEXT_MAX];

	if (home && home->device && home->pid == peer->identity.pid)
		member = peers_find_branch(home, message->channel);
	if (!member) {
		peers_refuse(peer, -ESTALE, "no such membership of a device process");
		return NULL;
	}
	if (peer->rule->addresses)
		return member;
	admit_say_hidden(peer, text);
	peers_refuse(peer, -EACCES, "%s", text);
	return NULL;
}

static void send_table(struct peer *peer, const struct wire *message, int fd)
{
	struct wire answer = wire_of(WIRE_TABLE);

	answer.channel = message->channel;
	(void)wire_send(peer->socket, &answer, &fd, 1); /* or it asks again */
}

void frames_answer(struct peer *peer, const struct wire *message)
{
	struct member *member = find(peer, message);
	struct pinion_hostmem table;
	int err;

	if (!member)
		return;
	if (peer->service->pagemap < 0) {
		peers_refuse(peer, -EPERM, "it does not see physical addresses itself: it was not "
			     "started as root");
		return;
	}
	err = frames_create(member->pool->pool, peer->service->pagemap, &table);
	if (err) {
		peers_refuse(peer, err, "%s", pinion_error_text());
		return;
	}
	send_table(peer, message, table.fd);
	table_discard(&table);
}
