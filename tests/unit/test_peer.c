/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"
#include "pool_support.h"

/* How long signals rain, and how far they lie apart. Most calls of a few hundred nanoseconds meet
 * none; of two million some hundreds do. */
#define RAIN_NS UINT64_C(1000000000)
#define DROP_US 20

static volatile sig_atomic_t drops;

static void on_drop(int number)
{
	(void)number;
	drops++;
}

/* 0: no more. */
static void rain(suseconds_t us)
{
	const struct itimerval every = {{0, us}, {0, us}};

	assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static struct peer_identity myself(int pair[2])
{
	struct peer_identity identity;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(peer_identify(pair[0], &identity), 0);
	return identity;
}

static void end(const struct peer_identity *identity, const int pair[2])
{
	close(identity->pidfd);
	close(pair[0]);
	close(pair[1]);
}

static void the_process_that_connected_is_known_again(void **state)
{
	int pair[2];
	struct peer_identity identity = myself(pair);

	(void)state;
	assert_int_equal(identity.pid, getpid());
	assert_int_equal(identity.uid, getuid());
	assert_true(peer_is_sender(&identity, getpid()));
	assert_false(peer_is_sender(&identity, getppid()));
	assert_true(peer_is_alive(identity.pidfd));
	end(&identity, pair);
}

static void a_zombie_is_not_alive_and_still_who_it_was(void **state)
{
	struct peer_identity identity = {.pid = fork()};

	(void)state;
	if (identity.pid == 0)
		_exit(0);
	identity.pidfd = pidfd_open(identity.pid, 0);
	assert_true(identity.pidfd >= 0);
	assert_int_equal(waitid(P_PID, (id_t)identity.pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	assert_false(peer_is_alive(identity.pidfd));
	assert_true(peer_is_sender(&identity, identity.pid));
	assert_int_equal(waitpid(identity.pid, NULL, 0), identity.pid);
	assert_true(peer_is_sender(&identity, identity.pid));
	close(identity.pidfd);
}

/* poll(2) is interrupted even if it was not to wait at all. */
static void a_signal_makes_nobody_look_dead(void **state)
{
	int pair[2];
	struct peer_identity identity = myself(pair);
	const struct sigaction action = {.sa_handler = on_drop, .sa_flags = SA_RESTART};
	const uint64_t until = test_now_ns() + RAIN_NS;
	unsigned wrong = 0;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	rain(DROP_US);
	while (test_now_ns() < until) {
		wrong += !peer_is_sender(&identity, identity.pid);
		wrong += !peer_is_alive(identity.pidfd);
	}
	rain(0);
	assert_true(drops > 100);
	assert_int_equal(wrong, 0);
	end(&identity, pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_process_that_connected_is_known_again),
		cmocka_unit_test(a_zombie_is_not_alive_and_still_who_it_was),
		cmocka_unit_test(a_signal_makes_nobody_look_dead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
