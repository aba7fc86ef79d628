/* SPDX-License-Identifier: BSD-3-Clause */
#include "member.h"

#include <fcntl.h>
#include <numa.h>
#include <sched.h>
#include <unistd.h>

#include "fuse.h"
#include "neighbour.h"
#include "pool_support.h"
#include "work.h"

#define BURST 24      /* operations */
#define RESTS 8       /* at most */
#define REST_NS 200000
#define WARM 6        /* bursts at most, before the last ones */
#define LEAVES 64     /* one of so many bursts ends a life in good order */

static struct work work;

/* Its member number comes after the fork, since admission wants its pid. */
static void wait_for_admission(pid_t keeper)
{
	while (atomic_load_explicit(&work.seat->go, memory_order_acquire) != work.life) {
		/* A killed keeper may have admitted us to nothing: then nobody counts on us. */
		if (getppid() != keeper)
			_exit(0);
		sched_yield();
	}
	if (work.seat->life != work.life)
		_exit(0);
}

/* Files of segments that came after our birth: straight from the keeper. */
static int fetch(void *context, uint32_t slot, int *fd)
{
	char path[64];

	(void)context;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)atomic_load(&work.board->keeper),
		 (int)atomic_load(&work.board->file[slot]));
	*fd = open(path, O_RDWR | O_CLOEXEC);
	/* The keeper may be dead, or have taken the segment back: it is not here yet. */
	return *fd < 0 ? -EAGAIN : 0;
}

static void become(void)
{
	const int err = WORK_DO(&work, DOING_BECOME,
				pinion_pool_become(work.pool, work.seat->number));

	if (err)
		work_problem(&work, "become gave %d: %s", err, pinion_error_text());
	work.pool->fetch = fetch;
}

static void light(void)
{
	if (fuse_light(fuse_length(&work.random, work.board->fuse_ns)))
		work_problem(&work, "no timer for a fuse");
}

static void burst(void)
{
	neighbour_mourn(&work);
	for (int i = 0; i < BURST; i++)
		work_step(&work);
}

static void rest(void)
{
	const struct timespec nap = {0, 1000 + (long)test_below(&work.random, REST_NS)};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

/* Until the last burst, or until it leaves. */
static void live_long(uint32_t rests)
{
	for (; rests; rests--) {
		burst();
		if (test_below(&work.random, LEAVES) == 0) {
			work_leave(&work);
			_exit(0);
		}
		rest();
	}
}

/* @early: on the way to the first cache. Otherwise most have worked a little, so that the time is
 * not spent on pages that this process touches for the first time. */
__attribute__((noreturn)) static void die_working(uint32_t rests, bool early)
{
	if (early)
		light();
	become();
	work_open_caches(&work);
	live_long(rests);
	for (uint32_t i = test_below(&work.random, WARM); !early && i; i--)
		burst();
	if (!early)
		light();
	for (;;)
		burst();
}

void member_live(struct board *board, uint32_t seat, uint32_t life, struct pinion_pool *pool,
		 const size_t size[2])
{
	const pid_t keeper = atomic_load(&board->keeper);
	uint32_t rests;

	work = (struct work){
		.board = board, .seat = &board->seat[seat], .seat_index = seat, .life = life,
		.pool = pool, .keeper = keeper, .size = {size[0], size[1]},
		/* Every life has choices of its own, all from the one seed. */
		.random = (board->seed ^ life * UINT64_C(0x9e3779b97f4a7c15)) | 1,
	};
	(void)test_random(&work.random);
	if (board->nodes > 1)
		(void)numa_run_on_node((int)seat % board->nodes);
	wait_for_admission(keeper);
	rests = test_below(&work.random, 2) ? 1 + test_below(&work.random, RESTS) : 0;
	die_working(rests, !rests && test_below(&work.random, 8) == 0);
}
