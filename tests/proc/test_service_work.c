/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is at work while others do what they must not, or too much of what they may (attacks.h):
 * buffers go to a device process and come back, newcomers are let in, and both take at most twice
 * as long as in quiet, by the median and by the 99th percentile, in most rounds. But pools that are
 * made for somebody are compared with as many that are made without the service: where there are
 * two processors, that takes one. And newcomers are then let in as soon as ever one has to be, by
 * the median (test_service_pace.c), but not within twice the time: the thread that makes the pools
 * goes from one processor to the other, and they may wait behind it, for about as long on a fast
 * machine as on a slow one. What the service kept of it all is nothing.
 */

#include "attacks.h"
#include "old_kernel.h"
#include "pace_support.h"

#define GUEST_POOL "guest"

#define GUEST_BYTES (1 << 20) /* of the template, as service_configure_pages() is told below */
#define GUEST_BUFFER 4096     /* as it has it */
#define LEFT_KIB 1024

#define ADMISSION_NS 1000000 /* at most, by the median */

/* With sanitizers a round takes longer, and more is allowed. */
#define TRIPS (SUPPORT_SANITIZED ? 1000 : 3000)
#define ARRIVALS (SUPPORT_SANITIZED ? 300 : 600)

/* The machine has other work, too: of as many rounds the middle one counts, and all of them are
 * tried a few times. */
#define ROUNDS 9
#define TRIES 8
#define ROUNDS_MAX (ROUNDS * 10) /* those in which the attack did not get to it included */

/* With pools. */

/* Each time a pool is made, its pages are filled, and it ends. */
static void have_pools_made(void)
{
	for (;; blow()) {
		struct raw raw = raw_in(RAW_KNOWN);

		(void)raw_join(&raw, WIRE_ATTACH, "pool:" GUEST_POOL);
		(void)raw_say(raw.fd, WIRE_BYE, 0);
		(void)raw_hung_up(raw.fd);
		raw_end(&raw);
	}
}

/* As many in the same time, and the service has no part in it. */
static void make_pools(void)
{
	const struct pinion_pool_config config = {
		.nr_members = 3,
		.nr_segments = 1,
		.segment = {{.len = GUEST_BYTES, .buffer_size = GUEST_BUFFER, .page_size = 4096,
			     .node = PINION_NODE_ANY}},
	};

	for (uint64_t next = test_now_ns();; blow()) {
		struct pinion_pool *pool;

		if (pinion_pool_create(&config, &pool))
			return;
		(void)pinion_pool_destroy(pool);
		for (next += told->turn_ns; test_now_ns() < next;)
			usleep(REST_US);
	}
}

/* Attacks, and what they are compared with. */

struct attack {
	void (*what)(void);
	unsigned least;        /* fewer times, and the round says nothing */
	void (*without)(void); /* the same work without the service, which is what quiet has beside
	                        * it; NULL: there is hardly any. With it newcomers are judged by
	                        * ADMISSION_NS */
	void (*prepare)(void); /* what the service's process does first; NULL: nothing */
};

static const struct attack wrong_sizes = {send_wrong_sizes, 20, NULL, NULL},
	no_bytes = {say_nothing_at_all, 20, NULL, NULL},
	other_versions = {speak_other_versions, 20, NULL, NULL},
	connections = {come_and_go, 20, NULL, NULL},
	half_open = {stay_half_open, HALF_OPEN, NULL, NULL},
	pools = {have_pools_made, 5, make_pools, NULL},
	questions = {ask_without_end, 20, NULL, NULL},
	deafness = {read_nothing, 20, NULL, NULL},
	many_files = {send_files, 20, NULL, NULL},
	many_files_of_a_device_process = {send_files_as_a_device_process, 20, NULL, NULL},
	messages = {say_without_end, 5, NULL, NULL},
	many_files_before_6_16 = {send_files, 20, NULL, forget_the_option},
	wrong_files = {send_wrong_files, 5, NULL, NULL};

