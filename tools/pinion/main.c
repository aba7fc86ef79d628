/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pinion: see what piniond keeps, give it orders, and find out what is missing.
 *
 *     pinion doctor                          what this machine lacks, and how to mend it
 *     pinion ls                              pools, devices, members
 *     pinion top                             the same, live
 *     pinion pool create nets 256M 2K        a pool of 256 MiB in buffers of 2 KiB
 *     pinion member kick buffers 7           member 7 is killed, and what it held comes back
 */
#include "command.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
	"usage: pinion [--socket PATH] COMMAND ...\n"
	"\n"
	"See what piniond keeps, give it orders, and find out what this machine lacks.\n"
	"\n"
	"  doctor          what is missing here, and the command that mends it; needs no service\n"
	"  ls              a line for each pool, device and member\n"
	"  stat            all there is to know of them\n"
	"  top             the same, live: who holds what, how full the channels are\n"
	"  pool create     make a pool\n"
	"  pool destroy    end a pool that has no members\n"
	"  pool grow       give a pool another segment\n"
	"  pool retire     take a segment out of use; its memory goes when it is empty\n"
	"  member kick     kill a member, and take back what it held\n"
	"  addr            what a buffer is called on each device's bus\n"
	"\n"
	"`pinion COMMAND --help` tells more. Orders need a rule with admin = true in\n"
	"piniond.conf. Without --socket it is PINION_SOCKET of the environment, or\n"
	"/run/pinion/piniond.sock.\n"
	"\n"
	"exit status: 0 done; 1 failed; 2 usage; 3 no service there, or no such pool or member;\n"
	"             4 in use, or there already; 5 not permitted; 6 too few hugepages\n";

/* Which options and how many operands each command takes, and what it is for. */
static const struct command {
	const char *name;
	const char *options; /* marks, below */
	size_t least, most;  /* operands */
	enum exit_code (*run)(const struct options *opt);
	const char *help;
} commands[] = {
	{"ls", "j", 0, 0, command_ls,
	 "usage: pinion ls [--json]\n"
	 "\n"
	 "A line for each pool, device and member. HELD are buffers that a member has, or\n"
	 "has sent and nobody has taken yet; FREE + HELD may be off while members work.\n"
	 "\n"
	 "  pinion ls\n"
	 "  pinion ls --json | jq -r '.devices[].name'     names that a client can ask for\n"},
	{"stat", "j", 0, 0, command_stat,
	 "usage: pinion stat [--json]\n"
	 "\n"
	 "The service and its counters; of each pool its segments, zones (buffers of one\n"
	 "size on one node), members and channels; the devices. --json gives the service's\n"
	 "answer as it is.\n"
	 "\n"
	 "  pinion stat\n"
	 "  pinion stat --json | jq .counters.deaths\n"},
	{"top", "oR", 0, 0, command_top,
	 "usage: pinion top [--once]\n"
	 "\n"
	 "Once a second: the hugepages of each node, a map of its buffers by who holds them,\n"
	 "the members, and how full the channels are. --once prints one such frame as text.\n"
	 "\n"
	 "  keys: q end; p pause; s sort the members by held, by rate, or by number\n"},
	{"doctor", "jR", 0, 0, command_doctor,
	 "usage: pinion doctor [--json]\n"
	 "\n"
	 "Looks at hugepages, limits, the IOMMU, drivers, devices and kernel, and whether\n"
	 "the service answers. Changes nothing. Each finding is ok, warn (pinion works, a\n"
	 "part of it does not) or fail, with what to do.\n"
	 "\n"
	 "  pinion doctor | grep -v ^ok     only what is missing\n"
	 "\n"
	 "exit status: 0 nothing fails; 1 something does; 2 usage\n"},
	{"pool create", "", 3, 4, command_pool_create,
	 "usage: pinion pool create NAME SIZE BUFFER [NODE]\n"
	 "\n"
	 "Makes a pool of SIZE bytes, divided into buffers of BUFFER bytes (a power of two,\n"
	 "64 or more), of hugepages of NODE, or of whichever node has them. One that is to\n"
	 "be there always is written into piniond.conf.\n"
	 "\n"
	 "  pinion pool create packets 256M 2K\n"
	 "  pinion pool create blocks 1G 64K 1\n"},
	{"pool destroy", "", 1, 1, command_pool_destroy,
	 "usage: pinion pool destroy NAME\n"
	 "\n"
	 "Ends a pool without members and gives its hugepages back; those of one with a path in\n"
	 "piniond.conf stay, in its files. With members: exit status 4.\n"
	 "\n"
	 "  pinion pool destroy packets\n"},
	{"pool grow", "", 2, 3, command_pool_grow,
	 "usage: pinion pool grow NAME SIZE [NODE]\n"
	 "\n"
	 "Adds a segment of SIZE bytes to the pool, with buffers and pages like those of the\n"
	 "first segment that it still has. Members find it without being asked.\n"
	 "\n"
	 "  pinion pool grow packets 256M 1\n"},
	{"pool retire", "", 2, 2, command_pool_retire,
	 "usage: pinion pool retire NAME SLOT\n"
	 "\n"
	 "No buffer of the segment SLOT (see pinion stat) is given out any more; when all\n"
	 "of them are free its memory goes back. `retiring` in pinion stat until then.\n"
	 "\n"
	 "  pinion pool retire packets 1\n"},
	{"member kick", "", 2, 2, command_member_kick,
	 "usage: pinion member kick POOL MEMBER\n"
	 "\n"
	 "Kills the process of the member MEMBER (a number, see pinion ls); what it held comes\n"
	 "back, and whoever talked with it is told.\n"
	 "\n"
	 "  pinion member kick buffers 7\n"},
	{"addr", "j", 2, 2, command_addr,
	 "usage: pinion addr [--json] POOL BUFFER\n"
	 "\n"
	 "What the buffer with the id BUFFER is called on the bus of each device that has\n"
	 "the pool mapped: an IOVA, or a physical address. It takes a rule with \"addresses\".\n"
	 "\n"
	 "  pinion addr buffers 1234\n"},
};

