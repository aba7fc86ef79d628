/* SPDX-License-Identifier: BSD-3-Clause */
/* A client and a device process in loops, and a service that lies about what comes for that, or is
 * of a release that knows nothing of it. */

#include <poll.h>
#include <pthread.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <pinion/device.h>
#include <pinion/error.h>
#include <pinion/wait.h>

#include "bell_fd.h"
#include "membership.h"
#include "pool_support.h"
#include "ring_support.h"
#include "wire.h"

/* A service that has one thing to say: @answer, with @nr files that are none of these. */
struct liar {
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 16];
	int listener;
	pthread_t thread;
	struct wire answer;
	unsigned nr;
};

static void liar_open(struct liar *liar)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	support_dir_create(liar->dir);
	(void)snprintf(liar->path, sizeof(liar->path), "%s/socket", liar->dir);
	(void)strcpy(address.sun_path, liar->path);
	liar->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(liar->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(liar->listener, 1), 0);
}

static void liar_close(struct liar *liar)
{
	close(liar->listener);
	support_dir_destroy(liar->dir);
}

static struct wire hear_one(int fd)
{
	struct wire message = {0};

	(void)!recv(fd, &message, sizeof(message), 0);
	return message;
}

/* As far as the question. */
static int greet(const struct liar *liar)
{
	const int fd = accept4(liar->listener, NULL, NULL, SOCK_CLOEXEC);
	const struct wire cookie = wire_of(WIRE_COOKIE);

	(void)hear_one(fd);
	(void)wire_send(fd, &cookie, NULL, 0);
	(void)hear_one(fd);
	(void)hear_one(fd);
	return fd;
}

static void *lie_once(void *arg)
{
	const struct liar *liar = arg;
	const int fd = greet(liar);
	int files[16] = {0};

	(void)wire_send(fd, &liar->answer, files, liar->nr);
	(void)hear_one(fd);
	close(fd);
	return NULL;
}

static int ask_client(const struct liar *liar, int loop)
{
	const struct pinion_client_config config = {.socket = liar->path, .loop = loop};
	struct pinion_client *client;

	return pinion_client_open("nvme:0", &config, &client);
}

static int ask_device(const struct liar *liar, int loop)
{
	const struct pinion_device_config config = {.socket = liar->path, .loop = loop};
	struct pinion_device *device;

	return pinion_device_open("nvme:0", &config, &device);
}

static void expect_nonsense(struct liar *liar, int (*ask)(const struct liar *, int), int loop)
{
	assert_int_equal(pthread_create(&liar->thread, NULL, lie_once, liar), 0);
	assert_int_equal(ask(liar, loop), -EPROTO);
	assert_non_null(strstr(pinion_error_text(), "makes no sense"));
	assert_int_equal(pthread_join(liar->thread, NULL), 0);
}

#define OF_CHANNEL 4u /* a pool's control area, two rings, a pidfd */

static void a_client_takes_what_it_asked_for_and_no_less(void **state)
{
	static const struct {
		int loop, value;
		unsigned nr;
	} lies[] = {
		{1, 0, OF_CHANNEL}, /* of an older release */
		{1, WIRE_WAKEN, OF_CHANNEL},
		{1, WIRE_WAKEN, OF_CHANNEL + 2},
		{1, WIRE_NOTIFY, OF_CHANNEL + 1},
		{1, WIRE_WAKEN | WIRE_NOTIFY, OF_CHANNEL + 1},
		{1, WIRE_WAKEN | 8, OF_CHANNEL + 1},
		{1, WIRE_WAKEN | 8, OF_CHANNEL + 2},
		{0, WIRE_WAKEN, OF_CHANNEL + 1},
		{0, WIRE_NOTIFY, OF_CHANNEL},
		{0, 0, OF_CHANNEL + 1},
		{0, WIRE_TABLE_TOO, OF_CHANNEL},
		{0, -1, OF_CHANNEL + 3},
	};
	struct liar liar;

	(void)state;
	liar_open(&liar);
	liar.answer = wire_of(WIRE_ATTACHED);
	liar.answer.channel = 1;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		liar.answer.value = lies[i].value;
		liar.nr = lies[i].nr;
		expect_nonsense(&liar, ask_client, lies[i].loop);
	}
	liar_close(&liar);
}

static void a_device_process_is_told_that_it_will_be_woken(void **state)
{
	struct liar liar;

	(void)state;
	liar_open(&liar);
	liar.answer = wire_of(WIRE_ANNOUNCED);
	liar.nr = 1;
	expect_nonsense(&liar, ask_device, 1);
	liar.answer.value = WIRE_LOOP;
	expect_nonsense(&liar, ask_device, 0);
	liar_close(&liar);
}

/* Of clients that come to a device process: what the service says of each, and what it answers. */

enum kind { NONE, SOCKET, PIPE };

