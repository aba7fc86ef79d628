/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond, killed while it does one thing for one process, or ends in order for the next, and
 * started again by its manager. Killed
 *
 *     call     at each entry and exit of a system call
 *     store    after each store to memory that others see: the ledger, pools, channels
 *     step     after so many instructions since a system call
 *
 * Between those of the first two kinds nothing is different for anybody: who goes through them
 * has killed it at every instruction. The third sees whether that is so. At times it is killed
 * once or twice more while it takes everything up again. Then:
 *
 *  - it answers
 *  - who was a member is one, and goes on; who was refused is let in when he asks again
 *  - who asked has an answer, or hears that the connection broke; who was to be kicked is dead,
 *    and who was not goes on
 *  - what a device process has parked is kept, by the next service as well
 *  - what a device process has shared is told, of the next service as well
 *  - a device process that died does not hold up those who had channels to it
 *  - when all have left there is no member and no channel, nothing is held, all is free
 *  - the store holds no file more than before, and neither does the service
 *
 * One service lives through all of it, hundreds of times killed. Where there are more moments than
 * time, they are chosen by PINION_SEED; PINION_SECONDS says how long for each operation. 0: for all
 * of them, once scans have found out where there are stores; and a moment that could not be come to
 * in time is a failure.
 *
 *     service                              all operations
 *     service grow                         one
 *     service grow call 17 0 0x1d          one kill again; the last is its seed
 *     service --planted                    passes only if grow finds something wrong
 */

#include "pin.h"
#include "pool_support.h"
#include "tap.h"
#include "trial.h"

#define SECONDS 2
#define WRONG_MAX 3

/* The time is over only when it was killed so many times: how many moments fit into it is the
 * machine's matter, and a sweep without a kill says nothing. But it ends. */
#define CALLS_LEAST 3
#define SECONDS_MOST 30

/* For a complete sweep scans say where there are stores. When so many in a row came upon no more
 * than those before them, there is no more; every other one is of a service that has just taken
 * everything up again. A moment that is then not met so many times is not there. */
#define QUIET_SCANS 4
#define TRIES 5

/* Instructions chosen, and how far from a system call. The second for those who have time. */
#define STEPS 24
#define STEPS_LONG 200
#define STEPS_FAR 3000

