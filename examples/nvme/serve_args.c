/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/libutil.h>
#include <bsd/stdlib.h>

#define BUFFER_MAX (UINT64_C(2) << 20)

static const char usage_text[] =
	"usage: nvme-serve --bdf BDF [--service SOCKET] [--pool NAME] [OPTION]...\n"
	"       nvme-serve --bdf BDF --socket PATH [--mode OCTAL] [--buffers N] [OPTION]...\n"
	"\n"
	"Owns the NVMe drive at BDF, which is bound to vfio-pci or uio_pci_generic, and serves\n"
	"producers until SIGTERM or SIGINT. Then prints one JSON object on standard output.\n"
	"\n"
	"With the service, piniond(8), it is the device process of \"nvme:BDF\": the pool is the\n"
	"service's, and so is the word on who may come:\n"
	"\n"
	"  --service SOCKET    where piniond listens (PINION_SOCKET of the environment, or\n"
	"                      " PINION_SOCKET_DEFAULT ")\n"
	"  --pool NAME         in which of its pools (the only one that its rules give us)\n"
	"\n"
	"Without it, producers come to a socket of its own, and share a pool of its own:\n"
	"\n"
	"  --socket PATH       where producers connect\n"
	"  --mode OCTAL        who may connect: permissions of the socket (0600)\n"
	"  --buffer-size SIZE  of each buffer, a power of two from 4K to 2M (64K)\n"
	"  --buffers N         how many, at least: whole pages are filled (256)\n"
	"  --node auto|N       NUMA node of the buffers (auto: the drive's)\n"
	"\n"
	"Either way:\n"
	"\n"
	"  --bdf BDF           PCI address of the drive, such as 0000:41:00.0\n"
	"  --page-size SIZE    pages to take, for queues and for buffers of its own: 2m, 1g, or,\n"
	"                      on machines without hugepages but with an IOMMU, 4k (2m)\n"
	"  --queues N          I/O queue pairs to ask the drive for, 1 to 16 (1)\n"
	"  --irq poll|msix     how completions are noticed (poll)\n"
	"  --iommufd           open the drive by /dev/iommu, not by its group and a container\n"
	"  --ready-fd N        write a line to descriptor N, and close it, when serving\n"
	"  --exit-when-idle    stop when the last producer has left\n"
	"\n"
	"  nvme-serve --bdf 0000:41:00.0\n"
	"  nvme-serve --bdf 0000:41:00.0 --socket /run/nvme.sock --mode 0666\n"
	"  nvme-serve --bdf 41:00.0 --socket /run/nvme.sock --irq msix --buffers 1024 --queues 4\n"
	"\n"
	"Exit status: 0 stopped in order; 1 the drive or the machine failed, or the service was\n"
	"started anew and does not know this process; 2 wrong usage.\n";

/* A negative number, out of range, or no number: wrong usage. */
static uint32_t number(const char *option, const char *text, uint32_t min, uint32_t max)
{
	const char *wrong;
	long long n = strtonum(text, min, max, &wrong);

	if (wrong)
		errx(2, "--%s %s: %s (%u to %u)", option, text, wrong, min, max);
	return (uint32_t)n;
}

static uint64_t buffer_size(const char *text)
{
	uint64_t size;

	if (expand_number(text, &size) || size < NVME_PAGE_SIZE || size > BUFFER_MAX ||
	    size & (size - 1))
		errx(2, "--buffer-size %s: not a power of two from 4K to 2M", text);
	return size;
}

static uint64_t page_size(const char *text)
{
	uint64_t size;

	if (expand_number(text, &size) || (size != 4 << 10 && size != 2 << 20 && size != 1 << 30))
		errx(2, "--page-size %s: 4k, 2m or 1g", text);
	return size;
}

static unsigned octal(const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (end == text || *end || mode > 0777)
		errx(2, "--mode %s: not octal permissions such as 0660", text);
	return (unsigned)mode;
}

static bool is_msix(const char *text)
{
	if (strcmp(text, "poll") && strcmp(text, "msix"))
		errx(2, "--irq %s: poll or msix", text);
	return !strcmp(text, "msix");
}

static void set_node(struct serve_config *config, const char *text)
{
	config->node_given = strcmp(text, "auto");
	if (config->node_given)
		config->node = (int)number("node", text, 0, 1023);
}

enum option_code {
	BDF = 1, SERVICE, POOL, SOCKET, MODE, BUFFER_SIZE, BUFFERS, PAGE_SIZE, NODE, QUEUES, IRQ,
	IOMMUFD, READY, IDLE, HELP,
};

static const struct option options[] = {
	{"bdf", required_argument, NULL, BDF},
	{"service", required_argument, NULL, SERVICE},
	{"pool", required_argument, NULL, POOL},
	{"socket", required_argument, NULL, SOCKET},
	{"mode", required_argument, NULL, MODE},
	{"buffer-size", required_argument, NULL, BUFFER_SIZE},
	{"buffers", required_argument, NULL, BUFFERS},
	{"page-size", required_argument, NULL, PAGE_SIZE},
	{"node", required_argument, NULL, NODE},
	{"queues", required_argument, NULL, QUEUES},
	{"irq", required_argument, NULL, IRQ},
	{"iommufd", no_argument, NULL, IOMMUFD},
	{"ready-fd", required_argument, NULL, READY},
	{"exit-when-idle", no_argument, NULL, IDLE},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static void set_option(struct serve_config *config, int code)
{
	switch (code) {
	case BDF: config->bdf = optarg; break;
	case SERVICE: config->service = optarg; break;
	case POOL: config->pool = optarg; break;
	case SOCKET: config->socket = optarg; break;
	case MODE: config->mode = octal(optarg); break;
	case BUFFER_SIZE: config->buffer_size = buffer_size(optarg); break;
	case BUFFERS: config->nr_buffers = number("buffers", optarg, 1, 1u << 20); break;
	case PAGE_SIZE: config->page_size = page_size(optarg); break;
	case NODE: set_node(config, optarg); break;
	case QUEUES:
		config->nr_queues = number("queues", optarg, 1, NVME_CTRL_QUEUES_MAX);
		break;
	case IRQ: config->msix = is_msix(optarg); break;
	case IOMMUFD: config->by_iommufd = true; break;
	case READY: config->ready_fd = (int)number("ready-fd", optarg, 0, 1u << 20); break;
	case IDLE: config->exit_when_idle = true; break;
	case HELP: fputs(usage_text, stdout); exit(0);
	default: fputs(usage_text, stderr); exit(2);
	}
}

/* What was not given. An option that would do nothing is a mistake. */
static void complete(struct serve_config *config)
{
	bool shaped = config->mode || config->buffer_size || config->nr_buffers ||
		      config->node_given;

	if (config->socket && (config->service || config->pool))
		errx(2, "--socket is for a pool of its own, --service and --pool for piniond's");
	if (!config->socket && shaped)
		errx(2, "--mode, --buffer-size, --buffers and --node are for a pool of its own: "
		     "with --socket");
	config->door = config->socket ? &serve_own : &serve_service;
	config->mode = config->mode ? config->mode : 0600;
	config->buffer_size = config->buffer_size ? config->buffer_size : 64 << 10;
	config->nr_buffers = config->nr_buffers ? config->nr_buffers : 256;
}

void serve_parse(int argc, char **argv, struct serve_config *config)
{
	int code;

	*config = (struct serve_config){.page_size = 2 << 20, .nr_queues = 1, .ready_fd = -1};
	while ((code = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(config, code);
	if (optind != argc || !config->bdf) {
		fputs(usage_text, stderr);
		exit(2);
	}
	complete(config);
}
