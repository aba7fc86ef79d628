/* SPDX-License-Identifier: BSD-3-Clause */
#include "copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nvme_fail.h"

#define PROGRESS_NS UINT64_C(100000000) /* ten lines a second */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void show_progress(struct copy *copy)
{
	uint64_t now, total = copy->end - copy->begin;

	if (!copy->config->progress)
		return;
	now = now_ns();
	if (copy->done < total && now - copy->progress_ns < PROGRESS_NS)
		return;
	copy->progress_ns = now;
	printf("progress %ju %ju\n", (uintmax_t)copy->done, (uintmax_t)total);
	fflush(stdout);
}

static struct copy_op *idle_op(struct copy *copy)
{
	for (uint32_t i = 0; i < copy->config->depth; ++i)
		if (!copy->op[i].busy)
			return &copy->op[i];
	return NULL;
}

/* The file's bytes go into the buffer itself; after the send nobody touches them but the drive. */
static enum copy_status send_chunk(struct copy *copy, struct copy_op *op,
				   struct pinion_buffer buffer)
{
	const struct pinion_pool *pool = copy->pool;
	bool writes = copy->config->verb == COPY_WRITE;
	enum nvme_wire_op wire_op = writes ? NVME_WIRE_WRITE : NVME_WIRE_READ;
	uint64_t left = copy->end - copy->next;
	enum copy_status status = COPY_DONE;
	uint32_t lba = copy->config->offset + (uint32_t)(copy->next / copy->info.block_size);

	op->off = copy->next;
	op->len = left < copy->chunk ? (uint32_t)left : copy->chunk;
	if (writes)
		status = copy_file_read(copy, pinion_buffer_addr(pool, buffer), op->len, op->off);
	if (!status)
		status = copy_send(copy, op, buffer, wire_op, lba);
	if (status)
		copy_free(copy, buffer);
	else
		copy->next += op->len;
	return status;
}

/* As many requests as the depth, the buffers and the file allow. */
static enum copy_status fill_window(struct copy *copy)
{
	enum copy_status status = COPY_DONE;

	while (!status && copy->next < copy->end) {
		struct copy_op *op = idle_op(copy);
		struct pinion_buffer buffer;

		if (!op)
			break;
		if (copy_alloc(copy, &buffer)) {
			if (copy->nr_busy)
				break; /* one of ours will come back */
			nvme_say("no free buffer: others have them all (a larger pool would do)");
			return COPY_LOST;
		}
		status = send_chunk(copy, op, buffer);
	}
	return status;
}

static enum copy_status compare(struct copy *copy, const struct copy_op *op, const uint8_t *drive)
{
	enum copy_status status = copy_file_read(copy, copy->scratch, op->len, op->off);
	uint32_t i = 0;

	if (status || !memcmp(copy->scratch, drive, op->len))
		return status;
	while (copy->scratch[i] == drive[i])
		++i;
	nvme_say("%s: differs from the drive at byte %ju: 0x%02x, the drive has 0x%02x",
		 copy->config->path, (uintmax_t)(op->off + i), copy->scratch[i], drive[i]);
	return COPY_FAILED;
}

static enum copy_status take_completion(struct copy *copy)
{
	const struct pinion_pool *pool = copy->pool;
	struct pinion_desc desc;
	struct copy_op *op;
	enum copy_status status = copy_recv(copy, &op, &desc);

	if (status)
		return status;
	status = copy_check(copy, op, &desc);
	if (!status && copy->config->verb == COPY_VERIFY)
		status = compare(copy, op, pinion_buffer_addr(pool, desc.buffer));
	copy_free(copy, desc.buffer);
	if (!status)
		copy->done += op->len;
	return status;
}

/* What was written is on the medium when this is back. pre: nothing is under way. */
static enum copy_status flush(struct copy *copy)
{
	struct copy_op *op = idle_op(copy);
	struct pinion_buffer buffer;
	enum copy_status status;

	if (copy_alloc(copy, &buffer)) {
		nvme_say("no free buffer for the flush (a larger pool would do)");
		return COPY_LOST;
	}
	op->off = 0;
	op->len = 0;
	status = copy_send(copy, op, buffer, NVME_WIRE_FLUSH, 0);
	if (status)
		copy_free(copy, buffer);
	return status ? status : take_completion(copy);
}

/* After the first failure nothing more is sent, and what is under way is taken back. */
static enum copy_status move_all(struct copy *copy)
{
	enum copy_status status = fill_window(copy), this;

	while (copy->nr_busy) {
		this = take_completion(copy);
		if (this >= COPY_LOST)
			return this;
		show_progress(copy);
		if (!status)
			status = this;
		if (!status)
			status = fill_window(copy);
	}
	return status;
}

enum copy_status copy_run(struct copy *copy)
{
	uint64_t start = now_ns();
	enum copy_status status;

	copy->scratch = malloc(copy->chunk);
	if (!copy->scratch) {
		nvme_say("no memory for %u bytes to compare with", copy->chunk);
		return COPY_LOST;
	}
	status = move_all(copy);
	if (!status && copy->config->verb == COPY_WRITE)
		status = flush(copy);
	copy->elapsed_ns = now_ns() - start;
	free(copy->scratch);
	return status;
}
