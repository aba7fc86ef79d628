/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "scene.h"

/*
 * Operations with one mistake each, of the kind that the others are searched for: a harness that
 * finds none of these finds nothing.
 */

static int sound_memfd(void)
{
	int fd = memfd_create("planted", MFD_CLOEXEC);

	return fd < 0 ? pinion_fail(-errno, "planted: no file: %s", strerror(errno)) : fd;
}

static void undo_fd(struct scene *scene)
{
	(void)close(scene->fd);
}

/* The file of a failed call stays open. */
static int leak_fd(struct scene *scene)
{
	KEEP_ERRNO;
	scene->fd = sound_memfd();
	if (scene->fd < 0)
		return scene->fd;
	if (ftruncate(scene->fd, 4096))
		return pinion_fail(-errno, "planted: no length: %s", strerror(errno));
	return 0;
}

static void *work(void *arg)
{
	struct scene *scene = arg;

	scene->member = leak_fd(scene) != 0;
	return NULL;
}

/* The same mistake in a thread of the operation's own. */
static int leak_in_thread(struct scene *scene)
{
	KEEP_ERRNO;
	pthread_t thread;
	int err = pthread_create(&thread, NULL, work, scene);

	if (err)
		return pinion_fail(-err, "planted: no thread: %s", strerror(err));
	(void)pthread_join(thread, NULL);
	return scene->member ? pinion_fail(-EIO, "planted: the thread failed") : 0;
}

/* The mapping of a failed call stays. */
static int leak_mapping(struct scene *scene)
{
	KEEP_ERRNO;
	int fd = sound_memfd();

	if (fd < 0)
		return fd;
	scene->block = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (scene->block == MAP_FAILED || fchmod(fd, 0600)) {
		(void)close(fd);
		return pinion_fail(-EPERM, "planted: a mapping or a mode");
	}
	(void)close(fd);
	return 0;
}

static void undo_mapping(struct scene *scene)
{
	(void)munmap(scene->block, 4096);
}

/* The block of a failed call is not freed. */
static int leak_block(struct scene *scene)
{
	KEEP_ERRNO;
	scene->block = malloc(100);
	if (!scene->block)
		return pinion_fail(-ENOMEM, "planted: no memory");
	scene->fd = sound_memfd();
	return scene->fd < 0 ? scene->fd : 0;
}

static void undo_block(struct scene *scene)
{
	free(scene->block);
	(void)close(scene->fd);
}

/* The named file of a failed call stays, a directory down as those of a named pool. */

static void file_path(const struct scene *scene, char path[128])
{
	(void)snprintf(path, 128, "%s/file", scene->path);
}

static void file_setup(struct scene *scene)
{
	scene_dir_open(scene);
	scene_must(!mkdir(scene->path, 0700), "a directory in it");
}

static int leak_file(struct scene *scene)
{
	KEEP_ERRNO;
	char path[128];
	int err = 0;

	file_path(scene, path);
	scene->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (scene->fd < 0)
		return pinion_fail(-errno, "planted: no file: %s", strerror(errno));
	if (fchmod(scene->fd, 0640))
		err = pinion_fail(-errno, "planted: no mode: %s", strerror(errno));
	(void)close(scene->fd);
	return err;
}

static void undo_file(struct scene *scene)
{
	char path[128];

	file_path(scene, path);
	(void)unlink(path);
}

static void file_teardown(struct scene *scene)
{
	undo_file(scene);
	(void)rmdir(scene->path);
	scene_dir_close(scene);
}

/* A file without its length counts as good. */
static int silent_success(struct scene *scene)
{
	KEEP_ERRNO;
	scene->fd = sound_memfd();
	if (scene->fd < 0)
		return scene->fd;
	(void)!ftruncate(scene->fd, 4096);
	return 0;
}

static const char *has_length(struct scene *scene)
{
	return lseek(scene->fd, 0, SEEK_END) == 4096 ? NULL : "the file has no length";
}

static int changed_errno(struct scene *scene)
{
	scene->fd = sound_memfd();
	return scene->fd < 0 ? scene->fd : 0;
}

