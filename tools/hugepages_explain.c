/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explain: why there are as many hugepages as there are, and why a program may get fewer.
 *
 * Sources: kernel documents admin-guide/mm/hugetlbpage (reserved, surplus, overcommit),
 * filesystems/proc (buddyinfo: free blocks of 2^0, 2^1, ... base pages of each node and zone) and
 * admin-guide/cgroup-v2 ("HugeTLB Interface Files").
 */
#include "hugepages_command.h"
#include "hugepages_files.h"
#include "hugepages_text.h"
#include "hugepages_users.h"

#include <errno.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS_DIR "/sys/fs/cgroup"

enum { MAX_ORDERS = 32 }; /* more than any kernel has */

/* What is looked at once, for all sizes. */
struct machine {
	const struct hp_sys *sys;
	struct hp_mounts mounts;
	struct hp_users users;
};

/* Of one size, on all nodes. */
struct numbers {
	uint64_t size;
	struct hp_counts all;
	uint64_t reserved;
	uint64_t overcommit;
};

static int numbers_get(const struct hp_sys *sys, uint64_t size, struct numbers *numbers)
{
	int err = hp_counts_sum(sys, -1, size, &numbers->all);

	err = err ? err : hp_global_get(sys, size, "resv_hugepages", &numbers->reserved);
	err = err ? err : hp_global_get(sys, size, "nr_overcommit_hugepages",
					&numbers->overcommit);
	numbers->size = size;
	return err;
}

/* One that cannot be looked at is missing in the sum, as it is for who asks. */
static int add_blocks(void *argument, const struct hp_file *file)
{
	uint64_t *bytes = argument;

	*bytes += file->err ? 0 : (uint64_t)file->status->st_blocks * HP_BLOCK;
	return 0;
}

/* Pages in files that have a name. */
static uint64_t in_files(const struct machine *machine, uint64_t size)
{
	uint64_t bytes = 0;

	(void)hp_files_all(machine->sys, &machine->mounts, size, &bytes, add_blocks);
	return bytes / size;
}

static int unseen_print(void *argument, const struct hp_file *file)
{
	(void)argument;
	if (file->err)
		printf("    %s cannot be looked at, so its pages are not counted: %s\n",
		       say_name(file->path), unseen_why(file->err));
	return 0;
}

static uint64_t touched_by(const struct hp_users *users, pid_t pid, uint64_t size)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < users->nr_touched; i++)
		if ((!pid || users->touched[i].pid == pid) && users->touched[i].size == size)
			pages += users->touched[i].pages;
	return pages;
}

static void used_explain(const struct machine *machine, const struct numbers *numbers)
{
	const uint64_t used = numbers->all.total - numbers->all.free;

	if (!used)
		return;
	printf("  %" PRIu64 " are in use. Processes have %" PRIu64 " in their page tables (one "
	       "that is shared counts for each); %" PRIu64 " are in files on mounts, whether "
	       "anybody has them open or not: see hugepages reap.\n", used,
	       touched_by(&machine->users, 0, numbers->size), in_files(machine, numbers->size));
	(void)hp_files_all(machine->sys, &machine->mounts, numbers->size, NULL, unseen_print);
}

/* Who has mapped more than touched; what others touched of a shared file is not seen here. */
static void promises_print(const struct hp_users *users, uint64_t size)
{
	char mapped_text[HP_SIZE_TEXT], touched_text[HP_SIZE_TEXT], name[HP_COMMAND_TEXT];

	for (size_t at = 0; at < users->nr; at++) {
		const struct hp_use *use = &users->uses[at];
		uint64_t mapped = 0;
		size_t i;

		for (i = at; i < users->nr && users->uses[i].pid == use->pid; i++)
			if (users->uses[i].size == size)
				mapped += users->uses[i].mapped;
		at = i - 1;
		const uint64_t touched = touched_by(users, use->pid, size) * size;

		if (mapped > touched)
			printf("    process %d (%s) maps %s and has touched %s\n", use->pid,
			       hp_name_format(use->command, name, sizeof(name)),
			       hp_size_format(mapped, mapped_text),
			       hp_size_format(touched, touched_text));
	}
}

