/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two claims for each call: it loads what a peer can write so and so often and no more; and
 * whatever value appears at whichever of these loads, its outcome follows from the values loaded.
 *
 *     fetch                     all calls
 *     fetch CALL                one
 *     fetch CALL N H V [V2]     load N finds the value V (of a slot, H: 1 head, 2 body, 3 both)
 *     fetch --planted           built with a receiver that reads slots twice: passes only if both
 *                               claims fail where slots are read, and nowhere else
 *     fetch --planted-head      the same of who maps something, and reads its size twice
 */

#include <inttypes.h>

#include "sweep.h"
#include "tap.h"

static void remark_loads(const int loads[PLACES])
{
	char text[256] = "";
	size_t len = 0;

	for (int place = 0; place < PLACES; place++)
		if (loads[place])
			len += (size_t)snprintf(text + len, sizeof(text) - len, ", %s %d",
						place_name[place], loads[place]);
	tap_remark("loads: %s", len ? text + 2 : "none");
}

static void remark_fault(const struct call *call, const struct sweep *sweep)
{
	const struct flip *flip = &sweep->first;

	tap_remark("load %u, of %s %u: %s", flip->nth, place_name[sweep->at.place], sweep->at.index,
		   sweep->problem);
	tap_remark("again: fetch %s %u %d %#" PRIx64 " %#" PRIx64, call->name, flip->nth,
		   flip->halves, flip->value[0], flip->value[1]);
}

static bool loads_nothing(const int loads[PLACES])
{
	int all = 0;

	for (int place = 0; place < PLACES; place++)
		all += loads[place];
	return !all;
}

static void check(const struct call *call)
{
	struct sweep sweep;
	int loads[PLACES];
	const char *problem = sweep_count(call, loads);

	tap_result(!problem, "%s: loads are those that it needs%s%s", call->name,
		   problem ? ": " : "", problem ? problem : "");
	remark_loads(loads);
	sweep_flip(call, &sweep);
	tap_result(!sweep.faults && (sweep.flips || loads_nothing(call->loads)),
		   "%s: %u loads, changed in %u ways", call->name, sweep.loads, sweep.flips);
	if (sweep.faults)
		remark_fault(call, &sweep);
}

static const struct table {
	const struct call *call;
	const size_t *nr;
} tables[] = {
	{calls, &nr_calls},
	{more_calls, &nr_more_calls},
	{loop_calls, &nr_loop_calls},
	{open_calls, &nr_open_calls},
	{attach_calls, &nr_attach_calls},
};
#define NR_TABLES (sizeof(tables) / sizeof(tables[0]))

/* The first one of that name; NULL: there is none. */
static const struct call *find(const char *name)
{
	for (const struct table *table = tables; table < tables + NR_TABLES; table++)
		for (size_t i = 0; i < *table->nr; i++)
			if (strcmp(table->call[i].name, name) == 0)
				return &table->call[i];
	return NULL;
}

/* Calls that pass the planted bug. */
static void expect(const char *name, bool passes)
{
	const struct call *call = find(name);
	struct sweep sweep;
	int loads[PLACES];
	const char *problem;

	problem = sweep_count(call, loads);
	sweep_flip(call, &sweep);
	if (passes)
		tap_result(problem && sweep.faults,
			   "%s: noticed in its loads, and in %u of %u runs", name, sweep.faults,
			   sweep.flips);
	else
		tap_result(!problem && !sweep.faults, "%s does not pass it: nothing noticed", name);
}

static int planted(void)
{
	tap_plan(5);
	expect("channel_recv", true);
	expect("ring_recv", true);
	expect("ring_peek", true);
	expect("channel_send_again", false);
	expect("channel_published", false);
	return tap_status();
}

/* Those that map a ring, and who joins a pool. */
static int planted_head(void)
{
	tap_plan(8);
	expect("ring_open", true);
	expect("channel_open", true);
	expect("broadcast_open", true);
	expect("broadcast_join", true);
	expect("broadcast_lent", true);
	expect("pool_attach", true);
	expect("broadcast_admit", false);
	expect("channel_join", false);
	return tap_status();
}

static int again(const struct call *call, int argc, char **argv)
{
	struct flip flip = {
		.nth = (uint32_t)strtoul(argv[2], NULL, 0),
		.halves = (int)strtol(argv[3], NULL, 0),
		.value = {strtoull(argv[4], NULL, 0), argc > 5 ? strtoull(argv[5], NULL, 0) : 0},
	};
	struct fetch at = {0};
	const char *problem;

	tap_plan(1);
	problem = sweep_once(call, &flip, &at);
	tap_remark("load %u: %s %u", flip.nth, place_name[at.place], at.index);
	tap_result(flip.done && !problem, "%s: %s", call->name,
		   !flip.done ? "it has not so many loads"
		   : problem  ? problem
			      : "as it should be");
	return tap_status();
}

/* All of them. */
static int visit(void)
{
	size_t nr = 0;

	for (size_t i = 0; i < NR_TABLES; i++)
		nr += *tables[i].nr;
	tap_plan(2 * (int)nr);
	for (const struct table *table = tables; table < tables + NR_TABLES; table++)
		for (size_t i = 0; i < *table->nr; i++)
			check(&table->call[i]);
	return tap_status();
}

int main(int argc, char **argv)
{
	const struct call *call;

	if (argc == 1)
		return visit();
	if (strcmp(argv[1], "--planted") == 0)
		return planted();
	if (strcmp(argv[1], "--planted-head") == 0)
		return planted_head();
	call = find(argv[1]);
	if (!call)
		tap_bail("there is no call %s", argv[1]);
	if (argc > 4)
		return again(call, argc, argv);
	tap_plan(2);
	check(call);
	return tap_status();
}
