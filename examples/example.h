/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXAMPLE_H
#define EXAMPLE_H

/*
 * What each of these programs needs and none is about: its one option, and the end when a call
 * fails. It lies beside them, so that `cc grow.c ...` finds it.
 */

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include <pinion/pinion.h>

/* --page-size 4k, for machines without hugepages; 2m, which is also meant by nothing. */
static inline size_t page_size(int argc, char **argv)
{
	if (argc == 1)
		return 2 << 20;
	if (argc == 3 && !strcmp(argv[1], "--page-size")) {
		if (!strcmp(argv[2], "4k"))
			return 4096;
		if (!strcmp(argv[2], "2m"))
			return 2 << 20;
	}
	errx(2, "usage: %s [--page-size 4k|2m]", argv[0]);
}

/* Calls that set up leave a sentence; those of the data path, and of the drop-in headers, a number
 * alone. */
static inline void must(int err)
{
	if (err < 0)
		errx(1, "%s%s%s", strerror(-err), *pinion_error_text() ? ": " : "",
		     pinion_error_text());
}

/* What the program is about to show does not hold. */
static inline void expect(int holds, const char *what)
{
	if (!holds)
		errx(1, "not as it should be: %s", what);
}

#endif
