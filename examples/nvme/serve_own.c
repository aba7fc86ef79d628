/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <pinion/error.h>

#include "nvme_fail.h"

static int nothing_to_do(struct serve *serve)
{
	(void)serve;
	return 0;
}

/* One zone, on the drive's node unless told otherwise. */
static int create_pool(struct serve *serve)
{
	const struct serve_config *config = serve->config;
	uint64_t len = config->nr_buffers * config->buffer_size;
	const struct pinion_pool_config pool = {
		.name = "nvme-buffers",
		.nr_segments = 1,
		.segment[0] = {
			.len = (len + config->page_size - 1) & ~(config->page_size - 1),
			.buffer_size = config->buffer_size,
			.page_size = config->page_size,
			.node = config->node_given ? config->node : serve->transport.node,
		},
	};
	int err = pinion_pool_create(&pool, &serve->pool);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

static int open_rendezvous(struct serve *serve)
{
	const struct pinion_rendezvous_config config = {.mode = serve->config->mode};
	int err = pinion_rendezvous_open(serve->pool, serve->config->socket, &config,
					 &serve->rendezvous);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

static int fd(const struct serve *serve)
{
	return pinion_rendezvous_fd(serve->rendezvous);
}

static int next(struct serve *serve, struct pinion_event *event)
{
	return pinion_rendezvous_next(serve->rendezvous, event);
}

static int bury(struct serve *serve, uint32_t member)
{
	struct pinion_recovery report = {0};
	int err = pinion_rendezvous_bury(serve->rendezvous, member, serve->cache, &report);

	return err ? err : (int)report.returned;
}

static void leave(struct serve *serve)
{
	if (serve->rendezvous)
		pinion_rendezvous_close(serve->rendezvous);
	if (serve->pool)
		pinion_pool_destroy(serve->pool);
}

const struct serve_door serve_own = {
	.enter = nothing_to_do,
	.furnish = create_pool,
	.share = nothing_to_do,
	.open = open_rendezvous,
	.fd = fd,
	.next = next,
	.bury = bury,
	.leave = leave,
};
