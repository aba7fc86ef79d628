/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_mounts.h"
#include "hugepages_text.h"

#include <bsd/string.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/memfd.h>

enum {
	/* Fields of a line, up to the path; a "-" stands between the optional ones and the rest. */
	DEVICE = 2,
	ROOT = 3,
	PATH = 4,
	FIELDS = 5,
};

/* Space, tab, newline and backslash are written as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int byte;

		if (*text == '\\' && sscanf(text, "\\%3o", &byte) == 1) {
			*to++ = (char)byte;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* The option is shown as "2M" or "1024M"; without it the kernel's default size holds. */
static uint64_t page_size(const struct hp_mount *mount, uint64_t fallback)
{
	char text[32];
	uint64_t bytes;

	if (strcmp(mount->type, "hugetlbfs") != 0)
		return 0;
	if (!hp_mount_option(mount, "pagesize", text, sizeof(text)) || hp_bytes_parse(text, &bytes))
		return fallback;
	return bytes;
}

/* A line in pieces, which point into it. -EINVAL: not as the kernel writes them. */
static int line_parse(char *line, uint64_t fallback, struct hp_mount *mount)
{
	char *fields[FIELDS], *rest = line;
	unsigned int major, minor;

	for (int i = 0; i < FIELDS; i++)
		fields[i] = strsep(&rest, " ");
	if (!rest || sscanf(fields[DEVICE], "%u:%u", &major, &minor) != 2)
		return -EINVAL;
	for (char *word; (word = strsep(&rest, " ")) && strcmp(word, "-") != 0;)
		;
	mount->type = strsep(&rest, " ");
	(void)strsep(&rest, " "); /* the source: any word */
	mount->options = rest;
	if (!rest)
		return -EINVAL;
	mount->options[strcspn(mount->options, "\n")] = '\0';
	mount->dev = makedev(major, minor);
	mount->is_part = strcmp(fields[ROOT], "/") != 0;
	mount->path = fields[PATH];
	unescape(mount->path);
	mount->size = page_size(mount, fallback);
	return 0;
}

static int keep(struct hp_mount *to, const struct hp_mount *mount)
{
	*to = (struct hp_mount){
		.dev = mount->dev,
		.size = mount->size,
		.is_part = mount->is_part,
		.path = mount->path ? strdup(mount->path) : NULL,
		.type = strdup(mount->type),
		.options = strdup(mount->options),
	};
	if ((to->path || !mount->path) && to->type && to->options)
		return 0;
	hp_mount_free(to);
	return -ENOMEM;
}

static int add(struct hp_mounts *mounts, const struct hp_mount *mount)
{
	struct hp_mount *more = reallocarray(mounts->list, mounts->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	mounts->list = more;
	const int err = keep(&more[mounts->nr], mount);

	mounts->nr += !err;
	return err;
}

/* Calls @each with every mount until it fails. */
static int each_mount(const struct hp_sys *sys, int (*each)(void *, const struct hp_mount *),
		      void *argument)
{
	char path[PATH_MAX], *line = NULL;
	struct hp_mount mount;
	uint64_t fallback;
	size_t room = 0;
	const int len = snprintf(path, sizeof(path), "%s/proc/self/mountinfo", sys->root);
	int err = hp_default_size_get(sys, &fallback);
	FILE *table = err || len < 0 || len >= PATH_MAX ? NULL : fopen(path, "re");

	if (!table)
		return err ? err : -errno;
	errno = 0;
	while (!err && getline(&line, &room, table) > 0) {
		err = line_parse(line, fallback, &mount);
		err = err ? err : each(argument, &mount);
	}
	if (!err && !feof(table))
		err = errno ? -errno : -EIO;
	free(line);
	fclose(table);
	return err;
}

static int add_hugetlbfs(void *mounts, const struct hp_mount *mount)
{
	return mount->size ? add(mounts, mount) : 0;
}

/* An empty memfd takes no page, and is on the file system that all without a name are on. */
static int add_own(struct hp_mounts *mounts, uint64_t size)
{
	const unsigned int shift = (unsigned int)__builtin_ctzll(size);
	const int fd = memfd_create("hugepages", MFD_CLOEXEC | MFD_HUGETLB |
				    shift << MFD_HUGE_SHIFT);
	struct hp_mount own = { .size = size, .type = (char[]){ "hugetlbfs" },
				.options = (char[]){ "" } };
	struct stat status;

	if (fd < 0)
		return 0;
	const int err = fstat(fd, &status) ? -errno : 0;

	close(fd);
	own.dev = status.st_dev;
	return err ? err : add(mounts, &own);
}

int hp_mounts_get(const struct hp_sys *sys, struct hp_mounts *mounts)
{
	uint64_t sizes[HP_MAX_SIZES];
	const int nr = hp_sizes_get(sys, sizes);

	*mounts = (struct hp_mounts){ 0 };
	int err = nr < 0 ? nr : each_mount(sys, add_hugetlbfs, mounts);

	for (int i = 0; !err && i < nr; i++)
		err = add_own(mounts, sizes[i]);
	if (err)
		hp_mounts_free(mounts);
	return err;
}

void hp_mount_free(struct hp_mount *mount)
{
	free(mount->path);
	free(mount->type);
	free(mount->options);
}

void hp_mounts_free(struct hp_mounts *mounts)
{
	for (size_t i = 0; i < mounts->nr; i++)
		hp_mount_free(&mounts->list[i]);
	free(mounts->list);
	*mounts = (struct hp_mounts){ 0 };
}

const struct hp_mount *hp_mounts_on(const struct hp_mounts *mounts, dev_t dev)
{
	for (size_t i = 0; i < mounts->nr; i++)
		if (mounts->list[i].dev == dev)
			return &mounts->list[i];
	return NULL;
}

bool hp_mounts_is_first(const struct hp_mounts *mounts, const struct hp_mount *mount)
{
	return mount->path && hp_mounts_on(mounts, mount->dev) == mount;
}

struct search {
	const char *path;
	struct hp_mount *found;
};

static int take_last(void *argument, const struct hp_mount *mount)
{
	const struct search *search = argument;

	if (strcmp(mount->path, search->path) != 0)
		return 0;
	hp_mount_free(search->found);
	*search->found = (struct hp_mount){ 0 };
	return keep(search->found, mount);
}

int hp_mount_at(const struct hp_sys *sys, const char *path, struct hp_mount *mount)
{
	struct search search = { .path = path, .found = mount };

	*mount = (struct hp_mount){ 0 };
	const int err = each_mount(sys, take_last, &search);

	if (err)
		hp_mount_free(mount);
	return err ? err : mount->path ? 0 : -ENOENT;
}

bool hp_mount_option(const struct hp_mount *mount, const char *name, char *value, size_t room)
{
	const size_t len = strlen(name);

	for (const char *at = mount->options; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, len) == 0 && at[len] == '=') {
			strlcpy(value, at + len + 1, room);
			value[strcspn(value, ",")] = '\0';
			return true;
		}
	}
	return false;
}
