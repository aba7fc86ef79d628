/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond while it makes a pool for somebody, which takes as long as there are pages to clear: it
 * goes on with all else, and what happens meanwhile is minded when the pool is there.
 */

#include "hostile_support.h"

#define LARGE "256M" /* a tenth of a second and more */
#define SMALL "4M"

/* Who is in the midst of it has a thread for it. */
static bool is_making(pid_t service)
{
	return process_entries(service, "task") > 1;
}

static void await_making(pid_t service)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (!is_making(service))
		assert_true(test_now_ns() < until);
}

static void start(struct service_process *service, const char *rules, const char *guest)
{
	service_configure_pages(service, rules, "4k", guest);
	service_run(service);
}

/* Somebody else's user, whose questions have their own turn. */

static const char *wanted; /* what they attach to */

#define BROKEN 2 /* ends with that when the connection does */

/* What is answered goes to the parent; then it stays until it is killed. */
static int ask_for_it(void *arg)
{
	struct wire wish = wire_of(WIRE_ATTACH), answer;
	struct raw raw;

	if (become_nobody())
		return 1;
	(void)strcpy(wish.name, wanted);
	raw = raw_in(RAW_KNOWN);
	if (wire_send(raw.fd, &wish, NULL, 0) || raw_hear(raw.fd, &answer))
		return BROKEN;
	(void)write(*(int *)arg, &answer, sizeof(answer));
	for (;;)
		pause();
}

struct guest {
	pid_t pid;
	int answer; /* to be read */
};

static struct guest guest_start(const char *name)
{
	struct guest guest;

	wanted = name;
	guest.pid = run_with_pipe(ask_for_it, &guest.answer);
	return guest;
}

static struct wire guest_hear(const struct guest *guest)
{
	struct wire answer;

	assert_int_equal(read(guest->answer, &answer, sizeof(answer)), sizeof(answer));
	return answer;
}

static void guest_end(struct guest *guest)
{
	assert_int_equal(process_end(guest->pid, SIGKILL), 128 + SIGKILL);
	close(guest->answer);
}

static void guest_ends_unanswered(struct guest *guest)
{
	char any;

	assert_int_equal(read(guest->answer, &any, 1), 0);
	assert_int_equal(member_end(guest->pid), BROKEN);
	close(guest->answer);
}

static void others_are_let_in(void **state)
{
	struct service_process service;
	struct guest guest;
	unsigned let_in = 0;

	(void)state;
	start(&service, service_rules, LARGE);
	guest = guest_start("pool:guest");
	await_making(service.pid);
	while (!raw_readable(guest.answer, 0)) {
		struct raw raw = raw_in(RAW_CLIENT);

		raw_leave(&raw);
		let_in += is_making(service.pid);
	}
	print_message("# %u came and left meanwhile\n", let_in);
	assert_int_equal(guest_hear(&guest).kind, WIRE_ATTACHED);
	assert_true(let_in >= 3);
	guest_end(&guest);
	service_await_pools(1);
	service_stop(&service);
}

static int hold_until_killed(void *arg)
{
	struct pinion_client *client;

	if (attach_and_hold("pool:" SERVICE_POOL, &client))
		return 1;
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		pause();
}

