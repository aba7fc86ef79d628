/* SPDX-License-Identifier: BSD-3-Clause */
#include "answer.h"
#include "table.h"

#include <string.h>

/* Cells, out of what the answer has. */
#define TEXT(object, key) answer_text(object, key)
#define NUMBER(object, key) text_number(answer_number(object, key)).text
#define BYTES(object, key) text_bytes(answer_number(object, key)).text

/* The state of a member, with what matters more than it. */
static const char *state_of(const json_t *member)
{
	const char *state = answer_text(member, "state");

	if (strcmp(state, "live") == 0 && !answer_true(member, "connected"))
		return "live, not connected";
	return state;
}

static struct text quota_of(const json_t *member)
{
	const uint64_t quota = answer_number(member, "quota");

	return quota ? text_bytes(quota) : (struct text){"none"};
}

static const char *device_state(const json_t *device)
{
	const char *state = answer_text(device, "state");

	if (strcmp(state, "live") != 0)
		return state;
	return answer_true(device, "ready") ? "ready" : "starting";
}

static void ls_pools(const json_t *pools, FILE *out)
{
	struct table table = {.columns = "<>>>>>"};

	table_row(&table, "POOL", "BYTES", "BUFFERS", "FREE", "HELD", "MEMBERS");
	for (size_t i = 0; i < json_array_size(pools); i++) {
		const json_t *pool = json_array_get(pools, i);
		const size_t members = json_array_size(json_object_get(pool, "members"));

		table_row(&table, TEXT(pool, "name"), BYTES(pool, "bytes"),
			  text_number(answer_sum(pool, "zones", "total")).text,
			  text_number(answer_sum(pool, "zones", "free")).text,
			  text_number(answer_sum(pool, "zones", "held")).text,
			  text_number(members).text);
	}
	if (table.nr == 1)
		fputs("no pools\n", out);
	table_print(&table, out);
}

static void ls_devices(const json_t *devices, FILE *out)
{
	struct table table = {.columns = "<<>>>"};

	table_row(&table, "DEVICE", "POOL", "MEMBER", "PID", "STATE");
	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *device = json_array_get(devices, i);

		table_row(&table, TEXT(device, "name"), TEXT(device, "pool"),
			  NUMBER(device, "member"), NUMBER(device, "pid"), device_state(device));
	}
	if (table.nr > 1)
		fputc('\n', out);
	table_print(&table, out);
}

static void ls_members_of(const json_t *pool, struct table *table)
{
	const json_t *members = json_object_get(pool, "members");

	for (size_t i = 0; i < json_array_size(members); i++) {
		const json_t *member = json_array_get(members, i);

		table_row(table, TEXT(pool, "name"), NUMBER(member, "number"),
			  NUMBER(member, "pid"), TEXT(member, "command"), TEXT(member, "role"),
			  NUMBER(member, "held"), state_of(member));
	}
}

void report_ls(const json_t *answer, FILE *out)
{
	const json_t *pools = json_object_get(answer, "pools");
	struct table table = {.columns = "<>><<><"};

	ls_pools(pools, out);
	ls_devices(json_object_get(answer, "devices"), out);
	table_row(&table, "POOL", "MEMBER", "PID", "COMMAND", "ROLE", "HELD", "STATE");
	for (size_t i = 0; i < json_array_size(pools); i++)
		ls_members_of(json_array_get(pools, i), &table);
	if (table.nr > 1)
		fputc('\n', out);
	table_print(&table, out);
}

static void stat_service(const json_t *answer, FILE *out)
{
	const json_t *counters = json_object_get(answer, "counters");
	char version[TABLE_CELL_MAX];
	const char *key;
	json_t *value;

	table_clean(version, sizeof(version), answer_text(answer, "version"));
	fprintf(out, "piniond %s, process %" PRIu64 ", up %s, %s of memory, %" PRIu64 " peers, %"
		PRIu64 " restarts\n", version, answer_number(answer, "pid"),
		text_time(answer_number(answer, "uptime_ns")).text, BYTES(answer, "rss"),
		answer_number(answer, "peers"), answer_number(answer, "restarts"));
	json_object_foreach((json_t *)(uintptr_t)counters, key, value) {
		char name[TABLE_CELL_MAX];

		table_clean(name, sizeof(name), key);
		fprintf(out, "  %-16s %" JSON_INTEGER_FORMAT "\n", name,
			json_integer_value(value));
	}
}

static void stat_segments(const json_t *all, FILE *out)
{
	struct table table = {.columns = ">>>>>>><"};

	table_row(&table, "  SEGMENT", "NODE", "PAGE", "BUFFER", "BYTES", "BUFFERS", "FREE",
		  "STATE");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		table_row(&table, NUMBER(one, "slot"), answer_node(one).text,
			  BYTES(one, "page_size"), BYTES(one, "buffer_size"), BYTES(one, "len"),
			  NUMBER(one, "nr"), NUMBER(one, "free"),
			  answer_true(one, "retiring") ? "retiring" : "used");
	}
	table_print(&table, out);
}

