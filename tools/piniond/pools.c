/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include <systemd/sd-daemon.h>

#include <pinion/error.h>
#include <pinion/named.h>

#include "damaged.h"
#include "fail.h"
#include "ledger.h"
#include "make.h"
#include "reserve.h"

#define MEMBERS_DEFAULT 64 /* piniond.conf(5) */

/* A new segment: everyone gets its file before anyone can meet an id in it, or is owed it. */
static void announce(struct courier *courier, uint32_t slot, int fd)
{
	struct pool *pool = (void *)((char *)courier - offsetof(struct pool, courier));
	struct member *member;

	LIST_FOREACH(member, &pool->members, of_pool)
		tell_segment(member, slot, fd);
}

/* Meanwhile the loop does not run, and its watchdog is fed here: but not before it runs, since once
 * is to arm it. Until then systemctl(1) tells how far it is. */
static void progress(void *context, uint64_t done, uint64_t total)
{
	const struct pool *pool = context;

	if (sd_event_get_watchdog(pool->service->event) > 0)
		(void)sd_notify(0, "WATCHDOG=1");
	else if (sd_event_get_state(pool->service->event) == SD_EVENT_INITIAL)
		(void)sd_notifyf(0, "STATUS=pool %s: %ju of %ju MiB populated", pool->name,
				 (uintmax_t)(done >> 20), (uintmax_t)(total >> 20));
	if (done == total)
		service_log(LOG_INFO, "pool %s: %ju MiB populated", pool->name,
			    (uintmax_t)(total >> 20));
}

struct pool *pools_new(struct service *service, const char *name)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool) {
		(void)pinion_fail(-ENOMEM, "pool %s: no memory for the service's part", name);
		return NULL;
	}
	(void)snprintf(pool->name, sizeof(pool->name), "%s", name);
	pool->service = service;
	pool->courier.announce = announce;
	LIST_INIT(&pool->members);
	LIST_INIT(&pool->pairings);
	return pool;
}

void pools_insert(struct pool *pool)
{
	LIST_INSERT_HEAD(&pool->pool->couriers, &pool->courier, link);
	pool->pool->progress = (struct populate_progress){progress, pool};
	LIST_INSERT_HEAD(&pool->service->pools, pool, link);
	(void)pinion_pool_watch(pool->pool, ledger_watch, pool);
}

static uint32_t count_wanted(const struct config_pool *config)
{
	return config->pool.nr_members ? config->pool.nr_members : MEMBERS_DEFAULT;
}

/* One on hugetlbfs may be older than its configuration, and have other numbers: of few, too, some
 * are spared, or a service could not take up what it has filled. */
uint32_t pools_members_max(const struct pool *pool)
{
	const uint32_t nr = pool->pool->geometry.nr_members;
	const uint32_t room = nr - (nr / 2 < POOL_SUCCESSORS ? nr / 2 : POOL_SUCCESSORS);
	const struct config_pool *config;

	if (!pool->path)
		return nr - POOL_SUCCESSORS;
	config = config_find_pool(pool->service->config, pool->name);
	return config && count_wanted(config) < room ? count_wanted(config) : room;
}

/* As many as may be in it, and the numbers of those who take it up again. */
static uint32_t count_numbers(const struct config_pool *config)
{
	const uint32_t nr = count_wanted(config);

	return nr < PINION_MEMBER_MAX - POOL_SUCCESSORS ? nr + POOL_SUCCESSORS : PINION_MEMBER_MAX;
}

struct pinion_pool_config pools_wish(const struct config_pool *config)
{
	struct pinion_pool_config wish = config->pool;

	wish.name = config->name;
	wish.path = config->path;
	wish.nr_members = count_numbers(config);
	return wish;
}

/* A named pool that is there already is adopted. -EUCLEAN: it is damaged. */
static int make(const struct config_pool *config, struct pool *pool)
{
	struct pinion_pool_config wish = pools_wish(config);
	struct pinion_adoption found;
	int err = -ENOENT;

	wish.progress = progress;
	wish.progress_context = pool;
	if (config->path)
		err = pinion_pool_adopt(config->path, &pool->pool, &found);
	if (!err)
		service_log(LOG_NOTICE, "pool %s: adopted: %u members live, %u are dead",
			    config->name, found.living, found.dead);
	else if (err == -ENOENT)
		err = pinion_pool_create(&wish, &pool->pool);
	else if (damaged_is(config->path, err))
		err = -EUCLEAN;
	return err;
}

/* With all who are in it. */
static int enter(struct service *service, struct pool *pool)
{
	int err = ledger_enter_pool(service->ledger, pool);

	if (err)
		return pinion_fail(err, "pool %s: %s", pool->name, err == -ENOSPC
				   ? "as many pools, or files in the store, as there may be"
				   : strerror(-err));
	err = pool->path ? former_take_in(pool) : 0;
	if (!err)
		ledger_publish_pool(service->ledger, pool);
	return err;
}

