/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/ring.h>

#include "fail.h"
#include "ledger.h"
#include "membership.h"
#include "ring.h"

#define SLOTS_DEFAULT 1024

/* Names of pools, as opposed to those of devices, begin with this. */
static const char pool_prefix[] = "pool:";

/*
 * A device process whose answer was lost with the service that sent it: it was let in and does not
 * know, and may ask again. The membership that it did not hear of ends with it.
 */
static bool is_unheard(const struct member *member, pid_t pid)
{
	return member->state == LIVE && member->pid == pid && !member->peer &&
	       !member->device->ready;
}

/* @asks: who wants to be one; what it did not hear of does not count. Nor do branches, but for
 * those whose device is not yet quiet. */
static struct member *find_device(const struct service *service, const char *name, pid_t asks)
{
	struct member *member, *found = NULL;
	struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link)
		LIST_FOREACH(member, &pool->members, of_pool) {
			if (!member->device || member->state > QUIETING ||
			    (member->branch && member->state == LIVE) ||
			    strcmp(member->device->name, name) || is_unheard(member, asks))
				continue;
			if (!found || member->device->ready)
				found = member;
		}
	return found;
}

struct member *admit_find_device(const struct service *service, const char *name)
{
	return find_device(service, name, 0);
}

/* Those that wait for their burial count: what they held is not free yet. */
static uint32_t count_memberships(const struct service *service, uid_t uid)
{
	const struct member *member;
	const struct pool *pool;
	uint32_t nr = 0;

	LIST_FOREACH(pool, &service->pools, link)
		LIST_FOREACH(member, &pool->members, of_pool)
			nr += member->uid == uid && member->pidfd >= 0;
	return nr;
}

/* Until both ends have let go of it: its rings stand, and what is in them is not free. */
static uint32_t count_channels(const struct service *service, uid_t uid)
{
	const struct pairing *pairing;
	const struct pool *pool;
	uint32_t nr = 0;

	LIST_FOREACH(pool, &service->pools, link)
		LIST_FOREACH(pairing, &pool->pairings, of_pool)
			nr += pairing->end[CLIENT]->uid == uid;
	return nr;
}

static int on_death(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct member *member = context;
	bool goodbye = member->peer && peers_last_words(member->peer);

	(void)source, (void)fd, (void)events;
	/* Whoever inherited its socket is not the member. */
	if (member->peer)
		peers_drop(member->peer);
	burial_begin(member, !goodbye && !burial_has_left(member));
	return 0;
}

int admit_watch(struct member *member)
{
	int err = sd_event_add_io(member->pool->service->event, &member->death, member->pidfd,
				  EPOLLIN, on_death, member);

	if (err < 0)
		return pinion_fail(err, "no watch of process %d: %s", (int)member->pid,
				   strerror(-err));
	/* Before what peers say: deaths first. */
	(void)sd_event_source_set_priority(member->death, SD_EVENT_PRIORITY_IMPORTANT);
	return 0;
}

/* The pidfd changes hands. */
static void give_pidfd(int *from, int *to)
{
	*to = *from;
	*from = -1;
}

static struct member *new_member(struct peer *peer, struct pool *pool, const struct wire *wish)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return NULL;
	member->pool = pool;
	member->pid = peer->identity.pid;
	member->uid = peer->identity.uid;
	member->gid = peer->identity.gid;
	member->quota = peer->rule->bytes;
	member->addresses = peer->rule->addresses;
	member->loop = wish->value & WIRE_LOOP;
	member->pidfd = -1;
	return member;
}

static void free_member(struct member *member)
{
	free(member->device);
	free(member);
}

static bool is_taken(const struct member *member)
{
	const struct ledger *ledger = member->pool->service->ledger;

	return member->number == pinion_pool_member(member->pool->pool) ||
	       ledger->member[member->pool->index][member->number].role != LEDGER_FREE;
}

static bool is_full(const struct pool *pool)
{
	const struct member *member;
	uint32_t taken = 1; /* by this process */

	LIST_FOREACH(member, &pool->members, of_pool)
		taken++;
	return taken >= pools_members_max(pool);
}

/* Any member can write over the slots of others: a number that is free by its slot alone is not
 * free. (Admitted once more, it no longer looks as if it were.) */
