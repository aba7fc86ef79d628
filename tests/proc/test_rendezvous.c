/* SPDX-License-Identifier: BSD-3-Clause */
/* Joining and leaving, in good order and not, between real processes. */

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <pinion/fanin.h>

#include "lingering.h"
#include "parcel.h"
#include "proc_support.h"
#include "raw_support.h"
#include "rendezvous_inside.h"

#define SOON 5000 /* ms: for what must happen; a loaded machine is slow */

/* Members. */

/* Sends nr buffers to the keeper, gets them back, and holds @keep of them at the end. */
static int bounce(struct pinion_session *session, uint32_t nr, uint32_t keep)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_channel *channel = pinion_session_channel(session);
	struct pinion_cache *cache;
	struct pinion_buffer held;

	if (pinion_cache_open(pinion_session_pool(session), &any, &cache))
		return 10;
	for (uint32_t i = 0; i < nr; i++) {
		struct pinion_desc desc = {.len = i % BUFFER, .tag = i};

		if (pinion_buffer_alloc(cache, &desc.buffer))
			return 11;
		memset(pinion_buffer_addr(pinion_session_pool(session), desc.buffer), (int)i,
		       BUFFER);
		if (pinion_channel_send(channel, &desc, 1) != 1)
			return 12;
		while (pinion_channel_recv(channel, &desc, 1) == -EAGAIN)
			if (pinion_channel_wait(channel, UINT64_C(5000000000)))
				return 13;
		if (desc.tag != i || pinion_buffer_free(cache, desc.buffer))
			return 14;
	}
	for (uint32_t i = 0; i < keep; i++)
		if (pinion_buffer_alloc(cache, &held))
			return 15;
	return pinion_cache_close(cache) ? 16 : 0;
}

/* Joins, works, leaves in good order. */
static int visit(const char *path, void *arg)
{
	struct pinion_session *session;
	int err;

	if (arg != NULL && become_nobody())
		return 1;
	if (pinion_session_open(path, &session)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 2;
	}
	err = bounce(session, 200, 3);
	return err ? err : pinion_session_close(session);
}

/* Joins, stops itself when it holds something, and stays until it is killed. */
static int stay(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	if (pinion_session_open(path, &session) || bounce(session, 20, 7))
		return 1;
	raise(SIGSTOP);
	for (;;)
		pause();
}

/* Joins and exits without a word. */
static int slink_off(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	return pinion_session_open(path, &session) ? 1 : bounce(session, 20, 5);
}

/* Raw conversation, for peers that do not keep to it. */

/* As on a kernel before 6.16, which cannot keep files out. */
static void let_files_in(const struct keeper *keeper)
{
	(void)mail_allow_files(keeper->rendezvous->listener.fd, true);
}

/* HELLO, and what comes back; its files are closed unseen. 0 or -errno. */
static int say_hello(int fd, struct message *answer)
{
	const struct message hello = message_of(MESSAGE_HELLO);
	struct pollfd want = {fd, POLLIN, 0};
	struct mail_sender sender;
	unsigned nr_files = 0;

	if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello))
		return -errno;
	if (poll(&want, 1, 2 * SOON) != 1)
		return -ETIMEDOUT;
	return message_recv(fd, answer, NULL, &nr_files, &sender);
}

