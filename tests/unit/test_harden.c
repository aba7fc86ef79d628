/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What piniond gives up, and that pools work on after it. Each case hardens a child of its own:
 * there is no way back.
 */

#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "pool_support.h"

#include "harden.h"

/* cmocka's assertions are for the parent; a child says the line and ends with 1. */
#define CHECK(claim)                                                                               \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			dprintf(STDERR_FILENO, "# %s:%d: not so: %s (errno %d)\n", __FILE__,       \
				__LINE__, #claim, errno);                                          \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

/* In a child that dies of what kills it: cmocka would catch it and go on with its tests. */
static int hardened(int (*f)(void *), void *arg)
{
	const int caught[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGSYS};
	struct rlimit none = {0, 0};
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
			(void)signal(caught[i], SIG_DFL);
		(void)setrlimit(RLIMIT_CORE, &none);
		_exit(f(arg));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A line of /proc/self/status, in hexadecimal or decimal as it is. */
static unsigned long long status_of(const char *key, int base)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long value = ~0ull;
	char line[256];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			value = strtoull(line + strlen(key) + 1, NULL, base);
	if (file != NULL)
		fclose(file);
	return value;
}

static bool is_root(void)
{
	return geteuid() == 0;
}

/* What only root can give up is tested as root. */
static bool has_nothing_to_drop(void)
{
	if (!is_root())
		print_message("# not root: nothing to drop\n");
	return !is_root();
}

/* Limits. */

static int limits(void *arg)
{
	struct rlimit files = {64, 128}, memory;

	(void)arg;
	CHECK(!setrlimit(RLIMIT_NOFILE, &files));
	CHECK(!harden_limits());
	CHECK(!getrlimit(RLIMIT_NOFILE, &files));
	CHECK(files.rlim_cur == files.rlim_max && files.rlim_max >= 128);
	CHECK(!getrlimit(RLIMIT_MEMLOCK, &memory));
	CHECK(memory.rlim_cur == memory.rlim_max);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	return 0;
}

static void limits_are_raised_and_tracing_forbidden(void **state)
{
	(void)state;
	assert_int_equal(hardened(limits, NULL), 0);
}

/* Privilege. */

static int bare(void)
{
	CHECK(status_of("CapEff", 16) == 0 && status_of("CapPrm", 16) == 0);
	CHECK(status_of("CapInh", 16) == 0 && status_of("CapAmb", 16) == 0);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	return 0;
}

static int becomes_nobody(void *arg)
{
	uid_t uid[3];
	gid_t gid[3], group;

	(void)arg;
	CHECK(!harden_limits());
	CHECK(!harden_drop("nobody"));
	CHECK(!getresuid(&uid[0], &uid[1], &uid[2]));
	CHECK(uid[0] == SUPPORT_NOBODY && uid[1] == uid[0] && uid[2] == uid[0]);
	CHECK(!getresgid(&gid[0], &gid[1], &gid[2]));
	CHECK(gid[0] != 0 && gid[1] == gid[0] && gid[2] == gid[0]);
	CHECK(getgroups(0, NULL) == 1 && getgroups(1, &group) == 1 && group == gid[0]);
	CHECK(setuid(0) < 0 && errno == EPERM);
	CHECK(open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
	CHECK(status_of("CapBnd", 16) == 0);
	return bare();
}

static void a_user_is_become_for_good(void **state)
{
	(void)state;
	if (!has_nothing_to_drop())
		assert_int_equal(hardened(becomes_nobody, NULL), 0);
}

static int becomes_a_number(void *arg)
{
	(void)arg;
	CHECK(!harden_drop("65534"));
	CHECK(getuid() == SUPPORT_NOBODY && getgid() != 0);
	return bare();
}

static void a_user_may_be_a_number(void **state)
{
	(void)state;
	if (!has_nothing_to_drop())
		assert_int_equal(hardened(becomes_a_number, NULL), 0);
}

static int stays(void *arg)
{
	const uid_t uid = getuid();

	(void)arg;
	CHECK(!harden_drop(NULL));
	CHECK(getuid() == uid);
	CHECK(chown("/", 1, 1) < 0 && errno == EPERM);
	return bare();
}

static void who_stays_keeps_no_capability(void **state)
{
	(void)state;
	assert_int_equal(hardened(stays, NULL), 0);
}

static int unknown(void *arg)
{
	const unsigned long long before = status_of("CapEff", 16);

	(void)arg;
	CHECK(harden_drop("no-such-user") == -ENOENT);
	CHECK(harden_drop("") == -ENOENT);
	CHECK(harden_drop("4000000000") == -ENOENT);
	CHECK(status_of("CapEff", 16) == before);
	return 0;
}

static void an_unknown_user_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(hardened(unknown, NULL), 0);
}

