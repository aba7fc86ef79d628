/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TREE_H
#define PINION_TREE_H

/*
 * Small files of /sys, /proc and /dev, as they are on this machine or in a test's fake tree.
 * Paths are written as on the real one, with their first slash. Calls return 0 or -errno.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct tree {
	const char *root; /* "": this machine */
};

/* The whole path, for calls that are not here. */
__attribute__((format(printf, 3, 4)))
int tree_path(const struct tree *tree, char path[PATH_MAX], const char *format, ...);

__attribute__((format(printf, 2, 3)))
bool tree_has(const struct tree *tree, const char *format, ...);

/* What the file begins with, as a string; without the newline, if it ends with one. */
__attribute__((format(printf, 4, 5)))
int tree_read(const struct tree *tree, char *text, size_t room, const char *format, ...);

/* The last part of what a link points to: the name of a driver, the number of a group. */
__attribute__((format(printf, 4, 5)))
int tree_link(const struct tree *tree, char *name, size_t room, const char *format, ...);

/* The rest of the first line that begins with @key, without blanks around it. */
int tree_line(const struct tree *tree, const char *path, const char *key, char *text, size_t room);

/*
 * Names in a directory, sorted, without the two dots; as numbers where they are such. 0, and none,
 * where there is no such directory. The caller frees them.
 */
struct tree_names {
	char **name;
	size_t nr;
};

__attribute__((format(printf, 3, 4)))
int tree_list(const struct tree *tree, struct tree_names *names, const char *format, ...);
void tree_names_free(struct tree_names *names);

#endif
