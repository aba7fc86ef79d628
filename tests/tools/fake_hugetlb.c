/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel that gives fewer hugepages than it is asked for, for the tests of hugepages.
 *
 * Preloaded into it, this takes the place of write(2). A number written to a file nr_hugepages is
 * cut to the number in the file `limit` beside it, if there is one, and raised to the one in
 * `floor`: as the real kernel does, without a word. The signal in the file `signal` comes half way,
 * once, and ends the write there. That in `compact.signal`, beside a node's file `compact`, comes
 * when that is written to, and so does that in `demote.signal`. A number written to `demote` is
 * taken from nr_hugepages beside it, but no more than `limit` says. Every other write goes through
 * as it is. The signal in `demote_size.signal` comes when a size is written beside it, and a
 * number in `demote_size.fail` lets every write of that size, in kB, fail. The signal in
 * FILE.signal comes when another file is about to take the name FILE.
 *
 * And users who act at the worst moment, in place of fstatat(2). When the status of FILE is asked
 * for, what stands beside it decides:
 *
 *     FILE.error      the call fails with EIO
 *     FILE.gone       FILE has that name right after it
 *     FILE.swap       that has the name FILE right after it, and FILE is FILE.was
 *     FILE.later      the same right before the next call for FILE
 *     FILE.away       FILE has the name FILE.left right before the next call for FILE
 *     control.swap    has the name of its directory right after it, and that is DIRECTORY.was
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef ssize_t write_fn(int fd, const void *data, size_t len);
typedef int rename_fn(const char *from, const char *to);
typedef int fstatat_fn(int dir, const char *name, struct stat64 *status, int flags);

static void path_beside(char other[PATH_MAX + 16], const char *path, const char *name)
{
	snprintf(other, PATH_MAX + 16, "%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
}

/* The number in a file beside `path`, or the fallback where there is no such file. */
static unsigned long beside(const char *path, const char *name, unsigned long fallback)
{
	char other[PATH_MAX + 16];
	unsigned long value = fallback;

	path_beside(other, path, name);
	FILE *file = fopen(other, "re");

	if (!file)
		return fallback;
	if (fscanf(file, "%lu", &value) != 1)
		value = fallback;
	fclose(file);
	return value;
}

static void path_of(int fd, char path[PATH_MAX])
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t len = readlink(link, path, PATH_MAX - 1);

	path[len < 0 ? 0 : len] = '\0';
}

static int ends_in(const char *path, const char *tail)
{
	const size_t len = strlen(path), part = strlen(tail);

	return len >= part && strcmp(path + len - part, tail) == 0;
}

/* What is written of `pages`, if anything is after a signal. */
static unsigned long break_off(const char *path, unsigned long pages)
{
	const unsigned long number = beside(path, "signal", 0);
	struct sigaction action;
	char file[PATH_MAX + 16];

	if (!number)
		return pages;
	path_beside(file, path, "signal");
	unlink(file);
	if (!sigaction((int)number, NULL, &action) && action.sa_handler == SIG_IGN)
		return pages;
	raise((int)number);
	return pages / 2;
}

/* The small pages that come of it are not counted: nobody looks. */
static void split(const char *path, unsigned long pages)
{
	const unsigned long limit = beside(path, "limit", ULONG_MAX);
	const unsigned long total = beside(path, "nr_hugepages", 0);
	char other[PATH_MAX + 16];

	path_beside(other, path, "nr_hugepages");
	FILE *file = fopen(other, "we");

	if (!file)
		abort();
	fprintf(file, "%lu\n", total - (pages < limit ? pages : limit));
	fclose(file);
}