/* Work. */

/* Sends back what comes from its one client, at once. */
static int serve_one(void *arg)
{
	const struct pinion_device_config config = {.pool = SERVICE_POOL};
	struct pinion_device *device;
	struct pinion_event event;
	struct pinion_desc desc;
	struct pollfd want;
	int got;

	(void)arg;
	if (pinion_device_open(SERVICE_DEVICE, &config, &device) || pinion_device_ready(device))
		return 1;
	want = (struct pollfd){pinion_device_fd(device), POLLIN, 0};
	while ((got = pinion_device_next(device, &event)) == 0)
		(void)poll(&want, 1, -1);
	if (got != 1 || event.kind != PINION_EVENT_JOINED)
		return 2;
	for (;;) {
		while (pinion_channel_recv(event.channel, &desc, 1) != 1)
			(void)pinion_channel_wait(event.channel, PATIENCE_NS);
		if (pinion_channel_send(event.channel, &desc, 1) != 1)
			return 3;
	}
}

struct stage {
	struct service_process service;
	pid_t device;
	struct pinion_client *client;
	struct pinion_cache *cache;
	unsigned files; /* that the service has at rest */
};

static void open_stage(struct stage *stage, const struct attack *attack)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	attacks_open();
	service_configure_pages(&stage->service, ANY_RULES, "4k", "1M");
	service_run_prepared(&stage->service, attack->prepare);
	stage->device = part_start(serve_one, NULL);
	stage->client = client_await();
	assert_int_equal(pinion_cache_open(pinion_client_pool(stage->client), &any, &stage->cache),
			 0);
}

