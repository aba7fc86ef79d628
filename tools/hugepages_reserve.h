/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TOOLS_HUGEPAGES_RESERVE_H
#define TOOLS_HUGEPAGES_RESERVE_H

/* What words say is to be reserved, as a plan that is not carried out. */

#include "hugepages_command.h"
#include "hugepages_plan.h"

/* The operand, as if there were no pages as yet; "want" is what each node is to have. */
enum exit_code reserve_plan_fresh(const struct options *opt, struct hp_plan *plan);

/*
 * What there is, of every size and node, or of those that the options name. Nodes without pages are
 * left out.
 */
enum exit_code reserve_plan_present(const struct options *opt, struct hp_plan *plan);

#endif
