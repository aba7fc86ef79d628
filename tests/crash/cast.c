/* SPDX-License-Identifier: BSD-3-Clause */
#include "cast.h"

#include <sys/pidfd.h>
#include <sys/socket.h>

#include "container.h"
#include "domain_support.h"
#include "pretend.h"
#include "service_support.h"
#include "tap.h"

#define PATIENCE_MS 60000
#define SIZE 4096 /* of each buffer, see configure() in trial.c */

struct part {
	int line;
	const char *pool; /* that orders are about */
	int loop;         /* as in a configuration */
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct echo echo;
	bool lost, left, expelled; /* the service, the device process, this process */
	int found;                 /* a member's number */
	struct pinion_domain *domain, *apart; /* over the pool of a device process; of its client */
};

static int attach_to(struct part *part, const char *what)
{
	const struct pinion_client_config config = {.loop = part->loop};

	return pinion_client_open(what, &config, &part->client);
}

static int attach_pool(struct part *part)
{
	char what[64];

	(void)snprintf(what, sizeof(what), "pool:%s", part->pool);
	return attach_to(part, what);
}

static int attach_apart(struct part *part)
{
	return !geteuid() && become_nobody() ? -EPERM : attach_to(part, SERVICE_DEVICE);
}

static int open_cache(struct part *part)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};

	if (part->cache)
		return 0;
	return pinion_cache_open(pinion_client_pool(part->client), &any, &part->cache);
}

static int hold(struct part *part)
{
	struct pinion_channel *channel = pinion_client_channel(part->client);
	struct pinion_buffer held;
	int err = open_cache(part);

	for (int i = 0; !err && i < 5; i++)
		err = pinion_buffer_alloc(part->cache, &held);
	for (int i = 0; !err && channel && i < 4; i++) {
		struct pinion_desc desc = {.tag = 77};

		err = pinion_buffer_alloc(part->cache, &desc.buffer);
		if (!err && pinion_channel_send(channel, &desc, 1) != 1)
			err = pinion_buffer_free(part->cache, desc.buffer);
	}
	return err;
}

static int hold_all(struct part *part)
{
	struct pinion_buffer held;
	int err = open_cache(part);

	while (!err)
		err = pinion_buffer_alloc(part->cache, &held);
	return err == -EAGAIN || err == -ENOMEM || err == -ENOBUFS ? 0 : err;
}

/* What was sent by hold() may come back first. */
static int work(struct part *part)
{
	struct pinion_channel *channel = pinion_client_channel(part->client);
	int err = part->expelled ? -ESTALE : open_cache(part);

	for (uint32_t tag = 100; !err && channel && tag < 110; tag++) {
		struct pinion_desc sent = {.tag = tag}, desc = {0};

		err = pinion_buffer_alloc(part->cache, &sent.buffer);
		if (!err && pinion_channel_send(channel, &sent, 1) != 1)
			err = -EPIPE;
		while (!err && desc.tag != tag) {
			int got = pinion_channel_recv(channel, &desc, 1);

			if (got == 1)
				err = pinion_buffer_free(part->cache, desc.buffer);
			else if (got == -EAGAIN)
				err = pinion_channel_wait(channel, PATIENCE_NS);
			else
				err = got ? got : -EIO;
		}
	}
	return err;
}

/* What a client does between orders. */
static void listen_to(struct part *part)
{
	struct pinion_client_event event;

	while (part->client && !part->expelled && pinion_client_next(part->client, &event) == 1)
		switch (event.kind) {
		case PINION_CLIENT_SERVICE_LOST: part->lost = true; break;
		case PINION_CLIENT_SERVICE_BACK: part->lost = false; break;
		case PINION_CLIENT_DEVICE_LEFT: part->left = true; break;
		case PINION_CLIENT_ADDRESSES: break;
		case PINION_CLIENT_EXPELLED: part->expelled = true; return;
		}
}

static int await_flag(struct part *part, const bool *flag, bool wanted)
{
	const uint64_t until = test_now_ns() + PATIENCE_MS * UINT64_C(1000000);
	struct pollfd want = {.fd = pinion_client_fd(part->client), .events = POLLIN};

	for (;;) {
		if (part->expelled)
			return -ESTALE;
		if (*flag == wanted)
			return 0;
		if (test_now_ns() > until)
			return -ETIMEDOUT;
		(void)poll(&want, 1, 100);
		listen_to(part);
	}
}

