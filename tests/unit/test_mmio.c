/* SPDX-License-Identifier: BSD-3-Clause */
/* mmio.h on plain memory: the functions cannot tell it from a BAR. */

#include <pinion/mmio.h>

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "support.h"

#define MS UINT64_C(1000000)

/* Registers between two guards, to see that an access touches its own bytes only. */
struct regs {
	uint32_t before;
	uint32_t low;
	uint32_t high;
	uint32_t after;
};

static void write32_changes_four_bytes(void **state)
{
	_Alignas(8) struct regs r = { 1, 2, 3, 4 };

	(void)state;
	pinion_mmio_write32(&r.low, 0xa5a5f00d);
	assert_int_equal(pinion_mmio_read32(&r.low), 0xa5a5f00d);
	assert_int_equal(r.before, 1);
	assert_int_equal(r.high, 3);
}

static void halves_are_low_then_high(void **state)
{
	_Alignas(8) struct regs r = { 1, 0, 0, 4 };

	(void)state;
	pinion_mmio_write64_halves(&r.low, UINT64_C(0x1122334455667788));
	assert_int_equal(r.low, 0x55667788);
	assert_int_equal(r.high, 0x11223344);
	assert_int_equal(r.before, 1);
	assert_int_equal(r.after, 4);
	assert_true(pinion_mmio_read64_halves(&r.low) == UINT64_C(0x1122334455667788));
}

static void write64_and_the_halves_agree(void **state)
{
	_Alignas(8) uint64_t reg = 0;

	(void)state;
	pinion_mmio_write64(&reg, UINT64_C(0xfedcba9876543210));
	assert_true(pinion_mmio_read64(&reg) == UINT64_C(0xfedcba9876543210));
	assert_true(pinion_mmio_read64_halves(&reg) == UINT64_C(0xfedcba9876543210));
}

static void wait_looks_at_the_masked_bits_only(void **state)
{
	uint32_t reg = 0xf1;

	(void)state;
	assert_int_equal(pinion_mmio_wait32(&reg, 0x1, 0x1, 0), 0);
	assert_int_equal(pinion_mmio_wait32(&reg, 0xf, 0x0, 0), -ETIMEDOUT);
}

static void all_ones_is_enodev(void **state)
{
	uint32_t reg = UINT32_MAX;

	(void)state;
	assert_int_equal(pinion_mmio_wait32(&reg, 1, 1, MS), -ENODEV);
	assert_int_equal(pinion_mmio_wait32(&reg, 1, 0, MS), -ENODEV);
}

static void wait_ends_when_its_time_is_over(void **state)
{
	uint32_t reg = 0;
	const uint64_t start = pinion_mmio_clock_ns();
	uint64_t spent;

	(void)state;
	assert_int_equal(pinion_mmio_wait32(&reg, 1, 1, 20 * MS), -ETIMEDOUT);
	spent = pinion_mmio_clock_ns() - start;
	assert_true(spent >= 20 * MS);
	/* Far more than a loaded machine needs; a wait in seconds or microseconds shows. */
	assert_true(spent < 5000 * MS);
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

static void signals_do_not_shorten_the_wait(void **state)
{
	const struct itimerval every_ms = { { 0, 1000 }, { 0, 1000 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	const uint64_t start = pinion_mmio_clock_ns();
	uint32_t reg = 0;

	(void)state;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every_ms, NULL);
	assert_int_equal(pinion_mmio_wait32(&reg, 1, 1, 20 * MS), -ETIMEDOUT);
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
		pinion_dma_rmb();
		r->result = r->entry + 1;
		pinion_dma_wmb();
		pinion_mmio_write32(&r->flag, i);
	}
	return NULL;
}

static void barriers_keep_data_before_its_doorbell(void **state)
{
	struct ring r = { 0, 0, 0, 0 };
	void *failed = &r;
	pthread_t thread;
	uint32_t i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, play_device, &r), 0);
	for (i = 1; i <= ROUNDS; i++) {
		r.entry = 3 * i;
		pinion_dma_wmb();
		pinion_mmio_write32(&r.doorbell, i);
		assert_int_equal(pinion_mmio_wait32(&r.flag, UINT32_MAX, i, 60000 * MS), 0);
		pinion_dma_rmb();
		assert_int_equal(r.result, 3 * i + 1);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		support_test(write32_changes_four_bytes),
		support_test(halves_are_low_then_high),
		support_test(write64_and_the_halves_agree),
		support_test(wait_looks_at_the_masked_bits_only),
		support_test(all_ones_is_enodev),
		support_test(wait_ends_when_its_time_is_over),
		support_test(wait_sees_a_change_made_meanwhile),
		support_test(signals_do_not_shorten_the_wait),
		support_test(barriers_keep_data_before_its_doorbell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
