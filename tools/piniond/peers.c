/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "ledger.h"
#include "listener.h"
#include "store.h"

/* From a connection to its CONFIRM; and how long a peer that is no member may say nothing. */
#define PATIENCE_NS UINT64_C(2000000000)
#define IDLE_NS UINT64_C(60000000000)

/* Messages heard from one member before others have their turn. Of who is none yet it is one: what
 * such a peer asks for is more work than all of what members say. */
#define MESSAGES_PER_TURN 8

/* Connections taken from the queue in one turn. One that hung up already costs little (has_gone()),
 * so that who comes and goes without end does not fill the queue before others. */
#define ARRIVALS_PER_TURN 16

/* What may lie in a socket unread, as the kernel counts it: some ten words to a member. To others
 * it is the least there can be, about four. Each may have files with it, and how many of those a
 * user has under way is limited for all that it sends (unix(7), ETOOMANYREFS). */
#define ROOM_MEMBER 8192
#define ROOM_STRANGER 1

/* Messages of a dead member among which its goodbye is looked for: more than a socket holds. Only
 * who inherited that could go on. */
#define LAST_WORDS_MAX 1024

void peers_drop(struct peer *peer)
{
	LIST_REMOVE(peer, link);
	peer->service->nr_peers--;
	turn_leave(peer);
	if (peer->member)
		peer->member->peer = NULL;
	if (peer->identity.pidfd >= 0)
		(void)close(peer->identity.pidfd);
	sd_event_source_disable_unref(peer->io);
	sd_event_source_disable_unref(peer->pause);
	mail_hang_up(peer->socket);
	free(peer);
}

static void refuse(int socket, int err, const char *text)
{
	struct wire message = wire_of(WIRE_REFUSED);

	message.value = err;
	(void)snprintf(message.text, sizeof(message.text), "%s", text);
	(void)wire_send(socket, &message, NULL, 0);
}

void peers_refuse(struct peer *peer, int err, const char *format, ...)
{
	char text[WIRE_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	peer->service->counters.refused++;
	service_log(LOG_INFO, "pid %d, uid %u: refused: %s", (int)peer->identity.pid,
		    (unsigned)peer->identity.uid, text);
	refuse(peer->socket, err, text);
}

/* The groups that it was in when it connected: up to 65,536 (NGROUPS_MAX). The kernel says how many
 * when there is too little room for them. */
static int peer_groups(int socket, gid_t **groups, unsigned *nr)
{
	socklen_t len = 0;

	*groups = NULL;
	while (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, *groups, &len)) {
		const int err = errno == ERANGE ? ENOMEM : errno;
		gid_t *more = errno == ERANGE ? realloc(*groups, len) : NULL;

		if (!more) {
			free(*groups);
			return -err;
		}
		*groups = more;
	}
	*nr = (unsigned)(len / sizeof(gid_t));
	return 0;
}

static int find_rule(struct peer *peer)
{
	gid_t *groups;
	unsigned nr = 0;
	const int err = peer_groups(peer->socket, &groups, &nr);

	if (err)
		return err;
	peer->rule = config_find_rule(peer->service->config, peer->identity.uid, peer->identity.gid,
				      groups, nr);
	free(groups);
	return 0;
}

/* HELLO: who is it? */
static int greet(struct peer *peer)
{
	struct wire answer = wire_of(WIRE_COOKIE);
	int err = peer_identify(peer->socket, &peer->identity);

	if (err) {
		peer->identity.pidfd = -1;
		return err;
	}
	if (getrandom(&peer->cookie, sizeof(peer->cookie), 0) != sizeof(peer->cookie))
		return -EIO;
	err = find_rule(peer);
	answer.cookie = peer->cookie;
	if (!err)
		err = wire_send(peer->socket, &answer, NULL, 0);
	if (!err)
		peer->state = GREETED;
	return err;
}