static void a_death_is_noticed_and_all_is_back(void **state)
{
	struct service_process service;
	struct guest guest;
	pid_t holder;

	(void)state;
	start(&service, service_rules, LARGE);
	holder = run_until_said(hold_until_killed);
	assert_int_equal(service_held(), 1);
	guest = guest_start("pool:guest");
	await_making(service.pid);
	assert_int_equal(process_end(holder, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	assert_true(is_making(service.pid));
	assert_int_equal(guest_hear(&guest).kind, WIRE_ATTACHED);
	guest_end(&guest);
	service_await_pools(1);
	service_stop(&service);
}

#define CROWD 8 /* as many memberships as there may be */

static void all_that_ask_at_once_have_one_in_the_end(void **state)
{
	struct service_process service;
	struct guest guest[CROWD];

	(void)state;
	start(&service, service_rules, SMALL);
	for (int i = 0; i < CROWD; i++)
		guest[i] = guest_start("pool:guest");
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(guest_hear(&guest[i]).kind, WIRE_ATTACHED);
	assert_int_equal(service_count_pools(), 1 + CROWD);
	for (int i = 0; i < CROWD; i++)
		guest_end(&guest[i]);
	service_await_pools(1);
	service_stop(&service);
}

static void of_who_was_killed_meanwhile_nothing_is_left(void **state)
{
	struct service_process service;
	struct guest guest;
	unsigned files;

	(void)state;
	start(&service, service_rules, LARGE);
	files = service_files_at_rest(&service);
	guest = guest_start("pool:guest");
	await_making(service.pid);
	guest_end(&guest);
	assert_true(is_making(service.pid));
	while (is_making(service.pid))
		usleep(1000);
	service_await_pools(1);
	service_await_files(&service, files);
	service_stop(&service);
}

static void whose_device_process_died_meanwhile_is_refused(void **state)
{
	struct service_process service;
	struct guest guest;
	struct wire answer;
	pid_t device;

	(void)state;
	start(&service, service_rules_apart, LARGE);
	device = echo_start();
	guest = guest_start(SERVICE_DEVICE);
	await_making(service.pid);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	assert_true(is_making(service.pid));
	answer = guest_hear(&guest);
	assert_int_equal(answer.kind, WIRE_REFUSED);
	assert_int_equal(answer.value, -ENOENT);
	service_await_pools(1);
	guest_end(&guest);
	service_stop(&service);
}

static void it_ends_in_order(void **state)
{
	struct service_process service;
	struct guest guest;

	(void)state;
	start(&service, service_rules, LARGE);
	guest = guest_start("pool:guest");
	await_making(service.pid);
	service_stop(&service);
	guest_ends_unanswered(&guest);
}

static void killed_then_it_has_none_and_makes_another(void **state)
{
	struct service_process service;
	struct guest guest;
	pid_t pid;

	(void)state;
	service_configure_pages(&service, service_rules, "4k", LARGE);
	service_run_managed(&service, "2048");
	pid = (pid_t)service_number("pid");
	guest = guest_start("pool:guest");
	await_making(pid);
	service_kill(&service);
	assert_int_equal(service_count_pools(), 1);
	guest_ends_unanswered(&guest);
	guest = guest_start("pool:guest");
	assert_int_equal(guest_hear(&guest).kind, WIRE_ATTACHED);
	assert_int_equal(service_count_pools(), 2);
	guest_end(&guest);
	service_await_pools(1);
	service_stop(&service);
}

/* By order, which needs hugepages. */

static int order_one(void *arg)
{
	int err;

	(void)arg;
	if (become_nobody())
		return 1;
	json_decref(service_ask("pool-create", "more " SMALL " 4K", &err));
	return -err;
}

static void of_two_that_order_the_same_pool_one_has_it(void **state)
{
	struct service_process service;
	pid_t other;
	int err;

	(void)state;
	start(&service, ANY_RULES, SMALL);
	other = part_start(order_one, NULL);
	json_decref(service_ask("pool-create", "more " SMALL " 4K", &err));
	assert_int_equal(member_end(other), err ? 0 : EEXIST);
	assert_true(!err || err == -EEXIST);
	assert_int_equal(service_count_pools(), 2);
	service_stop(&service);
}

#define making_test(f) support_where(!geteuid(), "only root becomes others", pool_test, f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		making_test(others_are_let_in),
		making_test(a_death_is_noticed_and_all_is_back),
		making_test(all_that_ask_at_once_have_one_in_the_end),
		making_test(of_who_was_killed_meanwhile_nothing_is_left),
		making_test(whose_device_process_died_meanwhile_is_refused),
		making_test(it_ends_in_order),
		making_test(killed_then_it_has_none_and_makes_another),
		making_test(of_two_that_order_the_same_pool_one_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
