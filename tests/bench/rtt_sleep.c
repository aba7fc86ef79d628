/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt_sleep: one descriptor there and back, each side asleep until it comes; nanoseconds for the
 * round trip. rtt_sleep_one: both processes on one core.
 *
 *     pinion   through a pair of pinion rings that do not spin
 *     bare     two words, futex(2) and nothing else: the limit
 */

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <pinion/wait.h>

#include "link_ring.h"

#define PINGS 50u /* of a block */
#define SLOTS 1024u
#define PATIENCE_NS UINT64_C(1000000000)
#define LAST UINT32_MAX /* the tag, or the word, that ends it */

static void ping(struct link *link, uint32_t tag)
{
	item it;

	item_make(&it, 0, 0);
	it.tag = tag;
	while (!link_send(link, &it, 1))
		;
}

static uint32_t pong(struct link *link)
{
	item it;

	while (!link_recv(link, &it, 1))
		(void)pinion_ring_wait(link->rx, PATIENCE_NS);
	return it.tag;
}

static void sleep_lead(struct bench *b, void *arg)
{
	struct link *link = arg;

	link_open(link, true);
	pinion_ring_set_spin(link->rx, 0);
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PINGS; i++) {
			ping(link, i);
			(void)pong(link);
		}
		bench_sample(b, (double)(bench_now_ns() - start) / PINGS);
	}
	ping(link, LAST);
}

static void sleep_follow(void *arg)
{
	struct link *link = arg;
	uint32_t tag;

	link_open(link, false);
	pinion_ring_set_spin(link->rx, 0);
	while ((tag = pong(link)) != LAST)
		ping(link, tag);
}

/* Apart by more than what a prefetcher takes along with a line. */
struct words {
	_Alignas(512) _Atomic uint32_t there; /* leader */
	_Alignas(512) _Atomic uint32_t back;  /* follower */
};

static void tell(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store_explicit(word, value, memory_order_release);
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* What the word is once it is not @old. */
static uint32_t hear(_Atomic uint32_t *word, uint32_t old)
{
	uint32_t value;

	while ((value = atomic_load_explicit(word, memory_order_acquire)) == old)
		(void)syscall(SYS_futex, word, FUTEX_WAIT, old, NULL, NULL, 0);
	return value;
}

static void bare_lead(struct bench *b, void *arg)
{
	struct words *words = arg;
	uint32_t turn = 0;

	pair_await();
	while (bench_more(b)) {
		uint64_t start = bench_now_ns();

		for (uint32_t i = 0; i < PINGS; i++) {
			tell(&words->there, turn + 1);
			turn = hear(&words->back, turn);
		}
		bench_sample(b, (double)(bench_now_ns() - start) / PINGS);
	}
	tell(&words->there, LAST);
}

static void bare_follow(void *arg)
{
	struct words *words = arg;
	uint32_t turn = 0;

	pair_ready();
	while ((turn = hear(&words->there, turn)) != LAST)
		tell(&words->back, turn);
}

static void run_pinion(struct bench *b)
{
	(b->is->arg ? pair_run_on_one : pair_run)(b, sleep_lead, sleep_follow,
						  link_create(b, SLOTS, 1));
}

static void run_bare(struct bench *b)
{
	(b->is->arg ? pair_run_on_one : pair_run)(b, bare_lead, bare_follow,
						  bench_shared(b, sizeof(struct words)));
}

int main(int argc, char **argv)
{
	static const struct bench_case cases[] = {
		{"rtt_sleep", "pinion", "ns", run_pinion, 0},
		{"rtt_sleep", "bare", "ns", run_bare, 0},
		{"rtt_sleep_one", "pinion", "ns", run_pinion, 1},
		{"rtt_sleep_one", "bare", "ns", run_bare, 1},
	};

	return bench_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
