/* SPDX-License-Identifier: BSD-3-Clause */
#include "resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/error.h>

#include "fail.h"
#include "ledger.h"
#include "member.h"
#include "process.h"
#include "store.h"

/* Where the record has a segment, its file, by its inode; elsewhere what is left over from a change
 * that was not recorded, or not dropped. */
static uint64_t take_files(uint32_t index, const struct pinion_pool_record *record,
			   struct pinion_pool_fds *fds)
{
	uint64_t stored = 0;

	fds->nr_segments = record->nr_segments < PINION_SEGMENT_MAX ? record->nr_segments
								    : PINION_SEGMENT_MAX;
	fds->control = store_take(ledger_control_name(index), record->control_inode);
	for (uint32_t i = 0; i < fds->nr_segments; i++) {
		bool wanted = record->segment[i].nr;

		fds->segment[i] = store_take(ledger_segment_name(index, i),
					     wanted ? record->segment[i].inode : 0);
		stored |= (uint64_t)(wanted && fds->segment[i] >= 0) << i;
	}
	return stored;
}

/* No longer kept: those that came and are not in @stored. */
static void drop_files(uint32_t index, const struct pinion_pool_fds *fds, uint64_t stored)
{
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		if (fds->segment[i] >= 0 && !(stored >> i & 1))
			store_drop(ledger_segment_name(index, i));
}

/* A pool that is given up. */
static void give_up_files(uint32_t index, const struct pinion_pool_fds *fds)
{
	drop_files(index, fds, 0);
	for (uint32_t i = 0; i < fds->nr_segments; i++)
		if (fds->segment[i] >= 0)
			(void)close(fds->segment[i]);
	if (fds->control < 0)
		return;
	store_drop(ledger_control_name(index));
	(void)close(fds->control);
}

/* Does the process still live that the ledger speaks of? As the pool will see it: one that its
 * parent has not waited for yet is dead. */
static bool lives(const struct ledger_member *entry)
{
	return process_lives((pid_t)entry->pid, entry->record.started);
}

/* A device process that died counts as living, in our name, until its device was seen to be quiet:
 * otherwise all would be recovered at once where nobody else lives. */
static struct pinion_member_record record_of(const struct ledger_member *entry)
{
	struct pinion_member_record record = entry->record;

	if (entry->role == LEDGER_DEVICE && !entry->left && !lives(entry))
		(void)pinion_member_record(getpid(), &record);
	return record;
}

static struct pinion_member_record *list_members(const struct ledger *ledger, uint32_t index)
{
	const uint32_t nr = ledger_nr_members(ledger, index);
	struct pinion_member_record *list = calloc(nr, sizeof(*list));

	for (uint32_t i = 0; list && i < nr; i++)
		if (atomic_load_explicit(&ledger->member[index][i].role, memory_order_acquire))
			list[i] = record_of(&ledger->member[index][i]);
	return list;
}

/* The files are not what the record says, or not there, and will not be. Anything else passes: then
 * this process ends, and what the store keeps is there for the next. (-EAGAIN passes when members
 * end. To go on without that pool would forget them, and the containers of the dead.) */
static bool is_hopeless(int err)
{
	return err == -EPROTO || err == -EINVAL || err == -ENOENT;
}

static int resume_files(struct pool *pool, const struct pinion_pool_record *record,
			const struct pinion_member_record *members, struct pinion_adoption *report)
{
	struct pinion_pool_fds fds;
	int err;

	pool->stored = take_files(pool->index, record, &fds);
	err = pinion_pool_resume(&fds, record, members, &pool->pool, report);
	if (is_hopeless(err))
		give_up_files(pool->index, &fds);
	else if (!err)
		drop_files(pool->index, &fds, pool->stored);
	return err;
}

static int resume_pool(const struct ledger *ledger, struct pool *pool,
		       struct pinion_adoption *report)
{
	const struct pinion_pool_record *record = ledger_record(ledger, pool->index);
	struct pinion_member_record *members = list_members(ledger, pool->index);
	int err;

	if (!members)
		err = pinion_fail(-ENOMEM, "no memory for a list of its members");
	else if (pool->path)
		err = pinion_pool_resume_named(pool->path, record, members, &pool->pool, report);
	else
		err = resume_files(pool, record, members, report);
	free(members);
	return err;
}

