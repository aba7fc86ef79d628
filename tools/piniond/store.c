/* SPDX-License-Identifier: BSD-3-Clause */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* What came from the manager, in its order; a taken one is -1. */
static struct {
	char **name; /* NULL-terminated, as sd_listen_fds_with_names() gives it */
	int *fd;
	uint32_t nr;
	struct store_name *kept; /* what is in the store by now, in no order */
	uint32_t nr_kept, room;  /* room: for so many names */
	uint32_t max;            /* 0: there is no store */
} store;

struct store_name store_name(const char *format, ...)
{
	struct store_name name;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(name.text, sizeof(name.text), format, arguments);
	va_end(arguments);
	return name;
}

static bool is_listener(int fd)
{
	return sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) > 0;
}

static int make_room(void)
{
	struct store_name *more;

	if (store.nr_kept < store.room)
		return 0;
	more = reallocarray(store.kept, 2 * (size_t)store.room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	store.kept = more;
	store.room *= 2;
	return 0;
}

/* pre: there is room. */
static void remember(struct store_name name)
{
	store.kept[store.nr_kept++] = name;
}

static void forget(struct store_name name)
{
	for (uint32_t i = 0; i < store.nr_kept;)
		if (strcmp(store.kept[i].text, name.text))
			i++;
		else
			store.kept[i] = store.kept[--store.nr_kept];
}

int store_open(uint32_t max)
{
	const int nr = sd_listen_fds_with_names(0, &store.name);
	int listener = -1;

	store.max = getenv("NOTIFY_SOCKET") ? max : 0;
	store.nr = nr > 0 ? (uint32_t)nr : 0;
	store.room = store.nr + 1;
	store.fd = calloc(store.room, sizeof(*store.fd));
	store.kept = calloc(store.room, sizeof(*store.kept));
	if (!store.fd || !store.kept) {
		store.nr = store.max = 0;
		return -1;
	}
	for (uint32_t i = 0; i < store.nr; i++) {
		store.fd[i] = SD_LISTEN_FDS_START + (int)i;
		if (listener < 0 && is_listener(store.fd[i])) {
			listener = store.fd[i];
			store.fd[i] = -1;
		} else {
			remember(store_name("%s", store.name[i]));
		}
	}
	return listener;
}

static int notify(const char *what, struct store_name name, int fd)
{
	char text[STORE_NAME_MAX + 32];

	/* FDPOLL=0: a pidfd becomes readable when its process dies, and is wanted then. */
	(void)snprintf(text, sizeof(text), "%s\nFDNAME=%s%s", what, name.text,
		       fd >= 0 ? "\nFDPOLL=0" : "");
	return sd_pid_notify_with_fds(0, 0, text, &fd, fd >= 0);
}

int store_put(struct store_name name, int fd)
{
	int err;

	if (!store.max)
		return 0;
	if (store.nr_kept >= store.max)
		return -ENOSPC;
	err = make_room();
	if (!err)
		err = notify("FDSTORE=1", name, fd);
	if (err < 0)
		return err;
	remember(name);
	return 0;
}

void store_drop(struct store_name name)
{
	if (store.max && notify("FDSTOREREMOVE=1", name, -1) >= 0)
		forget(name);
}

static bool is_inode(int fd, uint64_t inode)
{
	struct stat status;

	return !inode || (!fstat(fd, &status) && status.st_ino == inode);
}

int store_take(struct store_name name, uint64_t inode)
{
	for (uint32_t i = 0; i < store.nr; i++) {
		int fd = store.fd[i];

		if (fd < 0 || strcmp(store.name[i], name.text) || !is_inode(fd, inode))
			continue;
		store.fd[i] = -1;
		return fd;
	}
	return -1;
}

void store_drop_rest(void)
{
	for (uint32_t i = 0; i < store.nr; i++) {
		if (store.fd[i] < 0)
			continue;
		store_drop(store_name("%s", store.name[i]));
		(void)close(store.fd[i]);
		store.fd[i] = -1;
	}
}
