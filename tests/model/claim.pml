/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A claim has a name, for who reads the trace, and for `check`, which defines each name: 0, the
 * search ends where it breaks, 1, it goes on.
 */

#define claim(name, condition)                                                                     \
	if                                                                                         \
	:: (condition)                                                                             \
	:: else ->                                                                                 \
		printf("broken: "); printf(#name); printf("\n");                                   \
		assert(name)                                                                       \
	fi
