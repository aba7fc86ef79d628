/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * persist: what is reserved now, or is asked for, comes back at every boot. There are three ways:
 *
 *     unit       a systemd unit that runs `hugepages reserve`: any size and node, tries again with
 *                compaction, and a unit that failed is seen when the kernel gives too few
 *     tmpfiles   tmpfiles.d(5) writes each number into sysfs: any size and node, but nobody looks
 *                what the kernel made of it. At boot only, which "!" says: later, as when a package
 *                is installed, it would undo what was reserved since
 *     sysctl     sysctl.d(5) sets vm.nr_hugepages, also where there is no systemd: the default size
 *                alone, and the kernel chooses the nodes
 *
 * Only one of them at a time: the files of the others go. A file that has not our first line is
 * somebody's, and stays; so does a link that we would have made otherwise.
 *
 * Larger pages come first: they need more memory in one piece, and the smaller ones break it up.
 */
#include "hugepages_interrupt.h"
#include "hugepages_reserve.h"
#include "hugepages_text.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
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

/* Pages of a size, or with 0 of all. */
static uint64_t sum_of(const struct hp_plan *plan, uint64_t size)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan->nr; i++)
		if (!size || plan->targets[i].size == size)
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
		warnx("%s: a path that does not go into a unit as it is", say_name(program));
		fprintf(stderr, "  what to do: install it, or --as tmpfiles\n");
		return EXIT_FAILED;
	}
	if (is_roots(program))
		return EXIT_DONE;
	warnx("%s can be changed by others than root, who runs it at boot", say_name(program));
	fprintf(stderr, "  what to do: install it, or --as tmpfiles\n");
	return EXIT_FAILED;
}

/* Large to small. With @prefix "-" systemd goes on after one that failed. */
static void starts_print(FILE *file, const struct hp_plan *plan, const uint64_t *sizes, int nr,
			 const char *program, const char *prefix)
{
	char size[HP_SIZE_TEXT];

	for (int i = nr - 1; i >= 0; i--) {
		if (!sum_of(plan, sizes[i]))
			continue;
		fprintf(file, "ExecStart=%s%s reserve --size %s --pages ", prefix, program,
			hp_size_format(sizes[i], size));
		map_print(file, plan, sizes[i]);
		fprintf(file, "\n");
	}
}

static int nr_sizes_of(const struct hp_plan *plan, const uint64_t *sizes, int nr)
{
	int found = 0;

	for (int i = 0; i < nr; i++)
		found += sum_of(plan, sizes[i]) != 0;
	return found;
}

/*
 * From sysinit.target: programs that want hugepages start after it. After a command that failed
 * systemd runs no other one (systemd.service(5), Type=oneshot), so several sizes are gone through
 * twice: each gets its chance, then what is there already is asked for again, which changes
 * nothing, and what fell short makes the unit fail.
 */
static void unit_print(FILE *file, const struct hp_plan *plan, const uint64_t *sizes, int nr,
		       const char *program)
{
	fprintf(file, "[Unit]\nDescription=Hugepages\nDocumentation=man:hugepages(8)\n"
		"DefaultDependencies=no\nAfter=local-fs.target\nBefore=sysinit.target\n\n"
		"[Service]\nType=oneshot\nRemainAfterExit=yes\n");
	if (nr_sizes_of(plan, sizes, nr) > 1)
		starts_print(file, plan, sizes, nr, program, "-");
	starts_print(file, plan, sizes, nr, program, "");
	fprintf(file, "\n[Install]\nWantedBy=sysinit.target\n");
}

static void tmpfiles_print(FILE *file, const struct hp_plan *plan, uint64_t size)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < plan->nr; i++) {
		const struct hp_target *target = &plan->targets[i];

		if (target->size != size || !target->want ||
		    hp_pages_path(plan->sys, target->node, size, path))
			continue;
		fprintf(file, "w! %s - - - - %" PRIu64 "\n", path + strlen(plan->sys->root),
			target->want);
	}
}

