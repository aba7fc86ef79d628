/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef POOL_PROBE_H
#define POOL_PROBE_H

/*
 * Where a tracer can look in: USDT probes, of the provider "pinion". examples/probes.bt uses all.
 *
 *     probe      arguments                               in
 *     refill     segment slot, buffers, member           rack.c: a cache got a full magazine
 *     send       channel, descriptors                    channel_send.c
 *     receive    channel, descriptors                    channel_recv.c
 *     wake       bell, how it slept (bell.h)             bell.c: somebody is about to be woken
 *     death      pool's name, member, pid, was it killed     piniond, burial.c
 *     recovery   pool's name, member, buffers, nanoseconds   likewise
 *
 * One that nobody looks at is a nop, and a note in the file that says where it is and in which
 * registers its arguments are. On the paths of send and receive the arguments are values that the
 * code has at hand: nothing is loaded or computed for them. A probe is a barrier for the compiler,
 * though: it stands last, where no value of before is used again.
 *
 * Without <sys/sdt.h> at build time (systemtap-sdt-dev) there are none.
 */

#ifdef PINION_PROBES
#include <sys/sdt.h>

#define PINION_PROBE2(name, a, b) DTRACE_PROBE2(pinion, name, a, b)
#define PINION_PROBE3(name, a, b, c) DTRACE_PROBE3(pinion, name, a, b, c)
#define PINION_PROBE4(name, a, b, c, d) DTRACE_PROBE4(pinion, name, a, b, c, d)
#else
#define PINION_PROBE2(name, a, b) ((void)(a), (void)(b))
#define PINION_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define PINION_PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#endif
