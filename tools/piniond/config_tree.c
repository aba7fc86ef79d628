/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_tree.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>

struct config_tree {
	config_t config;
};

int tree_parse(struct config_mistakes *mistakes, const char *text, struct config_tree **tree)
{
	struct config_tree *made = calloc(1, sizeof(*made));

	if (made == NULL) {
		mistakes->err = -ENOMEM;
		return -ENOMEM;
	}
	config_init(&made->config);
	if (config_read_string(&made->config, text)) {
		*tree = made;
		return 0;
	}
	mistake_at(mistakes, (unsigned)config_error_line(&made->config), "%s",
		   config_error_text(&made->config));
	tree_free(made);
	return -EINVAL;
}

void tree_free(struct config_tree *tree)
{
	config_destroy(&tree->config);
	free(tree);
}

const config_setting_t *tree_root(const struct config_tree *tree)
{
	return config_root_setting(&tree->config);
}
