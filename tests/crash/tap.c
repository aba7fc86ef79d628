/* SPDX-License-Identifier: BSD-3-Clause */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int done, failed;

static void line(const char *head, const char *format, va_list args)
{
	fputs(head, stdout);
	vprintf(format, args);
	putchar('\n');
	/* A child that is forked later must not print it again. */
	fflush(stdout);
}

void tap_plan(int nr)
{
	printf("1..%d\n", nr);
	fflush(stdout);
}

void tap_result(bool good, const char *format, ...)
{
	char head[32];
	va_list args;

	failed += !good;
	snprintf(head, sizeof(head), "%s %d - ", good ? "ok" : "not ok", ++done);
	va_start(args, format);
	line(head, format, args);
	va_end(args);
}

void tap_remark(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line("# ", format, args);
	va_end(args);
}

int tap_skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	return 0;
}

void tap_bail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line("Bail out! ", format, args);
	va_end(args);
	exit(1);
}

int tap_status(void)
{
	return failed != 0;
}
