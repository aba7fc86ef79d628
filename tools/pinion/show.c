/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that only ask: ls, stat, addr. */
#include "answer.h"
#include "command.h"
#include "query.h"

#include <err.h>
#include <errno.h>
#include <string.h>

#include "../hugepages_text.h"
#include "wire.h"
#include <pinion/error.h>

/* What to do, for the errors that have an answer. */
static const char *remedy_of(int err)
{
	switch (err) {
	case -ECONNREFUSED:
		return "start it: systemctl start piniond; `pinion doctor` tells what is missing";
	case -EACCES:
	case -EPERM:
		return "run as root, or have a rule in piniond.conf (admin = true for orders, "
		       "addresses = true for addr)";
	case -EBUSY:
		return "end its members, or kick them (pinion member kick)";
	case -ENOMEM:
	case -ENOSPC:
		return "reserve more hugepages (hugepages reserve), or ask for less";
	default:
		return NULL;
	}
}

enum exit_code command_failed(int err)
{
	const char *remedy = remedy_of(err);

	warnx("%s", pinion_error_text());
	if (remedy)
		fprintf(stderr, "  what to do: %s\n", remedy);
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
	case -ESRCH:
		return EXIT_NOT_FOUND;
	case -EBUSY:
	case -EEXIST:
		return EXIT_IN_USE;
	case -EACCES:
	case -EPERM:
		return EXIT_PERMISSION;
	case -ENOMEM:
	case -ENOSPC:
		return EXIT_SHORT;
	default:
		return EXIT_FAILED;
	}
}

enum exit_code output_done(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_DONE;
	warn("output");
	return EXIT_FAILED;
}

static enum exit_code show(const struct options *opt, const char *name, const char *text,
			   void (*report)(const json_t *answer, FILE *out))
{
	json_t *answer = NULL;
	const int err = query_ask(opt->socket, name, text, &answer);

	if (err)
		return command_failed(err);
	if (opt->json) {
		(void)json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		report(answer, stdout);
	}
	json_decref(answer);
	return output_done();
}

enum exit_code command_ls(const struct options *opt)
{
	return show(opt, "stat", "", report_ls);
}

enum exit_code command_stat(const struct options *opt)
{
	return show(opt, "stat", "", report_stat);
}

enum exit_code command_addr(const struct options *opt)
{
	char text[256];
	uint64_t buffer;

	if (!wire_name_valid(opt->operand[0])) {
		warnx("'%s' is not the name of a pool", opt->operand[0]);
		return EXIT_USAGE;
	}
	if (hp_count_parse(opt->operand[1], &buffer)) {
		warnx("'%s' is not the id of a buffer", opt->operand[1]);
		return EXIT_USAGE;
	}
	snprintf(text, sizeof(text), "%s %" PRIu64, opt->operand[0], buffer);
	return show(opt, "addr", text, report_addresses);
}
