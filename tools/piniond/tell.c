/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <sys/socket.h>

#include "ledger.h"
#include "membership.h"

/* Nothing here waits: a socket without room is watched until it has some, and what was not sent
 * is found again from what the state says. */

static struct peer *peer_of(struct member *member)
{
	return speaker_of(member)->peer;
}

/* By which a device process knows the pool of a branch; 0: the member's own. */
static uint32_t channel_of(const struct member *member)
{
	const struct pairing *pairing;

	if (member->branch)
		LIST_FOREACH(pairing, &member->pool->pairings, of_pool)
			if (pairing->end[DEVICE] == member)
				return pairing->number;
	return 0;
}

static int send_segment(struct member *member, uint32_t slot, int fd)
{
	struct wire message = wire_of(WIRE_SEGMENT);

	message.slot = slot;
	message.channel = channel_of(member);
	return wire_send(peer_of(member)->socket, &message, &fd, 1);
}

static void watch_room(struct member *member, bool wanted)
{
	(void)sd_event_source_set_io_events(peer_of(member)->io,
					    wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void tell_segment(struct member *member, uint32_t slot, int fd)
{
	member->owed |= UINT64_C(1) << slot;
	if (!peer_of(member) || member->state != LIVE)
		return;
	if (send_segment(member, slot, fd))
		watch_room(member, true);
	else
		member->owed &= ~(UINT64_C(1) << slot);
}

static int tell_segments(struct member *member)
{
	struct pinion_pool_fds fds;
	int err = 0;

	if (!member->owed)
		return 0;
	pinion_pool_export(member->pool->pool, &fds);
	for (uint32_t i = 0; !err && i < fds.nr_segments; i++) {
		if (!(member->owed >> i & 1))
			continue;
		err = fds.segment[i] < 0 ? 0 : send_segment(member, i, fds.segment[i]);
		if (!err)
			member->owed &= ~(UINT64_C(1) << i);
	}
	return err;
}

static int tell_joined(struct pairing *pairing)
{
	const struct member *client = pairing->end[CLIENT];
	struct member *device = pairing->end[DEVICE];
	int files[WIRE_FILES_MAX] = {pairing->ring[DEVICE], pairing->ring[CLIENT], client->pidfd};
	struct wire message = wire_of(WIRE_JOINED);
	unsigned nr = 3;
	int err;

	nr += doorbell_files(pairing, DEVICE, files + nr, &message.value);
	if (device->branch) {
		message.member = device->number;
		nr += membership_files(device->pool->pool, files + nr, &message.segments);
	}
	message.channel = pairing->number;
	message.peer = client->number;
	message.slots = pairing->slots;
	message.pid = (uint32_t)client->pid;
	message.uid = client->uid;
	message.gid = client->gid;
	err = wire_send(peer_of(device)->socket, &message, files, nr);
	pairing->told_joined = !err;
	if (!err)
		doorbell_given(pairing, DEVICE);
	return err;
}

bool tell_has(const struct pairing *pairing, enum side side)
{
	return !pairing->settled[side] || (side == DEVICE && pairing->owes_left);
}

/* Who settled and is owed a LEFT has not in the ledger: whoever takes that up tells all again. */
static void record_settled(const struct pairing *pairing, enum side side)
{
	struct ledger *ledger = pairing->end[side]->pool->service->ledger;

	ledger->pairing[pairing->entry].settled[side] = !tell_has(pairing, side);
}

static int tell_left(struct pairing *pairing, enum side side)
{
	const struct member *other = pairing->end[other_side(side)];
	struct wire message = wire_of(WIRE_LEFT);
	int err;

	message.channel = pairing->number;
	message.value = other->killed;
	err = wire_send(peer_of(pairing->end[side])->socket, &message, NULL, 0);
	pairing->told_left[side] = !err;
	if (!err && side == DEVICE) {
		pairing->owes_left = false;
		record_settled(pairing, side);
	}
	return err;
}

bool tell_shows(const struct pairing *pairing)
{
	return pairing->end[CLIENT]->addresses && pairing->end[DEVICE]->device->table >= 0;
}

static int send_table(struct pairing *pairing)
{
	struct wire message = wire_of(WIRE_TABLE);
	int err;

	message.channel = pairing->number;
	err = wire_send(pairing->end[CLIENT]->peer->socket, &message,
			&pairing->end[DEVICE]->device->table, 1);
	pairing->told_table = !err;
	return err;
}

/* Has the end opposite to @side let go of the channel, while @side still has it? */
static bool is_left(const struct pairing *pairing, enum side side)
{
	enum side other = other_side(side);

	return !pairing->settled[side] &&
	       (pairing->end[other]->state != LIVE || pairing->settled[other]);
}

/* Are its files all there? After a restart whose store was short of some it can only end. */
static bool is_whole(const struct pairing *pairing)
{
	return pairing->ring[CLIENT] >= 0 && pairing->ring[DEVICE] >= 0 &&
	       pairing->end[CLIENT]->pidfd >= 0 && doorbell_is_whole(pairing);
}

/* JOINED before LEFT: a device process that never heard of a client need not hear that it left,
 * but it may have heard on a connection before. */
static int tell_pairing(struct pairing *pairing, enum side side)
{
	int err = 0;

	if (side == DEVICE && !pairing->told_joined && !pairing->settled[side] &&
	    is_whole(pairing))
		err = tell_joined(pairing);
	if (!err && ((is_left(pairing, side) && !pairing->told_left[side]) ||
		     (side == DEVICE && pairing->owes_left)))
		err = tell_left(pairing, side);
	if (!err && side == CLIENT && tell_shows(pairing) && !pairing->told_table &&
	    !is_left(pairing, side))
		err = send_table(pairing);
	return err;
}

/* Anything but a lack of room: the connection is taken up again, and all told again. */
static void look_at(struct member *member, int err)
{
	if (err && err != -EAGAIN)
		(void)shutdown(peer_of(member)->socket, SHUT_RDWR);
	if (err == -EAGAIN)
		watch_room(member, true);
}

static int tell_one(struct member *member)
{
	struct pairing *pairing;
	int err;

	if (member->state != LIVE)
		return 0;
	err = tell_segments(member);
	LIST_FOREACH(pairing, &member->pool->pairings, of_pool)
		for (enum side side = CLIENT; !err && side <= DEVICE; ++side)
			if (pairing->end[side] == member)
				err = tell_pairing(pairing, side);
	return err;
}

void tell(struct member *member)
{
	struct member *branch;
	int err;

	member = speaker_of(member);
	if (!member->peer || member->state != LIVE)
		return;
	err = tell_one(member);
	LIST_FOREACH(branch, &member->branches, of_home)
		if (!err)
			err = tell_one(branch);
	look_at(member, err);
	if (err != -EAGAIN)
		watch_room(member, false);
}

void tell_table(struct member *device)
{
	struct pairing *pairing;

	LIST_FOREACH(pairing, &device->pool->pairings, of_pool) {
		struct member *client = pairing->end[CLIENT];

		if (pairing->end[DEVICE] != device)
			continue;
		pairing->told_table = false;
		if (client->peer && client->state == LIVE)
			look_at(client, tell_pairing(pairing, CLIENT));
	}
}

static void owe_again(struct member *member)
{
	struct pinion_pool_fds fds;
	struct pairing *pairing;

	pinion_pool_export(member->pool->pool, &fds);
	for (uint32_t i = 0; i < fds.nr_segments; i++)
		if (fds.segment[i] >= 0)
			member->owed |= UINT64_C(1) << i;
	LIST_FOREACH(pairing, &member->pool->pairings, of_pool) {
		if (pairing->end[DEVICE] == member)
			pairing->told_joined = pairing->told_left[DEVICE] = false;
		if (pairing->end[CLIENT] == member)
			pairing->told_left[CLIENT] = pairing->told_table = false;
	}
}

void tell_again(struct member *member)
{
	struct member *branch;

	owe_again(member);
	LIST_FOREACH(branch, &member->branches, of_home)
		owe_again(branch);
	tell(member);
}

/* A JOINED that was told again may have crossed what a device process said: what was made of that
 * ends by this, unless it was told already, and the pairing lasts until it is. (It is answered with
 * another SETTLED, which is one too many.) */
static void tell_end(struct pairing *pairing)
{
	pairing->owes_left = true;
	look_at(pairing->end[DEVICE], tell_left(pairing, DEVICE));
}

void tell_settled(struct pairing *pairing, enum side side)
{
	if (side == DEVICE && !pairing->settled[side] && pairing->told_joined &&
	    !pairing->told_left[side] && peer_of(pairing->end[side]))
		tell_end(pairing);
	pairing->settled[side] = true;
	record_settled(pairing, side);
	tell(pairing->end[other_side(side)]);
}