/* A device process comes back by itself, in the loop. */
static int rejoin(struct part *part)
{
	return part->client ? await_flag(part, &part->lost, false) : 0;
}

static int lose_and_rejoin(struct part *part)
{
	int err = await_flag(part, &part->lost, true);

	return err ? err : rejoin(part);
}

/* The buffer that is looked up. */
static const struct pinion_buffer somewhere = {3};

/* 0: @client has its address. */
static int see_somewhere(const struct pinion_client *client)
{
	struct pinion_domain *domain;
	int err = pinion_client_domain(client, &domain);

	if (err)
		return err;
	if (pinion_buffer_bus(domain, somewhere, 0) !=
	    pretended(pinion_client_pool(client), somewhere, 0))
		err = -EBADMSG;
	(void)pinion_domain_detach(domain);
	return err;
}

static int see(struct part *part)
{
	const uint64_t until = test_now_ns() + PATIENCE_MS * UINT64_C(1000000);
	struct pollfd want = {.fd = pinion_client_fd(part->client), .events = POLLIN};
	int err;

	for (;;) {
		err = part->expelled ? -ESTALE : see_somewhere(part->client);
		if (err != -EAGAIN || test_now_ns() > until)
			return err;
		(void)poll(&want, 1, 100);
		listen_to(part);
	}
}

static int settle(struct part *part)
{
	struct pinion_desc desc;
	int err = open_cache(part);

	while (!err && pinion_channel_recv(pinion_client_channel(part->client), &desc, 1) > 0)
		err = pinion_buffer_free(part->cache, desc.buffer);
	return err ? err : pinion_client_settle(part->client, part->cache);
}

static int forget(struct pinion_domain **domain)
{
	int err = *domain ? pinion_domain_destroy(*domain) : 0;

	*domain = NULL;
	return err;
}

static int close_all(struct part *part)
{
	int err = part->cache ? pinion_cache_close(part->cache) : 0;

	if (!err)
		err = forget(&part->domain);
	if (!err)
		err = forget(&part->apart);

	if (part->echo.device)
		echo_close_caches(&part->echo);
	if (part->client && !err)
		err = pinion_client_close(part->client);
	if (part->echo.device && !err)
		err = pinion_device_close(part->echo.device);
	*part = (struct part){.line = part->line, .pool = part->pool, .loop = part->loop};
	return err;
}

static int announce(struct part *part)
{
	const struct pinion_device_config config = {
		.pool = part->pool, .pools = ECHO_POOLS, .loop = part->loop};

	return pinion_device_open(SERVICE_DEVICE, &config, &part->echo.device);
}

static int ready(struct part *part)
{
	const struct pinion_cache_config any = {.buffer_size = BUFFER, .node = PINION_NODE_ANY};
	struct echo *echo = &part->echo;
	int err = pinion_cache_open(pinion_device_pool(echo->device), &any, &echo->cache);

	return err ? err : pinion_device_ready(echo->device);
}

static int share(struct echo *echo, struct pinion_pool *pool, struct pinion_domain **domain)
{
	int err = *domain ? 0 : pretend(pool, domain);

	return err ? err : pinion_device_share(echo->device, *domain);
}

/* What a device process does between orders: its clients, and the service's news. -errno: it was
 * expelled. */
static int serve(struct part *part)
{
	struct echo *echo = &part->echo;
	struct pinion_event event;
	int got = 0;

	if (!echo->device)
		return 0;
	for (uint32_t i = 0; i < echo->nr; i++)
		while (echo_some(&echo->client[i]) > 0)
			;
	while ((got = pinion_device_next(echo->device, &event)) == 1) {
		if (event.kind == PINION_EVENT_JOINED) {
			echo_join(echo, &event);
			continue;
		}
		if (event.pool != pinion_device_pool(echo->device))
			(void)forget(&part->apart);
		echo_leave(echo, &event);
	}
	return got;
}

/* As soon as its client is there. */
static int share_apart(struct part *part)
{
	const uint64_t until = test_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	while (!part->echo.nr) {
		if (serve(part) < 0 || test_now_ns() > until)
			return -ESRCH;
		usleep(1000);
	}
	return share(&part->echo, part->echo.client[0].pool, &part->apart);
}

/* -EBADMSG: that buffer is not where the service said. */
static int see_frame(const struct pinion_pool *pool, const struct pinion_domain *domain)
{
	const volatile char *addr = pinion_buffer_addr(pool, somewhere);
	const uint64_t said = pinion_buffer_phys(domain, somewhere, 0).addr;

	(void)*addr; /* is in this process's page table then */
	return said == phys_by_kernel((const void *)(uintptr_t)addr) ? 0 : -EBADMSG;
}

