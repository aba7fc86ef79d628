/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * demote: free hugepages split into smaller ones, which are then had without looking for memory.
 *
 * The kernel (admin-guide/mm/hugetlbpage, "demote") splits pages that are free and not reserved, as
 * many as it can, and does not say how many. There is no way back but to give the small ones up. So
 * what cannot be is refused before, and what came is read back.
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

/* The largest that can be split, if none is named. */
static enum exit_code from_choose(struct options *opt)
{
	uint64_t sizes[HP_MAX_SIZES], to;
	const int nr = opt->is_size_given ? 1 : hp_sizes_get(&opt->sys, sizes);
	int err = -ENOENT;

	if (nr < 0)
		return say_errno(nr, "page sizes");
	for (int i = nr; i > 0 && err == -ENOENT; i--) {
		if (!opt->is_size_given)
			opt->size = sizes[i - 1];
		err = hp_demote_size_get(&opt->sys, opt->size, &to);
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

/* Somebody else's choice of a size stays theirs, whatever came of it. */
static int split_as(const struct options *opt, uint64_t pages)
{
	uint64_t to;
	int err = hp_demote_size_get(&opt->sys, opt->size, &to);

	if (err)
		return err;
	if (to == opt->to)
		return hp_demote(&opt->sys, opt->node, opt->size, pages);
	err = hp_demote_size_set(&opt->sys, opt->size, opt->to);
	err = err ? err : hp_demote(&opt->sys, opt->node, opt->size, pages);
	const int undone = hp_demote_size_set(&opt->sys, opt->size, to);

	return err ? err : undone;
}

static enum exit_code split(const struct options *opt, uint64_t pages)
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
	const int failed = split_as(opt, pages);

	if (failed)
		code = say_errno(failed, "demote");
	else if (!opt->sys.dry_run)
		code = result_say(opt, pages, before.total);
	hp_interrupt_release();
	return code;
}

/* The size to split into: as the kernel would, or one that it has and that is smaller. */
static enum exit_code to_choose(struct options *opt)
{
	uint64_t sizes[HP_MAX_SIZES];
	char from[HP_SIZE_TEXT];
	const int nr = hp_sizes_get(&opt->sys, sizes);
	const int err = nr < 0 ? nr : opt->to_text ? 0 :
			hp_demote_size_get(&opt->sys, opt->size, &opt->to);

	if (err)
		return say_errno(err, "page sizes");
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

enum exit_code command_demote(const struct options *given)
{
	struct options opt = *given;
	uint64_t pages;
	enum exit_code code = from_choose(&opt);

	code = code ? code : to_choose(&opt);
	if (code != EXIT_DONE)
		return code;
	if (amount_parse(&opt, opt.operand, &pages) || !pages)
		return say_bad_amount(&opt, opt.operand);
	const int lock = hp_lock(&opt.sys);

	if (lock < 0)
		return say_errno(lock, "hugepages");
	code = split(&opt, pages);
	close(lock);
	return code;
}
