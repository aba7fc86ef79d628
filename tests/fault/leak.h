/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_LEAK_H
#define TESTS_FAULT_LEAK_H

/*
 * What this process holds, as text, a line for each thing: taken twice and compared, the first
 * line that differs says what leaked.
 *
 *     fd 5 /memfd:pinion (deleted)          each descriptor, and what it is
 *     map rw-s 8192 /memfd:pinion           mappings of what the library makes: memfds, hugepages,
 *                                           io_uring's rings; and of files of the scene
 *     reserved 12288                        addresses alone, without access or a name: if asked for
 *     HugetlbPages: 0 kB                    mapped hugepages; pinned and locked memory; threads
 *     file socket                           in the directory that the operation works in
 *     heap 12 blocks                        if asked for: not before libraries are warm
 *     HugePages_Free: 64                    of the whole machine, if asked for
 *
 * Not in it is the resident set: what the C library keeps of freed memory and of stacks makes it
 * differ. Pages that the library touched live as long as a mapping, a descriptor or a block does,
 * and those are counted exactly.
 */

#include <stdbool.h>

struct leak_scope {
	const char *dir; /* NULL: none */
	bool heap;
	bool reserved;   /* not where threads start: the C library reserves for them */
	bool machine;    /* hugepages that others may take and give back as well */
};

struct leak_snapshot {
	unsigned len;
	char text[16384];
};

void leak_snapshot(const struct leak_scope *scope, struct leak_snapshot *snapshot);

/*
 * The first difference into @what, or false when there is none. Hugepages come back a little later
 * than they are let go of when the kernel unpins them in a worker: those are waited for.
 */
bool leak_found(const struct leak_scope *scope, const struct leak_snapshot *before, char *what,
		unsigned len);

#endif
