/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_ANSWER_H
#define PINION_ANSWER_H

/*
 * The answer to QUERY "stat", read field by field. A service of another release may say more, or
 * less: what is missing reads as 0, false, "" or an empty array, and is never a reason to stop.
 *
 *     version, pid, uptime_ns, rss, peers, restarts
 *     pools[]      name, template (one client's own, made from one), damaged (pages were punched
 *                  out of it), bytes
 *       segments[] slot, node, page_size, buffer_size, len, nr, free, retiring
 *       zones[]    buffer_size, page_size, node, total, free, held: numbers of buffers
 *       members[]  number, pid, uid, gid, command, role, state, connected, held, held_by_zone[],
 *                  quota: held are buffers, in all and of each of the pool's zones[], in their
 *                  order; the quota is bytes, 0: none
 *       channels[] number, client, device: members; slots; to_device, to_client: sent, not taken
 *     devices[]    name, bdf, pool, member, pid, ready, parked, state
 *     counters     attached, refused, deaths, left, returned, recoveries, protocol_errors, punched:
 *                  files that lack pages
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Never negative. */
uint64_t answer_number(const json_t *object, const char *key);
bool answer_true(const json_t *object, const char *key);
/* Valid as long as the object. */
const char *answer_text(const json_t *object, const char *key);

/* Of the zone with that index in @pool, what @member holds. Who does not know it of each zone knows
 * it of the only one. */
uint64_t answer_held(const json_t *pool, size_t zone, const json_t *member);

/* The sum of a number over an array of the object. */
uint64_t answer_sum(const json_t *object, const char *array, const char *key);

/* Text of a few characters, for one expression each: the compiler keeps it as long as the block. */
struct text {
	char text[32];
};

/* Its "node"; "-" where that is none: the pages are on several. */
struct text answer_node(const json_t *object);

struct text text_number(uint64_t number);
struct text text_bytes(uint64_t bytes); /* "64K" */
struct text text_time(uint64_t ns);     /* "3d 04h", "4h 05m", "5m 06s", "7s" */

/* A line for each pool, device and member. */
void report_ls(const json_t *answer, FILE *out);
/* All there is in it. */
void report_stat(const json_t *answer, FILE *out);
/* Of "addr". */
void report_addresses(const json_t *answer, FILE *out);

#endif
