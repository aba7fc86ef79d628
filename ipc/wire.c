/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <pinion/pci.h>

struct wire wire_of(enum wire_kind kind)
{
	return (struct wire){.magic = WIRE_MAGIC, .version = WIRE_VERSION, .kind = (uint16_t)kind};
}

int wire_send(int fd, const struct wire *message, const int *files, unsigned nr_files)
{
	return mail_send(fd, message, sizeof(*message), files, nr_files);
}

static bool ends(const char *text, size_t room)
{
	return memchr(text, 0, room) != NULL;
}

static bool well_formed(const struct wire *message)
{
	return message->magic == WIRE_MAGIC && message->version == WIRE_VERSION &&
	       message->kind && message->kind < WIRE_KINDS &&
	       ends(message->name, sizeof(message->name)) &&
	       ends(message->text, sizeof(message->text));
}

int wire_recv(int fd, struct wire *message, int *files, unsigned *nr_files,
	      struct mail_sender *sender)
{
	int err = mail_recv(fd, message, sizeof(*message), files, nr_files, sender);

	if ((err && err != -EMFILE) || well_formed(message))
		return err;
	mail_close_files(files, *nr_files);
	*nr_files = 0;
	return -EPROTO;
}

int wire_name_valid(const char *name)
{
	size_t len = strnlen(name, PINION_NAME_MAX);

	return len && len < PINION_NAME_MAX && strspn(name, WIRE_NAME_LETTERS) == len;
}

int wire_bdf_valid(const char *bdf)
{
	struct pinion_pci_bdf parsed;

	return !strcmp(bdf, "-") || !pinion_pci_bdf_parse(bdf, &parsed);
}
