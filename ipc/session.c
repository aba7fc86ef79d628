/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <pinion/session.h>

#include "bell.h"
#include "channel.h"
#include "fail.h"
#include "message.h"
#include "peer.h"

/* How long a keeper may take to accept, and then to answer. */
#define PATIENCE_MS 2000

struct pinion_session {
	pid_t pid; /* whose it is: a forked child has a copy, but is no member */
	int socket;
	struct peer_identity keeper;
	struct pinion_pool *pool;
	struct pinion_channel *channel;
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
	if (!setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) &&
	    !connect(*fd, (struct sockaddr *)&address, sizeof(address)))
		return 0;
	if (errno == EAGAIN)
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

/* A keeper that refuses and hangs up before it read our HELLO resets the connection; what it
 * said comes after that. */
static int hear(int fd, struct message *answer, int *files, unsigned *nr_files)
{
	struct message_sender ignored;
	int err;

	*nr_files = MESSAGE_FILES_MAX;
	err = message_recv(fd, answer, files, nr_files, &ignored);
	if (err != -ECONNRESET)
		return err;
	*nr_files = MESSAGE_FILES_MAX;
	return message_recv(fd, answer, files, nr_files, &ignored);
}

/* HELLO, and the WELCOME that answers it. */
static int greet(int fd, struct message *welcome, int *files, unsigned *nr_files)
{
	const struct message hello = {
		.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION, .kind = MESSAGE_HELLO};
	int err = message_send(fd, &hello, NULL, 0);

	/* It may have refused and hung up already: then it said why. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		err = wait_readable(fd);
	if (err == -ETIMEDOUT)
		return pinion_fail(err, "the keeper did not answer within %d ms", PATIENCE_MS);
	if (!err)
		err = hear(fd, welcome, files, nr_files);
	if (err)
		return pinion_fail(-EPROTO, "the keeper hung up, or does not speak this protocol: "
				   "is it of another release?");
	if (welcome->kind == MESSAGE_WELCOME && welcome->nr_segments &&
	    welcome->nr_segments <= PINION_SEGMENT_MAX && *nr_files == welcome->nr_segments + 3)
		return 0;
	message_close_files(files, *nr_files);
	if (welcome->kind == MESSAGE_REFUSED && welcome->value < 0 && welcome->value >= -4095)
		return pinion_fail(welcome->value, "the keeper refused: %s",
				   strerror(-welcome->value));
	return pinion_fail(-EPROTO, "the keeper's answer makes no sense");
}

static int open_pool(struct pinion_session *session, const struct message *welcome,
		     const int *files)
{
	struct pinion_pool_fds fds = {.nr_segments = welcome->nr_segments, .control = files[0]};

	memcpy(fds.segment, &files[1], welcome->nr_segments * sizeof(int));
	return pinion_pool_attach(&fds, welcome->member, &session->pool);
}

/* The files are the pool's from here on, but for the rings', which are only mapped. */
static int open_all(struct pinion_session *session, const struct message *welcome,
		    const int *files)
{
	uint32_t nr = welcome->nr_segments;
	int err = open_pool(session, welcome, files);

	if (err) {
		message_close_files(files, nr + 3);
		return err;
	}
	err = pinion_channel_open(session->pool, files[nr + 1], files[nr + 2], welcome->keeper,
				  &session->channel);
	message_close_files(&files[nr + 1], 2);
	if (!err)
		channel_watch(session->channel, session->keeper.pidfd);
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

static void discard(struct pinion_session *session)
{
	if (session->channel)
		(void)pinion_channel_close(session->channel);
	if (session->pool)
		(void)pinion_pool_detach(session->pool);
	if (session->keeper.pidfd >= 0)
		(void)close(session->keeper.pidfd);
	if (session->socket >= 0)
		(void)close(session->socket);
	free(session);
}

static int join(struct pinion_session *session, const char *path)
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
	err = greet(session->socket, &welcome, files, &nr_files);
	if (!err)
		err = open_all(session, &welcome, files);
	if (!err)
		err = confirm(session->socket, welcome.cookie);
	return err;
}

int pinion_session_open(const char *path, struct pinion_session **out)
{
	KEEP_ERRNO;
	struct pinion_session *session = calloc(1, sizeof(*session));
	int err;

	if (!session)
		return pinion_fail(-ENOMEM, "no memory for a session");
	session->pid = getpid();
	session->keeper.pidfd = -1;
	err = join(session, path);
	if (err) {
		discard(session);
		return err;
	}
	*out = session;
	return 0;
}

int pinion_session_close(struct pinion_session *session)
{
	KEEP_ERRNO;
	const struct message bye = {
		.magic = MESSAGE_MAGIC, .version = MESSAGE_VERSION, .kind = MESSAGE_BYE};

	if (session->pid != getpid()) {
		channel_abandon(session->channel);
		session->channel = NULL;
		discard(session);
		return 0;
	}
	/* Unmapped first: after BYE the keeper gives the member number to somebody else. */
	(void)pinion_channel_close(session->channel);
	(void)pinion_pool_detach(session->pool);
	session->channel = NULL;
	session->pool = NULL;
	(void)message_send(session->socket, &bye, NULL, 0);
	discard(session);
	return 0;
}

struct pinion_pool *pinion_session_pool(const struct pinion_session *session)
{
	return session->pool;
}

struct pinion_channel *pinion_session_channel(const struct pinion_session *session)
{
	return session->channel;
}
