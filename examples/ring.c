/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings without a pool: descriptors name cells of a memory that two processes share. There are as
 * many cells as the ring has slots, so that a slot given back gives its cell back as well. What is
 * not to stand in that line comes by a second ring, and the reader sleeps at both.
 *
 *     cc ring.c $(pkg-config --cflags --libs pinion) -o ring && ./ring
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define LINES 1000u
#define SLOTS 64u
#define BATCH 16u
#define CELL 32u /* bytes */
#define SECOND_NS UINT64_C(1000000000)

static char (*cell)[CELL]; /* SLOTS of them; shared by fork here, by a file elsewhere */

/* --- the writer: a child */

/* Up to BATCH lines from the @nr-th on; descriptors are made where they will be read, and seen
 * together. How many; -EAGAIN: the reader has given none back. */
static int put_lines(struct pinion_ring *lines, uint32_t nr)
{
	const int room = pinion_ring_reserve(lines, BATCH);
	const struct pinion_ring slots = *lines; /* spares the compiler reading it again */
	uint32_t i;

	if (room < 0)
		return room;
	for (i = 0; i < (uint32_t)room && nr + i < LINES; i++) {
		const uint32_t at = (nr + i) % SLOTS;
		const int len = snprintf(cell[at], CELL, "line %u", nr + i);
		const struct pinion_desc desc = {pinion_buffer_make(at, 1), (uint32_t)len, nr + i};

		must(pinion_ring_put(&slots, i, &desc));
	}
	must(pinion_ring_commit(lines, i));
	return (int)i;
}

/* These need no cell; there are fewer than slots, and so always room. */
static void tell(struct pinion_ring *news, uint32_t number)
{
	const struct pinion_desc desc = {.tag = number};

	must(pinion_ring_send(news, &desc, 1));
}

static void write_all(struct pinion_ring *lines, struct pinion_ring *news)
{
	tell(news, LINES);
	for (uint32_t nr = 0; nr < LINES;) {
		int put = put_lines(lines, nr);

		if (put == -EPIPE)
			errx(1, "nobody reads any more");
		if (put == -EAGAIN)
			usleep(100); /* credit wakes nobody */
		else
			must(put);
		nr += put > 0 ? (uint32_t)put : 0;
	}
	tell(news, 0);
}

/* --- the reader: its parent */

struct reader {
	struct pinion_ring *ring[2]; /* those that have not ended */
	uint32_t nr;
	pid_t writer;
	uint32_t lines, bytes, news;
};

/* Copies of descriptors are checked, and the text is read where it lies. Then the cells go back. */
static int read_lines(struct reader *reader, struct pinion_ring *lines)
{
	struct pinion_desc desc[BATCH];
	const int got = pinion_ring_peek(lines, 0, desc, BATCH);

	for (int i = 0; i < got; i++) {
		const uint32_t at = pinion_buffer_id(desc[i].buffer);
		char want[CELL];
		const int len = snprintf(want, CELL, "line %u", reader->lines++);

		expect(at < SLOTS && desc[i].len == (uint32_t)len, "a line in a cell");
		expect(!memcmp(cell[at], want, desc[i].len), "each line, in order");
		reader->bytes += desc[i].len;
	}
	if (got > 0)
		must(pinion_ring_release(lines, (uint32_t)got));
	return got;
}

static int hear(struct reader *reader, struct pinion_ring *news)
{
	struct pinion_desc desc;
	const int got = pinion_ring_recv(news, &desc, 1);

	reader->news += got == 1;
	return got;
}

/* No ring says that its sender was killed: who sees that tells it to the ring. */
static void look_for(struct reader *reader)
{
	if (waitpid(reader->writer, NULL, WNOHANG) != reader->writer)
		return;
	for (uint32_t i = 0; i < reader->nr; i++)
		pinion_ring_sever(reader->ring[i]);
}

/* A ring that has ended is told each time: it is taken out. */
static void read_all(struct reader *reader, const struct pinion_ring *news)
{
	uint32_t which = 0;

	while (reader->nr) {
		struct pinion_ring **at = reader->ring;
		int got;

		if (pinion_ring_wait_any(at, reader->nr, SECOND_NS, &which)) {
			look_for(reader);
			continue;
		}
		at += which;
		got = *at == news ? hear(reader, *at) : read_lines(reader, *at);
		if (got == -EPIPE)
			*at = reader->ring[--reader->nr];
		else if (got != -EAGAIN) /* -EPROTO among others: the writer lies */
			must(got);
	}
}

/* The first of the news comes before any line. */
static uint32_t announced(struct pinion_ring *news)
{
	struct pinion_desc desc;
	int got;

	while ((got = pinion_ring_recv(news, &desc, 1)) == -EAGAIN)
		must(pinion_ring_wait(news, 10 * SECOND_NS));
	must(got);
	return desc.tag;
}

static void receive(struct pinion_ring *lines, struct pinion_ring *news, pid_t writer)
{
	struct reader reader = {.ring = {lines, news}, .nr = 2, .writer = writer};
	const uint32_t nr = announced(news);

	pinion_ring_set_spin(lines, 0); /* in no hurry: it sleeps at once */
	read_all(&reader, news);
	printf("%u lines of %u bytes, and the news of their end\n", reader.lines, reader.bytes);
	expect(reader.lines == nr && reader.news == 1, "nothing is lost");
}

int main(void)
{
	struct pinion_ring *lines, *news;
	enum pinion_ring_end end;
	int lines_fd, news_fd;
	pid_t writer;

	cell = mmap(NULL, SLOTS * CELL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cell == MAP_FAILED)
		err(1, "mmap");
	must(pinion_ring_create(SLOTS, &lines_fd));
	must(pinion_ring_create(PINION_RING_SLOTS_MIN, &news_fd));
	writer = fork();
	end = writer ? PINION_RING_RECV : PINION_RING_SEND;
	must(pinion_ring_open(lines_fd, end, &lines));
	must(pinion_ring_open(news_fd, end, &news));
	close(lines_fd);
	close(news_fd);
	if (writer)
		receive(lines, news, writer);
	else
		write_all(lines, news);
	must(pinion_ring_close(lines)); /* which tells the other side */
	must(pinion_ring_close(news));
	munmap(cell, SLOTS * CELL);
	return 0;
}
