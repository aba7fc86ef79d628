/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TAP_H
#define PINION_TESTS_TAP_H

/*
 * What the harness prints: TAP, one line for each claim, and remarks. Harness trouble, which says
 * nothing about the library, ends the program.
 */

#include <stdbool.h>

/* First of all: how many claims will follow. */
void tap_plan(int nr);

/* One claim and how it ended. */
__attribute__((format(printf, 2, 3))) void tap_result(bool good, const char *format, ...);

/* A line beside the claims. */
__attribute__((format(printf, 1, 2))) void tap_remark(const char *format, ...);

/* The program cannot run here; its status is what main() returns. */
int tap_skip(const char *why);

/* The harness itself does not work: bails out. */
__attribute__((format(printf, 1, 2), noreturn)) void tap_bail(const char *format, ...);

/* What main() returns: 0 when every claim held. */
int tap_status(void);

#endif
