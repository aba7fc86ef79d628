/* SPDX-License-Identifier: BSD-3-Clause */
/* The numbers in Prometheus' text format, version 0.0.4: all samples of one name stand together.
 * Names of pools need no escape: wire_name_valid(). */
#include "metrics.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "footprint.h"
#include "ledger.h"
#include "report.h"

#define SECOND_NS 1e9

static void head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(FILE *to, const char *name, const char *help, double value)
{
	head(to, name, "gauge", help);
	fprintf(to, "%s %.15g\n", name, value);
}

static void counter(FILE *to, const char *name, const char *help, double value)
{
	head(to, name, "counter", help);
	fprintf(to, "%s %.15g\n", name, value);
}

/* Pools. */

static void print_bytes(const struct service *service, FILE *to)
{
	const char *name = "pinion_pool_bytes";
	const struct pool *pool;

	head(to, name, "gauge", "Memory of a pool.");
	LIST_FOREACH(pool, &service->pools, link)
		fprintf(to, "%s{pool=\"%s\"} %" PRIu64 "\n", name, pool->name, report_bytes(pool));
}

/* A zone is its buffer size, its page size and its node; a number may be another zone's later. */
static void print_zone(FILE *to, const char *name, const struct pool *pool,
		       const struct pinion_zone_stat *zone)
{
	const struct {
		const char *state;
		uint32_t nr;
	} part[] = {{"free", zone->free}, {"held", zone->held}};

	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		fprintf(to, "%s{pool=\"%s\",zone=\"%zu/%zu/%d\",state=\"%s\"} %" PRIu32 "\n", name,
			pool->name, zone->buffer_size, zone->page_size, zone->node, part[i].state,
			part[i].nr);
}

static void print_buffers(const struct service *service, FILE *to)
{
	const char *name = "pinion_pool_buffers";
	const struct pool *pool;

	head(to, name, "gauge", "Buffers of a zone (buffer size/page size/node). What lies in a "
	     "member's cache is free.");
	LIST_FOREACH(pool, &service->pools, link) {
		for (uint32_t i = 0; i < pinion_pool_zones(pool->pool); i++) {
			struct pinion_zone_stat zone;

			if (!pinion_pool_stat(pool->pool, i, &zone) && zone.total)
				print_zone(to, name, pool, &zone);
		}
		footprint_let_go(pool);
	}
}

/* Members. */

static const char *const roles[] = {"client", "device", "former"};

static uint32_t count(const struct pool *pool, bool live, const char *role)
{
	const struct member *member;
	uint32_t nr = 0;

	LIST_FOREACH(member, &pool->members, of_pool)
		nr += (member->state == LIVE) == live && !strcmp(report_role(member), role);
	return nr;
}

static void print_roles(const struct service *service, FILE *to, const char *name, bool live)
{
	const struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link)
		for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
			fprintf(to, "%s{pool=\"%s\",role=\"%s\"} %" PRIu32 "\n", name, pool->name,
				roles[i], count(pool, live, roles[i]));
}

static void print_members(const struct service *service, FILE *to)
{
	head(to, "pinion_members", "gauge", "Processes attached to a pool.");
	print_roles(service, to, "pinion_members", true);
	head(to, "pinion_burials", "gauge", "Members that left or died, until nothing of theirs "
	     "is left; one that stays has a device that is not quiet, or a peer that does not "
	     "settle.");
	print_roles(service, to, "pinion_burials", false);
}

static void print_channels(const struct service *service, FILE *to)
{
	const char *name = "pinion_channels";
	const struct pairing *pairing;
	const struct pool *pool;

	head(to, name, "gauge", "Channels between clients and device processes.");
	LIST_FOREACH(pool, &service->pools, link) {
		uint32_t nr = 0;

		LIST_FOREACH(pairing, &pool->pairings, of_pool)
			nr++;
		fprintf(to, "%s{pool=\"%s\"} %" PRIu32 "\n", name, pool->name, nr);
	}
}

/* The service. */

static void print_counters(const struct service *service, FILE *to)
{
	const struct counters *counters = &service->counters;

	counter(to, "pinion_attached_total", "Clients that were let in.",
		(double)counters->attached);
	counter(to, "pinion_refused_total", "Wishes that were refused.", (double)counters->refused);
	counter(to, "pinion_left_total", "Members that left in order.", (double)counters->left);
	counter(to, "pinion_deaths_total", "Members that died.", (double)counters->deaths);
	counter(to, "pinion_recoveries_total", "Members that were recovered.",
		(double)counters->recoveries);
	counter(to, "pinion_recovery_seconds_total", "Time that recoveries took.",
		(double)counters->recovery_ns / SECOND_NS);
	counter(to, "pinion_returned_buffers_total", "Buffers that recoveries gave back.",
		(double)counters->returned);
	counter(to, "pinion_protocol_errors_total", "Messages that make no sense.",
		(double)counters->protocol_errors);
	counter(to, "pinion_restarts_total", "Times that the service took its pools up again.",
		service->ledger->restarts);
}

/* Names that every exporter has for these. */
static void print_process(const struct service *service, FILE *to)
{
	struct rusage used = {0};
	struct timespec now = {0};

	(void)getrusage(RUSAGE_SELF, &used);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	gauge(to, "process_resident_memory_bytes", "Resident memory of the service.",
	      (double)report_resident());
	gauge(to, "process_start_time_seconds", "When the service started, since 1970.",
	      (double)now.tv_sec -
		      (double)(service_now_ns() - service->started_ns) / SECOND_NS);
	counter(to, "process_cpu_seconds_total", "Processor time of the service.",
		(double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
			(double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

void metrics_print(const struct service *service, FILE *to)
{
	head(to, "pinion_info", "gauge", "Which release this is.");
	fprintf(to, "pinion_info{version=\"" PINION_VERSION "\"} 1\n");
	gauge(to, "pinion_peers", "Connections.", service->nr_peers);
	print_bytes(service, to);
	print_buffers(service, to);
	print_members(service, to);
	print_channels(service, to);
	print_counters(service, to);
	print_process(service, to);
}
