/* SPDX-License-Identifier: BSD-3-Clause */
/* Bus addresses, from a device process to clients, as far as the rules show them. */

#include "pretend.h"
#include "service_support.h"

/* Everybody in a pool of his own or not, and with the right or not. */
#define ROOT \
	"{ user = \"root\"; pools = [ \"*\" ]; devices = [ \"*\" ]; serve = true;" \
	" admin = true; },"
static const char shown[] = ROOT
	"{ user = \"*\"; pools = [ \"" SERVICE_POOL "\" ]; devices = [ \"*\" ];"
	" addresses = true; }";
static const char shown_apart[] = ROOT
	"{ user = \"*\"; pools = [ \"guest\" ]; devices = [ \"*\" ]; addresses = true; }";
static const char hidden[] = ROOT
	"{ user = \"*\"; pools = [ \"" SERVICE_POOL "\" ]; devices = [ \"*\" ]; }";

/* Clients. Each says where it is, in a letter. */

static void say(int to, char letter)
{
	(void)write(to, &letter, 1);
}

static void hear(int from, char letter)
{
	char said = 0;

	assert_int_equal(read(from, &said, 1), 1);
	assert_int_equal(said, letter);
}

static int await(struct pinion_client *client, enum pinion_client_event_kind kind)
{
	struct pollfd want = {pinion_client_fd(client), POLLIN, 0};
	struct pinion_client_event event = {0};

	while (event.kind != kind)
		if (pinion_client_next(client, &event) == 0 && poll(&want, 1, 10000) != 1)
			return 40;
	return 0;
}

/* Is byte 8 of a buffer where the pretended IOMMU has it? */
static int look_up(struct pinion_client *client, struct pinion_cache *cache)
{
	struct pinion_domain *domain;
	struct pinion_buffer buffer;
	uint64_t want;

	if (pinion_buffer_alloc(cache, &buffer))
		return 50;
	if (pinion_client_domain(client, &domain)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 51;
	}
	want = pretended(pinion_client_pool(client), buffer, 8);
	if (pinion_buffer_bus(domain, buffer, 8) != want)
		return 52;
	(void)pinion_domain_detach(domain);
	return pinion_buffer_free(cache, buffer) ? 53 : 0;
}

/* @arg: where to say "a" when it is in, and "b" when it has seen an address. */
static int see_addresses(void *arg)
{
	struct pinion_domain *domain;
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (err)
		return err;
	if (pinion_client_domain(client, &domain) != -EAGAIN)
		return 41;
	say(*(int *)arg, 'a');
	err = await(client, PINION_CLIENT_ADDRESSES);
	if (!err)
		err = look_up(client, cache);
	if (err)
		return err;
	say(*(int *)arg, 'b');
	/* Once more, of a service that was started again. */
	err = await(client, PINION_CLIENT_SERVICE_BACK);
	if (!err)
		err = await(client, PINION_CLIENT_ADDRESSES);
	return err ? err : look_up(client, cache);
}

/* They were shared before it came. */
static int find_addresses(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	(void)arg;
	return err ? err : look_up(client, cache);
}

static int see_none(void *arg)
{
	struct pinion_client_event event;
	struct pinion_domain *domain;
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = become_nobody() ? 3 : attach(&client, &cache);

	if (err)
		return err;
	say(*(int *)arg, 'a');
	if (poll(&(struct pollfd){pinion_client_fd(client), POLLIN, 0}, 1, 200) ||
	    pinion_client_next(client, &event))
		return 60;
	if (pinion_client_domain(client, &domain) != -EACCES ||
	    !strstr(pinion_error_text(), "rules[1]") ||
	    !strstr(pinion_error_text(), "addresses = true"))
		return 61;
	return 0;
}

/* The device process is the test itself. */

static void start(struct service_process *service, const char *rules, struct pinion_device **device)
{
	const struct pinion_device_config config = {.pool = SERVICE_POOL, .pools = ECHO_POOLS};

	service_configure(service, rules);
	service_run_managed(service, "2048");
	assert_int_equal(pinion_device_open(SERVICE_DEVICE, &config, device), 0);
	assert_int_equal(pinion_device_ready(*device), 0);
	(void)service_number("pid"); /* which has heard that by now */
}

static void end(struct service_process *service, struct pinion_device *device,
		struct pinion_domain *domain)
{
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_device_close(device), 0);
	service_stop(service);
}

/* The addresses of a pretended domain. */
static struct pinion_domain *share(struct pinion_device *device, struct pinion_pool *pool)
{
	struct pinion_domain *domain;

	assert_int_equal(pretend(pool, &domain), 0);
	assert_int_equal(pinion_device_share(device, domain), 0);
	return domain;
}

static void expect(struct pinion_device *device, enum pinion_event_kind kind,
		   struct pinion_event *event)
{
	struct pollfd want = {pinion_device_fd(device), POLLIN, 0};

