/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * persist: what is reserved now, or is asked for, comes back at every boot. There are three ways:
 *
 *     unit       a systemd unit that runs `hugepages reserve`: any size and node, tries again with
 *                compaction, and a unit that failed is seen when the kernel gives too few
 *     tmpfiles   tmpfiles.d(5) writes each number into sysfs: any size and node, but nobody looks
 *                what the kernel made of it
 *     sysctl     sysctl.d(5) sets vm.nr_hugepages, also where there is no systemd: the default size
 *                alone, and the kernel chooses the nodes
 *
 * Only one of them at a time: the files of the others go. A file that has not our first line is
 * somebody's, and stays.
 */
#include "hugepages_reserve.h"
#include "hugepages_text.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char mark[] = "# Written by hugepages persist, which writes it anew.\n";

/* Relative to the tree; a link beside a unit is what enables it, as systemctl(1) would. */
static const struct way {
	const char *name;
	const char *path;
	const char *link, *link_to;
} ways[] = {
	{ "unit", "/etc/systemd/system/hugepages.service",
	  "/etc/systemd/system/sysinit.target.wants/hugepages.service", "../hugepages.service" },
	{ "tmpfiles", "/etc/tmpfiles.d/hugepages.conf", NULL, NULL },
	{ "sysctl", "/etc/sysctl.d/60-hugepages.conf", NULL, NULL },
};

enum { UNIT, TMPFILES, SYSCTL, WAYS, NONE = WAYS };

static enum exit_code way_find(const char *name, int *way)
{
	for (*way = 0; *way < WAYS; ++*way)
		if (strcmp(name ? name : "unit", ways[*way].name) == 0)
			return EXIT_DONE;
	if (strcmp(name, "none") == 0)
		return EXIT_DONE;
	warnx("--as %s: not one of unit, tmpfiles, sysctl, none", name);
	return EXIT_USAGE;
}

/* "0:4,1:8": numbers of pages, as reserve and the kernel's command line take them. */
static void map_print(FILE *file, const struct hp_plan *plan, uint64_t size)
{
	const char *comma = "";

	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (target->size != size || !target->want)
			continue;
		fprintf(file, "%s%d:%" PRIu64, comma, target->node, target->want);
		comma = ",";
	}
}

static uint64_t sum_of(const struct hp_plan *plan, uint64_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan->nr; i++)
		if (plan->targets[i].size == size)
			sum += plan->targets[i].want;
	return sum;
}

/*
 * The kernel keeps free memory in blocks of up to 2^10 base pages (MAX_PAGE_ORDER, linux/mmzone.h);
 * larger pages it has to clear a place for, which seldom succeeds once the machine is running.
 */
static bool is_gigantic(uint64_t size)
{
	return size > (uint64_t)sysconf(_SC_PAGESIZE) << 10;
}

/* Can nobody but root change it, nor put another in its place? */
static bool is_roots(const char *program)
{
	char path[PATH_MAX];
	struct stat status;

	snprintf(path, sizeof(path), "%s", program);
	for (char *end = path + strlen(path); end; end = strrchr(path, '/')) {
		*end = '\0';
		if (stat(*path ? path : "/", &status) || status.st_uid != 0 ||
		    (status.st_mode & (S_IWGRP | S_IWOTH) && !(status.st_mode & S_ISVTX)))
			return false;
	}
	return true;
}

/* What root is to run at boot: this program, where it lies. */
static enum exit_code program_get(char program[PATH_MAX])
{
	const ssize_t len = readlink("/proc/self/exe", program, PATH_MAX - 1);

