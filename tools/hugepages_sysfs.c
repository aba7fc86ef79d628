/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_sysfs.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define SIZES_DIR "/sys/kernel/mm/hugepages"
#define NODES_DIR "/sys/devices/system/node"

enum {
	LOCK_TRIES = 100,           /* ten seconds in all */
	LOCK_STEP_NS = 100000000,
};

__attribute__((format(printf, 3, 4)))
static int path_make(char path[PATH_MAX], const struct hp_sys *sys, const char *format, ...)
{
	char tail[PATH_MAX];
	va_list args;

	va_start(args, format);
	const int len = vsnprintf(tail, sizeof(tail), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(tail))
		return -ENAMETOOLONG;
	const int all = snprintf(path, PATH_MAX, "%s%s", sys->root, tail);

	return all < 0 || all >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Whole small file as a string without its final newline. */
static int text_read(const char *path, char *text, size_t room)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	const ssize_t len = read(fd, text, room - 1);
	const int err = len < 0 ? -errno : 0;

	close(fd);
	if (err)
		return err;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

static int number_parse(const char *text, uint64_t *value)
{
	const char *complaint;
	const long long number = strtonum(text, 0, LLONG_MAX, &complaint);

	if (complaint)
		return -EINVAL;
	*value = (uint64_t)number;
	return 0;
}

static int number_read(const char *path, uint64_t *value)
{
	char text[32]; /* 20 digits at most */
	const int err = text_read(path, text, sizeof(text));

	return err ? err : number_parse(text, value);
}

/* O_TRUNC means nothing to sysfs; in a test's tree it keeps an old number's tail from staying. */
static int text_write(const struct hp_sys *sys, const char *path, const char *text)
{
	const ssize_t len = (ssize_t)strlen(text);

	if (sys->dry_run) {
		printf("echo %s > %s\n", text, path + strlen(sys->root));
		return 0;
	}
	const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	const ssize_t done = write(fd, text, (size_t)len);
	const int err = done < 0 ? -errno : done != len ? -EIO : 0;

	close(fd);
	return err;
}

static int number_write(const struct hp_sys *sys, const char *path, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return text_write(sys, path, text);
}

/* "hugepages-2048kB" -> 2 MiB; 0 for any other name. */
static uint64_t size_of_name(const char *name)
{
	static const char prefix[] = "hugepages-";
	char digits[32];
	uint64_t kb;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	strlcpy(digits, name + sizeof(prefix) - 1, sizeof(digits));
	char *unit = strstr(digits, "kB");

	if (!unit || unit[2] != '\0')
		return 0;
	*unit = '\0';
	return number_parse(digits, &kb) || kb > UINT64_MAX / 1024 ? 0 : kb * 1024;
}

static int compare_u64(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

int hp_sizes_get(const struct hp_sys *sys, uint64_t sizes[HP_MAX_SIZES])
{
	char path[PATH_MAX];
	const int err = path_make(path, sys, SIZES_DIR);
	DIR *dir = err ? NULL : opendir(path);
	int nr = 0;

	if (!dir)
		return err ? err : -errno;
	for (struct dirent *entry; nr < HP_MAX_SIZES && (entry = readdir(dir));) {
		sizes[nr] = size_of_name(entry->d_name);
		nr += sizes[nr] != 0;
	}
	closedir(dir);
	qsort(sizes, (size_t)nr, sizeof(sizes[0]), compare_u64);
	return nr;
}

/* A line "…Name:   123 kB" of a meminfo file, in bytes. */
static int meminfo_read(const char *path, const char *name, uint64_t *bytes)
{
	char line[256];
	FILE *file = fopen(path, "re");
	const char *found = NULL;

	if (!file)
		return -errno;
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, name);
	fclose(file);
	if (!found || sscanf(found + strlen(name), "%" SCNu64 " kB", bytes) != 1 ||
	    *bytes > UINT64_MAX / 1024)
		return -ENODATA;
	*bytes *= 1024;
	return 0;
}

int hp_default_size_get(const struct hp_sys *sys, uint64_t *size)
{
	char path[PATH_MAX];
	const int err = path_make(path, sys, "/proc/meminfo");

	return err ? err : meminfo_read(path, "Hugepagesize:", size);
}

static bool has_numa(const struct hp_sys *sys)
{
	char path[PATH_MAX];

	return !path_make(path, sys, NODES_DIR) && !access(path, F_OK);
}

int hp_node_memory_get(const struct hp_sys *sys, int node, uint64_t *bytes)
{
	char path[PATH_MAX];
	const int err = has_numa(sys) ? path_make(path, sys, NODES_DIR "/node%d/meminfo", node)
				      : path_make(path, sys, "/proc/meminfo");

	return err ? err : meminfo_read(path, "MemTotal:", bytes);
}

static int compare_int(const void *left, const void *right)
{
	const int a = *(const int *)left, b = *(const int *)right;

	return (a > b) - (a < b);
}

/* A node without memory has no such directory. */
static bool node_has_hugepages(const struct hp_sys *sys, int node)
{
	char path[PATH_MAX];

	return !path_make(path, sys, NODES_DIR "/node%d/hugepages", node) && !access(path, F_OK);
}

static int nodes_read(const struct hp_sys *sys, DIR *dir, int nodes[HP_MAX_NODES])
{
	int nr = 0;

	for (struct dirent *entry; nr < HP_MAX_NODES && (entry = readdir(dir));) {
		uint64_t node;

		if (strncmp(entry->d_name, "node", 4) != 0 ||
		    number_parse(entry->d_name + 4, &node) || node >= HP_MAX_NODES)
			continue;
		if (node_has_hugepages(sys, (int)node))
			nodes[nr++] = (int)node;
	}
	return nr;
}

int hp_nodes_get(const struct hp_sys *sys, int nodes[HP_MAX_NODES])
{
	char path[PATH_MAX];
	int nr = path_make(path, sys, NODES_DIR);

	if (nr)
		return nr;
	DIR *dir = opendir(path);

	if (!dir && errno == ENOENT) {
		nodes[0] = 0;
		return 1;
	}
	if (!dir)
		return -errno;
	nr = nodes_read(sys, dir, nodes);
	closedir(dir);
	qsort(nodes, (size_t)nr, sizeof(nodes[0]), compare_int);
	return nr;
}

/* One counter of one node. Without NUMA the counters for all stand in for node 0's. */
static int node_path(char path[PATH_MAX], const struct hp_sys *sys, int node, uint64_t size,
		     const char *name)
{
	if (node == 0 && !has_numa(sys))
		return path_make(path, sys, SIZES_DIR "/hugepages-%" PRIu64 "kB/%s", size / 1024,
				 name);
	return path_make(path, sys, NODES_DIR "/node%d/hugepages/hugepages-%" PRIu64 "kB/%s", node,
			 size / 1024, name);
}

static int node_get(const struct hp_sys *sys, int node, uint64_t size, const char *name,
		    uint64_t *value)
{
	char path[PATH_MAX];
	const int err = node_path(path, sys, node, size, name);

	return err ? err : number_read(path, value);
}

int hp_counts_get(const struct hp_sys *sys, int node, uint64_t size, struct hp_counts *counts)
{
	int err = node_get(sys, node, size, "nr_hugepages", &counts->total);

	err = err ? err : node_get(sys, node, size, "free_hugepages", &counts->free);
	err = err ? err : node_get(sys, node, size, "surplus_hugepages", &counts->surplus);
	if (err)
		return err;
	/* Three reads are not one: a page that moved in between must not make a count negative. */
	counts->surplus = counts->surplus < counts->total ? counts->surplus : counts->total;
	counts->free = counts->free < counts->total ? counts->free : counts->total;
	return 0;
}

void hp_counts_add(struct hp_counts *all, const struct hp_counts *counts)
{
	all->total += counts->total;
	all->free += counts->free;
	all->surplus += counts->surplus;
}

int hp_counts_sum(const struct hp_sys *sys, int node, uint64_t size, struct hp_counts *all)
{
	int nodes[HP_MAX_NODES] = { node };
	const int nr = node >= 0 ? 1 : hp_nodes_get(sys, nodes);
	int err = nr < 0 ? nr : 0;

	*all = (struct hp_counts){ 0 };
	for (int i = 0; !err && i < nr; i++) {
		struct hp_counts counts;

		err = hp_counts_get(sys, nodes[i], size, &counts);
		if (!err)
			hp_counts_add(all, &counts);
	}
	return err;
}

int hp_global_get(const struct hp_sys *sys, uint64_t size, const char *name, uint64_t *value)
{
	char path[PATH_MAX];
	const int err = path_make(path, sys, SIZES_DIR "/hugepages-%" PRIu64 "kB/%s", size / 1024,
				  name);

	return err ? err : number_read(path, value);
}

int hp_pages_path(const struct hp_sys *sys, int node, uint64_t size, char path[PATH_MAX])
{
	return node_path(path, sys, node, size, "nr_hugepages");
}

int hp_pages_set(const struct hp_sys *sys, int node, uint64_t size, uint64_t pages)
{
	char path[PATH_MAX];
	const int err = node_path(path, sys, node, size, "nr_hugepages");

	return err ? err : number_write(sys, path, pages);
}

static int demote_size_path(char path[PATH_MAX], const struct hp_sys *sys, uint64_t size)
{
	return path_make(path, sys, SIZES_DIR "/hugepages-%" PRIu64 "kB/demote_size", size / 1024);
}

int hp_demote_size_get(const struct hp_sys *sys, uint64_t size, uint64_t *to)
{
	char path[PATH_MAX], text[32];
	uint64_t kb;
	int err = demote_size_path(path, sys, size);

	err = err ? err : text_read(path, text, sizeof(text));
	if (err)
		return err;
	char *unit = strstr(text, "kB");

	if (unit)
		*unit = '\0';
	if (!unit || number_parse(text, &kb) || kb > UINT64_MAX / 1024)
		return -EINVAL;
	*to = kb * 1024;
	return 0;
}

int hp_demote_size_set(const struct hp_sys *sys, uint64_t size, uint64_t to)
{
	char path[PATH_MAX], text[32];
	const int err = demote_size_path(path, sys, size);

	snprintf(text, sizeof(text), "%" PRIu64 "kB", to / 1024);
	return err ? err : text_write(sys, path, text);
}

int hp_demote(const struct hp_sys *sys, int node, uint64_t size, uint64_t pages)
{
	char path[PATH_MAX];
	const int err = node >= 0 ? node_path(path, sys, node, size, "demote")
				  : path_make(path, sys, SIZES_DIR "/hugepages-%" PRIu64
					      "kB/demote", size / 1024);

	return err ? err : number_write(sys, path, pages);
}

void hp_compact(const struct hp_sys *sys, int node)
{
	char path[PATH_MAX];
	const int err = has_numa(sys) ? path_make(path, sys, NODES_DIR "/node%d/compact", node)
				      : path_make(path, sys, "/proc/sys/vm/compact_memory");

	/* A kernel without compaction has no such file: then this attempt is like the last one. */
	if (!err)
		(void)number_write(sys, path, 1);
}

/* The lock is on a directory that is always there, so that no file is left behind. */
int hp_lock(const struct hp_sys *sys)
{
	const struct timespec step = { .tv_nsec = LOCK_STEP_NS };
	char path[PATH_MAX];
	const int err = path_make(path, sys, SIZES_DIR);
	const int fd = err ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err ? err : -errno;
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return fd;
		nanosleep(&step, NULL);
	}
	close(fd);
	return -EAGAIN;
}
