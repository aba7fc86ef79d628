/* SPDX-License-Identifier: BSD-3-Clause */
#include "hugepages_interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

static const int ending[] = { SIGINT, SIGTERM, SIGHUP };

static volatile sig_atomic_t came; /* a signal's number */

static void mark(int number)
{
	came = number;
}

static void replace(void (*from)(int), void (*to)(int))
{
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
		struct sigaction action;

		/* One that is ignored, as nohup(1) has it, stays so; one handled is not ours. */
		if (sigaction(ending[i], NULL, &action) || action.sa_handler != from)
			continue;
		action = (struct sigaction){ .sa_handler = to, .sa_flags = SA_RESTART };
		(void)sigaction(ending[i], &action, NULL);
	}
}

void hp_interrupt_hold(void)
{
	came = 0;
	replace(SIG_DFL, mark);
}

bool hp_interrupt_came(void)
{
	return came != 0;
}

void hp_interrupt_release(void)
{
	replace(mark, SIG_DFL);
	if (!came)
		return;
	(void)fflush(stdout);
	(void)raise(came);
}
