/* SPDX-License-Identifier: BSD-3-Clause */
#include "parts.h"

#include <string.h>

#include "tap.h"

/* What a child is given; it has a copy. */
static struct {
	const struct part *part;
	struct player *player;
} role;

static int prepare(void *arg)
{
	(void)arg;
	return 0;
}

static int act(void *arg)
{
	(void)arg;
	return role.part->act(role.player);
}

static int rest(void *arg, int peer_is_dead)
{
	(void)arg;
	return role.part->rest(role.player, peer_is_dead);
}

void part_enter(struct tracee *tracee, const struct part *part, struct player *player)
{
	const struct play play = {prepare, act, NULL};

	role.part = part;
	role.player = player;
	tracee_start_asked(tracee, &play, rest);
	if (!part->from)
		return;
	if (tracee_reach(tracee, &(struct store){1, step_place(part->from), 1}) != STEP_MORE)
		tap_bail("%s did not come to its start", part->name);
	tracee->steps = 0;
}

size_t parts_nr(void)
{
	return nr_lending_parts + nr_lanes_parts;
}

const struct part *part_at(size_t i)
{
	return i < nr_lending_parts ? &lending_parts[i] : &lanes_parts[i - nr_lending_parts];
}

const struct part *part_find(const char *name)
{
	for (size_t i = 0; i < parts_nr(); i++)
		if (!strcmp(part_at(i)->name, name))
			return part_at(i);
	return NULL;
}
