/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hugepages: see, reserve and give back hugepages, node by node.
 *
 *     hugepages info                         what there is
 *     hugepages reserve 1G                   at least 1 GiB on this machine, spread over its nodes
 *     hugepages reserve --node 1 512M        at least 512 MiB on node 1
 *     hugepages reserve 0:512M,1:1G          each node its own
 *     hugepages reserve --save F 1G          … and what there was before goes to F
 *     hugepages restore F                    back to that
 *     hugepages clear --node 1               to none on node 1
 *
 * The kernel takes any number, gives what it can and returns success. So every number is read back,
 * and what falls short anywhere is undone everywhere: a script can trust exit status 0. Numbers are
 * absolute ("at least so many"), never per node unless said, and never taken away unless said.
 */
#include "exit_code.h"
#include "hugepages_info.h"
#include "hugepages_interrupt.h"
#include "hugepages_plan.h"
#include "hugepages_sysfs.h"
#include "hugepages_text.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
	struct hp_sys sys;
	uint64_t size; /* bytes of one page */
	int node;      /* -1: not given */
	bool pages;    /* amounts are counts */
	bool shrink;
	bool json;
	const char *save; /* NULL: not given */
	const char *operand;
};

static const char usage_text[] =
	"usage: hugepages info [--json]\n"
	"       hugepages reserve [--size SIZE] [--pages] [--shrink] [--save FILE] [--dry-run]\n"
	"                         [--node N] AMOUNT | NODE:AMOUNT,…\n"
	"       hugepages restore [--dry-run] FILE\n"
	"       hugepages clear [--size SIZE] [--node N] [--save FILE] [--dry-run]\n"
	"\n"
	"AMOUNT is in bytes (512M, 1G), or in pages with --pages, and means \"at least\":\n"
	"pages are only taken away with --shrink. Without a node it is the sum over all nodes.\n"
	"\n"
	"exit status: 0 done; 1 failed; 2 usage; 3 no such page size or node; 4 pages in use;\n"
	"             5 not permitted; 6 the kernel gave too few, and all was put back\n";

static enum exit_code say_errno(int err, const char *what)
{
	errno = -err;
	warn("%s", what);
	if (err == -EACCES || err == -EPERM || err == -EROFS) {
		fprintf(stderr, "  what to do: run as root, outside a container that mounts /sys "
				"read-only\n");
		return EXIT_PERMISSION;
	}
	if (err == -EAGAIN)
		fprintf(stderr, "  what to do: wait for the other hugepages to end\n");
	return EXIT_FAILED;
}

static enum exit_code say_bad_amount(const struct options *opt, const char *text)
{
	char size[HP_SIZE_TEXT];

	warnx("'%s' is not an amount of whole %s pages", text, hp_size_format(opt->size, size));
	fprintf(stderr, "  what to do: write bytes such as 512M or 1G, a multiple of %s, or a "
			"number of pages with --pages\n", size);
	return EXIT_USAGE;
}

/* An amount as pages, whatever unit the options say. */
static int amount_parse(const struct options *opt, const char *text, uint64_t *pages)
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

static enum exit_code say_no_node(const struct options *opt, int node)
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

static enum exit_code target_add(const struct options *opt, struct hp_plan *plan, int node,
				 uint64_t size, struct hp_target **target)
{
	const int err = hp_plan_add(plan, node, size, target);

	if (err == -ENOENT)
		return say_no_node(opt, node);
	if (err == -EEXIST) {
		warnx("node %d is named twice", node);
		return EXIT_USAGE;
	}
	return err ? say_errno(err, "hugepage counters") : EXIT_DONE;
}

static void target_want(const struct options *opt, struct hp_target *target, uint64_t pages)
{
	if (pages > target->before || opt->shrink)
		target->want = pages;
}