	if (len < 0)
		return say_errno(-errno, "/proc/self/exe");
	program[len] = '\0';
	/* Of the rest some mean something in a unit: systemd.service(5), "Command lines". */
	if (program[strspn(program, "/abcdefghijklmnopqrstuvwxyz0123456789"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ._+-")]) {
		warnx("%s: a path that does not go into a unit as it is", program);
		fprintf(stderr, "  what to do: install it, or --as tmpfiles\n");
		return EXIT_FAILED;
	}
	if (is_roots(program))
		return EXIT_DONE;
	warnx("%s can be changed by others than root, who runs it at boot", program);
	fprintf(stderr, "  what to do: install it, or --as tmpfiles\n");
	return EXIT_FAILED;
}

/* From sysinit.target: programs that want hugepages start after it. */
static void unit_print(FILE *file, const struct hp_plan *plan, const uint64_t *sizes, int nr,
		       const char *program)
{
	char size[HP_SIZE_TEXT];

	fprintf(file, "[Unit]\nDescription=Hugepages\nDocumentation=man:hugepages(8)\n"
		"DefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target\n\n"
		"[Service]\nType=oneshot\nRemainAfterExit=yes\n");
	for (int i = 0; i < nr; i++) {
		if (!sum_of(plan, sizes[i]))
			continue;
		fprintf(file, "ExecStart=%s reserve --size %s --pages ", program,
			hp_size_format(sizes[i], size));
		map_print(file, plan, sizes[i]);
		fprintf(file, "\n");
	}
	fprintf(file, "\n[Install]\nWantedBy=sysinit.target\n");
}

static void tmpfiles_print(FILE *file, const struct hp_plan *plan)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (!target->want || hp_pages_path(plan->sys, target->node, target->size, path))
			continue;
		fprintf(file, "w %s - - - - %" PRIu64 "\n", path + strlen(plan->sys->root),
			target->want);
	}
}

static void content_print(FILE *file, int way, const struct hp_plan *plan, const uint64_t *sizes,
			  int nr, const char *program)
{
	fputs(mark, file);
	if (way == UNIT)
		unit_print(file, plan, sizes, nr, program);
	else if (way == TMPFILES)
		tmpfiles_print(file, plan);
	else
		fprintf(file, "vm.nr_hugepages = %" PRIu64 "\n",
			plan->nr ? sum_of(plan, plan->targets[0].size) : 0);
}

/* What sysctl cannot say. */
static enum exit_code sysctl_check(const struct options *opt, const struct hp_plan *plan)
{
	uint64_t fallback;
	const int err = hp_default_size_get(&opt->sys, &fallback);

	if (err)
		return say_errno(err, "page sizes");
	for (size_t i = 0; i < plan->nr; i++)
		if (plan->targets[i].want && plan->targets[i].size != fallback) {
			warnx("sysctl knows pages of the default size only");
			fprintf(stderr, "  what to do: --as unit, or --as tmpfiles\n");
			return EXIT_USAGE;
		}
	if (opt->node >= 0 || (opt->operand && strchr(opt->operand, ':'))) {
		warnx("sysctl has no nodes: the kernel spreads the pages");
		fprintf(stderr, "  what to do: --as unit, or --as tmpfiles\n");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* 0: it is not there, or ours. -EEXIST: somebody else's. */
static int ours_check(const char *path)
{
	char line[sizeof(mark)];
	FILE *file = fopen(path, "re");

	if (!file)
		return errno == ENOENT ? 0 : -errno;
	const bool ours = fgets(line, sizeof(line), file) && strcmp(line, mark) == 0;

	fclose(file);
	return ours ? 0 : -EEXIST;
}

/* Missing directories are made. */
static int parents_make(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		const int err = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;

		*slash = '/';
		if (err)
			return err;
	}
	return 0;
}

/* Whole or not at all: a boot must not find half a file. */
static int file_replace(char *path, const char *content, size_t len)
{
	char other[PATH_MAX + 8];
	int err = parents_make(path);

	snprintf(other, sizeof(other), "%s.new", path);
	FILE *file = err ? NULL : fopen(other, "we");

	if (!file)
		return err ? err : -errno;
	if (fwrite(content, 1, len, file) != len || fflush(file) || fsync(fileno(file)))
		err = errno ? -errno : -EIO;
	fclose(file);
	if (!err && rename(other, path))
		err = -errno;
	if (err)
		unlink(other);
	return err;
}

static int link_make(const struct hp_sys *sys, const struct way *way)
{
	char path[PATH_MAX];

	if (!way->link)
		return 0;
	snprintf(path, sizeof(path), "%s%s", sys->root, way->link);
	const int err = parents_make(path);

	return err ? err : symlink(way->link_to, path) && errno != EEXIST ? -errno : 0;
}

static enum exit_code way_remove(const struct hp_sys *sys, const struct way *way)
{
	char path[PATH_MAX], link[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", sys->root, way->path);
	if (access(path, F_OK) || ours_check(path))
		return EXIT_DONE;
	if (sys->dry_run) {
		printf("rm %s\n", way->path);
		return EXIT_DONE;
	}
	if (way->link) {
		snprintf(link, sizeof(link), "%s%s", sys->root, way->link);
		unlink(link);
	}
	if (unlink(path))
		return say_errno(-errno, way->path);
	printf("removed %s\n", way->path);
	return EXIT_DONE;
}

static enum exit_code way_write(const struct hp_sys *sys, const struct way *way,
				const char *content, size_t len)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", sys->root, way->path);
	int err = ours_check(path);