static int take_number(struct member *member)
{
	int err;

	if (is_full(member->pool))
		return -EAGAIN;
	for (uint32_t i = 0; i < PINION_MEMBER_MAX; i++) {
		err = pinion_pool_admit(member->pool->pool, member->pid, &member->number);
		if (err || !is_taken(member))
			return err;
	}
	return -EAGAIN;
}

/* A number in the pool, and what comes with it. Undone by dismiss(), as long as the process was
 * not told. */
static int admit(struct member *member, struct peer *peer)
{
	struct pinion_pool *pool = member->pool->pool;
	int err;

	if (getrandom(&member->cookie, sizeof(member->cookie), 0) != sizeof(member->cookie))
		return -EIO;
	err = take_number(member);
	if (err)
		return err;
	give_pidfd(&peer->identity.pidfd, &member->pidfd);
	err = pinion_pool_quota(pool, member->number, member->quota);
	if (!err)
		err = admit_watch(member);
	if (!err)
		err = ledger_add_member(member->pool->service->ledger, member);
	if (err) {
		(void)sd_event_source_disable_unref(member->death);
		give_pidfd(&member->pidfd, &peer->identity.pidfd);
		pool_dismiss(pool, member->number);
		return err;
	}
	LIST_INSERT_HEAD(&member->pool->members, member, of_pool);
	peers_become_member(peer, member);
	return 0;
}

/* It never saw the pool: the message arrives whole or not at all. */
static void dismiss(struct member *member)
{
	struct peer *peer = member->peer;

	LIST_REMOVE(member, of_pool);
	(void)sd_event_source_disable_unref(member->death);
	ledger_remove_member(member->pool->service->ledger, member);
	give_pidfd(&member->pidfd, &peer->identity.pidfd);
	peer->member = NULL;
	peer->state = KNOWN;
	pool_dismiss(member->pool->pool, member->number);
	free_member(member);
}

/* Branches. */

/* What it is to be known by: nothing is parked or shared with it, and nobody asks for it. */
static struct device *device_of_branch(const struct device *home)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	*device = *home;
	device->container = device->table = -1;
	device->ready = false;
	return device;
}

static struct member *new_branch(struct member *home, struct pool *pool)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return NULL;
	*member = (struct member){.pool = pool, .pid = home->pid, .uid = home->uid,
				  .gid = home->gid, .pidfd = -1, .cookie = home->cookie,
				  .branch = true, .loop = home->loop, .home = home,
				  .device = device_of_branch(home->device)};
	if (member->device)
		return member;
	free(member);
	return NULL;
}

/* Undone by drop_branch(), as long as the process was not told. */
static int add_branch(struct member *home, struct pool *pool, struct member **branch)
{
	struct member *member = new_branch(home, pool);
	int err = member ? take_number(member) : -ENOMEM;

	if (!err) {
		err = ledger_add_member(pool->service->ledger, member);
		if (err)
			pool_dismiss(pool->pool, member->number);
	}
	if (err) {
		if (member)
			free_member(member);
		return err;
	}
	LIST_INSERT_HEAD(&pool->members, member, of_pool);
	LIST_INSERT_HEAD(&home->branches, member, of_home);
	*branch = member;
	return 0;
}

static void drop_branch(struct member *branch)
{
	LIST_REMOVE(branch, of_pool);
	LIST_REMOVE(branch, of_home);
	ledger_remove_member(branch->pool->service->ledger, branch);
	pool_dismiss(branch->pool->pool, branch->number);
	free_member(branch);
}

/* Those count that are not yet buried. */
static bool may_have_branch(const struct member *home)
{
	const struct member *branch;
	uint32_t nr = 0;

	LIST_FOREACH(branch, &home->branches, of_home)
		nr++;
	return nr < home->device->pools;
}

/* Pairings. */

static void free_pairing(struct pairing *pairing)
{
	for (enum side side = CLIENT; side <= DEVICE; ++side)
		if (pairing->ring[side] >= 0)
			(void)close(pairing->ring[side]);
	doorbell_close(pairing);
	free(pairing);
}

