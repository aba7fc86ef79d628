/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mount and unmount: a hugetlbfs where programs look for one. Both may be said twice: what is there
 * as it was asked for is success, what is there otherwise is told with what differs.
 */
#include "hugepages_command.h"
#include "hugepages_files.h"
#include "hugepages_shell.h"
#include "hugepages_text.h"
#include "hugepages_users.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_DIR "/dev/hugepages"

enum { MODE_MOST = 01777 }; /* the kernel takes these bits, admin-guide/mm/hugetlbpage */

/* One option of the file system. What the user does not give may be as it likes. */
struct wish {
	const char *name;
	bool given;
	uint64_t value;
	uint64_t fallback; /* what a mount has that does not show it */
};

enum { PAGESIZE, UID, GID, MODE, LIMIT, INODES, WISHES };

static int octal_parse(const char *text, uint64_t *value)
{
	char *end;

	*value = strtoul(text, &end, 8);
	return !*text || *end || text[strspn(text, "01234567")] || *value > MODE_MOST ? -EINVAL : 0;
}

static int user_parse(const char *text, uint64_t *value)
{
	const struct passwd *user = getpwnam(text);

	if (!user)
		return hp_count_parse(text, value) || *value >= UINT32_MAX ? -EINVAL : 0;
	*value = user->pw_uid;
	return 0;
}

static int group_parse(const char *text, uint64_t *value)
{
	const struct group *group = getgrnam(text);

	if (!group)
		return hp_count_parse(text, value) || *value >= UINT32_MAX ? -EINVAL : 0;
	*value = group->gr_gid;
	return 0;
}

static enum exit_code wish_take(struct wish *wish, const char *text, const char *what,
				int (*parse)(const char *, uint64_t *))
{
	if (!text)
		return EXIT_DONE;
	wish->given = true;
	if (!parse(text, &wish->value))
		return EXIT_DONE;
	warnx("'%s' is not %s", text, what);
	return EXIT_USAGE;
}

static enum exit_code wishes_take(const struct options *opt, struct wish wishes[WISHES])
{
	const struct wish none[WISHES] = {
		[PAGESIZE] = { "pagesize", true, opt->size, opt->size },
		[UID] = { "uid", false, 0, 0 },
		[GID] = { "gid", false, 0, 0 },
		[MODE] = { "mode", false, 0, 0755 },
		[LIMIT] = { "size", false, 0, UINT64_MAX },
		[INODES] = { "nr_inodes", false, 0, UINT64_MAX },
	};
	enum exit_code code;

	memcpy(wishes, none, sizeof(none));
	code = wish_take(&wishes[UID], opt->uid, "a user", user_parse);
	code = code ? code : wish_take(&wishes[GID], opt->gid, "a group", group_parse);
	code = code ? code : wish_take(&wishes[MODE], opt->mode, "an octal mode up to 1777",
				       octal_parse);
	code = code ? code : wish_take(&wishes[LIMIT], opt->limit, "a size such as 512M",
				       hp_bytes_parse);
	code = code ? code : wish_take(&wishes[INODES], opt->inodes, "a number of inodes",
				       hp_count_parse);
	/* The kernel rounds down, and a limit of less than a page would be none at all. */
	if (!code && (wishes[LIMIT].value % opt->size || (opt->limit && !wishes[LIMIT].value)))
		return say_bad_amount(opt, opt->limit);
	return code;
}

/* "pagesize=2097152,mode=1770": for mount(2). */
static void wishes_print(const struct wish wishes[WISHES], char *text, size_t room)
{
	size_t len = 0;

	for (int i = 0; i < WISHES && len < room; i++)
		if (wishes[i].given)
			len += (size_t)snprintf(text + len, room - len,
						i == MODE ? "%s%s=%" PRIo64 : "%s%s=%" PRIu64,
						len ? "," : "", wishes[i].name, wishes[i].value);
}

static uint64_t wish_has(const struct wish *wish, const struct hp_mount *mount, bool octal)
{
	char text[32];
	uint64_t value = wish->fallback;

	if (hp_mount_option(mount, wish->name, text, sizeof(text)) &&
	    (octal ? octal_parse(text, &value) : hp_bytes_parse(text, &value)))
		return UINT64_MAX;
	return value;
}

