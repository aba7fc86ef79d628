/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * top: frames on a terminal, a new one each second. The service is asked anew each time, so that
 * one that was restarted meanwhile is found again; while it is away the last frame stays.
 *
 * The terminal is put back by whatever way the process ends, but for SIGKILL: signals that end it
 * only set a mark, and exit() does the rest.
 */
#include "answer.h"
#include "command.h"
#include "frame.h"
#include "query.h"

#include <err.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pinion/error.h>

#define PERIOD_MS 1000

struct top {
	struct frame frame;
	json_t *now, *before; /* NULL: not yet */
	struct pages *pages;
	size_t nr_pages;
	uint64_t now_ns, before_ns;
	enum frame_sort sort;
	size_t first; /* line of the frame that is shown on top */
	bool paused, lost;
};

static volatile sig_atomic_t ended; /* the signal that came; 0: none */

static void end(int signal)
{
	ended = signal;
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Asks, and keeps the answer before. */
static int top_ask(struct top *top, const struct options *opt)
{
	json_t *answer = NULL;
	const int err = query_ask(opt->socket, "stat", "", &answer);

	top->lost = err != 0;
	if (err)
		return err;
	json_decref(top->before);
	top->before = top->now;
	top->before_ns = top->now_ns;
	top->now = answer;
	top->now_ns = clock_ns();
	free(top->pages);
	top->nr_pages = pages_read(opt->root, &top->pages);
	return 0;
}

static void top_draw(struct top *top, size_t cols)
{
	const struct frame_view view = {.now = top->now, .before = top->before,
					.span_ns = top->now_ns - top->before_ns,
					.pages = top->pages, .nr_pages = top->nr_pages,
					.sort = top->sort};

	frame_draw(&top->frame, &view, cols);
}

static void top_free(struct top *top)
{
	json_decref(top->now);
	json_decref(top->before);
	free(top->pages);
	frame_free(&top->frame);
}

static void line_show(const struct frame_line *line, int row)
{
	const int cols = getmaxx(stdscr);

	move(row, 0);
	for (int i = 0; i < cols && i < FRAME_COLS_MAX && line->text[i]; i++)
		addch((chtype)(unsigned char)line->text[i] | COLOR_PAIR(line->colour[i]));
}

/* The last row: keys, and what of the frame is out of sight. */
static void keys_show(const struct top *top, int row, size_t below)
{
	attron(A_REVERSE);
	mvprintw(row, 0, " q end  p %s  s sort: %s ", top->paused ? "go on" : "pause",
		 frame_sort_name(top->sort));
	if (top->first)
		printw(" up: %zu lines ", top->first);
	if (below)
		printw(" down: %zu more lines ", below);
	if (top->lost)
		printw(" the service does not answer: this is from before ");
	attroff(A_REVERSE);
}

/* Rows of the screen for the frame. */
static size_t page_rows(void)
{
	const int rows = getmaxy(stdscr) - 1;

	return rows > 1 ? (size_t)rows : 1;
}

static void top_show(struct top *top)
{
	const size_t page = page_rows();
	size_t last, shown = 0;

	top_draw(top, (size_t)getmaxx(stdscr));
	/* A frame that became shorter is not scrolled out of sight. */
	last = top->frame.nr > page ? top->frame.nr - page : 0;
	if (top->first > last)
		top->first = last;
	erase();
	for (; shown < page && top->first + shown < top->frame.nr; shown++)
		line_show(&top->frame.line[top->first + shown], (int)shown);
	keys_show(top, (int)page, last - top->first);
	refresh();
}

static void terminal_restore(void)
{
	if (!isendwin())
		(void)endwin();
}

static void terminal_prepare(void)
{
	const struct sigaction act = {.sa_handler = end};
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

	(void)initscr(); /* ends the process when it does not know the terminal */
	(void)atexit(terminal_restore);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &act, NULL);
	(void)cbreak();
	(void)noecho();
	(void)keypad(stdscr, true);
	(void)curs_set(0);
	if (has_colors() && start_color() == OK && use_default_colors() == OK)
		for (short i = 1; i <= FRAME_COLOURS; i++)
			(void)init_pair(i, i, -1);
}

/* The line that is on top after a key; beyond the last one top_show() goes back. */
static size_t scrolled(const struct top *top, int key)
{
	const size_t page = page_rows(), first = top->first;

	switch (key) {
	case KEY_DOWN:
		return first + 1;
	case KEY_UP:
		return first ? first - 1 : 0;
	case KEY_NPAGE:
		return first + page;
	case KEY_PPAGE:
		return first > page ? first - page : 0;
	case KEY_HOME:
		return 0;
	case KEY_END:
		return top->frame.nr;
	default:
		return first;
	}
}

/* Keys until it is time for the next frame. Returns false at the end. */
static bool top_keys(struct top *top, uint64_t until_ns)
{
	while (!ended) {
		const uint64_t now = clock_ns();
		int key;

		timeout(now < until_ns ? (int)((until_ns - now) / 1000000) + 1 : 0);
		key = getch();
		if (key == 'q')
			return false;
		if (key == ERR && clock_ns() >= until_ns)
			return true;
		if (key == ERR)
			continue;
		if (key == 'p')
			top->paused = !top->paused;
		if (key == 's')
			top->sort = (top->sort + 1) % SORTS;
		top->first = scrolled(top, key);
		top_show(top); /* also when the size changed */
	}
	return false;
}

static void top_live(struct top *top, const struct options *opt)
{
	terminal_prepare();
	for (bool on = true; on; on = top_keys(top, clock_ns() + PERIOD_MS * UINT64_C(1000000))) {
		if (!top->paused)
			(void)top_ask(top, opt); /* the last row says so */
		top_show(top);
	}
	terminal_restore();
}

static size_t cols_wanted(void)
{
	const char *cols = getenv("COLUMNS");
	const long number = cols ? strtol(cols, NULL, 10) : 0;

	return number > 0 ? (size_t)number : 80;
}

enum exit_code command_top(const struct options *opt)
{
	struct top top = {0};
	const int err = top_ask(&top, opt);

	if (err)
		return command_failed(err);
	if (!opt->once && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		warnx("top wants a terminal; --once prints one frame without");
		top_free(&top);
		return EXIT_USAGE;
	}
	if (opt->once) {
		top_draw(&top, cols_wanted());
		frame_print(&top.frame, stdout);
	} else {
		top_live(&top, opt);
	}
	top_free(&top);
	if (!ended)
		return output_done();
	/* Whoever started it sees what ended it. */
	(void)signal(ended, SIG_DFL);
	(void)raise(ended);
	return EXIT_FAILED;
}
