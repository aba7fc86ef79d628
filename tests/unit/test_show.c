/* SPDX-License-Identifier: BSD-3-Clause */
/* What `pinion` shows of an answer: tables, and the pictures of top. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bsd/string.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "frame.h"
#include "table.h"

#define POOL \
	"{'name':'buffers','template':false,'bytes':268435456," \
	"'segments':[{'slot':0,'node':0,'page_size':2097152,'buffer_size':65536," \
	"  'len':268435456,'nr':4096,'free':3000,'retiring':true}]," \
	"'zones':[{'buffer_size':65536,'page_size':2097152,'node':0,'total':4096,'free':3000," \
	"  'held':1001}]," \
	"'members':[" \
	"  {'number':1,'pid':100,'uid':0,'gid':0,'command':'nvme-serve','role':'device'," \
	"   'state':'live','connected':true,'held':1000,'quota':0}," \
	"  {'number':2,'pid':200,'uid':1000,'gid':100,'command':'a\\u001b[2J','role':'client'," \
	"   'state':'live','connected':false,'held':1,'quota':67108864}]," \
	"'channels':[{'number':5,'client':2,'device':1,'slots':1024,'to_device':512," \
	"  'to_client':0}]}"

#define ANSWER \
	"{'version':'0.1.0','pid':77,'uptime_ns':90061000000000,'rss':5242880,'peers':3," \
	"'restarts':1,'pools':[" POOL "],'devices':[{'name':'nvme:0000:41:00.0'," \
	"'bdf':'0000:41:00.0','pool':'buffers','member':1,'pid':100,'ready':true," \
	"'parked':true,'state':'live'}],'counters':{'attached':4,'deaths':2}}"

/* JSON with ' for ", which C would make unreadable. */
static json_t *answer_of(const char *text)
{
	char *quoted = strdup(text);

	assert_non_null(quoted);
	for (char *at = quoted; (at = strchr(at, '\''));)
		*at = '"';
	json_t *answer = json_loads(quoted, 0, NULL);

	free(quoted);
	assert_non_null(answer);
	return answer;
}

/* What a report prints; the caller frees it. */
static char *printed(void (*report)(const json_t *answer, FILE *out), const json_t *answer)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	report(answer, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(text);
	return text;
}

static void assert_says(const char *text, const char *words)
{
	if (!text || !strstr(text, words))
		fail_msg("not in it: \"%s\"\n%s", words, text ? text : "");
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	struct table table = {.columns = "<>"};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	table_row(&table, "NAME", "N");
	table_row(&table, "a", "1000");
	table_row(&table, "longer", "1");
	table_print(&table, out);
	(void)fclose(out);
	assert_string_equal(text, "NAME       N\na       1000\nlonger     1\n");
	free(text);
}

static void a_table_without_rows_prints_nothing(void **state)
{
	struct table table = {.columns = "<>"};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	table_row(&table, "NAME", "N");
	table_print(&table, out);
	(void)fclose(out);
	assert_int_equal(len, 0);
	free(text);
}

static void no_cell_moves_the_cursor(void **state)
{
	char cell[8];

	(void)state;
	table_clean(cell, sizeof(cell), "\033[2J\n\xc3\xa4");
	assert_string_equal(cell, "?[2J???");
	table_clean(cell, sizeof(cell), "longer than it");
	assert_string_equal(cell, "longer ");
	table_clean(cell, sizeof(cell), "");
	assert_string_equal(cell, "-");
}

static void times_have_their_two_greatest_units(void **state)
{
	const uint64_t s = UINT64_C(1000000000);

	(void)state;
	assert_string_equal(text_time(0).text, "0s");
	assert_string_equal(text_time(59 * s).text, "59s");
	assert_string_equal(text_time(60 * s).text, "1m 00s");
	assert_string_equal(text_time(3661 * s).text, "1h 01m");
	assert_string_equal(text_time(90061 * s).text, "1d 01h");
}

static void ls_has_pools_devices_and_members(void **state)
{
	json_t *answer = answer_of(ANSWER);
	char *text = printed(report_ls, answer);

	(void)state;
	assert_string_equal(
		text,
		"POOL     BYTES  BUFFERS  FREE  HELD  MEMBERS\n"
		"buffers   256M     4096  3000  1001        2\n"
		"\n"
		"DEVICE             POOL     MEMBER  PID  STATE\n"
		"nvme:0000:41:00.0  buffers       1  100  ready\n"
		"\n"
		"POOL     MEMBER  PID  COMMAND     ROLE    HELD  STATE\n"
		"buffers       1  100  nvme-serve  device  1000  live\n"
		"buffers       2  200  a?[2J       client     1  live, not connected\n");
	free(text);
	json_decref(answer);
}

