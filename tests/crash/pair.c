/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/error.h>
#include <pinion/wait.h>

#include "channel.h"
#include "operations.h"
#include "pool_support.h"
#include "ring_support.h"
#include "step.h"
#include "tap.h"

_Static_assert(sizeof(struct ring_shared) + RING * sizeof(struct pinion_slot) == RING_BYTES,
	       "a ring is copied whole");

static const struct pinion_pool_config config = {
	.name = "pair",
	.flags = PINION_POOL_SCRUB, /* so that fillers are written, and forgotten */
	.nr_members = PAIR_MEMBERS,
	.nr_caches = 4, /* one each, and the keeper's while it checks */
	.magazine_size = MAGAZINE,
	.max_segments = 1,
	.nr_segments = 1,
	.segment = {{PAIR_BUFFERS * SMALL, SMALL, 4096, PINION_NODE_ANY}},
};

static void must(bool holds, const char *what)
{
	if (!holds)
		tap_bail("the scene is not as it should be: %s (%s)", what, pinion_error_text());
}

static void open_rings(struct pair *pair)
{
	for (int i = 0; i < RINGS; i++) {
		must(!ring_begin(RING, &pair->ring[i].fd), "no ring");
		pair->ring[i].addr = mmap(NULL, sizeof(pair->base.ring[i]), PROT_READ | PROT_WRITE,
					  MAP_SHARED, pair->ring[i].fd, 0);
		must(pair->ring[i].addr != MAP_FAILED, "a ring cannot be mapped");
	}
}

void pair_open(struct pair *pair)
{
	uint32_t member;

	/* calloc() as in scene.c. */
	(void)mallopt(M_MMAP_THRESHOLD, 4096);
	*pair = (struct pair){0};
	must(!pinion_pool_create(&config, &pair->pool), "no pool");
	pool_age(pair->pool);
	for (uint32_t i = PAIR_FIRST; i <= PAIR_SECOND; i++)
		must(!pinion_pool_admit(pair->pool, getpid(), &member) && member == i,
		     "a member was not admitted");
	open_rings(pair);
	still_take(&pair->base, pair);
}

/* Without a word to the other: that end is a child's, or was. A ring by itself has no such call,
 * and what it says is put right by the reset. */
static void side_leave(struct side *side)
{
	if (!side->pool)
		return;
	if (side->requester)
		(void)pinion_requester_close(side->requester);
	if (side->channel)
		channel_abandon(side->channel);
	if (side->more)
		channel_abandon(side->more);
	if (side->ring)
		(void)pinion_ring_close(side->ring);
	(void)pinion_cache_close(side->cache);
	(void)pinion_pool_detach(side->pool);
}

void pair_close(struct pair *pair)
{
	side_leave(&pair->first);
	side_leave(&pair->second);
	for (int i = 0; i < RINGS; i++) {
		(void)munmap(pair->ring[i].addr, sizeof(pair->base.ring[i]));
		(void)close(pair->ring[i].fd);
	}
	(void)pinion_pool_destroy(pair->pool);
	still_close(&pair->base);
}

static void side_enter(struct side *side, const struct pair *pair, uint32_t member)
{
	const struct pinion_cache_config wish = {.buffer_size = SMALL, .node = PINION_NODE_ANY};
	const bool is_first = member == PAIR_FIRST;
	struct pinion_pool_fds fds;

	*side = (struct side){.member = member};
	pinion_pool_export(pair->pool, &fds);
	fds.control = fcntl(fds.control, F_DUPFD_CLOEXEC, 3);
	fds.segment[0] = fcntl(fds.segment[0], F_DUPFD_CLOEXEC, 3);
	must(!pinion_pool_attach(&fds, member, &side->pool), "a member cannot attach");
	must(!pinion_cache_open(side->pool, &wish, &side->cache), "no cache");
	must(!pinion_channel_open(side->pool,
				  pair->ring[is_first ? RING_TO_SECOND : RING_TO_FIRST].fd,
				  pair->ring[is_first ? RING_TO_FIRST : RING_TO_SECOND].fd,
				  is_first ? PAIR_SECOND : PAIR_FIRST, &side->channel),
	     "no channel");
}

