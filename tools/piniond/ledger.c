/* SPDX-License-Identifier: BSD-3-Clause */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

#define LEDGER_MAGIC UINT64_C(0x726567646564696e) /* "nidedger" in memory */

/* Of another size, or with other records in it, it was written by another release. */
static uint64_t stamp(void)
{
	return sizeof(struct ledger) << 32 ^ sizeof(struct ledger_member) << 16 ^
	       sizeof(struct pinion_pool_record);
}

static int map(int fd, struct ledger **ledger)
{
	void *addr = mmap(NULL, sizeof(**ledger), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (addr == MAP_FAILED)
		return -errno;
	*ledger = addr;
	return 0;
}

static int create(struct ledger **ledger)
{
	int fd = memfd_create("ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, sizeof(**ledger)) || fchmod(fd, 0600) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err = -errno;
	else
		err = map(fd, ledger);
	if (!err) {
		(*ledger)->stamp = stamp();
		(*ledger)->magic = LEDGER_MAGIC;
		err = store_put(store_name("ledger"), fd);
	}
	(void)close(fd);
	return err;
}

static int take_over(int fd, struct ledger **ledger)
{
	struct stat status;
	int err = fstat(fd, &status) ? -errno : 0;

	if (!err && status.st_size != sizeof(**ledger))
		err = -EPROTO;
	if (!err)
		err = map(fd, ledger);
	(void)close(fd);
	if (err)
		return err;
	if ((*ledger)->magic == LEDGER_MAGIC && (*ledger)->stamp == stamp()) {
		(*ledger)->restarts++;
		return 0;
	}
	(void)munmap(*ledger, sizeof(**ledger));
	return -EPROTO;
}

static int take_over_or_drop(int fd, struct ledger **ledger)
{
	int err = take_over(fd, ledger);

	/* It was taken, and so is not among the rest. */
	if (err == -EPROTO)
		store_drop(store_name("ledger"));
	return err;
}

int ledger_open(struct ledger **ledger)
{
	int fd = store_take(store_name("ledger"), 0);

	return fd < 0 ? create(ledger) : take_over_or_drop(fd, ledger);
}

/* Pools. */

struct store_name ledger_control_name(uint32_t pool)
{
	return store_name("p.%u.control", pool);
}

struct store_name ledger_segment_name(uint32_t pool, uint32_t slot)
{
	return store_name("p.%u.%u", pool, slot);
}

const struct pinion_pool_record *ledger_record(const struct ledger *ledger, uint32_t pool)
{
	const struct ledger_pool *entry = &ledger->pool[pool];

	return &entry->record[atomic_load_explicit(&entry->which, memory_order_acquire) & 1];
}

/* What lies beyond them was never written, and memory would be taken to read it. */
uint32_t ledger_nr_members(const struct ledger *ledger, uint32_t pool)
{
	const uint32_t nr = ledger_record(ledger, pool)->nr_members;

	return nr < PINION_MEMBER_MAX ? nr : PINION_MEMBER_MAX;
}

/* Beside the last one, then the switch. */
static void put_record(struct ledger_pool *entry, const struct pinion_pool_record *record)
{
	uint32_t other = !atomic_load_explicit(&entry->which, memory_order_relaxed);

	entry->record[other] = *record;
	atomic_store_explicit(&entry->which, other, memory_order_release);
}

/* Does it say that something is wrong with a pool? That may be adopted anew, elsewhere. */
static bool is_marked(const struct ledger_pool *entry)
{
	return atomic_load_explicit(&entry->punched, memory_order_relaxed) ||
	       atomic_load_explicit(&entry->control_punched, memory_order_relaxed);
}

/* The first; one that is marked only where there is no other. */
static int find_free(const struct ledger *ledger, uint32_t *index)
{
	uint32_t marked = CONFIG_POOLS_MAX;

	for (*index = 0; *index < CONFIG_POOLS_MAX; ++*index) {
		const struct ledger_pool *entry = &ledger->pool[*index];

		if (atomic_load_explicit(&entry->used, memory_order_relaxed))
			continue;
		if (!is_marked(entry))
			return 0;
		if (marked == CONFIG_POOLS_MAX)
			marked = *index;
	}
	*index = marked;
	return marked < CONFIG_POOLS_MAX ? 0 : -ENOSPC;
}

static void drop_files(struct pool *pool)
{
	store_drop(ledger_control_name(pool->index));
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (pool->stored >> i & 1)
			store_drop(ledger_segment_name(pool->index, i));
	pool->stored = 0;
}

/* All of them or none; those of a named pool are in its directory. */
static int put_files(struct pool *pool)
{
	struct pinion_pool_fds fds;
	int err;

	if (pool->path)
		return 0;
	pinion_pool_export(pool->pool, &fds);
	err = store_put(ledger_control_name(pool->index), fds.control);
	if (err)
		return err;
	for (uint32_t i = 0; !err && i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0) {
			err = store_put(ledger_segment_name(pool->index, i), fds.segment[i]);
			pool->stored |= (uint64_t)!err << i;
		}
	if (err)
		drop_files(pool);
	return err;
}

static int add_record(struct ledger *ledger, struct pool *pool)
{
	struct pinion_pool_record record;
	int err = pinion_pool_record(pool->pool, &record);

	if (!err)
		err = put_files(pool);
	if (err)
		return err;
	/* First: it says how many members a service that finds this half done has to forget. */
	put_record(&ledger->pool[pool->index], &record);
	err = ledger_add_keeper(ledger, pool);
	if (err && !pool->path)
		drop_files(pool);
	return err;
}

static void forget_members(struct ledger *ledger, uint32_t index)
{
	for (uint32_t i = 0; i < ledger_nr_members(ledger, index); i++)
		if (ledger->member[index][i].role)
			memset(&ledger->member[index][i], 0, sizeof(ledger->member[index][i]));
}

int ledger_enter_pool(struct ledger *ledger, struct pool *pool)
{
	struct ledger_pool *entry;
	int err = find_free(ledger, &pool->index);

	if (!err && pool->path && strlen(pool->path) >= sizeof(entry->path))
		err = -ENAMETOOLONG;
	/* Whoever forgot the pool that was there, or did not get to publish it, may have been
	 * killed over it. */
	if (!err)
		forget_members(ledger, pool->index);
	if (!err)
		err = add_record(ledger, pool);
	if (err)
		return err;
	entry = &ledger->pool[pool->index];
	(void)strcpy(entry->name, pool->name);
	(void)snprintf(entry->path, sizeof(entry->path), "%s", pool->path ? pool->path : "");
	entry->own = pool->own;
	return 0;
}

void ledger_publish_pool(struct ledger *ledger, const struct pool *pool)
{
	atomic_store_explicit(&ledger->pool[pool->index].used,
			      pool->path ? LEDGER_NAMED : LEDGER_IN_FILES, memory_order_release);
}

static void forget_damage(struct ledger_pool *entry)
{
	atomic_store_explicit(&entry->punched, 0, memory_order_release);
	atomic_store_explicit(&entry->control_punched, 0, memory_order_release);
	atomic_store_explicit(&entry->punched_of, 0, memory_order_release);
}

/* What was wrong with one whose files go matters no more. */
void ledger_forget_pool(struct ledger *ledger, uint32_t index)
{
	struct ledger_pool *entry = &ledger->pool[index];
	const uint32_t was = atomic_load_explicit(&entry->used, memory_order_relaxed);

	atomic_store_explicit(&entry->used, LEDGER_UNUSED, memory_order_release);
	forget_members(ledger, index);
	if (was != LEDGER_NAMED)
		forget_damage(entry);
}

void ledger_remove_pool(struct ledger *ledger, struct pool *pool)
{
	ledger_forget_pool(ledger, pool->index);
	if (!pool->path)
		drop_files(pool);
}

bool ledger_has_pool(const struct ledger *ledger, const char *name)
{
	for (uint32_t i = 0; i < CONFIG_POOLS_MAX; i++)
		if (atomic_load_explicit(&ledger->pool[i].used, memory_order_acquire) &&
		    !strcmp(ledger->pool[i].name, name))
			return true;
	return false;
}

static bool is_of(const struct ledger_pool *entry, const struct pool *pool)
{
	return atomic_load_explicit(&entry->punched_of, memory_order_relaxed) == pool->pool->id;
}

/* Places are taken in their order: behind one that never had a pool nothing is written, and a look
 * would take memory. */
static bool was_taken(const struct ledger *ledger, uint32_t index)
{
	return index < CONFIG_POOLS_MAX && ledger->pool[index].name[0];
}

/* The place that speaks of @pool, its own before others. NULL: none does. */
static const struct ledger_pool *find_damage(const struct ledger *ledger, const struct pool *pool)
{
	if (is_of(&ledger->pool[pool->index], pool))
		return &ledger->pool[pool->index];
	for (uint32_t i = 0; was_taken(ledger, i); i++)
		if (is_of(&ledger->pool[i], pool))
			return &ledger->pool[i];
	return NULL;
}

static void forget_elsewhere(struct ledger *ledger, const struct pool *pool)
{
	for (uint32_t i = 0; was_taken(ledger, i); i++)
		if (i != pool->index && is_of(&ledger->pool[i], pool))
			forget_damage(&ledger->pool[i]);
}

/* Killed in between, it says what it said, here or in the place that the pool had before, or that
 * nothing is wrong with a pool of which it never said anything. */
void ledger_put_damage(struct ledger *ledger, const struct pool *pool)
{
	struct ledger_pool *entry = &ledger->pool[pool->index];

	if (!is_of(entry, pool))
		atomic_store_explicit(&entry->punched_of, 0, memory_order_release);
	atomic_store_explicit(&entry->punched, pool->audit.punched, memory_order_release);
	atomic_store_explicit(&entry->control_punched, pool->audit.control_punched,
			      memory_order_release);
	atomic_store_explicit(&entry->punched_of, pool->pool->id, memory_order_release);
	forget_elsewhere(ledger, pool);
}

void ledger_get_damage(const struct ledger *ledger, struct pool *pool)
{
	const struct ledger_pool *entry = find_damage(ledger, pool);

	if (!entry)
		return;
	pool->audit.punched = atomic_load_explicit(&entry->punched, memory_order_relaxed);
	pool->audit.control_punched =
		atomic_load_explicit(&entry->control_punched, memory_order_relaxed) != 0;
}

int ledger_watch(void *context, uint32_t slot, int fd, const struct pinion_pool_record *record)
{
	struct pool *pool = context;
	bool comes = !pool->path && fd >= 0 && !(pool->stored >> slot & 1);
	int err;

#ifdef PINION_PLANTED_LEDGER /* for tests/crash: found, or they are no good */
	put_record(&pool->service->ledger->pool[pool->index], record);
#endif
	err = comes ? store_put(ledger_segment_name(pool->index, slot), fd) : 0;

	if (err)
		return err;
	pool->stored |= (uint64_t)comes << slot;
	put_record(&pool->service->ledger->pool[pool->index], record);
	if (!pool->path && fd < 0) {
		store_drop(ledger_segment_name(pool->index, slot));
		pool->stored &= ~(UINT64_C(1) << slot);
	}
	return 0;
}

int ledger_add_keeper(struct ledger *ledger, const struct pool *pool)
{
	uint32_t number = pinion_pool_member(pool->pool);
	struct ledger_member *entry = &ledger->member[pool->index][number];
	int err = pinion_member_record(getpid(), &entry->record);

	if (!err)
		atomic_store_explicit(&entry->role, LEDGER_KEEPER, memory_order_release);
	return err;
}

/* Members. */

struct ledger_member *ledger_member(struct ledger *ledger, const struct member *member)
{
	return &ledger->member[member->pool->index][member->number];
}

struct store_name ledger_pidfd_name(uint32_t pool, uint32_t member)
{
	return store_name("m.%u.%u", pool, member);
}

static void fill(struct ledger_member *entry, const struct member *member)
{
	const struct device *device = member->device;

	entry->left = entry->ready = 0;
	entry->uid = member->uid;
	entry->gid = member->gid;
	entry->pid = (uint32_t)member->pid;
	entry->cookie = member->cookie;
	entry->branch = member->branch;
	entry->loop = member->loop;
	entry->addresses = member->addresses;
	entry->record.quota = member->quota;
	if (!device)
		return;
	entry->slots = device->slots;
	entry->slots_max = device->slots_max;
	entry->pools = device->pools;
	(void)strcpy(entry->name, device->name);
	(void)strcpy(entry->bdf, device->bdf);
}

int ledger_add_member(struct ledger *ledger, const struct member *member)
{
	struct ledger_member *entry = ledger_member(ledger, member);
	int err = pinion_member_record(member->pid, &entry->record);

	if (!err && !member->branch)
		err = store_put(ledger_pidfd_name(member->pool->index, member->number),
				member->pidfd);
	if (err)
		return err;
	fill(entry, member);
	atomic_store_explicit(&entry->role, member->device ? LEDGER_DEVICE : LEDGER_CLIENT,
			      memory_order_release);
	return 0;
}

void ledger_add_former(struct ledger *ledger, const struct member *member, uint64_t started)
{
	struct ledger_member *entry = ledger_member(ledger, member);

	fill(entry, member);
	entry->record = (struct pinion_member_record){
		.admitted = 1, .pid = member->pid, .started = started, .quota = member->quota};
	entry->left = member->state == GONE && !member->killed;
	atomic_store_explicit(&entry->role, LEDGER_FORMER, memory_order_release);
}

static bool has_stored_pidfd(const struct member *member, uint32_t role)
{
	return (role == LEDGER_CLIENT || role == LEDGER_DEVICE) && !member->branch;
}

void ledger_remove_member(struct ledger *ledger, const struct member *member)
{
	_Atomic uint32_t *role = &ledger_member(ledger, member)->role;
	const uint32_t was = atomic_load_explicit(role, memory_order_relaxed);

	/* A release that does not know it would leave it to whoever comes next. */
	ledger_member(ledger, member)->loop = 0;
	atomic_store_explicit(role, LEDGER_FREE, memory_order_release);
	if (has_stored_pidfd(member, was))
		store_drop(ledger_pidfd_name(member->pool->index, member->number));
}

struct store_name ledger_container_name(uint32_t pool, uint32_t member)
{
	return store_name("d.%u.%u", pool, member);
}

int ledger_add_container(const struct member *member)
{
	return store_put(ledger_container_name(member->pool->index, member->number),
			 member->device->container);
}

void ledger_remove_container(const struct member *member)
{
	store_drop(ledger_container_name(member->pool->index, member->number));
}

/* Pairings. */

struct store_name ledger_ring_name(uint32_t pairing, enum side side)
{
	return store_name("c.%u.%u", pairing, (unsigned)side);
}

static int find_free_pairing(struct ledger *ledger, struct ledger_pairing **entry)
{
	for (uint32_t i = 0; i < LEDGER_PAIRINGS_MAX; i++) {
		*entry = &ledger->pairing[i];
		if (!atomic_load_explicit(&(*entry)->number, memory_order_relaxed))
			return 0;
	}
	return -ENOSPC;
}

struct store_name ledger_doorbell_name(uint32_t pairing)
{
	return store_name("b.%u", pairing);
}

static int put_doorbell(const struct pairing *pairing)
{
	if (pairing->strikes[CLIENT] < 0)
		return 0;
	return store_put(ledger_doorbell_name(pairing->number), pairing->strikes[CLIENT]);
}

static void drop_files_of(const struct pairing *pairing)
{
	for (enum side side = CLIENT; side <= DEVICE; ++side)
		store_drop(ledger_ring_name(pairing->number, side));
	if (pairing->strikes[CLIENT] >= 0)
		store_drop(ledger_doorbell_name(pairing->number));
}

/* Both or none. */
static int put_rings(const struct pairing *pairing)
{
	int err = store_put(ledger_ring_name(pairing->number, CLIENT), pairing->ring[CLIENT]);

	if (err)
		return err;
	err = store_put(ledger_ring_name(pairing->number, DEVICE), pairing->ring[DEVICE]);
	if (err)
		store_drop(ledger_ring_name(pairing->number, CLIENT));
	return err;
}

/* All of them or none. */
static int put_files_of(const struct pairing *pairing)
{
	int err = put_rings(pairing);

	if (err)
		return err;
	err = put_doorbell(pairing);
	if (err)
		drop_files_of(pairing);
	return err;
}

int ledger_add_pairing(struct ledger *ledger, struct pairing *pairing)
{
	struct ledger_pairing *entry;
	int err = find_free_pairing(ledger, &entry);

	if (!err)
		err = put_files_of(pairing);
	if (err)
		return err;
	entry->pool = pairing->end[CLIENT]->pool->index;
	entry->client = pairing->end[CLIENT]->number;
	entry->device = pairing->end[DEVICE]->number;
	entry->slots = pairing->slots;
	entry->settled[CLIENT] = entry->settled[DEVICE] = 0;
	atomic_store_explicit(&entry->number, pairing->number, memory_order_release);
	pairing->entry = (uint32_t)(entry - ledger->pairing);
	return 0;
}

void ledger_remove_pairing(struct ledger *ledger, const struct pairing *pairing)
{
	atomic_store_explicit(&ledger->pairing[pairing->entry].number, 0, memory_order_release);
	drop_files_of(pairing);
}
