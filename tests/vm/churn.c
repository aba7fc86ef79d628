/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * churn DEVICE NUMBER [written]: a client that never rests, and knows what belongs where: it writes
 * its part of the drive, the NUMBER-th, then reads all of it, then writes and reads at random,
 * always the same bytes to the same place, and compares all that it reads. When the device process
 * leaves, it settles, attaches again as soon as there is another, and begins with reading it all.
 * The service may come and go, but it must know this client when it is back.
 * `written`: an earlier one of the same NUMBER has written it all.
 *
 * Lines on standard output: "attached", "written", and "verified" whenever everything was read.
 * Ends with SIGTERM: exit status 0. 1: the drive holds something else, or refused, or the service
 * lost this client; 3: it could not go on.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pinion/cache.h>
#include <pinion/client.h>
#include <pinion/error.h>

#include "nvme_wire.h"

#define CANNOT 3
#define DEPTH 16
#define CHUNKS 32
#define BLOCK 512
#define PATIENCE_MS 60000
#define RETRY_MS 50

enum phase { WRITE_ALL, READ_ALL, RANDOM };

static struct pinion_client *client;
static struct pinion_cache *cache;
static struct op {
	bool busy, writes;
	uint32_t id, chunk;
} op[DEPTH];
static uint32_t number, nr_busy, next_chunk;
static enum phase phase;
static bool written, left; /* left: the device process, as the service says */
static volatile sig_atomic_t stopped;

