/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond and peers that are slow, many, or never done: others are served meanwhile, nothing grows
 * without bound, and what is owed arrives when it is asked for. How much longer others take
 * meanwhile: test_service_work.c.
 *
 * PINION_CONNECTIONS: how many come and go, in place of 100,000.
 */

#include "attacks.h"
#include "pace_support.h"

#include <sys/resource.h>

/* Of a service that has nothing to do; it serves somebody new in less. */
#define SOON_NS UINT64_C(1000000000)

static void start(struct service_process *service, unsigned members, unsigned segments,
		  const char *more)
{
	service_configure_pool(service, members, segments, more);
	service_run(service);
	usleep(10000);
}

/* On a shared machine somebody new has to wait longer now and then, whoever else is there: in this
 * whole program so often at most. Who holds the service up does so each time. */
#define LATE_BY_CHANCE 3

static void expect_served_soon(void)
{
	static unsigned late;

	while ((uint64_t)come_and_leave() >= SOON_NS) {
		print_message("# somebody new was served late\n");
		assert_in_range(++late, 1, LATE_BY_CHANCE);
	}
}

/* One pool of so much, and anybody may do anything. */
static void configure_mib(struct service_process *service, unsigned mib)
{
	service_configure_pool(service, 24, 4, "");
	service_write(service,
		      "pools = ( { name = \"" SERVICE_POOL "\"; members = 24; caches = 64;\n"
		      "  segments = ( { size = \"%uM\"; buffer = \"4K\"; page = \"4k\"; } ); } );\n"
		      "rules = ( " ANY_RULES " );\n", mib);
}

static void order(const char *name, const char *text)
{
	int err;
	json_t *answer = service_ask(name, text, &err);

	if (!answer)
		print_message("# %s %s: %s\n", name, text, pinion_error_text());
	assert_non_null(answer);
	json_decref(answer);
}

/* Slow readers. */

static void a_client_that_reads_late_hears_of_each_segment_once(void **state)
{
	struct service_process service;
	uint64_t heard = 0;
	struct raw raw;

	(void)state;
	start(&service, 24, 64, "");
	raw = raw_in(RAW_CLIENT);
	for (int i = 0; i < 60; i++) {
		order("pool-grow", SERVICE_POOL " 64K");
		expect_served_soon();
	}
	for (int i = 0; i < 60; i++) {
		struct wire news;

		assert_int_equal(raw_hear(raw.fd, &news), 0);
		assert_int_equal(news.kind, WIRE_SEGMENT);
		assert_true(news.slot < 64 && !(heard >> news.slot & 1));
		heard |= UINT64_C(1) << news.slot;
	}
	assert_false(raw_readable(raw.fd, 20));
	raw_leave(&raw);
	service_await_members(0);
	service_stop(&service);
}

#define GUESTS 300

/* All of a device process's news: who joined, and then left. */
static void hear_guests(const struct raw *device)
{
	static bool joined[GUESTS + 2], left[GUESTS + 2];

	memset(joined, 0, sizeof(joined));
	memset(left, 0, sizeof(left));
	for (int i = 0; i < 2 * GUESTS; i++) {
		struct wire news;

		assert_int_equal(raw_hear(device->fd, &news), 0);
		assert_in_range(news.channel, 1, GUESTS);
		if (news.kind == WIRE_JOINED) {
			assert_false(joined[news.channel]);
			joined[news.channel] = true;
			continue;
		}
		assert_int_equal(news.kind, WIRE_LEFT);
		assert_true(joined[news.channel] && !left[news.channel]);
		left[news.channel] = true;
	}
	assert_false(raw_readable(device->fd, 20));
}

