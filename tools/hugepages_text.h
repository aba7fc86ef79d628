/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_TEXT_H
#define TOOLS_HUGEPAGES_TEXT_H

/*
 * Amounts as people write them, and back.
 *
 * Parsing is strict: digits in base ten and at most one suffix of K, M, G, T (powers of 1024).
 * expand_number(3bsd) alone would take "010M" as octal, "-1" as 16 EiB and ignore a tail.
 */

#include <stddef.h>
#include <stdint.h>

enum { HP_SIZE_TEXT = 8 }; /* "1023M" and NUL is the longest */

/* -EINVAL: not an amount; -ERANGE: does not fit. */
int hp_bytes_parse(const char *text, uint64_t *bytes);

int hp_count_parse(const char *text, uint64_t *count);

/* "0:512M": the node, and where the amount begins. -EINVAL: no such form. */
int hp_node_parse(const char *text, int *node, const char **amount);

/*
 * A name that somebody else chose, for a terminal: of what could steer that, and of a backslash,
 * each byte becomes three octal digits after one, as in /proc/self/mounts. Cut where @room ends:
 * four bytes for each of the name, its NUL included, are enough. Returns `text`.
 */
const char *hp_name_format(const char *name, char *text, size_t room);

/* "2M", "1.5G": for people; rounded to a tenth unless whole. Returns `text`. */
const char *hp_size_format(uint64_t bytes, char text[HP_SIZE_TEXT]);

#endif
