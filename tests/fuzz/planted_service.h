/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_FUZZ_PLANTED_SERVICE_H
#define PINION_TESTS_FUZZ_PLANTED_SERVICE_H

/*
 * Planted bugs of the service, one at a time: put before the first line of peers.c or admit.c by
 * the compiler (-include), with PLANTED_SENDER, PLANTED_KEEP or PLANTED_NUMBER.
 */

#include "mail.h"
#include "peer.h"
#include "pool.h"

#if defined(PLANTED_SENDER) /* whoever has the socket is the one who connected it */
#define peer_is_sender(identity, pid) ((void)(identity), (void)(pid), true)
#elif defined(PLANTED_KEEP) /* files that nobody asked for stay open */
#define mail_close_files(files, nr) ((void)(files), (void)(nr))
#elif defined(PLANTED_NUMBER) /* who cannot be told that it is a member is one */
#define pool_dismiss(pool, number) ((void)(pool), (void)(number))
#else
#error "which bug?"
#endif

#endif
