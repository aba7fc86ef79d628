/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients without privilege that abuse what wakes others: the sockets by which a loop is told
 * (wait.h), with all that the holder of a descriptor can do to it, and the connection to piniond.
 * Nobody is held up for more than a millisecond.
 *
 * On a loaded machine a process may get no processor for longer than that. So what counts as held
 * up is a call that took longer and slept meanwhile, or that used the processor for so long. Even
 * those come by chance, seldom: a virtual processor is charged for the time that its host took, and
 * who slept shortly may wait for a processor. Whoever can hold a call up does so each time.
 */

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <pinion/wait.h>

#include "channel.h"
#include "service_support.h"

#define MILLISECOND_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define FLOOD_NS (2 * SECOND_NS)
#define HANGS_S 60 /* then something blocks for ever */

/* Time. */

struct moment {
	uint64_t wall, cpu;
	long sleeps;
};

static struct moment now(void)
{
	struct timespec cpu;
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	return (struct moment){test_now_ns(), (uint64_t)cpu.tv_sec * SECOND_NS +
			       (uint64_t)cpu.tv_nsec, usage.ru_nvcsw};
}

static bool held_up_since(const struct moment *from)
{
	const struct moment to = now();

	return to.cpu - from->cpu > MILLISECOND_NS ||
	       (to.wall - from->wall > MILLISECOND_NS && to.sleeps != from->sleeps);
}

/* The device process: a loop, which echoes. */

#define ROUNDS_BY_CHANCE 1000 /* one round of so many may be held up */

/* A step ends and the next begins; @held: the line of a round's first that was held up. */
static void step(struct moment *from, int line, int *held)
{
	if (!*held && held_up_since(from))
		*held = line;
	*from = now();
}

/* One round; what was held up, by its line, or 0. @echoed counts. */
static int serve_once(struct pinion_channel *channel, struct pinion_cache *cache, uint64_t *echoed)
{
	struct moment from = now();
	struct pinion_desc desc;
	int got, sent, held = 0;

	(void)pinion_channel_done(channel);
	step(&from, __LINE__, &held);
	got = pinion_channel_recv(channel, &desc, 1);
	step(&from, __LINE__, &held);
	sent = got == 1 ? pinion_channel_send(channel, &desc, 1) : 0;
	step(&from, __LINE__, &held);
	if (got == 1 && sent != 1)
		(void)pinion_buffer_free(cache, desc.buffer);
	*echoed += sent == 1;
	from = now();
	(void)pinion_channel_prepare(channel);
	step(&from, __LINE__, &held);
	return held;
}

static int serve_for_a_while(struct pinion_channel *channel, struct pinion_cache *cache)
{
	struct pollfd want = {pinion_channel_fd(channel), POLLIN, 0};
	const uint64_t until = test_now_ns() + FLOOD_NS;
	uint64_t echoed = 0, woken = 0, rounds = 0, held = 0;

	/* For some time, and until there was enough to see: alarm() ends what does not move. */
	for (; test_now_ns() < until || woken < 1000 || echoed < 100; rounds++) {
		const int line = serve_once(channel, cache, &echoed);

		if (line) {
			fprintf(stderr, "# held up: line %d, in round %ju\n", line,
				(uintmax_t)rounds);
			held++;
		}
		woken += poll(&want, 1, 1) == 1;
	}
	fprintf(stderr, "# woken %ju times, echoed %ju, held up %ju of %ju rounds\n",
		(uintmax_t)woken, (uintmax_t)echoed, (uintmax_t)held, (uintmax_t)rounds);
	return held > 1 + rounds / ROUNDS_BY_CHANCE ? 5 : 0;
}

static int device_in_a_loop(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	const struct pinion_device_config config = {.loop = 1};
	struct pinion_event event = {0};
	struct pinion_device *device;
	struct pinion_cache *cache;

	alarm(HANGS_S);
	if (pinion_device_open(SERVICE_DEVICE, &config, &device) ||
	    pinion_cache_open(pinion_device_pool(device), &any, &cache) ||
	    pinion_device_ready(device) || write(*(int *)arg, "r", 1) != 1)
		return 1;
	while (pinion_device_next(device, &event) == 0)
		poll(&(struct pollfd){.fd = pinion_device_fd(device), .events = POLLIN}, 1, 1000);
	if (event.kind != PINION_EVENT_JOINED || pinion_channel_fd(event.channel) < 0)
		return 2;
	return serve_for_a_while(event.channel, cache);
}

/* The client. */

/* As fast as the kernel takes them, and waiting when it does not. */
static pid_t flood(int socket)
{
	const pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		(void)send(socket, "x", 1, MSG_NOSIGNAL);
}

/* Asks to be told in its own socket, which is full soon, and takes nothing from there. */
static void bother(struct pinion_channel *channel, struct pinion_cache *cache)
{
	struct pinion_desc desc = {.len = 1};

	if (pinion_channel_prepare(channel) == 1 && pinion_channel_recv(channel, &desc, 1) == 1)
		(void)pinion_buffer_free(cache, desc.buffer);
	if (!pinion_buffer_alloc(cache, &desc.buffer) &&
	    pinion_channel_send(channel, &desc, 1) != 1)
		(void)pinion_buffer_free(cache, desc.buffer);
}

