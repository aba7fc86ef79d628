/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugepages: see, reserve, mount and give back hugepages, node by node.
 *
 *     hugepages info                         what there is
 *     hugepages explain                      why it is so, and why a program gets fewer
 *     hugepages reserve 1G                   at least 1 GiB on this machine, spread over its nodes
 *     hugepages reserve --node 1 512M        at least 512 MiB on node 1
 *     hugepages reserve 0:512M,1:1G          each node its own
 *     hugepages reserve 0:+512M,1:-1G        more there, less here, than there is
 *     hugepages reserve --save F 1G          … and what there was before goes to F
 *     hugepages restore F                    back to that
 *     hugepages clear --node 1               to none on node 1
 *     hugepages demote 1G                    a page of 1 GiB into pages of 2 MiB
 *     hugepages persist                      what there is now comes back at every boot
 *     hugepages mount --gid disk --mode 1770 /run/huge
 *     hugepages unmount /run/huge
 *     hugepages reap                         files that hold pages, and nobody has open
 *     hugepages reap '/dev/hugepages/rte*'   remove those
 *
 * The kernel takes any number, gives what it can and returns success. So every number is read back,
 * and what falls short anywhere is undone everywhere: a script can trust exit status 0. Numbers are
 * absolute ("at least so many"), never per node unless said, and never taken away unless said.
 */
#include "hugepages_command.h"
#include "hugepages_text.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
	"usage: hugepages info [--json]\n"
	"       hugepages explain [--size SIZE]\n"
	"       hugepages reserve [--size SIZE] [--pages] [--shrink] [--save FILE] [--dry-run]\n"
	"                         [--node N] AMOUNT | NODE:AMOUNT,…\n"
	"       hugepages restore [--dry-run] FILE\n"
	"       hugepages clear [--size SIZE] [--node N] [--save FILE] [--dry-run]\n"
	"       hugepages demote [--size SIZE] [--to SIZE] [--node N] [--pages] [--dry-run]\n"
	"                        AMOUNT\n"
	"       hugepages persist [--as unit|tmpfiles|sysctl|none] [--size SIZE] [--pages]\n"
	"                         [--node N] [--dry-run] [AMOUNT | NODE:AMOUNT,…]\n"
	"       hugepages mount [--size SIZE] [--uid USER] [--gid GROUP] [--mode MODE]\n"
	"                       [--limit BYTES] [--inodes N] [--dry-run] [DIRECTORY]\n"
	"       hugepages unmount [--force] [--dry-run] [DIRECTORY]\n"
	"       hugepages reap [--dry-run] [PATTERN…]\n"
	"as uPCIe has them:\n"
	"       hugepages setup --count N [--size KB] [--shrink] [--dry-run]\n"
	"       hugepages mount [--mountpoint DIRECTORY] [--pagesize KB]\n"
	"\n"
	"AMOUNT is in bytes (512M, 1G), or in pages with --pages, and means \"at least\";\n"
	"+AMOUNT and -AMOUNT count from what there is. Pages are only taken away by -AMOUNT or\n"
	"with --shrink. Without a node it is the sum over all nodes.\n"
	"\n"
	"exit status: 0 done; 1 failed; 2 usage; 3 no such page size, node or file; 4 in use;\n"
	"             5 not permitted; 6 the kernel gave too few, and all was put back (but what\n"
	"             demote has split stays so)\n";

/* Which options and how many operands each command takes. */
static const struct command {
	const char *name;
	const char *options; /* short names, below */
	int least, most;     /* operands */
	enum exit_code (*run)(const struct options *opt);
} commands[] = {
	{ "info", "j", 0, 0, command_info },
	{ "explain", "s", 0, 0, command_explain },
	{ "reserve", "snpkvd", 1, 1, command_reserve },
	{ "clear", "snvd", 0, 0, command_clear },
	{ "restore", "d", 1, 1, command_restore },
	{ "demote", "stnpd", 1, 1, command_demote },
	{ "persist", "asnpd", 0, 1, command_persist },
	{ "setup", "cKkd", 0, 0, command_setup },
	{ "mount", "DPsugmlid", 0, 1, command_mount },
	{ "unmount", "fd", 0, 1, command_unmount },
	{ "reap", "d", 0, INT_MAX, command_reap },
};

/* Short names are our own marks, not for users: getopt_long returns them. */
static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "size", required_argument, NULL, 's' },
	{ "node", required_argument, NULL, 'n' },
	{ "pages", no_argument, NULL, 'p' },
	{ "shrink", no_argument, NULL, 'k' },
	{ "save", required_argument, NULL, 'v' },
	{ "dry-run", no_argument, NULL, 'd' },
	{ "force", no_argument, NULL, 'f' },
	{ "as", required_argument, NULL, 'a' },
	{ "to", required_argument, NULL, 't' },
	{ "uid", required_argument, NULL, 'u' },
	{ "gid", required_argument, NULL, 'g' },
	{ "mode", required_argument, NULL, 'm' },
	{ "limit", required_argument, NULL, 'l' },
	{ "inodes", required_argument, NULL, 'i' },
	{ "count", required_argument, NULL, 'c' },
	{ "mountpoint", required_argument, NULL, 'D' },
	{ "pagesize", required_argument, NULL, 'P' },
	{ "root", required_argument, NULL, 'R' }, /* for tests: a fake tree */
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int size_option(struct options *opt, const char *text)
{
	opt->is_size_given = true;
	if (!hp_bytes_parse(text, &opt->size) && opt->size)
		return 0;
	warnx("--size %s: not a size such as 2M or 1G", text);
	return -EINVAL;
}

