/* SPDX-License-Identifier: BSD-3-Clause */
/* piniond and peers that lie: about what they say, when, for whom, and what they send along. */

#include "hostile_support.h"
#include "lingering.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

#define FILES_MAX 253

/* A service, and how many descriptors it has when nobody is there. */
struct stage {
	struct service_process service;
	unsigned files;
};

static void open_stage(struct stage *stage)
{
	service_configure_pool(&stage->service, 24, 4, "");
	service_run(&stage->service);
	stage->files = service_files_at_rest(&stage->service);
}

/* Nobody is left, and nothing of anybody. */
static void close_stage(struct stage *stage)
{
	service_await_members(0);
	assert_int_equal(service_held(), 0);
	service_await_files(&stage->service, stage->files);
	service_stop(&stage->service);
}

/* Messages that are none. */

static void other_sizes_end_the_conversation_in_every_state(void **state)
{
	static const size_t sizes[] = {0, 1, 48, 255, 257, 4096};
	static const char bytes[4096];
	struct stage stage;

	(void)state;
	open_stage(&stage);
	for (enum raw_state in = RAW_ARRIVED; in < RAW_STATES; in++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct raw raw = raw_in(in);

			assert_int_equal(send(raw.fd, bytes, sizes[i], 0), sizes[i]);
			assert_true(raw_hung_up(raw.fd));
			raw_leave(&raw);
		}
	close_stage(&stage);
}

static struct wire misshapen(unsigned which)
{
	struct wire message = wire_of(WIRE_HELLO);

	switch (which) {
	case 0: message.magic ^= 1; break;
	case 1: message.version++; break;
	case 2: message.version = 0; break;
	case 3: message.kind = 0; break;
	case 4: message.kind = WIRE_KINDS; break;
	case 5: message.kind = UINT16_MAX; break;
	case 6: memset(message.name, 'x', sizeof(message.name)); break;
	default: memset(message.text, 'x', sizeof(message.text)); break;
	}
	return message;
}

static void what_is_no_message_ends_the_conversation_in_every_state(void **state)
{
	struct stage stage;

	(void)state;
	open_stage(&stage);
	for (enum raw_state in = RAW_ARRIVED; in < RAW_STATES; in++)
		for (unsigned which = 0; which < 8; which++) {
			const struct wire message = misshapen(which);
			struct raw raw = raw_in(in);

			assert_int_equal(wire_send(raw.fd, &message, NULL, 0), 0);
			assert_true(raw_hung_up(raw.fd));
			raw_leave(&raw);
		}
	close_stage(&stage);
}

/* Messages at the wrong moment. */

enum outcome { GOES_ON, ANSWERED, REFUSED, HANGS_UP };

static enum outcome expected(enum raw_state in, enum wire_kind kind)
{
	if (in == RAW_ARRIVED)
		return kind == WIRE_HELLO ? ANSWERED : HANGS_UP;
	if (in == RAW_GREETED)
		return kind == WIRE_CONFIRM ? GOES_ON : HANGS_UP;
	if (kind == WIRE_BYE)
		return HANGS_UP;
	return in == RAW_KNOWN ? REFUSED : GOES_ON;
}

/* Is there still one who listens there, in the state that it was? */
static void check_goes_on(const struct raw *raw, enum raw_state in)
{
	struct wire answer;

	if (in >= RAW_CLIENT) {
		assert_true(service_has_connected(raw->member));
		assert_false(raw_readable(raw->fd, 0));
		return;
	}
	assert_int_equal(raw_say(raw->fd, WIRE_ATTACH, 0), 0);
	assert_int_equal(raw_hear(raw->fd, &answer), 0);
	assert_int_equal(answer.kind, WIRE_REFUSED);
}

static void try_kind(enum raw_state in, enum wire_kind kind)
{
	struct raw raw = raw_in(in);
	struct wire answer;

	assert_int_equal(raw_say(raw.fd, kind, raw.cookie), 0);
	switch (expected(in, kind)) {
	case GOES_ON:
		check_goes_on(&raw, in);
		break;
	case HANGS_UP:
		assert_true(raw_hung_up(raw.fd));
		/* It said so itself. */
		if (kind == WIRE_BYE)
			raw.membership = 0;
		break;
	default:
		assert_int_equal(raw_hear(raw.fd, &answer), 0);
		assert_int_equal(answer.kind == WIRE_REFUSED, expected(in, kind) == REFUSED);
	}
	raw_leave(&raw);
}

