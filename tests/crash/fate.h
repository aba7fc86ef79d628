/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FATE_H
#define PINION_TESTS_FATE_H

/*
 * One thing that might come, tried in a process of its own, which ends: private state is then as it
 * was. What is shared has to be put back by the caller.
 */

/* What @comes(@arg) finds wrong, behind @name, or NULL. One that hangs is ended by its alarm. The
 * sentence holds until the next call. */
const char *fate_try(const char *name, const char *(*comes)(void *arg), void *arg);

#endif
