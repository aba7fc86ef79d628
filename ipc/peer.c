/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"

/* include/uapi/asm-generic/socket.h, from Linux 6.5. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* By pid, which may be another's by now: who acts for another user than the one that connected is
 * not that one. (If the pid changes hands after this was opened, peer_is_sender() sees it.) */
static int open_by_pid(const struct ucred *credentials)
{
	const int pidfd = pidfd_open(credentials->pid, 0);
	uid_t uid;

	if (pidfd < 0)
		return -errno;
	if (process_user(credentials->pid, &uid) && uid == credentials->uid)
		return pidfd;
	(void)close(pidfd);
	return -ESRCH;
}

/* The kernel's own pidfd of the process that connected, where it has it. Elsewhere one is opened
 * by pid, and the caller must see a message from that pid afterwards before it believes it. */
static int open_pidfd(int socket, const struct ucred *credentials)
{
	int pidfd;
	socklen_t len = sizeof(pidfd);

	if (!getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		return pidfd;
	return errno == ENOPROTOOPT ? open_by_pid(credentials) : -errno;
}

int peer_identify(int socket, struct peer_identity *identity)
{
	struct ucred credentials;
	socklen_t len = sizeof(credentials);
	int pidfd;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &len))
		return -errno;
	pidfd = open_pidfd(socket, &credentials);
	if (pidfd < 0)
		return pidfd;
	*identity = (struct peer_identity){
		.pid = credentials.pid,
		.uid = credentials.uid,
		.gid = credentials.gid,
		.pidfd = pidfd,
	};
	return 0;
}

bool peer_is_alive(int pidfd)
{
	struct pollfd want = {.fd = pidfd, .events = POLLIN};
	int ended;

	/* A signal interrupts it even though it does not wait. */
	do
		ended = poll(&want, 1, 0);
	while (ended < 0 && errno == EINTR);
	return ended == 0;
}

bool peer_is_sender(const struct peer_identity *identity, pid_t sender)
{
	bool gone;
	int now;

	if (sender != identity->pid)
		return false;
	if (peer_is_alive(identity->pidfd))
		return true;
	now = pidfd_open(sender, 0);
	if (now < 0)
		return errno == ESRCH;
	gone = !peer_is_alive(now);
	(void)close(now);
	return gone;
}