/* Something is mounted there. */
static enum exit_code there_check(const char *dir, const struct hp_mount *mount,
				  const struct wish wishes[WISHES])
{
	enum exit_code code = EXIT_DONE;

	if (!mount->size) {
		warnx("%s: %s is mounted there, no hugetlbfs", say_name(dir), mount->type);
		code = EXIT_IN_USE;
	}
	for (int i = 0; mount->size && i < WISHES; i++) {
		const uint64_t has = i == PAGESIZE ? mount->size
						   : wish_has(&wishes[i], mount, i == MODE);
		const char *format = i == MODE ? "%s: mounted with %s=%" PRIo64 ", not %" PRIo64
					       : "%s: mounted with %s=%" PRIu64 ", not %" PRIu64;

		if (!wishes[i].given || has == wishes[i].value)
			continue;
		if (has == UINT64_MAX)
			warnx("%s: mounted without %s=", say_name(dir), wishes[i].name);
		else
			warnx(format, say_name(dir), wishes[i].name, has, wishes[i].value);
		code = EXIT_IN_USE;
	}
	if (code != EXIT_DONE)
		fprintf(stderr, "  what to do: name another directory, or first unmount what is "
				"there\n");
	else
		printf("%s: is mounted already, with %s\n", say_name(dir), mount->options);
	return code;
}