ssize_t write(int fd, const void *data, size_t len)
{
	write_fn *const real = (write_fn *)dlsym(RTLD_NEXT, "write");
	char path[PATH_MAX], text[32];

	path_of(fd, path);
	if (ends_in(path, "/compact"))
		raise((int)beside(path, "compact.signal", 0)); /* 0 is none */
	if (ends_in(path, "/demote"))
		raise((int)beside(path, "demote.signal", 0));
	if (len >= sizeof(text))
		return real(fd, data, len);
	memcpy(text, data, len);
	text[len] = '\0';
	if (ends_in(path, "/demote_size")) {
		raise((int)beside(path, "demote_size.signal", 0));
		if (strtoul(text, NULL, 10) == beside(path, "demote_size.fail", 0)) {
			errno = EIO;
			return -1;
		}
	}
	if (ends_in(path, "/demote"))
		split(path, strtoul(text, NULL, 10));
	if (!ends_in(path, "/nr_hugepages"))
		return real(fd, data, len);
	unsigned long pages = strtoul(text, NULL, 10);
	const unsigned long limit = beside(path, "limit", ULONG_MAX);
	const unsigned long floor = beside(path, "floor", 0);

	pages = break_off(path, pages > limit ? limit : pages < floor ? floor : pages);
	snprintf(text, sizeof(text), "%lu", pages);
	return real(fd, text, strlen(text)) < 0 ? -1 : (ssize_t)len;
}

int rename(const char *from, const char *to)
{
	rename_fn *const real = (rename_fn *)dlsym(RTLD_NEXT, "rename");
	char name[NAME_MAX + 16];

	snprintf(name, sizeof(name), "%s.signal", strrchr(to, '/') + 1);
	raise((int)beside(to, name, 0)); /* 0 is none */
	return real(from, to);
}

static int is_there(const char *path, const char *more, char other[PATH_MAX + 16])
{
	snprintf(other, PATH_MAX + 16, "%s%s", path, more);
	return !faccessat(AT_FDCWD, other, F_OK, AT_SYMLINK_NOFOLLOW);
}

static void swap(const char *from, const char *path)
{
	char was[PATH_MAX + 16], held[PATH_MAX + 16];

	/* It may lie in what it takes the place of. */
	snprintf(held, sizeof(held), "%.*s.held", PATH_MAX, path);
	snprintf(was, sizeof(was), "%.*s.was", PATH_MAX, path);
	if (rename(from, held) || rename(path, was) || rename(held, path))
		abort();
}

static void act_before(const char *path)
{
	char other[PATH_MAX + 16];

	if (is_there(path, ".now", other))
		swap(other, path);
	if (is_there(path, ".left", other) && rename(path, other))
		abort();
}

static void act_after(const char *path)
{
	char other[PATH_MAX + 16], now[PATH_MAX + 16], directory[PATH_MAX + 16];

	snprintf(now, sizeof(now), "%.*s.now", PATH_MAX, path);
	path_beside(directory, path, "");
	directory[strlen(directory) - 1] = '\0';
	if (is_there(path, ".later", other) && rename(other, now))
		abort();
	snprintf(now, sizeof(now), "%.*s.left", PATH_MAX, path);
	if (is_there(path, ".away", other) && rename(other, now))
		abort();
	if (is_there(path, ".gone", other) && (remove(other) || rename(path, other)))
		abort();
	if (is_there(path, ".swap", other))
		swap(other, ends_in(path, "/control") ? directory : path);
}

/* The name that programs with large files have for fstatat(2). */
int fstatat64(int dir, const char *name, struct stat64 *status, int flags)
{
	fstatat_fn *const real = (fstatat_fn *)dlsym(RTLD_NEXT, "fstatat64");
	char path[PATH_MAX], full[PATH_MAX], other[PATH_MAX + 16];

	path_of(dir, path);
	snprintf(full, sizeof(full), "%.*s/%s", PATH_MAX - 256, path, name);
	if (is_there(full, ".error", other)) {
		errno = EIO;
		return -1;
	}
	act_before(full);
	const int result = real(dir, name, status, flags);
	const int err = errno;

	act_after(full);
	errno = err;
	return result;
}
