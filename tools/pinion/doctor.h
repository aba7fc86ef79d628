/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_DOCTOR_H
#define PINION_DOCTOR_H

/*
 * What this machine has, and lacks, for pinion. Nothing is changed, and no service is needed.
 *
 *     findings = {0}
 *     doctor_memory(tree, &findings)      hugepages, hugetlbfs, the limit on locked memory
 *     doctor_pci(tree, &findings)         IOMMU, drivers, groups, devices given to user space
 *     doctor_kernel(tree, &findings)      what the kernel can, by doing it; what forbids it
 *     doctor_service(socket, &findings)   does it answer?
 *     findings_print(), findings_worst()
 *     findings_free()
 *
 * A finding is FAIL when the service, or a device that was given to it, cannot work like this; WARN
 * when a part of pinion does without, or is slower: a machine that needs no device needs no IOMMU.
 * What cannot be read counts as not there, unless a finding says that it could not be read.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tree.h"

enum grade {
	GRADE_OK = 0,
	GRADE_WARN = 1,
	GRADE_FAIL = 2,
};

struct finding {
	enum grade grade;
	const char *topic; /* one word */
	char *text;
	char *mend;        /* the command that mends it; NULL: nothing to mend */
};

struct findings {
	struct finding *finding;
	size_t nr;
};

/* Ends the process when there is no memory: a doctor who forgets findings is worse than none. */
__attribute__((format(printf, 5, 6)))
void findings_add(struct findings *findings, enum grade grade, const char *topic, const char *mend,
		  const char *text, ...);

enum grade findings_worst(const struct findings *findings);
void findings_print(const struct findings *findings, FILE *out);
/* 0, or -ENOMEM */
int findings_print_json(const struct findings *findings, FILE *out);
void findings_free(struct findings *findings);

void doctor_memory(const struct tree *tree, struct findings *findings);
void doctor_pci(const struct tree *tree, struct findings *findings);

/* The calls are made on this kernel, so with a fake tree they are not. */
void doctor_kernel(const struct tree *tree, struct findings *findings);
void doctor_service(const char *socket, struct findings *findings);

#endif
