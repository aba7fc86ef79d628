/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <inttypes.h>
#include <stdio.h>

#include "nvme_status.h"

/*
 * The report is for programs: one line, one JSON object. Of all the texts in it the socket and BDF
 * alone could need escaping; the BDF was parsed, and the socket is left out.
 */

static void print_zone(const char *name, const struct pinion_zone_stat *stat)
{
	printf("\"%s\":{\"total\":%u,\"free\":%u,\"held\":%u}", name, stat->total, stat->free,
	       stat->held);
}

static void print_counts(const struct serve_counts *counts)
{
	printf("\"commands\":%" PRIu64 ",\"command_errors\":%" PRIu64 ",\"bytes_read\":%" PRIu64
	       ",\"bytes_written\":%" PRIu64 ",\"returned\":%" PRIu64,
	       counts->commands, counts->errors, counts->bytes_read, counts->bytes_written,
	       counts->returned);
}

static const char *end_of(const struct serve_member *member)
{
	if (member->rejected)
		return "rejected";
	if (member->state < SERVE_GONE)
		return "present";
	return member->killed ? "killed" : "left";
}

static void print_member(const struct serve_member *member, const char **separator)
{
	printf("%s{\"member\":%u,\"pid\":%d,\"uid\":%u,\"end\":\"%s\",", *separator, member->number,
	       (int)member->pid, (unsigned)member->uid, end_of(member));
	print_counts(&member->counts);
	printf("}");
	*separator = ",";
}

static void print_members(const struct serve *serve)
{
	const struct serve_member *member;
	const char *separator = "";

	printf("\"members\":[");
	TAILQ_FOREACH(member, &serve->gone, link)
		print_member(member, &separator);
	TAILQ_FOREACH(member, &serve->members, link)
		print_member(member, &separator);
	printf("]");
}

static void print_errors(const struct serve *serve)
{
	char text[NVME_STATUS_TEXT];

	printf("\"errors\":{");
	for (uint32_t i = 0; i < serve->nr_errors; ++i)
		printf("%s\"%s\":%" PRIu64, i ? "," : "",
		       nvme_status_format(serve->error[i].status, text, sizeof(text)),
		       serve->error[i].nr);
	printf("}");
}

static void print_drive(const struct serve *serve)
{
	const struct nvme_ctrl *ctrl = &serve->ctrl;

	printf("\"drive\":{\"bdf\":\"%s\",\"driver\":\"%s\",\"iommufd\":%s,\"model\":\"%s\","
	       "\"serial\":\"%s\",\"firmware\":\"%s\",\"blocks\":%" PRIu64 ","
	       "\"block_size\":%u,\"max_transfer\":%u,"
	       "\"node\":%d,\"queues\":%u,\"interrupts\":%" PRIu64 "}",
	       serve->transport.bdf,
	       serve->transport.kind == NVME_TRANSPORT_VFIO ? "vfio-pci" : "uio_pci_generic",
	       serve->transport.by_iommufd ? "true" : "false", ctrl->model, ctrl->serial,
	       ctrl->firmware, ctrl->blocks, ctrl->block_size, ctrl->max_transfer,
	       serve->transport.node, ctrl->nr_queues, serve->interrupts);
}

void serve_report(const struct serve *serve)
{
	struct pinion_zone_stat at_end = {0};

	(void)pinion_pool_stat(serve->pool, 0, &at_end);
	printf("{");
	print_drive(serve);
	printf(",\"buffers\":{\"size\":%zu,\"page_size\":%zu,\"node\":%d,", at_end.buffer_size,
	       at_end.page_size, at_end.node);
	print_zone("start", &serve->at_start);
	printf(",");
	print_zone("end", &at_end);
	printf("},");
	print_counts(&serve->counts);
	printf(",\"killed\":%u,\"rejected\":%u,", serve->nr_killed, serve->nr_rejected);
	print_members(serve);
	printf(",");
	print_errors(serve);
	printf("}\n");
	fflush(stdout);
}
