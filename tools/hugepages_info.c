/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_command.h"
#include "hugepages_text.h"
#include "hugepages_users.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Of one page size: what each node has, and what the kernel counts for all nodes together. */
struct size_info {
	uint64_t size;
	struct hp_counts all;
	uint64_t reserved;
	uint64_t overcommit;
	int nr_nodes;
	int nodes[HP_MAX_NODES];
	struct hp_counts counts[HP_MAX_NODES];
};

static int size_info_read(const struct hp_sys *sys, struct size_info *info)
{
	int err = hp_global_get(sys, info->size, "resv_hugepages", &info->reserved);

	/* Sizes that cannot be overcommitted (1 GiB on some machines) still have the file. */
	err = err ? err : hp_global_get(sys, info->size, "nr_overcommit_hugepages",
					&info->overcommit);
	info->all = (struct hp_counts){ 0 };
	for (int i = 0; !err && i < info->nr_nodes; i++) {
		err = hp_counts_get(sys, info->nodes[i], info->size, &info->counts[i]);
		if (!err)
			hp_counts_add(&info->all, &info->counts[i]);
	}
	return err;
}

static void row_print(uint64_t size, const char *node, const struct hp_counts *counts,
		      const char *reserved)
{
	char size_text[HP_SIZE_TEXT], memory[HP_SIZE_TEXT];

	printf("%-5s %4s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9s %7s\n",
	       hp_size_format(size, size_text), node, counts->total, counts->free, counts->surplus,
	       reserved, hp_size_format(counts->total * size, memory));
}

static void size_table(const struct size_info *info)
{
	char text[24];

	for (int i = 0; i < info->nr_nodes; i++) {
		snprintf(text, sizeof(text), "%d", info->nodes[i]);
		row_print(info->size, text, &info->counts[i], "-");
	}
	snprintf(text, sizeof(text), "%" PRIu64, info->reserved);
	row_print(info->size, "all", &info->all, text);
}

static void counts_json(const struct hp_counts *counts)
{
	printf("\"total\": %" PRIu64 ", \"free\": %" PRIu64 ", \"surplus\": %" PRIu64,
	       counts->total, counts->free, counts->surplus);
}

static void size_json(const struct size_info *info)
{
	printf("  {\"size\": %" PRIu64 ", ", info->size);
	counts_json(&info->all);
	printf(", \"reserved\": %" PRIu64 ", \"overcommit\": %" PRIu64 ",\n   \"nodes\": [",
	       info->reserved, info->overcommit);
	for (int i = 0; i < info->nr_nodes; i++) {
		printf("%s\n    {\"node\": %d, ", i ? "," : "", info->nodes[i]);
		counts_json(&info->counts[i]);
		printf("}");
	}
	printf("]}");
}

/* A mount point may hold any byte; escaped are those that JSON cannot carry plainly, and what could
 * steer a terminal: in UTF-8, after a byte C2 those from 80 to 9F as well. */
static void string_json(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		const unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20 || byte == 0x7f)
			printf("\\u%04x", byte);
		else if (byte == 0xc2 && (unsigned char)text[1] >= 0x80 &&
			 (unsigned char)text[1] <= 0x9f)
			printf("\\u%04x", (unsigned char)*++text);
		else
			putchar(byte);
	}
	putchar('"');
}

static void mount_print(const struct hp_mount *mount, bool json, bool first)
{
	char text[HP_SIZE_TEXT];

	if (!json) {
		printf("mounted %s on %s\n", hp_size_format(mount->size, text),
		       say_name(mount->path));
		return;
	}
	printf("%s\n  {\"path\": ", first ? "" : ",");
	string_json(mount->path);
	printf(", \"size\": %" PRIu64 "}", mount->size);
}

static void mounts_print(const struct hp_mounts *mounts, bool json)
{
	bool first = true;

	for (size_t i = 0; i < mounts->nr; i++) {
		if (!mounts->list[i].path)
			continue;
		mount_print(&mounts->list[i], json, first);
		first = false;
	}
}

/* One process with one size of page, whatever the files. */
struct user {
	const struct hp_use *about;
	uint64_t mapped;
	uint64_t open;
};

static void user_touched(const struct hp_users *users, const struct user *user, bool json)
{
	bool first = true;

	for (size_t i = 0; i < users->nr_touched; i++) {
		const struct hp_touched *touched = &users->touched[i];

		if (touched->pid != user->about->pid || touched->size != user->about->size)
			continue;
		printf(json ? "%s{\"node\": %d, \"pages\": %" PRIu64 "}"
			    : "%snode %d: %" PRIu64 " pages",
		       !first ? ", " : json ? "" : "; ", touched->node, touched->pages);
		first = false;
	}
}

