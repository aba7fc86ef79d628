/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/error.h>

#include "fail.h"

/*
 * A pool that one thread makes while the loop goes on: to clear its pages takes as long as it has
 * pages. Nobody else has any of it, and nothing of it is in the ledger, until the loop takes it in;
 * killed before, nothing of it is left.
 *
 * Who asked is answered anew then, from the beginning: devices, rules and names may be others. One
 * is made at a time, for who has waited longest; and of each user one waits, turn.c sees to that.
 *
 * Between start() and on_made() the thread has it, but for @peer, @asked_ns and the event source;
 * both of these hand it over (pthread_create, pthread_join).
 */
struct making {
	struct peer *peer;
	const struct config_pool *template; /* of one that is named after it; NULL: by order */
	struct config_pool config;
	uint64_t asked_ns, began_ns;
	pthread_t thread, before; /* what went before it, if @waits: its pages may be wanted */
	bool waits;
	int ended; /* an eventfd */
	sd_event_source *source;
	struct pinion_pool *pool; /* NULL: not made, or taken */
	int err;
	char text[512]; /* about @err */
};

static int fail(struct making *making, int err)
{
	making->err = err;
	(void)snprintf(making->text, sizeof(making->text), "%s", pinion_error_text());
	return err;
}

static void *make(void *arg)
{
	struct making *making = arg;
	const struct pinion_pool_config wish = pools_wish(&making->config);
	int err;

	if (making->waits)
		(void)pthread_join(making->before, NULL);
	err = pinion_pool_create(&wish, &making->pool);
	if (err)
		(void)fail(making, err);
	(void)eventfd_write(making->ended, 1);
	return NULL;
}

static void discard(struct making *making)
{
	if (making->pool)
		(void)pinion_pool_destroy(making->pool);
	free(making);
}

static void put_down(struct making *making)
{
	making->source = sd_event_source_disable_unref(making->source);
	if (making->ended >= 0)
		(void)close(making->ended);
	making->ended = -1;
}

static int on_made(sd_event_source *source, int fd, uint32_t events, void *context);

static int start_thread(struct making *making)
{
	struct service *service = making->peer->service;
	int err;

	making->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (making->ended < 0)
		return -errno;
	err = sd_event_add_io(service->event, &making->source, making->ended, EPOLLIN, on_made,
			      making);
	if (err < 0)
		return err;
	making->before = service->undoing;
	making->waits = service->is_undoing;
	err = -pthread_create(&making->thread, NULL, make, making);
	if (!err)
		service->is_undoing = false; /* that is the thread's now */
	return err;
}

/* pre: none is being made. The name is chosen now: nobody else's comes in between. */
static int start(struct making *making)
{
	struct service *service = making->peer->service;
	int err = 0;

	making->began_ns = service_now_ns();
	if (making->template)
		err = pools_choose_name(service, making->config.name, making->template->name);
	else if (pools_find(service, making->config.name)) /* made since it was asked for */
		err = pinion_fail(-EEXIST, "there is a pool %s", making->config.name);
	if (err)
		return fail(making, err);
	err = start_thread(making);
	if (!err) {
		service->making = making;
		return 0;
	}
	put_down(making);
	return fail(making, pinion_fail(err, "pool %s: no thread to make it: %s",
					making->config.name, strerror(-err)));
}

static struct making *find_next(const struct service *service)
{
	const struct peer *peer;
	struct making *next = NULL;

	LIST_FOREACH(peer, &service->peers, link)
		if (peer->making && (!next || peer->making->asked_ns < next->asked_ns))
			next = peer->making;
	return next;
}

/* Whatever became of it. How long it took counts as its user's turn, whoever may be let in. */
static void finish(struct making *making)
{
	struct peer *peer = making->peer;

	peers_answer_again(peer);
	peer->making = NULL;
	turn_end(peer, making->began_ns);
	turn_go_on(peer->service, peer->uid);
	if (making->pool) /* nobody wants it any more */
		making_undo(peer->service, making->pool);
	making->pool = NULL;
	discard(making);
}

static int on_made(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct making *making = context;
	struct service *service = making->peer->service;

	(void)source, (void)fd, (void)events;
	(void)pthread_join(making->thread, NULL);
	put_down(making);
	service->making = NULL;
	do
		finish(making);
	while ((making = find_next(service)) && start(making));
	return 0;
}

static uint64_t len_of(const struct pinion_pool_config *config)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < config->nr_segments; i++)
		len += config->segment[i].len;
	return len;
}

static int take_in(struct service *service, struct making *making)
{
	int err;

	if (making->err)
		return making->err;
	err = pools_take_in(service, &making->config, making->template, making->pool);
	if (err)
		return fail(making, err);
	making->pool = NULL;
	return 0;
}

static struct pool *take(struct making *making)
{
	struct service *service = making->peer->service;

	if (take_in(service, making)) {
		peers_refuse(making->peer, making->err, "%s", making->text);
		return NULL;
	}
	service_log(LOG_INFO, "pool %s: %ju MiB populated", making->config.name,
		    (uintmax_t)(len_of(&making->config.pool) >> 20));
	return pools_find(service, making->config.name);
}

static struct making *new_making(struct peer *peer, const struct config_pool *config, bool own)
{
	struct making *making = calloc(1, sizeof(*making));

	if (!making)
		return NULL;
	making->peer = peer;
	making->template = own ? config : NULL;
	making->config = *config;
	making->asked_ns = service_now_ns();
	making->ended = -1;
	return making;
}

/* Not heard meanwhile, that it hung up neither: then there is nobody who is not there. */
static void wait_for(struct peer *peer, struct making *making)
{
	peer->making = making;
	(void)sd_event_source_set_enabled(peer->io, SD_EVENT_OFF);
}

struct pool *making_pool(struct peer *peer, const struct config_pool *config, bool own)
{
	struct making *making;

	if (peer->making)
		return take(peer->making);
	making = new_making(peer, config, own);
	if (!making) {
		peers_refuse(peer, -ENOMEM, "no memory to make pool %s", config->name);
		return NULL;
	}
	if (!peer->service->making && start(making)) {
		peers_refuse(peer, making->err, "%s", making->text);
		discard(making);
		return NULL;
	}
	wait_for(peer, making);
	return NULL;
}

static void *undo(void *arg)
{
	(void)pinion_pool_destroy(arg);
	return NULL;
}

void making_await_undone(struct service *service)
{
	if (service->is_undoing)
		(void)pthread_join(service->undoing, NULL);
	service->is_undoing = false;
}

/* Its pages go back to the kernel, which takes as long as there are. One at a time: the next waits
 * no longer than it would have taken here. */
void making_undo(struct service *service, struct pinion_pool *pool)
{
	making_await_undone(service);
	service->is_undoing = !pthread_create(&service->undoing, NULL, undo, pool);
	if (!service->is_undoing)
		(void)undo(pool);
}

void making_close(struct service *service)
{
	struct making *making = service->making;
	struct peer *peer;

	making_await_undone(service);
	if (making) {
		(void)pthread_join(making->thread, NULL);
		put_down(making);
		service->making = NULL;
	}
	LIST_FOREACH(peer, &service->peers, link) {
		if (peer->making)
			discard(peer->making);
		peer->making = NULL;
	}
}
