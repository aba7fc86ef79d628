/* SPDX-License-Identifier: BSD-3-Clause */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "nvme_fail.h"

/* Whole chunks, as evenly as they go; the last part has the shorter end of the file. */
static void find_part(struct copy *copy)
{
	const struct copy_config *config = copy->config;
	uint64_t nr_chunks = (copy->file_len + copy->chunk - 1) / copy->chunk;

	copy->begin = nr_chunks * (config->part - 1) / config->nr_parts * copy->chunk;
	copy->end = nr_chunks * config->part / config->nr_parts * copy->chunk;
	if (copy->end > copy->file_len)
		copy->end = copy->file_len;
	copy->next = copy->begin;
}

/* Before the first block is written: is this a file that the drive can hold? */
static enum copy_status check_fit(const struct copy *copy)
{
	const struct nvme_wire_info *info = &copy->info;
	const char *path = copy->config->path;
	uint64_t nr_blocks = copy->file_len / info->block_size;

	if (copy->file_len % info->block_size) {
		nvme_say("%s: %ju bytes are not a multiple of the drive's block of %u bytes: pad "
			 "it (truncate -s %%%u)", path, (uintmax_t)copy->file_len,
			 info->block_size, info->block_size);
		return COPY_REFUSED;
	}
	if (nr_blocks > info->blocks) {
		nvme_say("%s: %ju blocks of %u bytes, but the drive has only %ju: nothing was "
			 "written", path, (uintmax_t)nr_blocks, info->block_size,
			 (uintmax_t)info->blocks);
		return COPY_REFUSED;
	}
	if (copy->config->offset + nr_blocks > NVME_WIRE_BLOCKS_MAX) {
		nvme_say("%s: would reach beyond block 2^%u, which is as far as requests can name "
			 "blocks", path, NVME_WIRE_LBA_BITS);
		return COPY_REFUSED;
	}
	return COPY_DONE;
}

static enum copy_status unreadable(const struct copy *copy)
{
	nvme_say("%s: %s", copy->config->path, strerror(errno));
	return COPY_REFUSED;
}

enum copy_status copy_file_open(struct copy *copy)
{
	enum copy_status status;
	off_t len;

	copy->file = open(copy->config->path, O_RDONLY | O_CLOEXEC);
	if (copy->file < 0)
		return unreadable(copy);
	len = lseek(copy->file, 0, SEEK_END); /* of block devices, too */
	if (len < 0) {
		status = unreadable(copy);
	} else {
		copy->file_len = (uint64_t)len;
		find_part(copy);
		status = check_fit(copy);
	}
	if (status)
		copy_file_close(copy);
	return status;
}

void copy_file_close(struct copy *copy)
{
	close(copy->file);
}

enum copy_status copy_file_read(const struct copy *copy, void *to, uint32_t len, uint64_t off)
{
	uint32_t have = 0;

	while (have < len) {
		ssize_t got = pread(copy->file, (char *)to + have, len - have, (off_t)(off + have));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return unreadable(copy);
		if (!got) {
			nvme_say("%s: became shorter while it was read", copy->config->path);
			return COPY_REFUSED;
		}
		have += (uint32_t)got;
	}
	return COPY_DONE;
}