static int climbs(void *arg)
{
	(void)arg;
	CHECK(!is_root() || !harden_drop("nobody"));
	CHECK(harden_drop("root") == -EPERM);
	CHECK(!is_root());
	return 0;
}

static void nobody_becomes_root(void **state)
{
	(void)state;
	assert_int_equal(hardened(climbs, NULL), 0);
}

/* Frames of pages: what CAP_SYS_ADMIN is for, once. */
static int reads_frames(void *arg)
{
	const int before = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry = 0;

	(void)arg;
	CHECK(before >= 0 && page != MAP_FAILED);
	*page = 1;
	CHECK(!harden_limits() && !harden_drop("nobody"));
	CHECK(pread(before, &entry, 8, (off_t)((uintptr_t)page / 4096 * 8)) == 8);
	CHECK((entry & ((UINT64_C(1) << 55) - 1)) != 0);
	CHECK(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
	return 0;
}

static void frames_are_read_by_an_fd_opened_before(void **state)
{
	(void)state;
	if (!has_nothing_to_drop())
		assert_int_equal(hardened(reads_frames, NULL), 0);
}

/* Nothing is reserved by this, so that none need be free. */
static int makes_hugepage_file(void *arg)
{
	int fd;

	(void)arg;
	CHECK(!harden_limits() && !harden_drop(is_root() ? "nobody" : NULL) && !harden_seccomp());
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
	CHECK(fd >= 0);
	CHECK(!fchmod(fd, 0600));
	CHECK(!ftruncate(fd, (off_t)2 << 20));
	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	return 0;
}

static void a_hugepage_file_takes_no_privilege(void **state)
{
	(void)state;
	assert_int_equal(hardened(makes_hugepage_file, NULL), 0);
}

/* System calls. */

static bool refused(long result)
{
	return result == -1 && errno == EPERM;
}

static int refuses(void *arg)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rlimit limit;
	char key = 'x';

	(void)arg;
	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	CHECK(!harden_seccomp());
	CHECK(refused(socket(AF_INET, SOCK_STREAM, 0)));
	CHECK(refused(socket(AF_NETLINK, SOCK_RAW, 0)));
	CHECK(refused(fork()));
	CHECK(refused(vfork()));
	CHECK(refused((long)mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
	CHECK(refused(mprotect(page, 4096, PROT_READ | PROT_EXEC)));
	CHECK(refused(kill(getppid(), SIGCONT)));
	CHECK(refused(syscall(SYS_tgkill, getppid(), getppid(), SIGCONT)));
	CHECK(refused(syscall(SYS_pidfd_send_signal, 0, SIGCONT, NULL, 0)));
	CHECK(refused(ioctl(STDIN_FILENO, TIOCSTI, &key)));
	CHECK(refused(setrlimit(RLIMIT_NOFILE, &limit)));
	CHECK(refused(setuid(getuid())));
	CHECK(refused(prctl(PR_SET_DUMPABLE, 1)));
	CHECK(refused(syscall(SYS_io_uring_setup, 1, &(struct io_uring_params){0})));
	CHECK(refused(chown("/", 0, 0)));
	CHECK(refused(rename("/proc/a", "/proc/b")));
	CHECK(refused(mknod("/proc/a", S_IFCHR | 0600, 0)));
	CHECK(refused(syscall(SYS_keyctl, 0, 0, 0, 0, 0)));
	CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	return 0;
}

static void what_is_not_on_the_list_is_refused(void **state)
{
	(void)state;
	assert_int_equal(hardened(refuses, NULL), 0);
}

static int tries(void *arg)
{
	CHECK(!harden_seccomp());
	(void)syscall((long)(intptr_t)arg, 0, 0, 0, 0, 0, 0);
	return 0;
}

static void what_only_an_attacker_does_kills(void **state)
{
	const long calls[] = {SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
			      SYS_process_vm_writev, SYS_pidfd_getfd, SYS_unshare, SYS_setns,
			      SYS_mount, SYS_bpf, SYS_userfaultfd, SYS_init_module,
			      SYS_kexec_load, SYS_open_by_handle_at};

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_int_equal(hardened(tries, (void *)(intptr_t)calls[i]), 128 + SIGSYS);
}

/* The filter is for threads that began before it, too. */

static atomic_int go;

static void *waits_and_tries(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&go, memory_order_acquire))
		sched_yield();
	return (void *)(intptr_t)refused(socket(AF_INET, SOCK_STREAM, 0));
}