static void each_kind_at_each_moment_is_answered_refused_or_the_end(void **state)
{
	struct stage stage;

	(void)state;
	open_stage(&stage);
	for (enum raw_state in = RAW_ARRIVED; in < RAW_STATES; in++)
		for (enum wire_kind kind = 1; kind < WIRE_KINDS; kind++)
			try_kind(in, kind);
	close_stage(&stage);
}

/* Files. */

static int send_files(int fd, enum wire_kind kind, int file, unsigned nr)
{
	const struct wire message = wire_of(kind);
	int files[FILES_MAX];

	for (unsigned i = 0; i < nr; i++)
		files[i] = file;
	return wire_send(fd, &message, files, nr);
}

static void files_that_nobody_asked_for_are_not_kept(void **state)
{
	const int file = eventfd(0, EFD_CLOEXEC);
	struct stage stage;

	(void)state;
	open_stage(&stage);
	for (enum raw_state in = RAW_ARRIVED; in < RAW_STATES; in++)
		for (enum wire_kind kind = 1; kind < WIRE_KINDS; kind++) {
			struct raw raw = raw_in(in);

			/* Refused by the kernel, where it can, or closed. */
			(void)send_files(raw.fd, kind, file, FILES_MAX);
			(void)send_files(raw.fd, kind, file, 2);
			raw_leave(&raw);
		}
	close(file);
	close_stage(&stage);
}

static int open_kind(unsigned which)
{
	switch (which) {
	case 0: return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	case 1: return epoll_create1(EPOLL_CLOEXEC);
	case 2: return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 3: return memfd_create("/dev/vfio/vfio", MFD_CLOEXEC);
	case 4: return pidfd_open(getpid(), 0);
	case 5: return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 6: return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 7: return open("/dev", O_PATH | O_CLOEXEC);
	default: return -1;
	}
}

static void only_a_container_can_be_parked(void **state)
{
	struct stage stage;
	struct raw raw;

	(void)state;
	open_stage(&stage);
	raw = raw_in(RAW_DEVICE);
	for (unsigned which = 0; which < 8; which++) {
		const int file = open_kind(which);
		const unsigned before = service_files_at_rest(&stage.service);

		assert_true(file >= 0);
		assert_int_equal(send_files(raw.fd, WIRE_PARK, file, 1), 0);
		close(file);
		assert_true(service_has_connected(raw.member));
		assert_false(service_says("devices", "member", raw.member, "parked"));
		service_await_files(&stage.service, before);
	}
	raw_leave(&raw);
	close_stage(&stage);
}

static void send_lingering(struct raw *raw, enum wire_kind kind, bool unread)
{
	const struct wire message = wire_of(kind);
	int other;

	if (unread) /* an end of talking before it: who hangs up then throws it away */
		assert_int_equal(send(raw->fd, "", 0, 0), 0);
	other = lingering_send(raw->fd, &message, sizeof(message));
	(void)service_number("pid");
	close(other);
}

static void a_file_that_takes_long_to_close_holds_nobody_up(void **state)
{
	const uint64_t before = test_now_ns();
	struct stage stage;

	(void)state;
	open_stage(&stage);
	for (enum raw_state in = RAW_ARRIVED; in < RAW_STATES; in++)
		for (int unread = 0; unread < 2; unread++) {
			struct raw raw = raw_in(in);

			send_lingering(&raw, in == RAW_DEVICE ? WIRE_PARK : WIRE_HELLO, unread);
			raw_leave(&raw);
		}
	assert_true(test_now_ns() - before < LINGERING_NOT_NS);
	close_stage(&stage);
}

/* Cookies. */

/* In a child; what it has open of its parent's it uses. */
static int run_in_child(int (*f)(struct raw *raw), struct raw *raw)
{
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(f(raw));
	return member_end(pid);
}

static int steal_membership(struct raw *victim)
{
	struct raw thief = {.fd = raw_dial()};
	const struct wire answer = raw_rejoin(&thief, victim->membership);

	return answer.kind == WIRE_REFUSED && answer.value == -ESTALE ? 0 : 1;
}

