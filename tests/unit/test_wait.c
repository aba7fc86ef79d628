/* SPDX-License-Identifier: BSD-3-Clause */
/* wait.h: several at once, spinning, and a descriptor for loops; with peers that do their worst. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <pinion/wait.h>

#include "channel.h"
#include "channel_support.h"
#include "ready.h"
#include "requeue.h"
#include "ring_end.h"
#include "send_file.h"

#define SLOTS 64
#define MS UINT64_C(1000000)
#define LONG_NS (30000 * MS) /* nothing takes that long, but for a wake-up that was lost */
#define MUCH_NS (20000 * MS) /* more than a busy machine takes for anything else */

/* Both ends of a ring. */
struct ends {
	struct pinion_ring *tx, *rx;
};

static struct ends ends_open(void)
{
	const int fd = ring_file(SLOTS);
	struct ends ends;

	assert_int_equal(pinion_ring_open(fd, PINION_RING_SEND, &ends.tx), 0);
	assert_int_equal(pinion_ring_open(fd, PINION_RING_RECV, &ends.rx), 0);
	assert_int_equal(close(fd), 0);
	return ends;
}

static void ends_close(const struct ends *ends)
{
	assert_int_equal(pinion_ring_close(ends->tx), 0);
	assert_int_equal(pinion_ring_close(ends->rx), 0);
}

/* ... that are told by a descriptor. */
static struct ends ends_open_notified(void)
{
	const struct ends ends = ends_open();

	assert_int_equal(pinion_ring_set_notify(ends.tx, pinion_ring_notify_fd(ends.rx)), 0);
	return ends;
}

static struct ring *rx_of(const struct ends *ends)
{
	return ring_end_of(ends->rx, PINION_RING_RECV);
}

static uint32_t bell_state(const struct ends *ends)
{
	return atomic_load(&rx_of(ends)->shared->bell.state);
}

static void send_tag(const struct ends *ends, uint32_t tag)
{
	const struct pinion_desc desc = {pinion_buffer_make(1, 1), 0, tag};

	assert_int_equal(pinion_ring_send(ends->tx, &desc, 1), 1);
}

static uint32_t recv_tag(const struct ends *ends)
{
	struct pinion_desc desc = {.tag = UINT32_MAX};

	assert_int_equal(pinion_ring_recv(ends->rx, &desc, 1), 1);
	return desc.tag;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd want = {.fd = fd, .events = POLLIN};

	return poll(&want, 1, timeout_ms) > 0;
}

static void pause_ns(long ns)
{
	const struct timespec pause = {0, ns};

	nanosleep(&pause, NULL);
}

/* Several at once. */

struct many {
	struct ends ends[PINION_WAIT_ANY_MAX];
	struct pinion_ring *rx[PINION_WAIT_ANY_MAX];
	uint32_t nr;
};

static void many_open(struct many *many, uint32_t nr)
{
	many->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		many->ends[i] = ends_open();
		many->rx[i] = many->ends[i].rx;
		pinion_ring_set_spin(many->rx[i], 0);
	}
}

static void many_close(const struct many *many)
{
	for (uint32_t i = 0; i < many->nr; i++)
		ends_close(&many->ends[i]);
}

static void any_tells_which_one(void **state)
{
	struct many many;

	(void)state;
	many_open(&many, 3);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t which = 0;

		send_tag(&many.ends[i], i);
		assert_int_equal(pinion_ring_wait_any(many.rx, 3, 0, &which), 0);
		assert_int_equal(which, i);
		assert_int_equal(recv_tag(&many.ends[i]), i);
	}
	many_close(&many);
}

static void any_begins_behind_the_one_told_last(void **state)
{
	const uint32_t first[] = {1, 2, 0, 1, 2, 0};
	struct many many;
	uint32_t which = 0;

	(void)state;
	many_open(&many, 3);
	for (uint32_t i = 0; i < 3; i++)
		send_tag(&many.ends[i], i);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(pinion_ring_wait_any(many.rx, 3, 0, &which), 0);
		assert_int_equal(which, first[i]);
	}
	which = UINT32_MAX;
	assert_int_equal(pinion_ring_wait_any(many.rx, 3, 0, &which), 0);
	assert_int_equal(which, 0);
	many_close(&many);
}

static void any_of_none_or_of_too_many_is_einval(void **state)
{
	struct pinion_ring *too_many[PINION_WAIT_ANY_MAX + 1];
	const struct ends ends = ends_open();
	uint32_t which = 7;

	(void)state;
	for (uint32_t i = 0; i <= PINION_WAIT_ANY_MAX; i++)
		too_many[i] = ends.rx;
	assert_int_equal(pinion_ring_wait_any(too_many, 0, 0, &which), -EINVAL);
	assert_int_equal(pinion_ring_wait_any(too_many, PINION_WAIT_ANY_MAX + 1, 0, &which),
			 -EINVAL);
	assert_int_equal(pinion_ring_wait_any(too_many, PINION_WAIT_ANY_MAX, 0, &which),
			 -ETIMEDOUT);
	too_many[1] = ends.tx;
	assert_int_equal(pinion_ring_wait_any(too_many, 2, 0, &which), -EINVAL);
	assert_int_equal(which, 7);
	ends_close(&ends);
}

static uint64_t timed_any(const struct many *many, uint64_t timeout_ns, int *err, uint32_t *which)
{
	const uint64_t before = test_now_ns();

	*err = pinion_ring_wait_any(many->rx, many->nr, timeout_ns, which);
	return test_now_ns() - before;
}

static void any_ends_at_its_time_limit_and_leaves_no_bell_armed(void **state)
{
	struct many many;
	uint32_t which = 0;
	int err;

	(void)state;
	many_open(&many, 5);
	assert_in_range(timed_any(&many, 20 * MS, &err, &which), 20 * MS, MUCH_NS);
	assert_int_equal(err, -ETIMEDOUT);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(bell_state(&many.ends[i]), BELL_QUIET);
	many_close(&many);
}

/* Senders that were told to leave their fences out put them in again, all of them. */
static void any_puts_every_fence_back(void **state)
{
	struct many many;
	uint32_t which = 0;

	(void)state;
	many_open(&many, 5);
	for (uint32_t i = 1; i < 5; i += 2)
		bell_relax(&rx_of(&many.ends[i])->shared->bell, &rx_of(&many.ends[i])->ear);
	assert_int_equal(pinion_ring_wait_any(many.rx, 5, MS, &which), -ETIMEDOUT);
	for (uint32_t i = 0; i < 5; i++) {
		assert_false(rx_of(&many.ends[i])->ear.unfenced);
		assert_int_equal(atomic_load(&rx_of(&many.ends[i])->shared->bell.fenced), 1);
	}
	many_close(&many);
}

struct later {
	const struct many *many;
	uint32_t which;
	uint64_t timeout_ns;
	pthread_t waiter;
	_Atomic int done;
};

static void *send_later(void *arg)
{
	const struct later *later = arg;

	pause_ns(20000000);
	send_tag(&later->many->ends[later->which], later->which);
	return NULL;
}

static void *signal_later(void *arg)
{
	const struct later *later = arg;

	/* More than one: the first may come before a busy machine lets the other sleep. */
	while (!later->done) {
		pause_ns(20000000);
		pthread_kill(later->waiter, SIGUSR1);
	}
	return NULL;
}

