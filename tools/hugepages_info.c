/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_command.h"
#include "hugepages_text.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		if (err)
			break;
		info->all.total += info->counts[i].total;
		info->all.free += info->counts[i].free;
		info->all.surplus += info->counts[i].surplus;
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

/* A mount point may hold any byte; those that JSON cannot carry plainly are escaped. */
static void string_json(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		const unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

/* The option is written as "2M" or "1024M"; without it the kernel's default size holds. */
static uint64_t mount_page_size(const struct mntent *mount, uint64_t fallback)
{
	const char *option = hasmntopt(mount, "pagesize");
	char text[32];
	uint64_t bytes;

	if (!option || sscanf(option, "pagesize=%31[^,]", text) != 1 ||
	    hp_bytes_parse(text, &bytes))
		return fallback;
	return bytes;
}

static void mount_print(const struct mntent *mount, uint64_t size, bool json, bool first)
{
	char text[HP_SIZE_TEXT];

	if (!json) {
		printf("mounted %s on %s\n", hp_size_format(size, text), mount->mnt_dir);
		return;
	}
	printf("%s\n  {\"path\": ", first ? "" : ",");
	string_json(mount->mnt_dir);
	printf(", \"size\": %" PRIu64 "}", size);
}

static int mounts_print(const struct hp_sys *sys, bool json)
{
	char path[PATH_MAX];
	uint64_t fallback = 0;
	bool first = true;
	const int len = snprintf(path, sizeof(path), "%s/proc/self/mounts", sys->root);
	FILE *table = len < 0 || len >= PATH_MAX ? NULL : setmntent(path, "re");

	if (!table)
		return -errno;
	const int err = hp_default_size_get(sys, &fallback);

	for (const struct mntent *mount; !err && (mount = getmntent(table));) {
		if (strcmp(mount->mnt_type, "hugetlbfs") != 0)
			continue;
		mount_print(mount, mount_page_size(mount, fallback), json, first);
		first = false;
	}
	endmntent(table);
	return err;
}

/* JSON is one object: {"sizes": […], "mounts": […]}. */
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

	if (!err && json)
		printf("],\n \"mounts\": [");
	err = err ? err : mounts_print(sys, json);
	if (!err && json)
		printf("]}\n");
	free(info);
	return err;
}

enum exit_code command_info(const struct options *opt)
{
	const int err = info_print(&opt->sys, opt->json);

	return err ? say_errno(err, "hugepage counters") : EXIT_DONE;
}
