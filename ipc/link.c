/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "channel_parts.h"
#include "dial.h"
#include "fail.h"

/* Between two attempts to connect again: at first, and then. */
#define RETRY_SOON_NS 2000000
#define RETRY_NS 50000000

/* Messages read in one go, and kept unread by the program: beyond that they wait in the socket. */
#define READ_MAX 128
#define INBOX_MAX 8192

static int watch(const struct link *link, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(link->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void set_timer(const struct link *link, long ns)
{
	const struct itimerspec when = {.it_value = {ns / 1000000000, ns % 1000000000}};

	(void)timerfd_settime(link->timer, 0, &when, NULL);
}

static bool timer_fired(const struct link *link)
{
	uint64_t nr;

	return read(link->timer, &nr, sizeof(nr)) == sizeof(nr);
}

static void drop_socket(struct link *link)
{
	if (link->socket < 0)
		return;
	(void)epoll_ctl(link->epoll, EPOLL_CTL_DEL, link->socket, NULL);
	mail_hang_up(link->socket);
	link->socket = -1;
}

static void set_state(struct link *link, enum link_state state)
{
	pthread_mutex_lock(&link->lock);
	if (state == LINK_DOWN || state == LINK_OVER)
		drop_socket(link);
	link->broken = 0;
	link->state = state;
	pthread_mutex_unlock(&link->lock);
}

static void go_down(struct link *link, long retry_ns)
{
	set_state(link, LINK_DOWN);
	set_timer(link, retry_ns);
}

static void go_over(struct link *link)
{
	set_state(link, LINK_OVER);
	set_timer(link, 0);
}

/* Opening. */

static int refused(const struct wire *answer)
{
	if (answer->value >= 0 || answer->value < -4095)
		return pinion_fail(-EPROTO, "the service's answer makes no sense");
	return pinion_fail(answer->value, "the service refused: %s",
			   *answer->text ? answer->text : strerror(-answer->value));
}

int link_ask(struct link *link, const struct wire *question, struct wire *answer, int *files,
	     unsigned *nr_files)
{
	struct mail_sender ignored;
	int err = wire_send(link->socket, question, NULL, 0);

	/* It may have refused and hung up already: then it said why. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		err = dial_wait(link->socket);
	if (err == -ETIMEDOUT)
		return pinion_fail(err, "the service did not answer within %d ms",
				   DIAL_PATIENCE_MS);
	if (!err)
		err = wire_recv(link->socket, answer, files, nr_files, &ignored);
	if (err == -EPIPE || err == -ECONNRESET || err == -EPROTO)
		return pinion_fail(-EPROTO, "%s: the service hung up, or does not speak this "
				   "protocol: is it of another release?", link->path);
	if (err)
		return pinion_fail(err, "cannot talk to the service: %s", strerror(-err));
	if (answer->kind != WIRE_REFUSED)
		return 0;
	mail_close_files(files, *nr_files);
	return refused(answer);
}

static int confirm(const struct link *link, uint64_t cookie)
{
	struct wire message = wire_of(WIRE_CONFIRM);

	message.cookie = cookie;
	return wire_send(link->socket, &message, NULL, 0);
}

static int greet(struct link *link)
{
	const struct wire hello = wire_of(WIRE_HELLO);
	struct wire answer;
	unsigned nr = 0;
	int err = link_ask(link, &hello, &answer, NULL, &nr);

	if (!err && answer.kind != WIRE_COOKIE)
		err = pinion_fail(-EPROTO, "the service's answer makes no sense");
	if (err)
		return err;
	err = confirm(link, answer.cookie);
	/* It has hung up: the question that follows is told so, and why. */
	if (!err || err == -EPIPE || err == -ECONNRESET)
		return 0;
	return pinion_fail(err, "cannot talk to the service: %s", strerror(-err));
}

/* An empty one is none. */
static int choose_path(struct link *link, const char *path)
{
	if (!path || !*path)
		path = getenv("PINION_SOCKET");
	if (!path || !*path)
		path = PINION_SOCKET_DEFAULT;
	if (strlen(path) >= sizeof(link->path))
		return pinion_fail(-ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
				   sizeof(link->path) - 1);
	(void)strcpy(link->path, path);
	return 0;
}

static int make_descriptors(struct link *link)
{
	int err;

	link->epoll = epoll_create1(EPOLL_CLOEXEC);
	link->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = link->epoll < 0 || link->timer < 0 ? -errno : watch(link, link->timer);
	return err ? pinion_fail(err, "cannot watch the service: %s", strerror(-err)) : 0;
}

static void put_up(struct link *link, struct shelf *shelf, uint32_t channel)
{
	shelf->link = link;
	shelf->channel = channel;
	parcels_init(&shelf->parcels);
	LIST_INSERT_HEAD(&link->shelves, shelf, of_link);
}

static void take_down(struct shelf *shelf)
{
	parcels_drop(&shelf->parcels);
	LIST_REMOVE(shelf, of_link);
	if (shelf != &shelf->link->own)
		free(shelf);
}

int link_open(struct link *link, const char *path)
{
	int err;

	*link = (struct link){.pid = getpid(), .epoll = -1, .timer = -1, .socket = -1,
			      .state = LINK_UP, .lock = PTHREAD_MUTEX_INITIALIZER};
	LIST_INIT(&link->shelves);
	put_up(link, &link->own, 0);
	STAILQ_INIT(&link->inbox);
	err = choose_path(link, path);
	if (!err)
		err = make_descriptors(link);
	if (!err)
		err = dial_connect(link->path, &link->socket);
	if (!err)
		err = greet(link);
	if (!err)
		err = watch(link, link->socket);
	if (err)
		link_close(link);
	return err;
}

void link_joined(struct link *link, uint64_t cookie)
{
	link->cookie = cookie;
}

int link_send(struct link *link, const struct wire *message, const int *files, unsigned nr_files)
{
	int err = link->state == LINK_UP ? wire_send(link->socket, message, files, nr_files)
					 : -EPIPE;

	/* A service that does not read for so long: broken, it is taken up again, and all is told
	 * again. */
	if (err == -EAGAIN)
		(void)shutdown(link->socket, SHUT_RDWR);
	return err;
}

int link_say(struct link *link, enum wire_kind kind, uint32_t channel)
{
	struct wire message = wire_of(kind);

	message.channel = channel;
	return link_send(link, &message, NULL, 0);
}

/* Reading. pre for all of these: the link is locked, and UP. */

static struct shelf *find_shelf(const struct link *link, uint32_t channel)
{
	struct shelf *shelf;

	LIST_FOREACH(shelf, &link->shelves, of_link)
		if (shelf->channel == channel)
			return shelf;
	return NULL;
}

/* Segments may follow before the program hears of the pool. */
static int add_shelf(struct link *link, uint32_t channel)
{
	struct shelf *shelf = find_shelf(link, channel);

	if (shelf)
		return 0;
	shelf = malloc(sizeof(*shelf));
	if (!shelf)
		return -ENOMEM;
	put_up(link, shelf, channel);
	return 0;
}

/* Of a pool that we have no more, or not yet: when it comes, its files come along. */
static int store_segment(struct link *link, const struct letter *letter)
{
	struct shelf *shelf = find_shelf(link, letter->message.channel);

	if (letter->message.slot >= PINION_SEGMENT_MAX || letter->nr_files != 1)
		return -EPROTO;
	if (shelf)
		parcels_put(&shelf->parcels, letter->message.slot, letter->files[0]);
	else
		mail_close_files(letter->files, 1);
	return 0;
}

/* Of tables that nobody has heard of yet only the newest counts, and only that is kept. */
static bool replace_table(struct link *link, const struct letter *newer)
{
	struct letter *letter;

	if (newer->message.kind != WIRE_TABLE)
		return false;
	STAILQ_FOREACH(letter, &link->inbox, next) {
		if (letter->message.kind != WIRE_TABLE ||
		    letter->message.channel != newer->message.channel)
			continue;
		mail_close_files(letter->files, letter->nr_files);
		*letter = (struct letter){.next = letter->next, .message = newer->message,
					  .nr_files = newer->nr_files};
		memcpy(letter->files, newer->files, sizeof(letter->files));
		return true;
	}
	return false;
}

/* Without memory for it the connection breaks: all is told again when it is back. */
static int keep(struct link *link, const struct letter *letter)
{
	bool pool = letter->message.kind == WIRE_JOINED &&
		    letter->nr_files > parts_nr(&letter->message);
	struct letter *copy;

	if (replace_table(link, letter))
		return 0;
	copy = malloc(sizeof(*copy));
	if (!copy || (pool && add_shelf(link, letter->message.channel))) {
		free(copy);
		return -ENOMEM;
	}
	*copy = *letter;
	STAILQ_INSERT_TAIL(&link->inbox, copy, next);
	link->nr_inbox++;
	return 0;
}

static int read_one(struct link *link)
{
	struct letter letter = {.nr_files = WIRE_FILES_MAX};
	struct mail_sender ignored;
	int err = wire_recv(link->socket, &letter.message, letter.files, &letter.nr_files,
			    &ignored);

	/* Whose files cannot be opened is not served: it is kept without them, and refused. */
	if (err && !(err == -EMFILE && letter.message.kind == WIRE_JOINED))
		return err;
	err = letter.message.kind == WIRE_SEGMENT ? store_segment(link, &letter)
						  : keep(link, &letter);
	if (err)
		mail_close_files(letter.files, letter.nr_files);
	return err;
}

static void read_some(struct link *link)
{
	for (int i = 0; !link->broken && i < READ_MAX && link->nr_inbox < INBOX_MAX; i++) {
		int err = read_one(link);

		if (err == -EAGAIN)
			return;
		link->broken = err;
	}
}

struct shelf *link_shelf(struct link *link, uint32_t channel)
{
	struct shelf *shelf;

	pthread_mutex_lock(&link->lock);
	shelf = find_shelf(link, channel);
	pthread_mutex_unlock(&link->lock);
	return shelf;
}

/* A JOINED that was told again, and was read and not heard yet, is of a pool that is gone. */
static void forget_letters(struct link *link, uint32_t channel)
{
	struct letter *letter, *next;

	STAILQ_FOREACH_SAFE(letter, &link->inbox, next, next) {
		if (letter->message.kind != WIRE_JOINED || letter->message.channel != channel)
			continue;
		STAILQ_REMOVE(&link->inbox, letter, letter, next);
		link->nr_inbox--;
		mail_close_files(letter->files, letter->nr_files);
		free(letter);
	}
}

void link_forget(struct link *link, uint32_t channel)
{
	struct shelf *shelf;

	pthread_mutex_lock(&link->lock);
	forget_letters(link, channel);
	shelf = find_shelf(link, channel);
	if (shelf)
		take_down(shelf);
	pthread_mutex_unlock(&link->lock);
}

int link_parcel(void *context, uint32_t slot, int *fd)
{
	struct shelf *shelf = context;
	struct link *link = shelf->link;

	if (link->pid != getpid())
		return -EAGAIN;
	pthread_mutex_lock(&link->lock);
	if (link->state == LINK_UP)
		read_some(link);
	*fd = parcels_take(&shelf->parcels, slot);
	/* What else was read has left the socket: let the loop hear of it all the same. */
	if (link->nr_inbox || link->broken)
		set_timer(link, 1);
	pthread_mutex_unlock(&link->lock);
	return *fd < 0 ? -EAGAIN : 0;
}

/* Connecting again. */

static void try_again(struct link *link)
{
	const struct wire hello = wire_of(WIRE_HELLO);
	int fd;

	if (dial_try(link->path, &fd)) {
		set_timer(link, RETRY_NS);
		return;
	}
	link->socket = fd;
	set_state(link, LINK_GREETING);
	if (watch(link, fd) || wire_send(fd, &hello, NULL, 0)) {
		go_down(link, RETRY_NS);
		return;
	}
	set_timer(link, DIAL_PATIENCE_MS * 1000000L);
}

static void rejoin(struct link *link, uint64_t cookie)
{
	struct wire message = wire_of(WIRE_REJOIN);
	int err = confirm(link, cookie);

	message.cookie = link->cookie;
	if (!err)
		err = wire_send(link->socket, &message, NULL, 0);
	if (err)
		go_down(link, RETRY_NS);
	else
		set_state(link, LINK_REJOINING);
}

/* Not now: too many have come, or it heard nothing from us in time. */
static bool may_try_again(int refusal)
{
	return refusal == -EAGAIN || refusal == -ETIMEDOUT;
}

static enum link_news hear_answer(struct link *link, const struct wire *message)
{
	if (link->state == LINK_GREETING && message->kind == WIRE_COOKIE) {
		rejoin(link, message->cookie);
	} else if (link->state == LINK_REJOINING && message->kind == WIRE_REJOINED) {
		set_state(link, LINK_UP);
		set_timer(link, 0);
		return LINK_BACK;
	} else if (message->kind == WIRE_REFUSED && !may_try_again(message->value)) {
		go_over(link);
		return LINK_EXPELLED;
	} else {
		go_down(link, RETRY_NS);
	}
	return LINK_NOTHING;
}

static enum link_news come_back(struct link *link)
{
	bool fired = timer_fired(link);
	struct mail_sender ignored;
	struct wire message;
	unsigned nr = 0;
	int err;

	if (link->state == LINK_DOWN) {
		if (fired)
			try_again(link);
		return LINK_NOTHING;
	}
	err = wire_recv(link->socket, &message, NULL, &nr, &ignored);
	if (!err)
		return hear_answer(link, &message);
	if (err != -EAGAIN || fired)
		go_down(link, RETRY_NS);
	return LINK_NOTHING;
}

/* What was read before it broke is handed on first. */
static enum link_news read_letter(struct link *link, struct letter *letter)
{
	struct letter *first;
	int broken;

	pthread_mutex_lock(&link->lock);
	read_some(link);
	first = STAILQ_FIRST(&link->inbox);
	if (first) {
		STAILQ_REMOVE_HEAD(&link->inbox, next);
		link->nr_inbox--;
		*letter = *first;
	}
	broken = link->broken;
	/* What waits has left the socket: the loop hears of it by the timer. */
	if (link->nr_inbox)
		set_timer(link, 1);
	else if (!first)
		(void)timer_fired(link);
	pthread_mutex_unlock(&link->lock);
	free(first);
	if (first)
		return LINK_LETTER;
	if (!broken)
		return LINK_NOTHING;
	go_down(link, RETRY_SOON_NS);
	return LINK_LOST;
}

enum link_news link_next(struct link *link, struct letter *letter)
{
	switch (link->state) {
	case LINK_UP: return read_letter(link, letter);
	case LINK_OVER: return LINK_NOTHING;
	default: return come_back(link);
	}
}

static void forget_inbox(struct link *link)
{
	struct letter *letter;

	while ((letter = STAILQ_FIRST(&link->inbox))) {
		STAILQ_REMOVE_HEAD(&link->inbox, next);
		mail_close_files(letter->files, letter->nr_files);
		free(letter);
	}
	link->nr_inbox = 0;
}

void link_close(struct link *link)
{
	struct shelf *shelf, *next;

	forget_inbox(link);
	LIST_FOREACH_SAFE(shelf, &link->shelves, of_link, next)
		take_down(shelf);
	/* A forked child must not take the parent's descriptors out of the epoll they share, nor
	 * what is sent to it. */
	if (link->pid == getpid())
		drop_socket(link);
	else if (link->socket >= 0)
		(void)close(link->socket);
	if (link->timer >= 0)
		(void)close(link->timer);
	if (link->epoll >= 0)
		(void)close(link->epoll);
	link->socket = link->timer = link->epoll = -1;
}