static void a_stolen_cookie_opens_nothing(void **state)
{
	struct raw victim, other = {.fd = -1};
	struct stage stage;

	(void)state;
	open_stage(&stage);
	victim = raw_in(RAW_CLIENT);
	assert_int_equal(run_in_child(steal_membership, &victim), 0);
	assert_true(service_has_connected(victim.member));
	assert_false(raw_readable(victim.fd, 0));
	/* One that nobody has. */
	other.fd = raw_dial();
	assert_int_equal(raw_rejoin(&other, 0).value, -ESTALE);
	assert_int_equal(raw_rejoin(&other, victim.membership + 1).value, -ESTALE);
	/* A connection's is not a membership's, and the other way round. */
	assert_int_equal(raw_rejoin(&other, victim.cookie).value, -ESTALE);
	raw_end(&other);
	raw_leave(&victim);
	close_stage(&stage);
}

static void a_cookie_confirms_its_own_connection_alone(void **state)
{
	struct raw one, two;
	struct stage stage;

	(void)state;
	open_stage(&stage);
	one = raw_in(RAW_GREETED);
	two = raw_in(RAW_GREETED);
	assert_int_equal(raw_say(two.fd, WIRE_CONFIRM, one.cookie), 0);
	assert_true(raw_hung_up(two.fd));
	assert_int_equal(raw_say(one.fd, WIRE_CONFIRM, one.cookie), 0);
	check_goes_on(&one, RAW_KNOWN);
	raw_end(&one);
	raw_end(&two);
	close_stage(&stage);
}

static int confirm_for_parent(struct raw *raw)
{
	return raw_say(raw->fd, WIRE_CONFIRM, raw->cookie) ? 1 : raw_hung_up(raw->fd) ? 0 : 2;
}

static void a_child_cannot_confirm_for_its_parent(void **state)
{
	struct stage stage;
	struct raw raw;

	(void)state;
	open_stage(&stage);
	raw = raw_in(RAW_GREETED);
	assert_int_equal(run_in_child(confirm_for_parent, &raw), 0);
	raw_end(&raw);
	close_stage(&stage);
}

static int say_bye(struct raw *raw)
{
	return raw_say(raw->fd, WIRE_BYE, 0);
}

static void a_childs_goodbye_is_not_its_parents(void **state)
{
	struct stage stage;
	struct raw raw;

	(void)state;
	open_stage(&stage);
	raw = raw_in(RAW_CLIENT);
	assert_int_equal(run_in_child(say_bye, &raw), 0);
	/* That connection ended; the membership did not. */
	assert_true(raw_hung_up(raw.fd));
	assert_int_equal(service_count("members"), 1);
	raw_leave(&raw);
	assert_int_equal(service_counter("left"), 1);
	assert_int_equal(service_counter("deaths"), 0);
	close_stage(&stage);
}

static int talk_and_leave(struct raw *raw)
{
	*raw = raw_in(RAW_CLIENT);
	for (int i = 0; i < 20; i++)
		if (raw_say(raw->fd, WIRE_SETTLED, 0))
			return 1;
	return raw_say(raw->fd, WIRE_BYE, 0);
}

static void a_goodbye_at_the_end_of_much_talk_is_heard(void **state)
{
	struct stage stage;
	struct raw raw;

	(void)state;
	open_stage(&stage);
	for (int i = 1; i <= 50; i++) {
		assert_int_equal(run_in_child(talk_and_leave, &raw), 0);
		service_await_members(0);
		assert_int_equal(service_counter("left"), i);
	}
	close_stage(&stage);
}

/* Channels. */

static void say_settled(const struct raw *raw, uint32_t channel)
{
	struct wire message = wire_of(WIRE_SETTLED);

	message.channel = channel;
	assert_int_equal(wire_send(raw->fd, &message, NULL, 0), 0);
}

