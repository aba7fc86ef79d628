/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "config_address.h"

/* Scrapers are few: one, and its spare. */
#define CONNECTIONS_MAX 16u
#define SILENCE_S 3u
#define PATIENCE_NS UINT64_C(10000000000) /* in all; a scraper's own is as long */
#define MEMORY_MAX ((size_t)8 << 10) /* of a connection: one request and its headers */
#define BACKLOG 64

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct deadline {
	uint64_t ns; /* 0: it is nobody's */
	int socket;
};

struct metrics {
	struct service *service;
	int listener; /* -1: the daemon's */
	struct deadline deadline[CONNECTIONS_MAX];
	struct MHD_Daemon *daemon;
	sd_event_source *io, *timer;
};

static int listen_at(const char *text)
{
	union config_address address;
	const int on = 1;
	int fd, err;

	if (!config_address_read(text, &address))
		return -EINVAL;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Connections of a service before this one may linger. */
	if (!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !bind(fd, &address.any, sizeof(address)) && !listen(fd, BACKLOG))
		return fd;
	err = -errno;
	(void)close(fd);
	return err;
}

int metrics_bind(struct service *service)
{
	struct metrics *metrics;
	int fd;

	if (!service->config->metrics)
		return 0;
	metrics = calloc(1, sizeof(*metrics));
	fd = metrics ? listen_at(service->config->metrics) : -ENOMEM;
	if (fd < 0) {
		service_log(LOG_ERR, "metrics: cannot listen at %s: %s", service->config->metrics,
			    strerror(-fd));
		free(metrics);
		return fd;
	}
	*metrics = (struct metrics){.service = service, .listener = fd};
	service->metrics = metrics;
	return 0;
}

/* Answers. */

static enum MHD_Result answer_status(struct MHD_Connection *connection, unsigned status)
{
	static char text[] = "there is /metrics to GET\n";
	struct MHD_Response *response =
		MHD_create_response_from_buffer(sizeof(text) - 1, text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result queued = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD"))
		queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

/* The caller's to free; NULL: no memory. */
static char *print_all(const struct service *service, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (!to)
		return NULL;
	metrics_print(service, to);
	if (!fclose(to))
		return text;
	free(text);
	return NULL;
}

static enum MHD_Result answer_metrics(struct MHD_Connection *connection,
				      const struct service *service)
{
	enum MHD_Result queued = MHD_NO;
	struct MHD_Response *response;
	size_t len;
	char *text = print_all(service, &len);

	if (!text)
		return MHD_NO;
	response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, TEXT_TYPE))
		queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return queued;
}

/* MHD_NO hangs up. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *url, const char *method, const char *version,
				  const char *data, size_t *len, void **state)
{
	struct metrics *metrics = context;

	(void)version, (void)data, (void)len, (void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return answer_status(connection, MHD_HTTP_METHOD_NOT_ALLOWED);
	if (strcmp(url, "/metrics"))
		return answer_status(connection, MHD_HTTP_NOT_FOUND);
	return answer_metrics(connection, metrics->service);
}

/* Deadlines. */

static void begin(struct metrics *metrics, int socket, void **mine)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct deadline *deadline = &metrics->deadline[i];

		if (deadline->ns)
			continue;
		*deadline = (struct deadline){service_now_ns() + PATIENCE_NS, socket};
		*mine = deadline;
		return;
	}
}

/* The socket is open in both cases. */
static void on_connection(void *context, struct MHD_Connection *connection, void **mine,
			  enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct deadline *deadline = *mine;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		begin(context, info->connect_fd, mine);
	else if (deadline)
		deadline->ns = 0;
}

/* The daemon knows of silence alone. Whom this ends it finds ended. */
static void end_late(const struct metrics *metrics)
{
	const uint64_t now = service_now_ns();

	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (metrics->deadline[i].ns && now >= metrics->deadline[i].ns)
			(void)shutdown(metrics->deadline[i].socket, SHUT_RDWR);
}

/* The first to come, if it does before so many us have gone by. */
static uint64_t first_deadline(const struct metrics *metrics, uint64_t usec)
{
	const uint64_t now = service_now_ns();

	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		const uint64_t ns = metrics->deadline[i].ns;

		if (ns > now && (ns - now) / 1000 < usec)
			usec = (ns - now) / 1000;
	}
	return usec;
}

/* The loop. */

static unsigned count(const struct metrics *metrics)
{
	return MHD_get_daemon_info(metrics->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		->num_connections;
}

/* At its limit the daemon does not look at the listener, and after it dropped somebody only from
 * the next run on: there must be one. */
static void run_daemon(struct metrics *metrics)
{
	unsigned before;

	do {
		before = count(metrics);
		(void)MHD_run(metrics->daemon);
	} while (count(metrics) < before);
}

/* Everything that is ready; then again when the first of the connections has been silent too long,
 * or there too long, or at once, if there is more to do. */
static void run(struct metrics *metrics)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	end_late(metrics);
	run_daemon(metrics);
	if (MHD_get_timeout(metrics->daemon, &wait_ms) != MHD_YES) {
		(void)sd_event_source_set_enabled(metrics->timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_source_set_time_relative(metrics->timer,
						first_deadline(metrics, wait_ms * 1000));
	(void)sd_event_source_set_enabled(metrics->timer, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *context)
{
	(void)source, (void)fd, (void)events;
	run(context);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *context)
{
	(void)source, (void)usec;
	run(context);
	return 0;
}

static int start(struct metrics *metrics)
{
	metrics->daemon = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, metrics, MHD_OPTION_LISTEN_SOCKET,
		metrics->listener, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		MEMORY_MAX, MHD_OPTION_NOTIFY_CONNECTION, on_connection, metrics, MHD_OPTION_END);
	if (!metrics->daemon)
		return -ENOMEM;
	metrics->listener = -1;
	return 0;
}

static int add_sources(struct metrics *metrics)
{
	sd_event *event = metrics->service->event;
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(metrics->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int err = info ? sd_event_add_io(event, &metrics->io, info->epoll_fd, EPOLLIN, on_io,
					 metrics)
		       : -ENOTSUP;

	if (err >= 0)
		err = sd_event_add_time_relative(event, &metrics->timer, CLOCK_MONOTONIC, 0, 10000,
						 on_time, metrics);
	if (err >= 0)
		err = sd_event_source_set_priority(metrics->io, SD_EVENT_PRIORITY_IDLE);
	if (err >= 0)
		err = sd_event_source_set_priority(metrics->timer, SD_EVENT_PRIORITY_IDLE);
	return err < 0 ? err : 0;
}

int metrics_open(struct service *service)
{
	struct metrics *metrics = service->metrics;
	int err = metrics ? start(metrics) : 0;

	if (metrics && !err)
		err = add_sources(metrics);
	if (err)
		service_log(LOG_ERR, "metrics: %s", strerror(-err));
	return err;
}

void metrics_close(struct service *service)
{
	struct metrics *metrics = service->metrics;

	if (!metrics)
		return;
	(void)sd_event_source_disable_unref(metrics->io);
	(void)sd_event_source_disable_unref(metrics->timer);
	if (metrics->daemon)
		MHD_stop_daemon(metrics->daemon);
	if (metrics->listener >= 0)
		(void)close(metrics->listener);
	free(metrics);
	service->metrics = NULL;
}
