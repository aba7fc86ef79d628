/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_STEADY_H
#define POOL_STEADY_H

/*
 * May this file be mapped? 0, or -EINVAL for one that may not, or whatever kept us from telling.
 *
 * One that its sender can still shorten would be a SIGBUS whenever the sender likes. So: a memfd
 * sealed against it; or, of a named pool, a file on hugetlbfs that takes no seals but belongs to
 * this user or to root, and that not everyone may write to.
 */
int steady_file(int fd);

#endif
