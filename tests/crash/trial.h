/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_TESTS_TRIAL_H
#define PINION_TESTS_TRIAL_H

/*
 * One operation of a process that uses piniond, one moment at which that is killed, and whether
 * everything is as it must be afterwards (service.c says what that is).
 *
 *     trial_open()    the service and its manager; they serve all trials, until one goes wrong
 *     trial_look()    the operation without a kill: what entries and exits there are
 *     trial_scan()    the same, a part of it stepped through: what stores there are
 *     trial_run()     with one
 *     trial_close()
 *
 * Of two trials one is on a service that has just taken everything up again, so that what it does
 * then is tried as well.
 */

#include <stdbool.h>
#include <stdint.h>

#include "cast.h"
#include "hunt.h"

/* No operation has more entries and exits of system calls. */
#define COURSE_MAX 1024

enum kind { CALL, STORE, STEP };

struct moment {
	enum kind kind;
	uint32_t call, nth;
	uint32_t tries; /* the caller's: how many times it was not met */
};

struct operation {
	const char *name;
	bool device, client, pool_client; /* there before it; the clients hold buffers */
	bool apart;                       /* the client is in a pool of its own */
	bool named;                       /* all are in one on hugetlbfs */
	bool loop;                        /* all are woken in loops */
	bool grown;                       /* the pool was, by a segment, which is... */
	bool full;                        /* ... in use */
	bool extra;                       /* the other pool is there */
	bool lost;                        /* the device process was killed, and buried */
	bool pages;                       /* needs a hugepage */
	bool parked;                      /* the device process has a container parked */
	bool shared;                      /* the device process has shared where all lies */
	bool device_acts, dies;           /* rather than the client; rather than @order */
	bool restarts;                    /* or the service is told to end, as for a new one */
	enum order order;
};

struct course {
	uint32_t nr;             /* entries and exits of system calls until it sleeps */
	bool stored[COURSE_MAX]; /* was the ledger written to since the one before? */
};

/* The most that any of several trials came upon. */
struct scan {
	uint32_t nr;                 /* as in a course */
	uint32_t stores[COURSE_MAX]; /* after so many entries and exits, and before the next */
	bool through[COURSE_MAX];    /* there was time to step to the next */
	bool news;                   /* set when there is more than before */
};

extern const char *const trial_kinds[];

/* What was wrong with the last trial that was not well, and what repeats it. */
#define TRIAL_REASON_MAX 400
extern char trial_reason[TRIAL_REASON_MAX];

extern struct trial_count {
	uint64_t deaths, nested; /* of the service; of one that took everything up again */
} trial_count;

/* Why it cannot run here, or NULL. */
const char *trial_lack(const struct operation *operation);

void trial_open(void);
void trial_close(void);

/* True: nothing was wrong. Otherwise it is told. @at: STOP_HERE: it was killed at that moment.
 * Otherwise there is none such, or (STOP_LATE) no time to come to it. */
bool trial_look(const struct operation *operation, struct course *course);
bool trial_run(const struct operation *operation, const struct moment *moment, uint64_t seed,
	       enum stop *at);

/* Steps through a slice of the operation from after @call entries and exits of system calls on, and
 * adds what it finds to @scan. @next: where the slice ends; 0: the operation does. */
bool trial_scan(const struct operation *operation, uint32_t call, bool renewed, struct scan *scan,
		uint32_t *next);

#endif
