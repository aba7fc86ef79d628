/* SPDX-License-Identifier: BSD-3-Clause */
/* Which sockets the service gives to those who wait in loops, message by message, and which of them
 * it keeps. */

#include "hostile_support.h"
#include "old_kernel.h"

struct heard {
	struct wire message;
	int files[WIRE_FILES_MAX];
	unsigned nr;
};

static struct heard hear(const struct raw *raw, enum wire_kind kind)
{
	struct heard heard = {.nr = WIRE_FILES_MAX};
	struct mail_sender ignored;

	assert_true(raw_readable(raw->fd, RAW_MS));
	assert_int_equal(wire_recv(raw->fd, &heard.message, heard.files, &heard.nr, &ignored), 0);
	assert_int_equal(heard.message.kind, kind);
	return heard;
}

static void hear_no_more(struct heard *heard)
{
	mail_close_files(heard->files, heard->nr);
}

static struct heard join(struct raw *raw, enum wire_kind kind, int value)
{
	struct wire message = wire_of(kind);
	struct heard heard;

	(void)strcpy(message.name, SERVICE_DEVICE);
	(void)strcpy(message.text, kind == WIRE_ANNOUNCE ? SERVICE_POOL " -" : "");
	message.value = value;
	assert_int_equal(wire_send(raw->fd, &message, NULL, 0), 0);
	heard = hear(raw, kind == WIRE_ANNOUNCE ? WIRE_ANNOUNCED : WIRE_ATTACHED);
	raw->membership = heard.message.cookie;
	raw->channel = heard.message.channel;
	return heard;
}

static struct raw serve(int value)
{
	struct raw device = raw_in(RAW_KNOWN);
	struct heard heard = join(&device, WIRE_ANNOUNCE, value);

	assert_int_equal(heard.message.value, value);
	assert_int_equal(raw_say(device.fd, WIRE_READY, 0), 0);
	hear_no_more(&heard);
	return device;
}

/* The socket that @bit says is there, behind @nr other files. */
static int socket_of(const struct heard *heard, int bit, unsigned nr)
{
	if (!(heard->message.value & bit))
		return -1;
	if (bit == WIRE_NOTIFY && heard->message.value & WIRE_WAKEN)
		nr++;
	return heard->files[nr];
}

#define OF_POOL 2u    /* control area and segment */
#define OF_CHANNEL 3u /* rings and pidfd */