	if (err == -EEXIST) {
		warnx("%s: was not written by hugepages persist, and is kept", way->path);
		fprintf(stderr, "  what to do: move it away, or choose another way with --as\n");
		return EXIT_IN_USE;
	}
	if (sys->dry_run) {
		printf("cat > %s <<EOF\n%sEOF\n", way->path, content);
		if (way->link)
			printf("ln -s %s %s\n", way->link_to, way->link);
		return EXIT_DONE;
	}
	err = err ? err : file_replace(path, content, len);
	err = err ? err : link_make(sys, way);
	if (err)
		return say_errno(err, way->path);
	printf("wrote %s\n", way->path);
	return EXIT_DONE;
}

/* For large pages: what to add where the boot loader is configured. */
static void advise(const struct hp_plan *plan, const uint64_t *sizes, int nr)
{
	char size[HP_SIZE_TEXT];

	for (int i = 0; i < nr; i++) {
		if (!is_gigantic(sizes[i]) || !sum_of(plan, sizes[i]))
			continue;
		hp_size_format(sizes[i], size);
		printf("pages of %s are had for certain on the kernel's command line only; add "
		       "there (by node: Linux 5.16 or later):\n    hugepagesz=%s hugepages=",
		       size, size);
		map_print(stdout, plan, sizes[i]);
		printf("\n");
	}
}

static enum exit_code carry_out(const struct options *opt, int way, const struct hp_plan *plan)
{
	char program[PATH_MAX] = "", *content = NULL;
	uint64_t sizes[HP_MAX_SIZES];
	const int nr = hp_sizes_get(&opt->sys, sizes);
	size_t len = 0;
	enum exit_code code = EXIT_DONE;

	if (nr < 0)
		return say_errno(nr, "page sizes");
	if (way == SYSCTL)
		code = sysctl_check(opt, plan);
	else if (way == UNIT)
		code = program_get(program);
	if (code == EXIT_DONE && way != NONE) {
		FILE *file = open_memstream(&content, &len);

		if (!file)
			return say_errno(-errno, "persist");
		content_print(file, way, plan, sizes, nr, program);
		if (fclose(file))
			code = say_errno(-ENOMEM, "persist");
		code = code ? code : way_write(&opt->sys, &ways[way], content, len);
		free(content);
	}
	for (int i = 0; code == EXIT_DONE && i < WAYS; i++)
		if (i != way)
			code = way_remove(&opt->sys, &ways[i]);
	if (code == EXIT_DONE && way != NONE)
		advise(plan, sizes, nr);
	return code;
}

enum exit_code command_persist(const struct options *opt)
{
	struct hp_plan *plan = malloc(sizeof(*plan)); /* 48 KiB: not for the stack */
	enum exit_code code;
	int way;

	if (!plan)
		return say_errno(-ENOMEM, "persist");
	hp_plan_init(plan, &opt->sys);
	code = way_find(opt->as, &way);
	if (code == EXIT_DONE && way != NONE)
		code = opt->operand ? reserve_plan_fresh(opt, plan)
				    : reserve_plan_present(opt, plan);
	if (code == EXIT_DONE && way != NONE && !plan->nr) {
		warnx("no hugepages are reserved, so there is nothing to come back");
		fprintf(stderr, "  what to do: reserve some first, or name an amount\n");
		code = EXIT_USAGE;
	}
	code = code ? code : carry_out(opt, way, plan);
	free(plan);
	return code;
}
