/* SPDX-License-Identifier: BSD-3-Clause */
#include "named.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include <pinion/pool.h>

#include "fail.h"

/*
 * What this process has locked. An flock lasts as long as any copy of its description, and a
 * fork copies: the child closes its copies before it runs a line of the program.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct named *locked;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
	for (struct named *named = locked; named; named = named->other) {
		(void)close(named->dir);
		named->dir = -1;
		named->locked = false;
	}
	locked = NULL;
	pthread_mutex_unlock(&lock);
}

static int fork_watched = -ENOMEM;

static void watch_forks(void)
{
	fork_watched = -pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static void remember(struct named *named)
{
	pthread_mutex_lock(&lock);
	named->other = locked;
	named->locked = true;
	locked = named;
	pthread_mutex_unlock(&lock);
}

static void forget(struct named *named)
{
	pthread_mutex_lock(&lock);
	for (struct named **at = &locked; *at; at = &(*at)->other)
		if (*at == named) {
			*at = named->other;
			break;
		}
	named->locked = false;
	pthread_mutex_unlock(&lock);
}

void named_segment(uint32_t index, char what[NAMED_WHAT_MAX])
{
	(void)snprintf(what, NAMED_WHAT_MAX, "%u", index);
}

/* The page size of the mount that @fd lies on; 0 when that is no hugetlbfs. */
static size_t mount_page_size(int fd)
{
	struct statfs fs;
	int err;

	do
		err = fstatfs(fd, &fs);
	while (err < 0 && errno == EINTR);
	if (err < 0 || (unsigned long)fs.f_type != (unsigned long)HUGETLBFS_MAGIC)
		return 0;
	return (size_t)fs.f_bsize;
}

/* Did someone we trust make it: the effective user, or root, who could do all else anyway? */
static bool ours(const struct stat *status)
{
	return status->st_uid == geteuid() || status->st_uid == 0;
}

static int open_dir(struct named *named)
{
	struct stat status;
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	named->dir = open(named->path, flags);
	if (named->dir < 0 && errno == ENOENT)
		return pinion_fail(-ENOENT, "%s: there is no such named pool", named->path);
	if (named->dir < 0 && (errno == ENOTDIR || errno == ELOOP))
		return pinion_fail(-EINVAL, "%s: a named pool is a directory, not a file or a link",
				   named->path);
	if (named->dir < 0 || fstat(named->dir, &status))
		return pinion_fail(-errno, "%s: cannot open it: %s", named->path, strerror(errno));
	named->page_size = mount_page_size(named->dir);
	if (!named->page_size)
		return pinion_fail(-EINVAL, "%s: not on a hugetlbfs mount; make one: mount -t "
				   "hugetlbfs -o pagesize=2M none DIRECTORY", named->path);
	/* Else another user could put files there, or take ours away. */
	if (!ours(&status) || status.st_mode & (S_IWGRP | S_IWOTH))
		return pinion_fail(-EPERM, "%s: belongs to user %u with mode %o: a named pool is "
				   "this user's (%u) or root's, and nobody else may write to its "
				   "directory", named->path, status.st_uid,
				   status.st_mode & 07777u, geteuid());
	return 0;
}

int named_lookup(const char *path, struct named **out)
{
	struct named *named = calloc(1, sizeof(*named));
	int err;

	if (!named)
		return pinion_fail(-ENOMEM, "%s: no memory for a named pool", path);
	named->dir = -1;
	named->path = strdup(path);
	if (named->path)
		err = open_dir(named);
	else
		err = pinion_fail(-ENOMEM, "%s: no memory for a named pool", path);
	if (err) {
		named_close(named);
		return err;
	}
	*out = named;
	return 0;
}

/* Is this directory still the one of that name? 0; -ENOENT when it is not; or -errno. */
static int check_there(const struct named *named)
{
	struct stat have, now;

	if (fstat(named->dir, &have) || lstat(named->path, &now))
		return -errno;
	return have.st_dev == now.st_dev && have.st_ino == now.st_ino ? 0 : -ENOENT;
}

int named_lock(struct named *named)
{
	int err;

	(void)pthread_once(&once, watch_forks);
	if (fork_watched)
		return pinion_fail(fork_watched, "%s: cannot watch over forks: %s", named->path,
				   strerror(-fork_watched));
	/* On the list first: a fork in between would leave a copy of the lock in the child. */
	remember(named);
	if (!flock(named->dir, LOCK_EX | LOCK_NB)) {
		err = check_there(named);
		if (!err)
			return 0;
		(void)flock(named->dir, LOCK_UN);
		forget(named);
		if (err == -ENOENT)
			return pinion_fail(err, "%s: the pool was removed meanwhile", named->path);
		return pinion_fail(err, "%s: cannot tell if it is still there: %s", named->path,
				   strerror(-err));
	}
	err = -errno;
	forget(named);
	if (err == -EWOULDBLOCK)
		return pinion_fail(-EBUSY, "%s: another process keeps this pool: end it first, or "
				   "join the pool as a member (who it is: fuser -v %s)",
				   named->path, named->path);
	return pinion_fail(err, "%s: cannot lock it: %s", named->path, strerror(-err));
}

void named_close(struct named *named)
{
	if (!named)
		return;
	if (named->locked)
		forget(named);
	if (named->dir >= 0)
		(void)close(named->dir);
	free(named->path);
	free(named);
}

static int check_mode(const char *path, mode_t mode)
{
	if (mode & ~(mode_t)0660)
		return pinion_fail(-EINVAL, "%s: a mode of %o: 0600 and 0660 are the modes of a "
				   "named pool, which strangers cannot share", path, mode);
	return 0;
}