void pair_reset(struct pair *pair)
{
	side_leave(&pair->first);
	side_leave(&pair->second);
	still_load(&pair->base, pair);
	side_enter(&pair->first, pair, PAIR_FIRST);
	side_enter(&pair->second, pair, PAIR_SECOND);
}

void still_take(struct still *still, const struct pair *pair)
{
	snapshot_take(&still->control, pair->pool);
	for (int i = 0; i < RINGS; i++)
		memcpy(still->ring[i], pair->ring[i].addr, sizeof(still->ring[i]));
}

void still_load(const struct still *still, struct pair *pair)
{
	snapshot_load(&still->control, pair->pool);
	for (int i = 0; i < RINGS; i++)
		memcpy(pair->ring[i].addr, still->ring[i], sizeof(still->ring[i]));
}

bool still_same(const struct still *still, const struct pair *pair)
{
	for (int i = 0; i < RINGS; i++)
		if (memcmp(pair->ring[i].addr, still->ring[i], sizeof(still->ring[i])))
			return false;
	return snapshot_same(&still->control, pair->pool);
}

void still_close(struct still *still)
{
	free(still->control.bytes);
	still->control = (struct snapshot){0};
}

static struct ring_shared *ring_of(const struct pair *pair, int i)
{
	return pair->ring[i].addr;
}

uint64_t pair_credit(const struct pair *pair)
{
	uint64_t sum = 0;

	for (int i = 0; i < RINGS; i++)
		sum += ring_of(pair, i)->credit;
	return sum;
}

void side_draw(struct side *side, uint32_t nr)
{
	side->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		side->desc[i] = (struct pinion_desc){.len = SMALL, .tag = i};
		must(!pinion_buffer_alloc(side->cache, &side->desc[i].buffer), "no buffer");
	}
}

void side_draw_row(struct side *side, uint32_t nr)
{
	struct pinion_buffer buffer[RING];

	side->nr = nr;
	must(pinion_buffer_alloc_bulk(side->cache, buffer, nr) == (int)nr, "no buffers");
	for (uint32_t i = 0; i < nr; i++) {
		must(buffer[i].bits == buffer[0].bits + i, "buffers that are no row");
		side->desc[i] = (struct pinion_desc){buffer[i], SMALL, i};
	}
}

void side_send(struct side *side)
{
	for (uint32_t i = 0; i < side->nr; i++)
		side->sent[pinion_buffer_id(side->desc[i].buffer)] = side->desc[i].buffer;
	must(pinion_channel_send(side->channel, side->desc, side->nr) == (int)side->nr,
	     "a batch was not sent");
}

void side_post(struct side *side, uint32_t nr)
{
	side_draw(side, nr);
	side_send(side);
}

void side_take(struct side *side, uint32_t nr)
{
	side->nr = nr;
	must(pinion_channel_recv(side->channel, side->desc, nr) == (int)nr,
	     "a batch was not received");
}

void side_free(struct side *side)
{
	for (uint32_t i = 0; i < side->nr; i++)
		must(!pinion_buffer_free(side->cache, side->desc[i].buffer), "cannot free");
	side->nr = 0;
}

void pair_cycle(struct pair *pair, uint32_t nr)
{
	side_post(&pair->first, nr);
	side_take(&pair->second, nr);
	side_send(&pair->second);
	side_take(&pair->first, nr);
	side_free(&pair->first);
	pair->second.nr = 0;
}

struct pinion_desc pair_desc(uint32_t i)
{
	return (struct pinion_desc){pinion_buffer_make(i % PAIR_BUFFERS, i + 1), i + 1, i};
}

