/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Physical addresses for a device process without privilege: it pins, and the service says where.
 * Whether they are right the test sees for itself, as root, in its own mapping of the pool.
 */

#include <linux/capability.h>

#include "domain_support.h"
#include "service_support.h"
#include "slot.h"

/* Everybody else drives devices, and sees addresses or not. */
#define RULES(root, more)                                                                    \
	"{ user = \"root\"; pools = [ \"" root "\" ]; devices = [ \"*\" ]; addresses = true;" \
	" serve = true; admin = true; },"                                                    \
	"{ user = \"*\"; pools = [ \"" SERVICE_POOL "\" ]; devices = [ \"*\" ];"            \
	" serve = true;" more " }"
static const char shown[] = RULES("*", " addresses = true;");
static const char shown_apart[] = RULES("guest", " addresses = true;");
static const char hidden[] = RULES("*", "");

/* The device process. */

struct driver {
	struct pinion_device *device;
	struct pinion_domain *domain, *apart; /* over its own pool; over that of a client */
};

/* A user for each test: the kernel counts what a user has pinned, over all of his processes, and of
 * those that died for a moment longer. */
static uid_t user = 60000;

static int refused(int err)
{
	fprintf(stderr, "# %s\n", pinion_error_text());
	return err;
}

static int open_driver(struct driver *driver)
{
	const struct pinion_device_config config = {.pool = SERVICE_POOL, .pools = ECHO_POOLS};

	if (become(user) || pinion_device_open(SERVICE_DEVICE, &config, &driver->device))
		return refused(3);
	if (pinion_device_domain_create(driver->device, pinion_device_pool(driver->device),
					&driver->domain))
		return refused(4);
	if (pinion_device_share(driver->device, driver->domain) ||
	    pinion_device_ready(driver->device))
		return refused(5);
	return 0;
}

static int hear_event(struct driver *driver, const struct pinion_event *event)
{
	if (event->pool == pinion_device_pool(driver->device))
		return event->kind == PINION_EVENT_JOINED ? 0 :
		       pinion_device_bury(driver->device, event->member, NULL);
	if (event->kind == PINION_EVENT_JOINED)
		return pinion_device_domain_create(driver->device, event->pool, &driver->apart) ||
		       pinion_device_share(driver->device, driver->apart);
	return pinion_domain_destroy(driver->apart) ||
	       pinion_device_detach(driver->device, event->pool);
}

/* Follows its pool, and serves clients without reading what they send. */
static int drive(void *arg)
{
	struct driver is = {0};
	struct pinion_event event;
	int err = open_driver(&is), changed;

	(void)arg;
	while (!err) {
		poll(&(struct pollfd){pinion_device_fd(is.device), POLLIN, 0}, 1, 10);
		while (!err && pinion_device_next(is.device, &event) == 1)
			err = hear_event(&is, &event);
		changed = pinion_domain_update(is.domain);
		if (changed == 1)
			err = pinion_device_share(is.device, is.domain);
		else if (changed != 0 && changed != -ECONNREFUSED && changed != -ESTALE &&
			 changed != -EAGAIN)
			err = changed;
	}
	return refused(6);
}

/* @arg: with which error that ends, and what is said of it. */
struct refusal {
	int err;
	const char *says;
};

static int be_refused(void *arg)
{
	const struct refusal *refusal = arg;
	struct pinion_domain *domain;
	struct pinion_device *device;

	if (become(user) || pinion_device_open(SERVICE_DEVICE, NULL, &device))
		return refused(3);
	if (pinion_device_domain_create(device, pinion_device_pool(device), &domain) !=
		    refusal->err || !strstr(pinion_error_text(), refusal->says))
		return refused(7);
	return pinion_device_close(device);
}

/* The client is the test, which is root. */

/* Until the device process has shared a table of so many segments. */
static struct pinion_domain *await_domain(struct pinion_client *client, uint32_t segments)
{
	const uint64_t until = test_now_ns() + UINT64_C(10000000000);
	struct pinion_client_event event;
	struct pinion_domain *domain;

	for (;; usleep(1000)) {
		while (pinion_client_next(client, &event) == 1)
			continue;
		if (!pinion_client_domain(client, &domain)) {
			if (domain_has(domain_of(domain), segments - 1))
				return domain;
			(void)pinion_domain_detach(domain);
		}
		assert_true(test_now_ns() < until);
	}
}

/* To be asked where a page is a process must have it. */
static void touch(const struct pinion_pool *pool)
{
	for (uint32_t i = 0; i < pool->geometry.nr_segments; i++)
		if (pool->memory[i].addr)
			assert_int_equal(pinion_hostmem_populate(&pool->memory[i], 0,
								 pool->memory[i].len), 0);
}

static void expect_addresses(struct pinion_client *client, uint32_t segments)
{
	struct pinion_domain *domain = await_domain(client, segments);
	struct pinion_pool *pool = pinion_client_pool(client);

	(void)slot_sync(pool);
	touch(pool);
	each_byte(pool, equals_kernel, domain);
	assert_int_equal(pinion_domain_detach(domain), 0);
}

/* The service, over hugepages. */

/* A capability that this process gives up nobody it starts can have, root or not. */
static int be_service_without_privilege(void *arg)
{
	const struct service_process *service = arg;

	if (prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0))
		return 3;
	execl(getenv("PINIOND"), "piniond", "--config", service->config, NULL);
	return 127;
}

static void start(struct service_process *service, const char *rules)
{
	user++;
	service_configure_pages(service, rules, "2M", "2M");
	service_run_managed(service, "2048");
}

/* With a device process that has them, and its client. */
struct play {
	struct service_process service;
	pid_t device;
	struct pinion_client *client;
};