static int hostile_client(void *arg)
{
	const struct pinion_client_config config = {.loop = 1};
	struct pinion_channel *channel;
	struct pinion_client *client;
	int theirs, own;

	(void)arg;
	if (become_nobody() || pinion_client_open(SERVICE_DEVICE, &config, &client))
		return 1;
	channel = pinion_client_channel(client);
	own = channel_rx(channel)->fd.given;
	theirs = channel_tx(channel)->hand.socket;
	/* Flags belong to whoever has the file, however it came. */
	if (own < 0 || theirs < 0 || fcntl(own, F_SETFL, 0) || fcntl(theirs, F_SETFL, 0))
		return 2;
	if (flood(theirs) < 0)
		return 3;
	for (struct pinion_cache *cache = cache_make(pinion_client_pool(client), BUFFER);;)
		bother(channel, cache);
}

static void a_flooded_and_saturated_doorbell_holds_no_device_process_up(void **state)
{
	struct service_process service;
	pid_t device, client;
	char byte;
	int ready;

	(void)state;
	service_start(&service);
	device = run_with_pipe(device_in_a_loop, &ready);
	assert_int_equal(read(ready, &byte, 1), 1);
	client = part_start(hostile_client, NULL);
	assert_int_equal(member_end(device), 0);
	kill(client, SIGKILL);
	assert_int_equal(member_end(client), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	close(ready);
	service_stop(&service);
}

/* The service. */

#define VISITS 300

static void configure_large(struct service_process *service)
{
	service_configure(service, service_rules);
	service_write(service,
		      "pools = ( { name = \"" SERVICE_POOL "\"; members = %d;\n"
		      "  segments = ( { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } ); } );\n"
		      "rules = ( { user = \"*\"; pools = [ \"*\" ]; devices = [ \"*\" ];"
		      " serve = true; } );\n", VISITS + 8);
}

/* A device process that says it has settled channels that it never had, for ever, and hears
 * nothing of those that it is told of. */
static int hostile_device(void *arg)
{
	const struct wire ready = wire_of(WIRE_READY);
	struct wire message = wire_of(WIRE_ANNOUNCE), answer;
	int files[WIRE_FILES_MAX];
	unsigned nr = WIRE_FILES_MAX;
	struct link link;

	if (become_nobody() || link_open(&link, NULL))
		return 1;
	(void)strcpy(message.name, SERVICE_DEVICE);
	(void)strcpy(message.text, "- -");
	if (link_ask(&link, &message, &answer, files, &nr) || fcntl(link.socket, F_SETFL, 0) ||
	    wire_send(link.socket, &ready, NULL, 0) || write(*(int *)arg, "r", 1) != 1)
		return 2;
	message = wire_of(WIRE_SETTLED);
	message.channel = UINT32_MAX;
	for (;;)
		(void)send(link.socket, &message, sizeof(message), MSG_NOSIGNAL);
}

/* So many that what the hostile one is told does not fit into its socket. */
static int visit_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < VISITS; i++) {
		struct pinion_client *client;

		if (pinion_client_open(SERVICE_DEVICE, NULL, &client)) {
			fprintf(stderr, "# visit %d: %s\n", i, pinion_error_text());
			return 1;
		}
		if (pinion_client_close(client))
			return 2;
	}
	return 0;
}

/* Which call does it sleep in? -1: it runs, or is about to. */
static long sleeps_in(int proc)
{
	char text[32] = "";
	const ssize_t len = pread(proc, text, sizeof(text) - 1, 0);

	assert_true(len > 0);
	return text[0] == 'r' ? -1 : strtol(text, NULL, 10);
}

static bool is_loop(long call)
{
	return call == SYS_epoll_wait || call == SYS_epoll_pwait || call == SYS_epoll_pwait2;
}

#define LOOKS 10 /* in a row: a look that waited for a processor may see the next sleep, once */

/* The longest that the service was seen asleep elsewhere than in its loop, until @pid ends. */
static uint64_t longest_sleep(int proc, pid_t pid, int *status)
{
	uint64_t longest = 0, since = 0;
	long nr = 0, in_loop = 0, in_a_row = 0;

	while (waitpid(pid, status, WNOHANG) == 0) {
		const long call = sleeps_in(proc);
		const uint64_t at = test_now_ns();

		nr++;
		in_loop += is_loop(call);
		if (call < 0 || is_loop(call))
			in_a_row = 0;
		else if (in_a_row++ == 0)
			since = at;
		else if (in_a_row >= LOOKS && at - since > longest)
			longest = at - since;
		usleep(100);
	}
	print_message("# looked %ld times, %ld of them it was in its loop\n", nr, in_loop);
	assert_true(nr > 100);
	return longest;
}

static void who_floods_the_service_and_never_listens_holds_nobody_up(void **state)
{
	struct service_process service;
	int status = -1, proc, ready;
	pid_t device, visitor;
	char path[64], byte;

	(void)state;
	configure_large(&service);
	service_run(&service);
	(void)snprintf(path, sizeof(path), "/proc/%d/syscall", (int)service.pid);
	proc = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(proc >= 0);
	device = run_with_pipe(hostile_device, &ready);
	assert_int_equal(read(ready, &byte, 1), 1);
	visitor = part_start(visit_often, NULL);
	assert_true(longest_sleep(proc, visitor, &status) <= MILLISECOND_NS);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	close(ready);
	close(proc);
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_flooded_and_saturated_doorbell_holds_no_device_process_up),
		pool_test(who_floods_the_service_and_never_listens_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
