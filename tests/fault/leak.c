/* SPDX-License-Identifier: BSD-3-Clause */
#include "leak.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"

/* How long the kernel may take to give back what was unpinned, and how often we look. */
#define WAIT_MS 1000
#define LOOK_MS 5

__attribute__((format(printf, 2, 3))) static void say(struct leak_snapshot *snapshot,
						      const char *format, ...)
{
	unsigned room = (unsigned)sizeof(snapshot->text) - snapshot->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(&snapshot->text[snapshot->len], room, format, args);
	va_end(args);
	/* A cut snapshot would compare equal where it should not. */
	if (len < 0 || (unsigned)len >= room)
		abort();
	snapshot->len += (unsigned)len;
}

static int by_number(const struct dirent **a, const struct dirent **b)
{
	return atoi((*a)->d_name) - atoi((*b)->d_name);
}

static int no_dots(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* "socket:[738601]" is a socket: a number that is new each time says nothing. */
static int kind_len(const char *target, ssize_t len)
{
	const char *number = strstr(target, ":[");

	return number && number < target + len ? (int)(number - target) : (int)len;
}

/* The one that scandir() itself had open is gone when we ask what it is. */
static void say_fds(struct leak_snapshot *snapshot)
{
	struct dirent **entry;
	int nr = scandir("/proc/self/fd", &entry, no_dots, by_number);

	for (int i = 0; i < nr; i++) {
		char path[300], target[256] = "";
		ssize_t len;

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%s", entry[i]->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len >= 0)
			say(snapshot, "fd %s %.*s\n", entry[i]->d_name, kind_len(target, len),
			    target);
		free(entry[i]);
	}
	if (nr >= 0)
		free(entry);
}

/* Lock files are left out: who could not take a lock cannot tell whether another process has it,
 * and must leave the file. */
static int no_locks(const struct dirent *entry)
{
	return no_dots(entry) && !strstr(entry->d_name, ".lock");
}

/* Those of a named pool are one directory down. What is no directory has none. */
static void say_files(struct leak_snapshot *snapshot, const char *dir)
{
	struct dirent **entry;
	int nr = scandir(dir, &entry, no_locks, alphasort);

	for (int i = 0; i < nr; i++) {
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry[i]->d_name);
		say(snapshot, "file %s\n", path);
		say_files(snapshot, path);
		free(entry[i]);
	}
	if (nr >= 0)
		free(entry);
}

#define MAPS_MAX 256

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Sorted: a mapping that was undone and made again may lie elsewhere. */
static void say_maps(const struct leak_scope *scope, struct leak_snapshot *snapshot)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], found[MAPS_MAX][128];
	unsigned long reserved = 0;
	unsigned nr = 0;

	while (maps && nr < MAPS_MAX && fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		char perms[8], name[400] = "";

		/* start-end perms offset device inode name: proc(5) */
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %399[^\n]", &start, &end, perms,
			   name) < 3)
			continue;
		if (!name[0] && !strcmp(perms, "---p"))
			reserved += end - start;
		if (strstr(name, "memfd:") || strstr(name, "huge") || strstr(name, "io_uring") ||
		    strstr(name, "/pinion-fault-"))
			(void)snprintf(found[nr++], sizeof(*found), "map %s %lu %.90s", perms,
				       end - start, name);
	}
	if (maps)
		(void)fclose(maps);
	qsort(found, nr, sizeof(*found), by_text);
	for (unsigned i = 0; i < nr; i++)
		say(snapshot, "%s\n", found[i]);
	if (scope->reserved)
		say(snapshot, "reserved %lu\n", reserved);
}

/* The lines of @file that begin with one of @keys. */
static void say_lines(struct leak_snapshot *snapshot, const char *file, const char *const *keys)
{
	FILE *lines = fopen(file, "re");
	char line[256];

	while (lines && fgets(line, sizeof(line), lines))
		for (const char *const *key = keys; *key; key++)
			if (!strncmp(line, *key, strlen(*key)))
				say(snapshot, "%s", line);
	if (lines)
		(void)fclose(lines);
}

void leak_snapshot(const struct leak_scope *scope, struct leak_snapshot *snapshot)
{
	static const char *const own[] = {"HugetlbPages:", "VmPin:", "VmLck:", "Threads:", NULL};
	static const char *const all[] = {"HugePages_Free:", "HugePages_Rsvd:", NULL};

	snapshot->len = 0;
	say_fds(snapshot);
	say_maps(scope, snapshot);
	say_lines(snapshot, "/proc/self/status", own);
	if (scope->dir)
		say_files(snapshot, scope->dir);
	if (scope->heap)
		say(snapshot, "heap %ld blocks\n", heap_live());
	if (scope->machine)
		say_lines(snapshot, "/proc/meminfo", all);
}

static unsigned line_len(const char *text)
{
	return (unsigned)strcspn(text, "\n");
}

static bool differs(const struct leak_snapshot *before, const struct leak_snapshot *now,
		    char *what, unsigned len)
{
	const char *a = before->text, *b = now->text;
	unsigned at = 0, line = 0;

	if (!strcmp(a, b))
		return false;
	for (; a[at] && a[at] == b[at]; at++)
		if (a[at] == '\n')
			line = at + 1;
	(void)snprintf(what, len, "before '%.*s', after '%.*s'", (int)line_len(&a[line]), &a[line],
		       (int)line_len(&b[line]), &b[line]);
	return true;
}

bool leak_found(const struct leak_scope *scope, const struct leak_snapshot *before, char *what,
		unsigned len)
{
	const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
	struct leak_snapshot now;

	for (int ms = 0; ms < WAIT_MS; ms += LOOK_MS) {
		leak_snapshot(scope, &now);
		if (!differs(before, &now, what, len))
			return false;
		if (!strstr(what, "Huge") && !strstr(what, "VmPin") && !strstr(what, "Threads"))
			return true;
		(void)nanosleep(&look, NULL);
	}
	return true;
}
