/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A keeper is killed while a member uses its pool. The next one has the pool back by what was
 * stored: the files, the record, and who the members are. The member notices nothing.
 *
 *     cc resume.c $(pkg-config --cflags --libs pinion) -o resume
 *     sudo hugepages reserve 0:8M && ./resume       or: ./resume --page-size 4k
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

#define MEMBERS 8
#define CONTROL UINT32_MAX /* in place of a slot */

/* What outlives the keeper. Here: shared memory, and a socket with the files in it. A real one
 * writes the record beside the last one and then switches, see <pinion/resume.h>. */
struct ledger {
	struct pinion_pool_record record;
	struct pinion_member_record member[MEMBERS];
	int put, get; /* the socket's two ends */
};

/* Before anybody can see the change: first the file, then the record. */
static int store(void *context, uint32_t slot, int fd, const struct pinion_pool_record *record)
{
	struct ledger *ledger = context;

	printf("process %d stores what becomes of segment %u\n", getpid(), slot);
	fflush(stdout);
	if (fd >= 0)
		send_files(ledger->put, &slot, sizeof(slot), &fd, 1);
	ledger->record = *record;
	return 0;
}

static void store_pool(struct ledger *ledger, struct pinion_pool *pool)
{
	struct pinion_pool_fds fds;
	uint32_t slot = CONTROL;

	pinion_pool_export(pool, &fds);
	send_files(ledger->put, &slot, sizeof(slot), &fds.control, 1);
	slot = 0;
	send_files(ledger->put, &slot, sizeof(slot), &fds.segment[0], 1);
	must(pinion_pool_record(pool, &ledger->record));
	must(pinion_member_record(getpid(), &ledger->member[pinion_pool_member(pool)]));
}

/* Admits its parent, as number 1, adds a segment, and is killed. */
static void keep(struct ledger *ledger, const struct pinion_pool_config *config)
{
	struct pinion_pool *pool;
	uint32_t member, slot;

	must(pinion_pool_create(config, &pool));
	store_pool(ledger, pool);
	must(pinion_pool_watch(pool, store, ledger));
	must(pinion_pool_admit(pool, getppid(), &member));
	expect(member == 1, "the keeper itself is member 0");
	must(pinion_member_record(getppid(), &ledger->member[member]));
	must(pinion_pool_grow(pool, config->segment, &slot));
	raise(SIGKILL);
}

/* All of the three files that were stored. */
static struct pinion_pool_fds collect(const struct ledger *ledger)
{
	struct pinion_pool_fds fds = {.nr_segments = 2};
	int fd[FILES_MAX];
	uint32_t slot;

	for (int i = 0; i < 3; i++) {
		expect(receive_files(ledger->get, &slot, sizeof(slot), fd) == 1, "a file");
		*(slot == CONTROL ? &fds.control : &fds.segment[slot]) = fd[0];
	}
	return fds;
}

/* The next keeper: its own number is stored before all else, and then the last one is buried. */
static void keep_again(struct ledger *ledger, const struct pinion_pool_fds *fds)
{
	struct pinion_member_record last = ledger->member[0];
	struct pinion_adoption found;
	struct pinion_pool *pool;

	must(pinion_pool_resume(fds, &ledger->record, ledger->member, &pool, &found));
	must(pinion_member_record(getpid(), &ledger->member[pinion_pool_member(pool)]));
	must(pinion_pool_watch(pool, store, ledger));
	printf("resumed: %u member living, %u dead, the keeper of before (process %d)\n",
	       found.living, found.dead, last.pid);
	expect(found.living == 1 && found.dead == 1, "a member and a keeper");
	must(pinion_pool_recover(pool, 0, NULL, 0, NULL));
	must(pinion_pool_release(pool, 0, NULL));
	ledger->member[0] = (struct pinion_member_record){0};
	printf("member 1 holds %u buffer, as before\n", pinion_pool_held(pool, 1));
	expect(pinion_pool_held(pool, 1) == 1, "it was not touched");
	must(pinion_pool_retire(pool, 1)); /* it is the keeper: it can do all that the last could */
	must(pinion_pool_destroy(pool));
	exit(0);
}

static int await_end(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	return status;
}

static void use(struct ledger *ledger)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	const struct pinion_pool_fds fds = collect(ledger);
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	pid_t next;

	must(pinion_pool_attach(&fds, 1, &pool)); /* in this process the files are the pool's now */
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	strcpy(pinion_buffer_addr(pool, buffer), "untouched");
	must(pinion_cache_flush(cache));
	next = fork(); /* it has copies of the files, as from whoever keeps them */
	if (!next)
		keep_again(ledger, &fds);
	expect(!await_end(next), "the next keeper did its work");
	printf("member 1 reads: %s\n", (char *)pinion_buffer_addr(pool, buffer));
	must(pinion_buffer_free(cache, buffer));
	pinion_cache_close(cache);
	must(pinion_pool_detach(pool));
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.max_segments = 2,
		.nr_members = MEMBERS,
		.segment = {{.len = 2 << 20, .buffer_size = 4096,
			     .page_size = page_size(argc, argv), .node = PINION_NODE_ANY}},
	};
	struct ledger *ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int end[2];
	pid_t first;

	if (ledger == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end))
		err(1, "the ledger");
	ledger->put = end[0];
	ledger->get = end[1];
	first = fork();
	if (!first)
		keep(ledger, &config);
	expect(WIFSIGNALED(await_end(first)), "the first keeper was killed");
	printf("the first keeper is dead\n");
	fflush(stdout);
	use(ledger);
	return 0;
}