/* The keeper hung up: a read ends, within @ms. */
static int is_hung_up(int fd, int ms)
{
	struct pollfd want = {fd, POLLIN, 0};
	char byte;

	return poll(&want, 1, ms) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

/* Joins that go well. */

static void expect_visit(struct keeper *keeper, pid_t pid, uid_t uid)
{
	struct pinion_event event = keeper_expect(keeper, PINION_EVENT_JOINED, SOON);

	assert_int_equal(event.pid, pid);
	assert_int_equal(event.uid, uid);
	assert_int_equal(event.gid, uid);
	assert_non_null(event.channel);
	event = keeper_expect(keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(event.pid, pid);
	assert_int_equal(event.killed, 0);
	assert_int_equal(keeper_bury(keeper, &event).returned, 3);
	assert_int_equal(member_end(pid), 0);
}

static void a_member_joins_works_and_leaves(void **state)
{
	struct keeper keeper;

	(void)state;
	keeper_open(&keeper);
	for (int i = 0; i < 3 * KEEPER_MEMBERS; i++)
		expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	assert_int_equal(keeper.echoed, 3 * KEEPER_MEMBERS * 200);
	keeper_close_whole(&keeper);
}

/* How large the rings are that a joiner gets. */
struct wish {
	uint32_t slots, got;
};

static int wish_for(const char *path, void *arg)
{
	const struct wish *wish = arg;
	const struct pinion_session_config config = {.slots = wish->slots};
	struct pinion_session *session;
	int err;

	if (pinion_session_open_with(path, &config, &session))
		return 1;
	if (pinion_channel_slots(pinion_session_channel(session)) != wish->got)
		return 2;
	err = bounce(session, 3 * wish->got, 0);
	return err ? err : pinion_session_close(session);
}

static void expect_slots(struct keeper *keeper, struct wish wish)
{
	const pid_t pid = member_start(keeper, wish_for, &wish);
	struct pinion_event event = keeper_expect(keeper, PINION_EVENT_JOINED, SOON);

	assert_int_equal(pinion_channel_slots(event.channel), wish.got);
	event = keeper_expect(keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(member_end(pid), 0);
	keeper_bury(keeper, &event);
}

static void a_joiner_gets_the_rings_it_asks_for_up_to_the_keepers_maximum(void **state)
{
	const struct pinion_rendezvous_config some = {.slots = 16, .slots_max = 64};
	const struct pinion_rendezvous_config plain = {.slots = 16};
	const struct pinion_pool_config config = pool_config(1024, BUFFER);
	struct keeper keeper;

	(void)state;
	keeper_open_with(&keeper, &config, &some);
	expect_slots(&keeper, (struct wish){0, 16});
	expect_slots(&keeper, (struct wish){4, 4});
	expect_slots(&keeper, (struct wish){64, 64});
	expect_slots(&keeper, (struct wish){PINION_RING_SLOTS_MAX, 64});
	keeper_close_whole(&keeper);
	keeper_open_with(&keeper, &config, &plain);
	expect_slots(&keeper, (struct wish){8, 8});
	expect_slots(&keeper, (struct wish){32, 16});
	keeper_close_whole(&keeper);
}

static void rings_that_cannot_be_are_einval_on_either_side(void **state)
{
	const uint32_t bad[] = {1, 2, 5, 63, PINION_RING_SLOTS_MAX + 1, UINT32_MAX};
	struct message hello = message_of(MESSAGE_HELLO), answer;
	struct pinion_session *session = NULL;
	struct keeper keeper;

	(void)state;
	keeper_open(&keeper);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct pinion_session_config config = {.slots = bad[i]};
		struct mail_sender sender;
		unsigned nr_files = 0;
		int fd;

		errno = 4711;
		assert_int_equal(pinion_session_open_with(keeper.path, &config, &session), -EINVAL);
		assert_int_equal(errno, 4711);
		assert_sentence("slots");
		assert_null(session);
		hello.slots = bad[i];
		fd = dial(keeper.path);
		assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
		keeper_expect_none(&keeper, 20);
		assert_int_equal(message_recv(fd, &answer, NULL, &nr_files, &sender), 0);
		assert_int_equal(answer.kind, MESSAGE_REFUSED);
		assert_int_equal(answer.value, -EINVAL);
		close(fd);
	}
	expect_slots(&keeper, (struct wish){8, 8});
	keeper_close_whole(&keeper);
}

static void a_keeper_whose_rings_cannot_be_is_einval(void **state)
{
	const struct pinion_rendezvous_config bad[] = {
		{.slots = 3}, {.slots = 16, .slots_max = 3000},
		{.slots = 2 * PINION_RING_SLOTS_MAX}};
	const struct pinion_pool_config config = pool_config(64, BUFFER);
	struct pinion_pool *pool = pool_make_from(&config);
	struct pinion_rendezvous *rendezvous = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(pinion_rendezvous_open(pool, "/tmp/pinion-never", &bad[i],
							&rendezvous),
				 -EINVAL);
		assert_sentence("slots");
		assert_null(rendezvous);
	}
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void nobody_can_join_where_the_mode_lets_it(void **state)
{
	struct keeper keeper;
	int as_nobody = 1;

	(void)state;
	keeper_open(&keeper);
	expect_visit(&keeper, member_start(&keeper, visit, &as_nobody), SUPPORT_NOBODY);
	keeper_close_whole(&keeper);
}

static int visit_forbidden(const char *path, void *arg)
{
	struct pinion_session *session = NULL;

	(void)arg;
	if (become_nobody() || pinion_session_open(path, &session) != -EACCES || session != NULL)
		return 1;
	return strstr(pinion_error_text(), path) == NULL;
}

static void the_sockets_mode_keeps_others_out(void **state)
{
	const struct pinion_pool_config config = pool_config(64, BUFFER);
	struct keeper keeper;
	struct stat status;

	(void)state;
	keeper_open_with(&keeper, &config, NULL);
	assert_int_equal(stat(keeper.path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(member_end(member_start(&keeper, visit_forbidden, NULL)), 0);
	keeper_close_whole(&keeper);
}

static void three_members_at_once_do_not_get_in_each_others_way(void **state)
{
	struct keeper keeper;
	pid_t pid[3];
	int left = 0;

	(void)state;
	keeper_open(&keeper);
	for (int i = 0; i < 3; i++)
		pid[i] = member_start(&keeper, visit, i ? &keeper : NULL);
	while (left < 3) {
		struct pinion_event event;

		assert_int_equal(keeper_next(&keeper, &event, SOON), 1);
		if (event.kind == PINION_EVENT_LEFT) {
			assert_int_equal(event.killed, 0);
			assert_int_equal(keeper_bury(&keeper, &event).returned, 3);
			left++;
		}
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(member_end(pid[i]), 0);
	assert_int_equal(keeper.echoed, 600);
	keeper_close_whole(&keeper);
}

/* Deaths. */

#define DEATHS 5

/* How long the keeper takes to hear of a death, in ns. */
static uint64_t time_to_hear_of_a_death(struct keeper *keeper)
{
	const pid_t pid = member_start(keeper, stay, NULL);
	struct pinion_event event;
	uint64_t took;

	keeper_expect(keeper, PINION_EVENT_JOINED, SOON);
	keeper_await_stop(keeper, pid);
	kill(pid, SIGCONT);
	keeper_expect_none(keeper, 20);
	took = test_now_ns();
	kill(pid, SIGKILL);
	event = keeper_expect(keeper, PINION_EVENT_LEFT, SOON);
	took = test_now_ns() - took;
	assert_int_equal(event.pid, pid);
	assert_int_equal(event.killed, 1);
	assert_int_equal(keeper_bury(keeper, &event).returned, 7);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	return took;
}

/* A busy machine may let the dead, or the keeper, wait for longer; not each time. */
static void a_killed_member_is_known_within_a_second_and_loses_nothing(void **state)
{
	struct keeper keeper;
	int late = 0;

	(void)state;
	keeper_open(&keeper);
	for (int i = 0; i < DEATHS; i++)
		late += time_to_hear_of_a_death(&keeper) > UINT64_C(1000000000);
	assert_in_range(late, 0, DEATHS / 2);
	keeper_close_whole(&keeper);
}

static void an_exit_without_goodbye_counts_as_killed(void **state)
{
	struct keeper keeper;
	struct pinion_event event;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, slink_off, NULL);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(event.killed, 1);
	assert_int_equal(keeper_bury(&keeper, &event).returned, 5);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
}

/* Its child has the socket, the pool and the rings; and outlives it by far. */
static int stay_with_a_child(const char *path, void *arg)
{
	struct pinion_session *session;
	pid_t pid;

	if (pinion_session_open(path, &session) || bounce(session, 20, 7))
		return 1;
	pid = fork();
	if (pid > 0)
		*(_Atomic pid_t *)arg = pid;
	alarm(60);
	for (;;)
		pause();
}

static void an_inherited_socket_does_not_keep_the_dead_alive(void **state)
{
	_Atomic pid_t *child = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct keeper keeper;
	struct pinion_event event;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, stay_with_a_child, (void *)child);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	while (!*child)
		keeper_expect_none(&keeper, 5);
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(event.killed, 1);
	assert_int_equal(keeper_bury(&keeper, &event).returned, 7);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	kill(*child, SIGKILL);
	munmap((void *)child, 4096);
	keeper_close_whole(&keeper);
}

/* A child of the keeper has copies of all descriptors, so that closing them is not the end of
 * the files behind; what the keeper forgot must not come back as an event. */
static void a_child_of_the_keeper_does_not_bring_the_buried_back(void **state)
{
	struct keeper keeper;
	struct pinion_event event;
	pid_t pid, child;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, stay, NULL);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_expect_none(&keeper, 300);
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	kill(child, SIGKILL);
	assert_int_equal(member_end(child), 128 + SIGKILL);
	keeper_close_whole(&keeper);
}

/* By its exit status, what was not refused. */
static int keep_as_a_child(void *arg)
{
	const struct keeper *keeper = arg;
	struct pinion_rendezvous *own = NULL;
	struct pinion_event event;
	char path[SUPPORT_PATH_LEN + 16];

	snprintf(path, sizeof(path), "%s/own.sock", keeper->dir);
	if (pinion_rendezvous_next(keeper->rendezvous, &event) != -EPERM)
		return 1;
	if (!strstr(pinion_error_text(), "ask the keeper"))
		return 2;
	for (uint32_t i = 0; i < KEEPER_MEMBERS; i++)
		if (pinion_rendezvous_bury(keeper->rendezvous, i, keeper->cache, NULL) != -EPERM)
			return 3;
	if (pinion_rendezvous_open(keeper->pool, path, NULL, &own) != -EPERM || own)
		return 4;
	return access(path, F_OK) ? 0 : 5;
}

/* Somebody waits to be let in, and somebody to be buried: both are the keeper's. */
static void a_child_of_the_keeper_lets_nobody_in_and_buries_nobody(void **state)
{
	struct pinion_event event;
	struct keeper keeper;
	struct pollfd want = {.events = POLLIN};
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, slink_off, NULL);
	want.fd = pinion_rendezvous_fd(keeper.rendezvous);
	assert_int_equal(poll(&want, 1, SOON), 1);
	assert_int_equal(support_child(keep_as_a_child, &keeper), 0);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(support_child(keep_as_a_child, &keeper), 0);
	assert_int_equal(keeper_bury(&keeper, &event).returned, 5);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
}

static void a_stopped_member_is_not_dead(void **state)
{
	struct keeper keeper;
	struct pinion_event event;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, stay, NULL);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	keeper_await_stop(&keeper, pid);
	keeper_expect_none(&keeper, 3000);
	kill(pid, SIGCONT);
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_close_whole(&keeper);
}

