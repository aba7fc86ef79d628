/* SPDX-License-Identifier: BSD-3-Clause */
#include "copy.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

static const char usage_text[] =
	"usage: nvme-copy --device NAME [OPTION]... write FILE | verify FILE | info\n"
	"       nvme-copy --socket PATH [OPTION]... write FILE | verify FILE | info\n"
	"\n"
	"Writes FILE to a drive that a device process (nvme-serve) owns, or compares the two.\n"
	"Needs no privilege. Ends with one JSON object on standard output.\n"
	"\n"
	"  --device NAME   the drive, as piniond(8) knows it: nvme:BDF\n"
	"  --service PATH  where piniond listens (PINION_SOCKET of the environment, or\n"
	"                  " PINION_SOCKET_DEFAULT ")\n"
	"  --socket PATH   without piniond: where nvme-serve listens\n"
	"  --part I/N      do the I-th of N equal parts of FILE (1/1)\n"
	"  --depth N       requests under way at once, 1 to 256 (16)\n"
	"  --offset LBA    block of the drive where FILE begins (0). Not checked against the\n"
	"                  drive's size here: blocks beyond the end are the drive's to refuse\n"
	"  --progress      print lines \"progress DONE TOTAL\" (bytes), at most ten a second\n"
	"\n"
	"  nvme-copy --device nvme:0000:41:00.0 info\n"
	"  nvme-copy --device nvme:0000:41:00.0 write disk.img\n"
	"  nvme-copy --device nvme:0000:41:00.0 --part 2/3 --progress write disk.img\n"
	"  nvme-copy --socket /run/nvme.sock verify disk.img\n"
	"\n"
	"Exit status: 0 done; 1 the drive refused a command, or holds something else; 2 wrong\n"
	"usage; 3 FILE cannot be read, or does not fit the drive; 4 no device process, or it\n"
	"went away; 5 it went away, and what was under way is settled with the service: run this\n"
	"again when the next one is there.\n";

__attribute__((noreturn)) static void usage(void)
{
	fputs(usage_text, stderr);
	exit(COPY_USAGE);
}

static uint32_t number(const char *option, const char *text, uint32_t min, uint32_t max)
{
	const char *wrong;
	long long n = strtonum(text, min, max, &wrong);

	if (wrong)
		errx(COPY_USAGE, "--%s %s: %s (%u to %u)", option, text, wrong, min, max);
	return (uint32_t)n;
}

/* "2/3" */
static void parse_part(char *text, struct copy_config *config)
{
	char *slash = strchr(text, '/');

	if (!slash)
		errx(COPY_USAGE, "--part %s: not like 2/3", text);
	*slash = '\0';
	config->nr_parts = number("part", slash + 1, 1, 4096);
	config->part = number("part", text, 1, config->nr_parts);
}

static void set_option(struct copy_config *config, int code)
{
	switch (code) {
	case 's':
		config->socket = optarg;
		break;
	case 'D':
		config->device = optarg;
		break;
	case 'S':
		config->service = optarg;
		break;
	case 'p':
		parse_part(optarg, config);
		break;
	case 'd':
		config->depth = number("depth", optarg, 1, COPY_DEPTH_MAX);
		break;
	case 'o':
		config->offset = number("offset", optarg, 0, NVME_WIRE_LBA_MASK);
		break;
	case 'P':
		config->progress = true;
		break;
	case 'h':
		fputs(usage_text, stdout);
		exit(COPY_DONE);
	default:
		usage();
	}
}

static void parse_verb(char **words, int nr, struct copy_config *config)
{
	if (nr == 1 && !strcmp(words[0], "info"))
		config->verb = COPY_INFO;
	else if (nr == 2 && !strcmp(words[0], "write"))
		config->verb = COPY_WRITE;
	else if (nr == 2 && !strcmp(words[0], "verify"))
		config->verb = COPY_VERIFY;
	else
		usage();
	config->path = nr == 2 ? words[1] : NULL;
}

void copy_parse(int argc, char **argv, struct copy_config *config)
{
	static const struct option options[] = {
		{"device", required_argument, NULL, 'D'},
		{"service", required_argument, NULL, 'S'},
		{"socket", required_argument, NULL, 's'},
		{"part", required_argument, NULL, 'p'},
		{"depth", required_argument, NULL, 'd'},
		{"offset", required_argument, NULL, 'o'},
		{"progress", no_argument, NULL, 'P'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int code;

	*config = (struct copy_config){.part = 1, .nr_parts = 1, .depth = 16};
	while ((code = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(config, code);
	parse_verb(argv + optind, argc - optind, config);
	if (!config->socket == !config->device || (config->socket && config->service))
		usage();
}
