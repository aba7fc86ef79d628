/* SPDX-License-Identifier: BSD-3-Clause */
#include "operations.h"

/* What `fault` and `storm` put to the test: the library. */
const struct operation *const operation_tables[] = {
	pool_operations,
	segment_operations,
	named_operations,
	resume_operations,
	domain_operations,
	ipc_operations,
	wait_operations,
	broadcast_operations,
	fanin_operations,
	NULL,
};