/* One "NODE:AMOUNT". */
static enum exit_code entry_add(const struct options *opt, struct hp_plan *plan, const char *entry)
{
	struct hp_target *target;
	const char *amount;
	uint64_t pages;
	int node;

	if (hp_node_parse(entry, &node, &amount)) {
		warnx("'%s' is not NODE:AMOUNT", entry);
		return EXIT_USAGE;
	}
	if (amount_parse(opt, amount, &pages))
		return say_bad_amount(opt, amount);
	const enum exit_code code = target_add(opt, plan, node, opt->size, &target);

	if (code == EXIT_DONE)
		target_want(opt, target, pages);
	return code;
}

static enum exit_code map_add(const struct options *opt, struct hp_plan *plan)
{
	enum exit_code code = EXIT_DONE;
	char *copy, *rest;

	if (opt->node >= 0) {
		warnx("--node and NODE:AMOUNT together");
		return EXIT_USAGE;
	}
	copy = rest = strdup(opt->operand);
	if (!copy)
		return say_errno(-ENOMEM, "map");
	for (char *entry; code == EXIT_DONE && (entry = strsep(&rest, ","));)
		code = entry_add(opt, plan, entry);
	free(copy);
	return code;
}

/* All nodes of the machine, or the one that was named, as they are now. */
static enum exit_code nodes_add(const struct options *opt, struct hp_plan *plan)
{
	struct hp_target *target;
	int nodes[HP_MAX_NODES] = { opt->node };
	const int nr = opt->node >= 0 ? 1 : hp_nodes_get(&opt->sys, nodes);
	enum exit_code code = EXIT_DONE;

	if (nr < 0)
		return say_errno(nr, "NUMA nodes");
	for (int i = 0; code == EXIT_DONE && i < nr; i++)
		code = target_add(opt, plan, nodes[i], opt->size, &target);
	return code;
}

static enum exit_code single_add(const struct options *opt, struct hp_plan *plan)
{
	uint64_t pages;

	if (amount_parse(opt, opt->operand, &pages))
		return say_bad_amount(opt, opt->operand);
	const enum exit_code code = nodes_add(opt, plan);

	if (code == EXIT_DONE)
		hp_plan_level(plan, pages, opt->shrink);
	return code;
}

static enum exit_code say_short(const struct hp_plan *plan, int err)
{
	char size[HP_SIZE_TEXT];

	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (target->got != target->want)
			warnx("node %d: got %" PRIu64 " of %" PRIu64 " pages of %s", target->node,
			      target->got, target->want, hp_size_format(target->size, size));
		else if (target->want != target->before)
			warnx("node %d: got all %" PRIu64 " pages", target->node, target->want);
	}
	if (err == -ENOTRECOVERABLE)
		warnx("the former numbers could NOT all be put back: see hugepages info");
	else
		warnx("all nodes were put back to what they had");
	fprintf(stderr, "  what to do: ask for less, or of another node (hugepages reserve "
			"NODE:AMOUNT,…); free memory on the node;\n"
			"  reserve soon after boot, before memory is scattered, or on the kernel "
			"command line (hugepages=)\n");
	return err == -ENOTRECOVERABLE ? EXIT_FAILED : EXIT_SHORT;
}

static void plan_print(const struct hp_plan *plan)
{
	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];
		char size[HP_SIZE_TEXT], memory[HP_SIZE_TEXT];

		printf("node %d: %" PRIu64 " -> %" PRIu64 " pages of %s (%s)\n", target->node,
		       target->before, target->want, hp_size_format(target->size, size),
		       hp_size_format(target->want * target->size, memory));
	}
}

/*
 * The file says all that restore needs. An older one is not written over: it may hold the numbers
 * from before an earlier reserve, the only ones worth going back to.
 */
static enum exit_code plan_save(const struct hp_plan *plan, const char *path)
{
	FILE *file = fopen(path, "wxe");

