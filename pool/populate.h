/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_POPULATE_H
#define POOL_POPULATE_H

/*
 * Having every page there, fast: several threads on each node zero its pages in pieces.
 *
 * Zeroing is what populating costs (about 8 GB/s a core), so it goes as fast as cores of the
 * node are put to it, until the node's memory is the limit: four are enough for that. A worker
 * runs on the node whose pages it zeroes; the pages themselves are placed by the policies of the
 * mappings alone, so a worker that may not run there costs time and nothing else.
 *
 * Threads: workers block all signals, and are joined before the call returns, whatever happens.
 * The callback runs in the caller's thread only, with no lock held, and must return.
 */

#include <stdint.h>

#include <pinion/hostmem.h>

/* Less than this altogether needs no worker: the caller is done before one would have started. */
#define POPULATE_ALONE PINION_HOSTMEM_STEP

/* More workers on one node would wait for its memory, not for a processor. */
#define POPULATE_WORKERS 4

/* Bytes: zeroing so much takes 0.1 ms, next to which a system call and a lock are nothing. */
#define POPULATE_LEAST ((size_t)1 << 20)

/* No two calls of the callback are closer than this, in nanoseconds, but for the last. */
#define POPULATE_TICK_NS 50000000

/* One mapping, its policy already in force. */
struct populate_job {
	const struct pinion_hostmem *memory;
	int node; /* of that policy; negative: none, and the pages go where the caller runs */
};

struct populate_progress {
	/* Bytes; the last call of a success has done == total. NULL: nobody wants to know. */
	void (*call)(void *context, uint64_t done, uint64_t total);
	void *context;
};

/*
 * Populates all jobs. pre: 1 to PINION_SEGMENT_MAX jobs.
 * On failure some pages are there and some are not; @failed is the job that stopped it, or @nr
 * when none did.
 *
 * -ENOMEM   out of pages: see pinion_hostmem_populate(), whose errors these are
 * -EAGAIN   no worker could be started
 * -EOVERFLOW  more bytes than can be counted
 */
int populate_jobs(const struct populate_job *job, uint32_t nr,
		  const struct populate_progress *progress, uint32_t *failed);

#endif
