/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The words of uPCIe's command of the same name, for scripts that were written for it:
 *
 *     hugepages setup --count N [--size KB]               reserve --pages N, at least so many
 *     hugepages mount [--mountpoint DIR] [--pagesize KB]  mount DIR
 *
 * A size without a suffix is in kB there, which hugepages.c sees to; info is the same word.
 */
#include "hugepages_command.h"

#include <err.h>
#include <string.h>

enum exit_code command_setup(const struct options *opt)
{
	struct options reserve = *opt;

	if (!opt->count) {
		warnx("setup: --count is missing");
		return EXIT_USAGE;
	}
	/* Nothing else that reserve takes: a minus would take pages away. */
	if (!*opt->count || opt->count[strspn(opt->count, "0123456789")]) {
		warnx("setup: --count %s: not a number of pages", opt->count);
		return EXIT_USAGE;
	}
	reserve.pages = true;
	reserve.operand = opt->count;
	return command_reserve(&reserve);
}
