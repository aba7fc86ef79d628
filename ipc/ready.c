/* SPDX-License-Identifier: BSD-3-Clause */
#include "ready.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <pinion/hostmem.h>

#include "fail.h"

int ready_create(int *fd)
{
	struct pinion_hostmem memory;
	struct ready_shared *shared;
	int err = pinion_hostmem_create("pinion-ready", READY_LEN, READY_LEN, &memory);

	if (err)
		return pinion_fail(err, "cannot make a ready set: %s", strerror(-err));
	err = pinion_hostmem_populate(&memory, 0, memory.len);
	if (!err)
		err = pinion_hostmem_seal(&memory, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (err) {
		(void)pinion_hostmem_destroy(&memory);
		return pinion_fail(err, "cannot populate and seal a ready set: %s", strerror(-err));
	}
	shared = memory.addr;
	shared->magic = READY_MAGIC;
	shared->version = READY_VERSION;
	shared->lanes = READY_LANES;
	atomic_init(&shared->bell.fenced, 1);
	(void)munmap(memory.addr, memory.len);
	*fd = memory.fd;
	return 0;
}

int ready_map(int fd, struct ready_shared **ready)
{
	struct stat status;
	struct ready_shared *shared;
	int seals;

	if (fstat(fd, &status))
		return pinion_fail(-errno, "ready set: %s", strerror(errno));
	/* Mapped only if it cannot be shortened: an access behind its end would be a SIGBUS. */
	if (status.st_size != (off_t)READY_LEN || pinion_hostmem_seals(fd, &seals) ||
	    !(seals & F_SEAL_SHRINK))
		return pinion_fail(-EPROTO, "this file is not a ready set: its size or its seals");
	shared = mmap(NULL, READY_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return pinion_fail(-errno, "cannot map a ready set: %s", strerror(errno));
	if (shared->magic != READY_MAGIC || shared->version != READY_VERSION ||
	    shared->lanes != READY_LANES) {
		(void)munmap(shared, READY_LEN);
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

void ready_post(struct ready_shared *ready, uint32_t lane)
{
	/* Seldom enough that the fence is always worth it. */
	static const struct bell_hand hand = {.registered = false, .socket = -1};

	atomic_fetch_or_explicit(&ready->word[lane / 64], UINT64_C(1) << lane % 64,
				 memory_order_release); /* R5 */
	atomic_fetch_or_explicit(&ready->summary, UINT64_C(1) << lane / 64,
				 memory_order_release); /* R6 */
	bell_strike(&ready->bell, &hand);
}
