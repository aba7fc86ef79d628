/* SPDX-License-Identifier: BSD-3-Clause */
#include "doctor.h"
#include "command.h"

#include <err.h>

enum exit_code command_doctor(const struct options *opt)
{
	const struct tree tree = {.root = opt->root};
	struct findings findings = {0};
	int failed = 0;

	doctor_memory(&tree, &findings);
	doctor_pci(&tree, &findings);
	doctor_kernel(&tree, &findings);
	doctor_service(opt->socket, &findings);
	if (opt->json)
		failed = findings_print_json(&findings, stdout);
	else
		findings_print(&findings, stdout);
	const enum grade worst = findings_worst(&findings);

	findings_free(&findings);
	if (failed)
		warnx("no memory for JSON");
	const enum exit_code told = output_done();

	return failed || worst == GRADE_FAIL ? EXIT_FAILED : told;
}
