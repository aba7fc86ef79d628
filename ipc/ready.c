/* SPDX-License-Identifier: BSD-3-Clause */
#include "ready.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "fail.h"
#include "sealed.h"

int ready_create(int *fd)
{
	struct pinion_hostmem memory;
	struct ready_shared *shared;
	int err = sealed_make("pinion-ready", READY_LEN, F_SEAL_SEAL, &memory);

	if (err)
		return err;
	shared = memory.addr;
	shared->magic = READY_MAGIC;
	shared->version = READY_VERSION;
	shared->lanes = READY_LANES;
	atomic_init(&shared->bell.fenced, 1);
	*fd = sealed_leave(&memory);
	return 0;
}

int ready_map(int fd, struct ready_shared **ready)
{
	struct ready_shared *shared;
	void *addr = NULL;
	size_t len = 0;
	int err = sealed_map(fd, "ready set", READY_LEN, READY_LEN, PROT_READ | PROT_WRITE, &addr,
			     &len);

	if (err)
		return err;
	shared = addr;
	if (shared->magic != READY_MAGIC || shared->version != READY_VERSION ||
	    shared->lanes != READY_LANES) {
		(void)munmap(addr, len);
		return pinion_fail(-EPROTO, "this file is not a ready set of this layout");
	}
	*ready = shared;
	return 0;
}

void ready_unmap(struct ready_shared *ready)
{
	if (ready)
		(void)munmap(ready, READY_LEN);
}

bool ready_post(const struct bell_hand *hand)
{
	/* Seldom enough that the fence is always worth it. */
	const struct bell_hand fenced = {.registered = false, .socket = hand->socket};
	struct ready_shared *ready = hand->ready;
	const uint32_t lane = hand->lane;

#ifdef PINION_PLANTED_RIVALS
	/* What another producer sets meanwhile is lost: for tests/crash alone, as the next. */
	const uint64_t word = atomic_load(&ready->word[lane / 64]) | UINT64_C(1) << lane % 64;

	atomic_fetch_or(&ready->summary, UINT64_C(1) << lane / 64);
	atomic_store(&ready->word[lane / 64], word);
#else
#ifdef PINION_PLANTED_READY
	/* The wrong order, for tests/crash alone, which shows that it would notice. */
	atomic_fetch_or_explicit(&ready->summary, UINT64_C(1) << lane / 64,
				 memory_order_release); /* R6 */
#endif
	atomic_fetch_or_explicit(&ready->word[lane / 64], UINT64_C(1) << lane % 64,
				 memory_order_release); /* R5 */
#ifndef PINION_PLANTED_READY
	atomic_fetch_or_explicit(&ready->summary, UINT64_C(1) << lane / 64,
				 memory_order_release); /* R6 */
#endif
#endif
	return bell_strike(&ready->bell, &fenced);
}
