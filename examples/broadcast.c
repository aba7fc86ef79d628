/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One producer lends the same buffers to three readers at once, without a copy. One of them stops
 * reading and holds everybody up; it is killed, its loans come back, and the rest goes on. The
 * first reader sleeps in a loop of descriptors, the others call wait().
 *
 *     cc broadcast.c $(pkg-config --cflags --libs pinion) -o broadcast
 *     sudo hugepages reserve 0:2M && ./broadcast    or: ./broadcast --page-size 4k
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"
#include "files.h"

#define READERS 3
#define SLOTS 16
#define FRAMES 1000
#define LOOPS 0 /* this one sleeps in a loop */
#define STUCK 2 /* this one reads ten, and then no more */

struct reader {
	pid_t pid;
	uint32_t member, number;
	int seat, socket[2]; /* the producer's end, and its own */
};

/* Readable from the moment of the death on. */
static int open_process(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		err(1, "pidfd_open");
	return fd;
}

/* A reader's process. The producer has made the seat ready, and gets what wakes a loop. */
static struct pinion_seat *sit_down(struct pinion_pool *pool, int ring, const struct reader *self)
{
	struct pinion_seat *seat;
	char byte;
	int wake;

	if (read(self->socket[1], &byte, 1) != 1)
		errx(1, "the producer has ended");
	must(pinion_broadcast_join(pool, ring, self->seat, 0, &seat));
	wake = pinion_broadcast_notify_fd(seat);
	must(wake);
	send_files(self->socket[1], "", 1, &wake, 1);
	return seat;
}

/* A seat does not tell of the producer's death: its pidfd does. */
static void sleep_a_little(struct pinion_seat *seat, int producer)
{
	struct pollfd death = {.fd = producer, .events = POLLIN};

	if (pinion_broadcast_wait(seat, 1000000000) == -ETIMEDOUT && poll(&death, 1, 0))
		errx(1, "the producer is dead");
}

/* With whatever else the loop has: here that pidfd. */
static void sleep_in_loop(struct pinion_seat *seat, int producer)
{
	struct pollfd fd[] = {{.fd = pinion_broadcast_fd(seat), .events = POLLIN},
			      {.fd = producer, .events = POLLIN}};

	if (!pinion_broadcast_prepare(seat)) /* nothing came meanwhile */
		poll(fd, 2, -1);
	if (fd[1].revents)
		errx(1, "the producer is dead");
	must(pinion_broadcast_done(seat));
}

static int read_frames(struct pinion_pool *pool, int ring, const struct reader *self, int which,
		       int producer)
{
	struct pinion_seat *seat;
	struct pinion_desc desc;
	uint32_t nr = 0;
	int got;

	must(pinion_pool_become(pool, self->member));
	seat = sit_down(pool, ring, self);
	while ((got = pinion_broadcast_recv(seat, &desc, 1)) != -EPIPE) {
		if (got == -EAGAIN) {
			if (which == LOOPS)
				sleep_in_loop(seat, producer);
			else
				sleep_a_little(seat, producer);
			continue;
		}
		expect(got == 1 && desc.tag == nr, "in order");
		expect(*(uint32_t *)pinion_buffer_addr(pool, desc.buffer) == nr, "as written");
		if (++nr == 10 && which == STUCK)
			pause();
		must(pinion_broadcast_return(seat, 1)); /* from here on it may change */
	}
	must(pinion_broadcast_leave(seat));
	pinion_pool_detach(pool);
	return nr != FRAMES;
}

/* Forked before the ring is opened, so as not to inherit the producer's mapping. Those that are not
 * trusted get the files over a socket (share.c), after that. */
static void start(struct pinion_pool *pool, int ring, struct reader *reader, int which)
{
	const int self = open_process(getpid());

	must(pinion_pool_admit(pool, 0, &reader->member));
	must(pinion_broadcast_create_seat(&reader->seat));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, reader->socket))
		err(1, "socketpair");
	fflush(stdout);
	reader->pid = fork();
	if (!reader->pid) {
		close(reader->socket[0]);
		exit(read_frames(pool, ring, reader, which, self));
	}
	close(self);
	close(reader->socket[1]);
}