static int older_thread(void *arg)
{
	pthread_t thread;
	void *was_refused;

	(void)arg;
	CHECK(!pthread_create(&thread, NULL, waits_and_tries, NULL));
	CHECK(!harden_seccomp());
	atomic_store_explicit(&go, 1, memory_order_release);
	CHECK(!pthread_join(thread, &was_refused));
	CHECK(was_refused != NULL);
	return 0;
}

static void a_thread_that_began_before_is_held_too(void **state)
{
	(void)state;
	assert_int_equal(hardened(older_thread, NULL), 0);
}

static int aborts(void *arg)
{
	(void)arg;
	CHECK(!harden_seccomp());
	abort();
}

static void abort_still_ends_it(void **state)
{
	(void)state;
	assert_int_equal(hardened(aborts, NULL), 128 + SIGABRT);
}

/* What the service does then. */

static int harden_all(void)
{
	CHECK(!harden_limits());
	CHECK(!harden_drop(is_root() ? "nobody" : NULL));
	CHECK(!harden_seccomp());
	return 0;
}

/* A member takes all and dies; its keeper brings it back. All in one process. */
static int member_comes_and_goes(struct pinion_pool *pool)
{
	struct pinion_recovery report;
	struct pinion_pool_fds fds = pool_files(pool);
	struct pinion_pool *member = NULL;
	const struct pinion_cache_config any = {.buffer_size = 1, .node = PINION_NODE_ANY};
	struct pinion_cache *cache = NULL;
	struct pinion_buffer buffer;
	uint32_t number;

	CHECK(!pinion_pool_admit(pool, getpid(), &number));
	CHECK(!pinion_pool_quota(pool, number, 1 << 20));
	CHECK(!pinion_pool_attach(&fds, number, &member));
	CHECK(!pinion_cache_open(member, &any, &cache));
	CHECK(!pinion_buffer_alloc(cache, &buffer));
	memset(pinion_buffer_addr(member, buffer), 1, pinion_buffer_size(member, buffer));
	CHECK(pinion_pool_held(pool, number) == 1);
	CHECK(!pinion_cache_close(cache) && !pinion_pool_detach(member));
	CHECK(!pinion_pool_recover(pool, number, NULL, 0, &report) && report.returned == 1);
	CHECK(!pinion_pool_release(pool, number, &report));
	return 0;
}

static int keeps_pools(void *arg)
{
	struct pinion_pool_config config = pool_config(256, BUFFER);
	struct pinion_segment_config more = segment_of(256, BUFFER), other = segment_of(64, 1024);
	struct pinion_pool *pool = NULL;
	uint32_t slot;

	(void)arg;
	config.max_segments = 4;
	config.flags = PINION_POOL_SCRUB;
	more.node = 0;
	CHECK(!harden_all());
	CHECK(!pinion_pool_create(&config, &pool));
	CHECK(!pinion_pool_grow(pool, &more, &slot));
	CHECK(!pinion_pool_grow(pool, &other, &slot));
	CHECK(!member_comes_and_goes(pool));
	CHECK(!pinion_pool_retire(pool, slot));
	CHECK(pool_problem(pool) == NULL);
	CHECK(!pinion_pool_destroy(pool));
	return 0;
}

static void pools_are_made_grown_recovered_and_retired(void **state)
{
	(void)state;
	assert_int_equal(hardened(keeps_pools, NULL), 0);
}

static int listen_at(const struct sockaddr_un *name)
{
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (bind(fd, (const struct sockaddr *)name, sizeof(*name)) ||
	    chmod(name->sun_path, 0666) || listen(fd, 4))
		return -1;
	return fd;
}