static void content_print(FILE *file, int way, const struct hp_plan *plan, const uint64_t *sizes,
			  int nr, const char *program)
{
	fputs(mark, file);
	if (way == UNIT)
		unit_print(file, plan, sizes, nr, program);
	for (int i = nr - 1; way == TMPFILES && i >= 0; i--)
		tmpfiles_print(file, plan, sizes[i]);
	if (way == SYSCTL) /* of one size: sysctl_check */
		fprintf(file, "vm.nr_hugepages = %" PRIu64 "\n", sum_of(plan, 0));
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

/* 0: ours. -ENOENT: it is not there. -EEXIST: somebody else's; so is a link, as of a unit that was
 * masked, wherever it leads. */
static int file_check(const char *path)
{
	const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[sizeof(mark)] = "";

	if (fd < 0)
		return errno == ELOOP ? -EEXIST : -errno;
	const ssize_t len = read(fd, text, sizeof(mark) - 1);
	const int err = len < 0 ? -errno : strcmp(text, mark) == 0 ? 0 : -EEXIST;

	close(fd);
	return err == -EISDIR ? -EEXIST : err;
}

/* The same of the link, which systemctl(1) makes with the whole path. @path is where it is. */
static int link_check(const struct way *way, const char *path)
{
	char to[PATH_MAX];
	const ssize_t len = readlink(path, to, sizeof(to) - 1);

	if (len < 0)
		return errno == EINVAL ? -EEXIST : -errno;
	to[len] = '\0';
	return strcmp(to, way->link_to) == 0 || strcmp(to, way->path) == 0 ? 0 : -EEXIST;
}

static int way_paths(const struct hp_sys *sys, const struct way *way, char path[PATH_MAX],
		     char link[PATH_MAX])
{
	const int len = snprintf(path, PATH_MAX, "%s%s", sys->root, way->path);
	const int more = snprintf(link, PATH_MAX, "%s%s", sys->root, way->link ? way->link : "");

	return len >= PATH_MAX || more >= PATH_MAX ? -ENAMETOOLONG : 0;
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

/*
 * A file that nobody else had a hand in, not through a link either. One that is there was left by a
 * run that was killed: we have the lock.
 */
static int file_make(const char *path, FILE **file)
{
	const int fd = unlink(path) && errno != ENOENT ? -1 :
		       open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	*file = fdopen(fd, "w");
	if (*file)
		return 0;
	const int err = -errno;

	close(fd);
	unlink(path);
	return err;
}

/* Whole or not at all: a boot must not find half a file. */
static int file_replace(char *path, const char *content, size_t len)
{
	char other[PATH_MAX + 8];
	FILE *file;
	int err = parents_make(path);

	snprintf(other, sizeof(other), "%s.new", path);
	err = err ? err : file_make(other, &file);
	if (err)
		return err;
	if (fwrite(content, 1, len, file) != len || fflush(file) || fsync(fileno(file)))
		err = errno ? -errno : -EIO;
	fclose(file);
	if (!err && rename(other, path))
		err = -errno;
	if (err)
		unlink(other);
	return err;
}

static int link_make(const struct way *way, char *link)
{
	const int err = parents_make(link);

	return err ? err : symlink(way->link_to, link) ? -errno : 0;
}

/* @path is where @name, as people know it, is. */
static enum exit_code name_remove(const struct hp_sys *sys, const char *path, const char *name)
{
	if (!sys->dry_run && unlink(path))
		return say_errno(-errno, name);
	printf("%s %s\n", sys->dry_run ? "rm" : "removed", name);
	return EXIT_DONE;
}

/* Our link may be there without the unit: a run was killed, or somebody removed the unit. */
static enum exit_code way_remove(const struct hp_sys *sys, const struct way *way)
{
	char path[PATH_MAX], link[PATH_MAX];
	enum exit_code code = EXIT_DONE;
	int err = way_paths(sys, way, path, link);

	err = err ? err : file_check(path);
	if (err && err != -ENOENT)
		return err == -EEXIST ? EXIT_DONE : say_errno(err, way->path);
	if (way->link && !link_check(way, link))
		code = name_remove(sys, link, way->link);
	return code || err ? code : name_remove(sys, path, way->path);
}

static enum exit_code say_kept(const char *path, const char *what)
{
	warnx("%s: %s, and is kept", path, what);
	fprintf(stderr, "  what to do: move it away, or choose another way with --as\n");
	return EXIT_IN_USE;
}

/* For a shell: what parents_make does. */
static void parents_print(const struct hp_sys *sys, const char *name)
{
	const int len = (int)(strrchr(name, '/') - name);
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%.*s", sys->root, len, name);
	if (access(path, F_OK))
		printf("mkdir -p %.*s\n", len, name);
}

static void write_print(const struct hp_sys *sys, const struct way *way, const char *content,
			bool is_linked)
{
	parents_print(sys, way->path);
	printf("cat > %s <<EOF\n%sEOF\n", way->path, content);
	if (is_linked)
		return;
	parents_print(sys, way->link);
	printf("ln -s %s %s\n", way->link_to, way->link);
}

/* Nothing is written before both, the file and the link, may be. */
static enum exit_code way_write(const struct hp_sys *sys, const struct way *way,
				const char *content, size_t len)
{
	char path[PATH_MAX], link[PATH_MAX];
	int err = way_paths(sys, way, path, link);

	err = err ? err : file_check(path);
	const int linked = way->link ? link_check(way, link) : 0;

	if (err == -EEXIST)
		return say_kept(way->path, "was not written by hugepages persist");
	if (linked == -EEXIST)
		return say_kept(way->link, "does not lead to what hugepages persist writes");
	if (err && err != -ENOENT)
		return say_errno(err, way->path);
	if (linked && linked != -ENOENT)
		return say_errno(linked, way->link);
	if (sys->dry_run) {
		write_print(sys, way, content, !linked);
		return EXIT_DONE;
	}
	/* The link first, which is easily taken back. */
	err = linked ? link_make(way, link) : 0;
	if (err)
		return say_errno(err, way->link);
	err = file_replace(path, content, len);
	if (err && linked)
		unlink(link);
	if (err)
		return say_errno(err, way->path);
	printf("wrote %s\n", way->path);
	return EXIT_DONE;
}

/* For large pages: what to add where the boot loader is configured. */
static void advise(const struct hp_plan *plan, const uint64_t *sizes, int nr)
{
	char size[HP_SIZE_TEXT];

	for (int i = nr - 1; i >= 0; i--) {
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

/* An amount without a node that no spread reaches: on which one it would be, nobody said. */
static enum exit_code spread_check(const struct options *opt, const struct hp_plan *plan)
{
	const bool spread = opt->operand && opt->node < 0 && !strchr(opt->operand, ':');
	const struct hp_target *excess = spread && plan->nr > 1 ? hp_plan_excess(plan) : NULL;
	char size[HP_SIZE_TEXT];

	if (!excess)
		return EXIT_DONE;
	warnx("%" PRIu64 " pages of %s are more than the memory that all nodes have now",
	      excess->want, hp_size_format(excess->size, size));
	fprintf(stderr, "  what to do: ask for less, or say where there will be more "
			"(NODE:AMOUNT,…)\n");
	return EXIT_SHORT;
}

/* What is to come back; something must be. */
static enum exit_code plan_make(const struct options *opt, struct hp_plan *plan)
{
	const enum exit_code code = opt->operand ? reserve_plan_fresh(opt, plan)
						 : reserve_plan_present(opt, plan);

	if (code != EXIT_DONE || sum_of(plan, 0))
		return code ? code : spread_check(opt, plan);
	if (opt->operand) {
		warnx("'%s': no pages, so there is nothing to come back", opt->operand);
		fprintf(stderr, "  what to do: persist --as none takes away what was written\n");
	} else {
		warnx("no hugepages are reserved, so there is nothing to come back");
		fprintf(stderr, "  what to do: reserve some first, or name an amount; persist --as "
				"none takes away what was written\n");
	}
	return EXIT_USAGE;
}

/* Not refused: more memory may be there at the next boot. */
static void excess_note(const struct hp_plan *plan)
{
	const struct hp_target *excess = hp_plan_excess(plan);
	char size[HP_SIZE_TEXT];

	if (excess)
		warnx("note: node %d: %" PRIu64 " pages of %s are more than all the memory it has "
		      "now, which is %" PRIu64, excess->node, excess->want,
		      hp_size_format(excess->size, size), excess->most);
}

static enum exit_code persist(const struct options *opt, struct hp_plan *plan)
{
	int way;
	enum exit_code code = way_find(opt->as, &way);

	hp_plan_init(plan, &opt->sys);
	if (code == EXIT_DONE && way != NONE)
		code = plan_make(opt, plan);
	if (code != EXIT_DONE)
		return code;
	hp_interrupt_hold(); /* unit and link, and one way at a time: all of it is done */
	code = carry_out(opt, way, plan);
	if (code == EXIT_DONE)
		excess_note(plan);
	hp_interrupt_release();
	return code;
}

/* Under the lock: the numbers are not those from the middle of a reserve, and no other persist is
 * at the files. */
enum exit_code command_persist(const struct options *opt)
{
	struct hp_plan *plan = malloc(sizeof(*plan)); /* 48 KiB: not for the stack */
	const int lock = plan ? hp_lock(&opt->sys) : -ENOMEM;

	if (lock < 0) {
		free(plan);
		return say_errno(lock, "hugepages");
	}
	const enum exit_code code = persist(opt, plan);

	close(lock);
	free(plan);
	return code;
}
