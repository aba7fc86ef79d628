/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pinion/fanin.h>
#include <pinion/session.h>
#include <pinion/wait.h>

#include "channel.h"
#include "dial.h"
#include "fail.h"
#include "membership.h"
#include "message.h"
#include "parcel.h"
#include "peer.h"
#include "pool.h"
#include "ring.h"

struct pinion_session {
	pid_t pid; /* whose it is: a forked child has a copy, but is no member */
	int socket;
	struct peer_identity keeper;
	struct pinion_pool *pool;
	struct pinion_channel *channel;
	struct parcels parcels;
};

/* Files that come with it: control, segments, rings, and perhaps one or two more. */
static unsigned files_of(const struct message *welcome)
{
	return (unsigned)__builtin_popcountll(welcome->segments) + 1 +
	       (unsigned)__builtin_popcount(welcome->rights) +
	       (unsigned)__builtin_popcount((unsigned)welcome->value);
}

/* Do its last files go with its rights? */
static bool ends_well(const struct message *welcome)
{
	if (welcome->value & ~MESSAGE_LAST_BOTH)
		return false;
	if (welcome->value & MESSAGE_LAST_READY && welcome->lane >= PINION_FANIN_LANES)
		return false;
	return welcome->value == MESSAGE_LAST_NONE || welcome->rights & PINION_RIGHT_SEND;
}

/* A WELCOME with the files that it names, and no rights but those that were asked for. */
static bool makes_sense(const struct message *welcome, uint32_t wanted, unsigned nr_files)
{
	if (!wanted)
		wanted = PINION_RIGHT_BOTH;
	return welcome->kind == MESSAGE_WELCOME && welcome->rights &&
	       !(welcome->rights & ~wanted) && nr_files == files_of(welcome) &&
	       ends_well(welcome);
}

