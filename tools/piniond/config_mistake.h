/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_MISTAKE_H
#define PINIOND_CONFIG_MISTAKE_H

/*
 * Mistakes in the configuration, told on stderr as they are found, one a line:
 *
 *     FILE:LINE: pools[0].segments[1].buffer: "60K" is no power of two: 32K and 64K are
 *
 * Reading goes on after each, and config_read() looks at the number in the end.
 */

struct config_setting_t; /* libconfig's */

struct config_mistakes {
	const char *file;
	unsigned nr;
	int err; /* what was no mistake of the file: -ENOMEM; 0: nothing */
};

/* About @setting: its line and its key are found in it. */
void mistake_in(struct config_mistakes *mistakes, const struct config_setting_t *setting,
		const char *format, ...) __attribute__((format(printf, 3, 4)));

/* About @key, which should be in @group and is not. The line is the group's. */
void mistake_missing(struct config_mistakes *mistakes, const struct config_setting_t *group,
		     const char *key, const char *why);

/* About a line that has no key, or none as yet. */
void mistake_at(struct config_mistakes *mistakes, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Tells each key of @group that is not among @keys, and which was probably meant. */
void mistake_unknown(struct config_mistakes *mistakes, const struct config_setting_t *group,
		     const char *const *keys);

#endif