static void a_device_process_that_reads_late_hears_of_each_guest_once(void **state)
{
	struct service_process service;
	struct raw device, guest;

	(void)state;
	start(&service, GUESTS + 24, 4, "");
	device = raw_in(RAW_DEVICE);
	assert_int_equal(raw_say(device.fd, WIRE_READY, 0), 0);
	for (int i = 0; i < GUESTS; i++) {
		guest = raw_in(RAW_KNOWN);
		assert_int_equal(raw_join(&guest, WIRE_ATTACH, SERVICE_DEVICE).kind,
				 WIRE_ATTACHED);
		assert_int_equal(raw_say(guest.fd, WIRE_BYE, 0), 0);
		raw_end(&guest);
		if (i % 10 == 0)
			expect_served_soon();
	}
	assert_int_equal(service_count("channels"), GUESTS);
	hear_guests(&device);
	for (uint32_t i = 1; i <= GUESTS; i++) {
		struct wire settled = wire_of(WIRE_SETTLED);

		settled.channel = i;
		assert_true(poll(&(struct pollfd){device.fd, POLLOUT, 0}, 1, RAW_MS) == 1);
		assert_int_equal(wire_send(device.fd, &settled, NULL, 0), 0);
	}
	service_await_members(1);
	assert_int_equal(service_count("channels"), 0);
	raw_leave(&device);
	service_await_members(0);
	service_stop(&service);
}

#define LATE_GUESTS 24u

/* Guests that came and left, as the device process heard. */
static void see_guests_go(const struct raw *device)
{
	for (unsigned i = 0; i < LATE_GUESTS; i++) {
		struct raw guest = raw_in(RAW_KNOWN);
		struct wire news;

		assert_int_equal(raw_join(&guest, WIRE_ATTACH, SERVICE_DEVICE).kind,
				 WIRE_ATTACHED);
		assert_int_equal(raw_say(guest.fd, WIRE_BYE, 0), 0);
		raw_end(&guest);
		assert_int_equal(raw_hear(device->fd, &news), 0);
		assert_int_equal(news.kind, WIRE_JOINED);
		assert_int_equal(raw_hear(device->fd, &news), 0);
		assert_int_equal(news.kind, WIRE_LEFT);
	}
}

static void say_settled(const struct raw *device, uint32_t channel)
{
	struct wire message = wire_of(WIRE_SETTLED);

	message.channel = channel;
	assert_int_equal(wire_send(device->fd, &message, NULL, 0), 0);
}

/* It comes again, and settles them all before it reads what it is told again. */
static void rejoin_and_settle(struct raw *device, unsigned living)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	close(device->fd);
	device->fd = raw_dial();
	raw_confirm(device);
	assert_int_equal(raw_say(device->fd, WIRE_REJOIN, device->membership), 0);
	for (uint32_t i = 1; i <= LATE_GUESTS; i++)
		say_settled(device, i);
	/* Of one it may still be owed something. */
	while (service_count("channels") > living + 1)
		assert_true(test_now_ns() < until);
}

static bool is_any(const bool *there)
{
	for (unsigned i = 1; i <= LATE_GUESTS; i++)
		if (there[i])
			return true;
	return false;
}

/* Who joined, as those in @there did before, left; and that is settled once more, until no channels
 * are left but of @living. */
static void hear_all_that_joined_leave(const struct raw *device, bool there[LATE_GUESTS + 1],
				       unsigned living)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	struct wire news;

	while (raw_readable(device->fd, 20) || is_any(there) ||
	       service_count("channels") > living) {
		assert_true(test_now_ns() < until);
		if (!raw_readable(device->fd, 0))
			continue;
		assert_int_equal(raw_hear(device->fd, &news), 0);
		if (news.channel > LATE_GUESTS)
			continue; /* it lives */
		there[news.channel] = news.kind == WIRE_JOINED;
		if (news.kind == WIRE_LEFT)
			say_settled(device, news.channel);
	}
}

/* Its socket is full behind a JOINED in one case, and behind a LEFT in the other. */
static void a_device_process_that_settles_unread_guests_hears_of_their_end(void **state)
{
	struct service_process service;
	struct raw device, living;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		bool there[LATE_GUESTS + 1] = {false};

		start(&service, LATE_GUESTS + 24, 4, "");
		device = raw_in(RAW_DEVICE);
		assert_int_equal(raw_say(device.fd, WIRE_READY, 0), 0);
		see_guests_go(&device);
		living = raw_in(i ? RAW_KNOWN : RAW_CLIENT);
		if (i)
			assert_int_equal(raw_join(&living, WIRE_ATTACH, SERVICE_DEVICE).kind,
					 WIRE_ATTACHED);
		rejoin_and_settle(&device, i);
		hear_all_that_joined_leave(&device, there, i);
		assert_int_equal(service_count("channels"), i);
		raw_leave(&living);
		raw_leave(&device);
		service_await_members(0);
		service_stop(&service);
	}
}