static void assert_wakes(int from, int to)
{
	char byte;

	assert_int_equal(from >= 0, to >= 0);
	if (from < 0)
		return;
	assert_int_equal(send(from, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), 1);
	assert_int_equal(recv(to, &byte, 1, MSG_DONTWAIT), 1);
	/* Not the other way. */
	assert_int_equal(send(to, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
}

static void assert_given(const struct heard *heard, int want, unsigned nr)
{
	assert_int_equal(heard->message.value, want);
	assert_int_equal(heard->nr, nr + !!(want & WIRE_WAKEN) + !!(want & WIRE_NOTIFY));
}

static void leave(struct raw *client, struct raw *device)
{
	struct wire settled = wire_of(WIRE_SETTLED), news;

	settled.channel = client->channel;
	raw_leave(client);
	do
		assert_int_equal(raw_hear(device->fd, &news), 0);
	while (news.kind != WIRE_LEFT);
	assert_int_equal(wire_send(device->fd, &settled, NULL, 0), 0);
}

static void meet(struct raw *device, int of_device, int of_client)
{
	struct raw client = raw_in(RAW_KNOWN);
	struct heard attached = join(&client, WIRE_ATTACH, of_client);
	struct heard joined = hear(device, WIRE_JOINED);

	assert_given(&attached, of_client * WIRE_WAKEN | of_device * WIRE_NOTIFY,
		     OF_POOL + OF_CHANNEL);
	assert_given(&joined, of_device * WIRE_WAKEN | of_client * WIRE_NOTIFY, OF_CHANNEL);
	assert_wakes(socket_of(&joined, WIRE_NOTIFY, OF_CHANNEL),
		     socket_of(&attached, WIRE_WAKEN, OF_POOL + OF_CHANNEL));
	assert_wakes(socket_of(&attached, WIRE_NOTIFY, OF_POOL + OF_CHANNEL),
		     socket_of(&joined, WIRE_WAKEN, OF_CHANNEL));
	hear_no_more(&attached);
	hear_no_more(&joined);
	leave(&client, device);
}

static void each_is_given_what_wakes_it_and_what_wakes_the_other(void **state)
{
	struct service_process service;

	(void)state;
	service_start(&service);
	for (int of_device = 0; of_device < 2; of_device++) {
		struct raw device = serve(of_device * WIRE_LOOP);

		for (int of_client = 0; of_client < 2; of_client++)
			meet(&device, of_device, of_client * WIRE_LOOP);
		raw_leave(&device);
		service_await_members(0);
	}
	service_stop(&service);
}

/* What wakes the device process it has had: it would be another one's, if that was lost. */
static void hear_again(struct raw *device, int woken)
{
	struct heard segment, joined;

	assert_int_equal(raw_rejoin(device, device->membership).kind, WIRE_REJOINED);
	segment = hear(device, WIRE_SEGMENT);
	hear_no_more(&segment);
	joined = hear(device, WIRE_JOINED);
	assert_given(&joined, WIRE_NOTIFY, OF_CHANNEL);
	assert_wakes(socket_of(&joined, WIRE_NOTIFY, OF_CHANNEL), woken);
	hear_no_more(&joined);
}

static void a_device_process_is_given_again_what_wakes_the_client(void **state)
{
	struct service_process service;
	struct raw device, client;
	struct heard attached, joined;
	int woken;

	(void)state;
	service_start_managed(&service);
	device = serve(WIRE_LOOP);
	client = raw_in(RAW_KNOWN);
	attached = join(&client, WIRE_ATTACH, WIRE_LOOP);
	woken = socket_of(&attached, WIRE_WAKEN, OF_POOL + OF_CHANNEL);
	joined = hear(&device, WIRE_JOINED);
	hear_no_more(&joined);
	hear_again(&device, woken);
	for (int i = 0; i < 2; i++) {
		service_kill(&service);
		hear_again(&device, woken);
	}
	leave(&client, &device);
	hear_no_more(&attached);
	/* Who comes now is given all of it, for the service knows whom it serves. */
	meet(&device, 1, 1);
	raw_leave(&device);
	service_await_members(0);
	service_stop(&service);
}

/* In the store: the ledger, two of the pool, two pidfds, two rings. */
static void a_store_without_room_for_the_socket_is_told_and_keeps_nothing(void **state)
{
	const struct pinion_client_config config = {.loop = 1};
	struct service_process service;
	struct pinion_client *client;
	struct raw device;

	(void)state;
	service_configure(&service, service_rules);
	service_run_managed(&service, "7");
	device = serve(0);
	for (int i = 0; i < 3; i++) {
		struct raw guest;

		assert_int_equal(pinion_client_open(SERVICE_DEVICE, &config, &client), -ENOSPC);
		guest = raw_in(RAW_KNOWN);
		assert_int_equal(raw_join(&guest, WIRE_ATTACH, SERVICE_DEVICE).kind,
				 WIRE_ATTACHED);
		leave(&guest, &device);
		service_await_members(1);
	}
	raw_leave(&device);
	service_stop(&service);
}

#define GUESTS 300u

static void a_device_process_that_reads_late_is_woken_by_each_guest(void **state)
{
	struct service_process service;
	struct raw device, guest[GUESTS];
	unsigned before;

	(void)state;
	service_configure_pool(&service, GUESTS + 24, 1, "");
	service_run(&service);
	device = serve(WIRE_LOOP);
	before = service_files_at_rest(&service);
	for (uint32_t i = 0; i < GUESTS; i++) {
		guest[i] = raw_in(RAW_KNOWN);
		assert_int_equal(raw_join(&guest[i], WIRE_ATTACH, SERVICE_DEVICE).kind,
				 WIRE_ATTACHED);
	}
	/* Of some the service has more than a connection, a pidfd and two rings. */
	assert_true(process_files(service.pid) > before + 4 * GUESTS);
	for (uint32_t i = 0; i < GUESTS; i++) {
		struct heard joined = hear(&device, WIRE_JOINED);

		assert_given(&joined, WIRE_WAKEN, OF_CHANNEL);
		hear_no_more(&joined);
	}
	service_await_files(&service, before + 4 * GUESTS);
	for (uint32_t i = 0; i < GUESTS; i++)
		leave(&guest[i], &device);
	raw_leave(&device);
	service_await_members(0);
	service_stop(&service);
}

/* Its process lives on, and must not be taken for a member. */
static void who_hangs_up_before_it_is_answered_has_left(void **state)
{
	struct service_process service;
	struct raw device, guest;
	struct wire ask = wire_of(WIRE_ATTACH), news;

	(void)state;
	service_start(&service);
	device = serve(WIRE_LOOP);
	guest = raw_in(RAW_KNOWN);
	(void)strcpy(ask.name, SERVICE_DEVICE);
	assert_int_equal(kill(service.pid, SIGSTOP), 0);
	assert_int_equal(wire_send(guest.fd, &ask, NULL, 0), 0);
	raw_end(&guest);
	assert_int_equal(kill(service.pid, SIGCONT), 0);
	assert_int_equal(raw_hear(device.fd, &news), 0);
	assert_int_equal(news.kind, WIRE_JOINED);
	assert_int_equal(raw_hear(device.fd, &news), 0);
	assert_int_equal(news.kind, WIRE_LEFT);
	assert_int_equal(news.value, 0);
	news = wire_of(WIRE_SETTLED);
	news.channel = 1;
	assert_int_equal(wire_send(device.fd, &news, NULL, 0), 0);
	service_await_members(1);
	assert_int_equal(service_count("channels"), 0);
	raw_leave(&device);
	service_stop(&service);
}

/* It would have to keep what the client can put files into. */
static void before_6_16_who_does_not_listen_gets_no_guests(void **state)
{
	struct service_process service;
	struct raw device, guest[64];
	struct wire answer;
	uint32_t nr = 0;

	(void)state;
	service_configure_pool(&service, 100, 1, "");
	service_run_prepared(&service, forget_the_option);
	device = serve(WIRE_LOOP);
	do {
		assert_true(nr < 64);
		guest[nr] = raw_in(RAW_KNOWN);
		answer = raw_join(&guest[nr++], WIRE_ATTACH, SERVICE_DEVICE);
	} while (answer.kind == WIRE_ATTACHED);
	assert_int_equal(answer.kind, WIRE_REFUSED);
	assert_int_equal(answer.value, -EBUSY);
	raw_end(&guest[--nr]);
	for (uint32_t i = 0; i < nr; i++) {
		struct heard joined = hear(&device, WIRE_JOINED);

		assert_given(&joined, WIRE_WAKEN, OF_CHANNEL);
		hear_no_more(&joined);
	}
	for (uint32_t i = 0; i < nr; i++)
		leave(&guest[i], &device);
	meet(&device, 1, 1);
	raw_leave(&device);
	service_await_members(0);
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(each_is_given_what_wakes_it_and_what_wakes_the_other),
		pool_test(a_device_process_is_given_again_what_wakes_the_client),
		pool_test(a_store_without_room_for_the_socket_is_told_and_keeps_nothing),
		pool_test(a_device_process_that_reads_late_is_woken_by_each_guest),
		pool_test(who_hangs_up_before_it_is_answered_has_left),
		pool_test(before_6_16_who_does_not_listen_gets_no_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
