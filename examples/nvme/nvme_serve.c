/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme-serve - the device process: owns one NVMe drive, and does what producers (nvme-copy) ask for
 * through their channels, with buffers of a pool of piniond's or of its own. serve.h has the
 * picture.
 *
 * Build: meson setup build && meson compile -C build; the program is build/examples/nvme/.
 */
#include "serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <pinion/error.h>

#include "nvme_fail.h"

/* For giving back what the gone had sent. Any zone will do: buffers find their way home. */
static int open_cache(struct serve *serve)
{
	struct pinion_cache_config config = {.node = PINION_NODE_ANY};
	struct pinion_zone_stat stat = {0};
	int err = pinion_pool_stat(serve->pool, 0, &stat);

	config.buffer_size = stat.buffer_size;
	if (!err)
		err = pinion_cache_open(serve->pool, &config, &serve->cache);
	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

/* SIGTERM and SIGINT come through a descriptor, so that the loop's poll sees them. */
static int open_signals(struct serve *serve)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	serve->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return serve->signal_fd < 0 ? nvme_fail(-errno, "signalfd: %s", strerror(errno)) : 0;
}

static void tell_ready(const struct serve *serve)
{
	const struct nvme_ctrl *ctrl = &serve->ctrl;

	nvme_say("ready: %s (%s), %ju blocks of %u bytes, node %d; %u buffers of %zu bytes on "
		  "node %d; %s", serve->transport.bdf, ctrl->model, (uintmax_t)ctrl->blocks,
		  ctrl->block_size, serve->transport.node, serve->at_start.total,
		  serve->at_start.buffer_size, serve->at_start.node,
		  serve->config->socket ? serve->config->socket : "by the service");
	if (serve->config->ready_fd < 0)
		return;
	if (write(serve->config->ready_fd, "ready\n", 6) != 6)
		nvme_say("--ready-fd %d: %s", serve->config->ready_fd, strerror(errno));
	close(serve->config->ready_fd);
}

/* With everything set up. The controller is closed when this returns. */
static int serve_until_stopped(struct serve *serve)
{
	int err;

	(void)pinion_pool_stat(serve->pool, 0, &serve->at_start);
	tell_ready(serve);
	err = serve_loop(serve);
	nvme_ctrl_close(&serve->ctrl);
	serve_abort(serve);
	serve_report(serve);
	return err;
}

/* With drive and pool there. */
static int run_drive(struct serve *serve)
{
	int err = nvme_transport_domain(&serve->transport, serve->pool, &serve->domain);

	if (err)
		return err;
	err = serve->config->door->share(serve);
	if (!err)
		err = open_cache(serve);
	if (err)
		goto destroy_domain;
	err = nvme_ctrl_open(&serve->transport, serve->config->nr_queues, serve->config->page_size,
			     &serve->ctrl);
	if (err)
		goto close_cache;
	err = serve->config->door->open(serve);
	if (err)
		nvme_ctrl_close(&serve->ctrl);
	else
		err = serve_until_stopped(serve);
close_cache:
	pinion_cache_close(serve->cache);
destroy_domain:
	pinion_domain_destroy(serve->domain);
	return err;
}

/* From the drive up; the door stays the caller's. */
static int run_inside(struct serve *serve)
{
	int err = nvme_transport_open(&serve->transport);

	if (err)
		return err;
	if (serve->config->msix)
		err = nvme_transport_irq_enable(&serve->transport);
	if (!err)
		err = serve->config->door->furnish(serve);
	if (!err)
		err = run_drive(serve);
	nvme_transport_close(&serve->transport);
	return err;
}

static void forget(struct serve_members *members)
{
	struct serve_member *member, *next;

	TAILQ_FOREACH_SAFE(member, members, link, next)
		free(member);
}

int main(int argc, char **argv)
{
	struct serve_config config;
	struct serve serve = {.config = &config};
	int err;

	serve_parse(argc, argv, &config);
	TAILQ_INIT(&serve.members);
	TAILQ_INIT(&serve.gone);
	err = open_signals(&serve);
	if (!err)
		err = nvme_transport_name(config.bdf, &serve.transport);
	serve.transport.by_iommufd = config.by_iommufd;
	if (!err)
		err = config.door->enter(&serve);
	if (err)
		return 1;
	err = run_inside(&serve);
	config.door->leave(&serve);
	forget(&serve.members);
	forget(&serve.gone);
	return err || serve.disowned ? 1 : 0;
}