static uint32_t choose_slots(const struct device *device, uint32_t wanted)
{
	uint32_t slots = wanted ? wanted : device->slots;

	return slots < device->slots_max ? slots : device->slots_max;
}

static int make_files(struct pairing *pairing)
{
	int err = doorbell_make(pairing);

	for (enum side side = CLIENT; !err && side <= DEVICE; ++side)
		err = pinion_ring_create(pairing->slots, &pairing->ring[side]);
	return err;
}

static struct pairing *new_pairing(struct member *client, struct member *device, uint32_t wanted)
{
	struct ledger *ledger = client->pool->service->ledger;
	struct pairing *pairing = calloc(1, sizeof(*pairing));

	if (!pairing)
		return NULL;
	pairing->number = ++ledger->next_pairing;
	pairing->slots = choose_slots(device->device, wanted);
	pairing->end[CLIENT] = client;
	pairing->end[DEVICE] = device;
	pairing->ring[CLIENT] = pairing->ring[DEVICE] = -1;
	doorbell_init(pairing);
	if (!make_files(pairing))
		return pairing;
	free_pairing(pairing);
	return NULL;
}

static int pair(struct member *client, struct member *device, uint32_t wanted,
		struct pairing **pairing)
{
	int err;

	*pairing = new_pairing(client, device, wanted);
	if (!*pairing)
		return -ENOMEM;
	err = ledger_add_pairing(client->pool->service->ledger, *pairing);
	if (!err)
		return 0;
	free_pairing(*pairing);
	*pairing = NULL;
	return err;
}

void admit_part(struct pairing *pairing)
{
	ledger_remove_pairing(pairing->end[CLIENT]->pool->service->ledger, pairing);
	free_pairing(pairing);
}

/* Answers. */

void admit_say_hidden(const struct peer *peer, char text[WIRE_TEXT_MAX])
{
	(void)snprintf(text, WIRE_TEXT_MAX, "rules[%td] of the service does not show addresses to "
		       "user %u: it has no addresses = true",
		       peer->rule - peer->service->config->rule, (unsigned)peer->identity.uid);
}

static int send_attached(struct member *member, struct pairing *pairing)
{
	struct wire answer = wire_of(WIRE_ATTACHED);
	int files[WIRE_FILES_MAX], err;
	unsigned nr = membership_files(member->pool->pool, files, &answer.segments);

	if (!member->addresses)
		admit_say_hidden(member->peer, answer.text);
	answer.member = member->number;
	answer.cookie = member->cookie;
	if (pairing) {
		answer.channel = pairing->number;
		answer.peer = pairing->end[DEVICE]->number;
		answer.slots = pairing->slots;
		files[nr++] = pairing->ring[CLIENT];
		files[nr++] = pairing->ring[DEVICE];
		files[nr++] = speaker_of(pairing->end[DEVICE])->pidfd;
		nr += doorbell_files(pairing, CLIENT, files + nr, &answer.value);
	}
	if (pairing && tell_shows(pairing)) {
		answer.value |= WIRE_TABLE_TOO;
		files[nr++] = pairing->end[DEVICE]->device->table;
	}
	err = wire_send(member->peer->socket, &answer, files, nr);
	if (pairing)
		pairing->told_table = answer.value & WIRE_TABLE_TOO;
	if (pairing && !err)
		doorbell_given(pairing, CLIENT);
	return err;
}

static int send_announced(struct member *member)
{
	struct wire answer = wire_of(WIRE_ANNOUNCED);
	int files[WIRE_FILES_MAX];
	unsigned nr = membership_files(member->pool->pool, files, &answer.segments);

	answer.member = member->number;
	answer.cookie = member->cookie;
	answer.slots = member->device->slots;
	answer.value = member->loop ? WIRE_LOOP : 0;
	return wire_send(member->peer->socket, &answer, files, nr);
}

/* ATTACH. */

/* It has nothing of what it was to be told, and its device process was: as if it had left. */
static void take_leave(struct peer *peer)
{
	peer->said_goodbye = true;
	(void)shutdown(peer->socket, SHUT_RDWR);
}

/* Word of @pairing to both. What wakes a device process is given to it before the client can do
 * anything there; and this process may be killed in between. */
