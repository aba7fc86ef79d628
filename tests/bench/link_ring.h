/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link (see stream.h) made of two pinion rings, one each way. Descriptors travel, and nobody
 * looks at what they name: what peers do too.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/error.h>
#include <pinion/ring.h>

#include "pair.h"

typedef struct pinion_desc item;

struct link {
	int file[2]; /* from the leader, to the leader */
	struct pinion_ring *tx, *rx;
};

static inline void item_make(item *it, uint32_t i, uint32_t turn)
{
	it->buffer = pinion_buffer_make(i, 1 + (uint64_t)turn);
	it->len = 64;
	it->tag = i;
}

static inline uint32_t item_tag(const item *it)
{
	return it->tag;
}

static inline void link_check(int err)
{
	if (err)
		bench_die("%s", pinion_error_text());
}

static inline struct link *link_create(struct bench *b, uint32_t slots, uint32_t nr)
{
	struct link *link = calloc(1, sizeof(*link));

	(void)b;
	(void)nr;
	if (!link)
		bench_die("no memory");
	link_check(pinion_ring_create(slots, &link->file[0]));
	link_check(pinion_ring_create(slots, &link->file[1]));
	return link;
}

static inline void link_open(struct link *link, bool leads)
{
	link_check(pinion_ring_open(link->file[!leads], PINION_RING_SEND, &link->tx));
	link_check(pinion_ring_open(link->file[leads], PINION_RING_RECV, &link->rx));
	if (leads)
		pair_await();
	else
		pair_ready();
}

/* Apart, so that the loops stay small: @err is a refusal, which no benchmark expects. */
__attribute__((noinline, cold)) static void link_refused(int err)
{
	bench_die("the ring failed: %s", strerror(-err));
}

static inline uint32_t link_send(struct link *link, const item *it, uint32_t nr)
{
	int sent = pinion_ring_send(link->tx, it, nr);

	if (sent >= 0)
		return (uint32_t)sent;
	if (sent != -EAGAIN)
		link_refused(sent);
	return 0;
}

#define LINK_IN_PLACE

static inline uint32_t link_room(struct link *link, uint32_t nr)
{
	int room = pinion_ring_reserve(link->tx, nr);

	if (room >= 0)
		return (uint32_t)room;
	if (room != -EAGAIN)
		link_refused(room);
	return 0;
}

typedef struct pinion_ring link_slots;

static inline link_slots link_reserved(const struct link *link)
{
	return *link->tx;
}

static inline void link_put(const link_slots *slots, uint32_t i, const item *it)
{
	(void)pinion_ring_put(slots, i, it);
}

static inline void link_commit(struct link *link, uint32_t nr)
{
	(void)pinion_ring_commit(link->tx, nr);
}

static inline uint32_t link_recv(struct link *link, item *it, uint32_t nr)
{
	int got = pinion_ring_recv(link->rx, it, nr);

	if (got >= 0)
		return (uint32_t)got;
	if (got != -EAGAIN)
		link_refused(got);
	return 0;
}
