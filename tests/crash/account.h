/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_ACCOUNT_H
#define PINION_TESTS_ACCOUNT_H

/*
 * What piniond says of itself, added up; and what it and its manager have open, as the kernel says.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct account {
	int64_t members, live, connected, channels, held, free, total; /* over all pools */
	int64_t pools, restarts;
	int64_t ready, parked; /* device processes that live and said so; with a container */
	pid_t pid;
};

/* Waits for it, if it is just being started; afterwards it has nothing open for this question.
 * False: it did not answer, or hang up, within half a minute. */
bool account_take(struct account *account);

/* Nobody is there, and everything as in @first. */
bool account_is_rest(const struct account *account, const struct account *first);

/* Files in a directory; -1: it is gone. */
int account_entries(const char *path);

/* Descriptors of a process; likewise. */
int account_files(pid_t pid);

/* ... each in a remark. */
void account_remark_files(pid_t pid, const char *whose);

#endif