static int tell_both(struct member *member, struct member *device, struct pairing *pairing)
{
	int err;

	if (device->loop)
		tell(device);
	err = doorbell_can_wait(pairing) ? send_attached(member, pairing) : -EBUSY;
	if (!err)
		tell(device);
	if (!err || !pairing->told_joined)
		return err;
	take_leave(member->peer);
	return 0;
}

/* A channel for @member. */
static int connect_to(struct member *member, struct member *device, uint32_t slots)
{
	struct pairing *pairing;
	int err = pair(member, device, slots, &pairing);

	if (err)
		return err;
	LIST_INSERT_HEAD(&member->pool->pairings, pairing, of_pool);
	err = tell_both(member, device, pairing);
	if (err) {
		LIST_REMOVE(pairing, of_pool);
		admit_part(pairing);
	}
	return err;
}

/* Into the pool of @member, where the device process is not yet. */
static int bring(struct member *member, struct member *device, uint32_t slots)
{
	struct member *branch;
	int err = add_branch(device, member->pool, &branch);

	if (err)
		return err;
	err = connect_to(member, branch, slots);
	if (err)
		drop_branch(branch);
	return err;
}

static int attach(struct peer *peer, struct pool *pool, struct member *device,
		  const struct wire *wish)
{
	struct member *member = new_member(peer, pool, wish);
	int err = member ? admit(member, peer) : -ENOMEM;

	if (err) {
		if (member)
			free_member(member);
		return err;
	}
	if (!device)
		err = send_attached(member, NULL);
	else if (device->pool == pool)
		err = connect_to(member, device, wish->slots);
	else
		err = bring(member, device, wish->slots);
	if (err)
		dismiss(member);
	else
		pool->service->counters.attached++;
	return err;
}

/* The pool of that name, or one of its own from a template of that name. NULL: refused, or it
 * waits. */
static struct pool *find_pool(struct peer *peer, const char *name)
{
	const struct config_pool *config = config_find_pool(peer->service->config, name);
	struct pool *pool = pools_find(peer->service, name);
	bool template = config && config->template;

	if (!pool && !template)
		return peers_refuse(peer, -ENOENT, "there is no pool %s", name), NULL;
	if ((pool && pool->own) || !config_rule_allows_pool(peer->rule, name))
		return peers_refuse(peer, -EACCES, "the rules do not give pool %s to this user",
				    name), NULL;
	return template ? making_pool(peer, config, true) : pool;
}

/* The first template that the rule gives. */
static const struct config_pool *find_template(const struct peer *peer)
{
	const struct config *config = peer->service->config;

	for (uint32_t i = 0; i < config->nr_pools; i++)
		if (config->pool[i].template &&
		    config_rule_allows_pool(peer->rule, config->pool[i].name))
			return &config->pool[i];
	return NULL;
}

/* Where the two meet: in the pool of the device process, or in one of the peer's own. NULL:
 * refused, or it waits. */
static struct pool *find_place(struct peer *peer, struct member *device)
{
	const struct config_pool *template = find_template(peer);
	const char *name = device->device->name;
	struct pool *pool = NULL;

	if (config_rule_allows_pool(peer->rule, device->pool->name))
		return device->pool;
	if (!template)
		peers_refuse(peer, -EACCES, "the rules do not give %s to this user", name);
	else if (!device->device->pools)
		peers_refuse(peer, -EACCES, "%s is served in pool %s only, which the rules do not "
			     "give to this user", name, device->pool->name);
	else if (!may_have_branch(device))
		peers_refuse(peer, -EAGAIN, "%s is served in %u pools of clients' own, as many as "
			     "its process takes", name, device->device->pools);
	else
		pool = making_pool(peer, template, true);
	return pool;
}

static bool is_device(const char *name)
{
	return strncmp(name, pool_prefix, sizeof(pool_prefix) - 1) != 0;
}

/* What is asked for: a pool, and the device process, if it is a device. 0; else it was refused, or
 * waits. */