static uint64_t any_while(struct later *later, void *(*act)(void *), int *err, uint32_t *which)
{
	pthread_t thread;
	uint64_t took;

	later->waiter = pthread_self();
	took = test_now_ns();
	assert_int_equal(pthread_create(&thread, NULL, act, later), 0);
	(void)timed_any(later->many, later->timeout_ns, err, which);
	took = test_now_ns() - took;
	later->done = 1;
	assert_int_equal(pthread_join(thread, NULL), 0);
	return took;
}

static void a_sleeper_at_many_is_woken_by_each(void **state)
{
	const uint32_t some[] = {0, 1, 77, PINION_WAIT_ANY_MAX - 1};
	struct many many;

	(void)state;
	many_open(&many, PINION_WAIT_ANY_MAX);
	for (uint32_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
		struct later later = {.many = &many, .which = some[i], .timeout_ns = LONG_NS};
		uint32_t which = 3;
		int err;

		assert_in_range(any_while(&later, send_later, &err, &which), 15 * MS, MUCH_NS);
		assert_int_equal(err, 0);
		assert_int_equal(which, some[i]);
		assert_int_equal(recv_tag(&many.ends[which]), which);
	}
	many_close(&many);
}

/* At one, and at several: the kernel is asked in two ways. */
static const uint32_t one_and_several[] = {1, 3};

static void a_sleep_without_a_limit_is_woken(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct many many;
		struct later later = {.many = &many, .timeout_ns = UINT64_MAX};
		uint32_t which = 0;
		int err;

		many_open(&many, one_and_several[i]);
		assert_in_range(any_while(&later, send_later, &err, &which), 15 * MS, MUCH_NS);
		assert_int_equal(err, 0);
		assert_int_equal(which, 0);
		assert_int_equal(recv_tag(&many.ends[0]), 0);
		many_close(&many);
	}
}

static void on_signal(int number)
{
	(void)number;
}

static void a_signal_ends_any_with_eintr(void **state)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct many many;
	struct later later = {.many = &many, .timeout_ns = LONG_NS};
	uint32_t which = 5;
	int err;

	(void)state;
	many_open(&many, 3);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_in_range(any_while(&later, signal_later, &err, &which), 15 * MS, MUCH_NS);
	assert_int_equal(err, -EINTR);
	assert_int_equal(which, 5);
	many_close(&many);
}

#define FUTEX_WAITV 449u /* futex_waitv(2), which not all headers know */

/* As by a kernel that is too old for @call, or by a filter: it fails with @error. */
static int refuse(uint32_t call, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & 0xffff)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In a child, because a filter stays: the first wakes at once, the last in a slice. */
static int wait_without_waitv(void *arg)
{
	struct many many;

	if (refuse(FUTEX_WAITV, *(int *)arg) || !syscall(FUTEX_WAITV, NULL, 0, 0, NULL, 0))
		return 1;
	many_open(&many, 4);
	for (uint32_t i = 0; i < 4; i++) {
		struct later later = {.many = &many, .which = i, .timeout_ns = LONG_NS};
		uint32_t which = 0;
		uint64_t took;
		int err;

		took = any_while(&later, send_later, &err, &which);
		if (err || which != i || took < 15 * MS || took > MUCH_NS ||
		    recv_tag(&many.ends[i]) != i)
			return 2;
		took = timed_any(&many, 20 * MS, &err, &which);
		if (err != -ETIMEDOUT || took < 20 * MS || took > MUCH_NS)
			return 3;
	}
	many_close(&many);
	return 0;
}

static void any_works_where_the_kernel_knows_no_such_call(void **state)
{
	int errors[] = {ENOSYS, EPERM};

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(support_child(wait_without_waitv, &errors[i]), 0);
}

/* Peers that ring all the time and for nothing. */
struct ringer {
	const struct many *many;
	_Atomic int stop;
};

static void *ring_for_nothing(void *arg)
{
	static const struct bell_hand hand = {.registered = false, .socket = -1};
	struct ringer *ringer = arg;

	for (uint32_t i = 0; !ringer->stop; i = (i + 1) % ringer->many->nr)
		bell_strike(&rx_of(&ringer->many->ends[i])->shared->bell, &hand);
	return NULL;
}

static void any_keeps_its_time_limit_though_bells_ring_for_nothing(void **state)
{
	struct many many;
	struct ringer ringer = {&many, 0};
	uint64_t took = test_now_ns();
	pthread_t thread;

	(void)state;
	many_open(&many, 8);
	assert_int_equal(pthread_create(&thread, NULL, ring_for_nothing, &ringer), 0);
	for (int i = 0; i < 20; i++) {
		uint32_t which = 0;

		assert_int_equal(pinion_ring_wait_any(many.rx, 8, 10 * MS, &which), -ETIMEDOUT);
	}
	took = test_now_ns() - took;
	ringer.stop = 1;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(took, 200 * MS, MUCH_NS);
	many_close(&many);
}

/* A process that waits for its death; its pidfd. */
static int doom(pid_t *pid)
{
	int pidfd;

	*pid = fork();
	if (*pid == 0) {
		pause();
		_exit(0);
	}
	pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	assert_true(pidfd >= 0);
	return pidfd;
}

