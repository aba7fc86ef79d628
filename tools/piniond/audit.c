/* SPDX-License-Identifier: BSD-3-Clause */
#include "audit.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <syslog.h>

#include "footprint.h"
#include "ledger.h"
#include "service.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define PERIOD_USEC 500000
#define AGAIN_USEC 20000 /* much longer than it takes to move a page */
#define PAGES_PER_TURN 2048u
#define STAT_BLOCK 512 /* bytes in a unit of st_blocks, whatever the file system (stat(2)) */

static uint64_t bit_of(uint32_t slot)
{
	return UINT64_C(1) << slot;
}

bool audit_is_damaged(const struct pool *pool)
{
	return pool->audit.punched || pool->audit.control_punched;
}

void audit_forget(struct pool *pool, uint32_t slot)
{
	pool->audit.punched &= ~bit_of(slot);
	pool->audit.ours &= ~bit_of(slot);
	if (pool->audit.slot == slot) {
		pool->audit.page = 0;
		pool->audit.suspect = false;
	}
	ledger_put_damage(pool->service->ledger, pool);
}

/* What was wrong with a segment that is gone counts no more: the service before may have been
 * killed before it wrote that down. One that is going is in use yet. */
void audit_recall(struct pool *pool)
{
	ledger_get_damage(pool->service->ledger, pool);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (!pool_has_segment(pool->pool, i))
			pool->audit.punched &= ~bit_of(i);
	ledger_put_damage(pool->service->ledger, pool);
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (pool->audit.punched & bit_of(i))
			service_log(LOG_ALERT, "pool %s: segment %u lacks pages since before this "
				    "service: nobody is attached; retire the segment, or end the "
				    "pool", pool->name, i);
	if (pool->audit.control_punched)
		service_log(LOG_ALERT, "pool %s: its control area lacks pages since before this "
			    "service: nobody is attached; end the pool", pool->name);
}

/* Files. */

/* Bytes that @fd really has; UINT64_MAX: it does not tell. */
static uint64_t bytes_in(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? UINT64_MAX : (uint64_t)status.st_blocks * STAT_BLOCK;
}

static void tell_segment_punched(struct pool *pool, uint32_t slot, uint64_t missing)
{
	pool->audit.punched |= bit_of(slot);
	ledger_put_damage(pool->service->ledger, pool);
	pool->service->counters.punched++;
	service_log(LOG_ALERT, "pool %s: %ju KiB at least were punched out of segment %u by one "
		    "who may write to it: what was there is lost, and a device may still use the "
		    "old pages. Nobody is attached any more; retire the segment, or end the pool",
		    pool->name, (uintmax_t)(missing >> 10), slot);
}

static void look_at_control(struct pool *pool)
{
	const uint64_t has = bytes_in(pool->pool->control.fd);
	struct audit *audit = &pool->audit;

	if (audit->control_punched || has == UINT64_MAX)
		return;
	if (has >= audit->control_most) {
		audit->control_most = has;
		return;
	}
	audit->control_punched = true;
	ledger_put_damage(pool->service->ledger, pool);
	pool->service->counters.punched++;
	service_log(LOG_ALERT, "pool %s: %ju KiB at least were punched out of its control area: "
		    "who holds what is not known any more. Nobody is attached any more; end the "
		    "pool", pool->name, (uintmax_t)((audit->control_most - has) >> 10));
}

/* Of slots without a segment both are 0. */
static void look_at_files(struct pool *pool)
{
	look_at_control(pool);
	for (uint32_t i = 0; i < pinion_pool_slots(pool->pool); i++) {
		const struct pinion_hostmem *memory = &pool->pool->memory[i];
		uint64_t has;

		if (!memory->addr || pool->audit.punched & bit_of(i))
			continue;
		has = bytes_in(memory->fd);
		if (has < memory->len)
			tell_segment_punched(pool, i, memory->len - has);
	}
}

/* Pages. */