static void who_has_not_left_cannot_be_buried(void **state)
{
	struct keeper keeper;
	struct pinion_event event;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, stay, NULL);
	event = keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(pinion_rendezvous_bury(keeper.rendezvous, i, keeper.cache, NULL),
				 -EINVAL);
	assert_sentence("has not left");
	kill(pid, SIGKILL);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	keeper_bury(&keeper, &event);
	assert_int_equal(pinion_rendezvous_bury(keeper.rendezvous, event.member, keeper.cache,
						NULL),
			 -EINVAL);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	keeper_close_whole(&keeper);
}

/* Joiners that stall. */

static int connect_and_say_nothing(const char *path, void *arg)
{
	const int fd = dial(path);

	(void)arg;
	if (fd < 0)
		return 1;
	return is_hung_up(fd, 2 * SOON) ? 0 : 2;
}

static int hello_and_nothing_more(const char *path, void *arg)
{
	struct message welcome;
	const int fd = dial(path);

	(void)arg;
	if (fd < 0 || say_hello(fd, &welcome) || welcome.kind != MESSAGE_WELCOME)
		return 1;
	return is_hung_up(fd, 2 * SOON) ? 0 : 2;
}

static void stalled_joiners_are_dropped_and_others_join_meanwhile(void **state)
{
	struct keeper keeper;
	const int fds = support_fd_count();
	pid_t pid[4];

	(void)state;
	keeper_open(&keeper);
	for (int i = 0; i < 4; i++)
		pid[i] = member_start(&keeper,
				      i % 2 ? hello_and_nothing_more : connect_and_say_nothing,
				      NULL);
	keeper_expect_none(&keeper, 100);
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(keeper_member_end(&keeper, pid[i]), 0);
	keeper_expect_none(&keeper, 100);
	keeper_close_whole(&keeper);
	assert_int_equal(support_fd_count(), fds);
}

/* A joiner that is too late was turned away: it must find out, not wait for ever. */
static int confirm_late(const char *path, void *arg)
{
	struct message welcome, confirm = message_of(MESSAGE_CONFIRM);
	struct mail_sender sender;
	int files[MESSAGE_FILES_MAX];
	unsigned nr_files = MESSAGE_FILES_MAX;
	const struct message hello = message_of(MESSAGE_HELLO);
	struct pinion_pool_fds fds = {.nr_segments = 1};
	struct pinion_channel *channel;
	struct pinion_pool *pool;
	struct pinion_desc desc;
	const int fd = dial(path);
	struct pollfd want = {fd, POLLIN, 0};

	(void)arg;
	if (fd < 0 || send(fd, &hello, sizeof(hello), 0) < 0 || poll(&want, 1, SOON) != 1 ||
	    message_recv(fd, &welcome, files, &nr_files, &sender) || nr_files != 4)
		return 1;
	fds.control = files[0];
	fds.segment[0] = files[1];
	if (pinion_pool_attach(&fds, welcome.member, &pool) ||
	    pinion_channel_open(pool, files[2], files[3], welcome.keeper, &channel))
		return 2;
	sleep(3);
	confirm.cookie = welcome.cookie;
	(void)send(fd, &confirm, sizeof(confirm), MSG_NOSIGNAL);
	if (pinion_channel_wait(channel, UINT64_C(5000000000)))
		return 3;
	return pinion_channel_recv(channel, &desc, 1) == -EPIPE ? 0 : 4;
}

static void a_joiner_that_confirms_too_late_finds_its_channel_closed(void **state)
{
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, confirm_late, NULL);
	assert_int_equal(keeper_member_end(&keeper, pid), 0);
	keeper_expect_none(&keeper, 100);
	keeper_close_whole(&keeper);
}

/* Too many that stall: the next is told to come again, and hears it. */
static int expect_eagain(const char *path, void *arg)
{
	struct pinion_session *session = NULL;

	(void)arg;
	if (pinion_session_open(path, &session) != -EAGAIN || session != NULL) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 1;
	}
	return pinion_error_text()[0] == '\0';
}

