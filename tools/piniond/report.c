/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "footprint.h"
#include "ledger.h"
#include "ring.h"
#include "stat.h"

/* The second number of /proc/self/statm, proc(5). */
uint64_t report_resident(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t pages = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*u %" SCNu64, &pages) != 1)
		pages = 0;
	(void)fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The name that the process has now, or "". */
static const char *command_of(pid_t pid, char name[32])
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	name[0] = 0;
	file = fopen(path, "re");
	if (!file)
		return name;
	if (fgets(name, 32, file))
		name[strcspn(name, "\n")] = 0;
	(void)fclose(file);
	/* It may call itself anything; JSON takes text alone, and nobody is to hide by that. */
	for (char *c = name; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return name;
}

static json_t *segments(const struct pool *pool)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < pinion_pool_slots(pool->pool); i++) {
		struct pinion_segment_stat stat;

		if (pinion_pool_segment(pool->pool, i, &stat))
			continue;
		(void)json_array_append_new(list, json_pack(
			"{si si sI sI sI si si sb}", "slot", (int)i, "node", stat.node, "page_size",
			(json_int_t)stat.page_size, "buffer_size", (json_int_t)stat.buffer_size,
			"len", (json_int_t)stat.len, "nr", (int)stat.nr, "free", (int)stat.free,
			"retiring", stat.retiring));
	}
	return list;
}

/* What each member holds of each zone that is listed. There is room for the largest pool; of a row
 * no more is ever touched than a pool has members. */
struct spread {
	uint32_t nr; /* zones: each has a segment */
	uint32_t held[PINION_SEGMENT_MAX][PINION_MEMBER_MAX];
};

static json_t *zones(const struct pool *pool, struct spread *spread)
{
	json_t *list = json_array();

	spread->nr = 0;
	for (uint32_t i = 0; i < pinion_pool_zones(pool->pool); i++) {
		struct pinion_zone_stat stat;

		if (stat_zone(pool->pool, i, &stat, spread->held[spread->nr]) || !stat.total)
			continue;
		spread->nr++;
		(void)json_array_append_new(list, json_pack(
			"{sI sI si si si si}", "buffer_size", (json_int_t)stat.buffer_size,
			"page_size", (json_int_t)stat.page_size, "node", stat.node, "total",
			(int)stat.total, "free", (int)stat.free, "held", (int)stat.held));
	}
	return list;
}

static const char *const state_names[] = {
	[LIVE] = "live", [QUIETING] = "waiting_for_quiet", [GONE] = "dead",
	[RECOVERED] = "recovered"};

const char *report_role(const struct member *member)
{
	if (member->former)
		return "former";
	return member->device ? "device" : "client";
}

static json_int_t held(const struct spread *spread, uint32_t member)
{
	json_int_t nr = 0;

	for (uint32_t i = 0; i < spread->nr; i++)
		nr += spread->held[i][member];
	return nr;
}

static json_t *held_by_zone(const struct spread *spread, uint32_t member)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < spread->nr; i++)
		(void)json_array_append_new(list, json_integer(spread->held[i][member]));
	return list;
}

static json_t *members(const struct pool *pool, const struct spread *spread)
{
	json_t *list = json_array();
	struct member *member;
	char command[32];

	LIST_FOREACH(member, &pool->members, of_pool)
		(void)json_array_append_new(list, json_pack(
			"{si si sI sI ss ss ss sb sI so sI}", "number", (int)member->number, "pid",
			(int)member->pid, "uid", (json_int_t)member->uid, "gid",
			(json_int_t)member->gid, "command", command_of(member->pid, command),
			"role", report_role(member), "state", state_names[member->state],
			"connected", speaker_of(member)->peer != NULL, "held",
			held(spread, member->number), "held_by_zone",
			held_by_zone(spread, member->number), "quota",
			(json_int_t)member->quota));
	return list;
}

/* How many descriptors lie in a ring, as far as its slots tell; see ring_depth(). */
static json_int_t depth(const struct pairing *pairing, enum side side)
{
	struct ring ring;
	uint32_t nr;

	if (ring_map(pairing->ring[side], &ring))
		return -1;
	nr = ring_depth(&ring);
	ring_unmap(&ring);
	return nr;
}

static json_t *channels(const struct pool *pool)
{
	json_t *list = json_array();
	const struct pairing *pairing;

	LIST_FOREACH(pairing, &pool->pairings, of_pool)
		(void)json_array_append_new(list, json_pack(
			"{sI si si sI sI sI}", "number", (json_int_t)pairing->number, "client",
			(int)pairing->end[CLIENT]->number, "device",
			(int)pairing->end[DEVICE]->number, "slots", (json_int_t)pairing->slots,
			"to_device", depth(pairing, CLIENT), "to_client", depth(pairing, DEVICE)));
	return list;
}

uint64_t report_bytes(const struct pool *pool)
{
	struct pinion_segment_stat stat;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < pinion_pool_slots(pool->pool); i++)
		if (!pinion_pool_segment(pool->pool, i, &stat))
			bytes += stat.len;
	return bytes;
}

static json_t *pools(const struct service *service)
{
	static struct spread spread;
	json_t *list = json_array(), *zoned;
	const struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link) {
		zoned = zones(pool, &spread);
		(void)json_array_append_new(list, json_pack(
			"{ss sb sb sI so so so so}", "name", pool->name, "template", pool->own,
			"damaged", audit_is_damaged(pool), "bytes",
			(json_int_t)report_bytes(pool), "segments", segments(pool), "zones", zoned,
			"members", members(pool, &spread), "channels", channels(pool)));
		footprint_let_go(pool);
	}
	return list;
}

static json_t *device(const struct member *member)
{
	const struct device *device = member->device;

	return json_pack("{ss ss ss si si sb sb ss}", "name", device->name, "bdf", device->bdf,
			 "pool", member->pool->name, "member", (int)member->number, "pid",
			 (int)member->pid, "ready", device->ready, "parked",
			 device->container >= 0, "state", state_names[member->state]);
}

static json_t *devices(const struct service *service)
{
	json_t *list = json_array();
	const struct member *member;
	const struct pool *pool;

	LIST_FOREACH(pool, &service->pools, link)
		LIST_FOREACH(member, &pool->members, of_pool)
			if (member->device && !member->branch)
				(void)json_array_append_new(list, device(member));
	return list;
}

static json_t *counters(const struct counters *counters)
{
	return json_pack("{sI sI sI sI sI sI sI sI}",
			 "attached", (json_int_t)counters->attached,
			 "refused", (json_int_t)counters->refused,
			 "deaths", (json_int_t)counters->deaths,
			 "left", (json_int_t)counters->left,
			 "returned", (json_int_t)counters->returned,
			 "recoveries", (json_int_t)counters->recoveries,
			 "protocol_errors", (json_int_t)counters->protocol_errors,
			 "punched", (json_int_t)counters->punched);
}

json_t *report_service(const struct service *service)
{
	return json_pack("{ss si sI sI si si so so so}", "version", PINION_VERSION, "pid",
			 (int)getpid(), "uptime_ns",
			 (json_int_t)(service_now_ns() - service->started_ns), "rss",
			 (json_int_t)report_resident(), "peers", (int)service->nr_peers,
			 "restarts", (int)service->ledger->restarts, "pools", pools(service),
			 "devices", devices(service), "counters",
			 counters(&service->counters));
}
