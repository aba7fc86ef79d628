/* SPDX-License-Identifier: BSD-3-Clause */
#include "frame.h"

#include "answer.h"
#include "table.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLS_MIN 40
#define MAP_LINES 2

/* A member, with what is shown of it. */
struct row {
	const json_t *member;
	uint64_t number, held;
	int64_t rate; /* of held, a second */
	bool rated;
};

/* A holder's part of a map. */
struct part {
	char sign;
	uint8_t colour;
	uint64_t buffers;
	size_t cells;
};

const char *frame_sort_name(enum frame_sort sort)
{
	static const char *const names[SORTS] = {"held", "rate", "number"};

	return names[sort];
}

/* An empty line at the end. */
static struct frame_line *line_add(struct frame *frame)
{
	frame->line = reallocarray(frame->line, frame->nr + 1, sizeof(*frame->line));
	if (!frame->line)
		err(1, "a picture of %zu lines", frame->nr + 1);
	frame->line[frame->nr] = (struct frame_line){{0}, {0}};
	return &frame->line[frame->nr++];
}

/* Appends what fits. */
__attribute__((format(printf, 4, 5)))
static void line_put(const struct frame *frame, struct frame_line *line, uint8_t colour,
		     const char *format, ...)
{
	const size_t at = strlen(line->text), room = frame->cols - at;
	char text[FRAME_COLS_MAX + 1];
	va_list args;

	if (at >= frame->cols)
		return;
	va_start(args, format);
	vsnprintf(text, room + 1, format, args);
	va_end(args);
	if (!text[0])
		return;
	table_clean(line->text + at, room + 1, text);
	memset(line->colour + at, colour, strlen(line->text + at));
}

static char sign_of(uint64_t member)
{
	return "0123456789abcdefghijklmnopqrstuvwxyz"[member % 36];
}

static uint8_t colour_of(uint64_t member)
{
	return (uint8_t)(1 + member % FRAME_COLOURS);
}

/* The same member in the answer before; NULL: it was not there. */
static const json_t *member_before(const json_t *before, const char *pool, const json_t *member)
{
	const json_t *pools = json_object_get(before, "pools");

	for (size_t i = 0; i < json_array_size(pools); i++) {
		const json_t *other = json_array_get(pools, i);
		const json_t *members = json_object_get(other, "members");

		if (strcmp(answer_text(other, "name"), pool) != 0)
			continue;
		for (size_t k = 0; k < json_array_size(members); k++) {
			const json_t *old = json_array_get(members, k);

			if (answer_number(old, "number") == answer_number(member, "number") &&
			    answer_number(old, "pid") == answer_number(member, "pid"))
				return old;
		}
	}
	return NULL;
}

static struct row row_of(const struct frame_view *view, const char *pool, const json_t *member)
{
	const json_t *old = view->before ? member_before(view->before, pool, member) : NULL;
	struct row row = {.member = member, .number = answer_number(member, "number"),
			  .held = answer_number(member, "held")};

	if (old && view->span_ns) {
		const double more = (double)row.held - (double)answer_number(old, "held");

		row.rate = (int64_t)(more * 1e9 / (double)view->span_ns);
		row.rated = true;
	}
	return row;
}

static int compare_rows(const void *left, const void *right, void *sort)
{
	const struct row *a = left, *b = right;

	if (*(const enum frame_sort *)sort == SORT_HELD && a->held != b->held)
		return a->held < b->held ? 1 : -1;
	if (*(const enum frame_sort *)sort == SORT_RATE && llabs(a->rate) != llabs(b->rate))
		return llabs(a->rate) < llabs(b->rate) ? 1 : -1;
	return (a->number > b->number) - (a->number < b->number);
}

/* The members of @pool, in the order of @view. @nr: how many; the caller frees them. */
static struct row *rows_of(const struct frame_view *view, const json_t *pool, size_t *nr)
{
	const json_t *members = json_object_get(pool, "members");
	enum frame_sort sort = view->sort;