static void a_full_backlog_is_eagain_at_the_joiner(void **state)
{
	const struct pinion_rendezvous_config narrow = {.slots = 16, .mode = 0666, .backlog = 2};
	struct pinion_pool_config config = pool_config(64, BUFFER);
	struct keeper keeper;
	uint64_t start;
	pid_t pid[2];

	(void)state;
	keeper_open_with(&keeper, &config, &narrow);
	start = test_now_ns();
	for (int i = 0; i < 2; i++)
		pid[i] = member_start(&keeper, connect_and_say_nothing, NULL);
	keeper_expect_none(&keeper, 200);
	/* Well before the two that say nothing are dropped, however slow the machine. */
	for (int i = 0; i < 20 && test_now_ns() - start < UINT64_C(1200000000); i++) {
		const pid_t late = member_start(&keeper, expect_eagain, NULL);

		assert_int_equal(keeper_member_end(&keeper, late), 0);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(keeper_member_end(&keeper, pid[i]), 0);
	keeper_close_whole(&keeper);
}

static void exhausted_member_slots_are_eagain_at_the_joiner(void **state)
{
	const struct pinion_rendezvous_config any = {.slots = 16, .mode = 0666};
	struct pinion_pool_config config = pool_config(512, BUFFER);
	struct pinion_event event;
	struct keeper keeper;
	pid_t pid[3], late;

	(void)state;
	config.nr_members = 4;
	keeper_open_with(&keeper, &config, &any);
	for (int i = 0; i < 3; i++) {
		pid[i] = member_start(&keeper, stay, NULL);
		keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	}
	late = member_start(&keeper, expect_eagain, NULL);
	assert_int_equal(keeper_member_end(&keeper, late), 0);
	for (int i = 0; i < 3; i++) {
		kill(pid[i], SIGKILL);
		event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
		keeper_bury(&keeper, &event);
		assert_int_equal(member_end(pid[i]), 128 + SIGKILL);
	}
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	keeper_close_whole(&keeper);
}

/* Messages that are none. */

struct garbage {
	const void *bytes;
	size_t len;
	int nr_files;
	int after_hello;
};

static int send_garbage(int fd, const struct garbage *garbage)
{
	union {
		char room[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} ancillary = {0};
	struct iovec iov = {(void *)(uintptr_t)garbage->bytes, garbage->len};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	int files[253];

	if (garbage->nr_files) {
		const size_t size = sizeof(int) * (size_t)garbage->nr_files;
		struct cmsghdr *control;

		for (int i = 0; i < garbage->nr_files; i++)
			files[i] = 0;
		header.msg_control = ancillary.room;
		header.msg_controllen = CMSG_SPACE(size);
		control = CMSG_FIRSTHDR(&header);
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		control->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(control), files, size);
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL) < 0;
}

static int talk_garbage(const char *path, void *arg)
{
	const struct garbage *garbage = arg;
	struct message welcome;
	const int fd = dial(path);

	if (fd < 0)
		return 1;
	if (garbage->after_hello && say_hello(fd, &welcome))
		return 2;
	if (send_garbage(fd, garbage))
		return 3;
	return is_hung_up(fd, SOON) ? 0 : 4;
}

/* However slow the machine is: the keeper answers as long as the other lives. Nothing happens. */
static int serve_until_it_ends(struct keeper *keeper, pid_t pid)
{
	const uint64_t until = test_now_ns() + SOON * UINT64_C(3000000);
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0 && test_now_ns() < until)
		keeper_expect_none(keeper, 1);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* One conversation, after which the keeper has as many descriptors as before. */
static void hangs_up_on(struct keeper *keeper, struct garbage garbage)
{
	const int fds = support_fd_count();
	pid_t pid;

	for (garbage.after_hello = 0; garbage.after_hello < 2; garbage.after_hello++) {
		pid = member_start(keeper, talk_garbage, &garbage);
		assert_int_equal(serve_until_it_ends(keeper, pid), 0);
		keeper_await_fds(keeper, fds);
	}
}

static void garbage_ends_the_conversation_and_leaks_nothing(void **state)
{
	const struct message good[2] = {message_of(MESSAGE_HELLO), message_of(MESSAGE_HELLO)};
	const size_t whole = sizeof(struct message), lengths[] = {8, whole - 1, whole + 1, 64};
	struct message wrong[6];
	char bytes[4096];
	struct keeper keeper;

	(void)state;
	keeper_open(&keeper);
	let_files_in(&keeper);
	memset(bytes, 0xaa, sizeof(bytes));
	for (int i = 0; i < 6; i++)
		wrong[i] = message_of(MESSAGE_HELLO);
	wrong[0].magic++;
	wrong[1].version++;
	wrong[2].kind = 0;
	wrong[3].kind = MESSAGE_WELCOME;
	wrong[4].kind = MESSAGE_BYE;
	wrong[5].kind = UINT16_MAX;
	for (int i = 0; i < 6; i++)
		hangs_up_on(&keeper, (struct garbage){&wrong[i], sizeof(wrong[i]), 0, 0});
	/* Too short and too long, though right in every byte that is there. */
	for (int i = 0; i < 4; i++)
		hangs_up_on(&keeper, (struct garbage){good, lengths[i], 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, 0, 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, 1, 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, whole - 1, 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, whole, 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, whole + 1, 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, sizeof(bytes), 0, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, whole, 1, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, 32, 253, 0});
	hangs_up_on(&keeper, (struct garbage){bytes, 4096, 253, 0});
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	keeper_close_whole(&keeper);
}

/* A good HELLO may bring files; the keeper wants none and keeps none. */
static int hello_with_files(const char *path, void *arg)
{
	const struct message hello = message_of(MESSAGE_HELLO);
	const struct garbage garbage = {&hello, sizeof(hello), 253, 0};
	const int fd = dial(path);

	(void)arg;
	if (fd < 0 || send_garbage(fd, &garbage))
		return 1;
	return poll(&(struct pollfd){fd, POLLIN, 0}, 1, SOON) == 1 ? 0 : 2;
}

static void files_that_nobody_asked_for_are_closed(void **state)
{
	struct keeper keeper;
	int fds;

	(void)state;
	keeper_open(&keeper);
	let_files_in(&keeper);
	fds = support_fd_count();
	for (int i = 0; i < 10; i++) {
		const pid_t pid = member_start(&keeper, hello_with_files, NULL);

		assert_int_equal(keeper_member_end(&keeper, pid), 0);
		keeper_await_fds(&keeper, fds);
	}
	keeper_close_whole(&keeper);
}

/* The socket of who has come so far, or -1. */
static int come(const char *path, enum peer_state as)
{
	struct pinion_session *session;
	struct message welcome;
	int fd;

	/* The socket is the lowest descriptor: the first that this process opened. */
	if (as == JOINED)
		return pinion_session_open(path, &session) ? -1 : 3;
	fd = dial(path);
	return as == WELCOMED && say_hello(fd, &welcome) ? -1 : fd;
}

/* Behind what ends the conversation, so that it is never received; until it is killed. */
static int send_lingering(const char *path, void *arg)
{
	const int fd = come(path, *(enum peer_state *)arg);

	if (fd < 0)
		return 1;
	raise(SIGSTOP);
	if (send(fd, "rubbish", 7, MSG_NOSIGNAL) != 7)
		return 2;
	(void)lingering_send(fd, "x", 1);
	raise(SIGSTOP);
	return 3;
}

static void await_stop_unserved(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* It has stopped for the first time; what it sends is heard when all of it is there. */
static void expect_no_linger(struct keeper *keeper, pid_t pid, int fds)
{
	uint64_t before;

	kill(pid, SIGCONT);
	await_stop_unserved(pid);
	before = test_now_ns();
	keeper_expect_none(keeper, 20);
	keeper_await_fds(keeper, fds);
	assert_true(test_now_ns() - before < LINGERING_NOT_NS);
	kill(pid, SIGKILL);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
}

static void hang_up_on_what_lingers(struct keeper *keeper, enum peer_state as)
{
	const int fds = support_fd_count();
	const pid_t pid = member_start(keeper, send_lingering, &as);

	if (as == JOINED)
		keeper_expect(keeper, PINION_EVENT_JOINED, SOON);
	keeper_await_stop(keeper, pid);
	/* Of who is or may be a member the keeper still has the pidfd. */
	expect_no_linger(keeper, pid, as == ARRIVED ? fds : fds + 1);
	if (as == JOINED) {
		const struct pinion_event event = keeper_expect(keeper, PINION_EVENT_LEFT, SOON);

		keeper_bury(keeper, &event);
	}
	keeper_await_fds(keeper, fds);
}

static void a_file_that_takes_long_to_close_holds_nobody_up(void **state)
{
	struct keeper keeper;

	(void)state;
	for (int aged = 0; aged < 2; aged++) {
		keeper_open(&keeper);
		if (aged)
			let_files_in(&keeper);
		for (enum peer_state as = ARRIVED; as <= JOINED; as++)
			hang_up_on_what_lingers(&keeper, as);
		expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
		keeper_close_whole(&keeper);
	}
}

/* One of no backlog is refused unheard. */
static void a_file_that_takes_long_to_close_does_not_hold_a_refusal_up(void **state)
{
	const struct pinion_rendezvous_config narrow = {.slots = 16, .mode = 0666, .backlog = 1};
	const struct pinion_pool_config config = pool_config(64, BUFFER);
	enum peer_state as = ARRIVED;

	(void)state;
	for (int aged = 0; aged < 2; aged++) {
		struct keeper keeper;
		pid_t silent, pid;
		int fds;

		keeper_open_with(&keeper, &config, &narrow);
		if (aged)
			let_files_in(&keeper);
		fds = support_fd_count();
		silent = member_start(&keeper, connect_and_say_nothing, NULL);
		keeper_await_fds(&keeper, fds + 2);
		pid = member_start(&keeper, send_lingering, &as);
		await_stop_unserved(pid);
		expect_no_linger(&keeper, pid, fds);
		assert_int_equal(keeper_member_end(&keeper, silent), 0);
		keeper_close_whole(&keeper);
	}
}

static int confirm_wrongly(const char *path, void *arg)
{
	struct message welcome, confirm = message_of(MESSAGE_CONFIRM);
	const int fd = dial(path);

	if (fd < 0 || say_hello(fd, &welcome))
		return 1;
	confirm.cookie = welcome.cookie ^ 1;
	if (arg != NULL) {
		/* The right cookie, from the wrong process. */
		const pid_t child = fork();
		int status;

		confirm.cookie ^= 1;
		if (child == 0)
			_exit(send(fd, &confirm, sizeof(confirm), 0) < 0);
		waitpid(child, &status, 0);
	} else if (send(fd, &confirm, sizeof(confirm), 0) < 0) {
		return 2;
	}
	return is_hung_up(fd, SOON) ? 0 : 3;
}

static void a_wrong_cookie_or_another_process_is_turned_away(void **state)
{
	struct keeper keeper;

	(void)state;
	keeper_open(&keeper);
	for (int i = 0; i < 2; i++) {
		const pid_t pid = member_start(&keeper, confirm_wrongly, i ? &keeper : NULL);

		assert_int_equal(keeper_member_end(&keeper, pid), 0);
	}
	keeper_expect_none(&keeper, 100);
	keeper_close_whole(&keeper);
}

/* A member that sends rubbish instead of BYE is not heard any more, but it is alive. */
static int join_and_talk_garbage(const char *path, void *arg)
{
	struct pinion_session *session;

	(void)arg;
	if (pinion_session_open(path, &session))
		return 1;
	/* The socket is the lowest descriptor: the first that this process opened. */
	if (send(3, "rubbish", 7, MSG_NOSIGNAL) != 7)
		return 2;
	raise(SIGSTOP);
	return bounce(session, 10, 4);
}

static void rubbish_from_a_member_is_neither_goodbye_nor_death(void **state)
{
	struct keeper keeper;
	struct pinion_event event;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, join_and_talk_garbage, NULL);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	keeper_await_stop(&keeper, pid);
	keeper_expect_none(&keeper, 100);
	kill(pid, SIGCONT);
	event = keeper_expect(&keeper, PINION_EVENT_LEFT, SOON);
	assert_int_equal(event.killed, 1);
	assert_int_equal(keeper_bury(&keeper, &event).returned, 4);
	assert_int_equal(member_end(pid), 0);
	keeper_close_whole(&keeper);
}

/* Connect and go, as fast as it can; meanwhile others join. */
static int churn(const char *path, void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		const int fd = dial(path);

		if (fd >= 0)
			close(fd);
	}
	return 0;
}

