/* SPDX-License-Identifier: BSD-3-Clause */
#include "account.h"

#include <sys/socket.h>

#include "dial.h"
#include "fail.h"
#include "service_support.h"
#include "tap.h"

/* However long the service takes for that: dial_wait() is patient as one is with an answer. */
static bool hangs_up(int socket, uint64_t until_ns)
{
	int err;

	do
		err = dial_wait(socket);
	while (err == -ETIMEDOUT && test_now_ns() < until_ns);
	if (err)
		(void)pinion_fail(err, "the service does not hang up");
	return !err;
}

/* Until the service has hung up as well, which takes it a moment (piniond/turn.c):
 * or else the question would be among what is counted next. */
static json_t *ask_and_part(uint64_t until_ns)
{
	struct link link;
	json_t *stat;
	int err;

	if (link_open(&link, NULL))
		return NULL;
	stat = service_ask_on(&link, "stat", "", &err);
	(void)shutdown(link.socket, SHUT_WR);
	if (stat && !hangs_up(link.socket, until_ns)) {
		json_decref(stat);
		stat = NULL;
	}
	link_close(&link);
	return stat;
}

static json_t *ask(void)
{
	const uint64_t until = test_now_ns() + UINT64_C(30000000000);
	json_t *stat;

	while (!(stat = ask_and_part(until)) && test_now_ns() < until)
		usleep(2000);
	return stat;
}

static int64_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static bool is_live(const json_t *of)
{
	const char *state = json_string_value(json_object_get(of, "state"));

	return state && !strcmp(state, "live");
}

static void add_members(struct account *account, const json_t *members)
{
	json_t *member;
	size_t i;

	account->members += (int64_t)json_array_size(members);
	json_array_foreach(members, i, member) {
		account->live += is_live(member);
		account->connected += json_is_true(json_object_get(member, "connected"));
	}
}

static void add_pool(struct account *account, const json_t *pool)
{
	json_t *zone;
	size_t i;

	account->pools++;
	account->channels += (int64_t)json_array_size(json_object_get(pool, "channels"));
	add_members(account, json_object_get(pool, "members"));
	json_array_foreach(json_object_get(pool, "zones"), i, zone) {
		account->held += number_of(zone, "held");
		account->free += number_of(zone, "free");
		account->total += number_of(zone, "total");
	}
}

bool account_take(struct account *account)
{
	json_t *stat = ask(), *pool, *device;
	size_t i;

	*account = (struct account){0};
	if (!stat)
		return false;
	account->pid = (pid_t)number_of(stat, "pid");
	account->restarts = number_of(stat, "restarts");
	json_array_foreach(json_object_get(stat, "pools"), i, pool)
		add_pool(account, pool);
	json_array_foreach(json_object_get(stat, "devices"), i, device) {
		account->ready += is_live(device) && json_is_true(json_object_get(device, "ready"));
		account->parked += json_is_true(json_object_get(device, "parked"));
	}
	json_decref(stat);
	return true;
}

bool account_is_rest(const struct account *account, const struct account *first)
{
	return !account->members && !account->channels && !account->held &&
	       account->pools == first->pools && account->free == account->total &&
	       account->total == first->total;
}

int account_entries(const char *path)
{
	DIR *dir = opendir(path);
	int nr = 0;

	if (!dir)
		return -1;
	for (const struct dirent *entry; (entry = readdir(dir));)
		nr += entry->d_name[0] != '.';
	(void)closedir(dir);
	return nr;
}

int account_files(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return account_entries(path);
}

void account_remark_files(pid_t pid, const char *whose)
{
	for (int fd = 3; fd < 128; fd++) {
		char path[64], target[128];
		ssize_t len;

		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		len = readlink(path, target, sizeof(target) - 1);
		if (len > 0)
			tap_remark("%s has %d: %.*s", whose, fd, (int)len, target);
	}
}
