/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_VALUE_H
#define PINIOND_CONFIG_VALUE_H

/*
 * Values of the configuration, read by type. A key that is not there leaves the variable as it is,
 * with the default that the caller gave it; one that is wrong is told (config_mistake.h) and leaves
 * it too. True: it was there and right.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config_mistake.h"

/* A setting of that name; NULL: none. */
const struct config_setting_t *value_find(const struct config_setting_t *group, const char *key);
const struct config_setting_t *value_element(const struct config_setting_t *list, unsigned index);
bool value_is_integer(const struct config_setting_t *setting);

/* Not empty. It lies in the tree: value_copy() gives a copy that outlives it. */
bool value_text(struct config_mistakes *mistakes, const struct config_setting_t *group,
		const char *key, const char **text);
bool value_copy(struct config_mistakes *mistakes, const struct config_setting_t *group,
		const char *key, char **text);

/* An absolute path. */
bool value_path(struct config_mistakes *mistakes, const struct config_setting_t *group,
		const char *key, char **path);

bool value_flag(struct config_mistakes *mistakes, const struct config_setting_t *group,
		const char *key, bool *flag);

bool value_number(struct config_mistakes *mistakes, const struct config_setting_t *group,
		  const char *key, uint32_t min, uint32_t max, uint32_t *number);

/* Bytes: an integer, or text with K, M, G or T. value_power() wants a power of two. */
bool value_size(struct config_mistakes *mistakes, const struct config_setting_t *group,
		const char *key, uint64_t min, uint64_t max, uint64_t *bytes);
bool value_power(struct config_mistakes *mistakes, const struct config_setting_t *group,
		 const char *key, uint64_t min, uint64_t max, uint64_t *bytes);

/*
 * The groups of a list, or the texts of a list or an array (one text alone will do): how many, at
 * most @max. 0: none, or told.
 */
unsigned value_groups(struct config_mistakes *mistakes, const struct config_setting_t *group,
		      const char *key, unsigned max);
unsigned value_texts(struct config_mistakes *mistakes, const struct config_setting_t *group,
		     const char *key, unsigned max, char **text);

/* The value as it is written, or nearly, for sentences: valid until the next call. */
const char *value_show(const struct config_setting_t *setting);

#endif