static void stat_has_all_of_the_answer(void **state)
{
	static const char *const words[] = {
		"piniond 0.1.0, process 77, up 1d 01h, 5M of memory, 3 peers, 1 restarts\n",
		"deaths           2\n", "pool buffers, 256M\n", "  4096  3000  retiring\n",
		"  2M     64K     4096  3000  1001\n", "   64M  client  a?[2J", "none  device",
		"1024        512          0\n", "parked     ready\n",
	};
	json_t *answer = answer_of(ANSWER);
	char *text = printed(report_stat, answer);

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_says(text, words[i]);
	free(text);
	json_decref(answer);
}

static void stat_says_which_pool_is_damaged(void **state)
{
	json_t *answer = answer_of("{'pools':[{'name':'a','damaged':true},"
				   "{'name':'b','damaged':false}]}");
	char *text = printed(report_stat, answer);

	(void)state;
	assert_says(text, "\npool a, 0B, damaged: pages were punched out of it\n");
	assert_says(text, "\npool b, 0B\n");
	free(text);
	json_decref(answer);
}

static void a_pool_made_from_a_template_is_one_like_the_others(void **state)
{
	json_t *answer = answer_of("{'pools':[{'name':'own.1','template':true,"
				   "'members':[{'number':1},{'number':2}]}]}");
	char *ls = printed(report_ls, answer), *stat = printed(report_stat, answer);

	(void)state;
	assert_says(ls, "own.1     0B        0     0     0        2\n");
	assert_says(stat, "\npool own.1, 0B, one client's own, made from a template\n");
	free(ls);
	free(stat);
	json_decref(answer);
}

/* Where the pages are on several. */
static void a_node_that_is_none_is_not_shown_as_node_0(void **state)
{
	json_t *answer = answer_of("{'pools':[{'name':'p','segments':[{'slot':0,'node':-1}],"
				   "'zones':[{'node':-1,'total':8,'free':8}]}]}");
	const struct frame_view view = {.now = answer};
	char *stat = printed(report_stat, answer);
	struct frame frame = {0};

	(void)state;
	assert_says(stat, "\n        0     -    0B      0B     0B        0     0  used\n");
	assert_says(stat, "\n        0     -    0B      0B        8     8     0\n");
	frame_draw(&frame, &view, 80);
	assert_says(frame.line[2].text, "node -  p  8 of 0B: 8 free, 0 held");
	frame_free(&frame);
	free(stat);
	json_decref(answer);
}

/* Of another release, or of no sense. */
static void an_answer_that_lacks_everything_is_shown(void **state)
{
	static const char *const answers[] = {
		"{}", "{'pools':7,'devices':{},'counters':[]}",
		"{'pools':[{},1,null],'devices':[{},'x']}",
		"{'pools':[{'zones':[{'total':10,'free':99,'held':77}],'members':[{'held':-5}]}]}",
		"{'pools':[{'channels':[{'to_device':9,'slots':3}]}]}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		json_t *answer = answer_of(answers[i]);
		const struct frame_view view = {.now = answer};
		struct frame frame = {0};
		char *ls = printed(report_ls, answer), *stat = printed(report_stat, answer);

		frame_draw(&frame, &view, 80);
		assert_true(frame.nr >= 1);
		assert_true(strlen(ls) && strlen(stat));
		frame_free(&frame);
		free(ls);
		free(stat);
		json_decref(answer);
	}
}

static void hugepages_of_a_node_are_free_of_pools_or_of_others(void **state)
{
#define SEGMENT(node, page, len) "{'node':" #node ",'page_size':" #page ",'len':" #len "}"
	json_t *answer = answer_of("{'pools':[{'name':'a','segments':["
				   SEGMENT(0, 2097152, 8388608) "," SEGMENT(0, 4096, 8388608) ","
				   SEGMENT(1, 2097152, 4194304) "," SEGMENT(-1, 2097152, 2097152)
				   "]},{'name':'b','segments':[" SEGMENT(0, 2097152, 2097152)
				   "]}]}");
	static const struct pages pages[] = {
		{0, 2 << 20, 16, 6}, {0, 1 << 30, 2, 0}, {1, 2 << 20, 2, 1}, {2, 0, 0, 0}};
	const struct frame_view view = {.now = answer, .pages = pages, .nr_pages = 4};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_string_equal(frame.line[1].text, "");
	assert_string_equal(frame.line[2].text,
			    "node 0  hugepages  16 of 2M: 6 free, 4 of a, 1 of b, 5 of others");
	assert_string_equal(frame.line[3].text, "node 0  hugepages  2 of 1G: 0 free, 2 of others");
	/* Counted at two moments. */
	assert_string_equal(frame.line[4].text, "node 1  hugepages  2 of 2M: 1 free, 1 of a");
	assert_string_equal(frame.line[5].text, "node 2  hugepages  none");
	frame_free(&frame);
	json_decref(answer);
#undef SEGMENT
}

