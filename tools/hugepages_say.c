/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_command.h"
#include "hugepages_text.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *say_name(const char *name)
{
	static char text[4 * PATH_MAX]; /* there is one thread, and it says one name at a time */

	return hp_name_format(name, text, sizeof(text));
}

enum exit_code say_errno(int err, const char *what)
{
	warnx("%s: %s", say_name(what), strerror(-err));
	if (err == -EACCES || err == -EPERM || err == -EROFS) {
		fprintf(stderr, "  what to do: run as root, outside a container that mounts /sys "
				"read-only\n");
		return EXIT_PERMISSION;
	}
	if (err == -EAGAIN)
		fprintf(stderr, "  what to do: wait for the other hugepages to end\n");
	return EXIT_FAILED;
}

const char *unseen_why(int err)
{
	return err == -ESTALE ? "another mount lies over it, or over the way there"
			      : strerror(-err);
}

enum exit_code say_unseen(int err, const char *path)
{
	if (err != -ESTALE)
		return say_errno(err, path);
	warnx("%s: %s: its files cannot be looked at", say_name(path), unseen_why(err));
	fprintf(stderr, "  what to do: unmount what lies there\n");
	return EXIT_FAILED;
}

enum exit_code say_bad_amount(const struct options *opt, const char *text)
{
	char size[HP_SIZE_TEXT];

	warnx("'%s' is not an amount of whole %s pages", text, hp_size_format(opt->size, size));
	fprintf(stderr, "  what to do: write bytes such as 512M or 1G, a multiple of %s, or a "
			"number of pages with --pages\n", size);
	return EXIT_USAGE;
}

/* An amount as pages, whatever unit the options say. */
int amount_parse(const struct options *opt, const char *text, uint64_t *pages)
{
	uint64_t bytes;

	if (opt->pages)
		return hp_count_parse(text, pages);
	const int err = hp_bytes_parse(text, &bytes);

	if (err || bytes % opt->size != 0)
		return err ? err : -EINVAL;
	*pages = bytes / opt->size;
	return 0;
}

enum exit_code say_no_node(const struct options *opt, int node)
{
	int nodes[HP_MAX_NODES];
	const int nr = hp_nodes_get(&opt->sys, nodes);

	warnx("node %d: this machine has no such node with memory", node);
	fprintf(stderr, "  what to do: name one of these:");
	for (int i = 0; i < nr; i++)
		fprintf(stderr, " %d", nodes[i]);
	fprintf(stderr, "\n");
	return EXIT_NOT_FOUND;
}
