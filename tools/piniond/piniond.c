/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * piniond - keeps pools, lets processes in, notices deaths, and gives everything back.
 *
 *     piniond                            with /etc/pinion/piniond.conf
 *     piniond --check FILE               is that configuration right?
 *     piniond --config FILE --socket S   by hand, in the foreground
 */
#include "service.h"

#include <bsd/stdlib.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <pinion/error.h>

#include "bell.h"
#include "harden.h"
#include "ledger.h"
#include "listener.h"
#include "metrics.h"
#include "resume.h"
#include "store.h"

#define LOG_TEXT_MAX 1024

#define CONFIG_DEFAULT "/etc/pinion/piniond.conf"

static const char usage_text[] =
	"usage: piniond [--config FILE] [--socket PATH] [--store-max N]\n"
	"       piniond --check FILE\n"
	"\n"
	"The service of pinion: makes the pools of buffers that FILE describes, lets processes\n"
	"attach to them and to each other by FILE's rules, and takes back what the dead held.\n"
	"\n"
	"  --config FILE   the configuration, see piniond.conf(5) (" CONFIG_DEFAULT ")\n"
	"  --socket PATH   listen there rather than where the configuration says\n"
	"  --store-max N   as the unit's FileDescriptorStoreMax= says: what is in that store\n"
	"                  survives this process (0: nothing does)\n"
	"  --check FILE    read FILE, tell every mistake in it with its line, and exit\n"
	"  --version\n"
	"\n"
	"Started by systemd it takes the socket from there, and tells when it is ready.\n"
	"\n"
	"Exit status: 0 stopped in order, or no mistake; 1 the machine lacks something, or a\n"
	"mistake; 2 wrong usage.\n";

struct options {
	const char *config, *socket, *check;
	uint32_t store_max;
};

uint64_t service_now_ns(void)
{
	return bell_now_ns();
}

/* One line on stderr, with the priority in front where the journal reads it: sd-daemon(3). One it
 * stays whatever names peers ask for. */
