/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_QUERY_H
#define PINION_QUERY_H

/*
 * One question to the service, and its answer (ipc/wire.h): a connection of its own for each.
 *
 *     command                           service
 *     HELLO                 ---->
 *                           <----       COOKIE
 *     CONFIRM, QUERY        ---->       do the rules let this user ask that?
 *                           <----       ANSWER + a file with JSON (and for "kick" a pidfd), or
 *                                       REFUSED + a sentence
 *
 * Calls return 0 or -errno and leave a sentence, pinion_error_text().
 *
 * -ENOENT, -ECONNREFUSED  no service listens there; or the service says so, of a pool or a member
 * -EACCES     the rules do not let this user ask, or the socket's mode does not
 * -EPROTO     the service is of another release, or went away
 * -ETIMEDOUT  it did not answer within two seconds
 */

#include <jansson.h>

/* @socket, or what stands for NULL and "": PINION_SOCKET of the environment, or the default. */
const char *query_socket(const char *socket);

/* Is there a service, and does it answer? */
int query_greet(const char *socket);

/* @answer: an object, the caller's. */
int query_ask(const char *socket, const char *name, const char *text, json_t **answer);

/*
 * The same for what takes its time, such as the filling of hugepages: waits as long as the service
 * lives, and calls @waiting with the seconds since, once in each; NULL: nobody wants to know.
 * @along: a file that came with the answer, the caller's; -1: none did.
 */
int query_order(const char *socket, const char *name, const char *text,
		void (*waiting)(unsigned seconds), int *along, json_t **answer);

#endif