/* How often @sign stands in the lines from the first map's on, in @colour; line 2 is its title. */
static unsigned cells_of(const struct frame *frame, size_t lines, char sign, int colour)
{
	unsigned nr = 0;

	for (size_t row = 3; row < 3 + lines; row++)
		for (size_t i = 2; frame->line[row].text[i]; i++)
			nr += frame->line[row].text[i] == sign &&
			      (colour < 0 || frame->line[row].colour[i] == colour);
	return nr;
}

static void a_map_shows_shares_and_everybody_who_holds_anything(void **state)
{
	json_t *answer = answer_of(ANSWER);
	const struct frame_view view = {.now = answer};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 102); /* two lines of 100 cells for 4096 buffers */
	assert_string_equal(frame.line[2].text,
			    "node 0  buffers  4096 of 64K: 3000 free, 1001 held");
	assert_int_equal(cells_of(&frame, 2, '1', 2), 48); /* of 1000 */
	assert_int_equal(cells_of(&frame, 2, '2', 3), 1);  /* of one: less than a cell */
	assert_int_equal(cells_of(&frame, 2, '-', 0), 4);  /* of the 95 that are neither */
	assert_int_equal(cells_of(&frame, 2, '.', 0), 147);
	frame_free(&frame);
	json_decref(answer);
}

static void a_map_has_no_more_cells_than_buffers(void **state)
{
	json_t *answer = answer_of("{'pools':[{'name':'few','zones':[{'total':8,'free':5,"
				   "'held':3}],'members':[{'number':9,'held':3}]}]}");
	const struct frame_view view = {.now = answer};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_string_equal(frame.line[3].text, "  999.....");
	frame_free(&frame);
	json_decref(answer);
}

/* One who is missing from the list, or counted a moment later, is not another's. */
static void what_nobody_listed_holds_is_nobodys(void **state)
{
	json_t *answer = answer_of("{'pools':[{'zones':[{'total':10,'free':4,'held':5}],"
				   "'members':[{'number':1,'held':2}]}]}");
	const struct frame_view view = {.now = answer};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_string_equal(frame.line[3].text, "  11??" "?-....");
	frame_free(&frame);
	json_decref(answer);
}

#define TWO_ZONES(members) \
	"{'pools':[{'zones':[{'total':10,'free':2,'held':8},{'total':10,'free':8,'held':2}]," \
	"'members':[" members "]}]}"

static void the_map_of_a_zone_shows_who_holds_what_of_it(void **state)
{
	json_t *answer = answer_of(TWO_ZONES("{'number':1,'held':7,'held_by_zone':[7,0]},"
					     "{'number':2,'held':3,'held_by_zone':[1,2]}"));
	const struct frame_view view = {.now = answer};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_string_equal(frame.line[2].text, "node 0    10 of 0B: 2 free, 8 held");
	assert_string_equal(frame.line[3].text, "  11111112..");
	assert_string_equal(frame.line[5].text, "  22........");
	frame_free(&frame);
	json_decref(answer);
}

/* By a service of another release. */
static void who_holds_what_of_several_zones_is_not_guessed(void **state)
{
	json_t *answer = answer_of(TWO_ZONES("{'number':1,'held':7},{'number':2,'held':3}"));
	const struct frame_view view = {.now = answer};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_says(frame.line[2].text, "8 held, by whom is not told");
	assert_string_equal(frame.line[3].text, "  ????" "????..");
	assert_string_equal(frame.line[5].text, "  ??" "........");
	frame_free(&frame);
	json_decref(answer);
}

static void stat_says_what_members_hold_of_each_of_several_zones(void **state)
{
	json_t *answer = answer_of(TWO_ZONES("{'number':1,'held':7,'held_by_zone':[7,0]},"
					     "{'number':2,'held':3,'held_by_zone':[1,2]}"));
	char *text = printed(report_stat, answer);

	(void)state;
	assert_says(text, "\n   MEMBER  ZONE  HELD\n        1     0     7\n        2     0     1\n"
			  "        2     1     2\n");
	free(text);
	json_decref(answer);
}

static void a_full_channel_has_a_full_bar(void **state)
{
	json_t *answer = answer_of("{'pools':[{'channels':[{'client':2,'device':1,'slots':64,"
				   "'to_device':64,'to_client':32}]}]}");
	const struct frame_view view = {.now = answer};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_string_equal(frame.line[2].text,
			    "  2->1 [##########]   64/64    back [#####.....]   32/64  ");
	frame_free(&frame);
	json_decref(answer);
}

