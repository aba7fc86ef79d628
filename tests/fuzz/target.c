/* SPDX-License-Identifier: BSD-3-Clause */
/* What libFuzzer calls, for each target. */
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct script script = {data, len};

	target_open();
	while (script.left)
		target_step(&script);
	target_close();
	return 0;
}
