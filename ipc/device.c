/* SPDX-License-Identifier: BSD-3-Clause */
#include <bsd/sys/queue.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pinion/device.h>

#include "channel.h"
#include "channel_parts.h"
#include "domain.h"
#include "fail.h"
#include "link.h"
#include "member.h"
#include "membership.h"
#include "ring.h"

/* A client with a channel to us: PRESENT -> LEFT (told) -> gone, by bury(), or by detach() if it is
 * in a pool of its own. */
struct guest {
	LIST_ENTRY(guest) link;
	uint32_t member, number; /* of the pool; of the channel */
	struct pinion_event event; /* as told when it joined */
	int pidfd;
	int table; /* of addresses in a pool of its own, shared; -1: none */
	bool left;
};

struct pinion_device {
	struct link link;
	struct pinion_pool *pool;
	int container; /* parked with the service; -1: none */
	int table;     /* of addresses, shared with it; -1: none */
	bool ready;
	bool loop; /* its channels wake its loop */
	LIST_HEAD(, guest) guests;
};

/* Opening. */

static int check_wish(const char *name, const struct pinion_device_config *config)
{
	const char *pool = config->pool ? config->pool : "-";
	const char *bdf = config->bdf ? config->bdf : "-";
	int err = config->slots ? ring_check_slots(config->slots) : 0;

	if (!err && config->slots_max)
		err = ring_check_slots(config->slots_max);
	if (err)
		return err;
	if (!wire_name_valid(name) || !wire_name_valid(pool))
		return pinion_fail(-EINVAL, "\"%s\", \"%s\": a name has 1 to %u letters, "
				   "digits and \":._-\"", name, pool, PINION_NAME_MAX - 1);
	if (!wire_bdf_valid(bdf))
		return pinion_fail(-EINVAL, "\"%s\": no PCI address, such as 0000:41:00.0", bdf);
	return 0;
}

static int open_pool(struct pinion_device *device, const struct wire *answer, const int *files,
		     unsigned nr_files)
{
	const struct membership membership = {.member = answer->member,
					      .segments = answer->segments,
					      .fetch = link_parcel, .context = &device->link.own};
	int err;

	if (answer->kind != WIRE_ANNOUNCED || nr_files != membership_nr_files(&membership) ||
	    answer->value != (device->loop ? WIRE_LOOP : 0))
		err = pinion_fail(-EPROTO, "the service's answer makes no sense");
	else
		err = membership_open(&membership, files, &device->pool);
	if (err)
		mail_close_files(files, nr_files);
	return err;
}

static int announce(struct pinion_device *device, const char *name,
		    const struct pinion_device_config *config)
{
	struct wire question = wire_of(WIRE_ANNOUNCE), answer;
	int files[WIRE_FILES_MAX];
	unsigned nr_files = WIRE_FILES_MAX;
	int err;

	(void)strcpy(question.name, name);
	(void)snprintf(question.text, sizeof(question.text), "%s %s",
		       config->pool ? config->pool : "-", config->bdf ? config->bdf : "-");
	question.slots = config->slots;
	question.slot = config->slots_max;
	question.pools = config->pools;
	question.value = device->loop ? WIRE_LOOP : 0;
	err = link_ask(&device->link, &question, &answer, files, &nr_files);
	if (err)
		return err;
	link_joined(&device->link, answer.cookie);
	return open_pool(device, &answer, files, nr_files);
}

/* Is it in a pool of its own? */
static bool is_apart(const struct pinion_device *device, const struct guest *guest)
{
	return guest->event.pool != device->pool;
}

/* pre: its channel is closed. */
static void forget(struct pinion_device *device, struct guest *guest)
{
	LIST_REMOVE(guest, link);
	if (is_apart(device, guest))
		(void)pinion_pool_detach(guest->event.pool);
	if (guest->table >= 0)
		(void)close(guest->table);
	(void)close(guest->pidfd);
	free(guest);
}

/* The channels end with a word to their clients, unless this is a forked child's copy. */
static void let_go(struct pinion_device *device, bool own)
{
	struct guest *guest, *next;

	LIST_FOREACH_SAFE(guest, &device->guests, link, next) {
		if (own)
			(void)pinion_channel_close(guest->event.channel);
		else
			channel_abandon(guest->event.channel);
		forget(device, guest);
	}
	if (device->pool && own)
		member_leave(device->pool, device->link.cookie);
	if (device->pool)
		(void)pinion_pool_detach(device->pool);
	device->pool = NULL;
}