/* A loop that is told of changes only had one word of both. */
static void a_death_behind_what_was_sent_is_noticed_with_it(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct side *own = &pair.a;
	const struct pinion_desc sent = desc_new(&pair.b, 1, 0);
	struct pinion_desc desc;
	pid_t pid;
	const int pidfd = doom(&pid);

	(void)state;
	channel_watch(own->channel, pidfd);
	assert_true(pinion_channel_fd(own->channel) >= 0);
	assert_int_equal(pinion_channel_prepare(own->channel), 0);
	assert_int_equal(pinion_channel_send(pair.b.channel, &sent, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(pinion_channel_done(own->channel), 0);
	assert_int_equal(pinion_channel_recv(own->channel, &desc, 1), 1);
	assert_int_equal(pinion_buffer_free(own->cache, desc.buffer), 0);
	assert_int_equal(pinion_channel_prepare(own->channel), -EPIPE);
	assert_int_equal(pinion_channel_recv(own->channel, &desc, 1), -EPIPE);
	close(pidfd);
	pair_close_whole(&pair);
}

/* Of two channels: whose peer, another process here, dies while we sleep at both. */
static void any_notices_that_a_peer_died(void **state)
{
	struct pair one = pair_make(512, 8), two = pair_make(512, 8);
	struct pinion_channel *const channel[] = {one.a.channel, two.a.channel};
	struct pinion_desc desc;
	uint64_t took;
	uint32_t which = 1;
	pid_t pid;
	const int pidfd = doom(&pid);

	(void)state;
	channel_watch(two.a.channel, pidfd);
	assert_int_equal(pinion_channel_wait_any(channel, 2, 150 * MS, &which), -ETIMEDOUT);
	kill(pid, SIGKILL);
	took = test_now_ns();
	assert_int_equal(pinion_channel_wait_any(channel, 2, LONG_NS, &which), 0);
	took = test_now_ns() - took;
	assert_int_equal(which, 1);
	assert_in_range(took, 0, MUCH_NS);
	assert_int_equal(pinion_channel_recv(two.a.channel, &desc, 1), -EPIPE);
	assert_int_equal(pinion_channel_recv(one.a.channel, &desc, 1), -EAGAIN);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(pidfd);
	pair_close_whole(&two);
	pair_close_whole(&one);
}

/* A peer moves who sleeps away from the bell, and is killed. */

struct severing {
	const struct many *many;
	uint64_t at_ns;
};

static void *move_and_sever(void *arg)
{
	struct severing *severing = arg;
	const struct ends *first = &severing->many->ends[0];

	assert_int_equal(requeue_sleepers(&rx_of(first)->shared->bell), 1);
	severing->at_ns = test_now_ns();
	pinion_ring_sever(first->rx);
	return NULL;
}

static void who_was_moved_away_from_the_bell_hears_of_a_sever(void **state)
{
	struct pinion_desc desc;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct many many;
		struct severing severing = {.many = &many};
		uint32_t which = 0;
		pthread_t thread;

		many_open(&many, one_and_several[i]);
		assert_int_equal(pthread_create(&thread, NULL, move_and_sever, &severing), 0);
		assert_int_equal(pinion_ring_wait_any(many.rx, many.nr, UINT64_MAX, &which), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_in_range(test_now_ns() - severing.at_ns, 0, MUCH_NS);
		assert_int_equal(which, 0);
		assert_int_equal(pinion_ring_recv(many.rx[0], &desc, 1), -EPIPE);
		many_close(&many);
	}
}

/* Spinning. A thread that spins gives its core to nobody of its own accord. */

static long sleeps(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_nvcsw;
}

static void no_spin_sleeps_at_once(void **state)
{
	const struct ends ends = ends_open();
	struct timespec before, after;
	const long slept = sleeps();

	(void)state;
	pinion_ring_set_spin(ends.rx, 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	for (int i = 0; i < 50; i++)
		assert_int_equal(pinion_ring_wait(ends.rx, 2 * MS), -ETIMEDOUT);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	/* Where another had the processor the time may be over before it comes to sleep. */
	assert_true(sleeps() >= slept + 40);
	/* Of 100 ms. */
	assert_in_range((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec -
			before.tv_nsec, 0, 50 * MS);
	ends_close(&ends);
}

static void a_long_spin_ends_at_the_time_limit_of_the_wait(void **state)
{
	const struct ends ends = ends_open();
	uint64_t took = test_now_ns();
	const long slept = sleeps();

	(void)state;
	pinion_ring_set_spin(ends.rx, UINT64_MAX);
	assert_int_equal(pinion_ring_wait(ends.rx, 50 * MS), -ETIMEDOUT);
	took = test_now_ns() - took;
	assert_in_range(took, 50 * MS, MUCH_NS);
	/* After the spin it arms the bell, and the kernel says at once that the time is over. */
	assert_true(sleeps() <= slept + 1);
	ends_close(&ends);
}

/* The clock. A process in a time namespace of its own has another than the machine. */

#define AHEAD_S 100000

/* That of this process's children goes ahead of its own. */
static int put_clock_ahead(void *arg)
{
	char offset[32];
	const int len = snprintf(offset, sizeof(offset), "monotonic %d 0\n", AHEAD_S);
	ssize_t written;
	int fd;

	(void)arg;
	if (unshare(CLONE_NEWTIME))
		return 1;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	written = write(fd, offset, (size_t)len);
	close(fd);
	return written != len;
}

/* With the wrong clock it would not sleep at all, or sleep for a day. */
static int wait_ahead(void *arg)
{
	const long slept = sleeps();
	uint32_t which = 0;
	struct many many;
	uint64_t took;
	int err;

	alarm(LONG_NS / (1000 * MS));
	many_open(&many, *(const uint32_t *)arg);
	for (int i = 0; i < 10; i++) {
		took = timed_any(&many, 20 * MS, &err, &which);
		if (err != -ETIMEDOUT || took < 20 * MS || took > MUCH_NS)
			return 2;
	}
	many_close(&many);
	return sleeps() < slept + 5 ? 3 : 0;
}

static int is_ahead(void *arg)
{
	return test_now_ns() < *(const uint64_t *)arg + AHEAD_S * 1000 * MS;
}

static int wait_in_a_time_namespace(void *arg)
{
	uint64_t outside = test_now_ns();
	int status;

	(void)arg;
	if (put_clock_ahead(NULL) || support_child(is_ahead, &outside))
		return 1;
	for (int i = 0; i < 2; i++) {
		uint32_t nr = one_and_several[i];

		status = support_child(wait_ahead, &nr);
		if (status)
			return status;
	}
	return 0;
}

static void a_wait_goes_by_the_clock_of_its_time_namespace(void **state)
{
	(void)state;
	assert_int_equal(support_child(wait_in_a_time_namespace, NULL), 0);
}

/* A descriptor for a loop. */

static void the_fd_is_readable_when_something_came(void **state)
{
	const struct ends ends = ends_open_notified();
	const int fd = pinion_ring_fd(ends.rx);

	(void)state;
	assert_int_equal(pinion_ring_fd(ends.rx), fd);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(pinion_ring_prepare(ends.rx), 0);
		assert_false(readable(fd, 0));
		send_tag(&ends, i);
		assert_true(readable(fd, 0));
		assert_int_equal(pinion_ring_done(ends.rx), 0);
		assert_false(readable(fd, 0));
		assert_int_equal(recv_tag(&ends), i);
	}
	ends_close(&ends);
}

static void prepare_says_so_when_something_is_there(void **state)
{
	const struct ends ends = ends_open_notified();

	(void)state;
	send_tag(&ends, 1);
	assert_int_equal(pinion_ring_prepare(ends.rx), 1);
	assert_int_equal(bell_state(&ends), BELL_QUIET);
	recv_tag(&ends);
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	ends_close(&ends);
}

static void a_receiver_that_is_awake_is_not_told(void **state)
{
	const struct ends ends = ends_open_notified();
	const int fd = pinion_ring_fd(ends.rx);

	(void)state;
	send_tag(&ends, 1);
	assert_false(readable(fd, 0));
	recv_tag(&ends);
	/* ... nor twice. */
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	send_tag(&ends, 2);
	send_tag(&ends, 3);
	assert_int_equal(recv(fd, &(char){0}, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(fd, &(char){0}, 1, MSG_DONTWAIT), -1);
	ends_close(&ends);
}

static void close_makes_the_fd_readable(void **state)
{
	struct ends ends = ends_open_notified();
	struct pinion_desc desc;

	(void)state;
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	assert_int_equal(pinion_ring_close(ends.tx), 0);
	assert_true(readable(pinion_ring_fd(ends.rx), 0));
	assert_int_equal(pinion_ring_done(ends.rx), 0);
	assert_int_equal(pinion_ring_recv(ends.rx, &desc, 1), -EPIPE);
	assert_int_equal(pinion_ring_prepare(ends.rx), -EPIPE);
	assert_int_equal(pinion_ring_close(ends.rx), 0);
}

static void what_was_sent_before_a_close_is_prepared_for(void **state)
{
	struct ends ends = ends_open_notified();

	(void)state;
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	send_tag(&ends, 5);
	assert_int_equal(pinion_ring_close(ends.tx), 0);
	assert_int_equal(pinion_ring_prepare(ends.rx), 1);
	assert_int_equal(recv_tag(&ends), 5);
	assert_int_equal(pinion_ring_prepare(ends.rx), -EPIPE);
	assert_int_equal(pinion_ring_close(ends.rx), 0);
}

/* By another thread of the receiver, which has no end of a sender's. */
static void sever_and_a_lie_make_the_fd_readable(void **state)
{
	for (int lie = 0; lie < 2; lie++) {
		struct pair pair = pair_make(512, 8);
		const int fd = pinion_channel_fd(pair.a.channel);
		struct pinion_desc desc;

		(void)state;
		assert_int_equal(pinion_channel_prepare(pair.a.channel), 0);
		if (lie) /* found by the sending thread */
			pinion_channel_reject(pair.a.channel);
		else
			pinion_channel_sever(pair.a.channel);
		assert_true(readable(fd, 0));
		assert_int_equal(pinion_channel_done(pair.a.channel), 0);
		/* Not 1, which would keep a loop going that receives until there is no more. */
		assert_int_equal(pinion_channel_prepare(pair.a.channel), lie ? -EPROTO : -EPIPE);
		assert_int_equal(pinion_channel_recv(pair.a.channel, &desc, 1),
				 lie ? -EPROTO : -EPIPE);
		pair_close_whole(&pair);
	}
}

static void who_went_to_sleep_before_set_notify_is_woken_by_it(void **state)
{
	const struct ends ends = ends_open();
	const int fd = pinion_ring_fd(ends.rx);

	(void)state;
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	send_tag(&ends, 1);
	assert_int_equal(bell_state(&ends), BELL_ARMED_FD);
	assert_false(readable(fd, 0));
	assert_int_equal(pinion_ring_set_notify(ends.tx, pinion_ring_notify_fd(ends.rx)), 0);
	assert_true(readable(fd, 0));
	ends_close(&ends);
}

static void set_notify_refuses_other_descriptors(void **state)
{
	const struct ends ends = ends_open_notified();
	int stream[2], tube[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
	assert_int_equal(pipe(tube), 0);
	assert_int_equal(pinion_ring_set_notify(ends.tx, stream[0]), -EINVAL);
	assert_int_equal(pinion_ring_set_notify(ends.tx, tube[1]), -EINVAL);
	assert_int_equal(pinion_ring_set_notify(ends.tx, -1), -EINVAL);
	/* A failed call changes nothing. */
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	send_tag(&ends, 1);
	assert_true(readable(pinion_ring_fd(ends.rx), 0));
	for (int i = 0; i < 2; i++) {
		close(stream[i]);
		close(tube[i]);
	}
	ends_close(&ends);
}

/* What waits at the sender's end is closed by who closes that last, however long it takes. */
static void a_socket_in_which_files_wait_is_not_kept(void **state)
{
	const struct ends ends = ends_open();
	int end[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, end), 0);
	assert_int_equal(send(end[0], "x", 1, 0), 1);
	assert_int_equal(pinion_ring_set_notify(ends.tx, end[1]), 0);
	assert_int_equal(close(end[0]), 0);
	assert_int_equal(close(end[1]), 0);
	for (size_t len = 0; len < 2; len++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, end), 0);
		assert_int_equal(send_file_with(end[0], 0, len), len);
		assert_int_equal(pinion_ring_set_notify(ends.tx, end[1]), -EINVAL);
		assert_non_null(strstr(pinion_error_text(), "files wait"));
		assert_int_equal(close(end[0]), 0);
		assert_int_equal(close(end[1]), 0);
	}
	ends_close(&ends);
}

/* Who connects to it has a queue of its own, in which files can wait. */
static void a_socket_that_listens_is_not_kept(void **state)
{
	/* The kernel chooses a name (unix(7), "Autobind"). */
	const struct sockaddr any = {.sa_family = AF_UNIX};
	const struct ends ends = ends_open();
	const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(listener, &any, sizeof(any.sa_family)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(pinion_ring_set_notify(ends.tx, listener), -EINVAL);
	assert_int_equal(close(listener), 0);
	ends_close(&ends);
}

static void nothing_comes_into_a_socket_that_is_kept(void **state)
{
	const struct ends ends = ends_open(), others = ends_open();
	char byte;
	int end[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, end), 0);
	/* Twice, and by two senders, as those of a fan-in have it. */
	assert_int_equal(pinion_ring_set_notify(ends.tx, end[1]), 0);
	assert_int_equal(pinion_ring_set_notify(ends.tx, end[1]), 0);
	assert_int_equal(pinion_ring_set_notify(others.tx, end[1]), 0);
	assert_int_equal(send_file(end[0], 0), -1);
	assert_int_equal(errno, EPIPE);
	atomic_store(&rx_of(&ends)->shared->bell.state, BELL_ARMED_FD);
	send_tag(&ends, 1);
	assert_int_equal(recv(end[0], &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(close(end[0]), 0);
	assert_int_equal(close(end[1]), 0);
	ends_close(&others);
	ends_close(&ends);
}

/* A sender can let anybody send to its end, of which the receiver has the other copy. */
static void nothing_comes_into_a_socket_that_is_given_away(void **state)
{
	const struct ends ends = ends_open();
	const int to = pinion_ring_notify_fd(ends.rx);
	const int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(address);

	(void)state;
	assert_int_equal(bind(to, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(to, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(to, &nobody, sizeof(nobody)), 0);
	assert_int_equal(connect(other, (struct sockaddr *)&address, len), 0);
	assert_int_equal(send_file(other, 0), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(close(other), 0);
	ends_close(&ends);
}

/* Who takes a message into a page that does not come has a lock of the socket's until it does. */
struct taker {
	int socket, pages;
	void *page;
};

static void *take_into_page(void *arg)
{
	const struct taker *taker = arg;

	(void)recv(taker->socket, taker->page, 1, MSG_DONTWAIT);
	return NULL;
}

/* False: this kernel lets nobody keep a page waiting. */
static bool taker_open(struct taker *taker, int socket)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register part = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	taker->socket = socket;
	taker->pages = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (taker->pages < 0)
		return false;
	taker->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(taker->page != MAP_FAILED);
	part.range = (struct uffdio_range){(uintptr_t)taker->page, 4096};
	assert_int_equal(ioctl(taker->pages, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(taker->pages, UFFDIO_REGISTER, &part), 0);
	return true;
}

static void taker_close(const struct taker *taker, pthread_t thread)
{
	struct uffdio_zeropage come = {.range = {(uintptr_t)taker->page, 4096}};

	assert_int_equal(ioctl(taker->pages, UFFDIO_ZEROPAGE, &come), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(munmap(taker->page, 4096), 0);
	assert_int_equal(close(taker->pages), 0);
}

static void who_takes_for_ever_what_was_sent_there_holds_nobody_up(void **state)
{
	const struct ends ends = ends_open();
	struct taker taker;
	pthread_t thread;
	int end[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, end), 0);
	assert_int_equal(send(end[0], "x", 1, 0), 1);
	if (taker_open(&taker, end[1])) {
		assert_int_equal(pthread_create(&thread, NULL, take_into_page, &taker), 0);
		assert_true(readable(taker.pages, LONG_NS / MS));
		assert_int_equal(pinion_ring_set_notify(ends.tx, end[1]), 0);
		taker_close(&taker, thread);
	} else {
		print_message("# nobody may keep a page waiting here\n");
	}
	assert_int_equal(close(end[0]), 0);
	assert_int_equal(close(end[1]), 0);
	ends_close(&ends);
}

static void calls_of_the_wrong_end_are_einval(void **state)
{
	const struct ends ends = ends_open();

	(void)state;
	assert_int_equal(pinion_ring_prepare(ends.rx), -EINVAL);
	assert_int_equal(pinion_ring_done(ends.rx), -EINVAL);
	assert_int_equal(pinion_ring_fd(ends.tx), -EINVAL);
	assert_int_equal(pinion_ring_notify_fd(ends.tx), -EINVAL);
	assert_int_equal(pinion_ring_prepare(ends.tx), -EINVAL);
	assert_true(pinion_ring_notify_fd(ends.rx) >= 0);
	assert_int_equal(pinion_ring_set_notify(ends.rx, pinion_ring_notify_fd(ends.rx)), -EINVAL);
	ends_close(&ends);
}

static int open_until_full(int *fd, int most)
{
	int nr = 0;

	while (nr < most && (fd[nr] = dup(2)) >= 0)
		nr++;
	return nr;
}

static void no_room_for_descriptors_changes_nothing(void **state)
{
	const struct ends ends = ends_open();
	const int used = support_fd_count();
	struct rlimit before, few;
	int fd[64], nr;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){(rlim_t)used + 8, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	nr = open_until_full(fd, 64);
	assert_int_equal(pinion_ring_fd(ends.rx), -EMFILE);
	assert_int_equal(pinion_ring_notify_fd(ends.rx), -EMFILE);
	assert_int_equal(pinion_ring_prepare(ends.rx), -EINVAL);
	while (nr > 0)
		close(fd[--nr]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(pinion_ring_fd(ends.rx) >= 0);
	ends_close(&ends);
}

/* What a hostile holder of the sender's end can do. */

/* Without O_NONBLOCK on the description that all holders share: a plain write would wait. */
static int saturate(int to)
{
	int nr = 0;

	assert_int_equal(fcntl(to, F_SETFL, 0), 0);
	while (send(to, "x", 1, MSG_DONTWAIT) == 1)
		nr++;
	assert_int_equal(errno, EAGAIN);
	return nr;
}

static void a_full_socket_does_not_hold_up_the_sender(void **state)
{
	const struct ends ends = ends_open_notified();
	uint64_t took;

	(void)state;
	saturate(pinion_ring_notify_fd(ends.rx));
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	took = test_now_ns();
	send_tag(&ends, 1);
	assert_in_range(test_now_ns() - took, 0, MUCH_NS);
	assert_true(readable(pinion_ring_fd(ends.rx), 0));
	assert_int_equal(recv_tag(&ends), 1);
	ends_close(&ends);
}

static void a_flood_is_drained_a_bounded_part_at_a_time(void **state)
{
	const struct ends ends = ends_open_notified();
	const int fd = pinion_ring_fd(ends.rx), flood = saturate(pinion_ring_notify_fd(ends.rx));
	int calls = 0;

	(void)state;
	assert_true(flood > 64);
	for (; readable(fd, 0) && calls < flood; calls++)
		assert_int_equal(pinion_ring_done(ends.rx), 0);
	assert_int_equal(calls, (flood + 63) / 64);
	ends_close(&ends);
}

/* 0 bytes are no end of file, and a shut or closed end says nothing. */
static void nothing_said_to_the_socket_looks_like_an_end(void **state)
{
	const struct ends ends = ends_open();
	const int fd = pinion_ring_fd(ends.rx), to = pinion_ring_notify_fd(ends.rx);

	(void)state;
	assert_int_equal(send(to, "", 0, MSG_DONTWAIT), 0);
	assert_true(readable(fd, 0));
	assert_int_equal(pinion_ring_done(ends.rx), 0);
	assert_int_equal(shutdown(to, SHUT_RDWR), 0);
	assert_false(readable(fd, 0));
	assert_int_equal(pinion_ring_done(ends.rx), 0);
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	ends_close(&ends);
}

/* Gone, though the bell says that somebody sleeps. SIGPIPE would end the program. */
static void a_receiver_that_is_gone_does_not_kill_the_sender(void **state)
{
	struct ends ends = ends_open_notified();
	struct ring_shared *shared = ring_end_of(ends.tx, PINION_RING_SEND)->shared;

	(void)state;
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	assert_int_equal(pinion_ring_close(ends.rx), 0);
	for (int i = 0; i < 3; i++) {
		atomic_store(&shared->consumer_closed, 0);
		atomic_store(&shared->bell.state, BELL_ARMED_FD);
		send_tag(&ends, 1);
		assert_int_equal(atomic_load(&shared->bell.state), BELL_QUIET);
	}
	assert_int_equal(pinion_ring_close(ends.tx), 0);
}

/* As on a kernel before 6.16, which lets them in. */
static void files_let_in_end_the_channel_and_are_not_closed_by_us(void **state)
{
	struct pair pair = pair_make(512, 8);
	struct ring *rx = channel_waiter(pair.a.channel).ring;
	const int to = pinion_channel_notify_fd(pair.a.channel), on = 1;
	struct pinion_desc desc;
	int tube[2];

	(void)state;
	(void)setsockopt(rx->fd.socket, SOL_SOCKET, 83, &on, sizeof(on));
	rx->fd.clean = false;
	/* One without files goes as ever. */
	assert_int_equal(send(to, "x", 1, MSG_DONTWAIT), 1);
	assert_int_equal(pinion_channel_done(pair.a.channel), 0);
	assert_int_equal(pipe(tube), 0);
	assert_int_equal(send_file(to, tube[1]), 1);
	close(tube[1]);
	assert_int_equal(pinion_channel_done(pair.a.channel), -EPROTO);
	/* Nobody has closed it: a pipe without a writer is at its end, and readable. */
	assert_false(readable(tube[0], 0));
	assert_int_equal(pinion_channel_recv(pair.a.channel, &desc, 1), -EPROTO);
	assert_int_equal(pinion_channel_recv(pair.b.channel, &desc, 1), -EPIPE);
	pair_close_whole(&pair);
	assert_true(readable(tube[0], 0));
	close(tube[0]);
}

static void files_let_in_are_eproto_of_a_ring_alone_and_counted_once(void **state)
{
	const struct ends ends = ends_open();
	const int to = pinion_ring_notify_fd(ends.rx), on = 1;
	struct ring *rx = rx_of(&ends);
	const uint64_t lies = pinion_ring_lies();

	(void)state;
	(void)setsockopt(rx->fd.socket, SOL_SOCKET, 83, &on, sizeof(on));
	rx->fd.clean = false;
	assert_int_equal(pinion_ring_done(ends.rx), 0);
	assert_int_equal(pinion_ring_lies(), lies);
	assert_int_equal(send_file(to, 0), 1);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(pinion_ring_done(ends.rx), -EPROTO);
		assert_int_equal(pinion_ring_lies(), lies + 1);
	}
	ends_close(&ends);
}

/* In the place of the library's look at an empty socket: what comes just behind it. */
ssize_t __real_recvmsg(int socket, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags);

static int late_to = -1;

ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags)
{
	const ssize_t got = __real_recvmsg(socket, message, flags);
	const int saved = errno, to = late_to;

	late_to = -1;
	if (to >= 0)
		assert_int_equal(send_file(to, 0), 1);
	errno = saved;
	return got;
}

static void files_that_come_behind_the_look_stay_where_they_are(void **state)
{
	const struct ends ends = ends_open();
	const int to = pinion_ring_notify_fd(ends.rx), on = 1;
	struct ring *rx = rx_of(&ends);

	(void)state;
	(void)setsockopt(rx->fd.socket, SOL_SOCKET, 83, &on, sizeof(on));
	rx->fd.clean = false;
	late_to = to;
	assert_int_equal(pinion_ring_done(ends.rx), 0);
	assert_int_equal(late_to, -1);
	assert_true(readable(pinion_ring_fd(ends.rx), 0));
	assert_int_equal(pinion_ring_done(ends.rx), -EPROTO);
	ends_close(&ends);
}

static void files_are_kept_out_where_the_kernel_can(void **state)
{
	const struct ends ends = ends_open();
	const int to = pinion_ring_notify_fd(ends.rx);

	(void)state;
	if (rx_of(&ends)->fd.clean)
		assert_int_equal(send_file(to, 0), -1);
	else
		print_message("# this kernel cannot: before 6.16\n");
	ends_close(&ends);
}

/*
 * No wake-up is lost. In each round both threads meet; then one publishes while the other goes to
 * sleep, in one of three ways. Who sleeps on is found by the time limit.
 */
#define ROUNDS 100000
#define MOST_NS (10000 * MS) /* or as many as this allows on a busy machine */

enum mode { BY_FUTEX, BY_ANY, BY_FD, MODES };

struct litmus {
	struct ends ends, quiet; /* nothing comes in the second */
	int fixed;               /* a mode, or MODES: another in each round */
	int epoll;
	_Atomic int arrived; /* counts up: 2 for each meeting */
	_Atomic int stop;    /* written before a meeting */
	int lost;
};

static cpu_set_t processors; /* that this program may use */

/* At the @n-th of them. On a busy machine, too, two run at once if each has one of its own. Where
 * there are fewer nothing changes (EINVAL). */
static void sit_at(int n)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	for (size_t i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &processors) && n-- == 0)
			CPU_SET(i, &only);
	(void)sched_setaffinity(0, sizeof(only), &only);
}

static void meet(_Atomic int *arrived, int meeting)
{
	atomic_fetch_add(arrived, 1);
	for (int spins = 1; atomic_load(arrived) < 2 * meeting; spins++)
		if (spins % 1000 == 0)
			sched_yield();
}

static void *send_rounds(void *arg)
{
	struct litmus *litmus = arg;

	sit_at(1);
	for (int i = 0; i < ROUNDS; i++) {
		meet(&litmus->arrived, 1 + i);
		if (litmus->stop)
			return NULL;
		/* With the bell's line at hand, a look passes by a store that has no fence. */
		(void)bell_state(&litmus->ends);
		/* At all distances, up to some 100 ns after the meeting, and most of them short. */
		for (volatile int delay = i / 9 % (1 << i % 9); delay > 0; delay--)
			;
		send_tag(&litmus->ends, (uint32_t)i);
	}
	return NULL;
}

static int sleep_in_loop(struct litmus *litmus)
{
	struct pinion_ring *rx = litmus->ends.rx;
	struct epoll_event event;
	int nr = 1;

	if (pinion_ring_prepare(rx) == 0)
		nr = epoll_wait(litmus->epoll, &event, 1, 10000);
	return nr == 1 ? pinion_ring_done(rx) : -ETIMEDOUT;
}

static int sleep_as(struct litmus *litmus, enum mode mode)
{
	struct pinion_ring *const both[] = {litmus->quiet.rx, litmus->ends.rx};
	uint32_t which = 0;

	switch (mode) {
	case BY_FUTEX:
		return pinion_ring_wait(litmus->ends.rx, LONG_NS);
	case BY_ANY:
		return pinion_ring_wait_any(both, 2, LONG_NS, &which);
	default:
		return sleep_in_loop(litmus);
	}
}

/* Tells the sender to leave its fence out. One that could not register does not, though it may be
 * told so by another process, which could: no barrier of that one's reaches it. */
static void let_off(struct ring *rx)
{
	if (bell_register())
		bell_relax(&rx->shared->bell, &rx->ear);
	else
		atomic_store(&rx->shared->bell.fenced, 0);
}

static void receive_rounds(struct litmus *litmus)
{
	const uint64_t until = test_now_ns() + MOST_NS;
	struct ring *rx = rx_of(&litmus->ends);

	for (int i = 0; i < ROUNDS; i++) {
		enum mode mode = (enum mode)(litmus->fixed < MODES ? litmus->fixed : i % MODES);
		struct pinion_desc desc = {.tag = UINT32_MAX};
		int got;

		/* Half of the rounds begin with a sender that leaves its fence out. */
		if (i & 1)
			let_off(rx);
		litmus->stop = litmus->lost || test_now_ns() > until;
		meet(&litmus->arrived, 1 + i);
		if (litmus->stop) {
			print_message("# %d rounds\n", i);
			return;
		}
		while ((got = pinion_ring_recv(litmus->ends.rx, &desc, 1)) == -EAGAIN)
			if (sleep_as(litmus, mode) == -ETIMEDOUT)
				litmus->lost++;
		assert_int_equal(got, 1);
		assert_int_equal(desc.tag, i);
	}
}

static void litmus_open(struct litmus *litmus, int fixed, bool edge)
{
	struct epoll_event event = {.events = EPOLLIN | (edge ? (uint32_t)EPOLLET : 0u)};

	*litmus = (struct litmus){
		.ends = ends_open_notified(),
		.quiet = ends_open(),
		.fixed = fixed,
		.epoll = epoll_create1(EPOLL_CLOEXEC),
	};
	pinion_ring_set_spin(litmus->ends.rx, 0);
	pinion_ring_set_spin(litmus->quiet.rx, 0);
	assert_int_equal(epoll_ctl(litmus->epoll, EPOLL_CTL_ADD, pinion_ring_fd(litmus->ends.rx),
				   &event),
			 0);
}

static void litmus_run_and_close(struct litmus *litmus)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, send_rounds, litmus), 0);
	receive_rounds(litmus);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(litmus->lost, 0);
	close(litmus->epoll);
	ends_close(&litmus->ends);
	ends_close(&litmus->quiet);
}

static void run_litmus(int fixed, bool edge)
{
	struct litmus litmus;

	litmus_open(&litmus, fixed, edge);
	litmus_run_and_close(&litmus);
}

static void no_wake_up_is_lost_by_wait(void **state)
{
	(void)state;
	run_litmus(BY_FUTEX, false);
}

static void no_wake_up_is_lost_by_wait_any(void **state)
{
	(void)state;
	run_litmus(BY_ANY, false);
}

static void no_wake_up_is_lost_by_a_loop(void **state)
{
	(void)state;
	run_litmus(BY_FD, false);
}

static void no_wake_up_is_lost_by_an_edge_triggered_loop(void **state)
{
	(void)state;
	run_litmus(BY_FD, true);
}

/* A strike that was meant for one way to sleep comes late, into the next. */
static void no_wake_up_is_lost_between_the_three(void **state)
{
	(void)state;
	run_litmus(MODES, false);
}

/* Nobody sleeps where there always is something: no fence is wanted. It is again after a sleep. */
static void who_always_finds_something_lets_the_sender_off(void **state)
{
	const struct pinion_desc desc = {.len = 4};
	const struct ends ends = ends_open();
	const struct bell *bell = &rx_of(&ends)->shared->bell;
	struct pinion_desc got;

	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(pinion_ring_send(ends.tx, &desc, 1), 1);
		assert_int_equal(atomic_load(&bell->fenced), 1);
		for (uint32_t i = 0; i < BELL_AWAKE_MAX; i++) {
			assert_int_equal(pinion_ring_send(ends.tx, &desc, 1), 1);
			assert_int_equal(pinion_ring_recv(ends.rx, &got, 1), 1);
		}
		assert_int_equal(atomic_load(&bell->fenced), 0);
		assert_int_equal(pinion_ring_recv(ends.rx, &got, 1), 1);
		assert_int_equal(pinion_ring_wait(ends.rx, MS), -ETIMEDOUT);
	}
	ends_close(&ends);
}

