/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Share a pool with a process that has nothing of it yet, without sessions: admit it, send it the
 * files over a Unix socket, and it attaches.
 *
 *     cc share.c $(pkg-config --cflags --libs pinion) -o share
 *     sudo hugepages reserve 0:2M && ./share        or: ./share --page-size 4k
 */
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

/* What goes along with the files. Of fds only the -1s mean anything in the other process. */
struct invitation {
	uint32_t member;
	struct pinion_pool_fds fds;
};

static void invite(struct pinion_pool *pool, pid_t pid, int socket)
{
	struct invitation invitation;
	int fd[FILES_MAX];
	uint32_t nr = 0;

	must(pinion_pool_admit(pool, pid, &invitation.member));
	pinion_pool_export(pool, &invitation.fds);
	fd[nr++] = invitation.fds.control;
	for (uint32_t i = 0; i < invitation.fds.nr_segments; i++)
		if (invitation.fds.segment[i] >= 0)
			fd[nr++] = invitation.fds.segment[i];
	send_files(socket, &invitation, sizeof(invitation), fd, nr);
}

static struct pinion_pool *join(int socket)
{
	struct invitation invitation;
	struct pinion_pool *pool;
	int fd[FILES_MAX];
	uint32_t nr = receive_files(socket, &invitation, sizeof(invitation), fd), next = 0;

	invitation.fds.control = fd[next++];
	for (uint32_t i = 0; i < PINION_SEGMENT_MAX; i++)
		if (i < invitation.fds.nr_segments && invitation.fds.segment[i] >= 0 && next < nr)
			invitation.fds.segment[i] = fd[next++];
		else
			invitation.fds.segment[i] = -1;
	must(pinion_pool_attach(&invitation.fds, invitation.member, &pool));
	return pool; /* it owns the files now */
}

/* The other process, a program started anew: it knows a socket and nothing else. */
static int write_something(int socket)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_pool *pool = join(socket);
	struct pinion_buffer buffer;
	struct pinion_cache *cache;

	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	snprintf(pinion_buffer_addr(pool, buffer), 4096, "written by member %u, where it is at %p",
		 pinion_pool_member(pool), pinion_buffer_addr(pool, buffer));
	if (send(socket, &buffer, sizeof(buffer), 0) != sizeof(buffer))
		err(1, "send");
	pinion_cache_close(cache);
	pinion_pool_detach(pool); /* it goes on holding the buffer until the keeper releases it */
	return 0;
}

/* With one end of the socket; with both, it would not see our end, should we fail. */
static pid_t start(const char *program, int socket, int ours)
{
	pid_t pid = fork();
	char number[16];

	if (pid)
		return pid;
	close(ours);
	snprintf(number, sizeof(number), "%d", socket);
	execl("/proc/self/exe", program, "--join", number, (char *)NULL);
	err(1, "execl");
}

static void read_it(struct pinion_pool *pool, int socket)
{
	struct pollfd said = {.fd = socket, .events = POLLIN};
	struct pinion_buffer buffer;

	/* It sends and exits. recv(2) looks for a message and then for the end: were it to wait,
	 * and both came in between, it would tell the end alone. */
	if (poll(&said, 1, -1) != 1)
		err(1, "poll");
	if (recv(socket, &buffer, sizeof(buffer), 0) != sizeof(buffer))
		errx(1, "the other process did not write");
	/* A handle from another process is a claim: look before using it as an index. */
	expect(pinion_view_has(pinion_pool_view(pool), pinion_buffer_id(buffer)), "such a buffer");
	printf("buffer %u, here at %p: %.99s\n", pinion_buffer_id(buffer),
	       pinion_buffer_addr(pool, buffer), (char *)pinion_buffer_addr(pool, buffer));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--join"))
		return write_something(atoi(argv[2]));

	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_recovery report;
	struct pinion_pool *pool;
	int end[2], status;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, end))
		err(1, "socketpair");
	pid = start(argv[0], end[1], end[0]);
	close(end[1]);
	must(pinion_pool_create(&config, &pool));
	invite(pool, pid, end[0]);
	read_it(pool, end[0]);
	wait(&status);
	must(pinion_pool_release(pool, 1, &report));
	printf("member 1 has left; %u buffer came back\n", report.returned);
	expect(report.returned == 1, "the one that it held");
	pinion_pool_destroy(pool);
	return status != 0;
}