static void discard(struct pinion_device *device)
{
	if (device->container >= 0)
		(void)close(device->container);
	if (device->table >= 0)
		(void)close(device->table);
	link_close(&device->link);
	free(device);
}

int pinion_device_open(const char *name, const struct pinion_device_config *config,
		       struct pinion_device **out)
{
	KEEP_ERRNO;
	static const struct pinion_device_config defaults;
	struct pinion_device *device;
	int err;

	config = config ? config : &defaults;
	err = check_wish(name, config);
	if (err)
		return err;
	device = calloc(1, sizeof(*device));
	if (!device)
		return pinion_fail(-ENOMEM, "no memory for a device");
	device->container = device->table = -1;
	device->loop = config->loop;
	LIST_INIT(&device->guests);
	err = link_open(&device->link, config->socket);
	if (err) {
		free(device);
		return err;
	}
	err = announce(device, name, config);
	if (err) {
		let_go(device, true);
		(void)link_say(&device->link, WIRE_BYE, 0);
		discard(device);
		return err;
	}
	*out = device;
	return 0;
}

int pinion_device_close(struct pinion_device *device)
{
	KEEP_ERRNO;
	bool own = device->link.pid == getpid();

	let_go(device, own);
	if (own)
		(void)link_say(&device->link, WIRE_BYE, 0);
	discard(device);
	return 0;
}

struct pinion_pool *pinion_device_pool(const struct pinion_device *device)
{
	return device->pool;
}

int pinion_device_fd(const struct pinion_device *device)
{
	return device->link.epoll;
}

static struct guest *find_apart(const struct pinion_device *device, const struct pinion_pool *pool)
{
	struct guest *guest;

	LIST_FOREACH(guest, &device->guests, link)
		if (guest->event.pool == pool && is_apart(device, guest))
			return guest;
	return NULL;
}

/* What the service must know is said again each time that it is back. */
static int say_file(struct pinion_device *device, enum wire_kind kind, uint32_t channel, int file)
{
	struct wire message = wire_of(kind);
	int err;

	message.channel = channel;
	err = file < 0 ? 0 : link_send(&device->link, &message, &file, 1);
	return err == -EPIPE || err == -ECONNRESET ? 0 : err;
}