	if (!file)
		return say_errno(-errno, path);
	fprintf(file, "# node, kB of a page, pages: put back with hugepages restore\n");
	for (size_t i = 0; i < plan->nr; i++)
		fprintf(file, "%d %" PRIu64 " %" PRIu64 "\n", plan->targets[i].node,
			plan->targets[i].size / 1024, plan->targets[i].before);
	const int bad = ferror(file);

	if (fclose(file) || bad) {
		const int err = errno ? -errno : -EIO;

		unlink(path);
		return say_errno(err, path);
	}
	return EXIT_DONE;
}

static enum exit_code plan_try(struct hp_plan *plan)
{
	const int err = hp_plan_apply(plan);

	if (err == -ENOSPC || err == -ENOTRECOVERABLE)
		return say_short(plan, err);
	if (err == -EINTR) {
		warnx("interrupted: all nodes were put back to what they had");
		return EXIT_SHORT;
	}
	if (err)
		return say_errno(err, "nr_hugepages");
	if (!plan->sys->dry_run)
		plan_print(plan);
	return EXIT_DONE;
}

/* What needs no try: EXIT_DONE where the plan may work. */
static enum exit_code plan_check(const struct hp_plan *plan)
{
	const struct hp_target *blocker = hp_plan_blocker(plan);
	const struct hp_target *excess = hp_plan_excess(plan);
	char size[HP_SIZE_TEXT];

	if (blocker) {
		warnx("node %d: %" PRIu64 " pages are in use, so it cannot have only %" PRIu64,
		      blocker->node, blocker->used, blocker->want);
		fprintf(stderr, "  what to do: end the programs that use them, or remove their "
				"files from hugetlbfs\n");
		return EXIT_IN_USE;
	}
	if (!excess)
		return EXIT_DONE;
	warnx("node %d: %" PRIu64 " pages of %s are more than all its memory, which is %" PRIu64,
	      excess->node, excess->want, hp_size_format(excess->size, size), excess->most);
	fprintf(stderr, "  what to do: ask for less; nothing was changed\n");
	return EXIT_SHORT;
}

/* The saved numbers go to disk first: a kill in the middle must not lose them. */
static enum exit_code plan_run(const struct options *opt, struct hp_plan *plan)
{
	const bool save = opt->save && !opt->sys.dry_run;
	enum exit_code code = plan_check(plan);

	if (code != EXIT_DONE)
		return code;
	hp_interrupt_hold();
	code = save ? plan_save(plan, opt->save) : EXIT_DONE;
	if (code == EXIT_DONE) {
		code = plan_try(plan);
		if (code != EXIT_DONE && code != EXIT_FAILED && save)
			unlink(opt->save); /* all is as it was: nothing to go back to */
	}
	hp_interrupt_release();
	return code;
}

static enum exit_code reserve_plan(const struct options *opt, struct hp_plan *plan)
{
	return strchr(opt->operand, ':') ? map_add(opt, plan) : single_add(opt, plan);
}

static enum exit_code clear_plan(const struct options *opt, struct hp_plan *plan)
{
	const enum exit_code code = nodes_add(opt, plan);

	for (size_t i = 0; i < plan->nr; i++)
		plan->targets[i].want = 0;
	return code;
}

/* "NODE KB PAGES" as plan_save wrote it. */
static enum exit_code line_add(const struct options *opt, struct hp_plan *plan, char *line)
{
	uint64_t numbers[3];
	struct hp_target *target;

	for (int i = 0; i < 3; i++) {
		const char *word = strsep(&line, " ");

		if (!word || hp_count_parse(word, &numbers[i])) {
			warnx("%s: not a file that hugepages saved", opt->operand);
			return EXIT_USAGE;
		}
	}
	if (line || numbers[0] >= HP_MAX_NODES || numbers[1] > UINT64_MAX / 1024) {
		warnx("%s: not a file that hugepages saved", opt->operand);
		return EXIT_USAGE;
	}
	const enum exit_code code = target_add(opt, plan, (int)numbers[0], numbers[1] * 1024,
					       &target);