static void who_settles_a_channel_of_others_settles_nothing(void **state)
{
	struct raw device, one, two;
	struct wire news;
	struct stage stage;

	(void)state;
	open_stage(&stage);
	device = raw_in(RAW_DEVICE);
	assert_int_equal(raw_say(device.fd, WIRE_READY, 0), 0);
	one = raw_in(RAW_KNOWN);
	two = raw_in(RAW_KNOWN);
	assert_int_equal(raw_join(&one, WIRE_ATTACH, SERVICE_DEVICE).kind, WIRE_ATTACHED);
	assert_int_equal(raw_join(&two, WIRE_ATTACH, SERVICE_DEVICE).kind, WIRE_ATTACHED);
	for (uint32_t channel = 0; channel < 100; channel++)
		if (channel != one.channel)
			say_settled(&one, channel);
	assert_int_equal(service_count("channels"), 2);
	assert_false(raw_readable(two.fd, 0));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(raw_hear(device.fd, &news), 0);
		assert_int_equal(news.kind, WIRE_JOINED);
	}
	assert_false(raw_readable(device.fd, 0));
	/* Its own, twice: the other end hears of it once. */
	say_settled(&one, one.channel);
	say_settled(&one, one.channel);
	assert_int_equal(raw_hear(device.fd, &news), 0);
	assert_int_equal(news.kind, WIRE_LEFT);
	assert_int_equal(news.channel, one.channel);
	(void)service_number("pid");
	assert_false(raw_readable(device.fd, 0));
	say_settled(&device, one.channel);
	say_settled(&device, one.channel);
	assert_int_equal(service_count("channels"), 1);
	raw_leave(&one);
	raw_leave(&two);
	raw_leave(&device);
	close_stage(&stage);
}

static void a_client_is_never_ready_and_parks_nothing(void **state)
{
	const int file = eventfd(0, EFD_CLOEXEC);
	struct stage stage;
	struct raw raw;

	(void)state;
	open_stage(&stage);
	raw = raw_in(RAW_CLIENT);
	assert_int_equal(raw_say(raw.fd, WIRE_READY, 0), 0);
	assert_int_equal(raw_say(raw.fd, WIRE_PARK, 0), 0);
	assert_true(service_has_connected(raw.member));
	/* With a file: refused by the kernel, where it can, or closed. */
	(void)send_files(raw.fd, WIRE_PARK, file, 1);
	assert_int_equal(service_count("members"), 1);
	close(file);
	raw_leave(&raw);
	close_stage(&stage);
}

/* Names that are meant for whoever reads the log. */
static void what_peers_say_makes_no_lines_in_the_log(void **state)
{
	char path[SUPPORT_PATH_LEN + 16], line[1024];
	struct stage stage;
	struct raw raw;
	FILE *log;
	int stderr_copy = dup(2), fd;

	(void)state;
	service_configure_pool(&stage.service, 24, 4, "");
	(void)snprintf(path, sizeof(path), "%s/log", stage.service.dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	dup2(fd, 2);
	close(fd);
	service_run(&stage.service);
	dup2(stderr_copy, 2);
	close(stderr_copy);
	raw = raw_in(RAW_KNOWN);
	assert_int_equal(raw_join(&raw, WIRE_ATTACH, "pool:x\n<0>forged: \x1b[2Jall is lost").kind,
			 WIRE_REFUSED);
	raw_end(&raw);
	assert_int_equal(process_end(stage.service.pid, SIGTERM), 0);
	log = fopen(path, "re");
	assert_non_null(log);
	while (fgets(line, sizeof(line), log)) {
		assert_int_equal(strncmp(line, "piniond: ", 9), 0);
		assert_null(strchr(line, '\x1b'));
	}
	fclose(log);
	support_dir_destroy(stage.service.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(other_sizes_end_the_conversation_in_every_state),
		pool_test(what_is_no_message_ends_the_conversation_in_every_state),
		pool_test(each_kind_at_each_moment_is_answered_refused_or_the_end),
		pool_test(files_that_nobody_asked_for_are_not_kept),
		pool_test(only_a_container_can_be_parked),
		pool_test(a_file_that_takes_long_to_close_holds_nobody_up),
		pool_test(a_stolen_cookie_opens_nothing),
		pool_test(a_cookie_confirms_its_own_connection_alone),
		pool_test(a_child_cannot_confirm_for_its_parent),
		pool_test(a_childs_goodbye_is_not_its_parents),
		pool_test(a_goodbye_at_the_end_of_much_talk_is_heard),
		pool_test(who_settles_a_channel_of_others_settles_nothing),
		pool_test(a_client_is_never_ready_and_parks_nothing),
		pool_test(what_peers_say_makes_no_lines_in_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