/* All numbers but our own are free. */
static void forget_members(struct ledger *ledger, const struct pool *pool)
{
	for (uint32_t i = 0; i < ledger_nr_members(ledger, pool->index); i++)
		if (i != pinion_pool_member(pool->pool))
			atomic_store_explicit(&ledger->member[pool->index][i].role, LEDGER_FREE,
					      memory_order_release);
}

/* The one in the store; or, if the store was full, by pid and the moment when that began. -1: it is
 * dead. That nothing could be opened is no death: an error. */
static int find_pidfd(struct member *member)
{
	const struct ledger_member *entry = ledger_member(member->pool->service->ledger, member);
	int fd = store_take(ledger_pidfd_name(member->pool->index, member->number), 0);

	if (fd < 0)
		fd = process_open((pid_t)entry->pid, entry->record.started);
	if (fd < 0 && fd != -ESRCH)
		return pinion_fail(fd, "no pidfd of process %d: %s", (int)member->pid,
				   strerror(-fd));
	member->pidfd = fd < 0 ? -1 : fd;
	return 0;
}

static struct device *restore_device(const struct ledger_member *entry, uint32_t index,
				     uint32_t number)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	memcpy(device->name, entry->name, sizeof(device->name));
	memcpy(device->bdf, entry->bdf, sizeof(device->bdf));
	device->slots = entry->slots;
	device->slots_max = entry->slots_max;
	device->pools = entry->pools;
	device->ready = entry->ready;
	device->table = -1; /* it shares that again */
	device->container = store_take(ledger_container_name(index, number), 0);
	return device;
}

static int watch(struct member *member)
{
	if (member->pidfd >= 0)
		return admit_watch(member);
	burial_mark(member, !burial_has_left(member));
	return 0;
}

/* Former keepers and those who said goodbye are buried; who died meanwhile is found dead by the
 * first look at its pidfd. */
static int restore_member(struct pool *pool, uint32_t number, const struct ledger_member *entry)
{
	uint32_t role = atomic_load_explicit(&entry->role, memory_order_relaxed);
	struct member *member = calloc(1, sizeof(*member));
	int err = 0;

	if (!member)
		return pinion_fail(-ENOMEM, "no memory for a member");
	*member = (struct member){.pool = pool, .number = number, .pid = (pid_t)entry->pid,
				  .uid = entry->uid, .gid = entry->gid, .pidfd = -1,
				  .cookie = entry->cookie, .quota = entry->record.quota,
				  .branch = entry->branch, .addresses = entry->addresses,
				  .loop = entry->loop,
				  .former = role == LEDGER_FORMER &&
					    member_uninvite(&pool->pool->members[number])};
	if (role == LEDGER_DEVICE) {
		member->device = restore_device(entry, pool->index, number);
		if (!member->device) {
			free(member);
			return pinion_fail(-ENOMEM, "no memory for a device");
		}
	}
	LIST_INSERT_HEAD(&pool->members, member, of_pool);
	if (role != LEDGER_KEEPER && !member->branch && !entry->left)
		err = find_pidfd(member);
	if (role == LEDGER_KEEPER || entry->left)
		member->state = GONE;
	else if (!err && !member->branch)
		err = watch(member);
	return err;
}

static int restore_members(struct pool *pool)
{
	const struct ledger *ledger = pool->service->ledger;
	int err = 0;

	for (uint32_t i = 0; !err && i < ledger_nr_members(ledger, pool->index); i++)
		if (i != pinion_pool_member(pool->pool) &&
		    atomic_load_explicit(&ledger->member[pool->index][i].role,
					 memory_order_relaxed))
			err = restore_member(pool, i, &ledger->member[pool->index][i]);
	return err;
}

static int take_members(struct pool *pool, const struct pinion_adoption *report)
{
	struct ledger *ledger = pool->service->ledger;
	int err = ledger_add_keeper(ledger, pool);

	pools_insert(pool);
	audit_recall(pool);
	if (!err && !report->living)
		forget_members(ledger, pool);
	if (!err)
		err = restore_members(pool);
	if (err)
		service_log(LOG_ERR, "pool %s: its members are not taken up again: %s",
			    pool->name, pinion_error_text());
	else
		service_log(LOG_NOTICE, "pool %s: taken up again: %u members live, %u are dead",
			    pool->name, report->living, report->dead);
	return err;
}