static void user_print(const struct hp_users *users, const struct user *user, bool json, bool first)
{
	char size[HP_SIZE_TEXT], mapped[HP_SIZE_TEXT], open[HP_SIZE_TEXT], name[HP_COMMAND_TEXT];
	const struct hp_use *about = user->about;

	if (!json) {
		printf("process %d (%s) maps %s in pages of %s, has files of %s open", about->pid,
		       hp_name_format(about->command, name, sizeof(name)),
		       hp_size_format(user->mapped, mapped),
		       hp_size_format(about->size, size), hp_size_format(user->open, open));
		user_touched(users, user, json);
		printf("\n");
		return;
	}
	printf("%s\n  {\"pid\": %d, \"command\": ", first ? "" : ",", about->pid);
	string_json(about->command);
	printf(", \"size\": %" PRIu64 ", \"mapped\": %" PRIu64 ", \"open\": %" PRIu64
	       ", \"nodes\": [", about->size, user->mapped, user->open);
	user_touched(users, user, json);
	printf("]}");
}

/* The uses of one process stand together: is this the first of its size there? */
static bool is_first(const struct hp_users *users, size_t at)
{
	for (size_t i = at; i > 0 && users->uses[i - 1].pid == users->uses[at].pid; i--)
		if (users->uses[i - 1].size == users->uses[at].size)
			return false;
	return true;
}

static void users_print(const struct hp_users *users, bool json)
{
	bool first = true;

	for (size_t at = 0; at < users->nr; at++) {
		struct user user = { .about = &users->uses[at] };

		if (!is_first(users, at))
			continue;
		for (size_t i = at; i < users->nr && users->uses[i].pid == user.about->pid; i++)
			if (users->uses[i].size == user.about->size) {
				user.mapped += users->uses[i].mapped;
				user.open += users->uses[i].open;
			}
		user_print(users, &user, json, first);
		first = false;
	}
	if (!json && users->hidden)
		printf("%zu processes could not be looked at: root can, outside containers\n",
		       users->hidden);
}

static int files_print(const struct hp_sys *sys, bool json)
{
	struct hp_mounts mounts;
	struct hp_users users;
	int err = hp_mounts_get(sys, &mounts);

	if (err)
		return err;
	err = hp_users_get(sys, &mounts, &users);
	if (!err) {
		if (json)
			printf("],\n \"mounts\": [");
		mounts_print(&mounts, json);
		if (json)
			printf("],\n \"users\": [");
		users_print(&users, json);
		if (json)
			printf("],\n \"hidden\": %zu}\n", users.hidden);
		hp_users_free(&users);
	}
	hp_mounts_free(&mounts);
	return err;
}

/* JSON is one object: {"sizes": […], "mounts": […], "users": […], "hidden": N}. */
static int sizes_print(const struct hp_sys *sys, struct size_info *info, bool json)
{
	uint64_t sizes[HP_MAX_SIZES];
	const int nr = hp_sizes_get(sys, sizes);

	for (int i = 0; i < nr; i++) {
		info->size = sizes[i];
		const int err = size_info_read(sys, info);

		if (err)
			return err;
		if (json && i)
			printf(",\n");
		if (json)
			size_json(info);
		else
			size_table(info);
	}
	return nr < 0 ? nr : 0;
}

static int info_print(const struct hp_sys *sys, bool json)
{
	struct size_info *info = malloc(sizeof(*info)); /* 32 KiB: not for the stack */

	if (!info)
		return -ENOMEM;
	info->nr_nodes = hp_nodes_get(sys, info->nodes);
	if (json)
		printf("{\"sizes\": [\n");
	else
		printf("%-5s %4s %9s %9s %9s %9s %7s\n", "SIZE", "NODE", "TOTAL", "FREE", "SURPLUS",
		       "RESERVED", "MEMORY");
	int err = info->nr_nodes < 0 ? info->nr_nodes : sizes_print(sys, info, json);

	err = err ? err : files_print(sys, json);
	free(info);
	return err;
}

enum exit_code command_info(const struct options *opt)
{
	const int err = info_print(&opt->sys, opt->json);

	return err ? say_errno(err, "hugepage counters") : EXIT_DONE;
}