static const struct visit {
	int value;
	enum kind file[3]; /* behind the rings and the pidfd */
	bool served;
} visits[] = {
	{0, {NONE}, false}, /* told again, and not heard before */
	{WIRE_WAKEN, {NONE}, false},
	{WIRE_WAKEN, {PIPE}, false},
	{WIRE_NOTIFY, {SOCKET}, false},
	{WIRE_WAKEN | WIRE_NOTIFY, {SOCKET}, false},
	{WIRE_WAKEN | WIRE_NOTIFY, {SOCKET, PIPE}, false},
	{WIRE_WAKEN | 8, {SOCKET}, false},
	{WIRE_WAKEN, {SOCKET, SOCKET}, false},
	{WIRE_WAKEN, {SOCKET}, true},
	{WIRE_WAKEN | WIRE_NOTIFY, {SOCKET, SOCKET}, true},
};
#define VISITS (sizeof(visits) / sizeof(visits[0]))

struct keeper {
	struct liar liar;
	struct pinion_pool *pool;
	bool settled[VISITS + 1];
};

/* Both ends of what it makes come along somewhere, or are closed. */
static void make_file(enum kind kind, int *file, int *other)
{
	int end[2];

	assert_int_equal(kind == PIPE ? pipe(end) : bell_fd_pair(end), 0);
	*file = end[0];
	*other = end[1];
}

static void say_joined(struct keeper *keeper, int fd, uint32_t number)
{
	const struct visit *visit = &visits[number - 1];
	struct wire message = wire_of(WIRE_JOINED);
	int files[6], others[6];
	unsigned nr = 3;

	assert_int_equal(ring_begin(16, &files[0]), 0);
	assert_int_equal(ring_begin(16, &files[1]), 0);
	files[2] = pidfd_open(getpid(), 0);
	for (; nr < 6 && visit->file[nr - 3]; nr++)
		make_file(visit->file[nr - 3], &files[nr], &others[nr]);
	message.channel = number;
	message.peer = pinion_pool_member(keeper->pool);
	message.value = visit->value;
	assert_int_equal(wire_send(fd, &message, files, nr), 0);
	mail_close_files(files, nr);
	mail_close_files(others + 3, nr - 3);
}

static void say_announced(struct keeper *keeper, int fd)
{
	struct wire answer = wire_of(WIRE_ANNOUNCED);
	int files[WIRE_FILES_MAX];
	const unsigned nr = membership_files(keeper->pool, files, &answer.segments);

	assert_int_equal(pinion_pool_admit(keeper->pool, getpid(), &answer.member), 0);
	answer.cookie = 7;
	answer.value = WIRE_LOOP;
	assert_int_equal(wire_send(fd, &answer, files, nr), 0);
}

static void *keep_and_lie(void *arg)
{
	struct keeper *keeper = arg;
	const int fd = greet(&keeper->liar);
	struct wire message;

	say_announced(keeper, fd);
	for (uint32_t i = 1; i <= VISITS; i++)
		say_joined(keeper, fd, i);
	while ((message = hear_one(fd)).kind == WIRE_SETTLED)
		keeper->settled[message.channel] = true;
	close(fd);
	return NULL;
}

static void a_channel_that_cannot_wake_as_asked_is_let_go_of(void **state)
{
	struct keeper keeper = {.pool = pool_make(64)};
	const struct pinion_device_config config = {.socket = keeper.liar.path, .loop = 1};
	struct pinion_device *device;
	struct pinion_event event;
	unsigned served = 0;

	(void)state;
	liar_open(&keeper.liar);
	assert_int_equal(pthread_create(&keeper.liar.thread, NULL, keep_and_lie, &keeper), 0);
	assert_int_equal(pinion_device_open("nvme:0", &config, &device), 0);
	while (served < 2) {
		poll(&(struct pollfd){pinion_device_fd(device), POLLIN, 0}, 1, 1000);
		if (pinion_device_next(device, &event) != 1)
			continue;
		assert_int_equal(event.kind, PINION_EVENT_JOINED);
		assert_true(pinion_channel_fd(event.channel) >= 0);
		assert_int_equal(pinion_channel_prepare(event.channel), 0);
		served++;
	}
	assert_int_equal(pinion_device_close(device), 0);
	assert_int_equal(pthread_join(keeper.liar.thread, NULL), 0);
	for (size_t i = 0; i < VISITS; i++)
		assert_int_equal(keeper.settled[i + 1], !visits[i].served);
	assert_int_equal(pinion_pool_destroy(keeper.pool), 0);
	liar_close(&keeper.liar);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_client_takes_what_it_asked_for_and_no_less),
		pool_test(a_device_process_is_told_that_it_will_be_woken),
		pool_test(a_channel_that_cannot_wake_as_asked_is_let_go_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