/* What a service that is dead had still said. */
static void hear_its_last_words(const struct raw *device, bool there[LATE_GUESTS + 1])
{
	struct wire news;

	while (!raw_hear(device->fd, &news))
		if (news.channel <= LATE_GUESTS)
			there[news.channel] = news.kind == WIRE_JOINED;
	assert_true(is_any(there));
}

static void a_service_that_was_killed_in_between_tells_their_end_as_well(void **state)
{
	bool there[LATE_GUESTS + 1] = {false};
	struct service_process service;
	struct raw device;

	(void)state;
	service_configure_pool(&service, LATE_GUESTS + 24, 4, "");
	service_run_managed(&service, "2048");
	device = raw_in(RAW_DEVICE);
	assert_int_equal(raw_say(device.fd, WIRE_READY, 0), 0);
	see_guests_go(&device);
	rejoin_and_settle(&device, 0);
	service_kill(&service);
	hear_its_last_words(&device, there);
	assert_int_equal(raw_rejoin(&device, device.membership).kind, WIRE_REJOINED);
	hear_all_that_joined_leave(&device, there, 0);
	raw_leave(&device);
	service_await_members(0);
	service_stop(&service);
}

#define CROWDED_MIB 256u
#define ARRIVALS 20
#define SHUT_OUT_NS 250000000

/* How long others take to come in while nobody's many connections ask. The pool is large enough for
 * an answer to take a while. */
static void who_asks_on_many_connections_shuts_nobody_out(void **state)
{
	void (*const ask)(void) = ask_on_many;
	struct service_process service;
	struct pace quiet, attacked;
	pid_t pid;

	(void)state;
	attacks_open();
	configure_mib(&service, CROWDED_MIB);
	service_run(&service);
	quiet = pace_measure(pace_arrival, NULL, ARRIVALS);
	pid = attack_start(&ask);
	while (told->blows < 2 * ASKERS)
		usleep(1000);
	attacked = pace_measure(pace_arrival, NULL, ARRIVALS);
	pace_remark("attach", quiet, attacked);
	assert_int_equal(process_end(pid, SIGKILL), 128 + SIGKILL);
	assert_in_range(attacked.typical, 0, SHUT_OUT_NS);
	service_stop(&service);
	attacks_close();
}

/* By nobody, who cannot have more descriptors than it is given; what it says goes to a file. */
static void start_with_few(struct service_process *service, rlim_t files)
{
	const struct rlimit few = {files, files};
	char log[SUPPORT_PATH_LEN + 16];

	service_configure_pool(service, 24, 4, "");
	(void)snprintf(log, sizeof(log), "%s/log", service->dir);
	fflush(NULL);
	service->pid = fork();
	assert_true(service->pid >= 0);
	if (service->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0u, 0);
		dup2(open(log, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 2);
		setrlimit(RLIMIT_NOFILE, &few);
		if (become_nobody())
			_exit(1);
		execl(getenv("PINIOND"), "piniond", "--config", service->config, NULL);
		_exit(127);
	}
	service_await(service);
}

static unsigned count_in_log(const struct service_process *service, const char *what)
{
	char path[SUPPORT_PATH_LEN + 16], line[512];
	unsigned nr = 0;
	FILE *log;

	(void)snprintf(path, sizeof(path), "%s/log", service->dir);
	log = fopen(path, "re");
	assert_non_null(log);
	while (fgets(line, sizeof(line), log))
		nr += strstr(line, what) != NULL;
	fclose(log);
	return nr;
}

/* Answers that nobody takes: each is a file in a socket, and no user has more of those than its
 * limit of descriptors, whoever they are for. */