/* Where the kernel refuses membarrier(2). */
struct refusal {
	int error;
	bool late; /* once the ends are open */
	bool off;  /* ... and the senders told to leave their fences out */
};

static bool stays_fenced(const struct ends *ends)
{
	const struct bell *bell = &rx_of(ends)->shared->bell;
	struct pinion_desc desc;

	for (uint32_t i = 0; i < 4 * BELL_AWAKE_MAX; i++)
		if (pinion_ring_recv(ends->rx, &desc, 1) != -EAGAIN ||
		    atomic_load(&bell->fenced) != 1)
			return false;
	return true;
}

/*
 * The bell alone: who publishes and strikes, and who arms and looks, do not miss each other. Many
 * bells for each meeting, since what counts is to be at one at the same time. Each has the lines
 * that it reads at hand, so that its looks pass by stores that have no fence.
 */
#define BELLS 64
#define CROSSINGS 20000

struct crossing {
	struct {
		_Alignas(64) struct bell bell;
		_Alignas(64) _Atomic int published;
	} at[BELLS];
	struct ready_shared ready; /* a strike by way of this leaves QUIET, and calls nobody */
	_Atomic int arrived;
};

static void *strike_all(void *arg)
{
	struct crossing *crossing = arg;
	const struct bell_hand hand = {bell_register(), -1, &crossing->ready, 0};

	sit_at(1);
	for (int round = 1; round <= CROSSINGS; round++) {
		meet(&crossing->arrived, 3 * round - 2);
		for (int i = 0; i < BELLS; i++)
			(void)atomic_load(&crossing->at[i].bell.state);
		meet(&crossing->arrived, 3 * round - 1);
		for (int i = 0; i < BELLS; i++) {
			atomic_store_explicit(&crossing->at[i].published, round,
					      memory_order_relaxed);
			bell_strike(&crossing->at[i].bell, &hand);
		}
		meet(&crossing->arrived, 3 * round);
	}
	return NULL;
}

