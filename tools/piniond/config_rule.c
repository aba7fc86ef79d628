/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_parts.h"

#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "config_value.h"

#define ID_MAX (UINT32_MAX - 1) /* -1 is nobody's: to the kernel it means "leave it" */
#define BYTES_MAX (UINT64_C(1) << 62)

static const char *const rule_keys[] = {"user", "group", "pools", "devices", "bytes", "memberships",
					"channels", "serve", "addresses", "admin", NULL};

/* errno as getpwnam() and getgrnam() leave it: some of its values mean that there is none. */
static void tell_nobody(struct config_mistakes *mistakes, const struct config_setting_t *setting,
			const char *what, const char *name)
{
	const int err = errno;

	if (err == EIO || err == EMFILE || err == ENFILE || err == ENOMEM)
		mistake_in(mistakes, setting, "cannot look for %s \"%s\": %s", what, name,
			   strerror(err));
	else
		mistake_in(mistakes, setting, "no %s is named \"%s\" here", what, name);
}

/* Digits alone are an id, whether it has a name or not. */
static bool parse_id(const char *name, uint32_t *id)
{
	char *end;
	unsigned long number;

	if (name[strspn(name, "0123456789")] != '\0')
		return false;
	errno = 0;
	number = strtoul(name, &end, 10);
	*id = (uint32_t)number;
	return errno == 0 && number <= ID_MAX;
}

bool config_user_id(struct config_mistakes *mistakes, const struct config_setting_t *setting,
		    const char *name, uint32_t *id)
{
	const struct passwd *entry;

	if (parse_id(name, id))
		return true;
	errno = 0;
	entry = getpwnam(name);
	if (entry == NULL) {
		tell_nobody(mistakes, setting, "user", name);
		return false;
	}
	*id = entry->pw_uid;
	return true;
}

static void read_group_id(struct config_mistakes *mistakes, const struct config_setting_t *setting,
			  const char *name, uint32_t *id)
{
	const struct group *entry;

	if (!strcmp(name, "*")) {
		mistake_in(mistakes, setting, "everybody is user = \"*\"");
		return;
	}
	if (parse_id(name, id))
		return;
	errno = 0;
	entry = getgrnam(name);
	if (entry == NULL)
		tell_nobody(mistakes, setting, "group", name);
	else
		*id = entry->gr_gid;
}

/* Of a user or a group: a number as it is, or text. */
static void read_id(struct config_mistakes *mistakes, const struct config_setting_t *group,
		    const char *key, struct config_rule *rule)
{
	const struct config_setting_t *setting = value_find(group, key);
	const char *name;

	if (value_is_integer(setting)) {
		(void)value_number(mistakes, group, key, 0, ID_MAX, &rule->id);
		return;
	}
	if (!value_text(mistakes, group, key, &name))
		return;
	if (rule->by_group)
		read_group_id(mistakes, setting, name, &rule->id);
	else if (!strcmp(name, "*"))
		rule->everybody = true;
	else
		(void)config_user_id(mistakes, setting, name, &rule->id);
}

static void read_whom(struct config_mistakes *mistakes, const struct config_setting_t *group,
		      struct config_rule *rule)
{
	const bool user = value_find(group, "user") != NULL;
	const unsigned before = mistakes->nr;

	rule->by_group = value_find(group, "group") != NULL;
	if (user && rule->by_group)
		mistake_in(mistakes, value_find(group, "group"),
			   "there is a user as well: a rule has one of both");
	else if (!user && !rule->by_group)
		mistake_missing(mistakes, group, "user", "or group: whom it is for");
	else
		read_id(mistakes, group, user ? "user" : "group", rule);
	rule->known = mistakes->nr == before;
}

/* Does the earlier rule decide for all whom the later one is for? */
static bool hides(const struct config_rule *earlier, const struct config_rule *later)
{
	if (earlier->everybody || later->everybody)
		return earlier->everybody;
	return earlier->known && earlier->by_group == later->by_group && earlier->id == later->id;
}

/* pre: @rule is known, and the rules before it are counted in @config. */
static void check_reached(struct config_mistakes *mistakes, const struct config_setting_t *group,
			  const struct config *config, const struct config_rule *rule)
{
	for (uint32_t i = 0; i < config->nr_rules; i++)
		if (hides(&config->rule[i], rule)) {
			mistake_in(mistakes, group, "never reached: rules[%u] decides before it",
				   i);
			return;
		}
}

static void read_rule(struct config_mistakes *mistakes, const struct config_setting_t *group,
		      struct config *config)
{
	struct config_rule *rule = &config->rule[config->nr_rules];
	mistake_unknown(mistakes, group, rule_keys);
	read_whom(mistakes, group, rule);
	if (rule->known)
		check_reached(mistakes, group, config, rule);
	config->nr_rules++;
	(void)value_texts(mistakes, group, "pools", CONFIG_PATTERNS_MAX, rule->pools);
	(void)value_texts(mistakes, group, "devices", CONFIG_PATTERNS_MAX, rule->devices);
	(void)value_size(mistakes, group, "bytes", 0, BYTES_MAX, &rule->bytes);
	(void)value_number(mistakes, group, "memberships", 0, UINT32_MAX, &rule->memberships);
	(void)value_number(mistakes, group, "channels", 0, UINT32_MAX, &rule->channels);
	(void)value_flag(mistakes, group, "serve", &rule->serve);
	(void)value_flag(mistakes, group, "addresses", &rule->addresses);
	(void)value_flag(mistakes, group, "admin", &rule->admin);
}

void config_read_rules(struct config_mistakes *mistakes, const struct config_setting_t *root,
		       struct config *config)
{
	const unsigned nr = value_groups(mistakes, root, "rules", CONFIG_RULES_MAX);

	for (unsigned i = 0; i < nr; i++)
		read_rule(mistakes, value_element(value_find(root, "rules"), i), config);
}

void config_rule_clear(struct config_rule *rule)
{
	for (int i = 0; i < CONFIG_PATTERNS_MAX; i++) {
		free(rule->pools[i]);
		free(rule->devices[i]);
	}
}

static bool among(uint32_t id, gid_t gid, const gid_t *groups, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (groups[i] == id)
			return true;
	return gid == id;
}

const struct config_rule *config_find_rule(const struct config *config, uid_t uid, gid_t gid,
					   const gid_t *groups, unsigned nr)
{
	for (uint32_t i = 0; i < config->nr_rules; i++) {
		const struct config_rule *rule = &config->rule[i];

		if (rule->everybody ||
		    (rule->by_group ? among(rule->id, gid, groups, nr) : rule->id == uid))
			return rule;
	}
	return NULL;
}

static bool matches(char *const *patterns, const char *name)
{
	for (int i = 0; i < CONFIG_PATTERNS_MAX && patterns[i] != NULL; i++)
		if (!fnmatch(patterns[i], name, 0))
			return true;
	return false;
}

bool config_rule_allows_pool(const struct config_rule *rule, const char *pool)
{
	return matches(rule->pools, pool);
}

bool config_rule_allows_device(const struct config_rule *rule, const char *device)
{
	return matches(rule->devices, device);
}