/* A peer, in this very process: accepted, known, sent a file, answered. */
static int serves(int listener, const struct sockaddr_un *name)
{
	const int peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred who;
	socklen_t len = sizeof(who);
	char byte = 1, room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room,
				 .msg_controllen = sizeof(room)};
	struct cmsghdr *files = CMSG_FIRSTHDR(&message);
	int fd, one = 1;

	CHECK(!connect(peer, (const struct sockaddr *)name, sizeof(*name)));
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(fd >= 0);
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) && who.pid == getpid());
	*files = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(files), &listener, sizeof(int));
	CHECK(sendmsg(fd, &message, MSG_NOSIGNAL) == 1);
	CHECK(recvmsg(peer, &message, MSG_CMSG_CLOEXEC) == 1);
	CHECK(message.msg_controllen > 0);
	return 0;
}

/* The events that a loop waits for, and a death among them: that of the parent is not one. */
static int loops(void)
{
	const struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
	struct epoll_event event = {.events = EPOLLIN};
	const int loop = epoll_create1(EPOLL_CLOEXEC), life = pidfd_open(getppid(), 0);
	const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	const int bell = eventfd(0, EFD_CLOEXEC);
	struct pollfd parent = {.fd = life, .events = POLLIN};
	sigset_t none;

	sigemptyset(&none);
	CHECK(loop >= 0 && life >= 0 && timer >= 0 && bell >= 0);
	CHECK(signalfd(-1, &none, SFD_CLOEXEC) >= 0);
	CHECK(!epoll_ctl(loop, EPOLL_CTL_ADD, life, &event));
	CHECK(!epoll_ctl(loop, EPOLL_CTL_ADD, bell, &event));
	CHECK(!epoll_ctl(loop, EPOLL_CTL_ADD, timer, &event));
	CHECK(!timerfd_settime(timer, 0, &soon, NULL));
	CHECK(epoll_wait(loop, &event, 1, 5000) == 1);
	CHECK(poll(&parent, 1, 0) == 0);
	CHECK(!kill(getppid(), 0) || errno == EPERM);
	return 0;
}

/* Of a device: its command register, and its node. */
static int looks_at_sysfs(void)
{
	DIR *devices = opendir("/sys/bus/pci/devices");
	const struct dirent *entry;
	char path[512], config[64];
	int fd;

	while (devices != NULL && (entry = readdir(devices)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		CHECK(fd >= 0 && read(fd, config, sizeof(config)) == sizeof(config));
		close(fd);
	}
	if (devices != NULL)
		closedir(devices);
	CHECK(status_of("NoNewPrivs", 10) == 1);
	return 0;
}

static int serves_and_loops(void *arg)
{
	const int listener = listen_at(arg);

	CHECK(listener >= 0);
	CHECK(!harden_all());
	CHECK(!serves(listener, arg));
	CHECK(!loops());
	CHECK(!looks_at_sysfs());
	CHECK(fprintf(stderr, "%s", "") == 0 && !fflush(stderr));
	return 0;
}

static void peers_are_served_and_events_waited_for(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char dir[SUPPORT_PATH_LEN];

	(void)state;
	support_dir_create(dir);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_true(strlen(dir) + sizeof("/s") <= sizeof(name.sun_path));
	strcpy(stpcpy(name.sun_path, dir), "/s");
	assert_int_equal(hardened(serves_and_loops, &name), 0);
	support_dir_destroy(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(limits_are_raised_and_tracing_forbidden),
		support_test(a_user_is_become_for_good),
		support_test(a_user_may_be_a_number),
		support_test(who_stays_keeps_no_capability),
		support_test(an_unknown_user_changes_nothing),
		support_test(nobody_becomes_root),
		support_test(frames_are_read_by_an_fd_opened_before),
		support_test(a_hugepage_file_takes_no_privilege),
		support_test(what_is_not_on_the_list_is_refused),
		support_test(what_only_an_attacker_does_kills),
		support_test(a_thread_that_began_before_is_held_too),
		support_test(abort_still_ends_it),
		support_test(pools_are_made_grown_recovered_and_retired),
		support_test(peers_are_served_and_events_waited_for),
	};

	return cmocka_run_group_tests_name("harden", tests, NULL, NULL);
}