static void stat_zones(const json_t *all, FILE *out)
{
	struct table table = {.columns = ">>>>>>>"};

	table_row(&table, "     ZONE", "NODE", "PAGE", "BUFFER", "BUFFERS", "FREE", "HELD");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		table_row(&table, text_number(i).text, answer_node(one).text,
			  BYTES(one, "page_size"), BYTES(one, "buffer_size"), NUMBER(one, "total"),
			  NUMBER(one, "free"), NUMBER(one, "held"));
	}
	table_print(&table, out);
}

static void stat_members(const json_t *all, FILE *out)
{
	struct table table = {.columns = ">>>>>><<<"};

	table_row(&table, "   MEMBER", "PID", "UID", "GID", "HELD", "QUOTA", "ROLE", "COMMAND",
		  "STATE");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		table_row(&table, NUMBER(one, "number"), NUMBER(one, "pid"), NUMBER(one, "uid"),
			  NUMBER(one, "gid"), NUMBER(one, "held"), quota_of(one).text,
			  TEXT(one, "role"), TEXT(one, "command"), state_of(one));
	}
	table_print(&table, out);
}

/* What members hold of each zone, where that is not what they hold. */
static void stat_spread(const json_t *pool, FILE *out)
{
	const size_t nr = json_array_size(json_object_get(pool, "zones"));
	const json_t *members = json_object_get(pool, "members");
	struct table table = {.columns = ">>>"};

	table_row(&table, "   MEMBER", "ZONE", "HELD");
	for (size_t i = 0; nr > 1 && i < json_array_size(members); i++)
		for (size_t zone = 0; zone < nr; zone++) {
			const json_t *one = json_array_get(members, i);
			const uint64_t held = answer_held(pool, zone, one);

			if (held)
				table_row(&table, NUMBER(one, "number"), text_number(zone).text,
					  text_number(held).text);
		}
	table_print(&table, out);
}

static void stat_channels(const json_t *all, FILE *out)
{
	struct table table = {.columns = ">>>>>>"};

	table_row(&table, "  CHANNEL", "CLIENT", "DEVICE", "SLOTS", "TO DEVICE", "TO CLIENT");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		table_row(&table, NUMBER(one, "number"), NUMBER(one, "client"),
			  NUMBER(one, "device"), NUMBER(one, "slots"), NUMBER(one, "to_device"),
			  NUMBER(one, "to_client"));
	}
	table_print(&table, out);
}

static void stat_pool(const json_t *pool, FILE *out)
{
	char name[TABLE_CELL_MAX];

	table_clean(name, sizeof(name), answer_text(pool, "name"));
	fprintf(out, "\npool %s, %s%s%s\n", name, BYTES(pool, "bytes"),
		answer_true(pool, "template") ? ", one client's own, made from a template" : "",
		answer_true(pool, "damaged") ? ", damaged: pages were punched out of it" : "");
	stat_segments(json_object_get(pool, "segments"), out);
	stat_zones(json_object_get(pool, "zones"), out);
	stat_members(json_object_get(pool, "members"), out);
	stat_spread(pool, out);
	stat_channels(json_object_get(pool, "channels"), out);
}

static void stat_devices(const json_t *all, FILE *out)
{
	struct table table = {.columns = "<<<>><<"};

	table_row(&table, "DEVICE", "BDF", "POOL", "MEMBER", "PID", "CONTAINER", "STATE");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		table_row(&table, TEXT(one, "name"), TEXT(one, "bdf"), TEXT(one, "pool"),
			  NUMBER(one, "member"), NUMBER(one, "pid"),
			  answer_true(one, "parked") ? "parked" : "-", device_state(one));
	}
	if (table.nr > 1)
		fputc('\n', out);
	table_print(&table, out);
}

void report_stat(const json_t *answer, FILE *out)
{
	const json_t *pools = json_object_get(answer, "pools");

	stat_service(answer, out);
	for (size_t i = 0; i < json_array_size(pools); i++)
		stat_pool(json_array_get(pools, i), out);
	stat_devices(json_object_get(answer, "devices"), out);
}

void report_addresses(const json_t *answer, FILE *out)
{
	const json_t *all = json_object_get(answer, "addresses");
	struct table table = {.columns = "<<>"};

	table_row(&table, "DOMAIN", "KIND", "ADDRESS");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);

		table_row(&table, TEXT(one, "domain"), TEXT(one, "kind"), TEXT(one, "address"));
	}
	if (table.nr == 1)
		fputs("no device has it mapped\n", out);
	table_print(&table, out);
}