/* The cookie shows that this was sent after the pidfd was opened. */
static int confirm(struct peer *peer, const struct wire *message, const struct mail_sender *sender)
{
	if (message->cookie != peer->cookie || !peer_is_sender(&peer->identity, sender->pid))
		return -EPROTO;
	peer->state = KNOWN;
	peer->deadline_ns = service_now_ns() + (peer->rule ? IDLE_NS : PATIENCE_NS);
	return 0;
}

static void answer(struct peer *peer)
{
	const struct wire *message = &peer->question;

	if (!peer->rule) {
		peers_refuse(peer, -EACCES, "no rule of the configuration names user %u or its "
			     "groups", (unsigned)peer->identity.uid);
		return;
	}
	peer->deadline_ns = service_now_ns() + IDLE_NS;
	switch (message->kind) {
	case WIRE_ATTACH: admit_attach(peer, message); break;
	case WIRE_ANNOUNCE: admit_announce(peer, message); break;
	case WIRE_REJOIN: admit_rejoin(peer, message); break;
	case WIRE_FRAMES: frames_answer(peer, message); break;
	default: query_answer(peer, message); break;
	}
}

/* Who was let in has something else to do; others may ask again, in a while. */
static void hear_known(struct peer *peer, const struct wire *message)
{
	const uint64_t began = service_now_ns();

	peer->question = *message;
	answer(peer);
	if (peer->state == KNOWN && !peer->making)
		turn_end(peer, began);
}

void peers_answer_again(struct peer *peer)
{
	(void)sd_event_source_set_enabled(peer->io, SD_EVENT_ON);
	answer(peer);
}

static struct pairing *find_in(const struct member *member, uint32_t number, enum side *side)
{
	struct pairing *pairing;

	LIST_FOREACH(pairing, &member->pool->pairings, of_pool)
		for (*side = CLIENT; *side <= DEVICE; ++*side)
			if (pairing->number == number && pairing->end[*side] == member)
				return pairing;
	return NULL;
}

/* Its own, or that of a branch of its. */
static struct pairing *find_pairing(const struct member *member, uint32_t number, enum side *side)
{
	struct pairing *pairing = find_in(member, number, side);
	const struct member *branch;

	LIST_FOREACH(branch, &member->branches, of_home)
		if (!pairing)
			pairing = find_in(branch, number, side);
	return pairing;
}

static void settle(struct member *member, uint32_t number)
{
	enum side side;
	struct pairing *pairing = find_pairing(member, number, &side);

	if (!pairing)
		return;
	tell_settled(pairing, side);
	burial_go_on(pairing->end[side]->pool);
}

/* Is it what holds a device's mappings? Nothing else is kept for anybody. Any file may have such a
 * name in a mount namespace of its owner's, but only root of all makes device nodes. */
static bool is_container(int file)
{
	struct store_name link = store_name("/proc/self/fd/%d", file);
	char target[32];
	ssize_t len = readlink(link.text, target, sizeof(target) - 1);
	struct stat status;

	if (len < 0 || fstat(file, &status) || !S_ISCHR(status.st_mode))
		return false;
	target[len] = 0;
	return !strcmp(target, "/dev/vfio/vfio") || !strcmp(target, "/dev/iommu");
}

/* True: @file was kept. */
static bool park(struct member *member, int file)
{
	struct device *device = member->device;

	if (!is_container(file))
		return false;
	if (device->container >= 0) {
		ledger_remove_container(member);
		(void)close(device->container);
	}
	device->container = file;
	if (ledger_add_container(member))
		service_log(LOG_WARNING, "%s: the store is full: its container would be lost with "
			    "this process", device->name);
	return true;
}

/* It must be sealed, as a domain's table is: what can be made to wait when it is closed is not
 * kept. Whether it is a table is seen when somebody asks for an address. */
static bool keep_table(struct member *member, int file)
{
	struct device *device = member->device;
	const int seals = fcntl(file, F_GET_SEALS), wanted = F_SEAL_WRITE | F_SEAL_SHRINK;

	if (seals < 0 || (seals & wanted) != wanted)
		return false;
	if (device->table >= 0)
		(void)close(device->table);
	device->table = file;
	tell_table(member);
	return true;
}

