/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_PROCESS_H
#define POOL_PROCESS_H

/*
 * Is a process that was written down still the same? A number alone is given to another process
 * some day; number and start together are not, within one boot and one pid namespace.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* When it started, in clock ticks since boot (proc_stat(5), field 22); 0: not known. */
uint64_t process_started(pid_t pid);

/* Where its start was not known then or cannot be told now, any process of that number counts: a
 * living one is never taken for dead. A zombie is dead. */
bool process_lives(pid_t pid, uint64_t started);

/* For which user it acts, proc_pid_status(5); false: it is not there, or /proc does not tell. */
bool process_user(pid_t pid, uid_t *uid);

/* A pidfd of it; -ESRCH: it does not live, or is no process. */
int process_open(pid_t pid, uint64_t started);

#endif
