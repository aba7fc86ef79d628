/* SPDX-License-Identifier: BSD-3-Clause */
#include "harden.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* 64 pools of 65 files each, and for thousands of peers a socket and a pidfd. */
#define FILES_WANTED 65536

/* The hard limit to @wanted where that is more and allowed; the soft one to the hard one. */
static int raise_limit(__rlimit_resource_t what, rlim_t wanted)
{
	struct rlimit now, more;

	if (getrlimit(what, &now))
		return -errno;
	more = (struct rlimit){wanted, wanted};
	if (now.rlim_max < wanted && !setrlimit(what, &more))
		return 0;
	now.rlim_cur = now.rlim_max;
	return setrlimit(what, &now) ? -errno : 0;
}

/* The kernel forgets it whenever the user changes. */
static int forbid_tracing(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? -errno : 0;
}

int harden_limits(void)
{
	int err = raise_limit(RLIMIT_NOFILE, FILES_WANTED);

	if (!err)
		err = raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
	if (!err)
		err = forbid_tracing();
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	return err;
}

static const struct passwd *find_user(const char *user)
{
	const struct passwd *found = getpwnam(user);

	if (found == NULL && user[0] != '\0' && user[strspn(user, "0123456789")] == '\0')
		found = getpwuid((uid_t)strtoul(user, NULL, 10));
	return found;
}

/* The bounding set takes a capability to empty, and matters to nobody who never gains any. */
static bool drop_capabilities(void)
{
	const bool bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_clear(CAPNG_SELECT_ALL);
	return !capng_apply(bounds ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
}

static bool become(const struct passwd *user)
{
	capng_clear(CAPNG_SELECT_ALL);
	return !capng_change_id((int)user->pw_uid, (int)user->pw_gid,
				CAPNG_INIT_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
}

static bool is_bare(uid_t uid)
{
	uid_t real, effective, saved;

	if (getresuid(&real, &effective, &saved) || real != uid || effective != uid || saved != uid)
		return false;
	return !capng_get_caps_process() &&
	       capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE;
}

int harden_drop(const char *user)
{
	const struct passwd *found = user != NULL ? find_user(user) : NULL;
	const uid_t uid = found != NULL ? found->pw_uid : geteuid();
	bool done;

	if (user != NULL && found == NULL)
		return -ENOENT;
	capng_setpid(0);
	if (capng_get_caps_process())
		return -EPERM;
	done = uid != geteuid() || uid != getuid() ? become(found) : drop_capabilities();
	return done && is_bare(uid) ? forbid_tracing() : -EPERM;
}
