/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PINION_MMIO_H
#define PINION_MMIO_H

/*
 * Device registers, and the order between them and ordinary memory.
 *
 * A user-space driver maps a BAR (pci.h, vfioctl.h or uio.h) and then speaks to the device
 * through loads and stores of that mapping. Two things can go wrong that never go wrong with
 * memory: the compiler may merge, split or drop an access, and the processor may let the store
 * to the doorbell overtake the stores that filled the queue entry. The reads and writes here are
 * exactly one access each; the two barriers put memory and registers in order:
 *
 *     to the device                            from the device
 *     -------------                            ---------------
 *     fill data and queue entry                load the entry's flag (phase bit)
 *     pinion_dma_wmb()                         pinion_dma_rmb()
 *     pinion_mmio_write32(doorbell, tail)      load the rest of the entry, the data
 *                                              pinion_mmio_write32(doorbell, head)
 *
 * The head needs no barrier: it tells the device that the entry may be overwritten, and the loads
 * before it have been used. Accesses to registers of one device stay in program order among
 * themselves on every processor named below, because BARs are mapped uncached.
 *
 * Registers are little endian, and so are the processors supported: values need no swapping.
 *
 * Threads: every function may be called from any thread; two threads that write one register
 * must agree between themselves. Processes: a mapping is inherited over fork, and both may use it.
 *
 * Death: stores that were issued reach the device, whatever happens to the process. A doorbell
 * already rung keeps the device at work: what stops it is the close of the last vfio device or
 * /dev/uioN descriptor (vfioctl.h, uio.h), not the end of the mapping.
 *
 * Caveats, each with its remedy:
 *  - A device that is gone (unplugged, fallen off the link, reset by someone) reads as all ones.
 *    pinion_mmio_wait32() says -ENODEV; elsewhere compare with UINT32_MAX before believing.
 *  - A write is posted: the processor goes on before the device has it. Read any register of the
 *    same device to wait for it.
 *  - Non-temporal stores and stores to a write-combined mapping (a CMB) are not covered by
 *    pinion_dma_wmb() on x86: put the store fence of the instruction set (sfence) after them.
 *  - Under -std=c99 or -std=c11 libc hides POSIX: include this header first, or define
 *    _DEFAULT_SOURCE.
 *
 * Needs libc and gcc or clang. C99, C11, C++17; includes no other header of ours.
 */

#if !defined(_DEFAULT_SOURCE) && !defined(_FEATURES_H)
#define _DEFAULT_SOURCE 1
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifndef CLOCK_MONOTONIC
#error "POSIX is hidden: include pinion/mmio.h first, or define _DEFAULT_SOURCE"
#endif

/* Polls before pinion_mmio_wait32() starts to sleep: with about 1 us a read, some 100 us. */
#define PINION_MMIO_SPINS 100u

/* Sleep between later polls, in nanoseconds: devices answer a reset in milliseconds. */
#define PINION_MMIO_NAP_NS 50000

/* One 32-bit load. pre: reg is 4-byte aligned inside a mapped BAR. */
static inline uint32_t pinion_mmio_read32(const volatile void *reg)
{
	return *(const volatile uint32_t *)reg;
}

/* One 32-bit store. pre: reg is 4-byte aligned inside a mapped BAR. */
static inline void pinion_mmio_write32(volatile void *reg, uint32_t v)
{
	*(volatile uint32_t *)reg = v;
}

/*
 * One 64-bit load, one 64-bit store. They are absent where the processor has no such access: use
 * the halves there. pre: reg is 8-byte aligned, and the device takes 64-bit accesses.
 */
#if UINTPTR_MAX > UINT32_MAX
static inline uint64_t pinion_mmio_read64(const volatile void *reg)
{
	return *(const volatile uint64_t *)reg;
}

static inline void pinion_mmio_write64(volatile void *reg, uint64_t v)
{
	*(volatile uint64_t *)reg = v;
}
#endif

/*
 * A 64-bit register as two 32-bit accesses, the low half first, for devices that take no 64-bit
 * access. NVMe allows it for every 64-bit property (NVM Express Base Specification 2.0, 3.1.3).
 * The value can change between the halves: use it for registers that do not count.
 */
static inline uint64_t pinion_mmio_read64_halves(const volatile void *reg)
{
	const volatile uint32_t *half = (const volatile uint32_t *)reg;
	const uint32_t low = half[0];
	const uint32_t high = half[1];

	return (uint64_t)high << 32 | low;
}

/* The store of pinion_mmio_read64_halves(): low, then high; a device that acts on one must act
 * on the high half. */
static inline void pinion_mmio_write64_halves(volatile void *reg, uint64_t v)
{
	volatile uint32_t *half = (volatile uint32_t *)reg;

	half[0] = (uint32_t)(v & UINT32_MAX);
	half[1] = (uint32_t)(v >> 32);
}

/*
 * Memory written before is seen by the device before the register write that follows.
 * Source: what writel() of Linux does on each processor (arch/.../include/asm/io.h): x86 keeps
 * stores to write-back and uncached memory in order, so only the compiler needs telling.
 */
static inline void pinion_dma_wmb(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dmb oshst" ::: "memory");
#elif defined(__riscv)
	__asm__ volatile("fence w, ow" ::: "memory");
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
	__asm__ volatile("sync" ::: "memory");
#else
#error "pinion/mmio.h does not know this processor: add its barriers beside the others"
#endif
}

/*
 * Loads of what the device wrote stay after the load that saw its flag, be the flag in memory
 * (a phase bit) or in a register. Source: dma_rmb() and readl() of Linux.
 */
static inline void pinion_dma_rmb(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("dmb oshld" ::: "memory");
#elif defined(__riscv)
	__asm__ volatile("fence ir, r" ::: "memory");
#else
	__asm__ volatile("sync" ::: "memory");
#endif
}

/* Nanoseconds on a clock that never steps. */
static inline uint64_t pinion_mmio_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * Wait until (register & mask) == want, at most timeout_ns nanoseconds and one sleep more.
 * With timeout_ns 0 it looks once. Spins first, then sleeps between looks.
 *
 * -ETIMEDOUT  the device did not get there: reset it
 * -ENODEV     the register reads all ones: the device is gone, its mapping is of no more use
 */
static inline int pinion_mmio_wait32(const volatile void *reg, uint32_t mask, uint32_t want,
				     uint64_t timeout_ns)
{
	const struct timespec nap = { 0, PINION_MMIO_NAP_NS };
	const uint64_t start = pinion_mmio_clock_ns();
	unsigned polls = 0;

	for (;;) {
		/* The clock before the register: who was preempted past the end looks again. */
		const bool late = pinion_mmio_clock_ns() - start >= timeout_ns;
		const uint32_t v = pinion_mmio_read32(reg);

		if (v == UINT32_MAX)
			return -ENODEV;
		if ((v & mask) == want)
			return 0;
		if (late)
			return -ETIMEDOUT;
		/* A signal only shortens the nap: the clock decides. */
		if (++polls > PINION_MMIO_SPINS)
			nanosleep(&nap, NULL);
	}
}

#endif
