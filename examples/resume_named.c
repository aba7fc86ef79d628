/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A named pool is had back by its record: whatever members wrote over its control area, it is again
 * what its keeper said. (named.c has no record, and believes what the control area says.)
 *
 *     cc resume_named.c $(pkg-config --cflags --libs pinion) -o resume_named
 *     sudo hugepages reserve 0:4M
 *     sudo mount -t hugetlbfs none /dev/hugepages && sudo ./resume_named /dev/hugepages/example
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define MEMBERS 8

/* What outlives the keeper: files are in the pool's directory already. */
struct ledger {
	struct pinion_pool_record record;
	struct pinion_member_record member[MEMBERS];
};

/* Makes the pool, stores what it is, and is killed with a buffer in its hands. */
static void keep(const char *path, struct ledger *ledger)
{
	struct pinion_pool_config config = {
		.path = path,
		.nr_segments = 1,
		.nr_members = MEMBERS,
		.segment = {{.len = 2 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_buffer buffer;
	struct pinion_cache *cache;
	struct pinion_pool *pool;

	must(pinion_pool_create(&config, &pool));
	must(pinion_pool_record(pool, &ledger->record));
	must(pinion_member_record(getpid(), &ledger->member[pinion_pool_member(pool)]));
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_buffer_alloc(cache, &buffer));
	raise(SIGKILL);
}

static void keep_again(const char *path, const struct ledger *ledger)
{
	struct pinion_adoption found;
	struct pinion_zone_stat stat;
	struct pinion_pool *pool;

	must(pinion_pool_resume_named(path, &ledger->record, ledger->member, &pool, &found));
	must(pinion_pool_stat(pool, 0, &stat));
	printf("%u member dead, %u living; %u of %u buffers are free\n", found.dead, found.living,
	       stat.free, stat.total);
	expect(found.dead == 1 && stat.free == stat.total, "nobody lives, so all is repaired");
	must(pinion_pool_destroy(pool)); /* the files stay */
}

int main(int argc, char **argv)
{
	struct ledger *ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (argc != 2)
		errx(2, "usage: %s PATH, a new name on a mount of hugetlbfs", argv[0]);
	if (ledger == MAP_FAILED)
		err(1, "mmap");
	pid = fork();
	if (!pid)
		keep(argv[1], ledger);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		errx(1, "the pool was not made");
	keep_again(argv[1], ledger);

	/* Half a record, or another pool's, is refused, and the pool is left alone. */
	ledger->record.nr_members++;
	expect(pinion_pool_resume_named(argv[1], &ledger->record, ledger->member,
					&(struct pinion_pool *){NULL}, NULL) == -EPROTO,
	       "not the record that was stored");
	printf("refused: %s\n", pinion_error_text());
	must(pinion_pool_unlink(argv[1]));
	return 0;
}