static const struct operation operations[] = {
	{.name = "attach_pool", .order = ORDER_ATTACH_POOL},
	{.name = "attach_own", .order = ORDER_ATTACH_OWN},
	{.name = "attach_device", .device = true, .order = ORDER_ATTACH_DEVICE},
	{.name = "announce", .device_acts = true, .order = ORDER_ANNOUNCE},
	{.name = "ready", .device = true, .device_acts = true, .order = ORDER_READY},
	{.name = "bye", .device = true, .client = true, .order = ORDER_CLOSE},
	{.name = "bye_device", .device = true, .client = true, .device_acts = true,
	 .order = ORDER_CLOSE},
	{.name = "client_dies", .device = true, .client = true, .dies = true},
	{.name = "device_dies", .device = true, .client = true, .device_acts = true, .dies = true},
	{.name = "settled", .device = true, .client = true, .lost = true, .order = ORDER_SETTLE},
	{.name = "rejoin", .device = true, .client = true, .order = ORDER_LOSE},
	{.name = "restart", .device = true, .client = true, .restarts = true},
	{.name = "attach_apart", .device = true, .order = ORDER_ATTACH_APART},
	{.name = "bye_apart", .device = true, .client = true, .apart = true, .order = ORDER_CLOSE},
	{.name = "bye_device_apart", .device = true, .client = true, .apart = true,
	 .device_acts = true, .order = ORDER_CLOSE},
	{.name = "client_dies_apart", .device = true, .client = true, .apart = true, .dies = true},
	{.name = "device_dies_apart", .device = true, .client = true, .apart = true,
	 .device_acts = true, .dies = true},
	{.name = "settled_apart", .device = true, .client = true, .apart = true, .lost = true,
	 .order = ORDER_SETTLE},
	{.name = "rejoin_apart", .device = true, .client = true, .apart = true,
	 .order = ORDER_LOSE},
	{.name = "restart_apart", .device = true, .client = true, .apart = true, .restarts = true},
	{.name = "attach_loop", .device = true, .loop = true, .order = ORDER_ATTACH_DEVICE},
	{.name = "bye_loop", .device = true, .client = true, .loop = true, .order = ORDER_CLOSE},
	{.name = "device_dies_loop", .device = true, .client = true, .loop = true,
	 .device_acts = true, .dies = true},
	{.name = "rejoin_loop", .device = true, .client = true, .loop = true, .order = ORDER_LOSE},
	{.name = "restart_loop", .device = true, .client = true, .loop = true, .restarts = true},
	{.name = "attach_loop_apart", .device = true, .loop = true, .order = ORDER_ATTACH_APART},
	{.name = "grow", .pool_client = true, .order = ORDER_GROW},
	{.name = "retire", .pool_client = true, .grown = true, .order = ORDER_RETIRE},
	{.name = "retire_busy", .pool_client = true, .grown = true, .full = true,
	 .order = ORDER_RETIRE},
	{.name = "spare_destroy", .order = ORDER_DESTROY_SPARE},
	{.name = "stat", .device = true, .client = true, .order = ORDER_FIND},
	{.name = "kick", .device = true, .client = true, .order = ORDER_KICK},
	{.name = "kick_apart", .device = true, .client = true, .apart = true,
	 .order = ORDER_KICK},
	{.name = "share", .device = true, .client = true, .device_acts = true,
	 .order = ORDER_SHARE},
	{.name = "share_again", .device = true, .client = true, .shared = true,
	 .device_acts = true, .order = ORDER_SHARE},
	{.name = "share_apart", .device = true, .client = true, .apart = true, .device_acts = true,
	 .order = ORDER_SHARE_APART},
	{.name = "attach_shared", .device = true, .shared = true, .order = ORDER_ATTACH_DEVICE},
	{.name = "rejoin_shared", .device = true, .client = true, .shared = true,
	 .order = ORDER_LOSE},
	{.name = "rejoin_shared_apart", .device = true, .client = true, .apart = true,
	 .shared = true, .order = ORDER_LOSE},
	{.name = "addr", .device = true, .shared = true, .order = ORDER_ADDR},
	{.name = "frames", .device = true, .device_acts = true, .named = true,
	 .order = ORDER_FRAMES},
	{.name = "park", .device = true, .client = true, .device_acts = true, .order = ORDER_PARK},
	{.name = "park_again", .device = true, .client = true, .parked = true,
	 .device_acts = true, .order = ORDER_PARK},
	{.name = "rejoin_parked", .device = true, .client = true, .parked = true,
	 .order = ORDER_LOSE},
	{.name = "restart_parked", .device = true, .client = true, .parked = true,
	 .restarts = true},
	{.name = "bye_device_parked", .device = true, .client = true, .parked = true,
	 .device_acts = true, .order = ORDER_CLOSE},
	{.name = "device_dies_parked", .device = true, .client = true, .parked = true,
	 .device_acts = true, .dies = true},
	{.name = "attach_named", .device = true, .named = true, .order = ORDER_ATTACH_DEVICE},
	{.name = "bye_named", .device = true, .client = true, .named = true,
	 .order = ORDER_CLOSE},
	{.name = "client_dies_named", .device = true, .client = true, .named = true,
	 .dies = true},
	{.name = "device_dies_named", .device = true, .client = true, .named = true,
	 .device_acts = true, .dies = true},
	{.name = "rejoin_named", .device = true, .client = true, .named = true,
	 .order = ORDER_LOSE},
	{.name = "restart_named", .device = true, .client = true, .named = true,
	 .restarts = true},
	{.name = "grow_named", .pool_client = true, .named = true, .order = ORDER_GROW},
	{.name = "retire_named", .pool_client = true, .named = true, .grown = true,
	 .order = ORDER_RETIRE},
	{.name = "destroy_named", .named = true, .order = ORDER_DESTROY_NAMED},
	{.name = "pool_create", .pages = true, .order = ORDER_CREATE},
	{.name = "pool_destroy", .pages = true, .extra = true, .order = ORDER_DESTROY},
};
#define NR_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* Moments. */