/* Rows of the members' table, top down, by their signs. */
static void order_of(const struct frame *frame, char *signs, size_t room)
{
	size_t nr = 0;

	for (size_t i = 0; i < frame->nr && nr + 1 < room; i++) {
		const char *text = frame->line[i].text;

		if (strncmp(text, "  ", 2) == 0 && text[2] != ' ' && text[3] == ' ')
			signs[nr++] = text[2];
	}
	signs[nr] = '\0';
}

static void members_are_sorted_as_asked(void **state)
{
#define MEMBER(number, held) "{'number':" #number ",'pid':1,'held':" #held "}"
	json_t *before = answer_of("{'pools':[{'name':'p','members':[" MEMBER(1, 5) ","
				   MEMBER(2, 30) "," MEMBER(3, 20) "]}]}");
	json_t *now = answer_of("{'pools':[{'name':'p','members':[" MEMBER(3, 10) ","
				MEMBER(2, 30) "," MEMBER(1, 6) "]}]}");
	struct frame_view view = {.now = now, .before = before,
				  .span_ns = UINT64_C(2000000000)};
	static const char *const wanted[SORTS] = {"231", "312", "123"};
	struct frame frame = {0};

	(void)state;
	for (view.sort = 0; view.sort < SORTS; view.sort++) {
		char signs[8];

		frame_draw(&frame, &view, 80);
		order_of(&frame, signs, sizeof(signs));
		assert_string_equal(signs, wanted[view.sort]);
	}
	assert_says(frame.line[5].text, " 10        -5 "); /* 3, last by number */
	frame_free(&frame);
	json_decref(before);
	json_decref(now);
#undef MEMBER
}

static void a_member_that_is_new_has_no_rate(void **state)
{
	json_t *before = answer_of("{'pools':[{'name':'p','members':[{'number':1,'pid':7}]}]}");
	json_t *now =
		answer_of("{'pools':[{'name':'p','members':[{'number':1,'pid':8,'held':9}]}]}");
	const struct frame_view view = {.now = now, .before = before, .span_ns = 1000000000};
	struct frame frame = {0};

	(void)state;
	frame_draw(&frame, &view, 80);
	assert_says(frame.line[3].text, " 9         - ");
	frame_free(&frame);
	json_decref(before);
	json_decref(now);
}

static void no_line_is_wider_than_the_picture(void **state)
{
	json_t *answer = answer_of(ANSWER);
	static const struct pages pages[] = {{0, 2 << 20, 1000000, 0}};
	const struct frame_view view = {.now = answer, .pages = pages, .nr_pages = 1};
	struct frame frame = {0};

	(void)state;
	for (size_t cols = 0; cols < 2 * FRAME_COLS_MAX; cols += 7) {
		frame_draw(&frame, &view, cols);
		for (size_t i = 0; i < frame.nr; i++)
			assert_in_range(strlen(frame.line[i].text), 0, cols < 40 ? 40 : cols);
	}
	frame_free(&frame);
	json_decref(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(a_table_without_rows_prints_nothing),
		cmocka_unit_test(no_cell_moves_the_cursor),
		cmocka_unit_test(times_have_their_two_greatest_units),
		cmocka_unit_test(ls_has_pools_devices_and_members),
		cmocka_unit_test(stat_has_all_of_the_answer),
		cmocka_unit_test(stat_says_which_pool_is_damaged),
		cmocka_unit_test(a_pool_made_from_a_template_is_one_like_the_others),
		cmocka_unit_test(a_node_that_is_none_is_not_shown_as_node_0),
		cmocka_unit_test(an_answer_that_lacks_everything_is_shown),
		cmocka_unit_test(hugepages_of_a_node_are_free_of_pools_or_of_others),
		cmocka_unit_test(a_map_shows_shares_and_everybody_who_holds_anything),
		cmocka_unit_test(a_map_has_no_more_cells_than_buffers),
		cmocka_unit_test(what_nobody_listed_holds_is_nobodys),
		cmocka_unit_test(the_map_of_a_zone_shows_who_holds_what_of_it),
		cmocka_unit_test(who_holds_what_of_several_zones_is_not_guessed),
		cmocka_unit_test(stat_says_what_members_hold_of_each_of_several_zones),
		cmocka_unit_test(a_full_channel_has_a_full_bar),
		cmocka_unit_test(members_are_sorted_as_asked),
		cmocka_unit_test(a_member_that_is_new_has_no_rate),
		cmocka_unit_test(no_line_is_wider_than_the_picture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
