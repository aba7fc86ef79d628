/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_HARDEN_H
#define PINIOND_HARDEN_H

/*
 * What the service gives up, so that a peer that gets the better of it has won little.
 *
 *     harden_limits()      first of all
 *     open what takes privilege: the socket's directory, a port, and, where a rule wants it, the
 *     pagemap, which stays open; reserve hugepages
 *     harden_drop(user)
 *     adopt or make pools: hugepages in memfds take no privilege, and files are the user's own
 *     bind what listens, look up every name
 *     harden_seccomp()     then peers are let in
 *
 * Each is for ever, for this process and what it might start. Pools work on after it: made, grown,
 * retired, recovered, destroyed; files passed; deaths noticed; commands answered.
 *
 * What no longer works, and is therefore done before:
 *  - /proc/self/pagemap cannot be opened: after harden_limits() it belongs to root. An fd opened
 *    before shows page frames for ever, whoever reads it;
 *  - the files of named pools that another user has made: their directory belongs to the user;
 *  - a new Internet socket, a new program, a child, a library loaded (so neither a name service
 *    nor iconv), a signal to another process, io_uring (so no pinning: that is the device
 *    process's part).
 *
 * Threads: harden_drop() while there is one; harden_seccomp() is for those that there are, too.
 * Sanitizers: that of leaks traces its own process in the end, which is refused: detect_leaks=0.
 */

/*
 * As many descriptors and as much locked memory as this user may have, or, where it may raise its
 * own limits, as many as CONFIG_POOLS_MAX pools and thousands of peers want. Nobody may trace it,
 * take its descriptors or have a core of it, which would hold what is in the pools; no program
 * started by it gains anything. 0, or what setrlimit(2) and prctl(2) say.
 */
int harden_limits(void);

/*
 * Become @user, a name or a number that has one, with its groups; NULL: stay. No capability is kept
 * either way, not even by root, and that it is so is looked at.
 *
 * None is needed: pidfds of others, hugepages in memfds, mbind and move_pages of own memory, a PCI
 * device's command register in sysfs, all take none. CAP_SYS_ADMIN's one use, pagemap, is over
 * when it is open, and CAP_IPC_LOCK's, a limit, when that is raised.
 *
 * -ENOENT  no such user, and nothing was changed
 * -EPERM   not allowed to become it, or something was kept all the same: do not go on
 */
int harden_drop(const char *user);

/*
 * From now on only the system calls that the service makes. Others fail with -EPERM, so that what a
 * library merely tries (io_uring, a priority) has its way out; those that begin an attack's second
 * half (a program run, another process's memory, a namespace, code in the kernel) kill: members go
 * on without the service, and the next one takes up again. -ENOSYS, -EINVAL: no such kernel.
 */
int harden_seccomp(void);

#endif