struct list {
	struct moment *moment;
	uint32_t nr;
};

static void add(struct list *list, struct moment moment)
{
	if (!(list->nr & (list->nr - 1)))
		list->moment = reallocarray(list->moment, 2 * list->nr + 1, sizeof(*list->moment));
	if (!list->moment)
		tap_bail("no memory for %u moments", list->nr);
	list->moment[list->nr++] = moment;
}

static void add_steps(struct list *list, uint32_t calls, uint32_t nr, uint64_t *random)
{
	for (uint32_t i = 0; i < nr; i++)
		add(list, (struct moment){.kind = STEP, .call = test_below(random, calls),
					  .nth = 1 + test_below(random, STEPS_FAR)});
}

/* How many stores there are is found out on the way, see add_further(). */
static void add_some(struct list *list, const struct course *course, uint64_t *random)
{
	for (uint32_t call = 0; call < course->nr; call++) {
		add(list, (struct moment){.kind = CALL, .call = call});
		add(list, (struct moment){.kind = STORE, .call = call, .nth = 1});
	}
	add_steps(list, course->nr, STEPS, random);
}

/* How many stores. */
static uint32_t add_scanned(struct list *list, const struct scan *scan, uint64_t *random)
{
	uint32_t nr = 0;

	for (uint32_t call = 0; call < scan->nr; call++) {
		add(list, (struct moment){.kind = CALL, .call = call});
		nr += scan->stores[call];
		for (uint32_t nth = 1; nth <= scan->stores[call]; nth++)
			add(list, (struct moment){.kind = STORE, .call = call, .nth = nth});
	}
	add_steps(list, scan->nr, STEPS_LONG, random);
	return nr;
}

/* Where the ledger has been written to, and no system call was made since; and around it, for a
 * timer of the service's may have its turn in one course and not in another. */
#define AROUND 8

static void add_stored(struct list *list, const struct course *course)
{
	for (uint32_t call = 0; call < course->nr; call++)
		for (uint32_t i = 0; course->stored[call] && i < 2 * AROUND; i++)
			if (call + 1 + i >= AROUND)
				add(list, (struct moment){.kind = CALL,
							  .call = call + 1 + i - AROUND});
}

static void swap(struct moment *a, struct moment *b)
{
	const struct moment moment = *a;

	*a = *b;
	*b = moment;
}

static void shuffle(struct list *list, uint64_t *random)
{
	for (uint32_t i = list->nr; i > 1; i--)
		swap(&list->moment[test_below(random, i)], &list->moment[i - 1]);
}

struct result {
	uint32_t done[3]; /* deaths at moments that there are */
	uint32_t of[2];   /* entries and exits of system calls; stores, if they were counted */
	uint32_t late;    /* moments for which there was no time */
	bool all;         /* none was left out */
	uint32_t wrong;
	char why[TRIAL_REASON_MAX + 16]; /* the first of them, for the end of a line */
};

/* For the claim's own line: of a run elsewhere there may be nothing else to see. */
static void note(struct result *result, bool good)
{
	if (!good && !result->wrong++)
		(void)snprintf(result->why, sizeof(result->why), ", at first: %s", trial_reason);
}

/* Somewhere among those that are still to come. */
static void add_later(struct list *list, uint32_t i, struct moment moment, uint64_t *random)
{
	add(list, moment);
	swap(&list->moment[list->nr - 1],
	     &list->moment[i + 1 + test_below(random, list->nr - i - 1)]);
}

