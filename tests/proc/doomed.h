/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_DOOMED_H
#define PINION_TESTS_DOOMED_H

/*
 * A keeper in a child, which admits who comes and does nothing else until it is killed.
 *
 *  - doomed_open(): once this returns, sessions can be opened at its path.
 *  - doomed_close(): it was killed.
 */

#include "proc_support.h"

struct doomed {
	char dir[SUPPORT_PATH_LEN], path[SUPPORT_PATH_LEN + 16];
	pid_t pid;
};

static inline int doomed_keep(const struct doomed *doomed, int listening)
{
	struct pinion_pool_config config = pool_config(512, BUFFER);
	struct pinion_rendezvous *rendezvous;
	struct pinion_event event;
	struct pinion_pool *pool;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pinion_pool_create(&config, &pool) ||
	    pinion_rendezvous_open(pool, doomed->path, NULL, &rendezvous) ||
	    write(listening, "", 1) != 1)
		return 1;
	for (;;)
		if (pinion_rendezvous_next(rendezvous, &event) < 0)
			return 2;
}

static inline void doomed_open(struct doomed *doomed)
{
	int listening[2];

	support_dir_create(doomed->dir);
	snprintf(doomed->path, sizeof(doomed->path), "%s/keeper", doomed->dir);
	assert_int_equal(pipe2(listening, O_CLOEXEC), 0);
	fflush(NULL);
	doomed->pid = fork();
	assert_true(doomed->pid >= 0);
	if (doomed->pid == 0)
		_exit(doomed_keep(doomed, listening[1]));
	close(listening[1]);
	assert_int_equal(read(listening[0], &(char){0}, 1), 1);
	close(listening[0]);
}

static inline void doomed_close(const struct doomed *doomed)
{
	assert_int_equal(member_end(doomed->pid), 128 + SIGKILL);
	support_dir_destroy(doomed->dir);
}

#endif