/* From now on; or not, and what was made is the caller's. */
static int serve_or_free(struct service *service, struct pool *pool)
{
	int err = enter(service, pool);

	if (err) {
		free(pool);
		return err;
	}
	pools_insert(pool);
	if (pool->path) {
		audit_recall(pool);
		burial_look(pool);
	}
	return 0;
}

int pools_add(struct service *service, const struct config_pool *config)
{
	struct pool *pool = pools_new(service, config->name);
	struct pinion_pool *made;
	int err = pool ? make(config, pool) : -ENOMEM;

	if (err) {
		free(pool);
		return err;
	}
	made = pool->pool;
	pool->path = config->path;
	err = serve_or_free(service, pool);
	if (err)
		(void)pinion_pool_destroy(made);
	return err;
}

int pools_take_in(struct service *service, const struct config_pool *config, bool own,
		  struct pinion_pool *made)
{
	struct pool *pool = pools_new(service, config->name);

	if (!pool)
		return -ENOMEM;
	pool->pool = made;
	pool->own = own;
	return serve_or_free(service, pool);
}

struct pool *pools_find(const struct service *service, const char *name)
{
	struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link)
		if (!strcmp(pool->name, name))
			return pool;
	return NULL;
}

int pools_choose_name(const struct service *service, char name[PINION_NAME_MAX],
		      const char *template)
{
	for (unsigned i = 1; i <= CONFIG_POOLS_MAX; i++) {
		int len = snprintf(name, PINION_NAME_MAX, "%s.%u", template, i);

		if (len >= PINION_NAME_MAX)
			return pinion_fail(-ENAMETOOLONG, "%s: too long for a template", template);
		if (!pools_find(service, name) && !config_find_pool(service->config, name))
			return 0;
	}
	return pinion_fail(-ENOSPC, "there are as many pools as there may be");
}

/* All of it but the pool itself, which is returned. */
static struct pinion_pool *forget(struct pool *pool)
{
	struct pinion_pool *rest = pool->pool;

	LIST_REMOVE(pool, link);
	LIST_REMOVE(&pool->courier, link);
	(void)sd_event_source_disable_unref(pool->retry);
	free(pool);
	return rest;
}

void pools_end(struct pool *pool)
{
	struct service *service = pool->service;

	ledger_remove_pool(service->ledger, pool);
	making_undo(service, forget(pool));
}

void pools_destroy(struct service *service)
{
	struct pool *pool, *next;

	LIST_FOREACH_SAFE(pool, &service->pools, link, next)
		(void)pinion_pool_destroy(forget(pool));
}

/* One that cannot be looked at is made if it is not there, with the pages that are free. */
static bool is_there(const struct service *service, const struct config_pool *config)
{
	struct stat status;

	return ledger_has_pool(service->ledger, config->name) ||
	       (config->path && (!lstat(config->path, &status) || errno != ENOENT));
}

/* The control area of a named pool lies in pages like the rest, on any node. */
static uint32_t add_wishes(const struct config_pool *config, struct reserve_wish *wish)
{
	const struct pinion_pool_config pool = pools_wish(config);
	const size_t page = pool.segment[0].page_size;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < pool.nr_segments; i++) {
		const struct pinion_segment_config *segment = &pool.segment[i];

		if (segment->page_size != pinion_hostmem_base_page())
			wish[nr++] = (struct reserve_wish){segment->node, segment->page_size,
							   segment->len / segment->page_size};
	}
	if (config->path)
		wish[nr++] = (struct reserve_wish){
			PINION_NODE_ANY, page, (make_control_len(&pool) + page - 1) / page};
	return nr;
}

int pools_reserve(const struct service *service)
{
	const struct config *config = service->config;
	const struct hp_sys sys = {.root = ""};
	struct reserve_wish *wish;
	uint32_t nr = 0;
	int err;

	if (!config->reserve)
		return 0;
	wish = calloc(CONFIG_POOLS_MAX * (PINION_SEGMENT_MAX + 1), sizeof(*wish));
	if (!wish)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->nr_pools; i++)
		if (!config->pool[i].template && !is_there(service, &config->pool[i]))
			nr += add_wishes(&config->pool[i], &wish[nr]);
	err = nr ? reserve(&sys, wish, nr) : 0;
	free(wish);
	return err;
}

/* What is no pool any more, or of another layout, is left as it is and served to nobody, until
 * somebody removes it or runs the release that made it; the others are served. */
static int create_or_pass_over(struct service *service, const struct config_pool *config)
{
	int err = pools_add(service, config);

	if (err != -EUCLEAN)
		return err;
	service_log(LOG_ERR, "pool %s: passed over, and its files left as they are: %s",
		    config->name, pinion_error_text());
	service->nr_passed_over++;
	return 0;
}

int pools_create(struct service *service)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < service->config->nr_pools; i++)
		if (!service->config->pool[i].template &&
		    !pools_find(service, service->config->pool[i].name))
			err = create_or_pass_over(service, &service->config->pool[i]);
	if (err)
		service_log(LOG_ERR, "%s", pinion_error_text());
	return err;
}