static void close_stage(struct stage *stage)
{
	assert_int_equal(pinion_cache_close(stage->cache), 0);
	assert_int_equal(pinion_client_close(stage->client), 0);
	assert_int_equal(process_end(stage->device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&stage->service);
	attacks_close();
}

/* To the device and back, of one buffer. */
static int64_t time_trip(void *context)
{
	struct stage *stage = context;
	const uint64_t before = test_now_ns();

	assert_int_equal(bounce(stage->client, stage->cache, 1, 0), 0);
	return (int64_t)(test_now_ns() - before);
}

/* What is compared. */

struct paces {
	struct pace trip, arrival;
};

static struct paces measure_both(struct stage *stage)
{
	return (struct paces){pace_measure(time_trip, stage, TRIPS),
			      pace_measure(pace_arrival, NULL, ARRIVALS)};
}

/* How many times as long as in quiet, in thousandths, in each round. */
struct ratios {
	int64_t trip[ROUNDS], trip_p99[ROUNDS], arrival[ROUNDS], arrival_p99[ROUNDS];
	int64_t arrival_ns[ROUNDS]; /* attacked */
};

static int64_t thousandths(int64_t attacked, int64_t quiet)
{
	return attacked * 1000 / (quiet > 0 ? quiet : 1);
}

/* While somebody does @what, which is over when this returns, and forgotten: who waits for his turn
 * is missed when it comes. False: it was done fewer than @least times. */
static bool measure_beside(struct stage *stage, void (*const *what)(void), unsigned least,
			   struct paces *paces)
{
	const uint64_t began = test_now_ns();
	unsigned landed;
	pid_t pid;

	pid = attack_start(what);
	usleep(20000);
	*paces = measure_both(stage);
	landed = told->blows;
	told->turn_ns = (test_now_ns() - began) / (landed ? landed : 1);
	/* It lasted to the end. */
	assert_int_equal(process_end(pid, SIGKILL), 128 + SIGKILL);
	service_await_files(&stage->service, stage->files);
	return landed >= least;
}

/* With, and without, one after the other, the latter as fast. False: it did not get to it, and the
 * round says nothing. */
static bool measure_round(struct stage *stage, const struct attack *attack, struct ratios *ratios,
			  int round)
{
	struct paces quiet, attacked;

	if (!measure_beside(stage, &attack->what, attack->least, &attacked))
		return false;
	if (!attack->without)
		quiet = measure_both(stage);
	else if (!measure_beside(stage, &attack->without, attack->least, &quiet))
		return false;
	ratios->trip[round] = thousandths(attacked.trip.typical, quiet.trip.typical);
	ratios->trip_p99[round] = thousandths(attacked.trip.p99, quiet.trip.p99);
	ratios->arrival[round] = thousandths(attacked.arrival.typical, quiet.arrival.typical);
	ratios->arrival_p99[round] = thousandths(attacked.arrival.p99, quiet.arrival.p99);
	ratios->arrival_ns[round] = attacked.arrival.typical;
	return true;
}

static bool is_too_much(const char *what, int64_t ratio[ROUNDS])
{
	sort_ns(ratio, ROUNDS);
	print_message("# %s: %.2f times as long, from %.2f to %.2f\n", what,
		      (double)ratio[ROUNDS / 2] / 1000, (double)ratio[0] / 1000,
		      (double)ratio[ROUNDS - 1] / 1000);
	return ratio[ROUNDS / 2] > TIMES_AS_LONG * 1000;
}

static bool is_too_late(int64_t took_ns[ROUNDS])
{
	sort_ns(took_ns, ROUNDS);
	print_message("# arrival, p50: %jd us, from %jd to %jd\n",
		      (intmax_t)took_ns[ROUNDS / 2] / 1000, (intmax_t)took_ns[0] / 1000,
		      (intmax_t)took_ns[ROUNDS - 1] / 1000);
	return took_ns[ROUNDS / 2] > ADMISSION_NS;
}

static bool is_held_up(struct stage *stage, const struct attack *attack)
{
	static struct ratios ratios;
	bool is, slow, late;
	int tries = 0;

	for (int round = 0; round < ROUNDS; tries++) {
		assert_true(tries < ROUNDS_MAX);
		round += measure_round(stage, attack, &ratios, round);
	}
	is = is_too_much("trip, p50", ratios.trip);
	is |= is_too_much("trip, p99", ratios.trip_p99);
	slow = is_too_much("arrival, p50", ratios.arrival);
	slow |= is_too_much("arrival, p99", ratios.arrival_p99);
	late = is_too_late(ratios.arrival_ns);
	return is || (attack->without ? late : slow);
}

static void who_is_at_work_takes_at_most_twice_as_long(void **state)
{
	struct stage stage;
	uint64_t rss;
	int tried = 0;

	open_stage(&stage, *state);
	(void)measure_both(&stage);
	rss = rss_at_rest(stage.service.pid);
	stage.files = service_files_at_rest(&stage.service);
	while (is_held_up(&stage, *state))
		assert_true(++tried < TRIES);
	service_await_members(2);
	service_await_pools(1);
	if (MEMORY_TELLS)
		assert_in_range(rss_at_rest(stage.service.pid), 0, rss + LEFT_KIB);
	close_stage(&stage);
}

#define work_by(attack)                                                                           \
	{"who_is_at_work_takes_at_most_twice_as_long_" #attack,                                   \
	 who_is_at_work_takes_at_most_twice_as_long, pool_test_before, pool_test_after,           \
	 (void *)(uintptr_t)&(attack)}
#define work_test(attack) support_where(!geteuid(), "only root becomes others", work_by, attack)

int main(void)
{
	const struct CMUnitTest tests[] = {
		work_test(wrong_sizes),
		work_test(no_bytes),
		work_test(other_versions),
		work_test(connections),
		work_test(half_open),
		work_test(pools),
		work_test(questions),
		work_test(deafness),
		work_test(messages),
		work_test(many_files),
		work_test(many_files_before_6_16),
		work_test(many_files_of_a_device_process),
		work_test(wrong_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
