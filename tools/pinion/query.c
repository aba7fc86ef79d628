/* SPDX-License-Identifier: BSD-3-Clause */
#include "query.h"

#include <bsd/string.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pinion/client.h>

#include "dial.h"
#include "fail.h"
#include "wire.h"

#define PATIENCE_S (DIAL_PATIENCE_MS / 1000)
#define ANSWER_MAX (64u << 20) /* bytes: more than thousands of members have to say */

const char *query_socket(const char *socket)
{
	const char *named = socket && *socket ? socket : getenv("PINION_SOCKET");

	return named && *named ? named : PINION_SOCKET_DEFAULT;
}

static int connect_to(const char *path, int *fd)
{
	const int err = dial_connect(path, fd);

	if (err == -ETIMEDOUT)
		return pinion_fail(err, "%s: the service does not accept connections", path);
	if (err && err != -ENAMETOOLONG)
		return pinion_fail(err, "%s: %s%s", path, strerror(-err),
				   err == -EACCES ? "" : " (does piniond run, and listen there?)");
	return err;
}

/* @seconds 0: until something comes. */
static int wait_readable(int fd, unsigned seconds, void (*waiting)(unsigned seconds))
{
	struct pollfd want = {.fd = fd, .events = POLLIN};

	for (unsigned waited = 0; !seconds || waited < seconds;) {
		const int ready = poll(&want, 1, 1000);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return pinion_fail(-errno, "poll: %s", strerror(errno));
		waited += ready == 0;
		if (ready == 0 && waiting)
			waiting(waited);
	}
	return pinion_fail(-ETIMEDOUT, "the service did not answer within %u seconds", seconds);
}

static int refused(const struct wire *message)
{
	const int err = message->value < 0 && message->value >= -4095 ? message->value : -EPROTO;

	return pinion_fail(err, "the service refused: %s",
			   message->text[0] ? message->text : strerror(-err));
}

static int say(int fd, const struct wire *message)
{
	const int err = wire_send(fd, message, NULL, 0);

	/* It may have refused and hung up already: then it said why. */
	if (err && err != -EPIPE && err != -ECONNRESET)
		return pinion_fail(err, "cannot talk to the service: %s", strerror(-err));
	return 0;
}

#define FILES_MAX 2 /* of one message to a command */

static void files_close(int *files)
{
	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (files[i] >= 0)
			(void)close(files[i]);
		files[i] = -1;
	}
}

/* The next message, which must be of @kind. @files: what came along; -1: nothing did. */
static int hear(int fd, enum wire_kind kind, struct wire *message, int *files)
{
	struct mail_sender ignored;
	unsigned nr = FILES_MAX;
	int err = wire_recv(fd, message, files, &nr, &ignored);

	for (unsigned i = err ? 0 : nr; i < FILES_MAX; i++)
		files[i] = -1;
	if (err == -EPIPE || err == -ECONNRESET || err == -EPROTO)
		return pinion_fail(-EPROTO, "the service hung up, or does not speak this protocol: "
				   "is it of another release?");
	if (err)
		return pinion_fail(err, "cannot hear the service: %s", strerror(-err));
	if (message->kind == kind)
		return 0;
	files_close(files);
	if (message->kind == WIRE_REFUSED)
		return refused(message);
	return pinion_fail(-EPROTO, "the service's answer makes no sense");
}

/* HELLO and COOKIE. */
static int greet(int fd, uint64_t *cookie)
{
	const struct wire hello = wire_of(WIRE_HELLO);
	struct wire message;
	int files[FILES_MAX], err = say(fd, &hello);

	err = err ? err : wait_readable(fd, PATIENCE_S, NULL);
	err = err ? err : hear(fd, WIRE_COOKIE, &message, files);
	if (err)
		return err;
	files_close(files);
	*cookie = message.cookie;
	return 0;
}

/* The file may be the sender's to write still: what is parsed is a copy. */
static int parse(int file, json_t **answer)
{
	struct stat st;
	json_error_t error;

	if (fstat(file, &st) || st.st_size < 0 || st.st_size > ANSWER_MAX)
		return pinion_fail(-EPROTO, "the service's answer has no sensible size");
	char *text = malloc((size_t)st.st_size + 1);

	if (!text)
		return pinion_fail(-ENOMEM, "no memory for an answer of %lld bytes",
				   (long long)st.st_size);
	const ssize_t len = pread(file, text, (size_t)st.st_size, 0);

	*answer = len < 0 ? NULL : json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, &error);
	free(text);
	if (json_is_object(*answer))
		return 0;
	json_decref(*answer);
	*answer = NULL;
	return pinion_fail(-EPROTO, "the service's answer is no JSON object");
}

/* QUERY and ANSWER. pre: greeted. @files: the text, and what came beside it. */
static int ask(int fd, uint64_t cookie, const struct wire *question, unsigned seconds,
	       void (*waiting)(unsigned seconds), int *files)
{
	struct wire message = wire_of(WIRE_CONFIRM);
	int err;

	message.cookie = cookie;
	err = say(fd, &message);
	err = err ? err : say(fd, question);
	err = err ? err : wait_readable(fd, seconds, waiting);
	err = err ? err : hear(fd, WIRE_ANSWER, &message, files);
	if (!err && files[0] < 0)
		err = pinion_fail(-EPROTO, "the service's answer came without its text");
	return err;
}

int query_greet(const char *socket)
{
	KEEP_ERRNO;
	uint64_t cookie;
	int fd, err = connect_to(query_socket(socket), &fd);

	if (err)
		return err;
	err = greet(fd, &cookie);
	(void)close(fd);
	return err;
}

static int converse(const char *socket, const char *name, const char *text, unsigned seconds,
		    void (*waiting)(unsigned seconds), int *along, json_t **answer)
{
	int files[FILES_MAX] = {-1, -1};
	struct wire question = wire_of(WIRE_QUERY);
	uint64_t cookie;
	int fd, err;

	if (strlcpy(question.name, name, sizeof(question.name)) >= sizeof(question.name) ||
	    strlcpy(question.text, text, sizeof(question.text)) >= sizeof(question.text))
		return pinion_fail(-ENAMETOOLONG, "%s %s: longer than a message can be", name,
				   text);
	err = connect_to(query_socket(socket), &fd);
	if (err)
		return err;
	err = greet(fd, &cookie);
	err = err ? err : ask(fd, cookie, &question, seconds, waiting, files);
	(void)close(fd);
	err = err ? err : parse(files[0], answer);
	if (!err && along) {
		*along = files[1];
		files[1] = -1;
	}
	files_close(files);
	return err;
}

int query_ask(const char *socket, const char *name, const char *text, json_t **answer)
{
	KEEP_ERRNO;

	return converse(socket, name, text, PATIENCE_S, NULL, NULL, answer);
}

int query_order(const char *socket, const char *name, const char *text,
		void (*waiting)(unsigned seconds), int *along, json_t **answer)
{
	KEEP_ERRNO;

	return converse(socket, name, text, 0, waiting, along, answer);
}
