/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULT_KEEPER_H
#define TESTS_FAULT_KEEPER_H

/*
 * The other process, as the keeper of a pool that sessions join: it sends back what it gets, and
 * adds and takes a segment when asked to.
 */

#include "scene.h"

/* What a descriptor asks for by its tag. It comes back with KEEPER_DONE, or with KEEPER_FAILED. */
enum keeper_wish { KEEPER_ECHO, KEEPER_GROW, KEEPER_RETIRE, KEEPER_DONE, KEEPER_FAILED };

/* From when this returns sessions can be opened at scene->path. */
void keeper_start(struct scene *scene);
void keeper_stop(struct scene *scene);

/* Sends @buffer with a wish over the session's channel and waits for it; false when that was not
 * done within a second. */
bool keeper_ask(const struct scene *scene, enum keeper_wish wish, struct pinion_buffer *buffer);

#endif
