/* SPDX-License-Identifier: BSD-3-Clause */
/* mmio.h on plain memory: the functions cannot tell it from a BAR. */

#include <pinion/mmio.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>

#include "support.h"

#define MS UINT64_C(1000000)

/* Every width, and a 64-bit register in halves, through the same calls. */
struct width {
	unsigned len;
	uint64_t (*read)(const volatile void *reg);
	uint64_t (*read_relaxed)(const volatile void *reg);
	void (*write)(volatile void *reg, uint64_t v);
	void (*write_relaxed)(volatile void *reg, uint64_t v);
	uint64_t (*modify)(volatile void *reg, uint64_t mask, uint64_t bits);
	int (*wait)(const volatile void *reg, uint64_t mask, uint64_t want, uint64_t timeout_ns);
};

#define ACCESSES(form, type)                                              \
	static uint64_t read##form(const volatile void *reg)              \
	{                                                                 \
		return pinion_mmio_read##form(reg);                       \
	}                                                                 \
	static uint64_t read##form##_relaxed(const volatile void *reg)    \
	{                                                                 \
		return pinion_mmio_read##form##_relaxed(reg);             \
	}                                                                 \
	static void write##form(volatile void *reg, uint64_t v)           \
	{                                                                 \
		pinion_mmio_write##form(reg, (type)v);                    \
	}                                                                 \
	static void write##form##_relaxed(volatile void *reg, uint64_t v) \
	{                                                                 \
		pinion_mmio_write##form##_relaxed(reg, (type)v);          \
	}

#define CALLS(form, type)                                                                          \
	ACCESSES(form, type)                                                                       \
	static uint64_t modify##form(volatile void *reg, uint64_t mask, uint64_t bits)             \
	{                                                                                          \
		return pinion_mmio_modify##form(reg, (type)mask, (type)bits);                      \
	}                                                                                          \
	static int wait##form(const volatile void *reg, uint64_t mask, uint64_t want, uint64_t ns) \
	{                                                                                          \
		return pinion_mmio_wait##form(reg, (type)mask, (type)want, ns);                    \
	}

CALLS(8, uint8_t)
CALLS(16, uint16_t)
CALLS(32, uint32_t)
CALLS(64, uint64_t)
ACCESSES(64_lo_hi, uint64_t)
ACCESSES(64_hi_lo, uint64_t)

#define ROW(len, form) len, read##form, read##form##_relaxed, write##form, write##form##_relaxed
static const struct width widths[] = {
	{ROW(1, 8), modify8, wait8},    {ROW(2, 16), modify16, wait16},
	{ROW(4, 32), modify32, wait32}, {ROW(8, 64), modify64, wait64},
	{ROW(8, 64_lo_hi), NULL, NULL}, {ROW(8, 64_hi_lo), NULL, NULL},
};

/* The first four can do everything. */
#define NR_WHOLE 4u
#define NR_WIDTHS (sizeof(widths) / sizeof(widths[0]))

#define PATTERN UINT64_C(0x8877665544332211)

static uint64_t ones(const struct width *w)
{
	return UINT64_MAX >> (64 - 8 * w->len);
}

/* The register in the middle of what is otherwise 0xa5. */
struct regs {
	_Alignas(8) uint8_t before[8];
	uint8_t reg[8];
	uint8_t after[8];
};

/* The register's bytes are those of PATTERN, lowest first, and no byte beside them has changed. */
static void assert_only_the_register(const struct regs *r, unsigned len)
{
	const uint8_t *byte = (const uint8_t *)r;
	size_t i;

	for (i = 0; i < sizeof(*r); i++) {
		const bool inside = i >= 8 && i < 8 + len;

		assert_int_equal(byte[i], inside ? (PATTERN >> 8 * (i - 8) & 0xff) : 0xa5);
	}
}

