/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pinion/error.h>
#include <pinion/mmio.h>

#include "nvme_fail.h"

/* Rounds without anything to do before the loop sleeps at all: some microseconds. */
#define IDLE_SPINS 200
/* Rounds with something to do after which the outside world is looked at nevertheless. */
#define BUSY_ROUNDS 64
/* A drive that answers nothing for this long has failed. */
#define DRIVE_PATIENCE_NS UINT64_C(30000000000)
/* Events taken in one round. */
#define EVENTS 32
/* Completions taken from one queue in one round. */
#define COMPLETIONS 32

static int take_completions(struct serve *serve)
{
	struct nvme_result result[COMPLETIONS];
	int total = 0;

	for (uint32_t q = 0; q < serve->ctrl.nr_queues; ++q) {
		int got = nvme_queue_poll(&serve->ctrl.queue[q], result, COMPLETIONS);

		if (got < 0)
			return got;
		for (int i = 0; i < got; ++i)
			serve_complete(serve, result[i].context, result[i].status);
		total += got;
	}
	return total;
}

/* Everyone's turn, a bounded one; who was first is last in the next round. */
static bool serve_members(struct serve *serve)
{
	struct serve_member *member = TAILQ_FIRST(&serve->members), *next;
	bool busy = false;

	if (!member)
		return false;
	TAILQ_REMOVE(&serve->members, member, link);
	TAILQ_INSERT_TAIL(&serve->members, member, link);
	TAILQ_FOREACH_SAFE(member, &serve->members, link, next)
		busy |= serve_member_step(serve, member);
	for (uint32_t q = 0; q < serve->ctrl.nr_queues; ++q)
		nvme_queue_ring(&serve->ctrl.queue[q]);
	return busy;
}

/*
 * How long to sleep. Requests come through memory, and nothing but a look at it tells of them: a
 * millisecond is the bound of their delay when all was idle. Completions end the sleep themselves
 * with MSI-X, and are waited for more closely without.
 */
static uint64_t nap_ns(const struct serve *serve)
{
	if (!serve->nr_members)
		return 1000000000;
	return serve->in_flight && serve->transport.irq_fd < 0 ? 50000 : 1000000;
}

/* The pool that we work in is nobody's any more: what is in flight comes back, and that is all. */
static int stop_disowned(struct serve *serve)
{
	nvme_say("%s", pinion_error_text());
	serve->disowned = true;
	serve->stopping = true;
	return 0;
}

static int take_events(struct serve *serve)
{
	struct pinion_event event;
	int got, err = 0;

	for (int i = 0; !err && i < EVENTS; ++i) {
		got = serve->config->door->next(serve, &event);
		if (got == -ECONNRESET)
			return stop_disowned(serve);
		if (got < 0)
			return nvme_fail(got, "who comes and goes: %s", strerror(-got));
		if (!got)
			break;
		if (event.kind == PINION_EVENT_JOINED)
			err = serve_join(serve, &event);
		else
			serve_leave(serve, &event);
	}
	return err;
}

static int look_outside(struct serve *serve, uint64_t timeout_ns)
{
	const struct timespec timeout = {(time_t)(timeout_ns / 1000000000),
					 (long)(timeout_ns % 1000000000)};
	struct pollfd fds[3] = {
		{.fd = serve->config->door->fd(serve), .events = POLLIN},
		{.fd = serve->signal_fd, .events = POLLIN},
		{.fd = serve->transport.irq_fd, .events = POLLIN}, /* -1 is passed over */
	};
	uint64_t nr;

	if (ppoll(fds, 3, &timeout, NULL) < 0 && errno != EINTR)
		return nvme_fail(-errno, "poll: %s", strerror(errno));
	if (fds[1].revents)
		serve->stopping = true;
	/* Read first, then look at the queues: an interrupt after this wakes the next poll. */
	if (fds[2].revents && read(serve->transport.irq_fd, &nr, sizeof(nr)) == sizeof(nr))
		serve->interrupts += nr;
	return take_events(serve);
}

/* With commands in flight and nothing coming back: is the drive still there? */
static int check_drive(const struct serve *serve)
{
	const char *bdf = serve->transport.bdf;

	if (!serve->in_flight)
		return 0;
	if (!nvme_ctrl_alive(&serve->ctrl))
		return nvme_fail(-ENODEV, "%s: registers read all ones: the drive is gone", bdf);
	if (nvme_ctrl_failed(&serve->ctrl))
		return nvme_fail(-EIO, "%s: fatal status (CSTS.CFS): dmesg tells of a DMA that the "
				 "IOMMU refused", bdf);
	if (pinion_mmio_clock_ns() - serve->last_progress_ns > DRIVE_PATIENCE_NS)
		return nvme_fail(-ETIMEDOUT, "%s: %u commands unanswered for %u s", bdf,
				 serve->in_flight, (unsigned)(DRIVE_PATIENCE_NS / 1000000000));
	return 0;
}

static int one_round(struct serve *serve, uint32_t round)
{
	int got = take_completions(serve), err;
	bool busy, asleep;

	if (got < 0)
		return got;
	if (got || !serve->in_flight)
		serve->last_progress_ns = pinion_mmio_clock_ns();
	busy = serve_members(serve) || got;
	serve->idle_rounds = busy ? 0 : serve->idle_rounds + 1;
	asleep = serve->idle_rounds > IDLE_SPINS || !serve->nr_members;
	if (!asleep && round % BUSY_ROUNDS)
		return 0;
	err = look_outside(serve, asleep ? nap_ns(serve) : 0);
	return err ? err : check_drive(serve);
}

static int wait_in_flight(struct serve *serve)
{
	uint64_t deadline = pinion_mmio_clock_ns() + DRIVE_PATIENCE_NS;

	while (serve->in_flight) {
		int got = take_completions(serve);

		if (got < 0)
			return got;
		if (pinion_mmio_clock_ns() > deadline)
			return nvme_fail(-ETIMEDOUT, "%s: %u commands did not come back",
					 serve->transport.bdf, serve->in_flight);
	}
	return 0;
}

/* Orderly stop: what is in flight comes back, nothing new is taken up, the dead are buried. */
static int finish(struct serve *serve)
{
	struct serve_member *member, *next;
	int err = wait_in_flight(serve);

	if (!err)
		err = take_events(serve);
	if (err)
		return err;
	TAILQ_FOREACH_SAFE(member, &serve->members, link, next)
		while (member->state == SERVE_GONE)
			serve_member_step(serve, member);
	return 0;
}

int serve_loop(struct serve *serve)
{
	for (uint32_t round = 1; !serve->stopping; ++round) {
		int err = one_round(serve, round);

		if (err)
			return err;
		if (serve->config->exit_when_idle && serve->nr_joined && !serve->nr_members)
			break;
	}
	return finish(serve);
}
