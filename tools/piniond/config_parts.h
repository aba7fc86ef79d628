/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_PARTS_H
#define PINIOND_CONFIG_PARTS_H

/* The two lists of the configuration, read out of libconfig's tree into ours. Mistakes are told. */

#include "config.h"
#include "config_mistake.h"

void config_read_pools(struct config_mistakes *mistakes, const struct config_setting_t *root,
		       struct config *config);
void config_read_rules(struct config_mistakes *mistakes, const struct config_setting_t *root,
		       struct config *config);

/* The uid of a user; false: told as a mistake of @setting. */
bool config_user_id(struct config_mistakes *mistakes, const struct config_setting_t *setting,
		    const char *name, uint32_t *id);

/* What they hold. */
void config_pool_clear(struct config_pool *pool);
void config_rule_clear(struct config_rule *rule);

#endif
