/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond, a device process, clients and an administrator, all at work, each killed at a moment
 * that nobody chose. At times all but the service rest, and everything is counted:
 *
 *  - nobody was expelled who lived
 *  - no member and no channel is left, nothing is held, all is free
 *  - the store has the files that it had at first
 *
 *     kill_service --kills 1000 --seconds 100     the defaults; fewer in that time are a failure
 *     kill_service --pace 10                      pauses ten times as long, where processors are
 *                                                 emulated and nobody would get to work else
 *
 * Kills of who does nothing prove nothing. So each tenth waits until somebody is at work, and then
 * for what it does to those who live, on a slow machine too; and it fails unless for every hundred
 * kills one of each was seen: attached, all that was sent is back, rejoined, settled, an order
 * done.
 *
 * PINION_SEED repeats who is killed in which order, not the moments.
 */

#include <getopt.h>
#include <sys/mman.h>

/* Nobody answers a client whose device process was killed, if the service that should say so was,
 * too: it is to do something else then. For service_support.h. */
#define PATIENCE_NS UINT64_C(5000000000)

#include "account.h"
#include "service_support.h"
#include "tap.h"

#define CLIENTS 5
#define REST 100 /* kills between two rests */
#define AT_WORK 10 /* of so many kills one is of who is seen at work */
#define WORK_NS UINT64_C(60000000000) /* for work that is waited for */

/* Between two kills; one in eight times the second, so that all can come back. */
#define PAUSE_US 12000
#define PAUSE_LONG_US 150000

/* Shared with all. */
struct count {
	_Atomic uint64_t attached, bounced, returned, settled, expelled, ordered;
};

static struct count *count;

/* All pauses are so many times as long: of those who kill, and of those who die. */
static uint32_t pace = 1;

/* Clients. */

/* The service is away, as the client of this process sees it. */
static bool away;

static void listen_to(struct pinion_client *client, struct pinion_cache *cache)
{
	struct pinion_channel *channel = pinion_client_channel(client);
	struct pinion_client_event event;
	struct pinion_desc desc;

	while (pinion_client_next(client, &event) == 1) {
		count->returned += event.kind == PINION_CLIENT_SERVICE_BACK;
		count->expelled += event.kind == PINION_CLIENT_EXPELLED;
		away = event.kind == PINION_CLIENT_SERVICE_LOST ||
		       (away && event.kind != PINION_CLIENT_SERVICE_BACK);
		if (event.kind == PINION_CLIENT_EXPELLED) {
			away = false;
			return;
		}
		if (event.kind != PINION_CLIENT_DEVICE_LEFT)
			continue;
		while (pinion_channel_recv(channel, &desc, 1) > 0)
			(void)pinion_buffer_free(cache, desc.buffer);
		count->settled += !pinion_client_settle(client, cache);
	}
}

static void work(struct pinion_client *client, uint64_t *random)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_buffer held;
	struct pinion_cache *cache;

	if (pinion_cache_open(pinion_client_pool(client), &any, &cache))
		return;
	for (uint32_t i = test_below(random, 20); i; i--) {
		if (pinion_client_channel(client))
			count->bounced += !bounce(client, cache, 1 + test_below(random, 20), 0);
		(void)pinion_buffer_alloc(cache, &held);
		usleep(pace * test_below(random, 2000));
		listen_to(client, cache);
	}
	/* Half of them end without it. */
	for (bool waits = test_below(random, 2); waits && away; listen_to(client, cache))
		usleep(1000);
	(void)pinion_cache_close(cache);
}

static int live(void *seed)
{
	uint64_t random = *(uint64_t *)seed;

	for (;;) {
		const char *what = test_below(&random, 4) ? SERVICE_DEVICE : "pool:" SERVICE_POOL;
		struct pinion_client *client;

		if (pinion_client_open(what, NULL, &client)) {
			usleep(1000);
			continue;
		}
		count->attached++;
		away = false;
		work(client, &random);
		/* One in four ends here. What it forgot then is the service's to find. */
		if (!test_below(&random, 4))
			return 0;
		(void)pinion_client_close(client);
	}
}