/* At how many both missed the other. */
static int arm_all(struct crossing *crossing)
{
	struct bell_ear ear = {.unfenced = false};
	int seen[BELLS], missed = 0;

	for (int round = 1; round <= CROSSINGS; round++) {
		for (int i = 0; i < BELLS; i++)
			bell_disarm(&crossing->at[i].bell);
		meet(&crossing->arrived, 3 * round - 2);
		for (int i = 0; i < BELLS; i++)
			(void)atomic_load(&crossing->at[i].published);
		meet(&crossing->arrived, 3 * round - 1);
		for (int i = 0; i < BELLS; i++) {
			bell_arm(&crossing->at[i].bell, &ear, BELL_LANE);
			seen[i] = atomic_load_explicit(&crossing->at[i].published,
						       memory_order_relaxed);
		}
		meet(&crossing->arrived, 3 * round);
		for (int i = 0; i < BELLS; i++)
			missed += seen[i] != round && crossing->at[i].bell.state == BELL_LANE;
	}
	return missed;
}

/* Who could not register is told in vain to leave the fence out. */
static int cross(void)
{
	static struct crossing crossing;
	pthread_t thread;
	int missed;

	for (int i = 0; i < BELLS; i++)
		crossing.at[i].bell.fenced = bell_register();
	assert_int_equal(pthread_create(&thread, NULL, strike_all, &crossing), 0);
	missed = arm_all(&crossing);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (missed)
		print_message("# %d of %d missed\n", missed, BELLS * CROSSINGS);
	return missed;
}

