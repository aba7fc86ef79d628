/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <pinion/fanin.h>
#include <pinion/session.h>
#include <pinion/wait.h>

#include "bell.h"
#include "channel.h"
#include "fail.h"
#include "message.h"
#include "peer.h"
#include "pool.h"
#include "ring.h"

/* How long a keeper may take to accept, and then to answer. */
#define PATIENCE_MS 2000

struct pinion_session {
	pid_t pid; /* whose it is: a forked child has a copy, but is no member */
	int socket;
	struct peer_identity keeper;
	struct pinion_pool *pool;
	struct pinion_channel *channel;
	int came[PINION_SEGMENT_MAX]; /* by slot: files of segments not yet asked for; -1: none */
};

static int connect_to(const char *path, int *fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int err;

	if (strlen(path) >= sizeof(address.sun_path))
		return pinion_fail(-ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
				   sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	*fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return pinion_fail(-errno, "no socket: %s", strerror(errno));
	/* A keeper that does not accept would block connect() without end. */
	if (setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)))
		err = pinion_fail(-errno, "cannot limit the time of a connection: %s",
				  strerror(errno));
	else if (!connect(*fd, (struct sockaddr *)&address, sizeof(address)))
		return 0;
	else if (errno == EAGAIN)
		err = pinion_fail(-ETIMEDOUT, "%s: the keeper does not accept connections", path);
	else
		err = pinion_fail(-errno, "%s: %s (is a keeper running there?)", path,
				  strerror(errno));
	(void)close(*fd);
	return err;
}

static int wait_readable(int fd)
{
	uint64_t now = bell_now_ns(), deadline = now + PATIENCE_MS * UINT64_C(1000000);
	struct pollfd want = {.fd = fd, .events = POLLIN};

	for (; now < deadline; now = bell_now_ns()) {
		int ready = poll(&want, 1, (int)((deadline - now) / 1000000) + 1);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
	return -ETIMEDOUT;
}

/* Files that come with it: control, segments, rings, and perhaps one more. */
static unsigned files_of(const struct message *welcome)
{
	return (unsigned)__builtin_popcountll(welcome->segments) + 1 +
	       (unsigned)__builtin_popcount(welcome->rights) +
	       (welcome->value != MESSAGE_LAST_RING);
}

/* Is its last file one that goes with its rights? */
static bool ends_well(const struct message *welcome)
{
	switch (welcome->value) {
	case MESSAGE_LAST_RING:
		return true;
	case MESSAGE_LAST_NOTIFY:
		return welcome->rights & PINION_RIGHT_SEND;
	case MESSAGE_LAST_READY:
		return welcome->rights & PINION_RIGHT_SEND && welcome->lane < PINION_FANIN_LANES;
	default:
		return false;
	}
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
	struct message_sender ignored;
	int err = message_send(fd, &hello, NULL, 0);

	/* It may have refused and hung up already: then it said why. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		err = wait_readable(fd);
	if (err == -ETIMEDOUT)
		return pinion_fail(err, "the keeper did not answer within %d ms", PATIENCE_MS);
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
	message_close_files(files, *nr_files);
	if (welcome->kind == MESSAGE_REFUSED && welcome->value < 0 && welcome->value >= -4095)
		return pinion_fail(welcome->value, "the keeper refused: %s",
				   strerror(-welcome->value));
	return pinion_fail(-EPROTO, "the keeper's answer makes no sense");
}

/* One file that the keeper sent since the last look; -EAGAIN when there are no more. Of two for one
 * slot the later counts: the segment of the first is gone. */
static int take_segment(struct pinion_session *session)
{
	struct message_sender ignored;
	struct message message;
	unsigned nr = 1;
	int file, err = message_recv(session->socket, &message, &file, &nr, &ignored);

	if (err)
		return err;
	if (message.kind != MESSAGE_SEGMENT || message.slot >= PINION_SEGMENT_MAX || nr != 1) {
		message_close_files(&file, nr);
		return -EPROTO;
	}
	if (session->came[message.slot] >= 0)
		(void)close(session->came[message.slot]);
	session->came[message.slot] = file;
	return 0;
}

/* Files read in one call: more than a keeper has reason to send between two. */
#define FILES_PER_CALL (2 * PINION_SEGMENT_MAX)

/* Will the same call give more some other time? Not after a hang-up, nor in a child. */
static bool may_come(int err)
{
	return err != -EPIPE && err != -ECONNRESET && err != -EPROTO;
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
	*fd = session->came[slot];
	session->came[slot] = -1;
	if (*fd >= 0)
		return 0;
	return err && may_come(err) ? err : -EAGAIN;
}

static int open_pool(struct pinion_session *session, const struct message *welcome,
		     const int *files)
{
	struct pinion_pool_fds fds = {.nr_segments = PINION_SEGMENT_MAX, .control = files[0]};
	unsigned next = 1;

	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		fds.segment[i] = welcome->segments >> i & 1 ? files[next++] : -1;
	return pinion_pool_attach(&fds, welcome->member, &session->pool);
}

/* @files: its rings, its tx first, and what comes behind them. */
static int open_channel(struct pinion_session *session, const struct message *welcome,
			const int *files)
{
	int tx = welcome->rights & PINION_RIGHT_SEND ? *files++ : -1;
	int rx = welcome->rights & PINION_RIGHT_RECV ? *files++ : -1;
	int err = pinion_channel_open(session->pool, tx, rx, welcome->keeper, &session->channel);

	if (!err && welcome->value == MESSAGE_LAST_NOTIFY)
		err = pinion_channel_set_notify(session->channel, *files);
	if (!err && welcome->value == MESSAGE_LAST_READY)
		err = pinion_channel_join(session->channel, *files, welcome->lane);
	if (!err)
		channel_watch(session->channel, session->keeper.pidfd);
	return err;
}

/* The files are the pool's from here on, but for the rings', which are only mapped. */
static int open_all(struct pinion_session *session, const struct message *welcome,
		    const int *files)
{
	const int *rings = &files[1 + __builtin_popcountll(welcome->segments)];
	int err = open_pool(session, welcome, files);

	if (err) {
		message_close_files(files, files_of(welcome));
		return err;
	}
	session->pool->fetch = fetch;
	session->pool->fetch_context = session;
	err = open_channel(session, welcome, rings);
	message_close_files(rings, files_of(welcome) - (unsigned)(rings - files));
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
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++) {
		if (session->came[i] >= 0)
			(void)close(session->came[i]);
		session->came[i] = -1;
	}
}

/* pre: nothing of the pool is mapped here any more. */
static int say_bye(const struct pinion_session *session)
{
	const struct message bye = {
		.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION, .kind = MESSAGE_BYE};

	return message_send(session->socket, &bye, NULL, 0);
}

static void discard(struct pinion_session *session)
{
	let_go(session);
	if (session->keeper.pidfd >= 0)
		(void)close(session->keeper.pidfd);
	if (session->socket >= 0)
		(void)close(session->socket);
	free(session);
}

static int join(struct pinion_session *session, const char *path,
		const struct pinion_session_config *config)
{
	int files[MESSAGE_FILES_MAX];
	struct message welcome;
	unsigned nr_files;
	int err = connect_to(path, &session->socket);

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
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		session->came[i] = -1;
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