	*nr = json_array_size(members);
	struct row *rows = calloc(*nr + 1, sizeof(*rows));

	if (!rows)
		err(1, "%zu members", *nr);
	for (size_t i = 0; i < *nr; i++)
		rows[i] = row_of(view, answer_text(pool, "name"), json_array_get(members, i));
	qsort_r(rows, *nr, sizeof(*rows), compare_rows, &sort);
	return rows;
}

/* Cells for each part, @cells in all: by share, but one for whoever has anything, while there are
 * enough. */
static void parts_measure(struct part *parts, size_t nr, uint64_t total, size_t cells)
{
	size_t given = 0, widest = 0;

	for (size_t i = 0; i < nr; i++) {
		parts[i].cells = (size_t)((double)parts[i].buffers / (double)total * (double)cells);
		parts[i].cells += parts[i].buffers && !parts[i].cells;
		given += parts[i].cells;
	}
	/* What rounding left over, or took too much, is the widest one's. */
	while (nr && given != cells) {
		const size_t step = given < cells ? 1 : SIZE_MAX; /* one more, or one fewer */

		for (size_t i = 0; i < nr; i++)
			if (parts[i].cells > parts[widest].cells)
				widest = i;
		parts[widest].cells += step;
		given += step;
	}
}

/* Takes up to @wanted off @left. */
static uint64_t taken(uint64_t *left, uint64_t wanted)
{
	const uint64_t got = wanted < *left ? wanted : *left;

	*left -= got;
	return got;
}

static const json_t *zone_of(const json_t *pool, size_t index)
{
	return json_array_get(json_object_get(pool, "zones"), index);
}

/* Holders, what is held by nobody who is listed, what is neither held nor free, what is free.
 * Returns how many parts. */
static size_t parts_fill(struct part *parts, const json_t *pool, size_t index,
			 const struct row *rows, size_t nr)
{
	const json_t *zone = zone_of(pool, index);
	const uint64_t held = answer_number(zone, "held");
	uint64_t left = answer_number(zone, "total"), left_held = held < left ? held : left;
	size_t used = 0;

	left -= left_held;
	for (size_t i = 0; i < nr; i++) {
		const uint64_t wanted = answer_held(pool, index, rows[i].member);

		parts[used++] = (struct part){sign_of(rows[i].number), colour_of(rows[i].number),
					      taken(&left_held, wanted), 0};
	}
	const uint64_t free_ones = taken(&left, answer_number(zone, "free"));

	parts[used++] = (struct part){'?', 0, left_held, 0};
	parts[used++] = (struct part){'-', 0, left, 0};
	parts[used++] = (struct part){'.', 0, free_ones, 0};
	return used;
}

static void map_draw(struct frame *frame, const struct part *parts, size_t nr, size_t width)
{
	struct frame_line *line = NULL;
	size_t at = 0;

	for (size_t i = 0; i < nr; i++)
		for (size_t k = 0; k < parts[i].cells; k++, at++) {
			if (at % width == 0) {
				line = line_add(frame);
				line_put(frame, line, 0, "  ");
			}
			line_put(frame, line, parts[i].colour, "%c", parts[i].sign);
		}
}

/* Is there anybody of whom it is not told what he holds of each zone? */
static bool is_untold(const json_t *pool, const struct row *rows, size_t nr)
{
	bool untold = false;

	if (json_array_size(json_object_get(pool, "zones")) < 2)
		return false;
	for (size_t i = 0; i < nr; i++)
		untold |= rows[i].held && !json_object_get(rows[i].member, "held_by_zone");
	return untold;
}