void pair_ring(struct pair *pair, enum pinion_ring_end first, uint32_t nr)
{
	const int fd = pair->ring[RING_ALONE].fd;
	const bool sends = first == PINION_RING_SEND;
	struct side *from = sends ? &pair->first : &pair->second;
	struct side *to = sends ? &pair->second : &pair->first;

	pair->sends = sends;
	pair->at = nr;
	must(!pinion_ring_open(fd, PINION_RING_SEND, &from->ring) &&
		     !pinion_ring_open(fd, PINION_RING_RECV, &to->ring),
	     "a ring cannot be opened");
	for (uint32_t i = 0; i < nr; i++) {
		const struct pinion_desc desc = pair_desc(i);

		must(pinion_ring_send(from->ring, &desc, 1) == 1 &&
			     pinion_ring_recv(to->ring, to->desc, 1) == 1,
		     "a ring does not move");
	}
}

static struct side *other_than(struct pair *pair, const struct side *side)
{
	return side == &pair->first ? &pair->second : &pair->first;
}

void pair_more(struct pair *pair, struct side *to)
{
	const int fd = pair->ring[RING_MORE].fd;
	struct side *from = other_than(pair, to);

	must(!pinion_channel_open(to->pool, -1, fd, from->member, &to->more) &&
		     !pinion_channel_open(from->pool, fd, -1, to->member, &from->more),
	     "no channel more");
}

void pair_one_way(struct pair *pair, struct side *from, uint32_t nr)
{
	const int way = from->member == PAIR_FIRST ? RING_TO_SECOND : RING_TO_FIRST;
	const int fd = pair->ring[way].fd;
	struct side *to = other_than(pair, from);

	channel_abandon(from->channel);
	channel_abandon(to->channel);
	must(!pinion_channel_open(from->pool, fd, -1, to->member, &from->channel) &&
		     !pinion_channel_open(to->pool, -1, fd, from->member, &to->channel),
	     "no channel of one way");
	side_post(from, nr);
	side_take(to, nr);
	side_free(to);
}

void pair_loop(struct pair *pair, struct side *to)
{
	const int fd = pinion_channel_notify_fd(to->channel);

	must(fd >= 0 && !pinion_channel_set_notify(other_than(pair, to)->channel, fd),
	     "no descriptor for a loop");
}

bool side_is_called(const struct side *side)
{
	struct pollfd loop = {.fd = pinion_channel_fd(side->channel), .events = POLLIN};

	return poll(&loop, 1, 0) > 0;
}

void pair_talk(struct pair *pair, uint32_t depth, uint32_t peer_depth)
{
	must(!pinion_requester_open(pair->first.channel, depth, peer_depth,
				    &pair->first.requester) &&
		     !pinion_requester_open(pair->second.channel, peer_depth, depth,
					    &pair->second.requester),
	     "no requester");
}

void *side_context(uint32_t i)
{
	static char context[RING];

	return &context[i];
}

void side_ask(struct side *side, uint32_t nr)
{
	void *context[RING];

	side_draw(side, nr);
	for (uint32_t i = 0; i < nr; i++) {
		context[i] = side_context(i);
		side->sent[pinion_buffer_id(side->desc[i].buffer)] = side->desc[i].buffer;
	}
	must(pinion_request_send(side->requester, side->desc, context, nr) == (int)nr,
	     "a batch of requests was not sent");
}

void side_hear(struct side *side, uint32_t nr)
{
	void *context[RING];

	side->nr = nr;
	must(pinion_request_recv(side->requester, side->desc, context, nr) == (int)nr,
	     "a batch of requests was not received");
}

void side_doze(struct pair *pair, struct side *side)
{
	const int rx = side->member == PAIR_FIRST ? RING_TO_FIRST : RING_TO_SECOND;
	const pid_t pid = _Fork();
	int status;

	if (pid == 0)
		_exit(pinion_channel_wait(side->channel, UINT64_C(60000000000)) != 0);
	must(pid > 0, "no process to sleep");
	while (ring_of(pair, rx)->bell.state != BELL_ARMED || !step_sleeps(pid))
		must(waitpid(pid, &status, WNOHANG) == 0, "it did not go to sleep");
	(void)kill(pid, SIGKILL);
	must(waitpid(pid, &status, 0) == pid, "it did not die");
}