static void a_flood_of_connections_holds_nobody_up(void **state)
{
	struct keeper keeper;
	pid_t pid;
	int fds;

	(void)state;
	keeper_open(&keeper);
	fds = support_fd_count();
	pid = member_start(&keeper, churn, NULL);
	while (waitpid(pid, NULL, WNOHANG) == 0)
		keeper_expect_none(&keeper, 1);
	keeper_await_fds(&keeper, fds);
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	keeper_close_whole(&keeper);
}

/* Sockets and their files. */

static void a_stale_socket_file_is_replaced(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct pinion_rendezvous *rendezvous = NULL;
	struct pinion_pool *pool = pool_make(64);
	char dir[SUPPORT_PATH_LEN];
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	support_dir_create(dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/keeper", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(pinion_rendezvous_open(pool, address.sun_path, NULL, &rendezvous), 0);
	assert_int_equal(pinion_rendezvous_close(rendezvous), 0);
	assert_int_equal(access(address.sun_path, F_OK), -1);
	support_dir_destroy(dir);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_second_keeper_is_eaddrinuse_and_the_first_goes_on(void **state)
{
	struct pinion_rendezvous *second = NULL;
	struct keeper keeper;

	(void)state;
	keeper_open(&keeper);
	for (int i = 0; i < 3; i++) {
		errno = 4711;
		assert_int_equal(pinion_rendezvous_open(keeper.pool, keeper.path, NULL, &second),
				 -EADDRINUSE);
		assert_int_equal(errno, 4711);
		assert_null(second);
		assert_sentence("another keeper");
		keeper_expect_none(&keeper, 10);
	}
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	keeper_close_whole(&keeper);
}

/* Whatever is there and is no socket stays there. */
static void a_path_that_cannot_be_is_an_error_with_the_path_in_it(void **state)
{
	struct pinion_rendezvous *rendezvous = NULL;
	struct pinion_session *session = NULL;
	struct pinion_pool *pool = pool_make(64);
	char dir[SUPPORT_PATH_LEN], longer[200];
	const char *path;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(pinion_rendezvous_open(pool, longer, NULL, &rendezvous), -ENAMETOOLONG);
	assert_sentence("at most 107 bytes");
	assert_int_equal(pinion_session_open(longer, &session), -ENAMETOOLONG);
	assert_sentence("at most 107 bytes");
	support_dir_create(dir);
	assert_int_equal(pinion_rendezvous_open(pool, dir, NULL, &rendezvous), -EADDRINUSE);
	assert_sentence(dir);
	support_write_text(dir, "precious", "data");
	path = support_path(dir, "precious");
	assert_int_equal(pinion_rendezvous_open(pool, path, NULL, &rendezvous), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	path = support_path(dir, "no/such/place");
	assert_int_equal(pinion_rendezvous_open(pool, path, NULL, &rendezvous), -ENOENT);
	assert_sentence("no/such/place");
	assert_true(pinion_rendezvous_open(pool, "", NULL, &rendezvous) < 0);
	assert_null(rendezvous);
	support_dir_destroy(dir);
	assert_int_equal(pinion_pool_destroy(pool), 0);
}

static void a_session_with_nobody_is_an_error_that_says_so(void **state)
{
	struct pinion_session *session = NULL;
	char dir[SUPPORT_PATH_LEN];
	const char *path;

	(void)state;
	support_dir_create(dir);
	path = support_path(dir, "keeper");
	errno = 4711;
	assert_int_equal(pinion_session_open(path, &session), -ENOENT);
	assert_sentence("keeper running");
	assert_sentence(path);
	assert_int_equal(errno, 4711);
	support_write_text(dir, "keeper", "");
	assert_int_equal(pinion_session_open(support_path(dir, "keeper"), &session),
			 -ECONNREFUSED);
	assert_null(session);
	support_dir_destroy(dir);
}

/* A keeper that is stopped, or no keeper at all: the newcomer gives up after two seconds, with
 * room in the queue of connections and without. */
static void expect_etimedout(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct pinion_session *session = NULL;
	char dir[SUPPORT_PATH_LEN];
	int waiting[2];

	support_dir_create(dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/keeper", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	for (int round = 0; round < 2; round++) {
		uint64_t took = test_now_ns();

		assert_int_equal(pinion_session_open(address.sun_path, &session), -ETIMEDOUT);
		took = test_now_ns() - took;
		assert_in_range(took, UINT64_C(1900000000), UINT64_C(10000000000));
		assert_sentence("the keeper d");
		waiting[round] = round ? -1 : dial(address.sun_path);
	}
	close(waiting[0]);
	close(fd);
	support_dir_destroy(dir);
}

/* A "keeper" that answers nonsense, with and without files. */
static void a_keeper_that_does_not_answer_is_etimedout(void **state)
{
	(void)state;
	alarm(60); /* a hang is a failure, not a hung test */
	expect_etimedout();
	alarm(0);
}

static void do_nothing(int number)
{
	(void)number;
}

/* Nor does it begin its two seconds anew. A program that is stopped and goes on (Ctrl-Z, fg) has
 * its calls broken off in the same way. */
static void signals_do_not_break_a_newcomer_off(void **state)
{
	const struct sigaction nothing = {.sa_handler = do_nothing}; /* no SA_RESTART */
	const struct itimerval often = {{0, 300000}, {0, 300000}}, never = {{0, 0}, {0, 0}};
	struct sigaction was;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &nothing, &was), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	expect_etimedout();
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &was, NULL), 0);
}

