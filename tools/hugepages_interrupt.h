/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_INTERRUPT_H
#define TOOLS_HUGEPAGES_INTERRUPT_H

/*
 * Ctrl-C, SIGTERM or SIGHUP in the middle of a change. A large number takes the kernel seconds to
 * minutes; at a signal it breaks off, keeps what it has by then, and the write returns. Whoever
 * died of the signal there would leave those pages to nobody. Likewise who has set a number for all
 * for a while, and has yet to put it back (demote), or has made one of two files that go together
 * (persist).
 *
 *     hp_interrupt_hold         from here on such a signal only marks, where it would end us
 *     hp_plan_apply             sees the mark, puts all back: -EINTR
 *     hp_interrupt_release      now the process ends of the signal, if one came
 *
 * Once for a process, on its only thread.
 */

#include <stdbool.h>

void hp_interrupt_hold(void);

/* Since hp_interrupt_hold. */
bool hp_interrupt_came(void);

void hp_interrupt_release(void);

#endif
