/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest whole program: one process keeps a pool and drives a device, another fills a
 * buffer and hands it over, and the first has its bus address at once.
 *
 *     cc hello.c $(pkg-config --cflags --libs pinion) -o hello
 *     sudo hugepages reserve 0:2M && sudo ./hello
 *
 * Root is needed for the physical address alone; the producer needs no privilege.
 */
#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pinion/pinion.h>

static void must(int err)
{
	if (err < 0)
		errx(1, "%s: %s", pinion_error_text(), strerror(-err));
}

/* cut here for the README */
static void produce(const char *path)
{
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_desc desc = {.len = 6};
	struct pinion_session *session;
	struct pinion_cache *cache;

	must(pinion_session_open(path, &session));
	must(pinion_cache_open(pinion_session_pool(session), &want, &cache));
	must(pinion_buffer_alloc(cache, &desc.buffer));
	memcpy(pinion_buffer_addr(pinion_session_pool(session), desc.buffer), "hello", desc.len);
	must(pinion_channel_send(pinion_session_channel(session), &desc, 1));
	pinion_cache_close(cache);
	pinion_session_close(session);
}

static void drive(struct pinion_pool *pool, struct pinion_domain *domain,
		  struct pinion_channel *channel, struct pinion_cache *cache)
{
	struct pinion_desc desc;

	must(pinion_channel_wait(channel, 1000000000));
	must(pinion_channel_recv(channel, &desc, 1));
	printf("buffer %u says \"%s\"; a device finds it at %#jx\n", pinion_buffer_id(desc.buffer),
	       (char *)pinion_buffer_addr(pool, desc.buffer),
	       (uintmax_t)pinion_buffer_phys(domain, desc.buffer, 0).addr);
	must(pinion_buffer_free(cache, desc.buffer));
}
/* cut here for the README */

/* The next thing that happens at the rendezvous; a second at most. */
static struct pinion_event next(struct pinion_rendezvous *rendezvous)
{
	struct pollfd want = {.fd = pinion_rendezvous_fd(rendezvous), .events = POLLIN};
	struct pinion_event event;
	int got;

	do {
		if (poll(&want, 1, 1000) <= 0)
			errx(1, "nobody came");
		got = pinion_rendezvous_next(rendezvous, &event);
		must(got);
	} while (!got);
	return event;
}

int main(void)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20, .buffer_size = 4096, .page_size = 2 << 20,
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};
	struct pinion_rendezvous *rendezvous;
	struct pinion_domain *domain;
	struct pinion_event event;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/hello-%d.sock", getpid());
	must(pinion_pool_create(&config, &pool));
	must(pinion_domain_create_phys(pool, &domain));
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_rendezvous_open(pool, path, NULL, &rendezvous));
	if (!fork()) {
		produce(path);
		_exit(0);
	}
	drive(pool, domain, next(rendezvous).channel, cache);
	event = next(rendezvous); /* it left */
	must(pinion_rendezvous_bury(rendezvous, event.member, cache, NULL));
	wait(NULL);

	pinion_rendezvous_close(rendezvous);
	pinion_cache_close(cache);
	pinion_domain_destroy(domain);
	pinion_pool_destroy(pool);
	return 0;
}
