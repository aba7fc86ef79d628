/* SPDX-License-Identifier: BSD-3-Clause */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

#include <pinion/error.h>

/* A path and a list of devices fit; longer sentences are cut, never overrun. */
static _Thread_local char sentence[512];

int pinion_fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	return err;
}

const char *pinion_error_text(void)
{
	return sentence;
}
