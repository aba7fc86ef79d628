/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SKIP 77
#define SAMPLES_MAX 8192u
#define WARM_UP 3u
#define TIME_NS UINT64_C(300000000) /* of all blocks of a run */
#define LIMIT_S 60u                 /* nothing here takes that long: a run that hangs is killed */

uint64_t bench_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
	_exit(EXIT_FAILURE);
}

void bench_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vwarnx(format, args);
	va_end(args);
	_exit(EXIT_SKIP);
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bench_die("cannot run on CPU %d: %s", cpu, strerror(errno));
}

void *bench_shared(const struct bench *b, size_t len)
{
	int flags = MAP_SHARED | MAP_ANONYMOUS | (b->huge ? MAP_HUGETLB : 0);
	void *addr;

	len = (len + BENCH_HUGE - 1) & ~(BENCH_HUGE - 1);
	addr = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (addr == MAP_FAILED)
		bench_die("no %zu bytes of shared memory%s: %s", len,
			  b->huge ? " in hugepages" : "", strerror(errno));
	/* By hand: MAP_POPULATE fails silently. */
	if (madvise(addr, len, MADV_POPULATE_WRITE))
		bench_die("cannot populate %zu bytes: %s", len, strerror(errno));
	return addr;
}

bool bench_more(struct bench *b)
{
	uint32_t least = b->smoke ? WARM_UP + 1 : WARM_UP + 5;

	if (!b->deadline_ns)
		b->deadline_ns = bench_now_ns() + (b->smoke ? 0 : TIME_NS);
	if (b->nr < least)
		return true;
	return b->nr < SAMPLES_MAX && bench_now_ns() < b->deadline_ns;
}

void bench_sample(struct bench *b, double value)
{
	b->sample[b->nr++] = value;
}

void bench_figure(struct bench *b, double value)
{
	for (uint32_t i = 0; i <= WARM_UP; i++)
		bench_sample(b, value);
}

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* One line. "best" is the fastest block: on a busy machine it says more than the median. */
static void print_result(struct bench *b)
{
	double *sample = b->sample + WARM_UP;
	uint32_t nr = b->nr - WARM_UP;

	qsort(sample, nr, sizeof(*sample), ascending);
	printf("{\"bench\":\"%s\",\"impl\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"best\":%.4f,"
	       "\"blocks\":%u,\"huge\":%s,\"bounce\":[%.1f,%.1f]}\n", b->is->bench, b->is->impl,
	       sample[nr / 2], b->is->unit, sample[0], nr, b->huge ? "true" : "false",
	       b->bounce_ns[0], b->bounce_ns[1]);
}

static const char usage_text[] =
	"usage: %s [--smoke] [--cpus A[,B]] [--pages huge|4k] [--len BYTES] BENCH IMPL\n"
	"       %s --list\n";

static _Noreturn void usage(const char *name)
{
	fprintf(stderr, usage_text, name, name);
	exit(2);
}

/* Without --cpus: the first two that we may use. */
static void choose_cpus(struct bench *b)
{
	cpu_set_t set;
	int found = 0;

	b->cpu[0] = b->cpu[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		bench_die("sched_getaffinity: %s", strerror(errno));
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, &set))
			b->cpu[found++] = cpu;
}

static void parse_cpus(struct bench *b, const char *text, const char *program)
{
	int found = sscanf(text, "%d,%d", &b->cpu[0], &b->cpu[1]);

	if (found < 1)
		usage(program);
	if (found == 1)
		b->cpu[1] = -1;
}

static void parse_option(struct bench *b, int option, const char *program)
{
	char *end = NULL;

	switch (option) {
	case 's':
		b->smoke = true;
		return;
	case 'c':
		parse_cpus(b, optarg, program);
		return;
	case 'p':
		b->huge = !strcmp(optarg, "huge");
		if (!b->huge && strcmp(optarg, "4k"))
			usage(program);
		return;
	case 'b':
		b->len = strtoul(optarg, &end, 0);
		if (!b->len || *end || b->len % BENCH_HUGE)
			usage(program);
		return;
	default:
		usage(program);
	}
}

static int list(const struct bench_case *cases, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		printf("%s %s\n", cases[i].bench, cases[i].impl);
	return 0;
}

static int run(struct bench *b)
{
	b->sample = calloc(SAMPLES_MAX, sizeof(*b->sample));
	if (!b->sample)
		bench_die("no memory");
	(void)alarm(LIMIT_S);
	bench_pin(b->cpu[0]);
	b->is->run(b);
	print_result(b);
	free(b->sample);
	return 0;
}

int bench_main(int argc, char **argv, const struct bench_case *cases, size_t nr_cases)
{
	static const struct option options[] = {
		{"smoke", no_argument, NULL, 's'}, {"cpus", required_argument, NULL, 'c'},
		{"pages", required_argument, NULL, 'p'}, {"len", required_argument, NULL, 'b'},
		{"list", no_argument, NULL, 'l'}, {NULL, 0, NULL, 0},
	};
	struct bench b = {.huge = true, .len = (size_t)1 << 30};
	int option;

	choose_cpus(&b);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			return list(cases, nr_cases);
		parse_option(&b, option, argv[0]);
	}
	for (size_t i = 0; argc - optind == 2 && i < nr_cases; i++) {
		b.is = &cases[i];
		if (!strcmp(argv[optind], b.is->bench) && !strcmp(argv[optind + 1], b.is->impl))
			return run(&b);
	}
	usage(argv[0]);
}