/* Told to whoever looks at the terminal. */
static int printed(struct scene *scene)
{
	KEEP_ERRNO;
	scene->fd = sound_memfd();
	if (scene->fd < 0)
		(void)dprintf(STDERR_FILENO, "planted: no file\n");
	return scene->fd < 0 ? scene->fd : 0;
}

static int no_sentence(struct scene *scene)
{
	KEEP_ERRNO;
	scene->fd = memfd_create("planted", MFD_CLOEXEC);
	return scene->fd < 0 ? -errno : 0;
}

/* The error is asked for after something else has changed it. */
static int lost_error(struct scene *scene)
{
	KEEP_ERRNO;
	scene->fd = memfd_create("planted", MFD_CLOEXEC);
	if (scene->fd >= 0)
		return 0;
	errno = 0;
	return pinion_fail(-EIO, "planted: there is no file: %s", strerror(errno));
}

/* Whatever was wrong, memory is blamed. */
static int wrong_reason(struct scene *scene)
{
	KEEP_ERRNO;
	scene->fd = memfd_create("planted", MFD_CLOEXEC);
	return scene->fd < 0 ? pinion_fail(-errno, "planted: no memory for a file") : 0;
}

/* A short count sets no errno. */
static int stale_error(struct scene *scene)
{
	KEEP_ERRNO;
	char byte[8];

	scene->fd = sound_memfd();
	if (scene->fd < 0)
		return scene->fd;
	if (getrandom(byte, sizeof(byte), 0) == sizeof(byte))
		return 0;
	undo_fd(scene);
	return pinion_fail(-errno, "planted: nothing is random enough");
}

static int crash(struct scene *scene)
{
	KEEP_ERRNO;
	char *block = malloc(100);

	*(volatile char *)block = 1;
	free(block);
	scene->block = NULL;
	return 0;
}

/* What cannot be the second time: state that a failed call left behind. */
static int only_once(struct scene *scene)
{
	KEEP_ERRNO;

	if (scene->member++)
		return pinion_fail(-EBUSY, "planted: half done before");
	scene->fd = sound_memfd();
	if (scene->fd < 0)
		return scene->fd;
	scene->member = 0;
	return 0;
}

const struct operation planted_operations[] = {
	{.name = "a descriptor leaks", .run = leak_fd, .undo = undo_fd,
	 .mistake = "the failed call left: "},
	{.name = "a descriptor leaks in a thread", .run = leak_in_thread, .undo = undo_fd,
	 .mistake = "the failed call left: "},
	{.name = "a mapping leaks", .run = leak_mapping, .undo = undo_mapping,
	 .mistake = "after 'map r--s 4096 /memfd:planted"},
	{.name = "a block leaks", .run = leak_block, .undo = undo_block,
	 .mistake = "the failed call left: before 'heap"},
	{.name = "a named file leaks", .setup = file_setup, .run = leak_file, .undo = undo_file,
	 .teardown = file_teardown, .mistake = "after 'file /tmp/pinion-fault"},
	{.name = "a failure is not told", .run = silent_success, .use = has_length,
	 .undo = undo_fd, .mistake = "the file has no length"},
	{.name = "errno changes", .run = changed_errno, .undo = undo_fd,
	 .mistake = "errno became"},
	{.name = "it prints", .run = printed, .undo = undo_fd, .mistake = "it printed"},
	{.name = "no sentence", .run = no_sentence, .undo = undo_fd,
	 .mistake = "without a sentence"},
	{.name = "a sentence without the error", .run = lost_error, .undo = undo_fd,
	 .mistake = "the sentence lost the error"},
	{.name = "a sentence with another reason", .run = wrong_reason, .undo = undo_fd,
	 .mistake = "the sentence blames memory"},
	{.name = "the caller's errno returned", .run = stale_error, .undo = undo_fd,
	 .mistake = "the caller's own errno"},
	{.name = "a crash", .run = crash, .mistake = "the process ended with status 0xb"},
	{.name = "not again after a failure", .run = only_once, .undo = undo_fd,
	 .mistake = "tried again, undisturbed"},
	{0},
};
