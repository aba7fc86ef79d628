/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_RESUME_H
#define PINIOND_RESUME_H

/*
 * Taking everything up again that a service before this one had: pools, members, pairings, as the
 * ledger has them, with the files that the store gave back. Peers are not asked; those who live
 * come back by themselves (REJOIN) and those who died meanwhile are noticed by their pidfds.
 */

#include "service.h"

/* pre: the ledger is open. What cannot be taken up is told and given up, and never mixed with what
 * can: its members are expelled when they come. -errno: nothing can be done at all. */
int resume_all(struct service *service);

#endif
