/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/hostmem.h>

#include "domain.h"

/*
 * A device process has pinned its pages before it asks, and looks afterwards whether they are the
 * same ones (../../pool/domain_frames.c).
 *
 * An answer takes two reads of pagemap for each page, 0.3 us each: for a segment of 1 TiB in pages
 * of 2 MiB 0.3 s, in which nobody else is heard. Who may ask can write anywhere by his device, and
 * is trusted with that much.
 */

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
	struct member *home = admit_find_own(peer, message->cookie), *member = NULL;
	char text[WIRE_TEXT_MAX];

	if (home && home->device)
		member = peers_find_branch(home, message->channel);
	if (!member) {
		peers_refuse(peer, -ESTALE, "no such membership of a device process");
		return NULL;
	}
	if (peer->rule->addresses)
		return admit_is_whole(peer, member->pool) ? member : NULL;
	admit_say_hidden(peer, text);
	peers_refuse(peer, -EACCES, "%s", text);
	return NULL;
}

static int make_table(const struct service *service, const struct pool *pool, uint64_t segments,
		      struct pinion_hostmem *table)
{
	return service->pagemap < 0 ? -EPERM :
	       frames_create(pool->pool, service->pagemap, segments, table);
}

static void refuse(struct peer *peer, int err)
{
	if (err == -EPERM)
		peers_refuse(peer, err, "it does not see physical addresses itself: it was "
			     "started without CAP_SYS_ADMIN");
	else
		peers_refuse(peer, err, "%s", pinion_error_text());
}

/* Whom the answer does not reach asks again. */
void frames_answer(struct peer *peer, const struct wire *message)
{
	const struct member *member = find(peer, message);
	const struct wire answer = wire_of(WIRE_TABLE);
	struct pinion_hostmem table;
	int err;

	if (!member)
		return;
	if (!message->segments) {
		(void)wire_send(peer->socket, &answer, NULL, 0);
		return;
	}
	err = make_table(peer->service, member->pool, message->segments, &table);
	if (err) {
		refuse(peer, err);
		return;
	}
	(void)wire_send(peer->socket, &answer, &table.fd, 1);
	table_discard(&table);
}
