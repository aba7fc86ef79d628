/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pool that is used up grows; a member in another process allocates from the new segment; when
 * that is empty again it is retired, and its pages go back to the system.
 *
 *     cc grow.c $(pkg-config --cflags --libs pinion) -o grow
 *     sudo hugepages reserve 0:4M && ./grow         or: ./grow --page-size 4k
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

#define NR 512 /* buffers of one segment */

/* One byte: "your turn". */
static void tell(int socket)
{
	if (write(socket, "", 1) != 1)
		err(1, "write");
}

static void await(int socket)
{
	char byte;

	if (read(socket, &byte, 1) != 1)
		errx(1, "the other process is gone");
}

/* The other process. It inherited the pool by fork(), and the number it was admitted under. */
static void use(struct pinion_pool *pool, uint32_t member, int socket)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	static struct pinion_buffer buffer[NR], more;
	struct pinion_cache *cache;
	int fd[FILES_MAX];
	uint32_t slot;

	must(pinion_pool_become(pool, member));
	must(pinion_cache_open(pool, &want, &cache));
	expect(pinion_buffer_alloc_bulk(cache, buffer, NR) == NR, "the first segment serves");
	printf("member %u has all %d buffers; one more: %s\n", member, NR,
	       strerror(-pinion_buffer_alloc(cache, &more)));
	fflush(stdout);
	tell(socket); /* grow, please */

	expect(receive_files(socket, &slot, sizeof(slot), fd) == 1, "a file for one segment");
	must(pinion_pool_extend(pool, slot, fd[0]));
	must(pinion_buffer_alloc(cache, &more));
	printf("member %u was sent the file of segment %u: buffer %u is in it\n", member, slot,
	       pinion_buffer_id(more));
	fflush(stdout);
	tell(socket); /* retire it, if you can */

	await(socket);
	must(pinion_buffer_free(cache, more));
	pinion_cache_flush(cache); /* what lies in the cache keeps a segment as well */
	tell(socket);
	await(socket);
	expect(pinion_buffer_free_bulk(cache, buffer, NR) == NR, "the first one is still there");
	pinion_cache_close(cache);
}

static void keep(struct pinion_pool *pool, const struct pinion_segment_config *segment, int socket)
{
	struct pinion_pool_fds fds;
	uint32_t slot;

	await(socket);
	must(pinion_pool_grow(pool, segment, &slot));
	pinion_pool_export(pool, &fds);
	send_files(socket, &slot, sizeof(slot), &fds.segment[slot], 1);

	await(socket);
	expect(pinion_pool_retire(pool, slot) == -EBUSY, "it is in use");
	printf("not yet: %s\n", pinion_error_text());
	tell(socket);
	await(socket);
	must(pinion_pool_retire(pool, slot));
	printf("segment %u is gone\n", slot);
	tell(socket);
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = NR * 4096, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct pinion_pool *pool;
	uint32_t member;
	int end[2], status;

	must(pinion_pool_create(&config, &pool));
	must(pinion_pool_admit(pool, 0, &member));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end))
		err(1, "socketpair");
	if (!fork()) {
		close(end[0]);
		use(pool, member, end[1]);
		exit(0);
	}
	close(end[1]);
	keep(pool, config.segment, end[0]);
	wait(&status);
	must(pinion_pool_release(pool, member, NULL));
	pinion_pool_destroy(pool);
	return status != 0;
}