/* Is a sender that was let off told otherwise by a sleep? */
static bool is_called_back(const struct ends *ends)
{
	const struct bell *bell = &rx_of(ends)->shared->bell;

	return atomic_load(&bell->fenced) == 0 && pinion_ring_wait(ends->rx, MS) == -ETIMEDOUT &&
	       atomic_load(&bell->fenced) == 1;
}

/* In a child, because a filter stays. */
static int litmus_without_membarrier(void *arg)
{
	const struct refusal *refusal = arg;
	struct litmus litmus[2];

	sit_at(0);
	if (!refusal->late && refuse(SYS_membarrier, refusal->error))
		return 1;
	litmus_open(&litmus[0], BY_FUTEX, false);
	litmus_open(&litmus[1], BY_FD, false);
	for (int i = 0; refusal->off && i < 2; i++)
		let_off(rx_of(&litmus[i].ends));
	if (refusal->late && refuse(SYS_membarrier, refusal->error))
		return 1;
	for (int i = 0; refusal->off && i < 2; i++)
		if (!is_called_back(&litmus[i].ends))
			return 5;
	if (bell_register() != refusal->late)
		return 2;
	for (int i = 0; i < 2; i++)
		if (!stays_fenced(&litmus[i].ends))
			return 3;
	if (cross())
		return 4;
	for (int i = 0; i < 2; i++)
		litmus_run_and_close(&litmus[i]);
	return 0;
}

