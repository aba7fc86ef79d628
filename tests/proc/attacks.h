/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_ATTACKS_H
#define PINION_TESTS_ATTACKS_H

/*
 * What is done to piniond that must not be done, or too much of what may: each by one process, of
 * nobody's, and without end.
 *
 *  - attacks_open(), attacks_close(): told, which test and attackers share.
 *  - attack_start(&what): somebody does it until he is killed. It ends by itself only where the
 *    service does what it should not, and told->blows says how often it was done.
 *
 * It is the service that is attacked: the processors, of which there may be two, are left to others
 * for a moment after each blow, or it would be the scheduler that is measured.
 */

#include "hostile_support.h"

#include <stdatomic.h>
#include <sys/mman.h>

#define REST_US 100

static struct {
	_Atomic unsigned blows;
	_Atomic uint64_t turn_ns; /* of an attack before, from one blow to the next */
} *told;

static inline void attacks_open(void)
{
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(told, MAP_FAILED);
}

static inline void attacks_close(void)
{
	assert_int_equal(munmap(told, sizeof(*told)), 0);
}

static inline int become_nobody_and(void *arg)
{
	void (*const *what)(void) = arg;

	if (!become_nobody())
		(*what)();
	return 1;
}

static inline pid_t attack_start(void (*const *what)(void))
{
	told->blows = 0;
	return part_start(become_nobody_and, (void *)(uintptr_t)what);
}

static inline void blow(void)
{
	++told->blows;
	usleep(REST_US);
}

/* What is not a message. */

static const char rubbish[4096];

static inline void say_and_leave(const void *bytes, size_t len)
{
	const int fd = raw_dial();

	(void)send(fd, bytes, len, MSG_NOSIGNAL);
	(void)raw_readable(fd, RAW_MS);
	close(fd);
	blow();
}

static inline void send_wrong_sizes(void)
{
	static const size_t sizes[] = {1, 48, 255, 257, sizeof(rubbish)};

	for (;;)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			say_and_leave(rubbish, sizes[i]);
}

/* A message without a byte, and another on the next connection. */
static inline void say_nothing_at_all(void)
{
	for (;;)
		say_and_leave(rubbish, 0);
}

static inline void speak_other_versions(void)
{
	struct wire hello = wire_of(WIRE_HELLO);

	for (;;) {
		hello.version = (uint16_t)(hello.version == UINT16_MAX ? 2 : hello.version + 1);
		say_and_leave(&hello, sizeof(hello));
	}
}

/* Connections. */

#define BURST 4 /* connections; in all some 20,000 a second */

static inline void come_and_go(void)
{
	for (;; blow())
		for (int i = 0; i < BURST; i++)
			close(raw_dial());
}

#define HALF_OPEN 700 /* of 768 that one user may have, see peers.c */

/* Connects and says nothing, and connects anew when it is hung up on. */
static inline void stay_half_open(void)
{
	int fd[HALF_OPEN];

	for (int i = 0; i < HALF_OPEN; i++, ++told->blows)
		fd[i] = raw_dial();
	for (;;)
		for (int i = 0; i < HALF_OPEN; i++)
			if (raw_readable(fd[i], 1)) {
				close(fd[i]);
				fd[i] = raw_dial();
			}
}

/* Questions, and messages. */

/* Asks as fast as it can, and reads what comes. */
static inline void ask_without_end(void)
{
	struct raw raw = raw_in(RAW_KNOWN);
	struct wire question = wire_of(WIRE_QUERY), answer;

	(void)strcpy(question.name, "stat");
	for (;; blow()) {
		while (!wire_send(raw.fd, &question, NULL, 0))
			continue;
		do
			if (raw_hear(raw.fd, &answer))
				return;
		while (raw_readable(raw.fd, 0));
	}
}

#define ASKERS 400