/* As the mount table has it: from the machine's root, without links. -ENOENT: there is none. */
static int dir_resolve(const struct options *opt, char dir[PATH_MAX])
{
	const char *name = opt->operand ? opt->operand : DEFAULT_DIR;
	char path[PATH_MAX], *real;

	if (snprintf(path, sizeof(path), "%s%s", opt->sys.root, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	real = realpath(path, NULL);
	if (!real)
		snprintf(dir, PATH_MAX, "%s", name);
	else
		snprintf(dir, PATH_MAX, "%s", real + strlen(opt->sys.root));
	free(real);
	return real ? 0 : -errno;
}

static void command_print(const char *command, const char *dir)
{
	printf("%s ", command);
	hp_word_print(dir);
	printf("\n");
}

static enum exit_code mount_make(const struct options *opt, const char *dir, bool is_new,
				 const char *data)
{
	char path[PATH_MAX + PATH_MAX];

	if (opt->sys.dry_run) {
		if (is_new)
			command_print("mkdir", dir);
		printf("mount -t hugetlbfs -o nosuid,nodev,%s ", data);
		command_print("hugepages", dir);
		return EXIT_DONE;
	}
	snprintf(path, sizeof(path), "%s%s", opt->sys.root, dir);
	if (is_new && mkdir(path, 0755))
		return say_errno(-errno, dir);
	if (!mount("hugepages", path, "hugetlbfs", MS_NOSUID | MS_NODEV, data)) {
		printf("%s: mounted with %s\n", say_name(dir), data);
		return EXIT_DONE;
	}
	const int err = -errno;

	if (is_new)
		rmdir(path);
	return say_errno(err, dir);
}

enum exit_code command_mount(const struct options *opt)
{
	struct wish wishes[WISHES];
	struct hp_mount mount;
	char dir[PATH_MAX], data[256];
	enum exit_code code = wishes_take(opt, wishes);

	if (code != EXIT_DONE)
		return code;
	if (opt->mountpoint && opt->nr_operands) {
		warnx("--mountpoint %s and %s: one of them", opt->mountpoint, opt->operand);
		return EXIT_USAGE;
	}
	const int found = dir_resolve(opt, dir);

	if (found && found != -ENOENT)
		return say_errno(found, dir);
	const int err = hp_mount_at(&opt->sys, dir, &mount);

	if (!err) {
		code = there_check(dir, &mount, wishes);
		hp_mount_free(&mount);
		return code;
	}
	if (err != -ENOENT)
		return say_errno(err, "mount table");
	wishes_print(wishes, data, sizeof(data));
	return mount_make(opt, dir, found == -ENOENT, data);
}

struct count {
	size_t nr;
	enum exit_code code; /* of what could not be looked at */
};

static int count_file(void *argument, const struct hp_file *file)
{
	struct count *count = argument;

	count->nr++;
	if (file->err)
		count->code = say_unseen(file->err, file->path);
	return file->err;
}

/* What is on this file system is in memory only: it ends with the mount. */
static enum exit_code files_check(const struct options *opt, const struct hp_mount *mount)
{
	struct count count = { .code = EXIT_DONE };

	if (!opt->force)
		(void)hp_files_each(&opt->sys, mount, &count, count_file);
	if (count.code != EXIT_DONE) {
		fprintf(stderr, "  what to do: --force, if whatever is there may be lost\n");
		return count.code;
	}
	if (!count.nr)
		return EXIT_DONE;
	warnx("%s: %zu files are there, and would be lost", say_name(mount->path), count.nr);
	fprintf(stderr, "  what to do: see hugepages reap for those that nobody has open, or "
			"--force\n");
	return EXIT_IN_USE;
}

static enum exit_code say_busy(const struct options *opt, const struct hp_mount *mount)
{
	struct hp_mounts mounts = { .nr = 1, .list = (struct hp_mount[]){ *mount } };
	struct hp_users users;
	char name[HP_COMMAND_TEXT];

	warnx("%s: in use", say_name(mount->path));
	if (!hp_users_get(&opt->sys, &mounts, &users)) {
		for (size_t i = 0; i < users.nr; i++)
			warnx("process %d (%s) uses a file there", users.uses[i].pid,
			      hp_name_format(users.uses[i].command, name, sizeof(name)));
		hp_users_free(&users);
	}
	fprintf(stderr, "  what to do: end who uses it, or stands in a directory there\n");
	return EXIT_IN_USE;
}

/*
 * By its name in its directory, as no call unmounts by a descriptor: on the way from the root
 * others may have put a link meanwhile, but a mount point cannot be renamed (rename(2), EBUSY).
 * -ESTALE: something else is there. The working directory is another one after it.
 */
static int mount_end(const struct hp_sys *sys, const struct hp_mount *mount)
{
	char path[PATH_MAX + PATH_MAX];
	struct stat status;

	snprintf(path, sizeof(path), "%s%s", sys->root, mount->path);
	char *name = strrchr(path, '/');
	const bool is_root = name == path;

	*name++ = '\0';
	const int fd = open(is_root ? "/" : path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int err = fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) ? -errno :
		  status.st_dev != mount->dev ? -ESTALE : fchdir(fd) ? -errno : 0;

	if (!err && umount2(name, UMOUNT_NOFOLLOW))
		err = -errno;
	close(fd);
	return err;
}

static enum exit_code unmount(const struct options *opt, const struct hp_mount *mount)
{
	if (!mount->size) {
		warnx("%s: %s is mounted there, no hugetlbfs", say_name(mount->path), mount->type);
		return EXIT_IN_USE;
	}
	const enum exit_code code = files_check(opt, mount);

	if (code != EXIT_DONE)
		return code;
	if (opt->sys.dry_run) {
		command_print("umount", mount->path);
		return EXIT_DONE;
	}
	const int err = mount_end(&opt->sys, mount);

	if (err)
		return err == -EBUSY ? say_busy(opt, mount) : say_unseen(err, mount->path);
	printf("%s: unmounted\n", say_name(mount->path));
	return EXIT_DONE;
}

enum exit_code command_unmount(const struct options *opt)
{
	struct hp_mount mount;
	char dir[PATH_MAX];
	const int found = dir_resolve(opt, dir);
	const int err = found ? found : hp_mount_at(&opt->sys, dir, &mount);

	if (err == -ENOENT) {
		printf("%s: nothing is mounted there\n", say_name(dir));
		return EXIT_DONE;
	}
	if (err)
		return say_errno(err, dir);
	const enum exit_code code = unmount(opt, &mount);

	hp_mount_free(&mount);
	return code;
}