static void each_width_is_its_bytes_and_no_others(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_WIDTHS; i++) {
		const struct width *w = &widths[i];
		struct regs r;

		memset(&r, 0xa5, sizeof(r));
		w->write(r.reg, PATTERN);
		assert_only_the_register(&r, w->len);
		assert_true(w->read(r.reg) == (PATTERN & ones(w)));
		memset(&r, 0xa5, sizeof(r));
		w->write_relaxed(r.reg, PATTERN);
		assert_only_the_register(&r, w->len);
		assert_true(w->read_relaxed(r.reg) == (PATTERN & ones(w)));
	}
}

static void modify_changes_the_bits_of_the_mask(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_WHOLE; i++) {
		const struct width *w = &widths[i];
		_Alignas(8) uint64_t reg = 0;

		w->write(&reg, 0xa5 & ones(w));
		/* Bits 4 to 7 become 3; bit 0, in bits only, stays. */
		assert_true(w->modify(&reg, 0xf0, 0x30) == 0xa5);
		assert_true(w->read(&reg) == 0x35);
		assert_true(w->modify(&reg, 0xf0, 0x6a) == 0x35);
		assert_true(w->read(&reg) == 0x65);
		/* The highest bit, which the wider ones must not lose. */
		assert_true(w->modify(&reg, ones(w) ^ ones(w) >> 1, ones(w)) == 0x65);
		assert_true(w->read(&reg) == ((ones(w) ^ ones(w) >> 1) | 0x65));
	}
}

static void wait_looks_at_the_masked_bits_only(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_WHOLE; i++) {
		const struct width *w = &widths[i];
		const uint64_t top = ones(w) ^ ones(w) >> 1;
		_Alignas(8) uint64_t reg = 0;

		w->write(&reg, top | 0x51);
		assert_int_equal(w->wait(&reg, 0x1, 0x1, 0), 0);
		assert_int_equal(w->wait(&reg, top, top, 0), 0);
		assert_int_equal(w->wait(&reg, top, 0, 0), -ETIMEDOUT);
		assert_int_equal(w->wait(&reg, 0xf, 0x0, 0), -ETIMEDOUT);
	}
}

static void all_ones_of_its_width_is_enodev(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_WHOLE; i++) {
		const struct width *w = &widths[i];
		_Alignas(8) uint64_t reg = 0;

		w->write(&reg, ones(w));
		assert_int_equal(w->wait(&reg, 1, 1, MS), -ENODEV);
		assert_int_equal(w->wait(&reg, 1, 0, MS), -ENODEV);
		/* One bit less is a sound device. */
		w->write(&reg, ones(w) >> 1);
		assert_int_equal(w->wait(&reg, 1, 1, 0), 0);
	}
}

static void a_wait_for_bits_outside_the_mask_is_einval(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NR_WHOLE; i++) {
		const uint64_t reg = 3;

		assert_int_equal(widths[i].wait(&reg, 1, 3, 0), -EINVAL);
	}
}

static void wait_ends_when_its_time_is_over(void **state)
{
	const uint64_t reg = 0;
	size_t i;

	(void)state;
	for (i = 0; i < NR_WHOLE; i++) {
		const uint64_t start = pinion_mmio_clock_ns();
		uint64_t spent;

		assert_int_equal(widths[i].wait(&reg, 1, 1, 20 * MS), -ETIMEDOUT);
		spent = pinion_mmio_clock_ns() - start;
		assert_true(spent >= 20 * MS);
		/* Far more than a loaded machine needs; a wait in seconds or microseconds shows. */
		assert_true(spent < 5000 * MS);
	}
}

static void *set_later(void *reg)
{
	usleep(20000);
	pinion_mmio_write32(reg, 1);
	return NULL;
}