/* Who is refused ends, and another tries. */
static int drive(void *seed)
{
	static char name[] = SERVICE_DEVICE;
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct echo echo = {0};
	int err;

	(void)seed;
	if (pinion_device_open(name, NULL, &echo.device))
		return 1;
	if (pinion_cache_open(pinion_device_pool(echo.device), &any, &echo.cache) ||
	    pinion_device_ready(echo.device))
		return 2;
	err = echo_loop(&echo);
	count->expelled += err == 3;
	return err;
}

static int administer(void *seed)
{
	uint64_t random = *(uint64_t *)seed;

	while (getppid() > 1) {
		char text[64];
		json_t *answer;
		int err;

		(void)snprintf(text, sizeof(text), SERVICE_POOL " %u", 1 + test_below(&random, 3));
		answer = test_below(&random, 2) ? service_ask("pool-grow", SERVICE_POOL " 1M", &err)
						: service_ask("pool-retire", text, &err);
		count->ordered += answer != NULL;
		json_decref(answer);
		usleep(pace * test_below(&random, 5000));
	}
	return 0;
}

/* Who is killed. */

static struct {
	struct service_process service;
	struct account first;
	int stored;
	uint64_t random, killed[3]; /* the service; the device process; others */
	struct part {
		pid_t pid;
		int (*role)(void *seed);
	} part[CLIENTS + 2];
} scene;

static void put_part(struct part *part)
{
	uint64_t seed = test_random(&scene.random) | 1;

	part->pid = part_start(part->role, &seed);
}

static void stop_part(struct part *part)
{
	(void)kill(part->pid, SIGKILL);
	(void)waitpid(part->pid, NULL, 0);
}

/* Those who ended by themselves are followed by others. */
static void renew_parts(void)
{
	for (size_t i = 0; i < CLIENTS + 2; i++)
		if (waitpid(scene.part[i].pid, NULL, WNOHANG) == scene.part[i].pid)
			put_part(&scene.part[i]);
}

static pid_t find_service(void)
{
	char path[64];
	int pid = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)scene.service.pid,
		       (int)scene.service.pid);
	file = fopen(path, "re");
	if (!file)
		tap_bail("the manager is gone");
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0; /* it is just between two */
	(void)fclose(file);
	return pid;
}

static void kill_service(void)
{
	pid_t service = find_service();

	scene.killed[0] += service && !kill(service, SIGKILL);
}

/* The first is the device process. */
static void kill_part(uint32_t i)
{
	stop_part(&scene.part[i]);
	put_part(&scene.part[i]);
	scene.killed[i ? 2 : 1]++;
}

static void kill_one(void)
{
	const uint32_t who = test_below(&scene.random, 10);

	if (who < 4)
		kill_service();
	else
		kill_part(who == 4 ? 0 : 1 + test_below(&scene.random, CLIENTS + 1));
}

/* Until there is more of it, or so many have attached meanwhile that nobody is left to do it. That
 * it does not come is no mistake; that it never comes is one, see was_under_load(). */
static void await_more(const _Atomic uint64_t *what, uint64_t attached)
{
	const uint64_t before = *what, until = test_now_ns() + WORK_NS;
	const uint64_t others = count->attached;

	while (*what == before && count->attached - others < attached && test_now_ns() < until) {
		renew_parts();
		usleep(1000);
	}
}

static void kill_at_work(void)
{
	await_more(&count->bounced, UINT64_MAX);
	if (test_below(&scene.random, 2)) {
		kill_service();
		await_more(&count->returned, 2 * CLIENTS);
	} else {
		kill_part(0);
		await_more(&count->settled, 2 * CLIENTS);
	}
}

static void retire_all(void)
{
	for (int slot = 1; slot < 4; slot++) {
		char text[64];
		int err;

		(void)snprintf(text, sizeof(text), SERVICE_POOL " %d", slot);
		json_decref(service_ask("pool-retire", text, &err));
	}
}