void service_log(int priority, const char *format, ...)
{
	static int journal = -1;
	char text[LOG_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (journal < 0)
		journal = getenv("JOURNAL_STREAM") != NULL;
	if (journal)
		(void)fprintf(stderr, "<%d>%s\n", priority, text);
	else
		(void)fprintf(stderr, "piniond: %s\n", text);
}

static uint32_t number(const char *text)
{
	const char *wrong;
	long long n = strtonum(text, 0, 1 << 20, &wrong);

	if (wrong)
		errx(2, "--store-max %s: %s", text, wrong);
	return (uint32_t)n;
}

static void parse(int argc, char **argv, struct options *options)
{
	enum { CONFIG = 1, SOCKET, CHECK, STORE_MAX, VERSION, HELP };
	static const struct option known[] = {
		{"config", required_argument, NULL, CONFIG},
		{"socket", required_argument, NULL, SOCKET},
		{"check", required_argument, NULL, CHECK},
		{"store-max", required_argument, NULL, STORE_MAX},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	int code;

	*options = (struct options){.config = CONFIG_DEFAULT};
	while ((code = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (code) {
		case CONFIG: options->config = optarg; break;
		case SOCKET: options->socket = optarg; break;
		case CHECK: options->check = optarg; break;
		case STORE_MAX: options->store_max = number(optarg); break;
		case VERSION: puts("piniond " PINION_VERSION); exit(0);
		case HELP: fputs(usage_text, stdout); exit(0);
		default: fputs(usage_text, stderr); exit(2);
		}
	}
	if (optind != argc) {
		fputs(usage_text, stderr);
		exit(2);
	}
}

/* The socket: systemd's, or one of our own. */
static int listen_somewhere(struct service *service, const struct options *options,
			    struct listener *own)
{
	int err;

	own->fd = -1;
	service->listener = store_open(options->store_max);
	if (service->listener >= 0)
		return 0;
	err = listener_open(own, options->socket ? options->socket : service->config->socket,
			    service->config->socket_mode);
	if (err) {
		service_log(LOG_ERR, "%s", pinion_error_text());
		return err;
	}
	service->listener = own->fd;
	return 0;
}

static int open_ledger(struct service *service)
{
	int err = ledger_open(&service->ledger);

	if (err == -EPROTO) {
		service_log(LOG_ERR, "what the store holds is of another release, and given up: "
			    "members of then are expelled");
		store_drop_rest();
		err = ledger_open(&service->ledger);
	}
	return err;
}

/* What is left of a service before this one; and then what the configuration has beyond that. */
static int open_pools(struct service *service)
{
	int err = resume_all(service);

	return err ? err : pools_create(service);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	(void)info, (void)context;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* Events: signals end the loop. */
static int open_events(struct service *service)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	err = sd_event_default(&service->event);
	if (err >= 0)
		err = sd_event_add_signal(service->event, NULL, SIGTERM, on_signal, NULL);
	if (err >= 0)
		err = sd_event_add_signal(service->event, NULL, SIGINT, on_signal, NULL);
	return err < 0 ? err : 0;
}

/* The loop feeds the watchdog, so that a loop that hangs is noticed. To feed it once is to arm it:
 * before the loop runs, a large pool that takes its time to be cleared would look like one. */
static int loop(struct service *service)
{
	int err = sd_event_set_watchdog(service->event, 1);

	if (err >= 0)
		err = sd_event_loop(service->event);
	return err < 0 ? err : 0;
}

/* A pool that was passed over is not to be found out by those who miss it. */
static void say_ready(const struct service *service)
{
	const struct pool *pool;
	uint32_t nr = 0;

	LIST_FOREACH(pool, &service->pools, link)
		nr++;
	if (!service->nr_passed_over) {
		service_log(LOG_INFO, "ready: %u pools", nr);
		(void)sd_notify(0, "READY=1\nSTATUS=serving");
		return;
	}
	service_log(LOG_ERR, "ready: %u pools, %u passed over", nr, service->nr_passed_over);
	(void)sd_notifyf(0, "READY=1\nSTATUS=pools passed over: %u, see the log",
			 service->nr_passed_over);
}

/* With pools and socket there. */
static int serve(struct service *service)
{
	int err = metrics_open(service);

	if (!err)
		err = harden_seccomp();
	if (!err)
		err = peers_listen(service);
	if (!err)
		err = audit_start(service);
	if (err) {
		service_log(LOG_ERR, "cannot serve: %s", strerror(-err));
		return err;
	}
	say_ready(service);
	err = loop(service);
	(void)sd_notify(0, "STOPPING=1");
	return err;
}

/* What takes privilege first: limits, the socket's directory, a port, hugepages for pools, and to
 * see where they are; the pools themselves do not. */
static int run(struct service *service, const struct options *options)
{
	struct listener own;
	int err = harden_limits();

	if (!err)
		err = listen_somewhere(service, options, &own);
	if (err)
		return err;
	err = metrics_bind(service);
	if (!err)
		err = open_ledger(service);
	if (!err)
		err = pools_reserve(service);
	if (!err)
		frames_open(service);
	if (!err)
		err = harden_drop(service->config->user);
	if (!err)
		err = open_events(service);
	if (err)
		service_log(LOG_ERR, "cannot start: %s", strerror(-err));
	else
		err = open_pools(service);
	if (!err)
		err = serve(service);
	metrics_close(service);
	frames_close(service);
	making_close(service);
	peers_close(service);
	pools_destroy(service);
	(void)sd_event_unref(service->event);
	if (own.fd >= 0)
		listener_close(&own);
	return err;
}

/* Mistakes were told by the reader; a file that it could not read was not. */
static int read_config(const char *file, struct config **config)
{
	int err = config_read(file, config);

	if (err == -ENOENT)
		warnx("%s: no such file; an example is in piniond.conf(5)", file);
	else if (err && err != -EINVAL)
		warnx("%s: %s", file, strerror(-err));
	return err;
}

static int check(const char *file)
{
	struct config *config;

	if (read_config(file, &config))
		return 1;
	printf("%s: %u pools, %u rules, no mistakes\n", file, config->nr_pools, config->nr_rules);
	config_free(config);
	return 0;
}

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer of leaks traces its own process in the end, which the filter does not allow. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
	struct service service = {.started_ns = service_now_ns(), .listener = -1, .pagemap = -1};
	struct options options;
	struct config *config;
	int err;

	parse(argc, argv, &options);
	if (options.check)
		return check(options.check);
	if (read_config(options.config, &config))
		return 1;
	service.config = config;
	LIST_INIT(&service.peers);
	LIST_INIT(&service.pools);
	err = run(&service, &options);
	config_free(config);
	return err ? 1 : 0;
}