/* Pins, asks, and lets go. */
static int ask_frames(const struct part *part)
{
	struct pinion_pool *pool = pinion_device_pool(part->echo.device);
	struct pinion_domain *domain;
	int err = pinion_device_domain_create(part->echo.device, pool, &domain);

	if (err)
		return err;
	err = see_frame(pool, domain);
	return forget(&domain) ? -EBUSY : err;
}

static int park(const struct part *part)
{
	int fd = open(CONTAINER, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = pinion_device_park(part->echo.device, fd);
	(void)close(fd);
	return err;
}

/* @more: what follows the name of the pool. */
static int ask(const char *what, const char *pool, const char *more)
{
	char text[64];
	int err;
	json_t *answer;

	(void)snprintf(text, sizeof(text), "%s%s", pool, more);
	answer = service_ask(what, text, &err);
	json_decref(answer);
	return err;
}

static bool says(const json_t *of, const char *name, const char *what)
{
	const char *said = json_string_value(json_object_get(of, name));

	return said && !strcmp(said, what);
}

/* The number of the client in that pool; -1: there is none. */
static int client_in(const json_t *pools, const char *name)
{
	json_t *pool, *member;
	size_t i, j;
	int found = -1;

	json_array_foreach(pools, i, pool)
		json_array_foreach(json_object_get(pool, "members"), j, member)
			if (says(pool, "name", name) && says(member, "role", "client") &&
			    says(member, "state", "live"))
				found = (int)json_integer_value(json_object_get(member, "number"));
	return found;
}

static int find_client(struct part *part)
{
	int err;
	json_t *stat = service_ask("stat", "", &err);

	if (err)
		return err;
	part->found = client_in(json_object_get(stat, "pools"), part->pool);
	json_decref(stat);
	return part->found < 0 ? -ESRCH : 0;
}

/* As pinion(1) ends whose pidfd it was given. */
static int end_process(int pidfd)
{
	struct pollfd dead = {.fd = pidfd, .events = POLLIN};

	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0))
		return -errno;
	return poll(&dead, 1, PATIENCE_MS) == 1 ? 0 : -EBUSY;
}

static int kick(const struct part *part)
{
	struct wire question = wire_of(WIRE_QUERY), answer;
	int files[2], err;
	struct link link;
	unsigned nr = 2;

	(void)strcpy(question.name, "kick");
	(void)snprintf(question.text, sizeof(question.text), "%s %d", part->pool, part->found);
	err = link_open(&link, NULL);
	if (err)
		return err;
	err = link_ask(&link, &question, &answer, files, &nr);
	link_close(&link);
	if (err)
		return err;
	err = nr == 2 ? end_process(files[1]) : -EBADMSG;
	mail_close_files(files, nr);
	return err;
}

/* Few buffers, or the stores that make them are most of what a complete sweep kills at. */
static int grow_a_little(const struct part *part)
{
	return ask("pool-grow", part->pool, strcmp(part->pool, CAST_NAMED) ? " 1M" : " 2M");
}

/* By one device, or by none. */
static int find_address(const struct part *part)
{
	char text[64], want[32];
	json_t *said, *list;
	int err;

	(void)snprintf(text, sizeof(text), "%s %u", part->pool, pinion_buffer_id(somewhere));
	said = service_ask("addr", text, &err);
	if (err)
		return err;
	(void)snprintf(want, sizeof(want), "%#jx",
		       (uintmax_t)(PRETEND_BASE + pinion_buffer_id(somewhere) * SIZE));
	list = json_object_get(said, "addresses");
	if (!json_array_size(list))
		err = -ENODATA;
	else if (json_array_size(list) > 1 || !says(json_array_get(list, 0), "address", want))
		err = -EBADMSG;
	json_decref(said);
	return err;
}

