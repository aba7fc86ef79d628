/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One process stopped at instruction N of an operation, and nobody waits for it.
 *
 *     stall              all pairs of operations, but for two of a keeper's, N sampled
 *     stall A B STEP [PLACE NTH]
 *                        one, as a report names it: A stopped after so many steps, or at a place
 *
 * For each pair, with two children:
 *
 *     FIRST    steps to N ............................ goes on to its end, and is right
 *     SECOND              steps to its end, and is right, within bounded steps
 *     tracer              after each: SECOND killed here; both killed here, at (N, M)
 *
 * Of pairs where SECOND has many steps only some are run so; in the others it runs to its end at
 * full speed, within a bounded time, and deaths are tried before and after. So each pair that there
 * may be is run, whatever the seed. PINION_SEED repeats the choice of N, and of what is stepped.
 */

#include "belief.h"
#include "invariant.h"
#include "picture.h"
#include "pin.h"
#include "pool_support.h"
#include "sweep.h"
#include "tap.h"

/*
 * A pair is stepped once at least, and up to PAIR_MOST times while its share of the steps lasts:
 * each pair has the same. One run of a pair that is dear (with recovery at -O0, sixty thousand
 * steps) takes more than DEAR; of those only as many are stepped as all the steps together allow.
 */
#define STEPS 200000u /* four seconds or so; PINION_STEPS overrides it */
#define PAIR_MOST 8u
#define DEAR 3000

/* Nobody is stepped so far only to be stopped. */
#define FAR 20000

/* How the steps are shared out. */
struct share {
	uint64_t pairs;
	uint64_t steps;  /* for each pair */
	uint32_t stride; /* one dear pair in so many is stepped; odd, since they lie in twos */
	uint32_t turn;   /* dear pairs seen */
};

struct stall {
	struct scene *scene;
	struct actor first, second;
	struct snapshot last;
	uint64_t points, states, runs;
	struct fault fault;
	char again[128];    /* arguments for the first fault */
	struct store where; /* N of this run */
};

static struct sweep *alone; /* by operation: its length and when it stores */

/*
 * How many steps @second may take. One that is stopped can make it look at more magazines and lose
 * a compare-and-swap or two; or follow a segment that came, as alloc_grown does, or one that is
 * going, as free_retiring does for each of its buffers. It cannot make it go round.
 */
static uint64_t bound(const struct operation *second)
{
	const uint64_t come = alone[operation_find("alloc_grown") - operations].points;
	const uint64_t going = alone[operation_find("free_retiring") - operations].points;
	const uint64_t nr = (uint64_t)abs(second->held);

	return 2 * (alone[second - operations].points + come + nr * going) + 2000;
}

static void note(struct stall *stall, const struct actor *actor, const char *problem)
{
	fault_note(&stall->fault, &actor->tracee, problem);
	if (problem && stall->fault.nr == 1)
		snprintf(stall->again, sizeof(stall->again), "%s %s %ju %#jx %ju",
			 stall->first.operation->name, stall->second.operation->name,
			 (uintmax_t)stall->where.step, (uintmax_t)stall->where.place,
			 (uintmax_t)stall->where.nth);
}

static void check(struct stall *stall, const struct snapshot *now, uint32_t dead)
{
	snapshot_load(now, stall->scene->shadow);
	note(stall, &stall->second, invariant_broken(stall->scene->shadow, &stall->last, dead));
}

/* After a step of SECOND. A keeper that is stopped holds the only right to recover: the next keeper
 * is one after its death, so it is then a victim in any case. */
static void look(struct stall *stall)
{
	const uint32_t first = scene_victims(&stall->first), second = scene_victims(&stall->second);
	struct snapshot now = {0};

	stall->points++;
	if (stall->last.bytes && snapshot_same(&stall->last, stall->scene->pool))
		return;
	stall->states++;
	snapshot_take(&now, stall->scene->pool);
	if (!stall->last.bytes)
		snapshot_take(&stall->last, stall->scene->pool);
	if (!stall->first.operation->keeper)
		check(stall, &now, second);
	check(stall, &now, first | second);
	free(stall->last.bytes);
	stall->last = now;
}

static enum step step_second(struct stall *stall, uint64_t bound)
{
	enum step at = STEP_MORE;

	while (at == STEP_MORE && stall->second.tracee.steps < bound) {
		at = tracee_step(&stall->second.tracee);
		look(stall);
	}
	return at;
}

