/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme-serve - the device process: owns one NVMe drive and a pool of buffers, and does what
 * producers (nvme-copy) ask for through their channels. serve.h has the picture.
 *
 * Build: meson setup build && meson compile -C build; the program is build/examples/nvme/.
 */
#include "serve.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <bsd/libutil.h>
#include <bsd/stdlib.h>

#include <pinion/error.h>

#include "nvme_fail.h"

#define BUFFER_MAX (UINT64_C(2) << 20)

static const char usage_text[] =
	"usage: nvme-serve --bdf BDF --socket PATH [OPTION]...\n"
	"\n"
	"Owns the NVMe drive at BDF, which is bound to vfio-pci or uio_pci_generic, and a pool of\n"
	"buffers in hugepages; serves the processes that connect to the socket until SIGTERM or\n"
	"SIGINT. Then prints one JSON object on standard output.\n"
	"\n"
	"  --bdf BDF           PCI address of the drive, such as 0000:41:00.0\n"
	"  --socket PATH       where producers connect\n"
	"  --mode OCTAL        who may connect: permissions of the socket (0600)\n"
	"  --buffer-size SIZE  of each buffer, a power of two from 4K to 2M (64K)\n"
	"  --buffers N         how many, at least: whole pages are filled (256)\n"
	"  --page-size SIZE    pages to take, for buffers and for queues: 2m, 1g, or, on machines\n"
	"                      without hugepages but with an IOMMU, 4k (2m)\n"
	"  --node auto|N       NUMA node of the buffers (auto: the drive's)\n"
	"  --queues N          I/O queue pairs to ask the drive for, 1 to 16 (1)\n"
	"  --irq poll|msix     how completions are noticed (poll)\n"
	"  --ready-fd N        write a line to descriptor N, and close it, when serving\n"
	"  --exit-when-idle    stop when the last producer has left\n"
	"\n"
	"  nvme-serve --bdf 0000:41:00.0 --socket /run/nvme.sock --mode 0666\n"
	"  nvme-serve --bdf 41:00.0 --socket /run/nvme.sock --irq msix --buffers 1024 --queues 4\n"
	"\n"
	"Exit status: 0 stopped in order; 1 the drive or the machine failed; 2 wrong usage.\n";

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
	BDF = 1, SOCKET, MODE, BUFFER_SIZE, BUFFERS, PAGE_SIZE, NODE, QUEUES, IRQ, READY, IDLE,
	HELP,
};

