/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "config_address.h"
#include "config_parts.h"
#include "config_scan.h"
#include "config_tree.h"
#include "config_value.h"

#define PEERS_DEFAULT 1024
#define PEERS_MAX 65536
#define FILE_MAX (1 << 20) /* bytes: all rules and pools at their most have fewer */

static const char *const top_keys[] = {"socket", "socket_mode", "user", "metrics",
				       "metrics_public", "peers_max", "reserve", "pools",
				       "rules", NULL};

static void read_socket(struct config_mistakes *mistakes, const struct config_setting_t *root,
			struct config *config)
{
	const size_t room = sizeof((struct sockaddr_un){0}.sun_path);

	if (value_path(mistakes, root, "socket", &config->socket) &&
	    strlen(config->socket) >= room)
		mistake_in(mistakes, value_find(root, "socket"),
			   "the name of a socket has at most %zu letters", room - 1);
}

/* In text, because an integer with a leading zero would be a decimal one. */
static void read_mode(struct config_mistakes *mistakes, const struct config_setting_t *root,
		      mode_t *mode)
{
	const struct config_setting_t *setting = value_find(root, "socket_mode");
	const char *text;

	if (setting == NULL)
		return;
	if (value_is_integer(setting)) {
		mistake_in(mistakes, setting, "put it in quotes, as an octal number: \"0666\"");
		return;
	}
	if (!value_text(mistakes, root, "socket_mode", &text))
		return;
	if (strlen(text) > 4 || text[strspn(text, "01234567")] != '\0' ||
	    strtoul(text, NULL, 8) > 0777)
		mistake_in(mistakes, setting, "\"%s\" is no octal number from 0 to 0777", text);
	else
		*mode = (mode_t)strtoul(text, NULL, 8);
}

static void read_user(struct config_mistakes *mistakes, const struct config_setting_t *root,
		      char **user)
{
	uint32_t id;

	if (value_copy(mistakes, root, "user", user))
		(void)config_user_id(mistakes, value_find(root, "user"), *user, &id);
}

/* Whoever can connect can read: that it is more than this machine must be said. */
static void read_metrics(struct config_mistakes *mistakes, const struct config_setting_t *root,
			 char **metrics)
{
	union config_address address;
	bool public = false;

	(void)value_flag(mistakes, root, "metrics_public", &public);
	if (!value_copy(mistakes, root, "metrics", metrics))
		return;
	if (!config_address_read(*metrics, &address))
		mistake_in(mistakes, value_find(root, "metrics"),
			   "\"%s\" is no address with a port: \"127.0.0.1:9464\", \"[::1]:9464\"",
			   *metrics);
	else if (!public && !config_address_is_loopback(&address))
		mistake_in(mistakes, value_find(root, "metrics"),
			   "other machines can connect to \"%s\": metrics_public = true if that is "
			   "meant", *metrics);
}

static void read_top(struct config_mistakes *mistakes, const struct config_setting_t *root,
		     struct config *config)
{
	mistake_unknown(mistakes, root, top_keys);
	read_socket(mistakes, root, config);
	read_mode(mistakes, root, &config->socket_mode);
	read_user(mistakes, root, &config->user);
	read_metrics(mistakes, root, &config->metrics);
	(void)value_number(mistakes, root, "peers_max", 1, PEERS_MAX, &config->peers_max);
	(void)value_flag(mistakes, root, "reserve", &config->reserve);
	config_read_pools(mistakes, root, config);
	config_read_rules(mistakes, root, config);
	if (config->socket == NULL && value_find(root, "socket") == NULL) {
		config->socket = strdup(PINION_SOCKET_DEFAULT);
		if (config->socket == NULL)
			mistakes->err = -ENOMEM;
	}
}

static int read_stream(FILE *stream, char **text)
{
	struct stat st;
	size_t len;

	/* Of a directory fread() says no more than that there is an error. */
	if (fstat(fileno(stream), &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	*text = malloc(FILE_MAX + 1);
	if (*text == NULL)
		return -ENOMEM;
	len = fread(*text, 1, FILE_MAX + 1, stream);
	if (ferror(stream) || len > FILE_MAX) {
		free(*text);
		return len > FILE_MAX ? -EFBIG : -EIO;
	}
	/* The tail after a NUL byte would be passed over. */
	if (memchr(*text, '\0', len) != NULL) {
		free(*text);
		return -EILSEQ;
	}
	(*text)[len] = '\0';
	return 0;
}

static int read_file(const char *file, char **text)
{
	FILE *stream = fopen(file, "re");
	int err;

	if (stream == NULL)
		return -errno;
	err = read_stream(stream, text);
	(void)fclose(stream);
	return err;
}

/* Into a configuration that has its defaults. */
static int parse(struct config_mistakes *mistakes, const char *text, struct config *config)
{
	struct config_tree *tree;

	if (scan_text(mistakes, text) && !tree_parse(mistakes, text, &tree)) {
		read_top(mistakes, tree_root(tree), config);
		tree_free(tree);
	}
	if (mistakes->err)
		return mistakes->err;
	return mistakes->nr ? -EINVAL : 0;
}

int config_read(const char *file, struct config **config)
{
	struct config_mistakes mistakes = {.file = file};
	struct config *made = calloc(1, sizeof(*made));
	char *text = NULL;
	int err = made != NULL ? read_file(file, &text) : -ENOMEM;

	if (!err) {
		made->socket_mode = 0666;
		made->peers_max = PEERS_DEFAULT;
		err = parse(&mistakes, text, made);
		free(text);
	}
	if (err)
		config_free(made);
	else
		*config = made;
	return err;
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (uint32_t i = 0; i < config->nr_pools; i++)
		config_pool_clear(&config->pool[i]);
	for (uint32_t i = 0; i < config->nr_rules; i++)
		config_rule_clear(&config->rule[i]);
	free(config->socket);
	free(config->user);
	free(config->metrics);
	free(config);
}