static void no_wake_up_is_lost_where_the_kernel_refuses(bool late, bool off)
{
	static const int errors[] = {ENOSYS, EPERM};

	for (int i = 0; i < 2; i++) {
		struct refusal refusal = {errors[i], late, off};

		assert_int_equal(support_child(litmus_without_membarrier, &refusal), 0);
	}
}

static void no_wake_up_is_lost_without_membarrier(void **state)
{
	(void)state;
	no_wake_up_is_lost_where_the_kernel_refuses(false, false);
}

static void no_wake_up_is_lost_when_membarrier_is_taken_away(void **state)
{
	(void)state;
	no_wake_up_is_lost_where_the_kernel_refuses(true, false);
}

static void no_wake_up_is_lost_by_who_was_let_off_before_that(void **state)
{
	(void)state;
	no_wake_up_is_lost_where_the_kernel_refuses(true, true);
}

/* A sender that looked at fence and bell a moment too early, while its message was on its way: that
 * comes after the receiver has armed, and strikes nothing. Each is at a ring of its own, since a
 * receiver that was refused once has called its sender back. */
#define EARLY 32

struct too_early {
	struct ends ends[EARLY];
	_Atomic uint64_t came_ns[EARLY];
};

static void *publish_too_early(void *arg)
{
	const struct pinion_desc desc = {pinion_buffer_make(1, 1), 0, 0};
	struct too_early *early = arg;

	sit_at(1);
	for (int i = 0; i < EARLY; i++) {
		while (bell_state(&early->ends[i]) == BELL_QUIET)
			sched_yield();
		ring_publish(ring_end_of(early->ends[i].tx, PINION_RING_SEND), &desc, 1);
		atomic_store(&early->came_ns[i], test_now_ns());
	}
	return NULL;
}

/* 0: it is found. 1: it is missed, or was not waited for. 2: it was none: it came so late that the
 * loop may have been asleep. */
static int prepare_for(struct too_early *early, int i)
{
	const uint64_t begun_ns = test_now_ns();
	int what = pinion_ring_prepare(early->ends[i].rx);
	const uint64_t slept_ns = test_now_ns();
	uint64_t came_ns;

	while (!(came_ns = atomic_load(&early->came_ns[i])))
		sched_yield();
	if (what == 1)
		return 0;
	return slept_ns - begun_ns < MS || came_ns + MS / 2 < slept_ns ? 1 : 2;
}

/* In a child, because a filter stays. A busy machine may let most of them come too late. */
static int find_who_is_too_early(void *arg)
{
	struct too_early early = {0};
	pthread_t thread;
	int nr[3] = {0};

	for (int i = 0; i < EARLY; i++) {
		early.ends[i] = ends_open_notified();
		let_off(rx_of(&early.ends[i]));
	}
	if (refuse(SYS_membarrier, *(int *)arg))
		return 1;
	sit_at(0);
	assert_int_equal(pthread_create(&thread, NULL, publish_too_early, &early), 0);
	for (int i = 0; i < EARLY; i++)
		nr[prepare_for(&early, i)]++;
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# %d found, %d missed, %d too late\n", nr[0], nr[1], nr[2]);
	for (int i = 0; i < EARLY; i++)
		ends_close(&early.ends[i]);
	return nr[1] ? 1 : nr[0] ? 0 : 2;
}