static const struct option options[] = {
	{"bdf", required_argument, NULL, BDF},
	{"socket", required_argument, NULL, SOCKET},
	{"mode", required_argument, NULL, MODE},
	{"buffer-size", required_argument, NULL, BUFFER_SIZE},
	{"buffers", required_argument, NULL, BUFFERS},
	{"page-size", required_argument, NULL, PAGE_SIZE},
	{"node", required_argument, NULL, NODE},
	{"queues", required_argument, NULL, QUEUES},
	{"irq", required_argument, NULL, IRQ},
	{"ready-fd", required_argument, NULL, READY},
	{"exit-when-idle", no_argument, NULL, IDLE},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static void set_option(struct serve_config *config, int code)
{
	switch (code) {
	case BDF: config->bdf = optarg; break;
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
	case READY: config->ready_fd = (int)number("ready-fd", optarg, 0, 1u << 20); break;
	case IDLE: config->exit_when_idle = true; break;
	case HELP: fputs(usage_text, stdout); exit(0);
	default: fputs(usage_text, stderr); exit(2);
	}
}

static void parse(int argc, char **argv, struct serve_config *config)
{
	int code;

	*config = (struct serve_config){
		.mode = 0600,
		.buffer_size = 64 << 10,
		.page_size = 2 << 20,
		.nr_buffers = 256,
		.nr_queues = 1,
		.ready_fd = -1,
	};
	while ((code = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(config, code);
	if (optind != argc || !config->bdf || !config->socket) {
		fputs(usage_text, stderr);
		exit(2);
	}
}

/* The producers' pool: one zone, on the drive's node unless told otherwise. */
static int create_pool(struct serve *serve)
{
	const struct serve_config *config = serve->config;
	uint64_t len = config->nr_buffers * config->buffer_size;
	const struct pinion_pool_config pool = {
		.name = "nvme-buffers",
		.nr_segments = 1,
		.segment[0] = {
			.len = (len + config->page_size - 1) & ~(config->page_size - 1),
			.buffer_size = config->buffer_size,
			.page_size = config->page_size,
			.node = config->node_given ? config->node : serve->transport.node,
		},
	};
	int err = pinion_pool_create(&pool, &serve->pool);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

static int open_cache(struct serve *serve)
{
	const struct pinion_cache_config config = {
		.buffer_size = serve->config->buffer_size,
		.node = PINION_NODE_ANY, /* there is one zone */
	};
	int err = pinion_cache_open(serve->pool, &config, &serve->cache);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

static int open_rendezvous(struct serve *serve)
{
	const struct pinion_rendezvous_config config = {.mode = serve->config->mode};
	int err = pinion_rendezvous_open(serve->pool, serve->config->socket, &config,
					 &serve->rendezvous);

	return err ? nvme_fail(err, "%s", pinion_error_text()) : 0;
}

/* SIGTERM and SIGINT come through a descriptor, so that the loop's poll sees them. */
static int open_signals(struct serve *serve)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	serve->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return serve->signal_fd < 0 ? nvme_fail(-errno, "signalfd: %s", strerror(errno)) : 0;
}

static void tell_ready(const struct serve *serve)
{
	const struct nvme_ctrl *ctrl = &serve->ctrl;

	nvme_say("ready: %s (%s), %ju blocks of %u bytes, node %d; %u buffers of %zu bytes on "
		  "node %d; %s", serve->transport.bdf, ctrl->model, (uintmax_t)ctrl->blocks,
		  ctrl->block_size, serve->transport.node, serve->at_start.total,
		  serve->at_start.buffer_size, serve->at_start.node, serve->config->socket);
	if (serve->config->ready_fd < 0)
		return;
	if (write(serve->config->ready_fd, "ready\n", 6) != 6)
		nvme_say("--ready-fd %d: %s", serve->config->ready_fd, strerror(errno));
	close(serve->config->ready_fd);
}

/* With everything set up. The controller is closed when this returns. */
static int serve_until_stopped(struct serve *serve)
{
	int err;

	(void)pinion_pool_stat(serve->pool, 0, &serve->at_start);
	tell_ready(serve);
	err = serve_loop(serve);
	nvme_ctrl_close(&serve->ctrl);
	serve_abort(serve);
	serve_report(serve);
	return err;
}

/* From the buffers up; the transport stays the caller's. */
static int run_drive(struct serve *serve)
{
	int err = create_pool(serve);

	if (err)
		return err;
	err = nvme_transport_domain(&serve->transport, serve->pool, &serve->domain);
	if (err)
		goto destroy_pool;
	err = open_cache(serve);
	if (err)
		goto destroy_domain;
	err = nvme_ctrl_open(&serve->transport, serve->config->nr_queues, serve->config->page_size,
			     &serve->ctrl);
	if (err)
		goto close_cache;
	err = open_rendezvous(serve);
	if (err) {
		nvme_ctrl_close(&serve->ctrl);
		goto close_cache;
	}
	err = serve_until_stopped(serve);
	pinion_rendezvous_close(serve->rendezvous);
close_cache:
	pinion_cache_close(serve->cache);
destroy_domain:
	pinion_domain_destroy(serve->domain);
destroy_pool:
	pinion_pool_destroy(serve->pool);
	return err;
}

static void forget(struct serve_members *members)
{
	struct serve_member *member, *next;

	TAILQ_FOREACH_SAFE(member, members, link, next)
		free(member);
}

int main(int argc, char **argv)
{
	struct serve_config config;
	struct serve serve = {.config = &config};
	int err;

	parse(argc, argv, &config);
	TAILQ_INIT(&serve.members);
	TAILQ_INIT(&serve.gone);
	err = open_signals(&serve);
	if (!err)
		err = nvme_transport_open(config.bdf, &serve.transport);
	if (err)
		return 1;
	if (config.msix)
		err = nvme_transport_irq_enable(&serve.transport);
	if (!err)
		err = run_drive(&serve);
	nvme_transport_close(&serve.transport);
	forget(&serve.members);
	forget(&serve.gone);
	return err ? 1 : 0;
}
