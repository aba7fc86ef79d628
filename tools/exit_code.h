/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_EXIT_CODE_H
#define TOOLS_EXIT_CODE_H

/* How commands end. Scripts rely on the numbers, which mean the same in devbind(8), hugepages(8)
 * and pinion(1). */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_IN_USE = 4,
	EXIT_PERMISSION = 5,
	EXIT_SHORT = 6,
};

#endif
