/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admit: a client attaches to a pool of piniond, and leaves; microseconds for the first.
 *
 *     pinion   pinion_client_open(): who is it, may it, a member number, the ledger, the mappings
 *     bare     connect() to a process that sends as many files and knows nothing: the limit
 *
 * handback: a client that holds 100,000 buffers is killed; milliseconds until all are free.
 *
 *     pinion   from kill() to the last one
 *     bare     from kill() to its pidfd: what the kernel takes, and nobody can do before that
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/client.h>

#include "pool.h"

#define HELD 100000u
#define BUFFER_SIZE 256u
#define WHAT "pool:bench"

static pid_t service = -1;
static char folder[] = "/tmp/pinion-bench-XXXXXX", path[64], config_path[64];

static void end_service(void)
{
	if (service > 0 && !kill(service, SIGTERM))
		(void)waitpid(service, NULL, 0);
	(void)unlink(config_path);
	(void)unlink(path);
	(void)rmdir(folder);
}

static void write_config(const struct bench *b)
{
	FILE *file;

	if (!mkdtemp(folder))
		bench_die("%s: %s", folder, strerror(errno));
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	(void)snprintf(config_path, sizeof(config_path), "%s/conf", folder);
	file = fopen(config_path, "w");
	if (!file)
		bench_die("%s: %s", config_path, strerror(errno));
	fprintf(file, "socket = \"%s\";\n"
		"pools = ( { name = \"bench\"; segments = ( { size = \"32M\"; buffer = \"%u\";"
		" page = \"%s\"; } ); } );\n"
		"rules = ( { user = \"*\"; pools = [ \"*\" ]; } );\n", path, BUFFER_SIZE,
		b->huge ? "2M" : "4k");
	(void)fclose(file);
	(void)setenv("PINION_SOCKET", path, 1);
}

static void start_service(const struct bench *b)
{
	struct pinion_client *client;

	write_config(b);
	(void)atexit(end_service);
	service = fork();
	if (!service) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)freopen("/dev/null", "w", stderr);
		execl(PINIOND, "piniond", "--config", config_path, (char *)NULL);
		_exit(127);
	}
	for (int tries = 0; pinion_client_open(WHAT, NULL, &client); tries++) {
		if (tries > 500)
			bench_skip("piniond does not start");
		(void)usleep(10000);
	}
	(void)pinion_client_close(client);
}

static void run_admit(struct bench *b)
{
	start_service(b);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();
		struct pinion_client *client;

		bench_check(pinion_client_open(WHAT, NULL, &client));
		bench_sample(b, (double)(bench_now_ns() - start) / 1000);
		bench_check(pinion_client_close(client));
	}
}

/* Sends its standard files to whoever connects, until it is killed. */
static void pass_files(int listener)
{
	static const int files[] = {0, 1, 2};
	union {
		char room[CMSG_SPACE(sizeof(files))];
		struct cmsghdr align;
	} control = {{0}};

	for (;;) {
		char byte = 0;
		struct iovec iov = {&byte, 1};
		struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
					 .msg_controllen = sizeof(control)};
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		int fd = accept(listener, NULL, NULL);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(files));
		memcpy(CMSG_DATA(header), files, sizeof(files));
		(void)sendmsg(fd, &message, MSG_NOSIGNAL);
		(void)close(fd);
	}
}

static void take_files(int fd)
{
	union {
		char room[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int files[3];

	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != 1)
		bench_die("recvmsg: %s", strerror(errno));
	memcpy(files, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(files));
	for (int i = 0; i < 3; i++)
		(void)close(files[i]);
}

static int socket_at(struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_die("socket: %s", strerror(errno));
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)strcpy(address->sun_path, path);
	return fd;
}

static void run_bare(struct bench *b)
{
	struct sockaddr_un address;
	int listener;

	write_config(b);
	(void)atexit(end_service);
	listener = socket_at(&address);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 16))
		bench_die("%s: %s", path, strerror(errno));
	service = fork();
	if (!service) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		pass_files(listener);
	}
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();
		int fd = socket_at(&address);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			bench_die("connect: %s", strerror(errno));
		take_files(fd);
		bench_sample(b, (double)(bench_now_ns() - start) / 1000);
		(void)close(fd);
	}
}

/* The hand-back. */

/* Between two looks. Each reads all words of the pool, and takes their lines from who is writing
 * them at that moment: without a pause most of what is measured is the measuring. */
#define LOOK_US 100

/* A client that holds many, says which member it is, and waits. */
static void hold(int out)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER_SIZE,
						.node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_buffer buffer;
	uint32_t member;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	bench_check(pinion_client_open(WHAT, NULL, &client));
	bench_check(pinion_cache_open(pinion_client_pool(client), &any, &cache));
	for (uint32_t i = 0; i < HELD; i++)
		bench_check(pinion_buffer_alloc(cache, &buffer));
	member = pinion_pool_member(pinion_client_pool(client));
	if (write(out, &member, sizeof(member)) != sizeof(member))
		_exit(1);
	for (;;)
		(void)pause();
}

static pid_t start_holder(uint32_t *member)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		bench_die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid)
		hold(ends[1]);
	(void)close(ends[1]);
	if (read(ends[0], member, sizeof(*member)) != sizeof(*member))
		bench_die("a client failed");
	(void)close(ends[0]);
	return pid;
}

static void await_handback(const struct pinion_pool *pool, uint32_t member)
{
	while (pinion_pool_held(pool, member))
		(void)usleep(LOOK_US);
}

static void run_handback(struct bench *b)
{
	struct pinion_client *client;
	struct pinion_pool *pool;

	start_service(b);
	bench_check(pinion_client_open(WHAT, NULL, &client));
	pool = pinion_client_pool(client);
	while (bench_more(b)) {
		uint32_t member;
		pid_t pid = start_holder(&member);
		struct pollfd gone = {.fd = pidfd_open(pid, 0), .events = POLLIN};
		uint64_t start = bench_now_ns();

		(void)kill(pid, SIGKILL);
		if (b->is->arg)
			(void)poll(&gone, 1, -1);
		else
			await_handback(pool, member);
		bench_sample(b, (double)(bench_now_ns() - start) / 1e6);
		(void)waitpid(pid, NULL, 0);
		(void)close(gone.fd);
		await_handback(pool, member);
	}
	(void)pinion_client_close(client);
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"admit", "pinion", "us", run_admit, 0},
		{"admit", "bare", "us", run_bare, 0},
		{"handback", "pinion", "ms", run_handback, 0},
		{"handback", "bare", "ms", run_handback, 1},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
