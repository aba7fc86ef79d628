/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_value.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdio.h>
#include <string.h>

#include "../hugepages_text.h"

const config_setting_t *value_find(const config_setting_t *group, const char *key)
{
	return config_setting_get_member(group, key);
}

const config_setting_t *value_element(const config_setting_t *list, unsigned index)
{
	return config_setting_get_elem(list, index);
}

bool value_is_integer(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_INT ||
	       config_setting_type(setting) == CONFIG_TYPE_INT64;
}

const char *value_show(const config_setting_t *setting)
{
	static char text[128];

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_STRING:
		snprintf(text, sizeof(text), "\"%s\"", config_setting_get_string(setting));
		return text;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		snprintf(text, sizeof(text), "%lld", config_setting_get_int64(setting));
		return text;
	case CONFIG_TYPE_FLOAT:
		snprintf(text, sizeof(text), "%g", config_setting_get_float(setting));
		return text;
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(setting) ? "true" : "false";
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	default:
		return "a list";
	}
}

/* Of an element, or of a member of a group. */
static bool text_of(struct config_mistakes *mistakes, const config_setting_t *setting,
		    const char **text)
{
	if (config_setting_type(setting) != CONFIG_TYPE_STRING) {
		mistake_in(mistakes, setting, "%s is no text: put it in quotes",
			   value_show(setting));
		return false;
	}
	if (config_setting_get_string(setting)[0] == '\0') {
		mistake_in(mistakes, setting, "empty");
		return false;
	}
	*text = config_setting_get_string(setting);
	return true;
}

bool value_text(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		const char **text)
{
	const config_setting_t *setting = value_find(group, key);

	return setting != NULL && text_of(mistakes, setting, text);
}

static bool copy_to(struct config_mistakes *mistakes, const char *text, char **copy)
{
	*copy = strdup(text);
	if (*copy == NULL)
		mistakes->err = -ENOMEM;
	return *copy != NULL;
}

bool value_copy(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		char **text)
{
	const char *found;

	return value_text(mistakes, group, key, &found) && copy_to(mistakes, found, text);
}

bool value_path(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		char **path)
{
	const char *found;

	if (!value_text(mistakes, group, key, &found))
		return false;
	if (found[0] != '/') {
		mistake_in(mistakes, value_find(group, key),
			   "\"%s\" is no absolute path: it begins with a /", found);
		return false;
	}
	return copy_to(mistakes, found, path);
}

bool value_flag(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		bool *flag)
{
	const config_setting_t *setting = value_find(group, key);

	if (setting == NULL)
		return false;
	if (config_setting_type(setting) != CONFIG_TYPE_BOOL) {
		mistake_in(mistakes, setting, "%s is neither true nor false", value_show(setting));
		return false;
	}
	*flag = config_setting_get_bool(setting);
	return true;
}

bool value_number(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		  uint32_t min, uint32_t max, uint32_t *number)
{
	const config_setting_t *setting = value_find(group, key);
	long long found;

	if (setting == NULL)
		return false;
	found = config_setting_get_int64(setting);
	if (!value_is_integer(setting) || found < min || found > max) {
		mistake_in(mistakes, setting, "%s is no number from %" PRIu32 " to %" PRIu32,
			   value_show(setting), min, max);
		return false;
	}
	*number = (uint32_t)found;
	return true;
}

static bool parse_size(const config_setting_t *setting, uint64_t *bytes)
{
	if (value_is_integer(setting)) {
		*bytes = (uint64_t)config_setting_get_int64(setting);
		return config_setting_get_int64(setting) >= 0;
	}
	return config_setting_type(setting) == CONFIG_TYPE_STRING &&
	       !hp_bytes_parse(config_setting_get_string(setting), bytes);
}

bool value_size(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		uint64_t min, uint64_t max, uint64_t *bytes)
{
	const config_setting_t *setting = value_find(group, key);
	char low[HP_SIZE_TEXT], high[HP_SIZE_TEXT];
	uint64_t found;

	if (setting == NULL)
		return false;
	if (!parse_size(setting, &found)) {
		mistake_in(mistakes, setting, "%s is no size: bytes, or \"64K\", \"256M\", \"1G\"",
			   value_show(setting));
		return false;
	}
	if (found < min || found > max) {
		mistake_in(mistakes, setting, "%s is not from %s to %s", value_show(setting),
			   hp_size_format(min, low), hp_size_format(max, high));
		return false;
	}
	*bytes = found;
	return true;
}

/* pre: @bytes is no power of two, and from 1 to 2^62. */
static void tell_powers(struct config_mistakes *mistakes, const config_setting_t *setting,
			uint64_t bytes)
{
	const uint64_t below = UINT64_C(1) << (63 - __builtin_clzll(bytes));
	char low[HP_SIZE_TEXT], high[HP_SIZE_TEXT];

	mistake_in(mistakes, setting, "%s is no power of two: %s and %s are", value_show(setting),
		   hp_size_format(below, low), hp_size_format(below << 1, high));
}

bool value_power(struct config_mistakes *mistakes, const config_setting_t *group, const char *key,
		 uint64_t min, uint64_t max, uint64_t *bytes)
{
	uint64_t found;

	if (!value_size(mistakes, group, key, min, max, &found))
		return false;
	if (found & (found - 1)) {
		tell_powers(mistakes, value_find(group, key), found);
		return false;
	}
	*bytes = found;
	return true;
}

/* Of a list; 0: none, or too many of them. */
static unsigned length_of(struct config_mistakes *mistakes, const config_setting_t *list,
			  unsigned max)
{
	const unsigned nr = (unsigned)config_setting_length(list);

	if (nr <= max)
		return nr;
	mistake_in(mistakes, list, "%u of them are too many: %u at most", nr, max);
	return 0;
}

unsigned value_groups(struct config_mistakes *mistakes, const config_setting_t *group,
		      const char *key, unsigned max)
{
	const config_setting_t *list = value_find(group, key);
	unsigned nr, wrong = 0;

	if (list == NULL)
		return 0;
	if (!config_setting_is_list(list)) {
		mistake_in(mistakes, list, "%s is no list of groups: ( { ... }, { ... } )",
			   value_show(list));
		return 0;
	}
	nr = length_of(mistakes, list, max);
	for (unsigned i = 0; i < nr; i++) {
		const config_setting_t *element = config_setting_get_elem(list, i);

		if (config_setting_is_group(element))
			continue;
		mistake_in(mistakes, element, "%s is no group: { ... }", value_show(element));
		wrong++;
	}
	return wrong ? 0 : nr;
}

unsigned value_texts(struct config_mistakes *mistakes, const config_setting_t *group,
		     const char *key, unsigned max, char **text)
{
	const config_setting_t *list = value_find(group, key);
	const char *found;
	unsigned nr, good = 0;

	if (list == NULL)
		return 0;
	if (!config_setting_is_list(list) && !config_setting_is_array(list))
		return text_of(mistakes, list, &found) && copy_to(mistakes, found, text);
	nr = length_of(mistakes, list, max);
	for (unsigned i = 0; i < nr; i++)
		if (text_of(mistakes, config_setting_get_elem(list, i), &found) &&
		    copy_to(mistakes, found, &text[good]))
			good++;
	return good;
}
