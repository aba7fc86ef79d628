/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random kills: see README.md. The supervisor starts a keeper for each plan, a new one whenever the
 * keeper itself was killed, and collects everybody's end.
 */

#include <getopt.h>
#include <sys/prctl.h>

#include "enough.h"
#include "keeper.h"
#include "link.h"
#include "mount.h"
#include "pool_support.h"
#include "report.h"
#include "tap.h"

#define KILLS 20000
#define PLAN_KILLS 1000 /* members killed under one plan, about */
#define FUSE_NS 60000
/* Of 2 MiB, for each node: the control area and the segments of a named pool. */
#define MOUNT_PAGES 24

static struct {
	uint64_t kills, seed, random;
	int nodes;
	bool planted; /* this program was built with a bug, which it must notice */
	uint64_t fuse_ns;
	const char *mount; /* a hugetlbfs; NULL: none */
	struct board *board;
} soak = {.nodes = 1, .fuse_ns = FUSE_NS};

/* --- ends */

/* Of a keeper's children that outlived it, or of a keeper. */
static void look_at_end(pid_t pid, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		board_problem(soak.board, "process %d ended by signal %d", (int)pid,
			      WTERMSIG(status));
}

/* Until @keeper has ended; its status. */
static int collect_until(pid_t keeper)
{
	for (;;) {
		int status = 0;
		const pid_t pid = waitpid(-1, &status, 0);

		if (pid < 0 && errno == ECHILD)
			return 0;
		if (pid > 0)
			look_at_end(pid, status);
		if (pid == keeper)
			return status;
	}
}

static void count_keeper(void)
{
	const uint32_t doing = atomic_load(&soak.board->keeper_doing);

	soak.board->tally.keepers++;
	soak.board->tally.keepers_in[doing < DOING_NR ? doing : 0]++;
	atomic_store(&soak.board->keeper_doing, DOING_NOTHING);
}

/* --- plans */

static void run_keeper(struct plan *plan)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(keeper_run(soak.board, plan));
	if (pid < 0)
		tap_bail("cannot fork: %s", strerror(errno));
	status = collect_until(pid);
	if (WIFSIGNALED(status) && plan->kind != PLAN_MORTAL)
		board_problem(soak.board, "the keeper was killed");
	if (WIFSIGNALED(status))
		count_keeper();
}

static void run_plan(enum plan_kind kind, uint64_t until)
{
	struct board *board = soak.board;
	struct plan plan;

	plan_make(&plan, kind, soak.mount, soak.nodes, &soak.random);
	plan.until = until;
	board->era = ERA_MAKING;
	memset(board->generation, 0, sizeof(board->generation));
	/* Handles of the pool before mean nothing in the next. */
	memset(board->seat, 0, sizeof(board->seat));
	while (board->era != ERA_OVER && !board_has_problem(board))
		run_keeper(&plan);
	if (kind >= PLAN_NAMED && !board_has_problem(board))
		mount_check(board);
	if (board_has_problem(board))
		tap_remark("plan: %s, magazines of %u, flags %u", plan_name(kind),
			   plan.config.magazine_size, plan.config.flags);
}

static void run_plans(const enum plan_kind *kind, uint32_t nr, uint64_t kills)
{
	struct tally *tally = &soak.board->tally;

	*tally = (struct tally){0};
	while (tally->killed < kills && !board_has_problem(soak.board)) {
		const uint64_t left = kills - tally->killed;
		const uint32_t i = test_below(&soak.random, nr);

		run_plan(kind[i],
			 tally->killed + (left < 2 * PLAN_KILLS ? left : PLAN_KILLS));
	}
}

/* --- the report */

static void claim(const char *what, const enum plan_kind *kind, uint32_t nr, uint64_t kills)
{
	const uint64_t start = test_now_ns();
	struct board *board = soak.board;

	const char *lack;

	run_plans(kind, nr, kills);
	report(&board->tally, test_now_ns() - start);
	lack = enough_lacks(&board->tally, kind[0] == PLAN_MORTAL);
	if (lack)
		tap_remark("too little for a result: %s", lack);
	if (board_has_problem(board)) {
		tap_remark("after %ju kills: %s", (uintmax_t)board->tally.killed, board->problem);
		tap_remark("again (choices, not moments): PINION_SEED=%#jx", (uintmax_t)soak.seed);
	}
	tap_result(!board_has_problem(board) && !lack, "%s: %ju kills", what,
		   (uintmax_t)board->tally.killed);
}