static void answer(int listener, const struct garbage *garbage)
{
	const int fd = accept(listener, NULL, NULL);
	char hello[64];

	if (fd < 0 || recv(fd, hello, sizeof(hello), 0) < 0)
		_exit(1);
	(void)send_garbage(fd, garbage);
	close(fd);
}

static void a_keeper_that_talks_nonsense_is_eproto_and_leaks_nothing(void **state)
{
	struct message welcome = message_of(MESSAGE_WELCOME), odd = message_of(MESSAGE_BYE);
	struct message many = welcome, some = welcome, more = welcome, told = welcome;
	struct message lane, odd_end;
	const struct garbage answers[] = {
		{"", 0, 0, 0},
		{"rubbish", 7, 0, 0},
		{&welcome, sizeof(welcome), 0, 0},
		{&odd, sizeof(odd), 3, 0},
		{&many, sizeof(many), 100, 0},
		{&some, sizeof(some), 4, 0},
		{&some, sizeof(some), 253, 0},
		{&more, sizeof(more), 4, 0},
		{&told, sizeof(told), 4, 0},
		{&lane, sizeof(lane), 4, 0},
		{&odd_end, sizeof(odd_end), 4, 0},
	};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	const int fds = support_fd_count();
	struct pinion_session *session = NULL;
	char dir[SUPPORT_PATH_LEN];

	(void)state;
	many.segments = UINT64_MAX; /* as many files as a message of ours may have, and more */
	some.segments = more.segments = told.segments = 1;
	many.rights = some.rights = PINION_RIGHT_SEND;
	more.rights = PINION_RIGHT_BOTH; /* than was asked for */
	told.rights = PINION_RIGHT_RECV; /* and yet where to notify the keeper */
	told.value = MESSAGE_LAST_NOTIFY;
	lane = odd_end = some;
	lane.value = MESSAGE_LAST_READY;
	lane.lane = PINION_FANIN_LANES;
	odd_end.value = MESSAGE_LAST_BOTH + 1;
	support_dir_create(dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/keeper", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const bool takes = answers[i].bytes == &told;
		const struct pinion_session_config asks = {
			.rights = takes ? PINION_RIGHT_RECV : PINION_RIGHT_SEND};
		const pid_t pid = fork();

		if (pid == 0) {
			answer(fd, &answers[i]);
			_exit(0);
		}
		assert_int_equal(pinion_session_open_with(address.sun_path, &asks, &session),
				 -EPROTO);
		assert_true(pinion_error_text()[0] != '\0');
		assert_null(session);
		assert_int_equal(member_end(pid), 0);
		assert_int_equal(support_fd_count(), fds);
	}
	close(fd);
	support_dir_destroy(dir);
}

static int expect_nonsense(const char *path, void *arg)
{
	struct pinion_session *session;
	const int err = pinion_session_open(path, &session);

	(void)arg;
	/* It may have been stopped for too long. */
	return err == -EPROTO || err == -ETIMEDOUT ? 0 : 1;
}

/* A keeper that is none: it answers while @pid is stopped, so that both answers are there. */
static int answer_with_what_lingers(int listener, pid_t pid)
{
	int fd, other;

	assert_int_equal(poll(&(struct pollfd){listener, POLLIN, 0}, 1, SOON), 1);
	kill(pid, SIGSTOP);
	await_stop_unserved(pid);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(send(fd, "rubbish", 7, 0), 7);
	assert_int_equal(send(fd, "", 0, 0), 0);
	other = lingering_send(fd, "x", 1);
	close(fd);
	kill(pid, SIGCONT);
	return other;
}