static void wait_sees_a_change_made_meanwhile(void **state)
{
	uint32_t reg = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, set_later, &reg), 0);
	assert_int_equal(pinion_mmio_wait32(&reg, 1, 1, 60000 * MS), 0);
	pthread_join(thread, NULL);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void signals_shorten_no_wait_and_leave_errno_alone(void **state)
{
	const struct itimerval every_ms = {{0, 1000}, {0, 1000}};
	const struct itimerval never = {{0, 0}, {0, 0}};
	const uint64_t start = pinion_mmio_clock_ns();
	uint32_t reg = 0;

	(void)state;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	errno = 0;
	assert_int_equal(pinion_mmio_wait32(&reg, 1, 1, 20 * MS), -ETIMEDOUT);
	assert_int_equal(errno, 0);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	assert_true(pinion_mmio_clock_ns() - start >= 20 * MS);
}

/* One thread plays the driver, one the device, as in the table of mmio.h. */
struct ring {
	uint32_t entry, doorbell, flag, result;
};

#define ROUNDS 20000u

static void *play_device(void *arg)
{
	struct ring *r = arg;
	uint32_t i;

	for (i = 1; i <= ROUNDS; i++) {
		if (pinion_mmio_wait32(&r->doorbell, UINT32_MAX, i, 60000 * MS) < 0)
			return r;
		r->result = r->entry + 1;
		pinion_mmio_write32(&r->flag, i);
	}
	return NULL;
}

static void an_ordered_write_keeps_data_before_its_doorbell(void **state)
{
	struct ring r = {0, 0, 0, 0};
	void *failed = &r;
	pthread_t thread;
	uint32_t i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, play_device, &r), 0);
	for (i = 1; i <= ROUNDS; i++) {
		r.entry = 3 * i;
		pinion_mmio_write32(&r.doorbell, i);
		assert_int_equal(pinion_mmio_wait32(&r.flag, UINT32_MAX, i, 60000 * MS), 0);
		assert_int_equal(r.result, 3 * i + 1);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
}

/* Two sides that store and then look for the other, as with a shadow doorbell. */
struct sides {
	_Alignas(64) uint32_t stored[2][16];
	_Alignas(64) atomic_uint round[2];
	uint32_t seen[2];
};

struct side {
	struct sides *sides;
	unsigned mine;
};

#define MEETINGS 100000u

/* Both begin a round at nearly the same moment: who comes first waits a little, then yields. */
static void meet(struct sides *s, unsigned mine, unsigned round)
{
	unsigned spins = 0;

	atomic_store_explicit(&s->round[mine], round, memory_order_release);
	while (atomic_load_explicit(&s->round[!mine], memory_order_acquire) < round)
		if (++spins > 1000)
			sched_yield();
}

static void *store_then_look(void *arg)
{
	const struct side *side = arg;
	struct sides *s = side->sides;
	const unsigned mine = side->mine;
	uintptr_t missed = 0;
	unsigned i;

	for (i = 1; i <= MEETINGS; i++) {
		meet(s, mine, 2 * i - 1);
		pinion_mmio_write32_relaxed(s->stored[mine], i);
		pinion_dma_mb();
		s->seen[mine] = pinion_mmio_read32_relaxed(s->stored[!mine]);
		meet(s, mine, 2 * i);
		missed += s->seen[0] != i && s->seen[1] != i;
	}
	return (void *)missed;
}

static void a_full_barrier_lets_one_of_two_see_the_other(void **state)
{
	static struct sides sides;
	struct side side[2] = {{&sides, 0}, {&sides, 1}};
	void *missed = NULL;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, store_then_look, &side[1]), 0);
	assert_null(store_then_look(&side[0]));
	pthread_join(thread, &missed);
	assert_null(missed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(each_width_is_its_bytes_and_no_others),
		support_test(modify_changes_the_bits_of_the_mask),
		support_test(wait_looks_at_the_masked_bits_only),
		support_test(all_ones_of_its_width_is_enodev),
		support_test(a_wait_for_bits_outside_the_mask_is_einval),
		support_test(wait_ends_when_its_time_is_over),
		support_test(wait_sees_a_change_made_meanwhile),
		support_test(signals_shorten_no_wait_and_leave_errno_alone),
		support_test(an_ordered_write_keeps_data_before_its_doorbell),
		support_test(a_full_barrier_lets_one_of_two_see_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
