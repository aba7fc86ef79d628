/* SPDX-License-Identifier: BSD-3-Clause */
#include "snapshot.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/error.h>

#include "tap.h"

void snapshot_take(struct snapshot *snapshot, const struct pinion_pool *pool)
{
	if (snapshot->len != pool->control.len) {
		free(snapshot->bytes);
		snapshot->len = pool->control.len;
		snapshot->bytes = malloc(snapshot->len);
	}
	if (!snapshot->bytes)
		tap_bail("no memory for a copy of %zu bytes", snapshot->len);
	memcpy(snapshot->bytes, pool->control.addr, snapshot->len);
}

void snapshot_load(const struct snapshot *snapshot, struct pinion_pool *pool)
{
	if (snapshot->len != pool->control.len)
		tap_bail("a snapshot of %zu bytes does not fit a control area of %zu",
			 snapshot->len, pool->control.len);
	memcpy(pool->control.addr, snapshot->bytes, snapshot->len);
	for (uint32_t i = 0; i < pool->geometry.nr_members; i++)
		pool->dead[i] = pool->members[i].state == MEMBER_DEAD;
}

bool snapshot_same(const struct snapshot *snapshot, const struct pinion_pool *pool)
{
	return snapshot->len == pool->control.len &&
	       !memcmp(snapshot->bytes, pool->control.addr, snapshot->len);
}

uint64_t snapshot_word(const struct snapshot *snapshot, const struct pinion_pool *pool,
		       const _Atomic uint64_t *word)
{
	uint64_t value;

	memcpy(&value, snapshot->bytes + ((const char *)word - (const char *)pool->control.addr),
	       sizeof(value));
	return value;
}

uint32_t snapshot_ticket(const struct snapshot *snapshot, const struct pinion_pool *pool,
			 uint32_t index)
{
	uint32_t value;

	memcpy(&value, snapshot->bytes + pool->layout.cache + index * sizeof(value),
	       sizeof(value));
	return value;
}

int snapshot_file(const struct pinion_pool *pool)
{
	struct pinion_hostmem copy;
	int fd;

	if (pinion_hostmem_create("shadow", pool->control.len, 4096, &copy))
		tap_bail("no memory for a shadow of %zu bytes", pool->control.len);
	memcpy(copy.addr, pool->control.addr, copy.len);
	/* Attaching refuses a file that could be shortened. */
	if (pinion_hostmem_seal(&copy, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		tap_bail("cannot seal a shadow");
	fd = fcntl(copy.fd, F_DUPFD_CLOEXEC, 3);
	(void)pinion_hostmem_destroy(&copy);
	return fd;
}

struct pinion_pool *shadow_open(const struct pinion_pool *pool)
{
	struct pinion_pool *shadow = NULL;
	struct pinion_pool_fds fds;

	pinion_pool_export(pool, &fds);
	fds.control = snapshot_file(pool);
	for (uint32_t i = 0; i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0)
			fds.segment[i] = fcntl(fds.segment[i], F_DUPFD_CLOEXEC, 3);
	if (pinion_pool_attach(&fds, pinion_pool_member(pool), &shadow))
		tap_bail("no shadow: %s", pinion_error_text());
	shadow->keeper = true; /* what adoption does (pool/adopt.c) */
	return shadow;
}