static enum step rush_second(struct stall *stall)
{
	const enum step at = tracee_finish(&stall->second.tracee);

	look(stall);
	return at;
}

/* @bound: of its steps; 0: at full speed. */
static void run_second(struct stall *stall, uint64_t bound)
{
	enum step at;

	look(stall);
	at = bound ? step_second(stall, bound) : rush_second(stall);
	if (at == STEP_MORE)
		note(stall, &stall->second, "it did not end beside one that is stopped");
	else if (at == STEP_DIED)
		note(stall, &stall->second, "it died by itself");
	else
		note(stall, &stall->second, scene_claim(stall->scene, &stall->second));
}

static void end_first(struct stall *stall, enum step at)
{
	if (at == STEP_MORE)
		at = tracee_finish(&stall->first.tracee);
	if (at == STEP_DONE)
		note(stall, &stall->first, scene_claim(stall->scene, &stall->first));
	else
		note(stall, &stall->first,
		     at == STEP_DIED ? "it died by itself after it was stopped"
				     : "it did not go on to its end after it was stopped");
}

/* Both have ended and live: the pool is sound without any recovery. Then both die. */
static void end_both(struct stall *stall)
{
	const uint32_t dead = scene_victims(&stall->first) | scene_victims(&stall->second);

	note(stall, &stall->first, belief_wrong(stall->scene, &stall->first));
	note(stall, &stall->second, belief_wrong(stall->scene, &stall->second));
	note(stall, &stall->first, picture_update(stall->scene->pool));
	note(stall, &stall->first, pool_problem(stall->scene->pool));
	tracee_kill(&stall->second.tracee);
	tracee_kill(&stall->first.tracee);
	note(stall, &stall->first, invariant_broken(stall->scene->pool, &stall->scene->base, dead));
}

/* Two that are to come upon the same do so at once. Otherwise the keeper comes last: it is to know
 * what those did that the other needed before it. */
static void enter_both(struct stall *stall, const struct operation *first,
		       const struct operation *second)
{
	if (first->deed && first->deed == second->deed) {
		scene_enter_both(stall->scene, &stall->first, first, &stall->second, second);
		return;
	}
	if (first->keeper)
		scene_enter(stall->scene, &stall->second, second, SCENE_SECOND);
	scene_enter(stall->scene, &stall->first, first, SCENE_FIRST);
	if (!first->keeper)
		scene_enter(stall->scene, &stall->second, second, SCENE_SECOND);
}

static void stall_once(struct stall *stall, const struct operation *first,
		       const struct operation *second, const struct store *where, bool rush)
{
	enum step at;

	stall->where = *where;
	stall->runs++;
	scene_reset(stall->scene);
	enter_both(stall, first, second);
	at = tracee_reach(&stall->first.tracee, where);
	run_second(stall, rush ? 0 : bound(second));
	end_first(stall, at);
	end_both(stall);
	free(stall->last.bytes);
	stall->last = (struct snapshot){0};
}

/* Right after one of the few stores that others can see; every other time anywhere, if that is not
 * far. */
static struct store choose(const struct sweep *sweep, uint64_t *random)
{
	if (test_random(random) >> 63 && sweep->points < FAR)
		return (struct store){.step = test_below(random, (uint32_t)sweep->points)};
	return sweep->tracks.store[test_below(random, (uint32_t)sweep->tracks.nr)];
}

/* Right after one of those that a breakpoint leads to, or at the start. */
static struct store choose_quickly(const struct sweep *sweep, uint64_t *random)
{
	size_t i = test_below(random, (uint32_t)sweep->tracks.nr);

	while (i && !sweep->tracks.store[i].place)
		i--;
	return sweep->tracks.store[i];
}

/* Two keepers at once are against the contract. */
static bool allowed(const struct operation *first, const struct operation *second)
{
	return !(first->keeper && second->keeper);
}

/* Steps that one run of a pair takes, about. */
static uint64_t price(size_t first, size_t second)
{
	const uint64_t way = alone[first].points;

	return (way < FAR ? way / 4 : 0) + alone[second].points;
}

static struct share share_out(uint64_t steps, uint64_t *random)
{
	struct share share = {0};
	uint64_t dear = 0;

