/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process that uses a piniond which somebody else started, such as systemd.
 *
 *     service_part device         sends back what comes, until it is killed
 *     service_part addresses [N]  serves another device, far:N, of which it shares addresses that
 *                                 are made up (pretend.h), N TiB up, until it is killed
 *     service_part holder SIZE NR holds so many buffers of that many bytes, until it is killed
 *     service_part client FILE    as nobody, sends buffers to that device and gets them back, until
 *                                 SIGTERM; then it leaves, and what it held all the time with it
 *
 * Both wait for the other, and for the service, up to a minute. FILE tells, over and over, how many
 * buffers came back, and how often the service did: "1200 3".
 *
 * Exit status: 0 when all went well; else where it went wrong, see the code.
 */
#define PATIENCE_NS UINT64_C(60000000000) /* for emulated machines on busy ones */
#include "pretend.h"
#include "service_support.h"

#define TRIES 600 /* a tenth of a second each */
#define KEPT 3

struct part {
	struct pinion_client *client;
	struct pinion_cache *cache;
	int file; /* where progress is told */
	unsigned rounds, returns;
};

static int device(char *name)
{
	int tries = TRIES, err;

	while ((err = echo_device(name)) == 1 && tries-- > 0)
		usleep(100000);
	return err;
}

static int addresses(const char *number)
{
	const struct pinion_device_config config = {.pool = SERVICE_POOL, .pools = 1};
	struct pinion_device *device;
	struct pinion_domain *domain;
	char name[16];

	(void)snprintf(name, sizeof(name), "far:%s", number);
	pretend_off = strtoull(number, NULL, 10) << 40;
	if (pinion_device_open(name, &config, &device) ||
	    pretend(pinion_device_pool(device), &domain) ||
	    pinion_device_share(device, domain) || pinion_device_ready(device)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 1;
	}
	for (;;)
		pause();
}

static int holder(const char *size, int nr)
{
	const struct pinion_cache_config config = {
		.buffer_size = strtoul(size, NULL, 10), .node = PINION_NODE_ANY};
	struct pinion_client *client;
	struct pinion_cache *cache;
	struct pinion_buffer held;

	if (pinion_client_open("pool:" SERVICE_POOL, NULL, &client) ||
	    pinion_cache_open(pinion_client_pool(client), &config, &cache)) {
		fprintf(stderr, "# %s\n", pinion_error_text());
		return 1;
	}
	while (nr-- > 0)
		if (pinion_buffer_alloc(cache, &held))
			return 2;
	for (;;)
		pause();
}

/* That this is no client any more, or has no device, is an end. */
static int look_at_news(struct part *part)
{
	struct pinion_client_event event;
	int got;

	while ((got = pinion_client_next(part->client, &event)) == 1) {
		if (event.kind == PINION_CLIENT_EXPELLED)
			return 20;
		if (event.kind == PINION_CLIENT_DEVICE_LEFT)
			return 21;
		part->returns += event.kind == PINION_CLIENT_SERVICE_BACK;
	}
	return got ? 22 : 0;
}

static int tell_progress(const struct part *part)
{
	char text[32];
	const int len = snprintf(text, sizeof(text), "%u %u\n", part->rounds, part->returns);

	return pwrite(part->file, text, (size_t)len, 0) == len ? 0 : 23;
}

static bool told_to_end(void)
{
	sigset_t set;

	return !sigpending(&set) && sigismember(&set, SIGTERM);
}

/* Pauses after each round: processors are few, and who kills the service needs one. */
static int work(struct part *part)
{
	int err = bounce(part->client, part->cache, 0, KEPT);

	while (!err && !told_to_end()) {
		err = bounce(part->client, part->cache, 20, 0);
		part->rounds += 20;
		if (!err)
			err = look_at_news(part);
		if (!err)
			err = tell_progress(part);
		usleep(1000);
	}
	return err;
}

static int client(const char *file)
{
	struct part part = {.file = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
	int tries = TRIES, err;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (part.file < 0 || sigprocmask(SIG_BLOCK, &set, NULL) || become_nobody())
		return 3;
	while ((err = attach(&part.client, &part.cache)) == 1 && tries-- > 0)
		usleep(100000);
	if (!err)
		err = work(&part);
	if (!err && pinion_cache_close(part.cache))
		err = 4;
	return err ? err : pinion_client_close(part.client) ? 5 : 0;
}

int main(int argc, char **argv)
{
	static char name[] = SERVICE_DEVICE;

	if (argc == 2 && !strcmp(argv[1], "device"))
		return device(name);
	if ((argc == 2 || argc == 3) && !strcmp(argv[1], "addresses"))
		return addresses(argc == 3 ? argv[2] : "0");
	if (argc == 4 && !strcmp(argv[1], "holder"))
		return holder(argv[2], atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "client"))
		return client(argv[2]);
	fprintf(stderr, "usage: service_part device | addresses [N] | holder SIZE NR | client FILE"
		"\n");
	return 2;
}
