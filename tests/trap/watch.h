/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_WATCH_H
#define PINION_TESTS_WATCH_H

/*
 * Every access to some memory is seen, one by one, before it happens.
 *
 *     watch_add()      a range of pages, and where the same file is mapped a second time
 *     watch_start()    the pages are PROT_NONE from here on
 *       ... code under test ...
 *         access    -> SIGSEGV: meet() is called; the page is opened, the trap flag set
 *         (one instruction)
 *         after it  -> SIGTRAP: the page is closed again
 *     watch_stop()
 *
 * meet() sees and changes the memory through the second mapping: what it stores is what the access
 * fetches. So a peer that changes a value between any two reads is played without a second thread,
 * and the same way each time.
 *
 * An instruction that reads and writes is both a store and a load. A system call that is given an
 * address in there gets EFAULT: futex(2) neither sleeps nor wakes while a call is watched. A
 * prefetch is no access.
 *
 * Threads: the one that calls, and no other may touch the ranges meanwhile.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_access {
	void *alias; /* what is accessed, in the second mapping */
	bool store, load;
	uintptr_t place; /* the instruction's address */
	bool whole;      /* it loads 16 bytes at once: (v)movdqa */
	uint32_t vector; /* bytes of a vector, as far as rows are made of them; 0: none */
};

typedef void watch_meet(void *context, const struct watch_access *access);

/* All ranges are forgotten. */
void watch_clear(void);
/* @protection: what the pages have; PROT_NONE at once, if a call is being watched. pre: at most
 * WATCH_MAX ranges, whole pages. */
#define WATCH_MAX 8
void watch_add(void *addr, size_t len, int protection, void *alias);
/* It is unmapped by now, or was none. */
void watch_forget(const void *addr);
int watch_ranges(void);

void watch_start(watch_meet *meet, void *context);
void watch_stop(void);

#endif