static void answers_that_are_not_taken_keep_none_from_others(void **state)
{
	struct service_process service;
	struct raw raw[30];
	struct wire question = wire_of(WIRE_QUERY);

	(void)state;
	(void)strcpy(question.name, "stat");
	start_with_few(&service, 256);
	for (int i = 0; i < 30; i++) {
		raw[i] = raw_in(RAW_KNOWN);
		while (wire_send(raw[i].fd, &question, NULL, 0) == 0)
			continue;
	}
	usleep(300000);
	expect_served_soon();
	for (int i = 0; i < 30; i++)
		raw_end(&raw[i]);
	service_stop(&service);
}

/* Connections. */

#define PEERS 64

static void open_half(int fd[PEERS])
{
	for (int i = 0; i < PEERS; i++)
		fd[i] = raw_dial();
}

static void connections_that_say_nothing_go_when_their_time_is_over(void **state)
{
	struct service_process service;
	struct raw member;
	int fd[PEERS], beyond;
	struct wire answer;

	(void)state;
	start(&service, 24, 4, "peers_max = 64;");
	member = raw_in(RAW_CLIENT);
	open_half(fd);
	for (int i = 0; i < 3; i++) {
		beyond = raw_dial();
		assert_int_equal(raw_hear(beyond, &answer), 0);
		assert_int_equal(answer.kind, WIRE_REFUSED);
		assert_int_equal(answer.value, -EAGAIN);
		assert_true(raw_hung_up(beyond));
		close(beyond);
	}
	/* Two seconds, and one that is refused is not among them. Who only was slow hears why; the
	 * last came too late, for the member has a place as well. */
	for (int i = 0; i < PEERS; i++) {
		assert_int_equal(raw_hear(fd[i], &answer), 0);
		assert_int_equal(answer.kind, WIRE_REFUSED);
		assert_int_equal(answer.value, i < PEERS - 1 ? -ETIMEDOUT : -EAGAIN);
		assert_true(raw_hung_up(fd[i]));
		close(fd[i]);
	}
	assert_true(service_has_connected(member.member));
	expect_served_soon();
	raw_leave(&member);
	service_await_members(0);
	service_stop(&service);
}

/* Opens as many as it gets, and holds them. */
static int hold_connections(void *arg)
{
	int fd[PEERS];

	if (become_nobody())
		return 1;
	open_half(fd);
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		pause();
}

static void one_user_does_not_take_all_connections(void **state)
{
	struct service_process service;
	int pipe_end;
	pid_t greedy;
	char said;

	(void)state;
	start(&service, 24, 4, "peers_max = 64;");
	greedy = run_with_pipe(hold_connections, &pipe_end);
	assert_int_equal(read(pipe_end, &said, 1), 1);
	close(pipe_end);
	expect_served_soon();
	assert_int_equal(process_end(greedy, SIGKILL), 128 + SIGKILL);
	service_stop(&service);
}

/* One that knows how to begin and then says nothing has longer, but not for ever; a member may be
 * as silent as it likes. */
static void deaths_are_noticed_whatever_is_connected(void **state)
{
	static char name[] = SERVICE_DEVICE;
	struct service_process service;
	int fd[PEERS];
	pid_t device;

	(void)state;
	start(&service, 24, 4, "peers_max = 64;");
	device = part_start(echo_device, name);
	service_await_members(1);
	open_half(fd);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	for (int i = 0; i < PEERS; i++)
		close(fd[i]);
	/* It may be asked before it has heard of those. */
	service_await(&service);
	service_await_members(0);
	service_stop(&service);
}

static void a_service_without_descriptors_rests_until_it_has_some(void **state)
{
	struct service_process service;
	uint64_t began;
	unsigned nr;
	int fd[60];

	(void)state;
	start_with_few(&service, 48);
	for (int i = 0; i < 60; i++)
		fd[i] = raw_dial();
	began = test_now_ns();
	while (!count_in_log(&service, "cannot accept"))
		assert_true(test_now_ns() - began < PATIENCE_NS);
	usleep(1000000);
	/* Twice a second it tries again. */
	nr = count_in_log(&service, "cannot accept");
	assert_in_range(nr, 1, 2 + (test_now_ns() - began) / (SOON_NS / 2));
	for (int i = 0; i < 60; i++)
		close(fd[i]);
	expect_served_soon();
	service_stop(&service);
}