static void a_keepers_file_that_takes_long_to_close_holds_no_newcomer_up(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct keeper none;
	uint64_t before;
	pid_t pid;
	int other;

	(void)state;
	support_dir_create(none.dir);
	snprintf(none.path, sizeof(none.path), "%s/keeper", none.dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/keeper", none.dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = member_start(&none, expect_nonsense, NULL);
	other = answer_with_what_lingers(fd, pid);
	before = test_now_ns();
	assert_int_equal(member_end(pid), 0);
	assert_true(test_now_ns() - before < LINGERING_NOT_NS);
	close(other);
	close(fd);
	support_dir_destroy(none.dir);
}

/* A segment's file that comes twice, and one that nobody met. */
static void segments_that_take_long_to_close_hold_no_member_up(void **state)
{
	const uint64_t before = test_now_ns();
	struct parcels parcels;
	int other[2];

	(void)state;
	parcels_init(&parcels);
	for (int i = 0; i < 2; i++)
		parcels_put(&parcels, 0, lingering_open(&other[i]));
	parcels_drop(&parcels);
	assert_true(test_now_ns() - before < LINGERING_NOT_NS);
	for (int i = 0; i < 2; i++)
		close(other[i]);
}

/* The keeper closes: members are told, and free what they hold all the same. */
static int outlive_the_keeper(const char *path, void *arg)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct pinion_session *session;
	struct pinion_channel *channel;
	struct pinion_cache *cache;
	struct pinion_desc desc = {.len = 0};

	(void)arg;
	if (pinion_session_open(path, &session) || bounce(session, 5, 0))
		return 1;
	channel = pinion_session_channel(session);
	if (pinion_channel_wait(channel, UINT64_C(10000000000)))
		return 2;
	if (pinion_channel_recv(channel, &desc, 1) != -EPIPE ||
	    pinion_cache_open(pinion_session_pool(session), &any, &cache) ||
	    pinion_buffer_alloc(cache, &desc.buffer) ||
	    pinion_channel_send(channel, &desc, 1) != -EPIPE ||
	    pinion_buffer_free(cache, desc.buffer) || pinion_cache_close(cache))
		return 3;
	return pinion_session_close(session);
}

static void members_outlive_the_rendezvous(void **state)
{
	struct keeper keeper;
	pid_t pid;

	(void)state;
	keeper_open(&keeper);
	pid = member_start(&keeper, outlive_the_keeper, NULL);
	keeper_expect(&keeper, PINION_EVENT_JOINED, SOON);
	keeper_expect_none(&keeper, 100);
	assert_int_equal(pinion_rendezvous_close(keeper.rendezvous), 0);
	assert_int_equal(member_end(pid), 0);
	assert_pool_whole(keeper.pool);
	assert_int_equal(pinion_cache_close(keeper.cache), 0);
	assert_int_equal(pinion_pool_destroy(keeper.pool), 0);
	support_dir_destroy(keeper.dir);
}

/* The other way round: the keeper is the child, and dies. */
struct doomed {
	char path[SUPPORT_PATH_LEN];
	_Atomic int listening;
};

static int keep_until_killed(struct doomed *doomed)
{
	struct pinion_pool_config config = pool_config(512, BUFFER);
	struct pinion_rendezvous *rendezvous;
	struct pinion_event event;
	struct pinion_pool *pool;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pinion_pool_create(&config, &pool) ||
	    pinion_rendezvous_open(pool, doomed->path, NULL, &rendezvous))
		return 1;
	doomed->listening = 1;
	for (;;)
		if (pinion_rendezvous_next(rendezvous, &event) < 0)
			return 2;
}

