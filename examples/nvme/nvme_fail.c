/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_fail.h"

#include <err.h>
#include <stdarg.h>

void nvme_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
}

int nvme_fail(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
	return err;
}
