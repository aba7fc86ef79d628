/* SPDX-License-Identifier: BSD-3-Clause */
/* mail.h over real sockets: what comes last, and what looks like the end. */

#include <poll.h>

#include "last_words.h"
#include "lingering.h"
#include "mail.h"

static void pair_open(int pair[2])
{
	const int on = 1;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
}

static int hear(int socket, uint64_t *word)
{
	struct mail_sender ignored;
	unsigned nr = 0;

	return mail_recv(socket, word, sizeof(*word), NULL, &nr, &ignored);
}

static int say(int socket, void *word)
{
	return mail_send(socket, word, sizeof(uint64_t), NULL, 0);
}

static int hear_it(int socket, void *word)
{
	uint64_t heard = 0;
	int err = hear(socket, &heard);

	return err || heard == *(uint64_t *)word ? err : -EBADMSG;
}

static void last_words_are_heard_before_the_end(void **state)
{
	uint64_t word = 42;
	struct last_words words = {.say = say, .hear = hear_it, .context = &word};

	(void)state;
	last_words_heard_behind_an_end(&words);
	last_words_all_heard(&words);
}

/* The end, and what looks like it. */

static void the_end_is_told_every_time(void **state)
{
	uint64_t word = 0;
	int pair[2];

	(void)state;
	pair_open(pair);
	assert_int_equal(hear(pair[0], &word), -EAGAIN);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(hear(pair[0], &word), -EPIPE);
	assert_int_equal(hear(pair[0], &word), -EPIPE);
	assert_int_equal(close(pair[0]), 0);
}

static void a_message_of_no_bytes_is_the_end_of_talking(void **state)
{
	const int off = 0;
	uint64_t word = 0;
	int pair[2];

	(void)state;
	pair_open(pair);
	assert_int_equal(send(pair[1], "", 0, 0), 0);
	assert_int_equal(hear(pair[0], &word), -EPIPE);
	/* Nor is it anything else to who does not ask for credentials. */
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
	assert_int_equal(send(pair[1], "", 0, 0), 0);
	assert_int_equal(hear(pair[0], &word), -EPIPE);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(close(pair[0]), 0);
}

static void files_of_an_empty_message_are_closed(void **state)
{
	struct pollfd reader = {.events = POLLIN};
	int pair[2], way[2];
	uint64_t word = 0;

	(void)state;
	pair_open(pair);
	assert_int_equal(pipe(way), 0);
	assert_int_equal(mail_send(pair[1], "", 0, &way[1], 1), 0);
	assert_int_equal(close(way[1]), 0);
	assert_int_equal(hear(pair[0], &word), -EPIPE);
	/* Nobody can write any more. */
	reader.fd = way[0];
	assert_int_equal(poll(&reader, 1, 0), 1);
	assert_true(reader.revents & POLLHUP);
	assert_int_equal(close(way[0]), 0);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(close(pair[0]), 0);
}

/* Files come, as often as there is room, by what the kernel left of this: nothing. */
static __attribute__((noinline)) void leave_behind(int fd, size_t from)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} files = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	char stack[4096];

	memcpy(CMSG_DATA(&files.header), &fd, sizeof(fd));
	for (size_t at = from; at + sizeof(files) <= sizeof(stack); at += sizeof(files))
		memcpy(stack + at, &files, sizeof(files));
	__asm__ volatile("" : : "r"(stack) : "memory"); /* it is written */
}

static void an_empty_message_without_credentials_brings_no_files(void **state)
{
	uint64_t word = 0;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t from = 0; from < CMSG_SPACE(sizeof(int)); from += sizeof(size_t)) {
		const int bait = dup(pair[0]);

		assert_int_equal(send(pair[1], "", 0, 0), 0);
		leave_behind(bait, from);
		assert_int_equal(hear(pair[0], &word), -EPIPE);
		assert_int_equal(close(bait), 0);
	}
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(close(pair[0]), 0);
}

/* Hanging up. */

static void hang_up_on(int pair[2])
{
	const uint64_t before = test_now_ns();
	int other;

	/* Nothing may look like the end of what is there. */
	assert_int_equal(send(pair[1], "x", 1, 0), 1);
	assert_int_equal(send(pair[1], "", 0, 0), 0);
	other = lingering_send(pair[1], "", 0);
	mail_hang_up(pair[0]);
	assert_true(test_now_ns() - before < LINGERING_NOT_NS);
	assert_int_equal(send(pair[1], "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(close(pair[1]), 0);
	assert_int_equal(close(other), 0);
}

static void who_hangs_up_waits_for_nothing_that_was_sent(void **state)
{
	int pair[2];

	(void)state;
	pair_open(pair);
	hang_up_on(pair);
	/* Nor need it have asked for credentials. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	hang_up_on(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(last_words_are_heard_before_the_end),
		support_test(the_end_is_told_every_time),
		support_test(a_message_of_no_bytes_is_the_end_of_talking),
		support_test(files_of_an_empty_message_are_closed),
		support_test(an_empty_message_without_credentials_brings_no_files),
		support_test(who_hangs_up_waits_for_nothing_that_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