	if (code == EXIT_DONE)
		target->want = numbers[2];
	return code;
}

static enum exit_code restore_plan(const struct options *opt, struct hp_plan *plan)
{
	enum exit_code code = EXIT_DONE;
	char line[128];
	FILE *file = fopen(opt->operand, "re");

	if (!file)
		return say_errno(-errno, opt->operand);
	while (code == EXIT_DONE && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '#')
			code = line_add(opt, plan, line);
	}
	fclose(file);
	if (code == EXIT_DONE && plan->nr == 0) {
		warnx("%s: not a file that hugepages saved", opt->operand);
		return EXIT_USAGE;
	}
	return code;
}

/* Lock, plan, run: the counters that a plan is made from must still hold when it is carried out. */
static enum exit_code with_plan(const struct options *opt,
				enum exit_code (*make)(const struct options *, struct hp_plan *))
{
	struct hp_plan *plan = malloc(sizeof(*plan)); /* 48 KiB: not for the stack */
	const int lock = plan ? hp_lock(&opt->sys) : -ENOMEM;

	if (lock < 0) {
		free(plan);
		return say_errno(lock, "hugepages");
	}
	hp_plan_init(plan, &opt->sys);
	enum exit_code code = make(opt, plan);

	if (code == EXIT_DONE)
		code = plan_run(opt, plan);
	close(lock);
	free(plan);
	return code;
}

static enum exit_code command_info(const struct options *opt)
{
	const int err = hp_info_print(&opt->sys, opt->json);

	return err ? say_errno(err, "hugepage counters") : EXIT_DONE;
}

static enum exit_code command_reserve(const struct options *opt)
{
	return with_plan(opt, reserve_plan);
}

static enum exit_code command_clear(const struct options *opt)
{
	return with_plan(opt, clear_plan);
}

static enum exit_code command_restore(const struct options *opt)
{
	return with_plan(opt, restore_plan);
}

/* Which options and how many operands each command takes. */
static const struct command {
	const char *name;
	const char *options; /* short names, below */
	int operands;
	enum exit_code (*run)(const struct options *opt);
} commands[] = {
	{ "info", "j", 0, command_info },
	{ "reserve", "snpkvd", 1, command_reserve },
	{ "clear", "snvd", 0, command_clear },
	{ "restore", "d", 1, command_restore },
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
	{ "root", required_argument, NULL, 'R' }, /* for tests: a fake tree */
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int size_option(struct options *opt, const char *text)
{
	if (!hp_bytes_parse(text, &opt->size) && opt->size)
		return 0;
	warnx("--size %s: not a size such as 2M or 1G", text);
	return -EINVAL;
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

static int option_set(struct options *opt, int mark, const char *text)
{
	switch (mark) {
	case 'j':
		opt->json = true;
		return 0;
	case 's':
		return size_option(opt, text);
	case 'n':
		return node_option(opt, text);
	case 'p':
		opt->pages = true;
		return 0;
	case 'k':
		opt->shrink = true;
		return 0;
	case 'v':
		opt->save = text;
		return 0;
	case 'd':
		opt->sys.dry_run = true;
		return 0;
	default:
		opt->sys.root = text;
		return 0;
	}
}

static int options_parse(struct options *opt, const struct command *command, int argc, char **argv)
{
	int mark;

	while ((mark = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (mark == 'h') {
			fputs(usage_text, stdout);
			exit(EXIT_DONE);
		}
		if (mark == '?')
			return -EINVAL;
		if (mark != 'R' && !strchr(command->options, mark)) {
			warnx("%s does not take that option", command->name);
			return -EINVAL;
		}
		if (option_set(opt, mark, optarg))
			return -EINVAL;
	}
	if (argc - optind != command->operands)
		return -EINVAL;
	opt->operand = command->operands ? argv[optind] : NULL;
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
