/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_admin.h"

#include <errno.h>
#include <sched.h>

#include <pinion/mmio.h>

#include "nvme_fail.h"
#include "nvme_status.h"

/* Set-up commands take milliseconds; a drive that needs longer than this will not answer. */
#define ADMIN_TIMEOUT_NS UINT64_C(10000000000)

static int wait_result(struct nvme_queue *admin, const char *name, struct nvme_result *result)
{
	uint64_t start = pinion_mmio_clock_ns();
	int got;

	while (!(got = nvme_queue_poll(admin, result, 1))) {
		if (pinion_mmio_clock_ns() - start > ADMIN_TIMEOUT_NS)
			return nvme_fail(-ETIMEDOUT, "%s: the drive did not answer in %u s", name,
					 (unsigned)(ADMIN_TIMEOUT_NS / 1000000000));
		sched_yield();
	}
	return got < 0 ? got : 0;
}

/* pre: no other admin command is in flight. @value gets the command's own result, if wanted. */
static int execute(struct nvme_queue *admin, const char *name, struct nvme_command *command,
		   uint32_t *value)
{
	char text[NVME_STATUS_TEXT];
	struct nvme_result result;
	int err;

	nvme_queue_submit(admin, nvme_queue_slot(admin), command, NULL);
	nvme_queue_ring(admin);
	err = wait_result(admin, name, &result);
	if (err)
		return err;
	if (result.status)
		return nvme_fail(-EIO, "%s: the drive refused: %s", name,
				 nvme_status_format(result.status, text, sizeof(text)));
	if (value)
		*value = result.result;
	return 0;
}

int nvme_admin_identify(struct nvme_queue *admin, uint8_t cns, uint32_t nsid,
			const struct nvme_page *page)
{
	struct nvme_command command = {
		.opcode = NVME_ADMIN_IDENTIFY,
		.nsid = nsid,
		.prp[0] = page->bus,
		.cdw10 = cns,
	};

	return execute(admin, "Identify", &command, NULL);
}

int nvme_admin_set_queues(struct nvme_queue *admin, uint32_t wanted, uint32_t *given)
{
	struct nvme_command command = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = NVME_FEATURE_QUEUES,
		.cdw11 = (wanted - 1) << 16 | (wanted - 1), /* completion, submission; from 0 */
	};
	uint32_t value = 0;
	int err = execute(admin, "Set Features (Number of Queues)", &command, &value);
	uint32_t sq = (value & 0xffff) + 1, cq = (value >> 16) + 1;

	*given = sq < cq ? sq : cq;
	return err;
}

int nvme_admin_create_cq(struct nvme_queue *admin, const struct nvme_queue *queue,
			 bool interrupts)
{
	struct nvme_command command = {
		.opcode = NVME_ADMIN_CREATE_CQ,
		.prp[0] = queue->cq.bus,
		.cdw10 = (queue->depth - 1) << 16 | queue->id,
		.cdw11 = NVME_QUEUE_CONTIGUOUS | (interrupts ? NVME_QUEUE_INTERRUPTS : 0),
	};

	return execute(admin, "Create I/O Completion Queue", &command, NULL);
}

int nvme_admin_create_sq(struct nvme_queue *admin, const struct nvme_queue *queue)
{
	struct nvme_command command = {
		.opcode = NVME_ADMIN_CREATE_SQ,
		.prp[0] = queue->sq.bus,
		.cdw10 = (queue->depth - 1) << 16 | queue->id,
		.cdw11 = (uint32_t)queue->id << 16 | NVME_QUEUE_CONTIGUOUS, /* its CQ */
	};

	return execute(admin, "Create I/O Submission Queue", &command, NULL);
}
