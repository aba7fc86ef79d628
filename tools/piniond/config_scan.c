/* SPDX-License-Identifier: BSD-3-Clause */
#include "config_scan.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct scan {
	struct config_mistakes *mistakes;
	const char *at;
	unsigned line;
	bool harmful; /* to the parser */
};

/* To @end, lines counted. */
static void go_to(struct scan *scan, const char *end)
{
	for (; scan->at < end; scan->at++)
		scan->line += *scan->at == '\n';
}

static void stop_at(struct scan *scan, const char *why)
{
	scan->harmful = true;
	mistake_at(scan->mistakes, scan->line, "%s", why);
}

static void skip_string(struct scan *scan)
{
	const char *end = scan->at + 1;

	while (*end != '\0' && *end != '"')
		end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
	if (*end == '\0')
		stop_at(scan, "a text begins here that has no end");
	go_to(scan, *end == '"' ? end + 1 : end);
}

static void skip_block(struct scan *scan)
{
	const char *end = strstr(scan->at + 2, "*/");

	if (end == NULL)
		stop_at(scan, "a comment begins here that has no end");
	go_to(scan, end != NULL ? end + 2 : strchr(scan->at, '\0'));
}

static void scan_number(struct scan *scan)
{
	const char *from = scan->at;
	const size_t len = strspn(from, "0123456789abcdefABCDEFxX.+-");
	const int hex = from[0] == '0' && (from[1] == 'x' || from[1] == 'X');
	const size_t digits = strspn(from, "0123456789");
	char *end;

	scan->at += len;
	if (!hex && digits < len) /* a fraction: its reader says that it is none of ours */
		return;
	if (digits > 1 && from[0] == '0' && !hex)
		mistake_at(scan->mistakes, scan->line, "%.*s: a leading zero means nothing here: "
			   "leave it out, or, if it is octal, put it in quotes", (int)len,
			   from);
	if (strtoull(from, &end, hex ? 16 : 10) <= INT32_MAX || *end == 'L')
		return;
	mistake_at(scan->mistakes, scan->line, "%.*s would be cut to 32 bits: write an L behind "
		   "it, or a size such as \"64G\"", (int)len, from);
}

static void scan_word(struct scan *scan)
{
	while (isalnum((unsigned char)*scan->at) || (*scan->at != '\0' && strchr("_*-", *scan->at)))
		scan->at++;
}

bool scan_text(struct config_mistakes *mistakes, const char *text)
{
	struct scan scan = {mistakes, text, 1, false};

	while (*scan.at != '\0')
		if (*scan.at == '"')
			skip_string(&scan);
		else if (!strncmp(scan.at, "/*", 2))
			skip_block(&scan);
		else if (*scan.at == '#' || !strncmp(scan.at, "//", 2))
			go_to(&scan, strchrnul(scan.at, '\n'));
		else if (isdigit((unsigned char)*scan.at))
			scan_number(&scan);
		else if (isalpha((unsigned char)*scan.at) || *scan.at == '*')
			scan_word(&scan);
		else {
			if (*scan.at == '@')
				stop_at(&scan, "no @include: all is in one file");
			go_to(&scan, scan.at + 1);
		}
	return !scan.harmful;
}