/* The same on many connections, each of which has a question under way all the time. */
static inline void ask_on_many(void)
{
	struct pollfd want[ASKERS];
	struct wire question = wire_of(WIRE_QUERY), answer;

	(void)strcpy(question.name, "stat");
	for (int i = 0; i < ASKERS; i++) {
		want[i] = (struct pollfd){raw_in(RAW_KNOWN).fd, POLLIN, 0};
		(void)wire_send(want[i].fd, &question, NULL, 0);
	}
	while (poll(want, ASKERS, -1) > 0)
		for (int i = 0; i < ASKERS; i++)
			if (want[i].revents && !raw_hear(want[i].fd, &answer)) {
				++told->blows;
				(void)wire_send(want[i].fd, &question, NULL, 0);
			}
}

#define DEAF 8

/* Asks on some connections as often as there is room, and reads nothing. */
static inline void read_nothing(void)
{
	struct raw raw[DEAF];
	struct wire question = wire_of(WIRE_QUERY);

	(void)strcpy(question.name, "stat");
	for (int i = 0; i < DEAF; i++)
		raw[i] = raw_in(RAW_KNOWN);
	for (;; blow())
		for (int i = 0; i < DEAF; i++)
			if (wire_send(raw[i].fd, &question, NULL, 0) == -EPIPE) {
				raw_end(&raw[i]);
				raw[i] = raw_in(RAW_KNOWN);
			}
}

/* What a member says, and more than is heard. */
static inline void say_without_end(void)
{
	struct raw raw = raw_in(RAW_CLIENT);
	struct pollfd room = {.fd = raw.fd, .events = POLLOUT};

	for (;; blow()) {
		while (!raw_say(raw.fd, WIRE_SETTLED, 0))
			continue;
		(void)poll(&room, 1, RAW_MS);
	}
}

/* Files. */

static inline int send_with_files(int fd, enum wire_kind kind, unsigned nr)
{
	const struct wire message = wire_of(kind);
	int files[MAIL_FILES_MAX];

	for (unsigned i = 0; i < nr; i++)
		files[i] = STDIN_FILENO;
	return wire_send(fd, &message, files, nr);
}

/* As many files as a message takes, or, where the kernel lets none in, the message alone. */
static inline void send_files(void)
{
	for (;; blow()) {
		const int fd = raw_dial();

		if (send_with_files(fd, WIRE_HELLO, MAIL_FILES_MAX))
			(void)send_with_files(fd, WIRE_HELLO, 0);
		(void)raw_readable(fd, RAW_MS);
		close(fd);
	}
}

/* Another one than may be served already. The one before has perhaps not been missed yet. */
static inline struct raw come_as_a_device_process(void)
{
	struct raw raw = raw_in(RAW_KNOWN);

	while (raw_join(&raw, WIRE_ANNOUNCE, "echo:attacks").kind == WIRE_REFUSED)
		usleep(REST_US);
	return raw;
}

/* Files are let in from those, for one belongs to some of their messages. */
static inline void send_files_as_a_device_process(void)
{
	struct raw raw = come_as_a_device_process();

	for (;; blow()) {
		struct pollfd room = {.fd = raw.fd, .events = POLLOUT};
		const int err = send_with_files(raw.fd, WIRE_PARK, MAIL_FILES_MAX);

		if (err == -EAGAIN)
			(void)poll(&room, 1, RAW_MS);
		else if (err)
			(void)raw_rejoin(&raw, raw.membership);
	}
}

/* One with each message, as it may be, and never what it should be. */
static inline void send_wrong_files(void)
{
	struct raw raw = come_as_a_device_process();
	struct pollfd room = {.fd = raw.fd, .events = POLLOUT};

	for (;; blow()) {
		int err;

		while (!(err = send_with_files(raw.fd, WIRE_PARK, 1)) &&
		       !(err = send_with_files(raw.fd, WIRE_TABLE, 1)))
			continue;
		if (err != -EAGAIN && err != -ETOOMANYREFS)
			return;
		(void)poll(&room, 1, RAW_MS);
	}
}

#endif