/* True: everything is where it was at first. */
static bool rest(void)
{
	const uint64_t until = test_now_ns() + WORK_NS;
	struct account account;
	int stored;

	for (size_t i = 0; i < CLIENTS + 2; i++)
		stop_part(&scene.part[i]);
	do {
		retire_all();
		if (!account_take(&account)) {
			tap_remark("the service does not answer");
			return false;
		}
		stored = account_files(scene.service.pid);
		if (account_is_rest(&account, &scene.first) && stored == scene.stored)
			return !count->expelled;
	} while (test_now_ns() < until);
	tap_remark("at rest: %jd members, %jd channels, %jd held, %jd of %jd free, %d files (%d)",
		   (intmax_t)account.members, (intmax_t)account.channels, (intmax_t)account.held,
		   (intmax_t)account.free, (intmax_t)account.total, stored, scene.stored);
	account_remark_files(scene.service.pid, "the manager");
	return false;
}

static void put_all(void)
{
	for (size_t i = 0; i < CLIENTS + 2; i++) {
		scene.part[i].role = !i ? drive : i > CLIENTS ? administer : live;
		put_part(&scene.part[i]);
	}
}

static uint64_t killed(void)
{
	return scene.killed[0] + scene.killed[1] + scene.killed[2];
}

static void pause_a_while(void)
{
	const uint32_t most = test_below(&scene.random, 8) ? PAUSE_US : PAUSE_LONG_US;

	usleep(pace * test_below(&scene.random, most));
}

static bool was_under_load(void)
{
	const uint64_t want = killed() / 100;

	return count->attached >= want && count->bounced >= want && count->returned >= want &&
	       count->settled >= want && count->ordered >= want;
}

/* True: all of them, in time, under load, and nothing was lost. */
static bool kill_many(uint64_t kills, uint64_t seconds)
{
	const uint64_t until = test_now_ns() + seconds * 1000000000;
	bool good = true;

	while (good && killed() < kills && test_now_ns() < until) {
		uint64_t next = killed() + REST;

		put_all();
		/* Later the pool may be as large as it can be, and no segment idle. */
		await_more(&count->ordered, UINT64_MAX);
		while (killed() < next && killed() < kills && test_now_ns() < until) {
			pause_a_while();
			renew_parts();
			if (killed() % AT_WORK)
				kill_one();
			else
				kill_at_work();
		}
		good = rest();
	}
	if (good && killed() < kills)
		tap_remark("not done: %ju kills of %ju in %ju s", (uintmax_t)killed(),
			   (uintmax_t)kills, (uintmax_t)seconds);
	if (good && !was_under_load())
		tap_remark("too few were at work when they were killed");
	return good && killed() >= kills && was_under_load();
}

static void open_service(void)
{
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (count == MAP_FAILED)
		tap_bail("no memory");
	service_start_managed(&scene.service);
	/* Before the manager starts another it reads all that this one said. */
	service_kill(&scene.service);
	if (!account_take(&scene.first))
		tap_bail("the service does not answer");
	scene.stored = account_files(scene.service.pid);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"kills", required_argument, NULL, 'k'},
		{"pace", required_argument, NULL, 'p'},
		{"seconds", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	uint64_t kills = 1000, seconds = 100;
	bool good;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;)
		if (option == 'k')
			kills = strtoull(optarg, NULL, 0);
		else if (option == 'p')
			pace = (uint32_t)strtoul(optarg, NULL, 0);
		else if (option == 's')
			seconds = strtoull(optarg, NULL, 0);
		else
			return 2;
	if (geteuid())
		return tap_skip("needs root");
	scene.random = test_seed();
	tap_plan(1);
	open_service();
	good = kill_many(kills, seconds);
	tap_result(good, "service, device process, clients and administrator killed anywhere lose "
		   "nothing: %ju kills", (uintmax_t)killed());
	tap_remark("killed: %ju services, %ju device processes, %ju others",
		   (uintmax_t)scene.killed[0], (uintmax_t)scene.killed[1],
		   (uintmax_t)scene.killed[2]);
	tap_remark("%ju attached, %ju times all back, %ju rejoined, %ju settled, %ju orders, %ju "
		   "expelled", (uintmax_t)count->attached, (uintmax_t)count->bounced,
		   (uintmax_t)count->returned, (uintmax_t)count->settled,
		   (uintmax_t)count->ordered, (uintmax_t)count->expelled);
	service_stop(&scene.service);
	return tap_status();
}