/* How many stores come before the next system call is not known where time is short: after each
 * there may be one more, or, further on, many. */
static void add_further(struct list *list, uint32_t i, uint64_t *random)
{
	struct moment next = list->moment[i];

	next.nth += 1 + test_below(random, next.nth);
	add_later(list, i, next, random);
}

/* A turn of a timer moves the operation a few calls on: what was not met may be met when it is
 * tried again. False: that was the last time. */
static bool add_again(struct list *list, uint32_t i, uint64_t *random)
{
	struct moment again = list->moment[i];

	if (++again.tries == TRIES)
		return false;
	add_later(list, i, again, random);
	return true;
}

static void kill_at_each(const struct operation *operation, struct list *list,
			 struct result *result, uint64_t *random, uint64_t seconds)
{
	const uint64_t until = test_now_ns() + seconds * 1000000000;
	const uint64_t most = until + SECONDS_MOST * UINT64_C(1000000000);

	for (uint32_t i = 0; i < list->nr && result->wrong < WRONG_MAX; i++) {
		bool again = false;
		enum stop at;

		if (seconds && test_now_ns() > until &&
		    (result->done[CALL] >= CALLS_LEAST || test_now_ns() > most))
			return;
		note(result, trial_run(operation, &list->moment[i], test_random(random), &at));
		result->done[list->moment[i].kind] += at == STOP_HERE;
		if (seconds && at == STOP_HERE && list->moment[i].kind == STORE)
			add_further(list, i, random);
		else if (!seconds && at != STOP_HERE && list->moment[i].kind != STEP)
			again = add_again(list, i, random);
		result->late += at == STOP_LATE && !again;
	}
	result->all = !seconds && !result->late && !result->wrong;
}

/* From the first call to the last. */
static bool scan_once(const struct operation *operation, bool renewed, struct scan *scan)
{
	uint32_t call = 0;

	do
		if (!trial_scan(operation, call, renewed, scan, &call))
			return false;
	while (call);
	return true;
}

static bool scan_all(const struct operation *operation, struct scan *scan)
{
	bool good = true;

	for (uint32_t i = 0, quiet = 0; good && quiet < QUIET_SCANS; i++) {
		scan->news = false;
		good = scan_once(operation, i & 1, scan);
		quiet = scan->news ? 0 : quiet + 1;
	}
	return good;
}

static void list_scanned(const struct operation *operation, struct list *list,
			 struct result *result, uint64_t *random)
{
	static struct scan scan;

	scan = (struct scan){0};
	note(result, scan_all(operation, &scan));
	if (result->wrong)
		return;
	result->of[CALL] = scan.nr;
	result->of[STORE] = add_scanned(list, &scan, random);
	for (uint32_t call = 0; call < scan.nr; call++)
		result->late += !scan.through[call];
	tap_remark("%s: %u entries and exits of system calls, %u stores", operation->name,
		   result->of[CALL], result->of[STORE]);
}

static void list_some(const struct operation *operation, struct list *list, struct result *result,
		      uint64_t *random)
{
	struct course course;

	note(result, trial_look(operation, &course));
	if (result->wrong)
		return;
	result->of[CALL] = course.nr;
	add_some(list, &course, random);
}

static struct result sweep(const struct operation *operation, uint64_t *random, uint64_t seconds)
{
	struct result result = {0};
	struct list list = {0};

	(seconds ? list_some : list_scanned)(operation, &list, &result, random);
	shuffle(&list, random);
	kill_at_each(operation, &list, &result, random, seconds);
	free(list.moment);
	return result;
}

/* All of the few moments at which what is planted shows. */
static struct result aim(const struct operation *operation, uint64_t *random)
{
	struct result result = {0};
	struct list list = {0};
	struct course course;

	note(&result, trial_look(operation, &course));
	if (!result.wrong)
		add_stored(&list, &course);
	kill_at_each(operation, &list, &result, random, 0);
	free(list.moment);
	return result;
}

