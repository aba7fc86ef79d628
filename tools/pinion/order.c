/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands that change something. What they want is checked here for form alone, and written
 * the plainest way (bytes, decimal): whether it can be done the service knows.
 */
#include "command.h"
#include "query.h"

#include "../hugepages_text.h"
#include "fail.h"
#include "wire.h"

#include <err.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define KILL_MS 5000 /* how long a killed process may take to end */

static bool said; /* a line that has no end yet */

/* Filling hugepages takes about a second for a few GiB: say that it is at work. */
static void waiting(unsigned seconds)
{
	said = isatty(STDERR_FILENO);
	if (said)
		fprintf(stderr, "\rthe service is at work for %u s ", seconds);
	else if (seconds % 10 == 0)
		fprintf(stderr, "the service is at work for %u s\n", seconds);
}

/* 0 or -errno. @along: a file that came with the answer, or -1; NULL: none is wanted. */
static int ordered(const struct options *opt, const char *name, const char *text, int *along)
{
	json_t *answer = NULL;
	const int err = query_order(opt->socket, name, text, waiting, along, &answer);

	json_decref(answer);
	if (said)
		fputc('\n', stderr);
	return err;
}

static enum exit_code order(const struct options *opt, const char *name, const char *text)
{
	const int err = ordered(opt, name, text, NULL);

	return err ? command_failed(err) : EXIT_DONE;
}

static bool name_given(const char *name)
{
	if (wire_name_valid(name))
		return true;
	warnx("'%s' is not the name of a pool: letters, digits and \":._-\", at most %d", name,
	      PINION_NAME_MAX - 1);
	return false;
}

static bool bytes_given(const char *text, uint64_t *bytes)
{
	if (!hp_bytes_parse(text, bytes) && *bytes)
		return true;
	warnx("'%s' is not a size such as 256M", text);
	return false;
}

static bool count_given(const char *text, const char *what, uint64_t *number)
{
	if (!hp_count_parse(text, number) && *number <= UINT32_MAX)
		return true;
	warnx("'%s' is not the number of a %s", text, what);
	return false;
}

/* " NODE", or nothing where there is no such operand. */
static bool node_given(const struct options *opt, size_t operand, char text[16])
{
	uint64_t node;

	text[0] = '\0';
	if (opt->nr <= operand)
		return true;
	if (!count_given(opt->operand[operand], "node", &node))
		return false;
	snprintf(text, 16, " %" PRIu64, node);
	return true;
}

enum exit_code command_pool_create(const struct options *opt)
{
	uint64_t size, buffer;
	char text[256], node[16];

	if (!name_given(opt->operand[0]) || !bytes_given(opt->operand[1], &size) ||
	    !bytes_given(opt->operand[2], &buffer) || !node_given(opt, 3, node))
		return EXIT_USAGE;
	snprintf(text, sizeof(text), "%s %" PRIu64 " %" PRIu64 "%s", opt->operand[0], size, buffer,
		 node);
	return order(opt, "pool-create", text);
}

enum exit_code command_pool_destroy(const struct options *opt)
{
	if (!name_given(opt->operand[0]))
		return EXIT_USAGE;
	return order(opt, "pool-destroy", opt->operand[0]);
}

enum exit_code command_pool_grow(const struct options *opt)
{
	char text[256], node[16];
	uint64_t size;

	if (!name_given(opt->operand[0]) || !bytes_given(opt->operand[1], &size) ||
	    !node_given(opt, 2, node))
		return EXIT_USAGE;
	snprintf(text, sizeof(text), "%s %" PRIu64 "%s", opt->operand[0], size, node);
	return order(opt, "pool-grow", text);
}

/* NAME and the number of a @what, in @text. */
static bool numbered_given(const struct options *opt, const char *what, char *text, size_t room)
{
	uint64_t number;

	if (!name_given(opt->operand[0]) || !count_given(opt->operand[1], what, &number))
		return false;
	snprintf(text, room, "%s %" PRIu64, opt->operand[0], number);
	return true;
}

enum exit_code command_pool_retire(const struct options *opt)
{
	char text[256];

	if (!numbered_given(opt, "segment's slot", text, sizeof(text)))
		return EXIT_USAGE;
	return order(opt, "pool-retire", text);
}

/* Ends the process and waits, for a while, until it has ended. */
static int process_kill(int pidfd)
{
	struct pollfd gone = {.fd = pidfd, .events = POLLIN};

	if (pidfd < 0)
		return pinion_fail(-EPROTO, "the service did not say whose process it is");
	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0))
		return pinion_fail(-errno, "the process cannot be killed: %s", strerror(errno));
	if (poll(&gone, 1, KILL_MS) == 0)
		return pinion_fail(-ETIMEDOUT, "the process was killed and has not ended yet: it "
				   "is in a system call that cannot be interrupted");
	return 0;
}

/* The service has no right to kill: it gives its pidfd of the member, which is nobody else's. */
enum exit_code command_member_kick(const struct options *opt)
{
	int pidfd = -1, err;
	char text[256];

	if (!numbered_given(opt, "member", text, sizeof(text)))
		return EXIT_USAGE;
	err = ordered(opt, "kick", text, &pidfd);
	if (!err)
		err = process_kill(pidfd);
	if (pidfd >= 0)
		(void)close(pidfd);
	return err ? command_failed(err) : EXIT_DONE;
}