static int find(struct peer *peer, const char *name, struct pool **pool, struct member **device)
{
	const struct service *service = peer->service;

	*device = NULL;
	if (!is_device(name)) {
		*pool = find_pool(peer, name + sizeof(pool_prefix) - 1);
		return *pool ? 0 : -ENOENT;
	}
	*device = admit_find_device(service, name);
	if (!*device || (*device)->state != LIVE || !(*device)->device->ready)
		peers_refuse(peer, -ENOENT, "no process drives %s at the moment", name);
	else if (!config_rule_allows_device(peer->rule, name))
		peers_refuse(peer, -EACCES, "the rules do not give %s to this user", name);
	else
		return (*pool = find_place(peer, *device)) ? 0 : -ENOENT;
	return -ENOENT;
}

static bool may_have_more(struct peer *peer)
{
	const struct config_rule *rule = peer->rule;

	if (!rule->memberships ||
	    count_memberships(peer->service, peer->identity.uid) < rule->memberships)
		return true;
	peers_refuse(peer, -EDQUOT, "user %u has %u memberships, as many as it may",
		     (unsigned)peer->identity.uid, rule->memberships);
	return false;
}

/* What is asked for is a device, which comes with a channel. */
static bool may_have_channel(struct peer *peer)
{
	const struct config_rule *rule = peer->rule;

	if (!rule->channels ||
	    count_channels(peer->service, peer->identity.uid) < rule->channels)
		return true;
	peers_refuse(peer, -EDQUOT, "user %u has %u channels, as many as it may",
		     (unsigned)peer->identity.uid, rule->channels);
	return false;
}

bool admit_is_whole(struct peer *peer, const struct pool *pool)
{
	if (!audit_is_damaged(pool))
		return true;
	peers_refuse(peer, -EIO, "pool %s is damaged: a member punched pages out of it",
		     pool->name);
	return false;
}

void admit_attach(struct peer *peer, const struct wire *message)
{
	struct member *device;
	struct pool *pool;
	int err;

	if (message->slots && ring_check_slots(message->slots)) {
		peers_refuse(peer, -EINVAL, "%s", pinion_error_text());
		return;
	}
	if (!may_have_more(peer) || (is_device(message->name) && !may_have_channel(peer)) ||
	    find(peer, message->name, &pool, &device) || !admit_is_whole(peer, pool))
		return;
	err = attach(peer, pool, device, message);
	if (!err)
		return;
	peers_refuse(peer, err, "cannot attach to pool %s: %s", pool->name,
		     err == -EAGAIN ? "all its member slots are taken" : strerror(-err));
	if (pool->own)
		pools_end(pool);
}

/* ANNOUNCE. */

/* The pool that is named, or the only one that the rule gives. NULL: refused. */
static struct pool *choose_pool(struct peer *peer, const char *name)
{
	struct pool *pool, *only = NULL;
	unsigned nr = 0;

	LIST_FOREACH(pool, &peer->service->pools, link) {
		if (pool->own || (strcmp(name, "-") && strcmp(name, pool->name)) ||
		    !config_rule_allows_pool(peer->rule, pool->name))
			continue;
		only = pool;
		nr++;
	}
	if (nr == 1)
		return only;
	if (nr)
		peers_refuse(peer, -EINVAL, "this user may serve in %u pools: name one", nr);
	else
		peers_refuse(peer, -EACCES, "the rules give this user no pool%s%s to serve in",
			     strcmp(name, "-") ? " " : "", strcmp(name, "-") ? name : "");
	return NULL;
}

static bool may_serve(struct peer *peer, const char *name)
{
	struct member *before = find_device(peer->service, name, peer->identity.pid);

	if (!wire_name_valid(name) || !is_device(name))
		peers_refuse(peer, -EINVAL, "that is no name for a device");
	else if (!peer->rule->serve || !config_rule_allows_device(peer->rule, name))
		peers_refuse(peer, -EACCES, "the rules do not let this user serve %s", name);
	else if (before && before->state == LIVE)
		peers_refuse(peer, -EADDRINUSE, "pid %d serves %s", (int)before->pid, name);
	else if (before)
		peers_refuse(peer, -EBUSY, "the device of the one who served %s is not yet quiet",
			     name);
	else
		return true;
	return false;
}

/* Of the rings of its channels: 0 is none that it asks for. */
static bool may_have_depths(struct peer *peer, const struct wire *wish)
{
	if ((!wish->slots || !ring_check_slots(wish->slots)) &&
	    (!wish->slot || !ring_check_slots(wish->slot)))
		return true;
	peers_refuse(peer, -EINVAL, "%s", pinion_error_text());
	return false;
}

