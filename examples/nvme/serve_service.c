/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include <pinion/error.h>

#include "nvme_fail.h"

/* While the device of the one before is not quiet: between two attempts, and how many. */
#define ANNOUNCE_AGAIN_MS 20
#define ANNOUNCE_ATTEMPTS 500

/* True: it was told to stop meanwhile. */
static bool pause_is_cut_short(const struct serve *serve)
{
	struct pollfd signals = {.fd = serve->signal_fd, .events = POLLIN};

	return poll(&signals, 1, ANNOUNCE_AGAIN_MS) > 0;
}

/*
 * Before the drive is opened: a descriptor of ours would keep the kernel from ending the bus
 * mastering of the one before, which is just what the service waits for.
 */
static int announce(struct serve *serve)
{
	const struct pinion_device_config config = {
		.socket = serve->config->service,
		.pool = serve->config->pool,
		.bdf = serve->transport.bdf,
	};
	char name[PINION_NAME_MAX];
	int err = -EBUSY;

	(void)snprintf(name, sizeof(name), "nvme:%s", serve->transport.bdf);
	for (int i = 0; err == -EBUSY && i < ANNOUNCE_ATTEMPTS; ++i) {
		if (i && pause_is_cut_short(serve))
			break;
		err = pinion_device_open(name, &config, &serve->device);
	}
	if (err)
		return nvme_fail(err, "%s", pinion_error_text());
	serve->pool = pinion_device_pool(serve->device);
	return 0;
}

/* The pool is there. Mappings in the container are to outlive this process, until it is quiet. */
static int park(struct serve *serve)
{
	int err = 0;

	if (serve->transport.kind == NVME_TRANSPORT_VFIO)
		err = pinion_device_park(serve->device, serve->transport.vfio.container);
	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

/* For those whom its rules show addresses. */
static int share(struct serve *serve)
{
	int err = pinion_device_share(serve->device, serve->domain);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

static int ready(struct serve *serve)
{
	int err = pinion_device_ready(serve->device);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

static int fd(const struct serve *serve)
{
	return pinion_device_fd(serve->device);
}

static int next(struct serve *serve, struct pinion_event *event)
{
	return pinion_device_next(serve->device, event);
}

/* The rest comes back to the service, which counts it. */
static int bury(struct serve *serve, uint32_t member)
{
	return pinion_device_bury(serve->device, member, serve->cache);
}

static void leave(struct serve *serve)
{
	pinion_device_close(serve->device);
}

const struct serve_door serve_service = {
	.enter = announce,
	.furnish = park,
	.share = share,
	.open = ready,
	.fd = fd,
	.next = next,
	.bury = bury,
	.leave = leave,
};
