/* SPDX-License-Identifier: BSD-3-Clause */
/* reserve, restore and clear: who is to have how many pages, reached as a whole or not at all. */
#include "hugepages_reserve.h"
#include "hugepages_interrupt.h"
#include "hugepages_text.h"

#include <bsd/string.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* "+512M" and "-512M" are from what there is, "512M" is all there is to be. */
struct change {
	char sign; /* 0: none */
	uint64_t pages;
};

static enum exit_code change_parse(const struct options *opt, const char *text,
				   struct change *change)
{
	change->sign = '\0';
	if (*text == '+' || *text == '-')
		change->sign = *text;
	if (!amount_parse(opt, text + (change->sign != '\0'), &change->pages))
		return EXIT_DONE;
	return say_bad_amount(opt, text);
}

/* What @pages become; a number that is given without a sign is taken as it is. */
static enum exit_code change_apply(const struct change *change, uint64_t pages, uint64_t *want)
{
	if (change->sign == '-' && change->pages > pages) {
		warnx("%" PRIu64 " pages cannot be taken away: there are only %" PRIu64,
		      change->pages, pages);
		fprintf(stderr, "  what to do: see hugepages info; nothing was changed\n");
		return EXIT_SHORT;
	}
	*want = change->sign == '-' ? pages - change->pages :
		change->sign == '+' ? pages + change->pages : change->pages;
	return EXIT_DONE;
}

/* A minus says that pages are to be taken away. */
static bool may_shrink(const struct options *opt, const struct change *change)
{
	return opt->shrink || change->sign == '-';
}

/* One "NODE:AMOUNT". */
static enum exit_code entry_add(const struct options *opt, struct hp_plan *plan, const char *entry)
{
	struct hp_target *target;
	struct change change;
	const char *amount;
	uint64_t pages;
	int node;

	if (hp_node_parse(entry, &node, &amount)) {
		warnx("'%s' is not NODE:AMOUNT", entry);
		return EXIT_USAGE;
	}
	enum exit_code code = change_parse(opt, amount, &change);

	code = code ? code : target_add(opt, plan, node, opt->size, &target);
	code = code ? code : change_apply(&change, target->before, &pages);
	if (code == EXIT_DONE && (pages > target->before || may_shrink(opt, &change)))
		target->want = pages;
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
	uint64_t sum = 0, pages;
	struct change change;
	enum exit_code code = change_parse(opt, opt->operand, &change);

	code = code ? code : nodes_add(opt, plan);
	for (size_t i = 0; i < plan->nr; i++)
		sum += plan->targets[i].before;
	code = code ? code : change_apply(&change, sum, &pages);
	if (code == EXIT_DONE)
		hp_plan_level(plan, pages, may_shrink(opt, &change));
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

enum exit_code reserve_plan_fresh(const struct options *opt, struct hp_plan *plan)
{
	struct options exact = *opt;
	uint64_t pages;

	exact.shrink = true;
	if (strpbrk(opt->operand, "+-")) {
		warnx("'%s': a sign counts from what there is, and at boot there is nothing",
		      opt->operand);
		return EXIT_USAGE;
	}
	if (strchr(opt->operand, ':'))
		return map_add(&exact, plan);
	if (amount_parse(opt, opt->operand, &pages))
		return say_bad_amount(opt, opt->operand);
	const enum exit_code code = nodes_add(opt, plan);

	for (size_t i = 0; i < plan->nr; i++)
		plan->targets[i].want = 0;
	if (code == EXIT_DONE)
		hp_plan_level(plan, pages, false);
	return code;
}

enum exit_code reserve_plan_present(const struct options *opt, struct hp_plan *plan)
{
	int nodes[HP_MAX_NODES] = { opt->node };
	uint64_t sizes[HP_MAX_SIZES] = { opt->size };
	const int nr_nodes = opt->node >= 0 ? 1 : hp_nodes_get(&opt->sys, nodes);
	const int nr_sizes = opt->is_size_given ? 1 : hp_sizes_get(&opt->sys, sizes);
	enum exit_code code = EXIT_DONE;

	if (nr_nodes < 0 || nr_sizes < 0)
		return say_errno(nr_nodes < 0 ? nr_nodes : nr_sizes, "hugepage counters");
	for (int i = 0; i < nr_sizes * nr_nodes && code == EXIT_DONE; i++) {
		struct hp_target *target;

		code = target_add(opt, plan, nodes[i % nr_nodes], sizes[i / nr_nodes], &target);
		if (code == EXIT_DONE && !target->want)
			plan->nr--; /* the last that was added */
	}
	return code;
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

enum exit_code command_reserve(const struct options *opt)
{
	return with_plan(opt, reserve_plan);
}

enum exit_code command_clear(const struct options *opt)
{
	return with_plan(opt, clear_plan);
}

enum exit_code command_restore(const struct options *opt)
{
	return with_plan(opt, restore_plan);
}