/* The tests are themselves tested: a run that lacks any one thing is told from a usual one. */
static void claim_lacks(void)
{
	const struct tally usual = {
		.killed = 1000, .killed_in[DOING_ALLOC] = 500, .turns = 1500, .crowded = 300,
		.handed_over = 1, .transit = 1, .rests = 1, .grown = 1, .retired = 1,
		.keepers = 1, .adopted_living = 1,
	};
	struct tally less[9];
	bool all = !enough_lacks(&usual, true) && !enough_lacks(&usual, false);

	for (int i = 0; i < 9; i++)
		less[i] = usual;
	less[0].killed_in[DOING_ALLOC] = 249;
	less[1].crowded = 15;
	less[2].handed_over = 0;
	less[3].transit = 0;
	less[4].rests = 0;
	less[5].grown = 0;
	less[6].retired = 0;
	less[7].keepers = 0;
	less[8].adopted_living = 0;
	for (int i = 0; i < 9; i++)
		all = all && enough_lacks(&less[i], true);
	tap_result(all, "a run that did too little of anything is noticed");
}

/* The same for what is planted: it must be found. */
static void claim_planted(const enum plan_kind *kind, uint32_t nr)
{
	const struct board *board = soak.board;

	run_plans(kind, nr, soak.kills);
	tap_result(board_has_problem(board), "the planted bug is noticed: after %ju kills: %s",
		   (uintmax_t)board->tally.killed, board->problem);
}

/* --- arguments */

static const char usage[] =
	"usage: kill [--kills N] [--nodes N] [--fuse US] [--planted]\n"
	"  --kills N   members to kill (20000; PINION_KILLS in the environment says the same)\n"
	"  --nodes N   segments on so many NUMA nodes, members on either (1)\n"
	"  --fuse US   microseconds that most members have at the end (60)\n"
	"  --planted   passes only if something wrong is found: of a program with a planted bug\n"
	"PINION_SEED=S repeats the choices of a run, not the moments of its kills.\n";

static int refuse(void)
{
	fputs(usage, stderr);
	return -1;
}

static int parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"kills", required_argument, NULL, 'k'},
		{"nodes", required_argument, NULL, 'n'},
		{"fuse", required_argument, NULL, 'f'},
		{"planted", no_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	const char *kills = getenv("PINION_KILLS");
	int option;

	soak.kills = kills ? strtoull(kills, NULL, 0) : KILLS;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (option) {
		case 'k':
			soak.kills = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			soak.nodes = atoi(optarg);
			break;
		case 'f':
			soak.fuse_ns = strtoull(optarg, NULL, 0) * 1000;
			break;
		case 'p':
			soak.planted = true;
			break;
		default:
			return refuse();
		}
	return optind == argc && soak.kills && soak.nodes >= 1 && soak.fuse_ns ? 0 : refuse();
}

static void make_board(void)
{
	soak.board = board_create(soak.seed);
	if (!soak.board || link_create_all(soak.board))
		tap_bail("no memory for the board");
	soak.board->nodes = soak.nodes;
	soak.board->fuse_ns = soak.fuse_ns;
}

/* A quarter of the kills under keepers that die too, which takes hugepages. */
static void claim_all(const enum plan_kind *kinds, uint32_t nr)
{
	static const enum plan_kind mortal[] = {PLAN_MORTAL};
	const uint64_t share = soak.mount ? soak.kills / 4 : 0;

	claim("members killed anywhere lose nothing", kinds, nr, soak.kills - share);
	if (soak.mount && !board_has_problem(soak.board))
		claim("nor do they when keepers are killed too", mortal, 1, share);
	else
		printf("ok 2 # SKIP %s\n", soak.mount ? "the first found something"
							 : "no hugepages for named pools");
}

int main(int argc, char **argv)
{
	static const enum plan_kind kinds[] = {PLAN_SMALL, PLAN_HUGE, PLAN_NAMED};

	if (parse(argc, argv))
		return 2;
	/* Members that outlive their keeper become ours. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		tap_bail("prctl: %s", strerror(errno));
	tap_plan(2);
	soak.seed = test_seed();
	soak.random = soak.seed;
	soak.mount = mount_open(soak.nodes * MOUNT_PAGES);
	make_board();
	if (soak.planted) {
		claim_planted(kinds, soak.mount ? 3 : 1);
		claim_lacks();
	} else {
		claim_all(kinds, soak.mount ? 3 : 1);
	}
	link_destroy_all(soak.board);
	mount_close();
	return tap_status();
}
