/* SPDX-License-Identifier: BSD-3-Clause */
/* piniond, clients without privilege, and a device process, each a real process. */

#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "service_support.h"

/* Attaches, works, and stays until it is killed, with buffers held and some under way. */
static int stay(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 7);
	if (err)
		return err;
	if (arg)
		(void)write(*(int *)arg, "x", 1);
	keep_under_way(pinion_client_channel(client), cache);
}

static void an_unprivileged_client_attaches_by_the_name_of_a_device(void **state)
{
	struct service_process service;
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_start();
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* Comes, works and leaves, again and again; how often it could not. */
static void *live_in_a_thread(void *failures)
{
	for (int i = 0; i < 20; i++) {
		struct pinion_client *client;
		struct pinion_cache *cache;

		if (attach(&client, &cache)) {
			++*(int *)failures;
			continue;
		}
		*(int *)failures += bounce(client, cache, 50, 0) != 0;
		*(int *)failures += pinion_cache_close(cache) || pinion_client_close(client);
	}
	return NULL;
}

static void threads_have_a_client_each(void **state)
{
	struct service_process service;
	pthread_t thread[4];
	int failures[4] = {0};
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_start();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, live_in_a_thread, &failures[i]),
				 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(failures[i], 0);
	}
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

static void what_killed_clients_held_comes_back(void **state)
{
	struct service_process service;
	pid_t device, client[6];

	(void)state;
	service_start(&service);
	device = echo_start();
	for (int i = 0; i < 6; i++)
		client[i] = part_start(stay, NULL);
	service_await_members(7);
	usleep(50000);
	for (int i = 0; i < 6; i++)
		assert_int_equal(process_end(client[i], SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(service_count("channels"), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
}

/* Until the device process has died, and then in order. @arg: where to say that it may. */
static int outlive_the_device(void *arg)
{
	struct pinion_client_event event = {0};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pollfd want = {.events = POLLIN};
	struct pinion_desc desc;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 50, 0);
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	want.fd = pinion_client_fd(client);
	while (event.kind != PINION_CLIENT_DEVICE_LEFT)
		if (pinion_client_next(client, &event) == 0 && poll(&want, 1, 30000) != 1)
			return 20;
	while (pinion_channel_recv(pinion_client_channel(client), &desc, 1) > 0)
		(void)pinion_buffer_free(cache, desc.buffer);
	if (pinion_client_settle(client, cache))
		return 21;
	if (pinion_client_channel(client) || pinion_cache_close(cache))
		return 22;
	return pinion_client_close(client);
}

static void clients_outlive_their_device_process(void **state)
{
	struct service_process service;
	pid_t device, client[3];
	int pipe_end[3];
	char said;

	(void)state;
	service_start(&service);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		client[i] = run_with_pipe(outlive_the_device, &pipe_end[i]);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(read(pipe_end[i], &said, 1), 1);
		close(pipe_end[i]);
	}
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(client[i]), 0);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	/* The name is free again. */
	device = echo_start();
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* Rules. */

static int try_as_nobody(void *arg)
{
	struct pinion_client *client;

	return become_nobody() ? 99 : -pinion_client_open(arg, NULL, &client);
}

static int serve_as_nobody(void *arg)
{
	struct pinion_device *device;

	return become_nobody() ? 99 : -pinion_device_open(arg, NULL, &device);
}

static int order_as_nobody(void *arg)
{
	int err;

	if (become_nobody())
		return 99;
	(void)service_ask(arg, SERVICE_POOL " 1", &err);
	return -err;
}

static void rules_say_who_may_do_what(void **state)
{
	static char none[] = "pool:none", secret[] = "nvme:0000:41:00.0", echo[] = "echo:0",
		    kick[] = "kick", odd[] = "pool:bu ffers";
	struct service_process service;
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_start();
	assert_int_equal(member_end(part_start(try_as_nobody, none)), ENOENT);
	assert_int_equal(member_end(part_start(try_as_nobody, odd)), EINVAL);
	assert_int_equal(member_end(part_start(try_as_nobody, secret)), ENOENT);
	assert_int_equal(member_end(part_start(serve_as_nobody, secret)), EACCES);
	assert_int_equal(member_end(part_start(serve_as_nobody, echo)), EACCES);
	assert_int_equal(member_end(part_start(order_as_nobody, kick)), EACCES);
	/* A name that lives is not given again. */
	assert_int_equal(member_end(part_start(echo_device, echo)), 1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* Of what is no PCI address it could not be seen that it is quiet, and what its process held would
 * never come back. */
static void a_device_that_is_nowhere_is_refused(void **state)
{
	struct wire announce = wire_of(WIRE_ANNOUNCE), answer;
	static const char *const nowhere[] = {"nvme0", "0000:41:00:0", "0000:41:00.8", "-x"};
	struct service_process service;
	struct pinion_device *device;
	struct link link;
	unsigned nr = 0;

	(void)state;
	service_start(&service);
	(void)strcpy(announce.name, "echo:1");
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++) {
		const struct pinion_device_config config = {.bdf = nowhere[i]};

		assert_int_equal(pinion_device_open("echo:1", &config, &device), -EINVAL);
		(void)snprintf(announce.text, sizeof(announce.text), "- %s", nowhere[i]);
		assert_int_equal(link_open(&link, NULL), 0);
		assert_int_equal(link_ask(&link, &announce, &answer, NULL, &nr), -EINVAL);
		link_close(&link);
	}
	service_stop(&service);
}

/* Nor of what no machine has at that address. */
static void a_device_that_is_absent_is_refused(void **state)
{
	const struct pinion_device_config config = {.bdf = "ffff:ff:1f.7"};
	struct service_process service;
	struct pinion_device *device;

	(void)state;
	service_start(&service);
	assert_int_equal(pinion_device_open("echo:1", &config, &device), -ENODEV);
	assert_non_null(strstr(pinion_error_text(), "/sys/bus/pci/devices"));
	service_stop(&service);
}

static void who_meets_no_rule_may_do_nothing(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL;
	struct service_process service;

	(void)state;
	service_configure(&service, "{ user = \"root\"; pools = [ \"*\" ]; admin = true; }");
	service_run(&service);
	assert_int_equal(member_end(part_start(try_as_nobody, pool)), EACCES);
	assert_int_equal(service_count("members"), 0);
	service_stop(&service);
}

#define LAST_GROUP 70000
#define MANY_GROUPS 5000

/* In so many groups, up to LAST_GROUP. */
static int try_from_many_groups(void *arg)
{
	static gid_t groups[MANY_GROUPS];
	struct pinion_client *client;

	for (gid_t i = 0; i < MANY_GROUPS; i++)
		groups[i] = LAST_GROUP - i;
	if (setgroups(MANY_GROUPS, groups) ||
	    setresuid(SUPPORT_NOBODY, SUPPORT_NOBODY, SUPPORT_NOBODY))
		return 99;
	return -pinion_client_open(arg, NULL, &client);
}

static void a_group_counts_however_many_the_peer_is_in(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL;
	struct service_process service;

	(void)state;
	service_configure(&service, "{ user = \"root\"; pools = [ \"*\" ]; admin = true; },"
				    "{ group = 70000; pools = [ \"*\" ]; }");
	service_run(&service);
	assert_int_equal(member_end(part_start(try_as_nobody, pool)), EACCES);
	assert_int_equal(member_end(part_start(try_from_many_groups, pool)), 0);
	service_stop(&service);
}

static int attach_and_stay(void *arg)
{
	struct pinion_client *client;

	if (become_nobody() || pinion_client_open("pool:" SERVICE_POOL, NULL, &client))
		return 1;
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		pause();
}

/* By the pidfd that the order is answered with: the service itself may not. */
static void who_is_kicked_is_gone(void **state)
{
	struct wire question = wire_of(WIRE_QUERY), answer;
	struct service_process service;
	int files[2] = {-1, -1};
	struct link link;
	unsigned nr = 2;
	json_t *pool;
	pid_t member;

	(void)state;
	service_start(&service);
	member = run_until_said(attach_and_stay);
	pool = service_pool();
	(void)strcpy(question.name, "kick");
	(void)snprintf(question.text, sizeof(question.text), SERVICE_POOL " %d",
		       (int)json_integer_value(json_object_get(
			       json_array_get(json_object_get(pool, "members"), 0), "number")));
	json_decref(pool);
	assert_int_equal(link_open(&link, NULL), 0);
	assert_int_equal(link_ask(&link, &question, &answer, files, &nr), 0);
	assert_int_equal(nr, 2);
	link_close(&link);
	assert_int_equal(service_count("members"), 1);
	assert_int_equal(pidfd_send_signal(files[1], SIGKILL, NULL, 0), 0);
	assert_int_equal(member_end(member), 128 + SIGKILL);
	service_await_members(0);
	mail_close_files(files, nr);
	service_stop(&service);
}

/* Attaches until it is refused, and says how often that went well. */
static int attach_often(void *arg)
{
	struct pinion_client *client;
	int nr = 0;

	if (become_nobody())
		return 99;
	while (nr < 50 && !pinion_client_open(arg, NULL, &client))
		nr++;
	return nr;
}

static void a_user_has_no_more_memberships_than_its_rule_says(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL;
	struct service_process service;

	(void)state;
	service_start(&service);
	assert_int_equal(member_end(part_start(attach_often, pool)), 8);
	service_await_members(0);
	assert_int_equal(member_end(part_start(attach_often, pool)), 8);
	service_stop(&service);
}

/* How many of a device it gets. None of them is refused for want of memberships. */
static int attach_until_no_channel_is_left(void *arg)
{
	struct pinion_client *client;
	int nr = 0, err;

	if (become_nobody())
		return 99;
	while (!(err = pinion_client_open(SERVICE_DEVICE, NULL, &client)))
		nr++;
	if (err != -EDQUOT || !strstr(pinion_error_text(), "3 channels, as many as it may"))
		return 98;
	return pinion_client_open(arg, NULL, &client) ? 97 : nr;
}

static void a_user_has_no_more_channels_than_its_rule_says(void **state)
{
	static char pool[] = "pool:" SERVICE_POOL;
	struct service_process service;
	pid_t device;

	(void)state;
	service_configure(&service, "{ user = \"root\"; pools = [ \"*\" ]; devices = [ \"*\" ];"
				    " serve = true; },"
				    "{ user = \"*\"; pools = [ \"buffers\" ];"
				    " devices = [ \"echo:*\" ]; channels = 3; }");
	service_run(&service);
	device = echo_start();
	assert_int_equal(member_end(part_start(attach_until_no_channel_is_left, pool)), 3);
	service_await_members(1);
	assert_int_equal(member_end(part_start(attach_until_no_channel_is_left, pool)), 3);
	service_await_members(1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* What piniond --check says of @text, into @said; its exit status. */
static int check_configuration(const char *text, char *said, size_t len)
{
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 8], command[3 * SUPPORT_PATH_LEN];
	FILE *stream;
	int status;

	support_dir_create(dir);
	(void)snprintf(path, sizeof(path), "%s/conf", dir);
	stream = fopen(path, "w");
	assert_non_null(stream);
	assert_true(fputs(text, stream) >= 0);
	assert_int_equal(fclose(stream), 0);
	(void)snprintf(command, sizeof(command), "%s --check %s 2>&1", getenv("PINIOND"), path);
	stream = popen(command, "r");
	assert_non_null(stream);
	said[fread(said, 1, len - 1, stream)] = '\0';
	status = pclose(stream);
	support_dir_destroy(dir);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_names_line_and_key_of_each_mistake(void **state)
{
	char said[4096];

	(void)state;
	assert_int_equal(check_configuration("pools = (\n  { name = \"a\"; sise = \"4M\"; }\n);\n",
					     said, sizeof(said)), 1);
	assert_non_null(strstr(said, "conf:2: pools[0].sise: "));
	assert_non_null(strstr(said, "conf:2: pools[0].segments: "));
	assert_int_equal(check_configuration("pools = ( { name = \"a\"; segments = ( { size = "
					     "\"4M\"; buffer = \"4K\"; } ); } );\n"
					     "rules = ( { user = \"*\"; pools = [ \"a\" ]; } );\n",
					     said, sizeof(said)), 0);
	assert_non_null(strstr(said, "no mistakes"));
}

/* How deep the rings are. */

static struct echo serve(const struct pinion_device_config *config)
{
	struct echo echo = {0};

	assert_int_equal(pinion_device_open(SERVICE_DEVICE, config, &echo.device), 0);
	echo.cache = cache_make(pinion_device_pool(echo.device), BUFFER);
	assert_int_equal(pinion_device_ready(echo.device), 0);
	return echo;
}

static void serve_no_more(struct echo *echo)
{
	assert_int_equal(pinion_cache_close(echo->cache), 0);
	assert_int_equal(pinion_device_close(echo->device), 0);
}

static struct pinion_event expect_event(struct echo *echo, enum pinion_event_kind kind)
{
	struct pollfd want = {pinion_device_fd(echo->device), POLLIN, 0};
	struct pinion_event event = {0};
	int got;

	while ((got = pinion_device_next(echo->device, &event)) == 0)
		assert_int_equal(poll(&want, 1, PATIENCE_NS / 1000000), 1);
	assert_int_equal(got, 1);
	assert_int_equal(event.kind, kind);
	return event;
}

/* Each end tells of the ring that it receives from. */
static void expect_slots(struct echo *echo, uint32_t wish, uint32_t slots)
{
	const struct pinion_client_config config = {.slots = wish};
	struct pinion_client *client;
	struct pinion_event event;

	assert_int_equal(pinion_client_open(SERVICE_DEVICE, &config, &client), 0);
	assert_int_equal(pinion_channel_slots(pinion_client_channel(client)), slots);
	event = expect_event(echo, PINION_EVENT_JOINED);
	assert_int_equal(pinion_channel_slots(event.channel), slots);
	assert_int_equal(pinion_client_close(client), 0);
	event = expect_event(echo, PINION_EVENT_LEFT);
	assert_int_equal(pinion_device_bury(echo->device, event.member, echo->cache), 0);
}

/* Which a service that was killed has not forgotten. */
static void a_client_gets_the_rings_it_asks_for_up_to_what_the_device_process_says(void **state)
{
	const struct pinion_device_config some = {.slots = 16, .slots_max = 64};
	struct service_process service;
	struct echo echo;

	(void)state;
	service_start_managed(&service);
	echo = serve(&some);
	for (int i = 0; i < 2; i++) {
		expect_slots(&echo, 0, 16);
		expect_slots(&echo, 4, 4);
		expect_slots(&echo, 32, 32);
		expect_slots(&echo, 64, 64);
		expect_slots(&echo, 256, 64);
		expect_slots(&echo, PINION_RING_SLOTS_MAX, 64);
		service_kill(&service);
	}
	serve_no_more(&echo);
	service_stop(&service);
}

static void a_device_process_that_says_no_maximum_gives_no_more_than_its_own(void **state)
{
	const struct pinion_device_config plain = {.slots = 16}, silent = {0};
	struct service_process service;
	struct echo echo;

	(void)state;
	service_start(&service);
	echo = serve(&plain);
	expect_slots(&echo, 0, 16);
	expect_slots(&echo, 8, 8);
	expect_slots(&echo, 32, 16);
	serve_no_more(&echo);
	echo = serve(&silent);
	expect_slots(&echo, 0, 1024);
	expect_slots(&echo, 2048, 1024);
	serve_no_more(&echo);
	service_stop(&service);
}

/* By the service, of what comes past the library. */
static void expect_refusal(const struct wire *wish)
{
	struct wire answer;
	struct link link;
	unsigned nr = 0;

	assert_int_equal(link_open(&link, NULL), 0);
	assert_int_equal(link_ask(&link, wish, &answer, NULL, &nr), -EINVAL);
	assert_sentence("a ring has a power of two of slots from 4 to 1048576, not");
	link_close(&link);
}

static void refuse_slots_by_hand(uint32_t slots)
{
	struct wire attach = wire_of(WIRE_ATTACH), announce = wire_of(WIRE_ANNOUNCE);

	(void)strcpy(attach.name, SERVICE_DEVICE);
	attach.slots = slots;
	expect_refusal(&attach);
	(void)strcpy(announce.name, "echo:1");
	(void)strcpy(announce.text, SERVICE_POOL " -");
	announce.slots = slots;
	expect_refusal(&announce);
	announce.slots = 16;
	announce.slot = slots;
	expect_refusal(&announce);
}

/* By the library; and by the service, which does not rely on that. */
static void refuse_slots(uint32_t slots)
{
	const struct pinion_device_config deep = {.slots = slots}, deepest = {.slots_max = slots};
	const struct pinion_client_config config = {.slots = slots};
	struct pinion_device *device;
	struct pinion_client *client;

	assert_int_equal(pinion_client_open(SERVICE_DEVICE, &config, &client), -EINVAL);
	assert_sentence("slots");
	assert_int_equal(pinion_device_open("echo:1", &deep, &device), -EINVAL);
	assert_sentence("slots");
	assert_int_equal(pinion_device_open("echo:1", &deepest, &device), -EINVAL);
	assert_sentence("slots");
	refuse_slots_by_hand(slots);
}

static void rings_that_cannot_be_are_einval(void **state)
{
	const uint32_t bad[] = {1, 2, 5, 63, PINION_RING_SLOTS_MAX + 1, UINT32_MAX};
	const struct pinion_device_config plain = {.slots = 16};
	struct service_process service;
	struct echo echo;

	(void)state;
	service_start(&service);
	echo = serve(&plain);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuse_slots(bad[i]);
	/* Nobody came meanwhile. */
	assert_int_equal(service_count("members"), 1);
	expect_slots(&echo, 8, 8);
	serve_no_more(&echo);
	service_stop(&service);
}

/* A pool that grows. */

static int use_all(void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	const uint64_t until = test_now_ns() + PATIENCE_NS;
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_buffer buffer;
	uint32_t nr = 0;

	(void)arg;
	if (become_nobody() || pinion_client_open("pool:" SERVICE_POOL, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &any, &cache))
		return 1;
	while (nr < 1500 && test_now_ns() < until) {
		if (pinion_buffer_alloc(cache, &buffer)) {
			usleep(1000);
			continue;
		}
		memset(pinion_buffer_addr(pinion_client_pool(client), buffer), (int)nr, BUFFER);
		nr++;
	}
	return nr == 1500 ? 0 : 2;
}

static void a_pool_grows_under_its_clients(void **state)
{
	struct service_process service;
	json_t *answer;
	pid_t client;
	int err;

	(void)state;
	service_start(&service);
	client = part_start(use_all, NULL);
	service_await_members(1);
	usleep(100000); /* all 1024 are taken by now, or soon */
	answer = service_ask("pool-grow", SERVICE_POOL " 4M", &err);
	if (!answer)
		fprintf(stderr, "# %s\n", pinion_error_text());
	assert_non_null(answer);
	json_decref(answer);
	assert_int_equal(member_end(client), 0);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
}

/* Templates. */

/* Holds a buffer in a pool of its own, until it is killed. */
static int be_a_guest(void *arg)
{
	struct pinion_client *client;

	if (become_nobody() || attach_and_hold("pool:guest", &client))
		return 1;
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		pause();
}

static void each_client_of_a_template_has_a_pool_of_its_own(void **state)
{
	const struct pinion_device_config intruder = {.pool = "guest.1"};
	static char others[] = "pool:guest.1";
	struct pinion_device *device;
	struct service_process service;
	pid_t guest[2];
	int pipe_end[2];
	char said;

	(void)state;
	service_start(&service);
	for (int i = 0; i < 2; i++) {
		guest[i] = run_with_pipe(be_a_guest, &pipe_end[i]);
		assert_int_equal(read(pipe_end[i], &said, 1), 1);
		close(pipe_end[i]);
	}
	assert_int_equal(service_count_pools(), 3);
	assert_int_equal(member_end(part_start(try_as_nobody, others)), EACCES);
	/* Nor does a device process get into it, not even one that may serve anywhere. */
	assert_int_not_equal(pinion_device_open("echo:1", &intruder, &device), 0);
	assert_int_equal(pinion_device_open("echo:1", NULL, &device), 0);
	assert_int_equal(pinion_device_close(device), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(process_end(guest[i], SIGKILL), 128 + SIGKILL);
	service_await_pools(1);
	service_stop(&service);
}

/* The number that the next descriptor of @pid would have. */
static rlim_t next_descriptor(pid_t pid)
{
	char path[64];
	rlim_t fd = 0;

	do
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%ju", (int)pid, (uintmax_t)fd);
	while (!faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) && ++fd);
	return fd;
}

/* What comes with a client it cannot open; so that client is refused, and all else goes on. */
static void a_device_process_without_descriptors_refuses_and_goes_on(void **state)
{
	struct service_process service;
	struct pinion_client *client;
	struct rlimit before, few;
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_start();
	assert_int_equal(prlimit(device, RLIMIT_NOFILE, NULL, &before), 0);
	few = (struct rlimit){next_descriptor(device), before.rlim_max};
	assert_int_equal(prlimit(device, RLIMIT_NOFILE, &few, NULL), 0);
	assert_int_equal(pinion_client_open(SERVICE_DEVICE, NULL, &client), 0);
	assert_int_equal(client_await_event(client, PINION_CLIENT_DEVICE_LEFT), 0);
	assert_int_equal(pinion_client_close(client), 0);
	assert_int_equal(prlimit(device, RLIMIT_NOFILE, &before, NULL), 0);
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	service_await_members(1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* A member's own slot is not what the service goes by. */

/* Writes over its slot, and the one behind it, in the control area, and dies with buffers held. */
static int write_over_slots(void *arg)
{
	struct pinion_client *client;
	struct pinion_pool *pool;

	(void)arg;
	if (become_nobody() || attach_and_hold("pool:" SERVICE_POOL, &client))
		return 1;
	pool = pinion_client_pool(client);
	for (uint32_t i = 0; i < 24; i++)
		atomic_store(&pool->members[i].state, MEMBER_FREE);
	return 0;
}

static void who_writes_slots_free_is_buried_and_harms_nobody(void **state)
{
	struct service_process service;
	pid_t device;

	(void)state;
	service_start(&service);
	device = echo_start();
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(part_start(write_over_slots, NULL)), 0);
	/* The device process is member 1 as before, and nobody else was given its number. */
	assert_int_equal(member_end(part_start(visit, NULL)), 0);
	service_await_members(1);
	assert_int_equal(service_held(), 0);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_stop(&service);
}

/* A service that goes. */

static int go_on_without(void *arg)
{
	struct pinion_client_event event = {0};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pollfd want = {.events = POLLIN};
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 10, 0);
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	want.fd = pinion_client_fd(client);
	while (pinion_client_next(client, &event) == 0)
		if (poll(&want, 1, 30000) != 1)
			return 20;
	if (event.kind != PINION_CLIENT_SERVICE_LOST)
		return 21;
	err = bounce(client, cache, 1000, 0);
	if (err)
		return err;
	(void)write(*(int *)arg, "y", 1);
	while (pinion_client_next(client, &event) == 0)
		if (poll(&want, 1, 30000) != 1)
			return 22;
	return event.kind == PINION_CLIENT_EXPELLED ? 0 : 23;
}

static void clients_go_on_without_the_service_and_hear_when_a_stranger_comes(void **state)
{
	struct service_process service;
	pid_t device, client;
	char said;
	int pipe_end;

	(void)state;
	service_start(&service);
	device = echo_start();
	client = run_with_pipe(go_on_without, &pipe_end);
	assert_int_equal(read(pipe_end, &said, 1), 1);
	assert_int_equal(process_end(service.pid, SIGKILL), 128 + SIGKILL);
	assert_int_equal(read(pipe_end, &said, 1), 1);
	/* Nothing was handed over to this one: it knows nobody. */
	service_run(&service);
	assert_int_equal(member_end(client), 0);
	assert_int_equal(member_end(device), 3);
	close(pipe_end);
	service_stop(&service);
}

/* Peers that do not keep to the protocol. */

static int dial(const struct service_process *service)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(strlen(service->socket) < sizeof(address.sun_path));
	(void)strcpy(address.sun_path, service->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool hangs_up(int fd)
{
	struct pollfd want = {.fd = fd, .events = POLLIN};
	char ignored[512];

	return poll(&want, 1, 30000) == 1 && recv(fd, ignored, sizeof(ignored), 0) <= 0;
}

static void rubbish_is_hung_up_on(void **state)
{
	static const size_t sizes[] = {0, 1, 48, 255, 257, 4096};
	char bytes[4096] = {0};
	struct wire wrong = wire_of(WIRE_CONFIRM);
	struct service_process service;
	int fd;

	(void)state;
	service_start(&service);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fd = dial(&service);
		assert_int_equal(send(fd, bytes, sizes[i], 0), sizes[i]);
		assert_true(hangs_up(fd));
		close(fd);
	}
	/* A confirmation of what was never said; a name without an end. */
	fd = dial(&service);
	assert_int_equal(wire_send(fd, &wrong, NULL, 0), 0);
	assert_true(hangs_up(fd));
	close(fd);
	fd = dial(&service);
	wrong = wire_of(WIRE_HELLO);
	memset(wrong.name, 'x', sizeof(wrong.name));
	assert_int_equal(wire_send(fd, &wrong, NULL, 0), 0);
	assert_true(hangs_up(fd));
	close(fd);
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(an_unprivileged_client_attaches_by_the_name_of_a_device),
		pool_test(threads_have_a_client_each),
		pool_test(what_killed_clients_held_comes_back),
		pool_test(clients_outlive_their_device_process),
		pool_test(rules_say_who_may_do_what),
		pool_test(a_device_that_is_nowhere_is_refused),
		pool_test(a_device_that_is_absent_is_refused),
		pool_test(who_meets_no_rule_may_do_nothing),
		pool_test(a_group_counts_however_many_the_peer_is_in),
		pool_test(a_user_has_no_more_memberships_than_its_rule_says),
		pool_test(a_user_has_no_more_channels_than_its_rule_says),
		pool_test(who_is_kicked_is_gone),
		pool_test(check_names_line_and_key_of_each_mistake),
		pool_test(a_client_gets_the_rings_it_asks_for_up_to_what_the_device_process_says),
		pool_test(a_device_process_that_says_no_maximum_gives_no_more_than_its_own),
		pool_test(rings_that_cannot_be_are_einval),
		pool_test(a_pool_grows_under_its_clients),
		pool_test(each_client_of_a_template_has_a_pool_of_its_own),
		pool_test(a_device_process_without_descriptors_refuses_and_goes_on),
		pool_test(who_writes_slots_free_is_buried_and_harms_nobody),
		pool_test(clients_go_on_without_the_service_and_hear_when_a_stranger_comes),
		pool_test(rubbish_is_hung_up_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