/* HELLO, and the WELCOME that answers it. */
static int greet(int fd, const struct pinion_session_config *config, struct message *welcome,
		 int *files, unsigned *nr_files)
{
	const struct message hello = {.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION,
				      .kind = MESSAGE_HELLO, .slots = config->slots,
				      .rights = config->rights};
	struct mail_sender ignored;
	int err = message_send(fd, &hello, NULL, 0);

	/* It may have refused and hung up already: then it said why. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		err = dial_wait(fd);
	if (err == -ETIMEDOUT)
		return pinion_fail(err, "the keeper did not answer within %d ms", DIAL_PATIENCE_MS);
	*nr_files = MESSAGE_FILES_MAX;
	if (!err)
		err = message_recv(fd, welcome, files, nr_files, &ignored);
	if (err == -EPIPE || err == -ECONNRESET || err == -EPROTO)
		return pinion_fail(-EPROTO, "the keeper hung up, or does not speak this protocol: "
				   "is it of another release?");
	if (err)
		return pinion_fail(err, "cannot talk to the keeper: %s", strerror(-err));
	if (makes_sense(welcome, config->rights, *nr_files))
		return 0;
	mail_close_files(files, *nr_files);
	if (welcome->kind == MESSAGE_REFUSED && welcome->value < 0 && welcome->value >= -4095)
		return pinion_fail(welcome->value, "the keeper refused: %s",
				   strerror(-welcome->value));
	return pinion_fail(-EPROTO, "the keeper's answer makes no sense");
}

/* One file that the keeper sent since the last look; -EAGAIN when there are no more. */
static int take_segment(struct pinion_session *session)
{
	struct mail_sender ignored;
	struct message message;
	unsigned nr = 1;
	int file, err = message_recv(session->socket, &message, &file, &nr, &ignored);

	if (err)
		return err;
	if (message.kind != MESSAGE_SEGMENT || message.slot >= PINION_SEGMENT_MAX || nr != 1) {
		mail_close_files(&file, nr);
		return -EPROTO;
	}
	parcels_put(&session->parcels, message.slot, file);
	return 0;
}

/* Files read in one call: more than a keeper has reason to send between two. */
#define FILES_PER_CALL (2 * PINION_SEGMENT_MAX)

/* Will the same call give more some other time? Not after a hang-up, nor in a child, nor what this
 * process could not open. */
static bool may_come(int err)
{
	return err != -EPIPE && err != -ECONNRESET && err != -EPROTO && err != -EMFILE;
}

/* The pool met a segment that it has no file of. */
static int fetch(void *context, uint32_t slot, int *fd)
{
	struct pinion_session *session = context;
	int err = 0;

	if (session->pid != getpid())
		return -EAGAIN;
	for (int i = 0; !err && i < FILES_PER_CALL; i++)
		err = take_segment(session);
	*fd = parcels_take(&session->parcels, slot);
	if (*fd >= 0)
		return 0;
	return err && may_come(err) ? err : -EAGAIN;
}

/* @files: its rings, its tx first, and what comes behind them. */
static int open_channel(struct pinion_session *session, const struct message *welcome,
			const int *files)
{
	int tx = welcome->rights & PINION_RIGHT_SEND ? *files++ : -1;
	int rx = welcome->rights & PINION_RIGHT_RECV ? *files++ : -1;
	int err = pinion_channel_open(session->pool, tx, rx, welcome->keeper, &session->channel);

	if (!err && welcome->value & MESSAGE_LAST_NOTIFY)
		err = pinion_channel_set_notify(session->channel, *files++);
	if (!err && welcome->value & MESSAGE_LAST_READY)
		err = pinion_channel_join(session->channel, *files, welcome->lane);
	if (!err)
		channel_watch(session->channel, session->keeper.pidfd);
	return err;
}

/* The files are the pool's from here on, but for the rings', which are only mapped. */
static int open_all(struct pinion_session *session, const struct message *welcome,
		    const int *files)
{
	const struct membership membership = {.member = welcome->member,
					      .segments = welcome->segments,
					      .fetch = fetch, .context = session};
	const int *rings = &files[membership_nr_files(&membership)];
	int err = membership_open(&membership, files, &session->pool);

	if (err) {
		mail_close_files(files, files_of(welcome));
		return err;
	}
	err = open_channel(session, welcome, rings);
	mail_close_files(rings, files_of(welcome) - (unsigned)(rings - files));
	return err;
}

static int confirm(int fd, uint64_t cookie)
{
	const struct message message = {.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION,
					.kind = MESSAGE_CONFIRM, .cookie = cookie};
	int err = message_send(fd, &message, NULL, 0);

	if (err)
		return pinion_fail(err, "cannot confirm to the keeper: %s", strerror(-err));
	return 0;
}

/* Unmaps: after BYE the keeper gives the member number to somebody else. */
static void let_go(struct pinion_session *session)
{
	if (session->channel)
		(void)pinion_channel_close(session->channel);
	if (session->pool)
		(void)pinion_pool_detach(session->pool);
	session->channel = NULL;
	session->pool = NULL;
	parcels_drop(&session->parcels);
}

/* pre: nothing of the pool is mapped here any more. */
static int say_bye(const struct pinion_session *session)
{
	const struct message bye = {
		.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION, .kind = MESSAGE_BYE};

	return message_send(session->socket, &bye, NULL, 0);
}

/* A forked child has a copy; the member goes on receiving. */
static void close_socket(const struct pinion_session *session)
{
	if (session->pid == getpid())
		mail_hang_up(session->socket);
	else
		(void)close(session->socket);
}

static void discard(struct pinion_session *session)
{
	let_go(session);
	if (session->keeper.pidfd >= 0)
		(void)close(session->keeper.pidfd);
	if (session->socket >= 0)
		close_socket(session);
	free(session);
}

static int join(struct pinion_session *session, const char *path,
		const struct pinion_session_config *config)
{
	int files[MESSAGE_FILES_MAX];
	struct message welcome;
	unsigned nr_files;
	int err = dial_connect(path, &session->socket);

	if (err) {
		session->socket = -1;
		return err;
	}
	err = peer_identify(session->socket, &session->keeper);
	if (err) {
		session->keeper.pidfd = -1;
		return pinion_fail(err, "cannot tell who keeps the pool: %s", strerror(-err));
	}
	err = greet(session->socket, config, &welcome, files, &nr_files);
	if (!err)
		err = open_all(session, &welcome, files);
	if (!err)
		err = confirm(session->socket, welcome.cookie);
	return err;
}

static int check_config(const struct pinion_session_config *config)
{
	if (config->rights & ~PINION_RIGHT_BOTH)
		return pinion_fail(-EINVAL, "there are no rights %#x", config->rights);
	return config->slots ? ring_check_slots(config->slots) : 0;
}

int pinion_session_open_with(const char *path, const struct pinion_session_config *config,
			     struct pinion_session **out)
{
	KEEP_ERRNO;
	static const struct pinion_session_config defaults;
	struct pinion_session *session;
	int err;

	if (!config)
		config = &defaults;
	err = check_config(config);
	if (err)
		return err;
	session = calloc(1, sizeof(*session));
	if (!session)
		return pinion_fail(-ENOMEM, "no memory for a session");
	session->pid = getpid();
	session->keeper.pidfd = -1;
	parcels_init(&session->parcels);
	err = join(session, path, config);
	if (err) {
		/* The keeper may have admitted us already: without a word it could not know that
		 * the slot is free before this process ends. Whether that word arrives changes
		 * nothing for the caller. */
		let_go(session);
		if (session->socket >= 0)
			(void)say_bye(session);
		discard(session);
		return err;
	}
	*out = session;
	return 0;
}

int pinion_session_open(const char *path, struct pinion_session **session)
{
	return pinion_session_open_with(path, NULL, session);
}

int pinion_session_close(struct pinion_session *session)
{
	KEEP_ERRNO;
	int err;

	if (session->pid != getpid()) {
		channel_abandon(session->channel);
		session->channel = NULL;
		discard(session);
		return 0;
	}
	let_go(session);
	err = say_bye(session);
	discard(session);
	/* One that is gone itself need not be told. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		return 0;
	return pinion_fail(err, "cannot tell the keeper that this process leaves: %s (it keeps the "
			   "slot, and what this process held, until the process ends)",
			   strerror(-err));
}

struct pinion_pool *pinion_session_pool(const struct pinion_session *session)
{
	return session->pool;
}

struct pinion_channel *pinion_session_channel(const struct pinion_session *session)
{
	return session->channel;
}