static void reserved_explain(const struct machine *machine, const struct numbers *numbers)
{
	const uint64_t unused = numbers->all.free;

	if (!numbers->reserved)
		return;
	printf("  %" PRIu64 " are promised to mappings that have not touched them yet. Free pages "
	       "for others: %" PRIu64 ".\n", numbers->reserved,
	       unused > numbers->reserved ? unused - numbers->reserved : 0);
	promises_print(&machine->users, numbers->size);
}

static void surplus_explain(const struct numbers *numbers)
{
	if (numbers->all.surplus)
		printf("  %" PRIu64 " are surplus, beyond what was reserved: they came by "
		       "overcommit, or were in use when fewer were asked for. Each goes back to "
		       "the kernel when it is freed.\n", numbers->all.surplus);
	if (numbers->overcommit)
		printf("  Up to %" PRIu64 " surplus pages may be had (nr_overcommit_hugepages), if "
		       "the kernel finds memory for them at that moment.\n", numbers->overcommit);
	else if (numbers->all.free <= numbers->reserved)
		printf("  None is left, and none may be had beyond (nr_overcommit_hugepages is 0): "
		       "who asks for one gets ENOMEM. More come by hugepages reserve.\n");
}

/* Free blocks of each order on the node, of all zones; how many orders the kernel has. */
static int orders_read(const struct hp_sys *sys, int node, uint64_t blocks[MAX_ORDERS])
{
	char path[PATH_MAX], *line = NULL;
	int orders = 0, of, used;
	size_t room = 0;

	memset(blocks, 0, MAX_ORDERS * sizeof(*blocks));
	snprintf(path, sizeof(path), "%s/proc/buddyinfo", sys->root);
	FILE *file = fopen(path, "re");

	if (!file)
		return -errno;
	while (getline(&line, &room, file) > 0) {
		char *at = line;
		uint64_t nr;

		if (sscanf(line, "Node %d, zone %*s%n", &of, &used) != 1 || of != node)
			continue;
		at += used;
		for (orders = 0; orders < MAX_ORDERS; orders++, at += used) {
			if (sscanf(at, "%" SCNu64 "%n", &nr, &used) != 1)
				break;
			blocks[orders] += nr;
		}
	}
	free(line);
	fclose(file);
	return orders;
}

static void node_explain(const struct hp_sys *sys, int node, uint64_t size)
{
	const uint64_t base = (uint64_t)sysconf(_SC_PAGESIZE);
	const int order = __builtin_ctzll(size / base);
	uint64_t blocks[MAX_ORDERS], all = 0, whole = 0;
	char free_text[HP_SIZE_TEXT], size_text[HP_SIZE_TEXT];
	const int orders = orders_read(sys, node, blocks);

	for (int i = 0; i < orders; i++) {
		all += (blocks[i] << i) * base;
		if (i >= order)
			whole += blocks[i] << (i - order);
	}
	if (orders <= 0)
		return;
	hp_size_format(all, free_text);
	hp_size_format(size, size_text);
	if (order >= orders)
		printf("  Node %d has %s of memory free. The kernel keeps no list of free pieces "
		       "as large as %s: it has to empty one, which seldom succeeds but at boot.\n",
		       node, free_text, size_text);
	else
		printf("  Node %d has %s of memory free, %" PRIu64 " pages of %s of it in one "
		       "piece. What lies scattered, compaction may put together.\n", node,
		       free_text, whole, size_text);
}

/* As the kernel names the files of a size: hugetlb.2MB.max, hugetlb.1GB.max. */
static void group_file(const char *group, uint64_t size, const char *name, char path[PATH_MAX])
{
	static const char units[] = "KMG";
	int unit = 0;

	size /= 1024;
	for (; size >= 1024 && units[unit + 1]; unit++)
		size /= 1024;
	if (snprintf(path, PATH_MAX, "%s/hugetlb.%" PRIu64 "%cB.%s", group, size, units[unit],
		     name) >= PATH_MAX)
		path[0] = '\0';
}

