/* SPDX-License-Identifier: BSD-3-Clause */
#include "headers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Calls of no header, with one mistake each, of the kind that those of the headers are searched
 * for.
 */

static union {
	int fd;
	unsigned char vendor[2];
} out;

static int open_config(void)
{
	int fd;

	do
		fd = open(tree_path("devices/" TREE_BDF "/config"), O_RDWR | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/* A failed read leaves its file open. */
static int leak_fd(struct scene *scene)
{
	unsigned char vendor[2];
	const int fd = open_config();

	(void)scene;
	if (fd < 0)
		return fd;
	if (pread(fd, vendor, sizeof(vendor), 0) != sizeof(vendor))
		return -EIO;
	(void)close(fd);
	return 0;
}

/* A failed write leaves the registers mapped. */
static int leak_mapping(struct scene *scene)
{
	const int fd = open_config();
	void *regs;
	int err = 0;

	(void)scene;
	if (fd < 0)
		return fd;
	regs = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (regs == MAP_FAILED)
		err = -errno;
	else if (pwrite(fd, "\x36\x1b", 2, 0) != 2)
		err = -EIO;
	else
		(void)munmap(regs, 4096);
	(void)close(fd);
	return err;
}

/* The place for the registers stays when there are none. */
static int leak_place(struct scene *scene)
{
	void *place = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	(void)scene;
	if (place == MAP_FAILED)
		return -errno;
	fd = open_config();
	if (fd < 0)
		return fd;
	(void)close(fd);
	(void)munmap(place, 8192);
	return 0;
}

/* A block stays when there is no file to be read into it. */
static int leak_block(struct scene *scene)
{
	char *block = malloc(100);
	int fd;

	(void)scene;
	if (!block)
		return -ENOMEM;
	fd = open_config();
	if (fd < 0)
		return fd;
	(void)close(fd);
	free(block);
	return 0;
}

/* The result is stored before it is known that there is one. */
static int touched(struct scene *scene)
{
	const int fd = open_config();

	(void)scene;
	if (fd < 0)
		return fd;
	out.fd = fd;
	(void)close(fd);
	return access(tree_path("rescan"), F_OK) ? -errno : 0;
}

/* A signal ends it. */
static int interrupted(struct scene *scene)
{
	const int fd = open(tree_path("rescan"), O_RDONLY | O_CLOEXEC);

	(void)scene;
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

/* Every failure means the same. */
static int blamed(struct scene *scene)
{
	(void)scene;
	return access(tree_path("rescan"), F_OK) ? -ENODEV : 0;
}

/* What could not be read is taken for what is there. */
static int silent(struct scene *scene)
{
	const int fd = open_config();

	(void)scene;
	if (fd < 0)
		return fd;
	(void)!pread(fd, out.vendor, sizeof(out.vendor), 0);
	(void)close(fd);
	return 0;
}

static const char *vendor_is_read(struct scene *scene)
{
	(void)scene;
	return memcmp(out.vendor, "\x36\x1b", 2) ? "it is another vendor" : NULL;
}

/* Written, though the call failed. */
static int half_done(struct scene *scene)
{
	const int fd = open_config();
	int err = 0;

	(void)scene;
	if (fd < 0)
		return fd;
	if (pwrite(fd, "\x07\x04", 2, 4) != 2)
		err = -EIO;
	if (close(fd) < 0)
		err = -EIO;
	return err;
}

static const char *command_stayed(struct scene *scene)
{
	(void)scene;
	return tree_config16(4) != TREE_COMMAND ? "COMMAND" : NULL;
}

static const int eio[] = {-EIO, 0};

const struct operation planted_operations[] = {
	{HEADER_DEED("a descriptor leaks", leak_fd, NULL), .may = eio,
	 .mistake = "the failed call left: before"},
	{HEADER_DEED("a mapping leaks", leak_mapping, NULL), .may = eio,
	 .mistake = "map r--s 4096"},
	{HEADER_DEED("a place leaks", leak_place, NULL), .mistake = "reserved"},
	{HEADER_DEED("a block leaks", leak_block, NULL),
	 .mistake = "the failed call left: before 'heap"},
	{HEADER_CALL("results change", touched, NULL), .mistake = "and changed its results"},
	{HEADER_DEED("a signal breaks it off", interrupted, NULL),
	 .mistake = "a signal broke it off"},
	{HEADER_DEED("another error is told", blamed, NULL),
	 .mistake = "which its header does not tell"},
	{HEADER_CALL("a failure is not told", silent, vendor_is_read),
	 .mistake = "returned 0, but it is another vendor"},
	{HEADER_DEED("half of it is done", half_done, NULL), .kept = command_stayed, .may = eio,
	 .mistake = "and changed COMMAND"},
	{0},
};