static struct play begin(const char *rules)
{
	struct play play;

	start(&play.service, rules);
	play.device = part_start(drive, NULL);
	play.client = client_await();
	expect_addresses(play.client, 1);
	return play;
}

static void end(struct play *play)
{
	assert_int_equal(pinion_client_close(play->client), 0);
	service_await_pools(1);
	assert_int_equal(process_end(play->device, SIGKILL), 128 + SIGKILL);
	service_stop(&play->service);
}

static void a_device_process_without_privilege_has_them(void **state)
{
	struct play play = begin(shown);

	(void)state;
	end(&play);
}

/* `pinion addr` is asked by the buffer's number: here the fourth of the first segment. */
static void an_administrator_is_told_them(void **state)
{
	const struct pinion_buffer buffer = pinion_buffer_make(3, 0);
	struct play play = begin(shown);
	json_t *said, *first;
	char want[32];
	int err;

	(void)state;
	(void)snprintf(want, sizeof(want), "%#jx", (uintmax_t)phys_by_kernel(
		       pinion_buffer_addr(pinion_client_pool(play.client), buffer)));
	said = service_ask("addr", SERVICE_POOL " 3", &err);
	assert_int_equal(err, 0);
	assert_int_equal(json_array_size(json_object_get(said, "addresses")), 1);
	first = json_array_get(json_object_get(said, "addresses"), 0);
	assert_string_equal(json_string_value(json_object_get(first, "kind")), "phys");
	assert_string_equal(json_string_value(json_object_get(first, "address")), want);
	json_decref(said);
	end(&play);
}

/* Those of another service: it reads them anew. */
static void they_follow_a_pool_that_grows_also_after_a_restart(void **state)
{
	struct play play = begin(shown);
	int err;

	(void)state;
	service_kill(&play.service);
	json_decref(service_ask("pool-grow", SERVICE_POOL " 2M", &err));
	assert_int_equal(err, 0);
	expect_addresses(play.client, 2);
	end(&play);
}

static void it_has_them_of_a_clients_own_pool(void **state)
{
	struct play play = begin(shown_apart);

	(void)state;
	end(&play);
}

static void who_may_not_see_them_hears_which_rule_it_is(void **state)
{
	struct refusal refusal = {-EACCES, "rules[1] of the service does not show addresses"};
	struct service_process service;

	(void)state;
	start(&service, hidden);
	assert_int_equal(member_end(part_start(be_refused, &refusal)), 0);
	service_stop(&service);
}

static void a_service_without_privilege_says_so(void **state)
{
	struct refusal refusal = {-EPERM, "CAP_SYS_ADMIN"};
	struct service_process service;

	(void)state;
	user++;
	service_configure_pages(&service, shown, "2M", "2M");
	service.pid = part_start(be_service_without_privilege, &service);
	service_await(&service);
	assert_int_equal(member_end(part_start(be_refused, &refusal)), 0);
	service_stop(&service);
}

static void it_is_not_told_of_a_pool_that_it_is_not_in(void **state)
{
	struct service_process service;
	struct pinion_client *client;
	struct pinion_domain *domain;
	struct pinion_device *device;

	(void)state;
	start(&service, shown);
	assert_int_equal(pinion_device_open(SERVICE_DEVICE, &(struct pinion_device_config)
					    {.pool = SERVICE_POOL}, &device), 0);
	assert_int_equal(pinion_client_open("pool:" SERVICE_POOL, NULL, &client), 0);
	assert_int_equal(pinion_device_domain_create(device, pinion_client_pool(client), &domain),
			 -EINVAL);
	assert_int_equal(pinion_client_close(client), 0);
	assert_int_equal(pinion_device_close(device), 0);
	service_stop(&service);
}

/* For the membership of that cookie, on a connection of this process. */
static int ask_frames(uint64_t cookie)
{
	struct wire question = wire_of(WIRE_FRAMES), answer;
	unsigned nr = 1;
	struct link link;
	int file, err;

	assert_int_equal(link_open(&link, NULL), 0);
	question.cookie = cookie;
	question.segments = 1;
	err = link_ask(&link, &question, &answer, &file, &nr);
	if (!err)
		mail_close_files(&file, nr);
	link_close(&link);
	return err;
}

static uint64_t become_client(struct link *link)
{
	struct wire question = wire_of(WIRE_ATTACH), answer;
	int files[WIRE_FILES_MAX];
	unsigned nr = WIRE_FILES_MAX;

	(void)strcpy(question.name, "pool:" SERVICE_POOL);
	assert_int_equal(link_open(link, NULL), 0);
	assert_int_equal(link_ask(link, &question, &answer, files, &nr), 0);
	mail_close_files(files, nr);
	return answer.cookie;
}

/* By a cookie that is nobody's, or a client's. */
static void who_is_no_device_process_is_told_nothing(void **state)
{
	struct service_process service;
	struct link client;

	(void)state;
	start(&service, shown);
	assert_int_equal(ask_frames(0), -ESTALE);
	assert_int_equal(ask_frames(become_client(&client)), -ESTALE);
	link_close(&client);
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_device_process_without_privilege_has_them),
		pool_test(an_administrator_is_told_them),
		pool_test(they_follow_a_pool_that_grows_also_after_a_restart),
		pool_test(it_has_them_of_a_clients_own_pool),
		pool_test(who_may_not_see_them_hears_which_rule_it_is),
		pool_test(a_service_without_privilege_says_so),
		pool_test(it_is_not_told_of_a_pool_that_it_is_not_in),
		pool_test(who_is_no_device_process_is_told_nothing),
	};

	if (domain_lack() != NULL)
		return support_skip(domain_lack());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
