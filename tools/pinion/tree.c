/* SPDX-License-Identifier: BSD-3-Clause */
#include "tree.h"

#include <bsd/string.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 3, 0)))
static int path_make(const struct tree *tree, char path[PATH_MAX], const char *format, va_list args)
{
	const size_t len = strlcpy(path, tree->root, PATH_MAX);

	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	const int more = vsnprintf(path + len, PATH_MAX - len, format, args);

	return more < 0 || (size_t)more >= PATH_MAX - len ? -ENAMETOOLONG : 0;
}

int tree_path(const struct tree *tree, char path[PATH_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const int err = path_make(tree, path, format, args);
	va_end(args);
	return err;
}

bool tree_has(const struct tree *tree, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, format);
	const int err = path_make(tree, path, format, args);
	va_end(args);
	return !err && !access(path, F_OK);
}

static int text_read(const char *path, char *text, size_t room)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	const ssize_t len = read(fd, text, room - 1);
	const int err = len < 0 ? -errno : 0;

	(void)close(fd);
	if (err)
		return err;
	text[len] = '\0';
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return 0;
}

int tree_read(const struct tree *tree, char *text, size_t room, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, format);
	const int err = path_make(tree, path, format, args);
	va_end(args);
	return err ? err : text_read(path, text, room);
}

int tree_link(const struct tree *tree, char *name, size_t room, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	va_list args;

	va_start(args, format);
	const int err = path_make(tree, path, format, args);
	va_end(args);
	if (err)
		return err;
	const ssize_t len = readlink(path, target, sizeof(target) - 1);

	if (len < 0)
		return -errno;
	target[len] = '\0';
	const char *slash = strrchr(target, '/');

	return strlcpy(name, slash ? slash + 1 : target, room) < room ? 0 : -ENAMETOOLONG;
}

/* @text without the blanks at both ends. */
static char *trimmed(char *text)
{
	text += strspn(text, " \t");
	for (size_t len = strlen(text); len && isspace((unsigned char)text[len - 1]);)
		text[--len] = '\0';
	return text;
}

int tree_line(const struct tree *tree, const char *where, const char *key, char *text, size_t room)
{
	char path[PATH_MAX], *line = NULL;
	int err = tree_path(tree, path, "%s", where);
	FILE *file = err ? NULL : fopen(path, "re");
	size_t size = 0;

	if (!file)
		return err ? err : -errno;
	err = -ENODATA;
	while (err == -ENODATA && getline(&line, &size, file) > 0) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		strlcpy(text, trimmed(line + strlen(key)), room);
		err = 0;
	}
	free(line);
	(void)fclose(file);
	return err;
}

static int compare_names(const void *left, const void *right)
{
	return strverscmp(*(char *const *)left, *(char *const *)right);
}

static int name_add(struct tree_names *names, const char *name)
{
	char **more = reallocarray(names->name, names->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	names->name = more;
	more[names->nr] = strdup(name);
	if (!more[names->nr])
		return -ENOMEM;
	names->nr++;
	return 0;
}

int tree_list(const struct tree *tree, struct tree_names *names, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	*names = (struct tree_names){0};
	va_start(args, format);
	int err = path_make(tree, path, format, args);
	va_end(args);
	DIR *dir = err ? NULL : opendir(path);

	if (!dir)
		return err ? err : errno == ENOENT ? 0 : -errno;
	for (const struct dirent *entry; !err && (entry = readdir(dir));)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			err = name_add(names, entry->d_name);
	(void)closedir(dir);
	if (err)
		tree_names_free(names);
	else if (names->nr)
		qsort(names->name, names->nr, sizeof(names->name[0]), compare_names);
	return err;
}

void tree_names_free(struct tree_names *names)
{
	for (size_t i = 0; i < names->nr; i++)
		free(names->name[i]);
	free(names->name);
	*names = (struct tree_names){0};
}