/* False: there is no such file, or it says "max", which is no limit. */
static bool group_get(const char *group, uint64_t size, const char *name, uint64_t *bytes)
{
	char path[PATH_MAX];

	group_file(group, size, name, path);
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	const bool got = fscanf(file, "%" SCNu64, bytes) == 1;

	fclose(file);
	return got;
}

static void group_explain(const char *group, const char *shown, uint64_t size)
{
	static const char *const kinds[][3] = {
		{ "max", "current", "have" },
		{ "rsvd.max", "rsvd.current", "have reserved" },
	};
	char most_text[HP_SIZE_TEXT], now_text[HP_SIZE_TEXT];
	uint64_t most, now;

	for (int i = 0; i < 2; i++)
		if (group_get(group, size, kinds[i][0], &most) &&
		    group_get(group, size, kinds[i][1], &now))
			printf("  The cgroup %s may %s no more than %s, and now has %s.\n",
			       say_name(shown),
			       kinds[i][2], hp_size_format(most, most_text),
			       hp_size_format(now, now_text));
}

/* All groups: the program that gets too few runs in another than this one. */
static void groups_explain(const struct hp_sys *sys, uint64_t size)
{
	char top[PATH_MAX];
	char *const tops[] = { top, NULL };

	if (snprintf(top, sizeof(top), "%s" GROUPS_DIR, sys->root) >= PATH_MAX)
		return;
	FTS *walk = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

	for (FTSENT *entry; walk && (entry = fts_read(walk));)
		if (entry->fts_info == FTS_D)
			group_explain(entry->fts_path, entry->fts_path + strlen(top), size);
	if (walk)
		fts_close(walk);
}

static int size_explain(const struct machine *machine, uint64_t size)
{
	char size_text[HP_SIZE_TEXT], memory[HP_SIZE_TEXT];
	int nodes[HP_MAX_NODES];
	struct numbers numbers;
	const int err = numbers_get(machine->sys, size, &numbers);
	const int nr = hp_nodes_get(machine->sys, nodes);

	if (err)
		return err;
	printf("%s: %" PRIu64 " pages (%s), %" PRIu64 " free.\n", hp_size_format(size, size_text),
	       numbers.all.total, hp_size_format(numbers.all.total * size, memory),
	       numbers.all.free);
	used_explain(machine, &numbers);
	reserved_explain(machine, &numbers);
	surplus_explain(&numbers);
	for (int i = 0; i < nr; i++)
		node_explain(machine->sys, nodes[i], size);
	groups_explain(machine->sys, size);
	return 0;
}

static int sizes_explain(const struct machine *machine, const struct options *opt)
{
	uint64_t sizes[HP_MAX_SIZES] = { opt->size };
	const int nr = opt->is_size_given ? 1 : hp_sizes_get(&opt->sys, sizes);
	int err = nr < 0 ? nr : 0;

	for (int i = 0; !err && i < nr; i++)
		err = size_explain(machine, sizes[i]);
	return err;
}

enum exit_code command_explain(const struct options *opt)
{
	struct machine machine = { .sys = &opt->sys };
	int err = hp_mounts_get(&opt->sys, &machine.mounts);

	if (err)
		return say_errno(err, "mount table");
	err = hp_users_get(&opt->sys, &machine.mounts, &machine.users);
	if (!err) {
		err = sizes_explain(&machine, opt);
		if (machine.users.hidden)
			printf("%zu processes could not be looked at: root can, outside "
			       "containers\n", machine.users.hidden);
		hp_users_free(&machine.users);
	}
	hp_mounts_free(&machine.mounts);
	return err ? say_errno(err, "hugepage counters") : EXIT_DONE;
}