static size_t batch_at(const struct pinion_hostmem *memory, size_t page)
{
	const size_t left = memory->len / memory->page_size - page;

	return left < PINION_HOSTMEM_NODE_BATCH ? left : PINION_HOSTMEM_NODE_BATCH;
}

static bool is_missing(const struct pinion_hostmem *memory, size_t page, size_t nr)
{
	int ignored[PINION_HOSTMEM_NODE_BATCH];

	return pinion_hostmem_node((char *)memory->addr + page * memory->page_size,
				   memory->page_size, ignored, nr) == -EFAULT;
}

static uint64_t bytes_missing(const struct pinion_hostmem *memory, size_t page, size_t nr)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < nr; i++)
		bytes += is_missing(memory, page + i, 1) ? memory->page_size : 0;
	return bytes;
}

/* The first time round they are put into our table: look_at_files() has just seen that they are
 * all in the file. */
static bool is_batch_whole(const struct audit *audit, const struct pinion_hostmem *memory,
			   size_t nr)
{
	char *at = (char *)memory->addr + audit->page * memory->page_size;

	if (!(audit->ours & bit_of(audit->slot)))
		(void)madvise(at, nr * memory->page_size, MADV_POPULATE_READ);
	return !is_missing(memory, audit->page, nr);
}

/* The next batch where we are; how many pages. 0: there is no more of this segment to be seen. */
static size_t look_at_batch(struct pool *pool)
{
	struct audit *audit = &pool->audit;
	const struct pinion_hostmem *memory = &pool->pool->memory[audit->slot];
	size_t nr;

	if (!memory->addr || memory->page_size == pinion_hostmem_base_page() ||
	    audit->punched & bit_of(audit->slot))
		return 0;
	nr = batch_at(memory, audit->page);
	if (!nr) {
		audit->ours |= bit_of(audit->slot);
	} else if (is_batch_whole(audit, memory, nr)) {
		audit->suspect = false;
		audit->page += nr;
	} else if (!audit->suspect) {
		audit->suspect = true;
	} else {
		audit->suspect = false;
		tell_segment_punched(pool, audit->slot, bytes_missing(memory, audit->page, nr));
	}
	return nr;
}

static void go_to_next_segment(struct pool *pool)
{
	struct audit *audit = &pool->audit;

	audit->slot = (audit->slot + 1) % pinion_pool_slots(pool->pool);
	audit->page = 0;
	audit->suspect = false;
}

/* @share pages, up to the end of a batch; or all there are. A suspect waits for the next turn. */
static void look_at_pages(struct pool *pool, size_t share)
{
	uint32_t left = pinion_pool_slots(pool->pool);
	size_t seen = 0;

	while (left && seen < share) {
		const size_t nr = look_at_batch(pool);

		seen += nr;
		if (nr && pool->audit.suspect)
			return;
		if (!nr) {
			go_to_next_segment(pool);
			left--;
		}
	}
}

/* Both. */

static size_t share_of_each(const struct service *service)
{
	const struct pool *pool;
	size_t nr = 0;

	LIST_FOREACH(pool, &service->pools, link)
		nr++;
	return nr ? PAGES_PER_TURN / nr : 0;
}

static int on_turn(sd_event_source *source, uint64_t usec, void *context)
{
	struct service *service = context;
	const size_t share = share_of_each(service);
	struct pool *pool;
	bool suspect = false;

	(void)usec;
	LIST_FOREACH(pool, &service->pools, link) {
		look_at_files(pool);
		look_at_pages(pool, share);
		footprint_let_go(pool);
		suspect |= pool->audit.suspect;
	}
	(void)sd_event_source_set_time_relative(source, suspect ? AGAIN_USEC : PERIOD_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int audit_start(struct service *service)
{
	const int err = sd_event_add_time_relative(service->event, NULL, CLOCK_MONOTONIC, 0, 10000,
						   on_turn, service);

	return err < 0 ? err : 0;
}
