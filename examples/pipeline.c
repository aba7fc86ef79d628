/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pipeline of three processes: one produces, one transforms in place, one is the device. Two
 * channels, no copies; each step is a request, and the answers come back the same way.
 *
 *     producer  --- text --->  transform (keeps the pool)  --- TEXT --->  device
 *               <-- done ----                              <-- done ----
 *
 *     cc pipeline.c $(pkg-config --cflags --libs pinion) -o pipeline
 *     sudo hugepages reserve 0:2M && ./pipeline        or: ./pipeline --page-size 4k
 *
 * The device prints physical addresses where it may see them (root, pages of 2 MiB), and elsewhere
 * where in its segment a buffer lies.
 */
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "example.h"

#define BUFFERS 6u /* that the producer sends */
#define DEPTH 4u   /* of which so many are under way at once */
#define SLOTS 16u  /* which is enough of a ring for them */
#define SECOND_NS UINT64_C(1000000000)

static const struct pinion_cache_config want = {.buffer_size = 4096, .node = PINION_NODE_ANY};

static struct pinion_session *join(const char *path)
{
	const struct pinion_session_config config = {.slots = SLOTS};
	struct pinion_session *session;

	must(pinion_session_open_with(path, &config, &session));
	return session;
}

/* What came; waits for it, a second at most. 0: the peer has left. */
static int next(struct pinion_channel *channel, struct pinion_requester *requester,
		struct pinion_desc *desc, void **context)
{
	int got;

	while ((got = pinion_request_recv(requester, desc, context, 1)) == -EAGAIN)
		if (pinion_channel_wait(channel, SECOND_NS))
			errx(1, "nothing came");
	if (got == -EPIPE)
		return 0;
	expect(got == 1, "a peer that keeps the rules");
	return got;
}

/* As many requests as may be outstanding, then one for each answer. */
static int produce(const char *path)
{
	static const char *const text[] = {"no copy", "no system call", "no translation",
					   "no lock", "no root",        "no loss"};
	struct pinion_session *session = join(path);
	struct pinion_pool *pool = pinion_session_pool(session);
	struct pinion_channel *channel = pinion_session_channel(session);
	struct pinion_requester *requester;
	struct pinion_cache *cache;
	struct pinion_desc desc;
	uint32_t asked = 0, answered = 0;
	void *context;

	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_requester_open(channel, DEPTH, 0, &requester));
	while (answered < BUFFERS) {
		if (asked < BUFFERS && pinion_requester_outstanding(requester) < DEPTH) {
			must(pinion_buffer_alloc(cache, &desc.buffer));
			strcpy(pinion_buffer_addr(pool, desc.buffer), text[asked]);
			desc.len = (uint32_t)strlen(text[asked]) + 1;
			context = (void *)(uintptr_t)text[asked++];
			must(pinion_request_send(requester, &desc, &context, 1));
			continue;
		}
		expect(next(channel, requester, &desc, &context), "an answer");
		/* The context says which it was; the text has been through all three. */
		expect(toupper(*(const unsigned char *)context) ==
			       *(char *)pinion_buffer_addr(pool, desc.buffer),
		       "its own text");
		must(pinion_buffer_free(cache, desc.buffer));
		answered++;
	}
	pinion_requester_close(requester);
	pinion_cache_close(cache);
	return pinion_session_close(session) != 0;
}

static void print(struct pinion_pool *pool, struct pinion_domain *domain,
		  const struct pinion_desc *desc)
{
	uint32_t id = pinion_buffer_id(desc->buffer);

	printf("device: \"%s\", buffer %u, ", (char *)pinion_buffer_addr(pool, desc->buffer), id);
	if (domain)
		printf("physical address %#jx\n",
		       (uintmax_t)pinion_buffer_phys(domain, desc->buffer, 0).addr);
	else
		printf("at %#x of its segment\n",
		       id * (unsigned)pinion_buffer_size(pool, desc->buffer));
}

static int drive(const char *path)
{
	struct pinion_session *session = join(path);
	struct pinion_pool *pool = pinion_session_pool(session);
	struct pinion_channel *channel = pinion_session_channel(session);
	struct pinion_domain *domain = NULL;
	struct pinion_requester *requester;
	struct pinion_desc desc;
	uint32_t nr = 0;
	void *context;

	if (pinion_domain_create_phys(pool, &domain))
		printf("device: no physical addresses: %s\n", pinion_error_text());
	must(pinion_requester_open(channel, 0, DEPTH, &requester));
	while (next(channel, requester, &desc, &context)) {
		print(pool, domain, &desc);
		must(pinion_request_answer(requester, &desc, 1)); /* there is always room */
		nr++;
	}
	expect(nr == BUFFERS, "all of them");
	pinion_requester_close(requester);
	if (domain)
		pinion_domain_destroy(domain);
	return pinion_session_close(session) != 0;
}