/* A sweep that is to be complete, and is not, is a failure. */
static void claim(const struct operation *operation, uint64_t *random, uint64_t seconds)
{
	const struct result r = sweep(operation, random, seconds);
	char of[16] = "";

	if (!seconds)
		(void)snprintf(of, sizeof(of), " of %u", r.of[STORE]);
	tap_result(!r.wrong && r.done[CALL] && (seconds || r.all),
		   "%s: killed at %u of %u entries and exits of system "
		   "calls, after %u%s stores, after %u instructions; %s, %u too far off; %u "
		   "wrong%s", operation->name, r.done[CALL], r.of[CALL], r.done[STORE], of,
		   r.done[STEP], r.all ? "complete" : "sampled", r.late, r.wrong, r.why);
}

static const struct operation *find(const char *name)
{
	for (size_t i = 0; i < NR_OPERATIONS; i++)
		if (!strcmp(operations[i].name, name))
			return &operations[i];
	tap_bail("no operation is called %s", name);
}

static void claim_some(const struct operation *first, int nr, uint64_t *random,
		       uint64_t seconds)
{
	tap_plan(nr);
	for (int i = 0; i < nr; i++) {
		const char *lack = trial_lack(&first[i]);

		if (lack)
			tap_result(true, "%s # SKIP %s", first[i].name, lack);
		else
			claim(&first[i], random, seconds);
	}
	tap_remark("%ju deaths of the service, %ju of them while it took everything up again",
		   (uintmax_t)trial_count.deaths, (uintmax_t)trial_count.nested);
}

static void again(char **argument)
{
	struct moment moment = {.call = (uint32_t)strtoul(argument[2], NULL, 0),
				.nth = (uint32_t)strtoul(argument[3], NULL, 0)};
	enum stop at;
	bool good;

	while (strcmp(trial_kinds[moment.kind], argument[1]))
		if (++moment.kind > STEP)
			tap_bail("%s: call, store or step", argument[1]);
	tap_plan(1);
	good = trial_run(find(argument[0]), &moment, strtoull(argument[4], NULL, 0), &at);
	tap_result(good, "%s: %s that moment", argument[0],
		   at == STOP_HERE ? "killed at" : "not killed at");
}

/* The service with PINION_PLANTED_LEDGER, see ledger_watch(). */
static void claim_planted(uint64_t *random)
{
	struct result result;

	tap_plan(2);
	result = aim(find("grow"), random);
	tap_result(result.wrong && result.done[CALL], "grow: noticed in %u of %u kills%s",
		   result.wrong, result.done[CALL], result.why);
	result = aim(find("attach_device"), random);
	tap_result(!result.wrong && result.done[CALL],
		   "attach_device does not pass it: noticed in %u of %u kills%s", result.wrong,
		   result.done[CALL], result.why);
}

/* The C library takes its strings by AVX-512 where there is any, and the decoder (shared.c) does
 * not know all of that. Programs that are started from here on do without. */
static void do_without_avx512(void)
{
	if (setenv("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW", 1))
		tap_bail("no environment");
}

int main(int argc, char **argv)
{
	const char *given = getenv("PINION_SECONDS");
	uint64_t seconds = given ? strtoull(given, NULL, 0) : SECONDS, random = test_seed();

	if (argc != 1 && argc != 2 && argc != 6)
		return 2;
	if (geteuid())
		return tap_skip("needs root");
	pin_here();
	do_without_avx512();
	trial_open();
	if (argc == 6) {
		again(argv + 1);
	} else if (argc == 1) {
		claim_some(operations, (int)NR_OPERATIONS, &random, seconds);
	} else if (!strcmp(argv[1], "--planted")) {
		claim_planted(&random);
	} else {
		claim_some(find(argv[1]), 1, &random, seconds);
	}
	trial_close();
	return tap_status();
}