static int obey(struct part *part, enum order order)
{
	switch (order) {
	case ORDER_IN_APART: part->pool = CAST_APART; return 0;
	case ORDER_IN_NAMED: part->pool = CAST_NAMED; return 0;
	case ORDER_IN_LOOP: part->loop = 1; return 0;
	case ORDER_ATTACH_POOL: return attach_pool(part);
	case ORDER_ATTACH_OWN: return attach_to(part, "pool:guest");
	case ORDER_ATTACH_DEVICE: return attach_to(part, SERVICE_DEVICE);
	case ORDER_ATTACH_APART: return attach_apart(part);
	case ORDER_HOLD: return hold(part);
	case ORDER_HOLD_ALL: return hold_all(part);
	case ORDER_WORK: return work(part);
	case ORDER_REJOIN: return rejoin(part);
	case ORDER_LOSE: return lose_and_rejoin(part);
	case ORDER_LEFT: return await_flag(part, &part->left, true);
	case ORDER_SETTLE: return settle(part);
	case ORDER_CLOSE: return close_all(part);
	case ORDER_ANNOUNCE: return announce(part);
	case ORDER_READY: return ready(part);
	case ORDER_SHARE:
		return share(&part->echo, pinion_device_pool(part->echo.device), &part->domain);
	case ORDER_SHARE_APART: return share_apart(part);
	case ORDER_FRAMES: return ask_frames(part);
	case ORDER_PARK: return park(part);
	case ORDER_SEE: return see(part);
	case ORDER_GROW: return grow_a_little(part);
	case ORDER_RETIRE: return ask("pool-retire", part->pool, " 1");
	case ORDER_CREATE: return ask("pool-create", CAST_EXTRA, " 2M 4K");
	case ORDER_DESTROY: return ask("pool-destroy", CAST_EXTRA, "");
	case ORDER_DESTROY_SPARE: return ask("pool-destroy", CAST_SPARE, "");
	case ORDER_DESTROY_NAMED: return ask("pool-destroy", CAST_NAMED, "");
	case ORDER_FIND: return find_client(part);
	case ORDER_KICK: return kick(part);
	case ORDER_ADDR: return find_address(part);
	}
	return -ENOSYS;
}

static int play(int line)
{
	struct part part = {.line = line, .pool = SERVICE_POOL};

	for (;;) {
		struct pollfd want[] = {{line, POLLIN, 0}, {-1, POLLIN, 0}};
		bool device = part.echo.device != NULL;
		unsigned char order;
		int answer;

		if (device)
			want[1].fd = pinion_device_fd(part.echo.device);
		else if (part.client && !part.expelled)
			want[1].fd = pinion_client_fd(part.client);
		(void)poll(want, 2, device ? 1 : -1);
		listen_to(&part);
		if (serve(&part) < 0)
			return 3;
		if (!want[0].revents)
			continue;
		if (read(line, &order, 1) != 1)
			return 0;
		answer = obey(&part, order);
		if (write(line, &answer, sizeof(answer)) != sizeof(answer))
			return 0;
	}
}

void actor_start(struct actor *actor)
{
	int line[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line))
		tap_bail("socketpair: %s", strerror(errno));
	fflush(NULL);
	actor->pid = fork();
	if (actor->pid < 0)
		tap_bail("fork: %s", strerror(errno));
	if (actor->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(line[1], 3);
		close_range(4, ~0u, 0);
		_exit(play(3));
	}
	(void)close(line[1]);
	actor->line = line[0];
}

void actor_tell(const struct actor *actor, enum order order)
{
	const unsigned char byte = (unsigned char)order;

	(void)send(actor->line, &byte, 1, MSG_NOSIGNAL);
}

bool actor_has_answered(const struct actor *actor)
{
	return poll(&(struct pollfd){actor->line, POLLIN, 0}, 1, 0) == 1;
}

int actor_answer(const struct actor *actor)
{
	int answer;

	if (poll(&(struct pollfd){actor->line, POLLIN, 0}, 1, PATIENCE_MS + 1000) != 1)
		return -ETIMEDOUT;
	return read(actor->line, &answer, sizeof(answer)) == sizeof(answer) ? answer : -ECHILD;
}

int actor_do(const struct actor *actor, enum order order)
{
	actor_tell(actor, order);
	return actor_answer(actor);
}

bool actor_was_killed(const struct actor *actor)
{
	siginfo_t end = {0};

	return !waitid(P_PID, (id_t)actor->pid, &end, WEXITED | WNOHANG | WNOWAIT) && end.si_pid &&
	       end.si_code == CLD_KILLED && end.si_status == SIGKILL;
}

void actor_kill(struct actor *actor)
{
	if (!actor->pid)
		return;
	(void)kill(actor->pid, SIGKILL);
	(void)waitpid(actor->pid, NULL, 0);
	(void)close(actor->line);
	*actor = (struct actor){0};
}