/* The middle one keeps the pool, and has a channel to either side. */
struct stage {
	struct pinion_rendezvous *rendezvous;
	struct pinion_channel *channel;
	struct pinion_requester *requester;
	uint32_t member;
};

static struct pinion_event await(struct pinion_rendezvous *rendezvous)
{
	struct pollfd readable = {.fd = pinion_rendezvous_fd(rendezvous), .events = POLLIN};
	struct pinion_event event;
	int got;

	do {
		if (poll(&readable, 1, 10000) <= 0)
			errx(1, "nobody came, or left");
		got = pinion_rendezvous_next(rendezvous, &event);
		must(got);
	} while (!got);
	return event;
}

static struct stage start(struct pinion_rendezvous *rendezvous, const char *path,
			  int (*run)(const char *), uint32_t depth, uint32_t peer_depth)
{
	struct stage stage = {.rendezvous = rendezvous};
	struct pinion_event event;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		exit(run(path));
	event = await(rendezvous);
	expect(event.kind == PINION_EVENT_JOINED && event.pid == pid, "the process just begun");
	stage.channel = event.channel;
	stage.member = event.member;
	must(pinion_requester_open(stage.channel, depth, peer_depth, &stage.requester));
	return stage;
}

static void shout(char *text, uint32_t len)
{
	for (uint32_t i = 0; i < len && text[i]; i++)
		text[i] = (char)toupper((unsigned char)text[i]);
}

/* One thing from there; 0: nothing for now. */
static int came(const struct stage *stage, struct pinion_desc *desc, void **context)
{
	int got = pinion_request_recv(stage->requester, desc, context, 1);

	if (got == -EAGAIN || got == -EPIPE)
		return 0;
	expect(got == 1, "a peer that keeps the rules");
	return 1;
}

/* A request from the producer becomes one to the device; its tag is the context, which comes back
 * with the device's answer and makes of that the answer to the producer. Until the producer has
 * left. Depths are the same on either side, so that each request can go on at once. */
static void transform(struct pinion_pool *pool, const struct stage *producer,
		      const struct stage *device)
{
	struct pinion_event event = {.kind = PINION_EVENT_JOINED};
	struct pinion_desc desc;
	void *context;

	while (event.kind != PINION_EVENT_LEFT) {
		int idle = 1;

		for (; came(producer, &desc, &context); idle = 0) {
			shout(pinion_buffer_addr(pool, desc.buffer), desc.len);
			context = (void *)(uintptr_t)desc.tag;
			must(pinion_request_send(device->requester, &desc, &context, 1));
		}
		for (; came(device, &desc, &context); idle = 0) {
			desc.tag = (uint32_t)(uintptr_t)context;
			must(pinion_request_answer(producer->requester, &desc, 1));
		}
		if (idle)
			(void)pinion_channel_wait(device->channel, SECOND_NS / 1000);
		if (idle)
			must(pinion_rendezvous_next(producer->rendezvous, &event));
	}
	expect(event.member == producer->member, "the producer is the first to leave");
}

static int well(void)
{
	int status, all = 1;

	while (wait(&status) > 0)
		all = all && !status;
	return all;
}

int main(int argc, char **argv)
{
	struct pinion_pool_config config = {
		.nr_segments = 1,
		.segment = {{.len = 2 << 20,
			     .buffer_size = 4096,
			     .page_size = page_size(argc, argv),
			     .node = PINION_NODE_ANY}},
	};
	struct pinion_rendezvous *rendezvous;
	struct stage producer, device;
	struct pinion_cache *cache;
	struct pinion_pool *pool;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/pipeline-%d.sock", getpid());
	must(pinion_pool_create(&config, &pool));
	must(pinion_cache_open(pool, &want, &cache));
	must(pinion_rendezvous_open(pool, path, NULL, &rendezvous));
	device = start(rendezvous, path, drive, DEPTH, 0);
	producer = start(rendezvous, path, produce, 0, DEPTH);
	transform(pool, &producer, &device);
	pinion_requester_close(producer.requester);
	must(pinion_rendezvous_bury(rendezvous, producer.member, cache, NULL));
	pinion_requester_close(device.requester);
	pinion_rendezvous_close(rendezvous); /* which tells the device that nothing will come */
	expect(well(), "the others say that all went well");
	pinion_cache_close(cache);
	pinion_pool_destroy(pool);
	return 0;
}
