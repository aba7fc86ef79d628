/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme-copy - a producer: writes a file, or its part of one, to the drive that nvme-serve owns,
 * or compares the two. copy.h has the picture.
 *
 * Build: meson setup build && meson compile -C build; the program is build/examples/nvme/.
 */
#include "copy.h"

#include <stdio.h>

static const char *verb_name(enum copy_verb verb)
{
	static const char *const name[] = {
		[COPY_WRITE] = "write",
		[COPY_VERIFY] = "verify",
		[COPY_INFO] = "info",
	};

	return name[verb];
}

static void print_info(const struct copy *copy)
{
	printf("{\"verb\":\"info\",\"blocks\":%ju,\"block_size\":%u,\"max_transfer\":%u,"
	       "\"buffer_size\":%zu,\"nodes\":{\"buffers\":%d,\"drive\":%d}}\n",
	       (uintmax_t)copy->info.blocks, copy->info.block_size, copy->info.max_transfer,
	       copy->zone.buffer_size, copy->zone.node, copy->info.node);
}

static void print_result(const struct copy *copy, enum copy_status status)
{
	double seconds = (double)copy->elapsed_ns / 1e9;

	printf("{\"verb\":\"%s\",\"part\":\"%u/%u\",\"status\":%d,\"bytes\":%ju,\"commands\":%ju,"
	       "\"refused\":%ju,"
	       "\"seconds\":%.6f,\"bytes_per_second\":%.0f,\"buffers\":{\"allocated\":%ju,"
	       "\"freed\":%ju},\"nodes\":{\"buffers\":%d,\"drive\":%d}}\n",
	       verb_name(copy->config->verb), copy->config->part, copy->config->nr_parts,
	       (int)status, (uintmax_t)copy->done, (uintmax_t)copy->commands,
	       (uintmax_t)copy->refused, seconds,
	       seconds > 0 ? (double)copy->done / seconds : 0, (uintmax_t)copy->allocated,
	       (uintmax_t)copy->freed, copy->zone.node, copy->info.node);
}

static enum copy_status copy_one_file(struct copy *copy)
{
	enum copy_status status = copy_file_open(copy);

	if (status)
		return status;
	status = copy_run(copy);
	copy_file_close(copy);
	print_result(copy, status);
	return status;
}

int main(int argc, char **argv)
{
	struct copy_config config;
	static struct copy copy; /* the window makes it too large for a stack to be pleasant */
	enum copy_status status;

	copy_parse(argc, argv, &config);
	copy.config = &config;
	status = copy_open(&copy);
	if (status)
		return (int)status;
	if (config.verb == COPY_INFO)
		print_info(&copy);
	else
		status = copy_one_file(&copy);
	copy_close(&copy);
	return (int)status;
}
