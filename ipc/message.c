/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <errno.h>

int message_send(int fd, const struct message *message, const int *files, unsigned nr_files)
{
	return mail_send(fd, message, sizeof(*message), files, nr_files);
}

int message_recv(int fd, struct message *message, int *files, unsigned *nr_files,
		 struct mail_sender *sender)
{
	int err = mail_recv(fd, message, sizeof(*message), files, nr_files, sender);

	if (err || (message->magic == MESSAGE_MAGIC && message->version == MESSAGE_VERSION))
		return err;
	mail_close_files(files, *nr_files);
	*nr_files = 0;
	return -EPROTO;
}