/* Short names are our own marks, not for users: getopt_long returns them. */
static const struct option long_options[] = {
	{"socket", required_argument, NULL, 'S'},
	{"json", no_argument, NULL, 'j'},
	{"once", no_argument, NULL, 'o'},
	{"root", required_argument, NULL, 'R'}, /* for tests: a fake tree */
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void option_set(struct options *opt, int mark, const char *text)
{
	switch (mark) {
	case 'S':
		opt->socket = text;
		return;
	case 'j':
		opt->json = true;
		return;
	case 'o':
		opt->once = true;
		return;
	default:
		opt->root = text;
	}
}

static void say_help(const char *text)
{
	fputs(text, stdout);
	exit((int)output_done());
}

/* The options before the command. Returns where the command's words begin. */
static int before_parse(struct options *opt, int argc, char **argv)
{
	int mark;

	while ((mark = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		if (mark == 'h')
			say_help(usage_text);
		if (mark != 'S')
			return -EINVAL;
		opt->socket = optarg;
	}
	return optind;
}

/* A command of one or two words. @words: how many. */
static const struct command *command_find(int argc, char **argv, int *words)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char two[64] = "";

		*words = 1 + !!strchr(commands[i].name, ' ');
		if (argc >= 1)
			snprintf(two, sizeof(two), *words == 2 ? "%s %s" : "%s", argv[0],
				 argc > 1 && argv[1] ? argv[1] : "");
		if (strcmp(two, commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* `pinion pool`: which commands begin like that. Returns whether any does. */
static bool family_print(const char *word, FILE *out)
{
	const size_t len = strlen(word);
	bool any = false;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];

		if (strncmp(command->name, word, len) != 0 || command->name[len] != ' ')
			continue;
		fprintf(out, "%.*s\n", (int)strcspn(command->help, "\n"), command->help);
		any = true;
	}
	return any;
}

/* The words name no command. */
static enum exit_code say_no_command(int argc, char **argv)
{
	const bool help = argc > 1 && strcmp(argv[1], "--help") == 0;

	if (argc && family_print(argv[0], help ? stdout : stderr))
		return help ? output_done() : EXIT_USAGE;
	if (argc)
		warnx("'%s' is no command", argv[0]);
	fputs(usage_text, stderr);
	return EXIT_USAGE;
}

static int options_parse(struct options *opt, const struct command *command, int argc, char **argv)
{
	int mark;

	optind = 0; /* glibc: from the start, with other arguments */
	while ((mark = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (mark == 'h')
			say_help(command->help);
		if (mark == '?')
			return -EINVAL;
		if (mark != 'S' && !strchr(command->options, mark)) {
			warnx("%s does not take that option", command->name);
			return -EINVAL;
		}
		option_set(opt, mark, optarg);
	}
	opt->nr = (size_t)(argc - optind);
	if (opt->nr < command->least || opt->nr > command->most)
		return -EINVAL;
	for (size_t i = 0; i < opt->nr; i++)
		opt->operand[i] = argv[optind + (int)i];
	return 0;
}

int main(int argc, char **argv)
{
	struct options opt = {.root = ""};
	const int first = before_parse(&opt, argc, argv);
	int words = 0;
	const struct command *command =
		first < 0 ? NULL : command_find(argc - first, argv + first, &words);

	if (!command)
		return (int)(first < 0 ? say_no_command(0, NULL)
				       : say_no_command(argc - first, argv + first));
	/* The command's last word stands where getopt wants the program's name. */
	const int at = first + words - 1;

	argv[at] = argv[0];
	if (options_parse(&opt, command, argc - at, argv + at)) {
		fputs(command->help, stderr);
		return EXIT_USAGE;
	}
	return (int)command->run(&opt);
}
