/* SPDX-License-Identifier: BSD-3-Clause */
#include "mouth.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scene.h"

/* High numbers: operations find the low ones free as they do outside a test. */
#define OUT_OF_THE_WAY 200

void mouth_open(struct mouth *mouth)
{
	int file = memfd_create("mouth", MFD_CLOEXEC);

	scene_must(file >= 0, "a file for what is printed");
	mouth->heard = fcntl(file, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	mouth->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	(void)close(file);
	scene_must(mouth->heard >= 0 && mouth->saved >= 0 &&
			   dup2(mouth->heard, STDERR_FILENO) == STDERR_FILENO,
		   "standard error in a file");
}

void mouth_close(struct mouth *mouth, char *text, unsigned len)
{
	ssize_t got = pread(mouth->heard, text, len - 1, 0);

	text[got > 0 ? got : 0] = '\0';
	(void)dup2(mouth->saved, STDERR_FILENO);
	(void)close(mouth->saved);
	(void)close(mouth->heard);
}
