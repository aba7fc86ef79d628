/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process dies, and another gets its pid and its socket: it is not let in as the first. Driven
 * for real, with the pid chosen (clone3(2), set_tid), and also with a kernel that has no
 * SO_PEERPIDFD, which a filter of system calls plays.
 */

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "service_support.h"
#include "wire.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* What came of a conversation. */
enum { LET_IN = 10, HUNG_UP = 11, REFUSED = 12, LOST = 13 };

/* The rules know nobody, and not the other. */
#define OTHER 1
static const char rules[] = "{ user = \"nobody\"; pools = [ \"*\" ]; },"
			    "{ user = \"root\"; admin = true; }";

static const struct sock_filter without_pidfd[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 3),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_PEERPIDFD, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* From here on, and in what this process executes. */
static void lose_peer_pidfd(void)
{
	const struct sock_fprog program = {
		.len = sizeof(without_pidfd) / sizeof(*without_pidfd),
		.filter = (struct sock_filter *)(uintptr_t)without_pidfd,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(125);
}

/* @old: without SO_PEERPIDFD. */
static void start(struct service_process *service, bool old)
{
	service_configure(service, rules);
	service_run_prepared(service, old ? lose_peer_pidfd : NULL);
}

/* A conversation, step by step: 0, or what came instead. */

static int hear(int fd, struct wire *answer)
{
	struct pollfd want = {fd, POLLIN, 0};
	int files[WIRE_FILES_MAX];
	unsigned nr = WIRE_FILES_MAX;
	struct mail_sender sender;

	if (poll(&want, 1, PATIENCE_NS / 1000000) != 1)
		return LOST;
	if (wire_recv(fd, answer, files, &nr, &sender))
		return HUNG_UP;
	mail_close_files(files, nr);
	return answer->kind == WIRE_REFUSED ? REFUSED : 0;
}

static int say_hello(int fd)
{
	const struct wire hello = wire_of(WIRE_HELLO);

	return wire_send(fd, &hello, NULL, 0) ? HUNG_UP : 0;
}

/* With the cookie that comes, and then it wants to be let in. */
static int confirm_and_attach(int fd)
{
	struct wire answer, confirm = wire_of(WIRE_CONFIRM), attach = wire_of(WIRE_ATTACH);
	int result = hear(fd, &answer);

	if (result)
		return result;
	confirm.cookie = answer.cookie;
	(void)strcpy(attach.name, "pool:" SERVICE_POOL);
	if (wire_send(fd, &confirm, NULL, 0) || wire_send(fd, &attach, NULL, 0))
		return HUNG_UP;
	result = hear(fd, &answer);
	if (result)
		return result;
	return answer.kind == WIRE_ATTACHED ? LET_IN : LOST;
}

static int become_user(uid_t uid)
{
	return setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid);
}

static int connect_to(int fd, const struct service_process *service)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)strcpy(address.sun_path, service->socket);
	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

/* What the first does before it dies. */
enum first { CONNECTS, SAYS_HELLO, GOES_ON };

static int be_first(int fd, const struct service_process *service, enum first first)
{
	struct pollfd want = {fd, POLLIN, 0};

	if (become_user(SUPPORT_NOBODY) || connect_to(fd, service))
		return LOST;
	if (first == CONNECTS)
		return 0;
	if (say_hello(fd))
		return LOST;
	if (first == GOES_ON)
		return confirm_and_attach(fd);
	/* The cookie lies in the socket: by now the service knows whose pid that was. */
	return poll(&want, 1, PATIENCE_NS / 1000000) == 1 ? 0 : LOST;
}

/* A child with that pid; -1: somebody has it. */
static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid,
				  .set_tid_size = 1};

	fflush(NULL);
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int be_second(int fd, uid_t uid, enum first first)
{
	if (become_user(uid))
		return LOST;
	if (first == CONNECTS && say_hello(fd))
		return HUNG_UP;
	return confirm_and_attach(fd);
}

/* Another may have taken the pid in between, so a few times. -1: each time. */
static int try_to_pass(const struct service_process *service, enum first first, uid_t uid)
{
	for (int tries = 0; tries < 20; tries++) {
		const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		pid_t pid = fork(), second;
		int result = -1;

		if (pid == 0)
			_exit(be_first(fd, service, first));
		assert_int_equal(member_end(pid), 0);
		second = fork_as(pid);
		if (second == 0)
			_exit(be_second(fd, uid, first));
		if (second > 0)
			result = member_end(second);
		close(fd);
		if (second > 0 || errno != EEXIST) {
			assert_true(second < 0 || second == pid);
			return result;
		}
	}
	return -1;
}

static const bool is_new = false, is_old = true;

static void who_lives_on_is_let_in(void **state)
{
	struct service_process service;
	int fd;
	pid_t pid;

	start(&service, *(const bool *)*state);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid = fork();
	if (pid == 0)
		_exit(be_first(fd, &service, GOES_ON));
	assert_int_equal(member_end(pid), LET_IN);
	close(fd);
	service_stop(&service);
}

static void nobody_passes(bool old, enum first first, uid_t uid)
{
	struct service_process service;
	int result;

	start(&service, old);
	result = try_to_pass(&service, first, uid);
	assert_int_equal(service_count("members"), 0);
	service_stop(&service);
	assert_int_equal(result, HUNG_UP);
}

static void who_got_the_pid_after_hello_is_not_let_in(void **state)
{
	nobody_passes(*(const bool *)*state, SAYS_HELLO, OTHER);
}

/* Nor one of the same user: it is another process. */
static void nor_is_one_of_the_same_user(void **state)
{
	nobody_passes(*(const bool *)*state, SAYS_HELLO, SUPPORT_NOBODY);
}

static void who_got_the_pid_before_hello_is_not_let_in(void **state)
{
	nobody_passes(*(const bool *)*state, CONNECTS, OTHER);
}

/* Of the same user, too: only what the kernel noted when it connected tells the two apart. */
static void nor_is_one_of_the_same_user_where_the_kernel_knows_who_connected(void **state)
{
	nobody_passes(*(const bool *)*state, CONNECTS, SUPPORT_NOBODY);
}

static bool has_peer_pidfd(void)
{
	int pair[2], pidfd = -1;
	socklen_t len = sizeof(pidfd);
	bool has;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return false;
	has = !getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len);
	if (has)
		close(pidfd);
	close(pair[0]);
	close(pair[1]);
	return has;
}

#define kernel_test(f, kernel) \
	{#f "_" #kernel, f, pool_test_before, pool_test_after, (void *)(uintptr_t)&(kernel)}
#define on_new(f) kernel_test(f, is_new)
#define on_old(f) kernel_test(f, is_old)
#define root_test(on, f) support_where(!geteuid(), "only root chooses pids and users", on, f)
#define kernels_test(f) root_test(on_new, f), root_test(on_old, f)

int main(void)
{
	const struct CMUnitTest tests[] = {
		kernels_test(who_lives_on_is_let_in),
		kernels_test(who_got_the_pid_after_hello_is_not_let_in),
		kernels_test(nor_is_one_of_the_same_user),
		kernels_test(who_got_the_pid_before_hello_is_not_let_in),
		support_where(!geteuid() && has_peer_pidfd(),
			      "not root, or a kernel before 6.5, without SO_PEERPIDFD", on_new,
			      nor_is_one_of_the_same_user_where_the_kernel_knows_who_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