static void who_was_too_early_for_a_refused_barrier_is_found(void **state)
{
	int errors[] = {ENOSYS, EPERM, ENOMEM};

	(void)state;
	for (int i = 0, tries = 0; i < 3; i++) {
		int how = support_child(find_who_is_too_early, &errors[i]);

		while (how == 2 && tries++ < 20) /* nobody was early */
			how = support_child(find_who_is_too_early, &errors[i]);
		assert_int_equal(how, 0);
	}
}

/* A thread for whom the kernel has no memory to send a byte, by a filter that is its own alone. */
struct poor {
	struct pinion_ring *ring;
	int (*work)(struct pinion_ring *ring);
	int result;
};

static void *work_without_memory(void *arg)
{
	struct poor *poor = arg;

	poor->result = refuse(SYS_sendto, ENOBUFS) ? 1 : poor->work(poor->ring);
	return NULL;
}

static int without_memory(int (*work)(struct pinion_ring *ring), struct pinion_ring *ring)
{
	struct poor poor = {ring, work, 1};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, work_without_memory, &poor), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return poor.result;
}

static int send_and_ask(struct pinion_ring *ring)
{
	const struct pinion_desc desc = {pinion_buffer_make(1, 1), 0, 0};

	return pinion_ring_send(ring, &desc, 1) == 1 ? pinion_ring_told(ring) : 1;
}

static int sever_and_ask(struct pinion_ring *ring)
{
	pinion_ring_sever(ring);
	return pinion_ring_told(ring);
}

static bool is_readable(const struct ends *ends)
{
	struct pollfd loop = {.fd = pinion_ring_fd(ends->rx), .events = POLLIN};

	return poll(&loop, 1, 0) == 1;
}

/* The loop sleeps, @work at @ring tells it nothing, and told() does. */
static void assert_told_later(const struct ends *ends, struct pinion_ring *ring,
			      int (*work)(struct pinion_ring *ring))
{
	assert_int_equal(pinion_ring_prepare(ends->rx), 0);
	assert_int_equal(without_memory(work, ring), -ENOBUFS);
	assert_false(is_readable(ends));
	assert_int_equal(pinion_ring_told(ring), 0);
	assert_true(is_readable(ends));
	assert_int_equal(pinion_ring_done(ends->rx), 0);
	/* Once: who sleeps anew is left alone. */
	assert_int_equal(pinion_ring_recv(ends->rx, &(struct pinion_desc){0}, 1),
			 work == sever_and_ask ? -EPIPE : 1);
	if (work == sever_and_ask)
		return;
	assert_int_equal(pinion_ring_prepare(ends->rx), 0);
	assert_int_equal(pinion_ring_told(ring), 0);
	assert_false(is_readable(ends));
}

static void a_byte_without_memory_is_told_of_and_sent_later(void **state)
{
	const struct ends ends = ends_open_notified();

	(void)state;
	assert_int_equal(pinion_ring_told(ends.tx), 0);
	assert_told_later(&ends, ends.tx, send_and_ask);
	assert_told_later(&ends, ends.rx, sever_and_ask);
	ends_close(&ends);
}

static void a_close_without_memory_says_so_and_closes(void **state)
{
	const struct ends ends = ends_open_notified();

	(void)state;
	assert_int_equal(pinion_ring_prepare(ends.rx), 0);
	assert_int_equal(without_memory(pinion_ring_close, ends.tx), -ENOBUFS);
	assert_int_equal(pinion_ring_prepare(ends.rx), -EPIPE);
	assert_int_equal(pinion_ring_close(ends.rx), 0);
}

int main(void)
{
	const bool ahead = !support_child(put_clock_ahead, NULL);
	const struct CMUnitTest tests[] = {
		/* First: a child of who has registered is registered. */
		pool_test(no_wake_up_is_lost_without_membarrier),
		pool_test(no_wake_up_is_lost_when_membarrier_is_taken_away),
		pool_test(no_wake_up_is_lost_by_who_was_let_off_before_that),
		pool_test(who_was_too_early_for_a_refused_barrier_is_found),
		pool_test(who_always_finds_something_lets_the_sender_off),
		pool_test(any_tells_which_one),
		pool_test(any_begins_behind_the_one_told_last),
		pool_test(any_of_none_or_of_too_many_is_einval),
		pool_test(any_ends_at_its_time_limit_and_leaves_no_bell_armed),
		pool_test(any_puts_every_fence_back),
		pool_test(a_sleeper_at_many_is_woken_by_each),
		pool_test(a_sleep_without_a_limit_is_woken),
		pool_test(a_signal_ends_any_with_eintr),
		pool_test(any_works_where_the_kernel_knows_no_such_call),
		pool_test(any_keeps_its_time_limit_though_bells_ring_for_nothing),
		pool_test(a_death_behind_what_was_sent_is_noticed_with_it),
		pool_test(any_notices_that_a_peer_died),
		pool_test(who_was_moved_away_from_the_bell_hears_of_a_sever),
		pool_test(no_spin_sleeps_at_once),
		pool_test(a_long_spin_ends_at_the_time_limit_of_the_wait),
		support_where(ahead, "not root, or a kernel without time namespaces", pool_test,
			      a_wait_goes_by_the_clock_of_its_time_namespace),
		pool_test(the_fd_is_readable_when_something_came),
		pool_test(prepare_says_so_when_something_is_there),
		pool_test(a_receiver_that_is_awake_is_not_told),
		pool_test(close_makes_the_fd_readable),
		pool_test(what_was_sent_before_a_close_is_prepared_for),
		pool_test(sever_and_a_lie_make_the_fd_readable),
		pool_test(who_went_to_sleep_before_set_notify_is_woken_by_it),
		pool_test(set_notify_refuses_other_descriptors),
		pool_test(a_socket_in_which_files_wait_is_not_kept),
		pool_test(a_socket_that_listens_is_not_kept),
		pool_test(nothing_comes_into_a_socket_that_is_kept),
		pool_test(nothing_comes_into_a_socket_that_is_given_away),
		pool_test(who_takes_for_ever_what_was_sent_there_holds_nobody_up),
		pool_test(calls_of_the_wrong_end_are_einval),
		pool_test(no_room_for_descriptors_changes_nothing),
		pool_test(a_full_socket_does_not_hold_up_the_sender),
		pool_test(a_flood_is_drained_a_bounded_part_at_a_time),
		pool_test(nothing_said_to_the_socket_looks_like_an_end),
		pool_test(a_receiver_that_is_gone_does_not_kill_the_sender),
		pool_test(a_byte_without_memory_is_told_of_and_sent_later),
		pool_test(a_close_without_memory_says_so_and_closes),
		pool_test(files_let_in_end_the_channel_and_are_not_closed_by_us),
		pool_test(files_let_in_are_eproto_of_a_ring_alone_and_counted_once),
		pool_test(files_that_come_behind_the_look_stay_where_they_are),
		pool_test(files_are_kept_out_where_the_kernel_can),
		pool_test(no_wake_up_is_lost_by_wait),
		pool_test(no_wake_up_is_lost_by_wait_any),
		pool_test(no_wake_up_is_lost_by_a_loop),
		pool_test(no_wake_up_is_lost_by_an_edge_triggered_loop),
		pool_test(no_wake_up_is_lost_between_the_three),
	};

	(void)sched_getaffinity(0, sizeof(processors), &processors);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