	for (size_t a = 0; a < nr_operations; a++)
		for (size_t b = 0; b < nr_operations; b++) {
			share.pairs += allowed(&operations[a], &operations[b]);
			if (allowed(&operations[a], &operations[b]) && price(a, b) > DEAR)
				dear += price(a, b);
		}
	share.steps = steps / share.pairs;
	share.stride = (uint32_t)(dear / steps) | 1;
	share.turn = test_below(random, share.stride);
	return share;
}

/* How often a pair is stepped, with another N each time. */
static uint64_t runs(struct share *share, size_t a, size_t b)
{
	const uint64_t nr = share->steps / price(a, b);

	if (price(a, b) > DEAR)
		return share->turn++ % share->stride == 0;
	return nr < 1 ? 1 : nr > PAIR_MOST ? PAIR_MOST : nr;
}

/* @nr times step by step, or else once at full speed. */
static void stall_pair(struct stall *stall, size_t a, size_t b, uint64_t nr, uint64_t *random)
{
	for (uint64_t i = 0; i < nr; i++) {
		const struct store where = choose(&alone[a], random);

		stall_once(stall, &operations[a], &operations[b], &where, false);
	}
	if (!nr) {
		const struct store where = choose_quickly(&alone[a], random);

		stall_once(stall, &operations[a], &operations[b], &where, true);
	}
}

static void stall_operation(struct scene *scene, size_t a, struct share *share, uint64_t *random)
{
	struct stall stall = {.scene = scene};
	uint32_t stepped = 0, rushed = 0;

	for (size_t b = 0; b < nr_operations; b++) {
		uint64_t nr;

		if (!allowed(&operations[a], &operations[b]))
			continue;
		nr = runs(share, a, b);
		stepped += nr != 0;
		rushed += nr == 0;
		stall_pair(&stall, a, b, nr, random);
	}
	fault_tell(&stall.fault, stall.again);
	tap_result(!stall.fault.nr,
		   "%s stopped %ju times beside %u others stepped and %u at full speed: "
		   "%ju points, %ju states, %ju wrong", operations[a].name, (uintmax_t)stall.runs,
		   stepped, rushed, (uintmax_t)stall.points, (uintmax_t)stall.states,
		   (uintmax_t)stall.fault.nr);
}

static void stall_all(struct scene *scene)
{
	const char *given = getenv("PINION_STEPS");
	const uint64_t steps = given ? strtoull(given, NULL, 0) : STEPS;
	uint64_t random = test_seed();
	struct share share = share_out(steps ? steps : STEPS, &random);

	tap_plan((int)nr_operations);
	tap_remark("%ju of %zu pairs", (uintmax_t)share.pairs, nr_operations * nr_operations);
	for (size_t a = 0; a < nr_operations; a++)
		stall_operation(scene, a, &share, &random);
}

static void stall_one(struct scene *scene, const struct operation *first,
		      const struct operation *second, const struct store *where)
{
	struct stall stall = {.scene = scene};

	tap_plan(1);
	stall_once(&stall, first, second, where, false);
	fault_tell(&stall.fault, stall.again);
	tap_result(!stall.fault.nr, "%s stopped after step %ju beside %s", first->name,
		   (uintmax_t)where->step, second->name);
}

static void measure(struct scene *scene)
{
	alone = calloc(nr_operations, sizeof(*alone));
	if (!alone)
		tap_bail("no memory");
	for (size_t i = 0; i < nr_operations; i++)
		sweep_run(scene, &operations[i], false, &alone[i]);
}

static void forget(void)
{
	for (size_t i = 0; i < nr_operations; i++)
		sweep_close(&alone[i]);
	free(alone);
}

static uint64_t number(int argc, char **argv, int i)
{
	return i < argc ? strtoull(argv[i], NULL, 0) : 0;
}

int main(int argc, char **argv)
{
	const struct operation *first = argc > 3 ? operation_find(argv[1]) : NULL;
	const struct operation *second = argc > 3 ? operation_find(argv[2]) : NULL;
	const struct store where = {number(argc, argv, 3), number(argc, argv, 4),
				    number(argc, argv, 5)};
	struct scene scene;

	if (argc != 1 && (!first || !second))
		tap_bail("usage: stall [OPERATION OTHER STEP [PLACE NTH]]");
	if (step_allowed())
		return tap_skip("this process may not trace its children (ptrace)");
	pin_here();
	scene_open_for_two(&scene);
	measure(&scene);
	if (first)
		stall_one(&scene, first, second, &where);
	else
		stall_all(&scene);
	forget();
	scene_close(&scene);
	return tap_status();
}