/* Neither alive nor dead. */

static int hold_and_wait(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;

	if (attach(&client, &cache) || bounce(client, cache, 10, 3))
		return 1;
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		(void)bounce(client, cache, 1, 0), usleep(1000);
}

static void the_stopped_are_not_dead(void **state)
{
	struct service_process service;
	pid_t device, client;
	int pipe_end;
	char said;

	(void)state;
	start(&service, 24, 4, "");
	device = echo_start();
	client = run_with_pipe(hold_and_wait, &pipe_end);
	assert_int_equal(read(pipe_end, &said, 1), 1);
	close(pipe_end);
	assert_int_equal(kill(client, SIGSTOP), 0);
	assert_int_equal(kill(device, SIGSTOP), 0);
	/* Others come and go meanwhile. */
	for (int i = 0; i < 100; i++) {
		expect_served_soon();
		usleep(10000);
	}
	assert_int_equal(service_count("members"), 2);
	assert_int_equal(service_counter("deaths"), 0);
	assert_true(service_held() >= 3);
	assert_int_equal(kill(client, SIGCONT), 0);
	assert_int_equal(kill(device, SIGCONT), 0);
	assert_int_equal(process_end(client, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
}

/* Another program in the same process: what it mapped is gone, but that it holds nothing cannot be
 * known before it ends. */
static int become_sleep(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;

	(void)arg;
	if (attach(&client, &cache) || bounce(client, cache, 10, 3))
		return 1;
	execl("/bin/sleep", "sleep", "100", NULL);
	return 2;
}

static void who_runs_another_program_is_a_member_until_it_ends(void **state)
{
	const uint64_t until = test_now_ns() + UINT64_C(20000000000);
	struct service_process service;
	pid_t device, client;

	(void)state;
	start(&service, 24, 4, "");
	device = echo_start();
	client = part_start(become_sleep, NULL);
	while (service_count("members") != 2 ||
	       service_says("members", "pid", client, "connected")) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
	assert_true(service_held() >= 3);
	assert_int_equal(process_end(client, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
}

/* A child has the parent's sockets and mappings, and says its end. */
static int fork_and_die(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	pid_t child;

	if (attach(&client, &cache) || bounce(client, cache, 10, 3))
		return 1;
	child = fork();
	if (child == 0) {
		(void)pinion_client_close(client);
		for (;;)
			pause();
	}
	(void)write(*(int *)arg, &child, sizeof(child));
	for (;;)
		pause();
}

static void a_child_is_no_member_and_keeps_none_alive(void **state)
{
	struct service_process service;
	pid_t device, client, child;
	int pipe_end;

	(void)state;
	start(&service, 24, 4, "");
	device = echo_start();
	client = run_with_pipe(fork_and_die, &pipe_end);
	assert_int_equal(read(pipe_end, &child, sizeof(child)), sizeof(child));
	close(pipe_end);
	usleep(50000);
	/* Its close was not the parent's. */
	assert_int_equal(service_count("members"), 2);
	assert_true(service_held() >= 3);
	assert_int_equal(process_end(client, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
}

/* Coming and going. */

static void churn(uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++) {
		struct raw raw = raw_in(i % 8 == 0 ? RAW_CLIENT : i % 2 ? RAW_ARRIVED : RAW_KNOWN);

		/* Some go by themselves, some are thrown out. */
		if (raw.membership)
			assert_int_equal(raw_say(raw.fd, WIRE_BYE, 0), 0);
		else if (i % 4 == 3)
			assert_int_equal(send(raw.fd, "x", 1, 0), 1);
		raw_end(&raw);
	}
}

static void connections_that_come_and_go_leave_nothing(void **state)
{
	const char *given = getenv("PINION_CONNECTIONS");
	/* A fifth where a sanitizer makes them slow. */
	const uint64_t nr = given ? strtoull(given, NULL, 0) : MEMORY_TELLS ? 100000 : 20000;
	struct service_process service;
	uint64_t rss, then;
	unsigned files;

	(void)state;
	start(&service, 24, 4, "");
	churn(nr / 10);
	service_await_members(0);
	rss = rss_at_rest(service.pid);
	files = service_files_at_rest(&service);
	churn(nr - nr / 10);
	service_await_members(0);
	service_await_files(&service, files);
	then = rss_at_rest(service.pid);
	print_message("# %ju came and went; rss %ju KiB, then %ju KiB\n", (uintmax_t)nr,
		      (uintmax_t)rss, (uintmax_t)then);
	assert_true(!MEMORY_TELLS || then <= rss + 256);
	service_stop(&service);
}

/* Memory. */

#define MEMBERS 100

/* The pool's own pages are shared, and of 4 KiB here: what the service takes for itself is what is
 * private to it. Ten mebibytes, and a thousandth of the pool. */
static void a_hundred_members_take_little_memory(void **state)
{
	static struct raw raw[MEMBERS];
	struct service_process service;
	struct raw device;
	uint64_t own;

	(void)state;
	start(&service, MEMBERS + 24, 4, "");
	device = raw_in(RAW_DEVICE);
	assert_int_equal(raw_say(device.fd, WIRE_READY, 0), 0);
	for (int i = 0; i < MEMBERS; i++) {
		raw[i] = raw_in(RAW_KNOWN);
		assert_int_equal(raw_join(&raw[i], WIRE_ATTACH, SERVICE_DEVICE).kind,
				 WIRE_ATTACHED);
	}
	assert_int_equal(service_count("members"), MEMBERS + 1);
	own = process_memory(service.pid, "Anonymous");
	print_message("# %d members: Rss %ju KiB, Pss %ju KiB, Anonymous %ju KiB, Private_Dirty "
		      "%ju KiB\n", MEMBERS, (uintmax_t)process_memory(service.pid, "Rss"),
		      (uintmax_t)process_memory(service.pid, "Pss"), (uintmax_t)own,
		      (uintmax_t)process_memory(service.pid, "Private_Dirty"));
	assert_true(!MEMORY_TELLS || own <= 10 * 1024);
	/* All of it, too, and a thousandth of the pool of 1 MiB. */
	assert_true(!MEMORY_TELLS ||
		    process_memory(service.pid, "Rss") <= 10 * 1024 + 1);
	for (int i = 0; i < MEMBERS; i++)
		raw_leave(&raw[i]);
	raw_leave(&device);
	service_await_members(0);
	service_stop(&service);
}

/* Within two turns of what puts its pages back. */
static void await_at_most(pid_t service, uint64_t most_kib)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	uint64_t has;

	while ((has = process_memory(service, "Rss")) > most_kib) {
		if (test_now_ns() >= until)
			fail_msg("Rss %ju KiB", (uintmax_t)has);
		usleep(10000);
	}
	print_message("# Rss %ju KiB of %ju KiB\n", (uintmax_t)has, (uintmax_t)most_kib);
}

#define POOLS 60
#define POOL_KIB 256

static void configure_many(struct service_process *service)
{
	FILE *file;

	service_configure_pool(service, 24, 4, "");
	file = fopen(service->config, "w");
	assert_non_null(file);
	fprintf(file, "socket = \"%s\";\npools = (\n", service->socket);
	for (int i = 0; i < POOLS; i++)
		fprintf(file, "  %s{ name = \"p%d\"; segments = ( { size = \"%uK\";"
			" buffer = \"4K\"; page = \"4k\"; } ); }\n", i ? "," : "", i, POOL_KIB);
	fprintf(file, ");\nrules = ( " ANY_RULES " );\n");
	assert_int_equal(fclose(file), 0);
}

static void open_all(struct pinion_client *client[POOLS])
{
	char name[32];

	for (int i = 0; i < POOLS; i++) {
		(void)snprintf(name, sizeof(name), "pool:p%d", i);
		assert_int_equal(pinion_client_open(name, NULL, &client[i]), 0);
	}
}

static void close_all(struct pinion_client *client[POOLS])
{
	for (int i = 0; i < POOLS; i++)
		assert_int_equal(pinion_client_close(client[i]), 0);
}

/* The same holds of many small ones as of one that is large; and when they were taken up again. */
static void many_pools_take_little_memory(void **state)
{
	const uint64_t most = 10 * 1024 + POOLS * POOL_KIB / 1000;
	struct pinion_client *client[POOLS];
	struct service_process service;

	(void)state;
	configure_many(&service);
	service_run_managed(&service, "2048");
	for (int i = 0; i < 2; i++) {
		open_all(client);
		await_at_most((pid_t)service_number("pid"), most);
		close_all(client);
		service_kill(&service);
	}
	service_stop(&service);
}

/* Of one that is large for what the service may take: pages of 4 KiB count as its memory when it
 * has them mapped, and all words are looked at when somebody dies. */
#define LARGE_MIB 1024u
#define NEEDED_KIB (3l * 1024 * LARGE_MIB)
#define WORDS_KIB (LARGE_MIB * 1024 / 4 * 8 / 1024) /* 8 bytes for each 4 KiB */

/* Ten mebibytes and a thousandth of the pool. */
static void await_little(pid_t service)
{
	await_at_most(service, 11 * 1024);
}

static void a_large_pool_takes_a_thousandth_more(void **state)
{
	struct service_process service;
	pid_t device, client;

	(void)state;
	configure_mib(&service, LARGE_MIB);
	service_run(&service);
	await_little(service.pid);
	device = echo_start();
	client = run_until_said(hold_and_wait);
	assert_int_equal(process_end(client, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	await_little(service.pid);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* Whoever asks has all words counted. */
static void a_look_at_a_large_pool_leaves_nothing_in_the_services_memory(void **state)
{
	struct service_process service;
	uint64_t rest, has;

	(void)state;
	configure_mib(&service, LARGE_MIB);
	service_run(&service);
	await_little(service.pid);
	rest = rss_at_rest(service.pid);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(service_held(), 0);
		has = process_memory(service.pid, "Rss");
		if (has > rest + WORDS_KIB / 2)
			fail_msg("Rss %ju KiB, at rest %ju KiB", (uintmax_t)has, (uintmax_t)rest);
	}
	service_stop(&service);
}

#define root_test(with, f) \
	support_where(!geteuid(), "only root becomes others, and looks into the service", with, f)
#define large_test(f)                                                                             \
	support_where(!geteuid() && MEMORY_TELLS && support_available_kib() >= NEEDED_KIB,        \
		      "not root, too little memory, or a sanitizer has some", pool_test, f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_client_that_reads_late_hears_of_each_segment_once),
		pool_test(a_device_process_that_reads_late_hears_of_each_guest_once),
		pool_test(a_device_process_that_settles_unread_guests_hears_of_their_end),
		pool_test(a_service_that_was_killed_in_between_tells_their_end_as_well),
		root_test(pool_test, who_asks_on_many_connections_shuts_nobody_out),
		root_test(pool_test, answers_that_are_not_taken_keep_none_from_others),
		pool_test(connections_that_say_nothing_go_when_their_time_is_over),
		root_test(pool_test, one_user_does_not_take_all_connections),
		pool_test(deaths_are_noticed_whatever_is_connected),
		root_test(pool_test, a_service_without_descriptors_rests_until_it_has_some),
		pool_test(the_stopped_are_not_dead),
		pool_test(who_runs_another_program_is_a_member_until_it_ends),
		pool_test(a_child_is_no_member_and_keeps_none_alive),
		root_test(pool_test, connections_that_come_and_go_leave_nothing),
		root_test(pool_test, a_hundred_members_take_little_memory),
		support_where(!geteuid() && MEMORY_TELLS, "not root, or a sanitizer has some",
			      pool_test, many_pools_take_little_memory),
		large_test(a_large_pool_takes_a_thousandth_more),
		large_test(a_look_at_a_large_pool_leaves_nothing_in_the_services_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
