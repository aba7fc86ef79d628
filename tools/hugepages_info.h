/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_INFO_H
#define TOOLS_HUGEPAGES_INFO_H

/*
 * What there is: a table for people, JSON for programs. Counters are read one after another, so a
 * line may be off by what other processes did meanwhile.
 */

#include "hugepages_sysfs.h"

/* 0, or -errno of the first counter that could not be read. */
int hp_info_print(const struct hp_sys *sys, bool json);

#endif
