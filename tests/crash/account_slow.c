/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness is itself tested: what account_take() asked is over when it returns, also where the
 * service, which has answered, does not run for longer than one waits for an answer. Or else the
 * connection would be among what is counted next, as one that somebody left behind. Nor is the
 * first look the last where it takes all the time there was (patience.h).
 *
 * The service is a child that speaks as piniond does; what it has open is counted as piniond's is.
 */

#include "account.h"

#include "listener.h"
#include "patience.h"
#include "restart_support.h"
#include "tap.h"

#include "dial.h"

#define SLOW_US (1250u * DIAL_PATIENCE_MS)

/* However long the other end takes. */
static bool await_more(int fd)
{
	int err;

	do
		err = dial_wait(fd);
	while (err == -ETIMEDOUT);
	return !err;
}

static bool hear(int socket, enum wire_kind kind)
{
	struct mail_sender ignored;
	struct wire message;
	unsigned nr = 0;

	return await_more(socket) && !wire_recv(socket, &message, NULL, &nr, &ignored) &&
	       message.kind == kind;
}

static bool say(int socket, enum wire_kind kind, const int *files, unsigned nr)
{
	const struct wire message = wire_of(kind);

	return !wire_send(socket, &message, files, nr);
}

static bool answer(int socket)
{
	static const char text[] = "{}";
	const int file = memfd_create("answer", MFD_CLOEXEC);
	bool said = file >= 0 && write(file, text, 2) == 2 && !lseek(file, 0, SEEK_SET) &&
		    say(socket, WIRE_ANSWER, &file, 1);

	if (file >= 0)
		(void)close(file);
	return said;
}

/* One question, heard to its end, and then for so long nothing. Who gave up before comes again. */
static void serve(int socket)
{
	if (hear(socket, WIRE_HELLO) && say(socket, WIRE_COOKIE, NULL, 0) &&
	    hear(socket, WIRE_CONFIRM) && hear(socket, WIRE_QUERY) && answer(socket) &&
	    await_more(socket))
		usleep(SLOW_US);
	(void)close(socket);
}

__attribute__((noreturn)) static void run(const struct listener *listener)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (await_more(listener->fd))
		serve(listener_accept(listener));
	_exit(1);
}

/* @pid: that service, which nobody has asked anything yet. */
static void claim_over(pid_t pid)
{
	const int before = account_files(pid);
	struct account account;
	bool answered;
	int after;

	answered = account_take(&account);
	after = account_files(pid);
	tap_result(answered && before > 0 && after == before,
		   "a service that is slow to hang up has %d files open when it was asked, and %d "
		   "before%s", after, before, answered ? "" : "; it did not answer");
}

static void claim_patience(void)
{
	struct patience patience = patience_for(0);
	uint32_t looks = 0;

	do
		looks++;
	while (patience_left(&patience));
	tap_result(looks == PATIENCE_LOOKS, "when the first look takes all the time there are %u",
		   looks);
}

int main(void)
{
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 16];
	struct listener listener;
	pid_t pid;

	support_dir_create(dir);
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	if (setenv("PINION_SOCKET", path, 1) || listener_open(&listener, path, 0600))
		tap_bail("no socket: %s", pinion_error_text());
	tap_plan(2);
	pid = fork();
	if (pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (!pid)
		run(&listener);
	claim_over(pid);
	claim_patience();
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	listener_close(&listener);
	support_dir_destroy(dir);
	return tap_status();
}