static void members_learn_of_the_keepers_death_and_go_on(void **state)
{
	struct doomed *doomed = mmap(NULL, sizeof(*doomed), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct pinion_session *session;
	struct pinion_cache *cache;
	struct pinion_desc desc = {.len = 0};
	char dir[SUPPORT_PATH_LEN];
	uint64_t died;
	pid_t pid;

	(void)state;
	support_dir_create(dir);
	snprintf(doomed->path, sizeof(doomed->path), "%.900s/keeper", dir);
	pid = fork();
	if (pid == 0)
		_exit(keep_until_killed(doomed));
	while (!doomed->listening)
		usleep(1000);
	assert_int_equal(pinion_session_open(doomed->path, &session), 0);
	cache = cache_make(pinion_session_pool(session), BUFFER);
	take(cache, &desc.buffer, 1);
	assert_int_equal(pinion_channel_send(pinion_session_channel(session), &desc, 1), 1);
	kill(pid, SIGKILL);
	died = test_now_ns();
	assert_int_equal(pinion_channel_wait(pinion_session_channel(session),
					     UINT64_C(10000000000)), 0);
	assert_in_range(test_now_ns() - died, 0, UINT64_C(5000000000));
	assert_int_equal(pinion_channel_recv(pinion_session_channel(session), &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_reclaim(pinion_session_channel(session), cache), 1);
	take(cache, &desc.buffer, 1);
	give(cache, &desc.buffer, 1);
	assert_int_equal(pinion_cache_close(cache), 0);
	assert_pool_whole(pinion_session_pool(session));
	assert_int_equal(pinion_session_close(session), 0);
	assert_int_equal(member_end(pid), 128 + SIGKILL);
	munmap(doomed, sizeof(*doomed));
	support_dir_destroy(dir);
}

/* Whatever a forked copy of the member does with its copy, the member goes on. */
static int fork_and_close_there(const char *path, void *arg)
{
	struct pinion_session *session;
	int err, status = 0;
	pid_t pid;

	(void)arg;
	if (pinion_session_open(path, &session))
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(pinion_session_close(session));
	waitpid(pid, &status, 0);
	if (status)
		return 2;
	err = bounce(session, 50, 3);
	return err ? err : pinion_session_close(session);
}

static void a_childs_goodbye_is_not_the_members(void **state)
{
	struct keeper keeper;

	(void)state;
	keeper_open(&keeper);
	expect_visit(&keeper, member_start(&keeper, fork_and_close_there, NULL), 0);
	assert_int_equal(keeper.echoed, 50);
	keeper_close_whole(&keeper);
}

/* Descriptors run out in the keeper: the joiner is refused, and nobody's slot is lost by it. */
static void a_keeper_without_descriptors_recovers_when_it_has_some(void **state)
{
	const struct pinion_rendezvous_config any = {.slots = 16, .mode = 0666};
	struct pinion_pool_config config = pool_config(512, BUFFER);
	struct rlimit before, tight;
	struct keeper keeper;
	pid_t pid;

	(void)state;
	config.nr_members = 2; /* one slot for all who come */
	keeper_open_with(&keeper, &config, &any);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = before;
	for (int spare = 0; spare < 5; spare++) {
		/* The descriptors that a joiner costs run out one by one. */
		tight.rlim_cur = (rlim_t)(support_fd_count() + spare);
		pid = member_start(&keeper, hello_and_nothing_more, NULL);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		for (int i = 0; i < 50; i++) {
			struct pinion_event event;
			const int got = pinion_rendezvous_next(keeper.rendezvous, &event);

			assert_true(got == 0 || got == -EMFILE);
			usleep(1000);
		}
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		kill(pid, SIGKILL);
		member_end(pid);
		keeper_expect_none(&keeper, 50);
	}
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	keeper_close_whole(&keeper);
}

/* No more than there are. */
static void limit_descriptors(struct rlimit *before)
{
	const int next = dup(0);
	struct rlimit tight;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	tight = *before;
	tight.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
}

/* How often it could not accept who waits. */
static int serve_without_descriptors(struct keeper *keeper, uint64_t ns)
{
	const uint64_t until = test_now_ns() + ns;
	int refused = 0;

	while (test_now_ns() < until) {
		struct pinion_event event;
		const int got = pinion_rendezvous_next(keeper->rendezvous, &event);

		assert_true(got == 0 || got == -EMFILE);
		refused += got != 0;
		usleep(1000);
	}
	return refused;
}

/* They have what the next joiner would need. */
static void joiners_that_stall_are_dropped_by_a_keeper_without_descriptors(void **state)
{
	const int before = support_fd_count();
	pid_t silent[4], next;
	struct rlimit limit;
	struct keeper keeper;
	int fds;

	(void)state;
	keeper_open(&keeper);
	fds = support_fd_count();
	for (int i = 0; i < 4; i++)
		silent[i] = member_start(&keeper, connect_and_say_nothing, NULL);
	keeper_await_fds(&keeper, fds + 8);
	limit_descriptors(&limit);
	next = member_start(&keeper, connect_and_say_nothing, NULL);
	assert_true(serve_without_descriptors(&keeper, UINT64_C(2500000000)) > 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(keeper_member_end(&keeper, silent[i]), 0);
	expect_visit(&keeper, member_start(&keeper, visit, NULL), 0);
	assert_int_equal(keeper_member_end(&keeper, next), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	keeper_close_whole(&keeper);
	assert_int_equal(support_fd_count(), before);
}

static int hello_when_told(const char *path, void *arg)
{
	const int fd = dial(path);
	struct message answer;

	(void)arg;
	raise(SIGSTOP);
	return fd < 0 || say_hello(fd, &answer) || answer.kind != MESSAGE_REFUSED;
}

/* It may be the keeper that was slow: what was said is heard, and answered. */
static void who_spoke_in_time_is_not_dropped_by_a_keeper_without_descriptors(void **state)
{
	struct keeper keeper;
	struct rlimit limit;
	pid_t pid, next;
	int fds;

	(void)state;
	keeper_open(&keeper);
	fds = support_fd_count();
	pid = member_start(&keeper, hello_when_told, NULL);
	keeper_await_stop(&keeper, pid);
	keeper_await_fds(&keeper, fds + 2);
	limit_descriptors(&limit);
	next = member_start(&keeper, connect_and_say_nothing, NULL);
	/* What it meets first is who cannot be accepted. */
	assert_int_equal(poll(&(struct pollfd){pinion_rendezvous_fd(keeper.rendezvous), POLLIN, 0},
			      1, SOON), 1);
	kill(pid, SIGCONT);
	usleep(2500000);
	(void)serve_without_descriptors(&keeper, UINT64_C(100000000));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(keeper_member_end(&keeper, pid), 0);
	assert_int_equal(keeper_member_end(&keeper, next), 0);
	keeper_close_whole(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(a_member_joins_works_and_leaves),
		pool_test(a_joiner_gets_the_rings_it_asks_for_up_to_the_keepers_maximum),
		pool_test(rings_that_cannot_be_are_einval_on_either_side),
		pool_test(a_keeper_whose_rings_cannot_be_is_einval),
		pool_test(nobody_can_join_where_the_mode_lets_it),
		pool_test(the_sockets_mode_keeps_others_out),
		pool_test(three_members_at_once_do_not_get_in_each_others_way),
		pool_test(a_killed_member_is_known_within_a_second_and_loses_nothing),
		pool_test(an_exit_without_goodbye_counts_as_killed),
		pool_test(an_inherited_socket_does_not_keep_the_dead_alive),
		pool_test(a_child_of_the_keeper_does_not_bring_the_buried_back),
		pool_test(a_child_of_the_keeper_lets_nobody_in_and_buries_nobody),
		pool_test(a_stopped_member_is_not_dead),
		pool_test(who_has_not_left_cannot_be_buried),
		pool_test(stalled_joiners_are_dropped_and_others_join_meanwhile),
		pool_test(a_joiner_that_confirms_too_late_finds_its_channel_closed),
		pool_test(a_full_backlog_is_eagain_at_the_joiner),
		pool_test(exhausted_member_slots_are_eagain_at_the_joiner),
		pool_test(garbage_ends_the_conversation_and_leaks_nothing),
		pool_test(files_that_nobody_asked_for_are_closed),
		pool_test(a_file_that_takes_long_to_close_holds_nobody_up),
		pool_test(a_file_that_takes_long_to_close_does_not_hold_a_refusal_up),
		pool_test(a_wrong_cookie_or_another_process_is_turned_away),
		pool_test(rubbish_from_a_member_is_neither_goodbye_nor_death),
		pool_test(a_flood_of_connections_holds_nobody_up),
		pool_test(a_stale_socket_file_is_replaced),
		pool_test(a_second_keeper_is_eaddrinuse_and_the_first_goes_on),
		pool_test(a_path_that_cannot_be_is_an_error_with_the_path_in_it),
		pool_test(a_session_with_nobody_is_an_error_that_says_so),
		pool_test(a_keeper_that_does_not_answer_is_etimedout),
		pool_test(signals_do_not_break_a_newcomer_off),
		pool_test(a_keeper_that_talks_nonsense_is_eproto_and_leaks_nothing),
		pool_test(a_keepers_file_that_takes_long_to_close_holds_no_newcomer_up),
		pool_test(segments_that_take_long_to_close_hold_no_member_up),
		pool_test(members_outlive_the_rendezvous),
		pool_test(members_learn_of_the_keepers_death_and_go_on),
		pool_test(a_childs_goodbye_is_not_the_members),
		pool_test(a_keeper_without_descriptors_recovers_when_it_has_some),
		pool_test(joiners_that_stall_are_dropped_by_a_keeper_without_descriptors),
		pool_test(who_spoke_in_time_is_not_dropped_by_a_keeper_without_descriptors),
	};

	if (getuid() != 0)
		return support_skip("becoming another user is for root");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