static int restore_pool(struct service *service, uint32_t index)
{
	struct ledger *ledger = service->ledger;
	const struct ledger_pool *entry = &ledger->pool[index];
	struct pinion_adoption report = {0};
	struct pool *pool = pools_new(service, entry->name);
	int err;

	if (!pool) {
		service_log(LOG_ERR, "%s", pinion_error_text());
		return -ENOMEM;
	}
	pool->index = index;
	pool->path = entry->used == LEDGER_NAMED ? entry->path : NULL;
	err = resume_pool(ledger, pool, &report);
	if (err) {
		service_log(LOG_ERR, "pool %s: not taken up again: %s", entry->name,
			    pinion_error_text());
		free(pool);
		if (!is_hopeless(err))
			return err;
		ledger_forget_pool(ledger, index);
		return 0;
	}
	pool->own = entry->own;
	return take_members(pool, &report);
}

/* Branches. */

/* A home that died counts as living until the loop has looked at it, and a branch of a living home
 * that has no pairing has let go: so the dead one's must wait for the device by themselves. Its
 * goodbye stands in the home's slot alone. Without a home, such as one in a pool that was given up,
 * it lives as long as its process. */
static int restore_branch(struct member *member)
{
	const struct pool *pool = member->pool;
	struct member *home = admit_find_cookie(pool->service, member->cookie);
	int err;

	if (!lives(ledger_member(pool->service->ledger, member))) {
		burial_mark(member, !home || !burial_has_left(home));
		return 0;
	}
	if (home) {
		member->home = home;
		LIST_INSERT_HEAD(&home->branches, member, of_home);
		return 0;
	}
	err = find_pidfd(member);
	return err ? err : watch(member);
}

static int restore_branches(struct service *service)
{
	struct member *member;
	struct pool *pool;
	int err = 0;

	LIST_FOREACH(pool, &service->pools, link)
		LIST_FOREACH(member, &pool->members, of_pool)
			if (!err && member->branch && member->state == LIVE)
				err = restore_branch(member);
	return err;
}

/* Pairings. */

static struct member *find_member(const struct pool *pool, uint32_t number)
{
	struct member *member;

	LIST_FOREACH(member, &pool->members, of_pool)
		if (member->number == number)
			return member;
	return NULL;
}

static struct pool *find_pool(const struct service *service, uint32_t index)
{
	struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link)
		if (pool->index == index)
			return pool;
	return NULL;
}

/* Neither end was told of anything on its present connection: it has none yet. */
static int restore_pairing(struct service *service, uint32_t index)
{
	struct ledger_pairing *entry = &service->ledger->pairing[index];
	struct pool *pool = find_pool(service, entry->pool);
	struct member *client = pool ? find_member(pool, entry->client) : NULL;
	struct member *device = pool ? find_member(pool, entry->device) : NULL;
	struct pairing *pairing;

	if (!client || !device || !device->device) {
		atomic_store_explicit(&entry->number, 0, memory_order_release);
		return 0;
	}
	pairing = calloc(1, sizeof(*pairing));
	if (!pairing)
		return pinion_fail(-ENOMEM, "no memory for a channel");
	*pairing = (struct pairing){.number = entry->number, .slots = entry->slots, .entry = index,
				    .end = {client, device}};
	for (enum side side = CLIENT; side <= DEVICE; ++side) {
		pairing->settled[side] = entry->settled[side];
		pairing->ring[side] = store_take(ledger_ring_name(entry->number, side), 0);
	}
	doorbell_init(pairing);
	if (client->loop)
		pairing->strikes[CLIENT] = store_take(ledger_doorbell_name(pairing->number), 0);
	LIST_INSERT_HEAD(&pool->pairings, pairing, of_pool);
	return 0;
}

int resume_all(struct service *service)
{
	struct ledger *ledger = service->ledger;
	struct pool *pool, *next;
	int err = 0;

	for (uint32_t i = 0; !err && i < CONFIG_POOLS_MAX; i++)
		if (atomic_load_explicit(&ledger->pool[i].used, memory_order_acquire))
			err = restore_pool(service, i);
	if (err)
		return err;
	err = restore_branches(service);
	for (uint32_t i = 0; !err && i < LEDGER_PAIRINGS_MAX; i++)
		if (atomic_load_explicit(&ledger->pairing[i].number, memory_order_acquire))
			err = restore_pairing(service, i);
	/* The next may have more luck, with all that the store has. */
	if (err) {
		service_log(LOG_ERR, "branches and channels are not taken up "
			    "again: %s", pinion_error_text());
		return err;
	}
	store_drop_rest();
	LIST_FOREACH_SAFE(pool, &service->pools, link, next)
		burial_go_on(pool);
	return 0;
}