	while (pinion_device_next(device, event) == 0)
		assert_int_equal(poll(&want, 1, 10000), 1);
	assert_int_equal(event->kind, kind);
}

/* It takes part in the restart in expect(). */
static void show(const char *rules)
{
	struct service_process service;
	struct pinion_domain *domain;
	struct pinion_device *device;
	struct pinion_event event;
	int from;
	pid_t client;

	start(&service, rules, &device);
	client = run_with_pipe(see_addresses, &from);
	expect(device, PINION_EVENT_JOINED, &event);
	hear(from, 'a');
	domain = share(device, event.pool);
	hear(from, 'b');
	service_kill(&service);
	expect(device, PINION_EVENT_LEFT, &event);
	assert_int_equal(member_end(client), 0);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	if (event.pool == pinion_device_pool(device))
		assert_int_equal(pinion_device_bury(device, event.member, NULL), 0);
	else
		assert_int_equal(pinion_device_detach(device, event.pool), 0);
	service_await_pools(1);
	close(from);
	assert_int_equal(pinion_device_close(device), 0);
	service_stop(&service);
}

static void who_may_see_addresses_gets_them(void **state)
{
	(void)state;
	show(shown);
}

static void so_it_is_in_a_pool_of_ones_own(void **state)
{
	(void)state;
	show(shown_apart);
}

static void what_was_shared_before_comes_at_once(void **state)
{
	struct service_process service;
	struct pinion_domain *domain;
	struct pinion_device *device;

	(void)state;
	start(&service, shown, &device);
	domain = share(device, pinion_device_pool(device));
	(void)service_number("pid");
	assert_int_equal(member_end(part_start(find_addresses, NULL)), 0);
	end(&service, device, domain);
}

/* "addr POOL 3", by somebody who may see addresses: by one device. */
static int ask_address(void *arg)
{
	char want[32];
	json_t *said, *first;
	int err;

	(void)arg;
	if (become_nobody())
		return 99;
	(void)snprintf(want, sizeof(want), "%#jx", (uintmax_t)(PRETEND_BASE + 3 * 4096));
	said = service_ask("addr", SERVICE_POOL " 3", &err);
	if (err)
		return 1;
	first = json_array_get(json_object_get(said, "addresses"), 0);
	if (json_array_size(json_object_get(said, "addresses")) != 1 ||
	    strcmp(json_string_value(json_object_get(first, "domain")), SERVICE_DEVICE) ||
	    strcmp(json_string_value(json_object_get(first, "kind")), "iova") ||
	    strcmp(json_string_value(json_object_get(first, "address")), want))
		return 2;
	json_decref(said);
	(void)service_ask("addr", SERVICE_POOL " 100000000", &err);
	return err == -ENOENT ? 0 : 3;
}

static void the_address_of_a_buffer_is_told_by_its_number(void **state)
{
	struct service_process service;
	struct pinion_domain *domain;
	struct pinion_device *device;
	int err;

	(void)state;
	start(&service, shown, &device);
	domain = share(device, pinion_device_pool(device));
	(void)service_number("pid");
	assert_int_equal(member_end(part_start(ask_address, NULL)), 0);
	/* Not to root, whose rule does not say so. */
	(void)service_ask("addr", SERVICE_POOL " 3", &err);
	assert_int_equal(err, -EACCES);
	end(&service, device, domain);
}

static void who_may_not_hears_which_rule_it_is(void **state)
{
	struct service_process service;
	struct pinion_domain *domain;
	struct pinion_device *device;
	pid_t client;
	int from;

	(void)state;
	start(&service, hidden, &device);
	client = run_with_pipe(see_none, &from);
	hear(from, 'a');
	domain = share(device, pinion_device_pool(device));
	assert_int_equal(member_end(client), 0);
	close(from);
	end(&service, device, domain);
}

static void a_domain_over_another_pool_is_not_shared(void **state)
{
	struct service_process service;
	struct pinion_client *client;
	struct pinion_domain *domain;
	struct pinion_device *device;

	(void)state;
	start(&service, shown, &device);
	assert_int_equal(pinion_client_open("pool:" SERVICE_POOL, NULL, &client), 0);
	assert_int_equal(pinion_client_domain(client, &domain), -EINVAL);
	assert_int_equal(pretend(pinion_client_pool(client), &domain), 0);
	assert_int_equal(pinion_device_share(device, domain), -EINVAL);
	assert_int_equal(pinion_domain_destroy(domain), 0);
	assert_int_equal(pinion_client_close(client), 0);
	assert_int_equal(pinion_device_close(device), 0);
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(who_may_see_addresses_gets_them),
		pool_test(so_it_is_in_a_pool_of_ones_own),
		pool_test(what_was_shared_before_comes_at_once),
		pool_test(the_address_of_a_buffer_is_told_by_its_number),
		pool_test(who_may_not_hears_which_rule_it_is),
		pool_test(a_domain_over_another_pool_is_not_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
