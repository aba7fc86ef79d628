/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_COMMAND_H
#define PINION_COMMAND_H

/*
 * One run of one command: what main() has read, and what each command makes of it.
 */

#include <stdbool.h>
#include <stddef.h>

#include "../exit_code.h"

#define OPERANDS_MAX 4

struct options {
	const char *socket; /* NULL: not given */
	const char *root;   /* "": this machine */
	bool json, once;
	size_t nr;
	const char *operand[OPERANDS_MAX];
};

enum exit_code command_ls(const struct options *opt);
enum exit_code command_stat(const struct options *opt);
enum exit_code command_top(const struct options *opt);
enum exit_code command_doctor(const struct options *opt);
enum exit_code command_pool_create(const struct options *opt);
enum exit_code command_pool_destroy(const struct options *opt);
enum exit_code command_pool_grow(const struct options *opt);
enum exit_code command_pool_retire(const struct options *opt);
enum exit_code command_member_kick(const struct options *opt);
enum exit_code command_addr(const struct options *opt);

/* At the end of what went to stdout: EXIT_FAILED, and it is told, if not all of it did. */
enum exit_code output_done(void);

/* Tells what pinion_error_text() has, and what to do about @err (-errno). */
enum exit_code command_failed(int err);

#endif