static void zone_draw(struct frame *frame, const json_t *pool, size_t index,
		      const struct row *rows, size_t nr)
{
	const json_t *zone = zone_of(pool, index);
	const uint64_t total = answer_number(zone, "total");
	const size_t width = frame->cols - 2;
	const size_t most = width * (total > width ? MAP_LINES : 1);
	struct part *parts = calloc(nr + 3, sizeof(*parts));

	if (!parts)
		err(1, "a map of %zu members", nr);
	line_put(frame, line_add(frame), 0,
		 "node %s  %s  %" PRIu64 " of %s: %" PRIu64 " free, %" PRIu64 " held%s",
		 answer_node(zone).text, answer_text(pool, "name"), total,
		 text_bytes(answer_number(zone, "buffer_size")).text, answer_number(zone, "free"),
		 answer_number(zone, "held"),
		 is_untold(pool, rows, nr) ? ", by whom is not told" : "");
	const size_t used = parts_fill(parts, pool, index, rows, nr);

	/* No more cells than buffers, but room for everybody. */
	if (total) {
		parts_measure(parts, used, total, total < most ? (size_t)total : most);
		map_draw(frame, parts, used, width);
	}
	free(parts);
}

static void row_draw(struct frame *frame, const struct row *row)
{
	const uint64_t quota = answer_number(row->member, "quota");
	struct frame_line *line = line_add(frame);
	char rate[32] = "-", command[17], state[12], role[8];

	if (row->rated)
		snprintf(rate, sizeof(rate), "%+" PRId64, row->rate);
	table_clean(command, sizeof(command), answer_text(row->member, "command"));
	table_clean(state, sizeof(state), answer_text(row->member, "state"));
	table_clean(role, sizeof(role), answer_text(row->member, "role"));
	line_put(frame, line, colour_of(row->number), "  %c", sign_of(row->number));
	line_put(frame, line, 0, "%7" PRIu64 " %8" PRIu64 "  %-7s %9" PRIu64 " %9s %6s  %-9s %s",
		 row->number, answer_number(row->member, "pid"), role, row->held, rate,
		 quota ? text_bytes(quota).text : "-", state, command);
}

static void rows_draw(struct frame *frame, const struct row *rows, size_t nr)
{
	if (!nr)
		return;
	line_put(frame, line_add(frame), 0, "   %7s %8s  %-7s %9s %9s %6s  %-9s %s", "MEMBER",
		 "PID", "ROLE", "HELD", "HELD/S", "QUOTA", "STATE", "COMMAND");
	for (size_t i = 0; i < nr; i++)
		row_draw(frame, &rows[i]);
}

/* "[####......]  400/1024" */
static void bar_draw(struct frame *frame, struct frame_line *line, uint64_t depth, uint64_t slots)
{
	const size_t width = frame->cols < 100 ? 10 : 20;
	const double share = slots ? (double)depth / (double)slots : 0;
	const size_t full = share > 1 ? width : (size_t)(share * (double)width + 0.5);
	const uint8_t colour = share > 0.9 ? 1 : share > 0.5 ? 3 : 2;

	line_put(frame, line, 0, "[");
	for (size_t i = 0; i < width; i++)
		line_put(frame, line, i < full ? colour : 0, "%c", i < full ? '#' : '.');
	line_put(frame, line, 0, "] %4" PRIu64 "/%-4" PRIu64, depth, slots);
}

static void channels_draw(struct frame *frame, const json_t *channels)
{
	for (size_t i = 0; i < json_array_size(channels); i++) {
		const json_t *one = json_array_get(channels, i);
		const uint64_t slots = answer_number(one, "slots");
		struct frame_line *line = line_add(frame);

		line_put(frame, line, 0, "  %" PRIu64 "->%" PRIu64 " ",
			 answer_number(one, "client"), answer_number(one, "device"));
		bar_draw(frame, line, answer_number(one, "to_device"), slots);
		line_put(frame, line, 0, "  back ");
		bar_draw(frame, line, answer_number(one, "to_client"), slots);
	}
}

static void pool_draw(struct frame *frame, const struct frame_view *view, const json_t *pool)
{
	const json_t *zones = json_object_get(pool, "zones");
	size_t nr;
	struct row *rows = rows_of(view, pool, &nr);

	(void)line_add(frame);
	for (size_t i = 0; i < json_array_size(zones); i++)
		zone_draw(frame, pool, i, rows, nr);
	rows_draw(frame, rows, nr);
	channels_draw(frame, json_object_get(pool, "channels"));
	free(rows);
}

