/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_METRICS_H
#define PINIOND_METRICS_H

/*
 * The service's numbers for Prometheus, in its text format, on a listener of their own: whoever can
 * connect can read /metrics, and do nothing else.
 *
 *     metrics_bind()    while there is privilege: a port may need some
 *     metrics_open()    before harden_seccomp(), with the loop there
 *     metrics_close()
 *
 * libmicrohttpd has the connections in an epoll set of its own, which is one source of the loop,
 * behind all others: members come first. A connection has so much memory, may be silent for so many
 * seconds, and lasts so many, and there are so many of them at once; those who come then wait in
 * the listener's queue. An answer is derived at the moment it is asked for, like report.c's, and is
 * the connection's own while it is sent.
 *
 * Without config->metrics all three do nothing.
 */

#include <stdio.h>

#include "service.h"

/* -errno, which was told. */
int metrics_bind(struct service *service);
int metrics_open(struct service *service);
void metrics_close(struct service *service);

/* metrics_text.c: what is served. */
void metrics_print(const struct service *service, FILE *to);

#endif