/* Keeps a copy of @file in the place of the one before. */
static int keep_copy(int *kept, int file)
{
	int copy = fcntl(file, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return pinion_fail(-errno, "cannot keep a copy of a file for the service: %s",
				   strerror(errno));
	if (*kept >= 0)
		(void)close(*kept);
	*kept = copy;
	return 0;
}

int pinion_device_park(struct pinion_device *device, int container)
{
	KEEP_ERRNO;
	int err = keep_copy(&device->container, container);

	return err ? err : say_file(device, WIRE_PARK, 0, device->container);
}

static int fail_not_in(void)
{
	return pinion_fail(-EINVAL, "the domain is over a pool that the device process is not in");
}

int pinion_device_share(struct pinion_device *device, const struct pinion_domain *domain)
{
	KEEP_ERRNO;
	const struct pinion_pool *pool = domain_of(domain)->pool;
	struct guest *guest = pool == device->pool ? NULL : find_apart(device, pool);
	int *kept = guest ? &guest->table : &device->table, err;

	if (!domain_of(domain)->ops)
		return pinion_fail(-EINVAL, "the domain was attached: its maker shares it");
	if (!guest && pool != device->pool)
		return fail_not_in();
	err = keep_copy(kept, pinion_domain_fd(domain));
	return err ? err : say_file(device, WIRE_TABLE, guest ? guest->number : 0, *kept);
}

/* With the service, about where the pages of one pool lie: on a connection of its own, as on this
 * device's other messages may come first. */
struct frames_session {
	struct link link;
	uint64_t cookie;
	uint32_t channel;
};

/* Of no @segments: may it ask? */
static int ask_frames(void *context, uint64_t segments, int *fd)
{
	struct frames_session *session = context;
	struct wire question = wire_of(WIRE_FRAMES), answer;
	unsigned nr_files = 1;
	int err;

	question.cookie = session->cookie;
	question.channel = session->channel;
	question.segments = segments;
	err = link_ask(&session->link, &question, &answer, fd, &nr_files);
	if (err || (answer.kind == WIRE_TABLE && nr_files == (segments ? 1 : 0)))
		return err;
	mail_close_files(fd, nr_files);
	return pinion_fail(-EPROTO, "the service's answer makes no sense");
}

static void end_frames(void *context)
{
	struct frames_session *session = context;

	link_close(&session->link);
	free(session);
}

static int begin_frames(void *context, const struct pinion_pool *pool, void **out)
{
	const struct pinion_device *device = context;
	const struct guest *guest = find_apart(device, pool);
	struct frames_session *session = malloc(sizeof(*session));
	int none, err;

	if (!session)
		return pinion_fail(-ENOMEM, "no memory to ask the service");
	session->cookie = device->link.cookie;
	session->channel = guest ? guest->number : 0;
	err = link_open(&session->link, device->link.path);
	if (err) {
		free(session);
		return err;
	}
	err = ask_frames(session, 0, &none);
	if (err) {
		end_frames(session);
		return err;
	}
	*out = session;
	return 0;
}

int pinion_device_domain_create(struct pinion_device *device, struct pinion_pool *pool,
				struct pinion_domain **domain)
{
	KEEP_ERRNO;
	const struct domain_source service = {begin_frames, ask_frames, end_frames, device};

	if (pool != device->pool && !find_apart(device, pool))
		return fail_not_in();
	return domain_create_from(pool, &service, domain);
}

int pinion_device_ready(struct pinion_device *device)
{
	KEEP_ERRNO;

	device->ready = true;
	(void)link_say(&device->link, WIRE_READY, 0);
	return 0;
}

/* Events. */

static struct guest *find(const struct pinion_device *device, uint32_t number)
{
	struct guest *guest;

	LIST_FOREACH(guest, &device->guests, link)
		if (guest->number == number)
			return guest;
	return NULL;
}

/* The pool of a client that has one of its own: its files are behind those of the channel. */
static int open_apart(struct pinion_device *device, const struct letter *letter,
		      struct pinion_pool **pool)
{
	const struct wire *message = &letter->message;
	const struct membership membership = {
		.member = message->member, .segments = message->segments, .fetch = link_parcel,
		.context = link_shelf(&device->link, message->channel)};
	const unsigned of_channel = parts_nr(message), nr = letter->nr_files - of_channel;
	int err = nr == membership_nr_files(&membership) ? 0 : -EPROTO;

	if (!err)
		err = membership_open(&membership, letter->files + of_channel, pool);
	if (!err)
		return 0;
	mail_close_files(letter->files + of_channel, nr);
	return err;
}

static int open_pool_of(struct pinion_device *device, const struct letter *letter,
			struct pinion_pool **pool)
{
	*pool = device->pool;
	return letter->nr_files > parts_nr(&letter->message) ? open_apart(device, letter, pool) : 0;
}

static int open_guest(struct pinion_device *device, const struct letter *letter,
		      struct guest *guest)
{
	const struct wire *message = &letter->message;
	int err = open_pool_of(device, letter, &guest->event.pool);

	if (err)
		return err;
	err = parts_open(guest->event.pool, message, letter->files, &guest->event.channel);
	if (err && is_apart(device, guest))
		(void)pinion_pool_detach(guest->event.pool);
	return err;
}

/* What wakes its loop is to come, if it was asked for, and else not. */
static bool wakes_as_asked(const struct pinion_device *device, const struct wire *message)
{
	return !(message->value & WIRE_WAKEN) == !device->loop &&
	       !(message->value & ~WIRE_SOCKETS);
}

/* pre: the channel's files came along; the pidfd is kept, and a pool's files are done with. */
static int welcome(struct pinion_device *device, const struct letter *letter,
		   struct pinion_event *event)
{
	const struct wire *message = &letter->message;
	const unsigned of_channel = parts_nr(message);
	struct guest *guest = wakes_as_asked(device, message) ? calloc(1, sizeof(*guest)) : NULL;
	int err;

	if (!guest) {
		mail_close_files(letter->files + of_channel, letter->nr_files - of_channel);
		return -ENOMEM;
	}
	err = open_guest(device, letter, guest);
	if (err) {
		free(guest);
		return err;
	}
	guest->member = message->peer;
	guest->number = message->channel;
	guest->pidfd = letter->files[PARTS_PIDFD];
	guest->table = -1;
	guest->event.kind = PINION_EVENT_JOINED;
	guest->event.member = message->peer;
	guest->event.pid = (pid_t)message->pid;
	guest->event.uid = message->uid;
	guest->event.gid = message->gid;
	LIST_INSERT_HEAD(&device->guests, guest, link);
	*event = guest->event;
	return 0;
}

/* Takes the files over. */
static int let_in(struct pinion_device *device, const struct letter *letter,
		  struct pinion_event *event)
{
	int err;

	if (letter->nr_files < parts_nr(&letter->message)) {
		mail_close_files(letter->files, letter->nr_files);
		return -EPROTO;
	}
	err = welcome(device, letter, event);
	parts_close(&letter->message, letter->files);
	if (err)
		mail_close_files(letter->files + PARTS_PIDFD, 1);
	return err;
}

static int hear_joined(struct pinion_device *device, const struct letter *letter,
		       struct pinion_event *event)
{
	const uint32_t channel = letter->message.channel;
	int err;

	if (find(device, channel)) {
		mail_close_files(letter->files, letter->nr_files);
		return 0;
	}
	err = let_in(device, letter, event);
	/* It cannot be served: that channel ends before it was used, and the client hears of it. */
	if (err) {
		link_forget(&device->link, channel);
		(void)link_say(&device->link, WIRE_SETTLED, channel);
	}
	return !err;
}

static int hear_left(struct pinion_device *device, const struct wire *message,
		     struct pinion_event *event)
{
	struct guest *guest = find(device, message->channel);

	if (!guest)
		(void)link_say(&device->link, WIRE_SETTLED, message->channel);
	if (!guest || guest->left)
		return 0;
	guest->left = true;
	pinion_channel_sever(guest->event.channel);
	*event = guest->event;
	event->kind = PINION_EVENT_LEFT;
	event->killed = message->value != 0;
	return 1;
}

static int hear(struct pinion_device *device, const struct letter *letter,
		struct pinion_event *event)
{
	if (letter->message.kind == WIRE_JOINED)
		return hear_joined(device, letter, event);
	mail_close_files(letter->files, letter->nr_files);
	return letter->message.kind == WIRE_LEFT ? hear_left(device, &letter->message, event) : 0;
}

static void say_all(struct pinion_device *device)
{
	const struct guest *guest;

	(void)say_file(device, WIRE_PARK, 0, device->container);
	(void)say_file(device, WIRE_TABLE, 0, device->table);
	LIST_FOREACH(guest, &device->guests, link)
		(void)say_file(device, WIRE_TABLE, guest->number, guest->table);
	if (device->ready)
		(void)link_say(&device->link, WIRE_READY, 0);
}

/* Letters that are no news for the program, heard in one call. */
#define LETTERS_PER_CALL 32

int pinion_device_next(struct pinion_device *device, struct pinion_event *event)
{
	KEEP_ERRNO;
	struct letter letter;
	int told = 0;

	if (device->link.pid != getpid())
		return 0;
	for (int i = 0; !told && i < LETTERS_PER_CALL; i++) {
		switch (link_next(&device->link, &letter)) {
		case LINK_NOTHING: return 0;
		case LINK_LETTER: told = hear(device, &letter, event); break;
		case LINK_BACK: say_all(device); break;
		case LINK_LOST: break;
		case LINK_EXPELLED:
			return pinion_fail(-ECONNRESET, "the service does not know this process "
					   "any more: stop the device, close, and open again");
		}
	}
	return told;
}

static struct guest *find_left(const struct pinion_device *device, uint32_t member)
{
	struct guest *guest;

	LIST_FOREACH(guest, &device->guests, link)
		if (guest->member == member && guest->left && !is_apart(device, guest))
			return guest;
	return NULL;
}

int pinion_device_bury(struct pinion_device *device, uint32_t member, struct pinion_cache *cache)
{
	KEEP_ERRNO;
	struct guest *guest = find_left(device, member);
	int err;

	if (!guest)
		return pinion_fail(-EINVAL, "member %u has not left", member);
	err = pinion_channel_reclaim(guest->event.channel, cache);
	if (err < 0)
		return pinion_fail(err, "what was sent to member %u cannot be freed: %s", member,
				   strerror(-err));
	(void)pinion_channel_close(guest->event.channel);
	(void)link_say(&device->link, WIRE_SETTLED, guest->number);
	forget(device, guest);
	return 0;
}

int pinion_device_detach(struct pinion_device *device, struct pinion_pool *pool)
{
	KEEP_ERRNO;
	struct guest *guest = find_apart(device, pool);
	uint32_t number;

	if (!guest)
		return pinion_fail(-EINVAL, "that is not the pool of a client that has one of its "
				   "own");
	number = guest->number;
	(void)pinion_channel_close(guest->event.channel);
	forget(device, guest);
	link_forget(&device->link, number);
	(void)link_say(&device->link, WIRE_SETTLED, number);
	return 0;
}
