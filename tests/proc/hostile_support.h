/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_HOSTILE_SUPPORT_H
#define PINION_TESTS_HOSTILE_SUPPORT_H

/*
 * Peers of piniond by hand: every message said and heard one by one, so that each can be a lie.
 *
 *  - raw_in(state): a connection as far as that, of this very process.
 *  - raw_say(), raw_hear(): a message; whoever does not answer in twenty seconds never will.
 *  - raw_leave(): out again in good order, on a connection that works or on a new one.
 *  - process_files(), service_files_at_rest(), process_memory(): what the service holds.
 *  - sort_ns(): how long each took, the quickest first.
 *
 * Each test that must find the service as it was asks service_holds() before and after.
 */

#include "service_support.h"

#include <dirent.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RAW_MS 20000
#define ANY_RULES                                                                                 \
	"{ user = \"*\"; pools = [ \"*\" ]; devices = [ \"*\" ]; serve = true; admin = true; }"

enum raw_state { RAW_ARRIVED, RAW_GREETED, RAW_KNOWN, RAW_CLIENT, RAW_DEVICE, RAW_STATES };

struct raw {
	int fd;
	uint64_t cookie;     /* of the connection */
	uint64_t membership; /* 0: none */
	uint32_t member, channel;
};

/* A pool of @members, with room for @segments, and what else the configuration is to have. */
static inline void service_configure_pool(struct service_process *service, unsigned members,
					  unsigned segments, const char *more)
{
	support_dir_create(service->dir);
	assert_int_equal(chmod(service->dir, 0777), 0);
	(void)snprintf(service->socket, sizeof(service->socket), "%s/socket", service->dir);
	(void)snprintf(service->config, sizeof(service->config), "%s/conf", service->dir);
	service_write(service,
		      "%s\n"
		      "pools = ( { name = \"" SERVICE_POOL "\"; members = %u; caches = 64;"
		      " max_segments = %u;"
		      " segments = ( { size = \"1M\"; buffer = \"4K\"; page = \"4k\"; } ); } );\n"
		      "rules = ( " ANY_RULES " );\n", more, members, segments);
	assert_int_equal(setenv("PINION_SOCKET", service->socket, 1), 0);
}

static inline int later_ns(const void *a, const void *b)
{
	const int64_t one = *(const int64_t *)a, two = *(const int64_t *)b;

	return one < two ? -1 : one > two;
}

static inline void sort_ns(int64_t *ns, size_t nr)
{
	qsort(ns, nr, sizeof(*ns), later_ns);
}

static inline int raw_dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	const char *path = getenv("PINION_SOCKET");

	assert_true(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	(void)strcpy(address.sun_path, path);
	/* With more waiting than the backlog takes this waits, too. */
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline bool raw_readable(int fd, int ms)
{
	return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, ms) == 1;
}

static inline int raw_say(int fd, enum wire_kind kind, uint64_t cookie)
{
	struct wire message = wire_of(kind);

	message.cookie = cookie;
	return wire_send(fd, &message, NULL, 0);
}

/* The next message, without its files. 0 or -errno. */
static inline int raw_hear(int fd, struct wire *message)
{
	int files[WIRE_FILES_MAX];
	unsigned nr = WIRE_FILES_MAX;
	struct mail_sender ignored;
	int err = raw_readable(fd, RAW_MS) ? wire_recv(fd, message, files, &nr, &ignored)
					   : -ETIMEDOUT;

	if (!err)
		mail_close_files(files, nr);
	return err;
}

/* Nothing but what was said before, and then the end. */
static inline bool raw_hung_up(int fd)
{
	struct wire ignored;
	int err;

	do
		err = raw_hear(fd, &ignored);
	while (!err);
	return err == -EPIPE || err == -ECONNRESET;
}

static inline void raw_greet(struct raw *raw)
{
	struct wire answer;

	assert_int_equal(raw_say(raw->fd, WIRE_HELLO, 0), 0);
	assert_int_equal(raw_hear(raw->fd, &answer), 0);
	assert_int_equal(answer.kind, WIRE_COOKIE);
	raw->cookie = answer.cookie;
}

static inline void raw_confirm(struct raw *raw)
{
	raw_greet(raw);
	assert_int_equal(raw_say(raw->fd, WIRE_CONFIRM, raw->cookie), 0);
}

