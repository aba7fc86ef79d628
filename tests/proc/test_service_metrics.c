/* SPDX-License-Identifier: BSD-3-Clause */
/* What piniond tells Prometheus: its form, its numbers, and that slow askers hold up nobody. */

#include <ctype.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "service_support.h"

#define TEXT_MAX (256 << 10)
#define NAMES_MAX 64
#define NAME_LEN 64
#define KEPT 7u

/* As its scraper would: enough to be told apart from a service that hangs. */
#define PATIENCE_S 20

static in_port_t port; /* in the network's order */

static struct sockaddr_in loopback(in_port_t at)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = at,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* One that is free now, and that the kernel does not give to others soon. */
static in_port_t free_port(void)
{
	struct sockaddr_in address = loopback(0);
	socklen_t len = sizeof(address);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return address.sin_port;
}

static void start(struct service_process *service)
{
	FILE *file;

	port = free_port();
	service_configure(service, service_rules);
	file = fopen(service->config, "a");
	assert_non_null(file);
	fprintf(file, "metrics = \"127.0.0.1:%u\";\n", ntohs(port));
	assert_int_equal(fclose(file), 0);
	service_run(service);
}

/* A connection on which @text was sent. */
static int say(const char *text)
{
	const struct sockaddr_in address = loopback(port);
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	return fd;
}