/* pre: both are valid names, and the depths such as can be. */
static struct device *new_device(const struct wire *message, const char *bdf)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	(void)strcpy(device->name, message->name);
	(void)strcpy(device->bdf, bdf); /* wire_bdf_valid() */
	device->container = device->table = -1;
	device->slots = message->slots ? message->slots : SLOTS_DEFAULT;
	device->slots_max = message->slot ? message->slot : device->slots;
	device->pools = message->pools;
	return device;
}

static int announce(struct peer *peer, struct pool *pool, struct device *device,
		    const struct wire *wish)
{
	struct member *member = new_member(peer, pool, wish);
	int err;

	if (!member) {
		free(device);
		return -ENOMEM;
	}
	member->device = device;
	err = admit(member, peer);
	if (err) {
		free_member(member);
		return err;
	}
	err = send_announced(member);
	if (err) {
		dismiss(member);
		return err;
	}
	service_log(LOG_INFO, "%s: served by pid %d, uid %u, in pool %s", device->name,
		    (int)member->pid, (unsigned)member->uid, pool->name);
	return 0;
}

/* What is not there would pass for quiet, and what its process held be free while something else
 * goes on to write there. */
static bool may_have_device(struct peer *peer, const char *bdf)
{
	int err = quiet_is_seen(bdf);

	if (err == -ENOENT)
		peers_refuse(peer, -ENODEV, "/sys/bus/pci/devices has no %s: nobody could see when "
			     "it is quiet", bdf);
	else if (err)
		peers_refuse(peer, err, "/sys/bus/pci/devices/%s/config: %s", bdf, strerror(-err));
	return !err;
}

void admit_announce(struct peer *peer, const struct wire *message)
{
	char name[WIRE_TEXT_MAX], bdf[WIRE_TEXT_MAX];
	struct device *device;
	struct pool *pool;
	int err;

	if (sscanf(message->text, "%127s %127s", name, bdf) != 2) {
		peers_refuse(peer, -EPROTO, "not \"POOL BDF\"");
		return;
	}
	if (!wire_bdf_valid(bdf)) {
		peers_refuse(peer, -EINVAL, "that is no PCI address, such as 0000:41:00.0");
		return;
	}
	if (!may_have_depths(peer, message) || !may_serve(peer, message->name) ||
	    !may_have_device(peer, bdf))
		return;
	pool = choose_pool(peer, name);
	if (!pool || !admit_is_whole(peer, pool))
		return;
	device = new_device(message, bdf);
	err = device ? announce(peer, pool, device, message) : -ENOMEM;
	if (err)
		peers_refuse(peer, err, "cannot join pool %s: %s", pool->name,
			     err == -EAGAIN ? "all its member slots are taken" : strerror(-err));
}

/* REJOIN. */

struct member *admit_find_cookie(const struct service *service, uint64_t cookie)
{
	struct member *member;
	struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link)
		LIST_FOREACH(member, &pool->members, of_pool)
			if (cookie && member->cookie == cookie && member->state == LIVE &&
			    !member->branch)
				return member;
	return NULL;
}

/* A pid is its own for as long as its pidfd says that it lives. */
struct member *admit_find_own(const struct peer *peer, uint64_t cookie)
{
	struct member *member = admit_find_cookie(peer->service, cookie);

	return member && member->pid == peer->identity.pid && peer_is_alive(member->pidfd) ?
		       member : NULL;
}

void admit_rejoin(struct peer *peer, const struct wire *message)
{
	struct member *member = admit_find_own(peer, message->cookie);
	const struct wire answer = wire_of(WIRE_REJOINED);

	if (!member) {
		peers_refuse(peer, -ESTALE, "no such membership");
		return;
	}
	if (member->peer)
		peers_drop(member->peer);
	/* What a rule does not give any more is not given again. */
	member->addresses = member->addresses && peer->rule && peer->rule->addresses;
	peers_become_member(peer, member);
	if (wire_send(peer->socket, &answer, NULL, 0))
		return; /* it will notice, and come again */
	tell_again(member);
}