static mode_t file_mode(mode_t mode)
{
	return S_IRUSR | S_IWUSR | mode;
}

/* The group may look names up, never make or remove any. Whatever umask leaves of it. */
static int set_dir_mode(const struct named *named, mode_t mode)
{
	mode_t all = S_IRWXU | (mode & S_IRWXG ? S_IRGRP | S_IXGRP : 0u);
	struct stat status;

	/* A set-group-id bit of the mount's stays: the group is then the mount's. */
	if (!fstat(named->dir, &status) && !fchmod(named->dir, all | (status.st_mode & S_ISGID)))
		return 0;
	return pinion_fail(-errno, "%s: cannot set its mode: %s", named->path, strerror(errno));
}

static int make_dir(const char *path)
{
	if (!mkdir(path, S_IRWXU))
		return 0;
	if (errno == EEXIST)
		return pinion_fail(-EEXIST, "%s: exists already: take that pool over, or unlink it",
				   path);
	return pinion_fail(-errno, "%s: cannot make the directory: %s", path, strerror(errno));
}

int named_make(const char *path, mode_t mode, struct named **out)
{
	struct named *named = NULL;
	int err = check_mode(path, mode);

	if (!err)
		err = make_dir(path);
	if (err)
		return err;
	err = named_lookup(path, &named);
	if (!err)
		err = named_lock(named);
	if (!err)
		err = set_dir_mode(named, mode);
	if (err) {
		/* Only an empty one goes, and that is no pool of anybody's: who has it locked has
		 * found nothing in it, or is told that it went when it makes the first file. */
		(void)rmdir(path);
		named_close(named);
		return err;
	}
	*out = named;
	return 0;
}

static int shape(const struct named *named, int fd, size_t len, mode_t mode)
{
	int err;

	if (fchmod(fd, file_mode(mode)))
		return -errno;
	if (len % named->page_size || (off_t)len <= 0)
		return -EINVAL;
	do
		err = ftruncate(fd, (off_t)len);
	while (err < 0 && errno == EINTR);
	return err < 0 ? -errno : 0;
}

int named_create(const struct named *named, const char *what, size_t len, mode_t mode, int *out)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd, err = check_mode(named->path, mode);

	if (err)
		return err;
	fd = openat(named->dir, what, flags, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return pinion_fail(-errno, "%s/%s: cannot make it: %s", named->path, what,
				   strerror(errno));
	err = shape(named, fd, len, mode);
	if (err) {
		(void)close(fd);
		named_drop(named, what);
		return pinion_fail(err, "%s/%s: cannot make it %zu bytes long in pages of %zu: %s",
				   named->path, what, len, named->page_size, strerror(-err));
	}
	*out = fd;
	return 0;
}

/* A second name would let its owner keep and open what named_unlink() has removed. */
static bool plain(const struct named *named, int fd, const struct stat *status)
{
	return S_ISREG(status->st_mode) && ours(status) && !(status->st_mode & S_IWOTH) &&
	       status->st_nlink == 1 &&
	       mount_page_size(fd) == named->page_size;
}

int named_open(const struct named *named, const char *what, int *out, size_t *len)
{
	struct stat status;
	int err = 0, fd = openat(named->dir, what, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return pinion_fail(-ENOENT, "%s/%s: there is none: the pool was never finished, or "
				   "is being removed", named->path, what);
	if (fd < 0)
		return pinion_fail(-errno, "%s/%s: cannot open it: %s", named->path, what,
				   strerror(errno));
	if (fstat(fd, &status))
		err = pinion_fail(-errno, "%s/%s: %s", named->path, what, strerror(errno));
	else if (S_ISREG(status.st_mode) && !status.st_size)
		err = pinion_fail(-EPROTO, "%s/%s: is empty: its maker was killed in the middle, "
				  "or it was cut off; remove the pool with pinion_pool_unlink()",
				  named->path, what);
	else if (!plain(named, fd, &status))
		err = pinion_fail(-EPERM, "%s/%s: not a plain file of user %u or root under a "
				  "single name, of which others have no part (user %u, mode %o, "
				  "%ju names, %jd bytes)", named->path, what, geteuid(),
				  status.st_uid, (unsigned)status.st_mode,
				  (uintmax_t)status.st_nlink, (intmax_t)status.st_size);
	if (err) {
		(void)close(fd);
		return err;
	}
	*out = fd;
	*len = (size_t)status.st_size;
	return 0;
}

void named_drop(const struct named *named, const char *what)
{
	(void)unlinkat(named->dir, what, 0);
}

void named_drop_segment(const struct named *named, uint32_t index)
{
	char what[NAMED_WHAT_MAX];
	struct stat status;
	int fd;

	named_segment(index, what);
	fd = openat(named->dir, what, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!fstat(fd, &status))
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, status.st_size);
	(void)close(fd);
	named_drop(named, what);
}

/* The control area goes first: what is left without one is no pool to anybody. */
int named_unlink(const struct named *named)
{
	char what[NAMED_WHAT_MAX];
	int err;

	if (unlinkat(named->dir, NAMED_CONTROL, 0) && errno != ENOENT)
		return pinion_fail(-errno, "%s: cannot remove its control area: %s", named->path,
				   strerror(errno));
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		named_segment(i, what);
		named_drop(named, what);
	}
	err = check_there(named);
	if (!err && rmdir(named->path))
		err = -errno;
	if (!err || err == -ENOENT)
		return 0;
	return pinion_fail(err, "%s: cannot remove the directory: %s", named->path,
			   strerror(-err));
}
