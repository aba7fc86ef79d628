/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINIOND_CONFIG_TREE_H
#define PINIOND_CONFIG_TREE_H

/*
 * The tree that libconfig makes of a text. Only this file, config_value.c and config_mistake.c see
 * libconfig's header: it has a config_read() too.
 */

#include "config_mistake.h"

struct config_tree;

/* -EINVAL: it has no form, which is told; -ENOMEM. */
int tree_parse(struct config_mistakes *mistakes, const char *text, struct config_tree **tree);
void tree_free(struct config_tree *tree);

const struct config_setting_t *tree_root(const struct config_tree *tree);

#endif