static void on_term(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t *words(struct pinion_buffer buffer, size_t *nr)
{
	*nr = cache->buffer_size / sizeof(uint64_t);
	return pinion_buffer_addr(pinion_client_pool(client), buffer);
}

static uint64_t content(uint32_t chunk, size_t word)
{
	uint64_t place = ((uint64_t)number << 16 | chunk) << 32 | word;

	return (place + 1) * UINT64_C(0xd1342543de82ef95);
}

static void compare(uint32_t chunk, struct pinion_buffer buffer)
{
	size_t nr;
	const uint64_t *word = words(buffer, &nr);

	for (size_t i = 0; i < nr; ++i)
		if (word[i] != content(chunk, i))
			errx(1, "client %u, chunk %u, word %zu: 0x%" PRIx64 " is on the drive, "
			     "and not 0x%" PRIx64, number, chunk, i, word[i], content(chunk, i));
}

static bool is_busy(uint32_t chunk)
{
	for (uint32_t i = 0; i < DEPTH; ++i)
		if (op[i].busy && op[i].chunk == chunk)
			return true;
	return false;
}

/* False: nothing is to be begun at the moment. */
static bool choose(struct op *next)
{
	next->writes = phase == WRITE_ALL || (phase == RANDOM && rand() % 2);
	next->chunk = phase == RANDOM ? (uint32_t)rand() % CHUNKS : next_chunk;
	if (next->chunk >= CHUNKS || is_busy(next->chunk))
		return false;
	next_chunk += phase != RANDOM;
	return true;
}

/* 0, or what send says. */
static int send_op(struct op *next, struct pinion_buffer buffer)
{
	const uint32_t blocks = (uint32_t)(cache->buffer_size / BLOCK);
	struct pinion_desc desc = {.buffer = buffer, .len = (uint32_t)cache->buffer_size};
	uint64_t *word;
	size_t nr;
	int sent;

	word = words(buffer, &nr);
	for (size_t i = 0; i < nr; ++i)
		word[i] = next->writes ? content(next->chunk, i) : 0;
	desc.tag = nvme_wire_tag(next->writes ? NVME_WIRE_WRITE : NVME_WIRE_READ,
				 (number * CHUNKS + next->chunk) * blocks);
	sent = pinion_channel_send(pinion_client_channel(client), &desc, 1);
	if (sent < 0) {
		(void)pinion_buffer_free(cache, buffer);
		return sent;
	}
	next->busy = true;
	next->id = pinion_buffer_id(buffer);
	++nr_busy;
	return 0;
}

/* As much as there are buffers for: others may have them all for a while. */
static int fill_window(void)
{
	struct pinion_buffer buffer;
	int err = 0;

	for (uint32_t i = 0; !err && i < DEPTH; ++i) {
		struct op next = {0};

		if (op[i].busy)
			continue;
		if (pinion_buffer_alloc(cache, &buffer))
			break;
		if (!choose(&next)) {
			(void)pinion_buffer_free(cache, buffer);
			break;
		}
		err = send_op(&next, buffer);
		op[i] = next;
	}
	return err;
}

static void finish_op(const struct pinion_desc *desc)
{
	struct op *it = op;

	while (it < op + DEPTH && !(it->busy && it->id == pinion_buffer_id(desc->buffer)))
		++it;
	if (it == op + DEPTH)
		errx(CANNOT, "an answer to nothing");
	if (desc->tag)
		errx(1, "the drive refused: status 0x%" PRIx32, desc->tag);
	if (!it->writes)
		compare(it->chunk, desc->buffer);
	it->busy = false;
	--nr_busy;
}

static void begin(enum phase next)
{
	phase = next;
	next_chunk = 0;
}

static void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

static void change_phase(void)
{
	if (phase == RANDOM || nr_busy || next_chunk < CHUNKS)
		return;
	if (phase == WRITE_ALL) {
		written = true;
		say("written");
		begin(READ_ALL);
	} else {
		say("verified");
		begin(RANDOM);
	}
}

static void hear(void)
{
	struct pinion_client_event event;

	while (pinion_client_next(client, &event) == 1) {
		if (event.kind == PINION_CLIENT_EXPELLED)
			errx(1, "the service does not know this client any more");
		left |= event.kind == PINION_CLIENT_DEVICE_LEFT;
	}
}

/* 0, or -EPIPE. */
static int step(void)
{
	struct pinion_channel *channel = pinion_client_channel(client);
	struct pinion_desc desc[DEPTH];
	int err = fill_window(), got;

	if (err && err != -EAGAIN)
		return err;
	(void)pinion_channel_wait(channel, UINT64_C(20000000));
	hear();
	got = pinion_channel_recv(channel, desc, DEPTH);
	for (int i = 0; i < got; ++i) {
		finish_op(&desc[i]);
		(void)pinion_buffer_free(cache, desc[i].buffer);
	}
	change_phase();
	return got < 0 && got != -EAGAIN ? got : 0;
}

/* No device process; or no service: one that was killed before it answered, one that has just bound
 * its socket, and is about to open it to all. */
static bool passes(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -EPROTO || err == -ETIMEDOUT ||
	       err == -EACCES;
}

static void attach(const char *device)
{
	const struct pinion_cache_config config = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	int err = -ENOENT;

	for (int ms = 0; passes(err) && ms < PATIENCE_MS && !stopped; ms += RETRY_MS) {
		err = pinion_client_open(device, NULL, &client);
		if (err)
			usleep(RETRY_MS * 1000);
	}
	if (stopped)
		exit(0);
	if (err || pinion_cache_open(pinion_client_pool(client), &config, &cache))
		errx(CANNOT, "%s", pinion_error_text());
	say("attached");
	begin(written ? READ_ALL : WRITE_ALL);
}

static void await_news(void)
{
	struct pollfd news = {.fd = pinion_client_fd(client), .events = POLLIN};

	for (hear(); !left; hear())
		if (poll(&news, 1, PATIENCE_MS) < 1)
			errx(CANNOT, "the channel is closed, and nobody says why");
}

static void settle(void)
{
	struct pinion_desc desc;

	await_news();
	while (pinion_channel_recv(pinion_client_channel(client), &desc, 1) == 1)
		(void)pinion_buffer_free(cache, desc.buffer);
	if (pinion_client_settle(client, cache))
		errx(CANNOT, "%s", pinion_error_text());
	memset(op, 0, sizeof(op));
	nr_busy = 0;
	left = false;
}

static void leave(void)
{
	pinion_cache_close(cache);
	if (pinion_client_close(client))
		errx(CANNOT, "%s", pinion_error_text());
}

int main(int argc, char **argv)
{
	int err;

	if (argc < 3)
		errx(CANNOT, "usage: churn DEVICE NUMBER [written]");
	number = (uint32_t)atoi(argv[2]);
	written = argc > 3;
	srand((unsigned)getpid());
	(void)signal(SIGTERM, on_term);
	while (!stopped) {
		attach(argv[1]);
		do
			err = step();
		while (!err && !stopped);
		if (err && err != -EPIPE)
			errx(CANNOT, "the channel: %s", strerror(-err));
		if (err)
			settle();
		leave();
	}
	return 0;
}
