/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "order.h"
#include "report.h"

/* The text travels in a sealed file: it may be long, and the peer may take its time to read it. */
static int put(const char *text, int *out)
{
	size_t len = strlen(text);
	int fd = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ssize_t written = fd < 0 ? -1 : write(fd, text, len);

	if (written != (ssize_t)len || lseek(fd, 0, SEEK_SET) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
		int err = written < 0 || written == (ssize_t)len ? -errno : -ENOSPC;

		if (fd >= 0)
			(void)close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

/* @along: another file, or -1. */
static void send_json(struct peer *peer, const json_t *json, int along)
{
	const struct wire answer = wire_of(WIRE_ANSWER);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int files[] = {-1, along}, err = text ? put(text, &files[0]) : -ENOMEM;

	if (!err)
		err = wire_send(peer->socket, &answer, files, along < 0 ? 1 : 2);
	if (files[0] >= 0)
		(void)close(files[0]);
	free(text);
	if (err && err != -EPIPE)
		peers_refuse(peer, err, "no answer can be made: %s", strerror(-err));
}

void query_answer(struct peer *peer, const struct wire *message)
{
	int along = -1;
	json_t *json;

	if (message->kind != WIRE_QUERY) {
		peers_refuse(peer, -EPROTO, "not a message for this moment");
		return;
	}
	if (!strcmp(message->name, "stat"))
		json = report_service(peer->service);
	else
		json = order_give(peer, message->name, message->text, &along);
	if (!json)
		return; /* refused, or no memory: then the peer asks again */
	send_json(peer, json, along);
	json_decref(json);
}