/* How many @pool has of such pages. What lies on several nodes is on none. */
static uint64_t pages_of(const json_t *pool, const struct pages *pages)
{
	const json_t *segments = json_object_get(pool, "segments");
	uint64_t bytes = 0;

	for (size_t i = 0; i < json_array_size(segments); i++) {
		const json_t *one = json_array_get(segments, i);

		if (json_integer_value(json_object_get(one, "node")) == pages->node &&
		    answer_number(one, "page_size") == pages->size)
			bytes += answer_number(one, "len");
	}
	return bytes / pages->size;
}

/* pre: there are any */
static void pages_line(const struct frame *frame, struct frame_line *line, const json_t *pools,
		       const struct pages *pages)
{
	uint64_t left = pages->total - pages->free;

	line_put(frame, line, 0, "node %d  hugepages  %" PRIu64 " of %s: %" PRIu64 " free",
		 pages->node, pages->total, text_bytes(pages->size).text, pages->free);
	for (size_t i = 0; i < json_array_size(pools); i++) {
		const json_t *pool = json_array_get(pools, i);
		const uint64_t got = taken(&left, pages_of(pool, pages));

		if (got)
			line_put(frame, line, 0, ", %" PRIu64 " of %s", got,
				 answer_text(pool, "name"));
	}
	if (left)
		line_put(frame, line, 0, ", %" PRIu64 " of others", left);
}

static void pages_draw(struct frame *frame, const struct frame_view *view)
{
	if (view->nr_pages)
		(void)line_add(frame);
	for (size_t i = 0; i < view->nr_pages; i++) {
		const struct pages *pages = &view->pages[i];
		struct frame_line *line = line_add(frame);

		if (pages->total)
			pages_line(frame, line, json_object_get(view->now, "pools"), pages);
		else
			line_put(frame, line, 0, "node %d  hugepages  none", pages->node);
	}
}

static void devices_draw(struct frame *frame, const json_t *devices)
{
	if (json_array_size(devices))
		(void)line_add(frame);
	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *one = json_array_get(devices, i);

		line_put(frame, line_add(frame), 0, "device %s  member %" PRIu64 " of %s  %s%s",
			 answer_text(one, "name"), answer_number(one, "member"),
			 answer_text(one, "pool"), answer_text(one, "state"),
			 answer_true(one, "ready") ? "" : ", not ready");
	}
}

void frame_draw(struct frame *frame, const struct frame_view *view, size_t cols)
{
	const json_t *now = view->now, *pools = json_object_get(now, "pools");

	frame->nr = 0;
	frame->cols = cols < COLS_MIN ? COLS_MIN : cols > FRAME_COLS_MAX ? FRAME_COLS_MAX : cols;
	line_put(frame, line_add(frame), 0,
		 "piniond %s  up %s  %s  %" PRIu64 " peers  %" PRIu64 " deaths  %" PRIu64
		 " restarts", answer_text(now, "version"),
		 text_time(answer_number(now, "uptime_ns")).text,
		 text_bytes(answer_number(now, "rss")).text, answer_number(now, "peers"),
		 answer_number(json_object_get(now, "counters"), "deaths"),
		 answer_number(now, "restarts"));
	pages_draw(frame, view);
	for (size_t i = 0; i < json_array_size(pools); i++)
		pool_draw(frame, view, json_array_get(pools, i));
	devices_draw(frame, json_object_get(now, "devices"));
}

void frame_print(const struct frame *frame, FILE *out)
{
	for (size_t i = 0; i < frame->nr; i++)
		fprintf(out, "%s\n", frame->line[i].text);
}

void frame_free(struct frame *frame)
{
	free(frame->line);
	*frame = (struct frame){0};
}