/* Asks to be a member; what is answered, and REFUSED it may be. */
static inline struct wire raw_join(struct raw *raw, enum wire_kind kind, const char *name)
{
	struct wire message = wire_of(kind), answer;

	(void)snprintf(message.name, sizeof(message.name), "%s", name);
	(void)strcpy(message.text, kind == WIRE_ANNOUNCE ? SERVICE_POOL " -" : "");
	assert_int_equal(wire_send(raw->fd, &message, NULL, 0), 0);
	assert_int_equal(raw_hear(raw->fd, &answer), 0);
	if (answer.kind == WIRE_REFUSED)
		return answer;
	raw->membership = answer.cookie;
	raw->member = answer.member;
	raw->channel = answer.channel;
	return answer;
}

static inline struct raw raw_in(enum raw_state state)
{
	struct raw raw = {.fd = raw_dial()};

	if (state == RAW_GREETED)
		raw_greet(&raw);
	if (state >= RAW_KNOWN)
		raw_confirm(&raw);
	if (state == RAW_CLIENT)
		(void)raw_join(&raw, WIRE_ATTACH, "pool:" SERVICE_POOL);
	if (state == RAW_DEVICE)
		(void)raw_join(&raw, WIRE_ANNOUNCE, SERVICE_DEVICE);
	assert_true(state < RAW_CLIENT || raw.membership);
	return raw;
}

/* By a new connection; what REJOIN was answered with. */
static inline struct wire raw_rejoin(struct raw *raw, uint64_t membership)
{
	struct wire answer;

	close(raw->fd);
	raw->fd = raw_dial();
	raw_confirm(raw);
	assert_int_equal(raw_say(raw->fd, WIRE_REJOIN, membership), 0);
	assert_int_equal(raw_hear(raw->fd, &answer), 0);
	return answer;
}

static inline void raw_end(struct raw *raw)
{
	close(raw->fd);
	raw->fd = -1;
}

/* A member whose connection was broken is one all the same. */
static inline void raw_leave(struct raw *raw)
{
	if (raw->membership) {
		assert_int_equal(raw_rejoin(raw, raw->membership).kind, WIRE_REJOINED);
		assert_int_equal(raw_say(raw->fd, WIRE_BYE, 0), 0);
		assert_true(raw_hung_up(raw->fd));
	}
	raw_end(raw);
}

/* What it holds. */

/* How many there are in that directory of its. */
static inline unsigned process_entries(pid_t pid, const char *of)
{
	char path[64];
	unsigned nr = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, of);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr - 2;
}

static inline unsigned process_files(pid_t pid)
{
	return process_entries(pid, "fd");
}

/* A line of smaps_rollup in KiB: "Rss", "Anonymous", ... */
static inline uint64_t process_memory(pid_t pid, const char *what)
{
	char path[64], line[256];
	unsigned long long kib = 0;
	const size_t len = strlen(what);
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, what, len) && line[len] == ':')
			kib = strtoull(line + len + 1, NULL, 10);
	fclose(file);
	return kib;
}

/* How many descriptors it has when all hang-ups are heard: the least, for a tenth of a second. */
static inline unsigned service_files_at_rest(const struct service_process *service)
{
	unsigned least = process_files(service->pid);
	uint64_t since = test_now_ns();

	while (test_now_ns() - since < UINT64_C(100000000)) {
		const unsigned nr = process_files(service->pid);

		if (nr < least) {
			least = nr;
			since = test_now_ns();
		}
		usleep(1000);
	}
	return least;
}

/* Until it has no more than that many descriptors: hang-ups are heard a little later. */
static inline void service_await_files(const struct service_process *service, unsigned nr)
{
	const uint64_t until = test_now_ns() + PATIENCE_NS;

	while (process_files(service->pid) > nr) {
		assert_true(test_now_ns() < until);
		usleep(1000);
	}
}

/* What stat says of the first member of that number or device of any: @key, borrowed from *stat. */
static inline bool service_says(const char *list, const char *which, json_int_t number,
				const char *key)
{
	int err;
	json_t *stat = service_ask("stat", "", &err), *pool, *entry, *all;
	bool says = false;
	size_t i;

	assert_non_null(stat);
	pool = json_array_get(json_object_get(stat, "pools"), 0);
	all = json_object_get(stat, list);
	json_array_foreach(all ? all : json_object_get(pool, list), i, entry)
		if (json_integer_value(json_object_get(entry, which)) == number)
			says = json_is_true(json_object_get(entry, key));
	json_decref(stat);
	return says;
}

static inline bool service_has_connected(uint32_t member)
{
	return service_says("members", "number", member, "connected");
}

#endif