struct member *peers_find_branch(struct member *member, uint32_t channel)
{
	struct pairing *pairing;
	enum side side;

	if (!channel)
		return member;
	pairing = find_pairing(member, channel, &side);
	return pairing && pairing->end[side]->branch ? pairing->end[side] : NULL;
}

static bool hear_table(struct member *member, uint32_t channel, int file)
{
	struct member *branch = peers_find_branch(member, channel);

	return branch && branch->device && file >= 0 && keep_table(branch, file);
}

static void set_ready(struct member *member)
{
	member->device->ready = true;
	ledger_member(member->pool->service->ledger, member)->ready = 1;
}

/* What a member says; @file: the one that came along, or -1. True: the file was kept. */
static bool hear_member(struct member *member, const struct wire *message, int file)
{
	switch (message->kind) {
	case WIRE_SETTLED:
		settle(member, message->channel);
		return false;
	case WIRE_READY:
		if (member->device)
			set_ready(member);
		return false;
	case WIRE_PARK:
		return member->device && file >= 0 && park(member, file);
	case WIRE_TABLE:
		return hear_table(member, message->channel, file);
	default:
		member->pool->service->counters.protocol_errors++;
		return false;
	}
}

/* Not from a child that inherited the socket: the member itself would live on. */
static bool is_goodbye(const struct peer *peer, const struct wire *message,
		       const struct mail_sender *sender)
{
	struct peer_identity identity = peer->identity;

	if (!peer->member || message->kind != WIRE_BYE)
		return false;
	identity.pidfd = peer->member->pidfd;
	return peer_is_sender(&identity, sender->pid);
}

/* One message. 0: go on; else hang up. */
static int handle(struct peer *peer, const struct wire *message, const struct mail_sender *sender,
		  int file)
{
	int err = 0;
	bool kept = false;

	if (peer->state == ARRIVED)
		err = message->kind == WIRE_HELLO ? greet(peer) : -EPROTO;
	else if (peer->state == GREETED)
		err = message->kind == WIRE_CONFIRM ? confirm(peer, message, sender) : -EPROTO;
	else if (message->kind == WIRE_BYE)
		err = -EPIPE;
	else if (peer->state == KNOWN)
		hear_known(peer, message);
	else
		kept = hear_member(peer->member, message, file);
	if (file >= 0 && !kept)
		mail_close_files(&file, 1);
	return err;
}

/* No message has two files. Who sends hundreds, which all have to be closed, is heard once; after
 * that no files of its are let in, where the kernel can see to it. */
static int refuse_files(struct peer *peer, const int file[2])
{
	mail_close_files(file, 2);
	if (peer->member)
		peer->member->spams = true;
	else
		peer->state = SPENT;
	return -EPROTO;
}

static int hear(struct peer *peer)
{
	struct mail_sender sender;
	struct wire message;
	unsigned nr = 2;
	int file[2], err = wire_recv(peer->socket, &message, file, &nr, &sender);

	if (err)
		return err;
	if (nr == 2)
		return refuse_files(peer, file);
	if (!is_goodbye(peer, &message, &sender))
		return handle(peer, &message, &sender, nr ? file[0] : -1);
	mail_close_files(file, nr);
	peer->said_goodbye = true;
	return -EPIPE;
}

