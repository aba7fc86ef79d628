/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demote: free hugepages split into smaller ones, which are then had without looking for memory.
 *
 * The kernel (admin-guide/mm/hugetlbpage, "demote") splits pages that are free and not reserved, as
 * many as it can, and does not say how many. There is no way back but to give the small ones up. So
 * what cannot be is refused before, and what came is read back. The lock is held from the size to
 * split into on: another demote may have set that for a while, and has yet to put it back.
 */
#include "hugepages_command.h"
#include "hugepages_interrupt.h"
#include "hugepages_text.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static enum exit_code say_no_demote(const struct options *opt)
{
	char size[HP_SIZE_TEXT];

	warnx("this kernel does not split pages of %s", hp_size_format(opt->size, size));
	fprintf(stderr, "  what to do: name a larger size, with --size; it came with Linux 5.16\n");
	return EXIT_NOT_FOUND;
}

/* The largest that can be split, if none is named; and what the kernel splits it into. */
static enum exit_code from_choose(struct options *opt)
{
	uint64_t sizes[HP_MAX_SIZES];
	const int nr = opt->is_size_given ? 1 : hp_sizes_get(&opt->sys, sizes);
	int err = -ENOENT;

	if (nr < 0)
		return say_errno(nr, "page sizes");
	for (int i = nr; i > 0 && err == -ENOENT; i--) {
		if (!opt->is_size_given)
			opt->size = sizes[i - 1];
		err = hp_demote_size_get(&opt->sys, opt->size, &opt->to);
	}
	if (err == -ENOENT)
		return say_no_demote(opt);
	return err ? say_errno(err, "demote_size") : EXIT_DONE;
}

/* Reserved pages are those of no node: the kernel subtracts all of them on each. */
static enum exit_code free_check(const struct options *opt, const struct hp_counts *counts,
				 uint64_t pages)
{
	uint64_t reserved;
	const int err = hp_global_get(&opt->sys, opt->size, "resv_hugepages", &reserved);
	const uint64_t most = counts->free > reserved ? counts->free - reserved : 0;

	if (err)
		return say_errno(err, "resv_hugepages");
	if (pages <= most)
		return EXIT_DONE;
	warnx("%" PRIu64 " pages cannot be split: %" PRIu64 " are free, and %" PRIu64
	      " of all are reserved", pages, counts->free, reserved);
	fprintf(stderr, "  what to do: ask for less, or reserve more; nothing was changed\n");
	return EXIT_SHORT;
}

static enum exit_code result_say(const struct options *opt, uint64_t pages, uint64_t before)
{
	char from[HP_SIZE_TEXT], to[HP_SIZE_TEXT];
	struct hp_counts now;
	const int err = hp_counts_sum(&opt->sys, opt->node, opt->size, &now);

	if (err)
		return say_errno(err, "hugepage counters");
	const uint64_t split = before > now.total ? before - now.total : 0;

	printf("%" PRIu64 " pages of %s are now %" PRIu64 " of %s\n", split,
	       hp_size_format(opt->size, from), split * (opt->size / opt->to),
	       hp_size_format(opt->to, to));
	if (split >= pages)
		return EXIT_DONE;
	warnx("%" PRIu64 " pages were to be split, and this cannot be undone", pages);
	fprintf(stderr, "  what to do: see hugepages info, and ask for the rest\n");
	return EXIT_SHORT;
}

/* A signal that came while the size was set is heard before it is too late to. */
static int split_pages(const struct options *opt, uint64_t pages)
{
	return hp_interrupt_came() ? -EINTR :
	       hp_demote(&opt->sys, opt->node, opt->size, pages);
}

/* Somebody else's choice of a size, @usual, stays theirs, whatever came of it; 0 in @undone. */
static int split_as(const struct options *opt, uint64_t usual, uint64_t pages, int *undone)
{
	*undone = 0;
	if (usual == opt->to)
		return split_pages(opt, pages);
	int err = hp_demote_size_set(&opt->sys, opt->size, opt->to);

	err = err ? err : split_pages(opt, pages);
	*undone = hp_demote_size_set(&opt->sys, opt->size, usual);
	return err;
}

static enum exit_code say_undone(const struct options *opt, uint64_t usual, int undone)
{
	char from[HP_SIZE_TEXT], to[HP_SIZE_TEXT], was[HP_SIZE_TEXT];
	const enum exit_code code = say_errno(undone, "demote_size");

	warnx("pages of %s are split into %s from now on, and no longer into %s",
	      hp_size_format(opt->size, from), hp_size_format(opt->to, to),
	      hp_size_format(usual, was));
	return code;
}

/* What was split is told whatever failed besides. */
static enum exit_code split_and_say(const struct options *opt, uint64_t usual, uint64_t pages,
				    uint64_t before)
{
	int undone;
	const int err = split_as(opt, usual, pages, &undone);
	enum exit_code code = EXIT_DONE;

	if (!opt->sys.dry_run && err != -EINTR)
		code = result_say(opt, err ? 0 : pages, before);
	if (err == -EINTR) {
		warnx("interrupted: no page was split");
		code = EXIT_SHORT;
	} else if (err) {
		code = say_errno(err, "demote");
	}
	if (undone)
		code = say_undone(opt, usual, undone);
	return code;
}

static enum exit_code split(const struct options *opt, uint64_t usual, uint64_t pages)
{
	struct hp_counts before;
	const int err = hp_counts_sum(&opt->sys, opt->node, opt->size, &before);

	if (err == -ENOENT)
		return say_no_node(opt, opt->node);
	if (err)
		return say_errno(err, "hugepage counters");
	enum exit_code code = free_check(opt, &before, pages);

	if (code != EXIT_DONE)
		return code;
	hp_interrupt_hold();
	code = split_and_say(opt, usual, pages, before.total);
	hp_interrupt_release();
	return code;
}

/* Another size to split into, if one is named: one that the kernel has, and that is smaller. */
static enum exit_code to_choose(struct options *opt)
{
	uint64_t sizes[HP_MAX_SIZES];
	char from[HP_SIZE_TEXT];
	const int nr = opt->to_text ? hp_sizes_get(&opt->sys, sizes) : 0;

	if (nr < 0)
		return say_errno(nr, "page sizes");
	if (!opt->to_text)
		return EXIT_DONE;
	if (!hp_bytes_parse(opt->to_text, &opt->to))
		for (int i = 0; i < nr; i++)
			if (sizes[i] == opt->to && opt->to < opt->size)
				return EXIT_DONE;
	warnx("--to %s: no page size that is smaller than %s", opt->to_text,
	      hp_size_format(opt->size, from));
	return EXIT_USAGE;
}

static enum exit_code demote(struct options *opt)
{
	uint64_t pages;
	enum exit_code code = from_choose(opt);
	const uint64_t usual = opt->to;

	code = code ? code : to_choose(opt);
	if (code != EXIT_DONE)
		return code;
	if (amount_parse(opt, opt->operand, &pages) || !pages)
		return say_bad_amount(opt, opt->operand);
	return split(opt, usual, pages);
}

enum exit_code command_demote(const struct options *given)
{
	struct options opt = *given;
	const int lock = hp_lock(&opt.sys);

	if (lock < 0)
		return say_errno(lock, "hugepages");
	const enum exit_code code = demote(&opt);

	close(lock);
	return code;
}
