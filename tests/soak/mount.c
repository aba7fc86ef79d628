/* SPDX-License-Identifier: BSD-3-Clause */
#include "mount.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "huge_support.h"
#include "tap.h"

static char where[64]; /* "": none */

/* With all of its pages promised from the start, so that other programs' use does not matter. */
static int mount_pages(int nr)
{
	const size_t len = (size_t)nr * HUGE;
	char options[96];

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	strcpy(where, "/tmp/pinion-soak-XXXXXX");
	if (!mkdtemp(where))
		return -errno;
	snprintf(options, sizeof(options), "pagesize=2M,size=%zu,min_size=%zu", len, len);
	return mount("soak", where, "hugetlbfs", 0, options) ? -errno : 0;
}

const char *mount_open(int nr)
{
	const int err = mount_pages(nr);

	if (!err)
		return where;
	tap_remark("no hugetlbfs with %d pages of 2 MiB: %s", nr, strerror(-err));
	if (where[0])
		(void)rmdir(where);
	where[0] = '\0';
	return NULL;
}

void mount_close(void)
{
	if (!where[0])
		return;
	(void)umount(where);
	(void)rmdir(where);
}

/* After each named pool every page of the mount must be free again; the kernel gives those of a
 * killed process back a little later. */
void mount_check(struct board *board)
{
	struct statfs now = {0};

	for (int i = 0; i < 2000; i++) {
		if (!statfs(where, &now) && now.f_bfree == now.f_blocks)
			return;
		usleep(1000);
	}
	board_problem(board, "%ju of %ju pages of the mount are free after its pool went",
		      (uintmax_t)now.f_bfree, (uintmax_t)now.f_blocks);
}
