/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_COMMAND_H
#define TOOLS_HUGEPAGES_COMMAND_H

/*
 * What the commands of hugepages share: what the user asked for, and how it is answered when it
 * cannot be had.
 *
 *     hugepages.c            words to options; one command is run
 *     hugepages_NAME.c       that command: says on the standard error what went wrong, and returns
 *                            the exit status
 */

#include "exit_code.h"
#include "hugepages_sysfs.h"

struct options {
	struct hp_sys sys;
	uint64_t size; /* bytes of one page; the kernel's default if none is given */
	bool is_size_given;
	int node;      /* -1: not given */
	bool pages;    /* amounts are counts */
	bool shrink;
	bool json;
	bool force;
	const char *save; /* NULL: not given */
	const char *uid, *gid, *mode, *limit, *inodes; /* of a mount; NULL: not given */
	const char *to_text; /* the size that pages are split into; NULL: not given */
	uint64_t to;
	const char *as; /* how a reservation is to persist; NULL: not given */
	const char *count, *mountpoint; /* what an alias calls an operand; NULL: not given */
	const char *operand; /* the first; NULL: none */
	char *const *operands;
	int nr_operands;
};

enum exit_code command_info(const struct options *opt);
enum exit_code command_mount(const struct options *opt);
enum exit_code command_unmount(const struct options *opt);
enum exit_code command_reap(const struct options *opt);
enum exit_code command_demote(const struct options *opt);
enum exit_code command_persist(const struct options *opt);
enum exit_code command_explain(const struct options *opt);
enum exit_code command_setup(const struct options *opt);
enum exit_code command_reserve(const struct options *opt);
enum exit_code command_clear(const struct options *opt);
enum exit_code command_restore(const struct options *opt);

/* A name that somebody else chose, for a terminal (hp_name_format). Good until the next call. */
const char *say_name(const char *name);

/* Each says what is wrong, and what to do. @err is -errno, @what the thing that it is about. */
enum exit_code say_errno(int err, const char *what);
/* A file or directory that hp_files_each could not look at: why not; and the same said. */
const char *unseen_why(int err);
enum exit_code say_unseen(int err, const char *path);
enum exit_code say_bad_amount(const struct options *opt, const char *text);
enum exit_code say_no_node(const struct options *opt, int node);

/* An amount as pages, whatever unit the options say. -EINVAL, -ERANGE: say_bad_amount. */
int amount_parse(const struct options *opt, const char *text, uint64_t *pages);

#endif