/* A number alone is in kB. */
static int kb_option(struct options *opt, const char *text)
{
	uint64_t kb;

	if (hp_count_parse(text, &kb) || kb > UINT64_MAX / 1024 || !kb)
		return size_option(opt, text);
	opt->is_size_given = true;
	opt->size = kb * 1024;
	return 0;
}

static int node_option(struct options *opt, const char *text)
{
	uint64_t number;

	if (hp_count_parse(text, &number) || number >= HP_MAX_NODES) {
		warnx("--node %s: not the number of a node", text);
		return -EINVAL;
	}
	opt->node = (int)number;
	return 0;
}

/* Where the text of an option goes that is looked at by its command. */
static const char **option_text(struct options *opt, int mark)
{
	switch (mark) {
	case 'v':
		return &opt->save;
	case 'a':
		return &opt->as;
	case 'c':
		return &opt->count;
	case 'D':
		return &opt->mountpoint;
	case 't':
		return &opt->to_text;
	case 'u':
		return &opt->uid;
	case 'g':
		return &opt->gid;
	case 'm':
		return &opt->mode;
	case 'l':
		return &opt->limit;
	case 'i':
		return &opt->inodes;
	default:
		return &opt->sys.root;
	}
}

static int option_set(struct options *opt, int mark, const char *text)
{
	switch (mark) {
	case 'j':
		opt->json = true;
		return 0;
	case 's':
		return size_option(opt, text);
	case 'K':
	case 'P':
		return kb_option(opt, text);
	case 'n':
		return node_option(opt, text);
	case 'p':
		opt->pages = true;
		return 0;
	case 'k':
		opt->shrink = true;
		return 0;
	case 'f':
		opt->force = true;
		return 0;
	case 'd':
		opt->sys.dry_run = true;
		return 0;
	default:
		*option_text(opt, mark) = text;
		return 0;
	}
}

/* "-512M" as the last word is an amount, where getopt would see options. */
static bool is_amount(const char *word)
{
	return word[0] == '-' && word[1] >= '0' && word[1] <= '9';
}

static int options_parse(struct options *opt, const struct command *command, int argc, char **argv)
{
	const int amounts = argc > 1 && is_amount(argv[argc - 1]);
	int mark;

	argc -= amounts;
	while ((mark = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (mark == 'h') {
			fputs(usage_text, stdout);
			exit(EXIT_DONE);
		}
		if (mark == '?')
			return -EINVAL;
		if (mark == 's' && strchr(command->options, 'K'))
			mark = 'K'; /* the alias has its own unit */
		if (mark != 'R' && !strchr(command->options, mark)) {
			warnx("%s does not take that option", command->name);
			return -EINVAL;
		}
		if (option_set(opt, mark, optarg))
			return -EINVAL;
	}
	argc += amounts;
	if (argc - optind < command->least || argc - optind > command->most)
		return -EINVAL;
	opt->operands = argv + optind;
	opt->nr_operands = argc - optind;
	opt->operand = opt->nr_operands ? argv[optind] : opt->mountpoint;
	return 0;
}

/* The size asked for, or the kernel's default, must be one the kernel has. */
static enum exit_code size_check(struct options *opt)
{
	uint64_t sizes[HP_MAX_SIZES];
	char text[HP_SIZE_TEXT];
	const int nr = hp_sizes_get(&opt->sys, sizes);
	const int err = nr < 0 ? nr : opt->size ? 0 : hp_default_size_get(&opt->sys, &opt->size);

	if (err)
		return say_errno(err, "page sizes (has this kernel hugetlb?)");
	for (int i = 0; i < nr; i++)
		if (sizes[i] == opt->size)
			return EXIT_DONE;
	warnx("this kernel has no pages of %s", hp_size_format(opt->size, text));
	fprintf(stderr, "  what to do: name one of these:");
	for (int i = 0; i < nr; i++)
		fprintf(stderr, " %s", hp_size_format(sizes[i], text));
	fprintf(stderr, "\n");
	return EXIT_NOT_FOUND;
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int main(int argc, char **argv)
{
	struct options opt = { .sys = { .root = "" }, .node = -1 };
	const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		fputs(usage_text, stdout);
		return EXIT_DONE;
	}
	if (!command || options_parse(&opt, command, argc - 1, argv + 1)) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	const enum exit_code code = size_check(&opt);

	return (int)(code == EXIT_DONE ? command->run(&opt) : code);
}
