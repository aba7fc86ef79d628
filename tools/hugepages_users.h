/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_USERS_H
#define TOOLS_HUGEPAGES_USERS_H

/*
 * Which processes have hugepages mapped or their files open, from /proc: each thread's `maps` and
 * `fd` say what, `numa_maps` how many pages of it are there, and on which node (proc(5), kernel
 * document filesystems/proc). What a file system's device number means, hp_mounts tells.
 *
 * Of each thread, for the one that a process began with may have ended: then /proc/PID shows
 * nothing of what the others have. And a thread may have a table of descriptors of its own.
 *
 * A picture, not a lock: processes come and go while it is taken. It does not show a descriptor
 * that is on its way through a socket, nor what the kernel itself holds (pages pinned for a device
 * whose process has unmapped them).
 */

#include "hugepages_mounts.h"

enum {
	HP_COMMAND = 16, /* as the kernel keeps it: TASK_COMM_LEN, proc_pid_comm(5) */
	HP_COMMAND_TEXT = 4 * HP_COMMAND, /* for hp_name_format */
};

/* One process and one file; anonymous hugepages have a file without a name. */
struct hp_use {
	pid_t pid;
	char command[HP_COMMAND]; /* its users chose it, with any byte */
	dev_t dev;
	ino_t ino;
	uint64_t size;    /* bytes of a page */
	uint64_t mapped;  /* bytes of address space, whether pages are there or not */
	uint64_t open;    /* bytes of pages that the file has, if the process has it open */
	bool is_open;
};

/* Pages that one process has in its page tables. */
struct hp_touched {
	pid_t pid;
	uint64_t size;
	int node;
	uint64_t pages;
};

struct hp_users {
	size_t nr;
	struct hp_use *uses;         /* those of one process stand together */
	size_t nr_touched;
	struct hp_touched *touched;
	size_t hidden;               /* processes of which something could not be looked at */
};

int hp_users_get(const struct hp_sys *sys, const struct hp_mounts *mounts, struct hp_users *users);

void hp_users_free(struct hp_users *users);

/* The first that has this file open or mapped, or NULL. */
const struct hp_use *hp_users_of(const struct hp_users *users, dev_t dev, ino_t ino);

#endif