/* All until the service hangs up, headers included; static. */
static char *hear(int fd)
{
	static char text[TEXT_MAX];
	size_t len = 0;
	ssize_t got;

	while ((got = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
		len += (size_t)got;
	assert_int_equal(got < 0 ? errno : 0, 0);
	text[len] = 0;
	close(fd);
	return text;
}

static char *scrape(void)
{
	const int fd = say("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	char *text = hear(fd), *body;

	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4"));
	body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	return body + 4;
}

/* The value of the sample that begins so, labels included. */
static double value_of(const char *body, const char *sample)
{
	const size_t len = strlen(sample);

	for (const char *line = body; *line; line = strchr(line, '\n') + 1)
		if (!strncmp(line, sample, len) && line[len] == ' ')
			return strtod(line + len, NULL);
	fail_msg("no sample %s in:\n%s", sample, body);
	return 0;
}

/* Over all zones, which are as many as this machine has nodes. */
static double sum_of_buffers(const char *body, const char *label)
{
	const char *name = "pinion_pool_buffers{pool=\"" SERVICE_POOL "\",";
	double sum = 0;

	for (const char *line = body; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '}'), *found = strstr(line, label);

		if (!strncmp(line, name, strlen(name)) && found && found < end)
			sum += strtod(end + 1, NULL);
	}
	return sum;
}

/* The form. */

struct metric {
	char name[NAME_LEN];
	bool counter;
};

struct form {
	struct metric metric[NAMES_MAX]; /* as far as they were met; the last one is at hand */
	uint32_t nr;
	char helped[NAME_LEN]; /* of a HELP line that waits for its TYPE */
};

static size_t name_len(const char *text)
{
	size_t len = 0;

	while (isalnum((unsigned char)text[len]) || text[len] == '_' || text[len] == ':')
		len++;
	assert_in_range(len, 1, NAME_LEN - 1);
	assert_false(isdigit((unsigned char)text[0]));
	return len;
}

static void check_help(struct form *form, const char *line)
{
	const size_t len = name_len(line);

	assert_string_equal(form->helped, "");
	assert_int_equal(line[len], ' ');
	assert_true(strlen(line + len) > 5);
	assert_null(strchr(line, '\\'));
	(void)snprintf(form->helped, sizeof(form->helped), "%.*s", (int)len, line);
	/* One block for each name. */
	for (uint32_t i = 0; i < form->nr; i++)
		assert_string_not_equal(form->metric[i].name, form->helped);
}

static void check_type(struct form *form, const char *line)
{
	struct metric *metric = &form->metric[form->nr++];
	const char *type = strchr(line, ' ') + 1;

	assert_in_range(form->nr, 1, NAMES_MAX);
	assert_int_equal(name_len(line), strlen(form->helped));
	assert_memory_equal(line, form->helped, strlen(form->helped));
	strcpy(metric->name, form->helped);
	form->helped[0] = 0;
	metric->counter = !strcmp(type, "counter");
	if (!metric->counter)
		assert_string_equal(type, "gauge");
	/* Counters, and nothing else, are named for it. */
	assert_int_equal(metric->counter, strlen(metric->name) > 6 &&
			 !strcmp(metric->name + strlen(metric->name) - 6, "_total"));
}

/* {a="b",c="d"}: what follows it. */
static const char *skip_labels(const char *at)
{
	if (*at != '{')
		return at;
	do {
		at++;
		at += name_len(at);
		assert_memory_equal(at, "=\"", 2);
		at += 2 + strcspn(at + 2, "\"\\\n");
		assert_int_equal(*at++, '"');
	} while (*at == ',');
	assert_int_equal(*at, '}');
	return at + 1;
}

static void check_sample(const struct form *form, const char *line)
{
	const struct metric *metric = &form->metric[form->nr - 1];
	const size_t len = name_len(line);
	char *end;
	double value;

	assert_true(form->nr > 0);
	assert_string_equal(form->helped, "");
	assert_int_equal(len, strlen(metric->name));
	assert_memory_equal(line, metric->name, len);
	line = skip_labels(line + len);
	assert_int_equal(*line, ' ');
	value = strtod(line + 1, &end);
	assert_true(end > line + 1);
	assert_int_equal(*end, 0);
	assert_true(value >= 0);
}

static void check_line(struct form *form, const char *line)
{
	if (!strncmp(line, "# HELP ", 7))
		check_help(form, line + 7);
	else if (!strncmp(line, "# TYPE ", 7))
		check_type(form, line + 7);
	else
		check_sample(form, line);
}

static void each_line_is_in_the_format(void **state)
{
	struct service_process service;
	struct form form = {.nr = 0};
	char *body, *next;
	pid_t device;

	(void)state;
	start(&service);
	device = echo_start();
	body = scrape();
	assert_int_equal(body[strlen(body) - 1], '\n');
	for (char *line = body; *line; line = next) {
		next = strchr(line, '\n') + 1;
		next[-1] = 0;
		check_line(&form, line);
	}
	assert_string_equal(form.helped, "");
	assert_true(form.nr >= 18);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* The numbers. */

static int stay(void *arg)
{
	struct pinion_client *client;
	struct pinion_cache *cache;
	int err = attach(&client, &cache);

	if (!err)
		err = bounce(client, cache, 10, KEPT);
	if (err)
		return err;
	(void)write(*(int *)arg, "x", 1);
	for (;;)
		pause();
}

static void check_before(const char *body, uint32_t attached)
{
	assert_true(value_of(body, "pinion_pool_bytes{pool=\"buffers\"}") == 4 << 20);
	assert_true(value_of(body, "pinion_members{pool=\"buffers\",role=\"device\"}") == 1);
	assert_true(value_of(body, "pinion_members{pool=\"buffers\",role=\"client\"}") == 1);
	assert_true(value_of(body, "pinion_members{pool=\"buffers\",role=\"former\"}") == 0);
	assert_true(value_of(body, "pinion_channels{pool=\"buffers\"}") == 1);
	assert_true(value_of(body, "pinion_attached_total") == attached);
	assert_true(value_of(body, "pinion_deaths_total") == 0);
	assert_true(sum_of_buffers(body, "state=\"held\"") == KEPT);
	assert_true(sum_of_buffers(body, "state=\"free\"") > 0);
}

static void check_after(const char *body)
{
	assert_true(value_of(body, "pinion_members{pool=\"buffers\",role=\"client\"}") == 0);
	assert_true(value_of(body, "pinion_burials{pool=\"buffers\",role=\"client\"}") == 0);
	assert_true(value_of(body, "pinion_channels{pool=\"buffers\"}") == 0);
	assert_true(value_of(body, "pinion_deaths_total") == 1);
	assert_true(value_of(body, "pinion_returned_buffers_total") >= KEPT);
	assert_true(value_of(body, "pinion_recoveries_total") >= 1);
	assert_true(value_of(body, "pinion_recovery_seconds_total") > 0);
	assert_true(value_of(body, "pinion_restarts_total") == 0);
	assert_true(value_of(body, "process_resident_memory_bytes") > 1 << 20);
	assert_true(value_of(body, "process_start_time_seconds") > 1e9);
}

static void numbers_are_those_of_the_service(void **state)
{
	struct service_process service;
	struct pinion_client *client;
	pid_t device, killed;
	int out, err;
	char said;

	(void)state;
	start(&service);
	device = echo_start();
	killed = run_with_pipe(stay, &out);
	assert_int_equal(read(out, &said, 1), 1);
	close(out);
	service_await_members(2);
	/* echo_start() attached as well. */
	check_before(scrape(), 2);
	assert_int_equal(process_end(killed, SIGKILL), 128 + SIGKILL);
	service_await_members(1);
	check_after(scrape());
	err = pinion_client_open("pool:none", NULL, &client);
	assert_int_equal(err, -ENOENT);
	assert_true(value_of(scrape(), "pinion_refused_total") >= 1);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* Askers. */

static void nothing_else_is_served(void **state)
{
	struct service_process service;

	(void)state;
	start(&service);
	assert_memory_equal(hear(say("GET /etc/passwd HTTP/1.0\r\n\r\n")), "HTTP/1.1 404", 12);
	assert_memory_equal(hear(say("GET /metrics/x HTTP/1.0\r\n\r\n")), "HTTP/1.1 404", 12);
	assert_memory_equal(hear(say("DELETE /metrics HTTP/1.0\r\n\r\n")), "HTTP/1.1 405", 12);
	assert_memory_equal(hear(say("POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n")),
			    "HTTP/1.1 405", 12);
	service_stop(&service);
}

/* The longest of @nr questions of an administrator, in nanoseconds. */
static uint64_t slowest_answer(uint32_t nr)
{
	uint64_t slowest = 0;

	for (uint32_t i = 0; i < nr; i++) {
		const uint64_t began = test_now_ns();

		(void)service_number("pid");
		if (test_now_ns() - began > slowest)
			slowest = test_now_ns() - began;
	}
	return slowest;
}

#define SLOW 60

/* A third says nothing, a third half a sentence, a third asks and does not listen. The longest that
 * an administrator waited meanwhile, in nanoseconds. */
static uint64_t slowest_among_the_slow(void)
{
	static const char *const what[] = {
		"", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"};
	uint64_t slowest;
	int fd[SLOW];

	for (int i = 0; i < SLOW; i++)
		fd[i] = say(what[i % 3]);
	slowest = slowest_answer(50);
	/* They are dropped one after the other, and then there is room. */
	assert_true(value_of(scrape(), "pinion_attached_total") >= 1);
	for (int i = 0; i < SLOW; i++)
		close(fd[i]);
	return slowest;
}

/* A busy machine may be late; not each time. */
#define TRIES 3

static void many_who_are_slow_hold_up_nobody(void **state)
{
	struct service_process service;
	int tries = 1;
	pid_t device;

	(void)state;
	start(&service);
	device = echo_start();
	while (slowest_among_the_slow() >= UINT64_C(1000000000))
		assert_true(tries++ < TRIES);
	/* Nor does the service spin while they stay. */
	assert_true(value_of(scrape(), "process_cpu_seconds_total") < 2 * tries);
	assert_int_equal(process_end(device, SIGKILL), 128 + SIGKILL);
	service_await_members(0);
	service_stop(&service);
}

/* As many as are served at once. */
#define SERVED 16

/* They are never silent for long, and never done. */
static int dribble(void *arg)
{
	int fd[SERVED];

	for (int i = 0; i < SERVED; i++)
		fd[i] = say("GET /metr");
	(void)write(*(int *)arg, "x", 1);
	while (!sleep(1))
		for (int i = 0; i < SERVED; i++)
			(void)send(fd[i], "x", 1, MSG_NOSIGNAL);
	return 1;
}

static void who_goes_on_without_end_is_hung_up_on(void **state)
{
	struct service_process service;
	pid_t slow;

	(void)state;
	start(&service);
	slow = run_until_said(dribble);
	assert_true(value_of(scrape(), "process_cpu_seconds_total") < 2);
	assert_int_equal(process_end(slow, SIGKILL), 128 + SIGKILL);
	service_stop(&service);
}

static void without_the_word_no_port_is_opened(void **state)
{
	struct service_process service;
	struct sockaddr_in address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_true(fd >= 0);
	port = free_port();
	address = loopback(port);
	service_start(&service);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	service_stop(&service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pool_test(each_line_is_in_the_format),
		pool_test(numbers_are_those_of_the_service),
		pool_test(nothing_else_is_served),
		pool_test(many_who_are_slow_hold_up_nobody),
		pool_test(who_goes_on_without_end_is_hung_up_on),
		pool_test(without_the_word_no_port_is_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