static void set_room(int socket, int bytes)
{
	(void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

void peers_become_member(struct peer *peer, struct member *member)
{
	member->peer = peer;
	peer->member = member;
	peer->state = MEMBER;
	set_room(peer->socket, ROOM_MEMBER);
	if (member->device && !member->spams)
		(void)mail_allow_files(peer->socket, true);
}

bool peers_last_words(struct peer *peer)
{
	for (int i = 0; !peer->said_goodbye && i < LAST_WORDS_MAX; i++)
		if (hear(peer))
			break;
	return peer->said_goodbye;
}

static int messages_per_turn(const struct peer *peer)
{
	return peer->state == MEMBER ? MESSAGES_PER_TURN : 1;
}

/* Of a member that said nothing its slot may tell that it left, now or later. */
static void hang_up(struct peer *peer)
{
	struct member *member = peer->member;
	const bool left = peer->said_goodbye;

	peers_drop(peer);
	if (member && left)
		burial_begin(member, false);
	else if (member)
		burial_look(member->pool);
}

static int on_spent(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source, (void)usec;
	peers_drop(context);
	return 0;
}

/* It would come again at once: so it stays until its user has rested, and is not heard. False:
 * there is no memory for that. */
static bool spend(struct peer *peer, uint64_t began_ns)
{
	const uint64_t ended = service_now_ns();

	peer->pause = sd_event_source_disable_unref(peer->pause);
	turn_end(peer, began_ns);
	if (sd_event_add_time_relative(peer->service->event, &peer->pause, CLOCK_MONOTONIC,
				       (peer->rest_ns - ended) / 1000, 100, on_spent, peer) < 0)
		return false;
	(void)sd_event_source_set_enabled(peer->io, SD_EVENT_OFF);
	return true;
}

static bool user_is_spent(const struct peer *peer)
{
	const struct peer *other;

	LIST_FOREACH(other, &peer->service->peers, link)
		if (other->uid == peer->uid && other->state == SPENT)
			return true;
	return false;
}

/* Who says who it is has no turn, but where others of its user abused that. */
static bool needs_turn(const struct peer *peer)
{
	return peer->state == KNOWN || (peer->state != MEMBER && user_is_spent(peer));
}

static void part_with(struct peer *peer, int err, uint64_t began_ns)
{
	peer->service->counters.protocol_errors += err == -EPROTO;
	if (peer->state != SPENT || !spend(peer, began_ns))
		hang_up(peer);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	struct peer *peer = context;
	const uint64_t began = service_now_ns();
	const bool asks = needs_turn(peer), member = peer->state == MEMBER;
	int err = 0, heard = 0;

	(void)source, (void)fd;
	if (asks && !turn_has_come(peer))
		return 0;
	for (; !err && events & (EPOLLIN | EPOLLHUP) && heard < messages_per_turn(peer); heard++)
		err = hear(peer);
	if (err && err != -EAGAIN) {
		part_with(peer, err, began);
		return 0;
	}
	if (!member) /* it may have been put off, and others of its user with it */
		turn_go_on(peer->service, peer->uid);
	if (member && !err && heard == MESSAGES_PER_TURN)
		turn_rest(peer, began);
	if (peer->member && events & EPOLLOUT)
		tell(peer->member);
	return 0;
}

static uid_t uid_of(int socket)
{
	struct ucred credentials = {.uid = (uid_t)-1};
	socklen_t len = sizeof(credentials);

	(void)getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &len);
	return credentials.uid;
}

/* Is there room for another of that user? One user who opens connections without end leaves a
 * quarter to others; members are not counted, there are rules for those. */
static bool has_room(const struct service *service, uid_t uid)
{
	const uint32_t most = service->config->peers_max;
	const struct peer *peer;
	uint32_t nr = 0;

	if (service->nr_peers >= most)
		return false;
	LIST_FOREACH(peer, &service->peers, link)
		nr += peer->uid == uid && peer->state != MEMBER;
	return !uid || nr < most - most / 4;
}

static void new_peer(struct service *service, int socket)
{
	const uid_t uid = uid_of(socket);
	struct peer *peer = has_room(service, uid) ? calloc(1, sizeof(*peer)) : NULL;

	if (!peer || sd_event_add_io(service->event, &peer->io, socket, EPOLLIN, on_io, peer) < 0) {
		refuse(socket, -EAGAIN, "as many connections as there may be");
		mail_hang_up(socket);
		free(peer);
		return;
	}
	set_room(socket, ROOM_STRANGER);
	peer->service = service;
	peer->socket = socket;
	peer->uid = uid;
	peer->state = ARRIVED;
	peer->identity.pidfd = -1;
	peer->deadline_ns = service_now_ns() + PATIENCE_NS;
	LIST_INSERT_HEAD(&service->peers, peer, link);
	service->nr_peers++;
}

/* Is it closed at the other end, and nothing said? Whatever is said comes with credentials. */
static bool has_gone(int socket)
{
	union {
		char room[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct msghdr header = {.msg_control = &control, .msg_controllen = sizeof(control)};

	return recvmsg(socket, &header, MSG_PEEK | MSG_DONTWAIT) == 0 && !header.msg_controllen;
}

/* The next one in the queue. 0 or -errno. */
static int take_connection(struct service *service)
{
	const int socket = accept4(service->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (socket < 0)
		return -errno;
	if (has_gone(socket))
		(void)close(socket);
	else
		new_peer(service, socket);
	return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *context)
{
	int err = 0;

	(void)fd, (void)events;
	for (int i = 0; !err && i < ARRIVALS_PER_TURN; i++)
		err = take_connection(context);
	if (err && err != -EAGAIN && err != -ECONNABORTED && err != -EINTR) {
		/* It would be tried again at once, and fail again: no descriptors, no memory. */
		service_log(LOG_WARNING, "cannot accept connections for a moment: %s",
			    strerror(-err));
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

/* It said something, and was not heard yet. */
static bool has_said(int socket)
{
	char byte;

	return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* For a turn, for a pool, or for news: that it says nothing is not its fault. Nor that this process
 * was elsewhere: it may just have let a pool grow. */
static bool is_waiting(const struct peer *peer)
{
	return peer->state == MEMBER || (peer->state == KNOWN && (peer->put_off || peer->making));
}

/* It may only be slow, and not think that it came to another release. */
static void send_away(struct peer *peer)
{
	refuse(peer->socket, -ETIMEDOUT, "nothing came from this process in time; try again");
	peers_drop(peer);
}

/* Who rests or waits is heard again after that; and if the kernel had no memory then to watch its
 * connection, now: or else nobody would hear what it says, nor that it hung up. */
static void hear_again(const struct peer *peer)
{
	if (!peer->put_off && !peer->making && !peer->pause)
		(void)sd_event_source_set_enabled(peer->io, SD_EVENT_ON);
}

/* Who is too slow; and whoever waits outside may try again. */
static int on_tick(sd_event_source *source, uint64_t usec, void *context)
{
	struct service *service = context;
	uint64_t now = service_now_ns();
	struct peer *peer, *next;

	LIST_FOREACH_SAFE(peer, &service->peers, link, next) {
		hear_again(peer);
		if (!is_waiting(peer) && now > peer->deadline_ns && !has_said(peer->socket))
			send_away(peer);
	}
	(void)sd_event_source_set_enabled(service->door, SD_EVENT_ON);
	(void)sd_event_source_set_time(source, usec + 500000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int peers_listen(struct service *service)
{
	/* systemd's is as systemd made it. */
	int err = listener_prepare(service->listener);

	if (err)
		return err;
	/* Taken from until it is empty; systemd's may wait then. */
	if (fcntl(service->listener, F_SETFL, O_NONBLOCK))
		return -errno;
	err = sd_event_add_io(service->event, &service->door, service->listener, EPOLLIN,
			      on_connection, service);
	if (err >= 0)
		err = sd_event_add_time_relative(service->event, NULL, CLOCK_MONOTONIC, 500000,
						 100000, on_tick, service);
	return err < 0 ? err : 0;
}

void peers_close(struct service *service)
{
	struct peer *peer, *next;

	LIST_FOREACH_SAFE(peer, &service->peers, link, next)
		peers_drop(peer);
	service->door = sd_event_source_disable_unref(service->door);
}