static void let_in(struct pinion_broadcast *broadcast, struct reader *reader)
{
	int wake[FILES_MAX];
	char byte;

	must(pinion_broadcast_admit(broadcast, reader->seat, &reader->number));
	if (write(reader->socket[0], "", 1) != 1)
		err(1, "write");
	receive_files(reader->socket[0], &byte, 1, wake);
	must(pinion_broadcast_set_notify(broadcast, reader->number, wake[0]));
	close(wake[0]);
}

static void await_death(pid_t pid)
{
	struct pollfd death = {.fd = open_process(pid), .events = POLLIN};

	if (poll(&death, 1, 10000) != 1)
		errx(1, "no death was told of");
	close(death.fd);
}

static void get_rid_of(struct pinion_broadcast *broadcast, struct reader *reader)
{
	printf("member %u keeps %d buffers, and everybody waits\n", reader->member,
	       pinion_broadcast_lag(broadcast, reader->number));
	kill(reader->pid, SIGKILL);
	await_death(reader->pid);
	must(pinion_broadcast_sever(broadcast, reader->number));
	printf("member %u is dead, and its loans are back\n", reader->member);
}

/* What all have returned is free; how many that were. */
static int collect(struct pinion_broadcast *broadcast, struct pinion_cache *cache)
{
	struct pinion_buffer buffer[SLOTS];
	int got = pinion_broadcast_collect(broadcast, buffer, SLOTS);

	for (int i = 0; i < got; i++)
		must(pinion_buffer_free(cache, buffer[i]));
	return got;
}

static void send_frames(struct pinion_broadcast *broadcast, struct pinion_pool *pool,
			struct pinion_cache *cache, struct reader *stuck)
{
	struct pinion_desc desc = {.len = 4};

	for (uint32_t i = 0; i < FRAMES; i++) {
		must(pinion_buffer_alloc(cache, &desc.buffer));
		*(uint32_t *)pinion_buffer_addr(pool, desc.buffer) = i;
		desc.tag = i;
		while (pinion_broadcast_send(broadcast, &desc, 1) == -EAGAIN) {
			if (collect(broadcast, cache) > 0)
				continue;
			/* A program would give a slow reader some time. */
			if (pinion_broadcast_lag(broadcast, stuck->number) == SLOTS && i > SLOTS)
				get_rid_of(broadcast, stuck);
			usleep(100);
		}
	}
	pinion_broadcast_end(broadcast);
	while (collect(broadcast, cache)) /* 0: none is out */
		usleep(100);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct reader reader[READERS];
	struct pinion_broadcast *broadcast;
	struct pinion_cache *cache;
	struct pinion_zone_stat stat;
	struct pinion_pool *pool;
	int ring, status, failed = 0;

	must(pinion_pool_create(&config, &pool));
	must(pinion_broadcast_create(SLOTS, &ring));
	for (int i = 0; i < READERS; i++)
		start(pool, ring, &reader[i], i);
	must(pinion_broadcast_open(pool, ring, &broadcast));
	for (int i = 0; i < READERS; i++)
		let_in(broadcast, &reader[i]);
	must(pinion_cache_open(pool, &want, &cache));
	send_frames(broadcast, pool, cache, &reader[STUCK]);

	pinion_broadcast_close(broadcast);
	for (int i = 0; i < READERS; i++) {
		waitpid(reader[i].pid, &status, 0);
		failed |= i != STUCK && status;
		must(pinion_pool_release(pool, reader[i].member, NULL));
	}
	pinion_cache_close(cache);
	must(pinion_pool_stat(pool, 0, &stat));
	printf("%d frames read by the others; %u of %u buffers are free\n", FRAMES, stat.free,
	       stat.total);
	expect(!failed && stat.free == stat.total, "all was read, and all is back");
	pinion_pool_destroy(pool);
	return 0;
}
