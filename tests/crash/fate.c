/* SPDX-License-Identifier: BSD-3-Clause */
#include "fate.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define VERDICT 256

static char *verdict_page(void)
{
	static char *page;

	if (!page)
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		tap_bail("no page for verdicts");
	return page;
}

const char *fate_try(const char *name, const char *(*comes)(void *arg), void *arg)
{
	char *verdict = verdict_page();
	const char *problem;
	pid_t pid;
	int status;

	snprintf(verdict, VERDICT, "%s: that did not end, or died", name);
	pid = _Fork();
	if (pid == 0) {
		(void)alarm(5);
		problem = comes(arg);
		if (problem)
			snprintf(verdict, VERDICT, "%s: %s", name, problem);
		_exit(problem != NULL);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		tap_bail("no process for what might come");
	return status ? verdict : NULL;
}
