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

enum exit_code command_setup(const struct options *opt)
{
	struct options reserve = *opt;

	if (!opt->count) {
		warnx("setup: --count is missing");
		return EXIT_USAGE;
	}
	reserve.pages = true;
	reserve.operand = opt->count;
	return command_reserve(&reserve);
}
